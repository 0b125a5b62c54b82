/* os/fault.h - what a drill does to this process: it stands still, or is gone.
 *
 * Owner:   app. Threads: any; all of them are hit.
 * Never:   needs anybody to end it: a freeze ends by a timer of the kernel's. Both pass the system
 *          call filter, which lets a process signal itself only. */
#pragma once
#include <stdint.h>

/* Returns when it is over. Negative errno: it cannot be ended, so it was not begun. */
int fault_freeze(uint32_t ms);
/* As kill -9: nothing is tidied up. */
_Noreturn void fault_kill(void);
