#include "noise/noise.h"
#include "base/bytes.h"
#include "base/secret.h"
#include <errno.h>
#include <gcrypt.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define BLAKE2S_BLOCK 64
#define GCRYPT_VERSION_MIN "1.10.0"

int noise_init(void)
{
    if (sodium_init() < 0)
        return -ENOTSUP;
    if (gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P))
        return 0;
    if (!gcry_check_version(GCRYPT_VERSION_MIN))
        return -ENOTSUP;
    /* Our keys are in an arena of our own (K1); contexts are wiped by their users. */
    gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
    gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
    return 0;
}

/* ---- BLAKE2s ---- */

static void must(gcry_error_t e)
{
    if (e) /* out of memory, or a library without BLAKE2s: no hash, no protocol */
        abort();
}

/* Of a text in pieces, the plain 32-byte hash. No allocation. */
static void hash_pieces(uint8_t ret[32], gcry_buffer_t *pieces, int count)
{
    must(gcry_md_hash_buffers(GCRY_MD_BLAKE2S_256, 0, ret, pieces, count));
}

static gcry_buffer_t piece(const void *p, size_t len)
{
    return (gcry_buffer_t){.size = len, .len = len, .data = (void *)(p ? p : "")};
}

static int algorithm(size_t out_len)
{
    switch (out_len) {
    case 16:
        return GCRY_MD_BLAKE2S_128;
    case 20:
        return GCRY_MD_BLAKE2S_160;
    case 28:
        return GCRY_MD_BLAKE2S_224;
    case 32:
        return GCRY_MD_BLAKE2S_256;
    default:
        abort(); /* the output length is part of the hash: there is no cutting short */
    }
}

void blake2s(uint8_t *ret, size_t out_len, const void *key, size_t key_len, const void *in,
             size_t in_len)
{
    gcry_md_hd_t h;
    int algo = algorithm(out_len);

    must(gcry_md_open(&h, algo, 0));
    if (key_len)
        must(gcry_md_setkey(h, key, key_len));
    if (in_len)
        gcry_md_write(h, in, in_len);
    memcpy(ret, gcry_md_read(h, algo), out_len);
    gcry_md_close(h); /* wipes its context */
}

void blake2s_2(uint8_t ret[32], const void *a, size_t a_len, const void *b, size_t b_len)
{
    gcry_buffer_t pieces[2] = {piece(a, a_len), piece(b, b_len)};

    hash_pieces(ret, pieces, 2);
}

/* RFC 2104. */
void hmac_blake2s(uint8_t ret[32], const void *key, size_t key_len, const void *in, size_t in_len)
{
    uint8_t pad[BLAKE2S_BLOCK] = {0}, inner[32], short_key[32];

    if (key_len > BLAKE2S_BLOCK) {
        blake2s_2(short_key, key, key_len, NULL, 0);
        key = short_key;
        key_len = sizeof(short_key);
    }
    memcpy(pad, key, key_len);
    for (unsigned i = 0; i < BLAKE2S_BLOCK; i++)
        pad[i] ^= 0x36;
    blake2s_2(inner, pad, sizeof(pad), in, in_len);
    for (unsigned i = 0; i < BLAKE2S_BLOCK; i++)
        pad[i] ^= 0x36 ^ 0x5c;
    blake2s_2(ret, pad, sizeof(pad), inner, sizeof(inner));
    secret_wipe(pad, sizeof(pad));
    secret_wipe(inner, sizeof(inner));
    secret_wipe(short_key, sizeof(short_key));
}

void noise_hkdf(const uint8_t ck[32], const void *in, size_t in_len, uint8_t ret1[32],
                uint8_t *ret2, uint8_t *ret3)
{
    uint8_t temp[32], t1[32], t2[32], block[33];

    hmac_blake2s(temp, ck, 32, in, in_len);
    block[0] = 1;
    hmac_blake2s(t1, temp, 32, block, 1);
    if (ret2 || ret3) { /* the third is made of the second */
        memcpy(block, t1, 32);
        block[32] = 2;
        hmac_blake2s(t2, temp, 32, block, 33);
    }
    if (ret3) {
        memcpy(block, t2, 32);
        block[32] = 3;
        hmac_blake2s(ret3, temp, 32, block, 33);
    }
    if (ret2)
        memcpy(ret2, t2, 32);
    memcpy(ret1, t1, 32); /* last: @ck may be @ret1 */
    secret_wipe(temp, sizeof(temp));
    secret_wipe(t1, sizeof(t1));
    secret_wipe(t2, sizeof(t2));
    secret_wipe(block, sizeof(block));
}

