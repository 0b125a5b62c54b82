/* control/commands.h - a request of the control socket to its reply. Pure but for ops. */
#pragma once
#include "control/server.h"

/* @r NULL: the request could not be read, for the reason @error. *ret is always filled. */
void command_run(const struct server_ops *ops, const struct control_request *r, int error,
                 struct control_reply *ret);
