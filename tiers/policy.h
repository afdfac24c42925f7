/* SPDX-License-Identifier: BSD-3-Clause */
/* policy.h -- which of a few sampled entries should leave.
 *
 * Eviction samples candidates from the table and drops the one with the highest score: no lists, no heap, 23 bits in the
 * slot of the table. A policy is a few functions over that word, and over what the policy remembers for the whole shard
 * (policy_memory.h); it knows nothing of items, keys or tables.
 *
 *      word = first(memory, newcomer)      a new entry
 *      word = touch(memory, word, now)     it was read or written (not by EXISTS or TTL)
 *      word = settle(memory, word, now)    the same word, in units that last: the sweep calls it before clocks wrap
 *      score(memory, candidate, now)       larger leaves earlier; 0 stays whatever happens
 *      evicted(memory, hash, word)         it has left alive, to make room
 *      word = adopt(memory, former)            an entry that came under another policy, or in another life of the node
 *      keep(memory, word, now)                 what adopt under the same policy makes an equal word of
 *      word = probation(memory, newcomer, heat)    an entry that nobody here has asked for yet (prefetch.h)
 *      coldness(memory, word, now)             larger is colder: what may leave for an entry on probation is colder than that
 *      hotness(memory, word, now)              larger is hotter, on one scale for all
 *
 * density      learns what a place is worth: evicts the lowest expected hits per byte and time (policy_density.c)
 * s3fifo       newcomers prove themselves in a tenth of the room; after S3-FIFO (SOSP'23), sampled
 * lru          the entry idle longest leaves (Redis' allkeys-lru, sampled; 16 samples stay within 0.5 point of exact LRU)
 * lfu          Morris counter with decay, as Redis' allkeys-lfu: starts at 5, factor 10, one point per idle minute
 * ttl          nearest expiry leaves; among equals, idle longest; entries without expiry last
 * ttl-strict   the same, but entries without expiry never leave
 * random       any entry
 * noeviction   none
 * volatile-lru, volatile-lfu, volatile-random: as above, among the entries with an expiry
 *
 * Expired entries leave before live ones under every policy; that is L1's rule, not the policy's. Where all that is left
 * must stay, a new value finds no room: alone the write is refused, behind an L2 nothing is kept of the read.
 *
 * PROBATION: such an entry counts as nothing that the policy learns from, and no clock that counts room goes on for it,
 * until it is used: then it becomes an ordinary newcomer. Until then it stands
 *      lfu                 at its heat, but not below 4, one less than a newcomer
 *      lru, ttl, random    as if idle for as many minutes as its heat is below 255, by which lfu's counter would have fallen so far
 *      density             last; from a heat of 8 on (30 uses) as a newcomer, from 20 on (1000 uses) as what was used often
 *                          and seldom of late
 *      s3fifo              last, behind newcomers that have failed; from a heat of 8 on as one that a ghost has shown to be main
 * Coldness is the score, where that is all that the policy knows of use; under ttl, random and what is volatile it is idleness,
 * or frequency, alone: what scores higher may be hotter.
 *
 * HOTNESS is how often an entry may be expected to be used, as far as its policy can tell: 1..255, eight steps for twice as
 * often. Of entries of one policy it is an order; those of different ones compare roughly, by where a newcomer that nobody
 * has asked for again stands, POLICY_HOTNESS_NEW:
 *      lfu                 its counter, told as uses; what has lost points stands a doubling lower for each
 *      lru, ttl, random    one use in the time for which it is idle: what is so for a minute stands at POLICY_HOTNESS_NEW
 *      density             what it has learned of such entries: one use in four turnovers stands there
 *      s3fifo              its queue, and the uses that it counts: what has failed is below newcomers, in main a round that is
 *                          left is a doubling, from two above them on
 * Size does not matter to it, nor expiry. 0 is an entry on probation at density and s3fifo that came without heat; the others
 * do not know it from what is as cold.
 *
 * Switching at run time keeps the contents, and of what the former policy knew what all understand: how long an entry
 * was idle. What the new one would have counted or learned begins with the switch. An entry that comes from another L1 of the
 * same policy, or out of a snapshot of one, brings what the policy knew of it; what that has learned of all is not taken along.
 *
 * Threads: the caller holds the shard's lock. `memory` may be NULL unless the policy remembers something.
 * Units: milliseconds of clock.h; bytes. `noise` is one random word, so that results depend on the arguments alone. */
#ifndef TERRACE_TIERS_POLICY_H
#define TERRACE_TIERS_POLICY_H

#include "protocol/bytes.h"

struct policy_memory;

enum {
    POLICY_WORD_BITS = 23,
    POLICY_WORD_MAX = (1 << POLICY_WORD_BITS) - 1,
    POLICY_SETTLE_MS =
        60 * 60 * 1000, /* every word is settled at least every second time this is over */
};

struct policy_newcomer {
    uint64_t hash; /* of its key */
    size_t size;   /* its footprint */
    int64_t now_ms;
};

