#include "model/notice.h"
#include "base/bytes.h"
#include "base/err.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define F(field) (1u << NOTICE_FIELD_##field)

const struct notice_kind_info notice_kinds[NOTICE_KINDS] = {
    [NOTICE_VIP_OWNED] = {"vip.owned", "VIP is ours", LOG_LEVEL_INFO, F(VIP) | F(EPOCH),
                          "This member owns the VIP from now on and serves its peers."},
    [NOTICE_VIP_RELEASED] = {"vip.released", "VIP is no longer ours", LOG_LEVEL_INFO,
                             F(VIP) | F(REASON), "This member stopped serving the VIP."},
    [NOTICE_VIP_CLAIMED] = {"vip.claimed", "a sibling claims a VIP", LOG_LEVEL_INFO,
                            F(VIP) | F(MEMBER) | F(EPOCH),
                            "A sibling says that it owns the VIP; nobody here believed it before."},
    [NOTICE_VIP_STALE] = {"vip.stale", "address without keepalived, removing it", LOG_LEVEL_WARN,
                          F(VIP),
                          "The address was there at the start although keepalived does not run: a "
                          "leftover, which is removed and never served."},
    [NOTICE_MEMBER_CONNECTED] = {"member.connected", "sibling connected", LOG_LEVEL_INFO, F(MEMBER),
                                 "The sync link to the sibling is up."},
    [NOTICE_MEMBER_LOST] = {"member.lost", "sibling lost", LOG_LEVEL_WARN, F(MEMBER),
                            "The sync link to the sibling is down."},
    [NOTICE_PROCESS_GAP] = {"process.gap", "the process stood still", LOG_LEVEL_WARN, F(MS),
                            "Nothing ran for so long; the member asks its siblings before it "
                            "goes on."},
    [NOTICE_SESSION_ADOPTED] = {"session.adopted", "session adopted", LOG_LEVEL_DEBUG,
                                F(PEER) | F(VIP) | F(MEMBER) | F(TERM),
                                "A session of the peer moved here from the member named."},
    [NOTICE_SESSION_YIELDED] = {"session.yielded", "session yielded", LOG_LEVEL_DEBUG,
                                F(PEER) | F(VIP) | F(MEMBER) | F(TERM),
                                "A session of the peer moved to the member named."},
    [NOTICE_SESSION_REFUSED] = {"session.refused",
                                "replica not fit for adoption, starting a handshake",
                                LOG_LEVEL_INFO, F(PEER) | F(VIP) | F(MEMBER) | F(REASON),
                                "A session could not be taken over from the member named; the hub "
                                "makes a new one with the peer."},
    [NOTICE_HANDSHAKE_ANSWERED] = {"handshake.answered", "initiation answered", LOG_LEVEL_DEBUG,
                                   F(PEER) | F(VIP) | F(ENDPOINT),
                                   "The peer's initiation was good, and the response has left; the "
                                   "peer's first packet will confirm the session."},
    [NOTICE_HANDSHAKE_DONE] = {"handshake.done", "handshake done", LOG_LEVEL_DEBUG,
                               F(PEER) | F(VIP) | F(ENDPOINT) | F(ROLE),
                               "Both sides have a new session."},
    [NOTICE_HANDSHAKE_REFUSED] = {"handshake.refused", "handshake refused", LOG_LEVEL_INFO,
                                  F(PEER) | F(VIP) | F(ENDPOINT) | F(REASON) | F(COUNT),
                                  "A handshake message of the peer was not accepted; count: how "
                                  "often since the last such event of this peer."},
    [NOTICE_HANDSHAKE_UNANSWERED] = {"handshake.unanswered", "peer does not answer",
                                     LOG_LEVEL_DEBUG, F(PEER) | F(VIP) | F(ENDPOINT) | F(ATTEMPTS),
                                     "The hub asked the peer for a handshake for 90 seconds and "
                                     "gave up; the next packet for the peer starts again."},
    [NOTICE_DATA_REFUSED] = {"data.refused", "data refused", LOG_LEVEL_INFO,
                             F(PEER) | F(VIP) | F(REASON) | F(COUNT),
                             "Data of the peer was not accepted; count: how often, at least, since "
                             "the last such event of this peer."},
    [NOTICE_PEER_ROAMED] = {"peer.roamed", "peer has another endpoint", LOG_LEVEL_DEBUG,
                            F(PEER) | F(VIP) | F(ENDPOINT),
                            "Authentic data came from another address or port, or on another VIP."},
    [NOTICE_PEER_EXPIRED] =
        {"peer.expired", "a peer's time is over; it is not served any more", LOG_LEVEL_INFO,
         F(PEER), "The peer's time (peer add --expires) is over by this member's clock."},
    [NOTICE_PEER_REKEYED] = {"peer.rekeyed", "a new key is in use; the old one is revoked",
                             LOG_LEVEL_INFO, F(PEER) | F(VIP),
                             "The first handshake with a key of peer rotate is done: it takes the "
                             "place of the old one."},
    [NOTICE_VIP_WITHHELD] = {"vip.withheld", "this member does not bid for a VIP", LOG_LEVEL_INFO,
                             F(VIP) | F(REASON) | F(MS),
                             "By its weight it leaves the VIP to any sibling in sync, for so long; "
                             "it still serves when there is none."},
    [NOTICE_VIP_CANDIDATE] = {"vip.candidate", "this member bids for the VIP again", LOG_LEVEL_INFO,
                              F(VIP), "What *vip.withheld* told of is over."},
};

