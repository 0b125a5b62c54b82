/* The UAPI's text: what is taken, what is refused, and the exact form of an answer. */
#include "base/clock.h"
#include "base/err.h"
#include "base/secret.h"
#include "control/uapi_text.h"
#include "lib/test.h"
#include <stdio.h>
#include <string.h>

#define KEY_A "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"
#define KEY_B "0B0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
#define ZERO "0000000000000000000000000000000000000000000000000000000000000000"

/* All requests of a text, fed in pieces of @piece bytes. The change of the last is the caller's. */
static unsigned parse(const char *text, size_t len, size_t piece, struct uapi_request *last)
{
    struct uapi_parser p;
    unsigned count = 0;

    *last = (struct uapi_request){0};
    uapi_parser_init(&p, 1);
    while (len) {
        struct uapi_request r;
        size_t give = MIN(len, piece), taken = uapi_parse(&p, text, give, &r);

        assert_true(taken <= give);
        assert_true(r.op != UAPI_NONE || taken == give);
        text += taken;
        len -= taken;
        if (r.op == UAPI_NONE)
            continue;
        count++;
        change_free(last->change);
        *last = r;
    }
    uapi_parser_done(&p);
    return count;
}

static struct uapi_request parse_one(const char *text)
{
    struct uapi_request r, again;

    assert_int_equal(parse(text, strlen(text), SIZE_MAX, &r), 1);
    assert_int_equal(parse(text, strlen(text), 1, &again), 1);
    assert_int_equal(r.op, again.op);
    assert_int_equal(r.err, again.err);
    assert_int_equal(!r.change, !again.change);
    change_free(again.change);
    return r;
}

TEST(get_is_a_request_of_two_lines)
{
    struct uapi_request r = parse_one("get=1\n\n");

    assert_int_equal(r.op, UAPI_GET);
    assert_int_equal(r.err, 0);
    assert_null(r.change);
}

TEST(nothing_comes_before_the_empty_line)
{
    struct uapi_request r;

    assert_int_equal(parse("get=1\n", 6, 1, &r), 0);
    assert_int_equal(parse("set=1\nfwmark=1\n", 15, 15, &r), 0);
}

TEST(set_says_all_of_device_and_peers)
{
    struct uapi_request r = parse_one("set=1\n"
                                      "private_key=" KEY_A "\n"
                                      "listen_port=51820\n"
                                      "fwmark=4294967295\n"
                                      "replace_peers=true\n"
                                      "public_key=" KEY_B "\n"
                                      "preshared_key=" KEY_A "\n"
                                      "endpoint=192.0.2.1:4500\n"
                                      "persistent_keepalive_interval=25\n"
                                      "replace_allowed_ips=true\n"
                                      "allowed_ip=10.1.2.3/16\n"
                                      "allowed_ip=-fd00::1/64\n"
                                      "protocol_version=1\n"
                                      "public_key=" KEY_A "\n"
                                      "update_only=true\n"
                                      "endpoint=[2001:db8::1]:1\n"
                                      "preshared_key=" ZERO "\n"
                                      "public_key=" ZERO "\n"
                                      "remove=true\n"
                                      "\n");
    struct change *c = r.change;
    char text[PREFIX_TEXT_LEN];

    assert_int_equal(r.op, UAPI_SET);
    assert_int_equal(r.err, 0);
    assert_int_equal(c->hub, 1);
    assert_true(c->has_private_key && c->has_listen_port && c->has_fwmark && c->replace_peers);
    assert_int_equal(c->private_key->b[31], 10);
    assert_int_equal(c->listen_port, 51820);
    assert_int_equal(c->fwmark, UINT32_MAX);
    assert_int_equal(c->peer_count, 3);

    const struct peer_change *p = &c->peers[0];
    assert_int_equal(p->key.b[0], 11);
    assert_true(p->has_psk && p->has_endpoint && p->has_keepalive && p->replace_allowed);
    assert_false(p->remove || p->update_only || p->has_name);
    assert_int_equal(p->psk->b[5], 10);
    assert_int_equal(p->endpoint.port, 4500);
    assert_int_equal(p->keepalive_s, 25);
    assert_int_equal(p->allowed_count, 2);
    assert_string_equal(prefix_format(&p->allowed[0].prefix, text), "10.1.0.0/16");
    assert_false(p->allowed[0].remove);
    assert_string_equal(prefix_format(&p->allowed[1].prefix, text), "fd00::/64");
    assert_true(p->allowed[1].remove);

    p = &c->peers[1];
    assert_true(p->update_only && p->has_psk && !p->has_keepalive);
    assert_true(secret_is_zero(p->psk, 32));
    assert_true(c->peers[2].remove);
    change_free(c);
}

