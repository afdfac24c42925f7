/* SPDX-License-Identifier: BSD-3-Clause */
/* asleep.c -- LD_PRELOAD: as if the machine had slept for an hour, from when the file ASLEEP is there: the clock that goes on
 * meanwhile has gone on, the monotonic one has not. */
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    HOUR_S = 3600
};

static int has_slept(void)
{
    const char *path = getenv("ASLEEP");
    return path != NULL && access(path, F_OK) == 0;
}

int clock_gettime(clockid_t id, struct timespec *ret)
{
    int (*next)(clockid_t, struct timespec *) = NULL;
    *(void **)&next = dlsym(RTLD_NEXT, "clock_gettime");
    const int result = next(id, ret);
    if (result == 0 && (id == CLOCK_BOOTTIME || id == CLOCK_REALTIME) && has_slept()) {
        ret->tv_sec += HOUR_S;
    }
    return result;
}
