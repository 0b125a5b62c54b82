#include "sim/scenarios.h"
#include "base/err.h"
#include "sim/scenario_kit.h"
#include <string.h>

#define SETTLE_NS (4 * NS_PER_S)
#define LIVENESS_NS (20 * NS_PER_S)
#define CONVERGE_NS (45 * NS_PER_S) /* three rounds of anti-entropy and some */
#define BREAK_NS (300 * NS_PER_MS)
#define FOUND_NS (300 * NS_PER_MS) /* the link address of who was on the other side */
#define HEAL_NS NS_PER_S           /* a split brain is over, two-way data is back */
#define DEAF_NS (16 * NS_PER_S)    /* the client's own 15 s, and a handshake */

/* Any other member; the seed draws which. */
static struct machine *backup(struct world *w)
{
    unsigned holders = MIN(w->members, HOLDERS_MAX + 1);
    unsigned n = (unsigned)world_random(w, holders - 1);

    return &w->machine[n + (n + 1 >= w->arp[1])];
}

void scenario_traffic(struct world *w, uint64_t up_ms, uint64_t down_ms)
{
    for (unsigned i = 0; i < w->clients; i++) {
        client(w, i)->up_every_ns = up_ms * NS_PER_MS;
        client(w, i)->down_every_ns = down_ms * NS_PER_MS;
        traffic_plan(w, client(w, i));
    }
}

void scenario_live(struct world *w, uint64_t since_ns, const char *what)
{
    for (uint16_t slot = 1; slot <= w->vips; slot++) {
        unsigned owners = 0;

        for (unsigned i = 0; i < w->members; i++)
            owners += w->machine[i].alive && gate_owned(&w->machine[i].gate, slot);
        if (owners != 1)
            oracle_violation(w->oracle, w->now_ns, "%u members own VIP %u %s", owners, slot, what);
        if (w->vips > 1 && !w->promoted && !w->machine[slot - 1].drained &&
            !gate_owned(&w->machine[slot - 1].gate, slot))
            oracle_violation(w->oracle, w->now_ns, "VIP %u did not come back to its member", slot);
    }
    for (unsigned i = 0; i < w->clients; i++) {
        struct machine *c = client(w, i);

        if (c->up_every_ns < 2 * NS_PER_S && c->last_up_ns < since_ns)
            oracle_violation(w->oracle, w->now_ns, "client %u: nothing reaches the hub %s",
                             c->number + 1, what);
        if (c->down_every_ns < 2 * NS_PER_S && c->last_down_ns < since_ns)
            oracle_violation(w->oracle, w->now_ns, "client %u: nothing from the hub %s",
                             c->number + 1, what);
    }
}

/* ---- whatever may go wrong ---- */

static void look_at_the_end(struct world *w)
{
    if (!clean(w))
        return;
    uint64_t probe = w->now_ns; /* two-way data by now; look for some of it */
    run_for(w, 8000);
    scenario_live(w, probe, "after all faults ended");
    peers_converged(w);
}

static void run_faults(struct world *w, uint64_t seconds)
{
    faults_plan(w, 3 + (unsigned)world_random(w, 10), w->now_ns, w->now_ns + seconds * NS_PER_S);
    world_run(w, w->faults_end_ns);
    world_run(w, w->now_ns + LIVENESS_NS);
    look_at_the_end(w);
}

/* Operators at work on all members while links, disks, clocks and members fail. */
static void run_operators(struct world *w, uint64_t seconds)
{
    uint64_t from = w->now_ns + NS_PER_S;

    world_run(w, from);
    faults_plan_store(w, from, from + seconds * NS_PER_S);
    world_run(w, w->faults_end_ns);
    world_run(w, w->now_ns + CONVERGE_NS);
    if (clean(w))
        peers_converged(w);
}

static void expect_peer(struct world *w, bool there, const char *or_else)
{
    struct public_key key = peers_key(0);

    for (unsigned i = 0; i < w->members; i++)
        if ((store_record(w->machine[i].store, 1, &key) != NULL) != there)
            oracle_violation(w->oracle, w->now_ns, "m%u: %s", i + 1, or_else);
}

