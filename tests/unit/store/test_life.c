/* Start numbers that no earlier life can have used (N5, N6), and their distance (N7). */
#include "base/clock.h"
#include "base/err.h"
#include "lib/test.h"
#include "store/life.h"
#include "unit/store/peers.h"
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define S NS_PER_S
#define MEMBER 2

struct house {
    char *dir;
    char machine_id[128], boot_id[128], life[128];
    struct life_host host;
};

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int house_make(void **state)
{
    struct house *h = calloc(1, sizeof(*h));

    h->dir = dir_make();
    snprintf(h->machine_id, sizeof(h->machine_id), "%s/machine-id", h->dir);
    snprintf(h->boot_id, sizeof(h->boot_id), "%s/boot-id", h->dir);
    snprintf(h->life, sizeof(h->life), "%s/life", h->dir);
    h->host = (struct life_host){h->machine_id, h->boot_id};
    write_text(h->machine_id, "0123456789abcdef0123456789abcdef\n");
    write_text(h->boot_id, "11111111-2222-3333-4444-555555555555\n");
    *state = h;
    return 0;
}

static int house_remove(void **state)
{
    struct house *h = *state;

    dir_remove(h->dir);
    free(h);
    return 0;
}

static struct life begin(const struct house *h, uint64_t boot_ns)
{
    struct life l;

    assert_int_equal(life_begin_on(&h->host, h->dir, MEMBER, boot_ns, NOW_NS, &l), 0);
    return l;
}

/* A start whose number is written, and which ends. */
static struct life live(const struct house *h, uint64_t boot_ns)
{
    struct life l = begin(h, boot_ns);

    life_end(&l);
    return l;
}

/* Two starts, the second long enough after the first to be proved. */
static struct life settle(const struct house *h)
{
    live(h, 1 * S);
    return live(h, 1000 * S);
}

TEST(numbers_rise_with_each_start)
{
    const struct house *h = *state;

    for (uint64_t n = 1; n < 10; n++)
        assert_int_equal(live(h, n * 1000 * S).seq, n);
}

TEST(missing_file_proves_nothing)
{
    const struct house *h = *state;
    struct life l = live(h, 1000 * S);

    assert_false(l.proved);
    assert_non_null(strstr(l.reason, "no life file"));
    assert_int_equal(l.seq, 1);
    assert_int_equal(l.wait_ns, 0);
}

TEST(ordinary_restart_and_reboot_are_proved)
{
    const struct house *h = *state;

    assert_true(settle(h).proved);
    assert_true(live(h, 1010 * S).proved);
    write_text(h->boot_id, "99999999-2222-3333-4444-555555555555\n");
    struct life l = live(h, 5 * S);
    assert_true(l.proved);
    assert_int_equal(l.wait_ns, 0);
    assert_int_equal(l.seq, 4);
}

TEST(start_soon_after_an_unproved_one_is_not_proved_either)
{
    const struct house *h = *state;

    assert_false(live(h, 1000 * S).proved);
    assert_false(live(h, 1100 * S).proved);
    struct life l = live(h, 1539 * S);
    assert_false(l.proved);
    assert_non_null(strstr(l.reason, "earlier start"));
    assert_true(live(h, 1545 * S).proved);
    assert_true(live(h, 1550 * S).proved);
}

TEST(reboot_does_not_end_an_unproved_chain)
{
    const struct house *h = *state;

    assert_false(live(h, 1000 * S).proved);
    write_text(h->boot_id, "99999999-2222-3333-4444-555555555555\n");
    assert_false(live(h, 2000 * S).proved); /* no common clock: it starts anew */
    assert_false(live(h, 2400 * S).proved);
    assert_true(live(h, 2600 * S).proved);
}

TEST(starts_keep_their_distance)
{
    const struct house *h = *state;
    uint64_t now = 1000 * S;

    settle(h);
    assert_int_equal(live(h, now + S).wait_ns, 2 * S);
    /* The last start was to go on at 1003 s; this one at 1006 s. */
    assert_int_equal(live(h, now + 2 * S).wait_ns, 4 * S);
    assert_int_equal(live(h, now + 9 * S).wait_ns, 0);
    write_text(h->boot_id, "99999999-2222-3333-4444-555555555555\n");
    assert_int_equal(live(h, now + 10 * S).wait_ns, 0);
}

