#include "conf/value.h"
#include "base/bytes.h"
#include "base/err.h"
#include "conf/parse.h"
#include "model/offload.h"
#include "model/peer.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define DURATION_DIGITS_MAX 9 /* before and behind the point: no product overflows */

/* Digits only: strtod() would take 0x10, 1e3 and the decimal comma of a locale. */
bool value_duration(const char *text, uint64_t *ret_ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"", 1000}, {"s", 1000}, {"m", 60000}, {"min", 60000}};
    uint64_t whole = 0, part = 0, of = 1;
    unsigned digits = 0, places = 0;

    for (; isdigit((unsigned char)*text) && digits <= DURATION_DIGITS_MAX; text++, digits++)
        whole = 10 * whole + (uint64_t)(*text - '0');
    if (!digits || digits > DURATION_DIGITS_MAX)
        return false;
    if (*text == '.') {
        for (text++; isdigit((unsigned char)*text) && places <= DURATION_DIGITS_MAX; text++) {
            part = 10 * part + (uint64_t)(*text - '0');
            of *= 10;
            places++;
        }
        if (!places || places > DURATION_DIGITS_MAX)
            return false;
    }
    for (unsigned i = 0; i < ARRAY_LEN(units); i++)
        if (strcmp(text, units[i].unit) == 0) {
            if (part * units[i].ms % of) /* a part of a millisecond */
                return false;
            *ret_ms = whole * units[i].ms + part * units[i].ms / of;
            return true;
        }
    return false;
}

bool value_switch(const char *text, bool *ret)
{
    static const char *const on[] = {"on", "yes", "true", "1"}, *const off[] = {"off", "no",
                                                                                "false", "0"};

    for (unsigned i = 0; i < ARRAY_LEN(on); i++) {
        if (strcasecmp(text, on[i]) == 0 || strcasecmp(text, off[i]) == 0) {
            *ret = strcasecmp(text, on[i]) == 0;
            return true;
        }
    }
    return false;
}

bool value_number(const char *text, uint64_t *ret)
{
    char *end;

    if (text[0] == '0' && (text[1] | 32) == 'x' && isxdigit((unsigned char)text[2])) {
        errno = 0;
        unsigned long long v = strtoull(text + 2, &end, 16);
        if (errno || *end)
            return false;
        *ret = v;
        return true;
    }
    return parse_u64(text, 0, UINT64_MAX, ret);
}

bool value_name(const char *text)
{
    size_t len = strnlen(text, MEMBER_NAME_MAX + 1);

    if (len == 0 || len > MEMBER_NAME_MAX)
        return false;
    for (const char *c = text; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("_.-", *c))
            return false;
    return true;
}

