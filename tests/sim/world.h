/* sim/world.h - one virtual clock, one seed: machines, the networks between them, what goes wrong.
 *
 * Owner:   main.c, one world a run. Threads: one.
 * The members are the shipped objects (daemon/node and all below it); the clients are the same code
 * in plain mode. Exchanged are clocks, sockets, randomness and disks. Everything that happens is an
 * event in one queue, ordered by (time, order of making), and is hashed into world.digest: two runs
 * of a seed have the same digest. */
#pragma once
#include "base/heap.h"
#include "base/rng.h"
#include "node/node.h"
#include "sim/oracle.h"
#include "sim/receiver.h"
#include "wg/aead.h"
#include "wg/allowedips.h"

#define SIM_MEMBERS_MAX 5
#define SIM_CLIENTS_MAX 20
#define SIM_MACHINES_MAX (SIM_MEMBERS_MAX + SIM_CLIENTS_MAX + 1)
#define SIM_VIPS_MAX 5
#define SIM_QUEUE_MAX 256  /* datagrams kept for a frozen machine */
#define SIM_WORK_MAX 65536 /* events in all */
#define SIM_WAN_DELAY_NS (2 * NS_PER_MS)
#define SIM_LAN_DELAY_NS (150 * NS_PER_US)
#define SIM_REFRESH_NS (10 * NS_PER_S) /* as rendered */
#define SIM_LAN_DEAD_NS (600 * NS_PER_MS)
#define SIM_ADVERT_NS (100 * NS_PER_MS)
#define SIM_LANS 3                           /* of each member, a bit each; every VIP needs both */
#define SIM_ANNOUNCE_LATE_NS (8 * NS_PER_MS) /* switches learn of a new master within this */
#define SIM_REMOVED_KEPT_NS (3 * NS_PER_S)
#define SIM_POOL_PEERS 8 /* that operators fight over */
#define SIM_RECORDED_MAX 4096
#define SIM_APART_NS (5 * NS_PER_S)    /* T_FRESH and how late it is noticed */
#define SIM_GREET_NS (100 * NS_PER_MS) /* from a connection to what a snapshot tells */
#define SIM_FORBIDDEN (1ull << 63)     /* in the id of an inner packet: nobody may deliver it */
#define SIM_PACKET_LEN 44              /* IPv4 header, UDP-like payload with an id */

struct world;
struct machine;

enum event_kind {
    EVENT_DATAGRAM,  /* outer: reaches an address */
    EVENT_INNER,     /* a host behind @machine (or the server) sends a packet */
    EVENT_FRAME,     /* sync channel */
    EVENT_LINK,      /* the channel between two members comes up */
    EVENT_HANDSHAKE, /* the pool's turn */
    EVENT_COMMIT,
    EVENT_TICK, /* a machine's timer */
    EVENT_VRRP, /* a member's keepalived */
    EVENT_FAULT,
    EVENT_CHECK, /* liveness probes */
};

struct event {
    struct heap_entry entry; /* at_ns */
    uint64_t order;
    enum event_kind kind;
    struct machine *machine;
    uint64_t life; /* of @machine when it was made; a dead life's events are void */
    uint64_t a, b;
    void *ptr;
    struct endpoint from, to;
    size_t len;
    uint8_t *bytes;
};

struct held {
    struct held *next;
    uint32_t index;
    uint64_t deadline_ns;
    struct endpoint from;
    uint16_t slot;
    size_t len;
    uint8_t wire[SIM_PACKET_LEN + 64], plain[SIM_PACKET_LEN + 16];
};

struct staged {
    struct staged *next;
    uint64_t peer_id;
    uint8_t packet[SIM_PACKET_LEN];
};

struct vrrp { /* a model of keepalived on one member, one VIP */
    bool master;
    uint64_t heard_ns; /* last advert of an equal or better master */
    uint64_t announced_ns;
    int weight;
    bool fit;
};

