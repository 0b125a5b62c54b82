/* What the coming and going of an address means for the data plane, the neighbours and keepalived's
 * files: a node of its own, its surroundings written down. */
#include "base/clock.h"
#include "base/err.h"
#include "ha/health.h"
#include "lib/test.h"
#include "node/internal.h"
#include "node/node.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LAN_BACK_MS 1000

struct hub {
    struct node *node;
    struct gate gate;
    struct store *store;
    struct instant now;
    unsigned announced, asked_again, removed, reads;
    unsigned closed; /* links, a bit each */
    int weight;
    bool fit, second_fit, kept;
    char log[4096];
    unsigned owned, released, candidate; /* notices */
    struct notice withheld;              /* the last one */
    unsigned saved_count;
    uint16_t saved[VIPS_MAX];
};

/* ---- surroundings ---- */

static void op_log(void *ctx, enum node_log level, const char *sentence, const char *fields)
{
    struct hub *h = ctx;
    size_t n = strlen(h->log);

    snprintf(h->log + n, sizeof(h->log) - n, "%s: %s\n", sentence, fields);
}

static void op_notice(void *ctx, const struct notice *notice)
{
    struct hub *h = ctx;

    h->owned += notice->kind == NOTICE_VIP_OWNED;
    h->released += notice->kind == NOTICE_VIP_RELEASED;
    h->candidate += notice->kind == NOTICE_VIP_CANDIDATE;
    if (notice->kind == NOTICE_VIP_WITHHELD)
        h->withheld = *notice;
}

static void op_announce(void *ctx, uint16_t slot)
{
    ((struct hub *)ctx)->announced++;
}

static void op_ask_again(void *ctx)
{
    ((struct hub *)ctx)->asked_again++;
}

static void op_keep_address(void *ctx, uint16_t slot, bool keep)
{
    ((struct hub *)ctx)->kept = keep;
}

static void op_remove_stale(void *ctx, uint16_t slot)
{
    ((struct hub *)ctx)->removed++;
}

static void op_read_addresses(void *ctx, uint16_t slot)
{
    ((struct hub *)ctx)->reads++;
}

static void op_set_weight(void *ctx, uint16_t slot, int weight)
{
    ((struct hub *)ctx)->weight = weight;
}

static void op_set_fit(void *ctx, uint16_t slot, bool fit)
{
    struct hub *h = ctx;

    if (slot == 1)
        h->fit = fit;
    else
        h->second_fit = fit;
}

static int op_save_drained(void *ctx, const uint16_t *vips, unsigned count)
{
    struct hub *h = ctx;

    h->saved_count = count;
    memcpy(h->saved, vips, count * sizeof(*vips));
    return 0;
}

static void op_close_link(void *ctx, uint8_t member, const char *reason)
{
    ((struct hub *)ctx)->closed |= 1u << member;
}

static void op_nothing(void *ctx)
{
}

static void op_set_identity(void *ctx, struct identity *id, struct cookie_secret *cookies)
{
}

static void op_reserve_stamps(void *ctx, uint64_t real_ns)
{
}

static int op_raise_seq(void *ctx, uint64_t seen, uint64_t *ret_seq)
{
    *ret_seq = seen + 1;
    return 0;
}

static const struct node_ops surroundings = {.log = op_log,
                                             .notice = op_notice,
                                             .announce = op_announce,
                                             .ask_again = op_ask_again,
                                             .remove_stale = op_remove_stale,
                                             .keep_address = op_keep_address,
                                             .read_addresses = op_read_addresses,
                                             .set_weight = op_set_weight,
                                             .set_fit = op_set_fit,
                                             .save_drained = op_save_drained,
                                             .close_link = op_close_link,
                                             .wake_held = op_nothing,
                                             .discard_queued = op_nothing,
                                             .resume = op_nothing,
                                             .set_identity = op_set_identity,
                                             .reserve_stamps = op_reserve_stamps,
                                             .raise_seq = op_raise_seq};

static struct hub *hub_new(const struct node_config *with)
{
    struct hub *h = calloc(1, sizeof(*h));
    struct node_config c = *with;
    struct node_ops ops = surroundings;
    char error[STORE_ERROR_LEN];

