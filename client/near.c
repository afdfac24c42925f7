/* SPDX-License-Identifier: BSD-3-Clause */
/* A value stands in L1 behind a head of its own: what its contract is, and whose stream proves it. */
#include "client/near.h"

#include "tiers/l1.h"
#include "tiers/policy.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    BYTES_PER_SHARD = 1 << 20,
    SHARDS_MAX = 16,
    VALUE_SHARE = 8, /* a value takes at most so much of the room */
    JOIN_MS = 60000, /* a ticket that is older is thought forgotten by its owner */
    BEATS_PER_BOUND = 4,
    BEAT_FIRST_MS = 250,
    BEAT_LEAST_MS = 25,
    BEAT_MOST_MS = 1000,
    SWEEP_STEPS = 256,
    COUNTERS = 16, /* so that threads seldom write the same line */
};
_Static_assert((NEAR_STREAMS & (NEAR_STREAMS - 1)) == 0,
               "the low bits of a generation are its slot");
_Static_assert((COUNTERS & (COUNTERS - 1)) == 0, "a hash is cut to a counter");

/* In front of each value. */
struct head {
    uint32_t bound_ms; /* T */
    int32_t age_ms;    /* as the answer said; -1: not known */
    uint32_t slot;
};

/* What is known of what was read over one stream; as struct coherence_floor. */
struct slot {
    _Atomic int64_t floor_ms;
    _Atomic int64_t proven_ms; /* H as it was when the floor last rose; 0: none */
    _Atomic int64_t prior_floor_ms;
    _Atomic uint64_t generation; /* 0: no stream has it */
};

struct counter {
    _Alignas(64) _Atomic uint64_t hits;
    _Atomic uint64_t misses;
    _Atomic uint64_t stale;
    _Atomic uint64_t fills;
    _Atomic uint64_t refused;
    _Atomic uint64_t dropped;
};

struct near {
    struct l1 *l1;
    size_t value_max;
    uint64_t generations; /* given so far; the loop's thread's */
    _Atomic uint64_t doubts;
    _Atomic int64_t newest_stamp_ms;
    _Atomic uint32_t least_bound_ms; /* UINT32_MAX: nothing was kept */
    _Atomic uint32_t slots_used;     /* slots from here on never had a stream */
    struct slot slots[NEAR_STREAMS];
    _Alignas(64) _Atomic int64_t horizons_ms[NEAR_STREAMS]; /* H; 0: none */
    struct counter counters[COUNTERS];
};

/* --- life --------------------------------------------------------------------------------------------------------- */

bool near_knows_policy(const char *policy)
{
    return policy == NULL || policy_find(slice_of(policy)) != NULL;
}

static unsigned shards_for(size_t bytes_max)
{
    const size_t wanted = bytes_max / BYTES_PER_SHARD;
    return wanted < SHARDS_MAX ? (unsigned)wanted : SHARDS_MAX;
}

struct near *near_new(const struct near_options *options)
{
    const size_t bytes_max =
        options->bytes_max > NEAR_BYTES_LEAST ? options->bytes_max : NEAR_BYTES_LEAST;
    if (!near_knows_policy(options->policy)) {
        return NULL;
    }
    struct near *near = aligned_alloc(_Alignof(struct near), sizeof *near);
    if (near == NULL) {
        return NULL;
    }
    memset(near, 0, sizeof *near);
    near->l1 = l1_new(&(struct l1_options){
        .bytes_max = bytes_max,
        .policy = options->policy != NULL ? policy_find(slice_of(options->policy)) : NULL,
        .shards = shards_for(bytes_max),
    });
    if (near->l1 == NULL) {
        free(near);
        return NULL;
    }
    near->value_max = options->value_max != 0 ? options->value_max : bytes_max / VALUE_SHARE;
    atomic_init(&near->least_bound_ms, UINT32_MAX);
    return near;
}

void near_free(struct near *near)
{
    if (near != NULL) {
        l1_free(near->l1);
        free(near);
    }
}

static struct counter *counter_of(struct near *near, const struct l1_key *key)
{
    return &near->counters[key->hash & (COUNTERS - 1)];
}

