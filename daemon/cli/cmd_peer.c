/* peer: add, list, show, set, disable, enable, approve, rotate, move, revoke, remove. Private keys
 * of clients are made here and never reach the daemon. */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/rng.h"
#include "base/secret.h"
#include "cli/handout.h"
#include "cli/row.h"
#include "cli/when.h"
#include "cli/writer.h"
#include <jansson.h>
#include <sodium.h>
#include <string.h>

#define SCHEMA 1 /* of the JSON; keys are only ever added to it */

static const struct verb {
    const char *word;
    enum peer_verb verb;
    bool names_peer;
} verbs[] = {
    {"list", PEER_LIST, false},    {"show", PEER_SHOW, true},       {"add", PEER_ADD, true},
    {"set", PEER_SET, true},       {"disable", PEER_DISABLE, true}, {"enable", PEER_ENABLE, true},
    {"revoke", PEER_REVOKE, true}, {"remove", PEER_REMOVE, true},   {"approve", PEER_APPROVE, true},
    {"rotate", PEER_ROTATE, true}, {"move", PEER_MOVE, true},
};

struct asked {
    struct peer_command command;
    bool make_psk;
    struct handout handout;
};

/* ---- options ---- */

static int read_key_file(const char *path, uint8_t ret[32])
{
    char text[64] = "";
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    bool good = f && fgets(text, sizeof(text), f);

    if (f && f != stdin)
        fclose(f);
    text[strcspn(text, "\r\n")] = '\0';
    good = good && key_from_base64(text, ret);
    secret_wipe(text, sizeof(text));
    return good ? EXIT_GOOD
                : cli_fail(EXIT_FAILED, "%s: no key of 44 characters, as 'wg genpsk' writes it",
                           path);
}

static int say_allowed(struct peer_command *c, const char *list)
{
    size_t len = strlen(c->allowed);

    if (len + strlen(list) + 2 > sizeof(c->allowed))
        return cli_fail(EXIT_USAGE, "more than %d bytes of networks in one command",
                        CONTROL_PREFIXES_MAX);
    snprintf(c->allowed + len, sizeof(c->allowed) - len, "%s%s", len ? "," : "", list);
    c->has_allowed = true;
    return EXIT_GOOD;
}

/* Of what is noted and how long it lasts. -ENOENT: it is none of them. */
static int take_note(struct peer_command *c, char **argv, int *i)
{
    static const char *const words[] = {"--owner", "--device", "--note", "--group", "--expires"};
    const char *v = NULL;
    unsigned n = 0;

    while (n < ARRAY_LEN(words) && !(v = cli_value(argv, i, words[n], words[n])))
        n++;
    if (!v)
        return -ENOENT;
    if (n <= PEER_NOTE) {
        if (strlen(v) >= sizeof(c->text[n]))
            return cli_fail(EXIT_USAGE, "%s takes %d bytes at most", words[n], PEER_TEXT_MAX);
        c->has_text[n] = true;
        strcpy(c->text[n], v);
        return EXIT_GOOD;
    }
    if (n == 3) {
        if (!*v || strlen(v) >= sizeof(c->group))
            return cli_fail(EXIT_USAGE, "--group takes the name of a group, or none");
        c->has_group = true;
        strcpy(c->group, strcmp(v, "none") == 0 ? "" : v);
        return EXIT_GOOD;
    }
    c->has_expires = true;
    return when_parse(v, clock_real_ns() / NS_PER_S, &c->expires_s) == 0
               ? EXIT_GOOD
               : cli_fail(EXIT_USAGE,
                          "--expires takes 90m, 12h, 30d, 2w, 1y, a date as 2026-12-24 or "
                          "2026-12-24T18:00Z (UTC), or never; not '%s'",
                          v);
}