    assert_non_null(h);
    c.hub = 1;
    c.self = 1;
    c.seq = 1;
    c.seq_proved = !c.unproved_reason;
    c.fresh_ns = FRESH_DEFAULT_NS;
    c.vip_count = MAX(c.vip_count, 1);
    c.vip[1] = (struct vip){.hub = 1, .id = 7, .port = 51820, .order = {1, 2}, .outer_count = 1};
    if (with->vip[1].order[0])
        memcpy(c.vip[1].order, with->vip[1].order, sizeof(c.vip[1].order));
    strcpy(c.vip[1].name, "main");
    strcpy(c.vip[2].name, "other");
    h->now = (struct instant){.boot_ns = 1000 * NS_PER_S, .real_ns = 1700000000 * NS_PER_S};
    h->weight = INT_MIN;
    ops.ctx = h;
    h->gate.fresh_ns = c.fresh_ns;
    assert_int_equal(store_open(NULL, 1, &h->store, error), 0);
    assert_int_equal(node_new(&c, &ops, test_rng(1), &h->gate, h->store, h->now, &h->node), 0);
    node_load(h->node, h->now);
    return h;
}

static void hub_free(struct hub *h)
{
    node_free(h->node);
    store_close(h->store);
    free(h);
}

static void pass(struct hub *h, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i += 10) {
        h->now.boot_ns += 10 * NS_PER_MS;
        h->now.real_ns += 10 * NS_PER_MS;
        node_tick(h->node, h->now);
        node_flush(h->node, h->now);
    }
}

static void tell(struct hub *h, enum failover_kind kind, bool at_start)
{
    node_vip(h->node, 1, &(struct failover_event){.kind = kind, .at_start = at_start}, h->now);
}

static struct hub *ready(const struct node_config *with)
{
    struct hub *h = hub_new(with);

    node_engine_fit(h->node, true, h->now);
    pass(h, 100);
    return h;
}

static const struct node_config alone = {.solo_start_after_ns = 0};

/* ---- */

TEST(a_vip_is_ours_from_the_address_on_and_not_a_moment_longer)
{
    struct hub *h = ready(&alone);

    assert_false(gate_owned(&h->gate, 1));
    tell(h, FAILOVER_WRITER_UP, false);
    tell(h, FAILOVER_LINE_MASTER, false);
    assert_false(gate_owned(&h->gate, 1)); /* a line alone makes no owner (O1) */
    tell(h, FAILOVER_ADDRESS_UP, false);
    assert_true(gate_owned(&h->gate, 1));
    assert_true(atomic_load(&h->gate.vip[1].since_ns) == h->now.boot_ns);
    assert_int_equal(h->announced, 1); /* O7 */
    assert_int_equal(h->owned, 1);
    assert_int_equal(node_counters(h->node)->failovers, 1);
    pass(h, 3000);
    assert_true(gate_owned(&h->gate, 1) && h->reads >= 2); /* looked at again, whatever was told */
    tell(h, FAILOVER_LINE_BACKUP, false);
    assert_false(gate_owned(&h->gate, 1));
    assert_int_equal(h->released, 1);
    hub_free(h);
}

TEST(when_the_other_of_two_lets_go_neighbours_are_told_again)
{
    const struct node_config c = {.solo_start_after_ns = 1, .members = {2}};
    struct sync_claim claim = {.vip = 7, .epoch = 5, .member = 2, .held = true};
    struct hub *h = ready(&c);

    vips_claim_heard(h->node, 2, &claim, h->now);
    claim.held = false;
    vips_claim_heard(h->node, 2, &claim, h->now);
    assert_int_equal(h->announced, 0); /* it is not ours */
    tell(h, FAILOVER_WRITER_UP, false);
    tell(h, FAILOVER_ADDRESS_UP, false);
    assert_int_equal(h->announced, 1);
    claim.held = true;
    vips_claim_heard(h->node, 2, &claim, h->now);
    assert_int_equal(h->announced, 1);
    claim.held = false;
    vips_claim_heard(h->node, 2, &claim, h->now);
    assert_int_equal(h->announced, 2);
    hub_free(h);
}

/* Links that are given up when the VIP of member 2 comes, both siblings silent for @ms. */
static unsigned given_up(uint64_t ms, bool handed_over)
{
    const struct node_config c = {.solo_start_after_ns = 1, .members = {2, 3}};
    struct hub *h = ready(&c);

    vips_claim_heard(h->node, 2,
                     &(struct sync_claim){
                         .vip = 7, .epoch = 5, .member = 2, .held = true, .leaving = handed_over},
                     h->now);
    for (unsigned i = 2; i <= 3; i++) {
        h->node->sibling[i].up = true;
        h->node->sibling[i].heartbeat_ns = 30 * NS_PER_MS;
        atomic_store(&h->gate.member[i].heartbeat_ns, h->now.boot_ns - ms * NS_PER_MS);
    }
    tell(h, FAILOVER_WRITER_UP, false);
    tell(h, FAILOVER_ADDRESS_UP, false);
    unsigned closed = h->closed;
    assert_int_equal(h->node->sibling[2].up, !(closed & 1u << 2));
    hub_free(h);
    return closed;
}

