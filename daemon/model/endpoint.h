/* model/endpoint.h - addresses, prefixes and endpoints; IPv4 is held v4-mapped, always 16 bytes.
 *
 * Units: ports and lengths in host order; address bytes in network order.
 * Never: resolves names. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sockaddr;
struct sockaddr_storage;

struct ip_addr {
    uint8_t b[16];  /* IPv4 as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2) */
    uint32_t scope; /* interface index of a link-local address, else 0 */
};

struct endpoint {
    struct ip_addr addr;
    uint16_t port; /* 0 with a zero address: no endpoint known */
};

struct ip_prefix {
    struct ip_addr addr; /* host bits are zero */
    uint8_t len;         /* 0..32 for IPv4, 0..128 for IPv6 */
    bool v6;
};

#define ENDPOINT_TEXT_LEN 72
#define ADDR_TEXT_LEN 64
#define PREFIX_TEXT_LEN 68

bool addr_is_v4(const struct ip_addr *a);
bool addr_is_zero(const struct ip_addr *a);
bool addr_equal(const struct ip_addr *a, const struct ip_addr *b);
struct ip_addr addr_from_v4(const void *four_bytes);
struct ip_addr addr_from_v6(const void *sixteen_bytes, uint32_t scope);
/* "1.2.3.4", "fe80::1%eth0"; -EINVAL. */
int addr_parse(const char *text, struct ip_addr *ret);
const char *addr_format(const struct ip_addr *a, char buf[ADDR_TEXT_LEN]);

bool endpoint_is_set(const struct endpoint *e);
bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);
/* "1.2.3.4:5", "[v6%scope]:5"; -EINVAL. */
int endpoint_parse(const char *text, struct endpoint *ret);
const char *endpoint_format(const struct endpoint *e, char buf[ENDPOINT_TEXT_LEN]);
int endpoint_from_sockaddr(const struct sockaddr *sa, struct endpoint *ret);
/* Length of the sockaddr written: AF_INET for a mapped address, else AF_INET6. */
unsigned endpoint_to_sockaddr(const struct endpoint *e, struct sockaddr_storage *ret);

/* "net/cidr" or a bare address; host bits are masked away; -EINVAL. */
int prefix_parse(const char *text, struct ip_prefix *ret);
/* The same, keeping the host part: an interface address such as 10.0.0.1/24. */
int prefix_parse_host(const char *text, struct ip_prefix *ret_prefix, struct ip_addr *ret_host);
const char *prefix_format(const struct ip_prefix *p, char buf[PREFIX_TEXT_LEN]);
bool prefix_equal(const struct ip_prefix *a, const struct ip_prefix *b);
/* The network of @len bits around @p, p->len at most. */
struct ip_prefix prefix_around(const struct ip_prefix *p, uint8_t len);
bool prefix_contains(const struct ip_prefix *p, const struct ip_addr *a);
