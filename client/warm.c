/* SPDX-License-Identifier: BSD-3-Clause */
/* warm.c -- warm jobs and hot keys, of the blocking face. */
#include "client/sync.h"
#include "client/warm_face.h"

static enum terrace_status submit(struct terrace *terrace, enum native_warm verb,
                                  const struct terrace_warm_job *job, uint64_t *ret_id, char *error,
                                  size_t error_size)
{
    struct face face;
    uint64_t id = 0;
    const enum terrace_status built = face_warm_submit(&face, verb, job);
    const enum terrace_status status =
        sync_told(terrace, &face, built, &(struct sync_told){.warm_id = &id}, error, error_size);
    if (ret_id != NULL) {
        *ret_id = id;
    }
    return status;
}

enum terrace_status terrace_warm_submit(struct terrace *terrace, const struct terrace_warm_job *job,
                                        uint64_t *ret_id, char *error, size_t error_size)
{
    return submit(terrace, NATIVE_WARM_SUBMIT, job, ret_id, error, error_size);
}

enum terrace_status terrace_warm_register(struct terrace *terrace,
                                          const struct terrace_warm_job *job, uint64_t *ret_id,
                                          char *error, size_t error_size)
{
    return submit(terrace, NATIVE_WARM_REGISTER, job, ret_id, error, error_size);
}

static enum terrace_status no_place(char *error, size_t error_size)
{
    error_say(error, error_size, "no place for the list");
    return TERRACE_BAD_ARGUMENT;
}

static enum terrace_status look(struct terrace *terrace, enum native_warm verb, uint64_t id,
                                int64_t timeout_ms, struct terrace_warm_list *ret_list, char *error,
                                size_t error_size)
{
    struct face face;
    struct terrace_value body = {0};
    const char *why = "";
    if (ret_list == NULL) {
        return no_place(error, error_size);
    }
    *ret_list = (struct terrace_warm_list){0};
    const enum terrace_status built = face_warm_look(&face, verb, id, timeout_ms);
    enum terrace_status status =
        sync_told(terrace, &face, built, &(struct sync_told){.body = &body}, error, error_size);
    if (status == TERRACE_OK) {
        status = face_warm_list((struct slice){body.data, body.size}, verb == NATIVE_WARM_STATUS,
                                ret_list, &why);
        error_say(error, error_size, "%s", why);
    }
    terrace_value_done(&body);
    return status;
}

enum terrace_status terrace_warm_list(struct terrace *terrace, int64_t timeout_ms,
                                      struct terrace_warm_list *ret_list, char *error,
                                      size_t error_size)
{
    return look(terrace, NATIVE_WARM_LIST, 0, timeout_ms, ret_list, error, error_size);
}

enum terrace_status terrace_warm_status(struct terrace *terrace, uint64_t id, int64_t timeout_ms,
                                        struct terrace_warm_list *ret_list, char *error,
                                        size_t error_size)
{
    return look(terrace, NATIVE_WARM_STATUS, id, timeout_ms, ret_list, error, error_size);
}

static enum terrace_status change(struct terrace *terrace, enum native_warm verb, uint64_t id,
                                  uint64_t rate, int64_t timeout_ms, char *error, size_t error_size)
{
    struct face face;
    const enum terrace_status built = face_warm_change(&face, verb, id, rate, timeout_ms);
    return sync_told(terrace, &face, built, &(struct sync_told){0}, error, error_size);
}

enum terrace_status terrace_warm_pause(struct terrace *terrace, uint64_t id, int64_t timeout_ms,
                                       char *error, size_t error_size)
{
    return change(terrace, NATIVE_WARM_PAUSE, id, 0, timeout_ms, error, error_size);
}

enum terrace_status terrace_warm_resume(struct terrace *terrace, uint64_t id, int64_t timeout_ms,
                                        char *error, size_t error_size)
{
    return change(terrace, NATIVE_WARM_RESUME, id, 0, timeout_ms, error, error_size);
}

enum terrace_status terrace_warm_cancel(struct terrace *terrace, uint64_t id, int64_t timeout_ms,
                                        char *error, size_t error_size)
{
    return change(terrace, NATIVE_WARM_CANCEL, id, 0, timeout_ms, error, error_size);
}

enum terrace_status terrace_warm_setrate(struct terrace *terrace, uint64_t id, uint64_t rate,
                                         int64_t timeout_ms, char *error, size_t error_size)
{
    return change(terrace, NATIVE_WARM_SETRATE, id, rate, timeout_ms, error, error_size);
}

enum terrace_status terrace_hot(struct terrace *terrace, unsigned count, int64_t timeout_ms,
                                struct terrace_hot_list *ret_list, char *error, size_t error_size)
{
    struct face face;
    struct terrace_value body = {0};
    const char *why = "";
    if (ret_list == NULL) {
        return no_place(error, error_size);
    }
    *ret_list = (struct terrace_hot_list){0};
    const enum terrace_status built = face_hot(&face, count, timeout_ms);
    enum terrace_status status =
        sync_told(terrace, &face, built, &(struct sync_told){.body = &body}, error, error_size);
    if (status == TERRACE_OK) {
        status = face_hot_list((struct slice){body.data, body.size}, ret_list, &why);
        error_say(error, error_size, "%s", why);
    }
    terrace_value_done(&body);
    return status;
}
