/* What a worker and main have in common: facts to main, sealing, sending. */
#include "engine/internal.h"

int lane_init(struct lane *l, struct engine *e, unsigned id)
{
    l->e = e;
    l->id = id;
    l->aead = aead_new();
    l->udp = udp_tx_new(BATCH_MAX);
    if (!l->aead || !l->udp)
        return -ENOMEM;
    return ring_init(&l->facts, sizeof(struct fact), FACT_RING_RECORDS);
}

void lane_done(struct lane *l)
{
    aead_free(l->aead);
    udp_tx_free(l->udp);
    if (l->facts.slots)
        ring_done(&l->facts);
}

void lane_wake_main(struct lane *l)
{
    if (!l->told)
        return;
    l->told = l->told_late = false;
    engine_wake_main(l->e);
}

/* ---- facts ---- */

static bool put(struct lane *l, const struct fact *f)
{
    if (ring_push(&l->facts, f))
        return true;
    count_add(&l->stats.facts_dropped, 1);
    return false;
}

static bool push(struct lane *l, const struct fact *f)
{
    l->told = true;
    return put(l, f);
}

void lane_tell(struct lane *l, const struct fact *f)
{
    push(l, f);
}

void lane_tell_entry_effects(struct lane *l, struct index_entry *i, unsigned effects)
{
    struct fact f = {.kind = FACT_EFFECTS, .index = i->index};

    if (!effects)
        return;
    /* Main collects raises anyway (R3): a wake-up for each would cost it more than the raise, when
     * many peers send a little each. */
    if (effects == EFFECT_RAISE)
        l->told_late = true;
    else
        l->told = true;
    if (atomic_fetch_or(&i->effects, (uint8_t)effects))
        return; /* there is a fact under way already, and main will find these bits too */
    if (!put(l, &f))
        atomic_store(&l->facts_overrun, true);
}

void lane_tell_effects(struct lane *l, uint32_t index, unsigned effects)
{
    struct index_entry *i = effects ? index_find(l->e, index) : NULL;

    if (i)
        lane_tell_entry_effects(l, i, effects);
}

void lane_tell_peer(struct lane *l, struct peer_entry *p, unsigned facts)
{
    static const struct {
        unsigned bit;
        enum fact_kind kind;
    } kinds[] = {{PEER_FACT_ARM, FACT_ARM},
                 {PEER_FACT_NEED_SESSION, FACT_NEED_SESSION},
                 {PEER_FACT_ENDPOINT, FACT_ENDPOINT},
                 {PEER_FACT_LOST_SOCKET, FACT_LOST_SOCKET}};
    unsigned fresh = facts & ~(unsigned)atomic_fetch_or(&p->facts, (uint8_t)facts);

    for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
        struct fact f = {.kind = kinds[i].kind, .peer_id = p->peer->id};

        if ((fresh & kinds[i].bit) && !push(l, &f))
            atomic_store(&l->facts_overrun, true);
    }
}

void lane_tell_peer_id(struct lane *l, uint64_t peer_id, unsigned facts)
{
    struct peer_entry *p = peer_find(l->e, peer_id);

    if (p)
        lane_tell_peer(l, p, facts);
}

/* ---- sending ---- */

bool lane_route(struct lane *l, struct wg_peer *p, struct route *ret)
{
    uint16_t slot = atomic_load_explicit(&p->vip, memory_order_relaxed);

    ret->slot = slot;
    if (!peer_endpoint_get(p, &ret->to, &ret->local, &ret->local_ifindex))
        return false;
    ret->from = sockets_find(l->e, slot, &ret->to, &ret->local);
    if (ret->from && !ret->from->any) /* the socket is bound to it */
        ret->local = (struct endpoint){0};
    return ret->from != NULL;
}

size_t lane_padded(const struct engine *e, size_t len)
{
    size_t mtu = atomic_load_explicit(&e->mtu, memory_order_relaxed);
    size_t up = (len + MESSAGE_PADDING - 1) / MESSAGE_PADDING * MESSAGE_PADDING;

    return len >= mtu ? len : MIN(up, mtu);
}

