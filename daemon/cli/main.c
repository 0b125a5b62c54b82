#include "base/err.h"
#include "cli/cli.h"
#include <stdio.h>
#include <string.h>

static int cmd_version(const struct cli *c, int argc, char **argv)
{
    printf("guardmount %s\n", GM_VERSION);
    return EXIT_GOOD;
}

static const struct command commands[] = {
    {"status", "", "members, VIPs and sessions as this member sees them; with -j as JSON",
     "guardmount status --json", cmd_status},
    {"metrics", "", "counters and gauges in OpenMetrics text", "guardmount metrics", cmd_metrics},
    {"ha", "render [-c CONF] [-o FILE]", "write keepalived's configuration of this member",
     "guardmount ha render -o /etc/keepalived/conf.d/guardmount.conf", cmd_ha},
    {"check-config", "[FILE]", "read a configuration file; the first error with file and line",
     "guardmount check-config /etc/guardmount/guardmount.conf", cmd_check_config},
    {"genkey", "[--cluster]", "a sync key pair, or a cluster key, as lines for the configuration",
     "guardmount genkey", cmd_genkey},
    {"version", "", "print the version", "guardmount version", cmd_version},
};

static void usage(FILE *out)
{
    fprintf(out, "Usage: guardmount [-s SOCKET | -c CONF] [-j|--json] COMMAND [ARGUMENTS]\n\n");
    for (unsigned i = 0; i < ARRAY_LEN(commands); i++)
        fprintf(out, "  %-13s %s\n", commands[i].name, commands[i].help);
    fprintf(out, "\nguardmount COMMAND --help tells more. Exit status: 0 good, 1 failed, 2 usage, "
                 "3 daemon unreachable.\nExample: guardmount status\n");
}

static void help(const struct command *c)
{
    printf("Usage: guardmount %s %s\n\n  %s\n\nExample: %s\n", c->name, c->arguments, c->help,
           c->example);
}

/* A command that starts alike is probably meant. */
static void unknown(const char *word)
{
    fprintf(stderr, "guardmount: unknown command '%s'", word);
    for (unsigned i = 0; i < ARRAY_LEN(commands); i++)
        if (strncmp(commands[i].name, word, 2) == 0) {
            fprintf(stderr, "; did you mean '%s'?", commands[i].name);
            break;
        }
    fprintf(stderr, "\nguardmount --help lists them\n");
}

int main(int argc, char **argv)
{
    struct cli c = {0};
    int i = 1;

    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "-j") == 0 || strcmp(argv[i], "--json") == 0) {
            c.json = true;
        } else if (strcmp(argv[i], "-s") == 0 && i + 1 < argc) {
            c.socket = argv[++i];
        } else if (strcmp(argv[i], "-c") == 0 && i + 1 < argc) {
            c.conf = argv[++i];
        } else if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
            usage(stdout);
            return EXIT_GOOD;
        } else if (strcmp(argv[i], "--version") == 0) {
            return cmd_version(&c, 0, NULL);
        } else {
            fprintf(stderr, "guardmount: unknown option '%s'\n", argv[i]);
            usage(stderr);
            return EXIT_USAGE;
        }
    }
    if (i == argc) {
        usage(stderr);
        return EXIT_USAGE;
    }
    for (unsigned k = 0; k < ARRAY_LEN(commands); k++) {
        if (strcmp(commands[k].name, argv[i]) != 0)
            continue;
        for (int j = i + 1; j < argc; j++) {
            if (strcmp(argv[j], "--help") == 0 || strcmp(argv[j], "-h") == 0) {
                help(&commands[k]);
                return EXIT_GOOD;
            }
            if (strcmp(argv[j], "--json") == 0 || strcmp(argv[j], "-j") == 0) {
                c.json = true;
                memmove(&argv[j], &argv[j + 1], (size_t)(argc - j) * sizeof(*argv));
                argc--;
                j--;
            }
        }
        return commands[k].run(&c, argc - i - 1, argv + i + 1);
    }
    unknown(argv[i]);
    return EXIT_USAGE;
}
