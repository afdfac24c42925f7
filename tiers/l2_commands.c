/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/l2_commands.h"

#include "protocol/resp_read.h"

#include <stdlib.h>
#include <string.h>

struct l2_commands {
    size_t count;
    size_t capacity;
    struct l2_command *sorted; /* by name */
};

static int command_order(const void *a, const void *b)
{
    return strcmp(((const struct l2_command *)a)->name, ((const struct l2_command *)b)->name);
}

static bool lower_name(char dst[L2_COMMAND_NAME_MAX], struct slice name)
{
    if (name.size == 0 || name.size >= L2_COMMAND_NAME_MAX) {
        return false;
    }
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        dst[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    dst[name.size] = '\0';
    return true;
}

static enum status read_flags(struct reply_cursor *cursor, struct l2_command *command)
{
    struct reply_element flags;
    enum status status = reply_next(cursor, &flags);
    if (status != OK || (flags.type != REPLY_ARRAY && flags.type != REPLY_SET)) {
        return MALFORMED;
    }
    for (int64_t i = 0; i < flags.number; i++) {
        struct reply_element flag;
        if (reply_next(cursor, &flag) != OK) {
            return MALFORMED;
        }
        command->readonly = command->readonly || slice_is(flag.text, "readonly");
        command->movable_keys = command->movable_keys || slice_is(flag.text, "movablekeys");
        command->blocking = command->blocking || slice_is(flag.text, "blocking");
        command->pubsub = command->pubsub || slice_is(flag.text, "pubsub");
        command->module = command->module || slice_is(flag.text, "module");
        command->noscript = command->noscript || slice_is(flag.text, "noscript");
    }
    return OK;
}

static enum status read_integer(struct reply_cursor *cursor, int *ret_number)
{
    struct reply_element element;
    if (reply_next(cursor, &element) != OK || element.type != REPLY_INTEGER ||
        element.number < -1000000 || element.number > 1000000) {
        return MALFORMED;
    }
    *ret_number = (int)element.number;
    return OK;
}

/* "@read" and the like. Whatever else stands there says nothing. */
static uint32_t read_categories(struct reply_cursor cursor)
{
    struct reply_element set;
    uint32_t categories = 0;
    if (reply_next(&cursor, &set) != OK || (set.type != REPLY_ARRAY && set.type != REPLY_SET)) {
        return 0;
    }
    for (int64_t i = 0; i < set.number; i++) {
        struct reply_element name;
        if (reply_next(&cursor, &name) != OK ||
            (name.type != REPLY_STATUS && name.type != REPLY_BULK)) {
            return 0;
        }
        if (name.text.size > 0 && name.text.data[0] == '@') {
            categories |= category_find((struct slice){name.text.data + 1, name.text.size - 1});
        }
    }
    return categories;
}

/* A place for one more; grows with what was read, not with what was announced. */
static struct l2_command *next_place(struct l2_commands *commands)
{
    if (commands->count == commands->capacity) {
        const size_t capacity = commands->capacity == 0 ? 256 : commands->capacity * 2;
        struct l2_command *grown = realloc(commands->sorted, capacity * sizeof(*grown));
        if (grown == NULL) {
            return NULL;
        }
        commands->sorted = grown;
        commands->capacity = capacity;
    }
    return &commands->sorted[commands->count];
}

/* One entry: [name, arity, flags, first, last, step, categories, tips, key specs, subcommands]. The last is a list of entries,
 * which have none themselves. */
static enum status read_command(struct reply_cursor *cursor, struct l2_commands *commands,
                                bool is_subcommand)
{
    enum {
        AT_CATEGORIES = 6,
        AT_SUBCOMMANDS = 9
    };
    struct reply_element entry;
    struct reply_element name;
    if (reply_next(cursor, &entry) != OK || entry.type != REPLY_ARRAY || entry.number < 6 ||
        reply_next(cursor, &name) != OK || (name.type != REPLY_BULK && name.type != REPLY_STATUS)) {
        return MALFORMED;
    }
    struct l2_command command = {.name = ""};
    const bool kept = lower_name(command.name, name.text);
    if (read_integer(cursor, &command.arity) != OK || read_flags(cursor, &command) != OK ||
        read_integer(cursor, &command.first_key) != OK ||
        read_integer(cursor, &command.last_key) != OK ||
        read_integer(cursor, &command.key_step) != OK) {
        return MALFORMED;
    }
    for (int64_t i = 6; i < entry.number; i++) {
        struct reply_element list;
        if (i == AT_CATEGORIES) {
            command.categories = read_categories(*cursor);
        }
        if (i != AT_SUBCOMMANDS || is_subcommand) {
            if (reply_skip(cursor) != OK) {
                return MALFORMED;
            }
            continue;
        }
        if (reply_next(cursor, &list) != OK ||
            (list.type != REPLY_ARRAY && list.type != REPLY_SET)) {
            return MALFORMED;
        }
        command.has_subcommands = list.number > 0;
        for (int64_t j = 0; j < list.number; j++) {
            const enum status status = read_command(cursor, commands, true);
            if (status != OK) {
                return status;
            }
        }
    }
    if (!kept) {
        return OK;
    }
    struct l2_command *place = next_place(commands);
    if (place == NULL) {
        return NO_MEMORY;
    }
    *place = command;
    commands->count++;
    return OK;
}

enum status l2_commands_read(struct slice reply, struct l2_commands **ret_commands)
{
    struct reply_cursor cursor = {reply};
    struct reply_element table;
    if (reply_next(&cursor, &table) != OK || table.type != REPLY_ARRAY || table.number < 0) {
        return MALFORMED;
    }
    struct l2_commands *commands = calloc(1, sizeof(*commands));
    if (commands == NULL) {
        return NO_MEMORY;
    }
    enum status status = OK;
    for (int64_t i = 0; i < table.number && status == OK; i++) {
        status = read_command(&cursor, commands, false);
    }
    if (status != OK) {
        l2_commands_free(commands);
        return status;
    }
    if (commands->count > 0) {
        qsort(commands->sorted, commands->count, sizeof(*commands->sorted), command_order);
    }
    *ret_commands = commands;
    return OK;
}

void l2_commands_free(struct l2_commands *commands)
{
    if (commands != NULL) {
        free(commands->sorted);
        free(commands);
    }
}

const struct l2_command *l2_commands_find(const struct l2_commands *commands, struct slice name)
{
    struct l2_command wanted;
    if (commands->count == 0 || !lower_name(wanted.name, name)) {
        return NULL;
    }
    return bsearch(&wanted, commands->sorted, commands->count, sizeof(wanted), command_order);
}

const struct l2_command *l2_commands_find_sub(const struct l2_commands *commands,
                                              const struct l2_command *container, struct slice name)
{
    char full_name[2 * L2_COMMAND_NAME_MAX];
    const size_t size = strlen(container->name);
    if (size + 1 + name.size >= L2_COMMAND_NAME_MAX || memchr(name.data, '|', name.size) != NULL) {
        return NULL;
    }
    memcpy(full_name, container->name, size);
    full_name[size] = '|';
    memcpy(full_name + size + 1, name.data, name.size);
    return l2_commands_find(commands, (struct slice){full_name, size + 1 + name.size});
}

size_t l2_commands_count(const struct l2_commands *commands)
{
    return commands->count;
}

bool l2_commands_equal(const struct l2_commands *a, const struct l2_commands *b)
{
    if (a->count != b->count) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        const struct l2_command *x = &a->sorted[i];
        const struct l2_command *y = &b->sorted[i];
        if (strcmp(x->name, y->name) != 0 || x->arity != y->arity || x->first_key != y->first_key ||
            x->last_key != y->last_key || x->key_step != y->key_step ||
            x->readonly != y->readonly || x->movable_keys != y->movable_keys ||
            x->blocking != y->blocking || x->pubsub != y->pubsub || x->noscript != y->noscript ||
            x->module != y->module || x->has_subcommands != y->has_subcommands ||
            x->categories != y->categories) {
            return false;
        }
    }
    return true;
}
