#include "cli/wgconf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/secret.h"
#include "conf/ini.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define COMMENT_MAX 255

struct reader {
    struct wgconf *w;
    unsigned line;
    bool in_peer, first;         /* first: the line after [Peer] */
    bool key_said;               /* good or bad */
    unsigned rank;               /* of the name that the peer has; 0: none */
    char above[COMMENT_MAX + 1]; /* the comment in the line before; "": none */
    int error;
};

enum { BELOW = 1, ABOVE, BEHIND, SAID };

/* ---- the list ---- */

static void *grow(void *array, unsigned count, unsigned *room, size_t each)
{
    unsigned more = *room ? 2 * *room : 16;
    void *bigger;

    if (count < *room)
        return array;
    bigger = calloc(more, each);
    if (!bigger)
        return NULL;
    if (array) { /* realloc() would leave preshared keys behind */
        memcpy(bigger, array, count * each);
        secret_wipe(array, count * each);
        free(array);
    }
    *room = more;
    return bigger;
}

static void remark(struct wgconf *w, int *error, unsigned line, bool bad, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

static void remark(struct wgconf *w, int *error, unsigned line, bool bad, const char *format, ...)
{
    struct wgconf_remark *r = grow(w->remark, w->remark_count, &w->remark_room, sizeof(*r));
    va_list ap;

    if (!r) {
        *error = -ENOMEM;
        return;
    }
    w->remark = r;
    r += w->remark_count++;
    *r = (struct wgconf_remark){.line = line, .error = bad};
    w->errors += bad;
    va_start(ap, format);
    vsnprintf(r->text, sizeof(r->text), format, ap);
    va_end(ap);
}

int wgconf_refuse(struct wgconf *w, unsigned line, const char *format, ...)
{
    char text[WGCONF_REMARK_LEN];
    int error = 0;
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    remark(w, &error, line, true, "%s", text);
    return error;
}

struct wgpeer *wgconf_add(struct wgconf *w, unsigned line)
{
    struct wgpeer *p = grow(w->peer, w->count, &w->room, sizeof(*p));

    if (!p)
        return NULL;
    w->peer = p;
    p += w->count++;
    *p = (struct wgpeer){.line = line};
    return p;
}

int wgpeer_allow(struct wgpeer *p, const struct ip_prefix *prefix)
{
    struct ip_prefix *a = grow(p->allowed, p->allowed_count, &p->allowed_room, sizeof(*a));

    if (!a)
        return -ENOMEM;
    p->allowed = a;
    for (unsigned i = 0; i < p->allowed_count; i++)
        if (prefix_equal(&a[i], prefix))
            return 0;
    a[p->allowed_count++] = *prefix;
    return 0;
}

void wgpeer_done(struct wgpeer *p)
{
    free(p->allowed);
    secret_wipe(p, sizeof(*p));
}

void wgconf_done(struct wgconf *w)
{
    for (unsigned i = 0; i < w->count; i++)
        wgpeer_done(&w->peer[i]);
    free(w->peer);
    free(w->remark);
    *w = (struct wgconf){0};
}

/* ---- comments ---- */

static bool skip_word(const char **text, const char *word)
{
    size_t len = strlen(word);

    if (strncasecmp(*text, word, len) != 0 || ((*text)[len] && !strchr(" \t=:", (*text)[len])))
        return false;
    *text += len;
    *text += strspn(*text, " \t=:");
    return true;
}

/* "### begin alice ###" -> "begin alice" */
static void bare(const char *from, const char *to, char ret[COMMENT_MAX + 1])
{
    size_t len;

    while (from < to && strchr("#; \t", *from))
        from++;
    while (to > from && strchr("# \t\r", to[-1]))
        to--;
    len = MIN((size_t)(to - from), (size_t)COMMENT_MAX);
    memcpy(ret, from, len);
    ret[len] = '\0';
}

static void take_name(struct reader *r, const char *text, unsigned rank)
{
    struct wgpeer *p = &r->w->peer[r->w->count - 1];

    if (!*text || rank <= r->rank)
        return;
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < 32 || *c == 127) {
            remark(r->w, &r->error, r->line, true, "a control character in a name; remove it");
            return;
        }
    if (strlen(text) > WGCONF_NAME_MAX) {
        if (rank == SAID)
            remark(r->w, &r->error, r->line, true, "the name is longer than 63 bytes");
        return; /* a long comment is prose */
    }
    strcpy(p->name, text);
    r->rank = rank;
}

