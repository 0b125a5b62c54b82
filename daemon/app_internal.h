/* app_internal.h - shared by app.c (life), app_node.c (the node's ops), app_uapi.c, and
 * app_cluster.c (what only a member of a cluster has).
 *
 * Owner: struct app. Threads: main. */
#pragma once
#include "app.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "conf/conf.h"
#include "control/http.h"
#include "control/journal.h"
#include "control/server.h"
#include "control/uapi.h"
#include "control/verdicts.h"
#include "engine/engine.h"
#include "fence/fence.h"
#include "ha/fifo.h"
#include "ha/health.h"
#include "ha/lanprobe.h"
#include "ha/probeboard.h"
#include "ha/sentinel.h"
#include "ha/tunnelprobe.h"
#include "node/node.h"
#include "os/announce.h"
#include "os/netlink.h"
#include "os/notify.h"
#include "os/privilege.h"
#include "store/life.h"
#include "store/store.h"
#include "sync/link.h"
#include <uv.h>

#define WORKERS_MAX 64
#define PLAIN_HUB 1 /* hub id of the one device in plain mode */

struct app {
    uv_loop_t loop;
    uv_timer_t tick;
    uv_prepare_t turn;
    uv_signal_t signals[3];
    bool loop_open, stopping;
    int exit_status;
    unsigned workers;
    unsigned offloads; /* enum offload: that may be used, then those that are there */
    int tun_fds[WORKERS_MAX];
    int uapi_fd;
    char ifname[IFNAME_MAX + 1];
    uint32_t ifindex;
    uint16_t port;
    uint32_t fwmark;
    struct gate gate;
    struct engine *engine;
    struct node *node;
    struct store *store;
    struct netlink_monitor *monitor;
    struct uapi *uapi;
    unsigned commits;        /* under way */
    struct cluster *cluster; /* NULL: plain mode */
};

/* A drill: ours, or a sibling's that we help. */
struct app_drill {
    uv_timer_t doing;          /* what must not be done while the node is told of it */
    struct tunnelprobe *probe; /* NULL: nobody is asked now */
    struct probeboard *board;  /* of the last asking that was ours; NULL: there was none */
    unsigned slots;            /* of an asking that is over */
    struct public_key peer[TUNNELPROBE_PEERS_MAX];
    unsigned count, stride;
    bool cut;
    uint64_t run, age_ns;
    uint32_t ms;         /* of the whole asking */
    unsigned latecomers; /* bit n: member n has to be told of it */
    uint16_t vip;        /* id */
    uint8_t tell;        /* member whose drill it is; 0: ours */
    uint8_t answers[SYNC_DRILL_ANSWERS_MAX * SYNC_DRILL_ANSWER_LEN];
    unsigned answer_count;
    struct sync_drill fault; /* asked for by @fault_from, and not yet done or refused */
    uint8_t fault_from;      /* 0: none */
    uint8_t refused_by;      /* 0: nobody */
};

/* What only a member has. */
struct cluster {
    struct conf *conf;
    const struct conf_hub *hub;
    struct life life;
    struct sentinel *sentinel;
    struct links *links;
    struct fifo *fifo;
    struct lanprobe *lanprobe;
    struct netlink *netlink;
    struct announce *announce;
    struct server *server;
    struct http *http; /* NULL: off */
    struct fence *fence;
    bool fence_behind, fence_open; /* as last told */
    struct list peer_calls;        /* commands that the node has */
    struct list peer_waiting;      /* that wait for one before them */
    struct app_drill drill;
    struct journal *journal;
    struct verdicts *verdicts, *strangers; /* of peers; of keys that are no peer's */
    uint64_t strangers_second;             /* when the last ones were told, and how many then */
    unsigned strangers_told;
    uint64_t started_ns;
    uv_timer_t beat, announcing, settling, ending, notifying;
    uint64_t beat_ns;      /* of main's last beat */
    uint64_t life_look_ns; /* when stamps are looked at next */
    uint64_t reads;        /* VIP slots whose addresses are to be read, one bit each */
    bool reading_at_start;
    unsigned announce_left[VIPS_MAX];
    uint64_t drain_until_ns;          /* 0: not ending */
    char told[NOTIFY_STATUS_LEN + 1]; /* the service manager's status line */
};

struct instant app_now(void);
void app_stop(struct app *a, int status, const char *why);
extern const struct node_ops app_node_ops;

/* app.c */
/* What is in use of segmentation offloads: @tun, and what sockets can do. Logs it. */
void app_set_offloads(struct app *a, unsigned tun);
int app_start_loop(struct app *a);
void app_close_handle(uv_handle_t *h);
void app_link_changed(void *ctx, const struct netlink_link *l, bool present);
void app_read_mtu(void *ctx);
int app_start_engine(struct app *a, const struct engine_config *c);

