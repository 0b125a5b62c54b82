/* What two members compare to see that they hold the same record (P12). */
#include "base/bytes.h"
#include "base/err.h"
#include "base/secret.h"
#include "store/internal.h"
#include <sodium.h>

/* Lists are alike whatever their order, and may have 130 000 entries: a sum of mixed words. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

static uint64_t allowed_sum(const struct peer *p)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < p->allowed_count; i++) {
        const struct ip_prefix *a = &p->allowed[i];
        uint64_t high = load_be64(a->addr.b), low = load_be64(a->addr.b + 8);

        sum += mix(mix(mix(high) + low) + (a->len | (a->v6 ? 256u : 0u)));
    }
    return sum;
}

static void add_u64(crypto_generichash_state *h, uint64_t v)
{
    uint8_t b[8];

    store_be64(b, v);
    crypto_generichash_update(h, b, sizeof(b));
}

void record_digest(const struct peer *p, uint8_t ret[STORE_DIGEST_LEN])
{
    crypto_generichash_state h;

    crypto_generichash_init(&h, NULL, 0, STORE_DIGEST_LEN);
    add_u64(&h, p->hub);
    crypto_generichash_update(&h, p->key.b, sizeof(p->key.b));
    add_u64(&h, p->gen);
    add_u64(&h, p->state);
    for (unsigned f = 0; f < PEER_FIELDS; f++) {
        add_u64(&h, p->version[f].hlc);
        add_u64(&h, p->version[f].member);
        add_u64(&h, p->version[f].seq);
    }
    add_u64(&h, p->psk != NULL);
    if (p->psk)
        crypto_generichash_update(&h, p->psk->b, sizeof(p->psk->b));
    crypto_generichash_update(&h, p->endpoint.addr.b, sizeof(p->endpoint.addr.b));
    add_u64(&h, p->endpoint.port);
    add_u64(&h, (uint64_t)p->keepalive_s << 16 | p->vip);
    crypto_generichash_update(&h, (const uint8_t *)p->name, strlen(p->name) + 1);
    crypto_generichash_update(&h, (const uint8_t *)p->group, strlen(p->group) + 1);
    add_u64(&h, p->policy);
    add_u64(&h, p->rate_bps);
    add_u64(&h, p->quota_bytes);
    add_u64(&h, p->disabled);
    add_u64(&h, p->expires_s);
    add_u64(&h, p->pending);
    crypto_generichash_update(&h, p->replaces.b, sizeof(p->replaces.b));
    add_u64(&h, p->mtu);
    add_u64(&h, p->is_group);
    for (unsigned t = 0; t < PEER_TEXTS; t++) {
        const char *text = peer_text(p, (enum peer_text)t);
        crypto_generichash_update(&h, (const uint8_t *)text, strlen(text) + 1);
    }
    add_u64(&h, p->allowed_count);
    add_u64(&h, allowed_sum(p));
    crypto_generichash_final(&h, ret, STORE_DIGEST_LEN);
    secret_wipe(&h, sizeof(h));
}
