#include "lib/test.h"

#include <stdlib.h>
#include <string.h>

size_t test_unhex(const char *text, uint8_t *ret, size_t room)
{
    size_t len = strlen(text) / 2;

    assert_true(len <= room && strlen(text) % 2 == 0);
    for (size_t i = 0; i < len; i++) {
        char two[3] = {text[2 * i], text[2 * i + 1], 0}, *end;

        ret[i] = (uint8_t)strtoul(two, &end, 16);
        assert_true(*end == 0);
    }
    return len;
}
