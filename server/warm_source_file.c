/* SPDX-License-Identifier: BSD-3-Clause */
/* warm_source_file.c -- a key per line of a file. The cursor is the byte behind the last line that was given.
 *
 * A disk may be slow, so a thread of libuv's pool reads, a piece at a time. Lines end with LF or CR LF; empty ones, and those
 * that are too long for a key of L1, are stepped over. How many keys there are is counted before the first are given,
 * unless the file is larger than COUNTED_MAX. */
#include "protocol/limits.h"
#include "server/warm_file.h"
#include "server/warm_source.h"
#include "server/worker.h"
#include "tiers/base/list.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE (2 * LIMIT_L1_KEY)
#define COUNTED_MAX \
    (UINT64_C(256) << 20) /* bytes: a fraction of a second, and more from a slow disk */

struct file_source {
    struct warm_feed source; /* first */
    uv_work_t work;
    int fd;
    uint64_t at; /* byte */
    bool works;
    bool closed;
    /* of the thread, while it works: */
    struct buf keys; /* lines: u32 size, bytes */
    size_t keys_max;
    bool is_counted;
    uint64_t total; /* UINT64_MAX: not known */
    bool is_end;
    int trouble;  /* errno */
    bool is_long; /* in a line that is too long */
    char piece[PIECE];
};

static enum status file_open(const struct warm_source_at *at, struct warm_feed **ret_source,
                             char error[WARM_ERROR_MAX])
{
    struct file_source *file = calloc(1, sizeof(*file));
    if (file == NULL) {
        return NO_MEMORY;
    }
    const enum status status =
        warm_file_open(at->worker->node, "$.source.file", at->job->text, &file->fd, error);
    if (status != OK) {
        free(file);
        return status;
    }
    if (slice_to_u64(at->cursor, &file->at) != OK) {
        file->at = 0;
    }
    *ret_source = &file->source;
    return OK;
}

static void file_free(struct file_source *file)
{
    (void)close(file->fd);
    buf_done(&file->keys);
    free(file);
}

static void file_close(struct warm_feed *source)
{
    struct file_source *file = (struct file_source *)(void *)source;
    file->closed = true;
    if (!file->works) {
        file_free(file);
    }
}

/* --- in a thread ----------------------------------------------------------------------------------------------------- */

/* What a line is without its end; false: it is no key. */
static bool file_key(struct slice *line)
{
    if (line->size > 0 && line->data[line->size - 1] == '\r') {
        line->size--;
    }
    return line->size > 0 && line->size < LIMIT_L1_KEY;
}

/* The lines that begin in the piece; the last one of the file may have no end. How many bytes of it are done with. */
static size_t file_count_piece(struct file_source *file, size_t size, bool is_last, bool *is_long)
{
    size_t done = 0;
    while (done < size) {
        const char *begin = file->piece + done;
        const char *end = memchr(begin, '\n', size - done);
        if (end == NULL && !is_last) {
            break;
        }
        struct slice line = {begin, end == NULL ? size - done : (size_t)(end - begin)};
        done += line.size + (end != NULL);
        file->total += !*is_long && file_key(&line);
        *is_long = false;
    }
    if (done == 0 && !is_last) { /* a line without an end */
        *is_long = true;
        done = size;
    }
    return done;
}

/* All keys there are, unless that would take long; what cannot be read is told by who reads them. */
static void file_count(struct file_source *file)
{
    uint64_t at = 0;
    bool is_long = false;
    ssize_t size = sizeof(file->piece);
    file->is_counted = true;
    file->total = 0;
    while (size == (ssize_t)sizeof(file->piece) && at <= COUNTED_MAX) {
        size = pread(file->fd, file->piece, sizeof(file->piece), (off_t)at);
        if (size >= 0) {
            const bool is_last = (size_t)size < sizeof(file->piece);
            at += file_count_piece(file, (size_t)size, is_last, &is_long);
        }
    }
    if (size < 0 || at > COUNTED_MAX) {
        file->total = UINT64_MAX;
    }
}

