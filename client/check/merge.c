/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/check/merge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    READ_SIZE = 1 << 18,
    SESSION_BITS = 27
};

_Static_assert(1u << SESSION_BITS == HISTORY_SESSIONS_MAX, "a session and a file fit 32 bits");

struct merge_source {
    const char *name;
    int fd;
    struct history_reader reader;
    struct buf in;
    size_t in_at;
    bool ended;
    uint32_t at;
    uint32_t count;
    uint16_t node[HISTORY_NODES_MAX]; /* of the file -> of the run */
    struct history_record records[HISTORY_BLOCK_RECORDS];
};

static enum status complain(struct merge *merge, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static enum status complain(struct merge *merge, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(merge->error, sizeof merge->error, format, arguments);
    va_end(arguments);
    return INVALID;
}

/* ------------------------------------------------------------------ one file */

static enum status receive(struct merge *merge, struct merge_source *source)
{
    buf_consume(&source->in, source->in_at);
    source->in_at = 0;
    if (buf_reserve(&source->in, READ_SIZE) != OK) {
        return NO_MEMORY;
    }
    ssize_t got = 0;
    do {
        got = read(source->fd, source->in.data + source->in.size, READ_SIZE);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return complain(merge, "%s: %s", source->name, strerrordesc_np(errno));
    }
    source->in.size += (size_t)got;
    source->ended = got == 0;
    return OK;
}

static enum status complain_of(struct merge *merge, const struct merge_source *source)
{
    return complain(merge, "%s: %s", source->name, source->reader.error);
}

/* One header, or one block: `count` records are there then. Nothing more comes: `ended`. */
static enum status read_some(struct merge *merge, struct merge_source *source)
{
    source->at = 0;
    for (;;) {
        struct slice input = {source->in.data + source->in_at, source->in.size - source->in_at};
        size_t used = 0;
        enum status status =
            history_read(&source->reader, input, source->records, &source->count, &used);
        if (status == OK) {
            source->in_at += used;
            return OK;
        }
        if (status != AGAIN) {
            return complain_of(merge, source);
        }
        if (source->ended) {
            return history_read_end(&source->reader, input.size) == OK ? OK
                                                                       : complain_of(merge, source);
        }
        status = receive(merge, source);
        if (status != OK) {
            return status;
        }
    }
}

static enum status fill(struct merge *merge, struct merge_source *source)
{
    enum status status = OK;
    while (status == OK && source->at == source->count && !source->ended) {
        status = read_some(merge, source);
    }
    return status;
}

/* ------------------------------------------------------------------ the run */

static enum status add_node(struct merge *merge, struct merge_source *source, uint32_t i)
{
    struct history_header *run = &merge->header;
    const struct history_node *node = &source->reader.header.node[i];
    uint32_t at = 0;
    while (at < run->nodes && strcmp(run->node[at].name, node->name) != 0) {
        at++;
    }
    if (at == HISTORY_NODES_MAX) {
        return complain(merge, "%s: the files have more than %d nodes", source->name,
                        HISTORY_NODES_MAX);
    }
    if (at == run->nodes) {
        run->node[run->nodes++] = *node;
    } else if (run->node[at].bound_ns != node->bound_ns) {
        return complain(merge, "%s: node %s has another bound than in the files before",
                        source->name, node->name);
    }
    source->node[i] = (uint16_t)at;
    return OK;
}

static enum status add_header(struct merge *merge, struct merge_source *source)
{
    const struct history_header *header = &source->reader.header;
    struct history_header *run = &merge->header;
    if (source == merge->sources) {
        *run = *header;
        run->nodes = 0;
    }
    if (strcmp(run->prefix, header->prefix) != 0 || run->bound_ns != header->bound_ns ||
        run->slack_ns != header->slack_ns || run->grace_ns != header->grace_ns) {
        return complain(merge, "%s: not of the same run: prefix, bound, slack or grace differ",
                        source->name);
    }
    run->keys = header->keys > run->keys ? header->keys : run->keys;
    for (uint32_t i = 0; i < header->nodes; i++) {
        if (add_node(merge, source, i) != OK) {
            return INVALID;
        }
    }
    return OK;
}

static enum status open_one(struct merge *merge, struct merge_source *source, const char *name)
{
    bool standard = strcmp(name, "-") == 0;
    source->name = standard ? "standard input" : name;
    source->fd = standard ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
    if (source->fd < 0) {
        return complain(merge, "%s: %s", name, strerrordesc_np(errno));
    }
    enum status status = read_some(merge, source);
    if (status == OK && !source->reader.has_header) {
        return complain(merge, "%s: at byte 0: the file is empty", source->name);
    }
    return status == OK ? add_header(merge, source) : status;
}

enum status merge_open(struct merge *merge, const char *const *names, uint32_t count)
{
    *merge = (struct merge){0};
    if (count == 0 || count > MERGE_FILES_MAX) {
        return complain(merge, "1 to %d files can be judged together", MERGE_FILES_MAX);
    }
    merge->sources = calloc(count, sizeof *merge->sources);
    if (merge->sources == NULL) {
        return NO_MEMORY;
    }
    merge->count = count;
    for (uint32_t i = 0; i < count; i++) {
        merge->sources[i].fd = -1;
    }
    enum status status = OK;
    for (uint32_t i = 0; i < count && status == OK; i++) {
        status = open_one(merge, &merge->sources[i], names[i]);
    }
    return status;
}

void merge_done(struct merge *merge)
{
    for (uint32_t i = 0; i < merge->count; i++) {
        buf_done(&merge->sources[i].in);
        if (merge->sources[i].fd > STDIN_FILENO) {
            (void)close(merge->sources[i].fd);
        }
    }
    free(merge->sources);
    merge->sources = NULL;
    merge->count = 0;
}

enum status merge_next(struct merge *merge, struct history_record *ret_record)
{
    struct merge_source *next = NULL;
    for (uint32_t i = 0; i < merge->count; i++) {
        struct merge_source *source = &merge->sources[i];
        if (source->at == source->count) {
            enum status status = fill(merge, source);
            if (status != OK) {
                return status;
            }
        }
        bool has_more = source->at < source->count;
        if (has_more && (next == NULL || history_moment(&source->records[source->at]) <
                                             history_moment(&next->records[next->at]))) {
            next = source;
        }
    }
    if (next == NULL) {
        return MISS;
    }
    *ret_record = next->records[next->at++];
    ret_record->session |= (uint32_t)(next - merge->sources) << SESSION_BITS;
    ret_record->node = next->node[ret_record->node];
    return OK;
}
