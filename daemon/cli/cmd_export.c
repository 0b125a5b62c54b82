/* export: all peers, to be kept or carried elsewhere. */
#include "base/bytes.h"
#include "base/secret.h"
#include "cli/cli.h"
#include "cli/row.h"
#include "cli/writer.h"
#include <jansson.h>
#include <string.h>

#define SCHEMA 1

static void write_wg(const struct peer_rows *rows, FILE *out)
{
    for (unsigned i = 0; i < rows->count; i++) {
        const struct peer_row *r = &rows->row[i];
        char key[KEY_TEXT_LEN + 1];

        key_to_base64(r->key.b, key);
        fprintf(out, "%s[Peer]\n", i ? "\n" : "");
        if (*r->name)
            fprintf(out, "# Name = %s\n", r->name);
        if (strcmp(r->state, "disabled") == 0)
            fputs("# Disabled = yes\n", out);
        fprintf(out, "PublicKey = %s\n", key);
        if (r->has_psk) {
            key_to_base64(r->psk, key);
            fprintf(out, "PresharedKey = %s\n", key);
            secret_wipe(key, sizeof(key));
        }
        for (unsigned n = 0; n < r->allowed_count; n++)
            fprintf(out, "AllowedIPs = %s\n", r->allowed[n]);
        if (*r->endpoint)
            fprintf(out, "Endpoint = %s\n", r->endpoint);
        if (r->keepalive_s)
            fprintf(out, "PersistentKeepalive = %u\n", r->keepalive_s);
    }
}

static int write_json(const struct peer_rows *rows, const struct peer_rows *groups)
{
    json_t *list = json_array(), *named = json_array();
    json_t *o = json_pack("{s:i, s:o, s:o}", "schema", SCHEMA, "groups", named, "peers", list);

    for (unsigned i = 0; i < groups->count; i++)
        json_array_append_new(named, row_group_json(&groups->row[i]));

    for (unsigned i = 0; i < rows->count; i++)
        json_array_append_new(list, row_peer_json(&rows->row[i], true));
    return cli_json(o, false);
}

int cmd_export(const struct cli *c, int argc, char **argv)
{
    struct control_request request = {
        .version = CONTROL_VERSION,
        .kind = CONTROL_PEER,
        .command = {.verb = PEER_LIST, .secrets = true},
    };
    struct control_reply reply, groups = {0};
    bool wg = argc == 1 && strcmp(argv[0], "--wg") == 0;
    int r;

    if (argc && !wg)
        return cli_fail(EXIT_USAGE, "export takes --wg or nothing; try 'guardmount export --help'");
    if (wg && c->json)
        return cli_fail(EXIT_USAGE, "export: --wg or --json, not both");
    r = client_request(c, &request, &reply);
    if (r != EXIT_GOOD)
        return r;
    if (!reply.peers)
        r = cli_fail(EXIT_UNREACHABLE, "the daemon's answer makes no sense");
    for (unsigned i = 0; r == EXIT_GOOD && i < reply.peers->count; i++)
        if (reply.peers->row[i].has_psk && secret_is_zero(reply.peers->row[i].psk, 32))
            r = cli_fail(EXIT_FAILED, "the daemon keeps preshared keys to itself: it is an older "
                                      "one; upgrade it first");
    if (r == EXIT_GOOD && wg)
        write_wg(reply.peers, stdout);
    if (r == EXIT_GOOD && !wg) {
        request.command = (struct peer_command){.verb = PEER_LIST, .is_group = true};
        r = client_request(c, &request, &groups);
        if (r == EXIT_GOOD)
            r = groups.peers ? write_json(reply.peers, groups.peers)
                             : cli_fail(EXIT_UNREACHABLE, "the daemon's answer makes no sense");
    }
    control_reply_done(&groups);
    control_reply_done(&reply);
    return r;
}
