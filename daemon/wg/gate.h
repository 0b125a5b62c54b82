/* wg/gate.h - what every thread must know of the cluster before it sends or delivers.
 *
 * Owner:   main writes; workers read. All fields are atomics of their own: no reader needs two of
 *          them to agree, except as noted.
 * Order:   main redraws the tag before it raises `suspicion`, and sets since_ns and others before
 *          `owned`.
 * Plain mode: slot 0 is owned for ever, nothing else is used. */
#pragma once
#include "model/ids.h"
#include "wg/counter.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define VIP_SLOT_PLAIN 0

struct gate {
    bool plain;                 /* fixed at start */
    _Atomic uint32_t tag;       /* member | seq << 8 | rnd << 16 */
    _Atomic uint32_t suspicion; /* N9 generation: a keypair behind it bumps before it sends */
    _Atomic uint64_t resume_ns; /* R12: nothing is sent or delivered before this */
    struct {
        _Atomic bool owned;        /* O1 */
        _Atomic bool others;       /* another live holder exists: an adopter starts capped (R16) */
        _Atomic bool left;         /* it was ours just now: what comes for it is passed on */
        _Atomic uint16_t rivals;   /* siblings that say that they have it (a bit each) */
        _Atomic uint8_t from;      /* R11: member that hands it over; its keys are waited for */
        _Atomic uint64_t since_ns; /* when it arrived; read only while owned */
    } vip[VIPS_MAX];               /* by slot */
    struct {
        _Atomic uint64_t heartbeat_ns; /* last heartbeat of that sibling, BOOTTIME */
    } member[MEMBERS_MAX];
    _Atomic uint64_t patience_ns; /* R3: main may hear so late that a ceiling is near */
    uint64_t fresh_ns;            /* T_FRESH; fixed at start */
};

struct counter_tag gate_tag(const struct gate *g);
void gate_set_tag(struct gate *g, struct counter_tag tag);
bool gate_owned(const struct gate *g, uint16_t vip_slot);
/* Not ours yet, or not with all its keys: packets wait for it a moment (R11). */
bool gate_coming(const struct gate *g, uint16_t vip_slot);
/* Handed over a moment ago: the LAN may not know it yet (R11). */
bool gate_left(const struct gate *g, uint16_t vip_slot);
/* That sibling sent a heartbeat lately. */
bool gate_hears(const struct gate *g, uint8_t member, uint64_t now_ns);
