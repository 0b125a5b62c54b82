/* top: the busiest peers, full screen; or once, as a table or JSON. */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "cli/rates.h"
#include "cli/writer.h"
#include <jansson.h>
#include <ncurses.h>
#include <string.h>

#define SCHEMA 1 /* of the JSON; keys are only ever added to it */
#define DELAY_NS (2 * NS_PER_S)
#define HEAD_LINES 3
#define NAME_COLUMNS 24
#define KEY_SHOWN 12 /* characters of a key, for a peer without a name */

struct top {
    const struct cli *c;
    uint64_t delay_ns;
    enum rate_order order;
    struct rates *rates;
    struct control_reply reply; /* the last good one; rows point into it */
    struct rate_row *row;
    unsigned count, first; /* first: shown at the top */
    char error[CLI_ERROR_LEN];
};

/* ---- looking ---- */

/* What is shown stays when nobody answers; the error says so. */
static int look(struct top *t)
{
    struct control_request request = {
        .version = CONTROL_VERSION, .kind = CONTROL_STATUS, .peers = true};
    struct control_reply reply;
    int r = client_try(t->c, &request, &reply, t->error);

    if (r != EXIT_GOOD)
        return r;
    struct status *s = reply.status;
    struct rate_row *row = calloc(s->peer_count + 1, sizeof(*row));
    if (!row || rates_step(t->rates, s->peer, s->peer_count, clock_boot_ns(), row) < 0) {
        free(row);
        control_reply_done(&reply);
        snprintf(t->error, sizeof(t->error), "no memory");
        return EXIT_FAILED;
    }
    control_reply_done(&t->reply);
    free(t->row);
    t->reply = reply;
    t->row = row;
    t->count = s->peer_count;
    rates_sort(t->row, t->count, t->order);
    t->error[0] = '\0';
    return EXIT_GOOD;
}

static void top_done(struct top *t)
{
    rates_free(t->rates);
    control_reply_done(&t->reply);
    free(t->row);
}

/* ---- showing ---- */

static const char *show_rate(char buf[SHOWN_LEN], const struct rate_row *r, double bytes)
{
    char amount[SHOWN_LEN];

    if (!r->known)
        return strcpy(buf, "-");
    snprintf(buf, SHOWN_LEN, "%.28s/s", show_bytes(amount, (uint64_t)(bytes + 0.5)));
    return buf;
}

static const char *show_name(char buf[CELL_MAX], const struct status_peer *p)
{
    char key[KEY_TEXT_LEN + 1];

    if (*p->name)
        return p->name;
    key_to_base64(p->public_key.b, key);
    snprintf(buf, CELL_MAX, "%.*s...", KEY_SHOWN, key);
    return buf;
}

static const char *show_handshake(char buf[SHOWN_LEN], const struct status_peer *p)
{
    uint64_t now = clock_real_ns(), at = p->handshake_real_ns;

    if (!at)
        return strcpy(buf, "never");
    return show_age(buf, now > at ? (now - at) / NS_PER_MS : 0);
}

static void totals(const struct top *t, double *ret_rx, double *ret_tx, unsigned *ret_busy)
{
    *ret_rx = *ret_tx = 0;
    *ret_busy = 0;
    for (unsigned i = 0; i < t->count; i++) {
        *ret_rx += t->row[i].rx;
        *ret_tx += t->row[i].tx;
        *ret_busy += t->row[i].rx + t->row[i].tx > 0;
    }
}

static void draw_row(const struct top *t, int line, const struct rate_row *r)
{
    char name[CELL_MAX], rx[SHOWN_LEN], tx[SHOWN_LEN], age[SHOWN_LEN];
    bool busy = r->rx + r->tx > 0;

    if (!busy)
        attron(A_DIM);
    mvprintw(line, 0, "%-*.*s %14s %14s %16s  %s", NAME_COLUMNS, NAME_COLUMNS,
             show_name(name, r->peer), show_rate(rx, r, r->rx), show_rate(tx, r, r->tx),
             show_handshake(age, r->peer), *r->peer->endpoint ? r->peer->endpoint : "-");
    attroff(A_DIM);
}

