/* SPDX-License-Identifier: BSD-3-Clause */
/* COMMAND, and its subcommands that describe. GETKEYS: cmd_command_keys.c.
 *
 * While L2 is up it is asked whenever the answer is not all ours: what works through this node is what L2 knows.
 * Otherwise the node lists what it serves by itself. */
#include "server/cmd_command.h"

#include "server/call.h"
#include "server/command_facts.h"
#include "server/commands.h"
#include "server/node.h"
#include "server/relay.h"
#include "tiers/base/category.h"
#include "tiers/base/glob.h"
#include "tiers/tiers.h"

#include <stdio.h>
#include <string.h>

bool command_ask_l2(struct call *call)
{
    if (call->node->tiers == NULL) {
        return false;
    }
    struct tiers_description description;
    tiers_describe(call->node->tiers, &description);
    if (strcmp(description.l2_state, "up") != 0) {
        return false;
    }
    relay_call(call);
    return true;
}

static bool all_are_ours(const struct call *call)
{
    for (uint32_t i = 2; i < call->argc; i++) {
        const struct command *command = command_find_full(call->argv[i]);
        if (command == NULL || !command_is_listed(command)) {
            return false;
        }
    }
    return call->argc > 2;
}

static const struct command *find_listed(struct slice full_name)
{
    const struct command *command = command_find_full(full_name);
    return command != NULL && command_is_listed(command) ? command : NULL;
}

static size_t count_listed(void)
{
    size_t count = 0;
    const struct command *command;
    for (unsigned i = 0; (command = command_at(i)) != NULL; i++) {
        count += command_is_listed(command);
    }
    return count;
}

/* --- words ---------------------------------------------------------------------------------------- */

static size_t count_words(const char *words)
{
    struct slice rest = slice_of(words);
    size_t count = 0;
    while (slice_next_word(&rest, " ").size > 0) {
        count++;
    }
    return count;
}

static void reply_status_slice(struct reply *reply, struct slice text)
{
    char copy[64];
    const size_t size = text.size < sizeof(copy) - 1 ? text.size : sizeof(copy) - 1;
    memcpy(copy, text.data, size);
    copy[size] = '\0';
    reply_status(reply, copy);
}

void command_reply_key_flags(struct reply *reply, const char *words)
{
    struct slice rest = slice_of(words);
    reply_set(reply, count_words(words));
    for (struct slice word; (word = slice_next_word(&rest, " ")).size > 0;) {
        reply_status_slice(reply, word);
    }
}

static void reply_tips(struct reply *reply, const char *words)
{
    struct slice rest = slice_of(words);
    reply_set(reply, count_words(words));
    for (struct slice word; (word = slice_next_word(&rest, " ")).size > 0;) {
        reply_bulk(reply, word);
    }
}

static void reply_flags(struct reply *reply, uint32_t flags)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } names[] = {
        {COMMAND_WRITE, "write"},
        {COMMAND_READONLY, "readonly"},
        {COMMAND_DENYOOM, "denyoom"},
        {COMMAND_ADMIN, "admin"},
        {COMMAND_PUBSUB, "pubsub"},
        {COMMAND_NOSCRIPT, "noscript"},
        {COMMAND_BLOCKING, "blocking"},
        {COMMAND_LOADING, "loading"},
        {COMMAND_STALE, "stale"},
        {COMMAND_SKIP_MONITOR, "skip_monitor"},
        {COMMAND_SKIP_SLOWLOG, "skip_slowlog"},
        {COMMAND_FAST, "fast"},
        {COMMAND_NO_AUTH, "no_auth"},
        {COMMAND_MAY_REPLICATE, "may_replicate"},
        {COMMAND_NO_ASYNC_LOADING, "no_async_loading"},
        {COMMAND_NO_MULTI, "no_multi"},
        {COMMAND_ALLOW_BUSY, "allow_busy"},
        {COMMAND_NO_MANDATORY_KEYS, "no_mandatory_keys"},
        {COMMAND_MOVABLE_KEYS, "movablekeys"},
    };
    uint32_t shown = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        shown |= names[i].bit;
    }
    reply_set(reply, (size_t)__builtin_popcount(flags & shown));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if ((flags & names[i].bit) != 0) {
            reply_status(reply, names[i].name);
        }
    }
}

static void reply_categories(struct reply *reply, const struct command *command)
{
    const uint32_t categories = command_categories(command);
    char name[32] = "@";
    reply_set(reply, (size_t)__builtin_popcount(categories));
    for (unsigned i = 0; i < CATEGORY_COUNT; i++) {
        if ((categories >> i & 1) != 0) {
            (void)snprintf(name + 1, sizeof(name) - 1, "%s", category_name(i));
            reply_status(reply, name);
        }
    }
}

/* --- COMMAND and COMMAND INFO --------------------------------------------------------------------- */

