#include "sync/channel.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/fsm.h"
#include "noise/noise.h"
#include <limits.h>

#define PROTOCOL "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
#define PROLOGUE "hub-sync 1"
#define PSK_LABEL "hub-sync psk"
#define SEAL_LABEL "hub-sync engine to engine" /* S5 */

#define HEADER_LEN 8
#define MESSAGE1_LEN (32 + 32 + NOISE_TAG_LEN + NOISE_TAG_LEN) /* e, s, empty payload */
#define MESSAGE2_LEN (32 + NOISE_TAG_LEN)                      /* e, empty payload */
#define PLAIN_LEN_MAX SYNC_FRAME_MAX
#define BODY_LEN_MAX (PLAIN_LEN_MAX + NOISE_TAG_LEN)

enum record {
    RECORD_HELLO1 = 1,
    RECORD_HELLO2,
    RECORD_CONFIRM,
    RECORD_FRAME,
    RECORD_REKEY1,
    RECORD_REKEY2,
    RECORD_SWITCH,
};

/*   responder: AWAIT1 --HELLO1--> CONFIRMING --CONFIRM--> UP --REKEY1--> SWITCHING --SWITCH--> UP
 *   initiator: IDLE --start--> AWAIT2 --HELLO2--> CONFIRMING --CONFIRM--> UP --REKEY1 sent-->
 *              REKEYING --REKEY2--> UP */
enum state { IDLE, AWAIT2, CONFIRMING, UP, REKEYING, SWITCHING, FAILED };

static const struct fsm_state channel_fsm[] = {
    [IDLE] = {"idle", TO(AWAIT2) | TO(CONFIRMING) | TO(FAILED)},
    [AWAIT2] = {"await2", TO(CONFIRMING) | TO(FAILED)},
    [CONFIRMING] = {"confirming", TO(UP) | TO(FAILED)},
    [UP] = {"up", TO(REKEYING) | TO(SWITCHING) | TO(FAILED)},
    [REKEYING] = {"rekeying", TO(UP) | TO(FAILED)},
    [SWITCHING] = {"switching", TO(UP) | TO(FAILED)},
    [FAILED] = {"failed", 0},
};

/* Arena slots are 64 bytes: keys go in pairs. */
struct key_pair {
    uint8_t send[32], recv[32];
};

/* What a handshake keeps between its messages; the rest of struct noise is remade. */
struct half_secret {
    uint8_t ck[32], ephemeral[32];
};

_Static_assert(sizeof(struct key_pair) <= SECRET_SLOT_LEN, "a pair is a slot");
_Static_assert(sizeof(struct half_secret) <= SECRET_SLOT_LEN, "a half is a slot");
_Static_assert(sizeof(struct codec_key) <= SECRET_SLOT_LEN, "codec keys are a slot");

struct channel {
    const struct channel_identity *id;
    struct channel_ops ops;
    const struct rng *rng;
    int state;
    bool initiator;
    uint8_t member;
    unsigned handshakes;
    uint64_t started_ns, keyed_ns;   /* keyed: when the last handshake was complete */
    uint64_t send_count, recv_count; /* records under the present keys: the nonces (S6) */
    struct key_pair *keys;           /* arena: records */
    struct codec_key *codec_key;     /* arena: S5 */
    struct half_secret *half;        /* arena: while a handshake is open */
    struct key_pair *next_keys;      /* arena: responder of a rekey, until SWITCH; recv only */
    struct codec_key *next_codec_key;
    uint8_t half_hash[32];
    uint8_t *in; /* a record that did not come whole */
    size_t in_len, in_room;
    uint8_t *plain; /* PLAIN_LEN_MAX, from the first encrypted record on */
};

struct channel *channel_new(const struct channel_identity *id, const struct channel_ops *ops,
                            const struct rng *rng, uint64_t now_ns)
{
    struct channel *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->id = id;
    c->ops = *ops;
    c->rng = rng;
    c->state = IDLE;
    c->started_ns = now_ns;
    /* Before anything is known of the other side a handshake message is all that it may store. */
    c->in_room = HEADER_LEN + MESSAGE1_LEN;
    c->in = malloc(c->in_room);
    c->keys = secret_alloc();
    c->codec_key = secret_alloc();
    c->half = secret_alloc();
    if (!c->in || !c->keys || !c->codec_key || !c->half) {
        channel_free(c);
        return NULL;
    }
    return c;
}

