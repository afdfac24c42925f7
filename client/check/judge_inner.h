/* SPDX-License-Identifier: BSD-3-Clause */
/* judge_inner.h -- what the files of the judge share: memory of keys, writes and sessions (judge_memory.c), the rules
 * (judge.c), linearizability (judge_strict.c). */
#ifndef TERRACE_CLIENT_CHECK_JUDGE_INNER_H
#define TERRACE_CLIENT_CHECK_JUDGE_INNER_H

#include "client/check/judge.h"

#define NS_PER_MS 1000000ull
/* Redis and L1 count lives in whole milliseconds. */
#define LIFE_ROUNDING_NS (3 * NS_PER_MS)

/* What is known of one key. */
struct judge_order {
    struct stairs all;
    struct stairs *by_node; /* NULL: no node acknowledged a write */
    struct spans nothing;
    uint64_t losses_high_ns; /* the end of the last LOSS */
    uint32_t losses_open;
    uint32_t wide_seen;
    uint64_t nothing_first_end_ns; /* strict: the cluster of the time before the first write */
    uint64_t nothing_last_begin_ns;
    bool nothing_seen;
    bool read_back;
};

/* What a session did and saw on a key: the newest beginnings, and whose they are. */
struct judge_view {
    uint64_t own_low_ns;
    uint64_t own_value;
    uint64_t saw_low_ns;
    uint64_t saw_value;
};

static inline uint64_t judge_keep_ns(const struct judge *judge)
{
    uint64_t window_ns = judge->config.window_ns;
    return judge->last_ns > window_ns ? judge->last_ns - window_ns : 0;
}

/* NULL: not known, or not any more. Valid until the next write is added. */
struct write *judge_find(struct judge *judge, uint64_t value);
enum status judge_add_write(struct judge *judge, const struct history_record *record) MUST_USE;
/* Whether the writer of the value has come at least as far. */
bool judge_may_be_forgotten(const struct judge *judge, uint64_t value);
/* The session's view of the key, valid until the next call; NULL: no memory. */
struct judge_view *judge_view_make(struct judge *judge, uint32_t session, uint32_t key);
enum status judge_note_wide(struct judge *judge, uint64_t value, uint64_t moment_ns,
                            bool ends) MUST_USE;
void judge_memory_done(struct judge *judge);

void judge_accuse(struct judge *judge, const struct violation *violation);
enum status judge_strictly(struct judge *judge) MUST_USE;

#endif
