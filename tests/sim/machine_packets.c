/* The engine here calls the same functions of wg/ as engine/rx and engine/tx do. */
#include "base/bytes.h"
#include "sim/machine.h"
#include <assert.h>

#define STAGED_MAX 128

static void tell(struct machine *m, struct fact f)
{
    node_fact(m->node, &f, machine_now(m));
}

/* Seal and send one packet; @packet NULL: a keepalive. */
enum tx_verdict machine_transmit(struct machine *m, struct wg_peer *p, const uint8_t *packet,
                                 size_t len)
{
    struct instant now = machine_now(m);
    struct keypair *k = atomic_load(&p->current);
    uint8_t buf[sizeof(struct message_data) + SIM_PACKET_LEN + 32];
    struct endpoint to, local;
    uint32_t ifindex;
    unsigned effects = 0;
    uint64_t counter;

    if (!k)
        return gate_owned(&m->gate, atomic_load(&p->vip)) ? TX_NO_KEY : TX_NOT_OWNER;
    enum tx_verdict v = keypair_send(k, &m->gate, now.boot_ns, 1, &counter, &effects);
    uint32_t index = k->local_index;
    if (v != TX_OK)
        world_trace(m->world, "%c%u cannot send on %08x: verdict %d", m->member ? 'm' : 'c',
                    m->number + 1, index, v);
    if (v == TX_OK && peer_endpoint_get(p, &to, &local, &ifindex)) {
        size_t padded = (len + MESSAGE_PADDING - 1) / MESSAGE_PADDING * MESSAGE_PADDING;
        struct message_data *d = (struct message_data *)buf;
        uint8_t plain[SIM_PACKET_LEN + 16] = {0};

        store_le32(d->type, MESSAGE_DATA);
        store_le32(d->receiver, k->remote_index);
        store_le64(d->counter, counter);
        if (packet)
            memcpy(plain, packet, len);
        struct aead_op op = {.counter = counter, .src = plain, .dst = d->encrypted, .len = padded};
        aead_seal(m->aead, k->keys->send, &op, 1);
        world_send(m->world, m, m->member ? &m->world->vip[atomic_load(&p->vip)] : &m->address, &to,
                   buf, sizeof(*d) + padded + AEAD_TAG_LEN);
        if (peer_note_sent(p, now.boot_ns, packet != NULL, (unsigned)padded + 32))
            tell(m, (struct fact){.kind = FACT_ARM, .peer_id = p->id});
    }
    if (effects)
        tell(m, (struct fact){.kind = FACT_EFFECTS, .index = index, .effects = effects});
    return v;
}

void machine_stage(struct machine *m, const struct wg_peer *p, const uint8_t *packet)
{
    struct staged *s, **at = &m->staged;

    if (m->staged_count >= STAGED_MAX)
        return;
    s = calloc(1, sizeof(*s));
    assert(s);
    s->peer_id = p->id;
    memcpy(s->packet, packet, SIM_PACKET_LEN);
    while (*at)
        at = &(*at)->next;
    *at = s;
    m->staged_count++;
}

static void deliver(struct machine *m, const uint8_t *packet, size_t len, bool again)
{
    struct world *w = m->world;
    uint64_t id;

    if (len < SIM_PACKET_LEN)
        return;
    memcpy(&id, packet + 28, sizeof(id));
    oracle_delivered(w->oracle, w->now_ns, id, m->member != 0, again);
    if (id & SIM_FORBIDDEN)
        oracle_violation(w->oracle, w->now_ns, "a packet from a source that is not its sender's");
    world_note(w, &id, sizeof(id));
    /* The inner address's last byte names the client on both sides. */
    unsigned c = m->member ? packet[15] : packet[19];
    if (c < 1 || c > w->clients)
        return;
    struct machine *client = &w->machine[w->members + c - 1];
    if (!m->member && m != client)
        oracle_violation(w->oracle, w->now_ns, "client %u gets a packet of client %u",
                         m->number + 1, client->number + 1);
    if (m->member)
        client->last_up_ns = w->now_ns;
    else
        client->last_down_ns = w->now_ns;
}

