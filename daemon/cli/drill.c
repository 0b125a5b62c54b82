#include "cli/drill.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A session that is younger than the step by less than this may have been there before. */
#define AGE_SLACK_MS 50

/* A peer without an answer for so long at the end of a step is gone. */
#define SILENT_MS 300
#define SILENT_QUESTIONS 10

const struct drill_method_info drill_methods[DRILL_METHODS] = {
    [METHOD_DRAIN] = {"drain", true, DRILL_FAULTS},
    [METHOD_STOP] = {"stop", false, DRILL_FAULT_STOP},
    [METHOD_KILL] = {"kill", false, DRILL_FAULT_KILL},
    [METHOD_FREEZE] = {"freeze", false, DRILL_FAULT_FREEZE},
    [METHOD_ISOLATE] = {"isolate", true, DRILL_FAULTS},
};

int drill_method_find(const char *name)
{
    for (int i = 0; i < DRILL_METHODS; i++)
        if (strcmp(drill_methods[i].name, name) == 0)
            return i;
    return -1;
}

struct drill *drill_new(void)
{
    return calloc(1, sizeof(struct drill));
}

void drill_free(struct drill *d)
{
    if (d)
        free(d->peer);
    free(d);
}

const char *drill_how_name(enum drill_how how)
{
    static const char *const names[] = {[DRILL_NOTHING] = "nothing",
                                        [DRILL_HOT] = "hot",
                                        [DRILL_HANDSHAKE] = "handshake",
                                        [DRILL_REFUSED] = "refused"};

    return names[how];
}

/* ---- before ---- */

const struct status_vip *drill_vip(const struct drill *d, const struct status *s)
{
    for (unsigned i = 0; i < s->vip_count; i++)
        if (strcmp(s->vip[i].name, d->vip) == 0)
            return &s->vip[i];
    return NULL;
}

static bool is_ready(const struct status_member *m)
{
    return !m->self && strcmp(m->link, "live") == 0 && m->in_sync;
}

bool drill_in_sync(const struct drill *d, const struct status *s)
{
    const struct status_vip *v = drill_vip(d, s);

    for (unsigned i = 0; v && i < s->member_count; i++) {
        const struct status_member *m = &s->member[i];

        if (is_ready(m) && (v->owned ? !m->drained : m->id == v->owner))
            return true;
    }
    return false;
}

bool drill_owner_back(const struct drill *d, const struct status *s)
{
    if (d->owner_id == s->id)
        return s->fit && drill_in_sync(d, s);
    for (unsigned i = 0; i < s->member_count; i++)
        if (s->member[i].id == d->owner_id && is_ready(&s->member[i]) && !s->member[i].drained)
            return true;
    return false;
}

/* Of the siblings of the owner the first one that could take the VIP. */
static uint8_t watcher(const struct status *s, const struct status_vip *v)
{
    uint8_t first = s->id;

    for (unsigned i = 0; i < s->member_count; i++)
        if (s->member[i].id != v->owner && is_ready(&s->member[i]) && !s->member[i].drained)
            first = MIN(first, s->member[i].id);
    return first;
}

bool drill_is_others(const struct drill *d, const struct status *s)
{
    const struct status_vip *v = drill_vip(d, s);

    if (!v)
        return false;
    if (drill_methods[d->method].at_owner)
        return !v->owned;
    return v->owned || watcher(s, v) != s->id;
}

static const char *owner_name(const struct status *s, const struct status_vip *v)
{
    for (unsigned i = 0; i < s->member_count; i++)
        if (s->member[i].id == v->owner)
            return s->member[i].name;
    return "nobody";
}

/* Where a drill of the owner's own fault could run. */
static const char *sibling_name(const struct status *s)
{
    for (unsigned i = 0; i < s->member_count; i++)
        if (is_ready(&s->member[i]))
            return s->member[i].name;
    return "none is in sync now";
}

