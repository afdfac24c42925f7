/* SPDX-License-Identifier: BSD-3-Clause */
/* join_desk.h -- fills L1 with what the other nodes' L1 hold and their clients read, and tells how much of their hits that makes (join.h).
 *
 *      tick: WARMING began -> hot_desk_fetch ~> the lists, merged -> warm_run_feed, the hottest first
 *            ~> the pages that they name, and what the own snapshot knows (hot_pages.h) -> one list in place of the first
 *            each 100 ms: looks which of the keys L1 holds and may serve -> join_tell_mass
 *            all was tried: what changed meanwhile is tried again each second, until the node is ready
 *
 * What the mass is made of: a key weighs what the lists say it was read; where nobody has read anything of late, all weigh the
 * same. A key is TAKEN OUT of it if it cannot be kept here,
 * whatever one waits for: L2 does not have it, it is too large, of a kind or namespace that is left to who asks (prefetch.h),
 * failed again and again, or found no room among hotter ones. So where memory is smaller than what the lists name, the
 * target is of what fits; how much of the others' hits that is, is told, too. Suspects (of a snapshot, say) count when they
 * were read anew. While pages are still to come it is not told, so that a short list makes no node ready.
 *
 * PACE: join_pace.h. What it will be asked for is the others' reads of now, shared with it, as beats tell; or, where none does,
 * what the lists say.
 *
 * Lists come from L2, where anybody may have written them; hot_list.h says what is believed. At most JOIN_KEYS_MAX keys are
 * read, and no more than L1 can hold by the mean size that the others say; at most JOIN_LOOKS are looked at in a tick.
 *
 * Owns:    the list and what it notes of its rows, until all was tried and the node is ready: 50 bytes and its name for a key,
 *          three times that while pages are read.
 * Threads: the first worker's. */
#ifndef TERRACE_SERVER_JOIN_DESK_H
#define TERRACE_SERVER_JOIN_DESK_H

#include <stdbool.h>
#include <stdint.h>

enum {
    JOIN_KEYS_MAX = 1 << 18,
    JOIN_LOOKS = 4096, /* below a millisecond */
};

struct join_desk;
struct worker;

struct join_desk *join_desk_new(void);       /* NULL: no memory */
void join_desk_free(struct join_desk *desk); /* NULL is fine */
/* Each 100 ms, in front of the hot desk's. */
void join_desk_tick(struct join_desk *desk, struct worker *first);
/* Nothing is to be read by lists any more. */
bool join_desk_is_over(const struct join_desk *desk);
/* Before the engine stops: nothing is warmed any more. NULL is fine. */
void join_desk_end(struct join_desk *desk);

#endif
