/* The send counter's allocator: layout, terms, ends, threads (N1-N9). */
#include "base/clock.h"
#include "lib/test.h"
#include "wg/counter.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define LOW_END (1ull << 28)
#define PLAIN_END (1ull << 48)

static const struct counter_tag tag_a = {.member = 1, .seq = 3, .rnd = 0x5a};
static const struct counter_tag tag_b = {.member = 15, .seq = 0xff, .rnd = 0xff};
static const struct counter_tag tag_plain = {0};

static uint64_t take(struct counter *c, const struct counter_tag *tag, unsigned n)
{
    uint64_t first = UINT64_MAX;

    assert_true(counter_take(c, tag, n, &first));
    return first;
}

/* As if so many packets had been sent: the allocator's form adds in its lowest bits. */
static void pass_by(struct counter *c, uint64_t packets)
{
    atomic_fetch_add(&c->next, packets);
}

TEST(the_layout_is_as_designed)
{
    uint64_t c = counter_compose(
        0xabc, &(struct counter_tag){.member = 0xd, .seq = 0xef, .rnd = 0x12}, 0x3456789);

    assert_int_equal(c, 0x0abc12efd3456789ull);
    assert_int_equal(counter_term(c), 0xabc);
    assert_int_equal(counter_term(PLAIN_END - 1), 0);
    assert_true(counter_compose(COUNTER_TERM_MAX, &tag_b, LOW_END - 1) == (1ull << 60) - 1);
}

TEST(a_creator_counts_from_zero_like_stock_wireguard)
{
    struct counter c;

    counter_start(&c);
    assert_int_equal(take(&c, &tag_a, 1), 0);
    assert_int_equal(take(&c, &tag_a, 64), 1);
    assert_int_equal(take(&c, &tag_a, COUNTER_RUN_MAX), 65);
    assert_int_equal(take(&c, &tag_a, 1), 65 + COUNTER_RUN_MAX);
    assert_int_equal(counter_term_now(&c), 0);
    assert_int_equal(counter_sent(&c), 66 + COUNTER_RUN_MAX);
    assert_false(counter_scarce(&c));
}

TEST(creator_space_goes_past_28_bits_without_a_tag)
{
    struct counter c;

    counter_start(&c);
    pass_by(&c, LOW_END - 1);
    assert_int_equal(take(&c, &tag_a, 2), LOW_END - 1);
    assert_int_equal(take(&c, &tag_a, 1), LOW_END + 1);
    assert_int_equal(counter_term_now(&c), 0);
}

TEST(a_run_of_none_or_too_many_is_refused)
{
    struct counter c;
    uint64_t first;

    counter_start(&c);
    assert_false(counter_take(&c, &tag_a, 0, &first));
    assert_false(counter_take(&c, &tag_a, COUNTER_RUN_MAX + 1, &first));
    assert_int_equal(take(&c, &tag_a, 1), 0);
}

TEST(a_replica_is_not_sendable_until_it_is_adopted)
{
    struct counter c;
    uint64_t first = 77;

    counter_start_replica(&c);
    for (unsigned i = 0; i < 1000; i++)
        assert_false(counter_take(&c, &tag_a, 1 + i % COUNTER_RUN_MAX, &first));
    assert_false(counter_bump(&c, &tag_a));
    assert_false(counter_take(&c, &tag_a, 1, &first));
    assert_int_equal(first, 77);
    assert_int_equal(counter_sent(&c), 0);
    assert_int_equal(counter_term_now(&c), 0);
    assert_true(counter_adopt(&c, &tag_a, 0, 0));
    assert_int_equal(take(&c, &tag_a, 1), counter_compose(1, &tag_a, 3u << 24));
}

TEST(the_term_is_above_what_is_known_above_the_age_and_above_its_own)
{
    struct counter c;

    counter_start_replica(&c); /* N4 */
    assert_true(counter_adopt(&c, &tag_a, 41, 0));
    assert_int_equal(counter_term_now(&c), 42);
    assert_true(counter_adopt(&c, &tag_a, 7, 0)); /* own */
    assert_int_equal(counter_term_now(&c), 43);
    assert_true(counter_adopt(&c, &tag_a, 0, 100 * NS_PER_S)); /* age: 400 */
    assert_int_equal(counter_term_now(&c), 401);
    assert_true(counter_adopt(&c, &tag_a, 0, 101 * NS_PER_S - 1));
    assert_int_equal(counter_term_now(&c), 404);
    assert_true(counter_adopt(&c, &tag_a, 500, 101 * NS_PER_S));
    assert_int_equal(counter_term_now(&c), 501);
}

