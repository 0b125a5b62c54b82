/* The difference between two configurations: what of it needs a restart. */
#include "base/err.h"
#include "conf/parse.h"
#include "conf/value.h"
#include <stdio.h>
#include <string.h>

struct diff {
    struct errors errors;
    const struct conf *now, *next;
};

static void restart(struct diff *d, const char *section, const char *name, const char *what)
{
    errors_add(&d->errors, 0, "[%s%s%s] %s changed; restart needed", section, *name ? " " : "",
               name, what);
}

static void compare(struct diff *d, enum conf_section s, const char *name, const void *now,
                    const void *next)
{
    for (unsigned i = 0; i < conf_key_count; i++) {
        const struct conf_key *k = &conf_keys[i];

        if (k->section == s && !k->live && !value_equal(k, now, next))
            restart(d, conf_sections[s].name, name, k->name);
    }
}

/* False: there is no such section before or after, which was told. */
static bool is_same(struct diff *d, enum conf_section s, const char *now, const char *next)
{
    if (strcmp(now, next) == 0)
        return true;
    errors_add(&d->errors, 0, "[%s %s] %s; restart needed", conf_sections[s].name,
               *now ? now : next,
               !*now    ? "is new"
               : !*next ? "is gone"
                        : "is another one");
    return false;
}

/* As the file says it: the draft of the parser is what the schema knows. */
static struct vip_draft draft(const struct conf *c, const struct vip *v)
{
    struct vip_draft d = {.vip = *v};
    size_t n = 0;

    for (unsigned h = 0; h < c->hub_count; h++)
        if (c->hub[h].id == v->hub)
            snprintf(d.hub, sizeof(d.hub), "%s", c->hub[h].name);
    for (unsigned i = 0; i < MEMBERS_MAX && v->order[i] && n < sizeof(d.members); i++)
        n += (size_t)snprintf(d.members + n, sizeof(d.members) - n, "%s%u", i ? "," : "",
                              v->order[i]);
    return d;
}

/* A member that was not there: the running ones take it in, and it takes nothing from them. */
static bool is_newcomer(const struct diff *d, uint8_t member)
{
    return !d->now->member[member].id && d->next->member[member].id && member != d->now->self;
}

/* The same members first, and behind them newcomers only. */
static bool only_grows(const struct diff *d, const struct vip *now, const struct vip *next)
{
    unsigned n = 0;

    for (; n < MEMBERS_MAX && now->order[n]; n++)
        if (next->order[n] != now->order[n])
            return false;
    for (; n < MEMBERS_MAX && next->order[n]; n++)
        if (!is_newcomer(d, next->order[n]))
            return false;
    return true;
}

static void compare_lists(struct diff *d)
{
    const struct conf *a = d->now, *b = d->next;

    for (unsigned i = 0; i < MAX(a->hub_count, b->hub_count); i++)
        if (is_same(d, SECTION_HUB, a->hub[i].name, b->hub[i].name))
            compare(d, SECTION_HUB, a->hub[i].name, &a->hub[i], &b->hub[i]);
    for (unsigned i = 0; i < MAX(a->vip_count, b->vip_count); i++) {
        if (!is_same(d, SECTION_VIP, a->vip[i].name, b->vip[i].name))
            continue;
        struct vip_draft now = draft(a, &a->vip[i]), next = draft(b, &b->vip[i]);
        if (only_grows(d, &a->vip[i], &b->vip[i]))
            memcpy(next.members, now.members, sizeof(next.members));
        compare(d, SECTION_VIP, a->vip[i].name, &now, &next);
    }
    for (unsigned i = 0; i < MAX(a->lan_count, b->lan_count); i++)
        if (is_same(d, SECTION_LAN, a->lan[i].name, b->lan[i].name))
            compare(d, SECTION_LAN, a->lan[i].name, &a->lan[i], &b->lan[i]);
}

int conf_reload_check(const struct conf *now, const struct conf *next,
                      char ret_error[CONF_ERROR_LEN])
{
    struct diff d = {.errors.name = next->path, .now = now, .next = next};

    compare(&d, SECTION_NODE, "", now, next);
    compare(&d, SECTION_CLUSTER, "", now, next);
    compare(&d, SECTION_KEEPALIVED, "", now, next);
    compare(&d, SECTION_FAILOVER, "", now, next);
    compare(&d, SECTION_CONNTRACKD, "", now, next);
    compare(&d, SECTION_METRICS, "", now, next);
    compare(&d, SECTION_DRILL, "", now, next);
    for (uint8_t m = 1; m < MEMBERS_MAX; m++)
        if (!is_newcomer(&d, m) &&
            is_same(&d, SECTION_MEMBER, now->member[m].name, next->member[m].name))
            compare(&d, SECTION_MEMBER, now->member[m].name, &now->member[m], &next->member[m]);
    compare_lists(&d);
    if (!d.errors.count)
        return 0;
    errors_print(&d.errors, ret_error);
    return -EBUSY;
}

static void swap(struct secret32 **a, struct secret32 **b)
{
    struct secret32 *was = *a;

    *a = *b;
    *b = was;
}

void conf_keep_keys(struct conf *now, struct conf *next)
{
    swap(&now->cluster_key, &next->cluster_key);
    swap(&now->sync_private_key, &next->sync_private_key);
    for (unsigned i = 0; i < now->hub_count; i++)
        swap(&now->hub[i].private_key, &next->hub[i].private_key);
}
