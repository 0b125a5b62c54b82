/* What neighbours are told, byte for byte, and that it is what goes out of an interface. */
#include "base/bytes.h"
#include "base/err.h"
#include "lib/in_child.h"
#include "lib/test.h"
#include "os/announce.h"
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

static const uint8_t mac[6] = {0x02, 0x11, 0x22, 0x33, 0x44, 0x55};
static const uint8_t ip4[4] = {192, 0, 2, 7};
static const char request_hex[] = "00010800060400010211223344 55c00002070000000000"
                                  "00c0000207";
static const char reply_hex[] = "0001080006040002021122334455c0000207ffffffffffffc0000207";

static size_t unhex(const char *text, uint8_t *ret, size_t room)
{
    char plain[256];
    size_t n = 0;

    for (; *text; text++)
        if (*text != ' ')
            plain[n++] = *text;
    plain[n] = 0;
    return test_unhex(plain, ret, room);
}

TEST(a_gratuitous_arp_is_a_request_and_a_reply_for_its_own_address)
{
    uint8_t got[ANNOUNCE_LEN_MAX], want[ANNOUNCE_LEN_MAX];

    size_t len = unhex(request_hex, want, sizeof(want));
    assert_int_equal(len, 28);
    assert_int_equal(announce_arp(ARPOP_REQUEST, mac, ip4, got), len);
    assert_memory_equal(got, want, len);
    len = unhex(reply_hex, want, sizeof(want));
    assert_int_equal(announce_arp(ARPOP_REPLY, mac, ip4, got), len);
    assert_memory_equal(got, want, len);
}

/* Of the pseudo header and the message with its checksum in place: all ones (RFC 4443 2.3). */
static uint32_t folded(const uint8_t *packet, size_t len)
{
    uint32_t sum = (uint32_t)(len - 40) + 58;

    for (size_t i = 8; i < len; i += 2)
        sum += load_be16(packet + i);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

TEST(an_advertisement_overrides_what_neighbours_had_learned)
{
    static const uint8_t addr[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 0x64};
    uint8_t got[ANNOUNCE_LEN_MAX], want[ANNOUNCE_LEN_MAX];

    for (int router = 0; router <= 1; router++) {
        size_t len = unhex("6000000000203aff" /* 32 bytes of ICMPv6, hop limit 255 */
                           "20010db8000000000000000000000064"
                           "ff020000000000000000000000000001"
                           "88000000 20000000" /* unsolicited: Override alone */
                           "20010db8000000000000000000000064"
                           "0201021122334455",
                           want, sizeof(want));
        want[44] |= router ? 0x80 : 0;
        assert_int_equal(len, 72);
        assert_int_equal(announce_na(router, mac, addr, got), len);
        assert_int_equal(folded(got, len), 0xffff);
        memcpy(want + 42, got + 42, 2);
        assert_memory_equal(got, want, len);
    }
}

TEST(the_checksum_is_right_for_any_address)
{
    const struct rng *r = test_rng(5);

    for (unsigned i = 0; i < 2000; i++) {
        uint8_t addr[16], from[6], got[ANNOUNCE_LEN_MAX];

        rng_fill(r, addr, sizeof(addr));
        rng_fill(r, from, sizeof(from));
        size_t len = announce_na(i & 1, from, addr, got);
        assert_int_equal(folded(got, len), 0xffff);
    }
}

/* ---- on a wire: a pair of interfaces in a namespace of its own ---- */

static bool received(int fd, uint16_t protocol, const uint8_t *want, size_t len)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    while (poll(&p, 1, 2000) > 0) {
        uint8_t frame[256];
        struct sockaddr_ll from;
        socklen_t from_len = sizeof(from);
        ssize_t n = recvfrom(fd, frame, sizeof(frame), 0, (struct sockaddr *)&from, &from_len);

        if (from.sll_protocol == htons(protocol) && from.sll_pkttype != PACKET_OUTGOING &&
            (size_t)n >= len && memcmp(frame, want, len) == 0)
            return true;
    }
    return false;
}

static void on_a_wire(void)
{
    struct announce *a;
    struct ip_addr v4 = addr_from_v4(ip4), v6;
    uint8_t want[ANNOUNCE_LEN_MAX];

    CHECK(system("ip link add gmtest0 address 02:11:22:33:44:55 type veth peer name gmtest1 && "
                 "ip link set gmtest0 up && ip link set gmtest1 up && ip link set lo up") == 0);
    int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ALL));
    struct sockaddr_ll here = {.sll_family = AF_PACKET,
                               .sll_protocol = htons(ETH_P_ALL),
                               .sll_ifindex = (int)if_nametoindex("gmtest1")};
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&here, sizeof(here)) == 0);
    CHECK(announce_open(&a) == 0);
    CHECK(announce_send(a, "gmtest0", &v4) == 0);
    CHECK(received(fd, ETH_P_ARP, want, announce_arp(ARPOP_REQUEST, mac, ip4, want)));
    CHECK(received(fd, ETH_P_ARP, want, announce_arp(ARPOP_REPLY, mac, ip4, want)));
    CHECK(addr_parse("2001:db8::64", &v6) == 0);
    CHECK(announce_send(a, "gmtest0", &v6) == 0);
    CHECK(received(fd, ETH_P_IPV6, want, announce_na(false, mac, v6.b, want)));
    if (system("sysctl -qw net.ipv6.conf.gmtest0.forwarding=1 2>/dev/null") == 0) {
        CHECK(announce_send(a, "gmtest0", &v6) == 0);
        CHECK(received(fd, ETH_P_IPV6, want, announce_na(true, mac, v6.b, want)));
    }
    CHECK(announce_send(a, "gmtest9", &v4) == -ENODEV);
    CHECK(announce_send(a, "a-name-that-is-too-long", &v4) == -ENODEV);
    CHECK(announce_send(a, "lo", &v4) == -EOPNOTSUPP);
    announce_close(a);
    announce_close(NULL);
    _exit(0);
}

TEST(it_goes_out_of_the_interface_that_was_named)
{
    int status;

    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (unshare(CLONE_NEWNET) < 0)
            _exit(77); /* not root: nothing to try it on */
        on_a_wire();
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

TEST_MAIN(T(a_gratuitous_arp_is_a_request_and_a_reply_for_its_own_address),
          T(an_advertisement_overrides_what_neighbours_had_learned),
          T(the_checksum_is_right_for_any_address), T(it_goes_out_of_the_interface_that_was_named))
