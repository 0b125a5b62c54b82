/* Handshakes that are served together: each one's result is its own. */
#include "noise/noise.h"
#include "unit/wg/ends.h"
#include <string.h>

#define N HANDSHAKE_BATCH_MAX
#define SECOND 1000000000ull

/* A hub, which is the responder of @peers[0], and as many peers as fit into a batch. */
static struct ends *peers[N];
static struct remote looked_up; /* what was asked for last, as in the product */
static unsigned draws;
static struct handshake_job jobs[N];
static struct handshake_result results[N], *all[N];

static const struct remote *copy(const struct remote *r)
{
    looked_up = *r;
    return &looked_up;
}

static const struct remote *find_remote(void *ctx, const struct public_key *key)
{
    for (unsigned i = 0; i < N; i++)
        if (memcmp(key, &peers[i]->r.peer.public_key, sizeof(*key)) == 0)
            return copy(&peers[i]->r.peer);
    return NULL;
}

static const struct remote *find_remote_id(void *ctx, uint64_t id)
{
    return id < N ? copy(&peers[id]->r.peer) : NULL;
}

static const struct initiation *find_initiation(void *ctx, uint32_t index)
{
    for (unsigned i = 0; i < N; i++)
        if (peers[i]->r.has_initiation && peers[i]->r.initiation.local_index == index)
            return &peers[i]->r.initiation;
    return NULL;
}

/* Of peer 3 the last one. */
static bool last_stamp(void *ctx, uint64_t id, uint8_t ret[TAI64N_LEN])
{
    stamp_from_real(1000 * SECOND, ret);
    return id == 3;
}

static void count_draws(void *ctx, void *buf, size_t len)
{
    draws++;
    rng_fill(ctx, buf, len);
}

static struct rng counting = {.fill = count_draws};

static struct handshake_env *hub(void)
{
    const struct rng *rng = test_rng(8);
    uint8_t i[32], r[32], psk[32], unused[32];

    assert_int_equal(noise_init(), 0);
    x25519_keygen(rng, r, unused);
    for (unsigned n = 0; n < N; n++) {
        x25519_keygen(rng, i, unused);
        rng_fill(rng, psk, sizeof(psk));
        peers[n] = ends_new(i, r, psk);
        peers[n]->r.peer.peer_id = n;
        all[n] = &results[n];
    }
    struct handshake_env *env = &peers[0]->r.env;
    env->find_remote = find_remote;
    env->find_remote_id = find_remote_id;
    env->find_initiation = find_initiation;
    env->last_stamp = last_stamp;
    counting.ctx = (void *)test_rng(9);
    env->rng = &counting;
    draws = 0;
    return env;
}

static void hub_done(void)
{
    for (unsigned n = 0; n < N; n++)
        ends_free(peers[n]);
}

static void results_clear(void)
{
    for (unsigned n = 0; n < N; n++)
        handshake_result_clear(&results[n]);
}

static void job_of(unsigned n, const struct handshake_result *made)
{
    jobs[n] = (struct handshake_job){
        .kind = HANDSHAKE_DATAGRAM, .source = end_source(1), .len = made->reply_len};
    memcpy(jobs[n].message, made->reply, made->reply_len);
}

static void initiations(uint64_t seconds)
{
    for (unsigned n = 0; n < N; n++) {
        struct handshake_result made;
        uint8_t stamp[TAI64N_LEN];

        stamp_from_real(seconds * SECOND, stamp);
        end_initiate(&peers[n]->i, stamp, &made);
        job_of(n, &made);
        handshake_result_clear(&made);
    }
}

/* Result @n is an answer that peer @n can open, and both have the same keys. */
static void assert_answers(unsigned n)
{
    struct handshake_result r;

    assert_int_equal(results[n].verdict, HANDSHAKE_INITIATION_VALID);
    assert_int_equal(results[n].peer_id, n);
    assert_int_equal(end_receive(&peers[n]->i, results[n].reply, results[n].reply_len, &r),
                     HANDSHAKE_RESPONSE_VALID);
    assert_memory_equal(r.keys->send, results[n].keys->recv, 32);
    assert_memory_equal(r.keys->recv, results[n].keys->send, 32);
    handshake_result_clear(&r);
}

TEST(each_of_a_batch_gets_its_own_answer)
{
    const struct handshake_env *env = hub();

    for (unsigned count = 0; count <= N; count++) {
        initiations(1001 + count);
        size_t slots = secret_slots_used();
        handshake_run_batch(env, jobs, all, count);
        assert_int_equal(secret_slots_used(), slots + count);
        for (unsigned n = 0; n < count; n++) {
            assert_answers(n);
            for (unsigned other = 0; other < n; other++) {
                assert_memory_not_equal(results[n].reply + 12, results[other].reply + 12, 32);
                assert_int_not_equal(results[n].local_index, results[other].local_index);
            }
        }
        for (unsigned n = 0; n < count; n++)
            handshake_result_clear(&results[n]);
        assert_int_equal(secret_slots_used(), slots);
    }
    hub_done();
}

