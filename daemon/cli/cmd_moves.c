/* drain, undrain, promote: ask for a planned move and wait until it is over; upgrade-check. */
#include "base/clock.h"
#include "base/err.h"
#include "cli/writer.h"
#include <jansson.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#define SCHEMA 1
#define WAIT_MS 12000    /* a little longer than the daemon does */
#define LOOK_EVERY_MS 50 /* at where the VIPs are */
#define SHOW_AFTER_MS 1000

struct wish {
    struct control_move move;
    char member[VIP_NAME_MAX + 1]; /* who is drained, or promoted */
    uint8_t member_id;
    uint64_t began_ns;
    uint64_t arrived_ms[VIPS_MAX]; /* by row of the status */
    bool arrived[VIPS_MAX];
};

static const char *name_of(const struct status *s, uint8_t member)
{
    for (unsigned i = 0; i < s->member_count; i++)
        if (s->member[i].id == member)
            return s->member[i].name;
    return "nobody";
}

static uint8_t owner_of(const struct status *s, const struct status_vip *v)
{
    return v->owned ? s->id : v->owner;
}

/* ---- what is meant ---- */

static int find_member(struct wish *w, const struct status *s, const char *name)
{
    for (unsigned i = 0; i < s->member_count; i++)
        if (name ? strcmp(s->member[i].name, name) == 0 : s->member[i].self) {
            w->move.member = w->member_id = s->member[i].id;
            snprintf(w->member, sizeof(w->member), "%s", s->member[i].name);
            return EXIT_GOOD;
        }
    return cli_fail(EXIT_FAILED, "there is no member '%s'; 'guardmount status' lists them",
                    name ? name : "here");
}

static int find_vip(struct wish *w, const struct status *s, const char *name)
{
    for (unsigned i = 0; name && i < s->vip_count; i++)
        if (strcmp(s->vip[i].name, name) == 0) {
            w->move.vip = s->vip[i].id;
            return EXIT_GOOD;
        }
    return name
               ? cli_fail(EXIT_FAILED, "there is no VIP '%s'; 'guardmount status' lists them", name)
               : EXIT_GOOD;
}

static bool is_meant(const struct wish *w, const struct status_vip *v)
{
    return !w->move.vip || v->id == w->move.vip;
}

/* ---- waiting ---- */

/* Is this VIP where it was wished to be? */
static bool is_there(const struct wish *w, const struct status *s, const struct status_vip *v)
{
    uint8_t owner = owner_of(s, v);

    switch (w->move.kind) {
    case MOVE_PROMOTE:
        return owner == w->member_id;
    case MOVE_DRAIN:
        return owner && owner != w->member_id;
    default:
        return true; /* nothing moves because of it */
    }
}

static bool look(struct wish *w, const struct status *s)
{
    bool all = true;

    for (unsigned i = 0; i < s->vip_count; i++) {
        if (!is_meant(w, &s->vip[i]))
            continue;
        bool there = is_there(w, s, &s->vip[i]);
        if (there && !w->arrived[i])
            w->arrived_ms[i] = (clock_boot_ns() - w->began_ns) / NS_PER_MS;
        w->arrived[i] = there;
        all &= there;
    }
    return all;
}

static void show_waiting(const struct wish *w, const struct status *s)
{
    fputs("\rwaiting for", stderr);
    for (unsigned i = 0; i < s->vip_count; i++)
        if (is_meant(w, &s->vip[i]) && !w->arrived[i])
            fprintf(stderr, " %s (at %s)", s->vip[i].name, name_of(s, owner_of(s, &s->vip[i])));
    fputs("...\033[K", stderr);
}

