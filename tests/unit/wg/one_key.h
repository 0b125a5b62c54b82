/* unit/wg/one_key.h - each packet of a key, decided at one gate: the verdicts in short.
 *
 * Owner: the one test file that includes it. Threads: one. */
#pragma once
#include "fixture.h"

#define NOW (T0 + 2 * NS_PER_S)

static struct gate gate;

static inline enum rx_verdict rx(struct keypair *k, uint64_t now_ns, uint64_t counter,
                                 unsigned *effects)
{
    return keypair_receive(k, &gate, now_ns, counter, effects);
}

/* Verdict of a packet whose effects do not matter here. */
static inline enum rx_verdict in(struct keypair *k, uint64_t counter)
{
    unsigned effects;

    return rx(k, NOW, counter, &effects);
}

static inline enum tx_verdict out(struct keypair *k, uint64_t now_ns, uint64_t *first,
                                  unsigned *effects)
{
    return keypair_send(k, &gate, now_ns, 1, first, effects);
}

/* The setup of a test. */
static inline int cluster(void **state)
{
    gate_for_cluster(&gate);
    return 0;
}

#define C(name) TS(name, cluster, NULL)
