/* The symmetric state, driven through IKpsk2 (Noise specification, sections 7.5 and 9) as WireGuard
 * and the sync channel drive it, against the vector of the cacophony implementation. */
#include "base/bytes.h"
#include "lib/test.h"
#include "noise/noise.h"
#include <string.h>

#define PROTOCOL "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
#define MESSAGE_MAX 256

static const char prologue_hex[] = "4a6f686e2047616c74";
static const char psk_hex[] = "54686973206973206d7920417573747269616e20706572737065637469766521";
static const char init_static_hex[] =
    "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1";
static const char init_ephemeral_hex[] =
    "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a";
static const char resp_static_hex[] =
    "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893";
static const char resp_ephemeral_hex[] =
    "bbdb4cdbd309f1a1f2e1456967fe288cadd6f712d65dc7b7793d5e63da6b375b";
static const char hash_hex[] = "f5191b875290abcd41347ac3622d9679688a7e980229cb937ef748336cfde0e5";
static const struct {
    const char *payload, *ciphertext;
} messages[] = {
    {"4c756477696720766f6e204d69736573",
     "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944001e21de9f98ddd8"
     "e2ad57527207feb56253c9c94a9e496782ecfcb2a75fbcaf1b52948cc48daefe660c62119ab50009"
     "80c84831215f2441eba616548e832985464cf17e51ee93109008399a21f7e13f"},
    {"4d757272617920526f746862617264",
     "95ebc60d2b1fa672c1f46a8aa265ef51bfe38e7ccb39ec5be34069f144808843cb765f2caef0751b"
     "8f007572dab0322217755c0632f365717edbf34d33e87a"},
    {"462e20412e20486179656b", "8153ca9833bc3c1b91a7e66e5f4d4f5b59bf9e64c2f20d15f0bba7"},
    {"4361726c204d656e676572", "07af0c9c86e1b4e80f36b04ff7688d51141af3debd0332f0a705ef"},
    {"4a65616e2d426170746973746520536179",
     "6ab1467c0448cc78394494abaaf23afce0e234315d6e2624dcbfa8a21c1c4d073d"},
    {"457567656e2042f6686d20766f6e2042617765726b",
     "dfc346c0d2296ae6cf1acf6f12b8456a1dba228cf8d8b774aacf1c47fc53aa80ebc7a4c292"},
};

static size_t unhex(const char *text, uint8_t *ret)
{
    return test_unhex(text, ret, MESSAGE_MAX);
}

struct party {
    uint8_t s[32], s_public[32], e[32], e_public[32], psk[32], send[32], recv[32];
    struct noise n;
};

static void party_init(struct party *p, const char *s, const char *e, const uint8_t resp_static[32])
{
    uint8_t prologue[MESSAGE_MAX];
    size_t len = unhex(prologue_hex, prologue);

    unhex(s, p->s);
    x25519_public(p->s_public, p->s);
    unhex(e, p->e);
    x25519_public(p->e_public, p->e);
    unhex(psk_hex, p->psk);
    noise_start(&p->n, PROTOCOL, strlen(PROTOCOL), prologue, len);
    noise_mix_hash(&p->n, resp_static ? resp_static : p->s_public, 32);
}

/* e, with the second half that psk patterns add: MixKey(e). */
static void mix_e(struct noise *n, const uint8_t e[32])
{
    noise_mix_hash(n, e, 32);
    noise_mix_key(n, e, 32);
}

static size_t write_first(struct party *i, const uint8_t rs[32], const uint8_t *payload, size_t len,
                          uint8_t *out)
{
    memcpy(out, i->e_public, 32);
    mix_e(&i->n, i->e_public);
    assert_true(noise_mix_dh(&i->n, i->e, rs));
    noise_encrypt(&i->n, out + 32, i->s_public, 32);
    assert_true(noise_mix_dh(&i->n, i->s, rs));
    noise_encrypt(&i->n, out + 80, payload, len);
    return 80 + len + 16;
}

static size_t read_first(struct party *r, uint8_t ret_is[32], uint8_t ret_ie[32], const uint8_t *in,
                         size_t len, uint8_t *payload)
{
    memcpy(ret_ie, in, 32);
    mix_e(&r->n, in);
    assert_true(noise_mix_dh(&r->n, r->s, ret_ie));
    assert_true(noise_decrypt(&r->n, ret_is, in + 32, 48));
    assert_true(noise_mix_dh(&r->n, r->s, ret_is));
    assert_true(noise_decrypt(&r->n, payload, in + 80, len - 80));
    return len - 96;
}

