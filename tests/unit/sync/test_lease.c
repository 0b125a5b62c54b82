#include "lib/test.h"
#include "sync/lease.h"
#include <string.h>

#define MS 1000000ull
#define S (1000 * MS)

#define FIRST_LIMIT 64 /* R13 */

static struct lease with_holders(unsigned count)
{
    struct lease l;

    lease_init(&l, FIRST_LIMIT);
    for (unsigned m = 1; m <= count; m++)
        lease_add_holder(&l, (uint8_t)(m + 1), FIRST_LIMIT);
    return l;
}

/* Proposes and has everybody ack at once. True: something was proposed. */
static bool raise_all(struct lease *l, uint64_t top, uint64_t now_ns, bool flush)
{
    uint64_t limit;
    bool lower;

    if (!lease_propose(l, top, now_ns, flush, &limit, &lower))
        return false;
    for (uint8_t m = 2; m <= 3; m++) {
        lease_sent(l, m, limit);
        if (!lower)
            lease_acked(l, m, limit, l->seq, top);
    }
    return true;
}

TEST(without_a_holder_there_is_no_ceiling)
{
    struct lease l = with_holders(0);
    uint64_t limit;
    bool lower;

    assert_true(lease_ceiling(&l) == UINT64_MAX);
    assert_false(lease_propose(&l, 1000000, S, true, &limit, &lower));
}

TEST(the_ceiling_is_the_least_that_any_holder_acked)
{
    struct lease l = with_holders(2);

    assert_int_equal(lease_ceiling(&l), 64);
    lease_acked(&l, 2, 500, 1, 0);
    assert_int_equal(lease_ceiling(&l), 64);
    lease_acked(&l, 3, 300, 1, 0);
    assert_int_equal(lease_ceiling(&l), 300);
    lease_acked(&l, 2, 400, 1, 0); /* never back by an ack */
    lease_drop_holder(&l, 3);
    assert_int_equal(lease_ceiling(&l), 500);
    lease_drop_holder(&l, 2);
    assert_true(lease_ceiling(&l) == UINT64_MAX);
}

TEST(a_proposal_binds_nobody_before_its_ack)
{
    struct lease l = with_holders(1);
    uint64_t limit;
    bool lower;

    assert_false(lease_propose(&l, 62, S, false, &limit, &lower));
    assert_true(lease_propose(&l, 64, S, false, &limit, &lower)); /* 63 came: L - H/2 */
    assert_false(lower);
    assert_int_equal(limit, 66); /* top + 1 + H, H = 2 */
    lease_sent(&l, 2, limit);
    assert_int_equal(lease_ceiling(&l), 64);
    assert_false(lease_propose(&l, 65, S, false, &limit, &lower)); /* it is on its way */
    lease_acked(&l, 2, limit, l.seq, 64);
    assert_int_equal(lease_ceiling(&l), 66);
}

TEST(a_held_packet_doubles_the_headroom)
{
    struct lease l = with_holders(1);
    uint64_t limit, top = 65;
    bool lower;

    for (unsigned h = 4; h <= 1024; h *= 2) {
        lease_held(&l);
        assert_true(lease_propose(&l, top, S, true, &limit, &lower));
        assert_int_equal(limit, top + h);
        top = limit + 1;
    }
    for (unsigned i = 0; i < 40; i++)
        lease_held(&l);
    assert_int_equal(l.headroom, LEASE_HEADROOM_MAX);
}

/* A raise that could not be sent must not leave packets waiting for nothing. */
TEST(what_waits_without_a_proposal_under_way_gets_one)
{
    struct lease l = with_holders(1);
    uint64_t limit;
    bool lower;

    assert_true(lease_propose(&l, 65, S, true, &limit, &lower));
    /* lease_sent() did not follow. */
    assert_false(lease_propose(&l, 65, S, false, &limit, &lower));
    assert_true(lease_propose(&l, 65, S, true, &limit, &lower));
    assert_true(limit > 65);
    lease_sent(&l, 2, limit);
    assert_false(lease_propose(&l, 65, S, true, &limit, &lower));
    /* Nor does it take back what others may have been told. */
    l = with_holders(2);
    l.headroom = 1000;
    assert_true(lease_propose(&l, 65, S, true, &limit, &lower));
    lease_sent(&l, 3, limit);
    uint64_t told = limit;
    l.headroom = 2;
    assert_true(lease_propose(&l, 65, S, true, &limit, &lower));
    assert_true(limit >= told && !lower);
}

