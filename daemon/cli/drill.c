#include "cli/drill.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include <assert.h>
#include <inttypes.h>
#include <string.h>

/* A session that is younger than the step by less than this may have been there before. */
#define AGE_SLACK_MS 50

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

bool drill_in_sync(const struct drill *d, const struct status *s)
{
    const struct status_vip *v = drill_vip(d, s);

    for (unsigned i = 0; v && i < s->member_count; i++) {
        const struct status_member *m = &s->member[i];

        if (!m->self && strcmp(m->link, "live") == 0 && m->in_sync &&
            (v->owned ? !m->drained : m->id == v->owner))
            return true;
    }
    return false;
}

static const char *owner_name(const struct status *s, const struct status_vip *v)
{
    for (unsigned i = 0; i < s->member_count; i++)
        if (s->member[i].id == v->owner)
            return s->member[i].name;
    return "nobody";
}

const char *drill_objection(const struct drill *d, const struct status *s, char buf[DRILL_TEXT_MAX])
{
    const struct status_vip *v = drill_vip(d, s);

    if (!v)
        snprintf(buf, DRILL_TEXT_MAX, "there is no VIP '%s'; 'guardmount status' lists them",
                 d->vip);
    else if (!v->owned)
        snprintf(buf, DRILL_TEXT_MAX, "the VIP %s is at %s: run the drill there", d->vip,
                 owner_name(s, v));
    else if (v->drained)
        snprintf(buf, DRILL_TEXT_MAX, "the VIP %s is drained here; 'guardmount undrain' first",
                 d->vip);
    else if (!d->forced && !drill_in_sync(d, s))
        snprintf(buf, DRILL_TEXT_MAX,
                 "no sibling in sync could take the VIP %s; 'guardmount status' shows who is "
                 "missing, --force drills all the same",
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

void drill_event(struct drill *d, const struct control_event *e)
{
    struct drill_step *s = &d->step[d->step_count - 1];
    const char *peer = field(e, notice_fields[NOTICE_FIELD_PEER].name);
    uint64_t ms = e->real_ns > s->command_real_ns ? (e->real_ns - s->command_real_ns) / NS_PER_MS
                                                  : 0; /* the clock was set back */

    if (strcmp(field(e, notice_fields[NOTICE_FIELD_VIP].name), d->vip) != 0)
        return;
    if (is_named(e, s->away ? NOTICE_VIP_CLAIMED : NOTICE_VIP_OWNED)) {
        s->owner_ms = s->has_owner ? s->owner_ms : ms;
        s->has_owner = true;
    } else if (is_named(e, s->away ? NOTICE_SESSION_YIELDED : NOTICE_SESSION_ADOPTED)) {
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

    if (!step->away) /* its own handshakes are events */
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

void drill_end(struct drill *d, const char *to, uint64_t seen_ms, const char *reason)
{
    struct drill_step *s = &d->step[d->step_count - 1];

    s->arrived = to != NULL;
    snprintf(s->to, sizeof(s->to), "%s", to ? to : "");
    if (!s->has_owner)
        s->owner_ms = seen_ms;
    s->has_owner = s->arrived; /* a claim that did not last is none */
    for (unsigned i = 0; i < d->peer_count; i++)
        s->how[d->peer[i].step[d->step_count - 1].how]++;
    if (!s->arrived)
        snprintf(s->reason, sizeof(s->reason), "%s", reason);
    else if (s->owner_ms > d->max_ms)
        snprintf(s->reason, sizeof(s->reason), "it took %" PRIu64 " ms, more than %" PRIu64,
                 s->owner_ms, d->max_ms);
    else if (s->how[DRILL_REFUSED])
        snprintf(s->reason, sizeof(s->reason), "%u peer%s had no session afterwards",
                 s->how[DRILL_REFUSED], s->how[DRILL_REFUSED] == 1 ? "" : "s");
    else
        s->pass = true;
}

bool drill_passed(const struct drill *d)
{
    for (unsigned i = 0; i < d->step_count; i++)
        if (!d->step[i].pass)
            return false;
    return d->restored && d->step_count == 2 * d->repeat;
}
