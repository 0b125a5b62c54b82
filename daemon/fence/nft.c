#include "fence/nft.h"
#include "base/err.h"
#include <nftables/libnftables.h>
#include <stdio.h>
#include <string.h>

struct nft {
    struct nft_ctx *ctx;
};

int nft_open(struct nft **ret)
{
    _cleanup_(freep) struct nft *n = calloc(1, sizeof(*n));

    if (!n || !(n->ctx = nft_ctx_new(NFT_CTX_DEFAULT)))
        return -ENOMEM;
    if (nft_ctx_buffer_error(n->ctx) || nft_ctx_buffer_output(n->ctx)) {
        nft_ctx_free(n->ctx);
        return -ENOMEM;
    }
    *ret = TAKE_PTR(n);
    return 0;
}

void nft_close(struct nft *n)
{
    if (!n)
        return;
    nft_ctx_free(n->ctx);
    free(n);
}

int nft_run(struct nft *n, const char *text, char ret_error[NFT_ERROR_LEN])
{
    int r = nft_run_cmd_from_buffer(n->ctx, text);
    const char *error = nft_ctx_get_error_buffer(n->ctx); /* reading empties both */

    nft_ctx_get_output_buffer(n->ctx);
    if (r == 0)
        return 0;
    snprintf(ret_error, NFT_ERROR_LEN, "%.*s", (int)strcspn(error, "\n"), error);
    return -EIO;
}
