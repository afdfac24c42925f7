/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/behind.h"

#include "protocol/check.h"
#include "protocol/envelope.h"
#include "tiers/behind_inner.h"

#include <stdlib.h>
#include <string.h>

enum {
    FENCED_MS = 300, /* who waits asks again before */
    WALK_STEPS = 256 /* entries that are looked at while all others wait */
};

struct behind *behind_new(const struct behind_options *options)
{
    struct behind *behind = calloc(1, sizeof *behind);
    if (behind != NULL) {
        behind->options = *options;
        behind->well = true;
        list_init(&behind->all);
        list_init(&behind->order);
        list_init(&behind->done);
        behind->rewriter.is_walker = true;
        list_init(&behind->rewriter.link);
        for (size_t i = 0; i < PAUSES; i++) {
            list_init(&behind->paused[i]);
        }
        CHECK(pthread_mutex_init(&behind->lock, NULL) == 0);
    }
    return behind;
}

/* --- entries ------------------------------------------------------------------------------------------------------- */

static struct entry *find(const struct behind *behind, const struct l1_key *key)
{
    for (struct map_node *node = map_find(&behind->entries, key->hash); node != NULL;
         node = map_next(node)) {
        struct entry *entry = MAP_ENTRY(node, struct entry, in_map);
        if (entry->flush.key.db == key->db && slice_equal(entry->flush.key.bytes, key->bytes)) {
            return entry;
        }
    }
    return NULL;
}

static struct entry *entry_new(struct behind *behind, const struct l1_key *key)
{
    struct entry *entry = calloc(1, sizeof *entry + key->bytes.size);
    if (entry == NULL) {
        return NULL;
    }
    if (key->bytes.size > 0) {
        memcpy(entry->key, key->bytes.data, key->bytes.size);
    }
    entry->flush.key =
        (struct l1_key){.bytes = {entry->key, key->bytes.size}, .hash = key->hash, .db = key->db};
    list_init(&entry->in_order);
    if (map_add(&behind->entries, &entry->in_map, key->hash) != OK) {
        free(entry);
        return NULL;
    }
    entry->born = ++behind->births;
    list_push_back(&behind->all, &entry->in_all.link);
    behind->counts.entries++;
    behind->counts.bytes += key->bytes.size;
    atomic_fetch_add(&behind->count, 1);
    return entry;
}

static void written_drop(struct behind *behind, struct written *written)
{
    behind->counts.bytes -= written->envelope.size;
    buf_done(&written->envelope);
    *written = (struct written){0};
}

static bool is_paused(const struct entry *entry)
{
    return entry->refusals > 0 && !entry->under_way;
}

static void entry_free(struct behind *behind, struct entry *entry)
{
    behind->counts.paused -= is_paused(entry) ? 1 : 0;
    written_drop(behind, &entry->now);
    written_drop(behind, &entry->next);
    list_remove(&entry->in_order);
    list_remove(&entry->in_all.link);
    map_remove(&behind->entries, &entry->in_map);
    behind->counts.entries--;
    behind->counts.bytes -= entry->flush.key.bytes.size;
    atomic_fetch_sub(&behind->count, 1);
    free(entry);
}

void behind_free_done(struct behind *behind, uint64_t number)
{
    while (!list_empty(&behind->done)) {
        struct entry *entry = LIST_ENTRY(behind->done.next, struct entry, in_order);
        if (entry->done_at > number) {
            return;
        }
        entry_free(behind, entry);
    }
}

void behind_free(struct behind *behind)
{
    if (behind == NULL) {
        return;
    }
    for (size_t i = 0; i < PAUSES; i++) {
        list_splice_back(&behind->order, &behind->paused[i]);
    }
    while (!list_empty(&behind->order)) {
        entry_free(behind, LIST_ENTRY(behind->order.next, struct entry, in_order));
    }
    behind_free_done(behind, UINT64_MAX);
    CHECK(behind->counts.entries == 0); /* nothing is on its way any more */
    map_done(&behind->entries);
    buf_done(&behind->log);
    (void)pthread_mutex_destroy(&behind->lock);
    free(behind);
}

