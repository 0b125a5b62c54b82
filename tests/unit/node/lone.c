#include "unit/node/lone.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/secret.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    if (notice->kind == NOTICE_HANDSHAKE_REFUSED)
        h->refused = *notice;
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

static void op_save_flaps(void *ctx, const struct flap_memory *all, unsigned count)
{
    struct hub *h = ctx;

    h->kept_count = count;
    memcpy(h->flaps, all, count * sizeof(*all));
}

static void op_close_link(void *ctx, uint8_t member, const char *reason)
{
    ((struct hub *)ctx)->closed |= 1u << member;
}

static int op_handshake(void *ctx, const struct handshake_job *job)
{
    struct hub *h = ctx;

    if (job->kind == HANDSHAKE_INITIATE && h->asked_count < ASKED_MAX)
        h->asked[h->asked_count++] = job->peer_id;
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
    ((struct hub *)ctx)->sent++;
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

static int op_add_peer(void *ctx, struct wg_peer *p, struct remote_secret *s)
{
    secret_free(s);
    return 0;
}

static void op_peer(void *ctx, struct wg_peer *p)
{
}

static void op_retire(void *ctx, void *object, void (*free_fn)(void *))
{
    free_fn(object);
}

static void op_nothing(void *ctx)
{
}

static void op_set_identity(void *ctx, struct identity *id, struct cookie_secret *cookies)
{
    struct hub *h = ctx;

    if (h->identity)
        secret_free(h->identity->private_key);
    free(h->identity);
    free(h->cookies);
    h->identity = id;
    h->cookies = cookies;
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
                                             .handshake = op_handshake,
                                             .add_initiation = op_add_initiation,
                                             .remove_initiation = op_remove_initiation,
                                             .set_last_mac1 = op_set_last_mac1,
                                             .send = op_send,
                                             .add_keypair = op_add_keypair,
                                             .remove_keypair = op_remove_keypair,
                                             .send_keepalive = op_send_keepalive,
                                             .flush_staged = op_flush_staged,
                                             .add_peer = op_add_peer,
                                             .remove_peer = op_peer,
                                             .drop_staged = op_peer,
                                             .retire = op_retire,
                                             .remove_stale = op_remove_stale,
                                             .keep_address = op_keep_address,
                                             .read_addresses = op_read_addresses,
                                             .set_weight = op_set_weight,
                                             .set_fit = op_set_fit,
                                             .save_drained = op_save_drained,
                                             .save_flaps = op_save_flaps,
                                             .close_link = op_close_link,
                                             .wake_held = op_nothing,
                                             .discard_queued = op_nothing,
                                             .resume = op_nothing,
                                             .set_identity = op_set_identity,
                                             .reserve_stamps = op_reserve_stamps,
                                             .raise_seq = op_raise_seq};

struct hub *hub_new_at(const struct node_config *with, uint64_t boot_ns)
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
    h->now = (struct instant){.boot_ns = boot_ns, .real_ns = 1700000000 * NS_PER_S};
    h->weight = INT_MIN;
    ops.ctx = h;
    h->kept_count = c.flap_count; /* the file of the life before */
    memcpy(h->flaps, c.flaps, c.flap_count * sizeof(c.flaps[0]));
    h->gate.fresh_ns = c.fresh_ns;
    assert_int_equal(store_open(NULL, 1, &h->store, error), 0);
    assert_int_equal(node_new(&c, &ops, test_rng(1), &h->gate, h->store, h->now, &h->node), 0);
    node_load(h->node, h->now);
    return h;
}

struct hub *hub_new(const struct node_config *with)
{
    return hub_new_at(with, 1000 * NS_PER_S);
}

void hub_free(struct hub *h)
{
    node_free(h->node);
    op_set_identity(h, NULL, NULL);
    store_close(h->store);
    free(h);
}

struct node_peer *hub_add_peer(struct hub *h, uint16_t port)
{
    struct endpoint at = {.port = port}, local = {0};
    struct endpoint_version version = {.generation = 1};
    struct public_key key = {{9, (uint8_t)port, (uint8_t)(port >> 8)}};
    struct peer *record = peer_new(1, &key);

    assert_non_null(record);
    peers_record_changed(h->node, NULL, record);
    peer_free(record);
    struct node_peer *p = peer_by_key(h->node, &key);
    assert_non_null(p);
    assert_int_equal(addr_parse("192.0.2.1", &at.addr), 0);
    assert_true(peer_endpoint_update(&p->wg, &at, &local, 0, 1, &version));
    return p;
}

void hub_pass(struct hub *h, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i += 10) {
        h->now.boot_ns += 10 * NS_PER_MS;
        h->now.real_ns += 10 * NS_PER_MS;
        node_tick(h->node, h->now);
        node_flush(h->node, h->now);
    }
}

void hub_tell(struct hub *h, enum failover_kind kind, bool at_start)
{
    node_vip(h->node, 1, &(struct failover_event){.kind = kind, .at_start = at_start}, h->now);
}

struct hub *hub_ready(const struct node_config *with)
{
    struct hub *h = hub_new(with);

    node_engine_fit(h->node, true, h->now);
    hub_pass(h, 100);
    return h;
}

struct hub *hub_owner(const struct node_config *with)
{
    struct secret32 key = {{1}};
    struct hub *h = hub_ready(with);

    assert_int_equal(node_set_private_key(h->node, &key, h->now), 0);
    hub_tell(h, FAILOVER_WRITER_UP, false);
    hub_tell(h, FAILOVER_ADDRESS_UP, false);
    assert_true(gate_owned(&h->gate, 1));
    hub_pass(h, 3000); /* as many may be asked as at most */
    return h;
}

const struct node_config alone = {.solo_start_after_ns = 0};
