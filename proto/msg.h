/* proto/msg.h - what members tell each other, as plain structs; proto/codec turns them into
 * protobuf and back.
 *
 * Every message but HELLO, HEARTBEAT and ACK is an entry of the sender's ordered log towards this
 * sibling: it has a position (1, 2, ...), and acks are cumulative positions (R3). Positions start
 * anew with each connection.
 * Keys: SESSION carries session_keys in an arena slot; whoever takes a decoded message frees it
 * with sync_msg_clear(). On the wire they are sealed once more (S5). */
#pragma once
#include "model/peer.h"
#include "model/session.h"
#include "model/vector.h"
#include "model/vip.h"

#define SYNC_VERSION_MIN 1
#define SYNC_VERSION_MAX 1
#define SYNC_FEATURE_VECTOR 1ull /* in hello.features: takes SYNC_VECTOR */
#define SYNC_FEATURE_DRILL 2ull  /* ... SYNC_DRILL */
#define SYNC_FEATURE_ASK 4ull    /* ... SYNC_ASK */
#define SYNC_FEATURE_LIMITS 8ull /* ... SYNC_LIMITS */
#define SYNC_FRAME_MAX 65536
#define SYNC_DIGEST_LEN 16
#define SYNC_SEQ_MAX (1ull << 61)     /* of a member's operations: milliseconds, with room */
#define SYNC_TERM_MAX 4095            /* of a send counter */
#define SYNC_COUNTER_MAX (1ull << 61) /* no ceiling or top comes near: counters stay below 2^60 */
#define SYNC_LIMITS_MAX 256           /* in one message */
#define SYNC_PREFIXES_MAX 131072      /* allowed prefixes of one peer */
#define SYNC_PART_PREFIXES 3000       /* of them in one frame */

enum sync_kind {
    SYNC_HELLO,        /* first on a connection, both ways */
    SYNC_HEARTBEAT,    /* every T_HB */
    SYNC_ACK,          /* cumulative */
    SYNC_SESSION,      /* a key record: new, or its slot/confirmation/VIP changed */
    SYNC_SESSION_GONE, /* wiped or superseded: wipe it too */
    SYNC_LIMIT,        /* receive ceiling of a key: raise or lower (R3, R5) */
    SYNC_ADOPTED,      /* I own this key from now on (R10) */
    SYNC_RELEASED,     /* I stop owning it: last counters (R11's final state) */
    SYNC_ENDPOINT,     /* a peer moved (E2) */
    SYNC_STAMP,        /* handshake stamps of a peer (H2, H5) */
    SYNC_PEER,         /* a peer record of the store */
    SYNC_CLAIM,        /* "VIP v is mine from epoch e on" or no longer (O9, O5) */
    SYNC_DIRTY,        /* you may not adopt this key (R7); clean: you may again */
    SYNC_VECTOR,       /* what of the peers is known here, or now known there (P12) */
    SYNC_SNAPSHOT_END, /* everything that existed when the connection began has been sent */
    SYNC_MOVE,         /* an operator wants a VIP elsewhere */
    SYNC_STRAY,        /* a packet for a peer whose VIP the sender has just handed over */
    SYNC_DRILL,        /* an operator's drill: probes, faults */
    SYNC_ASK,          /* give me this key: its peer talks to a VIP of mine (O10) */
    SYNC_LIMITS,       /* SYNC_LIMIT of several keys: a batch of raises (R3) */
    SYNC_KINDS,
};

struct sync_hello {
    uint32_t version_min, version_max;
    uint64_t features; /* SYNC_FEATURE_* */
    uint8_t member;
    uint64_t seq; /* durable start counter (N5), 64 bits */
    uint8_t rnd;
    uint8_t instance[16];        /* 128 random bits of this process (N14) */
    uint64_t membership_epoch;   /* M1 */
    uint64_t highest_seq_of_you; /* highest start counter that we have seen of the receiver (N5) */
    uint8_t seen_instance[16];   /* whose life that was */
    uint64_t session_seq;        /* our session sequence now (N6: what is newer was made after) */
    uint64_t stamp_floor;        /* F of H5, UTC ns */
    uint16_t term_on_vip[VIPS_MAX]; /* highest term emitted per VIP slot's id, see vip_id (O5) */
    uint16_t vip_id[VIPS_MAX];
    unsigned vip_count;
    struct vector vector; /* what of the peers the sender has (P12) */
};

struct sync_heartbeat {
    uint64_t seq;
    uint64_t sent_boot_ns;           /* sender's clock, echoed back */
    uint64_t echo_boot_ns;           /* last sent_boot_ns of the receiver, 0: none */
    uint64_t echo_held_ns;           /* how long ago that arrived */
    uint64_t real_ns;                /* H6 */
    uint64_t stamp_floor;            /* F */
    uint32_t lans_known, lans_alive; /* bit n: LAN n of the configuration (O3) */
    bool in_sync;                    /* sender has everything of the receiver */
    bool ready;                      /* engine fit: could serve */
    bool drained;                    /* gives its VIPs to whoever is fit */
    uint32_t every_ms;               /* the next one is due after so long; 0: not told */
};

struct sync_ack {
    uint64_t position;
};

