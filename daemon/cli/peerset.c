#include "cli/peerset.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/secret.h"
#include "cli/when.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int refuse(char error[PEERSET_ERROR_LEN], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int refuse(char error[PEERSET_ERROR_LEN], const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vsnprintf(error, PEERSET_ERROR_LEN, format, ap);
    va_end(ap);
    return -EINVAL;
}

/* ---- values ---- */

static int take_text(const char *key, const json_t *v, char *ret, size_t room,
                     char error[PEERSET_ERROR_LEN])
{
    const char *text = json_string_value(v);

    if (!text || strlen(text) >= room)
        return refuse(error, "\"%s\" takes a text of %zu bytes at most", key, room - 1);
    strcpy(ret, text);
    return 0;
}

static int take_number(const char *key, const json_t *v, uint16_t *ret,
                       char error[PEERSET_ERROR_LEN])
{
    json_int_t n = json_integer_value(v);

    if (!json_is_integer(v) || n < 0 || n > UINT16_MAX)
        return refuse(error, "\"%s\" takes a number, 0 to 65535", key);
    *ret = (uint16_t)n;
    return 0;
}

static int take_bool(const char *key, const json_t *v, bool *ret, char error[PEERSET_ERROR_LEN])
{
    if (!json_is_boolean(v))
        return refuse(error, "\"%s\" takes true or false", key);
    *ret = json_is_true(v);
    return 0;
}

static int take_key(const char *key, const json_t *v, uint8_t ret[32],
                    char error[PEERSET_ERROR_LEN])
{
    const char *text = json_string_value(v);

    if (!text || !key_from_base64(text, ret))
        return refuse(error, "\"%s\" takes a key of 44 characters", key);
    return 0;
}

static int take_allowed(const json_t *v, struct peer_command *c, char error[PEERSET_ERROR_LEN])
{
    size_t len = 0;

    if (!json_is_array(v))
        return refuse(error, "\"allowed_ips\" takes a list of networks");
    for (size_t i = 0; i < json_array_size(v); i++) {
        const char *word = json_string_value(json_array_get(v, i));
        char text[PREFIX_TEXT_LEN];
        struct ip_prefix prefix;

        if (!word || prefix_parse(word, &prefix) < 0)
            return refuse(error, "\"allowed_ips\": '%.60s' is no address or network",
                          word ? word : "");
        len += (size_t)snprintf(c->allowed + len, sizeof(c->allowed) - len, "%s%s", i ? "," : "",
                                prefix_format(&prefix, text));
        if (len >= sizeof(c->allowed))
            return refuse(error, "\"allowed_ips\": more than %d bytes", CONTROL_PREFIXES_MAX);
    }
    c->has_allowed = true;
    return 0;
}

/* No spans: said again tomorrow, a file must mean the same. */
static int take_expires(const json_t *v, struct peer_command *c, char error[PEERSET_ERROR_LEN])
{
    const char *text = json_is_null(v) ? "never" : json_string_value(v);

    if (!text || (strcmp(text, "never") != 0 && !strchr(text, '-')) ||
        when_parse(text, 0, &c->expires_s) < 0)
        return refuse(error, "\"expires\" takes a date as \"2026-12-24\" or "
                             "\"2026-12-24T18:00:00Z\" (UTC), or null");
    c->has_expires = true;
    return 0;
}

static int take_endpoint(const json_t *v, struct peer_command *c, char error[PEERSET_ERROR_LEN])
{
    char text[ENDPOINT_TEXT_LEN];
    struct endpoint e;
    int r = take_text("endpoint", v, c->endpoint, sizeof(c->endpoint), error);

    c->no_endpoint = r >= 0 && !*c->endpoint;
    if (r < 0 || c->no_endpoint)
        return r;
    if (endpoint_parse(c->endpoint, &e) < 0)
        return refuse(error, "\"endpoint\" takes 192.0.2.1:51820 or [2001:db8::1]:51820");
    snprintf(c->endpoint, sizeof(c->endpoint), "%s", endpoint_format(&e, text));
    return 0;
}

