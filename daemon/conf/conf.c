#include "conf/conf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "conf/ini.h"
#include "conf/schema.h"
#include "conf/value.h"
#include <fcntl.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>

#define CONF_FILE_MAX (1u << 20)

struct parse {
    struct conf *c;
    const char *name;
    char *error;
    struct ini ini;
    int section; /* -1: none yet */
    unsigned section_line;
    uint64_t seen; /* keys of this section, by place in the table */
    unsigned counts[SECTIONS];
    unsigned lines[SECTIONS]; /* of the last of each */
    /* Names that can be resolved only at the end. */
    struct {
        char hub[MEMBER_NAME_MAX + 1], members[INI_VALUE_MAX + 1];
        unsigned line;
    } vips[VIPS_MAX];
    /* The member section being read has no id yet. */
    struct conf_member member;
    unsigned member_line[MEMBERS_MAX];
};

static int fail(struct parse *p, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(struct parse *p, unsigned line, const char *format, ...)
{
    va_list ap;
    int n = line ? snprintf(p->error, CONF_ERROR_LEN, "%s:%u: ", p->name, line)
                 : snprintf(p->error, CONF_ERROR_LEN, "%s: ", p->name);

    va_start(ap, format);
    if (n >= 0 && n < CONF_ERROR_LEN)
        vsnprintf(p->error + n, CONF_ERROR_LEN - (size_t)n, format, ap);
    va_end(ap);
    return -EINVAL;
}

static int bad_value(struct parse *p, const struct conf_key *k)
{
    static const char *const forms[] = {
        [TYPE_UINT] = "a whole number",
        [TYPE_DURATION] = "a duration such as 300ms, 5s or 1m",
        [TYPE_SWITCH] = "on or off",
        [TYPE_WORD] = "one word",
        [TYPE_PATH] = "an absolute path of at most 255 characters",
        [TYPE_KEY] = "a key: 44 characters of base64",
        [TYPE_PUBLIC_KEY] = "a key: 44 characters of base64",
        [TYPE_ENDPOINT] = "ADDRESS:PORT or [ADDRESS]:PORT",
        [TYPE_ADDRESS] = "an IP address",
        [TYPE_INTERFACE_ADDRESSES] = "a list of ADDRESS/LENGTH",
        [TYPE_PREFIXES] = "a list of NETWORK/LENGTH",
        [TYPE_VIP_ADDRESSES] = "a list of up to 4 'ADDRESS/LENGTH dev INTERFACE'",
        [TYPE_MEMBERS] = "a list of member names",
        [TYPE_ADDRESSES] = "a list of up to 8 IP addresses",
    };

    if (k->type == TYPE_UINT)
        return fail(p, p->ini.line, "%s wants %s from %llu to %llu", k->name, forms[k->type],
                    (unsigned long long)k->min, (unsigned long long)k->max);
    if (k->type == TYPE_DURATION)
        return fail(p, p->ini.line, "%s wants %s, from %llu ms to %llu ms", k->name, forms[k->type],
                    (unsigned long long)k->min, (unsigned long long)k->max);
    return fail(p, p->ini.line, "%s wants %s", k->name, forms[k->type]);
}

/* ---- single values into the struct ---- */

static bool take_word(const char *v, char *ret, size_t room)
{
    if (!*v || strlen(v) >= room || strpbrk(v, " \t\""))
        return false;
    strcpy(ret, v);
    return true;
}

static bool take_path(const char *v, char ret[CONF_PATH_MAX + 1])
{
    if (*v != '/' || strlen(v) > CONF_PATH_MAX || strpbrk(v, " \t\"'"))
        return false; /* it goes into keepalived's configuration as it is */
    strcpy(ret, v);
    return true;
}

static bool take_key(const char *v, struct secret32 **ret)
{
    if (!*ret)
        *ret = secret_alloc();
    return *ret && key_from_base64(v, (*ret)->b);
}

static bool take_vip_addrs(const char *v, struct vip_addr *ret, unsigned *ret_count)
{
    char one[128];

    *ret_count = 0;
    while (value_list_next(&v, one, sizeof(one)))
        if (*ret_count == VIP_ADDRS_MAX || !value_vip_address(one, &ret[(*ret_count)++]))
            return false;
    return *ret_count > 0;
}

static bool take_interface_addresses(const char *v, struct conf_hub *h)
{
    char one[PREFIX_TEXT_LEN];

    while (value_list_next(&v, one, sizeof(one)))
        if (h->address_count == CONF_ADDRS_MAX ||
            prefix_parse_host(one, &h->address[h->address_count].prefix,
                              &h->address[h->address_count].host) < 0)
            return false;
        else
            h->address_count++;
    return true;
}

static bool take_prefixes(const char *v, struct conf_hub *h)
{
    char one[PREFIX_TEXT_LEN];

    while (value_list_next(&v, one, sizeof(one)))
        if (h->pool_count == CONF_ADDRS_MAX || prefix_parse(one, &h->pool[h->pool_count]) < 0)
            return false;
        else
            h->pool_count++;
    return true;
}

static bool take_probes(const char *v, struct conf_lan *l)
{
    char one[ADDR_TEXT_LEN];

    while (value_list_next(&v, one, sizeof(one)))
        if (l->probe_count == CONF_PROBES_MAX || addr_parse(one, &l->probe[l->probe_count]) < 0)
            return false;
        else
            l->probe_count++;
    return true;
}

static bool is(const struct conf_key *k, const char *name)
{
    return strcmp(k->name, name) == 0;
}

static bool set_node(struct parse *p, const struct conf_key *k, const char *v, uint64_t n, bool on)
{
    struct conf *c = p->c;

    if (is(k, "Id"))
        c->self = (uint8_t)n;
    else if (is(k, "StateDirectory"))
        return take_path(v, c->state_dir);
    else if (is(k, "RunDirectory"))
        return take_path(v, c->run_dir);
    else if (is(k, "Workers"))
        c->workers = (unsigned)n;
    else if (is(k, "LogLevel"))
        return log_level_parse(v, &c->log_level) == 0;
    else if (is(k, "MemoryLock"))
        c->memory_lock_required = on;
    return true;
}

static bool set_cluster(struct parse *p, const struct conf_key *k, const char *v, uint64_t n)
{
    struct conf *c = p->c;

    if (is(k, "Name"))
        return take_word(v, c->cluster, sizeof(c->cluster));
    if (is(k, "ClusterKey"))
        return take_key(v, &c->cluster_key);
    if (is(k, "SyncPrivateKey"))
        return take_key(v, &c->sync_private_key);
    if (is(k, "MembershipEpoch"))
        c->membership_epoch = n;
    else if (is(k, "SoloStartAfter"))
        c->solo_start_after_ms = (unsigned)n;
    else if (is(k, "FreezeAfter"))
        c->freeze_after_ms = (unsigned)n;
    return true;
}

static bool set_member(struct parse *p, const struct conf_key *k, const char *v, uint64_t n)
{
    struct conf_member *m = &p->member;

    if (is(k, "Id"))
        m->id = (uint8_t)n;
    else if (is(k, "SyncPublicKey"))
        return key_from_base64(v, m->sync_public_key);
    else if (is(k, "SyncAddress"))
        return endpoint_parse(v, &m->sync_address) == 0;
    else if (is(k, "OuterAddress"))
        return addr_parse(v, &m->outer_address) == 0;
    else if (is(k, "InnerAddress"))
        return addr_parse(v, &m->inner_address) == 0;
    return true;
}

static bool set_hub(struct parse *p, const struct conf_key *k, const char *v, uint64_t n)
{
    struct conf_hub *h = &p->c->hub[p->c->hub_count - 1];

    if (is(k, "HubId"))
        h->id = (uint8_t)n;
    else if (is(k, "Interface")) {
        if (!value_ifname(v))
            return false;
        strcpy(h->ifname, v);
    } else if (is(k, "PrivateKey"))
        return take_key(v, &h->private_key);
    else if (is(k, "Address"))
        return take_interface_addresses(v, h);
    else if (is(k, "Pool"))
        return take_prefixes(v, h);
    else if (is(k, "MTU"))
        h->mtu = (unsigned)n;
    else if (is(k, "FwMark"))
        h->fwmark = (uint32_t)n;
    return true;
}

static bool set_vip(struct parse *p, const struct conf_key *k, const char *v, uint64_t n)
{
    unsigned i = p->c->vip_count - 1;
    struct vip *vip = &p->c->vip[i];

    if (is(k, "VipId"))
        vip->id = (uint16_t)n;
    else if (is(k, "Hub"))
        return take_word(v, p->vips[i].hub, sizeof(p->vips[i].hub));
    else if (is(k, "Port"))
        vip->port = (uint16_t)n;
    else if (is(k, "Outer"))
        return take_vip_addrs(v, vip->outer, &vip->outer_count);
    else if (is(k, "Inner"))
        return take_vip_addrs(v, vip->inner, &vip->inner_count);
    else if (is(k, "Members"))
        strcpy(p->vips[i].members, v);
    else if (is(k, "VridOuter"))
        vip->vrid_outer = (uint8_t)n;
    else if (is(k, "VridInner"))
        vip->vrid_inner = (uint8_t)n;
    return true;
}

static bool set_lan(struct parse *p, const struct conf_key *k, const char *v)
{
    struct conf_lan *l = &p->c->lan[p->c->lan_count - 1];

    if (is(k, "Probe"))
        return take_probes(v, l);
    if (!value_ifname(v))
        return false;
    strcpy(l->ifname, v);
    return true;
}

static bool set_keepalived(struct parse *p, const struct conf_key *k, const char *v, uint64_t n)
{
    if (is(k, "AdvertInterval")) {
        p->c->advert_ms = (unsigned)n;
        return n % 10 == 0;
    }
    if (is(k, "Mode"))
        p->c->unicast = strcasecmp(v, "unicast") == 0;
    else
        p->c->rt_priority = (unsigned)n;
    return true;
}

static int set(struct parse *p, const struct conf_key *k)
{
    const char *v = p->ini.value;
    uint64_t n = 0;
    bool on = false, ok = true;

    if (k->type == TYPE_UINT)
        ok = value_number(v, &n) && n >= k->min && n <= k->max;
    else if (k->type == TYPE_DURATION)
        ok = value_duration(v, &n) && n >= k->min && n <= k->max;
    else if (k->type == TYPE_SWITCH)
        ok = value_switch(v, &on);
    else if (k->words) {
        ok = false;
        for (unsigned i = 0; k->words[i]; i++)
            ok |= strcasecmp(k->words[i], v) == 0;
    }
    if (!ok)
        return bad_value(p, k);
    switch (k->section) {
    case SECTION_NODE:
        ok = set_node(p, k, v, n, on);
        break;
    case SECTION_CLUSTER:
        ok = set_cluster(p, k, v, n);
        break;
    case SECTION_MEMBER:
        ok = set_member(p, k, v, n);
        break;
    case SECTION_HUB:
        ok = set_hub(p, k, v, n);
        break;
    case SECTION_VIP:
        ok = set_vip(p, k, v, n);
        break;
    case SECTION_LAN:
        ok = set_lan(p, k, v);
        break;
    case SECTION_KEEPALIVED:
        ok = set_keepalived(p, k, v, n);
        break;
    case SECTIONS:
        break;
    }
    return ok ? 0 : bad_value(p, k);
}

/* ---- sections ---- */

static int section_end(struct parse *p)
{
    if (p->section < 0)
        return 0;
    for (unsigned i = 0; i < conf_key_count; i++)
        if ((int)conf_keys[i].section == p->section && conf_keys[i].required && !(p->seen >> i & 1))
            return fail(p, p->section_line, "[%s] lacks %s", conf_sections[p->section].name,
                        conf_keys[i].name);
    if (p->section == SECTION_MEMBER) {
        struct conf_member *m = &p->c->member[p->member.id];

        if (m->id)
            return fail(p, p->section_line, "member id %u is [Member %s]'s already, in line %u",
                        m->id, m->name, p->member_line[m->id]);
        *m = p->member;
        p->member_line[m->id] = p->section_line;
    }
    return 0;
}

static bool same_name(struct parse *p, int s, const char *name)
{
    struct conf *c = p->c;
    bool same = false;

    for (unsigned i = 1; i < MEMBERS_MAX && s == SECTION_MEMBER; i++)
        same |= c->member[i].id && strcasecmp(c->member[i].name, name) == 0;
    for (unsigned i = 0; i < c->hub_count && s == SECTION_HUB; i++)
        same |= strcasecmp(c->hub[i].name, name) == 0;
    for (unsigned i = 0; i < c->vip_count && s == SECTION_VIP; i++)
        same |= strcasecmp(c->vip[i].name, name) == 0;
    for (unsigned i = 0; i < c->lan_count && s == SECTION_LAN; i++)
        same |= strcasecmp(c->lan[i].name, name) == 0;
    return same;
}

static int section_begin(struct parse *p)
{
    struct conf *c = p->c;
    int s = conf_section_find(p->ini.word);
    char name[MEMBER_NAME_MAX + 1] = "";
    const char *near;

    if (s < 0) {
        near = conf_section_near(p->ini.word);
        return fail(p, p->ini.line, "unknown section [%s]%s%s%s", p->ini.word,
                    near ? "; did you mean [" : "", near ? near : "", near ? "]?" : "");
    }
    if (conf_sections[s].named != (*p->ini.value != 0))
        return fail(p, p->ini.line,
                    conf_sections[s].named ? "[%s] wants a name: [%s NAME]"
                                           : "[%s] takes no name; write [%s]",
                    conf_sections[s].name, conf_sections[s].name);
    if (*p->ini.value && !take_word(p->ini.value, name, sizeof(name)))
        return fail(p, p->ini.line, "a name is one word of at most %d characters", MEMBER_NAME_MAX);
    if (p->counts[s]++ >= conf_sections[s].max)
        return fail(p, p->ini.line, "too many [%s] sections; %u at the most", conf_sections[s].name,
                    conf_sections[s].max);
    if (same_name(p, s, name))
        return fail(p, p->ini.line, "[%s %s] is there twice", conf_sections[s].name, name);
    p->section = s;
    p->section_line = p->lines[s] = p->ini.line;
    p->seen = 0;
    switch (s) {
    case SECTION_MEMBER:
        p->member = (struct conf_member){0};
        strcpy(p->member.name, name);
        break;
    case SECTION_HUB:
        c->hub[c->hub_count++].mtu = 1420;
        strcpy(c->hub[c->hub_count - 1].name, name);
        break;
    case SECTION_VIP:
        p->vips[c->vip_count].line = p->ini.line;
        c->vip[c->vip_count++].port = 51820;
        strcpy(c->vip[c->vip_count - 1].name, name);
        break;
    case SECTION_LAN:
        strcpy(c->lan[c->lan_count++].name, name);
        break;
    }
    return 0;
}

static int read_key(struct parse *p)
{
    const struct conf_key *k;
    const char *near;

    if (p->section < 0)
        return fail(p, p->ini.line, "'%s' stands before the first section", p->ini.word);
    k = conf_key_find((enum conf_section)p->section, p->ini.word);
    if (!k) {
        near = conf_key_near((enum conf_section)p->section, p->ini.word);
        return fail(p, p->ini.line, "unknown key '%s' in [%s]%s%s%s", p->ini.word,
                    conf_sections[p->section].name, near ? "; did you mean '" : "",
                    near ? near : "", near ? "'?" : "");
    }
    unsigned place = (unsigned)(k - conf_keys);
    bool list = k->type == TYPE_INTERFACE_ADDRESSES || k->type == TYPE_PREFIXES;
    if ((p->seen >> place & 1) && !list)
        return fail(p, p->ini.line, "'%s' is there twice", k->name);
    p->seen |= 1ull << place;
    return set(p, k);
}

/* ---- what only the whole shows ---- */

static int resolve_vip(struct parse *p, unsigned i)
{
    struct conf *c = p->c;
    struct vip *v = &c->vip[i];
    const char *at = p->vips[i].members;
    char name[MEMBER_NAME_MAX + 1];
    unsigned line = p->vips[i].line, count = 0;

    for (unsigned h = 0; h < c->hub_count; h++)
        if (strcasecmp(c->hub[h].name, p->vips[i].hub) == 0)
            v->hub = c->hub[h].id;
    if (!v->hub)
        return fail(p, line, "[Vip %s] names hub '%s', and there is no [Hub %s]", v->name,
                    p->vips[i].hub, p->vips[i].hub);
    while (value_list_next(&at, name, sizeof(name))) {
        uint8_t id = 0;

        for (unsigned m = 1; m < MEMBERS_MAX; m++)
            if (c->member[m].id && strcasecmp(c->member[m].name, name) == 0)
                id = c->member[m].id;
        if (!id)
            return fail(p, line, "[Vip %s] names member '%s', and there is no [Member %s]", v->name,
                        name, name);
        if (memchr(v->order, id, count))
            return fail(p, line, "[Vip %s] names member '%s' twice", v->name, name);
        v->order[count++] = id;
    }
    if (v->inner_count && !v->vrid_inner)
        return fail(p, line, "[Vip %s] has Inner addresses, so it needs VridInner", v->name);
    for (unsigned j = 0; j < i; j++) {
        const struct vip *o = &c->vip[j];

        if (o->id == v->id)
            return fail(p, line, "VipId %u is [Vip %s]'s already", v->id, o->name);
        if (o->vrid_outer == v->vrid_outer || (v->vrid_inner && o->vrid_inner == v->vrid_inner))
            return fail(p, line, "[Vip %s] and [Vip %s] have one VRRP router id; give each its own",
                        v->name, o->name);
    }
    return 0;
}

static int check_whole(struct parse *p)
{
    struct conf *c = p->c;
    uint8_t public_key[32];
    int r;

    for (int s = 0; s < SECTIONS; s++)
        if (conf_sections[s].required && !p->counts[s])
            return fail(p, 0, "there is no [%s%s] section", conf_sections[s].name,
                        conf_sections[s].named ? " NAME" : "");
    if (!c->member[c->self].id)
        return fail(p, p->lines[SECTION_NODE], "[Node] Id = %u, and no [Member] has that id",
                    c->self);
    crypto_scalarmult_base(public_key, c->sync_private_key->b);
    if (memcmp(public_key, c->member[c->self].sync_public_key, 32) != 0)
        return fail(p, p->lines[SECTION_CLUSTER],
                    "SyncPrivateKey is not that of SyncPublicKey in [Member %s]; use the pair that "
                    "'guardmount genkey' prints",
                    c->member[c->self].name);
    for (unsigned h = 0; h < c->hub_count; h++) {
        if (!*c->hub[h].ifname)
            snprintf(c->hub[h].ifname, sizeof(c->hub[h].ifname), "hub%u", c->hub[h].id);
        for (unsigned j = 0; j < h; j++)
            if (c->hub[j].id == c->hub[h].id || strcmp(c->hub[j].ifname, c->hub[h].ifname) == 0)
                return fail(p, p->lines[SECTION_HUB],
                            "[Hub %s] and [Hub %s] have one HubId or Interface", c->hub[j].name,
                            c->hub[h].name);
    }
    for (unsigned i = 0; i < c->vip_count; i++)
        if ((r = resolve_vip(p, i)) < 0)
            return r;
    for (unsigned m = 1; m < MEMBERS_MAX; m++)
        if (c->member[m].id && c->unicast && addr_is_zero(&c->member[m].outer_address))
            return fail(p, p->member_line[m], "Mode = unicast needs OuterAddress in [Member %s]",
                        c->member[m].name);
    return 0;
}

/* A LAN without probes asks the siblings by the address that they have on it. */
static void default_probes(struct conf *c)
{
    for (unsigned i = 0; i < c->lan_count; i++) {
        struct conf_lan *l = &c->lan[i];
        bool outer = false, inner = false;

        if (l->probe_count)
            continue;
        for (unsigned v = 0; v < c->vip_count; v++) {
            for (unsigned a = 0; a < c->vip[v].outer_count; a++)
                outer |= strcmp(c->vip[v].outer[a].ifname, l->ifname) == 0;
            for (unsigned a = 0; a < c->vip[v].inner_count; a++)
                inner |= strcmp(c->vip[v].inner[a].ifname, l->ifname) == 0;
        }
        for (unsigned m = 1; m < MEMBERS_MAX && l->probe_count < CONF_PROBES_MAX; m++) {
            const struct ip_addr *a =
                outer ? &c->member[m].outer_address : &c->member[m].inner_address;
            if (c->member[m].id && m != c->self && (outer || inner) && !addr_is_zero(a))
                l->probe[l->probe_count++] = *a;
        }
    }
}

static void defaults(struct conf *c)
{
    strcpy(c->state_dir, "/var/lib/guardmount");
    strcpy(c->run_dir, "/run/guardmount");
    c->log_level = LOG_LEVEL_INFO;
    c->memory_lock_required = true;
    c->membership_epoch = 1;
    c->solo_start_after_ms = 5000;
    c->freeze_after_ms = 300;
    c->advert_ms = 100;
    c->rt_priority = 50;
}

static int parse_all(struct parse *p, const char *text, size_t len)
{
    int r = 0;

    ini_open(&p->ini, text, len);
    for (;;) {
        switch (ini_next(&p->ini)) {
        case INI_BAD:
            return fail(p, p->ini.line, "%s", p->ini.problem);
        case INI_END:
            r = section_end(p);
            return r < 0 ? r : check_whole(p);
        case INI_SECTION:
            if ((r = section_end(p)) < 0 || (r = section_begin(p)) < 0)
                return r;
            break;
        case INI_KEY:
            if ((r = read_key(p)) < 0)
                return r;
            break;
        }
    }
}

int conf_parse(const char *name, const char *text, size_t len, struct conf **ret,
               char ret_error[CONF_ERROR_LEN])
{
    struct parse *p = calloc(1, sizeof(*p));
    int r = -ENOMEM;

    snprintf(ret_error, CONF_ERROR_LEN, "%s: no memory", name);
    if (!p)
        return r;
    p->name = name;
    p->error = ret_error;
    p->section = -1;
    p->c = calloc(1, sizeof(*p->c));
    if (p->c) {
        snprintf(p->c->path, sizeof(p->c->path), "%s", name);
        defaults(p->c);
        r = parse_all(p, text, len);
        if (r >= 0)
            default_probes(p->c);
    }
    if (r >= 0) {
        *ret_error = 0;
        *ret = TAKE_PTR(p->c);
    }
    conf_free(p->c);
    secret_wipe(p, sizeof(*p)); /* values pass through it */
    free(p);
    return r;
}

int conf_load(const char *path, struct conf **ret, char ret_error[CONF_ERROR_LEN])
{
    _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        int r = -errno;
        snprintf(ret_error, CONF_ERROR_LEN, "%s: %s", path, strerror(-r));
        return r;
    }
    if (!S_ISREG(st.st_mode) || (st.st_mode & 077) || (st.st_uid != 0 && st.st_uid != geteuid())) {
        snprintf(ret_error, CONF_ERROR_LEN,
                 "%s holds keys and must have mode 0600; run: chmod 600 %s", path, path);
        return -EPERM;
    }
    if (st.st_size > CONF_FILE_MAX) {
        snprintf(ret_error, CONF_ERROR_LEN, "%s: larger than 1 MiB", path);
        return -EFBIG;
    }
    size_t room = CONF_FILE_MAX, len = 0;
    char *text = malloc(room);
    int r = -ENOMEM;
    if (text) {
        ssize_t n;
        while (len < room && (n = read(fd, text + len, room - len)) > 0)
            len += (size_t)n;
        r = conf_parse(path, text, len, ret, ret_error);
        secret_wipe(text, room);
        free(text);
    }
    return r;
}

