#include "base/err.h"
#include "base/secret.h"
#include "lib/test.h"
#include "model/change.h"
#include "model/peer.h"
#include "model/session.h"
#include <stdio.h>
#include <string.h>

static const struct public_key key = {{1, 2, 3}};

static struct ip_prefix prefix(const char *text)
{
    struct ip_prefix p;

    assert_int_equal(prefix_parse(text, &p), 0);
    return p;
}

static void set_psk(struct peer *p, uint8_t byte)
{
    struct secret32 s;

    memset(&s, byte, sizeof(s));
    assert_int_equal(peer_set_psk(p, &s), 0);
}

/* A peer of which every field says @n, written by @member at @hlc. */
static struct peer *peer_of(unsigned n, uint8_t member, uint64_t hlc)
{
    struct peer *p = peer_new(1, &key);
    char text[32];

    assert_non_null(p);
    for (unsigned f = 0; f < PEER_FIELDS; f++)
        p->version[f] = (struct version){.hlc = hlc, .member = member, .seq = n};
    set_psk(p, (uint8_t)n);
    p->endpoint.port = p->keepalive_s = p->vip = (uint16_t)n;
    p->policy = p->rate_bps = p->quota_bytes = p->expires_s = n;
    p->mtu = (uint16_t)n;
    p->disabled = p->pending = n == 2;
    p->replaces.b[0] = (uint8_t)n;
    snprintf(text, sizeof(text), "t%u", n);
    for (unsigned t = 0; t < PEER_TEXTS; t++)
        assert_int_equal(peer_set_text(p, (enum peer_text)t, text), 0);
    snprintf(p->name, sizeof(p->name), "n%u", n);
    snprintf(p->group, sizeof(p->group), "g%u", n);
    snprintf(text, sizeof(text), "10.0.0.%u", n);
    struct ip_prefix a = prefix(text);
    assert_int_equal(peer_allow(p, &a), 0);
    return p;
}

static void assert_says(const struct peer *p, unsigned n)
{
    char name[32], group[32], text[32];

    snprintf(name, sizeof(name), "n%u", n);
    snprintf(group, sizeof(group), "g%u", n);
    snprintf(text, sizeof(text), "10.0.0.%u", n);
    struct ip_prefix a = prefix(text);
    assert_true(n ? p->psk && p->psk->b[0] == n : !p->psk);
    assert_true(p->endpoint.port == n && p->keepalive_s == n && p->vip == n);
    assert_true(p->policy == n && p->rate_bps == n && p->quota_bytes == n);
    assert_string_equal(p->name, name);
    assert_string_equal(p->group, group);
    assert_true(p->allowed_count == 1 && peer_allows(p, &a));
}

TEST(preshared_key_of_zeros_is_none)
{
    struct peer *p = peer_new(1, &key);
    struct secret32 zero = {0};

    set_psk(p, 7);
    assert_int_equal(secret_slots_used(), 1);
    set_psk(p, 8);
    assert_true(secret_slots_used() == 1 && p->psk->b[31] == 8);
    assert_int_equal(peer_set_psk(p, &zero), 0);
    assert_true(!p->psk && secret_slots_used() == 0);
    set_psk(p, 7);
    assert_int_equal(peer_set_psk(p, NULL), 0);
    assert_null(p->psk);
    peer_free(p);
    peer_free(NULL);
}

TEST(allowed_prefix_stands_once)
{
    struct ip_prefix a = prefix("10.0.0.0/8"), b = prefix("10.0.0.0/9"), c = prefix("::/0");
    struct peer *p = peer_new(1, &key);

    for (int i = 0; i < 2; i++) {
        assert_int_equal(peer_allow(p, &a), 0);
        assert_int_equal(peer_allow(p, &b), 0);
    }
    assert_true(p->allowed_count == 2 && peer_allows(p, &b) && !peer_allows(p, &c));
    peer_free(p);
}

TEST(copy_shares_nothing)
{
    struct peer *p = peer_of(5, 1, 1), *d = peer_dup(p);

    assert_non_null(d);
    assert_ptr_not_equal(p->psk, d->psk);
    peer_free(p);
    assert_says(d, 5);
    peer_free(d);
    assert_int_equal(secret_slots_used(), 0);
}

