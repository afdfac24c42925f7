/* SPDX-License-Identifier: BSD-3-Clause */
/* ban_script.h -- what is said to L2 about bans (bans.h), by one script (scripts/ban.lua).
 *
 * The hash terrace:tags holds all bans that still bind something. A ban is issued there: numbered, logged, published and
 * kept in one step. Who subscribes reads all of them, in pages; what is issued meanwhile comes on the bus. When an epoch
 * begins, L2 may have lost some (a restart, a promotion): every node says what it knows, and the larger seq stays. What
 * binds nothing any more is taken out by name, if it is not newer than the one who asks says, and if he has thought of the
 * longest life that any node ever gave to a value.
 *
 * Which epoch stands is not asked: it is read inside of the script, and if none does, or what counts seqs is gone, nothing is
 * done: AGAIN, behind a beat, which begins one.
 *
 * hiredis formats the requests and reads the answers; both look the same in RESP2 and RESP3. Pure. */
#ifndef TERRACE_TIERS_BAN_SCRIPT_H
#define TERRACE_TIERS_BAN_SCRIPT_H

#include "protocol/frame.h"

struct ban_call {
    unsigned coherence_db;
    uint64_t node;
    uint64_t log_length;
};

extern const char ban_script[]; /* the text of scripts/ban.lua, embedded by the build */

/* Requests, appended to `out`. `body` is entries (frame_ban.h): at least one, at most what a frame takes. */
enum status ban_write_issue(struct buf *out, const struct ban_call *call,
                            struct slice body) MUST_USE;
enum status ban_write_know(struct buf *out, const struct ban_call *call,
                           struct slice body) MUST_USE;
/* Of no entries at all, too: it says how long values live. life_ms: so were they found; 0: for ever. */
enum status ban_write_clean(struct buf *out, const struct ban_call *call, struct slice body,
                            int64_t life_ms) MUST_USE;
/* The cursor is 0 at first. life_ms: the longest that a value may live by the settings of this node; 0: for ever. */
enum status ban_write_load(struct buf *out, const struct ban_call *call, uint64_t cursor,
                           int64_t life_ms) MUST_USE;

enum {
    BAN_ERROR_MAX = 160
};

/* The answer of ISSUE and KNOW: the seq. OK; AGAIN; L2_ERROR, with Redis' own text; MALFORMED; NO_MEMORY. */
enum status ban_read_number(struct slice reply, uint64_t *ret_number,
                            char error[BAN_ERROR_MAX]) MUST_USE;
/* Of CLEAN, as above: the longest life that any node ever said; 0: for ever. Another one than was asked by: nothing went. */
enum status ban_read_life(struct slice reply, int64_t *ret_life_ms,
                          char error[BAN_ERROR_MAX]) MUST_USE;

struct ban_page {
    uint64_t cursor; /* of the next; 0: there is none */
    struct epoch epoch;
    /* The longest that any node ever said, for values stay as they were written; 0: for ever. */
    int64_t life_ms;
    struct buf entries; /* the caller's */
};
/* As above; unless OK nothing is in the page. */
enum status ban_read_page(struct slice reply, struct ban_page *ret_page,
                          char error[BAN_ERROR_MAX]) MUST_USE;

#endif
