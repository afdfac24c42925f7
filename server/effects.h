/* SPDX-License-Identifier: BSD-3-Clause */
/* effects.h -- what a command that L2 runs may do, as far as its table and its arguments say: which keys and databases end in
 * L1, and whether its answer owes a barrier (barrier.h). All of it errs to one side: to end too much is needless, never
 * wrong.
 *
 * DATABASES as bits: 1 << number, as far as a client of this node can reach them.
 *
 * Threads: any; nothing is kept. */
#ifndef TERRACE_SERVER_EFFECTS_H
#define TERRACE_SERVER_EFFECTS_H

#include "server/call.h"

bool effects_is_script(const struct command *command);
/* Of Pub/Sub, only a message that was sent cannot be sent again without harm: it counts as a write. */
bool effects_write(const struct command *command);
/* Which arguments are keys, or may be; first > last: none. Of a script those that it names. */
struct key_range effects_key_range(const struct call *call);
/* It may change keys that are not among its arguments as the table names them. */
bool effects_stray(const struct command *command);
/* It may have written, or shown, keys that are not among its arguments. */
bool effects_owe(const struct call *call);

uint16_t effects_db_bit(int64_t db);
/* The databases that end whole, if it runs in one of `dbs`. */
uint16_t effects_ended_dbs(const struct call *call, uint16_t dbs);
/* Those that SWAPDB exchanges; 0: Redis will refuse it, or it is of none that a client can reach. */
uint16_t effects_swapped_dbs(const struct call *call);
/* COPY ... DB n and MOVE key n write into another database: the key ends there too. 0: no other. */
uint16_t effects_other_db(const struct call *call);
/* Where the next call may run, if this one may run in `dbs`. */
uint16_t effects_dbs_after(const struct call *call, uint16_t dbs);

#endif
