/* SPDX-License-Identifier: BSD-3-Clause */
/* renames.h -- commands that go by another name, or by none: `rename-command`.
 *
 *      rename-command = FLUSHALL "", CONFIG very-secret
 *
 * The old name is unknown then, wherever a client may say it. Rules of users name commands as Redis does, whatever they are
 * called here.
 *
 * Threads: constant once made.
 * Limits:  RENAMES_MAX pairs; names of RENAME_NAME_MAX bytes. */
#ifndef TERRACE_SERVER_RENAMES_H
#define TERRACE_SERVER_RENAMES_H

#include "protocol/bytes.h"

enum {
    RENAMES_MAX = 64,
    RENAME_NAME_MAX = 64
};

struct renames;

/* From the option's text. INVALID: `reason` (of reason_size bytes) says what was expected; NO_MEMORY. *ret NULL: there are
 * none. */
enum status renames_parse(struct slice text, struct renames **ret, char *reason,
                          size_t reason_size) MUST_USE;
void renames_free(struct renames *renames); /* NULL is fine */

/* What a client's word means. OK: *name is the command's own name; MISS: nobody's, since the command has another or none;
 * AGAIN: the word is no new name of any, and means what it says. */
enum status renames_find(const struct renames *renames, struct slice *name) MUST_USE;

#endif
