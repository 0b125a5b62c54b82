/* The socket of the UAPI: its file, its clients, and the real wg as one of them. */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/secret.h"
#include "control/uapi.h"
#include "lib/test.h"
#include "store/store.h"
#include "unit/control/child.h"
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <uv.h>

#define HUB 1
#define IFNAME "gmtest0"
#define STEP_NS (5 * NS_PER_S) /* nothing here takes so long */

/* A device: a store, and what the engine would know. */
struct device {
    uv_loop_t loop;
    struct uapi *uapi;
    char dir[64], path[96];
    struct store *store;
    struct secret32 *private_key;
    uint16_t listen_port;
    uint32_t fwmark;
    unsigned gets, sets, deleted;
    int get_error, set_error;
    bool hold; /* sets wait for release() */
    struct uapi_call *held[8];
    unsigned held_count;
};

static int device_get(void *ctx, struct uapi_writer *w)
{
    struct device *d = ctx;
    const struct peer *p;
    uint64_t cursor = 0;

    d->gets++;
    uapi_write_device(w, &(struct uapi_device){d->private_key, d->listen_port, d->fwmark});
    while ((p = store_next(d->store, &cursor)))
        uapi_write_peer(w, &(struct uapi_peer){
                               .key = &p->key,
                               .psk = p->psk,
                               .endpoint = &p->endpoint,
                               .tx_bytes = 148,
                               .rx_bytes = 92,
                               .handshake_real_ns = 1750000000 * NS_PER_S,
                               .keepalive_s = p->keepalive_s,
                               .allowed = p->allowed,
                               .allowed_count = p->allowed_count,
                           });
    return d->get_error;
}

static int device_apply(struct device *d, struct change *c)
{
    struct store_write *w = store_begin(d->store);
    char error[STORE_ERROR_LEN];
    int r = store_apply(d->store, w, c, clock_real_ns(), error);

    if (r < 0) {
        store_abort(d->store, w);
        return r;
    }
    store_publish(d->store, w, NULL, NULL);
    if (c->has_private_key) {
        secret_free(d->private_key);
        d->private_key = TAKE_PTR(c->private_key);
    }
    if (c->has_listen_port)
        d->listen_port = c->listen_port;
    if (c->has_fwmark)
        d->fwmark = c->fwmark;
    return d->set_error;
}

static void device_set(void *ctx, struct change *c, struct uapi_call *call)
{
    struct device *d = ctx;
    int r = device_apply(d, c);

    d->sets++;
    change_free(c);
    if (d->hold)
        d->held[d->held_count++] = call;
    else
        uapi_reply(call, r);
}

static void release(struct device *d)
{
    while (d->held_count)
        uapi_reply(d->held[--d->held_count], 0);
}

static void device_deleted(void *ctx)
{
    struct device *d = ctx;

    d->deleted++;
}

static int device_open(struct device *d)
{
    struct uapi_ops ops = {d, device_get, device_set, device_deleted};
    int fd, r = uapi_listen(d->dir, IFNAME, &fd);

    return r < 0 ? r : uapi_new(&d->loop, HUB, fd, &ops, &d->uapi);
}

static struct device *device_make(const char *dir)
{
    struct device *d = calloc(1, sizeof(*d));
    char error[STORE_ERROR_LEN];

    snprintf(d->dir, sizeof(d->dir), "%s", dir);
    snprintf(d->path, sizeof(d->path), "%s/%s.sock", dir, IFNAME);
    assert_int_equal(uv_loop_init(&d->loop), 0);
    assert_int_equal(store_open(NULL, 0, &d->store, error), 0);
    return d;
}

static int setup(void **state)
{
    char dir[] = "/tmp/gm-uapi-XXXXXX";
    struct device *d;

    assert_non_null(mkdtemp(dir));
    assert_int_equal(chmod(dir, 0755), 0);
    d = device_make(dir);
    assert_int_equal(device_open(d), 0);
    *state = d;
    return 0;
}

