/* SPDX-License-Identifier: BSD-3-Clause */
/* face.h -- what both faces do: from the arguments of a call to a request, from an outcome to a value.
 *
 * Threads: any. */
#ifndef TERRACE_CLIENT_FACE_H
#define TERRACE_CLIENT_FACE_H

#include "client/core.h"

/* An ask and what it borrows. Built by one of face_*, then finished by who knows on_done. Not to be copied. */
struct face {
    struct ask ask;
    struct native_request meta;
    struct slice key;
    struct slice *words;     /* of many keys; by malloc */
    struct slice *tag_words; /* by malloc */
    struct buf text;         /* a warm job as JSON */
};

/* OK; BAD_ARGUMENT, NO_MEMORY: nothing to give back. Otherwise face_done. */
enum terrace_status face_read(struct face *face, uint8_t op, struct slice key,
                              const struct terrace_read_options *options);
enum terrace_status face_mget(struct face *face, const struct terrace_pair *pairs,
                              const size_t *which, size_t count,
                              const struct terrace_read_options *options);
enum terrace_status face_set(struct face *face, struct slice key, struct slice body,
                             const struct terrace_write_options *options);
enum terrace_status face_delete(struct face *face, struct slice key,
                                const struct terrace_write_options *options);
enum terrace_status face_fill(struct face *face, struct slice key,
                              const struct terrace_token *token, struct slice body,
                              const struct terrace_write_options *options);
enum terrace_status face_fail(struct face *face, struct slice key,
                              const struct terrace_token *token, int64_t negative_ms);
enum terrace_status face_invalidate(struct face *face, const struct terrace_invalidation *what);
enum terrace_status face_command(struct face *face, const void *const *words, const size_t *sizes,
                                 size_t count, int64_t timeout_ms);
void face_done(struct face *face);

/* From L0, without the loop. OK, STALE: *value is filled in. MISS: the node is to be asked. */
enum terrace_status face_near(struct near *near, struct slice key,
                              const struct terrace_read_options *options,
                              struct terrace_value *value);
/* When nothing could be asked: what L0 has up to options->spare_ms old, as STALE, in place of a miss. */
void face_spare(struct near *near, struct slice key, const struct terrace_read_options *options,
                enum terrace_status *status, struct terrace_value *value);

/* Into *value. `borrow`: its bytes stay the outcome's; otherwise they are taken or copied: NO_MEMORY. */
enum terrace_status face_value(struct outcome *outcome, struct terrace_value *value, bool borrow);
/* Memory by malloc becomes the value's. */
void value_take(struct terrace_value *value, void *memory, const void *data, size_t size);

#endif
