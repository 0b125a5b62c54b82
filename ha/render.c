#include "ha/render.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "ha/fifo.h"
#include "ha/health.h"

#define INSTANCES_MAX (2 * VIPS_MAX)
#define RLIMIT_RTTIME_US 1000000 /* keepalived's own 10 ms kills it under load */

/* Base priorities by place in the VIP's order (ADR 0010). The next owner's is as high as it can be:
 * each crash and each hand-over costs (256 - priority) / 256 of an advert; 254 is left to
 * WEIGHT_PROMOTE, which has to be above all. Weights of health.h keep three bands apart:
 *   fit 253..157 | the two preferred ones behind (-50) below a fit third | drained (-100) below
 * all. Backups have different priorities, so that their timers do not run out at the same moment.
 */
enum {
    PRIORITY_TOP = 253,
    PRIORITY_SECOND_SPREAD = 252, /* several VIPs: their preferred owners take them back */
    PRIORITY_THIRD = 210,
    PRIORITY_WARM = 190, /* beyond the holders of S8: only when all of those are gone */
    PRIORITY_WARM_STEP = 3,
};

struct side {
    const struct vip_addr *addr;
    unsigned count;
    uint8_t vrid;
    const char *suffix;
    bool outer;
};

/* What makes two instances collide on the wire. */
struct used {
    const char *ifname;
    uint8_t vrid;
    bool v4;
};

struct writer {
    FILE *out;
    const struct conf *c;
    char *error;
    struct used used[INSTANCES_MAX];
    unsigned used_count;
};

__attribute__((format(printf, 2, 3))) static int refuse(struct writer *w, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(w->error, RENDER_ERROR_LEN, format, args);
    va_end(args);
    return -EINVAL;
}

/* ---- priorities ---- */

static int place_of(const struct vip *v, uint8_t member)
{
    for (int i = 0; i < MEMBERS_MAX && v->order[i]; i++)
        if (v->order[i] == member)
            return i;
    return -1;
}

/* Several VIPs with different preferred owners: the load is meant to be spread. */
static bool is_spread(const struct conf *c)
{
    for (unsigned i = 1; i < c->vip_count; i++)
        if (c->vip[i].order[0] != c->vip[0].order[0])
            return true;
    return false;
}

unsigned render_priority(const struct conf *c, const struct vip *v, uint8_t member)
{
    int place = place_of(v, member);

    switch (place) {
    case -1:
        return 0;
    case 0:
        return PRIORITY_TOP;
    case 1:
        return is_spread(c) ? PRIORITY_SECOND_SPREAD : PRIORITY_TOP;
    case HOLDERS_MAX:
        return PRIORITY_THIRD;
    default:
        return PRIORITY_WARM - PRIORITY_WARM_STEP * (unsigned)(place - HOLDERS_MAX - 1);
    }
}

/* ---- what may stand in a keepalived configuration ---- */

static bool all_of(const char *text, const char *extra)
{
    for (const char *p = text; *p; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                     (*p >= '0' && *p <= '9') || strchr(extra, *p);
        if (!plain)
            return false;
    }
    return *text != '\0';
}

static int check_words(struct writer *w)
{
    const struct conf *c = w->c;

    if (c->run_dir[0] != '/' || !all_of(c->run_dir, "/._-+:@"))
        return refuse(w,
                      "RunDirectory %s: keepalived's configuration takes absolute paths of "
                      "letters, digits and /._-+:@ only",
                      c->run_dir);
    if (!all_of(c->member[c->self].name, "._-"))
        return refuse(w, "member name %s: only letters, digits and ._- can be rendered",
                      c->member[c->self].name);
    if (c->advert_ms < RENDER_ADVERT_MIN_MS || c->advert_ms > RENDER_ADVERT_MAX_MS ||
        c->advert_ms % RENDER_ADVERT_STEP_MS)
        return refuse(w, "AdvertInterval %u ms: it must be %u..%u ms in steps of %u", c->advert_ms,
                      RENDER_ADVERT_MIN_MS, RENDER_ADVERT_MAX_MS, RENDER_ADVERT_STEP_MS);
    return 0;
}

