/* wg/aead.h - bulk ChaCha20-Poly1305 of data packets: one seal/open interface, batch-shaped, so
 * that a faster one is one file. libgcrypt, and for batches our own lanes where the CPU has them.
 *
 * Owner:   one context per worker; it is re-keyed when the key changes (K1).
 * Threads: the context's own. Never: allocates after aead_new(). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AEAD_TAG_LEN 16

struct aead;

struct aead_op {
    uint64_t counter; /* nonce = 4 zero bytes | counter le64 (RFC 8439 with WireGuard's nonce) */
    const uint8_t *src;
    uint8_t *dst; /* may be src */
    size_t len;   /* plaintext bytes, without the tag */
    bool ok;      /* open: authentic */
};

struct aead *aead_new(void);
void aead_free(struct aead *a);              /* wipes */
const char *aead_name(const struct aead *a); /* of what does batches here */
/* dst gets len bytes and the tag. */
void aead_seal(struct aead *a, const uint8_t key[32], struct aead_op *ops, unsigned n);
/* src holds len bytes and the tag; dst gets len bytes. Returns the number of ok ones. */
unsigned aead_open(struct aead *a, const uint8_t key[32], struct aead_op *ops, unsigned n);
