/* A drill as one page: tables and a drawing of the steps, for light and dark screens. */
#include "base/clock.h"
#include "base/err.h"
#include "cli/drill.h"
#include "cli/writer.h"
#include <inttypes.h>
#include <string.h>

/* The drawing, in its own units. */
#define LEFT 170
#define WIDE 640
#define RIGHT 90
#define ROW 30
#define AXIS_MIN_MS 10

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<title>Guardmount drill</title>\n<style>\n"
    ":root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--line:#c9ced6;--bar:#8db4e2;"
    "--gap:#d4a72c;--hot:#1a7f37;--hand:#9a6700;--bad:#cf222e}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--paper:#14171c;--line:#444b55;"
    "--bar:#33608f;--gap:#9e6a03;--hot:#56d364;--hand:#e3b341;--bad:#ff7b72}}\n"
    "body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);"
    "max-width:80rem;margin:2rem auto;padding:0 1rem}\n"
    "table{border-collapse:collapse;display:block;overflow-x:auto}"
    "td,th{padding:.2rem .7rem;border-bottom:1px solid var(--line);text-align:left}"
    ".n{text-align:right;font-variant-numeric:tabular-nums}\n"
    ".pass{color:var(--hot)}.fail{color:var(--bad);font-weight:bold}\n"
    "svg{width:100%;height:auto}svg text{fill:var(--ink);font-size:12px}"
    ".bar{fill:var(--bar)}.gap{fill:var(--gap);opacity:.7}.detect{stroke:var(--ink)}.grid{stroke:"
    "var(--line)}.limit{stroke:var(--bad);"
    "stroke-dasharray:4 3}.hot{fill:var(--hot)}.handshake{fill:var(--hand)}"
    ".refused{fill:var(--bad)}\n"
    "</style>\n</head>\n<body>\n";

/* Names come from other members and from the store. */
static void put(FILE *out, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&':
            fputs("&amp;", out);
            break;
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        case '\'':
            fputs("&#39;", out);
            break;
        default:
            fputc(*text, out);
        }
    }
}

static void put_cell(FILE *out, const char *text)
{
    fputs("<td>", out);
    put(out, text);
    fputs("</td>", out);
}

/* @key: what it is called in the JSON. */
static void put_number(FILE *out, const char *key, bool known, uint64_t n)
{
    fprintf(out, "<td class=\"n\" data-key=\"%s\">", key);
    if (known)
        fprintf(out, "%" PRIu64 "</td>", n);
    else
        fputs("-</td>", out);
}

/* ---- the drawing ---- */

static uint64_t longest_ms(const struct drill *d)
{
    uint64_t most = AXIS_MIN_MS;

    for (unsigned i = 0; i < d->step_count; i++) {
        if (d->step[i].has_owner)
            most = MAX(most, d->step[i].owner_ms);
        for (unsigned p = 0; p < d->peer_count; p++) {
            const struct drill_cell *c = &d->peer[p].step[i];
            int64_t gap_end_ms = c->gap_from_ms + (int64_t)c->gap_ms;

            if (c->has_ms)
                most = MAX(most, c->ms);
            if (c->asked && gap_end_ms > 0)
                most = MAX(most, (uint64_t)gap_end_ms);
        }
    }
    return most;
}

static unsigned place(uint64_t ms, uint64_t axis_ms)
{
    return LEFT + (unsigned)((double)ms / (double)axis_ms * WIDE);
}

/* Of the peer that waited longest. */
static const struct drill_cell *worst(const struct drill *d, unsigned step)
{
    const struct drill_cell *found = NULL;

    for (unsigned p = 0; p < d->peer_count; p++) {
        const struct drill_cell *c = &d->peer[p].step[step];

        if (c->asked && c->lost && (!found || c->gap_ms > found->gap_ms))
            found = c;
    }
    return found;
}

static void draw_gap(const struct drill *d, unsigned step, unsigned y, uint64_t axis_ms, FILE *out)
{
    const struct drill_cell *c = worst(d, step);
    int64_t end_ms = c ? c->gap_from_ms + (int64_t)c->gap_ms : 0;

    if (end_ms <= 0)
        return;
    unsigned from = place((uint64_t)MAX(c->gap_from_ms, 0), axis_ms);
    unsigned to = place((uint64_t)end_ms, axis_ms);
    fprintf(out, "<rect class=\"gap\" x=\"%u\" y=\"%u\" width=\"%u\" height=\"6\"/>\n", from,
            y + 14, MAX(to - from, 1));
}

