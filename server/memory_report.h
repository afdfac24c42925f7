/* SPDX-License-Identifier: BSD-3-Clause */
/* memory_report.h -- where the memory of a node is, for INFO, MEMORY STATS and /metrics.
 *
 * USED is what the budget counts: what L1 has from the system for items and tables. Redis' used_memory is compared
 * with maxmemory everywhere, so the two must be of one kind. What else the process holds shows in `resident`. Values that
 * answers refer to, or that are being received, are of L1: they are part of USED even when L1 has given them up.
 *
 * Threads: any. Costs a few system calls. */
#ifndef TERRACE_SERVER_MEMORY_REPORT_H
#define TERRACE_SERVER_MEMORY_REPORT_H

#include <stddef.h>
#include <stdint.h>

struct node;

struct memory_report {
    size_t used;
    size_t peak;      /* of used, since the start or CONFIG RESETSTAT */
    size_t max;       /* the budget; 0 never */
    size_t tables;    /* part of used */
    size_t allocated; /* by the process: in use by L1, or in blocks of the allocator */
    size_t active;    /* what L1 and the allocator got from the system for it */
    size_t resident;
    size_t system; /* the machine's */
    uint64_t items;
    /* Values and text of answers that are not sent, and values that are being received. */
    size_t clients;
};

void memory_report(const struct node *node, struct memory_report *ret_report);

/* "1.50M", as Redis. */
enum {
    MEMORY_HUMAN_MAX = 32
};
void memory_human(char dst[MEMORY_HUMAN_MAX], size_t bytes);

#endif
