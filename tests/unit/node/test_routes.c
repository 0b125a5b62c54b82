/* Where the LAN's packets for peers are sent: a node of its own, and what siblings claim written
 * into it. */
#include "base/secret.h"
#include "lib/test.h"
#include "node/internal.h"
#include "store/store.h"
#include <stdio.h>

#define SELF 2
#define TOLD_MAX 16

struct told {
    uint16_t slot;
    struct ip_prefix dst;
    uint8_t to;
};

struct lan {
    struct node *node;
    struct gate gate;
    struct store *store;
    struct instant now;
    struct told told[TOLD_MAX];
    unsigned count;
    int answer; /* the kernel's */
    unsigned alarms;
};

static int op_route(void *ctx, uint16_t slot, const struct ip_prefix *dst, uint8_t to)
{
    struct lan *l = ctx;

    l->told[l->count++ % TOLD_MAX] = (struct told){slot, *dst, to};
    return l->answer;
}

static void op_log(void *ctx, enum node_log level, const char *sentence, const char *fields)
{
    ((struct lan *)ctx)->alarms += level == NODE_ALARM;
}

static void op_notice(void *ctx, const struct notice *notice)
{
}

static int op_add_peer(void *ctx, struct wg_peer *p, struct remote_secret *secret)
{
    secret_free(secret);
    return 0;
}

static int op_allow(void *ctx, const struct ip_prefix *prefix, struct wg_peer *p)
{
    return 0;
}

static void op_peer(void *ctx, struct wg_peer *p)
{
}

static void op_disallow(void *ctx, const struct ip_prefix *prefix, struct wg_peer *p)
{
}

static void op_retire(void *ctx, void *object, void (*free_fn)(void *))
{
    free_fn(object);
}

static void op_slot(void *ctx, uint16_t slot)
{
}

static void op_nothing(void *ctx)
{
}

static void op_set_weight(void *ctx, uint16_t slot, int weight)
{
}

static void op_set_fit(void *ctx, uint16_t slot, bool fit)
{
}

static void op_save_flaps(void *ctx, const struct flap_memory *all, unsigned count)
{
}

static struct ip_prefix net(const char *text)
{
    struct ip_prefix p;

    assert_int_equal(prefix_parse(text, &p), 0);
    return p;
}

static struct lan *lan_new(void)
{
    struct lan *l = calloc(1, sizeof(*l));
    struct node_config c = {
        .hub = 1,
        .self = SELF,
        .seq = 1,
        .seq_proved = true,
        .vip_count = 2,
        .vip[1] = {.hub = 1,
                   .id = 7,
                   .order = {1, 2, 3},
                   .pool = {net("10.1.0.0/24"), net("fd01::/64")},
                   .pool_count = 2},
        .vip[2] = {
            .hub = 1, .id = 8, .order = {2, 3, 1}, .pool = {net("10.2.0.0/24")}, .pool_count = 1}};
    struct node_ops ops = {.ctx = l,
                           .route = op_route,
                           .log = op_log,
                           .notice = op_notice,
                           .add_peer = op_add_peer,
                           .remove_peer = op_peer,
                           .drop_staged = op_peer,
                           .allow = op_allow,
                           .disallow = op_disallow,
                           .retire = op_retire,
                           .announce = op_slot,
                           .ask_again = op_nothing,
                           .read_addresses = op_slot,
                           .set_weight = op_set_weight,
                           .set_fit = op_set_fit,
                           .save_flaps = op_save_flaps};
    char error[STORE_ERROR_LEN];

    assert_non_null(l);
    l->now = (struct instant){.boot_ns = 1000 * NS_PER_S, .real_ns = 1700000000 * NS_PER_S};
    assert_int_equal(store_open(NULL, SELF, &l->store, error), 0);
    assert_int_equal(node_new(&c, &ops, test_rng(1), &l->gate, l->store, l->now, &l->node), 0);
    node_load(l->node, l->now);
    return l;
}

static void lan_free(struct lan *l)
{
    node_free(l->node);
    store_close(l->store);
    free(l);
}

/* A sibling's word, as siblings.c hands it on. */
static void claim(struct lan *l, uint8_t member, uint16_t vip, uint64_t epoch, bool held)
{
    l->count = 0;
    vips_claim_heard(
        l->node, member,
        &(struct sync_claim){.vip = vip, .member = member, .epoch = epoch, .held = held}, l->now);
}

