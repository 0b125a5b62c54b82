#include "fence/conntrack.h"
#include "base/err.h"
#include <netlink/netfilter/ct.h>
#include <netlink/netfilter/nfnl.h>
#include <netlink/netlink.h>
#include <sys/socket.h>

#define CONNECTIONS_MAX 4096u /* found in one walk; then they are ended, and it walks again */
#define WALKS_MAX 1024

struct walk {
    const struct ranges *v4, *v6;
    struct nfnl_ct *found[CONNECTIONS_MAX];
    unsigned count;
};

static void socket_freep(struct nl_sock **s)
{
    nl_socket_free(*s);
}

static bool meant(const struct walk *w, const struct nl_addr *a)
{
    if (!a)
        return false;
    if (nl_addr_get_family(a) == AF_INET && nl_addr_get_len(a) == 4) {
        struct ip_addr addr = addr_from_v4(nl_addr_get_binary_addr(a));
        return ranges_find(w->v4, &addr);
    }
    if (nl_addr_get_family(a) == AF_INET6 && nl_addr_get_len(a) == 16) {
        struct ip_addr addr = addr_from_v6(nl_addr_get_binary_addr(a), 0);
        return ranges_find(w->v6, &addr);
    }
    return false;
}

/* Behind a NAT the peer's address is in one of the two directions. */
static int on_connection(struct nl_msg *m, void *arg)
{
    struct walk *w = arg;
    struct nfnl_ct *ct;

    if (w->count == CONNECTIONS_MAX || nfnlmsg_ct_parse(nlmsg_hdr(m), &ct) < 0)
        return NL_OK;
    for (int reply = 0; reply <= 1; reply++) {
        if (meant(w, nfnl_ct_get_src(ct, reply)) || meant(w, nfnl_ct_get_dst(ct, reply))) {
            w->found[w->count++] = ct;
            return NL_OK;
        }
    }
    nfnl_ct_put(ct);
    return NL_OK;
}

/* Those it found are gone or were already; a negative error is one of the walk. */
static int end_some(struct nl_sock *s, struct walk *w)
{
    int r = nfnl_ct_dump_request(s);

    if (r >= 0)
        r = nl_recvmsgs_default(s);
    for (unsigned i = 0; i < w->count; i++) {
        nfnl_ct_del(s, w->found[i], 0);
        nfnl_ct_put(w->found[i]);
    }
    return r < 0 ? -EIO : 0;
}

int conntrack_end(const struct ranges *v4, const struct ranges *v6)
{
    _cleanup_(socket_freep) struct nl_sock *s = NULL;
    _cleanup_(freep) struct walk *w = calloc(1, sizeof(*w));
    int ended = 0, r;

    if (!v4->count && !v6->count)
        return 0;
    if (!w || !(s = nl_socket_alloc()))
        return -ENOMEM;
    if (nfnl_connect(s) < 0)
        return -EIO;
    nl_socket_modify_cb(s, NL_CB_VALID, NL_CB_CUSTOM, on_connection, w);
    *w = (struct walk){.v4 = v4, .v6 = v6};
    for (unsigned i = 0; i < WALKS_MAX; i++) {
        w->count = 0;
        r = end_some(s, w);
        ended += (int)w->count;
        if (r < 0)
            return r;
        if (w->count < CONNECTIONS_MAX)
            break;
    }
    return ended;
}
