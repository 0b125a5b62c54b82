/* Two replicas joined in memory: snapshot first, then the stream; bounds; what ends a connection.
 */
#include "base/err.h"
#include "base/secret.h"
#include "lib/test.h"
#include "noise/noise.h"
#include "sync/replica.h"
#include "unit/proto/samples.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS 1000000ull
#define ENTRIES_MAX 20000

struct wire {
    uint8_t *msg;
    size_t len;
};

struct side {
    struct replica *r;
    struct side *other;
    struct codec_key key;
    uint8_t member;
    struct sync_hello hello;
    /* What it says on the wire, not carried yet. */
    struct wire out[ENTRIES_MAX];
    unsigned out_count;
    size_t pretend_queued;
    /* What it would tell of itself in a snapshot: claims with epochs from 1 on. */
    unsigned records;
    /* What it was told. */
    uint64_t heard[ENTRIES_MAX];
    unsigned heard_count, sessions, peers, ends;
    uint64_t age_hi_ns;
    uint32_t prefixes;
    uint64_t acked[ENTRIES_MAX];
    unsigned acked_count, greeted, downs, heartbeats, every_ms;
    bool refuse, answer; /* answer: sends a claim from inside of each message */
    char reason[160];
};

struct pair {
    struct side a, b;
    uint64_t now;
};

static struct pair *pair;

static struct sync_msg claim(uint64_t epoch)
{
    return (struct sync_msg){.kind = SYNC_CLAIM,
                             .claim = {.vip = 1, .epoch = epoch, .member = 1, .held = true}};
}

static void op_transmit(void *ctx, uint8_t member, const uint8_t *msg, size_t len)
{
    struct side *s = ctx;

    assert_int_equal(member, s->other->member);
    assert_true(s->out_count < ENTRIES_MAX);
    s->out[s->out_count].msg = malloc(len);
    memcpy(s->out[s->out_count].msg, msg, len);
    s->out[s->out_count++].len = len;
}

static size_t op_queued(void *ctx, uint8_t member)
{
    return ((struct side *)ctx)->pretend_queued;
}

static void op_close(void *ctx, uint8_t member, const char *reason)
{
    struct side *s = ctx;

    assert_string_equal(s->reason, ""); /* once */
    snprintf(s->reason, sizeof(s->reason), "%s", reason);
}

static bool op_greeted(void *ctx, uint8_t member, const struct sync_hello *theirs,
                       const char **ret_reason)
{
    struct side *s = ctx;

    if (s->refuse) {
        *ret_reason = "another epoch";
        return false;
    }
    s->greeted++;
    return true;
}

static void op_down(void *ctx, uint8_t member)
{
    ((struct side *)ctx)->downs++;
}

static void op_message(void *ctx, uint8_t member, struct sync_msg *m)
{
    struct side *s = ctx;

    assert_true(s->greeted);
    if (m->kind == SYNC_CLAIM)
        s->heard[s->heard_count++] = m->claim.epoch;
    else if (m->kind == SYNC_SNAPSHOT_END)
        s->ends++;
    else if (m->kind == SYNC_SESSION)
        s->sessions++, s->age_hi_ns = m->session.age_hi_ns;
    else if (m->kind == SYNC_PEER)
        s->peers++, s->prefixes = m->peer->allowed_count;
    if (s->answer && m->kind == SYNC_CLAIM) {
        struct sync_msg again = claim(900000 + m->claim.epoch);
        assert_true(replica_send(s->r, &again, NULL, pair->now) > 0);
    }
}

static void op_heartbeat(void *ctx, uint8_t member, const struct sync_heartbeat *hb,
                         uint64_t rtt_ns)
{
    struct side *s = ctx;

    s->heartbeats++;
    s->every_ms = hb->every_ms;
}

static void op_acked(void *ctx, uint8_t member, const struct replica_token *t)
{
    struct side *s = ctx;

    s->acked[s->acked_count++] = t->a;
}

static void op_fill_hello(void *ctx, uint8_t member, struct sync_hello *ret)
{
    *ret = ((struct side *)ctx)->hello;
}

static void op_fill_heartbeat(void *ctx, uint8_t member, struct sync_heartbeat *ret)
{
    *ret = (struct sync_heartbeat){.ready = true};
}

static bool op_snapshot_next(void *ctx, uint8_t member, uint64_t *cursor, struct sync_msg *ret,
                             struct replica_token *ret_token)
{
    struct side *s = ctx;

