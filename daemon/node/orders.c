/* What an operator asks: drain, undrain, promote, of this member or of a sibling; what is refused,
 * and why. How a VIP then goes is told in moves.c. */
#include "base/err.h"
#include "node/internal.h"
#include <stdarg.h>
#include <stdio.h>

static int refuse(char reason[MOVE_REASON_LEN], int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int refuse(char reason[MOVE_REASON_LEN], int error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(reason, MOVE_REASON_LEN, format, args);
    va_end(args);
    return error;
}

static int save_drained(struct node *n)
{
    uint16_t ids[VIPS_MAX];
    unsigned count = 0;

    for (uint16_t slot = 1; slot <= n->conf.vip_count; slot++)
        if (n->vip[slot].drained)
            ids[count++] = n->conf.vip[slot].id;
    return n->ops.save_drained(n->ops.ctx, ids, count);
}

int orders_may_drain(const struct node *n, uint16_t only, uint8_t member,
                     char reason[MOVE_REASON_LEN], struct instant now)
{
    for (uint16_t slot = 1; slot <= n->conf.vip_count; slot++) {
        const struct vip_run *v = &n->vip[slot];
        bool owner = member == n->conf.self ? failover_owned(&v->failover) : v->claimant == member;

        if ((!only || slot == only) && owner && !moves_successor_ready(n, slot, member, now))
            return refuse(reason, -EAGAIN,
                          "nobody in sync, and not drained, could take the VIP %s; 'guardmount "
                          "status' shows who is missing, --force moves it all the same",
                          n->conf.vip[slot].name);
    }
    return 0;
}

/* May @member have the VIP? */
static int may_take(const struct node *n, uint16_t slot, uint8_t member, bool force,
                    char reason[MOVE_REASON_LEN])
{
    bool here = member == n->conf.self;
    const struct sibling *s = &n->sibling[member];
    const char *who = here ? "this member" : "that member";

    if (!is_listed(n, slot, member))
        return refuse(reason, -EPERM, "%s is not among the Members of the VIP %s", who,
                      n->conf.vip[slot].name);
    if (here ? node_drained(n, slot) : s->drained)
        return refuse(reason, -EBUSY, "%s is drained; 'guardmount undrain' first", who);
    if (!force && !vip_holder(n, slot, member))
        return refuse(reason, -EPERM,
                      "%s holds no session keys of the VIP %s (the first %u of its Members do), so "
                      "every client would need a handshake; --force moves it all the same",
                      who, n->conf.vip[slot].name, HOLDERS_MAX + 1);
    if (here ? !n->vip[slot].fit : !s->ready)
        return refuse(reason, -EAGAIN, "%s is not fit to serve", who);
    return 0;
}

/* Drain or undrain @only (0: all). */
static int set_drained(struct node *n, uint16_t only, bool drained, bool force,
                       char reason[MOVE_REASON_LEN], struct instant now)
{
    bool before[VIPS_MAX];
    int r = drained && !force ? orders_may_drain(n, only, n->conf.self, reason, now) : 0;

    if (r < 0)
        return r;
    for (uint16_t slot = 1; slot <= n->conf.vip_count; slot++) {
        before[slot] = n->vip[slot].drained;
        if (!only || slot == only)
            n->vip[slot].drained = drained;
    }
    if (save_drained(n) < 0) {
        for (uint16_t slot = 1; slot <= n->conf.vip_count; slot++)
            n->vip[slot].drained = before[slot];
        return refuse(reason, -EIO, "the state directory cannot be written; nothing was changed");
    }
    for (uint16_t slot = 1; slot <= n->conf.vip_count; slot++) {
        struct vip_run *v = &n->vip[slot];

        if (v->drained == before[slot])
            continue;
        if (v->drained)
            v->promoted = false;
        say(n, NODE_INFO, drained ? "VIP is drained here" : "VIP is no longer drained here",
            "vip=%s", v->conf.name);
        moves_tell(n, slot, now);
    }
    siblings_beat(n, now); /* what is asked of them next is judged by it */
    return 0;
}

static int promote(struct node *n, uint16_t slot, bool force, char reason[MOVE_REASON_LEN],
                   struct instant now)
{
    struct vip_run *v = &n->vip[slot];
    struct sync_msg m = {.kind = SYNC_MOVE,
                         .move = {.kind = MOVE_PROMOTE, .vip = v->conf.id, .member = n->conf.self}};

    if (failover_owned(&v->failover))
        return 0;
    int r = may_take(n, slot, n->conf.self, force, reason);
    if (r < 0)
        return r;
    if (!force && v->claimant &&
        !(n->sibling[v->claimant].up &&
          replica_in_sync(n->sibling[v->claimant].replica, now.boot_ns)))
        return refuse(reason, -EAGAIN,
                      "this member is not in sync with the owner of the VIP %s; --force takes it "
                      "all the same",
                      v->conf.name);
    flaps_forget(n, slot, now);
    v->promoted = true;
    v->promoted_until_ns = now.boot_ns + MOVE_WITHIN_NS;
    siblings_send_all(n, &m, now);
    return 0;
}

int orders_carry_out(struct node *n, const struct sync_move *m, uint16_t slot,
                     char reason[MOVE_REASON_LEN], struct instant now)
{
    if (m->kind == MOVE_PROMOTE)
        return promote(n, slot, m->force, reason, now);
    return set_drained(n, slot, m->kind == MOVE_DRAIN, m->force, reason, now);
}

int node_move(struct node *n, const struct sync_move *m, char reason[MOVE_REASON_LEN],
              struct instant now)
{
    uint16_t slot = vip_slot_of_id(n, m->vip);
    int r;

    siblings_now(n, now);
    if ((m->vip || m->kind == MOVE_PROMOTE) && !slot)
        return refuse(reason, -ENOENT, "there is no VIP with the number %u", m->vip);
    if (m->member == n->conf.self) {
        r = orders_carry_out(n, m, slot, reason, now);
        readiness(n, now);
        node_flush(n, now);
        return r;
    }
    if (m->member >= MEMBERS_MAX || !n->sibling[m->member].replica)
        return refuse(reason, -ENOENT, "there is no member with the number %u", m->member);
    const struct sibling *s = &n->sibling[m->member];
    if (!s->up)
        return refuse(reason, -EHOSTUNREACH, "that member does not answer on the sync channel");
    if (m->kind != MOVE_UNDRAIN && !m->force && !replica_in_sync(s->replica, now.boot_ns))
        return refuse(reason, -EAGAIN,
                      "that member is not in sync with this one; 'guardmount status' shows why, "
                      "--force moves it all the same");
    /* It judges by itself; what is known here is said at once, since it can tell only its log. */
    r = 0;
    if (m->kind == MOVE_PROMOTE && n->vip[slot].claimant != m->member)
        r = may_take(n, slot, m->member, m->force, reason);
    else if (m->kind == MOVE_DRAIN && !m->force)
        r = orders_may_drain(n, slot, m->member, reason, now);
    if (r < 0)
        return r;
    struct sync_msg ask = {.kind = SYNC_MOVE, .move = *m};
    siblings_send(n, &n->sibling[m->member], &ask, NULL, now);
    node_flush(n, now);
    return 0;
}
