/* wg/aead_lanes.h - ChaCha20-Poly1305 of many packets at once, in the lanes of vector registers:
 * what wg/aead.c takes instead of the library where the machine can (ADR 0006).
 *
 * Owner:   none; no state. Threads: any.
 * Never:   branches or indexes on secret data; releases plaintext that is not authentic.
 *
 * Same contract as aead_seal() and aead_open(); @n up to AEAD_LANES_MAX. */
#pragma once
#include "wg/aead.h"

#define AEAD_LANES_MAX 64

struct aead_lanes {
    const char *name;
    /* Where it is faster than the library, measured (ADR 0006): from so many packets, of at most so
     * many bytes. */
    unsigned packets_min;
    size_t seal_len_max, open_len_max;
    void (*seal)(const uint8_t key[32], struct aead_op *ops, unsigned n);
    unsigned (*open)(const uint8_t key[32], struct aead_op *ops, unsigned n);
};

#ifdef GM_AEAD_LANES
extern const struct aead_lanes aead_avx2, aead_avx512;
#endif
