/* store/life.h - the lives of this member: start counter, stamp reserve, minimum distance of
 * starts (N5, N6, N7, H5).
 *
 * File: DIR/life, text, replaced by write + fsync + rename + fsync of the directory; a lock file
 * DIR/lock is held for the life of the process (a second process on the state is refused).
 *
 * A missing file proves nothing, on a first start neither: an empty directory is what a lost disk
 * looks like too. The price of being wrong about a first start is only that, for 540 s, no key is
 * adopted that is older than the start. The same holds for a start that follows an unproved one
 * within 540 s: its number is above the last one's, but not known to be above those before. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#define RESTART_MIN_NS (3000 * 1000000ull) /* N7 */
#define STAMP_RESERVE_NS (300 * 1000000000ull)
#define STAMP_STEP_NS (10 * 1000000000ull)
#define LIFE_QUARANTINE_NS (540 * 1000000000ull) /* N6 */
#define LIFE_MACHINE_LEN 16
#define LIFE_BOOT_ID_MAX 40

struct life {
    uint64_t seq;         /* this start's number, > every earlier one; durable when returned */
    uint64_t wait_ns;     /* N7: sleep so long before going on */
    bool proved;          /* false: quarantine (N6) */
    char reason[96];      /* why not proved */
    uint64_t stamp_floor; /* UTC ns, at least every stamp any earlier life sent; 0: not known */
    int lock_fd;          /* -1: the lock was not taken (then not proved) */
    struct life_file {    /* what the file says beside */
        uint8_t member;
        uint64_t started_boot_ns;  /* with the wait of N7 */
        uint64_t unproved_boot_ns; /* start of a chain of unproved starts; 0: none */
        uint64_t stamps_until_ns;  /* reserved, UTC */
        uint8_t machine[LIFE_MACHINE_LEN];
        char boot_id[LIFE_BOOT_ID_MAX];
    } file;
};

/* @dir exists (0700). -EALREADY: another process holds it. Other failures do not stop the member:
 * they make proved false with the reason. */
int life_begin(const char *dir, uint8_t member, uint64_t boot_ns, uint64_t real_ns,
               struct life *ret);
/* A sibling saw a higher number of us (N5): take 1 + it, durably. On failure the number is taken in
 * memory, and the life is not proved any more. */
int life_raise(const char *dir, struct life *l, uint64_t seen_seq);
/* Reserve stamps up to STAMP_RESERVE_NS from now; or STAMP_STEP_NS beyond @stamp_ns, the next one
 * to be sent, where that is later: by no more, or starts in a row would run away from the clock.
 * Cheap when still covered. */
int life_reserve_stamps(const char *dir, struct life *l, uint64_t stamp_ns, uint64_t real_ns);
void life_end(struct life *l);

/* life_begin() with other files than /etc/machine-id and the kernel's boot_id, for tests. */
struct life_host {
    const char *machine_id_path, *boot_id_path;
};
int life_begin_on(const struct life_host *host, const char *dir, uint8_t member, uint64_t boot_ns,
                  uint64_t real_ns, struct life *ret);