const struct notice_reason_info notice_reasons[NOTICE_REASONS] = {
    [REASON_NONE] = {"none", "no reason is known", ""},
    [REASON_ADDRESS_GONE] = {"address-gone", "the address left the interface",
                             "look at keepalived's log on both members"},
    [REASON_KEEPALIVED_GONE] = {"keepalived-gone", "keepalived does not run",
                                "start keepalived (systemctl status keepalived)"},
    [REASON_FIFO_BACKUP] = {"fifo-backup", "keepalived became BACKUP",
                            "normal when another member took over"},
    [REASON_FIFO_FAULT] = {"fifo-fault", "keepalived is in FAULT",
                           "an interface is down or the health file is gone: see keepalived's log"},
    [REASON_FIFO_STOP] = {"fifo-stop", "keepalived was stopped", "start keepalived again"},
    [REASON_FIFO_SPLIT] = {"fifo-split", "another master was heard on the LAN",
                           "look for lost VRRP adverts between the members"},
    [REASON_HANDED_OVER] = {"handed-over", "a planned move gave the VIP to another member",
                            "nothing: guardmount status tells who has it"},
    [REASON_ENGINE] = {"engine", "this member is not able to serve, or ends",
                       "see guardmount health and the daemon's log"},
    [REASON_OTHER] = {"other", "another cause", "see the daemon's log"},
    [REASON_STALE_STAMP] = {"stale-stamp",
                            "the timestamp is not later than the last one that was accepted",
                            "a copy of an old packet; or the peer's clock went back: set it, or "
                            "give the peer a new key"},
    [REASON_TOO_SOON] = {"too-soon", "two initiations within 20 ms",
                         "one peer's key is perhaps used on two devices"},
    [REASON_WRONG_MEMBER] = {"wrong-member", "this member does not own the VIP",
                             "normal during a takeover; else look where the VIP is "
                             "(guardmount status)"},
    [REASON_NOT_READY] = {"not-ready", "this member is not ready to serve",
                          "see guardmount health"},
    [REASON_RESUMING] = {"resuming", "this member stood still and asks its siblings first",
                         "it passes by itself; look for an overloaded or suspended machine"},
    [REASON_BAD_AUTH] = {"bad-auth", "the message does not authenticate",
                         "compare the hub's public key and the preshared key on both sides"},
    [REASON_UNKNOWN_PEER] = {"unknown-peer", "no active peer has this public key",
                             "add the peer, or enable it; a revoked one needs a new key"},
    [REASON_RATE_LIMITED] = {"rate-limited", "too many handshakes from this address under load",
                             "it passes by itself; look for a flood"},
    [REASON_NO_MEMORY] = {"no-memory", "there is no memory for another session",
                          "give the machine more memory, or raise LimitMEMLOCK"},
    [REASON_DIRTY] = {"dirty", "its owner accepted packets that were not yet replicated",
                      "look at the sync link's lag (guardmount status)"},
    [REASON_OUTDATED] = {"outdated", "its owner reconnected and has not sent it again",
                         "it passes when the members are in sync"},
    [REASON_INDEX_COLLISION] = {"index-collision", "its receiver index is in use here",
                                "a coincidence; nothing is to be done"},
    [REASON_QUARANTINE] = {"quarantine", "this member cannot prove what it sent before its start",
                           "it passes nine minutes after the start"},
    [REASON_TOO_OLD] = {"too-old", "it is too old, or its owner was silent for too long",
                        "look at the sync link (guardmount status)"},
    [REASON_REPLAY] = {"replay", "the packet's counter was seen before",
                       "a copy of a packet: a duplicating network, or a replay"},
    [REASON_EXPIRED] = {"expired", "the session is older than 180 seconds",
                        "the peer should make a new one: its clock or network stands still"},
    [REASON_BELOW_CEILING] = {"below-ceiling",
                              "the packet may have been accepted before the takeover",
                              "normal for a moment after a takeover"},
    [REASON_SOURCE_NOT_ALLOWED] = {"source-not-allowed",
                                   "the inner source address is not one of the peer's AllowedIPs",
                                   "compare the peer's Address with its AllowedIPs here"},
    [REASON_NOT_ADOPTABLE] = {"not-adoptable", "the session could not be taken over",
                              "the hub makes a new one; see session.refused"},
    [REASON_HOLD_DOWN] = {"hold-down", "it came back, and has to be stable for HoldDown first",
                          "nothing; guardmount promote gives it the VIP now"},
    [REASON_FLAPPING] = {"flapping", "it lost the VIP, or its health, too often within FlapWindow",
                         "look for vip.released events and their reasons; guardmount promote gives "
                         "it the VIP now"},
};

