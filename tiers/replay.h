/* SPDX-License-Identifier: BSD-3-Clause */
/* replay.h -- the question to the log what was published in a time when this node did not listen (COHERENCE section 5), and
 * its answer.
 *
 * Redis' side: stream terrace:log in coherence-db, with the id s-0 for the frame numbered s and its bytes as they were
 * published in the field `f`. In it are the frames of keys, bans and flushes; a beat takes a seq and has no entry. beat.lua
 * begins it anew with each epoch, by a record that is older than all its frames; whoever adds to it cuts it to about
 * log-length entries, the oldest go. So the log is WHOLE from seq `from` on iff its oldest entry is not above `from`.
 *
 * scripts/replay.lua answers in one moment: the seq that is current, the oldest entry, and a page. What is in the log may
 * have been written by anybody; a frame out of it is looked at as one from the bus.
 *
 * Owns:    a page its parsed reply, from which its frames borrow.
 * Threads: pure. */
#ifndef TERRACE_TIERS_REPLAY_H
#define TERRACE_TIERS_REPLAY_H

#include "protocol/frame.h"

enum {
    REPLAY_PAGE = 128, /* entries of at most LIMIT_FRAME bytes */
    REPLAY_ERROR_MAX = 160
};

extern const char replay_script[]; /* the text of scripts/replay.lua */

struct replay_page {
    uint64_t now;     /* the seq that was current */
    uint64_t through; /* all entries from the first that was asked for up to here are in the page */
    bool is_whole;    /* none of them had been cut off */
    size_t count;     /* frames */
    void *parsed;     /* private */
};

/* The EVAL request, appended to `out`. */
enum status replay_write(struct buf *out, unsigned coherence_db, struct epoch epoch,
                         uint64_t from) MUST_USE;
/* `reply` is one whole reply to the question for what is from `from` on. OK; MISS: another epoch stands; L2_ERROR: Redis
 * answered an error, its text in `error`; MALFORMED; NO_MEMORY. Unless OK, `error` says why, and the page is empty. */
enum status replay_read(struct slice reply, uint64_t from, struct replay_page *ret_page,
                        char error[REPLAY_ERROR_MAX]) MUST_USE;
struct slice replay_frame(const struct replay_page *page, size_t i); /* i < count */
void replay_done(struct replay_page *page);

#endif
