#include "control/commands.h"
#include "base/err.h"
#include "control/metrics.h"
#include <stdio.h>

static void refuse(struct control_reply *ret, int error, const char *what)
{
    control_reply_done(ret);
    ret->error = error;
    snprintf(ret->message, sizeof(ret->message), "%s", what);
}

static int write_metrics(struct control_reply *ret)
{
    FILE *out = open_memstream(&ret->openmetrics, &ret->openmetrics_len);
    bool failed;

    if (!out)
        return -errno;
    metrics_write(ret->status, out);
    failed = ferror(out);
    if (fclose(out) != 0 || failed)
        return -ENOMEM;
    /* The text says it all. */
    status_free(TAKE_PTR(ret->status));
    return 0;
}

static int take_events(const struct server_ops *ops, const struct control_request *r,
                       struct control_reply *ret)
{
    ret->events = calloc(1, sizeof(*ret->events));
    if (!ret->events)
        return -ENOMEM;
    ops->events(ops->ctx, r, ret->events);
    return 0;
}

static int take_why(const struct server_ops *ops, const struct control_request *r,
                    struct control_reply *ret)
{
    char message[CONTROL_MESSAGE_LEN] = "";
    int err = -ENOMEM;

    ret->why = calloc(1, sizeof(*ret->why));
    if (ret->why)
        err = ops->why(ops->ctx, r, ret->why, message);
    if (err < 0)
        refuse(ret, err, *message ? message : strerror(-err));
    return 0;
}

static int run_drill(const struct server_ops *ops, const struct control_request *r,
                     struct control_reply *ret)
{
    char message[CONTROL_MESSAGE_LEN] = "";
    int err = -ENOMEM;

    ret->drill = calloc(1, sizeof(*ret->drill));
    if (ret->drill)
        err = ops->drill(ops->ctx, r, ret->drill, message);
    if (err < 0)
        refuse(ret, err, *message ? message : strerror(-err));
    return 0;
}

static void begin_move(const struct server_ops *ops, const struct control_request *r,
                       struct control_reply *ret)
{
    char message[CONTROL_MESSAGE_LEN] = "";
    int err = ops->move(ops->ctx, &r->move, message);

    if (err < 0)
        refuse(ret, err, *message ? message : strerror(-err));
}

void command_run(const struct server_ops *ops, const struct control_request *r, int error,
                 struct control_reply *ret)
{
    int err = 0;

    *ret = (struct control_reply){0};
    if (!r) {
        refuse(ret, error,
               error == -EPROTONOSUPPORT ? "the daemon (" GM_VERSION
                                           ") does not know this request; use the guardmount "
                                           "command of the same version"
                                         : strerror(-error));
        return;
    }
    switch (r->kind) {
    case CONTROL_EVENTS:
        err = take_events(ops, r, ret);
        break;
    case CONTROL_WHY:
        err = take_why(ops, r, ret);
        break;
    case CONTROL_MOVE:
        begin_move(ops, r, ret);
        return;
    case CONTROL_DRILL:
        err = run_drill(ops, r, ret);
        break;
    case CONTROL_PEER:
    case CONTROL_BATCH:
    case CONTROL_AUDIT:
    case CONTROL_BACKUP:
        err = -EPROTO; /* the server's own */
        break;
    case CONTROL_STATUS:
    case CONTROL_METRICS:
        err = (ret->status = status_new()) ? 0 : -ENOMEM;
        if (err >= 0)
            ops->status(ops->ctx, r, ret->status);
        if (err >= 0 && r->kind == CONTROL_METRICS)
            err = write_metrics(ret);
        break;
    }
    if (err < 0)
        refuse(ret, err, strerror(-err));
}
