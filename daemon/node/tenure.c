/* Peers whose time is over, and rotated keys that are used for the first time. */
#include "node/internal.h"

#define LOOK_AGAIN_S 3600ull /* the clock may have been set */
#define EXPIRED_ALL UINT64_MAX

void tenure_learn(struct node *n, const struct peer *now)
{
    if (now->state != PEER_ACTIVE || !now->expires_s)
        return;
    n->expiry_s = n->expiry_s ? MIN(n->expiry_s, now->expires_s) : now->expires_s;
    n->expiry_look_s = MAX(n->expiry_look_s, n->now.real_ns / NS_PER_S);
}

/* No write: each member goes by its own clock. A record that is prolonged is served again, and so
 * is one when the clock was wrong. */
static void look_at_all(struct node *n, struct instant now)
{
    uint64_t cursor = 0, now_s = now.real_ns / NS_PER_S;
    const struct peer *record;

    n->expiry_s = EXPIRED_ALL;
    while ((record = store_next(n->store, &cursor))) {
        if (record->hub != n->conf.hub || !record->expires_s)
            continue;
        bool served = peer_by_key(n, &record->key);

        if (!peer_expired(record, now_s))
            tenure_learn(n, record);
        if (served == peer_enabled(record, now_s))
            continue;
        if (served)
            note(n, (struct notice){.kind = NOTICE_PEER_EXPIRED, .peer = record->key});
        peers_record_changed(n, served ? record : NULL, record);
    }
}

uint64_t tenure_tick(struct node *n, struct instant now)
{
    uint64_t now_s = now.real_ns / NS_PER_S;

    if (!n->expiry_s)
        return NEVER;
    if (now_s >= n->expiry_s || now_s < n->expiry_look_s)
        look_at_all(n, now);
    n->expiry_look_s = now_s;
    if (n->expiry_s == EXPIRED_ALL)
        return NEVER;
    return now.boot_ns + MIN(n->expiry_s - now_s, LOOK_AGAIN_S) * NS_PER_S - now.real_ns % NS_PER_S;
}

/* The first handshake with it is complete: its holder has it, and needs the old one no more. When
 * this is lost (a disk that is full), the next handshake tries again. */
void tenure_session_made(struct node *n, struct node_peer *p)
{
    const struct peer *record = store_record(n->store, n->conf.hub, &p->wg.key);
    struct queued_change *q;
    struct peer_change *pc;

    if (!record || !peer_is_heir(record))
        return;
    q = calloc(1, sizeof(*q));
    if (!q)
        return;
    q->change = change_new(n->conf.hub);
    pc = q->change ? change_add_peer(q->change, &p->wg.key) : NULL;
    if (!pc) {
        queued_change_free(q);
        return;
    }
    pc->succeed = true;
    note_peer(n, p, atomic_load(&p->wg.vip), (struct notice){.kind = NOTICE_PEER_REKEYED});
    list_append(&n->changes, &q->all);
}