/* Where the keys, or their number, are searched for; how they are found is to follow. */
static void reply_key_spec(struct reply *reply, const char *flags, const char *note, int index)
{
    reply_map(reply, note != NULL ? 4 : 3);
    if (note != NULL) {
        reply_pair_text(reply, "notes", note);
    }
    reply_bulk_text(reply, "flags");
    command_reply_key_flags(reply, flags);
    reply_bulk_text(reply, "begin_search");
    reply_map(reply, 2);
    reply_pair_text(reply, "type", "index");
    reply_bulk_text(reply, "spec");
    reply_map(reply, 1);
    reply_pair_integer(reply, "index", index);
    reply_bulk_text(reply, "find_keys");
    reply_map(reply, 2);
}

/* Keys from the index on, up to `last` counted from it, or from the end if negative. */
static void reply_find_range(struct reply *reply, int last, int step)
{
    reply_pair_text(reply, "type", "range");
    reply_bulk_text(reply, "spec");
    reply_map(reply, 3);
    reply_pair_integer(reply, "lastkey", last);
    reply_pair_integer(reply, "keystep", step);
    reply_pair_integer(reply, "limit", 0);
}

/* Their number stands at the index. */
static void reply_find_counted(struct reply *reply)
{
    reply_pair_text(reply, "type", "keynum");
    reply_bulk_text(reply, "spec");
    reply_map(reply, 3);
    reply_pair_integer(reply, "keynumidx", 0);
    reply_pair_integer(reply, "firstkey", 1);
    reply_pair_integer(reply, "keystep", 1);
}

static void reply_key_specs(struct reply *reply, const struct command *command,
                            const struct command_facts *facts)
{
    const bool is_counted = (command->flags & COMMAND_MOVABLE_KEYS) != 0;
    if (command->first_key == 0) {
        reply_set(reply, is_counted ? 1 : 0);
        if (is_counted) {
            reply_key_spec(reply, facts->key_flags, facts->key_note, 2);
            reply_find_counted(reply);
        }
        return;
    }
    if (facts->second_key_flags != NULL) {
        reply_set(reply, 2);
        reply_key_spec(reply, facts->key_flags, facts->key_note, command->first_key);
        reply_find_range(reply, 0, 1);
        reply_key_spec(reply, facts->second_key_flags, NULL, command->last_key);
        reply_find_range(reply, 0, 1);
        return;
    }
    const int last =
        command->last_key < 0 ? command->last_key : command->last_key - command->first_key;
    reply_set(reply, 1);
    reply_key_spec(reply, facts->key_flags, facts->key_note, command->first_key);
    reply_find_range(reply, last, command->key_step);
}

/* The ten fields, without the subcommands' content. */
static void reply_info_head(struct reply *reply, const struct command *command)
{
    const struct command_facts facts = command_facts(command);
    reply_array(reply, 10);
    reply_bulk_text(reply, command->full_name);
    reply_integer(reply, command->arity);
    reply_flags(reply, command->flags);
    reply_integer(reply, command->first_key);
    reply_integer(reply, command->last_key);
    reply_integer(reply, command->key_step);
    reply_categories(reply, command);
    reply_tips(reply, facts.tips);
    reply_key_specs(reply, command, &facts);
}

static void reply_info(struct reply *reply, const struct command *command)
{
    if (command == NULL) {
        reply_null(reply);
        return;
    }
    reply_info_head(reply, command);
    if (command->subcommand_count == 0) {
        reply_set(reply, 0);
        return;
    }
    reply_array(reply, command->subcommand_count);
    for (unsigned i = 0; i < command->subcommand_count; i++) {
        reply_info_head(reply, &command->subcommands[i]);
        reply_set(reply, 0);
    }
}

void cmd_command(struct call *call)
{
    if (command_ask_l2(call)) {
        return;
    }
    reply_array(call->reply, count_listed());
    const struct command *command;
    for (unsigned i = 0; (command = command_at(i)) != NULL; i++) {
        if (command_is_listed(command)) {
            reply_info(call->reply, command);
        }
    }
}

void cmd_command_info(struct call *call)
{
    if (call->argc == 2) {
        cmd_command(call);
        return;
    }
    if (!all_are_ours(call) && command_ask_l2(call)) {
        return;
    }
    reply_array(call->reply, call->argc - 2);
    for (uint32_t i = 2; i < call->argc; i++) {
        reply_info(call->reply, find_listed(call->argv[i]));
    }
}

void cmd_command_count(struct call *call)
{
    if (!command_ask_l2(call)) {
        reply_integer(call->reply, (int64_t)count_listed());
    }
}

/* --- COMMAND DOCS --------------------------------------------------------------------------------- */

