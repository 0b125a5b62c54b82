/* One machine: a shipped node with a simulated engine, disk, kernel and keepalived around it: its
 * clock, its links and its lives. */
#include "sim/machine.h"
#include "base/err.h"
#include "base/secret.h"
#include <assert.h>
#include <stdio.h>
#include <unistd.h>

struct instant machine_now(const struct machine *m)
{
    uint64_t now = m->world->now_ns;

    if (m->drift_ppm) /* the rate of its clocks is off: <= 1 % */
        now += (uint64_t)((int64_t)(now - m->drift_from_ns) / 1000000 * m->drift_ppm);
    return (struct instant){.boot_ns = now + m->boot_offset_ns,
                            .real_ns = 1700000000 * NS_PER_S + now + (uint64_t)m->clock_ahead_ns};
}

/* ha/lanprobe. */
static void probe(struct machine *m)
{
    struct world *w = m->world;

    if (!w->cut_wan[m->member])
        m->lan_heard_ns = w->now_ns;
    bool alive = w->now_ns - m->lan_heard_ns < SIM_LAN_DEAD_NS;
    if (m->lans_told && alive == m->lans_alive)
        return;
    m->lans_told = true;
    m->lans_alive = alive;
    node_lans(m->node, SIM_LANS, alive ? SIM_LANS : 0, machine_now(m));
}

static void machine_tick(struct machine *m)
{
    struct instant now = machine_now(m);

    if (m->world->probes && m->member)
        probe(m);
    m->ticked_real_ns = now.real_ns;
    uint64_t next = node_tick(m->node, now);
    uint64_t wait = next <= now.boot_ns ? NS_PER_MS : MIN(next - now.boot_ns, 50 * NS_PER_MS);

    m->tick_at_ns = m->world->now_ns + wait;
    world_event(m->world, wait, EVENT_TICK, m);
}

void machine_settle(struct machine *m)
{
    for (unsigned i = 0; i < 4 && m->wants_addresses && m->alive; i++) {
        unsigned wanted = m->wants_addresses;

        m->wants_addresses = 0;
        for (uint16_t slot = 1; slot <= m->world->vips; slot++)
            if (wanted >> slot & 1)
                node_vip(m->node, slot,
                         &(struct failover_event){.kind = m->address_present[slot]
                                                              ? FAILOVER_ADDRESS_UP
                                                              : FAILOVER_ADDRESS_DOWN},
                         machine_now(m));
    }
}

static void link_change(struct machine *m, struct event *e)
{
    struct world *w = m->world;
    uint8_t to = (uint8_t)e->a;
    struct machine *other = &w->machine[to - 1];

    if (!e->b) { /* down, both sides hear of it when they can */
        if (!m->link_up[to])
            return;
        m->link_up[to] = false;
        node_link_down(m->node, to, machine_now(m));
        if (other->alive && other->link_up[m->member]) {
            struct event *o = world_event(w, SIM_LAN_DELAY_NS, EVENT_LINK, other);
            o->a = m->member;
        }
    } else {
        struct codec_key *key = &m->link_key[to]; /* read as long as the link is up */
        if (m->link_up[to])
            node_link_down(m->node, to, machine_now(m));
        m->link_up[to] = true;
        m->link_lossy[to] = m->greeted[to] = false;
        m->linked_ns[to] = w->now_ns;
        m->link_serial[to] = e->b;
        memcpy(key->send, &e->b, sizeof(e->b));
        memcpy(key->recv, &e->b, sizeof(e->b));
        node_link_up(m->node, to, key, machine_now(m));
    }
}

static void link_frame(struct machine *m, const struct event *e)
{
    struct world *w = m->world;
    uint64_t under_way_ns = SIM_LAN_DELAY_NS + NS_PER_US + w->sync_lag_ns;

    node_link_frame(m->node, (uint8_t)e->a, e->bytes, e->len, machine_now(m));
    if (w->machine[e->a - 1].link_lossy[m->member] ||
        w->now_ns - m->linked_ns[e->a] < SIM_GREET_NS + w->sync_lag_ns)
        return;
    if (!m->greeted[e->a])
        oracle_met(w->oracle, m->member, (unsigned)e->a);
    m->greeted[e->a] = true;
    oracle_heard(w->oracle, m->member, (unsigned)e->a, e->entry.at_ns - under_way_ns);
}

