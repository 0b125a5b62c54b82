#include "unit/cli/command.h"
#include <stdio.h>
#include <string.h>

#include "lib/test.h"

const struct child *guardmount_run(uv_loop_t *loop, const char *socket, const char *before,
                                   const char *arguments)
{
    char command[1024];

    snprintf(command, sizeof(command), "%s " GUARDMOUNT " -s %s %s", before, socket, arguments);
    return child_run(loop, command);
}

const struct child *guardmount_run_in(uv_loop_t *loop, const char *dir, const char *socket,
                                      const char *arguments)
{
    char inside[128];

    snprintf(inside, sizeof(inside), "cd %s &&", dir);
    return guardmount_run(loop, socket, inside, arguments);
}

void expect(const struct child *c, int status, const char *word)
{
    if (c->status != status || !strstr(c->out, word))
        fail_msg("status %lld, not %d; or without '%s':\n%s", (long long)c->status, status, word,
                 c->out);
}
