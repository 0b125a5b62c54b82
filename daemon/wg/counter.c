/* The send counter's allocator.
 *
 * `next` holds a counter in a form of its own, in which the field that fetch-add moves has four
 * spare bits above it:
 *
 *     tagged    63..52 term | 51..44 rnd | 43..36 seq | 35..32 member | 31..28 spare | 27..0 low
 *     creator   63..52 zero | 51 replica | 50..48 spare               | 47..0 plain counter
 *
 * Takers that overrun the end together move into the spare bits, never into the tag, see it in what
 * fetch-add returned, and discard it (N8). A taker looks before it adds, so each thread overruns by
 * one run at most; 2^32 - 2^28 would need fifteen million threads in that gap.
 *
 * Why no counter comes twice (N1): a run is the value that fetch-add returned, and was in bounds
 * there. Between two changes of the term, runs of one term follow each other in the modification
 * order of `next`. A change replaces the value by one of a higher term in one compare-and-swap, so
 * a fetch-add falls either before it, in the old term, or after it, in the new one. */
#include "wg/counter.h"
#include "base/plant.h"
#include "wg/spin.h"
#include <assert.h>

#define LOW_BITS 28
#define LOW_END (1ull << LOW_BITS)
#define PLAIN_BITS 48
#define PLAIN_END (1ull << PLAIN_BITS)
#define PLAIN_MASK ((1ull << 52) - 1)
#define TERM_SHIFT 52 /* in the allocator's form */
#define TAG_SHIFT 32
#define STAY_STEP 8192 /* keeps a member's own stays apart in receivers that cut differences */
#define PLAIN_SCARCE (1ull << 47)

static_assert(COUNTER_REPLICA >= PLAIN_END << 3, "out of reach of overruns");
static_assert(LOW_END + (1ull << 20) * COUNTER_RUN_MAX < 1ull << TAG_SHIFT, "room to overrun");

static uint16_t term_of(uint64_t form)
{
    return (uint16_t)(form >> TERM_SHIFT);
}

/* Counters gone by in the present term, overrun included. */
static uint64_t low_of(uint64_t form)
{
    return term_of(form) ? (uint32_t)form : form & PLAIN_MASK;
}

static bool fits(uint64_t form, unsigned n)
{
    return low_of(form) + n <= (term_of(form) ? LOW_END : PLAIN_END);
}

static uint64_t form_of(uint16_t term, const struct counter_tag *tag, uint64_t low)
{
    return counter_compose(term, tag, 0) >> LOW_BITS << TAG_SHIFT | low;
}

static uint64_t wire_of(uint64_t form)
{
    return term_of(form) ? form >> TAG_SHIFT << LOW_BITS | low_of(form) : form;
}

uint16_t counter_term(uint64_t counter)
{
    return counter >> PLAIN_BITS & COUNTER_TERM_MAX;
}

uint64_t counter_compose(uint16_t term, const struct counter_tag *tag, uint32_t low)
{
    return (uint64_t)(term & COUNTER_TERM_MAX) << PLAIN_BITS | (uint64_t)tag->rnd << 40 |
           (uint64_t)tag->seq << 32 |
           (uint64_t)(PLANTED("no-member-bits") ? 1 : tag->member & 15) << LOW_BITS |
           (low & (LOW_END - 1));
}

void counter_start(struct counter *c)
{
    atomic_init(&c->next, 0);
    atomic_init(&c->lock, 0);
    atomic_init(&c->stay, 0);
}

void counter_start_replica(struct counter *c)
{
    counter_start(c);
    atomic_init(&c->next, COUNTER_REPLICA);
}

/* Under c->lock: @term begins, or, when there is none left, the key ends. */
static bool begin(struct counter *c, const struct counter_tag *tag, unsigned term)
{
    uint64_t form = atomic_load_explicit(&c->next, memory_order_relaxed), low;

    do {
        if (term_of(form) == 0)
            low = (uint64_t)(tag->seq & 15) << 24;
        else
            low = (low_of(form) + STAY_STEP - 1) / STAY_STEP * STAY_STEP + STAY_STEP;
        if (low + COUNTER_RUN_MAX > LOW_END || PLANTED("low-from-zero"))
            low = 0; /* N8 */
        if (term > COUNTER_TERM_MAX)
            low = LOW_END; /* 4095 and used up: nothing fits any more */
        atomic_store_explicit(&c->stay, (uint32_t)low, memory_order_relaxed);
    } while (!atomic_compare_exchange_weak_explicit(
        &c->next, &form,
        form_of(term > COUNTER_TERM_MAX ? COUNTER_TERM_MAX : (uint16_t)term, tag, low),
        memory_order_acq_rel, memory_order_relaxed));
    return term <= COUNTER_TERM_MAX;
}

