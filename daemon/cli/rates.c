#include "cli/rates.h"
#include "base/clock.h"
#include "base/err.h"
#include <string.h>

const char *const rate_order_names[RATE_ORDERS] = {
    [RATE_BY_SUM] = "sum", [RATE_BY_RX] = "rx", [RATE_BY_TX] = "tx", [RATE_BY_NAME] = "name"};

struct sample {
    uint8_t hub;
    struct public_key key;
    uint64_t rx, tx;
};

struct rates {
    struct sample *last; /* sorted */
    unsigned count;
    uint64_t at_ns;
};

struct rates *rates_new(void)
{
    return calloc(1, sizeof(struct rates));
}

void rates_free(struct rates *r)
{
    if (r)
        free(r->last);
    free(r);
}

static int sample_order(const void *a, const void *b)
{
    const struct sample *x = a, *y = b;

    if (x->hub != y->hub)
        return x->hub - y->hub;
    return memcmp(&x->key, &y->key, sizeof(x->key));
}

static struct rate_row row_of(const struct rates *r, const struct status_peer *p, double seconds)
{
    struct rate_row row = {.peer = p};
    struct sample want = {.hub = p->hub, .key = p->public_key};
    const struct sample *was =
        r->count ? bsearch(&want, r->last, r->count, sizeof(want), sample_order) : NULL;

    if (!was || seconds <= 0 || p->rx_bytes < was->rx || p->tx_bytes < was->tx)
        return row;
    row.known = true;
    row.rx = (double)(p->rx_bytes - was->rx) / seconds;
    row.tx = (double)(p->tx_bytes - was->tx) / seconds;
    return row;
}

int rates_step(struct rates *r, const struct status_peer *peer, unsigned count, uint64_t now_ns,
               struct rate_row *ret)
{
    struct sample *next = calloc(count + 1, sizeof(*next));
    double seconds = now_ns > r->at_ns ? (double)(now_ns - r->at_ns) / NS_PER_S : 0;

    if (!next)
        return -ENOMEM;
    for (unsigned i = 0; i < count; i++) {
        ret[i] = row_of(r, &peer[i], seconds);
        next[i] =
            (struct sample){peer[i].hub, peer[i].public_key, peer[i].rx_bytes, peer[i].tx_bytes};
    }
    qsort(next, count, sizeof(*next), sample_order);
    free(r->last);
    *r = (struct rates){.last = next, .count = count, .at_ns = now_ns};
    return 0;
}

static int by_name(const struct rate_row *x, const struct rate_row *y)
{
    int c = strcmp(x->peer->name, y->peer->name);

    return c ? c : memcmp(&x->peer->public_key, &y->peer->public_key, sizeof(struct public_key));
}

static int by_number(double x, double y, const struct rate_row *a, const struct rate_row *b)
{
    return x > y ? -1 : x < y ? 1 : by_name(a, b);
}

static int row_order(const void *a, const void *b, void *arg)
{
    const struct rate_row *x = a, *y = b;

    switch (*(enum rate_order *)arg) {
    case RATE_BY_SUM:
        return by_number(x->rx + x->tx, y->rx + y->tx, x, y);
    case RATE_BY_RX:
        return by_number(x->rx, y->rx, x, y);
    case RATE_BY_TX:
        return by_number(x->tx, y->tx, x, y);
    default:
        return by_name(x, y);
    }
}

void rates_sort(struct rate_row *rows, unsigned count, enum rate_order order)
{
    qsort_r(rows, count, sizeof(*rows), row_order, &order);
}
