/* SPDX-License-Identifier: BSD-3-Clause */
/* KEYS and SCAN: the whole keyspace, at once or step by step. */
#include "server/cmd_common.h"
#include "server/commands.h"
#include "server/node.h"
#include "tiers/base/glob.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    SCAN_COUNT = 10,
    KEYS_STEP = 1024,
    FOUND_MIN = 64
};

/* What a walk came across. */
struct found {
    struct item **items; /* a reference each */
    size_t count;
    size_t capacity;
    size_t met; /* with another type than wanted, too */
    struct slice pattern;
    enum value_kind kind;
    bool no_kind; /* of a type that is not kept here: finds nothing */
    bool all;     /* no pattern */
    bool broken;  /* no memory */
};

static bool found_room(struct found *found)
{
    if (found->count < found->capacity) {
        return true;
    }
    const size_t capacity = found->capacity == 0 ? FOUND_MIN : 2 * found->capacity;
    struct item **items = realloc(found->items, capacity * sizeof(struct item *));
    if (items == NULL) {
        found->broken = true;
        return false;
    }
    found->items = items;
    found->capacity = capacity;
    return true;
}

static void on_visit(void *arg, struct item *item)
{
    struct found *found = arg;
    if (found->broken || !(found->all || glob_match(found->pattern, item_key(item), false))) {
        return;
    }
    found->met++;
    if (!found->no_kind && item_is_kind(item, found->kind) && found_room(found)) {
        found->items[found->count++] = item_ref(item);
    }
}

static void found_set_pattern(struct found *found, struct slice pattern)
{
    found->pattern = pattern;
    found->all = slice_is(pattern, "*"); /* which also fits the empty key */
}

static void found_done(struct found *found)
{
    for (size_t i = 0; i < found->count; i++) {
        item_release(found->items[i]);
    }
    free(found->items);
}

static void reply_found(struct call *call, const struct found *found)
{
    reply_array(call->reply, found->count);
    for (size_t i = 0; i < found->count; i++) {
        reply_bulk(call->reply, item_key(found->items[i]));
    }
}

/* A table that shrinks during the walk shows keys twice. SCAN may say so, KEYS may not. */
static void found_make_distinct(struct found *found, const struct namespaces *namespaces)
{
    size_t size = FOUND_MIN;
    while (size < 2 * found->count) {
        size *= 2;
    }
    struct item **slots = calloc(size, sizeof(struct item *));
    if (slots == NULL) {
        found->broken = true;
        return;
    }
    size_t kept = 0;
    for (size_t i = 0; i < found->count; i++) {
        struct item *item = found->items[i];
        const struct slice key = item_key(item);
        size_t at = (size_t)namespaces_hash(namespaces, key) & (size - 1);
        while (slots[at] != NULL && !slice_equal(item_key(slots[at]), key)) {
            at = (at + 1) & (size - 1);
        }
        if (slots[at] != NULL) {
            item_release(item);
        } else {
            slots[at] = item;
            found->items[kept++] = item;
        }
    }
    found->count = kept;
    free((void *)slots);
}

void cmd_keys(struct call *call)
{
    struct namespaces *namespaces = call->node->namespaces;
    struct found found = {0};
    found_set_pattern(&found, call->argv[1]);
    uint64_t cursor = 0;
    do {
        const uint64_t next = namespaces_scan(namespaces, call->db, cursor, KEYS_STEP, call->now_ms,
                                              on_visit, &found);
        found.broken =
            found.broken || (next == cursor && next != 0); /* a chain it had no memory for */
        cursor = next;
    } while (cursor != 0 && !found.broken);
    found_make_distinct(&found, namespaces);
    if (found.broken) {
        reply_out_of_memory(call->reply);
    } else {
        reply_found(call, &found);
    }
    found_done(&found);
}

struct scan {
    uint64_t cursor;
    int64_t count;
    bool typed;
};

static void set_type(struct found *found, struct slice type)
{
    const bool is_string = slice_is_nocase(type, "string");
    found->kind = is_string ? KIND_STRING : KIND_HASH;
    found->no_kind = !is_string && !slice_is_nocase(type, "hash");
}

/* false: an error is answered. */
static bool parse_scan(struct call *call, struct scan *scan, struct found *found)
{
    if (!call_cursor(call, 1, &scan->cursor)) {
        return false;
    }
    for (uint32_t i = 2; i < call->argc; i += 2) {
        const struct slice word = call->argv[i];
        const bool valued = i + 1 < call->argc;
        if (valued && slice_is_nocase(word, "COUNT")) {
            if (!call_integer(call, i + 1, &scan->count)) {
                return false;
            }
            if (scan->count < 1) {
                reply_syntax_error(call->reply);
                return false;
            }
        } else if (valued && slice_is_nocase(word, "MATCH")) {
            found_set_pattern(found, call->argv[i + 1]);
        } else if (valued && slice_is_nocase(word, "TYPE")) {
            scan->typed = true;
            set_type(found, call->argv[i + 1]);
        } else {
            reply_syntax_error(call->reply);
            return false;
        }
    }
    return true;
}

void cmd_scan(struct call *call)
{
    struct scan scan = {.count = SCAN_COUNT};
    struct found found = {.all = true};
    if (!parse_scan(call, &scan, &found)) {
        return;
    }
    scan.cursor = namespaces_scan(call->node->namespaces, call->db, scan.cursor, (size_t)scan.count,
                                  call->now_ms, on_visit, &found);
    if (scan.typed) { /* Redis looks each key up for its type */
        call_count_lookups(call, found.met, 0);
    }
    if (found.broken) {
        reply_out_of_memory(call->reply);
    } else {
        char digits[24];
        const int size = snprintf(digits, sizeof digits, "%" PRIu64, scan.cursor);
        reply_array(call->reply, 2);
        reply_bulk(call->reply, (struct slice){.data = digits, .size = (size_t)size});
        reply_found(call, &found);
    }
    found_done(&found);
}
