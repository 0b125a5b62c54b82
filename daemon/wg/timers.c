#include "wg/timers.h"

#define LOOK_NS KEEPALIVE_TIMEOUT_NS /* no fact asks for anything sooner after it arose */
#define RETRY_SOON_NS (1 * NS_PER_S) /* an initiation that was due could not be sent */

static uint64_t jitter(const struct rng *rng)
{
    return rng_u32(rng) % (REKEY_TIMEOUT_JITTER_NS + 1);
}

bool timers_may_initiate(struct timers *t, uint64_t now_ns, bool fresh)
{
    if (!t->retry_at_ns)
        t->first_attempt_ns = 0; /* the next one is the first */
    else if (fresh)
        t->first_attempt_ns = now_ns;
    if (now_ns < t->retry_at_ns)
        return false;
    return !t->last_initiation_ns || now_ns - t->last_initiation_ns >= REKEY_TIMEOUT_NS;
}

void timers_initiation_sent(struct timers *t, const struct rng *rng, uint64_t now_ns)
{
    if (!t->first_attempt_ns) {
        t->first_attempt_ns = now_ns;
        t->attempts = 0;
    }
    t->attempts++;
    t->last_initiation_ns = now_ns;
    t->retry_at_ns = now_ns + REKEY_TIMEOUT_NS + jitter(rng);
}

static void stop_retrying(struct timers *t)
{
    t->retry_at_ns = 0;
    t->first_attempt_ns = 0;
    t->attempts = 0;
}

void timers_session_made(struct timers *t, struct wg_peer *p, uint64_t now_ns)
{
    stop_retrying(t);
    t->session_ns = now_ns;
    t->zeroed = false;
    /* The handshake's message was an authentic answer to whatever had been sent. */
    atomic_store_explicit(&peer_live(p)->data_sent_ns, 0, memory_order_relaxed);
}

static void retry_step(struct timers *t, struct wg_peer *p, uint64_t now_ns,
                       struct timers_todo *todo)
{
    if (!t->retry_at_ns || now_ns < t->retry_at_ns)
        return;
    if (now_ns - t->first_attempt_ns < REKEY_ATTEMPT_TIME_NS) {
        todo->actions |= TIMERS_INITIATE;
        return;
    }
    stop_retrying(t);
    todo->actions |= TIMERS_GAVE_UP;
    atomic_store_explicit(&peer_live(p)->data_received_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&p->more_received, false, memory_order_relaxed);
    if (!t->session_ns && !t->zeroed)
        t->session_ns = now_ns; /* what is left of older sessions goes 540 s from here */
}

/* Data went out and nothing authentic came back. */
static uint64_t unanswered_step(struct timers *t, struct wg_peer *p, const struct rng *rng,
                                uint64_t now_ns, struct timers_todo *todo)
{
    uint64_t sent = atomic_load_explicit(&peer_live(p)->data_sent_ns, memory_order_relaxed);

    if (!sent) {
        t->unanswered_jitter_ns = 0;
        return 0;
    }
    if (!t->unanswered_jitter_ns)
        t->unanswered_jitter_ns = 1 + jitter(rng);
    uint64_t due = sent + KEEPALIVE_TIMEOUT_NS + REKEY_TIMEOUT_NS + t->unanswered_jitter_ns - 1;
    if (now_ns < due)
        return due;
    /* Once; data sent from now on counts anew. If it was answered this moment, nothing is due. */
    t->unanswered_jitter_ns = 0;
    if (atomic_compare_exchange_strong_explicit(&peer_live(p)->data_sent_ns, &sent, 0,
                                                memory_order_relaxed, memory_order_relaxed)) {
        todo->actions |= TIMERS_INITIATE;
        if (t->retry_at_ns)
            t->first_attempt_ns = now_ns; /* a new reason: the 90 s start again */
    }
    return 0;
}

/* Data came in and nothing went out. */
static uint64_t passive_step(struct wg_peer *p, uint64_t now_ns, struct timers_todo *todo)
{
    uint64_t received = atomic_load_explicit(&peer_live(p)->data_received_ns, memory_order_relaxed);

    if (!received)
        return 0;
    if (now_ns < received + KEEPALIVE_TIMEOUT_NS)
        return received + KEEPALIVE_TIMEOUT_NS;
    /* With more data since, another is due, unless something (most often this keepalive) leaves
     * before. */
    bool more = atomic_exchange_explicit(&p->more_received, false, memory_order_relaxed);
    if (atomic_compare_exchange_strong_explicit(&peer_live(p)->data_received_ns, &received,
                                                more ? now_ns : 0, memory_order_relaxed,
                                                memory_order_relaxed))
        todo->actions |= TIMERS_KEEPALIVE;
    return more ? now_ns + KEEPALIVE_TIMEOUT_NS : 0;
}

static uint64_t persistent_step(struct timers *t, struct wg_peer *p, uint64_t now_ns,
                                struct timers_todo *todo)
{
    uint64_t interval = atomic_load_explicit(&p->keepalive_s, memory_order_relaxed) * NS_PER_S;
    uint64_t last = atomic_load_explicit(&peer_live(p)->traffic_ns, memory_order_relaxed);

    if (!interval)
        return 0;
    if (last < t->persistent_ns) /* the last one may not have left: no key, no endpoint */
        last = t->persistent_ns;
    if (last && now_ns < last + interval)
        return last + interval;
    t->persistent_ns = now_ns;
    todo->actions |= TIMERS_KEEPALIVE;
    return now_ns + interval;
}

static void soonest(uint64_t *next_ns, uint64_t at_ns)
{
    if (at_ns && (!*next_ns || at_ns < *next_ns))
        *next_ns = at_ns;
}

struct timers_todo timers_step(struct timers *t, struct wg_peer *p, const struct rng *rng,
                               uint64_t now_ns)
{
    struct timers_todo todo = {0};

    retry_step(t, p, now_ns, &todo);
    for (;;) {
        todo.next_ns = 0;
        soonest(&todo.next_ns, unanswered_step(t, p, rng, now_ns, &todo));
        soonest(&todo.next_ns, passive_step(p, now_ns, &todo));
        soonest(&todo.next_ns, persistent_step(t, p, now_ns, &todo));
        if (t->retry_at_ns)
            soonest(&todo.next_ns,
                    t->retry_at_ns > now_ns ? t->retry_at_ns : now_ns + RETRY_SOON_NS);
        if (t->session_ns) {
            if (now_ns >= t->session_ns + KEY_ZERO_NS) {
                todo.actions |= TIMERS_ZERO;
                t->session_ns = 0;
                t->zeroed = true;
            } else {
                soonest(&todo.next_ns, t->session_ns + KEY_ZERO_NS);
            }
        }
        if (todo.next_ns) {
            soonest(&todo.next_ns, now_ns + LOOK_NS);
            atomic_store_explicit(&p->armed, true, memory_order_relaxed);
            return todo;
        }
        /* Nothing runs. A fact that arises now either finds us disarmed, and its thread tells main,
         * or arose before this exchange and is seen in one more round. */
        atomic_exchange_explicit(&p->armed, false, memory_order_acq_rel);
        if (!atomic_load_explicit(&peer_live(p)->data_sent_ns, memory_order_relaxed) &&
            !atomic_load_explicit(&peer_live(p)->data_received_ns, memory_order_relaxed))
            return todo;
    }
}
