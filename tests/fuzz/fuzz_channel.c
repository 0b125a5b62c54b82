/* The sync port before authentication: bytes of a stranger, towards both roles, and a true
 * handshake with bytes changed on the way. Nobody but the sibling may ever bring the channel up. */
#include "base/bytes.h"
#include "unit/sync/pair.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum mode { TO_RESPONDER, TO_INITIATOR, CHANGED, AFTERWARDS, MODES };
#define OUT_MAX 4096 /* what a stranger may make us say */

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void feed(struct side *to, struct cursor *c, uint64_t now)
{
    while (cursor_left(c) && !to->failures) {
        const uint8_t *size = cursor_take(c, 1);
        size_t n = *size ? *size : 256;
        n = n < cursor_left(c) ? n : cursor_left(c);
        channel_input(to->channel, cursor_take(c, n), n, now);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct pair *p;
    struct cursor c = cursor_of(data, len);
    const uint8_t *mode = cursor_take(&c, 1);

    if (!mode)
        return 0;
    if (!p)
        p = pair_new(1);
    pair_start(p);
    switch (*mode % MODES) {
    case TO_RESPONDER:
        p->a.out_len = 0;
        feed(&p->b, &c, p->now);
        must(p->b.ups == 0 && p->b.heard_count == 0 && p->b.out_len <= OUT_MAX);
        break;
    case TO_INITIATOR:
        p->a.out_len = 0;
        feed(&p->a, &c, p->now);
        must(p->a.ups == 0 && p->a.heard_count == 0 && p->a.out_len <= OUT_MAX);
        break;
    case CHANGED: {
        /* Which flight, where, and what. */
        const uint8_t *e = cursor_take(&c, 3);
        bool changed = false;

        for (unsigned flight = 0; flight < 4; flight++) {
            struct side *from = flight % 2 ? &p->b : &p->a, *to = flight % 2 ? &p->a : &p->b;

            if (e && from->out_len && flight == e[0] % 4) {
                changed |= e[2] != 0;
                from->out[e[1] % from->out_len] ^= e[2];
            }
            carry(p, from, to, 0);
        }
        if (changed) /* one side may have finished before the change reached the other */
            must(!(p->a.ups && p->b.ups) || e[0] % 4 >= 2);
        else
            must(p->a.ups && p->b.ups);
        break;
    }
    default:
        pair_settle(p);
        must(p->a.ups == 1 && p->b.ups == 1);
        feed(&p->b, &c, p->now);
        must(p->b.heard_count == 0);
        break;
    }
    channel_tick(p->a.channel, p->now + 10000000000ull);
    channel_tick(p->b.channel, p->now + 10000000000ull);
    return 0;
}