static void back_from_the_disk(struct machine *m)
{
    machine_crash(m);
    machine_roll_back(m);
    machine_start(m);
}

/* P4: a removal that everybody knows is forgotten, and the peer does not come back all the same. */
static void run_haunt(struct world *w, uint64_t seconds)
{
    struct machine *first = &w->machine[0], *old = &w->machine[1];

    run_for(w, 2000);
    peers_say(first, 0, false);
    run_for(w, 3000);
    back_from_the_disk(old); /* its database of now is kept */
    run_for(w, 8000);
    expect_peer(w, true, "the peer was not added");
    peers_say(first, 0, true);
    run_for(w, 20000);
    expect_peer(w, false, "the removal is not forgotten");
    back_from_the_disk(old);
    if (store_count(old->store, 1, PEER_ACTIVE) != 1)
        violation(w, "the database is not that from before");
    world_run(w, w->now_ns + CONVERGE_NS);
    for (unsigned i = 0; i < w->members; i++)
        if (store_count(w->machine[i].store, 1, PEER_ACTIVE))
            oracle_violation(w->oracle, w->now_ns, "m%u has the removed peer again", i + 1);
    peers_converged(w);
}

/* ---- planned moves ---- */

uint64_t scenario_handshakes_of(const struct machine *m)
{
    const struct node_counters *c = m->alive ? node_counters(m->node) : NULL;

    return c ? c->handshakes_made[0] + c->handshakes_made[1] + c->initiations_sent : 0;
}

uint64_t scenario_handshakes(const struct world *w)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < w->members; i++)
        sum += scenario_handshakes_of(&w->machine[i]);
    return sum;
}

/* Under traffic, within the life of one session. */
static void run_moves(struct world *w, uint64_t seconds)
{
    moves_plan(w, 10);
    run_for(w, 2000); /* sessions are there */
    uint64_t before = scenario_handshakes(w);
    w->lossless = true;
    world_run(w, w->faults_end_ns + NS_PER_S);
    w->lossless = false;
    run_for(w, 1000); /* what is under way arrives */
    if (!clean(w))
        return;
    if (scenario_handshakes(w) != before)
        oracle_violation(w->oracle, w->now_ns, "%llu handshakes because of planned moves",
                         (unsigned long long)(scenario_handshakes(w) - before));
    uint64_t worst = oracle_all_delivered(w->oracle, w->now_ns);
    world_trace(w, "the slowest packet took %.3f ms", (double)worst / 1e6);
    if (worst > 2 * SIM_WAN_DELAY_NS + 30 * NS_PER_MS)
        oracle_violation(w->oracle, w->now_ns, "a packet took %.3f ms", (double)worst / 1e6);
    look_at_the_end(w);
}

/* ---- crashes ---- */

/* Owners die in turn and come back, a move between; the attacker sends again what it heard. */
static void run_takeovers(struct world *w, uint64_t seconds)
{
    w->attacker = true;
    w->replay_one_in = 4;
    scenario_traffic(w, 3 + world_random(w, 20), 3 + world_random(w, 20));
    run_for(w, 2000);
    oracle_orderly(w->oracle);
    for (unsigned i = 0; i < 3 && clean(w); i++) {
        struct machine *dies = owner(w);

        machine_crash(dies);
        run_for(w, 2000);
        scenario_live(w, w->now_ns - NS_PER_S, "after a takeover");
        machine_start(dies);
        run_for(w, 3000);
        for (unsigned n = 0; n < 3;
             n++) { /* there and back: a stay of each process after another */
            move_to(backup(w), 1);
            run_for(w, 1000);
        }
    }
}

/* Acks come later than a packet may wait (T_HOLD), so the owner accepts what no holder promised to
 * leave alone, and dies: whoever heard of that must not adopt (R7, R9). */
