/* SPDX-License-Identifier: BSD-3-Clause */
/* snapshot_file.h -- a snapshot as a file of its place: written whole or not at all, and read.
 *
 * It is written under another name and takes the former's place when it is whole and on the disk, so a crash in the middle,
 * or a full disk, leaves the former one. 0600.
 *
 * Threads: any, each its own; they block.
 * Errors:  INVALID: errno where it was written; MALFORMED, INVALID with a text where it is read. */
#ifndef TERRACE_SERVER_SNAPSHOT_FILE_H
#define TERRACE_SERVER_SNAPSHOT_FILE_H

#include "server/snapshot_place.h"

/* One that is being written. */
struct snapshot_writing {
    struct snapshot_head head;
    bool ends; /* the node, and in order */
    uint64_t bytes_max;
    struct snapshot_writer writer; /* what it says stays until snapshot_writing_done */
    struct buf gathered;
    int fd;
};

enum status snapshot_file_write(const struct snapshot_place *place,
                                struct snapshot_writing *writing,
                                struct namespaces *spaces) MUST_USE;
void snapshot_writing_done(struct snapshot_writing *writing);

/* One to read. */
struct snapshot_file {
    int fd;
    struct snapshot_reader reader; /* its error says why not */
};

/* MISS: there is no file of that name. snapshot_file_close in any case, as below. */
enum status snapshot_file_find(const struct snapshot_place *place, const char *name, int flags,
                               uint64_t raw_max, struct snapshot_file *file) MUST_USE;
/* By a name that somebody gave; "": the node's own. INVALID, MALFORMED, NO_MEMORY: `error` says why not, and it is closed. */
enum status snapshot_file_open(const struct snapshot_place *place, struct slice name,
                               uint64_t raw_max, struct snapshot_file *file,
                               char error[SNAPSHOT_ERROR_MAX]) MUST_USE;
void snapshot_file_close(struct snapshot_file *file);

/* What stands where it says that the node ended in order (snapshot.h: ENDED). */
enum status snapshot_file_set_ended(int fd, uint64_t word) MUST_USE;

#endif
