/* What a worker and main have in common: facts to main, sealing, sending. */
#include "engine/internal.h"

int lane_init(struct lane *l, struct engine *e, unsigned id)
{
    l->e = e;
    l->id = id;
    l->out_fd = -1;
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
    l->told = false;
    engine_wake_main(l->e);
}

/* ---- facts ---- */

static bool push(struct lane *l, const struct fact *f)
{
    l->told = true;
    if (ring_push(&l->facts, f))
        return true;
    count_add(&l->stats.facts_dropped, 1);
    return false;
}

void lane_tell(struct lane *l, const struct fact *f)
{
    push(l, f);
}

void lane_tell_entry_effects(struct lane *l, struct index_entry *i, unsigned effects)
{
    struct fact f = {.kind = FACT_EFFECTS, .index = i->index};

    if (!effects || atomic_fetch_or(&i->effects, effects))
        return; /* there is a fact under way already, and main will find these bits too */
    if (!push(l, &f))
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
    unsigned fresh = facts & ~atomic_fetch_or(&p->facts, facts);

    for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
        struct fact f = {.kind = kinds[i].kind, .peer_id = p->id};

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
    bool any = false;

    ret->slot = slot;
    if (!peer_endpoint_get(p, &ret->to, &ret->local, &ret->local_ifindex))
        return false;
    ret->fd = sockets_find(l->e, l->id, slot, &ret->to, &ret->local, &any);
    if (!any) /* the socket is bound to it */
        ret->local = (struct endpoint){0};
    return ret->fd >= 0;
}

/* The padding stops at the MTU, so that a full packet does not grow past it. */
static size_t padded(const struct engine *e, size_t len)
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
        return TX_NOT_OWNER;
    if (!k)
        return TX_NO_KEY;
    enum tx_verdict v = keypair_send(k, l->e->gate, now_ns, n, ret_first, &effects);
    lane_tell_effects(l, k->local_index, effects);
    *ret_key = k;
    return v;
}

enum tx_verdict lane_seal(struct lane *l, struct wg_peer *p, const struct route *r,
                          struct packet *packets, unsigned n, uint64_t now_ns)
{
    struct aead_op ops[BATCH_MAX];
    struct keypair *k = NULL;
    uint64_t first = 0;
    size_t bytes = 0;
    bool arm = false;

    enum tx_verdict v = take_counters(l, p, r, n, now_ns, &k, &first);
    count_add(&l->stats.tx[v], n);
    if (v != TX_OK)
        return v;
    for (unsigned i = 0; i < n; i++) {
        struct message_data *m = (struct message_data *)packets[i].data;
        uint8_t *inner = packets[i].data + HEADROOM;
        size_t len = padded(l->e, packets[i].len);

        memset(inner + packets[i].len, 0, len - packets[i].len);
        store_le32(m->type, MESSAGE_DATA);
        store_le32(m->receiver, k->remote_index);
        store_le64(m->counter, first + i);
        ops[i] = (struct aead_op){.counter = first + i, .src = inner, .dst = inner, .len = len};
    }
    aead_seal(l->aead, k->keys->send, ops, n);

    if (l->out_fd != r->fd || l->out_count + n > BATCH_MAX)
        lane_send(l);
    l->out_fd = r->fd;
    for (unsigned i = 0; i < n; i++) {
        size_t wire = HEADROOM + ops[i].len + AEAD_TAG_LEN;

        l->out[l->out_count] = (struct udp_datagram){.buf = packets[i].data,
                                                     .len = wire,
                                                     .remote = r->to,
                                                     .local = r->local,
                                                     .local_ifindex = r->local_ifindex};
        l->out_peer[l->out_count++] = p;
        arm |= peer_note_sent(p, now_ns, packets[i].len > 0, (unsigned)wire);
        bytes += wire;
    }
    count_add(&l->stats.tx_bytes, bytes);
    if (arm)
        lane_tell_peer_id(l, p->id, PEER_FACT_ARM);
    return TX_OK;
}

void lane_send(struct lane *l)
{
    if (!l->out_count)
        return;
    unsigned left = udp_send(l->udp, l->out_fd, l->out, l->out_count);
    count_add(&l->stats.udp_send_errors, l->out_count - left);
    for (unsigned i = 0; i < l->out_count; i++)
        if (l->out[i].local_lost) {
            peer_endpoint_clear_local(l->out_peer[i]);
            lane_tell_peer_id(l, l->out_peer[i]->id, PEER_FACT_LOST_SOCKET);
        }
    l->out_count = 0;
    l->out_fd = -1;
}
