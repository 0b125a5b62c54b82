/* What only the whole of a file shows. A part that is wrong already is left out here, so that one
 * mistake is told once. */
#include "base/bytes.h"
#include "conf/parse.h"
#include "conf/value.h"
#include "model/addrpool.h"
#include <sodium.h>
#include <stdio.h>
#include <strings.h>

#define IPV6_MTU_MIN                                                                               \
    1280                  /* RFC 8200 section 5: the kernel takes IPv6 off an interface below it   \
                           */
#define ADVERT_STEP_MS 10 /* VRRPv3 counts in centiseconds */

static void check_members(struct parse *p)
{
    static const struct ip_addr none;
    struct conf *c = p->c;

    for (unsigned i = 0; i < p->counts[SECTION_MEMBER]; i++) {
        const struct conf_member *m = &p->member[i];
        const struct origin *at = &p->member_at[i];

        for (unsigned j = 0; j < i; j++) {
            const struct conf_member *o = &p->member[j];

            if (m->id && m->id == o->id)
                errors_add(&p->errors, origin_line(at, SECTION_MEMBER, "Id"),
                           "Id = %u is [Member %s]'s already; give each member its own", m->id,
                           o->name);
            if (!sodium_is_zero(m->sync_public_key, 32) &&
                memcmp(m->sync_public_key, o->sync_public_key, 32) == 0)
                errors_add(&p->errors, origin_line(at, SECTION_MEMBER, "SyncPublicKey"),
                           "SyncPublicKey is [Member %s]'s already; run 'guardmount genkey' on "
                           "each member",
                           o->name);
            if (endpoint_is_set(&m->sync_address) &&
                endpoint_equal(&m->sync_address, &o->sync_address))
                errors_add(&p->errors, origin_line(at, SECTION_MEMBER, "SyncAddress"),
                           "SyncAddress is [Member %s]'s already; give each member its own",
                           o->name);
        }
        if (m->id && !c->member[m->id].id)
            c->member[m->id] = *m;
        bool inner = false;
        for (unsigned v = 0; v < p->counts[SECTION_VIP]; v++)
            inner |= p->vip[v].vip.inner_count > 0;
        if (c->unicast && addr_equal(&m->outer_address, &none) &&
            !origin_has(at, SECTION_MEMBER, "OuterAddress"))
            errors_add(&p->errors, at->line, "Mode = unicast needs OuterAddress in [Member %s]",
                       m->name);
        if (m->inner_address_count == CONF_INNER_MAX &&
            addr_is_v4(&m->inner_address[0]) == addr_is_v4(&m->inner_address[1]))
            errors_add(&p->errors, origin_line(at, SECTION_MEMBER, "InnerAddress"),
                       "InnerAddress has two addresses of one family; give one of each");
        if (c->unicast && inner && !origin_has(at, SECTION_MEMBER, "InnerAddress"))
            errors_add(&p->errors, at->line, "Mode = unicast needs InnerAddress in [Member %s]",
                       m->name);
    }
}

/* Is there a member whose id could not be read? Then any id may be its. */
static bool ids_are_known(const struct parse *p)
{
    bool known = p->counts[SECTION_MEMBER] > 0;

    for (unsigned i = 0; i < p->counts[SECTION_MEMBER]; i++)
        known &= p->member[i].id != 0;
    return known;
}

static void check_self(struct parse *p)
{
    const struct conf *c = p->c;
    const struct conf_member *m = &c->member[c->self];
    uint8_t public_key[32];

    if (!c->self)
        return;
    if (!m->id) {
        if (ids_are_known(p))
            errors_add(&p->errors, origin_line(&p->single[SECTION_NODE], SECTION_NODE, "Id"),
                       "Id = %u, and no [Member] has that Id", c->self);
        return;
    }
    if (!c->sync_private_key || sodium_is_zero(c->sync_private_key->b, 32) ||
        sodium_is_zero(m->sync_public_key, 32))
        return;
    if (crypto_scalarmult_base(public_key, c->sync_private_key->b) == 0 &&
        memcmp(public_key, m->sync_public_key, 32) != 0)
        errors_add(&p->errors,
                   origin_line(&p->single[SECTION_CLUSTER], SECTION_CLUSTER, "SyncPrivateKey"),
                   "SyncPrivateKey is not that of SyncPublicKey in [Member %s]; use the pair that "
                   "'guardmount genkey' prints",
                   m->name);
}