static void own(struct lan *l, uint16_t slot, bool owned)
{
    static const enum failover_kind steps[] = {FAILOVER_WRITER_UP, FAILOVER_LINE_MASTER,
                                               FAILOVER_ADDRESS_UP};

    l->count = 0;
    if (!owned)
        node_vip(l->node, slot, &(struct failover_event){.kind = FAILOVER_LINE_BACKUP}, l->now);
    for (unsigned i = 0; owned && i < ARRAY_LEN(steps); i++)
        node_vip(l->node, slot, &(struct failover_event){.kind = steps[i]}, l->now);
    assert_int_equal(gate_owned(&l->gate, slot), owned);
}

static void assert_told(const struct lan *l, unsigned at, uint16_t slot, const char *dst,
                        uint8_t to)
{
    struct ip_prefix want = net(dst);

    assert_true(at < l->count);
    assert_int_equal(l->told[at].slot, slot);
    assert_true(prefix_equal(&l->told[at].dst, &want));
    assert_int_equal(l->told[at].to, to);
}

TEST(pools_lead_to_the_tunnel_until_an_owner_is_known_and_then_to_it)
{
    struct lan *l = lan_new();

    assert_int_equal(l->count, 3); /* unreachable is said by whoever reads the tunnel */
    assert_told(l, 0, 1, "10.1.0.0/24", SELF);
    assert_told(l, 1, 1, "fd01::/64", SELF);
    assert_told(l, 2, 2, "10.2.0.0/24", SELF);
    claim(l, 1, 7, 1, true);
    assert_int_equal(l->count, 2); /* a takeover changes its own pools and no more */
    assert_told(l, 0, 1, "10.1.0.0/24", 1);
    assert_told(l, 1, 1, "fd01::/64", 1);
    claim(l, 1, 7, 1, true);
    assert_int_equal(l->count, 0);
    claim(l, 3, 7, 2, true);
    assert_told(l, 0, 1, "10.1.0.0/24", 3);
    claim(l, 3, 7, 2, false);
    assert_told(l, 0, 1, "10.1.0.0/24", 1); /* it never let go */
    claim(l, 1, 7, 1, false);
    assert_told(l, 0, 1, "10.1.0.0/24", SELF);
    lan_free(l);
}

TEST(an_owner_takes_its_packets_itself_whatever_siblings_claim)
{
    struct lan *l = lan_new();

    claim(l, 1, 7, 5, true);
    own(l, 1, true);
    assert_told(l, 0, 1, "10.1.0.0/24", SELF);
    claim(l, 1, 7, 9, true);
    assert_int_equal(l->count, 0);
    own(l, 1, false); /* it yields: and the higher claim counts */
    assert_told(l, 0, 1, "10.1.0.0/24", 1);
    lan_free(l);
}

TEST(no_packet_goes_to_a_member_whose_claim_is_not_above_our_own)
{
    struct lan *l = lan_new();

    own(l, 1, true); /* epoch 1 */
    own(l, 1, false);
    claim(l, 1, 7, 1, true); /* the same epoch: the higher member wins, which we are */
    assert_int_equal(l->count, 0);
    assert_int_equal(node_route(l->node, 1), SELF);
    claim(l, 3, 7, 1, true);
    assert_told(l, 0, 1, "10.1.0.0/24", 3);
    lan_free(l);
}

TEST(who_keeps_a_vip_with_the_lower_claim_claims_anew)
{
    struct lan *l = lan_new();

    own(l, 1, true);                                       /* epoch 1 */
    claim(l, 3, 7, 4, true);                               /* a split: both have it */
    assert_int_equal(node_failover(l->node, 1)->epoch, 1); /* no race of claims */
    claim(l, 3, 7, 4, false);
    assert_int_equal(node_failover(l->node, 1)->epoch, 5); /* or the others would not follow */
    claim(l, 3, 7, 2, false);
    assert_int_equal(node_failover(l->node, 1)->epoch, 5);
    lan_free(l);
}

TEST(what_a_lost_sibling_claimed_counts_no_more)
{
    struct lan *l = lan_new();

    claim(l, 1, 7, 3, true);
    l->count = 0;
    vips_sibling_down(l->node, 1);
    assert_told(l, 0, 1, "10.1.0.0/24", SELF);
    claim(l, 3, 7, 2, true); /* lower, and the only one that is known to live */
    assert_told(l, 0, 1, "10.1.0.0/24", 3);
    lan_free(l);
}

TEST(who_claimed_less_than_a_lost_sibling_is_known_to_have_the_vip_all_the_same)
{
    struct lan *l = lan_new();

    claim(l, 1, 7, 2, true);
    claim(l, 3, 7, 3, true); /* both have it: one of them is about to hear of the other */
    assert_told(l, 0, 1, "10.1.0.0/24", 3);
    l->count = 0;
    vips_sibling_down(l->node, 3);
    assert_told(l, 0, 1, "10.1.0.0/24", 1);
    assert_int_equal(node_vip_claimant(l->node, 1), 1);
    vips_sibling_down(l->node, 1); /* the last one to have it: named, but nothing is sent there */
    assert_int_equal(node_vip_claimant(l->node, 1), 1);
    assert_int_equal(node_route(l->node, 1), SELF);
    lan_free(l);
}

