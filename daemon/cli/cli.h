/* cli/cli.h - the `guardmount` command: what its commands share.
 *
 * Owner: main.c. Threads: one.
 * Errors: one line on stderr that says what to do; the exit code says what kind of failure. */
#pragma once
#include "proto/control.h"
#include <stdbool.h>
#include <sys/types.h>

enum { EXIT_GOOD = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_UNREACHABLE = 3, EXIT_DEGRADED = 4 };

#define DEFAULT_CONF "/etc/guardmount/guardmount.conf"
#define DEFAULT_SOCKET "/run/guardmount/control.sock"

enum color_when { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };

struct cli {
    const char *socket, *conf; /* NULL: not given */
    bool json;
    enum color_when color;
};

/* Options of all commands are taken out before a command runs: @argv holds the rest, without the
 * command's name, and ends with NULL. */
struct command {
    const char *name, *arguments, *summary;
    const char *help;    /* options and exit codes; several lines */
    const char *example; /* one line or more */
    int (*run)(const struct cli *c, int argc, char **argv);
};

int cmd_status(const struct cli *c, int argc, char **argv);
int cmd_health(const struct cli *c, int argc, char **argv);
int cmd_events(const struct cli *c, int argc, char **argv);
int cmd_doctor(const struct cli *c, int argc, char **argv);
int cmd_top(const struct cli *c, int argc, char **argv);
int cmd_why(const struct cli *c, int argc, char **argv);
int cmd_metrics(const struct cli *c, int argc, char **argv);
int cmd_drain(const struct cli *c, int argc, char **argv);
int cmd_undrain(const struct cli *c, int argc, char **argv);
int cmd_promote(const struct cli *c, int argc, char **argv);
int cmd_drill(const struct cli *c, int argc, char **argv);
int cmd_upgrade_check(const struct cli *c, int argc, char **argv);
int cmd_peer(const struct cli *c, int argc, char **argv);
int cmd_group(const struct cli *c, int argc, char **argv);
int cmd_apply(const struct cli *c, int argc, char **argv);
int cmd_import(const struct cli *c, int argc, char **argv);
int cmd_export(const struct cli *c, int argc, char **argv);
int cmd_audit(const struct cli *c, int argc, char **argv);
int cmd_backup(const struct cli *c, int argc, char **argv);
int cmd_restore(const struct cli *c, int argc, char **argv);
int cmd_ha(const struct cli *c, int argc, char **argv);
int cmd_check_config(const struct cli *c, int argc, char **argv);
int cmd_genkey(const struct cli *c, int argc, char **argv);
int cmd_cluster(const struct cli *c, int argc, char **argv);

/* One question to the daemon. An exit code; on failure a line was printed. */
int client_ask(const struct cli *c, enum control_kind kind, bool peers, struct control_reply *ret);
int client_request(const struct cli *c, const struct control_request *request,
                   struct control_reply *ret);
/* The same; on failure nothing is printed, and @error tells. */
#define CLI_ERROR_LEN 16384 /* errors of a configuration, too */
int client_try(const struct cli *c, const struct control_request *request,
               struct control_reply *ret, char error[CLI_ERROR_LEN]);

/* "guardmount: " and a line end are added. Returns @status. */
int cli_fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "0.5": seconds, 0.1 to 3600. -EINVAL. */
int cli_seconds(const char *text, uint64_t *ret_ns);
void cli_sleep(uint64_t ns);
/* And on the disk. Negative errno. */
int cli_write_all(int fd, const void *data, size_t len);
/* The same, as a whole or not at all: others may read @path at any moment. @owner: whose it is to
 * be, where that may be given; NULL: ours. */
struct stat;
int cli_replace_file(const char *path, const void *data, size_t len, mode_t mode,
                     const struct stat *owner);
/* The option's value: "-o X", "--output X", "--output=X" (@shown NULL: no such form). Moves *i on.
 * NULL: @argv[*i] is not this option. An empty text: its value is missing. */
const char *cli_value(char **argv, int *i, const char *shown, const char *word);
