/* SPDX-License-Identifier: BSD-3-Clause */
/* behind.h -- writes of managed keys that are answered before L2 has them (`write = behind`).
 *
 * A write goes into a table and into the log. It is answered when the log is SAFE up to it: on the disk. Then L2 gets
 * it. Until L2 has it, every read of this node finds it here, in front of L1 and L2; the other nodes do not know of it.
 *
 *      behind_take -> table, log bytes        behind_log_take -> file, fsync -> behind_log_safe ~> answered
 *                                             behind_next    -> L2          -> behind_done     -> log ~> out of the table
 *
 * A key leaves the table when the log says safely that L2 has its write: so no later one of it is answered that the next
 * start would undo.
 *
 * One entry per key: a later write takes the place of one that waits, so a key that is written often is sent seldom. One
 * that comes while the former is on its way to L2 waits behind it, in the same entry. Per key L2 sees the writes in their
 * order; between keys in that of the latest writes.
 *
 * FULL: behind_take says BUSY, and the caller writes through. It may not overtake an entry of its key, so it waits until
 * there is none (behind_has).
 *
 * What L2 REFUSES for its key alone is paused, and comes again; others go on. While the log is not WELL (the disk refuses, or
 * has not answered for so long: behind_tick) nothing is taken, and what waits goes to L2 safe or not.
 *
 * After a start the table is made from the log (behind_restore) before anybody is served.
 *
 * Owns:    copies of everything.
 * Threads: any; one lock. What an entry on its way holds stays as it is until behind_done.
 * Limits:  entries_max, bytes_max: keys and values, two of each key that is on its way; as many bytes of log that are not
 *          safe yet. BEHIND_VALUE_MAX for one. */
#ifndef TERRACE_TIERS_BEHIND_H
#define TERRACE_TIERS_BEHIND_H

#include "tiers/behind_log.h"
#include "tiers/l1.h"

struct behind;

struct behind_options {
    const struct l1 *kin; /* whose hash keys have */
    size_t entries_max;
    size_t bytes_max;
};

struct behind *behind_new(const struct behind_options *options); /* NULL: no memory */
void behind_free(struct behind *behind);
/* At start; records in the order of the log, which are safe. MALFORMED: no envelope. NO_MEMORY. */
enum status behind_restore(struct behind *behind, const struct behind_record *record) MUST_USE;

/* --- writing ------------------------------------------------------------------------------------------------------- */

/* `base`: the newest number of L2's log that the node has heard of (behind_desk.h). OK: *ret_number is the write's. BUSY:
 * full, or the log is not well. TOO_BIG. NO_MEMORY. */
enum status behind_take(struct behind *behind, const struct l1_key *key, uint64_t base,
                        int64_t now_ms, int64_t dies_at_ms, struct slice envelope,
                        uint64_t *ret_number) MUST_USE;
/* In front of a command that ends whole databases (FLUSHDB), again and again until it is false: L2 does not have all of it yet.
 * So that this ends, nothing is to be taken for a moment; and it is not waited for longer than BEHIND_FENCE_MS. */
bool behind_fence(struct behind *behind, int64_t now_ms);
bool behind_is_fenced(const struct behind *behind, int64_t now_ms);
enum {
    BEHIND_FENCE_MS = 5000
};
/* Up to this number, writes are safe. */
uint64_t behind_safe(const struct behind *behind);

/* --- reading ------------------------------------------------------------------------------------------------------- */

/* One load where there is nothing. */
bool behind_is_empty(const struct behind *behind);
/* L2 does not have it, or the log may not say yet that it does: a write that goes through and is answered now could be
 * undone by a restart, which would send what the log still holds. */
bool behind_has(struct behind *behind, const struct l1_key *key);

struct behind_value {
    struct buf envelope; /* the caller's, who frees it; its version is the write's base */
    int64_t dies_at_ms;  /* 0: no end */
    int64_t taken_at_ms; /* 0: by a former run of the node */
};
/* OK; MISS, also of what L2 has; NO_MEMORY. */
enum status behind_find(struct behind *behind, const struct l1_key *key,
                        struct behind_value *ret_value) MUST_USE;

/* --- to L2 ----------------------------------------------------------------------------------------------------------- */

/* One write on its way; its memory stays until behind_done. */
struct behind_flush {
    struct l1_key key;
    struct slice envelope;
    int64_t dies_at_ms;
    uint64_t base;
    uint64_t number;
};
/* The next one that is safe (while the log is not well, any); NULL: there is none, or L2 refused it a moment ago. */
struct behind_flush *behind_next(struct behind *behind, int64_t now_ms);
enum behind_end {
    BEHIND_SENT,  /* L2 has it, under the number `seq` */
    BEHIND_AGAIN, /* it has not, and nobody could: it comes again as the first */
    BEHIND_REFUSED /* L2 refuses this one: it comes again after 100 ms, 200 ms ... 30 s, and stops no other */
};
void behind_done(struct behind *behind, struct behind_flush *flush, enum behind_end end,
                 uint64_t seq, int64_t now_ms);
/* Keys that wait and are such. Others have their turn meanwhile, so it is exact only while nobody else takes or sends. */
size_t behind_count_if(struct behind *behind, bool (*is)(void *arg, struct slice key), void *arg);

/* --- the log --------------------------------------------------------------------------------------------------------- */

/* What was appended since the last call, in place of what *bytes held. Returns the number up to which it is. */
uint64_t behind_log_take(struct behind *behind, struct buf *bytes);
/* A whole new log in pieces, one at a time: what waits when it is looked at. What is appended from _begin on follows the
 * piece that was next when it was taken (behind_log_take), in the same file: a write that is in both comes twice, and
 * its end behind both. In place of what *bytes held. MISS: the last piece. NO_MEMORY: none of it is good. */
void behind_rewrite_begin(struct behind *behind);
enum status behind_rewrite_next(struct behind *behind, size_t most, struct buf *bytes) MUST_USE;
void behind_log_safe(struct behind *behind, uint64_t number);
/* The disk refuses: nothing more is taken. What is in the table goes to L2 as it is, and is answered then. */
void behind_log_failed(struct behind *behind);
/* It takes writes again, and L2 has all of before. */
void behind_log_recovered(struct behind *behind);
/* Often. What was appended so long ago and is not safe yet STALLS the log: until it is, nothing more is taken, and what is
 * there goes to L2, as if it had failed. */
void behind_tick(struct behind *behind, int64_t now_ms, int64_t patience_ms);
bool behind_is_well(const struct behind *behind); /* neither failed nor stalled */

struct behind_counts {
    size_t entries;
    size_t bytes;
    uint64_t taken;
    uint64_t coalesced; /* of these: took the place of one that waited */
    uint64_t flushed;
    uint64_t refused;  /* full: written through */
    uint64_t refusals; /* by L2, of single keys */
    size_t paused;     /* keys that wait since they were refused */
    uint64_t stalls;
    bool failed;
    bool stalled;
};
void behind_counts(struct behind *behind, struct behind_counts *ret_counts);

#endif
