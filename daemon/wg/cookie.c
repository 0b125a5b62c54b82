#include "wg/cookie.h"
#include "base/bytes.h"
#include "base/rng.h"
#include "base/secret.h"
#include "noise/noise.h"

#define EPOCH_NS (120 * NS_PER_S)

void cookie_make(const struct cookie_secret *s, uint64_t real_ns, int shift,
                 const struct endpoint *source, uint8_t ret[16])
{
    uint8_t epoch[8], secret[32], where[18];

    store_le64(epoch, real_ns / EPOCH_NS + (uint64_t)(int64_t)shift);
    blake2s(secret, sizeof(secret), s->key, sizeof(s->key), epoch, sizeof(epoch));
    memcpy(where, source->addr.b, 16);
    store_be16(where + 16, source->port);
    blake2s(ret, 16, secret, sizeof(secret), where, sizeof(where));
    secret_wipe(secret, sizeof(secret));
}

static const struct message_macs *macs_of(const uint8_t *message, unsigned len)
{
    return (const struct message_macs *)(message + len - sizeof(struct message_macs));
}

bool cookie_mac2_ok(const struct cookie_secret *s, uint64_t real_ns, const struct endpoint *source,
                    const uint8_t *message, unsigned len)
{
    const struct message_macs *macs = macs_of(message, len);
    unsigned covered = len - (unsigned)sizeof(macs->mac2);
    bool ok = false;

    for (int shift = -1; shift <= 1; shift++) {
        uint8_t cookie[16], mac[16];

        cookie_make(s, real_ns, shift, source, cookie);
        blake2s(mac, sizeof(mac), cookie, sizeof(cookie), message, covered);
        ok |= secret_equal(mac, macs->mac2, sizeof(mac));
        secret_wipe(cookie, sizeof(cookie));
    }
    return ok;
}

void cookie_reply(const struct cookie_secret *s, uint64_t real_ns, const struct endpoint *source,
                  const uint8_t *message, unsigned len, const uint8_t cookie_key[32],
                  const struct rng *rng, struct message_cookie *ret)
{
    uint8_t cookie[16];

    store_le32(ret->type, MESSAGE_COOKIE);
    memcpy(ret->receiver, message + 4, sizeof(ret->receiver)); /* sender index of types 1 and 2 */
    rng_fill(rng, ret->nonce, sizeof(ret->nonce));
    cookie_make(s, real_ns, 0, source, cookie);
    xchachapoly_seal(ret->encrypted_cookie, cookie, sizeof(cookie), macs_of(message, len)->mac1, 16,
                     ret->nonce, cookie_key);
    secret_wipe(cookie, sizeof(cookie));
}

bool cookie_open(const struct message_cookie *m, const uint8_t mac1[16],
                 const uint8_t cookie_key[32], uint8_t ret[16])
{
    uint8_t cookie[16];

    if (!xchachapoly_open(cookie, m->encrypted_cookie, sizeof(m->encrypted_cookie), mac1, 16,
                          m->nonce, cookie_key))
        return false;
    memcpy(ret, cookie, sizeof(cookie));
    return true;
}
