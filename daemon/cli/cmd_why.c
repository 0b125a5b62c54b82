/* why: in one screen, why a peer is down. */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "cli/why.h"
#include "cli/writer.h"
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <string.h>

#define SCHEMA 1 /* of the JSON; keys are only ever added to it */

struct shown {
    const struct control_why *y;
    bool color;
};

static const char *ago(const struct shown *x, uint64_t real_ns, char buf[SHOWN_LEN])
{
    uint64_t now = x->y->now_real_ns;

    return show_age(buf, now > real_ns ? (now - real_ns) / NS_PER_MS : 0);
}

static void row(const struct shown *x, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void row(const struct shown *x, const char *name, const char *format, ...)
{
    va_list args;

    printf("  %s%-16s%s", tone_on(x->color, TONE_HEAD), name, tone_off(x->color));
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

static void fact_row(const struct shown *x, const char *name, const struct control_fact *f)
{
    char age[SHOWN_LEN];
    bool reason = *f->reason && strcmp(f->reason, "none") != 0;

    if (f->real_ns)
        row(x, name, "%s ago%s%s%s%s (%" PRIu64 " time%s)", ago(x, f->real_ns, age),
            *f->endpoint ? ", " : "", f->endpoint, reason ? ", " : "", reason ? f->reason : "",
            f->count, f->count == 1 ? "" : "s");
}

static void show_facts(const struct shown *x)
{
    const struct control_why *y = x->y;
    char age[SHOWN_LEN], other[SHOWN_LEN];

    row(x, "record", "%s", y->state);
    if (*y->vip)
        row(x, "VIP", "%s, %s here, owner %s", y->vip, y->vip_state,
            *y->owner_name ? y->owner_name : "nobody known");
    if (y->served) {
        row(x, "endpoint", "%s", *y->endpoint ? y->endpoint : "not known");
        row(x, "last handshake", "%s%s",
            y->handshake_real_ns ? ago(x, y->handshake_real_ns, age) : "never",
            y->handshake_real_ns ? " ago" : "");
        row(x, "traffic", "%s received, %s sent", show_bytes(age, y->rx_bytes),
            show_bytes(other, y->tx_bytes));
        row(x, "AllowedIPs", "%s", *y->allowed ? y->allowed : "none");
        if (*y->group)
            row(x, "group", "%s, %s", y->group, y->isolated ? "isolated" : "open");
    }
    if (y->has_session)
        row(x, "session", "%s old, %s, data %s%s", show_age(age, y->session.age_ms),
            y->session.owned ? "ours" : "a sibling's replica",
            y->data_ms ? show_age(other, y->data_ms) : "not yet", y->data_ms ? " ago" : "");
    if (y->attempts)
        row(x, "hub asks", "%u time%s since %s", y->attempts, y->attempts == 1 ? "" : "s",
            show_age(age, y->attempts_ms));
    fact_row(x, "refused", &y->refused);
    fact_row(x, "answered", &y->answered);
    fact_row(x, "gave up asking", &y->unanswered);
    fact_row(x, "data refused", &y->data_refused);
    fact_row(x, "not taken over", &y->session_refused);
}

static void show_text(const struct shown *x, const struct why *w)
{
    char key[KEY_TEXT_LEN + 1];

    key_to_base64(x->y->key.b, key);
    printf("%s%s%s is %s%s%s: %s\n", *x->y->name ? x->y->name : key, *x->y->name ? " " : "",
           *x->y->name ? key : "", tone_on(x->color, w->up ? TONE_GOOD : TONE_BAD),
           w->up          ? "up"
           : w->elsewhere ? "another member's"
                          : "down",
           tone_off(x->color), w->finding[0].sentence);
    if (*w->finding[0].remedy)
        printf("  what to do: %s\n", w->finding[0].remedy);
    for (unsigned i = 1; i < w->count; i++)
        printf("besides, %s\n  what to do: %s\n", w->finding[i].sentence, w->finding[i].remedy);
    putchar('\n');
    show_facts(x);
}

/* ---- JSON ---- */

static void set_time(json_t *o, const char *key, uint64_t real_ns)
{
    char text[SHOWN_LEN];

    if (real_ns)
        json_object_set_new(o, key, json_string(show_time(text, real_ns)));
}

static void set_text(json_t *o, const char *key, const char *text)
{
    if (*text)
        json_object_set_new(o, key, json_string(text));
}

static void set_fact(json_t *o, const char *key, const struct control_fact *f)
{
    json_t *fact;

    if (!f->real_ns)
        return;
    fact = json_pack("{s:I}", "count", (json_int_t)f->count);
    set_time(fact, "last", f->real_ns);
    if (strcmp(f->reason, "none") != 0)
        set_text(fact, "reason", f->reason);
    set_text(fact, "endpoint", f->endpoint);
    set_text(fact, "vip", f->vip);
    if (f->member)
        json_object_set_new(fact, "member", json_integer(f->member));
    json_object_set_new(o, key, fact);
}

static json_t *facts_json(const struct control_why *y)
{
    json_t *o =
        json_pack("{s:s, s:b, s:b, s:b, s:I, s:I, s:i, s:s, s:i}", "state", y->state, "served",
                  y->served, "vip_owned", y->vip_owned, "fit", y->fit, "rx_bytes",
                  (json_int_t)y->rx_bytes, "tx_bytes", (json_int_t)y->tx_bytes, "keepalive_s",
                  y->keepalive_s, "allowed_ips", y->allowed, "attempts", (int)y->attempts);

    if (*y->group)
        json_object_set_new(o, "isolated", json_boolean(y->isolated));
    set_text(o, "group", y->group);
    set_text(o, "networks", y->networks);
    set_text(o, "vip", y->vip);
    set_text(o, "vip_state", y->vip_state);
    set_text(o, "owner_name", y->owner_name);
    set_text(o, "endpoint", y->endpoint);
    set_time(o, "last_handshake", y->handshake_real_ns);
    set_time(o, "highest_timestamp", y->stamp_real_ns);
    if (y->has_session)
        json_object_set_new(o, "session",
                            json_pack("{s:i, s:b, s:I, s:I}", "term", y->session.term, "owned",
                                      y->session.owned, "age_ms", (json_int_t)y->session.age_ms,
                                      "data_ms", (json_int_t)y->data_ms));
    set_fact(o, "refused", &y->refused);
    set_fact(o, "answered", &y->answered);
    set_fact(o, "unanswered", &y->unanswered);
    set_fact(o, "data_refused", &y->data_refused);
    set_fact(o, "session_refused", &y->session_refused);
    return o;
}

static int show_json(const struct control_why *y, const struct why *w)
{
    char key[KEY_TEXT_LEN + 1];
    json_t *findings = json_array(), *o;

    for (unsigned i = 0; i < w->count; i++)
        json_array_append_new(findings,
                              json_pack("{s:s, s:s, s:s}", "code", w->finding[i].code, "sentence",
                                        w->finding[i].sentence, "remedy", w->finding[i].remedy));
    key_to_base64(y->key.b, key);
    o = json_pack("{s:i, s:s, s:s, s:b, s:s, s:o, s:o}", "schema", SCHEMA, "public_key", key,
                  "name", y->name, "up", w->up, "verdict", w->finding[0].code, "findings", findings,
                  "facts", facts_json(y));
    return cli_json(o, false);
}

int cmd_why(const struct cli *c, int argc, char **argv)
{
    struct control_request request = {.version = CONTROL_VERSION, .kind = CONTROL_WHY};
    struct control_reply reply;
    struct why w;
    int r;

    if (argc != 1 || argv[0][0] == '-')
        return cli_fail(EXIT_USAGE, "why takes one peer, by name or key; try 'guardmount why "
                                    "--help'");
    if (!*argv[0] || strlen(argv[0]) >= sizeof(request.peer))
        return cli_fail(EXIT_USAGE, "why: '%s' is no name or key of a peer", argv[0]);
    strcpy(request.peer, argv[0]);
    r = client_request(c, &request, &reply);
    if (r != EXIT_GOOD)
        return r;
    if (!reply.why) {
        control_reply_done(&reply);
        return cli_fail(EXIT_UNREACHABLE, "the daemon's answer makes no sense");
    }
    why_judge(reply.why, &w);
    if (c->json)
        r = show_json(reply.why, &w);
    else
        show_text(&(struct shown){reply.why, color_wanted(c, stdout)}, &w);
    control_reply_done(&reply);
    return r != EXIT_GOOD ? r : w.up ? EXIT_GOOD : EXIT_DEGRADED;
}
