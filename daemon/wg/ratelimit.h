/* wg/ratelimit.h - token buckets per source: 20/s, burst 5, per /32 or /64 (H10).
 *
 * Owner:   the handshake pool. Threads: any (a lock of its own). Never: grows past its bound; when
 * the table is full, the bucket that was full longest ago gives way. */
#pragma once
#include "model/endpoint.h"
#include <stdbool.h>

#define RATELIMIT_PER_S 20
#define RATELIMIT_BURST 5
#define RATELIMIT_SOURCES_MAX 16384

struct ratelimit;
struct ratelimit *ratelimit_new(uint64_t hash_seed);
void ratelimit_free(struct ratelimit *r);
bool ratelimit_allow(struct ratelimit *r, const struct ip_addr *source, uint64_t now_ns);
