/* What is known of one peer, for people. */
#include "node/internal.h"

static void add_session(struct node_peer_facts *f, const struct keypair *k, enum session_slot slot,
                        struct instant now)
{
    struct node_session_fact *s = &f->session[f->session_count++];
    uint64_t data = atomic_load(&keypair_live(k)->last_data_ns);

    s->slot = slot;
    s->owned = atomic_load(&k->state) == KEYPAIR_OWNED;
    s->owner = s->owned ? 0 : atomic_load(&k->owner);
    s->term = counter_term_now(&keypair_live(k)->tx);
    s->age_ns = keypair_age_hi(k, now.boot_ns);
    s->data_age_ns = data ? now.boot_ns - data : 0;
}

void node_peer_facts(const struct node *n, struct wg_peer *wg, struct instant now,
                     struct node_peer_facts *ret)
{
    const struct node_peer *p = wg->owner_data;
    const struct peer_live *live = peer_live(wg);
    const struct peer_slots *slots = peer_slots(wg);
    const struct keypair *current = atomic_load(&wg->current);
    struct endpoint local;
    uint32_t ifindex;

    *ret = (struct node_peer_facts){.vip_slot = atomic_load(&wg->vip),
                                    .handshake_real_ns =
                                        peer_handshake_real_ns(wg, now.boot_ns, now.real_ns),
                                    .stamp_real_ns = stamp_to_real(p->received),
                                    .rx_bytes = atomic_load(&live->rx_bytes),
                                    .tx_bytes = atomic_load(&live->tx_bytes),
                                    .attempts = p->timers.attempts};
    peer_endpoint_get(wg, &ret->endpoint, &local, &ifindex);
    if (p->timers.attempts && p->timers.first_attempt_ns)
        ret->attempts_age_ns = now.boot_ns - p->timers.first_attempt_ns;
    if (current)
        add_session(ret, current, SLOT_CURRENT, now);
    if (slots->previous)
        add_session(ret, slots->previous, SLOT_PREVIOUS, now);
    for (unsigned i = 0; i < NEXT_SLOTS && slots->next[i]; i++)
        add_session(ret, slots->next[i], SLOT_NEXT, now);
}
