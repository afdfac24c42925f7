/* SPDX-License-Identifier: BSD-3-Clause */
/* option_table.h -- the lines of options.def as data, and what a value of each may be. Inside options*.c and CONFIG.
 *
 * A reason is the second half of an error line: the caller says where. The wording is that of Redis' CONFIG SET where
 * Redis has one, since clients see it.
 *
 * Threads: the table is constant. */
#ifndef TERRACE_SERVER_OPTION_TABLE_H
#define TERRACE_SERVER_OPTION_TABLE_H

#include "server/options.h"

enum option_type {
    OPTION_TEXT,
    OPTION_WORD,
    OPTION_NUMBER,
    OPTION_BYTES,
    OPTION_TIME,
    OPTION_PERCENT,
    OPTION_BOOL
};
enum option_when {
    OPTION_START,
    OPTION_LIVE
};

struct option {
    const char *name;
    enum option_type type;
    bool of_namespace; /* a line of namespace_options.def */
    size_t offset;     /* of the field in struct options, or in struct namespace_options */
    const char *fallback;
    int64_t minimum; /* equal to maximum: no bounds but 0 */
    int64_t maximum;
    enum option_when when;
    const char *help;
};

enum {
    OPTION_WHERE_MAX = 224,
    OPTION_REASON_MAX = 256,
    OPTION_MEMORY_MIN = 1 << 20, /* of an L1 */
};

unsigned option_count(void);
const struct option *option_at(unsigned i);          /* NULL past the end */
const struct option *option_find(struct slice name); /* any case; NULL: unknown */
unsigned option_index(const struct option *option);  /* in its .def */
/* The option that was probably meant, or NULL. */
const struct option *option_suggest(struct slice name);
/* The same for the settings of a namespace. */
const struct option *namespace_option_at(unsigned i);
const struct option *namespace_option_find(struct slice name);
const struct option *namespace_option_suggest(struct slice name);

/* `fields`: the struct options, or the struct namespace_options, that the option is of. */
char **option_text_field(void *fields, const struct option *option);
bool option_is_text(const struct option *option); /* its field is a string of its own */
bool option_is_secret(const struct option *option);

/* Sets the field. INVALID: `reason` says what was expected. NO_MEMORY. */
enum status option_assign(void *fields, const struct option *option, struct slice value,
                          char reason[OPTION_REASON_MAX]) MUST_USE;
bool option_same(const void *a, const void *b, const struct option *option);
/* As CONFIG GET shows it. `masked`: without passwords. */
enum status option_format(const void *fields, const struct option *option, bool masked,
                          struct buf *text) MUST_USE;

/* What a text must look like: NULL if the value is good, else the reason (a constant, or written into `room`). */
const char *option_check_text(const struct option *option, struct slice value,
                              char room[OPTION_REASON_MAX]);

/* A setting: an option of the node, or of one of its namespaces. */
struct option_place {
    const struct option *option;
    const struct namespace_options *section; /* NULL: the node's */
};
/* What settings must be together: NULL, or the reason and the setting that it is about. */
const char *options_check_together(const struct options *options, char room[OPTION_REASON_MAX],
                                   struct option_place *ret_place);

/* Where a setting is from, as errors say it: file and line, flag ... */
void option_describe(const struct options *options, const struct option_place *place,
                     char where[OPTION_WHERE_MAX]);

/* --- namespaces: option_namespace.c --- */
/* The text of a `mode`. MALFORMED. */
enum status mode_parse(struct slice text, struct namespace_mode *ret_mode) MUST_USE;
const char *mode_check(struct slice text);
const char *prefix_check(struct slice text);
const char *xfetch_check(struct slice text);
const char *write_check(struct slice text);
/* A new section of the file, settings by default. INVALID: `reason` says what was expected. NO_MEMORY. */
enum status namespace_add(struct options *options, struct slice name, unsigned line,
                          char reason[OPTION_REASON_MAX]) MUST_USE;
/* What sections must be when the file is read: NULL, or the reason and the line of the section. */
const char *namespaces_check(const struct options *options, char room[OPTION_REASON_MAX],
                             unsigned *ret_line);
/* Budgets, and what needs an L2: as options_check_together. */
const char *namespaces_check_together(const struct options *options, char room[OPTION_REASON_MAX],
                                      struct option_place *ret_place);
/* option_sense.c. Of settings that contradict each other: as options_check_together. */
const char *namespaces_check_sense(const struct options *options, char room[OPTION_REASON_MAX],
                                   struct option_place *ret_place);
enum status namespaces_copy(const struct options *from, struct options *ret) MUST_USE;
void namespaces_drop(struct options *options);

/* "1s", "250ms", "5m", "2h"; a bare number counts `bare_ms` each. MALFORMED. */
enum status time_parse(struct slice text, int64_t bare_ms, int64_t *ret_ms) MUST_USE;
/* Redis' memory units: b k=1000 kb=1024 m mb g gb. MALFORMED. */
enum status bytes_parse(struct slice text, int64_t *ret_bytes) MUST_USE;

#endif
