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

/* Counted; and main is told whose it was, so often that a flood of them costs nothing. */
/* @source NULL: nobody knows whether it is authentic. */
static void drop(struct worker *w, uint64_t peer_id, enum rx_verdict verdict,
                 const struct endpoint *source, uint64_t counter, uint64_t now_ns)
{
    static const struct endpoint nowhere;
    struct drop_told *told = &w->drops[(peer_id * RX_VERDICTS + verdict) % DROPS_TOLD];
    bool same = told->peer_id == peer_id && told->verdict == verdict;

    count_add(&w->lane.stats.rx[verdict], 1);
    if (now_ns - told->at_ns < (same ? DROP_AGAIN_NS : DROP_OTHER_NS))
        return;
    *told = (struct drop_told){peer_id, now_ns, verdict};
    lane_tell(&w->lane, &(struct fact){.kind = FACT_DROPPED,
                                       .peer_id = peer_id,
                                       .index = verdict,
                                       .value_ns = counter,
                                       .source = source ? *source : nowhere});
}

/* Where an accepted packet came from: the newest one says where its peer is (E1). */
static unsigned note_source(struct keypair *k, const struct arrival *a)
{
    struct endpoint_version version = {.generation = k->generation, .counter = a->counter};

    if (!peer_endpoint_update(k->peer, a->source, a->local, a->local_ifindex, a->slot, &version))
        return 0;
    atomic_store(&k->vip, a->slot); /* E3 */
    return PEER_FACT_ENDPOINT;
}

/* To the TUN, if the peer may send it. */
static void deliver(struct worker *w, const struct wg_peer *p, uint8_t *packet, size_t padded,
                    uint64_t now_ns)
{
    struct stats *stats = &w->lane.stats;
    size_t len;
    const struct wg_peer *source = allowedips_find_src(&w->e->allowedips, packet, padded, &len);

    if (!len || len > padded) {
        count_add(&stats->rx[RX_DROP_MALFORMED], 1);
    } else if (source != p) {
        drop(w, p->id, RX_DROP_SOURCE, NULL, 0, now_ns);
        count_add(&stats->rx_no_peer, !source);
    } else {
        count_add(&stats->rx[RX_ACCEPT], 1);
        gro_add(&w->gro, packet, len);
    }
}

