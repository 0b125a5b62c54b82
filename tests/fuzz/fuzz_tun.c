/* What the kernel hands over at a TUN: looked up, and answered when it has no way out. */
#include "base/bytes.h"
#include "engine/internal.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static uint16_t checksum(uint32_t sum, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static void require(bool condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct wg_peer peer;
    struct allowedips table;
    struct ip_prefix v4 = {.len = 8}, v6 = {.len = 16, .v6 = true};
    uint8_t answer[UNREACHABLE_LEN_MAX];
    size_t ip_len = 0;

    v4.addr = addr_from_v4((uint8_t[]){10, 0, 0, 0});
    v6.addr.b[0] = 0xfd;
    allowedips_init(&table, NULL, NULL);
    require(allowedips_insert(&table, &v4, &peer) == 0 &&
            allowedips_insert(&table, &v6, &peer) == 0);
    allowedips_find_dst(&table, data, len);
    allowedips_find_src(&table, data, len, &ip_len);
    allowedips_done(&table);

    size_t n = unreachable_make(data, len, answer);
    if (!n)
        return 0;
    require(n <= sizeof(answer));
    if (answer[0] >> 4 == 4) {
        require(n <= 576 && load_be16(answer + 2) == n);
        require(checksum(0, answer, 20) == 0xffff);
        require(checksum(0, answer + 20, n - 20) == 0xffff);
    } else {
        uint32_t pseudo = checksum((uint32_t)(n - 40) + 58, answer + 8, 32);

        require(load_be16(answer + 4) == n - 40);
        require(checksum(pseudo, answer + 40, n - 40) == 0xffff);
    }
    require(unreachable_make(answer, n, (uint8_t[UNREACHABLE_LEN_MAX]){0}) ==
            0); /* no error about one */
    return 0;
}
