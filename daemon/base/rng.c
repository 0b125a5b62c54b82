#include "base/rng.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

static void fill_system(void *ctx, void *buf, size_t len)
{
    (void)ctx;
    for (uint8_t *p = buf; len;) {
        ssize_t n = getrandom(p, len, 0);

        if (n < 0) {
            if (errno == EINTR)
                continue;
            abort(); /* without randomness there is no nonce, key or index worth making */
        }
        p += n;
        len -= (size_t)n;
    }
}

const struct rng rng_system = {.fill = fill_system};