static void run_late_acks(struct world *w, uint64_t seconds)
{
    w->attacker = w->attacker_stays = true;
    scenario_traffic(w, 4, 50);
    run_for(w, 2000);
    for (unsigned i = 0; i < 4 && clean(w); i++) {
        struct machine *dies = owner(w);

        w->sync_lag_ns = 40 * NS_PER_MS;
        run_for(w, 20 + world_random(w, 60));
        machine_crash(dies);
        w->sync_lag_ns = 0;
        w->replay_one_in = 1;
        run_for(w, 2500);
        w->replay_one_in = 50;
        machine_start(dies);
        run_for(w, 3000);
    }
    scenario_live(w, w->now_ns - NS_PER_S, "after the last takeover");
}

/* ---- sleep ---- */

/* The owner stands still, its successor dies, and it wakes up alone: what was accepted meanwhile it
 * cannot know (R12). */
static void run_sleepers(struct world *w, uint64_t seconds)
{
    struct machine *sleeps = owner(w), *takes;

    w->attacker = true;
    scenario_traffic(w, 10, 10);
    run_for(w, 2000);
    machine_freeze(sleeps, world_random(w, 2));
    run_for(w, 9000);
    takes = owner(w);
    if (takes == sleeps) {
        violation(w, "nobody took over from a member that stands still");
        return;
    }
    machine_crash(takes);
    w->replay_one_in = 1;
    run_for(w, world_random(w, 200));
    machine_thaw(sleeps);
    run_for(w, 6000);
    if (clean(w))
        scenario_live(w, w->now_ns - NS_PER_S, "after the sleeper woke up alone");
}

/* Both have the VIP; one falls asleep, is given up as a holder, and wakes up when the other is
 * dead. */
static void run_believers(struct world *w, uint64_t seconds)
{
    struct machine *sleeps = owner(w), *takes = backup(w);

    w->attacker = true;
    scenario_traffic(w, 10, 10);
    run_for(w, 2000);
    w->cut_vrrp[sleeps->member][takes->member] = w->cut_vrrp[takes->member][sleeps->member] = true;
    run_for(w, 1500 + world_random(w, 1000));
    if (owner(w) != takes) {
        violation(w, "a member that heard no owner did not take the VIP");
        return;
    }
    /* Nobody is heard while the sleeper still counts as a holder, or it is told of each packet. */
    scenario_traffic(w, 100000, 100000);
    run_for(w, 500);
    machine_freeze(sleeps, false);
    run_for(w, 1500);
    scenario_traffic(w, 10, 10);
    run_for(w, 500 + world_random(w, 6000));
    machine_crash(takes);
    w->replay_one_in = 1;
    machine_thaw(sleeps);
    run_for(w, 8000);
    if (clean(w))
        scenario_live(w, w->now_ns - NS_PER_S, "after the sleeper woke up alone");
}

/* The backup stands still, with the owner's words queued; the owner dies while it does. What the
 * queue says is old (R9). */
static void run_dozers(struct world *w, uint64_t seconds)
{
    struct machine *dies = owner(w), *sleeps = backup(w);

    w->attacker = true;
    scenario_traffic(w, 600, 20); /* so little that nothing has to wait for the sleeper's acks */
    run_for(w, 2000);
    machine_freeze(sleeps, true);
    run_for(w, 8000);
    machine_crash(dies);
    run_for(w, world_random(w, 200));
    w->replay_one_in = 1;
    machine_thaw(sleeps);
    run_for(w, 6000);
    if (clean(w))
        scenario_live(w, w->now_ns - NS_PER_S, "after the sleeper took over");
}

/* An owner that stood still for a moment goes on as the owner. */
static void run_naps(struct world *w, uint64_t seconds)
{
    scenario_traffic(w, 10, 10);
    run_for(w, 2000);
    uint64_t before = scenario_handshakes(w);
    for (unsigned i = 0; i < 5 && clean(w); i++) {
        struct machine *sleeps = owner(w);

        machine_freeze(sleeps, true);
        run_for(w, 220 + world_random(w, 60));
        machine_thaw(sleeps);
        uint64_t woke = w->now_ns;
        run_for(w, 1000);
        scenario_live(w, woke, "a second after a nap");
    }
    if (clean(w) && scenario_handshakes(w) != before)
        violation(w, "a nap of the owner cost handshakes");
}