/* What readers see. */
static const struct written *newest(const struct entry *entry)
{
    return entry->next.number != 0 ? &entry->next : &entry->now;
}

/* --- writing ------------------------------------------------------------------------------------------------------- */

/* As the newest of its entry, at the end of the order. */
static void entry_put(struct behind *behind, struct entry *entry, struct written *written)
{
    struct written *place = entry->under_way ? &entry->next : &entry->now;
    if (place->number != 0) {
        behind->counts.coalesced++;
        written_drop(behind, place);
    }
    behind->counts.bytes += written->envelope.size;
    *place = *written;
    *written = (struct written){0};
    if (!entry->under_way && !is_paused(entry)) {
        entry->done_at = 0;
        list_remove(&entry->in_order);
        list_push_back(&behind->order, &entry->in_order);
    }
}

static bool is_full(const struct behind *behind, const struct entry *entry,
                    const struct l1_key *key, size_t more)
{
    const struct behind_options *options = &behind->options;
    const size_t key_size = entry == NULL ? key->bytes.size : 0;
    return !behind_is_well(behind) ||
           (entry == NULL && behind->counts.entries >= options->entries_max) ||
           behind->counts.bytes + key_size + more > options->bytes_max ||
           behind->log.size > options->bytes_max;
}

struct behind_record behind_record_of(const struct l1_key *key, const struct written *written)
{
    return (struct behind_record){.kind = BEHIND_WRITE,
                                  .number = written->number,
                                  .db = key->db,
                                  .base = written->base,
                                  .dies_at_ms = written->dies_at_ms,
                                  .key = key->bytes,
                                  .envelope = buf_slice(&written->envelope)};
}

/* Under the lock. */
static enum status append(struct behind *behind, const struct behind_record *record)
{
    const enum status status = behind_log_append(&behind->log, record);
    if (status == OK && behind->appended_ms == 0) {
        behind->appended_ms = behind->now_ms;
    }
    return status;
}

/* Under the lock. Takes the envelope over if it is OK. */
static enum status take(struct behind *behind, const struct l1_key *key, struct written *written)
{
    struct entry *entry = find(behind, key);
    if (is_full(behind, entry, key, written->envelope.size)) {
        behind->counts.refused++;
        return BUSY;
    }
    const bool is_new = entry == NULL;
    entry = is_new ? entry_new(behind, key) : entry;
    if (entry == NULL) {
        return NO_MEMORY;
    }
    written->number = behind->number + 1;
    const struct behind_record record = behind_record_of(key, written);
    if (append(behind, &record) != OK) {
        if (is_new) {
            entry_free(behind, entry);
        }
        return NO_MEMORY;
    }
    behind->number++;
    behind->counts.taken++;
    entry_put(behind, entry, written);
    return OK;
}

enum status behind_take(struct behind *behind, const struct l1_key *key, uint64_t base,
                        int64_t now_ms, int64_t dies_at_ms, struct slice envelope,
                        uint64_t *ret_number)
{
    struct written written = {.taken_at_ms = now_ms, .dies_at_ms = dies_at_ms, .base = base};
    if (envelope.size > BEHIND_VALUE_MAX || key->bytes.size >= LIMIT_L1_KEY) {
        return TOO_BIG;
    }
    CHECK(envelope.size >= ENVELOPE_HEAD_SIZE);
    if (buf_append_slice(&written.envelope, envelope) != OK) {
        return NO_MEMORY;
    }
    put_u64le(written.envelope.data + ENVELOPE_VERSION_OFFSET, base);
    behind_lock(behind);
    behind->now_ms = now_ms > behind->now_ms ? now_ms : behind->now_ms;
    const enum status status = take(behind, key, &written);
    *ret_number = behind->number;
    behind_unlock(behind);
    buf_done(&written.envelope);
    return status;
}

