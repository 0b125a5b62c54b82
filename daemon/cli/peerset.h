/* cli/peerset.h - peers and groups as a file says them: the JSON of `export`, or written by hand.
 *
 * Of a peer "public_key" must be there, of a group "name"; what is not said of one that is there
 * already stays as it is. Pure.
 *
 * Threads: any. Errors: -EINVAL with the words for it. */
#pragma once
#include "cli/wgconf.h"
#include "proto/control.h"
#include <jansson.h>

#define PEERSET_ERROR_LEN 200
#define PEERSET_CHANGES_LEN 512

/* As a command that adds it, with all that is said; of a rotated key that waits, the one that
 * rotates. The PSK makes it a secret. */
int peerset_peer(const json_t *entry, struct peer_command *ret, char error[PEERSET_ERROR_LEN]);
int peerset_group(const json_t *entry, struct peer_command *ret, char error[PEERSET_ERROR_LEN]);
/* Leave in @c (of peerset_peer()) what @row has not so, as a command that sets it. The number of
 * fields; @changes: which, as "keepalive_s 0 -> 25, note". */
unsigned peerset_differs(struct peer_command *c, const struct peer_row *row,
                         char changes[PEERSET_CHANGES_LEN]);
/* For wgconf_compare(): what has a name, a key and networks. -ENOMEM. */
int peerset_claim(struct wgconf *w, unsigned entry, const struct peer_command *c);
int peerset_claim_row(struct wgconf *w, const struct peer_row *row);
