/* Rescue: when a peer that sends under an unknown index is given a new session, and how often it is
 * tried. */
#include "base/clock.h"
#include "base/err.h"
#include "base/secret.h"
#include "lib/test.h"
#include "node/internal.h"
#include <stdlib.h>
#include <string.h>

#define SELF 1
#define SIBLING 2
#define VIP 1

struct hub {
    struct node *node;
    struct gate gate;
    struct store *store;
    struct instant now;
    struct node_peer *peer;
    struct endpoint at;
    struct identity *identity;
    unsigned jobs, initiations;
};

/* ---- surroundings ---- */

static void op_nothing(void *ctx)
{
}

static void op_slot(void *ctx, uint16_t slot)
{
}

static void op_log(void *ctx, enum node_log level, const char *sentence, const char *fields)
{
}

static void op_notice(void *ctx, const struct notice *notice)
{
}

static int op_add_peer(void *ctx, struct wg_peer *p, struct remote_secret *s)
{
    secret_free(s);
    return 0;
}

static void op_peer(void *ctx, struct wg_peer *p)
{
}

static int op_allow(void *ctx, const struct ip_prefix *prefix, struct wg_peer *p)
{
    return 0;
}

static void op_disallow(void *ctx, const struct ip_prefix *prefix, struct wg_peer *p)
{
}

static void op_retire(void *ctx, void *object, void (*free_fn)(void *))
{
    free_fn(object);
}

static void op_set_fit(void *ctx, uint16_t slot, bool fit)
{
}

static void op_set_weight(void *ctx, uint16_t slot, int weight)
{
}

static void op_save_flaps(void *ctx, const struct flap_memory *all, unsigned count)
{
}

static void op_reserve_stamps(void *ctx, uint64_t real_ns)
{
}

static void op_set_identity(void *ctx, struct identity *id, struct cookie_secret *cookies)
{
    ((struct hub *)ctx)->identity = id;
    free(cookies);
}

static int op_handshake(void *ctx, const struct handshake_job *job)
{
    ((struct hub *)ctx)->jobs++;
    return 0;
}

static int op_add_initiation(void *ctx, struct initiation *i)
{
    return 0;
}

static void op_remove_initiation(void *ctx, struct initiation *i)
{
}

static void op_set_last_mac1(void *ctx, struct wg_peer *p, const uint8_t mac1[16])
{
}

static void op_send(void *ctx, uint16_t slot, const struct endpoint *to,
                    const struct endpoint *local, uint32_t ifindex, const void *message, size_t len)
{
    ((struct hub *)ctx)->initiations++;
}

static int op_add_keypair(void *ctx, struct keypair *k)
{
    return 0;
}

static void op_remove_keypair(void *ctx, struct keypair *k)
{
}

static enum tx_verdict op_send_keepalive(void *ctx, struct wg_peer *p, uint64_t now_ns)
{
    return TX_OK;
}

static void op_flush_staged(void *ctx, struct wg_peer *p, uint64_t now_ns)
{
}

static const struct node_ops surroundings = {
    .log = op_log,
    .notice = op_notice,
    .add_peer = op_add_peer,
    .remove_peer = op_peer,
    .drop_staged = op_peer,
    .allow = op_allow,
    .disallow = op_disallow,
    .retire = op_retire,
    .set_identity = op_set_identity,
    .handshake = op_handshake,
    .save_flaps = op_save_flaps,
    .add_initiation = op_add_initiation,
    .remove_initiation = op_remove_initiation,
    .set_last_mac1 = op_set_last_mac1,
    .add_keypair = op_add_keypair,
    .remove_keypair = op_remove_keypair,
    .send_keepalive = op_send_keepalive,
    .flush_staged = op_flush_staged,
    .send = op_send,
    .announce = op_slot,
    .ask_again = op_nothing,
    .read_addresses = op_slot,
    .set_weight = op_set_weight,
    .set_fit = op_set_fit,
    .reserve_stamps = op_reserve_stamps,
};

static void tell(struct hub *h, enum failover_kind kind)
{
    node_vip(h->node, VIP, &(struct failover_event){.kind = kind}, h->now);
}