TEST(the_only_holder_is_not_asked_for_what_its_record_said)
{
    struct lease l = with_holders(0);
    uint64_t limit;
    bool lower;

    lease_add_holder(&l, 2, 1000);
    assert_false(lease_propose(&l, 998, S, false, &limit, &lower));
    assert_true(lease_propose(&l, 1000, S, false, &limit, &lower));
}

/* Section 4.3: constant traffic of @pps for a while; what H and raises a second become. */
static void steady(double pps, uint64_t horizon_ns, uint32_t *ret_headroom, double *ret_raises)
{
    struct lease l = with_holders(2);
    uint64_t step_ns = pps > 1000 ? MS / 10 : MS, raises = 0, top = 0;
    uint64_t from = 20 * S, to = pps < 1 ? 1000 * S : 30 * S;
    uint64_t busy_ns = 0;

    if (pps < 1)
        step_ns = 100 * MS;
    for (uint64_t now = step_ns; now <= to; now += step_ns) {
        uint64_t next = (uint64_t)(pps * ((double)now / 1e9));
        bool near = next > top && next + l.headroom / 2 > lease_ceiling(&l);

        top = next;
        if (near || now >= busy_ns) {
            lease_sample(&l, top, now, horizon_ns);
            busy_ns = now + 100 * MS;
        }
        uint64_t before = l.proposed;
        if ((near || now == busy_ns - 100 * MS) && raise_all(&l, top, now, false))
            raises += now > from && l.proposed > before;
    }
    *ret_headroom = l.headroom;
    *ret_raises = (double)raises / ((double)(to - from) / 1e9);
}

TEST(headroom_and_raises_are_as_the_table_of_4_3_says)
{
    static const struct {
        double pps;
        uint64_t horizon_ns;
        uint32_t headroom;
        double raises_max;
    } table[] = {
        {0.04, 20 * MS, 2, 0.05},       {0.04, 250 * MS, 2, 0.05},
        {10, 20 * MS, 2, 10},           {10, 250 * MS, 3, 10},
        {1000, 20 * MS, 20, 105},       {1000, 250 * MS, 250, 8.5},
        {100000, 20 * MS, 2000, 105},   {100000, 250 * MS, 25000, 8.5},
        {1000000, 20 * MS, 20000, 105}, {1000000, 250 * MS, 250000, 8.5},
    };

    for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        uint32_t headroom;
        double raises;

        steady(table[i].pps, table[i].horizon_ns, &headroom, &raises);
        assert_in_range(headroom, table[i].headroom - table[i].headroom / 50,
                        table[i].headroom + table[i].headroom / 50 + 1);
        assert_true(raises <= table[i].raises_max);
        assert_true(raises >= table[i].raises_max / 8);
    }
}

TEST(what_a_burst_added_goes_in_seconds)
{
    struct lease l = with_holders(1);

    for (unsigned i = 0; i < 10; i++)
        lease_held(&l);
    assert_int_equal(l.headroom, 2048);
    lease_sample(&l, 0, S, 20 * MS);
    lease_sample(&l, 0, S + 100 * MS, 20 * MS);
    assert_true(l.headroom > 1500); /* not at once: more of the burst may come */
    for (unsigned i = 2; i < 100; i++)
        lease_sample(&l, 0, S + i * 100 * MS, 20 * MS);
    assert_int_equal(l.headroom, LEASE_HEADROOM_MIN);
}