/* ---- AEADs ---- */

void chachapoly_seal(uint8_t *dst, const void *src, size_t len, const void *ad, size_t ad_len,
                     uint64_t counter, const uint8_t key[32])
{
    uint8_t nonce[12] = {0};

    store_le64(nonce + 4, counter);
    crypto_aead_chacha20poly1305_ietf_encrypt(dst, NULL, src, len, ad, ad_len, NULL, nonce, key);
}

bool chachapoly_open(uint8_t *dst, const void *src, size_t len, const void *ad, size_t ad_len,
                     uint64_t counter, const uint8_t key[32])
{
    uint8_t nonce[12] = {0};

    store_le64(nonce + 4, counter);
    return len >= NOISE_TAG_LEN && crypto_aead_chacha20poly1305_ietf_decrypt(
                                       dst, NULL, NULL, src, len, ad, ad_len, nonce, key) == 0;
}

void xchachapoly_seal(uint8_t *dst, const void *src, size_t len, const void *ad, size_t ad_len,
                      const uint8_t nonce[24], const uint8_t key[32])
{
    crypto_aead_xchacha20poly1305_ietf_encrypt(dst, NULL, src, len, ad, ad_len, NULL, nonce, key);
}

bool xchachapoly_open(uint8_t *dst, const void *src, size_t len, const void *ad, size_t ad_len,
                      const uint8_t nonce[24], const uint8_t key[32])
{
    return len >= NOISE_TAG_LEN && crypto_aead_xchacha20poly1305_ietf_decrypt(
                                       dst, NULL, NULL, src, len, ad, ad_len, nonce, key) == 0;
}

/* ---- symmetric state ---- */

void noise_start(struct noise *n, const void *protocol_name, size_t name_len, const void *prologue,
                 size_t prologue_len)
{
    memset(n, 0, sizeof(*n));
    if (name_len <= NOISE_HASH_LEN)
        memcpy(n->h, protocol_name, name_len);
    else
        blake2s_2(n->h, protocol_name, name_len, NULL, 0);
    memcpy(n->ck, n->h, sizeof(n->ck));
    noise_mix_hash(n, prologue, prologue_len);
}

void noise_clear(struct noise *n)
{
    secret_wipe(n, sizeof(*n));
}

void noise_mix_hash(struct noise *n, const void *data, size_t len)
{
    uint8_t h[32];

    blake2s_2(h, n->h, sizeof(n->h), data, len);
    memcpy(n->h, h, sizeof(h));
}

void noise_mix_key(struct noise *n, const void *in, size_t len)
{
    noise_hkdf(n->ck, in, len, n->ck, n->k, NULL);
}

void noise_mix_chain(struct noise *n, const void *in, size_t len)
{
    noise_hkdf(n->ck, in, len, n->ck, NULL, NULL);
}

bool noise_mix_dh(struct noise *n, const uint8_t private_key[32], const uint8_t public_key[32])
{
    uint8_t shared[32];
    bool ok = x25519(shared, private_key, public_key);

    if (ok)
        noise_mix_key(n, shared, sizeof(shared));
    secret_wipe(shared, sizeof(shared));
    return ok;
}

void noise_mix_psk(struct noise *n, const uint8_t psk[32])
{
    uint8_t tau[32];

    noise_hkdf(n->ck, psk, 32, n->ck, tau, n->k);
    noise_mix_hash(n, tau, sizeof(tau));
    secret_wipe(tau, sizeof(tau));
}

void noise_encrypt(struct noise *n, uint8_t *dst, const void *src, size_t len)
{
    chachapoly_seal(dst, src, len, n->h, sizeof(n->h), 0, n->k);
    noise_mix_hash(n, dst, len + NOISE_TAG_LEN);
}

bool noise_decrypt(struct noise *n, uint8_t *dst, const void *src, size_t len)
{
    uint8_t h[32];

    /* Hashed first: @dst may be @src. */
    blake2s_2(h, n->h, sizeof(n->h), src, len);
    if (!chachapoly_open(dst, src, len, n->h, sizeof(n->h), 0, n->k))
        return false;
    memcpy(n->h, h, sizeof(h));
    return true;
}

void noise_split(const struct noise *n, uint8_t ret_initiator[32], uint8_t ret_responder[32])
{
    noise_hkdf(n->ck, NULL, 0, ret_initiator, ret_responder, NULL);
}
