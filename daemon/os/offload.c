#include "os/offload.h"
#include "base/err.h"
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    unsigned bits; /* of a name that is asked for: with what it needs */
} names[] = {
    {"udp-gro", OFFLOAD_UDP_GRO},
    {"udp-gso", OFFLOAD_UDP_GSO},
    {"vnet", OFFLOAD_TUN_VNET},
    {"tso", OFFLOAD_TUN_TSO | OFFLOAD_TUN_VNET},
    {"uso", OFFLOAD_TUN_USO | OFFLOAD_TUN_VNET},
};

static unsigned find(const char *name, size_t len)
{
    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        if (strlen(names[i].name) == len && memcmp(names[i].name, name, len) == 0)
            return names[i].bits;
    return 0;
}

int offload_parse(const char *text, unsigned *ret)
{
    unsigned set = 0;

    if (strcmp(text, "auto") == 0 || strcmp(text, "on") == 0)
        set = OFFLOAD_ALL;
    else if (strcmp(text, "off") != 0)
        for (const char *at = text;; at++) {
            size_t len = strcspn(at, ",");
            unsigned bits = find(at, len);

            if (!bits)
                return -EINVAL;
            set |= bits;
            at += len;
            if (!*at)
                break;
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
