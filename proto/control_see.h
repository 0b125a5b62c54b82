/* proto/control_see.h - events and the facts of `why` on the wire; private to proto/control*.c.
 *
 * What was put points into the struct it was made of. */
#pragma once
#include "proto/control.h"
#include "proto/control.pb-c.h"

/* What may be shown of @text: sound UTF-8 without control characters, cut between characters. */
void control_text(char *field, size_t room, const char *text);
#define text_to(field, text) control_text(field, sizeof(field), text)

/* *ret_memory: for free() when @w was packed. -ENOMEM. */
int events_put(Guardmount__ControlReply *w, struct control_events *e, void **ret_memory);

/* w->audit is for free() when @w was packed. -ENOMEM. */
int audit_put_all(Guardmount__ControlReply *w, const struct control_audit *a);

struct wire_why {
    Guardmount__PeerWhy w;
    Guardmount__StatusSession session;
    Guardmount__PeerFact fact[5];
};
Guardmount__PeerWhy *why_put(struct wire_why *r, struct control_why *y);

/* -EBADMSG, -ENOMEM. */
int see_take(const Guardmount__ControlReply *w, struct control_reply *ret);
