#include "base/bytes.h"
#include "engine/internal.h"
#include <stdlib.h>

#include "lib/test.h"

static const uint8_t V4[] = {0x45, 0,    0, 36, 0x12, 0x34, 0, 0, 64, 17, 0, 0, 10, 1, 0, 5,
                             10,   77,   0, 9, /* UDP */
                             0x30, 0x39, 0, 7,  0,    16,   0, 0, 1,  2,  3, 4, 5,  6, 7, 8};
static const uint8_t V6[] = {0x60, 0,    0,    0, 0, 12, 17, 64, 0xfd, 1, 0, 0,    0,
                             0,    0,    0,    0, 0, 0,  0,  0,  0,    0, 5, 0xfd, 0x77,
                             0,    0,    0,    0, 0, 0,  0,  0,  0,    0, 0, 0,    0,
                             9,    0x30, 0x39, 0, 7, 0,  12, 0,  0,    1, 2, 3,    4};

/* One's complement sum of a whole header or message with a right checksum is 0xffff. */
static uint32_t add(uint32_t sum, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

TEST(v4_error_goes_back_to_the_sender_and_quotes_the_packet)
{
    uint8_t out[UNREACHABLE_LEN_MAX];
    size_t len = unreachable_make(V4, sizeof(V4), out);

    assert_int_equal(len, 20 + 8 + sizeof(V4));
    assert_int_equal(load_be16(out + 2), len);
    assert_int_equal(out[9], 1);
    assert_memory_equal(out + 12, V4 + 16, 4);
    assert_memory_equal(out + 16, V4 + 12, 4);
    assert_int_equal(out[20], 3);
    assert_int_equal(out[21], 1);
    assert_memory_equal(out + 28, V4, sizeof(V4));
    assert_int_equal(add(0, out, 20), 0xffff);
    assert_int_equal(add(0, out + 20, len - 20), 0xffff);
}

TEST(v6_error_goes_back_to_the_sender_and_quotes_the_packet)
{
    uint8_t out[UNREACHABLE_LEN_MAX];
    size_t len = unreachable_make(V6, sizeof(V6), out);

    assert_int_equal(len, 40 + 8 + sizeof(V6));
    assert_int_equal(load_be16(out + 4), len - 40);
    assert_memory_equal(out + 8, V6 + 24, 16);
    assert_memory_equal(out + 24, V6 + 8, 16);
    assert_int_equal(out[40], 1);
    assert_int_equal(out[41], 3);
    assert_memory_equal(out + 48, V6, sizeof(V6));
    uint32_t pseudo = add((uint32_t)(len - 40) + 58, out + 8, 32);
    assert_int_equal(add(pseudo, out + 40, len - 40), 0xffff);
}

TEST(errors_stay_within_what_every_host_takes)
{
    uint8_t out[UNREACHABLE_LEN_MAX], big[3000] = {0};

    memcpy(big, V4, sizeof(V4));
    assert_int_equal(unreachable_make(big, sizeof(big), out), 576);
    memcpy(big, V6, sizeof(V6));
    assert_int_equal(unreachable_make(big, sizeof(big), out), 1280);
}

static size_t v4_with(unsigned at, uint8_t value)
{
    uint8_t out[UNREACHABLE_LEN_MAX], packet[sizeof(V4)];

    memcpy(packet, V4, sizeof(V4));
    packet[at] = value;
    return unreachable_make(packet, sizeof(packet), out);
}

static size_t v6_with(unsigned at, uint8_t value)
{
    uint8_t out[UNREACHABLE_LEN_MAX], packet[sizeof(V6)];

    memcpy(packet, V6, sizeof(V6));
    packet[at] = value;
    return unreachable_make(packet, sizeof(packet), out);
}

TEST(no_error_answers_an_error_a_group_or_a_later_fragment)
{
    uint8_t icmp[sizeof(V4)], out[UNREACHABLE_LEN_MAX];

    assert_int_equal(v4_with(7, 1), 0);    /* fragment offset */
    assert_int_equal(v4_with(16, 224), 0); /* to a group */
    assert_int_equal(v4_with(12, 0), 0);   /* from nobody */
    assert_int_equal(v4_with(12, 255), 0);
    assert_int_not_equal(v4_with(6, 0x20), 0); /* first fragment */
    memcpy(icmp, V4, sizeof(V4));
    icmp[9] = 1;
    icmp[20] = 3;
    assert_int_equal(unreachable_make(icmp, sizeof(icmp), out), 0);
    icmp[20] = 8;
    assert_int_not_equal(unreachable_make(icmp, sizeof(icmp), out), 0);

    assert_int_equal(v6_with(24, 0xff), 0);
    assert_int_equal(v6_with(8, 0xff), 0);
    uint8_t packet[sizeof(V6)];
    memcpy(packet, V6, sizeof(V6));
    packet[6] = 58;
    packet[40] = 1;
    assert_int_equal(unreachable_make(packet, sizeof(packet), out), 0);
    packet[40] = 128;
    assert_int_not_equal(unreachable_make(packet, sizeof(packet), out), 0);
    packet[6] = 44; /* a fragment that is not the first */
    packet[42] = 1;
    assert_int_equal(unreachable_make(packet, sizeof(packet), out), 0);
}

TEST(what_is_cut_short_gets_no_error_and_reads_nothing_outside)
{
    uint8_t out[UNREACHABLE_LEN_MAX];

    for (size_t len = 0; len < 20; len++) {
        uint8_t *copy = malloc(len ? len : 1);
        memcpy(copy, V4, len);
        assert_int_equal(unreachable_make(copy, len, out), 0);
        free(copy);
    }
    for (size_t len = 0; len < 40; len++) {
        uint8_t *copy = malloc(len ? len : 1);
        memcpy(copy, V6, len);
        assert_int_equal(unreachable_make(copy, len, out), 0);
        free(copy);
    }
    assert_int_equal(v4_with(0, 0x4f), 0); /* a header longer than the packet */
    assert_int_equal(v4_with(0, 0x44), 0); /* one shorter than a header can be */
}

TEST_MAIN(T(v4_error_goes_back_to_the_sender_and_quotes_the_packet),
          T(v6_error_goes_back_to_the_sender_and_quotes_the_packet),
          T(errors_stay_within_what_every_host_takes),
          T(no_error_answers_an_error_a_group_or_a_later_fragment),
          T(what_is_cut_short_gets_no_error_and_reads_nothing_outside))
