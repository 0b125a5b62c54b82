/* Groups: settings that new clients of a group are given. A group is a record as a peer's is, with
 * a key that is made of its name and that nobody has the private half of: it is replicated, merged
 * and stored as they are. */
#include "app_internal.h"
#include <sodium.h>
#include <stdarg.h>
#include <string.h>

#define GROUP_LABEL "guardmount group "
#define MTU_MIN 1280

static void group_key(const char *name, struct public_key *ret)
{
    uint8_t text[sizeof(GROUP_LABEL) + PEER_GROUP_MAX];
    int len = snprintf((char *)text, sizeof(text), GROUP_LABEL "%s", name);

    crypto_generichash(ret->b, sizeof(ret->b), text, (size_t)len, NULL, 0);
}

const struct peer *app_group_find(const struct app *a, const char *name)
{
    struct public_key key;
    const struct peer *p;

    if (!*name)
        return NULL;
    group_key(name, &key);
    p = store_record(a->store, a->cluster->hub->id, &key);
    return p && p->state == PEER_ACTIVE && p->is_group ? p : NULL;
}

static int refuse(char message[CONTROL_MESSAGE_LEN], int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int refuse(char message[CONTROL_MESSAGE_LEN], int err, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vsnprintf(message, CONTROL_MESSAGE_LEN, format, ap);
    va_end(ap);
    return err;
}

static const struct peer *member_of(const struct app *a, const char *name)
{
    const struct peer *p;
    uint64_t cursor = 0;

    while ((p = store_next(a->store, &cursor)))
        if (p->hub == a->cluster->hub->id && p->state == PEER_ACTIVE && !p->is_group &&
            strcmp(p->group, name) == 0)
            return p;
    return NULL;
}

static int check_list(const char *list, const char *example, char message[CONTROL_MESSAGE_LEN])
{
    char copy[PEER_TEXT_MAX + 1], *rest = copy, *word;
    struct ip_prefix prefix;

    snprintf(copy, sizeof(copy), "%s", list);
    while ((word = strsep(&rest, ", ")))
        if (*word && prefix_parse(word, &prefix) < 0)
            return refuse(message, -EINVAL, "'%.60s' is no network; write %s", word, example);
    return 0;
}

static int fill(const struct peer_command *c, struct peer_change *pc,
                char message[CONTROL_MESSAGE_LEN])
{
    if (c->has_mtu && c->mtu && c->mtu < MTU_MIN)
        return refuse(message, -EINVAL, "an MTU is %d or more, or 0 for the hub's", MTU_MIN);
    if (c->has_text[PEER_ROUTES] &&
        check_list(c->text[PEER_ROUTES], "--route 10.0.0.0/8,192.168.0.0/16, or --route all",
                   message) < 0)
        return -EINVAL;
    if (c->has_text[PEER_NETWORKS] &&
        check_list(c->text[PEER_NETWORKS], "--network 10.1.0.0/16,10.2.0.5, or --network none",
                   message) < 0)
        return -EINVAL;
    pc->has_keepalive = c->has_keepalive;
    pc->keepalive_s = c->keepalive_s;
    pc->has_mtu = c->has_mtu;
    pc->mtu = c->mtu;
    pc->has_policy = c->has_policy;
    pc->policy = c->policy;
    for (unsigned t = 0; t < PEER_TEXTS; t++)
        if (c->has_text[t] && peer_change_text(pc, (enum peer_text)t, c->text[t]) < 0)
            return refuse(message, -ENOMEM, "no memory");
    return 0;
}

int app_group_change(const struct app *a, const struct peer_command *c, struct change *ret,
                     char message[CONTROL_MESSAGE_LEN])
{
    const struct peer *group = app_group_find(a, c->peer), *member;
    struct public_key key;
    struct peer_change *pc;

    group_key(c->peer, &key);
    pc = change_add_peer(ret, &key);
    if (!pc)
        return refuse(message, -ENOMEM, "no memory");
    pc->is_group = true;
    if (!group && c->verb != PEER_ADD)
        return refuse(message, -ENOENT, "there is no group '%s'; 'guardmount group list' shows all",
                      c->peer);
    switch (c->verb) {
    case PEER_ADD:
        if (group)
            return refuse(message, -EEXIST,
                          "a group '%s' is there already; see 'guardmount group set'", c->peer);
        if (!*c->peer || strcmp(c->peer, "none") == 0)
            return refuse(message, -EINVAL, "a group needs a name other than 'none'");
        pc->has_name = true;
        snprintf(pc->name, sizeof(pc->name), "%s", c->peer);
        return fill(c, pc, message);
    case PEER_SET:
        return fill(c, pc, message);
    case PEER_REMOVE:
        member = member_of(a, c->peer);
        if (member)
            return refuse(message, -EBUSY,
                          "peer '%s' is in group '%s'; say 'guardmount peer set ... --group none' "
                          "of all its peers first",
                          app_record_name(member), c->peer);
        pc->remove = true;
        return 0;
    default:
        return refuse(message, -EINVAL, "a group is listed, shown, added, set or removed");
    }
}
