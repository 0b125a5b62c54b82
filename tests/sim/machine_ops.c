/* The simulated engine, disk, kernel and keepalived, as a node calls them. */
#include "base/bytes.h"
#include "base/err.h"
#include "base/secret.h"
#include "proto/codec.h"
#include "sim/machine.h"
#include "store/life.h"
#include <assert.h>

static void op_send(void *ctx, uint16_t vip, const struct endpoint *to,
                    const struct endpoint *local, uint32_t ifindex, const void *buf, size_t len)
{
    struct machine *m = ctx;

    if (m->member && len == sizeof(struct message_response) && load_le32(buf) == MESSAGE_RESPONSE)
        machine_check_committed(m, vip, load_le32((const uint8_t *)buf + 4));
    world_send(m->world, m, vip ? &m->world->vip[vip] : &m->address, to, buf, len);
}

static int op_handshake(void *ctx, const struct handshake_job *job)
{
    struct machine *m = ctx;
    struct event *e = world_event(m->world, 100 * NS_PER_US, EVENT_HANDSHAKE, m);

    e->ptr = malloc(sizeof(*job));
    assert(e->ptr);
    memcpy(e->ptr, job, sizeof(*job));
    return 0;
}

static void op_set_identity(void *ctx, struct identity *id, struct cookie_secret *cookies)
{
    struct machine *m = ctx;

    if (m->identity)
        secret_free(m->identity->private_key);
    free(m->identity);
    free(m->cookies);
    m->identity = id;
    m->cookies = cookies;
}

static int op_add_peer(void *ctx, struct wg_peer *p, struct remote_secret *s)
{
    struct machine *m = ctx;
    struct remote_entry *e = calloc(1, sizeof(*e));

    assert(e);
    e->peer = p;
    e->remote = (struct remote){.peer_id = p->id, .public_key = p->key, .secret = s};
    HASH_ADD_PTR(m->remotes, peer, e);
    return 0;
}

static void op_set_remote(void *ctx, struct wg_peer *p, struct remote_secret *s)
{
    struct remote_entry *e = machine_remote(ctx, p);

    if (!e) {
        secret_free(s);
        return;
    }
    secret_free(e->remote.secret);
    e->remote.secret = s;
}

static void op_remove_peer(void *ctx, struct wg_peer *p)
{
    struct machine *m = ctx;
    struct remote_entry *e = machine_remote(m, p);

    if (!e)
        return;
    HASH_DELETE(hh, m->remotes, e);
    secret_free(e->remote.secret);
    free(e);
}

static int op_allow(void *ctx, const struct ip_prefix *prefix, struct wg_peer *p)
{
    struct machine *m = ctx;

    return allowedips_insert(&m->allowed, prefix, p);
}

static void op_disallow(void *ctx, const struct ip_prefix *prefix, struct wg_peer *p)
{
    struct machine *m = ctx;

    allowedips_remove(&m->allowed, prefix, p);
}

static int op_add_keypair(void *ctx, struct keypair *k)
{
    return machine_entry_add(ctx, k->local_index, k, NULL);
}

static void op_remove_keypair(void *ctx, struct keypair *k)
{
    machine_entry_remove(ctx, k->local_index);
}

static int op_add_initiation(void *ctx, struct initiation *i)
{
    return machine_entry_add(ctx, i->local_index, NULL, i);
}

static void op_remove_initiation(void *ctx, struct initiation *i)
{
    machine_entry_remove(ctx, i->local_index);
}

static void op_set_last_stamp(void *ctx, struct wg_peer *p, const uint8_t stamp[TAI64N_LEN])
{
    struct remote_entry *r = machine_remote(ctx, p);

    if (r) {
        memcpy(r->stamp, stamp, TAI64N_LEN);
        r->has_stamp = true;
    }
    machine_check_stamp(ctx, stamp_to_real(stamp));
}

