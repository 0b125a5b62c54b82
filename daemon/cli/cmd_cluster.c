/* cluster init: the folders of a new cluster's members, made on one machine; or this machine alone,
 * which invites the others. And the list of the verbs. */
#include "base/bytes.h"
#include "base/err.h"
#include "base/rng.h"
#include "cli/cluster.h"
#include "cli/draft.h"
#include "cli/writer.h"
#include "ha/render.h"
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define CONF_FILE "guardmount.conf"
#define KEEPALIVED_FILE "keepalived.conf"

/* What is written, all of it made and read back before the first folder is. In locked memory. */
struct made {
    struct draft_keys keys;
    char conf[MEMBER_ID_MAX][DRAFT_TEXT_MAX];
    char *keepalived[MEMBER_ID_MAX]; /* no secret in it */
};

static int make_all(const struct draft *d, struct made *m, char error[CONF_ERROR_LEN])
{
    int r = draft_make_keys(&m->keys, d->member_count, &rng_system);

    if (r < 0)
        snprintf(error, CONF_ERROR_LEN, "no keys could be made");
    for (unsigned i = 0; i < d->member_count && r >= 0; i++) {
        _cleanup_(conf_freep) struct conf *conf = NULL;

        r = draft_conf(d, &m->keys, i, m->conf[i], &conf, error);
        if (r >= 0)
            r = render_keepalived(conf, &m->keepalived[i], error);
    }
    return r;
}

static void made_free(struct made *m, unsigned members)
{
    for (unsigned i = 0; m && i < members; i++)
        free(m->keepalived[i]);
    sodium_free(m); /* wipes */
}

/* ---- files ---- */

static int write_new(int dir, const char *name, const char *text, mode_t mode)
{
    int r, fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return -errno;
    r = cli_write_all(fd, text, strlen(text));
    if (r >= 0 && fchmod(fd, mode) < 0)
        r = -errno;
    if (close(fd) < 0 && r >= 0)
        r = -errno;
    return r;
}

static int write_member(int dir, const char *name, const char *conf, const char *keepalived)
{
    int r;

    if (mkdirat(dir, name, 0700) < 0)
        return -errno;
    _cleanup_(closep) int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    r = write_new(fd, CONF_FILE, conf, 0600);
    if (r >= 0)
        r = write_new(fd, KEEPALIVED_FILE, keepalived, 0644);
    return r >= 0 && fsync(fd) < 0 ? -errno : r;
}

/* The folder is ours alone, and new: all that is in it is of this run. */
static void remove_all(int dir, const char *path, const struct draft *d)
{
    char name[PATH_MAX];

    for (unsigned i = 0; i < d->member_count; i++) {
        snprintf(name, sizeof(name), "%s/" CONF_FILE, d->member[i].name);
        unlinkat(dir, name, 0);
        snprintf(name, sizeof(name), "%s/" KEEPALIVED_FILE, d->member[i].name);
        unlinkat(dir, name, 0);
        unlinkat(dir, d->member[i].name, AT_REMOVEDIR);
    }
    rmdir(path);
}

static int write_all(const char *path, const struct draft *d, const struct made *m)
{
    int r = 0;

    if (mkdir(path, 0700) < 0)
        return -errno;
    _cleanup_(closep) int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (dir < 0) {
        r = -errno;
        rmdir(path);
        return r;
    }
    for (unsigned i = 0; i < d->member_count && r >= 0; i++)
        r = write_member(dir, d->member[i].name, m->conf[i], m->keepalived[i]);
    if (r >= 0 && fsync(dir) < 0)
        r = -errno;
    if (r < 0)
        remove_all(dir, path, d);
    return r;
}

/* ---- what is left to do ---- */

static void print_ports(const struct draft *d)
{
    char sync[ENDPOINT_TEXT_LEN], outer[IFNAME_MAX + 1], inner[IFNAME_MAX + 1];

    printf("3. Let through firewalls:\n"
           "     UDP port %s to %s, from everywhere\n"
           "     VRRP (IP protocol 112) between members, on %s%s%s\n"
           "     TCP between members, to",
           d->word[DRAFT_PORT], d->word[DRAFT_OUTER], draft_interface(d, DRAFT_OUTER, outer),
           d->word[DRAFT_INNER] ? " and " : "",
           d->word[DRAFT_INNER] ? draft_interface(d, DRAFT_INNER, inner) : "");
    for (unsigned i = 0; i < d->member_count; i++)
        printf("%s %s", i ? "," : "", endpoint_format(&d->member[i].sync, sync));
    puts("");
}

