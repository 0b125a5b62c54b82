/* A drill as JSON, as text, as a page. */
#include "base/clock.h"
#include "base/err.h"
#include "cli/drill.h"
#include "cli/writer.h"
#include <inttypes.h>
#include <string.h>

static unsigned touched(const struct drill *d, const struct drill_peer *p, enum drill_how how)
{
    unsigned count = 0;

    for (unsigned i = 0; i < d->step_count; i++)
        count += p->step[i].how == how;
    return count;
}

/* Of all steps; false: it was never asked, or never answered. */
static bool worst(const struct drill *d, const struct drill_peer *p, uint64_t *ret_gap_ms,
                  uint64_t *ret_lost)
{
    bool asked = false;

    *ret_gap_ms = *ret_lost = 0;
    for (unsigned i = 0; i < d->step_count; i++) {
        const struct drill_cell *c = &p->step[i];

        asked |= c->asked;
        *ret_gap_ms = MAX(*ret_gap_ms, c->gap_ms);
        *ret_lost = MAX(*ret_lost, c->lost);
    }
    return asked;
}

/* ---- JSON ---- */

static void set_number(json_t *o, bool known, const char *key, int64_t n)
{
    if (known)
        json_object_set_new(o, key, json_integer((json_int_t)n));
}

static json_t *step_json(const struct drill *d, const struct drill_step *s, unsigned number)
{
    char at[SHOWN_LEN];
    json_t *peers = json_object();
    json_t *o =
        json_pack("{s:i, s:s, s:s, s:s, s:b, s:b, s:i, s:i, s:i, s:I, s:i, s:o}", "step", number,
                  "action", drill_action(d, s), "from", s->from, "at",
                  show_time(at, s->command_real_ns), "pass", s->pass, "arrived", s->arrived,
                  "sessions_moved", s->sessions, "handshakes", s->handshakes, "refused", s->refused,
                  "events_missed", (json_int_t)s->missed, "peers_asked", s->asked, "peers", peers);

    for (unsigned i = 0; i < DRILL_HOWS; i++)
        json_object_set_new(peers, drill_how_name((enum drill_how)i), json_integer(s->how[i]));
    if (s->arrived)
        json_object_set_new(o, "to", json_string(s->to));
    set_number(o, s->has_detect, "detection_ms", (int64_t)s->detect_ms);
    set_number(o, s->has_owner, "owner_ms", (int64_t)s->owner_ms);
    set_number(o, s->has_first, "first_session_ms", (int64_t)s->first_ms);
    set_number(o, s->has_packet, "first_packet_ms", (int64_t)s->packet_ms);
    set_number(o, s->asked, "worst_gap_ms", (int64_t)s->gap_ms);
    set_number(o, s->asked, "worst_lost", (int64_t)s->lost);
    set_number(o, s->asked, "silent", s->silent);
    if (!s->pass)
        json_object_set_new(o, "reason", json_string(s->reason));
    return o;
}

static json_t *peer_json(const struct drill *d, const struct drill_peer *p)
{
    json_t *steps = json_array();

    for (unsigned i = 0; i < d->step_count; i++) {
        const struct drill_cell *c = &p->step[i];
        json_t *o = json_pack("{s:s, s:b}", "how", drill_how_name(c->how), "asked", c->asked);

        set_number(o, c->has_ms, "ms", (int64_t)c->ms);
        set_number(o, c->asked, "gap_ms", (int64_t)c->gap_ms);
        set_number(o, c->asked, "gap_from_ms", c->gap_from_ms);
        set_number(o, c->asked, "answered", (int64_t)c->answered);
        set_number(o, c->asked, "lost", (int64_t)c->lost);
        set_number(o, c->has_data, "first_data_ms", (int64_t)c->data_ms);
        if (c->asked)
            json_object_set_new(o, "silent", json_boolean(c->silent));
        json_array_append_new(steps, o);
    }
    return json_pack("{s:s, s:s, s:o}", "public_key", p->key, "name", p->name, "steps", steps);
}

