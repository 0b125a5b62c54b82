/* sync/channel.h - the encrypted channel between two members (S1-S6). Pure.
 *
 * Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s over a byte stream. Of a pair, the member with the higher
 * id dials the one with the lower id, so there is one connection a pair and one initiator (it also
 * starts the new handshake every CHANNEL_REKEY_NS).
 *
 *   prologue  "hub-sync 1" | length of the cluster's name (1) | name | membership epoch (be64)
 *   psk       HMAC-BLAKE2s(K_cluster, "hub-sync psk" | lower id | higher id)
 *   record    type (1) | length of the body (be24) | sequence (be32) | body
 *   body      a handshake message in the clear, or ciphertext | tag: ChaCha20-Poly1305, nonce =
 *             sequence, associated data = the 8 bytes before it
 *
 *   initiator                          responder
 *   HELLO1  ------- e, es, s, ss ---->
 *           <------ e, ee, se, psk --- HELLO2
 *   CONFIRM ------------------------->             now up: message 1 was no replay (S2)
 *           <------------------------- CONFIRM     now up
 *   FRAME   <------------------------> FRAME
 *   REKEY1  ------- message 1 -------> (all of a rekey is inside the old keys' records)
 *           <------ message 2 -------- REKEY2      the last record under its old sending key
 *   SWITCH  ------------------------->             the last record under its old sending key
 *
 * Owner:   link, one per connection. Threads: main.
 * Never:   touches a socket, reads a clock, keeps a key outside the arena (K1) beyond one call. */
#pragma once
#include "base/rng.h"
#include "base/secret.h"
#include "model/ids.h"
#include "proto/codec.h"

#define CHANNEL_NAME_MAX 63                      /* of the cluster */
#define CHANNEL_HANDSHAKE_NS (3000 * 1000000ull) /* from the start to up */
#define CHANNEL_REKEY_NS (110 * 1000000000ull)   /* S3: begun so early that 120 s ... */
#define CHANNEL_REKEY_RECORDS (1u << 19)         /* ... and 2^20 records are not reached, */
#define CHANNEL_KEY_NS (120 * 1000000000ull)     /* where the channel is given up */
#define CHANNEL_KEY_RECORDS (1u << 20)

/* What this member knows; shared by its channels. */
struct channel_identity {
    uint8_t self;
    char cluster[CHANNEL_NAME_MAX + 1];
    uint64_t membership_epoch;
    const struct secret32 *cluster_key, *private_key; /* arena slots of the configuration */
    struct {
        bool known;
        uint8_t public_key[32];
    } member[MEMBERS_MAX]; /* siblings; own entry is not used */
};

struct channel_ops {
    void *ctx;
    /* Room for @len bytes at the end of what goes out. They are filled before anything else is
     * called. NULL: none; the channel fails. */
    uint8_t *(*reserve)(void *ctx, size_t len);
    /* Both directions are confirmed (S2): @member is who it says it is. @key seals keys inside
     * frames (S5): it is in the arena, stays valid until channel_free(), and changes in place with
     * each new handshake, at the same frame on both sides. */
    void (*up)(void *ctx, uint8_t member, const struct codec_key *key);
    void (*frame)(void *ctx, const uint8_t *msg, size_t len);
    /* Once; nothing else is called after it. Do not free the channel inside. */
    void (*failed)(void *ctx, const char *reason);
};

struct channel;

/* @id outlives the channel. NULL: no memory. */
struct channel *channel_new(const struct channel_identity *id, const struct channel_ops *ops,
                            const struct rng *rng, uint64_t now_ns);
void channel_free(struct channel *c); /* wipes; NULL is fine */

/* Initiator: begin, towards @member. Without it the channel is the responder's end. */
void channel_start(struct channel *c, uint8_t member, uint64_t now_ns);
void channel_input(struct channel *c, const uint8_t *bytes, size_t len, uint64_t now_ns);
/* One frame, 1..SYNC_FRAME_MAX bytes; it is sealed at once. False: not up. */
bool channel_send(struct channel *c, const uint8_t *msg, size_t len);
/* Timeouts and the next handshake. Returns when it wants to be called again; UINT64_MAX: never. */
uint64_t channel_tick(struct channel *c, uint64_t now_ns);

bool channel_is_up(const struct channel *c);
unsigned channel_handshakes(const struct channel *c); /* completed on this connection */
