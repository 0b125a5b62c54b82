#include "ha/conntrackd.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"

#define IGNORED_MAX (2 + MEMBERS_MAX * (2 + CONF_INNER_MAX) + VIPS_MAX * VIP_ADDRS_MAX)

struct ignored {
    struct ip_addr addr[IGNORED_MAX];
    unsigned count;
};

__attribute__((format(printf, 3, 4))) static int refuse(char error[RENDER_ERROR_LEN], int r,
                                                        const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(error, RENDER_ERROR_LEN, format, args);
    va_end(args);
    return r;
}

static const struct ip_addr *sync_address(const struct conf *c, uint8_t member)
{
    return &c->member[member].sync_address.addr;
}

/* Of the siblings; *ret_last: one of them. */
static unsigned siblings(const struct conf *c, uint8_t *ret_last)
{
    unsigned n = 0;

    for (uint8_t m = 1; m < MEMBERS_MAX; m++)
        if (c->member[m].id && m != c->self) {
            *ret_last = m;
            n++;
        }
    return n;
}

static int check(const struct conf *c, char error[RENDER_ERROR_LEN])
{
    const struct ip_addr *own = sync_address(c, c->self);
    uint8_t last;

    if (!*c->conntrackd_ifname)
        return refuse(error, -ENOENT,
                      "there is no [Conntrackd] section; its Interface names the one of the sync "
                      "network");
    if (!siblings(c, &last))
        return refuse(error, -ENOENT, "this member has no sibling: it needs no conntrackd");
    for (uint8_t m = 1; m < MEMBERS_MAX; m++)
        if (c->member[m].id && addr_is_v4(sync_address(c, m)) != addr_is_v4(own))
            return refuse(error, -EINVAL,
                          "SyncAddress of member %s is of another family than this member's: "
                          "conntrackd speaks one",
                          c->member[m].name);
    return 0;
}

static void put_channel(FILE *out, const struct conf *c)
{
    const struct ip_addr *own = sync_address(c, c->self);
    char self[ADDR_TEXT_LEN], to[ADDR_TEXT_LEN];
    bool v4 = addr_is_v4(own);
    uint8_t sibling = 0;
    bool pair = siblings(c, &sibling) == 1;

    addr_format(own, self);
    addr_format(sync_address(c, sibling), to);
    fprintf(out,
            "Sync {\n"
            "    Mode %s {\n"
            "        DisableExternalCache On\n"
            "        StartupResync On\n"
            "    }\n",
            pair ? "FTFW" : "NOTRACK");
    if (pair)
        fprintf(out,
                "    UDP {\n"
                "        IPv%c_address %s\n"
                "        IPv%c_Destination_Address %s\n"
                "        Port %u\n",
                v4 ? '4' : '6', self, v4 ? '4' : '6', to, c->conntrackd_port);
    else
        fprintf(out,
                "    Multicast {\n"
                "        IPv%c_address %s\n"
                "        Group %u\n",
                v4 ? '4' : '6', v4 ? CONNTRACKD_GROUP_V4 : CONNTRACKD_GROUP_V6, c->conntrackd_port);
    if (!pair && v4)
        fprintf(out, "        IPv4_interface %s\n", self);
    fprintf(out,
            "        Interface %s\n"
            "        Checksum On\n"
            "    }\n"
            "}\n\n",
            c->conntrackd_ifname);
}

/* Once each: conntrackd warns of what it knows already. */
static void ignore(struct ignored *all, const struct ip_addr *a)
{
    for (unsigned i = 0; i < all->count; i++)
        if (addr_equal(&all->addr[i], a))
            return;
    if (!addr_is_zero(a))
        all->addr[all->count++] = *a;
}

/* The members' own connections, and the encrypted packets of clients. */
static void put_ignored(FILE *out, const struct conf *c)
{
    static const char *const loopback[] = {"127.0.0.1", "::1"};
    struct ignored all = {0};
    char text[ADDR_TEXT_LEN];

    for (unsigned i = 0; i < ARRAY_LEN(loopback); i++) {
        struct ip_addr a;
        int r = addr_parse(loopback[i], &a);

        assert(r == 0);
        ignore(&all, &a);
    }
    for (uint8_t m = 1; m < MEMBERS_MAX; m++) {
        const struct conf_member *o = &c->member[m];

        if (!o->id)
            continue;
        ignore(&all, &o->sync_address.addr);
        ignore(&all, &o->outer_address);
        for (unsigned i = 0; i < o->inner_address_count; i++)
            ignore(&all, &o->inner_address[i]);
    }
    for (unsigned v = 0; v < c->vip_count; v++)
        for (unsigned i = 0; i < c->vip[v].outer_count; i++)
            ignore(&all, &c->vip[v].outer[i].addr);
    for (unsigned i = 0; i < all.count; i++)
        fprintf(out, "            IPv%c_address %s\n", addr_is_v4(&all.addr[i]) ? '4' : '6',
                addr_format(&all.addr[i], text));
}

static void put_all(FILE *out, const struct conf *c)
{
    fprintf(out,
            RENDER_MARK " for member %s (%u); the same file is made again\n"
                        "# from the member's configuration, so change that one.\n",
            c->member[c->self].name, c->self);
    put_channel(out, c);
    fprintf(out, "General {\n"
                 "    Systemd on\n"
                 "    HashSize 32768\n"
                 "    HashLimit 131072\n"
                 "    Syslog on\n"
                 "    LockFile /run/lock/conntrackd.lock\n"
                 "    UNIX {\n"
                 "        Path /run/conntrackd.ctl\n"
                 "    }\n"
                 "    NetlinkBufferSize 2097152\n"
                 "    NetlinkBufferSizeMaxGrowth 8388608\n"
                 "    Filter From Userspace {\n"
                 "        Address Ignore {\n");
    put_ignored(out, c);
    fprintf(out, "        }\n"
                 "    }\n"
                 "}\n");
}

int render_conntrackd(const struct conf *c, char **ret_text, char ret_error[RENDER_ERROR_LEN])
{
    char *text = NULL;
    size_t len;
    int r = check(c, ret_error);

    if (r < 0)
        return r;
    FILE *out = open_memstream(&text, &len);
    if (!out)
        return refuse(ret_error, -ENOMEM, "out of memory");
    put_all(out, c);
    if (fclose(out) != 0) {
        free(text);
        return refuse(ret_error, -ENOMEM, "out of memory");
    }
    *ret_text = text;
    return 0;
}