bool value_ifname(const char *text)
{
    size_t len = strnlen(text, IFNAME_MAX + 1);

    if (len == 0 || len > IFNAME_MAX || strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
        return false;
    for (const char *c = text; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("_=+.-", *c))
            return false;
    return true;
}

bool value_list_next(const char **at, char *ret, size_t room)
{
    const char *from = *at, *to;

    if (!from)
        return false;
    to = strchr(from, ',');
    *at = to ? to + 1 : NULL;
    if (!to)
        to = from + strlen(from);
    while (from < to && isspace((unsigned char)*from))
        from++;
    while (to > from && isspace((unsigned char)to[-1]))
        to--;
    *ret = 0;
    if ((size_t)(to - from) < room) {
        memcpy(ret, from, (size_t)(to - from));
        ret[to - from] = 0;
    }
    return true;
}

bool value_vip_address(const char *text, struct vip_addr *ret)
{
    char prefix_text[PREFIX_TEXT_LEN], dev[8], ifname[IFNAME_MAX + 2], more;
    struct ip_prefix prefix;

    if (sscanf(text, "%67s %7s %16s %c", prefix_text, dev, ifname, &more) != 3 ||
        strcmp(dev, "dev") != 0 || !value_ifname(ifname) || !strchr(prefix_text, '/') ||
        prefix_parse_host(prefix_text, &prefix, &ret->addr) < 0 || !value_is_unicast(&ret->addr))
        return false;
    ret->prefix_len = prefix.len;
    snprintf(ret->ifname, sizeof(ret->ifname), "%.15s", ifname);
    return true;
}

bool value_is_unicast(const struct ip_addr *a)
{
    const uint8_t *v4 = a->b + 12;

    if (addr_is_v4(a))
        return load_be32(v4) != 0 && v4[0] < 224;
    return !addr_is_zero(a) && a->b[0] != 0xff;
}

/* ---- by the schema ---- */

static void store_uint(void *to, size_t size, uint64_t n)
{
    switch (size) {
    case 1:
        *(uint8_t *)to = (uint8_t)n;
        break;
    case 2:
        *(uint16_t *)to = (uint16_t)n;
        break;
    case 4:
        *(uint32_t *)to = (uint32_t)n;
        break;
    default:
        *(uint64_t *)to = n;
    }
}

static bool store_text(void *to, size_t size, const char *text)
{
    if (strlen(text) >= size)
        return false;
    strcpy(to, text);
    return true;
}

static bool store_choice(const struct conf_key *k, const char *text, void *to)
{
    for (unsigned i = 0; k->words[i]; i++)
        if (strcasecmp(k->words[i], text) == 0) {
            store_uint(to, k->size, i);
            return true;
        }
    return false;
}

static bool path_ok(const char *text, size_t max)
{
    if (*text != '/' || strlen(text) > max)
        return false;
    for (const char *c = text; *c; c++) /* it goes into keepalived's configuration as it is */
        if (!isalnum((unsigned char)*c) && !strchr("/._-+:@", *c))
            return false;
    return true;
}

static bool store_key(const char *text, struct secret32 **to)
{
    if (!*to)
        *to = secret_alloc();
    return *to && key_from_base64(text, (*to)->b);
}

static bool store_element(const struct conf_key *k, const char *text, void *list, unsigned i)
{
    struct conf_hub_address *address = (struct conf_hub_address *)list + i;
    struct ip_addr *probe = (struct ip_addr *)list + i;

    switch (k->type) {
    case TYPE_INTERFACE_ADDRESSES:
        return prefix_parse_host(text, &address->prefix, &address->host) == 0 &&
               value_is_unicast(&address->host);
    case TYPE_PREFIXES:
        return prefix_parse(text, (struct ip_prefix *)list + i) == 0;
    case TYPE_VIP_ADDRESSES:
        return value_vip_address(text, (struct vip_addr *)list + i);
    default:
        return addr_parse(text, probe) == 0 && value_is_unicast(probe);
    }
}

static bool store_list(const struct conf_key *k, const char *text, void *list, unsigned *count)
{
    char one[PREFIX_TEXT_LEN + IFNAME_MAX + 16];

    while (value_list_next(&text, one, sizeof(one)))
        if (*count == k->max || !store_element(k, one, list, (*count)++))
            return false;
    return true;
}

static bool members_ok(const char *text)
{
    char name[MEMBER_NAME_MAX + 1];
    unsigned count = 0;

    while (value_list_next(&text, name, sizeof(name)))
        if (!value_name(name) || ++count > MEMBER_ID_MAX)
            return false;
    return true;
}

static bool peers_ok(const char *text, size_t max)
{
    char name[PEER_NAME_MAX + 1];

    if (strlen(text) > max)
        return false;
    while (value_list_next(&text, name, sizeof(name)))
        if (!*name)
            return false;
    return true;
}

bool value_store(const struct conf_key *k, const char *text, void *base)
{
    void *to = (uint8_t *)base + k->offset;
    struct endpoint *e = to;
    uint64_t n;
    bool on;

    switch (k->type) {
    case TYPE_UINT:
    case TYPE_DURATION:
        if (!(k->type == TYPE_UINT ? value_number(text, &n) : value_duration(text, &n)) ||
            n < k->min || n > k->max)
            return false;
        store_uint(to, k->size, n);
        return true;
    case TYPE_SWITCH:
        if (!value_switch(text, &on))
            return false;
        *(bool *)to = on;
        return true;
    case TYPE_CHOICE:
        return store_choice(k, text, to);
    case TYPE_NAME:
        return value_name(text) && store_text(to, k->size, text);
    case TYPE_IFNAME:
        return value_ifname(text) && store_text(to, k->size, text);
    case TYPE_PATH:
        return path_ok(text, k->max) && store_text(to, k->size, text);
    case TYPE_KEY:
        return store_key(text, to);
    case TYPE_PUBLIC_KEY:
        return key_from_base64(text, to);
    case TYPE_ENDPOINT:
        return endpoint_parse(text, e) == 0 && value_is_unicast(&e->addr);
    case TYPE_ADDRESS:
        return addr_parse(text, to) == 0 && value_is_unicast(to);
    case TYPE_MEMBERS:
        return members_ok(text) && store_text(to, k->size, text);
    case TYPE_PEERS:
        return peers_ok(text, k->max) && store_text(to, k->size, text);
    case TYPE_OFFLOADS:
        return offload_parse(text, to) == 0;
    case TYPE_INTERFACE_ADDRESSES:
    case TYPE_PREFIXES:
    case TYPE_VIP_ADDRESSES:
    case TYPE_ADDRESSES:
        return store_list(k, text, to, (unsigned *)((uint8_t *)base + k->count_offset));
    }
    return false;
}

static bool equal_element(const struct conf_key *k, const void *a, const void *b, unsigned i)
{
    const struct conf_hub_address *ha = a, *hb = b;
    const struct vip_addr *va = a, *vb = b;

    switch (k->type) {
    case TYPE_INTERFACE_ADDRESSES:
        return prefix_equal(&ha[i].prefix, &hb[i].prefix) && addr_equal(&ha[i].host, &hb[i].host);
    case TYPE_PREFIXES:
        return prefix_equal((const struct ip_prefix *)a + i, (const struct ip_prefix *)b + i);
    case TYPE_VIP_ADDRESSES:
        return addr_equal(&va[i].addr, &vb[i].addr) && va[i].prefix_len == vb[i].prefix_len &&
               strcmp(va[i].ifname, vb[i].ifname) == 0;
    default:
        return addr_equal((const struct ip_addr *)a + i, (const struct ip_addr *)b + i);
    }
}

bool value_equal(const struct conf_key *k, const void *a_base, const void *b_base)
{
    const void *a = (const uint8_t *)a_base + k->offset, *b = (const uint8_t *)b_base + k->offset;
    const struct secret32 *const *key_a = a, *const *key_b = b;
    const unsigned *count_a, *count_b;
    bool equal;

    switch (k->type) {
    case TYPE_NAME:
    case TYPE_IFNAME:
    case TYPE_PATH:
    case TYPE_MEMBERS:
    case TYPE_PEERS:
        return strcmp(a, b) == 0;
    case TYPE_KEY:
        return secret_equal(*key_a, *key_b, sizeof(**key_a));
    case TYPE_ENDPOINT:
        return endpoint_equal(a, b);
    case TYPE_ADDRESS:
        return addr_equal(a, b);
    case TYPE_INTERFACE_ADDRESSES:
    case TYPE_PREFIXES:
    case TYPE_VIP_ADDRESSES:
    case TYPE_ADDRESSES:
        count_a = (const unsigned *)((const uint8_t *)a_base + k->count_offset);
        count_b = (const unsigned *)((const uint8_t *)b_base + k->count_offset);
        equal = *count_a == *count_b;
        for (unsigned i = 0; i < *count_a && equal; i++)
            equal = equal_element(k, a, b, i);
        return equal;
    default:
        return memcmp(a, b, k->size) == 0;
    }
}

static void expected_choice(const struct conf_key *k, char buf[VALUE_EXPECTED_LEN])
{
    size_t n = 0;

    for (unsigned i = 0; k->words[i] && n < VALUE_EXPECTED_LEN; i++)
        n += (size_t)snprintf(buf + n, VALUE_EXPECTED_LEN - n, "%s%s",
                              i == 0            ? ""
                              : k->words[i + 1] ? ", "
                                                : " or ",
                              k->words[i]);
}

const char *value_expected(const struct conf_key *k, char buf[VALUE_EXPECTED_LEN])
{
    static const char *const forms[] = {
        [TYPE_SWITCH] = "on or off",
        [TYPE_NAME] = "a word of 1 to 31 letters, digits and ._-",
        [TYPE_IFNAME] = "the name of a network interface",
        [TYPE_KEY] = "a key: 44 characters of base64",
        [TYPE_PUBLIC_KEY] = "a public key: 44 characters of base64",
        [TYPE_ENDPOINT] = "ADDRESS:PORT or [ADDRESS]:PORT",
        [TYPE_ADDRESS] = "an IP address",
        [TYPE_INTERFACE_ADDRESSES] = "ADDRESS/LENGTH, ...",
        [TYPE_PREFIXES] = "NETWORK/LENGTH, ...",
        [TYPE_VIP_ADDRESSES] = "ADDRESS/LENGTH dev INTERFACE, ...",
        [TYPE_MEMBERS] = "names of members, ...",
        [TYPE_ADDRESSES] = "IP addresses, ...",
        [TYPE_PEERS] = "all, none, or names of peers, ...",
        [TYPE_OFFLOADS] = OFFLOAD_EXPECTED,
    };
    unsigned long long min = k->min, max = k->max;

    switch (k->type) {
    case TYPE_UINT:
        snprintf(buf, VALUE_EXPECTED_LEN, "a whole number from %llu to %llu", min, max);
        break;
    case TYPE_DURATION:
        snprintf(buf, VALUE_EXPECTED_LEN, "a time such as 300ms, 5s or 1m; from %llu ms to %llu %s",
                 min, max % 1000 ? max : max / 1000, max % 1000 ? "ms" : "s");
        break;
    case TYPE_CHOICE:
        expected_choice(k, buf);
        break;
    case TYPE_PATH:
        snprintf(buf, VALUE_EXPECTED_LEN,
                 "an absolute path of at most %llu letters, digits and /._-+:@", max);
        break;
    case TYPE_INTERFACE_ADDRESSES:
    case TYPE_PREFIXES:
    case TYPE_VIP_ADDRESSES:
    case TYPE_MEMBERS:
    case TYPE_ADDRESSES:
        snprintf(buf, VALUE_EXPECTED_LEN, "%s (up to %llu)", forms[k->type], max);
        break;
    default:
        snprintf(buf, VALUE_EXPECTED_LEN, "%s", forms[k->type]);
    }
    return buf;
}
