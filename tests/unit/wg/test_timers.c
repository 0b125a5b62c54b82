/* The timers of the protocol on a virtual clock: one by one, and two whole ends for three hours. */
#include "fixture.h"
#include "wg/timers.h"

#define S NS_PER_S
#define MS NS_PER_MS

static const struct public_key someone = {{1}};
static struct wg_peer peer;
static struct timers timers;
static const struct rng *rng;

static int fresh(void **state)
{
    wg_peer_done(&peer);
    wg_peer_init(&peer, 1, 1, &someone);
    assert_int_equal(peer_wake(&peer), 0);
    memset(&timers, 0, sizeof(timers));
    rng = test_rng(77);
    return 0;
}

static unsigned step(uint64_t now_ns)
{
    return timers_step(&timers, &peer, rng, now_ns).actions;
}

/* First moment in [@from, @to) at which a step of every millisecond asks for @action; 0: none. */
static uint64_t when(unsigned action, uint64_t from, uint64_t to)
{
    for (uint64_t now = from; now < to; now += MS)
        if (step(now) & action)
            return now;
    return 0;
}

/* ---- one by one ---- */

TEST(a_peer_without_anything_outstanding_is_disarmed)
{
    atomic_store(&peer.armed, true);
    struct timers_todo todo = timers_step(&timers, &peer, rng, T0);
    assert_int_equal(todo.actions, 0);
    assert_int_equal(todo.next_ns, 0);
    assert_false(atomic_load(&peer.armed));
}

TEST(unanswered_data_asks_for_a_handshake_after_15_s)
{
    uint64_t low = UINT64_MAX, high = 0;

    for (unsigned i = 0; i < 40; i++) {
        uint64_t t = T0 + i * 100 * S;
        peer_note_sent(&peer, t, true, 100);
        peer_note_sent(&peer, t + 5 * S, true, 100); /* the first counts */
        uint64_t at = when(TIMERS_INITIATE, t, t + 20 * S) - t;
        low = at < low ? at : low;
        high = at > high ? at : high;
        assert_int_equal(when(TIMERS_INITIATE, t + at + MS, t + 90 * S), 0); /* once */
    }
    assert_in_range(low, 15 * S, 15 * S + 60 * MS); /* 10 + 5 s, and 0..333 ms */
    assert_in_range(high, 15 * S + 270 * MS, 15 * S + 335 * MS);
}

TEST(any_answer_calls_the_handshake_off)
{
    peer_note_sent(&peer, T0, true, 100);
    assert_int_equal(step(T0 + 14 * S), 0);
    peer_note_received(&peer, T0 + 14 * S, false, 32); /* a keepalive will do */
    assert_int_equal(when(TIMERS_INITIATE, T0 + 14 * S, T0 + 60 * S), 0);
    peer_note_sent(&peer, T0 + 60 * S, true, 100);
    assert_int_equal(step(T0 + 74 * S), 0);
    assert_in_range(when(TIMERS_INITIATE, T0 + 74 * S, T0 + 80 * S), T0 + 75 * S,
                    T0 + 75 * S + 335 * MS);
}

TEST(keepalives_sent_do_not_ask_for_answers)
{
    peer_note_sent(&peer, T0, false, 32);
    assert_int_equal(when(~0u, T0, T0 + 60 * S), 0);
}

TEST(received_data_is_answered_by_a_keepalive_after_10_s)
{
    peer_note_received(&peer, T0, true, 100);
    assert_int_equal(when(TIMERS_KEEPALIVE, T0, T0 + 12 * S), T0 + 10 * S);
    peer_note_sent(&peer, T0 + 10 * S, false, 32);
    assert_int_equal(when(~0u, T0 + 10 * S + MS, T0 + 60 * S), 0);
    /* anything sent in time makes it needless */
    peer_note_received(&peer, T0 + 60 * S, true, 100);
    peer_note_sent(&peer, T0 + 69 * S, true, 100);
    assert_int_equal(when(TIMERS_KEEPALIVE, T0 + 60 * S, T0 + 75 * S), 0);
    fresh(NULL);
    peer_note_received(&peer, T0, false, 32); /* a keepalive needs no keepalive */
    assert_int_equal(when(~0u, T0, T0 + 60 * S), 0);
}

