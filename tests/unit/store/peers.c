#include "unit/store/peers.h"
#include "base/err.h"
#include "base/secret.h"
#include "lib/test.h"
#include <dirent.h>
#include <stdio.h>
#include <string.h>

struct public_key key_of(unsigned n)
{
    struct public_key k = {{0}};

    memcpy(k.b, &n, sizeof(n));
    k.b[31] = 0x40;
    return k;
}

struct ip_prefix prefix_of(const char *text)
{
    struct ip_prefix p;

    assert_int_equal(prefix_parse(text, &p), 0);
    return p;
}

struct store *file_store(const char *path, uint8_t member)
{
    char error[STORE_ERROR_LEN];
    struct store *s = NULL;

    if (store_open(path, member, &s, error) < 0)
        fail_msg("%s", error);
    return s;
}

struct store *memory_store(uint8_t member)
{
    return file_store(NULL, member);
}

int put(struct store *s, struct change *c)
{
    char error[STORE_ERROR_LEN];
    struct store_write *w = store_begin(s);
    int r = store_apply(s, w, c, NOW_NS, error);

    change_free(c);
    if (r >= 0)
        r = store_commit(w);
    if (r < 0)
        store_abort(s, w);
    else
        store_publish(s, w, NULL, NULL);
    return r;
}

struct change *change_of(unsigned peer, const char *const *allowed)
{
    struct public_key key = key_of(peer);
    struct change *c = change_new(HUB);
    struct peer_change *pc = change_add_peer(c, &key);

    for (; allowed && *allowed; allowed++) {
        struct ip_prefix prefix = prefix_of(*allowed);
        assert_int_equal(peer_change_allow(pc, &prefix, false), 0);
    }
    return c;
}

int add(struct store *s, unsigned peer, const char *prefix)
{
    return put(s, change_of(peer, (const char *const[]){prefix, NULL}));
}

int drop(struct store *s, unsigned peer)
{
    struct change *c = change_of(peer, NULL);

    c->peers[0].remove = true;
    return put(s, c);
}

const struct peer *find(const struct store *s, unsigned peer)
{
    struct public_key key = key_of(peer);

    return store_find(s, HUB, &key);
}

bool serves(const struct store *s, unsigned peer, const char *prefix)
{
    const struct peer *p = find(s, peer);
    struct ip_prefix x = prefix_of(prefix);

    return p && p->state == PEER_ACTIVE && peer_allows(p, &x);
}

bool active(const struct store *s, unsigned peer)
{
    const struct peer *p = find(s, peer);

    return p && p->state == PEER_ACTIVE;
}

static bool same_psk(const struct peer *a, const struct peer *b)
{
    if (!a->psk || !b->psk)
        return a->psk == b->psk;
    return memcmp(a->psk, b->psk, sizeof(*a->psk)) == 0;
}

static int prefix_order(const void *a, const void *b)
{
    const struct ip_prefix *x = a, *y = b;
    int c = memcmp(x->addr.b, y->addr.b, sizeof(x->addr.b));

    return c ? c : x->len - y->len;
}

static bool same_allowed(const struct peer *a, const struct peer *b)
{
    bool same = a->allowed_count == b->allowed_count;
    size_t len = a->allowed_count * sizeof(*a->allowed);
    struct ip_prefix *x = calloc(a->allowed_count + 1, sizeof(*x));
    struct ip_prefix *y = calloc(b->allowed_count + 1, sizeof(*y));

    if (same && len) {
        memcpy(x, a->allowed, len);
        memcpy(y, b->allowed, len);
        qsort(x, a->allowed_count, sizeof(*x), prefix_order);
        qsort(y, b->allowed_count, sizeof(*y), prefix_order);
        for (unsigned i = 0; i < a->allowed_count; i++)
            same &= prefix_equal(&x[i], &y[i]);
    }
    free(x);
    free(y);
    return same;
}

bool same_record(const struct peer *a, const struct peer *b)
{
    if (!a || !b)
        return a == b;
    for (unsigned f = 0; f < PEER_FIELDS; f++)
        if (version_compare(&a->version[f], &b->version[f]) != 0)
            return false;
    for (unsigned t = 0; t < PEER_TEXTS; t++)
        if (strcmp(peer_text(a, (enum peer_text)t), peer_text(b, (enum peer_text)t)) != 0)
            return false;
    return a->hub == b->hub && public_key_equal(&a->key, &b->key) && a->gen == b->gen &&
           a->state == b->state && same_psk(a, b) && endpoint_equal(&a->endpoint, &b->endpoint) &&
           a->keepalive_s == b->keepalive_s && a->vip == b->vip && !strcmp(a->name, b->name) &&
           !strcmp(a->group, b->group) && a->policy == b->policy && a->rate_bps == b->rate_bps &&
           a->quota_bytes == b->quota_bytes && a->disabled == b->disabled &&
           a->expires_s == b->expires_s && a->pending == b->pending && a->mtu == b->mtu &&
           a->is_group == b->is_group && public_key_equal(&a->replaces, &b->replaces) &&
           same_allowed(a, b);
}

unsigned merge_all(struct store *to, const struct store *from)
{
    struct store_write *w = store_begin(to);
    const struct peer *p;
    uint64_t cursor = 0;
    unsigned count = 0;

    while ((p = store_next(from, &cursor))) {
        bool changed;

        assert_int_equal(store_merge(to, w, store_record(from, p->hub, &p->key), NOW_NS, &changed),
                         0);
        count += changed;
    }
    assert_int_equal(store_commit(w), 0);
    store_publish(to, w, NULL, NULL);
    return count;
}

void assert_exclusive(const struct store *s)
{
    const struct peer *a, *b;
    uint64_t i = 0, j;

    while ((a = store_next(s, &i))) {
        j = i;
        while ((b = store_next(s, &j)))
            for (unsigned n = 0; n < a->allowed_count; n++)
                if (a->state == PEER_ACTIVE && b->state == PEER_ACTIVE && a->hub == b->hub &&
                    peer_allows(b, &a->allowed[n]))
                    fail_msg("one prefix is served for two peers");
    }
}

char *dir_make(void)
{
    char *dir = strdup("/tmp/gm-test-XXXXXX");

    assert_non_null(mkdtemp(dir));
    return dir;
}

void dir_remove(char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    char path[512];

    while (d && (e = readdir(d))) {
        snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        if (e->d_name[0] != '.')
            unlink(path);
    }
    if (d)
        closedir(d);
    rmdir(dir);
    free(dir);
}

int place_make(void **state)
{
    struct place *p = calloc(1, sizeof(*p));

    p->dir = dir_make();
    snprintf(p->path, sizeof(p->path), "%s/peers.db", p->dir);
    *state = p;
    return 0;
}

int place_remove(void **state)
{
    struct place *p = *state;

    dir_remove(p->dir);
    free(p);
    return 0;
}
