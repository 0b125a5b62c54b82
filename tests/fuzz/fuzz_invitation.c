/* What an invitation takes from outside: tokens, messages, and a configuration that is changed.
 *
 * Input: which of them (1), then a token's text; a message; or a file, and what is done to it: how
 * much room there is (be16), which changes (1). */
#include "base/bytes.h"
#include "base/err.h"
#include "cli/conftext.h"
#include "cli/invitation.h"
#include "conf/conf.h"
#include <stdlib.h>
#include <string.h>

#define ROOM_MAX 16384

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* What is taken is what would be written, but for bits that base64 leaves over. */
static void take_token(const uint8_t *data, size_t len)
{
    char text[TOKEN_TEXT_MAX * 2], again[TOKEN_TEXT_MAX];
    struct token t;

    len = MIN(len, sizeof(text) - 1);
    memcpy(text, data, len);
    text[len] = 0;
    if (token_parse(text, &t) < 0)
        return;
    token_format(&t, again);
    must(strcmp(text, again) == 0 && endpoint_is_set(&t.where) && endpoint_is_set(&t.member));
}

static void take_message(const uint8_t *data, size_t len)
{
    struct invitation_message m = {0};

    if (invitation_parse(data, len, &m) < 0)
        return;
    must(m.kind >= INVITATION_ASK && m.kind <= INVITATION_REFUSE && m.body == data + 1 &&
         m.len == len - 1 && m.len <= INVITATION_BODY_MAX);
    must(m.kind != INVITATION_ASK || m.len == 32);
    for (size_t i = 0; i < m.len && m.kind == INVITATION_REFUSE; i++)
        must((m.body[i] >= ' ' && m.body[i] < 0x7f) || m.body[i] == '\n' || m.body[i] == '\t');
}

/* Nothing is written behind the room, and a good file without the change is a good one with it. */
static void change_file(const uint8_t *data, size_t len)
{
    char error[CONF_ERROR_LEN] = "";
    struct conf_member guest = {.id = 15, .name = "the-guest", .sync_public_key = {1}};
    struct conftext_change change = {0};
    struct conf *was = NULL, *is = NULL;
    size_t room, got = 0;

    if (len < 3)
        return;
    room = load_be16(data) % ROOM_MAX;
    must(endpoint_parse("192.0.2.250:1", &guest.sync_address) == 0);
    must(addr_parse("192.0.2.251", &guest.outer_address) == 0);
    must(addr_parse("192.0.2.252", &guest.inner_address[0]) == 0);
    guest.inner_address_count = 1;
    change.add = data[2] & 1 ? &guest : NULL;
    change.remove = data[2] & 2 ? "m2" : NULL;
    change.rename = &(struct conftext_rename){"eth0", "ens3"};
    change.rename_count = data[2] & 4 ? 1 : 0;
    char *out = malloc(room + 1); /* exact: writing behind the end is seen */
    must(out != NULL);
    if (conftext_change((const char *)data + 3, len - 3, &change, out, room, &got) == 0) {
        must(got < room && out[got] == 0);
        if (change.add && !change.remove && !change.rename_count &&
            conf_parse("f", (const char *)data + 3, len - 3, &was, error) == 0 &&
            !was->member[guest.id].id && conf_parse("f", out, got, &is, error) == 0) {
            must(is->member[guest.id].id == guest.id && is->vip_count == was->vip_count);
            for (unsigned i = 0; i < is->vip_count; i++)
                must(strchr((const char *)is->vip[i].order, guest.id) != NULL);
        }
    }
    free(out);
    conf_free(was);
    conf_free(is);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 1)
        return 0;
    if (*data % 3 == 0)
        take_token(data + 1, len - 1);
    else if (*data % 3 == 1)
        take_message(data + 1, len - 1);
    else
        change_file(data + 1, len - 1);
    must(secret_slots_used() == 0);
    return 0;
}
