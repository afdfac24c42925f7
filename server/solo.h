/* SPDX-License-Identifier: BSD-3-Clause */
/* solo.h -- a moment in which one worker is alone with the keys: how EXEC without an L2 is one step for all clients.
 *
 * L1 is shared by all workers, and each operation on it is a step of its own. Whoever works on keys (a batch of requests, a
 * sweep) therefore SITS; a worker that wants to be alone waits until nobody else sits, and nobody sits down before it has
 * ended:
 *
 *      worker 0   |- batch -|   |- batch, EXEC: gets up .... alone ....... sits -|
 *      worker 1       |- batch ------------------------|       waits       |- batch -|
 *
 * Sitting down and getting up are one exchange each on a cache line of the seat's own, once per batch and not per request:
 * nothing that can be measured (docs/decisions/013). Two who want to be alone at once are so one after the other. The wait is
 * for the longest batch under way, as EXEC in Redis waits for whatever runs.
 *
 * Owns:    its seats.
 * Threads: a seat belongs to one thread.
 * Errors:  none. Nothing may be locked by who sits down, or asks to be alone. */
#ifndef TERRACE_SERVER_SOLO_H
#define TERRACE_SERVER_SOLO_H

#include <stdatomic.h>
#include <stdbool.h>

struct solo_seat {
    _Alignas(64) _Atomic bool taken;
};

struct solo;

struct solo *solo_new(unsigned seats); /* NULL: no memory */
void solo_free(struct solo *solo);     /* NULL is fine, here and below: then nobody is ever alone */
void solo_sit(struct solo *solo, unsigned seat);
void solo_rise(struct solo *solo, unsigned seat);
/* By one who sits; afterwards it sits again. */
void solo_begin(struct solo *solo, unsigned seat);
void solo_end(struct solo *solo);

#endif