TEST(empty_set_is_good)
{
    struct uapi_request r = parse_one("set=1\n\n");

    assert_int_equal(r.err, 0);
    assert_non_null(r.change);
    assert_int_equal(r.change->peer_count, 0);
    change_free(r.change);
}

TEST(replacing_forgets_the_prefixes_named_before_it)
{
    struct uapi_request r = parse_one("set=1\npublic_key=" KEY_A "\nallowed_ip=10.0.0.0/8\n"
                                      "replace_allowed_ips=true\nallowed_ip=10.1.0.0/16\n\n");

    assert_int_equal(r.change->peers[0].allowed_count, 1);
    assert_int_equal(r.change->peers[0].allowed[0].prefix.len, 16);
    change_free(r.change);
}

TEST(bad_lines_are_refused)
{
    static const char *const device[] = {
        ("private_key=" KEY_A "0"),
        "private_key=0a",
        "private_key=",
        ("private_key=g" ZERO),
        "listen_port=65536",
        "listen_port=-1",
        "listen_port= 1",
        "listen_port=1 ",
        "listen_port=0x10",
        "listen_port=",
        "fwmark=4294967296",
        "replace_peers=false",
        "replace_peers=",
        "replace_peers=True",
        "unknown=1",
        "no equals sign",
        "=",
        "=1",
        "set=1",
        "get=1",
        "errno=0",
        "listen_port=1\r",
        ("public_key=" KEY_A "\t"),
        "public_key=",
        /* of a peer, and there is none yet */
        "allowed_ip=10.0.0.0/8",
        ("preshared_key=" KEY_A),
        "remove=true",
        "protocol_version=1",
    };
    static const char *const peer[] = {
        "preshared_key=0a",
        "endpoint=192.0.2.1",
        "endpoint=192.0.2.1:0",
        "endpoint=192.0.2.1:65536",
        "endpoint=example.org:1",
        "endpoint=2001:db8::1:1",
        "endpoint=[2001:db8::1]",
        "endpoint=",
        "persistent_keepalive_interval=65536",
        "persistent_keepalive_interval=off",
        "allowed_ip=10.0.0.0/33",
        "allowed_ip=fd00::/129",
        "allowed_ip=10.0.0.0",
        "allowed_ip=10.0.0.0/",
        "allowed_ip=10.0.0/8",
        "allowed_ip=--10.0.0.0/8",
        "allowed_ip=-",
        "allowed_ip=",
        "remove=1",
        "update_only=yes",
        "replace_allowed_ips=false",
        "protocol_version=2",
        "protocol_version=",
        "last_handshake_time_sec=0",
        /* of the device */
        ("private_key=" KEY_A),
        "listen_port=1",
        "fwmark=1",
        "replace_peers=true",
    };
    char text[1024];

    for (unsigned i = 0; i < ARRAY_LEN(device) + ARRAY_LEN(peer); i++) {
        bool of_peer = i >= ARRAY_LEN(device);
        const char *line = of_peer ? peer[i - ARRAY_LEN(device)] : device[i];

        snprintf(text, sizeof(text), "set=1\n%s%s\nfwmark=1\n\n",
                 of_peer ? "public_key=" KEY_A "\n" : "", line);
        struct uapi_request r = parse_one(text);
        if (r.op != UAPI_SET || r.err != -EINVAL || r.change)
            fail_msg("taken: %s", line);
    }
}

TEST(lines_of_any_length_are_survived)
{
    enum { LEN = 100000 };
    char *text = malloc(LEN + 32);

    for (size_t len = UAPI_LINE_MAX - 20; len < LEN; len += len < 400 ? 1 : 9973) {
        size_t at = (size_t)sprintf(text, "set=1\nfwmark=");
        struct uapi_request r;

        memset(text + at, '1', len);
        strcpy(text + at + len, "\n\n");
        assert_int_equal(parse(text, strlen(text), 1000, &r), 1);
        assert_int_equal(r.err, -EINVAL);
    }
    /* And as the first line. */
    memset(text, 'g', LEN);
    strcpy(text + LEN, "\n\n");
    struct uapi_request r = parse_one(text);
    assert_int_equal(r.op, UAPI_UNKNOWN);
    assert_int_equal(r.err, -EINVAL);
    free(text);
}

