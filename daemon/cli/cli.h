/* cli/cli.h - the `guardmount` command: its commands share options, exit codes and the client.
 *
 * Owner: main.c. Threads: one. */
#pragma once
#include "proto/control.h"
#include <stdbool.h>

enum { EXIT_GOOD = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_UNREACHABLE = 3, EXIT_DEGRADED = 4 };

#define DEFAULT_CONF "/etc/guardmount/guardmount.conf"
#define DEFAULT_SOCKET "/run/guardmount/control.sock"

struct cli {
    const char *socket, *conf; /* NULL: not given */
    bool json;
};

struct command {
    const char *name;
    const char *arguments, *help, *example;
    int (*run)(const struct cli *c, int argc, char **argv);
};

int cmd_status(const struct cli *c, int argc, char **argv);
int cmd_metrics(const struct cli *c, int argc, char **argv);
int cmd_ha(const struct cli *c, int argc, char **argv);
int cmd_check_config(const struct cli *c, int argc, char **argv);
int cmd_genkey(const struct cli *c, int argc, char **argv);

/* One question to the daemon. An exit code; on failure one line was printed. */
int client_ask(const struct cli *c, enum control_kind kind, struct status *ret);
