/* backup, restore: the peer database as one file. */
#include "base/bytes.h"
#include "base/err.h"
#include "base/secret.h"
#include "cli/cli.h"
#include "conf/conf.h"
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

/* Of SQLite's header: https://www.sqlite.org/fileformat.html, section 1.3. */
#define HEADER_LEN 100
#define AT_PAGE_SIZE 16
#define AT_PAGES 28
#define AT_APPLICATION 68
#define APPLICATION_ID 0x474d5044 /* "GMPD" */

#define SECRET_MODE 0600 /* preshared keys are in it */

int cmd_backup(const struct cli *c, int argc, char **argv)
{
    struct control_reply reply;
    int r;

    if (argc != 1 || argv[0][0] == '-')
        return cli_fail(EXIT_USAGE, "backup takes one file; try 'guardmount backup --help'");
    r = client_ask(c, CONTROL_BACKUP, false, &reply);
    if (r != EXIT_GOOD)
        return r;
    r = reply.backup ? cli_replace_file(argv[0], reply.backup, reply.backup_len, SECRET_MODE, NULL)
                     : -ENODATA;
    if (r < 0)
        r = cli_fail(EXIT_FAILED, "%s: %s; nothing was written", argv[0], strerror(-r));
    else
        printf("%s: %zu bytes; preshared keys are in it\n", argv[0], reply.backup_len);
    control_reply_done(&reply);
    return r < 0 ? EXIT_FAILED : r;
}

/* ---- restore ---- */

static int read_backup(const char *path, uint8_t **ret, size_t *ret_len)
{
    _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    _cleanup_(freep) uint8_t *data = NULL;
    struct stat st;
    size_t len = 0;

    if (fd < 0 || fstat(fd, &st) < 0)
        return cli_fail(EXIT_FAILED, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode) || st.st_size < HEADER_LEN || st.st_size > (off_t)CONTROL_REPLY_MAX)
        return cli_fail(EXIT_FAILED, "%s: no backup of peers", path);
    data = malloc((size_t)st.st_size);
    while (data && len < (size_t)st.st_size) {
        ssize_t n = read(fd, data + len, (size_t)st.st_size - len);

        if (n <= 0 && !(n < 0 && errno == EINTR))
            return cli_fail(EXIT_FAILED, "%s: cannot be read", path);
        len += n > 0 ? (size_t)n : 0;
    }
    if (!data)
        return cli_fail(EXIT_FAILED, "no memory");
    uint32_t page = (uint32_t)data[AT_PAGE_SIZE] << 8 | data[AT_PAGE_SIZE + 1];
    page = page == 1 ? 65536 : page;
    if (memcmp(data, "SQLite format 3", 16) != 0 ||
        load_be32(data + AT_APPLICATION) != APPLICATION_ID)
        return cli_fail(EXIT_FAILED, "%s: no backup of peers; 'guardmount backup FILE' makes one",
                        path);
    if ((uint64_t)load_be32(data + AT_PAGES) * page != len)
        return cli_fail(EXIT_FAILED, "%s: cut short or grown; take another backup", path);
    *ret = TAKE_PTR(data);
    *ret_len = len;
    return EXIT_GOOD;
}

/* The daemon must not run: it holds this lock as long as it does. */
static int lock_state(const char *dir, int *ret_fd)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/lock", dir);
    *ret_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (*ret_fd < 0)
        return cli_fail(EXIT_FAILED, "%s: %s", path, strerror(errno));
    if (flock(*ret_fd, LOCK_EX | LOCK_NB) < 0)
        return cli_fail(EXIT_FAILED, "the daemon runs; stop it first (systemctl stop guardmountd)");
    return EXIT_GOOD;
}

static int put_back(const char *state_dir, const uint8_t *data, size_t len)
{
    static const char *const logs[] = {"-wal", "-shm"};
    char path[PATH_MAX], log[PATH_MAX + 8];
    struct stat owner;
    int r = 0;

    snprintf(path, sizeof(path), "%s/peers.db", state_dir);
    if (stat(state_dir, &owner) < 0)
        return cli_fail(EXIT_FAILED, "%s: %s", state_dir, strerror(errno));
    /* Logs of the database that is replaced would be read into the new one. */
    for (unsigned i = 0; r >= 0 && i < ARRAY_LEN(logs); i++) {
        snprintf(log, sizeof(log), "%s%s", path, logs[i]);
        if (unlink(log) < 0 && errno != ENOENT)
            r = -errno;
    }
    if (r >= 0)
        r = cli_replace_file(path, data, len, SECRET_MODE, &owner);
    if (r < 0)
        return cli_fail(EXIT_FAILED, "%s: %s", path, strerror(-r));
    printf("%s restored; siblings bring it up to date when the daemon starts\n", path);
    return EXIT_GOOD;
}

int cmd_restore(const struct cli *c, int argc, char **argv)
{
    const char *conf_path = c->conf ? c->conf : DEFAULT_CONF;
    _cleanup_(conf_freep) struct conf *conf = NULL;
    _cleanup_(freep) uint8_t *data = NULL;
    _cleanup_(closep) int lock = -1;
    char error[CONF_ERROR_LEN] = "";
    size_t len = 0;
    int r;

    if (argc != 1 || argv[0][0] == '-')
        return cli_fail(EXIT_USAGE, "restore takes one file; try 'guardmount restore --help'");
    if (conf_load(conf_path, &conf, error) < 0)
        return cli_fail(EXIT_FAILED, "%s", error);
    r = read_backup(argv[0], &data, &len);
    if (r == EXIT_GOOD)
        r = lock_state(conf->state_dir, &lock);
    if (r == EXIT_GOOD)
        r = put_back(conf->state_dir, data, len);
    if (data)
        secret_wipe(data, len);
    return r;
}
