/* cli/drill.h - a drill: a VIP that leaves its owner and comes back, what was seen of it, and the
 * verdict. Pure: events, rows of a status and answers of peers come in; steps, tables and pages
 * come out.
 *
 * Owner:   the caller; drill_new() to drill_free(). Threads: one.
 * Bounds:  DRILL_STEPS_MAX steps; DRILL_PEERS_MAX peers have rows of their own, all are counted.
 * Never:   asks the daemon, reads a clock, guesses: what was not seen is left out. */
#pragma once
#include "proto/control.h"
#include <jansson.h>
#include <stdio.h>

#define DRILL_REPEAT_MAX 50
#define DRILL_STEPS_MAX (2 * DRILL_REPEAT_MAX)
#define DRILL_PEERS_MAX 2000
#define DRILL_TEXT_MAX 256

/* How the VIP leaves its owner. */
enum drill_method {
    METHOD_DRAIN,   /* a planned move */
    METHOD_STOP,    /* the daemon ends as at a shutdown */
    METHOD_KILL,    /* ... at once */
    METHOD_FREEZE,  /* ... stands still for a while */
    METHOD_ISOLATE, /* the LANs of the VIP are dead for a while */
    DRILL_METHODS,
};

struct drill_method_info {
    const char *name;
    bool at_owner; /* the drill runs at the owner; else at a sibling, which sees the owner fail */
    enum drill_fault fault; /* of those at a sibling */
};
extern const struct drill_method_info drill_methods[DRILL_METHODS];
int drill_method_find(const char *name); /* -1: none */

/* What became of a peer in a step. */
enum drill_how {
    DRILL_NOTHING,   /* it was idle */
    DRILL_HOT,       /* its session moved */
    DRILL_HANDSHAKE, /* it has a new session */
    DRILL_REFUSED,   /* its session could not be taken over, and no new one was made */
    DRILL_HOWS,
};

struct drill_step {
    bool away;     /* from the owner; else back to it */
    bool here;     /* the VIP is to come to this member */
    bool returned; /* it came back before it was asked to: set by the caller */
    char from[VIP_NAME_MAX + 1], to[VIP_NAME_MAX + 1]; /* members; to "": it did not arrive */
    uint64_t command_real_ns;                          /* UTC */
    bool arrived, has_detect, has_owner, has_first, has_packet, pass;
    uint64_t detect_ms; /* from the command until this member first saw that the owner is gone */
    uint64_t owner_ms;  /* until it knew the new owner */
    uint64_t first_ms;  /* until the first session was carried on */
    uint64_t packet_ms; /* until a peer was heard again: the first of them */
    unsigned sessions, handshakes, refused; /* events; new sessions at a sibling: rows */
    uint64_t missed;                        /* events that were gone before they were read */
    unsigned how[DRILL_HOWS];               /* peers with a row */
    unsigned asked;                         /* peers that answered through the tunnel */
    uint64_t gap_ms, lost;                  /* the worst of them */
    unsigned silent;                        /* of them: not heard again */
    char reason[DRILL_TEXT_MAX];            /* of not passing */
};

struct drill {
    char vip[VIP_NAME_MAX + 1], member[VIP_NAME_MAX + 1], cluster[VIP_NAME_MAX + 1];
    char owner[VIP_NAME_MAX + 1]; /* at the start */
    enum drill_method method;
    uint16_t vip_id;
    uint8_t owner_id;
    uint64_t began_real_ns, max_ms, max_gap_ms, max_lost;
    unsigned every_ms; /* between two questions to one peer; 0: none was asked */
    unsigned repeat, step_count, peer_count;
    bool forced, peers_cut;
    bool restored; /* the VIP is where it was, and not drained; set by the caller */
    struct drill_step step[DRILL_STEPS_MAX];
    struct drill_peer {
        char key[48], name[64];
        uint64_t rx_bytes; /* before the step */
        struct drill_cell {
            enum drill_how how;
            bool has_ms, asked, silent, has_data;
            uint64_t ms;             /* after the command */
            uint64_t answered, lost; /* asked: questions; lost: between two that were answered */
            uint64_t gap_ms;         /* longest time between two answered questions, or since */
            int64_t gap_from_ms;     /* after the command; below 0: before it */
            int64_t again_ms;        /* after the command: the end of a gap with losses; 0: none */
            uint64_t data_ms;        /* after the command: its counter had grown here */
        } step[DRILL_STEPS_MAX];
    } * peer;
};

struct drill *drill_new(void);
void drill_free(struct drill *d); /* NULL is fine */
/* The row of the VIP; NULL: there is none. */
const struct status_vip *drill_vip(const struct drill *d, const struct status *s);
/* Is another member the one to run this drill, as of many that were all told to? */
bool drill_is_others(const struct drill *d, const struct status *s);
/* Why the drill may not begin, as a sentence for the operator; NULL: it may. */
const char *drill_objection(const struct drill *d, const struct status *s,
                            char buf[DRILL_TEXT_MAX]);
/* Could a sibling take the VIP, or give it back, with every session? */
bool drill_in_sync(const struct drill *d, const struct status *s);
/* Could the first owner take the VIP back? */
bool drill_owner_back(const struct drill *d, const struct status *s);
/* The owner and the peers of the VIP, before the first step. -ENOMEM. */
int drill_add_peers(struct drill *d, const struct status *s);

/* A step: begin, events in order, end. */
void drill_begin(struct drill *d, bool away, const char *from, uint64_t real_ns);
void drill_event(struct drill *d, const struct control_event *e);
void drill_missed(struct drill *d, uint64_t count);
/* Counters of peers: before the command (@after_ms 0), then after it. */
void drill_traffic(struct drill *d, const struct status *s, uint64_t after_ms);
/* New sessions that siblings made since the command; @real_ns: of @s. */
void drill_sessions(struct drill *d, const struct status *s, uint64_t real_ns);
/* Who answered; the asking began @before_ms before the command. */
void drill_answers(struct drill *d, const struct control_drill *c, uint64_t before_ms);
/* @to NULL: it did not arrive, because of @reason. @seen_ms: when a status first said that it had;
 * taken where no event said so. */
void drill_end(struct drill *d, const char *to, uint64_t seen_ms, const char *reason);

bool drill_passed(const struct drill *d);
/* "kill", "promote", "returned" */
const char *drill_action(const struct drill *d, const struct drill_step *s);
const char *drill_how_name(enum drill_how how); /* stable: "nothing", "hot", ... */
#define DRILL_SCHEMA 2
json_t *drill_json(const struct drill *d); /* NULL: no memory */
void drill_text(const struct drill *d, bool color, FILE *out);
/* One file that needs no other: no script, no address. */
void drill_html(const struct drill *d, FILE *out);