static void count_one(_Atomic uint64_t *number)
{
    atomic_fetch_add_explicit(number, 1, memory_order_relaxed);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* Others never stand, and are not even hashed: they may be megabytes. */
static bool can_stand(struct slice key)
{
    return key.size < LIMIT_L1_KEY;
}

/* Every H, before the table is looked into: which of them counts, only the entry says. */
struct proofs {
    uint32_t count;
    int64_t horizons_ms[NEAR_STREAMS];
};

static void proofs_take(struct proofs *proofs, struct near *near)
{
    proofs->count = atomic_load_explicit(&near->slots_used, memory_order_acquire);
    for (uint32_t i = 0; i < proofs->count; i++) {
        proofs->horizons_ms[i] = atomic_load_explicit(&near->horizons_ms[i], memory_order_acquire);
    }
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* What is known of an entry: whether it is served, and since when it may be wrong (0: not known). */
struct standing {
    bool is_open; /* no suspect, and its fence is open */
    int64_t known_ms;
};

static struct standing standing_of(struct near *near, const struct head *head, int64_t stamp_ms,
                                   int64_t horizon_ms, int64_t now_ms)
{
    const struct slot *slot = &near->slots[head->slot];
    const int64_t floor_ms = atomic_load_explicit(&slot->floor_ms, memory_order_acquire);
    const int64_t proven_ms = atomic_load_explicit(&slot->proven_ms, memory_order_acquire);
    const int64_t prior_ms = atomic_load_explicit(&slot->prior_floor_ms, memory_order_acquire);
    /* One for the milliseconds that the stamp and the age were cut by. */
    const int64_t read_ms = head->age_ms < 0 ? 0 : stamp_ms - head->age_ms - 1;
    if (stamp_ms >= floor_ms) {
        return (struct standing){
            .is_open = horizon_ms != 0 && now_ms - horizon_ms <= (int64_t)head->bound_ms,
            .known_ms = later(horizon_ms, read_ms),
        };
    }
    return (struct standing){.known_ms =
                                 stamp_ms >= prior_ms ? later(proven_ms, read_ms) : read_ms};
}

/* Takes over the reference of `found`. */
static void value_set(struct near_value *ret, const struct l1_value *found, int64_t age_ms,
                      int64_t now_ms)
{
    *ret = (struct near_value){
        .bytes = {.data = found->bytes.data + sizeof(struct head),
                  .size = found->bytes.size - sizeof(struct head)},
        .age_ms = age_ms,
        .ttl_ms = found->expire_at_ms == ITEM_NEVER ? -1 : found->expire_at_ms - now_ms,
        .item = found->item,
    };
}

enum status near_get(struct near *near, struct slice key, int64_t now_ms, int64_t max_age_ms,
                     int64_t spare_ms, struct near_value *ret)
{
    struct proofs proofs;
    if (!can_stand(key)) {
        count_one(&near->counters[0].misses);
        return MISS;
    }
    proofs_take(&proofs, near);
    const struct l1_key at = l1_key(near->l1, 0, key);
    struct counter *counter = counter_of(near, &at);
    struct l1_value found = {0};
    if (l1_get(near->l1, &at, now_ms, 0, &found) != OK) {
        count_one(&counter->misses);
        return MISS;
    }
    struct head head;
    memcpy(&head, found.bytes.data, sizeof head);
    const int64_t horizon_ms = head.slot < proofs.count ? proofs.horizons_ms[head.slot] : 0;
    const struct standing standing =
        standing_of(near, &head, found.stamped_at_ms, horizon_ms, now_ms);
    int64_t age_ms = -1;
    if (standing.known_ms != 0) {
        age_ms = later(now_ms - standing.known_ms, 0);
    }
    if (standing.is_open && age_ms <= max_age_ms) {
        count_one(&counter->hits);
        value_set(ret, &found, age_ms, now_ms);
        return OK;
    }
    count_one(&counter->misses);
    if (age_ms >= 0 && age_ms <= spare_ms && spare_ms > 0) {
        count_one(&counter->stale);
        value_set(ret, &found, age_ms, now_ms);
        return STALE;
    }
    item_release(found.item);
    return MISS;
}

void near_value_done(struct near_value *value)
{
    item_release(value->item);
    *value = (struct near_value){0};
}

/* --- what is read from the node ------------------------------------------------------------------------------------ */

static uint32_t slot_of(uint64_t generation)
{
    return generation % NEAR_STREAMS;
}

static bool is_current(struct near *near, uint64_t generation)
{
    const struct slot *slot = &near->slots[slot_of(generation)];
    return atomic_load_explicit(&slot->generation, memory_order_acquire) == generation;
}

static void raise_to(_Atomic int64_t *number, int64_t to)
{
    int64_t is = atomic_load_explicit(number, memory_order_relaxed);
    while (is < to && !atomic_compare_exchange_weak_explicit(number, &is, to, memory_order_relaxed,
                                                             memory_order_relaxed)) {
    }
}

static void lower_to(_Atomic uint32_t *number, uint32_t to)
{
    uint32_t is = atomic_load_explicit(number, memory_order_relaxed);
    while (is > to && !atomic_compare_exchange_weak_explicit(number, &is, to, memory_order_relaxed,
                                                             memory_order_relaxed)) {
    }
}

void near_begin(struct near *near, const struct near_stream *stream, struct slice key,
                int64_t now_ms, struct near_ticket *ret)
{
    *ret = (struct near_ticket){0};
    if (stream == NULL || stream->generation == 0 || !can_stand(key)) {
        return;
    }
    raise_to(&near->newest_stamp_ms, now_ms);
    const struct l1_key at = l1_key(near->l1, 0, key);
    const struct l1_ask ask = {
        .now_ms = now_ms,
        .floor_ms = INT64_MAX,
        .generation = stream->generation,
        .join_ms = JOIN_MS,
    };
    struct l1_value none = {0};
    struct l1_claim claim;
    const enum status status = l1_ask(near->l1, &at, &ask, &none, &claim);
    if (status == CLAIMED || status == TAKEN) {
        *ret = (struct near_ticket){
            .token = claim.token, .generation = stream->generation, .sent_ms = now_ms};
    }
}

/* What stands is what landed: who has seen the one has seen the other. */
static bool stands_already(struct near *near, const struct l1_key *key, struct slice value,
                           int64_t now_ms)
{
    struct item *item = l1_hold(near->l1, key, now_ms);
    if (item == NULL) {
        return false;
    }
    const struct slice bytes = item_value(item);
    const bool is_same = slice_equal((struct slice){.data = bytes.data + sizeof(struct head),
                                                    .size = bytes.size - sizeof(struct head)},
                                     value);
    item_release(item);
    return is_same;
}

/* NULL: it cannot be kept. */
static struct item *item_of(struct near *near, const struct l1_key *key,
                            const struct near_ticket *ticket, const struct near_answer *answer)
{
    if (answer->near_ms == 0 || answer->value.size > near->value_max) {
        return NULL;
    }
    const struct head head = {
        .bound_ms = answer->near_ms < UINT32_MAX ? (uint32_t)answer->near_ms : UINT32_MAX,
        .age_ms = answer->age_ms < INT32_MAX ? (int32_t)answer->age_ms : INT32_MAX,
        .slot = slot_of(ticket->generation),
    };
    const struct item_spec spec = {
        .key = key->bytes,
        .value_size = sizeof head + answer->value.size,
        /* The node counted from when it answered, which is later. */
        .expire_at_ms = answer->ttl_ms < 0 ? ITEM_NEVER : ticket->sent_ms + answer->ttl_ms,
        .stamped_at_ms = ticket->sent_ms,
    };
    struct item *item = l1_item_new(near->l1, key->hash, &spec);
    if (item != NULL) {
        char *room = item_value_room(item);
        memcpy(room, &head, sizeof head);
        if (answer->value.size > 0) {
            memcpy(room + sizeof head, answer->value.data, answer->value.size);
        }
    }
    return item;
}

/* False: nothing is kept, and what stood has gone (T3), but for a claim that may yet bring the same. */
static bool land(struct near *near, const struct l1_key *key, const struct near_ticket *ticket,
                 const struct near_answer *answer, int64_t now_ms)
{
    struct item *item = item_of(near, key, ticket, answer);
    if (item == NULL) {
        l1_land(near->l1, key);
        return false;
    }
    const struct l1_landing landing = {
        .token = ticket->token,
        .generation = ticket->generation,
        .install = is_current(near, ticket->generation),
        .spares_claims = true,
        .about = sizeof(struct head),
        .now_ms = now_ms,
    };
    const enum status status = l1_fill(near->l1, key, &landing, item);
    item_release(item);
    return status == OK;
}

void near_land(struct near *near, struct slice key, const struct near_ticket *ticket,
               const struct near_answer *answer, int64_t now_ms)
{
    if (!can_stand(key)) {
        return;
    }
    const struct l1_key at = l1_key(near->l1, 0, key);
    struct counter *counter = counter_of(near, &at);
    if (answer->near_ms != 0) {
        lower_to(&near->least_bound_ms,
                 answer->near_ms < UINT32_MAX ? (uint32_t)answer->near_ms : UINT32_MAX - 1);
    }
    if (stands_already(near, &at, answer->value, now_ms)) {
        return;
    }
    if (land(near, &at, ticket, answer, now_ms)) {
        count_one(&counter->fills);
    } else if (answer->near_ms != 0) {
        count_one(&counter->refused);
    }
}

void near_land_nothing(struct near *near, struct slice key)
{
    if (can_stand(key)) {
        const struct l1_key at = l1_key(near->l1, 0, key);
        l1_land(near->l1, &at);
    }
}

void near_fail(struct near *near, struct slice key, const struct near_ticket *ticket)
{
    if (ticket->token != 0) {
        const struct l1_key at = l1_key(near->l1, 0, key);
        l1_unclaim(near->l1, &at, ticket->token);
    }
}

/* --- own writes ---------------------------------------------------------------------------------------------------- */

void near_drop(struct near *near, struct slice key)
{
    if (!can_stand(key)) {
        return;
    }
    const struct l1_key at = l1_key(near->l1, 0, key);
    if (l1_invalidate(near->l1, &at) > 0) {
        count_one(&counter_of(near, &at)->dropped);
    }
}

void near_drop_all(struct near *near)
{
    l1_flush_all(near->l1);
}

/* --- streams ------------------------------------------------------------------------------------------------------- */

/* In the reverse order of standing_of. What was asked so far is below the floor, whichever clock it was stamped by. */
static void raise_floor(struct near *near, uint32_t number, int64_t now_ms)
{
    struct slot *slot = &near->slots[number];
    const int64_t floor_ms = atomic_load_explicit(&slot->floor_ms, memory_order_relaxed);
    const int64_t newest_ms = atomic_load_explicit(&near->newest_stamp_ms, memory_order_relaxed);
    const int64_t horizon_ms =
        atomic_load_explicit(&near->horizons_ms[number], memory_order_relaxed);
    atomic_store_explicit(&slot->prior_floor_ms, floor_ms, memory_order_release);
    atomic_store_explicit(&slot->proven_ms, horizon_ms, memory_order_release);
    atomic_store_explicit(&slot->floor_ms, later(later(now_ms, newest_ms) + 1, floor_ms),
                          memory_order_release);
}

static void doubt(struct near *near, uint32_t number, int64_t now_ms)
{
    raise_floor(near, number, now_ms);
    count_one(&near->doubts);
}

enum status near_stream_open(struct near *near, struct near_stream *stream, int64_t now_ms)
{
    *stream = (struct near_stream){.is_open = true};
    for (uint32_t i = 0; i < NEAR_STREAMS; i++) {
        struct slot *slot = &near->slots[i];
        if (atomic_load_explicit(&slot->generation, memory_order_relaxed) != 0) {
            continue;
        }
        raise_floor(near, i, now_ms);
        atomic_store_explicit(&near->horizons_ms[i], 0, memory_order_release);
        stream->slot = i;
        stream->generation = ++near->generations * NEAR_STREAMS + i;
        atomic_store_explicit(&slot->generation, stream->generation, memory_order_release);
        if (i >= atomic_load_explicit(&near->slots_used, memory_order_relaxed)) {
            atomic_store_explicit(&near->slots_used, i + 1, memory_order_release);
        }
        return OK;
    }
    return BUSY;
}

enum status near_stream_event(struct near *near, struct near_stream *stream, uint64_t seq,
                              const struct slice *keys, size_t count, bool all, int64_t now_ms)
{
    if (!stream->is_open || seq != stream->seq + 1) {
        near_stream_lost(near, stream, now_ms);
        return MALFORMED;
    }
    stream->seq = seq;
    for (size_t i = 0; i < count; i++) {
        near_drop(near, keys[i]);
    }
    if (all && stream->generation != 0) {
        doubt(near, stream->slot, now_ms);
    }
    return OK;
}

enum status near_stream_beat(struct near *near, struct near_stream *stream,
                             const struct near_beat *beat, int64_t now_ms)
{
    if (!stream->is_open || beat->seq != stream->seq) {
        near_stream_lost(near, stream, now_ms);
        return MALFORMED;
    }
    if (!beat->has_horizon || stream->generation == 0 ||
        beat->horizon_age_ms >= (uint64_t)beat->sent_ms) {
        return OK;
    }
    _Atomic int64_t *horizon_ms = &near->horizons_ms[stream->slot];
    const int64_t proven_ms = beat->sent_ms - (int64_t)beat->horizon_age_ms - 1;
    if (proven_ms > atomic_load_explicit(horizon_ms, memory_order_relaxed)) {
        atomic_store_explicit(horizon_ms, proven_ms, memory_order_release);
    }
    return OK;
}

void near_stream_lost(struct near *near, struct near_stream *stream, int64_t now_ms)
{
    if (!stream->is_open) {
        return;
    }
    if (stream->generation != 0) {
        doubt(near, stream->slot, now_ms);
        atomic_store_explicit(&near->slots[stream->slot].generation, 0, memory_order_release);
    }
    *stream = (struct near_stream){0};
}

int64_t near_beat_interval_ms(const struct near *near)
{
    const uint32_t least_ms = atomic_load_explicit(&near->least_bound_ms, memory_order_relaxed);
    if (least_ms == UINT32_MAX) {
        return BEAT_FIRST_MS;
    }
    const int64_t quarter_ms = (int64_t)(least_ms / BEATS_PER_BOUND);
    return quarter_ms < BEAT_LEAST_MS  ? BEAT_LEAST_MS
           : quarter_ms < BEAT_MOST_MS ? quarter_ms
                                       : BEAT_MOST_MS;
}

/* --- housekeeping -------------------------------------------------------------------------------------------------- */

void near_stats(struct near *near, struct near_stats *ret)
{
    struct l1_stats of_l1;
    l1_stats(near->l1, &of_l1);
    *ret = (struct near_stats){
        .doubts = atomic_load_explicit(&near->doubts, memory_order_relaxed),
        .items = of_l1.items,
        .bytes_used = of_l1.bytes_used,
        .bytes_max = of_l1.bytes_max,
    };
    for (size_t i = 0; i < COUNTERS; i++) {
        struct counter *counter = &near->counters[i];
        ret->hits += atomic_load_explicit(&counter->hits, memory_order_relaxed);
        ret->misses += atomic_load_explicit(&counter->misses, memory_order_relaxed);
        ret->stale += atomic_load_explicit(&counter->stale, memory_order_relaxed);
        ret->fills += atomic_load_explicit(&counter->fills, memory_order_relaxed);
        ret->refused += atomic_load_explicit(&counter->refused, memory_order_relaxed);
        ret->dropped += atomic_load_explicit(&counter->dropped, memory_order_relaxed);
    }
}

void near_sweep(struct near *near, int64_t now_ms)
{
    (void)l1_sweep(near->l1, now_ms, SWEEP_STEPS);
}
