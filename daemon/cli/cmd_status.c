/* status: the whole picture, as tables or as JSON. */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "cli/writer.h"
#include <jansson.h>
#include <string.h>

#define WATCH_NS (2 * NS_PER_S)
#define SCHEMA 1        /* of the JSON; keys are only ever added to it */
#define FRESH_MS 180000 /* a handshake older than this carries no session any more */

struct shown {
    const struct status *s;
    uint64_t now_ns; /* UTC */
    bool color, peers;
    bool watched, redraw; /* again and again; in the same place of a terminal */
};

static const char *member_name(const struct status *s, uint8_t id)
{
    for (unsigned i = 0; i < s->member_count; i++)
        if (s->member[i].id == id)
            return s->member[i].name;
    return "-";
}

/* ---- text ---- */

static void show_head(const struct shown *x)
{
    const struct status *s = x->s;
    const char *state = status_state(s);
    char up[SHOWN_LEN];

    printf("%s%s%s: member %u of %s, %s%s%s, %s%s%s, up %s, version %s\n",
           tone_on(x->color, TONE_HEAD), s->name, tone_off(x->color), s->id, s->cluster,
           tone_on(x->color, s->fit ? TONE_GOOD : TONE_BAD), state, tone_off(x->color),
           tone_on(x->color, s->in_sync ? TONE_GOOD : TONE_BAD),
           s->in_sync ? "in sync" : "not in sync", tone_off(x->color), show_age(up, s->uptime_ms),
           s->version);
    if (s->note[0])
        printf("%snote: %s%s\n", tone_on(x->color, TONE_BAD), s->note, tone_off(x->color));
}

static void show_members(const struct shown *x)
{
    char text[SHOWN_LEN];
    struct table t;

    table_begin(&t, "MEMBER|>ID|LINK|IN SYNC|>LAG|>RTT|>HEARD");
    for (unsigned i = 0; i < x->s->member_count; i++) {
        const struct status_member *m = &x->s->member[i];
        bool live = strcmp(m->link, "live") == 0;

        table_cell(&t, TONE_PLAIN, "%s", m->name);
        table_cell(&t, TONE_PLAIN, "%u", m->id);
        if (m->self) {
            table_cell(&t, TONE_DIM, "this one%s", m->drained ? ", drained" : "");
            for (unsigned n = 0; n < 4; n++)
                table_cell(&t, TONE_DIM, "-");
            continue;
        }
        table_cell(&t, live ? TONE_GOOD : TONE_BAD, "%s%s", m->link, m->drained ? ", drained" : "");
        table_cell(&t, m->in_sync ? TONE_GOOD : TONE_BAD, "%s", m->in_sync ? "yes" : "no");
        table_cell(&t, TONE_PLAIN, "%llu", (unsigned long long)m->lag);
        if (m->rtt_us)
            table_cell(&t, TONE_PLAIN, "%.2f ms", (double)m->rtt_us / 1000);
        else
            table_cell(&t, TONE_DIM, "-");
        if (m->heartbeat_ms)
            table_cell(&t, TONE_PLAIN, "%s ago", show_age(text, m->heartbeat_ms));
        else
            table_cell(&t, TONE_DIM, "-");
    }
    if (t.count > 1)
        putchar('\n');
    table_end(&t, x->color, stdout);
}

/* ", flapping for 12 s yet": why it bids less for the VIP than a sibling in sync does. */
static const char *show_withheld(char buf[CELL_MAX], const struct status_vip *v)
{
    char text[SHOWN_LEN];

    if (!*v->withheld || v->drained)
        return "";
    if (v->withheld_ms)
        snprintf(buf, CELL_MAX, ", %s for %s", v->withheld, show_age(text, v->withheld_ms));
    else
        snprintf(buf, CELL_MAX, ", %s", v->withheld);
    return buf;
}

