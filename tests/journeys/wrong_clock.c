/* SPDX-License-Identifier: BSD-3-Clause */
/* wrong_clock.c -- LD_PRELOAD: the wall clock is ahead by WRONG_CLOCK_S seconds, as on a machine that nobody has set. */
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long ahead_s(void)
{
    const char *text = getenv("WRONG_CLOCK_S");
    return text == NULL ? 0 : atol(text);
}

int clock_gettime(clockid_t id, struct timespec *ret)
{
    int (*next)(clockid_t, struct timespec *) = NULL;
    *(void **)&next = dlsym(RTLD_NEXT, "clock_gettime");
    const int result = next(id, ret);
    if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        ret->tv_sec += ahead_s();
    }
    return result;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
    int (*next)(struct timeval *restrict, void *restrict) = NULL;
    *(void **)&next = dlsym(RTLD_NEXT, "gettimeofday");
    const int result = next(ret, zone);
    if (result == 0) {
        ret->tv_sec += ahead_s();
    }
    return result;
}
