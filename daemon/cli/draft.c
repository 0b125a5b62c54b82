#include "cli/draft.h"
#include "base/bytes.h"
#include "base/err.h"
#include "conf/parse.h"
#include "conf/schema.h"
#include "conf/value.h"
#include <ctype.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#define MEMBER_FORM "NAME=ADDRESS or NAME=ADDRESS:PORT"

const char *const draft_options[DRAFT_WORDS] = {
    [DRAFT_NAME] = "--name",
    [DRAFT_HUB_ADDRESS] = "--hub-address",
    [DRAFT_OUTER] = "--outer",
    [DRAFT_INNER] = "--inner",
    [DRAFT_PORT] = "--port",
    [DRAFT_VRID_OUTER] = "--vrid-outer",
    [DRAFT_VRID_INNER] = "--vrid-inner",
    [DRAFT_OUTER_PROBE] = "--outer-probe",
    [DRAFT_INNER_PROBE] = "--inner-probe",
};

/* The key that each becomes; what may stand there is the schema's to say. */
static const struct rule {
    enum conf_section section;
    const char *key;
    bool required;
    const char *fallback;
} rules[DRAFT_WORDS] = {
    [DRAFT_NAME] = {SECTION_CLUSTER, "Name", .required = true},
    [DRAFT_HUB_ADDRESS] = {SECTION_HUB, "Address", .required = true},
    [DRAFT_OUTER] = {SECTION_VIP, "Outer", .required = true},
    [DRAFT_INNER] = {SECTION_VIP, "Inner"},
    [DRAFT_PORT] = {SECTION_VIP, "Port", .fallback = "51820"},
    [DRAFT_VRID_OUTER] = {SECTION_VIP, "VridOuter", .fallback = "51"},
    [DRAFT_VRID_INNER] = {SECTION_VIP, "VridInner"},
    [DRAFT_OUTER_PROBE] = {SECTION_LAN, "Probe"},
    [DRAFT_INNER_PROBE] = {SECTION_LAN, "Probe"},
};
#define VRID_INNER_FALLBACK "61" /* only where there is an inner side */

__attribute__((format(printf, 2, 3))) static int refuse(char error[CONF_ERROR_LEN],
                                                        const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(error, CONF_ERROR_LEN, format, args);
    va_end(args);
    return -EINVAL;
}

/* Folders are named after it. */
static bool is_folder_name(const char *text)
{
    return value_name(text) && text[0] != '.' && text[0] != '-';
}

/* An address without a length is a network of its own, in which no client has a place. */
static bool has_room(const struct conf_hub *h)
{
    bool room = true;

    for (unsigned i = 0; i < h->address_count; i++)
        room &= h->address[i].prefix.len < (h->address[i].prefix.v6 ? 128 : 32);
    return room;
}

int draft_set(struct draft *d, enum draft_word w, const char *text, char error[CONF_ERROR_LEN])
{
    union {
        struct conf conf;
        struct conf_hub hub;
        struct vip_draft vip;
        struct conf_lan lan;
    } scratch = {0};
    const struct conf_key *key = conf_key_find(rules[w].section, rules[w].key);
    char expected[VALUE_EXPECTED_LEN];
    bool good = value_store(key, text, &scratch);

    /* A line end that a list lets pass as a blank would begin a line of the file. */
    for (const char *c = text; *c && good; c++)
        good = !iscntrl((unsigned char)*c);
    if (!good)
        return refuse(error, "%s: expected %s", draft_options[w], value_expected(key, expected));
    if (w == DRAFT_NAME && !is_folder_name(text))
        return refuse(error, "%s: a folder is named after it; begin with a letter or digit",
                      draft_options[w]);
    if (w == DRAFT_HUB_ADDRESS && !has_room(&scratch.hub))
        return refuse(error, "%s: expected %s, with the length of the clients' network",
                      draft_options[w], value_expected(key, expected));
    if (d->word[w])
        return refuse(error, "%s is given twice; separate addresses with commas", draft_options[w]);
    d->word[w] = text;
    return 0;
}