/* An option with a value. -ENOENT: it is none of them. */
static int take_value(struct asked *a, char **argv, int *i)
{
    static const char *const words[] = {"--pubkey",      "--psk-file", "--keepalive", "--address",
                                        "--allowed-ips", "--name",     "--conf",      "--dns",
                                        "--route",       "--qr-png",   "--qr-svg"};
    struct peer_command *c = &a->command;
    const char *v = NULL;
    unsigned n = 0;
    uint64_t number;

    while (n < ARRAY_LEN(words) && !(v = cli_value(argv, i, words[n], words[n])))
        n++;
    if (!v)
        return -ENOENT;
    if (!*v)
        return cli_fail(EXIT_USAGE, "%s needs a value; try 'guardmount peer --help'", words[n]);
    switch (n) {
    case 0:
        c->has_key = true;
        return key_from_base64(v, c->key.b)
                   ? EXIT_GOOD
                   : cli_fail(EXIT_USAGE, "'%s' is no public key of 44 characters", v);
    case 1:
        c->has_psk = true;
        return read_key_file(v, c->psk);
    case 2:
        if (!parse_u64(v, 0, UINT16_MAX, &number))
            return cli_fail(EXIT_USAGE, "--keepalive takes seconds, 0 to 65535 (0: off)");
        c->has_keepalive = true;
        c->keepalive_s = (uint16_t)number;
        return EXIT_GOOD;
    case 3:
        c->address_auto = strcmp(v, "auto") == 0;
        return c->address_auto ? EXIT_GOOD : say_allowed(c, v);
    case 4:
        return say_allowed(c, v);
    case 5:
        if (strlen(v) >= sizeof(c->name))
            return cli_fail(EXIT_USAGE, "a name has 63 bytes at most");
        strcpy(c->name, v);
        return EXIT_GOOD;
    case 6:
        a->handout.path[HANDOUT_CONF] = v;
        return EXIT_GOOD;
    case 7:
        a->handout.dns = v;
        return EXIT_GOOD;
    case 8:
        a->handout.routes = v;
        return EXIT_GOOD;
    default:
        a->handout.path[n == 9 ? HANDOUT_PNG : HANDOUT_SVG] = v;
        return EXIT_GOOD;
    }
}

static int take_argument(struct asked *a, const struct verb *v, char **argv, int *i)
{
    struct peer_command *c = &a->command;
    const char *arg = argv[*i];
    int r;

    if (strcmp(arg, "--psk") == 0) {
        a->make_psk = true;
    } else if (strcmp(arg, "--qr") == 0) {
        a->handout.qr = true;
    } else if (strcmp(arg, "--no-psk") == 0) {
        c->has_psk = true;
        secret_wipe(c->psk, sizeof(c->psk));
    } else if (strcmp(arg, "--reinstate") == 0) {
        c->reinstate = true;
    } else if (strcmp(arg, "--overlap") == 0) {
        c->overlap = true;
    } else if (strcmp(arg, "--pending") == 0) {
        c->pending = true;
    } else if (strcmp(arg, "--cancel") == 0 && v->verb == PEER_ROTATE) {
        c->cancel = true;
    } else if (strcmp(arg, "--all") == 0 && v->verb == PEER_LIST) {
        c->gone = true;
    } else if (arg[0] == '-') {
        r = take_note(c, argv, i);
        if (r == -ENOENT)
            r = take_value(a, argv, i);
        if (r == -ENOENT)
            return cli_fail(EXIT_USAGE, "peer %s: unexpected '%s'; try 'guardmount peer --help'",
                            v->word, arg);
        return r;
    } else if (v->verb == PEER_MOVE && *c->peer && !*c->vip && strlen(arg) < sizeof(c->vip)) {
        strcpy(c->vip, arg);
    } else if (!v->names_peer || *c->peer) {
        return cli_fail(EXIT_USAGE, "peer %s: unexpected '%s'; try 'guardmount peer --help'",
                        v->word, arg);
    } else if (!*arg || strlen(arg) >= sizeof(c->peer)) {
        return cli_fail(EXIT_USAGE, "peer %s: a name has 1 to 63 bytes", v->word);
    } else {
        strcpy(c->peer, arg);
    }
    return EXIT_GOOD;
}

static bool says_notes(const struct peer_command *c)
{
    return c->has_group || c->has_expires || c->has_text[PEER_OWNER] || c->has_text[PEER_DEVICE] ||
           c->has_text[PEER_NOTE];
}

