/* What a worker does with handshake messages: cheap checks, then over to the handshake threads. */
#include "base/secret.h"
#include "engine/internal.h"

/* mac1s of recent initiations, set-associative; in each set the latest comes first. */
struct repeats {
    uint8_t mac1[REPEAT_SETS][REPEAT_WAYS][16];
};

struct repeats *repeats_new(void)
{
    return calloc(1, sizeof(struct repeats));
}

bool repeats_seen(struct repeats *r, const uint8_t mac1[16])
{
    uint8_t(*set)[16] = r->mac1[load_le32(mac1) % REPEAT_SETS];
    unsigned way = 0;

    while (way < REPEAT_WAYS && !secret_equal(set[way], mac1, 16))
        way++;
    bool seen = way < REPEAT_WAYS;
    if (!seen)
        way = REPEAT_WAYS - 1; /* the one that was used longest ago goes */
    memmove(set[1], set[0], (size_t)way * 16);
    memcpy(set[0], mac1, 16);
    return seen;
}

static bool mac1_ok(struct worker *w, const struct udp_datagram *d)
{
    const struct identity *self = atomic_load_explicit(&w->e->identity, memory_order_acquire);

    if (self && handshake_mac1_ok(self, d->buf, (unsigned)d->len))
        return true;
    count_add(&w->lane.stats.mac1_bad, 1);
    return false;
}

static bool worth_a_thread(struct worker *w, const struct udp_datagram *d)
{
    struct stats *stats = &w->lane.stats;
    const struct index_entry *entry;

    switch (load_le32(d->buf)) {
    case MESSAGE_INITIATION:
        if (d->len != sizeof(struct message_initiation))
            break;
        if (!mac1_ok(w, d))
            return false;
        /* H11: a copy is nothing new, and must not count as load. */
        if (repeats_seen(w->repeats, ((struct message_initiation *)d->buf)->macs.mac1)) {
            count_add(&stats->initiation_repeats, 1);
            return false;
        }
        return true;
    case MESSAGE_RESPONSE:
        if (d->len != sizeof(struct message_response))
            break;
        if (!mac1_ok(w, d))
            return false;
        entry = index_find(w->e, load_le32(((struct message_response *)d->buf)->receiver));
        if (entry && index_initiation(entry))
            return true;
        count_add(&stats->handshake[HANDSHAKE_DROP_UNKNOWN], 1);
        return false;
    default: /* a cookie reply has no mac1: the index must be one of ours */
        if (d->len != sizeof(struct message_cookie))
            break;
        entry = index_find(w->e, load_le32(((struct message_cookie *)d->buf)->receiver));
        if (entry && (index_initiation(entry) || index_keypair(entry)))
            return true;
        count_add(&stats->handshake[HANDSHAKE_DROP_UNKNOWN], 1);
        return false;
    }
    count_add(&stats->handshake[HANDSHAKE_DROP_MALFORMED], 1);
    return false;
}

void rx_handshake(struct worker *w, uint16_t slot, const struct udp_datagram *d, uint64_t now_ns)
{
    struct handshake_job job;

    if (!worth_a_thread(w, d))
        return;
    memset(&job, 0, sizeof(job));
    job.kind = HANDSHAKE_DATAGRAM;
    job.queued_ns = now_ns;
    job.vip = slot;
    job.source = d->remote;
    job.local = d->local;
    job.local_ifindex = d->local_ifindex;
    job.len = (unsigned)d->len;
    memcpy(job.message, d->buf, d->len);
    if (!pool_push(w->e, w->id, &job))
        count_add(&w->lane.stats.handshake_queue_full, 1);
}
