#include "sim/oracle.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define SESSION_FIELD 19
#define KEY_LIFE_NS 181000000000ull /* 180 s and the time of one handshake */

struct seen_nonce {
    struct {
        uint32_t index;
        uint32_t zero;
        uint64_t counter;
    } key;
    uint64_t bytes_hash;
    unsigned member;
    UT_hash_handle hh;
};

struct seen_index {
    uint32_t index;
    uint64_t first_ns;
    UT_hash_handle hh;
};

struct seen_packet {
    uint64_t id, expected_ns, delivered_ns; /* expected_ns: when it was sent; 0: it may be lost */
    unsigned count;
    UT_hash_handle hh;
};

struct oracle {
    struct seen_nonce *nonces;
    struct seen_index *indices;
    struct seen_packet *packets;
    struct seen_packet *accepted; /* by hash of the datagram */
    unsigned violations;
    uint64_t sent, delivered;
};

struct oracle *oracle_new(void)
{
    return calloc(1, sizeof(struct oracle));
}

void oracle_free(struct oracle *o)
{
    struct seen_nonce *n, *n2;
    struct seen_index *i, *i2;
    struct seen_packet *p, *p2;

    HASH_ITER (hh, o->nonces, n, n2) {
        HASH_DEL(o->nonces, n);
        free(n);
    }
    HASH_ITER (hh, o->indices, i, i2) {
        HASH_DEL(o->indices, i);
        free(i);
    }
    HASH_ITER (hh, o->accepted, p, p2) {
        HASH_DEL(o->accepted, p);
        free(p);
    }
    HASH_ITER (hh, o->packets, p, p2) {
        HASH_DEL(o->packets, p);
        free(p);
    }
    free(o);
}

void oracle_violation(struct oracle *o, uint64_t now_ns, const char *format, ...)
{
    va_list ap;

    o->violations++;
    if (o->violations > 20)
        return;
    printf("VIOLATION at %.6f s: ", (double)now_ns / 1e9);
    va_start(ap, format);
    vprintf(format, ap);
    va_end(ap);
    printf("\n");
}

static uint64_t fnv(const uint8_t *p, size_t len)
{
    uint64_t h = 14695981039346656037ull;

    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * 1099511628211ull;
    return h;
}

void oracle_sent(struct oracle *o, uint64_t now_ns, unsigned member, const uint8_t *bytes,
                 size_t len)
{
    struct seen_nonce probe = {0}, *n;
    struct seen_index *i;

    o->sent++;
    if (len < 32 || bytes[0] != 4)
        return;
    memcpy(&probe.key.index, bytes + 4, 4);
    memcpy(&probe.key.counter, bytes + 8, 8);
    uint64_t hash = fnv(bytes, len);
    HASH_FIND(hh, o->nonces, &probe.key, sizeof(probe.key), n);
    if (n) {
        if (n->bytes_hash != hash)
            oracle_violation(
                o, now_ns, "nonce reuse: index %08x counter %016llx by members %u and %u",
                probe.key.index, (unsigned long long)probe.key.counter, n->member, member);
        return;
    }
    n = malloc(sizeof(*n));
    if (!n)
        abort();
    *n = probe;
    n->bytes_hash = hash;
    n->member = member;
    HASH_ADD(hh, o->nonces, key, sizeof(n->key), n);

    HASH_FIND(hh, o->indices, &probe.key.index, sizeof(uint32_t), i);
    if (!i) {
        i = calloc(1, sizeof(*i));
        if (!i)
            abort();
        i->index = probe.key.index;
        i->first_ns = now_ns;
        HASH_ADD(hh, o->indices, index, sizeof(uint32_t), i);
    }
    if (now_ns - i->first_ns > KEY_LIFE_NS)
        oracle_violation(o, now_ns, "member %u sends under a key of %.1f s", member,
                         (double)(now_ns - i->first_ns) / 1e9);
}

void oracle_accepted(struct oracle *o, uint64_t now_ns, unsigned member, const uint8_t *bytes,
                     size_t len, bool from_attacker, bool may_double)
{
    struct seen_packet *p;
    uint64_t id = fnv(bytes, len);

    HASH_FIND(hh, o->accepted, &id, sizeof(id), p);
    if (!p) {
        p = calloc(1, sizeof(*p));
        if (!p)
            abort();
        p->id = id;
        HASH_ADD(hh, o->accepted, id, sizeof(p->id), p);
    }
    if (++p->count > 1 && !may_double)
        oracle_violation(o, now_ns, "member %u accepted a datagram for the %uth time%s", member,
                         p->count, from_attacker ? ", and moved the endpoint to the attacker" : "");
}

static struct seen_packet *packet(struct oracle *o, uint64_t id)
{
    struct seen_packet *p;

    HASH_FIND(hh, o->packets, &id, sizeof(id), p);
    if (!p) {
        p = calloc(1, sizeof(*p));
        if (!p)
            abort();
        p->id = id;
        HASH_ADD(hh, o->packets, id, sizeof(p->id), p);
    }
    return p;
}

void oracle_expect(struct oracle *o, uint64_t now_ns, uint64_t id)
{
    packet(o, id)->expected_ns = now_ns;
}

uint64_t oracle_all_delivered(struct oracle *o, uint64_t now_ns)
{
    uint64_t worst_ns = 0;

    for (const struct seen_packet *p = o->packets; p; p = p->hh.next) {
        if (!p->expected_ns)
            continue;
        if (!p->count)
            oracle_violation(o, now_ns, "inner packet %llu, sent at %.6f s, was never delivered",
                             (unsigned long long)p->id, (double)p->expected_ns / 1e9);
        else if (p->delivered_ns - p->expected_ns > worst_ns)
            worst_ns = p->delivered_ns - p->expected_ns;
    }
    return worst_ns;
}

void oracle_delivered(struct oracle *o, uint64_t now_ns, uint64_t id, bool at_hub, bool may_double)
{
    struct seen_packet *p = packet(o, id);

    o->delivered++;
    if (!p->count)
        p->delivered_ns = now_ns;
    if (++p->count > 1 && !(may_double && at_hub))
        oracle_violation(o, now_ns, "inner packet %llu delivered %u times at the %s",
                         (unsigned long long)id, p->count, at_hub ? "hub" : "client");
}

static uint64_t varint(const uint8_t **p, const uint8_t *end)
{
    uint64_t v = 0;

    for (unsigned shift = 0; *p < end && shift < 64; shift += 7) {
        uint8_t b = *(*p)++;
        v |= (uint64_t)(b & 127) << shift;
        if (!(b & 128))
            break;
    }
    return v;
}

void oracle_warm_frame(struct oracle *o, uint64_t now_ns, unsigned member, const uint8_t *bytes,
                       size_t len)
{
    const uint8_t *p = bytes, *end = bytes + len;

    while (p < end) {
        uint64_t tag = varint(&p, end), skip = 0;

        if (tag >> 3 == SESSION_FIELD)
            oracle_violation(o, now_ns, "member %u sent a session's record in warm mode", member);
        switch (tag & 7) {
        case 0:
            varint(&p, end);
            break;
        case 1:
            skip = 8;
            break;
        case 2:
            skip = varint(&p, end);
            break;
        default:
            skip = 4;
        }
        p = skip < (uint64_t)(end - p) ? p + skip : end;
    }
}

unsigned oracle_violations(const struct oracle *o)
{
    return o->violations;
}

uint64_t oracle_packets(const struct oracle *o)
{
    return o->sent;
}

uint64_t oracle_deliveries(const struct oracle *o)
{
    return o->delivered;
}