TEST(with_more_data_received_another_keepalive_is_due_if_nothing_left)
{
    peer_note_received(&peer, T0, true, 100);
    peer_note_received(&peer, T0 + 3 * S, true, 100);
    assert_int_equal(when(TIMERS_KEEPALIVE, T0, T0 + 15 * S), T0 + 10 * S);
    /* it could not be sent: no note */
    assert_int_equal(when(TIMERS_KEEPALIVE, T0 + 10 * S + MS, T0 + 40 * S), T0 + 20 * S);
    assert_int_equal(when(TIMERS_KEEPALIVE, T0 + 20 * S + MS, T0 + 60 * S), 0);
    /* and without more: once */
    peer_note_received(&peer, T0 + 60 * S, true, 100);
    assert_int_equal(when(TIMERS_KEEPALIVE, T0 + 60 * S, T0 + 75 * S), T0 + 70 * S);
    assert_int_equal(when(TIMERS_KEEPALIVE, T0 + 70 * S + MS, T0 + 120 * S), 0);
}

TEST(persistent_keepalives_come_an_interval_after_the_last_traffic)
{
    atomic_store(&peer.keepalive_s, 25);
    assert_int_equal(step(T0), TIMERS_KEEPALIVE); /* at once, when it is set */
    peer_note_sent(&peer, T0, false, 32);
    assert_int_equal(when(TIMERS_KEEPALIVE, T0 + MS, T0 + 40 * S), T0 + 25 * S);
    peer_note_sent(&peer, T0 + 25 * S, false, 32);
    peer_note_received(&peer, T0 + 40 * S, false, 32); /* either direction counts */
    assert_int_equal(when(TIMERS_KEEPALIVE, T0 + 25 * S + MS, T0 + 90 * S), T0 + 65 * S);
    /* It did not leave (no endpoint): not again before the interval is over. */
    assert_int_equal(when(TIMERS_KEEPALIVE, T0 + 65 * S + MS, T0 + 120 * S), T0 + 90 * S);
    atomic_store(&peer.keepalive_s, 0);
    assert_int_equal(when(TIMERS_KEEPALIVE, T0 + 90 * S + MS, T0 + 200 * S), 0);
}

TEST(a_handshake_is_retried_every_5_s_and_given_up_after_90_s)
{
    uint64_t now = T0, last = T0;
    unsigned sent = 1;

    assert_true(timers_may_initiate(&timers, now, true));
    timers_initiation_sent(&timers, rng, now);
    for (;; now += MS) {
        unsigned actions = step(now);
        if (actions & TIMERS_GAVE_UP)
            break;
        if (!(actions & TIMERS_INITIATE))
            continue;
        assert_in_range(now - last, 5 * S, 5 * S + 335 * MS);
        assert_true(timers_may_initiate(&timers, now, false));
        timers_initiation_sent(&timers, rng, now);
        last = now;
        sent++;
    }
    assert_in_range(now, T0 + 90 * S, T0 + 95 * S + 335 * MS);
    assert_in_range(sent, 17, 19);
    assert_int_equal(when(TIMERS_INITIATE, now + MS, now + 300 * S), 0);
    assert_true(
        timers_may_initiate(&timers, now + 300 * S, true)); /* until there is a new reason */
}

TEST(a_new_reason_lets_the_90_s_start_again)
{
    uint64_t now = T0;

    timers_may_initiate(&timers, now, true);
    timers_initiation_sent(&timers, rng, now);
    for (; now < T0 + 170 * S; now += MS) {
        if (now == T0 + 80 * S)
            assert_false(timers_may_initiate(&timers, now, true)); /* not now, but go on longer */
        unsigned actions = step(now);
        if (actions & TIMERS_INITIATE && timers_may_initiate(&timers, now, false))
            timers_initiation_sent(&timers, rng, now);
        assert_false(actions & TIMERS_GAVE_UP);
    }
    for (; now < T0 + 185 * S; now += MS) {
        unsigned actions = step(now);
        if (actions & TIMERS_GAVE_UP)
            return;
        if (actions & TIMERS_INITIATE && timers_may_initiate(&timers, now, false))
            timers_initiation_sent(&timers, rng, now);
    }
    fail();
}