static void check_hubs(struct parse *p)
{
    for (unsigned i = 0; i < p->c->hub_count; i++) {
        struct conf_hub *h = &p->c->hub[i];
        bool v6 = false;

        if (!*h->ifname && h->id)
            snprintf(h->ifname, sizeof(h->ifname), "hub%u", h->id);
        for (unsigned a = 0; a < h->address_count; a++)
            v6 |= h->address[a].prefix.v6;
        for (unsigned a = 0; a < h->pool_count; a++)
            v6 |= h->pool[a].v6;
        if (v6 && h->mtu < IPV6_MTU_MIN)
            errors_add(&p->errors, origin_line(&p->hub_at[i], SECTION_HUB, "MTU"),
                       "MTU = %u is too small for IPv6 in [Hub %s]; at least %d", h->mtu, h->name,
                       IPV6_MTU_MIN);
    }
}

/* ---- VIPs ---- */

static void resolve_members(struct parse *p, const struct vip_draft *d, struct vip *v,
                            unsigned line)
{
    const char *at = d->members;
    char name[MEMBER_NAME_MAX + 1];
    unsigned count = 0;

    while (*d->members && value_list_next(&at, name, sizeof(name))) {
        const struct conf_member *m = NULL;

        for (unsigned i = 0; i < p->counts[SECTION_MEMBER]; i++)
            if (strcasecmp(p->member[i].name, name) == 0)
                m = &p->member[i];
        if (!m)
            errors_add(&p->errors, line, "Members names '%s', and there is no [Member %s]", name,
                       name);
        else if (m->id && memchr(v->order, m->id, count))
            errors_add(&p->errors, line, "Members names '%s' twice", name);
        else
            v->order[count++] = m->id;
    }
}

static void resolve_hub(struct parse *p, const struct vip_draft *d, struct vip *v, unsigned line)
{
    const struct conf *c = p->c;

    for (unsigned h = 0; h < c->hub_count; h++)
        if (strcasecmp(c->hub[h].name, d->hub) == 0) {
            v->hub = c->hub[h].id;
            return;
        }
    if (*d->hub)
        errors_add(&p->errors, line, "Hub = %s, and there is no [Hub %s]", d->hub, d->hub);
}

static bool has_address(const struct vip_addr *list, unsigned count, const struct ip_addr *a)
{
    for (unsigned i = 0; i < count; i++)
        if (addr_equal(&list[i].addr, a))
            return true;
    return false;
}

/* Each address once: in its own lists as in those of the VIPs before it. */
static void check_addresses(struct parse *p, unsigned i)
{
    const struct vip *v = &p->vip[i].vip;

    for (unsigned k = 0; k < v->outer_count + v->inner_count; k++) {
        bool outer = k < v->outer_count;
        unsigned n = outer ? k : k - v->outer_count;
        const struct vip_addr *a = outer ? &v->outer[n] : &v->inner[n];
        const struct vip *other =
            has_address(outer ? v->outer : v->inner, n, &a->addr) ||
                    (!outer && has_address(v->outer, v->outer_count, &a->addr))
                ? v
                : NULL;
        char text[ADDR_TEXT_LEN];

        for (unsigned j = 0; j < i && !other; j++)
            if (has_address(p->vip[j].vip.outer, p->vip[j].vip.outer_count, &a->addr) ||
                has_address(p->vip[j].vip.inner, p->vip[j].vip.inner_count, &a->addr))
                other = &p->vip[j].vip;
        if (other)
            errors_add(&p->errors,
                       origin_line(&p->vip_at[i], SECTION_VIP, outer ? "Outer" : "Inner"),
                       "%s is [Vip %s]'s already; each address stands once",
                       addr_format(&a->addr, text), other->name);
    }
}

