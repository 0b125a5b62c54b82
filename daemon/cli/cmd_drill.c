/* drill: move a VIP to a sibling and back, watch it, put everything back, and judge. */
#include "base/clock.h"
#include "base/err.h"
#include "cli/drill.h"
#include "cli/writer.h"
#include <inttypes.h>
#include <signal.h>
#include <string.h>

#define WAIT_MS 12000 /* a little longer than the daemon does */
#define LOOK_EVERY_MS 20
#define SETTLE_MS 3000 /* sessions of busy peers move with their first packet */
#define MAX_MS 1000
#define MAX_MS_MOST 60000

struct run {
    const struct cli *c;
    struct drill *d;
    uint8_t self;
    uint64_t serial; /* of the last event that was read */
    uint64_t settle_ns;
    FILE *report; /* NULL: none is wanted */
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    interrupted = number;
}

static void name_member(const struct status *s, uint8_t id, char ret[VIP_NAME_MAX + 1])
{
    snprintf(ret, VIP_NAME_MAX + 1, "%u", id);
    for (unsigned i = 0; i < s->member_count; i++)
        if (s->member[i].id == id)
            memcpy(ret, s->member[i].name, VIP_NAME_MAX + 1);
}

/* ---- one question each ---- */

/* All events that there are. */
static int read_events(struct run *r)
{
    bool more = true;

    while (more) {
        struct control_request request = {
            .version = CONTROL_VERSION, .kind = CONTROL_EVENTS, .after = r->serial};
        struct control_reply reply;
        int status = client_request(r->c, &request, &reply);

        if (status != EXIT_GOOD)
            return status;
        const struct control_events *e = reply.events;
        if (e && e->missed)
            drill_missed(r->d, e->missed);
        for (unsigned i = 0; e && i < e->count; i++)
            drill_event(r->d, &e->event[i]);
        r->serial = e && e->count ? e->event[e->count - 1].serial : e ? e->last : 0;
        more = e && r->serial < e->last;
        control_reply_done(&reply);
    }
    return EXIT_GOOD;
}

/* What happened before a step is not of it. */
static int skip_events(struct run *r)
{
    struct control_request request = {
        .version = CONTROL_VERSION, .kind = CONTROL_EVENTS, .after = r->serial};
    struct control_reply reply;
    int status = client_request(r->c, &request, &reply);

    if (status == EXIT_GOOD) {
        r->serial = reply.events ? reply.events->last : 0;
        control_reply_done(&reply);
    }
    return status;
}

static int order(const struct run *r, enum move_kind kind)
{
    struct control_request request = {
        .version = CONTROL_VERSION,
        .kind = CONTROL_MOVE,
        .move = {.kind = kind, .vip = r->d->vip_id, .member = r->self, .force = r->d->forced}};
    struct control_reply reply;
    int status = client_request(r->c, &request, &reply);

    if (status == EXIT_GOOD)
        control_reply_done(&reply);
    return status;
}

/* Where is the VIP? @ret "": at nobody. */
static int look(const struct run *r, bool *ret_owned, char ret[VIP_NAME_MAX + 1])
{
    struct control_reply reply;
    int status = client_ask(r->c, CONTROL_STATUS, false, &reply);

    if (status != EXIT_GOOD)
        return status;
    const struct status_vip *v = drill_vip(r->d, reply.status);
    uint8_t owner = v ? v->owned ? r->self : v->owner : 0;
    *ret = '\0';
    *ret_owned = owner == r->self;
    if (owner)
        name_member(reply.status, owner, ret);
    control_reply_done(&reply);
    return EXIT_GOOD;
}

/* ---- a step ---- */

/* Until sessions could move without a loss; in vain it is the daemon that refuses. */
static int wait_in_sync(const struct run *r)
{
    uint64_t until = clock_boot_ns() + WAIT_MS * NS_PER_MS;
    bool ready = r->d->forced;

    while (!ready && !interrupted && clock_boot_ns() < until) {
        struct control_reply reply;
        int status = client_ask(r->c, CONTROL_STATUS, false, &reply);

        if (status != EXIT_GOOD)
            return status;
        ready = drill_in_sync(r->d, reply.status);
        control_reply_done(&reply);
        if (!ready)
            cli_sleep(LOOK_EVERY_MS * NS_PER_MS);
    }
    return EXIT_GOOD;
}