void channel_free(struct channel *c)
{
    if (!c)
        return;
    secret_free(c->keys);
    secret_free(c->codec_key);
    secret_free(c->half);
    secret_free(c->next_keys);
    secret_free(c->next_codec_key);
    if (c->in)
        secret_wipe(c->in, c->in_room);
    free(c->in);
    if (c->plain)
        secret_wipe(c->plain, PLAIN_LEN_MAX);
    free(c->plain);
    secret_wipe(c, sizeof(*c));
    free(c);
}

static void fail(struct channel *c, const char *reason)
{
    if (c->state == FAILED)
        return;
    fsm_move(channel_fsm, &c->state, FAILED);
    c->ops.failed(c->ops.ctx, reason);
}

/* ---- records ---- */

static void put_header(uint8_t *p, enum record type, size_t body_len, uint32_t sequence)
{
    store_be32(p, (uint32_t)type << 24 | (uint32_t)body_len);
    store_be32(p + 4, sequence);
}

static bool send_clear(struct channel *c, enum record type, const uint8_t *body, size_t len)
{
    uint8_t *out = c->ops.reserve(c->ops.ctx, HEADER_LEN + len);

    if (!out) {
        fail(c, "too much is queued");
        return false;
    }
    put_header(out, type, len, 0);
    memcpy(out + HEADER_LEN, body, len);
    return true;
}

static bool send_sealed(struct channel *c, enum record type, const uint8_t *body, size_t len)
{
    uint8_t *out;

    if (c->send_count >= CHANNEL_KEY_RECORDS) {
        fail(c, "keys used up before a new handshake was complete");
        return false;
    }
    out = c->ops.reserve(c->ops.ctx, HEADER_LEN + len + NOISE_TAG_LEN);
    if (!out) {
        fail(c, "too much is queued");
        return false;
    }
    put_header(out, type, len + NOISE_TAG_LEN, (uint32_t)c->send_count);
    chachapoly_seal(out + HEADER_LEN, body, len, out, HEADER_LEN, c->send_count, c->keys->send);
    c->send_count++;
    return true;
}

/* ---- handshake ---- */

static void pair_psk(const struct channel *c, uint8_t ret[32])
{
    uint8_t text[sizeof(PSK_LABEL) - 1 + 2];

    memcpy(text, PSK_LABEL, sizeof(PSK_LABEL) - 1);
    text[sizeof(text) - 2] = MIN(c->id->self, c->member);
    text[sizeof(text) - 1] = MAX(c->id->self, c->member);
    hmac_blake2s(ret, c->id->cluster_key->b, 32, text, sizeof(text));
}

/* Up to the pre-message: the responder's static key. */
static void handshake_begin(const struct channel *c, struct noise *n, const uint8_t responder[32])
{
    uint8_t prologue[sizeof(PROLOGUE) - 1 + 1 + CHANNEL_NAME_MAX + 8];
    size_t name_len = strnlen(c->id->cluster, CHANNEL_NAME_MAX), len = sizeof(PROLOGUE) - 1;

    memcpy(prologue, PROLOGUE, len);
    prologue[len++] = (uint8_t)name_len;
    memcpy(prologue + len, c->id->cluster, name_len);
    len += name_len;
    store_be64(prologue + len, c->id->membership_epoch);
    noise_start(n, PROTOCOL, sizeof(PROTOCOL) - 1, prologue, len + 8);
    noise_mix_hash(n, responder, 32);
}

/* A psk handshake mixes the ephemeral into the key as well. */
static void mix_ephemeral(struct noise *n, const uint8_t public_key[32])
{
    noise_mix_hash(n, public_key, 32);
    noise_mix_key(n, public_key, 32);
}

static void keep_half(struct channel *c, const struct noise *n)
{
    memcpy(c->half->ck, n->ck, 32);
    memcpy(c->half_hash, n->h, 32);
}

static bool write_message1(struct channel *c, uint8_t out[MESSAGE1_LEN])
{
    const uint8_t *responder = c->id->member[c->member].public_key;
    const uint8_t *own = c->id->private_key->b;
    uint8_t public_key[32];
    struct noise n;
    bool ok;

    handshake_begin(c, &n, responder);
    x25519_keygen(c->rng, c->half->ephemeral, out);
    mix_ephemeral(&n, out);
    ok = noise_mix_dh(&n, c->half->ephemeral, responder);
    x25519_public(public_key, own);
    noise_encrypt(&n, out + 32, public_key, 32);
    ok = ok && noise_mix_dh(&n, own, responder);
    noise_encrypt(&n, out + 80, NULL, 0);
    keep_half(c, &n);
    noise_clear(&n);
    return ok;
}

