/* `guardmount peer ...`: from the operator's words to a change of the node, and back to rows. What
 * is refused names the peer and says what to do. */
#include "app_internal.h"
#include "base/bytes.h"
#include "base/secret.h"
#include "model/addrpool.h"
#include <stdarg.h>
#include <string.h>
#include <uthash.h>

struct peer_call {
    struct list all;
    struct server_call *call;
    struct control_request asked; /* holds a PSK: wiped */
    struct public_key key;        /* of the peer, once it is known; of a rotation: the new one */
    struct public_key old;        /* of a rotation */
    struct names *names;          /* of a batch: of the active peers */
    const struct change *batch;   /* as far as it is built */
};

struct names {
    UT_hash_handle hh;
    const struct peer *peer;
};

/* ---- answers ---- */

static void names_free(struct peer_call *p)
{
    struct names *n, *next;

    HASH_ITER (hh, p->names, n, next) {
        HASH_DELETE(hh, p->names, n);
        free(n);
    }
}

static void call_free(struct peer_call *p)
{
    names_free(p);
    control_request_done(&p->asked);
    free(p);
}

static void refuse(struct peer_call *p, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void refuse(struct peer_call *p, int err, const char *format, ...)
{
    struct control_reply reply = {.error = err};
    size_t room = sizeof(reply.message), len = 0;
    va_list ap;

    if (p->batch)
        len = (size_t)snprintf(reply.message, room, "peer '%s': ", p->asked.command.peer);
    va_start(ap, format);
    vsnprintf(reply.message + len, room - len, format, ap);
    va_end(ap);
    server_reply(p->call, &reply);
    call_free(p);
}

static void answer(struct app *a, struct peer_call *p, const char *note)
{
    const struct peer_command *cmd = &p->asked.command;
    bool rotated = cmd->verb == PEER_ROTATE && !cmd->cancel;
    const struct public_key *key = rotated ? &p->old : &p->key;
    const struct peer *record = store_record(a->store, a->cluster->hub->id, key), *heir;
    struct control_reply reply = {.peers = peer_rows_new()};
    uint64_t cursor = 0;

    if (!reply.peers || (record && app_add_row(a, reply.peers, record, false) < 0)) {
        control_reply_done(&reply);
        refuse(p, -ENOMEM, "no memory for the answer; the change itself is done");
        return;
    }
    if (record && (heir = app_heir_next(a, key, &cursor))) {
        reply.peers->row[0].has_next = true;
        reply.peers->row[0].next = heir->key;
    }
    if (record && rotated) { /* as it will be, for the client's file */
        reply.peers->row[0].key = p->key;
        reply.peers->row[0].has_psk = !secret_is_zero(cmd->psk, sizeof(cmd->psk));
    }
    app_describe_hub(a, record, reply.peers);
    snprintf(reply.peers->note, sizeof(reply.peers->note), "%s", note);
    server_reply(p->call, &reply);
    call_free(p);
}

static void list_peers(struct app *a, struct peer_call *p)
{
    struct control_reply reply = {.peers = peer_rows_new()};
    const struct vector nothing = {0};
    const struct peer *record;
    uint64_t cursor = 0;
    int r = reply.peers ? 0 : -ENOMEM;

    if (p->asked.command.secrets)
        app_note(a, p->asked.actor, "secrets.read", "preshared keys of all peers");
    while (r >= 0 && (record = store_next_uncovered(a->store, &cursor, &nothing)))
        if (record->hub == a->cluster->hub->id && record->is_group == p->asked.command.is_group &&
            (record->state == PEER_ACTIVE || p->asked.command.gone))
            r = app_add_row(a, reply.peers, record, p->asked.command.secrets);
    if (r >= 0)
        r = app_rows_link(reply.peers);
    if (r < 0) {
        control_reply_done(&reply);
        refuse(p, -ENOMEM, "no memory for the list of peers");
        return;
    }
    app_describe_hub(a, NULL, reply.peers);
    server_reply(p->call, &reply);
    call_free(p);
}

/* ---- which peer ---- */

/* By its key, or by its name: of those that are active, else of those that were. -ENOTUNIQ. */
static int find_peer(const struct app *a, const char *text, const struct peer **ret)
{
    const struct peer *record, *found = NULL;
    struct public_key key;
    uint64_t cursor = 0;
    bool twice = false;

    if (key_from_base64(text, key.b)) {
        *ret = store_record(a->store, a->cluster->hub->id, &key);
        return *ret && !(*ret)->is_group ? 0 : -ENOENT;
    }
    while ((record = store_next(a->store, &cursor))) {
        bool better = found && found->state != PEER_ACTIVE && record->state == PEER_ACTIVE;

        if (record->hub != a->cluster->hub->id || record->is_group ||
            strcmp(record->name, text) != 0)
            continue;
        if (!found || better) {
            found = record;
            twice = false;
        } else {
            twice |= (found->state == PEER_ACTIVE) == (record->state == PEER_ACTIVE);
        }
    }
    if (!found)
        return -ENOENT;
    *ret = store_record(a->store, found->hub, &found->key);
    return twice ? -ENOTUNIQ : 0;
}

static const struct peer *active_by_name(const struct app *a, const struct peer_call *call,
                                         const char *name)
{
    const struct peer *p = NULL;
    struct names *n;

    if (call->batch) {
        HASH_FIND_STR(call->names, name, n);
        return n ? n->peer : NULL;
    }
    int r = *name ? find_peer(a, name, &p) : -ENOENT;

    return r != -ENOENT && p && p->state == PEER_ACTIVE && strcmp(p->name, name) == 0 ? p : NULL;
}

/* ---- prefixes ---- */

/* The name of another peer that has some address of @prefix, or of one before it in the batch. */
static const char *overlapping(const struct app *a, const struct peer_call *p,
                               const struct peer_change *pc, const struct ip_prefix *prefix)
{
    const struct peer *record = store_overlapping(a->store, a->cluster->hub->id, &pc->key, prefix);

    for (unsigned i = 0; !record && p->batch && &p->batch->peers[i] != pc; i++)
        for (unsigned n = 0; n < p->batch->peers[i].allowed_count; n++)
            if (prefix_overlaps(&p->batch->peers[i].allowed[n].prefix, prefix))
                return p->batch->peers[i].name;
    return record ? app_record_name(record) : NULL;
}

/* False: refused and answered. */
static bool take_allowed(struct app *a, struct peer_call *p, struct peer_change *pc)
{
    char list[CONTROL_PREFIXES_MAX + 1], *rest = list, *word;
    struct ip_prefix prefix;

    strcpy(list, p->asked.command.allowed);
    while ((word = strsep(&rest, ", "))) {
        const char *other;

        if (!*word)
            continue;
        if (prefix_parse(word, &prefix) < 0) {
            refuse(p, -EINVAL, "'%.60s' is no address or network; write 10.0.0.5 or 10.1.0.0/16",
                   word);
            return false;
        }
        other = p->asked.command.overlap ? NULL : overlapping(a, p, pc, &prefix);
        if (other) {
            refuse(p, -EADDRINUSE,
                   "%.60s overlaps with what peer '%s' has; take another, or say --overlap if the "
                   "narrower one is to win",
                   word, other);
            return false;
        }
        if (peer_change_allow(pc, &prefix, false) < 0) {
            refuse(p, -ENOMEM, "no memory");
            return false;
        }
    }
    return true;
}

/* False: refused and answered. */
static bool take_address(struct app *a, struct peer_call *p, struct peer_change *pc)
{
    const char *where;
    int r = app_take_address(a, pc, &where);

    if (r == -ENOSPC)
        refuse(p, r,
               "no address is free in the networks of %s; name one with --address, or widen the "
               "network",
               where);
    else if (r == -ENOENT)
        refuse(p, -ENOSPC, "[Hub] has no Address to take one from; name one with --address");
    else if (r < 0)
        refuse(p, r, "no memory");
    return r >= 0;
}

/* ---- changes ---- */

static void start(struct app *a, struct peer_call *p, struct change *c)
{
    list_append(&a->cluster->peer_calls, &p->all);
    memcpy(c->actor, p->asked.actor, sizeof(c->actor));
    node_change(a->node, c, p, app_now());
}

/* False: refused and answered. */
static bool take_vip(const struct app *a, struct peer_call *p, struct peer_change *pc)
{
    const struct conf *conf = a->cluster->conf;
    const char *word = p->asked.command.vip;
    char names[128] = "";
    size_t len = 0;

    pc->has_vip = true;
    if (strcmp(word, "0") == 0) /* whichever */
        return true;
    for (unsigned i = 0; i < conf->vip_count; i++) {
        char id[8];

        snprintf(id, sizeof(id), "%u", conf->vip[i].id);
        if (strcmp(word, conf->vip[i].name) == 0 || strcmp(word, id) == 0) {
            pc->vip = conf->vip[i].id;
            return true;
        }
        if (len < sizeof(names))
            len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s", i ? ", " : "",
                                    conf->vip[i].name);
    }
    refuse(p, -ENOENT, "there is no VIP '%s'; there is %s", word, names);
    return false;
}