/* What a heat of the source (OBJECT FREQ: a logarithmic counter) means to policies that keep none. */
enum {
    POLICY_HEAT_MAX = 255,
    POLICY_HEAT_WARM = 8,
    POLICY_HEAT_HOT = 20
};

enum {
    POLICY_HOTNESS_MAX = 255,
    POLICY_HOTNESS_NEW = 96,
    POLICY_HOTNESS_DOUBLE = 8, /* steps that make twice as often */
};

/* The logarithm of `number`, which is not 0, in such steps; between powers of two by a straight line. */
static inline unsigned policy_steps_of(uint64_t number)
{
    const unsigned log = 63u - (unsigned)__builtin_clzll(number);
    const uint64_t part = log >= 3 ? number >> (log - 3) : number << (3 - log);
    return log * POLICY_HOTNESS_DOUBLE + (unsigned)(part & (POLICY_HOTNESS_DOUBLE - 1));
}

static inline uint8_t policy_hotness_within(int64_t hotness, uint8_t least)
{
    return (uint8_t)(hotness < least                ? least
                     : hotness < POLICY_HOTNESS_MAX ? hotness
                                                    : POLICY_HOTNESS_MAX);
}

/* What was known of an entry elsewhere. */
struct policy_former {
    size_t size;     /* as of a newcomer */
    int64_t idle_ms; /* 0: just used, or not known */
    int64_t now_ms;
    int kept; /* POLICY_KEPT_NONE: by another policy */
};

enum {
    POLICY_KEPT_NONE = -1
};

struct policy_candidate {
    uint32_t word;
    int64_t expire_at_ms; /* 0: none */
    uint64_t noise;       /* of this candidate; bit 0 is that of the draw */
};

/* Makes of numbers that differ in some bits others that differ in all. */
static inline uint64_t policy_spread(uint64_t number)
{
    number ^= number >> 32;
    number *= UINT64_C(0xd6e8feb86659fd93);
    return number ^ number >> 32;
}

struct policy {
    const char *name;
    bool refuses;   /* it scores 0 at times: there may be entries and no victim */
    bool remembers; /* it needs its memory */
    bool draws;     /* its touch looks at the noise */
    uint32_t (*first)(struct policy_memory *memory, const struct policy_newcomer *newcomer);
    /* `size` 0: as it was. */
    uint32_t (*touch)(struct policy_memory *memory, uint32_t word, size_t size, int64_t now_ms,
                      uint64_t noise);
    uint32_t (*settle)(const struct policy_memory *memory, uint32_t word, int64_t now_ms);
    uint64_t (*score)(const struct policy_memory *memory, const struct policy_candidate *candidate,
                      int64_t now_ms);
    void (*evicted)(struct policy_memory *memory, uint64_t hash, uint32_t word); /* or NULL */
    uint32_t (*adopt)(struct policy_memory *memory, const struct policy_former *former);
    uint16_t (*keep)(const struct policy_memory *memory, uint32_t word, int64_t now_ms);
    uint32_t (*probation)(struct policy_memory *memory, const struct policy_newcomer *newcomer,
                          uint8_t heat);
    uint64_t (*coldness)(const struct policy_memory *memory, uint32_t word, int64_t now_ms);
    uint8_t (*hotness)(const struct policy_memory *memory, uint32_t word, int64_t now_ms);
    int64_t (*idle_ms)(const struct policy_memory *memory, uint32_t word,
                       int64_t now_ms);              /* -1: this policy does not keep it */
    int (*frequency)(uint32_t word, int64_t now_ms); /* 0..255; -1: this policy does not keep it */
};

/* How many candidates are compared. Under lru and lfu 5, 8, 16 and 32 differ by less than half a point of hit ratio on all
 * traces tried; a policy that learns tells entries apart by more than one thing, and gains as much from 16 to 32, and more
 * where sizes differ. */
static inline unsigned policy_samples(const struct policy *policy)
{
    return policy->remembers ? 32 : 16;
}

/* The noise of the next candidate of a draw. */
static inline uint64_t policy_noise_next(uint64_t noise)
{
    return noise + (UINT64_C(0x9e3779b97f4a7c15) << 1);
}

/* Whether one takes up what the other kept. */
static inline bool policy_keeps_alike(const struct policy *a, const struct policy *b)
{
    return a->adopt == b->adopt;
}

extern const struct policy policy_density;
extern const struct policy policy_s3fifo;
extern const struct policy policy_lru;
extern const struct policy policy_volatile_lru;
extern const struct policy policy_lfu;
extern const struct policy policy_volatile_lfu;
extern const struct policy policy_ttl;
extern const struct policy policy_ttl_strict;
extern const struct policy policy_random;
extern const struct policy policy_volatile_random;
extern const struct policy policy_noeviction;

/* By name, ours or Redis', ASCII case ignored; NULL: unknown. `policy_names` lists ours, separated by ", ". */
const struct policy *policy_find(struct slice name);
extern const char policy_names[];
/* Redis' name for the policy, or ours where Redis has none like it. */
const char *policy_redis_name(const struct policy *policy);

/* Policies 0, 1, ... in the order of policy_names; NULL after the last. */
const struct policy *policy_at(unsigned index);

#endif