TEST(versions_are_ordered_by_clock_then_member_then_sequence)
{
    static const struct version order[] = {{1, 1, 1}, {1, 1, 2}, {1, 2, 0}, {2, 0, 0}};

    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            int r = version_compare(&order[i], &order[j]);
            assert_int_equal((r > 0) - (r < 0), (i > j) - (i < j));
        }
}

TEST(merge_takes_what_is_newer_field_by_field)
{
    struct peer *mine = peer_of(1, 1, 10), *theirs = peer_of(2, 2, 20);
    bool changed;

    for (unsigned f = 0; f < PEER_FIELDS; f++) {
        struct peer *m = peer_dup(mine), *t = peer_dup(theirs);

        for (unsigned g = 0; g < PEER_FIELDS; g++)
            t->version[g].hlc = g == f ? 20 : 5;
        assert_int_equal(peer_merge(m, t, &changed), 0);
        assert_true(changed);
        assert_int_equal(m->version[f].hlc, 20);
        for (unsigned g = 0; g < PEER_FIELDS; g++)
            assert_int_equal(m->version[g].member, g == f ? 2 : 1);
        assert_int_equal(m->psk->b[0], f == PEER_FIELD_PSK ? 2 : 1);
        assert_int_equal(m->endpoint.port, f == PEER_FIELD_ENDPOINT ? 2 : 1);
        assert_int_equal(m->keepalive_s, f == PEER_FIELD_KEEPALIVE ? 2 : 1);
        assert_int_equal(m->allowed[0].addr.b[15], f == PEER_FIELD_ALLOWED ? 2 : 1);
        assert_int_equal(m->vip, f == PEER_FIELD_VIP ? 2 : 1);
        assert_string_equal(m->name, f == PEER_FIELD_NAME ? "n2" : "n1");
        assert_string_equal(m->group, f == PEER_FIELD_GROUP ? "g2" : "g1");
        assert_int_equal(m->policy, f == PEER_FIELD_POLICY ? 2 : 1);
        assert_int_equal(m->rate_bps, f == PEER_FIELD_RATE ? 2 : 1);
        assert_int_equal(m->quota_bytes, f == PEER_FIELD_QUOTA ? 2 : 1);
        assert_int_equal(m->disabled, f == PEER_FIELD_DISABLED);
        assert_int_equal(m->pending, f == PEER_FIELD_PENDING);
        assert_int_equal(m->expires_s, f == PEER_FIELD_EXPIRES ? 2 : 1);
        assert_int_equal(m->replaces.b[0], f == PEER_FIELD_REPLACES ? 2 : 1);
        assert_int_equal(m->mtu, f == PEER_FIELD_MTU ? 2 : 1);
        for (unsigned n = 0; n < PEER_TEXTS; n++)
            assert_string_equal(peer_text(m, (enum peer_text)n),
                                f == PEER_FIELD_TEXT + n ? "t2" : "t1");
        peer_free(m);
        peer_free(t);
    }
    assert_int_equal(peer_merge(mine, theirs, &changed), 0);
    assert_says(mine, 2);
    assert_int_equal(peer_merge(mine, theirs, &changed), 0);
    assert_false(changed);
    peer_free(mine);
    peer_free(theirs);
}

/* Merges @a and @b in both orders; both must agree, and say @state and @n. */
static void both_ways(const struct peer *a, const struct peer *b, enum peer_state state, unsigned n)
{
    struct peer *x = peer_dup(a), *y = peer_dup(b);
    bool changed;

    assert_int_equal(peer_merge(x, b, &changed), 0);
    assert_int_equal(peer_merge(y, a, &changed), 0);
    assert_int_equal(x->state, state);
    assert_int_equal(y->state, state);
    assert_true(x->gen == y->gen);
    assert_says(x, n);
    assert_says(y, n);
    assert_memory_equal(x->version, y->version, sizeof(x->version));
    peer_free(x);
    peer_free(y);
}

TEST(revocation_wins_in_its_generation_whatever_the_clocks_say)
{
    struct peer *revoked = peer_of(1, 1, 10), *active = peer_of(2, 2, 99);

    revoked->state = PEER_REVOKED;
    both_ways(revoked, active, PEER_REVOKED, 2);
    active->state = PEER_REMOVED;
    both_ways(revoked, active, PEER_REVOKED, 2);
    peer_free(revoked);
    peer_free(active);
}

