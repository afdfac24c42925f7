/* SPDX-License-Identifier: BSD-3-Clause */
/* warm_face.h -- what both faces do for warm jobs and hot keys: from the arguments of a call to a request, from a node's
 * body to a list. As face.h for all else.
 *
 * Threads: any. */
#ifndef TERRACE_CLIENT_WARM_FACE_H
#define TERRACE_CLIENT_WARM_FACE_H

#include "client/face.h"

/* As face_*. `verb` of each: those of native_codec.h that the name says. */
enum terrace_status face_warm_submit(struct face *face, enum native_warm verb,
                                     const struct terrace_warm_job *job);
enum terrace_status face_warm_look(struct face *face, enum native_warm verb, uint64_t id,
                                   int64_t timeout_ms);
enum terrace_status face_warm_change(struct face *face, enum native_warm verb, uint64_t id,
                                     uint64_t rate, int64_t timeout_ms);
enum terrace_status face_hot(struct face *face, unsigned count, int64_t timeout_ms);

/* The list in the body of an answer, which is OK. `is_one`: exactly one job, or none at all. REFUSED, NO_MEMORY: it is
 * empty, and *ret_error says why. Otherwise terrace_warm_list_done, terrace_hot_done. */
enum terrace_status face_warm_list(struct slice body, bool is_one,
                                   struct terrace_warm_list *ret_list, const char **ret_error);
enum terrace_status face_hot_list(struct slice body, struct terrace_hot_list *ret_list,
                                  const char **ret_error);

#endif