TEST(initiations_are_5_s_apart_whatever_asks)
{
    assert_true(timers_may_initiate(&timers, T0, true));
    timers_initiation_sent(&timers, rng, T0);
    assert_false(timers_may_initiate(&timers, T0 + S, true)); /* one is under way */
    assert_true(timers.retry_at_ns > T0 + 5 * S);
    assert_false(timers_may_initiate(&timers, timers.retry_at_ns - 1, true));
    assert_true(timers_may_initiate(&timers, timers.retry_at_ns, false));
    timers_session_made(&timers, &peer, T0 + S);
    assert_false(
        timers_may_initiate(&timers, T0 + 5 * S - 1, true)); /* and the last one was near */
    assert_true(timers_may_initiate(&timers, T0 + 5 * S, true));
}

TEST(a_session_ends_the_retries)
{
    timers_may_initiate(&timers, T0, true);
    timers_initiation_sent(&timers, rng, T0);
    peer_note_sent(&peer, T0, true, 100);
    timers_session_made(&timers, &peer, T0 + 100 * MS);
    assert_int_equal(when(TIMERS_INITIATE | TIMERS_GAVE_UP, T0 + 100 * MS, T0 + 200 * S), 0);
}

TEST(an_initiation_that_could_not_be_sent_is_asked_for_again)
{
    timers_may_initiate(&timers, T0, true);
    timers_initiation_sent(&timers, rng, T0);
    struct timers_todo todo = timers_step(&timers, &peer, rng, T0 + 6 * S);
    assert_int_equal(todo.actions, TIMERS_INITIATE);
    assert_int_equal(todo.next_ns, T0 + 7 * S); /* soon, but no busy loop */
    todo = timers_step(&timers, &peer, rng, T0 + 7 * S);
    assert_int_equal(todo.actions, TIMERS_INITIATE);
    todo = timers_step(&timers, &peer, rng, T0 + 90 * S);
    assert_true(todo.actions & TIMERS_GAVE_UP);
}

TEST(keys_are_zeroed_540_s_after_the_last_session)
{
    timers_session_made(&timers, &peer, T0);
    timers_session_made(&timers, &peer, T0 + 100 * S);
    assert_int_equal(when(TIMERS_ZERO, T0 + 100 * S, T0 + 700 * S), T0 + 640 * S);
    struct timers_todo todo = timers_step(&timers, &peer, rng, T0 + 700 * S);
    assert_int_equal(todo.actions, 0);
    assert_int_equal(todo.next_ns, 0);
    timers_session_made(&timers, &peer, T0 + 800 * S); /* and again after a new one */
    assert_int_equal(when(TIMERS_ZERO, T0 + 800 * S, T0 + 1400 * S), T0 + 1340 * S);
}

TEST(giving_up_drops_what_waits_and_lets_keys_be_zeroed)
{
    uint64_t now = T0;

    timers_may_initiate(&timers, now, true);
    timers_initiation_sent(&timers, rng, now);
    peer_note_received(&peer, T0 + 89 * S, true, 1);
    assert_true(step(T0 + 91 * S) & TIMERS_GAVE_UP);
    assert_int_equal(atomic_load(&peer_live(&peer)->data_received_ns), 0);
    assert_int_equal(when(TIMERS_ZERO, T0 + 92 * S, T0 + 700 * S), T0 + 91 * S + 540 * S);
}

