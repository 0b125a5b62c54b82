#include "proto/control_peer.h"
#include "base/err.h"
#include "base/secret.h"
#include "model/endpoint.h"
#include "proto/control_see.h"

/* ---- the command ---- */

void command_put(struct wire_command *out, const struct peer_command *c)
{
    Guardmount__PeerCommand *w = &out->command;

    guardmount__peer_command__init(w);
    w->texts = out->texts;
    for (unsigned t = 0; t < PEER_TEXTS; t++) {
        if (!c->has_text[t])
            continue;
        Guardmount__PeerText *text = &out->text[w->n_texts];
        guardmount__peer_text__init(text);
        text->kind = (Guardmount__PeerTextKind)t;
        text->text = (char *)c->text[t];
        out->texts[w->n_texts++] = text;
    }
    w->is_group = c->is_group;
    w->has_disabled = c->has_disabled;
    w->has_pending = c->has_pending;
    w->no_endpoint = c->no_endpoint;
    w->has_group = c->has_group;
    w->group = (char *)c->group;
    w->has_expires = c->has_expires;
    w->expires_s = c->expires_s;
    w->pending = c->pending;
    w->cancel = c->cancel;
    w->vip = (char *)c->vip;
    w->has_mtu = c->has_mtu;
    w->mtu = c->mtu;
    w->has_policy = c->has_policy;
    w->policy = c->policy;
    w->verb = (Guardmount__PeerVerb)c->verb;
    w->peer = (char *)c->peer;
    if (c->has_key)
        w->public_key = (ProtobufCBinaryData){sizeof(c->key.b), (uint8_t *)c->key.b};
    w->name = (char *)c->name;
    if (c->has_psk)
        w->psk = (ProtobufCBinaryData){sizeof(c->psk), (uint8_t *)c->psk};
    w->has_keepalive = c->has_keepalive;
    w->keepalive_s = c->keepalive_s;
    w->has_allowed = c->has_allowed;
    w->allowed = (char *)c->allowed;
    w->address_auto = c->address_auto;
    w->reinstate = c->reinstate;
    w->overlap = c->overlap;
    w->gone = c->gone;
    w->endpoint = (char *)c->endpoint;
    w->disabled = c->disabled;
    w->secrets = c->secrets;
}

/* A name that cannot be shown as it is would be another one: refused, not mended. */
static bool take_name(char *field, size_t room, const char *text)
{
    control_text(field, room, text);
    return strcmp(field, text) == 0;
}

int command_take(const Guardmount__PeerCommand *w, struct peer_command *ret)
{
    bool good = w && (unsigned)w->verb < PEER_VERBS && w->keepalive_s <= UINT16_MAX &&
                (!w->public_key.len || w->public_key.len == sizeof(ret->key.b)) &&
                (!w->psk.len || w->psk.len == sizeof(ret->psk)) &&
                strlen(w->allowed) < sizeof(ret->allowed);

    if (!good || !take_name(ret->peer, sizeof(ret->peer), w->peer) ||
        !take_name(ret->name, sizeof(ret->name), w->name) ||
        !take_name(ret->endpoint, sizeof(ret->endpoint), w->endpoint) ||
        !take_name(ret->group, sizeof(ret->group), w->group) ||
        !take_name(ret->vip, sizeof(ret->vip), w->vip) || w->mtu > UINT16_MAX ||
        w->policy > POLICY_ISOLATE)
        return -EBADMSG;
    for (size_t i = 0; i < w->n_texts; i++) {
        unsigned kind = w->texts[i]->kind;

        if (kind >= PEER_TEXTS)
            continue; /* of a later version */
        if (!take_name(ret->text[kind], sizeof(ret->text[kind]), w->texts[i]->text))
            return -EBADMSG;
        ret->has_text[kind] = true;
    }
    ret->is_group = w->is_group;
    ret->has_disabled = w->has_disabled;
    ret->has_pending = w->has_pending;
    ret->no_endpoint = w->no_endpoint;
    ret->has_group = w->has_group;
    ret->has_expires = w->has_expires;
    ret->expires_s = w->expires_s;
    ret->pending = w->pending;
    ret->cancel = w->cancel;
    ret->has_mtu = w->has_mtu;
    ret->mtu = (uint16_t)w->mtu;
    ret->has_policy = w->has_policy;
    ret->policy = (enum peer_policy)w->policy;
    ret->verb = (enum peer_verb)w->verb;
    ret->has_key = w->public_key.len;
    if (ret->has_key)
        memcpy(ret->key.b, w->public_key.data, sizeof(ret->key.b));
    ret->has_psk = w->psk.len;
    if (ret->has_psk)
        memcpy(ret->psk, w->psk.data, sizeof(ret->psk));
    ret->has_keepalive = w->has_keepalive;
    ret->keepalive_s = (uint16_t)w->keepalive_s;
    ret->has_allowed = w->has_allowed;
    strcpy(ret->allowed, w->allowed);
    ret->address_auto = w->address_auto;
    ret->reinstate = w->reinstate;
    ret->overlap = w->overlap;
    ret->gone = w->gone;
    ret->disabled = w->disabled;
    ret->secrets = w->secrets;
    return 0;
}