TEST(two_heartbeats_missed_are_enough_for_the_one_that_the_vip_came_from)
{
    assert_int_equal(given_up(50, false), 0);
    assert_int_equal(given_up(60, false), 1u << 2);
    assert_int_equal(given_up(60, true), 0); /* it said that it hands it over */
    assert_int_equal(given_up(180, false), 1u << 2);
    assert_int_equal(given_up(200, true), 1u << 2 | 1u << 3);
}

TEST(any_part_of_the_predicate_that_goes_takes_the_vip)
{
    static const enum failover_kind ends[] = {FAILOVER_ADDRESS_DOWN, FAILOVER_LINE_BACKUP,
                                              FAILOVER_LINE_FAULT, FAILOVER_LINE_STOP,
                                              FAILOVER_WRITER_GONE};

    for (unsigned i = 0; i < ARRAY_LEN(ends); i++) {
        struct hub *h = ready(&alone);

        tell(h, FAILOVER_WRITER_UP, false);
        tell(h, FAILOVER_ADDRESS_UP, false);
        tell(h, FAILOVER_TICK, false);
        assert_true(gate_owned(&h->gate, 1));
        tell(h, ends[i], false);
        if (ends[i] == FAILOVER_WRITER_GONE) {
            pass(h, 900); /* keepalived may only have been reloaded */
            assert_true(gate_owned(&h->gate, 1));
            pass(h, 200);
        }
        assert_false(gate_owned(&h->gate, 1));
        hub_free(h);
    }
}

TEST(a_new_stay_never_goes_on_under_the_old_terms)
{
    struct hub *h = ready(&alone);
    uint32_t before = atomic_load(&h->gate.suspicion);

    tell(h, FAILOVER_WRITER_UP, false);
    for (unsigned stay = 1; stay <= 3; stay++) {
        tell(h, FAILOVER_ADDRESS_UP, false);
        tell(h, FAILOVER_TICK, false);
        assert_int_equal(atomic_load(&h->gate.suspicion), before + stay); /* O5, N9 */
        tell(h, FAILOVER_ADDRESS_DOWN, false);
        tell(h, FAILOVER_TICK, false);
    }
    hub_free(h);
}

TEST(a_lesser_master_out_of_contact_is_outbid_at_once_and_not_more_often_than_by_age)
{
    const struct node_config c = {.solo_start_after_ns = 1, .members = {2}};
    struct hub *h = ready(&c);

    tell(h, FAILOVER_LINE_RX_LOWER, false);
    uint32_t before = atomic_load(&h->gate.suspicion); /* not ours: whatever is heard */
    tell(h, FAILOVER_ADDRESS_UP, false);
    assert_int_equal(atomic_load(&h->gate.suspicion), before + 1);
    for (unsigned i = 0; i < 3; i++)
        tell(h, FAILOVER_LINE_RX_LOWER, false);
    assert_int_equal(atomic_load(&h->gate.suspicion), before + 2); /* O5 */
    pass(h, 240);
    tell(h, FAILOVER_LINE_RX_LOWER, false);
    assert_int_equal(atomic_load(&h->gate.suspicion), before + 2);
    pass(h, 10);
    tell(h, FAILOVER_LINE_RX_LOWER, false);
    assert_int_equal(atomic_load(&h->gate.suspicion), before + 3);
    pass(h, 490);
    assert_int_equal(atomic_load(&h->gate.suspicion), before + 3);
    pass(h, 10);
    assert_int_equal(atomic_load(&h->gate.suspicion),
                     before + 4); /* once more, for its last words */
    pass(h, 1000);
    h->node->sibling[2].up = true; /* what it does with us in contact it tells */
    tell(h, FAILOVER_LINE_RX_LOWER, false);
    assert_int_equal(atomic_load(&h->gate.suspicion), before + 4);
    h->node->sibling[2].up = false;
    hub_free(h);
}

TEST(another_master_is_a_reason_to_ask_again_and_one_that_hands_over_is_none)
{
    const struct node_config c = {.solo_start_after_ns = 1, .members = {2}};
    struct sync_claim gone = {.vip = 7, .epoch = 5, .member = 2};
    struct hub *h = ready(&c);

    tell(h, FAILOVER_ADDRESS_UP, false);
    tell(h, FAILOVER_LINE_RX_LOWER, false);
    vips_claim_heard(h->node, 2, &gone, h->now);
    assert_int_equal(h->asked_again, 0); /* it handed over */
    pass(h, 1000);
    for (unsigned i = 0; i < 3; i++)
        tell(h, FAILOVER_LINE_RX_LOWER, false);
    assert_int_equal(h->asked_again, 1);
    pass(h, 240);
    vips_claim_heard(h->node, 2, &gone, h->now);
    assert_int_equal(h->asked_again, 1);
    pass(h, 10);
    vips_claim_heard(h->node, 2, &gone, h->now);
    assert_int_equal(h->asked_again, 2);
    tell(h, FAILOVER_ADDRESS_DOWN, false);
    pass(h, 1000);
    vips_claim_heard(h->node, 2, &gone, h->now);
    assert_int_equal(h->asked_again, 2); /* it is not ours */
    hub_free(h);
}

