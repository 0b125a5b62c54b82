#include "cli/drill_run.h"
#include "base/clock.h"
#include "base/err.h"
#include "cli/isolate.h"
#include <inttypes.h>
#include <signal.h>
#include <string.h>

#define WAIT_MS 12000         /* for a VIP: a little longer than the daemon does */
#define RETURN_MS 60000       /* for a member that was stopped or killed */
#define BASELINE_QUESTIONS 50 /* to each peer before the command */
#define BASELINE_MS_MAX 1000
#define LAST_ANSWERS_MS 50 /* and answers are awaited after the last look */
#define REST_MS 1300       /* a member that has just come back is fit after a second */
#define LOOK_EVERY_MS 20
#define PROMOTE_EVERY_MS 3000 /* a member that has just come back may not be fit at once */
#define TRAFFIC_EVERY_MS 100  /* rows of peers are dear */

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    interrupted = number;
}

bool drill_run_interrupted(void)
{
    return interrupted;
}

static uint64_t since_ms(uint64_t began_ns)
{
    return (clock_boot_ns() - began_ns) / NS_PER_MS;
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
static int read_events(struct drill_run *r)
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
static int skip_events(struct drill_run *r)
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

static int order_of(const struct drill_run *r, enum move_kind kind, uint16_t vip)
{
    struct control_request request = {
        .version = CONTROL_VERSION,
        .kind = CONTROL_MOVE,
        .move = {.kind = kind, .vip = vip, .member = r->d->owner_id, .force = r->d->forced}};
    struct control_reply reply;
    int status = client_request(r->c, &request, &reply);

    if (status == EXIT_GOOD)
        control_reply_done(&reply);
    return status;
}

static int order(const struct drill_run *r, enum move_kind kind)
{
    return order_of(r, kind, r->d->vip_id);
}

/* @ret->drill is there on success; control_reply_done(). */
static int ask_drill(const struct drill_run *r, enum drill_verb verb, uint32_t ms, bool peers,
                     struct control_reply *ret)
{
    struct control_request request = {.version = CONTROL_VERSION,
                                      .kind = CONTROL_DRILL,
                                      .peers = peers,
                                      .drill = {.verb = verb, .vip = r->d->vip_id, .ms = ms}};

    if (verb == DRILL_FAULT)
        request.drill.fault = drill_methods[r->d->method].fault;
    int status = client_request(r->c, &request, ret);
    if (status == EXIT_GOOD && !ret->drill) {
        control_reply_done(ret);
        status = cli_fail(EXIT_FAILED, "the daemon knows no drills");
    }
    return status;
}

/* Where is the VIP? @ret "": at nobody. */
static int look(const struct drill_run *r, bool *ret_home, char ret[VIP_NAME_MAX + 1])
{
    struct control_reply reply;
    int status = client_ask(r->c, CONTROL_STATUS, false, &reply);

    if (status != EXIT_GOOD)
        return status;
    const struct status_vip *v = drill_vip(r->d, reply.status);
    uint8_t owner = v ? v->owned ? r->self : v->owner : 0;
    *ret = '\0';
    *ret_home = owner == r->d->owner_id;
    if (owner)
        name_member(reply.status, owner, ret);
    control_reply_done(&reply);
    return EXIT_GOOD;
}

static int look_at_traffic(const struct drill_run *r, uint64_t after_ms)
{
    struct control_reply reply;
    int status = client_ask(r->c, CONTROL_STATUS, true, &reply);

    if (status == EXIT_GOOD) {
        drill_traffic(r->d, reply.status, after_ms);
        control_reply_done(&reply);
    }
    return status;
}

/* ---- a step ---- */

/* An interrupt ends it, unless it is there to put things back. */
static int wait_until(const struct drill_run *r, uint64_t ms, bool restoring, bool *ret,
                      bool (*is_so)(const struct drill *d, const struct status *s))
{
    uint64_t until = clock_boot_ns() + ms * NS_PER_MS;
    int status = EXIT_GOOD;

    *ret = false;
    while (status == EXIT_GOOD && !*ret && (restoring || !interrupted) && clock_boot_ns() < until) {
        struct control_reply reply;

        status = client_ask(r->c, CONTROL_STATUS, false, &reply);
        if (status != EXIT_GOOD)
            break;
        *ret = is_so(r->d, reply.status);
        control_reply_done(&reply);
        if (!*ret)
            cli_sleep(LOOK_EVERY_MS * NS_PER_MS);
    }
    return status;
}

/* Whoever does not come back is waited for once, by the step or after it. */
static int wait_return(struct drill_run *r, bool restoring, bool *ret)
{
    uint64_t now = clock_boot_ns();

    if (!r->return_until_ns)
        r->return_until_ns = now + RETURN_MS * NS_PER_MS;
    uint64_t left_ms = (r->return_until_ns - MIN(r->return_until_ns, now)) / NS_PER_MS;
    return wait_until(r, MAX(left_ms, LOOK_EVERY_MS), restoring, ret, drill_owner_back);
}

/* Until sessions could move without a loss; in vain it is the daemon that refuses. */
static int wait_ready(struct drill_run *r, bool away)
{
    bool ready;

    if (away)
        r->return_until_ns = 0;
    if (r->d->forced && (away || r->d->method == METHOD_DRAIN))
        return EXIT_GOOD;
    while (!interrupted && clock_boot_ns() < r->held_until_ns)
        cli_sleep(LOOK_EVERY_MS * NS_PER_MS);
    return away ? wait_until(r, WAIT_MS, false, &ready, drill_in_sync)
                : wait_return(r, false, &ready);
}

/* @began_ns: of the waiting, which may have been none. Then it came back when it was let go. */
static void rest(const struct drill_run *r, uint64_t began_ns)
{
    bool waited = since_ms(began_ns) >= LOOK_EVERY_MS;
    uint64_t until = (waited ? clock_boot_ns() : r->held_until_ns) + REST_MS * NS_PER_MS;

    while (!interrupted && clock_boot_ns() < until)
        cli_sleep(LOOK_EVERY_MS * NS_PER_MS);
}

/* Peers are asked from now on, and for a while nothing else happens. */
static int begin_asking(struct drill_run *r)
{
    uint32_t ms = (uint32_t)(BASELINE_MS_MAX + RETURN_MS + WAIT_MS + r->settle_ns / NS_PER_MS);
    struct control_reply reply;
    int status = ask_drill(r, DRILL_ASK, ms, false, &reply);

    if (status != EXIT_GOOD)
        return status;
    uint64_t age_ns = reply.drill->age_ms * NS_PER_MS;
    r->asked_ns = clock_boot_ns() - age_ns;
    r->d->every_ms = reply.drill->every_ms;
    control_reply_done(&reply);
    cli_sleep(MIN(BASELINE_QUESTIONS * r->d->every_ms, BASELINE_MS_MAX) * NS_PER_MS);
    return look_at_traffic(r, 0);
}

static int take_answers(const struct drill_run *r, uint64_t began_ns)
{
    struct control_reply reply;

    if (r->d->every_ms)
        cli_sleep(LAST_ANSWERS_MS * NS_PER_MS);
    int status = ask_drill(r, DRILL_LOOK, 0, true, &reply);
    if (status == EXIT_GOOD) {
        drill_answers(r->d, reply.drill, (began_ns - r->asked_ns) / NS_PER_MS);
        control_reply_done(&reply);
    }
    return status;
}

static int command(struct drill_run *r, bool away)
{
    struct control_reply reply;
    int status;

    if (!away) {
        status = r->d->method == METHOD_DRAIN ? order(r, MOVE_UNDRAIN) : EXIT_GOOD;
        return status == EXIT_GOOD ? order(r, MOVE_PROMOTE) : status;
    }
    if (r->d->method == METHOD_DRAIN)
        return order(r, MOVE_DRAIN);
    if (r->d->method == METHOD_ISOLATE || r->d->method == METHOD_FREEZE)
        r->held_until_ns = clock_boot_ns() + r->hold_ns;
    if (r->d->method == METHOD_ISOLATE)
        return isolate_begin(r->interfaces, r->sync_port, (unsigned)(r->hold_ns / NS_PER_MS));
    status = ask_drill(r, DRILL_FAULT, (uint32_t)(r->hold_ns / NS_PER_MS), false, &reply);
    if (status == EXIT_GOOD)
        control_reply_done(&reply);
    return status;
}

static int settle(struct drill_run *r, uint64_t began_ns)
{
    uint64_t until = clock_boot_ns() + r->settle_ns, traffic_ns = 0;
    int status = EXIT_GOOD;

    while (status == EXIT_GOOD && !interrupted && clock_boot_ns() < until) {
        if (clock_boot_ns() >= traffic_ns) {
            status = look_at_traffic(r, MAX(since_ms(began_ns), 1));
            traffic_ns = clock_boot_ns() + TRAFFIC_EVERY_MS * NS_PER_MS;
        }
        cli_sleep(LOOK_EVERY_MS * NS_PER_MS);
        if (status == EXIT_GOOD)
            status = read_events(r);
    }
    return status;
}

static int count_sessions(const struct drill_run *r)
{
    struct control_reply reply;
    int status = client_ask(r->c, CONTROL_STATUS, true, &reply);

    if (status == EXIT_GOOD) {
        drill_sessions(r->d, reply.status, clock_real_ns());
        control_reply_done(&reply);
    }
    return status;
}

/* Does the owner say no? @ret stays as it is if not. */
static int look_for_refusal(const struct drill_run *r, char ret[DRILL_TEXT_MAX])
{
    struct control_reply reply;
    int status = ask_drill(r, DRILL_LOOK, 0, false, &reply);

    if (status != EXIT_GOOD)
        return status;
    if (*reply.drill->refused)
        snprintf(ret, DRILL_TEXT_MAX,
                 "%.40s refuses: Faults in [Drill] of its configuration is off, or it had lost the "
                 "VIP, or a drill runs there",
                 reply.drill->refused);
    control_reply_done(&reply);
    return EXIT_GOOD;
}

/* Follow the VIP until it is where it should be. @began_ns: of the command. */
static int follow(struct drill_run *r, bool away, uint64_t began_ns)
{
    bool fault = away && !drill_methods[r->d->method].at_owner;
    uint64_t until = clock_boot_ns() + WAIT_MS * NS_PER_MS, seen_ns = 0;
    uint64_t again_ns = clock_boot_ns() + PROMOTE_EVERY_MS * NS_PER_MS;
    char owner[VIP_NAME_MAX + 1], refusal[DRILL_TEXT_MAX] = "";
    int status = EXIT_GOOD;
    bool there = false, home;

    while (status == EXIT_GOOD && !there && !*refusal && !interrupted && clock_boot_ns() < until) {
        cli_sleep(LOOK_EVERY_MS * NS_PER_MS);
        status = look(r, &home, owner);
        seen_ns = clock_boot_ns();
        there = status == EXIT_GOOD && *owner && home != away;
        if (status == EXIT_GOOD)
            status = read_events(r);
        if (status == EXIT_GOOD && fault && !there)
            status = look_for_refusal(r, refusal);
        if (status == EXIT_GOOD && !away && !there && seen_ns >= again_ns) {
            status = order(r, MOVE_PROMOTE);
            again_ns = seen_ns + PROMOTE_EVERY_MS * NS_PER_MS;
        }
    }
    if (there && status == EXIT_GOOD)
        status = settle(r, began_ns);
    if (there && status == EXIT_GOOD)
        status = count_sessions(r);
    if (status == EXIT_GOOD)
        status = take_answers(r, began_ns);
    drill_end(r->d, there ? owner : NULL, (seen_ns - began_ns) / NS_PER_MS,
              interrupted           ? "interrupted"
              : status != EXIT_GOOD ? "the daemon did not answer"
              : *refusal            ? refusal
                                    : "the VIP did not arrive within 12 s");
    return status;
}

/* Before the command: is there one? What happened before it is not of the step. */
static int look_if_returned(struct drill_run *r, bool away, bool *ret)
{
    char owner[VIP_NAME_MAX + 1];
    int status = look(r, ret, owner);

    *ret &= !away;
    return status == EXIT_GOOD && !*ret ? skip_events(r) : status;
}

/* A member that comes back may take its VIPs back by itself, before it is asked to: that is a step,
 * too, and peers are asked while it is waited for. */
static int step(struct drill_run *r, bool away)
{
    char from[VIP_NAME_MAX + 1];
    bool returned;
    int status = look(r, &returned, from);

    if (status == EXIT_GOOD)
        status = begin_asking(r);
    if (status == EXIT_GOOD)
        status = skip_events(r);
    uint64_t began_ns = clock_boot_ns(), real_ns = clock_real_ns();
    if (status == EXIT_GOOD)
        status = wait_ready(r, away);
    if (status == EXIT_GOOD && !away && r->d->method != METHOD_DRAIN)
        rest(r, began_ns);
    if (status == EXIT_GOOD && !interrupted)
        status = look_if_returned(r, away, &returned);
    if (status != EXIT_GOOD || interrupted)
        return status;
    if (!returned) {
        began_ns = clock_boot_ns();
        real_ns = clock_real_ns();
        status = command(r, away);
    }
    if (status != EXIT_GOOD)
        return status;
    drill_begin(r->d, away, from, real_ns);
    r->d->step[r->d->step_count - 1].returned = returned;
    return follow(r, away, began_ns);
}

/* ---- before and after ---- */

static int not_restored(const struct drill_run *r)
{
    const struct drill *d = r->d;

    if (drill_methods[d->method].at_owner)
        return cli_fail(EXIT_FAILED,
                        "the VIP %s is not where it was: 'guardmount undrain --vip %s', then "
                        "'guardmount promote %s %s'",
                        d->vip, d->vip, d->vip, d->owner);
    return cli_fail(EXIT_FAILED,
                    "the VIP %s is not where it was: when %s runs again and is in sync, "
                    "'guardmount promote %s %s'",
                    d->vip, d->owner, d->vip, d->owner);
}

static bool is_at_owner(const struct drill_run *r, const struct status *s,
                        const struct status_vip *v)
{
    return (v->owned ? s->id : v->owner) == r->d->owner_id;
}

/* The others that the fault took along. *ret: all of them are back. */
static int restore_others(const struct drill_run *r, bool *ret)
{
    uint64_t until = clock_boot_ns() + WAIT_MS * NS_PER_MS, order_ns = 0;
    int status = EXIT_GOOD;

    *ret = false;
    while (status == EXIT_GOOD && !*ret && clock_boot_ns() < until) {
        struct control_reply reply;
        bool order_now = clock_boot_ns() >= order_ns;

        status = client_ask(r->c, CONTROL_STATUS, false, &reply);
        if (status != EXIT_GOOD)
            break;
        *ret = true;
        for (unsigned i = 0; i < reply.status->vip_count && status == EXIT_GOOD; i++) {
            const struct status_vip *v = &reply.status->vip[i];

            for (unsigned k = 0; k < r->also_count; k++) {
                if (v->id != r->also[k] || is_at_owner(r, reply.status, v))
                    continue;
                *ret = false;
                if (order_now)
                    status = order_of(r, MOVE_PROMOTE, v->id);
            }
        }
        control_reply_done(&reply);
        if (order_now)
            order_ns = clock_boot_ns() + PROMOTE_EVERY_MS * NS_PER_MS;
        if (!*ret)
            cli_sleep(LOOK_EVERY_MS * NS_PER_MS);
    }
    return status;
}

/* Whatever became of the steps: not isolated, not drained, and where it was. What was stopped or
 * killed its service manager starts, and what was frozen its kernel wakes. */
static int restore(struct drill_run *r)
{
    uint64_t until;
    char owner[VIP_NAME_MAX + 1];
    bool home = false, back = true;
    int status = EXIT_GOOD;

    if (r->d->method == METHOD_ISOLATE)
        isolate_end();
    if (r->d->method == METHOD_DRAIN)
        status = order(r, MOVE_UNDRAIN);
    if (status == EXIT_GOOD)
        status = look(r, &home, owner);
    if (status == EXIT_GOOD && !home && r->d->method != METHOD_DRAIN)
        status = wait_return(r, true, &back);
    if (status == EXIT_GOOD && !home && back)
        status = order(r, MOVE_PROMOTE);
    until = clock_boot_ns() + WAIT_MS * NS_PER_MS;
    while (status == EXIT_GOOD && !home && back && clock_boot_ns() < until) {
        cli_sleep(LOOK_EVERY_MS * NS_PER_MS);
        status = look(r, &home, owner);
    }
    if (status != EXIT_GOOD || !home)
        return not_restored(r);
    status = restore_others(r, &r->d->restored);
    if (status == EXIT_GOOD && !r->d->restored)
        status =
            cli_fail(EXIT_FAILED,
                     "other VIPs that %s had are not where they were: 'guardmount status' shows "
                     "them, 'guardmount promote VIP %s' gives one back",
                     r->d->owner, r->d->owner);
    return status;
}

/* Nobody is asked any longer. */
static void end_asking(const struct drill_run *r)
{
    struct control_reply reply;

    if (r->asked_ns && ask_drill(r, DRILL_ASK, 0, false, &reply) == EXIT_GOOD)
        control_reply_done(&reply);
}

static uint64_t threshold(uint64_t given, uint64_t configured)
{
    return given ? given : configured;
}

static int take_configuration(struct drill_run *r)
{
    struct control_reply reply;
    int status = ask_drill(r, DRILL_LOOK, 0, false, &reply);

    if (status != EXIT_GOOD)
        return status;
    const struct control_drill *c = reply.drill;
    r->d->max_ms = threshold(r->d->max_ms, c->max_takeover_ms);
    r->d->max_gap_ms = threshold(r->d->max_gap_ms, c->max_gap_ms);
    r->d->max_lost = threshold(r->d->max_lost, c->max_lost);
    memcpy(r->interfaces, c->interfaces, sizeof(r->interfaces));
    r->sync_port = c->sync_port;
    control_reply_done(&reply);
    return EXIT_GOOD;
}

int drill_run_prepare(struct drill_run *r, bool *ret_others)
{
    char objection[DRILL_TEXT_MAX];
    struct control_reply reply;
    int status = client_ask(r->c, CONTROL_STATUS, true, &reply);

    if (status != EXIT_GOOD)
        return status;
    const struct status *s = reply.status;
    *ret_others = drill_is_others(r->d, s);
    if (r->scheduled && *ret_others) {
        control_reply_done(&reply);
        return EXIT_GOOD;
    }
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
        for (unsigned i = 0; i < s->vip_count && r->d->method != METHOD_DRAIN; i++)
            if (s->vip[i].id != r->d->vip_id && is_at_owner(r, s, &s->vip[i]))
                r->also[r->also_count++] = s->vip[i].id;
    }
    control_reply_done(&reply);
    return status == EXIT_GOOD ? take_configuration(r) : status;
}

int drill_run(struct drill_run *r)
{
    struct sigaction stop = {.sa_handler = on_signal};
    int status = EXIT_GOOD, restored;

    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGHUP, &stop, NULL);
    for (unsigned i = 0; status == EXIT_GOOD && !interrupted && i < 2 * r->d->repeat; i++) {
        status = step(r, i % 2 == 0);
        if (r->d->step_count && !r->d->step[r->d->step_count - 1].arrived)
            break;
    }
    end_asking(r);
    restored = restore(r);
    return status == EXIT_GOOD ? restored : status;
}
