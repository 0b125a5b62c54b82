#include "cli/health.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void reason(struct health *h, bool critical, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void reason(struct health *h, bool critical, const char *format, ...)
{
    va_list args;

    h->critical |= critical;
    if (h->count == HEALTH_REASONS_MAX)
        return;
    va_start(args, format);
    vsnprintf(h->reason[h->count++], sizeof(h->reason[0]), format, args);
    va_end(args);
}

void health_judge(const struct status *s, struct health *ret)
{
    *ret = (struct health){0};
    if (!s->fit)
        reason(ret, true, "this member is not fit to serve");
    if (!s->in_sync && s->member_count > 1)
        reason(ret, false, "this member is not in sync");
    for (unsigned i = 0; i < s->member_count; i++) {
        const struct status_member *m = &s->member[i];

        if (!m->self && strcmp(m->link, "live") != 0)
            reason(ret, false, "the link to %s is %s", m->name, m->link);
        else if (!m->self && !m->in_sync)
            reason(ret, false, "%s is not in sync", m->name);
    }
    for (unsigned i = 0; i < s->vip_count; i++)
        if (!s->vip[i].owned && !s->vip[i].owner)
            reason(ret, true, "nobody is known to own the VIP %s", s->vip[i].name);
    for (unsigned i = 0; i < s->vip_count; i++)
        if (strcmp(s->vip[i].withheld, "flapping") == 0)
            reason(ret, false, "the VIP %s came and went here too often; it is left to siblings",
                   s->vip[i].name);
    if (s->note[0])
        reason(ret, false, "%s", s->note);
}
