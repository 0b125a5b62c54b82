#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <uv.h>

#include "base/err.h"
#include "os/netlink.h"
#include "os/netlink_object.h"

struct netlink_monitor {
    uv_poll_t poll;
    struct nl_sock *sock;
    struct netlink_ops ops;
    bool closing;
};

struct event {
    struct netlink_monitor *monitor;
    int type; /* RTM_... */
};

static void on_object(struct nl_object *o, void *arg)
{
    struct event *e = arg;
    struct netlink_monitor *m = e->monitor;
    struct netlink_link link;
    struct ip_addr addr;
    uint32_t ifindex;
    unsigned flags;

    if (m->closing)
        return;
    switch (e->type) {
    case RTM_NEWADDR:
    case RTM_DELADDR:
        if (object_address(o, &ifindex, &addr, &flags))
            m->ops.address(m->ops.ctx, ifindex, &addr,
                           e->type == RTM_NEWADDR && address_is_usable(flags));
        return;
    case RTM_NEWLINK:
    case RTM_DELLINK:
        if (object_link(o, &link))
            m->ops.link(m->ops.ctx, &link, e->type == RTM_NEWLINK);
        return;
    }
}

static int on_message(struct nl_msg *msg, void *arg)
{
    struct event e = {.monitor = arg, .type = nlmsg_hdr(msg)->nlmsg_type};

    nl_msg_parse(msg, on_object, &e);
    return NL_OK;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct netlink_monitor *m = poll->data;

    for (unsigned i = 0; i < NETLINK_EVENTS_MAX && !m->closing; i++) {
        int r = nl_recvmsgs_default(m->sock);

        if (r == -NLE_AGAIN)
            return;
        /* The kernel had to drop events (ENOBUFS), or a message was not one that libnl knows how
         * to walk through: both mean that we may have missed something. */
        if (r < 0)
            m->ops.overflow(m->ops.ctx);
    }
}

static int join_groups(struct nl_sock *sock)
{
    /* Before this, the buffer must be large: events queue up from here on. */
    if (nl_socket_set_buffer_size(sock, NETLINK_EVENT_BUFFER, 0) < 0)
        return -ENOBUFS;
    if (nl_socket_add_memberships(sock, RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, 0) <
        0)
        return -EPERM;
    return nl_socket_set_nonblocking(sock) < 0 ? -EIO : 0;
}

int netlink_monitor_open(uv_loop_t *loop, const struct netlink_ops *ops,
                         struct netlink_monitor **ret)
{
    struct netlink_monitor *m = calloc(1, sizeof(*m));
    int r = -ENOMEM;

    if (!m)
        return -ENOMEM;
    m->ops = *ops;
    m->sock = nl_socket_alloc();
    if (!m->sock)
        goto fail;
    nl_socket_disable_seq_check(m->sock);
    nl_socket_modify_cb(m->sock, NL_CB_VALID, NL_CB_CUSTOM, on_message, m);
    r = nl_connect(m->sock, NETLINK_ROUTE) < 0 ? -EIO : join_groups(m->sock);
    if (r < 0)
        goto fail;
    r = uv_poll_init(loop, &m->poll, nl_socket_get_fd(m->sock));
    if (r < 0)
        goto fail;
    m->poll.data = m;
    r = uv_poll_start(&m->poll, UV_READABLE, on_readable);
    if (r < 0) { /* the handle is the loop's by now */
        netlink_monitor_close(m);
        return r;
    }
    *ret = m;
    return 0;
fail:
    nl_socket_free(m->sock);
    free(m);
    return r;
}

static void on_closed(uv_handle_t *handle)
{
    struct netlink_monitor *m = handle->data;

    nl_socket_free(m->sock);
    free(m);
}

void netlink_monitor_close(struct netlink_monitor *m)
{
    if (!m || m->closing)
        return;
    m->closing = true;
    uv_close((uv_handle_t *)&m->poll, on_closed);
}
