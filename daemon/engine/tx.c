/* TUN to UDP: read a batch, look up, seal, send, in one go on this worker. */
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
    if (tun_write(w->tun_write_fd, answer, answer_len) < 0)
        count_add(&w->lane.stats.tun_write_errors, 1);
}

static void stage(struct worker *w, struct wg_peer *p, struct packet *packets, unsigned n,
                  const struct keypair *tried, uint64_t now_ns)
{
    struct peer_entry *entry = peer_find(w->e, p->id);

    if (!entry)
        return;
    for (unsigned i = 0; i < n; i++)
        staging_add(&w->lane, entry, packets[i].data + HEADROOM, packets[i].len);
    lane_tell_peer(&w->lane, entry, PEER_FACT_NEED_SESSION);
    /* Main installs a key, then takes what is staged under the queue's lock. It had the lock after
     * us and found our packets, or before us, and then we find its key here. */
    if (atomic_load_explicit(&p->current, memory_order_relaxed) != tried)
        staging_flush(&w->lane, entry, now_ns);
}

static void send_run(struct worker *w, struct wg_peer *p, struct packet *packets, unsigned n,
                     uint64_t now_ns)
{
    const struct keypair *tried = atomic_load_explicit(&p->current, memory_order_relaxed);
    enum tx_verdict v = TX_NOT_OWNER;
    struct route route;

    if (!gate_owned(w->e->gate, atomic_load_explicit(&p->vip, memory_order_relaxed)))
        count_add(&w->lane.stats.tx[TX_NOT_OWNER], n);
    else if (!lane_route(&w->lane, p, &route))
        count_add(&w->lane.stats.tx_no_peer, n);
    else
        v = lane_seal(&w->lane, p, &route, packets, n, now_ns);
    switch (v) {
    case TX_NO_KEY:
    case TX_UNFIT: /* H8: main drops the replica and starts a handshake */
        stage(w, p, packets, n, tried, now_ns);
        break;
    case TX_NOT_OWNER:
        for (unsigned i = 0; i < n; i++)
            reject(w, packets[i].data + HEADROOM, packets[i].len, now_ns);
        break;
    case TX_OK:
    case TX_STALE:
    case TX_VERDICTS:
        break;
    }
}

void tx_tun(struct worker *w, uint64_t now_ns)
{
    struct packet run[BATCH_MAX];
    struct wg_peer *run_peer = NULL;
    unsigned run_len = 0;

    for (unsigned i = 0; i < BATCH_MAX; i++) {
        uint8_t *buf = w->tun_buffers + (size_t)i * IO_BUFFER_LEN;
        uint8_t *packet = buf + HEADROOM;
        ssize_t len = tun_read(w->tun_fd, packet, TUN_PACKET_MAX);

        if (len == -EINTR)
            continue;
        if (len < 0) {
            if (len != -EAGAIN)
                worker_tun_failed(w, (int)len);
            break;
        }
        struct wg_peer *p = allowedips_find_dst(&w->e->allowedips, packet, (size_t)len);
        if (!p) {
            count_add(&w->lane.stats.tx_no_peer, 1);
            reject(w, packet, (size_t)len, now_ns);
            continue;
        }
        if (p != run_peer && run_len) {
            send_run(w, run_peer, run, run_len, now_ns);
            run_len = 0;
        }
        run_peer = p;
        run[run_len++] = (struct packet){.data = buf, .len = (size_t)len};
    }
    if (run_len)
        send_run(w, run_peer, run, run_len, now_ns);
    lane_send(&w->lane);
}
