/* SPDX-License-Identifier: BSD-3-Clause */
/* snapshot_l1.h -- what of L1 goes into a snapshot, and what becomes of it in the next process (docs/decisions/023).
 *
 *      coherence_mark -> snapshot_begin -> snapshot_take -> snapshot_end            while the node serves
 *      snapshot_open -> snapshot_restore -> coherence_resume                        before L2 is met
 *
 * WRITTEN is every value that has a life of its own: not claims, negative entries, what stands for a value that is elsewhere
 * or unreadable, and what L2 does not have yet, which is in the log of write-behind. When it is more than was allowed, the
 * hottest, as the policies see it (policy.h: hotness).
 *
 * RESTORED it is by its key, whatever namespaces there are now:
 *      alone         as it was, with the life that was left
 *      plain         as a suspect; in mode `ttl`, which has none, as it was if the former process ended in order, else not
 *      managed       as it was if it has the same namespace still; coherence_resume finds out whether it is fresh. Not in mode
 *                    `ttl`, where it would be served all the same
 * and nothing leaves L1 for it.
 *
 * TIME is told by CLOCK_BOOTTIME within one boot of the machine, which nobody can set. After another boot only the wall
 * clock is there: lives go by it, as Redis' own in its files, but nobody relies on it for freshness. Then all values are
 * suspects of unknown age, and those of mode `ttl` are left out.
 *
 * Threads: snapshot_take any, while namespaces stay; the rest before the node runs. */
#ifndef TERRACE_TIERS_SNAPSHOT_L1_H
#define TERRACE_TIERS_SNAPSHOT_L1_H

#include "tiers/coherence.h"
#include "tiers/snapshot.h"

/* The clocks at one moment. */
struct snapshot_now {
    int64_t now_ms; /* clock.h */
    int64_t boot_ms;
    int64_t unix_ms;
    unsigned char boot[SNAPSHOT_BOOT_SIZE];
};

/* Its names borrow from the namespaces. `mark`: NULL: alone. `l2`, `node` are the caller's to set. */
void snapshot_head_fill(struct snapshot_head *head, const struct namespaces *spaces,
                        const struct coherence_mark *mark, const struct snapshot_now *now);
/* Puts in what L1 has, about `bytes_max` bytes of it at most, the hottest. What the writer says; NO_MEMORY. */
enum status snapshot_take(struct snapshot_writer *writer, struct namespaces *spaces,
                          uint64_t bytes_max, int64_t now_ms) MUST_USE;

struct snapshot_restored {
    uint64_t managed;  /* entered, that may be fresh */
    uint64_t suspects; /* entered, of any namespace */
    uint64_t values;   /* entered, and good as they are: alone, or of mode `ttl` */
    uint64_t expired;
    uint64_t homeless;          /* no namespace of now takes them as they are */
    uint64_t full;              /* L1 had no room */
    uint64_t bytes;             /* of those that entered */
    int64_t down_ms;            /* since it was written */
    struct coherence_mark mark; /* for coherence_resume; seq 0: nothing can be proved */
};

/* Who reads anew what cannot be served as it is. */
struct snapshot_listener {
    /* A key that L1 has as a suspect, or as a managed value whose proof is still to come, or that is left out because its
     * namespace has no suspects. The hottest bands first. `hotness` as its policy said (policy.h). */
    void (*on_suspect)(void *arg, uint8_t db, struct slice key, uint8_t hotness);
    void *arg;
};

/* All of it, into an L1 that has nothing: OK; else what had entered is gone again. MALFORMED: reader->error. INVALID: the file
 * is of a node with an L2 and this one has none, or the other way round. `listener` may be NULL. */
enum status snapshot_restore(struct snapshot_reader *reader, struct namespaces *spaces,
                             bool is_alone, const struct snapshot_now *now,
                             const struct snapshot_listener *listener,
                             struct snapshot_restored *ret) MUST_USE;

#endif
