/* The theorem of failover.md section 3.3 as a property: whatever members, restarts, split brains
 * and stale knowledge do, all counters ever emitted under one key are different. And section 3.1:
 * stock receivers accept a new owner's packets and refuse an old owner's. */
#include "base/clock.h"
#include "lib/test.h"
#include "wg/counter.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define LOW_END (1ull << 28)
#define KEY_LIFE_NS (180 * NS_PER_S)

struct run {
    uint64_t first;
    unsigned n;
};

static int by_first(const void *a, const void *b)
{
    const struct run *x = a, *y = b;

    return x->first < y->first ? -1 : x->first > y->first;
}

/* ---- the theorem ---- */

#define MEMBERS 4
#define LIVES 12 /* of one member: N7 allows 60 in the life of a key */
#define EVENTS 250
#define HISTORIES 1500

struct process {
    struct counter c;
    struct counter_tag tag;
    bool has_key, sends; /* believes that it owns */
    uint16_t term_known;
};

struct world {
    const struct rng *rng;
    uint64_t now_ns, start_seq[MEMBERS];
    unsigned lives[MEMBERS];
    struct process process[MEMBERS][LIVES]; /* the dead may wake up: F4 */
    bool same_rnd;                          /* nothing may rest on rnd */
    uint16_t highest_term;
    struct run run[EVENTS * 4];
    unsigned runs;
};

static bool chance(struct world *w, unsigned percent)
{
    return test_below(w->rng, 100) < percent;
}

static uint8_t draw(struct world *w)
{
    return w->same_rnd ? 0x77 : (uint8_t)rng_u32(w->rng);
}

static void start_process(struct world *w, unsigned m, bool creator)
{
    struct process *p = &w->process[m][w->lives[m]];

    p->tag = (struct counter_tag){.member = (uint8_t)(m + 1),
                                  .seq = (uint8_t)(w->start_seq[m] + w->lives[m]), /* N5 */
                                  .rnd = draw(w)};
    w->lives[m]++;
    p->has_key = true;
    p->sends = creator;
    if (creator)
        counter_start(&p->c);
    else
        counter_start_replica(&p->c);
}

static void emit(struct world *w, struct process *p)
{
    unsigned n =
        chance(w, 80) ? 1 + test_below(w->rng, 8) : 1 + test_below(w->rng, COUNTER_RUN_MAX);
    struct run *r = &w->run[w->runs];

    if (!p->sends || !counter_take(&p->c, &p->tag, n, &r->first))
        return;
    r->n = n;
    w->runs++;
}

static void happen(struct world *w)
{
    unsigned m = test_below(w->rng, MEMBERS);
    struct process *p = &w->process[m][test_below(w->rng, w->lives[m])];
    struct process *newest = &w->process[m][w->lives[m] - 1];
    unsigned what = test_below(w->rng, 100);

    if (what < 45) {
        emit(w, chance(w, 20) ? p : newest); /* an old life of the member may still send */
    } else if (what < 65) { /* takeover, failback, or split brain: nobody else is asked */
        if (counter_adopt(&newest->c, &newest->tag, newest->term_known, w->now_ns))
            newest->sends = true;
        emit(w, newest);
    } else if (what < 72) {
        p->sends = false;
    } else if (what < 78) { /* N9 */
        newest->tag.rnd = draw(w);
        if (newest->sends)
            counter_bump(&newest->c, &newest->tag);
        emit(w, newest);
    } else if (what < 86) { /* stale, partial knowledge of terms travels */
        newest->term_known = (uint16_t)test_below(w->rng, w->highest_term + 1u);
    } else if (what < 90) { /* 2^28 packets later */
        uint64_t low = atomic_load(&newest->c.next) & UINT32_MAX;
        if (counter_term_now(&newest->c) && low < LOW_END) {
            atomic_fetch_add(&newest->c.next,
                             (LOW_END - low) - test_below(w->rng, 300) % (LOW_END - low));
            emit(w, newest);
            emit(w, newest);
        }
    } else if (what < 94 && w->lives[m] < LIVES) {
        start_process(w, m, false);
    } else if (what < 96) { /* the record of the key is dropped and comes back */
        counter_resume(&newest->c, counter_save(&newest->c));
        newest->sends = false;
    } else if (w->now_ns < KEY_LIFE_NS) {
        w->now_ns += (uint64_t)test_below(w->rng, 2000) * NS_PER_MS;
    }
    if (counter_term_now(&newest->c) > w->highest_term)
        w->highest_term = counter_term_now(&newest->c);
}

