/* Handshakes of whole engines: who serves them, under load and without, and who is refused. */
#include "base/bytes.h"
#include "engines.h"
#include <netinet/in.h>
#include <netinet/udp.h>

TEST(under_load_a_cookie_is_asked_for_and_then_served)
{
    struct pair p = pair_new(1);

    hub_join(p.a, 1, p.b, 2, "127.0.0.1", NULL);
    atomic_store(&p.b->engine->pool.load_until_ns, clock_boot_ns() + 5 * NS_PER_S);
    lab_send_to(p.a4, B4, PORT, "up", 2);
    UNTIL(got(p.b4, "up"));
    assert_true(p.a->results[HANDSHAKE_COOKIE_VALID] >= 1);
    assert_int_equal(hub_counters(p.b).handshake[HANDSHAKE_REPLY_COOKIE],
                     p.a->results[HANDSHAKE_COOKIE_VALID]);
    assert_true(p.b->results[HANDSHAKE_INITIATION_VALID] >= 1);
    pair_free(&p);
}

static unsigned answered(const struct hub *h)
{
    return h->results[HANDSHAKE_INITIATION_VALID] +
           (unsigned)hub_counters(h).handshake[HANDSHAKE_REPLY_COOKIE];
}

TEST(a_copy_of_an_initiation_is_dropped_before_it_counts)
{
    struct pair p = pair_new(2);
    int middle = lab_socket(NULL, SOCK_DGRAM, "127.0.0.1", 0);
    struct sockaddr_in at;
    socklen_t at_len = sizeof(at);
    uint8_t m[256];

    getsockname(middle, (struct sockaddr *)&at, &at_len);
    hub_join(p.a, 1, p.b, 2, "127.0.0.1", NULL);
    hub_set_endpoint(&p.a->peers[0], "127.0.0.1", ntohs(at.sin_port));
    hub_initiate(&p.a->peers[0]);
    ssize_t len;
    UNTIL((len = recv(middle, m, sizeof(m), MSG_DONTWAIT)) > 0);
    assert_int_equal(len, sizeof(struct message_initiation));
    for (unsigned i = 0; i < 5; i++)
        lab_send_to(middle, "127.0.0.1", p.b->port, m, (size_t)len);
    UNTIL(hub_counters(p.b).initiation_repeats == 4);
    UNTIL(answered(p.b) == 1);
    m[50] ^= 1; /* and what has no right mac1 goes before that */
    lab_send_to(middle, "127.0.0.1", p.b->port, m, (size_t)len);
    UNTIL(hub_counters(p.b).mac1_bad == 1);
    turn_for(20);
    assert_int_equal(answered(p.b), 1);
    lab_close(middle);
    pair_free(&p);
}

static unsigned first_refusals(struct hub *h)
{
    struct pool *p = &h->engine->pool;

    pthread_mutex_lock(&p->refusal_lock);
    unsigned count = p->refusal_count ? p->refusals[0].count : 0;
    pthread_mutex_unlock(&p->refusal_lock);
    return count;
}

TEST(who_was_refused_is_told_once_with_a_count)
{
    struct pair p = pair_new(1);
    struct engine_refusal rows[ENGINE_REFUSALS_MAX];
    struct public_key stranger = {{9}};

    /* a knows b; b knows somebody else only. */
    hub_add_peer(p.b, &stranger, NULL, 3);
    struct hub_peer *b = hub_add_peer(p.a, &p.b->key, NULL, 2);
    hub_set_endpoint(b, "127.0.0.1", p.b->port);
    for (unsigned i = 1; i <= 3; i++) {
        hub_initiate(b);
        UNTIL(hub_counters(p.b).handshake[HANDSHAKE_DROP_UNKNOWN] == i);
        b->initiating = false;
    }
    UNTIL(first_refusals(p.b) == 3);
    assert_int_equal(engine_take_refusals(p.b->engine, rows), 1);
    assert_true(rows[0].verdict == HANDSHAKE_DROP_UNKNOWN && rows[0].count == 3);
    assert_true(public_key_equal(&rows[0].key, &p.a->key));
    assert_int_equal(rows[0].source.port, p.a->port);
    assert_int_equal(engine_take_refusals(p.b->engine, rows), 0);
    pair_free(&p);
}

TEST(without_an_identity_jobs_fail_and_say_so)
{
    struct pair p = pair_new(1);

    hub_join(p.a, 1, p.b, 2, "127.0.0.1", NULL);
    engine_set_identity(p.a->engine, NULL, NULL);
    hub_initiate(&p.a->peers[0]);
    UNTIL(p.a->results[HANDSHAKE_DROP_UNKNOWN] == 1);
    assert_int_equal(p.a->last_result.peer_id, p.a->peers[0].wg->id);
    pair_free(&p);
}

