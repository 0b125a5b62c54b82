/* wg/fact.h - small facts that packet threads tell main; ids, never pointers, since main may have
 * retired the object meanwhile. */
#pragma once
#include "model/endpoint.h"
#include <stdint.h>

enum fact_kind {
    FACT_EFFECTS,        /* @effects of the keypair with local index @index */
    FACT_ARM,            /* peer @peer_id's timers must run */
    FACT_NEED_SESSION,   /* peer @peer_id has packets to send and no key */
    FACT_ENDPOINT,       /* peer @peer_id's endpoint moved */
    FACT_READ_ADDRESSES, /* a datagram reached VIP slot @index, which we do not own (O1) */
    FACT_GAP,            /* the thread stood still for @value_ns (N9, R12) */
    FACT_UNKNOWN_INDEX,  /* data for an unknown receiver index @index, from @source, on VIP slot
                            @value_ns */
    FACT_LOST_SOCKET,    /* sending from a local address failed; peer @peer_id */
    FACT_WRONG_VIP, /* authentic data with counter @value_ns came from @source to VIP slot @effects,
                     * which we own, under the key with local index @index, whose VIP we do not own
                     * (O10) */
    FACT_DROPPED,   /* data of peer @peer_id was dropped, for the rx_verdict @index; @source: where
                     * authentic data came from, with counter @value_ns */
};

struct fact {
    enum fact_kind kind;
    unsigned effects;
    uint32_t index;
    uint64_t peer_id, value_ns;
    struct endpoint source;
};