/* Until all is there, or the time is over. The last status is in @ret. */
static int wait_for(const struct cli *c, struct wish *w, bool *ret_done, struct control_reply *ret)
{
    uint64_t until = w->began_ns + WAIT_MS * NS_PER_MS;
    bool shown = false;
    int r;

    while ((r = client_ask(c, CONTROL_STATUS, false, ret)) == EXIT_GOOD) {
        *ret_done = look(w, ret->status);
        if (*ret_done || clock_boot_ns() >= until)
            break;
        if (isatty(STDERR_FILENO) && clock_boot_ns() - w->began_ns > SHOW_AFTER_MS * NS_PER_MS) {
            show_waiting(w, ret->status);
            shown = true;
        }
        control_reply_done(ret);
        nanosleep(&(struct timespec){.tv_nsec = LOOK_EVERY_MS * (long)NS_PER_MS}, NULL);
    }
    if (shown)
        fputs("\r\033[K", stderr);
    return r;
}

/* ---- the result ---- */

static const char *const verbs[] = {
    [MOVE_DRAIN] = "drain", [MOVE_UNDRAIN] = "undrain", [MOVE_PROMOTE] = "promote"};

static void print_text(const struct wish *w, const struct status *s, bool done)
{
    static const char *const said[] = {[MOVE_DRAIN] = "drained",
                                       [MOVE_UNDRAIN] = "no longer drained",
                                       [MOVE_PROMOTE] = "promoted"};

    if (done)
        printf("%s: %s\n", w->member, said[w->move.kind]);
    else
        printf("%s: %s not done\n", w->member, verbs[w->move.kind]);
    for (unsigned i = 0; i < s->vip_count; i++)
        if (is_meant(w, &s->vip[i]))
            printf("  VIP %s is at %s%s\n", s->vip[i].name, name_of(s, owner_of(s, &s->vip[i])),
                   w->arrived[i] ? "" : ", and has not moved");
}

static int result_json(const struct wish *w, const struct status *s, bool done)
{
    json_t *vips = json_array();

    for (unsigned i = 0; i < s->vip_count; i++) {
        const struct status_vip *v = &s->vip[i];
        uint8_t owner = owner_of(s, v);

        if (!is_meant(w, v))
            continue;
        json_t *o = json_pack("{s:i, s:s, s:i, s:b}", "id", v->id, "name", v->name, "owner", owner,
                              "done", w->arrived[i]);
        if (owner)
            json_object_set_new(o, "owner_name", json_string(name_of(s, owner)));
        if (w->arrived[i])
            json_object_set_new(o, "took_ms", json_integer((json_int_t)w->arrived_ms[i]));
        json_array_append_new(vips, o);
    }
    return cli_json(json_pack("{s:i, s:s, s:s, s:b, s:o}", "schema", SCHEMA, "action",
                              verbs[w->move.kind], "member", w->member, "done", done, "vips", vips),
                    false);
}

static int ask(const struct cli *c, struct wish *w)
{
    struct control_request request = {
        .version = CONTROL_VERSION, .kind = CONTROL_MOVE, .move = w->move};
    struct control_reply reply;
    bool done = false;
    int r = client_request(c, &request, &reply);

    if (r != EXIT_GOOD)
        return r;
    control_reply_done(&reply);
    w->began_ns = clock_boot_ns();
    r = wait_for(c, w, &done, &reply);
    if (r != EXIT_GOOD)
        return r;
    if (c->json)
        r = result_json(w, reply.status, done);
    else
        print_text(w, reply.status, done);
    control_reply_done(&reply);
    if (r == EXIT_GOOD && !done)
        r = cli_fail(EXIT_FAILED,
                     "not all is where it should be after %d s; the log of %s and "
                     "'guardmount status' there tell why",
                     WAIT_MS / 1000, w->member);
    return r;
}

static int resolve(const struct cli *c, struct wish *w, const char *vip, const char *member)
{
    struct control_reply reply;
    int r = client_ask(c, CONTROL_STATUS, false, &reply);

    if (r != EXIT_GOOD)
        return r;
    r = find_vip(w, reply.status, vip);
    if (r == EXIT_GOOD)
        r = find_member(w, reply.status, member);
    control_reply_done(&reply);
    return r;
}

