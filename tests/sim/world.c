#include "sim/world.h"
#include "base/err.h"
#include "wg/message.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define SIM_HOPS_MAX 60 /* a packet's TTL */

/* xoshiro256** seeded by splitmix64: a seed is a whole run. */
static uint64_t rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

static uint64_t next_random(uint64_t s[4])
{
    uint64_t r = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return r;
}

static void fill(void *ctx, void *buf, size_t len)
{
    struct world *w = ctx;
    uint8_t *p = buf;

    for (size_t i = 0; i < len; i += 8) {
        uint64_t r = next_random(w->rng_state);
        memcpy(p + i, &r, MIN(len - i, 8));
    }
}

uint64_t world_random(struct world *w, uint64_t below)
{
    return below ? next_random(w->rng_state) % below : 0;
}

void world_note(struct world *w, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;

    for (size_t i = 0; i < len; i++)
        w->digest = (w->digest ^ p[i]) * 1099511628211ull;
}

void world_trace(struct world *w, const char *format, ...)
{
    char line[512];
    va_list ap;

    va_start(ap, format);
    int n = vsnprintf(line, sizeof(line), format, ap);
    va_end(ap);
    world_note(w, &w->now_ns, sizeof(w->now_ns));
    world_note(w, line, MIN((size_t)n, sizeof(line) - 1));
    if (w->trace)
        printf("%12.6f %s\n", (double)w->now_ns / 1e9, line);
}

struct event *world_event(struct world *w, uint64_t delay_ns, enum event_kind kind,
                          struct machine *m)
{
    struct event *e = calloc(1, sizeof(*e));

    assert(e);
    e->kind = kind;
    e->machine = m;
    e->life = m ? m->life : 0;
    e->order = ++w->order;
    /* The heap is not stable: a nanosecond's fraction of order makes equal times distinct. */
    heap_set(&w->events, &e->entry, w->now_ns + delay_ns + (delay_ns ? e->order % 97 : 0));
    return e;
}

static void event_free(struct event *e)
{
    free(e->bytes);
    free(e);
}

static struct machine *member(struct world *w, unsigned id)
{
    return id && id <= w->members ? &w->machine[id - 1] : NULL;
}

uint16_t world_slot(const struct world *w, const struct endpoint *at)
{
    for (uint16_t slot = 1; slot <= w->vips; slot++)
        if (endpoint_equal(at, &w->vip[slot]))
            return slot;
    return 0;
}

unsigned world_place(const struct world *w, uint16_t slot, uint8_t member)
{
    return (member - slot + w->members) % w->members;
}

void world_check_routes(struct world *w, uint16_t slot)
{
    for (unsigned i = 0; i < w->members; i++) {
        const struct machine *m = &w->machine[i];
        unsigned hops = 0;

        for (; m->alive && m->route[slot] && m->route[slot] != m->member && hops <= w->members;
             hops++)
            m = &w->machine[m->route[slot] - 1];
        if (hops > w->members) {
            oracle_violation(w->oracle, w->now_ns, "routes of VIP %u go in a circle from m%u", slot,
                             i + 1);
            return;
        }
    }
}

/* A host of the LAN sends to the pool's VIP, or with several VIPs now and then to any member; who
 * is not the owner passes it on. */
static struct machine *entered(struct world *w, struct event *e)
{
    const struct machine *client = &w->machine[e->a];
    if (w->divided)
        return member(w, w->divided_sides[world_random(w, 2)]);
    bool astray = (w->vips > 1 && !w->lossless && world_random(w, 4) == 0);

    return member(w, astray ? 1 + (unsigned)world_random(w, w->members) : w->arp[client->home]);
}

/* The kernel of @m: NULL, the packet left for another member, or is lost. */
static struct machine *routed(struct world *w, struct machine *m, struct event *e)
{
    unsigned client = (unsigned)e->a - w->members;
    uint8_t to = m->guest_route[client] ? m->guest_route[client] : m->route[w->machine[e->a].home];

    if (w->vips == 1 || !to || to == m->member || e->b > SIM_HOPS_MAX)
        return m;
    w->most_hops = MAX(w->most_hops, (unsigned)e->b + 1);
    struct event *next = world_event(w, SIM_LAN_DELAY_NS, EVENT_INNER, member(w, to));
    next->a = e->a;
    next->b = e->b + 1;
    next->len = e->len;
    next->bytes = e->bytes;
    e->bytes = NULL;
    return NULL;
}

