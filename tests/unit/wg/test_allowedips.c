/* AllowedIPs against a plain list; speed with many prefixes; readers beside the writer. */
#include "base/err.h"
#include "lib/test.h"
#include "wg/allowedips.h"
#include "wg/peer.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct allowedips table;
static struct wg_peer peers[8];

static int empty(void **state)
{
    allowedips_init(&table, NULL, NULL);
    return 0;
}

static int done(void **state)
{
    allowedips_done(&table);
    return 0;
}

static struct ip_prefix prefix(const char *text)
{
    struct ip_prefix p;
    assert_int_equal(prefix_parse(text, &p), 0);
    return p;
}

static void insert(const char *text, struct wg_peer *p)
{
    struct ip_prefix x = prefix(text);
    assert_int_equal(allowedips_insert(&table, &x, p), 0);
}

static bool removed(const char *text, struct wg_peer *p)
{
    struct ip_prefix x = prefix(text);
    return allowedips_remove(&table, &x, p);
}

static struct wg_peer *find(const char *text)
{
    struct ip_addr a;
    assert_int_equal(addr_parse(text, &a), 0);
    return addr_is_v4(&a) ? allowedips_find4(&table, a.b + 12) : allowedips_find6(&table, a.b);
}

#define A (&peers[0])
#define B (&peers[1])
#define C (&peers[2])

TEST(the_longest_prefix_wins)
{
    assert_null(find("10.0.0.1"));
    insert("10.0.0.0/8", A);
    insert("10.1.0.0/16", B);
    insert("10.1.2.3/32", C);
    assert_ptr_equal(find("10.0.0.1"), A);
    assert_ptr_equal(find("10.1.0.1"), B);
    assert_ptr_equal(find("10.1.2.3"), C);
    assert_ptr_equal(find("10.1.2.2"), B);
    assert_null(find("11.0.0.0"));
    assert_null(find("9.255.255.255"));
    insert("0.0.0.0/0", C);
    assert_ptr_equal(find("11.0.0.0"), C);
    assert_null(find("::1")); /* another family */
    insert("::/0", A);
    insert("2001:db8::/32", B);
    insert("2001:db8::1/128", C);
    assert_ptr_equal(find("::1"), A);
    assert_ptr_equal(find("2001:db8:1::"), B);
    assert_ptr_equal(find("2001:db8::1"), C);
    assert_ptr_equal(find("2001:db9::1"), A);
    assert_int_equal(table.count, 7);
}

TEST(a_prefix_belongs_to_one_peer)
{
    insert("10.0.0.0/24", A);
    insert("10.0.0.0/24", B); /* moves it */
    assert_ptr_equal(find("10.0.0.7"), B);
    assert_int_equal(table.count, 1);
    assert_false(removed("10.0.0.0/24", A)); /* not its own */
    assert_ptr_equal(find("10.0.0.7"), B);
    assert_true(removed("10.0.0.0/24", B));
    assert_null(find("10.0.0.7"));
    assert_false(removed("10.0.0.0/24", B));
    assert_int_equal(table.count, 0);
}

TEST(only_exactly_this_prefix_is_removed)
{
    insert("10.0.0.0/8", A);
    insert("10.1.0.0/16", A);
    insert("10.1.128.0/17", A);
    assert_false(removed("10.0.0.0/9", A));
    assert_false(removed("10.1.0.0/17", A)); /* would be a branch, if anything */
    assert_false(removed("10.1.1.0/24", A));
    assert_false(removed("0.0.0.0/0", A));
    assert_true(removed("10.1.0.0/16", A));
    assert_ptr_equal(find("10.1.128.1"), A);
    assert_true(removed("10.0.0.0/8", A));
    assert_null(find("10.1.0.1"));
    assert_ptr_equal(find("10.1.200.1"), A);
}

TEST(a_branch_without_owner_is_nobodys)
{
    insert("10.0.0.0/24", A);
    insert("10.0.1.0/24", B); /* part at a /23 */
    assert_null(find("10.0.2.0"));
    assert_ptr_equal(find("10.0.0.9"), A);
    assert_ptr_equal(find("10.0.1.9"), B);
    assert_false(removed("10.0.0.0/23", A));
    insert("10.0.0.0/23", C); /* now the branch has one */
    assert_int_equal(table.count, 3);
    assert_true(removed("10.0.1.0/24", B));
    assert_ptr_equal(find("10.0.1.9"), C);
    assert_true(removed("10.0.0.0/23", C));
    assert_null(find("10.0.1.9"));
    assert_ptr_equal(find("10.0.0.9"), A);
}

