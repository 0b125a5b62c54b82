/* proto/control.h - what the daemon tells the operator's command, as plain structs, and its codec.
 *
 * Owner:   whoever made one. Threads: any.
 * Bounds:  CONTROL_REPLY_MAX bytes a message; counts below.
 * Texts:   whatever a row is given, what the other side decodes is sound UTF-8 without control
 *          characters: it can be shown on a terminal, in JSON and in labels. */
#pragma once
#include "model/audit.h"
#include "model/ids.h"
#include "model/notice.h"
#include "model/peer.h"
#include "model/vip.h"
#include <stddef.h>

#define CONTROL_VERSION 1
#define CONTROL_HEAD_LEN 4               /* length of what follows, big endian */
#define CONTROL_REQUEST_MAX (256u << 10) /* bytes */
#define CONTROL_BATCH_MAX 256            /* commands of a request */
#define CONTROL_PREFIXES_MAX 4095        /* bytes of a command's prefixes, as text */
#define CONTROL_REPLY_MAX (64u << 20)    /* bytes */
#define CONTROL_HUBS_MAX 8
#define CONTROL_METRICS_MAX 512
#define CONTROL_TEXT_MAX 127
#define CONTROL_MESSAGE_LEN 256
#define CONTROL_ALLOWED_MAX 511 /* a peer's prefixes with commas; what is more is "..." */
#define CONTROL_PEERS_MAX 20000 /* rows of a reply */
#define CONTROL_SESSIONS_MAX 8  /* of one peer */
#define CONTROL_EVENTS_MAX 512  /* of a reply; the next request gets the next ones */
#define CONTROL_AUDIT_MAX 1024  /* entries of a reply; the next request gets the next ones */
#define CONTROL_WAIT_MAX_MS 4000

enum control_kind {
    CONTROL_STATUS,
    CONTROL_METRICS,
    CONTROL_MOVE = 8,
    CONTROL_EVENTS = 20,
    CONTROL_WHY = 21,
    CONTROL_PEER = 30,
    CONTROL_BACKUP = 31,
    CONTROL_BATCH = 32,
    CONTROL_AUDIT = 33,
    CONTROL_DRILL = 40
};

enum peer_verb {
    PEER_LIST,
    PEER_SHOW,
    PEER_ADD,
    PEER_SET,
    PEER_DISABLE,
    PEER_ENABLE,
    PEER_REVOKE,
    PEER_REMOVE,
    PEER_APPROVE,
    PEER_ROTATE,
    PEER_MOVE,
    PEER_VERBS,
};

/* What an operator wants of a peer; the PSK makes it a secret. */
struct peer_command {
    enum peer_verb verb;
    char peer[64]; /* name or key; of a new one: its name */
    bool has_key, has_psk, has_keepalive, has_allowed;
    struct public_key key; /* of a new one */
    char name[64];         /* "": as it is */
    uint8_t psk[32];       /* all zero: none */
    uint16_t keepalive_s;
    char allowed[CONTROL_PREFIXES_MAX + 1]; /* prefixes with commas */
    bool address_auto;                      /* and an address from the pool */
    bool reinstate;
    bool overlap;                   /* prefixes may overlap with another peer's */
    bool gone;                      /* list: removed and revoked ones too */
    char endpoint[80];              /* "": as it is */
    bool no_endpoint;               /* and not as it is */
    bool disabled;                  /* add: not served until it is enabled */
    bool has_disabled, has_pending; /* set: disabled, pending are said */
    bool secrets;                   /* list: with preshared keys */
    bool is_group;                  /* it is about the group of that name, not about a peer */
    bool has_group, has_expires, has_mtu;
    char group[64];     /* "": none */
    uint64_t expires_s; /* UTC, 0: never */
    bool pending;       /* add: not served until it is approved */
    bool cancel;        /* rotate: the key that waits is dropped */
    char vip[64];       /* move: name or id */
    uint16_t mtu;       /* of a group; 0: the hub's */
    bool has_policy;
    enum peer_policy policy; /* of a group */
    bool has_text[PEER_TEXTS];
    char text[PEER_TEXTS][PEER_TEXT_MAX + 1];
};

