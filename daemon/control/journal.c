#include "control/journal.h"
#include "base/err.h"

struct journal {
    uint64_t last;
    struct notice ring[JOURNAL_MAX]; /* by serial modulo its size; pages come as they are used */
};

struct journal *journal_new(void)
{
    return calloc(1, sizeof(struct journal));
}

void journal_free(struct journal *j)
{
    free(j);
}

uint64_t journal_add(struct journal *j, const struct notice *n)
{
    struct notice *place = &j->ring[++j->last % JOURNAL_MAX];

    *place = *n;
    return place->serial = j->last;
}

uint64_t journal_last(const struct journal *j)
{
    return j->last;
}

unsigned journal_read(const struct journal *j, uint64_t after, unsigned max, struct notice *ret,
                      uint64_t *ret_missed)
{
    uint64_t oldest = j->last > JOURNAL_MAX ? j->last - JOURNAL_MAX + 1 : 1;
    unsigned count = 0;

    if (after > j->last)
        after = 0;
    *ret_missed = after + 1 < oldest ? oldest - after - 1 : 0;
    for (uint64_t at = MAX(after + 1, oldest); at <= j->last && count < max; at++)
        ret[count++] = j->ring[at % JOURNAL_MAX];
    return count;
}