    if (*cursor >= s->records)
        return false;
    *ret = claim(++*cursor);
    ret_token->a = *cursor;
    return true;
}

static void side_init(struct side *s, struct side *other, uint8_t member, uint64_t heartbeat_ns)
{
    const struct replica_ops ops = {.ctx = s,
                                    .transmit = op_transmit,
                                    .queued = op_queued,
                                    .close = op_close,
                                    .greeted = op_greeted,
                                    .down = op_down,
                                    .message = op_message,
                                    .heartbeat = op_heartbeat,
                                    .acked = op_acked,
                                    .fill_hello = op_fill_hello,
                                    .fill_heartbeat = op_fill_heartbeat,
                                    .snapshot_next = op_snapshot_next};

    s->member = member;
    s->other = other;
    s->hello = (struct sync_hello){.version_min = SYNC_VERSION_MIN,
                                   .version_max = SYNC_VERSION_MAX,
                                   .member = member,
                                   .seq = 1,
                                   .membership_epoch = 1};
    memset(s->key.send, member, 32);
    memset(s->key.recv, member == 1 ? 2 : 1, 32);
    s->r = replica_new(member, member == 1 ? 2 : 1, heartbeat_ns, test_rng(member), &ops);
    assert_non_null(s->r);
}

static int set_up(void **state)
{
    assert_int_equal(noise_init(), 0);
    pair = calloc(1, sizeof(*pair));
    pair->now = 5000 * MS;
    side_init(&pair->a, &pair->b, 1, HEARTBEAT_NS);
    side_init(&pair->b, &pair->a, 2, HEARTBEAT_NS);
    return 0;
}

static void lose(struct side *s)
{
    while (s->out_count)
        free(s->out[--s->out_count].msg);
}

static int clean_up(void **state)
{
    lose(&pair->a);
    lose(&pair->b);
    replica_free(pair->a.r);
    replica_free(pair->b.r);
    free(pair);
    return 0;
}

/* All that @from has said so far reaches the other side. */
static void carry(struct side *from)
{
    unsigned count = from->out_count;

    for (unsigned i = 0; i < count; i++) {
        replica_receive(from->other->r, from->out[i].msg, from->out[i].len, pair->now);
        free(from->out[i].msg);
    }
    memmove(from->out, from->out + count, (from->out_count - count) * sizeof(from->out[0]));
    from->out_count -= count;
}

/* Time goes on in steps of 2 ms; what was said is carried in each. */
static void pass(unsigned ms)
{
    for (unsigned i = 0; i < ms; i += 2) {
        pair->now += 2 * MS;
        replica_tick(pair->a.r, pair->now);
        replica_tick(pair->b.r, pair->now);
        carry(&pair->a);
        carry(&pair->b);
        replica_flush(pair->a.r, pair->now);
        replica_flush(pair->b.r, pair->now);
    }
}

static void connect(void)
{
    replica_connected(pair->a.r, &pair->a.key, pair->now);
    replica_connected(pair->b.r, &pair->b.key, pair->now);
}

static void disconnect(void)
{
    replica_disconnected(pair->a.r);
    replica_disconnected(pair->b.r);
    lose(&pair->a);
    lose(&pair->b);
}

static void assert_heard(const struct side *s, uint64_t first, unsigned count)
{
    assert_int_equal(s->heard_count, count);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(s->heard[i], first + i);
}

static uint64_t send_claim(struct side *s, uint64_t epoch)
{
    struct sync_msg m = claim(epoch);

    return replica_send(s->r, &m, &(struct replica_token){.a = epoch}, pair->now);
}

static void assert_closed(const struct side *s, const char *why)
{
    if (!strstr(s->reason, why) || !*s->reason)
        fail_msg("'%s', and not '%s'", s->reason, why);
}