TEST(a_first_stay_begins_by_seq_and_later_ones_step_8192)
{
    struct counter c;

    counter_start(&c);
    take(&c, &tag_a, 9);
    assert_true(counter_adopt(&c, &tag_a, 0, 0)); /* a creator's first tagged stay */
    assert_int_equal(take(&c, &tag_a, 5), counter_compose(1, &tag_a, 3u << 24));
    assert_int_equal(counter_sent(&c), 5);
    assert_true(counter_adopt(&c, &tag_a, 0, 0));
    assert_int_equal(take(&c, &tag_a, 1), counter_compose(2, &tag_a, (3u << 24) + 16384));
    assert_true(counter_bump(&c, &tag_a));
    assert_int_equal(take(&c, &tag_a, 1), counter_compose(3, &tag_a, (3u << 24) + 32768));
    assert_true(counter_bump(&c, &tag_a)); /* nothing sent in a term: steps all the same */
    assert_true(counter_bump(&c, &tag_a));
    assert_int_equal(take(&c, &tag_a, 1) & (LOW_END - 1), (3u << 24) + 7 * 8192);
}

TEST(a_run_never_crosses_bit_27)
{
    struct counter c;

    counter_start_replica(&c);
    assert_true(counter_adopt(&c, &tag_b, 0, 0));
    pass_by(&c, LOW_END - (15u << 24) - 100);
    assert_int_equal(take(&c, &tag_b, 60), counter_compose(1, &tag_b, LOW_END - 100));
    /* 40 are left: 41 are discarded, and the next term begins at low 0 (N8) */
    assert_int_equal(take(&c, &tag_b, 41), counter_compose(2, &tag_b, 0));
    assert_int_equal(take(&c, &tag_b, 1), counter_compose(2, &tag_b, 41));
    assert_int_equal(counter_sent(&c), 42);
}

TEST(the_last_counter_of_a_term_is_used)
{
    struct counter c;

    counter_start_replica(&c);
    assert_true(counter_adopt(&c, &tag_b, 0, 0));
    pass_by(&c, LOW_END - (15u << 24) - 7);
    assert_int_equal(take(&c, &tag_b, 7), counter_compose(1, &tag_b, LOW_END - 7));
    assert_int_equal(take(&c, &tag_b, 1), counter_compose(2, &tag_b, 0));
}

TEST(a_new_term_is_under_the_tag_of_now)
{
    struct counter c;
    struct counter_tag redrawn = tag_b;

    redrawn.rnd = 0x01;
    counter_start_replica(&c);
    assert_true(counter_adopt(&c, &tag_b, 0, 0));
    /* A redrawn tag alone changes nothing within the term. */
    assert_int_equal(take(&c, &redrawn, 1), counter_compose(1, &tag_b, 15u << 24));
    pass_by(&c, LOW_END);
    assert_int_equal(take(&c, &redrawn, 1), counter_compose(2, &redrawn, 0));
    assert_true(counter_bump(&c, &tag_b));
    assert_int_equal(take(&c, &redrawn, 1), counter_compose(3, &tag_b, 16384));
}

TEST(a_stay_that_would_begin_past_the_end_begins_at_zero)
{
    struct counter c;

    counter_start_replica(&c);
    assert_true(counter_adopt(&c, &tag_b, 0, 0));
    pass_by(&c, LOW_END - (15u << 24) - 8192);
    assert_true(counter_adopt(&c, &tag_b, 0, 0));
    assert_int_equal(take(&c, &tag_b, 1), counter_compose(2, &tag_b, 0));
}

TEST(term_4095_is_the_last_resort_and_then_the_key_ends)
{
    struct counter c;
    uint64_t first;

    counter_start_replica(&c);
    assert_true(counter_adopt(&c, &tag_a, 4094, 0));
    assert_int_equal(take(&c, &tag_a, 1), counter_compose(4095, &tag_a, 3u << 24));
    assert_true(counter_scarce(&c));
    assert_int_equal(take(&c, &tag_a, 1), counter_compose(4095, &tag_a, (3u << 24) + 1));
    pass_by(&c, LOW_END);
    assert_false(counter_take(&c, &tag_a, 1, &first));
    assert_false(counter_bump(&c, &tag_a));
    assert_false(counter_adopt(&c, &tag_a, 0, 0));
    assert_false(counter_take(&c, &tag_a, 1, &first));
    assert_int_equal(counter_term_now(&c), 4095);
}

TEST(a_bump_in_the_last_term_ends_the_key_at_once)
{
    struct counter c;
    uint64_t first;

    counter_start_replica(&c);
    assert_true(counter_adopt(&c, &tag_a, 4094, 0));
    assert_false(counter_bump(&c, &tag_a));
    assert_false(counter_take(&c, &tag_a, 1, &first));
}

