/* proto/control_drill.h - what a drill asks and is told, on the wire; private to proto/control*.c.
 *
 * What was put points into the struct it was made of. */
#pragma once
#include "proto/control.h"
#include "proto/control.pb-c.h"

void drill_command_put(Guardmount__DrillCommand *w, const struct drill_command *c);
int drill_command_take(const Guardmount__DrillCommand *w, struct drill_command *ret); /* -EBADMSG */

/* malloc, in one piece. NULL: no memory. */
Guardmount__DrillReply *drill_put(struct control_drill *d);
int drill_take(const Guardmount__DrillReply *w, struct control_drill **ret); /* -EBADMSG, -ENOMEM */
