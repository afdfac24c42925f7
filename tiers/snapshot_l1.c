/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/snapshot_l1.h"

#include "protocol/envelope.h"
#include "protocol/fields.h"
#include "tiers/managed.h"

#include <stdio.h>
#include <string.h>

enum {
    HEATS = POLICY_HOTNESS_MAX + 1,
    HEATS_PER_BAND = HEATS / SNAPSHOT_BANDS,
    PAIR_HEAD = 8,   /* sizes of a field and its value */
    ROUNDING_MS = 2, /* of the four readings of two clocks: rather two too many than one too few */
};

/* --- out ------------------------------------------------------------------------------------------------------------- */

void snapshot_head_fill(struct snapshot_head *head, const struct namespaces *spaces,
                        const struct coherence_mark *mark, const struct snapshot_now *now)
{
    const struct namespace *ns;
    unsigned place = 0;
    *head = (struct snapshot_head){.is_alone = mark == NULL,
                                   .now_ms = now->now_ms,
                                   .boot_ms = now->boot_ms,
                                   .unix_ms = now->unix_ms};
    memcpy(head->boot, now->boot, sizeof head->boot);
    while ((ns = namespaces_next(spaces, &place)) != NULL) {
        head->names[head->name_count++] =
            (struct snapshot_name){.name = slice_of(ns->name),
                                   .policy = slice_of(l1_policy(ns->l1)->name),
                                   .managed = ns->managed};
    }
    if (mark != NULL) {
        head->epoch = mark->epoch;
        head->run = mark->run;
        head->seq = mark->seq;
        head->horizon_ms = mark->horizon_ms;
        head->floor_ms = mark->floor_ms;
        head->managed_floor_ms = mark->managed_floor_ms;
    }
}

/* One walk over everything. */
struct taking {
    struct snapshot_writer *writer; /* NULL: it only counts */
    const struct namespace *ns;
    uint8_t place;
    struct buf pairs; /* of a hash */
    enum status status;
    unsigned coldest;         /* heat; what is colder stays out, */
    uint64_t coldest_left;    /* and of this heat so many bytes may go in */
    uint64_t bytes_of[HEATS]; /* counted */
};

/* A managed value that this node alone would vouch for, or none at all, is left to L2. */
static bool outlives(const struct namespace *ns, const struct item *item)
{
    static const unsigned none = MANAGED_NEGATIVE | MANAGED_FOREIGN | MANAGED_UNREADABLE |
                                 MANAGED_HELD | MANAGED_OTHER | MANAGED_RECENT | MANAGED_JUDGED |
                                 MANAGED_LARGE;
    struct managed_value value;
    return !ns->managed || (managed_open(item_value(item), item_expire_at_ms(item), &value) == OK &&
                            (value.flags & none) == 0);
}

static uint64_t size_of(const struct item *item)
{
    return item_key(item).size + item_value_size(item) + SNAPSHOT_RECORD_HEAD;
}

/* The fields of a hash lie in L1 by a secret of the process: here one after the other. */
static enum status write_pairs(struct buf *out, struct slice fields)
{
    struct fields_pair pair;
    size_t at = 0;
    out->size = 0;
    while (fields_next(fields, &at, &pair)) {
        if (buf_reserve(out, PAIR_HEAD + pair.field.size + pair.value.size) != OK) {
            return NO_MEMORY;
        }
        put_u32le(out->data + out->size, (uint32_t)pair.field.size);
        put_u32le(out->data + out->size + 4, (uint32_t)pair.value.size);
        out->size += PAIR_HEAD;
        (void)!buf_append_slice(out, pair.field); /* there is room */
        (void)!buf_append_slice(out, pair.value);
    }
    return out->size <= LIMIT_BULK ? OK : TOO_BIG;
}

static enum status take_one(struct taking *taking, const struct l1_sight *sight, unsigned heat)
{
    const struct item *item = sight->item;
    struct snapshot_record record = {
        .db = sight->db,
        .place = taking->place,
        .look = item_look(item),
        .capped = item_is_capped(item),
        .hotness = sight->hotness,
        .kept = sight->kept,
        .idle_ms = sight->idle_ms > 0 && sight->idle_ms < UINT32_MAX ? (uint32_t)sight->idle_ms
                   : sight->idle_ms > 0                              ? UINT32_MAX
                                                                     : 0,
        .expire_at_ms = item_expire_at_ms(item),
        .stamped_at_ms = item_stamped_at_ms(item),
        .key = item_key(item),
        .value = item_value(item),
    };
    if (item_is_hash(item)) {
        const enum status status = write_pairs(&taking->pairs, record.value);
        if (status != OK) {
            return status == TOO_BIG ? OK : status; /* a hash of more than half a gigabyte */
        }
        record.value = buf_slice(&taking->pairs);
    }
    return snapshot_put(taking->writer, heat / HEATS_PER_BAND, &record);
}

