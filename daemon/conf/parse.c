#include "conf/parse.h"
#include "base/err.h"
#include "conf/value.h"
#include <assert.h>
#include <ctype.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define KEY_NAME_MAX 24 /* a longer word may be half a secret: it is not quoted */

unsigned origin_line(const struct origin *o, enum conf_section s, const char *name)
{
    const struct conf_key *k = conf_key_find(s, name);
    unsigned line = k ? o->key[k - conf_keys] : 0;

    return line ? line : o->line;
}

bool origin_has(const struct origin *o, enum conf_section s, const char *name)
{
    return o->key[conf_key_find(s, name) - conf_keys] != 0;
}

/* Half a key that was broken over two lines must not get into a log. */
static bool may_be_shown(const char *word)
{
    if (strlen(word) > KEY_NAME_MAX)
        return false;
    for (; *word; word++)
        if (!isalnum((unsigned char)*word) && !strchr(" _-.", *word))
            return false;
    return true;
}

/* ---- sections ---- */

static void defaults(enum conf_section s, void *base)
{
    for (unsigned i = 0; i < conf_key_count; i++) {
        const struct conf_key *k = &conf_keys[i];
        bool good = k->section != s || !k->fallback || value_store(k, k->fallback, base);

        assert(good);
        (void)good;
    }
}

static void section_end(struct parse *p)
{
    char expected[VALUE_EXPECTED_LEN];

    if (p->section < 0)
        return;
    for (unsigned i = 0; i < conf_key_count; i++) {
        const struct conf_key *k = &conf_keys[i];

        if ((int)k->section == p->section && k->required && !p->at->key[i])
            errors_add(&p->errors, p->at->line, "[%s%s%s] lacks %s; add '%s = ', expected %s",
                       conf_sections[p->section].name, *p->called ? " " : "", p->called, k->name,
                       k->name, value_expected(k, expected));
    }
    p->section = -1;
}

/* Line of the section of the same kind and name; 0: none. */
static unsigned line_of_same(const struct parse *p, int s, const char *name)
{
    const struct conf *c = p->c;

    for (unsigned i = 0; i < p->counts[s]; i++) {
        if (s == SECTION_MEMBER && strcasecmp(p->member[i].name, name) == 0)
            return p->member_at[i].line;
        if (s == SECTION_HUB && strcasecmp(c->hub[i].name, name) == 0)
            return p->hub_at[i].line;
        if (s == SECTION_VIP && strcasecmp(p->vip[i].vip.name, name) == 0)
            return p->vip_at[i].line;
        if (s == SECTION_LAN && strcasecmp(c->lan[i].name, name) == 0)
            return p->lan_at[i].line;
    }
    return 0;
}

static void section_open(struct parse *p, enum conf_section s, const char *name)
{
    struct conf *c = p->c;
    unsigned i = p->counts[s]++;
    char *to = NULL;

    switch (s) {
    case SECTION_MEMBER:
        p->base = &p->member[i];
        p->at = &p->member_at[i];
        to = p->member[i].name;
        break;
    case SECTION_HUB:
        p->base = &c->hub[c->hub_count++];
        p->at = &p->hub_at[i];
        to = c->hub[i].name;
        break;
    case SECTION_VIP:
        p->base = &p->vip[i];
        p->at = &p->vip_at[i];
        to = p->vip[i].vip.name;
        break;
    case SECTION_LAN:
        p->base = &c->lan[c->lan_count++];
        p->at = &p->lan_at[i];
        to = c->lan[i].name;
        break;
    default:
        p->base = c;
        p->at = &p->single[s];
    }
    if (to) {
        strcpy(to, name);
        defaults(s, p->base);
    }
    p->section = (int)s;
    p->at->line = p->ini.line;
    p->called = to ? to : "";
    p->skip = false;
}

static void section_begin(struct parse *p)
{
    int s = conf_section_find(p->ini.word);
    const char *name = p->ini.value, *near;
    char shown[SHOWN_LEN];
    unsigned line = p->ini.line, same;

    p->skip = true; /* until all is well */
    if (s < 0 && !may_be_shown(p->ini.word)) {
        errors_add(&p->errors, line, "an unknown section; guardmount.conf(5) lists all");
        return;
    }
    if (s < 0) {
        near = conf_section_near(p->ini.word);
        errors_add(&p->errors, line, "unknown section [%s]; %s%s%s", p->ini.word,
                   near ? "did you mean [" : "", near ? near : "guardmount.conf(5) lists all",
                   near ? "]?" : "");
        return;
    }
    const struct conf_section_info *info = &conf_sections[s];
    if (info->named && !*name) {
        errors_add(&p->errors, line, "[%s] needs a name; write [%s NAME]", info->name, info->name);
    } else if (!info->named && *name) {
        errors_add(&p->errors, line, "[%s] takes no name; write [%s]", info->name, info->name);
    } else if (info->named && !value_name(name)) {
        errors_add(&p->errors, line, "[%s %s]: expected a name of 1 to %d letters, digits and ._-",
                   info->name, errors_show(name, shown), MEMBER_NAME_MAX);
    } else if (info->named && (same = line_of_same(p, s, name))) {
        errors_add(&p->errors, line, "[%s %s] stands in line %u already; remove one of them",
                   info->name, name, same);
    } else if (!info->named && p->counts[s]) {
        errors_add(&p->errors, line, "[%s] stands in line %u already; put all its keys there",
                   info->name, p->single[s].line);
    } else if (p->counts[s] == info->max) {
        errors_add(&p->errors, line, "too many [%s] sections; there may be %u", info->name,
                   info->max);
    } else {
        section_open(p, (enum conf_section)s, name);
    }
}

