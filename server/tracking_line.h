/* SPDX-License-Identifier: BSD-3-Clause */
/* tracking_line.h -- NOLOOP with an L2: whose change it was only Redis knows, so it tracks for such a client itself.
 *
 *      voice   a connection to L2 that the client has to itself: what it reads and writes there goes over it
 *      ear     another one, on which Redis says what it would tell the client
 *
 *      OPENING: ear: SUBSCRIBE ~> confirmed > voice: CLIENT TRACKING ON REDIRECT ear NOLOOP ~> OPEN
 *
 * So L1 serves nothing to such a client, and of the node's own announcements it hears only "drop everything". The exceptions
 * are calls that need another connection, or cannot be asked of Redis: under WATCH, blocking ones, CACHE.FETCH, managed
 * keys. Their keys are the node's to watch, as those of all other clients are, and of these the client hears of its own
 * changes, too.
 *
 * LOST: a connection is lost, or the ear was not heard for T: a PING goes over it every quarter of T, and its pong comes behind
 * everything that Redis had to say before. From then on the node tells the client again, its own changes, too.
 *
 * A client that leaves may have sent writes whose answers it does not wait for: its voice stays until all are answered.
 *
 * Owns:    both connections.
 * Threads: the worker's.
 * Limits:  each takes one of l2-pool-max, while half of these are free, and one of l2-subscribers-max. */
#ifndef TERRACE_SERVER_TRACKING_LINE_H
#define TERRACE_SERVER_TRACKING_LINE_H

#include "protocol/bytes.h"
#include "tiers/base/list.h"

#include <stdbool.h>

struct line;
struct tracking_line;
struct worker;

/* Whoever has the line; on_lost may come from inside of tracking_line_speak, nothing else from inside. */
struct tracking_line_user {
    void (*on_open)(struct tracking_line_user *user); /* once, unless it is lost first */
    void (*on_keys)(struct tracking_line_user *user, struct slice keys); /* an array, as RESP */
    void (*on_lost)(struct tracking_line_user *user);                    /* once: close it */
};

/* NULL: L2 cannot be asked, too many connections are in use, or no memory. With `broadcasts` without prefixes: all keys. */
struct tracking_line *tracking_line_open(struct worker *worker, int proto, bool broadcasts,
                                         const struct slice *prefixes, size_t prefix_count,
                                         struct tracking_line_user *user);
void tracking_line_hand_over(struct tracking_line *line, struct tracking_line_user *user);
void tracking_line_close(struct tracking_line *line); /* allowed in any callback; NULL is fine */
struct line *tracking_line_voice(const struct tracking_line *line); /* OPEN */
/* Replies come in this protocol from the next question on. */
void tracking_line_speak(struct tracking_line *line, int proto);

/* Every 100 ms, for all of a worker; and before its window ends. */
void tracking_line_tick_all(struct list *lines, int64_t now_ms, int64_t bound_ms);
void tracking_line_end_all(struct list *lines);

#endif