static void draw(struct top *t)
{
    const struct status *s = t->reply.status;
    unsigned lines = LINES > HEAD_LINES ? (unsigned)(LINES - HEAD_LINES) : 0, busy;
    char a[SHOWN_LEN], b[SHOWN_LEN];
    double rx, tx;

    erase();
    totals(t, &rx, &tx, &busy);
    if (t->first + lines > t->count)
        t->first = t->count > lines ? t->count - lines : 0;
    attron(A_BOLD);
    mvprintw(0, 0, "%s: %s, %u peers, %u busy, %s/s in, %s/s out", s->name, status_state(s),
             t->count, busy, show_bytes(a, (uint64_t)rx), show_bytes(b, (uint64_t)tx));
    attroff(A_BOLD);
    if (*t->error)
        mvprintw(1, 0, "%.*s", COLS, t->error);
    else
        mvprintw(1, 0, "by %s; s sum, r rx, t tx, n name, q quit", rate_order_names[t->order]);
    attron(A_REVERSE);
    mvprintw(2, 0, "%-*s %14s %14s %16s  %-*s", NAME_COLUMNS, "PEER", "RECEIVED", "SENT",
             "HANDSHAKE", MAX(COLS - NAME_COLUMNS - 50, 8), "ENDPOINT");
    attroff(A_REVERSE);
    for (unsigned i = 0; i < lines && t->first + i < t->count; i++)
        draw_row(t, HEAD_LINES + (int)i, &t->row[t->first + i]);
    refresh();
}

/* ---- full screen ---- */

static void reorder(struct top *t, enum rate_order order)
{
    t->order = order;
    t->first = 0;
    rates_sort(t->row, t->count, order);
}

/* False: the end. */
static bool take_key(struct top *t, int key)
{
    unsigned page = LINES > HEAD_LINES ? (unsigned)(LINES - HEAD_LINES) : 1;

    switch (key) {
    case 'q':
        return false;
    case 's':
        reorder(t, RATE_BY_SUM);
        break;
    case 'r':
        reorder(t, RATE_BY_RX);
        break;
    case 't':
        reorder(t, RATE_BY_TX);
        break;
    case 'n':
        reorder(t, RATE_BY_NAME);
        break;
    case KEY_UP:
        t->first -= t->first > 0;
        break;
    case KEY_DOWN:
        t->first++; /* draw() keeps it within bounds */
        break;
    case KEY_PPAGE:
        t->first -= MIN(t->first, page);
        break;
    case KEY_NPAGE:
        t->first += page;
        break;
    case KEY_HOME:
        t->first = 0;
        break;
    default:
        break;
    }
    return true;
}

static int full_screen(struct top *t)
{
    uint64_t next = clock_boot_ns() + t->delay_ns;
    SCREEN *screen = newterm(NULL, stdout, stdin);

    if (!screen)
        return cli_fail(EXIT_FAILED,
                        "top: this terminal (TERM=%s) is not known; try 'guardmount top --once'",
                        getenv("TERM") ? getenv("TERM") : "");
    cbreak();
    noecho();
    curs_set(0);
    keypad(stdscr, TRUE);
    for (;;) {
        uint64_t now = clock_boot_ns();

        if (now >= next) {
            look(t);
            next = now + t->delay_ns;
        }
        draw(t);
        timeout(next > now ? (int)((next - now) / NS_PER_MS) + 1 : 1);
        int key = getch();
        if (!take_key(t, key) || (key == ERR && !isatty(STDIN_FILENO)))
            break;
    }
    endwin();
    delscreen(screen);
    return EXIT_GOOD;
}

/* ---- once ---- */

