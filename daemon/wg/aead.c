#include "wg/aead.h"
#include "base/bytes.h"
#include "base/secret.h"
#include <gcrypt.h>
#include <pthread.h>
#include <string.h>

#define KEY_LEN 32
#define NONCE_LEN 12

struct aead {
    gcry_cipher_hd_t cipher;
    struct secret32 *key; /* what @cipher is keyed with; arena slot */
    bool keyed;
};

static void library_init(void)
{
    if (gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P))
        return;
    if (!gcry_check_version(GCRYPT_VERSION))
        abort();                             /* older than what we were built with */
    gcry_control(GCRYCTL_DISABLE_SECMEM, 0); /* ours is the arena (K1) */
    gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
}

struct aead *aead_new(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, library_init);
    struct aead *a = calloc(1, sizeof(*a));
    if (!a)
        return NULL;
    a->key = secret_alloc();
    if (!a->key ||
        gcry_cipher_open(&a->cipher, GCRY_CIPHER_CHACHA20, GCRY_CIPHER_MODE_POLY1305, 0)) {
        secret_free(a->key);
        free(a);
        return NULL;
    }
    return a;
}

void aead_free(struct aead *a)
{
    if (!a)
        return;
    gcry_cipher_close(a->cipher); /* wipes its context */
    secret_free(a->key);
    free(a);
}

/* Nothing here can fail for a reason other than a bug; going on would send plaintext. */
static void must(gcry_error_t error)
{
    if (error)
        abort();
}

static void use_key(struct aead *a, const uint8_t key[KEY_LEN])
{
    if (a->keyed && secret_equal(a->key->b, key, KEY_LEN))
        return;
    must(gcry_cipher_setkey(a->cipher, key, KEY_LEN));
    memcpy(a->key->b, key, KEY_LEN);
    a->keyed = true;
}

static void use_counter(struct aead *a, uint64_t counter)
{
    uint8_t nonce[NONCE_LEN] = {0};

    store_le64(nonce + 4, counter);
    must(gcry_cipher_setiv(a->cipher, nonce, sizeof(nonce)));
}

void aead_seal(struct aead *a, const uint8_t key[32], struct aead_op *ops, unsigned n)
{
    use_key(a, key);
    for (unsigned i = 0; i < n; i++) {
        struct aead_op *op = &ops[i];

        use_counter(a, op->counter);
        if (op->len) {
            bool in_place = op->src == op->dst;
            must(gcry_cipher_encrypt(a->cipher, op->dst, op->len, in_place ? NULL : op->src,
                                     in_place ? 0 : op->len));
        }
        must(gcry_cipher_gettag(a->cipher, op->dst + op->len, AEAD_TAG_LEN));
    }
}

unsigned aead_open(struct aead *a, const uint8_t key[32], struct aead_op *ops, unsigned n)
{
    unsigned good = 0;

    use_key(a, key);
    for (unsigned i = 0; i < n; i++) {
        struct aead_op *op = &ops[i];
        uint8_t tag[AEAD_TAG_LEN];

        memcpy(tag, op->src + op->len, sizeof(tag)); /* dst may overlap it */
        use_counter(a, op->counter);
        if (op->len) {
            bool in_place = op->src == op->dst;
            must(gcry_cipher_decrypt(a->cipher, op->dst, op->len, in_place ? NULL : op->src,
                                     in_place ? 0 : op->len));
        }
        /* The library decrypts before it can check; what is not authentic must not stay (K8: its
         * compare of tags is constant time). */
        op->ok = gcry_cipher_checktag(a->cipher, tag, sizeof(tag)) == 0;
        if (op->ok)
            good++;
        else
            memset(op->dst, 0, op->len);
    }
    return good;
}