TEST(everything_that_existed_comes_first_and_then_what_happens)
{
    struct side *a = &pair->a, *b = &pair->b;

    a->records = 3000;
    b->records = 5;
    assert_int_equal(send_claim(a, 1), 0); /* nobody is there */
    connect();
    assert_int_equal(replica_state(a->r), REPLICA_GREETING);
    assert_int_equal(send_claim(a, 1), 0); /* nor here, before hellos agree */
    pass(100);
    assert_int_equal(replica_state(a->r), REPLICA_LIVE);
    assert_int_equal(replica_state(b->r), REPLICA_LIVE);
    assert_heard(b, 1, 3000);
    assert_heard(a, 1, 5);
    assert_true(a->ends == 1 && b->ends == 1 && a->greeted == 1 && b->greeted == 1);
    assert_true(replica_has_all_of_us(a->r) && replica_has_all_of_us(b->r));
    assert_int_equal(a->acked_count, 3000); /* each told once, in order */
    for (unsigned i = 0; i < 3000; i++)
        assert_int_equal(a->acked[i], i + 1);
    for (unsigned i = 1; i <= 500; i++)
        assert_int_equal(send_claim(a, 3000 + i), 3001 + i); /* positions go on behind the end */
    assert_int_equal(replica_lag(a->r), 500);
    pass(4);
    assert_heard(b, 1, 3500);
    assert_true(replica_lag(a->r) == 0 && a->acked_count == 3500);
    assert_string_equal(a->reason, "");
}

TEST(one_entry_may_be_acked_as_many_things)
{
    struct side *a = &pair->a, *b = &pair->b;
    struct sync_msg m = claim(7);
    struct replica_token tokens[300];

    connect();
    pass(100);
    for (unsigned i = 0; i < 300; i++)
        tokens[i] = (struct replica_token){.a = 1000 + i};
    assert_true(replica_send_many(a->r, &m, tokens, 300, pair->now) > 0);
    assert_true(replica_send_many(a->r, &m, NULL, 0, pair->now) > 0);
    assert_int_equal(replica_lag(a->r), 2);
    assert_true(send_claim(a, 8) > 0);
    assert_true(replica_send_many(a->r, &m, tokens, 1, pair->now) > 0);
    pass(4);
    assert_int_equal(b->heard_count, 4);
    assert_int_equal(a->acked_count, 302);
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(a->acked[i], 1000 + i);
    assert_true(a->acked[300] == 8 && a->acked[301] == 1000);
}

TEST(as_many_things_as_may_wait_for_acks_are_a_bound)
{
    static struct replica_token tokens[SYNC_LIMITS_MAX];
    struct side *a = &pair->a;
    struct sync_msg m = claim(7);
    unsigned sent = 0;

    connect();
    pass(100);
    while (replica_send_many(a->r, &m, tokens, SYNC_LIMITS_MAX, pair->now))
        sent += SYNC_LIMITS_MAX;
    assert_int_equal(sent, REPLICA_PENDING_MAX);
    assert_closed(a, "does not keep up");
}

TEST(what_happens_meanwhile_passes_the_rest_of_the_snapshot)
{
    struct side *a = &pair->a, *b = &pair->b;

    a->records = 4000;
    connect();
    pass(4);
    assert_int_equal(replica_state(a->r), REPLICA_LOADING);
    unsigned before = b->heard_count;
    assert_in_range(before, 1, 3999);
    a->pretend_queued = 1 << 20; /* the channel is busy: bulk waits... */
    pass(20);
    before = b->heard_count;
    pass(20);
    assert_int_equal(b->heard_count, before);
    assert_true(send_claim(a, 77777) > 0); /* ...and what is new does not */
    pass(4);
    assert_int_equal(b->heard_count, before + 1);
    assert_int_equal(b->heard[before], 77777);
    assert_int_equal(replica_state(a->r), REPLICA_LOADING);
    a->pretend_queued = 0;
    pass(200);
    assert_int_equal(b->heard_count, 4001);
    assert_int_equal(replica_state(a->r), REPLICA_LIVE);
}

TEST(a_connection_that_is_made_again_begins_anew)
{
    struct side *a = &pair->a, *b = &pair->b;

    a->records = 100;
    connect();
    pass(20);
    assert_true(send_claim(a, 101) > 0); /* never arrives */
    unsigned acked = a->acked_count;
    disconnect();
    assert_true(a->downs == 1 && b->downs == 1);
    disconnect();
    assert_int_equal(a->downs, 1);
    assert_int_equal(replica_state(a->r), REPLICA_DOWN);
    assert_int_equal(send_claim(a, 102), 0);
    b->heard_count = 0;
    a->records = 150; /* the world went on */
    connect();
    pass(20);
    assert_heard(b, 1, 150);
    assert_int_equal(replica_state(b->r), REPLICA_LIVE);
    assert_int_equal(a->acked_count, acked + 150); /* what was lost with the old one stays so */
    assert_int_equal(send_claim(a, 151), 152);
}