void conf_free(struct conf *c)
{
    if (!c)
        return;
    secret_free(c->cluster_key);
    secret_free(c->sync_private_key);
    for (unsigned i = 0; i < CONF_HUBS_MAX; i++)
        secret_free(c->hub[i].private_key);
    free(c);
}

const char *conf_reload_blocker(const struct conf *now, const struct conf *next)
{
    if (now->self != next->self || strcmp(now->cluster, next->cluster) != 0)
        return "[Node] Id and [Cluster] Name";
    if (strcmp(now->state_dir, next->state_dir) != 0 || strcmp(now->run_dir, next->run_dir) != 0)
        return "StateDirectory and RunDirectory";
    if (now->workers != next->workers)
        return "Workers";
    if (!secret_equal(now->cluster_key, next->cluster_key, 32) ||
        !secret_equal(now->sync_private_key, next->sync_private_key, 32) ||
        now->membership_epoch != next->membership_epoch ||
        memcmp(now->member, next->member, sizeof(now->member)) != 0)
        return "members, their keys and the membership epoch";
    if (now->hub_count != next->hub_count || now->vip_count != next->vip_count ||
        memcmp(now->vip, next->vip, sizeof(now->vip)) != 0)
        return "hubs and VIPs";
    for (unsigned i = 0; i < now->hub_count; i++)
        if (now->hub[i].id != next->hub[i].id ||
            strcmp(now->hub[i].ifname, next->hub[i].ifname) != 0 ||
            !secret_equal(now->hub[i].private_key, next->hub[i].private_key, 32))
            return "a hub's id, interface or key";
    return NULL;
}
