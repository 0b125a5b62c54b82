/* ha/sentinel.h - a small process of its own that takes the VIPs away from a daemon which is dead,
 * stopped or frozen (O3).
 *
 * Owner:   app starts it before any thread exists; it ends by itself after the daemon.
 * Threads: main for every function; beats are stored by their threads.
 * Never:   trusts the daemon to be alive: it owns keepalived's health files, which fail closed. The
 *          daemon says through shared memory which VIPs it is fit for, and beats.
 *
 * A beat older than freeze_after, or the pipe from the daemon closed: all health is removed at
 * once. After a freeze it returns when all beats were good for SENTINEL_RISE_NS. When the daemon is
 * gone and no keepalived has the FIFO open, the VIPs are taken off the interfaces: nobody serves
 * them.
 *
 * Between two daemons: RUN_DIR/SENTINEL_LOCK has two bytes to lock, held by process, so that none
 * outlives its holder. POST is the daemon's for its life; DEED is taken for a moment by who takes
 * the post, and by a sentinel for each thing that it does. Under DEED a sentinel looks whose the
 * post is: once it is another daemon's, it touches nothing more and ends. */
#pragma once
#include "model/vip.h"
#include <stdbool.h>
#include <stdint.h>

#define SENTINEL_BEATS_MAX 66 /* main, up to 64 workers and their door */
#define SENTINEL_LOOK_MS 10
#define SENTINEL_RISE_NS 1000000000ull
#define SENTINEL_LINGER_NS                                                                         \
    2000000000ull /* after the daemon's end, for a keepalived that ends too */

struct sentinel_beat {
    _Atomic uint64_t boot_ns; /* 0: that loop has not begun */
};

struct sentinel_config {
    const char *run_dir;
    uint64_t freeze_after_ns;
    const struct vip *vips; /* by slot, from 1 */
    unsigned vip_count;
    /* Take all addresses of a VIP off this machine. */
    void (*remove_vip)(const struct vip *v);
    /* In the child, before it watches: drop what it does not need. Negative: it must not go on. */
    int (*confine)(void);
};

#define SENTINEL_LOCK "sentinel.lock"

struct sentinel;
/* -EALREADY: another live daemon has the post; nothing was touched. -ETIMEDOUT: a former sentinel
 * does not finish what it is about (SENTINEL_LINGER_NS). */
int sentinel_start(const struct sentinel_config *c, struct sentinel **ret);
bool sentinel_alive(const struct sentinel *s); /* false: nobody guards the health files any more */
void sentinel_set_fit(struct sentinel *s, uint16_t vip_slot, bool fit);
/* [0] is main's, [1..] the workers' and the door's. */
struct sentinel_beat *sentinel_beats(struct sentinel *s);
/* Has each of the first @count beaten at @since_ns or later? One that has not begun has not. */
bool sentinel_all_beat(const struct sentinel *s, unsigned count, uint64_t since_ns);
void sentinel_end(struct sentinel *s); /* health is removed; does not wait. NULL is fine */
