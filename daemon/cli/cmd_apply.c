/* apply: make the member's peers and groups what a file says. All of it is looked at, beside what
 * the member has, before the first change. */
#include "base/bytes.h"
#include "base/err.h"
#include "base/secret.h"
#include "cli/peerset.h"
#include "cli/writer.h"
#include <stdlib.h>
#include <string.h>

#define SCHEMA 1
#define ENTRIES_MAX WGCONF_PEERS_MAX
#define ADD_AT_ONCE 32 /* of any size, in CONTROL_REQUEST_MAX bytes */

enum what { WHAT_SAME, WHAT_ADD, WHAT_SET, WHAT_ROTATE, WHAT_REMOVE };

struct step {
    enum what what;
    bool group;
    const json_t *entry;        /* NULL: to be removed */
    const struct peer_row *row; /* NULL: not there */
    char name[64], changes[PEERSET_CHANGES_LEN];
};

struct apply {
    const char *path;
    bool dry_run, prune;
    json_t *file;
    struct control_reply peers, groups; /* what is there */
    struct wgconf claims;               /* names, keys and networks; errors of all kinds */
    struct step *step;
    unsigned count, entries, done[WHAT_REMOVE + 1];
    char failure[CLI_ERROR_LEN];
};

/* ---- what is there ---- */

static int look(const struct cli *c, bool groups, struct control_reply *ret)
{
    struct control_request request = {
        .version = CONTROL_VERSION,
        .kind = CONTROL_PEER,
        .command = {.verb = PEER_LIST, .secrets = !groups, .is_group = groups},
    };
    int r = client_request(c, &request, ret);

    return r == EXIT_GOOD && !ret->peers
               ? cli_fail(EXIT_UNREACHABLE, "the daemon's answer makes no sense")
               : r;
}

static int row_order(const void *a, const void *b)
{
    const struct peer_row *x = a, *y = b;

    return memcmp(x->key.b, y->key.b, sizeof(x->key.b));
}

static const struct peer_row *row_of_key(const struct apply *a, const struct public_key *key)
{
    struct peer_row wanted = {.key = *key};
    const struct peer_rows *rows = a->peers.peers;

    return rows->count ? bsearch(&wanted, rows->row, rows->count, sizeof(wanted), row_order) : NULL;
}

static const struct peer_row *group_of_name(const struct apply *a, const char *name)
{
    const struct peer_rows *rows = a->groups.peers;

    for (unsigned i = 0; i < rows->count; i++)
        if (strcmp(rows->row[i].name, name) == 0)
            return &rows->row[i];
    return NULL;
}

/* ---- the plan ---- */

static int plan_group(struct apply *a, struct step *s, unsigned number)
{
    struct peer_command c;
    char error[PEERSET_ERROR_LEN];

    s->group = true;
    if (peerset_group(s->entry, &c, error) < 0)
        return wgconf_refuse(&a->claims, number, "groups: %s", error);
    strcpy(s->name, c.peer);
    s->row = group_of_name(a, c.peer);
    s->what = !s->row ? WHAT_ADD : peerset_differs(&c, s->row, s->changes) ? WHAT_SET : WHAT_SAME;
    return 0;
}

static int claim(struct apply *a, const struct peer_command *c, const struct peer_row *row,
                 unsigned number)
{
    struct ip_prefix prefix;
    int r = peerset_claim(&a->claims, number, c);

    for (unsigned i = 0; r >= 0 && row && !c->has_allowed && i < row->allowed_count; i++)
        if (prefix_parse(row->allowed[i], &prefix) == 0)
            r = wgpeer_allow(&a->claims.peer[a->claims.count - 1], &prefix);
    return r;
}

