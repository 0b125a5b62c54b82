/* A new cluster's configurations, as text: read back by the module that reads them on the members.
 */
#include "base/bytes.h"
#include "base/err.h"
#include "cli/draft.h"
#include "lib/test.h"
#include <stdio.h>
#include <string.h>

static void set(struct draft *d, enum draft_word w, const char *text)
{
    char error[CONF_ERROR_LEN] = "";

    if (draft_set(d, w, text, error) < 0)
        fail_msg("%s", error);
}

static void add(struct draft *d, const char *text)
{
    char error[CONF_ERROR_LEN] = "";

    if (draft_add_member(d, text, error) < 0)
        fail_msg("%s", error);
}

static struct draft office(void)
{
    struct draft d = {0};

    set(&d, DRAFT_NAME, "office");
    add(&d, "berlin=192.168.99.1");
    add(&d, "paris=[fd99::2]:5000");
    set(&d, DRAFT_HUB_ADDRESS, "10.77.0.1/16, fd77::1/64");
    set(&d, DRAFT_OUTER, "203.0.113.100/24 dev eth0, 2001:db8::100/64 dev eth0");
    return d;
}

static void finish(struct draft *d)
{
    char error[CONF_ERROR_LEN] = "";

    if (draft_finish(d, error) < 0)
        fail_msg("%s", error);
}

/* The caller frees it. */
static struct conf *conf_of(const struct draft *d, const struct draft_keys *k, unsigned i)
{
    char error[CONF_ERROR_LEN] = "", text[DRAFT_TEXT_MAX];
    struct conf *c = NULL;

    if (draft_conf(d, k, i, text, &c, error) < 0)
        fail_msg("%s", error);
    return c;
}

TEST(every_member_has_a_configuration_of_its_own)
{
    static struct draft_keys k;
    struct draft d = office();
    struct endpoint sync[2];

    set(&d, DRAFT_INNER, "10.0.0.100/24 dev eth1");
    set(&d, DRAFT_PORT, "443");
    set(&d, DRAFT_OUTER_PROBE, "203.0.113.1");
    set(&d, DRAFT_INNER_PROBE, "10.0.0.1, 10.0.0.2");
    finish(&d);
    assert_int_equal(endpoint_parse("192.168.99.1:51900", &sync[0]), 0);
    assert_int_equal(endpoint_parse("[fd99::2]:5000", &sync[1]), 0);
    assert_int_equal(draft_make_keys(&k, d.member_count, test_rng(1)), 0);
    for (unsigned i = 0; i < 2; i++) {
        struct conf *c = conf_of(&d, &k, i);

        assert_int_equal(c->self, i + 1);
        assert_string_equal(c->cluster, "office");
        assert_memory_equal(c->cluster_key->b, k.cluster, 32);
        assert_memory_equal(c->sync_private_key->b, k.sync[i], 32);
        assert_string_equal(c->member[1].name, "berlin");
        assert_string_equal(c->member[2].name, "paris");
        for (unsigned m = 0; m < 2; m++) {
            assert_memory_equal(c->member[m + 1].sync_public_key, k.sync_public[m], 32);
            assert_true(endpoint_equal(&c->member[m + 1].sync_address, &sync[m]));
        }
        assert_memory_equal(c->hub[0].private_key->b, k.hub, 32);
        assert_int_equal(c->hub[0].address_count, 2);
        assert_true(c->vip_count == 1 && c->vip[0].outer_count == 2 && c->vip[0].inner_count == 1);
        assert_int_equal(c->vip[0].port, 443);
        assert_memory_equal(c->vip[0].order, ((uint8_t[]){1, 2, 0}), 3);
        assert_true(c->vip[0].vrid_outer == 51 && c->vip[0].vrid_inner == 61);
        assert_int_equal(c->lan_count, 2);
        assert_string_equal(c->lan[0].ifname, "eth0");
        assert_string_equal(c->lan[1].ifname, "eth1");
        assert_true(c->lan[0].probe_count == 1 && c->lan[1].probe_count == 2);
        conf_free(c);
    }
}