TEST(state_of_another_machine_is_not_proved)
{
    const struct house *h = *state;

    settle(h);
    write_text(h->machine_id, "fedcba9876543210fedcba9876543210\n");
    struct life l = live(h, 2000 * S);
    assert_false(l.proved);
    assert_non_null(strstr(l.reason, "machine"));
    assert_int_equal(l.seq, 3);
}

TEST(machines_without_an_id_are_alike)
{
    const struct house *h = *state;

    unlink(h->machine_id);
    settle(h);
    assert_true(live(h, 2000 * S).proved);
    write_text(h->machine_id, "fedcba9876543210fedcba9876543210\n");
    assert_false(live(h, 3000 * S).proved);
}

TEST(machine_id_itself_is_not_in_the_file)
{
    const struct house *h = *state;
    char text[1024] = "";
    FILE *f;

    settle(h);
    f = fopen(h->life, "r");
    assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
    fclose(f);
    assert_null(strstr(text, "0123456789abcdef"));
}

TEST(state_of_another_member_is_not_proved)
{
    const struct house *h = *state;
    struct life l;

    settle(h);
    assert_int_equal(life_begin_on(&h->host, h->dir, MEMBER + 1, 2000 * S, NOW_NS, &l), 0);
    assert_false(l.proved);
    assert_non_null(strstr(l.reason, "member 2"));
    life_end(&l);
}

TEST(any_damage_of_the_file_is_noticed)
{
    const struct house *h = *state;
    char text[1024];
    size_t len;
    FILE *f;

    settle(h);
    f = fopen(h->life, "r");
    len = fread(text, 1, sizeof(text), f);
    fclose(f);
    assert_true(len > 100);
    for (size_t i = 0; i <= len; i++) {
        f = fopen(h->life, "w");
        if (i == len) { /* cut */
            fwrite(text, 1, len - 1, f);
        } else {
            text[i] ^= 1;
            fwrite(text, 1, len, f);
            text[i] ^= 1;
        }
        fclose(f);
        struct life l = live(h, 2000 * S);
        if (l.proved || l.seq != 1 || !strstr(l.reason, "damaged"))
            fail_msg("byte %zu changed, and the file was believed", i);
    }
}

TEST(higher_number_seen_by_a_sibling_is_passed)
{
    const struct house *h = *state;
    struct life l;

    settle(h);
    l = begin(h, 2000 * S);
    assert_int_equal(l.seq, 3);
    assert_int_equal(life_raise(h->dir, &l, 2), 0);
    assert_int_equal(l.seq, 3);
    assert_int_equal(life_raise(h->dir, &l, 3), 0);
    assert_int_equal(l.seq, 4);
    assert_int_equal(life_raise(h->dir, &l, 500), 0);
    assert_int_equal(l.seq, 501);
    assert_true(l.proved);
    assert_int_equal(life_raise(h->dir, &l, UINT64_MAX), -ERANGE);
    life_end(&l);
    assert_int_equal(live(h, 3000 * S).seq, 502);
}

TEST(stamps_are_reserved_ahead_and_known_after_a_crash)
{
    const struct house *h = *state;
    struct life l = begin(h, 1000 * S);
    char text[64] = "";
    FILE *f;

    assert_int_equal(l.stamp_floor, 0);
    assert_int_equal(life_reserve_stamps(h->dir, &l, NOW_NS, NOW_NS), 0);
    write_text(h->life, "not written again: cheap");
    for (uint64_t t = 0; t < STAMP_RESERVE_NS / 2; t += S)
        assert_int_equal(life_reserve_stamps(h->dir, &l, NOW_NS + t, NOW_NS + t), 0);
    f = fopen(h->life, "r");
    assert_non_null(fgets(text, sizeof(text), f));
    fclose(f);
    assert_string_equal(text, "not written again: cheap");
    assert_int_equal(life_reserve_stamps(h->dir, &l, NOW_NS, NOW_NS + STAMP_RESERVE_NS / 2 + S), 0);
    life_end(&l);
    l = live(h, 2000 * S);
    assert_true(l.stamp_floor >= NOW_NS + STAMP_RESERVE_NS / 2 + S);
    /* And after one more life that sent nothing. */
    assert_true(live(h, 3000 * S).stamp_floor == l.stamp_floor);
}

