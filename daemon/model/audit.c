#include "model/audit.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/fields.h"
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SHOWN_PREFIXES 4 /* of a long list */

void audit_seal(struct audit_entry *e, const uint8_t previous[AUDIT_HASH_LEN])
{
    char line[2 * AUDIT_HASH_LEN + 24 + sizeof(e->text)];
    int len;

    hex_encode(previous, AUDIT_HASH_LEN, line);
    len = 2 * AUDIT_HASH_LEN;
    len += snprintf(line + len, sizeof(line) - (size_t)len, " %" PRIu64 " %s", e->serial, e->text);
    crypto_generichash(e->hash, sizeof(e->hash), (const uint8_t *)line, (size_t)len, NULL, 0);
}

bool audit_intact(const struct audit_entry *e, const uint8_t previous[AUDIT_HASH_LEN])
{
    struct audit_entry again = *e;

    audit_seal(&again, previous);
    return memcmp(again.hash, e->hash, sizeof(e->hash)) == 0;
}

static void write_time(char *ret, size_t room, uint64_t real_s)
{
    time_t s = (time_t)real_s;
    struct tm utc;

    ret[0] = '\0';
    strftime(ret, room, "%FT%TZ", gmtime_r(&s, &utc));
}

static void write_entry(char ret[AUDIT_TEXT_MAX + 1], const struct audit_origin *o, const char *did,
                        const char *rest)
{
    char at[32];
    size_t len;

    write_time(at, sizeof(at), o->real_ns / 1000000000);
    len = fields_format(ret, AUDIT_TEXT_MAX + 1, "at=%s member=%u by=%s did=%s", at, o->member,
                        *o->actor ? o->actor : "daemon", did);
    snprintf(ret + len, AUDIT_TEXT_MAX + 1 - len, "%s%s", *rest ? " " : "", rest);
}

void audit_write(char ret[AUDIT_TEXT_MAX + 1], const struct audit_origin *o, const char *did,
                 const char *details)
{
    char rest[AUDIT_TEXT_MAX + 1] = "";

    if (*details)
        fields_format(rest, sizeof(rest), "what=%s", details);
    write_entry(ret, o, did, rest);
}

static const char *deed(const struct peer *before, const struct peer *now)
{
    bool was = before && before->state == PEER_ACTIVE;

    if (now->is_group)
        return now->state == PEER_ACTIVE ? "group.set" : "group.remove";
    if (now->state == PEER_REVOKED)
        return "peer.revoke";
    if (now->state == PEER_REMOVED)
        return was && before->is_group ? "group.remove" : "peer.remove";
    if (!was)
        return before && before->state == PEER_REVOKED ? "peer.reinstate" : "peer.add";
    return before->pending && !now->pending ? "peer.approve" : "peer.set";
}

static void list_prefixes(char *ret, size_t room, const struct peer *p)
{
    char text[PREFIX_TEXT_LEN];
    size_t len = 0;

    ret[0] = '\0';
    for (unsigned i = 0; i < p->allowed_count && i < SHOWN_PREFIXES; i++)
        len += (size_t)snprintf(ret + len, room - len, "%s%s", i ? "," : "",
                                prefix_format(&p->allowed[i], text));
    if (p->allowed_count > SHOWN_PREFIXES)
        snprintf(ret + len, room - len, ",+%u", p->allowed_count - SHOWN_PREFIXES);
}

static void say_text(char *ret, size_t room, const char *name, const char *value)
{
    size_t len = (size_t)snprintf(ret, room, "%s", name) - 1;

    /* Quoted as a field, whose name is in the format: one letter, in the place of the last one. */
    if (len + 1 < room) {
        fields_format(ret + len, room - len, "x=%s", *value ? value : "none");
        ret[len] = name[len];
    }
}

