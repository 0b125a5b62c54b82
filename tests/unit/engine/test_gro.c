/* What is joined comes apart again as it was, and only what the kernel would join is joined. */
#include "base/bytes.h"
#include "base/err.h"
#include "engine/gro.h"
#include "packets.h"
#include <stdlib.h>

#include "lib/test.h"

#define PACKETS_MAX 200
#define ROOM 64

struct rig {
    struct gro gro;
    struct {
        uint8_t *room;
        size_t len;
        uint8_t *copy;
    } in[PACKETS_MAX];
    unsigned in_count, writes, out_count, next;
    bool any_order;
    unsigned seen[PACKETS_MAX];
};

static void cut_apart(struct rig *r, const struct virtio_net_hdr *v, const uint8_t *packet,
                      size_t len)
{
    static uint8_t piece[MADE_MAX];
    struct gso g;

    assert_int_equal(gso_begin(&g, v, packet, len), 0);
    for (unsigned i = 0; i < g.count; i++) {
        unsigned at = 0;

        gso_write(&g, i, piece);
        while (at < r->in_count && (r->seen[at] || r->in[at].len != gso_len(&g, i) ||
                                    memcmp(r->in[at].copy, piece, r->in[at].len) != 0))
            at++;
        assert_true(at < r->in_count); /* it came in like this, and has not come out yet */
        if (!r->any_order)
            assert_int_equal(at, r->out_count);
        r->seen[at] = 1;
        r->out_count++;
    }
}

static void on_write(void *ctx, const struct iovec *iov, unsigned n)
{
    static uint8_t all[MADE_MAX];
    struct rig *r = ctx;
    struct virtio_net_hdr v = {0};
    size_t len = 0, header = r->gro.vnet ? sizeof(v) : 0;

    for (unsigned i = 0; i < n; i++) {
        assert_true(len + iov[i].iov_len <= sizeof(all));
        memcpy(all + len, iov[i].iov_base, iov[i].iov_len);
        len += iov[i].iov_len;
    }
    memcpy(&v, all, header);
    r->writes++;
    cut_apart(r, &v, all + header, len - header);
}

static struct rig *rig_new(void)
{
    struct rig *r = calloc(1, sizeof(*r));

    gro_init(&r->gro, true, true, true, on_write, r);
    return r;
}

static void push(struct rig *r, const uint8_t *packet, size_t len)
{
    unsigned i = r->in_count++;

    assert_true(i < PACKETS_MAX);
    r->in[i].room = malloc(ROOM + len);
    r->in[i].copy = malloc(len);
    r->in[i].len = len;
    memcpy(r->in[i].room + ROOM, packet, len);
    memcpy(r->in[i].copy, packet, len);
    gro_add(&r->gro, r->in[i].room + ROOM, len);
}

static void push_made(struct rig *r, const struct shape *s, size_t payload)
{
    static uint8_t packet[MADE_MAX];

    push(r, packet, packet_make(s, payload, packet));
}

/* Number of writes it took. */
static unsigned rig_end(struct rig *r)
{
    gro_flush(&r->gro);
    unsigned writes = r->writes;
    assert_int_equal(r->out_count, r->in_count);
    assert_int_equal(r->gro.joined, r->in_count - writes);
    for (unsigned i = 0; i < r->in_count; i++) {
        free(r->in[i].room);
        free(r->in[i].copy);
    }
    free(r);
    return writes;
}

static void step(struct shape *s, size_t payload)
{
    s->seq += (uint32_t)payload;
    s->skip += payload;
    s->id++;
}

TEST(packets_that_follow_each_other_leave_as_one)
{
    for (unsigned kind = 0; kind < 4; kind++) {
        struct rig *r = rig_new();
        struct shape s = {
            .tcp = kind & 1, .v6 = kind & 2, .options = 12, .seq = 0xfffffff0, .id = 0xfffe};

        for (unsigned i = 0; i < 40; i++, step(&s, 1368))
            push_made(r, &s, 1368);
        push_made(r, &s, 77);
        assert_int_equal(rig_end(r), 1);
    }
}

