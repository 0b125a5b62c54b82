/* Warm mode: session keys never leave a member. What siblings have is where each peer is, its
 * stamps, and how recently it was there; who gets a VIP makes new sessions with all live peers, the
 * most recently active first. */
#include "base/bytes.h"
#include "node/internal.h"
#include <stdlib.h>

#define LIVE_NS REJECT_AFTER_TIME_NS  /* silent for longer: it has no session to lose */
#define TELL_EVERY_NS (10 * NS_PER_S) /* that a peer is active */
#define WARM_AFTER_NS                                                                              \
    (10 * NS_PER_MS) /* answers go where neighbours have learned that the VIP is */
#define WARM_EVERY_NS NS_PER_MS
#define WARM_PER_TICK 4 /* handshakes begun: some thousand a second, what two cores can do */

uint64_t warm_idle_ns(const struct node_peer *p, uint64_t now_ns)
{
    uint64_t last = MAX(atomic_load(&peer_live(&p->wg)->traffic_ns), p->active_ns);

    return last ? now_ns - MIN(last, now_ns) : UINT64_MAX;
}

/* Once a second, of a key that is ours: siblings are to know who is active. */
void warm_tell(struct node *n, struct node_key *k, struct instant now)
{
    struct node_peer *p = k->peer;

    if (!n->conf.warm || k->slot != SLOT_CURRENT ||
        now.boot_ns - p->endpoint_told_ns < TELL_EVERY_NS ||
        warm_idle_ns(p, now.boot_ns) >= TELL_EVERY_NS)
        return;
    p->endpoint_untold = true;
    peer_tell_endpoint(n, p, now);
}

void warm_heard(struct node *n, struct node_peer *p, const struct sync_endpoint *e,
                struct instant now)
{
    uint64_t idle = e->idle_ms > UINT64_MAX / NS_PER_MS ? UINT64_MAX : e->idle_ms * NS_PER_MS;

    if (idle < now.boot_ns)
        p->active_ns = MAX(p->active_ns, now.boot_ns - idle);
    p->generation = MAX(p->generation, e->version.generation);
}

/* ---- the VIP has come ---- */

static int by_recency(const void *a, const void *b)
{
    const struct warm_peer *x = a, *y = b;

    return (x->idle_ns > y->idle_ns) - (x->idle_ns < y->idle_ns);
}

/* Its own key is as good as any, if no sibling has made a newer one meanwhile. */
static bool has_session(struct node *n, struct node_peer *p, struct instant now)
{
    struct keypair *k = atomic_load(&p->wg.current);

    if (!k || keypair_age_hi(k, now.boot_ns) >= REJECT_AFTER_TIME_NS)
        return false;
    if (k->generation == p->generation)
        return true;
    peer_drop_keys(n, p);
    return false;
}

void warm_begin(struct node *n, uint16_t slot, struct instant now)
{
    struct vip_run *v = &n->vip[slot];
    unsigned count = 0;

    warm_end(n, slot);
    if (!n->conf.warm)
        return;
    v->warm = calloc(HASH_CNT(by_id, n->peers_by_id) + 1, sizeof(*v->warm));
    for (struct node_peer *p = n->peers_by_id; p && v->warm; p = p->by_id.next) {
        uint64_t idle = warm_idle_ns(p, now.boot_ns);

        if (atomic_load(&p->wg.vip) == slot && idle < LIVE_NS && !has_session(n, p, now))
            v->warm[count++] = (struct warm_peer){p->wg.id, idle};
    }
    v->warm_count = v->warm ? count : 0;
    v->warm_at_ns = now.boot_ns + WARM_AFTER_NS;
    if (count)
        qsort(v->warm, count, sizeof(*v->warm), by_recency);
}

void warm_end(struct node *n, uint16_t slot)
{
    struct vip_run *v = &n->vip[slot];

    free(v->warm);
    v->warm = NULL;
    v->warm_count = v->warm_next = 0;
}

uint64_t warm_tick(struct node *n, uint16_t slot, struct instant now)
{
    struct vip_run *v = &n->vip[slot];

    if (v->warm && now.boot_ns < v->warm_at_ns)
        return v->warm_at_ns;
    for (unsigned i = 0; i < WARM_PER_TICK && v->warm_next < v->warm_count; i++) {
        struct node_peer *p = peer_by_id(n, v->warm[v->warm_next++].peer_id);

        if (!p || atomic_load(&p->wg.current)) /* it was quicker */
            continue;
        n->counters.adopted_warm++;
        handshake_urgently(n, p, now);
    }
    if (v->warm_next < v->warm_count)
        return now.boot_ns + WARM_EVERY_NS;
    warm_end(n, slot);
    return NEVER;
}
