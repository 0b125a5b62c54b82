/* ha/lanprobe.h - does a LAN still carry packets? ICMP echo to addresses that answer on it (O3).
 *
 * Owner:   app. Threads: main. Never: decides who serves: it reports, the node weighs our report
 *          against the siblings'.
 *
 * A switch port that forwards nothing any more keeps its carrier, and with a sync group VRRP goes
 * on as long as one of the two LANs works (keepalived.md section 4). Every LANPROBE_EVERY_MS each
 * probe address of a LAN is asked, bound to the LAN's interface; any answer will do. A LAN is alive
 * while something answered in the last LANPROBE_DEAD_NS: several lost answers in a row, so that a
 * gateway which answers only some does not look dead. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LANPROBE_EVERY_MS 100
#define LANPROBE_DEAD_NS 600000000ull
/* Before the first answer ever: the neighbour has to be resolved, which is tried once a second. */
#define LANPROBE_FIRST_NS 2000000000ull

typedef struct uv_loop_s uv_loop_t;
struct rng;
struct conf_lan;

struct lanprobe_ops {
    void *ctx;
    /* Bit i: the LAN whose name is the i-th in alphabetical order. @known: those judged by now. */
    void (*changed)(void *ctx, uint32_t known, uint32_t alive);
};

struct lanprobe;
/* -EPERM: needs CAP_NET_RAW. One without probe addresses is never known. */
int lanprobe_start(uv_loop_t *loop, const struct conf_lan *lans, unsigned count,
                   const struct rng *rng, const struct lanprobe_ops *ops, struct lanprobe **ret);
/* NULL is fine; freed when the loop has closed its handles. */
void lanprobe_stop(struct lanprobe *p);

/* ---- pure parts ---- */

enum lan_verdict { LAN_UNKNOWN, LAN_ALIVE, LAN_DEAD };

/* @first_ns: when it was first asked, 0: not yet; @answer_ns: the last answer, 0: none. */
enum lan_verdict lan_verdict(uint64_t first_ns, uint64_t answer_ns, uint64_t now_ns);
