/* UDP to TUN: receive a batch, open, check window and source, write, in one go on this worker. */
#include "engine/internal.h"

/* Consecutive datagrams under one key: opened as one batch. */
struct run {
    struct index_entry *entry;
    struct keypair *k;
    unsigned n;
    const struct udp_datagram *from[BATCH_MAX];
    struct aead_op ops[BATCH_MAX];
};

static bool rarely(uint64_t *last_ns, uint64_t now_ns)
{
    if (now_ns - *last_ns < RARE_FACT_NS)
        return false;
    *last_ns = now_ns;
    return true;
}

void rx_accept(struct worker *w, const struct arrival *a, uint64_t now_ns)
{
    struct stats *stats = &w->lane.stats;
    struct wg_peer *p = a->k->peer;
    struct endpoint_version version = {.generation = a->k->generation, .counter = a->counter};
    bool data = a->len > 0;
    unsigned facts = 0;

    if (peer_note_received(p, now_ns, data, (unsigned)a->wire_len))
        facts |= PEER_FACT_ARM;
    if (peer_endpoint_update(p, a->source, a->local, a->local_ifindex, a->slot, &version)) {
        facts |= PEER_FACT_ENDPOINT;
        atomic_store(&a->k->vip, a->slot); /* E3 */
    }
    if (facts)
        lane_tell_peer_id(&w->lane, p->id, facts);
    count_add(&stats->rx_bytes, a->wire_len);
    if (!data) { /* keepalive */
        count_add(&stats->rx[RX_ACCEPT], 1);
        return;
    }
    size_t len;
    struct wg_peer *source = allowedips_find_src(&w->e->allowedips, a->packet, a->len, &len);
    if (!len || len > a->len) {
        count_add(&stats->rx[RX_DROP_MALFORMED], 1);
        return;
    }
    if (source != p) {
        count_add(&stats->rx[RX_DROP_SOURCE], 1);
        if (!source)
            count_add(&stats->rx_no_peer, 1);
        return;
    }
    count_add(&stats->rx[RX_ACCEPT], 1);
    gro_add(&w->gro, a->packet, len);
}

static void write_tun(void *ctx, const struct iovec *iov, unsigned n)
{
    struct worker *w = ctx;
    int r = tun_write(w->tun_write_fd, iov, n);

    if (r == 0)
        return;
    count_add(&w->lane.stats.tun_write_errors, n);
    if (r == -EBADFD)
        worker_tun_failed(w, r);
}

void rx_flush(struct worker *w)
{
    gro_flush(&w->gro);
    count_add(&w->lane.stats.tun_joined, w->gro.joined);
    w->gro.joined = 0;
}

void rx_init(struct worker *w)
{
    unsigned have = w->e->config.offloads;

    gro_init(&w->gro, have & OFFLOAD_TUN_VNET, have & OFFLOAD_TUN_TSO, have & OFFLOAD_TUN_USO,
             write_tun, w);
}

static void run_flush(struct worker *w, struct run *run, uint16_t slot, uint64_t now_ns)
{
    if (!run->n)
        return;
    aead_open(w->lane.aead, run->k->keys->recv, run->ops, run->n);
    for (unsigned i = 0; i < run->n; i++) {
        const struct udp_datagram *d = run->from[i];
        struct aead_op *op = &run->ops[i];
        unsigned effects = 0;

        if (!op->ok) {
            count_add(&w->lane.stats.rx[RX_DROP_AUTH], 1);
            continue;
        }
        struct arrival a = {.k = run->k,
                            .counter = op->counter,
                            .slot = slot,
                            .source = &d->remote,
                            .local = &d->local,
                            .local_ifindex = d->local_ifindex,
                            .wire_len = HEADROOM + op->len + AEAD_TAG_LEN,
                            .packet = op->dst,
                            .len = op->len};
        enum rx_verdict v = keypair_receive(run->k, w->e->gate, now_ns, op->counter, &effects);
        lane_tell_entry_effects(&w->lane, run->entry, effects);
        if (v == RX_ACCEPT)
            rx_accept(w, &a, now_ns);
        else if (v == RX_HOLD)
            hold_add(w, run->entry, &a, now_ns);
        else
            count_add(&w->lane.stats.rx[v], 1);
    }
    run->n = 0;
}

/* O10: data on a VIP that we hold, under a key whose VIP a sibling holds. Authentic or not decides
 * whether main should ask for the key. */
static void wrong_vip(struct worker *w, struct keypair *k, struct aead_op *op, uint16_t slot,
                      uint64_t now_ns)
{
    if (atomic_load(&k->state) == KEYPAIR_CLOSED || !rarely(&w->wrong_vip_ns, now_ns))
        return;
    if (aead_open(w->lane.aead, k->keys->recv, op, 1))
        lane_tell(&w->lane, &(struct fact){.kind = FACT_WRONG_VIP,
                                           .index = k->local_index,
                                           .peer_id = k->peer_id,
                                           .value_ns = slot});
}

