/* SPDX-License-Identifier: BSD-3-Clause */
/* metrics_text.h -- all numbers of a node in Prometheus' text format, for GET /metrics.
 *
 * The counters of metrics.def, summed over the loops, then what is computed when asked. No label is taken from what
 * clients send, so the number of series is fixed.
 *
 * Threads: any.
 * Errors:  NO_MEMORY; `text` then holds a part. */
#ifndef TERRACE_SERVER_METRICS_TEXT_H
#define TERRACE_SERVER_METRICS_TEXT_H

#include "protocol/bytes.h"

struct node;

enum status metrics_text(struct node *node, struct buf *text) MUST_USE;

#endif