TEST(who_yields_to_a_master_out_of_contact_asks_again_and_to_another_not)
{
    const struct node_config c = {.solo_start_after_ns = 1, .members = {2}};
    struct hub *h = ready(&c);

    for (unsigned in_contact = 0; in_contact < 2; in_contact++) {
        tell(h, FAILOVER_WRITER_UP, false);
        tell(h, FAILOVER_ADDRESS_UP, false);
        assert_true(gate_owned(&h->gate, 1));
        h->node->sibling[2].up = in_contact;
        tell(h, FAILOVER_LINE_BACKUP, false);
        tell(h, FAILOVER_LINE_BACKUP, false); /* of each instance */
        assert_int_equal(h->asked_again, 1);
        h->node->sibling[2].up = false;
        tell(h, FAILOVER_ADDRESS_DOWN, false);
    }
    hub_free(h);
}

TEST(an_address_without_keepalived_is_removed_and_never_served)
{
    struct hub *h = ready(&alone);

    tell(h, FAILOVER_ADDRESS_UP, true);
    pass(h, 2500);
    assert_in_range(h->removed, 1, 3); /* asked for again while it stays */
    assert_true(node_counters(h->node)->stale_vips == h->removed);
    tell(h, FAILOVER_ADDRESS_DOWN, false);
    unsigned removed = h->removed;
    pass(h, 2500);
    assert_int_equal(h->removed, removed);
    assert_false(gate_owned(&h->gate, 1));
    assert_true(h->announced == 0 && h->owned == 0);
    hub_free(h);
}

TEST(health_is_the_engines_and_a_start_without_siblings_waits_for_them)
{
    const struct node_config c = {.solo_start_after_ns = 5 * NS_PER_S, .members = {2}};
    struct hub *h = ready(&c);

    pass(h, 4500);
    assert_false(h->fit); /* a sibling may come yet */
    pass(h, 1000);
    assert_true(h->fit);
    assert_int_equal(h->weight, WEIGHT_BEHIND); /* it serves, and yields to who is in sync */
    node_engine_fit(h->node, false, h->now);
    pass(h, 10);
    assert_false(h->fit);
    node_engine_fit(h->node, true, h->now);
    pass(h, 10);
    assert_true(h->fit);
    hub_free(h);
    h = ready(&alone);
    assert_true(h->fit);
    hub_free(h);
}

/* A sibling that reaches both LANs of which we reach one. */
static void lans(struct hub *h, uint32_t alive)
{
    struct sibling *s = &h->node->sibling[2];

    s->up = true;
    s->lans_known = s->lans_alive = 3;
    atomic_store(&h->gate.member[2].heartbeat_ns, h->now.boot_ns);
    node_lans(h->node, 3, alive, h->now);
}

TEST(a_dead_lan_takes_the_health_of_the_vips_that_need_it_and_no_other)
{
    struct node_config c = {.members = {2}, .vip_count = 2, .lans = {[1] = 1, [2] = 3}};
    struct hub *h;
    uint64_t ms;

    c.vip[2] = (struct vip){.hub = 1, .id = 8, .port = 51820, .order = {1, 2}, .outer_count = 1};
    h = ready(&c);
    lans(h, 3);
    assert_true(h->fit && h->second_fit && node_fit(h->node));
    lans(h, 1);
    assert_true(h->fit && !h->second_fit);
    assert_false(node_fit(h->node));
    assert_int_equal(node_withheld(h->node, 2, h->now, &ms), WITHHELD_UNFIT);
    assert_int_equal(node_withheld(h->node, 1, h->now, &ms), WITHHELD_NOT_IN_SYNC);
    assert_non_null(strstr(h->log, "giving up the VIP: vip=other"));
    lans(h, 2);
    assert_false(h->fit || h->second_fit);
    lans(h, 3);
    h->node->sibling[2].up = false;
    pass(h, LAN_BACK_MS - 100);
    assert_false(h->fit || h->second_fit); /* fall at once, rise slowly */
    pass(h, 200);
    assert_true(h->fit && h->second_fit);
    node_engine_fit(h->node, false, h->now); /* that is of all of them */
    assert_false(h->fit || h->second_fit);
    hub_free(h);
}

