/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/cli/tree.h"

#include "client/cli/json.h"

#include <stdlib.h>
#include <string.h>

static bool is_aggregate(enum reply_type type)
{
    return type == REPLY_ARRAY || type == REPLY_MAP || type == REPLY_SET || type == REPLY_PUSH;
}

/* The next element that is no attribute. */
static enum status next_element(struct reply_cursor *cursor, struct reply_element *ret_element)
{
    enum status status;
    while ((status = reply_next(cursor, ret_element)) == OK &&
           ret_element->type == REPLY_ATTRIBUTE) {
        for (int64_t i = 0; i < ret_element->number; i++) {
            status = reply_skip(cursor);
            if (status != OK) {
                return status;
            }
        }
    }
    return status;
}

static enum status read_one(struct reply_cursor *cursor, struct tree *tree, unsigned depth);

/* An element has at least 3 bytes, so that what is announced is not more than what came. */
static enum status read_below(struct reply_cursor *cursor, struct tree *tree, unsigned depth)
{
    const size_t count = (size_t)tree->element.number;
    if (depth == TREE_DEPTH_MAX || count > cursor->rest.size / 3) {
        return MALFORMED;
    }
    if (count == 0) {
        return OK;
    }
    tree->below = calloc(count, sizeof *tree->below);
    if (tree->below == NULL) {
        return NO_MEMORY;
    }
    enum status status = OK;
    for (; tree->count < count && status == OK; tree->count++) {
        status = read_one(cursor, &tree->below[tree->count], depth + 1);
    }
    return status;
}

static enum status read_one(struct reply_cursor *cursor, struct tree *tree, unsigned depth)
{
    const enum status status = next_element(cursor, &tree->element);
    if (status != OK) {
        return MALFORMED;
    }
    return is_aggregate(tree->element.type) ? read_below(cursor, tree, depth) : OK;
}

enum status tree_read(struct slice reply, struct tree *ret_tree)
{
    struct reply_cursor cursor = {reply};
    *ret_tree = (struct tree){0};
    enum status status = read_one(&cursor, ret_tree, 0);
    if (status == OK && cursor.rest.size > 0) {
        status = MALFORMED;
    }
    if (status != OK) {
        tree_done(ret_tree);
    }
    return status;
}

void tree_done(struct tree *tree)
{
    for (size_t i = 0; i < tree->count; i++) {
        tree_done(&tree->below[i]);
    }
    free(tree->below);
    *tree = (struct tree){0};
}

/* --- looking things up --------------------------------------------------------------------------------------------- */

const struct tree *tree_at(const struct tree *tree, size_t i)
{
    return tree != NULL && i < tree->count ? &tree->below[i] : NULL;
}

const struct tree *tree_find(const struct tree *map, const char *name)
{
    for (size_t i = 0; map != NULL && i + 1 < map->count; i += 2) {
        if (slice_is(tree_text(&map->below[i]), name)) {
            return &map->below[i + 1];
        }
    }
    return NULL;
}

struct slice tree_text(const struct tree *tree)
{
    return tree == NULL || tree->element.text.data == NULL ? (struct slice){"", 0}
                                                           : tree->element.text;
}

int64_t tree_number(const struct tree *tree, int64_t preset)
{
    if (tree == NULL || tree->element.type == REPLY_NULL) {
        return preset;
    }
    if (tree->element.type == REPLY_INTEGER || tree->element.type == REPLY_BOOLEAN) {
        return tree->element.number;
    }
    int64_t number = preset;
    return slice_to_i64(tree_text(tree), &number) == OK ? number : preset;
}

double tree_real(const struct tree *tree, double preset)
{
    char text[64];
    const struct slice given = tree_text(tree);
    if (tree != NULL && tree->element.type == REPLY_INTEGER) {
        return (double)tree->element.number;
    }
    if (given.size == 0 || given.size >= sizeof text) {
        return preset;
    }
    memcpy(text, given.data, given.size);
    text[given.size] = '\0';
    char *end = NULL;
    const double real = strtod(text, &end);
    return *end == '\0' ? real : preset;
}

bool tree_is_error(const struct tree *tree)
{
    return tree != NULL &&
           (tree->element.type == REPLY_ERROR || tree->element.type == REPLY_BULK_ERROR);
}

/* --- JSON ---------------------------------------------------------------------------------------------------------- */

static json_t *map_json(const struct tree *tree)
{
    json_t *object = json_object();
    for (size_t i = 0; object != NULL && i + 1 < tree->count; i += 2) {
        char name[256];
        const struct tree *key = &tree->below[i];
        const struct slice text = tree_text(key);
        if (key->element.type == REPLY_INTEGER) {
            (void)snprintf(name, sizeof name, "%lld", (long long)key->element.number);
        } else {
            json_name(text, name, sizeof name);
        }
        if (json_object_set_new(object, name, tree_json(&tree->below[i + 1])) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static json_t *list_json(const struct tree *tree)
{
    json_t *list = json_array();
    for (size_t i = 0; list != NULL && i < tree->count; i++) {
        if (json_array_append_new(list, tree_json(&tree->below[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

json_t *tree_json(const struct tree *tree)
{
    switch (tree->element.type) {
    case REPLY_MAP: return map_json(tree);
    case REPLY_ARRAY:
    case REPLY_SET:
    case REPLY_PUSH: return list_json(tree);
    case REPLY_INTEGER: return json_integer(tree->element.number);
    case REPLY_BOOLEAN: return json_boolean(tree->element.number != 0);
    case REPLY_DOUBLE: return json_real(tree_real(tree, 0));
    case REPLY_STATUS:
    case REPLY_ERROR:
    case REPLY_BULK:
    case REPLY_BIG_NUMBER:
    case REPLY_BULK_ERROR:
    case REPLY_VERBATIM: return json_bytes(tree_text(tree));
    case REPLY_NULL:
    case REPLY_ATTRIBUTE: return json_null();
    }
    return json_null();
}
