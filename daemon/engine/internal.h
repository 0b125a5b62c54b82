/* engine/internal.h - the engine's records; private to daemon/engine.
 *
 * Owner: struct engine. Threads: said at each field's group; "main" is the thread of main_loop. */
#pragma once
#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/ring.h"
#include "engine/engine.h"
#include "engine/gro.h"
#include "engine/gso.h"
#include "engine/rcu.h"
#include "engine/wake.h"
#include "os/slice.h"
#include "os/tun.h"
#include "os/udp.h"
#include "wg/aead.h"
#include "wg/ratelimit.h"
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <uv.h>

#define WORKERS_MAX 64
#define PACKET_THREADS_MAX (WORKERS_MAX + 1) /* the workers and the door */
#define POOL_THREADS_MAX 16
#define BATCH_MAX 64       /* datagrams, or TUN packets, of one wake-up (performance.md 7) */
#define SOCKET_ADDRS_MAX 8 /* addresses of one VIP slot */
#define HEADROOM sizeof(struct message_data)
#define PACKET_TAILROOM (MESSAGE_PADDING + AEAD_TAG_LEN)
/* A burst, or a message with the largest inner packet, padded, or a TUN packet with its virtio
 * header; a whole number of cache lines. */
#define IO_BUFFER_LEN 65664
static_assert(IO_BUFFER_LEN >= HEADROOM + TUN_PACKET_MAX + PACKET_TAILROOM &&
                  IO_BUFFER_LEN >= UDP_BURST_MAX && IO_BUFFER_LEN >= VNET_HDR_LEN + TUN_PACKET_MAX,
              "room for any TUN packet");
static_assert(HEADROOM >= VNET_HDR_LEN, "an opened packet gets its virtio header in front of it");
#define RECEIVES_MAX 32 /* receive buffers of a worker: each holds a burst */
#define RECEIVES_BUSY 4 /* of them, when bursts are long: what is received stays in the cache */
#define BURSTS_MAX 8    /* send buffers of a worker */
#define SEND_AT_BYTES (64u << 10) /* as much is sealed and sent before more is read */
static_assert(BATCH_MAX >= UDP_SEGMENTS_MAX, "one batch seals a burst");
static_assert(BATCH_MAX <= COUNTER_RUN_MAX, "one take of counters serves a batch");
#define FACT_RING_RECORDS 4096
#define RESULTS_MAX 1024     /* handshake results that main has not taken */
#define PEER_LOCKS 256       /* shared by all peers */
#define STAGED_ALL_MAX 16384 /* packets staged for all peers */
#define STAGED_BYTES_MAX (32u << 20)
#define RESERVED_MAX (1u << 18)  /* indices kept out of use (I1) */
#define GAP_NS (200 * NS_PER_MS) /* G_GAP */
#define BEAT_MS 50
#define HOLD_TICK_MS 1
/* Handshakes that wait while the door serves, for each thread more: a batch. */
#define JOBS_PER_THREAD HANDSHAKE_BATCH_MAX
#define SERVED_AT_ONCE 4  /* handshakes before main is told of their results, while more wait */
#define DISCARD_MAX 65536 /* more than a full socket or TUN queue holds */
#define RARE_FACT_NS NS_PER_MS /* facts that strangers can cause, per worker and kind */
#define UNREACHABLE_PER_S 1000 /* ICMP errors of one worker, as icmp_msgs_per_sec */
#define UNREACHABLE_BURST 50
#define LOAD_DEPTH (HANDSHAKE_QUEUE_MAX / 8) /* H10 */
#define LOAD_DELAY_NS (10 * NS_PER_MS)
#define LOAD_STICKY_NS (1 * NS_PER_S)
#define DROPS_TOLD 32                  /* of one worker: dropped data that main heard of lately */
#define DROP_AGAIN_NS (1 * NS_PER_S)   /* the same again, of the same peer */
#define DROP_OTHER_NS (50 * NS_PER_MS) /* of another peer, in the same place */
#define REPEAT_SETS 1024               /* recent initiations of one thread (H11) */
#define REPEAT_WAYS 4

/* Written by one thread each, read by any. */
struct stats {
    _Atomic uint64_t rx[RX_VERDICTS], tx[TX_VERDICTS];
    _Atomic uint64_t handshake[16];
    _Atomic uint64_t rx_no_peer, tx_no_peer, mac1_bad, handshake_queue_full, staged_dropped,
        facts_dropped;
    _Atomic uint64_t rx_bytes, tx_bytes, udp_send_errors, tun_write_errors, initiation_repeats;
    _Atomic uint64_t rx_bursts, tx_bursts, tx_fallbacks, tun_joined, tun_cut, tun_malformed;
};