TEST(an_owner_does_not_lose_weight_because_it_is_alone)
{
    const struct node_config c = {.solo_start_after_ns = 1, .members = {2}};
    struct hub *h = ready(&c);

    pass(h, 100);
    assert_int_equal(h->weight, WEIGHT_BEHIND);
    tell(h, FAILOVER_WRITER_UP, false);
    tell(h, FAILOVER_ADDRESS_UP, false);
    pass(h, 100);
    assert_true(gate_owned(&h->gate, 1));
    int owner = h->weight;
    pass(h, 10000);
    assert_int_equal(h->weight, owner);
    hub_free(h);
}

TEST(a_member_that_comes_later_is_a_holder_and_moves_nothing)
{
    struct vip vip[VIPS_MAX] = {[1] = {.order = {1, 2, 3}}};
    struct hub *h = ready(&alone);

    tell(h, FAILOVER_WRITER_UP, false);
    tell(h, FAILOVER_ADDRESS_UP, false);
    pass(h, 10);
    assert_true(gate_owned(&h->gate, 1));
    assert_false(vip_holder(h->node, 1, 3));
    assert_int_equal(node_add_member(h->node, 3, vip), 0);
    assert_true(vip_holder(h->node, 1, 3));
    assert_non_null(node_replica(h->node, 3));
    pass(h, 10000);
    assert_true(gate_owned(&h->gate, 1) && h->fit);
    assert_int_equal(h->weight, WEIGHT_FIT);
    assert_int_equal(h->released, 0);
    hub_free(h);
}

TEST(an_end_in_order_releases_and_takes_health_away)
{
    struct hub *h = ready(&alone);

    tell(h, FAILOVER_WRITER_UP, false);
    tell(h, FAILOVER_ADDRESS_UP, false);
    assert_true(gate_owned(&h->gate, 1));
    node_shutdown(h->node, h->now);
    assert_false(gate_owned(&h->gate, 1));
    assert_int_equal(h->released, 1);
    node_tick(h->node, h->now);
    assert_false(h->fit);
    hub_free(h);
}

TEST(what_is_sent_to_a_vip_on_its_way_is_kept_until_it_is_let_go)
{
    const struct sync_move drain = {.kind = MOVE_DRAIN, .vip = 7, .member = 1, .force = true};
    struct sync_move undrain = drain;
    struct hub *h = ready(&alone);
    char reason[MOVE_REASON_LEN];

    undrain.kind = MOVE_UNDRAIN;
    tell(h, FAILOVER_WRITER_UP, false);
    tell(h, FAILOVER_ADDRESS_UP, false);
    assert_false(h->kept);
    assert_int_equal(node_move(h->node, &drain, reason, h->now), 0);
    assert_true(h->kept);
    assert_int_equal(node_move(h->node, &undrain, reason, h->now), 0);
    assert_false(h->kept); /* it stays after all */
    assert_int_equal(node_move(h->node, &drain, reason, h->now), 0);
    pass(h, MOVE_WITHIN_NS / NS_PER_MS + 10);
    assert_false(h->kept); /* nobody came */
    assert_int_equal(node_move(h->node, &undrain, reason, h->now), 0);
    assert_int_equal(node_move(h->node, &drain, reason, h->now), 0);
    tell(h, FAILOVER_ADDRESS_DOWN, false);
    assert_true(h->kept && gate_owned(&h->gate, 1)); /* keepalived has taken it away already */
    pass(h, 10);
    assert_false(h->kept || gate_owned(&h->gate, 1));
    hub_free(h);
}

/* ---- moves that a sibling is asked for ---- */

/* 2 has the VIP, 3 stands by; both said so in their last heartbeats. */
static struct hub *third_of_three(void)
{
    const struct node_config c = {
        .solo_start_after_ns = 1, .members = {2, 3}, .vip[1].order = {1, 2, 3, 4}};
    const struct sync_claim claim = {.vip = 7, .epoch = 5, .member = 2, .held = true};
    struct hub *h = ready(&c);

    for (uint8_t i = 2; i <= 3; i++)
        h->node->sibling[i].up = h->node->sibling[i].ready = true;
    vips_claim_heard(h->node, 2, &claim, h->now);
    return h;
}

static int move_of(struct hub *h, enum move_kind kind, uint8_t member, bool force,
                   char reason[MOVE_REASON_LEN])
{
    const struct sync_move m = {.kind = kind, .vip = 7, .member = member, .force = force};

    return node_move(h->node, &m, reason, h->now);
}

