#include "base/err.h"
#include "cli/cli.h"
#include <stdio.h>
#include <string.h>

int cmd_metrics(const struct cli *c, int argc, char **argv)
{
    struct control_reply reply;
    bool peers = true;
    int r;

    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--no-peers") != 0)
            return cli_fail(EXIT_USAGE, "metrics: unexpected '%s'; try 'guardmount metrics --help'",
                            argv[i]);
        peers = false;
    }
    r = client_ask(c, CONTROL_METRICS, peers, &reply);
    if (r != EXIT_GOOD)
        return r;
    if (fwrite(reply.openmetrics ? reply.openmetrics : "", 1, reply.openmetrics_len, stdout) !=
        reply.openmetrics_len)
        r = cli_fail(EXIT_FAILED, "the output cannot be written: %s", strerror(errno));
    control_reply_done(&reply);
    return r;
}
