/* bench/tunnel/slices.h - what a piece of arithmetic costs: the best of many short slices of this
 * thread's CPU time, since what a disturbed slice tells is about the machine. */
#pragma once

/* In nanoseconds; @fn is called again and again. */
double slices_best_ns(void (*fn)(void *ctx), void *ctx);
