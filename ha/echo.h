/* ha/echo.h - ICMP echo to one neighbour: its packets, and a socket for them.
 *
 * Owner: the caller of the descriptor. Threads: any.
 * Never: waits; sends by itself. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#define ECHO_LEN 16 /* header and cookie; zeros behind it change no checksum */
#define ECHO_COOKIE_LEN 8

/* A raw socket that does not block, bound to @ifname, for answers alone. -EPERM: needs CAP_NET_RAW.
 */
int echo_open(const char *ifname, bool v6);
/* An echo request as it is sent; the checksum of an ICMPv6 one is the kernel's to fill in. */
void echo_request(bool v6, uint16_t id, uint16_t seq, const uint8_t cookie[ECHO_COOKIE_LEN],
                  uint8_t ret[ECHO_LEN]);
/* Whether what a raw socket received is an answer to one of ours. IPv4 comes with its header. */
bool echo_is_answer(bool v6, const uint8_t *packet, size_t len, uint16_t id,
                    const uint8_t cookie[ECHO_COOKIE_LEN]);

struct echo_line { /* one socket of a loop: an interface and a family */
    uv_poll_t poll;
    void *owner;
    int fd; /* -1: not open */
    bool v6;
};

/* @line: closed, with its owner and family. Whatever comes back, it is to be closed if fd says so.
 */
int echo_line_open(uv_loop_t *loop, const char *ifname, struct echo_line *line,
                   uv_poll_cb readable);
/* @closed is not called for a line that was not open. */
void echo_line_close(struct echo_line *line, uv_close_cb closed);
