/* proto/control_peer.h - commands about peers and their answers on the wire; private to
 * proto/control*.c.
 *
 * What was put points into the struct it was made of. */
#pragma once
#include "proto/control.h"
#include "proto/control.pb-c.h"

struct wire_command {
    Guardmount__PeerCommand command;
    Guardmount__PeerText text[PEER_TEXTS], *texts[PEER_TEXTS];
};

void command_put(struct wire_command *out, const struct peer_command *c);
int command_take(const Guardmount__PeerCommand *w, struct peer_command *ret); /* -EBADMSG */
/* Several. malloc, in one piece; NULL: no memory. */
Guardmount__PeerCommand **commands_put(const struct peer_command *c, unsigned count);
int commands_take(Guardmount__PeerCommand *const *w, size_t count, struct peer_command **ret,
                  unsigned *ret_count);

/* malloc, in one piece. NULL: no memory. */
Guardmount__PeerReply *rows_put(const struct peer_rows *r);
int rows_take(const Guardmount__PeerReply *w, struct peer_rows **ret);
