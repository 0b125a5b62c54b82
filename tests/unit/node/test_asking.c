/* Who asks whom for a session: the hub for one that a sibling could not tell us of, and for those
 * of a VIP that came in warm mode; peers that are refused. */
#include "base/clock.h"
#include "base/err.h"
#include "base/secret.h"
#include "unit/node/lone.h"

static struct endpoint place(uint16_t port)
{
    struct endpoint at = {.port = port};

    assert_int_equal(addr_parse("192.0.2.1", &at.addr), 0);
    return at;
}

/* Data came from there, under an index that nobody knows. */
static uint64_t rescued(struct hub *h, uint16_t port)
{
    struct endpoint at = place(port);

    rescue_unknown(h->node, 1, &at, h->now);
    return node_counters(h->node)->unknown_rescues;
}

static void learn(struct hub *h, const struct node_peer *p, uint16_t port)
{
    struct endpoint at = place(port);

    rescue_learn(h->node, p, &at);
}

TEST(nobody_is_asked_because_of_data_from_where_he_is_no_more)
{
    const struct node_config c = {.solo_start_after_ns = 1, .members = {2}};
    struct endpoint moved = place(4001), local = {0};
    struct hub *h = hub_owner(&c);
    struct node_peer *p = hub_add_peer(h, 4000);

    learn(h, p, 4000);
    assert_true(peer_endpoint_update(&p->wg, &moved, &local, 0, 1,
                                     &(struct endpoint_version){.generation = 2}));
    assert_int_equal(rescued(h, 4000), 0);
    learn(h, p, 4001);
    hub_tell(h, FAILOVER_LINE_BACKUP, false);
    assert_int_equal(rescued(h, 4001), 0); /* nor of a VIP that is not ours */
    hub_free(h);
}

TEST(forged_data_from_many_places_asks_200_a_second)
{
    const struct node_config c = {.solo_start_after_ns = 1, .members = {2}};
    struct hub *h = hub_owner(&c);
    const uint64_t us = NS_PER_US;

    for (uint16_t i = 0; i < 400; i++)
        learn(h, hub_add_peer(h, 4000 + i), 4000 + i);
    for (uint16_t i = 0; i < 400; i++)
        rescued(h, 4000 + i);
    /* Some share a place in the table, and are not found. */
    assert_int_equal(rescued(h, 4000), 200);
    h->now.boot_ns += 99 * 5000 * us;
    for (uint16_t i = 0; i < 400; i++)
        rescued(h, 4000 + i);
    assert_int_equal(rescued(h, 4000), 299);
    hub_free(h);
}

/* ---- who asks us ---- */

/* An initiation with the @stamp-th stamp comes; why it is refused. */
static enum notice_reason refusal(struct hub *h, const struct node_peer *p, uint8_t stamp)
{
    struct handshake_result r = {
        .verdict = HANDSHAKE_INITIATION_VALID, .vip = 1, .peer_id = p->wg.id, .stamp = {stamp}};

    h->refused = (struct notice){0};
    node_handshake(h->node, &r, h->now);
    return h->refused.reason;
}

TEST(who_is_refused_a_session_is_told_why)
{
    const struct node_config c = {.solo_start_after_ns = 1, .members = {2}};
    struct hub *h = hub_owner(&c);
    struct node_peer *p = hub_add_peer(h, 4000);

    p->received[0] = 7;
    assert_int_equal(refusal(h, p, 6), REASON_STALE_STAMP);
    assert_int_equal(refusal(h, p, 7), REASON_STALE_STAMP);
    assert_int_equal(node_counters(h->node)->stamps_stale, 2);
    p->last_accepted_ns = h->now.boot_ns - INITIATION_MIN_GAP_NS + 1;
    assert_int_equal(refusal(h, p, 8), REASON_TOO_SOON);
    p->last_accepted_ns = 0;
    atomic_store(&h->gate.resume_ns, h->now.boot_ns + 1);
    assert_int_equal(refusal(h, p, 8), REASON_RESUMING);
    atomic_store(&h->gate.resume_ns, 0);
    h->node->vip[1].fit = false;
    assert_int_equal(refusal(h, p, 8), REASON_NOT_READY);
    h->node->vip[1].fit = true;
    hub_tell(h, FAILOVER_LINE_BACKUP, false);
    assert_int_equal(refusal(h, p, 8), REASON_WRONG_MEMBER);
    assert_int_equal(h->refused.number, 1);
    assert_memory_equal(&h->refused.peer, &p->wg.key, sizeof(p->wg.key));
    hub_free(h);
}

/* ---- warm mode ---- */

TEST(a_warm_takeover_asks_who_was_active_last_first_and_some_at_a_time)
{
    static const uint64_t idle_ms[] = {90000, 20, 179000, 5000, 400, 181000, 60};
    static const unsigned order[] = {1, 6, 4, 3, 0, 2}; /* the last one has no session any more */
    const struct node_config c = {.solo_start_after_ns = 1, .members = {2}, .warm = true};
    uint64_t ids[ARRAY_LEN(idle_ms)];
    struct hub *h = hub_owner(&c);

    hub_tell(h, FAILOVER_LINE_BACKUP, false);
    for (uint16_t i = 0; i < ARRAY_LEN(idle_ms); i++) {
        struct node_peer *p = hub_add_peer(h, 4000 + i);

        ids[i] = p->wg.id;
        warm_heard(h->node, p, &(struct sync_endpoint){.idle_ms = idle_ms[i]}, h->now);
    }
    hub_tell(h, FAILOVER_LINE_MASTER, false);
    assert_true(gate_owned(&h->gate, 1));
    assert_int_equal(h->asked_count, 0); /* neighbours have to learn first where the VIP is */
    hub_pass(h, 10);
    assert_int_equal(h->asked_count, 4);
    hub_pass(h, 10);
    assert_int_equal(h->asked_count, ARRAY_LEN(order));
    for (unsigned i = 0; i < ARRAY_LEN(order); i++)
        assert_int_equal(h->asked[i], ids[order[i]]);
    hub_pass(h, 1000);
    assert_int_equal(h->asked_count, ARRAY_LEN(order));
    hub_free(h);
}

static int arena(void **state)
{
    return secret_arena_init(1024, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(nobody_is_asked_because_of_data_from_where_he_is_no_more),
        T(forged_data_from_many_places_asks_200_a_second), T(who_is_refused_a_session_is_told_why),
        T(a_warm_takeover_asks_who_was_active_last_first_and_some_at_a_time)};

    test_init();
    return cmocka_run_group_tests(tests, arena, NULL);
}
