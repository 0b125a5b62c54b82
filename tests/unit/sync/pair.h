/* unit/sync/pair.h - two channels in memory, joined by two byte streams that a test can touch. */
#pragma once
#include "lib/test.h"
#include "sync/channel.h"

#define STREAM_MAX (4u << 20)
#define HEARD_MAX 8192

struct side {
    struct channel_identity id;
    struct secret32 *private_key, *cluster_key;
    struct channel *channel;
    struct test_rng rng;
    uint8_t *out;             /* written, not yet carried */
    size_t out_len, out_room; /* room: what reserve gives at most */
    unsigned ups, failures;
    uint8_t up_member;
    const struct codec_key *codec_key;
    char reason[160];
    struct {
        uint32_t len, sum;
        struct codec_key codec; /* as it was when the frame came */
    } heard[HEARD_MAX];
    unsigned heard_count;
};

struct pair {
    struct side a, b; /* member 2, dials; member 1, is dialled */
    uint64_t now;
};

struct pair *pair_new(uint64_t seed);
void pair_free(struct pair *p);
void side_open(struct side *s, uint64_t now); /* (again) with an empty stream */
void pair_start(struct pair *p);              /* both open, a dials; nothing carried yet */
/* Carries what @from has written to @to, in pieces of @piece bytes (0: whole). */
void carry(struct pair *p, struct side *from, struct side *to, size_t piece);
void pair_settle(struct pair *p); /* both ways until nobody has anything to say */
void pair_up(struct pair *p);     /* start, settle, check */
uint32_t sum_of(const uint8_t *p, size_t len);