/* What is noted of a peer, and how long it lasts. False: refused and answered. */
static bool take_notes(struct app *a, struct peer_call *p, struct peer_change *pc)
{
    const struct peer_command *c = &p->asked.command;
    const struct peer *group = app_group_find(a, c->group);

    if (c->has_group && *c->group && !group) {
        refuse(p, -ENOENT, "there is no group '%s'; 'guardmount group add %s' makes it", c->group,
               c->group);
        return false;
    }
    pc->has_group = c->has_group;
    snprintf(pc->group, sizeof(pc->group), "%s", c->group);
    if (c->verb == PEER_ADD && group && !c->has_keepalive && group->keepalive_s) {
        pc->has_keepalive = true;
        pc->keepalive_s = group->keepalive_s;
    }
    pc->has_expires = c->has_expires;
    pc->expires_s = c->expires_s;
    pc->has_pending = c->has_pending || c->pending;
    pc->pending = c->pending;
    if (*c->vip && !take_vip(a, p, pc))
        return false;
    for (unsigned t = 0; t < PEER_TEXTS; t++)
        if (c->has_text[t] && peer_change_text(pc, (enum peer_text)t, c->text[t]) < 0) {
            refuse(p, -ENOMEM, "no memory");
            return false;
        }
    return true;
}