TEST(looking_when_told_misses_nothing)
{
    /* Steps only at next_ns; facts arise at any time in between, as workers note them. */
    const struct rng *r = test_rng(9);
    uint64_t now = T0, sent_at = 0, received_at = 0, next;

    timers_session_made(&timers, &peer, now);
    next = timers_step(&timers, &peer, rng, now).next_ns;
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t fact = now + test_below(r, 7000) * MS;
        if (next && next <= fact) {
            now = next;
            struct timers_todo todo = timers_step(&timers, &peer, rng, now);
            if (todo.actions & TIMERS_KEEPALIVE) {
                assert_int_equal(now, received_at + 10 * S); /* exactly in time */
                peer_note_sent(&peer, now, false, 32);
                received_at = 0;
            }
            if (todo.actions & TIMERS_INITIATE) {
                assert_in_range(now, sent_at + 15 * S, sent_at + 15 * S + 333 * MS);
                sent_at = 0;
            }
            next = todo.next_ns;
            assert_true(!received_at || now < received_at + 10 * S);
            assert_true(!sent_at || now < sent_at + 15 * S + 333 * MS);
            continue;
        }
        now = fact;
        bool tell;
        if (test_below(r, 2)) {
            tell = peer_note_sent(&peer, now, true, 1);
            received_at = 0;
            if (!sent_at)
                sent_at = now;
        } else {
            tell = peer_note_received(&peer, now, true, 1);
            sent_at = 0;
            if (!received_at)
                received_at = now;
        }
        if (tell)
            next = timers_step(&timers, &peer, rng, now).next_ns;
    }
}

/* ---- two ends ---- */

#define LATENCY (20 * MS)
#define FLIGHT_MAX 1024
#define STAGED_MAX 128

enum kind { INITIATION, RESPONSE, DATA };

struct packet {
    uint64_t at_ns;
    enum kind kind;
    unsigned to;
    uint64_t handshake, session, counter;
    bool keepalive;
};

struct end {
    struct wg_peer peer;
    struct timers timers;
    struct gate gate;
    uint64_t look_ns, initiation; /* id of the one under way */
    uint64_t generation;
    unsigned staged;
    /* what was seen */
    uint64_t last_initiation_ns, last_received_ns;
    unsigned initiations, keepalives, received, zeroed, gave_up, refused, keyless;
};

static struct net {
    struct end end[2];
    const struct rng *rng;
    uint64_t now_ns, ids;
    unsigned loss_percent;
    bool cut;
    struct packet flight[FLIGHT_MAX];
    unsigned flying;
} net;

static void emit(unsigned from, struct packet p)
{
    p.at_ns = net.now_ns + LATENCY;
    p.to = !from;
    assert_true(net.flying < FLIGHT_MAX);
    if (!net.cut && test_below(net.rng, 100) >= net.loss_percent)
        net.flight[net.flying++] = p;
}

static void look(unsigned i)
{
    net.end[i].look_ns = net.now_ns;
}

static void initiate(unsigned i, bool new_reason)
{
    struct end *e = &net.end[i];

    if (!timers_may_initiate(&e->timers, net.now_ns, new_reason))
        return;
    if (e->last_initiation_ns)
        assert_true(net.now_ns - e->last_initiation_ns >= REKEY_TIMEOUT_NS);
    e->last_initiation_ns = net.now_ns;
    e->initiations++;
    e->initiation = ++net.ids;
    emit(i, (struct packet){.kind = INITIATION, .handshake = e->initiation});
    timers_initiation_sent(&e->timers, net.rng, net.now_ns);
    peer_note_sent(&e->peer, net.now_ns, false, 148);
    look(i);
}

static void drop(struct keypair **k, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        keypair_free(k[i]);
}

static struct keypair *session(unsigned i, uint64_t seq, bool initiator)
{
    struct session s = session_for(seq, LIMIT_NONE);
    s.hub_initiated = initiator;
    struct keypair *k = keypair_new(&s, net.now_ns);
    assert_non_null(k);
    k->peer = &net.end[i].peer;
    k->generation = ++net.end[i].generation;
    return k;
}

static bool send_one(unsigned i, bool keepalive)
{
    struct end *e = &net.end[i];
    struct keypair *k = atomic_load(&e->peer.current);
    struct packet p = {.kind = DATA, .keepalive = keepalive};
    unsigned effects = 0;

    if (!k || keypair_send(k, &e->gate, net.now_ns, 1, &p.counter, &effects) != TX_OK)
        return false;
    assert_true(keypair_age_hi(k, net.now_ns) < REJECT_AFTER_TIME_NS);
    p.session = k->id.seq;
    emit(i, p);
    if (peer_note_sent(&e->peer, net.now_ns, !keepalive, 32))
        look(i);
    if (effects & EFFECT_REKEY)
        initiate(i, true);
    return true;
}

