/* Inner packets made to measure, with checksums of this file's own making.
 *
 * Threads: any; no state. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MADE_MAX 66000

struct shape { /* zero: an IPv4 UDP packet, DF, TTL 64 */
    bool tcp, v6, fragmentable, no_checksum;
    uint8_t flags; /* TCP; 0: ACK */
    uint8_t tos, hop_less;
    uint16_t id, port, window;
    uint32_t seq, ack;
    unsigned options;               /* TCP: bytes, a multiple of 4 */
    unsigned ip_options, extension; /* bytes of IPv4 options; of an IPv6 header, a multiple of 8 */
    size_t skip;                    /* where in the pattern the payload begins */
};

size_t shape_transport(const struct shape *s);
/* Its length, at most MADE_MAX. */
size_t packet_make(const struct shape *s, size_t payload, uint8_t *ret);
/* As the kernel hands over a packet whose checksum is still to be made. */
void packet_open_checksum(const struct shape *s, uint8_t *packet, size_t len);
/* Lengths and all checksums are right; TCP and UDP without fragments only. */
bool packet_ok(const uint8_t *packet, size_t len);
