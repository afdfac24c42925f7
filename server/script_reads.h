/* SPDX-License-Identifier: BSD-3-Clause */
/* script_reads.h -- whether a Lua script of Redis may call a command that reads.
 *
 * Redis counts the keys that a script names as read when it calls one (CLIENT TRACKING). What it will call its text shows
 * only if each mention of `redis` is a call of a command whose name is written there: redis.call('set', ...) or
 * redis.pcall("set", ...). Lua has no other way to a command but through names of its library that give all others (_G) or
 * compile (load), so a text with these, or with anything else about `redis`, may read.
 *
 * Threads: any. */
#ifndef TERRACE_SERVER_SCRIPT_READS_H
#define TERRACE_SERVER_SCRIPT_READS_H

#include "protocol/bytes.h"

#include <stdbool.h>

struct l2_commands;

/* `known`: what L2 can do; NULL: nobody knows. */
bool script_may_read(struct slice text, const struct l2_commands *known);

#endif
