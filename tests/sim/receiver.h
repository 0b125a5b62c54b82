/* sim/receiver.h - the receive windows of stock clients, as their sources have them (failover.md
 * 3.1): what an adopted counter does to each. The 32-bit and the smallest ones are why the layout
 * of counters is what it is.
 *
 * Owner:   a client's entry of a session. Threads: one.
 * Shares no code with wg/replay: a window of ours must not judge our own counters. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum receiver_kind {
    RECEIVER_LINUX_64, /* also WireGuardNT and FreeBSD on 64 bits, wireguard-go, OpenBSD */
    RECEIVER_LINUX_32, /* the word index is 32 bits wide: jumps of high bits clear nothing */
    RECEIVER_BORINGTUN,
    RECEIVER_NETBSD,
    RECEIVER_LWIP, /* differences are cut to 32 bits */
    RECEIVER_GOTATUN,
    RECEIVER_TAILSCALE_RS,
    RECEIVERS,
};

#define RECEIVER_WORDS 256

struct receiver {
    enum receiver_kind kind;
    bool any;
    uint64_t top; /* highest accepted */
    uint32_t words[RECEIVER_WORDS];
};

extern const char *const receiver_names[RECEIVERS];

/* An authentic packet: does it take it? */
bool receiver_accept(struct receiver *r, uint64_t counter);
