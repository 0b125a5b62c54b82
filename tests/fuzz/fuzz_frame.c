/* The sync channel after authentication: a sibling that says anything. Raw bytes, and well-formed
 * messages with every field of the input's choice, to a whole member (the simulator's) that serves
 * a client; the VIP comes and goes meanwhile. It must keep its bounds and its word about nonces. */
#include "base/bytes.h"
#include "base/secret.h"
#include "noise/noise.h"
#include "proto/codec.h"
#include "sim/world.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define ROGUE 2
#define OWN_KEYS_MAX 8

struct rogue {
    struct world *w;
    struct machine *m; /* the member that listens */
    struct codec_key key;
    uint64_t serial, position;
    struct cursor in;
    struct key_id own[OWN_KEYS_MAX]; /* of the member, as it told us */
    unsigned own_count;
};

static void must(bool holds)
{
    if (!holds)
        abort();
}

static uint64_t take(struct rogue *r, size_t bytes)
{
    const uint8_t *p = cursor_take(&r->in, bytes);
    uint64_t v = 0;

    for (size_t i = 0; p && i < bytes; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

/* Small values, extremes and anything. */
static uint64_t number(struct rogue *r)
{
    uint64_t v = take(r, 1);

    switch (v >> 6) {
    case 0:
        return v;
    case 1:
        return v << 20;
    case 2:
        return UINT64_MAX - (v & 63);
    default:
        return take(r, 8);
    }
}

static void run_for(struct rogue *r, uint64_t ns)
{
    world_run(r->w, r->w->now_ns + ns);
}

static void event(struct rogue *r, enum event_kind kind, uint64_t b, const void *bytes, size_t len)
{
    struct event *e = world_event(r->w, 1, kind, r->m);

    e->a = ROGUE;
    e->b = b;
    if (bytes) {
        e->bytes = malloc(len ? len : 1);
        must(e->bytes);
        memcpy(e->bytes, bytes, len);
        e->len = len;
    }
    run_for(r, 2);
}

static void say(struct rogue *r, struct sync_msg *m)
{
    uint8_t frame[SYNC_FRAME_MAX];

    if (m->kind != SYNC_HELLO && m->kind != SYNC_HEARTBEAT && m->kind != SYNC_ACK)
        m->position = ++r->position;
    int n = codec_encode(m, &r->key, &r->m->rng, frame, sizeof(frame));
    if (n > 0)
        event(r, EVENT_FRAME, r->serial, frame, (size_t)n);
    else if (m->position)
        r->position--;
    sync_msg_clear(m);
}

/* What the member has queued for us, read as its sibling would. */
static void listen(struct rogue *r)
{
    for (size_t i = 0; i < r->w->events.count; i++) {
        struct event *e =
            (struct event *)((char *)r->w->events.entries[i] - offsetof(struct event, entry));
        struct sync_msg m;

        if (e->kind != EVENT_FRAME || e->machine != &r->w->machine[ROGUE - 1])
            continue;
        if (codec_decode(e->bytes, e->len, &r->key, &m) < 0)
            continue;
        if (m.kind == SYNC_SESSION && r->own_count < OWN_KEYS_MAX)
            r->own[r->own_count++] = m.session.id;
        sync_msg_clear(&m);
    }
}

static struct key_id key_id(struct rogue *r)
{
    unsigned n = (unsigned)take(r, 1);

    if (r->own_count && n % 2)
        return r->own[n / 2 % r->own_count];
    return (struct key_id){.hub = 1, .creator = (uint8_t)(1 + n / 2 % 3), .instance = 7, .seq = n};
}

static struct public_key peer(struct rogue *r)
{
    struct public_key k = r->w->machine[r->w->members].key;

    if (take(r, 1) % 4 == 0)
        k.b[0] ^= 1;
    return k;
}

static void hello(struct rogue *r)
{
    struct sync_msg m = {.kind = SYNC_HELLO};
    uint64_t odd = take(r, 1);

    m.hello = (struct sync_hello){.version_min = 1,
                                  .version_max = 1,
                                  .member = odd == 1 ? 1 : ROGUE,
                                  .seq = number(r),
                                  .membership_epoch = odd == 2 ? 9 : 1,
                                  .highest_seq_of_you = odd == 3 ? number(r) : 0,
                                  .session_seq = number(r),
                                  .stamp_floor = odd == 4 ? number(r) : 0};
    m.hello.instance[0] = (uint8_t)take(r, 1);
    say(r, &m);
}

static void session(struct rogue *r)
{
    struct sync_msg m = {.kind = SYNC_SESSION};
    struct session *s = &m.session;

    s->id = key_id(r);
    s->peer = peer(r);
    s->keys = secret_alloc();
    must(s->keys);
    memset(s->keys, (int)take(r, 1), sizeof(*s->keys));
    s->local_index = (uint32_t)take(r, 2);
    s->remote_index = (uint32_t)take(r, 2);
    uint64_t bits = take(r, 1);
    s->hub_initiated = bits & 1;
    s->slot = (enum session_slot)(bits >> 1 & 3);
    s->confirmed = bits >> 3 & 1;
    s->dirty = bits >> 4 & 1;
    s->active = bits >> 5 & 1;
    s->age_lo_ns = s->age_hi_ns = bits >> 6 & 1 ? number(r) : 0;
    s->generation = number(r);
    s->limit = number(r);
    s->top = number(r);
    s->term = (uint16_t)take(r, 2);
    s->vip = (uint16_t)(take(r, 1) % 3);
    say(r, &m);
}

static struct sync_limit limit(struct rogue *r)
{
    return (struct sync_limit){.id = key_id(r),
                               .limit = number(r),
                               .top = number(r),
                               .seq = (uint32_t)take(r, 1),
                               .lower = take(r, 1) & 1,
                               .active = true};
}

static void anything(struct rogue *r, enum sync_kind kind)
{
    struct sync_msg m = {.kind = kind};
    struct sync_limit limits[4];
    uint64_t bits;

    switch (kind) {
    case SYNC_SESSION_GONE:
        m.gone = key_id(r);
        break;
    case SYNC_LIMIT:
        m.limit = limit(r);
        break;
    case SYNC_LIMITS:
        m.limits = (struct sync_limits){.all = limits, .count = 1 + take(r, 1) % 4};
        for (unsigned i = 0; i < m.limits.count; i++)
            limits[i] = limit(r);
        break;
    case SYNC_ADOPTED:
        m.adopted = (struct sync_adopted){
            .id = key_id(r), .term = (uint16_t)take(r, 2), .limit = number(r), .vip = 1};
        break;
    case SYNC_ASK:
        m.ask = (struct sync_ask){
            .id = key_id(r), .vip = 1, .counter = number(r), .refused = take(r, 1) & 1};
        break;
    case SYNC_RELEASED:
        m.released =
            (struct sync_released){.id = key_id(r), .top = number(r), .term = (uint16_t)take(r, 2)};
        break;
    case SYNC_ENDPOINT:
        m.endpoint = (struct sync_endpoint){
            .hub = 1,
            .peer = peer(r),
            .endpoint = {.addr = addr_from_v4((uint8_t[]){9, 9, 9, 9}), .port = 9},
            .version = {.generation = number(r), .counter = number(r)},
            .vip = (uint16_t)(take(r, 1) % 3)};
        break;
    case SYNC_STAMP:
        m.stamp = (struct sync_stamp){.hub = 1, .peer = peer(r), .sent_real_ns = number(r)};
        memset(m.stamp.received, (int)take(r, 1), TAI64N_LEN);
        break;
    case SYNC_CLAIM:
        bits = take(r, 1);
        m.claim = (struct sync_claim){.vip = (uint16_t)(bits % 3),
                                      .epoch = number(r),
                                      .member = (uint8_t)(1 + take(r, 1) % 3),
                                      .held = take(r, 1) & 1,
                                      .term = (uint16_t)take(r, 2),
                                      .leaving = bits & 128};
        break;
    case SYNC_MOVE:
        m.move = (struct sync_move){.kind = (enum move_kind)(take(r, 1) % MOVE_KINDS),
                                    .vip = (uint16_t)(take(r, 1) % 3),
                                    .member = (uint8_t)(1 + take(r, 1) % 3),
                                    .force = take(r, 1) & 1};
        break;
    case SYNC_DIRTY:
        m.dirty = (struct sync_dirty){.id = key_id(r), .dirty = take(r, 1) & 1};
        break;
    case SYNC_HEARTBEAT:
        m.heartbeat = (struct sync_heartbeat){.seq = number(r),
                                              .sent_boot_ns = number(r),
                                              .echo_boot_ns = number(r),
                                              .echo_held_ns = number(r),
                                              .real_ns = number(r),
                                              .lans_known = 3,
                                              .lans_alive = 3,
                                              .in_sync = true,
                                              .ready = true};
        break;
    case SYNC_ACK:
        m.ack.position = number(r);
        break;
    default:
        break;
    }
    say(r, &m);
}

static void step(struct rogue *r)
{
    uint64_t what = take(r, 1);

    switch (what % 21) {
    case 0: {
        size_t n = (size_t)take(r, 1);

        n = n < cursor_left(&r->in) ? n : cursor_left(&r->in);

        event(r, EVENT_FRAME, r->serial, cursor_take(&r->in, n), n);
        return;
    }
    case 1:
        r->position = 0;
        event(r, EVENT_LINK, ++r->serial, NULL, 0);
        memcpy(r->key.send, &r->serial, sizeof(r->serial));
        memcpy(r->key.recv, &r->serial, sizeof(r->serial));
        hello(r);
        return;
    case 2:
        event(r, EVENT_LINK, 0, NULL, 0);
        return;
    case 3:
        run_for(r, (1 + take(r, 1)) * NS_PER_MS);
        listen(r);
        return;
    case 4:
        r->m->address_present[1] = what & 32;
        r->m->wants_addresses = 1u << 1;
        machine_settle(r->m);
        return;
    case 5:
    case 6:
        session(r);
        return;
    default:
        anything(r, (enum sync_kind)(what % 21 - 6));
        return;
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    must(noise_init() == 0 && secret_arena_init(1 << 14, false) == 0);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct rogue r = {.in = cursor_of(data, len), .serial = 1000};

    if (len < 4 || len > 2048)
        return 0;
    r.w = calloc(1, sizeof(*r.w));
    must(r.w);
    size_t slots = secret_slots_used();
    world_init(r.w, 1, 2, 1, 1);
    r.m = &r.w->machine[0];
    must(machine_start(r.m) == 0 && machine_start(&r.w->machine[2]) == 0);
    run_for(&r, NS_PER_S);
    machine_add_peers(r.m);
    machine_add_peers(&r.w->machine[2]);
    run_for(&r, 8 * NS_PER_S); /* alone, it serves after 5 s */
    while (cursor_left(&r.in) && !r.in.bad && oracle_violations(r.w->oracle) == 0)
        step(&r);
    run_for(&r, 100 * NS_PER_MS);
    must(oracle_violations(r.w->oracle) == 0);
    world_done(r.w);
    free(r.w);
    must(secret_slots_used() == slots);
    return 0;
}
