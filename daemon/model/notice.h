/* model/notice.h - what happened, for operators: events with stable names (`guardmount events`).
 *
 * notice_kinds and notice_reasons are the one place that names them: the log, the control socket,
 * the command and guardmount-events(7) all read these tables. Names are only ever added.
 *
 * Owner:   whoever made one; plain values, no pointers.
 * Threads: any.
 * Never:   key material; a public key names a peer. */
#pragma once
#include "base/log.h"
#include "model/endpoint.h"
#include "model/ids.h"

enum notice_kind {
    NOTICE_VIP_OWNED,
    NOTICE_VIP_RELEASED,
    NOTICE_VIP_CLAIMED,
    NOTICE_VIP_STALE,
    NOTICE_MEMBER_CONNECTED,
    NOTICE_MEMBER_LOST,
    NOTICE_PROCESS_GAP,
    NOTICE_SESSION_ADOPTED,
    NOTICE_SESSION_YIELDED,
    NOTICE_SESSION_REFUSED,
    NOTICE_HANDSHAKE_ANSWERED,
    NOTICE_HANDSHAKE_DONE,
    NOTICE_HANDSHAKE_REFUSED,
    NOTICE_HANDSHAKE_UNANSWERED,
    NOTICE_DATA_REFUSED,
    NOTICE_PEER_ROAMED,
    NOTICE_PEER_EXPIRED,
    NOTICE_PEER_REKEYED,
    NOTICE_VIP_WITHHELD,
    NOTICE_VIP_CANDIDATE,
    NOTICE_KINDS,
};

/* What a notice of a kind says, in the order of the text. */
enum notice_field {
    NOTICE_FIELD_PEER,     /* public key */
    NOTICE_FIELD_VIP,      /* its name */
    NOTICE_FIELD_MEMBER,   /* number of a sibling; 0: nobody known */
    NOTICE_FIELD_ENDPOINT, /* of the peer */
    NOTICE_FIELD_ROLE,     /* this member's in the handshake */
    NOTICE_FIELD_REASON,   /* one of notice_reasons */
    NOTICE_FIELD_EPOCH,
    NOTICE_FIELD_TERM,
    NOTICE_FIELD_ATTEMPTS,
    NOTICE_FIELD_COUNT,
    NOTICE_FIELD_MS,
    NOTICE_FIELDS,
};

enum notice_reason {
    REASON_NONE,
    /* vip.released */
    REASON_ADDRESS_GONE,
    REASON_KEEPALIVED_GONE,
    REASON_FIFO_BACKUP,
    REASON_FIFO_FAULT,
    REASON_FIFO_STOP,
    REASON_FIFO_SPLIT,
    REASON_HANDED_OVER,
    REASON_ENGINE,
    REASON_OTHER,
    /* handshake.refused */
    REASON_STALE_STAMP,
    REASON_TOO_SOON,
    REASON_WRONG_MEMBER,
    REASON_NOT_READY,
    REASON_RESUMING,
    REASON_BAD_AUTH,
    REASON_UNKNOWN_PEER,
    REASON_RATE_LIMITED,
    REASON_NO_MEMORY,
    /* session.refused */
    REASON_DIRTY,
    REASON_OUTDATED,
    REASON_INDEX_COLLISION,
    REASON_QUARANTINE,
    REASON_TOO_OLD,
    /* data.refused */
    REASON_REPLAY,
    REASON_EXPIRED,
    REASON_BELOW_CEILING,
    REASON_SOURCE_NOT_ALLOWED,
    REASON_NOT_ADOPTABLE,
    /* vip.withheld */
    REASON_HOLD_DOWN,
    REASON_FLAPPING,
    NOTICE_REASONS,
};

struct notice {
    uint64_t serial;  /* by whoever keeps it; from 1 */
    uint64_t real_ns; /* UTC */
    uint64_t number;  /* epoch, term, attempts, count or ms: whichever the kind has */
    struct public_key peer;
    struct endpoint endpoint;
    uint16_t vip; /* id */
    uint8_t member;
    bool initiator; /* role */
    enum notice_kind kind;
    enum notice_reason reason;
};

struct notice_kind_info {
    const char *name, *sentence;
    enum log_level level;
    unsigned fields; /* bit n: NOTICE_FIELD n */
    const char *help;
};
extern const struct notice_kind_info notice_kinds[NOTICE_KINDS];

struct notice_reason_info {
    const char *name, *sentence, *remedy;
};
extern const struct notice_reason_info notice_reasons[NOTICE_REASONS];

struct notice_field_info {
    const char *name, *help;
    bool number;
};
extern const struct notice_field_info notice_fields[NOTICE_FIELDS];

/* NULL, REASON_OTHER: no such name. */
const struct notice_kind_info *notice_kind_find(const char *name);
const struct notice_field_info *notice_field_find(const char *name);
enum notice_reason notice_reason_find(const char *name);

#define NOTICE_VALUE_LEN ENDPOINT_TEXT_LEN
#define NOTICE_TEXT_LEN 384
/* A field's value as text. */
const char *notice_value(const struct notice *n, enum notice_field f, const char *vip_name,
                         char buf[NOTICE_VALUE_LEN]);
/* "event=vip.owned vip=main epoch=4" */
const char *notice_format(const struct notice *n, const char *vip_name, char buf[NOTICE_TEXT_LEN]);
