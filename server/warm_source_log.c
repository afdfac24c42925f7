/* SPDX-License-Identifier: BSD-3-Clause */
/* warm_source_log.c -- the keys that an access log in warm-dir names most (warm_log.h). The cursor is how many were given.
 *
 * A thread of libuv's pool counts; when it has, they are given from memory. */
#include "server/warm_file.h"
#include "server/warm_log.h"
#include "server/warm_source.h"
#include "server/worker.h"
#include "tiers/hot_list.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE (256u << 10)

struct log_source {
    struct warm_feed source; /* first */
    uv_work_t work;
    int fd;
    struct warm_log *log;      /* NULL: it was counted */
    struct warm_log_row *rows; /* NULL: not counted yet */
    struct buf keys;           /* theirs */
    size_t count;
    size_t given;
    bool works;
    _Atomic bool closed;
    /* of the thread, while it works: */
    size_t want;
    int trouble; /* errno */
    size_t held; /* bytes of a line whose end is not here */
    char piece[PIECE];
};

static enum status log_open_source(const struct warm_source_at *at, struct warm_feed **ret_source,
                                   char error[WARM_ERROR_MAX])
{
    struct log_source *log = calloc(1, sizeof(*log));
    uint64_t given = 0;
    if (log == NULL) {
        return NO_MEMORY;
    }
    log->log = warm_log_new(WARM_LOG_KEYS, at->job->db);
    if (log->log == NULL) {
        free(log);
        return NO_MEMORY;
    }
    const enum status status =
        warm_file_open(at->worker->node, "$.source.log", at->job->text, &log->fd, error);
    if (status != OK) {
        warm_log_free(log->log);
        free(log);
        return status;
    }
    log->given = slice_to_u64(at->cursor, &given) == OK ? given : 0;
    log->want = at->job->n;
    *ret_source = &log->source;
    return OK;
}

static void log_free(struct log_source *log)
{
    (void)close(log->fd);
    warm_log_free(log->log);
    buf_done(&log->keys);
    free(log->rows);
    free(log);
}

static void log_close(struct warm_feed *source)
{
    struct log_source *log = (struct log_source *)(void *)source;
    atomic_store(&log->closed, true);
    if (!log->works) {
        log_free(log);
    }
}

/* --- in a thread ----------------------------------------------------------------------------------------------------- */

/* The lines of what is there; the last may go on in the next piece. */
static enum status log_cut(struct log_source *log, size_t size, bool is_last)
{
    size_t at = 0;
    enum status status = OK;
    while (at < size && status == OK) {
        const char *end = memchr(log->piece + at, '\n', size - at);
        if (end == NULL && !is_last) {
            break;
        }
        const size_t length = end == NULL ? size - at : (size_t)(end - log->piece) - at;
        status = warm_log_line(log->log, (struct slice){log->piece + at, length});
        at += length + (end != NULL);
    }
    log->held = at < size ? size - at : 0;
    if (log->held == sizeof(log->piece)) {
        log->held = 0; /* no line of a log is so long */
    }
    memmove(log->piece, log->piece + at, log->held);
    return status;
}

/* The hottest, with copies of their keys: the others may be a million. */
static enum status log_keep_hottest(struct log_source *log)
{
    size_t size = 0;
    enum status status = warm_log_take(log->log, log->want, &log->rows, &log->count);
    for (size_t i = 0; i < log->count && status == OK; i++) {
        size += log->rows[i].key.size;
    }
    if (status == OK) {
        status = buf_reserve(&log->keys, size + 1);
    }
    for (size_t i = 0; i < log->count && status == OK; i++) {
        struct slice *key = &log->rows[i].key;
        const char *copy = log->keys.data + log->keys.size;
        status = buf_append_slice(&log->keys, *key); /* there is room: nothing moves */
        key->data = copy;
    }
    struct warm_log_row *fewer =
        status == OK ? realloc(log->rows, (log->count + 1) * sizeof(*fewer)) : NULL;
    log->rows = fewer != NULL ? fewer : log->rows;
    return status;
}

static void log_on_work(uv_work_t *work)
{
    struct log_source *log = work->data;
    ssize_t size = 1;
    while (size > 0 && log->trouble == 0 && !atomic_load(&log->closed)) {
        size = read(log->fd, log->piece + log->held, sizeof(log->piece) - log->held);
        if (size < 0) {
            log->trouble = errno == EINTR ? 0 : errno;
            size = 1;
        } else if (log_cut(log, log->held + (size_t)size, size == 0) != OK) {
            log->trouble = ENOMEM;
        }
    }
    if (log->trouble == 0 && !atomic_load(&log->closed) && log_keep_hottest(log) != OK) {
        log->trouble = ENOMEM;
        log->count = 0;
    }
    warm_log_free(log->log); /* here, where nobody waits for it */
    log->log = NULL;
}

/* --- and back -------------------------------------------------------------------------------------------------------- */

/* As much as goes into a batch: if it has to be opened again for the next, it counts anew. */
static void log_give(struct log_source *log)
{
    struct warm_feed *source = &log->source;
    struct warm_batch *batch = source->batch;
    enum status status = OK;
    while (status == OK && log->given < log->count && batch->keys.size < WARM_BATCH_BYTES) {
        const struct warm_log_row *row = &log->rows[log->given++];
        status = warm_batch_add(source, row->key, row->db, hot_heat((double)row->count));
    }
    if (log->trouble != 0 || status != OK) {
        const int number = log->trouble != 0 ? log->trouble : ENOMEM;
        (void)snprintf(batch->error, sizeof(batch->error), "the log cannot be read: %s",
                       strerror(number)); /* NOLINT(concurrency-mt-unsafe): glibc's is */
    }
    (void)snprintf(batch->cursor, sizeof(batch->cursor), "%zu", log->given);
    batch->total = log->count;
    batch->is_last = log->given >= log->count;
}

static void log_on_worked(uv_work_t *work, int status)
{
    struct log_source *log = work->data;
    (void)status;
    log->works = false;
    if (atomic_load(&log->closed)) {
        log_free(log);
        return;
    }
    worker_read_clock(log->source.at.worker);
    log_give(log);
    log->source.at.on_batch(log->source.at.arg);
}

static enum status log_pull(struct warm_feed *source)
{
    struct log_source *log = (struct log_source *)(void *)source;
    if (log->rows != NULL) {
        log_give(log);
        return OK;
    }
    log->work.data = log;
    log->works =
        uv_queue_work(&source->at.worker->loop, &log->work, log_on_work, log_on_worked) == 0;
    return log->works ? PENDING : NO_MEMORY;
}

const struct warm_source_kind warm_source_log = {log_open_source, log_pull, log_close,
                                                 WARM_LOG_WEIGHT};