/* Who gets a datagram for this address now. */
static struct machine *reached(struct world *w, const struct endpoint *from,
                               const struct endpoint *to)
{
    uint16_t slot = world_slot(w, to);

    if (slot) {
        struct machine *m = member(w, w->arp[slot]);
        for (unsigned i = 0; w->divided && i < w->clients; i++)
            if (endpoint_equal(from, &w->machine[w->members + i].address))
                return member(w, w->side[i]);
        if (m && m->alive && !m->address_present[slot] &&
            !m->address_kept[slot]) /* its kernel forwards */
            for (unsigned i = 0; i < w->members; i++)
                if (w->machine[i].alive && w->machine[i].address_present[slot])
                    m = &w->machine[i];
        return m && !w->cut_wan[m->member] && !w->cut_wan_in[m->member] ? m : NULL;
    }
    for (unsigned i = w->members; i < w->members + w->clients; i++)
        if (endpoint_equal(to, &w->machine[i].address))
            return &w->machine[i];
    return NULL;
}

static void put(struct world *w, const struct endpoint *from, const struct endpoint *to,
                const void *bytes, size_t len, uint64_t delay_ns)
{
    struct event *e = world_event(w, delay_ns, EVENT_DATAGRAM, NULL);

    e->from = *from;
    e->to = *to;
    e->bytes = malloc(len);
    assert(e->bytes);
    memcpy(e->bytes, bytes, len);
    e->len = len;
}

static void record(struct world *w, const struct endpoint *from, const struct endpoint *to,
                   const void *bytes, size_t len)
{
    struct recorded *r = &w->recorded[w->recorded_next++ % SIM_RECORDED_MAX];

    *r = (struct recorded){.from = *from, .to = *to, .len = len};
    memcpy(r->bytes, bytes, len);
    w->recorded_count = MIN(w->recorded_next, SIM_RECORDED_MAX);
}

/* It sends on what it has with one bit changed, in whatever a mac or a tag covers. */
static void forge(struct world *w, const struct recorded *r, uint64_t delay_ns)
{
    uint8_t bytes[sizeof(r->bytes)];
    bool data = r->bytes[0] == MESSAGE_DATA;
    size_t end = data ? r->len : r->len - 16, from = data || world_random(w, 2) ? 4 : end - 16;

    memcpy(bytes, r->bytes, r->len);
    bytes[from + world_random(w, end - from)] ^= (uint8_t)(1u << world_random(w, 8));
    put(w, &w->forger_address, &r->to, bytes, r->len, delay_ns);
}

/* The attacker replays what it heard, from its own address and from where it came from; forgeries
 * and, where it is near, copies of handshakes are there before the original. */
static void attack(struct world *w, uint64_t delay_ns)
{
    if (!w->attacker || !w->recorded_count || world_random(w, w->replay_one_in))
        return;
    struct recorded *newest = &w->recorded[(w->recorded_next - 1) % SIM_RECORDED_MAX];
    struct recorded *r = &w->recorded[world_random(w, w->recorded_count)];
    /* Whose copy of an initiation is there first gets the answer, and the client tries again after
     * 5 s: as with the kernel, and only for who is nearer. */
    if (r->bytes[0] == MESSAGE_INITIATION)
        delay_ns += NS_PER_US;
    put(w, world_random(w, 2) && !w->attacker_stays ? &w->attacker_address : &r->from, &r->to,
        r->bytes, r->len, delay_ns);
    if (world_random(w, w->forge_one_in) == 0)
        forge(w, world_random(w, 2) ? newest : r, delay_ns / 2);
    if (w->attacker_near && newest->bytes[0] != MESSAGE_DATA && world_random(w, 3) == 0)
        put(w, &w->attacker_address, &newest->to, newest->bytes, newest->len, delay_ns / 2);
}

/* What the attacker gets out of us. */
static void watch_sent(struct world *w, const struct endpoint *to, const uint8_t *bytes)
{
    if (endpoint_equal(to, &w->forger_address))
        oracle_violation(w->oracle, w->now_ns, "a forged message is answered (type %u)", bytes[0]);
    if (bytes[0] == MESSAGE_DATA && endpoint_equal(to, &w->attacker_address) &&
        !w->attacker_believed)
        oracle_violation(w->oracle, w->now_ns, "data goes to an address that sent none");
}

