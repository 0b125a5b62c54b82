#include "model/offload.h"
#include "base/err.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *name;
    unsigned with;    /* its bit, and those that it needs */
    unsigned without; /* its bit, and those that need it */
} names[] = {
    {"udp-gro", OFFLOAD_UDP_GRO, OFFLOAD_UDP_GRO},
    {"udp-gso", OFFLOAD_UDP_GSO, OFFLOAD_UDP_GSO},
    {"vnet", OFFLOAD_TUN_VNET, OFFLOAD_TUN_VNET | OFFLOAD_TUN_TSO | OFFLOAD_TUN_USO},
    {"tso", OFFLOAD_TUN_TSO | OFFLOAD_TUN_VNET, OFFLOAD_TUN_TSO},
    {"uso", OFFLOAD_TUN_USO | OFFLOAD_TUN_VNET, OFFLOAD_TUN_USO},
};

/* Which name stands at @at, and then @at is behind it; -1: none. */
static int name_read(const char **at)
{
    const char *name = *at;
    size_t len = strcspn(name, " \t,");

    *at = name + len + strspn(name + len, " \t");
    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        if (strlen(names[i].name) == len && strncasecmp(names[i].name, name, len) == 0)
            return (int)i;
    return -1;
}

int offload_parse(const char *text, unsigned *ret)
{
    bool minus = *text == '-';
    unsigned set = minus ? OFFLOAD_ALL : 0;

    if (strcasecmp(text, "auto") == 0 || strcasecmp(text, "on") == 0)
        set = OFFLOAD_ALL;
    else if (strcasecmp(text, "off") != 0)
        for (const char *at = text;; at++) {
            at += strspn(at, " \t");
            if ((*at == '-') != minus)
                return -EINVAL;
            at += minus;
            int i = name_read(&at);
            if (i < 0)
                return -EINVAL;
            set = minus ? set & ~names[i].without : set | names[i].with;
            if (!*at)
                break;
            if (*at != ',')
                return -EINVAL;
        }
    *ret = set;
    return 0;
}

const char *offload_format(unsigned set, char buf[OFFLOAD_TEXT_LEN])
{
    size_t at = 0;

    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        if (set & 1u << i)
            at += (size_t)snprintf(buf + at, OFFLOAD_TEXT_LEN - at, "%s%s", at ? "," : "",
                                   names[i].name);
    if (!at)
        snprintf(buf, OFFLOAD_TEXT_LEN, "none");
    return buf;
}