static int plan_peer(struct apply *a, struct step *s, unsigned number)
{
    struct peer_command c;
    char error[PEERSET_ERROR_LEN];
    int r;

    if (peerset_peer(s->entry, &c, error) < 0)
        return wgconf_refuse(&a->claims, number, "%s", error);
    strcpy(s->name, c.peer);
    s->row = row_of_key(a, &c.key);
    if (!s->row && !c.has_psk && json_is_true(json_object_get(s->entry, "psk"))) {
        r = wgconf_refuse(&a->claims, number, "\"psk\" is true, and no \"preshared_key\" is told");
    } else if (c.verb == PEER_ROTATE) {
        s->what = s->row ? WHAT_SAME : WHAT_ROTATE;
        r = 0;
    } else {
        r = claim(a, &c, s->row, number);
        s->what = !s->row                                   ? WHAT_ADD
                  : peerset_differs(&c, s->row, s->changes) ? WHAT_SET
                                                            : WHAT_SAME;
    }
    secret_wipe(&c, sizeof(c));
    return r;
}

static bool in_file(const struct apply *a, const struct peer_row *row)
{
    for (unsigned i = 0; i < a->entries; i++)
        if (a->step[i].row == row)
            return true;
    return false;
}

/* Who is there and not in the file: goes, or keeps what it has. */
static int plan_others(struct apply *a)
{
    const struct peer_rows *rows = a->peers.peers;
    int r = 0;

    for (unsigned i = 0; r >= 0 && i < rows->count; i++) {
        if (rows->row[i].has_replaces || in_file(a, &rows->row[i]))
            continue;
        if (!a->prune) {
            r = peerset_claim_row(&a->claims, &rows->row[i]);
            continue;
        }
        struct step *s = &a->step[a->count++];
        s->what = WHAT_REMOVE;
        s->row = &rows->row[i];
        snprintf(s->name, sizeof(s->name), "%s", s->row->name);
    }
    return r;
}

static int plan(struct apply *a, bool overlap)
{
    const json_t *groups = json_object_get(a->file, "groups"),
                 *peers = json_object_get(a->file, "peers"), *entry;
    unsigned same;
    size_t i;
    int r = 0;

    a->claims.unit = "entry";
    if (a->peers.peers->count)
        qsort(a->peers.peers->row, a->peers.peers->count, sizeof(struct peer_row), row_order);
    a->step = calloc(json_array_size(groups) + json_array_size(peers) + a->peers.peers->count + 1,
                     sizeof(*a->step));
    if (!a->step)
        return -ENOMEM;
    json_array_foreach(groups, i, entry)
    {
        a->step[a->count].entry = entry;
        r = r < 0 ? r : plan_group(a, &a->step[a->count++], (unsigned)i + 1);
    }
    json_array_foreach(peers, i, entry)
    {
        a->step[a->count].entry = entry;
        r = r < 0 ? r : plan_peer(a, &a->step[a->count++], (unsigned)i + 1);
    }
    a->entries = a->count;
    if (r >= 0)
        r = plan_others(a);
    return r < 0 ? r : wgconf_compare(&a->claims, overlap, &same);
}

/* ---- doing it ---- */

static int send(const struct cli *c, struct apply *a, struct control_request *request)
{
    struct control_reply reply;
    int r = client_try(c, request, &reply, a->failure);

    if (r == EXIT_GOOD)
        control_reply_done(&reply);
    return r;
}

static int do_one(const struct cli *c, struct apply *a, const struct step *s)
{
    struct control_request request = {.version = CONTROL_VERSION, .kind = CONTROL_PEER};
    struct peer_command *cmd = &request.command;
    char unused[PEERSET_CHANGES_LEN > PEERSET_ERROR_LEN ? PEERSET_CHANGES_LEN : PEERSET_ERROR_LEN];
    int r;

    if (!s->entry) {
        cmd->verb = PEER_REMOVE;
        key_to_base64(s->row->key.b, cmd->peer);
    } else if (s->group) {
        peerset_group(s->entry, cmd, unused);
    } else {
        peerset_peer(s->entry, cmd, unused);
    }
    if (s->what == WHAT_SET)
        peerset_differs(cmd, s->row, unused);
    cmd->overlap = true; /* it was looked at for all of them together */
    r = send(c, a, &request);
    secret_wipe(&request, sizeof(request));
    return r;
}

