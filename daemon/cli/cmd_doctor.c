/* doctor: what is wrong with this machine as a member, and what to do about it. */
#include "base/err.h"
#include "cli/doctor.h"
#include "cli/writer.h"
#include <jansson.h>
#include <string.h>

#define SCHEMA 1 /* of the JSON; keys are only ever added to it */
#define KEEPALIVED_CONF "/etc/keepalived/keepalived.conf"

static int show_json(const struct doctor *d)
{
    json_t *list = json_array(), *o;

    for (unsigned i = 0; i < d->count; i++) {
        const struct finding *f = &d->finding[i];
        json_t *row = json_pack("{s:s, s:s, s:s}", "check", f->check, "severity",
                                severity_name(f->severity), "text", f->text);

        if (*f->remedy)
            json_object_set_new(row, "remedy", json_string(f->remedy));
        json_array_append_new(list, row);
    }
    o = json_pack("{s:i, s:b, s:o}", "schema", SCHEMA, "healthy", d->faults == 0, "findings", list);
    return cli_json(o, false);
}

static void show_text(const struct doctor *d, bool color, bool all)
{
    static const enum tone tones[] = {[FINDING_GOOD] = TONE_GOOD,
                                      [FINDING_NOTE] = TONE_DIM,
                                      [FINDING_WARN] = TONE_BAD,
                                      [FINDING_FAIL] = TONE_BAD};

    for (unsigned i = 0; i < d->count; i++) {
        const struct finding *f = &d->finding[i];

        if (f->severity < FINDING_WARN && !all)
            continue;
        printf("%s%s%s  %-15s %s\n", tone_on(color, tones[f->severity]), severity_name(f->severity),
               tone_off(color), f->check, f->text);
        if (*f->remedy)
            printf("      %-15s what to do: %s\n", "", f->remedy);
    }
    if (d->faults == 0)
        puts(all ? "nothing is wrong" : "nothing is wrong (--all shows what was looked at)");
    else
        printf("%u thing%s to look at\n", d->faults, d->faults == 1 ? "" : "s");
}

int cmd_doctor(const struct cli *c, int argc, char **argv)
{
    const char *keepalived_conf = KEEPALIVED_CONF, *v;
    struct host *h;
    struct doctor *d;
    bool all = false;
    int r = EXIT_GOOD;

    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--all") == 0)
            all = true;
        else if ((v = cli_value(argv, &i, "--keepalived", "--keepalived")) && *v)
            keepalived_conf = v;
        else if (v)
            return cli_fail(EXIT_USAGE, "doctor: --keepalived needs a file");
        else
            return cli_fail(EXIT_USAGE, "doctor: unexpected '%s'; try 'guardmount doctor --help'",
                            argv[i]);
    }
    h = malloc(sizeof(*h));
    d = malloc(sizeof(*d));
    if (!h || !d) {
        free(h);
        free(d);
        return cli_fail(EXIT_FAILED, "no memory");
    }
    host_read(c, keepalived_conf, h);
    doctor_judge(h, d);
    if (c->json)
        r = show_json(d);
    else
        show_text(d, color_wanted(c, stdout), all);
    if (r == EXIT_GOOD && d->faults)
        r = EXIT_DEGRADED;
    host_done(h);
    free(h);
    free(d);
    return r;
}
