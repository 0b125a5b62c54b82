/* proto/codec.h - sync messages to protobuf and back. The only code that sees *.pb-c.h.
 *
 * Owner:   none. Threads: any.
 * Never:   allocates without a bound: protobuf-c unpacks through a bounded, wiping allocator
 *          (K1, S6); counts and lengths are checked before use. Unknown fields are skipped. */
#pragma once
#include "base/rng.h"
#include "proto/msg.h"

/* Seals session and preshared keys on their way (S5): XChaCha20-Poly1305, random 24-byte nonce,
 * the record's name as associated data. One key a direction: what one member sends with is what its
 * sibling receives with. Just an arena slot's size. */
struct codec_key {
    uint8_t send[32], recv[32];
};

/* Length written. -EINVAL: a message that no reader would take; -EMSGSIZE: @room is too small
 * (SYNC_FRAME_MAX always suffices).
 * SYNC_PEER: the part that begins at m->part.offset, of m->peer, the whole record. Parts begin at
 * multiples of SYNC_PART_PREFIXES below allowed_count; there is always one at 0. */
int codec_encode(const struct sync_msg *m, const struct codec_key *key, const struct rng *rng,
                 uint8_t *buf, size_t room);
/* -EBADMSG: malformed; -EPROTO: unknown kind; -EKEYREJECTED: sealed keys do not open; -ENOMEM.
 * SYNC_PEER: *ret->peer has the prefixes of this part only; ret->part tells which. */
int codec_decode(const uint8_t *buf, size_t len, const struct codec_key *key, struct sync_msg *ret);
