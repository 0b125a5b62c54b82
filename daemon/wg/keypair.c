/* One session key's decisions.
 *
 * Who may do what, and why the races are harmless:
 *
 * rx_lock covers the window, every change of `state`, and with them floor, ceiling and top at
 * adoption. keypair_receive*() asks the gate inside the lock, so once keypair_final_top() has had
 * the lock after the gate was closed, nothing is accepted any more.
 *
 * R8: `limit` holds L and ADOPTED in one word. A worker adopts by compare-and-swap of ADOPTED and
 * starts at the L that this very operation saw; main raises L by compare-and-swap and acks only if
 * it succeeded. Both act on one word, so they have one order: a raise that comes first is seen by
 * the adopter, which then starts at the raised L as the ack promises; one that comes second meets
 * ADOPTED, fails, and is never acked. No other memory takes part in the promise, so any ordering
 * would do for it; the swap is acq_rel all the same, because floor, ceiling, window and counter are
 * published by the release store of `state` that follows, and nobody acts on them who has not seen
 * that store (or taken rx_lock).
 *
 * Sending reads `state` without the lock. A sender that read OWNED just before keypair_yield() may
 * still take counters and send: they carry this process's own tag, or lie in creator space that
 * only this process uses, so no nonce can be used twice (N1-N3); the packet is at worst dropped by
 * the client's window. It is over within the batch in hand, far inside O1's 50 ms. */
#include "wg/keypair.h"
#include "base/err.h"
#include "base/plant.h"
#include "base/secret.h"
#include "wg/peer.h"
#include "wg/spin.h"
#include <stdlib.h>

/* A counter at or above it is refused (paper, section 6.1). In cluster mode well below that, since
 * L shares its word with LIMIT_ADOPTED; above R14's 2^60 and out of reach in the life of a key. */
#define RX_COUNTER_END_PLAIN (UINT64_MAX - (1ull << 13))
#define RX_COUNTER_END (1ull << 62)

enum way { WAY_OPEN, WAY_NOT_OURS, WAY_STALE };

/* Of all replicas that nothing touched yet. In memory that cannot be written: who does, ends. */
static const struct keypair_live nothing = {.tx = COUNTER_OF_REPLICA};
#define UNTOUCHED ((struct keypair_live *)&nothing)

/* Before publication or under rx_lock. NULL: no memory. */
static struct keypair_live *live_of(struct keypair *k)
{
    struct keypair_live *l = keypair_live(k);

    if (l != UNTOUCHED)
        return l;
    l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    counter_start_replica(&l->tx);
    atomic_init(&l->headroom, LIMIT_FIRST);
    atomic_store_explicit(&k->live, l, memory_order_release);
    return l;
}

/* Under rx_lock. NULL: no memory. */
static struct replay *window_of(struct keypair_live *l)
{
    if (!l->window)
        l->window = calloc(1, sizeof(*l->window));
    return l->window;
}

static uint64_t limit_of_wire(uint64_t limit)
{
    /* Nothing a sibling says may look like LIMIT_ADOPTED; the highest L accepts nothing: safe. */
    return limit < LIMIT_ADOPTED ? limit : LIMIT_ADOPTED - 1;
}

static struct keypair *make(const struct session *s, uint64_t now_ns)
{
    struct keypair *k = calloc(1, sizeof(*k));

    if (!k)
        return NULL;
    /* Field by field: the id is hashed as bytes, and its padding must stay zero. */
    k->id.hub = s->id.hub;
    k->id.creator = s->id.creator;
    k->id.instance = s->id.instance;
    k->id.seq = s->id.seq;
    k->keys = s->keys;
    k->local_index = s->local_index;
    k->remote_index = s->remote_index;
    k->hub_initiated = s->hub_initiated;
    k->generation = s->generation;
    atomic_init(&k->confirmed, s->confirmed);
    /* May be before this machine's boot: ages are differences, and wrap as they should. */
    atomic_init(&k->born_ns, now_ns - (PLANTED("age-restarted") ? 0 : s->age_hi_ns));
    atomic_init(&k->term_known, s->term);
    atomic_init(&k->top, s->top);
    atomic_init(&k->live, UNTOUCHED);
    return k;
}