/* Who gets a new key: how the client comes to know it. */
static int check_key(const struct asked *a, const struct verb *v)
{
    const struct peer_command *c = &a->command;
    const struct handout *h = &a->handout;

    if (!handout_wanted(h) == !c->has_key)
        return cli_fail(EXIT_USAGE,
                        "peer %s: say --conf FILE, --qr, --qr-png FILE or --qr-svg FILE (a key is "
                        "made, and the client's file) or --pubkey KEY (the client has one), not "
                        "both",
                        v->word);
    if (a->make_psk && (!handout_wanted(h) || c->has_psk))
        return cli_fail(EXIT_USAGE,
                        "peer %s: --psk makes a key for the client's file: it needs --conf or "
                        "--qr, and no --psk-file",
                        v->word);
    return EXIT_GOOD;
}

/* What does not go together. */
static int check(const struct asked *a, const struct verb *v)
{
    const struct peer_command *c = &a->command;
    const struct handout *h = &a->handout;
    bool keys =
        handout_wanted(h) || a->make_psk || c->has_key || c->reinstate || h->dns || h->routes;
    bool fields = c->has_keepalive || c->has_allowed || c->address_auto || *c->name || c->overlap ||
                  says_notes(c);
    int r;

    if (v->names_peer && !*c->peer)
        return cli_fail(EXIT_USAGE, "peer %s needs a peer's name%s; try 'guardmount peer --help'",
                        v->word, v->verb == PEER_ADD ? "" : " or key");
    if (c->pending && v->verb != PEER_ADD)
        return cli_fail(EXIT_USAGE, "peer %s: --pending belongs to 'peer add'", v->word);
    switch (v->verb) {
    case PEER_ADD:
        if (*c->name)
            return cli_fail(EXIT_USAGE, "peer add takes the name without --name");
        r = check_key(a, v);
        if (r == EXIT_GOOD && c->expires_s && c->expires_s <= clock_real_ns() / NS_PER_S)
            r = cli_fail(EXIT_USAGE, "peer add: that time is over already");
        if (r == EXIT_GOOD && !c->has_allowed && !c->address_auto)
            r = cli_fail(EXIT_USAGE, "peer add: say --address auto, or which --address or "
                                     "--allowed-ips it has");
        return r;
    case PEER_ROTATE:
        if (fields)
            return cli_fail(EXIT_USAGE, "peer rotate changes the keys and nothing else; see "
                                        "'guardmount peer set'");
        if (c->cancel && (keys || c->has_psk))
            return cli_fail(EXIT_USAGE, "peer rotate: --cancel goes with no key");
        return c->cancel ? EXIT_GOOD : check_key(a, v);
    case PEER_SET:
        if (!keys && !fields && !c->has_psk)
            return cli_fail(EXIT_USAGE, "peer set: nothing to set; try 'guardmount peer --help'");
        break;
    case PEER_MOVE:
        if (!*c->vip)
            return cli_fail(EXIT_USAGE, "peer move needs a peer and a VIP");
        /* fallthrough */
    default:
        if (fields || c->has_psk)
            return cli_fail(EXIT_USAGE, "peer %s takes no fields; see 'guardmount peer set'",
                            v->word);
        break;
    }
    if (keys)
        return cli_fail(
            EXIT_USAGE,
            "peer %s: --conf, --qr, --qr-png, --qr-svg, --dns, --route, --psk, --pubkey and "
            "--reinstate belong to 'peer add' and 'peer rotate'",
            v->word);
    return EXIT_GOOD;
}

/* ---- the client's keys ---- */

static int make_keys(struct asked *a, bool json)
{
    struct handout *h = &a->handout;

    if (!handout_wanted(h))
        return EXIT_GOOD;
    if (h->qr && json)
        return cli_fail(EXIT_USAGE, "--qr does not go with --json; name a file with --qr-png");
    if (sodium_init() < 0)
        return cli_fail(EXIT_FAILED, "libsodium does not start");
    rng_fill(&rng_system, h->private_key, sizeof(h->private_key));
    h->private_key[0] &= 248;
    h->private_key[31] = (uint8_t)((h->private_key[31] & 127) | 64);
    crypto_scalarmult_base(a->command.key.b, h->private_key);
    a->command.has_key = true;
    if (a->make_psk) {
        rng_fill(&rng_system, a->command.psk, sizeof(a->command.psk));
        a->command.has_psk = true;
    }
    return handout_open(h);
}

