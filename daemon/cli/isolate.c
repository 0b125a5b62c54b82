#include "cli/isolate.h"
#include "base/bytes.h"
#include "base/err.h"
#include "cli/cli.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* In a child, which becomes it. */
static void become_nft(const char *rules, bool quiet)
{
    int null = quiet ? open("/dev/null", O_WRONLY | O_CLOEXEC) : -1;

    if (null >= 0)
        dup2(null, STDERR_FILENO);
    execlp("nft", "nft", rules, NULL);
    if (!quiet)
        cli_fail(EXIT_FAILED, "nft cannot be run: %s; install nftables", strerror(errno));
    _exit(127);
}

static bool ended_well(pid_t child)
{
    int status;

    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return false;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int nft(const char *rules, bool quiet)
{
    pid_t child = fork();

    if (child == 0)
        become_nft(rules, quiet);
    return child > 0 && ended_well(child) ? 0 : -EIO;
}

/* Of a process that nobody is the parent of, and that no signal of our terminal reaches. */
static void restore_after(unsigned ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    setsid();
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        ;
    become_nft("delete table " ISOLATE_TABLE, true);
}

static int start_restorer(unsigned ms)
{
    pid_t child = fork(), grandchild;

    if (child < 0)
        return -errno;
    if (child == 0) {
        grandchild = fork();
        if (grandchild == 0)
            restore_after(ms);
        _exit(grandchild < 0);
    }
    return ended_well(child) ? 0 : -EAGAIN;
}

/* What the daemon says becomes a part of a program: names of interfaces, and nothing else. */
static bool is_plain(const char *interfaces)
{
    return *interfaces && interfaces[strspn(interfaces, "abcdefghijklmnopqrstuvwxyz"
                                                        "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                                        "0123456789_=+.-,")] == '\0';
}

/* {"wan0", "lan0"} */
static void print_set(FILE *out, const char *interfaces)
{
    fputs("{\"", out);
    for (; *interfaces; interfaces++)
        fputs(*interfaces == ',' ? "\", \"" : (char[]){*interfaces, '\0'}, out);
    fputs("\"}", out);
}

/* Next to the driver: ARP, and what keepalived and the daemon send there by themselves, pass no
 * chain of the usual families. */
static char *make_rules(const char *interfaces, uint16_t sync_port)
{
    static const char *const hooks[] = {"ingress", "egress"};
    size_t len;
    char *rules = NULL;
    FILE *out = open_memstream(&rules, &len);

    if (!out)
        return NULL;
    fputs("table " ISOLATE_TABLE " {\n", out);
    for (unsigned i = 0; i < ARRAY_LEN(hooks); i++) {
        fprintf(out, "chain %s {\ntype filter hook %s devices = ", hooks[i], hooks[i]);
        print_set(out, interfaces);
        fprintf(out, " priority -400;\ntcp sport %u accept\ntcp dport %u accept\ndrop\n}\n",
                sync_port, sync_port);
    }
    fputs("}\n", out);
    if (fclose(out) == 0)
        return rules;
    free(rules);
    return NULL;
}

int isolate_begin(const char *interfaces, uint16_t sync_port, unsigned ms)
{
    if (geteuid() != 0)
        return cli_fail(EXIT_FAILED, "the method isolate cuts this machine's interfaces off: it "
                                     "needs root");
    if (!is_plain(interfaces))
        return cli_fail(EXIT_FAILED, "the daemon does not say which interfaces the VIP has");
    _cleanup_(freep) char *rules = make_rules(interfaces, sync_port);
    if (!rules)
        return cli_fail(EXIT_FAILED, "no memory");
    if (start_restorer(ms) < 0)
        return cli_fail(EXIT_FAILED, "nothing was cut off: there is no process that would end it");
    return nft(rules, false) < 0
               ? cli_fail(EXIT_FAILED, "nftables does not take the rules; nothing was cut off")
               : EXIT_GOOD;
}

void isolate_end(void)
{
    nft("delete table " ISOLATE_TABLE, true);
}
