/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/behind_desk.h"

#include "protocol/check.h"
#include "tiers/behind_desk_inner.h"
#include "tiers/managed.h"
#include "tiers/wrap.h"

#include <stdlib.h>
#include <string.h>

/* Writes that belong together and may not overtake what the table holds of one of their keys. */
struct parked {
    struct list link;
    struct managed_write **writes;
    size_t count;
    bool all_or_none;
    int64_t deadline_ms;
    struct buf envelopes; /* of all, one behind the other: the caller's are borrowed */
    size_t bytes;         /* that it counts for */
};

struct asking {
    struct list link;
    struct tiers_reader *reader;
    int64_t deadline_ms;
    uint8_t db;
    size_t key_size;
    char key[];
};

struct behind_desk *behind_desk_new(struct tiers_window *window, struct behind *behind,
                                    bool flushes)
{
    struct behind_desk *desk = calloc(1, sizeof *desk);
    if (desk != NULL) {
        *desk = (struct behind_desk){.window = window, .behind = behind, .flushes = flushes};
        list_init(&desk->waits);
        list_init(&desk->parked);
        list_init(&desk->asking);
    }
    return desk;
}

void behind_desk_free(struct behind_desk *desk)
{
    if (desk != NULL) {
        CHECK(list_empty(&desk->waits) && list_empty(&desk->parked) && list_empty(&desk->asking) &&
              desk->under_way == 0);
        free(desk);
    }
}

static size_t slot_of(const struct l1_key *key)
{
    return (size_t)((key->hash * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - BEHIND_SLOT_BITS));
}

void behind_desk_pass(struct behind_desk *desk, struct managed_write *const *writes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        writes[i]->passing = true;
        desk->passing[slot_of(&writes[i]->key)]++;
    }
}

void behind_desk_passed(struct behind_desk *desk, struct managed_write *write)
{
    write->passing = false;
    desk->passing[slot_of(&write->key)]--;
}

static void tell(struct behind_desk *desk, struct managed_write *write, enum status status,
                 bool confirmed)
{
    if (write->passing) {
        behind_desk_passed(desk, write);
    }
    write->confirmed = confirmed;
    write->error = (struct slice){0};
    write->on_written(write, status, 0, write->error);
}

/* --- reading ------------------------------------------------------------------------------------------------------- */

/* As L2 would tell it, if it had the value. OK, also of one that cannot be read, whose item says so. AGAIN: its dictionary
 * is being read from L2. NO_MEMORY. */
static enum status decode(struct behind_desk *desk, const struct ns_key *key,
                          const struct behind_value *found, struct item **ret_item)
{
    const int64_t now_ms = desk->window->now_ms;
    const int64_t dies_at_ms = found->dies_at_ms;
    const int64_t left_ms = dies_at_ms > now_ms ? dies_at_ms - now_ms : 0;
    /* What was invalidated before it was written does not mean it, and of what was since, the mode allows as much not to be
     * known. */
    const bool is_recent =
        found->taken_at_ms != 0 && now_ms - found->taken_at_ms <= window_silence_ms(key->ns);
    const struct managed_read read = {.window = desk->window,
                                      .ns = key->ns,
                                      .l1 = key->ns->l1,
                                      .key = key->at,
                                      .bytes = buf_slice(&found->envelope),
                                      .pttl_ms = dies_at_ms == 0 ? -1 : left_ms,
                                      .issued_at_ms = now_ms,
                                      .is_held = true,
                                      .is_recent = is_recent};
    const enum status status = managed_decode(&read, ret_item);
    return status == MALFORMED || status == MISS ? OK : status;
}

static enum status ask_later(struct behind_desk *desk, const struct l1_key *key,
                             struct tiers_reader *reader)
{
    const size_t size = sizeof(struct asking) + key->bytes.size;
    if (desk->parked_bytes + size > MANAGED_QUEUE_BYTES) {
        return BUSY;
    }
    struct asking *asking = malloc(size);
    if (asking == NULL) {
        return NO_MEMORY;
    }
    desk->parked_bytes += size;
    *asking = (struct asking){.reader = reader,
                              .deadline_ms = desk->window->now_ms + desk->window->read_timeout_ms,
                              .db = key->db,
                              .key_size = key->bytes.size};
    if (key->bytes.size > 0) {
        memcpy(asking->key, key->bytes.data, key->bytes.size);
    }
    list_push_back(&desk->asking, &asking->link);
    tiers_behind_park(desk->window->options.tiers, 1);
    return PENDING;
}