TEST(no_two_processes_ever_emit_the_same_counter_and_none_repeats_one)
{
    static struct world w;
    unsigned total = 0, terms = 0;

    for (unsigned h = 0; h < HISTORIES; h++) {
        memset(&w, 0, sizeof(w));
        w.rng = test_rng(h);
        w.same_rnd = h % 2;
        unsigned creator = test_below(w.rng, MEMBERS);
        for (unsigned m = 0; m < MEMBERS; m++) {
            w.start_seq[m] = rng_u64(w.rng); /* wraps in the tag's eight bits for some */
            start_process(&w, m, m == creator);
        }
        for (unsigned i = 0; i < EVENTS; i++)
            happen(&w);
        qsort(w.run, w.runs, sizeof(w.run[0]), by_first);
        for (unsigned i = 1; i < w.runs; i++)
            if (w.run[i - 1].first + w.run[i - 1].n > w.run[i].first)
                fail_msg("history %u: %016llx used twice", h, (unsigned long long)w.run[i].first);
        for (unsigned i = 0; i < w.runs; i++)
            assert_true(w.run[i].first + w.run[i].n <= 1ull << 60);
        total += w.runs;
        terms += w.highest_term;
    }
    assert_true(total > HISTORIES * EVENTS / 3); /* the property is not empty */
    assert_true(terms > HISTORIES * 10);
}

/* ---- receivers ---- */

/* Window in a ring of words, as Linux, BSD and Go have it. @index_bits: of the word index, which is
 * an unsigned long in the kernel. */
struct ring_window {
    unsigned word_bits, words, index_bits;
    uint64_t next; /* highest + 1, as Linux stores it */
    uint64_t map[256];
};

static uint64_t ring_index(const struct ring_window *w, uint64_t counter)
{
    uint64_t index = counter / w->word_bits;

    return w->index_bits == 32 ? (uint32_t)index : index;
}

static bool ring_receive(struct ring_window *w, uint64_t counter)
{
    uint64_t width = (uint64_t)w->word_bits * (w->words - 1);
    uint64_t shifted = counter + 1; /* Linux counts from one */

    if (shifted + width < w->next)
        return false;
    uint64_t index = ring_index(w, shifted);
    if (shifted > w->next) {
        uint64_t was = ring_index(w, w->next);
        uint64_t steps = w->index_bits == 32 ? (uint32_t)(index - was) : index - was;

        if (steps > w->words)
            steps = w->words;
        for (uint64_t i = 1; i <= steps; i++)
            w->map[(was + i) % w->words] = 0;
        w->next = shifted;
    }
    uint64_t *word = &w->map[index % w->words], bit = 1ull << shifted % w->word_bits;
    if (*word & bit)
        return false;
    *word |= bit;
    return true;
}

/* A bitmap behind the highest, zeroed on a jump: boringtun. */
#define BT_BITS 1024
struct bt_window {
    uint64_t next;
    bool seen[BT_BITS];
};

static bool bt_receive(struct bt_window *w, uint64_t counter)
{
    if (counter + BT_BITS < w->next)
        return false;
    if (counter >= w->next) {
        if (counter - w->next >= BT_BITS)
            memset(w->seen, 0, sizeof(w->seen));
        else
            for (uint64_t i = w->next; i < counter; i++)
                w->seen[i % BT_BITS] = false;
        w->seen[counter % BT_BITS] = true;
        w->next = counter + 1;
        return true;
    }
    if (w->seen[counter % BT_BITS])
        return false;
    w->seen[counter % BT_BITS] = true;
    return true;
}