static enum tx_verdict take_counters(struct lane *l, struct wg_peer *p, const struct route *r,
                                     unsigned n, uint64_t now_ns, struct keypair **ret_key,
                                     uint64_t *ret_first)
{
    struct keypair *k = atomic_load_explicit(&p->current, memory_order_acquire);
    unsigned effects = 0;

    /* Over IPv6 the kernel would send from an address that is not here: this is the gate (O1). */
    if (!gate_owned(l->e->gate, r->slot))
        return k && keypair_in_transit(k, l->e->gate) ? TX_TRANSIT : TX_NOT_OWNER;
    if (!k)
        return TX_NO_KEY;
    enum tx_verdict v = keypair_send(k, l->e->gate, now_ns, n, ret_first, &effects);
    lane_tell_effects(l, k->local_index, effects);
    *ret_key = k;
    return v;
}

/* Header, padding and AEAD of @n packets; @ret_wire: their messages' lengths. */
static enum tx_verdict seal(struct lane *l, struct wg_peer *p, const struct route *r,
                            struct packet *packets, unsigned n, uint64_t now_ns,
                            size_t ret_wire[BATCH_MAX])
{
    struct aead_op ops[BATCH_MAX];
    struct keypair *k = NULL;
    uint64_t first = 0;
    size_t bytes = 0;
    bool data = false;

    enum tx_verdict v = take_counters(l, p, r, n, now_ns, &k, &first);
    count_add(&l->stats.tx[v], n);
    if (v != TX_OK)
        return v;
    for (unsigned i = 0; i < n; i++) {
        struct message_data *m = (struct message_data *)packets[i].data;
        uint8_t *inner = packets[i].data + HEADROOM;
        size_t len = packets[i].padded;

        memset(inner + packets[i].len, 0, len - packets[i].len);
        store_le32(m->type, MESSAGE_DATA);
        store_le32(m->receiver, k->remote_index);
        store_le64(m->counter, first + i);
        ops[i] = (struct aead_op){.counter = first + i, .src = inner, .dst = inner, .len = len};
        ret_wire[i] = HEADROOM + len + AEAD_TAG_LEN;
        bytes += ret_wire[i];
        data |= packets[i].len > 0;
    }
    aead_seal(l->aead, k->keys->send, ops, n);
    count_add(&l->stats.tx_bytes, bytes);
    if (peer_note_sent(p, now_ns, data, (unsigned)bytes))
        lane_tell_peer_id(l, p->id, PEER_FACT_ARM);
    return TX_OK;
}

static void queue(struct lane *l, struct wg_peer *p, const struct route *r, uint8_t *buf,
                  size_t len, size_t segment)
{
    if (l->out_from != r->from || l->out_count == BATCH_MAX)
        lane_send(l);
    l->out_from = r->from;
    l->out[l->out_count] = (struct udp_datagram){.buf = buf,
                                                 .len = len,
                                                 .segment = segment,
                                                 .remote = r->to,
                                                 .local = r->local,
                                                 .local_ifindex = r->local_ifindex};
    l->out_peer[l->out_count++] = p;
}

enum tx_verdict lane_seal(struct lane *l, struct wg_peer *p, const struct route *r,
                          struct packet *packets, unsigned n, uint64_t now_ns)
{
    size_t wire[BATCH_MAX];
    enum tx_verdict v = seal(l, p, r, packets, n, now_ns, wire);

    for (unsigned i = 0; v == TX_OK && i < n; i++)
        queue(l, p, r, packets[i].data, wire[i], 0);
    return v;
}

enum tx_verdict lane_seal_burst(struct lane *l, struct wg_peer *p, const struct route *r,
                                struct packet *packets, unsigned n, uint64_t now_ns)
{
    size_t wire[BATCH_MAX], len = 0;
    enum tx_verdict v = seal(l, p, r, packets, n, now_ns, wire);

    if (v != TX_OK)
        return v;
    for (unsigned i = 0; i < n; i++)
        len += wire[i];
    queue(l, p, r, packets[0].data, len, n > 1 ? wire[0] : 0);
    count_add(&l->stats.tx_bursts, n > 1);
    return v;
}

void lane_send(struct lane *l)
{
    unsigned fallbacks = 0;

    if (!l->out_count)
        return;
    unsigned failed = udp_send(l->udp, l->out_from->fds[l->id], l->out, l->out_count,
                               &l->out_from->no_bursts[l->id], &fallbacks);
    count_add(&l->stats.udp_send_errors, failed);
    count_add(&l->stats.tx_fallbacks, fallbacks);
    for (unsigned i = 0; i < l->out_count; i++)
        if (l->out[i].local_lost) {
            peer_endpoint_clear_local(l->out_peer[i]);
            lane_tell_peer_id(l, l->out_peer[i]->id, PEER_FACT_LOST_SOCKET);
        }
    l->out_count = 0;
    l->out_from = NULL;
}