static void show_vips(const struct shown *x)
{
    char text[SHOWN_LEN], held[CELL_MAX];
    struct table t;

    table_begin(&t, "VIP|>ID|>HUB|STATE HERE|OWNER|>EPOCH|>SINCE");
    for (unsigned i = 0; i < x->s->vip_count; i++) {
        const struct status_vip *v = &x->s->vip[i];
        uint8_t owner = v->owned ? x->s->id : v->owner;

        table_cell(&t, TONE_PLAIN, "%s", v->name);
        table_cell(&t, TONE_PLAIN, "%u", v->id);
        table_cell(&t, TONE_PLAIN, "%u", v->hub);
        table_cell(&t,
                   v->owned                    ? TONE_GOOD
                   : strcmp(v->state, "fault") ? TONE_PLAIN
                                               : TONE_BAD,
                   "%s%s%s", v->state, v->drained ? ", drained" : "", show_withheld(held, v));
        if (owner)
            table_cell(&t, TONE_PLAIN, "%s", member_name(x->s, owner));
        else
            table_cell(&t, TONE_BAD, "nobody known");
        table_cell(&t, TONE_PLAIN, "%llu", (unsigned long long)v->epoch);
        if (v->since_ms)
            table_cell(&t, TONE_PLAIN, "%s", show_age(text, v->since_ms));
        else
            table_cell(&t, TONE_DIM, "-");
    }
    if (t.count > 1)
        putchar('\n');
    table_end(&t, x->color, stdout);
}

static void show_hubs(const struct shown *x)
{
    char text[SHOWN_LEN];
    struct table t;

    table_begin(&t, "HUB|INTERFACE|>PORT|>PEERS|>CONNECTED|>OWNED|>REPLICAS|>LAST FAILOVER");
    for (unsigned i = 0; i < x->s->hub_count; i++) {
        const struct status_hub *h = &x->s->hub[i];

        table_cell(&t, TONE_PLAIN, "%u", h->id);
        table_cell(&t, TONE_PLAIN, "%s", h->ifname);
        table_cell(&t, TONE_PLAIN, "%u", h->port);
        table_cell(&t, TONE_PLAIN, "%u", h->peers);
        if (h->has_peers_with_session)
            table_cell(&t, TONE_PLAIN, "%u", h->peers_with_session);
        else
            table_cell(&t, TONE_DIM, "-");
        table_cell(&t, TONE_PLAIN, "%u", h->sessions_owned);
        table_cell(&t, TONE_PLAIN, "%u", h->sessions_replica);
        if (h->has_last_failover)
            table_cell(&t, TONE_PLAIN, "%s ago", show_age(text, h->last_failover_ms));
        else
            table_cell(&t, TONE_DIM, "-");
    }
    if (t.count > 1)
        putchar('\n');
    table_end(&t, x->color, stdout);
}

static void show_peers(const struct shown *x)
{
    char key[KEY_TEXT_LEN + 1], text[SHOWN_LEN];
    struct table t;

    table_begin(&t, "PEER|NAME|ENDPOINT|OWNER|>HANDSHAKE|>RECEIVED|>SENT|SESSIONS");
    for (unsigned i = 0; i < x->s->peer_count; i++) {
        const struct status_peer *p = &x->s->peer[i];
        uint64_t age =
            x->now_ns > p->handshake_real_ns ? (x->now_ns - p->handshake_real_ns) / NS_PER_MS : 0;
        char slots[CELL_MAX] = "";

        key_to_base64(p->public_key.b, key);
        table_cell(&t, TONE_PLAIN, "%s", key);
        table_cell(&t, TONE_PLAIN, "%s", *p->name ? p->name : "-");
        table_cell(&t, TONE_PLAIN, "%s", *p->endpoint ? p->endpoint : "-");
        table_cell(&t, TONE_PLAIN, "%s", p->owner ? member_name(x->s, p->owner) : "-");
        if (p->handshake_real_ns)
            table_cell(&t, age < FRESH_MS ? TONE_GOOD : TONE_DIM, "%s ago", show_age(text, age));
        else
            table_cell(&t, TONE_DIM, "never");
        table_cell(&t, TONE_PLAIN, "%s", show_bytes(text, p->rx_bytes));
        table_cell(&t, TONE_PLAIN, "%s", show_bytes(text, p->tx_bytes));
        for (unsigned n = 0; n < p->session_count; n++) {
            size_t len = strlen(slots);
            snprintf(slots + len, sizeof(slots) - len, "%s%s t%u%s", n ? ", " : "",
                     p->session[n].slot, p->session[n].term, p->session[n].owned ? "" : " replica");
        }
        table_cell(&t, TONE_PLAIN, "%s", *slots ? slots : "-");
    }
    if (t.count > 1)
        putchar('\n');
    table_end(&t, x->color, stdout);
    if (x->s->peers_cut)
        printf("... and more: only %u peers are listed\n", x->s->peer_count);
}

