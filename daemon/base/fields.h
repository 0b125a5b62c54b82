/* base/fields.h - the fields of a line of log, as text that no value can forge.
 *
 * Form:    name=value name="value with spaces" ...; inside quotes a quote and a backslash have a
 *          backslash before them. Control characters (C0, DEL, C1) and bytes that are no UTF-8 are
 *          written \xNN, so that a value is one line and sends nothing to a terminal.
 * Never:   logs, allocates. What does not fit is left out by whole characters; a quote is closed.
 */
#pragma once
#include <stdarg.h>
#include <stddef.h>

#define FIELD_LEN_MAX 1024 /* bytes of one value */

/* @format as of printf (without %n), fields separated by one space. A field begins at a word
 * "name="; a format without any is text that is only escaped. Returns the length without the NUL;
 * @room is at least 1. */
size_t fields_format(char *ret, size_t room, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
size_t fields_vformat(char *ret, size_t room, const char *format, va_list ap)
    __attribute__((format(printf, 3, 0)));

/* @text without its control characters, not quoted. */
size_t fields_escape(char *ret, size_t room, const char *text);
