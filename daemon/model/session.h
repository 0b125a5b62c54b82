/* model/session.h - what replicates of a session: the key record of S8, as plain data.
 *
 * Ages, never times, cross between members (T1). Keys travel sealed (S5); in this struct they are
 * open and live in an arena slot that the struct's user wipes. */
#pragma once
#include "model/endpoint.h"
#include "model/ids.h"

#define TAI64N_LEN 12

#define REPLAY_TAIL_WORDS 17 /* 1024 counters, and the word that is being filled */

/* What travels of a receive window when its key is handed over (R11): 64 counters a word, the one
 * with the highest first, as far back as something was not seen. */
struct replay_tail {
    uint64_t known_from; /* of what came below it nothing is known: all of it counts as seen */
    unsigned words;
    uint64_t word[REPLAY_TAIL_WORDS];
};

enum session_slot { SLOT_CURRENT, SLOT_PREVIOUS, SLOT_NEXT };

/* Which endpoint report is newer (E1): key generation first, then receive counter. */
struct endpoint_version {
    uint64_t generation; /* of the peer's keys: max + 1 when a keypair is made */
    uint64_t counter;    /* receive counter of the packet that moved it */
};

struct session_keys {
    uint8_t send[32], recv[32]; /* as the hub sends and receives */
};

struct session {
    struct key_id id;
    struct public_key peer;
    struct session_keys *keys; /* arena slot */
    uint32_t local_index, remote_index;
    bool hub_initiated; /* role of the hub in the handshake (T2) */
    enum session_slot slot;
    bool confirmed; /* an unconfirmed `next` is adopted as such (T4) */
    uint64_t age_lo_ns, age_hi_ns;
    uint64_t generation;            /* E1 */
    uint8_t peer_stamp[TAI64N_LEN]; /* highest accepted from the peer (H2) */
    uint64_t limit;                 /* L: receive ceiling */
    uint64_t top;                   /* highest authenticated receive counter, +1; 0: none */
    uint16_t term;                  /* highest term known of the send counter */
    uint16_t vip;
    struct endpoint endpoint;
    struct endpoint_version endpoint_version;
    bool dirty;  /* the receiver of this record may not adopt it (R7) */
    bool active; /* carried data within the last 30 s (T6) */
};