static void op_set_last_mac1(void *ctx, struct wg_peer *p, const uint8_t mac1[16])
{
    struct remote_entry *r = machine_remote(ctx, p);

    if (r) {
        memcpy(r->mac1, mac1, 16);
        r->has_mac1 = true;
    }
}

static void op_retire(void *ctx, void *object, void (*free_fn)(void *))
{
    free_fn(object); /* one thread: nobody else holds it */
}

static enum tx_verdict op_keepalive(void *ctx, struct wg_peer *p, uint64_t now_ns)
{
    return machine_transmit(ctx, p, NULL, 0);
}

static void op_flush_staged(void *ctx, struct wg_peer *p, uint64_t now_ns)
{
    struct machine *m = ctx;
    struct staged **at = &m->staged, *s;

    while ((s = *at)) {
        if (s->peer_id != p->id) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        enum tx_verdict v = machine_transmit(m, p, s->packet, SIM_PACKET_LEN);
        if (tx_waits(v)) {
            s->next = *at;
            *at = s;
            return;
        }
        m->staged_count--;
        free(s);
    }
}

static void op_take_staged(void *ctx, struct wg_peer *p,
                           void (*fn)(void *fn_ctx, const uint8_t *packet, size_t len),
                           void *fn_ctx)
{
    struct machine *m = ctx;
    struct staged **at = &m->staged, *s;

    while ((s = *at)) {
        if (s->peer_id != p->id) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        m->staged_count--;
        if (fn)
            fn(fn_ctx, s->packet, SIM_PACKET_LEN);
        free(s);
    }
}

static void op_drop_staged(void *ctx, struct wg_peer *p)
{
    op_take_staged(ctx, p, NULL, NULL);
}

static void op_stage(void *ctx, struct wg_peer *p, const uint8_t *packet, size_t len)
{
    if (len == SIM_PACKET_LEN)
        machine_stage(ctx, p, packet);
}

static void op_wake_held(void *ctx)
{
    struct machine *m = ctx;

    world_event(m->world, 1000, EVENT_TICK, m)->a = 1;
}

static void op_discard(void *ctx)
{
    struct machine *m = ctx;
    struct held *h;

    while ((h = m->held)) {
        m->held = h->next;
        free(h);
    }
}

static void op_resume(void *ctx)
{
}

static int op_set_port(void *ctx, uint16_t port)
{
    return 0;
}

static int op_set_fwmark(void *ctx, uint32_t mark)
{
    return 0;
}

/* What a member of an earlier build greets with, into @frame; and what it must never be told. */
static size_t among_builds(struct machine *m, const struct machine *other, uint8_t *frame,
                           size_t len)
{
    const struct codec_key *key = &m->link_key[other->member];
    struct world *w = m->world;
    struct sync_msg s;

    if (codec_decode(frame, len, key, &s) < 0)
        return len;
    if (s.kind == SYNC_HELLO && m->earlier_build) {
        s.hello.features &= ~SYNC_FEATURE_LIMITS;
        int n = codec_encode(&s, key, &m->rng, frame, SYNC_FRAME_MAX);
        assert(n > 0);
        len = (size_t)n;
    } else if (s.kind == SYNC_LIMITS && other->earlier_build) {
        oracle_violation(w->oracle, w->now_ns,
                         "member %u tells an earlier build, member %u, raises in one message",
                         m->member, other->member);
    }
    w->raises_together += s.kind == SYNC_LIMITS;
    w->raises_alone += s.kind == SYNC_LIMIT && other->earlier_build;
    sync_msg_clear(&s);
    return len;
}

