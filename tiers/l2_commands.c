/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/l2_commands.h"

#include "protocol/resp_read.h"

#include <stdlib.h>
#include <string.h>

struct l2_commands {
    size_t count;
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

/* One entry: [name, arity, flags, first, last, step, ...]. AGAIN: an entry that cannot be kept. */
static enum status read_command(struct reply_cursor *cursor, struct l2_command *ret_command)
{
    struct reply_element entry;
    struct reply_element name;
    if (reply_next(cursor, &entry) != OK || entry.type != REPLY_ARRAY || entry.number < 6 ||
        reply_next(cursor, &name) != OK || (name.type != REPLY_BULK && name.type != REPLY_STATUS)) {
        return MALFORMED;
    }
    *ret_command = (struct l2_command){.name = ""};
    bool kept = lower_name(ret_command->name, name.text);
    if (read_integer(cursor, &ret_command->arity) != OK || read_flags(cursor, ret_command) != OK ||
        read_integer(cursor, &ret_command->first_key) != OK ||
        read_integer(cursor, &ret_command->last_key) != OK ||
        read_integer(cursor, &ret_command->key_step) != OK) {
        return MALFORMED;
    }
    for (int64_t i = 6; i < entry.number; i++) {
        if (reply_skip(cursor) != OK) {
            return MALFORMED;
        }
    }
    return kept ? OK : AGAIN;
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
    size_t capacity = 0;
    enum status status = OK;
    for (int64_t i = 0; i < table.number; i++) {
        if (commands->count ==
            capacity) { /* grows with what was read, not with what was announced */
            capacity = capacity == 0 ? 256 : capacity * 2;
            struct l2_command *grown = realloc(commands->sorted, capacity * sizeof(*grown));
            if (grown == NULL) {
                status = NO_MEMORY;
                break;
            }
            commands->sorted = grown;
        }
        status = read_command(&cursor, &commands->sorted[commands->count]);
        if (status == MALFORMED) {
            break;
        }
        commands->count += status == OK;
        status = OK;
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
            x->blocking != y->blocking || x->pubsub != y->pubsub || x->module != y->module) {
            return false;
        }
    }
    return true;
}