static enum status restore_write(struct behind *behind, const struct l1_key *key,
                                 const struct behind_record *record)
{
    struct written written = {
        .dies_at_ms = record->dies_at_ms, .base = record->base, .number = record->number};
    enum status status = buf_append_slice(&written.envelope, record->envelope);
    struct entry *entry = find(behind, key);
    if (status == OK && entry == NULL) {
        entry = entry_new(behind, key);
        status = entry == NULL ? NO_MEMORY : OK;
    }
    if (status == OK) {
        entry_put(behind, entry, &written);
    }
    buf_done(&written.envelope);
    return status;
}

enum status behind_restore(struct behind *behind, const struct behind_record *record)
{
    const struct l1_key key = {
        .bytes = record->key, .hash = l1_hash(behind->options.kin, record->key), .db = record->db};
    enum status status = OK;
    if (record->kind == BEHIND_WRITE && record->envelope.size < ENVELOPE_HEAD_SIZE) {
        return MALFORMED;
    }
    behind_lock(behind);
    behind->number = record->number > behind->number ? record->number : behind->number;
    atomic_store(&behind->safe, behind->number);
    if (record->kind == BEHIND_WRITE) {
        status = restore_write(behind, &key, record);
    } else {
        struct entry *entry = find(behind, &key);
        if (entry != NULL && entry->now.number == record->number) {
            entry_free(behind, entry);
        }
    }
    behind_unlock(behind);
    return status;
}

uint64_t behind_safe(const struct behind *behind)
{
    return atomic_load_explicit(&behind->safe, memory_order_acquire);
}

bool behind_is_fenced(const struct behind *behind, int64_t now_ms)
{
    return now_ms < atomic_load(&behind->fenced_until_ms);
}

/* What another thread takes meanwhile, for it has not seen this yet, is no older than the command. */
bool behind_fence(struct behind *behind, int64_t now_ms)
{
    const bool is_empty = behind_is_empty(behind);
    if (is_empty || !behind_is_fenced(behind, now_ms)) {
        atomic_store(&behind->fenced_from_ms, now_ms);
    }
    atomic_store(&behind->fenced_until_ms, now_ms + FENCED_MS);
    return !is_empty && now_ms - atomic_load(&behind->fenced_from_ms) < BEHIND_FENCE_MS;
}

/* --- reading ------------------------------------------------------------------------------------------------------- */

bool behind_is_empty(const struct behind *behind)
{
    return atomic_load_explicit(&behind->count, memory_order_acquire) == 0;
}

bool behind_has(struct behind *behind, const struct l1_key *key)
{
    if (behind_is_empty(behind)) {
        return false;
    }
    behind_lock(behind);
    const bool has = find(behind, key) != NULL;
    behind_unlock(behind);
    return has;
}

enum status behind_find(struct behind *behind, const struct l1_key *key,
                        struct behind_value *ret_value)
{
    *ret_value = (struct behind_value){0};
    if (behind_is_empty(behind)) {
        return MISS;
    }
    behind_lock(behind);
    const struct entry *entry = find(behind, key);
    enum status status = MISS;
    if (entry != NULL && entry->done_at == 0) {
        const struct written *written = newest(entry);
        ret_value->dies_at_ms = written->dies_at_ms;
        ret_value->taken_at_ms = written->taken_at_ms;
        status = buf_append_slice(&ret_value->envelope, buf_slice(&written->envelope));
    }
    behind_unlock(behind);
    return status;
}

/* --- to L2 ----------------------------------------------------------------------------------------------------------- */

/* Whose pause is over; NULL: none. */
static struct entry *paused_next(const struct behind *behind, int64_t now_ms)
{
    for (size_t i = 0; i < PAUSES && behind->counts.paused > 0; i++) {
        const struct list *paused = &behind->paused[i];
        if (!list_empty(paused)) {
            struct entry *entry = LIST_ENTRY(paused->next, struct entry, in_order);
            if (entry->paused_until_ms <= now_ms) {
                return entry;
            }
        }
    }
    return NULL;
}

