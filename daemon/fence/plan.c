#include "fence/plan.h"
#include "base/err.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define SET_NAME_LEN (3 * PEER_GROUP_MAX + 1)

struct fence_plan *plan_new(uint8_t hub, const char *ifname)
{
    struct fence_plan *p = calloc(1, sizeof(*p));

    if (p) {
        p->hub = hub;
        snprintf(p->ifname, sizeof(p->ifname), "%s", ifname);
    }
    return p;
}

void plan_free(struct fence_plan *p)
{
    if (!p)
        return;
    for (unsigned i = 0; i < p->group_count; i++)
        free(p->groups[i].networks);
    free(p->groups);
    free(p->names);
    free(p->entries);
    ranges_done(&p->peers4);
    ranges_done(&p->peers6);
    free(p);
}

int plan_add_group(struct fence_plan *p, const char *name, const struct ip_prefix *networks,
                   unsigned count)
{
    struct fence_group *g;

    if (p->group_count == FENCE_GROUPS_MAX)
        return -E2BIG;
    g = reallocarray(p->groups, p->group_count + 1, sizeof(*g));
    if (!g)
        return -ENOMEM;
    p->groups = g;
    g += p->group_count;
    *g = (struct fence_group){.networks = calloc(count + 1, sizeof(*g->networks)),
                              .network_count = count};
    if (!g->networks)
        return -ENOMEM;
    snprintf(g->name, sizeof(g->name), "%s", name);
    for (unsigned i = 0; i < count; i++)
        g->networks[i].prefix = networks[i];
    return (int)p->group_count++;
}

int plan_add(struct fence_plan *p, const struct ip_prefix *prefix, uint16_t group)
{
    if (p->entry_count == p->entry_room) {
        unsigned room = MAX(2 * p->entry_room, 64);
        struct fence_entry *e = reallocarray(p->entries, room, sizeof(*e));

        if (!e)
            return -ENOMEM;
        p->entries = e;
        p->entry_room = room;
    }
    p->entries[p->entry_count++] = (struct fence_entry){*prefix, group};
    return 0;
}

int plan_close(struct fence_plan *p)
{
    int r = ranges_make(p->entries, p->entry_count, false, &p->peers4);

    return r < 0 ? r : ranges_make(p->entries, p->entry_count, true, &p->peers6);
}

const char *plan_table(uint8_t hub, char ret[FENCE_TABLE_LEN])
{
    snprintf(ret, FENCE_TABLE_LEN, "guardmount_%u", hub);
    return ret;
}

/* ---- text ---- */

/* What nftables takes as a name, and no two groups alike. */
static const char *set_name(const char *group, char ret[SET_NAME_LEN])
{
    char *to = ret;

    for (const char *c = group; *c; c++) {
        if (isalnum((unsigned char)*c) || *c == '-' || *c == '.')
            *to++ = *c;
        else
            to += sprintf(to, "_%02x", (unsigned char)*c);
    }
    *to = 0;
    return ret;
}

/* The ranges of @group as a set. */
static void print_set(FILE *f, const char *name, bool v6, const struct ranges *r, uint16_t group)
{
    const char *separator = "elements = {\n";
    char first[ADDR_TEXT_LEN], last[ADDR_TEXT_LEN];

    fprintf(f, "set %s {\ntype %s\nflags interval\n", name, v6 ? "ipv6_addr" : "ipv4_addr");
    for (unsigned i = 0; i < r->count; i++) {
        const struct range *e = &r->at[i];

        if (e->group != group)
            continue;
        fprintf(f, "%s%s", separator, addr_format(&e->first, first));
        if (!addr_equal(&e->first, &e->last))
            fprintf(f, "-%s", addr_format(&e->last, last));
        separator = ",\n";
    }
    fputs(*separator == ',' ? "\n}\n}\n" : "}\n", f);
}

static int print_group_sets(FILE *f, const struct fence_plan *p, uint16_t group)
{
    const struct fence_group *g = &p->groups[group];
    char name[SET_NAME_LEN + 16], id[SET_NAME_LEN];

    set_name(g->name, id);
    for (unsigned v6 = 0; v6 <= 1; v6++) {
        struct ranges networks;
        int r = ranges_make(g->networks, g->network_count, v6, &networks);

        if (r < 0)
            return r;
        snprintf(name, sizeof(name), "networks%c_%s", v6 ? '6' : '4', id);
        print_set(f, name, v6, &networks, 0);
        ranges_done(&networks);
        snprintf(name, sizeof(name), "peers%c_%s", v6 ? '6' : '4', id);
        print_set(f, name, v6, v6 ? &p->peers6 : &p->peers4, group);
    }
    return 0;
}

static void print_group_chain(FILE *f, const struct fence_plan *p, uint16_t group)
{
    char id[SET_NAME_LEN];

    set_name(p->groups[group].name, id);
    fprintf(f,
            "chain of_%s {\n"
            "oifname \"%s\" ip daddr != @peers4_%s counter reject with icmpx admin-prohibited\n"
            "oifname \"%s\" ip6 daddr != @peers6_%s counter reject with icmpx admin-prohibited\n"
            "ip daddr @networks4_%s accept\n"
            "ip6 daddr @networks6_%s accept\n"
            "counter reject with icmpx admin-prohibited\n"
            "}\n",
            id, p->ifname, id, p->ifname, id, id, id);
}