/* Only a member without keys is left, makes sessions, and loses the VIP to one that has them since;
 * what it kept of them is worth nothing when it is left alone again (S8, R15). */
static void run_outsiders(struct world *w, uint64_t seconds)
{
    struct machine *first = &w->machine[0];

    w->attacker = w->attacker_stays = true;
    w->replay_one_in = 1;
    scenario_traffic(w, 10, 50);
    run_for(w, 1000);
    for (unsigned i = 0; i < w->members - 1; i++)
        machine_crash(&w->machine[i]);
    run_for(w, 4000);
    machine_start(first);
    run_for(w, 5000);
    if (owner(w) != first)
        violation(w, "the VIP is not with the member that holds keys");
    machine_crash(first);
    run_for(w, 4000);
    if (clean(w))
        scenario_live(w, w->now_ns - NS_PER_S, "with the member that holds no keys");
}

/* ---- one life after another ---- */

/* A member dies and adopts its own former session from a sibling; its start counter is durable, or
 * lost, or rolled back (N5, N6). */
static void run_restarts(struct world *w, uint64_t seconds)
{
    scenario_traffic(w, 10, 5);
    run_for(w, 2000);
    for (unsigned i = 0; i < 4 && clean(w); i++) {
        struct machine *dies = owner(w), *other = backup(w);

        dies->kept_seq = dies->seq - 1; /* as before this life */
        move_to(other, 1);
        run_for(w, 1500);
        move_to(dies, 1); /* it adopts, and so does the next life of it */
        run_for(w, 1500);
        machine_crash(dies);
        run_for(w, 3000);
        dies->seq_lost = i == 2;
        if (i % 2)
            dies->seq = dies->kept_seq;
        machine_start(dies);
        run_for(w, 3000);
        move_to(dies, 1);
        run_for(w, 2000);
    }
    scenario_live(w, w->now_ns - NS_PER_S, "after the last restart");
}

/* The first life of member 1 adopts and sends; the second has lost its state, and the only member
 * that is left never heard of the first (N6). */
static void run_strangers(struct world *w, uint64_t seconds)
{
    struct machine *lost = &w->machine[0], *knows = &w->machine[1], *stranger = &w->machine[2];

    machine_crash(stranger); /* its first life has heard of nobody that counts */
    machine_crash(lost);
    run_for(w, 2000);
    machine_start(lost);
    lost->life_number = lost->seq;
    scenario_traffic(w, 10, 5);
    run_for(w, 3000);
    move_to(knows, 1);
    run_for(w, 1500);
    move_to(lost, 1);
    run_for(w, 1500);
    machine_crash(lost);
    run_for(w, 2000);
    machine_start(stranger);
    run_for(w, 3000);
    machine_crash(knows);
    run_for(w, 2000);
    lost->seq_lost = true;
    lost->seq_from = lost->life_number - 1;
    machine_start(lost);
    run_for(w, 3000);
    move_to(lost, 1);
    run_for(w, 3000);
    if (clean(w))
        scenario_live(w, w->now_ns - NS_PER_S, "after a life without a past");
}

/* Bursts and silences: ceilings rise and come down (R4, R5). */
static void run_bursts(struct world *w, uint64_t seconds)
{
    scenario_traffic(w, 4, 1000);
    for (unsigned i = 0; i < 20 && clean(w); i++) {
        for (unsigned c = 0; c < w->clients; c++)
            client(w, c)->up_every_ns = i % 2 ? 4 * NS_PER_MS : 150 * NS_PER_MS;
        w->jitter_ns = i % 4 < 2 ? 0 : 20 * NS_PER_MS;
        run_for(w, 300 + world_random(w, 700));
    }
}

/* A rolling upgrade, a sibling of the owner still to come: it is told of one key at a time what the
 * others are told of all together, and holds as good replicas as they do. */
