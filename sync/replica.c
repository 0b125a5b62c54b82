#include "sync/replica.h"
#include "base/err.h"
#include "base/fsm.h"
#include "base/secret.h"
#include <inttypes.h>
#include <stdio.h>

#define SNAPSHOT_QUEUE_LOW (128u << 10) /* S7: bulk only while less than this is queued */
#define SNAPSHOT_RECORDS_PER_TURN 256
#define SNAPSHOT_TURN_NS (1 * 1000000ull)              /* between turns while the channel is busy */
#define SNAPSHOT_PENDING_MAX (REPLICA_PENDING_MAX / 2) /* the other half is for live entries */
#define ACK_EVERY 512                        /* entries; the usual ack is one a loop turn */
#define ROUND_TRIP_GOOD_NS (10 * 1000000ull) /* T_HOLD (O3) */
#define ROUND_TRIP_LASTS_NS (1000 * 1000000ull)
#define OWN_GAP_NS (200 * 1000000ull) /* G_GAP: we slept, so their silence proves nothing */
#define TOKENS_FIRST 256
#define REASON_LEN 160

static const struct fsm_state replica_fsm[] = {
    [REPLICA_DOWN] = {"down", TO(REPLICA_GREETING)},
    [REPLICA_GREETING] = {"greeting", TO(REPLICA_LOADING) | TO(REPLICA_DOWN)},
    [REPLICA_LOADING] = {"loading", TO(REPLICA_LIVE) | TO(REPLICA_DOWN)},
    [REPLICA_LIVE] = {"live", TO(REPLICA_DOWN)},
};

struct pending {
    uint64_t position;
    struct replica_token token;
};

struct replica {
    uint8_t self, member;
    const struct rng *rng;
    struct replica_ops ops;
    const struct codec_key *key; /* the channel's; NULL while down */
    int state;
    bool closing; /* we asked for the end: nothing goes out, nothing comes in */
    bool greeted; /* ops.greeted() agreed, so ops.down() is due */

    /* Our log. */
    uint64_t sent, acked;
    struct pending *tokens; /* a ring, oldest at @first; only entries that have one */
    unsigned token_room, token_first, token_count;
    uint64_t cursor;       /* of the snapshot; the node's */
    uint64_t end_position; /* of our SNAPSHOT_END; 0: not sent yet */
    uint64_t snapshot_at_ns;

    /* Theirs. */
    uint64_t heard, told; /* highest position, and what was acked of it */
    bool ended;
    struct peer *parts; /* a peer record that has not come whole */
    uint32_t parts_total;

    /* Time. */
    uint64_t connected_ns, last_tick_ns;
    uint64_t heartbeat_ns;    /* T_HB */
    uint64_t silent_since_ns; /* the last frame, but for what we slept through */
    uint64_t heartbeat_at_ns, heartbeat_seq, first_sent_ns, last_sent_ns;
    uint64_t their_boot_ns, their_boot_at_ns; /* what to echo */
    uint64_t probe_position, probe_ns;        /* an entry whose ack is timed */
    uint64_t rtt_ns, good_ns; /* good: when a round trip was last short enough (O3) */

    char reason[REASON_LEN];
    uint8_t buf[SYNC_FRAME_MAX];
};

struct replica *replica_new(uint8_t self, uint8_t member, uint64_t heartbeat_ns,
                            const struct rng *rng, const struct replica_ops *ops)
{
    struct replica *r = calloc(1, sizeof(*r));

    assert(heartbeat_ns && heartbeat_ns <= HEARTBEAT_NS);
    if (!r)
        return NULL;
    r->self = self;
    r->member = member;
    r->heartbeat_ns = heartbeat_ns;
    r->rng = rng;
    r->ops = *ops;
    r->state = REPLICA_DOWN;
    return r;
}

void replica_free(struct replica *r)
{
    if (!r)
        return;
    peer_free(r->parts);
    free(r->tokens);
    free(r);
}

static void give_up(struct replica *r, const char *reason)
{
    if (r->closing)
        return;
    r->closing = true;
    r->ops.close(r->ops.ctx, r->member, reason);
}

static bool talking(const struct replica *r)
{
    return r->state >= REPLICA_LOADING && !r->closing;
}

/* ---- tokens: what acks give back ---- */

