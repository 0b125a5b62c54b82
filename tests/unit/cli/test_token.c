/* Tokens of invitations, and the messages and the channel that are made of one. */
#include "base/err.h"
#include "cli/invitation.h"
#include "cli/token.h"
#include "lib/test.h"
#include "noise/noise.h"
#include <stdio.h>
#include <string.h>

static struct token sample(void)
{
    struct token t = {.ends_s = 1800000000u};

    assert_int_equal(endpoint_parse("192.168.99.1:51901", &t.where), 0);
    assert_int_equal(endpoint_parse("[fd99::2]:51900", &t.member), 0);
    rng_fill(test_rng(1), t.public_key, sizeof(t.public_key));
    rng_fill(test_rng(2), t.secret, sizeof(t.secret));
    return t;
}

TEST(a_token_is_read_back_as_it_was_written)
{
    struct token t = sample(), back;
    char text[TOKEN_TEXT_MAX];

    token_format(&t, text);
    assert_int_equal(token_parse(text, &back), 0);
    assert_true(endpoint_equal(&back.where, &t.where) && endpoint_equal(&back.member, &t.member));
    assert_int_equal(back.ends_s, t.ends_s);
    assert_memory_equal(back.public_key, t.public_key, 32);
    assert_memory_equal(back.secret, t.secret, TOKEN_SECRET_LEN);
    assert_int_equal(
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"),
        strlen(text)); /* a double click takes it whole */
}

TEST(a_slip_in_any_place_is_found)
{
    struct token t = sample(), back = {.ends_s = 7};
    char text[TOKEN_TEXT_MAX];

    token_format(&t, text);
    for (size_t i = 0; text[i]; i++) {
        char was = text[i];

        for (int other = 1; other < 256; other++) {
            text[i] = (char)other;
            if (text[i] != was)
                assert_true(token_parse(text, &back) < 0);
        }
        text[i] = was;
    }
    for (size_t len = strlen(text); len-- > 0;) {
        text[len] = 0;
        assert_true(token_parse(text, &back) < 0);
    }
    assert_int_equal(back.ends_s, 7);
}

TEST(what_is_no_token_is_refused)
{
    static const struct {
        const char *text;
        int error;
    } bad[] = {
        {"", -EINVAL},         {"gm1_", -EINVAL}, {"gm2_AAAA", -EPROTONOSUPPORT},
        {"gm1_////", -EINVAL}, {"wg0", -EINVAL},
    };
    struct token back, t = sample();
    char text[2 * TOKEN_TEXT_MAX];

    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(token_parse(bad[i].text, &back), bad[i].error);
    memset(text, 'A', sizeof(text));
    memcpy(text, "gm1_", 4);
    text[sizeof(text) - 1] = 0;
    assert_int_equal(token_parse(text, &back), -EINVAL);
    t.where.port = 0; /* nobody could be reached */
    token_format(&t, text);
    assert_int_equal(token_parse(text, &back), -EINVAL);
}

TEST(messages_have_the_length_and_the_letters_of_their_kind)
{
    static uint8_t offer[SYNC_FRAME_MAX] = {INVITATION_OFFER};
    static const struct {
        const char *bytes;
        size_t len;
        int result;
    } cases[] = {
        {"", 0, -EBADMSG},
        {"\x00", 1, -EBADMSG},
        {"\x06", 1, -EBADMSG},
        {"\xff", 1, -EBADMSG},
        {"\x01", 1, -EBADMSG}, /* ASK without a key */
        {"\x01"
         "0123456789abcdef0123456789abcdef",
         33, 0},
        {"\x01"
         "0123456789abcdef0123456789abcdefg",
         34, -EBADMSG},
        {"\x02", 1, -EBADMSG},
        {"\x02# gr\xc3\xbc\xc3\x9f\n", 9, 0},
        {"\x02"
         "a\0b",
         4, -EBADMSG},
        {"\x03", 1, 0},
        {"\x03"
         "x",
         2, -EBADMSG},
        {"\x04", 1, 0},
        {"\x05no interface", 13, 0},
        {"\x05\x1b[2J", 5, -EBADMSG},
        {"\x05\xc2\x9b", 3, -EBADMSG},
    };
    struct invitation_message m;

    for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
        if (invitation_parse((const uint8_t *)cases[i].bytes, cases[i].len, &m) != cases[i].result)
            fail_msg("case %u", i);
    memset(offer + 1, 'x', sizeof(offer) - 1);
    assert_int_equal(invitation_parse(offer, sizeof(offer), &m), 0);
    assert_int_equal(m.len, INVITATION_BODY_MAX);
}

