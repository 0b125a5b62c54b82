#include "cli/meeting.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include <assert.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/socket.h>

#define OUT_MAX (SYNC_FRAME_MAX + 256) /* one message is under way at a time */
#define REASON_LEN 160

struct meeting {
    int fd;
    uint64_t until_ns;
    struct channel *channel;
    bool failed, unread;
    char reason[REASON_LEN];
    size_t out_len, in_len;
    uint8_t out[OUT_MAX];
    uint8_t in[SYNC_FRAME_MAX], said[SYNC_FRAME_MAX]; /* a message as it came, and as it goes */
};

static uint8_t *op_reserve(void *ctx, size_t len)
{
    struct meeting *m = ctx;
    uint8_t *at = m->out + m->out_len;

    if (len > OUT_MAX - m->out_len)
        return NULL;
    m->out_len += len;
    return at;
}

static void op_up(void *ctx, uint8_t member, const struct codec_key *key)
{
    /* channel_is_up() says so. */
}

static void op_failed(void *ctx, const char *reason)
{
    struct meeting *m = ctx;

    m->failed = true;
    snprintf(m->reason, sizeof(m->reason), "%s", reason);
}

/* Who speaks out of turn is not listened to: the bound of what is kept is one message. */
static void op_frame(void *ctx, const uint8_t *msg, size_t len)
{
    struct meeting *m = ctx;

    if (m->unread) {
        op_failed(m, "more was said than asked for");
        return;
    }
    memcpy(m->in, msg, len);
    m->in_len = len;
    m->unread = true;
}

static int fail(struct meeting *m, int error, const char *reason)
{
    if (!m->failed)
        op_failed(m, reason);
    return error;
}

static int wait_for(struct meeting *m, short events)
{
    uint64_t now = clock_boot_ns();
    struct pollfd p = {.fd = m->fd, .events = events};

    if (now >= m->until_ns || poll(&p, 1, (int)((m->until_ns - now) / NS_PER_MS) + 1) == 0)
        return fail(m, -ETIMEDOUT, "it did not answer in time");
    return 0;
}

static int flush(struct meeting *m)
{
    size_t at = 0;
    int r = 0;

    while (at < m->out_len && r == 0) {
        ssize_t n = send(m->fd, m->out + at, m->out_len - at, MSG_NOSIGNAL);

        if (n > 0)
            at += (size_t)n;
        else if (errno == EAGAIN || errno == EINTR)
            r = wait_for(m, POLLOUT);
        else
            r = fail(m, -errno, strerror(errno));
    }
    m->out_len = 0;
    return r;
}

/* Some bytes of it into the channel, and what the channel has to say to them. */
static int listen_once(struct meeting *m)
{
    uint8_t bytes[4096];
    ssize_t n;
    int r = wait_for(m, POLLIN);

    if (r < 0)
        return r;
    n = recv(m->fd, bytes, sizeof(bytes), 0);
    if (n == 0)
        return fail(m, -EPIPE, "it hung up");
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : fail(m, -errno, strerror(errno));
    channel_input(m->channel, bytes, (size_t)n, clock_boot_ns());
    r = flush(m);
    return m->failed ? -EPROTO : r;
}

struct meeting *meeting_open(int fd, const struct channel_identity *id, uint64_t until_ns)
{
    struct meeting *m = sodium_malloc(sizeof(*m));
    struct channel_ops ops = {
        .ctx = m, .reserve = op_reserve, .up = op_up, .frame = op_frame, .failed = op_failed};
    uint64_t now = clock_boot_ns();

    if (!m) {
        close(fd);
        return NULL;
    }
    memset(m, 0, sizeof(*m));
    m->fd = fd;
    m->until_ns = until_ns;
    m->channel = channel_new(id, &ops, &rng_system, now);
    if (!m->channel) {
        meeting_close(m);
        return NULL;
    }
    if (id->self == INVITATION_JOINER)
        channel_start(m->channel, INVITATION_INVITER, now);
    int r = flush(m);
    while (r >= 0 && !m->failed && !channel_is_up(m->channel))
        r = listen_once(m);
    return m;
}

void meeting_extend(struct meeting *m, uint64_t until_ns)
{
    m->until_ns = until_ns;
}

bool meeting_is_proved(const struct meeting *m)
{
    return !m->failed && channel_is_up(m->channel);
}

int meeting_send(struct meeting *m, enum invitation_kind kind, const void *body, size_t len)
{
    int r;

    if (m->failed)
        return -EPROTO;
    assert(len <= INVITATION_BODY_MAX);
    m->said[0] = (uint8_t)kind;
    if (len)
        memcpy(m->said + 1, body, len);
    channel_send(m->channel, m->said, 1 + len);
    r = flush(m);
    return m->failed ? -EPROTO : r;
}

int meeting_receive(struct meeting *m, enum invitation_kind kind, struct invitation_message *ret)
{
    struct invitation_message message;
    int r = m->failed ? -EPROTO : 0;

    while (r >= 0 && !m->unread)
        r = listen_once(m);
    if (r < 0)
        return r;
    m->unread = false;
    if (invitation_parse(m->in, m->in_len, &message) < 0)
        return fail(m, -EPROTO, "it said what cannot be understood; is it of another version?");
    if (message.kind != kind && message.kind != INVITATION_REFUSE)
        return fail(m, -EPROTO, "it said something that was not its turn");
    *ret = message;
    return message.kind == kind ? 0 : -ECANCELED;
}

const char *meeting_reason(const struct meeting *m)
{
    return m->reason;
}

void meeting_close(struct meeting *m)
{
    if (!m)
        return;
    close(m->fd);
    channel_free(m->channel);
    sodium_free(m); /* wipes */
}
