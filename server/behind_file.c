/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/behind_file.h"

#include "protocol/check.h"
#include "tiers/base/clock.h"
#include "tiers/base/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    GROUP_MS = 10,
    /* So often it is looked whether the folder is there, while something waits in it. */
    IDLE_MS = 1000,
    RETRY_MIN_MS = 1000,
    RETRY_MAX_MS = 30000,
    NAME_MAX_SIZE = 48,
    REWRITE_MIN = 16 << 20, /* a file below is not written anew */
    PIECE = 1 << 20,        /* of a file that is: so much between two groups of the other */
};

static const char fresh_name[] = "behind.new";

struct behind_file {
    struct behind_file_options options;
    char *folder;
    int folder_fd;
    int lock_fd;
    int fd;
    struct stat folder_is; /* what the path of the folder led to */
    uint64_t serial;       /* N of its name */
    size_t size;
    size_t rewrite_from; /* not before it is so large */
    int fresh_fd;        /* the next file, while it is written in pieces; -1: it is not */
    size_t fresh_size;
    struct buf bytes; /* being written */
    bool failed;
    bool lost;    /* for good: what is in the folder now is nobody's */
    bool dropped; /* and what it held cannot come back */
    int64_t retry_at_ms;
    int64_t retry_ms;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool woken; /* from here on under lock */
    bool ends;
};

static void name_of(char dst[NAME_MAX_SIZE], uint64_t serial)
{
    (void)snprintf(dst, NAME_MAX_SIZE, "behind.%020" PRIu64 ".log", serial);
}

static enum status refuse(const struct behind_file *file, const char *what,
                          char error[BEHIND_FILE_ERROR_MAX])
{
    (void)snprintf(error, BEHIND_FILE_ERROR_MAX, "behind-dir %s: %s: %s", file->options.folder,
                   what, strerror(errno));
    return INVALID;
}

/* --- writing --------------------------------------------------------------------------------------------------------- */

static int sync_data(const struct behind_file *file, int fd)
{
    return file->options.sync != NULL ? file->options.sync(file->options.arg, fd) : fdatasync(fd);
}

/* It takes bytes; the pieces of what waits follow (behind_rewrite_next). */
static enum status fresh_open(struct behind_file *file)
{
    const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
    file->bytes.size = 0;
    if (behind_log_begin(&file->bytes) != OK) {
        errno = ENOMEM;
        return NO_MEMORY;
    }
    file->fresh_fd = openat(file->folder_fd, fresh_name, flags, S_IRUSR | S_IWUSR);
    file->fresh_size = file->bytes.size;
    if (file->fresh_fd < 0 || disk_write(file->fresh_fd, buf_slice(&file->bytes)) != OK) {
        return INVALID;
    }
    behind_rewrite_begin(file->options.behind);
    return OK;
}

static void fresh_close(struct behind_file *file)
{
    const int why = errno;
    if (file->fresh_fd >= 0) {
        (void)close(file->fresh_fd);
        (void)unlinkat(file->folder_fd, fresh_name, 0);
    }
    file->fresh_fd = -1;
    errno = why;
}

/* One more piece, on the disk: OK; MISS: that was the last one. */
static enum status fresh_write(struct behind_file *file)
{
    const enum status status = behind_rewrite_next(file->options.behind, PIECE, &file->bytes);
    if (status != OK && status != MISS) {
        errno = ENOMEM;
        return status;
    }
    file->fresh_size += file->bytes.size;
    return disk_write(file->fresh_fd, buf_slice(&file->bytes)) == OK &&
                   sync_data(file, file->fresh_fd) == 0
               ? status
               : INVALID;
}

/* It is whole, and the file from now on; then the former one goes. INVALID: it cannot be told which one a start will find. */
static enum status fresh_take(struct behind_file *file)
{
    char name[NAME_MAX_SIZE];
    char former[NAME_MAX_SIZE];
    name_of(former, file->serial);
    name_of(name, file->serial + 1);
    if (sync_data(file, file->fresh_fd) != 0 ||
        renameat(file->folder_fd, fresh_name, file->folder_fd, name) != 0 ||
        fsync(file->folder_fd) != 0) {
        return INVALID;
    }
    if (file->fd >= 0) {
        (void)close(file->fd);
    }
    (void)unlinkat(file->folder_fd, former, 0); /* at start there may be none */
    file->fd = file->fresh_fd;
    file->fresh_fd = -1;
    file->serial++;
    file->size = file->fresh_size;
    file->rewrite_from = REWRITE_MIN;
    return OK;
}

/* All of it at once, while nobody waits. */
static enum status begin_file(struct behind_file *file)
{
    enum status status = fresh_open(file);
    while (status == OK) {
        status = fresh_write(file);
    }
    if (status == MISS) {
        status = fresh_take(file);
    }
    if (status != OK) {
        fresh_close(file);
    }
    return status;
}

