/* Records of the store as the operator's command is shown them. */
#include "app_internal.h"
#include "base/bytes.h"
#include "base/secret.h"
#include <string.h>
#include <uthash.h>

const char *app_record_state(const struct peer *p)
{
    return p->state == PEER_REVOKED                        ? "revoked"
           : p->state == PEER_REMOVED                      ? "removed"
           : p->disabled                                   ? "disabled"
           : peer_expired(p, app_now().real_ns / NS_PER_S) ? "expired"
           : p->pending                                    ? "pending"
           : peer_is_heir(p)                               ? "next"
                                                           : "enabled";
}

const char *app_record_name(const struct peer *p)
{
    static char key[KEY_TEXT_LEN + 1];

    key_to_base64(p->key.b, key);
    return *p->name ? p->name : key;
}

const struct peer *app_heir_next(const struct app *a, const struct public_key *key,
                                 uint64_t *cursor)
{
    const struct peer *p;

    while ((p = store_next(a->store, cursor)))
        if (p->hub == a->cluster->hub->id && p->state == PEER_ACTIVE && peer_is_heir(p) &&
            public_key_equal(&p->replaces, key))
            return p;
    return NULL;
}

static int say_words(struct peer_row *row, const struct peer *p)
{
    char text[MAX(PREFIX_TEXT_LEN, ENDPOINT_TEXT_LEN)];

    snprintf(row->name, sizeof(row->name), "%s", p->name);
    snprintf(row->group, sizeof(row->group), "%s", p->group);
    snprintf(row->state, sizeof(row->state), "%s", app_record_state(p));
    if (endpoint_is_set(&p->endpoint))
        snprintf(row->endpoint, sizeof(row->endpoint), "%s", endpoint_format(&p->endpoint, text));
    for (unsigned t = 0; t < PEER_TEXTS; t++)
        if (peer_row_say(row, (enum peer_text)t, peer_text(p, (enum peer_text)t)) < 0)
            return -ENOMEM;
    for (unsigned i = 0; i < p->allowed_count; i++)
        if (peer_row_allow(row, prefix_format(&p->allowed[i], text)) < 0)
            return -ENOMEM;
    return 0;
}

int app_add_row(const struct app *a, struct peer_rows *rows, const struct peer *p, bool secrets)
{
    const struct peer *served = store_find(a->store, p->hub, &p->key);
    struct peer_row *row = peer_rows_add(rows, p->allowed_count);
    const struct version *last = &p->version[0];

    if (!row)
        return -ENOMEM;
    row->hub = p->hub;
    row->key = p->key;
    row->has_psk = p->psk != NULL;
    if (p->psk && secrets)
        memcpy(row->psk, p->psk->b, sizeof(row->psk));
    row->keepalive_s = p->keepalive_s;
    row->vip = p->vip;
    row->mtu = p->mtu;
    row->policy = p->policy == POLICY_OPEN ? POLICY_OPEN : POLICY_ISOLATE;
    row->expires_s = p->expires_s;
    row->disabled = p->disabled;
    row->pending = p->pending;
    row->has_replaces = peer_is_heir(p);
    row->replaces = p->replaces;
    for (unsigned f = 1; f < PEER_FIELDS; f++)
        if (version_compare(&p->version[f], last) > 0)
            last = &p->version[f];
    row->changed_real_ns = (last->hlc >> 16) * NS_PER_MS;
    row->changed_by = last->member;
    row->waiting = served ? p->allowed_count - served->allowed_count : 0;
    return say_words(row, p);
}

struct waiting {
    UT_hash_handle hh;
    const struct peer_row *row;
};

int app_rows_link(struct peer_rows *rows)
{
    struct waiting *all = calloc(rows->count + 1, sizeof(*all)), *by_old = NULL, *w;

    if (!all)
        return -ENOMEM;
    for (unsigned i = 0; i < rows->count; i++) {
        if (!rows->row[i].has_replaces)
            continue;
        all[i].row = &rows->row[i];
        HASH_ADD_KEYPTR(hh, by_old, &rows->row[i].replaces, sizeof(struct public_key), &all[i]);
    }
    for (unsigned i = 0; by_old && i < rows->count; i++) {
        HASH_FIND(hh, by_old, &rows->row[i].key, sizeof(struct public_key), w);
        if (!w)
            continue;
        rows->row[i].has_next = true;
        rows->row[i].next = w->row->key;
    }
    HASH_CLEAR(hh, by_old);
    free(all);
    return 0;
}

void app_describe_hub(const struct app *a, const struct peer *client, struct peer_rows *rows)
{
    const struct conf *conf = a->cluster->conf;
    const struct peer *group = client ? app_group_find(a, client->group) : NULL;
    const struct vip *vip = &conf->vip[0];
    char text[ENDPOINT_TEXT_LEN];

    if (node_identity(a->node))
        key_to_base64(node_identity(a->node)->public_key.b, rows->hub_public_key);
    rows->hub_mtu = group && group->mtu ? group->mtu : a->cluster->hub->mtu;
    if (group) {
        snprintf(rows->dns, sizeof(rows->dns), "%s", peer_text(group, PEER_DNS));
        snprintf(rows->routes, sizeof(rows->routes), "%s", peer_text(group, PEER_ROUTES));
    }
    for (unsigned i = 0; client && i < conf->vip_count; i++)
        if (conf->vip[i].id == client->vip)
            vip = &conf->vip[i];
    if (!conf->vip_count || !vip->outer_count)
        return;
    struct endpoint e = {.addr = vip->outer[0].addr, .port = vip->port};
    snprintf(rows->hub_endpoint, sizeof(rows->hub_endpoint), "%s", endpoint_format(&e, text));
    snprintf(rows->vip, sizeof(rows->vip), "%s", vip->name);
}
