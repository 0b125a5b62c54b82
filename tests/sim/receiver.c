#include "sim/receiver.h"
#include "base/err.h"
#include <string.h>

const char *const receiver_names[RECEIVERS] = {
    "linux-64", "linux-32", "boringtun", "netbsd", "lwip", "gotatun", "tailscale-rs",
};

static const struct {
    uint16_t window, bits; /* how far back; size of the ring */
    uint8_t word_bits;
} shapes[RECEIVERS] = {
    [RECEIVER_LINUX_64] = {8128, 8192, 64},  [RECEIVER_LINUX_32] = {8160, 8192, 32},
    [RECEIVER_BORINGTUN] = {1024, 1024, 1},  [RECEIVER_NETBSD] = {2016, 2048, 32},
    [RECEIVER_LWIP] = {31, 32, 1},           [RECEIVER_GOTATUN] = {8192, 8192, 1},
    [RECEIVER_TAILSCALE_RS] = {128, 128, 1},
};

static bool test_and_set(struct receiver *r, unsigned bit)
{
    uint32_t mask = 1u << bit % 32;
    bool was = r->words[bit / 32] & mask;

    r->words[bit / 32] |= mask;
    return was;
}

static void clear_word(struct receiver *r, uint64_t word, unsigned word_bits, unsigned bits)
{
    for (unsigned i = 0; i < word_bits; i++) {
        unsigned bit = (unsigned)((word * word_bits + i) % bits);
        r->words[bit / 32] &= ~(1u << bit % 32);
    }
}

/* A bitmap of the last 32, shifted by a difference that lost its upper half. */
static bool lwip_accept(struct receiver *r, uint64_t counter)
{
    uint32_t distance;

    if (!r->any || counter > r->top) {
        distance = (uint32_t)(counter - r->top);
        r->words[0] = r->any && distance < 32 ? r->words[0] << distance | 1 : 1;
        r->top = counter;
        r->any = true;
        return true;
    }
    distance = (uint32_t)(r->top - counter);
    return distance <= shapes[RECEIVER_LWIP].window && !test_and_set(r, distance);
}

bool receiver_accept(struct receiver *r, uint64_t counter)
{
    unsigned bits = shapes[r->kind].bits, word_bits = shapes[r->kind].word_bits;

    if (r->kind == RECEIVER_LWIP)
        return lwip_accept(r, counter);
    if (r->any && counter < r->top && r->top - counter > shapes[r->kind].window)
        return false;
    if (!r->any || counter > r->top) {
        uint64_t from = r->any ? r->top / word_bits : 0, to = counter / word_bits;

        if (r->kind == RECEIVER_LINUX_32) {
            from = (uint32_t)from;
            to = (uint32_t)to;
        }
        uint64_t steps = r->kind == RECEIVER_LINUX_32 ? (uint32_t)(to - from) : to - from;
        for (uint64_t i = 1; i <= MIN(steps, bits / word_bits); i++)
            clear_word(r, from + i, word_bits, bits);
        r->top = counter;
        r->any = true;
    }
    return !test_and_set(r, (unsigned)(counter % bits));
}