/* [--vip V] [--force] [MEMBER] */
static int drain_or_undrain(const struct cli *c, enum move_kind kind, int argc, char **argv)
{
    struct wish w = {.move.kind = kind};
    const char *vip = NULL, *member = NULL, *v;

    for (int i = 0; i < argc; i++) {
        if ((v = cli_value(argv, &i, "--vip", "--vip"))) {
            if (!*v)
                return cli_fail(EXIT_USAGE, "--vip needs the name of a VIP");
            vip = v;
        } else if (strcmp(argv[i], "--force") == 0 && kind == MOVE_DRAIN) {
            w.move.force = true;
        } else if (argv[i][0] == '-' || member) {
            return cli_fail(EXIT_USAGE, "%s: unexpected '%s'; try 'guardmount %s --help'",
                            verbs[kind], argv[i], verbs[kind]);
        } else {
            member = argv[i];
        }
    }
    int r = resolve(c, &w, vip, member);
    return r == EXIT_GOOD ? ask(c, &w) : r;
}

int cmd_drain(const struct cli *c, int argc, char **argv)
{
    return drain_or_undrain(c, MOVE_DRAIN, argc, argv);
}

int cmd_undrain(const struct cli *c, int argc, char **argv)
{
    return drain_or_undrain(c, MOVE_UNDRAIN, argc, argv);
}

int cmd_promote(const struct cli *c, int argc, char **argv)
{
    struct wish w = {.move.kind = MOVE_PROMOTE};
    const char *words[2] = {0};
    unsigned count = 0;

    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--force") == 0)
            w.move.force = true;
        else if (argv[i][0] == '-' || count == 2)
            return cli_fail(EXIT_USAGE, "promote: unexpected '%s'; try 'guardmount promote --help'",
                            argv[i]);
        else
            words[count++] = argv[i];
    }
    if (count != 2)
        return cli_fail(EXIT_USAGE, "promote needs a VIP and a member: guardmount promote VIP "
                                    "MEMBER");
    int r = resolve(c, &w, words[0], words[1]);
    return r == EXIT_GOOD ? ask(c, &w) : r;
}

/* ---- upgrade-check ---- */

static void say(json_t *list, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(json_t *list, const char *format, ...)
{
    char text[CELL_MAX * 2];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    json_array_append_new(list, json_string(text));
}

static const struct status_member *sibling(const struct status *s, uint8_t id)
{
    for (unsigned i = 0; i < s->member_count; i++)
        if (s->member[i].id == id && !s->member[i].self)
            return &s->member[i];
    return NULL;
}

/* Would a restart of this member now cost anybody anything? */
static json_t *objections(const struct status *s)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < s->vip_count; i++) {
        const struct status_vip *v = &s->vip[i];
        const struct status_member *m = sibling(s, v->owner);

        if (v->owned)
            say(list, "it owns the VIP %s: 'guardmount drain' moves it away first", v->name);
        else if (!m)
            say(list, "nobody is known to own the VIP %s", v->name);
        else if (strcmp(m->link, "live") != 0 || !m->in_sync)
            say(list, "%s, which owns the VIP %s, is not in sync with this member", m->name,
                v->name);
    }
    return list;
}

int cmd_upgrade_check(const struct cli *c, int argc, char **argv)
{
    struct control_reply reply;

    if (argc)
        return cli_fail(EXIT_USAGE, "upgrade-check takes no arguments");
    int r = client_ask(c, CONTROL_STATUS, false, &reply);
    if (r != EXIT_GOOD)
        return r;
    const struct status *s = reply.status;
    json_t *list = objections(s);
    bool safe = json_array_size(list) == 0;
    if (c->json) {
        r = cli_json(json_pack("{s:i, s:s, s:b, s:O}", "schema", SCHEMA, "member", s->name, "safe",
                               safe, "reasons", list),
                     false);
    } else {
        printf("%s: %s\n", s->name, safe ? "safe to restart" : "not safe to restart:");
        for (size_t i = 0; i < json_array_size(list); i++)
            printf("  %s\n", json_string_value(json_array_get(list, i)));
    }
    json_decref(list);
    control_reply_done(&reply);
    return r == EXIT_GOOD && !safe ? EXIT_DEGRADED : r;
}
