/* Workers and main on one key at the same time: first touch against raises, yields against senders,
 * the closing gate against receives (R8, R10, N1, keypair_final_top). Meant for TSan as well. */
#include "base/clock.h"
#include "fixture.h"
#include "wg/timers.h"
#include <pthread.h>

#define NOW (T0 + 2 * NS_PER_S)
#define RECEIVERS 2
#define SENDERS 2
#define STAYS 150
#define SENT_MAX 400000

static struct gate gate;
static struct keypair *key;
static _Atomic bool stop;
static _Atomic uint64_t next_counter; /* of the client; every receiver gets each one */
static _Atomic unsigned adoptions, dirty;

struct worker {
    unsigned number;
    uint8_t *accepted; /* by counter */
    struct run {
        uint64_t first;
        unsigned n;
    } * runs;
    unsigned run_count;
};

#define COUNTERS_MAX 2000000

static void *receiver_main(void *arg)
{
    struct worker *me = arg;
    uint64_t counter = 0;
    unsigned effects;

    while (!atomic_load(&stop)) {
        /* Each goes its own way over the same counters; now and then back over old ones. */
        uint64_t end = atomic_load(&next_counter);
        if (counter >= end || counter >= COUNTERS_MAX) {
            counter = end > 3000 ? end - 3000 : 0;
            atomic_fetch_add(&next_counter, end < COUNTERS_MAX - 500 ? 200 : 0);
        }
        enum rx_verdict v = keypair_receive(key, &gate, NOW, counter, &effects);
        if (effects & EFFECT_ADOPTED)
            atomic_fetch_add(&adoptions, 1);
        if (v == RX_HOLD)
            v = keypair_receive_held(key, &gate, NOW, counter, false, &effects);
        if (v == RX_HOLD) {
            v = keypair_receive_held(key, &gate, NOW, counter, true, &effects);
            if (v == RX_ACCEPT)
                atomic_fetch_add(&dirty, 1);
        }
        if (v == RX_ACCEPT)
            me->accepted[counter]++;
        counter++;
    }
    return NULL;
}

static void *sender_main(void *arg)
{
    struct worker *me = arg;
    unsigned effects;

    while (!atomic_load(&stop) && me->run_count < SENT_MAX) {
        struct run *r = &me->runs[me->run_count];
        r->n = 1 + (me->run_count * 7 + me->number) % 64;
        if (keypair_send(key, &gate, NOW, r->n, &r->first, &effects) == TX_OK)
            me->run_count++;
        if (effects & EFFECT_ADOPTED)
            atomic_fetch_add(&adoptions, 1);
    }
    return NULL;
}

static int by_first(const void *a, const void *b)
{
    const struct run *x = a, *y = b;

    return x->first < y->first ? -1 : x->first > y->first;
}

static void pause_a_little(void)
{
    struct timespec t = {.tv_nsec = 100000};
    nanosleep(&t, NULL);
}

/* Main's part of one stay: raise a replica until somebody has adopted it, serve, close, yield. */
static void stay(unsigned number, const struct rng *rng)
{
    uint64_t promised = atomic_load(&key->limit) & ~LIMIT_ADOPTED;
    uint16_t term;

    for (unsigned i = 0; i < test_below(rng, 2000); i++) {
        if (i == 5)
            atomic_store(&gate.vip[SLOT].owned, true);
        if (!keypair_replica_raise(key, SIBLING, promised + 3, false))
            break;
        promised += 3; /* acked */
    }
    atomic_store(&gate.vip[SLOT].owned, true);
    while (atomic_load(&key->state) != KEYPAIR_OWNED)
        sched_yield();
    assert_false(keypair_replica_raise(key, SIBLING, promised + 1000000, false));
    assert_true(atomic_load(&keypair_live(key)->floor) >= promised); /* R8 */
    assert_int_equal(atomic_load(&key->limit) & ~LIMIT_ADOPTED, promised);

    for (unsigned i = 0; i < 10; i++) {
        atomic_store(&keypair_live(key)->ceiling, atomic_load(&key->top) + test_below(rng, 400));
        if (i == 3) { /* N9 */
            struct counter_tag tag = gate_tag(&gate);
            tag.rnd = (uint8_t)rng_u32(rng);
            gate_set_tag(&gate, tag);
            atomic_fetch_add(&gate.suspicion, 1);
        }
        if (i == 5)
            keypair_outbid(key, (uint16_t)test_below(rng, 20), 0, &gate);
        pause_a_little();
    }

    atomic_store(&gate.vip[SLOT].owned, false);
    uint64_t top = keypair_final_top(key), packets = atomic_load(&keypair_live(key)->rx_packets);
    pause_a_little();
    assert_int_equal(keypair_final_top(key), top);
    assert_int_equal(atomic_load(&keypair_live(key)->rx_packets), packets);
    term = counter_term_now(&keypair_live(key)->tx);
    /* A sibling adopted it; now and then it knows nothing of our terms. */
    keypair_yield(key, SIBLING, top + test_below(rng, 50), number % 3 ? (uint16_t)(term + 1) : 0);
}