static bool wants_rewrite(const struct behind_file *file)
{
    struct behind_counts counts;
    behind_counts(file->options.behind, &counts);
    return file->size > file->rewrite_from && file->size > 2 * counts.bytes;
}

/* That there is no room or no memory for it ends nothing: the file that there is goes on, and it is tried again when that
 * has grown. */
static void rewrite_stop(struct behind_file *file)
{
    log_write(file->options.log, LOG_WARNING, "behind_not_rewritten",
              "behind-dir %s: the log of %zu bytes cannot be written anew (%s); it grows on",
              file->options.folder, file->size, strerror(errno));
    fresh_close(file);
    file->rewrite_from = file->size + REWRITE_MIN;
}

/* Between two groups. INVALID: the disk fails. */
static enum status rewrite_turn(struct behind_file *file)
{
    enum status status = OK;
    if (file->fresh_fd < 0) {
        status = wants_rewrite(file) ? fresh_open(file) : OK;
    } else {
        status = fresh_write(file);
        if (status == MISS) {
            return fresh_take(file);
        }
    }
    if (status != OK) {
        rewrite_stop(file);
    }
    return OK;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* A start would find this file: nobody has deleted or replaced it or its folder. */
static bool is_in_place(const struct behind_file *file)
{
    char name[NAME_MAX_SIZE];
    struct stat folder;
    struct stat named;
    struct stat own;
    name_of(name, file->serial);
    return stat(file->options.folder, &folder) == 0 && is_same(&folder, &file->folder_is) &&
           fstatat(file->folder_fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           fstat(file->fd, &own) == 0 && is_same(&named, &own);
}

/* What was appended so far is safe afterwards. MISS: its place is lost. */
static enum status write_group(struct behind_file *file, uint64_t *ret_number)
{
    *ret_number = behind_log_take(file->options.behind, &file->bytes);
    file->size += file->bytes.size;
    if (file->bytes.size > 0 &&
        (disk_write(file->fd, buf_slice(&file->bytes)) != OK || sync_data(file, file->fd) != 0)) {
        return INVALID;
    }
    if (file->fresh_fd >= 0 && disk_write(file->fresh_fd, buf_slice(&file->bytes)) != OK) {
        rewrite_stop(file);
    } else if (file->fresh_fd >= 0) {
        file->fresh_size += file->bytes.size;
    }
    if (!is_in_place(file)) {
        errno = ENOENT;
        return MISS;
    }
    return OK;
}

static bool file_drop(const struct behind_file *file, uint64_t serial)
{
    char name[NAME_MAX_SIZE];
    name_of(name, serial);
    return unlinkat(file->folder_fd, name, 0) == 0 || errno == ENOENT;
}

/* L2 has all of it, and what is written through from now on is newer: the next start must not find it. */
static void drop_log(struct behind_file *file)
{
    const bool gone = file_drop(file, file->serial) && file_drop(file, file->serial + 1);
    const bool cut = gone || (ftruncate(file->fd, 0) == 0 && fdatasync(file->fd) == 0);
    file->dropped = cut && (!gone || fsync(file->folder_fd) == 0);
    if (file->dropped) {
        log_write(file->options.log, LOG_NOTICE, "behind_dropped",
                  "behind-dir %s: L2 has all that the log held, and it is gone",
                  file->options.folder);
    } else {
        log_write(file->options.log, LOG_WARNING, "behind_stale",
                  "behind-dir %s: L2 has all that the log holds, but it cannot be removed (%s): "
                  "remove it before the next start, or it is sent again over what is newer",
                  file->options.folder, strerror(errno));
    }
}

static int64_t now_ms(void)
{
    return (int64_t)(clock_monotonic_ns() / 1000000);
}

/* Where the disk is as good as before, the log begins anew; nothing waits, so it is empty. */
static void try_again(struct behind_file *file)
{
    if (file->lost || now_ms() < file->retry_at_ms) {
        return;
    }
    if (begin_file(file) != OK || !is_in_place(file)) {
        file->retry_ms = file->retry_ms < RETRY_MAX_MS / 2 ? 2 * file->retry_ms : RETRY_MAX_MS;
        file->retry_at_ms = now_ms() + file->retry_ms;
        return;
    }
    file->failed = file->dropped = false;
    behind_log_recovered(file->options.behind);
    log_write(file->options.log, LOG_NOTICE, "behind_recovered",
              "behind-dir %s: the log takes writes again", file->options.folder);
    file->options.on_safe(file->options.arg);
}

static void fail(struct behind_file *file, enum status status)
{
    file->failed = true;
    file->lost = status == MISS;
    file->retry_ms = RETRY_MIN_MS;
    file->retry_at_ms = now_ms() + RETRY_MIN_MS;
    log_write(file->options.log, LOG_WARNING, file->lost ? "behind_lost" : "behind_failed",
              file->lost
                  ? "behind-dir %s: the log was deleted or replaced (%s): writes go through to "
                    "L2 until the node starts again"
                  : "behind-dir %s: %s; writes go through to L2 until it can be written",
              file->options.folder, strerror(errno));
    fresh_close(file);
    behind_log_failed(file->options.behind);
}

static void turn(struct behind_file *file)
{
    uint64_t number = 0;
    if (file->failed) {
        const bool empty = behind_is_empty(file->options.behind);
        if (empty && !file->dropped) {
            drop_log(file);
        } else if (empty) {
            try_again(file);
        }
        return;
    }
    enum status status = write_group(file, &number);
    const bool tells = file->bytes.size > 0 || status != OK;
    if (status == OK) {
        behind_log_safe(file->options.behind, number);
        status = rewrite_turn(file);
    }
    if (status != OK) {
        fail(file, status);
    }
    if (tells || file->failed) {
        file->options.on_safe(file->options.arg);
    }
}

/* --- the thread ------------------------------------------------------------------------------------------------------ */

/* What comes without being asked for: a new file goes on, a lost one is missed, a failed disk is tried. */
static int64_t wakes_at_ms(const struct behind_file *file)
{
    if (file->fresh_fd >= 0) {
        return now_ms();
    }
    return file->failed || !behind_is_empty(file->options.behind) ? now_ms() + IDLE_MS : INT64_MAX;
}

/* Until somebody wakes it, or it is time, and `from_ms` has come. False: it is to end. */
static bool wait_for_work(struct behind_file *file, int64_t from_ms)
{
    const int64_t by_itself_ms = wakes_at_ms(file);
    (void)pthread_mutex_lock(&file->lock);
    while (!file->ends) {
        const int64_t due_ms = file->woken || by_itself_ms < from_ms ? from_ms : by_itself_ms;
        const struct timespec until = {.tv_sec = due_ms / 1000, .tv_nsec = due_ms % 1000 * 1000000};
        if (due_ms <= now_ms()) {
            break;
        }
        if (due_ms == INT64_MAX) {
            (void)pthread_cond_wait(&file->cond, &file->lock);
        } else {
            (void)pthread_cond_timedwait(&file->cond, &file->lock, &until);
        }
    }
    file->woken = false;
    const bool goes_on = !file->ends;
    (void)pthread_mutex_unlock(&file->lock);
    return goes_on;
}

static void *run(void *arg)
{
    struct behind_file *file = arg;
    int64_t began_ms = 0;
    (void)pthread_setname_np(pthread_self(), "behind");
    while (wait_for_work(file, began_ms + GROUP_MS)) {
        began_ms = now_ms();
        turn(file);
    }
    turn(file);
    return NULL;
}

void behind_file_wake(struct behind_file *file)
{
    (void)pthread_mutex_lock(&file->lock);
    const bool was_woken = file->woken;
    file->woken = true;
    (void)pthread_mutex_unlock(&file->lock);
    if (!was_woken) {
        (void)pthread_cond_signal(&file->cond);
    }
}

/* --- start ----------------------------------------------------------------------------------------------------------- */

static enum status open_folder(struct behind_file *file, char error[BEHIND_FILE_ERROR_MAX])
{
    if (mkdir(file->options.folder, S_IRWXU) != 0 && errno != EEXIST) {
        return refuse(file, "cannot be made", error);
    }
    file->folder_fd = open(file->options.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file->folder_fd < 0) {
        return refuse(file, "cannot be opened", error);
    }
    file->lock_fd =
        openat(file->folder_fd, "behind.lock", O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fstat(file->folder_fd, &file->folder_is) != 0) {
        return refuse(file, "cannot be read", error);
    }
    if (file->lock_fd < 0 || flock(file->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        return refuse(file, "cannot be locked (another node?)", error);
    }
    return OK;
}

/* The largest N; 0: there is no file. Others are what a crash left: what was worth keeping is in the last one. */
static enum status find_serial(struct behind_file *file, char error[BEHIND_FILE_ERROR_MAX])
{
    const int fd = openat(file->folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    if (entries == NULL) {
        (void)(fd >= 0 && close(fd) != 0);
        return refuse(file, "cannot be read", error);
    }
    const struct dirent *entry = NULL;
    while ((entry = readdir(entries)) != NULL) {
        char name[NAME_MAX_SIZE];
        uint64_t serial = 0;
        if (sscanf(entry->d_name, "behind.%20" SCNu64 ".log", &serial) != 1) {
            continue;
        }
        name_of(name, serial);
        if (strcmp(name, entry->d_name) == 0) {
            const uint64_t other = serial < file->serial ? serial : file->serial;
            file->serial = serial > file->serial ? serial : file->serial;
            name_of(name, other);
            (void)unlinkat(file->folder_fd, name, 0);
        }
    }
    (void)closedir(entries);
    return OK;
}

/* The records of the file `name`, into the table. */
static enum status restore(struct behind_file *file, const char *name, struct slice bytes,
                           char error[BEHIND_FILE_ERROR_MAX])
{
    struct behind_log_reader reader;
    struct behind_record record;
    uint64_t count = 0;
    enum status status = behind_log_open(&reader, bytes);
    while (status == OK && (status = behind_log_next(&reader, &record)) == OK) {
        status = behind_restore(file->options.behind, &record);
        count++;
    }
    if (status == NO_MEMORY) {
        errno = ENOMEM;
        return refuse(file, name, error);
    }
    if (status == MALFORMED) {
        (void)snprintf(
            error, BEHIND_FILE_ERROR_MAX,
            "behind-dir %s: %s: no good record at offset %zu of %zu, though more follows; "
            "move the file away to start without its writes",
            file->options.folder, name, reader.offset, bytes.size);
        return INVALID;
    }
    if (status == AGAIN) {
        log_write(
            file->options.log, LOG_NOTICE, "behind_torn",
            "%s: cut at offset %zu of %zu: what follows was being written, and not acknowledged",
            name, reader.offset, bytes.size);
    }
    struct behind_counts counts;
    behind_counts(file->options.behind, &counts);
    log_write(file->options.log, LOG_NOTICE, "behind_restored",
              "%s: %" PRIu64 " records, %zu writes that L2 does not have", name, count,
              counts.entries);
    return OK;
}

static enum status read_log(struct behind_file *file, char error[BEHIND_FILE_ERROR_MAX])
{
    char name[NAME_MAX_SIZE];
    enum status status = find_serial(file, error);
    if (status != OK || file->serial == 0) {
        return status;
    }
    name_of(name, file->serial);
    const int fd = openat(file->folder_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || disk_read_all(fd, SIZE_MAX, &file->bytes) != OK) {
        status = refuse(file, name, error);
    } else {
        status = restore(file, name, buf_slice(&file->bytes), error);
    }
    (void)(fd >= 0 && close(fd) != 0);
    buf_done(&file->bytes);
    return status;
}

static void release(struct behind_file *file)
{
    const int fds[] = {file->fd, file->fresh_fd, file->lock_fd, file->folder_fd};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        (void)(fds[i] >= 0 && close(fds[i]) != 0);
    }
    (void)pthread_cond_destroy(&file->cond);
    (void)pthread_mutex_destroy(&file->lock);
    buf_done(&file->bytes);
    free(file->folder);
    free(file);
}

static struct behind_file *file_new(const struct behind_file_options *options)
{
    struct behind_file *file = calloc(1, sizeof(*file));
    char *folder = strdup(options->folder);
    if (file == NULL || folder == NULL) {
        free(folder);
        free(file);
        return NULL;
    }
    file->options = *options;
    file->folder = folder;
    file->options.folder = folder;
    file->folder_fd = -1;
    file->lock_fd = -1;
    file->fd = -1;
    file->fresh_fd = -1;
    file->rewrite_from = REWRITE_MIN;
    pthread_condattr_t attributes;
    CHECK(pthread_mutex_init(&file->lock, NULL) == 0);
    CHECK(pthread_condattr_init(&attributes) == 0);
    CHECK(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&file->cond, &attributes) == 0);
    (void)pthread_condattr_destroy(&attributes);
    return file;
}

enum status behind_file_open(const struct behind_file_options *options,
                             struct behind_file **ret_file, char error[BEHIND_FILE_ERROR_MAX])
{
    struct behind_file *file = file_new(options);
    if (file == NULL) {
        (void)snprintf(error, BEHIND_FILE_ERROR_MAX, "no memory");
        return NO_MEMORY;
    }
    enum status status = open_folder(file, error);
    status = status == OK ? read_log(file, error) : status;
    if (status == OK && begin_file(file) != OK) {
        status = refuse(file, "cannot be written", error);
    }
    if (status != OK) {
        release(file);
        return status;
    }
    CHECK(pthread_create(&file->thread, NULL, run, file) == 0);
    *ret_file = file;
    return OK;
}

void behind_file_close(struct behind_file *file)
{
    if (file == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&file->lock);
    file->ends = true;
    (void)pthread_mutex_unlock(&file->lock);
    (void)pthread_cond_signal(&file->cond);
    CHECK(pthread_join(file->thread, NULL) == 0);
    release(file);
}
