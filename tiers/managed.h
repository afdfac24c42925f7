/* SPDX-License-Identifier: BSD-3-Clause */
/* managed.h -- what L1 keeps of a managed key, and what it is worth now.
 *
 * In L2 the value lies in an envelope (protocol/envelope.h), and the PTTL of the key is its one clock. In L1 it lies
 * decoded behind a head with its times as this node counts them:
 *
 *      head | 8 bytes for each tag: bans_tag_hash | value
 *
 *      t0             fresh until          stale until            dies
 *      |-- fresh life --|------- swr ---------|                    |
 *                       |---------------- sie ---------------------|
 *        FRESH | EAGER         STALE                 SPARE           DEAD
 *
 * With p = PTTL and t0 = when it was asked: dies = t0 + p, fresh until = dies - max(swr, sie), stale until = fresh until +
 * swr. PTTL and GET are two questions, and a write may come between them: so no life is longer than the envelope says.
 * The item's own expiry is its death, and its stamp t0, as for plain values; L1 knows no more of it.
 *
 * A value without an envelope was written by no node: version 0, so that every ban ends it; fresh as long as it lives. So is
 * what is no string (OTHER): it is there, and lives as long as L2 says, but there is nothing to be shown.
 * NEGATIVE: that there is no such thing; it is worth nothing when it is not fresh any more.
 *
 * Bans (bans.h) and soft invalidation make a value stale before its time, or dead. What is dead is not to be served, in no
 * mode; what is SPARE is served if it cannot be loaded anew.
 *
 * Threads: pure.
 * Units:   milliseconds of clock.h; bytes.
 * Errors:  MALFORMED, NO_MEMORY. */
#ifndef TERRACE_TIERS_MANAGED_H
#define TERRACE_TIERS_MANAGED_H

#include "tiers/bans.h"
#include "tiers/namespace.h"

enum managed_state {
    MANAGED_FRESH,
    MANAGED_EAGER, /* fresh, and to be loaded anew by whoever can */
    MANAGED_STALE,
    MANAGED_SPARE,
    MANAGED_DEAD,
    MANAGED_UNSURE /* bans may have been missed: nobody may see it, and it may be good again in a moment */
};

/* Flags. */
enum {
    MANAGED_NEGATIVE = 1,
    MANAGED_SOFT = 2,    /* softly invalidated in L2: fresh no more, whatever fresh_until_ms says */
    MANAGED_FOREIGN = 4, /* no envelope in L2 */
    MANAGED_UNREADABLE =
        8, /* nobody may see what is in L2; DEAD, with the version that scripts see there */
    MANAGED_HELD = 16, /* L2 does not have it: it waits for it here (behind.h) */
    MANAGED_OTHER =
        32, /* what L2 has is no string: a hash, a list ...; FOREIGN, too, and its value is empty */
    /* HELD, and written here so short a time ago that nobody need know of what was invalidated since. */
    MANAGED_RECENT = 64,
    /* L2 was asked what was invalidated (verdict.h): what it said is in SOFT, and UNREADABLE for what is dead. Never in L1. */
    MANAGED_JUDGED = 128,
    /* The value is in L2 only, for L1 would not keep it: this is all but the value. */
    MANAGED_LARGE = 256
};

/* Read out of an item; borrows from it. */
struct managed_value {
    uint64_t version;
    int64_t fresh_until_ms; /* the first millisecond at which it is not; INT64_MAX: no end */
    int64_t stale_until_ms; /* the same */
    int64_t dies_at_ms;     /* the same */
    int64_t fresh_ms;       /* its whole fresh life, as written; 0: no end, or not known */
    uint32_t load_ms;
    uint16_t flags;
    unsigned tag_count;
    const char *tags; /* 8 bytes each, not aligned */
    struct slice value;
    uint64_t size; /* of the value, also where that is in L2 only */
};

struct envelope;
struct tiers_window;

/* What L2 said. */
struct managed_read {
    struct tiers_window *window; /* that knows the dictionaries; NULL: for values without */
    struct namespace *ns;        /* the key's */
    struct l1 *l1;               /* in whose memory the item is to lie; NULL: anywhere */
    struct l1_key key;           /* borrowed */
    struct slice bytes;
    int64_t pttl_ms; /* negative: it does not expire, or that is not known */
    int64_t issued_at_ms;
    bool is_held;   /* MANAGED_HELD */
    bool is_recent; /* MANAGED_RECENT */
    bool is_other;  /* MANAGED_OTHER; no bytes */
};

/* As an item in the shape of L1. MALFORMED: the envelope is broken, or its body. MISS: its dictionary is not to be had
 * (unwrap_size). In both cases the item is MANAGED_UNREADABLE, for whoever must say which version he saw. AGAIN: its
 * dictionary is being read. NO_MEMORY. */
enum status managed_decode(const struct managed_read *read, struct item **ret_item) MUST_USE;
/* The same of one that L1 would not keep, by the beginning of its `size` bytes: MANAGED_LARGE. NO_MEMORY; MISS: that cannot be,
 * so it must be read whole. managed_may_be_large: it can, as far as can be seen. */
enum status managed_decode_large(const struct managed_read *read, uint64_t size,
                                 struct item **ret_item) MUST_USE;
bool managed_may_be_large(struct slice beginning, uint64_t size);
/* Of an item's value. */
bool managed_is_large(struct slice bytes);
/* `bytes`: an item's value. MALFORMED: it is no such item. */
enum status managed_open(struct slice bytes, int64_t expire_at_ms,
                         struct managed_value *ret_value) MUST_USE;
/* An item's value whose times are of another clock: they become those of this one, which shows `by_ms` more. MALFORMED: it is
 * no such value, or one that is of this process alone. */
enum status managed_move_times(char *bytes, size_t size, int64_t by_ms) MUST_USE;
/* The hashes of an envelope's tags, 8 bytes each, at most ENVELOPE_TAGS_MAX of them; returns the end. */
char *managed_write_tags(const struct envelope *envelope, char *to);
/* L2 has said what it is worth; an item that nobody else has seen. BAN_UNKNOWN changes nothing. */
void managed_set_verdict(struct item *item, enum ban_verdict bans);
/* Of two items of one key: L2 had the same for both. Their times may differ by what reading them took. */
bool managed_is_same(const struct item *a, const struct item *b);

/* `noise`: 32 random bits, for XFetch. */
enum managed_state managed_judge(const struct managed_value *value, const struct ns_rules *rules,
                                 enum ban_verdict bans, int64_t now_ms, uint32_t noise);

enum {
    MANAGED_NO_END = -1,
    MANAGED_AGE_UNKNOWN = -1
};
/* What is left of its fresh life, at least 0; MANAGED_NO_END. What Redis' PTTL says of a plain key. */
int64_t managed_ttl_ms(const struct managed_value *value, enum ban_verdict bans, int64_t now_ms);
/* How long ago it was written; MANAGED_AGE_UNKNOWN: its fresh life has no end. */
int64_t managed_age_ms(const struct managed_value *value, int64_t now_ms);

/* The fresh life of a write that asks for `asked_ms` (0: says nothing): ttl, cut to max-ttl; where it is the namespace's
 * choice and not the write's, shorter by up to jitter. 0: no end. */
int64_t managed_life_ms(const struct ns_rules *rules, int64_t asked_ms, uint32_t noise);
/* How long L2 keeps a value that is fresh for so long; 0: for ever. */
int64_t managed_px_ms(int64_t fresh_ms, int64_t swr_ms, int64_t sie_ms);

#endif
