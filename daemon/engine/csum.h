/* engine/csum.h - the internet checksum (RFC 1071), over inner packets.
 *
 * Sums are in the byte order of memory: words of a packet are added as they lie there, and what is
 * stored back needs no swap; a number is added as csum_be16(n).
 *
 * Threads: any. Never: looks at what the bytes mean. */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Unfolded; an odd last byte counts as if a zero followed it. */
uint64_t csum_of(const void *p, size_t len);
/* Copies @len bytes and sums them on the way. */
uint64_t csum_copy(void *dst, const void *src, size_t len);
uint16_t csum_fold(uint64_t sum); /* not inverted */
uint64_t csum_be16(unsigned n);
/* Addresses, protocol and length of the transport's part of an IPv4 or IPv6 packet. */
uint64_t csum_pseudo(const uint8_t *packet, unsigned protocol, size_t transport_len);
void csum_ipv4_header(uint8_t *packet); /* writes it */
