/* SPDX-License-Identifier: BSD-3-Clause */
/* The lock of a table: one at a time, and nobody sleeps for ever. */
#include "tests/unit/seed_help.h"
#include "tiers/base/lock.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    THREADS = 4,
    ROUNDS = HELP_ROUNDS(20000),
    YIELD_EVERY = 64 /* so that others find it taken for long enough to sleep */
};

struct shared {
    struct lock lock;
    unsigned first; /* not atomic: that is what is tested */
    unsigned second;
};

static void *add_often(void *arg)
{
    struct shared *shared = arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        lock_take(&shared->lock);
        shared->first++;
        if (i % YIELD_EVERY == 0) {
            (void)sched_yield();
        }
        shared->second++;
        lock_release(&shared->lock);
    }
    return NULL;
}

static void one_at_a_time_holds_it(void **state)
{
    (void)state;
    struct shared shared = {0};
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, add_often, &shared), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(shared.first, THREADS * ROUNDS);
    assert_int_equal(shared.second, THREADS * ROUNDS);
    assert_int_equal(atomic_load(&shared.lock.state), LOCK_FREE);
}

static void *take_and_release(void *arg)
{
    struct lock *lock = arg;
    lock_take(lock);
    lock_release(lock);
    return NULL;
}

static void all_who_sleep_are_woken_one_after_the_other(void **state)
{
    (void)state;
    struct lock lock = {0};
    pthread_t threads[THREADS];
    lock_take(&lock);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_release, &lock), 0);
    }
    while (atomic_load(&lock.state) != LOCK_AWAITED) {
        (void)sched_yield();
    }
    lock_release(&lock);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    lock_take(&lock); /* at once, whatever word the last of them left */
    lock_release(&lock);
    assert_int_equal(atomic_load(&lock.state), LOCK_FREE);
}

static void to_release_what_nobody_holds_stops_the_process(void **state)
{
    (void)state;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct lock lock = {0};
        (void)close(STDERR_FILENO);
        lock_release(&lock);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_at_a_time_holds_it),
        cmocka_unit_test(all_who_sleep_are_woken_one_after_the_other),
        cmocka_unit_test(to_release_what_nobody_holds_stops_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
