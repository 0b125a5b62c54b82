#include "ha/failover.h"

#include "base/err.h"
#include "base/fsm.h"
#include "base/plant.h"

/*               all of O1              next event
 *   STANDBY ───────────────► ADOPTING ────────────► ACTIVE
 *     ▲  ▲                     ▲   │ any of O1 gone   │
 *     │  │     all of O1 again │   ▼                  │
 *     │  └──────────────── RELEASING ◄────────────────┘
 *     │        released
 *   FAULT ◄── engine unfit, from anywhere                                                       */
static const struct fsm_state vip_fsm[] = {
    [VIP_STANDBY] = {"standby", TO(VIP_ADOPTING) | TO(VIP_FAULT)},
    [VIP_ADOPTING] = {"adopting", TO(VIP_ACTIVE) | TO(VIP_RELEASING) | TO(VIP_FAULT)},
    [VIP_ACTIVE] = {"active", TO(VIP_RELEASING) | TO(VIP_FAULT)},
    [VIP_RELEASING] = {"releasing", TO(VIP_STANDBY) | TO(VIP_ADOPTING) | TO(VIP_FAULT)},
    [VIP_FAULT] = {"fault", TO(VIP_STANDBY)},
};

static const char *const causes[] = {
    [FAILOVER_ADDRESS_UP] = "address",
    [FAILOVER_ADDRESS_DOWN] = "address-gone",
    [FAILOVER_WRITER_UP] = "keepalived",
    [FAILOVER_WRITER_GONE] = "keepalived-gone",
    [FAILOVER_LINE_MASTER] = "fifo-master",
    [FAILOVER_LINE_BACKUP] = "fifo-backup",
    [FAILOVER_LINE_FAULT] = "fifo-fault",
    [FAILOVER_LINE_STOP] = "fifo-stop",
    [FAILOVER_LINE_RX_LOWER] = "fifo-split",
    [FAILOVER_HANDED] = "handed-over",
    [FAILOVER_RELEASED] = "released",
    [FAILOVER_ENGINE] = "engine",
    [FAILOVER_TICK] = "tick",
};

void failover_init(struct failover *f)
{
    *f = (struct failover){.state = VIP_STANDBY, .fit = true};
}

const char *vip_state_name(int state)
{
    assert(state >= 0 && (size_t)state < ARRAY_LEN(vip_fsm));
    return vip_fsm[state].name;
}

bool failover_owned(const struct failover *f)
{
    return f->state == VIP_ADOPTING || f->state == VIP_ACTIVE;
}

static bool in_grace(const struct failover *f, uint64_t now_ns)
{
    return f->writer_seen && now_ns - f->writer_gone_ns < WRITER_GRACE_NS;
}

/* O1, the whole of it. */
static bool predicate(const struct failover *f, uint64_t now_ns)
{
    return f->address && !f->denied && now_ns >= f->handed_ns && (f->writer || in_grace(f, now_ns));
}

static void writer_came(struct failover *f)
{
    f->writer = f->writer_seen = true;
    f->stale_ns = 0;
}

static void address_came(struct failover *f, bool at_start, uint64_t now_ns)
{
    if (f->address)
        return; /* it did not appear: lines read since it did still count */
    f->address = true;
    /* At start nobody knows whether a queued line is older than the address: it counts. */
    if (!at_start)
        f->denied = false;
    if (f->writer)
        return;
    if (at_start)
        f->stale_ns = now_ns;
    else if (in_grace(f, now_ns))
        f->stale_ns = f->writer_gone_ns + WRITER_GRACE_NS;
    else
        f->stale_ns = now_ns + WRITER_GRACE_NS;
}

