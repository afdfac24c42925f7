/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/check.h"
#include "protocol/resp_read.h"
#include "protocol/resp_write.h"
#include "server/node.h"
#include "server/sweep_inner.h"
#include "server/worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A question has taken too long beyond so many times the usual, and so much. */
#define SWEEP_PACE_LEAST 100 /* of SWEEP_PACE_FULL: it must end some day */
#define SWEEP_SLOW_TIMES 8
#define SWEEP_SLOW_NS    UINT64_C(10000000)

enum status sweep_read_scan(struct slice reply, uint64_t *ret_cursor, struct reply_cursor *ret_keys,
                            size_t *ret_count)
{
    struct reply_cursor cursor = {reply};
    struct reply_element element;
    if (reply_next(&cursor, &element) != OK || element.type != REPLY_ARRAY || element.number != 2 ||
        reply_next(&cursor, &element) != OK || element.type != REPLY_BULK ||
        slice_to_u64(element.text, ret_cursor) != OK || reply_next(&cursor, &element) != OK ||
        element.type != REPLY_ARRAY || element.number < 0) {
        return MALFORMED;
    }
    *ret_keys = cursor;
    *ret_count = (size_t)element.number;
    for (size_t i = 0; i < *ret_count; i++) {
        if (reply_next(&cursor, &element) != OK || element.type != REPLY_BULK) {
            return MALFORMED;
        }
    }
    return OK;
}

/* Of all questions alike: the deadline is that of commands that may take long. */
static enum status sweep_send(struct sweep *sweep, const struct slice *words, size_t count)
{
    struct buf request = {0};
    enum status status = resp_append_request(&request, count, words);
    sweep->relay.db = sweep->shown.db;
    sweep->relay.patient = true;
    sweep->asked_at_ns = clock_monotonic_ns();
    if (status == OK) {
        status = tiers_relay(sweep->worker->window, &sweep->relay, 2, buf_slice(&request));
    }
    buf_done(&request);
    sweep->asks = status == OK;
    return status;
}

/* Redis, or this loop, has other work to do. */
static void sweep_measure(struct sweep *sweep)
{
    const uint64_t took_ns = clock_monotonic_ns() - sweep->asked_at_ns;
    if (sweep->usual_ns == 0 || took_ns < sweep->usual_ns) {
        sweep->usual_ns = took_ns;
    } else {
        sweep->usual_ns += sweep->usual_ns / 64; /* what is usual may change for good */
    }
    if (took_ns > sweep->usual_ns * SWEEP_SLOW_TIMES + SWEEP_SLOW_NS) {
        sweep->pace = sweep->pace / 2 > SWEEP_PACE_LEAST ? sweep->pace / 2 : SWEEP_PACE_LEAST;
        sweep->budget = 0;
    }
}

static void sweep_fail_by(struct sweep *sweep, enum status status)
{
    char why[SWEEP_ERROR_MAX];
    if (status == L2_DOWN) {
        (void)snprintf(why, sizeof(why), "L2DOWN L2 cannot be asked: %s",
                       tiers_why_down(sweep->worker->window));
        sweep_fail(sweep, why);
    } else if (status == UNKNOWN) {
        sweep_fail(sweep, "UNKNOWN the last keys may or may not have been deleted");
    } else if (status == STALE) {
        sweep_fail(sweep, "STALE it is not known whether every node is rid of what was deleted");
    } else {
        sweep_fail(sweep, "OOM no memory");
    }
}

/* Whether it may go on with this answer; else it has ended. */
static bool sweep_answered(struct sweep *sweep, enum status status, struct slice bytes)
{
    sweep->asks = false;
    sweep_measure(sweep);
    if (status != OK) {
        sweep_fail_by(sweep, status);
        return false;
    }
    if (bytes.size > 0 && bytes.data[0] == REPLY_ERROR) {
        char why[SWEEP_ERROR_MAX];
        (void)snprintf(why, sizeof(why), "%.*s",
                       (int)(bytes.size - 1 < SWEEP_ERROR_MAX ? bytes.size - 1 : SWEEP_ERROR_MAX),
                       bytes.data + 1);
        why[strcspn(why, "\r\n")] = '\0';
        sweep_fail(sweep, why);
        return false;
    }
    if (sweep->run != 0 && sweep->relay.run != sweep->run) {
        sweep_fail(sweep, "STALE L2 is another process than before");
        return false;
    }
    sweep->run = sweep->relay.run;
    return true;
}

static void sweep_on_unlinked(struct tiers_relay *relay, enum status status, struct slice bytes)
{
    struct sweep *sweep = (struct sweep *)(void *)relay;
    struct reply_cursor cursor = {bytes};
    struct reply_element element;
    free(sweep->keys);
    sweep->keys = NULL;
    if (!sweep_answered(sweep, status, bytes)) {
        return;
    }
    if (reply_next(&cursor, &element) != OK || element.type != REPLY_INTEGER) {
        sweep_fail(sweep, "ERR L2 answers what is not understood");
        return;
    }
    sweep_count(sweep, 0, (uint64_t)element.number);
    sweep_turn(sweep);
    sweep_go(sweep);
}