TEST(a_sibling_that_acks_nothing_is_given_up_at_a_bound)
{
    struct side *a = &pair->a;
    unsigned sent = 0;

    connect();
    pass(20);
    a->out_count = 0;
    while (send_claim(a, ++sent))
        lose(a);
    assert_int_equal(sent, REPLICA_PENDING_MAX + 1);
    assert_closed(a, "does not keep up: too many entries");
    assert_int_equal(send_claim(a, 1), 0);
    assert_int_equal(a->out_count, 0); /* silent from then on */
    disconnect();
    assert_int_equal(a->downs, 1);
}

TEST(a_channel_that_cannot_send_is_given_up_at_a_bound)
{
    struct side *a = &pair->a;

    connect();
    pass(20);
    a->pretend_queued = REPLICA_QUEUE_MAX;
    assert_true(send_claim(a, 1) > 0);
    a->pretend_queued = REPLICA_QUEUE_MAX + 1;
    assert_int_equal(send_claim(a, 2), 0);
    assert_closed(a, "does not keep up: too much is queued");
}

TEST(what_is_sent_from_inside_a_message_is_on_the_wire_before_its_ack)
{
    struct side *a = &pair->a, *b = &pair->b;
    struct sync_msg first, second;

    connect();
    pass(20);
    b->answer = true;
    assert_true(send_claim(a, 5) > 0);
    carry(a);
    replica_flush(b->r, pair->now);
    assert_true(b->out_count >= 2); /* R8 */
    assert_int_equal(codec_decode(b->out[0].msg, b->out[0].len, &a->key, &first), 0);
    assert_int_equal(codec_decode(b->out[1].msg, b->out[1].len, &a->key, &second), 0);
    assert_true(first.kind == SYNC_CLAIM && first.claim.epoch == 900005);
    assert_int_equal(second.kind, SYNC_ACK);
}

TEST(a_silence_of_a_second_is_the_end_and_our_own_sleep_is_not)
{
    struct side *a = &pair->a;

    connect();
    pass(20);
    pair->now += 5000 * MS; /* we slept; what they said is still in our socket */
    replica_tick(a->r, pair->now);
    assert_string_equal(a->reason, "");
    uint64_t asleep_until = pair->now;
    while (!*a->reason && pair->now < asleep_until + 3000 * MS) {
        pair->now += 10 * MS;
        replica_tick(a->r, pair->now);
    }
    assert_closed(a, "no frame from it for a second");
    assert_in_range(pair->now - asleep_until, 900 * MS, 1100 * MS);
}

TEST(heartbeats_go_out_as_often_as_they_say)
{
    struct side *a = &pair->a, *b = &pair->b;

    replica_free(a->r);
    side_init(a, b, 1, 30 * MS);
    connect();
    pass(300);
    a->heartbeats = b->heartbeats = 0;
    pass(3000);
    assert_in_range(a->heartbeats, 29, 31);
    assert_int_equal(a->every_ms, 100);
    assert_in_range(b->heartbeats, 95, 101);
    assert_int_equal(b->every_ms, 30);
}

TEST(in_sync_means_an_ack_within_ten_milliseconds_of_the_last_second)
{
    struct side *a = &pair->a, *b = &pair->b;

    connect();
    assert_false(replica_in_sync(a->r, pair->now));
    pass(300);
    assert_true(replica_in_sync(a->r, pair->now) && replica_in_sync(b->r, pair->now));
    assert_true(a->heartbeats >= 2);
    assert_false(replica_in_sync(a->r, pair->now + 1100 * MS));
    /* A link that is up and slow: each way takes 20 ms. */
    for (unsigned i = 0; i < 100; i++) {
        pair->now += 20 * MS;
        carry(a);
        carry(b);
        replica_tick(a->r, pair->now);
        replica_tick(b->r, pair->now);
    }
    assert_string_equal(a->reason, "");
    assert_int_equal(replica_state(a->r), REPLICA_LIVE);
    assert_true(replica_rtt_ns(a->r) >= 10 * MS);
    assert_false(replica_in_sync(a->r, pair->now));
    pass(300);
    assert_true(replica_in_sync(a->r, pair->now));
}

