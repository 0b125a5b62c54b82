/* Handshakes: when to start one, what a result of the pool means, and H1's wait for a holder. */
#include "base/bytes.h"
#include "base/plant.h"
#include "base/secret.h"
#include "node/internal.h"

#define TRY_AGAIN_NS (100 * NS_PER_MS)
#define ANEW_EVERY_NS (500 * NS_PER_MS)
#define URGENT_EVERY_NS (20 * NS_PER_MS)
#define URGENT_FOR_NS (FRESH_DEFAULT_NS + NS_PER_S)
#define ANSWER_WAIT_NS (500 * NS_PER_MS) /* the first; of many at once a hub is done by then */
#define TRIES_ANEW 4
#define UNDECIDED_NS (150 * NS_PER_MS) /* an advert, and what follows it */

static void send_handshake(struct node *n, struct node_peer *p, uint16_t vip,
                           const struct endpoint *to, const struct endpoint *local,
                           uint32_t ifindex, uint8_t *message, unsigned len, struct instant now)
{
    struct message_macs *macs = (struct message_macs *)(message + len - sizeof(*macs));

    n->ops.set_last_mac1(n->ops.ctx, &p->wg, macs->mac1);
    if (p->cookie_until_ns > now.boot_ns)
        handshake_add_mac2(message, len, p->cookie);
    n->ops.send(n->ops.ctx, vip, to, local, ifindex, message, len);
    if (peer_wake(&p->wg) == 0 && peer_note_sent(&p->wg, now.boot_ns, false, 0))
        peer_arm(n, p, now.boot_ns + NS_PER_S);
}

static void initiation_free(void *v)
{
    struct initiation *i = v;

    secret_free(i->secret);
    secret_free(i->state);
    free(i);
}

static void forget(struct node *n, struct initiation **i)
{
    if (!*i)
        return;
    n->ops.remove_initiation(n->ops.ctx, *i);
    n->ops.retire(n->ops.ctx, TAKE_PTR(*i), initiation_free);
}

void handshake_forget(struct node *n, struct node_peer *p)
{
    forget(n, &p->initiation);
    forget(n, &p->trial);
}

/* False: the queue is full. */
static bool initiation_queue(struct node *n, struct node_peer *p, struct instant now)
{
    uint64_t stamp = stamp_choose(p->sent_real_ns, n->stamp_floor, now.real_ns, now.boot_ns,
                                  n->anchor_real_ns, n->anchor_boot_ns);
    struct handshake_job job = {.kind = HANDSHAKE_INITIATE,
                                .queued_ns = now.boot_ns,
                                .peer_id = p->wg.id,
                                .vip = atomic_load(&p->wg.vip)};

    stamp_from_real(stamp, job.stamp);
    if (n->ops.handshake(n->ops.ctx, &job) < 0)
        return false;
    p->initiate_queued = true;
    p->sent_real_ns = stamp;
    if (clustered(n))
        n->ops.reserve_stamps(n->ops.ctx, stamp);
    if (stamp > n->stamp_floor)
        n->stamp_floor = stamp;
    if (clustered(n)) {
        struct sync_msg m = peer_stamps(n, p);

        siblings_send_all(n, &m, now);
    }
    return true;
}

void handshake_overtaken(struct node *n, struct node_peer *p)
{
    /* Its answer to ours may still come, or come again as a copy, and a key made of that would be
     * known here alone. Siblings tell a stamp before they send it. */
    const struct initiation *newest = p->trial ? p->trial : p->initiation;

    if (!newest || newest->stamp_real_ns >= p->sent_real_ns || PLANTED("late-answers-taken"))
        return;
    handshake_forget(n, p);
    p->timers.retry_at_ns = p->urgent_at_ns = 0;
    p->tries = 0;
}

bool handshake_initiate(struct node *n, struct node_peer *p, bool fresh, bool urgent,
                        struct instant now)
{
    uint16_t vip = atomic_load(&p->wg.vip);

