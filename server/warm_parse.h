/* SPDX-License-Identifier: BSD-3-Clause */
/* warm_parse.h -- the JSON of a warm job is read where nobody waits for it.
 *
 * WARM_JSON_MAX bytes of it, a hundred thousand keys, take as long as thousands of requests of clients do. So what is
 * larger than WARM_PARSE_HERE is read in a thread of libuv's pool; the rest at once.
 *
 * Owns:    nothing: `json` is borrowed until the end, `job` is the caller's from then on.
 * Threads: the worker's loop; on_parsed comes there, and keeps the loop alive until then. */
#ifndef TERRACE_SERVER_WARM_PARSE_H
#define TERRACE_SERVER_WARM_PARSE_H

#include "server/warm_json.h"

#include <uv.h>

enum {
    WARM_PARSE_HERE = 16 * 1024 /* bytes: a fraction of a millisecond */
};

struct worker;

/* Embedded by who asks; one at a time. */
struct warm_parse {
    uv_work_t work; /* first; private */
    struct slice json;
    void (*on_parsed)(struct warm_parse *parse); /* exactly once after PENDING, never from inside */
    enum status status;                          /* of warm_job_parse, and so what follows */
    struct warm_job job;
    char error[WARM_ERROR_MAX];
};

/* Begin: json and on_parsed are set. OK: `status` is there. PENDING. */
enum status warm_parse(struct worker *worker, struct warm_parse *parse) MUST_USE;

#endif
