/* conf/value.h - single values of the configuration file, from text. Pure.
 *
 * Threads: any. Each returns false on anything that is not exactly what it reads. */
#pragma once
#include "conf/conf.h"
#include "conf/schema.h"

bool value_duration(const char *text, uint64_t *ret_ms);
bool value_switch(const char *text, bool *ret);
bool value_number(const char *text, uint64_t *ret); /* decimal, or 0x... */
bool value_ifname(const char *text);
/* The next element of a comma list; false: no more. Too long a one is empty. */
bool value_list_next(const char **at, char *ret, size_t room);
/* "address/length dev interface" */
bool value_vip_address(const char *text, struct vip_addr *ret);
