#include "base/bytes.h"
#include "base/err.h"
#include "base/secret.h"
#include "cli/wgconf.h"
#include <stdio.h>
#include <stdlib.h>

/* One network of one peer. In order of address and length, what overlaps with another one is
 * inside the last that is in none: two networks are nested or apart. */
struct place {
    const struct wgpeer *peer;
    const struct ip_prefix *prefix;
};

static int place_order(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    int r = (int)x->prefix->v6 - (int)y->prefix->v6;

    if (!r)
        r = memcmp(&x->prefix->addr, &y->prefix->addr, sizeof(x->prefix->addr));
    if (!r)
        r = (int)x->prefix->len - (int)y->prefix->len;
    return r ? r : (x->peer->line > y->peer->line) - (x->peer->line < y->peer->line);
}

static int by_name(const void *a, const void *b)
{
    const struct wgpeer *const *x = a, *const *y = b;
    int r = strcmp((*x)->name, (*y)->name);

    return r ? r : ((*x)->line > (*y)->line) - ((*x)->line < (*y)->line);
}

static int by_key(const void *a, const void *b)
{
    const struct wgpeer *const *x = a, *const *y = b;
    int r = memcmp((*x)->key.b, (*y)->key.b, sizeof((*x)->key.b));

    return r ? r : ((*x)->line > (*y)->line) - ((*x)->line < (*y)->line);
}

static const char *where(const struct wgconf *w, const struct wgpeer *p, char buf[40])
{
    if (p->line)
        snprintf(buf, 40, "%s %u", w->unit ? w->unit : "line", p->line);
    else
        snprintf(buf, 40, "this cluster");
    return buf;
}

/* What came by wg has no name. */
static const char *called(const struct wgpeer *p, char buf[KEY_TEXT_LEN + 1])
{
    if (*p->name)
        return p->name;
    key_to_base64(p->key.b, buf);
    return buf;
}

static bool same(const struct wgpeer *a, const struct wgpeer *b)
{
    bool good = strcmp(a->name, b->name) == 0 && public_key_equal(&a->key, &b->key) &&
                secret_equal(a->psk, b->psk, sizeof(a->psk)) && a->keepalive_s == b->keepalive_s &&
                strcmp(a->endpoint, b->endpoint) == 0 && a->disabled == b->disabled &&
                a->allowed_count == b->allowed_count;

    for (unsigned i = 0; good && i < a->allowed_count; i++) {
        bool found = false;

        for (unsigned n = 0; !found && n < b->allowed_count; n++)
            found = prefix_equal(&a->allowed[i], &b->allowed[n]);
        good = found;
    }
    return good;
}

/* Peers of the file that the member has are done with. */
static unsigned drop_same(struct wgconf *w, const struct wgpeer **order)
{
    unsigned n = 0;

    qsort(order, w->count, sizeof(*order), by_key);
    for (unsigned i = 1; i < w->count; i++)
        if (!order[i - 1]->line && order[i]->line && same(order[i - 1], order[i])) {
            w->peer[order[i] - w->peer].has_key = false;
            n++;
        }
    return n;
}

static int twice(struct wgconf *w, const struct wgpeer **order, unsigned count, bool key)
{
    int r = 0;
    char buf[40], text[KEY_TEXT_LEN + 1];

    qsort(order, count, sizeof(*order), key ? by_key : by_name);
    for (unsigned i = 1; r >= 0 && i < count; i++) {
        const struct wgpeer *a = order[i - 1], *b = order[i];

        if (!b->line || (key ? !public_key_equal(&a->key, &b->key) : strcmp(a->name, b->name) != 0))
            continue;
        if (key && !*a->name)
            r = wgconf_refuse(w, b->line,
                              "peer '%s' is here already, without a name: guardmount peer set %s "
                              "--name %s",
                              b->name, called(a, text), b->name);
        else if (key)
            r = wgconf_refuse(w, b->line, "the key of peer '%s' is that of peer '%s' (%s)", b->name,
                              a->name, where(w, a, buf));
        else
            r = wgconf_refuse(w, b->line, "two peers are called '%s'; the other one is in %s",
                              b->name, where(w, a, buf));
    }
    return r;
}

static int overlaps(struct wgconf *w, const struct wgpeer **order, unsigned count)
{
    struct place *all, outer = {0};
    unsigned places = 0, at = 0;
    int r = 0;

    for (unsigned i = 0; i < count; i++)
        places += order[i]->allowed_count;
    all = calloc(places + 1, sizeof(*all));
    if (!all)
        return -ENOMEM;
    for (unsigned i = 0; i < count; i++)
        for (unsigned n = 0; n < order[i]->allowed_count; n++)
            all[at++] = (struct place){order[i], &order[i]->allowed[n]};
    qsort(all, places, sizeof(*all), place_order);
    for (unsigned i = 0; r >= 0 && i < places; i++) {
        char own[PREFIX_TEXT_LEN], other[PREFIX_TEXT_LEN], buf[40], text[KEY_TEXT_LEN + 1];
        struct place in = all[i], out = outer;

        if (!outer.peer || !prefix_overlaps(outer.prefix, in.prefix)) {
            outer = in;
            continue;
        }
        if ((!out.peer->line && !in.peer->line) || public_key_equal(&out.peer->key, &in.peer->key))
            continue;                         /* two of one key have been told */
        if (in.peer->line < out.peer->line) { /* said of the later one */
            in = out;
            out = all[i];
        }
        r = wgconf_refuse(w, in.peer->line,
                          "%s of peer '%s' overlaps with %s of peer '%s' (%s); --overlap: the "
                          "narrower one is to win",
                          prefix_format(in.prefix, own), in.peer->name,
                          prefix_format(out.prefix, other), called(out.peer, text),
                          where(w, out.peer, buf));
    }
    free(all);
    return r;
}

int wgconf_compare(struct wgconf *w, bool overlap, unsigned *ret_same)
{
    const struct wgpeer **order = calloc(w->count + 1, sizeof(*order));
    unsigned count = 0, kept = 0;
    int r = 0;

    if (!order)
        return -ENOMEM;
    for (unsigned i = 0; i < w->count; i++)
        order[i] = &w->peer[i];
    *ret_same = drop_same(w, order);
    for (unsigned i = 0; i < w->count; i++)
        if (w->peer[i].has_key)
            order[count++] = &w->peer[i];
    r = twice(w, order, count, true);
    if (r >= 0)
        r = twice(w, order, count, false);
    if (r >= 0 && !overlap)
        r = overlaps(w, order, count);
    free(order);
    for (unsigned i = 0; i < w->count; i++)
        if (w->peer[i].line && w->peer[i].has_key)
            w->peer[kept++] = w->peer[i];
        else
            wgpeer_done(&w->peer[i]);
    w->count = kept;
    return r;
}
