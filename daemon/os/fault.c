#include "os/fault.h"

#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"

static void signal_all_of_us(int number)
{
    syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), number);
}

int fault_freeze(uint32_t ms)
{
    struct sigevent wake = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGCONT};
    struct itimerspec after = {
        .it_value = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000}};
    timer_t timer;
    int r = 0;

    if (timer_create(CLOCK_MONOTONIC, &wake, &timer) < 0)
        return -errno;
    if (timer_settime(timer, 0, &after, NULL) < 0)
        r = -errno;
    else
        signal_all_of_us(SIGSTOP);
    timer_delete(timer);
    return r;
}

void fault_kill(void)
{
    for (;;)
        signal_all_of_us(SIGKILL);
}
