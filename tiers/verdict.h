/* SPDX-License-Identifier: BSD-3-Clause */
/* verdict.h -- whether a value that L2 gave was invalidated, asked of L2 itself, when this node may have missed bans.
 *
 * Bans are heard on the bus. While nothing is heard (the bus is lost, its loop or Redis is slow) the node's table says what
 * was invalidated up to its REACH, an epoch and a seq, and no more. What a value is worth is then asked of the same link
 * that gave it, behind it:
 *
 *      worker: PTTL k, GET k ->  value, version v        EVAL verdict.lua(reach, v, ns, k, tags) ->  NONE | SOFT | HARD | UNKNOWN
 *
 * PROOF that a value which is shown is not dead. Let a ban have been acknowledged before the read began, and bind the value.
 * Its seq is at most the reach: then the node's own table has it, and it is asked, too (tiers_judge). Or it is above: then
 * it was issued in the epoch of the reach, since seqs of a later one are refused by the script, which runs after the value
 * was read, on a link that is proved to lead to the master (link.h, "The fence"). So its row is in terrace:tags, or it was
 * taken out because nothing is left that it binds (ban.lua, CLEAN). The script looks up the row of each name that can bind
 * the value: its tags and the prefixes of its key, for its namespace and for all. What has no such name, a glob or a
 * conjunction, raises `listed`, and what is older than that is UNKNOWN; so is what has no envelope, whose tags nobody knows,
 * or whose key has more than 256 prefixes, if there was any ban. A ban that comes between value and question only kills more.
 *      The verdict is of the moment of the question, so it goes with the value and is kept nowhere (MANAGED_JUDGED).
 *
 * BOUND. A question takes Redis 40 to 300 us, and it is asked just when Redis may be slow: a worker asks VERDICTS_PER_TICK
 * between two ticks (100 ms). Reads beyond that are judged by what is heard on the bus, as if L2 could not be asked.
 *
 * Pure. Errors: NO_MEMORY. */
#ifndef TERRACE_TIERS_VERDICT_H
#define TERRACE_TIERS_VERDICT_H

#include "protocol/envelope.h"
#include "tiers/bans.h"

enum {
    VERDICTS_PER_TICK = 100
};

struct verdict_question {
    unsigned coherence_db;
    struct bans_reach reach;
    const struct namespace *ns;
    struct slice key;
    struct slice bytes; /* what L2 gave, */
    uint64_t size;      /* or, if that is more, its beginning (envelope_begin) */
};

extern const char verdict_script[];

/* The request, appended to `out`. */
enum status verdict_write(struct buf *out, const struct verdict_question *question) MUST_USE;
/* Any other reply than the script's is BAN_UNKNOWN. */
enum ban_verdict verdict_read(struct slice reply);

#endif
