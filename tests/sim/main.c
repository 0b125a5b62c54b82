/* gm-sim: a cluster, its clients and an attacker on one virtual clock.
 *
 *   gm-sim [--seed N] [--seeds N] [--seconds S] [--members M] [--clients C] [--moves N] [--lag]
 *          [--warm] [--active] [--switch] [--operators [--disk DIR [--haunt]]] [--trace] [--quiet]
 * [--plant NAME]
 *
 * --operators: no traffic; edits of peers on all members at once, and faults around them. With
 * --disk the databases are files in DIR, which get full, and are rolled back. With --haunt there is
 * one removal, and a member that comes back from before it when all others have forgotten it.
 *
 * With --moves nothing goes wrong: N planned moves, and not a packet may be lost (R11).
 * With --roam a silent client moves while its VIP does (R9a).
 * With --active there are as many VIPs as members, each member prefers one, and clients use all.
 * With --switch, of these, a client goes to another VIP with its session (O10).
 * With --warm members keep their session keys to themselves.
 * With --lag a session is made while replication lags, and its owner dies with it (rescue).
 * Exit status: 0 all seeds without a violation, 1 a violation (the seed is named), 2 usage.
 * With --plant (only in gm-sim-planted) the run is expected to find a violation: 0 found, 1 not. */
#include "base/bytes.h"
#include "base/err.h"
#include "base/plant.h"
#include "base/secret.h"
#include "noise/noise.h"
#include "sim/world.h"
#include <getopt.h>
#include <stdio.h>

#define SETTLE_NS (4 * NS_PER_S)
#define LIVENESS_NS (20 * NS_PER_S)
#define CONVERGE_NS (45 * NS_PER_S) /* three rounds of anti-entropy and some */

struct options {
    uint64_t seed, seeds, seconds;
    unsigned members, clients, moves;
    bool trace, quiet, lag, roam, warm, operators, active, change, haunt;
    const char *disk;
};

static void live(struct world *w, uint64_t since_ns)
{
    for (uint16_t slot = 1; slot <= w->vips; slot++) {
        unsigned owners = 0;

        for (unsigned i = 0; i < w->members; i++)
            owners += w->machine[i].alive && gate_owned(&w->machine[i].gate, slot);
        if (owners != 1)
            oracle_violation(w->oracle, w->now_ns, "%u members own VIP %u after all faults ended",
                             owners, slot);
        if (w->vips > 1 && !w->promoted && !w->machine[slot - 1].drained &&
            !gate_owned(&w->machine[slot - 1].gate, slot))
            oracle_violation(w->oracle, w->now_ns, "VIP %u did not come back to its member", slot);
    }
    for (unsigned i = w->members; i < w->members + w->clients; i++) {
        struct machine *c = &w->machine[i];

        if (c->up_every_ns < 2 * NS_PER_S && c->last_up_ns < since_ns)
            oracle_violation(w->oracle, w->now_ns,
                             "client %u: nothing reached the hub since the faults ended", i + 1);
        if (c->down_every_ns < 2 * NS_PER_S && c->last_down_ns < since_ns)
            oracle_violation(w->oracle, w->now_ns,
                             "client %u: nothing from the hub since the faults ended", i + 1);
    }
}

static uint64_t handshakes(const struct world *w)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < w->members; i++) {
        const struct node_counters *c = node_counters(w->machine[i].node);
        sum += c->handshakes_made[0] + c->handshakes_made[1] + c->initiations_sent;
    }
    return sum;
}

/* Planned moves under traffic, within the life of one session. */
static void run_moves(struct world *w, unsigned moves)
{
    moves_plan(w, moves);
    world_run(w, w->now_ns + 2 * NS_PER_S); /* sessions are there */
    uint64_t before = handshakes(w);
    w->lossless = true;
    world_run(w, w->faults_end_ns + NS_PER_S);
    w->lossless = false;
    world_run(w, w->now_ns + NS_PER_S); /* what is under way arrives */
    if (oracle_violations(w->oracle))
        return;
    if (handshakes(w) != before)
        oracle_violation(w->oracle, w->now_ns, "%llu handshakes because of planned moves",
                         (unsigned long long)(handshakes(w) - before));
    uint64_t worst = oracle_all_delivered(w->oracle, w->now_ns);
    uint64_t strays = 0;
    for (unsigned i = 0; i < w->members; i++)
        strays += node_counters(w->machine[i].node)->strays;
    world_trace(w, "the slowest packet took %.3f ms, %llu were passed on", (double)worst / 1e6,
                (unsigned long long)strays);
    if (worst > 2 * SIM_WAN_DELAY_NS + 30 * NS_PER_MS)
        oracle_violation(w->oracle, w->now_ns, "a packet took %.3f ms", (double)worst / 1e6);
}

