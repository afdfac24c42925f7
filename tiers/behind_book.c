/* SPDX-License-Identifier: BSD-3-Clause */
/* behind_book.c -- of behind.h: all entries in turn, the log that is made of them, and whether the disk takes it. */
#include "protocol/check.h"
#include "tiers/behind_inner.h"

enum {
    WALK_STEPS = 256 /* entries that are looked at while all others wait */
};

/* --- all of them ----------------------------------------------------------------------------------------------------- */

/* The next entry behind the walker, which moves past it; NULL: no more that were born by `end`. */
static struct entry *walk(struct behind *behind, struct place *walker, uint64_t end)
{
    for (struct list *link = walker->link.next; link != &behind->all; link = link->next) {
        struct place *place = LIST_ENTRY(link, struct place, link);
        if (place->is_walker) {
            continue;
        }
        struct entry *entry = LIST_ENTRY(place, struct entry, in_all);
        if (entry->born > end) {
            return NULL;
        }
        list_remove(&walker->link);
        list_push_back(link->next, &walker->link);
        return entry;
    }
    return NULL;
}

static void walk_begin(struct behind *behind, struct place *walker)
{
    walker->is_walker = true;
    list_push_back(behind->all.next, &walker->link);
}

size_t behind_count_if(struct behind *behind, bool (*is)(void *arg, struct slice key), void *arg)
{
    struct place walker;
    struct entry *entry = NULL;
    size_t count = 0;
    behind_lock(behind);
    const uint64_t end = behind->births;
    walk_begin(behind, &walker);
    do {
        for (size_t i = 0; i < WALK_STEPS && (entry = walk(behind, &walker, end)) != NULL; i++) {
            count += entry->done_at == 0 && is(arg, entry->flush.key.bytes) ? 1 : 0;
        }
        behind_unlock(behind); /* others have a turn */
        behind_lock(behind);
    } while (entry != NULL);
    list_remove(&walker.link);
    behind_unlock(behind);
    return count;
}

/* --- the log --------------------------------------------------------------------------------------------------------- */

/* Under the lock. */
static void note_health(struct behind *behind, bool failed, bool stalled)
{
    behind->counts.failed = failed;
    behind->counts.stalled = stalled;
    atomic_store(&behind->well, !failed && !stalled);
    if (failed || stalled) {
        behind_free_done(behind, UINT64_MAX);
    }
}

uint64_t behind_log_take(struct behind *behind, struct buf *bytes)
{
    bytes->size = 0;
    behind_lock(behind);
    const struct buf empty = *bytes;
    *bytes = behind->log;
    behind->log = empty;
    behind->taken_ms = behind->appended_ms;
    behind->appended_ms = 0;
    const uint64_t number = behind->number;
    behind_unlock(behind);
    return number;
}

static enum status append_written(struct buf *bytes, const struct entry *entry,
                                  const struct written *written)
{
    const struct behind_record record = behind_record_of(&entry->flush.key, written);
    return written->number == 0 ? OK : behind_log_append(bytes, &record);
}

void behind_rewrite_begin(struct behind *behind)
{
    behind_lock(behind);
    list_remove(&behind->rewriter.link);
    walk_begin(behind, &behind->rewriter);
    behind->rewrite_end = behind->births;
    behind_unlock(behind);
}

enum status behind_rewrite_next(struct behind *behind, size_t most, struct buf *bytes)
{
    struct entry *entry = NULL;
    enum status status = OK;
    bytes->size = 0;
    behind_lock(behind);
    for (size_t i = 0; i < WALK_STEPS && status == OK && bytes->size < most &&
                       (entry = walk(behind, &behind->rewriter, behind->rewrite_end)) != NULL;
         i++) {
        status = append_written(bytes, entry, &entry->now);
        status = status == OK ? append_written(bytes, entry, &entry->next) : status;
    }
    behind_unlock(behind);
    return status != OK ? status : entry == NULL ? MISS : OK;
}

void behind_log_safe(struct behind *behind, uint64_t number)
{
    atomic_store_explicit(&behind->safe, number, memory_order_release);
    behind_lock(behind);
    behind->taken_ms = 0;
    behind_free_done(behind, number);
    behind_unlock(behind);
}

void behind_log_failed(struct behind *behind)
{
    behind_lock(behind);
    behind->log.size = 0;
    behind->appended_ms = behind->taken_ms = 0;
    note_health(behind, true, false);
    behind_unlock(behind);
}

void behind_log_recovered(struct behind *behind)
{
    behind_lock(behind);
    CHECK(behind->counts.entries == 0);
    behind->log.size = 0;
    behind->appended_ms = behind->taken_ms = 0;
    atomic_store_explicit(&behind->safe, behind->number, memory_order_release);
    note_health(behind, false, false);
    behind_unlock(behind);
}

bool behind_is_well(const struct behind *behind)
{
    return atomic_load_explicit(&behind->well, memory_order_acquire);
}

void behind_tick(struct behind *behind, int64_t now_ms, int64_t patience_ms)
{
    behind_lock(behind);
    behind->now_ms = now_ms > behind->now_ms ? now_ms : behind->now_ms;
    const int64_t since_ms = behind->taken_ms != 0 ? behind->taken_ms : behind->appended_ms;
    const bool stalled = since_ms != 0 && behind->now_ms - since_ms > patience_ms;
    behind->counts.stalls += stalled && !behind->counts.stalled ? 1 : 0;
    if (stalled != behind->counts.stalled) {
        note_health(behind, behind->counts.failed, stalled);
    }
    behind_unlock(behind);
}

void behind_counts(struct behind *behind, struct behind_counts *ret_counts)
{
    behind_lock(behind);
    *ret_counts = behind->counts;
    behind_unlock(behind);
}
