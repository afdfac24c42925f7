/* SPDX-License-Identifier: BSD-3-Clause */
/* COMMAND GETKEYS and GETKEYSANDFLAGS: which arguments of a command line are keys. What we do not know, L2 may. */
#include "server/call.h"
#include "server/cmd_command.h"
#include "server/command_facts.h"
#include "server/commands.h"

#include <string.h>

/* The command line that was asked about: the arguments after COMMAND GETKEYS. */
struct line {
    const struct command *command;
    const struct slice *argv;
    uint32_t argc;
};

static bool read_line(const struct call *call, struct line *ret_line)
{
    *ret_line = (struct line){.argv = call->argv + 2, .argc = call->argc - 2};
    const struct command *command = command_find(ret_line->argv[0]);
    if (command != NULL && command->subcommands != NULL && ret_line->argc > 1) {
        command = command_find_sub(command, ret_line->argv[1]);
    }
    ret_line->command = command;
    return command != NULL;
}

/* EVAL script n key...; BLMPOP timeout n key...: all with movable keys count them in their second argument. */
enum {
    COUNT_ARG = 2
};

static bool has_keys(const struct command *command)
{
    return command->first_key > 0 || (command->flags & COMMAND_MOVABLE_KEYS) != 0;
}

/* A script may do without keys, so a count that does not fit gives it none, as in Redis. */
static bool counted_keys(const struct line *line, struct key_range *ret_range)
{
    int64_t count = 0;
    if (slice_to_i64(line->argv[COUNT_ARG], &count) != OK || count < 0 ||
        count >= line->argc - COUNT_ARG) {
        count = 0;
    }
    *ret_range =
        (struct key_range){.first = COUNT_ARG + 1, .last = COUNT_ARG + (uint32_t)count, .step = 1};
    return count > 0 || (line->command->flags & COMMAND_BLOCKING) == 0;
}

static bool line_keys(const struct line *line, struct key_range *ret_range)
{
    if ((line->command->flags & COMMAND_MOVABLE_KEYS) != 0 && line->argc > COUNT_ARG) {
        return counted_keys(line, ret_range);
    }
    return command_keys(line->command, line->argc, ret_range);
}

/* SET reads its key only with GET. */
static const char *flags_of_key(const struct line *line, const struct command_facts *facts,
                                bool is_first)
{
    if (line->command->run != cmd_set) {
        return is_first || facts->second_key_flags == NULL ? facts->key_flags
                                                           : facts->second_key_flags;
    }
    for (uint32_t i = 3; i < line->argc; i++) {
        if (slice_is_nocase(line->argv[i], "get")) {
            return "RW access update";
        }
    }
    return "OW update";
}

static void reply_keys(struct reply *reply, const struct line *line, const struct key_range *range,
                       bool with_flags)
{
    const struct command_facts facts = command_facts(line->command);
    const bool any = range->last >= range->first;
    reply_array(reply, any ? (range->last - range->first) / range->step + 1 : 0);
    for (uint32_t i = range->first; i <= range->last; i += range->step) {
        if (with_flags) {
            reply_array(reply, 2);
        }
        reply_bulk(reply, line->argv[i]);
        if (with_flags) {
            command_reply_key_flags(reply, flags_of_key(line, &facts, i == range->first));
        }
    }
}

static void answer(struct call *call, bool with_flags)
{
    struct line line;
    struct key_range range;
    if (!read_line(call, &line)) {
        if (!command_ask_l2(call)) {
            reply_error(call->reply, "ERR Invalid command specified");
        }
    } else if (!has_keys(line.command)) {
        reply_error(call->reply, "ERR The command has no key arguments");
    } else if (!command_arity_fits(line.command->arity, line.argc)) {
        reply_error(call->reply, "ERR Invalid number of arguments specified for command");
    } else if (!line_keys(&line, &range)) {
        reply_error(call->reply, "ERR Invalid arguments specified for command");
    } else {
        reply_keys(call->reply, &line, &range, with_flags);
    }
}

void cmd_command_getkeys(struct call *call)
{
    answer(call, false);
}

void cmd_command_getkeysandflags(struct call *call)
{
    answer(call, true);
}
