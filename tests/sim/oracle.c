#include "sim/oracle.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define SESSION_FIELD 19
#define ORACLE_MEMBERS 16
#define KEY_LIFE_NS 181000000000ull      /* 180 s and the time of one handshake */
#define KEY_IN_MEMORY_NS 542000000000ull /* 540 s and a look a second */

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
    uint64_t first_ns; /* first datagram */
    uint64_t held_ns;  /* first sight in a memory */
    uint64_t highest;  /* counter sent */
    uint64_t taken;    /* one more than the highest that the client took */
    uint64_t creator;  /* life that sends in term 0 */
    uint64_t answer;   /* to the initiation with this sender index, its hash */
    uint64_t answered_ns[ORACLE_MEMBERS];
    UT_hash_handle hh;
};

struct seen_tag { /* who uses it, under this index */
    struct {
        uint32_t index, tag;
    } key;
    uint64_t life;
    UT_hash_handle hh;
};

struct seen_life {
    struct {
        uint32_t index, member;
        uint64_t life;
    } key;
    bool sent;
    uint64_t last, slept;
    uint32_t low;
    uint16_t term;
    UT_hash_handle hh;
};

struct seen_accept {
    uint64_t id, ns;
    struct oracle_who who;
    bool excused;
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
    struct seen_accept *accepted; /* by hash of the datagram */
    struct seen_life *lives;
    struct seen_tag *tags;
    uint64_t slept[ORACLE_MEMBERS];
    /* [a][b]: until when this life of a was told of all that b answered. */
    uint64_t told_ns[ORACLE_MEMBERS][ORACLE_MEMBERS];
    bool orderly;
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
    struct seen_accept *a, *a2;
    struct seen_life *l, *l2;
    struct seen_tag *t, *t2;

