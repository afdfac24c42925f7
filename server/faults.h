/* SPDX-License-Identifier: BSD-3-Clause */
/* faults.h -- errors that say what is at fault, where, and what to do.
 *
 *      ERR syntax error: 'SOFTLY' at argument 3 of CACHE.FETCH, expected SOFT ms, HARD ms ...
 *      BUSY the key is being loaded, and that takes longer than may be waited: key 'm:1' of namespace 'pages'; ask again ...
 *
 * Each begins with words that stay as they are, for those who look for them. What came from clients is cut to FAULT_SHOWN_MAX
 * bytes, and what is not printable is shown as '?'. Arguments are counted as in argv: the first behind the command is 1.
 *
 * Threads: the worker's. */
#ifndef TERRACE_SERVER_FAULTS_H
#define TERRACE_SERVER_FAULTS_H

#include "server/call.h"

enum {
    FAULT_SHOWN_MAX = 64,
    FAULT_ROOM = FAULT_SHOWN_MAX + 4
};

/* The bytes as they are shown; `room` is returned. */
const char *fault_shown(struct slice bytes, char room[FAULT_ROOM]);

/* The word at argv[i] is none that may stand there; or, i == argc, one is missing. */
void fault_word(const struct call *call, uint32_t i, const char *expected);
/* argv[i] stands there once more. */
void fault_twice(const struct call *call, uint32_t i);
/* `text`, and then which value it was: that at argv[i]. */
void fault_value(const struct call *call, uint32_t i, const char *text);

/* `text`, and then of which key and namespace, and what to do (NULL: nothing). An empty key is not known, and not said. */
void fault_key(struct reply *reply, struct slice key, const char *text, const char *advice);

#endif
