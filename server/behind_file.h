/* SPDX-License-Identifier: BSD-3-Clause */
/* behind_file.h -- the log of write-behind (tiers/behind.h) on the disk, and the thread that writes it.
 *
 * The folder holds one file, behind.N.log with the largest N, of the user alone (0600), and a lock: two nodes never share
 * one. The thread takes what was appended, writes it, and calls fdatasync: at once if nothing came for GROUP_MS, else every
 * GROUP_MS, so that all who write meanwhile share one. When the file has grown to twice what waits it is written anew, as
 * behind.N+1.log: in pieces, while the former one takes what comes, and both do; it is whole before it has its name, so
 * whatever a crash leaves, the file with the largest N is good. Where there is no room or no memory for it, the former goes on.
 *
 *      workers: behind_take, behind_file_wake ... thread: write, fdatasync, behind_log_safe ~> on_safe
 *
 * A disk that refuses FAILS it: one line in the log, behind_log_failed, and nothing more is written. When L2 has all that
 * waited the file is removed, so that the next start does not send it over what is newer; if that fails, too, the log says
 * so. Then a new file is begun as soon as the disk takes one. A log that was deleted or replaced, or its folder, fails it for
 * good: what is found there belongs to somebody else. That is looked at after each group, so nothing is acknowledged that a
 * start would not find, and once a second while something waits.
 *      A disk that hangs is seen by those who wait (behind_tick).
 *
 * Threads: behind_file_wake by any; on_safe and sync come on the thread.
 * Errors:  INVALID with a text: the folder cannot be used, or the log holds a record that is not good and not the last. */
#ifndef TERRACE_SERVER_BEHIND_FILE_H
#define TERRACE_SERVER_BEHIND_FILE_H

#include "tiers/base/log.h"
#include "tiers/behind.h"

struct behind_file;

struct behind_file_options {
    const char *folder; /* made if it is not there */
    struct behind *behind;
    struct log *log;
    void (*on_safe)(void *arg);
    int (*sync)(void *arg, int fd); /* in place of fdatasync; NULL: that */
    void *arg;
};

enum {
    BEHIND_FILE_ERROR_MAX = 320
};

/* Reads what is there into `behind`, and begins a new file with it. */
enum status behind_file_open(const struct behind_file_options *options,
                             struct behind_file **ret_file,
                             char error[BEHIND_FILE_ERROR_MAX]) MUST_USE;
void behind_file_wake(struct behind_file *file);
/* What was appended is on the disk afterwards; the thread ends. NULL is fine. A disk that hangs is waited for. */
void behind_file_close(struct behind_file *file);

#endif
