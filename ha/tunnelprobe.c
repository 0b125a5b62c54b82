#include "ha/tunnelprobe.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "ha/echo.h"

#define RECEIVES_MAX 512 /* in one turn of the loop */
#define PACKET_MAX 256
#define LATE_TICKS_MAX                                                                             \
    3 /* that are made up for: the timer's, not those of a loop that stood still */

enum family { V4, V6, FAMILIES };

struct tunnelprobe {
    uv_timer_t timer;
    struct echo_line line[FAMILIES];
    struct tunnelprobe_ops ops;
    struct ip_addr *peers;
    unsigned count, stride, handles;
    uint32_t tick;
    uint16_t id;
    uint8_t cookie[ECHO_COOKIE_LEN];
    uint64_t began_ns, length_ns;
    bool stopping;
};

unsigned tunnelprobe_stride(unsigned peers)
{
    return MAX((peers + TUNNELPROBE_ASKED_MAX - 1) / TUNNELPROBE_ASKED_MAX, 1);
}

unsigned tunnelprobe_slots(const struct tunnelprobe *p)
{
    return p->tick / p->stride;
}

uint64_t tunnelprobe_age_ns(const struct tunnelprobe *p)
{
    return clock_boot_ns() - p->began_ns;
}

static void ask(struct tunnelprobe *p, unsigned peer, uint32_t slot)
{
    const struct ip_addr *to = &p->peers[peer];
    struct echo_line *line = &p->line[addr_is_v4(to) ? V4 : V6];
    struct endpoint e = {.addr = *to};
    struct sockaddr_storage sa;
    uint8_t echo[ECHO_LEN];
    unsigned len = endpoint_to_sockaddr(&e, &sa);

    echo_request(line->v6, p->id, (uint16_t)slot, p->cookie, echo);
    /* What cannot be sent is not answered: that is all there is to know. */
    sendto(line->fd, echo, sizeof(echo), MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&sa, len);
}

static void on_time(uv_timer_t *t)
{
    struct tunnelprobe *p = t->data;
    uint64_t age_ns = tunnelprobe_age_ns(p);

    if (age_ns >= p->length_ns) {
        uv_timer_stop(t);
        p->ops.ended(p->ops.ctx);
        return;
    }
    uint32_t now = (uint32_t)(age_ns / (TUNNELPROBE_TICK_MS * NS_PER_MS));
    uint32_t tick = now - p->tick > LATE_TICKS_MAX ? now : p->tick + 1;
    bool may = p->ops.may_ask(p->ops.ctx);
    for (; may && tick <= now; tick++)
        for (unsigned i = tick % p->stride; i < p->count; i += p->stride)
            ask(p, i, tick / p->stride);
    p->tick = now;
    p->ops.ticked(p->ops.ctx);
}

static int find(const struct tunnelprobe *p, const struct sockaddr_storage *from)
{
    struct endpoint e;

    if (endpoint_from_sockaddr((const struct sockaddr *)from, &e) < 0)
        return -1;
    for (unsigned i = 0; i < p->count; i++)
        if (addr_equal(&p->peers[i], &e.addr))
            return (int)i;
    return -1;
}

/* The slot that is nearest: another member counts from a moment before or after us. */
static uint32_t slot_of(const struct tunnelprobe *p, uint16_t seq)
{
    uint32_t now = p->tick / p->stride;

    return now - (uint32_t)(int16_t)((uint16_t)now - seq);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct echo_line *line = poll->data;
    struct tunnelprobe *p = line->owner;
    uint8_t packet[PACKET_MAX];

    for (unsigned i = 0; i < RECEIVES_MAX; i++) {
        struct sockaddr_storage from;
        socklen_t from_len = sizeof(from);
        ssize_t n = recvfrom(line->fd, packet, sizeof(packet), MSG_DONTWAIT | MSG_TRUNC,
                             (struct sockaddr *)&from, &from_len);
        size_t len = (size_t)n;

        if (n < 0)
            break;
        if (len > sizeof(packet) || !echo_is_answer(line->v6, packet, len, p->id, p->cookie))
            continue;
        int peer = find(p, &from);
        size_t head = line->v6 ? 0 : (packet[0] & 15u) * 4u;
        if (peer >= 0)
            p->ops.answered(p->ops.ctx, (unsigned)peer, slot_of(p, load_be16(packet + head + 6)));
    }
}

static void on_closed(uv_handle_t *h)
{
    struct tunnelprobe *p =
        h->type == UV_TIMER ? h->data : (struct tunnelprobe *)((struct echo_line *)h->data)->owner;

    if (--p->handles)
        return;
    free(p->peers);
    free(p);
}

int tunnelprobe_start(uv_loop_t *loop, const struct tunnelprobe_config *c,
                      const struct tunnelprobe_ops *ops, struct tunnelprobe **ret)
{
    struct tunnelprobe *p = calloc(1, sizeof(*p));
    int r = 0;

    if (!p || !(p->peers = calloc(c->count + 1, sizeof(*p->peers)))) {
        free(p);
        return -ENOMEM;
    }
    memcpy(p->peers, c->peers, c->count * sizeof(*p->peers));
    p->count = c->count;
    p->stride = c->stride;
    p->ops = *ops;
    p->length_ns = c->length_ns;
    store_be64(p->cookie, c->run);
    p->id = load_be16(p->cookie);
    p->began_ns = clock_boot_ns() - c->age_ns;
    p->tick = (uint32_t)(c->age_ns / (TUNNELPROBE_TICK_MS * NS_PER_MS));
    uv_timer_init(loop, &p->timer);
    p->timer.data = p;
    p->handles = 1;
    for (unsigned f = 0; f < FAMILIES; f++)
        p->line[f] = (struct echo_line){.owner = p, .fd = -1, .v6 = f == V6};
    for (unsigned f = 0; f < FAMILIES && r == 0; f++) {
        r = echo_line_open(loop, c->ifname, &p->line[f], on_readable);
        p->handles += p->line[f].fd >= 0;
    }
    if (r < 0) {
        tunnelprobe_stop(p);
        return r;
    }
    uv_timer_start(&p->timer, on_time, 0, TUNNELPROBE_TICK_MS);
    *ret = p;
    return 0;
}

void tunnelprobe_stop(struct tunnelprobe *p)
{
    if (!p || p->stopping)
        return;
    p->stopping = true;
    for (unsigned f = 0; f < FAMILIES; f++)
        echo_line_close(&p->line[f], on_closed);
    uv_close((uv_handle_t *)&p->timer, on_closed);
}
