/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/cli/text.h"

#include "protocol/utf8.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- figures ------------------------------------------------------------------------------------------------------- */

/* Three digits that mean something. */
static const char *three_digits(char dst[FIGURE_MAX], double number, const char *gap,
                                const char *unit)
{
    const int decimals = number >= 99.95 || number == floor(number) ? 0 : number >= 9.995 ? 1 : 2;
    (void)snprintf(dst, FIGURE_MAX, "%.*f%s%s", decimals, number, gap, unit);
    return dst;
}

const char *text_bytes(char dst[FIGURE_MAX], double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t unit = 0;
    for (; bytes >= 999.5 && unit + 1 < sizeof units / sizeof units[0]; unit++) {
        bytes /= 1024;
    }
    return three_digits(dst, unit == 0 ? floor(bytes) : bytes, " ", units[unit]);
}

const char *text_count(char dst[FIGURE_MAX], double count)
{
    static const char *const units[] = {"", "k", "M", "G", "T"};
    size_t unit = 0;
    for (; count >= 999.5 && unit + 1 < sizeof units / sizeof units[0]; unit++) {
        count /= 1000;
    }
    return three_digits(dst, unit == 0 && count >= 10 ? floor(count + 0.5) : count, "",
                        units[unit]);
}

const char *text_duration(char dst[FIGURE_MAX], double seconds)
{
    if (seconds < 0) {
        (void)snprintf(dst, FIGURE_MAX, "-");
    } else if (seconds < 999.5e-6) {
        (void)three_digits(dst, floor(seconds * 1e6 + 0.5), "", "us");
    } else if (seconds < 999.5e-3) {
        (void)three_digits(dst, seconds * 1e3, "", "ms");
    } else if (seconds < 59.95) {
        (void)three_digits(dst, seconds, "", "s");
    } else if (seconds < 3599.5) {
        const unsigned whole = (unsigned)(seconds + 0.5);
        (void)snprintf(dst, FIGURE_MAX, "%um%02us", whole / 60, whole % 60);
    } else if (seconds < 86400) {
        const unsigned minutes = (unsigned)(seconds / 60);
        (void)snprintf(dst, FIGURE_MAX, "%uh%02um", minutes / 60, minutes % 60);
    } else {
        const double hours = floor(seconds / 3600);
        (void)snprintf(dst, FIGURE_MAX, "%.0fd%02.0fh", floor(hours / 24), fmod(hours, 24));
    }
    return dst;
}

/* --- what is seen -------------------------------------------------------------------------------------------------- */

size_t text_width(struct slice text)
{
    size_t width = 0;
    for (size_t i = 0; i < text.size; i++) {
        width += ((unsigned char)text.data[i] & 0xc0) != 0x80;
    }
    return width;
}

/* C1 control signs are two bytes in UTF-8: 0xc2 and 0x80 to 0x9f. */
static bool is_c1(struct slice bytes, size_t i)
{
    return (unsigned char)bytes.data[i] == 0xc2 && i + 1 < bytes.size &&
           (unsigned char)bytes.data[i + 1] < 0xa0;
}

enum status text_append_shown(struct buf *to, struct slice bytes)
{
    const bool is_text = utf8_is(bytes);
    enum status status = OK;
    for (size_t i = 0; i < bytes.size && status == OK; i++) {
        const unsigned char byte = (unsigned char)bytes.data[i];
        const char *named = byte == '\n'   ? "\\n"
                            : byte == '\r' ? "\\r"
                            : byte == '\t' ? "\\t"
                                           : NULL;
        if (named != NULL) {
            status = buf_append(to, named, 2);
        } else if (is_text && is_c1(bytes, i)) {
            status = buf_printf(to, "\\u%04x", (unsigned char)bytes.data[++i]);
        } else if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !is_text)) {
            status = buf_printf(to, "\\x%02x", byte);
        } else {
            status = buf_append(to, &bytes.data[i], 1);
        }
    }
    return status;
}

const char *text_tone(enum tone tone, bool color)
{
    static const char *const codes[] = {
        [TONE_NONE] = "",           [TONE_BOLD] = "\x1b[1m",  [TONE_DIM] = "\x1b[2m",
        [TONE_GOOD] = "\x1b[32m",   [TONE_WARN] = "\x1b[33m", [TONE_BAD] = "\x1b[1;31m",
        [TONE_TITLE] = "\x1b[1;36m"};
    return color ? codes[tone] : "";
}

const char *text_plain(bool color)
{
    return color ? "\x1b[0m" : "";
}

/* --- tables -------------------------------------------------------------------------------------------------------- */

void table_column(struct table *table, const char *title, bool is_number)
{
    table->titles[table->columns] = title;
    table->is_number[table->columns++] = is_number;
}

void table_add(struct table *table, struct slice text, enum tone tone)
{
    struct buf shown = {0};
    struct table_cell *grown = realloc(table->cells, (table->count + 1) * sizeof *grown);
    if (grown != NULL) {
        table->cells = grown;
    }
    if (grown == NULL || text_append_shown(&shown, text) != OK || buf_append(&shown, "", 1) != OK) {
        buf_done(&shown);
        table->failed = true;
        return;
    }
    grown[table->count++] = (struct table_cell){.text = shown.data, .tone = tone};
}

void table_addf(struct table *table, enum tone tone, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    table_add(table, slice_of(text), tone);
}

static enum status write_cell(struct buf *to, const char *text, size_t width, bool right,
                              bool is_last, enum tone tone, bool color)
{
    const size_t own = text_width(slice_of(text));
    const int gap = width > own ? (int)(width - own) : 0;
    return buf_printf(to, "%*s%s%s%s%*s", right ? gap : 0, "", text_tone(tone, color), text,
                      tone == TONE_NONE ? "" : text_plain(color), right || is_last ? 0 : gap, "");
}

static enum status write_row(const struct table *table, const size_t *widths, size_t row,
                             bool color, struct buf *to)
{
    enum status status = OK;
    for (size_t i = 0; i < table->columns && status == OK; i++) {
        const bool is_title = row == 0;
        const struct table_cell *cell =
            is_title ? NULL : &table->cells[(row - 1) * table->columns + i];
        const bool is_last = i + 1 == table->columns;
        status = write_cell(to, is_title ? table->titles[i] : cell->text, widths[i],
                            table->is_number[i], is_last, is_title ? TONE_BOLD : cell->tone, color);
        if (status == OK) {
            status = buf_append(to, "  ", 2);
        }
    }
    while (to->size > 0 && to->data[to->size - 1] == ' ') { /* empty cells at the end */
        to->size--;
    }
    return status == OK ? buf_append(to, "\n", 1) : status;
}

enum status table_write(const struct table *table, bool color, struct buf *to)
{
    size_t widths[TABLE_COLUMNS_MAX];
    if (table->failed) {
        return NO_MEMORY;
    }
    for (size_t i = 0; i < table->columns; i++) {
        widths[i] = text_width(slice_of(table->titles[i]));
    }
    for (size_t i = 0; i < table->count; i++) {
        const size_t width = text_width(slice_of(table->cells[i].text));
        size_t *widest = &widths[i % table->columns];
        *widest = width > *widest ? width : *widest;
    }
    enum status status = OK;
    for (size_t row = 0; row <= table->count / table->columns && status == OK; row++) {
        status = write_row(table, widths, row, color, to);
    }
    return status;
}

void table_done(struct table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        free(table->cells[i].text);
    }
    free(table->cells);
    *table = (struct table){0};
}