TEST(a_super_packet_ends_at_its_bounds)
{
    struct rig *r = rig_new();
    struct shape s = {.tcp = true};

    for (unsigned i = 0; i < 130; i++, step(&s, 100)) /* 64 + 64 + 2 */
        push_made(r, &s, 100);
    assert_int_equal(rig_end(r), 3);
    r = rig_new();
    s = (struct shape){.v6 = true};
    for (unsigned i = 0; i < 20; i++, step(&s, 8872)) /* 7 in 65535 bytes */
        push_made(r, &s, 8872);
    assert_int_equal(rig_end(r), 3);
}

TEST(a_shorter_or_pushed_packet_is_the_last_one)
{
    for (unsigned kind = 0; kind < 2; kind++) {
        struct rig *r = rig_new();
        struct shape s = {.tcp = kind};

        push_made(r, &s, 1000);
        step(&s, 1000);
        push_made(r, &s, 999);
        step(&s, 999);
        push_made(r, &s, 999); /* begins the next */
        step(&s, 999);
        push_made(r, &s, 1000); /* a longer one cannot follow */
        assert_int_equal(rig_end(r), 3);
    }
    for (unsigned flag = 0x01; flag <= 0x08; flag += 7) { /* FIN, PSH */
        struct rig *r = rig_new();
        struct shape s = {.tcp = true};

        push_made(r, &s, 1000);
        step(&s, 1000);
        s.flags = (uint8_t)(0x10 | flag);
        push_made(r, &s, 1000);
        step(&s, 1000);
        s.flags = 0;
        push_made(r, &s, 1000);
        assert_int_equal(rig_end(r), 2);
    }
}

#define NOT_JOINED(first, change)                                                                  \
    do {                                                                                           \
        struct rig *r = rig_new();                                                                 \
        struct shape s = first;                                                                    \
        push_made(r, &s, 500);                                                                     \
        step(&s, 500);                                                                             \
        change;                                                                                    \
        push_made(r, &s, 500);                                                                     \
        assert_int_equal(rig_end(r), 2);                                                           \
    } while (0)

TEST(what_differs_in_a_header_is_not_joined)
{
    for (unsigned v6 = 0; v6 < 2; v6++)
        for (unsigned tcp = 0; tcp < 2; tcp++) {
            const struct shape first = {.v6 = v6, .tcp = tcp, .options = tcp ? 12 : 0};

            NOT_JOINED(first, s.tos = 4);
            NOT_JOINED(first, s.tos = 3); /* CE */
            NOT_JOINED(first, s.hop_less = 1);
            NOT_JOINED(first, s.port = 1);
            NOT_JOINED(first, s.tcp = !tcp; s.options = 0);
            if (!tcp)
                continue;
            NOT_JOINED(first, s.seq++);
            NOT_JOINED(first, s.seq--);
            NOT_JOINED(first, s.ack++);
            NOT_JOINED(first, s.window++);
            NOT_JOINED(first, s.options = 8);
            NOT_JOINED(first, s.flags = 0x10 | 0x40); /* ECE */
            NOT_JOINED(first, s.flags = 0x10 | 0x80); /* CWR */
            NOT_JOINED(first, s.flags = 0x10 | 0x20); /* URG */
            NOT_JOINED(first, s.flags = 0x10 | 0x02); /* SYN */
            NOT_JOINED(first, s.flags = 0x10 | 0x04); /* RST */
        }
    NOT_JOINED(((struct shape){0}), s.fragmentable = true);
    NOT_JOINED(((struct shape){.fragmentable = true}), s.id++);
    NOT_JOINED(((struct shape){.fragmentable = true}), s.id--);
    NOT_JOINED(((struct shape){0}), s.id++);
    NOT_JOINED(((struct shape){.no_checksum = true}), (void)0);
    NOT_JOINED(((struct shape){.ip_options = 4}), (void)0);
    NOT_JOINED(((struct shape){.v6 = true, .extension = 8}), (void)0);
}

TEST(options_that_differ_keep_segments_apart)
{
    struct rig *r = rig_new();
    struct shape s = {.tcp = true, .options = 12};
    uint8_t packet[MADE_MAX];

    push_made(r, &s, 500);
    step(&s, 500);
    size_t len = packet_make(&s, 500, packet);
    packet[45]++; /* an option's byte, and the checksum that goes with it */
    store_be16(packet + 36, (uint16_t)(load_be16(packet + 36) - 1));
    assert_true(packet_ok(packet, len));
    push(r, packet, len);
    assert_int_equal(rig_end(r), 2);
}