static int add_peers(const struct cli *c, struct apply *a)
{
    struct control_request request = {.version = CONTROL_VERSION, .kind = CONTROL_BATCH};
    char unused[PEERSET_ERROR_LEN];
    int r = EXIT_GOOD;

    request.batch = calloc(ADD_AT_ONCE, sizeof(*request.batch));
    if (!request.batch)
        return cli_fail(EXIT_FAILED, "no memory");
    for (unsigned i = 0; r == EXIT_GOOD && i < a->entries; i++) {
        if (a->step[i].what == WHAT_ADD && !a->step[i].group) {
            struct peer_command *cmd = &request.batch[request.batch_count++];

            peerset_peer(a->step[i].entry, cmd, unused);
            cmd->overlap = true;
        }
        if (request.batch_count < ADD_AT_ONCE && (i + 1 < a->entries || !request.batch_count))
            continue;
        r = send(c, a, &request);
        if (r == EXIT_GOOD)
            a->done[WHAT_ADD] += request.batch_count;
        request.batch_count = 0;
    }
    request.batch_count = ADD_AT_ONCE; /* all of it may have been used */
    control_request_done(&request);
    return r;
}

/* What is given up before what is taken: a name that goes may come again. */
static int carry_out(const struct cli *c, struct apply *a)
{
    static const struct {
        enum what what;
        bool group;
    } order[] = {{WHAT_ADD, true}, {WHAT_SET, true}, {WHAT_REMOVE, false}, {WHAT_SET, false}};
    int r = EXIT_GOOD;

    for (unsigned n = 0; n < ARRAY_LEN(order); n++)
        for (unsigned i = 0; r == EXIT_GOOD && i < a->count; i++) {
            const struct step *s = &a->step[i];

            if (s->what != order[n].what || s->group != order[n].group)
                continue;
            r = do_one(c, a, s);
            a->done[s->what] += r == EXIT_GOOD;
        }
    if (r == EXIT_GOOD)
        r = add_peers(c, a);
    for (unsigned i = 0; r == EXIT_GOOD && i < a->entries; i++)
        if (a->step[i].what == WHAT_ROTATE) {
            r = do_one(c, a, &a->step[i]);
            a->done[WHAT_ROTATE] += r == EXIT_GOOD;
        }
    return r;
}

/* ---- showing ---- */

static void show_json(const struct apply *a)
{
    static const char *const lists[] = {[WHAT_ADD] = "added",
                                        [WHAT_SET] = "changed",
                                        [WHAT_ROTATE] = "rotated",
                                        [WHAT_REMOVE] = "removed"};
    json_t *o = json_pack("{s:i, s:b}", "schema", SCHEMA, "dry_run", a->dry_run);
    json_t *errors = json_array();
    unsigned same = 0;

    for (unsigned w = WHAT_ADD; w < ARRAY_LEN(lists); w++)
        json_object_set_new(o, lists[w], json_array());
    for (unsigned i = 0; !a->claims.errors && i < a->count; i++) {
        const struct step *s = &a->step[i];

        same += s->what == WHAT_SAME;
        if (s->what != WHAT_SAME)
            json_array_append_new(json_object_get(o, lists[s->what]),
                                  json_pack("{s:s, s:b, s:s}", "name", s->name, "group", s->group,
                                            "changes", s->changes));
    }
    for (unsigned i = 0; i < a->claims.remark_count; i++)
        json_array_append_new(errors, json_pack("{s:i, s:s}", "entry", a->claims.remark[i].line,
                                                "text", a->claims.remark[i].text));
    if (*a->failure)
        json_array_append_new(errors, json_pack("{s:s}", "text", a->failure));
    json_object_set_new(o, "unchanged", json_integer(same));
    json_object_set_new(o, "errors", errors);
    cli_json(o, false);
}

