/* A whole engine and packets that the test made: what is delivered, what is dropped, what waits for
 * its key, and workers that stand still. */
#include "base/bytes.h"
#include "engines.h"
#include <netinet/in.h>
#include <netinet/udp.h>

TEST(a_packet_is_delivered_once)
{
    struct crafted c = crafted_new(&(struct hub_options){.workers = 2});

    send_crafted(&c, 5, 2, "once");
    UNTIL(got(c.inside, "once"));
    send_crafted(&c, 5, 2, "once");
    UNTIL(hub_counters(c.hub).rx[RX_DROP_REPLAY] == 1);
    UNTIL(c.hub->facts[FACT_DROPPED] == 1);
    assert_int_equal(c.hub->last[FACT_DROPPED].index, RX_DROP_REPLAY);
    assert_int_equal(c.hub->last[FACT_DROPPED].peer_id, c.hub->peers[0].wg->id);
    for (unsigned i = 0; i < 100; i++) /* main is not told of each */
        send_crafted(&c, 5, 2, "once");
    UNTIL(hub_counters(c.hub).rx[RX_DROP_REPLAY] == 101);
    assert_in_range(c.hub->facts[FACT_DROPPED], 1, 3);
    send_crafted(&c, 4, 2, "late"); /* overtaken, but new */
    UNTIL(got(c.inside, "late"));
    assert_int_equal(hub_counters(c.hub).rx[RX_ACCEPT], 2);
    crafted_free(&c);
}

TEST(forged_cut_and_unknown_packets_are_dropped_and_counted)
{
    struct crafted c = crafted_new(&(struct hub_options){.workers = 2});
    uint8_t m[256] = {0};
    size_t len = seal(&c, m, 0, 2, "fine");

    m[len - 1] ^= 1;
    lab_send_to(c.outside, "127.0.0.1", c.hub->port, m, len);
    UNTIL(hub_counters(c.hub).rx[RX_DROP_AUTH] == 1);
    for (size_t cut = 0; cut < 32; cut++)
        lab_send_to(c.outside, "127.0.0.1", c.hub->port, m, cut);
    UNTIL(hub_counters(c.hub).rx[RX_DROP_MALFORMED] == 32);
    m[4] ^= 0x80;
    lab_send_to(c.outside, "127.0.0.1", c.hub->port, m, len);
    UNTIL(hub_counters(c.hub).rx[RX_DROP_UNKNOWN] == 1);
    UNTIL(c.hub->facts[FACT_UNKNOWN_INDEX] == 1);
    assert_int_equal(c.hub->last[FACT_UNKNOWN_INDEX].index, INDEX ^ 0x80);
    m[1] = 1; /* reserved bytes are zero */
    lab_send_to(c.outside, "127.0.0.1", c.hub->port, m, len);
    UNTIL(hub_counters(c.hub).rx[RX_DROP_MALFORMED] == 33);
    send_crafted(&c, 0, 2, "fine"); /* none of it spoilt the window */
    UNTIL(got(c.inside, "fine"));
    crafted_free(&c);
}

TEST(a_source_that_is_not_the_peers_is_not_delivered)
{
    struct crafted c = crafted_new(&(struct hub_options){.workers = 1});
    struct public_key other = {{8}};

    hub_add_peer(c.hub, &other, NULL, 3);
    send_crafted(&c, 0, 3, "another's");
    send_crafted(&c, 1, 9, "nobody's");
    send_crafted(&c, 2, 2, "mine");
    UNTIL(got(c.inside, "mine")); /* the first that arrives */
    struct engine_counters n = hub_counters(c.hub);
    assert_int_equal(n.rx[RX_DROP_SOURCE], 2);
    assert_int_equal(n.rx_no_peer, 1);
    crafted_free(&c);
}

static uint16_t port_of_endpoint(const struct crafted *c)
{
    struct endpoint at, local;
    uint32_t ifindex;

    return peer_endpoint_get(c->peer->wg, &at, &local, &ifindex) ? at.port : 0;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in at;
    socklen_t len = sizeof(at);

    getsockname(fd, (struct sockaddr *)&at, &len);
    return ntohs(at.sin_port);
}

