/* Clients that move, come anew or change the VIP while the cluster does. */
#include "base/err.h"
#include "sim/scenario_kit.h"
#include "wg/message.h"
#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define LANS_NOTICED_NS (900 * NS_PER_MS)
#define ADOPTIONS_MAX 20
#define CUT_OFF_SILENT_NS (250 * NS_PER_MS)

/* The client's session is known to its owner alone, and the owner dies: the successor must not
 * leave the client to its own 15 s. */
void scenario_lag(struct world *w, uint64_t seconds)
{
    struct machine *dies = owner(w), *c = client(w, 0);

    c->up_every_ns = 20 * NS_PER_MS;
    c->down_every_ns = 3600 * NS_PER_S;
    traffic_plan(w, c);
    run_for(w, 3000);
    w->sync_lag_ns = 800 * NS_PER_MS;
    machine_crash(c);
    machine_start(c); /* it comes back at the same address, without a session */
    machine_add_peers(c);
    run_for(w, 300);
    uint64_t died = w->now_ns;
    bool had = c->last_up_ns > died - 100 * NS_PER_MS;
    machine_crash(dies);
    w->sync_lag_ns = 0;
    world_run(w, died + 3 * NS_PER_S);
    if (!had)
        violation(w, "the client had no session");
    if (c->last_up_ns < died + 2 * NS_PER_S)
        violation(w, "the client is deaf since its owner died");
}

/* A client that only listens moves while its VIP moves, and then says so little that all of it is
 * below what the adopter may accept (R9a): the hub finds it at its new address. */
void scenario_roam(struct world *w, uint64_t seconds)
{
    struct machine *c = client(w, 0);

    c->up_every_ns = 10 * NS_PER_S;
    c->down_every_ns = 200 * NS_PER_MS;
    traffic_plan(w, c);
    run_for(w, 3000);
    machine_crash(owner(w));
    run_for(w, 600);
    c->address.port++;
    run_for(w, 13000); /* at least one word of it */
    uint64_t now = w->now_ns;
    run_for(w, 1000);
    if (c->last_down_ns < now)
        violation(w, "the client that moved is deaf");
}

/* What the attacker heard last of the client of this type, sent to a VIP from its own address. */
static void copy_to(struct world *w, const struct machine *c, uint8_t type, uint16_t slot,
                    uint64_t delay_ns)
{
    for (unsigned i = w->recorded_next; i-- > 0 && w->recorded_next - i <= w->recorded_count;) {
        const struct recorded *r = &w->recorded[i % SIM_RECORDED_MAX];

        if (!endpoint_equal(&r->from, &c->address) || r->bytes[0] != type)
            continue;
        struct event *e = world_event(w, delay_ns, EVENT_DATAGRAM, NULL);
        e->from = w->attacker_address;
        e->to = w->vip[slot];
        e->bytes = malloc(r->len);
        assert(e->bytes);
        memcpy(e->bytes, r->bytes, r->len);
        e->len = r->len;
        return;
    }
}

/* A copy of the client's data makes the adopter begin a handshake (R9a); the client's answer is
 * lost, and a copy of that comes from the same place as the first. It is an answer, and no endpoint
 * (E1).
 */
void scenario_copies(struct world *w, uint64_t seconds)
{
    struct machine *c = client(w, 0);

    w->attacker = true;
    w->replay_one_in = UINT_MAX;
    c->up_every_ns = 100 * NS_PER_MS;
    c->down_every_ns = 3600 * NS_PER_S;
    traffic_plan(w, c);
    run_for(w, 3000);
    c->up_every_ns = 3600 * NS_PER_S;
    run_for(w, 200);
    machine_crash(owner(w));
    run_for(w, 600);
    uint64_t before = scenario_handshakes(w);
    copy_to(w, c, MESSAGE_DATA, 1, SIM_WAN_DELAY_NS);
    run_for(w, 3); /* the initiation is on its way */
    w->loss_percent = 100;
    run_for(w, 3);
    w->loss_percent = 0;
    copy_to(w, c, MESSAGE_RESPONSE, 1, SIM_WAN_DELAY_NS);
    run_for(w, 50);
    if (scenario_handshakes(w) == before)
        violation(w, "the adopter began no handshake");
    c->down_every_ns = 20 * NS_PER_MS;
    traffic_plan(w, c);
    run_for(w, 1000);
    if (c->last_down_ns < w->now_ns - 100 * NS_PER_MS)
        violation(w, "the client is deaf");
}

