/* keepalived's FIFO: what counts as a line, and when a keepalived is there. */
#include "base/clock.h"
#include "ha/fifo.h"
#include "lib/test.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

/* ---- lines ---- */

static bool parse(const char *text, struct fifo_line *ret)
{
    return fifo_parse(text, strlen(text), ret);
}

TEST(a_line_has_kind_name_state_and_priority)
{
    struct fifo_line l;

    assert_true(parse("GROUP \"GM_1\" MASTER 250", &l));
    assert_true(l.group && l.state == FIFO_MASTER && l.priority == 250);
    assert_string_equal(l.name, "GM_1");
    assert_true(parse("INSTANCE \"GM_1_OUTER\" FAULT 0", &l));
    assert_true(!l.group && l.state == FIFO_FAULT && l.priority == 0);
    for (int s = 0; s < FIFO_OTHER; s++) {
        char text[128];

        snprintf(text, sizeof(text), "INSTANCE \"x y\" %s 255",
                 fifo_state_name((enum fifo_state)s));
        assert_true(parse(text, &l));
        assert_int_equal(l.state, s);
        assert_string_equal(l.name, "x y");
    }
    assert_true(parse("INSTANCE \"x\" DELETED 1", &l)); /* of a newer keepalived */
    assert_int_equal(l.state, FIFO_OTHER);
}

TEST(anything_else_is_junk_and_changes_nothing)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "GROUP",
                                      "GROUP \"GM_1\"",
                                      "GROUP \"GM_1\" MASTER",
                                      "GROUP \"GM_1\" MASTER ",
                                      "GROUP \"GM_1\" MASTER 256",
                                      "GROUP \"GM_1\" MASTER -1",
                                      "GROUP \"GM_1\" MASTER 1x",
                                      "GROUP \"GM_1\" MASTER 1 ",
                                      "GROUP \"GM_1\" MASTER 1 2",
                                      "GROUP \"GM_1\" master 1",
                                      "GROUP \"GM_1\"  MASTER 1",
                                      "GROUP  \"GM_1\" MASTER 1",
                                      " GROUP \"GM_1\" MASTER 1",
                                      "GROUP GM_1 MASTER 1",
                                      "GROUP \"GM_1 MASTER 1",
                                      "GROUP \"\" MASTER 1",
                                      "GROUPS \"GM_1\" MASTER 1",
                                      "instance \"GM_1\" MASTER 1",
                                      "GROUP \"GM_1\"MASTER 1",
                                      "GROUP \"GM_1\" MASTER\t1",
                                      "GROUP \"GM_1\" MASTER 99999999999999999999"};
    char name[FIFO_NAME_MAX + 32];
    struct fifo_line l = {.priority = 77};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (parse(bad[i], &l))
            fail_msg("%s", bad[i]);
    assert_false(fifo_parse("GROUP \"GM\0\" MASTER 1", 21, &l));
    snprintf(name, sizeof(name), "GROUP \"%064d\" FAULT 1", 1);
    assert_false(parse(name, &l));
    assert_int_equal(l.priority, 77);
    snprintf(name, sizeof(name), "GROUP \"%063d\" FAULT 1", 1);
    assert_true(parse(name, &l));
}

TEST(only_names_of_ours_are_vips)
{
    static const struct {
        const char *name;
        uint16_t vip;
        enum fifo_part part;
    } all[] = {{"GM_1", 1, FIFO_WHOLE},
               {"GM_65535", 65535, FIFO_WHOLE},
               {"GM_7_OUTER", 7, FIFO_OUTER},
               {"GM_7_INNER", 7, FIFO_INNER},
               {"GM_0", 0, 0},
               {"GM_65536", 0, 0},
               {"GM_", 0, 0},
               {"GM_1_", 0, 0},
               {"GM_1_outer", 0, 0},
               {"GM_1_OUTER2", 0, 0},
               {"gm_1", 0, 0},
               {"XGM_1", 0, 0},
               {"GM_99999999", 0, 0},
               {"VI_1", 0, 0}};

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        struct fifo_line l = {0};
        uint16_t vip = 0;
        enum fifo_part part = 99;

        strcpy(l.name, all[i].name);
        assert_int_equal(fifo_vip(&l, &vip, &part), all[i].vip != 0);
        assert_int_equal(vip, all[i].vip);
        if (vip)
            assert_int_equal(part, all[i].part);
        else
            assert_int_equal(part, 99);
    }
}

