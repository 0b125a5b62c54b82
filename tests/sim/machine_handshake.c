/* What a handshake asks of a machine: its tables by index and by key; and the handshake itself. */
#include "base/secret.h"
#include "sim/machine.h"
#include <assert.h>
#include <errno.h>

struct entry *machine_entry(struct machine *m, uint32_t index)
{
    struct entry *e;

    HASH_FIND(hh, m->by_index, &index, sizeof(index), e);
    return e;
}

int machine_entry_add(struct machine *m, uint32_t index, struct keypair *k, struct initiation *i)
{
    struct entry *e = machine_entry(m, index);

    if (e)
        return -EEXIST;
    e = calloc(1, sizeof(*e));
    assert(e);
    *e = (struct entry){.index = index, .kp = k, .initiation = i};
    HASH_ADD(hh, m->by_index, index, sizeof(e->index), e);
    return 0;
}

void machine_entry_remove(struct machine *m, uint32_t index)
{
    struct entry *e = machine_entry(m, index);

    if (e) {
        HASH_DELETE(hh, m->by_index, e);
        free(e->receiver);
        free(e);
    }
}

struct remote_entry *machine_remote(struct machine *m, const struct wg_peer *p)
{
    struct remote_entry *r;

    HASH_FIND_PTR(m->remotes, &p, r);
    return r;
}

static struct remote_entry *remote_by_id(struct machine *m, uint64_t id)
{
    for (struct remote_entry *r = m->remotes; r; r = r->hh.next)
        if (r->peer->id == id)
            return r;
    return NULL;
}

void machine_tables_clear(struct machine *m)
{
    struct remote_entry *r, *r2;
    struct entry *e, *e2;

    HASH_ITER (hh, m->by_index, e, e2) {
        HASH_DELETE(hh, m->by_index, e);
        free(e->receiver);
        free(e);
    }
    HASH_ITER (hh, m->remotes, r, r2) {
        HASH_DELETE(hh, m->remotes, r);
        secret_free(r->remote.secret);
        free(r);
    }
}

static const struct remote *env_remote(void *ctx, const struct public_key *key)
{
    struct machine *m = ctx;

    for (struct remote_entry *r = m->remotes; r; r = r->hh.next)
        if (public_key_equal(&r->peer->key, key))
            return &r->remote;
    return NULL;
}

static const struct remote *env_remote_id(void *ctx, uint64_t id)
{
    struct remote_entry *r = remote_by_id(ctx, id);

    return r ? &r->remote : NULL;
}

static const struct initiation *env_initiation(void *ctx, uint32_t index)
{
    struct entry *e = machine_entry(ctx, index);

    return e ? e->initiation : NULL;
}

static const struct remote *env_remote_index(void *ctx, uint32_t index)
{
    struct entry *e = machine_entry(ctx, index);

    if (!e)
        return NULL;
    return env_remote_id(ctx, e->kp ? e->kp->peer->id : e->initiation->peer_id);
}

static bool env_last_stamp(void *ctx, uint64_t id, uint8_t ret[TAI64N_LEN])
{
    struct remote_entry *r = remote_by_id(ctx, id);

    if (!r || !r->has_stamp)
        return false;
    memcpy(ret, r->stamp, TAI64N_LEN);
    return true;
}

static bool env_last_mac1(void *ctx, uint64_t id, uint8_t ret[16])
{
    struct remote_entry *r = remote_by_id(ctx, id);

    if (!r || !r->has_mac1)
        return false;
    memcpy(ret, r->mac1, 16);
    return true;
}

static uint32_t env_index(void *ctx)
{
    struct machine *m = ctx;
    uint32_t index;

    do
        index = rng_u32(&m->rng);
    while (machine_entry(m, index));
    return index;
}

void machine_handshake(struct machine *m, struct handshake_job *job)
{
    struct handshake_result r = {0};
    struct instant now = machine_now(m);
    struct handshake_env env = {
        .self = m->identity,
        .rng = &m->rng,
        .now_ns = now.boot_ns,
        .real_ns = now.real_ns,
        .cookies = m->cookies,
        .under_load = m->under_load,
        .ctx = m,
        .find_remote = env_remote,
        .find_remote_id = env_remote_id,
        .find_initiation = env_initiation,
        .find_remote_index = env_remote_index,
        .last_stamp = env_last_stamp,
        .draw_index = env_index,
        .last_mac1 = env_last_mac1,
    };

    if (!m->identity)
        return;
    handshake_run(&env, job, &r);
    if (r.verdict == HANDSHAKE_REPLY_COOKIE)
        world_send(m->world, m, m->member ? &m->world->vip[job->vip] : &m->address, &r.source,
                   r.reply, r.reply_len);
    if (r.peer_id)
        node_handshake(m->node, &r, now);
    handshake_result_clear(&r);
}