/* The owner dies right after a burst, so its adopter starts far above what came; the client is
 * silent until the adopter has handed the VIP on. Who has it then never saw the gap, and must know
 * that there is one (R9a). */
void scenario_gap_handed(struct world *w, uint64_t seconds)
{
    struct machine *dies = owner(w), *c = client(w, 0);

    c->up_every_ns = NS_PER_MS;
    c->down_every_ns = 3600 * NS_PER_S;
    traffic_plan(w, c);
    run_for(w, 2000);
    machine_crash(dies);
    c->up_every_ns = 3600 * NS_PER_S;
    run_for(w, 2500);
    machine_start(dies);
    run_for(w, 2500);
    move_to(dies, 1);
    run_for(w, 1000);
    if (owner(w) != dies)
        violation(w, "the VIP was not handed on");
    c->up_every_ns = 300 * NS_PER_MS;
    traffic_plan(w, c);
    run_for(w, 700);
    if (c->last_up_ns < w->now_ns - 400 * NS_PER_MS)
        violation(w, "a client is deaf since its key was handed on");
}

static void no_keepalives(struct machine *c)
{
    struct change *change = change_new(1);

    assert(change);
    change_add_peer(change, &c->world->machine[0].key)->has_keepalive = true;
    node_change(c->node, change, NULL, machine_now(c));
}

static void one_packet_down(struct world *w, struct machine *c)
{
    c->down_every_ns = 3600 * NS_PER_S;
    traffic_plan(w, c);
}

/* The answer to an owner's initiation is lost; the VIP moves, and the next owner's is answered. By
 * the time that a copy of the first answer comes, and the VIP is back, the client has nothing left
 * of the key that it would make. */
void scenario_late_answers(struct world *w, uint64_t seconds)
{
    struct machine *first = owner(w), *second = &w->machine[2 - first->member], *c = client(w, 0);

    w->attacker = true;
    w->replay_one_in = UINT_MAX;
    c->up_every_ns = 3600 * NS_PER_S;
    no_keepalives(c);
    one_packet_down(w, c);
    run_for(w, 200 * 1000); /* no key is left, and where the client is they know */
    uint64_t before = scenario_handshakes(w);
    w->cut_wan_in[first->member] = true;
    one_packet_down(w, c);
    run_for(w, 100);
    if (scenario_handshakes(w) == before)
        violation(w, "the owner began no handshake");
    copy_to(w, c, MESSAGE_RESPONSE, 1, 2500 * NS_PER_MS);
    move_to(second, 1);
    run_for(w, 1000);
    one_packet_down(w, c);
    run_for(w, 500);
    if (c->last_down_ns < w->now_ns - 500 * NS_PER_MS)
        violation(w, "the next owner has no session");
    w->cut_wan_in[first->member] = false;
    move_to(first, 1);
    run_for(w, 1500); /* the copy came */
    c->down_every_ns = 20 * NS_PER_MS;
    traffic_plan(w, c);
    run_for(w, 1000);
    if (owner(w) != first || c->last_down_ns < w->now_ns - 100 * NS_PER_MS)
        violation(w, "the client is deaf");
}

/* A client of VIP 1's pool talks to VIP 2, under a newer session than its last one at VIP 1. That
 * VIP goes to the other's owner and comes back, its sessions with it; packets from the LAN, which
 * go there, reach the client all the time. */