static void print_steps(const struct draft *d, const char *path)
{
    printf("\nLeft to do by hand, on each member; %s as the example:\n"
           "1. Copy its folder to it, over a safe channel, and no other member's:\n"
           "     scp -r %s/%s root@%s:guardmount-new\n"
           "2. On it, as root, with guardmount and keepalived installed:\n"
           "     cd guardmount-new\n"
           "     install -o root -g " CONF_GROUP " -m 640 " CONF_FILE " " DEFAULT_CONF "\n"
           "     install -m 644 " KEEPALIVED_FILE " /etc/keepalived/" KEEPALIVED_FILE "\n"
           "   Where its interfaces have other names, change them in " DEFAULT_CONF ", then\n"
           "     guardmount ha render -o /etc/keepalived/" KEEPALIVED_FILE "\n",
           d->member[0].name, path, d->member[0].name, d->member[0].name);
    print_ports(d);
    if (d->word[DRAFT_INNER])
        printf("4. On the LAN's router, once: route the networks of %s to\n     %s\n",
               d->word[DRAFT_HUB_ADDRESS], d->word[DRAFT_INNER]);
    else
        puts("4. There is no inner address: the LAN must find the way back by other means.");
    printf("5. Start, and see whether all is well:\n"
           "     guardmount check-config && systemctl start guardmountd\n"
           "     systemctl enable keepalived && systemctl restart keepalived\n"
           "     guardmount doctor; guardmount status\n"
           "6. When all members run, remove guardmount-new there and the folder here:\n"
           "     rm -r %s\n",
           path);
    if (!d->word[DRAFT_OUTER_PROBE] || (d->word[DRAFT_INNER] && !d->word[DRAFT_INNER_PROBE]))
        puts(
            "\nA LAN without a probe is not watched: when it dies silently, nothing moves. Name a\n"
            "gateway with --outer-probe or --inner-probe, or add [Lan] sections later.");
}

static int report_json(const struct draft *d, const char *path, const char *key)
{
    json_t *o, *members;

    members = json_array();
    for (unsigned i = 0; i < d->member_count; i++)
        json_array_append_new(members,
                              json_pack("{s:i, s:s}", "id", (int)i + 1, "name", d->member[i].name));
    o = json_pack("{s:i, s:s, s:s, s:s, s:o}", "schema", 1, "cluster", d->word[DRAFT_NAME],
                  d->alone ? "config" : "directory", path, "hub_public_key", key, "members",
                  members);
    return cli_json(o, true);
}

/* ---- the two ways ---- */

static int make_folders(const struct cli *c, const struct draft *d, const char *path,
                        const struct made *m)
{
    char key[KEY_TEXT_LEN + 1];
    int r = write_all(path, d, m);

    if (r == -EEXIST)
        return cli_fail(EXIT_FAILED,
                        "%s exists, and may hold the keys of a cluster; name another with -o",
                        path);
    if (r < 0)
        return cli_fail(EXIT_FAILED, "%s: %s; nothing was left behind", path, strerror(-r));
    key_to_base64(m->keys.hub_public, key);
    if (c->json)
        return report_json(d, path, key);
    printf("%s: made for %s with %u members; nothing on this machine was changed besides\n"
           "public key of the hub: %s\n",
           path, d->word[DRAFT_NAME], d->member_count, key);
    print_steps(d, path);
    return EXIT_GOOD;
}

