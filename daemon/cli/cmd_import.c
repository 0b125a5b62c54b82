/* import: the peers of a file of wg or wg-quick, or of an interface that is up. All of it is looked
 * at beside what the member has before the first peer is added. */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/secret.h"
#include "cli/wgconf.h"
#include "cli/writer.h"
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCHEMA 1
#define IMPORT_MAX (64 << 20) /* bytes of a file */
#define PROGRESS_AFTER_NS NS_PER_S
#define COMMAND_LEN_MAX 384 /* bytes of one on the wire, without its prefixes */

struct import {
    const char *path; /* or the interface's name */
    bool interface, dry_run, overlap;
    struct wgconf conf;
    unsigned same, added; /* peers that are here already; that were added */
    char failure[CONTROL_MESSAGE_LEN + 64];
};

static int read_file(const char *path, char **ret, size_t *ret_len)
{
    _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    size_t len = 0;
    ssize_t n = 1;
    char *text;

    if (fd < 0 || fstat(fd, &st) < 0)
        return cli_fail(EXIT_FAILED, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode) || st.st_size > IMPORT_MAX)
        return cli_fail(EXIT_FAILED, "%s: no file of wg; it is %s", path,
                        S_ISREG(st.st_mode) ? "larger than 64 MiB" : "no plain file");
    text = malloc((size_t)st.st_size + 1);
    if (!text)
        return cli_fail(EXIT_FAILED, "no memory");
    while (len < (size_t)st.st_size && (n = read(fd, text + len, (size_t)st.st_size - len)) > 0)
        len += (size_t)n;
    if (n < 0) {
        free(text);
        return cli_fail(EXIT_FAILED, "%s: %s", path, strerror(errno));
    }
    *ret = text;
    *ret_len = len;
    return EXIT_GOOD;
}

static bool is_ifname(const char *name)
{
    size_t len = strlen(name);

    return len && len <= IFNAME_MAX && *name != '-' && *name != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_=+.-") ==
               len;
}

/* What is up tells itself to `wg`, be it the kernel's or a program's. */
static int read_interface(const char *name, char **ret, size_t *ret_len)
{
    char command[64], *text = NULL;
    size_t len = 0, room = 0, n = 1;
    FILE *out;

    if (!is_ifname(name))
        return cli_fail(EXIT_USAGE, "import: '%s' is no name of an interface", name);
    snprintf(command, sizeof(command), "wg showconf %s", name);
    out = popen(command, "re");
    if (!out)
        return cli_fail(EXIT_FAILED, "%s: %s", command, strerror(errno));
    while (n && len < IMPORT_MAX) {
        if (room - len < 4096) { /* realloc() would leave keys behind */
            char *more = malloc(2 * room + 65536);

            if (!more)
                break;
            if (len)
                memcpy(more, text, len);
            secret_wipe(text, len);
            free(text);
            text = more;
            room = 2 * room + 65536;
        }
        n = fread(text + len, 1, room - len, out);
        len += n;
    }
    bool whole = pclose(out) == 0 && !n;
    if (whole) {
        *ret = text;
        *ret_len = len;
        return EXIT_GOOD;
    }
    secret_wipe(text, len);
    free(text);
    return cli_fail(EXIT_FAILED,
                    "'%s' tells nothing; is the interface up, wireguard-tools there, "
                    "and are you root?",
                    command);
}

/* ---- what is here ---- */

static int take_row(struct wgconf *w, const struct peer_row *row)
{
    struct wgpeer *p = wgconf_add(w, 0);
    struct ip_prefix prefix;
    int r = p ? 0 : -ENOMEM;

    if (r < 0)
        return r;
    snprintf(p->name, sizeof(p->name), "%s", row->name);
    snprintf(p->endpoint, sizeof(p->endpoint), "%.*s", (int)sizeof(p->endpoint) - 1, row->endpoint);
    p->key = row->key;
    p->has_key = true;
    p->has_psk = row->has_psk;
    memcpy(p->psk, row->psk, sizeof(p->psk));
    p->keepalive_s = row->keepalive_s;
    p->disabled = strcmp(row->state, "disabled") == 0;
    for (unsigned i = 0; r >= 0 && i < row->allowed_count; i++)
        if (prefix_parse(row->allowed[i], &prefix) == 0)
            r = wgpeer_allow(p, &prefix);
    return r;
}

static int compare(const struct cli *c, struct import *im)
{
    struct control_request request = {
        .version = CONTROL_VERSION,
        .kind = CONTROL_PEER,
        .command = {.verb = PEER_LIST, .secrets = true},
    };
    struct control_reply reply;
    int err = 0, r = client_request(c, &request, &reply);

    if (r != EXIT_GOOD)
        return r;
    if (!reply.peers) {
        control_reply_done(&reply);
        return cli_fail(EXIT_UNREACHABLE, "the daemon's answer makes no sense");
    }
    for (unsigned i = 0; err >= 0 && i < reply.peers->count; i++)
        err = take_row(&im->conf, &reply.peers->row[i]);
    control_reply_done(&reply);
    if (err >= 0)
        err = wgconf_compare(&im->conf, im->overlap, &im->same);
    return err < 0 ? cli_fail(EXIT_FAILED, "no memory") : EXIT_GOOD;
}