/* Both ends dial now and then; a link comes up when nothing is in the way. */
static void dial(struct machine *m)
{
    struct world *w = m->world;

    for (uint8_t to = 1; to <= w->members; to++) {
        struct machine *other = &w->machine[to - 1];

        if (to >= m->member || m->link_up[to] || !other->alive || other->frozen ||
            other->frozen_daemon || other->link_up[m->member] || w->cut_sync[m->member][to] ||
            w->cut_sync[to][m->member])
            continue;
        uint64_t serial = ++w->order;
        struct event *a = world_event(w, SIM_LAN_DELAY_NS, EVENT_LINK, m);
        struct event *b = world_event(w, SIM_LAN_DELAY_NS, EVENT_LINK, other);
        a->a = to;
        b->a = m->member;
        a->b = b->b = serial;
    }
}

void machine_event(struct machine *m, struct event *e)
{
    struct world *w = m->world;
    struct instant now = machine_now(m);

    switch (e->kind) {
    case EVENT_DATAGRAM:
        machine_receive(m, e);
        break;
    case EVENT_INNER:
        if (m->alive)
            machine_inner(m, e->bytes, e->len);
        break;
    case EVENT_FRAME:
        if (m->link_up[e->a] && m->link_serial[e->a] == e->b && !w->cut_sync[e->a][m->member])
            link_frame(m, e);
        break;
    case EVENT_LINK:
        link_change(m, e);
        break;
    case EVENT_HANDSHAKE:
        machine_handshake(m, e->ptr);
        free(e->ptr);
        e->ptr = NULL;
        break;
    case EVENT_COMMIT:
        node_committed(m->node, e->ptr, m->disk_full ? -ENOSPC : store_commit(e->ptr), now);
        if (w->operators)
            peers_check(m);
        break;
    case EVENT_TICK:
        if (e->a) {
            machine_look_at_held(m);
        } else {
            if (m->member)
                dial(m);
            if (w->now_ns - m->checked_ns >= NS_PER_S) {
                m->checked_ns = w->now_ns;
                machine_check(m);
            }
            machine_tick(m);
        }
        break;
    default:
        break;
    }
    if (m->alive) {
        node_flush(m->node, machine_now(m));
        machine_settle(m);
    }
}

/* NULL: in memory. */
static const char *database_path(const struct machine *m, const char *suffix, char buf[256])
{
    if (!m->world->disk || !m->member)
        return NULL;
    snprintf(buf, 256, "%s/member%u.db%s", m->world->disk, m->member, suffix);
    return buf;
}

static void copy_file(const char *from, const char *to)
{
    FILE *in = fopen(from, "r"), *out = fopen(to, "w");
    char buf[65536];
    size_t n;

    assert(in && out);
    while ((n = fread(buf, 1, sizeof(buf), in)) > 0)
        assert(fwrite(buf, 1, n, out) == n);
    fclose(in);
    fclose(out);
}

/* To what it was at an earlier death; the first time that is kept. */
void machine_roll_back(struct machine *m)
{
    char path[256], kept[256];

    assert(!m->alive && !m->store);
    if (!database_path(m, "", path) || !database_path(m, ".kept", kept))
        return;
    if (!m->has_backup) {
        copy_file(path, kept);
        m->has_backup = true;
        return;
    }
    world_trace(m->world, "m%u's disk is rolled back", m->member);
    copy_file(kept, path);
    m->world->rolled_back = true;
    memset(m->revoked_gen, 0, sizeof(m->revoked_gen));
}

