/* SPDX-License-Identifier: BSD-3-Clause */
/* pen.h -- writes lines of a screen that is so wide and so high, and nothing beyond.
 *
 * Threads: pure. */
#ifndef TERRACE_CLIENT_CLI_PEN_H
#define TERRACE_CLIENT_CLI_PEN_H

#include "client/cli/text.h"

struct pen {
    struct buf *to;
    unsigned rows; /* 0: no end */
    unsigned columns;
    bool is_live;
    bool color;
    bool utf8;
    /* private */
    unsigned row;
    unsigned column;
    bool failed;
};

/* At the column it has come to; what does not fit is left out. */
void pen_text(struct pen *pen, enum tone tone, struct slice text);
void pen_put(struct pen *pen, enum tone tone, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Spaces up to this column. */
void pen_to(struct pen *pen, unsigned column);
/* Text that ends in front of this column. */
void pen_right(struct pen *pen, unsigned column, enum tone tone, const char *text);
/* A bar as long as the share (0 to 1) of `width`. */
void pen_bar(struct pen *pen, enum tone tone, double share, unsigned width);
void pen_line(struct pen *pen); /* the next line */
unsigned pen_lines_left(const struct pen *pen);

#endif
