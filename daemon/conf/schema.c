#include "conf/schema.h"
#include "base/err.h"
#include "conf/parse.h"
#include "conf/value.h"
#include <string.h>
#include <strings.h>

#define NEAR_MAX 3 /* edits between a word and what it may have meant */
#define NOT_MEANT (NEAR_MAX + 1)
#define PREFIX_MIN 3 /* letters that a name may be cut to */
#define WORD_MAX 64

const struct conf_section_info conf_sections[SECTIONS] = {
    [SECTION_NODE] = {"Node", false, 1, true,
                      "This machine. Members differ in this section, in SyncPrivateKey, and where "
                      "their interfaces have other names."},
    [SECTION_CLUSTER] = {"Cluster", false, 1, true, "What all members share."},
    [SECTION_MEMBER] =
        {"Member", true, MEMBER_ID_MAX, true,
         "One member; its name is in the brackets. All members, this one too. A reload takes "
         "new ones over."},
    [SECTION_HUB] = {"Hub", true, CONF_HUBS_SERVED, true,
                     "A WireGuard identity that the cluster serves."},
    [SECTION_VIP] =
        {"Vip", true, VIPS_MAX - 1, true,
         "A floating address: outer for clients, inner for the LAN; both move together."},
    [SECTION_LAN] = {"Lan", true, CONF_LANS_MAX, false,
                     "A LAN whose silent death must be noticed: VRRP alone does not see it."},
    [SECTION_KEEPALIVED] = {"Keepalived", false, 1, false, "What *guardmount ha render* writes."},
    [SECTION_FAILOVER] = {"Failover", false, 1, false,
                          "When a member bids for a VIP again that it lost. Whatever is set here, "
                          "a member that is the only one serves."},
    [SECTION_CONNTRACKD] = {"Conntrackd", false, 1, false,
                            "What *guardmount ha render --conntrackd* writes: for members that "
                            "translate addresses (NAT)."},
    [SECTION_METRICS] = {"Metrics", false, 1, false,
                         "Counters and gauges for Prometheus, over HTTP."},
    [SECTION_DRILL] = {"Drill", false, 1, false,
                       "What *guardmount drill* may do here, and what it is measured against."},
};

/* In the order of enum log_level. */
static const char *const levels[] = {"silent", "error", "warn", "info", "debug", NULL};
_Static_assert(LOG_LEVEL_SILENT == 0 && LOG_LEVEL_DEBUG == 4, "levels are stored by place");
static const char *const modes[] = {"multicast", "unicast", NULL}; /* conf.unicast */