void scenario_guests(struct world *w, uint64_t seconds)
{
    struct machine *c = client(w, 0);

    c->up_every_ns = 20 * NS_PER_MS;
    c->down_every_ns = 3600 * NS_PER_S;
    traffic_plan(w, c);
    run_for(w, 1000);
    c->talks = 2;
    machine_crash(c); /* it makes a session of its own there */
    machine_start(c);
    machine_add_peers(c);
    run_for(w, 500);
    c->down_every_ns = 20 * NS_PER_MS;
    w->lossless = true;
    traffic_plan(w, c);
    for (unsigned i = 0; i < 2; i++) {
        move_to(&w->machine[1], 1);
        run_for(w, 2500); /* sessions that nobody touches are taken over as well */
        move_to(&w->machine[0], 1);
        run_for(w, 2500);
    }
    w->lossless = false;
    run_for(w, 1000);
    oracle_all_delivered(w->oracle, w->now_ns);
}

/* Member 3 sees a guest come from VIP 2, and dies when it has told member 2 and not member 1, which
 * takes its VIP over. Each of the two believes that the other has the guest. */
void scenario_strayed(struct world *w, uint64_t seconds)
{
    struct machine *c = client(w, 0);

    c->up_every_ns = 20 * NS_PER_MS;
    c->down_every_ns = 3600 * NS_PER_S; /* or it would follow the hub's packets back */
    traffic_plan(w, c);
    run_for(w, 1000);
    c->talks = 2;
    machine_add_peers(c);
    run_for(w, 2000);
    w->cut_sync[3][1] = true;
    c->talks = 3;
    machine_add_peers(c);
    run_for(w, 200);
    c->up_every_ns = 3600 * NS_PER_S;
    machine_crash(&w->machine[2]);
    w->cut_sync[3][1] = false;
    c->down_every_ns = 20 * NS_PER_MS;
    traffic_plan(w, c);
    run_for(w, 2000);
    if (!gate_owned(&w->machine[0].gate, 3))
        violation(w, "the VIP did not go to member 1");
    if (w->most_hops > w->members)
        oracle_violation(w->oracle, w->now_ns, "a packet was passed on %u times", w->most_hops);
    c->up_every_ns = 20 * NS_PER_MS; /* who has it now learns of it, and tells (E2: in a second) */
    traffic_plan(w, c);
    run_for(w, 3000);
    uint64_t since = w->now_ns - 100 * NS_PER_MS;
    if (c->last_up_ns < since || c->last_down_ns < since)
        violation(w, "a guest is deaf");
}

/* A client goes to another VIP of the same owner. One holder of the old one is no backup of the new
 * one, and the other way round; the new one must be asked like all holders, and has the session
 * when those that both VIPs have die with the owner. */
void scenario_dismissed(struct world *w, uint64_t seconds)
{
    struct machine *c = client(w, 0), *both = &w->machine[2], *heir = &w->machine[1];

    c->up_every_ns = 20 * NS_PER_MS;
    c->down_every_ns = 3600 * NS_PER_S;
    w->attacker = false; /* what it replays makes the heir begin a handshake (R9a) */
    c->talks = 3;        /* holders: 4 and 1 */
    machine_crash(c);
    machine_start(c);
    machine_add_peers(c);
    traffic_plan(w, c);
    move_to(both, 1); /* holders: 1 and 2 */
    run_for(w, 3000);
    if (!gate_owned(&both->gate, 1) || !gate_owned(&both->gate, 3)) {
        violation(w, "the VIPs are not with one member");
        return;
    }
    c->talks = 1;
    machine_add_peers(c);
    run_for(w, 500);
    uint64_t before = scenario_handshakes_of(heir),
             adopted = node_counters(heir->node)->adopted_hot;
    machine_crash(&w->machine[3]);
    run_for(w, 100);
    machine_crash(&w->machine[0]);
    run_for(w, 1500);
    machine_crash(both);
    run_for(w, 1500);
    if (node_counters(heir->node)->adopted_hot == adopted)
        violation(w, "the holder of the new VIP does not have the session");
    if (scenario_handshakes_of(heir) != before || c->last_up_ns < w->now_ns - 100 * NS_PER_MS)
        violation(w, "the client is not heard under its session");
}