Guardmount__PeerCommand **commands_put(const struct peer_command *c, unsigned count)
{
    size_t each = sizeof(struct wire_command) + sizeof(Guardmount__PeerCommand *);
    Guardmount__PeerCommand **w = calloc(count + 1, each);
    struct wire_command *one = (struct wire_command *)(w + count);

    for (unsigned i = 0; w && i < count; i++) {
        command_put(&one[i], &c[i]);
        w[i] = &one[i].command;
    }
    return w;
}

int commands_take(Guardmount__PeerCommand *const *w, size_t count, struct peer_command **ret,
                  unsigned *ret_count)
{
    struct peer_command *c;
    int r = 0;

    if (!count || count > CONTROL_BATCH_MAX)
        return -EBADMSG;
    c = calloc(count, sizeof(*c));
    if (!c)
        return -ENOMEM;
    for (size_t i = 0; r >= 0 && i < count; i++)
        r = command_take(w[i], &c[i]);
    if (r < 0) {
        secret_wipe(c, count * sizeof(*c));
        free(c);
        return r;
    }
    *ret = c;
    *ret_count = (unsigned)count;
    return 0;
}

/* ---- rows ---- */

struct peer_rows *peer_rows_new(void)
{
    return calloc(1, sizeof(struct peer_rows));
}

void peer_rows_free(struct peer_rows *r)
{
    for (unsigned i = 0; r && i < r->count; i++) {
        for (unsigned n = 0; n < r->row[i].allowed_count; n++)
            free(r->row[i].allowed[n]);
        free(r->row[i].allowed);
        for (unsigned t = 0; t < PEER_TEXTS; t++)
            free(r->row[i].text[t]);
    }
    if (r && r->row)
        secret_wipe(r->row, r->room * sizeof(*r->row));
    if (r)
        free(r->row);
    free(r);
}

struct peer_row *peer_rows_add(struct peer_rows *r, unsigned allowed)
{
    if (r->count == r->room) {
        unsigned room = r->room ? 2 * r->room : 16;
        struct peer_row *more = calloc(room, sizeof(*more));

        if (!more)
            return NULL;
        if (r->row) { /* realloc() would leave preshared keys behind */
            memcpy(more, r->row, r->count * sizeof(*more));
            secret_wipe(r->row, r->count * sizeof(*more));
            free(r->row);
        }
        r->row = more;
        r->room = room;
    }
    struct peer_row *row = &r->row[r->count];
    *row = (struct peer_row){.allowed = calloc(allowed + 1, sizeof(char *))};
    if (!row->allowed)
        return NULL;
    r->count++;
    return row;
}

int peer_row_allow(struct peer_row *row, const char *prefix)
{
    char *copy = strdup(prefix);

    if (!copy)
        return -ENOMEM;
    row->allowed[row->allowed_count++] = copy;
    return 0;
}

int peer_row_say(struct peer_row *row, enum peer_text which, const char *text)
{
    char *copy = *text ? strdup(text) : NULL;

    if (*text && !copy)
        return -ENOMEM;
    free(row->text[which]);
    row->text[which] = copy;
    return 0;
}

struct wire_row {
    Guardmount__PeerRow row;
    Guardmount__PeerText text[PEER_TEXTS], *texts[PEER_TEXTS];
};

static ProtobufCBinaryData key_bytes(bool there, const struct public_key *key)
{
    return (ProtobufCBinaryData){there ? sizeof(key->b) : 0, (uint8_t *)key->b};
}

static void put_row(struct wire_row *out, const struct peer_row *row)
{
    Guardmount__PeerRow *w = &out->row;

    guardmount__peer_row__init(w);
    w->texts = out->texts;
    for (unsigned t = 0; t < PEER_TEXTS; t++) {
        if (!row->text[t])
            continue;
        Guardmount__PeerText *text = &out->text[w->n_texts];
        guardmount__peer_text__init(text);
        text->kind = (Guardmount__PeerTextKind)t;
        text->text = row->text[t];
        out->texts[w->n_texts++] = text;
    }
    w->group = (char *)row->group;
    w->expires_s = row->expires_s;
    w->replaces = key_bytes(row->has_replaces, &row->replaces);
    w->next = key_bytes(row->has_next, &row->next);
    w->mtu = row->mtu;
    w->policy = row->policy;
    w->disabled = row->disabled;
    w->pending = row->pending;
    w->hub = row->hub;
    w->public_key = (ProtobufCBinaryData){sizeof(row->key.b), (uint8_t *)row->key.b};
    w->name = (char *)row->name;
    w->state = (char *)row->state;
    w->has_psk = row->has_psk;
    if (!secret_is_zero(row->psk, sizeof(row->psk)))
        w->psk = (ProtobufCBinaryData){sizeof(row->psk), (uint8_t *)row->psk};
    w->keepalive_s = row->keepalive_s;
    w->endpoint = (char *)row->endpoint;
    w->vip = row->vip;
    w->allowed = row->allowed;
    w->n_allowed = row->allowed_count;
    w->changed_real_ns = row->changed_real_ns;
    w->changed_by = row->changed_by;
    w->waiting = row->waiting;
}