static void print_base_chains(FILE *f, const struct fence_plan *p)
{
    static const char begin[] = "chain %s {\ntype filter hook %s priority filter\npolicy accept\n"
                                "iifname \"%s\" jump from_peers\n";

    fprintf(f, begin, "input", "input", p->ifname);
    fputs("}\n", f);
    fprintf(f, begin, "forward", "forward", p->ifname);
    fprintf(f, "iifname != \"%s\" oifname \"%s\" jump to_peers\n}\n", p->ifname, p->ifname);
}

static void print_groups_rules(FILE *f, const struct fence_plan *p)
{
    char id[SET_NAME_LEN];

    for (unsigned i = 0; i < p->group_count; i++) {
        set_name(p->groups[i].name, id);
        fprintf(f, "ip saddr @peers4_%s goto of_%s\nip6 saddr @peers6_%s goto of_%s\n", id, id, id,
                id);
    }
}

static int print_table(FILE *f, const struct fence_plan *p)
{
    char table[FENCE_TABLE_LEN];
    int r = 0;

    plan_table(p->hub, table);
    /* Owned by our socket: nobody else changes it, and it goes when we go. */
    fprintf(f, "table inet %s {\nflags owner\n}\ndelete table inet %s\n", table, table);
    fprintf(f, "table inet %s {\nflags owner\n", table);
    print_set(f, "open4", false, &p->peers4, FENCE_OPEN);
    print_set(f, "open6", true, &p->peers6, FENCE_OPEN);
    for (unsigned i = 0; i < p->group_count && r >= 0; i++)
        r = print_group_sets(f, p, (uint16_t)i);
    for (unsigned i = 0; i < p->group_count; i++)
        print_group_chain(f, p, (uint16_t)i);
    fputs("chain from_peers {\nct state established,related accept\n"
          "ip saddr @open4 accept\nip6 saddr @open6 accept\n",
          f);
    print_groups_rules(f, p);
    /* What a sibling passes on of its peers: only here it is seen whose peer it is for. */
    fputs("counter drop\n}\nchain to_peers {\nct state established,related accept\n", f);
    print_groups_rules(f, p);
    fputs("}\n", f);
    print_base_chains(f, p);
    fputs("}\n", f);
    return r;
}

int plan_text(const struct fence_plan *p, char **ret)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    int r;

    if (!f)
        return -ENOMEM;
    r = print_table(f, p);
    if (fclose(f) != 0 && r >= 0)
        r = -ENOMEM;
    if (r < 0) {
        free(text);
        return r;
    }
    *ret = text;
    return 0;
}

/* ---- what a change ends ---- */

/* Everything that @a lists, @b lists as it is. */
static bool lists_all(const struct fence_group *a, const struct fence_group *b)
{
    for (unsigned i = 0; i < a->network_count; i++) {
        unsigned k = 0;

        while (k < b->network_count &&
               !prefix_equal(&a->networks[i].prefix, &b->networks[k].prefix))
            k++;
        if (k == b->network_count)
            return false;
    }
    return true;
}

/* The same group that may reach at least as much; FENCE_OPEN: there is none. */
static uint16_t successor(const struct fence_group *g, const struct fence_plan *now)
{
    for (unsigned i = 0; i < now->group_count; i++)
        if (strcmp(now->groups[i].name, g->name) == 0)
            return lists_all(g, &now->groups[i]) ? (uint16_t)i : FENCE_OPEN;
    return FENCE_OPEN;
}

/* The same addresses, all of which may reach everything. */
static struct fence_plan *opened(const struct fence_plan *p)
{
    _cleanup_(plan_freep) struct fence_plan *o = plan_new(p->hub, p->ifname);

    if (!o)
        return NULL;
    for (unsigned i = 0; i < p->entry_count; i++)
        if (plan_add(o, &p->entries[i].prefix, FENCE_OPEN) < 0)
            return NULL;
    return plan_close(o) < 0 ? NULL : TAKE_PTR(o);
}

int plan_lost(const struct fence_plan *before, const struct fence_plan *now, struct ranges *ret_v4,
              struct ranges *ret_v6)
{
    _cleanup_(plan_freep) struct fence_plan *none = NULL;
    struct ranges v4, v6;
    int r;

    if (!before)
        before = none = opened(now);
    if (!before)
        return -ENOMEM;
    _cleanup_(freep) uint16_t *became = calloc(before->group_count + 1, sizeof(*became));
    if (!became)
        return -ENOMEM;
    for (unsigned i = 0; i < before->group_count; i++)
        became[i] = successor(&before->groups[i], now);
    if ((r = ranges_lost(&before->peers4, &now->peers4, became, &v4)) < 0)
        return r;
    if ((r = ranges_lost(&before->peers6, &now->peers6, became, &v6)) < 0) {
        ranges_done(&v4);
        return r;
    }
    *ret_v4 = v4;
    *ret_v6 = v6;
    return 0;
}