unsigned world_apart(const struct world *w, const struct machine *m)
{
    unsigned apart = 0;

    for (unsigned i = 0; m->member && i < w->members; i++) {
        const struct machine *o = &w->machine[i];

        if (o == m || !o->alive)
            continue;
        bool cut = w->cut_sync[m->member][o->member] || w->cut_sync[o->member][m->member];

        if (!cut && (o->frozen || o->frozen_daemon))
            apart |= w->now_ns - o->froze_ns <= SIM_APART_NS ? 1u << o->member : 0;
        else if (cut || m->link_lossy[o->member] || o->link_lossy[m->member] ||
                 !m->link_up[o->member] || !o->link_up[m->member] ||
                 w->now_ns - m->linked_ns[o->member] < SIM_GREET_NS)
            apart |= 1u << o->member;
    }
    return apart;
}

/* The member's kernel asks for the client's link address, and drops what waits for it. */
static bool unfound(const struct world *w, const struct machine *from, const struct endpoint *to)
{
    for (unsigned i = 0; from->member && w->now_ns < w->all_found_ns && i < w->clients; i++)
        if (endpoint_equal(to, &w->machine[w->members + i].address))
            return w->now_ns < w->found_ns[i];
    return false;
}

void world_send(struct world *w, struct machine *from, const struct endpoint *source,
                const struct endpoint *to, const void *bytes, size_t len)
{
    world_note(w, bytes, len);
    if (from->member) {
        struct oracle_who who = machine_who(from);

        if (w->sync_lag_ns) /* whatever it says to siblings leaves later than this */
            who.apart = ~0u;
        oracle_sent(w->oracle, w->now_ns, &who, bytes, len);
        watch_sent(w, to, bytes);
        if (w->cut_wan[from->member])
            return;
    }
    if (w->attacker && len <= sizeof(w->recorded->bytes))
        record(w, source, to, bytes, len);
    if (w->no_handshakes && ((const uint8_t *)bytes)[0] != MESSAGE_DATA) {
        attack(w, SIM_WAN_DELAY_NS);
        return;
    }
    if (world_random(w, 100) < w->loss_percent || unfound(w, from, to))
        return;
    uint64_t delay = SIM_WAN_DELAY_NS + world_random(w, w->jitter_ns + 1);
    put(w, source, to, bytes, len, delay);
    if (world_random(w, 100) < w->duplicate_percent)
        put(w, source, to, bytes, len, delay + world_random(w, 20 * NS_PER_MS));
    attack(w, delay);
}

void world_init(struct world *w, uint64_t seed, unsigned members, unsigned clients, unsigned vips)
{
    uint64_t seed0 = seed;

    *w = (struct world){.members = members, .clients = clients, .vips = vips};
    for (unsigned i = 0; i < 4; i++) {
        uint64_t z = (seed += 0x9e3779b97f4a7c15ull);
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
        z = (z ^ z >> 27) * 0x94d049bb133111ebull;
        w->rng_state[i] = z ^ z >> 31;
    }
    w->digest = 14695981039346656037ull;
    w->now_ns = 1000 * NS_PER_S;
    w->oracle = oracle_new();
    w->replay_one_in = 50;
    w->forge_one_in = 4;
    w->recorded = calloc(SIM_RECORDED_MAX, sizeof(*w->recorded));
    assert(w->oracle && w->recorded);
    for (uint16_t slot = 1; slot <= vips; slot++) {
        endpoint_parse("10.0.0.100:51820", &w->vip[slot]);
        w->vip[slot].addr.b[15] = (uint8_t)(99 + slot);
    }
    endpoint_parse("10.6.6.6:666", &w->attacker_address);
    endpoint_parse("10.6.6.7:667", &w->forger_address);
    struct rng r = {fill, w};
    rng_fill(&r, w->hub_private, 32);
    rng_fill(&r, w->cookie_key, 32);
    for (unsigned i = 0; i < members + clients; i++) {
        struct machine *m = &w->machine[i];
        char text[32];

        m->world = w;
        m->number = i;
        m->member = (uint8_t)(i < members ? i + 1 : 0);
        m->rng = r;
        m->seq = seed0 % 4 ? 1 : 0; /* or a first start, which is in quarantine (N6) */
        m->receiver = (enum receiver_kind)((seed0 + i) % RECEIVERS);
        m->boot_offset_ns = world_random(w, 1000) * NS_PER_S;
        m->clock_ahead_ns = (int64_t)world_random(w, 4 * NS_PER_S) - 2 * (int64_t)NS_PER_S;
        snprintf(text, sizeof(text), "10.0.%u.%u:51820", m->member ? 0 : 1, i + 1);
        endpoint_parse(text, &m->address);
        m->home = m->talks = 1 + i % vips;
    }
}

