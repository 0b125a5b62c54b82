/* The node's ops on real parts: the engine, the store's pool, the log. Nothing here decides. */
#include "app_internal.h"
#include <string.h>

static void op_send(void *ctx, uint16_t vip, const struct endpoint *to,
                    const struct endpoint *local, uint32_t ifindex, const void *buf, size_t len)
{
    struct app *a = ctx;

    engine_send(a->engine, vip, to, local, ifindex, buf, len); /* counted by the engine */
}

static int op_handshake(void *ctx, const struct handshake_job *job)
{
    return engine_handshake(((struct app *)ctx)->engine, job);
}

static void op_set_identity(void *ctx, struct identity *id, struct cookie_secret *cookies)
{
    engine_set_identity(((struct app *)ctx)->engine, id, cookies);
}

static int op_add_peer(void *ctx, struct wg_peer *p, struct remote_secret *s)
{
    return engine_add_peer(((struct app *)ctx)->engine, p, s);
}

static void op_set_remote(void *ctx, struct wg_peer *p, struct remote_secret *s)
{
    engine_set_remote(((struct app *)ctx)->engine, p, s);
}

static void op_remove_peer(void *ctx, struct wg_peer *p)
{
    app_fence_touch(ctx); /* it may have left without a commit */
    engine_remove_peer(((struct app *)ctx)->engine, p);
}

static int op_allow(void *ctx, const struct ip_prefix *prefix, struct wg_peer *p)
{
    return allowedips_insert(engine_allowedips(((struct app *)ctx)->engine), prefix, p);
}

static void op_disallow(void *ctx, const struct ip_prefix *prefix, struct wg_peer *p)
{
    allowedips_remove(engine_allowedips(((struct app *)ctx)->engine), prefix, p);
}

static int op_add_keypair(void *ctx, struct keypair *k)
{
    return engine_add_keypair(((struct app *)ctx)->engine, k);
}

static void op_remove_keypair(void *ctx, struct keypair *k)
{
    engine_remove_keypair(((struct app *)ctx)->engine, k);
}

static int op_add_initiation(void *ctx, struct initiation *i)
{
    return engine_add_initiation(((struct app *)ctx)->engine, i);
}

static void op_remove_initiation(void *ctx, struct initiation *i)
{
    engine_remove_initiation(((struct app *)ctx)->engine, i);
}

static void op_set_last_stamp(void *ctx, struct wg_peer *p, const uint8_t stamp[TAI64N_LEN])
{
    engine_set_last_stamp(((struct app *)ctx)->engine, p, stamp);
}

static void op_set_last_mac1(void *ctx, struct wg_peer *p, const uint8_t mac1[16])
{
    engine_set_last_mac1(((struct app *)ctx)->engine, p, mac1);
}

static void op_retire(void *ctx, void *object, void (*free_fn)(void *))
{
    engine_retire(((struct app *)ctx)->engine, object, free_fn);
}

static enum tx_verdict op_send_keepalive(void *ctx, struct wg_peer *p, uint64_t now_ns)
{
    return engine_send_keepalive(((struct app *)ctx)->engine, p, now_ns);
}

static void op_flush_staged(void *ctx, struct wg_peer *p, uint64_t now_ns)
{
    engine_flush_staged(((struct app *)ctx)->engine, p, now_ns);
}

static void op_drop_staged(void *ctx, struct wg_peer *p)
{
    engine_drop_staged(((struct app *)ctx)->engine, p);
}

static void op_take_staged(void *ctx, struct wg_peer *p, staged_fn *fn, void *fn_ctx)
{
    engine_take_staged(((struct app *)ctx)->engine, p, fn, fn_ctx);
}

static void op_stage(void *ctx, struct wg_peer *p, const uint8_t *packet, size_t len)
{
    engine_stage(((struct app *)ctx)->engine, p, packet, len);
}

static void op_wake_held(void *ctx)
{
    engine_wake_held(((struct app *)ctx)->engine);
}