struct sync_limit {
    struct key_id id;
    uint64_t limit; /* L */
    uint64_t top;
    uint32_t seq; /* of raises of this key; an older one is void (R5) */
    bool lower;
    bool active; /* carried data within the last 30 s (T6) */
};

struct sync_limits {
    const struct sync_limit *all; /* of a decoded message: the message's own, sync_msg_clear() */
    unsigned count;
};

struct sync_adopted {
    struct key_id id;
    uint16_t term;
    uint64_t limit; /* where the adopter's receiving begins */
    uint16_t vip;   /* 0: as the receiver knows it */
};

struct sync_ask {
    struct key_id id;
    uint16_t vip;
    uint64_t counter; /* of the packet that reached the VIP */
    bool refused;     /* the answer: it was accepted before */
};

struct sync_released {
    struct key_id id;
    uint64_t top; /* nothing at or above it was accepted by the sender */
    uint16_t term;
    bool active;
    struct replay_tail tail;
};

struct sync_endpoint {
    uint8_t hub;
    struct public_key peer;
    struct endpoint endpoint;
    struct endpoint_version version;
    uint16_t vip;     /* id */
    uint64_t idle_ms; /* since its last packet; UINT64_MAX: there was none */
};

struct sync_stamp {
    uint8_t hub;
    struct public_key peer;
    uint8_t received[TAI64N_LEN]; /* highest accepted from the peer */
    uint64_t sent_real_ns;        /* last stamp that any member sent to it; 0: none */
    uint64_t generation;          /* of its newest key (E1); 0: not told */
};

struct sync_claim {
    uint16_t vip; /* id */
    uint64_t epoch;
    uint8_t member;
    bool held;     /* false: released */
    uint16_t term; /* highest emitted on it (O5) */
    uint8_t hub;   /* 0: the one that the VIP belongs to */
    bool leaving;  /* held, but to be handed over (R11) */
};

struct sync_vector {
    struct vector vector;
    bool covers; /* it is the receiver's now, by what came before; else the sender's */
    uint8_t digest[SYNC_DIGEST_LEN]; /* of the sender's records, when it does not cover */
};

struct sync_dirty {
    struct key_id id;
    bool dirty;
};

struct sync_move {
    enum move_kind kind;
    uint16_t vip;   /* id; 0: all */
    uint8_t member; /* who is drained, or promoted */
    bool force;
};

#define SYNC_STRAY_MAX 16384 /* bytes of a packet; longer ones stay where they are */

struct sync_stray {
    uint8_t hub;
    struct public_key peer;
    const uint8_t *packet; /* of a decoded message: the message's own, sync_msg_clear() */
    size_t len;
};

enum sync_drill_kind {
    SYNC_DRILL_PROBE,   /* ask the peers of the VIP while it is yours, and tell me who answers */
    SYNC_DRILL_ANSWERS, /* sync_drill_answer each */
    SYNC_DRILL_FAULT,   /* stop, die or freeze */
    SYNC_DRILL_REFUSED, /* no */
    SYNC_DRILL_KINDS,
};

#define SYNC_DRILL_TAG_LEN 8                           /* the beginning of a public key */
#define SYNC_DRILL_ANSWER_LEN (SYNC_DRILL_TAG_LEN + 4) /* ... and the slot, big endian */
#define SYNC_DRILL_ANSWERS_MAX 1024
#define SYNC_DRILL_MS_MAX 120000
#define SYNC_DRILL_STRIDE_MAX 1000

struct sync_drill {
    enum sync_drill_kind kind;
    uint64_t run;    /* the same in all messages of one measurement */
    uint16_t vip;    /* id */
    uint32_t ms;     /* of the measurement, or of the freeze */
    uint32_t age_ms; /* of SYNC_DRILL_PROBE: it began so long ago */
    uint16_t stride;
    enum drill_fault fault;
    const uint8_t *answers; /* of a decoded message: the message's own, sync_msg_clear() */
    unsigned answer_count;
};

/* A peer record with more than SYNC_PART_PREFIXES allowed prefixes travels in parts: consecutive
 * log entries, the first with all fields, the others with key and more prefixes. replica_send()
 * makes the parts and the other side's replica joins them: users of replica see whole records. */
struct sync_part {
    uint32_t offset; /* prefixes before this part */
    uint32_t total;  /* of the whole record; set by codec_decode() */
};

struct sync_msg {
    enum sync_kind kind;
    uint64_t position;     /* of log entries; 0 for HELLO, HEARTBEAT, ACK */
    struct sync_part part; /* SYNC_PEER only */
    union {
        struct sync_hello hello;
        struct sync_heartbeat heartbeat;
        struct sync_ack ack;
        struct session session;
        struct key_id gone;
        struct sync_limit limit;
        struct sync_limits limits;
        struct sync_adopted adopted;
        struct sync_released released;
        struct sync_endpoint endpoint;
        struct sync_stamp stamp;
        struct peer *peer; /* owned by the message */
        struct sync_claim claim;
        struct sync_dirty dirty;
        struct sync_move move;
        struct sync_stray stray;
        struct sync_ask ask;
        struct sync_vector vector;
        struct sync_drill drill;
    };
    void *owned; /* what a decoded message has allocated beside */
};

void sync_msg_clear(struct sync_msg *m); /* frees and wipes what the message owns */
const char *sync_kind_name(enum sync_kind k);