/* ---- JSON ---- */

static void set_ago(json_t *o, const char *key, const struct shown *x, uint64_t age_ms)
{
    char text[SHOWN_LEN];

    json_object_set_new(o, key, json_string(show_time(text, x->now_ns - age_ms * NS_PER_MS)));
}

static json_t *members_json(const struct shown *x)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < x->s->member_count; i++) {
        const struct status_member *m = &x->s->member[i];
        json_t *o = json_pack("{s:i, s:s, s:b, s:s, s:b, s:I, s:I, s:I}", "id", m->id, "name",
                              m->name, "self", m->self, "link", m->link, "in_sync", m->in_sync,
                              "lag", (json_int_t)m->lag, "rtt_us", (json_int_t)m->rtt_us,
                              "heartbeat_ms", (json_int_t)m->heartbeat_ms);

        json_object_set_new(o, "drained", json_boolean(m->drained));
        if (m->heartbeat_ms)
            set_ago(o, "last_heartbeat", x, m->heartbeat_ms);
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *vips_json(const struct shown *x)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < x->s->vip_count; i++) {
        const struct status_vip *v = &x->s->vip[i];
        json_t *o =
            json_pack("{s:i, s:i, s:s, s:s, s:b, s:I, s:i, s:I}", "hub", v->hub, "id", v->id,
                      "name", v->name, "state", v->state, "owned", v->owned, "epoch",
                      (json_int_t)v->epoch, "owner", v->owner, "since_ms", (json_int_t)v->since_ms);
        json_object_set_new(o, "drained", json_boolean(v->drained));
        if (*v->withheld)
            json_object_set_new(o, "withheld", json_string(v->withheld));
        if (v->withheld_ms)
            json_object_set_new(o, "withheld_ms", json_integer((json_int_t)v->withheld_ms));
        if (v->owner)
            json_object_set_new(o, "owner_name", json_string(member_name(x->s, v->owner)));
        if (v->since_ms)
            set_ago(o, "since", x, v->since_ms);
        json_array_append_new(list, o);
    }
    return list;
}

static json_t *hubs_json(const struct shown *x)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < x->s->hub_count; i++) {
        const struct status_hub *h = &x->s->hub[i];
        json_t *o = json_pack("{s:i, s:s, s:s, s:i, s:I, s:I, s:I}", "id", h->id, "interface",
                              h->ifname, "public_key", h->public_key, "port", h->port, "peers",
                              (json_int_t)h->peers, "sessions_owned", (json_int_t)h->sessions_owned,
                              "sessions_replica", (json_int_t)h->sessions_replica);
        if (h->has_peers_with_session)
            json_object_set_new(o, "peers_with_session", json_integer(h->peers_with_session));
        if (h->has_last_failover)
            set_ago(o, "last_failover", x, h->last_failover_ms);
        json_array_append_new(list, o);
    }
    return list;
}

/* "a,b" to ["a", "b"]. */
static json_t *list_json(const char *text)
{
    json_t *list = json_array();

    while (*text) {
        size_t len = strcspn(text, ",");

        json_array_append_new(list, json_stringn(text, len));
        text += len + (text[len] == ',');
    }
    return list;
}

static json_t *sessions_json(const struct status_peer *p)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < p->session_count; i++) {
        const struct status_session *n = &p->session[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:i, s:b, s:I}", "slot", n->slot, "term", n->term,
                                        "owned", n->owned, "age_ms", (json_int_t)n->age_ms));
    }
    return list;
}