static void remove_database(const struct machine *m)
{
    static const char *const suffixes[] = {"", "-wal", "-shm", "-reserve", ".kept"};
    char path[256];

    for (unsigned i = 0; m->world->disk && m->member && i < ARRAY_LEN(suffixes); i++) {
        snprintf(path, sizeof(path), "%s/member%u.db%s", m->world->disk, m->member, suffixes[i]);
        unlink(path);
    }
}

void world_done(struct world *w)
{
    struct heap_entry *h;

    for (unsigned i = 0; i < w->members + w->clients; i++) {
        struct machine *m = &w->machine[i];
        if (m->alive)
            machine_crash(m);
        for (unsigned q = 0; q < m->queued_count; q++)
            event_free(m->queued[q]);
        store_close(m->store);
        remove_database(m);
        aead_free(m->aead);
    }
    while ((h = heap_first(&w->events))) {
        heap_remove(&w->events, h);
        struct event *e = (struct event *)((char *)h - offsetof(struct event, entry));
        if (e->kind == EVENT_HANDSHAKE && e->ptr)
            free(e->ptr);
        event_free(e);
    }
    heap_done(&w->events);
    free(w->recorded);
    oracle_free(w->oracle);
}

static void run_event(struct world *w, struct event *e)
{
    struct machine *m = e->machine;

    if (e->kind == EVENT_FAULT || e->kind == EVENT_CHECK) {
        faults_run(w, e);
        event_free(e);
        return;
    }
    if (e->kind == EVENT_DATAGRAM && !m)
        m = e->machine = reached(w, &e->from, &e->to);
    else if (e->kind == EVENT_INNER && !m)
        m = e->machine = entered(w, e);
    else if (m && e->life != m->life && e->kind != EVENT_INNER && e->kind != EVENT_VRRP)
        m = NULL; /* the process that it was meant for is gone */
    if (!m || (!m->alive && e->kind != EVENT_INNER && e->kind != EVENT_VRRP)) {
        if (e->kind == EVENT_HANDSHAKE)
            free(e->ptr);
        event_free(e);
        return;
    }
    if (e->kind == EVENT_VRRP) {
        vrrp_run(m, (uint16_t)e->b, (enum vrrp_turn)e->a);
        event_free(e);
        return;
    }
    if (e->kind == EVENT_INNER && m->member && m->alive && !m->frozen && !routed(w, m, e)) {
        event_free(e);
        return;
    }
    if ((m->frozen || m->frozen_daemon) && e->kind == EVENT_INNER) {
        event_free(e); /* the TUN's queue is thrown away as well (R12) */
        return;
    }
    if (m->frozen || m->frozen_daemon) {
        /* Of datagrams the kernel keeps so many; the process's own work is not lost. */
        bool datagram = e->kind == EVENT_DATAGRAM;
        if (datagram && m->queued_datagrams >= SIM_QUEUE_MAX) {
            event_free(e);
            return;
        }
        assert(m->queued_count < SIM_WORK_MAX);
        m->queued_datagrams += datagram;
        m->queued[m->queued_count++] = e;
        return;
    }
    machine_event(m, e);
    event_free(e);
}

void world_run(struct world *w, uint64_t until_ns)
{
    struct heap_entry *h;

    while ((h = heap_first(&w->events)) && h->at_ns <= until_ns &&
           oracle_violations(w->oracle) == 0) {
        struct event *e = (struct event *)((char *)h - offsetof(struct event, entry));

        heap_remove(&w->events, h);
        w->now_ns = MAX(w->now_ns, h->at_ns);
        w->events_run++;
        world_note(w, &h->at_ns, sizeof(h->at_ns));
        world_note(w, &e->kind, sizeof(e->kind));
        run_event(w, e);
    }
    w->now_ns = MAX(w->now_ns, until_ns);
}
