#include "control/uapi_text.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/secret.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* ---- parser ---- */

void uapi_parser_init(struct uapi_parser *p, uint8_t hub)
{
    *p = (struct uapi_parser){.hub = hub};
}

void uapi_parser_done(struct uapi_parser *p)
{
    change_free(p->change);
    secret_wipe(p, sizeof(*p));
}

/* A key in hex into an arena slot, made when there is none. */
static int take_secret(const char *value, struct secret32 **slot)
{
    if (!*slot)
        *slot = secret_alloc();
    if (!*slot)
        return -ENOMEM;
    return hex_decode(value, strlen(value), (*slot)->b, sizeof((*slot)->b)) ? 0 : -EINVAL;
}

static int take_true(const char *value, bool *ret)
{
    if (strcmp(value, "true") != 0)
        return -EINVAL;
    *ret = true;
    return 0;
}

static int take_number(const char *value, uint64_t max, uint64_t *ret)
{
    return parse_u64(value, 0, max, ret) ? 0 : -EINVAL;
}

static int take_public_key(struct uapi_parser *p, const char *value)
{
    struct public_key key;

    if (!hex_decode(value, strlen(value), key.b, sizeof(key.b)))
        return -EINVAL;
    if (p->change->peer_count >= UAPI_PEERS_MAX)
        return -E2BIG;
    return change_add_peer(p->change, &key) ? 0 : -ENOMEM;
}

static int device_line(struct uapi_parser *p, const char *key, const char *value)
{
    struct change *c = p->change;
    uint64_t n;
    int r;

    if (strcmp(key, "private_key") == 0) {
        c->has_private_key = true;
        return take_secret(value, &c->private_key);
    }
    if (strcmp(key, "listen_port") == 0) {
        r = take_number(value, UINT16_MAX, &n);
        if (r < 0)
            return r;
        c->has_listen_port = true;
        c->listen_port = (uint16_t)n;
        return 0;
    }
    if (strcmp(key, "fwmark") == 0) {
        r = take_number(value, UINT32_MAX, &n);
        if (r < 0)
            return r;
        c->has_fwmark = true;
        c->fwmark = (uint32_t)n;
        return 0;
    }
    if (strcmp(key, "replace_peers") == 0)
        return take_true(value, &c->replace_peers);
    return -EINVAL;
}

static int take_allowed(struct uapi_parser *p, struct peer_change *pc, const char *value)
{
    bool remove = value[0] == '-';
    struct ip_prefix prefix;

    value += remove;
    if (!strchr(value, '/') || prefix_parse(value, &prefix) < 0)
        return -EINVAL;
    if (++p->prefixes > UAPI_PREFIXES_MAX)
        return -E2BIG;
    return peer_change_allow(pc, &prefix, remove);
}

static int peer_line(struct uapi_parser *p, const char *key, const char *value)
{
    struct peer_change *pc = &p->change->peers[p->change->peer_count - 1];
    bool replace = false;
    uint64_t n;
    int r;

    if (strcmp(key, "allowed_ip") == 0)
        return take_allowed(p, pc, value);
    if (strcmp(key, "remove") == 0)
        return take_true(value, &pc->remove);
    if (strcmp(key, "update_only") == 0)
        return take_true(value, &pc->update_only);
    if (strcmp(key, "preshared_key") == 0) {
        pc->has_psk = true;
        return take_secret(value, &pc->psk);
    }
    if (strcmp(key, "endpoint") == 0) {
        pc->has_endpoint = true;
        return endpoint_parse(value, &pc->endpoint);
    }
    if (strcmp(key, "persistent_keepalive_interval") == 0) {
        r = take_number(value, UINT16_MAX, &n);
        if (r < 0)
            return r;
        pc->has_keepalive = true;
        pc->keepalive_s = (uint16_t)n;
        return 0;
    }
    if (strcmp(key, "replace_allowed_ips") == 0) {
        r = take_true(value, &replace);
        if (r < 0)
            return r;
        pc->replace_allowed = true;
        pc->allowed_count = 0; /* lines work in order: what came before is replaced too */
        return 0;
    }
    if (strcmp(key, "protocol_version") == 0)
        return strcmp(value, "1") == 0 ? 0 : -EINVAL;
    return -EINVAL;
}

static int set_line(struct uapi_parser *p, char *line)
{
    char *equals = strchr(line, '=');

    if (!equals)
        return -EINVAL;
    *equals = '\0';
    if (strcmp(line, "public_key") == 0)
        return take_public_key(p, equals + 1);
    if (p->change->peer_count)
        return peer_line(p, line, equals + 1);
    return device_line(p, line, equals + 1);
}

static int first_line(struct uapi_parser *p)
{
    if (strcmp(p->line, "get=1") == 0) {
        p->op = UAPI_GET;
        return 0;
    }
    if (strcmp(p->line, "set=1") == 0) {
        p->op = UAPI_SET;
        p->change = change_new(p->hub);
        return p->change ? 0 : -ENOMEM;
    }
    p->op = UAPI_UNKNOWN;
    return -EINVAL;
}

