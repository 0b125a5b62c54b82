#include "sync/lease.h"
#include "base/err.h"
#include "base/plant.h"
#include <assert.h>

#define RATE_WINDOW_S 1.0 /* of the EWMA (R4); what a burst added to H goes as slowly */

void lease_init(struct lease *l, uint64_t first_limit)
{
    *l = (struct lease){.proposed = first_limit, .headroom = LEASE_HEADROOM_MIN};
}

/* ---- holders ---- */

static const struct lease_holder *look(const struct lease *l, uint8_t member)
{
    for (unsigned i = 0; i < HOLDERS_MAX; i++)
        if (l->holder[i].member == member)
            return &l->holder[i];
    return NULL;
}

static struct lease_holder *find(struct lease *l, uint8_t member)
{
    return (struct lease_holder *)look(l, member);
}

static unsigned holder_count(const struct lease *l)
{
    unsigned count = 0;

    for (unsigned i = 0; i < HOLDERS_MAX; i++)
        count += l->holder[i].member != 0;
    return count;
}

bool lease_has_room(const struct lease *l)
{
    return holder_count(l) < HOLDERS_MAX;
}

uint64_t lease_join_limit(const struct lease *l, uint64_t top)
{
    return MAX(l->proposed, top + l->headroom);
}

void lease_add_holder(struct lease *l, uint8_t member, uint64_t limit)
{
    struct lease_holder *h = find(l, member);

    if (!h)
        h = find(l, 0);
    if (!h && PLANTED("holder-not-counted"))
        return;
    assert(h); /* a holder that is not counted would be asked for nothing (R2) */
    *h = (struct lease_holder){0};
    /* Others do not know this limit: with it as the last proposal, theirs would never be raised. */
    if (!holder_count(l))
        l->proposed = MAX(l->proposed, limit);
    /* R15: acks of proposals made before it joined belong to what it held then. */
    *h = (struct lease_holder){
        .member = member, .counts = true, .acked = limit, .void_upto = l->seq};
}

void lease_drop_holder(struct lease *l, uint8_t member)
{
    struct lease_holder *h = member ? find(l, member) : NULL;

    if (h)
        *h = (struct lease_holder){0};
}

uint64_t lease_ceiling(const struct lease *l)
{
    uint64_t least = UINT64_MAX;

    /* R2: of every holder that counts, not of a majority. */
    for (unsigned i = 0; i < HOLDERS_MAX; i++)
        if (l->holder[i].counts)
            least = PLANTED("one-holder-is-enough") && least != UINT64_MAX
                        ? MAX(least, l->holder[i].acked)
                        : MIN(least, l->holder[i].acked);
    if (PLANTED("raised-before-ack") && least != UINT64_MAX)
        return l->proposed;
    return least;
}

/* ---- headroom (R4) ---- */

void lease_sample(struct lease *l, uint64_t packets, uint64_t now_ns, uint64_t horizon_ns)
{
    if (!l->rate_ns || now_ns <= l->rate_ns) {
        if (!l->rate_ns) {
            l->rate_ns = now_ns;
            l->rate_packets = packets;
        }
        return;
    }
    double dt = (double)(now_ns - l->rate_ns) / 1e9;
    double weight = dt / (dt + RATE_WINDOW_S);
    uint64_t came = packets > l->rate_packets ? packets - l->rate_packets : 0;

    l->rate_pps += ((double)came / dt - l->rate_pps) * weight;
    l->rate_ns = now_ns;
    l->rate_packets = packets;

    double wanted = l->rate_pps * ((double)horizon_ns / 1e9);
    uint32_t target = LEASE_HEADROOM_MAX;
    if (wanted < LEASE_HEADROOM_MAX)
        target = MAX((uint32_t)(wanted + 0.999), LEASE_HEADROOM_MIN);
    if (target >= l->headroom) {
        l->headroom = target;
        return;
    }
    uint32_t excess = l->headroom - target, less = (uint32_t)(excess * weight);
    l->headroom -= MAX(less, 1u);
}

void lease_held(struct lease *l)
{
    l->headroom = MIN(2 * l->headroom, LEASE_HEADROOM_MAX);
}

/* ---- proposals ---- */

/* A holder that acked in time may have been overtaken before the ceiling was in force. */
static void confirm(struct lease *l, uint64_t top)
{
    for (unsigned i = 0; i < HOLDERS_MAX; i++) {
        struct lease_holder *h = &l->holder[i];

        if (!h->recovering)
            continue;
        h->recovering = false;
        h->cleaned = h->acked >= top;
        if (!h->cleaned) {
            h->dirty = true;
            h->counts = false;
        }
    }
}