static void run_mixed(struct world *w, uint64_t seconds)
{
    struct machine *earlier = backup(w);

    machine_crash(earlier);
    w->mixed = earlier->earlier_build = true;
    machine_start(earlier);
    run_for(w, 3000);
    run_bursts(w, seconds);
    if (!w->raises_alone || !w->raises_together)
        oracle_violation(w->oracle, w->now_ns, "%llu raises alone, %llu messages of several",
                         (unsigned long long)w->raises_alone,
                         (unsigned long long)w->raises_together);
    if (node_counters(owner(w)->node)->dirty)
        violation(w, "a packet waited for a raise in vain");
    machine_crash(owner(w));
    run_for(w, 3000);
    if (clean(w))
        scenario_live(w, w->now_ns - 3 * NS_PER_S / 2, "with members of two builds left");
}

/* No handshake gets through, and members die: a key is 180 s old for all of them at once, and in no
 * memory after 540 s. What the attacker kept back comes late. */
static void run_expiry(struct world *w, uint64_t seconds)
{
    w->attacker = true;
    scenario_traffic(w, 700, 700);
    run_for(w, 2000);
    w->no_handshakes = true;
    w->loss_percent = 20;
    for (unsigned i = 0; i < 3 && clean(w); i++) {
        struct machine *dies = owner(w);

        run_for(w, 50000);
        machine_crash(dies);
        run_for(w, 4000);
        machine_start(dies);
    }
    w->replay_one_in = 2;
    run_for(w, 400000);
}

/* ---- two members that both believe ---- */

static void cut_off(struct world *w, unsigned id, bool sync, bool vrrp)
{
    for (unsigned i = 1; i <= w->members; i++) {
        w->cut_sync[id][i] = w->cut_sync[i][id] = sync && i != id;
        w->cut_vrrp[id][i] = w->cut_vrrp[i][id] = vrrp && i != id;
    }
}

/* No client is silent for longer than @most_ns while @ms go by. */
static void flows_on(struct world *w, uint64_t ms, uint64_t most_ns, const char *since)
{
    uint64_t until = w->now_ns + ms * NS_PER_MS;

    while (w->now_ns < until && clean(w)) {
        run_for(w, 20);
        for (unsigned i = 0; i < w->clients; i++) {
            struct machine *c = client(w, i);
            uint64_t heard = MIN(c->last_up_ns, c->last_down_ns);

            if (w->now_ns > heard + most_ns)
                oracle_violation(w->oracle, w->now_ns, "client %u is silent for %.2f s after %s",
                                 c->number + 1, (double)(w->now_ns - heard) / 1e9, since);
        }
    }
}

/* A minute of split brain, with clients on both sides that now and then change sides. Nobody is
 * deaf for more than 16 s; a second after it heals all have two-way data. */
