#include "control/metrics.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include <inttypes.h>
#include <math.h>

#define EXACT_MAX 9007199254740992.0 /* 2^53: up to here a double is the very integer */

/* ---- samples ---- */

static void put_labels(FILE *out, const char *name, const char *suffix, const char *labels)
{
    if (labels[0])
        fprintf(out, "%s%s{%s} ", name, suffix, labels);
    else
        fprintf(out, "%s%s ", name, suffix);
}

static void put_count(FILE *out, const char *name, const char *suffix, const char *labels,
                      uint64_t value)
{
    put_labels(out, name, suffix, labels);
    fprintf(out, "%" PRIu64 "\n", value);
}

static void put_real(FILE *out, const char *name, const char *suffix, const char *labels,
                     double value)
{
    put_labels(out, name, suffix, labels);
    if (isnan(value))
        fputs("NaN\n", out);
    else if (isinf(value))
        fputs(value < 0 ? "-Inf\n" : "+Inf\n", out);
    else if (fabs(value) <= EXACT_MAX && value == floor(value))
        fprintf(out, "%.0f\n", value);
    else
        fprintf(out, "%.15g\n", value);
}

static const char *number(char buf[12], unsigned n)
{
    snprintf(buf, 12, "%u", n);
    return buf;
}

/* ---- what the status itself says ---- */

struct derived;
typedef void derived_writer(const struct derived *d, const struct status *s, FILE *out);

static derived_writer write_build, write_uptime, write_state, write_in_sync, write_vip_owned,
    write_vip_epoch, write_vip_withheld, write_peer_up, write_lag, write_rtt, write_peers,
    write_device, write_peer, write_peer_rx, write_peer_tx, write_peer_handshake;

/* Names without the suffixes that their type gives to samples (_total, _info). */
static const struct derived {
    const char *name, *type, *help;
    derived_writer *write;
} derived[] = {
    {"guardmount_build", "info", "Version of the daemon.", write_build},
    {"guardmount_uptime_seconds", "gauge", "Time since the daemon started.", write_uptime},
    {"guardmount_node_state", "stateset", "What this member is to the outside.", write_state},
    {"guardmount_node_in_sync", "gauge", "1: in sync with the siblings.", write_in_sync},
    {"guardmount_vip_owned", "gauge", "1: this member owns the VIP.", write_vip_owned},
    {"guardmount_vip_epoch", "gauge", "Number of the last claim of the VIP by this member.",
     write_vip_epoch},
    {"guardmount_vip_withheld", "gauge",
     "1: by its weight this member leaves the VIP to any sibling in sync.", write_vip_withheld},
    {"guardmount_sync_peer_up", "gauge", "1: the link to the sibling is live.", write_peer_up},
    {"guardmount_sync_lag_entries", "gauge", "Entries sent to the sibling and not acknowledged.",
     write_lag},
    {"guardmount_sync_rtt_seconds", "gauge", "Round trip to the sibling.", write_rtt},
    {"guardmount_peers", "gauge", "Peers by state.", write_peers},
    {"wireguard_device", "info", "Metadata about a device.", write_device},
    {"wireguard_peer", "info", "Metadata about a peer.", write_peer},
    {"wireguard_peer_receive_bytes", "counter", "Bytes received from a peer.", write_peer_rx},
    {"wireguard_peer_transmit_bytes", "counter", "Bytes transmitted to a peer.", write_peer_tx},
    {"wireguard_peer_last_handshake_seconds", "gauge",
     "UNIX time of the last handshake with a peer.", write_peer_handshake},
};

static void write_build(const struct derived *d, const struct status *s, FILE *out)
{
    char labels[CONTROL_TEXT_MAX + 1];

    put_count(out, d->name, "_info", status_labels(labels, "version", s->version, NULL), 1);
}

static void write_uptime(const struct derived *d, const struct status *s, FILE *out)
{
    put_real(out, d->name, "", "", (double)s->uptime_ms / 1000);
}

static void write_state(const struct derived *d, const struct status *s, FILE *out)
{
    static const char *const states[] = {"backup", "master", "fault"};
    char labels[CONTROL_TEXT_MAX + 1];

    for (unsigned i = 0; i < ARRAY_LEN(states); i++)
        put_count(out, d->name, "", status_labels(labels, d->name, states[i], NULL),
                  strcmp(status_state(s), states[i]) == 0);
}