/* After the window has accepted it: whose it is, timers, endpoint, delivery. @wire: as it came. */
static void accepted(struct machine *m, struct keypair *k, uint64_t counter, unsigned effects,
                     const struct endpoint *from, uint16_t slot, const uint8_t *wire,
                     size_t wire_len, const uint8_t *plain)
{
    struct wg_peer *p = k->peer;
    struct world *w = m->world;
    struct instant now = machine_now(m);
    struct oracle_who who = machine_who(m);
    size_t len = wire_len - MESSAGE_DATA_OVERHEAD;
    bool from_attacker = endpoint_equal(from, &w->attacker_address);
    bool again = oracle_accepted(w->oracle, w->now_ns, &who, wire, wire_len, from_attacker);

    machine_check_ceiling(m, k, counter, effects);
    w->attacker_believed |= from_attacker && m->member;
    struct endpoint_version v = {.generation = k->generation, .counter = counter};
    size_t inner = 0;

    if (peer_endpoint_update(p, from, &(struct endpoint){0}, 0, slot, &v)) {
        atomic_store(&k->vip, slot); /* E3 */
        tell(m, (struct fact){.kind = FACT_ENDPOINT, .peer_id = p->id});
    }
    if (peer_note_received(p, now.boot_ns, len > 0, (unsigned)len + 32))
        tell(m, (struct fact){.kind = FACT_ARM, .peer_id = p->id});
    if (len && allowedips_find_src(&m->allowed, plain, len, &inner) == p && inner)
        deliver(m, plain, inner, again);
}

static void hold(struct machine *m, struct keypair *k, const struct event *ev, uint16_t slot,
                 const uint8_t *plain)
{
    struct held *h = calloc(1, sizeof(*h)), **at = &m->held;

    assert(h && ev->len <= sizeof(h->wire));
    h->index = k->local_index;
    h->deadline_ns = m->world->now_ns + HOLD_NS;
    h->from = ev->from;
    h->slot = slot;
    h->len = ev->len;
    memcpy(h->wire, ev->bytes, ev->len);
    memcpy(h->plain, plain, ev->len - MESSAGE_DATA_OVERHEAD);
    while (*at)
        at = &(*at)->next;
    *at = h;
    world_event(m->world, HOLD_NS + NS_PER_MS, EVENT_TICK, m)->a = 1;
}

static uint64_t counter_of(const uint8_t *wire)
{
    return load_le64(((const struct message_data *)wire)->counter);
}

void machine_look_at_held(struct machine *m)
{
    struct held **at = &m->held, *h;

    while ((h = *at)) {
        struct entry *e = machine_entry(m, h->index);
        struct instant now = machine_now(m);
        uint64_t counter = counter_of(h->wire);
        uint32_t index = h->index;
        unsigned effects = 0;
        enum rx_verdict v = RX_DROP_UNKNOWN;

        if (e && e->kp)
            v = keypair_receive_held(e->kp, &m->gate, now.boot_ns, counter,
                                     m->world->now_ns >= h->deadline_ns, &effects);
        if (v == RX_HOLD) {
            at = &h->next;
            if (effects)
                tell(m, (struct fact){.kind = FACT_EFFECTS, .index = index, .effects = effects});
            continue;
        }
        *at = h->next;
        if (v == RX_ACCEPT)
            accepted(m, e->kp, counter, effects, &h->from, h->slot, h->wire, h->len, h->plain);
        else
            world_trace(m->world, "%c%u drops held counter %016llx of %08x: verdict %d",
                        m->member ? 'm' : 'c', m->number + 1, (unsigned long long)counter, index,
                        v);
        free(h);
        if (effects)
            tell(m, (struct fact){.kind = FACT_EFFECTS, .index = index, .effects = effects});
    }
}

/* A client has its own kind of window; ours behind it takes what that takes. */
static bool stock_window(struct machine *m, struct entry *e, const struct event *ev)
{
    if (m->member)
        return true;
    if (!e->receiver) {
        e->receiver = calloc(1, sizeof(*e->receiver));
        assert(e->receiver);
        e->receiver->kind = m->receiver;
    }
    if (receiver_accept(e->receiver, counter_of(ev->bytes)))
        return true;
    oracle_dropped_by(m->world->oracle, m->world->now_ns, ev->bytes, receiver_names[m->receiver]);
    return false;
}

