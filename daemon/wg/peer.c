#include "wg/peer.h"
#include "base/clock.h"
#include "base/err.h"
#include "wg/spin.h"
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HANDSHAKE_SAME_NS NS_PER_S /* ages are good to less, and clocks are set */

static struct peer_live idle; /* stays zero */
const struct peer_slots peer_slots_empty;

void wg_peer_init(struct wg_peer *p, uint64_t id, uint8_t hub, const struct public_key *key)
{
    memset(p, 0, sizeof(*p));
    atomic_init(&p->live, &idle);
    p->id = id;
    p->hub = hub;
    p->key = *key;
}

void wg_peer_done(struct wg_peer *p)
{
    struct peer_live *live = atomic_exchange(&p->live, &idle);

    if (live != &idle)
        free(live);
    free(p->place);
    free(p->slots);
    p->place = NULL;
    p->slots = NULL;
}

int peer_wake(struct wg_peer *p)
{
    struct peer_live *none = &idle, *live;

    if (peer_live(p) != &idle)
        return 0;
    live = calloc(1, sizeof(*live));
    if (!live)
        return -ENOMEM;
    if (!atomic_compare_exchange_strong_explicit(&p->live, &none, live, memory_order_acq_rel,
                                                 memory_order_acquire))
        free(live); /* another thread adopts another key of it */
    return 0;
}

static struct peer_live *woken(const struct wg_peer *p)
{
    struct peer_live *live = peer_live(p);

    assert(live != &idle);
    return live;
}

/* ---- timer facts ---- */

static uint64_t some(uint64_t now_ns)
{
    return now_ns ? now_ns : 1; /* 0 means: nothing outstanding */
}

/* Sets @fact unless it is set. Returns true when main must arm. The exchange pairs with the one in
 * timers_step(): either it sees this fact, or we see its disarming. A fact that stands has had its
 * exchange; a plain look at `armed` is enough then. */
static bool arise(struct wg_peer *p, _Atomic uint64_t *fact, uint64_t now_ns)
{
    uint64_t none = 0;

    if ((atomic_load_explicit(fact, memory_order_relaxed) ||
         !atomic_compare_exchange_strong_explicit(fact, &none, some(now_ns), memory_order_relaxed,
                                                  memory_order_relaxed)) &&
        atomic_load_explicit(&p->armed, memory_order_relaxed))
        return false;
    return !atomic_exchange_explicit(&p->armed, true, memory_order_acq_rel);
}

static void settle(_Atomic uint64_t *fact)
{
    if (atomic_load_explicit(fact, memory_order_relaxed)) /* mostly not: spare the cache line */
        atomic_store_explicit(fact, 0, memory_order_relaxed);
}

static void note_traffic(struct peer_live *l, uint64_t now_ns)
{
    atomic_store_explicit(&l->traffic_ns, some(now_ns), memory_order_relaxed);
}

uint64_t peer_handshake_real_ns(const struct wg_peer *p, uint64_t now_ns, uint64_t now_real_ns)
{
    const struct keypair *k = atomic_load(&p->current);
    uint64_t ours = atomic_load(&peer_live(p)->handshake_real_ns);

    uint64_t made = k ? now_real_ns - MIN(now_real_ns, keypair_age_hi(k, now_ns)) : 0;

    return made > ours + HANDSHAKE_SAME_NS ? made : ours;
}

bool peer_note_sent(struct wg_peer *p, uint64_t now_ns, bool data, unsigned wire_bytes)
{
    struct peer_live *l = woken(p);

    atomic_fetch_add_explicit(&l->tx_bytes, wire_bytes, memory_order_relaxed);
    note_traffic(l, now_ns);
    settle(&l->data_received_ns); /* whatever we send tells the peer that we are there */
    if (atomic_load_explicit(&p->more_received, memory_order_relaxed))
        atomic_store_explicit(&p->more_received, false, memory_order_relaxed);
    return data && arise(p, &l->data_sent_ns, now_ns);
}

bool peer_note_received(struct wg_peer *p, uint64_t now_ns, bool data, unsigned wire_bytes)
{
    struct peer_live *l = woken(p);

    atomic_fetch_add_explicit(&l->rx_bytes, wire_bytes, memory_order_relaxed);
    note_traffic(l, now_ns);
    settle(&l->data_sent_ns);
    if (!data)
        return false;
    if (atomic_load_explicit(&l->data_received_ns, memory_order_relaxed)) {
        if (!atomic_load_explicit(&p->more_received, memory_order_relaxed))
            atomic_store_explicit(&p->more_received, true, memory_order_relaxed);
        return false;
    }
    return arise(p, &l->data_received_ns, now_ns);
}