static void count_line(void *ctx, const struct fifo_line *line)
{
    (*(unsigned *)ctx)++;
    assert_string_equal(line->name, "GM_1");
}

TEST(lines_are_put_together_from_any_pieces)
{
    static const char text[] = "GROUP \"GM_1\" MASTER 250\nrubbish\nGROUP \"GM_1\" BACKUP 250\n\n"
                               "INSTANCE \"GM_1\" FAULT 0\n";

    for (size_t piece = 1; piece < sizeof(text); piece++) {
        struct fifo_parser p = {0};
        unsigned seen = 0;

        for (size_t at = 0; at < sizeof(text) - 1; at += piece) {
            size_t len = sizeof(text) - 1 - at;
            fifo_parser_feed(&p, text + at, len < piece ? len : piece, count_line, &seen);
        }
        assert_int_equal(seen, 3);
        assert_true(p.lines == 3 && p.junk == 2);
    }
}

TEST(a_line_without_end_is_left_out_and_the_next_is_read)
{
    static char lots[10 * FIFO_LINE_MAX];
    struct fifo_parser p = {0};
    unsigned seen = 0;

    memset(lots, 'x', sizeof(lots));
    fifo_parser_feed(&p, lots, sizeof(lots), count_line, &seen);
    fifo_parser_feed(&p, "\nGROUP \"GM_1\" MASTER 1\n", 23, count_line, &seen);
    assert_true(seen == 1 && p.lines == 1 && p.junk == 1);
    /* Half a line of a keepalived that died is not the beginning of the next one's. */
    fifo_parser_feed(&p, "GROUP \"GM_1\" MAS", 16, count_line, &seen);
    fifo_parser_clear(&p);
    fifo_parser_feed(&p, "GROUP \"GM_1\" BACKUP 1\n", 22, count_line, &seen);
    assert_true(seen == 2 && p.junk == 2);
}

/* ---- the reader ---- */

struct reader {
    uv_loop_t loop;
    struct fifo *fifo;
    char dir[64], path[96], told[256];
};

static void on_line(void *ctx, const struct fifo_line *line)
{
    struct reader *r = ctx;

    strcat(r->told, fifo_state_name(line->state));
    strcat(r->told, " ");
    fifo_drain(r->fifo); /* does nothing from in here */
}

static void on_writer(void *ctx, bool present)
{
    strcat(((struct reader *)ctx)->told, present ? "+" : "-");
}

static int set_up(void **state)
{
    struct reader *r = calloc(1, sizeof(*r));

    strcpy(r->dir, "/tmp/gm-fifo-XXXXXX");
    if (uv_loop_init(&r->loop) < 0 || !mkdtemp(r->dir))
        return -1;
    snprintf(r->path, sizeof(r->path), "%s/vrrp.fifo", r->dir);
    *state = r;
    return 0;
}

static int clean_up(void **state)
{
    struct reader *r = *state;

    fifo_close(r->fifo);
    uv_run(&r->loop, UV_RUN_DEFAULT);
    int left = uv_loop_close(&r->loop);
    unlink(r->path);
    rmdir(r->dir);
    free(r);
    return left;
}

static int open_fifo(struct reader *r)
{
    const struct fifo_ops ops = {.ctx = r, .line = on_line, .writer = on_writer};

    return fifo_open(&r->loop, r->path, &ops, &r->fifo);
}

