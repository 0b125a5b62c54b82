/* OpenMetrics text: exactly this form, whatever the rows are. */
#include "base/err.h"
#include "control/metrics.h"
#include "lib/test.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static char *text_of(const struct status *s)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    metrics_write(s, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static struct status *sample(void)
{
    struct status *s = status_new();
    struct status_peer *p;

    s->id = 1;
    strcpy(s->name, "m1");
    strcpy(s->version, "0.1.0");
    s->fit = s->in_sync = true;
    s->uptime_ms = 12500;
    s->member_count = 2;
    s->member[0] = (struct status_member){.id = 1, .self = true, .name = "m1", .link = "self"};
    s->member[1] = (struct status_member){
        .id = 2, .name = "m2", .link = "live", .in_sync = true, .lag = 3, .rtt_us = 250};
    s->vip_count = 1;
    s->vip[0] = (struct status_vip){
        .hub = 1, .id = 1, .owned = true, .name = "main", .state = "active", .epoch = 4};
    s->hub_count = 1;
    s->hub[0] = (struct status_hub){.id = 1,
                                    .ifname = "hub0",
                                    .public_key = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                                    .peers = 7};
    p = status_add_peer(s);
    p->hub = 1;
    p->public_key.b[0] = 2;
    strcpy(p->name, "ann\"a\\");
    strcpy(p->endpoint, "192.0.2.1:5");
    status_add_allowed(p, "10.0.0.0/24");
    status_add_allowed(p, "fd00::/64");
    p->rx_bytes = UINT64_MAX;
    p->tx_bytes = 148;
    p->handshake_real_ns = 1750000000999999999ull;
    return s;
}

TEST(status_becomes_this_text)
{
    struct status *s = sample();
    char *text;

    status_add_metric(s, true, "guardmount_adopted", "hub=\"1\",mode=\"hot\"", "Taken over.", 5);
    status_add_metric(s, false, "guardmount_queue_depth", "", "Waiting.", 0.25);
    status_add_metric(s, true, "guardmount_adopted", "hub=\"1\",mode=\"cold\"", "Taken over.", 0);
    text = text_of(s);
    assert_string_equal(
        text,
        "# TYPE guardmount_build info\n# HELP guardmount_build Version of the daemon.\n"
        "guardmount_build_info{version=\"0.1.0\"} 1\n"
        "# TYPE guardmount_uptime_seconds gauge\n"
        "# HELP guardmount_uptime_seconds Time since the daemon started.\n"
        "guardmount_uptime_seconds 12.5\n"
        "# TYPE guardmount_node_state stateset\n"
        "# HELP guardmount_node_state What this member is to the outside.\n"
        "guardmount_node_state{guardmount_node_state=\"backup\"} 0\n"
        "guardmount_node_state{guardmount_node_state=\"master\"} 1\n"
        "guardmount_node_state{guardmount_node_state=\"fault\"} 0\n"
        "# TYPE guardmount_node_in_sync gauge\n"
        "# HELP guardmount_node_in_sync 1: in sync with the siblings.\n"
        "guardmount_node_in_sync 1\n"
        "# TYPE guardmount_vip_owned gauge\n"
        "# HELP guardmount_vip_owned 1: this member owns the VIP.\n"
        "guardmount_vip_owned{hub=\"1\",vip=\"main\"} 1\n"
        "# TYPE guardmount_vip_epoch gauge\n"
        "# HELP guardmount_vip_epoch Number of the last claim of the VIP by this member.\n"
        "guardmount_vip_epoch{hub=\"1\",vip=\"main\"} 4\n"
        "# TYPE guardmount_vip_withheld gauge\n"
        "# HELP guardmount_vip_withheld 1: by its weight this member leaves the VIP to any sibling "
        "in sync.\n"
        "guardmount_vip_withheld{hub=\"1\",vip=\"main\"} 0\n"
        "# TYPE guardmount_sync_peer_up gauge\n"
        "# HELP guardmount_sync_peer_up 1: the link to the sibling is live.\n"
        "guardmount_sync_peer_up{member=\"m2\"} 1\n"
        "# TYPE guardmount_sync_lag_entries gauge\n"
        "# HELP guardmount_sync_lag_entries Entries sent to the sibling and not acknowledged.\n"
        "guardmount_sync_lag_entries{member=\"m2\"} 3\n"
        "# TYPE guardmount_sync_rtt_seconds gauge\n"
        "# HELP guardmount_sync_rtt_seconds Round trip to the sibling.\n"
        "guardmount_sync_rtt_seconds{member=\"m2\"} 0.00025\n"
        "# TYPE guardmount_peers gauge\n# HELP guardmount_peers Peers by state.\n"
        "guardmount_peers{hub=\"1\",state=\"configured\"} 7\n"
        "# TYPE wireguard_device info\n# HELP wireguard_device Metadata about a device.\n"
        "wireguard_device_info{device=\"hub0\",hub=\"1\","
        "public_key=\"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"} 1\n"
        "# TYPE wireguard_peer info\n# HELP wireguard_peer Metadata about a peer.\n"
        "wireguard_peer_info{public_key=\"AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\","
        "device=\"hub0\",hub=\"1\",name=\"ann\\\"a\\\\\",allowed_ips=\"10.0.0.0/24,fd00::/64\"} 1\n"
        "# TYPE wireguard_peer_receive_bytes counter\n"
        "# HELP wireguard_peer_receive_bytes Bytes received from a peer.\n"
        "wireguard_peer_receive_bytes_total{"
        "public_key=\"AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",device=\"hub0\",hub=\"1\"} "
        "18446744073709551615\n"
        "# TYPE wireguard_peer_transmit_bytes counter\n"
        "# HELP wireguard_peer_transmit_bytes Bytes transmitted to a peer.\n"
        "wireguard_peer_transmit_bytes_total{"
        "public_key=\"AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",device=\"hub0\",hub=\"1\"} "
        "148\n"
        "# TYPE wireguard_peer_last_handshake_seconds gauge\n"
        "# HELP wireguard_peer_last_handshake_seconds UNIX time of the last handshake with a "
        "peer.\n"
        "wireguard_peer_last_handshake_seconds{"
        "public_key=\"AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",device=\"hub0\",hub=\"1\"} "
        "1750000000\n"
        "# TYPE guardmount_adopted counter\n# HELP guardmount_adopted Taken over.\n"
        "guardmount_adopted_total{hub=\"1\",mode=\"hot\"} 5\n"
        "guardmount_adopted_total{hub=\"1\",mode=\"cold\"} 0\n"
        "# TYPE guardmount_queue_depth gauge\n# HELP guardmount_queue_depth Waiting.\n"
        "guardmount_queue_depth 0.25\n"
        "# EOF\n");
    free(text);
    status_free(s);
}

