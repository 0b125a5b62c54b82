/* os/announce.h - tell the neighbours where an address is now: gratuitous ARP, unsolicited NA.
 *
 * Owner:   whoever opened. Threads: one. Never: waits; paces or repeats (the caller does: O7).
 *
 * keepalived announces as well; this is for what it does not see: a VM that was moved or restored,
 * a switch that learned the other member's port last. */
#pragma once
#include "model/endpoint.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ANNOUNCE_REPEATS 3    /* how often the caller sends... */
#define ANNOUNCE_EVERY_MS 100 /* ... and how far apart */

struct announce;
int announce_open(struct announce **ret); /* needs CAP_NET_RAW */
void announce_close(struct announce *a);  /* NULL is fine */

/* @addr of this machine on @ifname. IPv4: a gratuitous ARP request and a reply, since some learn
 * from one only. IPv6: a neighbour advertisement to all nodes with Override, and Router when the
 * interface forwards. -ENODEV; -EOPNOTSUPP: the interface is no Ethernet, nobody there needs it. */
int announce_send(struct announce *a, const char *ifname, const struct ip_addr *addr);

/* The packets that it sends, behind their Ethernet headers; lengths are returned. @operation:
 * ARPOP_REQUEST or ARPOP_REPLY. */
#define ANNOUNCE_LEN_MAX 72
size_t announce_arp(uint16_t operation, const uint8_t mac[6], const uint8_t ip[4],
                    uint8_t ret[ANNOUNCE_LEN_MAX]);
size_t announce_na(bool router, const uint8_t mac[6], const uint8_t addr[16],
                   uint8_t ret[ANNOUNCE_LEN_MAX]);