/* A mark for each place where something was seen, not for each of thousands of peers. */
static void draw_marks(const struct drill *d, unsigned step, unsigned y, uint64_t axis_ms,
                       FILE *out)
{
    bool drawn[DRILL_HOWS][LEFT + WIDE + 1] = {0};

    for (unsigned p = 0; p < d->peer_count; p++) {
        const struct drill_cell *c = &d->peer[p].step[step];
        unsigned x = c->has_ms ? place(c->ms, axis_ms) : 0;

        if (!c->has_ms || drawn[c->how][x])
            continue;
        drawn[c->how][x] = true;
        if (c->how == DRILL_HOT)
            fprintf(out, "<circle class=\"hot\" cx=\"%u\" cy=\"%u\" r=\"4\"/>\n", x, y + 10);
        else if (c->how == DRILL_HANDSHAKE)
            fprintf(out, "<path class=\"handshake\" d=\"M%u %ul5 9h-10z\"/>\n", x, y + 5);
        else
            fprintf(out, "<rect class=\"refused\" x=\"%u\" y=\"%u\" width=\"8\" height=\"8\"/>\n",
                    x - 4, y + 6);
    }
}

static void draw(const struct drill *d, FILE *out)
{
    uint64_t axis_ms = longest_ms(d);
    unsigned high = (d->step_count + 1) * ROW;

    fprintf(out,
            "<svg viewBox=\"0 0 %d %u\" role=\"img\" aria-label=\"Timeline of the steps\">\n"
            "<title>Timeline of the steps</title>\n",
            LEFT + WIDE + RIGHT, high + ROW);
    for (unsigned i = 0; i <= 4; i++) {
        unsigned x = place(axis_ms * i / 4, axis_ms);

        fprintf(out,
                "<line class=\"grid\" x1=\"%u\" y1=\"%d\" x2=\"%u\" y2=\"%u\"/>\n"
                "<text x=\"%u\" y=\"%u\" text-anchor=\"middle\">%" PRIu64 " ms</text>\n",
                x, ROW / 2, x, high, x, high + 18, axis_ms * i / 4);
    }
    if (d->max_ms <= axis_ms)
        fprintf(out, "<line class=\"limit\" x1=\"%u\" y1=\"%d\" x2=\"%u\" y2=\"%u\"/>\n",
                place(d->max_ms, axis_ms), ROW / 2, place(d->max_ms, axis_ms), high);
    for (unsigned i = 0; i < d->step_count; i++) {
        const struct drill_step *s = &d->step[i];
        unsigned y = ROW / 2 + i * ROW + 5;

        fprintf(out, "<text x=\"0\" y=\"%u\">%u to ", y + 15, i + 1);
        put(out, s->arrived ? s->to : "nobody");
        fputs("</text>\n", out);
        if (s->has_owner)
            fprintf(out, "<rect class=\"bar\" x=\"%d\" y=\"%u\" width=\"%u\" height=\"20\"/>\n",
                    LEFT, y, MAX(place(s->owner_ms, axis_ms) - LEFT, 1));
        draw_gap(d, i, y, axis_ms, out);
        if (s->has_detect && s->detect_ms <= axis_ms)
            fprintf(out, "<line class=\"detect\" x1=\"%u\" y1=\"%u\" x2=\"%u\" y2=\"%u\"/>\n",
                    place(s->detect_ms, axis_ms), y, place(s->detect_ms, axis_ms), y + 20);
        draw_marks(d, i, y, axis_ms, out);
    }
    fputs(
        "</svg>\n<p>Bar: from the command to the new owner. Upright line: this member saw that the "
        "owner is gone. Low bar: the longest time that a peer was without an answer. Circle: a "
        "session that moved. "
        "Triangle: a handshake. Square: a session that could not be taken over. ",
        out);
    fprintf(out, "%s %" PRIu64 " ms%s.</p>\n",
            d->max_ms <= axis_ms ? "Dashed line:" : "Threshold:", d->max_ms,
            d->max_ms <= axis_ms ? ", the threshold" : ", beyond the drawing");
}

/* ---- the tables ---- */

