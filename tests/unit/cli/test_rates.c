/* Bytes per second from counters: whatever the counters and the list of peers do meanwhile. */
#include "base/clock.h"
#include "cli/rates.h"
#include "lib/test.h"
#include <string.h>

static struct status_peer peer(unsigned key, uint64_t rx, uint64_t tx)
{
    struct status_peer p = {.hub = 1, .rx_bytes = rx, .tx_bytes = tx};

    memcpy(p.public_key.b, &key, sizeof(key));
    return p;
}

static struct rate_row row[4];

TEST(the_first_look_knows_nothing_and_the_second_divides_by_time)
{
    struct rates *r = rates_new();
    struct status_peer p[2] = {peer(1, 1000, 5000), peer(2, 0, 0)};

    assert_int_equal(rates_step(r, p, 2, 10 * NS_PER_S, row), 0);
    assert_true(!row[0].known && row[0].rx == 0 && row[0].peer == &p[0]);
    p[0] = peer(1, 2000, 5500);
    assert_int_equal(rates_step(r, p, 2, 10 * NS_PER_S + NS_PER_S / 2, row), 0);
    assert_true(row[0].known && row[0].rx == 2000 && row[0].tx == 1000);
    assert_true(row[1].known && row[1].rx == 0 && row[1].tx == 0);
    rates_free(r);
}

TEST(peers_may_come_go_and_change_places)
{
    struct rates *r = rates_new();
    struct status_peer p[3] = {peer(3, 0, 0), peer(1, 0, 0), peer(2, 0, 0)};

    rates_step(r, p, 3, NS_PER_S, row);
    p[0] = peer(2, 20, 0);
    p[1] = peer(4, 40, 0);
    p[2] = peer(3, 30, 0);
    rates_step(r, p, 3, 2 * NS_PER_S, row);
    assert_true(row[0].known && row[0].rx == 20);
    assert_false(row[1].known);
    assert_true(row[2].known && row[2].rx == 30);
    rates_step(r, p, 0, 3 * NS_PER_S, row);
    rates_step(r, p, 1, 4 * NS_PER_S, row);
    assert_false(row[0].known); /* it was gone meanwhile */
    rates_free(r);
}

TEST(counters_that_begin_anew_are_not_known)
{
    struct rates *r = rates_new();
    struct status_peer p = peer(1, 1000, 1000);

    rates_step(r, &p, 1, NS_PER_S, row);
    p = peer(1, 999, 2000);
    rates_step(r, &p, 1, 2 * NS_PER_S, row);
    assert_true(!row[0].known && row[0].tx == 0);
    p = peer(1, 1999, 2000);
    rates_step(r, &p, 1, 3 * NS_PER_S, row);
    assert_true(row[0].known && row[0].rx == 1000 && row[0].tx == 0);
    rates_free(r);
}

TEST(without_time_between_nothing_is_known)
{
    struct rates *r = rates_new();
    struct status_peer p = peer(1, 1000, 1000);

    rates_step(r, &p, 1, NS_PER_S, row);
    rates_step(r, &p, 1, NS_PER_S, row);
    assert_false(row[0].known);
    rates_step(r, &p, 1, NS_PER_S / 2, row);
    assert_false(row[0].known);
    rates_free(r);
}

TEST(one_key_in_two_hubs_is_two_peers)
{
    struct rates *r = rates_new();
    struct status_peer p[2] = {peer(1, 0, 0), peer(1, 0, 0)};

    p[1].hub = 2;
    rates_step(r, p, 2, NS_PER_S, row);
    p[1].rx_bytes = 7;
    rates_step(r, p, 2, 2 * NS_PER_S, row);
    assert_true(row[0].rx == 0 && row[1].rx == 7);
    rates_free(r);
}

static void order_is(enum rate_order order, const char *names)
{
    char got[8] = "";

    rates_sort(row, 4, order);
    for (unsigned i = 0; i < 4; i++)
        strcat(got, row[i].peer->name);
    assert_string_equal(got, names);
}

TEST(the_busiest_come_first_and_equals_stay_in_order)
{
    struct status_peer p[4] = {peer(1, 0, 0), peer(2, 0, 0), peer(3, 0, 0), peer(4, 0, 0)};
    static const double rx[] = {5, 0, 9, 0}, tx[] = {6, 0, 1, 0};

    for (unsigned i = 0; i < 4; i++) {
        p[i].name[0] = (char)('d' - i);
        row[i] = (struct rate_row){&p[i], true, rx[i], tx[i]};
    }
    order_is(RATE_BY_SUM, "dbac");
    order_is(RATE_BY_RX, "bdac");
    order_is(RATE_BY_TX, "dbac");
    order_is(RATE_BY_NAME, "abcd");
}

TEST_MAIN(T(the_first_look_knows_nothing_and_the_second_divides_by_time),
          T(peers_may_come_go_and_change_places), T(counters_that_begin_anew_are_not_known),
          T(without_time_between_nothing_is_known), T(one_key_in_two_hubs_is_two_peers),
          T(the_busiest_come_first_and_equals_stay_in_order))
