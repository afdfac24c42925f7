/* SPDX-License-Identifier: BSD-3-Clause */
/* log.h -- one line per event, for machines first: logfmt or JSON on a file descriptor.
 *
 *      ts=2026-11-21T09:00:00.123Z level=notice event=l2_up msg="epoch=3"
 *
 * No line ever holds a value of a client's key. Lines above LOG_LINES_PER_SECOND are dropped and counted, and the next
 * line that passes says how many. What others said stands in a line as text: control bytes as spaces, bytes that are no
 * UTF-8 as '?'. A message above LOG_MESSAGE_MAX, or with hundreds of quotes, which take two bytes each, is cut, and ends
 * with "...".
 *
 * Threads: any; one write(2) per line, so lines do not mix. */
#ifndef TERRACE_TIERS_BASE_LOG_H
#define TERRACE_TIERS_BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum log_level {
    LOG_DEBUG,
    LOG_VERBOSE,
    LOG_NOTICE,
    LOG_WARNING
};
enum {
    LOG_LINES_PER_SECOND = 200,
    LOG_MESSAGE_MAX = 1023, /* before quotes are escaped */
    LOG_LINE_MAX = 2048     /* below PIPE_BUF, so that no line is torn */
};

struct log {
    int fd;
    bool json;
    _Atomic int level;
    _Atomic int64_t second; /* in which `lines` were written */
    _Atomic unsigned lines;
    _Atomic unsigned suppressed;
};

void log_open(struct log *log, int fd, bool json, enum log_level level);
/* By the names of the option: debug, verbose, notice, warning; false: none of them. */
bool log_level_read(const char *name, enum log_level *ret_level);
void log_write(struct log *log, enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