static bool share_interface(const struct vip *v)
{
    for (unsigned i = 0; i < v->outer_count; i++)
        for (unsigned j = 0; j < v->inner_count; j++)
            if (strcmp(v->outer[i].ifname, v->inner[j].ifname) == 0)
                return true;
    return false;
}

static void check_vrids(struct parse *p, unsigned i)
{
    const struct vip *v = &p->vip[i].vip;
    const struct origin *at = &p->vip_at[i];
    unsigned line = origin_line(at, SECTION_VIP, "VridInner");

    if (v->inner_count && !origin_has(at, SECTION_VIP, "VridInner"))
        errors_add(&p->errors, at->line, "[Vip %s] has Inner addresses and lacks VridInner",
                   v->name);
    if (v->vrid_outer && v->vrid_outer == v->vrid_inner && share_interface(v))
        errors_add(&p->errors, line,
                   "VridInner = %u is VridOuter too, on one interface; give each its own",
                   v->vrid_inner);
    for (unsigned j = 0; j < i; j++) {
        const struct vip *o = &p->vip[j].vip;

        if (v->vrid_inner && v->vrid_inner == o->vrid_inner)
            errors_add(&p->errors, line, "VridInner = %u is [Vip %s]'s already; give each its own",
                       v->vrid_inner, o->name);
        if (v->vrid_outer && v->vrid_outer == o->vrid_outer)
            errors_add(&p->errors, origin_line(at, SECTION_VIP, "VridOuter"),
                       "VridOuter = %u is [Vip %s]'s already; give each its own", v->vrid_outer,
                       o->name);
    }
}

/* Each network has one VIP, and each member of it can be reached on the LAN in its family. */
static void check_pools(struct parse *p, unsigned i)
{
    const struct conf *c = p->c;
    const struct vip *v = &c->vip[i];
    unsigned line = origin_line(&p->vip_at[i], SECTION_VIP, "Pool");
    char text[PREFIX_TEXT_LEN];

    if (v->pool_count && !v->inner_count)
        errors_add(&p->errors, line, "[Vip %s] has a Pool and lacks Inner addresses", v->name);
    for (unsigned k = 0; k < v->pool_count; k++) {
        const struct ip_prefix *pool = &v->pool[k];

        for (unsigned j = 0; j <= i; j++)
            for (unsigned o = 0; o < (j == i ? k : c->vip[j].pool_count); o++)
                if (prefix_overlaps(pool, &c->vip[j].pool[o]))
                    errors_add(&p->errors, line,
                               "Pool = %s overlaps one of [Vip %s]; a network has one VIP",
                               prefix_format(pool, text), c->vip[j].name);
        for (unsigned m = 0; m < MEMBERS_MAX && v->order[m] && v->order[1]; m++) {
            const struct conf_member *member = &c->member[v->order[m]];

            if (member->id && !conf_inner_address(member, pool->v6))
                errors_add(&p->errors, line,
                           "Pool = %s needs an IPv%c InnerAddress in [Member %s]: its siblings "
                           "route the pool there",
                           prefix_format(pool, text), pool->v6 ? '6' : '4', member->name);
        }
    }
}

static void check_vips(struct parse *p)
{
    struct conf *c = p->c;

    for (unsigned i = 0; i < p->counts[SECTION_VIP]; i++) {
        const struct vip_draft *d = &p->vip[i];
        const struct origin *at = &p->vip_at[i];
        struct vip *v = &c->vip[c->vip_count++];

        *v = d->vip;
        resolve_hub(p, d, v, origin_line(at, SECTION_VIP, "Hub"));
        resolve_members(p, d, v, origin_line(at, SECTION_VIP, "Members"));
        check_addresses(p, i);
        check_vrids(p, i);
        check_pools(p, i);
        for (unsigned j = 0; j < i; j++)
            if (v->id && c->vip[j].id == v->id)
                errors_add(&p->errors, origin_line(at, SECTION_VIP, "VipId"),
                           "VipId = %u is [Vip %s]'s already; give each its own", v->id,
                           c->vip[j].name);
    }
}

