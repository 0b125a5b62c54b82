#include "conf/schema.h"
#include "base/err.h"
#include <string.h>
#include <strings.h>

#define NEAR_MAX 3 /* edits between a word and what it may have meant */
#define WORD_MAX 64

const struct conf_section_info conf_sections[SECTIONS] = {
    [SECTION_NODE] =
        {"Node", false, 1, true,
         "This machine. The only section, with SyncPrivateKey, that differs between members."},
    [SECTION_CLUSTER] = {"Cluster", false, 1, true, "What all members share."},
    [SECTION_MEMBER] = {"Member", true, 15, true,
                        "One member; its name is in the brackets. All members, this one too."},
    [SECTION_HUB] = {"Hub", true, 8, true, "A WireGuard identity that the cluster serves."},
    [SECTION_VIP] =
        {"Vip", true, 63, true,
         "A floating address: outer for clients, inner for the LAN; both move together."},
    [SECTION_LAN] = {"Lan", true, 8, false,
                     "A LAN whose silent death must be noticed: VRRP alone does not see it."},
    [SECTION_KEEPALIVED] = {"Keepalived", false, 1, false, "What *guardmount ha render* writes."},
};

static const char *const levels[] = {"error", "warn", "info", "debug", NULL};
static const char *const modes[] = {"multicast", "unicast", NULL};

const struct conf_key conf_keys[] = {
    {SECTION_NODE, "Id", TYPE_UINT, true, 1, 15, NULL, NULL, "Which [Member] this machine is."},
    {SECTION_NODE, "StateDirectory", TYPE_PATH, false, 0, 0, "/var/lib/guardmount", NULL,
     "Peer database and start counter; must survive a reboot."},
    {SECTION_NODE, "RunDirectory", TYPE_PATH, false, 0, 0, "/run/guardmount", NULL,
     "Control socket, and the files shared with keepalived."},
    {SECTION_NODE, "Workers", TYPE_UINT, false, 0, 64, "0", NULL,
     "Packet threads; 0: one per core."},
    {SECTION_NODE, "LogLevel", TYPE_WORD, false, 0, 0, "info", levels,
     "error, warn, info or debug."},
    {SECTION_NODE, "MemoryLock", TYPE_SWITCH, false, 0, 0, "on", NULL,
     "off: start even when key memory cannot be locked; keys may then reach the swap."},
    {SECTION_CLUSTER, "Name", TYPE_WORD, true, 0, 0, NULL, NULL,
     "Name of the cluster, 1 to 31 characters."},
    {SECTION_CLUSTER, "ClusterKey", TYPE_KEY, true, 0, 0, NULL, NULL,
     "Secret of all members (*guardmount genkey --cluster*)."},
    {SECTION_CLUSTER, "SyncPrivateKey", TYPE_KEY, true, 0, 0, NULL, NULL,
     "This member's key of the sync channel (*guardmount genkey*)."},
    {SECTION_CLUSTER, "MembershipEpoch", TYPE_UINT, false, 1, UINT32_MAX, "1", NULL,
     "Raise it on all members when one is added or removed."},
    {SECTION_CLUSTER, "SoloStartAfter", TYPE_DURATION, false, 0, 3600000, "5s", NULL,
     "A member that starts and finds no sibling serves after this time."},
    {SECTION_CLUSTER, "FreezeAfter", TYPE_DURATION, false, 100, 60000, "300ms", NULL,
     "A daemon whose loops stand still for so long loses its VIPs."},
    {SECTION_MEMBER, "Id", TYPE_UINT, true, 1, 15, NULL, NULL,
     "Number of the member; rests 10 minutes before it is given to another machine."},
    {SECTION_MEMBER, "SyncPublicKey", TYPE_PUBLIC_KEY, true, 0, 0, NULL, NULL,
     "Public half of the member's SyncPrivateKey."},
    {SECTION_MEMBER, "SyncAddress", TYPE_ENDPOINT, true, 0, 0, NULL, NULL,
     "Address and port of its sync channel (TCP)."},
    {SECTION_MEMBER, "OuterAddress", TYPE_ADDRESS, false, 0, 0, NULL, NULL,
     "Its own address on the outer LAN; needed for Mode = unicast."},
    {SECTION_MEMBER, "InnerAddress", TYPE_ADDRESS, false, 0, 0, NULL, NULL,
     "Its own address on the inner LAN; needed for Mode = unicast."},
    {SECTION_HUB, "HubId", TYPE_UINT, true, 1, 255, NULL, NULL, "Number of the hub."},
    {SECTION_HUB, "Interface", TYPE_WORD, false, 0, 0, "hubN", NULL,
     "Name of the tunnel interface."},
    {SECTION_HUB, "PrivateKey", TYPE_KEY, true, 0, 0, NULL, NULL,
     "The hub's WireGuard key, the same on all members."},
    {SECTION_HUB, "Address", TYPE_INTERFACE_ADDRESSES, false, 0, 0, NULL, NULL,
     "Addresses of the tunnel interface, as in wg-quick."},
    {SECTION_HUB, "Pool", TYPE_PREFIXES, false, 0, 0, NULL, NULL,
     "Further networks routed to the tunnel."},
    {SECTION_HUB, "MTU", TYPE_UINT, false, 576, 65535, "1420", NULL, "Of the tunnel interface."},
    {SECTION_HUB, "FwMark", TYPE_UINT, false, 0, UINT32_MAX, "0", NULL,
     "Mark of outgoing encrypted packets; 0: none."},
    {SECTION_VIP, "VipId", TYPE_UINT, true, 1, 65535, NULL, NULL, "Number of the VIP."},
    {SECTION_VIP, "Hub", TYPE_WORD, true, 0, 0, NULL, NULL, "Name of the hub that it serves."},
    {SECTION_VIP, "Port", TYPE_UINT, false, 1, 65535, "51820", NULL, "UDP port."},
    {SECTION_VIP, "Outer", TYPE_VIP_ADDRESSES, true, 0, 0, NULL, NULL,
     "Addresses that clients know, each \"address/length dev interface\"."},
    {SECTION_VIP, "Inner", TYPE_VIP_ADDRESSES, false, 0, 0, NULL, NULL,
     "Addresses that the LAN routes the tunnel networks to."},
    {SECTION_VIP, "Members", TYPE_MEMBERS, true, 0, 0, NULL, NULL,
     "Members by preference; the first three hold its session keys."},
    {SECTION_VIP, "VridOuter", TYPE_UINT, true, 1, 255, NULL, NULL,
     "VRRP virtual router id on the outer LAN."},
    {SECTION_VIP, "VridInner", TYPE_UINT, false, 1, 255, NULL, NULL,
     "VRRP virtual router id on the inner LAN; needed with Inner."},
    {SECTION_LAN, "Interface", TYPE_WORD, true, 0, 0, NULL, NULL, "Interface on this LAN."},
    {SECTION_LAN, "Probe", TYPE_ADDRESSES, false, 0, 0, NULL, NULL,
     "Addresses that answer ping; any one is enough. Default: the siblings'. Name a gateway: with "
     "two members and no third party nobody can tell which side is dead."},
    {SECTION_KEEPALIVED, "AdvertInterval", TYPE_DURATION, false, 10, 1000, "100ms", NULL,
     "VRRP advert interval, 10 ms to 1 s in steps of 10 ms. A crash costs about 2.5 of them."},
    {SECTION_KEEPALIVED, "Mode", TYPE_WORD, false, 0, 0, "multicast", modes,
     "multicast, or unicast (clouds)."},
    {SECTION_KEEPALIVED, "RtPriority", TYPE_UINT, false, 0, 99, "50", NULL,
     "Real-time priority of keepalived; 0: none. Below 100 ms it is always on."},
};
const unsigned conf_key_count = ARRAY_LEN(conf_keys);

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