    if (!n->identity || p->initiate_queued || n->shutting_down)
        return false;
    if (!gate_owned(n->gate, vip) || now.boot_ns < atomic_load(&n->gate->resume_ns))
        return false;
    if (urgent && p->timers.retry_at_ns == 0)
        p->timers.last_initiation_ns = 0;
    if (!peer_endpoint_get(&p->wg, &(struct endpoint){0}, &(struct endpoint){0}, &(uint32_t){0}))
        return false;
    if (!timers_may_initiate(&p->timers, now.boot_ns, fresh))
        return false;

    if (!initiation_queue(n, p, now))
        return false; /* the timers ask again */
    p->trial_queued = false;
    timers_initiation_sent(&p->timers, n->rng, now.boot_ns);
    peer_arm(n, p, p->timers.retry_at_ns);
    return true;
}

void handshake_urgently(struct node *n, struct node_peer *p, struct instant now)
{
    if (handshake_initiate(n, p, true, true, now))
        return;
    /* R12's wait, a full queue: who is asked only once must not forget it, or the peer waits out
     * its own 15 s. */
    p->urgent_until_ns = now.boot_ns + URGENT_FOR_NS;
    p->urgent_at_ns = now.boot_ns + URGENT_EVERY_NS;
    peer_arm(n, p, p->urgent_at_ns);
}

/* One of a series left. What is lost, or what the peer drops because another member's initiation
 * came just before it, is sent again after waits that double: REKEY_TIMEOUT would be a long
 * silence. */
static void tried(struct node *n, struct node_peer *p, struct instant now)
{
    p->urgent_at_ns = 0;
    if (!p->tries || !--p->tries || PLANTED("rescued-once"))
        return;
    p->urgent_at_ns = now.boot_ns + (ANSWER_WAIT_NS << (TRIES_ANEW - 1 - p->tries));
    p->urgent_until_ns = p->urgent_at_ns + URGENT_FOR_NS;
    peer_arm(n, p, p->urgent_at_ns);
}

static void anew(struct node *n, struct node_peer *p, uint64_t wait_ns, struct instant now)
{
    uint64_t made = p->timers.session_ns, at = now.boot_ns + wait_ns;

    /* Two that both believe take each other's keys at every packet; each time is a reason (R9a). */
    if (made)
        at = MAX(at, made + ANEW_EVERY_NS);
    if (p->initiation) {
        at = MAX(at, p->initiation->sent_ns + TRY_AGAIN_NS);
        p->timers.retry_at_ns = 0;
    }
    p->tries = TRIES_ANEW;
    if (at == now.boot_ns && handshake_initiate(n, p, true, true, now)) {
        tried(n, p, now);
        return;
    }
    p->urgent_until_ns = at + URGENT_FOR_NS;
    p->urgent_at_ns = at;
    peer_arm(n, p, at);
}

void handshake_anew(struct node *n, struct node_peer *p, struct instant now)
{
    anew(n, p, 0, now);
}

void handshake_decided(struct node *n, struct node_peer *p, struct instant now)
{
    anew(n, p, UNDECIDED_NS, now);
}

uint64_t handshake_urgent_tick(struct node *n, struct node_peer *p, struct instant now)
{
    if (!p->urgent_at_ns || now.boot_ns < p->urgent_at_ns)
        return p->urgent_at_ns;
    if (now.boot_ns >= p->urgent_until_ns) {
        p->tries = 0;
        return p->urgent_at_ns = 0;
    }
    if (p->tries && p->initiation && now.boot_ns - p->initiation->sent_ns >= TRY_AGAIN_NS)
        p->timers.retry_at_ns = 0;
    p->urgent_at_ns = now.boot_ns + URGENT_EVERY_NS;
    if (handshake_initiate(n, p, true, true, now))
        tried(n, p, now);
    return p->urgent_at_ns;
}

void handshake_look_at(struct node *n, struct node_peer *p, const struct endpoint *at,
                       uint64_t counter, struct instant now)
{
    if (!endpoint_equal(&p->try_at, at))
        forget(n, &p->trial); /* its answer would speak for another place */
    p->try_at = *at;
    p->try_counter = counter;
    p->try_until_ns = now.boot_ns + URGENT_FOR_NS;
}