static void write_in_sync(const struct derived *d, const struct status *s, FILE *out)
{
    put_count(out, d->name, "", "", s->in_sync);
}

static const char *vip_labels(char labels[CONTROL_TEXT_MAX + 1], const struct status_vip *v)
{
    char hub[12];

    return status_labels(labels, "hub", number(hub, v->hub), "vip", v->name, NULL);
}

static void write_vip_owned(const struct derived *d, const struct status *s, FILE *out)
{
    char labels[CONTROL_TEXT_MAX + 1];

    for (unsigned i = 0; i < s->vip_count; i++)
        put_count(out, d->name, "", vip_labels(labels, &s->vip[i]), s->vip[i].owned);
}

static void write_vip_epoch(const struct derived *d, const struct status *s, FILE *out)
{
    char labels[CONTROL_TEXT_MAX + 1];

    for (unsigned i = 0; i < s->vip_count; i++)
        put_count(out, d->name, "", vip_labels(labels, &s->vip[i]), s->vip[i].epoch);
}

static void write_vip_withheld(const struct derived *d, const struct status *s, FILE *out)
{
    char labels[CONTROL_TEXT_MAX + 1];

    for (unsigned i = 0; i < s->vip_count; i++)
        put_count(out, d->name, "", vip_labels(labels, &s->vip[i]), *s->vip[i].withheld != 0);
}

static void write_peer_up(const struct derived *d, const struct status *s, FILE *out)
{
    char labels[CONTROL_TEXT_MAX + 1];

    for (unsigned i = 0; i < s->member_count; i++)
        if (!s->member[i].self)
            put_count(out, d->name, "", status_labels(labels, "member", s->member[i].name, NULL),
                      strcmp(s->member[i].link, "live") == 0);
}

static void write_lag(const struct derived *d, const struct status *s, FILE *out)
{
    char labels[CONTROL_TEXT_MAX + 1];

    for (unsigned i = 0; i < s->member_count; i++)
        if (!s->member[i].self)
            put_count(out, d->name, "", status_labels(labels, "member", s->member[i].name, NULL),
                      s->member[i].lag);
}

static void write_rtt(const struct derived *d, const struct status *s, FILE *out)
{
    char labels[CONTROL_TEXT_MAX + 1];

    for (unsigned i = 0; i < s->member_count; i++)
        if (s->member[i].rtt_us) /* not of this member, and only when measured */
            put_real(out, d->name, "", status_labels(labels, "member", s->member[i].name, NULL),
                     (double)s->member[i].rtt_us / 1e6);
}

static void write_peers(const struct derived *d, const struct status *s, FILE *out)
{
    char labels[CONTROL_TEXT_MAX + 1], hub[12];

    for (unsigned i = 0; i < s->hub_count; i++) {
        const struct status_hub *h = &s->hub[i];

        number(hub, h->id);
        put_count(out, d->name, "", status_labels(labels, "hub", hub, "state", "configured", NULL),
                  h->peers);
        if (h->has_peers_with_session)
            put_count(out, d->name, "",
                      status_labels(labels, "hub", hub, "state", "connected", NULL),
                      h->peers_with_session);
    }
}

static void write_device(const struct derived *d, const struct status *s, FILE *out)
{
    char labels[CONTROL_TEXT_MAX + 1], hub[12];

    for (unsigned i = 0; i < s->hub_count; i++) {
        const struct status_hub *h = &s->hub[i];

        put_count(out, d->name, "_info",
                  status_labels(labels, "device", h->ifname, "hub", number(hub, h->id),
                                "public_key", h->public_key, NULL),
                  1);
    }
}

static const char *peer_labels(char labels[CONTROL_TEXT_MAX + 1], const struct status *s,
                               const struct status_peer *p)
{
    char key[KEY_TEXT_LEN + 1], hub[12];
    const char *device = "";

    for (unsigned i = 0; i < s->hub_count; i++)
        if (s->hub[i].id == p->hub)
            device = s->hub[i].ifname;
    key_to_base64(p->public_key.b, key);
    return status_labels(labels, "public_key", key, "device", device, "hub", number(hub, p->hub),
                         NULL);
}