static void on_sight(void *arg, const struct l1_sight *sight)
{
    struct taking *taking = arg;
    const unsigned heat = sight->hotness;
    if (taking->status != OK || heat < taking->coldest || !outlives(taking->ns, sight->item)) {
        return;
    }
    const uint64_t size = size_of(sight->item);
    if (taking->writer == NULL) {
        taking->bytes_of[heat] += size;
        return;
    }
    if (heat == taking->coldest) {
        if (size > taking->coldest_left) {
            return;
        }
        taking->coldest_left -= size;
    }
    taking->status = take_one(taking, sight, heat);
}

static enum status walk(struct taking *taking, struct namespaces *spaces, int64_t now_ms)
{
    unsigned at = 0;
    taking->place = 0;
    while ((taking->ns = namespaces_next(spaces, &at)) != NULL) {
        const enum status status = l1_survey(taking->ns->l1, now_ms, on_sight, taking);
        if (status != OK || taking->status != OK) {
            return taking->status != OK ? taking->status : status;
        }
        taking->place++;
    }
    return OK;
}

/* How hot a value must be for so many bytes of the hottest to fit. */
static void find_coldest(struct taking *taking, uint64_t bytes_max)
{
    uint64_t left = bytes_max;
    unsigned heat = HEATS;
    while (heat > 0 && taking->bytes_of[heat - 1] <= left) {
        left -= taking->bytes_of[--heat];
    }
    taking->coldest = heat > 0 ? heat - 1 : 0;
    taking->coldest_left = heat > 0 ? left : UINT64_MAX;
}

enum status snapshot_take(struct snapshot_writer *writer, struct namespaces *spaces,
                          uint64_t bytes_max, int64_t now_ms)
{
    struct taking taking = {.coldest_left = UINT64_MAX};
    struct l1_stats stats;
    enum status status = OK;
    namespaces_stats(spaces, &stats);
    if (stats.bytes_live + stats.items * SNAPSHOT_RECORD_HEAD > bytes_max) {
        status = walk(&taking, spaces, now_ms);
        find_coldest(&taking, bytes_max);
    }
    taking.writer = writer;
    if (status == OK) {
        status = walk(&taking, spaces, now_ms);
    }
    buf_done(&taking.pairs);
    return status;
}

/* --- and back -------------------------------------------------------------------------------------------------------- */

struct restoring {
    struct snapshot_reader *reader;
    struct namespaces *spaces;
    int64_t now_ms;
    int64_t shift_ms; /* from the times of the file to those of now */
    bool is_timed;    /* in one boot of the machine */
    bool is_alone;
    const struct snapshot_listener *listener;
    struct buf scratch; /* a managed value whose times move */
    /* Of the file's namespaces; NULL: not known here. */
    const struct policy *policies[NAMESPACES_MAX];
    struct snapshot_restored *restored;
};

/* Times of the file may be any 63 bits. */
static int64_t moved(int64_t time_ms, int64_t by_ms)
{
    int64_t sum_ms = 0;
    if (__builtin_add_overflow(time_ms, by_ms, &sum_ms)) {
        return by_ms > 0 ? INT64_MAX / 2 : 1;
    }
    return sum_ms > INT64_MAX / 2 ? INT64_MAX / 2 : sum_ms > 1 ? sum_ms : 1;
}

/* What is not before now would be a lie: it says nothing. */
static int64_t past(const struct restoring *restoring, int64_t time_ms)
{
    const int64_t at_ms = moved(time_ms, restoring->shift_ms);
    return restoring->is_timed && at_ms <= restoring->now_ms ? at_ms : 1;
}

static void tell_time(struct restoring *restoring, const struct snapshot_now *now)
{
    const struct snapshot_head *head = &restoring->reader->head;
    const bool same_boot = memcmp(head->boot, now->boot, sizeof now->boot) == 0;
    int64_t down_ms = 0;
    const bool wrong = same_boot ? __builtin_sub_overflow(now->boot_ms, head->boot_ms, &down_ms)
                                 : __builtin_sub_overflow(now->unix_ms, head->unix_ms, &down_ms);
    restoring->is_timed = same_boot && !wrong && down_ms >= 0 && head->now_ms >= 0;
    restoring->restored->down_ms = wrong || down_ms < 0 ? 0 : down_ms + ROUNDING_MS;
    int64_t then_ms = 0; /* when it was written, by the clock of now */
    (void)__builtin_sub_overflow(now->now_ms, restoring->restored->down_ms, &then_ms);
    if (head->now_ms < 0 || __builtin_sub_overflow(then_ms, head->now_ms, &restoring->shift_ms)) {
        restoring->shift_ms = 0;
        restoring->is_timed = false;
    }
}

