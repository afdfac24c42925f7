/* SPDX-License-Identifier: BSD-3-Clause */
/* recorder.h -- writes a history to a file as it happens (protocol/history.h).
 *
 * Owns:    the descriptor and the writer.
 * Threads: one.
 * Errors:  the first failure stays in `failed` with one line in `error`; what comes after it is dropped. */
#ifndef TERRACE_BENCH_RECORDER_H
#define TERRACE_BENCH_RECORDER_H

#include "protocol/history.h"

struct recorder {
    int fd;
    bool failed;
    char error[320];
    struct history_writer writer;
};

/* `name` - is standard output. */
enum status recorder_open(struct recorder *recorder, const char *name,
                          const struct history_header *header) MUST_USE;
void recorder_add(struct recorder *recorder, struct history_record record);
void recorder_flush(struct recorder *recorder); /* all there is so far is in the file */
/* Writes the end mark and closes. INVALID: the history is not whole. */
enum status recorder_end(struct recorder *recorder) MUST_USE;
void recorder_done(struct recorder *recorder);

#endif
