/* SPDX-License-Identifier: BSD-3-Clause */
/* namespace_report.h -- all figures of one namespace, for INFO, /metrics and CACHE.NAMESPACES.
 *
 * Threads: any, while namespaces stay (namespace.h). */
#ifndef TERRACE_SERVER_NAMESPACE_REPORT_H
#define TERRACE_SERVER_NAMESPACE_REPORT_H

#include "server/quota_watch.h"

struct namespace_report {
    struct l1_stats l1; /* hits and misses without those that were found and could not be served */
    uint64_t tallies[TALLY_COUNT];
    struct quota_use uses[QUOTA_KINDS];
};

void namespace_report(const struct node *node, const struct namespace *ns,
                      struct namespace_report *ret_report);

/* A line of tally.def. */
struct tally_line {
    const char *name;
    const char *prometheus;
    const char *labels;
    const char *help;
};
const struct tally_line *tally_line(enum tally tally);

#endif
