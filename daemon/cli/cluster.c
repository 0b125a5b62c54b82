#include "cli/cluster.h"
#include "base/bytes.h"
#include "base/err.h"
#include "cli/draft.h"
#include "conf/value.h"
#include <sodium.h>
#include <stdio.h>
#include <string.h>

static const char *const names[CLUSTER_WORDS] = {
    [WORD_MEMBER] = "--member",
    [WORD_OUTER_ADDRESS] = "--outer-address",
    [WORD_INNER_ADDRESS] = "--inner-address",
    [WORD_ID] = "--id",
    [WORD_KEY] = "--key",
    [WORD_WITHIN] = "--within",
    [WORD_PORT] = "--port",
    [WORD_DEV] = "--dev",
    [WORD_KEEPALIVED] = "--keepalived",
};

/* 1: taken; 0: no option of this verb; negative: refused, and said so. */
static int take_word(struct cluster_words *w, unsigned allowed, char **argv, int *i)
{
    for (unsigned n = 0; n < CLUSTER_WORDS; n++) {
        const char *v = allowed & 1u << n ? cli_value(argv, i, names[n], names[n]) : NULL;

        if (!v)
            continue;
        if (*v && !w->word[n]) {
            w->word[n] = v;
            return 1;
        }
        cli_fail(EXIT_USAGE, "cluster %s: %s %s", w->verb, names[n],
                 *v ? "is given twice" : "needs a value");
        return -EINVAL;
    }
    return 0;
}

int cluster_take(const struct cli *c, const char *verb, unsigned allowed, const char *argument,
                 int argc, char **argv, struct cluster_words *ret)
{
    *ret = (struct cluster_words){.verb = verb};
    for (int i = 0; i < argc; i++) {
        int r = take_word(ret, allowed, argv, &i);

        if (r < 0)
            return EXIT_USAGE;
        if (r == 0 && (!argument || ret->argument || (argv[i][0] == '-' && argv[i][1])))
            return cli_fail(EXIT_USAGE,
                            "cluster %s: unexpected '%s'; try 'guardmount cluster --help'", verb,
                            argv[i]);
        if (r == 0)
            ret->argument = argv[i];
    }
    if (argument && !ret->argument)
        return cli_fail(EXIT_USAGE, "cluster %s: %s is missing; try 'guardmount cluster --help'",
                        verb, argument);
    ret->conf = c->conf ? c->conf : DEFAULT_CONF;
    ret->keepalived = ret->word[WORD_KEEPALIVED] ? ret->word[WORD_KEEPALIVED] : KEEPALIVED_CONF;
    return EXIT_GOOD;
}

static int refuse(const struct cluster_words *w, const char *what)
{
    return cli_fail(EXIT_USAGE, "cluster %s: %s", w->verb, what);
}

/* 0: all are taken. */
static unsigned free_id(const struct conf *c)
{
    unsigned highest = 0, lowest = 0;

    for (unsigned i = MEMBER_ID_MAX; i >= 1; i--) {
        lowest = c->member[i].id ? lowest : i;
        highest = c->member[i].id && !highest ? i : highest;
    }
    return highest < MEMBER_ID_MAX ? highest + 1 : lowest;
}

/* As in a [Member] section. */
static bool take_address(const struct cluster_words *w, enum cluster_word word, const char *key,
                         struct conf_member *ret)
{
    const struct conf_key *k = conf_key_find(SECTION_MEMBER, key);
    char expected[VALUE_EXPECTED_LEN];

    if (!w->word[word] || value_store(k, w->word[word], ret))
        return true;
    cli_fail(EXIT_USAGE, "cluster %s: %s: expected %s", w->verb, names[word],
             value_expected(k, expected));
    return false;
}

