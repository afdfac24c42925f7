/* SPDX-License-Identifier: BSD-3-Clause */
/* behind_desk.h -- one window's part in write-behind (behind.h): which writes it takes, who waits for the disk, what waits
 * for a key to reach L2, and, of one window, the way to L2.
 *
 *      managed_writes_send > behind_desk_take    PUT of a namespace with `write = behind`: into the table; told when safe
 *                                                any other write of a key that is in the table: PARKED until it is not
 *                                                everything else: through. So is a PUT of a key that one of those is of
 *      tiers_get > behind_desk_read              the table in front of L1 and L2
 *      behind_desk_turn                          after the disk, or another window, said that something is done
 *
 * CONTRACT. A write is acknowledged when it is on the disk of this node; its readers see it at once, those of other nodes
 * when L2 has it. Of writes of several nodes, or behind and through, the one that comes to L2 last stands; if something newer
 * stood there than the node knew when it took the write, that is counted (M_BEHIND_CONFLICTS). Its number in the log of L2 is
 * that of its way to L2; who is answered before is told 0.
 *
 * ORDER. Writes of one connection are one window's. A PUT that came behind another write of its key would be sent by another
 * window, and could overtake it: so while one of them passes (is parked, or is asked of L2) it goes the same way. And what is
 * parked stays in its order. (They are counted by the hashes of their keys, in SLOTS: who meets another key there goes
 * through for nothing, too.)
 *
 * INVALIDATIONS. A value that waits has as version the newest seq, all in front of which this node had heard of when it was
 * taken: whatever the bus does meanwhile, and in whatever epoch it then is (seqs rise over epochs). While there is none,
 * after a start, writes go through. Invalidations above it end the value, wherever they were issued and whenever they are
 * heard of: a client that knows of one that the node has not heard of should not write there.
 *      It is judged when it is read and when it is sent. L2 gives it a number then that is above all that was issued before:
 * so L2 does it only if none was issued behind the seq up to which the node had obeyed the bus before it judged (`judged` of
 * managed_write.h). Proof: let an invalidation, numbered b, bind a value that was taken with version v < b. If the script of
 * b runs behind the write's, numbered w, then w < b, and it binds the value in L2. If it runs before, the write's finds b as
 * the last one, or a later one, and does it only if judged >= b; then the window had read `judged` before it looked at the
 * bans, so it found b's (coherence.h), or that bans were not whole; in both cases it did not send. A `judged` of a former
 * epoch is refused as such.
 *      L2 may lose the table of invalidations, or everything: values in it are dead from then on (ban.lua). What waits is not,
 * for it is judged by what this node knows (bans_check_held) and what any other told L2 again. Only what was issued in the
 * moment of the loss, and was heard of nowhere, is lost for it.
 *      A value is not shown while bans are not known, as no managed one.
 *
 * Limits:  MANAGED_QUEUE_BYTES of values are parked: BUSY.
 * Threads: the window's. */
#ifndef TERRACE_TIERS_BEHIND_DESK_H
#define TERRACE_TIERS_BEHIND_DESK_H

#include "tiers/behind.h"
#include "tiers/managed_write.h"
#include "tiers/namespace.h"

struct behind_desk;
struct tiers_reader;
struct tiers_window;

/* `flushes`: it sends to L2; one window of the node. NULL: no memory. */
struct behind_desk *behind_desk_new(struct tiers_window *window, struct behind *behind,
                                    bool flushes);
void behind_desk_free(struct behind_desk *desk); /* NULL is fine; nobody waits any more */

/* MISS: it is to be written through. Else as managed_writes_send. */
enum status behind_desk_take(struct behind_desk *desk, struct managed_write *const *writes,
                             size_t count, bool all_or_none) MUST_USE;
/* They were sent through: passing, until behind_desk_passed, before each is told. */
void behind_desk_pass(struct behind_desk *desk, struct managed_write *const *writes, size_t count);
void behind_desk_passed(struct behind_desk *desk, struct managed_write *write);
/* MISS: not in the table. OK: value->item holds it, in the shape of L1; one that is over is there, and dead. PENDING: the
 * reader wishes to know what L2 says, and is asked for when L2 has it; on_value follows. NO_MEMORY. */
enum status behind_desk_read(struct behind_desk *desk, const struct ns_key *key,
                             struct l1_value *value, struct tiers_reader *reader) MUST_USE;
void behind_desk_turn(struct behind_desk *desk);
void behind_desk_tick(struct behind_desk *desk); /* deadlines of what waits, too */
/* The links have ended: what is parked ends, and what is on the disk is told. */
void behind_desk_end(struct behind_desk *desk);

#endif