TEST(a_sibling_that_claims_term_4095_makes_the_key_unsendable_not_unsafe)
{
    struct counter c, owner;
    uint64_t first;

    counter_start_replica(&c);
    assert_false(counter_adopt(&c, &tag_a, 4095, 0));
    assert_false(counter_take(&c, &tag_a, 1, &first));
    counter_start_replica(&owner); /* also when it had a stay before */
    assert_true(counter_adopt(&owner, &tag_a, 5, 0));
    take(&owner, &tag_a, 10);
    assert_false(counter_adopt(&owner, &tag_a, 4095, 0));
    for (unsigned i = 0; i < 100; i++)
        assert_false(counter_take(&owner, &tag_a, 1, &first));
}

TEST(plain_mode_knows_creator_space_only)
{
    struct counter c;
    uint64_t first;

    counter_start(&c);
    assert_int_equal(take(&c, &tag_plain, 3), 0);
    assert_false(counter_bump(&c, &tag_plain));
    assert_false(counter_adopt(&c, &tag_plain, 3, 0));
    assert_int_equal(take(&c, &tag_plain, 1), 3);
    pass_by(&c, PLAIN_END - 4 - 10);
    assert_true(counter_scarce(&c));
    assert_int_equal(take(&c, &tag_plain, 10), PLAIN_END - 10);
    assert_false(counter_take(&c, &tag_plain, 1, &first));
    assert_false(counter_take(&c, &tag_plain, COUNTER_RUN_MAX, &first));
    assert_int_equal(counter_term_now(&c), 0);
}

TEST(a_creator_that_runs_out_goes_on_under_its_tag)
{
    struct counter c;

    counter_start(&c);
    pass_by(&c, PLAIN_END - 5);
    assert_int_equal(take(&c, &tag_a, 5), PLAIN_END - 5);
    assert_int_equal(take(&c, &tag_a, 6), counter_compose(1, &tag_a, 3u << 24));

    counter_start(&c); /* a run that would cross bit 47 is discarded */
    pass_by(&c, PLAIN_END - 5);
    assert_int_equal(take(&c, &tag_a, 6), counter_compose(1, &tag_a, 3u << 24));
}

TEST(what_was_saved_is_not_sendable_and_begins_higher)
{
    struct counter c, again;
    uint64_t first, saved;

    counter_start_replica(&c);
    assert_true(counter_adopt(&c, &tag_a, 99, 0));
    take(&c, &tag_a, 200);
    saved = counter_save(&c);
    counter_resume(&again, saved);
    /* N1: the process that has forgotten the key's record has not forgotten its counters. */
    assert_true(counter_adopt(&again, &tag_a, 0, 0));
    assert_int_equal(take(&again, &tag_a, 1), counter_compose(101, &tag_a, (3u << 24) + 16384));

    counter_start(&c);
    take(&c, &tag_a, 200);
    counter_resume(&again, counter_save(&c));
    assert_false(counter_take(&again, &tag_a, 1, &first)); /* N3 */
    assert_true(counter_adopt(&again, &tag_a, 0, 0));
    assert_int_equal(counter_term_now(&again), 1);
}

/* ---- threads ---- */

#define TAKERS 4
#define ROUNDS 120
#define RUNS 400

struct run {
    uint64_t first;
    unsigned n;
};

struct shared {
    struct counter c;
    _Atomic uint32_t tag; /* as the gate holds it */
    _Atomic bool go, done;
};

struct taker {
    struct shared *s;
    const struct rng *rng;
    struct run runs[RUNS];
    unsigned count;
};

static struct counter_tag shared_tag(struct shared *s)
{
    return (struct counter_tag){.member = 7, .seq = 0xcd, .rnd = (uint8_t)atomic_load(&s->tag)};
}

static void *taker_main(void *arg)
{
    struct taker *t = arg;

    while (!atomic_load(&t->s->go))
        ;
    for (t->count = 0; t->count < RUNS; t->count++) {
        struct run *r = &t->runs[t->count];
        struct counter_tag tag = shared_tag(t->s);

        r->n = 1 + test_below(t->rng, COUNTER_RUN_MAX);
        if (!counter_take(&t->s->c, &tag, r->n, &r->first))
            break;
    }
    return NULL;
}

#define MOVES_MAX 1500

static void *bumper_main(void *arg)
{
    struct shared *s = arg;

    while (!atomic_load(&s->go))
        ;
    /* So few that the terms last however long the takers are kept waiting. */
    for (unsigned moves = 0; moves < MOVES_MAX && !atomic_load(&s->done); moves++) {
        uint32_t rnd = atomic_load(&s->tag) + 1;
        struct counter_tag tag;

        atomic_store(&s->tag, rnd);
        tag = shared_tag(s);
        if (rnd % 3)
            counter_bump(&s->c, &tag);
        else
            counter_adopt(&s->c, &tag, 0, 0);
        for (volatile unsigned i = 0; i < 20000; i++)
            ;
    }
    return NULL;
}