/* ---- the channel ---- */

struct end {
    struct channel_identity id;
    struct channel *channel;
    uint8_t out[4096];
    size_t out_len;
    bool up, failed;
};

static uint8_t *op_reserve(void *ctx, size_t len)
{
    struct end *e = ctx;
    uint8_t *at = e->out + e->out_len;

    assert_true(len <= sizeof(e->out) - e->out_len);
    e->out_len += len;
    return at;
}

static void op_up(void *ctx, uint8_t member, const struct codec_key *key)
{
    ((struct end *)ctx)->up = true;
}

static void op_frame(void *ctx, const uint8_t *msg, size_t len)
{
}

static void op_failed(void *ctx, const char *reason)
{
    ((struct end *)ctx)->failed = true;
}

static void open_end(struct end *e, const struct token *t, const struct secret32 *private_key)
{
    struct channel_ops ops = {
        .ctx = e, .reserve = op_reserve, .up = op_up, .frame = op_frame, .failed = op_failed};

    memset(e, 0, sizeof(*e));
    assert_int_equal(invitation_identity(t, private_key, &e->id), 0);
    e->channel = channel_new(&e->id, &ops, test_rng(private_key ? 5 : 6), 0);
    assert_non_null(e->channel);
}

static void close_end(struct end *e)
{
    channel_free(e->channel);
    invitation_done(&e->id);
}

/* Do a joiner with @theirs and an inviter of @ours come together? */
static bool meet(const struct token *ours, const struct token *theirs, const struct secret32 *key)
{
    static struct end a, b;
    bool up;

    open_end(&a, ours, key);
    open_end(&b, theirs, NULL);
    channel_start(b.channel, INVITATION_INVITER, 0);
    while ((a.out_len || b.out_len) && !a.failed && !b.failed) {
        size_t n = b.out_len;

        b.out_len = 0;
        channel_input(a.channel, b.out, n, 0);
        n = a.out_len;
        a.out_len = 0;
        channel_input(b.channel, a.out, n, 0);
    }
    up = a.up && b.up;
    assert_true(up || a.failed || b.failed);
    close_end(&a);
    close_end(&b);
    return up;
}

TEST(only_the_token_of_this_invitation_opens_the_channel)
{
    struct token ours = sample(), theirs;
    struct secret32 *key = secret_alloc();

    assert_int_equal(noise_init(), 0);
    x25519_keygen(test_rng(3), key->b, ours.public_key);
    theirs = ours;
    assert_true(meet(&ours, &theirs, key));
    theirs.secret[0] ^= 1;
    assert_false(meet(&ours, &theirs, key));
    theirs = ours;
    theirs.public_key[0] ^= 1;
    assert_false(meet(&ours, &theirs, key));
    theirs = ours;
    theirs.ends_s++;
    assert_false(meet(&ours, &theirs, key));
    secret_free(key);
    assert_int_equal(secret_slots_used(), 0);
}

TEST_MAIN(T(a_token_is_read_back_as_it_was_written), T(a_slip_in_any_place_is_found),
          T(what_is_no_token_is_refused), T(messages_have_the_length_and_the_letters_of_their_kind),
          T(only_the_token_of_this_invitation_opens_the_channel))
