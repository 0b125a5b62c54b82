/* lib/test.h - unit tests as sentences, on cmocka.
 *
 *   TEST(adopter_never_reuses_a_counter)
 *   {
 *       assert_true(...);
 *   }
 *
 *   TEST_MAIN(T(adopter_never_reuses_a_counter), T(...))
 *
 * Fixtures: TS(name, setup, teardown) instead of T(name); both are int f(void **state), and the
 * test finds what setup put there in *state. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"

#define TEST(name) static void name(__attribute__((unused)) void **state)
#define T(name) cmocka_unit_test(name)
#define TS(name, setup, teardown) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* TEST_FILTER=pattern (with * and ?) in the environment runs some of the tests only. */
#define TEST_MAIN(...)                                                                             \
    int main(void)                                                                                 \
    {                                                                                              \
        const struct CMUnitTest tests[] = {__VA_ARGS__};                                           \
                                                                                                   \
        test_init();                                                                               \
        return cmocka_run_group_tests(tests, NULL, NULL);                                          \
    }

void test_init(void);

/* Deterministic (splitmix64): the same seed gives the same bytes on every machine. */
struct test_rng {
    uint64_t state;
    struct rng rng; /* pass &t.rng */
};
#define TEST_RNGS_MAX 64
/* A generator that lives until the process ends (TEST_RNGS_MAX of them, then they repeat). */
const struct rng *test_rng(uint64_t seed);
/* The same in memory of the caller's. */
void test_rng_init(struct test_rng *t, uint64_t seed);
/* Evenly in [0, @below). */
uint32_t test_below(const struct rng *r, uint32_t below);
/* Hexadecimal text to at most @room bytes; anything else fails the test. Returns how many. */
size_t test_unhex(const char *text, uint8_t *ret, size_t room);
