/* cli/drill_run.h - the steps of a drill: what is asked of the daemon, in order, and what is put
 * back whatever happens.
 *
 * Owner: cmd_drill. Threads: one. */
#pragma once
#include "cli/cli.h"
#include "cli/drill.h"

struct drill_run {
    const struct cli *c;
    struct drill *d;
    uint8_t self;
    uint16_t also[VIPS_MAX]; /* the owner's other VIPs, ids: a fault moves them, too */
    unsigned also_count;
    uint64_t serial;             /* of the last event that was read */
    uint64_t settle_ns, hold_ns; /* hold: of a freeze, of an isolation */
    uint64_t asked_ns;           /* when peers began to be asked */
    uint64_t held_until_ns;      /* of a freeze, of an isolation; else 0 */
    uint64_t return_until_ns;    /* so long the owner is waited for, in all; 0: it is not gone */
    char interfaces[CONTROL_IFNAMES_MAX + 1]; /* of the VIP */
    uint16_t sync_port;

    bool scheduled; /* of several members that were told to, one does it */
    FILE *report;   /* NULL: none is wanted */
};

/* Exit codes; on failure a line was printed. */
/* *ret_others: it is another member's to run it. */
int drill_run_prepare(struct drill_run *r, bool *ret_others);
/* Thresholds that the operator did not give are 0, and come from the configuration. */
int drill_run(struct drill_run *r);
bool drill_run_interrupted(void);