#define AT(type, field) .offset = offsetof(type, field), .size = sizeof(((type *)0)->field)
#define LIST(type, field)                                                                          \
    AT(type, field), .count_offset = offsetof(type, field##_count),                                \
                     .max = ARRAY_LEN(((type *)0)->field)
#define CONF(field) AT(struct conf, field)
#define MEMBER(field) AT(struct conf_member, field)
#define HUB(field) AT(struct conf_hub, field)
#define VIP(field) AT(struct vip_draft, field)
#define LAN(field) AT(struct conf_lan, field)
#define REQUIRED .required = true
#define LIVE .live = true

const struct conf_key conf_keys[] = {
    {SECTION_NODE, "Id", TYPE_UINT, CONF(self), REQUIRED, .min = 1, .max = MEMBER_ID_MAX,
     .help = "Which [Member] this machine is."},
    {SECTION_NODE, "StateDirectory", TYPE_PATH, CONF(state_dir), .max = 200,
     .fallback = "/var/lib/guardmount",
     .help = "Peer database and start counter; must survive a reboot."},
    {SECTION_NODE, "RunDirectory", TYPE_PATH, CONF(run_dir), .max = 90,
     .fallback = "/run/guardmount",
     .help = "Control socket, and the files shared with keepalived."},
    {SECTION_NODE, "Workers", TYPE_UINT, CONF(workers), .max = 64, .fallback = "0",
     .help = "Packet threads; 0: one per core."},
    {SECTION_NODE, "PinWorkers", TYPE_SWITCH, CONF(pin_workers), .fallback = "off",
     .help = "Each packet thread stays on a CPU of its own, of those that the daemon may use: for "
             "machines that do nothing else."},
    {SECTION_NODE, "Offloads", TYPE_OFFLOADS, CONF(offloads), .fallback = "auto",
     .help = "Segmentation offloads that may be used, as far as the kernel has them: several "
             "datagrams in one receive (udp-gro) and in one send (udp-gso), headers on the tunnel "
             "interface that say so (vnet), and with them TCP and UDP super-packets there (tso, "
             "uso). The log says at start what is in use."},
    {SECTION_NODE, "LogLevel", TYPE_CHOICE, CONF(log_level), LIVE, .fallback = "info",
     .words = levels, .help = "What is logged: this and what is graver."},
    {SECTION_NODE, "MemoryLock", TYPE_SWITCH, CONF(memory_lock_required), .fallback = "on",
     .help = "off: start even when key memory cannot be locked; keys may then reach the swap."},
    {SECTION_CLUSTER, "Name", TYPE_NAME, CONF(cluster), REQUIRED, .help = "Name of the cluster."},
    {SECTION_CLUSTER, "ClusterKey", TYPE_KEY, CONF(cluster_key), REQUIRED,
     .help = "Secret of all members (*guardmount genkey --cluster*)."},
    {SECTION_CLUSTER, "SyncPrivateKey", TYPE_KEY, CONF(sync_private_key), REQUIRED,
     .help = "This member's key of the sync channel (*guardmount genkey*)."},
    {SECTION_CLUSTER, "MembershipEpoch", TYPE_UINT, CONF(membership_epoch), .min = 1,
     .max = UINT32_MAX, .fallback = "1",
     .help =
         "Raise it on all members when ClusterKey changes: those of another epoch are refused."},
    {SECTION_CLUSTER, "SoloStartAfter", TYPE_DURATION, CONF(solo_start_after_ms), LIVE,
     .max = 3600000, .fallback = "5s",
     .help = "A member that starts and finds no sibling serves after this time."},
    {SECTION_CLUSTER, "SessionKeys", TYPE_SWITCH, CONF(session_keys), .fallback = "on",
     .help =
         "off: session keys never leave the member that made them. After a takeover the hub "
         "makes a new session with every live peer, the most recently active first. The same on "
         "all members."},
    {SECTION_CLUSTER, "FreezeAfter", TYPE_DURATION, CONF(freeze_after_ms), .min = 100, .max = 60000,
     .fallback = "300ms", .help = "A daemon whose loops stand still for so long loses its VIPs."},
    {SECTION_MEMBER, "Id", TYPE_UINT, MEMBER(id), REQUIRED, .min = 1, .max = MEMBER_ID_MAX,
     .help = "Number of the member; rests 10 minutes before it is given to another machine."},
    {SECTION_MEMBER, "SyncPublicKey", TYPE_PUBLIC_KEY, MEMBER(sync_public_key), REQUIRED,
     .help = "Public half of the member's SyncPrivateKey."},
    {SECTION_MEMBER, "SyncAddress", TYPE_ENDPOINT, MEMBER(sync_address), REQUIRED,
     .help = "Address and port of its sync channel (TCP)."},
    {SECTION_MEMBER, "OuterAddress", TYPE_ADDRESS, MEMBER(outer_address), LIVE,
     .help = "Its own address on the outer LAN; needed for Mode = unicast."},
    {SECTION_MEMBER, "InnerAddress", TYPE_ADDRESSES, LIST(struct conf_member, inner_address), LIVE,
     .help =
         "Its own address on the inner LAN, one of each family: where siblings send the packets "
         "for peers of a VIP with a Pool that it owns. Mode = unicast speaks from the first."},
    {SECTION_HUB, "HubId", TYPE_UINT, HUB(id), REQUIRED, .min = 1, .max = HUB_ID_MAX,
     .help = "Number of the hub."},
    {SECTION_HUB, "Interface", TYPE_IFNAME, HUB(ifname), .computed = "hub and the HubId",
     .help = "Name of the tunnel interface."},
    {SECTION_HUB, "PrivateKey", TYPE_KEY, HUB(private_key), REQUIRED,
     .help = "The hub's WireGuard key, the same on all members."},
    {SECTION_HUB, "Address", TYPE_INTERFACE_ADDRESSES, LIST(struct conf_hub, address), LIVE,
     .help = "Addresses of the tunnel interface, as in wg-quick."},
    {SECTION_HUB, "Pool", TYPE_PREFIXES, LIST(struct conf_hub, pool), LIVE,
     .help = "Further networks routed to the tunnel."},
    {SECTION_HUB, "MTU", TYPE_UINT, HUB(mtu), LIVE, .min = 576, .max = 65535, .fallback = "1420",
     .help = "Of the tunnel interface."},
    {SECTION_HUB, "FwMark", TYPE_UINT, HUB(fwmark), LIVE, .max = UINT32_MAX, .fallback = "0",
     .help = "Mark of outgoing encrypted packets; 0: none."},
    {SECTION_VIP, "VipId", TYPE_UINT, VIP(vip.id), REQUIRED, .min = 1, .max = UINT16_MAX,
     .help = "Number of the VIP."},
    {SECTION_VIP, "Hub", TYPE_NAME, VIP(hub), REQUIRED, .help = "Name of the hub that it serves."},
    {SECTION_VIP, "Port", TYPE_UINT, VIP(vip.port), .min = 1, .max = UINT16_MAX,
     .fallback = "51820", .help = "UDP port."},
    {SECTION_VIP, "Outer", TYPE_VIP_ADDRESSES, LIST(struct vip_draft, vip.outer), REQUIRED,
     .help = "Addresses that clients know."},
    {SECTION_VIP, "Inner", TYPE_VIP_ADDRESSES, LIST(struct vip_draft, vip.inner),
     .help = "Addresses that the LAN routes the tunnel networks to."},
    {SECTION_VIP, "Pool", TYPE_PREFIXES, LIST(struct vip_draft, vip.pool),
     .help = "Tunnel networks of the peers that use this VIP. They are routed to the tunnel by the "
             "VIP's owner, and to the owner's InnerAddress by its siblings. Needed where there "
             "are several VIPs."},
    {SECTION_VIP, "Members", TYPE_MEMBERS, VIP(members), REQUIRED, .max = MEMBER_ID_MAX,
     .help = "Members by preference; the first three hold its session keys. New members at the end "
             "need a reload only."},
    {SECTION_VIP, "VridOuter", TYPE_UINT, VIP(vip.vrid_outer), REQUIRED, LIVE, .min = 1, .max = 255,
     .help = "VRRP virtual router id on the outer LAN."},
    {SECTION_VIP, "VridInner", TYPE_UINT, VIP(vip.vrid_inner), LIVE, .min = 1, .max = 255,
     .help = "VRRP virtual router id on the inner LAN; needed with Inner."},
    {SECTION_LAN, "Interface", TYPE_IFNAME, LAN(ifname), REQUIRED,
     .help = "Interface on this LAN."},
    {SECTION_LAN, "Probe", TYPE_ADDRESSES, LIST(struct conf_lan, probe),
     .computed = "the siblings' addresses on this LAN",
     .help = "Addresses that answer ping; any one is enough. Name a gateway: with two members and "
             "no third party nobody can tell which side is dead."},
    {SECTION_KEEPALIVED, "AdvertInterval", TYPE_DURATION, CONF(advert_ms), .min = 10, .max = 1000,
     .fallback = "100ms",
     .help = "VRRP advert interval, in steps of 10 ms. A crash costs about 2.5 of them."},
    {SECTION_KEEPALIVED, "Mode", TYPE_CHOICE, CONF(unicast), LIVE, .fallback = "multicast",
     .words = modes, .help = "unicast is for clouds, and for LANs that lose multicast."},
    {SECTION_KEEPALIVED, "RtPriority", TYPE_UINT, CONF(rt_priority), LIVE, .max = 99,
     .fallback = "50",
     .help = "Real-time priority of keepalived; 0: none. Below 100 ms it is always on."},
    {SECTION_FAILOVER, "HoldDown", TYPE_DURATION, CONF(damping.hold_down_ms), LIVE, .max = 3600000,
     .fallback = "0s",
     .help = "A member that came back is fit and in sync for so long before it bids for a VIP that "
             "it does not own (VRRP's preempt delay)."},
    {SECTION_FAILOVER, "FlapLimit", TYPE_UINT, CONF(damping.flap_limit), LIVE,
     .max = CONF_FLAPS_MAX, .fallback = "5",
     .help = "A member that lost a VIP, or its health, so often within FlapWindow without anybody "
             "wanting it, as by a crash of the daemon, leaves the VIP to its siblings for "
             "SuppressTime. 0: never."},
    {SECTION_FAILOVER, "FlapWindow", TYPE_DURATION, CONF(damping.window_ms), LIVE, .min = 1000,
     .max = 3600000, .fallback = "30s", .help = "Flaps are counted for so long."},
    {SECTION_FAILOVER, "SuppressTime", TYPE_DURATION, CONF(damping.suppress_ms), LIVE, .min = 1000,
     .max = 3600000, .fallback = "30s",
     .help = "... the first time; each further time takes twice as long."},
    {SECTION_FAILOVER, "MaxSuppressTime", TYPE_DURATION, CONF(damping.suppress_max_ms), LIVE,
     .min = 1000, .max = 86400000, .fallback = "10m",
     .help = "... but no longer than this; after such a time without another one it begins anew."},
    {SECTION_CONNTRACKD, "Interface", TYPE_IFNAME, CONF(conntrackd_ifname), REQUIRED, LIVE,
     .help = "Interface of the sync network, on which SyncAddress is."},
    {SECTION_CONNTRACKD, "Port", TYPE_UINT, CONF(conntrackd_port), LIVE, .min = 1,
     .max = UINT16_MAX, .fallback = "3780",
     .help = "UDP port; with three and more members that of the multicast group 225.0.0.50 or "
             "ff15::50."},
    {SECTION_METRICS, "Enabled", TYPE_SWITCH, CONF(metrics), .fallback = "off",
     .help = "on: answer GET /metrics."},
    {SECTION_METRICS, "Listen", TYPE_ENDPOINT, CONF(metrics_listen), .fallback = "127.0.0.1:9586",
     .help = "Address and port. There is no password: let only a trusted network reach it."},
    {SECTION_METRICS, "PeerSeries", TYPE_UINT, CONF(metrics_peers), LIVE,
     .max = CONF_METRICS_PEERS_MAX, .fallback = "100",
     .help = "So many peers have series of their own, in the order in which they were added; 0: "
             "none. Public keys and names are in them."},
    {SECTION_DRILL, "Faults", TYPE_SWITCH, CONF(drill_faults), LIVE, .fallback = "off",
     .help = "on: a drill that runs at a sibling may stop, kill or freeze the daemon of this "
             "member. Something must start it again: the packaged unit does."},
    {SECTION_DRILL, "Probe", TYPE_PEERS, CONF(drill_probe), LIVE, .max = CONF_PEERS_LEN - 1,
     .fallback = "none",
     .help = "Peers that agreed to be asked for ICMP echo through the tunnel while a drill runs. "
             "What the others send and receive anyway is counted."},
    {SECTION_DRILL, "MaxTakeover", TYPE_DURATION, CONF(drill_takeover_ms), LIVE, .min = 1,
     .max = 60000, .fallback = "1s",
     .help = "A drill passes when the VIP had its new owner within this time of the command."},
    {SECTION_DRILL, "MaxGap", TYPE_DURATION, CONF(drill_gap_ms), LIVE, .min = 1, .max = 60000,
     .fallback = "2s", .help = "... when no peer that is asked was without an answer for longer."},
    {SECTION_DRILL, "MaxLost", TYPE_UINT, CONF(drill_lost), LIVE, .max = 100000,
     .fallback = "100000",
     .help = "... when no more questions to one peer were without an answer, in one step."},
};
const unsigned conf_key_count = ARRAY_LEN(conf_keys);
_Static_assert(ARRAY_LEN(conf_keys) <= CONF_KEYS_MAX, "struct origin has a line for each key");

int conf_section_find(const char *name)
{
    for (int s = 0; s < SECTIONS; s++)
        if (strcasecmp(conf_sections[s].name, name) == 0)
            return s;
    return -1;
}

const struct conf_key *conf_key_find(enum conf_section s, const char *name)
{
    for (unsigned i = 0; i < conf_key_count; i++)
        if (conf_keys[i].section == s && strcasecmp(conf_keys[i].name, name) == 0)
            return &conf_keys[i];
    return NULL;
}

/* Levenshtein, without case. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[WORD_MAX + 1], la = (unsigned)strlen(a), lb = (unsigned)strlen(b);

    if (la > WORD_MAX || lb > WORD_MAX)
        return WORD_MAX;
    for (unsigned j = 0; j <= lb; j++)
        row[j] = j;
    for (unsigned i = 1; i <= la; i++) {
        unsigned corner = row[0];

        row[0] = i;
        for (unsigned j = 1; j <= lb; j++) {
            unsigned up = row[j];
            bool same = (a[i - 1] | 32) == (b[j - 1] | 32);

            row[j] = MIN(MIN(row[j], row[j - 1]) + 1, corner + !same);
            corner = up;
        }
    }
    return row[lb];
}

/* How far @name is from a word that it may have been meant for; NOT_MEANT: too far. */
static unsigned miss(const char *name, const char *word)
{
    size_t len = strlen(name);
    unsigned edits = distance(name, word), most = MIN(NEAR_MAX, MAX(1, (unsigned)len / 3));

    if (len >= PREFIX_MIN && strncasecmp(name, word, len) == 0)
        return 0;
    return edits <= most ? edits : NOT_MEANT;
}

const char *conf_section_near(const char *name)
{
    unsigned best = NOT_MEANT;
    const char *found = NULL;

    for (int s = 0; s < SECTIONS; s++) {
        unsigned d = miss(name, conf_sections[s].name);
        if (d < best) {
            best = d;
            found = conf_sections[s].name;
        }
    }
    return found;
}

const char *conf_key_near(enum conf_section s, const char *name)
{
    unsigned best = NOT_MEANT;
    const char *found = NULL;

    for (unsigned i = 0; i < conf_key_count; i++) {
        unsigned d = conf_keys[i].section == s ? miss(name, conf_keys[i].name) : NOT_MEANT;
        if (d < best) {
            best = d;
            found = conf_keys[i].name;
        }
    }
    return found;
}

/* What is no markup of scdoc's. */
static void print_plain(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (strchr("\\_*#[`~|", *text))
            fputc('\\', out);
        fputc(*text, out);
    }
}

