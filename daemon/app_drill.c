/* Drills: peers that agreed to it are asked through the tunnel while a VIP moves, and the daemon is
 * stopped, killed or frozen for a drill at a sibling. */
#include "app_internal.h"
#include "base/bytes.h"
#include "os/fault.h"
#include <assert.h>
#include <string.h>

#define FREEZE_MAX_MS 8000 /* the service manager's watchdog bites after 10 s */

/* ---- who is asked ---- */

/* Its own address: the first prefix that is one. */
static bool address_of(const struct peer *record, struct ip_addr *ret)
{
    for (unsigned i = 0; i < record->allowed_count; i++)
        if (record->allowed[i].len == (record->allowed[i].v6 ? 128 : 32)) {
            *ret = record->allowed[i].addr;
            return true;
        }
    return false;
}

static void choose(struct app *a, uint16_t slot, struct ip_addr address[TUNNELPROBE_PEERS_MAX])
{
    struct app_drill *d = &a->cluster->drill;
    uint64_t cursor = 0;
    struct wg_peer *p;

    d->count = 0;
    d->cut = false;
    while ((p = node_peer_next(a->node, &cursor))) {
        const struct peer *record = store_find(a->store, p->hub, &p->key);
        struct ip_addr to;

        if (atomic_load(&p->vip) != slot || !record ||
            !conf_lists_peer(a->cluster->conf->drill_probe, record->name) ||
            !address_of(record, &to))
            continue;
        d->cut = d->count == TUNNELPROBE_PEERS_MAX;
        if (d->cut)
            break;
        d->peer[d->count] = p->key;
        address[d->count++] = to;
    }
}

/* ---- asking ---- */

static bool may_ask(void *ctx)
{
    struct app *a = ctx;
    const struct failover *f =
        node_failover(a->node, app_vip_slot(a->cluster, a->cluster->drill.vip));

    return f && failover_owned(f);
}

static void answered(void *ctx, unsigned peer, uint32_t slot)
{
    struct app_drill *d = &((struct app *)ctx)->cluster->drill;

    if (!d->tell) {
        probeboard_mark(d->board, peer, slot);
    } else if (d->answer_count < SYNC_DRILL_ANSWERS_MAX) {
        uint8_t *at = d->answers + d->answer_count++ * SYNC_DRILL_ANSWER_LEN;

        memcpy(at, d->peer[peer].b, SYNC_DRILL_TAG_LEN);
        store_be32(at + SYNC_DRILL_TAG_LEN, slot);
    }
}

static void tell_answers(struct app *a)
{
    struct app_drill *d = &a->cluster->drill;
    struct sync_drill told = {.kind = SYNC_DRILL_ANSWERS,
                              .run = d->run,
                              .vip = d->vip,
                              .answers = d->answers,
                              .answer_count = d->answer_count};

    d->answer_count = 0;
    if (told.answer_count)
        node_drill(a->node, d->tell, &told, app_now());
}

/* A member that has just come, back from the fault that is drilled perhaps. */
static void tell_latecomers(struct app *a)
{
    struct app_drill *d = &a->cluster->drill;
    struct sync_drill s = {.kind = SYNC_DRILL_PROBE,
                           .run = d->run,
                           .vip = d->vip,
                           .ms = d->ms,
                           .age_ms = (uint32_t)(tunnelprobe_age_ns(d->probe) / NS_PER_MS),
                           .stride = (uint16_t)d->stride};

    for (uint8_t m = 1; m < MEMBERS_MAX; m++)
        if (d->latecomers >> m & 1 && s.age_ms < s.ms)
            node_drill(a->node, m, &s, app_now());
    d->latecomers = 0;
}

static void ticked(void *ctx)
{
    struct app *a = ctx;

    tell_answers(a);
    if (a->cluster->drill.latecomers)
        tell_latecomers(a);
}

/* While the node tells of it: nothing may be asked of the node now. */
void app_drill_connected(struct app *a, uint8_t member)
{
    struct app_drill *d = &a->cluster->drill;

    if (d->probe && !d->tell)
        d->latecomers |= 1u << member;
}

static void end_asking(void *ctx)
{
    struct app_drill *d = &((struct app *)ctx)->cluster->drill;

    if (!d->probe)
        return;
    d->slots = tunnelprobe_slots(d->probe);
    d->age_ns = tunnelprobe_age_ns(d->probe);
    tunnelprobe_stop(TAKE_PTR(d->probe));
    d->answer_count = 0;
}

