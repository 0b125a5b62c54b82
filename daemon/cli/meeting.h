/* cli/meeting.h - two ends of an invitation over one TCP connection, message by message.
 *
 * Owner:   the caller; meeting_close(). Threads: one.
 * Errors:  negative errno, and meeting_reason() says what it was.
 * Never:   waits beyond the deadline that it was given; keeps a message outside locked memory. */
#pragma once
#include "cli/invitation.h"

struct meeting;

/* Takes @fd, which does not block. The handshake, so that afterwards both ends are proved. NULL: no
 * memory; @id outlives it. */
struct meeting *meeting_open(int fd, const struct channel_identity *id, uint64_t until_ns);
/* Another deadline, for who is proved. */
void meeting_extend(struct meeting *m, uint64_t until_ns);
bool meeting_is_proved(const struct meeting *m);
int meeting_send(struct meeting *m, enum invitation_kind kind, const void *body, size_t len);
/* The next message; -EPROTO: it is not a @kind. -ECANCELED: a refusal; *ret has it. *ret is good
 * until the next call. */
int meeting_receive(struct meeting *m, enum invitation_kind kind, struct invitation_message *ret);
const char *meeting_reason(const struct meeting *m);
void meeting_close(struct meeting *m); /* NULL is fine */