static int settle(struct run *r)
{
    uint64_t until = clock_boot_ns() + r->settle_ns;
    int status = EXIT_GOOD;

    while (status == EXIT_GOOD && !interrupted && clock_boot_ns() < until) {
        cli_sleep(LOOK_EVERY_MS * NS_PER_MS);
        status = read_events(r);
    }
    return status;
}

static int count_sessions(const struct run *r)
{
    struct control_reply reply;
    int status = client_ask(r->c, CONTROL_STATUS, true, &reply);

    if (status == EXIT_GOOD) {
        drill_sessions(r->d, reply.status, clock_real_ns());
        control_reply_done(&reply);
    }
    return status;
}

/* Follow the VIP until it is where it should be. @began_ns: of the command. */
static int follow(struct run *r, bool away, uint64_t began_ns)
{
    uint64_t until = began_ns + WAIT_MS * NS_PER_MS, seen_ns = 0;
    char owner[VIP_NAME_MAX + 1];
    int status = EXIT_GOOD;
    bool there = false, owned;

    while (status == EXIT_GOOD && !there && !interrupted && clock_boot_ns() < until) {
        cli_sleep(LOOK_EVERY_MS * NS_PER_MS);
        status = look(r, &owned, owner);
        seen_ns = clock_boot_ns();
        there = status == EXIT_GOOD && *owner && owned != away;
        if (status == EXIT_GOOD)
            status = read_events(r);
    }
    if (there && status == EXIT_GOOD)
        status = settle(r);
    if (there && status == EXIT_GOOD)
        status = count_sessions(r);
    drill_end(r->d, there ? owner : NULL, (seen_ns - began_ns) / NS_PER_MS,
              interrupted           ? "interrupted"
              : status != EXIT_GOOD ? "the daemon did not answer"
                                    : "the VIP did not arrive within 12 s");
    return status;
}

static int step(struct run *r, bool away)
{
    char from[VIP_NAME_MAX + 1];
    bool owned;
    int status = wait_in_sync(r);

    if (status == EXIT_GOOD)
        status = look(r, &owned, from);
    if (status == EXIT_GOOD)
        status = skip_events(r);
    if (status != EXIT_GOOD || interrupted)
        return status;
    uint64_t began_ns = clock_boot_ns(), real_ns = clock_real_ns();
    if (away) {
        status = order(r, MOVE_DRAIN);
    } else {
        status = order(r, MOVE_UNDRAIN);
        if (status == EXIT_GOOD)
            status = order(r, MOVE_PROMOTE);
    }
    if (status != EXIT_GOOD)
        return status;
    drill_begin(r->d, away, from, real_ns);
    return follow(r, away, began_ns);
}

/* ---- before and after ---- */

/* Whatever became of the steps: not drained, and here. */
static int restore(struct run *r)
{
    uint64_t until = clock_boot_ns() + WAIT_MS * NS_PER_MS;
    char owner[VIP_NAME_MAX + 1];
    bool owned = false;
    int status = order(r, MOVE_UNDRAIN);

    if (status == EXIT_GOOD)
        status = look(r, &owned, owner);
    if (status == EXIT_GOOD && !owned)
        status = order(r, MOVE_PROMOTE);
    while (status == EXIT_GOOD && !owned && clock_boot_ns() < until) {
        cli_sleep(LOOK_EVERY_MS * NS_PER_MS);
        status = look(r, &owned, owner);
    }
    r->d->restored = status == EXIT_GOOD && owned;
    if (!r->d->restored)
        status = cli_fail(EXIT_FAILED,
                          "the VIP %s is not where it was: 'guardmount undrain --vip %s', then "
                          "'guardmount promote %s %s'",
                          r->d->vip, r->d->vip, r->d->vip, r->d->member);
    return status;
}

