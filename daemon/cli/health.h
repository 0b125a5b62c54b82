/* cli/health.h - is all well? From a status to reasons why not. Pure.
 *
 * Owner: the caller. Threads: any. */
#pragma once
#include "proto/control.h"

#define HEALTH_REASONS_MAX 128

struct health {
    bool critical; /* peers of this member, or of a VIP, are not served */
    unsigned count;
    char reason[HEALTH_REASONS_MAX][CONTROL_TEXT_MAX + 1];
};

void health_judge(const struct status *s, struct health *ret);
