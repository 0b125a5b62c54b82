/* cli/wgconf.h - the peers of a file of wg or wg-quick, with the names that people give them in
 * comments. Pure.
 *
 * A name is, the first that there is: "# Name = x" (or friendly_name) in the section; a comment
 * behind [Peer]; one in the line above it; one in the line below it. "begin x" and "BEGIN_PEER x"
 * of the scripts that write such lines are x.
 *
 * Owner:  the caller; holds preshared keys, wgconf_done() wipes. Threads: any.
 * Bounds: WGCONF_PEERS_MAX peers; remarks and prefixes grow with the file.
 * Errors: remarks with their line, all of the file at once; only memory is an errno. */
#pragma once
#include "model/addrpool.h"
#include "model/endpoint.h"
#include "model/ids.h"
#include <stdint.h>

#define WGCONF_PEERS_MAX 20000
#define WGCONF_NAME_MAX 63
#define WGCONF_REMARK_LEN 256

struct wgconf {
    struct wgpeer {
        unsigned line; /* of [Peer], or its number in a list; 0: not of the file, but on the member
                          already */
        char name[WGCONF_NAME_MAX + 1];
        struct public_key key;
        bool has_key, has_psk, disabled;
        uint8_t psk[32];
        uint16_t keepalive_s;
        char endpoint[ENDPOINT_TEXT_LEN]; /* "": none */
        struct ip_prefix *allowed;
        unsigned allowed_count, allowed_room;
    } * peer;
    unsigned count, room;
    const char *unit; /* of lines in words; NULL: "line" */
    struct wgconf_remark {
        unsigned line;
        bool error; /* else: not applied, and the operator should know */
        char text[WGCONF_REMARK_LEN];
    } * remark;
    unsigned remark_count, remark_room, errors;
};

/* 0 or -ENOMEM. @ret is good for wgconf_done() in any case. */
int wgconf_parse(const char *text, size_t len, struct wgconf *ret);
void wgconf_done(struct wgconf *w);
/* A peer that is on the member; NULL: no memory. Good until the next is added. */
struct wgpeer *wgconf_add(struct wgconf *w, unsigned line);
void wgpeer_done(struct wgpeer *p); /* its contents; wipes */
int wgconf_refuse(struct wgconf *w, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4))); /* an error; -ENOMEM */
int wgpeer_allow(struct wgpeer *p, const struct ip_prefix *prefix);
/* Names, keys and, unless @overlap, networks that two have: a remark at the later one, with the
 * name of the other. Peers that the member has exactly so leave the list (*ret_same of them), and
 * so do those that are only there. */
int wgconf_compare(struct wgconf *w, bool overlap, unsigned *ret_same);
