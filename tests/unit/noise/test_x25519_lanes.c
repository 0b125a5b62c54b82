/* X25519 in vector lanes against libsodium's: each lane by itself, whatever its neighbours do, at
 * the edges of what keys and coordinates may be, and in batches of every size. */
#include "base/secret.h"
#include "lib/test.h"
#include "noise/x25519_lanes.h"
#include <string.h>

#define N X25519_LANES_MAX
#define BATCH_MAX 27

static uint8_t scalars[BATCH_MAX][32], points[BATCH_MAX][32], results[BATCH_MAX][32];
static struct x25519_job jobs[BATCH_MAX], *all[BATCH_MAX];

/* All that this machine has, one after the other; where that is nothing there is nothing to see. */
static void with_each(void (*look)(const struct x25519_lanes *l))
{
    const struct x25519_lanes *l;

    assert_int_equal(noise_init(), 0);
    if (!x25519_lanes_here(0))
        skip();
    for (unsigned which = 0; (l = x25519_lanes_here(which)); which++) {
        for (unsigned i = 0; i < BATCH_MAX; i++) {
            jobs[i] = (struct x25519_job){
                .ret = results[i], .private_key = scalars[i], .public_key = points[i]};
            all[i] = &jobs[i];
        }
        look(l);
    }
}