int draft_add_member(struct draft *d, const char *text, char error[CONF_ERROR_LEN])
{
    const char *equals = strchr(text, '=');
    size_t len = equals ? (size_t)(equals - text) : 0;
    struct draft_member m = {.sync.port = DRAFT_SYNC_PORT};

    if (!len || len > MEMBER_NAME_MAX)
        return refuse(error, "--member: expected " MEMBER_FORM);
    memcpy(m.name, text, len);
    if (!is_folder_name(m.name))
        return refuse(error,
                      "--member: a name is 1 to %d letters, digits and ._-, and begins with "
                      "a letter or digit",
                      MEMBER_NAME_MAX);
    if (addr_parse(equals + 1, &m.sync.addr) < 0 && endpoint_parse(equals + 1, &m.sync) < 0)
        return refuse(error, "--member %s: expected " MEMBER_FORM, m.name);
    if (!value_is_unicast(&m.sync.addr) || !m.sync.port || m.sync.addr.scope)
        return refuse(error, "--member %s: no other member could reach this address", m.name);
    for (unsigned i = 0; i < d->member_count; i++) {
        if (strcasecmp(d->member[i].name, m.name) == 0)
            return refuse(error, "--member %s is given twice", m.name);
        if (endpoint_equal(&d->member[i].sync, &m.sync))
            return refuse(error, "--member %s: the address is %s's already; give each its own",
                          m.name, d->member[i].name);
    }
    if (d->member_count == MEMBER_ID_MAX)
        return refuse(error, "--member: at most %d", MEMBER_ID_MAX);
    d->member[d->member_count++] = m;
    return 0;
}

int draft_finish(struct draft *d, char error[CONF_ERROR_LEN])
{
    for (unsigned w = 0; w < DRAFT_WORDS; w++) {
        if (rules[w].required && !d->word[w])
            return refuse(error, "%s is missing; 'guardmount cluster --help' has an example",
                          draft_options[w]);
        if (!d->word[w])
            d->word[w] = rules[w].fallback;
    }
    if (d->alone && d->member_count != 1)
        return refuse(error, "--install takes one --member, this machine; invite the others");
    if (!d->alone && d->member_count < DRAFT_MEMBERS_MIN)
        return refuse(error,
                      "a cluster has at least two members; give each a --member NAME=ADDRESS");
    if (!d->word[DRAFT_INNER] && (d->word[DRAFT_VRID_INNER] || d->word[DRAFT_INNER_PROBE]))
        return refuse(
            error, "%s needs --inner",
            draft_options[d->word[DRAFT_VRID_INNER] ? DRAFT_VRID_INNER : DRAFT_INNER_PROBE]);
    if (d->word[DRAFT_INNER] && !d->word[DRAFT_VRID_INNER])
        d->word[DRAFT_VRID_INNER] = VRID_INNER_FALLBACK;
    return 0;
}

const char *draft_interface(const struct draft *d, enum draft_word w, char ret[IFNAME_MAX + 1])
{
    const char *at = d->word[w];
    char element[PREFIX_TEXT_LEN + IFNAME_MAX + 8];
    struct vip_addr a = {0};

    if (value_list_next(&at, element, sizeof(element)))
        value_vip_address(element, &a);
    memcpy(ret, a.ifname, sizeof(a.ifname));
    return ret;
}

static void make_private(uint8_t key[32], const struct rng *rng)
{
    rng_fill(rng, key, 32);
    key[0] &= 248;
    key[31] = (uint8_t)((key[31] & 127) | 64);
}

int draft_make_keys(struct draft_keys *k, unsigned members, const struct rng *rng)
{
    if (sodium_init() < 0)
        return -EIO;
    rng_fill(rng, k->cluster, sizeof(k->cluster));
    make_private(k->hub, rng);
    if (crypto_scalarmult_base(k->hub_public, k->hub) != 0)
        return -EIO;
    for (unsigned i = 0; i < members; i++) {
        make_private(k->sync[i], rng);
        if (crypto_scalarmult_base(k->sync_public[i], k->sync[i]) != 0)
            return -EIO;
    }
    return 0;
}

