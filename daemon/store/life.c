#include "store/life.h"
#include "base/bytes.h"
#include "base/err.h"
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#define FILE_MAX 1024
#define CHECK_LEN 16

/* What is written in place of a boot id or machine id that cannot be read. */
#define UNKNOWN "-"

static int read_small(int dir_fd, const char *name, char *buf, size_t room)
{
    _cleanup_(closep) int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    size_t len = 0;
    ssize_t n;

    if (fd < 0)
        return -errno;
    while (len < room - 1 && (n = read(fd, buf + len, room - 1 - len)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        len += (size_t)n;
    }
    buf[len] = '\0';
    return (int)len;
}

/* First line of a file of the system; UNKNOWN if there is none. */
static void read_name(const char *path, char *ret, size_t room)
{
    char buf[FILE_MAX];

    buf[0] = '\0';
    read_small(AT_FDCWD, path, buf, sizeof(buf));
    buf[strcspn(buf, " \t\r\n")] = '\0';
    snprintf(ret, room, "%s", buf[0] ? buf : UNKNOWN);
}

/* machine-id(5) asks that the id itself is not spread: a keyed hash of it is kept. */
static void read_machine(const char *path, uint8_t ret[LIFE_MACHINE_LEN])
{
    static const unsigned char key[crypto_generichash_KEYBYTES] = "guardmount life machine";
    char name[FILE_MAX];

    read_name(path, name, sizeof(name));
    crypto_generichash(ret, LIFE_MACHINE_LEN, (const uint8_t *)name, strlen(name), key,
                       sizeof(key));
}

static void checksum(const char *text, size_t len, char ret[2 * CHECK_LEN + 1])
{
    uint8_t sum[CHECK_LEN];

    crypto_generichash(sum, sizeof(sum), (const uint8_t *)text, len, NULL, 0);
    hex_encode(sum, sizeof(sum), ret);
}

static int life_format(const struct life *l, char *buf, size_t room)
{
    const struct life_file *f = &l->file;
    char machine[2 * LIFE_MACHINE_LEN + 1], check[2 * CHECK_LEN + 1];
    int len;

    hex_encode(f->machine, LIFE_MACHINE_LEN, machine);
    len = snprintf(buf, room,
                   "guardmount life 1\n"
                   "member %u\n"
                   "seq %" PRIu64 "\n"
                   "started %" PRIu64 "\n"
                   "unproved %" PRIu64 "\n"
                   "stamps %" PRIu64 "\n"
                   "machine %s\n"
                   "boot %s\n",
                   f->member, l->seq, f->started_boot_ns, f->unproved_boot_ns, f->stamps_until_ns,
                   machine, f->boot_id);
    checksum(buf, (size_t)len, check);
    return len + snprintf(buf + len, room - (size_t)len, "check %s\n", check);
}

/* -EBADMSG for anything but what life_format() writes. */
static int life_parse(const char *buf, size_t len, struct life *ret)
{
    static const char mark[] = "\ncheck ";
    struct life l = {0};
    struct life_file *f = &l.file;
    char machine[2 * LIFE_MACHINE_LEN + 1], check[2 * CHECK_LEN + 1], again[FILE_MAX];
    unsigned member;
    const char *tail = strstr(buf, mark);

    if (!tail || strlen(buf) != len)
        return -EBADMSG;
    checksum(buf, (size_t)(tail + 1 - buf), check);
    if (strncmp(tail + strlen(mark), check, 2 * CHECK_LEN) != 0)
        return -EBADMSG;
    if (sscanf(buf,
               "guardmount life 1\nmember %u\nseq %" SCNu64 "\nstarted %" SCNu64
               "\nunproved %" SCNu64 "\nstamps %" SCNu64 "\nmachine %32s\nboot %39s\n",
               &member, &l.seq, &f->started_boot_ns, &f->unproved_boot_ns, &f->stamps_until_ns,
               machine, f->boot_id) != 7 ||
        member > UINT8_MAX || !hex_decode(machine, strlen(machine), f->machine, LIFE_MACHINE_LEN))
        return -EBADMSG;
    f->member = (uint8_t)member;
    if ((size_t)life_format(&l, again, sizeof(again)) != len || memcmp(again, buf, len) != 0)
        return -EBADMSG;
    *ret = l;
    return 0;
}

static int write_all(int fd, const char *buf, size_t len)
{
    while (len) {
        ssize_t n = write(fd, buf, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        buf += n;
        len -= (size_t)n;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

static int life_write(const char *dir, const struct life *l)
{
    char buf[FILE_MAX];
    int len = life_format(l, buf, sizeof(buf));
    _cleanup_(closep) int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_(closep) int fd = -1;
    int r;

    if (dir_fd < 0)
        return -errno;
    fd = openat(dir_fd, "life.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    r = write_all(fd, buf, (size_t)len);
    if (r >= 0 && renameat(dir_fd, "life.new", dir_fd, "life") < 0)
        r = -errno;
    if (r < 0) {
        unlinkat(dir_fd, "life.new", 0);
        return r;
    }
    return fsync(dir_fd) < 0 ? -errno : 0;
}

static void __attribute__((format(printf, 2, 3))) doubt(struct life *l, const char *format, ...)
{
    va_list args;

    if (!l->proved) /* the first reason is the one to repair */
        return;
    l->proved = false;
    va_start(args, format);
    vsnprintf(l->reason, sizeof(l->reason), format, args);
    va_end(args);
}

/* -EALREADY: another process has it. Other errors are for doubt(). */
static int take_lock(const char *dir, int *ret_fd)
{
    _cleanup_(closep) int fd = -1;
    char path[PATH_MAX];

    if (snprintf(path, sizeof(path), "%s/lock", dir) >= (int)sizeof(path))
        return -ENAMETOOLONG;
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? -EALREADY : -errno;
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* What the last life left: its number, and whether that proves anything (N6). */
static void take_last(struct life *l, const struct life *last, uint64_t boot_ns)
{
    const struct life_file *was = &last->file;
    bool same_boot =
        strcmp(was->boot_id, l->file.boot_id) == 0 && strcmp(was->boot_id, UNKNOWN) != 0;

    l->seq = last->seq + 1;
    l->stamp_floor = l->file.stamps_until_ns = was->stamps_until_ns;
    if (same_boot && was->started_boot_ns + RESTART_MIN_NS > boot_ns)
        l->wait_ns = was->started_boot_ns + RESTART_MIN_NS - boot_ns;
    if (memcmp(was->machine, l->file.machine, LIFE_MACHINE_LEN) != 0)
        doubt(l, "the state directory comes from another machine");
    if (was->member != l->file.member)
        doubt(l, "the state directory is member %u's", was->member);
    if (was->unproved_boot_ns && same_boot && boot_ns >= was->unproved_boot_ns + LIFE_QUARANTINE_NS)
        return;
    if (was->unproved_boot_ns) {
        doubt(l, "an earlier start, less than 540 s ago or before a reboot, was not proved");
        if (same_boot)
            l->file.unproved_boot_ns = was->unproved_boot_ns;
    }
}

int life_begin_on(const struct life_host *host, const char *dir, uint8_t member, uint64_t boot_ns,
                  uint64_t real_ns, struct life *ret)
{
    struct life l = {.seq = 1, .proved = true, .lock_fd = -1, .file.member = member}, last;
    char path[PATH_MAX], buf[FILE_MAX];
    int r = take_lock(dir, &l.lock_fd);

    if (r == -EALREADY)
        return r;
    if (r < 0)
        doubt(&l, "the state directory cannot be locked: %s", strerror(-r));
    read_name(host->boot_id_path, l.file.boot_id, sizeof(l.file.boot_id));
    read_machine(host->machine_id_path, l.file.machine);

    if (snprintf(path, sizeof(path), "%s/life", dir) >= (int)sizeof(path))
        r = -ENAMETOOLONG;
    else
        r = read_small(AT_FDCWD, path, buf, sizeof(buf));
    if (r == -ENOENT)
        doubt(&l, "no life file: a first start, or the state was lost");
    else if (r < 0)
        doubt(&l, "the life file cannot be read: %s", strerror(-r));
    else if (life_parse(buf, (size_t)r, &last) < 0)
        doubt(&l, "the life file is damaged");
    else
        take_last(&l, &last, boot_ns);
    l.file.started_boot_ns = boot_ns + l.wait_ns;
    if (!l.proved && !l.file.unproved_boot_ns)
        l.file.unproved_boot_ns = MAX(boot_ns, 1ull);

    r = life_write(dir, &l);
    if (r < 0)
        doubt(&l, "the life file cannot be written: %s", strerror(-r));
    *ret = l;
    return 0;
}

int life_begin(const char *dir, uint8_t member, uint64_t boot_ns, uint64_t real_ns,
               struct life *ret)
{
    static const struct life_host here = {
        .machine_id_path = "/etc/machine-id",
        .boot_id_path = "/proc/sys/kernel/random/boot_id",
    };

    return life_begin_on(&here, dir, member, boot_ns, real_ns, ret);
}

int life_raise(const char *dir, struct life *l, uint64_t seen_seq)
{
    int r;

    if (seen_seq < l->seq)
        return 0;
    if (seen_seq == UINT64_MAX)
        return -ERANGE;
    l->seq = seen_seq + 1;
    r = life_write(dir, l);
    if (r < 0)
        doubt(l, "the start number cannot be written: %s", strerror(-r));
    return r;
}

int life_reserve_stamps(const char *dir, struct life *l, uint64_t stamp_ns, uint64_t real_ns)
{
    uint64_t was = l->file.stamps_until_ns;
    int r;

    /* Renewed when half is left, so that it is never waited for. */
    if (real_ns + STAMP_RESERVE_NS / 2 <= was && stamp_ns + STAMP_STEP_NS / 2 <= was)
        return 0;
    l->file.stamps_until_ns = MAX(real_ns + STAMP_RESERVE_NS, stamp_ns + STAMP_STEP_NS);
    r = life_write(dir, l);
    if (r < 0)
        l->file.stamps_until_ns = was;
    return r;
}

void life_end(struct life *l)
{
    if (l->lock_fd >= 0)
        close(l->lock_fd);
    l->lock_fd = -1;
}
