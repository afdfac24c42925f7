/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/cpu.h"

#include "bench/clock.h"
#include "protocol/bytes.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static uint64_t first_number(int folder, const char *task)
{
    char path[300];
    (void)snprintf(path, sizeof path, "%.200s/schedstat", task);
    int fd = openat(folder, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) { /* the thread has just ended */
        return 0;
    }
    char text[128];
    ssize_t got = read(fd, text, sizeof text);
    (void)close(fd);
    uint64_t ns = 0;
    if (got > 0) {
        const char *space = memchr(text, ' ', (size_t)got);
        struct slice digits = {.data = text, .size = space == NULL ? 0 : (size_t)(space - text)};
        if (slice_to_u64(digits, &ns) != OK) {
            return 0;
        }
    }
    return ns;
}

enum status cpu_of_process(uint64_t pid, uint64_t *ret_ns)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%" PRIu64 "/task", pid);
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return INVALID;
    }
    uint64_t sum = 0;
    /* The stream is ours alone, so readdir is safe whatever else runs. NOLINTNEXTLINE(concurrency-mt-unsafe) */
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (entry->d_name[0] != '.') {
            sum += first_number(dirfd(folder), entry->d_name);
        }
    }
    (void)closedir(folder);
    *ret_ns = sum;
    return OK;
}

static uint64_t timeval_ns(struct timeval time)
{
    return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_usec * 1000;
}

uint64_t cpu_own_ns(void)
{
    struct rusage usage = {0};
    (void)getrusage(RUSAGE_SELF, &usage);
    return timeval_ns(usage.ru_utime) + timeval_ns(usage.ru_stime);
}
