/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/memory_report.h"

#include "server/node.h"
#include "server/sampler.h"
#include "server/worker.h"

#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

/* 0: not to be had. */
static size_t resident_bytes(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file != NULL) {
        if (fscanf(file, "%*u %lu", &pages) != 1) {
            pages = 0;
        }
        (void)fclose(file);
    }
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

void memory_report(const struct node *node, struct memory_report *ret_report)
{
    struct l1_stats l1;
    struct mallinfo2 allocator = mallinfo2();
    namespaces_stats(node->namespaces, &l1);
    sampler_note_memory(node->sampler, l1.bytes_used);
    *ret_report = (struct memory_report){
        .used = l1.bytes_used,
        .peak = sampler_memory_peak(node->sampler),
        .max = l1.bytes_max,
        .tables = l1.bytes_tables,
        .allocated = allocator.uordblks + allocator.hblkhd + l1.bytes_live,
        .active = allocator.arena + allocator.hblkhd + l1.bytes_used,
        .resident = resident_bytes(),
        .system = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE),
        .items = l1.items,
        .clients = atomic_load_explicit(&node->bodies, memory_order_relaxed),
    };
    for (unsigned i = 0; i < node->worker_count; i++) {
        ret_report->clients +=
            atomic_load_explicit(&node->workers[i]->held_bytes, memory_order_relaxed);
    }
}

void memory_human(char dst[MEMORY_HUMAN_MAX], size_t bytes)
{
    static const char units[] = "KMGT";
    double number = (double)bytes;
    size_t unit = 0;
    if (bytes < 1024) {
        (void)snprintf(dst, MEMORY_HUMAN_MAX, "%zuB", bytes);
        return;
    }
    for (number /= 1024; number >= 1024 && unit < 3; number /= 1024) {
        unit++;
    }
    (void)snprintf(dst, MEMORY_HUMAN_MAX, "%.2f%c", number, units[unit]);
}
