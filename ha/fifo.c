#include "ha/fifo.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <uv.h>

#include "base/bytes.h"
#include "base/err.h"

static const char *const state_names[] = {
    [FIFO_MASTER] = "MASTER",
    [FIFO_BACKUP] = "BACKUP",
    [FIFO_FAULT] = "FAULT",
    [FIFO_STOP] = "STOP",
    [FIFO_RX_LOWER] = "MASTER_RX_LOWER_PRI",
    [FIFO_MASTER_PRIORITY] = "MASTER_PRIORITY",
    [FIFO_BACKUP_PRIORITY] = "BACKUP_PRIORITY",
    [FIFO_OTHER] = "other",
};

const char *fifo_state_name(enum fifo_state state)
{
    return state_names[state];
}

/* ---- lines ---- */

/* A word up to the next blank; NULL: none. */
static const char *take_word(const char **p, const char *end, size_t *ret_len)
{
    const char *word = *p;

    while (*p < end && **p != ' ')
        (*p)++;
    *ret_len = (size_t)(*p - word);
    return *ret_len ? word : NULL;
}

static bool take_blank(const char **p, const char *end)
{
    if (*p == end || **p != ' ')
        return false;
    (*p)++;
    return true;
}

static bool take_name(const char **p, const char *end, char ret[FIFO_NAME_MAX + 1])
{
    const char *close;
    size_t len;

    if (*p == end || **p != '"')
        return false;
    (*p)++;
    close = memchr(*p, '"', (size_t)(end - *p));
    if (!close)
        return false;
    len = (size_t)(close - *p);
    if (len == 0 || len > FIFO_NAME_MAX)
        return false;
    memcpy(ret, *p, len);
    ret[len] = '\0';
    *p = close + 1;
    return true;
}

static bool state_from_word(const char *word, size_t len, enum fifo_state *ret)
{
    for (size_t i = 0; i < len; i++)
        if (word[i] != '_' && (word[i] < 'A' || word[i] > 'Z'))
            return false;
    *ret = FIFO_OTHER;
    for (unsigned s = 0; s < FIFO_OTHER; s++)
        if (strlen(state_names[s]) == len && memcmp(state_names[s], word, len) == 0)
            *ret = (enum fifo_state)s;
    return true;
}

static bool priority_from_word(const char *word, size_t len, unsigned *ret)
{
    unsigned value = 0;

    for (size_t i = 0; i < len; i++) {
        if (word[i] < '0' || word[i] > '9')
            return false;
        value = value * 10 + (unsigned)(word[i] - '0');
        if (value > FIFO_PRIORITY_MAX)
            return false;
    }
    *ret = value;
    return true;
}

bool fifo_parse(const char *text, size_t len, struct fifo_line *ret)
{
    const char *p = text, *end = text + len, *word;
    struct fifo_line line = {0};
    size_t word_len;

    if (memchr(text, '\0', len))
        return false;
    word = take_word(&p, end, &word_len);
    if (!word)
        return false;
    if (word_len == strlen("GROUP") && memcmp(word, "GROUP", word_len) == 0)
        line.group = true;
    else if (word_len != strlen("INSTANCE") || memcmp(word, "INSTANCE", word_len) != 0)
        return false;
    if (!take_blank(&p, end) || !take_name(&p, end, line.name) || !take_blank(&p, end))
        return false;
    word = take_word(&p, end, &word_len);
    if (!word || !state_from_word(word, word_len, &line.state) || !take_blank(&p, end))
        return false;
    word = take_word(&p, end, &word_len);
    if (!word || !priority_from_word(word, word_len, &line.priority) || p != end)
        return false;
    *ret = line;
    return true;
}

static void whole_line(struct fifo_parser *p, const char *text, size_t len, fifo_line_fn *fn,
                       void *ctx)
{
    struct fifo_line line;

    if (fifo_parse(text, len, &line)) {
        p->lines++;
        fn(ctx, &line);
    } else {
        p->junk++;
    }
}

static void keep_part(struct fifo_parser *p, const char *bytes, size_t len)
{
    if (p->skipping)
        return;
    if (p->len + len > sizeof(p->part)) {
        p->skipping = true;
        p->len = 0;
        return;
    }
    memcpy(p->part + p->len, bytes, len);
    p->len += len;
}

void fifo_parser_feed(struct fifo_parser *p, const char *bytes, size_t len, fifo_line_fn *fn,
                      void *ctx)
{
    while (len > 0) {
        const char *newline = memchr(bytes, '\n', len);
        size_t piece = newline ? (size_t)(newline - bytes) : len;

        keep_part(p, bytes, piece);
        if (!newline)
            return;
        if (p->skipping)
            p->junk++;
        else
            whole_line(p, p->part, p->len, fn, ctx);
        p->skipping = false;
        p->len = 0;
        bytes += piece + 1;
        len -= piece + 1;
    }
}

void fifo_parser_clear(struct fifo_parser *p)
{
    if (p->len > 0 || p->skipping)
        p->junk++;
    p->len = 0;
    p->skipping = false;
}

bool fifo_vip(const struct fifo_line *line, uint16_t *ret_vip, enum fifo_part *ret_part)
{
    char number[8];
    const char *tail;
    size_t digits;
    uint64_t id;
    enum fifo_part part;

    if (strncmp(line->name, FIFO_NAME_PREFIX, strlen(FIFO_NAME_PREFIX)) != 0)
        return false;
    tail = line->name + strlen(FIFO_NAME_PREFIX);
    digits = strspn(tail, "0123456789");
    if (digits == 0 || digits >= sizeof(number))
        return false;
    memcpy(number, tail, digits);
    number[digits] = '\0';
    tail += digits;
    if (strcmp(tail, "") == 0)
        part = FIFO_WHOLE;
    else if (strcmp(tail, FIFO_OUTER_SUFFIX) == 0)
        part = FIFO_OUTER;
    else if (strcmp(tail, FIFO_INNER_SUFFIX) == 0)
        part = FIFO_INNER;
    else
        return false;
    if (!parse_u64(number, 1, UINT16_MAX, &id))
        return false;
    *ret_vip = (uint16_t)id;
    *ret_part = part;
    return true;
}

