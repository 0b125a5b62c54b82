/* proto/control.h - what the daemon tells the operator's command, as plain structs, and its codec.
 *
 * Owner:   whoever fills or reads one; it holds no pointers but the metric rows.
 * Threads: any. Bounds: CONTROL_MESSAGE_MAX bytes a message; counts below. */
#pragma once
#include "model/ids.h"
#include "model/vip.h"
#include <stddef.h>

#define CONTROL_VERSION 1
#define CONTROL_MESSAGE_MAX (1u << 20)
#define CONTROL_HUBS_MAX 8
#define CONTROL_METRICS_MAX 512
#define CONTROL_TEXT_MAX 127

enum control_kind { CONTROL_STATUS, CONTROL_METRICS };

struct control_request {
    uint32_t version;
    uint8_t hub;
    enum control_kind kind;
};

struct status_member {
    uint8_t id;
    bool self, in_sync;
    char name[VIP_NAME_MAX + 1], link[16];
    uint64_t lag, rtt_us, heartbeat_ms;
};

struct status_vip {
    uint8_t hub, owner;
    uint16_t id;
    bool owned;
    char name[VIP_NAME_MAX + 1], state[16];
    uint64_t epoch, since_ms;
};

struct status_hub {
    uint8_t id;
    char ifname[IFNAME_MAX + 1], public_key[48];
    uint16_t port;
    uint32_t peers, sessions_owned, sessions_replica;
};

struct status_metric {
    char name[64], labels[CONTROL_TEXT_MAX + 1], help[CONTROL_TEXT_MAX + 1];
    double value;
    bool counter;
};

struct status {
    uint8_t id;
    char name[VIP_NAME_MAX + 1], version[32], cluster[VIP_NAME_MAX + 1];
    bool fit, in_sync;
    uint64_t uptime_ms;
    unsigned member_count, vip_count, hub_count, metric_count;
    struct status_member member[MEMBERS_MAX];
    struct status_vip vip[VIPS_MAX];
    struct status_hub hub[CONTROL_HUBS_MAX];
    struct status_metric metric[CONTROL_METRICS_MAX];
};

struct status *status_new(void);
/* A row; labels may be "". Rows beyond the bound are left out. */
void status_add_metric(struct status *s, bool counter, const char *name, const char *labels,
                       const char *help, double value);

/* Length, or -EMSGSIZE. */
int control_encode_request(const struct control_request *r, uint8_t *buf, size_t room);
int control_decode_request(const uint8_t *buf, size_t len, struct control_request *ret);
/* malloc'ed, the 4 bytes of length included. NULL: no memory. @error: then @s may be NULL. */
uint8_t *control_encode_reply(const struct status *s, int error, size_t *ret_len);
/* -EBADMSG, or the daemon's error. */
int control_decode_reply(const uint8_t *buf, size_t len, struct status *ret);