struct keypair *keypair_new(const struct session *s, uint64_t now_ns)
{
    struct keypair *k = make(s, now_ns);

    if (!k)
        return NULL;
    struct keypair_live *l = live_of(k);
    if (!l) {
        free(k);
        return NULL;
    }
    k->created_here = true;
    counter_start(&l->tx);
    atomic_init(&k->state, KEYPAIR_OWNED);
    atomic_init(&k->limit, LIMIT_ADOPTED); /* a sibling's raise of it fails */
    atomic_init(&l->ceiling, s->limit);    /* until main knows the holders */
    return k;
}

struct keypair *keypair_new_replica(const struct session *s, uint8_t owner, uint64_t now_ns)
{
    struct keypair *k = make(s, now_ns);

    if (!k)
        return NULL;
    atomic_init(&k->state, KEYPAIR_REPLICA);
    atomic_init(&k->owner, owner);
    atomic_init(&k->limit, limit_of_wire(s->limit));
    return k;
}

void keypair_free(struct keypair *k)
{
    if (!k)
        return;
    struct keypair_live *l = keypair_live(k);
    if (l != UNTOUCHED) {
        free(l->window);
        free(l);
    }
    secret_free(k->keys);
    free(k);
}

void keypair_close(struct keypair *k)
{
    spin_lock(&k->rx_lock);
    atomic_store_explicit(&k->state, KEYPAIR_CLOSED, memory_order_release);
    spin_unlock(&k->rx_lock);
}

uint64_t keypair_age_hi(const struct keypair *k, uint64_t now_ns)
{
    int64_t age = (int64_t)(now_ns - atomic_load_explicit(&k->born_ns, memory_order_relaxed));

    return age > 0 ? (uint64_t)age : 0; /* a worker's time may be a little older than main's */
}

/* O1, R12. */
static enum way way(const struct keypair *k, const struct gate *g, uint64_t now_ns)
{
    if (!gate_owned(g, atomic_load_explicit(&k->vip, memory_order_relaxed)))
        return WAY_NOT_OURS;
    if (!g->plain && now_ns < atomic_load_explicit(&g->resume_ns, memory_order_acquire))
        return WAY_STALE;
    return WAY_OPEN;
}

/* R9, but for the age, which the callers check. @slot is owned: since_ns is of its arrival. */
static bool fit(const struct keypair *k, const struct gate *g, uint16_t slot)
{
    uint8_t owner = atomic_load_explicit(&k->owner, memory_order_relaxed);

    if (!atomic_load_explicit(&k->adoptable, memory_order_relaxed) && !PLANTED("unfit-adopted"))
        return false;
    if (owner == 0 || owner > MEMBER_ID_MAX)
        return false;
    uint64_t since = atomic_load_explicit(&g->vip[slot].since_ns, memory_order_relaxed);
    uint64_t heard = atomic_load_explicit(&g->member[owner].heartbeat_ns, memory_order_relaxed);
    return (heard != 0 && heard + g->fresh_ns >= since) || PLANTED("stale-adopted");
}

bool keypair_in_transit(const struct keypair *k, const struct gate *g)
{
    uint16_t slot = atomic_load_explicit(&k->vip, memory_order_relaxed);

    if (!gate_coming(g, slot) || PLANTED("transit-not-waited") ||
        atomic_load_explicit(&k->state, memory_order_acquire) != KEYPAIR_REPLICA ||
        atomic_load_explicit(&g->vip[slot].from, memory_order_relaxed) !=
            atomic_load_explicit(&k->owner, memory_order_relaxed))
        return false;
    return !gate_owned(g, slot) || !atomic_load_explicit(&k->released, memory_order_acquire);
}

static void raise_top(struct keypair *k, uint64_t next)
{
    if (next > atomic_load_explicit(&k->top, memory_order_relaxed))
        atomic_store_explicit(&k->top, next, memory_order_relaxed);
}

