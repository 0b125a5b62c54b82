/* cli/token.h - an invitation into a cluster as one word. Pure.
 *
 *   "gm1_" base64url(where (18) | member (18) | ends (be32) | public key (32) | secret (16) |
 *                    check (4) of all before it)
 *
 * An endpoint is address (16, IPv4 mapped) | port (be16). The check finds slips, nothing else; what
 * proves that both ends mean one invitation is the secret, and the key pair that is made for it.
 * Threads: any. Never: keeps a copy of the secret. */
#pragma once
#include "model/endpoint.h"

#define TOKEN_TEXT_MAX 160 /* with its NUL */
#define TOKEN_SECRET_LEN 16

struct token {
    struct endpoint where;  /* the inviter listens there */
    struct endpoint member; /* sync address of the member that is invited; it dials from it */
    uint32_t ends_s;        /* UTC; for the reader: what counts is the inviter's own clock */
    uint8_t public_key[32]; /* of the inviter, for this invitation alone */
    uint8_t secret[TOKEN_SECRET_LEN];
};

void token_format(const struct token *t, char ret[TOKEN_TEXT_MAX]);
/* -EINVAL: no token at all, or not whole; -EPROTONOSUPPORT: of another version. */
int token_parse(const char *text, struct token *ret);