/* ---- adding ---- */

/* False: more than a command carries. */
static bool say_allowed(const struct wgpeer *p, char list[CONTROL_PREFIXES_MAX + 1])
{
    size_t len = 0;
    char text[PREFIX_TEXT_LEN];

    list[0] = '\0';
    for (unsigned i = 0; i < p->allowed_count && len <= CONTROL_PREFIXES_MAX; i++)
        len += (size_t)snprintf(list + len, CONTROL_PREFIXES_MAX + 1 - len, "%s%s", i ? "," : "",
                                prefix_format(&p->allowed[i], text));
    return len <= CONTROL_PREFIXES_MAX;
}

/* What the daemon would refuse for its form is found before anything is added. */
static int check_forms(struct import *im)
{
    char list[CONTROL_PREFIXES_MAX + 1];
    struct public_key key;
    int r = 0;

    for (unsigned i = 0; r >= 0 && i < im->conf.count; i++) {
        const struct wgpeer *p = &im->conf.peer[i];
        json_t *name = json_string(p->name);

        if (!say_allowed(p, list))
            r = wgconf_refuse(&im->conf, p->line, "peer '%s': more than %d bytes of AllowedIPs",
                              p->name, CONTROL_PREFIXES_MAX);
        if (r >= 0 && !name)
            r = wgconf_refuse(&im->conf, p->line, "the name of a peer is no UTF-8");
        if (r >= 0 && key_from_base64(p->name, key.b))
            r = wgconf_refuse(&im->conf, p->line, "the name '%s' is a key; take another", p->name);
        json_decref(name);
    }
    return r < 0 ? cli_fail(EXIT_FAILED, "no memory") : EXIT_GOOD;
}

static void fill_command(const struct import *im, const struct wgpeer *p, struct peer_command *cmd)
{
    *cmd = (struct peer_command){.verb = PEER_ADD,
                                 .has_key = true,
                                 .key = p->key,
                                 .has_psk = p->has_psk,
                                 .has_keepalive = p->keepalive_s,
                                 .keepalive_s = p->keepalive_s,
                                 .has_allowed = p->allowed_count,
                                 .overlap = im->overlap,
                                 .disabled = p->disabled};
    strcpy(cmd->peer, p->name);
    strcpy(cmd->endpoint, p->endpoint);
    memcpy(cmd->psk, p->psk, sizeof(cmd->psk));
    say_allowed(p, cmd->allowed);
}

/* As many as one request holds, from the next that is to be added. */
static unsigned fill_batch(const struct import *im, struct control_request *r)
{
    const struct wgpeer *p = im->conf.peer + im->added;
    unsigned left = im->conf.count - im->added;
    size_t len = 0;

    for (r->batch_count = 0; r->batch_count < MIN(left, CONTROL_BATCH_MAX); r->batch_count++) {
        struct peer_command *cmd = &r->batch[r->batch_count];

        fill_command(im, p++, cmd);
        len += COMMAND_LEN_MAX + strlen(cmd->allowed);
        if (len > CONTROL_REQUEST_MAX)
            break;
    }
    return r->batch_count;
}

static int add_batch(const struct cli *c, struct import *im, struct control_request *r)
{
    unsigned count = fill_batch(im, r), first = im->conf.peer[im->added].line;
    struct control_reply reply;
    char error[CLI_ERROR_LEN];
    int status = client_try(c, r, &reply, error);

    if (status == EXIT_GOOD) {
        control_reply_done(&reply);
        im->added += count;
        return status;
    }
    snprintf(im->failure, sizeof(im->failure), "%s:%u-%u: %.200s", im->path, first,
             im->conf.peer[im->added + count - 1].line, error);
    return status;
}

static int add_all(const struct cli *c, struct import *im)
{
    struct control_request request = {.version = CONTROL_VERSION, .kind = CONTROL_BATCH};
    uint64_t begun = clock_boot_ns(), shown = begun;
    bool terminal = isatty(STDERR_FILENO);
    int r = EXIT_GOOD;

    request.batch = calloc(CONTROL_BATCH_MAX, sizeof(*request.batch));
    if (!request.batch)
        return cli_fail(EXIT_FAILED, "no memory");
    while (r == EXIT_GOOD && im->added < im->conf.count) {
        uint64_t now = clock_boot_ns();

        if (terminal && now - begun > PROGRESS_AFTER_NS && now - shown > NS_PER_S / 10) {
            fprintf(stderr, "\r%u of %u peers", im->added, im->conf.count);
            shown = now;
        }
        r = add_batch(c, im, &request);
    }
    if (shown != begun)
        fputs("\r\033[K", stderr);
    request.batch_count = CONTROL_BATCH_MAX; /* all of it may have been used */
    control_request_done(&request);
    return r;
}