/* @stride 0: by the number of peers. @tell 0: it is ours. */
static int ask(struct app *a, const struct sync_drill *s, uint8_t tell)
{
    struct app_drill *d = &a->cluster->drill;
    struct ip_addr address[TUNNELPROBE_PEERS_MAX];
    struct tunnelprobe_ops ops = {a, may_ask, answered, ticked, end_asking};

    end_asking(a);
    choose(a, app_vip_slot(a->cluster, s->vip), address);
    d->run = s->run;
    d->vip = s->vip;
    d->tell = tell;
    d->stride = s->stride ? s->stride : tunnelprobe_stride(d->count);
    d->ms = s->ms;
    d->slots = 0;
    d->age_ns = 0;
    d->latecomers = 0;
    if (!tell) {
        probeboard_free(d->board);
        d->board = probeboard_new(d->count);
        if (!d->board)
            return -ENOMEM;
    }
    return tunnelprobe_start(&a->loop,
                             &(struct tunnelprobe_config){.ifname = a->ifname,
                                                          .peers = address,
                                                          .count = d->count,
                                                          .stride = d->stride,
                                                          .run = s->run,
                                                          .age_ns = s->age_ms * NS_PER_MS,
                                                          .length_ns = s->ms * NS_PER_MS},
                             &ops, &d->probe);
}

/* A sibling's word on who answered there. */
static void heard_answers(struct app_drill *d, const struct sync_drill *s)
{
    if (d->tell || !d->board || s->run != d->run)
        return;
    for (unsigned i = 0; i < s->answer_count; i++) {
        const uint8_t *at = s->answers + (size_t)i * SYNC_DRILL_ANSWER_LEN;

        for (unsigned p = 0; p < d->count; p++)
            if (memcmp(d->peer[p].b, at, SYNC_DRILL_TAG_LEN) == 0) {
                probeboard_mark(d->board, p, load_be32(at + SYNC_DRILL_TAG_LEN));
                break;
            }
    }
}

/* ---- faults ---- */

static void on_doing(uv_timer_t *t)
{
    static const char *const names[] = {
        [DRILL_FAULT_STOP] = "stop", [DRILL_FAULT_KILL] = "kill", [DRILL_FAULT_FREEZE] = "freeze"};
    struct app *a = t->data;
    struct app_drill *d = &a->cluster->drill;
    struct sync_drill s = d->fault;
    uint8_t from = d->fault_from;
    const struct failover *f = node_failover(a->node, app_vip_slot(a->cluster, s.vip));

    d->fault_from = 0;
    if (!from)
        return;
    const char *reason = !a->cluster->conf->drill_faults ? "Faults is off in [Drill]"
                         : !f || !failover_owned(f)      ? "the VIP is not here"
                         : d->probe && !d->tell          ? "a drill runs here"
                                                         : NULL;
    if (reason) {
        log_warn("a drill's fault is refused", "fault=%s member=%u reason=%s", names[s.fault], from,
                 reason);
        s.kind = SYNC_DRILL_REFUSED;
        node_drill(a->node, from, &s, app_now());
        return;
    }
    log_warn("a sibling's drill does this to the daemon", "fault=%s member=%u", names[s.fault],
             from);
    if (s.fault == DRILL_FAULT_STOP)
        app_cluster_signal(a);
    else if (s.fault == DRILL_FAULT_KILL)
        fault_kill();
    else if (fault_freeze(MIN(MAX(s.ms, 1), FREEZE_MAX_MS)) < 0)
        log_error("the daemon is not frozen: it would stay so", NULL);
}

void app_drill_heard(void *ctx, uint8_t member, const struct sync_drill *s)
{
    struct app *a = ctx;
    struct app_drill *d = &a->cluster->drill;

    switch (s->kind) {
    case SYNC_DRILL_PROBE:
        if (app_vip_slot(a->cluster, s->vip) && ask(a, s, member) < 0)
            log_warn("peers cannot be asked for a sibling's drill", "member=%u", member);
        break;
    case SYNC_DRILL_ANSWERS:
        heard_answers(d, s);
        break;
    case SYNC_DRILL_FAULT:
        d->fault = *s;
        d->fault_from = member;
        uv_timer_start(&d->doing, on_doing, 0, 0);
        break;
    case SYNC_DRILL_REFUSED:
        d->refused_by = member;
        break;
    case SYNC_DRILL_KINDS:
        break;
    }
}

/* ---- what the command asks ---- */

static_assert(2 * VIP_ADDRS_MAX * (IFNAME_MAX + 1) <= CONTROL_IFNAMES_MAX, "all of them fit");

static const char *interface_of(const struct vip *v, unsigned i)
{
    return i < v->outer_count ? v->outer[i].ifname : v->inner[i - v->outer_count].ifname;
}

static bool is_first(const struct vip *v, unsigned i)
{
    for (unsigned k = 0; k < i; k++)
        if (strcmp(interface_of(v, k), interface_of(v, i)) == 0)
            return false;
    return true;
}