Guardmount__PeerReply *rows_put(const struct peer_rows *r)
{
    size_t each = sizeof(struct wire_row) + sizeof(Guardmount__PeerRow *);
    Guardmount__PeerReply *w = calloc(1, sizeof(*w) + r->count * each);

    if (!w)
        return NULL;
    struct wire_row *row = (struct wire_row *)(w + 1);
    Guardmount__PeerRow **rows = (Guardmount__PeerRow **)(row + r->count);
    guardmount__peer_reply__init(w);
    for (unsigned i = 0; i < r->count; i++) {
        put_row(&row[i], &r->row[i]);
        rows[i] = &row[i].row;
    }
    w->rows = rows;
    w->n_rows = r->count;
    w->note = (char *)r->note;
    w->hub_public_key = (char *)r->hub_public_key;
    w->hub_endpoint = (char *)r->hub_endpoint;
    w->hub_mtu = r->hub_mtu;
    w->dns = (char *)r->dns;
    w->routes = (char *)r->routes;
    w->vip = (char *)r->vip;
    return w;
}

static int take_row(const Guardmount__PeerRow *w, struct peer_rows *r)
{
    struct peer_row *row;

    if (w->hub > HUB_ID_MAX || (w->psk.len && w->psk.len != sizeof(row->psk)) ||
        w->public_key.len != sizeof(row->key.b) || w->keepalive_s > UINT16_MAX ||
        w->vip > UINT16_MAX || w->changed_by > MEMBER_ID_MAX || w->mtu > UINT16_MAX ||
        (w->replaces.len && w->replaces.len != sizeof(row->key.b)) ||
        (w->next.len && w->next.len != sizeof(row->key.b)))
        return -EBADMSG;
    row = peer_rows_add(r, (unsigned)w->n_allowed);
    if (!row)
        return -ENOMEM;
    row->hub = (uint8_t)w->hub;
    memcpy(row->key.b, w->public_key.data, sizeof(row->key.b));
    text_to(row->name, w->name);
    text_to(row->state, w->state);
    row->has_psk = w->has_psk;
    if (w->psk.len)
        memcpy(row->psk, w->psk.data, sizeof(row->psk));
    row->keepalive_s = (uint16_t)w->keepalive_s;
    text_to(row->endpoint, w->endpoint);
    row->vip = (uint16_t)w->vip;
    row->changed_real_ns = w->changed_real_ns;
    row->changed_by = (uint8_t)w->changed_by;
    row->waiting = w->waiting;
    text_to(row->group, w->group);
    row->expires_s = w->expires_s;
    row->mtu = (uint16_t)w->mtu;
    row->policy = w->policy == POLICY_OPEN ? POLICY_OPEN : POLICY_ISOLATE;
    row->disabled = w->disabled;
    row->pending = w->pending;
    row->has_replaces = w->replaces.len;
    if (row->has_replaces)
        memcpy(row->replaces.b, w->replaces.data, sizeof(row->replaces.b));
    row->has_next = w->next.len;
    if (row->has_next)
        memcpy(row->next.b, w->next.data, sizeof(row->next.b));
    for (size_t i = 0; i < w->n_texts; i++) {
        char text[PEER_TEXT_MAX + 1];

        text_to(text, w->texts[i]->text);
        if ((unsigned)w->texts[i]->kind < PEER_TEXTS &&
            peer_row_say(row, (enum peer_text)w->texts[i]->kind, text) < 0)
            return -ENOMEM;
    }
    for (size_t i = 0; i < w->n_allowed; i++) {
        char text[PREFIX_TEXT_LEN];

        text_to(text, w->allowed[i]);
        if (peer_row_allow(row, text) < 0)
            return -ENOMEM;
    }
    return 0;
}

int rows_take(const Guardmount__PeerReply *w, struct peer_rows **ret)
{
    struct peer_rows *r = peer_rows_new();
    int err = r ? 0 : -ENOMEM;

    for (size_t i = 0; err >= 0 && i < w->n_rows; i++)
        err = take_row(w->rows[i], r);
    if (err < 0) {
        peer_rows_free(r);
        return err;
    }
    text_to(r->note, w->note);
    text_to(r->hub_public_key, w->hub_public_key);
    text_to(r->hub_endpoint, w->hub_endpoint);
    r->hub_mtu = w->hub_mtu;
    text_to(r->dns, w->dns);
    text_to(r->routes, w->routes);
    text_to(r->vip, w->vip);
    *ret = r;
    return 0;
}