static bool take_fields(struct app *a, struct peer_call *p, struct peer_change *pc)
{
    const struct peer_command *c = &p->asked.command;
    const char *name = c->verb == PEER_ADD ? c->peer : c->name;
    const struct peer *other = active_by_name(a, p, name);

    if (other && !public_key_equal(&other->key, &pc->key)) {
        refuse(
            p, -EEXIST,
            "a peer '%s' is there already; choose another name, or see 'guardmount peer show %s'",
            name, name);
        return false;
    }
    if (*name) {
        pc->has_name = true;
        snprintf(pc->name, sizeof(pc->name), "%s", name);
    }
    if (c->has_psk) {
        pc->has_psk = true;
        pc->psk = secret_alloc();
        if (!pc->psk) {
            refuse(p, -ENOMEM, "no memory for the preshared key");
            return false;
        }
        memcpy(pc->psk, c->psk, sizeof(c->psk));
    }
    if (*c->endpoint) {
        pc->has_endpoint = true;
        if (endpoint_parse(c->endpoint, &pc->endpoint) < 0) {
            refuse(p, -EINVAL,
                   "'%.70s' is no endpoint; write 192.0.2.1:51820 or [2001:db8::1]:51820",
                   c->endpoint);
            return false;
        }
    }
    pc->has_endpoint |= c->no_endpoint;
    pc->has_disabled = c->has_disabled || c->disabled;
    pc->disabled = c->disabled;
    pc->has_keepalive = c->has_keepalive;
    pc->keepalive_s = c->keepalive_s;
    pc->replace_allowed = c->has_allowed;
    return take_notes(a, p, pc) && (!c->has_allowed || take_allowed(a, p, pc)) &&
           (!c->address_auto || take_address(a, p, pc));
}

/* A key that a peer can be given. False: refused and answered. */
static bool key_is_free(struct app *a, struct peer_call *p, const struct public_key *key)
{
    const struct peer *was = store_record(a->store, a->cluster->hub->id, key);

    if (was && was->state == PEER_ACTIVE)
        refuse(p, -EEXIST, "that key is peer '%s' already; see 'guardmount peer set'",
               app_record_name(was));
    else if (was && was->state == PEER_REVOKED && !p->asked.command.reinstate)
        refuse(p, -EKEYREVOKED,
               "that key (peer '%s') was revoked; make a new one, or say --reinstate if it is safe",
               app_record_name(was));
    else
        return true;
    return false;
}

