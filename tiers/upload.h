/* SPDX-License-Identifier: BSD-3-Clause */
/* upload.h -- the bytes of a large write on their way to L2, never held whole.
 *
 *      ROW --a seat (stream.h)--> ASKED --L2 is there--> OPEN --tiers_relay with its line--> over, when that is answered
 *        \__________________________\______________________\___ LOST: what still comes is dropped
 *
 * L2 runs nothing before it has the last byte of a request. So all but its end goes out as it comes, and nothing is decided
 * by that: its end goes the way of every relayed write (tiers_relay), whose keys end before it is sent and when it is
 * answered; and whoever has to be refused, or is gone by then, closes the line instead, and nothing has happened. For the
 * same reason one that is lost before its end was sent is L2_DOWN, and never UNKNOWN.
 *
 * It is full when LIMIT_STREAM_AHEAD bytes wait to be written, and while L2 has not been reached; on_room says when it is not
 * any more. Time that L2 takes: the window's read timeout for a seat and for the first answer, its relay timeout between two
 * pieces.
 *
 * Owns:    itself, until tiers_upload_end; its seat.
 * Limits:  memory: LIMIT_STREAM_AHEAD, and one piece.
 * Threads: the window's. */
#ifndef TERRACE_TIERS_UPLOAD_H
#define TERRACE_TIERS_UPLOAD_H

#include "tiers/tiers.h"

struct tiers_upload;

/* Embedded by whoever has the bytes, and there until tiers_upload_end. */
struct tiers_upload_user {
    void (*on_room)(struct tiers_upload_user *user); /* it was full, and is not; or it is lost */
};

/* NULL: no memory. Nothing is asked from inside that could call back. */
struct tiers_upload *tiers_upload(struct tiers_window *window, uint8_t db, int proto,
                                  struct tiers_upload_user *user) MUST_USE;
/* The next bytes. What does not reach L2 any more is dropped. */
void tiers_upload_take(struct tiers_upload *upload, struct slice bytes);
bool tiers_upload_is_full(const struct tiers_upload *upload);
/* It has all but the end of the request, which goes by tiers_relay now, or not at all: tiers_upload_end. OK: on this line.
 * BUSY (no line), L2_DOWN, NO_MEMORY: it is lost. Not while it is full. */
enum status tiers_upload_line(struct tiers_upload *upload, struct line **ret_line) MUST_USE;
/* The request was answered, or will not be sent: then its line is closed. NULL is fine. */
void tiers_upload_end(struct tiers_upload *upload);

/* of stream.h: */
void uploads_tick(struct tiers_window *window);
void uploads_end(struct tiers_window *window);

#endif
