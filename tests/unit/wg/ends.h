/* unit/wg/ends.h - two ends of a handshake over the pure step: an environment each, in memory. */
#pragma once
#include "base/secret.h"
#include "lib/test.h"
#include "wg/cookie.h"
#include "wg/handshake.h"

#define INITIATOR_ID 11 /* the initiator as the responder's peer */
#define RESPONDER_ID 22

struct end {
    struct handshake_env env;
    struct identity self;
    struct remote peer; /* the other end */
    struct initiation initiation;
    bool has_initiation, has_stamp, has_mac1;
    uint8_t stamp[TAI64N_LEN], mac1[16];
    uint32_t next_index;
    struct cookie_secret cookies;
    /* What the next draws of randomness give, then @seeded goes on. */
    const uint8_t *script;
    size_t script_len;
    struct test_rng seeded;
    struct rng rng;
};

struct ends {
    struct end i, r;
};

/* @psk may be NULL. */
struct ends *ends_new(const uint8_t i_private[32], const uint8_t r_private[32],
                      const uint8_t psk[32]);
void ends_free(struct ends *e);
void end_script(struct end *e, const uint8_t *bytes, size_t len);

/* A step; *ret is the caller's to clear. */
void end_initiate(struct end *e, const uint8_t stamp[TAI64N_LEN], struct handshake_result *ret);
enum handshake_verdict end_receive(struct end *e, const uint8_t *message, unsigned len,
                                   struct handshake_result *ret);
/* The same, and the result thrown away. */
enum handshake_verdict end_verdict(struct end *e, const uint8_t *message, unsigned len);
/* 192.0.2.1:@port */
struct endpoint end_source(uint16_t port);