TEST(a_clock_that_stands_still_breaks_nothing)
{
    struct lease l = with_holders(1);

    lease_sample(&l, 10, S, 20 * MS);
    lease_sample(&l, 20, S, 20 * MS);
    lease_sample(&l, 5, S + MS, 20 * MS); /* nor a count that went back */
    assert_true(l.rate_pps >= 0 && l.rate_pps < 1e6);
    lease_sample(&l, UINT64_MAX, S + 2 * MS, UINT64_MAX);
    assert_int_equal(l.headroom, LEASE_HEADROOM_MAX);
}

/* ---- R5 ---- */

TEST(a_key_that_never_got_data_comes_down_to_its_headroom)
{
    struct lease l = with_holders(2);
    uint64_t limit;
    bool lower;

    assert_false(lease_propose(&l, 0, S, false, &limit, &lower));
    assert_false(lease_propose(&l, 0, S + LEASE_QUIET_NS - 1, false, &limit, &lower));
    assert_true(lease_propose(&l, 0, S + LEASE_QUIET_NS, false, &limit, &lower));
    assert_true(lower);
    assert_int_equal(limit, 2);
    assert_int_equal(lease_ceiling(&l), 2); /* it binds us at once */
    assert_false(lease_propose(&l, 0, 9 * S, false, &limit, &lower));
}

TEST(quiet_is_top_plus_three)
{
    struct lease l = with_holders(1);
    uint64_t limit;
    bool lower;

    /* Highest authenticated 999, so @top 1000; L far above. */
    lease_acked(&l, 2, 5000, 1, 1000);
    l.proposed = 5000;
    l.seq = 1;
    assert_false(lease_propose(&l, 1000, S, false, &limit, &lower));
    assert_true(lease_propose(&l, 1000, S + LEASE_QUIET_NS, false, &limit, &lower));
    assert_true(lower);
    assert_int_equal(limit, 999 + 3);
}

TEST(wide_is_more_than_twice_the_headroom)
{
    for (uint64_t proposed = 1003; proposed <= 1004; proposed++) {
        struct lease l = with_holders(1);
        uint64_t limit;
        bool lower;

        l.proposed = proposed; /* L - 999 > 2 * 2 */
        assert_false(lease_propose(&l, 1000, S, false, &limit, &lower));
        assert_int_equal(lease_propose(&l, 1000, 9 * S, false, &limit, &lower), proposed == 1004);
    }
}

TEST(it_comes_down_under_traffic_too_but_not_for_a_moment)
{
    struct lease l = with_holders(1);
    uint64_t limit, top = 1000;
    bool lower;

    l.proposed = 5000;
    lease_acked(&l, 2, 5000, 1, top);
    l.seq = 1;
    for (uint64_t t = 0; t < LEASE_QUIET_NS; t += 10 * MS)
        assert_false(lease_propose(&l, ++top, S + t, false, &limit, &lower));
    top = 4998; /* near again: the waiting starts anew */
    assert_false(lease_propose(&l, top, S + LEASE_QUIET_NS, false, &limit, &lower));
    l.headroom = 2;
    l.proposed = 9000;
    lease_acked(&l, 2, 9000, 2, top);
    assert_false(lease_propose(&l, top, S + 2 * LEASE_QUIET_NS, false, &limit, &lower));
    assert_true(lease_propose(&l, top + 1, S + 3 * LEASE_QUIET_NS, false, &limit, &lower));
    assert_true(lower);
    assert_int_equal(limit, top + 1 + 2);
}

TEST(a_lowering_voids_the_raise_before_it)
{
    struct lease l = with_holders(1);
    uint64_t limit, lowered;
    bool lower;

    l.headroom = 400;
    assert_true(lease_propose(&l, 60, S, false, &limit, &lower));
    assert_int_equal(limit, 460);
    uint32_t raise_seq = l.seq;
    lease_sent(&l, 2, limit);
    l.headroom = 2;
    lease_propose(&l, 60, S, false, &lowered, &lower);
    assert_true(lease_propose(&l, 60, S + LEASE_QUIET_NS, false, &lowered, &lower));
    assert_true(lower);
    assert_int_equal(lease_ceiling(&l), 62);
    lease_acked(&l, 2, limit, raise_seq, 60); /* on the wire before it knew */
    assert_int_equal(lease_ceiling(&l), 62);
    assert_true(lease_propose(&l, 62, 2 * S, true, &limit, &lower));
    lease_sent(&l, 2, limit);
    lease_acked(&l, 2, limit, l.seq, 62);
    assert_int_equal(lease_ceiling(&l), limit);
}

