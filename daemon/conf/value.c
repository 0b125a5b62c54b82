#include "conf/value.h"
#include "base/bytes.h"
#include "base/err.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define DURATION_MAX_S 1000000.0

bool value_duration(const char *text, uint64_t *ret_ms)
{
    char *end;
    double scale;

    if (!isdigit((unsigned char)*text))
        return false;
    double v = strtod(text, &end);
    if (strcmp(end, "ms") == 0)
        scale = 1;
    else if (*end == 0 || strcmp(end, "s") == 0)
        scale = 1000;
    else if (strcmp(end, "m") == 0 || strcmp(end, "min") == 0)
        scale = 60000;
    else
        return false;
    if (!(v >= 0 && v * scale <= DURATION_MAX_S * 1000))
        return false;
    *ret_ms = (uint64_t)(v * scale + 0.5);
    return true;
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
        prefix_parse_host(prefix_text, &prefix, &ret->addr) < 0)
        return false;
    ret->prefix_len = prefix.len;
    snprintf(ret->ifname, sizeof(ret->ifname), "%.15s", ifname);
    return true;
}
