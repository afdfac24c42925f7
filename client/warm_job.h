/* SPDX-License-Identifier: BSD-3-Clause */
/* warm_job.h -- a warm job of the application as JSON, which is what nodes take.
 *
 * Threads: pure.
 * Errors:  BAD_ARGUMENT (no such source, no text, numbers below 0), NO_MEMORY; `to` is to be freed either way. */
#ifndef TERRACE_CLIENT_WARM_JOB_H
#define TERRACE_CLIENT_WARM_JOB_H

#include "client/terrace.h"
#include "protocol/bytes.h"

enum terrace_status warm_job_write(const struct terrace_warm_job *job, struct buf *to);

#endif