/* First touch of a replica while its VIP is ours (R8, R9). Under rx_lock. */
static bool adopt(struct keypair *k, const struct gate *g, uint64_t now_ns, unsigned *effects)
{
    uint16_t slot = atomic_load_explicit(&k->vip, memory_order_relaxed);

    bool can = fit(k, g, slot) && (!k->peer || peer_wake(k->peer) == 0);
    struct keypair_live *l = can ? live_of(k) : NULL;
    if (!l || !window_of(l)) {
        if (!atomic_exchange_explicit(&k->unfit_told, true, memory_order_relaxed))
            *effects |= EFFECT_UNFIT;
        return false;
    }

    uint64_t limit = atomic_load_explicit(&k->limit, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&k->limit, &limit, limit | LIMIT_ADOPTED,
                                                  memory_order_acq_rel, memory_order_relaxed))
        ;
    limit &= ~LIMIT_ADOPTED;

    /* Everything below L counts as seen; and what this process accepted in an earlier stay is not
     * forgotten, whatever L has become since. */
    if (PLANTED("window-from-zero"))
        limit = 0;
    uint64_t start = limit, floor = atomic_load_explicit(&l->floor, memory_order_relaxed);
    bool exact = l->handed && l->window->next == limit; /* R11 */
    if (start < floor)
        start = floor;
    if (start < l->window->next)
        start = l->window->next;
    if (!exact) {
        replay_init(l->window, start);
        atomic_store_explicit(&l->known_from, start, memory_order_relaxed);
    }
    l->handed = l->waited = false;
    atomic_store_explicit(&l->floor, start, memory_order_relaxed);
    raise_top(k, start);
    /* R16: towards the holders that remain we are an owner, and none of them has acked more than L;
     * main sets a ceiling of theirs when it has heard. */
    atomic_store_explicit(
        &l->ceiling,
        atomic_load_explicit(&g->vip[slot].others, memory_order_relaxed) ? limit : LIMIT_NONE,
        memory_order_relaxed);

    /* The generation first: if main redraws the tag in between, the next send bumps once more. */
    uint32_t suspicion = atomic_load_explicit(&g->suspicion, memory_order_acquire);
    struct counter_tag tag = gate_tag(g);
    counter_adopt(&l->tx, &tag, atomic_load_explicit(&k->term_known, memory_order_relaxed),
                  keypair_age_hi(k, now_ns)); /* no term left: it receives, and cannot send */
    atomic_store_explicit(&l->tx_suspicion, suspicion, memory_order_relaxed);
    atomic_store_explicit(&k->state, KEYPAIR_OWNED, memory_order_release);
    *effects |= EFFECT_ADOPTED;
    return true;
}

enum rx_verdict keypair_open_check(const struct keypair *k, const struct gate *g, uint64_t now_ns)
{
    switch (way(k, g, now_ns)) {
    case WAY_NOT_OURS:
        if (keypair_in_transit(k, g))
            break;
        return RX_DROP_NOT_OWNER;
    case WAY_STALE:
        return RX_DROP_STALE;
    case WAY_OPEN:
        break;
    }
    if (atomic_load_explicit(&k->state, memory_order_acquire) == KEYPAIR_CLOSED ||
        (keypair_age_hi(k, now_ns) >= REJECT_AFTER_TIME_NS && !PLANTED("accepted-for-ever")))
        return RX_DROP_EXPIRED;
    return RX_ACCEPT;
}

enum turn { TURN_FIRST, TURN_HELD, TURN_TIMEOUT };

/* R11: until the owner has said its last word on the key. Under rx_lock. */
static enum rx_verdict wait_for_key(struct keypair *k, const struct gate *g, enum turn turn)
{
    struct keypair_live *l = live_of(k);
    uint16_t held;

    if (turn == TURN_TIMEOUT && way(k, g, 0) == WAY_NOT_OURS)
        return RX_DROP_NOT_OWNER; /* the VIP did not come */
    if (turn != TURN_FIRST)
        return RX_HOLD;
    if (!l || (held = atomic_load_explicit(&l->held, memory_order_relaxed)) >= TRANSIT_PER_KEY_MAX)
        return RX_DROP_NOT_OWNER;
    atomic_store_explicit(&l->held, held + 1, memory_order_relaxed);
    l->waited = true;
    return RX_HOLD;
}