static void reply_docs_head(struct reply *reply, const struct command *command)
{
    reply_bulk_text(reply, command->full_name);
    reply_map(reply, 3u + (command->complexity[0] != '\0') + (command->subcommand_count > 0));
    reply_pair_text(reply, "summary", command->summary);
    reply_pair_text(reply, "since", command->since);
    reply_pair_text(reply, "group", command->group);
    if (command->complexity[0] != '\0') {
        reply_pair_text(reply, "complexity", command->complexity);
    }
}

static void reply_docs(struct reply *reply, const struct command *command)
{
    reply_docs_head(reply, command);
    if (command->subcommand_count == 0) {
        return;
    }
    reply_bulk_text(reply, "subcommands");
    reply_map(reply, command->subcommand_count);
    for (unsigned i = 0; i < command->subcommand_count; i++) {
        reply_docs_head(reply, &command->subcommands[i]);
    }
}

static void reply_all_docs(struct reply *reply)
{
    reply_map(reply, count_listed());
    const struct command *command;
    for (unsigned i = 0; (command = command_at(i)) != NULL; i++) {
        if (command_is_listed(command)) {
            reply_docs(reply, command);
        }
    }
}

void cmd_command_docs(struct call *call)
{
    if (!all_are_ours(call) && command_ask_l2(call)) {
        return;
    }
    if (call->argc == 2) {
        reply_all_docs(call->reply);
        return;
    }
    size_t found = 0;
    for (uint32_t i = 2; i < call->argc; i++) {
        found += find_listed(call->argv[i]) != NULL;
    }
    reply_map(call->reply, found);
    for (uint32_t i = 2; i < call->argc; i++) {
        const struct command *command = find_listed(call->argv[i]);
        if (command != NULL) {
            reply_docs(call->reply, command);
        }
    }
}

/* --- COMMAND LIST --------------------------------------------------------------------------------- */

enum filter_kind {
    FILTER_NONE,
    FILTER_MODULE,
    FILTER_CATEGORY,
    FILTER_PATTERN
};

struct filter {
    enum filter_kind kind;
    struct slice argument;
};

static bool filter_takes(const struct filter *filter, const struct command *command)
{
    switch (filter->kind) {
    case FILTER_NONE: return true;
    case FILTER_MODULE: return false; /* there are none */
    case FILTER_PATTERN: return glob_match(filter->argument, slice_of(command->full_name), true);
    case FILTER_CATEGORY:
        return (command_categories(command) & category_find(filter->argument)) != 0;
    }
    return false;
}

/* With `reply` NULL it only counts. */
static size_t list_filtered(const struct filter *filter, struct reply *reply)
{
    size_t count = 0;
    const struct command *command;
    for (unsigned i = 0; (command = command_at(i)) != NULL; i++) {
        if (!command_is_listed(command)) {
            continue;
        }
        for (unsigned j = 0; j <= command->subcommand_count; j++) {
            const struct command *one = j == 0 ? command : &command->subcommands[j - 1];
            if (!filter_takes(filter, one)) {
                continue;
            }
            count++;
            if (reply != NULL) {
                reply_bulk_text(reply, one->full_name);
            }
        }
    }
    return count;
}

static bool read_filter(const struct call *call, struct filter *ret_filter)
{
    *ret_filter = (struct filter){.kind = FILTER_NONE};
    if (call->argc == 2) {
        return true;
    }
    if (call->argc != 5 || !slice_is_nocase(call->argv[2], "filterby")) {
        return false;
    }
    ret_filter->argument = call->argv[4];
    if (slice_is_nocase(call->argv[3], "module")) {
        ret_filter->kind = FILTER_MODULE;
    } else if (slice_is_nocase(call->argv[3], "aclcat")) {
        ret_filter->kind = FILTER_CATEGORY;
    } else if (slice_is_nocase(call->argv[3], "pattern")) {
        ret_filter->kind = FILTER_PATTERN;
    }
    return ret_filter->kind != FILTER_NONE;
}

void cmd_command_list(struct call *call)
{
    struct filter filter;
    if (!read_filter(call, &filter)) {
        reply_syntax_error(call->reply);
        return;
    }
    if (command_ask_l2(call)) {
        return;
    }
    reply_array(call->reply, list_filtered(&filter, NULL));
    (void)list_filtered(&filter, call->reply);
}

void cmd_command_help(struct call *call)
{
    static const char *const lines[] = {
        "(no subcommand)",
        "    Return details about all Redis commands.",
        "COUNT",
        "    Return the total number of commands in this Redis server.",
        "LIST",
        "    Return a list of all commands in this Redis server.",
        "INFO [<command-name> ...]",
        "    Return details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "DOCS [<command-name> ...]",
        "    Return documentation details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "GETKEYS <full-command>",
        "    Return the keys from a full Redis command.",
        "GETKEYSANDFLAGS <full-command>",
        "    Return the keys and the access flags from a full Redis command.",
    };
    reply_help(call->reply, "COMMAND", lines, sizeof(lines) / sizeof(lines[0]));
}
