/* What goes wrong, when, for how long; and the traffic and probes around it. */
#include "base/bytes.h"
#include "base/err.h"
#include "sim/world.h"
#include <assert.h>
#include <stdio.h>

enum fault {
    FAULT_CRASH,
    FAULT_FREEZE,
    FAULT_FREEZE_DAEMON,
    FAULT_CUT_SYNC,
    FAULT_CUT_SYNC_ONE_WAY,
    FAULT_CUT_VRRP,
    FAULT_CUT_BOTH,
    FAULT_CUT_WAN,
    FAULT_LOSS,
    FAULT_DUPLICATE,
    FAULT_REORDER,
    FAULT_CLOCK_STEP,
    FAULT_ROAM,
    FAULT_EDIT,
    FAULT_DRAIN, /* an operator's, not a fault */
    FAULT_PROMOTE,
    FAULTS,
    FAULT_OPERATE, /* of runs about the stores */
    FAULT_CUT_PAIR,
    FAULT_DISK_FULL,
    FAULT_ROLL_BACK,
    FAULT_SWITCH, /* a client goes to another VIP, with its session or without */
    FAULTS_ALL,
    FAULT_TRAFFIC_UP, /* not faults, but planned the same way */
    FAULT_TRAFFIC_DOWN,
};

static const char *const names[] = {
    "crash",     "freeze",     "freeze-daemon", "cut-sync", "cut-sync-one-way",
    "cut-vrrp",  "cut-both",   "cut-wan",       "loss",     "duplicate",
    "reorder",   "clock-step", "roam",          "edit",     "drain",
    "promote",   "",           "operate",       "cut-pair", "disk-full",
    "roll-back", "switch"};

static struct event *plan(struct world *w, uint64_t delay_ns, enum fault f, bool begin,
                          struct machine *m)
{
    struct event *e = world_event(w, delay_ns, EVENT_FAULT, m);

    e->a = f;
    e->b = begin;
    return e;
}

static void packet(struct world *w, struct machine *client, bool up)
{
    uint8_t p[SIM_PACKET_LEN] = {0x45};
    uint64_t id = ++w->packet_id;
    unsigned c = client->number - w->members + 1;
    static const uint8_t server[4] = {10, 99, 0, 1};
    uint8_t inner[4] = {10, 77, (uint8_t)(w->vips > 1 ? client->home : 0), (uint8_t)c};

    store_be16(p + 2, SIM_PACKET_LEN);
    p[8] = 64;
    p[9] = 17;
    memcpy(p + 12, up ? inner : server, 4);
    memcpy(p + 16, up ? server : inner, 4);
    memcpy(p + 28, &id, sizeof(id));
    if (w->lossless)
        oracle_expect(w->oracle, w->now_ns, id);
    /* From the LAN a packet goes where the inner VIP is when it gets there. */
    struct event *e = world_event(w, SIM_LAN_DELAY_NS, EVENT_INNER, up ? client : NULL);
    e->bytes = malloc(sizeof(p));
    assert(e->bytes);
    memcpy(e->bytes, p, sizeof(p));
    e->len = sizeof(p);
    e->a = client->number;
}

static void cut(bool c[SIM_MEMBERS_MAX + 1][SIM_MEMBERS_MAX + 1], unsigned a, bool begin, bool both)
{
    for (unsigned i = 1; i <= SIM_MEMBERS_MAX; i++) {
        c[a][i] = begin;
        if (both || !begin)
            c[i][a] = begin;
    }
}

static void edit(struct world *w, struct machine *m)
{
    struct change *c = change_new(1);
    unsigned i = w->members + (unsigned)world_random(w, w->clients);
    struct peer_change *p = change_add_peer(c, &w->machine[i].key);

    p->has_name = true;
    snprintf(p->name, sizeof(p->name), "peer-%llu", (unsigned long long)world_random(w, 1000));
    node_change(m->node, c, NULL, machine_now(m));
}

/* @slot 0: all VIPs. */
static void move(struct machine *m, enum move_kind kind, uint16_t slot)
{
    struct sync_move what = {.kind = kind, .vip = slot, .member = m->member, .force = false};
    char reason[MOVE_REASON_LEN] = "";

    if (!m->alive || m->frozen || m->frozen_daemon)
        return;
    int r = node_move(m->node, &what, reason, machine_now(m));
    if (r < 0)
        world_trace(m->world, "m%u refuses: %s", m->member, reason);
    if (r < 0 && m->world->lossless)
        oracle_violation(m->world->oracle, m->world->now_ns, "a move was refused: %s", reason);
}

static void switch_vip(struct world *w, struct machine *c)
{
    c->talks = 1 + (unsigned)world_random(w, w->vips);
    world_trace(w, "c%u goes to VIP %u", c->number + 1, c->talks);
    if (world_random(w, 2)) {
        machine_crash(c);
        machine_start(c);
    }
    machine_add_peers(c);
}

void move_to(struct machine *m, uint16_t slot)
{
    move(m, MOVE_PROMOTE, slot);
}