/* Under rx_lock, an authentic packet. The order is R1's. */
static enum rx_verdict decide(struct keypair *k, const struct gate *g, uint64_t now_ns,
                              uint64_t counter, enum turn turn, unsigned *effects)
{
    enum rx_verdict early = keypair_open_check(k, g, now_ns);

    if (early != RX_ACCEPT)
        return early;
    if (counter >= (g->plain ? RX_COUNTER_END_PLAIN : RX_COUNTER_END))
        return RX_DROP_EXPIRED;
    if (atomic_load_explicit(&k->state, memory_order_relaxed) == KEYPAIR_REPLICA) {
        if (keypair_in_transit(k, g))
            return wait_for_key(k, g, turn);
        if (turn != TURN_FIRST && !keypair_live(k)->waited)
            return RX_DROP_NOT_OWNER; /* the key was handed away while the packet waited */
        if (!adopt(k, g, now_ns, effects))
            return RX_DROP_UNFIT;
    }
    struct keypair_live *l = keypair_live(k);
    if (!l->window) {
        uint64_t floor = atomic_load_explicit(&l->floor, memory_order_relaxed);

        l->window = calloc(1, sizeof(*l->window));
        if (l->window && floor)
            replay_init(l->window, floor);
    }
    if (!l->window)
        return RX_DROP_REPLAY; /* no memory to tell: refuse */

    if (counter < atomic_load_explicit(&l->known_from, memory_order_relaxed)) {
        if (!atomic_exchange_explicit(&l->rescue_asked, true, memory_order_relaxed))
            *effects |= EFFECT_RESCUE; /* R9a */
        return RX_DROP_BELOW_FLOOR;
    }
    if (!replay_check(l->window, counter) && !PLANTED("no-replay-window"))
        return RX_DROP_REPLAY;

    uint64_t ceiling =
        g->plain ? LIMIT_NONE : atomic_load_explicit(&l->ceiling, memory_order_acquire);
    if (PLANTED("ceiling-ignored") || (PLANTED("ceiling-included") && counter == ceiling))
        ceiling = LIMIT_NONE;
    if (counter >= ceiling) { /* R2 */
        bool news = counter >= atomic_load_explicit(&k->top, memory_order_relaxed);

        raise_top(k, counter + 1); /* R3: held ones included */
        if (turn == TURN_HELD) {
            if (news) /* it waited for its key, and asks only now */
                *effects |= EFFECT_RAISE | EFFECT_FLUSH;
            return RX_HOLD;
        }
        uint16_t held = atomic_load_explicit(&l->held, memory_order_relaxed);
        if (turn == TURN_FIRST && held < HELD_PER_KEY_MAX) {
            atomic_store_explicit(&l->held, held + 1, memory_order_relaxed);
            atomic_store_explicit(&l->raise_asked, true, memory_order_relaxed);
            *effects |= EFFECT_RAISE | EFFECT_FLUSH; /* R6 */
            return RX_HOLD;
        }
        *effects |= EFFECT_DIRTY; /* R6, R7: normal profile */
    }
    replay_accept(l->window, counter);
    raise_top(k, counter + 1);

    if (ceiling != LIMIT_NONE &&
        l->window->next + atomic_load_explicit(&l->headroom, memory_order_relaxed) / 2 > ceiling &&
        !atomic_exchange_explicit(&l->raise_asked, true, memory_order_relaxed))
        *effects |= EFFECT_RAISE; /* R3 */
    if (!atomic_load_explicit(&k->confirmed, memory_order_relaxed) &&
        !atomic_exchange_explicit(&k->confirmed, true, memory_order_relaxed))
        *effects |= EFFECT_CONFIRMED;
    if (k->hub_initiated && keypair_age_hi(k, now_ns) > REKEY_ON_RECEIVE_NS &&
        (!k->peer || atomic_load_explicit(&k->peer->current, memory_order_relaxed) == k) &&
        !atomic_exchange_explicit(&l->rekey_asked, true, memory_order_relaxed))
        *effects |= EFFECT_REKEY;
    atomic_fetch_add_explicit(&l->rx_packets, 1, memory_order_relaxed);
    atomic_store_explicit(&l->last_data_ns, now_ns, memory_order_relaxed);
    return RX_ACCEPT;
}

