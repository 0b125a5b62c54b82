#include "ha/echo.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/err.h"

#define ICMP4_FILTER 1 /* linux/icmp.h: which message types a raw socket does not want */
#define IP4_HEADER_MIN 20

/* RFC 1071, of an even number of bytes. */
static uint16_t checksum(const uint8_t *p, size_t len)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < len; i += 2)
        sum += load_be16(p + i);
    sum = (sum & 0xffff) + (sum >> 16);
    sum += sum >> 16;
    return (uint16_t)~sum;
}

void echo_request(bool v6, uint16_t id, uint16_t seq, const uint8_t cookie[ECHO_COOKIE_LEN],
                  uint8_t ret[ECHO_LEN])
{
    memset(ret, 0, ECHO_LEN);
    ret[0] = v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO;
    store_be16(ret + 4, id);
    store_be16(ret + 6, seq);
    memcpy(ret + 8, cookie, ECHO_COOKIE_LEN);
    if (!v6)
        store_be16(ret + 2, checksum(ret, ECHO_LEN));
}

bool echo_is_answer(bool v6, const uint8_t *packet, size_t len, uint16_t id,
                    const uint8_t cookie[ECHO_COOKIE_LEN])
{
    struct cursor c = cursor_of(packet, len);

    if (!v6) {
        if (len < IP4_HEADER_MIN || packet[0] >> 4 != 4)
            return false;
        cursor_take(&c, (packet[0] & 15u) * 4u);
    }
    const uint8_t *echo = cursor_take(&c, ECHO_LEN);
    return cursor_ok(&c) && echo[0] == (v6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY) && echo[1] == 0 &&
           load_be16(echo + 4) == id && memcmp(echo + 8, cookie, ECHO_COOKIE_LEN) == 0;
}

int echo_open(const char *ifname, bool v6)
{
    int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    v6 ? (int)IPPROTO_ICMPV6 : (int)IPPROTO_ICMP);
    int r;

    if (fd < 0)
        return -errno;
    if (v6) {
        struct icmp6_filter only;

        ICMP6_FILTER_SETBLOCKALL(&only);
        ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &only);
        r = setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &only, sizeof(only));
    } else {
        uint32_t unwanted = ~(1u << ICMP_ECHOREPLY);

        r = setsockopt(fd, SOL_RAW, ICMP4_FILTER, &unwanted, sizeof(unwanted));
    }
    if (r == 0)
        r = setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, ifname, (socklen_t)strlen(ifname));
    if (r == 0)
        return fd;
    r = -errno;
    close(fd);
    return r;
}

int echo_line_open(uv_loop_t *loop, const char *ifname, struct echo_line *line, uv_poll_cb readable)
{
    int fd = echo_open(ifname, line->v6), r;

    if (fd < 0)
        return fd;
    r = uv_poll_init(loop, &line->poll, fd);
    if (r < 0) {
        close(fd);
        return r;
    }
    line->poll.data = line;
    line->fd = fd;
    return uv_poll_start(&line->poll, UV_READABLE, readable);
}

void echo_line_close(struct echo_line *line, uv_close_cb closed)
{
    if (line->fd < 0)
        return;
    uv_poll_stop(&line->poll);
    close(line->fd);
    line->fd = -1;
    uv_close((uv_handle_t *)&line->poll, closed);
}