/* A client goes to another member's VIP with the session that it has: it is heard there within a
 * moment, and makes no handshake (O10). */
void scenario_switch(struct world *w, uint64_t seconds)
{
    struct machine *c = client(w, 0);

    c->up_every_ns = 20 * NS_PER_MS;
    c->down_every_ns = 3600 * NS_PER_S;
    traffic_plan(w, c);
    run_for(w, 3000);
    uint64_t before = scenario_handshakes(w),
             adopted = node_counters(w->machine[1].node)->adopted_hot;
    copy_to(w, c, MESSAGE_DATA, 2, SIM_WAN_DELAY_NS);
    run_for(w, 1100);
    if (node_counters(w->machine[1].node)->adopted_hot != adopted)
        violation(w, "a copy of a packet moved a session");
    c->talks = 2;
    machine_add_peers(c);
    run_for(w, 200);
    uint64_t now = w->now_ns;
    run_for(w, 1000);
    if (c->last_up_ns < now + NS_PER_S - 100 * NS_PER_MS)
        violation(w, "a client that changed the VIP is not heard");
    if (scenario_handshakes(w) != before)
        violation(w, "a client that changed the VIP needs a handshake");
}

static void cut_pair(bool cut[SIM_MEMBERS_MAX + 1][SIM_MEMBERS_MAX + 1], unsigned a, unsigned b,
                     bool begin)
{
    cut[a][b] = cut[b][a] = begin;
}

/* Member 4 took a session while it did not hear member 3, which goes on with it, under a VIP that 4
 * keeps nothing of and then under one that it does. It is told so when they meet, but the place of
 * a holder is taken until member 2 has wiped what it had; so it is asked for nothing, and when 3
 * dies what it kept of the session is worth nothing. */
void scenario_unasked(struct world *w, uint64_t seconds)
{
    struct machine *c = client(w, 0), *keeps = &w->machine[2], *slow = &w->machine[1];

    c->up_every_ns = 20 * NS_PER_MS;
    c->down_every_ns = 3600 * NS_PER_S;
    w->attacker = false;
    c->talks = 3; /* holders: 4 and 1 */
    machine_crash(c);
    machine_start(c);
    machine_add_peers(c);
    traffic_plan(w, c);
    move_to(keeps, 1); /* holders: 1 and 2 */
    run_for(w, 3000);
    cut_pair(w->cut_sync, 3, 4, true);
    cut_pair(w->cut_vrrp, 3, 4, true);
    w->divided = true; /* the client is with 3 */
    w->side[0] = w->divided_sides[0] = w->divided_sides[1] = 3;
    run_for(w, 2000);
    if (!gate_owned(&keeps->gate, 1) || !gate_owned(&w->machine[3].gate, 3)) {
        violation(w, "the VIPs are not where they should be");
        return;
    }
    c->talks = 1;
    machine_add_peers(c);
    run_for(w, 500);
    cut_pair(w->cut_vrrp, 3, 4, false);
    run_for(w, 500);
    w->divided = false;
    machine_freeze(slow, true);
    c->talks = 3;
    machine_add_peers(c);
    run_for(w, 50);
    cut_pair(w->cut_sync, 3, 4, false);
    w->attacker = w->attacker_stays = true;
    run_for(w, 500);
    machine_crash(keeps);
    run_for(w, 300);
    w->replay_one_in = 1;
    run_for(w, 3000);
    if (clean(w) && c->last_up_ns < w->now_ns - 100 * NS_PER_MS)
        violation(w, "the client is not heard");
}

/* The client is heard by this member and no other, whoever has the VIP. No session is made anew, so
 * that one key is all that the members have to agree on. */
static void hear_at(struct world *w, unsigned member, uint64_t ms)
{
    w->divided = true;
    w->side[0] = w->divided_sides[0] = w->divided_sides[1] = (uint8_t)member;
    run_for(w, ms);
}

