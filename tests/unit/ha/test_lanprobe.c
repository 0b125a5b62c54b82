/* Is a LAN dead? The verdict, and which packets count as an answer. */
#include "base/bytes.h"
#include "ha/echo.h"
#include "ha/lanprobe.h"
#include "lib/test.h"
#include <string.h>

static const uint8_t cookie[ECHO_COOKIE_LEN] = {1, 2, 3, 4, 5, 6, 7, 8};

TEST(a_lan_is_alive_while_something_answers)
{
    uint64_t t = 1000000000;

    assert_int_equal(lan_verdict(0, 0, t), LAN_UNKNOWN); /* not asked yet */
    assert_int_equal(lan_verdict(t, 0, t + LANPROBE_FIRST_NS - 1), LAN_UNKNOWN);
    assert_int_equal(lan_verdict(t, 0, t + LANPROBE_FIRST_NS), LAN_DEAD);
    assert_int_equal(lan_verdict(t, t + 5, t + 5 + LANPROBE_DEAD_NS - 1), LAN_ALIVE);
    assert_int_equal(lan_verdict(t, t + 5, t + 5 + LANPROBE_DEAD_NS), LAN_DEAD);
}

TEST(requests_have_a_checksum_that_holds)
{
    uint8_t echo[ECHO_LEN];
    uint32_t sum = 0;

    echo_request(false, 0x1234, 0xfffe, cookie, echo);
    for (unsigned i = 0; i < sizeof(echo); i += 2)
        sum += load_be16(echo + i);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    assert_int_equal(sum, 0xffff);
    assert_int_equal(echo[0], 8);
    echo_request(true, 0x1234, 1, cookie, echo);
    assert_int_equal(echo[0], 128);
    assert_int_equal(load_be16(echo + 2), 0); /* the kernel's */
}

static size_t answer(bool v6, uint16_t id, uint8_t ret[64])
{
    size_t header = v6 ? 0 : 24; /* with options */

    memset(ret, 0, 64);
    ret[0] = 0x46;
    echo_request(v6, id, 7, cookie, ret + header);
    ret[header] = v6 ? 129 : 0;
    return header + ECHO_LEN;
}

TEST(only_an_answer_to_ours_counts)
{
    uint8_t p[64];

    for (int v6 = 0; v6 < 2; v6++) {
        size_t len = answer(v6, 42, p), at = v6 ? 0 : 24;

        assert_true(echo_is_answer(v6, p, len, 42, cookie));
        assert_false(echo_is_answer(v6, p, len, 43, cookie));
        for (size_t n = 0; n < len; n++)
            assert_false(echo_is_answer(v6, p, n, 42, cookie));
        for (unsigned i = 0; i < ECHO_LEN; i++) {
            if (i == 2 || i == 3 || i == 6 || i == 7) /* checksum: the kernel's; any number */
                continue;
            p[at + i] ^= 1;
            assert_false(echo_is_answer(v6, p, len, 42, cookie));
            p[at + i] ^= 1;
        }
    }
    size_t len = answer(false, 42, p);
    p[0] = 0x4f; /* a header longer than the packet */
    assert_false(echo_is_answer(false, p, len, 42, cookie));
    p[0] = 0x66;
    assert_false(echo_is_answer(false, p, len, 42, cookie));
}

TEST_MAIN(T(a_lan_is_alive_while_something_answers), T(requests_have_a_checksum_that_holds),
          T(only_an_answer_to_ours_counts))
