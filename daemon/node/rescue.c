/* Rescue: data under a receiver index that nobody here knows, from where a peer of ours is. Its key
 * was made by a sibling that could not replicate it any more; without a word of ours the peer would
 * find out by its own timers, after 15 s.
 *
 * Anybody can send such a packet from a forged address. All that it gets is an initiation to the
 * peer itself: one in REKEY_TIMEOUT per peer, a few more while they are not answered, so many a
 * second in all. */
#include "base/bytes.h"
#include "base/plant.h"
#include "node/internal.h"

#define RESCUES_PER_S 200
#define FIRST_WAIT_NS (250 * NS_PER_MS)
#define WAITS_MAX 5                 /* then it is REKEY_TIMEOUT */
#define ANSWER_NS (100 * NS_PER_MS) /* an initiation that is older was lost on its way */

static struct rescue_slot *slot_of(struct node *n, const struct endpoint *at)
{
    uint64_t h = n->rescue_seed;

    for (unsigned i = 0; i < sizeof(at->addr.b); i++)
        h = (h ^ at->addr.b[i]) * 1099511628211ull;
    h = (h ^ at->port) * 1099511628211ull;
    return &n->rescues[(h ^ h >> 32) % RESCUE_SLOTS];
}

void rescue_learn(struct node *n, const struct node_peer *p, const struct endpoint *at)
{
    if (clustered(n) && endpoint_is_set(at))
        slot_of(n, at)->peer_id = p->wg.id;
}

static bool may_rescue(struct node *n, struct instant now)
{
    const uint64_t cost_ns = NS_PER_S / RESCUES_PER_S;

    n->rescue_tokens_ns = MIN(NS_PER_S, n->rescue_tokens_ns + (now.boot_ns - n->rescue_seen_ns));
    n->rescue_seen_ns = now.boot_ns;
    if (n->rescue_tokens_ns < cost_ns)
        return false;
    n->rescue_tokens_ns -= cost_ns;
    return true;
}

/* Within @length_ns, and since another owner let go that we could not ask: that one may have made a
 * later session, whatever we did before (O5). */
static bool lately(const struct node *n, uint16_t vip, uint64_t when_ns, uint64_t length_ns,
                   struct instant now)
{
    return when_ns && now.boot_ns - when_ns < length_ns && when_ns > n->vip[vip].outbid_ns;
}

/* An initiation, or its answer, was lost while packets go on to come: the next waits twice as long.
 */
static uint64_t wait_ns(const struct node_peer *p)
{
    if (PLANTED("rescued-once"))
        return REKEY_TIMEOUT_NS;
    return MIN(FIRST_WAIT_NS << p->rescues, REKEY_TIMEOUT_NS);
}

void rescue_unknown(struct node *n, uint16_t vip, const struct endpoint *source, struct instant now)
{
    struct endpoint at, local;
    uint32_t ifindex;

    if (!clustered(n) || !gate_owned(n->gate, vip) || PLANTED("no-rescue"))
        return;
    struct node_peer *p = peer_by_id(n, slot_of(n, source)->peer_id);
    if (!p || atomic_load(&p->wg.vip) != vip || !peer_endpoint_get(&p->wg, &at, &local, &ifindex) ||
        !endpoint_equal(&at, source))
        return;
    /* What is still under way after an ordinary rekey, and what was answered already. */
    if (lately(n, vip, p->timers.session_ns, REKEY_TIMEOUT_NS, now) ||
        lately(n, vip, p->rescued_ns, wait_ns(p), now))
        return;
    if (p->initiate_queued || (p->initiation && now.boot_ns - p->initiation->sent_ns < ANSWER_NS) ||
        !may_rescue(n, now))
        return;
    /* The packet shows that the way is open now: when the VIP had just come it may not have been.
     */
    if (p->initiation)
        p->timers.retry_at_ns = 0;
    bool again = p->timers.session_ns < p->rescued_ns &&
                 lately(n, vip, p->rescued_ns, 2 * REKEY_TIMEOUT_NS, now);
    p->rescues = again ? (uint8_t)MIN(p->rescues + 1, WAITS_MAX) : 0;
    p->rescued_ns = now.boot_ns;
    n->counters.unknown_rescues++;
    handshake_urgently(n, p, now);
}
