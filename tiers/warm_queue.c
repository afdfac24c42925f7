/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/warm_queue.h"

#include "protocol/check.h"

#include <stdbool.h>
#include <stdlib.h>

static int64_t waited(const struct warm_entry *entry, int64_t now_ms)
{
    const bool waits = entry->place != 0 && now_ms > entry->since_ms;
    return entry->waited_ms + (waits ? now_ms - entry->since_ms : 0);
}

int warm_entry_effective(const struct warm_entry *entry, int64_t now_ms)
{
    return entry->priority + (int)(waited(entry, now_ms) / WARM_AGE_MS);
}

static bool goes_before(const struct warm_entry *a, const struct warm_entry *b)
{
    if (a->effective != b->effective) {
        return a->effective > b->effective;
    }
    if (a->deadline_ms != b->deadline_ms) {
        return b->deadline_ms == 0 || (a->deadline_ms != 0 && a->deadline_ms < b->deadline_ms);
    }
    if (a->served != b->served) {
        return a->served < b->served;
    }
    return a->submitted_ms != b->submitted_ms ? a->submitted_ms < b->submitted_ms : a->id < b->id;
}

static void put(struct warm_queue *queue, size_t at, struct warm_entry *entry)
{
    queue->table[at] = entry;
    entry->place = at + 1;
}

static void sift_up(struct warm_queue *queue, size_t at)
{
    struct warm_entry *entry = queue->table[at];
    while (at > 0 && goes_before(entry, queue->table[(at - 1) / 2])) {
        put(queue, at, queue->table[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    put(queue, at, entry);
}

static void sift_down(struct warm_queue *queue, size_t at)
{
    struct warm_entry *entry = queue->table[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < queue->count && goes_before(queue->table[child + 1], queue->table[child])) {
            child++;
        }
        if (child >= queue->count || !goes_before(queue->table[child], entry)) {
            break;
        }
        put(queue, at, queue->table[child]);
        at = child;
    }
    put(queue, at, entry);
}

/* When it is worth one more than now. */
static int64_t next_step_ms(const struct warm_entry *entry, int64_t now_ms)
{
    return now_ms + WARM_AGE_MS - waited(entry, now_ms) % WARM_AGE_MS;
}

/* Once in a while one of them is worth more than before: all are looked at then, and the heap is made anew. */
static void follow_time(struct warm_queue *queue, int64_t now_ms)
{
    if (now_ms < queue->due_ms || queue->count == 0) {
        return;
    }
    queue->due_ms = INT64_MAX;
    for (size_t i = 0; i < queue->count; i++) {
        struct warm_entry *entry = queue->table[i];
        const int64_t step_ms = next_step_ms(entry, now_ms);
        entry->effective = warm_entry_effective(entry, now_ms);
        queue->due_ms = step_ms < queue->due_ms ? step_ms : queue->due_ms;
    }
    for (size_t i = queue->count / 2; i-- > 0;) {
        sift_down(queue, i);
    }
}

enum status warm_queue_push(struct warm_queue *queue, struct warm_entry *entry, int64_t now_ms)
{
    CHECK(entry->place == 0);
    if (queue->count == queue->capacity) {
        const size_t capacity = queue->capacity == 0 ? 16 : queue->capacity * 2;
        struct warm_entry **table = realloc(queue->table, capacity * sizeof(struct warm_entry *));
        if (table == NULL) {
            return NO_MEMORY;
        }
        queue->table = table;
        queue->capacity = capacity;
    }
    follow_time(queue, now_ms);
    entry->served = entry->served > queue->standing ? entry->served : queue->standing;
    entry->since_ms = now_ms;
    put(queue, queue->count++, entry);
    entry->effective = warm_entry_effective(entry, now_ms);
    const int64_t step_ms = next_step_ms(entry, now_ms);
    if (queue->count == 1 || step_ms < queue->due_ms) {
        queue->due_ms = step_ms;
    }
    sift_up(queue, queue->count - 1);
    return OK;
}

void warm_queue_remove(struct warm_queue *queue, struct warm_entry *entry, int64_t now_ms)
{
    if (entry->place == 0) {
        return;
    }
    const size_t at = entry->place - 1;
    CHECK(at < queue->count && queue->table[at] == entry);
    entry->waited_ms = waited(entry, now_ms);
    entry->place = 0;
    queue->count--;
    if (at < queue->count) {
        put(queue, at, queue->table[queue->count]);
        sift_up(queue, at);
        sift_down(queue, at);
    }
}

struct warm_entry *warm_queue_pop(struct warm_queue *queue, int64_t now_ms)
{
    follow_time(queue, now_ms);
    if (queue->count == 0) {
        return NULL;
    }
    struct warm_entry *first = queue->table[0];
    warm_queue_remove(queue, first, now_ms);
    queue->standing = first->served > queue->standing ? first->served : queue->standing;
    return first;
}

void warm_queue_done(struct warm_queue *queue)
{
    free(queue->table);
    *queue = (struct warm_queue){0};
}
