/* cli/place.h - configuration files, put where the daemon and keepalived read them.
 *
 * Threads: one. Errors: negative errno, and then the file is as it was.
 * Never:   writes what was not judged as a whole before; replaces a file that is the
 *          administrator's own; lets others read a key. */
#pragma once
#include "cli/conftext.h"
#include <limits.h>

#define KEEPALIVED_CONF "/etc/keepalived/keepalived.conf"
#define PLACE_TEXT_MAX (60u << 10) /* of a configuration that a command can change */

/* In memory that is locked and wiped by sodium_free(). -EFBIG. */
int place_read(const char *path, char **ret_text, size_t *ret_len);

/* A configuration, and what belongs to it. */
struct placing {
    char *text; /* sodium_free() */
    size_t len;
    struct conf *conf;
    bool restart;         /* a reload does not take the change over */
    char *keepalived;     /* NULL: no VIP lists this member */
    char where[PATH_MAX]; /* keepalived's file; "": none was written */
    bool changed;         /* that file has other contents now */
    bool included;        /* it is beside an administrator's own, which has to include it */
};

/* @text with @change, judged; @path is for messages. */
int place_prepare(const char *path, const char *text, size_t len,
                  const struct conftext_change *change, struct placing *ret,
                  char error[CONF_ERROR_LEN]);
/* @fresh: a new file, root's, and read by the daemon's group where there is one (-EEXIST); else
 * owner and mode stay. Then keepalived's: at @keepalived if nobody's or ours is there, else in
 * conf.d/ beside it. *ret_path: which of them an error is about. */
int place_write(struct placing *p, const char *path, const char *keepalived, bool fresh,
                const char **ret_path);
void place_done(struct placing *p); /* wipes */
