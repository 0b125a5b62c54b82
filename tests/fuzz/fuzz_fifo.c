/* Lines that keepalived, or anything else with the FIFO open, wrote: in pieces of any size. */
#include "ha/fifo.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool holds)
{
    if (!holds)
        abort();
}

struct heard {
    unsigned count;
    struct fifo_line last;
};

static void on_line(void *ctx, const struct fifo_line *line)
{
    struct heard *h = ctx;
    enum fifo_part part;
    uint16_t vip;

    must(strnlen(line->name, sizeof(line->name)) <= FIFO_NAME_MAX);
    must(line->priority <= FIFO_PRIORITY_MAX);
    must(line->state <= FIFO_OTHER && fifo_state_name(line->state)[0]);
    if (fifo_vip(line, &vip, &part))
        must(vip > 0 && part <= FIFO_INNER);
    h->count++;
    h->last = *line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct fifo_parser whole = {0}, pieces = {0};
    struct heard at_once = {0}, bit_by_bit = {0};

    fifo_parser_feed(&whole, (const char *)data, len, on_line, &at_once);
    for (size_t at = 0, n; at < len; at += n) {
        n = 1 + data[at] % 7;
        n = n > len - at ? len - at : n;
        fifo_parser_feed(&pieces, (const char *)data + at, n, on_line, &bit_by_bit);
    }
    /* How it comes in pieces makes no difference. */
    must(at_once.count == bit_by_bit.count && whole.junk == pieces.junk);
    must(!at_once.count || memcmp(&at_once.last, &bit_by_bit.last, sizeof(at_once.last)) == 0);
    must(whole.lines == at_once.count);
    fifo_parser_clear(&whole);
    return 0;
}
