/* UAPI text from anybody: whatever comes, whole or in pieces, means the same, and is forgotten. */
#include "base/err.h"
#include "base/secret.h"
#include "control/uapi_text.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct digest {
    uint64_t requests, errors, peers, prefixes, text;
};

static void must(bool holds)
{
    if (!holds)
        __builtin_trap();
}

static void digest_change(struct digest *d, const struct change *c)
{
    char text[PREFIX_TEXT_LEN];

    d->peers += c->peer_count;
    must(c->peer_count <= UAPI_PEERS_MAX);
    for (unsigned i = 0; i < c->peer_count; i++) {
        const struct peer_change *p = &c->peers[i];

        must(!p->has_psk == !p->psk);
        must(!p->has_endpoint || p->endpoint.port);
        d->prefixes += p->allowed_count;
        for (unsigned n = 0; n < p->allowed_count; n++) {
            const char *shown = prefix_format(&p->allowed[n].prefix, text);
            struct ip_prefix again;

            must(prefix_parse(shown, &again) == 0 && prefix_equal(&again, &p->allowed[n].prefix));
            d->text = d->text * 31 + strlen(shown) + p->allowed[n].remove;
        }
    }
}

/* @piece 0: all at once; else so many bytes at a time. */
static struct digest digest_of(const uint8_t *data, size_t len, size_t piece)
{
    struct digest d = {0};
    struct uapi_parser p;

    uapi_parser_init(&p, 1);
    while (len) {
        size_t give = piece ? MIN(len, piece) : len;
        struct uapi_request r;
        size_t taken = uapi_parse(&p, data, give, &r);

        must(taken <= give && (r.op != UAPI_NONE || taken == give));
        must(r.err <= 0 && !(r.err && r.change) && !(r.op == UAPI_GET && r.change));
        must(r.op != UAPI_SET || r.err || r.change);
        data += taken;
        len -= taken;
        if (r.op == UAPI_NONE)
            continue;
        d.requests = d.requests * 7 + r.op;
        d.errors = d.errors * 131 + (uint64_t)-r.err;
        if (r.change)
            digest_change(&d, r.change);
        change_free(r.change);
    }
    uapi_parser_done(&p);
    return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    size_t slots = secret_slots_used();
    struct digest whole = digest_of(data, len, 0);
    struct digest bytes = digest_of(data, len, 1), pieces = digest_of(data, len, 37);

    must(memcmp(&whole, &bytes, sizeof(whole)) == 0);
    must(memcmp(&whole, &pieces, sizeof(whole)) == 0);
    must(secret_slots_used() == slots);
    return 0;
}
