/* Super-packets are cut as the kernel would cut them, and joined only when cutting gives back what
 * came in. */
#include "base/bytes.h"
#include "base/err.h"
#include "engine/csum.h"
#include "engine/gso.h"
#include "packets.h"

#include "lib/test.h"

/* Flags and type of the header that goes with a super-packet of packets.h. */
static struct virtio_net_hdr header_of(const struct shape *s, size_t size)
{
    struct virtio_net_hdr v = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                               .gso_type = VIRTIO_NET_HDR_GSO_UDP_L4,
                               .gso_size = (uint16_t)size,
                               .csum_start = (uint16_t)shape_transport(s),
                               .csum_offset = s->tcp ? 16 : 6};

    if (s->tcp)
        v.gso_type = s->v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
    return v;
}

/* Cuts a super-packet of @payload bytes; compares every piece with the packet that the sender would
 * have made itself. */
static void cut_and_compare(struct shape s, size_t payload, size_t size)
{
    uint8_t packet[MADE_MAX], want[MADE_MAX], have[MADE_MAX];
    struct virtio_net_hdr v = header_of(&s, size);
    struct gso g;
    size_t at = 0;

    size_t len = packet_make(&s, payload, packet);
    packet_open_checksum(&s, packet, len);
    assert_int_equal(gso_begin(&g, &v, packet, len), 0);
    assert_int_equal(g.count, (payload + size - 1) / size);
    for (unsigned i = 0; i < g.count; i++) {
        size_t n = MIN(size, payload - at);
        struct shape piece = s;

        piece.skip = s.skip + at;
        piece.seq = s.seq + (uint32_t)at;
        piece.id = (uint16_t)(s.id + i);
        if (i > 0)
            piece.flags &= (uint8_t)~0x80; /* CWR */
        if (i + 1 < g.count)
            piece.flags &= (uint8_t)~0x09; /* PSH, FIN */
        size_t want_len = packet_make(&piece, n, want);
        assert_int_equal(gso_len(&g, i), want_len);
        memset(have, 0xaa, sizeof(have));
        gso_write(&g, i, have);
        assert_memory_equal(have, want, want_len);
        assert_int_equal(have[want_len], 0xaa);
        assert_true(packet_ok(have, want_len));
        at += n;
    }
}

TEST(super_packets_are_cut_into_what_the_sender_would_have_sent)
{
    for (unsigned kind = 0; kind < 4; kind++) {
        struct shape s = {.tcp = kind & 1, .v6 = kind & 2, .seq = 0xfffffc00, .id = 0xfffe};

        cut_and_compare(s, 5000, 1000);
        cut_and_compare(s, 5001, 1001); /* odd lengths */
        cut_and_compare(s, 4999, 1000);
        cut_and_compare(s, 1, 1000);
        cut_and_compare(s, 60000, 1368);
        cut_and_compare(s, 300, 7);
    }
}

TEST(flags_that_belong_to_one_segment_stay_with_it)
{
    for (unsigned v6 = 0; v6 < 2; v6++) {
        struct shape s = {.tcp = true, .v6 = v6, .flags = 0x10 | 0x08 | 0x01}; /* ACK, PSH, FIN */

        cut_and_compare(s, 5000, 1000);
        s.flags = 0x10 | 0x80 | 0x40; /* CWR on the first, ECE on all */
        cut_and_compare(s, 5000, 1000);
        s.tos = 3; /* CE */
        cut_and_compare(s, 5000, 1000);
        s.options = 40;
        cut_and_compare(s, 5000, 1000);
    }
}

TEST(extension_headers_and_ip_options_go_along)
{
    struct shape v6 = {.tcp = true, .v6 = true, .extension = 24},
                 v4 = {.tcp = true, .ip_options = 8};

    cut_and_compare(v6, 5000, 1000);
    cut_and_compare(v4, 5000, 1000);
    v6.tcp = v4.tcp = false;
    cut_and_compare(v6, 5000, 1000);
    cut_and_compare(v4, 5000, 1000);
}

TEST(an_open_checksum_of_a_whole_packet_is_completed)
{
    for (unsigned kind = 0; kind < 4; kind++) {
        struct shape s = {.tcp = kind & 1, .v6 = kind & 2};

        for (size_t payload = 0; payload < 40; payload++) {
            uint8_t packet[MADE_MAX], want[MADE_MAX], have[MADE_MAX];
            struct virtio_net_hdr v = header_of(&s, 0);
            struct gso g;
            size_t len = packet_make(&s, payload, want);

            memcpy(packet, want, len);
            packet_open_checksum(&s, packet, len);
            v.gso_type = VIRTIO_NET_HDR_GSO_NONE;
            assert_int_equal(gso_begin(&g, &v, packet, len), 0);
            assert_int_equal(g.count, 1);
            assert_int_equal(gso_len(&g, 0), len);
            gso_write(&g, 0, have);
            assert_memory_equal(have, want, len);
        }
    }
}