TEST(bad_prefixes_are_refused_and_host_bits_do_not_matter)
{
    struct ip_prefix p = prefix("10.0.0.0/8");

    p.len = 33;
    assert_int_equal(allowedips_insert(&table, &p, A), -EINVAL);
    assert_false(allowedips_remove(&table, &p, A));
    p.v6 = true;
    p.len = 129;
    assert_int_equal(allowedips_insert(&table, &p, A), -EINVAL);
    p = prefix("10.0.0.0/8");
    p.addr.b[15] = 9;
    assert_int_equal(allowedips_insert(&table, &p, A), 0);
    assert_true(removed("10.0.0.0/8", A));
}

static size_t ipv4(uint8_t *buf, const char *src, const char *dst, unsigned total)
{
    struct ip_addr s, d;

    addr_parse(src, &s);
    addr_parse(dst, &d);
    memset(buf, 0, 64);
    buf[0] = 0x45;
    buf[2] = (uint8_t)(total >> 8);
    buf[3] = (uint8_t)total;
    memcpy(buf + 12, s.b + 12, 4);
    memcpy(buf + 16, d.b + 12, 4);
    return 64;
}

TEST(packets_are_looked_up_by_their_header)
{
    uint8_t buf[64];
    size_t len;

    insert("10.0.0.1/32", A);
    insert("10.0.0.2/32", B);
    insert("fd00::1/128", A);
    insert("fd00::2/128", B);
    ipv4(buf, "10.0.0.1", "10.0.0.2", 60);
    assert_ptr_equal(allowedips_find_dst(&table, buf, 64), B);
    assert_ptr_equal(allowedips_find_src(&table, buf, 64, &len), A);
    assert_int_equal(len, 60); /* the rest is padding */
    assert_ptr_equal(allowedips_find_src(&table, buf, 60, &len), A);
    assert_null(allowedips_find_src(&table, buf, 59, &len)); /* shorter than it says */
    assert_int_equal(len, 0);
    ipv4(buf, "10.0.0.9", "10.0.0.9", 20);
    assert_null(allowedips_find_src(&table, buf, 64, &len));
    assert_int_equal(len, 20); /* an IP packet, of nobody */
    ipv4(buf, "10.0.0.1", "10.0.0.2", 19);
    assert_null(allowedips_find_dst(&table, buf, 64));
    ipv4(buf, "10.0.0.1", "10.0.0.2", 20);
    assert_ptr_equal(allowedips_find_dst(&table, buf, 20), B);
    assert_null(allowedips_find_dst(&table, buf, 19));
    buf[0] = 0x46; /* a header of 24 in a packet of 20 */
    assert_null(allowedips_find_dst(&table, buf, 64));
    buf[0] = 0x44;
    assert_null(allowedips_find_dst(&table, buf, 64));
    buf[0] = 0x55;
    assert_null(allowedips_find_dst(&table, buf, 64));

    struct ip_addr one, two;
    addr_parse("fd00::1", &one);
    addr_parse("fd00::2", &two);
    memset(buf, 0, sizeof(buf));
    buf[0] = 0x60;
    buf[5] = 10;
    memcpy(buf + 8, one.b, 16);
    memcpy(buf + 24, two.b, 16);
    assert_ptr_equal(allowedips_find_dst(&table, buf, 64), B);
    assert_ptr_equal(allowedips_find_src(&table, buf, 64, &len), A);
    assert_int_equal(len, 50);
    assert_null(allowedips_find_src(&table, buf, 49, &len));
    assert_null(allowedips_find_src(&table, buf, 39, &len));
    assert_null(allowedips_find_dst(&table, buf, 0));
    assert_int_equal(len, 0);
}

/* ---- against a plain list ---- */

#define MODEL_MAX 400
#define STEPS 30000

struct entry {
    struct ip_prefix prefix;
    struct wg_peer *peer;
};

static struct wg_peer *model_find(const struct entry *model, unsigned count,
                                  const struct ip_addr *a, bool v6)
{
    struct wg_peer *best = NULL;
    int len = -1;

    for (unsigned i = 0; i < count; i++)
        if (model[i].prefix.v6 == v6 && (int)model[i].prefix.len > len &&
            prefix_contains(&model[i].prefix, a)) {
            best = model[i].peer;
            len = model[i].prefix.len;
        }
    return best;
}

/* Few bits vary, so that prefixes meet often. */
static struct ip_prefix random_prefix(const struct rng *rng, bool v6)
{
    uint8_t raw[16] = {0x20, 0x01};
    char text[PREFIX_TEXT_LEN], addr[ADDR_TEXT_LEN];
    struct ip_addr a;
    unsigned len;

