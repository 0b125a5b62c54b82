#include "control/listen.h"
#include "base/err.h"
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static int address_of(const char *path, struct sockaddr_un *ret)
{
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(ret->sun_path))
        return -ENAMETOOLONG;
    memcpy(ret->sun_path, path, strlen(path));
    return 0;
}

static int unix_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    return fd < 0 ? -errno : fd;
}

/* 0: nobody is behind it, and it is gone now. */
static int remove_stale(const struct sockaddr_un *at)
{
    _cleanup_(closep) int fd = unix_socket();
    struct stat st;

    if (fd < 0)
        return fd;
    if (lstat(at->sun_path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    /* A full queue (EAGAIN) is a live process too. */
    if (connect(fd, (const struct sockaddr *)at, sizeof(*at)) == 0 || errno == EAGAIN)
        return -EADDRINUSE;
    if (errno != ECONNREFUSED)
        return errno == ENOENT ? 0 : -errno;
    return unlink(at->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

static int bind_with(int fd, const struct sockaddr_un *at, mode_t mode)
{
    mode_t was = umask(0777 & ~mode);
    int r = bind(fd, (const struct sockaddr *)at, sizeof(*at)) < 0 ? -errno : 0;

    umask(was);
    return r;
}

int listen_unix(const char *path, mode_t mode, gid_t gid, int *ret_fd)
{
    _cleanup_(closep) int fd = unix_socket();
    struct sockaddr_un at;
    int r = fd < 0 ? fd : address_of(path, &at);

    if (r < 0)
        return r;
    r = bind_with(fd, &at, mode);
    if (r == -EADDRINUSE) {
        r = remove_stale(&at);
        if (r >= 0)
            r = bind_with(fd, &at, mode);
    }
    if (r < 0)
        return r;
    if ((gid != (gid_t)-1 && chown(path, (uid_t)-1, gid) < 0) || listen(fd, LISTEN_BACKLOG) < 0) {
        r = -errno;
        unlink(path);
        return r;
    }
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int listen_file_of(const char *path, struct listen_file *ret)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        return -errno;
    *ret = (struct listen_file){st.st_dev, st.st_ino};
    return 0;
}

bool listen_file_is(const char *path, const struct listen_file *f)
{
    struct listen_file now = {0};

    return listen_file_of(path, &now) == 0 && now.dev == f->dev && now.ino == f->ino;
}