static bool tag_usable(const struct counter_tag *tag)
{
    return tag->member >= 1 && tag->member <= 15; /* 0: plain mode, which has no terms */
}

bool counter_adopt(struct counter *c, const struct counter_tag *tag, uint16_t term_known,
                   uint64_t age_hi_ns)
{
    if (!tag_usable(tag))
        return false;
    spin_lock(&c->lock);
    uint64_t now = term_of(atomic_load_explicit(&c->next, memory_order_relaxed));
    uint64_t before = age_hi_ns / AGE_TERM_NS;
    if (before < term_known)
        before = term_known;
    if (before < now)
        before = now;
    if (before > COUNTER_TERM_MAX)
        before = COUNTER_TERM_MAX;
    if (PLANTED("term-not-raised"))
        before = now;
    if (PLANTED("adopter-in-creator-space") && !now)
        atomic_store(&c->next, 0);
    bool ok = (PLANTED("adopter-in-creator-space") && !now) || begin(c, tag, (unsigned)before + 1);
    spin_unlock(&c->lock);
    return ok;
}

bool counter_bump(struct counter *c, const struct counter_tag *tag)
{
    bool ok = false;

    if (!tag_usable(tag))
        return false;
    spin_lock(&c->lock);
    uint64_t form = atomic_load_explicit(&c->next, memory_order_relaxed);
    if (form < COUNTER_REPLICA || term_of(form)) /* a replica has nothing to move on from */
        ok = begin(c, tag, term_of(form) + 1u);
    spin_unlock(&c->lock);
    return ok;
}

/* Make room for @n, unless another thread did meanwhile. */
static bool renew(struct counter *c, const struct counter_tag *tag, unsigned n)
{
    bool ok;

    spin_lock(&c->lock);
    uint64_t form = atomic_load_explicit(&c->next, memory_order_relaxed);
    if (fits(form, n))
        ok = true;
    else if (!tag_usable(tag) || (term_of(form) == 0 && form >= COUNTER_REPLICA))
        ok = false;
    else if (term_of(form) == COUNTER_TERM_MAX)
        ok = false;
    else
        ok = begin(c, tag, term_of(form) + 1u);
    spin_unlock(&c->lock);
    return ok;
}

bool counter_take(struct counter *c, const struct counter_tag *tag, unsigned n, uint64_t *ret_first)
{
    if (n < 1 || n > COUNTER_RUN_MAX) /* a run of none would be spent by the next taker too */
        return false;
    for (;;) {
        uint64_t form = atomic_load_explicit(&c->next, memory_order_relaxed);

        if (!fits(form, n)) {
            if (!renew(c, tag, n))
                return false;
            continue;
        }
        form = atomic_fetch_add_explicit(&c->next, n, memory_order_acq_rel);
        if (fits(form, n)) {
            *ret_first = wire_of(form);
            return true;
        }
    }
}

uint16_t counter_term_now(const struct counter *c)
{
    return term_of(atomic_load_explicit(&c->next, memory_order_acquire));
}

uint64_t counter_sent(const struct counter *c)
{
    uint64_t form = atomic_load_explicit(&c->next, memory_order_acquire), low = low_of(form);

    if (!term_of(form))
        return form >= COUNTER_REPLICA ? 0 : low < PLAIN_END ? low : PLAIN_END;
    /* A term may begin between the two loads: a wrong figure for one moment, never a negative. */
    uint64_t stay = atomic_load_explicit(&c->stay, memory_order_relaxed);
    if (low > LOW_END)
        low = LOW_END;
    return low > stay ? low - stay : 0;
}

bool counter_scarce(const struct counter *c)
{
    uint64_t form = atomic_load_explicit(&c->next, memory_order_relaxed);

    if (!term_of(form))
        return form < COUNTER_REPLICA && form >= PLAIN_SCARCE;
    return term_of(form) == COUNTER_TERM_MAX;
}

uint64_t counter_save(const struct counter *c)
{
    return atomic_load_explicit(&c->next, memory_order_acquire);
}

void counter_resume(struct counter *c, uint64_t saved)
{
    counter_start_replica(c);
    /* Creator space is not entered again, though this process made the key (N3). */
    if (term_of(saved))
        atomic_init(&c->next, saved);
}