/* A floor that is still to come would not come down before that day: it says that all were suspects. */
static void tell_mark(const struct restoring *restoring)
{
    const struct snapshot_head *head = &restoring->reader->head;
    const int64_t floor_ms = moved(head->floor_ms, restoring->shift_ms);
    const int64_t managed_ms = moved(head->managed_floor_ms, restoring->shift_ms);
    struct coherence_mark *mark = &restoring->restored->mark;
    *mark = (struct coherence_mark){.epoch = head->epoch, .run = head->run};
    if (restoring->is_timed) {
        mark->horizon_ms = head->horizon_ms > 0 ? past(restoring, head->horizon_ms) : 0;
        mark->floor_ms = floor_ms <= restoring->now_ms ? floor_ms : restoring->now_ms;
        if (head->epoch.counter != 0 && head->epoch.counter <= EPOCH_COUNTER_MAX &&
            head->seq < ENVELOPE_NUMBER_END && managed_ms <= restoring->now_ms) {
            mark->seq = head->seq;
            mark->managed_floor_ms = managed_ms;
        }
    }
}

/* The fields of a hash, as they lie in this process. */
static enum status read_pairs(struct restoring *restoring, struct slice pairs,
                              struct fields_draft *draft)
{
    const struct l1 *l1 = namespaces_default(restoring->spaces)->l1;
    enum status status = fields_open(draft, l1_secret(l1), (struct slice){0}, pairs.size);
    while (status == OK && pairs.size > 0) {
        bool is_new = false;
        if (pairs.size < PAIR_HEAD) {
            return MALFORMED;
        }
        const size_t field_size = get_u32le(pairs.data);
        const size_t value_size = get_u32le(pairs.data + 4);
        if (field_size + value_size > pairs.size - PAIR_HEAD) {
            return MALFORMED;
        }
        const struct slice field = {pairs.data + PAIR_HEAD, field_size};
        const struct slice value = {field.data + field_size, value_size};
        status = fields_set(draft, field, value, &is_new);
        if (status == OK && !is_new) {
            return MALFORMED;
        }
        const size_t step = PAIR_HEAD + field_size + value_size;
        pairs = (struct slice){pairs.data + step, pairs.size - step};
    }
    return status == OK && fields_count(fields_bytes(draft)) == 0 ? MALFORMED : status;
}

/* Whether its home of now takes it as it is. */
static bool fits(const struct restoring *restoring, const struct namespace *ns,
                 const struct snapshot_record *record)
{
    const struct snapshot_name *from = &restoring->reader->head.names[record->place];
    if (restoring->is_alone || from->managed != ns->managed) {
        return restoring->is_alone && !from->managed;
    }
    if (namespace_kind(ns) == NAMESPACE_TTL) {
        return !ns->managed && restoring->is_timed && restoring->reader->head.has_ended;
    }
    return !ns->managed || (record->look == ITEM_LOOK_PLAIN && record->stamped_at_ms > 0 &&
                            slice_is(from->name, ns->name));
}

static void tell_suspect(const struct restoring *restoring, const struct snapshot_record *record)
{
    if (restoring->listener != NULL) {
        restoring->listener->on_suspect(restoring->listener->arg, record->db, record->key,
                                        record->hotness);
    }
}

static void count(struct restoring *restoring, const struct namespace *ns,
                  const struct snapshot_record *record, int64_t stamped_at_ms)
{
    struct snapshot_restored *restored = restoring->restored;
    const bool is_proved =
        ns->managed && restored->mark.seq != 0 && stamped_at_ms >= restored->mark.managed_floor_ms;
    restored->bytes += record->key.size + record->value.size;
    if (restoring->is_alone || namespace_kind(ns) == NAMESPACE_TTL) {
        restored->values++;
        return;
    }
    restored->managed += is_proved;
    restored->suspects += !is_proved;
    tell_suspect(restoring, record);
}

/* In mode `ttl` no value outlives the life that the namespace gives it. */
static int64_t expiry_of(const struct restoring *restoring, const struct namespace *ns,
                         const struct snapshot_record *record, int64_t stamped_at_ms)
{
    const int64_t at_ms = record->expire_at_ms == ITEM_NEVER
                              ? ITEM_NEVER
                              : moved(record->expire_at_ms, restoring->shift_ms);
    const int64_t ttl_ms = namespace_ttl_ms(ns);
    if (restoring->is_alone || ttl_ms == 0 ||
        (at_ms != ITEM_NEVER && at_ms - stamped_at_ms <= ttl_ms)) {
        return at_ms;
    }
    return stamped_at_ms + ttl_ms;
}

