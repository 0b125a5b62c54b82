#include "cli/doctor.h"
#include "base/err.h"
#include "cli/writer.h"
#include <stdarg.h>
#include <string.h>

#define BUFFER_BYTES (8l << 20) /* that the daemon asks for */
#define OVERHEAD_V4 60
#define OVERHEAD_V6 80

const char *severity_name(enum severity s)
{
    static const char *const names[] = {
        [FINDING_GOOD] = "good",
        [FINDING_NOTE] = "note",
        [FINDING_WARN] = "warn",
        [FINDING_FAIL] = "fail",
    };

    return names[s];
}

void doctor_found(struct doctor *d, const char *check, enum severity severity, const char *remedy,
                  const char *format, ...)
{
    struct finding *f = &d->finding[d->count];
    va_list args;

    d->faults += severity >= FINDING_WARN;
    if (d->count == FINDINGS_MAX)
        return;
    d->count++;
    f->check = check;
    f->severity = severity;
    snprintf(f->remedy, sizeof(f->remedy), "%s", remedy);
    va_start(args, format);
    vsnprintf(f->text, sizeof(f->text), format, args);
    va_end(args);
}

/* ---- what needs no configuration ---- */

static void judge_tun(const struct host *h, struct doctor *d)
{
    if (h->tun == 0)
        doctor_found(d, "tun", FINDING_GOOD, "", "/dev/net/tun can be opened");
    else if (h->tun == EACCES || h->tun == EPERM)
        doctor_found(d, "tun", FINDING_NOTE, "run guardmount doctor as root", "/dev/net/tun: %s",
                     strerror(h->tun));
    else
        doctor_found(d, "tun", FINDING_FAIL,
                     "modprobe tun; in a container, let it have the device /dev/net/tun",
                     "/dev/net/tun: %s", strerror(h->tun));
}

static void judge_clock(const struct host *h, struct doctor *d)
{
    if (!h->clock_known)
        doctor_found(d, "clock", FINDING_NOTE, "look by hand: timedatectl",
                     "the kernel does not tell whether the clock is synchronised");
    else if (h->clock_synchronised)
        doctor_found(d, "clock", FINDING_GOOD, "", "the clock is synchronised");
    else
        doctor_found(d, "clock", FINDING_WARN, "install chrony, or: timedatectl set-ntp true",
                     "nothing synchronises the clock; handshake timestamps need clocks that agree");
}

static void judge_buffers(const struct host *h, struct doctor *d)
{
    if (h->rmem_max < 0 || h->wmem_max < 0)
        doctor_found(d, "socket-buffers", FINDING_NOTE, "", "net.core.rmem_max cannot be read");
    else if (h->rmem_max >= BUFFER_BYTES && h->wmem_max >= BUFFER_BYTES)
        doctor_found(d, "socket-buffers", FINDING_GOOD, "", "sockets may have 8 MiB");
    else
        doctor_found(
            d, "socket-buffers", FINDING_NOTE,
            "sysctl -w net.core.rmem_max=8388608 net.core.wmem_max=8388608",
            "net.core.rmem_max is %ld and wmem_max is %ld: a daemon without CAP_NET_ADMIN would "
            "get buffers shorter than 8 MiB",
            h->rmem_max, h->wmem_max);
}

static void judge_memlock(const struct host *h, struct doctor *d)
{
    char text[SHOWN_LEN];
    bool required = h->conf && h->conf->memory_lock_required;

    if (!h->memlock_known)
        doctor_found(d, "memlock", FINDING_NOTE, "run guardmount doctor as root",
                     "the limit of locked memory cannot be read");
    else if (h->may_lock || h->memlock >= DOCTOR_LOCKED_BYTES)
        doctor_found(d, "memlock", FINDING_GOOD, "", "the memory of keys can be locked");
    else
        doctor_found(d, "memlock", required ? FINDING_FAIL : FINDING_WARN,
                     "LimitMEMLOCK=16M in the daemon's unit, or ulimit -l",
                     "only %s of memory may be locked; keys could reach the swap%s",
                     show_bytes(text, h->memlock),
                     required ? ", and a member with MemoryLock = on does not start" : "");
}

/* ---- what the configuration asks for ---- */

static void judge_conf(const struct host *h, struct doctor *d)
{
    const char *first = h->conf_error;

    if (h->conf)
        doctor_found(d, "configuration", FINDING_GOOD, "", "%s is good", h->conf_path);
    else
        doctor_found(d, "configuration", FINDING_FAIL,
                     h->conf_missing ? "guardmount cluster join, or init, writes one; another "
                                       "place is named with -c"
                                     : "guardmount check-config tells all errors",
                     "%.*s", (int)strcspn(first, "\n"), first);
}