void faults_run(struct world *w, struct event *e)
{
    struct machine *m = e->machine;
    bool begin = e->b;

    switch (e->a) {
    case FAULT_TRAFFIC_UP:
    case FAULT_TRAFFIC_DOWN: {
        bool up = e->a == FAULT_TRAFFIC_UP;
        uint64_t every = up ? m->up_every_ns : m->down_every_ns;
        packet(w, m, up);
        plan(w, every + world_random(w, every / 4), (enum fault)e->a, true, m);
        return;
    }
    default:
        break;
    }
    world_trace(w, "fault %s %s at %c%u", names[e->a], begin ? "begins" : "ends",
                m->member ? 'm' : 'c', m->number + 1);
    switch (e->a) {
    case FAULT_CRASH:
        if (begin && m->alive)
            machine_crash(m);
        else if (!begin && !m->alive)
            machine_start(m);
        break;
    case FAULT_FREEZE:
    case FAULT_FREEZE_DAEMON:
        if (!m->alive)
            break;
        if (begin)
            machine_freeze(m, e->a == FAULT_FREEZE_DAEMON);
        else
            machine_thaw(m);
        break;
    case FAULT_CUT_SYNC:
    case FAULT_CUT_SYNC_ONE_WAY:
        cut(w->cut_sync, m->member, begin, e->a == FAULT_CUT_SYNC);
        break;
    case FAULT_CUT_VRRP:
        cut(w->cut_vrrp, m->member, begin, true);
        break;
    case FAULT_CUT_BOTH:
        cut(w->cut_sync, m->member, begin, true);
        cut(w->cut_vrrp, m->member, begin, true);
        break;
    case FAULT_CUT_WAN:
        w->cut_wan[m->member] = begin;
        break;
    case FAULT_LOSS:
        w->loss_percent = begin ? 20 : 0;
        break;
    case FAULT_DUPLICATE:
        w->duplicate_percent = begin ? 20 : 0;
        break;
    case FAULT_REORDER:
        w->jitter_ns = begin ? 30 * NS_PER_MS : 0;
        break;
    case FAULT_CLOCK_STEP:
        if (begin)
            m->clock_ahead_ns +=
                (int64_t)world_random(w, 7200 * NS_PER_S) - 3600 * (int64_t)NS_PER_S;
        break;
    case FAULT_ROAM:
        if (begin) {
            struct machine *c = &w->machine[w->members + world_random(w, w->clients)];
            c->address.port = (uint16_t)(20000 + world_random(w, 20000));
        }
        break;
    case FAULT_OPERATE:
        if (begin && m->alive && !m->frozen && !m->frozen_daemon) {
            peers_edit(m);
            w->edits++;
        }
        break;
    case FAULT_CUT_PAIR: {
        unsigned other = 1 + m->number % w->members;

        other = other == m->member ? 1 + other % w->members : other;
        w->cut_sync[m->member][other] = w->cut_sync[other][m->member] = begin;
        break;
    }
    case FAULT_DISK_FULL:
        m->disk_full = begin && w->disk;
        break;
    case FAULT_ROLL_BACK:
        if (begin && m->alive && w->disk) {
            machine_crash(m);
            machine_roll_back(m);
        } else if (!begin && !m->alive) {
            machine_start(m);
        }
        break;
    case FAULT_EDIT:
        if (begin && m->alive && !m->frozen && !m->frozen_daemon)
            edit(w, m);
        break;
    case FAULT_SWITCH:
        switch_vip(w, m);
        break;
    case FAULT_DRAIN:
        move(m, begin ? MOVE_DRAIN : MOVE_UNDRAIN, (uint16_t)e->len);
        break;
    case FAULT_PROMOTE:
        if (begin)
            move(m, MOVE_PROMOTE, e->len ? (uint16_t)e->len : 1);
        w->promoted = true;
        break;
    }
}

void traffic_plan(struct world *w, struct machine *client)
{
    plan(w, 1, FAULT_TRAFFIC_UP, true, client);
    plan(w, 1, FAULT_TRAFFIC_DOWN, true, client);
}

/* @slot 0: drain all that a member has, promote it to the first. */
static uint64_t moves_of(struct world *w, uint16_t slot, unsigned count)
{
    uint64_t at = 3 * NS_PER_S;

    for (unsigned i = 0; i < count; i++) {
        /* Who holds the keys (S8): for others a move is a failover without them. */
        struct machine *m = &w->machine[world_random(w, MIN(w->members, HOLDERS_MAX + 1))];
        enum fault f = world_random(w, 2) ? FAULT_DRAIN : FAULT_PROMOTE;

        plan(w, at, f, true, m)->len = slot;
        at += 700 * NS_PER_MS + world_random(w, NS_PER_S);
        plan(w, at, f, false, m)->len = slot;
        at += 300 * NS_PER_MS + world_random(w, NS_PER_S);
    }
    return at;
}

