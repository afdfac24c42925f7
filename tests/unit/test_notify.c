/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/notify.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* A service manager: a socket of an abstract name, and what came last. */
struct manager {
    int fd;
    char name[64];
    char said[1024];
};

static struct sockaddr_un manager_address(const struct manager *manager, socklen_t *ret_size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const size_t size = strlen(manager->name);
    memcpy(address.sun_path, manager->name, size);
    address.sun_path[0] = '\0';
    *ret_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    return address;
}

static int manager_open(void **state)
{
    struct manager *manager = calloc(1, sizeof(*manager));
    socklen_t size = 0;
    (void)snprintf(manager->name, sizeof(manager->name), "@terrace-test-notify-%ld",
                   (long)getpid());
    const struct sockaddr_un address = manager_address(manager, &size);
    manager->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(manager->fd, (const struct sockaddr *)&address, size), 0);
    *state = manager;
    return 0;
}

static int manager_close(void **state)
{
    struct manager *manager = *state;
    (void)close(manager->fd);
    free(manager);
    return 0;
}

/* The next datagram; "": there is none. */
static const char *heard(struct manager *manager)
{
    const ssize_t size = recv(manager->fd, manager->said, sizeof(manager->said) - 1, 0);
    manager->said[size > 0 ? size : 0] = '\0';
    return manager->said;
}

static struct notify *opened(const struct manager *manager, const char *watchdog_us)
{
    struct notify *notify =
        notify_new(&(struct notify_place){.socket = manager->name, .watchdog_us = watchdog_us});
    assert_non_null(notify);
    return notify;
}

static struct notify_seen seen(bool ready, const char *status, int64_t turned_at_ms)
{
    return (struct notify_seen){
        .ready = ready, .status = slice_of(status), .turned_at_ms = turned_at_ms};
}

static void tick(struct notify *notify, struct notify_seen now, int64_t now_ms)
{
    notify_tick(notify, &now, now_ms);
}

static void nothing_is_said_twice(void **state)
{
    struct manager *manager = *state;
    struct notify *notify = opened(manager, NULL);
    tick(notify, seen(false, "L2 is away\nweight 0\n", 0), 100);
    assert_string_equal(heard(manager), "STATUS=L2 is away; weight 0\n");
    tick(notify, seen(false, "L2 is away\nweight 0\n", 0), 200);
    tick(notify, seen(true, "ready", 0), 300);
    assert_string_equal(heard(manager), "READY=1\nSTATUS=ready\n");
    tick(notify, seen(true, "ready", 0), 400);
    assert_string_equal(heard(manager), "");
    struct notify_seen end = seen(false, "draining\n", 0);
    end.stopping = true;
    tick(notify, end, 500);
    assert_string_equal(heard(manager), "STOPPING=1\nSTATUS=draining\n");
    tick(notify, end, 600);
    assert_string_equal(heard(manager), "");
    notify_free(notify);
}

static void the_watchdog_is_fed_only_when_every_worker_has_turned_since(void **state)
{
    struct manager *manager = *state;
    struct notify *notify = opened(manager, "2000000");
    int fed = 0;
    for (int64_t now_ms = 10000; now_ms < 14000; now_ms += 100) { /* all is well */
        tick(notify, seen(false, "", now_ms), now_ms);
        fed += strcmp(heard(manager), "WATCHDOG=1\n") == 0;
    }
    assert_int_equal(fed, 8);
    for (int64_t now_ms = 14000; now_ms < 20000; now_ms += 100) { /* one hangs since 13.5 s */
        tick(notify, seen(false, "", 13500), now_ms);
        assert_string_equal(heard(manager), "");
    }
    tick(notify, seen(false, "", 20050), 20100);
    assert_string_equal(heard(manager), "WATCHDOG=1\n");
    notify_free(notify);
}

static void a_long_start_and_a_long_end_ask_for_more_time(void **state)
{
    static const char more[] = "EXTEND_TIMEOUT_USEC=60000000\n";
    struct manager *manager = *state;
    struct notify *notify = opened(manager, NULL);
    struct notify_seen end = seen(false, "", 0);
    end.stopping = true;
    int asked = 0;
    for (int64_t now_ms = 1000; now_ms <= 61000; now_ms += 100) {
        tick(notify, seen(false, "", 0), now_ms);
        asked += strcmp(heard(manager), more) == 0;
    }
    assert_int_equal(asked, 4);
    tick(notify, seen(true, "", 0), 61100);
    assert_string_equal(heard(manager), "READY=1\n");
    for (int64_t now_ms = 61200; now_ms <= 161200; now_ms += 100) {
        tick(notify, seen(true, "", 0), now_ms);
        assert_string_equal(heard(manager), "");
    }
    tick(notify, end, 161300);
    assert_string_equal(heard(manager), "STOPPING=1\nEXTEND_TIMEOUT_USEC=60000000\n");
    tick(notify, end, 176200);
    assert_string_equal(heard(manager), "");
    tick(notify, end, 176300);
    assert_string_equal(heard(manager), more);
    notify_free(notify);
}

