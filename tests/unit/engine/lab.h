/* A private network for engine tests: mount and network namespaces of this process alone, which end
 * with it, and two namespaces "gm-a" and "gm-b" for the inside of tunnels.
 *
 * Threads: the test's main thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define LAB_A "gm-a"
#define LAB_B "gm-b"

/* Before any thread exists. False: no root, no namespaces or no TUN here; the tests are skipped. */
bool lab_init(void);
#define LAB_SOCKETS_MAX 64
/* What a failed test left: sockets of lab_socket(), TUNs named gmt0, the veth gmv0. */
void lab_clean(void);
void run(const char *format, ...) __attribute__((format(printf, 1, 2))); /* a shell command */
/* A socket of namespace @ns (NULL: the outer one), bound to @address (may be NULL) and @port. */
int lab_socket(const char *ns, int type, const char *address, uint16_t port);
void lab_close(int fd);
void lab_connect(int fd, const char *address, uint16_t port);
void lab_send_to(int fd, const char *address, uint16_t port, const void *buf, size_t len);
/* Start a shell command; lab_exited() asks, without waiting. */
pid_t lab_start(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool lab_exited(pid_t pid, int *ret_status);
void lab_end(pid_t pid); /* SIGTERM, then wait */