const char *drill_objection(const struct drill *d, const struct status *s, char buf[DRILL_TEXT_MAX])
{
    const struct status_vip *v = drill_vip(d, s);
    bool at_owner = drill_methods[d->method].at_owner;

    if (!v)
        snprintf(buf, DRILL_TEXT_MAX, "there is no VIP '%s'; 'guardmount status' lists them",
                 d->vip);
    else if (at_owner && !v->owned)
        snprintf(buf, DRILL_TEXT_MAX, "the VIP %s is at %s: run the drill there", d->vip,
                 owner_name(s, v));
    else if (!at_owner && v->owned)
        snprintf(buf, DRILL_TEXT_MAX,
                 "the VIP %s is here, and no member can watch its own daemon fail: run the drill "
                 "on a sibling in sync (%s)",
                 d->vip, sibling_name(s));
    else if (!v->owned && !v->owner)
        snprintf(buf, DRILL_TEXT_MAX, "nobody has the VIP %s", d->vip);
    else if (v->drained)
        snprintf(buf, DRILL_TEXT_MAX, "the VIP %s is drained here; 'guardmount undrain' first",
                 d->vip);
    else if (!d->forced && !drill_in_sync(d, s))
        snprintf(buf, DRILL_TEXT_MAX,
                 at_owner ? "no sibling in sync could take the VIP %s; 'guardmount status' shows "
                            "who is missing, --force drills all the same"
                          : "this member is not in sync with the owner of the VIP %s; 'guardmount "
                            "status' shows why, --force drills all the same",
                 d->vip);
    else
        return NULL;
    return buf;
}

int drill_add_peers(struct drill *d, const struct status *s)
{
    d->peer = calloc(MIN(s->peer_count, DRILL_PEERS_MAX) + 1, sizeof(*d->peer));
    if (!d->peer)
        return -ENOMEM;
    const struct status_vip *v = drill_vip(d, s);

    d->owner_id = v->owned ? s->id : v->owner;
    snprintf(d->owner, sizeof(d->owner), "%s", v->owned ? s->name : owner_name(s, v));
    d->peers_cut = s->peers_cut;
    for (unsigned i = 0; i < s->peer_count; i++) {
        if (s->peer[i].vip != d->vip_id)
            continue;
        if (d->peer_count == DRILL_PEERS_MAX) {
            d->peers_cut = true;
            break;
        }
        struct drill_peer *p = &d->peer[d->peer_count++];
        key_to_base64(s->peer[i].public_key.b, p->key);
        snprintf(p->name, sizeof(p->name), "%s", s->peer[i].name);
    }
    return 0;
}

/* ---- a step ---- */

void drill_begin(struct drill *d, bool away, const char *from, uint64_t real_ns)
{
    struct drill_step *s = &d->step[d->step_count++];

    assert(d->step_count <= DRILL_STEPS_MAX);
    s->away = away;
    s->here = drill_methods[d->method].at_owner ? !away : away;
    s->command_real_ns = real_ns;
    snprintf(s->from, sizeof(s->from), "%s", from);
}

static const char *field(const struct control_event *e, const char *key)
{
    for (unsigned i = 0; i < e->field_count; i++)
        if (strcmp(e->field[i].key, key) == 0)
            return e->field[i].value;
    return "";
}

static struct drill_cell *cell_of(struct drill *d, const char *key)
{
    for (unsigned i = 0; i < d->peer_count; i++)
        if (strcmp(d->peer[i].key, key) == 0)
            return &d->peer[i].step[d->step_count - 1];
    return NULL;
}

/* A session that moved stays the answer, whatever follows; a handshake mends a refusal. */
static void recovered(struct drill *d, const char *key, enum drill_how how, const uint64_t *ms)
{
    struct drill_cell *c = cell_of(d, key);

    if (!c || c->how == DRILL_HOT || c->how == DRILL_HANDSHAKE || c->how == how)
        return;
    c->how = how;
    c->has_ms = ms != NULL;
    c->ms = ms ? *ms : 0;
}

static bool is_named(const struct control_event *e, enum notice_kind kind)
{
    return strcmp(e->name, notice_kinds[kind].name) == 0;
}

static void detected(struct drill_step *s, uint64_t ms)
{
    s->detect_ms = s->has_detect ? s->detect_ms : ms;
    s->has_detect = true;
}

