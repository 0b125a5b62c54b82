/* Our packets against those that tests/vectors/packets.py makes on its own: byte for byte, as
 * initiator and as responder. */
#include "base/bytes.h"
#include "unit/wg/ends.h"
#include "wg/aead.h"
#include <stdlib.h>
#include <string.h>

#define BYTES_MAX 2048

struct shake_case {
    uint32_t sender, responder;
    const char *ephemeral_i, *ephemeral_r, *psk, *stamp, *cookie, *initiation, *response, *up,
        *down;
};
struct data_case {
    bool up;
    uint32_t receiver;
    uint64_t counter;
    unsigned len;
    const char *wire;
};
#include "vectors/packets.inc"

static unsigned unhex(const char *text, uint8_t *ret)
{
    return (unsigned)test_unhex(text, ret, BYTES_MAX);
}

static void assert_hex(const uint8_t *got, const char *want)
{
    uint8_t bytes[BYTES_MAX];
    unsigned len = unhex(want, bytes);

    assert_memory_equal(got, bytes, len);
}

static struct ends *ends_of(const char *psk)
{
    uint8_t i[32], r[32], key[32];

    unhex(INITIATOR_PRIVATE, i);
    unhex(RESPONDER_PRIVATE, r);
    unhex(psk, key);
    struct ends *e = ends_new(i, r, secret_is_zero(key, 32) ? NULL : key);
    assert_hex(e->i.self.public_key.b, INITIATOR_PUBLIC);
    assert_hex(e->r.self.public_key.b, RESPONDER_PUBLIC);
    return e;
}

TEST(handshakes_are_those_of_the_independent_implementation)
{
    for (unsigned n = 0; n < sizeof(shake_cases) / sizeof(shake_cases[0]); n++) {
        const struct shake_case *c = &shake_cases[n];
        struct ends *e = ends_of(c->psk);
        struct handshake_result made, answered, done;
        uint8_t ephemeral_i[32], ephemeral_r[32], stamp[TAI64N_LEN], cookie[32], want[BYTES_MAX];

        unhex(c->ephemeral_i, ephemeral_i);
        unhex(c->ephemeral_r, ephemeral_r);
        unhex(c->stamp, stamp);
        e->i.next_index = c->sender;
        e->r.next_index = c->responder;

        end_script(&e->i, ephemeral_i, 32);
        end_initiate(&e->i, stamp, &made);
        assert_int_equal(made.verdict, HANDSHAKE_INITIATION_MADE);
        if (unhex(c->cookie, cookie))
            handshake_add_mac2(made.reply, made.reply_len, cookie);
        assert_int_equal(made.reply_len, unhex(c->initiation, want));
        assert_memory_equal(made.reply, want, made.reply_len);
        assert_true(handshake_mac1_ok(&e->r.self, made.reply, made.reply_len));
        assert_int_equal(stamp_to_real(stamp) / 1000000000, n ? 1799999999 + n : 1700000000);

        end_script(&e->r, ephemeral_r, 32);
        assert_int_equal(end_receive(&e->r, made.reply, made.reply_len, &answered),
                         HANDSHAKE_INITIATION_VALID);
        assert_int_equal(answered.peer_id, INITIATOR_ID);
        assert_memory_equal(answered.stamp, stamp, TAI64N_LEN);
        assert_int_equal(answered.reply_len, unhex(c->response, want));
        assert_memory_equal(answered.reply, want, answered.reply_len);
        assert_hex(answered.keys->recv, c->up);
        assert_hex(answered.keys->send, c->down);

        assert_true(handshake_mac1_ok(&e->i.self, answered.reply, answered.reply_len));
        assert_int_equal(end_receive(&e->i, answered.reply, answered.reply_len, &done),
                         HANDSHAKE_RESPONSE_VALID);
        assert_int_equal(done.local_index, c->sender);
        assert_int_equal(done.remote_index, c->responder);
        assert_hex(done.keys->send, c->up);
        assert_hex(done.keys->recv, c->down);

        handshake_result_clear(&made);
        handshake_result_clear(&answered);
        handshake_result_clear(&done);
        ends_free(e);
    }
}

TEST(a_cookie_reply_is_that_of_the_independent_implementation)
{
    struct ends *e = ends_of(shake_cases[0].psk);
    uint8_t initiation[BYTES_MAX], nonce[32], cookie[32], wire[BYTES_MAX], got[16];
    unsigned len = unhex(shake_cases[0].initiation, initiation);
    struct message_cookie reply;

    unhex(COOKIE_NONCE, nonce);
    unhex(COOKIE, cookie);
    assert_int_equal(unhex(COOKIE_REPLY, wire), sizeof(reply));
    memcpy(&reply, wire, sizeof(reply));
    assert_true(cookie_open(&reply, initiation + len - 32, e->r.self.cookie_key, got));
    assert_memory_equal(got, cookie, 16);

    /* Ours differs in the cookie alone, which is made of our own secret: put that one in. */
    struct endpoint source = end_source(1);
    uint8_t mine[16];
    end_script(&e->r, nonce, 24);
    cookie_reply(&e->r.cookies, e->r.env.real_ns, &source, initiation, len, e->r.self.cookie_key,
                 &e->r.rng, &reply);
    cookie_make(&e->r.cookies, e->r.env.real_ns, 0, &source, mine);
    for (unsigned i = 0; i < 16; i++) /* a stream cipher: the difference of the plaintexts */
        reply.encrypted_cookie[i] ^= (uint8_t)(mine[i] ^ cookie[i]);
    assert_memory_equal(&reply, wire, sizeof(reply) - 16);
    ends_free(e);
}

TEST(data_packets_are_those_of_the_independent_implementation)
{
    struct aead *a = aead_new();
    uint8_t up[32], down[32];

    assert_non_null(a);
    unhex(shake_cases[0].up, up);
    unhex(shake_cases[0].down, down);
    for (unsigned n = 0; n < sizeof(data_cases) / sizeof(data_cases[0]); n++) {
        const struct data_case *c = &data_cases[n];
        uint8_t want[BYTES_MAX], got[BYTES_MAX] = {0}, plain[BYTES_MAX] = {0};
        unsigned len = unhex(c->wire, want), padded = (c->len + 15) / 16 * 16;
        struct message_data *m = (struct message_data *)got;

        for (unsigned i = 0; i < c->len; i++)
            plain[i] = (uint8_t)(7 * i + c->len);
        store_le32(m->type, MESSAGE_DATA);
        store_le32(m->receiver, c->receiver);
        store_le64(m->counter, c->counter);
        struct aead_op op = {
            .counter = c->counter, .src = plain, .dst = m->encrypted, .len = padded};
        aead_seal(a, c->up ? up : down, &op, 1);
        assert_int_equal(len, sizeof(*m) + padded + AEAD_TAG_LEN);
        assert_memory_equal(got, want, len);
        op = (struct aead_op){.counter = c->counter,
                              .src = want + sizeof(*m),
                              .dst = got,
                              .len = len - sizeof(*m) - AEAD_TAG_LEN};
        assert_int_equal(aead_open(a, c->up ? up : down, &op, 1), 1);
        assert_memory_equal(got, plain, padded);
    }
    aead_free(a);
}

TEST_MAIN(T(handshakes_are_those_of_the_independent_implementation),
          T(a_cookie_reply_is_that_of_the_independent_implementation),
          T(data_packets_are_those_of_the_independent_implementation))
