#include "ha/lanprobe.h"

#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <uv.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/rng.h"
#include "conf/conf.h"
#include "ha/echo.h"

#define RECEIVES_MAX 32 /* in one turn of the loop */
#define PACKET_MAX 256

enum family { V4, V6, FAMILIES };

struct lan {
    struct lanprobe *owner;
    struct conf_lan conf;
    struct echo_line line[FAMILIES];
    uint64_t first_ns, answer_ns;
    unsigned bit;
};

struct lanprobe {
    uv_timer_t timer;
    uv_loop_t *loop;
    struct lanprobe_ops ops;
    struct lan lans[CONF_LANS_MAX];
    unsigned count, handles;
    uint16_t id, seq;
    uint8_t cookie[ECHO_COOKIE_LEN];
    uint32_t known, alive;
    uint64_t asked_ns;
    bool stopping;
};

/* ---- pure parts ---- */

enum lan_verdict lan_verdict(uint64_t first_ns, uint64_t answer_ns, uint64_t now_ns)
{
    if (answer_ns && now_ns - answer_ns < LANPROBE_DEAD_NS)
        return LAN_ALIVE;
    if (!answer_ns && (!first_ns || now_ns - first_ns < LANPROBE_FIRST_NS))
        return LAN_UNKNOWN;
    return LAN_DEAD;
}

/* ---- sockets ---- */

static bool is_probe(const struct lan *l, const struct sockaddr_storage *from)
{
    struct endpoint e;

    if (endpoint_from_sockaddr((const struct sockaddr *)from, &e) < 0)
        return false;
    for (unsigned i = 0; i < l->conf.probe_count; i++)
        if (memcmp(e.addr.b, l->conf.probe[i].b, sizeof(e.addr.b)) == 0)
            return true;
    return false;
}

static void report(struct lanprobe *p)
{
    uint64_t now = clock_boot_ns();
    uint32_t known = 0, alive = 0;

    for (unsigned i = 0; i < p->count; i++) {
        const struct lan *l = &p->lans[i];
        enum lan_verdict v = lan_verdict(l->first_ns, l->answer_ns, now);

        known |= (uint32_t)(v != LAN_UNKNOWN) << l->bit;
        alive |= (uint32_t)(v == LAN_ALIVE) << l->bit;
    }
    if (known == p->known && alive == p->alive)
        return;
    p->known = known;
    p->alive = alive;
    p->ops.changed(p->ops.ctx, known, alive);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct echo_line *line = poll->data;
    struct lan *l = line->owner;
    uint8_t packet[PACKET_MAX];

    for (unsigned i = 0; i < RECEIVES_MAX; i++) {
        struct sockaddr_storage from;
        socklen_t len = sizeof(from);
        ssize_t n = recvfrom(line->fd, packet, sizeof(packet), MSG_DONTWAIT | MSG_TRUNC,
                             (struct sockaddr *)&from, &len);

        if (n < 0)
            break;
        if ((size_t)n <= sizeof(packet) && is_probe(l, &from) &&
            echo_is_answer(line->v6, packet, (size_t)n, l->owner->id, l->owner->cookie))
            l->answer_ns = clock_boot_ns();
    }
    report(l->owner);
}

static void on_closed(uv_handle_t *h)
{
    struct lanprobe *p =
        h->type == UV_TIMER ? h->data : ((struct lan *)((struct echo_line *)h->data)->owner)->owner;

    if (--p->handles == 0)
        free(p);
}

static void ask(struct lanprobe *p, struct lan *l, const struct ip_addr *to)
{
    struct echo_line *line = &l->line[addr_is_v4(to) ? V4 : V6];
    struct endpoint e = {.addr = *to};
    struct sockaddr_storage sa;
    uint8_t echo[ECHO_LEN];
    unsigned len = endpoint_to_sockaddr(&e, &sa);

    if (line->fd < 0)
        return;
    echo_request(line->v6, p->id, p->seq, p->cookie, echo);
    /* What cannot be sent is not answered: that is all there is to know. */
    if (sendto(line->fd, echo, sizeof(echo), MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&sa,
               len) < 0 &&
        (errno == ENODEV || errno == ENXIO)) { /* the interface was made anew */
        char *name = l->conf.ifname;

        setsockopt(line->fd, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name));
    }
}

static void on_time(uv_timer_t *t)
{
    struct lanprobe *p = t->data;
    uint64_t now = clock_boot_ns();

    /* We stood still: what is in the sockets is of another time, and its lack says nothing. */
    bool gap = p->asked_ns && now - p->asked_ns > LANPROBE_DEAD_NS / 2;

    p->asked_ns = now;
    p->seq++;
    for (unsigned i = 0; i < p->count; i++) {
        struct lan *l = &p->lans[i];

        if (gap)
            l->first_ns = l->answer_ns = 0;
        for (unsigned a = 0; a < l->conf.probe_count; a++)
            ask(p, l, &l->conf.probe[a]);
        if (!l->first_ns && l->conf.probe_count)
            l->first_ns = now;
    }
    report(p);
}

int lanprobe_start(uv_loop_t *loop, const struct conf_lan *lans, unsigned count,
                   const struct rng *rng, const struct lanprobe_ops *ops, struct lanprobe **ret)
{
    if (count > CONF_LANS_MAX)
        return -EINVAL;
    struct lanprobe *p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    p->loop = loop;
    p->ops = *ops;
    p->count = count;
    rng_fill(rng, &p->id, sizeof(p->id));
    rng_fill(rng, p->cookie, sizeof(p->cookie));
    uv_timer_init(loop, &p->timer);
    p->timer.data = p;
    p->handles = 1;
    int r = 0;
    for (unsigned i = 0; i < count; i++) {
        struct lan *l = &p->lans[i];

        l->owner = p;
        l->conf = lans[i];
        for (unsigned k = 0; k < count; k++)
            l->bit += strcmp(lans[k].name, lans[i].name) < 0;
        for (unsigned f = 0; f < FAMILIES; f++)
            l->line[f] = (struct echo_line){.owner = l, .fd = -1, .v6 = f == V6};
        for (unsigned a = 0; a < l->conf.probe_count && r == 0; a++) {
            struct echo_line *line = &l->line[addr_is_v4(&l->conf.probe[a]) ? V4 : V6];

            if (line->fd < 0) {
                r = echo_line_open(p->loop, l->conf.ifname, line, on_readable);
                p->handles += line->fd >= 0;
            }
        }
    }
    if (r < 0) {
        lanprobe_stop(p);
        return r;
    }
    uv_timer_start(&p->timer, on_time, 0, LANPROBE_EVERY_MS);
    *ret = p;
    return 0;
}

void lanprobe_stop(struct lanprobe *p)
{
    if (!p || p->stopping)
        return;
    p->stopping = true;
    for (unsigned i = 0; i < p->count; i++)
        for (unsigned f = 0; f < FAMILIES; f++)
            echo_line_close(&p->lans[i].line[f], on_closed);
    uv_close((uv_handle_t *)&p->timer, on_closed);
}
