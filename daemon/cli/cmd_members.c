/* cluster members, status, admit, remove: who belongs to the cluster. */
#include "base/bytes.h"
#include "base/err.h"
#include "cli/cluster.h"
#include "cli/writer.h"
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- admit, remove ---- */

static int load(const struct cluster_words *w, struct conf **ret)
{
    char error[CONF_ERROR_LEN] = "";

    return conf_load(w->conf, ret, error) < 0 ? cli_fail(EXIT_FAILED, "%s", error) : EXIT_GOOD;
}

static int change(const struct cli *c, const struct cluster_words *w,
                  const struct conftext_change *how, const char *name, const char *what)
{
    struct placing p;
    int status = cluster_prepare(w, how, &p);

    if (status != EXIT_GOOD)
        return status;
    status = cluster_write(w, &p, false);
    if (status == EXIT_GOOD && c->json)
        printf("{\"schema\":1,\"%s\":\"%s\"}\n", what, name);
    else if (status == EXIT_GOOD) {
        printf("%s: %s %s. Left to do by hand, here:\n", w->conf, name, what);
        cluster_print_restart(&p);
    }
    place_done(&p);
    return status;
}

int cluster_admit(const struct cli *c, int argc, char **argv)
{
    _cleanup_(conf_freep) struct conf *conf = NULL;
    struct cluster_words w;
    struct conf_member guest;
    int status = cluster_take(c, "admit",
                              WORD(MEMBER) | WORD(OUTER_ADDRESS) | WORD(INNER_ADDRESS) | WORD(ID) |
                                  WORD(KEY) | WORD(KEEPALIVED),
                              NULL, argc, argv, &w);

    if (status == EXIT_GOOD && (!w.word[WORD_ID] || !w.word[WORD_KEY]))
        status = cli_fail(EXIT_USAGE, "cluster admit: --id and --key are missing; 'cluster invite' "
                                      "prints the whole command");
    if (status == EXIT_GOOD)
        status = load(&w, &conf);
    if (status == EXIT_GOOD)
        status = cluster_guest(&w, conf, &guest);
    if (status != EXIT_GOOD)
        return status;
    if (!key_from_base64(w.word[WORD_KEY], guest.sync_public_key))
        return cli_fail(EXIT_USAGE, "cluster admit: --key: expected a SyncPublicKey");
    return change(c, &w, &(struct conftext_change){.add = &guest}, guest.name, "admitted");
}

static const struct conf_member *member_of(const struct conf *c, const char *name)
{
    for (unsigned i = 1; i < MEMBERS_MAX; i++)
        if (c->member[i].id && strcasecmp(c->member[i].name, name) == 0)
            return &c->member[i];
    return NULL;
}

int cluster_remove(const struct cli *c, int argc, char **argv)
{
    _cleanup_(conf_freep) struct conf *conf = NULL;
    const struct conf_member *m = NULL;
    struct cluster_words w;
    int status = cluster_take(c, "remove", WORD(KEEPALIVED), "NAME", argc, argv, &w);

    if (status == EXIT_GOOD)
        status = load(&w, &conf);
    if (status != EXIT_GOOD)
        return status;
    m = member_of(conf, w.argument);
    if (!m)
        return cli_fail(EXIT_FAILED,
                        "there is no [Member %s] in %s; 'guardmount cluster members' "
                        "lists them",
                        w.argument, w.conf);
    if (m->id == conf->self)
        return cli_fail(EXIT_FAILED,
                        "%s is this machine: stop guardmountd and keepalived here, "
                        "and say it on the members that stay",
                        m->name);
    status = change(c, &w, &(struct conftext_change){.remove = m->name}, m->name, "removed");
    if (status == EXIT_GOOD && !c->json)
        printf(
            "  On each other member that stays: guardmount cluster remove %s\n"
            "  Its id, %u, rests: give it to no other machine for ten minutes.\n"
            "  It still has the cluster's keys. If it was not you who has it now: see \"A lost or\n"
            "  stolen member\" in the hardening guide.\n",
            m->name, m->id);
    return status;
}

/* ---- members, status ---- */

struct seen {
    struct conf *conf;
    struct status *status; /* NULL: no daemon answers */
};

static const struct status_member *seen_member(const struct seen *s, unsigned id)
{
    for (unsigned i = 0; s->status && i < s->status->member_count; i++)
        if (s->status->member[i].id == id)
            return &s->status->member[i];
    return NULL;
}

/* "new": the daemon was not started since it was named. */
static const char *link_of(const struct seen *s, unsigned id)
{
    const struct status_member *m = seen_member(s, id);

    return !s->status ? "unknown" : !m ? "new" : m->self ? "this one" : m->link;
}

static bool is_good(const struct seen *s, unsigned id)
{
    const struct status_member *m = seen_member(s, id);

    return m && (m->self ? s->status->fit : strcmp(m->link, "live") == 0 && m->in_sync);
}

static unsigned count_members(const struct seen *s, bool good)
{
    unsigned n = 0;

    for (unsigned i = 1; i < MEMBERS_MAX; i++)
        n += s->conf->member[i].id && (!good || is_good(s, i));
    return n;
}