TEST(who_is_refused_in_a_batch_costs_the_others_nothing)
{
    static const uint8_t zero[32];
    const struct handshake_env *env = hub();

    initiations(1000);
    jobs[0].len = 17;                      /* no length of a message */
    jobs[1].message[50] ^= 1;              /* the static key does not open */
    peers[2]->r.peer.public_key.b[1] ^= 1; /* not known */
    /* 3: stale */
    jobs[4].message[100] ^= 1;                             /* the stamp does not open */
    memcpy(jobs[5].message + 8, zero, 32);                 /* a point of small order */
    memset(peers[6]->r.peer.secret->static_static, 0, 32); /* not usable */
    handshake_run_batch(env, jobs, all, N);
    static const enum handshake_verdict want[] = {
        HANDSHAKE_DROP_MALFORMED, HANDSHAKE_DROP_AUTH, HANDSHAKE_DROP_UNKNOWN, HANDSHAKE_DROP_STALE,
        HANDSHAKE_DROP_AUTH,      HANDSHAKE_DROP_AUTH, HANDSHAKE_DROP_UNKNOWN};
    for (unsigned n = 0; n < N - 1; n++) {
        assert_int_equal(results[n].verdict, want[n]);
        assert_null(results[n].keys);
        assert_int_equal(results[n].reply_len, 0);
    }
    assert_int_equal(draws,
                     1); /* a key for the one that is answered: nobody else had a second round */
    assert_answers(7);
    results_clear();
    hub_done();
}

TEST(a_batch_may_be_of_every_kind)
{
    const struct handshake_env *env = hub();
    struct handshake_result answer;
    struct handshake_job asked[2] = {{.kind = HANDSHAKE_INITIATE, .peer_id = 0},
                                     {.kind = HANDSHAKE_INITIATE, .peer_id = 1}};

    /* The hub asks peers 0 and 1 at once; */
    stamp_from_real(2000 * SECOND, asked[0].stamp);
    stamp_from_real(2000 * SECOND, asked[1].stamp);
    handshake_run_batch(env, asked, all, 2);
    initiations(1001);
    for (unsigned n = 0; n < 2; n++) {
        assert_int_equal(results[n].verdict, HANDSHAKE_INITIATION_MADE);
        assert_int_equal(results[n].initiation.peer_id, n);
        peers[n]->r.initiation = results[n].initiation;
        peers[n]->r.has_initiation = true;
        assert_int_equal(end_receive(&peers[n]->i, results[n].reply, results[n].reply_len, &answer),
                         HANDSHAKE_INITIATION_VALID);
        job_of(n, &answer);
        handshake_result_clear(&answer);
    }
    /* their answers come with an initiation of peer 4, and it asks peer 5. */
    jobs[2] = jobs[4];
    jobs[3] = asked[0];
    jobs[3].peer_id = 5;
    handshake_run_batch(env, jobs, all, 4);
    for (unsigned n = 0; n < 2; n++) {
        assert_int_equal(results[n].verdict, HANDSHAKE_RESPONSE_VALID);
        assert_int_equal(results[n].peer_id, n);
        assert_int_equal(results[n].initiation_index, peers[n]->r.initiation.local_index);
        assert_memory_not_equal(results[n].keys->send, results[n].keys->recv, 32);
    }
    assert_int_equal(results[2].verdict, HANDSHAKE_INITIATION_VALID);
    assert_int_equal(results[2].peer_id, 4);
    assert_int_equal(results[3].verdict, HANDSHAKE_INITIATION_MADE);
    assert_int_equal(end_verdict(&peers[5]->i, results[3].reply, results[3].reply_len),
                     HANDSHAKE_INITIATION_VALID);
    for (unsigned n = 0; n < 4; n++)
        handshake_result_clear(&results[n]);
    hub_done();
}

TEST(under_load_each_of_a_batch_needs_a_cookie)
{
    struct handshake_env *env = hub();

    initiations(1001);
    env->under_load = true;
    handshake_run_batch(env, jobs, all, N);
    for (unsigned n = 0; n < N; n++)
        assert_int_equal(results[n].verdict, HANDSHAKE_REPLY_COOKIE);
    assert_int_equal(draws, N); /* the nonces of the replies: no key was made */
    results_clear();
    hub_done();
}

TEST_MAIN(T(each_of_a_batch_gets_its_own_answer),
          T(who_is_refused_in_a_batch_costs_the_others_nothing), T(a_batch_may_be_of_every_kind),
          T(under_load_each_of_a_batch_needs_a_cookie))
