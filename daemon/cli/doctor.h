/* cli/doctor.h - from facts about a machine to findings with a remedy each. Pure.
 *
 * Owner: the caller. Threads: any. */
#pragma once
#include "cli/host.h"

#define FINDINGS_MAX 128
#define FINDING_TEXT_MAX 400
#define DOCTOR_LOCKED_BYTES (4u << 20) /* of keys */

enum severity {
    FINDING_GOOD,
    FINDING_NOTE, /* could not be seen, or is the administrator's to know; not a fault */
    FINDING_WARN, /* works, but not as it should */
    FINDING_FAIL, /* does not work, or not for long */
};

struct doctor {
    struct finding {
        const char *check; /* stable */
        enum severity severity;
        char text[FINDING_TEXT_MAX], remedy[FINDING_TEXT_MAX];
    } finding[FINDINGS_MAX];
    unsigned count, faults; /* faults: WARN and FAIL */
};

void doctor_judge(const struct host *h, struct doctor *ret);
/* Its parts in doctor_net.c, and how each tells what it found. */
void doctor_found(struct doctor *d, const char *check, enum severity severity, const char *remedy,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));
void doctor_judge_translation(const struct host *h, struct doctor *d);
void doctor_judge_firewall(const struct host *h, struct doctor *d);
void doctor_judge_paths(const struct host *h, struct doctor *d);
void doctor_judge_strangers(const struct host *h, struct doctor *d);
const char *severity_name(enum severity s); /* "good", "note", "warn", "fail" */
