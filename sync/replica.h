/* sync/replica.h - one sibling: hello, snapshot, ordered log, acks, heartbeats. Pure.
 *
 * Owner:   the node, one per sibling. Threads: main. Never: reads a clock, touches a socket.
 *
 *   DOWN --connected--> GREETING --hellos agree--> LOADING --both snapshots ended--> LIVE
 *
 * Data flows one way: node -> replica_send() -> ops.transmit -> channel; and
 * channel -> replica_receive() -> ops.message / ops.acked -> node. */
#pragma once
#include "base/rng.h"
#include "proto/codec.h"
#include "proto/msg.h"

#define HEARTBEAT_NS (100 * 1000000ull)     /* T_HB, at most */
#define REPLICA_DEAD_NS (1000 * 1000000ull) /* no frame for so long: the link is given up */
#define REPLICA_QUEUE_MAX (8u << 20)        /* bytes handed to the transport and not yet sent */
#define REPLICA_PENDING_MAX 262144u         /* log entries, or tokens of them, not yet acked */

enum replica_state { REPLICA_DOWN, REPLICA_GREETING, REPLICA_LOADING, REPLICA_LIVE };

/* What an entry was, told back when it is acked. */
struct replica_token {
    unsigned kind; /* the node's */
    uint64_t a, b;
};

struct replica;

struct replica_ops {
    void *ctx;
    /* Give one encoded message to the channel (it becomes one frame). */
    void (*transmit)(void *ctx, uint8_t member, const uint8_t *msg, size_t len);
    /* Bytes that the channel still has queued: snapshots wait while it is high. */
    size_t (*queued)(void *ctx, uint8_t member);
    void (*close)(void *ctx, uint8_t member, const char *reason);
    /* HELLOs agree. Return false to refuse (epoch, N14 conflict), with a reason. */
    bool (*greeted)(void *ctx, uint8_t member, const struct sync_hello *theirs,
                    const char **ret_reason);
    void (*down)(void *ctx, uint8_t member);
    /* A log entry of theirs, SNAPSHOT_END included; it is acked after this returned, so what the
     * node sends inside is on the wire before the ack (R8). The message is cleared afterwards;
     * take what is kept. Ages of sessions have the way here added (T1), peers are whole. */
    void (*message)(void *ctx, uint8_t member, struct sync_msg *m);
    void (*heartbeat)(void *ctx, uint8_t member, const struct sync_heartbeat *hb, uint64_t rtt_ns);
    void (*acked)(void *ctx, uint8_t member, const struct replica_token *t);
    void (*fill_hello)(void *ctx, uint8_t member, struct sync_hello *ret);
    void (*fill_heartbeat)(void *ctx, uint8_t member, struct sync_heartbeat *ret);
    /* The next record of the snapshot for this sibling; @cursor starts at 0 and is the node's to
     * use. What *ret owns is the replica's from then on. False: nothing left. */
    bool (*snapshot_next)(void *ctx, uint8_t member, uint64_t *cursor, struct sync_msg *ret,
                          struct replica_token *ret_token);
};

/* @heartbeat_ns: one goes out after so long, HEARTBEAT_NS at most. */
struct replica *replica_new(uint8_t self, uint8_t member, uint64_t heartbeat_ns,
                            const struct rng *rng, const struct replica_ops *ops);
void replica_free(struct replica *r);

/* The channel is up; @key seals session keys both ways (S5). It is not copied: it stays valid until
 * replica_disconnected(), and the channel changes it in place with each new handshake (S3). */
void replica_connected(struct replica *r, const struct codec_key *key, uint64_t now_ns);
void replica_disconnected(struct replica *r);
void replica_receive(struct replica *r, const uint8_t *msg, size_t len, uint64_t now_ns);

/* Append to the log and transmit. 0: refused, not connected (GREETING or DOWN) or the queue is
 * full (then the link is closed: a sibling that cannot keep up starts again with a snapshot).
 * Else the entry's position; @token (may be NULL) comes back by ops.acked. */
uint64_t replica_send(struct replica *r, const struct sync_msg *m,
                      const struct replica_token *token, uint64_t now_ns);
/* The same for an entry that is acked as @count things. */
uint64_t replica_send_many(struct replica *r, const struct sync_msg *m,
                           const struct replica_token *tokens, unsigned count, uint64_t now_ns);

/* Heartbeats, snapshot batches, batched acks, death. Returns when it wants to be called next. */
uint64_t replica_tick(struct replica *r, uint64_t now_ns);
/* What a heartbeat says has changed: one more, now. */
void replica_beat(struct replica *r, uint64_t now_ns);
/* End of an event-loop turn: send a batched ack if one is due at once. */
void replica_flush(struct replica *r, uint64_t now_ns);

enum replica_state replica_state(const struct replica *r);
bool replica_in_sync(const struct replica *r, uint64_t now_ns); /* O3: both snapshots ended, an ack
                                                        round trip < T_HOLD in the last second */
bool replica_has_all_of_us(const struct replica *r); /* our snapshot was acked to its end */
uint64_t replica_rtt_ns(const struct replica *r);    /* rises at once, falls slowly; 0: not known */
uint64_t replica_lag(const struct replica *r);       /* log entries sent and not acked */