static void the_watchdog_of_another_process_is_not_fed(void **state)
{
    struct manager *manager = *state;
    struct notify *notify = notify_new(&(struct notify_place){
        .socket = manager->name, .watchdog_us = "2000000", .watchdog_pid = "1"});
    tick(notify, seen(false, "", 9000), 10000);
    assert_string_equal(heard(manager), "");
    notify_free(notify);
}

static void a_reload_is_told_and_then_readiness_again(void **state)
{
    struct manager *manager = *state;
    struct notify *notify = opened(manager, NULL);
    notify_reload(notify, 1); /* nobody waits for it yet */
    notify_reloaded(notify);
    assert_string_equal(heard(manager), "");
    tick(notify, seen(true, "", 0), 100);
    assert_string_equal(heard(manager), "READY=1\n");
    notify_reload(notify, 123456789);
    assert_string_equal(heard(manager), "RELOADING=1\nMONOTONIC_USEC=123456789\n");
    tick(notify, seen(true, "", 0), 200);
    assert_string_equal(heard(manager), "");
    notify_reloaded(notify);
    tick(notify, seen(true, "", 0), 300);
    assert_string_equal(heard(manager), "READY=1\n");
    notify_free(notify);
}

static void what_had_no_room_is_said_again(void **state)
{
    struct manager *manager = *state;
    struct notify *notify = opened(manager, NULL);
    socklen_t size = 0;
    const struct sockaddr_un address = manager_address(manager, &size);
    const int other = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    while (sendto(other, "X", 1, 0, (const struct sockaddr *)&address, size) == 1) {
    }
    assert_int_equal(errno, EAGAIN);
    tick(notify, seen(true, "", 0), 100);
    while (strcmp(heard(manager), "X") == 0) {
    }
    assert_string_equal(manager->said, "");
    tick(notify, seen(true, "", 0), 200);
    assert_string_equal(heard(manager), "READY=1\n");
    (void)close(other);
    notify_free(notify);
}

static void a_long_status_is_cut(void **state)
{
    struct manager *manager = *state;
    struct notify *notify = opened(manager, "1000000");
    char lines[600];
    memset(lines, 'a', sizeof(lines) - 1);
    lines[sizeof(lines) - 1] = '\0';
    struct notify_seen all = seen(true, lines, 100);
    all.stopping = true;
    tick(notify, all, 1000);
    const char *said = heard(manager);
    assert_non_null(strstr(said, "READY=1\nSTOPPING=1\nWATCHDOG=1\nSTATUS=aaa"));
    assert_in_range(strlen(said), NOTIFY_STATUS_MAX, NOTIFY_STATUS_MAX + 60);
    assert_int_equal(said[strlen(said) - 1], '\n');
    notify_free(notify);
}

static void without_a_manager_there_is_nothing(void **state)
{
    (void)state;
    char endless[200];
    memset(endless, 'a', sizeof(endless) - 1);
    endless[0] = '/';
    endless[sizeof(endless) - 1] = '\0';
    assert_null(notify_new(&(struct notify_place){.socket = NULL}));
    assert_null(notify_new(&(struct notify_place){.socket = ""}));
    assert_null(notify_new(&(struct notify_place){.socket = "vsock:2:1234"}));
    assert_null(notify_new(&(struct notify_place){.socket = endless}));
    notify_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_said_twice, manager_open, manager_close),
        cmocka_unit_test_setup_teardown(the_watchdog_is_fed_only_when_every_worker_has_turned_since,
                                        manager_open, manager_close),
        cmocka_unit_test_setup_teardown(a_long_start_and_a_long_end_ask_for_more_time, manager_open,
                                        manager_close),
        cmocka_unit_test_setup_teardown(the_watchdog_of_another_process_is_not_fed, manager_open,
                                        manager_close),
        cmocka_unit_test_setup_teardown(a_reload_is_told_and_then_readiness_again, manager_open,
                                        manager_close),
        cmocka_unit_test_setup_teardown(what_had_no_room_is_said_again, manager_open,
                                        manager_close),
        cmocka_unit_test_setup_teardown(a_long_status_is_cut, manager_open, manager_close),
        cmocka_unit_test(without_a_manager_there_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
