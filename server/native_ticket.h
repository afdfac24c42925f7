/* SPDX-License-Identifier: BSD-3-Clause */
/* native_ticket.h -- what goes with a request of a native connection (native.h), on its way down and, when its answer comes
 * later, up: whose answer it is, and how long its client waits. */
#ifndef TERRACE_SERVER_NATIVE_TICKET_H
#define TERRACE_SERVER_NATIVE_TICKET_H

#include "protocol/bytes.h"

struct native_several;

struct native_ticket {
    uint32_t id;
    uint32_t index; /* MGET: which key */
    uint8_t op;
    bool is_last;         /* of the requests that its frame was made into */
    uint32_t patience_ms; /* of its client; 0: none was said */
    int64_t read_at_ms;   /* 0: in this turn */
    int64_t deadline_ms;  /* from execution on; clock.h; 0: none */
    /* MGET: all that its frame was made into; holds one part of it. */
    struct native_several *several;
    struct slice traceparent; /* in `memory` */
    const char *refusal;      /* of a frame that is no request: why; NULL: it is one */
    void *memory;             /* of the metadata; until the request is executed */
};

#endif
