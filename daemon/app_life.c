/* What outlives the process: its start counter and stamps, VIPs that it is drained of, flaps. */
#include "app_internal.h"
#include <string.h>

#define LOOK_NS (10 * NS_PER_S)

static int op_save_drained(void *ctx, const uint16_t *vips, unsigned count)
{
    return drained_save(((struct app *)ctx)->cluster->conf->state_dir, vips, count);
}

static void op_save_flaps(void *ctx, const struct flap_memory *all, unsigned count)
{
    struct cluster *c = ((struct app *)ctx)->cluster;
    int r = flapfile_save(c->conf->run_dir, c->life.file.boot_id, all, count);

    if (r < 0)
        log_warn("a restart will not know of flaps", "path=%s error=%s", c->conf->run_dir,
                 strerror(-r));
}

static int op_raise_seq(void *ctx, uint64_t seen, uint64_t *ret)
{
    struct cluster *c = ((struct app *)ctx)->cluster;
    int r = life_raise(c->conf->state_dir, &c->life, seen);

    *ret = c->life.seq;
    return r;
}

static void op_reserve_stamps(void *ctx, uint64_t stamp_ns)
{
    struct cluster *c = ((struct app *)ctx)->cluster;

    if (life_reserve_stamps(c->conf->state_dir, &c->life, stamp_ns, clock_real_ns()) < 0)
        log_warn("handshake stamps could not be reserved", "path=%s", c->conf->state_dir);
}

void app_life_ops(struct node_ops *ops)
{
    ops->save_drained = op_save_drained;
    ops->save_flaps = op_save_flaps;
    ops->raise_seq = op_raise_seq;
    ops->reserve_stamps = op_reserve_stamps;
}

/* Those of the first handshakes after a takeover too: then main must not wait for the disk. */
void app_life_look(struct app *a, uint64_t now_ns)
{
    struct cluster *c = a->cluster;

    if (now_ns < c->life_look_ns)
        return;
    c->life_look_ns = now_ns + LOOK_NS;
    op_reserve_stamps(a, node_stamp_floor(a->node));
}

static unsigned load_flaps(const struct cluster *c, struct flap_memory ret[VIPS_MAX])
{
    int r = flapfile_load(c->conf->run_dir, c->life.file.boot_id, clock_boot_ns(), ret, VIPS_MAX);

    if (r < 0)
        log_warn("the file of flaps cannot be read; none is remembered",
                 "path=%s/" FLAPS_FILE " error=%s", c->conf->run_dir, strerror(-r));
    return (unsigned)MAX(r, 0);
}

void app_life_recall(const struct app *a, struct node_config *ret)
{
    const struct cluster *c = a->cluster;

    ret->seq = c->life.seq;
    ret->seq_proved = c->life.proved;
    ret->unproved_reason = c->life.reason;
    ret->stamp_floor = c->life.stamp_floor;
    ret->flap_count = load_flaps(c, ret->flaps);
    ret->drained_count = drained_load(c->conf->state_dir, ret->drained, VIPS_MAX);
}