static unsigned take_event(struct failover *f, const struct failover_event *e, uint64_t now_ns)
{
    switch (e->kind) {
    case FAILOVER_ADDRESS_UP:
        address_came(f, e->at_start, now_ns);
        return 0;
    case FAILOVER_ADDRESS_DOWN:
        if (PLANTED("address-not-looked-at"))
            return 0;
        f->address = false;
        f->stale_ns = f->handed_ns = 0;
        return 0;
    case FAILOVER_WRITER_UP:
        writer_came(f);
        return FAILOVER_READ_ADDRESSES;
    case FAILOVER_WRITER_GONE:
        if (!f->writer)
            return 0;
        f->writer = false;
        f->writer_gone_ns = now_ns;
        if (f->address)
            f->stale_ns = now_ns + WRITER_GRACE_NS;
        return FAILOVER_READ_ADDRESSES;
    case FAILOVER_LINE_MASTER:
        writer_came(f);
        f->denied = false;
        f->handed_ns = 0;
        return FAILOVER_READ_ADDRESSES; /* written after the address was set: see it now */
    case FAILOVER_LINE_BACKUP:
    case FAILOVER_LINE_FAULT:
    case FAILOVER_LINE_STOP:
        writer_came(f);
        f->denied = true;
        return FAILOVER_READ_ADDRESSES;
    case FAILOVER_LINE_RX_LOWER:
        writer_came(f);
        return FAILOVER_READ_ADDRESSES;
    case FAILOVER_ENGINE:
        f->fit = e->fit;
        return 0;
    case FAILOVER_HANDED:
        f->handed_ns = now_ns + HANDED_GRACE_NS;
        return FAILOVER_READ_ADDRESSES;
    case FAILOVER_RELEASED:
    case FAILOVER_TICK:
        return 0;
    }
    assert(!"unknown event");
    return 0;
}

static void move(struct failover *f, int to, uint64_t now_ns)
{
    fsm_move(vip_fsm, &f->state, to);
    f->since_ns = now_ns;
}

static unsigned open_vip(struct failover *f, uint64_t now_ns)
{
    move(f, VIP_ADOPTING, now_ns);
    f->epoch++;
    return FAILOVER_OPEN | FAILOVER_ANNOUNCE;
}

static unsigned next_state(struct failover *f, enum failover_kind kind, uint64_t now_ns)
{
    bool ours = predicate(f, now_ns);

    if (!f->fit) {
        unsigned close = failover_owned(f) ? FAILOVER_CLOSE : 0;

        if (f->state != VIP_FAULT)
            move(f, VIP_FAULT, now_ns);
        return close;
    }
    if (f->state == VIP_FAULT)
        move(f, VIP_STANDBY, now_ns);

    switch (f->state) {
    case VIP_STANDBY:
        return ours ? open_vip(f, now_ns) : 0;
    case VIP_ADOPTING:
    case VIP_ACTIVE:
        if (!ours) {
            move(f, VIP_RELEASING, now_ns);
            return FAILOVER_CLOSE;
        }
        if (f->state == VIP_ADOPTING)
            move(f, VIP_ACTIVE, now_ns);
        return kind == FAILOVER_LINE_RX_LOWER ? FAILOVER_ANNOUNCE : 0; /* O5, O7 */
    case VIP_RELEASING:
        if (ours)
            return open_vip(f, now_ns);
        if (kind == FAILOVER_RELEASED)
            move(f, VIP_STANDBY, now_ns);
        return 0;
    }
    assert(!"unknown state");
    return 0;
}

static uint64_t earlier(uint64_t a_ns, uint64_t b_ns)
{
    return b_ns && b_ns < a_ns ? b_ns : a_ns;
}

struct failover_todo failover_step(struct failover *f, const struct failover_event *e,
                                   uint64_t now_ns)
{
    struct failover_todo todo = {.cause = causes[e->kind]};

    todo.actions = take_event(f, e, now_ns);
    if (f->stale_ns && now_ns >= f->stale_ns) {
        /* Nobody answers for this address any more. It is never ours again unless it appears
         * anew or keepalived says MASTER; a removal that did not work is tried again. */
        f->denied = true;
        f->stale_ns = now_ns + WRITER_GRACE_NS;
        todo.actions |= FAILOVER_REMOVE_STALE;
        todo.cause = "stale";
    }
    todo.actions |= next_state(f, e->kind, now_ns);
    if (now_ns >= f->recheck_ns) {
        f->recheck_ns = now_ns + RECHECK_NS;
        todo.actions |= FAILOVER_READ_ADDRESSES;
    }
    todo.next_ns = f->state == VIP_ADOPTING ? now_ns : earlier(f->recheck_ns, f->stale_ns);
    if (f->handed_ns > now_ns)
        todo.next_ns = earlier(todo.next_ns, f->handed_ns);
    return todo;
}