static uint8_t member_of_key(const struct channel_identity *id, const uint8_t public_key[32])
{
    uint8_t found = 0;

    for (uint8_t m = 1; m <= MEMBER_ID_MAX; m++)
        if (m != id->self && id->member[m].known &&
            secret_equal(id->member[m].public_key, public_key, 32))
            found = m;
    return found;
}

/* Leaves the transcript in *n, for message 2. */
static const char *read_message1(const struct channel *c, const uint8_t in[MESSAGE1_LEN],
                                 struct noise *n, uint8_t ret_ephemeral[32], uint8_t *ret_member)
{
    const uint8_t *own = c->id->private_key->b;
    uint8_t public_key[32];

    x25519_public(public_key, own);
    handshake_begin(c, n, public_key);
    memcpy(ret_ephemeral, in, 32);
    mix_ephemeral(n, in);
    if (!noise_mix_dh(n, own, in) || !noise_decrypt(n, public_key, in + 32, 48))
        return "handshake does not open: another cluster name, membership epoch or sync key";
    *ret_member = member_of_key(c->id, public_key);
    if (!*ret_member)
        return "handshake by a key that is no member's"; /* M8 */
    if (*ret_member < c->id->self)
        return "dialled by the member that should be dialled";
    if (!noise_mix_dh(n, own, public_key) || !noise_decrypt(n, NULL, in + 80, NOISE_TAG_LEN))
        return "handshake does not open: it is not by the member that it names";
    return NULL;
}

/* Record and engine keys, as the initiator sends and receives. */
static void derive(const struct noise *n, struct key_pair *keys, struct codec_key *codec_key)
{
    uint8_t text[sizeof(SEAL_LABEL) - 1 + 32];

    noise_split(n, keys->send, keys->recv);
    memcpy(text, SEAL_LABEL, sizeof(SEAL_LABEL) - 1);
    memcpy(text + sizeof(SEAL_LABEL) - 1, n->h, 32);
    noise_hkdf(n->ck, text, sizeof(text), codec_key->send, codec_key->recv, NULL);
}

static void swap32(uint8_t a[32], uint8_t b[32])
{
    uint8_t t[32];

    memcpy(t, a, 32);
    memcpy(a, b, 32);
    memcpy(b, t, 32);
    secret_wipe(t, sizeof(t));
}

/* Responder: message 2, and the keys as it sends and receives. @n goes on from message 1. */
static bool write_message2(struct channel *c, struct noise *n, const uint8_t their_ephemeral[32],
                           uint8_t out[MESSAGE2_LEN], struct key_pair *keys,
                           struct codec_key *codec_key)
{
    const uint8_t *initiator = c->id->member[c->member].public_key;
    uint8_t psk[32];
    bool ok;

    x25519_keygen(c->rng, c->half->ephemeral, out);
    mix_ephemeral(n, out);
    ok = noise_mix_dh(n, c->half->ephemeral, their_ephemeral) &&
         noise_mix_dh(n, c->half->ephemeral, initiator);
    pair_psk(c, psk);
    noise_mix_psk(n, psk);
    noise_encrypt(n, out + 32, NULL, 0);
    derive(n, keys, codec_key);
    swap32(keys->send, keys->recv);
    swap32(codec_key->send, codec_key->recv);
    secret_wipe(psk, sizeof(psk));
    secret_wipe(c->half, sizeof(*c->half));
    return ok;
}

/* Initiator. @keys and @codec_key are changed only when it is right. */
static bool read_message2(struct channel *c, const uint8_t in[MESSAGE2_LEN], struct key_pair *keys,
                          struct codec_key *codec_key)
{
    struct noise n;
    uint8_t psk[32];
    bool ok;