TEST(what_is_not_given_is_left_out)
{
    static struct draft_keys k;
    struct draft d = office();

    finish(&d);
    assert_int_equal(draft_make_keys(&k, d.member_count, test_rng(2)), 0);
    struct conf *c = conf_of(&d, &k, 0);
    assert_true(c->vip[0].port == 51820 && c->vip[0].inner_count == 0 && c->lan_count == 0);
    assert_int_equal(c->vip[0].vrid_inner, 0);
    conf_free(c);
}

TEST(the_largest_cluster_fits)
{
    static struct draft_keys k;
    char member[MEMBER_ID_MAX][96], addresses[CONF_ADDRS_MAX * 48] = "";
    struct draft d = {0};

    for (unsigned i = 0; i < MEMBER_ID_MAX; i++) {
        snprintf(member[i], sizeof(member[i]),
                 "m%030u=[2001:db8:aaaa:bbbb:cccc:dddd:eeee:%u]:65535", i, 1000 + i);
        add(&d, member[i]);
    }
    for (unsigned i = 0; i < CONF_ADDRS_MAX; i++)
        snprintf(addresses + strlen(addresses), sizeof(addresses) - strlen(addresses),
                 "%s2001:db8:aaaa:%u:cccc:dddd:eeee:ffff/64", i ? ", " : "", 2000 + i);
    set(&d, DRAFT_NAME, "a-name-of-thirty-one-characters");
    set(&d, DRAFT_HUB_ADDRESS, addresses);
    set(&d, DRAFT_OUTER, "203.0.113.100/24 dev eth0");
    finish(&d);
    assert_int_equal(draft_make_keys(&k, d.member_count, test_rng(3)), 0);
    struct conf *c = conf_of(&d, &k, MEMBER_ID_MAX - 1);
    assert_int_equal(c->self, MEMBER_ID_MAX);
    assert_int_equal(c->hub[0].address_count, CONF_ADDRS_MAX);
    conf_free(c);

    char error[CONF_ERROR_LEN] = "";
    assert_int_equal(draft_add_member(&d, "more=192.0.2.1", error), -EINVAL);
    assert_non_null(strstr(error, "at most"));
}

TEST(no_key_is_made_twice)
{
    static struct draft_keys k;
    const uint8_t *all[] = {k.cluster, k.hub, k.sync[0], k.sync[1], k.sync[2]};

    assert_int_equal(draft_make_keys(&k, 3, test_rng(4)), 0);
    for (unsigned i = 0; i < ARRAY_LEN(all); i++)
        for (unsigned j = 0; j < i; j++)
            assert_memory_not_equal(all[i], all[j], 32);
}

TEST(wrong_words_are_refused_by_their_option)
{
    static const struct {
        enum draft_word w;
        const char *text, *word;
    } wrong[] = {
        {DRAFT_NAME, "", "--name: expected a word"},
        {DRAFT_NAME, "a b", "--name: expected a word"},
        {DRAFT_NAME, "../x", "--name: expected a word"},
        {DRAFT_NAME, "..", "a folder is named after it"},
        {DRAFT_NAME, "-o", "a folder is named after it"},
        {DRAFT_HUB_ADDRESS, "10.77.0.1/33", "--hub-address: expected ADDRESS/LENGTH"},
        {DRAFT_HUB_ADDRESS, "10.77.0.1", "length of the clients' network"},
        {DRAFT_HUB_ADDRESS, "10.77.0.1/16, fd77::1", "length of the clients' network"},
        {DRAFT_HUB_ADDRESS, "10.77.0.1/16,\n[Node]", "--hub-address: expected"},
        {DRAFT_HUB_ADDRESS, "10.77.0.1/16\n", "--hub-address: expected"},
        {DRAFT_OUTER, "203.0.113.100/24", "--outer: expected ADDRESS/LENGTH dev INTERFACE"},
        {DRAFT_OUTER, "203.0.113.100/24 dev\neth0", "--outer: expected"},
        {DRAFT_INNER, "eth1", "--inner: expected"},
        {DRAFT_PORT, "0", "--port: expected a whole number from 1"},
        {DRAFT_PORT, "65536", "--port: expected a whole number"},
        {DRAFT_VRID_OUTER, "256", "--vrid-outer: expected"},
        {DRAFT_VRID_INNER, "x", "--vrid-inner: expected"},
        {DRAFT_OUTER_PROBE, "gateway", "--outer-probe: expected IP addresses"},
        {DRAFT_INNER_PROBE, "", "--inner-probe: expected"},
    };
    char error[CONF_ERROR_LEN];

    for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
        struct draft d = {0};

        strcpy(error, "");
        if (draft_set(&d, wrong[i].w, wrong[i].text, error) != -EINVAL ||
            !strstr(error, wrong[i].word) || d.word[wrong[i].w])
            fail_msg("'%s': '%s'", wrong[i].text, error);
    }
    struct draft d = office();
    assert_int_equal(draft_set(&d, DRAFT_NAME, "other", error), -EINVAL);
    assert_string_equal(d.word[DRAFT_NAME], "office");
}

