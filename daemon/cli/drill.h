/* cli/drill.h - a drill: a VIP moved to a sibling and back, what was seen of it, and the verdict.
 * Pure: events and rows of a status come in, steps, tables and pages come out.
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
#define DRILL_TEXT_MAX 160

/* What became of a peer in a step. */
enum drill_how {
    DRILL_NOTHING,   /* it was idle */
    DRILL_HOT,       /* its session moved */
    DRILL_HANDSHAKE, /* it has a new session */
    DRILL_REFUSED,   /* its session could not be taken over, and no new one was made */
    DRILL_HOWS,
};

struct drill_step {
    bool away;                                         /* else back to this member */
    char from[VIP_NAME_MAX + 1], to[VIP_NAME_MAX + 1]; /* members; to "": it did not arrive */
    uint64_t command_real_ns;                          /* UTC */
    bool arrived, has_owner, has_first, pass;
    uint64_t owner_ms; /* from the command until this member knew the new owner */
    uint64_t first_ms; /* until the first session was carried on */
    unsigned sessions, handshakes, refused; /* events; new sessions at a sibling: rows */
    uint64_t missed;                        /* events that were gone before they were read */
    unsigned how[DRILL_HOWS];               /* peers with a row */
    char reason[DRILL_TEXT_MAX];            /* of not passing */
};

struct drill {
    char vip[VIP_NAME_MAX + 1], member[VIP_NAME_MAX + 1], cluster[VIP_NAME_MAX + 1];
    uint16_t vip_id;
    uint64_t began_real_ns, max_ms;
    unsigned repeat, step_count, peer_count;
    bool forced, peers_cut;
    bool restored; /* the VIP is where it was, and not drained; set by the caller */
    struct drill_step step[DRILL_STEPS_MAX];
    struct drill_peer {
        char key[48], name[64];
        struct drill_cell {
            enum drill_how how;
            bool has_ms;
            uint64_t ms; /* after the command */
        } step[DRILL_STEPS_MAX];
    } * peer;
};

struct drill *drill_new(void);
void drill_free(struct drill *d); /* NULL is fine */
/* The row of the VIP; NULL: there is none. */
const struct status_vip *drill_vip(const struct drill *d, const struct status *s);
/* Why the drill may not begin, as a sentence for the operator; NULL: it may. */
const char *drill_objection(const struct drill *d, const struct status *s,
                            char buf[DRILL_TEXT_MAX]);
/* Could a sibling take the VIP, or give it back, with every session? */
bool drill_in_sync(const struct drill *d, const struct status *s);
/* The peers of the VIP, before the first step. -ENOMEM. */
int drill_add_peers(struct drill *d, const struct status *s);

/* A step: begin, events in order, end. */
void drill_begin(struct drill *d, bool away, const char *from, uint64_t real_ns);
void drill_event(struct drill *d, const struct control_event *e);
void drill_missed(struct drill *d, uint64_t count);
/* New sessions that siblings made since the command; @real_ns: of @s. */
void drill_sessions(struct drill *d, const struct status *s, uint64_t real_ns);
/* @to NULL: it did not arrive, because of @reason. @seen_ms: when a status first said that it had;
 * taken where no event said so. */
void drill_end(struct drill *d, const char *to, uint64_t seen_ms, const char *reason);

bool drill_passed(const struct drill *d);
const char *drill_how_name(enum drill_how how); /* stable: "nothing", "hot", ... */
#define DRILL_SCHEMA 1
json_t *drill_json(const struct drill *d); /* NULL: no memory */
void drill_text(const struct drill *d, bool color, FILE *out);
/* One file that needs no other: no script, no address. */
void drill_html(const struct drill *d, FILE *out);
