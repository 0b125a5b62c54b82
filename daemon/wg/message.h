/* wg/message.h - the four WireGuard messages on the wire (WireGuard paper, section 5.4), and the
 * protocol's constants (section 6.1). */
#pragma once
#include "base/clock.h"
#include <assert.h>
#include <stdint.h>

enum message_type {
    MESSAGE_INITIATION = 1,
    MESSAGE_RESPONSE = 2,
    MESSAGE_COOKIE = 3,
    MESSAGE_DATA = 4,
};

struct message_macs {
    uint8_t mac1[16], mac2[16];
};

struct message_initiation {
    uint8_t type[4]; /* le32: type and three reserved zero bytes */
    uint8_t sender[4];
    uint8_t ephemeral[32];
    uint8_t encrypted_static[32 + 16];
    uint8_t encrypted_timestamp[12 + 16];
    struct message_macs macs;
};
static_assert(sizeof(struct message_initiation) == 148, "wire layout");

struct message_response {
    uint8_t type[4];
    uint8_t sender[4];
    uint8_t receiver[4];
    uint8_t ephemeral[32];
    uint8_t encrypted_nothing[16];
    struct message_macs macs;
};
static_assert(sizeof(struct message_response) == 92, "wire layout");

struct message_cookie {
    uint8_t type[4];
    uint8_t receiver[4];
    uint8_t nonce[24];
    uint8_t encrypted_cookie[16 + 16];
};
static_assert(sizeof(struct message_cookie) == 64, "wire layout");

struct message_data {
    uint8_t type[4];
    uint8_t receiver[4];
    uint8_t counter[8];
    uint8_t encrypted[]; /* padded inner packet and tag */
};
static_assert(sizeof(struct message_data) == 16, "wire layout");

#define MESSAGE_DATA_OVERHEAD (sizeof(struct message_data) + 16)
#define MESSAGE_PADDING 16
#define HANDSHAKE_LEN_MAX sizeof(struct message_initiation)

#define REKEY_AFTER_MESSAGES (1ull << 60)
#define REKEY_AFTER_TIME_NS (120 * NS_PER_S)
#define REJECT_AFTER_TIME_NS (180 * NS_PER_S)
#define REKEY_ATTEMPT_TIME_NS (90 * NS_PER_S)
#define REKEY_TIMEOUT_NS (5 * NS_PER_S)
#define REKEY_TIMEOUT_JITTER_NS (333 * NS_PER_MS)
#define KEEPALIVE_TIMEOUT_NS (10 * NS_PER_S)
#define COOKIE_LIFE_NS (120 * NS_PER_S)
#define KEY_ZERO_NS (3 * REJECT_AFTER_TIME_NS) /* Z_KEY: 540 s */
/* An initiator rekeys on receive when the key is this old: 180 - 10 - 5. */
#define REKEY_ON_RECEIVE_NS (REJECT_AFTER_TIME_NS - KEEPALIVE_TIMEOUT_NS - REKEY_TIMEOUT_NS)
