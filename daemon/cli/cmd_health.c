/* health: an exit code for monitors, and the reasons. */
#include "base/err.h"
#include "cli/health.h"
#include "cli/writer.h"
#include <jansson.h>
#include <string.h>

#define SCHEMA 1 /* of the JSON; keys are only ever added to it */

/* Of monitoring plugins. */
enum { MONITOR_OK, MONITOR_WARNING, MONITOR_CRITICAL, MONITOR_UNKNOWN };

static int show_json(const struct health *h)
{
    json_t *reasons = json_array(), *o;

    for (unsigned i = 0; i < h->count; i++)
        json_array_append_new(reasons, json_string(h->reason[i]));
    o = json_pack("{s:i, s:b, s:b, s:o}", "schema", SCHEMA, "healthy", h->count == 0, "critical",
                  h->critical, "reasons", reasons);
    return cli_json(o, false);
}

static int show(const struct cli *c, const struct health *h)
{
    int r = EXIT_GOOD;

    if (c->json) {
        r = show_json(h);
    } else {
        puts(h->count ? "degraded:" : "healthy");
        for (unsigned i = 0; i < h->count; i++)
            printf("  %s\n", h->reason[i]);
    }
    return r != EXIT_GOOD ? r : h->count ? EXIT_DEGRADED : EXIT_GOOD;
}

/* One line: what it is, the reasons, and numbers behind a bar. */
static int show_monitor(const struct status *s, const struct health *h)
{
    unsigned owned = 0, peers = 0, connected = 0, sessions = 0;

    for (unsigned i = 0; i < s->vip_count; i++)
        owned += s->vip[i].owned;
    for (unsigned i = 0; i < s->hub_count; i++) {
        peers += s->hub[i].peers;
        connected += s->hub[i].peers_with_session;
        sessions += s->hub[i].sessions_owned;
    }
    printf("GUARDMOUNT %s - ", !h->count ? "OK" : h->critical ? "CRITICAL" : "WARNING");
    if (!h->count)
        printf("%s is %s", s->name, status_state(s));
    for (unsigned i = 0; i < h->count; i++)
        printf("%s%s", i ? "; " : "", h->reason[i]);
    printf(" | vips=%u peers=%u connected=%u sessions=%u\n", owned, peers, connected, sessions);
    return !h->count ? MONITOR_OK : h->critical ? MONITOR_CRITICAL : MONITOR_WARNING;
}

static int monitor_fails(int status, const char *error)
{
    bool down = status == EXIT_UNREACHABLE;

    printf("GUARDMOUNT %s - %s\n", down ? "CRITICAL" : "UNKNOWN", error);
    return down ? MONITOR_CRITICAL : MONITOR_UNKNOWN;
}

int cmd_health(const struct cli *c, int argc, char **argv)
{
    struct control_request request = {.version = CONTROL_VERSION, .kind = CONTROL_STATUS};
    bool quiet = false, monitor = false;
    struct control_reply reply;
    char error[CLI_ERROR_LEN];
    struct health h;
    int r;

    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "-q") == 0 || strcmp(argv[i], "--quiet") == 0)
            quiet = true;
        else if (strcmp(argv[i], "--nagios") == 0)
            monitor = true;
        else
            return cli_fail(EXIT_USAGE, "health: unexpected '%s'; try 'guardmount health --help'",
                            argv[i]);
    }
    if (monitor && (quiet || c->json))
        return cli_fail(EXIT_USAGE, "health: --nagios has a form of its own; leave out --quiet and "
                                    "--json");
    r = client_try(c, &request, &reply, error);
    if (r != EXIT_GOOD)
        return monitor ? monitor_fails(r, error) : cli_fail(r, "%s", error);
    health_judge(reply.status, &h);
    if (monitor)
        r = show_monitor(reply.status, &h);
    else
        r = quiet ? (h.count ? EXIT_DEGRADED : EXIT_GOOD) : show(c, &h);
    control_reply_done(&reply);
    return r;
}
