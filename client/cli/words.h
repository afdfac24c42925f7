/* SPDX-License-Identifier: BSD-3-Clause */
/* words.h -- the grammar of the command line: what stands in argv, by what a verb takes.
 *
 *      terrace [global option]... VERB [argument | option of the verb | global option]...
 *
 * An option is `--name`, `--name VALUE` or `--name=VALUE`, or its letter, `-n VALUE`; `--` ends them, so that what begins
 * with a dash can be an argument; `-` alone is one. Options of the verb come before global ones of the same name.
 *
 * Owns:    a `struct words` owns its two lists; the texts are argv's.
 * Threads: pure.
 * Errors:  INVALID with `error` set to one line that names the word and what was expected; NO_MEMORY. */
#ifndef TERRACE_CLIENT_CLI_WORDS_H
#define TERRACE_CLIENT_CLI_WORDS_H

#include "protocol/bytes.h"

enum option_kind {
    OPTION_FLAG,   /* no value */
    OPTION_TEXT,   /* any text */
    OPTION_TIME,   /* ms: 250ms, 2s, 5m, 1h, 7d; a bare number is ms */
    OPTION_NUMBER, /* 0 .. INT64_MAX */
    OPTION_LIST    /* any text; may be given several times */
};

/* A line of a table that ends with a line without a name. */
struct option_spec {
    const char *name; /* with its dashes */
    char letter;      /* 0: none */
    enum option_kind kind;
    const char *value;   /* what stands for it in the help; NULL: a flag */
    const char *summary; /* NULL: not shown */
};

struct option_given {
    const struct option_spec *spec;
    const char *text;
    int64_t number; /* OPTION_TIME, OPTION_NUMBER */
};

enum {
    WORDS_ERROR_MAX = 256
};

struct words {
    const char **arguments; /* NULL: none; else a NULL stands behind the last, as execvp wants it */
    size_t argument_count;
    struct option_given *options;
    size_t option_count;
    int used; /* words of argv that were read */
    char error[WORDS_ERROR_MAX];
};

/* Reads argv[0 .. argc) by the tables `first` and `second` (NULL: none). With `stops` reading ends in front of the first
 * argument (the verb), `used` words in. What was read before stays: a second call goes on with the same lists. */
enum status words_read(struct words *words, int argc, const char *const *argv,
                       const struct option_spec *first, const struct option_spec *second,
                       bool stops) MUST_USE;
void words_done(struct words *words);

bool words_has(const struct words *words, const char *name);
const char *words_text(const struct words *words, const char *name); /* NULL: not given */
int64_t words_number(const struct words *words, const char *name, int64_t preset);

/* "250ms", "2s" ... in ms. INVALID. */
enum status words_time_ms(const char *text, int64_t *ret_ms) MUST_USE;

#endif
