/* How soon two members find each other over TCP, on loopback: each with a loop's links of its own,
 * on one loop. */
#include "base/clock.h"
#include "base/err.h"
#include "lib/test.h"
#include "noise/noise.h"
#include "sync/link.h"
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#define DIALLED 1 /* the lower id */
#define DIALS 2
#define NEVER_SO_MANY UINT32_MAX
#define SOON_MS 200         /* less than three quarters of the fourth wait */
#define PENDING_MAX 8       /* connections that fill a queue for one */
#define PENDING_SHOWS_MS 20 /* on loopback one that is taken in is made at once */

struct ends {
    uv_loop_t loop;
    struct links *links[DIALS + 1];
    struct links_config conf[DIALS + 1];
    unsigned ups;
};

static void on_up(void *ctx, uint8_t member, const struct codec_key *key)
{
    ((struct ends *)ctx)->ups++;
}

static void on_down(void *ctx, uint8_t member, const char *reason)
{
}

static void on_frame(void *ctx, uint8_t member, const uint8_t *msg, size_t len)
{
}

static struct endpoint loopback(uint16_t port)
{
    struct endpoint e = {.port = port};

    assert_int_equal(addr_parse("127.0.0.1", &e.addr), 0);
    return e;
}

/* A socket that listens and never accepts, with a queue for one. *@port 0: gets a free one. */
static int deaf_listener(uint16_t *port)
{
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(fd, 0), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    *port = ntohs(sa.sin_port);
    return fd;
}

static struct ends *ends_new(uint16_t port)
{
    struct ends *e = calloc(1, sizeof(*e));
    struct secret32 *cluster = secret_alloc();

    assert_non_null(e);
    assert_non_null(cluster);
    assert_int_equal(noise_init(), 0);
    assert_int_equal(uv_loop_init(&e->loop), 0);
    for (unsigned m = DIALLED; m <= DIALS; m++) {
        struct links_config *c = &e->conf[m];
        struct secret32 *own = secret_alloc();

        assert_non_null(own);
        x25519_keygen(&rng_system, own->b,
                      e->conf[DIALLED + DIALS - m].identity.member[m].public_key);
        c->identity.self = (uint8_t)m;
        c->identity.cluster_key = cluster;
        c->identity.private_key = own;
        c->identity.member[DIALLED + DIALS - m].known = true;
        c->address[DIALLED] = c->address[DIALS] = loopback(port);
        c->rng = &rng_system;
    }
    return e;
}

static void begin(struct ends *e, unsigned member)
{
    struct links_ops ops = {.ctx = e, .up = on_up, .down = on_down, .frame = on_frame};

    assert_int_equal(links_new(&e->loop, &e->conf[member], &ops, &e->links[member]), 0);
}

/* Until so many were dialled, or so many ends are up. */
static void run_until(struct ends *e, uint64_t ms, unsigned dials, unsigned ups)
{
    uint64_t until = clock_boot_ns() + ms * NS_PER_MS;

    while (clock_boot_ns() < until &&
           (links_counters(e->links[DIALS])->dialled < dials && e->ups < ups)) {
        uv_run(&e->loop, UV_RUN_NOWAIT);
        usleep(500);
    }
}

static void ends_free(struct ends *e)
{
    for (unsigned m = DIALLED; m <= DIALS; m++)
        links_free(e->links[m]);
    assert_int_equal(uv_run(&e->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&e->loop), 0);
    free(e);
}

TEST(who_waits_to_dial_again_dials_at_once_when_there_is_a_sign)
{
    uint16_t port = 0;
    int fd = deaf_listener(&port);
    struct ends *e = ends_new(port);

    close(fd); /* refused */
    begin(e, DIALS);
    run_until(e, 2000, 3, NEVER_SO_MANY);
    assert_int_equal(links_counters(e->links[DIALS])->dialled, 3);
    begin(e, DIALLED);
    uv_run(&e->loop, UV_RUN_NOWAIT); /* it listens */
    links_dial_now(e->links[DIALS]);
    run_until(e, SOON_MS, NEVER_SO_MANY, 2);
    assert_int_equal(e->ups, 2);
    uint64_t dialled = links_counters(e->links[DIALS])->dialled;
    links_dial_now(e->links[DIALS]); /* nobody is missing */
    run_until(e, 20, NEVER_SO_MANY, NEVER_SO_MANY);
    assert_int_equal(links_counters(e->links[DIALS])->dialled, dialled);
    ends_free(e);
}

/* What the kernel does with a SYN for which there is no room is what a dead LAN does with it. */
static void fill(uint16_t port, int fds[PENDING_MAX])
{
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    for (unsigned i = 0; i < PENDING_MAX; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        assert_true(fds[i] >= 0);
        (void)connect(fds[i], (struct sockaddr *)&sa, sizeof(sa));
    }
    usleep(PENDING_SHOWS_MS * 1000);
}

TEST(whose_first_packet_was_lost_is_dialled_anew_when_there_is_a_sign)
{
    int fds[PENDING_MAX];
    uint16_t port = 0;
    int fd = deaf_listener(&port);
    struct ends *e = ends_new(port);

    fill(port, fds);
    begin(e, DIALS);
    run_until(e, 2000, 1, NEVER_SO_MANY);
    for (unsigned i = 0; i < PENDING_MAX; i++)
        close(fds[i]);
    close(fd);
    begin(e, DIALLED);
    uv_run(&e->loop, UV_RUN_NOWAIT);
    run_until(e, 20, 2, NEVER_SO_MANY);
    assert_int_equal(links_counters(e->links[DIALS])->dialled, 1); /* it waits for an answer */
    links_dial_now(e->links[DIALS]);
    run_until(e, SOON_MS, NEVER_SO_MANY, 2);
    assert_int_equal(e->ups, 2);
    ends_free(e);
}

TEST_MAIN(T(who_waits_to_dial_again_dials_at_once_when_there_is_a_sign),
          T(whose_first_packet_was_lost_is_dialled_anew_when_there_is_a_sign))
