/* conf/schema.h - every section and key of the configuration file, once: this table drives the
 * parser, the validation of single values, and the reference in the manual.
 *
 * Owner:   static data. Threads: any. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum conf_section {
    SECTION_NODE,
    SECTION_CLUSTER,
    SECTION_MEMBER,
    SECTION_HUB,
    SECTION_VIP,
    SECTION_LAN,
    SECTION_KEEPALIVED,
    SECTION_FAILOVER,
    SECTION_CONNTRACKD,
    SECTION_METRICS,
    SECTION_DRILL,
    SECTIONS,
};

enum conf_type {
    TYPE_UINT,     /* @min..@max */
    TYPE_DURATION, /* ms, s, m; a bare number is seconds; @min..@max in ms */
    TYPE_SWITCH,   /* on, off, yes, no, true, false, 1, 0 */
    TYPE_CHOICE,   /* one of @words; its place among them is stored */
    TYPE_NAME,     /* any one word */
    TYPE_IFNAME,
    TYPE_PATH, /* absolute, at most @max characters */
    TYPE_KEY,  /* base64 of 32 bytes, kept in the arena */
    TYPE_PUBLIC_KEY,
    TYPE_ENDPOINT,
    TYPE_ADDRESS,
    TYPE_INTERFACE_ADDRESSES, /* list of address/length; may be there several times */
    TYPE_PREFIXES,            /* list; may be there several times */
    TYPE_VIP_ADDRESSES,       /* list of "address/length dev interface" */
    TYPE_MEMBERS,             /* list of member names */
    TYPE_ADDRESSES,           /* list */
    TYPE_PEERS,               /* all, none, or a list of names */
    TYPE_OFFLOADS,            /* a set of enum offload */
};

/* Where a value goes: into struct conf, or into the struct of a section that has a name
 * (conf_member, conf_hub, vip_draft, conf_lan). */
struct conf_key {
    enum conf_section section;
    const char *name;
    enum conf_type type;
    bool required;
    bool live;         /* a reload takes it over; without it a restart is needed */
    uint64_t min, max; /* of lists @max is the number of elements */
    size_t offset, size, count_offset;
    const char *fallback; /* as text, for the parser and the manual; NULL: none */
    const char *computed; /* the fallback, for the manual, when it depends on other keys */
    const char *const *words;
    const char *help;
};

struct conf_section_info {
    const char *name;
    bool named;   /* [Section name] */
    unsigned max; /* how many there may be */
    bool required;
    const char *help;
};

extern const struct conf_section_info conf_sections[SECTIONS];
extern const struct conf_key conf_keys[];
extern const unsigned conf_key_count;
#define CONF_KEYS_MAX 64

/* Names are compared without case. -1, NULL: none. */
int conf_section_find(const char *name);
const struct conf_key *conf_key_find(enum conf_section s, const char *name);
/* The nearest name, when it is near enough to be meant; NULL otherwise. */
const char *conf_section_near(const char *name);
const char *conf_key_near(enum conf_section s, const char *name);

void conf_print_reference(FILE *out); /* as scdoc source */
void conf_print_markdown(FILE *out);
