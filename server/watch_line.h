/* SPDX-License-Identifier: BSD-3-Clause */
/* watch_line.h -- WATCH with an L2: Redis remembers what a connection watches, so the client gets one of its own.
 *
 *      WATCH                     line_take: from here on whatever of this client is for L1 or L2 goes over the line, reads, too:
 *                                a GET from L1 would say nothing about what Redis compares
 *      EXEC                      over the line; when it is answered nothing is watched, and the line goes back
 *      UNWATCH, DISCARD, RESET   UNWATCH is asked, then the line goes back; the client need not wait for it
 *      the client leaves         the line ends
 *
 * From one link to the other a client goes when all its calls are answered (COMPATIBILITY rule 1).
 *
 * LOST: Redis is gone, or another; so is what was watched. Commands then go over the shared link again, and EXEC answers nil,
 * as if a watched key had changed: it may have. When a client changes its protocol, its line does, too, and is nobody's
 * afterwards.
 *
 * Owns:    its line.
 * Threads: the worker's. */
#ifndef TERRACE_SERVER_WATCH_LINE_H
#define TERRACE_SERVER_WATCH_LINE_H

#include "server/call.h"

struct watch_line;

/* NULL: why not is answered. */
struct watch_line *watch_line_new(struct call *call);
struct line *watch_line_of(const struct watch_line *watch); /* NULL: it is lost */
void watch_line_expose(struct watch_line *watch); /* as blocking_expose: nobody else may get it */
/* What is asked from now on is answered in this protocol. */
void watch_line_speak(struct watch_line *watch, int proto);
/* The end of it. `clean`: EXEC was answered, or nothing was ever watched. */
void watch_line_let_go(struct watch_line *watch, bool clean);
/* At once: the client has left. What was asked ends before this returns. */
void watch_line_cut(struct watch_line *watch);

#endif