/* False: refused and answered. */
static bool fill_new(struct app *a, struct peer_call *p, struct peer_change *pc)
{
    const struct peer_command *cmd = &p->asked.command;
    uint8_t unused[32];

    pc->reinstate = cmd->reinstate;
    if (!*cmd->peer || key_from_base64(cmd->peer, unused))
        refuse(p, -EINVAL, "a peer needs a name that is not a key");
    else if (key_is_free(a, p, &pc->key))
        return take_fields(a, p, pc);
    return false;
}

static void add_peer(struct app *a, struct peer_call *p, struct change *c, struct peer_change *pc)
{
    if (fill_new(a, p, pc))
        start(a, p, c);
    else
        change_free(c);
}

/* ---- many at once ---- */

static int names_take(struct app *a, struct peer_call *p)
{
    const struct peer *record;
    uint64_t cursor = 0;

    while ((record = store_next(a->store, &cursor))) {
        struct names *n;

        if (record->hub != a->cluster->hub->id || record->state != PEER_ACTIVE ||
            record->is_group || !*record->name)
            continue;
        n = calloc(1, sizeof(*n));
        if (!n)
            return -ENOMEM;
        n->peer = record;
        HASH_ADD_KEYPTR(hh, p->names, record->name, strlen(record->name), n);
    }
    return 0;
}

/* What one peer alone would not be refused for. False: refused and answered. */
static bool fits_batch(struct peer_call *p, const struct peer_change *pc)
{
    const struct peer_command *cmd = &p->asked.command;

    if (cmd->verb != PEER_ADD || !cmd->has_key || cmd->address_auto) {
        refuse(p, -EINVAL, "many peers at once are added with their keys and addresses");
        return false;
    }
    for (const struct peer_change *o = p->batch->peers; o != pc; o++) {
        if (strcmp(o->name, cmd->peer) == 0) {
            refuse(p, -EEXIST, "two peers are called '%s'", o->name);
            return false;
        }
        if (public_key_equal(&o->key, &pc->key)) {
            refuse(p, -EEXIST, "peers '%s' and '%s' have the same key", o->name, cmd->peer);
            return false;
        }
    }
    return true;
}

/* All of them are one change: one transaction here, one message to each sibling. */
static void add_batch(struct app *a, struct peer_call *p)
{
    struct change *c = change_new(a->cluster->hub->id);

    p->batch = c;
    if (!c || names_take(a, p) < 0) {
        change_free(c);
        refuse(p, -ENOMEM, "no memory");
        return;
    }
    for (unsigned i = 0, count = p->asked.batch_count; i < count; i++) {
        struct peer_change *pc = change_add_peer(c, &p->asked.batch[i].key);

        p->asked.command = p->asked.batch[i];
        if (!pc)
            refuse(p, -ENOMEM, "no memory");
        if (!pc || !fits_batch(p, pc) || !fill_new(a, p, pc)) {
            change_free(c);
            return;
        }
    }
    names_free(p);
    p->batch = NULL;
    start(a, p, c);
}

/* ---- rotation ---- */

/* Whatever ends a peer ends the keys that wait to take its place. */
static int end_heirs(const struct app *a, const struct public_key *key, struct change *c,
                     bool revoke)
{
    const struct peer *heir;
    uint64_t cursor = 0;

    while ((heir = app_heir_next(a, key, &cursor))) {
        struct peer_change *pc = change_add_peer(c, &heir->key);

        if (!pc)
            return -ENOMEM;
        pc->revoke = revoke;
        pc->remove = !revoke;
    }
    return 0;
}

static bool fits_rotation(struct app *a, struct peer_call *p, const struct peer *old)
{
    const struct peer_command *cmd = &p->asked.command;

    if (peer_is_heir(old))
        refuse(p, -EINVAL, "that key waits to take the place of another; rotate the peer by name");
    else if (cmd->cancel)
        return true;
    else if (!cmd->has_key)
        refuse(p, -EINVAL, "a rotation needs the new public key");
    else if (old->psk && !cmd->has_psk)
        refuse(p, -EINVAL,
               "peer '%s' has a preshared key: say --psk for a new one, --psk-file, or --no-psk",
               app_record_name(old));
    else
        return key_is_free(a, p, &cmd->key);
    return false;
}