static void judge_conf_dir(const struct host *h, struct doctor *d)
{
    if (h->conf_dir_open)
        doctor_found(
            d, "configuration", FINDING_FAIL, "chmod go-w that folder, and look who put what there",
            "others may write to the folder of %s, and so choose what is in it", h->conf_path);
}

static void judge_state_dir(const struct host *h, struct doctor *d)
{
    if (!h->state_dir_known)
        doctor_found(d, "state-directory", FINDING_NOTE, "",
                     "%s is not there yet, or cannot be seen; the daemon makes it",
                     h->conf->state_dir);
    else if (h->state_dir_mode & 077)
        doctor_found(
            d, "state-directory", FINDING_WARN, "chmod 0700, and ask who read it meanwhile",
            "%s has mode %04o; it holds preshared keys", h->conf->state_dir, h->state_dir_mode);
    else
        doctor_found(d, "state-directory", FINDING_GOOD, "", "%s is for its owner alone",
                     h->conf->state_dir);
}

static bool hub_has(const struct conf *c, bool v6)
{
    for (unsigned i = 0; i < c->hub_count; i++) {
        for (unsigned n = 0; n < c->hub[i].address_count; n++)
            if (c->hub[i].address[n].prefix.v6 == v6)
                return true;
        for (unsigned n = 0; n < c->hub[i].pool_count; n++)
            if (c->hub[i].pool[n].v6 == v6)
                return true;
    }
    return false;
}

static void judge_forward(struct doctor *d, bool wanted, int value, const char *sysctl)
{
    char remedy[FINDING_TEXT_MAX];

    if (!wanted)
        return;
    snprintf(remedy, sizeof(remedy),
             "sysctl -w %s=1, and for the next start a line in "
             "/etc/sysctl.d/",
             sysctl);
    if (value < 0)
        doctor_found(d, "forwarding", FINDING_NOTE, "", "%s cannot be read", sysctl);
    else
        doctor_found(d, "forwarding", value ? FINDING_GOOD : FINDING_FAIL, value ? "" : remedy,
                     "%s is %d%s", sysctl, value,
                     value ? "" : ": packets of peers go no further than this machine");
}

static void judge_forwarding(const struct host *h, struct doctor *d)
{
    judge_forward(d, hub_has(h->conf, false), h->forward4, "net.ipv4.ip_forward");
    judge_forward(d, hub_has(h->conf, true), h->forward6, "net.ipv6.conf.all.forwarding");
}

static void judge_interfaces(const struct host *h, struct doctor *d)
{
    bool good = true;

    for (unsigned i = 0; i < h->iface_count; i++) {
        const struct host_if *f = &h->iface[i];

        if (!f->present)
            doctor_found(d, "interfaces", FINDING_FAIL,
                         "correct the name in the configuration, or make the interface",
                         "the interface %s is not there", f->name);
        else if (!f->up)
            doctor_found(d, "interfaces", FINDING_FAIL, "ip link set up, and look at the cable",
                         "the interface %s is down", f->name);
        good &= f->present && f->up;
    }
    if (good)
        doctor_found(d, "interfaces", FINDING_GOOD, "", "all interfaces that are named are up");
}

static void judge_rp_filter(const struct host *h, struct doctor *d)
{
    bool good = true;

    for (unsigned i = 0; i < h->iface_count; i++) {
        const struct host_if *f = &h->iface[i];
        char remedy[FINDING_TEXT_MAX];

        if (MAX(h->rp_filter_all, f->rp_filter) != 1)
            continue;
        good = false;
        snprintf(remedy, sizeof(remedy),
                 "sysctl -w net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.%s.rp_filter=2", f->name);
        doctor_found(
            d, "rp-filter", FINDING_WARN, remedy,
            "rp_filter is strict on %s: packets whose way back leads over another interface or "
            "member are dropped without a word",
            f->name);
    }
    if (good)
        doctor_found(d, "rp-filter", FINDING_GOOD, "",
                     "rp_filter is strict on no interface that matters");
}

static void judge_redirects(const struct host *h, struct doctor *d)
{
    for (unsigned i = 0; i < h->iface_count; i++) {
        const struct host_if *f = &h->iface[i];
        char remedy[FINDING_TEXT_MAX];

        if (f->outer || MAX(h->redirects_all, f->redirects) < 1)
            continue;
        snprintf(remedy, sizeof(remedy),
                 "sysctl -w net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.%s.send_redirects=0",
                 f->name);
        doctor_found(
            d, "redirects", FINDING_WARN, remedy,
            "ICMP redirects are sent on %s: hosts of the LAN would learn a member instead of the "
            "VIP",
            f->name);
    }
}