static inline void count_add(_Atomic uint64_t *c, uint64_t n)
{
    uint64_t v = atomic_load_explicit(c, memory_order_relaxed);

    atomic_store_explicit(c, v + n, memory_order_relaxed);
}

/* ---- tables (table.c) ---- */

/* In the lowest bits of index_entry.use; the rest is the pointer, or the time when it is free. */
enum index_use { INDEX_KEYPAIR, INDEX_INITIATION, INDEX_RESERVED, INDEX_USES = 4 };

/* One receiver index. Main links and unlinks and says what it is for, all threads look. There is
 * one for each replica. */
struct index_entry {
    struct cds_lfht_node node;
    union {                   /* (main) */
        struct list reserved; /* after its use was over (I1) */
        struct rcu_head rcu;  /* after it was unlinked, and is on no list any more */
    };
    _Atomic uint64_t use;
    uint64_t peer_id;
    uint32_t index;
    /* keypair_effect bits that main has not heard of; whoever sets the first one sends the fact, so
     * an effect is late at most, never lost (R10 needs EFFECT_ADOPTED to arrive). */
    _Atomic uint8_t effects;
    bool was_initiation; /* (main) a reserved one */
};
static_assert(EFFECT_UNFIT <= UINT8_MAX, "room for all effects");

static inline void *index_used(const struct index_entry *i, enum index_use as)
{
    uint64_t use = atomic_load_explicit(&i->use, memory_order_acquire);

    return use % INDEX_USES == as ? (void *)(uintptr_t)(use - as) : NULL;
}

/* NULL: it is for something else. */
static inline struct keypair *index_keypair(const struct index_entry *i)
{
    return index_used(i, INDEX_KEYPAIR);
}

static inline struct initiation *index_initiation(const struct index_entry *i)
{
    return index_used(i, INDEX_INITIATION);
}

/* A packet that waits for a key; data holds the message's headroom, packet and room for the tag. */
struct staged {
    struct staged *next;
    size_t len, room; /* of the packet; of data */
    uint8_t data[];
};

/* facts of a peer that main has not heard of, coalesced like effects */
enum peer_fact {
    PEER_FACT_ARM = 1 << 0,
    PEER_FACT_NEED_SESSION = 1 << 1,
    PEER_FACT_ENDPOINT = 1 << 2,
    PEER_FACT_LOST_SOCKET = 1 << 3,
};

/* There may be a million: what is in @peer is not here again, and it has no lock of its own. */
struct peer_entry {
    struct cds_lfht_node by_key, by_id;
    struct rcu_head rcu;
    struct wg_peer *peer;                 /* retired after the entry: readers may follow it */
    struct remote_secret *_Atomic secret; /* the rest of its remote is in peer */
    /* The rest but facts under peer_lock(). Workers and main: a ring, the newest, whose next is the
     * oldest. */
    struct staged *staged_last;
    uint16_t staged_count;
    _Atomic uint8_t facts;
    bool removed : 1; /* nothing is staged any more */
    /* Handshake threads and main. */
    bool has_stamp : 1, has_mac1 : 1;
    uint8_t stamp[TAI64N_LEN], mac1[16];
};
static_assert(STAGED_PACKETS_MAX + (PACKET_THREADS_MAX + 1) * BATCH_MAX <= UINT16_MAX,
              "batches that are put back may exceed the bound for a moment");

/* Held for a few instructions, and never two at once: they are shared by peers. */
pthread_mutex_t *peer_lock(struct engine *e, const struct peer_entry *p);

struct index_entry *index_find(const struct engine *e, uint32_t index);
struct peer_entry *peer_find(const struct engine *e, uint64_t id);
struct peer_entry *peer_find_key(const struct engine *e, const struct public_key *key);
int tables_init(struct engine *e);
void tables_done(struct engine *e);
/* (main) Calls for every entry. */
void tables_scan(struct engine *e, void (*index)(struct engine *e, struct index_entry *i),
                 void (*peer)(struct engine *e, struct peer_entry *p));

/* ---- sockets (sockets.c) ---- */