const struct notice_field_info notice_fields[NOTICE_FIELDS] = {
    [NOTICE_FIELD_PEER] = {"peer", "public key of the peer, base64", false},
    [NOTICE_FIELD_VIP] = {"vip", "name of the VIP", false},
    [NOTICE_FIELD_MEMBER] = {"member", "number of a sibling; 0: nobody known", true},
    [NOTICE_FIELD_ENDPOINT] = {"endpoint", "outer address and port of the peer", false},
    [NOTICE_FIELD_ROLE] = {"role", "of this member in the handshake: *initiator* or *responder*",
                           false},
    [NOTICE_FIELD_REASON] = {"reason", "one of the reasons below", false},
    [NOTICE_FIELD_EPOCH] = {"epoch", "counts the owners of the VIP", true},
    [NOTICE_FIELD_TERM] = {"term", "how often the session changed hands", true},
    [NOTICE_FIELD_ATTEMPTS] = {"attempts", "initiations sent", true},
    [NOTICE_FIELD_COUNT] = {"count", "how often", true},
    [NOTICE_FIELD_MS] = {"ms", "milliseconds", true},
};

const struct notice_kind_info *notice_kind_find(const char *name)
{
    for (unsigned i = 0; i < NOTICE_KINDS; i++)
        if (strcmp(notice_kinds[i].name, name) == 0)
            return &notice_kinds[i];
    return NULL;
}

const struct notice_field_info *notice_field_find(const char *name)
{
    for (unsigned i = 0; i < NOTICE_FIELDS; i++)
        if (strcmp(notice_fields[i].name, name) == 0)
            return &notice_fields[i];
    return NULL;
}

enum notice_reason notice_reason_find(const char *name)
{
    for (unsigned i = 0; i < NOTICE_REASONS; i++)
        if (strcmp(notice_reasons[i].name, name) == 0)
            return (enum notice_reason)i;
    return REASON_OTHER;
}

static_assert(NOTICE_VALUE_LEN > KEY_TEXT_LEN, "the longest value is an endpoint");

const char *notice_value(const struct notice *n, enum notice_field f, const char *vip_name,
                         char buf[NOTICE_VALUE_LEN])
{
    switch (f) {
    case NOTICE_FIELD_PEER:
        key_to_base64(n->peer.b, buf);
        break;
    case NOTICE_FIELD_VIP:
        snprintf(buf, NOTICE_VALUE_LEN, "%s", vip_name);
        break;
    case NOTICE_FIELD_MEMBER:
        snprintf(buf, NOTICE_VALUE_LEN, "%u", n->member);
        break;
    case NOTICE_FIELD_ENDPOINT:
        if (endpoint_is_set(&n->endpoint))
            endpoint_format(&n->endpoint, buf);
        else
            strcpy(buf, "-");
        break;
    case NOTICE_FIELD_ROLE:
        strcpy(buf, n->initiator ? "initiator" : "responder");
        break;
    case NOTICE_FIELD_REASON:
        snprintf(buf, NOTICE_VALUE_LEN, "%s", notice_reasons[n->reason].name);
        break;
    default:
        snprintf(buf, NOTICE_VALUE_LEN, "%" PRIu64, n->number);
        break;
    }
    return buf;
}

const char *notice_format(const struct notice *n, const char *vip_name, char buf[NOTICE_TEXT_LEN])
{
    const struct notice_kind_info *kind = &notice_kinds[n->kind];
    int len = snprintf(buf, NOTICE_TEXT_LEN, "event=%s", kind->name);

    for (unsigned f = 0; f < NOTICE_FIELDS && len < NOTICE_TEXT_LEN; f++) {
        char value[NOTICE_VALUE_LEN];

        if (kind->fields >> f & 1)
            len += snprintf(buf + len, (size_t)(NOTICE_TEXT_LEN - len), " %s=%s",
                            notice_fields[f].name, notice_value(n, f, vip_name, value));
    }
    return buf;
}
