#include "engine/csum.h"
#include "base/bytes.h"
#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>

/* Two 32-bit words in a 64-bit lane would overflow only after 2^32 additions. */
typedef uint64_t lanes __attribute__((vector_size(32)));
#define LANES_LOW ((lanes){0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff})

static inline __attribute__((always_inline)) uint64_t walk(uint8_t *dst, const uint8_t *src,
                                                           size_t len)
{
    lanes low = {0}, high = {0}, low2 = {0}, high2 = {0};
    uint64_t sum = 0, word;
    uint16_t half;

    for (; len >= 2 * sizeof(lanes); len -= 2 * sizeof(lanes), src += 2 * sizeof(lanes)) {
        lanes a, b;

        memcpy(&a, src, sizeof(a));
        memcpy(&b, src + sizeof(a), sizeof(b));
        if (dst) {
            memcpy(dst, &a, sizeof(a));
            memcpy(dst + sizeof(a), &b, sizeof(b));
            dst += 2 * sizeof(lanes);
        }
        low += a & LANES_LOW;
        high += a >> 32;
        low2 += b & LANES_LOW;
        high2 += b >> 32;
    }
    low += low2 + high + high2;
    for (unsigned i = 0; i < 4; i++)
        sum += low[i];
    for (; len >= sizeof(word); len -= sizeof(word), src += sizeof(word)) {
        memcpy(&word, src, sizeof(word));
        if (dst) {
            memcpy(dst, &word, sizeof(word));
            dst += sizeof(word);
        }
        sum += (word & 0xffffffff) + (word >> 32);
    }
    for (; len >= sizeof(half); len -= sizeof(half), src += sizeof(half)) {
        memcpy(&half, src, sizeof(half));
        if (dst) {
            memcpy(dst, &half, sizeof(half));
            dst += sizeof(half);
        }
        sum += half;
    }
    if (len) {
        uint8_t last[2] = {src[0], 0};

        if (dst)
            *dst = src[0];
        memcpy(&half, last, sizeof(half));
        sum += half;
    }
    return sum;
}

static uint64_t walk_plain(uint8_t *dst, const uint8_t *src, size_t len)
{
    return walk(dst, src, len);
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static uint64_t walk_avx2(uint8_t *dst, const uint8_t *src,
                                                          size_t len)
{
    return dst ? walk(dst, src, len) : walk(NULL, src, len);
}

static uint64_t walk_best(uint8_t *dst, const uint8_t *src, size_t len)
{
    return __builtin_cpu_supports("avx2") ? walk_avx2(dst, src, len) : walk_plain(dst, src, len);
}
#else
#define walk_best walk_plain
#endif

uint64_t csum_of(const void *p, size_t len)
{
    return walk_best(NULL, p, len);
}

uint64_t csum_copy(void *dst, const void *src, size_t len)
{
    return walk_best(dst, src, len);
}

uint16_t csum_fold(uint64_t sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

uint64_t csum_be16(unsigned n)
{
    return htons((uint16_t)n);
}

uint64_t csum_pseudo(const uint8_t *packet, unsigned protocol, size_t transport_len)
{
    bool v4 = packet[0] >> 4 == 4;
    uint64_t sum = csum_be16(protocol) + csum_be16((unsigned)transport_len);

    return sum + (v4 ? csum_of(packet + 12, 8) : csum_of(packet + 8, 32));
}

void csum_ipv4_header(uint8_t *packet)
{
    uint16_t sum;

    memset(packet + 10, 0, 2);
    sum = (uint16_t)~csum_fold(csum_of(packet, (packet[0] & 15) * 4u));
    memcpy(packet + 10, &sum, sizeof(sum));
}