static int take_psk(const json_t *v, struct peer_command *c, char error[PEERSET_ERROR_LEN])
{
    c->has_psk = true;
    return json_is_null(v) ? 0 : take_key("preshared_key", v, c->psk, error);
}

static int take_rotation(const json_t *v, struct peer_command *c, char error[PEERSET_ERROR_LEN])
{
    struct public_key old;

    if (json_is_null(v))
        return 0;
    if (take_key("replaces", v, old.b, error) < 0)
        return -EINVAL;
    c->verb = PEER_ROTATE;
    key_to_base64(old.b, c->peer);
    return 0;
}

static bool is_one_of(const char *const *words, const char *word)
{
    while (*words && strcmp(*words, word) != 0)
        words++;
    return *words;
}

/* ---- entries ---- */

static const char *const noted[PEER_TEXTS] = {
    [PEER_OWNER] = "owner", [PEER_DEVICE] = "device", [PEER_NOTE] = "note",
    [PEER_DNS] = "dns",     [PEER_ROUTES] = "route",  [PEER_NETWORKS] = "network"};

/* -ENOENT: it is none of them. */
static int take_noted(const char *key, const json_t *v, unsigned from, unsigned to,
                      struct peer_command *c, char error[PEERSET_ERROR_LEN])
{
    for (unsigned t = from; t <= to; t++)
        if (strcmp(key, noted[t]) == 0) {
            c->has_text[t] = true;
            return take_text(key, v, c->text[t], sizeof(c->text[t]), error);
        }
    return -ENOENT;
}

static int take_peer_key(const char *key, const json_t *v, struct peer_command *c,
                         char error[PEERSET_ERROR_LEN])
{
    /* What export tells and nobody can set. */
    static const char *const told[] = {"hub",        "state",   "psk",      "changed",
                                       "changed_by", "waiting", "next_key", NULL};
    uint16_t vip = 0;
    int r = take_noted(key, v, PEER_OWNER, PEER_NOTE, c, error);

    if (r != -ENOENT)
        return r;
    if (strcmp(key, "name") == 0)
        return take_text(key, v, c->name, sizeof(c->name), error);
    if (strcmp(key, "public_key") == 0) {
        c->has_key = true;
        return take_key(key, v, c->key.b, error);
    }
    if (strcmp(key, "preshared_key") == 0)
        return take_psk(v, c, error);
    if (strcmp(key, "allowed_ips") == 0)
        return take_allowed(v, c, error);
    if (strcmp(key, "endpoint") == 0)
        return take_endpoint(v, c, error);
    if (strcmp(key, "keepalive_s") == 0) {
        c->has_keepalive = true;
        return take_number(key, v, &c->keepalive_s, error);
    }
    if (strcmp(key, "group") == 0) {
        c->has_group = true;
        return take_text(key, v, c->group, sizeof(c->group), error);
    }
    if (strcmp(key, "expires") == 0)
        return take_expires(v, c, error);
    if (strcmp(key, "disabled") == 0) {
        c->has_disabled = true;
        return take_bool(key, v, &c->disabled, error);
    }
    if (strcmp(key, "pending") == 0) {
        c->has_pending = true;
        return take_bool(key, v, &c->pending, error);
    }
    if (strcmp(key, "replaces") == 0)
        return take_rotation(v, c, error);
    if (strcmp(key, "vip") == 0) {
        r = take_number(key, v, &vip, error);
        snprintf(c->vip, sizeof(c->vip), "%u", vip);
        return r;
    }
    return is_one_of(told, key) ? 0 : refuse(error, "unknown key \"%.60s\"", key);
}

