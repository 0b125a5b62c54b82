/* Reading what is around the machine. An echo or two to neighbours; nothing further away is asked.
 */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/rng.h"
#include "cli/host.h"
#include "ha/echo.h"
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define ANSWER_NS (250 * NS_PER_MS)
#define RULESET_MAX (4u << 20)
#define SMALL 96    /* bytes of an echo that passes everywhere */
#define FITS_STEP 8 /* of the search for the largest that passes */
#define HEADER_V4 20
#define HEADER_V6 40
#define OVERHEAD_V4 60
#define OVERHEAD_V6 80

/* ---- echoes ---- */

static bool wait_for_answer(int fd, bool v6, uint16_t id, const uint8_t cookie[ECHO_COOKIE_LEN])
{
    uint64_t until = clock_boot_ns() + ANSWER_NS;

    for (uint64_t now = clock_boot_ns(); now < until; now = clock_boot_ns()) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        uint8_t packet[256]; /* what is longer is cut */
        ssize_t n;

        if (poll(&p, 1, (int)((until - now) / NS_PER_MS) + 1) != 1)
            return false;
        n = recv(fd, packet, sizeof(packet), 0);
        if (n > 0 && echo_is_answer(v6, packet, (size_t)n, id, cookie))
            return true;
    }
    return false;
}

/* Does @to answer by @ifname to an echo of @len bytes, IP header included, that no router cuts? */
static bool answers(const char *ifname, const struct ip_addr *to, unsigned len)
{
    bool v6 = !addr_is_v4(to);
    struct endpoint e = {.addr = *to};
    struct sockaddr_storage sa;
    socklen_t sa_len = endpoint_to_sockaddr(&e, &sa);
    uint8_t packet[UINT16_MAX] = {0}, cookie[ECHO_COOKIE_LEN];
    int probe = v6 ? IPV6_PMTUDISC_PROBE : IP_PMTUDISC_PROBE, fd = echo_open(ifname, v6);
    uint16_t id = (uint16_t)rng_u32(&rng_system);
    bool yes;

    if (fd < 0)
        return false;
    setsockopt(fd, v6 ? (int)IPPROTO_IPV6 : (int)IPPROTO_IP,
               v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER, &probe, sizeof(probe));
    rng_fill(&rng_system, cookie, sizeof(cookie));
    echo_request(v6, id, 1, cookie, packet);
    len -= v6 ? HEADER_V6 : HEADER_V4;
    yes = sendto(fd, packet, len, MSG_NOSIGNAL, (struct sockaddr *)&sa, sa_len) == (ssize_t)len &&
          wait_for_answer(fd, v6, id, cookie);
    close(fd);
    return yes;
}

/* ---- the path ---- */

static const struct host_if *iface_of(const struct host *h, const char *name)
{
    for (unsigned i = 0; i < h->iface_count; i++)
        if (strcmp(h->iface[i].name, name) == 0)
            return &h->iface[i];
    return NULL;
}

static void add_path(struct host *h, const char *ifname, const struct ip_addr *to)
{
    struct host_path *p = &h->path[h->path_count];
    const struct host_if *f = iface_of(h, ifname);
    unsigned fails;

    if (h->path_count == HOST_PATHS_MAX || addr_is_zero(to) || !f || !f->outer || !f->up)
        return;
    *p = (struct host_path){.overhead = addr_is_v4(to) ? OVERHEAD_V4 : OVERHEAD_V6};
    addr_format(to, p->to);
    snprintf(p->ifname, sizeof(p->ifname), "%s", ifname);
    for (unsigned i = 0; i < h->conf->hub_count; i++)
        p->wants = MAX(p->wants, h->conf->hub[i].mtu + p->overhead);
    /* What the interface itself does not take is told already; who does not answer, is not judged.
     */
    if (f->mtu < p->wants || !answers(ifname, to, SMALL))
        return;
    h->path_count++;
    p->fits = p->wants;
    /* Twice, so that one lost echo is no finding. */
    if (answers(ifname, to, p->wants) || answers(ifname, to, p->wants))
        return;
    p->fits = SMALL;
    fails = p->wants;
    while (fails - p->fits > FITS_STEP) {
        unsigned middle = (p->fits + fails) / 2;

        if (answers(ifname, to, middle))
            p->fits = middle;
        else
            fails = middle;
    }
}

static void read_paths(struct host *h)
{
    const struct conf *c = h->conf;

    for (unsigned i = 0; i < c->lan_count; i++)
        for (unsigned n = 0; n < c->lan[i].probe_count; n++)
            add_path(h, c->lan[i].ifname, &c->lan[i].probe[n]);
    for (unsigned i = 1; i < MEMBERS_MAX && c->vip_count; i++)
        if (c->member[i].id && i != c->self)
            add_path(h, c->vip[0].outer[0].ifname, &c->member[i].outer_address);
}

/* ---- our addresses, elsewhere ---- */

static bool is_here(const struct host *h, const char *text)
{
    for (unsigned i = 0; i < h->address_count; i++)
        if (strcmp(h->address[i].text, text) == 0)
            return true;
    return false;
}

static void look_for_stranger(struct host *h, const struct vip *v, const struct vip_addr *a)
{
    struct host_address *to = &h->stranger[h->stranger_count];
    const struct host_if *f = iface_of(h, a->ifname);

    if (h->stranger_count == HOST_STRANGERS_MAX || !f || !f->up)
        return;
    *to = (struct host_address){.vip_id = v->id};
    addr_format(&a->addr, to->text);
    snprintf(to->vip, sizeof(to->vip), "%s", v->name);
    snprintf(to->wants, sizeof(to->wants), "%s", a->ifname);
    if (!is_here(h, to->text) && answers(a->ifname, &a->addr, SMALL))
        h->stranger_count++;
}

/* ---- the firewall ---- */

static void read_ruleset(struct host *h)
{
    FILE *out = popen("PATH=$PATH:/usr/sbin:/sbin nft -n -s list ruleset 2>/dev/null", "re");
    char *text = out ? malloc(RULESET_MAX + 1) : NULL;
    int status;

    if (text)
        text[fread(text, 1, RULESET_MAX, out)] = '\0';
    while (out && fgetc(out) != EOF)
        ;
    status = out ? pclose(out) : -1;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        h->ruleset = TAKE_PTR(text);
    free(text);
}

void host_read_strangers(struct host *h)
{
    h->stranger_count = 0;
    for (unsigned v = 0; h->root && v < h->conf->vip_count; v++) {
        const struct vip *vip = &h->conf->vip[v];

        for (unsigned i = 0; i < vip->outer_count; i++)
            look_for_stranger(h, vip, &vip->outer[i]);
        for (unsigned i = 0; i < vip->inner_count; i++)
            look_for_stranger(h, vip, &vip->inner[i]);
    }
}

void host_read_net(struct host *h)
{
    if (!h->root)
        return;
    read_ruleset(h);
    read_paths(h);
    host_read_strangers(h);
}
