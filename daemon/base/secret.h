/* base/secret.h - key material: its type, its arena, its end.
 *
 * Owner:   whoever allocated; secret_free() wipes.
 * Threads: any (the arena has a lock of its own; alloc and free only).
 * Arena:   one reserved mapping with guard pages, mlocked as it grows, MADV_DONTDUMP,
 *          MADV_WIPEONFORK (K1). Slots are SECRET_SLOT_LEN bytes and never move (K2).
 *          A fork wipes the child's copy and unlocks it: become a daemon before the first key. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECRET_SLOT_LEN 64

struct secret32 {
    uint8_t b[32];
};

/* Reserve the arena. @lock_required: fail with -EPERM/-ENOMEM when pages cannot be mlocked (K3).
 * -EALREADY: there is one. */
int secret_arena_init(size_t slots_max, bool lock_required);

/* From now on as if @lock_required had been asked for; -EPERM when a page could not be locked
 * already. */
int secret_arena_require_lock(void);

/* A zeroed slot of SECRET_SLOT_LEN bytes, or NULL when the arena is full. Before
 * secret_arena_init() an arena of a default size, locked where the limits allow, is made. */
void *secret_alloc(void);
void secret_free(void *slot); /* NULL is fine */
size_t secret_slots_used(void);
/* Is there an arena, and is all of it locked so far? */
bool secret_arena_locked(void);

void secret_wipe(void *p, size_t len);                       /* not optimised away */
bool secret_equal(const void *a, const void *b, size_t len); /* constant time (K8) */
bool secret_is_zero(const void *p, size_t len);

static inline void secret_clear(struct secret32 *s)
{
    secret_wipe(s, sizeof(*s));
}
