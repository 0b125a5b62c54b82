#include "unit/conf/sample.h"
#include "lib/test.h"
#include <stdio.h>
#include <string.h>

const char sample[] = "[Node]\n"
                      "Id = 1\n"
                      "LogLevel = info\n"
                      "[Cluster]\n"
                      "Name = office\n"
                      "ClusterKey = kEQAE+NJTHHNVN61HvuzoUQ1XRUQy/Qzbb22uzsiCxk=\n"
                      "SyncPrivateKey = GAZvC+TKkBCDFU3az/6/k2RYGqWaMmBKsAF2MGTZi0Q=\n"
                      "[Member berlin]\n"
                      "Id = 1\n"
                      "SyncPublicKey = hxzALjDWgtWyRbVEDbvTmwBBqcMJljZa1qg7h8+41yI=\n"
                      "SyncAddress = 192.168.99.1:51900\n"
                      "[Member paris]\n"
                      "Id = 2\n"
                      "SyncPublicKey = ObniiePL4J7tr3jzg+JbRmX9KN7hsiGmIDnQYr57kAw=\n"
                      "SyncAddress = 192.168.99.2:51900\n"
                      "[Hub main]\n"
                      "HubId = 1\n"
                      "Interface = hub1\n"
                      "PrivateKey = MLKBO4QPY086q9v4WKmqk5AMGTCtvvU2P7gZN92oUFg=\n"
                      "Address = 10.77.0.1/16, fd77::1/64\n"
                      "[Vip main]\n"
                      "VipId = 1\n"
                      "Hub = main\n"
                      "Port = 51820\n"
                      "Outer = 203.0.113.100/24 dev eth0\n"
                      "Inner = 10.0.0.100/24 dev eth1\n"
                      "Members = berlin, paris\n"
                      "VridOuter = 51\n"
                      "VridInner = 61\n"
                      "[Lan outer]\n"
                      "Interface = eth0\n"
                      "Probe = 203.0.113.1\n"
                      "[Lan inner]\n"
                      "Interface = eth1\n"
                      "Probe = 10.0.0.1\n"
                      "[Keepalived]\n"
                      "AdvertInterval = 100ms\n";

const char *sample_with(const char *old, const char *new_text)
{
    static char text[1 << 16];
    const char *at = strstr(sample, old);

    if (!at)
        fail_msg("the sample has no '%s'", old);
    snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - sample), sample, new_text,
             at + strlen(old));
    return text;
}

const char *sample_error(const char *text)
{
    static char error[CONF_ERROR_LEN];
    struct conf *c = NULL;

    strcpy(error, "untouched");
    if (conf_parse("f", text, strlen(text), &c, error) == 0)
        assert_string_equal(error, "");
    else
        assert_null(c);
    conf_free(c);
    return error;
}

struct conf *sample_conf(const char *text)
{
    char error[CONF_ERROR_LEN];
    struct conf *c = NULL;

    if (conf_parse("f", text, strlen(text), &c, error) < 0)
        fail_msg("%s", error);
    return c;
}