static int prepare(struct run *r)
{
    char objection[DRILL_TEXT_MAX];
    struct control_reply reply;
    int status = client_ask(r->c, CONTROL_STATUS, true, &reply);

    if (status != EXIT_GOOD)
        return status;
    const struct status *s = reply.status;
    if (drill_objection(r->d, s, objection)) {
        status = cli_fail(EXIT_FAILED, "%s", objection);
    } else {
        r->self = s->id;
        r->d->vip_id = drill_vip(r->d, s)->id;
        r->d->began_real_ns = clock_real_ns();
        memcpy(r->d->member, s->name, sizeof(r->d->member));
        memcpy(r->d->cluster, s->cluster, sizeof(r->d->cluster));
        if (drill_add_peers(r->d, s) < 0)
            status = cli_fail(EXIT_FAILED, "no memory for the peers");
    }
    control_reply_done(&reply);
    return status;
}

static int print_json(const struct drill *d)
{
    json_t *o = drill_json(d);
    int r = o ? json_dumpf(o, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER) : -1;

    putchar('\n');
    json_decref(o);
    return r < 0 ? cli_fail(EXIT_FAILED, "the JSON cannot be written") : EXIT_GOOD;
}

static int tell(const struct run *r)
{
    int status = EXIT_GOOD;

    if (r->c->json)
        status = print_json(r->d);
    else
        drill_text(r->d, color_wanted(r->c, stdout), stdout);
    if (r->report) {
        drill_html(r->d, r->report);
        if (fflush(r->report) != 0 || ferror(r->report))
            status = cli_fail(EXIT_FAILED, "the report cannot be written: %s", strerror(errno));
    }
    return status;
}

static int drill(struct run *r, const char *report)
{
    struct sigaction stop = {.sa_handler = on_signal};
    int status = prepare(r), restored;

    if (status != EXIT_GOOD)
        return status;
    r->report = report ? fopen(report, "we") : NULL; /* before anything moves */
    if (report && !r->report)
        return cli_fail(EXIT_FAILED, "%s: %s", report, strerror(errno));
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGHUP, &stop, NULL);
    for (unsigned i = 0; status == EXIT_GOOD && !interrupted && i < 2 * r->d->repeat; i++) {
        status = step(r, i % 2 == 0);
        if (r->d->step_count && !r->d->step[r->d->step_count - 1].arrived)
            break;
    }
    restored = restore(r);
    if (tell(r) != EXIT_GOOD)
        status = EXIT_FAILED;
    if (status == EXIT_GOOD)
        status = restored;
    if (status == EXIT_GOOD && interrupted)
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

/* 1: taken; 0: not an option; an exit code below 0 has been told. */
static int take(struct run *r, char **argv, int *i, const char **report)
{
    uint64_t n;
    const char *v;

    if (strcmp(argv[*i], "--force") == 0) {
        r->d->forced = true;
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
    } else if ((v = cli_value(argv, i, "--max-ms", "--max-ms"))) {
        if (number(v, MAX_MS_MOST, &r->d->max_ms) < 0)
            return -cli_fail(EXIT_USAGE, "drill: --max-ms takes 1 to %d, not '%s'", MAX_MS_MOST, v);
    } else if ((v = cli_value(argv, i, "--settle", "--settle"))) {
        if (cli_seconds(v, &r->settle_ns) < 0)
            return -cli_fail(EXIT_USAGE, "drill: --settle takes seconds, not '%s'", v);
    } else if ((v = cli_value(argv, i, "--method", "--method"))) {
        if (strcmp(v, "drain") != 0)
            return -cli_fail(EXIT_USAGE, "drill: the only method is drain, not '%s'", v);
    } else {
        return 0;
    }
    return 1;
}

int cmd_drill(const struct cli *c, int argc, char **argv)
{
    struct run r = {.c = c, .d = drill_new(), .settle_ns = SETTLE_MS * NS_PER_MS};
    const char *report = NULL;
    int status = EXIT_GOOD;

    if (!r.d)
        return cli_fail(EXIT_FAILED, "no memory");
    r.d->repeat = 1;
    r.d->max_ms = MAX_MS;
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
