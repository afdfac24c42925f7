/* SPDX-License-Identifier: BSD-3-Clause */
/* frame_ban.h -- what a frame of type G or P says: which values of managed namespaces are invalid from a seq on.
 *
 * A ban has a NAME, which says what it binds, and two seqs: values with a smaller version are dead (hard), or stale (soft).
 * The name is also the field of the ban in the hash terrace:tags of L2, and an entry of a frame is also what the script
 * (tiers/scripts/ban.lua) gives and takes, so there is one form for all of them. Little endian:
 *
 *      name     u8 kind | u8 size of the namespace's name, 0: all managed ones | that name | text
 *      entry    u16 size of the name | u8 flags: 1 the hard, 2 the soft seq is that of the frame | u8 zero |
 *               u32 age in s | u64 hard seq, 0: none | u64 soft seq | name
 *      body     entries
 *
 * The text of a tag, a prefix, a glob is itself; that of a conjunction is { u8 size, tag } for each tag, sorted and each
 * once, so that the same tags are the same ban; a lost table has none.
 *
 * Pure. Errors: MALFORMED, TOO_BIG, NO_MEMORY. */
#ifndef TERRACE_PROTOCOL_FRAME_BAN_H
#define TERRACE_PROTOCOL_FRAME_BAN_H

#include "protocol/bytes.h"

enum frame_ban_kind {
    FRAME_BAN_TAG = 'T',
    FRAME_BAN_PREFIX = 'P', /* an empty one: everything */
    FRAME_BAN_GLOB = 'G',
    FRAME_BAN_ALL_TAGS = 'C', /* values that have each of these tags */
    FRAME_BAN_LOST = 'L'      /* terrace:tags was missing: everything that nodes wrote */
};

enum {
    FRAME_BAN_NS_MAX = 64,
    FRAME_BAN_TAG_MAX = 250,
    FRAME_BAN_TAGS_MAX = 64,  /* in a conjunction; one alone is a tag */
    FRAME_BAN_TEXT_MAX = 1024 /* of a prefix or a glob */
};

struct frame_ban {
    enum frame_ban_kind kind;
    struct slice name;
    struct slice ns; /* these borrow from the name */
    struct slice text;
    uint32_t age_s; /* since it was issued; at least */
    uint64_t hard;
    uint64_t soft;
};

/* Appends a name. MALFORMED: what is no ban: sizes, a tag that is empty, a kind. */
enum status frame_ban_name(struct buf *out, enum frame_ban_kind kind, struct slice ns,
                           struct slice text) MUST_USE;
/* Kind, name, ns and text. */
enum status frame_ban_read_name(struct slice name, struct frame_ban *ret) MUST_USE;

/* Appends an entry with these two seqs. TOO_BIG: it does not fit into a frame any more. */
enum status frame_ban_append(struct buf *body, struct slice name, uint32_t age_s, uint64_t hard,
                             uint64_t soft) MUST_USE;
/* Appends one whose hard, or soft, seq is that of the frame. */
enum status frame_ban_append_own(struct buf *body, struct slice name, bool soft) MUST_USE;
/* One after the other; *position starts at 0, `seq` is that of the frame, above which nobody can know one; 0: they came in none.
 * AGAIN: no more. */
enum status frame_ban_next(struct slice body, uint64_t seq, size_t *position,
                           struct frame_ban *ret) MUST_USE;

/* Tags of a conjunction: appended in the order of their bytes, and read. AGAIN: no more. */
enum status frame_ban_append_tag(struct buf *text, struct slice tag) MUST_USE;
enum status frame_ban_next_tag(struct slice text, size_t *position, struct slice *ret) MUST_USE;
int frame_ban_compare_tags(struct slice a, struct slice b); /* as memcmp */

#endif