static int check_side(struct writer *w, const struct vip *v, const struct side *s)
{
    if (s->vrid == 0)
        return refuse(w, "VIP %s: Vrid%s must be 1..255", v->name, s->outer ? "Outer" : "Inner");
    for (unsigned i = 0; i < s->count; i++)
        if (!all_of(s->addr[i].ifname, "._-@+="))
            return refuse(w, "VIP %s: interface name \"%s\" cannot be rendered", v->name,
                          s->addr[i].ifname);
    return 0;
}

/* ---- pieces ---- */

static const char *plain_address(const struct ip_addr *a, char buf[ADDR_TEXT_LEN])
{
    struct ip_addr unscoped = *a;

    unscoped.scope = 0;
    return addr_format(&unscoped, buf);
}

static void put_globals(struct writer *w)
{
    const struct conf *c = w->c;
    unsigned rt = c->rt_priority;

    if (rt == 0 && c->advert_ms < RENDER_RT_BELOW_MS)
        rt = RENDER_RT_PRIORITY; /* nothing less holds adverts that fast (keepalived.md 2.4) */
    fprintf(w->out,
            RENDER_MARK " for member %s (%u); the same file is made again\n"
                        "# from the member's configuration, so change that one.\n"
                        "global_defs {\n"
                        "    router_id %s\n"
                        "    vrrp_version 3\n"
                        "    script_user root\n"
                        "    enable_script_security\n"
                        "    dynamic_interfaces\n"
                        "    max_auto_priority -1\n",
            c->member[c->self].name, c->self, c->member[c->self].name);
    if (rt)
        fprintf(w->out,
                "    vrrp_rt_priority %u\n"
                "    vrrp_rlimit_rttime %u\n",
                rt, RLIMIT_RTTIME_US);
    fprintf(w->out,
            "    vrrp_garp_master_delay 1\n"
            "    vrrp_garp_master_repeat 3\n"
            "    vrrp_garp_master_refresh 10\n"
            "    vrrp_garp_lower_prio_delay 1\n"
            "    vrrp_garp_lower_prio_repeat 3\n"
            "    vrrp_higher_prio_send_advert on\n"
            "    vrrp_notify_fifo %s/vrrp.fifo\n"
            "    reload_check_config %s/keepalived-check.log\n"
            "}\n\n"
            "# Health fails closed: missing, empty or 0 is FAULT.\n",
            c->run_dir, c->run_dir);
    for (unsigned i = 0; i < c->vip_count; i++)
        if (place_of(&c->vip[i], c->self) >= 0)
            fprintf(w->out,
                    "\ntrack_file gm_health_%u {\n"
                    "    file %s/" HEALTH_FILE "-%u\n"
                    "    weight 0 reverse\n"
                    "}\n"
                    "\ntrack_file gm_weight_%u {\n"
                    "    file %s/" WEIGHT_FILE "-%u\n"
                    "    weight 1\n"
                    "}\n",
                    c->vip[i].id, c->run_dir, c->vip[i].id, c->vip[i].id, c->run_dir, c->vip[i].id);
}

static void put_address(struct writer *w, const struct vip_addr *a)
{
    char text[ADDR_TEXT_LEN];

    fprintf(w->out, "        %s/%u dev %s\n", plain_address(&a->addr, text), a->prefix_len,
            a->ifname);
}

static const struct ip_addr *unicast_address(const struct conf *c, uint8_t member, bool outer)
{
    const struct conf_member *m = &c->member[member];

    return outer ? &m->outer_address : &m->inner_address[0];
}

static unsigned members_of(const struct vip *v)
{
    unsigned n = 0;

    while (n < MEMBERS_MAX && v->order[n])
        n++;
    return n;
}

static bool speaks_unicast(const struct conf *c, const struct vip *v)
{
    return c->unicast && members_of(v) > 1; /* alone there is nobody to name as a peer */
}

/* The address that the adverts carry and whose family the instance has: IPv4 if there is one, or
 * the family of the unicast addresses. */
