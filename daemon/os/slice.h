/* os/slice.h - how long a thread may keep a CPU that others wait for.
 *
 * Threads: of the calling one. Never: changes its share of the CPU, or its policy. */
#pragma once

/* Whoever wakes up with a shorter slice (the default is about 3 ms) goes first at once, not when
 * this thread's slice is over. From Linux 6.12 on; without effect before, where a thread that slept
 * goes first anyway. 0 or -errno. */
int slice_lengthen(void);
