/* The process stood still: a sibling may have gone on with our keys meanwhile (N9, R12). */
#include "base/plant.h"
#include "node/internal.h"

static void gap_over(struct node *n)
{
    n->gap_ended_ns = 0;
    atomic_store(&n->gate->resume_ns, 0);
    vips_announce(n);
}

/* Who sleeps that long is no holder any more to its siblings: from then on what they accept under
 * their own keys is bound by nothing that we know. */
#define CUT_OFF_NS (REPLICA_DEAD_NS - 2 * HEARTBEAT_NS)

/* Who could have adopted while we slept? False: nobody. */
static bool ask(struct node *n)
{
    bool any = false;

    n->gap_answered = false;
    for (unsigned i = 1; i < MEMBERS_MAX; i++) {
        struct sibling *s = &n->sibling[i];

        if (s->up && !s->owes) { /* else it owes since an earlier gap */
            s->owes = true;
            s->owes_anew = false;
            memcpy(s->owes_instance, s->hello.instance, sizeof(s->owes_instance));
        }
        any |= s->owes;
    }
    list_for_each (it, &n->keys) {
        struct node_key *k = list_entry(it, struct node_key, all);
        k->held_asleep |= k->held_by;
    }
    return any;
}

/* Members that did not say what they adopted (a bit each), which is the end of it; -EAGAIN: wait
 * for them. */
static int owing_siblings(struct node *n, bool timeout)
{
    int owing = 0;

    if (!n->gap_ended_ns || (!n->gap_answered && !timeout))
        return -EAGAIN;
    for (unsigned i = 1; i < MEMBERS_MAX; i++) {
        const struct sibling *s = &n->sibling[i];

        if (s->owes && !s->owes_anew && !timeout)
            return -EAGAIN; /* its answer is on the way */
        owing |= s->owes ? 1 << i : 0;
    }
    for (unsigned i = 1; i < MEMBERS_MAX; i++)
        n->sibling[i].owes = false;
    return owing;
}

void node_gap(struct node *n, uint64_t gap_ns, struct instant now)
{
    if (!clustered(n))
        return;
    n->counters.gaps++;
    n->slept_ns = gap_ns + (n->gap_ended_ns ? n->slept_ns : 0);
    siblings_now(n, now);
    note(n, (struct notice){.kind = NOTICE_PROCESS_GAP, .number = gap_ns / NS_PER_MS});
    /* N9: a sibling may have gone on with our keys; a redrawn tag, a later term on every key. */
    struct counter_tag tag = gate_tag(n->gate);
    rng_fill(n->rng, &tag.rnd, 1);
    gate_set_tag(n->gate, tag);
    atomic_fetch_add(&n->gate->suspicion, 1);
    n->ops.discard_queued(n->ops.ctx);
    for (uint16_t slot = 1; slot <= n->conf.vip_count; slot++)
        n->ops.read_addresses(n->ops.ctx, slot);
    /* R12: nothing goes in or out before the siblings have answered that were there to ask. */
    if (ask(n)) {
        n->gap_ended_ns = now.boot_ns;
        atomic_store(&n->gate->resume_ns, now.boot_ns + n->gate->fresh_ns);
    } else {
        gap_over(n);
    }
    n->ops.resume(n->ops.ctx);
}

/* A sibling that held a key of ours may have adopted it while we slept, and then died, or got cut
 * off: what it accepted is lost, and with it our right to accept anything under that key. */
void node_gap_look(struct node *n, bool timeout)
{
    int owing = owing_siblings(n, timeout);
    /* (Two planted bugs of R9 show only where this does not step in.) */
    bool slept_long = n->slept_ns >= CUT_OFF_NS && !PLANTED("replicas-sleep-well") &&
                      !PLANTED("stale-adopted") && !PLANTED("queue-is-fresh");

    if (owing < 0)
        return;
    list_for_each (it, &n->keys) {
        struct node_key *k = list_entry(it, struct node_key, all);
        unsigned doubtful = PLANTED("never-in-doubt") ? 0 : k->held_asleep & (unsigned)owing;

        k->held_asleep = 0;
        if (doubtful && k->ours)
            key_doubt(n, k, (uint8_t)__builtin_ctz(doubtful));
        if (!k->ours && slept_long && (owing >> atomic_load(&k->kp->owner) & 1)) {
            k->stale = true;
            key_set_adoptable(k);
        }
    }
    gap_over(n);
}