enum rx_verdict keypair_receive(struct keypair *k, const struct gate *g, uint64_t now_ns,
                                uint64_t counter, unsigned *ret_effects)
{
    *ret_effects = 0;
    spin_lock(&k->rx_lock);
    enum rx_verdict v = decide(k, g, now_ns, counter, TURN_FIRST, ret_effects);
    spin_unlock(&k->rx_lock);
    return v;
}

void keypair_receive_run(struct keypair *k, const struct gate *g, uint64_t now_ns,
                         const uint64_t *counters, unsigned n, enum rx_verdict *ret,
                         unsigned *ret_effects)
{
    *ret_effects = 0;
    spin_lock(&k->rx_lock);
    for (unsigned i = 0; i < n; i++)
        ret[i] = decide(k, g, now_ns, counters[i], TURN_FIRST, ret_effects);
    spin_unlock(&k->rx_lock);
}

enum rx_verdict keypair_receive_held(struct keypair *k, const struct gate *g, uint64_t now_ns,
                                     uint64_t counter, bool timeout, unsigned *ret_effects)
{
    *ret_effects = 0;
    spin_lock(&k->rx_lock);
    enum rx_verdict v =
        decide(k, g, now_ns, counter, timeout ? TURN_TIMEOUT : TURN_HELD, ret_effects);
    if (v != RX_HOLD)
        atomic_fetch_sub_explicit(&keypair_live(k)->held, 1, memory_order_relaxed);
    spin_unlock(&k->rx_lock);
    return v;
}

void keypair_held_dropped(struct keypair *k)
{
    spin_lock(&k->rx_lock);
    atomic_fetch_sub_explicit(&keypair_live(k)->held, 1, memory_order_relaxed);
    spin_unlock(&k->rx_lock);
}

/* N9, O5: one new term a generation, by N4 and not only the next one: while we stood still, or were
 * without the VIP, a sibling that we did not hear of may have gone on by age. It is made before the
 * generation is published, so a thread that finds tx_suspicion up to date takes from the new term.
 * False: the key cannot send any more. */
static bool catch_up(struct keypair *k, const struct gate *g, uint64_t now_ns)
{
    uint32_t suspicion = atomic_load_explicit(&g->suspicion, memory_order_acquire);
    struct keypair_live *l = keypair_live(k);
    bool ok = true;

    if (atomic_load_explicit(&l->tx_suspicion, memory_order_acquire) == suspicion ||
        PLANTED("suspicion-ignored"))
        return true;
    spin_lock(&k->rx_lock);
    suspicion =
        atomic_load_explicit(&g->suspicion, memory_order_acquire); /* never back to an older */
    if (atomic_load_explicit(&l->tx_suspicion, memory_order_relaxed) != suspicion) {
        struct counter_tag tag = gate_tag(g);
        ok = counter_adopt(&l->tx, &tag, atomic_load_explicit(&k->term_known, memory_order_relaxed),
                           keypair_age_hi(k, now_ns));
        atomic_store_explicit(&l->tx_suspicion, suspicion, memory_order_release);
    }
    spin_unlock(&k->rx_lock);
    return ok;
}

static bool is_rival(const struct gate *g, uint16_t slot, uint8_t member)
{
    return atomic_load_explicit(&g->vip[slot].rivals, memory_order_relaxed) >> member & 1;
}

void keypair_told(struct keypair *k, const struct gate *g, uint64_t now_ns)
{
    uint16_t slot = atomic_load_explicit(&k->vip, memory_order_relaxed);

    if (!gate_owned(g, slot) ||
        !is_rival(g, slot, atomic_load_explicit(&k->owner, memory_order_relaxed)))
        return;
    spin_lock(&k->rx_lock);
    struct keypair_live *l = live_of(k);
    if (l)
        atomic_store_explicit(&l->told_ns, now_ns, memory_order_relaxed);
    spin_unlock(&k->rx_lock);
}

