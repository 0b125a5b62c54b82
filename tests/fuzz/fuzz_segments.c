/* Super-packets of the TUN, cut; and opened packets, joined and cut again: whatever comes in, every
 * byte stays inside, and what is joined comes apart as it was. */
#include "base/bytes.h"
#include "base/err.h"
#include "engine/gro.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define PACKETS_MAX 64
#define PIECES_MAX 256

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void cut(const uint8_t *data, size_t len)
{
    struct virtio_net_hdr v;
    struct gso g;

    if (len < sizeof(v))
        return;
    memcpy(&v, data, sizeof(v));
    /* Of its own, so that a sanitizer sees its ends. */
    size_t packet_len = len - sizeof(v);
    uint8_t *packet = malloc(packet_len + 1);
    memcpy(packet, data + sizeof(v), packet_len);
    if (gso_begin(&g, &v, packet, packet_len) == 0) {
        size_t payload = 0;

        for (unsigned i = 0; i < g.count && i < PIECES_MAX; i++) {
            size_t n = gso_len(&g, i);
            uint8_t *piece = malloc(n + 1);

            require(n <= UINT16_MAX && n >= g.headers);
            gso_write(&g, i, piece);
            require(!g.headers ||
                    memcmp(piece + g.headers, packet + g.headers + payload, n - g.headers) == 0);
            payload += n - g.headers;
            free(piece);
        }
        require(g.count > PIECES_MAX || payload + g.headers == packet_len);
    }
    free(packet);
}

struct input {
    uint8_t *room, *copy;
    size_t len;
    bool seen;
};

struct inputs {
    struct input of[PACKETS_MAX];
    unsigned count, out;
};

/* Equal but for an identification that means nothing (RFC 6864), and the header's sum over it. */
static bool same(const uint8_t *a, const uint8_t *b, size_t len)
{
    if (len < 20 || a[0] != 0x45 || !(a[6] & 0x40))
        return memcmp(a, b, len) == 0;
    return memcmp(a, b, 4) == 0 && memcmp(a + 6, b + 6, 4) == 0 &&
           memcmp(a + 12, b + 12, len - 12) == 0;
}

static void on_write(void *ctx, const struct iovec *iov, unsigned n)
{
    static uint8_t all[70000], piece[70000];
    struct inputs *in = ctx;
    struct virtio_net_hdr v;
    size_t len = 0;
    struct gso g;

    for (unsigned i = 0; i < n; i++) {
        require(len + iov[i].iov_len <= sizeof(all));
        memcpy(all + len, iov[i].iov_base, iov[i].iov_len);
        len += iov[i].iov_len;
    }
    memcpy(&v, all, sizeof(v));
    require(gso_begin(&g, &v, all + sizeof(v), len - sizeof(v)) == 0 && g.count == n);
    for (unsigned i = 0; i < g.count; i++) {
        unsigned at = 0;

        gso_write(&g, i, piece);
        while (at < in->count && (in->of[at].seen || in->of[at].len != gso_len(&g, i) ||
                                  !same(in->of[at].copy, piece, in->of[at].len)))
            at++;
        require(at < in->count);
        in->of[at].seen = true;
        in->out++;
    }
}

/* What the engine hands on: its length is the one in its header. */
static bool is_packet(const uint8_t *p, size_t len)
{
    if (len >= 20 && p[0] >> 4 == 4)
        return load_be16(p + 2) == len;
    return len >= 40 && p[0] >> 4 == 6 && load_be16(p + 4) + 40u == len;
}

/* Of the two forms of zero, the one that cutting gives. */
static void settle_checksum(uint8_t *p, size_t len)
{
    size_t at = p[0] >> 4 == 4 ? 36 : 56;
    unsigned protocol = p[0] >> 4 == 4 ? p[9] : p[6];

    if (protocol == 6 && len >= at + 2 && load_be16(p + at) == 0)
        store_be16(p + at, 0xffff);
}

/* Each packet is its length (16 bits) and its bytes. */
static void join(const uint8_t *data, size_t len)
{
    static struct inputs in;
    static struct gro gro;
    struct cursor c = cursor_of(data, len);

    in.count = in.out = 0;
    gro_init(&gro, true, true, true, on_write, &in);
    while (cursor_left(&c) >= 2 && in.count < PACKETS_MAX) {
        size_t n = load_be16(cursor_take(&c, 2));
        n = MIN(n, cursor_left(&c));
        if (n == 0)
            break;
        const uint8_t *p = cursor_take(&c, n);
        if (!is_packet(p, n))
            continue;
        struct input *i = &in.of[in.count++];

        *i = (struct input){.room = malloc(VNET_HDR_LEN + n), .copy = malloc(n), .len = n};
        memcpy(i->room + VNET_HDR_LEN, p, n);
        settle_checksum(i->room + VNET_HDR_LEN, n);
        memcpy(i->copy, i->room + VNET_HDR_LEN, n);
        gro_add(&gro, i->room + VNET_HDR_LEN, n);
    }
    gro_flush(&gro);
    require(in.out == in.count);
    for (unsigned i = 0; i < in.count; i++) {
        free(in.of[i].room);
        free(in.of[i].copy);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    if (data[0] & 1)
        cut(data + 1, len - 1);
    else
        join(data + 1, len - 1);
    return 0;
}
