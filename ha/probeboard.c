#include "ha/probeboard.h"

#include <stdlib.h>

#include "base/err.h"

struct probeboard {
    unsigned peers;
    uint8_t bits[][PROBE_SLOTS_MAX / 8];
};

struct probeboard *probeboard_new(unsigned peers)
{
    struct probeboard *b = calloc(1, sizeof(*b) + (size_t)peers * sizeof(b->bits[0]));

    if (b)
        b->peers = peers;
    return b;
}

void probeboard_free(struct probeboard *b)
{
    free(b);
}

void probeboard_mark(struct probeboard *b, unsigned peer, uint32_t slot)
{
    if (peer < b->peers && slot < PROBE_SLOTS_MAX)
        b->bits[peer][slot / 8] |= (uint8_t)(1u << slot % 8);
}

struct probe_sum probeboard_sum(const struct probeboard *b, unsigned peer, unsigned slots)
{
    struct probe_sum s = {.silent = MIN(slots, PROBE_SLOTS_MAX)};
    unsigned last = 0, end = s.silent;

    for (unsigned i = 0; i < end; i++) {
        if (!(b->bits[peer][i / 8] >> i % 8 & 1))
            continue;
        if (s.answered && i - last > s.gap) {
            s.gap = i - last;
            s.gap_from = last;
        }
        if (s.answered)
            s.lost += i - last - 1;
        s.answered++;
        s.silent = end - i - 1;
        last = i;
    }
    return s;
}
