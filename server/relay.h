/* SPDX-License-Identifier: BSD-3-Clause */
/* relay.h -- commands that L2 answers: the client's own bytes go down, Redis' own bytes come back.
 *
 * No command is understood here beyond its keys: Redis decides about NX, XX and INCR, and its error texts are the
 * oracle. Its keys end in L1 when it is sent and when it is answered (journey 3).
 *
 * A write whose key positions cannot be known from the table (SORT ... STORE) ends every argument as if it were a key:
 * needless for most, wrong for none.
 *
 * A script or a module may write, or show, keys that nobody named; SORT BY and GET, KEYS and SCAN show such keys, too. The
 * answer to such a command OWES A BARRIER (barrier.h): it is given when this node serves nothing older any more.
 *
 * Threads: the worker's. */
#ifndef TERRACE_SERVER_RELAY_H
#define TERRACE_SERVER_RELAY_H

#include "server/call.h"

struct tiers_relay;
struct tiers_upload;

/* Relays a built-in command, or one that only L2 knows. Answers now or later. */
void relay_call(struct call *call);
/* One write whose first bytes L2 has (tiers/upload.h), and `rest` behind them; the call's value is not among its
 * arguments. Holds its connection until it is answered. */
void relay_upload(struct call *call, struct tiers_upload *upload, struct slice rest);
/* The same for a read whose answer was deferred before, and lands now or later: what could not be answered here after all.
 * The arguments may go when this returns. */
void relay_deferred(struct answer *answer, uint8_t db, struct slice *argv, uint32_t argc);

/* Who makes the answer to several calls from what L2 said to each. */
struct relay_splice {
    /* The elements of the array, one behind the other; not if L2 answered anything else. */
    void (*on_array)(struct relay_splice *splice, struct slice elements);
    /* Exactly once, and last: the answer may land, by whom is told. */
    void (*on_done)(struct relay_splice *splice);
};
/* Relays several calls, which L2 runs in one step, as the answer to `exec`. SELECT and HELLO among them are for these
 * calls only: the link stays as it was, and `splice`, which then must be there, gets one element more for each kind.
 * Without `splice` the array is the answer. The deferred answer; NULL: why not is answered, and the splice will hear
 * nothing. */
struct answer *relay_calls(struct call *exec, const struct call *calls, size_t count,
                           struct relay_splice *splice);
/* What L2 said, or that it could not be asked, into the answer. `tiers` is the relay that asked, or NULL: something whose
 * outcome does not matter. */
void relay_answer(struct answer *answer, const struct tiers_relay *tiers, enum status status,
                  struct slice bytes);
/* The answer to a command that L2 could not take; STALE: that was read, and may not be told (strict). */
void relay_refuse(struct reply *reply, struct worker *worker, enum status status);
/* The same for a write that was sent: UNKNOWN, `confirmed`: it cannot run any more; STALE, `failed`: L2 answered an error. */
void relay_refuse_write(struct reply *reply, struct worker *worker, enum status status,
                        bool confirmed, bool failed);
/* The same for a read through the tiers; `error` is the text of L2_ERROR. */
void relay_refuse_read(struct reply *reply, struct worker *worker, enum status status,
                       struct slice error);

#endif
