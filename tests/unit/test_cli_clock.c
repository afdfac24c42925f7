/* SPDX-License-Identifier: BSD-3-Clause */
/* Waits that a signal ends. */
#include "client/cli/clock.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

static void a_signal_is_seen_though_there_is_always_something_to_read(void **state)
{
    const int fd = eventfd(1, EFD_CLOEXEC);
    (void)state;
    assert_true(fd >= 0);
    clock_catch_signals();
    assert_int_equal(raise(SIGWINCH), 0);
    assert_true(clock_wait(clock_us() + INT64_C(60000000), fd));
    assert_false(clock_is_ended()); /* another size of the terminal ends nothing */
    assert_int_equal(raise(SIGINT), 0);
    assert_false(clock_is_ended()); /* it is remembered, and seen in a wait */
    assert_true(clock_wait(clock_us() + INT64_C(60000000), fd));
    assert_true(clock_is_ended());
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signal_is_seen_though_there_is_always_something_to_read),
    };
    return cmocka_run_group_tests_name("cli_clock", tests, NULL, NULL);
}
