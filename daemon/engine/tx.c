/* TUN to UDP: read, look up, cut, seal, send, in one go on this worker. */
#include "engine/internal.h"

/* A packet that will not leave: tell its sender, within a rate. */
static void reject(struct worker *w, const uint8_t *packet, size_t len, uint64_t now_ns)
{
    const uint64_t cost_ns = NS_PER_S / UNREACHABLE_PER_S;
    const uint64_t room_ns = UNREACHABLE_BURST * cost_ns;
    uint8_t answer[UNREACHABLE_LEN_MAX];

    w->unreachable_tokens_ns =
        MIN(room_ns, w->unreachable_tokens_ns + (now_ns - w->unreachable_seen_ns));
    w->unreachable_seen_ns = now_ns;
    if (w->unreachable_tokens_ns < cost_ns)
        return;
    size_t answer_len = unreachable_make(packet, len, answer);
    if (!answer_len)
        return;
    w->unreachable_tokens_ns -= cost_ns;
    struct virtio_net_hdr plain = {0};
    struct iovec iov[2] = {{.iov_base = &plain, .iov_len = sizeof(plain)},
                           {.iov_base = answer, .iov_len = answer_len}};
    unsigned skip = w->gro.vnet ? 0 : 1;
    if (tun_write(w->tun_write_fd, iov + skip, 2 - skip) < 0)
        count_add(&w->lane.stats.tun_write_errors, 1);
}

static void stage(struct worker *w, struct wg_peer *p, struct packet *packets, unsigned n,
                  const struct keypair *tried, bool transit, uint64_t now_ns)
{
    struct peer_entry *entry = peer_find(w->e, p->id);

    if (!entry)
        return;
    for (unsigned i = 0; i < n; i++)
        staging_add(&w->lane, entry, packets[i].data + HEADROOM, packets[i].len);
    if (!transit)
        lane_tell_peer(&w->lane, entry, PEER_FACT_NEED_SESSION);
    /* Main installs a key, or learns that one was handed over, then takes what is staged under the
     * queue's lock. It had the lock after us and found our packets, or before us, and then we find
     * its key here. */
    if (atomic_load_explicit(&p->current, memory_order_relaxed) != tried ||
        (transit && !keypair_in_transit(tried, w->e->gate)))
        staging_flush(&w->lane, entry, now_ns);
}

static void send_burst(struct worker *w, struct burst *b, uint64_t now_ns)
{
    struct wg_peer *p = b->peer;
    const struct keypair *tried = atomic_load_explicit(&p->current, memory_order_relaxed);
    enum tx_verdict v = TX_NOT_OWNER;
    struct route route;

    uint16_t slot = atomic_load_explicit(&p->vip, memory_order_relaxed);
    if (!gate_owned(w->e->gate, slot) && !gate_coming(w->e->gate, slot))
        count_add(&w->lane.stats.tx[TX_NOT_OWNER], b->count);
    else if (!lane_route(&w->lane, p, &route))
        count_add(&w->lane.stats.tx_no_peer, b->count);
    else
        v = lane_seal_burst(&w->lane, p, &route, b->packets, b->count, now_ns);
    switch (v) {
    case TX_NO_KEY:
    case TX_UNFIT:  /* H8: main drops the replica and starts a handshake */
    case TX_THEIRS: /* main passes it on */
        stage(w, p, b->packets, b->count, tried, false, now_ns);
        break;
    case TX_TRANSIT:
        stage(w, p, b->packets, b->count, tried, true, now_ns);
        break;
    case TX_NOT_OWNER:
        if (gate_left(w->e->gate, slot)) { /* main passes it on */
            stage(w, p, b->packets, b->count, tried, false, now_ns);
            break;
        }
        for (unsigned i = 0; i < b->count; i++)
            reject(w, b->packets[i].data + HEADROOM, b->packets[i].len, now_ns);
        break;
    case TX_OK:
    case TX_STALE:
    case TX_VERDICTS:
        break;
    }
}