static void add_field(char *rest, size_t room, const struct peer *p, unsigned field)
{
    static const char *const texts[PEER_TEXTS] = {
        [PEER_OWNER] = "owner", [PEER_DEVICE] = "device", [PEER_NOTE] = "note",
        [PEER_DNS] = "dns",     [PEER_ROUTES] = "routes", [PEER_NETWORKS] = "networks"};
    char text[MAX(SHOWN_PREFIXES * (PREFIX_TEXT_LEN + 1) + 16, ENDPOINT_TEXT_LEN)] = "";
    size_t len = strlen(rest);

    rest[len++] = ' ';
    rest += len;
    room -= len;
    switch (field) {
    case PEER_FIELD_PSK:
        fields_format(rest, room, "psk=%s", p->psk ? "yes" : "none");
        break;
    case PEER_FIELD_ENDPOINT:
        if (endpoint_is_set(&p->endpoint))
            endpoint_format(&p->endpoint, text);
        say_text(rest, room, "endpoint", text);
        break;
    case PEER_FIELD_KEEPALIVE:
        fields_format(rest, room, "keepalive=%u", p->keepalive_s);
        break;
    case PEER_FIELD_ALLOWED:
        list_prefixes(text, sizeof(text), p);
        say_text(rest, room, "allowed", text);
        break;
    case PEER_FIELD_GROUP:
        say_text(rest, room, "group", p->group);
        break;
    case PEER_FIELD_POLICY:
        fields_format(rest, room, "policy=%s", p->policy == POLICY_ISOLATE ? "isolate" : "open");
        break;
    case PEER_FIELD_DISABLED:
        fields_format(rest, room, "disabled=%s", p->disabled ? "yes" : "no");
        break;
    case PEER_FIELD_EXPIRES:
        if (p->expires_s)
            write_time(text, sizeof(text), p->expires_s);
        say_text(rest, room, "expires", text);
        break;
    case PEER_FIELD_PENDING:
        fields_format(rest, room, "pending=%s", p->pending ? "yes" : "no");
        break;
    case PEER_FIELD_REPLACES:
        if (peer_is_heir(p))
            key_to_base64(p->replaces.b, text);
        say_text(rest, room, "replaces", text);
        break;
    case PEER_FIELD_MTU:
        fields_format(rest, room, "mtu=%u", p->mtu);
        break;
    default:
        if (field >= PEER_FIELD_TEXT)
            say_text(rest, room, texts[field - PEER_FIELD_TEXT],
                     peer_text(p, (enum peer_text)(field - PEER_FIELD_TEXT)));
        else
            fields_format(rest, room, "field=%u", field);
        break;
    }
}

/* Of a new peer: what is not as in any new peer. */
static bool worth_telling(const struct peer *p, unsigned field)
{
    switch (field) {
    case PEER_FIELD_PSK:
        return p->psk != NULL;
    case PEER_FIELD_ENDPOINT:
        return endpoint_is_set(&p->endpoint);
    case PEER_FIELD_KEEPALIVE:
        return p->keepalive_s;
    case PEER_FIELD_ALLOWED:
        return p->allowed_count;
    case PEER_FIELD_GROUP:
        return *p->group;
    case PEER_FIELD_POLICY:
        return p->policy != POLICY_OPEN;
    case PEER_FIELD_DISABLED:
        return p->disabled;
    case PEER_FIELD_EXPIRES:
        return p->expires_s;
    case PEER_FIELD_PENDING:
        return p->pending;
    case PEER_FIELD_REPLACES:
        return peer_is_heir(p);
    case PEER_FIELD_MTU:
        return p->mtu;
    default:
        return field >= PEER_FIELD_TEXT && *peer_text(p, (enum peer_text)(field - PEER_FIELD_TEXT));
    }
}

void audit_write_peer(char ret[AUDIT_TEXT_MAX + 1], const struct audit_origin *o,
                      const struct peer *before, const struct peer *now,
                      const struct version *stamp)
{
    const char *did = deed(before, now), *was = before ? before->name : "";
    char key[KEY_TEXT_LEN + 1], rest[AUDIT_TEXT_MAX + 1] = "";
    bool set = before && before->state == PEER_ACTIVE;

    key_to_base64(now->key.b, key);
    /* A removed peer has no name any more; one that has a new name is told by the old one, too. */
    fields_format(rest, sizeof(rest), "peer=%s name=%s", key, *now->name ? now->name : was);
    if (set && *now->name && strcmp(was, now->name) != 0)
        fields_format(rest + strlen(rest), sizeof(rest) - strlen(rest), " was=%s", was);
    for (unsigned f = 0; f < PEER_FIELDS && now->state == PEER_ACTIVE; f++)
        if (f != PEER_FIELD_NAME && sizeof(rest) - strlen(rest) > 2 &&
            (set ? version_compare(&now->version[f], stamp) == 0 : worth_telling(now, f)))
            add_field(rest, sizeof(rest), now, f);
    write_entry(ret, o, did, rest);
}
