/* SPDX-License-Identifier: BSD-3-Clause */
/* cmd_read.c -- commands that read strings through the tiers: journeys 1 and 2.
 *
 *      cmd_get > read_one > tiers_get   hit:  finish, at once
 *                                       miss: PENDING ~> read_on_value > finish > answer_land
 *
 * EXISTS, TTL, PTTL and TYPE are answered from L1 when it knows, else L2 is asked as the client wrote it; they fill
 * nothing. */
#include "server/cmd_common.h"
#include "server/commands.h"
#include "server/conn.h"
#include "server/download.h"
#include "server/node.h"
#include "server/relay.h"
#include "server/worker.h"
#include "tiers/tiers.h"

#include <stdlib.h>
#include <string.h>

/* What was found, and what the command wants of it. */
struct found {
    bool exists;
    bool is_hash;
    struct item *item; /* NULL: the bytes were copied */
    struct slice bytes;
    int64_t start; /* GETRANGE */
    int64_t end;
};

typedef void finish_fn(struct reply *reply, const struct found *found);

static finish_fn finish_get;
static finish_fn finish_strlen;

/* One reader that waits for L2. */
struct read_wait {
    struct tiers_reader reader;
    struct answer *answer;
    finish_fn *finish;
    int64_t start;
    int64_t end;
};

static void count_lookup(struct worker *worker, bool hit)
{
    metrics_count(worker->metrics, hit ? M_KEY_HITS : M_KEY_MISSES);
}

/* A hit is answered in one piece of code: calls between its steps would be a twentieth of it. */
#define IN_PLACE static inline __attribute__((always_inline))

IN_PLACE void found_finish(struct reply *reply, const struct found *found, finish_fn *finish)
{
    count_lookup(reply->worker, found->exists);
    if (found->is_hash) {
        reply_error(reply, text_wrong_type);
    } else {
        finish(reply, found);
    }
}

static bool read_takes_large(struct tiers_reader *reader)
{
    return download_may_begin(((struct read_wait *)(void *)reader)->answer);
}

/* The value is larger than L1 keeps: GET has it in pieces, and who wants to know less of it asks L2 for that. */
static void read_large(struct answer *answer, finish_fn *finish, const struct found *wanted,
                       const struct l1_key *key)
{
    if (finish == finish_get) {
        download_begin(answer, key, NULL);
        return;
    }
    char start[I64_DIGITS_MAX];
    char end[I64_DIGITS_MAX];
    struct slice argv[] = {slice_of(answer->command->name),
                           key->bytes,
                           {start, i64_format(start, wanted->start)},
                           {end, i64_format(end, wanted->end)}};
    relay_deferred(answer, key->db, argv, finish == finish_strlen ? 2 : 4);
}

static void read_on_value(struct tiers_reader *reader, enum status status,
                          const struct tiers_value *value)
{
    struct read_wait *wait = (struct read_wait *)(void *)reader;
    struct answer *answer = wait->answer;
    struct spares *spares = &answer->worker->spares; /* the answer may be gone first */
    if (status == TOO_BIG) {
        const struct found wanted = {.start = wait->start, .end = wait->end};
        read_large(answer, wait->finish, &wanted, value->key);
        spares_give(spares, wait, sizeof(*wait));
        return;
    }
    if (status == OK) {
        struct found found = {.exists = value->item != NULL,
                              .item = value->item,
                              .start = wait->start,
                              .end = wait->end};
        if (found.exists) {
            found.is_hash = item_is_hash(value->item);
            found.bytes = item_value(value->item);
        }
        found_finish(&answer->reply, &found, wait->finish);
    } else {
        relay_refuse_read(&answer->reply, answer->worker, status, value->error);
    }
    spares_give(spares, wait, sizeof(*wait));
    answer_land(answer);
}

/* Asks the tiers; L1's answer, or the beginning of a wait. */
static enum status read_ask(struct call *call, const struct ns_key *key, struct l1_value *value,
                            finish_fn *finish, const struct found *wanted)
{
    struct worker *worker = call->worker;
    if (call->node->tiers == NULL) {
        worker_note_read(call->worker, key);
        return l1_get(key->ns->l1, &key->at, call->now_ms, 0, value);
    }
    /* The reader is needed before it is known whether one must wait. */
    struct read_wait *wait = spares_take(&worker->spares, sizeof(*wait));
    if (wait == NULL) {
        return NO_MEMORY;
    }
    bool foreign = false;
    wait->reader =
        (struct tiers_reader){.on_value = read_on_value,
                              .takes_large = download_speaks(call->conn) ? read_takes_large : NULL};
    enum status status =
        tiers_get(worker->window, key, call->conn->session.proto, value, &wait->reader, &foreign);
    if (status != PENDING) {
        spares_give(&worker->spares, wait, sizeof(*wait));
        return status;
    }
    wait->finish = finish;
    wait->start = wanted->start;
    wait->end = wanted->end;
    wait->answer = call_defer(call, foreign ? WAIT_FOREIGN : WAIT_READ);
    return PENDING;
}