TEST(a_holder_that_joins_again_starts_from_its_record)
{
    struct lease l = with_holders(1);
    uint64_t limit;
    bool lower;

    assert_true(lease_propose(&l, 64, S, true, &limit, &lower));
    lease_sent(&l, 2, limit);
    uint32_t old_seq = l.seq;
    lease_drop_holder(&l, 2);
    assert_int_equal(lease_join_limit(&l, 200), 202);
    lease_add_holder(&l, 2, 202);
    assert_int_equal(lease_ceiling(&l), 202);
    lease_acked(&l, 2, 100000, old_seq, 200); /* of the connection before */
    assert_int_equal(lease_ceiling(&l), 202);
}

TEST(a_joining_holder_never_hides_what_others_were_not_told)
{
    struct lease l = with_holders(1);
    uint64_t limit;
    bool lower;

    lease_add_holder(&l, 3, 1000);
    assert_int_equal(lease_ceiling(&l), 64);
    assert_true(lease_propose(&l, 64, S, true, &limit, &lower));
    lease_sent(&l, 2, limit);
    lease_sent(&l, 3, limit);
    lease_acked(&l, 2, limit, l.seq, 64);
    assert_int_equal(lease_ceiling(&l), limit);
}

TEST(there_is_room_for_as_many_holders_as_are_counted)
{
    struct lease l = with_holders(1);

    assert_true(lease_has_room(&l));
    lease_add_holder(&l, 9, 70);
    assert_false(lease_has_room(&l));
    lease_drop_holder(&l, 8); /* is none, nor is 0 */
    lease_drop_holder(&l, 0);
    assert_false(lease_has_room(&l));
    assert_int_equal(lease_ceiling(&l), 64);
    lease_drop_holder(&l, 9);
    assert_true(lease_has_room(&l));
}

/* ---- R7 ---- */

TEST(a_bypass_makes_only_the_slow_holder_dirty)
{
    struct lease l = with_holders(2);
    uint64_t limit;
    bool lower;

    assert_true(lease_propose(&l, 101, S, true, &limit, &lower));
    lease_sent(&l, 2, limit);
    lease_sent(&l, 3, limit);
    lease_acked(&l, 2, limit, l.seq, 101);
    assert_int_equal(lease_bypassed(&l, FIRST_LIMIT), 0); /* accepted 63, and they start at 64 */
    assert_int_equal(lease_bypassed(&l, 101), 1 << 3);
    assert_int_equal(lease_ceiling(&l), limit);
    assert_int_equal(lease_bypassed(&l, 101), 0); /* known already */
    assert_true(lease_is_dirty(&l, 3));
    assert_false(lease_is_dirty(&l, 2));
    /* It acks in the end, above all that was accepted. */
    lease_acked(&l, 3, limit, l.seq, 101);
    assert_int_equal(lease_take_cleaned(&l), 0);
    assert_true(lease_is_dirty(&l, 3)); /* as it was told last */
    uint64_t again;
    lease_propose(&l, 101, S, false, &again, &lower);
    assert_int_equal(lease_take_cleaned(&l), 1 << 3);
    assert_false(lease_is_dirty(&l, 3));
    assert_int_equal(lease_take_cleaned(&l), 0);
}