static int teardown(void **state)
{
    struct device *d = *state;

    release(d);
    uapi_free(d->uapi);
    uv_run(&d->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&d->loop), 0);
    store_close(d->store);
    secret_free(d->private_key);
    unlink(d->path);
    if (strncmp(d->dir, "/tmp/", 5) == 0)
        rmdir(d->dir);
    free(d);
    return 0;
}

/* ---- clients ---- */

static int client(const struct device *d)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    strcpy(at.sun_path, d->path);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void turn(struct device *d)
{
    for (int i = 0; i < 4; i++)
        uv_run(&d->loop, UV_RUN_NOWAIT);
}

/* What comes until the text ends with @end, @room is full (if @end is NULL), or the server hangs
 * up. */
static size_t hear(struct device *d, int fd, char *ret, size_t room, const char *end)
{
    uint64_t until = clock_boot_ns() + STEP_NS;
    size_t len = 0;

    ret[0] = '\0';
    while (clock_boot_ns() < until && len < room - 1) {
        ssize_t n;

        uv_run(&d->loop, UV_RUN_NOWAIT);
        n = recv(fd, ret + len, room - 1 - len, 0);
        if (n == 0)
            return len;
        if (n < 0)
            continue;
        len += (size_t)n;
        ret[len] = '\0';
        if (end && len >= strlen(end) && strcmp(ret + len - strlen(end), end) == 0)
            return len;
    }
    if (!end && len == room - 1)
        return len;
    fail_msg("no end of the answer: %.200s", ret);
    return 0;
}

static void expect(struct device *d, int fd, const char *text)
{
    char got[4096];

    hear(d, fd, got, MIN(sizeof(got), strlen(text) + 1), NULL);
    assert_string_equal(got, text);
}

static void expect_silence(struct device *d, int fd)
{
    char c;

    turn(d);
    assert_int_equal(recv(fd, &c, 1, 0), -1);
    assert_int_equal(errno, EAGAIN);
}

