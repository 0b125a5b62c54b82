#include "cli/place.h"
#include "base/err.h"
#include "cli/cli.h"
#include "ha/render.h"
#include <fcntl.h>
#include <grp.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int place_read(const char *path, char **ret_text, size_t *ret_len)
{
    _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    char *text = fd < 0 ? NULL : sodium_malloc(PLACE_TEXT_MAX + 1);
    size_t len = 0;
    ssize_t n = 1;

    if (!text)
        return fd < 0 ? -errno : -ENOMEM;
    while (n > 0 && len <= PLACE_TEXT_MAX) {
        n = read(fd, text + len, PLACE_TEXT_MAX + 1 - len);
        len += n > 0 ? (size_t)n : 0;
    }
    if (n < 0 || len > PLACE_TEXT_MAX) {
        int r = n < 0 ? -errno : -EFBIG;

        sodium_free(text);
        return r;
    }
    text[len] = '\0';
    *ret_text = text;
    *ret_len = len;
    return 0;
}

int place_prepare(const char *path, const char *text, size_t len,
                  const struct conftext_change *change, struct placing *ret,
                  char error[CONF_ERROR_LEN])
{
    size_t room = PLACE_TEXT_MAX + 1;
    int r;

    *ret = (struct placing){.text = sodium_malloc(room)};
    r = ret->text ? conftext_change(text, len, change, ret->text, room, &ret->len) : -ENOMEM;
    if (r < 0)
        snprintf(error, CONF_ERROR_LEN, "%s: %s", path,
                 r == -ENOSPC ? "is too long to be changed by a command" : strerror(-r));
    else
        r = conf_parse(path, ret->text, ret->len, &ret->conf, error);
    if (r >= 0) {
        r = render_keepalived(ret->conf, &ret->keepalived, error);
        r = r == -ENOENT ? 0 : r; /* a member without a VIP needs no keepalived */
    }
    if (r < 0)
        place_done(ret);
    return r;
}

void place_done(struct placing *p)
{
    sodium_free(p->text); /* wipes */
    conf_free(p->conf);
    free(p->keepalived);
    *p = (struct placing){0};
}

static int write_new(const char *path, const struct placing *p)
{
    const struct group *service = geteuid() == 0 ? getgrnam(CONF_GROUP) : NULL;
    struct stat st = {.st_uid = geteuid(), .st_gid = service ? service->gr_gid : getegid()};

    if (lstat(path, &(struct stat){0}) == 0)
        return -EEXIST;
    return cli_replace_file(path, p->text, p->len, service ? 0640 : 0600, &st);
}

static int write_changed(const char *path, const struct placing *p)
{
    char real[PATH_MAX];
    struct stat st;

    /* A link stays one. */
    if (!realpath(path, real) || stat(real, &st) < 0)
        return -errno;
    return cli_replace_file(real, p->text, p->len, st.st_mode & 07777, &st);
}

/* Of `ha render`, or nothing at all. */
static bool may_replace(const char *path)
{
    char head[sizeof(RENDER_MARK) - 1];
    _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
    ssize_t n;

    if (fd < 0)
        return errno == ENOENT;
    n = read(fd, head, sizeof(head));
    return n == 0 || (n == sizeof(head) && memcmp(head, RENDER_MARK, sizeof(head)) == 0);
}

static bool holds(const char *path, const char *text)
{
    char *now;
    size_t len;
    bool same;

    if (place_read(path, &now, &len) < 0)
        return false;
    same = strlen(text) == len && memcmp(now, text, len) == 0;
    sodium_free(now);
    return same;
}

static int write_keepalived(struct placing *p, const char *path)
{
    const char *slash = strrchr(path, '/');
    int dir = slash ? (int)(slash - path) + 1 : 0;

    if (strlen(path) > PATH_MAX - sizeof("conf.d/guardmount.conf"))
        return -ENAMETOOLONG;
    p->included = !may_replace(path);
    strcpy(p->where, path);
    if (p->included) {
        sprintf(p->where, "%.*sconf.d", dir, path);
        if (mkdir(p->where, 0755) < 0 && errno != EEXIST)
            return -errno;
        strcat(p->where, "/guardmount.conf");
    }
    p->changed = !holds(p->where, p->keepalived);
    return !p->changed
               ? 0
               : cli_replace_file(p->where, p->keepalived, strlen(p->keepalived), 0644, NULL);
}

int place_write(struct placing *p, const char *path, const char *keepalived, bool fresh,
                const char **ret_path)
{
    int r = fresh ? write_new(path, p) : write_changed(path, p);

    *ret_path = path;
    if (r < 0 || !p->keepalived)
        return r;
    *ret_path = keepalived;
    return write_keepalived(p, keepalived);
}
