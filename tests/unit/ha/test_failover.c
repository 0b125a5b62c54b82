/* Who owns a VIP (O1): address, keepalived's FIFO, and no line that says otherwise. */
#include "ha/failover.h"
#include "lib/test.h"

#define MS 1000000ull
#define S (1000 * MS)

static uint64_t now;

static struct failover_todo tell(struct failover *f, enum failover_kind kind)
{
    return failover_step(f, &(struct failover_event){.kind = kind, .fit = true}, now += MS);
}

/* keepalived is there; the address not yet. */
static struct failover standby(void)
{
    struct failover f;

    now = S;
    failover_init(&f);
    tell(&f, FAILOVER_WRITER_UP);
    assert_false(failover_owned(&f));
    return f;
}

static struct failover active(void)
{
    struct failover f = standby();

    assert_true(tell(&f, FAILOVER_ADDRESS_UP).actions & FAILOVER_OPEN);
    assert_int_equal(f.state, VIP_ADOPTING);
    tell(&f, FAILOVER_TICK);
    assert_int_equal(f.state, VIP_ACTIVE);
    return f;
}

TEST(an_address_with_keepalived_behind_it_is_ours_at_once)
{
    struct failover f = standby();
    struct failover_todo t = tell(&f, FAILOVER_ADDRESS_UP);

    assert_int_equal(t.actions & (FAILOVER_OPEN | FAILOVER_ANNOUNCE),
                     FAILOVER_OPEN | FAILOVER_ANNOUNCE);
    assert_true(failover_owned(&f));
    assert_int_equal(f.epoch, 1);
    assert_true(t.next_ns <= now); /* "told" comes at once */
}

TEST(every_part_of_the_predicate_closes)
{
    static const enum failover_kind ends[] = {FAILOVER_ADDRESS_DOWN, FAILOVER_LINE_BACKUP,
                                              FAILOVER_LINE_FAULT, FAILOVER_LINE_STOP};

    for (unsigned i = 0; i < 4; i++) {
        struct failover f = active();
        struct failover_todo t = tell(&f, ends[i]);

        assert_true(t.actions & FAILOVER_CLOSE);
        assert_false(failover_owned(&f));
        assert_int_equal(f.state, VIP_RELEASING);
        tell(&f, FAILOVER_RELEASED);
        assert_int_equal(f.state, VIP_STANDBY);
        assert_false(tell(&f, FAILOVER_TICK).actions & FAILOVER_OPEN);
    }
}

TEST(an_engine_that_fails_closes_and_its_return_opens)
{
    struct failover f = active();
    struct failover_event sick = {.kind = FAILOVER_ENGINE}, well = {FAILOVER_ENGINE, .fit = true};

    assert_true(failover_step(&f, &sick, now += MS).actions & FAILOVER_CLOSE);
    assert_int_equal(f.state, VIP_FAULT);
    assert_false(failover_step(&f, &sick, now += MS).actions & FAILOVER_CLOSE); /* once */
    assert_true(failover_step(&f, &well, now += MS).actions & FAILOVER_OPEN);
    assert_int_equal(f.epoch, 2);
}

TEST(a_line_from_before_the_address_does_not_close_it)
{
    struct failover f = standby();

    tell(&f, FAILOVER_LINE_BACKUP); /* of an earlier stay */
    assert_true(tell(&f, FAILOVER_ADDRESS_UP).actions & FAILOVER_OPEN);
    tell(&f, FAILOVER_ADDRESS_UP); /* seen again: nothing new */
    assert_true(failover_owned(&f));
    /* A line denies until the address comes anew, or keepalived says MASTER. */
    tell(&f, FAILOVER_LINE_BACKUP);
    tell(&f, FAILOVER_ADDRESS_UP);
    assert_false(failover_owned(&f));
    assert_true(tell(&f, FAILOVER_LINE_MASTER).actions & FAILOVER_OPEN);
}

TEST(a_keepalived_that_restarts_has_a_second)
{
    struct failover f = active();

    tell(&f, FAILOVER_WRITER_GONE);
    assert_true(failover_owned(&f));
    now += WRITER_GRACE_NS - 10 * MS;
    tell(&f, FAILOVER_WRITER_UP);
    now += S;
    assert_false(tell(&f, FAILOVER_TICK).actions & FAILOVER_REMOVE_STALE);
    assert_true(failover_owned(&f));
}

TEST(without_keepalived_the_address_is_given_up_and_taken_off)
{
    struct failover f = active();
    struct failover_todo t = tell(&f, FAILOVER_WRITER_GONE);

    assert_true(t.next_ns && t.next_ns <= now + WRITER_GRACE_NS);
    now += WRITER_GRACE_NS;
    t = tell(&f, FAILOVER_TICK);
    assert_true(t.actions & FAILOVER_REMOVE_STALE);
    assert_true(t.actions & FAILOVER_CLOSE);
    assert_false(failover_owned(&f));
    /* It is tried again while the address stands, and never ours meanwhile. */
    now += WRITER_GRACE_NS;
    assert_true(tell(&f, FAILOVER_TICK).actions & FAILOVER_REMOVE_STALE);
    tell(&f, FAILOVER_WRITER_UP);
    assert_false(failover_owned(&f));
    tell(&f, FAILOVER_ADDRESS_DOWN);
    assert_true(tell(&f, FAILOVER_ADDRESS_UP).actions & FAILOVER_OPEN);
}

