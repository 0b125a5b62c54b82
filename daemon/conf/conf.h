/* conf/conf.h - the configuration file as an immutable struct; reload = a new struct and a diff.
 *
 * Dialect: WireGuard/systemd INI ("Key = value", "#" comments, keys of any case, sections may
 * repeat). schema.c is the one table that drives parser, validation and the man page.
 * Owner:   whoever loaded it; keys are in arena slots of its own. Threads: main.
 * Errors:  all that a file has, in the order of its lines, one a line of text:
 *          "FILE:LINE: what is wrong; what to do". A value is quoted only where no key can stand.
 * Never:   half a configuration: a file is taken as a whole or not at all. Mode 0600 or refused,
 *          but for root:CONF_GROUP 0640, and a credential of systemd's (its folder is private).
 *          A key in memory that is not locked, wiped and kept from core dumps. */
#pragma once
#include "base/log.h"
#include "base/secret.h"
#include "model/endpoint.h"
#include "model/ids.h"
#include "model/vip.h"

#define CONF_ERRORS_MAX 16      /* told of one file; how many more there are is said */
#define CONF_ERROR_LINE_MAX 512 /* bytes of one of them, with its NUL or newline */
#define CONF_ERROR_LEN ((CONF_ERRORS_MAX + 1) * CONF_ERROR_LINE_MAX)
#define CONF_PATH_MAX 255
#define CONF_GROUP "guardmount" /* of the daemon's user, as packages make it */
#define CONF_HUBS_MAX 8
#define CONF_HUBS_SERVED 1 /* of them by one process, so far */
#define CONF_LANS_MAX 8
#define CONF_PROBES_MAX 8
#define CONF_FLAPS_MAX 16           /* counted before a VIP is damped */
#define CONF_METRICS_PEERS_MAX 2000 /* with series of their own */
#define CONF_ADDRS_MAX 16
#define CONF_INNER_MAX 2 /* LAN addresses of a member: one of each family */
#define MEMBER_NAME_MAX 31
#define CONF_PEERS_LEN 512 /* bytes of a list of peers */

struct conf_member {
    uint8_t id;
    char name[MEMBER_NAME_MAX + 1];
    uint8_t sync_public_key[32];
    struct endpoint sync_address;
    struct ip_addr outer_address;                 /* for unicast VRRP; zero: none given */
    struct ip_addr inner_address[CONF_INNER_MAX]; /* one of a family; the first for unicast VRRP */
    unsigned inner_address_count;
};

struct conf_hub {
    uint8_t id;
    char name[MEMBER_NAME_MAX + 1];
    char ifname[IFNAME_MAX + 1];
    struct secret32 *private_key; /* arena slot */
    struct conf_hub_address {
        struct ip_prefix prefix;
        struct ip_addr host;
    } address[CONF_ADDRS_MAX];
    unsigned address_count;
    struct ip_prefix pool[CONF_ADDRS_MAX]; /* routed to the TUN besides the address prefixes */
    unsigned pool_count;
    unsigned mtu;
    uint32_t fwmark;
};

struct conf_lan { /* a LAN whose silent death must be noticed (O3) */
    char name[MEMBER_NAME_MAX + 1];
    char ifname[IFNAME_MAX + 1];
    struct ip_addr probe[CONF_PROBES_MAX]; /* addresses that answer ICMP echo; any one is enough */
    unsigned probe_count;
};

struct conf {
    char path[CONF_PATH_MAX + 1];
    /* [Node] */
    uint8_t self;
    char state_dir[CONF_PATH_MAX + 1], run_dir[CONF_PATH_MAX + 1];
    unsigned workers; /* 0: one per core */
    bool pin_workers;
    unsigned offloads; /* enum offload: what may be used */
    enum log_level log_level;
    bool memory_lock_required; /* K3; MemoryLock = off is the named override */
    /* [Cluster] */
    char cluster[MEMBER_NAME_MAX + 1];
    struct secret32 *cluster_key;      /* K_cluster; arena slot */
    struct secret32 *sync_private_key; /* this member's; arena slot */
    uint64_t membership_epoch;
    unsigned solo_start_after_ms;           /* 5000 */
    unsigned freeze_after_ms;               /* 300: sentinel */
    bool session_keys;                      /* replicated; false: warm mode */
    struct conf_member member[MEMBERS_MAX]; /* indexed by id; .id 0: none */
    struct conf_hub hub[CONF_HUBS_MAX];
    unsigned hub_count;
    struct vip vip[VIPS_MAX];
    unsigned vip_count;
    struct conf_lan lan[CONF_LANS_MAX];
    unsigned lan_count;
    /* [Keepalived] */
    unsigned advert_ms; /* 100; 10..1000 in steps of 10 */
    bool unicast;
    unsigned rt_priority; /* 0: off; below 100 ms adverts always on, default 50 */
    /* [Failover] */
    struct conf_damping {
        unsigned hold_down_ms, flap_limit, window_ms, suppress_ms, suppress_max_ms;
    } damping;
    /* [Conntrackd] */
    char conntrackd_ifname[IFNAME_MAX + 1]; /* "": none is rendered */
    unsigned conntrackd_port;
    /* [Metrics] */
    bool metrics; /* over HTTP */
    struct endpoint metrics_listen;
    unsigned metrics_peers; /* with series of their own */
    /* [Drill] */
    bool drill_faults;                /* siblings may stop, kill or freeze this daemon */
    char drill_probe[CONF_PEERS_LEN]; /* "all", "none", or names with commas */
    unsigned drill_takeover_ms, drill_gap_ms, drill_lost; /* more than this: not passed */
};

/* Parse @path. On failure *ret_error has the errors, without a newline behind the last. */
int conf_load(const char *path, struct conf **ret, char ret_error[CONF_ERROR_LEN]);
/* The same from memory (fuzzing, tests); no mode check. */
int conf_parse(const char *name, const char *text, size_t len, struct conf **ret,
               char ret_error[CONF_ERROR_LEN]);
void conf_free(struct conf *c); /* wipes; NULL is fine */
static inline void conf_freep(struct conf **c)
{
    conf_free(*c);
}

/* The member's LAN address of a family; NULL: none was given. */
const struct ip_addr *conf_inner_address(const struct conf_member *m, bool v6);

/* Bit n: the VIP needs lan[n], since it has an address there, or since no VIP has one. */
uint32_t conf_lans_of(const struct conf *c, const struct vip *v);

/* Is the peer of this name meant by a list such as drill_probe? */
bool conf_lists_peer(const char *list, const char *name);

/* Can @next be taken over while running? -EBUSY: a line for each key that differs and needs a
 * restart. Members that are new, and behind all others of a VIP, do not. */
int conf_reload_check(const struct conf *now, const struct conf *next,
                      char ret_error[CONF_ERROR_LEN]);
/* After a check that was good: the keys, which are equal, change places, so that who keeps a
 * pointer to one of @now's keeps it when @now is freed. */
void conf_keep_keys(struct conf *now, struct conf *next);
