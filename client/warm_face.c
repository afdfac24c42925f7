/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/warm_face.h"

#include "client/warm_job.h"
#include "client/warm_list.h"

/* --- what is asked --------------------------------------------------------------------------------------------------- */

static enum terrace_status begin(struct face *face, enum native_op op, int64_t timeout_ms)
{
    *face = (struct face){.ask = {.op = (uint8_t)op, .timeout_ms = timeout_ms}};
    face->ask.meta = &face->meta;
    return timeout_ms < 0 ? TERRACE_BAD_ARGUMENT : TERRACE_OK;
}

enum terrace_status face_warm_submit(struct face *face, enum native_warm verb,
                                     const struct terrace_warm_job *job)
{
    enum terrace_status status = begin(face, NATIVE_WARM, job != NULL ? job->timeout_ms : 0);
    if (status == TERRACE_OK) {
        status = warm_job_write(job, &face->text);
    }
    if (status != TERRACE_OK) {
        face_done(face);
        return status;
    }
    face->meta.warm = verb;
    face->ask.body = buf_slice(&face->text);
    face->ask.is_write = true;
    return TERRACE_OK;
}

enum terrace_status face_warm_look(struct face *face, enum native_warm verb, uint64_t id,
                                   int64_t timeout_ms)
{
    const enum terrace_status status = begin(face, NATIVE_WARM, timeout_ms);
    face->meta.warm = verb;
    face->meta.warm_id = id;
    return status;
}

enum terrace_status face_warm_change(struct face *face, enum native_warm verb, uint64_t id,
                                     uint64_t rate, int64_t timeout_ms)
{
    const enum terrace_status status = face_warm_look(face, verb, id, timeout_ms);
    face->meta.warm_rate = rate;
    face->ask.is_write = true;
    return status;
}

enum terrace_status face_hot(struct face *face, unsigned count, int64_t timeout_ms)
{
    const enum terrace_status status = begin(face, NATIVE_HOT, timeout_ms);
    face->meta.hot = count;
    return status;
}

/* --- what is answered ------------------------------------------------------------------------------------------------ */

static enum terrace_status told(enum status status, const char **ret_error)
{
    if (status == OK) {
        return TERRACE_OK;
    }
    *ret_error = status == NO_MEMORY ? "no memory for the list" : "a list that cannot be read";
    return status == NO_MEMORY ? TERRACE_NO_MEMORY : TERRACE_REFUSED;
}

enum terrace_status face_warm_list(struct slice body, bool is_one,
                                   struct terrace_warm_list *ret_list, const char **ret_error)
{
    enum status status = warm_list_jobs(body, ret_list);
    if (status == OK && is_one && ret_list->count != 1) {
        terrace_warm_list_done(ret_list); /* who asks for one looks at the first without counting */
        status = MALFORMED;
    }
    return told(status, ret_error);
}

enum terrace_status face_hot_list(struct slice body, struct terrace_hot_list *ret_list,
                                  const char **ret_error)
{
    return told(warm_list_keys(body, ret_list), ret_error);
}