/* ---- showing ---- */

static int show_json(const struct peer_rows *rows, bool one)
{
    json_t *o = json_pack("{s:i}", "schema", SCHEMA), *list = one ? NULL : json_array();

    for (unsigned i = 0; i < rows->count; i++)
        if (one)
            json_object_set_new(o, "peer", row_peer_json(&rows->row[i], false));
        else
            json_array_append_new(list, row_peer_json(&rows->row[i], false));
    if (list)
        json_object_set_new(o, "peers", list);
    if (*rows->note)
        json_object_set_new(o, "note", json_string(rows->note));
    return cli_json(o, false);
}

/* A key that waits has no name of its own: whose it will be. */
static void show_name(struct table *t, const struct peer_rows *rows, const struct peer_row *r)
{
    for (unsigned i = 0; r->has_replaces && i < rows->count; i++)
        if (public_key_equal(&rows->row[i].key, &r->replaces)) {
            table_cell(t, TONE_DIM, "(next key of %s)", rows->row[i].name);
            return;
        }
    table_cell(t, TONE_PLAIN, "%s", *r->name ? r->name : "-");
}

static void show_table(const struct peer_rows *rows, bool color)
{
    struct table t;

    table_begin(&t, "PEER|STATE|ALLOWED IPS|>KEEPALIVE|PSK|KEY");
    for (unsigned i = 0; i < rows->count; i++) {
        const struct peer_row *r = &rows->row[i];
        char key[KEY_TEXT_LEN + 1], more[32] = "";

        key_to_base64(r->key.b, key);
        if (r->allowed_count > 2)
            snprintf(more, sizeof(more), " and %u more", r->allowed_count - 2);
        show_name(&t, rows, r);
        table_cell(&t, strcmp(r->state, "enabled") == 0 ? TONE_GOOD : TONE_BAD, "%s", r->state);
        table_cell(&t, TONE_PLAIN, "%s%s%s%s", r->allowed_count ? r->allowed[0] : "-",
                   r->allowed_count > 1 ? ", " : "", r->allowed_count > 1 ? r->allowed[1] : "",
                   more);
        table_cell(&t, TONE_PLAIN, r->keepalive_s ? "%u s" : "-", r->keepalive_s);
        table_cell(&t, TONE_PLAIN, "%s", r->has_psk ? "yes" : "no");
        table_cell(&t, TONE_DIM, "%s", key);
    }
    table_end(&t, color, stdout);
}

static void show_one(const struct peer_rows *rows)
{
    const struct peer_row *r = &rows->row[0];
    static const char *const noted[] = {
        [PEER_OWNER] = "owner", [PEER_DEVICE] = "device", [PEER_NOTE] = "note"};
    char key[KEY_TEXT_LEN + 1], time[SHOWN_LEN];

    key_to_base64(r->key.b, key);
    printf("peer         %s\nkey          %s\nstate        %s\n", *r->name ? r->name : "-", key,
           r->state);
    for (unsigned i = 0; i < r->allowed_count; i++)
        printf("%s%s\n", i ? "             " : "allowed ips  ", r->allowed[i]);
    if (r->waiting)
        printf("waiting      %u of them are another peer's: both were given them at once\n",
               r->waiting);
    printf("psk          %s\n", r->has_psk ? "yes" : "no");
    if (*rows->hub_endpoint)
        printf("vip          %s, so its client's file has Endpoint = %s\n", rows->vip,
               rows->hub_endpoint);
    if (r->keepalive_s)
        printf("keepalive    %u s\n", r->keepalive_s);
    if (*r->endpoint)
        printf("endpoint     %s\n", r->endpoint);
    if (*r->group)
        printf("group        %s\n", r->group);
    for (unsigned t = PEER_OWNER; t <= PEER_NOTE; t++)
        if (r->text[t])
            printf("%-12s %s\n", noted[t], r->text[t]);
    if (r->expires_s)
        printf("expires      %s\n", show_time(time, r->expires_s * NS_PER_S));
    if (r->has_replaces) {
        key_to_base64(r->replaces.b, key);
        printf("replaces     %s as soon as it is used\n", key);
    }
    if (r->has_next) {
        key_to_base64(r->next.b, key);
        printf("next key     %s takes its place as soon as it is used\n", key);
    }
    printf("changed      %s by member %u\n", show_time(time, r->changed_real_ns), r->changed_by);
}