enum status behind_desk_read(struct behind_desk *desk, const struct ns_key *key,
                             struct l1_value *value, struct tiers_reader *reader)
{
    if (reader->wish != NULL && reader->wish->kind == WISH_FRESH) {
        return behind_has(desk->behind, &key->at) ? ask_later(desk, &key->at, reader) : MISS;
    }
    struct behind_value found;
    enum status status = behind_find(desk->behind, &key->at, &found);
    if (status != OK) {
        return status;
    }
    status = decode(desk, key, &found, &value->item);
    buf_done(&found.envelope);
    if (status == OK) {
        value->bytes = item_value(value->item);
        value->is_hash = false;
        value->expire_at_ms = item_expire_at_ms(value->item);
        value->stamped_at_ms = desk->window->now_ms;
    }
    return status == AGAIN ? ask_later(desk, &key->at, reader) : status;
}

/* --- taking ---------------------------------------------------------------------------------------------------------- */

static bool is_behind(const struct behind_desk *desk, const struct managed_write *write)
{
    return write->op == MANAGED_PUT && write->cond == MANAGED_ALWAYS &&
           write->key.bytes.size <= MANAGED_KEYS_BYTES / 2 &&
           namespace_rules(window_key(desk->window, &write->key).ns).write == NAMESPACE_BEHIND;
}

/* Into the table, in a form that needs nothing that L2 may lose. */
static enum status put_into_table(struct behind_desk *desk, struct managed_write *write,
                                  uint64_t known)
{
    struct tiers_window *window = desk->window;
    const int64_t now_ms = window->now_ms;
    const int64_t dies_at_ms = write->px_ms > 0 ? now_ms + write->px_ms : 0;
    struct buf loose = {0};
    enum status status =
        wrap_loosen(window, window_key(window, &write->key).ns, write->envelope, &loose);
    if (status == OK || status == MISS) {
        status = behind_take(desk->behind, &write->key, known, now_ms, dies_at_ms,
                             status == OK ? buf_slice(&loose) : write->envelope, &write->number);
    }
    buf_done(&loose);
    return status;
}

static enum status take(struct behind_desk *desk, struct managed_write *write)
{
    struct tiers_window *window = desk->window;
    const uint64_t known = coherence_known_seq(behind_desk_view(desk));
    if (known == 0 || behind_is_fenced(desk->behind, window->now_ms)) {
        return MISS;
    }
    const enum status status = put_into_table(desk, write, known);
    if (status == OK) {
        write->stood = true;
        write->until_ms = window->now_ms + window->read_timeout_ms;
        write->dropped =
            l1_invalidate(namespace_of(window->namespaces, write->key.bytes)->l1, &write->key);
        list_push_back(&desk->waits, &write->in_group);
        metrics_count(behind_desk_metrics(desk), M_BEHIND_TAKEN);
        tiers_behind_taken(window->options.tiers, &write->key);
        tiers_behind_wake(window->options.tiers);
    } else {
        metrics_count(behind_desk_metrics(desk), M_BEHIND_FULL);
    }
    return status;
}

static bool has_any(const struct behind_desk *desk, struct managed_write *const *writes,
                    size_t count)
{
    bool must = false;
    for (size_t i = 0; i < count && !must && !behind_is_empty(desk->behind); i++) {
        must = behind_has(desk->behind, &writes[i]->key);
    }
    return must;
}

static bool must_park(const struct behind_desk *desk, struct managed_write *const *writes,
                      size_t count)
{
    bool must = has_any(desk, writes, count);
    for (size_t i = 0; i < count && !must; i++) {
        must = desk->waiting[slot_of(&writes[i]->key)] > 0; /* behind what was asked before */
    }
    return must;
}

/* Their keys are passing, and parked no more or from now on. */
static void parked_count(struct behind_desk *desk, const struct parked *parked, int more)
{
    for (size_t i = 0; i < parked->count; i++) {
        desk->waiting[slot_of(&parked->writes[i]->key)] += (unsigned)more;
    }
    tiers_behind_park(desk->window->options.tiers, more);
}

