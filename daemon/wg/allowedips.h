/* wg/allowedips.h - longest-prefix match from inner addresses to peers, IPv4 and IPv6.
 *
 * Owner:   the hub's table. Threads: main changes it; any thread looks up at the same time (nodes
 *          are published with release stores; what falls out goes to @retire, freed after a grace
 *          period).
 * Never:   logs. A prefix belongs to one peer: inserting moves it (WireGuard semantics). */
#pragma once
#include "model/endpoint.h"

struct wg_peer;
struct allowedips_node;

struct allowedips {
    struct allowedips_node *_Atomic root4, *_Atomic root6;
    unsigned count;
    void (*retire)(void *ctx, void *node, void (*free_fn)(void *));
    void *retire_ctx;
};

/* @retire may be NULL: nodes are freed at once (no concurrent readers). */
void allowedips_init(struct allowedips *t,
                     void (*retire)(void *ctx, void *node, void (*free_fn)(void *)), void *ctx);
void allowedips_done(struct allowedips *t);
int allowedips_insert(struct allowedips *t, const struct ip_prefix *prefix, struct wg_peer *p);
/* Only when @p owns exactly this prefix. */
bool allowedips_remove(struct allowedips *t, const struct ip_prefix *prefix,
                       const struct wg_peer *p);
/* Address bytes in network order, 4 or 16. NULL: nobody's. */
struct wg_peer *allowedips_find4(const struct allowedips *t, const uint8_t addr[4]);
struct wg_peer *allowedips_find6(const struct allowedips *t, const uint8_t addr[16]);
/* Destination or source of an inner IP packet; NULL also when it is no IP packet.
 * @ret_len: length by the IP header (for cutting padding), 0 when malformed. */
struct wg_peer *allowedips_find_dst(const struct allowedips *t, const uint8_t *packet, size_t len);
struct wg_peer *allowedips_find_src(const struct allowedips *t, const uint8_t *packet, size_t len,
                                    size_t *ret_len);
