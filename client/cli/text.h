/* SPDX-License-Identifier: BSD-3-Clause */
/* text.h -- what people read: figures with units, bytes that cannot harm a terminal, colours, tables.
 *
 * Owns:    a table owns its cells.
 * Threads: pure. */
#ifndef TERRACE_CLIENT_CLI_TEXT_H
#define TERRACE_CLIENT_CLI_TEXT_H

#include "protocol/bytes.h"

enum {
    FIGURE_MAX = 24
};

/* Into dst[FIGURE_MAX], which is returned. */
const char *text_bytes(char dst[FIGURE_MAX], double bytes); /* "812 B", "1.5 MiB" */
const char *text_count(char dst[FIGURE_MAX], double count); /* "950", "12.3k", "4.56M" */
const char *text_duration(char dst[FIGURE_MAX],
                          double seconds); /* "85us", "1.2ms", "3.4s", "2h05m" */

/* Appends bytes so that they are seen and do nothing: control signs and what is no UTF-8 as \n, \x1b ... */
enum status text_append_shown(struct buf *to, struct slice bytes) MUST_USE;
/* Columns that it takes on a terminal: one for each character. */
size_t text_width(struct slice text);

enum tone {
    TONE_NONE,
    TONE_BOLD,
    TONE_DIM,
    TONE_GOOD,
    TONE_WARN,
    TONE_BAD,
    TONE_TITLE
};
/* The sequence that begins the tone, or "" without colours; text_plain ends it. */
const char *text_tone(enum tone tone, bool color);
const char *text_plain(bool color);

/* --- tables -------------------------------------------------------------------------------------------------------- */

enum {
    TABLE_COLUMNS_MAX = 24
};

struct table_cell {
    char *text; /* NULL: memory was refused */
    enum tone tone;
};

struct table {
    size_t columns;
    const char *titles[TABLE_COLUMNS_MAX];
    bool is_number[TABLE_COLUMNS_MAX]; /* to the right */
    struct table_cell *cells;
    size_t count;
    bool failed;
};

void table_column(struct table *table, const char *title, bool is_number);
/* Cells come row by row. */
void table_add(struct table *table, struct slice text, enum tone tone);
void table_addf(struct table *table, enum tone tone, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Rows in lines, appended; nothing if there are none. */
enum status table_write(const struct table *table, bool color, struct buf *to) MUST_USE;
void table_done(struct table *table);

#endif