TEST(socket_file_is_private_and_its_directory_is_not)
{
    struct device *d = *state;
    struct stat st;

    assert_int_equal(stat(d->path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(stat(d->dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0755);
}

TEST(directory_is_made_with_0755_whatever_the_umask)
{
    struct device *d = *state;
    char dir[128], path[160];
    mode_t was = umask(0077);
    struct stat st;
    int fd;

    snprintf(dir, sizeof(dir), "%s/new", d->dir);
    assert_int_equal(uapi_listen(dir, IFNAME, &fd), 0);
    umask(was);
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0755);
    close(fd);
    snprintf(path, sizeof(path), "%s/%s.sock", dir, IFNAME);
    unlink(path);
    rmdir(dir);
}

TEST(names_that_are_no_interface_are_refused)
{
    struct device *d = *state;
    int fd;

    for (const char *const *x =
             (const char *const[]){"", ".", "..", "a/b", "wg 0", "0123456789abcdef", NULL};
         *x; x++)
        assert_int_equal(uapi_listen(d->dir, *x, &fd), -EINVAL);
}

TEST(live_socket_is_not_taken_over)
{
    struct device *d = *state;
    int fd;

    assert_int_equal(uapi_listen(d->dir, IFNAME, &fd), -EADDRINUSE);
    turn(d);
    fd = client(d);
    say(fd, "get=1\n\n");
    expect(d, fd, "errno=0\n\n");
    close(fd);
}

TEST(stale_socket_is_replaced)
{
    struct device *d = *state;
    char path[160];
    int fd;

    snprintf(path, sizeof(path), "%s/stale.sock", d->dir);
    assert_int_equal(uapi_listen(d->dir, "stale", &fd), 0);
    close(fd); /* as after kill -9: the file stays */
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(uapi_listen(d->dir, "stale", &fd), 0);
    close(fd);
    unlink(path);
}

TEST(file_that_is_no_socket_is_left_alone)
{
    struct device *d = *state;
    char path[160];
    int fd;

    snprintf(path, sizeof(path), "%s/file.sock", d->dir);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(uapi_listen(d->dir, "file", &fd), -EEXIST);
    assert_int_equal(unlink(path), 0);
}

TEST(end_removes_the_file_but_not_another_one)
{
    struct device *d = *state;
    int fd;

    uapi_free(TAKE_PTR(d->uapi));
    turn(d);
    assert_int_equal(access(d->path, F_OK), -1);
    assert_int_equal(device_open(d), 0);
    unlink(d->path);
    fd = open(d->path, O_CREAT | O_WRONLY, 0600); /* a successor's */
    close(fd);
    uapi_free(TAKE_PTR(d->uapi));
    turn(d);
    assert_int_equal(access(d->path, F_OK), 0);
}

static void await_deleted(struct device *d)
{
    uint64_t until = clock_boot_ns() + STEP_NS;

    while (!d->deleted && clock_boot_ns() < until)
        uv_run(&d->loop, UV_RUN_NOWAIT);
    turn(d);
    assert_int_equal(d->deleted, 1);
}

TEST(removed_file_is_told_once)
{
    struct device *d = *state;
    struct stat st;

    turn(d);
    assert_int_equal(stat(d->path, &st), 0);
    chmod(d->path, 0600); /* an event, and no removal */
    turn(d);
    usleep(1000);
    turn(d);
    assert_int_equal(d->deleted, 0);
    unlink(d->path);
    await_deleted(d);
}

TEST(replaced_file_is_told)
{
    struct device *d = *state;
    char other[160];

    snprintf(other, sizeof(other), "%s/other", d->dir);
    close(open(other, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(rename(other, d->path), 0);
    await_deleted(d);
}

TEST(file_removed_before_the_start_is_noticed)
{
    struct device *d = *state;
    struct uapi_ops ops = {d, device_get, device_set, device_deleted};
    struct uapi *u;
    char path[160];
    int fd;

    snprintf(path, sizeof(path), "%s/early.sock", d->dir);
    assert_int_equal(uapi_listen(d->dir, "early", &fd), 0);
    unlink(path);
    assert_int_equal(uapi_new(&d->loop, HUB, fd, &ops, &u), -ENOENT);
}

/* ---- requests ---- */

TEST(probe_that_says_nothing_is_fine)
{
    struct device *d = *state;

    for (int i = 0; i < 300; i++) {
        close(client(d));
        turn(d);
    }
    int fd = client(d);
    say(fd, "get=1\n\n");
    expect(d, fd, "errno=0\n\n");
    close(fd);
}

TEST(operations_follow_one_another_on_a_connection)
{
    struct device *d = *state;
    int fd = client(d);

    say(fd,
        "set=1\nlisten_port=7\n\nget=1\n\nset=1\nlisten_port=x\n\nset=1\nfwmark=9\n\nget=1\n\n");
    expect(d, fd,
           "errno=0\n\nlisten_port=7\nerrno=0\n\nerrno=-22\n\nerrno=0\n\n"
           "listen_port=7\nfwmark=9\nerrno=0\n\n");
    assert_int_equal(d->gets, 2);
    assert_int_equal(d->sets, 2);
    close(fd);
}

TEST(refused_get_is_a_positive_errno_without_half_an_answer)
{
    struct device *d = *state;
    int fd = client(d);

    d->fwmark = 1;
    d->get_error = -EIO;
    say(fd, "get=1\n\n");
    expect(d, fd, "errno=5\n\n");
    d->get_error = 0;
    d->set_error = -EADDRINUSE;
    say(fd, "set=1\nlisten_port=1\n\n");
    expect(d, fd, "errno=-98\n\n");
    close(fd);
}

TEST(unknown_operation_is_answered_and_the_client_sent_away)
{
    struct device *d = *state;
    char got[64];
    int fd = client(d);

    say(fd, "hello\n\nget=1\n\n");
    hear(d, fd, got, sizeof(got), NULL);
    assert_string_equal(got, "errno=-22\n\n");
    assert_int_equal(d->gets, 0);
    close(fd);
}

TEST(client_that_stalls_in_a_set_blocks_nobody)
{
    struct device *d = *state;
    int stalled = client(d), other = client(d);

    say(stalled, "set=1\nlisten_port=1\npublic_");
    turn(d);
    for (int i = 0; i < 3; i++) {
        say(other, "set=1\nlisten_port=99\n\nget=1\n\n");
        expect(d, other, "errno=0\n\nlisten_port=99\nerrno=0\n\n");
    }
    assert_int_equal(d->sets, 3); /* nothing of the half one */
    say(stalled, "key=0a\n\n");
    expect(d, stalled, "errno=-22\n\n");
    close(stalled);
    close(other);
}

static void fill_device(struct device *d, unsigned prefixes)
{
    struct change *c = change_new(HUB);
    struct public_key key = {{1}};
    struct peer_change *pc = change_add_peer(c, &key);

    for (unsigned i = 0; i < prefixes; i++) {
        uint8_t v4[4] = {10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
        struct ip_prefix p = {.addr = addr_from_v4(v4), .len = 32};
        peer_change_allow(pc, &p, false);
    }
    assert_int_equal(device_apply(d, c), 0);
    change_free(c);
}

TEST(client_that_does_not_read_blocks_nobody)
{
    struct device *d = *state;
    int deaf = client(d), other = client(d);
    char *got = malloc(1 << 20);

    fill_device(d, 20000);
    for (int i = 0; i < 50; i++)
        send(deaf, "get=1\n\n", 7, MSG_NOSIGNAL);
    turn(d);
    /* One answer at a time is made for it, however much it asks. */
    assert_true(d->gets <= 2);
    say(other, "get=1\n\n");
    assert_true(hear(d, other, got, 1 << 20, "errno=0\n\n") > 400000);
    close(deaf);
    close(other);
    free(got);
}

TEST(sets_are_answered_when_the_node_says_so)
{
    struct device *d = *state;
    int fd = client(d), other = client(d);

    d->hold = true;
    say(fd, "set=1\nlisten_port=5\n\nget=1\n\n");
    expect_silence(d, fd);
    assert_int_equal(d->sets, 1);
    assert_int_equal(d->gets, 0); /* in order: the second operation waits for the first */
    say(other, "get=1\n\n");
    expect(d, other, "listen_port=5\nerrno=0\n\n");
    release(d);
    expect(d, fd, "errno=0\n\nlisten_port=5\nerrno=0\n\n");
    close(fd);
    close(other);
}

TEST(what_comes_while_an_answer_is_owed_is_not_lost)
{
    struct device *d = *state;
    int fd = client(d);

    d->hold = true;
    say(fd, "set=1\nlisten_port=5\n\n");
    turn(d);
    for (const char *const *x = (const char *const[]){"get", "=1\n", "\nset=1\nfwm", NULL}; *x;
         x++) {
        say(fd, *x);
        turn(d);
    }
    d->hold = false;
    release(d);
    say(fd, "ark=3\n\nget=1\n\n");
    expect(d, fd,
           "errno=0\n\nlisten_port=5\nerrno=0\n\nerrno=0\n\n"
           "listen_port=5\nfwmark=3\nerrno=0\n\n");
    close(fd);
}

TEST(client_may_leave_before_its_answer)
{
    struct device *d = *state;
    int fd = client(d);

    d->hold = true;
    say(fd, "set=1\nlisten_port=5\n\n");
    turn(d);
    assert_int_equal(d->held_count, 1);
    close(fd);
    turn(d);
    release(d);
    turn(d);
    fd = client(d);
    say(fd, "get=1\n\n");
    expect(d, fd, "listen_port=5\nerrno=0\n\n");
    close(fd);
}

TEST(answer_after_the_end_of_the_server_harms_nothing)
{
    struct device *d = *state;
    int fd = client(d);

    d->hold = true;
    say(fd, "set=1\nlisten_port=5\n\n");
    turn(d);
    uapi_free(TAKE_PTR(d->uapi));
    turn(d);
    release(d);
    close(fd);
}

TEST(idle_clients_make_room_for_new_ones)
{
    struct device *d = *state;
    int idle[300], busy = client(d);

    d->hold = true;
    say(busy, "set=1\nlisten_port=5\n\n");
    turn(d);
    for (int i = 0; i < 300; i++) {
        idle[i] = client(d);
        turn(d);
    }
    say(idle[299], "get=1\n\n");
    expect(d, idle[299], "listen_port=5\nerrno=0\n\n");
    /* Who waits for us is not sent away. */
    release(d);
    expect(d, busy, "errno=0\n\n");
    for (int i = 0; i < 300; i++)
        close(idle[i]);
    close(busy);
}

TEST(answer_to_a_set_comes_in_one_piece)
{
    struct device *d = *state;
    char got[64];
    int fd = client(d);

    for (int i = 0; i < 50; i++) {
        ssize_t n = -1;

        say(fd, "set=1\n\n");
        while (n < 0) {
            uv_run(&d->loop, UV_RUN_NOWAIT);
            n = recv(fd, got, sizeof(got), 0);
        }
        assert_int_equal(n, 9);
    }
    close(fd);
}

/* ---- the real wg ---- */

/* wg looks in one place only: a /run of our own, in a mount namespace of our own. */
static int wg_setup(void **state)
{
    static bool moved;
    struct device *d;

    *state = NULL;
    if (!moved) {
        if (system("command -v wg >/dev/null") != 0 || unshare(CLONE_NEWNS) < 0 ||
            mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
            mount("none", "/run", "tmpfs", 0, "size=8m,mode=0755") < 0)
            return 0;
        moved = true;
    }
    d = device_make(UAPI_DIR);
    assert_int_equal(device_open(d), 0);
    *state = d;
    return 0;
}

static int wg_teardown(void **state)
{
    return *state ? teardown(state) : 0;
}

#define KEY1 "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
#define KEY2 "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="
#define KEY3 "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM="

TEST(wg_set_and_show_work)
{
    struct device *d = *state;

    if (!d)
        skip();
    child_expect(&d->loop, "wg show interfaces", IFNAME "\n");
    child_expect(&d->loop, "echo " KEY1 " >/run/key; wg set " IFNAME " private-key /run/key", "");
    child_expect(&d->loop, "wg show " IFNAME " private-key", KEY1 "\n");
    child_expect(&d->loop,
                 "wg set " IFNAME " listen-port 4242 fwmark 0x2a peer " KEY2
                 " preshared-key /run/key endpoint 192.0.2.9:51820 persistent-keepalive 25"
                 " allowed-ips 10.0.0.0/24,fd00::/64 peer " KEY3 " endpoint '[2001:db8::1]:7'",
                 "");
    child_expect(&d->loop, "wg show " IFNAME " dump | cut -f1,3-",
                 KEY1 "\t4242\t0x2a\n" KEY2
                      "\t192.0.2.9:51820\t10.0.0.0/24,fd00::/64\t1750000000\t92"
                      "\t148\t25\n" KEY3 "\t[2001:db8::1]:7\t(none)\t1750000000\t92\t148\toff\n");
    child_expect(&d->loop, "wg show " IFNAME " preshared-keys",
                 KEY2 "\t" KEY1 "\n" KEY3 "\t(none)\n");
    child_expect(&d->loop,
                 "wg set " IFNAME " peer " KEY3 " allowed-ips 10.0.0.0/24 && wg show " IFNAME
                 " allowed-ips",
                 KEY2 "\tfd00::/64\n" KEY3 "\t10.0.0.0/24\n");
    child_expect(&d->loop, "wg set " IFNAME " peer " KEY2 " remove && wg show " IFNAME " peers",
                 KEY3 "\n");
    assert_non_null(strstr(child_run(&d->loop, "wg show " IFNAME)->out, "interface: " IFNAME));
}

TEST(wg_setconf_and_syncconf_work)
{
    struct device *d = *state;
    static const char conf[] = "[Interface]\nListenPort = 7\nFwMark = 0x3\nPrivateKey = " KEY1
                               "\n\n[Peer]\nPublicKey = " KEY2 "\nPresharedKey = " KEY3
                               "\nAllowedIPs = 10.0.0.0/24, fd00::/64\nEndpoint = 192.0.2.1:5\n"
                               "PersistentKeepalive = 9\n";
    FILE *f;

    if (!d)
        skip();
    f = fopen("/run/a.conf", "w");
    fputs(conf, f);
    fclose(f);
    child_expect(&d->loop, "wg set " IFNAME " peer " KEY3 " allowed-ips 10.1.0.0/16", "");
    child_expect(&d->loop, "wg setconf " IFNAME " /run/a.conf", "");
    child_expect(&d->loop, "wg show " IFNAME " peers", KEY2 "\n");
    child_expect(&d->loop, "wg show " IFNAME " dump | cut -f1,3-",
                 KEY1 "\t7\t0x3\n" KEY2
                      "\t192.0.2.1:5\t10.0.0.0/24,fd00::/64\t1750000000\t92\t148\t9\n");
    /* The same again: syncconf finds nothing to do for the peer. */
    unsigned sets = d->sets;
    child_expect(&d->loop,
                 "wg showconf " IFNAME " >/run/b.conf && wg syncconf " IFNAME " /run/b.conf", "");
    assert_int_equal(d->sets, sets + 1);
    child_expect(&d->loop, "wg showconf " IFNAME " | cmp - /run/b.conf", "");
    child_expect(&d->loop,
                 "printf '[Peer]\\nPublicKey = " KEY3 "\\n' | wg addconf " IFNAME " /dev/stdin",
                 "");
    child_expect(&d->loop, "wg show " IFNAME " peers", KEY2 "\n" KEY3 "\n");
}

TEST(wg_shows_errors_by_their_name)
{
    struct device *d = *state;

    if (!d)
        skip();
    d->set_error = -EADDRINUSE;
    assert_non_null(strstr(child_run(&d->loop, "wg set " IFNAME " listen-port 1")->out,
                           "Address already in use"));
    d->get_error = -EKEYREVOKED;
    assert_non_null(
        strstr(child_run(&d->loop, "wg show " IFNAME " dump")->out, "Key has been revoked"));
}

TEST(wg_sets_and_reads_130560_prefixes_of_one_peer)
{
    struct device *d = *state;
    uint64_t start = clock_boot_ns();

    if (!d)
        skip();
    child_expect(&d->loop,
                 "awk 'BEGIN { print \"[Peer]\\nPublicKey = " KEY2 "\";"
                 "for (a = 0; a < 255; a++) for (b = 0; b < 256; b++)"
                 "printf \"AllowedIPs = 10.%d.%d.1/32, fd00:%x:%x::/64\\n\", a, b, a, b }'"
                 " >/run/big.conf; wg setconf " IFNAME " /run/big.conf",
                 "");
    child_expect(&d->loop, "wg show " IFNAME " allowed-ips | tr ' ' '\\n' | grep -c /", "130560\n");
    assert_true(clock_boot_ns() - start < 10 * NS_PER_S);
}

#define TD(name) TS(name, setup, teardown)
#define TW(name) TS(name, wg_setup, wg_teardown)

TEST_MAIN(TD(socket_file_is_private_and_its_directory_is_not),
          TD(directory_is_made_with_0755_whatever_the_umask),
          TD(names_that_are_no_interface_are_refused), TD(live_socket_is_not_taken_over),
          TD(stale_socket_is_replaced), TD(file_that_is_no_socket_is_left_alone),
          TD(end_removes_the_file_but_not_another_one), TD(removed_file_is_told_once),
          TD(replaced_file_is_told), TD(file_removed_before_the_start_is_noticed),
          TD(probe_that_says_nothing_is_fine), TD(operations_follow_one_another_on_a_connection),
          TD(refused_get_is_a_positive_errno_without_half_an_answer),
          TD(unknown_operation_is_answered_and_the_client_sent_away),
          TD(client_that_stalls_in_a_set_blocks_nobody),
          TD(client_that_does_not_read_blocks_nobody), TD(sets_are_answered_when_the_node_says_so),
          TD(what_comes_while_an_answer_is_owed_is_not_lost),
          TD(client_may_leave_before_its_answer),
          TD(answer_after_the_end_of_the_server_harms_nothing),
          TD(idle_clients_make_room_for_new_ones), TD(answer_to_a_set_comes_in_one_piece),
          TW(wg_set_and_show_work), TW(wg_setconf_and_syncconf_work),
          TW(wg_shows_errors_by_their_name), TW(wg_sets_and_reads_130560_prefixes_of_one_peer))
