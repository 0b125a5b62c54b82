#include "model/endpoint.h"
#include "base/bytes.h"
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool addr_is_v4(const struct ip_addr *a)
{
    return memcmp(a->b, mapped, sizeof(mapped)) == 0;
}

bool addr_is_zero(const struct ip_addr *a)
{
    static const uint8_t zero[16];

    return memcmp(a->b, zero, sizeof(zero)) == 0;
}

bool addr_equal(const struct ip_addr *a, const struct ip_addr *b)
{
    return memcmp(a->b, b->b, sizeof(a->b)) == 0 && a->scope == b->scope;
}

struct ip_addr addr_from_v4(const void *four_bytes)
{
    struct ip_addr a = {0};

    memcpy(a.b, mapped, sizeof(mapped));
    memcpy(a.b + 12, four_bytes, 4);
    return a;
}

struct ip_addr addr_from_v6(const void *sixteen_bytes, uint32_t scope)
{
    struct ip_addr a = {.scope = scope};

    memcpy(a.b, sixteen_bytes, 16);
    return a;
}

int addr_parse(const char *text, struct ip_addr *ret)
{
    char copy[ADDR_TEXT_LEN];
    struct in_addr v4;
    struct in6_addr v6;
    uint64_t scope = 0;
    char *percent;

    if (strnlen(text, sizeof(copy)) >= sizeof(copy))
        return -EINVAL;
    strcpy(copy, text);
    if (inet_pton(AF_INET, copy, &v4) == 1) {
        *ret = addr_from_v4(&v4);
        return 0;
    }
    percent = strchr(copy, '%');
    if (percent) {
        *percent++ = 0;
        scope = if_nametoindex(percent);
        if (!scope && !parse_u64(percent, 1, UINT32_MAX, &scope))
            return -EINVAL;
    }
    if (inet_pton(AF_INET6, copy, &v6) != 1)
        return -EINVAL;
    struct ip_addr a = addr_from_v6(&v6, (uint32_t)scope);
    if (scope && addr_is_v4(&a)) /* "::ffff:1.2.3.4%eth0": no socket address has both */
        return -EINVAL;
    *ret = a;
    return 0;
}

const char *addr_format(const struct ip_addr *a, char buf[ADDR_TEXT_LEN])
{
    char text[INET6_ADDRSTRLEN], name[IF_NAMESIZE];

    if (addr_is_v4(a)) {
        inet_ntop(AF_INET, a->b + 12, buf, ADDR_TEXT_LEN);
        return buf;
    }
    inet_ntop(AF_INET6, a->b, text, sizeof(text));
    if (!a->scope)
        snprintf(buf, ADDR_TEXT_LEN, "%s", text);
    else if (if_indextoname(a->scope, name))
        snprintf(buf, ADDR_TEXT_LEN, "%.45s%%%s", text, name);
    else
        snprintf(buf, ADDR_TEXT_LEN, "%.45s%%%u", text, a->scope);
    return buf;
}

bool endpoint_is_set(const struct endpoint *e)
{
    return e->port != 0 && !addr_is_zero(&e->addr);
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
    return a->port == b->port && addr_equal(&a->addr, &b->addr);
}

int endpoint_parse(const char *text, struct endpoint *ret)
{
    char copy[ENDPOINT_TEXT_LEN], *colon, *host = copy;
    struct endpoint e;
    uint64_t port;

    if (strnlen(text, sizeof(copy)) >= sizeof(copy))
        return -EINVAL;
    strcpy(copy, text);
    if (*copy == '[') {
        char *close = strchr(copy, ']');
        if (!close || close[1] != ':')
            return -EINVAL;
        *close = 0;
        host = copy + 1;
        colon = close + 1;
    } else {
        colon = strchr(copy, ':');
        if (!colon || strchr(colon + 1, ':'))
            return -EINVAL;
        *colon = 0;
    }
    if (!parse_u64(colon + 1, 1, 65535, &port) || addr_parse(host, &e.addr) < 0)
        return -EINVAL;
    if (*copy == '[' && addr_is_v4(&e.addr) && !strchr(host, ':'))
        return -EINVAL;
    e.port = (uint16_t)port;
    *ret = e;
    return 0;
}