/* The client's session is known to its owner alone, and the owner dies: the successor must not
 * leave the client to its own 15 s. */
static void run_lag(struct world *w)
{
    struct machine *owner = &w->machine[w->arp[1] - 1], *c = &w->machine[w->members];

    c->up_every_ns = 20 * NS_PER_MS;
    c->down_every_ns = 3600 * NS_PER_S;
    traffic_plan(w, c);
    world_run(w, w->now_ns + 3 * NS_PER_S);
    w->sync_lag_ns = 800 * NS_PER_MS;
    machine_crash(c);
    machine_start(c); /* it comes back at the same address, without a session */
    machine_add_peers(c);
    world_run(w, w->now_ns + 300 * NS_PER_MS);
    uint64_t died = w->now_ns;
    bool had = c->last_up_ns > died - 100 * NS_PER_MS;
    machine_crash(owner);
    w->sync_lag_ns = 0;
    world_run(w, died + 3 * NS_PER_S);
    if (!had)
        oracle_violation(w->oracle, w->now_ns, "the client had no session");
    if (c->last_up_ns < died + 2 * NS_PER_S)
        oracle_violation(w->oracle, w->now_ns, "the client is deaf since its owner died");
}

/* A client that only listens moves while its VIP moves, and then says so little that all of it is
 * below what the adopter may accept (R9a): the hub finds it at its new address. */
static void run_roam(struct world *w)
{
    struct machine *owner = &w->machine[w->arp[1] - 1], *c = &w->machine[w->members];

    c->up_every_ns = 10 * NS_PER_S;
    c->down_every_ns = 200 * NS_PER_MS;
    traffic_plan(w, c);
    world_run(w, w->now_ns + 3 * NS_PER_S);
    machine_crash(owner);
    world_run(w, w->now_ns + 600 * NS_PER_MS);
    c->address.port++;
    world_run(w, w->now_ns + 13 * NS_PER_S); /* at least one word of it */
    uint64_t now = w->now_ns;
    world_run(w, now + NS_PER_S);
    if (c->last_down_ns < now)
        oracle_violation(w->oracle, w->now_ns, "the client that moved is deaf");
}

/* What the attacker heard last of the client, sent to another VIP. */
static void copy_to(struct world *w, const struct machine *c, uint16_t slot)
{
    for (unsigned i = w->recorded_count; i-- > 0;) {
        const struct recorded *r = &w->recorded[i];

        if (!endpoint_equal(&r->from, &c->address) || r->bytes[0] != MESSAGE_DATA)
            continue;
        struct event *e = world_event(w, SIM_WAN_DELAY_NS, EVENT_DATAGRAM, NULL);
        e->from = w->attacker_address;
        e->to = w->vip[slot];
        e->bytes = malloc(r->len);
        if (!e->bytes)
            abort();
        memcpy(e->bytes, r->bytes, r->len);
        e->len = r->len;
        return;
    }
}

/* A client goes to another member's VIP with the session that it has: it is heard there within a
 * moment, and makes no handshake (O10). */
static void run_switch(struct world *w)
{
    struct machine *c = &w->machine[w->members];

    c->up_every_ns = 20 * NS_PER_MS;
    c->down_every_ns = 3600 * NS_PER_S;
    traffic_plan(w, c);
    world_run(w, w->now_ns + 3 * NS_PER_S);
    uint64_t before = handshakes(w), adopted = node_counters(w->machine[1].node)->adopted_hot;
    copy_to(w, c, 2);
    world_run(w, w->now_ns + 1100 * NS_PER_MS);
    if (node_counters(w->machine[1].node)->adopted_hot != adopted)
        oracle_violation(w->oracle, w->now_ns, "a copy of a packet moved a session");
    c->talks = 2;
    machine_add_peers(c);
    world_run(w, w->now_ns + 200 * NS_PER_MS);
    uint64_t now = w->now_ns;
    world_run(w, now + NS_PER_S);
    if (c->last_up_ns < now + NS_PER_S - 100 * NS_PER_MS)
        oracle_violation(w->oracle, w->now_ns, "a client that changed the VIP is not heard");
    if (handshakes(w) != before)
        oracle_violation(w->oracle, w->now_ns, "a client that changed the VIP needs a handshake");
}

