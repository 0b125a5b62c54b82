#include "base/bytes.h"
#include <assert.h>
#include <sodium.h>

bool hex_decode(const char *text, size_t text_len, uint8_t *ret, size_t len)
{
    size_t n;
    const char *end;

    if (len > SIZE_MAX / 2 || text_len != 2 * len)
        return false;
    /* Two passes, so that @ret is untouched by bad input; neither branches on a digit's value
     * but to refuse the text, since private keys come this way. */
    unsigned bad = 0;
    for (size_t i = 0; i < text_len; i++) {
        unsigned c = (unsigned char)text[i];
        unsigned digit = (c - '0') <= 9u, letter = ((c | 32u) - 'a') <= 5u;

        bad |= (digit | letter) ^ 1u;
    }
    if (bad)
        return false;
    return sodium_hex2bin(ret, len, text, text_len, NULL, &n, &end) == 0 && n == len;
}

void hex_encode(const uint8_t *p, size_t len, char *ret)
{
    sodium_bin2hex(ret, 2 * len + 1, p, len);
}

bool base64_decode(const char *text, int variant, uint8_t *ret, size_t len)
{
    char again[BASE64_TEXT_MAX];
    uint8_t bytes[BASE64_LEN_MAX];
    size_t got = 0, text_len = strnlen(text, sizeof(again));

    assert(len <= sizeof(bytes));
    bool ok = text_len < sizeof(again) &&
              sodium_base642bin(bytes, len, text, text_len, NULL, &got, NULL, variant) == 0 &&
              got == len;

    if (ok) { /* libsodium 1.0.18 also takes some bytes above 127 */
        sodium_bin2base64(again, sizeof(again), bytes, len, variant);
        ok = strlen(again) == text_len && sodium_memcmp(again, text, text_len) == 0;
    }
    if (ok)
        memcpy(ret, bytes, len);
    sodium_memzero(bytes, sizeof(bytes));
    sodium_memzero(again, sizeof(again));
    return ok;
}

bool key_from_base64(const char *text, uint8_t ret[32])
{
    return base64_decode(text, sodium_base64_VARIANT_ORIGINAL, ret, 32);
}

void key_to_base64(const uint8_t key[32], char ret[KEY_TEXT_LEN + 1])
{
    sodium_bin2base64(ret, KEY_TEXT_LEN + 1, key, 32, sodium_base64_VARIANT_ORIGINAL);
}

bool parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
    uint64_t v = 0;

    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(*text - '0'), &v))
            return false;
    }
    if (v < min || v > max)
        return false;
    *ret = v;
    return true;
}
