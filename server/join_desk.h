/* SPDX-License-Identifier: BSD-3-Clause */
/* join_desk.h -- fills L1 with what the other nodes' clients read most, and tells how much of that is here (join.h).
 *
 *      tick: WARMING began -> hot_desk_fetch ~> the lists, merged -> warm_run_feed, the hottest first
 *            each 100 ms: looks which of the keys L1 holds and may serve -> join_tell_mass
 *            all was tried: what changed meanwhile is tried again each second, until the node is ready
 *
 * What the mass is made of: a key weighs what the lists say it was read. A key is TAKEN OUT of it if it cannot be kept here,
 * whatever one waits for: L2 does not have it, it is too large, of a kind or namespace that is left to who asks (prefetch.h),
 * failed again and again, or found no room among hotter ones. So where memory is smaller than what the lists name, the
 * target is of what fits; how much of the lists that is, is told, too. Suspects (of a snapshot, say) count when they were
 * read anew.
 *
 * The lists are read at `warm-rate` at most, and no faster than so that all is here in a third of warm-deadline (500 keys a
 * second at least), and half as fast once the node is ready: the hottest first, so the target is reached well before that.
 *
 * Lists come from L2, where anybody may have written them; hot_list.h says what is believed. At most JOIN_KEYS_MAX keys are
 * read, at most JOIN_LOOKS are looked at in a tick.
 *
 * Owns:    the list and what it notes of its rows, until all was tried and the node is ready.
 * Threads: the first worker's. */
#ifndef TERRACE_SERVER_JOIN_DESK_H
#define TERRACE_SERVER_JOIN_DESK_H

#include <stdint.h>

enum {
    JOIN_KEYS_MAX = 65536,
    JOIN_LOOKS = 4096, /* below a millisecond */
};

struct join_desk;
struct worker;

struct join_desk *join_desk_new(void);       /* NULL: no memory */
void join_desk_free(struct join_desk *desk); /* NULL is fine */
/* Each 100 ms, in front of the hot desk's. */
void join_desk_tick(struct join_desk *desk, struct worker *first);
/* Before the engine stops: nothing is warmed any more. NULL is fine. */
void join_desk_end(struct join_desk *desk);

#endif