static struct entry *order_next(const struct behind *behind)
{
    struct entry *entry =
        list_empty(&behind->order) ? NULL : LIST_ENTRY(behind->order.next, struct entry, in_order);
    const bool goes =
        entry != NULL && (entry->now.number <= behind_safe(behind) || !behind_is_well(behind));
    return goes ? entry : NULL;
}

struct behind_flush *behind_next(struct behind *behind, int64_t now_ms)
{
    struct behind_flush *flush = NULL;
    if (behind_is_empty(behind)) {
        return NULL;
    }
    behind_lock(behind);
    struct entry *entry = paused_next(behind, now_ms);
    behind->counts.paused -= entry != NULL ? 1 : 0;
    entry = entry == NULL ? order_next(behind) : entry;
    if (entry != NULL) {
        list_remove(&entry->in_order);
        entry->under_way = true;
        flush = &entry->flush;
        flush->envelope = buf_slice(&entry->now.envelope);
        flush->dies_at_ms = entry->now.dies_at_ms;
        flush->base = entry->now.base;
        flush->number = entry->now.number;
    }
    behind_unlock(behind);
    return flush;
}

/* What came meanwhile is what waits now. It was based on what has just been done. */
static void entry_turn(struct behind *behind, struct entry *entry, uint64_t seq)
{
    written_drop(behind, &entry->now);
    entry->now = entry->next;
    entry->next = (struct written){0};
    entry->now.base = seq > entry->now.base ? seq : entry->now.base;
}

/* L2 has what was on its way. */
static void end_sent(struct behind *behind, struct entry *entry, uint64_t seq)
{
    behind->counts.flushed++;
    entry->refusals = 0;
    if (entry->next.number != 0) {
        entry_turn(behind, entry, seq);
        list_push_back(&behind->order, &entry->in_order);
    } else if (behind_is_well(behind)) {
        written_drop(behind, &entry->now);
        entry->done_at = ++behind->number;
        list_push_back(&behind->done, &entry->in_order);
    } else { /* nobody waits for the log */
        entry_free(behind, entry);
    }
}

static void end_again(struct behind *behind, struct entry *entry)
{
    if (entry->next.number != 0) {
        entry_turn(behind, entry, 0);
        list_push_back(&behind->order, &entry->in_order);
    } else { /* it was the first */
        list_push_back(behind->order.next, &entry->in_order);
    }
}

static void end_refused(struct behind *behind, struct entry *entry, int64_t now_ms)
{
    if (entry->next.number != 0) {
        entry_turn(behind, entry, 0);
    }
    const unsigned place = entry->refusals < PAUSES ? entry->refusals : PAUSES - 1;
    const int64_t pause_ms = (int64_t)PAUSE_MIN_MS << place;
    entry->refusals++;
    entry->paused_until_ms = now_ms + (pause_ms < PAUSE_MAX_MS ? pause_ms : PAUSE_MAX_MS);
    list_push_back(&behind->paused[place], &entry->in_order);
    behind->counts.paused++;
    behind->counts.refusals++;
}

void behind_done(struct behind *behind, struct behind_flush *flush, enum behind_end end,
                 uint64_t seq, int64_t now_ms)
{
    struct entry *entry = (struct entry *)(void *)flush;
    const struct behind_record finished = {.kind = BEHIND_FINISHED,
                                           .number = flush->number,
                                           .db = flush->key.db,
                                           .key = flush->key.bytes};
    behind_lock(behind);
    CHECK(entry->under_way);
    entry->under_way = false;
    /* Without memory for the record it is sent once more: the next start must not do that over what is newer. */
    if (end == BEHIND_SENT && !behind->counts.failed && append(behind, &finished) != OK) {
        end = BEHIND_AGAIN;
    }
    if (end == BEHIND_SENT) {
        end_sent(behind, entry, seq);
    } else if (end == BEHIND_REFUSED) {
        end_refused(behind, entry, now_ms);
    } else if (entry->refusals > 0) { /* its pause was over; whether it is refused is not known */
        entry->refusals--;
        end_refused(behind, entry, now_ms);
        behind->counts.refusals--;
    } else {
        end_again(behind, entry);
    }
    behind_unlock(behind);
}
