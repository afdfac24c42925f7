/* SPDX-License-Identifier: BSD-3-Clause */
/* link_fifo.h -- the replies a link waits for, in order (and the requests and replies that it holds back).
 *
 * A ring of slots that belong to the link, not to the askers: a read whose deadline passed is ended and its request is
 * the asker's again, yet its reply is still to come and must be dropped in its turn. All zeros is an empty ring.
 *
 * Threads: one loop's. For link*.c only. */
#ifndef TERRACE_TIERS_LINK_FIFO_H
#define TERRACE_TIERS_LINK_FIFO_H

#include "protocol/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct link_request;

enum link_slot_kind {
    SLOT_REQUEST,
    SLOT_SELECT, /* the link's own SELECT, */
    SLOT_BEAT,   /* its own check: no request */
};

struct link_slot {
    struct link_request *request; /* NULL: nobody waits any more, the reply is dropped */
    /* Position in the stream of bytes behind its last; in the queues that hold bytes: how many. */
    uint64_t ends_at;
    int db;         /* while held: -1 any */
    unsigned parts; /* replies still to come in front of the request's own */
    enum link_slot_kind kind;
    enum status status; /* while its reply is kept: what the request will be told */
};

struct link_fifo {
    struct link_slot *slots;
    size_t capacity; /* a power of two, or 0 */
    size_t head;
    size_t count;
};

void link_fifo_done(struct link_fifo *fifo);
enum status link_fifo_reserve(struct link_fifo *fifo, size_t more) MUST_USE;
void link_fifo_push(struct link_fifo *fifo, struct link_slot slot);     /* room must be reserved */
struct link_slot link_fifo_pop(struct link_fifo *fifo);                 /* must not be empty */
struct link_slot *link_fifo_at(const struct link_fifo *fifo, size_t i); /* until the next reserve */

#endif
