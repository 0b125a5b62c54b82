/* ha/fifo.h - keepalived's notify FIFO: its lines, and whether a keepalived has it open.
 *
 * Owner:   app (struct fifo), the reader's callbacks go to the node. Threads: main.
 * Never:   blocks, writes to the FIFO, unlinks it: the inode outlives daemon and keepalived.
 *
 * A line is `INSTANCE "NAME" STATE PRIORITY` or `GROUP "NAME" STATE PRIORITY`. keepalived holds the
 * FIFO open for reading and writing, so end of file means that no keepalived is there; lines that
 * it wrote before we came are still in the pipe. A full pipe loses lines, none is ever repeated
 * (keepalived.md section 4), so a line only closes or re-opens: addresses decide (O1). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FIFO_LINE_MAX 256 /* bytes, without the newline; longer ones are skipped and counted */
#define FIFO_NAME_MAX 63
#define FIFO_PRIORITY_MAX 255
#define FIFO_RETRY_MS 10  /* how often a FIFO without a writer is looked at */
#define FIFO_READS_MAX 32 /* of 4 KiB in one turn of the loop: two pipes full */

typedef struct uv_loop_s uv_loop_t;

enum fifo_state {
    FIFO_MASTER,
    FIFO_BACKUP,
    FIFO_FAULT,
    FIFO_STOP,
    FIFO_RX_LOWER,        /* MASTER_RX_LOWER_PRI */
    FIFO_MASTER_PRIORITY, /* the priority changed */
    FIFO_BACKUP_PRIORITY,
    FIFO_OTHER, /* a word of a newer keepalived */
};

struct fifo_line {
    bool group;
    char name[FIFO_NAME_MAX + 1];
    enum fifo_state state;
    unsigned priority;
};

/* One line without its newline. False: junk. */
bool fifo_parse(const char *text, size_t len, struct fifo_line *ret);
const char *fifo_state_name(enum fifo_state state);

/* Pieces of lines in, whole lines out. All zero to begin with. */
struct fifo_parser {
    char part[FIFO_LINE_MAX];
    size_t len;
    bool skipping; /* the rest of an over-long line */
    uint64_t lines, junk;
};

typedef void fifo_line_fn(void *ctx, const struct fifo_line *line);
void fifo_parser_feed(struct fifo_parser *p, const char *bytes, size_t len, fifo_line_fn *fn,
                      void *ctx);
void fifo_parser_clear(struct fifo_parser *p); /* drops a half line; counters stay */

/* What render.h names instances and groups: GM_<vip id>, GM_<vip id>_OUTER, GM_<vip id>_INNER. */
#define FIFO_NAME_PREFIX "GM_"
#define FIFO_OUTER_SUFFIX "_OUTER"
#define FIFO_INNER_SUFFIX "_INNER"

/* Which part of a VIP a line is about. BACKUP, FAULT and STOP of any part close it (O1); MASTER
 * re-opens it only for the whole: the other instance of a group may still be elsewhere. */
enum fifo_part {
    FIFO_WHOLE, /* the sync group, or the only instance of a VIP with one side */
    FIFO_OUTER,
    FIFO_INNER,
};
/* False: not an instance or group of ours. */
bool fifo_vip(const struct fifo_line *line, uint16_t *ret_vip, enum fifo_part *ret_part);

struct fifo_ops {
    void *ctx;
    fifo_line_fn *line;
    void (*writer)(void *ctx, bool present); /* before the lines of a new writer */
};

struct fifo;

/* mkfifo @path 0600 if there is none. -ENOTSUP: something else is there. */
int fifo_create(const char *path);
/* Create if need be and begin to read; tells ops.writer(true) from inside if one is there. */
int fifo_open(uv_loop_t *loop, const char *path, const struct fifo_ops *ops, struct fifo **ret);
/* Read what is there now, in this call: before the addresses are believed (see failover.h). Does
 * nothing when called from inside a callback of this FIFO. */
void fifo_drain(struct fifo *f);
bool fifo_has_writer(const struct fifo *f);
void fifo_counters(const struct fifo *f, uint64_t *ret_lines, uint64_t *ret_junk);
void fifo_close(struct fifo *f); /* NULL is fine; freed when the loop has closed its handles */