/* The highest L that any holder may start at. */
static uint64_t furthest(const struct lease *l)
{
    uint64_t most = l->proposed;

    for (unsigned i = 0; i < HOLDERS_MAX; i++)
        if (l->holder[i].member)
            most = MAX(most, l->holder[i].acked);
    return most;
}

static bool wide_for_long(struct lease *l, uint64_t top, uint64_t now_ns)
{
    uint64_t most = furthest(l);

    /* R5 counts from the highest authenticated, which is one below @top. */
    if (most < top || most - top + 1 <= 2ull * l->headroom) {
        l->wide_since_ns = 0;
        return false;
    }
    if (!l->wide_since_ns)
        l->wide_since_ns = now_ns;
    return now_ns - l->wide_since_ns >= LEASE_QUIET_NS;
}

/* A packet waits for a holder that was asked for nothing. */
static bool stuck(const struct lease *l, uint64_t top)
{
    for (unsigned i = 0; i < HOLDERS_MAX; i++)
        if (l->holder[i].counts && l->holder[i].acked < top && !l->holder[i].sent)
            return true;
    return false;
}

static void bind(struct lease *l, uint64_t limit)
{
    for (unsigned i = 0; i < HOLDERS_MAX; i++) {
        struct lease_holder *h = &l->holder[i];

        if (!h->member)
            continue;
        h->acked = PLANTED("lowered-unbound") ? h->acked : MIN(h->acked, limit);
        h->sent = 0;
        /* R5: a raise under way is void: behind it in the same log comes the lower L. */
        h->void_upto = l->seq;
    }
}

bool lease_propose(struct lease *l, uint64_t top, uint64_t now_ns, bool flush, uint64_t *ret_limit,
                   bool *ret_lower)
{
    confirm(l, top);
    if (!holder_count(l)) {
        l->wide_since_ns = 0;
        return false; /* R16: nobody to ask, no ceiling */
    }
    uint64_t limit = top + l->headroom;
    /* R3; R6: what waits is never left without a proposal under way. */
    if (top + l->headroom / 2 > l->proposed || (flush && stuck(l, top))) {
        limit = MAX(limit, l->proposed);
        l->wide_since_ns = 0;
        l->proposed = limit;
        l->seq++;
        *ret_lower = false;
    } else if (wide_for_long(l, top, now_ns)) {
        l->wide_since_ns = 0;
        l->proposed = limit;
        l->seq++;
        bind(l, limit);
        *ret_lower = true;
    } else {
        return false;
    }
    *ret_limit = limit;
    return true;
}

void lease_sent(struct lease *l, uint8_t member, uint64_t limit)
{
    struct lease_holder *h = member ? find(l, member) : NULL;

    if (h && limit > h->acked)
        h->sent = limit;
}

void lease_acked(struct lease *l, uint8_t member, uint64_t limit, uint32_t seq, uint64_t top)
{
    struct lease_holder *h = member ? find(l, member) : NULL;

    if (!h || seq <= h->void_upto)
        return;
    h->acked = MAX(h->acked, limit);
    if (h->acked >= h->sent)
        h->sent = 0;
    if (h->dirty && h->acked >= top) { /* R7 */
        h->dirty = false;
        h->counts = true;
        h->recovering = true;
    }
}

/* ---- bypass (R7) ---- */

uint32_t lease_bypassed(struct lease *l, uint64_t top)
{
    uint32_t became = 0;

    for (unsigned i = 0; i < HOLDERS_MAX; i++) {
        struct lease_holder *h = &l->holder[i];

        /* One slow holder makes nobody else's replica dirty. */
        if (!h->member || h->dirty || h->acked >= top)
            continue;
        /* One that is recovering was not told clean, but telling it again costs nothing. */
        h->dirty = true;
        h->counts = h->recovering = h->cleaned = false;
        became |= 1u << h->member;
    }
    return became;
}

bool lease_is_dirty(const struct lease *l, uint8_t member)
{
    const struct lease_holder *h = look(l, member);

    return h && (h->dirty || h->recovering || h->cleaned);
}

uint32_t lease_take_cleaned(struct lease *l)
{
    uint32_t members = 0;

    for (unsigned i = 0; i < HOLDERS_MAX; i++)
        if (l->holder[i].cleaned) {
            l->holder[i].cleaned = false;
            members |= 1u << l->holder[i].member;
        }
    return members;
}