/* Keys and their bytes, which L1 is told of, in one allocation. */
static bool sweep_keep_keys(struct sweep *sweep, const struct slice *words, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size += words[i].size < LIMIT_L1_KEY ? words[i].size : 0;
    }
    sweep->keys = malloc(count * sizeof(*sweep->keys) + size);
    if (sweep->keys == NULL) {
        return false;
    }
    char *bytes = (char *)&sweep->keys[count];
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (words[i].size >= LIMIT_L1_KEY) {
            continue; /* L1 never has it */
        }
        if (words[i].size > 0) {
            memcpy(bytes, words[i].data, words[i].size);
        }
        sweep->keys[kept++] = namespaces_key(sweep->worker->node->namespaces, sweep->shown.db,
                                             (struct slice){bytes, words[i].size})
                                  .at;
        bytes += words[i].size;
    }
    sweep->relay.keys = sweep->keys;
    sweep->relay.key_count = kept;
    return true;
}

/* words[1] to words[count] are the keys. */
static enum status sweep_unlink(struct sweep *sweep, struct slice *words, size_t count)
{
    sweep->relay = (struct tiers_relay){.on_reply = sweep_on_unlinked, .writes = true};
    if (!sweep_keep_keys(sweep, words + 1, count)) {
        return NO_MEMORY;
    }
    words[0] = SLICE_LITERAL("UNLINK");
    return sweep_send(sweep, words, count + 1);
}

/* Those of SCAN's keys that are meant. */
static size_t sweep_pick(const struct sweep *sweep, const struct namespace *ns,
                         struct reply_cursor keys, size_t count, struct slice *ret_words)
{
    size_t picked = 0;
    for (size_t i = 0; i < count; i++) {
        struct reply_element element;
        CHECK(reply_next(&keys, &element) == OK); /* sweep_read_scan has been here */
        if (sweep_means(sweep, ns, element.text)) {
            ret_words[picked++] = element.text;
        }
    }
    return picked;
}

/* A queue that is full has room a moment later: what SCAN said at `cursor` is asked for again then. */
static void sweep_ask_again(struct sweep *sweep, uint64_t cursor)
{
    free(sweep->keys);
    sweep->keys = NULL;
    sweep->cursor = cursor;
    sweep->budget = 0;
}

static void sweep_take_keys(struct sweep *sweep, uint64_t cursor, struct reply_cursor keys,
                            size_t count)
{
    const struct namespace *ns = sweep_namespace(sweep);
    if (sweep->is_named && ns == NULL) {
        sweep_fail(sweep, "ERR the namespace is not there any more");
        return;
    }
    struct slice *words = malloc((count + 1) * sizeof(*words));
    if (words == NULL) {
        sweep_fail_by(sweep, NO_MEMORY);
        return;
    }
    const size_t picked = sweep_pick(sweep, sweep->is_named ? ns : NULL, keys, count, words + 1);
    enum status status = OK;
    if (picked > 0 && !sweep->shown.dry) {
        status = sweep_unlink(sweep, words, picked);
    } else {
        sweep_count(sweep, 0, picked);
        sweep_turn(sweep);
        sweep_go(sweep);
    }
    free(words);
    if (status == BUSY) {
        sweep_ask_again(sweep, cursor);
    } else if (status != OK) {
        sweep_fail_by(sweep, status);
    }
}

static void sweep_on_scanned(struct tiers_relay *relay, enum status status, struct slice bytes)
{
    struct sweep *sweep = (struct sweep *)(void *)relay;
    struct reply_cursor keys;
    size_t count = 0;
    const uint64_t cursor = sweep->cursor;
    if (!sweep_answered(sweep, status, bytes)) {
        return;
    }
    if (sweep_read_scan(bytes, &sweep->cursor, &keys, &count) != OK) {
        sweep_fail(sweep, "ERR L2 answers what is not understood");
        return;
    }
    sweep_count(sweep, sweep->asked, 0);
    sweep_take_keys(sweep, cursor, keys, count);
}

/* Here, too, a queue may be full. */
void sweep_ask(struct sweep *sweep)
{
    char digits[24];
    char count[24];
    (void)snprintf(digits, sizeof(digits), "%" PRIu64, sweep->cursor);
    (void)snprintf(count, sizeof(count), "%u", sweep->asked);
    const struct slice words[] = {SLICE_LITERAL("SCAN"),  slice_of(digits),
                                  SLICE_LITERAL("MATCH"), sweep_glob(sweep),
                                  SLICE_LITERAL("COUNT"), slice_of(count)};
    sweep->relay = (struct tiers_relay){.on_reply = sweep_on_scanned};
    const enum status status = sweep_send(sweep, words, sizeof(words) / sizeof(words[0]));
    if (status == BUSY) {
        sweep->budget = 0;
    } else if (status != OK) {
        sweep_fail_by(sweep, status);
    }
}