static void show_text(const struct apply *a)
{
    static const char sign[] = {
        [WHAT_ADD] = '+', [WHAT_SET] = '~', [WHAT_ROTATE] = '>', [WHAT_REMOVE] = '-'};
    unsigned each[WHAT_REMOVE + 1] = {0};

    for (unsigned i = 0; i < a->claims.remark_count; i++)
        fprintf(stderr, "%s: entry %u: %s\n", a->path, a->claims.remark[i].line,
                a->claims.remark[i].text);
    if (a->claims.errors)
        return;
    for (unsigned i = 0; i < a->count; i++) {
        const struct step *s = &a->step[i];

        each[s->what]++;
        if (s->what != WHAT_SAME)
            printf("%c %s%s%s%s\n", sign[s->what], s->group ? "group " : "", s->name,
                   *s->changes ? "  " : "", s->changes);
    }
    const unsigned *n = a->dry_run ? each : a->done;
    printf("%s%u added, %u changed, %u with a new key, %u removed, %u unchanged\n",
           a->dry_run ? "would be: " : "", n[WHAT_ADD], n[WHAT_SET], n[WHAT_ROTATE], n[WHAT_REMOVE],
           each[WHAT_SAME]);
}

static int apply(const struct cli *c, struct apply *a, bool overlap)
{
    int r = look(c, false, &a->peers);

    if (r == EXIT_GOOD)
        r = look(c, true, &a->groups);
    if (r == EXIT_GOOD && plan(a, overlap) < 0)
        r = cli_fail(EXIT_FAILED, "no memory");
    if (r != EXIT_GOOD)
        return r;
    if (!a->dry_run && !a->claims.errors)
        r = carry_out(c, a);
    if (c->json)
        show_json(a);
    else
        show_text(a);
    if (a->claims.errors)
        return cli_fail(EXIT_FAILED, "%u error%s in %s; nothing was changed", a->claims.errors,
                        a->claims.errors == 1 ? "" : "s", a->path);
    if (*a->failure)
        return cli_fail(r,
                        "%s: %s; say it again when that is mended: what is so already is skipped",
                        a->path, a->failure);
    return r;
}

/* ---- the file ---- */

static int read_file(struct apply *a)
{
    json_error_t e;
    const json_t *peers, *groups;

    a->file = strcmp(a->path, "-") == 0 ? json_loadf(stdin, JSON_REJECT_DUPLICATES, &e)
                                        : json_load_file(a->path, JSON_REJECT_DUPLICATES, &e);
    if (!a->file)
        return cli_fail(EXIT_FAILED, "%s:%d: %s", a->path, e.line, e.text);
    peers = json_object_get(a->file, "peers");
    groups = json_object_get(a->file, "groups");
    if (!json_is_array(peers) || (groups && !json_is_array(groups)))
        return cli_fail(EXIT_FAILED,
                        "%s: no {\"peers\": [...], \"groups\": [...]} as 'guardmount "
                        "export' writes it",
                        a->path);
    if (json_array_size(peers) > ENTRIES_MAX || json_array_size(groups) > ENTRIES_MAX)
        return cli_fail(EXIT_FAILED, "%s: more than %d peers", a->path, ENTRIES_MAX);
    return EXIT_GOOD;
}

int cmd_apply(const struct cli *c, int argc, char **argv)
{
    struct apply a = {0};
    bool overlap = false;
    int r;

    for (int i = 0; i < argc; i++) {
        const char *path = a.path ? NULL : cli_value(argv, &i, "-f", "--file");

        if (path)
            a.path = path;
        else if (strcmp(argv[i], "--dry-run") == 0)
            a.dry_run = true;
        else if (strcmp(argv[i], "--prune") == 0)
            a.prune = true;
        else if (strcmp(argv[i], "--overlap") == 0)
            overlap = true;
        else
            return cli_fail(EXIT_USAGE, "apply: unexpected '%s'; try 'guardmount apply --help'",
                            argv[i]);
    }
    if (!a.path || !*a.path)
        return cli_fail(EXIT_USAGE, "apply needs -f FILE; try 'guardmount apply --help'");
    r = read_file(&a);
    if (r == EXIT_GOOD)
        r = apply(c, &a, overlap);
    wgconf_done(&a.claims);
    control_reply_done(&a.peers);
    control_reply_done(&a.groups);
    json_decref(a.file);
    free(a.step);
    return r;
}