void rx_accept(struct worker *w, const struct arrival *a, uint64_t now_ns)
{
    struct wg_peer *p = a->k->peer;
    unsigned facts = note_source(a->k, a);

    if (peer_note_received(p, now_ns, a->len > 0, (unsigned)a->wire_len))
        facts |= PEER_FACT_ARM;
    if (facts)
        lane_tell_peer_id(&w->lane, p->id, facts);
    count_add(&w->lane.stats.rx_bytes, a->wire_len);
    if (a->len > 0)
        deliver(w, p, a->packet, a->len, now_ns);
    else /* keepalive */
        count_add(&w->lane.stats.rx[RX_ACCEPT], 1);
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

static struct arrival arrival_of(const struct run *run, unsigned i, uint16_t slot)
{
    const struct udp_datagram *d = run->from[i];
    const struct aead_op *op = &run->ops[i];

    return (struct arrival){.k = run->k,
                            .counter = op->counter,
                            .slot = slot,
                            .source = &d->remote,
                            .local = &d->local,
                            .local_ifindex = d->local_ifindex,
                            .wire_len = HEADROOM + op->len + AEAD_TAG_LEN,
                            .packet = op->dst,
                            .len = op->len};
}

/* Accepted packets of one key: what they mean for their peer, once for all that came in one
 * receive; then one by one to the TUN. */
static void accept_run(struct worker *w, const struct run *run, const enum rx_verdict *verdicts,
                       uint16_t slot, uint64_t now_ns)
{
    struct wg_peer *p = run->k->peer;
    unsigned accepted = 0, data = 0, facts = 0;
    size_t bytes = 0;

    for (unsigned i = 0; i < run->n; i++) {
        if (verdicts[i] != RX_ACCEPT)
            continue;
        unsigned newest = i;
        for (; i < run->n && run->from[i] == run->from[newest]; i++) {
            if (verdicts[i] != RX_ACCEPT)
                continue;
            if (run->ops[i].counter > run->ops[newest].counter)
                newest = i;
            accepted++;
            data += run->ops[i].len > 0;
            bytes += HEADROOM + run->ops[i].len + AEAD_TAG_LEN;
        }
        i--;
        struct arrival a = arrival_of(run, newest, slot);
        facts |= note_source(run->k, &a);
    }
    if (!accepted)
        return;
    if (peer_note_received(p, now_ns, data > 0, (unsigned)bytes))
        facts |= PEER_FACT_ARM;
    if (data > 1) /* as many make no difference to the timers */
        peer_note_received(p, now_ns, true, 0);
    if (facts)
        lane_tell_peer_id(&w->lane, p->id, facts);
    count_add(&w->lane.stats.rx_bytes, bytes);
    count_add(&w->lane.stats.rx[RX_ACCEPT], accepted - data);
}

static void run_flush(struct worker *w, struct run *run, uint16_t slot, uint64_t now_ns)
{
    enum rx_verdict verdicts[BATCH_MAX];
    uint64_t counters[BATCH_MAX];
    unsigned effects = 0, good = 0;

    if (!run->n)
        return;
    aead_open(w->lane.aead, run->k->keys->recv, run->ops, run->n);
    for (unsigned i = 0; i < run->n; i++) {
        if (!run->ops[i].ok)
            continue;
        counters[good] = run->ops[i].counter;
        run->from[good] = run->from[i];
        run->ops[good++] = run->ops[i];
    }
    count_add(&w->lane.stats.rx[RX_DROP_AUTH], run->n - good);
    run->n = good;
    keypair_receive_run(run->k, w->e->gate, now_ns, counters, good, verdicts, &effects);
    lane_tell_entry_effects(&w->lane, run->entry, effects);
    accept_run(w, run, verdicts, slot, now_ns);
    for (unsigned i = 0; i < good; i++) {
        struct arrival a;

        switch (verdicts[i]) {
        case RX_ACCEPT:
            if (run->ops[i].len > 0)
                deliver(w, run->k->peer, run->ops[i].dst, run->ops[i].len, now_ns);
            break;
        case RX_HOLD:
            a = arrival_of(run, i, slot);
            hold_add(w, run->entry, &a, now_ns);
            break;
        default:
            drop(w, run->k->peer->id, verdicts[i], &run->from[i]->remote, run->ops[i].counter,
                 now_ns);
        }
    }
    run->n = 0;
}

/* O10: data on a VIP that we hold, under a key whose VIP a sibling holds. Authentic or not decides
 * whether main should ask for the key. */
static void wrong_vip(struct worker *w, struct keypair *k, struct aead_op *op,
                      const struct endpoint *source, uint16_t slot, uint64_t now_ns)
{
    if (atomic_load(&k->state) == KEYPAIR_CLOSED || !rarely(&w->wrong_vip_ns, now_ns))
        return;
    if (aead_open(w->lane.aead, k->keys->recv, op, 1))
        lane_tell(&w->lane, &(struct fact){.kind = FACT_WRONG_VIP,
                                           .index = k->local_index,
                                           .peer_id = k->peer->id,
                                           .effects = slot,
                                           .value_ns = op->counter,
                                           .source = *source});
}

/* A message that came in @d: into @run, or dropped and counted. @open: the slot is owned, or about
 * to be (R11). */
static void rx_data(struct worker *w, struct run *run, const struct udp_datagram *d, uint8_t *buf,
                    size_t len, uint16_t slot, bool open, uint64_t now_ns)
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
    struct keypair *k = entry ? index_keypair(entry) : NULL;
    if (!k) {
        count_add(&stats->rx[RX_DROP_UNKNOWN], 1);
        if (rarely(&w->unknown_index_ns, now_ns))
            lane_tell(&w->lane, &(struct fact){.kind = FACT_UNKNOWN_INDEX,
                                               .index = index,
                                               .value_ns = slot,
                                               .source = d->remote});
        return;
    }
    struct aead_op op = {.counter = load_le64(m->counter),
                         .src = m->encrypted,
                         .dst = m->encrypted,
                         .len = len - sizeof(*m) - AEAD_TAG_LEN};
    enum rx_verdict v = keypair_open_check(k, w->e->gate, now_ns);
    if (v == RX_ACCEPT && !open)
        v = RX_DROP_NOT_OWNER;
    if (v != RX_ACCEPT) {
        drop(w, k->peer->id, v, NULL, 0, now_ns);
        if (v == RX_DROP_NOT_OWNER && open)
            wrong_vip(w, k, &op, &d->remote, slot, now_ns);
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
                       uint8_t *buf, size_t len, uint16_t slot, bool open, uint64_t now_ns)
{
    struct udp_datagram one;

    switch (len >= 4 ? load_le32(buf) : 0) {
    case MESSAGE_DATA:
        rx_data(w, run, d, buf, len, slot, open, now_ns);
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
    w->more |= (unsigned)n == w->receives;
    bool owned = gate_owned(w->e->gate, slot);
    bool open = owned || gate_coming(w->e->gate, slot);
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
            rx_message(w, &run, &d[i], d[i].buf + at, MIN(segment, d[i].len - at), slot, open,
                       now_ns);
            at += segment;
        } while (at < d[i].len);
    }
    run_flush(w, &run, slot, now_ns);
    rx_flush(w);
}
