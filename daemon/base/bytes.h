/* base/bytes.h - bounded reading and writing of bytes; text forms of bytes.
 *
 * A cursor has a sticky error: read everything, then check cursor_ok() once, then use. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct cursor {
    const uint8_t *p, *end;
    bool bad;
};

static inline struct cursor cursor_of(const void *p, size_t len)
{
    return (struct cursor){.p = p, .end = (const uint8_t *)p + len};
}

static inline size_t cursor_left(const struct cursor *c)
{
    return (size_t)(c->end - c->p);
}

/* @len bytes, or NULL (and the cursor is bad from then on). */
static inline const uint8_t *cursor_take(struct cursor *c, size_t len)
{
    if (c->bad || cursor_left(c) < len) {
        c->bad = true;
        return NULL;
    }
    const uint8_t *p = c->p;
    c->p += len;
    return p;
}

static inline bool cursor_ok(const struct cursor *c)
{
    return !c->bad;
}

static inline uint16_t load_be16(const void *p)
{
    const uint8_t *b = p;
    return (uint16_t)(b[0] << 8 | b[1]);
}

static inline uint32_t load_be32(const void *p)
{
    const uint8_t *b = p;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static inline uint64_t load_be64(const void *p)
{
    return (uint64_t)load_be32(p) << 32 | load_be32((const uint8_t *)p + 4);
}

static inline uint32_t load_le32(const void *p)
{
    const uint8_t *b = p;
    return (uint32_t)b[3] << 24 | (uint32_t)b[2] << 16 | (uint32_t)b[1] << 8 | b[0];
}

static inline uint64_t load_le64(const void *p)
{
    return (uint64_t)load_le32((const uint8_t *)p + 4) << 32 | load_le32(p);
}

static inline void store_be16(void *p, uint16_t v)
{
    uint8_t *b = p;
    b[0] = (uint8_t)(v >> 8);
    b[1] = (uint8_t)v;
}

static inline void store_be32(void *p, uint32_t v)
{
    uint8_t *b = p;
    b[0] = (uint8_t)(v >> 24);
    b[1] = (uint8_t)(v >> 16);
    b[2] = (uint8_t)(v >> 8);
    b[3] = (uint8_t)v;
}

static inline void store_be64(void *p, uint64_t v)
{
    store_be32(p, (uint32_t)(v >> 32));
    store_be32((uint8_t *)p + 4, (uint32_t)v);
}

static inline void store_le32(void *p, uint32_t v)
{
    uint8_t *b = p;
    b[0] = (uint8_t)v;
    b[1] = (uint8_t)(v >> 8);
    b[2] = (uint8_t)(v >> 16);
    b[3] = (uint8_t)(v >> 24);
}

static inline void store_le64(void *p, uint64_t v)
{
    store_le32(p, (uint32_t)v);
    store_le32((uint8_t *)p + 4, (uint32_t)(v >> 32));
}

/* Exactly 2*@len hex digits. False: anything else. */
bool hex_decode(const char *text, size_t text_len, uint8_t *ret, size_t len);
/* Writes 2*@len digits and a NUL. */
void hex_encode(const uint8_t *p, size_t len, char *ret);

#define BASE64_LEN_MAX 128
#define BASE64_TEXT_MAX 176 /* of so many bytes, with the NUL */
/* The whole of @text, which encodes @len bytes (BASE64_LEN_MAX at most), in the one way that there
 * is; @ret is untouched by anything else. @variant: libsodium's. Leaves no copy. */
bool base64_decode(const char *text, int variant, uint8_t *ret, size_t len);
#define KEY_TEXT_LEN 44 /* base64 of 32 bytes, without the NUL */
bool key_from_base64(const char *text, uint8_t ret[32]);
void key_to_base64(const uint8_t key[32], char ret[KEY_TEXT_LEN + 1]);

/* A whole decimal number in [@min, @max]; no sign, no blanks, nothing behind it. */
bool parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret);