/* app_drill.c */
void app_drill_open(struct app *a);
void app_drill_stop(struct app *a);
void app_drill_heard(void *ctx, uint8_t member, const struct sync_drill *s); /* the node's op */
void app_drill_connected(struct app *a, uint8_t member);
int app_drill_run(void *ctx, const struct control_request *r, struct control_drill *ret,
                  char ret_message[CONTROL_MESSAGE_LEN]);

/* app_cluster.c */
uint16_t app_vip_slot(const struct cluster *c, uint16_t id); /* 0: none */
int app_cluster_open(struct app *a, const char *conf_path);
int app_cluster_start(struct app *a);
void app_cluster_turn(struct app *a);   /* before node_tick(): addresses that are to be read */
void app_cluster_signal(struct app *a); /* SIGTERM: drain first */
int app_set_up_interface(struct app *a, struct cluster *c); /* as c->hub says */
struct damping_rules app_damping(const struct conf *conf);
void app_log_lines(char *text); /* errors of the configuration: a line each */
void app_cluster_free(struct app *a);

/* app_neighbours.c; the node's ops */
void app_announce(void *ctx, uint16_t slot);
void app_ask_again(void *ctx);

/* app_life.c */
void app_life_ops(struct node_ops *ops);
void app_life_look(struct app *a, uint64_t now_ns);
void app_life_recall(const struct app *a, struct node_config *ret); /* what the last life left */

/* app_reload.c */
void app_cluster_reload(struct app *a); /* SIGHUP */

/* app_notify.c: the service manager hears of it, then once a second */
void app_notify_start(struct app *a);

/* app_status.c */
int app_status_start(struct app *a);
void app_status_stop(struct app *a); /* frees what app_events_open() made, too */

/* app_events.c */
int app_events_open(struct app *a); /* before the node */
void app_events_free(struct app *a);
void app_notice(void *ctx, const struct notice *n); /* the node's op */
void app_take_refusals(struct app *a);
const char *app_vip_name(const struct app *a, uint16_t id); /* "": plain mode */
void app_fill_events(void *ctx, const struct control_request *r, struct control_events *ret);
uint64_t app_last_event(void *ctx);

/* app_fence.c */
int app_fence_start(struct app *a);
void app_fence_touch(struct app *a); /* at any time */
void app_fence_stop(struct app *a);

/* app_store.c */
int app_open_store(struct app *a);

/* app_database.c */
/* CONTROL_BACKUP, CONTROL_AUDIT. */
void app_read_database(struct app *a, const struct control_request *asked,
                       struct server_call *call);
/* An entry of the audit log that is no edit of peers; @did is static. */
void app_note(struct app *a, const char *actor, const char *did, const char *details);

/* app_address.c: a free address of each network that fits the peer, and the VIP that these are of.
 * -ENOSPC, -ENOENT: no network; *ret_where: where networks are configured. */
int app_take_address(const struct app *a, struct peer_change *pc, const char **ret_where);

/* app_peer.c: commands about peers and groups; those about the database are handed on */
void app_command(void *ctx, const struct control_request *r, struct server_call *call);
/* The end of a change; false: it is not one of a command. */
bool app_peer_done(struct app *a, void *token, int err, const char *message);

/* app_rows.c */
const char *app_record_state(const struct peer *p); /* one word */
const char *app_record_name(const struct peer *p);  /* or its key; static buffer */
int app_add_row(const struct app *a, struct peer_rows *rows, const struct peer *p, bool secrets);
int app_rows_link(
    struct peer_rows *rows); /* keys that are replaced with those that wait; -ENOMEM */
/* The keys that wait to take the place of @key; *cursor starts at 0. NULL: no more. */
const struct peer *app_heir_next(const struct app *a, const struct public_key *key,
                                 uint64_t *cursor);
/* Where @client (NULL: anybody) finds the hub, and what its group says, for its file. */
void app_describe_hub(const struct app *a, const struct peer *client, struct peer_rows *rows);

/* app_group.c */
const struct peer *app_group_find(const struct app *a, const char *name); /* NULL: there is none */
/* Negative errno: refused, with why. */
int app_group_change(const struct app *a, const struct peer_command *c, struct change *ret,
                     char message[CONTROL_MESSAGE_LEN]);

/* app_see.c */
void app_fill_peers(struct app *a, struct status *s, unsigned rows, struct instant now);
int app_fill_why(void *ctx, const struct control_request *r, struct control_why *ret,
                 char ret_message[CONTROL_MESSAGE_LEN]);

/* app_uapi.c */
int app_uapi_start(struct app *a);