/* With one VIP all packets for the tunnel go to its owner; with several the LAN's router does not
 * know who has which peer. */
static void judge_pools(const struct host *h, struct doctor *d)
{
    const struct conf *c = h->conf;

    for (unsigned i = 0; i < c->vip_count && c->vip_count > 1; i++)
        if (!c->vip[i].pool_count)
            doctor_found(d, "pools", FINDING_WARN,
                         "give each [Vip] the networks of its peers as Pool, on all members",
                         "VIP %s has no Pool: what the LAN sends to another member than its owner "
                         "is answered with 'unreachable'",
                         c->vip[i].name);
}

static void judge_mtu(const struct host *h, struct doctor *d)
{
    const struct conf *c = h->conf;
    bool good = true;

    for (unsigned v = 0; v < c->vip_count; v++)
        for (unsigned a = 0; a < c->vip[v].outer_count; a++) {
            const struct vip_addr *at = &c->vip[v].outer[a];
            unsigned over = addr_is_v4(&at->addr) ? OVERHEAD_V4 : OVERHEAD_V6, mtu = 0;

            for (unsigned i = 0; i < h->iface_count; i++)
                if (strcmp(h->iface[i].name, at->ifname) == 0)
                    mtu = h->iface[i].mtu;
            for (unsigned u = 0; u < c->hub_count; u++) {
                if (c->hub[u].id != c->vip[v].hub || !mtu || mtu >= c->hub[u].mtu + over)
                    continue;
                char remedy[FINDING_TEXT_MAX];
                good = false;
                snprintf(remedy, sizeof(remedy), "MTU = %u in [Hub %s], on all members and clients",
                         mtu - over, c->hub[u].name);
                doctor_found(
                    d, "mtu", FINDING_WARN, remedy,
                    "%s has MTU %u, and a full packet of %s needs %u: packets are fragmented",
                    at->ifname, mtu, c->hub[u].ifname, c->hub[u].mtu + over);
            }
        }
    if (good)
        doctor_found(
            d, "mtu", FINDING_GOOD, "",
            "full packets of the tunnel fit the outer interfaces (the path beyond is not seen "
            "from here)");
}

static void judge_ports(const struct host *h, struct doctor *d)
{
    bool good = true;

    for (unsigned i = 0; i < h->port_count; i++) {
        const struct host_port *p = &h->port[i];

        /* The daemon has them: that is what they are for. */
        if (p->err == 0 || (p->err == EADDRINUSE && h->daemon_runs))
            continue;
        good = false;
        doctor_found(
            d, "ports", FINDING_FAIL,
            p->err == EADDRINUSE      ? "ss -lpn shows who has it; a kernel WireGuard interface "
                                        "on this port must go"
            : p->err == EADDRNOTAVAIL ? "this address must be on the machine: correct it, or the "
                                        "configuration"
                                      : "run guardmount doctor as root",
            "%s cannot be bound: %s", p->what, strerror(p->err));
    }
    if (good && h->port_count)
        doctor_found(d, "ports", FINDING_GOOD, "", "the ports are %s",
                     h->daemon_runs ? "the daemon's" : "free");
}

static void judge_siblings(const struct host *h, struct doctor *d)
{
    for (unsigned i = 0; i < h->sibling_count; i++) {
        const struct host_sibling *s = &h->sibling[i];

        if (s->err == 0)
            doctor_found(d, "siblings", FINDING_GOOD, "", "the sync port of %s answers", s->name);
        else if (s->err == ECONNREFUSED)
            doctor_found(d, "siblings", FINDING_WARN, "start guardmountd there",
                         "%s is reached, but nothing listens on its sync port", s->name);
        else
            doctor_found(
                d, "siblings", FINDING_FAIL,
                "let TCP to SyncAddress pass the firewalls of both members, and check routes",
                "the sync port of %s is not reached: %s", s->name, strerror(s->err));
    }
}