static json_t *peers_json(const struct shown *x)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < x->s->peer_count; i++) {
        const struct status_peer *p = &x->s->peer[i];
        char key[KEY_TEXT_LEN + 1], text[SHOWN_LEN];
        json_t *o;

        key_to_base64(p->public_key.b, key);
        o = json_pack("{s:s, s:i, s:s, s:i, s:i, s:I, s:I, s:i, s:o, s:o}", "public_key", key,
                      "hub", p->hub, "name", p->name, "vip", p->vip, "owner", p->owner, "rx_bytes",
                      (json_int_t)p->rx_bytes, "tx_bytes", (json_int_t)p->tx_bytes, "keepalive_s",
                      p->keepalive_s, "allowed_ips", list_json(p->allowed), "sessions",
                      sessions_json(p));
        if (*p->endpoint)
            json_object_set_new(o, "endpoint", json_string(p->endpoint));
        if (p->handshake_real_ns)
            json_object_set_new(o, "last_handshake",
                                json_string(show_time(text, p->handshake_real_ns)));
        json_array_append_new(list, o);
    }
    return list;
}

static int status_json(const struct shown *x)
{
    const struct status *s = x->s;
    json_t *o = json_pack("{s:i, s:i, s:s, s:s, s:s, s:s, s:b, s:b, s:I}", "schema", SCHEMA, "id",
                          s->id, "name", s->name, "version", s->version, "cluster", s->cluster,
                          "state", status_state(s), "fit", s->fit, "in_sync", s->in_sync,
                          "uptime_ms", (json_int_t)s->uptime_ms);

    set_ago(o, "started", x, s->uptime_ms);
    if (s->note[0])
        json_object_set_new(o, "note", json_string(s->note));
    json_object_set_new(o, "members", members_json(x));
    json_object_set_new(o, "vips", vips_json(x));
    json_object_set_new(o, "hubs", hubs_json(x));
    if (x->peers) {
        json_object_set_new(o, "peers", peers_json(x));
        json_object_set_new(o, "peers_cut", json_boolean(s->peers_cut));
    }
    return cli_json(o, x->watched);
}

static int show_once(const struct cli *c, struct shown *x)
{
    struct control_request request = {
        .version = CONTROL_VERSION, .kind = CONTROL_STATUS, .peers = x->peers};
    struct control_reply reply;
    char error[CLI_ERROR_LEN];
    int r = client_try(c, &request, &reply, error);

    if (x->redraw)
        fputs("\033[H\033[2J", stdout);
    if (r != EXIT_GOOD) /* who watches sees in its place that nobody answers just now */
        return x->watched && !c->json ? printf("guardmount: %s\n", error),
               r                      : cli_fail(r, "%s", error);
    x->s = reply.status;
    x->now_ns = clock_real_ns();
    if (c->json) {
        r = status_json(x);
    } else {
        show_head(x);
        show_members(x);
        show_vips(x);
        show_hubs(x);
        show_peers(x);
    }
    control_reply_done(&reply);
    return r;
}

int cmd_status(const struct cli *c, int argc, char **argv)
{
    struct shown x = {.color = color_wanted(c, stdout)};
    uint64_t every_ns = WATCH_NS;
    int r;

    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--peers") == 0) {
            x.peers = true;
        } else if (strcmp(argv[i], "--watch") == 0) {
            x.watched = true;
        } else if (strncmp(argv[i], "--watch=", strlen("--watch=")) == 0) {
            x.watched = true;
            if (cli_seconds(argv[i] + strlen("--watch="), &every_ns) < 0)
                return cli_fail(EXIT_USAGE, "status: --watch takes seconds, 0.1 to 3600, not '%s'",
                                argv[i] + strlen("--watch="));
        } else {
            return cli_fail(EXIT_USAGE, "status: unexpected '%s'; try 'guardmount status --help'",
                            argv[i]);
        }
    }
    x.redraw = x.watched && !c->json && isatty(STDOUT_FILENO);
    r = show_once(c, &x);
    while (x.watched && !reader_gone() && fflush(stdout) == 0) {
        cli_sleep(every_ns);
        r = show_once(c, &x);
    }
    return r;
}