/* R1, E1: no effect of a packet before it is authentic, and new. */
TEST(only_what_is_accepted_says_where_the_peer_is)
{
    struct crafted c = crafted_new(&(struct hub_options){.workers = 1});
    int elsewhere = lab_socket(NULL, SOCK_DGRAM, "127.0.0.1", 0);
    uint8_t m[256];

    send_crafted(&c, 5, 2, "from here");
    UNTIL(got(c.inside, "from here"));
    assert_int_equal(port_of_endpoint(&c), port_of(c.outside));

    size_t len = seal(&c, m, 6, 2, "forged");
    m[len - 1] ^= 1;
    lab_send_to(elsewhere, "127.0.0.1", c.hub->port, m, len);
    UNTIL(hub_counters(c.hub).rx[RX_DROP_AUTH] == 1);
    len = seal(&c, m, 5, 2, "a copy");
    lab_send_to(elsewhere, "127.0.0.1", c.hub->port, m, len);
    UNTIL(hub_counters(c.hub).rx[RX_DROP_REPLAY] == 1);
    len = seal(&c, m, 4, 2, "late"); /* what was overtaken is news, but no news of the place */
    lab_send_to(elsewhere, "127.0.0.1", c.hub->port, m, len);
    UNTIL(got(c.inside, "late"));
    assert_int_equal(port_of_endpoint(&c), port_of(c.outside));

    len = seal(&c, m, 7, 2, "from there");
    lab_send_to(elsewhere, "127.0.0.1", c.hub->port, m, len);
    UNTIL(got(c.inside, "from there"));
    assert_int_equal(port_of_endpoint(&c), port_of(elsewhere));
    lab_close(elsewhere);
    crafted_free(&c);
}

TEST(of_a_burst_the_highest_counter_counts)
{
    struct crafted c = crafted_new(&(struct hub_options){.workers = 1});
    int elsewhere = lab_socket(NULL, SOCK_DGRAM, "127.0.0.1", 0);
    uint8_t m[256], other[256];
    int segment = (int)seal(&c, m, 9, 2, "first");

    size_t len = (size_t)segment + seal(&c, m + segment, 5, 2, "later");
    assert_int_equal(setsockopt(c.outside, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)), 0);
    lab_send_to(c.outside, "127.0.0.1", c.hub->port, m, len);
    UNTIL(got(c.inside, "first"));
    UNTIL(got(c.inside, "later"));
    len = seal(&c, other, 7, 2, "between");
    lab_send_to(elsewhere, "127.0.0.1", c.hub->port, other, len);
    UNTIL(got(c.inside, "between"));
    assert_int_equal(port_of_endpoint(&c), port_of(c.outside));
    lab_close(elsewhere);
    crafted_free(&c);
}

TEST(keepalives_are_accepted_and_go_nowhere)
{
    struct crafted c = crafted_new(&(struct hub_options){.workers = 1});

    send_crafted(&c, 0, 0, NULL);
    UNTIL(hub_counters(c.hub).rx[RX_ACCEPT] == 1);
    assert_int_equal(hub_counters(c.hub).tun_write_errors, 0);
    UNTIL(c.hub->facts[FACT_ENDPOINT] == 1); /* authentic: the endpoint is known now */
    assert_int_equal(engine_send_keepalive(c.hub->engine, c.peer->wg, clock_boot_ns()), TX_OK);
    uint8_t m[64];
    UNTIL(recv(c.outside, m, sizeof(m), MSG_DONTWAIT) == 32);
    assert_int_equal(load_le32(m), MESSAGE_DATA);
    assert_int_equal(load_le32(m + 4), 77);
    struct aead_op op = {.counter = load_le64(m + 8), .src = m + 16, .dst = m + 16};
    assert_int_equal(aead_open(c.aead, c.keys.send, &op, 1), 1);
    crafted_free(&c);
}

