/* unit/engine/engines.h - what tests of whole engines share: two that talk to each other, one that
 * gets packets made by the test, a worker that stands still.
 *
 * Owner: the test. Threads: the test's main thread. */
#pragma once
#include "engine/internal.h"
#include "hub.h"
#include "lab.h"
#include "lib/test.h"

#define PORT 7000
#define A4 "10.77.0.1"
#define B4 "10.77.0.2"
#define A6 "fd77::1"
#define B6 "fd77::2"
#define INDEX 0x01020304

extern uv_loop_t loop;

/* ---- waiting ---- */

#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        uint64_t _end = clock_boot_ns() + 10 * NS_PER_S;                                           \
        while (!(condition)) {                                                                     \
            if (clock_boot_ns() > _end)                                                            \
                fail_msg("did not happen: %s", #condition);                                        \
            turn_once();                                                                           \
        }                                                                                          \
    } while (0)

void turn_once(void);
void turn_for(unsigned ms);
/* The next datagram is @text; it is taken. */
bool got(int fd, const char *text);
unsigned count_received(int fd);
/* The socket's pending error is @err. */
bool refused(int fd, int err);

/* ---- two engines ---- */

struct pair {
    struct hub *a, *b;
    int a4, b4, a6, b6; /* sockets inside, on PORT */
};

struct pair pair_with(const struct hub_options *o);
struct pair pair_new(unsigned workers);
void pair_free(struct pair *p);
void pair_talk(struct pair *p); /* both ways, inside IPv4 and IPv6 */

/* ---- packets made by the test: a session with known keys ---- */

struct crafted {
    struct hub *hub;
    struct hub_peer *peer;
    struct keypair *key;
    struct session_keys keys;
    struct aead *aead;
    int outside, inside;
};

struct crafted crafted_new(const struct hub_options *options);
void crafted_free(struct crafted *c);
/* A UDP packet with @text from 10.77.0.@last to A4. */
size_t inner(uint8_t *out, uint8_t last, const char *text);
size_t seal(struct crafted *c, uint8_t *out, uint64_t counter, uint8_t last, const char *text);
void send_crafted(struct crafted *c, uint64_t counter, uint8_t last, const char *text);
void own(struct hub *h, bool yes); /* VIP 1 */

/* ---- a worker that does nothing until stall_end() ---- */

struct stall {
    struct worker_call call;
    sem_t began, over;
};

void stall_begin(struct stall *s, struct worker *w);
void stall_end(struct stall *s, struct worker *w);

/* ---- running them ---- */

bool engines_init(void); /* false: skip the tests */
void engines_done(void);
int engines_clean(void **state); /* what a test that failed has left */

#define E(name) TS(name, engines_clean, NULL)

/* Exit status 77: skipped. */
#define ENGINES_MAIN(...)                                                                          \
    int main(void)                                                                                 \
    {                                                                                              \
        const struct CMUnitTest tests[] = {__VA_ARGS__};                                           \
                                                                                                   \
        if (!engines_init())                                                                       \
            return 77;                                                                             \
        int failed = cmocka_run_group_tests(tests, NULL, NULL);                                    \
        engines_done();                                                                            \
        return failed;                                                                             \
    }
