/* cli/host.h - what this machine is like, as far as a member cares: facts only, doctor.h judges.
 *
 * Owner:   the caller; host_done(). Threads: one.
 * Never:   changes anything. A socket is bound for a moment, a sibling's sync port connected to, a
 *          neighbour asked for an echo (host_net.c). */
#pragma once
#include "cli/cli.h"
#include "conf/conf.h"

#define HOST_IFS_MAX 32
#define HOST_ADDRESSES_MAX 64
#define HOST_PORTS_MAX 65
#define HOST_PATHS_MAX 8
#define HOST_STRANGERS_MAX 4
#define HOST_TEXT_MAX 256

struct host {
    char conf_path[CONF_PATH_MAX + 1], conf_error[CONF_ERROR_LEN]; /* "": it was read */
    bool conf_missing;                                             /* there is no such file */
    struct conf *conf;
    bool root;
    struct status *status; /* of the running daemon; NULL: none answers */
    int tun;               /* of opening /dev/net/tun: 0 or errno */
    int forward4, forward6, rp_filter_all, redirects_all; /* sysctls; -1: cannot be read */
    long rmem_max, wmem_max;
    struct host_if {
        char name[IFNAME_MAX + 1];
        bool present, up, outer; /* outer: a VIP's clients come by it */
        unsigned mtu;
        int rp_filter, redirects;
    } iface[HOST_IFS_MAX]; /* those that the configuration names */
    unsigned iface_count;
    struct host_port {
        char what[HOST_TEXT_MAX]; /* "UDP 10.0.0.1:51820 of VIP main" */
        int err;                  /* of binding: 0 or errno */
    } port[HOST_PORTS_MAX];
    unsigned port_count;
    struct host_sibling {
        char name[MEMBER_NAME_MAX + 1];
        int err; /* of connecting to its sync address: 0 or errno */
    } sibling[MEMBERS_MAX];
    unsigned sibling_count;
    bool clock_known, clock_synchronised;
    bool keepalived_installed, keepalived_running, conntrackd_running;
    char keepalived_conf[CONF_PATH_MAX + 1];
    bool keepalived_ours;       /* it holds, or includes, instances of all our VIPs */
    bool keepalived_current;    /* and they are what `ha render` writes now */
    bool keepalived_one_health; /* it follows one health file for all VIPs, as it once was made */
    bool daemon_one_health;     /* the daemon that runs writes no other */
    int keepalived_test;        /* exit status of keepalived -t; -1: was not run */
    char keepalived_says[HOST_TEXT_MAX];
    struct host_address { /* a VIP's address that is on this machine */
        char text[ADDR_TEXT_LEN], vip[VIP_NAME_MAX + 1];
        char ifname[IFNAME_MAX + 1], wants[IFNAME_MAX + 1];
        uint16_t vip_id;
    } address[HOST_ADDRESSES_MAX];
    unsigned address_count;
    struct host_address stranger[HOST_STRANGERS_MAX]; /* not here, and it answers; no ifname */
    unsigned stranger_count;
    struct host_path { /* to a neighbour that answers small packets */
        char to[ADDR_TEXT_LEN], ifname[IFNAME_MAX + 1];
        unsigned wants, fits; /* bytes: a full packet of the tunnel; the largest that came back */
        unsigned overhead;    /* of the tunnel */
    } path[HOST_PATHS_MAX];
    unsigned path_count;
    char *ruleset;      /* of nftables; NULL: was not seen */
    bool conf_dir_open; /* others than its owner may put files beside the configuration */
    bool state_dir_known;
    unsigned state_dir_mode;
    bool memlock_known, may_lock; /* may_lock: CAP_IPC_LOCK */
    uint64_t memlock;             /* bytes, of the daemon if it runs, else of this process */
    bool daemon_runs;
};

void host_read(const struct cli *c, const char *keepalived_conf, struct host *ret);
void host_read_net(struct host *h); /* what is around it; of host_read(), with a configuration */
void host_read_strangers(struct host *h);
void host_done(struct host *h);