TEST(nul_in_a_line_is_refused)
{
    static const char text[] = "set=1\nfwmark=1\0\n\n";
    struct uapi_request r;

    assert_int_equal(parse(text, sizeof(text) - 1, 4, &r), 1);
    assert_int_equal(r.err, -EINVAL);
}

TEST(get_with_more_lines_is_refused)
{
    struct uapi_request r = parse_one("get=1\nfwmark=1\n\n");

    assert_int_equal(r.op, UAPI_GET);
    assert_int_equal(r.err, -EINVAL);
}

TEST(other_words_are_no_request)
{
    for (const char *const *x =
             (const char *const[]){"get=2", "set=0", "GET / HTTP/1.1", "get=1 ", "errno=0", NULL};
         *x; x++) {
        char text[64];

        snprintf(text, sizeof(text), "%s\n\n", *x);
        struct uapi_request r = parse_one(text);
        assert_int_equal(r.op, UAPI_UNKNOWN);
        assert_int_equal(r.err, -EINVAL);
    }
}

TEST(requests_follow_one_another_also_after_a_bad_one)
{
    static const char text[] = "\nget=1\n\n\n\nset=1\nbad\nprivate_key=" KEY_A "\n\nset=1\n"
                               "fwmark=7\n\n";
    struct uapi_request r;

    for (size_t piece = 1; piece < sizeof(text); piece++) {
        assert_int_equal(parse(text, sizeof(text) - 1, piece, &r), 3);
        assert_int_equal(r.err, 0);
        assert_int_equal(r.change->fwmark, 7);
        change_free(r.change);
    }
}

static size_t many_lines(char **ret, const char *head, const char *line, unsigned times)
{
    size_t head_len = strlen(head), line_len = strlen(line);
    char *at = *ret = malloc(head_len + times * line_len + 2);

    at = mempcpy(at, head, head_len);
    while (times--)
        at = mempcpy(at, line, line_len);
    *at++ = '\n';
    return (size_t)(at - *ret);
}

TEST(sets_beyond_the_bounds_are_refused)
{
    static const struct {
        const char *head, *line;
        unsigned times;
        int err;
    } sets[] = {
        {"set=1\npublic_key=" KEY_A "\n", "allowed_ip=::/0\n", UAPI_PREFIXES_MAX, 0},
        {"set=1\npublic_key=" KEY_A "\n", "allowed_ip=::/0\n", UAPI_PREFIXES_MAX + 1, -E2BIG},
        {"set=1\n", "public_key=" KEY_A "\n", UAPI_PEERS_MAX, 0},
        {"set=1\n", "public_key=" KEY_A "\n", UAPI_PEERS_MAX + 1, -E2BIG},
        {"set=1\n", "private_key=" KEY_A "\n", UAPI_SET_LEN_MAX / 77 + 1, -E2BIG},
    };

    for (unsigned i = 0; i < ARRAY_LEN(sets); i++) {
        struct uapi_request r;
        char *text;
        size_t len = many_lines(&text, sets[i].head, sets[i].line, sets[i].times);

        assert_int_equal(parse(text, len, 65536, &r), 1);
        assert_int_equal(r.err, sets[i].err);
        assert_int_equal(!r.change, r.err != 0);
        change_free(r.change);
        free(text);
    }
}

TEST(no_secret_is_left_behind)
{
    size_t before = secret_slots_used();
    static const char cut[] = "set=1\nprivate_key=" KEY_A "\npublic_key=" KEY_A
                              "\npreshared_key=" KEY_B "\npreshared_key=" KEY_A "\n";
    struct uapi_request r;
    char text[512];

    assert_int_equal(parse(cut, strlen(cut), 7, &r), 0); /* the client left in the middle */
    snprintf(text, sizeof(text), "%sbad\n\n", cut);
    assert_int_equal(parse_one(text).err, -EINVAL);
    snprintf(text, sizeof(text), "%s\n", cut);
    r = parse_one(text);
    assert_int_equal(secret_slots_used(), before + 2);
    change_free(r.change);
    assert_int_equal(secret_slots_used(), before);
}

TEST(lines_are_wiped_from_the_parser)
{
    struct uapi_parser p;
    struct uapi_request r;
    static const char text[] = "set=1\nprivate_key=" KEY_A "\nfwmark=1\n";

    uapi_parser_init(&p, 1);
    uapi_parse(&p, text, sizeof(text) - 1, &r);
    assert_null(memmem(&p, sizeof(p), "0a0a0a0a", 8));
    uapi_parser_done(&p);
}

