#include "base/err.h"
#include "cli/cli.h"
#include "cli/place.h"
#include <locale.h>
#include <stdio.h>
#include <string.h>

#define WORD_MAX 63     /* bytes of a word that a hint is looked for */
#define HINT_DISTANCE 2 /* edits between a word and the command that was probably meant */

static int cmd_version(const struct cli *c, int argc, char **argv);
static int cmd_help(const struct cli *c, int argc, char **argv);

static const struct command commands[] = {
    {"status", "[--peers] [--watch[=SECONDS]]",
     "members, VIPs and sessions as this member sees them",
     "  --peers       one line a peer as well\n"
     "  --watch       again every two seconds, in the same place of a terminal; JSON a line each;\n"
     "                --watch=S: every S seconds\n"
     "  -j, --json    JSON with \"schema\": 1; keys are only ever added, times are RFC 3339",
     "guardmount status --peers\n"
     "guardmount status --json | jq '.vips[] | select(.owned)'",
     cmd_status},
    {"health", "[-q|--quiet | --nagios]", "whether all is well: exit code 0, or 4 and the reasons",
     "  -q, --quiet   no text, only the exit code\n"
     "  --nagios      one line and the exit codes of monitoring plugins: 0 good, 1 degraded,\n"
     "                2 peers are not served or no daemon answers, 3 it cannot be told\n"
     "  -j, --json    {\"schema\": 1, \"healthy\": ..., \"reasons\": [...]}",
     "guardmount health --quiet || echo look at the cluster", cmd_health},
    {"drain", "[--vip VIP] [--force] [MEMBER]",
     "move VIPs away from a member and keep them away; nothing is lost",
     "  --vip VIP     this one only (default: all)\n"
     "  --force       also when no sibling in sync could take it\n"
     "  -j, --json    {\"schema\": 1, \"action\": ..., \"done\": ..., \"vips\": [...]}\n"
     "  MEMBER        default: the one whose daemon is asked\n"
     "Waits until the VIPs are elsewhere. Outlives a restart, until undrain.\n"
     "Exit code: 0 moved, 1 refused or not moved within 12 s.",
     "guardmount drain && systemctl restart guardmountd && guardmount undrain", cmd_drain},
    {"undrain", "[--vip VIP] [MEMBER]", "a drained member may have VIPs again",
     "  --vip VIP     this one only (default: all)\n"
     "  MEMBER        default: the one whose daemon is asked\n"
     "Nothing moves because of it, unless the VIP prefers this member.",
     "guardmount undrain", cmd_undrain},
    {"promote", "[--force] VIP MEMBER", "move a VIP to a member; nothing is lost",
     "  --force       also when it is not in sync, or holds no session keys of the VIP\n"
     "  -j, --json    as drain\n"
     "Waits until it has arrived. Exit code: 0 arrived, 1 refused or not arrived within 12 s.",
     "guardmount promote main berlin", cmd_promote},
    {"drill", "--vip VIP [--method METHOD] [--repeat N] [--report FILE] [--force]",
     "prove on this cluster that a failover works: there and back, measured",
     "  --vip VIP     which\n"
     "  --method drain|stop|kill|freeze|isolate\n"
     "                how it leaves its owner. Run it on the owner: drain (a planned move; the\n"
     "                default), isolate (its LANs are dead for a while; needs root and nft). On a\n"
     "                sibling, which watches: stop, kill, freeze (the owner's daemon; Faults = on\n"
     "                in [Drill] there)\n"
     "  --repeat N    so many times there and back (1 to 50; default 1)\n"
     "  --hold S      seconds of a freeze or an isolation (0.5 to 8; default 3)\n"
     "  --max-ms N    a step passes if the new owner is known N ms after the command,\n"
     "  --max-gap N   no peer that is asked was without an answer for longer than N ms,\n"
     "  --max-lost N  and no more than N questions to one had none (defaults: [Drill])\n"
     "  --settle S    seconds that sessions are watched for after each step (3)\n"
     "  --report FILE a page with a timeline, one file\n"
     "  --force       also when no sibling in sync could take it\n"
     "  --scheduled   do nothing where it is another member's to run it: for a timer on all\n"
     "  -j, --json    {\"schema\": 2, \"pass\": ..., \"steps\": [...], \"peers\": [...]}\n"
     "The VIP is put back whatever happens, also when interrupted.\n"
     "Exit code: 0 passed, 4 a step did not pass, 1 refused, broken off, or not put back.",
     "guardmount drill --vip main --repeat 5 --report drill.html", cmd_drill},
    {"upgrade-check", "", "whether this member can be restarted without anybody noticing",
     "  -j, --json    {\"schema\": 1, \"safe\": ..., \"reasons\": [...]}\n"
     "Exit code: 0 safe, 4 not, with the reasons.",
     "guardmount upgrade-check && systemctl restart guardmountd", cmd_upgrade_check},
    {"metrics", "[--no-peers]", "counters and gauges as OpenMetrics text",
     "  --no-peers    without the wireguard_peer_* series of single peers",
     "guardmount metrics > /var/lib/prometheus/node-exporter/guardmount.prom", cmd_metrics},
    {"events", "[-f|--follow] [--since N|TIME]", "what happened: ownership, handshakes, refusals",
     "  -f, --follow  go on with what happens from now on, until interrupted\n"
     "  --since N     only events with a number above N; with a unit (90s, 10m, 2h, 7d): only\n"
     "                those that are younger\n"
     "  -j, --json    an object a line, with \"schema\": 1",
     "guardmount events --since 10m\n"
     "guardmount events -f --json | jq 'select(.event == \"handshake.refused\")'",
     cmd_events},
    {"why", "PEER", "why a peer is down, and what to do about it",
     "  PEER          its name, its public key, or the first letters of the key (4 at least)\n"
     "  -j, --json    {\"schema\": 1, \"up\": ..., \"verdict\": ..., \"findings\": [...], "
     "\"facts\": {...}}\n"
     "\n"
     "Exit code 0: it is up; 4: it is down, or another member serves it.",
     "guardmount why alice", cmd_why},
    {"doctor", "[--all] [--keepalived FILE]", "what is wrong with this machine, and what to do",
     "  --all         also what is good\n"
     "  --keepalived FILE\n"
     "                keepalived's configuration (default /etc/keepalived/keepalived.conf)\n"
     "  -c CONF       configuration of the member (default " DEFAULT_CONF ")\n"
     "  -j, --json    {\"schema\": 1, \"healthy\": ..., \"findings\": [...]}\n"
     "\n"
     "Exit code 0: nothing is wrong; 4: there are findings.",
     "guardmount doctor\n"
     "guardmount doctor --json | jq '.findings[] | select(.severity == \"fail\")'",
     cmd_doctor},
    {"top", "[-d SECONDS] [--by ORDER] [--once]", "the busiest peers, full screen",
     "  -d, --delay SECONDS\n"
     "                between two looks (2)\n"
     "  --by sum|rx|tx|name\n"
     "                the order; sum is of both ways\n"
     "  --once        look twice, print the table and end: for a pipe; with -j as JSON\n"
     "\n"
     "Keys: s, r, t, n change the order; up, down, page up, page down, home scroll; q ends.",
     "guardmount top\n"
     "guardmount top --once -d 10 --json | jq '.peers[:3]'",
     cmd_top},
    {"peer",
     "list|show|add|set|disable|enable|approve|rotate|move|revoke|remove [PEER] [VIP] [OPTIONS]",
     "peers: list, show, add, set, disable, enable, approve, rotate, move, revoke, remove",
     "  list                   all peers\n"
     "  show PEER              one, by name or key\n"
     "  add NAME               with --conf, --qr or --pubkey, and an address\n"
     "  set PEER               change the fields that are named, and no other\n"
     "  disable, enable PEER   not served for a while; it keeps its addresses\n"
     "  approve PEER           serve one that was added with --pending\n"
     "  rotate PEER            give it a new key; the old one works until the new one is used\n"
     "  move PEER VIP          to another VIP: what its client's file needs is printed\n"
     "  revoke PEER            for good, by name or key; waits for the other members\n"
     "  remove PEER            forget it; the same key may be added again\n"
     "\n"
     "  --all                list: removed and revoked ones too\n"
     "  --conf FILE          add, rotate: make a key and the client's file (- is standard output)\n"
     "  --qr                 add, rotate: the same as a QR code on the terminal, for a phone\n"
     "  --qr-png FILE, --qr-svg FILE\n"
     "                       add, rotate: the same as a picture\n"
     "  --pubkey KEY         add, rotate: the client has a key\n"
     "  --cancel             rotate: the new key that was not used yet is dropped\n"
     "  --address IP|auto    its address; auto takes a free one of each network of [Hub] Address\n"
     "  --allowed-ips LIST   networks that are its own, with commas; set: all of them\n"
     "  --overlap            they may overlap with another peer's; the narrower one wins\n"
     "  --keepalive SECONDS  persistent keepalive of the hub and in the file; 0 is off\n"
     "  --group GROUP        add, set: what its file does not say otherwise is the group's; none\n"
     "  --expires TIME       add, set: 90m, 12h, 30d, 2w, 1y, 2026-12-24, 2026-12-24T18:00Z, "
     "never\n"
     "  --pending            add: not served until it is approved\n"
     "  --owner TEXT, --device TEXT, --note TEXT\n"
     "                       add, set: for people to know it by\n"
     "  --psk                add, rotate: make a preshared key for the file\n"
     "  --psk-file FILE      take the preshared key that is in FILE\n"
     "  --no-psk             set, rotate: no preshared key any more\n"
     "  --name NAME          set: another name\n"
     "  --reinstate          add: although its key was revoked\n"
     "  --dns LIST           of the client's file\n"
     "  --route LIST         of the client's file; without it all traffic goes to the hub\n"
     "  -j, --json           JSON with \"schema\": 1\n"
     "\n"
     "Exit code 4: done, but a member has not confirmed a revocation, or no disk has taken it.",
     "guardmount peer add alice --address auto --psk --conf alice.conf\n"
     "guardmount peer add phone --address auto --psk --qr\n"
     "guardmount peer add guest --address auto --expires 12h --conf guest.conf\n"
     "guardmount peer set alice --keepalive 25\n"
     "guardmount peer rotate alice --psk --conf alice-new.conf\n"
     "guardmount peer revoke alice",
     cmd_peer},
    {"group", "list|show|add|set|remove [GROUP] [OPTIONS]",
     "groups: what the files of a group's clients say, and what they reach",
     "  list                 all groups\n"
     "  show, add, set, remove GROUP\n"
     "\n"
     "  --route LIST         networks that the clients reach through the hub (split tunnel), or "
     "all\n"
     "  --dns LIST           name servers and search domains\n"
     "  --mtu BYTES          1280 or more; 0 is the hub's\n"
     "  --keepalive SECONDS  persistent keepalive, at the hub and in the file; 0 is off\n"
     "  --policy open|isolate\n"
     "                       whether its peers reach everything, or its networks only and no "
     "other\n"
     "                       group's peers\n"
     "  --network LIST       networks and addresses that an isolated group reaches, or none\n"
     "  --note TEXT          for people to know it by\n"
     "  -j, --json           {\"schema\": 1, \"groups\": [...]}, or \"group\" of the other verbs\n"
     "\n"
     "Peers that are added with --group are given what the group says then: a file that a client\n"
     "has is not changed by a group that changes. What a group may reach holds at once, on all\n"
     "members, for all its peers. A group that peers are in is not removed.",
     "guardmount group add staff --route 10.0.0.0/8,192.168.0.0/16 --dns 10.0.0.53\n"
     "guardmount peer add alice --group staff --address auto --psk --conf alice.conf\n"
     "guardmount group set guests --policy isolate --network 192.0.2.0/24,10.77.0.1",
     cmd_group},
    {"import", "[--dry-run] [--overlap] FILE|--interface NAME",
     "add the peers of a file of wg or wg-quick, or of an interface",
     "  FILE          as /etc/wireguard/wg0.conf, or of 'guardmount export --wg'; it is only read\n"
     "  --interface NAME\n"
     "                what 'wg showconf' says of an interface that is up; it goes on as it is\n"
     "  --dry-run     say what would be added, and change nothing\n"
     "  --overlap     networks may overlap with another peer's; the narrower one wins\n"
     "  -j, --json    {\"schema\": 1, \"dry_run\": ..., \"added\": [...], \"unchanged\": ..., \n"
     "                \"errors\": [...], \"remarks\": [...]}\n"
     "\n"
     "Names come from comments: '# Name = alice', behind [Peer], or in the line above it. Nothing\n"
     "is added when anything in FILE is wrong: all that is wrong is listed with its line. Peers\n"
     "that are here exactly so are left as they are, so it may be said again. [Interface] and its\n"
     "hooks are reported, not applied.",
     "guardmount import --dry-run /etc/wireguard/wg0.conf\n"
     "guardmount import --interface wg0",
     cmd_import},
    {"apply", "-f FILE [--dry-run] [--prune] [--overlap]", "make peers and groups what a file says",
     "  -f, --file FILE   JSON as 'guardmount export' writes it (- is standard input)\n"
     "  --dry-run         show what would change (+ added, ~ changed, > new key, - removed), and\n"
     "                    change nothing\n"
     "  --prune           remove peers that FILE does not name; without it they stay\n"
     "  --overlap         networks may overlap with another peer's; the narrower one wins\n"
     "  -j, --json        {\"schema\": 1, \"dry_run\": ..., \"added\": [...], \"changed\": [...],\n"
     "                    \"rotated\": [...], \"removed\": [...], \"unchanged\": ..., \"errors\": "
     "[...]}\n"
     "\n"
     "A peer is known by its public_key, a group by its name. What FILE does not say of one that\n"
     "is there stays as it is. Nothing is changed when anything in FILE is wrong: all that is\n"
     "wrong is listed with its number in the list. It may be said again.",
     "guardmount apply -f peers.json --dry-run\n"
     "guardmount export | ssh other guardmount apply -f -",
     cmd_apply},
    {"export", "[--wg]", "all peers, with their preshared keys, to standard output",
     "  --wg          as [Peer] sections for wg, with names in comments, instead of JSON\n"
     "  -j, --json    the default: {\"schema\": 1, \"groups\": [...], \"peers\": [...]}, as "
     "'apply'\n"
     "                reads it\n"
     "\n"
     "Private keys of clients are not known here. Removed and revoked peers are left out.",
     "(umask 077; guardmount export --wg >peers.conf)\n"
     "guardmount export | jq -r '.peers[].name'",
     cmd_export},
    {"audit", "VERB [OPTIONS]", "who changed what on this member: list, export, verify",
     "  list          the last entries\n"
     "  export        all of them as JSON lines: {\"schema\": 1, \"serial\": ..., \"text\": ...,\n"
     "                \"hash\": ...}\n"
     "  verify [FILE] are they, or those of an export, as they were written? Without FILE the\n"
     "                daemon is asked\n"
     "\n"
     "  -n, --count N list: the last N entries (50)\n"
     "  --all         list: all\n"
     "  --peer TEXT   list, export: those whose text has it, such as a name or a key\n"
     "  --expect NUMBER:HASH\n"
     "                verify: this entry was noted before, and must be there as it was\n"
     "  -j, --json    list as JSON lines; the verdict as JSON\n"
     "\n"
     "Each member keeps the log of what was done on it: one entry for a peer or group that was\n"
     "changed, for a move of a VIP, a backup, and an export of preshared keys. Each has the hash\n"
     "of the one before it, so that what was changed or taken out shows; that the last entries\n"
     "were cut off shows only against a number and a hash that were noted elsewhere. Exit code 1:\n"
     "tampered with.",
     "guardmount audit list --peer alice\n"
     "guardmount audit export >audit.jsonl && guardmount audit verify audit.jsonl",
     cmd_audit},
    {"backup", "FILE", "write the peer database of this member to a file",
     "  FILE          replaced as a whole; mode 0600: preshared keys are in it",
     "guardmount backup /root/peers.backup", cmd_backup},
    {"restore", "FILE", "put a backup back; the daemon must be stopped",
     "  FILE          of 'guardmount backup', of this member or of another\n"
     "  -c CONF       configuration; its StateDirectory says where to (default " DEFAULT_CONF ")\n"
     "\n"
     "Siblings bring it up to date afterwards: to go back in time, restore all members\n"
     "before the first one starts.",
     "systemctl stop guardmountd && guardmount restore /root/peers.backup", cmd_restore},
    {"cluster", "init|invite|join|admit|remove|members|status [OPTIONS]",
     "make a cluster, and its members: init, invite, join, admit, remove, members, status",
     "  init             keys and configuration of a new cluster, offline\n"
     "  invite           print a token, and wait for the machine that joins with it\n"
     "  join TOKEN       make this machine a member; - reads the token from standard input\n"
     "  admit            name a member that was invited elsewhere; 'invite' prints the command\n"
     "  remove NAME      name a member no more\n"
     "  members          who belongs to it\n"
     "  status           the same, with a verdict; exit code 4 when a member is not in sync\n"
     "\n"
     "  --name NAME      init: of the cluster\n"
     "  --member NAME=ADDRESS[:PORT]\n"
     "                   a member, and where its sync channel is reached (port 51900);\n"
     "                   init: once for each, the preferred one first\n"
     "  --hub-address LIST\n"
     "                   init: tunnel addresses of the hub; clients are in these networks\n"
     "  --outer LIST     init: floating addresses for clients: \"ADDRESS/LENGTH dev INTERFACE\"\n"
     "  --inner LIST     init: floating addresses that the LAN routes the tunnel networks to\n"
     "  --port PORT      init: UDP port of the hub (51820); invite: TCP port to wait at (51901)\n"
     "  --vrid-outer ID, --vrid-inner ID\n"
     "                   init: free VRRP router ids on the two LANs (51, 61)\n"
     "  --outer-probe LIST, --inner-probe LIST\n"
     "                   init: what always answers ping on that LAN: a gateway\n"
     "  -o, --output DIR init: folder to make (default: named as the cluster)\n"
     "  --install        init: one --member, this machine; write its files where they belong\n"
     "  --within TIME    invite: how long the token is good (30m; at most 1440m)\n"
     "  --outer-address A, --inner-address LIST\n"
     "                   invite, admit: its own addresses, for Mode = unicast\n"
     "  --id ID          invite: its number (default: one above the highest)\n"
     "  --key KEY        admit: its public key\n"
     "  --dev LIST       join: interfaces with other names on this machine: THERE=HERE,...\n"
     "  --keepalived FILE\n"
     "                   keepalived's configuration (default " KEEPALIVED_CONF ");\n"
     "                   beside one that is your own, conf.d/guardmount.conf is written instead\n"
     "  -c CONF          configuration of the member (default " DEFAULT_CONF ")\n"
     "  -j, --json       JSON with \"schema\": 1\n"
     "\n"
     "init makes a folder for each member, with its guardmount.conf (mode 0600: keys are in it) "
     "and\n"
     "its keepalived.conf; or, with --install, this machine's files alone. Nothing that exists is\n"
     "overwritten. A token is good once, on the machine with that address. What is left to do by\n"
     "hand is printed.",
     "guardmount cluster init --install --name office --member berlin=192.168.99.1 \\\n"
     "    --hub-address 10.77.0.1/16 --outer '203.0.113.100/24 dev eth0' \\\n"
     "    --inner '10.0.0.100/24 dev eth1' --inner-probe 10.0.0.1\n"
     "guardmount cluster invite --member paris=192.168.99.2\n"
     "guardmount cluster join gm1_AAAA...\n"
     "guardmount cluster status",
     cmd_cluster},
    {"ha", "render [--conntrackd] [-c CONF] [-o FILE]",
     "write keepalived's configuration of this member",
     "  --conntrackd  conntrackd's, as [Conntrackd] asks\n"
     "  -c CONF       configuration to read (default " DEFAULT_CONF ")\n"
     "  -o FILE       replace FILE as a whole (default: standard output)",
     "guardmount ha render -o /etc/keepalived/conf.d/guardmount.conf", cmd_ha},
    {"check-config", "[FILE]", "read a configuration; every error with file and line",
     "  FILE          default: -c CONF, else " DEFAULT_CONF,
     "guardmount check-config /etc/guardmount/guardmount.conf", cmd_check_config},
    {"genkey", "[--cluster]", "a member's sync key pair, or a cluster key, ready to paste",
     "  --cluster     the key that all members share, instead of a pair",
     "guardmount genkey\n"
     "guardmount genkey --cluster",
     cmd_genkey},
    {"version", "", "print the version", "  There are no options.", "guardmount version",
     cmd_version},
    {"help", "[COMMAND]", "this text, or a command's", "  There are no options.",
     "guardmount help ha", cmd_help},
};

