/* SPDX-License-Identifier: BSD-3-Clause */
/* cpu.h -- processor time: the server's, by /proc, and our own.
 *
 * The server's is the sum over its threads of the first number of /proc/PID/task/TID/schedstat: time spent on a
 * processor in nanoseconds, user and system, exact where utime and stime count ticks. A thread that ends between two
 * looks takes its time with it.
 *
 * Units:  nanoseconds.
 * Errors: INVALID: no such process, or not ours to look at. */
#ifndef TERRACE_BENCH_CPU_H
#define TERRACE_BENCH_CPU_H

#include "protocol/status.h"

#include <stdint.h>

enum status cpu_of_process(uint64_t pid, uint64_t *ret_ns) MUST_USE;
uint64_t cpu_own_ns(void);

#endif
