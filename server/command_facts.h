/* SPDX-License-Identifier: BSD-3-Clause */
/* command_facts.h -- what COMMAND tells of a command beyond its line of commands.def.
 *
 * Most commands need no line here: a reader's keys are "RO access", a writer's "RW access update".
 *
 * Threads: constant. */
#ifndef TERRACE_SERVER_COMMAND_FACTS_H
#define TERRACE_SERVER_COMMAND_FACTS_H

#include "server/command.h"

struct command_facts {
    const char *key_flags; /* words separated by spaces, in Redis' order */
    /* Of a second key that is treated in another way; NULL: there is none. */
    const char *second_key_flags;
    const char *tips;     /* words separated by spaces, "" none */
    const char *key_note; /* NULL: none */
};

struct command_facts command_facts(const struct command *command);

/* Categories (tiers/base/category.h). */
uint32_t command_categories(const struct command *command);

/* A command or, after '|', a subcommand, by its full name in any case; NULL: not built in. */
const struct command *command_find_full(struct slice full_name);
/* Nobody serves it: COMMAND does not list it. */
bool command_is_listed(const struct command *command);

#endif
