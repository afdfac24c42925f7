/* SPDX-License-Identifier: BSD-3-Clause */
/* line.h -- a connection to L2 that one client has to itself.
 *
 * The links of a window (window.h) are shared by all its clients. What holds up a connection of Redis (BLPOP), or gives it
 * a state (WATCH, SUBSCRIBE), needs one of its own. A line is a link (link.h) out of the window's pool:
 *
 *      line_take -> USED -- line_give_back: clean -> IDLE -- line_take -> USED ...
 *                     |                               |
 *                     +-- line_end, or not clean      +-- not used for LINE_IDLE_MS, and more than `min` of the node idle
 *                     v                               v
 *                   ENDED: its connection is closed; Redis forgets what it waited for or watched
 *
 * A line that was never connected, or not yet, is taken as well: what is asked waits until it is READY, as on every link.
 *
 * LOST: a line whose connection is lost (L2 closed it or is another one now, the node ends) is not moved to where L2 is: what
 * Redis knew of it is gone. on_lost says so, everything asked from then on is L2_DOWN, and what was under way ends as on a
 * lost link: L2_DOWN, or UNKNOWN, which may come seconds later, since it is to be confirmed (link.h, "Lost writes"). The
 * line is its user's until line_end or line_give_back; when the window ends, until on_lost and its requests have told so.
 *
 * Questions: by line_ask, each in its own database (the link says SELECT where it must), with or without a deadline; a
 * command that blocks has none. Then one that is dead is noticed by the keepalive of its socket (l2_socket.h), and by
 * whoever finds L2 elsewhere (tiers_window_retarget). link.h's own rules about silence begin with a deadline that passed.
 *
 * A SUBSCRIBER's line is told, not asked: what line_say sends has replies that nobody counts, and every reply and push goes
 * to on_push. It is closed when it is given back: a connection that had subscriptions is no other's.
 *
 * Owns:    the link. A user is borrowed until line_end or line_give_back.
 * Threads: the window's; the counts are the node's, read by any.
 * Limits:  line_counts, over all windows; of LINE_STREAM none here. Idle lines of one window do not keep another from a
 *          new one: they are closed within a tick, so there are `max` and a few for that long. LINK_OUTPUT_MAX bytes are
 *          kept by line_say.
 * Errors:  BUSY (as many as may be are in use), L2_DOWN, NO_MEMORY. */
#ifndef TERRACE_TIERS_LINE_H
#define TERRACE_TIERS_LINE_H

#include "tiers/link.h"

struct line;
struct tiers;
struct tiers_window;

enum {
    LINE_IDLE_MS = 10000
};

enum line_kind {
    LINE_ALONE,  /* blocking commands, WATCH ... EXEC */
    LINE_STREAM, /* a large value; how many is limited by their seats (stream.h), so that neither keeps the other waiting */
    LINE_SUBSCRIBER,
};

/* Embedded by whoever has the line. Each may be NULL; none is called from inside a call on the line, nor after it was
 * ended or given back. They may ask, say, end. */
struct line_user {
    void (*on_ready)(struct line_user *user); /* of a new one; before what waits is sent */
    void (*on_lost)(struct line_user *user, const char *why); /* once; before what was asked ends */
    void (*on_push)(struct line_user *user, struct slice reply); /* LINE_SUBSCRIBER only */
    void (*on_room)(struct line_user *user);                     /* link.h's, of what was poured */
};

/* A line, connected or not. */
enum status line_take(struct tiers_window *window, int proto, enum line_kind kind,
                      struct line_user *user, struct line **ret_line) MUST_USE;
/* The next user finds nothing of this one: nothing watched or subscribed, no MULTI open. What is not answered yet, a line
 * that is lost, a subscriber's: as line_end. */
void line_give_back(struct line *line);
/* Closes its connection at once, so that Redis gives up what it does for it: a client that left while blocked takes no
 * element with it. What was asked ends before this returns, unconfirmed. Allowed in any callback. NULL is fine, and so is
 * a line that is being ended. */
void line_end(struct line *line);

/* link_ask's rules, and L2_DOWN once the line is lost. */
enum status line_ask_pieces(struct line *line, struct link_request *request, int db,
                            const struct link_pieces *pieces) MUST_USE;
enum status line_ask(struct line *line, struct link_request *request, int db,
                     struct slice bytes) MUST_USE;
/* Of a subscriber. Kept until the line is READY; in order. */
enum status line_say(struct line *line, struct slice bytes) MUST_USE;
/* As link_pour; LINE_STREAM, to which nothing else is asked until the end of the request. */
enum status line_pour(struct line *line, struct slice bytes) MUST_USE;
/* As link_hold. */
void line_hold(struct line *line, bool holds);
bool line_is_lost(const struct line *line);
const char *line_why_lost(const struct line *line); /* for messages; never NULL */
uint64_t line_client_id(const struct line *line);   /* of Redis' CLIENT ID; 0: not READY */
/* For tiers_relay: to look at. */
const struct link *line_link(const struct line *line);

/* --- the node's ---------------------------------------------------------------------------------------------------- */

/* Any thread. Limits take effect with the next line that is taken, or the next tick. */
struct line_counts {
    _Atomic uint32_t max;             /* LINE_ALONE in use */
    _Atomic uint32_t min;             /* idle, kept for good */
    _Atomic uint32_t subscribers_max; /* LINE_SUBSCRIBER in use */
    _Atomic uint32_t used;
    _Atomic uint32_t streams;
    _Atomic uint32_t idle;
    _Atomic uint32_t subscribers;
};

struct line_counts *tiers_lines(struct tiers *tiers);

#endif
