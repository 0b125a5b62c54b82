#include "wg/aead.h"
#include "base/bytes.h"
#include "base/secret.h"
#include "wg/aead_lanes.h"
#include <gcrypt.h>
#include <pthread.h>
#include <string.h>

#define KEY_LEN 32
#define NONCE_LEN 12

struct aead {
    gcry_cipher_hd_t cipher;
    struct secret32 *key; /* what @cipher is keyed with; arena slot */
    bool keyed;
    const struct aead_lanes *lanes; /* NULL: this machine has none */
};

static const struct aead_lanes *lanes_here(void)
{
#ifdef GM_AEAD_LANES
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512ifma"))
        return &aead_avx512;
    if (__builtin_cpu_supports("avx2"))
        return &aead_avx2;
#endif
    return NULL;
}

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
    a->lanes = lanes_here();
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

static void library_seal(struct aead *a, const uint8_t key[32], struct aead_op *ops, unsigned n)
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

static unsigned library_open(struct aead *a, const uint8_t key[32], struct aead_op *ops, unsigned n)
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

/* ---- which of them ---- */

const char *aead_name(const struct aead *a)
{
    return a->lanes ? a->lanes->name : "libgcrypt";
}

/* How many of the next packets go to the lanes; 0: all go to the library. */
static unsigned share(const struct aead_op *ops, unsigned n, unsigned min, size_t len_max)
{
    if (n > AEAD_LANES_MAX)
        n = AEAD_LANES_MAX;
    if (n < min)
        return 0;
    for (unsigned i = 0; i < n; i++)
        if (ops[i].len > len_max)
            return 0;
    return n;
}

void aead_seal(struct aead *a, const uint8_t key[32], struct aead_op *ops, unsigned n)
{
    for (unsigned some;
         a->lanes && (some = share(ops, n, a->lanes->packets_min, a->lanes->seal_len_max)) > 0;) {
        a->lanes->seal(key, ops, some);
        ops += some;
        n -= some;
    }
    if (n)
        library_seal(a, key, ops, n);
}

unsigned aead_open(struct aead *a, const uint8_t key[32], struct aead_op *ops, unsigned n)
{
    unsigned good = 0;

    for (unsigned some;
         a->lanes && (some = share(ops, n, a->lanes->packets_min, a->lanes->open_len_max)) > 0;) {
        good += a->lanes->open(key, ops, some);
        ops += some;
        n -= some;
    }
    return n ? good + library_open(a, key, ops, n) : good;
}