static void judge_keepalived(const struct host *h, struct doctor *d)
{
    static const char check[] = "keepalived";

    if (!h->conf->vip_count)
        return;
    if (!h->keepalived_installed) {
        doctor_found(d, check, FINDING_FAIL, "install keepalived (2.2 or later)",
                     "keepalived is not installed: no VIP can come to this member");
        return;
    }
    if (!h->keepalived_ours)
        doctor_found(d, check, FINDING_FAIL,
                     "guardmount ha render -o /etc/keepalived/conf.d/guardmount.conf, and the line "
                     "'includer /etc/keepalived/conf.d/*.conf' in keepalived.conf",
                     "%s has no instances for all our VIPs", h->keepalived_conf);
    else if (h->keepalived_one_health)
        doctor_found(
            d, check, FINDING_WARN,
            "guardmount ha render -o FILE, then restart keepalived, drained, on one member "
            "after the other",
            "%s was written by an earlier version: a dead LAN of one VIP takes all VIPs "
            "away",
            h->keepalived_conf);
    else if (!h->keepalived_current)
        doctor_found(d, check, FINDING_WARN,
                     "guardmount ha render -o FILE, then reload keepalived, on all members",
                     "what %s has for our VIPs is not what the configuration asks for now",
                     h->keepalived_conf);
    else
        doctor_found(d, check, FINDING_GOOD, "", "%s has our VIPs, as configured",
                     h->keepalived_conf);
    if (h->daemon_one_health)
        doctor_found(d, check, FINDING_FAIL,
                     "guardmount drain, systemctl restart guardmountd, guardmount undrain; then "
                     "keepalived",
                     "the daemon that runs is older than this command: a keepalived that is "
                     "configured by it would find no health file");
    if (h->keepalived_test > 0)
        doctor_found(d, check, FINDING_FAIL, "correct it: a reload would be refused",
                     "keepalived -t: %s", h->keepalived_says);
    if (!h->keepalived_running)
        doctor_found(d, check, FINDING_FAIL, "systemctl enable --now keepalived",
                     "keepalived does not run: no VIP can come to this member");
    else
        doctor_found(d, check, FINDING_GOOD, "", "keepalived runs");
}

/* What a running daemon believes of the VIP; NULL: none runs. */
static const struct status_vip *vip_of(const struct host *h, uint16_t id)
{
    for (unsigned i = 0; h->status && i < h->status->vip_count; i++)
        if (h->status->vip[i].id == id)
            return &h->status->vip[i];
    return NULL;
}

static void judge_vips(const struct host *h, struct doctor *d)
{
    bool good = true;

    for (unsigned i = 0; i < h->address_count; i++) {
        const struct host_address *a = &h->address[i];
        const struct status_vip *v = vip_of(h, a->vip_id);

        if (strcmp(a->ifname, a->wants) != 0)
            doctor_found(d, "vips", FINDING_FAIL, "take it away there: only keepalived may set it",
                         "%s of VIP %s is on %s instead of %s", a->text, a->vip, a->ifname,
                         a->wants);
        else if (!h->keepalived_running)
            doctor_found(d, "vips", FINDING_FAIL,
                         "take it out of the network configuration: only keepalived may set it",
                         "%s of VIP %s is on %s although keepalived does not run", a->text, a->vip,
                         a->ifname);
        else if (v && !v->owned && v->owner && v->owner != h->status->id)
            doctor_found(
                d, "vips", FINDING_FAIL,
                "look for lost VRRP adverts between the members (firewall, switch, VRID in use "
                "twice)",
                "%s of VIP %s is on this machine, and another member claims it", a->text, a->vip);
        else
            continue;
        good = false;
    }
    if (good)
        doctor_found(d, "vips", FINDING_GOOD, "", "no VIP is where it should not be");
}

static void judge_daemon(const struct host *h, struct doctor *d)
{
    if (h->status)
        doctor_found(d, "daemon", FINDING_GOOD, "", "guardmountd answers");
    else
        doctor_found(d, "daemon", FINDING_WARN, "systemctl enable --now guardmountd",
                     "no guardmountd answers on this machine");
}

static const struct check {
    void (*judge)(const struct host *h, struct doctor *d);
    bool needs_conf;
} checks[] = {
    {judge_conf},
    {judge_conf_dir, true},
    {judge_state_dir, true},
    {judge_tun},
    {judge_memlock},
    {judge_clock},
    {judge_buffers},
    {judge_forwarding, true},
    {judge_interfaces, true},
    {judge_rp_filter, true},
    {judge_redirects, true},
    {judge_mtu, true},
    {doctor_judge_paths, true},
    {doctor_judge_firewall, true},
    {doctor_judge_translation, true},
    {judge_pools, true},
    {judge_ports, true},
    {judge_siblings, true},
    {judge_keepalived, true},
    {judge_vips, true},
    {doctor_judge_strangers, true},
    {judge_daemon},
};

void doctor_judge(const struct host *h, struct doctor *ret)
{
    *ret = (struct doctor){0};
    for (unsigned i = 0; i < ARRAY_LEN(checks); i++)
        if (h->conf || !checks[i].needs_conf)
            checks[i].judge(h, ret);
}