static void print_key(FILE *out, const struct conf_key *k)
{
    char expected[VALUE_EXPECTED_LEN];

    value_expected(k, expected);
    fprintf(out, "*%s* = ", k->name);
    print_plain(out, expected);
    fprintf(out, "\n\t%s", k->help);
    if (k->required)
        fputs(" Required.", out);
    else if (k->fallback || k->computed)
        fprintf(out, " Default: %s.", k->fallback ? k->fallback : k->computed);
    fputs(k->live ? "\n\n" : " A change needs a restart.\n\n", out);
}

void conf_print_reference(FILE *out)
{
    for (int s = 0; s < SECTIONS; s++) {
        const struct conf_section_info *i = &conf_sections[s];

        fprintf(out, "## [%s%s]\n\n%s %s", i->name, i->named ? " NAME" : "", i->help,
                i->required ? "Required" : "Optional");
        if (i->max > 1)
            fprintf(out, "; up to %u", i->max);
        fputs(".\n\n", out);
        for (unsigned k = 0; k < conf_key_count; k++)
            if ((int)conf_keys[k].section == s)
                print_key(out, &conf_keys[k]);
    }
}

/* Text in a cell of a table; @marked: what stands out in scdoc's source stands out here. */
static void print_cell(FILE *out, const char *text, bool marked)
{
    for (; *text; text++) {
        if (strchr(marked ? "|<" : "\\_*`|<", *text))
            fputc('\\', out);
        fputc(*text, out);
    }
}

