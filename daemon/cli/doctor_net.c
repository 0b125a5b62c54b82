/* Findings about what is around the machine: its firewall, the path, others with our addresses. */
#include "base/err.h"
#include "cli/doctor.h"
#include "cli/firewall.h"
#include <stdio.h>
#include <string.h>

#define VRRP 112

/* ---- the firewall ---- */

static void judge_input(const struct host *h, struct doctor *d, unsigned number, const char *what,
                        const char *rule, bool *good)
{
    char remedy[FINDING_TEXT_MAX];

    if (firewall_names(h->ruleset, number))
        return;
    for (unsigned i = 0; i < h->iface_count; i++)
        if (firewall_accepts_all_of(h->ruleset, h->iface[i].name))
            return;
    *good = false;
    snprintf(remedy, sizeof(remedy), "in the input chain: %s accept", rule);
    doctor_found(d, "firewall", FINDING_WARN, remedy,
                 "the firewall drops what no rule accepts, and none names %s", what);
}

static unsigned siblings_of(const struct conf *c)
{
    unsigned n = 0;

    for (unsigned i = 1; i < MEMBERS_MAX; i++)
        n += c->member[i].id && i != c->self;
    return n;
}

static void judge_forward_chain(const struct host *h, struct doctor *d, bool *good)
{
    for (unsigned i = 0; i < h->conf->hub_count; i++) {
        const char *ifname = h->conf->hub[i].ifname;
        char remedy[FINDING_TEXT_MAX];

        if (firewall_names_interface(h->ruleset, ifname))
            continue;
        *good = false;
        snprintf(remedy, sizeof(remedy),
                 "in the forward chain: iifname \"%s\" accept; oifname \"%s\" accept", ifname,
                 ifname);
        doctor_found(d, "firewall", FINDING_WARN, remedy,
                     "the firewall forwards only what a rule accepts, and none names %s: peers do "
                     "not reach the LAN",
                     ifname);
    }
}

void doctor_judge_firewall(const struct host *h, struct doctor *d)
{
    const struct conf *c = h->conf;
    char what[64], rule[64];
    bool good = true;

    if (!h->ruleset) {
        doctor_found(d, "firewall", FINDING_NOTE,
                     "as root, with nftables installed, doctor looks; by hand: UDP to the VIPs' "
                     "ports, TCP to SyncAddress and VRRP (112) between members",
                     "what the firewall lets through is not seen");
        return;
    }
    if (firewall_closes(h->ruleset, "input")) {
        for (unsigned i = 0; i < c->vip_count; i++) {
            snprintf(what, sizeof(what), "UDP port %u of VIP %s", c->vip[i].port, c->vip[i].name);
            snprintf(rule, sizeof(rule), "udp dport %u", c->vip[i].port);
            judge_input(h, d, c->vip[i].port, what, rule, &good);
        }
        if (siblings_of(c)) {
            unsigned port = c->member[c->self].sync_address.port;

            snprintf(what, sizeof(what), "TCP port %u of the sync channel", port);
            snprintf(rule, sizeof(rule), "tcp dport %u", port);
            judge_input(h, d, port, what, rule, &good);
            judge_input(h, d, VRRP, "VRRP (112): both members would take the VIPs",
                        "ip protocol 112", &good);
        }
    }
    if (firewall_closes(h->ruleset, "forward"))
        judge_forward_chain(h, d, &good);
    if (good)
        doctor_found(d, "firewall", FINDING_GOOD, "",
                     "no chain of nftables is seen to drop what a member needs");
}

/* What a translated connection looked like is known to one kernel alone. */
void doctor_judge_translation(const struct host *h, struct doctor *d)
{
    if (!h->ruleset || !siblings_of(h->conf) || !firewall_translates(h->ruleset))
        return;
    if (h->conntrackd_running)
        doctor_found(d, "nat", FINDING_GOOD, "",
                     "addresses are translated here, and conntrackd runs; that it reaches the "
                     "siblings is not checked");
    else
        doctor_found(d, "nat", FINDING_WARN,
                     *h->conf->conntrackd_ifname
                         ? "guardmount ha render --conntrackd -o /etc/conntrackd/conntrackd.conf, "
                           "and systemctl enable --now conntrackd, on all members"
                         : "let the LAN route the tunnel networks to the inner VIPs instead, or "
                           "add [Conntrackd] to the configuration and run conntrackd on all "
                           "members",
                     "addresses are translated here and conntrackd does not run: when a VIP moves, "
                     "connections through the translation break");
}

/* ---- the path ---- */

void doctor_judge_paths(const struct host *h, struct doctor *d)
{
    bool good = true;

    for (unsigned i = 0; i < h->path_count; i++) {
        const struct host_path *p = &h->path[i];
        char remedy[FINDING_TEXT_MAX];

        if (p->fits >= p->wants)
            continue;
        good = false;
        snprintf(remedy, sizeof(remedy),
                 "look for a switch or tunnel with a smaller MTU; or MTU = %u in [Hub], on all "
                 "members and clients",
                 p->fits > p->overhead ? p->fits - p->overhead : 0);
        doctor_found(d, "path-mtu", FINDING_WARN, remedy,
                     "packets of %u bytes do not reach %s by %s, those of %u do: full packets of "
                     "the tunnel are fragmented or lost",
                     p->wants, p->to, p->ifname, p->fits);
    }
    if (good && h->path_count)
        doctor_found(d, "path-mtu", FINDING_GOOD, "",
                     "full packets of the tunnel reach the neighbours on the outer LAN");
}

/* ---- somebody else ---- */

/* Could a member have it that we do not hear of? */
static bool may_be_a_members(const struct host *h, uint16_t vip_id)
{
    for (unsigned i = 0; h->status && i < h->status->vip_count; i++)
        if (h->status->vip[i].id == vip_id && (h->status->vip[i].owner || h->status->vip[i].owned))
            return true;
    for (unsigned i = 0; h->status && i < h->status->member_count; i++)
        if (!h->status->member[i].self && strcmp(h->status->member[i].link, "live") != 0)
            return true;
    return !h->status && siblings_of(h->conf);
}

void doctor_judge_strangers(const struct host *h, struct doctor *d)
{
    for (unsigned i = 0; i < h->stranger_count; i++) {
        const struct host_address *a = &h->stranger[i];

        if (!may_be_a_members(h, a->vip_id))
            doctor_found(d, "vips", FINDING_FAIL,
                         "find it (ip neighbour shows its hardware address), or give the VIP "
                         "another address",
                         "%s of VIP %s answers on %s, and no member has it: somebody else uses the "
                         "address",
                         a->text, a->vip, a->wants);
    }
}