struct machine {
    struct world *world;
    unsigned number; /* index in world.machine */
    uint8_t member;  /* id, 0: a client */
    struct endpoint address;
    bool alive, frozen, frozen_daemon;
    uint64_t life; /* counts starts */
    uint64_t boot_offset_ns;
    int64_t clock_ahead_ns;
    uint64_t seq; /* durable */
    bool disk_full;
    uint64_t life_id;               /* unique in the run */
    uint64_t kept_seq;              /* of a backup of the start counter */
    uint64_t life_number, seq_from; /* a lost counter begins anew after seq_from */
    bool seq_lost;                  /* the next start cannot prove its number (N6) */
    uint64_t stamps_until_ns;       /* durable (H5) */
    bool under_load;                /* H10 */
    int drift_ppm;                  /* of its clocks' rate */
    uint64_t drift_from_ns;
    enum receiver_kind receiver; /* a client's */
    bool has_backup;             /* of the database, to be rolled back to */
    bool earlier_build;          /* it says so in its greeting (ADR 0015) */
    unsigned revokes_open[SIM_POOL_PEERS];
    uint64_t revoked_gen[SIM_POOL_PEERS]; /* one more than the highest that it confirmed */
    struct node *node;
    struct gate gate;
    struct store *store;
    struct aead *aead;
    struct rng rng;
    /* What the engine keeps. */
    struct identity *identity;
    struct cookie_secret *cookies;
    struct allowedips allowed;
    struct entry *by_index; /* keypairs and initiations */
    struct remote_entry *remotes;
    struct held *held;
    struct staged *staged;
    unsigned staged_count;
    bool address_present[SIM_VIPS_MAX + 1], address_kept[SIM_VIPS_MAX + 1];
    uint64_t lan_heard_ns; /* when its LAN last carried something */
    bool lans_told, lans_alive;
    unsigned wants_addresses;               /* bit n: VIP slot n */
    unsigned drained;                       /* durable; as wants_addresses */
    struct flap_memory flaps[SIM_VIPS_MAX]; /* of this boot */
    unsigned flap_count;
    uint8_t route[SIM_VIPS_MAX + 1];      /* its kernel's: member that has the VIP's pool */
    uint8_t guest_route[SIM_CLIENTS_MAX]; /* of single clients; 0: none */
    bool suppress_facts;
    uint64_t tick_at_ns;
    uint64_t ticked_real_ns; /* its clock at the last tick */
    struct event *queued[SIM_WORK_MAX];
    unsigned queued_count, queued_datagrams;
    struct vrrp vrrp[SIM_VIPS_MAX + 1];
    uint64_t froze_ns, checked_ns;
    bool link_up[SIM_MEMBERS_MAX + 1], link_lossy[SIM_MEMBERS_MAX + 1];
    bool greeted[SIM_MEMBERS_MAX + 1];
    struct codec_key link_key[SIM_MEMBERS_MAX + 1];
    uint64_t linked_ns[SIM_MEMBERS_MAX + 1];
    uint64_t link_serial[SIM_MEMBERS_MAX + 1], frame_at_ns[SIM_MEMBERS_MAX + 1];
    /* A client's traffic. */
    uint64_t up_every_ns, down_every_ns;
    uint64_t last_up_ns, last_down_ns; /* deliveries, for liveness */
    struct public_key key;
    unsigned home;  /* VIP whose pool a client's inner address is of */
    unsigned talks; /* VIP that it was last told to use */
};

struct world {
    uint64_t now_ns;
    uint64_t rng_state[4];
    uint64_t order;
    struct heap events;
    uint64_t events_run;
    uint64_t digest;
    bool trace;
    unsigned members, clients;
    struct machine machine[SIM_MACHINES_MAX];
    unsigned vips;
    struct endpoint vip[SIM_VIPS_MAX + 1];
    unsigned arp[SIM_VIPS_MAX + 1]; /* member that the switches know for the VIP; 0: none */
    unsigned most_hops;             /* that a packet of the LAN was passed on */
    /* Two networks that do not see each other: where each client is, and each packet of the LAN. */
    bool divided;
    uint8_t side[SIM_CLIENTS_MAX], divided_sides[2];
    uint64_t found_ns[SIM_CLIENTS_MAX], all_found_ns;        /* members reach it from then on */
    bool cut_sync[SIM_MEMBERS_MAX + 1][SIM_MEMBERS_MAX + 1]; /* one way each */
    bool cut_vrrp[SIM_MEMBERS_MAX + 1][SIM_MEMBERS_MAX + 1];
    bool cut_wan[SIM_MEMBERS_MAX + 1], cut_wan_in[SIM_MEMBERS_MAX + 1];
    bool no_handshakes; /* the attacker drops them all */
    bool everywhere;    /* a hub port: what comes for the VIP reaches every member (F31) */
    uint64_t lives;
    unsigned loss_percent, duplicate_percent;
    uint64_t jitter_ns;
    uint64_t sync_lag_ns; /* replication is so far behind */
    bool operators;       /* the stores are what this run is about: no traffic, no VRRP */
    const char *disk;     /* directory for databases; NULL: in memory, and no disk ever fails */
    bool rolled_back;
    bool promoted; /* by an operator: VIPs need not come back to whom they prefer */
    bool hole;     /* two members never hear each other again */
    uint64_t edits, revocations;
    bool attacker, attacker_near, attacker_stays; /* stays: it sends nothing from its own address */
    struct recorded {                             /* what the attacker has */
        struct endpoint from, to;
        size_t len;
        uint8_t bytes[192];
    } * recorded;
    unsigned recorded_count, recorded_next, replay_one_in, forge_one_in;
    /* It replays and delays from one, and sends what it made up from the other. */
    struct endpoint attacker_address, forger_address;
    bool attacker_believed; /* data from it was the first copy to get through */
    uint64_t packet_id;
    uint64_t faults_end_ns;
    bool mixed; /* some members are of an earlier build */
    struct damping_rules damping;
    uint64_t raises_alone, raises_together; /* messages to those, and to the others */
    bool probes;   /* members ask something on their LANs; else keepalived announces now and then */
    bool warm;     /* session keys never leave a member */
    bool lossless; /* only planned moves: every packet is delivered, no session is made anew */
    struct oracle *oracle;
    uint8_t hub_private[32], cookie_key[32];
};

