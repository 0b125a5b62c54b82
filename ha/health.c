#include "ha/health.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "model/ids.h"

#define NAME_LEN_MAX 32

static int write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, text, len);

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            text += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

int health_put(const char *dir, const char *name, const char *text)
{
    _cleanup_(closep) int dir_fd = -1;
    _cleanup_(closep) int fd = -1;
    char temporary[NAME_LEN_MAX];
    int r;

    r = snprintf(temporary, sizeof(temporary), ".%s.new", name);
    if (r < 0 || (size_t)r >= sizeof(temporary))
        return -ENAMETOOLONG;
    dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return -errno;
    fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return -errno;
    r = write_all(fd, text, strlen(text));
    if (r == 0 && fchmod(fd, 0644) < 0) /* a keepalived that is not root reads it too */
        r = -errno;
    if (r == 0 && renameat(dir_fd, temporary, dir_fd, name) < 0)
        r = -errno;
    if (r < 0)
        unlinkat(dir_fd, temporary, 0);
    return r;
}

static const char *health_name(char name[NAME_LEN_MAX], uint16_t vip)
{
    if (vip == HEALTH_OF_ALL)
        return HEALTH_FILE;
    snprintf(name, NAME_LEN_MAX, HEALTH_FILE "-%u", vip);
    return name;
}

int health_raise(const char *dir, uint16_t vip)
{
    char name[NAME_LEN_MAX];

    return health_put(dir, health_name(name, vip), "1\n");
}

int health_remove(const char *dir, uint16_t vip)
{
    _cleanup_(closep) int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    char name[NAME_LEN_MAX];

    if (dir_fd < 0)
        return -errno;
    if (unlinkat(dir_fd, health_name(name, vip), 0) < 0 && errno != ENOENT)
        return -errno;
    return 0;
}

int health_remove_all(const char *dir, const struct vip *vips, unsigned count)
{
    int r = health_remove(dir, HEALTH_OF_ALL), one;

    for (unsigned i = 0; i < count; i++)
        if ((one = health_remove(dir, vips[i].id)) < 0 && r == 0)
            r = one;
    return r;
}

int weight_write(const char *dir, uint16_t vip, int weight)
{
    char name[NAME_LEN_MAX], text[16];

    if (weight < -WEIGHT_MAX || weight > WEIGHT_MAX)
        return -ERANGE;
    snprintf(name, sizeof(name), WEIGHT_FILE "-%u", vip);
    snprintf(text, sizeof(text), "%d\n", weight);
    return health_put(dir, name, text);
}

int drained_save(const char *dir, const uint16_t *vips, unsigned count)
{
    char text[VIPS_MAX * sizeof("65535 ")];
    size_t len = 0;

    for (unsigned i = 0; i < count && len < sizeof(text); i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%u", i ? " " : "", vips[i]);
    snprintf(text + len, sizeof(text) - len, "\n");
    return health_put(dir, DRAINED_FILE, text);
}

unsigned drained_load(const char *dir, uint16_t *ret, unsigned max)
{
    char path[PATH_MAX];
    unsigned count = 0, vip;

    snprintf(path, sizeof(path), "%s/" DRAINED_FILE, dir);
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    while (count < max && fscanf(f, "%u", &vip) == 1)
        if (vip >= 1 && vip <= UINT16_MAX)
            ret[count++] = (uint16_t)vip;
    fclose(f);
    return count;
}