/* All sockets of a slot; immutable once published, freed after a grace period. */
struct socket_group {
    uint16_t slot, port;
    unsigned addr_count;
    struct socket_addr {
        struct endpoint at; /* zero address: any of its family */
        bool v6, any;
        int fds[PACKET_THREADS_MAX];
        bool no_bursts[PACKET_THREADS_MAX]; /* of each thread, written and read by it alone */
    } addrs[SOCKET_ADDRS_MAX];
};

/* The sockets to send to @to from, by preference those bound to @local. NULL: none. */
struct socket_addr *sockets_find(const struct engine *e, uint16_t slot, const struct endpoint *to,
                                 const struct endpoint *local);
void sockets_close_all(struct engine *e);

/* ---- a thread that seals and sends (lane.c): the workers and main ---- */

struct lane {
    struct engine *e;
    unsigned id; /* which socket of each group it sends from */
    struct aead *aead;
    struct stats stats;

    /* Facts to main. */
    struct ring facts;
    bool told;                  /* main is to be woken at the end of this turn */
    bool told_late;             /* or when gate.patience_ns is over */
    _Atomic bool facts_overrun; /* main must look at the bits of all entries */

    /* Sealed messages to be sent from one socket. */
    struct udp_tx *udp;
    struct udp_datagram out[BATCH_MAX];
    struct wg_peer *out_peer[BATCH_MAX];
    unsigned out_count;
    struct socket_addr *out_from;
};

int lane_init(struct lane *l, struct engine *e, unsigned id);
void lane_done(struct lane *l);
void lane_wake_main(struct lane *l); /* end of turn */
/* Facts. */
void lane_tell(struct lane *l, const struct fact *f); /* may be lost, then counted */
void lane_tell_effects(struct lane *l, uint32_t index, unsigned effects);
void lane_tell_entry_effects(struct lane *l, struct index_entry *i, unsigned effects);
void lane_tell_peer(struct lane *l, struct peer_entry *p, unsigned facts);
void lane_tell_peer_id(struct lane *l, uint64_t peer_id, unsigned facts);
/* Where a peer's packets go. */
struct route {
    uint16_t slot;
    struct socket_addr *from;
    struct endpoint to, local;
    uint32_t local_ifindex;
};
bool lane_route(struct lane *l, struct wg_peer *p, struct route *ret); /* false: nowhere */
/* Seal packets of one peer and queue them for sending; on any verdict but TX_OK none is touched.
 * Buffers belong to the lane until lane_send(). */
struct packet {
    uint8_t *data; /* the message; the packet begins at HEADROOM, PACKET_TAILROOM follows it */
    size_t len;    /* of the packet */
    size_t padded; /* lane_padded(), once: the MTU may change at any time */
};
enum tx_verdict lane_seal(struct lane *l, struct wg_peer *p, const struct route *r,
                          struct packet *packets, unsigned n, uint64_t now_ns);
/* The same for packets that lie one behind the other, as the messages of one burst. */
enum tx_verdict lane_seal_burst(struct lane *l, struct wg_peer *p, const struct route *r,
                                struct packet *packets, unsigned n, uint64_t now_ns);
void lane_send(struct lane *l); /* what was queued */
/* The padding stops at the MTU, so that a full packet does not grow past it. */
size_t lane_padded(const struct engine *e, size_t len);

/* ---- staging (staging.c) ---- */

bool staging_add(struct lane *l, struct peer_entry *p, const uint8_t *packet, size_t len);
bool staging_any(struct engine *e, struct peer_entry *p);
void staging_flush(struct lane *l, struct peer_entry *p, uint64_t now_ns);
void staging_drop(struct lane *l, struct peer_entry *p);
/* The peer is being removed: what comes from here on is dropped, too. */
void staging_close(struct lane *l, struct peer_entry *p);
void staging_take(struct engine *e, struct peer_entry *p, staged_fn *fn, void *ctx);

/* ---- workers ---- */

struct socket_poll { /* a worker's, one for each of its sockets */
    uv_poll_t handle;
    struct worker *w;
    struct socket_group *group;
    const struct socket_addr *addr;
    int fd;
    unsigned faults;
    struct list all;
};

/* A synchronous call on a worker's thread. */
struct worker_call {
    int (*fn)(struct worker *w, void *arg);
    void *arg;
    int result;
    bool done;
    struct worker_call *next;
};

/* An authentic packet that waits for an ack (R6). */
struct held {
    struct list all; /* oldest first */
    uint32_t index;
    uint64_t counter, deadline_ns;
    uint16_t slot;
    struct endpoint source, local;
    uint32_t local_ifindex;
    size_t wire_len, len;
    uint8_t data[]; /* VNET_HDR_LEN bytes of room, then the packet */
};

