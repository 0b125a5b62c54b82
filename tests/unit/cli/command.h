/* unit/cli/command.h - the guardmount command, asking a control server of the test's. */
#pragma once
#include "unit/control/child.h"

/* "guardmount -s SOCKET ..."; @before goes in front of it, such as a variable. Good until the next
 * call. */
const struct child *guardmount_run(uv_loop_t *loop, const char *socket, const char *before,
                                   const char *arguments);
const struct child *guardmount_run_in(uv_loop_t *loop, const char *dir, const char *socket,
                                      const char *arguments);
/* It ends with @status and says @word, among others. */
void expect(const struct child *c, int status, const char *word);