TEST(what_a_sibling_would_refuse_is_refused_at_once)
{
    struct hub *h = third_of_three();
    struct sibling *third = &h->node->sibling[3];
    char reason[MOVE_REASON_LEN];

    /* In sync it is not here, so all is forced. */
    assert_int_equal(move_of(h, MOVE_PROMOTE, 3, false, reason), -EAGAIN);
    assert_non_null(strstr(reason, "that member is not in sync with this one"));
    assert_int_equal(move_of(h, MOVE_PROMOTE, 3, true, reason), 0);
    third->drained = true;
    assert_int_equal(move_of(h, MOVE_PROMOTE, 3, true, reason), -EBUSY);
    assert_string_equal(reason, "that member is drained; 'guardmount undrain' first");
    assert_int_equal(move_of(h, MOVE_UNDRAIN, 3, false, reason), 0);
    third->drained = third->ready = false;
    assert_int_equal(move_of(h, MOVE_PROMOTE, 3, true, reason), -EAGAIN);
    assert_string_equal(reason, "that member is not fit to serve");
    h->node->conf.vip[1].order[2] = 0;
    assert_int_equal(move_of(h, MOVE_PROMOTE, 3, true, reason), -EPERM);
    assert_non_null(strstr(reason, "not among the Members of the VIP main"));
    third->drained = true;
    assert_int_equal(move_of(h, MOVE_PROMOTE, 2, true, reason), 0); /* it has it */
    hub_free(h);
}

TEST(a_sibling_is_not_drained_when_nobody_is_left_to_go_on)
{
    struct hub *h = third_of_three();
    char reason[MOVE_REASON_LEN];

    assert_int_equal(moves_may_drain(h->node, 1, 2, reason, h->now), 0); /* we could */
    assert_int_equal(moves_may_drain(h->node, 1, 3, reason, h->now), 0); /* it has no VIP */
    assert_int_equal(move_of(h, MOVE_DRAIN, 1, false, reason), 0);
    assert_int_equal(moves_may_drain(h->node, 1, 2, reason, h->now), -EAGAIN);
    assert_non_null(strstr(reason, "could take the VIP main"));
    assert_int_equal(moves_may_drain(h->node, 0, 3, reason, h->now), 0);
    assert_int_equal(move_of(h, MOVE_UNDRAIN, 1, false, reason), 0);
    node_engine_fit(h->node, false, h->now);
    assert_int_equal(moves_may_drain(h->node, 0, 2, reason, h->now), -EAGAIN);
    hub_free(h);
}

/* ---- flaps ---- */

static const struct node_config damped = {.members = {2},
                                          .damping = {.flap_limit = 3,
                                                      .hold_down_ns = 2 * NS_PER_S,
                                                      .window_ns = 60 * NS_PER_S,
                                                      .suppress_ns = 10 * NS_PER_S,
                                                      .suppress_max_ns = 60 * NS_PER_S}};

/* As if a sibling were in sync with us all the time. */
static void pass_in_sync(struct hub *h, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i += 10) {
        h->node->synced_ns = h->now.boot_ns;
        pass(h, 10);
    }
}

static struct hub *owner_in_sync(void)
{
    struct hub *h = ready(&damped);

    pass_in_sync(h, 3000);
    tell(h, FAILOVER_WRITER_UP, false);
    tell(h, FAILOVER_ADDRESS_UP, false);
    pass_in_sync(h, 10);
    assert_true(gate_owned(&h->gate, 1));
    assert_int_equal(h->weight, WEIGHT_FIT);
    return h;
}

static void lose_and_regain(struct hub *h)
{
    tell(h, FAILOVER_LINE_FAULT, false);
    assert_false(gate_owned(&h->gate, 1));
    tell(h, FAILOVER_ADDRESS_DOWN, false);
    pass_in_sync(h, 100);
    tell(h, FAILOVER_ADDRESS_UP, false);
    assert_true(gate_owned(&h->gate, 1));
    pass_in_sync(h, 1000);
}

TEST(who_came_back_bids_when_it_was_in_sync_for_the_hold_down)
{
    struct hub *h = ready(&damped);
    uint64_t ms;

    pass_in_sync(h, 1000);
    assert_int_equal(h->weight, WEIGHT_BEHIND);
    assert_int_equal(h->withheld.reason, REASON_HOLD_DOWN);
    assert_int_equal(h->withheld.number, 2000);
    assert_int_equal(node_withheld(h->node, 1, h->now, &ms), WITHHELD_HOLD_DOWN);
    assert_in_range(ms, 900, 1100);
    assert_true(h->fit); /* never health */
    pass_in_sync(h, 1100);
    assert_int_equal(h->weight, WEIGHT_FIT);
    assert_int_equal(h->candidate, 1);
    assert_int_equal(node_withheld(h->node, 1, h->now, &ms), WITHHELD_NOT);
    pass(h, 10000);
    assert_int_equal(node_withheld(h->node, 1, h->now, &ms), WITHHELD_NOT_IN_SYNC);
    hub_free(h);
}