static void parked_free(struct parked *parked)
{
    buf_done(&parked->envelopes);
    free((void *)parked->writes);
    free(parked);
}

static enum status park(struct behind_desk *desk, struct managed_write *const *writes, size_t count,
                        bool all_or_none)
{
    const struct tiers_window *window = desk->window;
    size_t bytes = sizeof(struct parked) + count * sizeof *writes;
    for (size_t i = 0; i < count; i++) {
        bytes += writes[i]->key.bytes.size + writes[i]->envelope.size;
    }
    if (desk->parked_bytes > 0 && desk->parked_bytes + bytes > MANAGED_QUEUE_BYTES) {
        return BUSY;
    }
    struct parked *parked = calloc(1, sizeof *parked);
    if (parked == NULL) {
        return NO_MEMORY;
    }
    parked->writes = (struct managed_write **)calloc(count, sizeof *writes);
    enum status status = parked->writes == NULL ? NO_MEMORY : OK;
    for (size_t i = 0; i < count && status == OK; i++) {
        parked->writes[i] = writes[i];
        status = buf_append_slice(&parked->envelopes, writes[i]->envelope);
    }
    if (status != OK) {
        parked_free(parked);
        return status;
    }
    parked->bytes = bytes;
    parked->count = count;
    parked->all_or_none = all_or_none;
    parked->deadline_ms = window->now_ms + window->read_timeout_ms;
    size_t at = 0;
    for (size_t i = 0; i < count && parked->envelopes.size > 0; i++) {
        writes[i]->envelope.data = parked->envelopes.data + at;
        at += writes[i]->envelope.size;
    }
    desk->parked_bytes += bytes;
    list_push_back(&desk->parked, &parked->link);
    behind_desk_pass(desk, writes, count);
    parked_count(desk, parked, 1);
    return OK;
}

enum status behind_desk_take(struct behind_desk *desk, struct managed_write *const *writes,
                             size_t count, bool all_or_none)
{
    if (desk->window->ended) {
        return L2_DOWN;
    }
    for (size_t i = 0; i < count; i++) {
        writes[i]->passing = false;
    }
    const bool parks = must_park(desk, writes, count);
    /* Nobody waits for ever for a key that is written all the time: while some wait, those who come do, too. */
    const bool may_take = desk->passing[slot_of(&writes[0]->key)] == 0 &&
                          (!parks || !tiers_behind_parks(desk->window->options.tiers));
    if (count == 1 && may_take && is_behind(desk, writes[0]) && take(desk, writes[0]) == OK) {
        return OK;
    }
    return parks ? park(desk, writes, count, all_or_none) : MISS;
}

/* --- telling ----------------------------------------------------------------------------------------------------------- */

/* While the disk fails or hangs what L2 has is as good. */
static bool is_done(struct behind_desk *desk, const struct managed_write *write)
{
    return write->number <= behind_safe(desk->behind) ||
           (!behind_is_well(desk->behind) && !behind_has(desk->behind, &write->key));
}

static struct managed_write *first_waiting(const struct list *writes)
{
    return list_empty(writes) ? NULL : LIST_ENTRY(writes->next, struct managed_write, in_group);
}

/* Those that are done, wherever they stand: L2 goes by keys. */
static void tell_those_in_l2(struct behind_desk *desk)
{
    struct list over;
    struct managed_write *write = NULL;
    list_init(&over);
    for (struct list *link = desk->waits.next; link != &desk->waits;) {
        write = LIST_ENTRY(link, struct managed_write, in_group);
        link = link->next;
        if (is_done(desk, write)) {
            list_remove(&write->in_group);
            list_push_back(&over, &write->in_group);
        }
    }
    while ((write = first_waiting(&over)) != NULL) {
        list_remove(&write->in_group);
        tell(desk, write, OK, true);
    }
}

/* From the disk; by a write that ends others may come. */
static void tell_safe(struct behind_desk *desk)
{
    struct managed_write *write = NULL;
    while ((write = first_waiting(&desk->waits)) != NULL && is_done(desk, write)) {
        list_remove(&write->in_group);
        tell(desk, write, OK, true);
    }
    if (!behind_is_well(desk->behind)) {
        tell_those_in_l2(desk);
    }
}