static enum status file_keep(struct file_source *file, struct slice line)
{
    char size[sizeof(uint32_t)];
    if (!file_key(&line)) {
        return OK;
    }
    put_u32le(size, (uint32_t)line.size);
    const enum status status = buf_append(&file->keys, size, sizeof(size));
    file->keys_max--;
    return status == OK ? buf_append_slice(&file->keys, line) : status;
}

/* The lines of the piece; how many bytes of it are done with. */
static size_t file_cut(struct file_source *file, size_t size, bool is_last)
{
    size_t done = 0;
    while (file->keys_max > 0 && done < size) {
        const char *line = file->piece + done;
        const char *end = memchr(line, '\n', size - done);
        if (end == NULL && !is_last) {
            break;
        }
        const size_t length = end == NULL ? size - done : (size_t)(end - line);
        if (!file->is_long && file_keep(file, (struct slice){line, length}) != OK) {
            file->trouble = ENOMEM;
            break;
        }
        file->is_long = false;
        done += length + (end != NULL);
    }
    return done;
}

static void file_on_work(uv_work_t *work)
{
    struct file_source *file = work->data;
    if (!file->is_counted) {
        file_count(file);
    }
    while (file->keys_max > 0 && file->keys.size < WARM_BATCH_BYTES && file->trouble == 0 &&
           !file->is_end) {
        const ssize_t size = pread(file->fd, file->piece, sizeof(file->piece), (off_t)file->at);
        if (size < 0) {
            file->trouble = errno == EINTR ? 0 : errno;
            continue;
        }
        const bool is_last = (size_t)size < sizeof(file->piece);
        size_t done = file_cut(file, (size_t)size, is_last);
        if (done == 0 && !is_last && file->trouble == 0) { /* a line without an end */
            done = (size_t)size;
            file->is_long = true;
        }
        file->at += done;
        file->is_end = is_last && done == (size_t)size;
    }
}

/* --- and back -------------------------------------------------------------------------------------------------------- */

static void file_give(struct file_source *file)
{
    struct warm_feed *source = &file->source;
    struct warm_batch *batch = source->batch;
    for (size_t at = 0; at < file->keys.size && file->trouble == 0;) {
        const struct slice key = {file->keys.data + at + sizeof(uint32_t),
                                  get_u32le(file->keys.data + at)};
        if (warm_batch_add(source, key, source->at.job->db, 0) != OK) {
            file->trouble = ENOMEM;
        }
        at += sizeof(uint32_t) + key.size;
    }
    if (file->trouble != 0) {
        (void)snprintf(batch->error, sizeof(batch->error), "the file cannot be read: %s",
                       strerror(file->trouble)); /* NOLINT(concurrency-mt-unsafe): glibc's is */
    }
    (void)snprintf(batch->cursor, sizeof(batch->cursor), "%" PRIu64, file->at);
    batch->total = file->total;
    batch->is_last = file->is_end;
}

static void file_on_worked(uv_work_t *work, int status)
{
    struct file_source *file = work->data;
    (void)status;
    file->works = false;
    if (file->closed) {
        file_free(file);
        return;
    }
    worker_read_clock(file->source.at.worker);
    file_give(file);
    file->source.at.on_batch(file->source.at.arg);
}

static enum status file_pull(struct warm_feed *source)
{
    struct file_source *file = (struct file_source *)(void *)source;
    file->keys.size = 0;
    file->keys_max = source->at.batch_keys;
    file->work.data = file;
    file->works =
        uv_queue_work(&source->at.worker->loop, &file->work, file_on_work, file_on_worked) == 0;
    return file->works ? PENDING : NO_MEMORY;
}

const struct warm_source_kind warm_source_file = {file_open, file_pull, file_close, 1};