/* The new key is a peer without networks until it is used; the old one goes on as it is. */
static void rotate(struct app *a, struct peer_call *p, const struct peer *old)
{
    const struct peer_command *cmd = &p->asked.command;
    struct change *c;
    struct peer_change *pc = NULL;

    if (!fits_rotation(a, p, old))
        return;
    c = change_new(a->cluster->hub->id);
    int r = c ? end_heirs(a, &old->key, c, false) : -ENOMEM;
    if (r >= 0 && cmd->cancel && !c->peer_count) {
        refuse(p, -ENOENT, "no new key waits for peer '%s'", app_record_name(old));
        change_free(c);
        return;
    }
    p->old = p->key = old->key;
    if (r >= 0 && !cmd->cancel) {
        p->key = cmd->key;
        pc = change_add_peer(c, &cmd->key);
        r = pc ? 0 : -ENOMEM;
    }
    if (pc) {
        pc->reinstate = cmd->reinstate;
        pc->has_replaces = true;
        pc->replaces = old->key;
        pc->has_psk = cmd->has_psk;
        pc->psk = cmd->has_psk ? secret_alloc() : NULL;
        if (pc->psk)
            memcpy(pc->psk, cmd->psk, sizeof(cmd->psk));
        else if (cmd->has_psk)
            r = -ENOMEM;
    }
    if (r < 0) {
        change_free(c);
        refuse(p, r, "no memory");
        return;
    }
    start(a, p, c);
}

static void change_peer(struct app *a, struct peer_call *p, struct change *c,
                        struct peer_change *pc)
{
    int r = 0;

    switch (p->asked.command.verb) {
    case PEER_MOVE:
        if (!take_vip(a, p, pc)) {
            change_free(c);
            return;
        }
        pc->update_only = true;
        break;
    case PEER_APPROVE:
        pc->update_only = pc->has_pending = true;
        break;
    case PEER_SET:
        if (!take_fields(a, p, pc)) {
            change_free(c);
            return;
        }
        pc->update_only = true;
        break;
    case PEER_DISABLE:
    case PEER_ENABLE:
        pc->update_only = pc->has_disabled = true;
        pc->disabled = p->asked.command.verb == PEER_DISABLE;
        break;
    case PEER_REVOKE:
        pc->revoke = true;
        r = end_heirs(a, &p->key, c, true);
        break;
    default:
        pc->remove = true;
        r = end_heirs(a, &p->key, c, false);
        break;
    }
    if (r >= 0) {
        start(a, p, c);
        return;
    }
    change_free(c);
    refuse(p, r, "no memory");
}

static void change_group(struct app *a, struct peer_call *p)
{
    const struct peer_command *cmd = &p->asked.command;
    const struct peer *group = app_group_find(a, cmd->peer);
    char message[CONTROL_MESSAGE_LEN];
    struct change *c;

    if (cmd->verb == PEER_SHOW && group) {
        p->key = group->key;
        answer(a, p, "");
        return;
    }
    c = change_new(a->cluster->hub->id);
    if (!c) {
        refuse(p, -ENOMEM, "no memory");
        return;
    }
    int r = app_group_change(a, cmd, c, message);
    if (r < 0) {
        change_free(c);
        refuse(p, r, "%s", message);
        return;
    }
    p->key = c->peers[0].key;
    start(a, p, c);
}

static void change_for(struct app *a, struct peer_call *p)
{
    const struct peer_command *cmd = &p->asked.command;
    const struct peer *record = NULL;
    struct change *c = NULL;
    struct peer_change *pc = NULL;
    int r = cmd->verb == PEER_ADD ? 0 : find_peer(a, cmd->peer, &record);

    if (cmd->verb == PEER_ADD)
        p->key = cmd->key;
    else if (record)
        p->key = record->key;
    /* A key that nobody knows may be revoked: it never gets in. */
    if (r == -ENOENT && cmd->verb == PEER_REVOKE && key_from_base64(cmd->peer, p->key.b))
        r = 0;
    if (r == -ENOTUNIQ) {
        refuse(p, r, "several peers are called '%s'; say which by its key", cmd->peer);
        return;
    }
    if (r < 0) {
        refuse(p, r, "there is no peer '%s'; 'guardmount peer list' shows all", cmd->peer);
        return;
    }
    if (cmd->verb == PEER_SHOW) {
        answer(a, p, "");
        return;
    }
    if (record && record->state != PEER_ACTIVE && cmd->verb != PEER_REVOKE) {
        refuse(p, -ENOENT, "peer '%s' is %s; 'guardmount peer add' makes it anew",
               app_record_name(record), app_record_state(record));
        return;
    }
    if (cmd->verb == PEER_ROTATE) {
        rotate(a, p, record);
        return;
    }
    c = change_new(a->cluster->hub->id);
    pc = c ? change_add_peer(c, &p->key) : NULL;
    if (!pc) {
        change_free(c);
        refuse(p, -ENOMEM, "no memory");
    } else if (cmd->verb == PEER_ADD) {
        add_peer(a, p, c, pc);
    } else {
        change_peer(a, p, c, pc);
    }
}

