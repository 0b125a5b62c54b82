#include "cli/invitation.h"
#include "base/bytes.h"
#include "base/err.h"
#include "noise/noise.h"
#include <stdio.h>

#define PSK_LABEL "guardmount invitation psk"
#define KEY_LABEL "guardmount invitation joiner"

enum body { NO_TEXT, FILE_TEXT, SHOWN_TEXT };

static const struct {
    size_t min, max;
    enum body body;
} bodies[] = {
    [INVITATION_ASK] = {32, 32, NO_TEXT},
    [INVITATION_OFFER] = {1, INVITATION_BODY_MAX, FILE_TEXT},
    [INVITATION_ACCEPT] = {0, 0, NO_TEXT},
    [INVITATION_DONE] = {0, 0, NO_TEXT},
    [INVITATION_REFUSE] = {1, INVITATION_REASON_MAX, SHOWN_TEXT},
};

/* A file may have comments in UTF-8; what goes to a terminal must not move its cursor. */
static bool is_fit(enum body body, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len && body != NO_TEXT; i++)
        if ((p[i] < ' ' && p[i] != '\n' && p[i] != '\t' && p[i] != '\r') ||
            (body == SHOWN_TEXT && (p[i] >= 0x7f || p[i] == '\r')))
            return false;
    return true;
}

int invitation_parse(const uint8_t *msg, size_t len, struct invitation_message *ret)
{
    if (len < 1 || *msg < INVITATION_ASK || *msg >= ARRAY_LEN(bodies) ||
        len - 1 < bodies[*msg].min || len - 1 > bodies[*msg].max ||
        !is_fit(bodies[*msg].body, msg + 1, len - 1))
        return -EBADMSG;
    *ret = (struct invitation_message){.kind = *msg, .body = msg + 1, .len = len - 1};
    return 0;
}

static struct secret32 *derive(const struct token *t, const char *label)
{
    struct secret32 *key = secret_alloc();

    if (key)
        blake2s(key->b, 32, t->secret, sizeof(t->secret), label, strlen(label));
    return key;
}

int invitation_identity(const struct token *t, const struct secret32 *private_key,
                        struct channel_identity *ret)
{
    bool joiner = !private_key;
    struct secret32 *psk = derive(t, PSK_LABEL), *joiners = derive(t, KEY_LABEL), *own = NULL;

    *ret = (struct channel_identity){
        .self = joiner ? INVITATION_JOINER : INVITATION_INVITER,
        .membership_epoch = t->ends_s,
        .cluster_key = psk,
    };
    snprintf(ret->cluster, sizeof(ret->cluster), "%s", INVITATION_CLUSTER);
    if (joiners)
        x25519_clamp(joiners->b);
    if (psk && joiners && joiner) {
        own = TAKE_PTR(joiners);
        ret->member[INVITATION_INVITER].known = true;
        memcpy(ret->member[INVITATION_INVITER].public_key, t->public_key, 32);
    } else if (psk && joiners && (own = secret_alloc())) {
        *own = *private_key;
        ret->member[INVITATION_JOINER].known = true;
        x25519_public(ret->member[INVITATION_JOINER].public_key, joiners->b);
    }
    ret->private_key = own;
    secret_free(joiners);
    if (own)
        return 0;
    invitation_done(ret);
    return -ENOMEM;
}

void invitation_done(struct channel_identity *id)
{
    secret_free((void *)id->cluster_key);
    secret_free((void *)id->private_key);
    *id = (struct channel_identity){0};
}
