/* SPDX-License-Identifier: BSD-3-Clause */
/* learned.h -- a number for each command that only L2 knows, so that it is counted as ours are: INFO commandstats and
 * latencystats, LATENCY HISTOGRAM. It gets one with its first call, for good, also when L2 forgets the command.
 *
 * Threads: any; one small lock, taken on the way to L2.
 * Limits:  LEARNED_MAX names; those that come later share one number, which is never shown. */
#ifndef TERRACE_SERVER_LEARNED_H
#define TERRACE_SERVER_LEARNED_H

#include "server/command.h"

enum {
    LEARNED_MAX = 512,
    LEARNED_NUMBERS = LEARNED_MAX + 1 /* the last is that of all others */
};

struct learned;

struct learned *learned_new(void); /* NULL: no memory */
void learned_free(struct learned *learned);

/* `name` in full, below L2_COMMAND_NAME_MAX. From command_count() up, LEARNED_NUMBERS of them. */
unsigned learned_index(struct learned *learned, const char *name);
/* Walks over all commands that are counted: our own, each before its subcommands, then those that have a number. Begins
 * zeroed. */
struct learned_walk {
    unsigned command;
    unsigned subcommand;
    unsigned number;
};
/* The next one; of what only L2 knows just full_name, which lives as long as `learned`, and index. False: that was all. */
bool learned_next(struct learned *learned, struct learned_walk *walk, struct command *ret_command);

#endif