/* R9a, H8: the peer may have moved since we last accepted something of it, and would never hear of
 * us at its old endpoint. What was dropped may be a copy, so it does not move the endpoint (E1);
 * but another initiation goes there, which nobody hears elsewhere: its answer says that the peer is
 * there, wherever a copy of the answer comes from. Of several sources the one with the highest
 * counter counts: no copy has a higher one than the peer. */
void handshake_try_at(struct node *n, struct node_peer *p, const struct fact *f, struct instant now)
{
    bool news = now.boot_ns >= p->try_until_ns || f->value_ns > p->try_counter;

    if (!endpoint_is_set(&f->source) || !news || PLANTED("rescue-at-old-endpoint") ||
        (f->index != RX_DROP_BELOW_FLOOR && f->index != RX_DROP_UNFIT))
        return;
    bool moved = !endpoint_equal(&p->try_at, &f->source);
    handshake_look_at(n, p, &f->source, f->value_ns, now);
    if (moved && p->initiation)
        handshake_anew(n, p, now); /* the last one went to a copy's address */
}

static bool trial_wanted(struct node_peer *p, struct instant now)
{
    struct endpoint at, local;
    uint32_t ifindex;

    return now.boot_ns < p->try_until_ns && peer_endpoint_get(&p->wg, &at, &local, &ifindex) &&
           !endpoint_equal(&at, &p->try_at);
}

static void initiation_made(struct node *n, struct node_peer *p, struct handshake_result *r,
                            struct instant now)
{
    struct endpoint to, local;
    uint32_t ifindex;
    uint16_t vip = atomic_load(&p->wg.vip);
    bool trial = p->trial_queued;

    p->initiate_queued = p->trial_queued = false;
    struct initiation *i = malloc(sizeof(*i));
    if (!i)
        return;
    *i = r->initiation;
    r->initiation.secret = NULL;
    r->initiation.state = NULL;
    i->sent_ns = now.boot_ns;
    if (trial)
        forget(n, &p->trial);
    else
        handshake_forget(n, p); /* a retry replaces it: its answer would come too late */
    if (!gate_owned(n->gate, vip) || !peer_endpoint_get(&p->wg, &to, &local, &ifindex) ||
        n->ops.add_initiation(n->ops.ctx, i) < 0) {
        initiation_free(i);
        return;
    }
    n->counters.initiations_sent++;
    if (trial) {
        p->trial = i;
        to = p->try_at;
    } else {
        p->initiation = i;
    }
    send_handshake(n, p, vip, &to, &local, ifindex, r->reply, r->reply_len, now);
    if (!trial && trial_wanted(p, now))
        p->trial_queued = initiation_queue(n, p, now);
}

/* What H1 allows now: the response leaves, or the initiator's key goes into use. */
static void pending_release(struct node *n, struct pending *w, bool replicated, struct instant now)
{
    struct node_key *k = key_by_index(n, (uint32_t)w->key_serial);
    struct keypair *out[NEXT_SLOTS + 2];

    list_remove(&w->all);
    if (!k) {
        secret_wipe(w, sizeof(*w));
        free(w);
        return;
    }
    if (!replicated)
        n->counters.unreplicated++;
    if (gate_owned(n->gate, w->vip)) {
        if (w->initiator) {
            n->counters.handshakes_made[1]++;
            unsigned count = peer_install_initiated(&k->peer->wg, k->kp, out);
            key_made_current(n, k, out, count, now);
            /* The first packet confirms the session to the peer: what is staged, or a keepalive. */
            n->ops.flush_staged(n->ops.ctx, &k->peer->wg, now.boot_ns);
            n->ops.send_keepalive(n->ops.ctx, &k->peer->wg, now.boot_ns);
        } else {
            n->counters.handshakes_made[0]++;
            note_peer(n, k->peer, w->vip,
                      (struct notice){.kind = NOTICE_HANDSHAKE_ANSWERED, .endpoint = w->to});
            timers_session_made(&k->peer->timers, &k->peer->wg, now.boot_ns);
            send_handshake(n, k->peer, w->vip, &w->to, &w->local, w->local_ifindex, w->message,
                           w->len, now);
        }
        peer_arm(n, k->peer, now.boot_ns + NS_PER_S);
    }
    free(w);
}