/* Names and addresses are looked at here and given away in the node a moment later, so one command
 * waits for the other; not for a revocation, which waits for siblings. */
static bool must_wait(const struct app *a, const struct peer_call *p)
{
    enum peer_verb v = p->asked.command.verb;

    if (v != PEER_ADD && v != PEER_SET && v != PEER_ROTATE)
        return false;
    list_for_each (it, &a->cluster->peer_calls) {
        const struct peer_call *other = list_entry(it, struct peer_call, all);

        if (other->asked.command.verb != PEER_REVOKE)
            return true;
    }
    return false;
}

static void run(struct app *a, struct peer_call *p)
{
    if (p->asked.kind == CONTROL_BATCH && !must_wait(a, p))
        add_batch(a, p);
    else if (p->asked.command.verb == PEER_LIST)
        list_peers(a, p);
    else if (p->asked.command.verb == PEER_ADD && !p->asked.batch && !p->asked.command.is_group &&
             !p->asked.command.has_key)
        refuse(p, -EINVAL, "a new peer needs a public key");
    else if (must_wait(a, p))
        list_append(&a->cluster->peer_waiting, &p->all);
    else if (p->asked.command.is_group)
        change_group(a, p);
    else
        change_for(a, p);
}

/* ---- the end ---- */

static void note_unreached(const struct app *a, char *ret, size_t room)
{
    uint16_t unreached = node_unreached(a->node);
    size_t len = (size_t)snprintf(ret, room, "revoked here; not confirmed by");

    for (unsigned i = 1, n = 0; i < MEMBERS_MAX && len < room; i++)
        if (unreached >> i & 1)
            len += (size_t)snprintf(ret + len, room - len, "%s %s", n++ ? "," : "",
                                    a->cluster->conf->member[i].name);
    if (len < room)
        snprintf(ret + len, room - len,
                 ": it may be served there until that member is reached, then it ends by itself");
}

bool app_peer_done(struct app *a, void *token, int err, const char *message)
{
    struct peer_call *p = NULL;
    char note[CONTROL_MESSAGE_LEN] = "";

    list_for_each (it, &a->cluster->peer_calls)
        if (list_entry(it, struct peer_call, all) == token)
            p = token;
    if (!p)
        return false;
    list_remove(&p->all);
    if (err == -ETIMEDOUT)
        note_unreached(a, note, sizeof(note));
    else if (err < 0 && p->asked.command.verb == PEER_REVOKE)
        snprintf(note, sizeof(note), "%s", *message ? message : "revoked, and not yet durable");
    if (err < 0 && !*note)
        refuse(p, err, "%s", *message ? message : strerror(-err));
    else
        answer(a, p, note);
    if (!list_empty(&a->cluster->peer_waiting)) {
        struct peer_call *next = list_entry(a->cluster->peer_waiting.next, struct peer_call, all);

        list_remove(&next->all);
        run(a, next);
    }
    return true;
}

void app_command(void *ctx, const struct control_request *r, struct server_call *call)
{
    struct app *a = ctx;
    struct control_reply nothing = {.error = -ENOMEM, .message = "no memory"};

    if (r->kind == CONTROL_BACKUP || r->kind == CONTROL_AUDIT) {
        app_read_database(a, r, call);
        return;
    }
    struct peer_call *p = calloc(1, sizeof(*p));
    if (!p) {
        server_reply(call, &nothing);
        return;
    }
    p->call = call;
    p->asked = *r;
    p->asked.batch = NULL;
    if (r->kind == CONTROL_BATCH) {
        p->asked.command.verb = PEER_ADD;
        p->asked.batch = malloc(r->batch_count * sizeof(*r->batch));
        if (!p->asked.batch) {
            refuse(p, -ENOMEM, "no memory");
            return;
        }
        memcpy(p->asked.batch, r->batch, r->batch_count * sizeof(*r->batch));
    }
    run(a, p);
}