void drill_event(struct drill *d, const struct control_event *e)
{
    struct drill_step *s = &d->step[d->step_count - 1];
    const char *peer = field(e, notice_fields[NOTICE_FIELD_PEER].name);
    uint64_t ms = e->real_ns > s->command_real_ns ? (e->real_ns - s->command_real_ns) / NS_PER_MS
                                                  : 0; /* the clock was set back */

    if (is_named(e, NOTICE_MEMBER_LOST) && s->away && s->here &&
        strtoul(field(e, notice_fields[NOTICE_FIELD_MEMBER].name), NULL, 10) == d->owner_id)
        detected(s, ms);
    if (strcmp(field(e, notice_fields[NOTICE_FIELD_VIP].name), d->vip) != 0)
        return;
    if (is_named(e, s->here ? NOTICE_VIP_OWNED : NOTICE_VIP_CLAIMED)) {
        s->owner_ms = s->has_owner ? s->owner_ms : ms;
        s->has_owner = true;
        detected(s, ms);
    } else if (is_named(e, s->here ? NOTICE_SESSION_ADOPTED : NOTICE_SESSION_YIELDED)) {
        s->first_ms = s->has_first ? s->first_ms : ms;
        s->has_first = true;
        s->sessions++;
        recovered(d, peer, DRILL_HOT, &ms);
    } else if (is_named(e, NOTICE_SESSION_REFUSED)) {
        s->refused++;
        recovered(d, peer, DRILL_REFUSED, &ms);
    } else if (is_named(e, NOTICE_HANDSHAKE_DONE)) {
        s->handshakes++;
        recovered(d, peer, DRILL_HANDSHAKE, &ms);
    }
}

void drill_missed(struct drill *d, uint64_t count)
{
    d->step[d->step_count - 1].missed += count;
}

void drill_sessions(struct drill *d, const struct status *s, uint64_t real_ns)
{
    struct drill_step *step = &d->step[d->step_count - 1];
    uint64_t since_ms =
        real_ns > step->command_real_ns ? (real_ns - step->command_real_ns) / NS_PER_MS : 0;
    char key[48];

    if (step->here) /* its own handshakes are events */
        return;
    for (unsigned i = 0; i < s->peer_count; i++) {
        const struct status_peer *p = &s->peer[i];

        for (unsigned k = 0; p->vip == d->vip_id && k < p->session_count; k++)
            if (strcmp(p->session[k].slot, "current") == 0 && !p->session[k].owned &&
                p->session[k].age_ms + AGE_SLACK_MS < since_ms) {
                step->handshakes++;
                key_to_base64(p->public_key.b, key);
                recovered(d, key, DRILL_HANDSHAKE, NULL);
            }
    }
}

void drill_traffic(struct drill *d, const struct status *s, uint64_t after_ms)
{
    struct drill_step *step = after_ms ? &d->step[d->step_count - 1] : NULL;
    char key[48];

    if (step && !step->here)
        return; /* not our traffic */
    for (unsigned i = 0, k = 0; i < s->peer_count && d->peer_count; i++) {
        if (s->peer[i].vip != d->vip_id)
            continue;
        key_to_base64(s->peer[i].public_key.b, key);
        for (unsigned n = 0; n < d->peer_count && strcmp(d->peer[k].key, key) != 0; n++)
            k = (k + 1) % d->peer_count; /* they come in the same order, as a rule */
        struct drill_peer *p = &d->peer[k];
        if (strcmp(p->key, key) != 0)
            continue;
        if (!step) {
            p->rx_bytes = s->peer[i].rx_bytes;
        } else if (s->peer[i].rx_bytes > p->rx_bytes && !p->step[d->step_count - 1].has_data) {
            p->step[d->step_count - 1].has_data = true;
            p->step[d->step_count - 1].data_ms = after_ms;
        }
    }
}

