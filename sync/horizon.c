#include "sync/horizon.h"
#include "base/err.h"

#define BATCHES_PER_HORIZON 8 /* H/2 lasts four of them */

void horizon_init(struct horizon *h, uint64_t detection_ns, uint64_t now_ns)
{
    *h = (struct horizon){.ns = HORIZON_LEAST_NS,
                          .far_ns = MAX(MIN(detection_ns, HORIZON_FAR_NS), HORIZON_LEAST_NS),
                          .look_ns = now_ns};
}

/* Half the horizon is at most twice the raises: what comes down does not go up again at once. */
void horizon_look(struct horizon *h, uint64_t now_ns)
{
    double seconds = (double)(now_ns - h->look_ns) / 1e9;
    double per_s = seconds > 0 ? (double)h->raises / seconds : 0;

    if (seconds <= 0)
        return;
    h->raises = 0;
    h->look_ns = now_ns;
    if (h->ns < h->far_ns && per_s > HORIZON_RAISES_CHEAP_PER_S)
        h->ns = MIN(h->ns * MAX((uint64_t)per_s / HORIZON_RAISES_CHEAP_PER_S, 2), h->far_ns);
    else if (h->ns >= h->far_ns && per_s > HORIZON_RAISES_MOST_PER_S * 0.8)
        h->ns = MIN(2 * h->ns, HORIZON_FURTHEST_NS);
    else if (h->ns > h->far_ns && per_s < HORIZON_RAISES_MOST_PER_S * 0.3)
        h->ns = MAX(h->ns / 2, h->far_ns);
    else if (h->ns <= h->far_ns && per_s < HORIZON_RAISES_CHEAP_PER_S * 0.45)
        h->ns = MAX(h->ns / 2, HORIZON_LEAST_NS);
}

uint64_t horizon_batch_ns(const struct horizon *h)
{
    return MAX(MIN(h->ns, h->far_ns) / BATCHES_PER_HORIZON, HORIZON_BATCH_NS);
}