/* Neither the disk nor L2 took it so far. It is in the table, so it may still come. */
static void tell_overdue(struct behind_desk *desk, int64_t now_ms)
{
    struct managed_write *write = NULL;
    while ((write = first_waiting(&desk->waits)) != NULL && write->until_ms <= now_ms) {
        list_remove(&write->in_group);
        tell(desk, write, UNKNOWN, false);
    }
}

static void parked_end(struct behind_desk *desk, struct parked *parked, enum status status)
{
    list_remove(&parked->link);
    desk->parked_bytes -= parked->bytes;
    parked_count(desk, parked, -1);
    if (status == OK) {
        status =
            managed_writes_pass(desk->window, parked->writes, parked->count, parked->all_or_none);
    }
    for (size_t i = 0; i < parked->count && status != OK; i++) {
        tell(desk, parked->writes[i], status, false);
    }
    parked_free(parked);
}

/* In their order: none passes another. */
static void parked_look(struct behind_desk *desk, int64_t now_ms)
{
    while (!list_empty(&desk->parked)) {
        struct parked *parked = LIST_ENTRY(desk->parked.next, struct parked, link);
        const bool waits = has_any(desk, parked->writes, parked->count);
        if (waits && parked->deadline_ms > now_ms) {
            return;
        }
        parked_end(desk, parked, waits ? L2_DOWN : OK);
    }
}

static void asking_end(struct behind_desk *desk, struct asking *asking, enum status status)
{
    struct tiers_reader *reader = asking->reader;
    const struct ns_key key = namespaces_key(desk->window->namespaces, asking->db,
                                             (struct slice){asking->key, asking->key_size});
    struct l1_value value = {0};
    bool foreign = false;
    tiers_behind_park(desk->window->options.tiers, -1);
    desk->parked_bytes -= sizeof *asking + asking->key_size;
    if (status == OK) {
        status = tiers_get(desk->window, &key, 2, &value, reader, &foreign);
    }
    free(asking);
    if (status != PENDING) {
        reader->on_value(reader, status, &(struct tiers_value){.item = value.item});
        item_release(value.item);
    }
}

static void asking_look(struct behind_desk *desk, int64_t now_ms)
{
    struct list seen;
    list_init(&seen);
    list_splice_back(&seen, &desk->asking);
    while (!list_empty(&seen)) {
        struct asking *asking = LIST_ENTRY(seen.next, struct asking, link);
        const struct l1_key key = namespaces_key(desk->window->namespaces, asking->db,
                                                 (struct slice){asking->key, asking->key_size})
                                      .at;
        list_remove(&asking->link);
        if (!behind_has(desk->behind, &key)) {
            asking_end(desk, asking, OK);
        } else if (asking->deadline_ms <= now_ms) {
            asking_end(desk, asking, L2_DOWN);
        } else {
            list_push_back(&desk->asking, &asking->link);
        }
    }
}

/* --- time ------------------------------------------------------------------------------------------------------------ */

void behind_desk_turn(struct behind_desk *desk)
{
    tell_safe(desk);
    behind_way_flush(desk);
    parked_look(desk, INT64_MIN);
    asking_look(desk, INT64_MIN);
}

void behind_desk_tick(struct behind_desk *desk)
{
    const struct tiers_window *window = desk->window;
    /* Half of what a client waits: the way to L2 is to come within the other half. */
    behind_tick(desk->behind, window->now_ms, window->read_timeout_ms / 2);
    behind_desk_turn(desk);
    tell_overdue(desk, window->now_ms);
    parked_look(desk, desk->window->now_ms);
    asking_look(desk, desk->window->now_ms);
}

void behind_desk_end(struct behind_desk *desk)
{
    tell_safe(desk);
    parked_look(desk, INT64_MAX);
    asking_look(desk, INT64_MAX);
    while (!list_empty(&desk->waits)) { /* its client is gone by now */
        struct managed_write *write = LIST_ENTRY(desk->waits.next, struct managed_write, in_group);
        list_remove(&write->in_group);
        tell(desk, write, UNKNOWN, false);
    }
}
