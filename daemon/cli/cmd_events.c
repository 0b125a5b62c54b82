/* events: what the daemon's journal holds, and what comes. */
#include "base/clock.h"
#include "base/err.h"
#include "cli/writer.h"
#include "model/notice.h"
#include <ctype.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#define SCHEMA 1     /* of the JSON; keys are only ever added to it */
#define WAIT_MS 3000 /* of one request; the next one goes on where it ended */

struct reading {
    const struct cli *c;
    uint64_t after, not_before_ns; /* serial; UTC */
    bool color, follow;
};

/* "12": a serial number; "10m": an age. -EINVAL. */
static int since_parse(const char *text, struct reading *r)
{
    static const struct {
        const char *unit;
        uint64_t seconds;
    } units[] = {{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    uint64_t now = clock_real_ns(), number;
    char *end;

    if (!isdigit((unsigned char)*text))
        return -EINVAL;
    errno = 0;
    number = strtoull(text, &end, 10);
    if (errno)
        return -EINVAL;
    if (!*end) {
        r->after = number;
        return 0;
    }
    for (unsigned i = 0; i < ARRAY_LEN(units); i++)
        if (strcmp(end, units[i].unit) == 0) {
            uint64_t most = now / NS_PER_S / units[i].seconds;
            r->not_before_ns = now - MIN(number, most) * units[i].seconds * NS_PER_S;
            return 0;
        }
    return -EINVAL;
}

static void print_text(const struct reading *r, const struct control_event *e)
{
    const struct notice_kind_info *kind = notice_kind_find(e->name);
    enum tone tone = kind && kind->level <= LOG_LEVEL_WARN ? TONE_BAD : TONE_PLAIN;
    char time[SHOWN_LEN];

    printf("%s%s%s  %6" PRIu64 "  %s%-20s%s", tone_on(r->color, TONE_DIM),
           show_time(time, e->real_ns), tone_off(r->color), e->serial, tone_on(r->color, tone),
           e->name, tone_off(r->color && tone));
    if (kind)
        printf("  %s:", kind->sentence);
    for (unsigned i = 0; i < e->field_count; i++)
        printf(" %s=%s", e->field[i].key, e->field[i].value);
    putchar('\n');
}

static void print_json(const struct control_event *e)
{
    char time[SHOWN_LEN];
    json_t *o = json_pack("{s:i, s:I, s:s, s:s}", "schema", SCHEMA, "serial", (json_int_t)e->serial,
                          "time", show_time(time, e->real_ns), "event", e->name);

    for (unsigned i = 0; i < e->field_count; i++) {
        const struct notice_field_info *f = notice_field_find(e->field[i].key);
        json_t *value = f && f->number
                            ? json_integer((json_int_t)strtoull(e->field[i].value, NULL, 10))
                            : json_string(e->field[i].value);
        json_object_set_new(o, e->field[i].key, value);
    }
    cli_json(o, true);
}

static void print_missed(const struct reading *r, uint64_t missed)
{
    if (r->c->json)
        printf("{\"schema\":%d,\"missed\":%" PRIu64 "}\n", SCHEMA, missed);
    else
        printf("%s... %" PRIu64 " older events are gone%s\n", tone_on(r->color, TONE_BAD), missed,
               tone_off(r->color));
}

static void print_events(struct reading *r, const struct control_events *e)
{
    /* At the start, that old ones are gone is no surprise unless they were asked for by number. */
    if (e->missed && r->after)
        print_missed(r, e->missed);
    for (unsigned i = 0; i < e->count; i++) {
        if (e->event[i].real_ns < r->not_before_ns)
            continue;
        if (r->c->json)
            print_json(&e->event[i]);
        else
            print_text(r, &e->event[i]);
    }
}

static int read_events(struct reading *r)
{
    bool more = true;

    while (more) {
        struct control_request request = {.version = CONTROL_VERSION,
                                          .kind = CONTROL_EVENTS,
                                          .after = r->after,
                                          .wait_ms = r->follow ? WAIT_MS : 0};
        struct control_reply reply;
        int status = client_request(r->c, &request, &reply);

        if (status != EXIT_GOOD)
            return status;
        const struct control_events *e = reply.events;
        if (e)
            print_events(r, e);
        /* All that there is was read, or the daemon started anew and counts from 1 again. */
        uint64_t read = e && e->count ? e->event[e->count - 1].serial : e ? e->last : 0;
        more = r->follow ? !reader_gone() : e && read < e->last;
        r->after = read;
        control_reply_done(&reply);
        if (fflush(stdout) != 0)
            return cli_fail(EXIT_FAILED, "the output cannot be written: %s", strerror(errno));
    }
    return EXIT_GOOD;
}

int cmd_events(const struct cli *c, int argc, char **argv)
{
    struct reading r = {.c = c, .color = color_wanted(c, stdout)};

    for (int i = 0; i < argc; i++) {
        const char *v;

        if (strcmp(argv[i], "-f") == 0 || strcmp(argv[i], "--follow") == 0) {
            r.follow = true;
        } else if ((v = cli_value(argv, &i, "--since", "--since"))) {
            if (since_parse(v, &r) < 0)
                return cli_fail(EXIT_USAGE,
                                "events: --since takes an event's number, or a time such as 10m "
                                "(s, m, h, d), not '%s'",
                                v);
        } else {
            return cli_fail(EXIT_USAGE, "events: unexpected '%s'; try 'guardmount events --help'",
                            argv[i]);
        }
    }
    return read_events(&r);
}