TEST(answer_has_the_keys_in_their_order)
{
    struct secret32 private = {{0x11}}, psk = {{0x22}};
    struct public_key key = {{0x33}}, bare = {{0x44}};
    struct ip_prefix allowed[2];
    struct endpoint endpoint;
    struct uapi_writer w = {0};

    prefix_parse("10.0.0.0/8", &allowed[0]);
    prefix_parse("fd00::/64", &allowed[1]);
    endpoint_parse("[2001:db8::1]:51820", &endpoint);
    uapi_write_device(&w, &(struct uapi_device){&private, 51820, 42});
    uapi_write_peer(&w, &(struct uapi_peer){
                            .key = &key,
                            .psk = &psk,
                            .endpoint = &endpoint,
                            .handshake_real_ns = 1750000000 * NS_PER_S + 7,
                            .tx_bytes = UINT64_MAX,
                            .rx_bytes = 5,
                            .keepalive_s = 25,
                            .allowed = allowed,
                            .allowed_count = 2,
                        });
    uapi_write_peer(&w, &(struct uapi_peer){.key = &bare});
    uapi_write_end(&w, UAPI_GET, 0);
    assert_int_equal(w.err, 0);
    static const char want[] =
        "private_key=1100000000000000000000000000000000000000000000000000000000000000\n"
        "listen_port=51820\n"
        "fwmark=42\n"
        "public_key=3300000000000000000000000000000000000000000000000000000000000000\n"
        "preshared_key=2200000000000000000000000000000000000000000000000000000000000000\n"
        "protocol_version=1\n"
        "endpoint=[2001:db8::1]:51820\n"
        "last_handshake_time_sec=1750000000\n"
        "last_handshake_time_nsec=7\n"
        "tx_bytes=18446744073709551615\n"
        "rx_bytes=5\n"
        "persistent_keepalive_interval=25\n"
        "allowed_ip=10.0.0.0/8\n"
        "allowed_ip=fd00::/64\n"
        "public_key=4400000000000000000000000000000000000000000000000000000000000000\n"
        "preshared_key=" ZERO "\n"
        "protocol_version=1\n"
        "last_handshake_time_sec=0\n"
        "last_handshake_time_nsec=0\n"
        "tx_bytes=0\n"
        "rx_bytes=0\n"
        "persistent_keepalive_interval=0\n"
        "errno=0\n\n";
    assert_int_equal(w.len, sizeof(want) - 1);
    assert_memory_equal(w.text, want, w.len);
    uapi_writer_done(&w);
}

TEST(device_without_key_port_and_mark_has_no_lines)
{
    struct secret32 none = {{0}};
    struct uapi_writer w = {0};

    uapi_write_device(&w, &(struct uapi_device){&none, 0, 0});
    uapi_write_device(&w, &(struct uapi_device){NULL, 0, 0});
    assert_int_equal(w.len, 0);
    uapi_writer_done(&w);
}

TEST(errno_has_a_sign_in_the_answer_to_a_set_only)
{
    struct uapi_writer w = {0};

    uapi_write_end(&w, UAPI_SET, -EADDRINUSE);
    uapi_write_end(&w, UAPI_GET, -EADDRINUSE);
    uapi_write_end(&w, UAPI_SET, 0);
    assert_int_equal(w.len, strlen("errno=-98\n\nerrno=98\n\nerrno=0\n\n"));
    assert_memory_equal(w.text, "errno=-98\n\nerrno=98\n\nerrno=0\n\n", w.len);
    uapi_writer_done(&w);
}

TEST_MAIN(T(get_is_a_request_of_two_lines), T(nothing_comes_before_the_empty_line),
          T(set_says_all_of_device_and_peers), T(empty_set_is_good),
          T(replacing_forgets_the_prefixes_named_before_it), T(bad_lines_are_refused),
          T(lines_of_any_length_are_survived), T(nul_in_a_line_is_refused),
          T(get_with_more_lines_is_refused), T(other_words_are_no_request),
          T(requests_follow_one_another_also_after_a_bad_one),
          T(sets_beyond_the_bounds_are_refused), T(no_secret_is_left_behind),
          T(lines_are_wiped_from_the_parser), T(answer_has_the_keys_in_their_order),
          T(device_without_key_port_and_mark_has_no_lines),
          T(errno_has_a_sign_in_the_answer_to_a_set_only))
