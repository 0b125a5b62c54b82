/* noise/noise.h - Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s (Noise revision 34), and the primitives
 * under it. Shared by the WireGuard handshake (wg/) and the sync channel (sync/), which differ in
 * protocol name, prologue, payloads and psk only.
 *
 * Owner:   the caller; secrets inside, so noise_clear() when done.
 * Threads: any; nothing shared.
 * Never:   allocates, reads a clock; randomness comes in. */
#pragma once
#include "base/rng.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NOISE_KEY_LEN 32
#define NOISE_HASH_LEN 32
#define NOISE_TAG_LEN 16

/* Once per process, before anything else here (libsodium and libgcrypt start-up). */
int noise_init(void);

/* RFC 7693; @key may be NULL. @out_len 1..32. */
void blake2s(uint8_t *ret, size_t out_len, const void *key, size_t key_len, const void *in,
             size_t in_len);
/* BLAKE2s of two concatenated pieces. */
void blake2s_2(uint8_t ret[32], const void *a, size_t a_len, const void *b, size_t b_len);
void hmac_blake2s(uint8_t ret[32], const void *key, size_t key_len, const void *in, size_t in_len);
/* HKDF of the Noise specification, section 4.3; @ret2, @ret3 may be NULL. */
void noise_hkdf(const uint8_t ck[32], const void *in, size_t in_len, uint8_t ret1[32],
                uint8_t *ret2, uint8_t *ret3);

void x25519_clamp(uint8_t private_key[32]);
void x25519_public(uint8_t ret[32], const uint8_t private_key[32]);
/* False: the result is all zero (small-order point); then nothing may be made of it. */
bool x25519(uint8_t ret[32], const uint8_t private_key[32], const uint8_t public_key[32]);
/* Several multiplications, any number of them: together they cost hardly more than one where the
 * CPU has lanes for them (ADR 0021). No result is another one's key. */
struct x25519_job {
    uint8_t *ret; /* 32 bytes */
    const uint8_t *private_key;
    const uint8_t *public_key; /* NULL: the base point; what is made is a public key */
    bool ok;                   /* what x25519() would have returned */
};
void x25519_batch(struct x25519_job *const *jobs, unsigned n);
/* A fresh clamped private key and its public key. */
void x25519_keygen(const struct rng *rng, uint8_t ret_private[32], uint8_t ret_public[32]);

/* RFC 8439 AEAD, nonce = 4 zero bytes | counter le64. @dst may be @src. @dst gets len + 16. */
void chachapoly_seal(uint8_t *dst, const void *src, size_t len, const void *ad, size_t ad_len,
                     uint64_t counter, const uint8_t key[32]);
/* @len includes the tag; @dst gets len - 16. False: not authentic, @dst is not to be used. */
bool chachapoly_open(uint8_t *dst, const void *src, size_t len, const void *ad, size_t ad_len,
                     uint64_t counter, const uint8_t key[32]);
/* XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03), 24-byte nonce. */
void xchachapoly_seal(uint8_t *dst, const void *src, size_t len, const void *ad, size_t ad_len,
                      const uint8_t nonce[24], const uint8_t key[32]);
bool xchachapoly_open(uint8_t *dst, const void *src, size_t len, const void *ad, size_t ad_len,
                      const uint8_t nonce[24], const uint8_t key[32]);

/* Symmetric state of Noise section 5.2, with the key of the last mix. */
struct noise {
    uint8_t ck[NOISE_HASH_LEN], h[NOISE_HASH_LEN], k[NOISE_KEY_LEN];
};

/* h = HASH(protocol name) (or the name itself when <= 32 bytes), ck = h, then mix the prologue. */
void noise_start(struct noise *n, const void *protocol_name, size_t name_len, const void *prologue,
                 size_t prologue_len);
void noise_clear(struct noise *n);
void noise_mix_hash(struct noise *n, const void *data, size_t len);
void noise_mix_key(struct noise *n, const void *in, size_t len); /* MixKey: sets ck, k */
bool noise_mix_dh(struct noise *n, const uint8_t private_key[32], const uint8_t public_key[32]);
/* The same where another mix follows before anything is encrypted: ck alone, a third less hashing;
 * k is what it was. */
void noise_mix_chain(struct noise *n, const void *in, size_t len);
void noise_mix_psk(struct noise *n, const uint8_t psk[32]); /* MixKeyAndHash */
/* EncryptAndHash / DecryptAndHash under the last k with nonce 0 (each k serves once in IKpsk2). */
void noise_encrypt(struct noise *n, uint8_t *dst, const void *src, size_t len); /* len + 16 */
bool noise_decrypt(struct noise *n, uint8_t *dst, const void *src, size_t len); /* len - 16 */
/* Split(): transport keys, initiator's sending key first. */
void noise_split(const struct noise *n, uint8_t ret_initiator[32], uint8_t ret_responder[32]);