/* A comment that is no name: the end of a script's block, or a key that was commented out. */
static bool names(const char **text)
{
    const char *equals;

    if (skip_word(text, "begin_peer") || skip_word(text, "begin"))
        return **text;
    equals = strchr(*text, '=');
    return !skip_word(text, "end_peer") && !skip_word(text, "end") && !equals;
}

static void take_comment(struct reader *r, const char *from, const char *to)
{
    char text[COMMENT_MAX + 1];
    const char *said = text;

    bare(from, to, text);
    if (r->in_peer && (skip_word(&said, "name") || skip_word(&said, "friendly_name"))) {
        take_name(r, said, SAID);
    } else if (r->in_peer && skip_word(&said, "disabled")) {
        r->w->peer[r->w->count - 1].disabled = strcasecmp(said, "yes") == 0;
    } else if (names(&said)) {
        if (r->in_peer && r->first)
            take_name(r, said, BELOW);
        snprintf(r->above, sizeof(r->above), "%s", said);
    }
    r->first = false;
}

/* ---- sections and keys ---- */

static void end_peer(struct reader *r)
{
    struct wgpeer *p = r->in_peer ? &r->w->peer[r->w->count - 1] : NULL;
    char key[KEY_TEXT_LEN + 1];

    if (!p)
        return;
    if (!r->key_said) {
        remark(r->w, &r->error, p->line, true, "peer '%s' has no PublicKey", p->name);
    } else if (p->has_key && !*p->name) {
        key_to_base64(p->key.b, key);
        snprintf(p->name, sizeof(p->name), "peer-%.8s", key);
        remark(r->w, &r->error, p->line, false,
               "a peer without a name in a comment; it is called '%s'", p->name);
    }
}

static void section(struct reader *r, const char *word, const char *from, const char *to)
{
    const char *behind = memchr(from, '#', (size_t)(to - from));
    char text[COMMENT_MAX + 1];
    const char *said = text;

    end_peer(r);
    r->in_peer = strcasecmp(word, "Peer") == 0;
    r->rank = 0;
    r->key_said = false;
    if (!r->in_peer) {
        if (strcasecmp(word, "Interface") != 0)
            remark(r->w, &r->error, r->line, true,
                   "unknown section [%s]; there are [Interface] and [Peer]", word);
        return;
    }
    if (r->w->count == WGCONF_PEERS_MAX)
        remark(r->w, &r->error, r->line, true, "more than %d peers", WGCONF_PEERS_MAX);
    if (r->w->count >= WGCONF_PEERS_MAX || !wgconf_add(r->w, r->line)) {
        r->error = r->w->count < WGCONF_PEERS_MAX ? -ENOMEM : -E2BIG;
        r->in_peer = false;
        return;
    }
    take_name(r, r->above, ABOVE);
    if (behind) {
        bare(behind, to, text);
        if (names(&said))
            take_name(r, said, BEHIND);
    }
    r->first = true;
}

static bool is_hook(const char *word)
{
    static const char *const hooks[] = {"PreUp", "PostUp", "PreDown", "PostDown"};

    for (unsigned i = 0; i < ARRAY_LEN(hooks); i++)
        if (strcasecmp(word, hooks[i]) == 0)
            return true;
    return false;
}

