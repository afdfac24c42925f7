/* SPDX-License-Identifier: BSD-3-Clause */
/* reply.h -- the words a command answers with.
 *
 * A handler writes exactly one whole answer (an aggregate counts with all its elements) in the protocol its client
 * speaks; the differences of RESP2 and RESP3 stay in here and in protocol/resp_write.
 *
 * Error text is API: the first word is what clients test. reply_error takes the whole text ("ERR value is not ..."),
 * turns CR and LF into spaces, and counts it by its first word (INFO errorstats).
 *
 * Threads: one loop's. */
#ifndef TERRACE_SERVER_REPLY_H
#define TERRACE_SERVER_REPLY_H

#include "server/out.h"

struct item;
struct native_ticket;
struct worker;

struct reply {
    struct out out;
    struct worker *worker;              /* for its counters */
    uint8_t proto;                      /* 2 or 3 */
    bool failed;                        /* an error was written since the owner last cleared it */
    const struct native_ticket *native; /* of a request that came in a frame (native.h); or NULL */
};

void reply_ok(struct reply *reply);
void reply_status(struct reply *reply, const char *text); /* "+text" */
void reply_error(struct reply *reply, const char *text);
void reply_errorf(struct reply *reply, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void reply_integer(struct reply *reply, int64_t number);
void reply_boolean(struct reply *reply, bool value);              /* RESP2: 1 or 0 */
void reply_double_text(struct reply *reply, struct slice digits); /* RESP3 double, RESP2 bulk */
void reply_bulk(struct reply *reply, struct slice bytes);
void reply_bulk_text(struct reply *reply, const char *text);
void reply_bulk_integer(struct reply *reply, int64_t number); /* digits as a bulk string */
void reply_item(struct reply *reply,
                struct item *item); /* its value as a bulk; borrowed, large ones referenced */
void reply_item_part(struct reply *reply, struct item *item,
                     struct slice part); /* the same of what lies in its value */
void reply_null(struct reply *reply);
void reply_null_array(struct reply *reply);
void reply_array(struct reply *reply, size_t count);
void reply_map(struct reply *reply, size_t pairs);
void reply_push(struct reply *reply, size_t count); /* RESP3 push, RESP2 array */
/* A pair of a map. */
void reply_pair_text(struct reply *reply, const char *name, const char *text);
void reply_pair_integer(struct reply *reply, const char *name, int64_t number);
void reply_pair_double(struct reply *reply, const char *name, double number); /* to thousandths */
void reply_set(struct reply *reply, size_t count);
void reply_verbatim(struct reply *reply, struct slice text); /* RESP3 "txt", RESP2 bulk */
void reply_raw(struct reply *reply,
               struct slice bytes); /* already RESP of the right protocol: relayed */

/* The texts that many commands share. */
void reply_wrong_arity(
    struct reply *reply,
    const char *full_name);                   /* "ERR wrong number of arguments for '%s' command" */
void reply_syntax_error(struct reply *reply); /* "ERR syntax error" */
void reply_not_integer(struct reply *reply);  /* "ERR value is not an integer or out of range" */
void reply_out_of_memory(
    struct reply *reply); /* "OOM command not allowed when used memory > 'maxmemory'." */
/* HELP of a container command: a status per line, as Redis' addReplyHelp, with its first and last lines. */
void reply_help(struct reply *reply, const char *command_upper, const char *const *lines,
                size_t count);

#endif
