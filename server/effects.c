/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/effects.h"

#include "server/blocking.h"
#include "server/commands.h"

#include <string.h>

/* How the link goes on; put back behind the block that it stands in. */
static bool says_how(const struct command *command)
{
    return command->run == cmd_select || command->run == cmd_hello;
}

/* Of Pub/Sub, only a message that was sent cannot be sent again without harm. */
bool effects_write(const struct command *command)
{
    if ((command->flags & COMMAND_PUBSUB) != 0) {
        return command->run == cmd_publish || command->run == cmd_spublish;
    }
    return (command->flags & COMMAND_READONLY) == 0 && !blocking_is_wait(command) &&
           command->run != cmd_watch && !says_how(command);
}

/* EVAL script n key ... and its kin, which L2's table says have movable keys. */
bool effects_is_script(const struct command *command)
{
    static const char *const names[] = {"eval",       "evalsha", "eval_ro",
                                        "evalsha_ro", "fcall",   "fcall_ro"};
    const bool may_be = (command->flags & COMMAND_MOVABLE_KEYS) != 0;
    for (size_t i = 0; may_be && i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(command->name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static struct key_range script_key_range(const struct call *call)
{
    int64_t count = 0;
    struct key_range range = {.first = 3, .last = 2, .step = 1};
    if (call->argc > 3 && slice_to_i64(call->argv[2], &count) == OK && count > 0 &&
        count <= (int64_t)call->argc - 3) {
        range.last += (uint32_t)count;
    }
    return range;
}

/* SORT and SORT_RO with BY or GET show values of keys that only their patterns name. */
static bool sorts_by_others(const struct call *call)
{
    if (strcmp(call->command->name, "sort") != 0 && strcmp(call->command->name, "sort_ro") != 0) {
        return false;
    }
    for (uint32_t i = 2; i < call->argc; i++) {
        if (slice_is_nocase(call->argv[i], "by") || slice_is_nocase(call->argv[i], "get")) {
            return true;
        }
    }
    return false;
}

/* Which arguments end in L1: those of a read too, since it may have shown its client something newer than L1 holds, and
 * a session must not go back (COHERENCE T3: any landing for a key). */
struct key_range effects_key_range(const struct call *call)
{
    const struct key_range none = {.first = 1, .last = 0, .step = 1};
    struct key_range range;
    if (effects_is_script(call->command)) {
        return script_key_range(call);
    }
    if ((call->command->flags & COMMAND_PUBSUB) != 0) {
        return none; /* a shard channel stands where keys do, and is none */
    }
    if (call->command->run == cmd_watch) {
        return none; /* it shows nothing */
    }
    return call_key_range(call, &range) ? range : none;
}

uint16_t effects_db_bit(int64_t db)
{
    return (uint16_t)(db >= 0 && db < (int64_t)LIMIT_DATABASES ? 1u << db : 0);
}

/* The databases that SWAPDB exchanges; 0: Redis will refuse it, or it is of none that a client can reach. */
uint16_t effects_swapped_dbs(const struct call *call)
{
    int64_t a = -1;
    int64_t b = -1;
    if (call->argc != 3 || slice_to_i64(call->argv[1], &a) != OK ||
        slice_to_i64(call->argv[2], &b) != OK) {
        return 0;
    }
    return (uint16_t)(effects_db_bit(a) | effects_db_bit(b));
}

/* The databases that end whole; it runs in one of `dbs`. */
uint16_t effects_ended_dbs(const struct call *call, uint16_t dbs)
{
    if (call->command->run == cmd_flushdb) {
        return dbs;
    }
    if (call->command->run == cmd_swapdb) {
        return effects_swapped_dbs(call);
    }
    return call->command->run == cmd_flushall ? DATABASES_ALL : 0;
}

/* It may have written, or shown, keys that are not among its arguments. */
bool effects_owe(const struct call *call)
{
    const struct command *command = call->command;
    if (effects_ended_dbs(call, 1) != 0 || blocking_is_wait(command) || says_how(command) ||
        (command->flags & COMMAND_PUBSUB) != 0) {
        return false;
    }
    if ((command->flags & COMMAND_MODULE) != 0) {
        return true; /* it does what it likes, as a script does */
    }
    if ((command->flags & COMMAND_MOVABLE_KEYS) == 0) {
        return command->first_key == 0;
    }
    return effects_is_script(command) || sorts_by_others(call);
}

/* COPY ... DB n and MOVE key n write into another database: the key ends there too. As a bit; 0: no other. */
uint16_t effects_other_db(const struct call *call)
{
    int64_t db = -1;
    if (call->command->run == cmd_move && call->argc == 3 &&
        slice_to_i64(call->argv[2], &db) != OK) {
        return 0;
    }
    for (uint32_t i = 3; call->command->run == cmd_copy && i + 1 < call->argc; i++) {
        if (slice_is_nocase(call->argv[i], "db") && slice_to_i64(call->argv[i + 1], &db) != OK) {
            return 0;
        }
    }
    return effects_db_bit(db);
}

/* It may change keys that are not among its arguments as the table names them. */
bool effects_stray(const struct command *command)
{
    return effects_write(command) &&
           ((command->flags & COMMAND_MOVABLE_KEYS) != 0 ||
            (command->first_key == 0 && (command->flags & COMMAND_WRITE) != 0));
}

/* Where a call may run after those in front of it: SELECT may fail, if L2 has fewer databases, so that what was possible
 * before it is possible still. That ends some keys for nothing. */
uint16_t effects_dbs_after(const struct call *call, uint16_t dbs)
{
    int64_t db = -1;
    if (call->command->run == cmd_select && slice_to_i64(call->argv[1], &db) == OK) {
        dbs |= effects_db_bit(db);
    }
    return dbs;
}
