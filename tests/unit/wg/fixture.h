/* unit/wg/fixture.h - one member's gate and keys for tests: member 1, VIP slot 1, a sibling 2. */
#pragma once
#include "base/secret.h"
#include "lib/test.h"
#include "wg/keypair.h"
#include "wg/peer.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define SELF 1
#define SIBLING 2
#define SLOT 1
#define T0 (1000 * NS_PER_S) /* a time of day of the boot clock */
#define FRESH_NS (4 * NS_PER_S)

static inline void gate_for_cluster(struct gate *g)
{
    memset(g, 0, sizeof(*g));
    g->fresh_ns = FRESH_NS;
    gate_set_tag(g, (struct counter_tag){.member = SELF, .seq = 0x21, .rnd = 0x42});
    atomic_store(&g->member[SIBLING].heartbeat_ns, T0);
    atomic_store(&g->vip[SLOT].since_ns, T0 + NS_PER_S);
    atomic_store(&g->vip[SLOT].others, true);
    atomic_store(&g->vip[SLOT].owned, true);
}

static inline void gate_for_plain(struct gate *g)
{
    memset(g, 0, sizeof(*g));
    g->plain = true;
}

static inline struct session session_for(uint64_t seq, uint64_t limit)
{
    return (struct session){.id = {.hub = 1, .creator = SELF, .instance = 7, .seq = seq},
                            .keys = secret_alloc(),
                            .local_index = 0x1000 + (uint32_t)seq,
                            .remote_index = 0x2000 + (uint32_t)seq,
                            .generation = seq,
                            .limit = limit};
}

static inline struct keypair *key_made_here(uint64_t seq, uint64_t ceiling)
{
    struct session s = session_for(seq, ceiling);
    struct keypair *k = keypair_new(&s, T0);

    assert_non_null(k);
    atomic_store(&k->vip, SLOT);
    return k;
}

/* A fit one, of member 2. */
static inline struct keypair *replica_of_sibling(uint64_t seq, uint64_t limit, uint64_t age_ns)
{
    struct session s = session_for(seq, limit);
    s.id.creator = SIBLING;
    s.age_hi_ns = age_ns;
    s.confirmed = true;
    struct keypair *k = keypair_new_replica(&s, SIBLING, T0);

    assert_non_null(k);
    atomic_store(&k->vip, SLOT);
    atomic_store(&k->adoptable, true);
    return k;
}
