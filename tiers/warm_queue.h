/* SPDX-License-Identifier: BSD-3-Clause */
/* warm_queue.h -- which warm job of this node goes next.
 *
 * A heap, ordered by
 *      1. EFFECTIVE PRIORITY: what was asked for (9 first), plus one for each WARM_AGE_MS that the job has waited, without end:
 *         so whatever comes, each job is first some day, and nothing starves
 *      2. deadline: the sooner first, none last
 *      3. least served: of equals that one which had the fewest keys; so they take turns
 *      4. age, then id
 * A job waits while it is in the heap. While it is served it does not, but it keeps what it has waited: else a job of little
 * priority would have a chunk in ten minutes and begin anew each time.
 *
 * Who comes late begins where those who are here already stand (as a new process of a fair scheduler does), not with all that
 * they were ever served ahead of it.
 *
 * Owns:    its table; entries are the caller's, in it by warm_queue_push until popped or removed.
 * Threads: one. Pure: it is told the time, which does not run backwards.
 * Units:   milliseconds. Limits: the caller's. */
#ifndef TERRACE_TIERS_WARM_QUEUE_H
#define TERRACE_TIERS_WARM_QUEUE_H

#include "protocol/status.h"

#include <stddef.h>
#include <stdint.h>

#define WARM_AGE_MS 60000

struct warm_entry {
    uint64_t id;
    int priority;
    int64_t deadline_ms; /* 0: none */
    int64_t submitted_ms;
    uint64_t served;   /* keys; of one that was never pushed 0 */
    int64_t waited_ms; /* before since_ms; the caller may begin with what it waited elsewhere */
    int64_t since_ms;  /* private from here: it waits since; meaningful while it is in the heap */
    int effective;
    size_t place; /* in the table, plus one; 0: it is not in the heap */
};

struct warm_queue {
    struct warm_entry **table;
    size_t count;
    size_t capacity;
    int64_t due_ms;    /* when the next effective priority changes */
    uint64_t standing; /* what the last one that was popped had been served */
};

void warm_queue_done(struct warm_queue *queue); /* all zeros is an empty one */
/* NO_MEMORY. It is in no heap. */
enum status warm_queue_push(struct warm_queue *queue, struct warm_entry *entry,
                            int64_t now_ms) MUST_USE;
/* The first, which is then in no heap; NULL: there is none. */
struct warm_entry *warm_queue_pop(struct warm_queue *queue, int64_t now_ms);
/* Fine if it is not in it. */
void warm_queue_remove(struct warm_queue *queue, struct warm_entry *entry, int64_t now_ms);
/* In the heap or out of it. */
int warm_entry_effective(const struct warm_entry *entry, int64_t now_ms);

#endif
