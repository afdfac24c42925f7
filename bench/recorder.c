/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    FLUSH_SIZE = 256 << 10
};

static void fail(struct recorder *recorder, const char *why)
{
    if (!recorder->failed) {
        (void)snprintf(recorder->error, sizeof recorder->error, "the history cannot be written: %s",
                       why);
    }
    recorder->failed = true;
}

static void flush(struct recorder *recorder)
{
    struct buf *out = &recorder->writer.out;
    for (size_t at = 0; at < out->size && !recorder->failed;) {
        ssize_t written = write(recorder->fd, out->data + at, out->size - at);
        if (written < 0 && errno != EINTR) {
            fail(recorder, strerrordesc_np(errno));
        }
        at += written > 0 ? (size_t)written : 0;
    }
    out->size = 0;
}

enum status recorder_open(struct recorder *recorder, const char *name,
                          const struct history_header *header)
{
    recorder->fd = strcmp(name, "-") == 0
                       ? STDOUT_FILENO
                       : open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (recorder->fd < 0) {
        (void)snprintf(recorder->error, sizeof recorder->error, "%.200s: %s", name,
                       strerrordesc_np(errno));
        return INVALID;
    }
    return history_write_header(&recorder->writer, header);
}

void recorder_add(struct recorder *recorder, struct history_record record)
{
    if (history_write(&recorder->writer, record) != OK) {
        fail(recorder, "out of memory");
    }
    if (recorder->writer.out.size >= FLUSH_SIZE) {
        flush(recorder);
    }
}

void recorder_flush(struct recorder *recorder)
{
    if (history_write_flush(&recorder->writer) != OK) {
        fail(recorder, "out of memory");
    }
    flush(recorder);
}

enum status recorder_end(struct recorder *recorder)
{
    if (history_write_end(&recorder->writer) != OK) {
        fail(recorder, "out of memory");
    }
    flush(recorder);
    if (recorder->fd > STDERR_FILENO && close(recorder->fd) != 0) {
        fail(recorder, strerrordesc_np(errno));
    }
    recorder->fd = -1;
    return recorder->failed ? INVALID : OK;
}

void recorder_done(struct recorder *recorder)
{
    if (recorder->fd > STDERR_FILENO) {
        (void)close(recorder->fd);
    }
    recorder->fd = -1;
    history_writer_done(&recorder->writer);
}
