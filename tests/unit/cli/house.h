/* unit/cli/house.h - a control server of the test's, and the guardmount command asking it.
 *
 * Owner: the test, through TD(name). Threads: one. */
#pragma once
#include "control/journal.h"
#include "control/server.h"
#include "lib/test.h"
#include "unit/cli/command.h"
#include "unit/control/socket.h"
#include <jansson.h>
#include <uv.h>

struct house {
    uv_loop_t loop;
    char dir[SOCKET_DIR_LEN], path[SOCKET_PATH_LEN];
    struct server *server;
    struct status *status; /* what is answered; rows of peers are made anew each time */
    unsigned peers;
    uint16_t peers_vip;           /* theirs; 0: any */
    struct journal *journal;      /* events that are answered */
    const char *vip_name;         /* of every VIP in them; "main" */
    struct control_move moved;    /* as last asked; done at once */
    unsigned lag_ms;              /* of a move's events behind its command */
    const char *refuse;           /* what a move is refused with; NULL: it is done */
    struct control_why why;       /* answered about the peer whose name it has */
    struct control_drill drill;   /* answered to drills */
    struct drill_command drilled; /* as last asked, but for looking; a fault moves its VIPs here */
};

int house_setup(void **state);
int house_teardown(void **state);
#define TD(name) TS(name, house_setup, house_teardown)

/* As guardmount_run(). */
const struct child *guardmount(struct house *h, const char *before, const char *arguments);
json_t *json_of(const struct child *c); /* fails the test if it is none */
