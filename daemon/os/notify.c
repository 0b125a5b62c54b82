#include "os/notify.h"
#include "base/clock.h"
#include <systemd/sd-daemon.h>
#include <time.h>

void notify_ready(void)
{
    sd_notify(0, "READY=1");
}

void notify_reloading(void)
{
    struct timespec now;

    /* The clock by which a manager tells this answer from one to an earlier reload. */
    clock_gettime(CLOCK_MONOTONIC, &now);
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
               (unsigned long long)now.tv_sec * 1000000 +
                   (unsigned long long)now.tv_nsec / NS_PER_US);
}

void notify_stopping(void)
{
    sd_notify(0, "STOPPING=1");
}

void notify_status(const char *line)
{
    sd_notifyf(0, "STATUS=%.*s", NOTIFY_STATUS_LEN, line);
}

uint64_t notify_watchdog_ns(void)
{
    uint64_t us = 0;

    return sd_watchdog_enabled(0, &us) > 0 ? us * NS_PER_US : 0;
}

void notify_alive(void)
{
    sd_notify(0, "WATCHDOG=1");
}
