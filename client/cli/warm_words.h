/* SPDX-License-Identifier: BSD-3-Clause */
/* warm_words.h -- a warm job as JSON, from the words of `terrace warm submit`.
 *
 * Either the JSON itself (- reads standard input), or one source and what belongs to it, by options. What the options say is
 * not judged here: the node knows what a job is, and its errors name the place.
 *
 * Threads: pure, but for standard input. */
#ifndef TERRACE_CLIENT_CLI_WARM_WORDS_H
#define TERRACE_CLIENT_CLI_WARM_WORDS_H

#include "client/cli/words.h"

enum {
    WARM_WORDS_ERROR_MAX = 160
};

/* `words`: of the verb, whose first argument is `submit` or `register`. INVALID: `error` says what was expected; NO_MEMORY. */
enum status warm_words_json(const struct words *words, struct buf *to,
                            char error[WARM_WORDS_ERROR_MAX]) MUST_USE;
/* The first that is given of the options that belong to a job and to nothing else; NULL: none is. */
const char *warm_words_option(const struct words *words);

#endif