const char *conf_section_near(const char *name)
{
    unsigned best = NEAR_MAX + 1;
    const char *found = NULL;

    for (int s = 0; s < SECTIONS; s++) {
        unsigned d = distance(name, conf_sections[s].name);
        if (d < best) {
            best = d;
            found = conf_sections[s].name;
        }
    }
    return found;
}

const char *conf_key_near(enum conf_section s, const char *name)
{
    unsigned best = NEAR_MAX + 1;
    const char *found = NULL;

    for (unsigned i = 0; i < conf_key_count; i++) {
        unsigned d = conf_keys[i].section == s ? distance(name, conf_keys[i].name) : WORD_MAX;
        if (d < best) {
            best = d;
            found = conf_keys[i].name;
        }
    }
    return found;
}

void conf_print_reference(FILE *out)
{
    for (int s = 0; s < SECTIONS; s++) {
        fprintf(out, "# [%s%s]\n\n%s\n\n", conf_sections[s].name,
                conf_sections[s].named ? " NAME" : "", conf_sections[s].help);
        for (unsigned i = 0; i < conf_key_count; i++) {
            const struct conf_key *k = &conf_keys[i];

            if ((int)k->section != s)
                continue;
            fprintf(out, "*%s*\n\t%s", k->name, k->help);
            if (k->required)
                fprintf(out, " Required.");
            else if (k->fallback)
                fprintf(out, " Default: %s.", k->fallback);
            fprintf(out, "\n\n");
        }
    }
}