static void send_data(unsigned i)
{
    struct end *e = &net.end[i];

    if (send_one(i, false))
        return;
    e->keyless++;
    if (e->staged < STAGED_MAX)
        e->staged++;
    initiate(i, true);
}

static void send_keepalive(unsigned i)
{
    net.end[i].keepalives++;
    if (!send_one(i, true))
        initiate(i, true);
}

static void session_ready(unsigned i)
{
    struct end *e = &net.end[i];

    timers_session_made(&e->timers, &e->peer, net.now_ns);
    for (; e->staged; e->staged--)
        assert_true(send_one(i, false));
    look(i);
}

static struct keypair *by_session(struct end *e, uint64_t seq)
{
    struct keypair *all[2 + NEXT_SLOTS] = {atomic_load(&e->peer.current),
                                           peer_slots(&e->peer)->previous};

    memcpy(all + 2, peer_slots(&e->peer)->next, sizeof(peer_slots(&e->peer)->next));
    for (unsigned i = 0; i < 2 + NEXT_SLOTS; i++)
        if (all[i] && all[i]->id.seq == seq)
            return all[i];
    return NULL;
}

static void arrive(struct packet *p)
{
    struct end *e = &net.end[p->to];
    struct keypair *out[NEXT_SLOTS + 2], *k;
    unsigned effects;

    switch (p->kind) {
    case INITIATION:
        peer_note_received(&e->peer, net.now_ns, false, 148);
        k = session(p->to, ++net.ids, false);
        drop(out, peer_install_next(&e->peer, k, out));
        emit(p->to,
             (struct packet){.kind = RESPONSE, .handshake = p->handshake, .session = k->id.seq});
        peer_note_sent(&e->peer, net.now_ns, false, 92);
        look(p->to);
        break;
    case RESPONSE:
        if (p->handshake != e->initiation)
            return;
        e->initiation = 0;
        peer_note_received(&e->peer, net.now_ns, false, 92);
        k = session(p->to, p->session, true);
        atomic_store(&k->confirmed, true);
        drop(out, peer_install_initiated(&e->peer, k, out));
        if (!e->staged)
            send_keepalive(p->to);
        session_ready(p->to);
        break;
    case DATA:
        k = by_session(e, p->session);
        if (!k || keypair_receive(k, &e->gate, net.now_ns, p->counter, &effects) != RX_ACCEPT) {
            e->refused++;
            return;
        }
        e->last_received_ns = net.now_ns;
        e->received += !p->keepalive;
        if (peer_note_received(&e->peer, net.now_ns, !p->keepalive, 32))
            look(p->to);
        if (effects & EFFECT_CONFIRMED) {
            drop(out, peer_confirm(&e->peer, k, out));
            session_ready(p->to);
        }
        if (effects & EFFECT_REKEY)
            initiate(p->to, true);
        break;
    }
}

static void wipe(struct end *e)
{
    struct keypair *k;

    while ((k = atomic_load(&e->peer.current)) || (k = peer_slots(&e->peer)->previous) ||
           (k = peer_slots(&e->peer)->next[0])) {
        peer_forget(&e->peer, k);
        keypair_free(k);
    }
}

static void run_timers(unsigned i)
{
    struct end *e = &net.end[i];

    if (!e->look_ns || net.now_ns < e->look_ns)
        return;
    struct timers_todo todo = timers_step(&e->timers, &e->peer, net.rng, net.now_ns);
    e->look_ns = todo.next_ns;
    if (todo.actions & TIMERS_ZERO) {
        wipe(e);
        e->zeroed++;
    }
    if (todo.actions & TIMERS_GAVE_UP) {
        e->staged = 0;
        e->gave_up++;
    }
    if (todo.actions & TIMERS_KEEPALIVE)
        send_keepalive(i);
    if (todo.actions & TIMERS_INITIATE)
        initiate(i, false);
}

static void tick(void)
{
    net.now_ns += 5 * MS;
    for (unsigned i = 0; i < net.flying;) {
        if (net.flight[i].at_ns > net.now_ns) {
            i++;
            continue;
        }
        struct packet p = net.flight[i];
        memmove(&net.flight[i], &net.flight[i + 1], (--net.flying - i) * sizeof(p));
        arrive(&p);
    }
    run_timers(0);
    run_timers(1);
}