/* --- GET, STRLEN, GETRANGE -------------------------------------------------------------------------------------------- */

static void finish_get(struct reply *reply, const struct found *found)
{
    if (!found->exists) {
        reply_null(reply);
    } else if (found->item != NULL) {
        reply_item(reply, found->item);
    } else {
        reply_bulk(reply, found->bytes);
    }
}

IN_PLACE void read_one(struct call *call, finish_fn *finish, struct found wanted)
{
    if (call->argv[1].size >= LIMIT_L1_KEY && call->node->tiers != NULL) {
        relay_call(call); /* too long for L1: passes by */
        return;
    }
    const struct ns_key key = call_key(call, 1);
    struct l1_value value = {.copy = call->worker->copy, .copy_room = sizeof(call->worker->copy)};
    enum status status = read_ask(call, &key, &value, finish, &wanted);
    if (status == OK) {
        wanted.exists = true;
        wanted.is_hash = value.is_hash;
        wanted.item = value.item;
        wanted.bytes = value.bytes;
        found_finish(call->reply, &wanted, finish);
        if (value.item != NULL) {
            item_release(value.item);
        }
    } else if (status == MISS) {
        found_finish(call->reply, &wanted, finish);
    } else if (status == TOO_BIG) {
        read_large(call_defer(call, WAIT_FOREIGN), finish, &wanted, &key.at);
    } else if (status != PENDING) {
        relay_refuse_read(call->reply, call->worker, status, (struct slice){0});
    }
}

void cmd_get(struct call *call)
{
    read_one(call, finish_get, (struct found){0});
}

static void finish_strlen(struct reply *reply, const struct found *found)
{
    reply_integer(reply, (int64_t)found->bytes.size);
}

void cmd_strlen(struct call *call)
{
    read_one(call, finish_strlen, (struct found){0});
}

/* Negative positions count from the end; what lies outside is cut off (Redis' getrangeCommand). */
static void finish_getrange(struct reply *reply, const struct found *found)
{
    int64_t size = (int64_t)found->bytes.size;
    int64_t start = found->start;
    int64_t end = found->end;
    if (start < 0 && end < 0 && start > end) {
        reply_bulk(reply, (struct slice){0});
        return;
    }
    start = start < 0 ? start + size : start;
    end = end < 0 ? end + size : end;
    start = start < 0 ? 0 : start;
    end = end < 0 ? 0 : end;
    end = end >= size ? size - 1 : end;
    if (start > end || size == 0) {
        reply_bulk(reply, (struct slice){0});
        return;
    }
    reply_bulk(reply, (struct slice){found->bytes.data + start, (size_t)(end - start + 1)});
}

void cmd_getrange(struct call *call)
{
    struct found wanted = {0};
    if (slice_to_i64(call->argv[2], &wanted.start) != OK ||
        slice_to_i64(call->argv[3], &wanted.end) != OK) {
        reply_not_integer(call->reply);
        return;
    }
    read_one(call, finish_getrange, wanted);
}

void cmd_substr(struct call *call)
{
    cmd_getrange(call);
}

/* --- MGET -------------------------------------------------------------------------------------------------------------- */

/* Above so many keys that L1 does not hold, L2 is asked as the client wrote it: two requests for each would be more than
 * a link takes (LIMIT_LINK_QUEUE). */
enum {
    MGET_PREFETCH = 16,
    MGET_FLIGHTS_MAX = 8192
};

struct mget;

struct mget_key {
    struct tiers_reader reader;
    struct mget *mget;
    const struct mget_key *same; /* the key came before and was waited for: its answer; or NULL */
    uint64_t hash;
    struct item *item; /* NULL: nil */
};

struct mget {
    struct answer *answer; /* NULL while the keys are being asked for */
    struct worker *worker;
    uint32_t count;
    uint32_t waiting;
    enum status trouble; /* the first, if L2 could not be asked for some key */
    struct buf error;
    struct asked asked; /* what is waited for */
    struct mget_key keys[];
};

