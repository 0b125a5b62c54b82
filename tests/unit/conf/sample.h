/* A good file of two members; tests change a line of it. */
#pragma once
#include "conf/conf.h"
#include <stddef.h>

extern const char sample[];

/* @sample with the first @old replaced by @new_text; in static memory. */
const char *sample_with(const char *old, const char *new_text);
/* Parse @text as "f"; the error, "" for none. */
const char *sample_error(const char *text);
/* Must be good. */
struct conf *sample_conf(const char *text);