static void print_row(FILE *out, const struct conf_key *k)
{
    char expected[VALUE_EXPECTED_LEN];

    value_expected(k, expected);
    fprintf(out, "| `%s` | ", k->name);
    print_cell(out, expected, false);
    fputs(" | ", out);
    print_cell(out,
               k->required   ? "required"
               : k->fallback ? k->fallback
               : k->computed ? k->computed
                             : "",
               false);
    fprintf(out, " | %s | ", k->live ? "reload" : "restart");
    print_cell(out, k->help, true);
    fputs(" |\n", out);
}

void conf_print_markdown(FILE *out)
{
    for (int s = 0; s < SECTIONS; s++) {
        const struct conf_section_info *i = &conf_sections[s];

        fprintf(out, "\n## [%s%s]\n\n", i->name, i->named ? " NAME" : "");
        print_cell(out, i->help, true);
        fprintf(out, " %s", i->required ? "Required" : "Optional");
        if (i->max > 1)
            fprintf(out, "; up to %u", i->max);
        fputs(".\n\n| key | value | default | a change needs | |\n|---|---|---|---|---|\n", out);
        for (unsigned k = 0; k < conf_key_count; k++)
            if ((int)conf_keys[k].section == s)
                print_row(out, &conf_keys[k]);
    }
}
