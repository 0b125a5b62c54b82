/* A configuration file of any bytes: a good one or errors with their lines, never a crash, never a
 * key that is left behind. */
#include "base/secret.h"
#include "conf/conf.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NAME "f"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(bool good)
{
    if (!good)
        abort();
}

static void check_errors(const char *text)
{
    unsigned lines = 0;

    check(*text);
    for (const char *at = text; at; at = strchr(at, '\n')) {
        at += *at == '\n';
        check(strncmp(at, NAME ":", sizeof(NAME)) == 0);
        lines++;
    }
    check(lines <= CONF_ERRORS_MAX + 1 && strlen(text) < CONF_ERROR_LEN);
    for (const char *c = text; *c; c++)
        check((unsigned char)*c >= 32 || *c == '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char error[CONF_ERROR_LEN] = "";
    struct conf *c = NULL, *again = NULL;
    int r = conf_parse(NAME, (const char *)data, len, &c, error);

    if (r < 0) {
        check_errors(error);
        check(!c);
    } else {
        check(!*error && c->self && c->member[c->self].id == c->self && c->hub_count == 1);
        check(conf_parse(NAME, (const char *)data, len, &again, error) == 0);
        check(conf_reload_check(c, again, error) == 0);
        conf_keep_keys(c, again);
        conf_free(c);
        conf_free(again);
    }
    check(secret_slots_used() == 0);
    return 0;
}
