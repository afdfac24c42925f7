/* SPDX-License-Identifier: BSD-3-Clause */
/* machine.h -- how much of this machine is ours: the cgroup's limits (v2, v1) before the machine's.
 *
 * A container of 512 MiB and half a core must not be planned for as the 64-core host it runs on, and nor must a unit of systemd
 * with MemoryMax=. In a container the limits are those of the root that it sees; a unit sees the host's, and its own are below:
 * the least of all groups on the way from the root to our own holds. */
#ifndef TERRACE_SERVER_MACHINE_H
#define TERRACE_SERVER_MACHINE_H

#include <stddef.h>

unsigned machine_cpus(void); /* at least 1; a quota is rounded up */
size_t machine_memory(void); /* bytes */

/* The same by files that lie elsewhere, for tests. */
struct machine_files {
    const char *self; /* which groups this process is in: /proc/self/cgroup */
    const char *root; /* where their limits are: /sys/fs/cgroup */
};
unsigned machine_cpus_by(const struct machine_files *files);
size_t machine_memory_by(const struct machine_files *files);

#endif