static void op_discard_queued(void *ctx)
{
    engine_discard_queued(((struct app *)ctx)->engine);
}

static void op_resume(void *ctx)
{
    engine_resume(((struct app *)ctx)->engine);
}

static int op_set_port(void *ctx, uint16_t port)
{
    struct app *a = ctx;
    uint16_t old = a->port, got = port;
    int r;

    if (port && port == old)
        return 0;
    if (old)
        engine_close_sockets(a->engine, VIP_SLOT_PLAIN);
    r = engine_open_sockets(a->engine, VIP_SLOT_PLAIN, NULL, 0, &got);
    if (r < 0 && old) { /* the old port stays */
        got = old;
        if (engine_open_sockets(a->engine, VIP_SLOT_PLAIN, NULL, 0, &got) < 0)
            got = 0;
        a->port = got;
        return r;
    }
    if (r < 0)
        return r;
    a->port = got;
    return 0;
}

static int op_set_fwmark(void *ctx, uint32_t mark)
{
    struct app *a = ctx;
    int r = engine_set_fwmark(a->engine, mark);

    if (r >= 0)
        a->fwmark = mark;
    return r;
}

/* ---- the store's pool ---- */

struct commit {
    uv_work_t work;
    struct app *app;
    struct store_write *write;
    int result;
};

static void commit_run(uv_work_t *w)
{
    struct commit *c = w->data;

    c->result = store_commit(c->write);
}

static void commit_done(uv_work_t *w, int status)
{
    struct commit *c = w->data;
    struct app *a = c->app;

    a->commits--;
    node_committed(a->node, c->write, status < 0 ? status : c->result, app_now());
    app_fence_touch(a);
    free(c);
}

static void op_commit(void *ctx, struct store_write *w)
{
    struct app *a = ctx;
    struct commit *c = calloc(1, sizeof(*c));

    if (!c)
        abort(); /* an edit that is decided must not be lost; a sibling takes over */
    c->app = a;
    c->write = w;
    c->work.data = c;
    a->commits++;
    uv_queue_work(&a->loop, &c->work, commit_run, commit_done);
}

static void op_change_done(void *ctx, void *token, int err, const char *message)
{
    struct app *a = ctx;

    if (a->cluster && token && app_peer_done(a, token, err, message))
        return;
    if (err < 0)
        log_warn("a set was refused", "error=%s reason=%s", strerror(-err), message);
    if (token)
        uapi_reply(token, err);
}

static void op_log(void *ctx, enum node_log level, const char *sentence, const char *fields)
{
    if (level == NODE_INFO)
        log_info(sentence, "%s", fields);
    else if (level == NODE_WARN)
        log_warn(sentence, "%s", fields);
    else
        log_error(sentence, "%s", fields);
}

const struct node_ops app_node_ops = {
    .send = op_send,
    .handshake = op_handshake,
    .set_identity = op_set_identity,
    .add_peer = op_add_peer,
    .set_remote = op_set_remote,
    .remove_peer = op_remove_peer,
    .allow = op_allow,
    .disallow = op_disallow,
    .add_keypair = op_add_keypair,
    .remove_keypair = op_remove_keypair,
    .add_initiation = op_add_initiation,
    .remove_initiation = op_remove_initiation,
    .set_last_stamp = op_set_last_stamp,
    .set_last_mac1 = op_set_last_mac1,
    .retire = op_retire,
    .send_keepalive = op_send_keepalive,
    .flush_staged = op_flush_staged,
    .drop_staged = op_drop_staged,
    .take_staged = op_take_staged,
    .stage = op_stage,
    .wake_held = op_wake_held,
    .discard_queued = op_discard_queued,
    .resume = op_resume,
    .set_port = op_set_port,
    .set_fwmark = op_set_fwmark,
    .commit = op_commit,
    .change_done = op_change_done,
    .log = op_log,
    .notice = app_notice,
};
