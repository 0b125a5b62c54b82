/* cluster init: the folders that it makes, and those that it leaves alone. */
#include "base/err.h"
#include "lib/test.h"
#include "unit/control/child.h"
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <uv.h>

#define INIT                                                                                       \
    GUARDMOUNT " cluster init --name=office --member berlin=192.168.99.1 "                         \
               "--member paris=192.168.99.2 --hub-address 10.77.0.1/16 "                           \
               "--outer '203.0.113.100/24 dev eth0' "

static const char *const files[] = {"berlin/guardmount.conf", "berlin/keepalived.conf",
                                    "paris/guardmount.conf", "paris/keepalived.conf"};

struct desk {
    uv_loop_t loop;
    char dir[64];
};

static const struct child *run(struct desk *k, const char *command)
{
    char there[2048];

    assert_true(snprintf(there, sizeof(there), "cd %s; %s", k->dir, command) < (int)sizeof(there));
    return child_run(&k->loop, there);
}

static void expect(const struct child *c, int status, const char *word)
{
    if (c->status != status || !strstr(c->out, word))
        fail_msg("status %lld, not %d; no '%s' in\n%s", (long long)c->status, status, word, c->out);
}

static int setup(void **state)
{
    struct desk *k = calloc(1, sizeof(*k));

    strcpy(k->dir, "/tmp/gm-cluster-XXXXXX");
    assert_non_null(mkdtemp(k->dir));
    assert_int_equal(uv_loop_init(&k->loop), 0);
    *state = k;
    return 0;
}

static void remove_folder(const char *dir)
{
    char path[256];

    for (unsigned i = 0; i < ARRAY_LEN(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
        unlink(path);
        *strrchr(path, '/') = 0;
        rmdir(path);
    }
    rmdir(dir);
}

static int teardown(void **state)
{
    struct desk *k = *state;
    char path[128];

    snprintf(path, sizeof(path), "%s/office", k->dir);
    remove_folder(path);
    snprintf(path, sizeof(path), "%s/other", k->dir);
    remove_folder(path);
    assert_int_equal(rmdir(k->dir), 0);
    assert_int_equal(uv_loop_close(&k->loop), 0);
    free(k);
    return 0;
}

static void has_mode(const struct desk *k, const char *name, mode_t mode)
{
    char path[256];
    struct stat st;

    snprintf(path, sizeof(path), "%s/office/%s", k->dir, name);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, mode);
    assert_int_equal(st.st_uid, geteuid());
}

TEST(each_member_has_a_folder_that_only_its_owner_reads)
{
    static const char *const masks[] = {"umask 000; ", "umask 077; "};
    struct desk *k = *state;
    char command[1024];

    for (unsigned i = 0; i < ARRAY_LEN(masks); i++) {
        snprintf(command, sizeof(command), "%s" INIT, masks[i]);
        expect(run(k, command), 0, "public key of the hub: ");
        has_mode(k, "", 0700);
        has_mode(k, "berlin", 0700);
        has_mode(k, "paris", 0700);
        has_mode(k, "berlin/guardmount.conf", 0600);
        has_mode(k, "paris/guardmount.conf", 0600);
        has_mode(k, "paris/keepalived.conf", 0644);
        snprintf(command, sizeof(command), "%s/office", k->dir);
        remove_folder(command);
    }
}

TEST(what_is_made_is_what_the_members_take)
{
    struct desk *k = *state;

    expect(run(k, INIT "--inner '10.0.0.100/24 dev eth1'"), 0, "Left to do by hand");
    expect(run(k, GUARDMOUNT " check-config office/berlin/guardmount.conf"), 0,
           "good: member berlin of office, 1 hub, 1 VIP");
    expect(run(k, GUARDMOUNT " check-config office/paris/guardmount.conf"), 0,
           "good: member paris of office, 1 hub, 1 VIP");
    expect(run(k, "for m in berlin paris; do " GUARDMOUNT " ha render -c office/$m/guardmount.conf"
                  " | cmp - office/$m/keepalived.conf || exit 1; done"),
           0, "");
    /* Shared keys are the same in both, the members' own are not. */
    expect(run(k, "cat office/*/guardmount.conf | grep -E 'Key = ' | sort | uniq -c |"
                  " awk '{ print $2, $1 }' | sort | tr '\\n' ';'"),
           0,
           "ClusterKey 2;PrivateKey 2;SyncPrivateKey 1;SyncPrivateKey 1;SyncPublicKey 2;"
           "SyncPublicKey 2;");
}