/* The owner of the VIP, whose sibling is out of contact, and a peer of theirs. */
static struct hub *hub_new(void)
{
    const struct node_config c = {
        .hub = 1,
        .self = SELF,
        .seq = 1,
        .seq_proved = true,
        .members = {SIBLING},
        .vip_count = 1,
        .fresh_ns = FRESH_DEFAULT_NS,
        .vip[VIP] = {.hub = 1, .id = 7, .port = 51820, .order = {SELF, SIBLING}}};
    struct hub *h = calloc(1, sizeof(*h));
    struct peer *record = peer_new(1, &(struct public_key){.b = {5}});
    struct node_ops ops = surroundings;
    struct secret32 *key = secret_alloc();
    char error[STORE_ERROR_LEN];

    assert_non_null(h);
    assert_non_null(record);
    assert_non_null(key);
    ops.ctx = h;
    h->now = (struct instant){.boot_ns = 1000 * NS_PER_S, .real_ns = 1700000000 * NS_PER_S};
    assert_int_equal(noise_init(), 0);
    assert_int_equal(store_open(NULL, SELF, &h->store, error), 0);
    assert_int_equal(node_new(&c, &ops, test_rng(1), &h->gate, h->store, h->now, &h->node), 0);
    memset(key, 7, sizeof(*key));
    assert_int_equal(node_set_private_key(h->node, key, h->now), 0);
    secret_free(key);
    node_load(h->node, h->now);
    tell(h, FAILOVER_WRITER_UP);
    tell(h, FAILOVER_ADDRESS_UP);
    assert_true(gate_owned(&h->gate, VIP));
    assert_int_equal(endpoint_parse("192.0.2.5:4000", &record->endpoint), 0);
    peers_record_changed(h->node, NULL, record);
    h->peer = peer_by_key(h->node, &record->key);
    h->at = record->endpoint;
    peer_free(record);
    rescue_learn(h->node, h->peer, &h->at);
    h->now.boot_ns += NS_PER_S; /* rescues are saved up */
    return h;
}

static void hub_free(struct hub *h)
{
    node_free(h->node);
    secret_free(h->identity->private_key);
    free(h->identity);
    store_close(h->store);
    free(h);
}

/* The peer goes on to send under an index that nobody here knows, every 10 ms, unless it is silent.
 */
static void packets_for(struct hub *h, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i += 10) {
        if (endpoint_is_set(&h->at))
            rescue_unknown(h->node, VIP, &h->at, h->now);
        for (; h->jobs; h->jobs--) {
            struct handshake_result made = {
                .verdict = HANDSHAKE_INITIATION_MADE,
                .peer_id = h->peer->wg.id,
                .initiation = {.peer_id = h->peer->wg.id, .stamp_real_ns = h->now.real_ns},
                .reply_len = 148};
            node_handshake(h->node, &made, h->now);
        }
        h->now.boot_ns += 10 * NS_PER_MS;
        h->now.real_ns += 10 * NS_PER_MS;
        node_tick(h->node, h->now);
    }
}

/* It answers our last initiation. */
static void answer(struct hub *h)
{
    struct handshake_result r = {.verdict = HANDSHAKE_RESPONSE_VALID,
                                 .peer_id = h->peer->wg.id,
                                 .initiation_index = h->peer->initiation->local_index,
                                 .local_index = 1000,
                                 .remote_index = 2000,
                                 .source = h->at,
                                 .keys = secret_alloc()};

    assert_non_null(r.keys);
    node_handshake(h->node, &r, h->now);
    assert_null(h->peer->initiation);
    assert_non_null(atomic_load(&h->peer->wg.current));
}

TEST(who_does_not_answer_is_tried_again_after_waits_that_double)
{
    static const struct {
        unsigned until_ms, initiations;
    } want[] = {{10, 1},   {250, 1},  {270, 2},  {740, 2}, {770, 3},
                {1740, 3}, {1770, 4}, {3740, 4}, {3780, 5}};
    struct hub *h = hub_new();
    unsigned at_ms = 0;

    for (unsigned i = 0; i < ARRAY_LEN(want); i++) {
        packets_for(h, want[i].until_ms - at_ms);
        at_ms = want[i].until_ms;
        assert_int_equal(h->initiations, want[i].initiations);
    }
    packets_for(h, 60000);
    assert_in_range(h->initiations, 5 + 11, 5 + 13); /* one in REKEY_TIMEOUT, for ever */
    hub_free(h);
}

