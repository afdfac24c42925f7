/* SPDX-License-Identifier: BSD-3-Clause */
/* trace.h -- a recorded stream of requests, in memory.
 *
 * One request a line: `timestamp key size ttl`, fields apart by spaces or tabs; empty lines and lines that begin with #
 * are skipped. Timestamp: seconds, with or without a fraction; a replay against a server goes as fast as that
 * answers. Key: any bytes without a blank. Size: bytes of the value. ttl: seconds, 0 is none or not known.
 *
 * A name that ends in .xz is read through `xz -dc` in a child process, `-` is standard input, anything else is read as
 * it is. The whole trace is read before the first request is sent: decompression must not compete with what is
 * measured. A request takes 16 bytes, a distinct key its own size and about 24.
 *
 * With `copies`, each line is that many requests, one after the other, for keys of their own: `#000`, `#001` and so on
 * behind the line's. A policy treats each copy as it would the trace alone with its share of the memory.
 *
 * Owns:    everything it holds.
 * Threads: read-only after trace_read.
 * Limits:  TRACE_REQUESTS_MAX requests, keys of TRACE_KEY_MAX bytes, values of LIMIT_BULK.
 * Errors:  MALFORMED, TOO_BIG, INVALID (cannot be read), NO_MEMORY, each with one line in `error` that names the file
 *          and, where there is one, the line. */
#ifndef TERRACE_BENCH_TRACE_H
#define TERRACE_BENCH_TRACE_H

#include "protocol/bytes.h"

enum {
    TRACE_KEY_MAX = 65535,
    TRACE_REQUESTS_MAX = 1 << 30
};

struct trace_request {
    uint32_t key; /* which distinct key: 0 .. key_count - 1, in order of first appearance */
    uint32_t size;
    uint32_t ttl_s;
    uint32_t time_s; /* whole seconds of the timestamp, at most UINT32_MAX */
};

struct trace {
    uint32_t copies; /* set before reading: so many requests for each line, see above; 0 is 1 */
    struct trace_request *requests;
    uint32_t count;
    uint32_t key_count;
    uint64_t value_bytes; /* of all distinct keys, at the size they first appear with */
    char error[512];

    /* private */
    uint32_t capacity;
    struct buf key_bytes;
    size_t *key_ends;    /* key i ends here in key_bytes, and begins where key i - 1 ends */
    uint32_t *key_first; /* the request that names key i first */
    uint32_t key_capacity;
    uint32_t *slots;     /* open addressing: key + 1, 0 is free */
    uint32_t slot_count; /* a power of two, at most half of it in use */
    uint64_t line;       /* the line being read, for messages */
};

/* All zeros is an empty trace. limit 0: all of it. */
enum status trace_read(struct trace *trace, const char *name, uint64_t limit) MUST_USE;
/* One line, without its line end, as trace_read takes it; for tests and other sources. */
enum status trace_add_line(struct trace *trace, const char *name, struct slice line) MUST_USE;
void trace_done(struct trace *trace);

struct slice trace_key(const struct trace *trace, uint32_t key);
/* The request in which key first appears: its size and ttl stand for the key when it is loaded beforehand. */
const struct trace_request *trace_first(const struct trace *trace, uint32_t key);

#endif