static const struct vip_addr *advertised(const struct conf *c, const struct vip *v,
                                         const struct side *s)
{
    bool v4 = true;

    if (speaks_unicast(c, v))
        v4 = addr_is_v4(unicast_address(c, c->self, s->outer));
    for (unsigned i = 0; i < s->count; i++)
        if (addr_is_v4(&s->addr[i].addr) == v4)
            return &s->addr[i];
    return speaks_unicast(c, v) ? NULL : &s->addr[0];
}

static int put_unicast(struct writer *w, const struct vip *v, const struct side *s, bool v4)
{
    const char *key = s->outer ? "OuterAddress" : "InnerAddress";
    char text[ADDR_TEXT_LEN];

    for (unsigned i = 0; i < members_of(v); i++) {
        const struct ip_addr *a = unicast_address(w->c, v->order[i], s->outer);

        if (addr_is_zero(a) || addr_is_v4(a) != v4)
            return refuse(w, "Mode = unicast: member %s needs an IPv%c %s for VIP %s",
                          w->c->member[v->order[i]].name, v4 ? '4' : '6', key, v->name);
    }
    fprintf(w->out, "    unicast_src_ip %s\n    check_unicast_src\n    unicast_peer {\n",
            plain_address(unicast_address(w->c, w->c->self, s->outer), text));
    for (unsigned i = 0; i < members_of(v); i++)
        if (v->order[i] != w->c->self)
            fprintf(w->out, "        %s\n",
                    plain_address(unicast_address(w->c, v->order[i], s->outer), text));
    fprintf(w->out, "    }\n");
    return 0;
}

static int claim_vrid(struct writer *w, const struct vip *v, const char *ifname, uint8_t vrid,
                      bool v4)
{
    for (unsigned i = 0; i < w->used_count; i++)
        if (w->used[i].vrid == vrid && w->used[i].v4 == v4 &&
            strcmp(w->used[i].ifname, ifname) == 0)
            return refuse(w, "VIP %s: virtual router id %u is used twice on %s", v->name, vrid,
                          ifname);
    w->used[w->used_count++] = (struct used){ifname, vrid, v4};
    return 0;
}

/* Trackers belong to the group: on a member of a group keepalived ignores weights. Besides the TUN
 * they watch each NIC that has an address of the VIP without being the instance's own. */
static void put_trackers(struct writer *w, const struct vip *v, const struct side *sides,
                         unsigned count, const char *tun)
{
    const char *seen[2 * VIP_ADDRS_MAX + 1] = {tun};
    unsigned seen_count = 1;

    fprintf(w->out,
            "    track_file {\n"
            "        gm_health_%u\n"
            "        gm_weight_%u\n"
            "    }\n"
            "    track_interface {\n"
            "        %s\n",
            v->id, v->id, tun);
    for (unsigned s = 0; s < count; s++) {
        const char *own = advertised(w->c, v, &sides[s])->ifname;

        for (unsigned i = 0; i < sides[s].count; i++) {
            const char *ifname = sides[s].addr[i].ifname;
            bool known = strcmp(ifname, own) == 0;

            for (unsigned k = 0; k < seen_count; k++)
                known = known || strcmp(ifname, seen[k]) == 0;
            if (known)
                continue;
            seen[seen_count++] = ifname;
            fprintf(w->out, "        %s\n", ifname);
        }
    }
    fprintf(w->out, "    }\n");
}

static int put_instance(struct writer *w, const struct vip *v, const struct side *s,
                        const char *tun_of_single)
{
    const struct vip_addr *first = advertised(w->c, v, s);
    bool v4;
    int r;

    if (!first)
        return refuse(w,
                      "Mode = unicast: VIP %s has no %s address of the family of member %s's "
                      "%sAddress",
                      v->name, s->outer ? "Outer" : "Inner", w->c->member[w->c->self].name,
                      s->outer ? "Outer" : "Inner");
    v4 = addr_is_v4(&first->addr);
    r = claim_vrid(w, v, first->ifname, s->vrid, v4);
    if (r < 0)
        return r;
    fprintf(w->out,
            "\nvrrp_instance " FIFO_NAME_PREFIX "%u%s {\n"
            "    state BACKUP\n"
            "    interface %s\n"
            "    virtual_router_id %u\n"
            "    priority %u\n"
            "    advert_int %u.%02u\n",
            v->id, tun_of_single ? "" : s->suffix, first->ifname, s->vrid,
            render_priority(w->c, v, w->c->self), w->c->advert_ms / 1000,
            w->c->advert_ms % 1000 / 10);
    if (speaks_unicast(w->c, v)) {
        r = put_unicast(w, v, s, v4);
        if (r < 0)
            return r;
    }
    if (tun_of_single)
        put_trackers(w, v, s, 1, tun_of_single);
    fprintf(w->out, "    virtual_ipaddress {\n");
    put_address(w, first);
    fprintf(w->out, "    }\n");
    if (s->count > 1) {
        fprintf(w->out, "    virtual_ipaddress_excluded {\n");
        for (unsigned i = 0; i < s->count; i++)
            if (&s->addr[i] != first)
                put_address(w, &s->addr[i]);
        fprintf(w->out, "    }\n");
    }
    fprintf(w->out, "}\n");
    return 0;
}