const char *cli_value(char **argv, int *i, const char *shown, const char *word)
{
    const char *arg = argv[*i];
    size_t len = word ? strlen(word) : 0;

    if (word && strncmp(arg, word, len) == 0 && arg[len] == '=')
        return arg + len + 1;
    if (strcmp(arg, shown) != 0 && (!word || strcmp(arg, word) != 0))
        return NULL;
    return argv[*i + 1] ? argv[++*i] : "";
}

/* ---- help ---- */

static void usage(FILE *out)
{
    fputs("Usage: guardmount [OPTIONS] COMMAND [ARGUMENTS]\n\n", out);
    for (unsigned i = 0; i < ARRAY_LEN(commands); i++)
        fprintf(out, "  %-14s %s\n", commands[i].name, commands[i].summary);
    fputs("\nOptions of all commands:\n"
          "  -s, --socket SOCKET   the daemon's control socket (default " DEFAULT_SOCKET ")\n"
          "  -c, --config CONF     configuration; its RunDirectory tells the socket\n"
          "  -j, --json            JSON instead of text\n"
          "      --color WHEN      auto, always or never; NO_COLOR is honoured\n"
          "  -h, --help            with a command: what it does, with an example\n"
          "\n"
          "Exit code: 0 good, 1 failed, 2 usage, 3 daemon unreachable, 4 done, or true, but not "
          "all is\n"
          "well (with a command: --help).\n"
          "Example: guardmount status\n",
          out);
}

