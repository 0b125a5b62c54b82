#include "model/change.h"
#include "base/err.h"
#include "base/secret.h"

struct change *change_new(uint8_t hub)
{
    struct change *c = calloc(1, sizeof(*c));

    if (c)
        c->hub = hub;
    return c;
}

void change_free(struct change *c)
{
    if (!c)
        return;
    for (unsigned i = 0; i < c->peer_count; i++) {
        secret_free(c->peers[i].psk);
        free(c->peers[i].allowed);
        for (unsigned t = 0; t < PEER_TEXTS; t++)
            free(c->peers[i].text[t]);
    }
    free(c->peers);
    secret_free(c->private_key);
    free(c);
}

struct peer_change *change_add_peer(struct change *c, const struct public_key *key)
{
    if (c->peer_count == c->peer_room) {
        unsigned room = c->peer_room ? 2 * c->peer_room : 8;
        struct peer_change *grown = reallocarray(c->peers, room, sizeof(*grown));

        if (!grown)
            return NULL;
        c->peers = grown;
        c->peer_room = room;
    }
    struct peer_change *p = &c->peers[c->peer_count++];
    *p = (struct peer_change){.key = *key};
    return p;
}

int peer_change_text(struct peer_change *p, enum peer_text which, const char *text)
{
    char *copy = strndup(text, PEER_TEXT_MAX);

    if (!copy)
        return -ENOMEM;
    free(p->text[which]);
    p->text[which] = copy;
    return 0;
}

int peer_change_allow(struct peer_change *p, const struct ip_prefix *prefix, bool remove)
{
    if (p->allowed_count == p->allowed_room) {
        unsigned room = p->allowed_room ? 2 * p->allowed_room : 8;
        struct allowed_edit *grown = reallocarray(p->allowed, room, sizeof(*grown));

        if (!grown)
            return -ENOMEM;
        p->allowed = grown;
        p->allowed_room = room;
    }
    p->allowed[p->allowed_count++] = (struct allowed_edit){*prefix, remove};
    return 0;
}