static void mget_finish(struct mget *mget, struct reply *reply)
{
    if (mget->trouble != OK) {
        relay_refuse_read(reply, mget->worker, mget->trouble, buf_slice(&mget->error));
    } else {
        reply_array(reply, mget->count);
    }
    for (uint32_t i = 0; i < mget->count; i++) {
        struct mget_key *key = &mget->keys[i];
        if (key->same != NULL && key->same->item != NULL) {
            key->item = item_ref(key->same->item);
        }
    }
    for (uint32_t i = 0; i < mget->count; i++) {
        struct item *item = mget->keys[i].item;
        if (mget->trouble == OK) {
            count_lookup(mget->worker, item != NULL);
            if (item != NULL) {
                reply_item(reply, item);
            } else {
                reply_null(reply);
            }
        }
        item_release(item);
    }
    asked_clear(&mget->asked);
    buf_done(&mget->error);
    free(mget);
}

/* A key of another type is nil for MGET. The reference goes with it. */
static struct item *string_or_nil(struct item *item)
{
    if (item_is_kind(item, KIND_STRING)) {
        return item;
    }
    item_release(item);
    return NULL;
}

/* Such a key, if L2 says so, is nil, too; any other error is the answer to the whole. */
static void mget_note(struct mget *mget, enum status status, struct slice error)
{
    const bool nil = status == L2_ERROR && slice_begins(error, "WRONGTYPE");
    if (status == OK || status == MISS || nil || mget->trouble != OK) {
        return;
    }
    mget->trouble = status;
    if (status == L2_ERROR && buf_append_slice(&mget->error, error) != OK) {
        mget->trouble = NO_MEMORY;
    }
}

static void mget_on_value(struct tiers_reader *reader, enum status status,
                          const struct tiers_value *value)
{
    struct mget_key *key = (struct mget_key *)(void *)reader;
    struct mget *mget = key->mget;
    if (status == OK && value->item != NULL) {
        key->item = string_or_nil(item_ref(value->item));
    }
    mget_note(mget, status, value->error);
    if (--mget->waiting == 0) {
        struct answer *answer = mget->answer;
        mget_finish(mget, &answer->reply);
        answer_land(answer);
    }
}

/* The same key earlier in this call, if its answer is waited for. What L1 got since from somebody else's read may be
 * older than that answer, and `MGET k k` must not go back in time (asked.h). */
static const struct mget_key *mget_same(const struct call *call, const struct mget *mget,
                                        uint32_t i, uint64_t hash)
{
    for (uint32_t j = 0; j < i && asked_has(&mget->asked, hash); j++) {
        const struct mget_key *before = &mget->keys[j];
        if (before->hash == hash && before->same == NULL &&
            slice_equal(call->argv[1 + j], call->argv[1 + i])) {
            return before;
        }
    }
    return NULL;
}

static void mget_ask(struct call *call, struct mget *mget, uint32_t i, const struct ns_key *key,
                     bool *any_foreign)
{
    struct mget_key *wanted = &mget->keys[i];
    *wanted = (struct mget_key){.reader = {.on_value = mget_on_value}, .mget = mget};
    wanted->same = mget->waiting == 0 ? NULL : mget_same(call, mget, i, key->at.hash);
    if (wanted->same != NULL) {
        return;
    }
    struct l1_value value = {0};
    bool foreign = false;
    enum status status = tiers_get(call->worker->window, key, call->conn->session.proto, &value,
                                   &wanted->reader, &foreign);
    if (status == PENDING) {
        mget->waiting++;
        wanted->hash = key->at.hash;
        asked_add(&mget->asked, wanted->hash);
        *any_foreign = *any_foreign || foreign;
        return;
    }
    wanted->item = string_or_nil(value.item);
    mget_note(mget, status, (struct slice){0});
}

/* Some key is too long for L1, or too many are not there. */
static bool mget_passes_by(const struct call *call)
{
    for (uint32_t i = 1; i < call->argc; i++) {
        if (call->argv[i].size >= LIMIT_L1_KEY) {
            return true;
        }
    }
    uint32_t missing = 0;
    for (uint32_t i = 1;
         i < call->argc && call->argc > MGET_FLIGHTS_MAX && missing <= MGET_FLIGHTS_MAX; i++) {
        struct ns_key key = call_key(call, i);
        struct l1_peek found;
        missing += tiers_peek(call->worker->window, &key, &found) == OK ? 0 : 1;
    }
    return missing > MGET_FLIGHTS_MAX;
}

/* Alone: all keys at one moment, as in Redis. */
static void mget_together(struct call *call)
{
    struct l1_several *keys = call_get_several(call, true);
    if (keys == NULL) {
        return;
    }
    reply_array(call->reply, call->argc - 1);
    for (uint32_t i = 0; i + 1 < call->argc; i++) {
        struct item *item = string_or_nil(keys[i].item);
        count_lookup(call->worker, item != NULL);
        call_reply_item(call, item);
        item_release(item);
    }
    free(keys);
}

