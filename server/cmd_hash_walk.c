/* SPDX-License-Identifier: BSD-3-Clause */
/* HSCAN and HRANDFIELD, on a node without L2. */
#include "protocol/fields.h"
#include "server/cmd_common.h"
#include "server/commands.h"
#include "server/node.h"
#include "server/worker.h"
#include "tiers/base/glob.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    HSCAN_COUNT = 10,
    VISITED_MIN = 64
};

/* The hash with a reference. NULL: there is no such key, or WRONGTYPE is answered: *ret_missing says which. */
static struct item *hold_hash(struct call *call, bool *ret_missing)
{
    const struct ns_key key = call_key(call, 1);
    struct l1_value value = {.copy = NULL};
    *ret_missing = key.at.bytes.size >= LIMIT_L1_KEY ||
                   l1_get(key.ns->l1, &key.at, call->now_ms, 0, &value) != OK;
    call_count_lookup(call, !*ret_missing);
    if (value.item != NULL && !value.is_hash) {
        reply_error(call->reply, text_wrong_type);
        item_release(value.item);
        return NULL;
    }
    return value.item;
}

/* --- HSCAN --------------------------------------------------------------------------------------------------------- */

struct visited {
    struct fields_pair *pairs; /* borrow from the item */
    size_t count;
    size_t capacity;
    struct slice pattern;
    bool all;
    bool broken; /* no memory */
};

static bool visited_room(struct visited *visited)
{
    if (visited->count < visited->capacity) {
        return true;
    }
    const size_t capacity = visited->capacity == 0 ? VISITED_MIN : 2 * visited->capacity;
    struct fields_pair *pairs = realloc(visited->pairs, capacity * sizeof *pairs);
    visited->broken = visited->broken || pairs == NULL;
    if (pairs == NULL) {
        return false;
    }
    visited->pairs = pairs;
    visited->capacity = capacity;
    return true;
}

static void on_visit(void *arg, const struct fields_pair *pair)
{
    struct visited *visited = arg;
    if (!visited->broken && (visited->all || glob_match(visited->pattern, pair->field, false)) &&
        visited_room(visited)) {
        visited->pairs[visited->count++] = *pair;
    }
}

/* false: an error is answered. */
static bool parse_options(struct call *call, int64_t *ret_count, struct visited *visited)
{
    for (uint32_t i = 3; i < call->argc; i += 2) {
        const bool valued = i + 1 < call->argc;
        if (valued && slice_is_nocase(call->argv[i], "COUNT")) {
            if (!call_integer(call, i + 1, ret_count)) {
                return false;
            }
            if (*ret_count < 1) {
                reply_syntax_error(call->reply);
                return false;
            }
        } else if (valued && slice_is_nocase(call->argv[i], "MATCH")) {
            visited->pattern = call->argv[i + 1];
            visited->all = slice_is(visited->pattern, "*");
        } else {
            reply_syntax_error(call->reply);
            return false;
        }
    }
    return true;
}

static void reply_visited(struct reply *reply, uint64_t cursor, const struct visited *visited)
{
    char digits[24];
    const int size = snprintf(digits, sizeof digits, "%" PRIu64, cursor);
    reply_array(reply, 2);
    reply_bulk(reply, (struct slice){.data = digits, .size = (size_t)size});
    reply_array(reply, 2 * visited->count);
    for (size_t i = 0; i < visited->count; i++) {
        reply_bulk(reply, visited->pairs[i].field);
        reply_bulk(reply, visited->pairs[i].value);
    }
}

void cmd_hscan(struct call *call)
{
    struct visited visited = {.all = true};
    uint64_t cursor = 0;
    int64_t count = HSCAN_COUNT;
    bool missing = false;
    if (!call_cursor(call, 2, &cursor)) {
        return;
    }
    struct item *item = hold_hash(call, &missing);
    if (missing) {
        reply_visited(call->reply, 0, &visited);
    }
    if (item == NULL) {
        return;
    }
    if (parse_options(call, &count, &visited)) {
        const struct ns_key key = call_key(call, 1);
        cursor = fields_scan(item_value(item), l1_secret(key.ns->l1), cursor, (size_t)count,
                             on_visit, &visited);
        if (visited.broken) {
            reply_out_of_memory(call->reply);
        } else {
            reply_visited(call->reply, cursor, &visited);
        }
        free(visited.pairs);
    }
    item_release(item);
}