static void write_peer(const struct derived *d, const struct status *s, FILE *out)
{
    char labels[CONTROL_TEXT_MAX + 1], name[CONTROL_TEXT_MAX + 1];

    for (unsigned i = 0; i < s->peer_count; i++) {
        const struct status_peer *p = &s->peer[i];

        peer_labels(labels, s, p);
        status_labels(name, "name", p->name, NULL);
        fprintf(out, "%s_info{%s%s%s,allowed_ips=\"%s\"} 1\n", d->name, labels, *name ? "," : "",
                name, p->allowed);
    }
}

static void write_peer_rx(const struct derived *d, const struct status *s, FILE *out)
{
    char labels[CONTROL_TEXT_MAX + 1];

    for (unsigned i = 0; i < s->peer_count; i++)
        put_count(out, d->name, "_total", peer_labels(labels, s, &s->peer[i]), s->peer[i].rx_bytes);
}

static void write_peer_tx(const struct derived *d, const struct status *s, FILE *out)
{
    char labels[CONTROL_TEXT_MAX + 1];

    for (unsigned i = 0; i < s->peer_count; i++)
        put_count(out, d->name, "_total", peer_labels(labels, s, &s->peer[i]), s->peer[i].tx_bytes);
}

static void write_peer_handshake(const struct derived *d, const struct status *s, FILE *out)
{
    char labels[CONTROL_TEXT_MAX + 1];

    for (unsigned i = 0; i < s->peer_count; i++)
        put_count(out, d->name, "", peer_labels(labels, s, &s->peer[i]),
                  s->peer[i].handshake_real_ns / NS_PER_S);
}

/* ---- rows ---- */

/* Length of the family's name in a row's: without a suffix of the type. */
static size_t family_len(const struct status_metric *m)
{
    const char *suffix = m->counter ? "_total" : "_info";
    size_t len = strlen(m->name), tail = strlen(suffix);

    return len > tail && strcmp(m->name + len - tail, suffix) == 0 ? len - tail : len;
}

static bool same_family(const struct status_metric *a, const char *name, size_t len)
{
    return family_len(a) == len && memcmp(a->name, name, len) == 0;
}

static void write_row(const struct status_metric *m, FILE *out)
{
    bool bare = m->counter && family_len(m) == strlen(m->name);

    put_real(out, m->name, bare ? "_total" : "", m->labels, m->value);
}

static void write_head(FILE *out, bool plain, const char *name, size_t len, const char *type,
                       const char *help)
{
    const char *suffix = !plain                         ? ""
                         : strcmp(type, "counter") == 0 ? "_total"
                         : strcmp(type, "info") == 0    ? "_info"
                                                        : "";

    if (plain && strcmp(type, "counter") != 0)
        type = "gauge";
    fprintf(out, "# TYPE %.*s%s %s\n", (int)len, name, suffix, type);
    if (*help)
        fprintf(out, "# HELP %.*s%s %s\n", (int)len, name, suffix, help);
}

/* All rows of the family that row @first begins; nothing if an earlier row began it. */
static void write_family(const struct status *s, unsigned first, bool plain, FILE *out)
{
    const struct status_metric *m = &s->metric[first];
    size_t len = family_len(m);
    const char *type = m->counter ? "counter" : len < strlen(m->name) ? "info" : "gauge";

    for (unsigned i = 0; i < first; i++)
        if (same_family(&s->metric[i], m->name, len))
            return;
    write_head(out, plain, m->name, len, type, m->help);
    for (unsigned i = first; i < s->metric_count; i++)
        if (same_family(&s->metric[i], m->name, len))
            write_row(&s->metric[i], out);
}

static bool rows_bring(const struct status *s, const char *name)
{
    for (unsigned i = 0; i < s->metric_count; i++)
        if (same_family(&s->metric[i], name, strlen(name)))
            return true;
    return false;
}

static void write_all(const struct status *s, bool plain, FILE *out)
{
    for (size_t i = 0; i < ARRAY_LEN(derived); i++) {
        const struct derived *d = &derived[i];

        if (rows_bring(s, d->name))
            continue;
        write_head(out, plain, d->name, strlen(d->name), d->type, d->help);
        d->write(d, s, out);
    }
    for (unsigned i = 0; i < s->metric_count; i++)
        write_family(s, i, plain, out);
}

void metrics_write(const struct status *s, FILE *out)
{
    write_all(s, false, out);
    fputs("# EOF\n", out);
}

void metrics_write_plain(const struct status *s, FILE *out)
{
    write_all(s, true, out);
}