/* RFC 6864: what may not be fragmented needs no identification; ours rise. */
TEST(a_constant_identification_is_joined_where_it_means_nothing)
{
    struct gro g;
    struct shape s = {0};
    static uint8_t a[ROOM + 600], b[ROOM + 600];

    gro_init(&g, true, true, true, NULL, NULL);
    gro_add(&g, a + ROOM, packet_make(&s, 500, a + ROOM));
    gro_add(&g, b + ROOM, packet_make(&s, 500, b + ROOM));
    assert_int_equal(g.flow_count, 1);
    assert_int_equal(g.flows[0].count, 2);
}

TEST(what_has_no_payload_or_is_a_fragment_travels_alone_and_in_order)
{
    struct rig *r = rig_new();
    struct shape s = {.tcp = true};
    uint8_t packet[MADE_MAX];

    push_made(r, &s, 500);
    step(&s, 500);
    push_made(r, &s, 500);
    step(&s, 500);
    push_made(r, &s, 0); /* an acknowledgement */
    push_made(r, &s, 500);
    size_t len = packet_make(&(struct shape){.fragmentable = true}, 500, packet);
    packet[6] = 0x20;
    push(r, packet, len);
    memcpy(packet, (uint8_t[]){0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1}, 10); /* ICMP */
    push(r, packet, 28);
    assert_int_equal(rig_end(r), 5);
}

TEST(a_wrong_checksum_stays_wrong_and_alone)
{
    for (unsigned tcp = 0; tcp < 2; tcp++)
        for (unsigned bad = 0; bad < 3; bad++) {
            struct rig *r = rig_new();
            struct shape s = {.tcp = tcp};
            uint8_t packet[MADE_MAX];

            for (unsigned i = 0; i < 3; i++, step(&s, 500)) {
                size_t len = packet_make(&s, 500, packet);

                packet[len - 1] ^= i == bad;
                push(r, packet, len);
            }
            assert_int_equal(rig_end(r), bad == 1 ? 3 : 2);
        }
}

TEST(flows_that_are_mixed_are_joined_each_for_itself)
{
    struct rig *r = rig_new();
    struct shape s[24];

    r->any_order = true;
    for (unsigned f = 0; f < ARRAY_LEN(s); f++)
        s[f] = (struct shape){.tcp = f & 1, .v6 = f & 2, .port = (uint16_t)f};
    for (unsigned i = 0; i < 6; i++)
        for (unsigned f = 0; f < GRO_FLOWS; f++, step(&s[f - 1], 300))
            push_made(r, &s[f], 300);
    assert_int_equal(r->writes, 0);
    for (unsigned f = GRO_FLOWS; f < ARRAY_LEN(s); f++) /* more than there is room for */
        push_made(r, &s[f], 300);
    assert_int_equal(r->writes, ARRAY_LEN(s) - GRO_FLOWS);
    assert_int_equal(rig_end(r), ARRAY_LEN(s));
}

TEST(without_offloads_nothing_is_joined)
{
    for (unsigned vnet = 0; vnet < 2; vnet++) {
        struct rig *r = rig_new();

        gro_init(&r->gro, vnet, !vnet, !vnet, on_write, r);
        for (unsigned tcp = 0; tcp < 2; tcp++) {
            struct shape s = {.tcp = tcp};

            for (unsigned i = 0; i < 3; i++, step(&s, 500))
                push_made(r, &s, 500);
        }
        assert_int_equal(rig_end(r), 6);
    }
}

TEST_MAIN(T(packets_that_follow_each_other_leave_as_one), T(a_super_packet_ends_at_its_bounds),
          T(a_shorter_or_pushed_packet_is_the_last_one), T(what_differs_in_a_header_is_not_joined),
          T(options_that_differ_keep_segments_apart),
          T(a_constant_identification_is_joined_where_it_means_nothing),
          T(what_has_no_payload_or_is_a_fragment_travels_alone_and_in_order),
          T(a_wrong_checksum_stays_wrong_and_alone),
          T(flows_that_are_mixed_are_joined_each_for_itself), T(without_offloads_nothing_is_joined))