/* ---- LANs ---- */

static bool uses_interface(const struct vip_addr *list, unsigned count, const char *ifname)
{
    for (unsigned i = 0; i < count; i++)
        if (strcmp(list[i].ifname, ifname) == 0)
            return true;
    return false;
}

static bool is_on(const struct vip *v, const char *ifname)
{
    return uses_interface(v->outer, v->outer_count, ifname) ||
           uses_interface(v->inner, v->inner_count, ifname);
}

uint32_t conf_lans_of(const struct conf *c, const struct vip *v)
{
    uint32_t lans = 0;

    for (unsigned i = 0; i < c->lan_count; i++) {
        bool anybodys = false;

        for (unsigned o = 0; o < c->vip_count; o++)
            anybodys |= is_on(&c->vip[o], c->lan[i].ifname);
        if (!anybodys || is_on(v, c->lan[i].ifname))
            lans |= 1u << i;
    }
    return lans;
}

/* A LAN without probes asks the siblings by the address that they have on it. */
static void default_probes(struct conf *c, struct conf_lan *l)
{
    bool outer = false, inner = false;

    for (unsigned v = 0; v < c->vip_count; v++) {
        outer |= uses_interface(c->vip[v].outer, c->vip[v].outer_count, l->ifname);
        inner |= uses_interface(c->vip[v].inner, c->vip[v].inner_count, l->ifname);
    }
    for (unsigned m = 1; m < MEMBERS_MAX && l->probe_count < CONF_PROBES_MAX; m++) {
        const struct conf_member *o = &c->member[m];

        if (!o->id || m == c->self)
            continue;
        if (outer && !addr_is_zero(&o->outer_address))
            l->probe[l->probe_count++] = o->outer_address;
        else if (!outer && inner && o->inner_address_count)
            l->probe[l->probe_count++] = o->inner_address[0];
    }
}

static void check_lans(struct parse *p)
{
    struct conf *c = p->c;

    for (unsigned i = 0; i < c->lan_count; i++) {
        for (unsigned j = 0; j < i; j++)
            if (*c->lan[i].ifname && strcmp(c->lan[i].ifname, c->lan[j].ifname) == 0)
                errors_add(&p->errors, origin_line(&p->lan_at[i], SECTION_LAN, "Interface"),
                           "Interface = %s is [Lan %s]'s already; one section for each LAN",
                           c->lan[i].ifname, c->lan[j].name);
        if (!origin_has(&p->lan_at[i], SECTION_LAN, "Probe"))
            default_probes(c, &c->lan[i]);
    }
}

static void check_damping(struct parse *p)
{
    const struct conf_damping *d = &p->c->damping;

    if (d->suppress_max_ms < d->suppress_ms)
        errors_add(
            &p->errors,
            origin_line(&p->single[SECTION_FAILOVER], SECTION_FAILOVER, "MaxSuppressTime"),
            "MaxSuppressTime = %u ms is below SuppressTime = %u ms; make it at least as long",
            d->suppress_max_ms, d->suppress_ms);
}

void check_whole(struct parse *p)
{
    for (int s = 0; s < SECTIONS; s++)
        if (conf_sections[s].required && !p->counts[s])
            errors_add(&p->errors, 0,
                       "there is no [%s%s] section; guardmount.conf(5) has an example",
                       conf_sections[s].name, conf_sections[s].named ? " NAME" : "");
    check_members(p);
    check_self(p);
    check_hubs(p);
    check_vips(p);
    check_lans(p);
    check_damping(p);
    if (p->c->advert_ms % ADVERT_STEP_MS)
        errors_add(
            &p->errors,
            origin_line(&p->single[SECTION_KEEPALIVED], SECTION_KEEPALIVED, "AdvertInterval"),
            "AdvertInterval = %u ms: expected steps of %d ms", p->c->advert_ms, ADVERT_STEP_MS);
}
