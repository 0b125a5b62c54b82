/* unit/proto/samples.h - random sync messages that are valid, edge values included. */
#pragma once
#include "base/rng.h"
#include "proto/msg.h"

/* What it owns is allocated; sync_msg_clear() it. Positions are set where the kind has one. */
void sample_msg(const struct rng *rng, enum sync_kind kind, struct sync_msg *ret);
struct peer *sample_peer(const struct rng *rng, unsigned v4_prefixes, unsigned v6_prefixes);
bool sample_equal(const struct sync_msg *a, const struct sync_msg *b);
