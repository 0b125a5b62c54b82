/* store/reserve.h - room on the disk that is set aside for what must not be refused (P9): a file
 * beside the database, given back when the disk is full.
 *
 * Owner:   the store. Threads: whoever commits.
 * Never:   fails: without room there is no reserve, and the caller is where it would be anyway. */
#pragma once
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#define RESERVE_LEN (1u << 20) /* bytes */
#define RESERVE_STEP (16u << 10)

struct reserve {
    char path[PATH_MAX];
    size_t len; /* on the disk; 0: none */
};

/* PATH-reserve, whole if the disk has the room. */
void reserve_open(struct reserve *r, const char *path);
/* Give it to the next write. False: there is none. */
bool reserve_spend(struct reserve *r);
/* Make it whole again; after it was spent: of what is left, as much as can be had. */
void reserve_refill(struct reserve *r);
