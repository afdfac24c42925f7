/* SPDX-License-Identifier: BSD-3-Clause */
/* bans_sweep.h -- walks over the values of managed namespaces in L1, a slice at a time: to free the memory of what bans made
 * dead, and to count what a ban would.
 *
 * Nothing depends on it but memory: a dead value is judged when it is read. A pass over all begins when bans have changed
 * since the last one began.
 *
 * Threads: one. It visits items without holding locks of L1. */
#ifndef TERRACE_TIERS_BANS_SWEEP_H
#define TERRACE_TIERS_BANS_SWEEP_H

#include "tiers/bans.h"

struct bans_sweep;

struct bans_sweep *bans_sweep_new(struct bans *bans,
                                  struct namespaces *spaces); /* borrowed; NULL: no memory */
void bans_sweep_free(struct bans_sweep *sweep);               /* NULL is fine */
/* Looks at about `looks` values; returns how many went. */
unsigned bans_sweep_step(struct bans_sweep *sweep, int64_t now_ms, unsigned looks);

/* How many values of L1 such bans (entries of a frame; their seqs do not matter) bind, of the first `looks` or so. SIZE_MAX:
 * no memory. */
size_t bans_count_bound(struct namespaces *spaces, struct slice entries, int64_t now_ms,
                        unsigned looks);

#endif