TEST(what_changed_is_in_a_heartbeat_before_what_is_asked_next)
{
    struct side *a = &pair->a, *b = &pair->b;

    connect();
    pass(300);
    unsigned heard = b->heartbeats;
    replica_flush(a->r, pair->now);
    carry(a);
    assert_int_equal(b->heartbeats, heard); /* it is not due */
    replica_beat(a->r, pair->now);
    send_claim(a, 5);
    carry(a);
    assert_int_equal(b->heartbeats, heard + 1);
    assert_string_equal(b->reason, "");
    replica_disconnected(a->r);
    unsigned said = a->out_count;
    replica_beat(a->r, pair->now); /* to nobody */
    assert_int_equal(a->out_count, said);
}

TEST(a_session_is_as_old_as_it_was_and_the_way_here)
{
    struct side *a = &pair->a, *b = &pair->b;
    struct sync_msg m;

    connect();
    pass(300);
    sample_msg(test_rng(9), SYNC_SESSION, &m);
    m.session.age_lo_ns = 1000 * MS;
    m.session.age_hi_ns = 2000 * MS;
    assert_true(replica_send(a->r, &m, NULL, pair->now) > 0);
    sync_msg_clear(&m);
    carry(a);
    assert_int_equal(b->sessions, 1);
    assert_int_equal(b->age_hi_ns, 2000 * MS + replica_rtt_ns(b->r)); /* T1 */
    assert_true(replica_rtt_ns(b->r) > 0);
}

TEST(a_peer_with_very_many_prefixes_arrives_whole)
{
    struct side *a = &pair->a, *b = &pair->b;
    struct sync_msg m = {.kind = SYNC_PEER,
                         .peer = sample_peer(test_rng(4), 3 * SYNC_PART_PREFIXES + 10, 0)};

    connect();
    pass(20);
    uint64_t position = replica_send(a->r, &m, &(struct replica_token){.a = 42}, pair->now);
    assert_int_equal(position, 1 + 4); /* behind the end of the snapshot, in four parts */
    pass(4);
    assert_true(b->peers == 1 && b->prefixes == m.peer->allowed_count);
    assert_true(a->acked_count == 1 && a->acked[0] == 42);
    sync_msg_clear(&m);
    assert_string_equal(b->reason, "");
}

/* ---- what ends a connection ---- */

/* @m, as @from would say it. */
static void say(struct side *from, const struct sync_msg *m)
{
    uint8_t buf[SYNC_FRAME_MAX];
    int len = codec_encode(m, &from->key, test_rng(1), buf, sizeof(buf));

    assert_true(len > 0);
    replica_receive(from->other->r, buf, (size_t)len, pair->now);
}

static void say_ack(struct side *from, uint64_t position)
{
    say(from, &(struct sync_msg){.kind = SYNC_ACK, .ack = {.position = position}});
}

TEST(entries_come_one_after_the_other)
{
    static const uint64_t positions[] = {3, 1, 1000};

    for (unsigned i = 0; i < ARRAY_LEN(positions); i++) {
        struct sync_msg m = claim(1);

        pair->b.reason[0] = 0;
        connect();
        pass(20); /* the end of the snapshot was the first */
        unsigned heard = pair->b.heard_count;
        m.position = positions[i];
        say(&pair->a, &m);
        assert_closed(&pair->b, "a gap in the log");
        assert_int_equal(pair->b.heard_count, heard);
        m.position = 2; /* and after that nothing comes in */
        say(&pair->a, &m);
        assert_int_equal(pair->b.heard_count, heard);
        disconnect();
    }
}

TEST(acks_are_of_what_was_sent_and_never_go_back)
{
    connect();
    pass(20);
    say_ack(&pair->b, 2); /* one was sent */
    assert_closed(&pair->a, "an ack of a position that was never sent");
    disconnect();
    pair->a.reason[0] = 0;
    connect();
    pass(20);
    say_ack(&pair->b, 0);
    assert_closed(&pair->a, "or back");
}

TEST(the_beginning_is_one_hello_that_fits)
{
    struct side *a = &pair->a, *b = &pair->b;
    struct sync_msg entry = claim(1), hello = {.kind = SYNC_HELLO};

    entry.position = 1;
    replica_connected(b->r, &b->key, pair->now);
    say(a, &entry);
    assert_closed(b, "no hello at the beginning");
    assert_int_equal(b->heard_count, 0);

    static const struct {
        uint32_t version_min, version_max;
        uint8_t member;
        const char *why;
    } bad[] = {{SYNC_VERSION_MAX + 1, SYNC_VERSION_MAX + 5, 1, "no common version"},
               {SYNC_VERSION_MIN, SYNC_VERSION_MAX, 3, "says that it is 3"}};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        b->reason[0] = 0;
        replica_connected(b->r, &b->key, pair->now);
        hello.hello = a->hello;
        hello.hello.version_min = bad[i].version_min;
        hello.hello.version_max = bad[i].version_max;
        hello.hello.member = bad[i].member;
        say(a, &hello);
        assert_closed(b, bad[i].why);
        replica_disconnected(b->r);
        assert_int_equal(b->downs, 0); /* who was never up cannot go down */
    }
    b->reason[0] = 0;
    b->refuse = true;
    connect();
    pass(4);
    assert_closed(b, "another epoch");
    disconnect();
    b->refuse = false;
    b->reason[0] = a->reason[0] = 0;
    connect();
    pass(20);
    hello.hello = a->hello;
    say(a, &hello);
    assert_closed(b, "a second hello");
}