static void run_split(struct world *w, uint64_t seconds)
{
    uint64_t flipped[SIM_CLIENTS_MAX], until = w->now_ns + 62 * NS_PER_S;

    w->attacker_stays = true; /* a first copy from elsewhere is roaming, and nothing heals that */
    for (unsigned i = 0; i < w->members; i++)
        w->machine[i].clock_ahead_ns = 0; /* of stamps made apart the later clock's win (F13) */
    scenario_traffic(w, 50, 30);
    run_for(w, 2000);
    unsigned first = w->arp[1], second = backup(w)->member;
    cut_off(w, second, true, true);
    w->divided = true;
    w->divided_sides[0] = (uint8_t)first;
    w->divided_sides[1] = (uint8_t)second;
    for (unsigned i = 0; i < w->clients; i++) {
        w->side[i] = (uint8_t)(i % 2 ? first : second);
        flipped[i] = w->now_ns + NS_PER_S; /* VRRP needs a while to break */
    }
    while (w->now_ns < until && clean(w)) {
        run_for(w, 250);
        for (unsigned i = 0; i < w->clients; i++) {
            struct machine *c = client(w, i);
            uint64_t heard = MAX(flipped[i], MIN(c->last_up_ns, c->last_down_ns));

            if (w->now_ns > heard && w->now_ns - heard > DEAF_NS)
                oracle_violation(w->oracle, w->now_ns, "client %u is deaf for %.1f s",
                                 c->number + 1, (double)(w->now_ns - heard) / 1e9);
            if (world_random(w, 80) == 0) {
                w->side[i] = (uint8_t)(w->side[i] == first ? second : first);
                flipped[i] = w->now_ns;
            }
        }
    }
    if (world_random(w, 3) == 0) { /* the links may be there before the next advert */
        cut_off(w, second, false, true);
        run_for(w, world_random(w, SIM_ADVERT_NS / NS_PER_MS));
        cut_off(w, second, false, false);
    } else {
        cut_off(w, second, true, false); /* TCP and ARP make them take longer */
    }
    w->divided = false;
    uint64_t healed = w->now_ns;
    w->all_found_ns = healed + FOUND_NS;
    for (unsigned i = 0; i < w->clients; i++) /* those that were on the other side */
        w->found_ns[i] = healed + world_random(w, 2) * world_random(w, FOUND_NS);
    world_run(w, healed + HEAL_NS);
    uint64_t since = w->now_ns - 200 * NS_PER_MS;
    if (clean(w))
        scenario_live(w, since, "a second after a split brain healed");
    flows_on(w, 1500, BREAK_NS, "a split brain healed");
    cut_off(w, second, false, false);
    flows_on(w, 3000, BREAK_NS, "the sync link of a split brain is back");
    run_for(w, 17000);
    look_at_the_end(w);
}

/* VRRP alone is cut: both believe, and talk to each other about it. What one accepted the other
 * does not (R10), and sessions go to where their packets come. */
static void run_twins(struct world *w, uint64_t seconds)
{
    w->attacker = w->attacker_stays = true;
    w->replay_one_in = 5;
    scenario_traffic(w, 20, 20);
    run_for(w, 2000);
    unsigned first = w->arp[1], second = backup(w)->member;
    w->cut_vrrp[first][second] = w->cut_vrrp[second][first] = true;
    w->divided = true;
    w->divided_sides[0] = (uint8_t)first;
    w->divided_sides[1] = (uint8_t)second;
    for (unsigned i = 0; i < w->clients; i++)
        w->side[i] = (uint8_t)first;
    for (unsigned i = 0; i < 40 && clean(w); i++) {
        run_for(w, 100 + world_random(w, 500));
        unsigned c = (unsigned)world_random(w, w->clients);
        w->side[c] = (uint8_t)(w->side[c] == first ? second : first);
    }
    w->cut_vrrp[first][second] = w->cut_vrrp[second][first] = false;
    w->divided = false;
    uint64_t made = scenario_handshakes(w);
    run_for(w, 5000);
    if (clean(w))
        scenario_live(w, w->now_ns - 200 * NS_PER_MS, "five seconds after VRRP healed");
    /* Nor do they wear out the clients: two in a second for each at worst, and retries. */
    if (made > 4 * 25 * w->clients)
        oracle_violation(w->oracle, w->now_ns, "%llu handshakes while two believed",
                         (unsigned long long)made);
}

/* An attacker that is nearer than the client: forged and copied handshakes come first, while the
 * client begins anew again and again. */
static void run_forgers(struct world *w, uint64_t seconds)
{
    struct machine *c = client(w, 0);

    w->attacker = w->attacker_near = true;
    w->replay_one_in = w->forge_one_in = 1;
    scenario_traffic(w, 50, 10);
    for (unsigned i = 0; i < 60 && clean(w); i++) {
        machine_crash(c);
        machine_start(c);
        machine_add_peers(c);
        run_for(w, 100 + world_random(w, 400));
    }
    w->replay_one_in = 50;
    w->attacker_near = false;
    w->attacker_stays = true;
    run_for(w, 20000);
    if (clean(w))
        scenario_live(w, w->now_ns - NS_PER_S, "after the attacker went away");
}

/* ---- clocks and load ---- */

/* The successor's clock is far behind, or was set far ahead while it ran: clients must take its
 * initiations (H5), and go on taking those of others. */
