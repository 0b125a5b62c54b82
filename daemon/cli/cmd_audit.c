/* audit: who changed what on the member that is asked, and whether nobody touched the log. */
#include "base/bytes.h"
#include "base/err.h"
#include "cli/writer.h"
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define SCHEMA 1
#define LIST_DEFAULT 50 /* entries */
#define HASH_TEXT_LEN (2 * AUDIT_HASH_LEN)

struct audit_words {
    const char *verb, *file, *expect, *peer;
    uint64_t count; /* list: the last so many; 0: all */
};

/* What follows what, as far as it was read. */
struct chain {
    uint64_t first, last;
    uint8_t hash[AUDIT_HASH_LEN];
    uint64_t expect_serial; /* 0: nothing was noted */
    uint8_t expect_hash[AUDIT_HASH_LEN];
    char problem[192]; /* the first one */
};

/* ---- the chain ---- */

static void chain_take(struct chain *c, const struct audit_entry *e)
{
    bool begins = !c->first;

    if (*c->problem)
        return;
    if (!begins && e->serial != c->last + 1)
        snprintf(c->problem, sizeof(c->problem), "entry %" PRIu64 " is followed by %" PRIu64,
                 c->last, e->serial);
    /* Of a log whose beginning has been dropped the first entry is taken as it is. */
    else if ((!begins || e->serial == 1) && !audit_intact(e, c->hash))
        snprintf(c->problem, sizeof(c->problem),
                 "entry %" PRIu64 ", or the one before it, is not what was written", e->serial);
    else if (e->serial == c->expect_serial && memcmp(e->hash, c->expect_hash, sizeof(e->hash)) != 0)
        snprintf(c->problem, sizeof(c->problem), "entry %" PRIu64 " is not the one that was noted",
                 e->serial);
    if (begins)
        c->first = e->serial;
    c->last = e->serial;
    memcpy(c->hash, e->hash, sizeof(c->hash));
}

static void chain_end(struct chain *c)
{
    if (*c->problem || !c->expect_serial)
        return;
    if (c->last < c->expect_serial)
        snprintf(c->problem, sizeof(c->problem),
                 "the log ends with entry %" PRIu64 "; %" PRIu64
                 " was noted, so its end is missing",
                 c->last, c->expect_serial);
    else if (c->first > c->expect_serial)
        snprintf(c->problem, sizeof(c->problem),
                 "the log begins with entry %" PRIu64 "; the noted %" PRIu64 " has been dropped",
                 c->first, c->expect_serial);
}

/* "12:HASH", as verify prints it. */
static int take_expect(const char *text, struct chain *c)
{
    char *end;

    c->expect_serial = strtoull(text, &end, 10);
    if (!c->expect_serial || *end != ':' ||
        !hex_decode(end + 1, strlen(end + 1), c->expect_hash, sizeof(c->expect_hash)))
        return cli_fail(EXIT_USAGE, "audit: --expect takes NUMBER:HASH as verify prints it");
    return EXIT_GOOD;
}

static int show_verdict(const struct cli *c, const struct chain *chain)
{
    char hash[HASH_TEXT_LEN + 1];
    bool good = !*chain->problem;

    hex_encode(chain->hash, sizeof(chain->hash), hash);
    if (c->json) {
        json_t *o = json_pack("{s:i, s:b, s:I, s:I, s:s, s:s}", "schema", SCHEMA, "intact", good,
                              "first", (json_int_t)chain->first, "last", (json_int_t)chain->last,
                              "hash", hash, "problem", chain->problem);
        cli_json(o, false);
    } else if (good && chain->first) {
        printf("entries %" PRIu64 " to %" PRIu64 " are as they were written\n"
               "note for the next time: --expect %" PRIu64 ":%s\n",
               chain->first, chain->last, chain->last, hash);
    } else if (good) {
        printf("the log is empty\n");
    }
    return good ? EXIT_GOOD
                : cli_fail(EXIT_FAILED, "the audit log was tampered with: %s", chain->problem);
}

/* ---- entries ---- */

struct reading {
    const struct audit_words *words;
    struct chain *chain; /* NULL: they are shown */
    bool json;
};

static void show_entry(const struct reading *r, const struct audit_entry *e)
{
    char hash[HASH_TEXT_LEN + 1];

    if (r->words->peer && !strstr(e->text, r->words->peer))
        return;
    if (!r->json) {
        printf("%6" PRIu64 "  %s\n", e->serial, e->text);
        return;
    }
    hex_encode(e->hash, sizeof(e->hash), hash);
    json_t *o = json_pack("{s:i, s:I, s:s, s:s}", "schema", SCHEMA, "serial", (json_int_t)e->serial,
                          "text", e->text, "hash", hash);
    cli_json(o, true);
}

static void take_entry(const struct reading *r, const struct audit_entry *e)
{
    if (r->chain)
        chain_take(r->chain, e);
    else
        show_entry(r, e);
}

static int ask(const struct cli *c, uint64_t after, struct control_reply *ret)
{
    struct control_request request = {
        .version = CONTROL_VERSION, .kind = CONTROL_AUDIT, .after = after};

    return client_request(c, &request, ret);
}

