/* What the service manager gets, read from a socket of its kind. */
#include "lib/test.h"
#include "os/notify.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int manager = -1;

static int listen_as_manager(void **state)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char name[64];

    snprintf(name, sizeof(name), "@gm-notify-%d", getpid());
    setenv("NOTIFY_SOCKET", name, 1);
    memcpy(at.sun_path + 1, name + 1, strlen(name + 1));
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return bind(manager, (struct sockaddr *)&at,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name)));
}

static int hang_up(void **state)
{
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return close(manager);
}

/* The next message; "" when there is none. */
static const char *heard(void)
{
    static char text[512];
    ssize_t n = recv(manager, text, sizeof(text) - 1, MSG_DONTWAIT);

    text[n > 0 ? n : 0] = 0;
    return text;
}

TEST(each_word_is_a_message_of_its_own)
{
    unsigned long long us;

    notify_ready();
    assert_string_equal(heard(), "READY=1");
    notify_reloading();
    assert_int_equal(sscanf(heard(), "RELOADING=1\nMONOTONIC_USEC=%llu", &us), 1);
    assert_true(us > 0);
    notify_stopping();
    assert_string_equal(heard(), "STOPPING=1");
    notify_alive();
    assert_string_equal(heard(), "WATCHDOG=1");
    assert_string_equal(heard(), "");
}

TEST(status_is_one_line_and_bounded)
{
    char line[NOTIFY_STATUS_LEN + 50];

    notify_status("MASTER, 212 peers");
    assert_string_equal(heard(), "STATUS=MASTER, 212 peers");
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = 0;
    notify_status(line);
    assert_int_equal(strlen(heard()), strlen("STATUS=") + NOTIFY_STATUS_LEN);
}

TEST(watchdog_is_ours_only_when_it_names_us)
{
    char pid[16];

    assert_int_equal(notify_watchdog_ns(), 0);
    setenv("WATCHDOG_USEC", "10000000", 1);
    assert_int_equal(notify_watchdog_ns(), 10000000000);
    snprintf(pid, sizeof(pid), "%d", getpid() + 1);
    setenv("WATCHDOG_PID", pid, 1);
    assert_int_equal(notify_watchdog_ns(), 0);
    snprintf(pid, sizeof(pid), "%d", getpid());
    setenv("WATCHDOG_PID", pid, 1);
    assert_int_equal(notify_watchdog_ns(), 10000000000);
}

TEST(without_a_service_manager_nothing_happens)
{
    unsetenv("NOTIFY_SOCKET");
    notify_ready();
    notify_alive();
    assert_string_equal(heard(), "");
}

#define TN(name) TS(name, listen_as_manager, hang_up)

TEST_MAIN(TN(each_word_is_a_message_of_its_own), TN(status_is_one_line_and_bounded),
          TN(watchdog_is_ours_only_when_it_names_us), TN(without_a_service_manager_nothing_happens))