enum drill_verb {
    DRILL_LOOK,
    DRILL_ASK,   /* peers that agreed to it, at all members, for so long */
    DRILL_FAULT, /* to the owner of the VIP */
    DRILL_VERBS,
};

struct drill_command {
    enum drill_verb verb;
    uint16_t vip; /* id */
    enum drill_fault fault;
    uint32_t ms; /* of asking, or of a freeze */
};

struct control_request {
    uint32_t version;
    uint8_t hub; /* 0: all */
    enum control_kind kind;
    bool peers; /* rows of single peers as well */
    /* CONTROL_EVENTS, CONTROL_AUDIT: those with a higher serial; how long to wait for the first
     * event. */
    uint64_t after;
    uint32_t wait_ms;
    char peer[64];                   /* CONTROL_WHY: name, key, or the beginning of a key */
    char actor[AUDIT_ACTOR_MAX + 1]; /* (not on the wire) who asks, for the audit log */
    unsigned peers_max;              /* (not on the wire) rows of peers; 0: CONTROL_PEERS_MAX */
    /* CONTROL_MOVE. */
    struct control_move {
        enum move_kind kind;
        uint16_t vip;   /* id; 0: all */
        uint8_t member; /* 0: the one that is asked */
        bool force;
        char actor[AUDIT_ACTOR_MAX + 1]; /* (not on the wire) */
    } move;
    struct peer_command command; /* CONTROL_PEER */
    struct peer_command *batch;  /* CONTROL_BATCH: adds, all of them or none; malloc */
    unsigned batch_count;
    struct drill_command drill; /* CONTROL_DRILL; rows of peers if .peers */
};

void control_request_done(struct control_request *r); /* wipes all of it */

struct status_member {
    uint8_t id;
    bool self, in_sync;
    char name[VIP_NAME_MAX + 1], link[16];
    uint64_t lag, rtt_us, heartbeat_ms; /* heartbeat_ms: age; 0: never */
    bool drained;                       /* of all its VIPs */
};

struct status_vip {
    uint8_t hub, owner; /* owner: member; 0: nobody known */
    uint16_t id;
    bool owned;
    char name[VIP_NAME_MAX + 1], state[16];
    uint64_t epoch, since_ms; /* since_ms: age of the state; 0: not known */
    bool drained;             /* this member gives it away */
    char withheld[16];        /* why it does not bid for it: ha/damping.h; "": it does */
    uint64_t withheld_ms;     /* for how long yet; 0: not known */
};

struct status_hub {
    uint8_t id;
    char ifname[IFNAME_MAX + 1], public_key[48];
    uint16_t port;
    uint32_t peers, sessions_owned, sessions_replica;
    bool has_peers_with_session, has_last_failover;
    uint32_t peers_with_session;
    uint64_t last_failover_ms; /* age */
};

struct status_peer {
    uint8_t hub, owner; /* owner: member; 0: nobody known */
    struct public_key public_key;
    char name[64], endpoint[80]; /* endpoint "": not known */
    uint16_t vip, keepalive_s;   /* vip: id; 0: any */
    uint64_t handshake_real_ns;  /* UTC; 0: never */
    uint64_t rx_bytes, tx_bytes;
    char allowed[CONTROL_ALLOWED_MAX + 1];
    struct status_session {
        char slot[16]; /* "current", "previous", "next" */
        uint16_t term;
        bool owned; /* by this member; else it holds a replica */
        uint64_t age_ms;
    } session[CONTROL_SESSIONS_MAX];
    unsigned session_count;
};

struct status_metric {
    char name[64], labels[CONTROL_TEXT_MAX + 1], help[CONTROL_TEXT_MAX + 1];
    double value;
    bool counter;
};