bool keypair_contested(const struct keypair *k, const struct gate *g, uint64_t now_ns)
{
    uint64_t told = atomic_load_explicit(&keypair_live(k)->told_ns, memory_order_relaxed);
    uint8_t owner = atomic_load_explicit(&k->owner, memory_order_relaxed);
    uint16_t slot = atomic_load_explicit(&k->vip, memory_order_relaxed);

    if (!told || PLANTED("senders-take-back") || owner > MEMBER_ID_MAX ||
        atomic_load_explicit(&k->state, memory_order_acquire) != KEYPAIR_REPLICA ||
        atomic_load_explicit(&k->released, memory_order_acquire))
        return false;
    uint64_t since = atomic_load_explicit(&g->vip[slot].since_ns, memory_order_relaxed);
    return is_rival(g, slot, owner) && told >= since && now_ns < told + CONTEST_NS &&
           gate_hears(g, owner, now_ns);
}

/* A sender touches a replica first. */
static enum tx_verdict send_adopt(struct keypair *k, const struct gate *g, uint64_t now_ns,
                                  unsigned *effects)
{
    enum tx_verdict v = TX_OK;

    spin_lock(&k->rx_lock);
    uint8_t state = atomic_load_explicit(&k->state, memory_order_relaxed);
    if (state == KEYPAIR_CLOSED)
        v = TX_NO_KEY;
    else if (state == KEYPAIR_REPLICA && keypair_in_transit(k, g))
        v = TX_TRANSIT;
    else if (state == KEYPAIR_REPLICA && way(k, g, now_ns) != WAY_OPEN)
        v = TX_NOT_OWNER; /* the gate closed meanwhile */
    else if (keypair_contested(k, g, now_ns))
        v = TX_THEIRS;
    else if (state == KEYPAIR_REPLICA && !adopt(k, g, now_ns, effects))
        v = TX_UNFIT;
    spin_unlock(&k->rx_lock);
    return v;
}

enum tx_verdict keypair_send(struct keypair *k, const struct gate *g, uint64_t now_ns, unsigned n,
                             uint64_t *ret_first, unsigned *ret_effects)
{
    uint64_t age = keypair_age_hi(k, now_ns);

    *ret_effects = 0;
    switch (way(k, g, now_ns)) {
    case WAY_NOT_OURS:
        return keypair_in_transit(k, g) ? TX_TRANSIT : TX_NOT_OWNER;
    case WAY_STALE:
        return TX_STALE;
    case WAY_OPEN:
        break;
    }
    uint8_t state = atomic_load_explicit(&k->state, memory_order_acquire);
    if (state == KEYPAIR_CLOSED ||
        (age >= (k->created_here ? REJECT_AFTER_TIME_NS : SEND_AGE_MAX_NS) && /* N10 */
         !PLANTED("sent-for-ever")))
        return TX_NO_KEY;
    if (state == KEYPAIR_REPLICA) {
        enum tx_verdict v = send_adopt(k, g, now_ns, ret_effects);
        if (v != TX_OK)
            return v;
    }
    if (!g->plain && !catch_up(k, g, now_ns))
        return TX_NO_KEY;
    struct keypair_live *l = keypair_live(k);
    struct counter_tag tag = gate_tag(g);
    if (!counter_take(&l->tx, &tag, n, ret_first))
        return TX_NO_KEY;
    /* REKEY_AFTER_MESSAGES is never reached: our counters end long before, and then are scarce. */
    if (((k->hub_initiated && age > REKEY_AFTER_TIME_NS) || counter_scarce(&l->tx)) &&
        !atomic_load_explicit(&l->rekey_asked, memory_order_relaxed) &&
        !atomic_exchange_explicit(&l->rekey_asked, true, memory_order_relaxed))
        *ret_effects |= EFFECT_REKEY;
    atomic_store_explicit(&l->last_data_ns, now_ns, memory_order_relaxed);
    return TX_OK;
}

bool keypair_replica_raise(struct keypair *k, uint8_t from, uint64_t limit, bool lower)
{
    uint64_t now = atomic_load_explicit(&k->limit, memory_order_relaxed), want;

    limit = limit_of_wire(limit);
    /* Only the owner that our acks bind to may undo them. A lower L of an earlier one comes late,
     * and the present one may already accept up to what we acked to it. A raise is good from
     * anybody; and of two that both believe, one may be taken for the owner while the other has
     * our ack. */
    if (from != atomic_load_explicit(&k->owner, memory_order_relaxed)) {
        lower = false;
        if (limit > k->promised)
            k->promised = limit;
    }
    if (limit < k->promised && !PLANTED("promise-undone"))
        limit = k->promised;
    do {
        if (now & LIMIT_ADOPTED)
            return false; /* R10 */
        want = lower || limit > now ? limit : now;
    } while (!atomic_compare_exchange_weak_explicit(&k->limit, &now, want, memory_order_acq_rel,
                                                    memory_order_relaxed));
    return true;
}