TEST(first_touch_raises_yields_and_senders_race_without_harm)
{
    struct worker receivers[RECEIVERS], senders[SENDERS];
    pthread_t threads[RECEIVERS + SENDERS];
    const struct rng *rng = test_rng(42);
    struct run *all;
    unsigned count = 0;

    gate_for_cluster(&gate);
    atomic_store(&gate.vip[SLOT].owned, false);
    key = replica_of_sibling(1, 64, 0);
    for (unsigned i = 0; i < RECEIVERS; i++) {
        receivers[i] = (struct worker){.number = i, .accepted = calloc(COUNTERS_MAX + 1, 1)};
        assert_int_equal(pthread_create(&threads[i], NULL, receiver_main, &receivers[i]), 0);
    }
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = (struct worker){.number = i, .runs = calloc(SENT_MAX, sizeof(struct run))};
        assert_int_equal(pthread_create(&threads[RECEIVERS + i], NULL, sender_main, &senders[i]),
                         0);
    }
    for (unsigned i = 0; i < STAYS; i++)
        stay(i, rng);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < RECEIVERS + SENDERS; i++)
        pthread_join(threads[i], NULL);

    assert_int_equal(atomic_load(&adoptions), STAYS); /* each replica is adopted by one thread */
    assert_int_equal(atomic_load(&keypair_live(key)->held), 0);
    unsigned accepted = 0;
    for (unsigned c = 0; c < COUNTERS_MAX; c++) {
        unsigned times = 0;
        for (unsigned i = 0; i < RECEIVERS; i++)
            times += receivers[i].accepted[c];
        assert_true(times <= 1);
        accepted += times;
    }
    assert_true(accepted > STAYS);
    all = calloc(SENDERS * SENT_MAX, sizeof(*all));
    for (unsigned i = 0; i < SENDERS; i++) {
        memcpy(all + count, senders[i].runs, senders[i].run_count * sizeof(*all));
        count += senders[i].run_count;
        free(senders[i].runs);
    }
    assert_true(count > STAYS);
    qsort(all, count, sizeof(*all), by_first);
    for (unsigned i = 0; i < count; i++) {
        assert_true(counter_term(all[i].first) > 0); /* a replica: never creator space (N3) */
        if (i)
            assert_true(all[i - 1].first + all[i - 1].n <= all[i].first);
    }
    free(all);
    for (unsigned i = 0; i < RECEIVERS; i++)
        free(receivers[i].accepted);
    keypair_free(key);
}

/* ---- notes of traffic against the timers that disarm ---- */

#define NOTES 60000
#define NOTING_NS                                                                                  \
    3000000000ull          /* where threads share a core each note is a turn of the scheduler */
#define PATIENCE 50000000u /* turns of waiting for main, some seconds */

static struct wg_peer peer;
static _Atomic unsigned arms;
static _Atomic uint64_t seen;
static _Atomic bool noted, lost;

/* A worker that notes a fact, waits until main has its timers running for it, and settles it, so
 * that main disarms just when the next fact comes. */
static void *note_main(void *arg)
{
    uint64_t end = clock_boot_ns() + NOTING_NS;

    for (uint64_t i = 1; i <= NOTES && !atomic_load(&lost) && clock_boot_ns() < end; i++) {
        if (peer_note_sent(&peer, NOW + i, true, 1))
            atomic_fetch_add(&arms, 1);
        for (unsigned turns = 0; atomic_load(&seen) != NOW + i; turns++) {
            if (turns % 64 == 63)
                sched_yield();
            if (turns > PATIENCE) {
                atomic_store(&lost, true);
                break;
            }
        }
        peer_note_received(&peer, NOW + i, false, 1);
        for (volatile unsigned wait = 0; wait < i % 150; wait++)
            ;
    }
    atomic_store(&noted, true);
    return NULL;
}

TEST(no_fact_is_left_without_main_knowing)
{
    const struct rng *rng = test_rng(5);
    struct timers t = {0};
    unsigned last = 0, idle = 0;
    bool running = false;
    pthread_t thread;

    wg_peer_init(&peer, 1, 1, &(struct public_key){{1}});
    assert_int_equal(peer_wake(&peer), 0);
    assert_int_equal(pthread_create(&thread, NULL, note_main, NULL), 0);
    while (!atomic_load(&noted)) {
        unsigned told = atomic_load(&arms);

        if (told == last && !running) { /* main looks only when it was told, or runs timers */
            if (++idle % 64 == 0)
                sched_yield();
            continue;
        }
        last = told;
        running = timers_step(&t, &peer, rng, NOW).next_ns != 0;
        if (running)
            atomic_store(&seen, atomic_load(&peer_live(&peer)->data_sent_ns));
    }
    pthread_join(thread, NULL);
    assert_false(atomic_load(&lost));
    if (last <= 10)
        skip(); /* both threads on one busy core: it hardly disarmed between them */
}

#define WAKERS 3
#define WAKINGS 300

static pthread_barrier_t ready;
static struct wg_peer sleepers[WAKINGS];
static struct peer_live *found[WAKERS][WAKINGS];

static void *wake_main(void *arg)
{
    struct peer_live **mine = arg;

    for (unsigned i = 0; i < WAKINGS; i++) {
        pthread_barrier_wait(&ready);
        if (peer_wake(&sleepers[i]) == 0)
            mine[i] = peer_live(&sleepers[i]);
    }
    return NULL;
}

/* Each adopts another key of the peer. */
TEST(threads_that_wake_a_peer_at_once_find_one_live_part)
{
    pthread_t threads[WAKERS];

    pthread_barrier_init(&ready, NULL, WAKERS);
    for (unsigned i = 0; i < WAKINGS; i++)
        wg_peer_init(&sleepers[i], i + 1, 1, &(struct public_key){{1}});
    for (unsigned i = 0; i < WAKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wake_main, found[i]), 0);
    for (unsigned i = 0; i < WAKERS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned n = 0; n < WAKINGS; n++) {
        assert_non_null(found[0][n]);
        for (unsigned i = 1; i < WAKERS; i++)
            assert_ptr_equal(found[i][n], found[0][n]);
        wg_peer_done(&sleepers[n]);
    }
    pthread_barrier_destroy(&ready);
}

TEST_MAIN(T(first_touch_raises_yields_and_senders_race_without_harm),
          T(no_fact_is_left_without_main_knowing),
          T(threads_that_wake_a_peer_at_once_find_one_live_part))