/* ---- the text ---- */

struct text {
    char *p;
    size_t len;
    bool full;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int n = vsnprintf(t->p + t->len, DRAFT_TEXT_MAX - t->len, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= DRAFT_TEXT_MAX - t->len)
        t->full = true;
    else
        t->len += (size_t)n;
}

static void add_key(struct text *t, const char *name, const uint8_t key[32])
{
    char base64[KEY_TEXT_LEN + 1];

    key_to_base64(key, base64);
    add(t, "%s = %s\n", name, base64);
    secret_wipe(base64, sizeof(base64));
}

static void add_members(struct text *t, const struct draft *d, const struct draft_keys *k)
{
    char sync[ENDPOINT_TEXT_LEN];

    for (unsigned i = 0; i < d->member_count; i++) {
        add(t, "\n[Member %s]\nId = %u\n", d->member[i].name, i + 1);
        add_key(t, "SyncPublicKey", k->sync_public[i]);
        add(t, "SyncAddress = %s\n", endpoint_format(&d->member[i].sync, sync));
    }
}

static void add_vip(struct text *t, const struct draft *d)
{
    add(t,
        "\n# Clients have Outer and Port as their endpoint; the LAN routes the hub's networks to "
        "Inner.\n"
        "[Vip main]\nVipId = 1\nHub = main\nPort = %s\n",
        d->word[DRAFT_PORT]);
    add(t, "# differs where interfaces have other names\nOuter = %s\n", d->word[DRAFT_OUTER]);
    if (d->word[DRAFT_INNER])
        add(t, "Inner = %s\n", d->word[DRAFT_INNER]);
    add(t, "# by preference\nMembers = ");
    for (unsigned i = 0; i < d->member_count; i++)
        add(t, "%s%s", i ? ", " : "", d->member[i].name);
    add(t, "\nVridOuter = %s\n", d->word[DRAFT_VRID_OUTER]);
    if (d->word[DRAFT_INNER])
        add(t, "VridInner = %s\n", d->word[DRAFT_VRID_INNER]);
}

static void add_lan(struct text *t, const struct draft *d, const char *name, enum draft_word side,
                    enum draft_word probe)
{
    char ifname[IFNAME_MAX + 1];

    if (d->word[probe])
        add(t, "\n[Lan %s]\nInterface = %s\nProbe = %s\n", name, draft_interface(d, side, ifname),
            d->word[probe]);
}

int draft_conf(const struct draft *d, const struct draft_keys *k, unsigned i,
               char ret_text[DRAFT_TEXT_MAX], struct conf **ret_conf, char error[CONF_ERROR_LEN])
{
    struct text t = {.p = ret_text};
    char name[MEMBER_NAME_MAX + sizeof("/guardmount.conf")];

    add(&t,
        "# /etc/guardmount/guardmount.conf of one member. It holds keys: mode 0640 and of the "
        "group\n"
        "# guardmount, or 0600. Members differ where it says so; guardmount.conf(5) lists every\n"
        "# key. After each change: guardmount check-config\n\n"
        "[Node]\n# differs\nId = %u\n\n[Cluster]\nName = %s\n",
        i + 1, d->word[DRAFT_NAME]);
    add_key(&t, "ClusterKey", k->cluster);
    add(&t, "# differs\n");
    add_key(&t, "SyncPrivateKey", k->sync[i]);
    add_members(&t, d, k);
    add(&t, "\n[Hub main]\nHubId = 1\n");
    add_key(&t, "PrivateKey", k->hub);
    add(&t, "Address = %s\n", d->word[DRAFT_HUB_ADDRESS]);
    add_vip(&t, d);
    add_lan(&t, d, "outer", DRAFT_OUTER, DRAFT_OUTER_PROBE);
    add_lan(&t, d, "inner", DRAFT_INNER, DRAFT_INNER_PROBE);
    if (t.full)
        return refuse(error, "the lists are too long for one file");
    snprintf(name, sizeof(name), "%s/guardmount.conf", d->member[i].name);
    return conf_parse(name, ret_text, t.len, ret_conf, error);
}
