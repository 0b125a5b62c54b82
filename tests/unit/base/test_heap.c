/* The heap of deadlines against the plainest thing that does the same: a search through all. */
#include "base/heap.h"
#include "lib/test.h"
#include <string.h>

#define ENTRIES 300

static const struct heap_entry *soonest(const struct heap_entry *e)
{
    const struct heap_entry *best = NULL;

    for (unsigned i = 0; i < ENTRIES; i++)
        if (e[i].place && (!best || e[i].at_ns < best->at_ns))
            best = &e[i];
    return best;
}

TEST(the_first_is_always_the_soonest_whatever_was_set_moved_and_removed)
{
    static struct heap_entry e[ENTRIES];
    struct heap h = {0};
    const struct rng *r = test_rng(3);
    unsigned in = 0;

    for (unsigned step = 0; step < 20000; step++) {
        struct heap_entry *one = &e[test_below(r, ENTRIES)];

        in -= one->place != 0;
        if (test_below(r, 3)) {
            uint64_t at = test_below(r, 50) ? test_below(r, 1000) : rng_u64(r);
            assert_int_equal(heap_set(&h, one, at), 0);
            assert_true(one->at_ns == at);
            in++;
        } else {
            heap_remove(&h, one);
            assert_int_equal(one->place, 0);
        }
        const struct heap_entry *first = heap_first(&h), *want = soonest(e);
        assert_int_equal(h.count, in);
        assert_true(!first == !want && (!first || first->at_ns == want->at_ns));
        for (unsigned i = 0; i < h.count; i++) /* each knows where it is */
            assert_int_equal(h.entries[i]->place, i + 1);
    }
    uint64_t last = 0;
    for (struct heap_entry *first; (first = heap_first(&h)); heap_remove(&h, first)) {
        assert_true(first->at_ns >= last);
        last = first->at_ns;
    }
    assert_int_equal(h.count, 0);
    heap_done(&h);
}

TEST(removing_what_is_not_in_changes_nothing)
{
    struct heap h = {0};
    struct heap_entry a = {0}, b = {0};

    assert_null(heap_first(&h));
    heap_remove(&h, &a);
    assert_int_equal(heap_set(&h, &b, 5), 0);
    heap_remove(&h, &a);
    assert_ptr_equal(heap_first(&h), &b);
    heap_remove(&h, &b);
    heap_remove(&h, &b);
    assert_null(heap_first(&h));
    heap_done(&h);
    heap_done(&h);
}

TEST_MAIN(T(the_first_is_always_the_soonest_whatever_was_set_moved_and_removed),
          T(removing_what_is_not_in_changes_nothing))