static void help(const struct command *c)
{
    printf("Usage: guardmount %s%s%s\n\n%s\n\n%s\n\nExample:\n", c->name, *c->arguments ? " " : "",
           c->arguments, c->summary, c->help);
    for (const char *line = c->example; *line;) {
        size_t len = strcspn(line, "\n");

        printf("  %.*s\n", (int)len, line);
        line += len + (line[len] == '\n');
    }
}

/* Levenshtein's distance, a row at a time. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[WORD_MAX + 1], b_len = (unsigned)strlen(b);

    for (unsigned j = 0; j <= b_len; j++)
        row[j] = j;
    for (unsigned i = 1; *a; a++, i++) {
        unsigned diagonal = row[0];

        row[0] = i;
        for (unsigned j = 1; j <= b_len; j++) {
            unsigned change = diagonal + (*a != b[j - 1]);

            diagonal = row[j];
            row[j] = MIN(change, MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[b_len];
}

static const struct command *find(const char *word)
{
    for (unsigned i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(commands[i].name, word) == 0)
            return &commands[i];
    return NULL;
}

static int unknown(const char *word)
{
    const char *hint = NULL;
    unsigned least = HINT_DISTANCE + 1;

    for (unsigned i = 0; i < ARRAY_LEN(commands) && strlen(word) <= WORD_MAX; i++) {
        const char *name = commands[i].name;
        /* A word cut short is as good as a slip. */
        unsigned d =
            strlen(word) >= 2 && strncmp(name, word, strlen(word)) == 0 ? 1 : distance(word, name);
        if (d < least && 2 * d <= strlen(name)) {
            least = d;
            hint = name;
        }
    }
    if (hint)
        return cli_fail(EXIT_USAGE, "unknown command '%s'; did you mean 'guardmount %s'?", word,
                        hint);
    return cli_fail(EXIT_USAGE, "unknown command '%s'; 'guardmount help' lists all", word);
}

