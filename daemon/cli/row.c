#include "cli/row.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/secret.h"
#include "cli/writer.h"
#include <string.h>
#include <time.h>

static json_t *key_json(bool there, const struct public_key *key)
{
    char text[KEY_TEXT_LEN + 1];

    if (!there)
        return json_null();
    key_to_base64(key->b, text);
    return json_string(text);
}

static json_t *expiry_json(uint64_t expires_s)
{
    char text[SHOWN_LEN];
    time_t at = (time_t)expires_s;
    struct tm tm;

    if (!expires_s || !gmtime_r(&at, &tm) || !strftime(text, sizeof(text), "%FT%TZ", &tm))
        return json_null();
    return json_string(text); /* as when_parse() reads it */
}

json_t *row_peer_json(const struct peer_row *r, bool secrets)
{
    json_t *allowed = json_array(), *o;
    char time[SHOWN_LEN], key[KEY_TEXT_LEN + 1];

    for (unsigned i = 0; i < r->allowed_count; i++)
        json_array_append_new(allowed, json_string(r->allowed[i]));
    o = json_pack("{s:i, s:s, s:o, s:s, s:b, s:o, s:i, s:s, s:i, s:s, s:i, s:i}", "hub", r->hub,
                  "name", r->name, "public_key", key_json(true, &r->key), "state", r->state, "psk",
                  r->has_psk, "allowed_ips", allowed, "keepalive_s", r->keepalive_s, "endpoint",
                  r->endpoint, "vip", r->vip, "changed", show_time(time, r->changed_real_ns),
                  "changed_by", r->changed_by, "waiting", (int)r->waiting);
    if (!o)
        return NULL;
    json_object_set_new(o, "group", json_string(r->group));
    json_object_set_new(o, "owner", json_string(peer_row_text(r, PEER_OWNER)));
    json_object_set_new(o, "device", json_string(peer_row_text(r, PEER_DEVICE)));
    json_object_set_new(o, "note", json_string(peer_row_text(r, PEER_NOTE)));
    json_object_set_new(o, "expires", expiry_json(r->expires_s));
    json_object_set_new(o, "disabled", json_boolean(r->disabled));
    json_object_set_new(o, "pending", json_boolean(r->pending));
    json_object_set_new(o, "replaces", key_json(r->has_replaces, &r->replaces));
    json_object_set_new(o, "next_key", key_json(r->has_next, &r->next));
    if (secrets && r->has_psk) {
        key_to_base64(r->psk, key);
        json_object_set_new(o, "preshared_key", json_string(key));
        secret_wipe(key, sizeof(key));
    }
    return o;
}

json_t *row_group_json(const struct peer_row *r)
{
    char time[SHOWN_LEN];

    return json_pack("{s:i, s:s, s:s, s:s, s:i, s:i, s:s, s:s, s:s, s:s, s:i}", "hub", r->hub,
                     "name", r->name, "dns", peer_row_text(r, PEER_DNS), "route",
                     peer_row_text(r, PEER_ROUTES), "mtu", r->mtu, "keepalive_s", r->keepalive_s,
                     "policy", r->policy == POLICY_OPEN ? "open" : "isolate", "network",
                     peer_row_text(r, PEER_NETWORKS), "note", peer_row_text(r, PEER_NOTE),
                     "changed", show_time(time, r->changed_real_ns), "changed_by", r->changed_by);
}
