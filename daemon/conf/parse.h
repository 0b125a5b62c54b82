/* conf/parse.h - a configuration being read; shared by parse.c (line by line) and check.c (what
 * only the whole shows).
 *
 * Owner: conf_parse(), in locked memory: values pass through it. */
#pragma once
#include "conf/conf.h"
#include "conf/errors.h"
#include "conf/ini.h"
#include "conf/schema.h"

#define VIP_MEMBERS_LEN (MEMBER_ID_MAX * (MEMBER_NAME_MAX + 2))

/* Where in the file a section and its keys stand. */
struct origin {
    unsigned line;
    unsigned key[CONF_KEYS_MAX]; /* by place in conf_keys; 0: not given */
};

struct vip_draft {
    struct vip vip;
    char hub[MEMBER_NAME_MAX + 1]; /* names are resolved at the end */
    char members[VIP_MEMBERS_LEN];
};

struct parse {
    struct conf *c;
    struct errors errors;
    struct ini ini;
    int section;        /* -1: none yet, or one to be skipped */
    bool skip;          /* its header was wrong: not a word on what is in it */
    void *base;         /* of its values */
    struct origin *at;  /* of its lines */
    const char *called; /* its name, "" */
    unsigned counts[SECTIONS];
    struct origin single[SECTIONS];
    struct conf_member member[MEMBERS_MAX]; /* in the file's order; the id may be wrong */
    struct vip_draft vip[VIPS_MAX];
    struct origin member_at[MEMBERS_MAX], hub_at[CONF_HUBS_MAX], vip_at[VIPS_MAX],
        lan_at[CONF_LANS_MAX];
};

/* Line of key @name in section @s, or of the section. */
unsigned origin_line(const struct origin *o, enum conf_section s, const char *name);
bool origin_has(const struct origin *o, enum conf_section s, const char *name);

/* Adds to p->errors; puts members and VIPs into p->c. */
void check_whole(struct parse *p);
