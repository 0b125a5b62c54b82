/* Section 4 as a property: three members hold one key, VIPs move and are held twice, siblings
 * crash, messages are late, an attacker replays everything everywhere. While no packet is let
 * through beyond the ceiling (R7's bypass), the cluster accepts no counter twice.
 *
 * What stands around the keypair here is the least that R2-R16 ask of the node: ordered links,
 * acks, the minimum of what all holders acked. */
#include "fixture.h"

#define MEMBERS 3
#define HEADROOM 16
#define HISTORIES 600
#define EVENTS 1500
#define COUNTERS_MAX 4096
#define QUEUE_MAX 2048

struct message {
    bool adopted, lower;
    uint64_t limit;
    uint16_t term;
    uint32_t stay, seq; /* of the sender's ownership, and of its proposals */
};

struct link {
    struct message q[QUEUE_MAX];
    unsigned head, tail;
};

struct member {
    bool alive;
    struct keypair *k;
    struct gate gate;
    uint64_t acked[MEMBERS]; /* while it owns the key */
    bool counts[MEMBERS];
    uint64_t proposed;
    uint32_t stay, seq, lowered_seq;
    uint64_t held[HELD_PER_KEY_MAX];
    unsigned held_count;
};

struct world {
    const struct rng *rng;
    uint64_t now_ns, client; /* next counter of the client */
    struct member m[MEMBERS];
    struct link log[MEMBERS][MEMBERS], acks[MEMBERS][MEMBERS];
    uint8_t accepted[COUNTERS_MAX];
    unsigned total, adoptions, replays_refused, crashes;
};

static struct world w;

static bool owned(unsigned i)
{
    return atomic_load(&w.m[i].k->state) == KEYPAIR_OWNED;
}

static void push(struct link *l, struct message m)
{
    assert_true(l->tail < QUEUE_MAX);
    l->q[l->tail++] = m;
}

static bool pop(struct link *l, struct message *ret)
{
    if (l->head == l->tail)
        return false;
    *ret = l->q[l->head++];
    if (l->head == l->tail)
        l->head = l->tail = 0;
    return true;
}

static void accepted(unsigned i, uint64_t counter)
{
    if (w.accepted[counter]++)
        fail_msg("member %u accepted %llu, which the cluster had", i, (unsigned long long)counter);
    w.total++;
}

static void apply_ceiling(unsigned i)
{
    uint64_t least = LIMIT_NONE;

    for (unsigned j = 0; j < MEMBERS; j++)
        if (j != i && w.m[i].counts[j] && w.m[i].acked[j] < least)
            least = w.m[i].acked[j];
    atomic_store(&keypair_live(w.m[i].k)->ceiling, least);
}

static void broadcast(unsigned i, struct message m)
{
    m.stay = w.m[i].stay;
    m.seq = ++w.m[i].seq;
    for (unsigned j = 0; j < MEMBERS; j++)
        if (j != i && w.m[i].counts[j] && w.m[j].alive)
            push(&w.log[i][j], m);
}

static void propose(unsigned i)
{
    uint64_t top = atomic_load(&w.m[i].k->top);

    atomic_store(&keypair_live(w.m[i].k)->raise_asked, false);
    if (top < w.m[i].proposed)
        return;
    w.m[i].proposed = top + 1 + test_below(w.rng, 60);
    broadcast(i, (struct message){.limit = w.m[i].proposed});
}

static void lower(unsigned i) /* R5: it binds us before anybody hears of it */
{
    uint64_t limit = atomic_load(&w.m[i].k->top) + 1 + test_below(w.rng, 4);

    w.m[i].proposed = limit;
    broadcast(i, (struct message){.limit = limit, .lower = true});
    w.m[i].lowered_seq = w.m[i].seq;
    for (unsigned j = 0; j < MEMBERS; j++)
        if (w.m[i].acked[j] > limit)
            w.m[i].acked[j] = limit;
    apply_ceiling(i);
}