    if (v6) {
        for (unsigned i = 6; i < 10; i++) /* around the middle, where the words meet */
            raw[i] = (uint8_t)(rng_u32(rng) & 0x93);
        if (test_below(rng, 4) == 0)
            raw[15] = (uint8_t)rng_u32(rng) & 3;
        a = addr_from_v6(raw, 0);
        len = test_below(rng, 10) ? 40 + test_below(rng, 48) : test_below(rng, 129);
    } else {
        raw[0] = 10;
        raw[1] = (uint8_t)(rng_u32(rng) & 0x81);
        raw[2] = (uint8_t)(rng_u32(rng) & 0xc3);
        raw[3] = (uint8_t)(rng_u32(rng) & 0x0f);
        a = addr_from_v4(raw);
        len = test_below(rng, 10) ? 8 + test_below(rng, 25) : test_below(rng, 33);
    }
    snprintf(text, sizeof(text), "%s/%u", addr_format(&a, addr), len);
    return prefix(text);
}

static void model_run(uint64_t seed)
{
    static struct entry model[MODEL_MAX];
    const struct rng *rng = test_rng(seed);
    unsigned count = 0;

    for (unsigned step = 0; step < STEPS; step++) {
        bool v6 = test_below(rng, 2);
        struct ip_prefix p = random_prefix(rng, v6);
        unsigned what = test_below(rng, 10), i;

        if (what < 3) {
            struct wg_peer *peer = &peers[test_below(rng, 8)];
            for (i = 0; i < count && !prefix_equal(&model[i].prefix, &p); i++)
                ;
            if (i == MODEL_MAX)
                continue;
            assert_int_equal(allowedips_insert(&table, &p, peer), 0);
            if (i == count)
                count++;
            model[i] = (struct entry){p, peer};
        } else if (what < 6 && count) {
            i = test_below(rng, count);
            struct wg_peer *peer = test_below(rng, 4) ? model[i].peer : &peers[test_below(rng, 8)];
            bool want = model[i].peer == peer;
            assert_int_equal(allowedips_remove(&table, &model[i].prefix, peer), want);
            if (want)
                model[i] = model[--count];
        } else if (what == 6) {
            for (i = 0; i < count && !prefix_equal(&model[i].prefix, &p); i++)
                ;
            if (i == count)
                assert_false(allowedips_remove(&table, &p, &peers[test_below(rng, 8)]));
        } else {
            struct ip_addr a = p.addr;
            struct wg_peer *got =
                v6 ? allowedips_find6(&table, a.b) : allowedips_find4(&table, a.b + 12);
            assert_ptr_equal(got, model_find(model, count, &a, v6));
        }
        assert_int_equal(table.count, count);
    }
    while (count) {
        assert_true(allowedips_remove(&table, &model[count - 1].prefix, model[count - 1].peer));
        count--;
    }
    assert_null(atomic_load(&table.root4)); /* nothing is left behind, branches neither */
    assert_null(atomic_load(&table.root6));
}

TEST(random_changes_agree_with_a_plain_list)
{
    for (uint64_t seed = 1; seed <= 6; seed++)
        model_run(seed);
}

/* ---- many prefixes ---- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

#define MANY 65280 /* 0x0100 .. 0xffff */

static struct ip_prefix nth(unsigned n, bool v6)
{
    uint8_t raw[16] = {0xfd};
    struct ip_prefix p = {.v6 = v6};

    n += 0x100;
    if (v6) {
        raw[14] = (uint8_t)(n >> 8);
        raw[15] = (uint8_t)n;
        p.addr = addr_from_v6(raw, 0);
        p.len = 128;
    } else {
        raw[0] = 10;
        raw[2] = (uint8_t)(n >> 8);
        raw[3] = (uint8_t)n;
        p.addr = addr_from_v4(raw);
        p.len = 32;
    }
    return p;
}

