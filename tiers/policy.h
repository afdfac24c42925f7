/* SPDX-License-Identifier: BSD-3-Clause */
/* policy.h -- which of a few sampled entries should leave.
 *
 * Eviction samples candidates from the table and drops the one with the highest score: no lists, no heap, 23 bits in
 * the entry's slot of the table. A policy is a few pure functions over that word; it knows nothing of items, keys or tables.
 *
 *      word = first(now)             a new entry
 *      word = touch(word, now)       it was read or written (not by EXISTS or TTL)
 *      word = settle(word, now)      it was not, for hours: whoever sweeps says the same in coarser units
 *      score(word, expire, now)      larger leaves earlier
 *
 * lru  the entry idle longest leaves (Redis' allkeys-lru, sampled; 16 samples stay within 0.5 point of exact LRU)
 * lfu  Morris counter with decay, as Redis' allkeys-lfu: starts at 5, factor 10, one point per idle minute
 * ttl  nearest expiry leaves; among equals, idle longest; entries without expiry last (Redis' volatile-ttl, softened)
 *
 * Expired entries leave before live ones under every policy; that is L1's rule, not the policy's.
 *
 * Switching at run time keeps the contents: words of another policy are read as they are, which misjudges an entry
 * until its next touch and is otherwise harmless.
 *
 * Units: milliseconds of clock.h. `noise` is one random word, so that the functions stay pure. */
#ifndef TERRACE_TIERS_POLICY_H
#define TERRACE_TIERS_POLICY_H

#include "protocol/bytes.h"

enum {
    POLICY_WORD_BITS = 23,
    POLICY_WORD_MAX = (1 << POLICY_WORD_BITS) - 1,
    POLICY_SETTLE_MS =
        60 * 60 * 1000, /* every word is settled at least every second time this is over */
};

struct policy {
    const char *name;
    uint32_t (*first)(int64_t now_ms);
    uint32_t (*touch)(uint32_t word, int64_t now_ms, uint64_t noise);
    uint32_t (*settle)(uint32_t word, int64_t now_ms);
    uint64_t (*score)(uint32_t word, int64_t expire_at_ms, int64_t now_ms);
    int64_t (*idle_ms)(uint32_t word, int64_t now_ms); /* -1: this policy does not keep it */
    int (*frequency)(uint32_t word, int64_t now_ms); /* 0..255; -1: this policy does not keep it */
};

extern const struct policy policy_lru;
extern const struct policy policy_lfu;
extern const struct policy policy_ttl;

/* By name, ASCII case ignored; NULL: unknown. `policy_names` lists all, separated by ", ", for messages. */
const struct policy *policy_find(struct slice name);
extern const char policy_names[];

#endif
