#include "base/bytes.h"
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

bool key_from_base64(const char *text, uint8_t ret[32])
{
    char again[KEY_TEXT_LEN + 1];
    uint8_t key[32];
    size_t len = 0;
    bool ok = strnlen(text, KEY_TEXT_LEN + 1) == KEY_TEXT_LEN &&
              sodium_base642bin(key, sizeof(key), text, KEY_TEXT_LEN, NULL, &len, NULL,
                                sodium_base64_VARIANT_ORIGINAL) == 0 &&
              len == sizeof(key);

    if (ok) { /* libsodium 1.0.18 also takes some bytes above 127 */
        key_to_base64(key, again);
        ok = sodium_memcmp(again, text, KEY_TEXT_LEN) == 0;
    }
    if (ok)
        memcpy(ret, key, sizeof(key));
    sodium_memzero(key, sizeof(key));
    sodium_memzero(again, sizeof(again));
    return ok;
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