int machine_start(struct machine *m)
{
    struct world *w = m->world;
    struct node_config c = {.hub = 1, .fresh_ns = FRESH_DEFAULT_NS};
    struct node_ops ops = machine_ops;
    char error[STORE_ERROR_LEN];
    struct secret32 private_key;

    ops.ctx = m;
    m->life++;
    m->life_id = ++w->lives;
    if (m->member)
        oracle_born(w->oracle, m->member);
    m->alive = true;
    m->frozen = m->frozen_daemon = m->lans_told = false;
    m->gate = (struct gate){0};
    memset(m->link_up, 0, sizeof(m->link_up));
    memset(m->revokes_open, 0, sizeof(m->revokes_open));
    for (unsigned slot = 1; slot <= w->vips; slot++) {
        m->vrrp[slot].master = m->vrrp[slot].fit = false;
        m->address_present[slot] = m->address_kept[slot] = false;
        m->vrrp[slot].heard_ns = w->now_ns;
        m->route[slot] = 0;
    }
    memset(m->guest_route, 0, sizeof(m->guest_route));
    if (!m->aead)
        m->aead = aead_new();
    char path[256];
    if (!m->store && store_open(database_path(m, "", path), m->member, &m->store, error) < 0) {
        printf("%s\n", error);
        return -ENOMEM;
    }
    if (w->operators) /* removals are forgotten within the run */
        store_keep_removed(m->store, SIM_REMOVED_KEPT_NS);
    allowedips_init(&m->allowed, NULL, NULL);
    if (m->member) {
        c.self = m->member;
        for (unsigned i = 1, n = 0; i <= w->members; i++)
            if (i != m->member)
                c.members[n++] = (uint8_t)i;
        c.membership_epoch = 1;
        c.vip_count = w->vips;
        c.damping = w->damping;
        memcpy(c.flaps, m->flaps, sizeof(m->flaps));
        c.flap_count = m->flap_count;
        c.warm = w->warm;
        for (uint16_t slot = 1; slot <= w->vips; slot++) {
            struct vip *v = &c.vip[slot];

            c.lans[slot] = SIM_LANS;
            *v = (struct vip){.hub = 1, .id = slot, .name = "main", .port = 51820};
            if (m->drained >> slot & 1)
                c.drained[c.drained_count++] = slot;
            for (unsigned i = 0; i < w->members; i++)
                v->order[world_place(w, slot, (uint8_t)(i + 1))] = (uint8_t)(i + 1);
            if (w->vips > 1) {
                prefix_parse("10.77.0.0/24", &v->pool[0]);
                v->pool[0].addr.b[14] = (uint8_t)slot;
                v->pool_count = 1;
            }
        }
        rng_fill(&m->rng, c.instance, sizeof(c.instance));
        c.seq_proved = m->seq > 0 && !m->seq_lost;
        c.unproved_reason = m->seq_lost ? "state lost" : "first start";
        m->seq = (m->seq_lost ? m->seq_from : m->seq) + 1;
        m->seq_lost = false;
        c.seq = m->seq;
        c.stamp_floor = m->stamps_until_ns;
        c.solo_start_after_ns = 5 * NS_PER_S;
        memcpy(c.cookie_key, w->cookie_key, 32);
        memcpy(private_key.b, w->hub_private, 32);
    } else {
        uint8_t seed[32];
        memcpy(seed, w->hub_private, 32);
        seed[1] = (uint8_t)(seed[1] + 1 + m->number); /* its own, the same in every life */
        memcpy(private_key.b, seed, 32);
        rng_fill(&m->rng, c.cookie_key, 32);
    }
    struct instant now = machine_now(m);
    int r = node_new(&c, &ops, &m->rng, &m->gate, m->store, now, &m->node);
    if (r < 0)
        return r;
    node_set_private_key(m->node, &private_key, now);
    m->key = node_identity(m->node)->public_key;
    node_load(m->node, now);
    if (m->member) {
        for (uint16_t slot = 1; slot <= w->vips; slot++) {
            node_vip(m->node, slot, &(struct failover_event){.kind = FAILOVER_WRITER_UP}, now);
            if (!w->operators)
                vrrp_event(m, SIM_ADVERT_NS, slot, VRRP_ADVERT);
        }
        if (w->operators)
            peers_check(m);
    }
    world_event(w, 1, EVENT_TICK, m);
    return 0;
}