/* ---- keys ---- */

static bool is_list(const struct conf_key *k)
{
    return k->type == TYPE_INTERFACE_ADDRESSES || k->type == TYPE_PREFIXES;
}

static void unknown_key(struct parse *p)
{
    const char *in = conf_sections[p->section].name;
    const char *near = conf_key_near((enum conf_section)p->section, p->ini.word);
    unsigned line = p->ini.line;

    if (!may_be_shown(p->ini.word)) {
        errors_add(&p->errors, line, "an unknown key in [%s]; expected 'Key = value' on one line",
                   in);
        return;
    }
    for (unsigned i = 0; i < conf_key_count && !near; i++)
        if (strcasecmp(conf_keys[i].name, p->ini.word) == 0) {
            errors_add(&p->errors, line, "%s stands in [%s]; it belongs into [%s]",
                       conf_keys[i].name, in, conf_sections[conf_keys[i].section].name);
            return;
        }
    errors_add(&p->errors, line, "unknown key '%s' in [%s]; %s%s%s", p->ini.word, in,
               near ? "did you mean '" : "", near ? near : "guardmount.conf(5) lists all",
               near ? "'?" : "");
    if (near) /* it need not be missed as well */
        p->at->key[conf_key_find((enum conf_section)p->section, near) - conf_keys] = line;
}

static void bad_value(struct parse *p, const struct conf_key *k)
{
    char expected[VALUE_EXPECTED_LEN], shown[SHOWN_LEN];

    value_expected(k, expected);
    if (!*p->ini.value)
        errors_add(&p->errors, p->ini.line, "%s has no value; expected %s", k->name, expected);
    else if (k->type == TYPE_KEY)
        errors_add(&p->errors, p->ini.line, "%s is no key; expected %s", k->name, expected);
    else
        errors_add(&p->errors, p->ini.line, "%s = %s: expected %s", k->name,
                   errors_show(p->ini.value, shown), expected);
}

static void read_key(struct parse *p)
{
    const struct conf_key *k;

    if (p->skip)
        return;
    if (p->section < 0) {
        errors_add(&p->errors, p->ini.line,
                   "a key stands before the first section; begin with [Node]");
        p->skip = true;
        return;
    }
    k = conf_key_find((enum conf_section)p->section, p->ini.word);
    if (!k) {
        unknown_key(p);
        return;
    }
    unsigned *line = &p->at->key[k - conf_keys];
    if (*line && !is_list(k)) {
        errors_add(&p->errors, p->ini.line, "%s stands in line %u already; remove one of them",
                   k->name, *line);
        return;
    }
    *line = p->ini.line;
    if (!value_store(k, p->ini.value, p->base))
        bad_value(p, k);
}

static void read_all(struct parse *p, const char *text, size_t len)
{
    ini_open(&p->ini, text, len);
    for (;;) {
        switch (ini_next(&p->ini)) {
        case INI_BAD:
            errors_add(&p->errors, p->ini.line, "%s", p->ini.problem);
            break;
        case INI_END:
            section_end(p);
            return;
        case INI_SECTION:
            section_end(p);
            section_begin(p);
            break;
        case INI_KEY:
            read_key(p);
            break;
        }
    }
}

int conf_parse(const char *name, const char *text, size_t len, struct conf **ret,
               char ret_error[CONF_ERROR_LEN])
{
    _cleanup_(conf_freep) struct conf *c = calloc(1, sizeof(*c));
    struct parse *p = sodium_init() < 0 ? NULL : sodium_malloc(sizeof(*p));

    if (!p || !c) {
        snprintf(ret_error, CONF_ERROR_LEN, "%.255s: no memory", name);
        sodium_free(p);
        return -ENOMEM;
    }
    memset(p, 0, sizeof(*p));
    p->c = c;
    p->section = -1;
    p->errors.name = name;
    snprintf(c->path, sizeof(c->path), "%s", name);
    for (int s = 0; s < SECTIONS; s++)
        if (!conf_sections[s].named)
            defaults((enum conf_section)s, c);
    read_all(p, text, len);
    check_whole(p);
    unsigned errors = p->errors.count;
    if (errors)
        errors_print(&p->errors, ret_error);
    sodium_free(p); /* wipes */
    if (errors)
        return -EINVAL;
    *ret_error = 0;
    *ret = TAKE_PTR(c);
    return 0;
}
