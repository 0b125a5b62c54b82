/* cli/invitation.h - what two machines say to each other when one invites the other. Pure.
 *
 * They speak through a channel (sync/channel.h) that is made of the token alone: its cluster is
 * INVITATION_CLUSTER, which no cluster can be called, its epoch the token's end, K_cluster and the
 * joiner's static key are derived from the secret, the inviter's static key is in the token.
 *
 *   joiner                              inviter
 *   ASK     its new sync public key -->
 *           <-------------------------- OFFER   its configuration, but for SyncPrivateKey
 *   ACCEPT  it can be used here ------>         the member is now in the inviter's configuration
 *           <-------------------------- DONE    now it is written here, too
 *   REFUSE  a reason, instead of any of them
 *
 * Message: kind (1) | body.
 * Threads: any. Never: allocates but for arena slots. */
#pragma once
#include "cli/token.h"
#include "sync/channel.h"

#define INVITATION_CLUSTER "guardmount invitation" /* names of clusters have no blank */
#define INVITATION_INVITER 1                       /* of a pair the higher id dials */
#define INVITATION_JOINER 2
#define INVITATION_BODY_MAX (SYNC_FRAME_MAX - 1)
#define INVITATION_REASON_MAX 512

enum invitation_kind {
    INVITATION_ASK = 1,
    INVITATION_OFFER,
    INVITATION_ACCEPT,
    INVITATION_DONE,
    INVITATION_REFUSE,
};

struct invitation_message {
    enum invitation_kind kind;
    const uint8_t *body; /* in the message; text does not end with a NUL */
    size_t len;
};

/* -EBADMSG: of an unknown kind, of a forbidden length, or text that is none. */
int invitation_parse(const uint8_t *msg, size_t len, struct invitation_message *ret);

/* One end of the channel; @private_key is the inviter's, NULL: the joiner's end. -ENOMEM. */
int invitation_identity(const struct token *t, const struct secret32 *private_key,
                        struct channel_identity *ret);
void invitation_done(struct channel_identity *id); /* wipes */
