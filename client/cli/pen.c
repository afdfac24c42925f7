/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/cli/pen.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void add(struct pen *pen, const char *text, size_t size)
{
    pen->failed = pen->failed || (size > 0 && buf_append(pen->to, text, size) != OK);
}

static bool is_below(const struct pen *pen)
{
    return pen->rows > 0 && pen->row >= pen->rows;
}

void pen_text(struct pen *pen, enum tone tone, struct slice text)
{
    struct buf shown = {0};
    if (is_below(pen) || pen->column >= pen->columns || text.size == 0) {
        return;
    }
    if (text_append_shown(&shown, text) != OK) {
        pen->failed = true;
    }
    size_t size = 0;
    unsigned width = 0;
    while (size < shown.size) { /* whole characters */
        size_t next = size + 1;
        while (next < shown.size && ((unsigned char)shown.data[next] & 0xc0) == 0x80) {
            next++;
        }
        if (pen->column + width == pen->columns) {
            break;
        }
        width++;
        size = next;
    }
    const char *begin = text_tone(tone, pen->color);
    const char *end = tone == TONE_NONE ? "" : text_plain(pen->color);
    add(pen, begin, strlen(begin));
    add(pen, shown.data, size);
    add(pen, end, strlen(end));
    pen->column += width;
    buf_done(&shown);
}

void pen_put(struct pen *pen, enum tone tone, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    pen_text(pen, tone, slice_of(text));
}

void pen_to(struct pen *pen, unsigned column)
{
    while (pen->column < column && pen->column < pen->columns && !is_below(pen)) {
        add(pen, " ", 1);
        pen->column++;
    }
}

void pen_right(struct pen *pen, unsigned column, enum tone tone, const char *text)
{
    const size_t width = text_width(slice_of(text));
    pen_to(pen, column > width ? column - (unsigned)width : 0);
    pen_text(pen, tone, slice_of(text));
}

void pen_bar(struct pen *pen, enum tone tone, double share, unsigned width)
{
    static const char *const eighths[] = {"",       "\u258f", "\u258e", "\u258d",
                                          "\u258c", "\u258b", "\u258a", "\u2589"};
    const double bounded = share < 0 ? 0 : share > 1 ? 1 : share;
    const unsigned steps = (unsigned)(bounded * width * 8 + 0.5);
    for (unsigned i = 0; i < steps / 8; i++) {
        pen_put(pen, tone, "%s", pen->utf8 ? "\u2588" : "#");
    }
    if (pen->utf8 && steps % 8 > 0) {
        pen_put(pen, tone, "%s", eighths[steps % 8]);
    }
}

void pen_line(struct pen *pen)
{
    if (is_below(pen)) {
        return;
    }
    pen->row++;
    pen->column = 0;
    if (pen->is_live) {
        add(pen, "\x1b[K", 3);
        add(pen, "\r\n", is_below(pen) ? 0 : 2); /* a line end in the last line would scroll */
    } else {
        add(pen, "\n", 1);
    }
}

unsigned pen_lines_left(const struct pen *pen)
{
    return pen->rows == 0 ? 1u << 20 : pen->rows - pen->row;
}
