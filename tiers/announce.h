/* SPDX-License-Identifier: BSD-3-Clause */
/* announce.h -- commands in one step: a write that announces itself, for namespaces with `writers = nodes` (COHERENCE section
 * 8), or a transaction of a client, or both.
 *
 *      MULTI | WAIT 2147483647 0 | PUBLISH terrace:bus frame ... | the client's own command, or commands | EXEC
 *
 * WAIT is there for the case that MULTI is refused, because Redis' administrator took the right away while the node runs: the
 * commands would run one by one then. In MULTI it answers at once; outside it waits, for more replicas than there are, and
 * nothing behind it is read. So when MULTI's reply is an error, the connection is closed, and nothing has run.
 *
 * The frame names the keys (several frames, if one cannot hold them); where the keys are not known it is a flush, and all
 * nodes suspect what they hold. It is unnumbered: only a script could number it, and through a script a command is not
 * what it was (COHERENCE section 2).
 *
 * Why the bound holds as with announcements of Redis (I1): EXEC runs all of it without anything in between, and PUBLISH
 * writes to the buffer of each bus before the command runs, so before EXEC is answered, and the client's answer is taken
 * out of EXEC's. A beat that is sent after that answer is published later, and comes home behind the frame. What a node
 * reads after it obeyed the frame, it reads after the command ran: Redis ran no read between the two. A frame that is lost
 * inside a living connection shows in the stream hash, as a lost announcement does (T6).
 *      A connection that is lost before its last byte was written leaves a MULTI without its EXEC: nothing ran.
 *
 * Replies: an error of a queued command (arity, rights, memory) is the client's answer, since EXEC only says EXECABORT then.
 * To a transaction that is said in Redis' own words, EXECABORT.
 *
 * Pure. Owns: nothing. */
#ifndef TERRACE_TIERS_ANNOUNCE_H
#define TERRACE_TIERS_ANNOUNCE_H

#include "protocol/bytes.h"
#include "tiers/l1.h"

enum {
    ANNOUNCE_ERROR_MAX = 160
};

/* What came in front of EXEC's reply. All zeros at the start. */
struct announce_refusal {
    unsigned size; /* 0: nothing was refused */
    char text[ANNOUNCE_ERROR_MAX];
};

struct announce {
    uint64_t node;
    const struct l1_key *keys;
    size_t key_count;       /* 0: the keys are not known */
    bool silent;            /* announces nothing */
    struct slice commands;  /* whole requests, */
    unsigned command_count; /* so many */
};

/* The requests, appended; *ret_parts is how many stand in front of EXEC. */
enum status announce_write(struct buf *out, const struct announce *announce,
                           unsigned *ret_parts) MUST_USE;
/* Only what tells of the keys, without any command: PUBLISH, *ret_requests times, at least once. TOO_BIG: a key fits into no
 * frame. */
enum status announce_keys(struct buf *out, uint64_t node, const struct l1_key *keys,
                          size_t key_count, unsigned *ret_requests) MUST_USE;
/* MULTI's reply. False: nothing behind it runs, if its connection is closed. */
bool announce_is_open(struct slice first_reply);
/* Each reply in front of EXEC's. */
void announce_take(struct announce_refusal *refusal, struct slice reply);
/* The command's own reply, out of EXEC's; borrows from one of both. MALFORMED: it is none of EXEC. */
enum status announce_reply(const struct announce_refusal *refusal, struct slice reply,
                           struct slice *ret_own) MUST_USE;
/* The same of a transaction: an error, nil, or all of the array, whose first *ret_frames elements are ours. */
enum status announce_replies(const struct announce_refusal *refusal, unsigned command_count,
                             struct slice reply, struct slice *ret_own,
                             unsigned *ret_frames) MUST_USE;

#endif