static void receive_data(struct machine *m, struct event *ev, uint16_t slot)
{
    const struct message_data *d = (const struct message_data *)ev->bytes;
    struct instant now = machine_now(m);
    uint8_t plain[2048];

    if (ev->len < MESSAGE_DATA_OVERHEAD || ev->len > sizeof(plain))
        return;
    struct entry *e = machine_entry(m, load_le32(d->receiver));
    if (!e || !e->kp) {
        tell(m, (struct fact){.kind = FACT_UNKNOWN_INDEX,
                              .index = load_le32(d->receiver),
                              .value_ns = slot,
                              .source = ev->from});
        return;
    }
    struct keypair *k = e->kp;
    enum rx_verdict early = keypair_open_check(k, &m->gate, now.boot_ns);
    bool wrong_vip = early == RX_DROP_NOT_OWNER && gate_owned(&m->gate, slot);
    if (early != RX_ACCEPT && !wrong_vip)
        return;
    uint64_t counter = counter_of(ev->bytes);
    struct aead_op op = {.counter = counter,
                         .src = d->encrypted,
                         .dst = plain,
                         .len = ev->len - MESSAGE_DATA_OVERHEAD};
    aead_open(m->aead, k->keys->recv, &op, 1);
    if (!op.ok || !stock_window(m, e, ev))
        return;
    if (wrong_vip) {
        tell(m, (struct fact){.kind = FACT_WRONG_VIP,
                              .index = k->local_index,
                              .peer_id = k->peer->id,
                              .effects = slot,
                              .value_ns = counter,
                              .source = ev->from});
        return;
    }
    unsigned effects = 0;
    uint32_t index = k->local_index;
    uint64_t peer_id = k->peer->id;
    enum rx_verdict v = keypair_receive(k, &m->gate, now.boot_ns, counter, &effects);
    if (v != RX_ACCEPT && v != RX_HOLD)
        world_trace(m->world, "%c%u drops counter %016llx of %08x: verdict %d",
                    m->member ? 'm' : 'c', m->number + 1, (unsigned long long)counter, index, v);
    if (v == RX_HOLD)
        hold(m, k, ev, slot, plain);
    else if (v == RX_ACCEPT)
        accepted(m, k, counter, effects, &ev->from, slot, ev->bytes, ev->len, plain);
    else if (!m->member) { /* its own window took it: a stock client would have */
        struct oracle_who who = machine_who(m);
        oracle_accepted(m->world->oracle, m->world->now_ns, &who, ev->bytes, ev->len, false);
    }
    if (effects)
        tell(m, (struct fact){.kind = FACT_EFFECTS, .index = index, .effects = effects});
    if (v != RX_ACCEPT && v != RX_HOLD)
        tell(m, (struct fact){.kind = FACT_DROPPED,
                              .index = v,
                              .peer_id = peer_id,
                              .value_ns = counter,
                              .source = ev->from});
}

void machine_receive(struct machine *m, struct event *e)
{
    uint16_t slot = m->member ? world_slot(m->world, &e->to) : VIP_SLOT_PLAIN;

    if (e->len < 4)
        return;
    if (m->member && !gate_owned(&m->gate, slot)) {
        tell(m, (struct fact){.kind = FACT_READ_ADDRESSES, .index = slot});
        if (!gate_owned(&m->gate, slot) && !gate_coming(&m->gate, slot))
            return;
    }
    if (load_le32(e->bytes) == MESSAGE_DATA) {
        receive_data(m, e, slot);
        return;
    }
    if (!m->identity || e->len > HANDSHAKE_LEN_MAX)
        return;
    if (load_le32(e->bytes) != MESSAGE_COOKIE &&
        !handshake_mac1_ok(m->identity, e->bytes, (unsigned)e->len))
        return;
    struct handshake_job job = {
        .kind = HANDSHAKE_DATAGRAM, .vip = slot, .source = e->from, .len = (unsigned)e->len};
    memcpy(job.message, e->bytes, e->len);
    machine_ops.handshake(m, &job);
}

void machine_inner(struct machine *m, const uint8_t *packet, size_t len)
{
    struct wg_peer *p = allowedips_find_dst(&m->allowed, packet, len);

    if (!p)
        return;
    enum tx_verdict v = machine_transmit(m, p, packet, len);
    bool left = v == TX_NOT_OWNER && gate_left(&m->gate, atomic_load(&p->vip));
    if (!tx_waits(v) && !left)
        return;
    machine_stage(m, p, packet);
    if (v != TX_TRANSIT)
        tell(m, (struct fact){.kind = FACT_NEED_SESSION, .peer_id = p->id});
}
