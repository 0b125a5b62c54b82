/* conf/value.h - single values of the configuration file, from text. Pure.
 *
 * Threads: any. Each returns false on anything that is not exactly what it reads. */
#pragma once
#include "conf/conf.h"
#include "conf/schema.h"

bool value_duration(const char *text, uint64_t *ret_ms);
bool value_switch(const char *text, bool *ret);
bool value_number(const char *text, uint64_t *ret); /* decimal, or 0x... */
bool value_name(const char *text);                  /* letters, digits and ._- */
bool value_ifname(const char *text);
/* The next element of a comma list; false: no more. Too long a one is empty. */
bool value_list_next(const char **at, char *ret, size_t room);
/* "address/length dev interface" */
bool value_vip_address(const char *text, struct vip_addr *ret);
/* An address that one machine can have: not 0.0.0.0, ::, multicast or broadcast. */
bool value_is_unicast(const struct ip_addr *a);

/* Into the field of @key in the struct at @base; lists are added to. */
bool value_store(const struct conf_key *key, const char *text, void *base);
/* Do two structs have the same value there? */
bool value_equal(const struct conf_key *key, const void *a, const void *b);
/* What may stand there, for messages and the manual: "1..15", "NETWORK/LENGTH, ... (up to 16)". */
#define VALUE_EXPECTED_LEN 128
const char *value_expected(const struct conf_key *key, char buf[VALUE_EXPECTED_LEN]);