static void run_clocks(struct world *w, uint64_t seconds)
{
    int64_t far = (int64_t)(2 * 86400 + world_random(w, 86400)) * (int64_t)NS_PER_S;

    scenario_traffic(w, 100, 100);
    for (unsigned i = 0; i < w->members; i++)
        w->machine[i].clock_ahead_ns = i % 2 ? far : -far; /* they all run already */
    for (unsigned i = 0; i < 4 && clean(w); i++) {
        struct machine *dies = owner(w);

        run_for(w, 2000);
        machine_crash(dies);
        run_for(w, 5000);
        scenario_live(w, w->now_ns - NS_PER_S, "after a takeover with other clocks");
        machine_start(dies);
        run_for(w, 3000);
    }
}

/* All members are under load, and the VIP moves between a client's cookie and its use (C1, F15). */
static void run_load(struct world *w, uint64_t seconds)
{
    for (unsigned i = 0; i < w->members; i++)
        w->machine[i].under_load = true;
    scenario_traffic(w, 100, 100);
    for (unsigned i = 0; i < 3 && clean(w); i++) {
        struct machine *dies = owner(w);

        machine_crash(dies);
        run_for(w, 700);
        for (unsigned c = 0; c < w->clients; c++) { /* they begin anew: a cookie, and 5 s */
            machine_crash(client(w, c));
            machine_start(client(w, c));
            machine_add_peers(client(w, c));
        }
        run_for(w, 1000);
        machine_start(dies);
        run_for(w, 1500);
        move_to(dies, 1);
        run_for(w, 5000);
        if (clean(w))
            scenario_live(w, w->now_ns - NS_PER_S, "after a cookie of another member");
    }
}