int cluster_guest(const struct cluster_words *w, const struct conf *now, struct conf_member *ret)
{
    char error[CONF_ERROR_LEN] = "";
    struct draft d = {0};
    uint64_t id = free_id(now);

    *ret = (struct conf_member){0};
    if (!w->word[WORD_MEMBER])
        return refuse(w, "--member NAME=ADDRESS is missing; try 'guardmount cluster --help'");
    if (draft_add_member(&d, w->word[WORD_MEMBER], error) < 0)
        return refuse(w, error);
    if (w->word[WORD_ID] && !parse_u64(w->word[WORD_ID], 1, MEMBER_ID_MAX, &id))
        return refuse(w, "--id: expected 1..15");
    if (!id)
        return refuse(w, "a cluster has at most 15 members");
    if (!take_address(w, WORD_OUTER_ADDRESS, "OuterAddress", ret) ||
        !take_address(w, WORD_INNER_ADDRESS, "InnerAddress", ret))
        return EXIT_USAGE;
    ret->id = (uint8_t)id;
    memcpy(ret->name, d.member[0].name, sizeof(ret->name));
    ret->sync_address = d.member[0].sync;
    return EXIT_GOOD;
}

int cluster_prepare(const struct cluster_words *w, const struct conftext_change *change,
                    struct placing *ret)
{
    char error[CONF_ERROR_LEN] = "", *text = NULL;
    struct conf *now = NULL;
    size_t len = 0;
    int r = place_read(w->conf, &text, &len);

    if (r < 0)
        return cli_fail(EXIT_FAILED, "%s: %s", w->conf, strerror(-r));
    r = place_prepare(w->conf, text, len, change, ret, error);
    if (r >= 0)
        r = conf_parse(w->conf, text, len, &now, error);
    if (r >= 0)
        ret->restart = conf_reload_check(now, ret->conf, error) < 0;
    else
        place_done(ret);
    conf_free(now);
    sodium_free(text); /* wipes */
    return r < 0 ? cli_fail(EXIT_FAILED, "nothing was changed: %s", error) : EXIT_GOOD;
}

int cluster_write(const struct cluster_words *w, struct placing *p, bool fresh)
{
    const char *path;
    int r = place_write(p, w->conf, w->keepalived, fresh, &path);

    if (r < 0 && path == w->keepalived)
        return cli_fail(
            EXIT_FAILED,
            "%s was written, %s was not: %s; when it can be: guardmount ha render -o %s", w->conf,
            path, strerror(-r), path);
    return r < 0 ? cli_fail(EXIT_FAILED, "%s: %s", path, strerror(-r)) : EXIT_GOOD;
}

/* ---- what is left ---- */

static void print_include(const struct placing *p)
{
    if (p->included)
        printf("  Your own keepalived.conf needs this line, once:\n    includer %s\n", p->where);
}

void cluster_print_start(const struct placing *p)
{
    bool inner = false;

    for (unsigned v = 0; v < p->conf->vip_count; v++)
        inner |= p->conf->vip[v].inner_count > 0;
    print_include(p);
    if (inner)
        puts("  Let peers reach the LAN, now and at the next start (a line in /etc/sysctl.d/):\n"
             "    sysctl -w net.ipv4.ip_forward=1");
    puts("  Start, and see whether all is well:\n"
         "    systemctl restart guardmountd keepalived\n"
         "    guardmount doctor; guardmount status");
}

void cluster_print_restart(const struct placing *p)
{
    unsigned siblings = 0;

    for (unsigned i = 1; i < MEMBERS_MAX; i++)
        siblings += p->conf->member[i].id && i != p->conf->self;
    print_include(p);
    if (!p->restart)
        puts("  Let the daemon know; no session is touched:\n"
             "    systemctl reload-or-restart guardmountd\n"
             "    systemctl start keepalived");
    else if (siblings)
        puts("  The daemon has to be restarted for it. So that nothing is lost:\n"
             "    guardmount drain && systemctl restart guardmountd && guardmount undrain");
    else
        puts("  The daemon has to be restarted for it; clients make new sessions then:\n"
             "    systemctl restart guardmountd");
    /* Not a reload: one that raises real-time limits again loses its VRRP process seconds later. */
    if (p->changed)
        printf("    %ssystemctl restart keepalived%s\n", siblings ? "guardmount drain && " : "",
               siblings ? " && guardmount undrain" : "");
}
