/* What wg and its family see: a "get" from node and store, a "set" into the node. */
#include "app_internal.h"

static void write_peers(struct app *a, struct uapi_writer *w)
{
    struct instant now = app_now();
    struct wg_peer *p;
    uint64_t cursor = 0;

    while (!w->err && (p = node_peer_next(a->node, &cursor))) {
        const struct peer *record = store_find(a->store, p->hub, &p->key);
        struct endpoint endpoint, local;
        uint32_t ifindex;

        if (!record)
            continue;
        uapi_write_peer(
            w, &(struct uapi_peer){
                   .key = &p->key,
                   .psk = record->psk,
                   .endpoint = peer_endpoint_get(p, &endpoint, &local, &ifindex) ? &endpoint : NULL,
                   .handshake_real_ns = peer_handshake_real_ns(p, now.boot_ns, now.real_ns),
                   .tx_bytes = atomic_load(&peer_live(p)->tx_bytes),
                   .rx_bytes = atomic_load(&peer_live(p)->rx_bytes),
                   .keepalive_s = record->keepalive_s,
                   .allowed = record->allowed,
                   .allowed_count = record->allowed_count,
               });
    }
}

static int on_get(void *ctx, struct uapi_writer *w)
{
    struct app *a = ctx;
    const struct identity *id = node_identity(a->node);

    uapi_write_device(w, &(struct uapi_device){.private_key = id ? id->private_key : NULL,
                                               .listen_port = a->port,
                                               .fwmark = a->fwmark});
    write_peers(a, w);
    return w->err;
}

static void on_set(void *ctx, struct change *c, struct uapi_call *call)
{
    struct app *a = ctx;

    node_change(a->node, c, call, app_now());
}

static void on_deleted(void *ctx)
{
    app_stop(ctx, 0, "the socket file was removed");
}

int app_uapi_start(struct app *a)
{
    struct uapi_ops ops = {.ctx = a, .get = on_get, .set = on_set, .deleted = on_deleted};

    return uapi_new(&a->loop, PLAIN_HUB, TAKE_FD(a->uapi_fd), &ops, &a->uapi);
}