int peerset_peer(const json_t *entry, struct peer_command *ret, char error[PEERSET_ERROR_LEN])
{
    char text[KEY_TEXT_LEN + 1];
    const char *key;
    json_t *v;
    int r = 0;

    *ret = (struct peer_command){.verb = PEER_ADD};
    if (!json_is_object(entry))
        return refuse(error, "a peer is an object with \"name\", \"public_key\", ...");
    json_object_foreach((json_t *)entry, key, v) if (r >= 0) r = take_peer_key(key, v, ret, error);
    if (r < 0)
        return r;
    if (!ret->has_key)
        return refuse(error, "a peer needs its \"public_key\"");
    if (ret->verb == PEER_ROTATE)
        return 0;
    if (json_is_false(json_object_get(entry, "psk")))
        ret->has_psk = true; /* none */
    key_to_base64(ret->key.b, text);
    if (*ret->name)
        strcpy(ret->peer, ret->name);
    else /* as import names it */
        snprintf(ret->peer, sizeof(ret->peer), "peer-%.8s", text);
    return 0;
}

static int take_group_key(const char *key, const json_t *v, struct peer_command *c,
                          char error[PEERSET_ERROR_LEN])
{
    static const char *const told[] = {"hub", "changed", "changed_by", NULL};
    int r = take_noted(key, v, PEER_NOTE, PEER_NETWORKS, c, error);

    if (r != -ENOENT)
        return r;
    if (strcmp(key, "name") == 0)
        return take_text(key, v, c->peer, sizeof(c->peer), error);
    if (strcmp(key, "policy") == 0) {
        const char *word = json_string_value(v);

        c->has_policy = true;
        c->policy = word && strcmp(word, "open") == 0 ? POLICY_OPEN : POLICY_ISOLATE;
        return word && (c->policy == POLICY_OPEN || strcmp(word, "isolate") == 0)
                   ? 0
                   : refuse(error, "\"policy\" is \"open\" or \"isolate\"");
    }
    if (strcmp(key, "mtu") == 0) {
        c->has_mtu = true;
        return take_number(key, v, &c->mtu, error);
    }
    if (strcmp(key, "keepalive_s") == 0) {
        c->has_keepalive = true;
        return take_number(key, v, &c->keepalive_s, error);
    }
    return is_one_of(told, key) ? 0 : refuse(error, "unknown key \"%.60s\"", key);
}

int peerset_group(const json_t *entry, struct peer_command *ret, char error[PEERSET_ERROR_LEN])
{
    const char *key;
    json_t *v;
    int r = 0;

    *ret = (struct peer_command){.verb = PEER_ADD, .is_group = true};
    if (!json_is_object(entry))
        return refuse(error, "a group is an object with \"name\", ...");
    json_object_foreach((json_t *)entry, key, v) if (r >= 0) r = take_group_key(key, v, ret, error);
    if (r >= 0 && !*ret->peer)
        return refuse(error, "a group needs a \"name\"");
    return r;
}

/* ---- what differs ---- */

struct changes {
    char *text;
    size_t len;
    unsigned count;
};

static void say(struct changes *ch, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct changes *ch, const char *format, ...)
{
    va_list ap;

    if (ch->count++ && ch->len < PEERSET_CHANGES_LEN)
        ch->len += (size_t)snprintf(ch->text + ch->len, PEERSET_CHANGES_LEN - ch->len, ", ");
    if (ch->len >= PEERSET_CHANGES_LEN)
        return;
    va_start(ap, format);
    ch->len += (size_t)vsnprintf(ch->text + ch->len, PEERSET_CHANGES_LEN - ch->len, format, ap);
    va_end(ap);
}

static bool same_allowed(const struct peer_command *c, const struct peer_row *row)
{
    char list[CONTROL_PREFIXES_MAX + 1], *rest = list, *word;
    unsigned count = 0;

    strcpy(list, c->allowed);
    while ((word = strsep(&rest, ","))) {
        bool found = false;

        for (unsigned i = 0; *word && !found && i < row->allowed_count; i++)
            found = strcmp(word, row->allowed[i]) == 0;
        if (*word && !found)
            return false;
        count += *word != '\0';
    }
    return count == row->allowed_count;
}

static void text_differs(struct changes *ch, const char *key, bool *has, const char *now,
                         const char *was)
{
    *has = *has && strcmp(now, was) != 0;
    if (*has)
        say(ch, "%s \"%s\" -> \"%s\"", key, was, now);
}

