#include "wg/ratelimit.h"
#include "base/bytes.h"
#include "base/clock.h"
#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define WAYS 8 /* buckets that a source may live in */
#define TOKEN_NS (NS_PER_S / RATELIMIT_PER_S)

struct bucket {
    uint8_t source[16]; /* IPv6: the /64 */
    uint64_t full_ns;   /* when it will be, or was, full: tokens are the time since then */
};

struct ratelimit {
    pthread_mutex_t lock;
    uint8_t hash_key[crypto_shorthash_KEYBYTES];
    struct bucket bucket[RATELIMIT_SOURCES_MAX];
};

struct ratelimit *ratelimit_new(uint64_t hash_seed)
{
    struct ratelimit *r = calloc(1, sizeof(*r));

    if (r) {
        store_le64(r->hash_key, hash_seed);
        pthread_mutex_init(&r->lock, NULL);
    }
    return r;
}

void ratelimit_free(struct ratelimit *r)
{
    if (!r)
        return;
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* Keyed, and every bit counts: neighbours must not meet in one row, nor may anybody choose who
 * does. */
static struct bucket *row_of(struct ratelimit *r, const uint8_t source[16])
{
    uint8_t hash[crypto_shorthash_BYTES];

    crypto_shorthash(hash, source, 16, r->hash_key);
    return &r->bucket[load_le64(hash) % (RATELIMIT_SOURCES_MAX / WAYS) * WAYS];
}

bool ratelimit_allow(struct ratelimit *r, const struct ip_addr *source, uint64_t now_ns)
{
    uint8_t key[16];
    bool allow = true;

    memcpy(key, source->b, sizeof(key));
    if (!addr_is_v4(source))
        memset(key + 8, 0, 8);
    pthread_mutex_lock(&r->lock);
    struct bucket *row = row_of(r, key);
    struct bucket *b = NULL, *oldest = row;
    for (unsigned i = 0; i < WAYS; i++) {
        if (memcmp(row[i].source, key, sizeof(key)) == 0)
            b = &row[i];
        if (row[i].full_ns < oldest->full_ns)
            oldest = &row[i];
    }
    if (!b) {
        b = oldest;
        memcpy(b->source, key, sizeof(key));
        b->full_ns = now_ns;
    }
    if (b->full_ns < now_ns)
        b->full_ns = now_ns;
    if (b->full_ns - now_ns > (RATELIMIT_BURST - 1) * TOKEN_NS)
        allow = false;
    else
        b->full_ns += TOKEN_NS;
    pthread_mutex_unlock(&r->lock);
    return allow;
}
