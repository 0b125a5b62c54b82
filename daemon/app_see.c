/* What the operator's command is told of peers as they run: the rows of status, and why. */
#include "app_internal.h"
#include "base/bytes.h"
#include <string.h>

#define KEY_PREFIX_MIN 4 /* characters of a key that may stand for it */

static const char *const slots[] = {
    [SLOT_CURRENT] = "current", [SLOT_PREVIOUS] = "previous", [SLOT_NEXT] = "next"};

/* Member that serves the peers of a VIP, as far as known here; 0: nobody known. */
static uint8_t owner_of(const struct app *a, uint16_t slot)
{
    const struct failover *f = node_failover(a->node, slot);

    if (f && failover_owned(f))
        return a->cluster->conf->self;
    return f ? node_vip_claimant(a->node, slot) : 0;
}

static uint16_t vip_id(const struct app *a, uint16_t slot)
{
    const struct conf *conf = a->cluster->conf;

    return slot && slot <= conf->vip_count ? conf->vip[slot - 1].id : 0;
}

static void show_endpoint(const struct endpoint *e, char *ret, size_t room)
{
    char text[ENDPOINT_TEXT_LEN];

    snprintf(ret, room, "%s", endpoint_is_set(e) ? endpoint_format(e, text) : "");
}

static void fill_row(struct app *a, const struct wg_peer *p, const struct node_peer_facts *f,
                     struct status_peer *row)
{
    const struct peer *record = store_find(a->store, p->hub, &p->key);
    char text[PREFIX_TEXT_LEN];

    row->hub = p->hub;
    row->public_key = p->key;
    row->owner = owner_of(a, f->vip_slot);
    row->vip = vip_id(a, f->vip_slot);
    row->keepalive_s = atomic_load(&p->keepalive_s);
    row->handshake_real_ns = f->handshake_real_ns;
    row->rx_bytes = f->rx_bytes;
    row->tx_bytes = f->tx_bytes;
    show_endpoint(&f->endpoint, row->endpoint, sizeof(row->endpoint));
    for (unsigned i = 0; i < f->session_count; i++)
        status_add_session(row, slots[f->session[i].slot], f->session[i].term, f->session[i].owned,
                           f->session[i].age_ns / NS_PER_MS);
    if (!record)
        return;
    snprintf(row->name, sizeof(row->name), "%s", record->name);
    for (unsigned i = 0; i < record->allowed_count && i < CONTROL_ALLOWED_MAX; i++)
        status_add_allowed(row, prefix_format(&record->allowed[i], text));
}

void app_fill_peers(struct app *a, struct status *s, unsigned rows, struct instant now)
{
    struct status_hub *h = &s->hub[0];
    uint64_t cursor = 0;
    struct wg_peer *p;

    h->has_peers_with_session = true;
    while ((p = node_peer_next(a->node, &cursor))) {
        struct node_peer_facts f;
        struct status_peer *row;

        node_peer_facts(a->node, p, now, &f);
        h->peers_with_session +=
            f.session_count && f.session[0].age_ns < 180 * NS_PER_S; /* REJECT_AFTER_TIME */
        if (s->peer_count < rows && (row = status_add_peer(s)))
            fill_row(a, p, &f, row);
        else
            s->peers_cut |= rows > 0;
    }
}

/* ---- why ---- */

/* By name, key or the beginning of a key. -ENOENT, -ENOTUNIQ. */
static int find_key(const struct app *a, const char *text, struct public_key *ret,
                    char message[CONTROL_MESSAGE_LEN])
{
    const struct peer *record, *found = NULL;
    size_t len = strlen(text);
    uint64_t cursor = 0;

    if (key_from_base64(text, ret->b))
        return 0;
    while ((record = store_next(a->store, &cursor))) {
        char key[KEY_TEXT_LEN + 1];

        key_to_base64(record->key.b, key);
        if (record->hub != a->cluster->hub->id || record->is_group ||
            (strcmp(record->name, text) != 0 &&
             (len < KEY_PREFIX_MIN || strncmp(key, text, len) != 0)))
            continue;
        if (found) {
            snprintf(message, CONTROL_MESSAGE_LEN,
                     "'%s' means more than one peer; use the public key", text);
            return -ENOTUNIQ;
        }
        found = record;
    }
    if (!found) {
        snprintf(message, CONTROL_MESSAGE_LEN,
                 "no peer is called '%s', and no key begins so%s; see guardmount status --peers",
                 text, len < KEY_PREFIX_MIN ? " (of a key four letters are needed)" : "");
        return -ENOENT;
    }
    *ret = found->key;
    return 0;
}

