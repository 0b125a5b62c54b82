/* cli/why.h - why is a peer down: from the facts of a member to a verdict and a remedy. Pure.
 *
 * Owner: the caller. Threads: any.
 * Never: prints, reads a clock: ages are of the facts' own time, control_why.now_real_ns. */
#pragma once
#include "proto/control.h"

#define WHY_FINDINGS_MAX 6
#define WHY_TEXT_MAX 256

struct why {
    bool up;
    bool elsewhere; /* another member serves it, and knows */
    /* The first one is the verdict; others may add to it. */
    struct why_finding {
        char code[32]; /* stable; a reason of model/notice.h, or one of why.c's own */
        char sentence[WHY_TEXT_MAX], remedy[WHY_TEXT_MAX];
    } finding[WHY_FINDINGS_MAX];
    unsigned count; /* at least 1 */
};

void why_judge(const struct control_why *y, struct why *ret);
