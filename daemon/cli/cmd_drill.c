/* drill: take a VIP away from its owner and give it back, watch it, put everything back, and judge.
 */
#include "base/clock.h"
#include "base/err.h"
#include "cli/drill_run.h"
#include "cli/writer.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SETTLE_MS 3000 /* sessions of busy peers move with their first packet */
#define SETTLE_MS_MAX 30000
#define HOLD_MS 3000
#define HOLD_MS_MIN 500 /* shorter than a member needs to be taken for dead */
#define HOLD_MS_MAX 8000
#define MS_MOST 60000
#define LOST_MOST 100000

static int tell(const struct drill_run *r)
{
    int status = EXIT_GOOD;

    if (r->c->json)
        status = cli_json(drill_json(r->d), false);
    else
        drill_text(r->d, color_wanted(r->c, stdout), stdout);
    if (r->report) {
        drill_html(r->d, r->report);
        if (fflush(r->report) != 0 || ferror(r->report))
            status = cli_fail(EXIT_FAILED, "the report cannot be written: %s", strerror(errno));
    }
    return status;
}

static int drill(struct drill_run *r, const char *report)
{
    bool others;
    int status = drill_run_prepare(r, &others);

    if (status != EXIT_GOOD)
        return status;
    if (r->scheduled && others) {
        if (r->c->json)
            printf("{\"schema\": %d, \"skipped\": true}\n", DRILL_SCHEMA);
        else
            puts("nothing to do: this drill is another member's");
        return EXIT_GOOD;
    }
    r->report = report ? fopen(report, "we") : NULL; /* before anything moves */
    if (report && !r->report)
        return cli_fail(EXIT_FAILED, "%s: %s", report, strerror(errno));
    status = drill_run(r);
    if (tell(r) != EXIT_GOOD)
        status = EXIT_FAILED;
    if (status == EXIT_GOOD && drill_run_interrupted())
        status = cli_fail(EXIT_FAILED, "interrupted; the VIP is where it was");
    return status == EXIT_GOOD && !drill_passed(r->d) ? EXIT_DEGRADED : status;
}

static int number(const char *text, uint64_t most, uint64_t *ret)
{
    char *end;

    errno = 0;
    *ret = strtoull(text, &end, 10);
    return errno || end == text || *end || *text == '-' || !*ret || *ret > most ? -EINVAL : 0;
}

static int seconds(const char *text, uint64_t min_ms, uint64_t max_ms, uint64_t *ret_ns)
{
    if (cli_seconds(text, ret_ns) < 0 || *ret_ns < min_ms * NS_PER_MS ||
        *ret_ns > max_ms * NS_PER_MS)
        return -EINVAL;
    return 0;
}

/* A threshold: 1: taken; 0: it is none. An exit code below 0 has been told. */
static int take_limit(struct drill_run *r, char **argv, int *i)
{
    const struct {
        const char *word;
        uint64_t most, *to;
    } limits[] = {{"--max-ms", MS_MOST, &r->d->max_ms},
                  {"--max-gap", MS_MOST, &r->d->max_gap_ms},
                  {"--max-lost", LOST_MOST, &r->d->max_lost}};

    for (unsigned k = 0; k < ARRAY_LEN(limits); k++) {
        const char *v = cli_value(argv, i, limits[k].word, limits[k].word);

        if (v && number(v, limits[k].most, limits[k].to) < 0)
            return -cli_fail(EXIT_USAGE, "drill: %s takes 1 to %" PRIu64 ", not '%s'",
                             limits[k].word, limits[k].most, v);
        if (v)
            return 1;
    }
    return 0;
}

static int take_method(struct drill_run *r, const char *word)
{
    int method = drill_method_find(word);

    if (method < 0)
        return -cli_fail(
            EXIT_USAGE, "drill: methods are drain, stop, kill, freeze and isolate, not '%s'", word);
    r->d->method = (enum drill_method)method;
    return 1;
}

/* 1: taken; 0: not an option; an exit code below 0 has been told. */
static int take(struct drill_run *r, char **argv, int *i, const char **report)
{
    uint64_t n;
    const char *v;

    if (strcmp(argv[*i], "--force") == 0) {
        r->d->forced = true;
    } else if (strcmp(argv[*i], "--scheduled") == 0) {
        r->scheduled = true;
    } else if ((v = cli_value(argv, i, "--vip", "--vip"))) {
        if (snprintf(r->d->vip, sizeof(r->d->vip), "%s", v) >= (int)sizeof(r->d->vip))
            return -cli_fail(EXIT_USAGE, "drill: no VIP has such a long name");
    } else if ((v = cli_value(argv, i, "--report", "--report"))) {
        *report = v;
    } else if ((v = cli_value(argv, i, "--repeat", "--repeat"))) {
        if (number(v, DRILL_REPEAT_MAX, &n) < 0)
            return -cli_fail(EXIT_USAGE, "drill: --repeat takes 1 to %d, not '%s'",
                             DRILL_REPEAT_MAX, v);
        r->d->repeat = (unsigned)n;
    } else if ((v = cli_value(argv, i, "--settle", "--settle"))) {
        if (seconds(v, 0, SETTLE_MS_MAX, &r->settle_ns) < 0)
            return -cli_fail(EXIT_USAGE, "drill: --settle takes 0.1 to 30 seconds, not '%s'", v);
    } else if ((v = cli_value(argv, i, "--hold", "--hold"))) {
        if (seconds(v, HOLD_MS_MIN, HOLD_MS_MAX, &r->hold_ns) < 0)
            return -cli_fail(EXIT_USAGE, "drill: --hold takes 0.5 to 8 seconds, not '%s'", v);
    } else if ((v = cli_value(argv, i, "--method", "--method"))) {
        return take_method(r, v);
    } else {
        return take_limit(r, argv, i);
    }
    return 1;
}

int cmd_drill(const struct cli *c, int argc, char **argv)
{
    struct drill_run r = {.c = c,
                          .d = drill_new(),
                          .settle_ns = SETTLE_MS * NS_PER_MS,
                          .hold_ns = HOLD_MS * NS_PER_MS};
    const char *report = NULL;
    int status = EXIT_GOOD;

    if (!r.d)
        return cli_fail(EXIT_FAILED, "no memory");
    r.d->repeat = 1;
    for (int i = 0; i < argc && status == EXIT_GOOD; i++) {
        int taken = take(&r, argv, &i, &report);

        if (taken < 0)
            status = -taken;
        else if (!taken)
            status = cli_fail(EXIT_USAGE, "drill: unexpected '%s'; try 'guardmount drill --help'",
                              argv[i]);
    }
    if (status == EXIT_GOOD && !*r.d->vip)
        status = cli_fail(EXIT_USAGE, "drill needs a VIP: guardmount drill --vip VIP");
    if (status == EXIT_GOOD && report && !*report)
        status = cli_fail(EXIT_USAGE, "--report needs the name of a file");
    if (status == EXIT_GOOD)
        status = drill(&r, report);
    if (r.report)
        fclose(r.report);
    drill_free(r.d);
    return status;
}