static void pending_add(struct node *n, struct node_key *k, struct handshake_result *r,
                        bool initiator, struct instant now)
{
    bool wait = false;

    for (unsigned m = 1; m < MEMBERS_MAX; m++)
        wait |= (k->held_by >> m & 1) && n->sibling[m].up && !PLANTED("answered-at-once");
    struct pending *w = calloc(1, sizeof(*w));
    if (!w) {
        key_remove(n, k, true);
        return;
    }
    w->deadline_ns = now.boot_ns + COMMIT_WAIT_NS;
    w->key_serial = k->kp->local_index;
    w->initiator = initiator;
    w->vip = initiator ? atomic_load(&k->peer->wg.vip) : r->vip;
    w->to = r->source;
    w->local = r->local;
    w->local_ifindex = r->local_ifindex;
    if (!initiator) {
        w->len = r->reply_len;
        memcpy(w->message, r->reply, r->reply_len);
    }
    list_append(&n->pendings, &w->all);
    if (!wait)
        pending_release(n, w, !clustered(n) || n->conf.warm, now);
}

void pendings_acked(struct node *n, uint32_t local_index, struct instant now)
{
    list_for_each (it, &n->pendings) {
        struct pending *w = list_entry(it, struct pending, all);

        if (w->key_serial == local_index) {
            pending_release(n, w, true, now);
            return;
        }
    }
}

uint64_t pendings_tick(struct node *n, struct instant now)
{
    uint64_t next = NEVER;

    list_for_each (it, &n->pendings) {
        struct pending *w = list_entry(it, struct pending, all);

        if (w->deadline_ns <= now.boot_ns)
            pending_release(n, w, false, now);
        else
            next = MIN(next, w->deadline_ns);
    }
    return next;
}

static struct node_key *new_key(struct node *n, struct node_peer *p, struct handshake_result *r,
                                bool initiator, struct instant now)
{
    struct session s = {
        .id = {.hub = n->conf.hub,
               .creator = n->conf.self,
               .instance = n->instance64,
               .seq = ++n->session_seq},
        .peer = p->wg.key,
        .keys = TAKE_PTR(r->keys),
        .local_index = r->local_index,
        .remote_index = r->remote_index,
        .hub_initiated = initiator,
        .slot = SLOT_NEXT,
        .generation = ++p->generation,
        .limit = LIMIT_FIRST,
        .vip = initiator ? atomic_load(&p->wg.vip) : r->vip,
    };
    memcpy(s.peer_stamp, p->received, TAI64N_LEN);
    struct sync_msg m = peer_stamps(n, p);
    for (uint8_t i = 1; i < MEMBERS_MAX; i++) /* H2: to holders the key's record says it */
        if (n->conf.warm || !vip_backup(n, s.vip, n->conf.self, i))
            siblings_send(n, &n->sibling[i], &m, NULL, now);
    if (n->conf.warm)
        p->endpoint_told_ns = 0; /* its first packet tells where it is, with the new generation */
    struct node_key *k = key_install(n, p, &s, 0, now);
    if (k)
        key_replicate(n, k, now);
    return k;
}

static void refuse(struct node *n, struct node_peer *p, const struct handshake_result *r,
                   enum notice_reason reason)
{
    note_peer(n, p, r->vip,
              (struct notice){.kind = NOTICE_HANDSHAKE_REFUSED,
                              .endpoint = r->source,
                              .reason = reason,
                              .number = 1});
}