static int token_push(struct replica *r, uint64_t position, const struct replica_token *t)
{
    if (r->token_count == r->token_room) {
        unsigned room = r->token_room ? 2 * r->token_room : TOKENS_FIRST;
        struct pending *grown;

        assert(r->token_count < REPLICA_PENDING_MAX);
        grown = calloc(room, sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        for (unsigned i = 0; i < r->token_count; i++)
            grown[i] = r->tokens[(r->token_first + i) % r->token_room];
        free(r->tokens);
        r->tokens = grown;
        r->token_room = room;
        r->token_first = 0;
    }
    r->tokens[(r->token_first + r->token_count++) % r->token_room] = (struct pending){position, *t};
    return 0;
}

static bool token_pop(struct replica *r, uint64_t position, struct replica_token *ret)
{
    if (!r->token_count || r->tokens[r->token_first].position > position)
        return false;
    *ret = r->tokens[r->token_first].token;
    r->token_first = (r->token_first + 1) % r->token_room;
    r->token_count--;
    return true;
}

/* ---- sending ---- */

static bool transmit(struct replica *r, const struct sync_msg *m)
{
    int len;

    if (r->closing)
        return false;
    len = codec_encode(m, r->key, r->rng, r->buf, sizeof(r->buf));
    if (len < 0) {
        snprintf(r->reason, sizeof(r->reason), "cannot encode a message of kind %s (%d)",
                 sync_kind_name(m->kind), len);
        give_up(r, r->reason);
        return false;
    }
    r->ops.transmit(r->ops.ctx, r->member, r->buf, (size_t)len);
    return !r->closing;
}

/* One entry, or as many as a peer with very many prefixes needs. Position of the last; 0: failed,
 * and the link is being closed. */
static uint64_t append(struct replica *r, const struct sync_msg *m,
                       const struct replica_token *tokens, unsigned count, uint64_t now_ns)
{
    struct sync_msg entry = *m;

    entry.part = (struct sync_part){0};
    do {
        if (r->sent - r->acked >= REPLICA_PENDING_MAX ||
            r->token_count + count > REPLICA_PENDING_MAX) {
            give_up(r, "the sibling does not keep up: too many entries without an ack");
            return 0;
        }
        entry.position = ++r->sent;
        if (!transmit(r, &entry))
            return 0;
        entry.part.offset += SYNC_PART_PREFIXES;
    } while (m->kind == SYNC_PEER && entry.part.offset < m->peer->allowed_count);
    for (unsigned i = 0; i < count; i++)
        if (token_push(r, r->sent, &tokens[i]) < 0) {
            give_up(r, "no memory");
            return 0;
        }
    if (!r->probe_position) {
        r->probe_position = r->sent;
        r->probe_ns = now_ns;
    }
    return r->sent;
}

uint64_t replica_send(struct replica *r, const struct sync_msg *m,
                      const struct replica_token *token, uint64_t now_ns)
{
    return replica_send_many(r, m, token, token != NULL, now_ns);
}

uint64_t replica_send_many(struct replica *r, const struct sync_msg *m,
                           const struct replica_token *tokens, unsigned count, uint64_t now_ns)
{
    if (!talking(r))
        return 0;
    if (r->ops.queued(r->ops.ctx, r->member) > REPLICA_QUEUE_MAX) {
        give_up(r, "the sibling does not keep up: too much is queued");
        return 0;
    }
    return append(r, m, tokens, count, now_ns);
}

static void send_ack(struct replica *r)
{
    struct sync_msg m = {.kind = SYNC_ACK, .ack = {.position = r->heard}};

    if (r->told == r->heard)
        return;
    r->told = r->heard;
    transmit(r, &m);
}

static void send_heartbeat(struct replica *r, uint64_t now_ns)
{
    struct sync_msg m = {.kind = SYNC_HEARTBEAT};

    r->ops.fill_heartbeat(r->ops.ctx, r->member, &m.heartbeat);
    m.heartbeat.seq = ++r->heartbeat_seq;
    m.heartbeat.every_ms = (uint32_t)(r->heartbeat_ns / 1000000);
    m.heartbeat.sent_boot_ns = now_ns;
    m.heartbeat.echo_boot_ns = r->their_boot_ns;
    m.heartbeat.echo_held_ns = r->their_boot_ns ? now_ns - r->their_boot_at_ns : 0;
    if (!r->first_sent_ns)
        r->first_sent_ns = now_ns;
    r->last_sent_ns = now_ns;
    transmit(r, &m);
}

/* A turn of the snapshot. Live entries are sent as they come, so they pass what is left of it; an
 * entry about a record that was not reached yet is the node's to fold into it (S7). */
static void send_snapshot(struct replica *r, uint64_t now_ns)
{
    for (unsigned i = 0; i < SNAPSHOT_RECORDS_PER_TURN && talking(r) && !r->end_position; i++) {
        struct sync_msg m = {.kind = SYNC_KINDS};
        struct replica_token token = {0};

        if (r->ops.queued(r->ops.ctx, r->member) >= SNAPSHOT_QUEUE_LOW ||
            r->sent - r->acked >= SNAPSHOT_PENDING_MAX)
            break;
        if (r->ops.snapshot_next(r->ops.ctx, r->member, &r->cursor, &m, &token)) {
            if (talking(r))
                append(r, &m, &token, 1, now_ns);
            sync_msg_clear(&m);
        } else if (talking(r)) {
            m.kind = SYNC_SNAPSHOT_END;
            r->end_position = append(r, &m, NULL, 0, now_ns);
        }
    }
    r->snapshot_at_ns = now_ns + SNAPSHOT_TURN_NS;
}

/* ---- receiving ---- */

static void look_live(struct replica *r)
{
    if (r->state == REPLICA_LOADING && r->ended && replica_has_all_of_us(r))
        fsm_move(replica_fsm, &r->state, REPLICA_LIVE);
}

static void round_trip(struct replica *r, uint64_t sample_ns, uint64_t now_ns)
{
    /* It bounds ages (T1), so it goes up at once and comes down by eighths. */
    uint64_t slow = r->rtt_ns - r->rtt_ns / 8 + sample_ns / 8;

    r->rtt_ns = MAX(MAX(sample_ns, slow), 1);
    if (sample_ns < ROUND_TRIP_GOOD_NS)
        r->good_ns = now_ns;
}

static void on_hello(struct replica *r, const struct sync_hello *theirs, uint64_t now_ns)
{
    const char *reason = "refused";

    if (r->state != REPLICA_GREETING) {
        give_up(r, "a second hello on one connection");
        return;
    }
    /* S9: the highest version that both know. There is one so far; what is sent does not depend
     * on it yet. */
    if (MIN(theirs->version_max, SYNC_VERSION_MAX) < MAX(theirs->version_min, SYNC_VERSION_MIN)) {
        snprintf(r->reason, sizeof(r->reason),
                 "no common version of the sync protocol: ours %d to %d, theirs %" PRIu32
                 " to %" PRIu32,
                 SYNC_VERSION_MIN, SYNC_VERSION_MAX, theirs->version_min, theirs->version_max);
        give_up(r, r->reason);
        return;
    }
    if (theirs->member != r->member) {
        snprintf(r->reason, sizeof(r->reason), "it has the key of member %u and says that it is %u",
                 r->member, theirs->member);
        give_up(r, r->reason);
        return;
    }
    fsm_move(replica_fsm, &r->state, REPLICA_LOADING);
    r->heartbeat_at_ns = r->snapshot_at_ns = now_ns;
    if (!r->ops.greeted(r->ops.ctx, r->member, theirs, &reason)) {
        give_up(r, reason);
        return;
    }
    r->greeted = true;
}

static void on_heartbeat(struct replica *r, const struct sync_heartbeat *hb, uint64_t now_ns)
{
    uint64_t sample = 0;

    /* The first one, or one after a silence: they wait for an answer (R12), so not a beat later. */
    if (!r->their_boot_ns || now_ns - r->their_boot_at_ns >= 2 * HEARTBEAT_NS)
        r->heartbeat_at_ns = now_ns;
    r->their_boot_ns = hb->sent_boot_ns;
    r->their_boot_at_ns = now_ns;
    if (hb->echo_boot_ns) {
        if (!r->first_sent_ns || hb->echo_boot_ns < r->first_sent_ns ||
            hb->echo_boot_ns > r->last_sent_ns || hb->echo_held_ns > now_ns - hb->echo_boot_ns) {
            give_up(r, "an echo of a heartbeat that was never sent");
            return;
        }
        sample = now_ns - hb->echo_boot_ns - hb->echo_held_ns;
        round_trip(r, sample, now_ns);
    }
    r->ops.heartbeat(r->ops.ctx, r->member, hb, r->rtt_ns);
}

static void on_ack(struct replica *r, uint64_t position, uint64_t now_ns)
{
    struct replica_token token;

    if (position > r->sent || position < r->acked) {
        give_up(r, "an ack of a position that was never sent, or back");
        return;
    }
    r->acked = position;
    if (r->probe_position && position >= r->probe_position) {
        round_trip(r, now_ns - r->probe_ns, now_ns);
        r->probe_position = 0;
    }
    while (!r->closing && token_pop(r, position, &token))
        r->ops.acked(r->ops.ctx, r->member, &token);
    look_live(r);
}

/* Joins the parts of a peer record. True: m->peer is whole. */
static bool join_parts(struct replica *r, struct sync_msg *m)
{
    struct peer *whole = r->parts, *part = m->peer;

    if (!m->part.offset) {
        if (whole)
            give_up(r, "a peer record begins inside another");
        else if (part->allowed_count == m->part.total)
            return true;
        else {
            r->parts = TAKE_PTR(m->peer);
            r->parts_total = m->part.total;
        }
        return false;
    }
    if (!whole || whole->hub != part->hub || !public_key_equal(&whole->key, &part->key) ||
        whole->allowed_count != m->part.offset || r->parts_total != m->part.total) {
        give_up(r, "a part of a peer record that does not fit");
        return false;
    }
    struct ip_prefix *grown = reallocarray(
        whole->allowed, (size_t)whole->allowed_count + part->allowed_count, sizeof(*grown));
    if (!grown) {
        give_up(r, "no memory");
        return false;
    }
    memcpy(grown + whole->allowed_count, part->allowed, part->allowed_count * sizeof(*grown));
    whole->allowed = grown;
    whole->allowed_count += part->allowed_count;
    if (whole->allowed_count < r->parts_total)
        return false;
    peer_free(part);
    m->peer = TAKE_PTR(r->parts);
    return true;
}

static void on_entry(struct replica *r, struct sync_msg *m, uint64_t now_ns)
{
    bool whole = true;

    if (m->position != r->heard + 1) {
        give_up(r, "a gap in the log");
        return;
    }
    if (r->parts && m->kind != SYNC_PEER) {
        give_up(r, "an entry between the parts of a peer record");
        return;
    }
    if (m->kind == SYNC_PEER)
        whole = join_parts(r, m);
    if (m->kind == SYNC_SESSION) {
        /* T1: until a round trip was measured, no record is older than the connection. */
        uint64_t way = r->rtt_ns ? r->rtt_ns : now_ns - r->connected_ns;

        m->session.age_hi_ns += MIN(way, UINT64_MAX - m->session.age_hi_ns);
    }
    if (m->kind == SYNC_SNAPSHOT_END) {
        if (r->ended) {
            give_up(r, "a second end of the snapshot");
            return;
        }
        r->ended = true;
    }
    if (r->closing)
        return;
    if (whole)
        r->ops.message(r->ops.ctx, r->member, m);
    r->heard = m->position;
    look_live(r);
    if (talking(r) && r->heard - r->told >= ACK_EVERY)
        send_ack(r);
}

void replica_receive(struct replica *r, const uint8_t *msg, size_t len, uint64_t now_ns)
{
    struct sync_msg m;
    int e;

    if (r->state == REPLICA_DOWN || r->closing)
        return;
    e = codec_decode(msg, len, r->key, &m);
    if (e < 0) {
        give_up(r, e == -EPROTO         ? "a message of an unknown kind"
                   : e == -EKEYREJECTED ? "sealed keys that do not open"
                   : e == -ENOMEM       ? "no memory"
                                        : "a malformed message");
        return;
    }
    r->silent_since_ns = now_ns;
    if (m.kind == SYNC_HELLO)
        on_hello(r, &m.hello, now_ns);
    else if (r->state == REPLICA_GREETING)
        give_up(r, "no hello at the beginning");
    else if (m.kind == SYNC_HEARTBEAT)
        on_heartbeat(r, &m.heartbeat, now_ns);
    else if (m.kind == SYNC_ACK)
        on_ack(r, m.ack.position, now_ns);
    else
        on_entry(r, &m, now_ns);
    sync_msg_clear(&m);
}

/* ---- connection and time ---- */

static void forget_connection(struct replica *r)
{
    r->key = NULL;
    r->greeted = r->ended = false;
    r->sent = r->acked = r->heard = r->told = 0;
    r->token_first = r->token_count = 0;
    r->cursor = r->end_position = 0;
    r->heartbeat_seq = r->first_sent_ns = r->last_sent_ns = 0;
    r->their_boot_ns = r->their_boot_at_ns = 0;
    r->probe_position = r->rtt_ns = r->good_ns = 0;
    peer_free(TAKE_PTR(r->parts));
}

void replica_connected(struct replica *r, const struct codec_key *key, uint64_t now_ns)
{
    struct sync_msg m = {.kind = SYNC_HELLO};

    if (r->state != REPLICA_DOWN)
        replica_disconnected(r);
    forget_connection(r);
    r->closing = false;
    fsm_move(replica_fsm, &r->state, REPLICA_GREETING);
    r->key = key;
    r->connected_ns = r->silent_since_ns = r->last_tick_ns = now_ns;
    r->ops.fill_hello(r->ops.ctx, r->member, &m.hello);
    transmit(r, &m);
}

void replica_disconnected(struct replica *r)
{
    bool greeted = r->greeted;

    if (r->state == REPLICA_DOWN)
        return;
    fsm_move(replica_fsm, &r->state, REPLICA_DOWN);
    forget_connection(r);
    if (greeted)
        r->ops.down(r->ops.ctx, r->member);
}

static bool died(struct replica *r, uint64_t now_ns)
{
    /* What we slept through is not their silence: their frames are still in our socket. */
    if (now_ns - r->last_tick_ns >= OWN_GAP_NS)
        r->silent_since_ns = MIN(now_ns, r->silent_since_ns + (now_ns - r->last_tick_ns));
    r->last_tick_ns = now_ns;
    return now_ns - r->silent_since_ns >= REPLICA_DEAD_NS;
}

void replica_beat(struct replica *r, uint64_t now_ns)
{
    if (talking(r))
        send_heartbeat(r, now_ns);
}

void replica_flush(struct replica *r, uint64_t now_ns)
{
    if (!talking(r))
        return;
    send_ack(r);
    if (now_ns >= r->heartbeat_at_ns) {
        r->heartbeat_at_ns = now_ns + r->heartbeat_ns;
        send_heartbeat(r, now_ns);
    }
}

uint64_t replica_tick(struct replica *r, uint64_t now_ns)
{
    uint64_t next;

    if (r->state == REPLICA_DOWN || r->closing)
        return UINT64_MAX;
    if (died(r, now_ns)) {
        give_up(r, "no frame from it for a second");
        return UINT64_MAX;
    }
    /* Often enough to notice that we slept ourselves. */
    next = MIN(r->silent_since_ns + REPLICA_DEAD_NS, now_ns + HEARTBEAT_NS);
    if (r->state == REPLICA_GREETING)
        return next;
    replica_flush(r, now_ns);
    next = MIN(next, r->heartbeat_at_ns);
    if (!r->end_position) {
        if (now_ns >= r->snapshot_at_ns)
            send_snapshot(r, now_ns);
        if (!r->end_position)
            next = MIN(next, r->snapshot_at_ns);
    }
    return r->closing ? UINT64_MAX : next;
}

/* ---- looking ---- */

enum replica_state replica_state(const struct replica *r)
{
    return (enum replica_state)r->state;
}

bool replica_in_sync(const struct replica *r, uint64_t now_ns)
{
    return r->state == REPLICA_LIVE && !r->closing && r->good_ns &&
           now_ns - r->good_ns < ROUND_TRIP_LASTS_NS;
}

bool replica_has_all_of_us(const struct replica *r)
{
    return r->end_position && r->acked >= r->end_position;
}

uint64_t replica_rtt_ns(const struct replica *r)
{
    return r->rtt_ns;
}

uint64_t replica_lag(const struct replica *r)
{
    return r->sent - r->acked;
}