TEST(an_address_found_at_start_without_keepalived_is_stale)
{
    struct failover f;
    struct failover_event found = {.kind = FAILOVER_ADDRESS_UP, .at_start = true};

    now = S;
    failover_init(&f);
    struct failover_todo t = failover_step(&f, &found, now);
    assert_true(t.actions & FAILOVER_REMOVE_STALE);
    assert_false(failover_owned(&f));
}

TEST(an_address_found_at_start_with_keepalived_is_ours)
{
    struct failover f = standby();
    struct failover_event found = {.kind = FAILOVER_ADDRESS_UP, .at_start = true};

    assert_true(failover_step(&f, &found, now += MS).actions & FAILOVER_OPEN);
}

TEST(addresses_are_read_again_every_second_whatever_was_told)
{
    struct failover f = active();
    unsigned reads = 0;

    for (unsigned i = 0; i < 100; i++) {
        now += 100 * MS - MS;
        reads += !!(tell(&f, FAILOVER_TICK).actions & FAILOVER_READ_ADDRESSES);
    }
    assert_in_range(reads, 9, 11);
}

TEST(a_split_that_was_won_is_announced)
{
    struct failover f = active();

    assert_true(tell(&f, FAILOVER_LINE_RX_LOWER).actions & FAILOVER_ANNOUNCE);
    assert_true(failover_owned(&f));
}

/* Whatever comes in whatever order: open and close alternate, and owning means all of O1. */
TEST(any_history_keeps_the_predicate)
{
    const struct rng *rng = test_rng(5);

    for (unsigned run = 0; run < 200; run++) {
        struct failover f;
        bool open = false, address = false, writer = false, denied = false;
        uint64_t gone = 0, epoch = 0;

        now = S;
        failover_init(&f);
        for (unsigned i = 0; i < 300; i++) {
            enum failover_kind kind = (enum failover_kind)test_below(rng, FAILOVER_TICK + 1);
            struct failover_event e = {.kind = kind, .fit = test_below(rng, 4) != 0};

            now += test_below(rng, 400) * MS;
            struct failover_todo t = failover_step(&f, &e, now);
            if (t.actions & FAILOVER_CLOSE) {
                assert_true(open);
                open = false;
            }
            if (t.actions & FAILOVER_OPEN) {
                assert_false(open);
                open = true;
                assert_true(f.epoch > epoch);
                epoch = f.epoch;
            }
            assert_int_equal(open, failover_owned(&f));
            /* The test's own idea of O1. */
            if (kind == FAILOVER_ADDRESS_UP) {
                denied &= address;
                address = true;
            } else if (kind == FAILOVER_ADDRESS_DOWN) {
                address = false;
            } else if (kind == FAILOVER_WRITER_GONE) {
                gone = writer ? now : gone;
                writer = false;
            } else if (kind >= FAILOVER_WRITER_UP && kind <= FAILOVER_LINE_RX_LOWER) {
                writer = true;
            }
            if (kind >= FAILOVER_LINE_BACKUP && kind <= FAILOVER_LINE_STOP)
                denied = true;
            else if (kind == FAILOVER_LINE_MASTER)
                denied = false;
            if (open)
                assert_true(address && !denied && f.fit &&
                            (writer || now - gone <= WRITER_GRACE_NS));
        }
    }
}

TEST(a_vip_that_a_sibling_has_is_let_go_before_the_address_leaves)
{
    struct failover f = active();
    struct failover_todo t = tell(&f, FAILOVER_HANDED);

    assert_true(t.actions & FAILOVER_CLOSE);
    assert_false(failover_owned(&f));
    tell(&f, FAILOVER_RELEASED);
    tell(&f, FAILOVER_ADDRESS_UP); /* a reading: it is still here */
    assert_false(failover_owned(&f));
    tell(&f, FAILOVER_ADDRESS_DOWN);
    tell(&f, FAILOVER_LINE_BACKUP);
    tell(&f, FAILOVER_ADDRESS_UP); /* it comes back: ours like any other */
    assert_true(failover_owned(&f));
}

TEST(an_address_that_stays_after_all_is_ours_again_after_a_second)
{
    struct failover f = active();
    struct failover_todo t;

    tell(&f, FAILOVER_HANDED);
    t = tell(&f, FAILOVER_RELEASED);
    uint64_t handed = now;
    while (!failover_owned(&f) && now < handed + 10 * S) {
        assert_true(t.next_ns > now);
        now = t.next_ns;
        t = tell(&f, FAILOVER_TICK);
    }
    assert_true(failover_owned(&f));
    assert_true(now - handed >= HANDED_GRACE_NS - 2 * MS);
    assert_true(now - handed <= HANDED_GRACE_NS + 10 * MS);
    /* keepalived's own word counts at once. */
    f = active();
    tell(&f, FAILOVER_HANDED);
    tell(&f, FAILOVER_LINE_MASTER);
    assert_true(failover_owned(&f));
}

TEST_MAIN(T(a_vip_that_a_sibling_has_is_let_go_before_the_address_leaves),
          T(an_address_that_stays_after_all_is_ours_again_after_a_second),
          T(an_address_with_keepalived_behind_it_is_ours_at_once),
          T(every_part_of_the_predicate_closes),
          T(an_engine_that_fails_closes_and_its_return_opens),
          T(a_line_from_before_the_address_does_not_close_it),
          T(a_keepalived_that_restarts_has_a_second),
          T(without_keepalived_the_address_is_given_up_and_taken_off),
          T(an_address_found_at_start_without_keepalived_is_stale),
          T(an_address_found_at_start_with_keepalived_is_ours),
          T(addresses_are_read_again_every_second_whatever_was_told),
          T(a_split_that_was_won_is_announced), T(any_history_keeps_the_predicate))