/* "main, second": the VIPs that it has now. */
static void vips_of(const struct seen *s, unsigned id, char ret[CELL_MAX])
{
    size_t len = 0;

    ret[0] = '\0';
    for (unsigned i = 0; s->status && i < s->status->vip_count && len < CELL_MAX; i++) {
        const struct status_vip *v = &s->status->vip[i];

        if ((v->owned ? s->status->id : v->owner) == id)
            len += (size_t)snprintf(ret + len, CELL_MAX - len, "%s%s", len ? ", " : "", v->name);
    }
}

static void show_table(const struct cli *c, const struct seen *s)
{
    char text[CELL_MAX];
    struct table t;

    table_begin(&t, "MEMBER|>ID|SYNC ADDRESS|LINK|VIPS");
    for (unsigned i = 1; i < MEMBERS_MAX; i++) {
        const struct conf_member *m = &s->conf->member[i];

        if (!m->id)
            continue;
        table_cell(&t, TONE_PLAIN, "%s", m->name);
        table_cell(&t, TONE_PLAIN, "%u", m->id);
        table_cell(&t, TONE_PLAIN, "%s", endpoint_format(&m->sync_address, text));
        table_cell(&t, is_good(s, i) ? TONE_GOOD : TONE_BAD, "%s%s",
                   i == s->conf->self && !s->status ? "this one, stopped" : link_of(s, i),
                   seen_member(s, i) && seen_member(s, i)->drained ? ", drained" : "");
        vips_of(s, i, text);
        table_cell(&t, TONE_PLAIN, "%s", *text ? text : "-");
    }
    table_end(&t, color_wanted(c, stdout), stdout);
}

static json_t *members_json(const struct seen *s)
{
    json_t *list = json_array();

    for (unsigned i = 1; i < MEMBERS_MAX; i++) {
        const struct conf_member *m = &s->conf->member[i];
        const struct status_member *seen = seen_member(s, i);
        char key[KEY_TEXT_LEN + 1], at[ENDPOINT_TEXT_LEN];

        if (!m->id)
            continue;
        key_to_base64(m->sync_public_key, key);
        json_array_append_new(
            list, json_pack("{s:i, s:s, s:s, s:s, s:b, s:s, s:b}", "id", (int)i, "name", m->name,
                            "sync_address", endpoint_format(&m->sync_address, at),
                            "sync_public_key", key, "self", i == s->conf->self, "link",
                            link_of(s, i), "in_sync", seen && (seen->self || seen->in_sync)));
    }
    return list;
}

static int look(const struct cli *c, const struct cluster_words *w, struct seen *ret)
{
    struct control_request request = {.version = CONTROL_VERSION, .kind = CONTROL_STATUS};
    struct cli there = *c;
    struct control_reply reply;
    char error[CLI_ERROR_LEN];
    int status = load(w, &ret->conf);

    if (status != EXIT_GOOD)
        return status;
    there.conf = w->conf; /* its RunDirectory */
    if (client_try(&there, &request, &reply, error) == EXIT_GOOD) {
        ret->status = TAKE_PTR(reply.status);
        control_reply_done(&reply);
    }
    return EXIT_GOOD;
}

static void seen_done(struct seen *s)
{
    conf_free(s->conf);
    status_free(s->status);
}

int cluster_members(const struct cli *c, int argc, char **argv)
{
    struct cluster_words w;
    struct seen s = {0};
    int status = cluster_take(c, "members", 0, NULL, argc, argv, &w);

    if (status == EXIT_GOOD)
        status = look(c, &w, &s);
    if (status == EXIT_GOOD && c->json)
        status = cli_json(json_pack("{s:i, s:s, s:o}", "schema", 1, "cluster", s.conf->cluster,
                                    "members", members_json(&s)),
                          true);
    else if (status == EXIT_GOOD)
        show_table(c, &s);
    seen_done(&s);
    return status;
}

int cluster_status(const struct cli *c, int argc, char **argv)
{
    struct cluster_words w;
    struct seen s = {0};
    int status = cluster_take(c, "status", 0, NULL, argc, argv, &w);
    unsigned all, good;

    if (status == EXIT_GOOD)
        status = look(c, &w, &s);
    if (status != EXIT_GOOD)
        return status;
    all = count_members(&s, false);
    good = count_members(&s, true);
    if (c->json) {
        status = cli_json(json_pack("{s:i, s:s, s:b, s:i, s:i, s:o}", "schema", 1, "cluster",
                                    s.conf->cluster, "healthy", good == all, "count", (int)all,
                                    "good", (int)good, "members", members_json(&s)),
                          true);
    } else {
        printf("%s: %u member%s, %u in sync%s\n\n", s.conf->cluster, all, all == 1 ? "" : "s", good,
               s.status ? "" : "; no guardmountd answers here");
        show_table(c, &s);
    }
    seen_done(&s);
    return status != EXIT_GOOD ? status : good == all ? EXIT_GOOD : EXIT_DEGRADED;
}