static void take_allowed(struct reader *r, struct wgpeer *p, char *list)
{
    struct ip_prefix prefix;
    char *word;

    while ((word = strsep(&list, ", \t"))) {
        if (!*word)
            continue;
        if (prefix_parse(word, &prefix) < 0)
            remark(r->w, &r->error, r->line, true,
                   "'%.60s' is no address or network; write 10.0.0.5 or 10.1.0.0/16", word);
        else if (wgpeer_allow(p, &prefix) < 0)
            r->error = -ENOMEM;
    }
}

static void take_endpoint(struct reader *r, struct wgpeer *p, const char *value)
{
    struct endpoint e;

    if (endpoint_parse(value, &e) == 0)
        endpoint_format(&e, p->endpoint);
    else if (strchr(value, ':') && value[0] != '[')
        remark(r->w, &r->error, r->line, false,
               "Endpoint = %.100s: a host name; left out, the peer's first packet tells it", value);
    else
        remark(r->w, &r->error, r->line, true,
               "'%.100s' is no endpoint; write 192.0.2.1:51820 or [2001:db8::1]:51820", value);
}

static void take_key(struct reader *r, const struct ini *i, char *value)
{
    struct wgpeer *p = &r->w->peer[r->w->count - 1];
    uint64_t number = 0;

    if (strcasecmp(i->word, "PublicKey") == 0) {
        p->has_key = key_from_base64(value, p->key.b);
        r->key_said = true;
        if (!p->has_key)
            remark(r->w, &r->error, r->line, true, "'%.60s' is no public key of 44 characters",
                   value);
    } else if (strcasecmp(i->word, "PresharedKey") == 0) {
        if (!key_from_base64(value, p->psk))
            remark(r->w, &r->error, r->line, true, "the preshared key is no key of 44 characters");
        p->has_psk = !secret_is_zero(p->psk, sizeof(p->psk));
    } else if (strcasecmp(i->word, "AllowedIPs") == 0) {
        take_allowed(r, p, value);
    } else if (strcasecmp(i->word, "Endpoint") == 0) {
        take_endpoint(r, p, value);
    } else if (strcasecmp(i->word, "PersistentKeepalive") == 0) {
        if (strcasecmp(value, "off") != 0 && !parse_u64(value, 0, UINT16_MAX, &number))
            remark(r->w, &r->error, r->line, true,
                   "PersistentKeepalive takes seconds, 0 to 65535, or off");
        p->keepalive_s = (uint16_t)number;
    } else {
        remark(r->w, &r->error, r->line, true, "unknown key '%s' in [Peer]", i->word);
    }
}

static void take_line(struct reader *r, const char *from, const char *to)
{
    struct ini i;
    enum ini_kind kind;

    ini_open(&i, from, (size_t)(to - from));
    kind = ini_next(&i);
    if (kind == INI_BAD)
        remark(r->w, &r->error, r->line, true, "%s", i.problem);
    else if (kind == INI_SECTION)
        section(r, i.word, from, to);
    else if (kind == INI_KEY && r->in_peer)
        take_key(r, &i, i.value);
    else if (kind == INI_KEY && is_hook(i.word))
        remark(r->w, &r->error, r->line, false, "%s: a hook of wg-quick; not run", i.word);
    else if (kind == INI_KEY)
        remark(r->w, &r->error, r->line, false,
               "%s: of the interface; not applied, [Hub] of the configuration says it", i.word);
    if (kind != INI_SECTION)
        r->first = false;
    r->above[0] = '\0';
    secret_wipe(&i, sizeof(i));
}

int wgconf_parse(const char *text, size_t len, struct wgconf *ret)
{
    const char *end = text + len;
    struct reader r = {.w = ret};

    *ret = (struct wgconf){0};
    while (text < end && !r.error) {
        const char *to = memchr(text, '\n', (size_t)(end - text)), *from = text;

        text = to ? to + 1 : end;
        to = to ? to : end;
        r.line++;
        while (from < to && strchr(" \t\r", *from) && *from)
            from++;
        if (from < to && (*from == '#' || *from == ';'))
            take_comment(&r, from, to);
        else
            take_line(&r, from, to);
    }
    end_peer(&r);
    return r.error == -E2BIG ? 0 : r.error;
}