static struct l1_past past_of(const struct restoring *restoring, const struct namespace *ns,
                              const struct snapshot_record *record)
{
    const struct policy *then = restoring->policies[record->place];
    const bool alike = then != NULL && policy_keeps_alike(then, l1_policy(ns->l1));
    return (struct l1_past){.idle_ms = record->idle_ms,
                            .kept = alike ? record->kept : POLICY_KEPT_NONE};
}

static enum status put_back(struct restoring *restoring, const struct ns_key *key,
                            const struct snapshot_record *record, struct slice value)
{
    struct item_spec spec = {
        .key = record->key,
        .value_size = value.size,
        .stamped_at_ms =
            restoring->is_alone ? record->stamped_at_ms : past(restoring, record->stamped_at_ms),
        .look = record->look,
        .db = record->db,
        .capped = record->capped,
    };
    spec.expire_at_ms = expiry_of(restoring, key->ns, record, spec.stamped_at_ms);
    if (spec.expire_at_ms != ITEM_NEVER && spec.expire_at_ms <= restoring->now_ms) {
        restoring->restored->expired++;
        return OK;
    }
    const struct l1_past known = past_of(restoring, key->ns, record);
    const enum status status =
        l1_restore(key->ns->l1, key->at.hash, &spec, value, &known, restoring->now_ms);
    if (status == OK) {
        count(restoring, key->ns, record, spec.stamped_at_ms);
    } else if (status == TOO_BIG) {
        restoring->restored->full++;
    } else if (status != TAKEN) { /* it changed its heat while it was being written */
        return status;
    }
    return OK;
}

static enum status refuse(struct restoring *restoring, const char *why)
{
    (void)snprintf(restoring->reader->error, sizeof restoring->reader->error, "%s", why);
    return MALFORMED;
}

static enum status restore_hash(struct restoring *restoring, const struct ns_key *key,
                                const struct snapshot_record *record)
{
    struct fields_draft draft = {0};
    enum status status = read_pairs(restoring, record->value, &draft);
    if (status == OK) {
        status = put_back(restoring, key, record, fields_bytes(&draft));
    }
    fields_close(&draft);
    return status == MALFORMED ? refuse(restoring, "a hash in it is broken") : status;
}

static enum status restore_managed(struct restoring *restoring, const struct ns_key *key,
                                   const struct snapshot_record *record)
{
    struct buf *scratch = &restoring->scratch;
    scratch->size = 0;
    if (buf_append_slice(scratch, record->value) != OK) {
        return NO_MEMORY;
    }
    if (managed_move_times(scratch->data, scratch->size, restoring->shift_ms) != OK) {
        return refuse(restoring, "a managed value in it is broken");
    }
    return put_back(restoring, key, record, buf_slice(scratch));
}

static enum status restore_one(struct restoring *restoring, const struct snapshot_record *record)
{
    const struct ns_key key = namespaces_key(restoring->spaces, record->db, record->key);
    if (!fits(restoring, key.ns, record)) {
        restoring->restored->homeless++;
        if (!restoring->is_alone && namespace_kind(key.ns) == NAMESPACE_TTL) {
            tell_suspect(restoring, record);
        }
        return OK;
    }
    if (key.ns->managed) {
        return restore_managed(restoring, &key, record);
    }
    return (record->look & ITEM_LOOK_PACKED) != 0
               ? restore_hash(restoring, &key, record)
               : put_back(restoring, &key, record, record->value);
}

enum status snapshot_restore(struct snapshot_reader *reader, struct namespaces *spaces,
                             bool is_alone, const struct snapshot_now *now,
                             const struct snapshot_listener *listener,
                             struct snapshot_restored *ret)
{
    struct restoring restoring = {.reader = reader,
                                  .spaces = spaces,
                                  .now_ms = now->now_ms,
                                  .is_alone = is_alone,
                                  .listener = listener,
                                  .restored = ret};
    struct snapshot_record record;
    *ret = (struct snapshot_restored){0};
    if (reader->head.is_alone != is_alone) {
        (void)snprintf(reader->error, sizeof reader->error, "a node %s an L2 wrote it",
                       is_alone ? "with" : "without");
        return INVALID;
    }
    for (unsigned i = 0; i < reader->head.name_count; i++) {
        restoring.policies[i] = policy_find(reader->head.names[i].policy);
    }
    tell_time(&restoring, now);
    tell_mark(&restoring);
    enum status status = OK;
    while (status == OK && (status = snapshot_next(reader, &record)) == OK) {
        status = restore_one(&restoring, &record);
    }
    buf_done(&restoring.scratch);
    if (status != MISS) {
        namespaces_flush_all(spaces);
        *ret = (struct snapshot_restored){0};
        return status;
    }
    ret->full += reader->left_out;
    return OK;
}
