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
    ret->status = status_new();
    if (!ret->status) {
        refuse(ret, -ENOMEM, strerror(ENOMEM));
        return;
    }
    ops->status(ops->ctx, r, ret->status);
    if (r->kind == CONTROL_METRICS)
        err = write_metrics(ret);
    if (err < 0)
        refuse(ret, err, strerror(-err));
}
