/* Groups and peers of the store, as what the fence knows of them. */
#include "base/err.h"
#include "fence/plan.h"
#include <stdio.h>
#include <string.h>

struct fence_name {
    char name[PEER_GROUP_MAX + 1];
    uint16_t group; /* FENCE_OPEN, or of the plan */
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct fence_name *)a)->name, ((const struct fence_name *)b)->name);
}

static int add_name(struct fence_plan *p, const char *name, uint16_t group)
{
    struct fence_name *n = reallocarray(p->names, p->name_count + 1, sizeof(*n));

    if (!n)
        return -ENOMEM;
    p->names = n;
    n += p->name_count++;
    snprintf(n->name, sizeof(n->name), "%s", name);
    n->group = group;
    p->names_sorted = false;
    return 0;
}

/* What cannot be read is not reached: commands and codecs let no such list in. */
static int add_isolated(struct fence_plan *p, const char *name, const char *networks)
{
    _cleanup_(freep) char *text = strdup(networks);
    _cleanup_(freep) struct ip_prefix *list = calloc(PEER_TEXT_MAX, sizeof(*list));
    char *rest = text;
    unsigned count = 0;

    if (!text || !list)
        return -ENOMEM;
    for (char *word; (word = strsep(&rest, ", "));)
        if (*word && prefix_parse(word, &list[count]) >= 0)
            count++;
    return plan_add_group(p, name, list, count);
}

int plan_take_group(struct fence_plan *p, const struct peer *group)
{
    int r = FENCE_OPEN;

    if (group->policy != POLICY_OPEN)
        r = add_isolated(p, group->name, peer_text(group, PEER_NETWORKS));
    return r < 0 ? r : add_name(p, group->name, (uint16_t)r);
}

static const struct fence_name *find_name(struct fence_plan *p, const char *name)
{
    struct fence_name want;

    if (!p->name_count)
        return NULL;
    if (!p->names_sorted)
        qsort(p->names, p->name_count, sizeof(*p->names), by_name);
    p->names_sorted = true;
    snprintf(want.name, sizeof(want.name), "%s", name);
    return bsearch(&want, p->names, p->name_count, sizeof(want), by_name);
}

static int group_of(struct fence_plan *p, const char *name)
{
    const struct fence_name *known;
    int r;

    if (!*name)
        return FENCE_OPEN;
    if ((known = find_name(p, name)))
        return known->group;
    if ((r = add_isolated(p, name, "")) < 0)
        return r;
    int added = add_name(p, name, (uint16_t)r);
    return added < 0 ? added : r;
}

int plan_take_peer(struct fence_plan *p, const struct peer *peer)
{
    int group = group_of(p, peer->group), r = group < 0 ? group : 0;

    for (unsigned i = 0; r >= 0 && i < peer->allowed_count; i++)
        r = plan_add(p, &peer->allowed[i], (uint16_t)group);
    return r;
}