void cmd_mget(struct call *call)
{
    uint32_t count = call->argc - 1;
    if (call->node->tiers == NULL) {
        mget_together(call);
        return;
    }
    if (mget_passes_by(call)) {
        relay_call(call);
        return;
    }
    struct mget *mget = malloc(sizeof(*mget) + count * sizeof(mget->keys[0]));
    if (mget == NULL) {
        reply_out_of_memory(call->reply);
        return;
    }
    *mget = (struct mget){.worker = call->worker, .count = count};
    bool foreign = false;
    for (uint32_t at = 0; at < count; at += MGET_PREFETCH) {
        struct ns_key keys[MGET_PREFETCH];
        const struct l1_bucket *buckets[MGET_PREFETCH];
        uint32_t part = count - at < MGET_PREFETCH ? count - at : MGET_PREFETCH;
        for (uint32_t i = 0; i < part; i++) {
            keys[i] = call_key(call, 1 + at + i);
            buckets[i] = l1_prefetch(keys[i].ns->l1, keys[i].at.hash);
        }
        for (uint32_t i = 0; i < part; i++) {
            l1_prefetch_item(keys[i].ns->l1, buckets[i], keys[i].at.hash);
        }
        for (uint32_t i = 0; i < part; i++) {
            mget_ask(call, mget, at + i, &keys[i], &foreign);
        }
    }
    if (mget->waiting > 0) {
        mget->answer = call_defer(call, foreign ? WAIT_FOREIGN : WAIT_READ);
    } else {
        mget_finish(mget, call->reply);
    }
}

/* --- EXISTS, TTL, PTTL, TYPE ------------------------------------------------------------------------------------------- */

/* OK, or MISS: not in L1 (alone: nowhere). */
static enum status peek(struct call *call, uint32_t i, struct l1_peek *ret)
{
    if (call->argv[i].size >= LIMIT_L1_KEY) {
        return MISS;
    }
    struct ns_key key = call_key(call, i);
    enum status status = call->node->tiers == NULL
                             ? l1_peek(key.ns->l1, &key.at, call->now_ms, 0, ret)
                             : tiers_peek(call->worker->window, &key, ret);
    return status;
}

void cmd_exists(struct call *call)
{
    int64_t exist = 0;
    if (call->node->tiers == NULL && call->argc > 2) {
        call_reply_count(call, false);
        return;
    }
    for (uint32_t i = 1; i < call->argc; i++) {
        struct l1_peek found;
        if (peek(call, i, &found) == OK) {
            exist++;
        } else if (call->node->tiers != NULL) {
            relay_call(call);
            return;
        }
    }
    metrics_add(call->worker->metrics, M_KEY_HITS, (uint64_t)exist);
    metrics_add(call->worker->metrics, M_KEY_MISSES, (uint64_t)(call->argc - 1) - (uint64_t)exist);
    reply_integer(call->reply, exist);
}

/* *ret_left_ms: -2 no such key, -1 does not expire. false: L2 was asked. */
static bool time_left(struct call *call, int64_t *ret_left_ms)
{
    struct l1_peek found;
    enum status status = peek(call, 1, &found);
    if (call->node->tiers != NULL && (status != OK || found.capped)) {
        relay_call(call);
        return false;
    }
    count_lookup(call->worker, status == OK);
    if (status != OK) {
        *ret_left_ms = -2;
    } else if (found.expire_at_ms == ITEM_NEVER) {
        *ret_left_ms = -1;
    } else {
        *ret_left_ms = found.expire_at_ms - call->now_ms;
    }
    return true;
}

void cmd_ttl(struct call *call)
{
    int64_t left_ms = 0;
    if (time_left(call, &left_ms)) {
        reply_integer(call->reply,
                      left_ms < 0 ? left_ms : (left_ms + 500) / 1000); /* rounded as Redis does */
    }
}

void cmd_pttl(struct call *call)
{
    int64_t left_ms = 0;
    if (time_left(call, &left_ms)) {
        reply_integer(call->reply, left_ms);
    }
}

void cmd_type(struct call *call)
{
    struct l1_peek found;
    enum status status = peek(call, 1, &found);
    if (status != OK && call->node->tiers != NULL) {
        relay_call(call);
        return;
    }
    count_lookup(call->worker, status == OK);
    reply_status(call->reply, status != OK ? "none" : found.is_hash ? "hash" : "string");
}
