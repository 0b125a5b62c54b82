/* Events: from what happens to the log, the journal and the table of verdicts. */
#include "app_internal.h"
#include "base/bytes.h"
#include <string.h>

#define STRANGERS_PER_S 5 /* events about keys that are no peer's: anybody can cause them */

int app_events_open(struct app *a)
{
    struct cluster *c = a->cluster;

    c->journal = journal_new();
    c->verdicts = verdicts_new(VERDICTS_MAX);
    c->strangers = verdicts_new(VERDICTS_STRANGERS);
    return c->journal && c->verdicts && c->strangers ? 0 : -ENOMEM;
}

void app_events_free(struct app *a)
{
    journal_free(a->cluster->journal);
    verdicts_free(a->cluster->verdicts);
    verdicts_free(a->cluster->strangers);
}

const char *app_vip_name(const struct app *a, uint16_t id)
{
    const struct conf *conf = a->cluster ? a->cluster->conf : NULL;

    for (unsigned i = 0; conf && i < conf->vip_count; i++)
        if (conf->vip[i].id == id)
            return conf->vip[i].name;
    return "";
}

static void tell(struct app *a, const struct notice *n)
{
    static struct log_place places[NOTICE_KINDS];
    const struct notice_kind_info *kind = &notice_kinds[n->kind];
    char text[NOTICE_TEXT_LEN];

    if (a->cluster)
        journal_add(a->cluster->journal, n);
    if (kind->level <= log_get_level())
        log_write(&places[n->kind], kind->level, kind->sentence, "%s",
                  notice_format(n, app_vip_name(a, n->vip), text));
}

void app_notice(void *ctx, const struct notice *n)
{
    struct app *a = ctx;
    struct notice copy = *n;

    if (a->cluster && n->kind == NOTICE_MEMBER_CONNECTED)
        app_drill_connected(a, n->member);
    if (!a->cluster || verdicts_note(a->cluster->verdicts, &copy))
        tell(a, &copy);
}

static void stranger(struct app *a, struct notice *n)
{
    struct cluster *c = a->cluster;
    uint64_t second = clock_boot_ns() / NS_PER_S;

    if (!verdicts_note(c->strangers, n))
        return;
    if (c->strangers_second != second)
        c->strangers_told = 0;
    c->strangers_second = second;
    if (c->strangers_told++ < STRANGERS_PER_S)
        tell(a, n);
}

static enum notice_reason reason_of(enum handshake_verdict v)
{
    switch (v) {
    case HANDSHAKE_DROP_STALE:
        return REASON_STALE_STAMP;
    case HANDSHAKE_DROP_AUTH:
        return REASON_BAD_AUTH;
    case HANDSHAKE_DROP_UNKNOWN:
        return REASON_UNKNOWN_PEER;
    default:
        return REASON_NO_MEMORY;
    }
}

void app_take_refusals(struct app *a)
{
    struct engine_refusal rows[ENGINE_REFUSALS_MAX];
    unsigned count = engine_take_refusals(a->engine, rows);

    for (unsigned i = 0; i < count; i++) {
        const struct conf *conf = a->cluster->conf;
        uint16_t slot = rows[i].vip_slot;
        struct notice n = {.kind = NOTICE_HANDSHAKE_REFUSED,
                           .real_ns = clock_real_ns(),
                           .peer = rows[i].key,
                           .vip = slot && slot <= conf->vip_count ? conf->vip[slot - 1].id : 0,
                           .endpoint = rows[i].source,
                           .reason = reason_of(rows[i].verdict),
                           .number = rows[i].count};

        if (node_peer_find(a->node, &n.peer))
            app_notice(a, &n);
        else
            stranger(a, &n);
    }
}

/* ---- for the control socket ---- */

static void describe(const struct app *a, const struct notice *n, struct control_event *ret)
{
    const struct notice_kind_info *kind = &notice_kinds[n->kind];

    ret->serial = n->serial;
    ret->real_ns = n->real_ns;
    snprintf(ret->name, sizeof(ret->name), "%s", kind->name);
    for (unsigned f = 0; f < NOTICE_FIELDS; f++) {
        if (!(kind->fields >> f & 1))
            continue;
        snprintf(ret->field[ret->field_count].key, sizeof(ret->field[0].key), "%s",
                 notice_fields[f].name);
        notice_value(n, f, app_vip_name(a, n->vip), ret->field[ret->field_count++].value);
    }
}

void app_fill_events(void *ctx, const struct control_request *r, struct control_events *ret)
{
    struct app *a = ctx;
    _cleanup_(freep) struct notice *rows = calloc(CONTROL_EVENTS_MAX, sizeof(*rows));

    ret->last = journal_last(a->cluster->journal);
    if (!rows)
        return; /* asked again, it gets them */
    ret->count =
        journal_read(a->cluster->journal, r->after, CONTROL_EVENTS_MAX, rows, &ret->missed);
    for (unsigned i = 0; i < ret->count; i++)
        describe(a, &rows[i], &ret->event[i]);
}

uint64_t app_last_event(void *ctx)
{
    return journal_last(((struct app *)ctx)->cluster->journal);
}