static void fill(struct app *a, uint16_t slot, bool peers, struct control_drill *ret)
{
    const struct app_drill *d = &a->cluster->drill;
    const struct conf *conf = a->cluster->conf;
    const struct vip *v = &conf->vip[slot - 1];
    unsigned every_ms = d->stride * TUNNELPROBE_TICK_MS;
    unsigned slots = d->probe ? tunnelprobe_slots(d->probe) : d->slots;
    size_t len = 0;

    ret->faults = conf->drill_faults;
    ret->max_takeover_ms = conf->drill_takeover_ms;
    ret->max_gap_ms = conf->drill_gap_ms;
    ret->max_lost = conf->drill_lost;
    ret->sync_port = conf->member[conf->self].sync_address.port;
    if (d->refused_by)
        snprintf(ret->refused, sizeof(ret->refused), "%s", conf->member[d->refused_by].name);
    for (unsigned i = 0; i < v->outer_count + v->inner_count; i++)
        if (is_first(v, i))
            len += (size_t)snprintf(ret->interfaces + len, sizeof(ret->interfaces) - len, "%s%s",
                                    len ? "," : "", interface_of(v, i));
    if (!d->board || d->tell || d->vip != v->id)
        return;
    ret->every_ms = d->count ? every_ms : 0;
    ret->age_ms = (uint32_t)((d->probe ? tunnelprobe_age_ns(d->probe) : d->age_ns) / NS_PER_MS);
    ret->peers_cut = d->cut;
    for (unsigned i = 0; peers && i < d->count; i++) {
        struct probe_sum s = probeboard_sum(d->board, i, slots);

        ret->peer[ret->peer_count++] =
            (struct control_drill_peer){.key = d->peer[i],
                                        .answered = s.answered,
                                        .lost = s.lost,
                                        .gap_ms = s.gap * every_ms,
                                        .gap_from_ms = s.gap_from * every_ms,
                                        .silent_ms = s.silent * every_ms};
    }
}

static int order_fault(struct app *a, const struct drill_command *c, uint16_t slot,
                       char message[CONTROL_MESSAGE_LEN])
{
    uint8_t owner = node_vip_claimant(a->node, slot);
    struct sync_drill s = {.kind = SYNC_DRILL_FAULT, .vip = c->vip, .fault = c->fault, .ms = c->ms};

    a->cluster->drill.refused_by = 0;
    if (may_ask(a) || !owner || owner == a->cluster->conf->self) {
        snprintf(message, CONTROL_MESSAGE_LEN,
                 "the VIP is not at a sibling: run the drill on a member that does not have it");
        return -EINVAL;
    }
    if (!node_drill(a->node, owner, &s, app_now())) {
        snprintf(message, CONTROL_MESSAGE_LEN,
                 "the owner of the VIP is not connected, or is of a version without drills");
        return -EHOSTUNREACH;
    }
    return 0;
}

static int begin_asking(struct app *a, const struct drill_command *c,
                        char message[CONTROL_MESSAGE_LEN])
{
    struct app_drill *d = &a->cluster->drill;
    struct sync_drill s = {.kind = SYNC_DRILL_PROBE, .vip = c->vip, .ms = c->ms};

    if (d->probe && d->tell) {
        snprintf(message, CONTROL_MESSAGE_LEN, "a drill runs at %s: one at a time",
                 a->cluster->conf->member[d->tell].name);
        return -EBUSY;
    }
    rng_fill(&rng_system, &s.run, sizeof(s.run));
    int r = ask(a, &s, 0);
    s.stride = (uint16_t)d->stride;
    if (r == 0)
        node_drill(a->node, 0, &s, app_now()); /* nobody connected: then only we ask */
    return r;
}

int app_drill_run(void *ctx, const struct control_request *r, struct control_drill *ret,
                  char message[CONTROL_MESSAGE_LEN])
{
    struct app *a = ctx;
    const struct drill_command *c = &r->drill;
    uint16_t slot = app_vip_slot(a->cluster, c->vip);
    int err = 0;

    if (!slot) {
        snprintf(message, CONTROL_MESSAGE_LEN, "there is no VIP with the number %u", c->vip);
        return -ENOENT;
    }
    if (c->ms > SYNC_DRILL_MS_MAX)
        return -EINVAL;
    if (c->verb == DRILL_FAULT)
        err = order_fault(a, c, slot, message);
    else if (c->verb == DRILL_ASK)
        err = begin_asking(a, c, message);
    if (err == 0)
        fill(a, slot, r->peers, ret);
    return err;
}

/* ---- life ---- */

void app_drill_open(struct app *a)
{
    uv_timer_init(&a->loop, &a->cluster->drill.doing);
    a->cluster->drill.doing.data = a;
}

void app_drill_stop(struct app *a)
{
    struct app_drill *d = &a->cluster->drill;

    end_asking(a);
    probeboard_free(TAKE_PTR(d->board));
    if (a->loop_open)
        app_close_handle((uv_handle_t *)&d->doing);
}
