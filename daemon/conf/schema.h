/* conf/schema.h - every section and key of the configuration file, once: this table drives the
 * parser, the validation of single values, and the reference in the manual.
 *
 * Owner:   static data. Threads: any. */
#pragma once
#include <stdbool.h>
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
    SECTIONS,
};

enum conf_type {
    TYPE_UINT,     /* @min..@max */
    TYPE_DURATION, /* ms, s, m; a bare number is seconds; @min..@max in ms */
    TYPE_SWITCH,   /* on, off, yes, no, true, false */
    TYPE_WORD,     /* one of @words, or any word when NULL */
    TYPE_PATH,
    TYPE_KEY, /* base64 of 32 bytes, kept in the arena */
    TYPE_PUBLIC_KEY,
    TYPE_ENDPOINT,
    TYPE_ADDRESS,
    TYPE_INTERFACE_ADDRESSES, /* list of address/length */
    TYPE_PREFIXES,            /* list */
    TYPE_VIP_ADDRESSES,       /* list of "address/length dev interface" */
    TYPE_MEMBERS,             /* list of member names */
    TYPE_ADDRESSES,           /* list */
};

struct conf_key {
    enum conf_section section;
    const char *name;
    enum conf_type type;
    bool required;
    uint64_t min, max;
    const char *fallback; /* as text, for the manual; NULL: none */
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

/* Names are compared without case. -1, NULL: none. */
int conf_section_find(const char *name);
const struct conf_key *conf_key_find(enum conf_section s, const char *name);
/* The nearest name, when it is near enough to be meant; NULL otherwise. */
const char *conf_section_near(const char *name);
const char *conf_key_near(enum conf_section s, const char *name);

void conf_print_reference(FILE *out); /* as scdoc source */