TEST(sessions_stay_on_the_worker_of_their_index)
{
    struct hub *h = hub_new(&loop, LAB_A, "gmt0", 1, &(struct hub_options){.workers = 4});
    int outside = lab_socket(NULL, SOCK_DGRAM, "127.0.0.1", 0);
    uint8_t m[32] = {MESSAGE_DATA};

    hub_open(h, 0);
    for (uint32_t i = 0; i < 40; i++) {
        store_le32(m + 4, 0xfffffff0 + i); /* 24 of them past the wrap */
        lab_send_to(outside, "127.0.0.1", h->port, m, sizeof(m));
    }
    UNTIL(hub_counters(h).rx[RX_DROP_UNKNOWN] == 40);
    for (unsigned w = 0; w < 4; w++)
        assert_int_equal(atomic_load(&h->engine->workers[w].lane.stats.rx[RX_DROP_UNKNOWN]), 10);
    for (uint32_t i = 0; i < 7; i++) { /* all of these are 3 modulo 4 */
        store_le32(m + 4, 3 + 4 * i * 1000003);
        lab_send_to(outside, "127.0.0.1", h->port, m, sizeof(m));
    }
    UNTIL(atomic_load(&h->engine->workers[3].lane.stats.rx[RX_DROP_UNKNOWN]) == 17);
    lab_close(outside);
    hub_free(h);
}

static int cpu_of(struct worker *w, void *arg)
{
    cpu_set_t mine;

    if (sched_getaffinity(0, sizeof(mine), &mine) < 0 || CPU_COUNT(&mine) != 1)
        return -1;
    return sched_getcpu();
}

