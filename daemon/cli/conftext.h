/* cli/conftext.h - a configuration file changed in a few places; all else stays byte for byte.
 * Pure.
 *
 * The text is one that conf_parse() took. What comes out is for conf_parse() to judge again.
 * Owner: the caller, of all memory; keys pass through it. Threads: any. */
#pragma once
#include "conf/conf.h"

struct conftext_rename {
    char from[IFNAME_MAX + 1], to[IFNAME_MAX + 1];
};

struct conftext_change {
    const struct conf_member *add; /* a [Member] behind the last one, and a VIP's last choice */
    const char *remove;            /* name of a [Member]; it leaves the VIPs' Members, too */
    uint8_t self;                  /* [Node] Id; 0: as it is */
    const char *private_key;       /* SyncPrivateKey; NULL: as it is */
    const struct conftext_rename *rename; /* interfaces that have other names */
    unsigned rename_count;
};

/* *ret_len without a NUL, which is put behind. -ENOSPC: @room is too small. */
int conftext_change(const char *text, size_t len, const struct conftext_change *c, char *ret,
                    size_t room, size_t *ret_len);