static void put_group(struct writer *w, const struct vip *v, const struct side sides[2],
                      const char *tun)
{
    fprintf(w->out, "\nvrrp_sync_group " FIFO_NAME_PREFIX "%u {\n    group {\n", v->id);
    for (unsigned s = 0; s < 2; s++)
        fprintf(w->out, "        " FIFO_NAME_PREFIX "%u%s\n", v->id, sides[s].suffix);
    fprintf(w->out, "    }\n");
    put_trackers(w, v, sides, 2, tun);
    fprintf(w->out, "}\n");
}

static const char *tun_of(const struct conf *c, const struct vip *v)
{
    for (unsigned i = 0; i < c->hub_count; i++)
        if (c->hub[i].id == v->hub)
            return c->hub[i].ifname;
    return NULL;
}

static int put_vip(struct writer *w, const struct vip *v)
{
    const char *tun = tun_of(w->c, v);
    struct side sides[2];
    unsigned count = 0;
    int r;

    if (!tun || !all_of(tun, "._-@+="))
        return refuse(w, "VIP %s: its hub has no interface that can be rendered", v->name);
    if (v->outer_count)
        sides[count++] =
            (struct side){v->outer, v->outer_count, v->vrid_outer, FIFO_OUTER_SUFFIX, true};
    if (v->inner_count)
        sides[count++] =
            (struct side){v->inner, v->inner_count, v->vrid_inner, FIFO_INNER_SUFFIX, false};
    if (count == 0)
        return refuse(w, "VIP %s has no address", v->name);
    for (unsigned s = 0; s < count; s++) {
        r = check_side(w, v, &sides[s]);
        /* A sync group of one is a warning, and so fatal: then the instance has the trackers. */
        if (r == 0)
            r = put_instance(w, v, &sides[s], count == 1 ? tun : NULL);
        if (r < 0)
            return r;
    }
    if (count == 2)
        put_group(w, v, sides, tun);
    return 0;
}

static int put_all(struct writer *w)
{
    unsigned rendered = 0;
    int r = check_words(w);

    if (r < 0)
        return r;
    put_globals(w);
    for (unsigned i = 0; i < w->c->vip_count; i++) {
        if (place_of(&w->c->vip[i], w->c->self) < 0)
            continue;
        r = put_vip(w, &w->c->vip[i]);
        if (r < 0)
            return r;
        rendered++;
    }
    if (rendered == 0) {
        refuse(w, "no VIP lists member %s: it needs no keepalived", w->c->member[w->c->self].name);
        return -ENOENT;
    }
    return 0;
}

int render_keepalived(const struct conf *c, char **ret_text, char ret_error[RENDER_ERROR_LEN])
{
    struct writer w = {.c = c, .error = ret_error};
    char *text = NULL;
    size_t len;
    int r;

    w.out = open_memstream(&text, &len);
    if (!w.out) {
        snprintf(ret_error, RENDER_ERROR_LEN, "out of memory");
        return -ENOMEM;
    }
    r = put_all(&w);
    if (fclose(w.out) != 0 && r == 0) {
        snprintf(ret_error, RENDER_ERROR_LEN, "out of memory");
        r = -ENOMEM;
    }
    if (r < 0) {
        free(text);
        return r;
    }
    *ret_text = text;
    return 0;
}