/* For want of an identity; main is told so. */
static struct handshake_job job_that_fails(struct pair *p)
{
    engine_set_identity(p->a->engine, NULL, NULL);
    return (struct handshake_job){.kind = HANDSHAKE_INITIATE,
                                  .queued_ns = clock_boot_ns(),
                                  .peer_id = hub_add_peer(p->a, &p->b->key, NULL, 2)->wg->id};
}

TEST(the_handshake_queue_is_bounded_and_a_long_one_is_load)
{
    struct pair p = pair_new(1);
    struct pool *pool = &p.a->engine->pool;
    struct handshake_job job = job_that_fails(&p);
    unsigned taken = 0;

    pthread_mutex_lock(&pool->take_lock); /* nobody serves */
    while (engine_handshake(p.a->engine, &job) == 0)
        taken++;
    pthread_mutex_unlock(&pool->take_lock);
    assert_int_equal(taken, HANDSHAKE_QUEUE_MAX);
    UNTIL(p.a->results[HANDSHAKE_DROP_UNKNOWN] == HANDSHAKE_QUEUE_MAX);
    assert_true(atomic_load(&pool->load_until_ns) > clock_boot_ns());
    assert_int_equal(atomic_load(&pool->depth), 0);
    pair_free(&p);
}

/* ---- the door ---- */

TEST(what_is_no_data_comes_in_at_the_door)
{
    struct hub *h = hub_new(&loop, LAB_A, "gmt0", 1, &(struct hub_options){.workers = 4});
    int outside = lab_socket(NULL, SOCK_DGRAM, "127.0.0.1", 0);
    struct stats *door = &door_of(h->engine)->lane.stats;
    uint8_t m[32] = {MESSAGE_INITIATION}, other[9] = {0x5a};

    hub_open(h, 0);
    for (uint32_t i = 0; i < 40; i++) {
        store_le32(m + 4, i);
        lab_send_to(outside, "127.0.0.1", h->port, m, sizeof(m));
    }
    lab_send_to(outside, "127.0.0.1", h->port, other, sizeof(other));
    lab_send_to(outside, "127.0.0.1", h->port, other, 1);
    UNTIL(atomic_load(&door->handshake[HANDSHAKE_DROP_MALFORMED]) == 40);
    UNTIL(atomic_load(&door->rx[RX_DROP_MALFORMED]) == 2);
    assert_int_equal(hub_counters(h).rx[RX_DROP_MALFORMED], 2);
    lab_close(outside);
    hub_free(h);
}

/* A burst goes where its first datagram goes. */
TEST(data_behind_a_handshake_message_in_a_burst_is_delivered)
{
    struct crafted c = crafted_new(&(struct hub_options){.workers = 2});
    struct stats *door = &door_of(c.hub->engine)->lane.stats;
    uint8_t m[512] = {MESSAGE_INITIATION};
    int segment = sizeof(struct message_initiation);
    size_t len = seal(&c, m + segment, 0, 2, "behind");

    assert_true(len < (size_t)segment);
    assert_int_equal(setsockopt(c.outside, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)), 0);
    lab_send_to(c.outside, "127.0.0.1", c.hub->port, m, (size_t)segment + len);
    UNTIL(got(c.inside, "behind"));
    UNTIL(hub_counters(c.hub).mac1_bad == 1);
    assert_int_equal(atomic_load(&door->rx[RX_ACCEPT]), 1);
    crafted_free(&c);
}

static unsigned served(const struct pool_thread *t)
{
    return (unsigned)atomic_load(&t->stats.handshake[HANDSHAKE_DROP_UNKNOWN]);
}

static int do_nothing(struct worker *w, void *arg)
{
    return 0;
}

/* Results that main has, or will have, to take. */
static unsigned results_due(struct pool *pool)
{
    pthread_mutex_lock(&pool->result_lock);
    unsigned due = pool->result_count + pool->reserved;
    pthread_mutex_unlock(&pool->result_lock);
    return due;
}

TEST(the_door_never_waits_for_main)
{
    struct pair p = pair_new(1);
    struct pool *pool = &p.a->engine->pool;
    struct handshake_job job = {.kind = HANDSHAKE_INITIATE, .queued_ns = clock_boot_ns()};
    const unsigned many = RESULTS_MAX + 4 * HANDSHAKE_BATCH_MAX;

    job.peer_id = hub_add_peer(p.a, &p.b->key, NULL, 2)->wg->id;
    engine_set_identity(p.a->engine, NULL, NULL); /* each will fail, and is told so */
    for (unsigned i = 0; i < many; i++)           /* more than main, which is here, has room for */
        assert_int_equal(engine_handshake(p.a->engine, &job), 0);
    while (atomic_load(&pool->depth) > many - RESULTS_MAX)
        usleep(1000);
    assert_int_equal(worker_run(door_of(p.a->engine), do_nothing, NULL), 0);
    assert_int_equal(results_due(pool), RESULTS_MAX);
    UNTIL(p.a->results[HANDSHAKE_DROP_UNKNOWN] == many);
    UNTIL(results_due(pool) == 0);
    pair_free(&p);
}