/* Both ends for a time; a packet every @up_ms from end 0 and every @down_ms from end 1 (0: none).
 */
static void run(uint64_t seconds, unsigned up_ms, unsigned down_ms)
{
    uint64_t begin = net.now_ns, end = begin + seconds * S;

    while (net.now_ns < end) {
        tick();
        uint64_t ms = (net.now_ns - begin) / MS;
        if (up_ms && ms % up_ms == 0)
            send_data(0);
        if (down_ms && ms % down_ms == 0)
            send_data(1);
    }
}

static int connect_ends(void **state)
{
    memset(&net, 0, sizeof(net));
    net.now_ns = T0;
    net.rng = test_rng(4242);
    for (unsigned i = 0; i < 2; i++) {
        wg_peer_init(&net.end[i].peer, i + 1, 1, &someone);
        assert_int_equal(peer_wake(&net.end[i].peer), 0);
        gate_for_plain(&net.end[i].gate);
    }
    return 0;
}

static int disconnect_ends(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        wipe(&net.end[i]);
        wg_peer_done(&net.end[i].peer);
    }
    return 0;
}

TEST(three_hours_of_two_way_traffic_lose_nothing_and_rekey_every_two_minutes)
{
    run(1, 1000, 0);
    run(3 * 3600, 100, 100);
    run(1, 0, 0);
    assert_int_equal(net.end[0].received, 3 * 36000);
    assert_int_equal(net.end[1].received, 3 * 36000 + 1);
    assert_in_range(net.end[0].initiations, 88, 92);
    assert_int_equal(net.end[1].initiations, 0); /* the first initiator goes on initiating */
    assert_int_equal(net.end[0].keyless, 1);     /* the very first */
    assert_int_equal(net.end[1].keyless, 0);
    assert_int_equal(net.end[1].keepalives, 0);
}

TEST(crossing_initiations_leave_nobody_without_a_key_for_three_hours)
{
    run(3 * 3600, 100, 100); /* both begin in the same moment, again and again */
    run(1, 0, 0);
    assert_true(net.end[0].initiations > 85);
    assert_true(net.end[1].initiations > 85);
    assert_int_equal(net.end[0].keyless, 1);
    assert_int_equal(net.end[1].keyless, 1);
    assert_int_equal(net.end[0].received, 3 * 36000);
    assert_int_equal(net.end[1].received, 3 * 36000);
}

TEST(three_hours_with_losses_keep_both_directions_alive)
{
    net.loss_percent = 15;
    run(3 * 3600, 250, 400);
    assert_true(net.end[1].received > 3 * 3600 * 4 * 8 / 10);
    assert_true(net.end[0].received > 3 * 3600 * 5 / 2 * 8 / 10);
    assert_int_equal(net.end[0].zeroed + net.end[1].zeroed, 0);
    assert_int_equal(net.end[0].gave_up + net.end[1].gave_up, 0);
}

TEST(one_way_traffic_is_answered_by_passive_keepalives_only)
{
    run(600, 500, 0);
    run(1, 0, 0);
    assert_int_equal(net.end[1].received, 1200);
    assert_in_range(net.end[1].keepalives, 54, 58); /* 10 s after the next packet */
    assert_in_range(net.end[0].initiations, 5, 6);
    assert_int_equal(net.end[1].initiations, 0);
}

TEST(a_receiver_that_initiated_and_is_never_silent_for_long_rekeys_at_120_s)
{
    send_data(0); /* end 0 initiates, then only receives; its passive keepalives are sends */
    run(119, 0, 200);
    assert_int_equal(net.end[0].initiations, 1);
    run(15, 0, 200);
    assert_int_equal(net.end[0].initiations, 2);
    assert_int_equal(net.end[1].initiations, 0);
}

