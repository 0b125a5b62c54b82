/* cli/handout.h - what a new client is given: its file, and the same as a QR code.
 *
 * The files are made before the peer is added, with mode 0600 and never over another one: what
 * cannot be handed out is not added. A terminal shows a code; a pipe or a log does not get one.
 *
 * Owner: the command. Threads: one. */
#pragma once
#include "cli/cli.h"
#include <stdio.h>

enum { HANDOUT_CONF, HANDOUT_PNG, HANDOUT_SVG, HANDOUT_FILES };

struct handout {
    const char *path[HANDOUT_FILES]; /* NULL: not wanted; of the file "-": standard output */
    bool qr;                         /* on the terminal */
    const char *dns, *routes;        /* NULL: the group's */
    uint8_t private_key[32];
    FILE *out[HANDOUT_FILES];
};

/* Anything is to be handed out. */
bool handout_wanted(const struct handout *h);
/* Exit codes; on failure a line was printed, and no file is left. */
int handout_open(struct handout *h);
/* The files go away again. */
void handout_drop(struct handout *h);
/* Writes and closes all; what @h does not say is as the peer's group says. @psk NULL: none.
 * Negative errno; @ret_path: of what failed. */
int handout_write(struct handout *h, const struct peer_rows *rows, const uint8_t *psk,
                  const char **ret_path);
