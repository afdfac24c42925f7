/* SPDX-License-Identifier: BSD-3-Clause */
/* tracking_client_inner.h -- what tracking_client.c (who tracks what), tracking_tell.c (how he is told), tracking_news.c
 * (of what) and tracking_call.c (his calls) share.
 *
 * Threads: the worker's own. */
#ifndef TERRACE_SERVER_TRACKING_CLIENT_INNER_H
#define TERRACE_SERVER_TRACKING_CLIENT_INNER_H

#include "server/tracking_client.h"

/* By bytes, the shorter first: what begins with a prefix lies together. */
int tracking_compare(struct slice a, struct slice b);

/* Rows of those for whom Redis tracks are apart: the node's own announcements do not find them. */
static inline uint64_t tracking_hash_apart(uint64_t hash, uint64_t client)
{
    return hash ^ (client * 0x9e3779b97f4a7c15u);
}
void tracking_drop_row(struct tracking_client *client, struct slice key, uint64_t hash);

/* tracking_tell.c. The half of what is told that names keys is written to the desk's `value`: */
enum status tracking_append_count(struct buf *out, char type, size_t count) MUST_USE;
enum status tracking_append_key(struct buf *out, struct slice key) MUST_USE;
/* and told. Not OK, without memory to say which: everything. */
void tracking_tell_built(struct tracking_client *client, enum status status);
void tracking_tell_key(struct tracking_client *client, struct slice key);
/* What Redis told his line: an array of keys, or nil. */
void tracking_tell_line_keys(struct tracking_client *client, struct slice keys);
/* `value` is the second half: an array of keys, or nil. */
void tracking_deliver(struct conn *conn, struct slice value, bool redirected);
void tracking_say_broken(struct tracking_client *client); /* nobody is there to whom he redirects */
void tracking_empty(struct buf *buf);                     /* it keeps some of its memory */

/* tracking_news.c */
void tracking_read_news(struct worker *worker);

/* tracking_call.c: rows leave while the table is too full. */
void tracking_keep_within_limit(struct worker *worker);

#endif