    memcpy(n.ck, c->half->ck, 32);
    memcpy(n.h, c->half_hash, 32);
    memset(n.k, 0, sizeof(n.k));
    mix_ephemeral(&n, in);
    ok = noise_mix_dh(&n, c->half->ephemeral, in) && noise_mix_dh(&n, c->id->private_key->b, in);
    pair_psk(c, psk);
    noise_mix_psk(&n, psk);
    ok = ok && noise_decrypt(&n, NULL, in + 32, NOISE_TAG_LEN);
    if (ok)
        derive(&n, keys, codec_key);
    noise_clear(&n);
    secret_wipe(psk, sizeof(psk));
    secret_wipe(c->half, sizeof(*c->half));
    return ok;
}

/* From here on whole frames may come. */
static bool grow_input(struct channel *c)
{
    size_t room = HEADER_LEN + BODY_LEN_MAX;
    uint8_t *in = malloc(room);

    c->plain = malloc(PLAIN_LEN_MAX);
    if (!in || !c->plain) {
        free(in);
        fail(c, "no memory");
        return false;
    }
    memcpy(in, c->in, c->in_len);
    free(c->in);
    c->in = in;
    c->in_room = room;
    return true;
}

static void come_up(struct channel *c, uint64_t now_ns)
{
    if (!grow_input(c))
        return;
    fsm_move(channel_fsm, &c->state, UP);
    c->handshakes++;
    c->keyed_ns = now_ns;
    c->ops.up(c->ops.ctx, c->member, c->codec_key);
}

void channel_start(struct channel *c, uint8_t member, uint64_t now_ns)
{
    uint8_t message[MESSAGE1_LEN];

    c->initiator = true;
    c->member = member;
    c->started_ns = now_ns;
    fsm_move(channel_fsm, &c->state, AWAIT2);
    if (!c->id->member[member].known || !write_message1(c, message))
        fail(c, "the sync key of the member is not usable");
    else
        send_clear(c, RECORD_HELLO1, message, sizeof(message));
}

static void on_hello1(struct channel *c, const uint8_t *body)
{
    uint8_t ephemeral[32], reply[MESSAGE2_LEN];
    struct noise n;
    const char *reason = read_message1(c, body, &n, ephemeral, &c->member);

    if (!reason && !write_message2(c, &n, ephemeral, reply, c->keys, c->codec_key))
        reason = "handshake with an unusable key";
    noise_clear(&n);
    if (reason) {
        fail(c, reason);
        return;
    }
    fsm_move(channel_fsm, &c->state, CONFIRMING);
    send_clear(c, RECORD_HELLO2, reply, sizeof(reply));
}

static void on_hello2(struct channel *c, const uint8_t *body)
{
    if (!read_message2(c, body, c->keys, c->codec_key)) {
        fail(c, "answer does not open: another cluster key, or not the member that was dialled");
        return;
    }
    fsm_move(channel_fsm, &c->state, CONFIRMING);
    send_sealed(c, RECORD_CONFIRM, NULL, 0);
}

static void on_confirm(struct channel *c, uint64_t now_ns)
{
    if (!c->initiator && !send_sealed(c, RECORD_CONFIRM, NULL, 0))
        return;
    come_up(c, now_ns);
}

/* ---- a new handshake inside the old one (S3) ---- */

static void rekey_start(struct channel *c)
{
    uint8_t message[MESSAGE1_LEN];

    if (!write_message1(c, message)) {
        fail(c, "the sync key of the member is not usable");
        return;
    }
    fsm_move(channel_fsm, &c->state, REKEYING);
    send_sealed(c, RECORD_REKEY1, message, sizeof(message));
}

static void switch_sending(struct channel *c, struct key_pair *keys, struct codec_key *codec_key)
{
    memcpy(c->keys->send, keys->send, 32);
    memcpy(c->codec_key->send, codec_key->send, 32);
    secret_wipe(keys->send, 32);
    secret_wipe(codec_key->send, 32);
    c->send_count = 0;
}

static void switch_receiving(struct channel *c, struct key_pair *keys, struct codec_key *codec_key)
{
    memcpy(c->keys->recv, keys->recv, 32);
    memcpy(c->codec_key->recv, codec_key->recv, 32);
    secret_wipe(keys->recv, 32);
    secret_wipe(codec_key->recv, 32);
    c->recv_count = 0;
}

static void drop_next(struct channel *c)
{
    secret_free(TAKE_PTR(c->next_keys));
    secret_free(TAKE_PTR(c->next_codec_key));
}

static bool make_next(struct channel *c)
{
    c->next_keys = secret_alloc();
    c->next_codec_key = secret_alloc();
    if (c->next_keys && c->next_codec_key)
        return true;
    fail(c, "no memory for keys");
    return false;
}