static int print_json(const struct top *t, double seconds)
{
    json_t *list = json_array(), *o;

    for (unsigned i = 0; i < t->count; i++) {
        const struct rate_row *row = &t->row[i];
        char key[KEY_TEXT_LEN + 1];
        json_t *peer;

        key_to_base64(row->peer->public_key.b, key);
        peer = json_pack("{s:s, s:i, s:s}", "public_key", key, "hub", row->peer->hub, "name",
                         row->peer->name);
        if (row->known) {
            json_object_set_new(peer, "rx_bytes_per_s", json_integer((json_int_t)(row->rx + 0.5)));
            json_object_set_new(peer, "tx_bytes_per_s", json_integer((json_int_t)(row->tx + 0.5)));
        }
        json_array_append_new(list, peer);
    }
    o = json_pack("{s:i, s:f, s:s, s:o}", "schema", SCHEMA, "seconds", seconds, "order",
                  rate_order_names[t->order], "peers", list);
    return cli_json(o, false);
}

static int print_once(struct top *t)
{
    char text[CELL_MAX], amount[SHOWN_LEN];
    struct table table;
    int r;

    cli_sleep(t->delay_ns);
    r = look(t);
    if (r != EXIT_GOOD)
        return cli_fail(r, "%s", t->error);
    if (t->c->json)
        return print_json(t, (double)t->delay_ns / NS_PER_S);
    table_begin(&table, "PEER|>RECEIVED|>SENT|>HANDSHAKE|ENDPOINT");
    for (unsigned i = 0; i < t->count; i++) {
        const struct rate_row *row = &t->row[i];

        table_cell(&table, TONE_PLAIN, "%s", show_name(text, row->peer));
        table_cell(&table, TONE_PLAIN, "%s", show_rate(amount, row, row->rx));
        table_cell(&table, TONE_PLAIN, "%s", show_rate(amount, row, row->tx));
        table_cell(&table, TONE_PLAIN, "%s", show_handshake(amount, row->peer));
        table_cell(&table, TONE_PLAIN, "%s", *row->peer->endpoint ? row->peer->endpoint : "-");
    }
    table_end(&table, color_wanted(t->c, stdout), stdout);
    return EXIT_GOOD;
}

static int parse_order(const char *text, enum rate_order *ret)
{
    for (unsigned i = 0; i < RATE_ORDERS; i++)
        if (strcmp(rate_order_names[i], text) == 0) {
            *ret = (enum rate_order)i;
            return 0;
        }
    return -EINVAL;
}

int cmd_top(const struct cli *c, int argc, char **argv)
{
    static struct top t; /* holds the text of an error: large */
    bool once = false;
    const char *v;
    int r;

    t = (struct top){.c = c, .delay_ns = DELAY_NS};
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--once") == 0) {
            once = true;
        } else if ((v = cli_value(argv, &i, "-d", "--delay"))) {
            if (cli_seconds(v, &t.delay_ns) < 0)
                return cli_fail(EXIT_USAGE, "top: -d takes seconds, 0.1 to 3600, not '%s'", v);
        } else if ((v = cli_value(argv, &i, "--by", "--by"))) {
            if (parse_order(v, &t.order) < 0)
                return cli_fail(EXIT_USAGE, "top: --by takes sum, rx, tx or name, not '%s'", v);
        } else {
            return cli_fail(EXIT_USAGE, "top: unexpected '%s'; try 'guardmount top --help'",
                            argv[i]);
        }
    }
    if (!once && c->json)
        return cli_fail(EXIT_USAGE, "top: JSON is for --once");
    if (!once && (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)))
        return cli_fail(EXIT_FAILED, "top needs a terminal; 'guardmount top --once' prints the "
                                     "same into a pipe");
    t.rates = rates_new();
    if (!t.rates)
        return cli_fail(EXIT_FAILED, "no memory");
    r = look(&t);
    if (r != EXIT_GOOD)
        r = cli_fail(r, "%s", t.error);
    else
        r = once ? print_once(&t) : full_screen(&t);
    top_done(&t);
    return r;
}