static int cmd_help(const struct cli *c, int argc, char **argv)
{
    const struct command *about = argc ? find(argv[0]) : NULL;

    if (argc && !about)
        return unknown(argv[0]);
    if (about)
        help(about);
    else
        usage(stdout);
    return EXIT_GOOD;
}

static int cmd_version(const struct cli *c, int argc, char **argv)
{
    if (argc)
        return cli_fail(EXIT_USAGE, "version takes no arguments");
    printf("guardmount %s\n", GM_VERSION);
    return EXIT_GOOD;
}

/* ---- options of all commands ---- */

/* 1: taken; 0: not an option of all commands; negative: bad, and said so. */
static int take_option(struct cli *c, char **argv, int *i)
{
    const char *name = argv[*i], *v;

    if (strcmp(name, "-j") == 0 || strcmp(name, "--json") == 0) {
        c->json = true;
        return 1;
    }
    if ((v = cli_value(argv, i, "-s", "--socket"))) {
        c->socket = v;
    } else if ((v = cli_value(argv, i, "-c", "--config"))) {
        c->conf = v;
    } else if ((v = cli_value(argv, i, "--color", "--color"))) {
        c->color = strcmp(v, "always") == 0  ? COLOR_ALWAYS
                   : strcmp(v, "never") == 0 ? COLOR_NEVER
                                             : COLOR_AUTO;
        if (*v && c->color == COLOR_AUTO && strcmp(v, "auto") != 0) {
            cli_fail(EXIT_USAGE, "--color takes auto, always or never, not '%s'", v);
            return -EINVAL;
        }
    } else {
        return 0;
    }
    if (*v)
        return 1;
    cli_fail(EXIT_USAGE, "%s needs a value; try 'guardmount --help'", name);
    return -EINVAL;
}

