/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/cli/clock.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <time.h>

static volatile sig_atomic_t ended;
static sigset_t while_waiting;

static int64_t read_us(clockid_t id)
{
    struct timespec now;
    (void)clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t clock_wall_us(void)
{
    return read_us(CLOCK_REALTIME);
}

static void on_signal(int number)
{
    ended = number == SIGWINCH ? ended : 1;
}

void clock_catch_signals(void)
{
    const struct sigaction action = {.sa_handler = on_signal};
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH};
    sigset_t caught;
    (void)sigemptyset(&caught);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        (void)sigaddset(&caught, numbers[i]);
        (void)sigaction(numbers[i], &action, NULL);
    }
    (void)pthread_sigmask(SIG_BLOCK, &caught, &while_waiting);
}

bool clock_is_ended(void)
{
    return ended != 0;
}

bool clock_wait(int64_t until_us, int fd)
{
    static const struct timespec at_once = {0};
    struct pollfd one = {.fd = fd, .events = POLLIN};
    (void)ppoll(NULL, 0, &at_once,
                &while_waiting); /* where `fd` can always be read no signal ends the other one */
    const int64_t left_us = until_us - clock_us();
    const struct timespec left = {.tv_sec = left_us > 0 ? left_us / 1000000 : 0,
                                  .tv_nsec = left_us > 0 ? left_us % 1000000 * 1000 : 0};
    return ppoll(&one, fd < 0 ? 0 : 1, &left, &while_waiting) > 0;
}