/* ---- showing ---- */

static int show_json(const struct import *im, unsigned named)
{
    json_t *added = json_array(), *errors = json_array(), *remarks = json_array(), *o;

    for (unsigned i = 0; i < named; i++)
        json_array_append_new(added, json_string(im->conf.peer[i].name));
    for (unsigned i = 0; i < im->conf.remark_count; i++) {
        const struct wgconf_remark *k = &im->conf.remark[i];

        json_array_append_new(k->error ? errors : remarks,
                              json_pack("{s:i, s:s}", "line", (int)k->line, "text", k->text));
    }
    if (*im->failure)
        json_array_append_new(errors, json_pack("{s:s}", "text", im->failure));
    o = json_pack("{s:i, s:b, s:o, s:i, s:o, s:o}", "schema", SCHEMA, "dry_run", im->dry_run,
                  "added", added, "unchanged", (int)im->same, "errors", errors, "remarks", remarks);
    return cli_json(o, false);
}

static void show_text(const struct import *im)
{
    char list[CONTROL_PREFIXES_MAX + 1];

    for (unsigned i = 0; i < im->conf.remark_count; i++)
        fprintf(im->conf.remark[i].error ? stderr : stdout, "%s:%u: %s\n", im->path,
                im->conf.remark[i].line, im->conf.remark[i].text);
    if (im->conf.errors)
        return;
    for (unsigned i = 0; im->dry_run && i < im->conf.count; i++) {
        const struct wgpeer *p = &im->conf.peer[i];

        say_allowed(p, list);
        printf("+ %s  %s%s%s%s\n", p->name, *list ? list : "-", p->has_psk ? "  psk" : "",
               *p->endpoint ? "  " : "", p->endpoint);
    }
    unsigned count = im->dry_run ? im->conf.count : im->added;
    printf("%u peer%s %s, %u %s here already\n", count, count == 1 ? "" : "s",
           im->dry_run ? "would be added" : "added", im->same, im->same == 1 ? "was" : "were");
}

static int finish(const struct cli *c, const struct import *im, int r)
{
    if (c->json)
        show_json(im, im->conf.errors ? 0 : im->dry_run ? im->conf.count : im->added);
    else
        show_text(im);
    if (im->conf.errors)
        return cli_fail(EXIT_FAILED, "%u error%s in %s; nothing was added", im->conf.errors,
                        im->conf.errors == 1 ? "" : "s", im->path);
    if (*im->failure)
        return cli_fail(r,
                        "%s; say the import again when that is mended: what was added is skipped",
                        im->failure);
    return r;
}

static int import(const struct cli *c, struct import *im)
{
    char *text = NULL;
    size_t len = 0;
    int r =
        im->interface ? read_interface(im->path, &text, &len) : read_file(im->path, &text, &len);

    if (r != EXIT_GOOD)
        return r;
    if (wgconf_parse(text, len, &im->conf) < 0)
        r = cli_fail(EXIT_FAILED, "no memory");
    secret_wipe(text, len); /* [Interface] has a private key */
    free(text);
    if (r == EXIT_GOOD && !im->conf.count && !im->conf.errors)
        r = cli_fail(EXIT_FAILED, "%s: there is no [Peer] in it", im->path);
    if (r == EXIT_GOOD)
        r = compare(c, im);
    if (r == EXIT_GOOD)
        r = check_forms(im);
    if (r != EXIT_GOOD)
        return r;
    if (!im->dry_run && !im->conf.errors)
        r = add_all(c, im);
    return finish(c, im, r);
}

int cmd_import(const struct cli *c, int argc, char **argv)
{
    struct import im = {0};
    int r;

    for (int i = 0; i < argc; i++) {
        const char *name = im.path ? NULL : cli_value(argv, &i, "--interface", "--interface");

        if (name) {
            im.interface = true;
            im.path = name;
        } else if (strcmp(argv[i], "--dry-run") == 0)
            im.dry_run = true;
        else if (strcmp(argv[i], "--overlap") == 0)
            im.overlap = true;
        else if (argv[i][0] == '-' || im.path)
            return cli_fail(EXIT_USAGE, "import: unexpected '%s'; try 'guardmount import --help'",
                            argv[i]);
        else
            im.path = argv[i];
    }
    if (!im.path || !*im.path)
        return cli_fail(EXIT_USAGE,
                        "import takes one file, or --interface; try 'guardmount import --help'");
    r = import(c, &im);
    wgconf_done(&im.conf);
    return r;
}