void drill_answers(struct drill *d, const struct control_drill *c, uint64_t before_ms)
{
    struct drill_step *s = &d->step[d->step_count - 1];
    char key[48];

    for (unsigned i = 0; i < c->peer_count; i++) {
        const struct control_drill_peer *p = &c->peer[i];

        key_to_base64(p->key.b, key);
        struct drill_cell *cell = cell_of(d, key);
        if (!cell || !p->answered)
            continue; /* it does not answer such questions: its traffic tells */
        cell->asked = true;
        cell->gap_ms = p->gap_ms;
        cell->gap_from_ms = (int64_t)p->gap_from_ms - (int64_t)before_ms;
        cell->lost = p->lost;
        cell->answered = p->answered;
        cell->silent = p->silent_ms > MAX(SILENT_MS, SILENT_QUESTIONS * c->every_ms);
        cell->again_ms = p->lost ? cell->gap_from_ms + (int64_t)p->gap_ms : 0;
        if (cell->silent && p->silent_ms > p->gap_ms) {
            cell->gap_ms = p->silent_ms;
            cell->gap_from_ms = (int64_t)c->age_ms - (int64_t)(p->silent_ms + before_ms);
        }
        s->asked++;
        s->gap_ms = MAX(s->gap_ms, cell->gap_ms);
        s->lost = MAX(s->lost, p->lost);
        s->silent += cell->silent;
    }
}

/* Of a peer that is asked the end of its gap, of another one its traffic. */
static void find_first_packet(const struct drill *d, struct drill_step *s)
{
    for (unsigned i = 0; i < d->peer_count; i++) {
        const struct drill_cell *c = &d->peer[i].step[d->step_count - 1];
        uint64_t ms = c->asked ? (uint64_t)MAX(c->again_ms, 0) : c->has_data ? c->data_ms : 0;

        if (!ms)
            continue;
        s->packet_ms = s->has_packet ? MIN(s->packet_ms, ms) : ms;
        s->has_packet = true;
    }
}

/* Empty: it is fine. */
static void judge(const struct drill *d, struct drill_step *s)
{
    const unsigned refused = s->how[DRILL_REFUSED];

    if (s->has_owner && s->owner_ms > d->max_ms)
        snprintf(s->reason, sizeof(s->reason), "it took %" PRIu64 " ms, more than %" PRIu64,
                 s->owner_ms, d->max_ms);
    else if (refused)
        snprintf(s->reason, sizeof(s->reason), "%u peer%s had no session afterwards", refused,
                 refused == 1 ? "" : "s");
    else if (s->silent)
        snprintf(s->reason, sizeof(s->reason), "%u peer%s did not answer any more", s->silent,
                 s->silent == 1 ? "" : "s");
    else if (s->gap_ms > d->max_gap_ms)
        snprintf(s->reason, sizeof(s->reason),
                 "a peer was without an answer for %" PRIu64 " ms, more than %" PRIu64, s->gap_ms,
                 d->max_gap_ms);
    else if (s->lost > d->max_lost)
        snprintf(s->reason, sizeof(s->reason),
                 "%" PRIu64 " questions to a peer had no answer, more than %" PRIu64, s->lost,
                 d->max_lost);
}

void drill_end(struct drill *d, const char *to, uint64_t seen_ms, const char *reason)
{
    struct drill_step *s = &d->step[d->step_count - 1];

    s->arrived = to != NULL;
    snprintf(s->to, sizeof(s->to), "%s", to ? to : "");
    if (!s->has_owner)
        s->owner_ms = seen_ms;
    s->has_owner = s->arrived && !s->returned; /* a claim that did not last is none */
    s->has_detect = s->has_detect && !s->returned;
    s->has_first = s->has_first && !s->returned; /* there was no command */
    for (unsigned i = 0; i < d->peer_count; i++)
        s->how[d->peer[i].step[d->step_count - 1].how]++;
    if (!s->returned)
        find_first_packet(d, s);
    if (s->arrived)
        judge(d, s);
    else
        snprintf(s->reason, sizeof(s->reason), "%s", reason);
    s->pass = !*s->reason;
}

const char *drill_action(const struct drill *d, const struct drill_step *s)
{
    return s->away ? drill_methods[d->method].name : s->returned ? "returned" : "promote";
}

bool drill_passed(const struct drill *d)
{
    for (unsigned i = 0; i < d->step_count; i++)
        if (!d->step[i].pass)
            return false;
    return d->restored && d->step_count == 2 * d->repeat;
}
