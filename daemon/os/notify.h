/* os/notify.h - what the service manager is told (sd_notify(3)): that we are ready, what we do, and
 * that we live.
 *
 * Owner:   app. Threads: main.
 * Never:   fails: where nobody asked to be told ($NOTIFY_SOCKET is not set), nothing happens. */
#pragma once
#include <stdint.h>

#define NOTIFY_STATUS_LEN 160

/* From the first one, or from one that followed notify_reloading(), the service is running. */
void notify_ready(void);
/* Between a SIGHUP and the next notify_ready(). */
void notify_reloading(void);
void notify_stopping(void);
void notify_status(const char *line); /* one line, for `systemctl status` */
/* How long the service manager waits for a notify_alive() before it ends us; 0: it does not. */
uint64_t notify_watchdog_ns(void);
void notify_alive(void);