TEST(who_was_given_a_session_is_left_alone_and_tried_as_quickly_the_next_time)
{
    struct hub *h = hub_new();

    packets_for(h, 300);
    assert_int_equal(h->initiations, 2);
    answer(h);
    packets_for(h, 4900); /* what was under way */
    assert_int_equal(h->initiations, 2);
    packets_for(h, 400);
    assert_int_equal(h->initiations, 4);
    hub_free(h);
}

TEST(a_lesser_master_makes_the_last_rescue_count_for_nothing)
{
    struct hub *h = hub_new();

    packets_for(h, 4000);
    assert_int_equal(h->initiations, 5);
    tell(h, FAILOVER_LINE_RX_LOWER); /* O5 */
    packets_for(h, 20);
    assert_int_equal(h->initiations, 6);
    packets_for(h, 260);
    assert_int_equal(h->initiations, 7);
    hub_free(h);
}

TEST(what_cannot_wait_is_tried_four_times_and_goes_on_as_any_handshake)
{
    static const unsigned waits_ms[] = {500, 1000, 2000};
    struct hub *h = hub_new();

    h->at = (struct endpoint){0}; /* silent */
    handshake_anew(h->node, h->peer, h->now);
    for (unsigned i = 0; i < ARRAY_LEN(waits_ms); i++) {
        packets_for(h, waits_ms[i] - 20);
        assert_int_equal(h->initiations, i + 1);
        packets_for(h, 20);
        assert_int_equal(h->jobs + h->initiations, i + 2);
    }
    packets_for(h, 4900);
    assert_int_equal(h->initiations, 4);
    packets_for(h, 500); /* REKEY_TIMEOUT and its jitter */
    assert_int_equal(h->initiations, 5);
    hub_free(h);
}

TEST(an_answer_or_the_loss_of_the_vip_ends_the_series)
{
    for (unsigned lost = 0; lost < 2; lost++) {
        struct hub *h = hub_new();

        h->at = (struct endpoint){0};
        handshake_anew(h->node, h->peer, h->now);
        packets_for(h, 100);
        assert_int_equal(h->initiations, 1);
        if (lost)
            tell(h, FAILOVER_LINE_BACKUP);
        else
            answer(h);
        packets_for(h, 1000);
        assert_int_equal(h->initiations, 1);
        hub_free(h);
    }
}

TEST(of_two_that_believe_only_who_stays_begins_when_it_is_decided)
{
    for (unsigned stays = 0; stays < 2; stays++) {
        struct hub *h = hub_new();

        h->at = (struct endpoint){0};
        handshake_decided(h->node, h->peer, h->now);
        packets_for(h, 100);
        assert_int_equal(h->initiations, 0);
        if (!stays)
            tell(h, FAILOVER_LINE_BACKUP);
        packets_for(h, 100);
        assert_int_equal(h->initiations, stays);
        hub_free(h);
    }
}

TEST(nobody_else_is_sent_anything_and_nothing_without_the_vip)
{
    struct hub *h = hub_new();

    h->at.port++; /* a peer that was never there */
    packets_for(h, 1000);
    assert_int_equal(h->initiations, 0);
    h->at.port--;
    tell(h, FAILOVER_LINE_BACKUP);
    packets_for(h, 1000);
    assert_int_equal(h->initiations, 0);
    hub_free(h);
}

TEST_MAIN(T(who_does_not_answer_is_tried_again_after_waits_that_double),
          T(who_was_given_a_session_is_left_alone_and_tried_as_quickly_the_next_time),
          T(a_lesser_master_makes_the_last_rescue_count_for_nothing),
          T(what_cannot_wait_is_tried_four_times_and_goes_on_as_any_handshake),
          T(an_answer_or_the_loss_of_the_vip_ends_the_series),
          T(of_two_that_believe_only_who_stays_begins_when_it_is_decided),
          T(nobody_else_is_sent_anything_and_nothing_without_the_vip))
