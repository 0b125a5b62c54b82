#include "conf/conf.h"
#include "base/err.h"
#include "conf/value.h"
#include "model/peer.h"
#include <fcntl.h>
#include <grp.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CONF_FILE_MAX (256u << 10) /* 15 members and 63 VIPs take a tenth of it */

static int refuse(const char *path, int error, const char *why, char ret_error[CONF_ERROR_LEN])
{
    snprintf(ret_error, CONF_ERROR_LINE_MAX, "%.*s: %s", CONF_PATH_MAX, path, why);
    return error;
}

/* root:guardmount 0640: the daemon, which is not root, reads it and cannot change it. */
static bool for_service_group(const struct stat *st)
{
    const struct group *service;

    if (st->st_uid != 0 || (st->st_mode & 077) != 040)
        return false;
    service = getgrnam(CONF_GROUP);
    return service && service->gr_gid == st->st_gid;
}

/* A credential of our service. Its folder keeps others out; an access list in the file, by which we
 * may read it, shows as bits of the group. */
static bool is_credential(const char *path, const struct stat *st)
{
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    size_t len = dir ? strlen(dir) : 0;

    return len && strncmp(path, dir, len) == 0 && path[len] == '/' &&
           !strchr(path + len + 1, '/') && (st->st_mode & 037) == 0;
}

/* It holds keys: nobody else may read it, or choose what is in it. */
static int check_file(const char *path, const struct stat *st, char ret_error[CONF_ERROR_LEN])
{
    char why[192];

    if (S_ISDIR(st->st_mode))
        return refuse(path, -EISDIR, "is a directory; name the file", ret_error);
    if (!S_ISREG(st->st_mode))
        return refuse(path, -EINVAL, "is no regular file", ret_error);
    if (st->st_uid != 0 && st->st_uid != geteuid()) {
        snprintf(why, sizeof(why), "belongs to user %u, and holds keys; run: chown root FILE",
                 st->st_uid);
        return refuse(path, -EPERM, why, ret_error);
    }
    if (st->st_mode & 077 && !for_service_group(st) && !is_credential(path, st)) {
        snprintf(why, sizeof(why), "has mode %04o, and holds keys; run: chmod 600 FILE",
                 st->st_mode & 07777);
        return refuse(path, -EPERM, why, ret_error);
    }
    if (st->st_size > CONF_FILE_MAX)
        return refuse(path, -EFBIG, "is larger than 256 KiB; is it the right file?", ret_error);
    return 0;
}

/* All of it, or an error: half a file may well be a good one. */
static int read_all(int fd, char *text, size_t room, size_t *ret_len)
{
    size_t len = 0;

    while (len < room) {
        ssize_t n = read(fd, text + len, room - len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0) {
            *ret_len = len;
            return 0;
        }
        len += (size_t)n;
    }
    return -EAGAIN;
}

int conf_load(const char *path, struct conf **ret, char ret_error[CONF_ERROR_LEN])
{
    struct stat st;
    size_t len = 0;
    int r;

    if (strlen(path) > CONF_PATH_MAX)
        return refuse(path, -ENAMETOOLONG, "...: a path of at most 255 characters", ret_error);
    /* A symbolic link is followed: mode and owner are those of what is read. */
    _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0) {
        r = -errno;
        return refuse(path, r, strerror(-r), ret_error);
    }
    if ((r = check_file(path, &st, ret_error)) < 0)
        return r;
    size_t room = (size_t)st.st_size + 1; /* full: it grew meanwhile */
    char *text = sodium_init() < 0 ? NULL : sodium_malloc(room);
    if (!text)
        return refuse(path, -ENOMEM, "no memory", ret_error);
    r = read_all(fd, text, room, &len);
    if (r < 0)
        refuse(path, r, r == -EAGAIN ? "was written to meanwhile; try again" : strerror(-r),
               ret_error);
    else
        r = conf_parse(path, text, len, ret, ret_error);
    sodium_free(text); /* wipes */
    return r;
}

const struct ip_addr *conf_inner_address(const struct conf_member *m, bool v6)
{
    for (unsigned i = 0; i < m->inner_address_count; i++)
        if (addr_is_v4(&m->inner_address[i]) != v6)
            return &m->inner_address[i];
    return NULL;
}

bool conf_lists_peer(const char *list, const char *name)
{
    char one[PEER_NAME_MAX + 1];

    if (strcmp(list, "all") == 0)
        return true;
    if (strcmp(list, "none") == 0)
        return false;
    while (value_list_next(&list, one, sizeof(one)))
        if (*one && strcmp(one, name) == 0)
            return true;
    return false;
}

void conf_free(struct conf *c)
{
    if (!c)
        return;
    secret_free(c->cluster_key);
    secret_free(c->sync_private_key);
    for (unsigned i = 0; i < CONF_HUBS_MAX; i++)
        secret_free(c->hub[i].private_key);
    free(c);
}