void peer_settle(struct wg_peer *p)
{
    settle(&peer_live(p)->data_sent_ns);
    settle(&peer_live(p)->data_received_ns);
}

/* ---- endpoint ---- */

static bool newer(const struct endpoint_version *a, const struct endpoint_version *b)
{
    return a->generation != b->generation ? a->generation > b->generation : a->counter > b->counter;
}

/* Under endpoint_lock. NULL: no memory. */
static struct peer_place *place_of(struct wg_peer *p)
{
    if (!p->place)
        p->place = calloc(1, sizeof(*p->place));
    return p->place;
}

/* Under endpoint_lock. Without memory we answer from any address. */
static void set_local(struct wg_peer *p, const struct ip_addr *local, uint32_t ifindex)
{
    if (addr_is_zero(local) ? peer_live(p) == &idle : peer_wake(p) < 0)
        return;
    peer_live(p)->local = *local;
    peer_live(p)->local_ifindex = ifindex;
}

bool peer_endpoint_update(struct wg_peer *p, const struct endpoint *source,
                          const struct endpoint *local, uint32_t local_ifindex, uint16_t vip_slot,
                          const struct endpoint_version *v)
{
    bool moved = false;

    spin_lock(&p->endpoint_lock);
    struct peer_place *at = place_of(p);
    if (at && newer(v, &at->version)) {
        at->version = *v;
        if (!endpoint_equal(&at->endpoint, source)) {
            at->endpoint = *source;
            moved = true;
        }
        set_local(p, &local->addr, local_ifindex);
        if (atomic_load_explicit(&p->vip, memory_order_relaxed) != vip_slot) { /* E3 */
            atomic_store_explicit(&p->vip, vip_slot, memory_order_relaxed);
            moved = true;
        }
    }
    spin_unlock(&p->endpoint_lock);
    return moved;
}

bool peer_endpoint_get(struct wg_peer *p, struct endpoint *ret, struct endpoint *ret_local,
                       uint32_t *ret_ifindex)
{
    bool known;

    spin_lock(&p->endpoint_lock);
    known = p->place && endpoint_is_set(&p->place->endpoint);
    if (known) {
        const struct peer_live *l = peer_live(p);

        *ret = p->place->endpoint;
        *ret_local = (struct endpoint){.addr = l->local};
        *ret_ifindex = l->local_ifindex;
    }
    spin_unlock(&p->endpoint_lock);
    return known;
}

struct endpoint_version peer_endpoint_version(struct wg_peer *p)
{
    struct endpoint_version v = {0};

    spin_lock(&p->endpoint_lock);
    if (p->place)
        v = p->place->version;
    spin_unlock(&p->endpoint_lock);
    return v;
}

static const struct ip_addr any;

int peer_endpoint_set(struct wg_peer *p, const struct endpoint *e)
{
    spin_lock(&p->endpoint_lock);
    struct peer_place *at = place_of(p);
    if (at) {
        at->endpoint = *e;
        set_local(p, &any, 0);
    }
    spin_unlock(&p->endpoint_lock);
    return at ? 0 : -ENOMEM;
}

void peer_endpoint_clear_local(struct wg_peer *p)
{
    spin_lock(&p->endpoint_lock);
    set_local(p, &any, 0);
    spin_unlock(&p->endpoint_lock);
}

/* ---- slots ---- */

static struct keypair *current_of(const struct wg_peer *p)
{
    return atomic_load_explicit(&p->current, memory_order_relaxed);
}

static void set_current(struct wg_peer *p, struct keypair *k)
{
    atomic_store_explicit(&p->current, k, memory_order_release);
}

/* NULL: no memory. */
static struct peer_slots *slots_of(struct wg_peer *p)
{
    if (!p->slots)
        p->slots = calloc(1, sizeof(*p->slots));
    return p->slots;
}

static void slots_trim(struct wg_peer *p)
{
    if (p->slots && !p->slots->previous && !p->slots->next[0]) {
        free(p->slots);
        p->slots = NULL;
    }
}

static unsigned fall_out(struct keypair *k, struct keypair **ret_out, unsigned count)
{
    if (k)
        ret_out[count++] = k;
    return count;
}