static void step_table(const struct drill *d, FILE *out)
{
    fputs("<table id=\"steps\">\n<thead><tr><th>Step</th><th>From</th><th>To</th>"
          "<th>Command</th><th>Detected, ms</th><th>New owner, ms</th><th>First session, ms</th>"
          "<th>First packet, ms</th><th>Worst gap, ms</th><th>Worst loss</th><th>Moved</th>"
          "<th>Handshakes</th><th>Refused</th><th>Result</th></tr></thead>\n<tbody>\n",
          out);
    for (unsigned i = 0; i < d->step_count; i++) {
        const struct drill_step *s = &d->step[i];
        char at[SHOWN_LEN];

        fprintf(out, "<tr><td class=\"n\">%u</td>", i + 1);
        put_cell(out, s->from);
        put_cell(out, s->arrived ? s->to : "-");
        put_cell(out, show_time(at, s->command_real_ns));
        put_number(out, "detection_ms", s->has_detect, s->detect_ms);
        put_number(out, "owner_ms", s->has_owner, s->owner_ms);
        put_number(out, "first_session_ms", s->has_first, s->first_ms);
        put_number(out, "first_packet_ms", s->has_packet, s->packet_ms);
        put_number(out, "worst_gap_ms", s->asked, s->gap_ms);
        put_number(out, "worst_lost", s->asked, s->lost);
        put_number(out, "sessions_moved", true, s->sessions);
        put_number(out, "handshakes", true, s->handshakes);
        put_number(out, "refused", true, s->refused);
        fprintf(out, "<td class=\"%s\">%s", s->pass ? "pass" : "fail", s->pass ? "pass" : "fail: ");
        put(out, s->reason);
        if (s->missed)
            fprintf(out, " (%" PRIu64 " events missed)", s->missed);
        fputs("</td></tr>\n", out);
    }
    fputs("</tbody>\n</table>\n", out);
}

static void put_peer_numbers(FILE *out, const struct drill_cell *c)
{
    if (c->asked)
        fprintf(out,
                ", gap <b data-key=\"gap_ms\">%" PRIu64
                "</b> ms, lost <b data-key=\"lost\">%" PRIu64 "</b>%s",
                c->gap_ms, c->lost, c->silent ? ", <b class=\"fail\">silent</b>" : "");
    else if (c->has_data)
        fprintf(out, ", data <b data-key=\"first_data_ms\">%" PRIu64 "</b> ms", c->data_ms);
}

static void peer_table(const struct drill *d, FILE *out)
{
    fputs("<table id=\"peers\">\n<thead><tr><th>Peer</th>", out);
    for (unsigned i = 0; i < d->step_count; i++)
        fprintf(out, "<th>Step %u</th>", i + 1);
    fputs("</tr></thead>\n<tbody>\n", out);
    for (unsigned p = 0; p < d->peer_count; p++) {
        fputs("<tr>", out);
        put_cell(out, *d->peer[p].name ? d->peer[p].name : d->peer[p].key);
        for (unsigned i = 0; i < d->step_count; i++) {
            const struct drill_cell *c = &d->peer[p].step[i];

            fprintf(out, "<td>%s", drill_how_name(c->how));
            if (c->has_ms)
                fprintf(out, " %" PRIu64 " ms", c->ms);
            put_peer_numbers(out, c);
            fputs("</td>", out);
        }
        fputs("</tr>\n", out);
    }
    fputs("</tbody>\n</table>\n", out);
    if (d->peers_cut)
        fputs("<p>There are more peers; all are counted in the steps.</p>\n", out);
}

void drill_html(const struct drill *d, FILE *out)
{
    char began[SHOWN_LEN];
    bool pass = drill_passed(d);

    fputs(head, out);
    fputs("<h1>Drill of the VIP ", out);
    put(out, d->vip);
    fprintf(out, ": <span class=\"%s\">%s</span></h1>\n<p>Cluster ", pass ? "pass" : "fail",
            pass ? "passed" : "failed");
    put(out, d->cluster);
    fputs(", seen from ", out);
    put(out, d->member);
    fprintf(out, ", %s, %u round%s by %s%s, ", show_time(began, d->began_real_ns), d->repeat,
            d->repeat == 1 ? "" : "s", drill_methods[d->method].name, d->forced ? ", forced" : "");
    if (d->every_ms)
        fprintf(out, "each peer that agreed to it was asked every %u ms. ", d->every_ms);
    else
        fputs("no peer was asked. ", out);
    fputs(d->restored ? "The VIP is where it was.</p>\n" : "The VIP is NOT where it was.</p>\n",
          out);
    fputs("<h2>Timeline</h2>\n", out);
    draw(d, out);
    fputs("<h2>Steps</h2>\n", out);
    step_table(d, out);
    fputs("<h2>Peers</h2>\n", out);
    peer_table(d, out);
    fputs("</body>\n</html>\n", out);
}
