/* SPDX-License-Identifier: BSD-3-Clause */
/* slowlog.h -- the last commands that took long, for SLOWLOG.
 *
 * Arguments are kept as Redis keeps them: at most 32, each at most 128 bytes, the last one saying how many more there
 * were; passwords are never kept. They are put into WORDS while the arguments are still there, since a deferred answer
 * outlives them:
 *
 *      slowlog_words(&words, argv, argc)   when the call is taken; of a short one, whose bytes are kept, when it was slow
 *      slowlog_note(slowlog, &note)        when it took too long
 *
 * Owns:    its entries.
 * Threads: any; one small lock, held for a copy.
 * Limits:  `length_max` entries, given with each note (the setting may change); an entry is at most about 6 KiB.
 * Errors:  without memory an entry is lost; nobody is told, it is a log. */
#ifndef TERRACE_SERVER_SLOWLOG_H
#define TERRACE_SERVER_SLOWLOG_H

#include "protocol/bytes.h"

enum {
    SLOWLOG_ARGS_MAX = 32,
    SLOWLOG_ARG_BYTES_MAX = 128
};

struct slowlog;

struct slowlog *slowlog_new(void); /* NULL: no memory */
void slowlog_free(struct slowlog *slowlog);

/* Appends the arguments, trimmed and without secrets, as words. */
enum status slowlog_words(struct buf *words, const struct slice *argv, size_t argc) MUST_USE;

/* One more, behind them: `name` and `value` in one word. */
enum status slowlog_word(struct buf *words, const char *name, struct slice value) MUST_USE;

/* Whether argument `i` is a password, or as good as one. */
bool slowlog_is_secret(const struct slice *argv, size_t i);

struct slowlog_note {
    int64_t unix_s;
    uint64_t usec;
    struct slice words; /* of slowlog_words */
    struct slice peer;
    struct slice name;
};
void slowlog_note(struct slowlog *slowlog, const struct slowlog_note *note, size_t length_max);

size_t slowlog_length(struct slowlog *slowlog);
void slowlog_reset(struct slowlog *slowlog); /* ids go on counting */

struct slowlog_entry {
    uint64_t id;
    struct slowlog_note note;
};
/* Newest first: `begin` with the number of entries, at most count_max, then `each` that often; all under the lock. */
struct slowlog_visitor {
    void *arg;
    void (*begin)(void *arg, size_t count);
    void (*each)(void *arg, const struct slowlog_entry *entry);
};
void slowlog_visit(struct slowlog *slowlog, size_t count_max,
                   const struct slowlog_visitor *visitor);

/* Reading words: how many there are, and the next one. */
size_t slowlog_words_count(struct slice words);
struct slice slowlog_words_next(struct slice *words);

#endif
