#include "engines.h"
#include "base/bytes.h"
#include "base/err.h"
#include "noise/noise.h"
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

uv_loop_t loop;

/* ---- waiting ---- */

void turn_once(void)
{
    uv_run(&loop, UV_RUN_NOWAIT);
    usleep(500);
}

void turn_for(unsigned ms)
{
    uint64_t end = clock_boot_ns() + ms * NS_PER_MS;

    while (clock_boot_ns() < end)
        turn_once();
}

bool got(int fd, const char *text)
{
    char buf[2048];
    ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

    return n == (ssize_t)strlen(text) && memcmp(buf, text, (size_t)n) == 0;
}

unsigned count_received(int fd)
{
    char buf[2048];
    unsigned n = 0;

    while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) >= 0)
        n++;
    return n;
}

bool refused(int fd, int err)
{
    int e = 0;
    socklen_t len = sizeof(e);

    getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len);
    return e == err;
}

/* ---- two engines ---- */

struct pair pair_with(const struct hub_options *o)
{
    struct hub_options options = *o;
    struct pair p;

    p.a = hub_new(&loop, LAB_A, "gmt0", 1, &options);
    p.b = hub_new(&loop, LAB_B, "gmt0", 2, &options);
    hub_open(p.a, 0);
    hub_open(p.b, 0);
    p.a4 = lab_socket(LAB_A, SOCK_DGRAM, A4, PORT);
    p.b4 = lab_socket(LAB_B, SOCK_DGRAM, B4, PORT);
    p.a6 = lab_socket(LAB_A, SOCK_DGRAM, A6, PORT);
    p.b6 = lab_socket(LAB_B, SOCK_DGRAM, B6, PORT);
    return p;
}

struct pair pair_new(unsigned workers)
{
    return pair_with(&(struct hub_options){.workers = workers});
}

void pair_free(struct pair *p)
{
    hub_free(p->a);
    hub_free(p->b);
    lab_close(p->a4);
    lab_close(p->b4);
    lab_close(p->a6);
    lab_close(p->b6);
}

void pair_talk(struct pair *p)
{
    lab_send_to(p->a4, B4, PORT, "up 4", 4);
    UNTIL(got(p->b4, "up 4")); /* the first one waited for the handshake */
    lab_send_to(p->b4, A4, PORT, "down 4", 6);
    UNTIL(got(p->a4, "down 4"));
    lab_send_to(p->a6, B6, PORT, "up 6", 4);
    UNTIL(got(p->b6, "up 6"));
    lab_send_to(p->b6, A6, PORT, "down 6", 6);
    UNTIL(got(p->a6, "down 6"));
}

/* ---- packets made by the test ---- */

struct crafted crafted_new(const struct hub_options *options)
{
    struct crafted c = {.hub = hub_new(&loop, LAB_A, "gmt0", 1, options),
                        .keys = {.send = {1}, .recv = {2}},
                        .aead = aead_new()};
    struct public_key someone = {{9}};

    hub_open(c.hub, 0);
    c.peer = hub_add_peer(c.hub, &someone, NULL, 2);
    c.key = hub_install(c.peer, &c.keys, INDEX, 77, true);
    c.outside = lab_socket(NULL, SOCK_DGRAM, "127.0.0.1", 0);
    c.inside = lab_socket(LAB_A, SOCK_DGRAM, A4, PORT);
    return c;
}

void crafted_free(struct crafted *c)
{
    hub_free(c->hub);
    aead_free(c->aead);
    lab_close(c->outside);
    lab_close(c->inside);
}

size_t inner(uint8_t *out, uint8_t last, const char *text)
{
    size_t len = 28 + strlen(text);
    uint32_t sum = 0;

    memset(out, 0, 28);
    out[0] = 0x45;
    store_be16(out + 2, (uint16_t)len);
    out[8] = 64;
    out[9] = IPPROTO_UDP;
    memcpy(out + 12, (uint8_t[]){10, 77, 0, last, 10, 77, 0, 1}, 8);
    for (unsigned i = 0; i < 20; i += 2)
        sum += load_be16(out + i);
    store_be16(out + 10, (uint16_t) ~((sum & 0xffff) + (sum >> 16)));
    store_be16(out + 20, 1234);
    store_be16(out + 22, PORT);
    store_be16(out + 24, (uint16_t)(len - 20));
    memcpy(out + 28, text, strlen(text));
    return len;
}

size_t seal(struct crafted *c, uint8_t *out, uint64_t counter, uint8_t last, const char *text)
{
    struct aead_op op = {.counter = counter, .src = out + 16, .dst = out + 16};

    memset(out, 0, 16);
    store_le32(out, MESSAGE_DATA);
    store_le32(out + 4, INDEX);
    store_le64(out + 8, counter);
    if (text)
        op.len = (inner(out + 16, last, text) + 15) / 16 * 16;
    aead_seal(c->aead, c->keys.recv, &op, 1);
    return 16 + op.len + 16;
}

void send_crafted(struct crafted *c, uint64_t counter, uint8_t last, const char *text)
{
    uint8_t message[256] = {0};
    size_t len = seal(c, message, counter, last, text);

    lab_send_to(c->outside, "127.0.0.1", c->hub->port, message, len);
}

void own(struct hub *h, bool yes)
{
    atomic_store(&h->gate.vip[1].since_ns, clock_boot_ns());
    atomic_store(&h->gate.vip[1].owned, yes);
}

/* ---- a worker that does nothing ---- */

static int stand_still(struct worker *w, void *arg)
{
    struct stall *s = arg;

    sem_post(&s->began);
    sem_wait(&s->over);
    return 0;
}

void stall_begin(struct stall *s, struct worker *w)
{
    *s = (struct stall){.call = {.fn = stand_still, .arg = s}};
    sem_init(&s->began, 0, 0);
    sem_init(&s->over, 0, 0);
    pthread_mutex_lock(&w->call_lock);
    w->calls = &s->call;
    wake_send(&w->wake);
    pthread_mutex_unlock(&w->call_lock);
    sem_wait(&s->began);
}

void stall_end(struct stall *s, struct worker *w)
{
    sem_post(&s->over);
    pthread_mutex_lock(&w->call_lock);
    while (!s->call.done)
        pthread_cond_wait(&w->call_done, &w->call_lock);
    pthread_mutex_unlock(&w->call_lock);
}

/* ---- running them ---- */

bool engines_init(void)
{
    test_init();
    if (!lab_init()) {
        print_message("skipped: needs root, network namespaces and /dev/net/tun\n");
        return false;
    }
    noise_init();
    uv_loop_init(&loop);
    return true;
}

void engines_done(void)
{
    uv_loop_close(&loop);
}

int engines_clean(void **state)
{
    lab_clean();
    return 0;
}