static void send_bursts(struct worker *w, uint64_t now_ns)
{
    for (unsigned i = 0; i < w->burst_count; i++)
        send_burst(w, &w->bursts[i], now_ns);
    lane_send(&w->lane);
    w->burst_count = w->burst_bytes = 0;
}

/* A message of @wire bytes: may it follow those in @b? Not when the path has refused bursts. */
static bool burst_takes(const struct worker *w, const struct burst *b, size_t wire)
{
    return !b->ended && wire <= b->segment && b->count < UDP_SEGMENTS_MAX &&
           b->len + wire <= UDP_BURST_MAX && (w->e->config.offloads & OFFLOAD_UDP_GSO);
}

/* Room for a packet to @p, behind the earlier ones to it. */
static uint8_t *place(struct worker *w, struct wg_peer *p, size_t len, uint64_t now_ns)
{
    size_t padded = lane_padded(w->e, len), wire = HEADROOM + padded + AEAD_TAG_LEN;
    struct burst *b = NULL;

    if (w->burst_bytes >= SEND_AT_BYTES)
        send_bursts(w, now_ns);
    for (unsigned i = w->burst_count; i-- > 0 && !b;)
        if (w->bursts[i].peer == p)
            b = &w->bursts[i];
    if (!b || !burst_takes(w, b, wire)) {
        if (w->burst_count == BURSTS_MAX)
            send_bursts(w, now_ns);
        b = &w->bursts[w->burst_count++];
        b->peer = p;
        b->len = b->count = 0;
        b->segment = wire;
        b->ended = false;
    }
    struct packet *packet = &b->packets[b->count++];
    packet->data = b->buf + b->len;
    packet->len = len;
    packet->padded = padded;
    b->len += wire;
    b->ended = wire < b->segment;
    w->burst_bytes += (unsigned)wire;
    return packet->data + HEADROOM;
}

/* What was read from the TUN, @at bytes behind its virtio header. */
static void take(struct worker *w, size_t at, size_t len, uint64_t now_ns)
{
    struct virtio_net_hdr v = {0};
    struct gso g;

    memcpy(&v, w->tun_buffer, at);
    const uint8_t *packet = w->tun_buffer + at;
    if (gso_begin(&g, &v, packet, len) < 0) {
        count_add(&w->lane.stats.tun_malformed, 1);
        return;
    }
    struct wg_peer *p = allowedips_find_dst(&w->e->allowedips, packet, len);
    if (!p) {
        count_add(&w->lane.stats.tx_no_peer, g.count);
        reject(w, packet, len, now_ns);
        return;
    }
    count_add(&w->lane.stats.tun_cut, g.count > 1);
    for (unsigned i = 0; i < g.count; i++)
        gso_write(&g, i, place(w, p, gso_len(&g, i), now_ns));
}

void tx_tun(struct worker *w, uint64_t now_ns)
{
    size_t at = w->gro.vnet ? VNET_HDR_LEN : 0;

    for (unsigned i = 0; i < BATCH_MAX; i++) {
        ssize_t len = tun_read(w->tun_fd, w->tun_buffer, at + TUN_PACKET_MAX);

        if (len == -EINTR)
            continue;
        if (len < 0) {
            if (len != -EAGAIN)
                worker_tun_failed(w, (int)len);
            break;
        }
        if ((size_t)len > at)
            take(w, at, (size_t)len - at, now_ns);
    }
    send_bursts(w, now_ns);
}

int tx_init(struct worker *w)
{
    if (w->tun_fd < 0)
        return 0;
    w->tun_buffer = malloc(IO_BUFFER_LEN);
    if (!w->tun_buffer)
        return -ENOMEM;
    for (unsigned i = 0; i < BURSTS_MAX; i++) {
        w->bursts[i].buf = malloc(IO_BUFFER_LEN);
        if (!w->bursts[i].buf)
            return -ENOMEM;
    }
    return 0;
}

void tx_done(struct worker *w)
{
    free(w->tun_buffer);
    for (unsigned i = 0; i < BURSTS_MAX; i++)
        free(w->bursts[i].buf);
}