/* RFC 2401's window of 32, differences cut to 32 bits: wireguard-lwip. */
struct lwip_window {
    uint64_t highest;
    uint32_t map;
};

static bool lwip_receive(struct lwip_window *w, uint64_t counter)
{
    uint64_t seq = counter + 1;

    if (seq > w->highest) {
        uint32_t step = (uint32_t)(seq - w->highest);

        w->map = step < 32 ? w->map << step | 1 : 1;
        w->highest = seq;
        return true;
    }
    uint32_t back = (uint32_t)(w->highest - seq);
    if (back >= 32 || (w->map >> back & 1))
        return false;
    w->map |= 1u << back;
    return true;
}

enum { LINUX64, LINUX32, OPENBSD32, NETBSD, BORINGTUN, LWIP, RECEIVERS };

struct receivers {
    struct ring_window ring[4];
    struct bt_window bt;
    struct lwip_window lwip;
};

static void receivers_init(struct receivers *r)
{
    memset(r, 0, sizeof(*r));
    r->ring[LINUX64] = (struct ring_window){.word_bits = 64, .words = 128, .index_bits = 64};
    r->ring[LINUX32] = (struct ring_window){.word_bits = 32, .words = 256, .index_bits = 32};
    r->ring[OPENBSD32] = (struct ring_window){.word_bits = 32, .words = 256, .index_bits = 64};
    r->ring[NETBSD] = (struct ring_window){.word_bits = 32, .words = 64, .index_bits = 64};
}

static bool receive(struct receivers *r, unsigned which, uint64_t counter)
{
    switch (which) {
    case BORINGTUN:
        return bt_receive(&r->bt, counter);
    case LWIP:
        return lwip_receive(&r->lwip, counter);
    default:
        return ring_receive(&r->ring[which], counter);
    }
}

TEST(the_models_of_receivers_are_as_wide_as_the_real_ones)
{
    static const uint64_t width[RECEIVERS] = {8128, 8160, 8160, 2016, 1023, 31};

    for (unsigned which = 0; which < RECEIVERS; which++) {
        struct receivers r;

        receivers_init(&r);
        assert_true(receive(&r, which, 100000));
        assert_true(receive(&r, which, 100000 - width[which]));
        assert_false(receive(&r, which, 100000 - width[which]));
        assert_false(receive(&r, which, 100000 - width[which] - 40));
        assert_false(receive(&r, which, 100000));
    }
    struct receivers r; /* the 32-bit quirk: a jump in bits >= 37 does not clear the map */
    receivers_init(&r);
    assert_true(receive(&r, LINUX32, 3));
    assert_false(receive(&r, LINUX32, (1ull << 40) + 3));
}

#define STAYS 14
#define RECEIVER_HISTORIES 500
#define STAY_PACKETS_MAX 60

struct cast {
    struct counter c;
    struct counter_tag tag;
    bool alive;
};

/* One history of owners that take turns; each packet is lost, delivered, or delivered much later.
 */
