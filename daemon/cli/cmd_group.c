/* group: what the clients of a group are given, and what they reach: list, show, add, set, remove.
 */
#include "base/bytes.h"
#include "base/err.h"
#include "cli/row.h"
#include "cli/writer.h"
#include <string.h>

#define SCHEMA 1

static const struct verb {
    const char *word, *done;
    enum peer_verb verb;
} verbs[] = {
    {"list", NULL, PEER_LIST},    {"show", NULL, PEER_SHOW},          {"add", "added", PEER_ADD},
    {"set", "changed", PEER_SET}, {"remove", "removed", PEER_REMOVE},
};

/* An option with a value. -ENOENT: it is none of them. */
static int take_value(struct peer_command *c, char **argv, int *i)
{
    static const struct {
        const char *word;
        int text;         /* enum peer_text, or -1 */
        const char *none; /* the word for an empty one */
    } options[] = {{"--dns", PEER_DNS, ""},   {"--route", PEER_ROUTES, "all"},
                   {"--note", PEER_NOTE, ""}, {"--network", PEER_NETWORKS, "none"},
                   {"--policy", -1, NULL},    {"--keepalive", -1, NULL},
                   {"--mtu", -1, NULL}};
    const char *v = NULL;
    unsigned n = 0;
    uint64_t number;

    while (n < ARRAY_LEN(options) && !(v = cli_value(argv, i, options[n].word, options[n].word)))
        n++;
    if (!v)
        return -ENOENT;
    if (options[n].text >= 0) {
        char *text = c->text[options[n].text];

        if (strlen(v) > PEER_TEXT_MAX)
            return cli_fail(EXIT_USAGE, "%s takes %d bytes at most", options[n].word,
                            PEER_TEXT_MAX);
        strcpy(text, strcmp(v, options[n].none) == 0 ? "" : v);
        c->has_text[options[n].text] = true;
        return EXIT_GOOD;
    }
    if (strcmp(options[n].word, "--policy") == 0) {
        c->has_policy = true;
        c->policy = strcmp(v, "isolate") == 0 ? POLICY_ISOLATE : POLICY_OPEN;
        if (c->policy == POLICY_OPEN && strcmp(v, "open") != 0)
            return cli_fail(EXIT_USAGE, "--policy is open or isolate");
        return EXIT_GOOD;
    }
    if (!parse_u64(v, 0, UINT16_MAX, &number))
        return cli_fail(EXIT_USAGE, "%s takes a number, 0 to 65535", options[n].word);
    if (strcmp(options[n].word, "--keepalive") == 0) {
        c->has_keepalive = true;
        c->keepalive_s = (uint16_t)number;
    } else {
        c->has_mtu = true;
        c->mtu = (uint16_t)number;
    }
    return EXIT_GOOD;
}

static int take_arguments(struct peer_command *c, const struct verb *v, char **argv, int argc)
{
    bool changes = false;

    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        int r = arg[0] == '-' ? take_value(c, argv, &i) : -ENOENT;

        if (r == EXIT_GOOD) {
            changes = true;
        } else if (r != -ENOENT) {
            return r;
        } else if (arg[0] == '-' || v->verb == PEER_LIST || *c->peer) {
            return cli_fail(EXIT_USAGE, "group %s: unexpected '%s'; try 'guardmount group --help'",
                            v->word, arg);
        } else if (!*arg || strlen(arg) >= sizeof(c->peer)) {
            return cli_fail(EXIT_USAGE, "group %s: a name has 1 to 63 bytes", v->word);
        } else {
            strcpy(c->peer, arg);
        }
    }
    if (v->verb != PEER_LIST && !*c->peer)
        return cli_fail(EXIT_USAGE, "group %s needs a group's name; try 'guardmount group --help'",
                        v->word);
    if (changes && v->verb != PEER_ADD && v->verb != PEER_SET)
        return cli_fail(EXIT_USAGE, "group %s takes no settings; see 'guardmount group set'",
                        v->word);
    if (!changes && v->verb == PEER_SET)
        return cli_fail(EXIT_USAGE, "group set: nothing to set; try 'guardmount group --help'");
    return EXIT_GOOD;
}

/* ---- showing ---- */

static int show_json(const struct peer_rows *rows, bool one)
{
    json_t *o = json_pack("{s:i}", "schema", SCHEMA), *list = one ? NULL : json_array();

    for (unsigned i = 0; i < rows->count; i++)
        if (one)
            json_object_set_new(o, "group", row_group_json(&rows->row[i]));
        else
            json_array_append_new(list, row_group_json(&rows->row[i]));
    if (list)
        json_object_set_new(o, "groups", list);
    return cli_json(o, false);
}

static const char *networks(const struct peer_row *r)
{
    return r->text[PEER_NETWORKS]     ? r->text[PEER_NETWORKS]
           : r->policy == POLICY_OPEN ? "-"
                                      : "none";
}

static void show_table(const struct peer_rows *rows, bool color)
{
    struct table t;

    table_begin(&t, "GROUP|POLICY|NETWORKS|ROUTES|DNS|>MTU|>KEEPALIVE|NOTE");
    for (unsigned i = 0; i < rows->count; i++) {
        const struct peer_row *r = &rows->row[i];

        table_cell(&t, TONE_PLAIN, "%s", r->name);
        table_cell(&t, TONE_PLAIN, "%s", r->policy == POLICY_OPEN ? "open" : "isolate");
        table_cell(&t, TONE_PLAIN, "%s", networks(r));
        table_cell(&t, TONE_PLAIN, "%s", r->text[PEER_ROUTES] ? r->text[PEER_ROUTES] : "all");
        table_cell(&t, TONE_PLAIN, "%s", r->text[PEER_DNS] ? r->text[PEER_DNS] : "-");
        table_cell(&t, TONE_PLAIN, r->mtu ? "%u" : "-", r->mtu);
        table_cell(&t, TONE_PLAIN, r->keepalive_s ? "%u s" : "-", r->keepalive_s);
        table_cell(&t, TONE_PLAIN, "%s", r->text[PEER_NOTE] ? r->text[PEER_NOTE] : "-");
    }
    table_end(&t, color, stdout);
}

int cmd_group(const struct cli *c, int argc, char **argv)
{
    struct control_request request = {.version = CONTROL_VERSION, .kind = CONTROL_PEER};
    struct control_reply reply;
    const struct verb *v = NULL;
    int r;

    for (unsigned i = 0; argc && i < ARRAY_LEN(verbs); i++)
        if (strcmp(argv[0], verbs[i].word) == 0)
            v = &verbs[i];
    if (!v)
        return cli_fail(EXIT_USAGE, "group: say list, show, add, set or remove; try 'guardmount "
                                    "group --help'");
    request.command.verb = v->verb;
    request.command.is_group = true;
    r = take_arguments(&request.command, v, argv, argc);
    if (r == EXIT_GOOD)
        r = client_request(c, &request, &reply);
    if (r != EXIT_GOOD)
        return r;
    if (!reply.peers)
        r = cli_fail(EXIT_UNREACHABLE, "the daemon's answer makes no sense");
    else if (c->json)
        r = show_json(reply.peers, v->verb != PEER_LIST);
    else if (v->done)
        printf("group %s %s\n", request.command.peer, v->done);
    else
        show_table(reply.peers, color_wanted(c, stdout));
    control_reply_done(&reply);
    return r;
}
