/* What commands read out of the peer database as it is on the disk, on a pool thread: a backup, the
 * audit log. And what is noted in the latter beside the edits. */
#include "app_internal.h"
#include <string.h>

struct reading {
    uv_work_t work;
    struct app *app;
    struct server_call *call;
    bool audit; /* else a backup */
    uint64_t after;
    struct control_reply reply;
};

static void read_audit(struct reading *r)
{
    struct control_audit *a = r->reply.audit = calloc(1, sizeof(*a));

    r->reply.error =
        a ? store_audit(r->app->store, r->after, CONTROL_AUDIT_MAX, a->entry, &a->count, &a->last)
          : -ENOMEM;
}

static void run(uv_work_t *w)
{
    struct reading *r = w->data;

    if (r->audit)
        read_audit(r);
    else
        r->reply.error = store_backup(r->app->store, &r->reply.backup, &r->reply.backup_len);
}

static void done(uv_work_t *w, int status)
{
    struct reading *r = w->data;

    if (r->reply.error < 0)
        snprintf(r->reply.message, sizeof(r->reply.message), "the database cannot be read: %s",
                 strerror(-r->reply.error));
    r->app->commits--;
    server_reply(r->call, &r->reply);
    free(r);
}

void app_read_database(struct app *a, const struct control_request *asked, struct server_call *call)
{
    struct reading *r = calloc(1, sizeof(*r));

    if (!r) {
        struct control_reply nothing = {.error = -ENOMEM, .message = "no memory"};

        server_reply(call, &nothing);
        return;
    }
    r->app = a;
    r->call = call;
    r->audit = asked->kind == CONTROL_AUDIT;
    r->after = asked->after;
    r->work.data = r;
    if (!r->audit)
        app_note(a, asked->actor, "backup", "");
    a->commits++; /* the store stays open as long */
    uv_queue_work(&a->loop, &r->work, run, done);
}

/* A change of nothing, so that it is written in its turn. */
void app_note(struct app *a, const char *actor, const char *did, const char *details)
{
    struct change *c = change_new(a->cluster->hub->id);

    if (!c) {
        log_warn("no memory for an entry of the audit log", "did=%s", did);
        return;
    }
    c->did = did;
    snprintf(c->actor, sizeof(c->actor), "%s", actor);
    snprintf(c->details, sizeof(c->details), "%s", details);
    node_change(a->node, c, NULL, app_now());
}