static void replay_from_now_on(struct world *w, uint64_t ms)
{
    w->replay_one_in = 1;
    run_for(w, ms);
}

static void traffic(struct world *w, uint64_t up_ms)
{
    client(w, 0)->up_every_ns = up_ms * NS_PER_MS;
    client(w, 0)->down_every_ns = 3600 * NS_PER_S;
    traffic_plan(w, client(w, 0));
}

static void one_talks(struct world *w, uint64_t every_ms)
{
    w->attacker = w->attacker_stays = true; /* it listens */
    w->replay_one_in = UINT_MAX;
    traffic(w, every_ms);
}

/* Two have the VIP and talk to each other. What one of them accepted while it had the key the other
 * does not accept again when the client comes back to it. */
void scenario_yields(struct world *w, uint64_t seconds)
{
    unsigned first = w->arp[1], second = first == 1 ? 2 : 1;

    one_talks(w, 20);
    run_for(w, 2000);
    cut_pair(w->cut_vrrp, first, second, true);
    hear_at(w, first, 1000);
    w->no_handshakes = true;
    hear_at(w, second, 400);
    if (node_counters(w->machine[second - 1].node)->adopted_hot == 0)
        violation(w, "the second of two did not take the session");
    hear_at(w, first, 20 + world_random(w, 100));
    replay_from_now_on(w, 2000);
    for (unsigned i = 0; i < w->members; i++)
        if (node_counters(w->machine[i].node)->sync_messages[SYNC_ADOPTED] > ADOPTIONS_MAX)
            violation(w, "two take a session from each other again and again");
}

/* Members 2 and 3 have the VIP and do not hear each other; 1 holds the session for both. What it
 * promised to one of them the other cannot undo by coming down. */
void scenario_promises(struct world *w, uint64_t seconds)
{
    one_talks(w, 4);
    move_to(&w->machine[2], 1);
    run_for(w, 3000);
    cut_pair(w->cut_sync, 2, 3, true);
    cut_pair(w->cut_vrrp, 2, 3, true);
    hear_at(w, 3, 2500);
    if (!gate_owned(&w->machine[1].gate, 1) || !gate_owned(&w->machine[2].gate, 1))
        violation(w, "the VIP is not with two");
    w->no_handshakes = true;
    client(w, 0)->up_every_ns = NS_PER_MS; /* so that there is a way to come down */
    hear_at(w, 2, 500);
    client(w, 0)->up_every_ns = 4 * NS_PER_MS;
    hear_at(w, 3, 100);
    client(w, 0)->up_every_ns = 3600 * NS_PER_S;
    run_for(w, 2500); /* both come down */
    traffic(w, 4);
    machine_crash(&w->machine[1]);
    machine_crash(&w->machine[2]);
    w->divided = false;
    replay_from_now_on(w, 3000);
}

/* The owner's LANs die while its sync channel lives, and it goes on until its probes tell. Half of
 * what is sent to clients meanwhile goes through it: from its own programs, from hosts with an old
 * neighbour entry. Clients are with its successor at once, and stay there. */