TEST(an_ack_that_was_overtaken_cleans_nobody)
{
    struct lease l = with_holders(1);
    uint64_t limit, again;
    bool lower;

    assert_true(lease_propose(&l, 101, S, true, &limit, &lower));
    lease_sent(&l, 2, limit);
    assert_int_equal(lease_bypassed(&l, 101), 1 << 2);
    assert_true(lease_ceiling(&l) == UINT64_MAX);
    lease_acked(&l, 2, limit, l.seq, limit + 1); /* accepted beyond it meanwhile */
    assert_true(lease_ceiling(&l) == UINT64_MAX);
    lease_acked(&l, 2, limit, l.seq, limit);
    assert_int_equal(lease_ceiling(&l), limit);
    /* A worker that had not seen the ceiling yet accepted one more. */
    lease_propose(&l, limit + 1, S, false, &again, &lower);
    assert_int_equal(lease_take_cleaned(&l), 0);
    assert_true(lease_ceiling(&l) == UINT64_MAX);
}

/* ---- any schedule: owner and adopter never accept the same counter ---- */

#define QUEUE_MAX 512
#define STEPS 3000
#define HOLD_STEPS 10

struct note {
    enum { NOTE_RECORD, NOTE_LIMIT, NOTE_DIRTY, NOTE_CLEAN } kind;
    uint64_t limit, at;
    uint32_t seq;
    bool lower;
};

struct wire {
    struct note q[QUEUE_MAX];
    unsigned head, count;
    uint64_t last_at;
};

struct holder {
    bool linked, has_record, adopted;
    bool told_dirty; /* what the owner signalled, whether or not it arrived */
    uint64_t limit;  /* L as it would start now */
    struct wire to, back;
    unsigned slowness; /* mean delay in steps; changes */
};

struct play {
    const struct rng *rng;
    struct lease l;
    struct holder h[2]; /* members 2 and 3 */
    uint64_t now, top, ceiling, accepted_top, packets;
    uint64_t held_since; /* a packet at top - 1 waits; 0: none */
    uint64_t bypasses, adoptions, accepted;
    bool calm; /* no lost packets any more */
};

static void wire_put(struct play *p, struct wire *w, struct note n, unsigned slowness)
{
    assert_true(w->count < QUEUE_MAX);
    n.at = p->now + 1 + test_below(p->rng, 2 * slowness + 1);
    if (n.at < w->last_at)
        n.at = w->last_at; /* in order, as TCP */
    w->last_at = n.at;
    w->q[(w->head + w->count++) % QUEUE_MAX] = n;
}

static bool wire_take(struct play *p, struct wire *w, struct note *ret)
{
    if (!w->count || w->q[w->head].at > p->now)
        return false;
    *ret = w->q[w->head];
    w->head = (w->head + 1) % QUEUE_MAX;
    w->count--;
    return true;
}

/* The theorem. A holder that was not told dirty starts above all that was accepted. */
static void check(const struct play *p)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct holder *h = &p->h[i];

        if (h->linked && h->has_record && !h->told_dirty)
            assert_true(p->accepted_top <= h->limit);
    }
}

static void propose(struct play *p, bool flush)
{
    uint64_t limit;
    bool lower;

    if (!lease_propose(&p->l, p->top, p->now * MS, flush, &limit, &lower))
        return;
    if (lower)
        p->ceiling = lease_ceiling(&p->l);
    for (unsigned i = 0; i < 2; i++) {
        struct holder *h = &p->h[i];

        if (!h->linked)
            continue;
        wire_put(p, &h->to,
                 (struct note){.kind = NOTE_LIMIT, .limit = limit, .seq = p->l.seq, .lower = lower},
                 h->slowness);
        lease_sent(&p->l, (uint8_t)(i + 2), limit);
    }
}

static void accept(struct play *p, uint64_t counter)
{
    p->accepted++;
    if (counter + 1 > p->accepted_top)
        p->accepted_top = counter + 1;
}

static void bypass(struct play *p)
{
    accept(p, p->top - 1);
    p->held_since = 0;
    uint32_t dirty = lease_bypassed(&p->l, p->top);
    for (unsigned i = 0; i < 2; i++)
        if (dirty >> (i + 2) & 1) {
            p->h[i].told_dirty = true;
            wire_put(p, &p->h[i].to, (struct note){.kind = NOTE_DIRTY}, p->h[i].slowness);
            p->bypasses++;
        }
    p->ceiling = lease_ceiling(&p->l);
    propose(p, true);
}