int main(int argc, char **argv)
{
    struct cli c = {0};
    const struct command *command = NULL;
    bool want_help = false, want_version = false;
    int rest = 0;

    setlocale(LC_CTYPE, "");
    for (int i = 1; i < argc; i++) {
        int r = take_option(&c, argv, &i);

        if (r < 0)
            return EXIT_USAGE;
        if (r > 0)
            continue;
        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            want_help = true;
        } else if (!command && strcmp(argv[i], "--version") == 0) {
            want_version = true;
        } else if (!command && argv[i][0] == '-') {
            return cli_fail(EXIT_USAGE, "unknown option '%s'; try 'guardmount --help'", argv[i]);
        } else if (!command) {
            command = find(argv[i]);
            if (!command)
                return unknown(argv[i]);
        } else {
            argv[rest++] = argv[i]; /* never beyond what was read */
        }
    }
    argv[rest] = NULL;
    if (want_version)
        return cmd_version(&c, 0, argv);
    if (want_help) {
        if (command)
            help(command);
        else
            usage(stdout);
        return EXIT_GOOD;
    }
    if (!command) {
        usage(stderr);
        return EXIT_USAGE;
    }
    int status = command->run(&c, rest, argv);
    if (fflush(stdout) != 0 && status == EXIT_GOOD)
        return cli_fail(EXIT_FAILED, "the output cannot be written: %s", strerror(errno));
    return status;
}