void scenario_cut_off(struct world *w, uint64_t seconds)
{
    struct machine *dead = owner(w);

    w->probes = false; /* what they say is said here */
    w->attacker_stays = true;
    for (unsigned i = 0; i < w->clients; i++) {
        client(w, i)->up_every_ns = client(w, i)->down_every_ns = 20 * NS_PER_MS;
        traffic_plan(w, client(w, i));
    }
    for (unsigned i = 0; i < w->members; i++)
        node_lans(w->machine[i].node, SIM_LANS, SIM_LANS, machine_now(&w->machine[i]));
    run_for(w, 3000);
    uint64_t cut = w->now_ns;
    w->cut_wan[dead->member] = true;
    while (owner(w) == dead && w->now_ns < cut + NS_PER_S)
        run_for(w, 1);
    uint64_t taken = w->now_ns;
    run_for(w, 20); /* of two that took it one has let go */
    w->divided = true;
    w->divided_sides[0] = dead->member;
    w->divided_sides[1] = (uint8_t)w->arp[1];
    for (unsigned i = 0; i < w->clients; i++)
        w->side[i] = (uint8_t)w->arp[1];
    while (w->now_ns < cut + 3 * NS_PER_S && clean(w)) {
        run_for(w, 20);
        if (w->divided && w->now_ns > cut + LANS_NOTICED_NS) {
            node_lans(dead->node, SIM_LANS, 0, machine_now(dead));
            w->divided = false;
        }
        for (unsigned i = 0; i < w->clients; i++) {
            const struct machine *c = client(w, i);
            uint64_t heard = MAX(taken, MIN(c->last_up_ns, c->last_down_ns));

            if (w->now_ns - heard > CUT_OFF_SILENT_NS)
                oracle_violation(w->oracle, w->now_ns, "client %u hears nothing or is not heard",
                                 c->number + 1);
        }
    }
    if (gate_owned(&dead->gate, 1))
        violation(w, "who is cut off has the VIP");
}

/* A backup's LANs die, then the owner: it takes the VIP, and nobody hears it say so. When its LANs
 * are back there is nothing for VRRP to decide, but neighbours still look for the dead one. Its
 * probes tell the owner, or the other one's return. */
void scenario_unannounced(struct world *w, uint64_t seconds)
{
    struct machine *dies = owner(w), *cut = &w->machine[dies == w->machine];

    w->probes = world_random(w, 2);
    for (unsigned i = 0; i < w->clients; i++) {
        client(w, i)->up_every_ns = client(w, i)->down_every_ns = 20 * NS_PER_MS;
        traffic_plan(w, client(w, i));
    }
    run_for(w, 2000);
    w->cut_wan[cut->member] = true;
    run_for(w, world_random(w, 200));
    machine_crash(dies);
    run_for(w, 2000);
    if (!gate_owned(&cut->gate, 1) || owner(w) != dies)
        violation(w, "the VIP did not change, or somebody heard of it");
    w->cut_wan[cut->member] = false;
    run_for(w, 1000);
    if (!w->probes) {
        machine_start(dies);
        run_for(w, 1000);
    }
    for (unsigned i = 0; i < w->clients; i++)
        if (MIN(client(w, i)->last_up_ns, client(w, i)->last_down_ns) < w->now_ns - 100 * NS_PER_MS)
            oracle_violation(w->oracle, w->now_ns, "client %u does not find the owner",
                             client(w, i)->number + 1);
}

/* VRRP alone is cut, so both have the VIP, and neighbours learned it from the second last; that one
 * has to let go, and does not come back. */
void scenario_let_go(struct world *w, uint64_t seconds)
{
    struct machine *first = owner(w), *second = &w->machine[first == w->machine];

    w->probes = false; /* what they say is said here */
    for (unsigned i = 0; i < w->clients; i++) {
        client(w, i)->up_every_ns = client(w, i)->down_every_ns = 20 * NS_PER_MS;
        traffic_plan(w, client(w, i));
    }
    for (unsigned i = 0; i < w->members; i++)
        node_lans(w->machine[i].node, SIM_LANS, SIM_LANS, machine_now(&w->machine[i]));
    run_for(w, 2000);
    w->cut_vrrp[1][2] = w->cut_vrrp[2][1] = true;
    run_for(w, 1500);
    if (owner(w) != second || !gate_owned(&first->gate, 1)) {
        violation(w, "the VIP is not with two");
        return;
    }
    node_lans(second->node, SIM_LANS, 0, machine_now(second));
    run_for(w, 1000);
    for (unsigned i = 0; i < w->clients; i++) {
        const struct machine *c = client(w, i);

        if (MIN(c->last_up_ns, c->last_down_ns) < w->now_ns - 100 * NS_PER_MS)
            oracle_violation(w->oracle, w->now_ns, "client %u is not heard by the one that is left",
                             c->number + 1);
    }
}