void machine_crash(struct machine *m)
{
    m->alive = false;
    memset(m->address_present, 0, sizeof(m->address_present));
    memset(m->address_kept, 0, sizeof(m->address_kept));
    if (m->world->arp[1] == m->member)
        world_trace(m->world, "m%u crashes with the VIP", m->member);
    machine_ops.discard_queued(m);
    while (m->staged) {
        struct staged *s = m->staged;
        m->staged = s->next;
        free(s);
    }
    m->staged_count = 0;
    node_free(m->node);
    m->node = NULL;
    machine_tables_clear(m);
    if (m->identity) {
        secret_free(m->identity->private_key);
        free(m->identity);
    }
    m->identity = NULL;
    free(m->cookies);
    m->cookies = NULL;
    allowedips_done(&m->allowed);
    for (unsigned i = 0; i < m->queued_count; i++) {
        if (m->queued[i]->kind == EVENT_HANDSHAKE)
            free(m->queued[i]->ptr);
        free(m->queued[i]->bytes);
        free(m->queued[i]);
    }
    m->queued_count = m->queued_datagrams = 0;
    if (m->world->disk && m->member) /* what was not durable is gone */
        store_close(TAKE_PTR(m->store));
    m->life++;                                        /* its events are void from now on */
    for (unsigned i = 1; i <= m->world->members; i++) /* TCP resets, or times out */
        if (m->member && i != m->member && m->world->machine[i - 1].alive) {
            struct event *ev =
                world_event(m->world, NS_PER_S, EVENT_LINK, &m->world->machine[i - 1]);
            ev->a = m->member;
        }
}

void machine_freeze(struct machine *m, bool daemon_only)
{
    if (daemon_only)
        m->frozen_daemon = true;
    else
        m->frozen = true;
    m->froze_ns = m->world->now_ns;
}

void machine_thaw(struct machine *m)
{
    if (!m->frozen && !m->frozen_daemon)
        return;
    m->frozen = m->frozen_daemon = false;
    /* Addresses first: keepalived, if it lived, has taken the VIP away meanwhile (R12). */
    oracle_slept(m->world->oracle, m->member);
    node_gap(m->node, m->world->now_ns - m->froze_ns, machine_now(m));
    machine_settle(m);
    unsigned n = m->queued_count;
    m->queued_count = m->queued_datagrams = 0;
    for (unsigned i = 0; i < n; i++) {
        struct event *e = m->queued[i];
        bool stale = e->kind == EVENT_DATAGRAM; /* thrown away unread */
        if (!stale && m->alive && e->life == m->life)
            machine_event(m, e);
        free(e->bytes);
        free(e);
    }
}

void machine_add_peers(struct machine *m)
{
    struct world *w = m->world;
    struct change *c = change_new(1);
    struct ip_prefix prefix;
    char text[32];

    assert(c);
    if (m->member) {
        for (unsigned i = 0; i < w->clients; i++) {
            struct peer_change *p = change_add_peer(c, &w->machine[w->members + i].key);
            snprintf(text, sizeof(text), "10.77.%u.%u/32",
                     w->vips > 1 ? w->machine[w->members + i].home : 0, i + 1);
            prefix_parse(text, &prefix);
            peer_change_allow(p, &prefix, false);
            if (i == 0) { /* and all that the others have not */
                prefix_parse("10.77.0.0/24", &prefix);
                peer_change_allow(p, &prefix, false);
            }
        }
    } else {
        struct peer_change *p = change_add_peer(c, &w->machine[0].key);
        prefix_parse("0.0.0.0/0", &prefix);
        peer_change_allow(p, &prefix, false);
        p->has_endpoint = true;
        p->endpoint = w->vip[m->talks];
        if (world_random(w, 3) == 0) {
            p->has_keepalive = true;
            p->keepalive_s = 5;
        }
    }
    node_change(m->node, c, NULL, machine_now(m));
}