TEST(wrong_members_are_refused)
{
    static const struct {
        const char *text, *word;
    } wrong[] = {
        {"", "NAME=ADDRESS"},
        {"rome", "NAME=ADDRESS"},
        {"=192.168.99.3", "NAME=ADDRESS"},
        {"rome=", "--member rome: expected"},
        {"rome=host.example", "--member rome: expected"},
        {"rome=192.168.99.3:0", "--member rome"},
        {"rome=192.168.99.3:65536", "--member rome: expected"},
        {"rome=0.0.0.0", "no other member could reach"},
        {"rome=ff02::1", "no other member could reach"},
        {"..=192.168.99.3", "begins with"},
        {"a/b=192.168.99.3", "letters, digits"},
        {"abcdefghijklmnopqrstuvwxyz0123456=192.168.99.3", "NAME=ADDRESS"},
        {"Berlin=192.168.99.3", "Berlin is given twice"},
        {"rome=192.168.99.1:51900", "berlin's already"},
    };
    struct draft d = office();

    for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
        char error[CONF_ERROR_LEN] = "";

        if (draft_add_member(&d, wrong[i].text, error) != -EINVAL || !strstr(error, wrong[i].word))
            fail_msg("'%s': '%s'", wrong[i].text, error);
    }
    assert_int_equal(d.member_count, 2);
}

static void refused(struct draft *d, const char *word)
{
    char error[CONF_ERROR_LEN] = "";

    assert_int_equal(draft_finish(d, error), -EINVAL);
    if (!strstr(error, word))
        fail_msg("'%s' instead of '%s'", error, word);
}

TEST(what_is_missing_is_named)
{
    struct draft d = office();

    d.word[DRAFT_HUB_ADDRESS] = NULL;
    refused(&d, "--hub-address is missing");
    d = office();
    d.member_count = 1;
    refused(&d, "at least two members");
    d = office();
    set(&d, DRAFT_INNER_PROBE, "10.0.0.1");
    refused(&d, "--inner-probe needs --inner");
    d = office();
    set(&d, DRAFT_VRID_INNER, "5");
    refused(&d, "--vrid-inner needs --inner");
}

TEST(what_only_the_whole_shows_is_refused_too)
{
    static struct draft_keys k;
    char error[CONF_ERROR_LEN] = "", text[DRAFT_TEXT_MAX];
    struct draft d = office();
    struct conf *c = NULL;

    set(&d, DRAFT_INNER, "203.0.113.101/24 dev eth0");
    set(&d, DRAFT_VRID_INNER, "51");
    finish(&d);
    assert_int_equal(draft_make_keys(&k, d.member_count, test_rng(5)), 0);
    assert_true(draft_conf(&d, &k, 0, text, &c, error) < 0);
    assert_non_null(strstr(error, "berlin/guardmount.conf:"));
    assert_non_null(strstr(error, "give each its own"));
    assert_null(c);
}

TEST_MAIN(T(every_member_has_a_configuration_of_its_own), T(what_is_not_given_is_left_out),
          T(the_largest_cluster_fits), T(no_key_is_made_twice),
          T(wrong_words_are_refused_by_their_option), T(wrong_members_are_refused),
          T(what_is_missing_is_named), T(what_only_the_whole_shows_is_refused_too))
