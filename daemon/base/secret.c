#include "base/secret.h"
#include "base/err.h"
#include <assert.h>
#include <pthread.h>
#include <sodium.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA_SLOTS_DEFAULT 65536u /* 4 MiB: half of what RLIMIT_MEMLOCK usually allows */
#define ARENA_SLOTS_MAX (1u << 24)
#define ARENA_CHUNK_LEN                                                                            \
    (64u << 10) /* committed and locked at a time; a multiple of any page size */

/* The free list and the marks live outside the mapping, which a fork wipes. */
static struct {
    pthread_mutex_t lock;
    uint8_t *slots;
    size_t slots_max;
    size_t committed_len;
    uint32_t *free_list;
    size_t free_count;
    size_t touched; /* slots handed out at least once: 0..touched-1 */
    uint64_t *used; /* a bit a slot: a double or foreign free is a broken invariant */
    size_t used_count;
    bool lock_required;
    bool unlocked; /* a chunk could not be locked */
} arena = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int arena_grow(void)
{
    size_t len = MIN(ARENA_CHUNK_LEN, arena.slots_max * SECRET_SLOT_LEN - arena.committed_len);
    uint8_t *chunk = arena.slots + arena.committed_len;

    if (mprotect(chunk, len, PROT_READ | PROT_WRITE) < 0)
        return -errno;
    if (mlock(chunk, len) < 0) {
        int error = errno == EPERM ? EPERM : ENOMEM;

        if (arena.lock_required) {
            mprotect(chunk, len, PROT_NONE);
            return -error;
        }
        arena.unlocked = true;
    }
    arena.committed_len += len;
    return 0;
}

static int arena_make(size_t slots_max, bool lock_required)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t per_chunk = ARENA_CHUNK_LEN / SECRET_SLOT_LEN;
    size_t count = (slots_max + per_chunk - 1) / per_chunk * per_chunk;
    size_t len = count * SECRET_SLOT_LEN;
    _cleanup_(freep) void *free_list = calloc(count, sizeof(*arena.free_list));
    _cleanup_(freep) void *used = calloc((count + 63) / 64, sizeof(*arena.used));
    int r;

    if (!free_list || !used)
        return -ENOMEM;
    uint8_t *map = mmap(NULL, len + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return -errno;
    if (madvise(map, len + 2 * page, MADV_DONTDUMP) < 0 ||
        madvise(map, len + 2 * page, MADV_WIPEONFORK) < 0) {
        r = -errno;
        goto fail;
    }
    arena.slots = map + page; /* the pages before and behind are never made accessible */
    arena.slots_max = count;
    arena.committed_len = 0;
    arena.lock_required = lock_required;
    r = arena_grow();
    if (r < 0)
        goto fail;
    arena.free_list = TAKE_PTR(free_list);
    arena.used = TAKE_PTR(used);
    return 0;
fail:
    munmap(map, len + 2 * page);
    arena.slots = NULL;
    return r;
}

int secret_arena_init(size_t slots_max, bool lock_required)
{
    int r;

    if (slots_max == 0 || slots_max > ARENA_SLOTS_MAX)
        return -EINVAL;
    pthread_mutex_lock(&arena.lock);
    r = arena.slots ? -EALREADY : arena_make(slots_max, lock_required);
    pthread_mutex_unlock(&arena.lock);
    return r;
}

int secret_arena_require_lock(void)
{
    pthread_mutex_lock(&arena.lock);
    bool locked = arena.slots && !arena.unlocked;
    if (locked)
        arena.lock_required = true;
    pthread_mutex_unlock(&arena.lock);
    return locked ? 0 : -EPERM;
}

static void *alloc_locked(void)
{
    uint32_t n;

    if (!arena.slots && arena_make(ARENA_SLOTS_DEFAULT, false) < 0)
        return NULL;
    if (arena.free_count) {
        n = arena.free_list[--arena.free_count];
    } else {
        if (arena.touched == arena.slots_max)
            return NULL;
        if ((arena.touched + 1) * SECRET_SLOT_LEN > arena.committed_len && arena_grow() < 0)
            return NULL;
        n = (uint32_t)arena.touched++;
    }
    arena.used[n / 64] |= 1ull << n % 64;
    arena.used_count++;
    return arena.slots + (size_t)n * SECRET_SLOT_LEN; /* zeroed: fresh, or wiped by secret_free() */
}

void *secret_alloc(void)
{
    pthread_mutex_lock(&arena.lock);
    void *slot = alloc_locked();
    pthread_mutex_unlock(&arena.lock);
    return slot;
}

void secret_free(void *slot)
{
    if (!slot)
        return;
    pthread_mutex_lock(&arena.lock);
    size_t offset = (size_t)((uintptr_t)slot - (uintptr_t)arena.slots);
    size_t n = offset / SECRET_SLOT_LEN;
    bool ours = arena.slots && offset % SECRET_SLOT_LEN == 0 && n < arena.touched &&
                arena.used[n / 64] & 1ull << n % 64;
    assert(ours);
    (void)ours;
    /* Only now: what is not ours is not to be written to, and who gets the slot next finds zeros.
     */
    sodium_memzero(slot, SECRET_SLOT_LEN);
    arena.used[n / 64] &= ~(1ull << n % 64);
    arena.used_count--;
    arena.free_list[arena.free_count++] = (uint32_t)n;
    pthread_mutex_unlock(&arena.lock);
}

size_t secret_slots_used(void)
{
    pthread_mutex_lock(&arena.lock);
    size_t n = arena.used_count;
    pthread_mutex_unlock(&arena.lock);
    return n;
}

bool secret_arena_locked(void)
{
    pthread_mutex_lock(&arena.lock);
    bool locked = arena.slots && !arena.unlocked;
    pthread_mutex_unlock(&arena.lock);
    return locked;
}

void secret_wipe(void *p, size_t len)
{
    sodium_memzero(p, len);
}

bool secret_equal(const void *a, const void *b, size_t len)
{
    switch (len) { /* sodium_memcmp() goes byte by byte */
    case crypto_verify_16_BYTES:
        return crypto_verify_16(a, b) == 0;
    case crypto_verify_32_BYTES:
        return crypto_verify_32(a, b) == 0;
    default:
        return sodium_memcmp(a, b, len) == 0;
    }
}

bool secret_is_zero(const void *p, size_t len)
{
    return sodium_is_zero(p, len) == 1;
}