/* A whole line, without its end. Returns true if it was the empty one that ends a request. */
static bool take_line(struct uapi_parser *p)
{
    int r;

    if (p->line_len == 0)
        return p->op != UAPI_NONE; /* empty lines between requests are nothing */
    if (p->err)
        return false;
    p->line[MIN(p->line_len, (size_t)UAPI_LINE_MAX)] = '\0';
    if (p->op == UAPI_NONE)
        r = first_line(p);
    else if (p->len > UAPI_SET_LEN_MAX)
        r = -E2BIG;
    else if (p->line_len > UAPI_LINE_MAX || strlen(p->line) != p->line_len)
        r = -EINVAL;
    else
        r = p->op == UAPI_SET ? set_line(p, p->line) : -EINVAL;
    if (r < 0) {
        p->err = r;
        change_free(TAKE_PTR(p->change));
    }
    return false;
}

size_t uapi_parse(struct uapi_parser *p, const void *buf, size_t len, struct uapi_request *ret)
{
    const char *at = buf, *end = at + len;

    *ret = (struct uapi_request){.op = UAPI_NONE};
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t part = (size_t)((newline ? newline : end) - at);
        bool ended;

        if (p->line_len < UAPI_LINE_MAX)
            memcpy(p->line + p->line_len, at, MIN(part, UAPI_LINE_MAX - p->line_len));
        p->line_len = MIN(p->line_len + part, (size_t)UAPI_LINE_MAX + 1);
        p->len = MIN(p->len + part + 1, (size_t)UAPI_SET_LEN_MAX + 1);
        at += part;
        if (!newline)
            break;
        at++;
        ended = take_line(p);
        secret_wipe(p->line, MIN(p->line_len, (size_t)UAPI_LINE_MAX));
        p->line_len = 0;
        if (!ended && p->op == UAPI_NONE)
            p->len = 0;
        if (ended) {
            *ret = (struct uapi_request){p->op, p->err, TAKE_PTR(p->change)};
            uapi_parser_init(p, p->hub);
            break;
        }
    }
    return (size_t)(at - (const char *)buf);
}

/* ---- writer ---- */

/* The text holds keys: it grows into new memory, and the old is wiped. */
static bool writer_room(struct uapi_writer *w, size_t more)
{
    size_t room = w->room ? w->room : 4096;
    char *text;

    if (w->err)
        return false;
    if (w->room - w->len >= more)
        return true;
    while (room - w->len < more)
        room *= 2;
    text = malloc(room);
    if (!text) {
        w->err = -ENOMEM;
        return false;
    }
    if (w->len)
        memcpy(text, w->text, w->len);
    if (w->text)
        secret_wipe(w->text, w->len);
    free(w->text);
    w->text = text;
    w->room = room;
    return true;
}

static void __attribute__((format(printf, 2, 3)))
put(struct uapi_writer *w, const char *format, ...)
{
    va_list args;
    int n;

    if (!writer_room(w, UAPI_LINE_MAX))
        return;
    va_start(args, format);
    n = vsnprintf(w->text + w->len, w->room - w->len, format, args);
    va_end(args);
    w->len += (size_t)n;
}

static void put_hex(struct uapi_writer *w, const char *key, const void *bytes)
{
    char hex[65];

    hex_encode(bytes, 32, hex);
    put(w, "%s=%s\n", key, hex);
    secret_wipe(hex, sizeof(hex));
}

void uapi_write_device(struct uapi_writer *w, const struct uapi_device *d)
{
    if (d->private_key && !secret_is_zero(d->private_key, sizeof(*d->private_key)))
        put_hex(w, "private_key", d->private_key);
    if (d->listen_port)
        put(w, "listen_port=%u\n", d->listen_port);
    if (d->fwmark)
        put(w, "fwmark=%" PRIu32 "\n", d->fwmark);
}

void uapi_write_peer(struct uapi_writer *w, const struct uapi_peer *p)
{
    static const struct secret32 none;
    char text[MAX(PREFIX_TEXT_LEN, ENDPOINT_TEXT_LEN)];

    put_hex(w, "public_key", p->key->b);
    put_hex(w, "preshared_key", p->psk ? p->psk->b : none.b);
    put(w, "protocol_version=1\n");
    if (p->endpoint && endpoint_is_set(p->endpoint))
        put(w, "endpoint=%s\n", endpoint_format(p->endpoint, text));
    put(w, "last_handshake_time_sec=%" PRIu64 "\nlast_handshake_time_nsec=%" PRIu64 "\n",
        (uint64_t)(p->handshake_real_ns / NS_PER_S), (uint64_t)(p->handshake_real_ns % NS_PER_S));
    put(w, "tx_bytes=%" PRIu64 "\nrx_bytes=%" PRIu64 "\n", p->tx_bytes, p->rx_bytes);
    put(w, "persistent_keepalive_interval=%u\n", p->keepalive_s);
    for (unsigned i = 0; i < p->allowed_count; i++)
        put(w, "allowed_ip=%s\n", prefix_format(&p->allowed[i], text));
}

void uapi_write_end(struct uapi_writer *w, enum uapi_op op, int err)
{
    put(w, "errno=%d\n\n", op == UAPI_GET ? -err : err);
}

void uapi_writer_done(struct uapi_writer *w)
{
    if (w->text)
        secret_wipe(w->text, w->len);
    free(w->text);
    *w = (struct uapi_writer){0};
}