/* Operators at work on all members while links, disks, clocks and members fail. */
static void run_operators(struct world *w, const struct options *o)
{
    uint64_t from = w->now_ns + NS_PER_S;

    world_run(w, from);
    faults_plan_store(w, from, from + o->seconds * NS_PER_S);
    world_run(w, w->faults_end_ns);
    world_run(w, w->now_ns + CONVERGE_NS);
    if (!oracle_violations(w->oracle))
        peers_converged(w);
}

static void expect_peer(struct world *w, bool there, const char *else_)
{
    struct public_key key = peers_key(0);

    for (unsigned i = 0; i < w->members; i++)
        if ((store_record(w->machine[i].store, 1, &key) != NULL) != there)
            oracle_violation(w->oracle, w->now_ns, "m%u: %s", i + 1, else_);
}

static void back_from_the_disk(struct machine *m)
{
    machine_crash(m);
    machine_roll_back(m);
    machine_start(m);
}

/* P4: a removal that everybody knows is forgotten, and the peer does not come back all the same. */
static void run_haunt(struct world *w)
{
    struct machine *first = &w->machine[0], *old = &w->machine[1];

    world_run(w, w->now_ns + 2 * NS_PER_S);
    peers_say(first, 0, false);
    world_run(w, w->now_ns + 3 * NS_PER_S);
    back_from_the_disk(old); /* its database of now is kept */
    world_run(w, w->now_ns + 8 * NS_PER_S);
    expect_peer(w, true, "the peer was not added");
    peers_say(first, 0, true);
    world_run(w, w->now_ns + 20 * NS_PER_S);
    expect_peer(w, false, "the removal is not forgotten");
    back_from_the_disk(old);
    if (store_count(old->store, 1, PEER_ACTIVE) != 1)
        oracle_violation(w->oracle, w->now_ns, "the database is not that from before");
    world_run(w, w->now_ns + CONVERGE_NS);
    for (unsigned i = 0; i < w->members; i++)
        if (store_count(w->machine[i].store, 1, PEER_ACTIVE))
            oracle_violation(w->oracle, w->now_ns, "m%u has the removed peer again", i + 1);
    peers_converged(w);
}

static void run_traffic(struct world *w, const struct options *o)
{
    uint64_t start = w->now_ns;

    world_run(w, start + NS_PER_S);
    machine_add_peers(&w->machine[0]);
    for (unsigned i = w->members; i < w->members + w->clients; i++)
        machine_add_peers(&w->machine[i]);
    world_run(w, start + SETTLE_NS);
    uint64_t faults_to = start + SETTLE_NS + o->seconds * NS_PER_S;
    if (o->roam) {
        run_roam(w);
    } else if (o->change) {
        run_switch(w);
    } else if (o->lag) {
        run_lag(w);
    } else if (o->moves) {
        run_moves(w, o->moves);
    } else {
        faults_plan(w, 3 + (unsigned)world_random(w, 10), w->now_ns, faults_to);
        world_run(w, w->faults_end_ns);
        world_run(w, w->now_ns + LIVENESS_NS);
    }
    if (!oracle_violations(w->oracle) && !o->lag && !o->roam && !o->change) {
        uint64_t probe = w->now_ns; /* two-way data by now; look for some of it */
        world_run(w, probe + 8 * NS_PER_S);
        live(w, probe);
        peers_converged(w);
    }
}