static void on_rekey1(struct channel *c, const uint8_t *body)
{
    uint8_t ephemeral[32], reply[MESSAGE2_LEN], member = 0;
    struct noise n;
    const char *reason;

    if (!make_next(c))
        return;
    reason = read_message1(c, body, &n, ephemeral, &member);
    if (!reason && member != c->member)
        reason = "a new handshake by another member";
    if (!reason && !write_message2(c, &n, ephemeral, reply, c->next_keys, c->next_codec_key))
        reason = "handshake with an unusable key";
    noise_clear(&n);
    if (reason) {
        fail(c, reason);
        return;
    }
    fsm_move(channel_fsm, &c->state, SWITCHING);
    if (send_sealed(c, RECORD_REKEY2, reply, sizeof(reply)))
        switch_sending(c, c->next_keys, c->next_codec_key);
}

static void on_rekey2(struct channel *c, const uint8_t *body, uint64_t now_ns)
{
    if (!make_next(c))
        return;
    if (!read_message2(c, body, c->next_keys, c->next_codec_key)) {
        fail(c, "answer to a new handshake does not open");
        return;
    }
    switch_receiving(c, c->next_keys, c->next_codec_key);
    if (!send_sealed(c, RECORD_SWITCH, NULL, 0))
        return;
    switch_sending(c, c->next_keys, c->next_codec_key);
    drop_next(c);
    c->handshakes++;
    c->keyed_ns = now_ns;
    fsm_move(channel_fsm, &c->state, UP);
}

static void on_switch(struct channel *c, uint64_t now_ns)
{
    switch_receiving(c, c->next_keys, c->next_codec_key);
    drop_next(c);
    c->handshakes++;
    c->keyed_ns = now_ns;
    fsm_move(channel_fsm, &c->state, UP);
}

/* ---- input ---- */

struct expected {
    bool sealed;
    size_t min, max; /* of the text without tag */
};

/* What may come now. False: this type may not. */
static bool expect(const struct channel *c, unsigned type, struct expected *ret)
{
    bool up = c->state == UP || c->state == REKEYING || c->state == SWITCHING;

    switch (type) {
    case RECORD_HELLO1:
        *ret = (struct expected){false, MESSAGE1_LEN, MESSAGE1_LEN};
        return c->state == IDLE;
    case RECORD_HELLO2:
        *ret = (struct expected){false, MESSAGE2_LEN, MESSAGE2_LEN};
        return c->state == AWAIT2;
    case RECORD_CONFIRM:
        *ret = (struct expected){true, 0, 0};
        return c->state == CONFIRMING;
    case RECORD_FRAME:
        *ret = (struct expected){true, 1, PLAIN_LEN_MAX};
        return up;
    case RECORD_REKEY1:
        *ret = (struct expected){true, MESSAGE1_LEN, MESSAGE1_LEN};
        return !c->initiator && c->state == UP;
    case RECORD_REKEY2:
        *ret = (struct expected){true, MESSAGE2_LEN, MESSAGE2_LEN};
        return c->initiator && c->state == REKEYING;
    case RECORD_SWITCH:
        *ret = (struct expected){true, 0, 0};
        return !c->initiator && c->state == SWITCHING;
    default:
        return false;
    }
}

/* Bytes that the record at @p has, of which HEADER_LEN are there. 0: failed. Length and type are
 * judged before a byte of the body is waited for. */
static size_t record_len(struct channel *c, const uint8_t *p)
{
    size_t body_len = load_be32(p) & 0xffffff;
    struct expected e;

    if (!expect(c, *p, &e)) {
        fail(c, "a record of an unexpected type");
        return 0;
    }
    if (e.sealed) {
        e.min += NOISE_TAG_LEN;
        e.max += NOISE_TAG_LEN;
    }
    if (body_len < e.min || body_len > e.max) {
        fail(c, "a record of a forbidden length");
        return 0;
    }
    if (load_be32(p + 4) != (e.sealed ? (uint32_t)c->recv_count : 0)) {
        fail(c, "a gap in the records");
        return 0;
    }
    return HEADER_LEN + body_len;
}