#define TEST_OF_LANES(name)                                                                        \
    static void name##_in(const struct x25519_lanes *l);                                           \
    TEST(name)                                                                                     \
    {                                                                                              \
        with_each(name##_in);                                                                      \
    }                                                                                              \
    static void name##_in(const struct x25519_lanes *l)

static void check(const struct x25519_job *job)
{
    uint8_t want[32];

    if (!job->public_key) {
        assert_true(job->ok);
        x25519_public(want, job->private_key);
        assert_memory_equal(job->ret, want, 32);
        return;
    }
    assert_int_equal(job->ok, x25519(want, job->private_key, job->public_key));
    if (job->ok)
        assert_memory_equal(job->ret, want, 32);
    else
        assert_true(secret_is_zero(job->ret, 32));
}

static void run_and_check(const struct x25519_lanes *l)
{
    l->run(all, l->lanes);
    for (unsigned i = 0; i < l->lanes; i++)
        check(&jobs[i]);
}

TEST_OF_LANES(each_lane_multiplies_its_own_point_by_its_own_scalar)
{
    const struct rng *rng = test_rng(11);

    for (unsigned round = 0; round < 300; round++) {
        rng_fill(rng, scalars, sizeof(scalars));
        rng_fill(rng, points, sizeof(points));
        run_and_check(l);
    }
}

/* Runs of ones and of zeros: carries that go far, and limbs that are full or empty. */
static void fill_with_runs(const struct rng *rng, uint8_t ret[32])
{
    unsigned left = 0, bit = 0;

    memset(ret, 0, 32);
    for (unsigned i = 0; i < 256; i++, left--) {
        if (left == 0) {
            left = 1 + test_below(rng, 90);
            bit ^= 1;
        }
        ret[i / 8] |= (uint8_t)(bit << i % 8);
    }
}

TEST_OF_LANES(carries_go_as_far_as_they_must)
{
    const struct rng *rng = test_rng(12);

    for (unsigned round = 0; round < 300; round++) {
        for (unsigned i = 0; i < l->lanes; i++) {
            fill_with_runs(rng, scalars[i]);
            fill_with_runs(rng, points[i]);
        }
        run_and_check(l);
    }
}

/* p - 5 to 2^255 - 1 and the first few numbers, each also with the bit that is none of the
 * coordinate's; the points of order 8. */
static unsigned edges(uint8_t (*ret)[32])
{
    static const char *const order8[] = {
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"};
    unsigned n = 0;

    for (unsigned i = 0; i < 10 + 24 + 2; i++)
        for (unsigned top = 0; top < 2; top++, n++) {
            if (i < 10) {
                memset(ret[n], 0, 32);
                ret[n][0] = (uint8_t)i;
            } else if (i < 34) {
                memset(ret[n], 0xff, 32);
                ret[n][0] = (uint8_t)(0xff - (i - 10));
                ret[n][31] = 0x7f;
            } else {
                assert_int_equal(test_unhex(order8[i - 34], ret[n], 32), 32);
            }
            ret[n][31] |= (uint8_t)(top << 7);
        }
    return n;
}

TEST_OF_LANES(points_and_scalars_at_the_edges)
{
    static const uint8_t ends[][2] = {{0, 0}, {0xff, 0xff}, {8, 0}, {0, 0x3f}, {7, 0xc0}};
    const struct rng *rng = test_rng(13);
    uint8_t edge[80][32];
    unsigned count = edges(edge), refused = 0;

    for (unsigned s = 0; s < 7; s++)
        for (unsigned at = 0; at < count; at += l->lanes) {
            rng_fill(rng, scalars, sizeof(scalars));
            for (unsigned i = 0; i < l->lanes; i++) {
                memcpy(points[i], edge[(at + i) % count], 32);
                if (s < 5) {
                    memset(scalars[i], ends[s][0] & ends[s][1], 32);
                    scalars[i][0] = ends[s][0];
                    scalars[i][31] = ends[s][1];
                }
            }
            run_and_check(l);
            for (unsigned i = 0; i < l->lanes; i++)
                refused += !jobs[i].ok;
        }
    assert_true(refused >= 7 * 2 * 7); /* 0, 1, p - 1, p, p + 1 and the two of order 8 */
}

TEST_OF_LANES(no_lane_knows_what_its_neighbours_do)
{
    const struct rng *rng = test_rng(14);
    uint8_t scalar[32], point[32], want[32];

    rng_fill(rng, scalar, 32);
    rng_fill(rng, point, 32);
    assert_true(x25519(want, scalar, point));
    for (unsigned at = 0; at < l->lanes; at++)
        for (unsigned others = 0; others < 4; others++) {
            for (unsigned i = 0; i < l->lanes; i++) {
                memset(scalars[i], others == 1 ? 0xff : 0, 32);
                memset(points[i], others == 2 ? 0xff : 0, 32); /* 0: a result that is refused */
            }
            if (others == 3)
                rng_fill(rng, points, sizeof(points));
            memcpy(scalars[at], scalar, 32);
            memcpy(points[at], point, 32);
            l->run(all, l->lanes);
            assert_true(jobs[at].ok);
            assert_memory_equal(results[at], want, 32);
        }
}

TEST_OF_LANES(a_thousand_times_as_in_rfc_7748)
{
    static const char after_1000[] =
        "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51";
    uint8_t want[32];

    for (unsigned i = 0; i < l->lanes; i++) {
        memset(scalars[i], 0, 32);
        scalars[i][0] = 9;
        memcpy(points[i], scalars[i], 32);
    }
    for (unsigned round = 0; round < 1000; round++) {
        l->run(all, l->lanes);
        memcpy(points, scalars, sizeof(scalars));
        memcpy(scalars, results, sizeof(results));
    }
    assert_int_equal(test_unhex(after_1000, want, 32), 32);
    for (unsigned i = 0; i < l->lanes; i++)
        assert_memory_equal(scalars[i], want, 32);
}

TEST_OF_LANES(a_batch_of_any_size_is_the_same_as_one_by_one)
{
    const struct rng *rng = test_rng(15);
    static const uint8_t zeros[32];

    for (unsigned round = 0; round < 2; round++)
        for (unsigned n = 0; n <= BATCH_MAX; n++) {
            rng_fill(rng, scalars, sizeof(scalars));
            rng_fill(rng, points, sizeof(points));
            memset(results, 0x5a, sizeof(results));
            for (unsigned i = 0; i < n; i++)
                jobs[i].public_key = test_below(rng, 3) == 0   ? NULL
                                     : test_below(rng, 8) == 0 ? zeros
                                                               : points[i];
            x25519_batch_in(round % 2 ? l : NULL, all, n);
            for (unsigned i = 0; i < n; i++)
                check(&jobs[i]);
            for (unsigned i = n; i < BATCH_MAX; i++) /* and no byte beyond */
                for (unsigned b = 0; b < 32; b++)
                    assert_int_equal(results[i][b], 0x5a);
        }
}

TEST_MAIN(T(each_lane_multiplies_its_own_point_by_its_own_scalar),
          T(carries_go_as_far_as_they_must), T(points_and_scalars_at_the_edges),
          T(no_lane_knows_what_its_neighbours_do), T(a_thousand_times_as_in_rfc_7748),
          T(a_batch_of_any_size_is_the_same_as_one_by_one))