static void know_term(struct keypair *k, uint16_t term)
{
    if (term > atomic_load_explicit(&k->term_known, memory_order_relaxed))
        atomic_store_explicit(&k->term_known, term, memory_order_relaxed);
}

void keypair_yield(struct keypair *k, uint8_t owner, uint64_t limit, uint16_t term)
{
    limit = limit_of_wire(limit);
    spin_lock(&k->rx_lock);
    uint8_t state = atomic_load_explicit(&k->state, memory_order_relaxed);
    if (state != KEYPAIR_CLOSED) {
        /* What any owner was promised by our ack stays promised (R8). Only R5's own message lowers:
         * ADOPTED may be a repetition, and a record may carry another holder's L. */
        uint64_t was = atomic_load_explicit(&k->limit, memory_order_relaxed) & ~LIMIT_ADOPTED;
        if (limit < was)
            limit = was;
        if (owner != atomic_load_explicit(&k->owner, memory_order_relaxed))
            k->promised = was;
        know_term(k, term);
        atomic_store_explicit(&k->owner, owner, memory_order_relaxed);
        atomic_store_explicit(&k->unfit_told, false, memory_order_relaxed);
        atomic_store_explicit(&k->released, false, memory_order_relaxed);
        struct keypair_live *l = keypair_live(k);
        if (l != UNTOUCHED) {
            atomic_store_explicit(&l->raise_asked, false, memory_order_relaxed);
            atomic_store_explicit(&l->rescue_asked, false, memory_order_relaxed);
            atomic_store_explicit(&l->rekey_asked, false, memory_order_relaxed);
            l->handed = l->waited = false;
        }
        atomic_store_explicit(&k->state, KEYPAIR_REPLICA, memory_order_release);
        /* From here on it may be adopted again, when rx_lock is free. */
        atomic_store_explicit(&k->limit, limit, memory_order_release);
    }
    spin_unlock(&k->rx_lock);
}

bool keypair_adopt(struct keypair *k, const struct gate *g, uint64_t now_ns)
{
    unsigned effects = 0;

    spin_lock(&k->rx_lock);
    /* Not fit: whoever touches it first tells (H8). */
    bool ok = atomic_load_explicit(&k->state, memory_order_relaxed) == KEYPAIR_REPLICA &&
              way(k, g, now_ns) == WAY_OPEN && keypair_open_check(k, g, now_ns) == RX_ACCEPT &&
              fit(k, g, atomic_load_explicit(&k->vip, memory_order_relaxed)) &&
              adopt(k, g, now_ns, &effects);
    spin_unlock(&k->rx_lock);
    return ok;
}

void keypair_outbid(struct keypair *k, uint16_t term, uint64_t top, const struct gate *g)
{
    spin_lock(&k->rx_lock);
    know_term(k, term);
    if (atomic_load_explicit(&k->state, memory_order_relaxed) == KEYPAIR_OWNED) {
        struct keypair_live *l = keypair_live(k);

        /* Which ones below it accepted is not told, so they all count as seen. */
        if (l->window && l->window->next > top)
            top = l->window->next;
        if (l->window)
            replay_init(l->window, top);
        if (top < atomic_load_explicit(&l->floor, memory_order_relaxed))
            top = atomic_load_explicit(&l->floor, memory_order_relaxed);
        atomic_store_explicit(&l->floor, top, memory_order_relaxed);
        atomic_store_explicit(&l->known_from, top, memory_order_relaxed);
        raise_top(k, top);
        struct counter_tag tag = gate_tag(g);
        counter_adopt(&l->tx, &tag, atomic_load_explicit(&k->term_known, memory_order_relaxed), 0);
    }
    spin_unlock(&k->rx_lock);
}

