/* ha/tunnelprobe.h - ICMP echo through the tunnel to peers that agreed to it, while a drill runs.
 *
 * Owner:   app. Threads: main. Never: asks while @may_ask says no: a VIP that another member has.
 *
 * All members ask, each while it has the VIP, in slots that are counted from the start; @run makes
 * their questions the same, so that an answer to one member's question that comes to another one
 * counts there. Every TUNNELPROBE_TICK_MS a part of the peers is asked, each of them every @stride
 * ticks. */
#pragma once
#include "model/endpoint.h"
#include <stdbool.h>
#include <stdint.h>

#define TUNNELPROBE_TICK_MS 10
#define TUNNELPROBE_PEERS_MAX 256
#define TUNNELPROBE_ASKED_MAX 50 /* in one tick */

typedef struct uv_loop_s uv_loop_t;
struct tunnelprobe;

struct tunnelprobe_ops {
    void *ctx;
    bool (*may_ask)(void *ctx);
    void (*answered)(void *ctx, unsigned peer, uint32_t slot);
    void (*ticked)(void *ctx); /* after each tick, for what was gathered */
    void (*ended)(void *ctx);  /* its time is over; tunnelprobe_stop() may follow at once */
};

struct tunnelprobe_config {
    const char *ifname;
    const struct ip_addr *peers; /* copied */
    unsigned count, stride;
    uint64_t run, length_ns;
    uint64_t age_ns; /* it began so long ago, at other members */
};

/* Ticks between two questions to one of @peers peers. */
unsigned tunnelprobe_stride(unsigned peers);

/* -EPERM: needs CAP_NET_RAW. */
int tunnelprobe_start(uv_loop_t *loop, const struct tunnelprobe_config *c,
                      const struct tunnelprobe_ops *ops, struct tunnelprobe **ret);
/* Slots that have begun. */
unsigned tunnelprobe_slots(const struct tunnelprobe *p);
uint64_t tunnelprobe_age_ns(const struct tunnelprobe *p);
/* NULL is fine; freed when the loop has closed its handles. */
void tunnelprobe_stop(struct tunnelprobe *p);
