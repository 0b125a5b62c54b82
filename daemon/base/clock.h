/* base/clock.h - reading the clocks. Only edges include this; cores get @now as an argument.
 *
 * Unit: nanoseconds everywhere (uint64_t, names end in _ns), unless a name says _ms or _us. */
#pragma once
#include <stdint.h>

#define NS_PER_S 1000000000ull
#define NS_PER_MS 1000000ull
#define NS_PER_US 1000ull

uint64_t clock_boot_ns(void); /* CLOCK_BOOTTIME: counts through suspend; all ages are made of it */
uint64_t clock_real_ns(void); /* CLOCK_REALTIME: TAI64N stamps, log times */
