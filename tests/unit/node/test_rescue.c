/* Rescue: when a peer that sends under an unknown index is given a new session, and how often it is
 * tried. */
#include "base/err.h"
#include "base/secret.h"
#include "unit/node/lone.h"

#define PORT 4000

/* A hub whose sibling is out of contact, and a peer of it. */
struct pair {
    struct hub *h;
    struct node_peer *peer;
    struct endpoint at; /* that sends from there; not set: it is silent */
    unsigned made;      /* of the initiations that were asked for */
};

static struct pair pair_of_hub_and_peer(void)
{
    const struct node_config c = {.solo_start_after_ns = 1, .members = {2}};
    struct pair s = {.h = hub_owner(&c), .at.port = PORT};

    s.peer = hub_add_peer(s.h, PORT);
    assert_int_equal(addr_parse("192.0.2.1", &s.at.addr), 0);
    rescue_learn(s.h->node, s.peer, &s.at);
    return s;
}

/* The peer goes on to send under an index that nobody here knows, every 10 ms, unless it is silent.
 */
static void packets_for(struct pair *s, uint64_t ms)
{
    struct hub *h = s->h;

    for (uint64_t i = 0; i < ms; i += 10) {
        if (endpoint_is_set(&s->at))
            rescue_unknown(h->node, 1, &s->at, h->now);
        for (; s->made < h->asked_count; s->made++) {
            struct handshake_result made = {
                .verdict = HANDSHAKE_INITIATION_MADE,
                .peer_id = s->peer->wg.id,
                .initiation = {.peer_id = s->peer->wg.id, .stamp_real_ns = h->now.real_ns},
                .reply_len = 148};
            node_handshake(h->node, &made, h->now);
        }
        hub_pass(h, 10);
    }
}

/* It answers our last initiation. */
static void answer(struct pair *s)
{
    struct handshake_result r = {.verdict = HANDSHAKE_RESPONSE_VALID,
                                 .peer_id = s->peer->wg.id,
                                 .initiation_index = s->peer->initiation->local_index,
                                 .local_index = 1000,
                                 .remote_index = 2000,
                                 .source = s->at,
                                 .keys = secret_alloc()};

    assert_non_null(r.keys);
    node_handshake(s->h->node, &r, s->h->now);
    assert_null(s->peer->initiation);
    assert_non_null(atomic_load(&s->peer->wg.current));
}

TEST(who_does_not_answer_is_tried_again_after_waits_that_double)
{
    static const struct {
        unsigned until_ms, initiations;
    } want[] = {{10, 1},   {250, 1},  {270, 2},  {740, 2}, {770, 3},
                {1740, 3}, {1770, 4}, {3740, 4}, {3780, 5}};
    struct pair s = pair_of_hub_and_peer();
    unsigned at_ms = 0;

    for (unsigned i = 0; i < ARRAY_LEN(want); i++) {
        packets_for(&s, want[i].until_ms - at_ms);
        at_ms = want[i].until_ms;
        assert_int_equal(s.h->sent, want[i].initiations);
    }
    packets_for(&s, 60000);
    assert_in_range(s.h->sent, 5 + 11, 5 + 13); /* one in REKEY_TIMEOUT, for ever */
    hub_free(s.h);
}

TEST(who_was_given_a_session_is_left_alone_and_tried_as_quickly_the_next_time)
{
    struct pair s = pair_of_hub_and_peer();

    packets_for(&s, 300);
    assert_int_equal(s.h->sent, 2);
    answer(&s);
    packets_for(&s, 4900); /* what was under way */
    assert_int_equal(s.h->sent, 2);
    packets_for(&s, 400);
    assert_int_equal(s.h->sent, 4);
    hub_free(s.h);
}

TEST(a_lesser_master_makes_the_last_rescue_count_for_nothing)
{
    struct pair s = pair_of_hub_and_peer();

    packets_for(&s, 4000);
    assert_int_equal(s.h->sent, 5);
    hub_tell(s.h, FAILOVER_LINE_RX_LOWER, false); /* O5 */
    packets_for(&s, 20);
    assert_int_equal(s.h->sent, 6);
    packets_for(&s, 260);
    assert_int_equal(s.h->sent, 7);
    hub_free(s.h);
}

TEST(what_cannot_wait_is_tried_four_times_and_goes_on_as_any_handshake)
{
    static const unsigned waits_ms[] = {500, 1000, 2000};
    struct pair s = pair_of_hub_and_peer();

    s.at = (struct endpoint){0}; /* silent */
    handshake_anew(s.h->node, s.peer, s.h->now);
    for (unsigned i = 0; i < ARRAY_LEN(waits_ms); i++) {
        packets_for(&s, waits_ms[i] - 20);
        assert_int_equal(s.h->sent, i + 1);
        packets_for(&s, 20);
        assert_int_equal(s.h->asked_count, i + 2);
    }
    packets_for(&s, 4900);
    assert_int_equal(s.h->sent, 4);
    packets_for(&s, 500); /* REKEY_TIMEOUT and its jitter */
    assert_int_equal(s.h->sent, 5);
    hub_free(s.h);
}

TEST(an_answer_or_the_loss_of_the_vip_ends_the_series)
{
    for (unsigned lost = 0; lost < 2; lost++) {
        struct pair s = pair_of_hub_and_peer();

        s.at = (struct endpoint){0};
        handshake_anew(s.h->node, s.peer, s.h->now);
        packets_for(&s, 100);
        assert_int_equal(s.h->sent, 1);
        if (lost)
            hub_tell(s.h, FAILOVER_LINE_BACKUP, false);
        else
            answer(&s);
        packets_for(&s, 1000);
        assert_int_equal(s.h->sent, 1);
        hub_free(s.h);
    }
}

TEST(of_two_that_believe_only_who_stays_begins_when_it_is_decided)
{
    for (unsigned stays = 0; stays < 2; stays++) {
        struct pair s = pair_of_hub_and_peer();

        s.at = (struct endpoint){0};
        handshake_decided(s.h->node, s.peer, s.h->now);
        packets_for(&s, 100);
        assert_int_equal(s.h->sent, 0);
        if (!stays)
            hub_tell(s.h, FAILOVER_LINE_BACKUP, false);
        packets_for(&s, 100);
        assert_int_equal(s.h->sent, stays);
        hub_free(s.h);
    }
}

TEST(nobody_else_is_sent_anything_and_nothing_without_the_vip)
{
    struct pair s = pair_of_hub_and_peer();

    s.at.port++; /* a peer that was never there */
    packets_for(&s, 1000);
    assert_int_equal(s.h->sent, 0);
    s.at.port--;
    hub_tell(s.h, FAILOVER_LINE_BACKUP, false);
    packets_for(&s, 1000);
    assert_int_equal(s.h->sent, 0);
    hub_free(s.h);
}

TEST_MAIN(T(who_does_not_answer_is_tried_again_after_waits_that_double),
          T(who_was_given_a_session_is_left_alone_and_tried_as_quickly_the_next_time),
          T(a_lesser_master_makes_the_last_rescue_count_for_nothing),
          T(what_cannot_wait_is_tried_four_times_and_goes_on_as_any_handshake),
          T(an_answer_or_the_loss_of_the_vip_ends_the_series),
          T(of_two_that_believe_only_who_stays_begins_when_it_is_decided),
          T(nobody_else_is_sent_anything_and_nothing_without_the_vip))