/* A message that came in @d: into @run, or dropped and counted. */
static void rx_data(struct worker *w, struct run *run, const struct udp_datagram *d, uint8_t *buf,
                    size_t len, uint16_t slot, bool owned, uint64_t now_ns)
{
    struct message_data *m = (struct message_data *)buf;
    struct stats *stats = &w->lane.stats;

    if (len < sizeof(*m) + AEAD_TAG_LEN) {
        count_add(&stats->rx[RX_DROP_MALFORMED], 1);
        return;
    }
    uint32_t index = load_le32(m->receiver);
    struct index_entry *entry =
        run->n && run->entry->index == index ? run->entry : index_find(w->e, index);
    struct keypair *k = entry ? atomic_load_explicit(&entry->keypair, memory_order_acquire) : NULL;
    if (!k) {
        count_add(&stats->rx[RX_DROP_UNKNOWN], 1);
        if (rarely(&w->unknown_index_ns, now_ns))
            lane_tell(&w->lane, &(struct fact){.kind = FACT_UNKNOWN_INDEX, .index = index});
        return;
    }
    struct aead_op op = {.counter = load_le64(m->counter),
                         .src = m->encrypted,
                         .dst = m->encrypted,
                         .len = len - sizeof(*m) - AEAD_TAG_LEN};
    enum rx_verdict v = keypair_open_check(k, w->e->gate, now_ns);
    if (v == RX_ACCEPT && !owned)
        v = RX_DROP_NOT_OWNER;
    if (v != RX_ACCEPT) {
        count_add(&stats->rx[v], 1);
        if (v == RX_DROP_NOT_OWNER && owned)
            wrong_vip(w, k, &op, slot, now_ns);
        return;
    }
    if (k != run->k || run->n == BATCH_MAX)
        run_flush(w, run, slot, now_ns);
    run->entry = entry;
    run->k = k;
    run->from[run->n] = d;
    run->ops[run->n++] = op;
}

static void rx_message(struct worker *w, struct run *run, const struct udp_datagram *d,
                       uint8_t *buf, size_t len, uint16_t slot, bool owned, uint64_t now_ns)
{
    struct udp_datagram one;

    switch (len >= 4 ? load_le32(buf) : 0) {
    case MESSAGE_DATA:
        rx_data(w, run, d, buf, len, slot, owned, now_ns);
        break;
    case MESSAGE_INITIATION:
    case MESSAGE_RESPONSE:
    case MESSAGE_COOKIE:
        one = *d;
        one.buf = buf;
        one.len = len;
        rx_handshake(w, slot, &one, now_ns);
        break;
    default:
        count_add(&w->lane.stats.rx[RX_DROP_MALFORMED], 1);
    }
}

/* Many buffers where datagrams come one by one; few, so that they stay in the cache, where each
 * holds a long burst. */
static unsigned receives_next(const struct udp_datagram *d, int n)
{
    size_t bytes = 0;

    for (int i = 0; i < n; i++)
        bytes += d[i].len;
    return bytes / (size_t)n > IO_BUFFER_LEN / 4 ? RECEIVES_BUSY : RECEIVES_MAX;
}

void rx_udp(struct worker *w, struct socket_poll *s, uint64_t now_ns)
{
    uint16_t slot = s->group->slot;
    struct run run;
    struct udp_datagram *d;

    int n = udp_receive(w->udp, s->fd, w->receives, &d);
    if (n <= 0)
        return;
    bool owned = gate_owned(w->e->gate, slot);
    if (!owned && rarely(&w->read_addresses_ns, now_ns)) /* O1: it may just have arrived */
        lane_tell(&w->lane, &(struct fact){.kind = FACT_READ_ADDRESSES, .index = slot});
    w->receives = receives_next(d, n);
    run.n = 0;
    run.k = NULL;
    for (int i = 0; i < n; i++) {
        size_t segment = d[i].segment ? d[i].segment : d[i].len;

        if (!s->addr->any)
            d[i].local = s->addr->at;
        else
            d[i].local.port = s->group->port;
        count_add(&w->lane.stats.rx_bursts, d[i].segment > 0);
        size_t at = 0;
        do { /* also the one that has no bytes */
            rx_message(w, &run, &d[i], d[i].buf + at, MIN(segment, d[i].len - at), slot, owned,
                       now_ns);
            at += segment;
        } while (at < d[i].len);
    }
    run_flush(w, &run, slot, now_ns);
    rx_flush(w);
}
