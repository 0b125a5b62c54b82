/* unit/node/lone.h - a node of its own, its surroundings written down.
 *
 * Member 1; VIP 7 in slot 1, for members 1 and 2; what a sibling would say is put into the node.
 * Owner: the test. Threads: one. */
#pragma once
#include "lib/test.h"
#include "node/internal.h"
#include "node/node.h"

#define ASKED_MAX 512

struct hub {
    struct node *node;
    struct gate gate;
    struct store *store;
    struct instant now;
    unsigned announced, asked_again, removed, reads;
    unsigned closed; /* links, a bit each */
    int weight;
    bool fit, second_fit, kept;
    struct identity *identity;
    struct cookie_secret *cookies;
    char log[4096];
    unsigned owned, released, candidate; /* notices */
    struct notice withheld, refused;     /* the last ones */
    unsigned saved_count;
    uint16_t saved[VIPS_MAX];
    uint64_t asked[ASKED_MAX]; /* peers, for a session */
    unsigned asked_count;
    unsigned sent;       /* messages of handshakes */
    unsigned kept_count; /* flaps */
    struct flap_memory flaps[VIPS_MAX];
};

extern const struct node_config alone;

/* At @boot_ns, or at a time of its own. */
struct hub *hub_new_at(const struct node_config *with, uint64_t boot_ns);
struct hub *hub_new(const struct node_config *with);
void hub_free(struct hub *h);
/* A peer at 192.0.2.1:@port, whose key is made of @port. */
struct node_peer *hub_add_peer(struct hub *h, uint16_t port);
void hub_pass(struct hub *h, uint64_t ms);
void hub_tell(struct hub *h, enum failover_kind kind, bool at_start); /* of slot 1 */
struct hub *hub_ready(const struct node_config *with);                /* and its engine is fit */
/* And it has the VIP for three seconds, and a key to ask with. */
struct hub *hub_owner(const struct node_config *with);
