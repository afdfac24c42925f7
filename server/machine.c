/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/machine.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The first line of a file; false: there is none. */
static bool read_line(const char *path, char *line, size_t size)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    bool got = fgets(line, (int)size, file) != NULL;
    (void)fclose(file);
    return got;
}

static bool read_number(const char *path, long long *ret_number)
{
    char line[64];
    char *end = NULL;
    if (!read_line(path, line, sizeof(line))) {
        return false;
    }
    *ret_number = strtoll(line, &end, 10);
    return end != line;
}

unsigned machine_cpus(void)
{
    cpu_set_t set;
    long cpus = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set)
                                                             : sysconf(_SC_NPROCESSORS_ONLN);
    long long quota = -1;
    long long period = 0;
    char line[64];
    if (read_line("/sys/fs/cgroup/cpu.max", line,
                  sizeof(line))) { /* "max 100000", "50000 100000" */
        char *end = NULL;
        quota = strtoll(line, &end, 10);
        period = end == line ? 0 : strtoll(end, NULL, 10);
    } else if (!read_number("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", &quota) ||
               !read_number("/sys/fs/cgroup/cpu/cpu.cfs_period_us", &period)) {
        period = 0;
    }
    if (quota > 0 && period > 0 && (quota + period - 1) / period < cpus) {
        cpus = (long)((quota + period - 1) / period);
    }
    return cpus < 1 ? 1 : (unsigned)cpus;
}

size_t machine_memory(void)
{
    long long bytes = (long long)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    long long limit = 0;
    if ((read_number("/sys/fs/cgroup/memory.max", &limit) ||
         read_number("/sys/fs/cgroup/memory/memory.limit_in_bytes", &limit)) &&
        limit > 0 && limit < bytes) {
        bytes = limit;
    }
    return (size_t)bytes;
}
