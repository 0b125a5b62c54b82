/* O10: a peer talks to another VIP than its session's, under the key that it has. Who owns that VIP
 * asks the key's owner for it; the owner stops, and hands it over as in a planned move (R11).
 *
 * What was heard may be a copy that an attacker sends to another VIP. Only the owner can tell: it
 * gives the key up only for a counter that it has not accepted, and else says so. Where nobody
 * answers, a handshake is begun through the VIP that the data came to. */
#include "base/plant.h"
#include "node/internal.h"

#define ASK_EVERY_NS (1 * NS_PER_S) /* of one peer */

struct ask {
    struct list all;
    uint32_t index; /* the key's, here */
    uint64_t peer_id, counter, deadline_ns;
    uint16_t slot;
    struct endpoint source;
};

static void ask_end(struct node *n, struct ask *a)
{
    list_remove(&a->all);
    n->ask_count--;
    free(a);
}

static struct ask *ask_of(struct node *n, const struct node_key *k)
{
    list_for_each (it, &n->asks) {
        struct ask *a = list_entry(it, struct ask, all);

        if (a->index == k->kp->local_index)
            return a;
    }
    return NULL;
}

/* That a peer talks to a VIP of ours we may only have heard, of somebody who is gone. */
static bool is_served(const struct node *n, const struct node_peer *p)
{
    const struct keypair *k = atomic_load(&p->wg.current);

    return gate_owned(n->gate, atomic_load(&p->wg.vip)) && k &&
           atomic_load(&k->state) == KEYPAIR_OWNED && gate_owned(n->gate, atomic_load(&k->vip));
}

/* Nobody gives the key up: the peer is asked for a new one, there where its data came from. */
static void begin_anew(struct node *n, const struct ask *a, struct instant now)
{
    struct node_peer *p = peer_by_id(n, a->peer_id);

    if (!p || !gate_owned(n->gate, a->slot) || is_served(n, p))
        return;
    atomic_store(&p->wg.vip, a->slot);
    routes_peer_moved(n, p);
    handshake_look_at(n, p, &a->source, a->counter, now);
    handshake_urgently(n, p, now);
}

/* Of a key that we let go and nobody took: it is ours where the peer is now (R11's ceiling binds
 * us, as it would when the VIP came back). */
static void take_back(struct node_key *k, uint16_t slot)
{
    atomic_store(&k->kp->vip, slot);
}

void asks_wrong_vip(struct node *n, const struct fact *f, struct instant now)
{
    struct node_key *k = key_by_index(n, f->index);
    uint16_t slot = (uint16_t)f->effects;

    if (!clustered(n) || !k || PLANTED("no-asks") || !gate_owned(n->gate, slot) ||
        gate_owned(n->gate, atomic_load(&k->kp->vip)))
        return;
    struct node_peer *p = k->peer;
    if ((p->asked_ns && now.boot_ns - p->asked_ns < ASK_EVERY_NS) || n->ask_count >= ASKS_MAX)
        return;
    p->asked_ns = now.boot_ns;
    if (k->ours) {
        if (keypair_is_news(k->kp, f->value_ns))
            take_back(k, slot);
        return;
    }
    struct ask *a = calloc(1, sizeof(*a));
    if (!a)
        return;
    *a = (struct ask){.index = f->index,
                      .peer_id = p->wg.id,
                      .counter = f->value_ns,
                      .deadline_ns = now.boot_ns,
                      .slot = slot,
                      .source = f->source};
    list_append(&n->asks, &a->all);
    n->ask_count++;
    struct sibling *s = &n->sibling[atomic_load(&k->kp->owner) % MEMBERS_MAX];
    if (s->up && s->hello.features & SYNC_FEATURE_ASK) {
        struct sync_msg m = {
            .kind = SYNC_ASK,
            .ask = {.id = k->kp->id, .vip = vip_id_of_slot(n, slot), .counter = f->value_ns}};
        n->counters.asked++;
        siblings_send(n, s, &m, NULL, now);
        a->deadline_ns += COMMIT_WAIT_NS;
    }
    asks_tick(n, now);
}

void asks_heard(struct node *n, uint8_t member, const struct sync_ask *heard, struct instant now)
{
    struct node_key *k = key_by_id(n, &heard->id);
    uint16_t slot = vip_slot_of_id(n, heard->vip);

    if (!k || !slot)
        return;
    if (heard->refused) {
        struct ask *a = ask_of(n, k);

        n->counters.asked_refused += a != NULL;
        if (a)
            ask_end(n, a);
        return;
    }
    /* Not ours to give; the asker finds out by itself. */
    if (!k->ours || atomic_load(&k->kp->state) != KEYPAIR_OWNED || !(k->held_by >> member & 1) ||
        !gate_owned(n->gate, atomic_load(&k->kp->vip)) || gate_owned(n->gate, slot))
        return;
    if (!keypair_is_news(k->kp, heard->counter) && !PLANTED("copies-move-keys")) {
        struct sync_msg no = {.kind = SYNC_ASK, .ask = *heard};

        no.ask.refused = true;
        siblings_send(n, &n->sibling[member], &no, NULL, now);
        return;
    }
    /* The key's gate is closed by this; then the window is final. */
    atomic_store(&k->kp->vip, slot);
    key_release(n, k, now);
}

void asks_released(struct node *n, struct node_key *k, struct instant now)
{
    struct ask *a = ask_of(n, k);

    if (!a)
        return;
    atomic_store(&k->kp->vip, a->slot);
    if (keypair_adopt(k->kp, n->gate, now.boot_ns))
        key_adopted(n, k, now);
    ask_end(n, a);
}

uint64_t asks_tick(struct node *n, struct instant now)
{
    uint64_t next = NEVER;

    list_for_each (it, &n->asks) {
        struct ask *a = list_entry(it, struct ask, all);

        if (now.boot_ns < a->deadline_ns) {
            next = MIN(next, a->deadline_ns);
            continue;
        }
        begin_anew(n, a, now);
        ask_end(n, a);
    }
    return next;
}

void asks_free(struct node *n)
{
    list_for_each (it, &n->asks)
        ask_end(n, list_entry(it, struct ask, all));
}