TEST(pinned_workers_stay_on_cpus_of_their_own)
{
    struct pair p = pair_with(&(struct hub_options){.workers = 2, .pin_workers = true});
    cpu_set_t allowed;

    assert_int_equal(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
    int first = worker_run(&p.a->engine->workers[0], cpu_of, NULL),
        second = worker_run(&p.a->engine->workers[1], cpu_of, NULL);
    assert_true(first >= 0 && second >= 0);
    assert_true(CPU_ISSET(first, &allowed) && CPU_ISSET(second, &allowed));
    assert_true(first != second || CPU_COUNT(&allowed) == 1);
    pair_free(&p);
}

TEST(what_is_queued_can_be_thrown_away)
{
    struct crafted c = crafted_new(&(struct hub_options){.workers = 1});
    struct worker *w = &c.hub->engine->workers[0];
    struct stall stall;

    hub_set_endpoint(c.peer, "127.0.0.1", 9);
    stall_begin(&stall, w);
    for (unsigned i = 0; i < 20; i++) {
        send_crafted(&c, i, 2, "queued");
        lab_send_to(c.inside, B4, PORT, "queued", 6);
    }
    engine_discard_queued(c.hub->engine);
    stall_end(&stall, w);
    turn_for(20); /* the discarding comes right behind */
    send_crafted(&c, 20, 2, "after");
    UNTIL(got(c.inside, "after"));
    struct engine_counters n = hub_counters(c.hub);
    assert_int_equal(n.rx[RX_ACCEPT], 1);
    assert_int_equal(n.tx[TX_OK], 0);
    crafted_free(&c);
}

TEST(what_a_worker_stages_for_a_peer_that_is_gone_is_dropped)
{
    struct crafted c = crafted_new(&(struct hub_options){.workers = 1});
    struct engine *e = c.hub->engine;
    uint8_t packet[64];
    size_t len = inner(packet, 2, "too late");

    rcu_enter(); /* as one that found the peer just before */
    struct peer_entry *p = peer_find(e, c.peer->wg->id);
    assert_true(staging_add(&e->main, p, packet, len));
    engine_remove_peer(e, c.peer->wg);
    assert_int_equal(atomic_load(&e->staged_count), 0);
    assert_false(staging_add(&e->main, p, packet, len));
    rcu_leave();
    assert_int_equal(atomic_load(&e->staged_count), 0);
    assert_int_equal(atomic_load(&e->staged_bytes), 0);
    assert_int_equal(hub_counters(c.hub).staged_dropped, 2);
    crafted_free(&c);
}

TEST(a_confirmed_key_comes_before_the_wish_for_one)
{
    struct crafted c = crafted_new(&(struct hub_options){.workers = 2});
    struct worker *w = c.hub->engine->workers;
    struct stall stall[2];
    uint8_t packet[64];

    hub_set_endpoint(c.peer, "127.0.0.1", 9);
    hub_remove_key(c.hub, c.key);
    hub_install(c.peer, &c.keys, INDEX + 1, 78, false);
    stall_begin(&stall[0], &w[0]); /* so that this thread may speak for them */
    stall_begin(&stall[1], &w[1]);
    rcu_enter();
    struct peer_entry *p = peer_find(c.hub->engine, c.peer->wg->id);
    size_t len = inner(packet, 2, "an answer");
    assert_true(staging_add(&w[0].lane, p, packet, len));
    lane_tell_peer(&w[0].lane, p, PEER_FACT_NEED_SESSION);
    lane_tell_effects(&w[1].lane, INDEX + 1, EFFECT_CONFIRMED);
    rcu_leave();
    engine_wake_main(c.hub->engine);
    UNTIL(c.hub->effects[3] == 1 && atomic_load(&c.hub->engine->staged_count) == 0);
    stall_end(&stall[0], &w[0]);
    stall_end(&stall[1], &w[1]);
    turn_for(10);
    assert_int_equal(c.hub->facts[FACT_NEED_SESSION], 0);
    assert_int_equal(hub_counters(c.hub).tx[TX_OK], 1);
    crafted_free(&c);
}

TEST(a_worker_that_stood_still_discards_and_waits_for_main)
{
    struct hub_options options = {.workers = 2, .cluster = true, .gap_check = true};
    struct crafted c = crafted_new(&options);
    struct worker *w = &c.hub->engine->workers[INDEX % 2];

    own(c.hub, true);
    hub_set_endpoint(c.peer, "127.0.0.1", 9);
    c.hub->resume_by_itself = false;
    send_crafted(&c, 0, 2, "before");
    UNTIL(got(c.inside, "before"));
    /* While it sleeps, packets queue up on both sides. */
    struct stall stall;
    stall_begin(&stall, w);
    for (unsigned i = 0; i < 5; i++)
        send_crafted(&c, 1 + i, 2, "queued");
    usleep(GAP_NS / NS_PER_US + 50000);
    stall_end(&stall, w);
    UNTIL(c.hub->facts[FACT_GAP] == 1);
    assert_int_equal(c.hub->last[FACT_GAP].index, w->id);
    assert_true(c.hub->last[FACT_GAP].value_ns > GAP_NS);
    /* It beats, but does nothing else. */
    send_crafted(&c, 10, 2, "paused");
    uint64_t beat = atomic_load(&c.hub->beats[w->id].boot_ns);
    turn_for(120);
    assert_true(atomic_load(&c.hub->beats[w->id].boot_ns) > beat);
    assert_int_equal(hub_counters(c.hub).rx[RX_ACCEPT], 1);
    engine_resume(c.hub->engine);
    UNTIL(got(c.inside, "paused"));
    assert_int_equal(hub_counters(c.hub).rx[RX_ACCEPT], 2); /* the five are gone */
    assert_int_equal(c.hub->facts[FACT_GAP], 1);
    crafted_free(&c);
}

/* ---- tables ---- */

TEST(an_index_in_use_is_not_given_away)
{
    struct crafted c = crafted_new(&(struct hub_options){.workers = 1});
    struct engine *e = c.hub->engine;
    struct initiation same = {.peer_id = c.peer->wg->id, .local_index = INDEX},
                      own = {.peer_id = c.peer->wg->id, .local_index = INDEX + 1};
    struct wg_peer stranger = {.id = 99};
    struct keypair other = {.peer = &stranger, .local_index = INDEX + 1},
                   right = {.peer = c.peer->wg, .local_index = INDEX + 1};

    assert_true(engine_index_known(e, INDEX));
    assert_int_equal(engine_add_initiation(e, &same), -EEXIST);
    hub_remove_key(c.hub, c.key);
    assert_true(engine_index_known(e, INDEX)); /* I1: not for 540 s */
    assert_int_equal(engine_add_initiation(e, &same), -EEXIST);

    /* The key of an initiation takes its index over, of that peer only, in either order. */
    assert_int_equal(engine_add_initiation(e, &own), 0);
    assert_int_equal(engine_add_keypair(e, &other), -EEXIST);
    assert_int_equal(engine_add_keypair(e, &right), 0);
    assert_int_equal(engine_add_keypair(e, &right), -EEXIST);
    engine_remove_initiation(e, &own);
    engine_remove_keypair(e, &right);
    assert_int_equal(engine_add_keypair(e, &right), -EEXIST); /* it had one: used up */

    own.local_index = right.local_index = other.local_index = INDEX + 2;
    assert_int_equal(engine_add_initiation(e, &own), 0);
    engine_remove_initiation(e, &own);
    assert_int_equal(engine_add_keypair(e, &other), -EEXIST);
    assert_int_equal(engine_add_keypair(e, &right), 0);
    engine_remove_keypair(e, &right);
    crafted_free(&c);
}

static unsigned freed;
static bool freed_here;
static pthread_t main_thread;

static void count_free(void *object)
{
    freed++;
    freed_here = pthread_equal(pthread_self(), main_thread);
    free(object);
}

TEST(retired_objects_are_freed_on_main)
{
    struct pair p = pair_new(2);

    freed = 0;
    main_thread = pthread_self();
    for (unsigned i = 0; i < 100; i++)
        engine_retire(p.a->engine, malloc(8), count_free);
    UNTIL(freed == 100);
    assert_true(freed_here);
    engine_retire(p.b->engine, malloc(8), count_free);
    pair_free(&p); /* and what is left over, at the end */
    assert_int_equal(freed, 101);
}

TEST(no_effect_is_lost_when_the_ring_overflows)
{
    enum { KEYS = FACT_RING_RECORDS + 1000 };
    struct pair p = pair_new(1);
    struct hub_peer *peer = hub_add_peer(p.a, &p.b->key, NULL, 2);
    struct keypair *keys = calloc(KEYS, sizeof(*keys));
    struct lane *l = &p.a->engine->main;

    for (uint32_t i = 0; i < KEYS; i++) {
        keys[i].peer = peer->wg;
        keys[i].local_index = 1 + i;
        assert_int_equal(engine_add_keypair(p.a->engine, &keys[i]), 0);
    }
    rcu_enter();
    for (uint32_t i = 0; i < KEYS; i++) {
        lane_tell_effects(l, 1 + i, EFFECT_ADOPTED);
        lane_tell_effects(l, 1 + i, EFFECT_DIRTY);
    }
    rcu_leave();
    assert_true(hub_counters(p.a).facts_dropped > 0);
    lane_wake_main(l);
    UNTIL(p.a->effects[0] == KEYS);
    assert_int_equal(p.a->effects[6], KEYS); /* the two of a key came together */
    assert_int_equal(p.a->facts[FACT_EFFECTS], KEYS);
    turn_for(20);
    assert_int_equal(p.a->facts[FACT_EFFECTS], KEYS);
    /* The same for a peer's facts. */
    for (uint32_t i = 0; i < FACT_RING_RECORDS; i++)
        lane_tell(l, &(struct fact){.kind = FACT_UNKNOWN_INDEX});
    rcu_enter();
    lane_tell_peer_id(l, peer->wg->id, PEER_FACT_ARM | PEER_FACT_ENDPOINT);
    rcu_leave();
    lane_wake_main(l);
    UNTIL(p.a->facts[FACT_ARM] == 1 && p.a->facts[FACT_ENDPOINT] == 1);
    for (uint32_t i = 0; i < KEYS; i++)
        engine_remove_keypair(p.a->engine, &keys[i]);
    pair_free(&p);
    free(keys);
}

ENGINES_MAIN(E(a_packet_is_delivered_once),
             E(forged_cut_and_unknown_packets_are_dropped_and_counted),
             E(a_source_that_is_not_the_peers_is_not_delivered),
             E(only_what_is_accepted_says_where_the_peer_is),
             E(of_a_burst_the_highest_counter_counts), E(keepalives_are_accepted_and_go_nowhere),
             E(sessions_stay_on_the_worker_of_their_index),
             E(pinned_workers_stay_on_cpus_of_their_own), E(what_is_queued_can_be_thrown_away),
             E(what_a_worker_stages_for_a_peer_that_is_gone_is_dropped),
             E(a_confirmed_key_comes_before_the_wish_for_one),
             E(a_worker_that_stood_still_discards_and_waits_for_main),
             E(an_index_in_use_is_not_given_away), E(retired_objects_are_freed_on_main),
             E(no_effect_is_lost_when_the_ring_overflows))
