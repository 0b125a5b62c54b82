/* R6: authentic packets beyond the receive ceiling, which wait for a sibling's ack. */
#include "base/secret.h"
#include "engine/internal.h"

#define EARLY_NS (20 * NS_PER_MS)

static void forget(struct worker *w, struct held *h)
{
    list_remove(&h->all);
    atomic_fetch_sub(&w->held_count, 1);
    atomic_fetch_sub(&w->e->held_count, 1);
    rx_flush(w); /* it may have just been accepted */
    secret_wipe(h->data, VNET_HDR_LEN + h->len);
    free(h);
}

static void judge(struct worker *w, struct index_entry *entry, const struct arrival *a,
                  bool timeout, uint64_t now_ns, bool *ret_waits)
{
    unsigned effects = 0;
    enum rx_verdict v =
        keypair_receive_held(a->k, w->e->gate, now_ns, a->counter, timeout, &effects);

    lane_tell_entry_effects(&w->lane, entry, effects);
    *ret_waits = v == RX_HOLD;
    if (v == RX_ACCEPT)
        rx_accept(w, a, now_ns);
    else if (v != RX_HOLD)
        count_add(&w->lane.stats.rx[v], 1);
}

void hold_add(struct worker *w, struct index_entry *entry, const struct arrival *a, uint64_t now_ns)
{
    struct held *h = NULL;

    count_add(&w->lane.stats.rx[RX_HOLD], 1);
    if (atomic_fetch_add(&w->e->held_count, 1) < HELD_MAX)
        h = malloc(sizeof(*h) + VNET_HDR_LEN + a->len);
    if (!h) { /* R6: what exceeds the bounds is accepted, never dropped */
        bool waits;

        atomic_fetch_sub(&w->e->held_count, 1);
        judge(w, entry, a, true, now_ns, &waits);
        if (waits) /* for its key, which no bound lets in early */
            keypair_held_dropped(a->k);
        return;
    }
    *h = (struct held){.index = entry->index,
                       .counter = a->counter,
                       .deadline_ns = now_ns + HOLD_NS,
                       .slot = a->slot,
                       .source = *a->source,
                       .local = *a->local,
                       .local_ifindex = a->local_ifindex,
                       .wire_len = a->wire_len,
                       .len = a->len};
    memcpy(h->data + VNET_HDR_LEN, a->packet, a->len);
    if (list_empty(&w->held))
        uv_timer_start(&w->hold_timer, worker_hold_tick, HOLD_TICK_MS, HOLD_TICK_MS);
    list_append(&w->held, &h->all);
    atomic_fetch_add(&w->held_count, 1);
    /* The ack may have come meanwhile: main raises the ceiling, then looks for packets that wait.
     */
    bool waits;
    judge(w, entry, a, false, now_ns, &waits);
    if (!waits)
        forget(w, h);
}

/* A VIP on its way is waited for longer than an ack: main may be busy with its arrival (R11). */
static bool is_over(const struct worker *w, const struct held *h, uint64_t now_ns)
{
    if (now_ns < h->deadline_ns)
        return false;
    return now_ns >= h->deadline_ns + EARLY_NS || gate_owned(w->e->gate, h->slot) ||
           !gate_coming(w->e->gate, h->slot);
}

void hold_examine(struct worker *w, bool all, uint64_t now_ns)
{
    list_for_each (it, &w->held) {
        struct held *h = list_entry(it, struct held, all);
        bool timeout = is_over(w, h, now_ns), waits = false;

        if (!timeout && !all)
            break; /* the rest is younger */
        /* The key may be gone by now, and its object with it. */
        struct index_entry *entry = index_find(w->e, h->index);
        struct keypair *k = entry ? index_keypair(entry) : NULL;
        if (k) {
            struct arrival a = {.k = k,
                                .counter = h->counter,
                                .slot = h->slot,
                                .source = &h->source,
                                .local = &h->local,
                                .local_ifindex = h->local_ifindex,
                                .wire_len = h->wire_len,
                                .packet = h->data + VNET_HDR_LEN,
                                .len = h->len};
            judge(w, entry, &a, timeout, now_ns, &waits);
        } else {
            count_add(&w->lane.stats.rx[RX_DROP_UNKNOWN], 1);
        }
        if (!waits)
            forget(w, h);
    }
    if (list_empty(&w->held))
        uv_timer_stop(&w->hold_timer);
}

void hold_free(struct worker *w)
{
    list_for_each (it, &w->held)
        forget(w, list_entry(it, struct held, all));
}