static void op_transmit(void *ctx, uint8_t to, const uint8_t *msg, size_t len)
{
    struct machine *m = ctx, *other = &m->world->machine[to - 1];
    uint8_t frame[SYNC_FRAME_MAX];

    if (m->world->mixed) {
        memcpy(frame, msg, len);
        len = among_builds(m, other, frame, len);
        msg = frame;
    }
    if (m->world->warm)
        oracle_warm_frame(m->world->oracle, m->world->now_ns, m->member, msg, len);
    if (!m->link_up[to])
        return;
    if (m->world->cut_sync[m->member][to]) {
        m->link_lossy[to] = true; /* it is over at the next frame that gets through */
        return;
    }
    /* TCP: in order, whatever the queue does with equal times. */
    uint64_t at =
        MAX(m->world->now_ns + SIM_LAN_DELAY_NS + m->world->sync_lag_ns, m->frame_at_ns[to] + 1);
    m->frame_at_ns[to] = at;
    struct event *e = world_event(m->world, 0, EVENT_FRAME, other);
    heap_set(&m->world->events, &e->entry, at);
    e->a = m->member;
    e->b = m->link_serial[to];
    e->bytes = malloc(len);
    assert(e->bytes);
    memcpy(e->bytes, msg, len);
    e->len = len;
}

static size_t op_queued(void *ctx, uint8_t to)
{
    struct machine *m = ctx;

    /* Now and then too much for more of a snapshot, so that it takes turns. */
    return m->world->operators && world_random(m->world, 3) == 0 ? 256u << 10 : 0;
}

static void op_close_link(void *ctx, uint8_t to, const char *reason)
{
    struct machine *m = ctx;

    world_trace(m->world, "m%u closes the link to m%u: %s", m->member, to, reason);
    struct event *e = world_event(m->world, 1, EVENT_LINK, m);
    e->a = to;
    e->b = 0; /* down */
}

static void op_commit(void *ctx, struct store_write *w)
{
    struct machine *m = ctx;

    world_event(m->world, 500 * NS_PER_US, EVENT_COMMIT, m)->ptr = w;
}

static void op_change_done(void *ctx, void *token, int err, const char *message)
{
    struct machine *m = ctx;

    unsigned n = (unsigned)(uintptr_t)token; /* 0: of no pool peer; its number + 1: a revocation */
    bool said = err == -EKEYREVOKED || (m->disk_full && err == -ENOSPC);

    if (n && n <= SIM_POOL_PEERS && (err == 0 || err == -ETIMEDOUT || err == -ENOSPC))
        peers_revoked(m, n - 1, err, node_unreached(m->node));
    else if (err < 0 && !(n && said))
        oracle_violation(m->world->oracle, m->world->now_ns, "an edit was refused: %s", message);
}

static void op_read_addresses(void *ctx, uint16_t vip)
{
    struct machine *m = ctx;

    m->wants_addresses |= 1u << vip;
}

static void op_remove_stale(void *ctx, uint16_t vip)
{
    struct machine *m = ctx;

    m->address_present[vip] = false;
    m->wants_addresses |= 1u << vip;
}

static int op_route(void *ctx, uint16_t slot, const struct ip_prefix *dst, uint8_t to)
{
    struct machine *m = ctx;
    struct world *w = m->world;

    if (dst->len == 32) {
        m->guest_route[dst->addr.b[15] - 1] = to;
        return 0;
    }
    world_trace(w, "m%u routes VIP %u to m%u", m->member, slot, to);
    m->route[slot] = to;
    world_check_routes(w, slot);
    return 0;
}

static void op_keep_address(void *ctx, uint16_t vip, bool keep)
{
    ((struct machine *)ctx)->address_kept[vip] = keep;
}

/* Who is out of contact is dialled at every tick, and has no link address to be asked for. */
static void op_ask_again(void *ctx)
{
}

static void op_announce(void *ctx, uint16_t vip)
{
    struct machine *m = ctx;

    struct world *w = m->world;

    if (m->address_present[vip])
        vrrp_event(m, world_random(w, SIM_ANNOUNCE_LATE_NS), vip, VRRP_ANNOUNCE);
}

static void op_set_weight(void *ctx, uint16_t slot, int weight)
{
    struct machine *m = ctx;

    m->vrrp[slot].weight = weight;
}

static int op_save_drained(void *ctx, const uint16_t *vips, unsigned count)
{
    struct machine *m = ctx;

    m->drained = 0;
    for (unsigned i = 0; i < count; i++)
        m->drained |= 1u << vips[i];
    return 0;
}