TEST(the_rest_is_said_and_no_secret)
{
    static const char *const words[] = {
        "scp -r office/berlin", "install -o root -g guardmount -m 640",
        "UDP port 51820",       "on eth0 and eth1",
        "192.168.99.2:51900",   "route the networks of 10.77.0.1/16",
        "is not watched",       "rm -r office",
    };
    struct desk *k = *state;
    _cleanup_(freep) char *said = strdup(run(k, INIT "--inner '10.0.0.100/24 dev eth1'")->out);

    assert_non_null(said);
    for (unsigned i = 0; i < ARRAY_LEN(words); i++)
        if (!strstr(said, words[i]))
            fail_msg("no '%s' in\n%s", words[i], said);
    char *key = strtok((char *)run(k, "sed -nE 's/^(Cluster|Sync|)(Private)?Key = //p' "
                                      "office/*/guardmount.conf")
                           ->out,
                       "\n");
    assert_non_null(key);
    for (; key; key = strtok(NULL, "\n")) {
        assert_int_equal(strlen(key), 44);
        assert_null(strstr(said, key));
    }
}

TEST(json_says_what_was_made)
{
    struct desk *k = *state;
    json_t *o = json_loads(run(k, INIT "-j -o other")->out, 0, NULL);
    const char *cluster, *dir, *key, *name;
    int schema, id;

    assert_int_equal(json_unpack(o, "{s:i, s:s, s:s, s:s, s:[{}, {s:i, s:s}]}", "schema", &schema,
                                 "cluster", &cluster, "directory", &dir, "hub_public_key", &key,
                                 "members", "id", &id, "name", &name),
                     0);
    assert_true(schema == 1 && id == 2 && strlen(key) == 44);
    assert_string_equal(cluster, "office");
    assert_string_equal(dir, "other");
    assert_string_equal(name, "paris");
    json_decref(o);
    expect(run(k, "ls"), 0, "other\n");
}

TEST(what_exists_is_not_touched)
{
    struct desk *k = *state;

    expect(run(k, INIT), 0, "office");
    expect(run(k, "cat office/*/* | sha256sum > .sum; " INIT "; r=$?;"
                  " cat office/*/* | sha256sum -c .sum || r=9; rm .sum; exit $r"),
           1, "office exists, and may hold the keys of a cluster");
    expect(
        run(k, "rm -r office; mkdir office; " INIT "; r=$?; ls -A office; rmdir office; exit $r"),
        1, "office exists");
    /* A link that leads nowhere would be a place of somebody else's choice. */
    expect(run(k, "ln -s nowhere office; " INIT "; r=$?; rm office; ls; exit $r"), 1,
           "office exists");
}

TEST(a_failure_leaves_nothing_behind)
{
    struct desk *k = *state;

    expect(run(k, "trap '' XFSZ; ulimit -f 1; " INIT), 1, "nothing was left behind");
    assert_string_equal(run(k, "ls -A")->out, "");
    expect(run(k, INIT "-o no/such/folder"), 1, "No such file");
    expect(run(k, INIT "--inner '203.0.113.100/24 dev eth0'"), 1, "nothing was written");
    assert_string_equal(run(k, "ls -A")->out, "");
}

TEST(wrong_words_are_refused_before_anything_is_made)
{
    static const struct {
        const char *arguments, *word;
    } wrong[] = {
        {"cluster", "there are init, invite, join"},
        {"cluster frob", "'frob' is not known"},
        {"cluster init", "--name is missing"},
        {"cluster init frob", "unexpected 'frob'"},
        {"cluster init --frob", "unexpected '--frob'"},
        {"cluster init --name", "--name: expected a word"},
        {"cluster init --name ../up", "--name: expected a word"},
        {"cluster init --member ..=192.0.2.1", "begins with a letter or digit"},
        {"cluster init --name x -o", "-o needs a folder"},
        {"cluster init --name x --outer '192.0.2.1/24 dev e' --hub-address 10.0.0.1/8",
         "at least two members"},
    };
    struct desk *k = *state;
    char command[512];

    for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
        snprintf(command, sizeof(command), GUARDMOUNT " %s", wrong[i].arguments);
        expect(run(k, command), 2, wrong[i].word);
    }
    assert_string_equal(run(k, "ls -A")->out, "");
}

#define TD(name) TS(name, setup, teardown)
TEST_MAIN(TD(each_member_has_a_folder_that_only_its_owner_reads),
          TD(what_is_made_is_what_the_members_take), TD(the_rest_is_said_and_no_secret),
          TD(json_says_what_was_made), TD(what_exists_is_not_touched),
          TD(a_failure_leaves_nothing_behind), TD(wrong_words_are_refused_before_anything_is_made))