/* --- HRANDFIELD ---------------------------------------------------------------------------------------------------- */

static struct fields_pair pick(struct call *call, struct slice fields)
{
    struct fields_pair pair = {0};
    while (!fields_pick(fields, rand_next(&call->worker->rand), &pair)) {
    }
    return pair;
}

static void reply_picked_head(struct reply *reply, uint64_t count, bool with_values)
{
    reply_array(reply, with_values && reply->proto == 2 ? 2 * count : count);
}

static void reply_picked(struct reply *reply, const struct fields_pair *pair, bool with_values)
{
    if (with_values && reply->proto > 2) {
        reply_array(reply, 2);
    }
    reply_bulk(reply, pair->field);
    if (with_values) {
        reply_bulk(reply, pair->value);
    }
}

/* Each as often as chance will have it. */
static void reply_any(struct call *call, struct slice fields, uint64_t count, bool with_values)
{
    if (count > LIMIT_ARGS) { /* Redis goes on until its memory ends */
        reply_error(call->reply, "ERR value is out of range");
        return;
    }
    reply_picked_head(call->reply, count, with_values);
    for (uint64_t i = 0; i < count; i++) {
        const struct fields_pair pair = pick(call, fields);
        reply_picked(call->reply, &pair, with_values);
    }
}

/* Each once at most, in their order: Knuth's selection sampling (TAOCP 2, 3.4.2, algorithm S). */
static void reply_distinct(struct call *call, struct slice fields, uint64_t count, bool with_values)
{
    uint64_t left = fields_count(fields);
    uint64_t wanted = count < left ? count : left;
    struct fields_pair pair;
    reply_picked_head(call->reply, wanted, with_values);
    for (size_t at = 0; wanted > 0 && fields_next(fields, &at, &pair); left--) {
        if (rand_below(&call->worker->rand, left) < wanted) {
            reply_picked(call->reply, &pair, with_values);
            wanted--;
        }
    }
}

/* The count, from -INT64_MAX on, and the word behind it; false: an error is answered. */
static bool parse_count(struct call *call, int64_t *ret_count, bool *ret_with_values)
{
    if (!call_integer(call, 2, ret_count)) {
        return false;
    }
    if (*ret_count == INT64_MIN) {
        reply_errorf(call->reply,
                     "ERR value is out of range, value must between %" PRId64 " and %" PRId64,
                     -INT64_MAX, INT64_MAX);
        return false;
    }
    *ret_with_values = call->argc == 4 && slice_is_nocase(call->argv[3], "WITHVALUES");
    if (call->argc > 4 || (call->argc == 4 && !*ret_with_values)) {
        reply_syntax_error(call->reply);
        return false;
    }
    if (*ret_with_values && (*ret_count < -INT64_MAX / 2 || *ret_count > INT64_MAX / 2)) {
        reply_error(call->reply, "ERR value is out of range");
        return false;
    }
    return true;
}

static void reply_count(struct call *call, struct slice fields, int64_t count, bool with_values)
{
    if (count >= 0) {
        reply_distinct(call, fields, (uint64_t)count, with_values);
    } else {
        reply_any(call, fields, (uint64_t)-count, with_values);
    }
}

void cmd_hrandfield(struct call *call)
{
    int64_t count = 0;
    bool with_values = false;
    bool missing = false;
    if (call->argc > 2 && !parse_count(call, &count, &with_values)) {
        return;
    }
    struct item *item = hold_hash(call, &missing);
    if (missing && call->argc > 2) {
        reply_array(call->reply, 0);
    } else if (missing) {
        reply_null(call->reply);
    }
    if (item == NULL) {
        return;
    }
    if (call->argc > 2) {
        reply_count(call, item_value(item), count, with_values);
    } else {
        const struct fields_pair pair = pick(call, item_value(item));
        reply_bulk(call->reply, pair.field);
    }
    item_release(item);
}
