#include "proto/msg.h"
#include "base/err.h"
#include "base/secret.h"
#include <stdlib.h>

static const char *const names[SYNC_KINDS] = {
    [SYNC_HELLO] = "hello",
    [SYNC_HEARTBEAT] = "heartbeat",
    [SYNC_ACK] = "ack",
    [SYNC_SESSION] = "session",
    [SYNC_SESSION_GONE] = "session_gone",
    [SYNC_LIMIT] = "limit",
    [SYNC_ADOPTED] = "adopted",
    [SYNC_RELEASED] = "released",
    [SYNC_ENDPOINT] = "endpoint",
    [SYNC_STAMP] = "stamp",
    [SYNC_PEER] = "peer",
    [SYNC_CLAIM] = "claim",
    [SYNC_DIRTY] = "dirty",
    [SYNC_VECTOR] = "vector",
    [SYNC_SNAPSHOT_END] = "snapshot_end",
    [SYNC_MOVE] = "move",
    [SYNC_STRAY] = "stray",
    [SYNC_DRILL] = "drill",
    [SYNC_ASK] = "ask",
    [SYNC_LIMITS] = "limits",
};

const char *sync_kind_name(enum sync_kind k)
{
    return (unsigned)k < SYNC_KINDS ? names[k] : "unknown";
}

void sync_msg_clear(struct sync_msg *m)
{
    switch (m->kind) {
    case SYNC_SESSION:
        secret_free(TAKE_PTR(m->session.keys));
        break;
    case SYNC_PEER:
        peer_free(TAKE_PTR(m->peer));
        break;
    case SYNC_STRAY:
        free(TAKE_PTR(m->owned));
        m->stray.packet = NULL;
        break;
    case SYNC_LIMITS:
        free(TAKE_PTR(m->owned));
        m->limits = (struct sync_limits){0};
        break;
    case SYNC_DRILL:
        free(TAKE_PTR(m->owned));
        m->drill.answers = NULL;
        break;
    default:
        break;
    }
}
