/* The peer database at start: opened, or set aside when it is damaged and siblings have what was in
 * it. And `guardmount backup`. */
#include "app_internal.h"

static bool has_siblings(const struct conf *conf)
{
    for (unsigned i = 1; i < MEMBERS_MAX; i++)
        if (conf->member[i].id && i != conf->self)
            return true;
    return false;
}

int app_open_store(struct app *a)
{
    const struct conf *conf = a->cluster->conf;
    char path[CONF_PATH_MAX + 16], aside[sizeof(path) + 32] = "", error[STORE_ERROR_LEN] = "";
    int r;

    snprintf(path, sizeof(path), "%s/peers.db", conf->state_dir);
    r = store_open(path, conf->self, &a->store, error);
    if (r == -EUCLEAN && has_siblings(conf)) {
        log_error(error, "path=%s", path);
        r = store_set_aside(path, app_now().real_ns, aside, sizeof(aside));
        log_error(r < 0 ? "the damaged peer database cannot be moved aside"
                        : "the damaged peer database was moved aside; siblings refill an empty one",
                  "to=%s", aside);
        if (r >= 0)
            r = store_open(path, conf->self, &a->store, error);
    }
    if (r < 0)
        log_error(error, "path=%s", path);
    return r;
}

/* ---- the backup ---- */

struct backup {
    uv_work_t work;
    struct app *app;
    struct server_call *call;
    struct control_reply reply;
};

static void backup_run(uv_work_t *w)
{
    struct backup *b = w->data;

    b->reply.error = store_backup(b->app->store, &b->reply.backup, &b->reply.backup_len);
}

static void backup_done(uv_work_t *w, int status)
{
    struct backup *b = w->data;

    if (b->reply.error < 0)
        snprintf(b->reply.message, sizeof(b->reply.message), "the database cannot be read: %s",
                 strerror(-b->reply.error));
    b->app->commits--;
    server_reply(b->call, &b->reply);
    free(b);
}

int app_backup(struct app *a, struct server_call *call)
{
    struct backup *b = calloc(1, sizeof(*b));

    if (!b)
        return -ENOMEM;
    b->app = a;
    b->call = call;
    b->work.data = b;
    a->commits++; /* the store stays open as long */
    uv_queue_work(&a->loop, &b->work, backup_run, backup_done);
    return 0;
}