/* ---- the reader ---- */

struct fifo {
    uv_poll_t poll;
    uv_timer_t timer;
    struct fifo_ops ops;
    struct fifo_parser parser;
    char *path;
    int fd;
    bool writer, draining, closing;
    unsigned handles; /* of the loop, not yet closed */
};

int fifo_create(const char *path)
{
    struct stat st;

    if (mkfifo(path, 0600) < 0) {
        if (errno != EEXIST)
            return -errno;
        if (lstat(path, &st) < 0)
            return -errno;
        if (!S_ISFIFO(st.st_mode))
            return -ENOTSUP;
    }
    return 0;
}

/* A descriptor, or a negative errno. */
static int open_end(const char *path)
{
    struct stat st;
    int fd, r;

    r = fifo_create(path);
    if (r < 0)
        return r;
    fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode)) {
        close(fd);
        return -ENOTSUP;
    }
    return fd;
}

static void set_writer(struct fifo *f, bool present)
{
    if (f->writer == present)
        return;
    f->writer = present;
    if (!present)
        fifo_parser_clear(&f->parser); /* it died inside a line */
    f->ops.writer(f->ops.ctx, present);
}

static void on_line(void *ctx, const struct fifo_line *line)
{
    struct fifo *f = ctx;

    if (!f->closing)
        f->ops.line(f->ops.ctx, line);
}

static void read_all(struct fifo *f)
{
    char bytes[4096];

    for (unsigned i = 0; i < FIFO_READS_MAX && !f->closing; i++) {
        ssize_t n = read(f->fd, bytes, sizeof(bytes));

        if (n > 0) {
            set_writer(f, true);
            fifo_parser_feed(&f->parser, bytes, (size_t)n, on_line, f);
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else {
            /* Empty: a writer is there if read() would block. */
            set_writer(f, n < 0 && errno == EAGAIN);
            return;
        }
    }
}

static void on_readable(uv_poll_t *poll, int status, int events);
static void on_timer(uv_timer_t *timer);

/* A FIFO that lost its last writer is readable (hang-up) for ever: polling it would spin. So it is
 * looked at by timer until a writer is back. */
static void wait_for_more(struct fifo *f)
{
    if (f->closing)
        return;
    if (f->writer && !uv_is_active((uv_handle_t *)&f->poll) &&
        uv_poll_start(&f->poll, UV_READABLE, on_readable) == 0) {
        uv_timer_stop(&f->timer);
    } else if (!f->writer && !uv_is_active((uv_handle_t *)&f->timer)) {
        uv_poll_stop(&f->poll);
        uv_timer_start(&f->timer, on_timer, FIFO_RETRY_MS, FIFO_RETRY_MS);
    }
}

void fifo_drain(struct fifo *f)
{
    if (f->draining || f->closing)
        return;
    f->draining = true;
    read_all(f);
    f->draining = false;
    wait_for_more(f);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    fifo_drain(poll->data); /* an error shows itself there as well */
}

/* Somebody may have unlinked the FIFO while no keepalived had it; then the next keepalived uses
 * another inode. The descriptor is exchanged in place: no poll is on it now. */
static void follow_path(struct fifo *f)
{
    struct stat here, there;
    int fd;

    if (fstat(f->fd, &here) == 0 && lstat(f->path, &there) == 0 && here.st_dev == there.st_dev &&
        here.st_ino == there.st_ino)
        return;
    fd = open_end(f->path);
    if (fd < 0)
        return;
    dup3(fd, f->fd, O_CLOEXEC);
    close(fd);
}

static void on_timer(uv_timer_t *timer)
{
    struct fifo *f = timer->data;

    follow_path(f);
    fifo_drain(f);
}

static void on_closed(uv_handle_t *handle)
{
    struct fifo *f = handle->data;

    if (--f->handles > 0)
        return;
    close(f->fd);
    free(f->path);
    free(f);
}

int fifo_open(uv_loop_t *loop, const char *path, const struct fifo_ops *ops, struct fifo **ret)
{
    struct fifo *f = calloc(1, sizeof(*f));
    int r = -ENOMEM;

    if (!f)
        return -ENOMEM;
    f->ops = *ops;
    f->path = strdup(path);
    if (!f->path)
        goto fail;
    r = f->fd = open_end(path);
    if (r < 0)
        goto fail;
    r = uv_poll_init(loop, &f->poll, f->fd);
    if (r < 0)
        goto fail_fd;
    uv_timer_init(loop, &f->timer);
    f->poll.data = f->timer.data = f;
    f->handles = 2;
    *ret = f;
    fifo_drain(f);
    return 0;

fail_fd:
    close(f->fd);
fail:
    free(f->path);
    free(f);
    return r;
}

bool fifo_has_writer(const struct fifo *f)
{
    return f->writer;
}

void fifo_counters(const struct fifo *f, uint64_t *ret_lines, uint64_t *ret_junk)
{
    *ret_lines = f->parser.lines;
    *ret_junk = f->parser.junk;
}

void fifo_close(struct fifo *f)
{
    if (!f || f->closing)
        return;
    f->closing = true;
    uv_poll_stop(&f->poll);
    uv_close((uv_handle_t *)&f->poll, on_closed);
    uv_close((uv_handle_t *)&f->timer, on_closed);
}