static int keepalived(struct reader *r)
{
    int fd = open(r->path, O_RDWR | O_NONBLOCK | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static void say(int fd, const char *state)
{
    char text[64];
    int n = snprintf(text, sizeof(text), "GROUP \"GM_1\" %s 250\n", state);

    assert_int_equal(write(fd, text, (size_t)n), n);
}

/* Runs the loop until that has been told, 3 s at most. */
static void assert_told(struct reader *r, const char *want)
{
    uint64_t until = clock_boot_ns() + 3 * NS_PER_S;

    while (strcmp(r->told, want) != 0 && clock_boot_ns() < until) {
        uv_run(&r->loop, UV_RUN_NOWAIT);
        usleep(1000);
    }
    assert_string_equal(r->told, want);
}

TEST(a_keepalived_that_comes_speaks_and_dies_is_followed)
{
    struct reader *r = *state;
    struct stat st;

    assert_int_equal(open_fifo(r), 0);
    assert_true(stat(r->path, &st) == 0 && S_ISFIFO(st.st_mode) && (st.st_mode & 0777) == 0600);
    assert_false(fifo_has_writer(r->fifo));
    assert_told(r, "");
    int k = keepalived(r);
    assert_told(r, "+");
    assert_true(fifo_has_writer(r->fifo));
    say(k, "MASTER");
    say(k, "BACKUP");
    assert_told(r, "+MASTER BACKUP ");
    close(k);
    assert_told(r, "+MASTER BACKUP -");
    k = keepalived(r);
    say(k, "FAULT");
    assert_told(r, "+MASTER BACKUP -+FAULT ");
    close(k);
}

TEST(what_was_said_before_we_came_is_still_read)
{
    struct reader *r = *state;

    assert_int_equal(fifo_create(r->path), 0);
    assert_int_equal(fifo_create(r->path), 0);
    int k = keepalived(r);
    say(k, "MASTER");
    assert_int_equal(open_fifo(r), 0); /* in this call already */
    assert_string_equal(r->told, "+MASTER ");
    close(k);
}

TEST(draining_reads_what_is_there_at_once)
{
    struct reader *r = *state;

    assert_int_equal(open_fifo(r), 0);
    int k = keepalived(r);
    say(k, "MASTER");
    fifo_drain(r->fifo);
    assert_string_equal(r->told, "+MASTER ");
    close(k);
}

TEST(lines_of_a_keepalived_that_is_gone_already_are_not_lost)
{
    struct reader *r = *state;

    assert_int_equal(open_fifo(r), 0);
    int k = keepalived(r);
    say(k, "FAULT");
    close(k);
    fifo_drain(r->fifo);
    assert_non_null(strstr(r->told, "FAULT "));
    assert_false(fifo_has_writer(r->fifo));
}

TEST(a_fifo_that_was_made_anew_is_found)
{
    struct reader *r = *state;

    assert_int_equal(open_fifo(r), 0);
    assert_int_equal(unlink(r->path), 0);
    assert_int_equal(mkfifo(r->path, 0600), 0);
    int k = keepalived(r);
    say(k, "MASTER");
    assert_told(r, "+MASTER ");
    close(k);
    assert_told(r, "+MASTER -");
}

TEST(what_is_no_fifo_is_refused)
{
    struct reader *r = *state;
    int fd = open(r->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(fifo_create(r->path), -ENOTSUP);
    assert_int_equal(open_fifo(r), -ENOTSUP);
    assert_null(r->fifo);
    unlink(r->path);
    assert_int_equal(symlink("/dev/zero", r->path), 0);
    assert_int_equal(open_fifo(r), -ENOTSUP);
}

TEST(without_a_keepalived_the_loop_does_not_spin)
{
    struct reader *r = *state;
    unsigned turns = 0;

    assert_int_equal(open_fifo(r), 0);
    close(keepalived(r));
    for (uint64_t until = clock_boot_ns() + 300 * NS_PER_MS; clock_boot_ns() < until; turns++)
        uv_run(&r->loop, UV_RUN_ONCE);
    assert_in_range(turns, 1, 3 * 300 / FIFO_RETRY_MS);
}

TEST_MAIN(T(a_line_has_kind_name_state_and_priority), T(anything_else_is_junk_and_changes_nothing),
          T(only_names_of_ours_are_vips), T(lines_are_put_together_from_any_pieces),
          T(a_line_without_end_is_left_out_and_the_next_is_read),
          TS(a_keepalived_that_comes_speaks_and_dies_is_followed, set_up, clean_up),
          TS(what_was_said_before_we_came_is_still_read, set_up, clean_up),
          TS(draining_reads_what_is_there_at_once, set_up, clean_up),
          TS(lines_of_a_keepalived_that_is_gone_already_are_not_lost, set_up, clean_up),
          TS(a_fifo_that_was_made_anew_is_found, set_up, clean_up),
          TS(what_is_no_fifo_is_refused, set_up, clean_up),
          TS(without_a_keepalived_the_loop_does_not_spin, set_up, clean_up))
