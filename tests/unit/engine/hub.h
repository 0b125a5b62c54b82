/* The least that an engine needs to be a WireGuard peer: what the node does in the product, without
 * timers (but a retry of handshakes, which a busy machine may answer with cookies), replication or
 * a store.
 *
 * Threads: the test's main thread. */
#pragma once
#include "base/clock.h"
#include "base/secret.h"
#include "engine/engine.h"
#include <uv.h>

#define HUB_WORKERS_MAX 4
#define HUB_PEERS_MAX 8
#define HUB_KEYS_MAX 8192

struct hub_peer {
    struct wg_peer *wg;
    struct hub *hub;
    struct initiation *initiation;
    bool initiating, has_cookie;
    uint64_t retry_at_ns; /* 0: no initiation is out */
    uint64_t generation;
    uint8_t cookie[16];
    unsigned sessions; /* made, either role */
};

struct hub {
    uv_loop_t *loop;
    uv_timer_t *retry;
    struct engine *engine;
    struct gate gate;
    struct beat beats[HUB_WORKERS_MAX + 1];
    unsigned workers;
    int tun[HUB_WORKERS_MAX];
    char ifname[16];
    const char *ns;
    struct secret32 private_key;
    struct public_key key;
    uint16_t port, slot;
    struct hub_peer peers[HUB_PEERS_MAX];
    unsigned peer_count;
    struct keypair *keys[HUB_KEYS_MAX];
    unsigned key_count;

    /* What the engine said. */
    unsigned facts[FACT_DROPPED + 1];
    struct fact last[FACT_DROPPED + 1];
    unsigned effects[8]; /* times each keypair_effect bit was told */
    unsigned results[16];
    struct handshake_result last_result;
    bool resume_by_itself;
    int failed;
};

struct hub_options {
    unsigned workers;
    bool cluster; /* slot 1 instead of plain mode, VIP 127.0.0.1 and ::1, not owned yet */
    bool gap_check;
    bool single_queue; /* as with WG_TUN_FD */
    bool no_offloads, pin_workers;
};

/* A hub whose TUN @ifname is in namespace @ns, with addresses 10.77.0.@n/24 and fd77::@n/64. */
struct hub *hub_new(uv_loop_t *loop, const char *ns, const char *ifname, unsigned n,
                    const struct hub_options *options);
void hub_free(struct hub *h);
void hub_open(struct hub *h, uint16_t port); /* 0: any */
/* A peer with allowed addresses 10.77.0.@n/32 and fd77::@n/128. */
void hub_wg_free(void *wg); /* for engine_retire() */
struct hub_peer *hub_add_peer(struct hub *h, const struct public_key *key,
                              const struct secret32 *psk, unsigned n);
/* Make two hubs peers of each other; @a knows where @b is. */
void hub_join(struct hub *a, unsigned a_n, struct hub *b, unsigned b_n, const char *b_address,
              const struct secret32 *psk);
void hub_set_endpoint(struct hub_peer *p, const char *address, uint16_t port);
void hub_initiate(struct hub_peer *p);
/* A session without a handshake: known keys, for packets made by the test itself. As initiator its
 * key is current at once, else it waits for the first data. */
struct keypair *hub_install(struct hub_peer *p, const struct session_keys *keys,
                            uint32_t local_index, uint32_t remote_index, bool initiator);
void hub_remove_key(struct hub *h, struct keypair *k);
struct engine_counters hub_counters(const struct hub *h);
