/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/check/order.h"

#include <stdlib.h>
#include <string.h>

enum {
    CAPACITY_MIN = 4
};

/* Room for one more behind the last: what was dropped in front is used again before memory is asked for. */
static enum status make_room(void **items, size_t size, uint32_t *head, uint32_t count,
                             uint32_t *capacity)
{
    if (*head + count < *capacity) {
        return OK;
    }
    if (*head > *capacity / 2) {
        memmove(*items, (char *)*items + *head * size, count * size);
        *head = 0;
        return OK;
    }
    uint32_t larger = *capacity == 0 ? CAPACITY_MIN : *capacity * 2;
    void *moved = larger > *capacity ? realloc(*items, larger * size) : NULL;
    if (moved == NULL) {
        return NO_MEMORY;
    }
    *items = moved;
    *capacity = larger;
    return OK;
}

/* ------------------------------------------------------------------ stairs */

void stairs_done(struct stairs *stairs)
{
    free(stairs->steps);
    *stairs = (struct stairs){0};
}

enum status stairs_push(struct stairs *stairs, struct step step, uint64_t keep_ns)
{
    while (stairs->count > 1 && stairs->steps[stairs->head + 1].completed_ns < keep_ns) {
        stairs->head++;
        stairs->count--;
    }
    if (stairs->count > 0 &&
        stairs->steps[stairs->head + stairs->count - 1].low_ns >= step.low_ns) {
        return OK;
    }
    void *items = stairs->steps;
    if (make_room(&items, sizeof step, &stairs->head, stairs->count, &stairs->capacity) != OK) {
        return NO_MEMORY;
    }
    stairs->steps = items;
    stairs->steps[stairs->head + stairs->count] = step;
    stairs->count++;
    return OK;
}

const struct step *stairs_above(const struct stairs *stairs, uint64_t high_ns)
{
    if (stairs->count == 0) {
        return NULL;
    }
    const struct step *first = stairs->steps + stairs->head;
    if (first[stairs->count - 1].low_ns <= high_ns) {
        return NULL; /* by far the most: the newest value was read */
    }
    uint32_t below = 0;
    uint32_t above = stairs->count - 1;
    while (below < above) {
        uint32_t middle = below + (above - below) / 2;
        if (first[middle].low_ns > high_ns) {
            above = middle;
        } else {
            below = middle + 1;
        }
    }
    return first + above;
}

uint64_t stairs_low(const struct stairs *stairs, uint64_t time_ns)
{
    uint32_t below = 0;
    uint32_t above = stairs->count;
    while (below < above) {
        uint32_t middle = below + (above - below) / 2;
        if (stairs->steps[stairs->head + middle].completed_ns < time_ns) {
            below = middle + 1;
        } else {
            above = middle;
        }
    }
    return below == 0 ? 0 : stairs->steps[stairs->head + below - 1].low_ns;
}

/* ------------------------------------------------------------------ spans */

void spans_done(struct spans *spans)
{
    free(spans->spans);
    *spans = (struct spans){0};
}

static void sum_up(struct spans *spans, uint32_t from)
{
    struct span *first = spans->spans + spans->head;
    for (uint32_t i = from; i < spans->count; i++) {
        uint64_t before = i == 0 ? 0 : first[i - 1].most_ns;
        first[i].most_ns = first[i].high_ns > before ? first[i].high_ns : before;
    }
}

enum status spans_add(struct spans *spans, struct span span)
{
    void *items = spans->spans;
    if (make_room(&items, sizeof span, &spans->head, spans->count, &spans->capacity) != OK) {
        return NO_MEMORY;
    }
    spans->spans = items;
    struct span *first = spans->spans + spans->head;
    uint32_t at = spans->count; /* ends of lives lie ahead of deletions of now, but not by much */
    while (at > 0 && first[at - 1].low_ns > span.low_ns) {
        first[at] = first[at - 1];
        at--;
    }
    first[at] = span;
    spans->count++;
    sum_up(spans, at);
    return OK;
}

/* How many begin by then. */
static uint32_t begun_by(const struct spans *spans, uint64_t low_ns)
{
    if (spans->count == 0) {
        return 0;
    }
    const struct span *first = spans->spans + spans->head;
    uint32_t below = 0;
    uint32_t above = spans->count;
    while (below < above) {
        uint32_t middle = below + (above - below) / 2;
        if (first[middle].low_ns > low_ns) {
            above = middle;
        } else {
            below = middle + 1;
        }
    }
    return below;
}

void spans_set_high(struct spans *spans, uint64_t low_ns, uint64_t value, uint64_t high_ns)
{
    for (uint32_t at = begun_by(spans, low_ns); at > 0; at--) {
        struct span *span = &spans->spans[spans->head + at - 1];
        if (span->low_ns != low_ns) {
            return;
        }
        if (span->value == value) {
            span->high_ns = high_ns;
            sum_up(spans, at - 1);
            return;
        }
    }
}

void spans_trim(struct spans *spans, uint64_t low_ns)
{
    while (spans->count > 0 && spans->spans[spans->head].most_ns < low_ns) {
        spans->head++;
        spans->count--;
    }
}

uint64_t spans_most(const struct spans *spans, uint64_t begun_by_ns)
{
    uint32_t count = begun_by(spans, begun_by_ns);
    return count == 0 ? 0 : spans->spans[spans->head + count - 1].most_ns;
}

uint64_t spans_low(const struct spans *spans, uint64_t high_ns)
{
    if (high_ns == 0 || spans->count == 0) {
        return 0;
    }
    const struct span *first = spans->spans + spans->head;
    uint32_t below = 0;
    uint32_t above = spans->count;
    while (below < above) {
        uint32_t middle = below + (above - below) / 2;
        if (first[middle].most_ns >= high_ns) {
            above = middle;
        } else {
            below = middle + 1;
        }
    }
    return below == spans->count ? 0 : first[below].low_ns;
}
