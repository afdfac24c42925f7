/* SPDX-License-Identifier: BSD-3-Clause */
/* warm_view.h -- warm jobs for people: a table of them, one with all that is known, one in a line with its bar.
 *
 * Jobs are maps of CACHE.WARM LIST and STATUS.
 *
 * Threads: pure. */
#ifndef TERRACE_CLIENT_CLI_WARM_VIEW_H
#define TERRACE_CLIENT_CLI_WARM_VIEW_H

#include "client/cli/pen.h"
#include "client/cli/tree.h"

void warm_view_columns(struct table *table);
void warm_view_row(struct table *table, const struct tree *job);
/* "job 7  running  pattern w:*", then its figures, its nodes, its failures. `now_ms`: of the wall clock. */
enum status warm_view_all(const struct tree *job, int64_t now_ms, bool color,
                          struct buf *to) MUST_USE;
/* One line without an end, in what the pen has. `bar`: columns for it; 0: none. */
void warm_view_line(struct pen *pen, const struct tree *job, unsigned bar);

/* "done", "failed" ... : it goes no further. */
bool warm_view_has_ended(const struct tree *job);
bool warm_view_stands(const struct tree *job); /* it submits others, and has no end of its own */
bool warm_view_is_done(const struct tree *job);

#endif