static int read_daemon(const struct cli *c, const struct reading *r)
{
    struct control_reply reply;
    uint64_t after = 0, last = 0;
    bool more = true;
    int status = EXIT_GOOD;

    if (r->words->count) {
        status = ask(c, UINT64_MAX, &reply);
        if (status != EXIT_GOOD)
            return status;
        last = reply.audit ? reply.audit->last : 0;
        after = last - MIN(last, r->words->count);
        control_reply_done(&reply);
    }
    while (more && status == EXIT_GOOD) {
        status = ask(c, after, &reply);
        if (status != EXIT_GOOD)
            break;
        unsigned count = reply.audit ? reply.audit->count : 0;
        for (unsigned i = 0; i < count; i++)
            take_entry(r, &reply.audit->entry[i]);
        if (count)
            after = reply.audit->entry[count - 1].serial;
        more = count && after < reply.audit->last;
        control_reply_done(&reply);
    }
    return status;
}

static int take_line(json_t *o, struct audit_entry *ret)
{
    const char *text, *hash;
    json_int_t serial;

    if (json_unpack(o, "{s:I, s:s, s:s}", "serial", &serial, "text", &text, "hash", &hash) < 0 ||
        serial < 1 || strlen(text) > AUDIT_TEXT_MAX ||
        !hex_decode(hash, strlen(hash), ret->hash, sizeof(ret->hash)))
        return -EBADMSG;
    ret->serial = (uint64_t)serial;
    strcpy(ret->text, text);
    return 0;
}

static int read_export(const char *path, const struct reading *r)
{
    FILE *f = fopen(path, "re");
    unsigned line = 0;
    json_t *o;
    int c, err = 0;

    if (!f)
        return cli_fail(EXIT_FAILED, "%s: %s", path, strerror(errno));
    while (err >= 0 && (c = getc(f)) != EOF) {
        struct audit_entry e;

        if (c == '\n')
            continue;
        ungetc(c, f);
        line++;
        o = json_loadf(f, JSON_DISABLE_EOF_CHECK, NULL);
        err = o ? take_line(o, &e) : -EBADMSG;
        json_decref(o);
        if (err >= 0)
            take_entry(r, &e);
    }
    if (ferror(f))
        err = -EIO;
    fclose(f);
    return err < 0 ? cli_fail(EXIT_FAILED, "%s: entry %u is none of 'guardmount audit export'",
                              path, line)
                   : EXIT_GOOD;
}

/* ---- words ---- */

static int take_words(int argc, char **argv, struct audit_words *w)
{
    w->count = LIST_DEFAULT;
    for (int i = 0; i < argc; i++) {
        const char *v;
        char *end;

        if ((v = cli_value(argv, &i, "-n", "--count"))) {
            w->count = strtoull(v, &end, 10);
            if (*end || !w->count)
                return cli_fail(EXIT_USAGE, "audit: -n takes a number, not '%s'", v);
        } else if (strcmp(argv[i], "--all") == 0) {
            w->count = 0;
        } else if ((v = cli_value(argv, &i, "--peer", "--peer"))) {
            w->peer = v;
        } else if ((v = cli_value(argv, &i, "--expect", "--expect"))) {
            w->expect = v;
        } else if (argv[i][0] == '-' || (w->verb && (w->file || strcmp(w->verb, "verify") != 0))) {
            return cli_fail(EXIT_USAGE, "audit: unexpected '%s'; try 'guardmount audit --help'",
                            argv[i]);
        } else if (w->verb) {
            w->file = argv[i];
        } else {
            w->verb = argv[i];
        }
    }
    if (!w->verb || (strcmp(w->verb, "list") != 0 && strcmp(w->verb, "export") != 0 &&
                     strcmp(w->verb, "verify") != 0))
        return cli_fail(EXIT_USAGE,
                        "audit: say list, export or verify; try 'guardmount audit --help'");
    return EXIT_GOOD;
}

int cmd_audit(const struct cli *c, int argc, char **argv)
{
    struct audit_words words = {0};
    struct chain chain = {0};
    struct reading r = {.words = &words, .json = c->json};
    int status = take_words(argc, argv, &words);

    if (status != EXIT_GOOD)
        return status;
    if (strcmp(words.verb, "list") != 0)
        words.count = 0; /* all of them */
    if (strcmp(words.verb, "export") == 0)
        r.json = true;
    if (strcmp(words.verb, "verify") == 0)
        r.chain = &chain;
    if (words.expect && (status = take_expect(words.expect, &chain)) != EXIT_GOOD)
        return status;
    status = words.file ? read_export(words.file, &r) : read_daemon(c, &r);
    if (status != EXIT_GOOD)
        return status;
    if (r.chain) {
        chain_end(&chain);
        status = show_verdict(c, &chain);
    }
    if (fflush(stdout) != 0)
        return cli_fail(EXIT_FAILED, "the output cannot be written: %s", strerror(errno));
    return status;
}