bool keypair_is_news(struct keypair *k, uint64_t counter)
{
    spin_lock(&k->rx_lock);
    const struct keypair_live *l = keypair_live(k);
    bool news = atomic_load_explicit(&k->state, memory_order_relaxed) == KEYPAIR_OWNED &&
                counter >= atomic_load_explicit(&l->known_from, memory_order_relaxed) &&
                (!l->window || replay_check(l->window, counter));
    spin_unlock(&k->rx_lock);
    return news;
}

uint64_t keypair_final_top(struct keypair *k)
{
    spin_lock(&k->rx_lock);
    const struct keypair_live *l = keypair_live(k);
    uint64_t next =
        l->window ? l->window->next : atomic_load_explicit(&l->floor, memory_order_relaxed);
    spin_unlock(&k->rx_lock);
    return next;
}

uint64_t keypair_hand_over(struct keypair *k, struct replay_tail *ret)
{
    *ret = (struct replay_tail){0};
    spin_lock(&k->rx_lock);
    struct keypair_live *l = keypair_live(k);
    uint64_t next = atomic_load_explicit(&l->floor, memory_order_relaxed);
    if (l->window) {
        next = l->window->next;
        replay_tail_take(l->window, ret);
        replay_init(l->window, next);
    }
    ret->known_from = atomic_load_explicit(&l->known_from, memory_order_relaxed);
    spin_unlock(&k->rx_lock);
    return next;
}

bool keypair_released(struct keypair *k, uint8_t from, uint64_t top, const struct replay_tail *tail,
                      uint16_t term)
{
    top = limit_of_wire(top);
    if (from != atomic_load_explicit(&k->owner, memory_order_relaxed) ||
        !keypair_replica_raise(k, from, top, true))
        return false;
    spin_lock(&k->rx_lock);
    know_term(k, term);
    if (atomic_load_explicit(&k->state, memory_order_relaxed) == KEYPAIR_REPLICA) {
        /* Without memory it is adopted at L, as after a crash. */
        struct keypair_live *l = live_of(k);
        struct replay *w = l ? window_of(l) : NULL;
        uint64_t own = w ? MAX(atomic_load_explicit(&l->floor, memory_order_relaxed), w->next) : 0;

        if (w && own <= top && !PLANTED("no-window-handed")) {
            replay_tail_init(w, top, tail, own);
            atomic_store_explicit(&l->known_from,
                                  PLANTED("gap-handed-as-seen") ? 0 : tail->known_from,
                                  memory_order_relaxed);
            l->handed = true;
        }
        atomic_store_explicit(&k->released, true, memory_order_release);
    }
    spin_unlock(&k->rx_lock);
    return true;
}

void keypair_describe(const struct keypair *k, uint64_t now_ns, struct session *ret)
{
    const struct keypair_live *l = keypair_live(k);
    uint16_t term = counter_term_now(&l->tx), known = atomic_load(&k->term_known);
    uint64_t age = keypair_age_hi(k, now_ns);
    bool owned = atomic_load_explicit(&k->state, memory_order_acquire) == KEYPAIR_OWNED;

    ret->id = k->id;
    ret->local_index = k->local_index;
    ret->remote_index = k->remote_index;
    ret->hub_initiated = k->hub_initiated;
    ret->confirmed = atomic_load(&k->confirmed);
    ret->age_lo_ns = ret->age_hi_ns = age;
    ret->generation = k->generation;
    ret->limit = owned ? atomic_load(&l->ceiling) : atomic_load(&k->limit) & ~LIMIT_ADOPTED;
    ret->top = atomic_load(&k->top);
    ret->term = term > known ? term : known;
}

void keypair_remember(struct keypair *k, struct keypair_past *ret)
{
    ret->tx = counter_save(&keypair_live(k)->tx);
    ret->rx = keypair_final_top(k);
}

int keypair_recall(struct keypair *k, const struct keypair_past *past)
{
    if (past->tx == COUNTER_REPLICA && !past->rx) /* it was not in use then either */
        return 0;
    struct keypair_live *l = live_of(k);
    if (!l)
        return -ENOMEM;
    counter_resume(&l->tx, past->tx);
    atomic_init(&l->floor, past->rx);
    return 0;
}