static void fill_fact(const struct app *a, const struct verdict_fact *f, struct control_fact *ret)
{
    if (!f->real_ns)
        return;
    ret->real_ns = f->real_ns;
    ret->count = f->count;
    ret->member = f->member;
    snprintf(ret->reason, sizeof(ret->reason), "%s", notice_reasons[f->reason].name);
    snprintf(ret->vip, sizeof(ret->vip), "%s", app_vip_name(a, f->vip));
    show_endpoint(&f->endpoint, ret->endpoint, sizeof(ret->endpoint));
}

static void fill_verdict(const struct app *a, const struct verdict *v, struct control_why *ret)
{
    fill_fact(a, &v->refused, &ret->refused);
    fill_fact(a, &v->data, &ret->data_refused);
    fill_fact(a, &v->session, &ret->session_refused);
    fill_fact(a, &v->answered, &ret->answered);
    fill_fact(a, &v->unanswered, &ret->unanswered);
}

static void fill_served(struct app *a, struct wg_peer *p, struct control_why *ret,
                        struct instant now)
{
    struct status_peer row = {0};
    struct node_peer_facts f;

    node_peer_facts(a->node, p, now, &f);
    fill_row(a, p, &f, &row);
    ret->served = true;
    ret->handshake_real_ns = f.handshake_real_ns;
    ret->stamp_real_ns = f.stamp_real_ns;
    ret->rx_bytes = f.rx_bytes;
    ret->tx_bytes = f.tx_bytes;
    ret->keepalive_s = row.keepalive_s;
    ret->attempts = f.attempts;
    ret->attempts_ms = f.attempts_age_ns / NS_PER_MS;
    memcpy(ret->endpoint, row.endpoint, sizeof(ret->endpoint));
    memcpy(ret->allowed, row.allowed, sizeof(ret->allowed));
    if (f.session_count && f.session[0].slot == SLOT_CURRENT) {
        ret->has_session = true;
        ret->session = row.session[0];
        ret->data_ms = f.session[0].data_age_ns / NS_PER_MS;
    }
    const struct failover *vip = node_failover(a->node, f.vip_slot);
    if (!vip)
        return;
    snprintf(ret->vip, sizeof(ret->vip), "%s", app_vip_name(a, row.vip));
    snprintf(ret->vip_state, sizeof(ret->vip_state), "%s", vip_state_name(vip->state));
    ret->vip_owned = failover_owned(vip);
    ret->owner = row.owner;
    snprintf(ret->owner_name, sizeof(ret->owner_name), "%s",
             row.owner ? a->cluster->conf->member[row.owner].name : "");
}

static const char *state_of(const struct peer *record)
{
    if (!record)
        return "unknown";
    return peer_enabled(record, app_now().real_ns / NS_PER_S) ? "active" : app_record_state(record);
}

/* As the fence takes it: a group that nobody knows reaches nothing. */
static void fill_group(const struct app *a, const struct peer *record, struct control_why *ret)
{
    const struct peer *group = app_group_find(a, record->group);

    snprintf(ret->group, sizeof(ret->group), "%s", record->group);
    ret->isolated = *record->group && (!group || group->policy != POLICY_OPEN);
    if (group)
        snprintf(ret->networks, sizeof(ret->networks), "%s", peer_text(group, PEER_NETWORKS));
}

int app_fill_why(void *ctx, const struct control_request *r, struct control_why *ret,
                 char ret_message[CONTROL_MESSAGE_LEN])
{
    struct app *a = ctx;
    struct instant now = app_now();
    int err = find_key(a, r->peer, &ret->key, ret_message);

    if (err < 0)
        return err;
    const struct peer *record = store_find(a->store, a->cluster->hub->id, &ret->key);
    const struct verdict *v = verdicts_find(a->cluster->verdicts, &ret->key);
    struct wg_peer *p = node_peer_find(a->node, &ret->key);

    ret->hub = a->cluster->hub->id;
    ret->now_real_ns = now.real_ns;
    ret->fit = node_fit(a->node);
    snprintf(ret->state, sizeof(ret->state), "%s", state_of(record));
    if (record) {
        snprintf(ret->name, sizeof(ret->name), "%s", record->name);
        fill_group(a, record, ret);
    }
    if (p)
        fill_served(a, p, ret, now);
    if (v || (v = verdicts_find(a->cluster->strangers, &ret->key)))
        fill_verdict(a, v, ret);
    return 0;
}
