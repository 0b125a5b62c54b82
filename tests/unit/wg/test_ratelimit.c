/* The rate of handshakes of one source under load (H10), as the kernel's: 20 a second, 5 at once.
 */
#include "lib/test.h"
#include "wg/ratelimit.h"
#include <stdlib.h>
#include <string.h>

#define S 1000000000ull
#define MS 1000000ull

static struct ip_addr v4(uint32_t n)
{
    return addr_from_v4((const uint8_t[]){10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n});
}

static struct ip_addr v6(uint32_t network, uint32_t host)
{
    uint8_t b[16] = {0x20, 0x01, 0x0d, 0xb8};

    memcpy(b + 4, &network, 4);
    memcpy(b + 12, &host, 4);
    return addr_from_v6(b, 0);
}

static unsigned ask(struct ratelimit *l, const struct ip_addr *source, unsigned times, uint64_t now)
{
    unsigned n = 0;

    for (unsigned i = 0; i < times; i++)
        n += ratelimit_allow(l, source, now);
    return n;
}

TEST(five_at_once_and_not_one_more)
{
    struct ratelimit *l = ratelimit_new(1);
    struct ip_addr a = v4(1);

    assert_int_equal(ask(l, &a, 100, S), 5);
    assert_int_equal(ask(l, &a, 100, S + 50 * MS - 1), 0);
    assert_int_equal(ask(l, &a, 100, S + 50 * MS), 1);
    assert_int_equal(ask(l, &a, 100, S + 100 * MS), 1);
    assert_int_equal(ask(l, &a, 100, S + 250 * MS), 3);
    assert_int_equal(ask(l, &a, 100, S + 500 * MS), 5);        /* all of them again */
    assert_int_equal(ask(l, &a, 100, 1000 * S + 500 * MS), 5); /* and never more are saved up */
    ratelimit_free(l);
}

TEST(twenty_a_second_for_as_long_as_it_takes)
{
    struct ratelimit *l = ratelimit_new(1);
    struct ip_addr a = v4(1);
    unsigned allowed = 0;

    for (uint64_t ms = 0; ms < 10000; ms++)
        allowed += ratelimit_allow(l, &a, S + ms * MS);
    assert_int_equal(allowed, 5 + 199); /* the burst, and one each 50 ms behind the first */
    ratelimit_free(l);
}

TEST(every_history_of_a_source_is_that_of_a_bucket_of_tokens)
{
    struct ratelimit *l = ratelimit_new(1);
    struct ip_addr a = v4(1);
    const struct rng *r = test_rng(21);
    uint64_t now = S, then = S, tokens = 250 * MS; /* the kernel's way: tokens are nanoseconds */

    for (unsigned i = 0; i < 20000; i++) {
        now += test_below(r, 4) ? test_below(r, 60000000) : test_below(r, 400) * MS;
        tokens += now - then;
        tokens = tokens > 250 * MS ? 250 * MS : tokens;
        then = now;
        bool want = tokens >= 50 * MS;
        tokens -= want ? 50 * MS : 0;
        assert_int_equal(ratelimit_allow(l, &a, now), want);
    }
    ratelimit_free(l);
}

TEST(ipv6_hosts_of_one_64_share_a_rate_and_ipv4_hosts_do_not)
{
    struct ratelimit *l = ratelimit_new(1);
    unsigned allowed = 0;

    for (uint32_t host = 0; host < 1000; host++) {
        struct ip_addr a = v6(1, host);
        allowed += ratelimit_allow(l, &a, S);
    }
    assert_int_equal(allowed, 5);
    struct ip_addr neighbour = v6(2, 0);
    assert_int_equal(ask(l, &neighbour, 100, S), 5);
    for (uint32_t host = 0; host < 100; host++) {
        struct ip_addr a = v4(host);
        assert_int_equal(ask(l, &a, 6, S), 5);
    }
    ratelimit_free(l);
}

TEST(a_source_in_debt_is_not_forgotten_because_many_others_came)
{
    struct ratelimit *l = ratelimit_new(1);
    struct ip_addr a = v4(0xffffff);

    assert_int_equal(ask(l, &a, 100, S), 5);
    for (uint32_t n = 0; n < 8 * RATELIMIT_SOURCES_MAX; n++) { /* far more than there is room for */
        struct ip_addr other = v4(n);
        assert_true(ratelimit_allow(l, &other, S)); /* a full table turns nobody away */
    }
    assert_int_equal(ask(l, &a, 100, S), 0);
    ratelimit_free(l);
}

TEST(a_place_is_free_again_when_its_debt_is_paid)
{
    struct ratelimit *l = ratelimit_new(1);

    /* Every place holds a source in full debt, many times over... */
    for (uint32_t n = 0; n < 4 * RATELIMIT_SOURCES_MAX; n++) {
        struct ip_addr a = v4(n);
        ask(l, &a, 5, S);
    }
    /* ...and a quarter of a second later they are all that who comes then can displace. */
    for (uint32_t n = 0; n < 1000; n++) {
        struct ip_addr a = v4(0x800000 + n);
        assert_int_equal(ask(l, &a, 6, S + 250 * MS), 5);
    }
    for (uint32_t n = 0; n < 1000; n++) {
        struct ip_addr a = v4(0x800000 + n);
        assert_int_equal(ratelimit_allow(l, &a, S + 250 * MS), false);
    }
    ratelimit_free(l);
}

TEST(neighbours_do_not_meet_in_one_place_of_the_table)
{
    struct ratelimit *l = ratelimit_new(1);
    unsigned again = 0;

    for (uint32_t n = 0; n < 1024; n++) { /* a sixteenth of the table: nobody has to give way */
        struct ip_addr a = v4(n);
        assert_int_equal(ask(l, &a, 5, S), 5);
    }
    for (uint32_t n = 0; n < 1024; n++) {
        struct ip_addr a = v4(n);
        again += ratelimit_allow(l, &a, S);
    }
    assert_int_equal(again, 0);
    ratelimit_free(l);
}

TEST(which_sources_meet_in_the_table_depends_on_the_seed)
{
    /* Who can guess it could push one victim out by eight addresses; so it must differ. */
    unsigned kept[2] = {0};

    for (unsigned k = 0; k < 2; k++) {
        struct ratelimit *l = ratelimit_new(k + 1);
        uint64_t pattern = 0;
        for (uint32_t n = 0; n < RATELIMIT_SOURCES_MAX; n++) {
            struct ip_addr a = v4(n);
            ask(l, &a, 5, S);
        }
        for (uint32_t n = 0; n < 64; n++) {
            struct ip_addr a = v4(n);
            pattern = pattern * 31 + ratelimit_allow(l, &a, S);
        }
        kept[k] = (unsigned)(pattern ^ pattern >> 32);
        ratelimit_free(l);
    }
    assert_int_not_equal(kept[0], kept[1]);
}

TEST_MAIN(T(five_at_once_and_not_one_more), T(twenty_a_second_for_as_long_as_it_takes),
          T(every_history_of_a_source_is_that_of_a_bucket_of_tokens),
          T(ipv6_hosts_of_one_64_share_a_rate_and_ipv4_hosts_do_not),
          T(a_source_in_debt_is_not_forgotten_because_many_others_came),
          T(a_place_is_free_again_when_its_debt_is_paid),
          T(neighbours_do_not_meet_in_one_place_of_the_table),
          T(which_sources_meet_in_the_table_depends_on_the_seed))
