#include "cli/conftext.h"
#include "base/bytes.h"
#include "base/err.h"
#include "conf/ini.h"
#include "conf/schema.h"
#include "conf/value.h"
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

struct out {
    char *p;
    size_t len, room;
    bool full;
};

static void put(struct out *o, const char *bytes, size_t len)
{
    o->full |= len >= o->room - o->len;
    if (o->full)
        return;
    memcpy(o->p + o->len, bytes, len);
    o->len += len;
}

static void put_format(struct out *o, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void put_format(struct out *o, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(o->p + o->len, o->room - o->len, format, args);
    va_end(args);
    o->full |= n < 0 || (size_t)n >= o->room - o->len;
    if (!o->full)
        o->len += (size_t)n;
}

/* One line of the text, and where in it that is. */
struct line {
    const char *from, *to; /* with its newline */
    enum ini_kind kind;
    int section; /* it is in, or begins; -1: none */
    bool leaves; /* of the member that is removed */
    struct ini ini;
};

static bool next_line(struct line *l, const char *end, const struct conftext_change *c)
{
    const char *newline;

    if (l->to == end)
        return false;
    l->from = l->to;
    newline = memchr(l->from, '\n', (size_t)(end - l->from));
    l->to = newline ? newline + 1 : end;
    ini_open(&l->ini, l->from, (size_t)(l->to - l->from));
    l->kind = ini_next(&l->ini);
    if (l->kind == INI_SECTION) {
        l->section = conf_section_find(l->ini.word);
        l->leaves =
            c->remove && l->section == SECTION_MEMBER && strcasecmp(l->ini.value, c->remove) == 0;
    }
    return true;
}

/* Behind the last key of the last [Member]; the end where there is none. */
static const char *place_of_members(const char *text, const char *end,
                                    const struct conftext_change *c)
{
    struct line l = {.to = text, .section = -1};
    const char *place = end;

    while (next_line(&l, end, c))
        if (l.section == SECTION_MEMBER && l.kind != INI_END)
            place = l.to;
    return place;
}

static void put_member(struct out *o, const struct conf_member *m)
{
    char key[KEY_TEXT_LEN + 1], at[ENDPOINT_TEXT_LEN];

    key_to_base64(m->sync_public_key, key);
    put_format(o, "%s\n[Member %s]\nId = %u\nSyncPublicKey = %s\nSyncAddress = %s\n",
               o->len && o->p[o->len - 1] != '\n' ? "\n" : "", m->name, m->id, key,
               endpoint_format(&m->sync_address, at));
    if (!addr_is_zero(&m->outer_address))
        put_format(o, "OuterAddress = %s\n", addr_format(&m->outer_address, at));
    for (unsigned i = 0; i < m->inner_address_count; i++)
        put_format(o, "%s%s", i ? ", " : "InnerAddress = ", addr_format(&m->inner_address[i], at));
    if (m->inner_address_count)
        put_format(o, "\n");
}

static void put_members(struct out *o, const char *list, const struct conftext_change *c)
{
    char name[MEMBER_NAME_MAX + 1];
    const char *between = "";

    put_format(o, "Members = ");
    while (value_list_next(&list, name, sizeof(name))) {
        if (c->remove && strcasecmp(name, c->remove) == 0)
            continue;
        put_format(o, "%s%s", between, name);
        between = ", ";
    }
    if (c->add)
        put_format(o, "%s%s", between, c->add->name);
    put_format(o, "\n");
}

/* NULL: it keeps its name. */
static const char *new_name(const struct conftext_change *c, const char *ifname)
{
    for (unsigned i = 0; i < c->rename_count; i++)
        if (strcmp(c->rename[i].from, ifname) == 0)
            return c->rename[i].to;
    return NULL;
}

static void put_vip_addresses(struct out *o, const char *key, const char *list,
                              const struct conftext_change *c)
{
    char element[PREFIX_TEXT_LEN + IFNAME_MAX + 8];
    const char *between = "";

    put_format(o, "%s = ", key);
    while (value_list_next(&list, element, sizeof(element))) {
        struct vip_addr a = {0};
        const char *blank = strrchr(element, ' ');
        const char *name = value_vip_address(element, &a) ? new_name(c, a.ifname) : NULL;

        if (blank && name)
            put_format(o, "%s%.*s %s", between, (int)(blank - element), element, name);
        else
            put_format(o, "%s%s", between, element);
        between = ", ";
    }
    put_format(o, "\n");
}

/* False: the line is not among those that change. */
static bool put_changed(struct out *o, const struct line *l, const struct conftext_change *c)
{
    const struct conf_key *k =
        l->kind == INI_KEY && l->section >= 0 ? conf_key_find(l->section, l->ini.word) : NULL;

    if (!k)
        return false;
    if (c->self && k->section == SECTION_NODE && strcmp(k->name, "Id") == 0)
        put_format(o, "Id = %u\n", c->self);
    else if (c->private_key && strcmp(k->name, "SyncPrivateKey") == 0)
        put_format(o, "SyncPrivateKey = %s\n", c->private_key);
    else if ((c->add || c->remove) && k->type == TYPE_MEMBERS)
        put_members(o, l->ini.value, c);
    else if (c->rename_count && k->type == TYPE_VIP_ADDRESSES)
        put_vip_addresses(o, k->name, l->ini.value, c);
    else if (k->section == SECTION_LAN && k->type == TYPE_IFNAME && new_name(c, l->ini.value))
        put_format(o, "%s = %s\n", k->name, new_name(c, l->ini.value));
    else
        return false;
    return true;
}

int conftext_change(const char *text, size_t len, const struct conftext_change *c, char *ret,
                    size_t room, size_t *ret_len)
{
    const char *end = text + len, *place = c->add ? place_of_members(text, end, c) : NULL;
    const char *comments = NULL; /* behind the last line that left: they are the next section's */
    bool blank = false;          /* the last line that stays is */
    struct line l = {.to = text, .section = -1};
    struct out o = {.p = ret, .room = room};

    if (!room)
        return -ENOSPC;
    while (next_line(&l, end, c)) {
        if (l.leaves) {
            comments = l.kind != INI_END ? l.to : comments;
        } else {
            if (comments) {
                comments += blank && *comments == '\n';
                put(&o, comments, (size_t)(l.from - comments));
            }
            comments = NULL;
            blank = *l.from == '\n';
            if (!put_changed(&o, &l, c))
                put(&o, l.from, (size_t)(l.to - l.from));
        }
        if (l.to == place)
            put_member(&o, c->add);
    }
    if (comments)
        put(&o, comments, (size_t)(end - comments));
    if (o.full)
        return -ENOSPC;
    o.p[o.len] = '\0';
    *ret_len = o.len;
    return 0;
}
