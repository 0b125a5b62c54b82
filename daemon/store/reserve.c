#include "store/reserve.h"
#include "base/err.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool grow(struct reserve *r, size_t len)
{
    _cleanup_(closep) int fd = open(r->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return false;
    if (posix_fallocate(fd, 0, (off_t)len) == 0) {
        r->len = len;
        return true;
    }
    if (r->len)
        (void)!ftruncate(fd, (off_t)r->len);
    else
        unlink(r->path);
    return false;
}

void reserve_open(struct reserve *r, const char *path)
{
    struct stat st;

    r->len = 0;
    if (snprintf(r->path, sizeof(r->path), "%s-reserve", path) >= (int)sizeof(r->path)) {
        r->path[0] = '\0';
        return;
    }
    /* Blocks, not the size: a file with a hole is no room. */
    if (lstat(r->path, &st) == 0 && (size_t)st.st_blocks * 512 >= RESERVE_LEN)
        r->len = RESERVE_LEN;
    else
        grow(r, RESERVE_LEN);
}

bool reserve_spend(struct reserve *r)
{
    if (!r->len)
        return false;
    r->len = 0;
    return unlink(r->path) == 0;
}

void reserve_refill(struct reserve *r)
{
    if (!r->path[0] || r->len == RESERVE_LEN || grow(r, RESERVE_LEN))
        return;
    for (size_t step = RESERVE_LEN / 2; step >= RESERVE_STEP; step /= 2)
        if (r->len + step < RESERVE_LEN)
            grow(r, r->len + step);
}