static int finish(const struct cli *c, struct asked *a, const struct verb *v,
                  const struct peer_rows *rows)
{
    static const char *const done[PEER_VERBS] = {
        [PEER_ADD] = "added",
        [PEER_SET] = "changed",
        [PEER_DISABLE] = "disabled",
        [PEER_ENABLE] = "enabled",
        [PEER_REVOKE] = "revoked",
        [PEER_REMOVE] = "removed",
        [PEER_APPROVE] = "approved",
        [PEER_ROTATE] = "has a new key, which takes over when it is first used"};
    const char *conf = a->handout.path[HANDOUT_CONF];
    int r = EXIT_GOOD;

    if (handout_wanted(&a->handout) && rows->count == 1) {
        const struct peer_command *pc = &a->command;
        const char *what;

        r = handout_write(&a->handout, rows, pc->psk, &what);
        if (r < 0)
            return cli_fail(EXIT_FAILED,
                            "%s: %s; the peer was %s: take it back with 'guardmount "
                            "peer %s %s%s'",
                            what, r == -EFBIG ? "the client's file is too large" : strerror(-r),
                            v->verb == PEER_ADD ? "added" : "given a new key",
                            v->verb == PEER_ADD ? "remove" : "rotate", pc->peer,
                            v->verb == PEER_ADD ? "" : " --cancel");
    }
    if (conf && strcmp(conf, "-") == 0)
        r = EXIT_GOOD; /* standard output is the file */
    else if (c->json)
        r = show_json(rows, v->verb != PEER_LIST);
    else if (v->verb == PEER_LIST)
        show_table(rows, color_wanted(c, stdout));
    else if (v->verb == PEER_SHOW && rows->count == 1)
        show_one(rows);
    else if (v->verb == PEER_MOVE)
        printf("peer %s belongs to VIP %s; its client's file needs\nEndpoint = %s\n",
               a->command.peer, rows->vip, rows->hub_endpoint);
    else if (a->command.cancel)
        printf("peer %s keeps its key\n", a->command.peer);
    else
        printf("peer %s %s%s%s\n", a->command.peer, done[v->verb],
               conf ? "; the client's file is " : "", conf ? conf : "");
    if (*rows->note)
        r = cli_fail(EXIT_DEGRADED, "%s", rows->note);
    return r;
}

static int ask(const struct cli *c, struct asked *a, const struct verb *v)
{
    struct control_request request = {
        .version = CONTROL_VERSION, .kind = CONTROL_PEER, .command = a->command};
    struct control_reply reply;
    int r = client_request(c, &request, &reply);

    secret_wipe(&request, sizeof(request));
    if (r == EXIT_GOOD && !reply.peers)
        r = cli_fail(EXIT_UNREACHABLE, "the daemon's answer makes no sense");
    else if (r == EXIT_GOOD)
        r = finish(c, a, v, reply.peers);
    handout_drop(&a->handout);
    if (r == EXIT_GOOD || r == EXIT_DEGRADED)
        control_reply_done(&reply);
    return r;
}

int cmd_peer(const struct cli *c, int argc, char **argv)
{
    struct asked a = {0};
    const struct verb *v = NULL;
    int r = EXIT_GOOD;

    for (unsigned i = 0; argc && i < ARRAY_LEN(verbs); i++)
        if (strcmp(argv[0], verbs[i].word) == 0)
            v = &verbs[i];
    if (!v)
        return cli_fail(EXIT_USAGE,
                        "peer: say list, show, add, set, disable, enable, approve, rotate, move, "
                        "revoke or remove; try 'guardmount peer --help'");
    a.command.verb = v->verb;
    for (int i = 1; r == EXIT_GOOD && i < argc; i++)
        r = take_argument(&a, v, argv, &i);
    if (r == EXIT_GOOD)
        r = check(&a, v);
    if (r == EXIT_GOOD)
        r = make_keys(&a, c->json);
    if (r == EXIT_GOOD)
        r = ask(c, &a, v);
    secret_wipe(&a, sizeof(a));
    return r;
}
