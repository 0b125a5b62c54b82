/* model/addrpool.h - which address of a network is free.
 *
 * Of a large network the first ADDRPOOL_HOSTS are used. IPv4's first and last address are never
 * given.
 *
 * Owner: whoever asks, for the length of the question. */
#pragma once
#include "model/endpoint.h"

#define ADDRPOOL_HOSTS 65536u

struct addrpool {
    struct ip_prefix network;
    uint32_t hosts; /* of the network, ADDRPOOL_HOSTS at most */
    uint8_t taken[ADDRPOOL_HOSTS / 8];
};

void addrpool_init(struct addrpool *p, const struct ip_prefix *network);
void addrpool_take(struct addrpool *p,
                   const struct ip_prefix *prefix); /* fine when it is elsewhere */
/* The lowest free one, as a /32 or /128. -ENOSPC. */
int addrpool_pick(const struct addrpool *p, struct ip_prefix *ret);
/* Some address is in both. */
bool prefix_overlaps(const struct ip_prefix *a, const struct ip_prefix *b);
