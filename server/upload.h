/* SPDX-License-Identifier: BSD-3-Clause */
/* upload.h -- a write whose value is never here as a whole: journey 3, when the value is larger than L1 keeps.
 *
 *      conn->in     *3 $3 SET $1 k $300000000  | \r\n *1 $4 PING ...
 *      conn->body                     upload: [ 300000000 bytes ] -> a line of L2 (tiers/upload.h)
 *
 * It begins and is read as a body is (body.h), but the words in front of the value and the value itself go on to L2 as they
 * come. While LIMIT_STREAM_AHEAD bytes wait there to be written, the client is not read. L2 runs nothing of it yet. When the
 * words behind the value are here, the call is dispatched as any other: order, rights, quotas, a pause and L2 itself are
 * asked then. If it may run, the rest of its bytes is relayed on the same line, as a write; if not, the line is closed.
 *
 * Who has no right to the key, as far as its words in front tell, or is over his quota at the beginning, sends nothing to L2.
 * MANAGED keys: L2 gets the script that writes them (managed_write.h), with the value in front of all else. What stands
 * around the value is written behind it; as its checksum begins with words in front of the value, all of these must be
 * known at the head. So CACHE.SET goes so only without options, and nothing that goes so is compressed.
 *
 * Also held whole, as any other value: one of a plain namespace with `writers = nodes`, or of a managed one that writes
 * behind; in MULTI, under WATCH, and by a connection that is subscribed or monitors; under a name of rename-command; for
 * a key that is too long for L1.
 *
 * It takes another link than the connection's other calls, so it runs when all before it are answered, and what comes behind it
 * waits until it is. If L2 is lost before it has all, what still comes of the value is dropped, and the answer is L2DOWN.
 * A client that sends nothing for LIMIT_OUTPUT_PAUSE_MS in the middle of a value is closed.
 *
 * Owns:    itself, as the body of its connection.
 * Threads: the worker's. */
#ifndef TERRACE_SERVER_UPLOAD_H
#define TERRACE_SERVER_UPLOAD_H

#include "protocol/envelope.h"
#include "protocol/hash.h"
#include "protocol/resp_read.h"
#include "server/call.h"

struct tiers_upload;
struct upload;

/* For the request in front of `rest`, which stores argument `at` as it is. NULL: it is held whole. Takes what of the value is
 * in `rest`. */
struct upload *upload_begin(struct conn *conn, const struct command *command, struct slice rest,
                            const struct request_body *at);
void upload_take(struct upload *upload, struct slice bytes);
void upload_end(struct upload *upload);  /* what has not been relayed never will be */
void upload_free(struct upload *upload); /* ends it, too */
/* For people: what stands in place of the value. */
struct slice upload_text(const struct upload *upload);
/* What its end is made of, for a managed key. */
struct upload_value {
    struct tiers_upload *tiers;
    struct line *line;  /* with OK */
    enum status status; /* else why there is none */
    struct envelope envelope;
    struct hash_sum sum;
    char head[ENVELOPE_HEAD_SIZE];
};

/* Takes it out of the call that is dispatched; NULL: its value is among its arguments. */
struct upload_value *upload_hand(const struct call *call);
void upload_value_free(struct upload_value *value); /* NULL is fine */
/* Dispatched: relays the rest. */
void upload_call(struct call *call, struct upload *upload);

#endif
