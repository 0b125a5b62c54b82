/* ha render, check-config, genkey: what needs no daemon. */
#include "base/bytes.h"
#include "base/err.h"
#include "base/rng.h"
#include "base/secret.h"
#include "cli/cli.h"
#include "conf/conf.h"
#include "ha/conntrackd.h"
#include "ha/render.h"
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int cli_write_all(int fd, const void *data, size_t len)
{
    const char *text = data;

    while (len) {
        ssize_t n = write(fd, text, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        text += n;
        len -= (size_t)n;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

int cli_replace_file(const char *path, const void *data, size_t len, mode_t mode,
                     const struct stat *owner)
{
    char temporary[PATH_MAX];
    int fd, r = 0;

    if (snprintf(temporary, sizeof(temporary), "%s.new", path) >= (int)sizeof(temporary))
        return -ENAMETOOLONG;
    unlink(temporary);
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return -errno;
    if (owner && fchown(fd, owner->st_uid, owner->st_gid) < 0 && errno != EPERM)
        r = -errno;
    if (r >= 0 && fchmod(fd, mode) < 0) /* whatever the umask */
        r = -errno;
    if (r >= 0)
        r = cli_write_all(fd, data, len);
    if (close(fd) < 0 && r >= 0)
        r = -errno;
    if (r >= 0 && rename(temporary, path) < 0)
        r = -errno;
    if (r < 0)
        unlink(temporary);
    return r;
}

typedef int renderer(const struct conf *c, char **ret_text, char ret_error[RENDER_ERROR_LEN]);

static int render(renderer *render_it, const char *conf_path, const char *output)
{
    char error[CONF_ERROR_LEN] = "";
    struct conf *conf = NULL;
    char *text = NULL;
    int r, status = EXIT_GOOD;

    if (conf_load(conf_path, &conf, error) < 0 || render_it(conf, &text, error) < 0)
        status = cli_fail(EXIT_FAILED, "%s", error);
    else if (!output)
        status = fputs(text, stdout) < 0 ? EXIT_FAILED : EXIT_GOOD;
    else if ((r = cli_replace_file(output, text, strlen(text), 0644, NULL)) < 0)
        status = cli_fail(EXIT_FAILED, "%s: %s; the file was left as it was", output, strerror(-r));
    free(text);
    conf_free(conf);
    return status;
}

int cmd_ha(const struct cli *c, int argc, char **argv)
{
    const char *output = NULL;
    renderer *render_it = render_keepalived;

    if (argc < 1 || strcmp(argv[0], "render") != 0)
        return cli_fail(EXIT_USAGE, "ha: '%s' is not known; try 'guardmount ha render'",
                        argc ? argv[0] : "");
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--conntrackd") == 0) {
            render_it = render_conntrackd;
            continue;
        }
        const char *v = cli_value(argv, &i, "-o", "--output");

        if (!v)
            return cli_fail(EXIT_USAGE, "ha render: unexpected '%s'; try 'guardmount ha --help'",
                            argv[i]);
        if (!*v)
            return cli_fail(EXIT_USAGE, "ha render: -o needs a file");
        output = v;
    }
    return render(render_it, c->conf ? c->conf : DEFAULT_CONF, output);
}

int cmd_check_config(const struct cli *c, int argc, char **argv)
{
    const char *path = argc ? argv[0] : c->conf ? c->conf : DEFAULT_CONF;
    char error[CONF_ERROR_LEN] = "", *text = NULL;
    struct conf *conf;
    int r;

    if (argc > 1 || (argc && argv[0][0] == '-'))
        return cli_fail(EXIT_USAGE, "check-config takes one file; try 'guardmount check-config "
                                    "--help'");
    if (conf_load(path, &conf, error) < 0) {
        fprintf(stderr, "%s\n", error);
        return EXIT_FAILED;
    }
    r = render_keepalived(conf, &text, error);
    free(text);
    if (r < 0 && r != -ENOENT) { /* a member without a VIP needs no keepalived */
        fprintf(stderr, "%s: %s\n", path, error);
        conf_free(conf);
        return EXIT_FAILED;
    }
    printf("%s: good: member %s of %s, %u hub%s, %u VIP%s\n", path, conf->member[conf->self].name,
           conf->cluster, conf->hub_count, conf->hub_count == 1 ? "" : "s", conf->vip_count,
           conf->vip_count == 1 ? "" : "s");
    conf_free(conf);
    return EXIT_GOOD;
}

static void print_key(const char *name, const uint8_t key[32])
{
    char text[KEY_TEXT_LEN + 1];

    key_to_base64(key, text);
    printf("%s = %s\n", name, text);
    secret_wipe(text, sizeof(text));
}

static int print_pair(void)
{
    uint8_t private_key[32], public_key[32];
    int r;

    rng_fill(&rng_system, private_key, sizeof(private_key));
    private_key[0] &= 248;
    private_key[31] = (uint8_t)((private_key[31] & 127) | 64);
    r = crypto_scalarmult_base(public_key, private_key);
    if (r == 0) {
        puts("# In [Cluster] of this member's file, and nowhere else:");
        print_key("SyncPrivateKey", private_key);
        puts("# In this member's [Member] section of every member's file:");
        print_key("SyncPublicKey", public_key);
    }
    secret_wipe(private_key, sizeof(private_key));
    return r == 0 ? EXIT_GOOD : cli_fail(EXIT_FAILED, "no key pair could be made");
}

int cmd_genkey(const struct cli *c, int argc, char **argv)
{
    uint8_t key[32];

    if (argc > 1 || (argc && strcmp(argv[0], "--cluster") != 0))
        return cli_fail(EXIT_USAGE, "genkey takes --cluster or nothing");
    if (sodium_init() < 0)
        return cli_fail(EXIT_FAILED, "libsodium does not start");
    if (!argc)
        return print_pair();
    rng_fill(&rng_system, key, sizeof(key));
    puts("# In [Cluster] of every member's file:");
    print_key("ClusterKey", key);
    secret_wipe(key, sizeof(key));
    return EXIT_GOOD;
}