TEST(starts_in_a_row_do_not_run_away_with_the_stamps)
{
    const struct house *h = *state;
    uint64_t sent = NOW_NS;

    for (unsigned i = 1; i <= 10; i++) {
        struct life l = begin(h, i * 1000 * S);

        assert_true(i == 1 || l.stamp_floor >= sent); /* all that an earlier life sent */
        sent = MAX(l.stamp_floor, NOW_NS);
        assert_int_equal(life_reserve_stamps(h->dir, &l, sent, NOW_NS), 0);
        life_end(&l);
    }
    assert_true(live(h, 20000 * S).stamp_floor > sent);
    assert_true(sent <= NOW_NS + STAMP_RESERVE_NS + 10 * STAMP_STEP_NS);
}

TEST(second_process_on_the_state_is_refused)
{
    const struct house *h = *state;
    struct life l = begin(h, 1000 * S), second;

    assert_int_equal(life_begin_on(&h->host, h->dir, MEMBER, 1001 * S, NOW_NS, &second), -EALREADY);
    life_end(&l);
    assert_int_equal(live(h, 2000 * S).seq, 2); /* the refused one took no number */
}

/* In a mount namespace of our own; without root the test is left out. */
static void on_bad_disk(const struct house *h, int flags, const char *options, bool fill,
                        const char *word)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        struct house *m = (struct house *)h;
        char ballast[160];
        char chunk[4096] = {0};

        if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("none", h->dir, "tmpfs", 0, options) < 0)
            _exit(77);
        m->host = (struct life_host){"/etc/machine-id", "/proc/sys/kernel/random/boot_id"};
        settle(h);
        struct life before = live(h, 2000 * S);
        if (!before.proved)
            _exit(2);
        if (fill) {
            snprintf(ballast, sizeof(ballast), "%s/ballast", h->dir);
            int fd = open(ballast, O_WRONLY | O_CREAT, 0600);
            while (write(fd, chunk, sizeof(chunk)) > 0)
                ;
            close(fd);
        }
        if (flags && mount("none", h->dir, NULL, MS_REMOUNT | (unsigned long)flags, options) < 0)
            _exit(3);
        struct life l = begin(h, 3000 * S);
        if (l.proved || !strstr(l.reason, word) || l.seq <= before.seq)
            _exit(4);
        if (life_raise(h->dir, &l, 90) >= 0 || l.seq != 91)
            _exit(5);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

TEST(full_disk_is_a_quarantine_and_not_an_end)
{
    on_bad_disk(*state, 0, "size=64k", true, "No space");
}

TEST(read_only_disk_is_a_quarantine_and_not_an_end)
{
    on_bad_disk(*state, MS_RDONLY, "size=64k", false, "Read-only");
}

TEST(life_begins_on_this_machine)
{
    const struct house *h = *state;
    struct life l;

    assert_int_equal(life_begin(h->dir, MEMBER, clock_boot_ns(), clock_real_ns(), &l), 0);
    assert_int_equal(l.seq, 1);
    life_end(&l);
    assert_int_equal(life_begin(h->dir, MEMBER, clock_boot_ns(), clock_real_ns(), &l), 0);
    assert_true(l.wait_ns > 0 && l.wait_ns <= RESTART_MIN_NS);
    life_end(&l);
}

#define TH(name) TS(name, house_make, house_remove)

TEST_MAIN(TH(numbers_rise_with_each_start), TH(missing_file_proves_nothing),
          TH(ordinary_restart_and_reboot_are_proved),
          TH(start_soon_after_an_unproved_one_is_not_proved_either),
          TH(reboot_does_not_end_an_unproved_chain), TH(starts_keep_their_distance),
          TH(state_of_another_machine_is_not_proved), TH(machines_without_an_id_are_alike),
          TH(machine_id_itself_is_not_in_the_file), TH(state_of_another_member_is_not_proved),
          TH(any_damage_of_the_file_is_noticed), TH(higher_number_seen_by_a_sibling_is_passed),
          TH(stamps_are_reserved_ahead_and_known_after_a_crash),
          TH(starts_in_a_row_do_not_run_away_with_the_stamps),
          TH(second_process_on_the_state_is_refused), TH(full_disk_is_a_quarantine_and_not_an_end),
          TH(read_only_disk_is_a_quarantine_and_not_an_end), TH(life_begins_on_this_machine))
