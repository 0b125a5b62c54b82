/* ha/failover.h - who owns a VIP: one pure state machine per VIP (O1), fed by addresses, the
 * keepalived FIFO and time.
 *
 * Owner:   the node, one per VIP. Threads: main. Never: reads a clock, touches the kernel.
 *
 *   STANDBY --all of O1--> ADOPTING --told--> ACTIVE --any of O1 gone--> RELEASING --> STANDBY
 *      \_______________________ engine unfit ______________________________/-> FAULT
 *
 * owner(v) = every outer address is present AND keepalived has the FIFO open (grace 1 s) AND no
 * BACKUP, FAULT or STOP line since the address appeared AND it was not handed over just now.
 *
 * Order of events, for the node: what the FIFO holds goes in before the address that was read
 * after it (fifo_drain), so that a line from before the address does not close the gate again; at
 * start FAILOVER_WRITER_UP goes in before FAILOVER_ADDRESS_UP. "Told" is the first event after the
 * step that opened: by then the node has run its actions. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define HANDED_GRACE_NS                                                                            \
    (1000 * 1000000ull) /* an address that is still here then was not handed over after all */
#define WRITER_GRACE_NS (1000 * 1000000ull)
#define RECHECK_NS                                                                                 \
    (1000 * 1000000ull) /* addresses are read again this often, whatever was told                  \
                         */

enum vip_state { VIP_STANDBY, VIP_ADOPTING, VIP_ACTIVE, VIP_RELEASING, VIP_FAULT };

enum failover_kind {
    FAILOVER_ADDRESS_UP, /* all outer addresses of the VIP are on the interface */
    FAILOVER_ADDRESS_DOWN,
    FAILOVER_WRITER_UP,   /* keepalived has the FIFO open: any line or no EOF */
    FAILOVER_WRITER_GONE, /* read() gave 0 */
    FAILOVER_LINE_MASTER,
    FAILOVER_LINE_BACKUP,
    FAILOVER_LINE_FAULT,
    FAILOVER_LINE_STOP,
    FAILOVER_LINE_RX_LOWER, /* MASTER_RX_LOWER_PRI: there was a split */
    FAILOVER_HANDED,        /* a sibling that it is handed over to has it (R11) */
    FAILOVER_RELEASED,      /* the node has told its last counters */
    FAILOVER_ENGINE,        /* @fit: whether engine, TUN and loops work */
    FAILOVER_TICK,
};

struct failover_event {
    enum failover_kind kind;
    bool fit;
    bool at_start; /* ADDRESS_UP found when the daemon started */
};

enum failover_action {
    FAILOVER_OPEN = 1 << 0,           /* open the gate: we own it from now on; claim epoch + 1 */
    FAILOVER_CLOSE = 1 << 1,          /* close the gate at once; release sessions; claim not held */
    FAILOVER_REMOVE_STALE = 1 << 2,   /* address without keepalived: take it off the interface */
    FAILOVER_ANNOUNCE = 1 << 3,       /* repeat gratuitous ARP/NA (O7), tell terms (O5) */
    FAILOVER_READ_ADDRESSES = 1 << 4, /* re-read, and report what differs as an event */
};

struct failover {
    int state; /* enum vip_state */
    bool address, writer, writer_seen, denied, fit;
    uint64_t writer_gone_ns, since_ns;
    uint64_t handed_ns;  /* until then it counts as handed over; 0: it is not */
    uint64_t stale_ns;   /* an address without a writer is taken off then; 0: there is none */
    uint64_t recheck_ns; /* next slow re-check */
    uint64_t epoch;      /* of our last claim; the node raises it over a sibling's higher claim */
};

struct failover_todo {
    unsigned actions;
    uint64_t next_ns;  /* wants a TICK then; 0: none */
    const char *cause; /* for logs and metrics: "address", "fifo-backup", ... */
};

void failover_init(struct failover *f); /* STANDBY, fit, nothing present */
struct failover_todo failover_step(struct failover *f, const struct failover_event *e,
                                   uint64_t now_ns);
bool failover_owned(const struct failover *f);
const char *vip_state_name(int state);