static enum notice_reason initiation_refused(const struct node *n, const struct node_peer *p,
                                             const struct handshake_result *r, struct instant now)
{
    /* H2: the early check ran on another thread; this one decides. */
    if (memcmp(r->stamp, p->received, TAI64N_LEN) <= 0 && !PLANTED("stamp-not-compared"))
        return REASON_STALE_STAMP;
    if (p->last_accepted_ns && now.boot_ns - p->last_accepted_ns < INITIATION_MIN_GAP_NS)
        return REASON_TOO_SOON;
    if (!gate_owned(n->gate, r->vip))
        return REASON_WRONG_MEMBER;
    if (now.boot_ns < atomic_load(&n->gate->resume_ns))
        return REASON_RESUMING;
    if (clustered(n) && !n->vip[r->vip].fit)
        return REASON_NOT_READY; /* P10: not before anti-entropy or solo_start_after */
    return REASON_NONE;
}

static void initiation_valid(struct node *n, struct node_peer *p, struct handshake_result *r,
                             struct instant now)
{
    struct keypair *out[NEXT_SLOTS + 2];
    enum notice_reason refused = initiation_refused(n, p, r, now);

    if (refused) {
        n->counters.stamps_stale += refused == REASON_STALE_STAMP;
        refuse(n, p, r, refused);
        return;
    }
    peer_take_stamp(n, p, r->stamp);
    p->last_accepted_ns = now.boot_ns;
    struct node_key *k = new_key(n, p, r, false, now);
    if (PLANTED("endpoint-of-initiation"))
        peer_endpoint_update(&p->wg, &r->source, &r->local, 0, r->vip,
                             &(struct endpoint_version){.generation = p->generation});
    if (!k) {
        refuse(n, p, r, REASON_NO_MEMORY);
        return;
    }
    keys_remove_out(n, out, peer_install_next(&p->wg, k->kp, out));
    pending_add(n, k, r, false, now);
}

static void response_valid(struct node *n, struct node_peer *p, struct handshake_result *r,
                           struct instant now)
{
    bool trial = p->trial && p->trial->local_index == r->initiation_index;
    struct endpoint at, local;
    uint32_t ifindex;

    if (PLANTED("copied-answer-moves"))
        trial |= endpoint_equal(&r->source, &p->try_at);
    if (!trial && (!p->initiation || p->initiation->local_index != r->initiation_index))
        return; /* answered already, or given up */
    handshake_forget(n, p);
    struct node_key *k = new_key(n, p, r, true, now);
    if (!k)
        return;
    /* Above all that came before, and below what comes under the new key. Also where only the VIP
     * is new: a peer follows the address that an initiation came from, and siblings must hear. */
    if (trial || (n->conf.vip_count > 1 && !PLANTED("answered-vip-untold") &&
                  peer_endpoint_get(&p->wg, &at, &local, &ifindex)))
        peer_endpoint_update(
            &p->wg, trial ? &p->try_at : &at, &r->local, r->local_ifindex, atomic_load(&p->wg.vip),
            &(struct endpoint_version){.generation = k->kp->generation - 1, .counter = UINT64_MAX});
    p->try_until_ns = 0;
    pending_add(n, k, r, true, now);
}

void node_handshake(struct node *n, struct handshake_result *r, struct instant now)
{
    struct node_peer *p = peer_by_id(n, r->peer_id);

    siblings_now(n, now);
    if (!p)
        return;
    switch (r->verdict) {
    case HANDSHAKE_INITIATION_MADE:
        initiation_made(n, p, r, now);
        break;
    case HANDSHAKE_INITIATION_VALID:
        initiation_valid(n, p, r, now);
        break;
    case HANDSHAKE_RESPONSE_VALID:
        response_valid(n, p, r, now);
        break;
    case HANDSHAKE_COOKIE_VALID:
        memcpy(p->cookie, r->cookie, sizeof(p->cookie));
        p->cookie_until_ns = now.boot_ns + COOKIE_LIFE_NS - REKEY_TIMEOUT_NS;
        break;
    default:
        /* A job of ours that failed: the timers try again. */
        p->initiate_queued = false;
        break;
    }
}
