/* SPDX-License-Identifier: BSD-3-Clause */
/* rows.h -- the namespaces of all nodes on a screen, those of one name together, in the order that is asked for.
 *
 * Owns:    its list; names are those of the samples. */
#ifndef TERRACE_CLIENT_CLI_ROWS_H
#define TERRACE_CLIENT_CLI_ROWS_H

#include "client/cli/screen.h"

struct row {
    const struct sample_namespace *ns; /* of the first node that has it */
    double ops, writes, hits, misses;  /* per second */
    double items, bytes, bytes_max;
};

struct rows {
    struct row *at;
    size_t count;
};

/* NO_MEMORY: there may be some, all the same. */
enum status rows_read(struct rows *rows, const struct screen *screen) MUST_USE;
void rows_done(struct rows *rows);

#endif