    HASH_ITER (hh, o->nonces, n, n2) {
        HASH_DEL(o->nonces, n);
        free(n);
    }
    HASH_ITER (hh, o->indices, i, i2) {
        HASH_DEL(o->indices, i);
        free(i);
    }
    HASH_ITER (hh, o->accepted, a, a2) {
        HASH_DEL(o->accepted, a);
        free(a);
    }
    HASH_ITER (hh, o->tags, t, t2) {
        HASH_DEL(o->tags, t);
        free(t);
    }
    HASH_ITER (hh, o->lives, l, l2) {
        HASH_DEL(o->lives, l);
        free(l);
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

static struct seen_index *seen_index(struct oracle *o, uint32_t index)
{
    struct seen_index *i;

    HASH_FIND(hh, o->indices, &index, sizeof(index), i);
    if (i)
        return i;
    i = calloc(1, sizeof(*i));
    if (!i)
        abort();
    i->index = index;
    HASH_ADD(hh, o->indices, index, sizeof(i->index), i);
    return i;
}

static void first_seen(struct seen_index *i, uint64_t now_ns)
{
    if (!i->first_ns)
        i->first_ns = now_ns;
}

/* What one life of a member sent under one index. */
static struct seen_life *seen_life(struct oracle *o, uint32_t index, const struct oracle_who *who)
{
    struct seen_life probe = {.key = {.index = index, .member = who->member, .life = who->life}},
                     *l;

    HASH_FIND(hh, o->lives, &probe.key, sizeof(probe.key), l);
    if (l)
        return l;
    l = malloc(sizeof(*l));
    if (!l)
        abort();
    *l = probe;
    HASH_ADD(hh, o->lives, key, sizeof(l->key), l);
    return l;
}

static uint64_t tag_life(struct oracle *o, uint32_t index, uint32_t tag, uint64_t life)
{
    struct seen_tag probe = {.key = {index, tag}, .life = life}, *t;

    HASH_FIND(hh, o->tags, &probe.key, sizeof(probe.key), t);
    if (t)
        return t->life;
    t = malloc(sizeof(*t));
    if (!t)
        abort();
    *t = probe;
    HASH_ADD(hh, o->tags, key, sizeof(t->key), t);
    return life;
}

/* Bits 59..48 term, 39..32 start, 31..28 member, 27..0 packet; term 0 is all one plain counter. */
static void layout(struct oracle *o, uint64_t now_ns, const struct oracle_who *who, uint32_t index,
                   uint64_t counter)
{
    struct seen_index *i = seen_index(o, index);
    struct seen_life *l = seen_life(o, index, who);
    unsigned term = counter >> 48 & 0xfff, member = counter >> 28 & 15;
    unsigned tag = counter >> 28 & 0xfff;
    uint32_t low = counter & 0xfffffff;
    uint64_t slept = o->slept[who->member % ORACLE_MEMBERS];

    if (counter >> 60)
        oracle_violation(o, now_ns, "member %u sends a counter beyond 2^60", who->member);
    if (term && member != who->member)
        oracle_violation(o, now_ns, "member %u sends with the tag of member %u", who->member,
                         member);
    if (!term && i->creator && i->creator != who->life)
        oracle_violation(o, now_ns, "member %u sends in the creator's space", who->member);
    if (!term)
        i->creator = who->life;
    if (term && tag_life(o, index, tag, who->life) != who->life)
        oracle_violation(o, now_ns, "two lives of member %u send with one tag", who->member);
    if (l->sent && counter <= l->last)
        oracle_violation(o, now_ns, "member %u goes back from counter %016llx to %016llx",
                         who->member, (unsigned long long)l->last, (unsigned long long)counter);
    if (l->sent && term != l->term && l->term && low <= l->low)
        oracle_violation(o, now_ns, "member %u begins term %u at %u, below what it sent before",
                         who->member, term, low);
    if (l->sent && term == l->term && slept != l->slept)
        oracle_violation(o, now_ns, "member %u slept, and goes on in term %u", who->member, term);
    /* The first of a takeover is above all that was heard before, or the client is deaf. */
    if ((!l->sent || term != l->term) && counter < i->highest && !who->apart && o->orderly)
        oracle_violation(o, now_ns, "member %u takes over at %016llx, below %016llx", who->member,
                         (unsigned long long)counter, (unsigned long long)i->highest);
    l->sent = true;
    l->last = counter;
    l->term = (uint16_t)term;
    l->low = low;
    l->slept = slept;
    if (counter > i->highest)
        i->highest = counter;
}

/* H2. Whoever is in touch hears of an answer before it leaves, others when they meet (a restart
 * forgets: stamps are durable at a shutdown only, and H3 makes that harmless). */
static void answered(struct oracle *o, uint64_t now_ns, const struct oracle_who *who,
                     const uint8_t *bytes, size_t len)
{
    unsigned self = who->member % ORACLE_MEMBERS;
    uint32_t index;
    struct seen_index *i;

    memcpy(&index, bytes + 8, sizeof(index));
    i = seen_index(o, index);
    uint64_t hash = fnv(bytes, len);
    for (unsigned m = 0; m < ORACLE_MEMBERS && i->answer != hash; m++)
        if (i->answered_ns[m] && o->told_ns[self][m] >= i->answered_ns[m])
            oracle_violation(o, now_ns, "member %u answers an initiation that member %u answered",
                             who->member, m);
    i->answer = hash;
    i->answered_ns[self] = now_ns;
    for (unsigned m = 0; m < ORACLE_MEMBERS; m++)
        if (!(who->apart >> m & 1))
            o->told_ns[m][self] = now_ns;
}

void oracle_born(struct oracle *o, unsigned member)
{
    memset(o->told_ns[member % ORACLE_MEMBERS], 0, sizeof(o->told_ns[0]));
}

void oracle_heard(struct oracle *o, unsigned member, unsigned sibling, uint64_t until_ns)
{
    uint64_t *told = &o->told_ns[member % ORACLE_MEMBERS][sibling % ORACLE_MEMBERS];

    if (until_ns > *told)
        *told = until_ns;
}

void oracle_met(struct oracle *o, unsigned member, unsigned sibling)
{
    uint64_t *mine = o->told_ns[member % ORACLE_MEMBERS];
    const uint64_t *theirs = o->told_ns[sibling % ORACLE_MEMBERS];

    for (unsigned m = 0; m < ORACLE_MEMBERS; m++)
        if (theirs[m] > mine[m])
            mine[m] = theirs[m];
}

void oracle_orderly(struct oracle *o)
{
    o->orderly = true;
}

void oracle_slept(struct oracle *o, unsigned member)
{
    o->slept[member % ORACLE_MEMBERS]++;
}

void oracle_holds(struct oracle *o, uint64_t now_ns, unsigned member, uint32_t index)
{
    struct seen_index *i = seen_index(o, index);

    if (!i->held_ns)
        i->held_ns = now_ns;
    if (now_ns - i->held_ns > KEY_IN_MEMORY_NS)
        oracle_violation(o, now_ns, "member %u has a key of %.1f s in memory", member,
                         (double)(now_ns - i->held_ns) / 1e9);
}

void oracle_sent(struct oracle *o, uint64_t now_ns, const struct oracle_who *who,
                 const uint8_t *bytes, size_t len)
{
    struct seen_nonce probe = {0}, *n;

    o->sent++;
    if (len == 92 && bytes[0] == 2)
        answered(o, now_ns, who, bytes, len);
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
                probe.key.index, (unsigned long long)probe.key.counter, n->member, who->member);
        return;
    }
    n = malloc(sizeof(*n));
    if (!n)
        abort();
    *n = probe;
    n->bytes_hash = hash;
    n->member = who->member;
    HASH_ADD(hh, o->nonces, key, sizeof(n->key), n);