static void history(uint64_t seed)
{
    const struct rng *rng = test_rng(seed);
    static struct receivers r;
    struct cast cast[4] = {0};
    uint64_t old[STAYS * STAY_PACKETS_MAX], age_ns = 0;
    unsigned olds = 0;
    uint16_t term = 0;

    receivers_init(&r);
    for (unsigned m = 0; m < 4; m++) {
        cast[m].tag = (struct counter_tag){.member = (uint8_t)(1 + (m * 3 + seed) % 15),
                                           .seq = (uint8_t)rng_u32(rng),
                                           .rnd = (uint8_t)rng_u32(rng)};
        counter_start_replica(&cast[m].c);
    }
    counter_start(&cast[0].c);
    struct cast *owner = &cast[0];
    for (unsigned stay = 0; stay < STAYS; stay++) {
        unsigned packets =
            test_below(rng, 3) ? 1 + test_below(rng, 6) : 1 + test_below(rng, STAY_PACKETS_MAX);
        unsigned olds_before = olds, heard[RECEIVERS] = {0};

        for (unsigned i = 0; i < packets; i++) {
            uint64_t counter;
            assert_true(counter_take(&owner->c, &owner->tag, 1, &counter));
            for (unsigned which = 0; which < RECEIVERS; which++) {
                if (test_below(rng, 4) == 0)
                    continue; /* lost on the way to this one */
                if (!receive(&r, which, counter))
                    fail_msg("seed %llu: receiver %u lost %016llx of a new owner",
                             (unsigned long long)seed, which, (unsigned long long)counter);
                heard[which]++;
                if (receive(&r, which, counter))
                    fail_msg("receiver %u took %016llx twice", which, (unsigned long long)counter);
            }
            old[olds++] = counter;
        }
        /* Whatever earlier terms sent, delivered before or not, is refused from now on. */
        for (unsigned i = 0; i < olds_before; i++)
            for (unsigned which = 0; which < RECEIVERS; which++)
                if (heard[which] && receive(&r, which, old[i]))
                    fail_msg("seed %llu: receiver %u took %016llx of an old term",
                             (unsigned long long)seed, which, (unsigned long long)old[i]);

        /* The next owner: another member, a failback, a restart of one, or a bump. */
        age_ns += (uint64_t)test_below(rng, 9000) * NS_PER_MS;
        unsigned how = test_below(rng, 10);
        if (how == 0) {
            owner->tag.rnd = (uint8_t)rng_u32(rng);
            assert_true(counter_bump(&owner->c, &owner->tag));
        } else {
            owner = &cast[test_below(rng, 4)];
            if (how == 1) {
                owner->tag.seq++;
                owner->tag.rnd = (uint8_t)rng_u32(rng);
                counter_start_replica(&owner->c);
            }
            /* Knowledge of terms is stale now and then; age makes up for it. */
            assert_true(counter_adopt(&owner->c, &owner->tag, test_below(rng, 2) ? term : 0,
                                      age_ns + NS_PER_S * stay));
        }
        if (counter_term_now(&owner->c) <= term) /* its claim came too late (F8): not this test */
            assert_true(counter_adopt(&owner->c, &owner->tag, term, age_ns));
        term = counter_term_now(&owner->c);
    }
}

TEST(stock_receivers_take_every_new_owner_and_no_old_one)
{
    for (uint64_t seed = 1; seed <= RECEIVER_HISTORIES; seed++)
        history(seed);
}

TEST(a_term_that_begins_anew_at_low_zero_is_taken_by_all)
{
    struct receivers r;
    struct counter c;
    const struct counter_tag tag = {.member = 2, .seq = 9, .rnd = 4};

    receivers_init(&r);
    counter_start_replica(&c);
    assert_true(counter_adopt(&c, &tag, 0, 0));
    atomic_fetch_add(&c.next, LOW_END - (9u << 24) - 50); /* N8: the last 50 of a term, then 0 .. */
    for (unsigned i = 0; i < 100; i++) {
        uint64_t counter;
        assert_true(counter_take(&c, &tag, 1, &counter));
        for (unsigned which = 0; which < RECEIVERS; which++)
            assert_true(receive(&r, which, counter));
    }
    assert_int_equal(counter_term_now(&c), 2);
}

TEST_MAIN(T(no_two_processes_ever_emit_the_same_counter_and_none_repeats_one),
          T(the_models_of_receivers_are_as_wide_as_the_real_ones),
          T(stock_receivers_take_every_new_owner_and_no_old_one),
          T(a_term_that_begins_anew_at_low_zero_is_taken_by_all))
