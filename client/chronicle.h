/* SPDX-License-Identifier: BSD-3-Clause */
/* chronicle.h -- the last things that happened to endpoints and regions, for people.
 *
 * Threads: one at a time. All zeros is an empty one. */
#ifndef TERRACE_CLIENT_CHRONICLE_H
#define TERRACE_CLIENT_CHRONICLE_H

#include "client/cluster.h"

struct chronicle {
    struct cluster_event events[CLUSTER_EVENTS_MAX];
    uint64_t count; /* that ever were */
};

/* Text that is too long is cut. `address` NULL: of a region. */
void chronicle_note(struct chronicle *chronicle, int64_t now_ms, const char *address,
                    const char *region, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* The newest first; returns how many are kept. */
size_t chronicle_read(const struct chronicle *chronicle, struct cluster_event *events, size_t room);

#endif