TEST(a_snapshot_ends_once_and_echoes_are_of_what_we_said)
{
    struct side *a = &pair->a, *b = &pair->b;

    connect();
    pass(20);
    say(a, &(struct sync_msg){.kind = SYNC_SNAPSHOT_END, .position = 2});
    assert_closed(b, "a second end of the snapshot");
    disconnect();
    b->reason[0] = 0;
    connect();
    pass(20);
    say(a, &(struct sync_msg){.kind = SYNC_HEARTBEAT,
                              .heartbeat = {.seq = 99,
                                            .sent_boot_ns = pair->now,
                                            .echo_boot_ns = pair->now + 1,
                                            .echo_held_ns = 0}});
    assert_closed(b, "an echo of a heartbeat that was never sent");
}

TEST(rubbish_ends_it_and_changes_nothing)
{
    struct side *a = &pair->a, *b = &pair->b;
    struct sync_msg m;
    uint8_t buf[SYNC_FRAME_MAX];

    connect();
    pass(20);
    replica_receive(b->r, (const uint8_t *)"\xff\xff\xff", 3, pair->now);
    assert_closed(b, "");
    disconnect();
    /* Keys that were sealed for another connection. */
    b->reason[0] = 0;
    connect();
    pass(20);
    sample_msg(test_rng(9), SYNC_SESSION, &m);
    m.position = 2;
    struct codec_key wrong = a->key;
    wrong.send[0] ^= 1;
    int len = codec_encode(&m, &wrong, test_rng(1), buf, sizeof(buf));
    assert_true(len > 0);
    size_t slots = secret_slots_used();
    replica_receive(b->r, buf, (size_t)len, pair->now);
    assert_closed(b, "sealed keys that do not open");
    assert_true(b->sessions == 0 && secret_slots_used() == slots);
    sync_msg_clear(&m);
}

TEST_MAIN(TS(everything_that_existed_comes_first_and_then_what_happens, set_up, clean_up),
          TS(one_entry_may_be_acked_as_many_things, set_up, clean_up),
          TS(as_many_things_as_may_wait_for_acks_are_a_bound, set_up, clean_up),
          TS(what_happens_meanwhile_passes_the_rest_of_the_snapshot, set_up, clean_up),
          TS(a_connection_that_is_made_again_begins_anew, set_up, clean_up),
          TS(a_sibling_that_acks_nothing_is_given_up_at_a_bound, set_up, clean_up),
          TS(a_channel_that_cannot_send_is_given_up_at_a_bound, set_up, clean_up),
          TS(what_is_sent_from_inside_a_message_is_on_the_wire_before_its_ack, set_up, clean_up),
          TS(a_silence_of_a_second_is_the_end_and_our_own_sleep_is_not, set_up, clean_up),
          TS(heartbeats_go_out_as_often_as_they_say, set_up, clean_up),
          TS(in_sync_means_an_ack_within_ten_milliseconds_of_the_last_second, set_up, clean_up),
          TS(what_changed_is_in_a_heartbeat_before_what_is_asked_next, set_up, clean_up),
          TS(a_session_is_as_old_as_it_was_and_the_way_here, set_up, clean_up),
          TS(a_peer_with_very_many_prefixes_arrives_whole, set_up, clean_up),
          TS(entries_come_one_after_the_other, set_up, clean_up),
          TS(acks_are_of_what_was_sent_and_never_go_back, set_up, clean_up),
          TS(the_beginning_is_one_hello_that_fits, set_up, clean_up),
          TS(a_snapshot_ends_once_and_echoes_are_of_what_we_said, set_up, clean_up),
          TS(rubbish_ends_it_and_changes_nothing, set_up, clean_up))