void moves_plan(struct world *w, unsigned count)
{
    static const uint64_t rates[] = {1, 3, 10, 50, 200};
    uint64_t end = 0;

    for (unsigned i = 0; i < w->clients; i++) {
        struct machine *c = &w->machine[w->members + i];

        c->up_every_ns = rates[world_random(w, 5)] * NS_PER_MS;
        c->down_every_ns = rates[world_random(w, 5)] * NS_PER_MS;
        plan(w, world_random(w, NS_PER_S / 10), FAULT_TRAFFIC_UP, true, c);
        plan(w, world_random(w, NS_PER_S), FAULT_TRAFFIC_DOWN, true, c);
    }
    for (uint16_t slot = 1; slot <= w->vips; slot++) {
        uint64_t at = moves_of(w, w->vips > 1 ? slot : 0, count);

        end = MAX(end, at);
    }
    w->faults_end_ns = w->now_ns + end;
}

void faults_plan(struct world *w, unsigned count, uint64_t from_ns, uint64_t to_ns)
{
    static const uint64_t rates[] = {10, 50, 200, 1000, 5000, 30000};

    for (unsigned i = 0; i < w->clients; i++) {
        struct machine *c = &w->machine[w->members + i];
        c->up_every_ns = rates[world_random(w, 6)] * NS_PER_MS;
        c->down_every_ns = rates[world_random(w, 6)] * NS_PER_MS;
        plan(w, 100 * NS_PER_MS + world_random(w, NS_PER_S), FAULT_TRAFFIC_UP, true, c);
        plan(w, 3 * NS_PER_S + world_random(w, NS_PER_S), FAULT_TRAFFIC_DOWN, true, c);
    }
    for (unsigned i = 0; i < count; i++) {
        enum fault f = (enum fault)world_random(w, FAULTS);
        struct machine *m = &w->machine[world_random(w, w->members)];
        uint64_t at = from_ns + world_random(w, to_ns - from_ns) - w->now_ns;
        uint64_t length = 50 * NS_PER_MS + world_random(w, 12 * NS_PER_S);

        if (f == FAULT_CRASH) /* N7: no start sooner than 3 s after the last one */
            length = MAX(length, 3 * NS_PER_S);
        plan(w, at, f, true, m);
        plan(w, at + length, f, false, m);
        w->faults_end_ns = MAX(w->faults_end_ns, w->now_ns + at + length);
    }
    w->faults_end_ns = MAX(w->faults_end_ns, to_ns);
    for (unsigned i = 0; w->vips > 1 && i < 2 * w->clients; i++)
        plan(w, world_random(w, w->faults_end_ns - w->now_ns), FAULT_SWITCH, true,
             &w->machine[w->members + world_random(w, w->clients)]);
}

void faults_plan_store(struct world *w, uint64_t from_ns, uint64_t to_ns)
{
    static const enum fault kinds[] = {
        FAULT_CRASH,    FAULT_FREEZE,   FAULT_CUT_SYNC,  FAULT_CUT_SYNC_ONE_WAY, FAULT_CUT_PAIR,
        FAULT_CUT_PAIR, FAULT_CUT_PAIR, FAULT_DISK_FULL, FAULT_CLOCK_STEP,       FAULT_ROLL_BACK,
    };
    unsigned edits = 5 + (unsigned)world_random(w, 40), faults = (unsigned)world_random(w, 10);
    /* In bursts, so that edits meet. */
    uint64_t burst = 0;

    for (unsigned i = 0; i < edits; i++) {
        struct machine *m = &w->machine[world_random(w, w->members)];

        if (!burst || world_random(w, 3) == 0)
            burst = from_ns + world_random(w, to_ns - from_ns) - w->now_ns;
        plan(w, burst + world_random(w, 4 * NS_PER_MS), FAULT_OPERATE, true, m);
    }
    for (unsigned i = 0; i < faults; i++) {
        enum fault f = kinds[world_random(w, ARRAY_LEN(kinds))];

        if (w->disk && world_random(w, 2)) /* what a full disk did not take is lost in a crash */
            f = world_random(w, 2) ? FAULT_DISK_FULL : FAULT_CRASH;
        struct machine *m = &w->machine[world_random(w, w->members)];
        uint64_t at = from_ns + world_random(w, to_ns - from_ns) - w->now_ns;
        uint64_t length = 50 * NS_PER_MS + world_random(w, 12 * NS_PER_S);

        if (f == FAULT_CRASH || f == FAULT_ROLL_BACK) /* N7 */
            length = MAX(length, 3 * NS_PER_S);
        plan(w, at, f, true, m);
        /* A hole in the mesh that stays is no excuse where somebody is left to go around it. */
        if (f == FAULT_CUT_PAIR && w->members > 2 && world_random(w, 4) == 0 && !w->hole) {
            w->hole = true;
            continue;
        }
        plan(w, at + length, f, false, m);
        w->faults_end_ns = MAX(w->faults_end_ns, w->now_ns + at + length);
    }
    w->faults_end_ns = MAX(w->faults_end_ns, to_ns);
}