    layout(o, now_ns, who, probe.key.index, probe.key.counter);
    struct seen_index *i = seen_index(o, probe.key.index);
    first_seen(i, now_ns);
    if (now_ns - i->first_ns > KEY_LIFE_NS)
        oracle_violation(o, now_ns, "member %u sends under a key of %.1f s", who->member,
                         (double)(now_ns - i->first_ns) / 1e9);
}

bool oracle_accepted(struct oracle *o, uint64_t now_ns, const struct oracle_who *who,
                     const uint8_t *bytes, size_t len, bool from_attacker)
{
    struct seen_accept *p;
    uint64_t id = fnv(bytes, len), counter;
    uint32_t index;

    memcpy(&index, bytes + 4, sizeof(index));
    memcpy(&counter, bytes + 8, sizeof(counter));
    struct seen_index *i = seen_index(o, index);
    first_seen(i, now_ns);
    if (now_ns - i->first_ns > KEY_LIFE_NS)
        oracle_violation(o, now_ns, "%s %u accepts under a key of %.1f s",
                         who->member ? "member" : "client", who->member,
                         (double)(now_ns - i->first_ns) / 1e9);
    if (!who->member && counter + 1 > i->taken)
        i->taken = counter + 1;
    HASH_FIND(hh, o->accepted, &id, sizeof(id), p);
    if (!p) {
        p = calloc(1, sizeof(*p));
        if (!p)
            abort();
        p->id = id;
        p->ns = now_ns;
        p->who = *who;
        HASH_ADD(hh, o->accepted, id, sizeof(p->id), p);
        return false;
    }
    /* Whoever was apart did not hear of the first one; nor did a life that began later, and has its
     * replica from one that was. */
    bool later = who->member && who->life != p->who.life && (p->who.apart >> who->member & 1);
    bool excused = p->who.apart && (later || who->life > p->who.life || p->excused);
    p->excused |= excused;
    if (!excused)
        oracle_violation(o, now_ns, "%s %u accepted a datagram again%s",
                         who->member ? "member" : "client", who->member,
                         from_attacker ? ", and moved the endpoint to the attacker" : "");
    return excused;
}

void oracle_dropped_by(struct oracle *o, uint64_t now_ns, const uint8_t *bytes, const char *kind)
{
    uint64_t counter;
    uint32_t index;

    memcpy(&index, bytes + 4, sizeof(index));
    memcpy(&counter, bytes + 8, sizeof(counter));
    if (counter >= seen_index(o, index)->taken)
        oracle_violation(o, now_ns, "a %s client drops counter %016llx, the highest so far", kind,
                         (unsigned long long)counter);
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