static void effects_of(unsigned i, unsigned effects)
{
    struct member *m = &w.m[i];

    assert_false(effects & EFFECT_DIRTY);
    assert_false(effects & EFFECT_UNFIT);
    if (effects & EFFECT_ADOPTED) {
        w.adoptions++;
        m->stay++;
        m->proposed = 0;
        atomic_store(&keypair_live(m->k)->headroom, HEADROOM);
        for (unsigned j = 0; j < MEMBERS; j++)
            m->acked[j] = atomic_load(&m->k->limit) & ~LIMIT_ADOPTED;
        broadcast(i, (struct message){.adopted = true,
                                      .limit = atomic_load(&keypair_live(m->k)->floor),
                                      .term = counter_term_now(&keypair_live(m->k)->tx)});
        apply_ceiling(i);
        propose(i);
    } else if (effects & EFFECT_RAISE) {
        propose(i);
    }
}

static void arrive(unsigned i, uint64_t counter)
{
    struct member *m = &w.m[i];
    unsigned effects;

    if (!m->alive || m->held_count >= HELD_PER_KEY_MAX - 1)
        return;
    enum rx_verdict v = keypair_receive(m->k, &m->gate, w.now_ns, counter, &effects);
    if (v == RX_ACCEPT)
        accepted(i, counter);
    else if (v == RX_HOLD)
        m->held[m->held_count++] = counter;
    else if (v == RX_DROP_REPLAY || v == RX_DROP_BELOW_FLOOR)
        w.replays_refused++;
    effects_of(i, effects);
}

static void retry_held(unsigned i)
{
    struct member *m = &w.m[i];
    unsigned kept = 0, effects;

    for (unsigned h = 0; h < m->held_count; h++) {
        uint64_t counter = m->held[h];
        enum rx_verdict v =
            keypair_receive_held(m->k, &m->gate, w.now_ns, counter, false, &effects);
        if (v == RX_ACCEPT)
            accepted(i, counter);
        else if (v == RX_HOLD)
            m->held[kept++] = counter;
    }
    m->held_count = kept;
    assert_int_equal(atomic_load(&keypair_live(m->k)->held), kept);
}

static void deliver(unsigned from, unsigned to)
{
    struct member *m = &w.m[to];
    struct message msg;

    if (!m->alive || !pop(&w.log[from][to], &msg))
        return;
    if (msg.adopted) {
        keypair_yield(m->k, (uint8_t)(from + 1), msg.limit, msg.term);
        retry_held(to);
    } else if (keypair_replica_raise(m->k, (uint8_t)(from + 1), msg.limit, msg.lower)) {
        if (!msg.lower)
            push(&w.acks[to][from], msg);
    } else if (owned(to)) { /* R10 */
        broadcast(to, (struct message){.adopted = true,
                                       .limit = atomic_load(&keypair_live(m->k)->floor),
                                       .term = counter_term_now(&keypair_live(m->k)->tx)});
    }
}

static void deliver_ack(unsigned from, unsigned to)
{
    struct member *m = &w.m[to];
    struct message msg;

    if (!m->alive || !pop(&w.acks[from][to], &msg))
        return;
    if (!owned(to) || msg.stay != m->stay || msg.seq < m->lowered_seq)
        return; /* of an earlier ownership, or void since we came down */
    if (msg.limit > m->acked[from])
        m->acked[from] = msg.limit;
    apply_ceiling(to);
    retry_held(to);
}

static void move_vip(unsigned i)
{
    struct gate *g = &w.m[i].gate;

    if (atomic_load(&g->vip[SLOT].owned)) {
        atomic_store(&g->vip[SLOT].owned, false);
        retry_held(i);
    } else {
        atomic_store(&g->vip[SLOT].since_ns, w.now_ns);
        atomic_store(&g->vip[SLOT].owned, true);
    }
}

static void crash(unsigned i)
{
    w.m[i].alive = false;
    for (unsigned j = 0; j < MEMBERS; j++) { /* what it had sent may get through in part */
        struct link *l = &w.log[i][j];
        l->tail = l->head + (l->tail > l->head ? test_below(w.rng, l->tail - l->head + 1) : 0);
        w.log[j][i] = w.acks[j][i] = (struct link){0};
    }
}

static void forget_dead(unsigned i) /* a leaving holder stops counting (R15, R16) */
{
    for (unsigned j = 0; j < MEMBERS; j++)
        if (!w.m[j].alive)
            w.m[i].counts[j] = false;
    if (owned(i)) {
        apply_ceiling(i);
        retry_held(i);
    } else {
        bool others = false;
        for (unsigned j = 0; j < MEMBERS; j++)
            others |= j != i && w.m[i].counts[j];
        atomic_store(&w.m[i].gate.vip[SLOT].others, others);
    }
}

