/* X25519 in vector lanes and by libsodium: the same bytes and the same verdict. Input: a job each
 * 65 bytes, its scalar, its point and whether the point is the base point. */
#include "base/bytes.h"
#include "base/secret.h"
#include "noise/x25519_lanes.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define JOBS_MAX (2 * X25519_LANES_MAX + 1)

static void must(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static bool ready;
    struct cursor c = cursor_of(data, len);
    struct x25519_job jobs[JOBS_MAX], alone[JOBS_MAX], *all[2][JOBS_MAX];
    uint8_t together[JOBS_MAX][32], wanted[JOBS_MAX][32];
    unsigned n = 0;

    if (!ready)
        must(noise_init() == 0);
    ready = true;
    for (const uint8_t *p; n < JOBS_MAX && (p = cursor_take(&c, 65)); n++) {
        jobs[n] = (struct x25519_job){
            .ret = together[n], .private_key = p, .public_key = p[64] % 4 ? p + 32 : NULL};
        alone[n] = jobs[n];
        alone[n].ret = wanted[n];
        all[0][n] = &jobs[n];
        all[1][n] = &alone[n];
    }
    x25519_batch_in(NULL, all[1], n);
    for (unsigned which = 0; x25519_lanes_here(which); which++) {
        x25519_batch_in(x25519_lanes_here(which), all[0], n);
        for (unsigned i = 0; i < n; i++) {
            must(jobs[i].ok == alone[i].ok);
            must(jobs[i].ok ? memcmp(together[i], wanted[i], 32) == 0
                            : secret_is_zero(together[i], 32));
        }
    }
    return 0;
}