static int install(const struct cli *c, const struct draft *d, const struct cluster_words *w,
                   const struct made *m)
{
    char error[CONF_ERROR_LEN] = "", key[KEY_TEXT_LEN + 1];
    struct placing p;
    int status;

    if (place_prepare(w->conf, m->conf[0], strlen(m->conf[0]), &(struct conftext_change){0}, &p,
                      error) < 0)
        return cli_fail(EXIT_FAILED, "nothing was written: %s", error);
    status = cluster_write(w, &p, true);
    key_to_base64(m->keys.hub_public, key);
    if (status == EXIT_GOOD && c->json)
        status = report_json(d, w->conf, key);
    else if (status == EXIT_GOOD) {
        printf("This machine is member 1 of %s, %s. Written: %s, %s\n"
               "Public key of the hub: %s\nLeft to do by hand:\n",
               d->word[DRAFT_NAME], d->member[0].name, w->conf, p.where, key);
        cluster_print_start(&p);
        puts("  Let the next member in, now or later:\n"
             "    guardmount cluster invite --member NAME=ADDRESS");
    }
    place_done(&p);
    return status;
}

/* 1: taken; 0: not known; negative: refused, with the reason. */
static int take_word(struct draft *d, char **argv, int *i, char error[CONF_ERROR_LEN])
{
    const char *v = cli_value(argv, i, "--member", "--member");

    if (v)
        return draft_add_member(d, v, error) < 0 ? -EINVAL : 1;
    for (unsigned w = 0; w < DRAFT_WORDS; w++)
        if ((v = cli_value(argv, i, draft_options[w], draft_options[w])))
            return draft_set(d, w, v, error) < 0 ? -EINVAL : 1;
    return 0;
}

static int init(const struct cli *c, int argc, char **argv)
{
    struct cluster_words w = {.conf = c->conf ? c->conf : DEFAULT_CONF,
                              .keepalived = KEEPALIVED_CONF};
    char error[CONF_ERROR_LEN] = "";
    const char *path = NULL;
    struct draft d = {0};
    struct made *m;
    int status;

    for (int i = 0; i < argc; i++) {
        const char *v = cli_value(argv, &i, "-o", "--output"), *k = NULL;
        bool alone = !v && strcmp(argv[i], "--install") == 0;
        int r;

        if (!v && !alone)
            k = cli_value(argv, &i, "--keepalived", "--keepalived");
        r = v || alone || k ? 1 : take_word(&d, argv, &i, error);
        if (r == 0)
            return cli_fail(EXIT_USAGE,
                            "cluster init: unexpected '%s'; try 'guardmount cluster --help'",
                            argv[i]);
        if (r < 0)
            return cli_fail(EXIT_USAGE, "cluster init: %s", error);
        if ((v && !*v) || (k && !*k))
            return cli_fail(EXIT_USAGE, "cluster init: %s needs a %s", v ? "-o" : "--keepalived",
                            v ? "folder" : "file");
        path = v ? v : path;
        w.keepalived = k ? k : w.keepalived;
        d.alone |= alone;
    }
    if (draft_finish(&d, error) < 0)
        return cli_fail(EXIT_USAGE, "cluster init: %s", error);
    m = sodium_init() < 0 ? NULL : sodium_malloc(sizeof(*m));
    if (!m)
        return cli_fail(EXIT_FAILED, "no memory for keys");
    memset(m, 0, sizeof(*m));
    if (make_all(&d, m, error) < 0)
        status = cli_fail(EXIT_FAILED, "nothing was written: %s", error);
    else if (d.alone)
        status = install(c, &d, &w, m);
    else
        status = make_folders(c, &d, path ? path : d.word[DRAFT_NAME], m);
    made_free(m, d.member_count);
    return status;
}

static const struct verb {
    const char *name;
    int (*run)(const struct cli *c, int argc, char **argv);
} verbs[] = {
    {"init", init},
    {"invite", cluster_invite},
    {"join", cluster_join},
    {"admit", cluster_admit},
    {"remove", cluster_remove},
    {"members", cluster_members},
    {"status", cluster_status},
};

int cmd_cluster(const struct cli *c, int argc, char **argv)
{
    for (unsigned i = 0; argc && i < ARRAY_LEN(verbs); i++)
        if (strcmp(argv[0], verbs[i].name) == 0)
            return verbs[i].run(c, argc - 1, argv + 1);
    return cli_fail(EXIT_USAGE,
                    "cluster: '%s' is not known; there are init, invite, join, admit, remove, "
                    "members and status; try 'guardmount cluster --help'",
                    argc ? argv[0] : "");
}
