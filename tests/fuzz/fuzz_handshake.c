/* Handshake messages from the network, towards a hub that knows the sender: garbage, and valid
 * messages with bytes changed, whose mac1 is made good again so that what lies behind it is
 * reached.
 *
 * Input: the kind of message, a byte of bits (LOAD: the hub is under load; PROVED: the sender knows
 * its cookie, so that mutated messages come through under load), and (position, byte) changes. */
#include "base/bytes.h"
#include "noise/noise.h"
#include "unit/wg/ends.h"
#include "wg/ratelimit.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerInitialize(int *argc, char ***argv);

enum { LOAD = 1, PROVED = 2 };

static struct ends *ends;
static uint8_t initiation[HANDSHAKE_LEN_MAX], response[HANDSHAKE_LEN_MAX], reply[HANDSHAKE_LEN_MAX];
static unsigned initiation_len, response_len, reply_len;

static void must(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    uint8_t i[32] = {8, 1}, r[32] = {16, 2}, psk[32] = {3}, stamp[TAI64N_LEN];
    struct handshake_result made;

    must(noise_init() == 0);
    x25519_clamp(i);
    x25519_clamp(r);
    ends = ends_new(i, r, psk);
    stamp_from_real(1700000000ull * 1000000000, stamp);
    end_initiate(&ends->i, stamp, &made);
    memcpy(initiation, made.reply, initiation_len = made.reply_len);
    handshake_result_clear(&made);
    must(end_receive(&ends->r, initiation, initiation_len, &made) == HANDSHAKE_INITIATION_VALID);
    memcpy(response, made.reply, response_len = made.reply_len);
    handshake_result_clear(&made);
    ends->r.env.under_load = true;
    must(end_receive(&ends->r, initiation, initiation_len, &made) == HANDSHAKE_REPLY_COOKIE);
    memcpy(reply, made.reply, reply_len = made.reply_len);
    handshake_result_clear(&made);
    return 0;
}

static void mac1_again(uint8_t *m, unsigned len, const struct identity *to)
{
    if (len >= sizeof(struct message_macs) + 4)
        blake2s(m + len - 32, 16, to->mac1_key, 32, m, len - 32);
}

static void mac2_again(struct end *to, uint8_t *m, unsigned len)
{
    struct endpoint source = end_source(1);
    uint8_t cookie[16];

    cookie_make(&to->cookies, to->env.real_ns, 0, &source, cookie);
    handshake_add_mac2(m, len, cookie);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const struct {
        uint8_t *message;
        unsigned *len;
    } kinds[] = {{initiation, &initiation_len}, {response, &response_len}, {reply, &reply_len}};
    uint8_t m[HANDSHAKE_LEN_MAX];
    struct cursor c = cursor_of(data, len);
    const uint8_t *head = cursor_take(&c, 2);
    bool changed = false;
    unsigned n;

    if (!head)
        return 0;
    unsigned kind = head[0] % 4;
    struct end *to = kind == 0 || kind == 3 ? &ends->r : &ends->i;
    if (kind == 3) { /* as it comes */
        n = (unsigned)(cursor_left(&c) < sizeof(m) ? cursor_left(&c) : sizeof(m));
        memcpy(m, c.p, n);
        changed = true;
    } else {
        n = *kinds[kind].len;
        memcpy(m, kinds[kind].message, n);
        for (const uint8_t *edit; (edit = cursor_take(&c, 2));) {
            changed |= m[edit[0] % n] != edit[1] && edit[0] % n < n - 32;
            m[edit[0] % n] = edit[1];
        }
        if (kind < 2)
            mac1_again(m, n, &to->self);
    }
    bool load = head[1] & LOAD, proved = head[1] & PROVED && kind < 2;
    if (proved)
        mac2_again(to, m, n);
    to->env.under_load = load;
    size_t slots = secret_slots_used();
    struct handshake_result r;
    enum handshake_verdict v = end_receive(to, m, n, &r);
    must(r.reply_len <= sizeof(r.reply));
    if (kind < 2 && memcmp(m + 8, kinds[kind].message + 8, n - 40) != 0)
        must(v != HANDSHAKE_INITIATION_VALID && v != HANDSHAKE_RESPONSE_VALID);
    if (kind < 2 && !changed && proved)
        must(v == (kind == 0 ? HANDSHAKE_INITIATION_VALID : HANDSHAKE_RESPONSE_VALID));
    if (proved)
        must(v != HANDSHAKE_REPLY_COOKIE);
    if (changed && kind == 2)
        must(v != HANDSHAKE_COOKIE_VALID || memcmp(m, reply, reply_len) == 0);
    must((v == HANDSHAKE_INITIATION_VALID || v == HANDSHAKE_RESPONSE_VALID) == (r.keys != NULL));
    handshake_result_clear(&r);
    must(secret_slots_used() == slots);
    handshake_mac1_ok(&to->self, m, n);
    return 0;
}
