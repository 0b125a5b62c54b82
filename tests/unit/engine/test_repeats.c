#include "engine/internal.h"

#include "lib/test.h"

TEST(repeated_initiations_are_known_and_new_ones_are_not)
{
    struct repeats *r = repeats_new();
    const struct rng *rng = test_rng(7);
    uint8_t mac1[64][16];

    for (unsigned i = 0; i < 64; i++) {
        rng_fill(rng, mac1[i], 16);
        assert_false(repeats_seen(r, mac1[i]));
    }
    for (unsigned i = 0; i < 64; i++)
        assert_true(repeats_seen(r, mac1[i]));
    free(r);
}

TEST(the_least_recent_repeat_is_forgotten_first)
{
    struct repeats *r = repeats_new();
    uint8_t mac1[REPEAT_WAYS + 1][16] = {0};

    for (unsigned i = 0; i <= REPEAT_WAYS; i++) /* all of one set */
        mac1[i][15] = (uint8_t)(i + 1);
    for (unsigned i = 0; i < REPEAT_WAYS; i++)
        assert_false(repeats_seen(r, mac1[i]));
    assert_true(repeats_seen(r, mac1[0])); /* used again: the second is the oldest now */
    assert_false(repeats_seen(r, mac1[REPEAT_WAYS]));
    assert_true(repeats_seen(r, mac1[0]));
    assert_false(repeats_seen(r, mac1[1]));
    free(r);
}

TEST_MAIN(T(repeated_initiations_are_known_and_new_ones_are_not),
          T(the_least_recent_repeat_is_forgotten_first))