static unsigned count_of(const char *text, const char *word)
{
    unsigned n = 0;

    for (; (text = strstr(text, word)); text += strlen(word))
        n++;
    return n;
}

TEST(what_rows_bring_is_not_said_twice)
{
    struct status *s = sample();
    char *text;

    status_add_metric(s, false, "guardmount_vip_owned", "vip=\"x\"", "Help.", 1);
    status_add_metric(s, false, "guardmount_build_info", "version=\"9\"", "Build.", 1);
    text = text_of(s);
    assert_int_equal(count_of(text, "# TYPE guardmount_vip_owned "), 1);
    assert_int_equal(count_of(text, "guardmount_vip_owned{"), 1);
    assert_int_equal(count_of(text, "# TYPE guardmount_build info\n"), 1);
    assert_int_equal(count_of(text, "guardmount_build_info{version=\"9\"} 1\n"), 1);
    free(text);
    status_free(s);
}

TEST(counter_keeps_its_suffix_once)
{
    struct status *s = status_new();
    char *text;

    status_add_metric(s, true, "a_total", "", "", 1);
    status_add_metric(s, true, "a", "x=\"1\"", "", 2);
    text = text_of(s);
    assert_non_null(strstr(text, "# TYPE a counter\na_total 1\na_total{x=\"1\"} 2\n"));
    free(text);
    status_free(s);
}

TEST(values_have_a_form_that_readers_know)
{
    static const struct {
        double value;
        const char *text;
    } values[] = {
        {0, "v 0\n"},
        {-1, "v -1\n"},
        {1e15, "v 1000000000000000\n"},
        {0.1, "v 0.1\n"},
        {1e300, "v 1e+300\n"},
        {INFINITY, "v +Inf\n"},
        {-INFINITY, "v -Inf\n"},
        {NAN, "v NaN\n"},
    };

    for (unsigned i = 0; i < ARRAY_LEN(values); i++) {
        struct status *s = status_new();
        char *text;

        status_add_metric(s, false, "v", "", "", values[i].value);
        text = text_of(s);
        if (!strstr(text, values[i].text))
            fail_msg("%g is not \"%s\"", values[i].value, values[i].text);
        free(text);
        status_free(s);
    }
}

TEST(labels_are_escaped_and_never_cut_in_two)
{
    char labels[CONTROL_TEXT_MAX + 1], longer[CONTROL_TEXT_MAX + 2];

    assert_string_equal(status_labels(labels, "a", "x\"y\\z\n", "b", "", NULL),
                        "a=\"x\\\"y\\\\z\\n\",b=\"\"");
    assert_string_equal(status_labels(labels, NULL, NULL, NULL), "");
    for (size_t len = 0; len < sizeof(longer) - 1; len++) {
        memset(longer, '"', len);
        longer[len] = '\0';
        status_labels(labels, "a", "1", "b", longer, NULL);
        size_t end = strlen(labels);
        if (end > 5)
            assert_true(labels[end - 1] == '"' && end == 6 + 4 + 2 * len - 0);
        else
            assert_string_equal(labels, "a=\"1\"");
    }
    assert_string_equal(labels, "a=\"1\"");
}

TEST(empty_status_is_a_good_text)
{
    struct status *s = status_new();
    char *text = text_of(s);

    assert_string_equal(text + strlen(text) - 6, "# EOF\n");
    assert_non_null(strstr(text, "guardmount_node_state{guardmount_node_state=\"fault\"} 1\n"));
    free(text);
    status_free(s);
}

TEST_MAIN(T(status_becomes_this_text), T(what_rows_bring_is_not_said_twice),
          T(counter_keeps_its_suffix_once), T(values_have_a_form_that_readers_know),
          T(labels_are_escaped_and_never_cut_in_two), T(empty_status_is_a_good_text))
