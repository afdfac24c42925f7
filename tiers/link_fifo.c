/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/link_fifo.h"

#include "protocol/check.h"

#include <stdlib.h>

enum {
    FIFO_CAPACITY_MIN = 64,
    FIFO_CAPACITY_KEPT = 4096
};

void link_fifo_done(struct link_fifo *fifo)
{
    free(fifo->slots);
    *fifo = (struct link_fifo){0};
}

struct link_slot *link_fifo_at(const struct link_fifo *fifo, size_t i)
{
    return &fifo->slots[(fifo->head + i) & (fifo->capacity - 1)];
}

enum status link_fifo_reserve(struct link_fifo *fifo, size_t more)
{
    if (more <= fifo->capacity - fifo->count) {
        return OK;
    }
    size_t capacity = fifo->capacity > 0 ? fifo->capacity : FIFO_CAPACITY_MIN;
    while (capacity - fifo->count < more) {
        capacity *= 2;
    }
    struct link_slot *slots = malloc(capacity * sizeof *slots);
    if (slots == NULL) {
        return NO_MEMORY;
    }
    for (size_t i = 0; i < fifo->count; i++) {
        slots[i] = *link_fifo_at(fifo, i);
    }
    free(fifo->slots);
    fifo->slots = slots;
    fifo->capacity = capacity;
    fifo->head = 0;
    return OK;
}

void link_fifo_push(struct link_fifo *fifo, struct link_slot slot)
{
    CHECK(fifo->count < fifo->capacity);
    fifo->count++;
    *link_fifo_at(fifo, fifo->count - 1) = slot;
}

struct link_slot link_fifo_pop(struct link_fifo *fifo)
{
    CHECK(fifo->count > 0);
    struct link_slot slot = *link_fifo_at(fifo, 0);
    fifo->head = (fifo->head + 1) & (fifo->capacity - 1);
    fifo->count--;
    if (fifo->count == 0 && fifo->capacity > FIFO_CAPACITY_KEPT) {
        link_fifo_done(fifo); /* a burst is over */
    }
    return slot;
}
