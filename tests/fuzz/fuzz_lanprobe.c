/* What a raw ICMP socket of a LAN probe receives: only an answer to one of ours counts. */
#include "base/bytes.h"
#include "ha/echo.h"
#include "ha/lanprobe.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const uint8_t cookie[ECHO_COOKIE_LEN] = {1, 2, 3, 4, 5, 6, 7, 8};
    uint8_t *exact = malloc(len ? len : 1); /* reads behind the end are seen */

    if (!exact)
        return 0;
    memcpy(exact, data, len);
    for (int v6 = 0; v6 < 2; v6++) {
        if (!echo_is_answer(v6, exact, len, 42, cookie))
            continue;
        size_t at = v6 ? 0 : (exact[0] & 15u) * 4u;
        if (at + ECHO_LEN > len || exact[at] != (v6 ? 129 : 0) || load_be16(exact + at + 4) != 42 ||
            memcmp(exact + at + 8, cookie, sizeof(cookie)) != 0)
            abort();
    }
    free(exact);
    return 0;
}