const char *endpoint_format(const struct endpoint *e, char buf[ENDPOINT_TEXT_LEN])
{
    char text[ADDR_TEXT_LEN];

    addr_format(&e->addr, text);
    snprintf(buf, ENDPOINT_TEXT_LEN, addr_is_v4(&e->addr) ? "%s:%u" : "[%s]:%u", text, e->port);
    return buf;
}

int endpoint_from_sockaddr(const struct sockaddr *sa, struct endpoint *ret)
{
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
        *ret = (struct endpoint){addr_from_v4(&in->sin_addr), ntohs(in->sin_port)};
        return 0;
    }
    if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;
        *ret = (struct endpoint){addr_from_v6(&in6->sin6_addr, in6->sin6_scope_id),
                                 ntohs(in6->sin6_port)};
        return 0;
    }
    return -EAFNOSUPPORT;
}

unsigned endpoint_to_sockaddr(const struct endpoint *e, struct sockaddr_storage *ret)
{
    memset(ret, 0, sizeof(*ret));
    if (addr_is_v4(&e->addr)) {
        struct sockaddr_in *in = (struct sockaddr_in *)ret;
        in->sin_family = AF_INET;
        in->sin_port = htons(e->port);
        memcpy(&in->sin_addr, e->addr.b + 12, 4);
        return sizeof(*in);
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(e->port);
    in6->sin6_scope_id = e->addr.scope;
    memcpy(&in6->sin6_addr, e->addr.b, 16);
    return sizeof(*in6);
}

static void mask(struct ip_prefix *p)
{
    unsigned keep = p->len + (p->v6 ? 0 : 96);

    for (unsigned i = 0; i < 16; i++) {
        unsigned bits = keep <= 8 * i ? 0 : keep - 8 * i;
        if (bits < 8)
            p->addr.b[i] &= (uint8_t)(0xff00 >> bits);
    }
}

int prefix_parse_host(const char *text, struct ip_prefix *ret_prefix, struct ip_addr *ret_host)
{
    char copy[PREFIX_TEXT_LEN], *slash;
    struct ip_prefix p = {0};
    uint64_t len;

    if (strnlen(text, sizeof(copy)) >= sizeof(copy))
        return -EINVAL;
    strcpy(copy, text);
    slash = strchr(copy, '/');
    if (slash)
        *slash++ = 0;
    if (addr_parse(copy, &p.addr) < 0 || p.addr.scope)
        return -EINVAL;
    p.v6 = strchr(copy, ':') != NULL;
    len = p.v6 ? 128 : 32;
    if (slash && !parse_u64(slash, 0, len, &len))
        return -EINVAL;
    p.len = (uint8_t)len;
    struct ip_addr host = p.addr;
    mask(&p);
    *ret_prefix = p;
    *ret_host = host;
    return 0;
}

int prefix_parse(const char *text, struct ip_prefix *ret)
{
    struct ip_addr host;

    return prefix_parse_host(text, ret, &host);
}

const char *prefix_format(const struct ip_prefix *p, char buf[PREFIX_TEXT_LEN])
{
    char text[INET6_ADDRSTRLEN];

    inet_ntop(p->v6 ? AF_INET6 : AF_INET, p->addr.b + (p->v6 ? 0 : 12), text, sizeof(text));
    snprintf(buf, PREFIX_TEXT_LEN, "%s/%u", text, p->len);
    return buf;
}

bool prefix_equal(const struct ip_prefix *a, const struct ip_prefix *b)
{
    return a->v6 == b->v6 && a->len == b->len && memcmp(a->addr.b, b->addr.b, 16) == 0;
}

struct ip_prefix prefix_around(const struct ip_prefix *p, uint8_t len)
{
    struct ip_prefix q = {p->addr, len, p->v6};

    mask(&q);
    return q;
}

bool prefix_contains(const struct ip_prefix *p, const struct ip_addr *a)
{
    if (p->v6 == addr_is_v4(a))
        return false;
    struct ip_prefix q = {*a, p->len, p->v6};
    q.addr.scope = 0;
    mask(&q);
    return memcmp(q.addr.b, p->addr.b, 16) == 0;
}
