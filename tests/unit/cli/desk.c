#include "unit/cli/desk.h"
#include "base/secret.h"
#include "lib/test.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *desk_new(size_t size, desk_command *answer)
{
    struct desk *d = calloc(1, size);
    struct server_ops ops = {.ctx = d, .command = answer};

    assert_non_null(d);
    d->server = socket_open(&d->loop, d->dir, d->path, &ops);
    return d;
}

int desk_teardown(void **state)
{
    struct desk *d = *state;

    socket_close(d->server, &d->loop, d->dir, d->path);
    free(d);
    return 0;
}

const struct child *run(void *state, const char *arguments)
{
    struct desk *d = state;

    return guardmount_run_in(&d->loop, d->dir, d->path, arguments);
}

void write_in(const void *state, const char *name, const char *text)
{
    const struct desk *d = state;
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", d->dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

void expect_each(void *state, const struct desk_use *use, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        expect(run(state, use[i].arguments), use[i].status, use[i].word);
}

void desk_put_row(struct peer_rows *rows, const struct peer_command *c, bool secrets)
{
    struct peer_row *row = peer_rows_add(rows, 64);
    char list[CONTROL_PREFIXES_MAX + 1], *rest = list, *word;

    strcpy(row->name, c->peer);
    strcpy(row->state, c->disabled ? "disabled" : "enabled");
    strcpy(row->endpoint, c->endpoint);
    strcpy(row->group, c->group);
    row->key = c->key;
    row->has_psk = !secret_is_zero(c->psk, sizeof(c->psk));
    if (secrets)
        memcpy(row->psk, c->psk, sizeof(row->psk));
    row->keepalive_s = c->keepalive_s;
    row->mtu = c->mtu;
    row->policy = c->policy;
    row->expires_s = c->expires_s;
    row->disabled = c->disabled;
    row->pending = c->pending;
    row->vip = (uint16_t)strtoul(c->vip, NULL, 10);
    for (unsigned t = 0; t < PEER_TEXTS; t++)
        peer_row_say(row, (enum peer_text)t, c->text[t]);
    strcpy(list, c->allowed);
    while ((word = strsep(&rest, ",")))
        if (*word)
            peer_row_allow(row, word);
}
