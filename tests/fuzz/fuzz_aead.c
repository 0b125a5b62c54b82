/* The AEAD in vector lanes and libsodium's: the same bytes, and the same verdict about a change.
 * Input: the key's seed, how many packets, their lengths and what they repeat, then one change. */
#include "base/bytes.h"
#include "noise/noise.h"
#include "wg/aead_lanes.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define LEN_MAX 700

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void compare(const struct aead_lanes *l, struct cursor c)
{
    static uint8_t in[AEAD_LANES_MAX][LEN_MAX], out[AEAD_LANES_MAX][LEN_MAX + 16],
        want[LEN_MAX + 16];
    struct aead_op ops[AEAD_LANES_MAX];
    const uint8_t *head = cursor_take(&c, 4);
    uint8_t key[32];
    unsigned n = 0;

    if (!head)
        return;
    memset(key, head[0], sizeof(key));
    key[7] = head[1];
    for (const uint8_t *p; n < AEAD_LANES_MAX && (p = cursor_take(&c, 4)); n++) {
        size_t len = (size_t)load_be16(p) % (LEN_MAX + 1);

        memset(in[n], p[2], len);
        ops[n] = (struct aead_op){
            .counter = (uint64_t)p[3] << (p[2] % 57), .src = in[n], .dst = out[n], .len = len};
    }
    if (!n)
        return;
    l->seal(key, ops, n);
    for (unsigned i = 0; i < n; i++) {
        chachapoly_seal(want, in[i], ops[i].len, NULL, 0, ops[i].counter, key);
        must(memcmp(out[i], want, ops[i].len + 16) == 0);
        ops[i].src = out[i];
    }
    unsigned which = head[2] % n;
    size_t at = head[3] % (ops[which].len + 16);
    out[which][at] ^= head[1];
    bool good = head[1] == 0;
    must(l->open(key, ops, n) == n - !good);
    for (unsigned i = 0; i < n; i++) {
        must(ops[i].ok == (good || i != which));
        must(!ops[i].ok || memcmp(out[i], in[i], ops[i].len) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static bool ready;

    if (!ready)
        must(noise_init() == 0);
    ready = true;
#ifdef GM_AEAD_LANES
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2"))
        compare(&aead_avx2, cursor_of(data, len));
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        compare(&aead_avx512, cursor_of(data, len));
#endif
    return 0;
}