/* world.c */
/* @vips > 1: active/active, VIP n prefers member n. */
void world_init(struct world *w, uint64_t seed, unsigned members, unsigned clients, unsigned vips);
uint16_t world_slot(const struct world *w, const struct endpoint *at); /* VIP; 0: none */
/* By preference, from 0. */
unsigned world_place(const struct world *w, uint16_t slot, uint8_t member);
/* No packet for a pool may go in circles, at no moment. */
void world_check_routes(struct world *w, uint16_t slot);
void world_done(struct world *w);
uint64_t world_random(struct world *w, uint64_t below);
struct event *world_event(struct world *w, uint64_t delay_ns, enum event_kind kind,
                          struct machine *m);
/* Bytes on the outer network, with loss, duplication and the attacker's ear. */
void world_send(struct world *w, struct machine *from, const struct endpoint *source,
                const struct endpoint *to, const void *bytes, size_t len);
void world_run(struct world *w, uint64_t until_ns);
void world_trace(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
void world_note(struct world *w, const void *bytes, size_t len); /* into the digest */

/* Members that @m is not in touch with, or that cannot hear it (a bit each). */
unsigned world_apart(const struct world *w, const struct machine *m);

/* machine.c */
struct oracle_who machine_who(const struct machine *m);
/* A member's own look at what all of them hold: ceilings (R2, R8), keys that are too old (T5). */
void machine_check(struct machine *m);
struct instant machine_now(const struct machine *m);
int machine_start(struct machine *m); /* a new life */
void machine_crash(struct machine *m);
void machine_roll_back(struct machine *m); /* a dead one's disk */
void machine_freeze(struct machine *m, bool daemon_only);
void machine_thaw(struct machine *m);
void machine_event(struct machine *m, struct event *e);
void machine_settle(struct machine *m); /* what ops left to be done after an event */
void machine_add_peers(struct machine *m);
/* An inner packet from behind the machine. */
void machine_inner(struct machine *m, const uint8_t *packet, size_t len);

/* peers.c */
struct public_key peers_key(unsigned n);
void peers_say(struct machine *m, unsigned n, bool remove); /* add, or remove, the pool's peer */
void peers_edit(struct machine *m);
void peers_revoked(struct machine *m, unsigned n, int err, uint16_t unreached);
void peers_check(struct machine *m);
void peers_converged(struct world *w);

/* vrrp.c */
enum vrrp_turn { VRRP_ADVERT, VRRP_HEAR, VRRP_ANNOUNCE };
void vrrp_run(struct machine *m, uint16_t slot, enum vrrp_turn turn);
void vrrp_event(struct machine *m, uint64_t delay_ns, uint16_t slot, enum vrrp_turn turn);

/* faults.c */
void faults_plan(struct world *w, unsigned count, uint64_t from_ns, uint64_t to_ns);
void traffic_plan(struct world *w, struct machine *client);
void moves_plan(struct world *w, unsigned count);
void move_to(struct machine *m, uint16_t slot); /* an operator promotes it */
void faults_plan_store(struct world *w, uint64_t from_ns, uint64_t to_ns);
void faults_run(struct world *w, struct event *e);