TEST(higher_generation_wins_whole)
{
    struct peer *revoked = peer_of(1, 1, 99), *again = peer_of(2, 2, 10);

    revoked->state = PEER_REVOKED;
    again->gen = 1;
    both_ways(revoked, again, PEER_ACTIVE, 2);
    revoked->gen = 2;
    both_ways(revoked, again, PEER_REVOKED, 1);
    peer_free(revoked);
    peer_free(again);
}

TEST(merged_removal_of_the_preshared_key_frees_it)
{
    struct peer *mine = peer_of(1, 1, 10), *theirs = peer_of(2, 2, 20);
    bool changed;

    assert_int_equal(peer_set_psk(theirs, NULL), 0);
    assert_int_equal(peer_merge(mine, theirs, &changed), 0);
    assert_null(mine->psk);
    assert_int_equal(secret_slots_used(), 0);
    peer_free(mine);
    peer_free(theirs);
}

TEST(change_grows_and_is_freed_with_its_keys)
{
    struct change *c = change_new(3);
    struct ip_prefix a = prefix("10.0.0.0/8");

    assert_int_equal(c->hub, 3);
    c->private_key = secret_alloc();
    for (unsigned i = 0; i < 100; i++) {
        struct public_key k = {{(uint8_t)i}};
        struct peer_change *p = change_add_peer(c, &k);

        assert_non_null(p);
        assert_true(!p->psk && !p->allowed_count && !p->remove);
        p->psk = secret_alloc();
        for (unsigned j = 0; j < i; j++)
            assert_int_equal(peer_change_allow(p, &a, j % 2), 0);
    }
    assert_int_equal(c->peer_count, 100);
    assert_true(c->peers[99].allowed_count == 99 && c->peers[99].allowed[98].remove == false &&
                c->peers[99].allowed[97].remove && c->peers[42].key.b[0] == 42);
    assert_int_equal(secret_slots_used(), 101);
    change_free(c);
    change_free(NULL);
    assert_int_equal(secret_slots_used(), 0);
}

TEST(key_ids_are_equal_when_all_of_them_is)
{
    const struct key_id a = {1, 2, 3, 4};

    assert_true(key_id_equal(&a, &(struct key_id){1, 2, 3, 4}));
    assert_false(key_id_equal(&a, &(struct key_id){2, 2, 3, 4}) ||
                 key_id_equal(&a, &(struct key_id){1, 1, 3, 4}) ||
                 key_id_equal(&a, &(struct key_id){1, 2, 4, 4}) ||
                 key_id_equal(&a, &(struct key_id){1, 2, 3, 5}));
    assert_true(sizeof(struct session_keys) <= SECRET_SLOT_LEN); /* it lives in a slot */
}

TEST(who_is_revoked_removed_or_not_yet_in_is_not_served)
{
    struct peer *p = peer_new(1, &key);

    assert_true(peer_enabled(p, 1000));
    p->state = PEER_REVOKED;
    assert_false(peer_enabled(p, 1000));
    p->state = PEER_REMOVED;
    assert_false(peer_enabled(p, 1000));
    p->state = PEER_ACTIVE;
    p->disabled = true;
    assert_false(peer_enabled(p, 1000));
    p->disabled = false;
    p->pending = true;
    assert_false(peer_enabled(p, 1000));
    p->pending = false;
    p->is_group = true;
    assert_false(peer_enabled(p, 1000));
    p->is_group = false;
    p->expires_s = 1001;
    assert_true(peer_enabled(p, 1000));
    assert_false(peer_enabled(p, 1001));
    peer_free(p);
}

TEST_MAIN(T(who_is_revoked_removed_or_not_yet_in_is_not_served), T(preshared_key_of_zeros_is_none),
          T(allowed_prefix_stands_once), T(copy_shares_nothing),
          T(versions_are_ordered_by_clock_then_member_then_sequence),
          T(merge_takes_what_is_newer_field_by_field),
          T(revocation_wins_in_its_generation_whatever_the_clocks_say),
          T(higher_generation_wins_whole), T(merged_removal_of_the_preshared_key_frees_it),
          T(change_grows_and_is_freed_with_its_keys), T(key_ids_are_equal_when_all_of_them_is))
