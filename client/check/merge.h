/* SPDX-License-Identifier: BSD-3-Clause */
/* merge.h -- the files of one run as one history: records by their moments, sessions and nodes renumbered.
 *
 * Files belong together if they have the same key prefix, bound, slack and grace; nodes of the same name are the same
 * node. `-` is standard input; pipes will do.
 *
 * Owns:    descriptors and buffers.
 * Threads: one.
 * Limits:  MERGE_FILES_MAX.
 * Errors:  INVALID with one line in `error`: file, offset, what is wrong. NO_MEMORY. */
#ifndef TERRACE_CLIENT_CHECK_MERGE_H
#define TERRACE_CLIENT_CHECK_MERGE_H

#include "protocol/history.h"

enum {
    MERGE_FILES_MAX = 32 /* a session is the file's number and 27 bits */
};

struct merge_source;

struct merge {
    struct history_header header; /* of the run; the description of the first file */
    struct merge_source *sources;
    uint32_t count;
    char error[400];
};

/* Opens the files and reads their headers. */
enum status merge_open(struct merge *merge, const char *const *names, uint32_t count) MUST_USE;
void merge_done(struct merge *merge);
/* The next record. MISS: that was all. */
enum status merge_next(struct merge *merge, struct history_record *ret_record) MUST_USE;

#endif
