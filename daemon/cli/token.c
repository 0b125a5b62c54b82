#include "cli/token.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/secret.h"
#include "conf/value.h"
#include <sodium.h>
#include <stdio.h>

#define MARK "gm1_"
#define MARK_LEN (sizeof(MARK) - 1)
#define CHECK_LEN 4
#define BODY_LEN (2 * 18 + 4 + 32 + TOKEN_SECRET_LEN)
#define VARIANT sodium_base64_VARIANT_URLSAFE_NO_PADDING

_Static_assert(MARK_LEN + sodium_base64_ENCODED_LEN(BODY_LEN + CHECK_LEN, VARIANT) <=
                   TOKEN_TEXT_MAX,
               "the text has room");
_Static_assert(BODY_LEN + CHECK_LEN <= BASE64_LEN_MAX, "it can be decoded");

static uint8_t *put_endpoint(uint8_t *p, const struct endpoint *e)
{
    memcpy(p, e->addr.b, 16);
    store_be16(p + 16, e->port);
    return p + 18;
}

/* False: nobody could be reached there. */
static bool get_endpoint(const uint8_t *p, struct endpoint *ret)
{
    *ret = (struct endpoint){.port = load_be16(p + 16)};
    memcpy(ret->addr.b, p, 16);
    return ret->port && value_is_unicast(&ret->addr);
}

static void check_of(const uint8_t body[BODY_LEN], uint8_t ret[CHECK_LEN])
{
    uint8_t hash[crypto_generichash_BYTES_MIN];

    crypto_generichash(hash, sizeof(hash), body, BODY_LEN, NULL, 0);
    memcpy(ret, hash, CHECK_LEN);
}

void token_format(const struct token *t, char ret[TOKEN_TEXT_MAX])
{
    uint8_t bytes[BODY_LEN + CHECK_LEN], *p = bytes;

    p = put_endpoint(p, &t->where);
    p = put_endpoint(p, &t->member);
    store_be32(p, t->ends_s);
    memcpy(p + 4, t->public_key, 32);
    memcpy(p + 36, t->secret, TOKEN_SECRET_LEN);
    check_of(bytes, bytes + BODY_LEN);
    memcpy(ret, MARK, MARK_LEN);
    sodium_bin2base64(ret + MARK_LEN, TOKEN_TEXT_MAX - MARK_LEN, bytes, sizeof(bytes), VARIANT);
    secret_wipe(bytes, sizeof(bytes));
}

int token_parse(const char *text, struct token *ret)
{
    uint8_t bytes[BODY_LEN + CHECK_LEN], check[CHECK_LEN];
    struct token t;
    bool good;

    if (strncmp(text, MARK, 2) == 0 && strncmp(text, MARK, MARK_LEN) != 0)
        return -EPROTONOSUPPORT;
    if (strncmp(text, MARK, MARK_LEN) != 0 ||
        !base64_decode(text + MARK_LEN, VARIANT, bytes, sizeof(bytes)))
        return -EINVAL;
    check_of(bytes, check);
    good = memcmp(check, bytes + BODY_LEN, CHECK_LEN) == 0 && get_endpoint(bytes, &t.where) &&
           get_endpoint(bytes + 18, &t.member);
    t.ends_s = load_be32(bytes + 36);
    memcpy(t.public_key, bytes + 40, 32);
    memcpy(t.secret, bytes + 72, TOKEN_SECRET_LEN);
    if (good)
        *ret = t;
    secret_wipe(bytes, sizeof(bytes));
    secret_wipe(&t, sizeof(t));
    return good ? 0 : -EINVAL;
}
