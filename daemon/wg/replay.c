#include "wg/replay.h"
#include "base/plant.h"
#include <string.h>

#define WORD_BITS 64
#define WORDS (REPLAY_BITS / WORD_BITS)

/* The ring has one word more than the window needs: the word that is being filled may hold bits
 * both of the newest counters and, before it was cleared, of none in the window. */
_Static_assert(REPLAY_WINDOW == REPLAY_BITS - WORD_BITS, "one spare word");
_Static_assert((WORDS & (WORDS - 1)) == 0, "ring index is a mask");

static uint64_t *word_of(struct replay *r, uint64_t counter)
{
    return &r->bits[counter / WORD_BITS & (WORDS - 1)];
}

void replay_init(struct replay *r, uint64_t next)
{
    r->next = next;
    memset(r->bits, next ? 0xff : 0, sizeof(r->bits));
    /* The word that @next falls into is half seen; the words above are cleared on the way up. */
    if (next % WORD_BITS)
        *word_of(r, next) = (1ull << next % WORD_BITS) - 1;
}

bool replay_check(const struct replay *r, uint64_t counter)
{
    if (counter == UINT64_MAX) /* next would wrap to "none seen" */
        return false;
    if (counter >= r->next)
        return true;
    if (r->next - 1 - counter > REPLAY_WINDOW)
        return false;
    return !(r->bits[counter / WORD_BITS & (WORDS - 1)] >> counter % WORD_BITS & 1);
}

bool replay_accept(struct replay *r, uint64_t counter)
{
    if (!replay_check(r, counter))
        return false;
    if (counter >= r->next) {
        uint64_t word = r->next ? (r->next - 1) / WORD_BITS : 0;
        uint64_t steps = counter / WORD_BITS - word;

        /* R14: however far the jump, at most the whole ring is cleared. */
        if (steps > WORDS)
            steps = WORDS;
        for (uint64_t i = 1; i <= steps && !PLANTED("window-not-cleared"); i++)
            r->bits[(word + i) & (WORDS - 1)] = 0;
        r->next = counter + 1;
    }
    *word_of(r, counter) |= 1ull << counter % WORD_BITS;
    return true;
}

/* The bits of the word with counters from @first on that belong below @end. */
static uint64_t below(uint64_t first, uint64_t end)
{
    if (end <= first)
        return 0;
    return end - first >= WORD_BITS ? UINT64_MAX : (1ull << (end - first)) - 1;
}

void replay_tail_take(const struct replay *r, struct replay_tail *ret)
{
    *ret = (struct replay_tail){0};
    if (!r->next)
        return;
    uint64_t last = (r->next - 1) / WORD_BITS;
    for (unsigned i = 0; i < REPLAY_TAIL_WORDS && i <= last; i++) {
        ret->word[i] = r->bits[(last - i) & (WORDS - 1)];
        if (ret->word[i] != below((last - i) * WORD_BITS, r->next))
            ret->words = i + 1;
    }
}

void replay_tail_init(struct replay *r, uint64_t next, const struct replay_tail *tail, uint64_t own)
{
    replay_init(r, next);
    if (!next)
        return;
    uint64_t last = (next - 1) / WORD_BITS;
    for (unsigned i = 0; i < tail->words && i < REPLAY_TAIL_WORDS && i <= last; i++) {
        uint64_t first = (last - i) * WORD_BITS;

        *word_of(r, first) = (tail->word[i] | below(first, own)) & below(first, next);
    }
}