json_t *drill_json(const struct drill *d)
{
    json_t *steps = json_array(), *peers = json_array();
    char at[SHOWN_LEN];

    for (unsigned i = 0; i < d->step_count; i++)
        json_array_append_new(steps, step_json(d, &d->step[i], i + 1));
    for (unsigned i = 0; i < d->peer_count; i++)
        json_array_append_new(peers, peer_json(d, &d->peer[i]));
    return json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:I, s:I, s:I, s:i, s:b, s:b, s:b, "
                     "s:o, s:o, s:b}",
                     "schema", DRILL_SCHEMA, "cluster", d->cluster, "member", d->member, "vip",
                     d->vip, "owner", d->owner, "method", drill_methods[d->method].name, "began",
                     show_time(at, d->began_real_ns), "repeat", d->repeat, "max_ms",
                     (json_int_t)d->max_ms, "max_gap_ms", (json_int_t)d->max_gap_ms, "max_lost",
                     (json_int_t)d->max_lost, "asked_every_ms", d->every_ms, "forced", d->forced,
                     "restored", d->restored, "pass", drill_passed(d), "steps", steps, "peers",
                     peers, "peers_cut", d->peers_cut);
}

/* ---- text ---- */

static const char *show_ms(char buf[SHOWN_LEN], bool known, uint64_t ms)
{
    if (known)
        snprintf(buf, SHOWN_LEN, "%" PRIu64, ms);
    else
        snprintf(buf, SHOWN_LEN, "-");
    return buf;
}

static const char *show_end(const struct drill *d)
{
    return !d->restored ? "The VIP is NOT where it was." : "The VIP is where it was.";
}

void drill_text(const struct drill *d, bool color, FILE *out)
{
    char buf[SHOWN_LEN];
    uint64_t gap_ms, lost;
    struct table t;

    table_begin(&t,
                "STEP|FROM|TO|>DETECTED MS|>OWNER MS|>SESSION MS|>PACKET MS|>WORST GAP MS|>LOST|"
                ">MOVED|>HANDSHAKES|>REFUSED|RESULT");
    for (unsigned i = 0; i < d->step_count; i++) {
        const struct drill_step *s = &d->step[i];

        table_cell(&t, TONE_PLAIN, "%u %s", i + 1, drill_action(d, s));
        table_cell(&t, TONE_PLAIN, "%s", s->from);
        table_cell(&t, TONE_PLAIN, "%s", s->arrived ? s->to : "-");
        table_cell(&t, TONE_PLAIN, "%s", show_ms(buf, s->has_detect, s->detect_ms));
        table_cell(&t, TONE_PLAIN, "%s", show_ms(buf, s->has_owner, s->owner_ms));
        table_cell(&t, TONE_PLAIN, "%s", show_ms(buf, s->has_first, s->first_ms));
        table_cell(&t, TONE_PLAIN, "%s", show_ms(buf, s->has_packet, s->packet_ms));
        table_cell(&t, TONE_PLAIN, "%s", show_ms(buf, s->asked, s->gap_ms));
        table_cell(&t, TONE_PLAIN, "%s", show_ms(buf, s->asked, s->lost));
        table_cell(&t, TONE_PLAIN, "%u", s->sessions);
        table_cell(&t, TONE_PLAIN, "%u", s->handshakes);
        table_cell(&t, TONE_PLAIN, "%u", s->refused);
        table_cell(&t, s->pass ? TONE_GOOD : TONE_BAD, "%s%s",
                   s->pass ? "pass" : "fail: ", s->reason);
    }
    table_end(&t, color, out);
    fputc('\n', out);
    table_begin(&t, "PEER|>HOT|>HANDSHAKE|>REFUSED|>NOTHING|>WORST GAP MS|>LOST");
    for (unsigned i = 0; i < d->peer_count; i++) {
        const struct drill_peer *p = &d->peer[i];

        table_cell(&t, TONE_PLAIN, "%s", *p->name ? p->name : p->key);
        table_cell(&t, TONE_PLAIN, "%u", touched(d, p, DRILL_HOT));
        table_cell(&t, TONE_PLAIN, "%u", touched(d, p, DRILL_HANDSHAKE));
        table_cell(&t, TONE_PLAIN, "%u", touched(d, p, DRILL_REFUSED));
        table_cell(&t, TONE_PLAIN, "%u", touched(d, p, DRILL_NOTHING));
        bool asked = worst(d, p, &gap_ms, &lost);
        table_cell(&t, TONE_PLAIN, "%s", show_ms(buf, asked, gap_ms));
        table_cell(&t, TONE_PLAIN, "%s", show_ms(buf, asked, lost));
    }
    table_end(&t, color, out);
    if (d->peers_cut)
        fputs("There are more peers; all are counted in the steps.\n", out);
    fprintf(out,
            "%s: VIP %s, %u step%s, thresholds: new owner %" PRIu64 " ms, gap %" PRIu64
            " ms, lost %" PRIu64 ". %s\n",
            drill_passed(d) ? "passed" : "FAILED", d->vip, d->step_count,
            d->step_count == 1 ? "" : "s", d->max_ms, d->max_gap_ms, d->max_lost, show_end(d));
}