/* @k becomes current, what was current becomes previous, what was previous falls out. */
static unsigned advance(struct wg_peer *p, struct keypair *k, struct keypair **ret_out,
                        unsigned count)
{
    struct keypair *was = current_of(p);
    struct peer_slots *s = was ? slots_of(p) : p->slots;

    if (s) {
        count = fall_out(s->previous, ret_out, count);
        s->previous = was;
    } else {
        count = fall_out(was, ret_out, count);
    }
    set_current(p, k);
    slots_trim(p);
    return count;
}

/* Two that made one each without having heard of the other number them alike; the peer talks by the
 * later one. */
static bool made_after(const struct keypair *a, const struct keypair *b)
{
    if (a->generation != b->generation)
        return a->generation > b->generation;
    return (int64_t)(atomic_load(&a->born_ns) - atomic_load(&b->born_ns)) > 0;
}

/* Oldest first; replicas need not come in that order. */
static unsigned add_next(struct wg_peer *p, struct keypair *k, struct keypair **ret_out)
{
    struct peer_slots *s = slots_of(p);
    unsigned count = 0, used, i;

    if (!s)
        return 0;
    for (used = 0; used < NEXT_SLOTS && s->next[used]; used++)
        ;
    if (used == NEXT_SLOTS) { /* H3: full, so the oldest falls out */
        count = fall_out(s->next[0], ret_out, count);
        memmove(s->next, s->next + 1, sizeof(s->next) - sizeof(s->next[0]));
        used--;
    }
    for (i = used; i > 0 && made_after(s->next[i - 1], k); i--)
        s->next[i] = s->next[i - 1];
    s->next[i] = k;
    return count;
}

unsigned peer_install_initiated(struct wg_peer *p, struct keypair *k, struct keypair **ret_out)
{
    return advance(p, k, ret_out, 0); /* H4: unconfirmed responder keys stay where they are */
}

unsigned peer_install_next(struct wg_peer *p, struct keypair *k, struct keypair **ret_out)
{
    return add_next(p, k, ret_out);
}

unsigned peer_confirm(struct wg_peer *p, struct keypair *k, struct keypair **ret_out)
{
    struct peer_slots *s = p->slots;
    unsigned count = 0, i;

    for (i = 0; s && i < NEXT_SLOTS && s->next[i] != k; i++)
        ;
    if (!s || i == NEXT_SLOTS)
        return 0;
    for (unsigned older = 0; older < i; older++)
        count = fall_out(s->next[older], ret_out, count);
    memmove(s->next, s->next + i + 1, (NEXT_SLOTS - i - 1) * sizeof(s->next[0]));
    memset(s->next + NEXT_SLOTS - i - 1, 0, (i + 1) * sizeof(s->next[0]));
    struct keypair *current = current_of(p);
    if (!current || made_after(k, current))
        return advance(p, k, ret_out, count);
    /* Crossing initiations: this data left before the peer heard of our newer key. If both ends
     * went back to the older one, each would take the other for the initiator, and nobody would
     * rekey. */
    count = fall_out(s->previous, ret_out, count);
    s->previous = k;
    return count;
}

static bool forget_slot(struct peer_slots *s, const struct keypair *k)
{
    if (s->previous == k) {
        s->previous = NULL;
        return true;
    }
    for (unsigned i = 0; i < NEXT_SLOTS; i++)
        if (s->next[i] == k) {
            memmove(s->next + i, s->next + i + 1, (NEXT_SLOTS - i - 1) * sizeof(s->next[0]));
            s->next[NEXT_SLOTS - 1] = NULL;
            return true;
        }
    return false;
}

bool peer_forget(struct wg_peer *p, struct keypair *k)
{
    if (current_of(p) == k) {
        set_current(p, NULL);
        return true;
    }
    bool found = p->slots && forget_slot(p->slots, k);
    slots_trim(p);
    return found;
}

unsigned peer_install_replica(struct wg_peer *p, struct keypair *k, enum session_slot slot,
                              struct keypair **ret_out)
{
    struct keypair *current;
    struct peer_slots *s;
    unsigned count = 0;

    peer_forget(p, k);
    current = current_of(p);
    switch (slot) {
    case SLOT_CURRENT:
        if (!current) {
            set_current(p, k);
            return 0;
        }
        if (made_after(k, current))
            return advance(p, k, ret_out, 0); /* as it did at its owner */
        /* Two owners before a heal: the later handshake is the one the client talks by, so the
         * older key is good for receiving only. */
        __attribute__((fallthrough));
    case SLOT_PREVIOUS:
        s = slots_of(p);
        if (s) {
            count = fall_out(s->previous, ret_out, count);
            s->previous = k;
        }
        return count;
    case SLOT_NEXT:
        return add_next(p, k, ret_out);
    }
    return 0;
}
