#include "model/peer.h"
#include "base/err.h"
#include "base/plant.h"
#include "base/secret.h"

struct peer *peer_new(uint8_t hub, const struct public_key *key)
{
    struct peer *p = calloc(1, sizeof(*p));

    if (p) {
        p->hub = hub;
        p->key = *key;
    }
    return p;
}

/* Everything but what is on its own memory. */
static int copy_owned(struct peer *to, const struct peer *from)
{
    to->psk = NULL;
    to->allowed = NULL;
    to->allowed_count = 0;
    memset(to->text, 0, sizeof(to->text));
    if (peer_set_psk(to, from->psk) < 0)
        return -ENOMEM;
    for (unsigned t = 0; t < PEER_TEXTS; t++)
        if (peer_set_text(to, (enum peer_text)t, peer_text(from, (enum peer_text)t)) < 0)
            return -ENOMEM;
    if (from->allowed_count) {
        to->allowed = malloc(from->allowed_count * sizeof(*to->allowed));
        if (!to->allowed)
            return -ENOMEM;
        memcpy(to->allowed, from->allowed, from->allowed_count * sizeof(*to->allowed));
        to->allowed_count = from->allowed_count;
    }
    return 0;
}

struct peer *peer_dup(const struct peer *p)
{
    _cleanup_(peer_freep) struct peer *d = malloc(sizeof(*d));

    if (!d)
        return NULL;
    *d = *p;
    if (copy_owned(d, p) < 0)
        return NULL;
    return TAKE_PTR(d);
}

void peer_free(struct peer *p)
{
    if (!p)
        return;
    secret_free(p->psk);
    free(p->allowed);
    for (unsigned t = 0; t < PEER_TEXTS; t++)
        free(p->text[t]);
    free(p);
}

int peer_set_psk(struct peer *p, const struct secret32 *psk)
{
    if (!psk || secret_is_zero(psk, sizeof(*psk))) {
        secret_free(p->psk);
        p->psk = NULL;
        return 0;
    }
    if (!p->psk)
        p->psk = secret_alloc();
    if (!p->psk)
        return -ENOMEM;
    memcpy(p->psk, psk, sizeof(*psk));
    return 0;
}

int peer_set_text(struct peer *p, enum peer_text which, const char *text)
{
    char *copy = NULL;

    if (*text) {
        copy = strndup(text, PEER_TEXT_MAX);
        if (!copy)
            return -ENOMEM;
    }
    free(p->text[which]);
    p->text[which] = copy;
    return 0;
}

bool peer_allows(const struct peer *p, const struct ip_prefix *prefix)
{
    for (unsigned i = 0; i < p->allowed_count; i++)
        if (prefix_equal(&p->allowed[i], prefix))
            return true;
    return false;
}

int peer_allow(struct peer *p, const struct ip_prefix *prefix)
{
    struct ip_prefix *grown;

    if (peer_allows(p, prefix))
        return 0;
    grown = reallocarray(p->allowed, p->allowed_count + 1, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    p->allowed = grown;
    p->allowed[p->allowed_count++] = *prefix;
    return 0;
}

int version_compare(const struct version *a, const struct version *b)
{
    if (a->hlc != b->hlc)
        return a->hlc < b->hlc ? -1 : 1;
    if (a->member != b->member)
        return a->member < b->member ? -1 : 1;
    if (a->seq != b->seq)
        return a->seq < b->seq ? -1 : 1;
    return 0;
}

static int take_field(struct peer *mine, const struct peer *theirs, enum peer_field f)
{
    struct ip_prefix *copy = NULL;

    switch (f) {
    case PEER_FIELD_STATE:
        mine->state = theirs->state;
        break;
    case PEER_FIELD_PSK:
        return peer_set_psk(mine, theirs->psk);
    case PEER_FIELD_ENDPOINT:
        mine->endpoint = theirs->endpoint;
        break;
    case PEER_FIELD_KEEPALIVE:
        mine->keepalive_s = theirs->keepalive_s;
        break;
    case PEER_FIELD_ALLOWED:
        if (theirs->allowed_count) {
            copy = malloc(theirs->allowed_count * sizeof(*copy));
            if (!copy)
                return -ENOMEM;
            memcpy(copy, theirs->allowed, theirs->allowed_count * sizeof(*copy));
        }
        free(mine->allowed);
        mine->allowed = copy;
        mine->allowed_count = theirs->allowed_count;
        break;
    case PEER_FIELD_VIP:
        mine->vip = theirs->vip;
        break;
    case PEER_FIELD_NAME:
        memcpy(mine->name, theirs->name, sizeof(mine->name));
        break;
    case PEER_FIELD_GROUP:
        memcpy(mine->group, theirs->group, sizeof(mine->group));
        break;
    case PEER_FIELD_POLICY:
        mine->policy = theirs->policy;
        break;
    case PEER_FIELD_RATE:
        mine->rate_bps = theirs->rate_bps;
        break;
    case PEER_FIELD_QUOTA:
        mine->quota_bytes = theirs->quota_bytes;
        break;
    case PEER_FIELD_DISABLED:
        mine->disabled = theirs->disabled;
        break;
    case PEER_FIELD_EXPIRES:
        mine->expires_s = theirs->expires_s;
        break;
    case PEER_FIELD_PENDING:
        mine->pending = theirs->pending;
        break;
    case PEER_FIELD_REPLACES:
        mine->replaces = theirs->replaces;
        break;
    case PEER_FIELD_MTU:
        mine->mtu = theirs->mtu;
        break;
    default: {
        enum peer_text t = (enum peer_text)(f - PEER_FIELD_TEXT);
        return peer_set_text(mine, t, peer_text(theirs, t));
    }
    }
    return 0;
}

int peer_merge(struct peer *mine, const struct peer *theirs, bool *ret_changed)
{
    bool changed = false;

    if (theirs->gen < mine->gen) {
        *ret_changed = false;
        return 0;
    }
    for (unsigned f = 0; f < PEER_FIELDS; f++) {
        bool newer =
            theirs->gen > mine->gen || version_compare(&theirs->version[f], &mine->version[f]) > 0;

        /* Within a generation nothing undoes a revocation (P2). */
        if (f == PEER_FIELD_STATE && theirs->gen == mine->gen) {
            bool m = mine->state == PEER_REVOKED, t = theirs->state == PEER_REVOKED;
            if (m != t && !PLANTED("revocation-by-clock"))
                newer = t;
        }
        if (!newer)
            continue;
        if (take_field(mine, theirs, (enum peer_field)f) < 0)
            return -ENOMEM;
        mine->version[f] = theirs->version[f];
        changed = true;
    }
    mine->gen = theirs->gen;
    *ret_changed = changed;
    return 0;
}