TEST(an_owner_that_loses_its_vip_too_often_bids_less_and_still_serves)
{
    struct hub *h = owner_in_sync();
    uint64_t ms;

    for (unsigned i = 0; i < 2; i++)
        lose_and_regain(h);
    assert_int_equal(h->weight, WEIGHT_FIT); /* an owner is not held down */
    lose_and_regain(h);
    assert_int_equal(h->weight, WEIGHT_BEHIND);
    assert_int_equal(node_withheld(h->node, 1, h->now, &ms), WITHHELD_FLAPPING);
    assert_int_equal(h->withheld.reason, REASON_FLAPPING);
    assert_int_equal(h->withheld.number, 10000);
    assert_in_range(ms, 8900, 9100);
    assert_int_equal(node_flaps(h->node, 1), 3);
    assert_true(h->fit && gate_owned(&h->gate, 1)); /* nobody else is there: it goes on (O3) */
    pass_in_sync(h, 9000);
    assert_int_equal(h->weight, WEIGHT_FIT);
    assert_true(gate_owned(&h->gate, 1));
    hub_free(h);
}

TEST(losses_that_somebody_wanted_are_no_flaps)
{
    const struct sync_move drain = {.kind = MOVE_DRAIN, .vip = 7, .member = 1, .force = true};
    const struct sync_move promotion = {.kind = MOVE_PROMOTE, .vip = 7, .member = 2};
    struct sync_claim claim = {.vip = 7, .epoch = 9, .member = 2, .held = true};
    struct sync_move undrain = drain;
    struct hub *h = owner_in_sync();
    char reason[MOVE_REASON_LEN];

    undrain.kind = MOVE_UNDRAIN;
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(node_move(h->node, &drain, reason, h->now), 0);
        tell(h, FAILOVER_ADDRESS_DOWN, false);
        pass_in_sync(h, 100);
        assert_int_equal(node_move(h->node, &undrain, reason, h->now), 0);
        tell(h, FAILOVER_ADDRESS_UP, false);
        assert_true(gate_owned(&h->gate, 1));
    }
    vips_claim_heard(h->node, 2, &claim, h->now); /* a sibling is to have it, and has it */
    moves_heard(h->node, 2, &promotion, h->now);
    claim.epoch = 10;
    vips_claim_heard(h->node, 2, &claim, h->now);
    pass_in_sync(h, 100);
    assert_false(gate_owned(&h->gate, 1));
    assert_int_equal(node_flaps(h->node, 1), 0);
    node_shutdown(h->node, h->now);
    assert_int_equal(node_flaps(h->node, 1), 0);
    hub_free(h);
}

TEST(health_that_comes_and_goes_is_a_flap_each_time_and_no_more)
{
    struct hub *h = owner_in_sync();
    uint64_t ms;

    for (unsigned i = 0; i < 3; i++) {
        node_engine_fit(h->node, false, h->now);
        assert_false(gate_owned(&h->gate, 1));
        tell(h, FAILOVER_LINE_FAULT, false); /* keepalived's answer */
        tell(h, FAILOVER_ADDRESS_DOWN, false);
        pass_in_sync(h, 100);
        assert_int_equal(node_flaps(h->node, 1), i + 1);
        node_engine_fit(h->node, true, h->now);
        pass_in_sync(h, 1000);
    }
    assert_int_equal(node_withheld(h->node, 1, h->now, &ms), WITHHELD_FLAPPING);
    assert_int_equal(h->weight, WEIGHT_BEHIND);
    assert_true(h->fit);
    hub_free(h);
}

TEST(a_cable_that_keepalived_sees_before_our_probes_is_one_flap)
{
    struct hub *h = owner_in_sync();

    tell(h, FAILOVER_LINE_FAULT, false);
    tell(h, FAILOVER_ADDRESS_DOWN, false);
    pass_in_sync(h, 600);
    node_engine_fit(h->node, false, h->now);
    assert_int_equal(node_flaps(h->node, 1), 1);
    pass_in_sync(h, 600);
    node_engine_fit(h->node, true, h->now);
    node_engine_fit(h->node, false, h->now);
    assert_int_equal(node_flaps(h->node, 1), 2);
    hub_free(h);
}

TEST(who_yields_to_a_member_that_outranks_it_did_not_flap)
{
    struct node_config c = damped;
    struct sync_claim claim = {.vip = 7, .epoch = 9, .member = 2, .held = true};

    memcpy(c.vip[1].order, ((uint8_t[]){2, 3, 1}), 3);
    for (unsigned late = 0; late < 2; late++) {
        struct hub *h = ready(&c);

        pass_in_sync(h, 3000);
        tell(h, FAILOVER_WRITER_UP, false);
        tell(h, FAILOVER_ADDRESS_UP, false);
        tell(h, FAILOVER_LINE_BACKUP, false);
        assert_int_equal(node_flaps(h->node, 1), 1);
        pass_in_sync(h, late ? 1100 : 100);
        vips_claim_heard(h->node, 2, &claim, h->now);
        assert_int_equal(node_flaps(h->node, 1), late);
        pass_in_sync(h, 10);
        assert_int_equal(h->weight, late ? WEIGHT_BEHIND : WEIGHT_FIT); /* of its hold-down */
        hub_free(h);
    }
}

