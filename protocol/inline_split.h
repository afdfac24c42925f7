/* SPDX-License-Identifier: BSD-3-Clause */
/* inline_split.h -- the words of an inline command, or of a line of redis.conf, unquoted by Redis' rules.
 *
 *      SET greeting "a \"b\" \x41\n"  'it\'s'
 *
 * Between double quotes \n \r \t \b \a and \xHH mean what they mean in C, and a backslash before anything else is
 * dropped. Between single quotes only \' is special. A closing quote must end its word; an opening one may stand in the
 * middle of it. For request_read.c, and for values in the file of options.
 *
 * Errors: MALFORMED for quotes that do not close, or close in the middle of a word. */
#ifndef TERRACE_PROTOCOL_INLINE_SPLIT_H
#define TERRACE_PROTOCOL_INLINE_SPLIT_H

#include "protocol/resp_read.h"

/* The next word of `line` (no NUL, no line end), appended to `unquoted`, which must have room for all of the line.
 * *position starts at 0. AGAIN: no more words. */
enum status inline_next(struct slice line, size_t *position, struct buf *unquoted,
                        struct span *ret_word) MUST_USE;

#endif