/* Packets from the TUN on their way to one peer, laid out as the messages of one burst. */
struct burst {
    struct wg_peer *peer;
    uint8_t *buf; /* IO_BUFFER_LEN */
    size_t len, segment;
    unsigned count;
    bool ended; /* a shorter message, the last one */
    struct packet packets[UDP_SEGMENTS_MAX];
};

struct worker {
    struct engine *e;
    unsigned id;
    struct lane lane;
    pthread_t thread;
    bool started, loop_made, loop_ended;
    uv_loop_t loop;
    uv_prepare_t prepare;
    struct wake wake;
    uv_timer_t beat, hold_timer, late;
    uv_idle_t serving; /* the door's, while jobs wait: it polls without sleeping */
    bool awake;        /* between the first callback of a turn and the poll */

    /* Orders of other threads, looked at when woken. */
    pthread_mutex_t call_lock;
    pthread_cond_t call_done;
    struct worker_call *calls;
    bool gone; /* no more calls are taken */
    _Atomic bool stop, examine_held, discard;
    _Atomic uint64_t resume_upto;

    /* Gaps (R12, N9): main takes gap_ns, then delivers and notes gap_delivered. */
    uint64_t alive_ns; /* when it last looked at the clock */
    bool paused;
    _Atomic uint64_t gap_serial, gap_ns;
    uint64_t gap_delivered; /* (main) */

    /* TUN. */
    int tun_fd, tun_write_fd;
    uv_poll_t tun_poll;
    bool tun_polled;
    uint8_t *tun_buffer; /* what was read */
    struct burst bursts[BURSTS_MAX];
    unsigned burst_count, burst_bytes;
    struct gro gro;

    /* UDP. */
    struct udp_rx *udp;
    unsigned receives; /* buffers to offer next time */
    bool more;         /* the last receive filled all of them */
    struct list polls;

    struct list held;
    _Atomic unsigned held_count;

    /* Rates. */
    uint64_t read_addresses_ns, unknown_index_ns, wrong_vip_ns;
    struct drop_told {
        uint64_t peer_id, at_ns;
        enum rx_verdict verdict;
    } drops[DROPS_TOLD];
    uint64_t unreachable_tokens_ns; /* time that may still be spent on errors */
    uint64_t unreachable_seen_ns;
    struct repeats *repeats;
};

uint64_t worker_turn(struct worker *w); /* every callback begins with it; the time, BOOTTIME */
int worker_init(struct worker *w, struct engine *e, unsigned id);
int worker_start(struct worker *w);
void worker_stop(struct worker *w); /* and join */
void worker_done(struct worker *w);
/* (main) Run @fn on the worker's thread and wait for it. */
int worker_run(struct worker *w, int (*fn)(struct worker *w, void *arg), void *arg);
int worker_add_sockets(struct worker *w, void *socket_group);
int worker_remove_sockets(struct worker *w, void *socket_group);
void worker_tun_failed(struct worker *w, int err);
void worker_hold_tick(uv_timer_t *t);

/* rx.c */
void rx_init(struct worker *w);
void rx_udp(struct worker *w, struct socket_poll *s, uint64_t now_ns);
/* A packet that was accepted: what it means for its peer, and to the TUN. */
struct arrival {
    struct keypair *k;
    uint64_t counter;
    uint16_t slot;
    const struct endpoint *source, *local;
    uint32_t local_ifindex;
    size_t wire_len;
    uint8_t *packet; /* what lies before it may be overwritten, VNET_HDR_LEN bytes */
    size_t len;
};
/* It may wait in w->gro until rx_flush(); @packet must stay as long. */
void rx_flush(struct worker *w);
void rx_accept(struct worker *w, const struct arrival *a, uint64_t now_ns);
/* hold.c */
void hold_add(struct worker *w, struct index_entry *entry, const struct arrival *a,
              uint64_t now_ns);
void hold_examine(struct worker *w, bool all, uint64_t now_ns);
void hold_free(struct worker *w);
/* tx.c */
int tx_init(struct worker *w);
void tx_done(struct worker *w);
void tx_tun(struct worker *w, uint64_t now_ns);
/* handshake.c: what a worker does with messages of type 1 to 3 */
void rx_handshake(struct worker *w, uint16_t slot, const struct udp_datagram *d, uint64_t now_ns);
struct repeats *repeats_new(void);
/* True: an initiation with this mac1 was here lately (H11); else it is remembered. */
bool repeats_seen(struct repeats *r, const uint8_t mac1[16]);
/* unreachable.c: an ICMP error back to the sender of @packet; its length, 0: there is none. */
#define UNREACHABLE_LEN_MAX 1280
size_t unreachable_make(const uint8_t *packet, size_t len, uint8_t ret[UNREACHABLE_LEN_MAX]);