TEST(a_udp_checksum_never_comes_out_as_none)
{
    struct shape s = {0};
    uint8_t packet[MADE_MAX], have[MADE_MAX];
    struct virtio_net_hdr v = header_of(&s, 0);
    struct gso g;
    size_t len = packet_make(&s, 2, packet);
    unsigned sum = load_be16(packet + 26);

    /* Two bytes more that bring the sum to all ones, so that its complement is zero. */
    unsigned fill = load_be16(packet + len - 2) + sum;
    store_be16(packet + len - 2, (uint16_t)(fill > 0xffff ? fill - 0xffff : fill));
    packet_open_checksum(&s, packet, len);
    v.gso_type = VIRTIO_NET_HDR_GSO_NONE;
    assert_int_equal(gso_begin(&g, &v, packet, len), 0);
    gso_write(&g, 0, have);
    assert_int_equal(load_be16(have + 26), 0xffff);
    assert_true(packet_ok(have, len));
}

TEST(what_contradicts_its_header_is_refused)
{
    struct shape s = {.tcp = true};
    uint8_t packet[MADE_MAX];
    size_t len = packet_make(&s, 3000, packet);
    const struct virtio_net_hdr good = header_of(&s, 1000);
    struct gso g;

#define REFUSED(...)                                                                               \
    do {                                                                                           \
        struct virtio_net_hdr v = good;                                                            \
        uint8_t saved[64];                                                                         \
        memcpy(saved, packet, sizeof(saved));                                                      \
        __VA_ARGS__;                                                                               \
        assert_int_equal(gso_begin(&g, &v, packet, len), -EINVAL);                                 \
        memcpy(packet, saved, sizeof(saved));                                                      \
    } while (0)
    assert_int_equal(gso_begin(&g, &good, packet, len), 0);
    REFUSED(v.gso_size = 0);
    REFUSED(v.flags = 0);
    REFUSED(v.csum_start = 24);
    REFUSED(v.csum_start = 0xffff);
    REFUSED(v.csum_offset = 6);
    REFUSED(v.gso_type = VIRTIO_NET_HDR_GSO_TCPV6);
    REFUSED(v.gso_type = VIRTIO_NET_HDR_GSO_UDP);
    REFUSED(v.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4);
    REFUSED(packet[0] = 0x46);
    REFUSED(packet[6] = 0x20); /* a fragment */
    REFUSED(packet[9] = 17);
    REFUSED(packet[32] = 0x40); /* a TCP header of 16 bytes */
    REFUSED(packet[0] = 0x65);
    REFUSED(v = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                        .csum_start = (uint16_t)(len - 1)});
    for (size_t cut = 0; cut <= 40; cut++)
        assert_int_equal(gso_begin(&g, &good, packet, cut), -EINVAL);
#undef REFUSED
}

TEST(sums_are_the_same_however_they_are_made)
{
    uint8_t src[700], dst[700];

    for (unsigned i = 0; i < sizeof(src); i++)
        src[i] = (uint8_t)(i * 7 + 255);
    for (size_t len = 0; len < 600; len++)
        for (size_t at = 0; at < 3; at++) {
            uint64_t want = 0;

            for (size_t i = 0; i < len; i++)
                want += (uint64_t)src[at + i] << (i % 2 ? 8 : 0);
            assert_int_equal(csum_fold(csum_of(src + at, len)), csum_fold(want));
            memset(dst, 0, sizeof(dst));
            assert_int_equal(csum_fold(csum_copy(dst, src + at, len)), csum_fold(want));
            assert_memory_equal(dst, src + at, len);
            assert_int_equal(dst[len], 0);
        }
    memset(src, 0xff, sizeof(src));
    assert_int_equal(csum_fold(csum_of(src, 600)), 0xffff);
}

TEST_MAIN(T(super_packets_are_cut_into_what_the_sender_would_have_sent),
          T(flags_that_belong_to_one_segment_stay_with_it),
          T(extension_headers_and_ip_options_go_along),
          T(an_open_checksum_of_a_whole_packet_is_completed),
          T(a_udp_checksum_never_comes_out_as_none), T(what_contradicts_its_header_is_refused),
          T(sums_are_the_same_however_they_are_made))
