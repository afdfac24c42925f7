/* SPDX-License-Identifier: BSD-3-Clause */
/* verdict.h -- what the judge found, in words and as JSON.
 *
 * Threads: one. Errors: NO_MEMORY when the JSON cannot be made or written. */
#ifndef TERRACE_CLIENT_CHECK_VERDICT_H
#define TERRACE_CLIENT_CHECK_VERDICT_H

#include "client/check/judge.h"

#include <stdio.h>

/* `seconds`: what the judging took. */
void verdict_text(FILE *out, const struct judge *judge, double seconds);
enum status verdict_json(FILE *out, const struct judge *judge, double seconds) MUST_USE;

#endif