struct status {
    uint8_t id;
    char name[VIP_NAME_MAX + 1], version[32], cluster[VIP_NAME_MAX + 1];
    char note[CONTROL_TEXT_MAX + 1]; /* for the operator, such as a quarantine; "": nothing */
    bool fit, in_sync;
    uint64_t uptime_ms;
    unsigned member_count, vip_count, hub_count, metric_count, peer_count;
    struct status_member member[MEMBERS_MAX];
    struct status_vip vip[VIPS_MAX];
    struct status_hub hub[CONTROL_HUBS_MAX];
    struct status_metric metric[CONTROL_METRICS_MAX];
    struct status_peer *peer; /* of status_add_peer() */
    unsigned peer_room;
    bool peers_cut; /* some did not fit */
};

struct status *status_new(void);
void status_free(struct status *s); /* NULL is fine */
/* What the member is to the outside: "master" (it owns a VIP), "backup", "fault" (not fit). */
const char *status_state(const struct status *s);
/* A row; labels may be "". Rows beyond the bound are left out. */
void status_add_metric(struct status *s, bool counter, const char *name, const char *labels,
                       const char *help, double value);
/* A zeroed row, good until the next is added. NULL: enough of them, or no memory; peers_cut says so
 * to the reader. */
struct status_peer *status_add_peer(struct status *s);
void status_add_session(struct status_peer *p, const char *slot, uint16_t term, bool owned,
                        uint64_t age_ms);
void status_add_allowed(struct status_peer *p, const char *prefix);
/* key, value, ..., NULL -> key="value",... with OpenMetrics' escapes. A label that does not fit is
 * left out as a whole, and what follows it. */
const char *status_labels(char buf[CONTROL_TEXT_MAX + 1], const char *key, const char *value, ...)
    __attribute__((sentinel));

struct control_events {
    uint64_t last, missed; /* highest serial that there is; how many after the asked one are gone */
    unsigned count;
    struct control_event {
        uint64_t serial, real_ns;
        char name[32];
        unsigned field_count;
        struct {
            char key[16], value[NOTICE_VALUE_LEN];
        } field[NOTICE_FIELDS];
    } event[CONTROL_EVENTS_MAX];
};

/* Why a peer is down, as facts; the command judges. */
struct control_why {
    uint8_t hub, owner; /* owner: member; 0: nobody known */
    struct public_key key;
    char name[64], state[16]; /* state of the record; "unknown": there is none */
    bool served, vip_owned, fit;
    uint64_t now_real_ns; /* the member's clock */
    char vip[VIP_NAME_MAX + 1], vip_state[16], owner_name[VIP_NAME_MAX + 1], endpoint[80];
    uint64_t handshake_real_ns, stamp_real_ns; /* UTC; 0: never */
    uint64_t rx_bytes, tx_bytes;
    uint16_t keepalive_s;
    char allowed[CONTROL_ALLOWED_MAX + 1];
    char group[PEER_GROUP_MAX + 1], networks[PEER_TEXT_MAX + 1]; /* "": none */
    bool isolated, has_session;    /* isolated: the group is, but for the networks */
    struct status_session session; /* the one in use */
    uint64_t data_ms;              /* age of the last data under it; 0: none */
    uint32_t attempts;             /* of the hub's handshake under way */
    uint64_t attempts_ms;          /* since the first of them */
    struct control_fact {
        uint64_t real_ns, count; /* real_ns: UTC of the last one; 0: none */
        char reason[32], endpoint[80], vip[VIP_NAME_MAX + 1];
        uint8_t member;
    } refused, answered, unanswered, data_refused, session_refused;
};