TEST(a_promotion_ends_what_was_withheld)
{
    const struct sync_move promote = {.kind = MOVE_PROMOTE, .vip = 7, .member = 1, .force = true};
    struct hub *h = owner_in_sync();
    char reason[MOVE_REASON_LEN];
    uint64_t ms;

    for (unsigned i = 0; i < 3; i++)
        lose_and_regain(h);
    tell(h, FAILOVER_LINE_BACKUP, false);
    pass_in_sync(h, 100);
    assert_int_equal(h->weight, WEIGHT_BEHIND);
    assert_int_equal(node_move(h->node, &promote, reason, h->now), 0);
    assert_int_equal(h->weight, WEIGHT_PROMOTE);
    assert_int_equal(node_withheld(h->node, 1, h->now, &ms), WITHHELD_NOT);
    tell(h, FAILOVER_LINE_MASTER, false);
    pass_in_sync(h, 1000);
    assert_true(gate_owned(&h->gate, 1));
    tell(h, FAILOVER_LINE_BACKUP, false);
    pass_in_sync(h, 10);
    assert_int_equal(node_withheld(h->node, 1, h->now, &ms), WITHHELD_HOLD_DOWN); /* one loss */
    hub_free(h);
}

TEST(other_rules_are_in_force_at_once)
{
    const struct damping_rules none = {0};
    struct hub *h = owner_in_sync();
    uint64_t ms;

    for (unsigned i = 0; i < 3; i++)
        lose_and_regain(h);
    assert_int_equal(node_withheld(h->node, 1, h->now, &ms), WITHHELD_FLAPPING);
    node_set_damping(h->node, &none, h->now);
    assert_int_equal(node_withheld(h->node, 1, h->now, &ms), WITHHELD_NOT);
    assert_int_equal(h->weight, WEIGHT_FIT);
    hub_free(h);
}

TEST(what_the_node_says_is_text_that_nobody_forges)
{
    const struct node_config c = {.unproved_reason = "x\n\x1b[2Jerror: forged", .members = {2}};
    struct hub *h = hub_new(&c);

    pass(h, 10);
    assert_null(strchr(h->log, '\x1b'));
    assert_non_null(strstr(h->log, "reason=\"x\\x0a\\x1b[2Jerror: forged\""));
    hub_free(h);
}

TEST_MAIN(T(a_vip_is_ours_from_the_address_on_and_not_a_moment_longer),
          T(when_the_other_of_two_lets_go_neighbours_are_told_again),
          T(two_heartbeats_missed_are_enough_for_the_one_that_the_vip_came_from),
          T(any_part_of_the_predicate_that_goes_takes_the_vip),
          T(a_new_stay_never_goes_on_under_the_old_terms),
          T(a_lesser_master_out_of_contact_is_outbid_at_once_and_not_more_often_than_by_age),
          T(another_master_is_a_reason_to_ask_again_and_one_that_hands_over_is_none),
          T(who_yields_to_a_master_out_of_contact_asks_again_and_to_another_not),
          T(an_address_without_keepalived_is_removed_and_never_served),
          T(health_is_the_engines_and_a_start_without_siblings_waits_for_them),
          T(a_dead_lan_takes_the_health_of_the_vips_that_need_it_and_no_other),
          T(an_owner_does_not_lose_weight_because_it_is_alone),
          T(a_member_that_comes_later_is_a_holder_and_moves_nothing),
          T(an_end_in_order_releases_and_takes_health_away),
          T(what_is_sent_to_a_vip_on_its_way_is_kept_until_it_is_let_go),
          T(what_a_sibling_would_refuse_is_refused_at_once),
          T(a_sibling_is_not_drained_when_nobody_is_left_to_go_on),
          T(who_came_back_bids_when_it_was_in_sync_for_the_hold_down),
          T(an_owner_that_loses_its_vip_too_often_bids_less_and_still_serves),
          T(losses_that_somebody_wanted_are_no_flaps),
          T(health_that_comes_and_goes_is_a_flap_each_time_and_no_more),
          T(a_cable_that_keepalived_sees_before_our_probes_is_one_flap),
          T(who_yields_to_a_member_that_outranks_it_did_not_flap),
          T(a_promotion_ends_what_was_withheld), T(other_rules_are_in_force_at_once),
          T(what_the_node_says_is_text_that_nobody_forges))