/* ---- handshake threads (pool.c) ---- */

struct result_node {
    struct result_node *next;
    struct handshake_result r;
};

struct pool_thread {
    struct engine *e;
    pthread_t thread;
    bool started;
    bool untold;     /* main was not woken for some results yet */
    unsigned served; /* jobs, since it was */
    struct stats stats;
};

struct pool {
    struct pool_thread door, threads[POOL_THREADS_MAX];
    unsigned count;
    /* The door serves alone while few wait: a thread that is woken for each message costs as much
     * again as its hashes. The others are woken when the queue grows. */
    _Atomic bool door_awake;
    _Atomic unsigned awake; /* of @threads */
    struct ratelimit *ratelimit;
    /* One ring for each producer, so that no worker takes a lock (H10): the workers' and the
     * door's, then main's. Those who serve share the consumer's side under @take_lock. */
    struct ring *jobs;
    unsigned rings;
    _Atomic unsigned depth; /* in all rings */
    sem_t available;
    pthread_mutex_t take_lock;
    unsigned turn;
    _Atomic bool stop;
    _Atomic uint64_t load_until_ns; /* H10 */
    /* Results to main. */
    pthread_mutex_t result_lock;
    pthread_cond_t result_room;
    struct result_node *first, *last;
    unsigned result_count, reserved; /* RESULTS_MAX together */
    /* For main to take. */
    pthread_mutex_t refusal_lock;
    struct engine_refusal refusals[ENGINE_REFUSALS_MAX];
    unsigned refusal_count;
};

int pool_init(struct engine *e);
int pool_start(struct engine *e);
void pool_stop(struct engine *e);
void pool_done(struct engine *e);
/* @producer: a packet thread's number, or their count for main. False: full. */
bool pool_push(struct engine *e, unsigned producer, const struct handshake_job *job);
/* Serve what waits in the queue, up to HANDSHAKE_BATCH_MAX jobs. False: nothing did, or main has
 * not taken enough results (which the door does not wait for). */
bool pool_serve(struct pool_thread *t);
void pool_tell(struct pool_thread *t); /* main, of its results */
/* Wake one of @threads, if fewer than @wanted of them are. */
void pool_call(struct pool *p, unsigned wanted);
void pool_deliver(struct engine *e); /* (main) results to ops */

/* ---- the door (door.c): the packet thread that gets what is no data ---- */

struct worker *door_of(struct engine *e);
int door_init(struct worker *w);
void door_begin(struct worker *w); /* on its own thread: there may be jobs */

/* ---- the engine ---- */

struct retired {
    struct rcu_head rcu;
    struct engine *e;
    void *object;
    void (*free_fn)(void *);
    struct retired *next;
};

struct engine {
    struct engine_config config; /* tun_fds is not kept */
    struct engine_ops ops;
    struct gate *gate;
    struct cds_lfht *by_index, *by_key, *by_id;
    pthread_mutex_t peer_locks[PEER_LOCKS];
    unsigned index_count, peer_count;
    struct list reserved; /* (main) index_entry.reserved, oldest first */
    unsigned reserved_count;
    struct allowedips allowedips;
    struct identity *_Atomic identity;
    struct cookie_secret *_Atomic cookies;
    _Atomic unsigned mtu;
    uint32_t mark;
    struct socket_group *_Atomic groups[VIPS_MAX];

    struct worker *workers;
    unsigned worker_count; /* packet threads: config.workers, then the door */
    struct pool pool;
    struct lane main;
    bool started, stopped;

    _Atomic unsigned held_count; /* of all workers (R6) */
    _Atomic unsigned staged_count, staged_bytes;
    _Atomic uint64_t send_errors; /* engine_send(), any thread */
    _Atomic int failed;           /* first error of a TUN or a loop */
    bool failed_told;

    struct wake *wake;         /* main's; freed when it is closed */
    _Atomic uint64_t heard_ns; /* when main last took all facts */
    pthread_mutex_t retired_lock;
    struct retired *retired_ready; /* past their grace period */
};

void engine_wake_main(struct engine *e); /* any thread */
void *alloc_aligned(size_t len);         /* zeroed, on a cache line of its own; free() it */