static size_t write_second(struct party *r, const uint8_t is[32], const uint8_t ie[32],
                           const uint8_t *payload, size_t len, uint8_t *out)
{
    memcpy(out, r->e_public, 32);
    mix_e(&r->n, r->e_public);
    assert_true(noise_mix_dh(&r->n, r->e, ie));
    assert_true(noise_mix_dh(&r->n, r->e, is));
    noise_mix_psk(&r->n, r->psk);
    noise_encrypt(&r->n, out + 32, payload, len);
    noise_split(&r->n, r->recv, r->send);
    return 32 + len + 16;
}

static bool read_second(struct party *i, const uint8_t *in, size_t len, uint8_t *payload)
{
    mix_e(&i->n, in);
    assert_true(noise_mix_dh(&i->n, i->e, in));
    assert_true(noise_mix_dh(&i->n, i->s, in));
    noise_mix_psk(&i->n, i->psk);
    if (!noise_decrypt(&i->n, payload, in + 32, len - 32))
        return false;
    noise_split(&i->n, i->send, i->recv);
    return true;
}

TEST(both_roles_make_every_byte_of_the_vector)
{
    struct party i, r;
    uint8_t is[32], ie[32], payload[MESSAGE_MAX], wire[MESSAGE_MAX], want[MESSAGE_MAX],
        got[MESSAGE_MAX], hash[32];

    party_init(&r, resp_static_hex, resp_ephemeral_hex, NULL);
    party_init(&i, init_static_hex, init_ephemeral_hex, r.s_public);
    size_t len = unhex(messages[0].payload, payload);
    size_t sent = write_first(&i, r.s_public, payload, len, wire);
    assert_int_equal(unhex(messages[0].ciphertext, want), sent);
    assert_memory_equal(wire, want, sent);
    assert_int_equal(read_first(&r, is, ie, wire, sent, got), len);
    assert_memory_equal(got, payload, len);
    assert_memory_equal(is, i.s_public, 32);

    len = unhex(messages[1].payload, payload);
    sent = write_second(&r, is, ie, payload, len, wire);
    assert_int_equal(unhex(messages[1].ciphertext, want), sent);
    assert_memory_equal(wire, want, sent);
    assert_true(read_second(&i, wire, sent, got));
    assert_memory_equal(got, payload, len);
    unhex(hash_hex, hash);
    assert_memory_equal(i.n.h, hash, 32);
    assert_memory_equal(r.n.h, hash, 32);

    for (unsigned k = 2; k < sizeof(messages) / sizeof(messages[0]); k++) {
        struct party *from = k % 2 ? &r : &i, *to = k % 2 ? &i : &r;

        len = unhex(messages[k].payload, payload);
        chachapoly_seal(wire, payload, len, NULL, 0, k / 2 - 1, from->send);
        assert_int_equal(unhex(messages[k].ciphertext, want), len + 16);
        assert_memory_equal(wire, want, len + 16);
        assert_true(chachapoly_open(got, wire, len + 16, NULL, 0, k / 2 - 1, to->recv));
        assert_memory_equal(got, payload, len);
    }
}

TEST(another_psk_is_noticed_in_the_second_message)
{
    struct party i, r;
    uint8_t is[32], ie[32], wire[MESSAGE_MAX], got[MESSAGE_MAX];

    party_init(&r, resp_static_hex, resp_ephemeral_hex, NULL);
    party_init(&i, init_static_hex, init_ephemeral_hex, r.s_public);
    i.psk[31] ^= 1;
    size_t sent = write_first(&i, r.s_public, (const uint8_t *)"hi", 2, wire);
    read_first(&r, is, ie, wire, sent, got);
    sent = write_second(&r, is, ie, (const uint8_t *)"yo", 2, wire);
    assert_false(read_second(&i, wire, sent, got));
}

TEST(a_point_of_small_order_ends_the_handshake_and_changes_nothing)
{
    static const uint8_t zero[32], one[32] = {1};
    struct party i;

    party_init(&i, init_static_hex, init_ephemeral_hex, one);
    struct noise before = i.n;
    assert_false(noise_mix_dh(&i.n, i.e, zero));
    assert_false(noise_mix_dh(&i.n, i.e, one));
    assert_memory_equal(&before, &i.n, sizeof(before));
    noise_clear(&i.n);
    for (size_t k = 0; k < sizeof(i.n); k++)
        assert_int_equal(((uint8_t *)&i.n)[k], 0);
}

TEST_MAIN(T(both_roles_make_every_byte_of_the_vector),
          T(another_psk_is_noticed_in_the_second_message),
          T(a_point_of_small_order_ends_the_handshake_and_changes_nothing))
