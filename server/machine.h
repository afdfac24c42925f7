/* SPDX-License-Identifier: BSD-3-Clause */
/* machine.h -- how much of this machine is ours: the cgroup's limits (v2, v1) before the machine's.
 *
 * A container of 512 MiB and half a core must not be planned for as the 64-core host it runs on. */
#ifndef TERRACE_SERVER_MACHINE_H
#define TERRACE_SERVER_MACHINE_H

#include <stddef.h>

unsigned machine_cpus(void); /* at least 1; a quota is rounded up */
size_t machine_memory(void); /* bytes */

#endif