static void packet(struct play *p)
{
    bool jump = !p->calm && !test_below(p->rng, 20);
    uint64_t counter = p->top + (jump ? test_below(p->rng, 60) : 0);

    if (p->held_since)
        return; /* one that waits is enough: those behind it wait as well */
    p->packets++;
    p->top = counter + 1;
    if (counter < p->ceiling) {
        accept(p, counter);
        if (p->top + p->l.headroom / 2 > p->ceiling)
            propose(p, false);
        return;
    }
    p->held_since = p->now;
    lease_held(&p->l);
    propose(p, true);
}

static void join(struct play *p, unsigned i)
{
    struct holder *h = &p->h[i];
    uint64_t limit = lease_join_limit(&p->l, p->top);

    memset(&h->to, 0, sizeof(h->to));
    memset(&h->back, 0, sizeof(h->back));
    h->linked = true;
    h->adopted = h->told_dirty = h->has_record = false;
    wire_put(p, &h->to, (struct note){.kind = NOTE_RECORD, .limit = limit}, h->slowness);
    lease_add_holder(&p->l, (uint8_t)(i + 2), limit);
    p->ceiling = lease_ceiling(&p->l);
}

static void holder_step(struct play *p, unsigned i)
{
    struct holder *h = &p->h[i];
    struct note n;

    while (wire_take(p, &h->to, &n)) {
        if (n.kind == NOTE_RECORD) {
            h->limit = n.limit;
            h->has_record = true;
        }
        if (n.kind != NOTE_LIMIT || h->adopted)
            continue; /* R10: an adopter acks no raise */
        if (n.lower) {
            h->limit = n.limit;
        } else {
            h->limit = n.limit > h->limit ? n.limit : h->limit;
            wire_put(p, &h->back, n, h->slowness);
        }
    }
    while (wire_take(p, &h->back, &n)) {
        lease_acked(&p->l, (uint8_t)(i + 2), n.limit, n.seq, p->top);
        /* A worker may be past the old ceiling before it sees the new one; never above a ceiling
         * that was in force. */
        if (p->ceiling == UINT64_MAX && test_below(p->rng, 4) == 0)
            for (unsigned k = test_below(p->rng, 6); k; k--)
                accept(p, p->top++);
        p->ceiling = lease_ceiling(&p->l);
        if (p->held_since && p->top <= p->ceiling) {
            accept(p, p->top - 1);
            p->held_since = 0;
        }
    }
}

static void tell_cleaned(struct play *p)
{
    uint32_t cleaned = lease_take_cleaned(&p->l);

    for (unsigned i = 0; i < 2; i++)
        if (cleaned >> (i + 2) & 1) {
            p->h[i].told_dirty = false;
            wire_put(p, &p->h[i].to, (struct note){.kind = NOTE_CLEAN}, p->h[i].slowness);
        }
}

static void chance(struct play *p)
{
    unsigned i = test_below(p->rng, 2);
    struct holder *h = &p->h[i];

    switch (test_below(p->rng, 200)) {
    case 0: /* the link goes: what is on the way is lost */
        if (h->linked) {
            h->linked = false;
            lease_drop_holder(&p->l, (uint8_t)(i + 2));
            p->ceiling = lease_ceiling(&p->l);
        }
        break;
    case 1:
    case 2:
    case 3:
        if (!h->linked)
            join(p, i);
        break;
    case 4:
        h->slowness = test_below(p->rng, 4) ? test_below(p->rng, 4) : test_below(p->rng, 40);
        break;
    case 5: /* it adopts; the owner knows nothing of it yet */
        if (h->linked && h->has_record && !h->told_dirty && !h->adopted) {
            h->adopted = true;
            p->adoptions++;
        }
        break;
    }
}

