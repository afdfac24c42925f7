/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/machine.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    PATH_SIZE = 1024,
    LINE_SIZE = 64,
};

static const struct machine_files usual = {"/proc/self/cgroup", "/sys/fs/cgroup"};

/* The first line of a file; false: there is none. */
static bool read_line(const struct machine_files *files, const char *group, const char *name,
                      char line[LINE_SIZE])
{
    char path[PATH_SIZE + LINE_SIZE];
    const int size = snprintf(path, sizeof(path), "%s%s/%s", files->root, group, name);
    FILE *file = size > 0 && (size_t)size < sizeof(path) ? fopen(path, "re") : NULL;
    if (file == NULL) {
        return false;
    }
    const bool got = fgets(line, LINE_SIZE, file) != NULL;
    (void)fclose(file);
    return got;
}

static bool read_number(const struct machine_files *files, const char *group, const char *name,
                        long long *ret_number)
{
    char line[LINE_SIZE];
    char *end = NULL;
    if (!read_line(files, group, name, line)) {
        return false;
    }
    *ret_number = strtoll(line, &end, 10);
    return end != line;
}

/* Our group of v2 ("/system.slice/terraced.service"), or "": the root, or v1 alone. */
static void read_own_group(const struct machine_files *files, char group[PATH_SIZE])
{
    static const char v2[] = "0::";
    char line[PATH_SIZE];
    FILE *file = fopen(files->self, "re");
    group[0] = '\0';
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, v2, sizeof(v2) - 1) == 0) {
            line[strcspn(line, "\n")] = '\0';
            (void)snprintf(group, PATH_SIZE, "%s", line + sizeof(v2) - 1);
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
}

/* The group above, in place; false: there is none. */
static bool go_up(char group[PATH_SIZE])
{
    char *last = strrchr(group, '/');
    if (last == NULL) {
        return false;
    }
    *last = '\0';
    return true;
}

/* --- cpus ------------------------------------------------------------------------------------------- */

static long least_cpus(long cpus, long long quota, long long period)
{
    return quota > 0 && period > 0 && (quota + period - 1) / period < cpus
               ? (long)((quota + period - 1) / period)
               : cpus;
}

unsigned machine_cpus_by(const struct machine_files *files)
{
    cpu_set_t set;
    long cpus = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set)
                                                             : sysconf(_SC_NPROCESSORS_ONLN);
    long long quota = 0;
    long long period = 0;
    char group[PATH_SIZE];
    char line[LINE_SIZE];
    read_own_group(files, group);
    do {
        if (read_line(files, group, "cpu.max", line)) { /* "max 100000", "50000 100000" */
            char *end = NULL;
            quota = strtoll(line, &end, 10);
            period = end == line ? 0 : strtoll(end, NULL, 10);
            cpus = least_cpus(cpus, quota, period);
        }
    } while (go_up(group));
    if (read_number(files, "/cpu", "cpu.cfs_quota_us", &quota) &&
        read_number(files, "/cpu", "cpu.cfs_period_us", &period)) {
        cpus = least_cpus(cpus, quota, period);
    }
    return cpus < 1 ? 1 : (unsigned)cpus;
}

unsigned machine_cpus(void)
{
    return machine_cpus_by(&usual);
}

/* --- memory ------------------------------------------------------------------------------------------ */

size_t machine_memory_by(const struct machine_files *files)
{
    long long bytes = (long long)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    long long limit = 0;
    char group[PATH_SIZE];
    read_own_group(files, group);
    do { /* "max" is no number */
        if (read_number(files, group, "memory.max", &limit) && limit > 0 && limit < bytes) {
            bytes = limit;
        }
    } while (go_up(group));
    if (read_number(files, "/memory", "memory.limit_in_bytes", &limit) && limit > 0 &&
        limit < bytes) {
        bytes = limit;
    }
    return (size_t)bytes;
}

size_t machine_memory(void)
{
    return machine_memory_by(&usual);
}
