/* SPDX-License-Identifier: BSD-3-Clause */
/* wrap.h -- values of managed namespaces into their envelopes and out of them.
 *
 * Writing is one step. Reading is three, so that a value is decoded right into the item that keeps it, whose size was
 * checked before:
 *
 *      envelope_read(reply, &envelope)           MISS: no envelope    MALFORMED
 *      unwrap_size(window, ns, &envelope)        MALFORMED: so little cannot become so much
 *                                                AGAIN: written with a dictionary that this node reads from L2 just now
 *                                                MISS: ... which is not there, or not what it should be
 *      unwrap_value(window, ns, &envelope, dst)  value_size bytes, or MALFORMED
 *
 * A value is compressed if it has `compress-min` bytes and at most WRAP_COMPRESS_MAX, and if that saves 12 %; with the
 * namespace's dictionary if there is one (dictionary.h).
 *
 * Values that are not compressed need no window.
 *
 * Threads: the window's.
 * Errors:  as above; nothing that L2 holds is worse than a miss. */
#ifndef TERRACE_TIERS_WRAP_H
#define TERRACE_TIERS_WRAP_H

#include "protocol/envelope.h"
#include "tiers/namespace.h"

#define WRAP_COMPRESS_MAX (16u << 20) /* takes 30 ms, for which the loop stands still */

struct desk_waiter;
struct tiers_window;

/* Appends the envelope of `value`. Of `head` the caller fills in soft, version, fresh_ms, swr_ms, sie_ms, load_ms, tag_count,
 * and kind if it is ENVELOPE_NEGATIVE, for which there is no value; the rest is found here. INVALID: a tag or a number is
 * out of its limits (envelope.h). TOO_BIG: above LIMIT_BULK. NO_MEMORY. */
enum status wrap_value(struct tiers_window *window, struct namespace *ns,
                       const struct envelope *head, const struct slice *tags, struct slice value,
                       struct buf *out) MUST_USE;

/* The same envelope, appended, for who keeps it where no dictionary is (behind.h): MISS: it needs none. INVALID: it cannot be
 * read, or not yet. NO_MEMORY. */
enum status wrap_loosen(struct tiers_window *window, struct namespace *ns, struct slice envelope,
                        struct buf *out) MUST_USE;
/* And back, with the dictionary that is current. MISS: it stays as it is. NO_MEMORY. */
enum status wrap_tighten(struct tiers_window *window, struct namespace *ns, struct slice envelope,
                         struct buf *out) MUST_USE;

enum status unwrap_size(struct tiers_window *window, struct namespace *ns,
                        const struct envelope *envelope) MUST_USE;
/* After it was AGAIN, in the same turn: on_known comes when it is worth asking again (dictionary_desk.h). */
void unwrap_wait(struct tiers_window *window, struct namespace *ns, const struct envelope *envelope,
                 struct desk_waiter *waiter);
/* After unwrap_size was OK, in the same turn. */
enum status unwrap_value(struct tiers_window *window, struct namespace *ns,
                         const struct envelope *envelope, char *dst) MUST_USE;

#endif