TEST(a_peer_may_have_65280_prefixes_of_each_family)
{
    double begin = seconds();

    for (unsigned v6 = 0; v6 < 2; v6++)
        for (unsigned n = 0; n < MANY; n++) {
            struct ip_prefix p = nth(n * 7919u % MANY, v6);
            allowedips_insert(&table, &p, A);
        }
    for (unsigned v6 = 0; v6 < 2; v6++)
        for (unsigned n = 0; n < MANY; n++) {
            struct ip_prefix p = nth(n, v6);
            assert_ptr_equal(v6 ? allowedips_find6(&table, p.addr.b)
                                : allowedips_find4(&table, p.addr.b + 12),
                             A);
        }
    assert_int_equal(table.count, 2 * MANY);
    for (unsigned v6 = 0; v6 < 2; v6++)
        for (unsigned n = 0; n < MANY; n++) {
            struct ip_prefix p = nth(n, v6);
            assert_true(allowedips_remove(&table, &p, A));
        }
    assert_int_equal(table.count, 0);
    assert_null(atomic_load(&table.root4));
    /* 392 000 operations: tens of milliseconds; anything linear would take minutes. */
    assert_true(seconds() - begin < 5);
}

/* ---- readers beside the writer ---- */

#define READERS 3
#define CHANGES 60000

struct retired {
    void *node;
    void (*free_fn)(void *);
};

static struct retired graveyard[CHANGES * 2];
static unsigned graves;
static _Atomic bool stop;
static _Atomic uint64_t lookups;

static void bury(void *ctx, void *node, void (*free_fn)(void *))
{
    assert_true(graves < CHANGES * 2);
    graveyard[graves++] = (struct retired){node, free_fn};
}

static void *reader_main(void *arg)
{
    struct test_rng r;
    uint64_t n = 0;

    test_rng_init(&r, (uintptr_t)arg);
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        uint8_t a[16] = {10, 1, (uint8_t)rng_u32(&r.rng) & 7, (uint8_t)rng_u32(&r.rng)};
        struct wg_peer *p = allowedips_find4(&table, a);

        /* 10.1.0.0/16 has always an owner, whatever comes and goes below and above it. */
        if (!p || p < peers || p >= peers + 8)
            abort();
        /* 10.1.7.0/24 was never anybody's but C's, whole; nothing lies below it. */
        if (a[2] == 7 && p != C)
            abort();
        uint8_t six[16] = {0xfd, 0, 0, 0, 0, 0, 0, (uint8_t)rng_u32(&r.rng) & 15};
        p = allowedips_find6(&table, six);
        if (p && (p < peers || p >= peers + 8))
            abort();
        n++;
    }
    atomic_fetch_add(&lookups, n);
    return NULL;
}

TEST(readers_see_the_table_before_or_after_each_change)
{
    const struct rng *rng = test_rng(3);
    pthread_t threads[READERS];

    allowedips_init(&table, bury, NULL);
    insert("10.1.0.0/16", A);
    insert("10.1.7.0/24", C);
    for (uintptr_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reader_main, (void *)(i + 1)), 0);
    for (unsigned i = 0; i < CHANGES; i++) {
        char text[PREFIX_TEXT_LEN];
        unsigned what = test_below(rng, 5);

        if (what == 0)
            snprintf(text, sizeof(text), "10.1.%u.%u/32", test_below(rng, 7), test_below(rng, 256));
        else if (what == 1)
            snprintf(text, sizeof(text), "10.1.%u.0/%u", test_below(rng, 4) & ~1u, 23);
        else if (what == 2)
            snprintf(text, sizeof(text), "10.0.0.0/%u", 8 + test_below(rng, 7));
        else if (what == 3)
            snprintf(text, sizeof(text), "fd00:0:0:%x::/64", test_below(rng, 16));
        else { /* its owner changes, but it has one */
            insert("10.1.0.0/16", &peers[test_below(rng, 8)]);
            continue;
        }
        struct ip_prefix p = prefix(text);
        struct wg_peer *owner = &peers[test_below(rng, 8)];
        if (test_below(rng, 2))
            assert_int_equal(allowedips_insert(&table, &p, owner), 0);
        else
            for (unsigned o = 0; o < 8; o++)
                allowedips_remove(&table, &p, &peers[o]);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    assert_true(atomic_load(&lookups) > 1000);
    assert_true(graves > 1000);
    allowedips_done(&table);
    for (unsigned i = 0; i < graves; i++)
        graveyard[i].free_fn(graveyard[i].node);
    allowedips_init(&table, NULL, NULL);
}

#define F(name) TS(name, empty, done)

TEST_MAIN(F(the_longest_prefix_wins), F(a_prefix_belongs_to_one_peer),
          F(only_exactly_this_prefix_is_removed), F(a_branch_without_owner_is_nobodys),
          F(bad_prefixes_are_refused_and_host_bits_do_not_matter),
          F(packets_are_looked_up_by_their_header), F(random_changes_agree_with_a_plain_list),
          F(a_peer_may_have_65280_prefixes_of_each_family),
          F(readers_see_the_table_before_or_after_each_change))
