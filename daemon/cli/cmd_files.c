/* ha render, check-config, genkey: what needs no daemon. */
#include "base/bytes.h"
#include "base/err.h"
#include "cli/cli.h"
#include "conf/conf.h"
#include "ha/render.h"
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

static int write_file(const char *path, const char *text)
{
    char temporary[512];
    size_t len = strlen(text);

    snprintf(temporary, sizeof(temporary), "%s.new", path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool ok = fd >= 0 && write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
    int e = errno;
    if (fd >= 0)
        close(fd);
    if (ok && rename(temporary, path) == 0)
        return EXIT_GOOD;
    fprintf(stderr, "guardmount: %s: %s\n", path, strerror(ok ? errno : e));
    unlink(temporary);
    return EXIT_FAILED;
}

static int render(const char *path, const char *output)
{
    char error[CONF_ERROR_LEN] = "";
    struct conf *conf = NULL;
    char *text = NULL;
    int status = EXIT_FAILED;

    if (conf_load(path, &conf, error) < 0 || render_keepalived(conf, &text, error) < 0)
        fprintf(stderr, "guardmount: %s\n", error);
    else if (output)
        status = write_file(output, text);
    else
        status = fputs(text, stdout) < 0 ? EXIT_FAILED : EXIT_GOOD;
    free(text);
    conf_free(conf);
    return status;
}

int cmd_ha(const struct cli *c, int argc, char **argv)
{
    const char *path = c->conf ? c->conf : DEFAULT_CONF, *output = NULL;

    if (argc < 1 || strcmp(argv[0], "render") != 0) {
        fprintf(stderr, "guardmount: ha what? try: guardmount ha render\n");
        return EXIT_USAGE;
    }
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-c") == 0 && i + 1 < argc) {
            path = argv[++i];
        } else if (strcmp(argv[i], "-o") == 0 && i + 1 < argc) {
            output = argv[++i];
        } else {
            fprintf(stderr,
                    "guardmount: ha render: unexpected '%s'; it takes -c CONF and -o FILE\n",
                    argv[i]);
            return EXIT_USAGE;
        }
    }
    return render(path, output);
}

int cmd_check_config(const struct cli *c, int argc, char **argv)
{
    const char *path = argc > 0 ? argv[0] : c->conf ? c->conf : DEFAULT_CONF;
    char error[CONF_ERROR_LEN];
    struct conf *conf;

    if (argc > 1) {
        fprintf(stderr, "guardmount: check-config takes one file\n");
        return EXIT_USAGE;
    }
    if (conf_load(path, &conf, error) < 0) {
        fprintf(stderr, "%s\n", error);
        return EXIT_FAILED;
    }
    printf("%s: good: member %s of %s, %u VIP(s)\n", path, conf->member[conf->self].name,
           conf->cluster, conf->vip_count);
    conf_free(conf);
    return EXIT_GOOD;
}

int cmd_genkey(const struct cli *c, int argc, char **argv)
{
    uint8_t private_key[32], public_key[32];
    char text[KEY_TEXT_LEN + 1];

    if (sodium_init() < 0)
        return EXIT_FAILED;
    randombytes_buf(private_key, sizeof(private_key));
    if (argc == 1 && strcmp(argv[0], "--cluster") == 0) {
        key_to_base64(private_key, text);
        printf("ClusterKey = %s\n", text);
        return EXIT_GOOD;
    }
    if (argc) {
        fprintf(stderr, "guardmount: genkey takes --cluster or nothing\n");
        return EXIT_USAGE;
    }
    private_key[0] &= 248;
    private_key[31] = (uint8_t)((private_key[31] & 127) | 64);
    crypto_scalarmult_base(public_key, private_key);
    key_to_base64(private_key, text);
    printf("SyncPrivateKey = %s\n", text);
    key_to_base64(public_key, text);
    printf("SyncPublicKey = %s\n", text);
    sodium_memzero(private_key, sizeof(private_key));
    sodium_memzero(text, sizeof(text));
    return EXIT_GOOD;
}
