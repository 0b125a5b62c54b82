/* Text to addresses, prefixes, endpoints and keys. What is read is printed, and read again it is
 * the same. */
#include "base/bytes.h"
#include "model/endpoint.h"
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define TEXT_MAX 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(bool good)
{
    if (!good)
        abort();
}

static void address(const char *text)
{
    char buf[ADDR_TEXT_LEN];
    struct ip_addr a, b;

    if (addr_parse(text, &a) < 0)
        return;
    check(addr_parse(addr_format(&a, buf), &b) == 0 && addr_equal(&a, &b));
}

static void endpoint(const char *text)
{
    char buf[ENDPOINT_TEXT_LEN];
    struct sockaddr_storage sa;
    struct endpoint a, b;

    if (endpoint_parse(text, &a) < 0)
        return;
    check(endpoint_parse(endpoint_format(&a, buf), &b) == 0 && endpoint_equal(&a, &b));
    endpoint_to_sockaddr(&a, &sa);
    check(endpoint_from_sockaddr((struct sockaddr *)&sa, &b) == 0 && endpoint_equal(&a, &b));
}

static void prefix(const char *text)
{
    char buf[PREFIX_TEXT_LEN];
    struct ip_prefix a, b;
    struct ip_addr host;

    if (prefix_parse_host(text, &a, &host) < 0)
        return;
    check(a.len <= (a.v6 ? 128 : 32));
    check(prefix_parse(prefix_format(&a, buf), &b) == 0 && prefix_equal(&a, &b));
    if (a.v6 != addr_is_v4(&host)) /* not ::ffff:1.2.3.4/128, an IPv6 prefix that no packet has */
        check(prefix_contains(&a, &host));
}

static void key(const char *text)
{
    char again[KEY_TEXT_LEN + 1];
    uint8_t k[32];

    if (!key_from_base64(text, k))
        return;
    key_to_base64(k, again);
    check(strcmp(text, again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char text[TEXT_MAX + 1];

    if (len > TEXT_MAX)
        return 0;
    memcpy(text, data, len);
    text[len] = 0;
    address(text);
    endpoint(text);
    prefix(text);
    key(text);
    return 0;
}
