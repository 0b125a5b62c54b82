/* Messages of the control socket, both ways: refused, or sound and the same when said again. */
#include "base/err.h"
#include "proto/control.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool holds)
{
    if (!holds)
        __builtin_trap();
}

static void sound(const char *text, size_t room)
{
    size_t len = strnlen(text, room);

    must(len < room);
    for (size_t i = 0; i < len; i++)
        must((unsigned char)text[i] >= 0x20 && text[i] != 0x7f);
}

static void request(const uint8_t *data, size_t len)
{
    struct control_request r, again;
    uint8_t *frame;

    if (control_decode_request(data, len, &r) < 0)
        return;
    must(r.kind == CONTROL_STATUS || r.kind == CONTROL_METRICS || r.kind == CONTROL_MOVE ||
         r.kind == CONTROL_EVENTS || r.kind == CONTROL_WHY || r.kind == CONTROL_PEER ||
         r.kind == CONTROL_BACKUP || r.kind == CONTROL_BATCH || r.kind == CONTROL_AUDIT ||
         r.kind == CONTROL_DRILL);
    must(r.wait_ms <= CONTROL_WAIT_MAX_MS);
    sound(r.peer, sizeof(r.peer));
    must(control_encode_request(&r, &frame, &len) == 0);
    must(control_decode_request(frame + CONTROL_HEAD_LEN, len - CONTROL_HEAD_LEN, &again) == 0);
    must(again.kind == r.kind && again.hub == r.hub && again.peers == r.peers);
    must(again.after == r.after && strcmp(again.peer, r.peer) == 0);
    must(memcmp(&again.drill, &r.drill, sizeof(r.drill)) == 0);
    must(memcmp(&again.command, &r.command, sizeof(r.command)) == 0);
    must(again.batch_count == r.batch_count);
    for (unsigned i = 0; i < r.batch_count; i++)
        must(memcmp(&again.batch[i], &r.batch[i], sizeof(r.batch[i])) == 0);
    free(frame);
    control_request_done(&r);
    control_request_done(&again);
}

static void reply(const uint8_t *data, size_t len)
{
    struct control_reply r, again;
    uint8_t *frame;
    char labels[CONTROL_TEXT_MAX + 1];

    if (control_decode_reply(data, len, &r) < 0)
        return;
    must(r.status && r.error <= 0);
    must(r.status->member_count <= MEMBERS_MAX && r.status->vip_count <= VIPS_MAX);
    sound(r.message, sizeof(r.message));
    sound(r.status->name, sizeof(r.status->name));
    for (unsigned i = 0; i < r.status->peer_count; i++) {
        sound(r.status->peer[i].name, sizeof(r.status->peer[i].name));
        status_labels(labels, "name", r.status->peer[i].name, NULL);
        sound(labels, sizeof(labels));
    }
    for (unsigned i = 0; r.events && i < r.events->count; i++)
        for (unsigned f = 0; f < r.events->event[i].field_count; f++)
            sound(r.events->event[i].field[f].value, sizeof(r.events->event[i].field[f].value));
    for (unsigned i = 0; r.audit && i < r.audit->count; i++)
        sound(r.audit->entry[i].text, sizeof(r.audit->entry[i].text));
    if (r.why)
        sound(r.why->refused.reason, sizeof(r.why->refused.reason));
    if (r.drill)
        sound(r.drill->interfaces, sizeof(r.drill->interfaces));
    must(control_encode_reply(&r, &frame, &len) == 0);
    must(control_decode_reply(frame + CONTROL_HEAD_LEN, len - CONTROL_HEAD_LEN, &again) == 0);
    must(again.status->peer_count == r.status->peer_count);
    must(again.status->metric_count == r.status->metric_count);
    must(again.openmetrics_len == r.openmetrics_len);
    must(!r.events == !again.events || r.events->count + r.events->last == 0);
    must(!r.drill || memcmp(r.drill, again.drill, sizeof(*r.drill)) == 0);
    must(!r.why || memcmp(r.why, again.why, sizeof(*r.why)) == 0);
    free(frame);
    control_reply_done(&r);
    control_reply_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    request(data, len);
    reply(data, len);
    return 0;
}
