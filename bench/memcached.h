/* SPDX-License-Identifier: BSD-3-Clause */
/* memcached.h -- memcached's meta commands, said and understood as RESP, so that whoever sends and judges knows one.
 *
 *      GET key              mg key v                   VA 5\r\nhello        $5\r\nhello
 *                                                      EN (nothing there)   _
 *      SET key v [EX s]     ms key size [Ts]\r\nv      HD                   +OK
 *      PING                 mn                         MN                   +PONG
 *                                                      SERVER_ERROR why     -ERROR why
 *
 * The older `get` and `set` are not used: memcached 1.6.18 writes the answer to every `get` of a pipeline by itself, four
 * times the CPU time of `mg`, and what is compared is its best. Values are not copied: the RESP head is written over the
 * end of memcached's.
 *
 * Units:  a time to live in seconds; beyond 30 days memcached would take it for a date, so it becomes 30 days.
 * Limits: a head of MEMCACHED_LINE_MAX bytes; memcached itself takes keys of 250 bytes.
 * Errors: AGAIN: not whole yet; MALFORMED: no memcached speaks so; NO_MEMORY. */
#ifndef TERRACE_BENCH_MEMCACHED_H
#define TERRACE_BENCH_MEMCACHED_H

#include "protocol/bytes.h"

enum {
    MEMCACHED_LINE_MAX = 2048,
    MEMCACHED_TTL_MAX_S = 30 * 24 * 3600
};

/* Appends one of the requests above; any other is a bug of the caller. */
enum status memcached_append_request(struct buf *out, size_t argc,
                                     const struct slice *argv) MUST_USE;

/* The first whole answer in `size` bytes, which are written to only if it is OK: *ret_used of them are taken. The reply
 * is RESP; it lies in these bytes, or is a constant. */
enum status memcached_take_reply(char *bytes, size_t size, size_t *ret_used,
                                 struct slice *ret_reply) MUST_USE;

#endif
