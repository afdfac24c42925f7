/* SPDX-License-Identifier: BSD-3-Clause */
/* l2_commands.h -- what L2 can do: its COMMAND table, learned at connect and when its modules change.
 *
 * New commands and modules of Redis work through a node that never heard of them, because the table says which
 * arguments are keys and whether something is written.
 *
 * Owns:    its entries. Immutable once made; any thread may read. */
#ifndef TERRACE_TIERS_L2_COMMANDS_H
#define TERRACE_TIERS_L2_COMMANDS_H

#include "protocol/bytes.h"
#include "tiers/base/category.h"

enum {
    L2_COMMAND_NAME_MAX = 40
};

struct l2_command {
    char name[L2_COMMAND_NAME_MAX]; /* lower case; of a subcommand "xgroup|create" */
    int arity;
    int first_key;
    int last_key;
    int key_step;
    bool readonly;
    bool movable_keys;
    bool blocking;
    bool pubsub;
    bool noscript;
    bool module; /* of a module */
    bool has_subcommands;
    uint32_t categories; /* category.h; 0: L2 does not say */
};

struct l2_commands;

/* From the reply to COMMAND (RESP2 or RESP3). MALFORMED, NO_MEMORY. Names too long for the table are left out. */
enum status l2_commands_read(struct slice reply, struct l2_commands **ret_commands) MUST_USE;
void l2_commands_free(struct l2_commands *commands);
const struct l2_command *l2_commands_find(
    const struct l2_commands *commands,
    struct slice name); /* any case; NULL. "a|b": a subcommand */
/* The subcommand of `container`, any case; NULL. */
const struct l2_command *l2_commands_find_sub(const struct l2_commands *commands,
                                              const struct l2_command *container,
                                              struct slice name);
size_t l2_commands_count(const struct l2_commands *commands);
bool l2_commands_equal(const struct l2_commands *a, const struct l2_commands *b);

#endif