TEST(what_the_kernel_refused_is_told_again)
{
    struct lan *l = lan_new();

    l->answer = -ENETUNREACH;
    claim(l, 1, 7, 1, true);
    assert_int_equal(l->count, 2);
    l->now.boot_ns += NS_PER_S / 2;
    node_tick(l->node, l->now);
    assert_int_equal(l->count, 2);
    l->answer = 0;
    l->now.boot_ns += NS_PER_S;
    node_tick(l->node, l->now);
    assert_int_equal(l->count, 5);
    l->now.boot_ns += 2 * NS_PER_S;
    node_tick(l->node, l->now);
    assert_int_equal(l->count, 5);
    node_routes_again(l->node, l->now); /* a link came back */
    assert_int_equal(l->count, 8);
    lan_free(l);
}

static struct peer *record_of(uint8_t number, const char *const *allowed)
{
    struct peer *p = peer_new(1, &(struct public_key){{number}});

    for (; *allowed; allowed++) {
        struct ip_prefix prefix = net(*allowed);
        assert_int_equal(peer_allow(p, &prefix), 0);
    }
    return p;
}

TEST(a_peer_is_at_home_where_its_pool_is_and_has_routes_of_its_own_elsewhere)
{
    struct lan *l = lan_new();
    struct peer *in_second = record_of(1, (const char *[]){"192.168.5.0/24", "10.2.0.9/32", NULL});
    struct peer *guest =
        record_of(2, (const char *[]){"10.1.0.5/32", "fd01::5/128", "192.168.6.0/24", NULL});

    claim(l, 3, 8, 1, true);
    l->count = 0;
    peers_record_changed(l->node, NULL, in_second);
    struct node_peer *p = peer_by_key(l->node, &in_second->key);
    assert_int_equal(atomic_load(&p->wg.vip), 2);
    assert_int_equal(l->count, 0); /* its pool's route is its route */
    guest->vip = 8;
    peers_record_changed(l->node, NULL, guest);
    p = peer_by_key(l->node, &guest->key);
    assert_int_equal(l->count, 2); /* what is in no pool is not ours to route */
    assert_told(l, 0, 2, "10.1.0.5/32", 3);
    assert_told(l, 1, 2, "fd01::5/128", 3);
    claim(l, 1, 8, 2, true); /* they follow the VIP that the peer uses */
    assert_int_equal(l->count, 3);
    assert_told(l, 0, 2, "10.2.0.0/24", 1);
    assert_told(l, 1, 2, "10.1.0.5/32", 1);
    l->count = 0;
    atomic_store(&p->wg.vip, 1); /* it came home; its record is not in this store: none is wanted */
    routes_peer_moved(l->node, p);
    assert_int_equal(l->count, 2);
    assert_told(l, 0, 2, "10.1.0.5/32", 0);
    peers_record_changed(l->node, guest, NULL);
    peer_free(in_second);
    peer_free(guest);
    lan_free(l);
}

TEST(guests_of_other_pools_are_bounded)
{
    struct lan *l = lan_new();

    for (unsigned i = 0; i < NODE_EXCEPTED_MAX + 10; i++) {
        char text[32];
        snprintf(text, sizeof(text), "fd01::%x/128", i + 1);
        struct peer *guest = record_of(0, (const char *[]){text, NULL});
        memcpy(guest->key.b, &i, sizeof(i));
        guest->vip = 8;
        peers_record_changed(l->node, NULL, guest);
        peer_free(guest);
    }
    assert_int_equal(l->count, 3 + NODE_EXCEPTED_MAX);
    assert_int_equal(l->alarms, 1);
    lan_free(l);
}

TEST_MAIN(T(pools_lead_to_the_tunnel_until_an_owner_is_known_and_then_to_it),
          T(an_owner_takes_its_packets_itself_whatever_siblings_claim),
          T(no_packet_goes_to_a_member_whose_claim_is_not_above_our_own),
          T(who_keeps_a_vip_with_the_lower_claim_claims_anew),
          T(what_a_lost_sibling_claimed_counts_no_more),
          T(who_claimed_less_than_a_lost_sibling_is_known_to_have_the_vip_all_the_same),
          T(what_the_kernel_refused_is_told_again),
          T(a_peer_is_at_home_where_its_pool_is_and_has_routes_of_its_own_elsewhere),
          T(guests_of_other_pools_are_bounded))