/* Peers as the store has them. */
struct peer_rows {
    struct peer_row {
        uint8_t hub, changed_by; /* member */
        struct public_key key;
        char name[64], state[16], endpoint[80];
        bool has_psk;
        uint8_t psk[32]; /* only when asked for; all zero: none, or not told */
        uint16_t keepalive_s, vip;
        uint64_t changed_real_ns; /* UTC */
        uint32_t waiting;         /* prefixes that another peer has (given to both at once) */
        char **allowed;           /* malloc each */
        unsigned allowed_count;
        char group[64];
        uint64_t expires_s;          /* UTC, 0: never */
        bool has_replaces, has_next; /* a key that waits; one that such a key waits for */
        struct public_key replaces, next;
        uint16_t mtu;            /* of a group */
        char *text[PEER_TEXTS];  /* malloc; NULL: empty */
        bool disabled, pending;  /* as stored, whatever the state */
        enum peer_policy policy; /* of a group */
    } * row;
    unsigned count, room;
    char note[CONTROL_MESSAGE_LEN]; /* done, but: what the operator must know */
    /* For a client's file. */
    char hub_public_key[48], hub_endpoint[80];
    unsigned hub_mtu;
    char dns[PEER_TEXT_MAX + 1], routes[PEER_TEXT_MAX + 1], vip[VIP_NAME_MAX + 1];
};

struct peer_rows *peer_rows_new(void);
void peer_rows_free(struct peer_rows *r); /* wipes; NULL is fine */
/* A zeroed row with room for so many prefixes; NULL: no memory. */
struct peer_row *peer_rows_add(struct peer_rows *r, unsigned allowed);
int peer_row_allow(struct peer_row *row, const char *prefix); /* -ENOMEM */
int peer_row_say(struct peer_row *row, enum peer_text which, const char *text);
static inline const char *peer_row_text(const struct peer_row *row, enum peer_text which)
{
    return row->text[which] ? row->text[which] : "";
}

struct control_audit {
    uint64_t last; /* highest serial that there is */
    unsigned count;
    struct audit_entry entry[CONTROL_AUDIT_MAX];
};

#define CONTROL_DRILL_PEERS_MAX 256
#define CONTROL_IFNAMES_MAX 255

/* What a drill has to know of the member that it asks. */
struct control_drill {
    uint32_t every_ms, age_ms;      /* between two questions to a peer, 0: none; since the first */
    char refused[VIP_NAME_MAX + 1]; /* member that refuses the fault; "": none */
    /* Of the configuration. */
    bool faults;
    uint32_t max_takeover_ms, max_gap_ms, max_lost;
    char interfaces[CONTROL_IFNAMES_MAX + 1]; /* of the VIP, with commas */
    uint16_t sync_port;                       /* of this member */
    unsigned peer_count;
    bool peers_cut;
    struct control_drill_peer {
        struct public_key key;
        uint32_t answered, lost, gap_ms, gap_from_ms, silent_ms;
    } peer[CONTROL_DRILL_PEERS_MAX];
};

struct control_reply {
    int error;                         /* 0 or negative errno */
    char message[CONTROL_MESSAGE_LEN]; /* with an error: what to do */
    struct status *status;
    char *openmetrics; /* of CONTROL_METRICS: malloc, ends with NUL */
    size_t openmetrics_len;
    struct control_events *events; /* of CONTROL_EVENTS: malloc; NULL: there never was one */
    struct control_why *why;       /* of CONTROL_WHY: malloc */
    struct peer_rows *peers;       /* of CONTROL_PEER */
    struct control_audit *audit;   /* of CONTROL_AUDIT: malloc */
    struct control_drill *drill;   /* of CONTROL_DRILL: malloc */
    uint8_t *backup;               /* of CONTROL_BACKUP: malloc, wiped */
    size_t backup_len;
};

void control_reply_done(struct control_reply *r);

/* Frames with their head, malloc. -ENOMEM, -EMSGSIZE. */
int control_encode_request(const struct control_request *r, uint8_t **ret, size_t *ret_len);
int control_encode_reply(const struct control_reply *r, uint8_t **ret, size_t *ret_len);
/* What follows the head. -EBADMSG: malformed; -EPROTONOSUPPORT: a version or a kind that this
 * program does not know; -ENOMEM; *ret is then untouched. */
int control_decode_request(const uint8_t *buf, size_t len, struct control_request *ret);
int control_decode_reply(const uint8_t *buf, size_t len, struct control_reply *ret);