TEST(idle_ends_are_silent_and_forget_their_keys)
{
    run(1, 1000, 1000);
    run(30, 0, 0);
    unsigned before = net.end[0].keepalives + net.end[1].keepalives;
    unsigned initiations = net.end[0].initiations + net.end[1].initiations;
    run(500, 0, 0);
    assert_int_equal(net.end[0].keepalives + net.end[1].keepalives, before);
    assert_int_equal(net.end[0].initiations + net.end[1].initiations, initiations);
    assert_int_equal(net.end[0].zeroed + net.end[1].zeroed, 0);
    run(60, 0, 0);
    assert_int_equal(net.end[0].zeroed, 1);
    assert_int_equal(net.end[1].zeroed, 1);
    run(3600, 0, 0);
    assert_int_equal(net.end[0].initiations + net.end[1].initiations, initiations);
    send_data(1); /* and any end wakes it up */
    run(1, 0, 0);
    assert_int_equal(net.end[0].received, 2);
}

TEST(a_dead_peer_is_noticed_tried_for_90_s_and_left)
{
    run(10, 100, 100);
    unsigned initiations = net.end[0].initiations;
    net.cut = true;
    uint64_t cut = net.now_ns;
    run(1, 100, 0); /* ten more packets, then silence */
    while (net.end[0].initiations == initiations)
        tick();
    assert_in_range(net.now_ns - cut, 15 * S, 16 * S);
    run(200, 0, 0);
    assert_int_equal(net.end[0].gave_up, 1);
    assert_in_range(net.end[0].initiations - initiations, 17, 19);
    run(400, 0, 0);
    assert_in_range(net.end[0].initiations - initiations, 17, 19);
}

TEST(traffic_resumes_within_a_retry_after_an_outage)
{
    run(60, 100, 100);
    for (unsigned outage = 20; outage < 400; outage += 75) {
        net.cut = true;
        run(outage, 100, 100);
        net.cut = false;
        unsigned up = net.end[1].received, down = net.end[0].received;
        run(6, 100, 100);
        assert_true(net.end[1].received > up);
        assert_true(net.end[0].received > down);
        run(30, 100, 100);
    }
}

TEST(persistent_keepalives_alone_hold_a_session_for_three_hours)
{
    atomic_store(&net.end[0].peer.keepalive_s, 25);
    look(0);
    run(3 * 3600, 0, 0);
    assert_in_range(net.end[0].keepalives, 3 * 3600 / 26, 3 * 3600 / 24 + 100);
    assert_in_range(net.end[0].initiations, 3 * 3600 / 150, 3 * 3600 / 120);
    assert_int_equal(net.end[0].zeroed + net.end[1].zeroed, 0);
    send_data(1); /* so the other end can reach it at any time */
    run(1, 0, 0);
    assert_int_equal(net.end[0].received, 1);
}

#define F(name) TS(name, fresh, NULL)
#define E(name) TS(name, connect_ends, disconnect_ends)

TEST_MAIN(F(a_peer_without_anything_outstanding_is_disarmed),
          F(unanswered_data_asks_for_a_handshake_after_15_s), F(any_answer_calls_the_handshake_off),
          F(keepalives_sent_do_not_ask_for_answers),
          F(received_data_is_answered_by_a_keepalive_after_10_s),
          F(with_more_data_received_another_keepalive_is_due_if_nothing_left),
          F(persistent_keepalives_come_an_interval_after_the_last_traffic),
          F(a_handshake_is_retried_every_5_s_and_given_up_after_90_s),
          F(a_new_reason_lets_the_90_s_start_again), F(initiations_are_5_s_apart_whatever_asks),
          F(a_session_ends_the_retries), F(an_initiation_that_could_not_be_sent_is_asked_for_again),
          F(keys_are_zeroed_540_s_after_the_last_session),
          F(giving_up_drops_what_waits_and_lets_keys_be_zeroed),
          F(looking_when_told_misses_nothing),
          E(three_hours_of_two_way_traffic_lose_nothing_and_rekey_every_two_minutes),
          E(crossing_initiations_leave_nobody_without_a_key_for_three_hours),
          E(three_hours_with_losses_keep_both_directions_alive),
          E(one_way_traffic_is_answered_by_passive_keepalives_only),
          E(a_receiver_that_initiated_and_is_never_silent_for_long_rekeys_at_120_s),
          E(idle_ends_are_silent_and_forget_their_keys),
          E(a_dead_peer_is_noticed_tried_for_90_s_and_left),
          E(traffic_resumes_within_a_retry_after_an_outage),
          E(persistent_keepalives_alone_hold_a_session_for_three_hours))