static void number_differs(struct changes *ch, const char *key, bool *has, unsigned now,
                           unsigned was)
{
    *has = *has && now != was;
    if (*has)
        say(ch, "%s %u -> %u", key, was, now);
}

static void state_differs(struct changes *ch, struct peer_command *c, const struct peer_row *row)
{
    number_differs(ch, "disabled", &c->has_disabled, c->disabled, row->disabled);
    number_differs(ch, "pending", &c->has_pending, c->pending, row->pending);
    c->has_expires = c->has_expires && c->expires_s != row->expires_s;
    if (c->has_expires)
        say(ch, "expires");
}

static void words_differ(struct changes *ch, struct peer_command *c, const struct peer_row *row)
{
    bool named = !c->is_group && *c->name, said = *c->endpoint || c->no_endpoint, vip = *c->vip;
    char now[8];

    snprintf(now, sizeof(now), "%u", row->vip);
    text_differs(ch, "name", &named, c->name, row->name);
    if (!named)
        c->name[0] = '\0';
    text_differs(ch, "endpoint", &said, c->endpoint, row->endpoint);
    if (!said) {
        c->endpoint[0] = '\0';
        c->no_endpoint = false;
    }
    text_differs(ch, "vip", &vip, c->vip, now);
    if (!vip)
        c->vip[0] = '\0';
    text_differs(ch, "group", &c->has_group, c->group, row->group);
    for (unsigned t = 0; t < PEER_TEXTS; t++)
        text_differs(ch, noted[t], &c->has_text[t], c->text[t],
                     peer_row_text(row, (enum peer_text)t));
}

unsigned peerset_differs(struct peer_command *c, const struct peer_row *row,
                         char changes[PEERSET_CHANGES_LEN])
{
    struct changes ch = {.text = changes};

    changes[0] = '\0';
    c->verb = PEER_SET;
    if (!c->is_group)
        key_to_base64(row->key.b, c->peer);
    words_differ(&ch, c, row);
    number_differs(&ch, "keepalive_s", &c->has_keepalive, c->keepalive_s, row->keepalive_s);
    number_differs(&ch, "mtu", &c->has_mtu, c->mtu, row->mtu);
    c->has_policy = c->has_policy && c->policy != row->policy;
    if (c->has_policy)
        say(&ch, "policy -> %s", c->policy == POLICY_OPEN ? "open" : "isolate");
    c->has_allowed = c->has_allowed && !same_allowed(c, row);
    if (c->has_allowed)
        say(&ch, "allowed_ips");
    c->has_psk = c->has_psk && !secret_equal(c->psk, row->psk, sizeof(c->psk));
    if (c->has_psk)
        say(&ch, "preshared_key");
    state_differs(&ch, c, row);
    return ch.count;
}

/* ---- names, keys and networks of all ---- */

int peerset_claim(struct wgconf *w, unsigned entry, const struct peer_command *c)
{
    struct wgpeer *p = wgconf_add(w, entry);
    char list[CONTROL_PREFIXES_MAX + 1], *rest = list, *word;
    struct ip_prefix prefix;
    int r = p ? 0 : -ENOMEM;

    if (r < 0)
        return r;
    strcpy(p->name, c->peer);
    p->key = c->key;
    p->has_key = true;
    strcpy(list, c->allowed);
    while (r >= 0 && (word = strsep(&rest, ",")))
        if (prefix_parse(word, &prefix) == 0)
            r = wgpeer_allow(p, &prefix);
    return r;
}

int peerset_claim_row(struct wgconf *w, const struct peer_row *row)
{
    struct wgpeer *p = wgconf_add(w, 0);
    struct ip_prefix prefix;
    int r = p ? 0 : -ENOMEM;

    if (r < 0)
        return r;
    snprintf(p->name, sizeof(p->name), "%s", row->name);
    p->key = row->key;
    p->has_key = true;
    for (unsigned i = 0; r >= 0 && i < row->allowed_count; i++)
        if (prefix_parse(row->allowed[i], &prefix) == 0)
            r = wgpeer_allow(p, &prefix);
    return r;
}
