/* wg/cookie.h - cookies against floods: secrets, mac2, replies (WireGuard paper 5.4.7, C1-C3).
 *
 * The secret of an epoch comes from a key that all members share, so a cookie of one member is
 * good at its sibling: secret(e) = BLAKE2s(K_cookie, e), e = floor(UTC / 120 s), e-1..e+1 accepted.
 * In plain mode K_cookie is drawn at start. */
#pragma once
#include "model/endpoint.h"
#include "wg/message.h"
#include <stdbool.h>

struct cookie_secret {
    uint8_t key[32]; /* K_cookie */
};

/* The cookie for @source (address and port, C2) in the epoch of @real_ns + @shift epochs. */
void cookie_make(const struct cookie_secret *s, uint64_t real_ns, int shift,
                 const struct endpoint *source, uint8_t ret[16]);
/* mac2 of a message of type 1 or 2 against epochs e-1, e, e+1; constant time per compare. */
bool cookie_mac2_ok(const struct cookie_secret *s, uint64_t real_ns, const struct endpoint *source,
                    const uint8_t *message, unsigned len);
/* The reply to @message; nonce drawn from @rng at this moment (C3). */
struct rng;
void cookie_reply(const struct cookie_secret *s, uint64_t real_ns, const struct endpoint *source,
                  const uint8_t *message, unsigned len, const uint8_t cookie_key[32],
                  const struct rng *rng, struct message_cookie *ret);
/* The cookie inside a reply; @mac1: of our message that it answers; @cookie_key: of the sender. */
bool cookie_open(const struct message_cookie *m, const uint8_t mac1[16],
                 const uint8_t cookie_key[32], uint8_t ret[16]);