const struct scenario scenarios[] = {
    {"faults", "whatever goes wrong, 20 s later every client has two-way data", 0, 0, false, false,
     false, run_faults},
    {"operators", "stores converge, and serve nobody who was revoked", 0, 0, false, true, false,
     run_operators},
    {"operators-disk", "the same with databases that get full and are rolled back", 0, 0, false,
     true, true, run_operators},
    {"haunt", "a removal is forgotten, and the peer does not come back", 0, 0, false, true, true,
     run_haunt},
    {.name = "moves",
     .promise = "a planned move loses nothing and makes no handshake",
     .holders_only = true,
     .run = run_moves},
    {.name = "active-moves",
     .promise = "nor do several at once, of several VIPs",
     .holders_only = true,
     .active = true,
     .run = run_moves},
    {"takeovers", "a takeover is heard within two seconds", 0, 0, false, false, false,
     run_takeovers},
    {"lag", "a session that died with its owner is made anew at once", 0, 1, false, false, false,
     scenario_lag},
    {"roam", "a silent client that moved with its VIP is found", 0, 1, false, false, false,
     scenario_roam},
    {"copies", "a copied answer moves no endpoint", 0, 1, false, false, false, scenario_copies},
    {.name = "gap-handed",
     .promise = "an adopter that knows nothing of a gap says so to the next one",
     .clients = 1,
     .run = scenario_gap_handed},
    {.name = "late-answers",
     .promise = "an answer to an initiation that a sibling's replaced is none",
     .members = 2,
     .clients = 1,
     .run = scenario_late_answers},
    {"cut-off", "who is cut off does not keep clients from its successor", 0, 2, false, false,
     false, scenario_cut_off},
    {"let-go", "the last of two that have a VIP is heard at once", 2, 2, false, false, false,
     scenario_let_go},
    {"unannounced", "an owner that nobody heard take the VIP is found", 2, 2, false, false, false,
     scenario_unannounced},
    {"late-acks", "what was accepted in bypass is not accepted again", 0, 2, false, false, false,
     run_late_acks},
    {"sleepers", "who wakes up alone accepts nothing twice", 2, 2, false, false, false,
     run_sleepers},
    {"believers", "nor does one that had the VIP all the time", 2, 2, false, false, false,
     run_believers},
    {"dozers", "what was queued while asleep makes no replica fresh", 2, 2, false, false, false,
     run_dozers},
    {"naps", "a short stand-still costs no handshake and at most a second", 0, 2, false, false,
     false, run_naps},
    {"outsiders", "who is asked for nothing adopts nothing", 4, 2, false, false, false,
     run_outsiders},
    {"restarts", "two lives of a member never send alike", 0, 1, false, false, false, run_restarts},
    {"strangers", "nor when nobody remembers the first", 3, 1, false, false, false, run_strangers},
    {"bursts", "ceilings follow the traffic up and down", 0, 2, false, false, false, run_bursts},
    {.name = "mixed",
     .promise = "who does not know batches of raises is told each alone",
     .members = 3,
     .clients = 4,
     .holders_only = true,
     .run = run_mixed},
    {"expiry", "no key is used past 180 s or kept past 540 s", 0, 1, false, false, false,
     run_expiry},
    {"split", "nobody is deaf for 16 s, and a second after healing all is well", 0, 4, false, false,
     false, run_split},
    {"twins", "two that believe and talk accept nothing twice", 0, 3, false, false, false,
     run_twins},
    {.name = "yields",
     .promise = "nor when no handshake gets through that would make a new session",
     .members = 2,
     .clients = 1,
     .run = scenario_yields},
    {.name = "promises",
     .promise = "what a holder promised to one of two the other does not undo",
     .members = 3,
     .clients = 1,
     .run = scenario_promises},
    {"forgers", "forged messages get no answer, copies no data", 0, 1, false, false, false,
     run_forgers},
    {"warm", "no session key leaves a member, and clients are served all the same", 0, 0, true,
     false, false, run_faults},
    {"warm-lag", "a warm takeover is a handshake, not 15 s", 0, 1, true, false, false,
     scenario_lag},
    {"clocks", "hub initiations are taken whatever the clocks say", 0, 2, true, false, false,
     run_clocks},
    {"load", "a cookie is good at whoever has the VIP", 0, 2, false, false, false, run_load},
    {.name = "active",
     .promise = "several VIPs, each member prefers one, whatever goes wrong",
     .active = true,
     .run = run_faults},
    {.name = "guests",
     .promise = "who talks to another VIP than its pool's is reached wherever that one goes",
     .members = 3,
     .clients = 1,
     .active = true,
     .run = scenario_guests},
    {.name = "strayed",
     .promise = "nor do its packets go in circles when who saw it move dies while telling",
     .members = 3,
     .clients = 1,
     .active = true,
     .run = scenario_strayed},
    {.name = "dismissed",
     .promise = "who holds a session is asked, also after it went to another VIP",
     .members = 4,
     .clients = 1,
     .active = true,
     .run = scenario_dismissed},
    {.name = "unasked",
     .promise = "nor does one adopt that was told of it and not asked",
     .members = 4,
     .clients = 1,
     .active = true,
     .run = scenario_unasked},
    {.name = "switch",
     .promise = "a client that changes the VIP takes its session along",
     .clients = 1,
     .active = true,
     .run = scenario_switch},
    {.name = "flaps",
     .promise = "who flaps is left alone, and serves when it is the only one",
     .clients = 2,
     .active = true,
     .holders_only = true,
     .run = scenario_flaps},
    {.name = "crashes",
     .promise = "so is a daemon that crashes again and again",
     .clients = 2,
     .active = true,
     .holders_only = true,
     .run = scenario_crashes},
    {0},
};

const struct scenario *scenario_find(const char *name)
{
    for (const struct scenario *s = scenarios; s->name; s++)
        if (strcmp(s->name, name) == 0)
            return s;
    return NULL;
}

void scenario_run(struct world *w, const struct scenario *s, uint64_t seconds)
{
    uint64_t start = w->now_ns;

    if (!s->operators) {
        world_run(w, start + NS_PER_S);
        machine_add_peers(&w->machine[0]);
        for (unsigned i = 0; i < w->clients; i++)
            machine_add_peers(client(w, i));
        world_run(w, start + SETTLE_NS);
    }
    s->run(w, seconds);
}