static void begin(uint64_t seed)
{
    memset(&w, 0, sizeof(w));
    w.rng = test_rng(seed);
    w.now_ns = T0 + NS_PER_S;
    for (unsigned i = 0; i < MEMBERS; i++) {
        struct member *m = &w.m[i];
        m->alive = true;
        m->k = i ? replica_of_sibling(1, LIMIT_FIRST, 0) : key_made_here(1, LIMIT_FIRST);
        if (i)
            atomic_store(&m->k->owner, 1);
        atomic_store(&m->k->adoptable, true);
        if (i == 0)
            atomic_store(&keypair_live(m->k)->headroom, HEADROOM);
        gate_for_cluster(&m->gate);
        gate_set_tag(&m->gate, (struct counter_tag){.member = (uint8_t)(i + 1)});
        atomic_store(&m->gate.vip[SLOT].owned, i == 0);
        for (unsigned j = 0; j < MEMBERS; j++) {
            m->acked[j] = LIMIT_FIRST;
            m->counts[j] = true;
            atomic_store(&m->gate.member[j + 1].heartbeat_ns, T0);
        }
    }
}

static void happen(void)
{
    unsigned i = test_below(w.rng, MEMBERS), j = test_below(w.rng, MEMBERS);
    unsigned what = test_below(w.rng, 1000);

    w.now_ns += test_below(w.rng, 100000);
    if (!w.m[i].alive && what < 900)
        return;
    if (what < 450) { /* the client sends to whoever answers for the VIP; some get lost */
        if (w.client + 20 >= COUNTERS_MAX)
            return;
        if (test_below(w.rng, 50) == 0)
            w.client += test_below(w.rng, 20);
        uint64_t counter = w.client++;
        for (unsigned to = 0; to < MEMBERS; to++)
            if (atomic_load(&w.m[to].gate.vip[SLOT].owned) && test_below(w.rng, 10))
                arrive(to, counter);
    } else if (what < 600) { /* replay of anything that was ever sent */
        if (w.client) {
            unsigned back = test_below(w.rng, test_below(w.rng, 2) ? 100 : 8000);
            arrive(i,
                   back < w.client ? w.client - 1 - back : test_below(w.rng, (uint32_t)w.client));
        }
    } else if (what < 790) {
        for (unsigned n = test_below(w.rng, 12); n > 0; n--)
            deliver(j, i);
    } else if (what < 960) {
        for (unsigned n = test_below(w.rng, 12); n > 0; n--)
            deliver_ack(j, i);
    } else if (what < 975) {
        if (owned(i))
            lower(i);
    } else if (what < 978) {
        move_vip(i); /* two at once is nobody's exception here */
    } else if (what < 984) {
        for (unsigned n = 0; n < MEMBERS; n++) /* heal */
            if (atomic_load(&w.m[n].gate.vip[SLOT].owned) != (n == i))
                move_vip(n);
    } else if (what < 985) {
        if (w.crashes++ < MEMBERS - 1)
            crash(i);
    } else {
        forget_dead(i);
    }
}

TEST(while_nothing_bypasses_the_ceiling_no_counter_is_accepted_twice)
{
    unsigned total = 0, adoptions = 0, refused = 0;

    for (unsigned h = 0; h < HISTORIES; h++) {
        begin(h + 1);
        for (unsigned e = 0; e < EVENTS; e++)
            happen();
        total += w.total;
        adoptions += w.adoptions;
        refused += w.replays_refused;
        for (unsigned i = 0; i < MEMBERS; i++)
            keypair_free(w.m[i].k);
    }
    /* Not an empty property. */
    print_message("%u accepted, %u adoptions, %u replays refused\n", total, adoptions, refused);
    assert_true(total > HISTORIES * 100);
    assert_true(adoptions > HISTORIES * 3);
    assert_true(refused > HISTORIES * 50);
}

TEST_MAIN(T(while_nothing_bypasses_the_ceiling_no_counter_is_accepted_twice))