static struct play play(uint64_t seed)
{
    static struct test_rng rng;
    struct play p = {.now = 1, .ceiling = UINT64_MAX};

    test_rng_init(&rng, seed);
    p.rng = &rng.rng;
    lease_init(&p.l, FIRST_LIMIT);
    join(&p, 0);
    join(&p, 1);
    unsigned pace = 1;
    for (; p.now < STEPS; p.now++) {
        if (test_below(p.rng, 100) == 0)
            pace = test_below(p.rng, 3) ? test_below(p.rng, 4) : test_below(p.rng, 40);
        for (unsigned k = pace; k; k--)
            if (test_below(p.rng, 2))
                packet(&p);
        holder_step(&p, 0);
        holder_step(&p, 1);
        check(&p);
        if (p.held_since && p.now - p.held_since >= HOLD_STEPS)
            bypass(&p);
        if (p.now % 100 == 0) {
            tell_cleaned(&p);
            lease_sample(&p.l, p.packets, p.now * MS, 20 * MS);
            propose(&p, false);
            p.ceiling = lease_ceiling(&p.l);
        }
        check(&p);
        chance(&p);
    }
    return p;
}

TEST(owner_and_adopter_never_accept_the_same_counter)
{
    uint64_t bypasses = 0, adoptions = 0, accepted = 0;

    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct play p = play(seed);

        bypasses += p.bypasses;
        adoptions += p.adoptions;
        accepted += p.accepted;
    }
    /* The schedules reach what they are about. */
    assert_true(bypasses > 1000);
    assert_true(adoptions > 200);
    assert_true(accepted > 1000000);
}

TEST(after_trouble_every_holder_is_clean_again)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct play p = play(seed);

        p.calm = true;
        for (unsigned i = 0; i < 2; i++) {
            p.h[i].slowness = 0;
            p.h[i].adopted = false;
            if (!p.h[i].linked)
                join(&p, i);
        }
        for (uint64_t until = p.now + 15000; p.now < until; p.now++) {
            if (p.now % 7 == 0)
                packet(&p);
            holder_step(&p, 0);
            holder_step(&p, 1);
            if (p.held_since && p.now - p.held_since >= HOLD_STEPS)
                bypass(&p);
            if (p.now % 100 == 0) {
                tell_cleaned(&p);
                lease_sample(&p.l, p.packets, p.now * MS, 20 * MS);
                propose(&p, false);
                p.ceiling = lease_ceiling(&p.l);
            }
            check(&p);
        }
        assert_false(p.h[0].told_dirty || p.h[1].told_dirty);
        assert_true(p.l.headroom < 16);
        assert_true(lease_ceiling(&p.l) - p.top <= 2 * p.l.headroom + 16);
    }
}

TEST_MAIN(T(without_a_holder_there_is_no_ceiling),
          T(the_ceiling_is_the_least_that_any_holder_acked),
          T(a_proposal_binds_nobody_before_its_ack), T(a_held_packet_doubles_the_headroom),
          T(what_waits_without_a_proposal_under_way_gets_one),
          T(the_only_holder_is_not_asked_for_what_its_record_said),
          T(headroom_and_raises_are_as_the_table_of_4_3_says),
          T(what_a_burst_added_goes_in_seconds), T(a_clock_that_stands_still_breaks_nothing),
          T(a_key_that_never_got_data_comes_down_to_its_headroom), T(quiet_is_top_plus_three),
          T(wide_is_more_than_twice_the_headroom),
          T(it_comes_down_under_traffic_too_but_not_for_a_moment),
          T(a_lowering_voids_the_raise_before_it),
          T(a_holder_that_joins_again_starts_from_its_record),
          T(a_joining_holder_never_hides_what_others_were_not_told),
          T(there_is_room_for_as_many_holders_as_are_counted),
          T(a_bypass_makes_only_the_slow_holder_dirty), T(an_ack_that_was_overtaken_cleans_nobody),
          T(owner_and_adopter_never_accept_the_same_counter),
          T(after_trouble_every_holder_is_clean_again))