static void op_save_flaps(void *ctx, const struct flap_memory *all, unsigned count)
{
    struct machine *m = ctx;

    assert(count <= SIM_VIPS_MAX);
    memcpy(m->flaps, all, count * sizeof(*all));
    m->flap_count = count;
}

static void op_set_fit(void *ctx, uint16_t slot, bool fit)
{
    struct machine *m = ctx;

    m->vrrp[slot].fit = fit;
}

static int op_raise_seq(void *ctx, uint64_t seen, uint64_t *ret)
{
    struct machine *m = ctx;

    m->seq = *ret = MAX(m->seq, seen) + 1;
    return 0;
}

static void op_reserve(void *ctx, uint64_t real_ns)
{
    struct machine *m = ctx;

    if (real_ns > m->stamps_until_ns)
        m->stamps_until_ns = real_ns + STAMP_RESERVE_NS;
}

static void op_log(void *ctx, enum node_log level, const char *sentence, const char *fields)
{
    struct machine *m = ctx;

    /* That repair is for what was lost from a disk; anything else must not need it. */
    if (!m->world->rolled_back && strstr(sentence, "differ from a sibling's though both know"))
        oracle_violation(m->world->oracle, m->world->now_ns, "m%u: %s", m->member, sentence);
    world_trace(m->world, "%c%u %s: %s", m->member ? 'm' : 'c', m->number + 1, sentence, fields);
}

/* What the tables promise of a notice is in it: a reason where one belongs, a sibling's number. */
static void op_notice(void *ctx, const struct notice *n)
{
    struct machine *m = ctx;
    const struct notice_kind_info *kind = &notice_kinds[n->kind];
    bool wants_reason = kind->fields >> NOTICE_FIELD_REASON & 1;
    char text[NOTICE_TEXT_LEN];

    if (wants_reason != (n->reason != REASON_NONE) || n->reason == REASON_OTHER ||
        n->member > m->world->members || !n->real_ns)
        oracle_violation(m->world->oracle, m->world->now_ns, "an event without sense: %s",
                         notice_format(n, "vip", text));
    world_trace(m->world, "%c%u %s: %s", m->member ? 'm' : 'c', m->number + 1, kind->sentence,
                notice_format(n, "vip", text));
}

const struct node_ops machine_ops = {
    .send = op_send,
    .handshake = op_handshake,
    .set_identity = op_set_identity,
    .add_peer = op_add_peer,
    .set_remote = op_set_remote,
    .remove_peer = op_remove_peer,
    .allow = op_allow,
    .disallow = op_disallow,
    .add_keypair = op_add_keypair,
    .remove_keypair = op_remove_keypair,
    .add_initiation = op_add_initiation,
    .remove_initiation = op_remove_initiation,
    .set_last_stamp = op_set_last_stamp,
    .set_last_mac1 = op_set_last_mac1,
    .retire = op_retire,
    .send_keepalive = op_keepalive,
    .flush_staged = op_flush_staged,
    .drop_staged = op_drop_staged,
    .take_staged = op_take_staged,
    .stage = op_stage,
    .wake_held = op_wake_held,
    .discard_queued = op_discard,
    .resume = op_resume,
    .set_port = op_set_port,
    .set_fwmark = op_set_fwmark,
    .transmit = op_transmit,
    .queued = op_queued,
    .close_link = op_close_link,
    .commit = op_commit,
    .change_done = op_change_done,
    .read_addresses = op_read_addresses,
    .remove_stale = op_remove_stale,
    .keep_address = op_keep_address,
    .announce = op_announce,
    .ask_again = op_ask_again,
    .route = op_route,
    .set_weight = op_set_weight,
    .save_drained = op_save_drained,
    .save_flaps = op_save_flaps,
    .set_fit = op_set_fit,
    .raise_seq = op_raise_seq,
    .reserve_stamps = op_reserve,
    .log = op_log,
    .notice = op_notice,
};