static unsigned run(const struct options *o, uint64_t seed, uint64_t *ret_digest)
{
    struct world *w = calloc(1, sizeof(*w));
    unsigned violations;

    if (!w)
        return 1;
    unsigned spread = o->operators ? 4 : 2;
    unsigned members = o->members  ? o->members
                       : o->active ? 2 + (unsigned)(seed % 3)
                                   : 2 + (unsigned)(seed % spread);
    world_init(w, seed, members,
               o->operators ? 0
               : o->clients ? o->clients
                            : 1 + (unsigned)(seed % 5),
               o->active ? members : 1);
    w->trace = o->trace;
    w->warm = o->warm;
    w->operators = o->operators;
    w->disk = o->disk;
    w->attacker = seed % 3 != 0;
    for (unsigned i = 0; i < w->members + w->clients; i++)
        if (machine_start(&w->machine[i]) < 0)
            return 1;
    if (o->haunt)
        run_haunt(w);
    else if (o->operators)
        run_operators(w, o);
    else
        run_traffic(w, o);
    violations = oracle_violations(w->oracle);
    *ret_digest = w->digest;
    if (o->operators && (!o->quiet || violations))
        printf("seed %llu: %u members, %llu events, %llu edits, %llu revocations, digest %016llx, "
               "%u violations\n",
               (unsigned long long)seed, w->members, (unsigned long long)w->events_run,
               (unsigned long long)w->edits, (unsigned long long)w->revocations,
               (unsigned long long)w->digest, violations);
    else if (!o->quiet || violations)
        printf("seed %llu: %u members, %u clients, %llu events, %llu packets, %llu delivered, "
               "digest %016llx, "
               "%u violations\n",
               (unsigned long long)seed, w->members, w->clients, (unsigned long long)w->events_run,
               (unsigned long long)oracle_packets(w->oracle),
               (unsigned long long)oracle_deliveries(w->oracle), (unsigned long long)w->digest,
               violations);
    world_done(w);
    free(w);
    return violations;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"seed", required_argument, NULL, 's'},    {"seeds", required_argument, NULL, 'n'},
        {"seconds", required_argument, NULL, 't'}, {"members", required_argument, NULL, 'm'},
        {"clients", required_argument, NULL, 'c'}, {"moves", required_argument, NULL, 'M'},
        {"roam", no_argument, NULL, 'R'},          {"lag", no_argument, NULL, 'L'},
        {"warm", no_argument, NULL, 'W'},          {"trace", no_argument, NULL, 'T'},
        {"plant", required_argument, NULL, 'p'},   {"quiet", no_argument, NULL, 'q'},
        {"operators", no_argument, NULL, 'o'},     {"active", no_argument, NULL, 'a'},
        {"switch", no_argument, NULL, 'S'},        {"disk", required_argument, NULL, 'd'},
        {"haunt", no_argument, NULL, 'H'},         {NULL, 0, NULL, 0},
    };
    struct options o = {.seed = 1, .seeds = 1, .seconds = 60};
    uint64_t v = 0;
    bool planted = false;
    unsigned bad = 0;
    int c;

    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c != 'T' && c != 'L' && c != 'W' && c != 'R' && c != 'p' && c != 'q' && c != 'o' &&
            c != 'a' && c != 'S' && c != 'd' && c != 'H' &&
            (c == '?' || !parse_u64(optarg, 0, UINT64_MAX / 2, &v))) {
            fprintf(stderr,
                    "usage: gm-sim [--seed N] [--seeds N] [--seconds S] [--members M] "
                    "[--clients C] [--moves N] [--lag] [--roam] [--warm] [--active] [--switch] "
                    "[--operators [--disk DIR [--haunt]]] [--trace] [--quiet] [--plant NAME]\n");
            return 2;
        }
        switch (c) {
        case 's':
            o.seed = v;
            break;
        case 'n':
            o.seeds = v;
            break;
        case 't':
            o.seconds = v;
            break;
        case 'm':
            o.members = (unsigned)MIN(v, SIM_MEMBERS_MAX);
            break;
        case 'c':
            o.clients = (unsigned)MIN(v, SIM_CLIENTS_MAX);
            break;
        case 'M':
            o.moves = (unsigned)MIN(v, 20);
            break;
        case 'R':
            o.roam = true;
            break;
        case 'W':
            o.warm = true;
            break;
        case 'L':
            o.lag = true;
            break;
        case 'T':
            o.trace = true;
            break;
        case 'o':
            o.operators = true;
            break;
        case 'S':
            o.active = o.change = true;
            break;
        case 'a':
            o.active = true;
            break;
        case 'H':
            o.haunt = true;
            break;
        case 'd':
            o.disk = optarg;
            break;
        case 'q':
            o.quiet = true;
            break;
        case 'p':
            planted = true;
            if (!plant_choose(optarg)) {
                fprintf(stderr, "gm-sim: no planted bug '%s' in this binary\n", optarg);
                return 2;
            }
            break;
        }
    }
    if (noise_init() < 0 || secret_arena_init(1 << 16, false) < 0) {
        fprintf(stderr, "gm-sim: the crypto libraries do not start\n");
        return 1;
    }
    for (uint64_t seed = o.seed; seed < o.seed + o.seeds; seed++) {
        uint64_t digest;

        if (run(&o, seed, &digest)) {
            bad++;
            if (planted)
                break;
        }
    }
    if (o.seeds > 1 || planted)
        printf("%llu seeds, %u with violations\n", (unsigned long long)o.seeds, bad);
    return planted ? bad == 0 : bad != 0;
}