static int by_first(const void *a, const void *b)
{
    const struct run *x = a, *y = b;

    return x->first < y->first ? -1 : x->first > y->first;
}

/* How the round begins, and how far below the end of its space. */
enum start { START_CREATOR, START_TERM, START_LAST_TERM };

static void round_of(enum start start, bool bumps, uint64_t seed)
{
    static struct taker takers[TAKERS];
    static struct run all[TAKERS * RUNS];
    struct shared s = {0};
    pthread_t threads[TAKERS], bumper;
    unsigned count = 0;
    const struct rng *rng = test_rng(seed);

    struct counter_tag tag = shared_tag(&s);
    counter_start(&s.c);
    if (start == START_CREATOR) {
        pass_by(&s.c, PLAIN_END - test_below(rng, 100000));
    } else {
        assert_true(counter_adopt(&s.c, &tag, start == START_TERM ? 0 : 4094, 0));
        pass_by(&s.c, LOW_END - ((tag.seq & 15u) << 24) - test_below(rng, 60000));
    }
    for (unsigned i = 0; i < TAKERS; i++) {
        takers[i] = (struct taker){.s = &s, .rng = test_rng(seed * 100 + i)};
        assert_int_equal(pthread_create(&threads[i], NULL, taker_main, &takers[i]), 0);
    }
    if (bumps)
        assert_int_equal(pthread_create(&bumper, NULL, bumper_main, &s), 0);
    atomic_store(&s.go, true);
    for (unsigned i = 0; i < TAKERS; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&s.done, true);
    if (bumps)
        pthread_join(bumper, NULL);

    for (unsigned i = 0; i < TAKERS; i++) {
        if (start != START_LAST_TERM)
            assert_int_equal(takers[i].count, RUNS);
        memcpy(all + count, takers[i].runs, takers[i].count * sizeof(all[0]));
        count += takers[i].count;
    }
    qsort(all, count, sizeof(all[0]), by_first);
    for (unsigned i = 0; i < count; i++) {
        uint64_t last = all[i].first + all[i].n - 1;

        if (i)
            assert_true(all[i - 1].first + all[i - 1].n <= all[i].first);
        assert_true(last < 1ull << 60);
        assert_int_equal(counter_term(all[i].first), counter_term(last));
        if (counter_term(last) == 0)
            continue;
        /* N2: our own tag in all of the run; no bit was carried into it. */
        assert_int_equal(all[i].first >> 28, last >> 28);
        assert_int_equal(last >> 28 & 0xf, 7);
        assert_int_equal(last >> 32 & 0xff, 0xcd);
        if (!bumps)
            assert_int_equal(last >> 40 & 0xff, 0);
    }
}

TEST(threads_never_get_overlapping_runs_nor_carried_bits)
{
    for (unsigned i = 0; i < ROUNDS / 3; i++) {
        round_of(START_TERM, false, 1000 + i);
        round_of(START_CREATOR, false, 2000 + i);
        round_of(START_LAST_TERM, false, 3000 + i);
    }
}

TEST(threads_and_moves_to_new_terms_together_keep_runs_apart)
{
    for (unsigned i = 0; i < ROUNDS / 3; i++) {
        round_of(START_TERM, true, 4000 + i);
        round_of(START_CREATOR, true, 5000 + i);
    }
}

TEST_MAIN(T(the_layout_is_as_designed), T(a_creator_counts_from_zero_like_stock_wireguard),
          T(creator_space_goes_past_28_bits_without_a_tag), T(a_run_of_none_or_too_many_is_refused),
          T(a_replica_is_not_sendable_until_it_is_adopted),
          T(the_term_is_above_what_is_known_above_the_age_and_above_its_own),
          T(a_first_stay_begins_by_seq_and_later_ones_step_8192), T(a_run_never_crosses_bit_27),
          T(the_last_counter_of_a_term_is_used), T(a_new_term_is_under_the_tag_of_now),
          T(a_stay_that_would_begin_past_the_end_begins_at_zero),
          T(term_4095_is_the_last_resort_and_then_the_key_ends),
          T(a_bump_in_the_last_term_ends_the_key_at_once),
          T(a_sibling_that_claims_term_4095_makes_the_key_unsendable_not_unsafe),
          T(plain_mode_knows_creator_space_only), T(a_creator_that_runs_out_goes_on_under_its_tag),
          T(what_was_saved_is_not_sendable_and_begins_higher),
          T(threads_never_get_overlapping_runs_nor_carried_bits),
          T(threads_and_moves_to_new_terms_together_keep_runs_apart))