static void on_record(struct channel *c, const uint8_t *p, size_t len, uint64_t now_ns)
{
    uint8_t small[MESSAGE1_LEN], *plain = c->plain ? c->plain : small;
    const uint8_t *body = p + HEADER_LEN;
    size_t body_len = len - HEADER_LEN;
    enum record type = (enum record) * p;

    if (type != RECORD_HELLO1 && type != RECORD_HELLO2) {
        if (c->recv_count >= CHANNEL_KEY_RECORDS) {
            fail(c, "keys used up before a new handshake was complete");
            return;
        }
        if (!chachapoly_open(plain, body, body_len, p, HEADER_LEN, c->recv_count, c->keys->recv)) {
            fail(c, "a record that is not authentic");
            return;
        }
        c->recv_count++;
        body = plain;
        body_len -= NOISE_TAG_LEN;
    }
    switch (type) {
    case RECORD_HELLO1:
        on_hello1(c, body);
        break;
    case RECORD_HELLO2:
        on_hello2(c, body);
        break;
    case RECORD_CONFIRM:
        on_confirm(c, now_ns);
        break;
    case RECORD_FRAME:
        c->ops.frame(c->ops.ctx, body, body_len);
        break;
    case RECORD_REKEY1:
        on_rekey1(c, body);
        break;
    case RECORD_REKEY2:
        on_rekey2(c, body, now_ns);
        break;
    case RECORD_SWITCH:
        on_switch(c, now_ns);
        break;
    }
}

/* One record out of what came before and @bytes. Returns how many of @bytes were used; 0: more are
 * needed, and all of them were kept, or the channel failed. */
static size_t step(struct channel *c, const uint8_t *bytes, size_t len, uint64_t now_ns)
{
    size_t used = 0, total;

    if (!c->in_len && len >= HEADER_LEN) { /* the usual case: straight from the reader's buffer */
        total = record_len(c, bytes);
        if (!total)
            return 0;
        if (len >= total) {
            on_record(c, bytes, total, now_ns);
            return total;
        }
    }
    if (c->in_len < HEADER_LEN) {
        used = MIN(len, HEADER_LEN - c->in_len);
        memcpy(c->in + c->in_len, bytes, used);
        c->in_len += used;
        if (c->in_len < HEADER_LEN)
            return 0;
    }
    total = record_len(c, c->in);
    if (!total)
        return 0;
    size_t more = MIN(len - used, total - c->in_len);
    memcpy(c->in + c->in_len, bytes + used, more);
    c->in_len += more;
    used += more;
    if (c->in_len < total)
        return 0;
    c->in_len = 0; /* a record never spans what it causes: on_record() may make a new buffer */
    on_record(c, c->in, total, now_ns);
    return used;
}

void channel_input(struct channel *c, const uint8_t *bytes, size_t len, uint64_t now_ns)
{
    while (len && c->state != FAILED) {
        size_t used = step(c, bytes, len, now_ns);

        if (!used)
            return;
        bytes += used;
        len -= used;
    }
}

bool channel_send(struct channel *c, const uint8_t *msg, size_t len)
{
    if (!channel_is_up(c))
        return false;
    assert(len >= 1 && len <= SYNC_FRAME_MAX);
    return send_sealed(c, RECORD_FRAME, msg, len);
}

/* ---- time ---- */

uint64_t channel_tick(struct channel *c, uint64_t now_ns)
{
    if (c->state == FAILED)
        return UINT64_MAX;
    if (!channel_is_up(c)) {
        uint64_t until = c->started_ns + CHANNEL_HANDSHAKE_NS;

        if (now_ns < until)
            return until;
        fail(c, "handshake took too long");
        return UINT64_MAX;
    }
    if (now_ns - c->keyed_ns >= CHANNEL_KEY_NS) {
        fail(c, "keys expired before a new handshake was complete");
        return UINT64_MAX;
    }
    if (!c->initiator || c->state != UP)
        return c->keyed_ns + CHANNEL_KEY_NS;
    if (now_ns - c->keyed_ns >= CHANNEL_REKEY_NS || c->send_count >= CHANNEL_REKEY_RECORDS ||
        c->recv_count >= CHANNEL_REKEY_RECORDS) {
        rekey_start(c);
        return c->keyed_ns + CHANNEL_KEY_NS;
    }
    return c->keyed_ns + CHANNEL_REKEY_NS;
}

bool channel_is_up(const struct channel *c)
{
    return c->state == UP || c->state == REKEYING || c->state == SWITCHING;
}

unsigned channel_handshakes(const struct channel *c)
{
    return c->handshakes;
}