TEST(the_door_serves_few_handshakes_alone_and_other_threads_help_with_many)
{
    struct pair p = pair_new(1);
    struct pool *pool = &p.a->engine->pool;
    struct handshake_job job = job_that_fails(&p);
    const unsigned many = 10 * JOBS_PER_THREAD;
    struct stall stall;

    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(engine_handshake(p.a->engine, &job), 0);
        UNTIL(p.a->results[HANDSHAKE_DROP_UNKNOWN] == i + 1);
    }
    assert_int_equal(served(&pool->door), 3);
    stall_begin(&stall, door_of(p.a->engine));
    for (unsigned i = 0; i < many; i++)
        assert_int_equal(engine_handshake(p.a->engine, &job), 0);
    UNTIL(served(&pool->threads[0]) + served(&pool->threads[1]) >= many - JOBS_PER_THREAD);
    assert_int_equal(served(&pool->door), 3);
    stall_end(&stall, door_of(p.a->engine));
    UNTIL(p.a->results[HANDSHAKE_DROP_UNKNOWN] == 3 + many);
    pair_free(&p);
}

/* On the door's own thread, as if it had just looked at its sockets: there is more to read, and an
 * answer that main was not told of. */
static int reads_and_reads(struct worker *w, void *job)
{
    struct pool *p = &w->e->pool;

    w->more = true;
    p->door.untold = true;
    return engine_handshake(w->e, job);
}

/* The same, but main has not taken what it was told of before. */
static int may_not_serve(struct worker *w, void *job)
{
    struct pool *p = &w->e->pool;

    pthread_mutex_lock(&p->result_lock);
    p->result_count = RESULTS_MAX;
    pthread_mutex_unlock(&p->result_lock);
    p->door.untold = true;
    return engine_handshake(w->e, job);
}

static unsigned results(struct pool *p)
{
    pthread_mutex_lock(&p->result_lock);
    unsigned count = p->result_count;
    pthread_mutex_unlock(&p->result_lock);
    return count;
}

TEST(a_door_that_goes_on_reading_calls_who_serves_and_tells_main)
{
    struct pair p = pair_new(1);
    struct pool *pool = &p.a->engine->pool;
    struct handshake_job job = job_that_fails(&p);

    turn_for(20);                         /* nobody has anything to say any more */
    pthread_mutex_lock(&pool->take_lock); /* nor does the door get to serve */
    pthread_mutex_lock(&pool->result_lock);
    pool->result_count = 1;
    pthread_mutex_unlock(&pool->result_lock);
    assert_int_equal(worker_run(door_of(p.a->engine), reads_and_reads, &job), 0);
    UNTIL(atomic_load(&pool->awake) == 1);
    UNTIL(results(pool) == 0); /* main took it */
    pthread_mutex_unlock(&pool->take_lock);
    UNTIL(p.a->results[HANDSHAKE_DROP_UNKNOWN] == 1);
    pair_free(&p);
}

TEST(a_door_whose_results_nobody_takes_tells_main_and_lets_others_wait)
{
    struct pair p = pair_new(1);
    struct pool *pool = &p.a->engine->pool;
    struct handshake_job job = job_that_fails(&p);

    turn_for(20);
    assert_int_equal(worker_run(door_of(p.a->engine), may_not_serve, &job), 0);
    uint64_t end = clock_boot_ns() + 10 * NS_PER_S;
    while (!atomic_load(&pool->awake) && clock_boot_ns() < end)
        usleep(500); /* main looks at nothing */
    assert_int_equal(atomic_load(&pool->awake), 1);
    assert_int_equal(atomic_load(&pool->depth), 1); /* served when there is room for the result */
    UNTIL(results(pool) == 0);
    UNTIL(p.a->results[HANDSHAKE_DROP_UNKNOWN] == 1);
    pair_free(&p);
}

ENGINES_MAIN(E(under_load_a_cookie_is_asked_for_and_then_served),
             E(a_copy_of_an_initiation_is_dropped_before_it_counts),
             E(who_was_refused_is_told_once_with_a_count),
             E(without_an_identity_jobs_fail_and_say_so),
             E(the_handshake_queue_is_bounded_and_a_long_one_is_load),
             E(what_is_no_data_comes_in_at_the_door),
             E(data_behind_a_handshake_message_in_a_burst_is_delivered),
             E(the_door_never_waits_for_main),
             E(the_door_serves_few_handshakes_alone_and_other_threads_help_with_many),
             E(a_door_that_goes_on_reading_calls_who_serves_and_tells_main),
             E(a_door_whose_results_nobody_takes_tells_main_and_lets_others_wait))
