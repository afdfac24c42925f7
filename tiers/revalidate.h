/* SPDX-License-Identifier: BSD-3-Clause */
/* revalidate.h -- suspects are read anew before somebody asks for them, the hottest first.
 *
 * When the floor rises (coherence.h) all of L1 is suspect, and each key's next read goes to L2. This takes that read
 * from the clients for the keys that are in use: one window of the node walks over L1, a slice a tick, keeps the hottest
 * suspects it met, and asks for them by the ordinary road (claim, flight, landing), never faster than its rate.
 *
 *      floor rises -> pass: walk over L1, ask for the hottest found so far -> pass ... -> a pass that asked for nothing, or was
 *                                                                              refused all of it (rights.h: the node's user)
 *
 * A pass begins to ask before it has seen all, so that a large L1 need not be walked over first; the order is by heat
 * among those met so far. A newer floor begins anew. While the fence is closed or the link is down nothing is asked; the
 * round goes on afterwards. Namespaces of mode `ttl` have no suspects. Those of mode `strict` are left to who asks: each read
 * of theirs waits for all nodes and has each of them beat, and behind a node that hangs they would hold up all others.
 *
 * HOT is what was hotter, when service was last undisturbed, than a key that had been brought in a minute before and not
 * been used since: by frequency where the policy keeps it, else by idleness. What is cold stays suspect until somebody
 * asks for it. Heat is a share of what its policy can tell, so namespaces of different policies compare roughly.
 *
 * RATE: half of what the clients' reads asked of L2 per second, when service was last undisturbed (a mean over
 * seconds), but at least 64, which is more than half where they asked for less than 128; or as it is set. Reads on its
 * own behalf are not counted in it.
 *
 * It reads whole values: Redis keeps no version of a key that could be asked for instead. It is no use of the key (the
 * policy's word stays as it is) and no read of a client (hits, misses and reads of L2 count it nowhere).
 *
 * Owns:    copies of the keys it means to ask for, at most REVALIDATE_LIST_MAX beyond one slice.
 * Threads: the window's.
 * Units:   milliseconds of clock.h; keys per second. */
#ifndef TERRACE_TIERS_REVALIDATE_H
#define TERRACE_TIERS_REVALIDATE_H

#include "tiers/tiers.h"

enum {
    REVALIDATE_LIST_MAX = 4096,
    REVALIDATE_SLICE = 4096,  /* entries looked at in a tick */
    REVALIDATE_ASKS_MAX = 16, /* at once */
    REVALIDATE_RATE_MIN = 64, /* of the automatic rate */
    REVALIDATE_HOT_MS = 60000,
    REVALIDATE_LOAD_MS = 8000, /* how far back the mean of the load goes */
};

struct revalidate;

/* `window` must outlive it. NULL: no memory. */
struct revalidate *revalidate_new(struct tiers_window *window);
void revalidate_free(
    struct revalidate *revalidate); /* after the window's links ended; NULL is fine */
void revalidate_set_rate(struct revalidate *revalidate,
                         int64_t rate);              /* as tiers_window_revalidate */
void revalidate_tick(struct revalidate *revalidate); /* after the window's */

#endif
