/* SPDX-License-Identifier: BSD-3-Clause */
/* client_memory.h -- what clients take together, and who goes when it is more than maxmemory-clients.
 *
 * Counted where it may have changed, when a connection was read or written in a turn, and only while there is a limit. Whoever
 * takes more than the limit alone is closed then and there. When all together do, a tour asks every worker for its largest, and
 * a second one goes to the worker that has it: of its connections those are closed that take at least half as much, until the
 * rest fits, and so on. CLIENT NO-EVICT exempts.
 *
 * Owns:    nothing but its tour, one of each worker at a time.
 * Threads: the worker's own; `bytes` may be read by any. */
#ifndef TERRACE_SERVER_CLIENT_MEMORY_H
#define TERRACE_SERVER_CLIENT_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;
struct worker;

struct client_desk {
    _Atomic size_t bytes; /* what its connections were charged with */
    size_t max;           /* of all workers together; 0: none */
    bool on_tour;
    int64_t again_ms; /* those that take too much may not go: not before */
};

/* What one takes, as CLIENT LIST tells it. */
size_t client_memory_of(const struct conn *conn);
/* After its buffers may have changed. May close it. */
void client_memory_note(struct conn *conn);
void client_memory_forget(struct conn *conn); /* it is closed */
/* The limit is another one. */
void client_memory_limit(struct worker *worker, size_t max);
/* Once per turn, while there is a limit. */
void client_memory_look(struct worker *worker);

#endif
