/* fence/nft.h - nftables, by libnftables.
 *
 * A table that says "flags owner" belongs to the socket in here: other programs cannot change it
 * (`nft flush ruleset` leaves it alone), and the kernel removes it when the socket is closed.
 *
 * Owner:   the fence. Threads: any, one at a time. Never: prints. */
#pragma once
#include <stddef.h>

struct nft;

#define NFT_ERROR_LEN 160

int nft_open(struct nft **ret);
void nft_close(struct nft *n); /* NULL is fine */
/* One transaction. -EIO: nothing of it was done; @ret_error says why, in one line. */
int nft_run(struct nft *n, const char *text, char ret_error[NFT_ERROR_LEN]);
