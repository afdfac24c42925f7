/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/snapshots.h"

#include "protocol/check.h"
#include "protocol/hash.h"
#include "server/snapshot_revive.h"
#include "tiers/base/rand.h"
#include "tiers/tiers.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    NAME_ROOM = 160,
    PATH_ROOM = 512,
    GATHER = 256 << 10 /* bytes that are written together */
};

/* One that is being written: the thread's, but for `done`. */
struct writing {
    struct snapshot_head head;
    bool ends; /* the node, and in order */
    int fd;
    uint64_t bytes_max;
    struct snapshot_writer writer;
    struct buf gathered;
    char error[SNAPSHOT_ERROR_MAX];
    int64_t took_ms;
    _Atomic bool done;
};

struct snapshots {
    struct node *node;
    int folder_fd;
    int lock_fd;
    char name[NAME_ROOM];
    char path[PATH_ROOM];
    /* the control loop's: */
    bool is_busy;
    bool has_thread;
    pthread_t thread;
    struct writing writing;
    struct snapshot_wait *waits; /* for the one under way */
    struct snapshot_wait *next;  /* for the one after it */
    int64_t begun_at_ms;
    bool ended;   /* the last one was begun */
    bool refuses; /* the node ends: nobody waits any more */
    pthread_mutex_t lock;
    struct snapshots_description shown; /* under it */
};

static const char boot_file[] = "/proc/sys/kernel/random/boot_id";

/* --- clocks and names ------------------------------------------------------------------------------------------------ */

/* Which boot of which machine this is. False: that cannot be told, and so it is no other's. */
static bool read_boot(unsigned char boot[SNAPSHOT_BOOT_SIZE])
{
    char text[64] = "";
    const int fd = open(boot_file, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    unsigned digits = 0;
    (void)(fd >= 0 && close(fd) != 0);
    memset(boot, 0, SNAPSHOT_BOOT_SIZE);
    for (ssize_t i = 0; i < size && digits < 2 * SNAPSHOT_BOOT_SIZE; i++) {
        if (isxdigit((unsigned char)text[i])) {
            const char digit = (char)tolower((unsigned char)text[i]);
            const unsigned value = (unsigned)(digit >= 'a' ? digit - 'a' + 10 : digit - '0');
            boot[digits / 2] = (unsigned char)((unsigned)boot[digits / 2] << 4 | value);
            digits++;
        }
    }
    if (digits < 2 * SNAPSHOT_BOOT_SIZE) {
        rand_secret(boot, SNAPSHOT_BOOT_SIZE);
    }
    return digits == 2 * SNAPSHOT_BOOT_SIZE;
}

static struct snapshot_now clocks(const struct node *node)
{
    struct snapshot_now now = {.now_ms = clock_now_ms(&node->clock),
                               .unix_ms = clock_unix_us() / 1000};
    now.boot_ms = now.now_ms - node->clock.offset_ns / 1000000;
    (void)read_boot(now.boot);
    return now;
}

/* Which L2, by its names: never who logs in there. 0: none. */
static uint64_t l2_of(const struct node *node)
{
    struct hash_sum sum;
    if (node->tiers == NULL) {
        return 0;
    }
    hash_sum_begin(&sum);
    for (size_t i = 0; i < node->urls.count; i++) {
        char address[L2_URL_ADDRESS_MAX];
        l2_url_address(&node->urls.urls[i], address);
        hash_sum_add(&sum, (struct slice){address, strlen(address) + 1});
    }
    if (node->urls.master_name != NULL) {
        hash_sum_add(&sum, slice_of(node->urls.master_name));
    }
    return hash_sum_end(&sum) | 1;
}

/* The first address of the options, as a name of a file. */
static void name_file(const struct node *node, char name[NAME_ROOM])
{
    struct option_address first;
    char address[NAME_ROOM - 16];
    if (options_first_address(&node->options, false, &first) == OK ||
        options_first_address(&node->options, true, &first) == OK) {
        (void)snprintf(address, sizeof(address), "%.*s_%d", (int)first.host.size, first.host.data,
                       first.port);
    } else {
        (void)snprintf(address, sizeof(address), "%s", node->options.unixsocket);
    }
    for (char *at = address; *at != '\0'; at++) {
        *at = isalnum((unsigned char)*at) || (*at == '.' && at != address) ? *at : '_';
    }
    (void)snprintf(name, NAME_ROOM, "%s.snapshot", address);
}

/* --- what others see ------------------------------------------------------------------------------------------------- */

static struct snapshots_description *show(struct snapshots *snapshots)
{
    CHECK(pthread_mutex_lock(&snapshots->lock) == 0);
    return &snapshots->shown;
}

static void shown(struct snapshots *snapshots)
{
    CHECK(pthread_mutex_unlock(&snapshots->lock) == 0);
}

void snapshots_describe(const struct snapshots *snapshots, struct snapshots_description *ret)
{
    /* The lock is not a part of what is described. */
    struct snapshots *open = (struct snapshots *)(uintptr_t)snapshots;
    *ret = *show(open);
    shown(open);
}

uint64_t snapshots_suspects_left(const struct snapshots *snapshots)
{
    return revive_left(snapshots->node->snapshot_revive);
}

uint64_t snapshots_run(const struct snapshots *snapshots)
{
    struct snapshots_description seen;
    if (snapshots == NULL) {
        return 0;
    }
    snapshots_describe(snapshots, &seen);
    return seen.restored.mark.run;
}

/* --- writing: the thread --------------------------------------------------------------------------------------------- */

static enum status write_all(int fd, struct slice bytes)
{
    while (bytes.size > 0) {
        const ssize_t count = write(fd, bytes.data, bytes.size);
        if (count < 0 && errno != EINTR) {
            return INVALID;
        }
        const size_t done = count > 0 ? (size_t)count : 0;
        bytes = (struct slice){bytes.data + done, bytes.size - done};
    }
    return OK;
}

static enum status write_gathered(struct writing *writing)
{
    const enum status status = write_all(writing->fd, buf_slice(&writing->gathered));
    writing->gathered.size = 0;
    return status;
}

static enum status on_bytes(void *arg, struct slice bytes)
{
    struct writing *writing = arg;
    if (writing->gathered.size + bytes.size > GATHER) {
        const enum status status = write_gathered(writing);
        if (status != OK) {
            return status;
        }
    }
    return bytes.size > GATHER ? write_all(writing->fd, bytes)
                               : buf_append_slice(&writing->gathered, bytes);
}

static enum status put_ended(int fd, uint64_t word)
{
    char bytes[8];
    put_u64le(bytes, word);
    return pwrite(fd, bytes, sizeof(bytes), SNAPSHOT_ENDED_OFFSET) == (ssize_t)sizeof(bytes)
               ? OK
               : INVALID;
}

static enum status write_file(struct snapshots *snapshots)
{
    struct writing *writing = &snapshots->writing;
    struct snapshot_writer *writer = &writing->writer;
    enum status status = snapshot_begin(
        writer, (struct snapshot_sink){.write = on_bytes, .arg = writing}, &writing->head);
    if (status == OK) {
        status = snapshot_take(writer, snapshots->node->namespaces, writing->bytes_max,
                               writing->head.now_ms);
    }
    if (status == OK) {
        status = snapshot_end(writer);
    }
    if (status == OK) {
        status = write_gathered(writing);
    }
    if (status == OK && writing->ends) {
        status = put_ended(writing->fd, snapshot_ended(writer));
    }
    if (status == NO_MEMORY) {
        errno = ENOMEM;
    }
    return status == OK && fsync(writing->fd) == 0 ? OK : INVALID;
}

static void name_with(char dst[NAME_ROOM + 16], const struct snapshots *snapshots,
                      const char *suffix)
{
    (void)snprintf(dst, NAME_ROOM + 16, "%s%s", snapshots->name, suffix);
}

static enum status write_and_place(struct snapshots *snapshots)
{
    struct writing *writing = &snapshots->writing;
    const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW;
    char fresh[NAME_ROOM + 16];
    name_with(fresh, snapshots, ".new");
    writing->fd = openat(snapshots->folder_fd, fresh, flags, S_IRUSR | S_IWUSR);
    if (writing->fd < 0) {
        return INVALID;
    }
    enum status status = write_file(snapshots);
    const int why = errno;
    (void)close(writing->fd);
    if (status != OK) {
        (void)unlinkat(snapshots->folder_fd, fresh, 0);
        errno = why;
        return status;
    }
    return renameat(snapshots->folder_fd, fresh, snapshots->folder_fd, snapshots->name) == 0 &&
                   fsync(snapshots->folder_fd) == 0
               ? OK
               : INVALID;
}

static void *run(void *arg)
{
    struct snapshots *snapshots = arg;
    struct writing *writing = &snapshots->writing;
    (void)pthread_setname_np(pthread_self(), "snapshot");
    const uint64_t began_ns = clock_monotonic_ns();
    if (write_and_place(snapshots) != OK) {
        (void)snprintf(writing->error, sizeof(writing->error), "%s", strerror(errno));
    }
    writing->took_ms = (int64_t)((clock_monotonic_ns() - began_ns) / 1000000);
    atomic_store(&writing->done, true);
    return NULL;
}

/* --- writing: the control loop --------------------------------------------------------------------------------------- */

/* What coherence knows is asked before the first value is looked at: see docs/decisions/023. */
static void begin(struct snapshots *snapshots, bool ends, int64_t now_ms)
{
    const struct node *node = snapshots->node;
    struct writing *writing = &snapshots->writing;
    struct coherence_mark mark = {0};
    const struct snapshot_now now = clocks(node);
    *writing = (struct writing){.ends = ends,
                                .bytes_max = (uint64_t)atomic_load(&node->live.snapshot_max)};
    if (node->tiers != NULL) {
        coherence_mark(tiers_coherence(node->tiers), &mark);
    }
    snapshot_head_fill(&writing->head, node->namespaces, node->tiers == NULL ? NULL : &mark, &now);
    writing->head.l2 = l2_of(node);
    writing->head.node = node->id;
    snapshots->begun_at_ms = now_ms;
    snapshots->waits = snapshots->next;
    snapshots->next = NULL;
    snapshots->is_busy = true;
    show(snapshots)->is_busy = true;
    shown(snapshots);
    const int why = pthread_create(&snapshots->thread, NULL, run, snapshots);
    snapshots->has_thread = why == 0;
    if (why != 0) {
        (void)snprintf(writing->error, sizeof(writing->error), "no thread: %s", strerror(why));
        atomic_store(&writing->done, true);
    }
}

static void note_written(struct snapshots *snapshots, int64_t now_ms)
{
    const struct writing *writing = &snapshots->writing;
    struct snapshots_description *seen = show(snapshots);
    seen->is_busy = false;
    (void)snprintf(seen->error, sizeof(seen->error), "%s", writing->error);
    if (writing->error[0] == '\0') {
        seen->written++;
        seen->written_at_ms = now_ms;
        seen->took_ms = writing->took_ms;
        seen->totals = writing->writer.totals;
        seen->file_bytes = writing->writer.written;
    } else {
        seen->failed++;
    }
    shown(snapshots);
}

static void log_written(const struct snapshots *snapshots)
{
    const struct writing *writing = &snapshots->writing;
    struct log *log = &snapshots->node->log;
    if (writing->error[0] != '\0') {
        log_write(log, LOG_WARNING, "snapshot_failed", "%s: %s; the former one stays",
                  snapshots->path, writing->error);
    } else {
        log_write(log, LOG_NOTICE, "snapshot",
                  "%s: records=%" PRIu64 " bytes=%" PRIu64 " file=%" PRIu64 " ms=%" PRId64 "%s",
                  snapshots->path, writing->writer.totals.records, writing->writer.totals.bytes,
                  writing->writer.written, writing->took_ms, writing->ends ? " at the end" : "");
    }
}

static void collect(struct snapshots *snapshots, int64_t now_ms)
{
    struct writing *writing = &snapshots->writing;
    CHECK(!snapshots->has_thread || pthread_join(snapshots->thread, NULL) == 0);
    note_written(snapshots, now_ms);
    log_written(snapshots);
    snapshots->is_busy = false;
    snapshot_writer_done(&writing->writer);
    buf_done(&writing->gathered);
    while (snapshots->waits != NULL) {
        struct snapshot_wait *wait = snapshots->waits;
        snapshots->waits = wait->next;
        wait->on_done(wait, writing->error);
    }
}

static void release(struct snapshot_wait **waits)
{
    while (*waits != NULL) {
        struct snapshot_wait *wait = *waits;
        *waits = wait->next;
        wait->on_done(wait, "the node ends");
    }
}

void snapshots_end_waits(struct snapshots *snapshots)
{
    if (snapshots != NULL) {
        snapshots->refuses = true;
        release(&snapshots->waits);
        release(&snapshots->next);
    }
}

bool snapshots_is_busy(const struct snapshots *snapshots)
{
    return snapshots != NULL && snapshots->is_busy;
}

void snapshots_ask(struct snapshots *snapshots, struct snapshot_wait *wait)
{
    if (snapshots->refuses) {
        wait->on_done(wait, "the node ends");
        return;
    }
    wait->next = snapshots->next;
    snapshots->next = wait; /* the next tick begins it */
}

void snapshots_tick(struct snapshots *snapshots, bool may_begin, int64_t now_ms)
{
    if (snapshots == NULL || snapshots->ended) {
        return;
    }
    if (snapshots->is_busy && atomic_load(&snapshots->writing.done)) {
        collect(snapshots, now_ms);
    }
    const int64_t interval_ms = atomic_load(&snapshots->node->live.snapshot_interval_ms);
    const bool due = interval_ms > 0 && now_ms - snapshots->begun_at_ms >= interval_ms;
    if (!snapshots->is_busy && may_begin && (due || snapshots->next != NULL)) {
        begin(snapshots, false, now_ms);
    }
}

bool snapshots_end(struct snapshots *snapshots, int64_t now_ms)
{
    if (snapshots == NULL) {
        return false;
    }
    if (snapshots->is_busy) {
        if (!atomic_load(&snapshots->writing.done)) {
            return true;
        }
        collect(snapshots, now_ms);
    }
    if (snapshots->ended) {
        return false;
    }
    begin(snapshots, true, now_ms);
    snapshots->ended = true;
    return true;
}

/* --- reading --------------------------------------------------------------------------------------------------------- */

static enum status read_exactly(void *arg, uint64_t offset, char *dst, size_t size)
{
    const int fd = *(const int *)arg;
    while (size > 0) {
        const ssize_t count = pread(fd, dst, size, (off_t)offset);
        if (count == 0 || (count < 0 && errno != EINTR)) {
            return INVALID;
        }
        const size_t done = count > 0 ? (size_t)count : 0;
        dst += done;
        offset += done;
        size -= done;
    }
    return OK;
}

/* MISS: there is no such file. */
static enum status open_file(const struct snapshots *snapshots, const char *name, int flags,
                             struct snapshot_file *file)
{
    struct stat stat;
    *file = (struct snapshot_file){.fd = -1};
    file->fd = openat(snapshots->folder_fd, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file->fd < 0 && errno == ENOENT) {
        return MISS;
    }
    if (file->fd < 0 || fstat(file->fd, &stat) != 0 || !S_ISREG(stat.st_mode)) {
        (void)snprintf(file->reader.error, sizeof(file->reader.error), "%s",
                       file->fd < 0 ? strerror(errno) : "it is no file");
        return INVALID;
    }
    const struct snapshot_source source = {
        .read = read_exactly, .arg = &file->fd, .size = (uint64_t)stat.st_size};
    return snapshot_open(&file->reader, &source, atomic_load(&snapshots->node->live.memory));
}

void snapshot_file_close(struct snapshot_file *file)
{
    snapshot_close(&file->reader);
    (void)(file->fd >= 0 && close(file->fd) != 0);
    file->fd = -1;
}

static bool is_name(struct slice name)
{
    for (size_t i = 0; i < name.size; i++) {
        const char c = name.data[i];
        if (!isalnum((unsigned char)c) && c != '_' && c != '-' && (c != '.' || i == 0)) {
            return false;
        }
    }
    return name.size < NAME_ROOM;
}

enum status snapshot_file_open(const struct snapshots *snapshots, struct slice name,
                               struct snapshot_file *file, char error[SNAPSHOT_ERROR_MAX])
{
    char text[NAME_ROOM];
    if (!is_name(name)) {
        (void)snprintf(error, SNAPSHOT_ERROR_MAX, "a name has letters, digits and . _ - only");
        return INVALID;
    }
    (void)snprintf(text, sizeof(text), "%.*s", (int)name.size, name.data);
    const enum status status =
        open_file(snapshots, name.size == 0 ? snapshots->name : text, O_RDONLY, file);
    if (status != OK) {
        (void)snprintf(error, SNAPSHOT_ERROR_MAX, "%s",
                       status == MISS        ? "there is no such file"
                       : status == NO_MEMORY ? "no memory"
                                             : file->reader.error);
        snapshot_file_close(file);
    }
    return status == MISS ? INVALID : status;
}

static enum status refuse(struct snapshot_file *file, const char *why)
{
    (void)snprintf(file->reader.error, sizeof(file->reader.error), "%s", why);
    return INVALID;
}

/* The next life of this file is another one: only this start may believe that the node had ended in order. */
static void use_up(struct snapshot_file *file)
{
    struct snapshot_head *head = &file->reader.head;
    if (head->has_ended) {
        head->has_ended = put_ended(file->fd, 0) == OK && fdatasync(file->fd) == 0;
    }
}

static enum status restore(struct snapshots *snapshots, struct snapshot_file *file,
                           struct snapshot_restored *restored)
{
    struct node *node = snapshots->node;
    const struct snapshot_now now = clocks(node);
    if (file->reader.head.l2 != l2_of(node) && !file->reader.head.is_alone && node->tiers != NULL) {
        return refuse(file, "it is of another L2");
    }
    use_up(file);
    const struct snapshot_listener listener = {.on_suspect = revive_note,
                                               .arg = node->snapshot_revive};
    const enum status status = snapshot_restore(&file->reader, node->namespaces,
                                                node->tiers == NULL, &now, &listener, restored);
    if (status == OK && node->tiers != NULL) {
        coherence_resume(tiers_coherence(node->tiers), &restored->mark, now.now_ms);
    }
    return status;
}

static void note_found(struct snapshots *snapshots, const char *found, const char *why,
                       const struct snapshot_restored *restored, int64_t load_ms)
{
    struct snapshots_description *seen = show(snapshots);
    seen->found = found;
    (void)snprintf(seen->why, sizeof(seen->why), "%s", why);
    seen->restored = *restored;
    seen->load_ms = load_ms;
    shown(snapshots);
}

static void put_aside(struct snapshots *snapshots, const char *why)
{
    const struct snapshot_restored nothing = {0};
    char refused[NAME_ROOM + 16];
    name_with(refused, snapshots, ".refused");
    (void)renameat(snapshots->folder_fd, snapshots->name, snapshots->folder_fd, refused);
    note_found(snapshots, "refused", why, &nothing, 0);
    log_write(&snapshots->node->log, LOG_WARNING, "snapshot_refused",
              "%s: %s; it is kept as %s, and the node starts without", snapshots->path, why,
              refused);
}

static void warn_of_boot(const struct snapshots *snapshots)
{
    unsigned char boot[SNAPSHOT_BOOT_SIZE];
    if (snapshots->node->tiers != NULL && !read_boot(boot)) {
        log_write(&snapshots->node->log, LOG_WARNING, "snapshot_boot",
                  "%s cannot be read: of what a snapshot has nothing will count as fresh",
                  boot_file);
    }
}

void snapshots_load(struct snapshots *snapshots)
{
    struct snapshot_file file;
    struct snapshot_restored restored = {0};
    const uint64_t began_ns = clock_monotonic_ns();
    warn_of_boot(snapshots);
    enum status status = open_file(snapshots, snapshots->name, O_RDWR, &file);
    if (status == OK) {
        status = restore(snapshots, &file, &restored);
    }
    const int64_t load_ms = (int64_t)((clock_monotonic_ns() - began_ns) / 1000000);
    if (status == OK) {
        note_found(snapshots, "loaded", "", &restored, load_ms);
        log_write(&snapshots->node->log, LOG_NOTICE, "snapshot_loaded",
                  "%s: managed=%" PRIu64 " suspects=%" PRIu64 " values=%" PRIu64 " expired=%" PRIu64
                  " homeless=%" PRIu64 " full=%" PRIu64 " bytes=%" PRIu64 " down_ms=%" PRId64
                  " ms=%" PRId64,
                  snapshots->path, restored.managed, restored.suspects, restored.values,
                  restored.expired, restored.homeless, restored.full, restored.bytes,
                  restored.down_ms, load_ms);
    } else if (status != MISS) {
        revive_forget(snapshots->node->snapshot_revive);
        put_aside(snapshots, status == NO_MEMORY ? "no memory" : file.reader.error);
    }
    snapshot_file_close(&file);
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

static enum status complain(const struct snapshots *snapshots, const char *what,
                            char error[NODE_ERROR_MAX])
{
    (void)snprintf(error, NODE_ERROR_MAX, "snapshot-dir %s: %s: %s",
                   snapshots->node->options.snapshot_dir, what, strerror(errno));
    return INVALID;
}

static enum status open_folder(struct snapshots *snapshots, char error[NODE_ERROR_MAX])
{
    const char *folder = snapshots->node->options.snapshot_dir;
    char lock[NAME_ROOM + 16];
    if (mkdir(folder, S_IRWXU) != 0 && errno != EEXIST) {
        return complain(snapshots, "cannot be made", error);
    }
    snapshots->folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (snapshots->folder_fd < 0) {
        return complain(snapshots, "cannot be opened", error);
    }
    name_file(snapshots->node, snapshots->name);
    (void)snprintf(snapshots->path, sizeof(snapshots->path), "%s/%s", folder, snapshots->name);
    name_with(lock, snapshots, ".lock");
    const int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
    snapshots->lock_fd = openat(snapshots->folder_fd, lock, flags, S_IRUSR | S_IWUSR);
    if (snapshots->lock_fd < 0) {
        return complain(snapshots, "cannot be written", error);
    }
    if (flock(snapshots->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        return complain(snapshots, "another node of this address has its snapshot there", error);
    }
    return OK;
}

enum status snapshots_open(struct node *node, struct snapshots **ret, char error[NODE_ERROR_MAX])
{
    *ret = NULL;
    if (node->options.snapshot_dir[0] == '\0') {
        return OK;
    }
    struct snapshots *snapshots = calloc(1, sizeof(*snapshots));
    if (snapshots == NULL) {
        return NO_MEMORY;
    }
    *snapshots = (struct snapshots){.node = node,
                                    .folder_fd = -1,
                                    .lock_fd = -1,
                                    .begun_at_ms = clock_now_ms(&node->clock),
                                    .shown = {.file = snapshots->path, .found = "none"}};
    CHECK(pthread_mutex_init(&snapshots->lock, NULL) == 0);
    const enum status status = open_folder(snapshots, error);
    if (status != OK) {
        snapshots_free(snapshots);
        return status;
    }
    *ret = snapshots;
    return OK;
}

void snapshots_free(struct snapshots *snapshots)
{
    if (snapshots == NULL) {
        return;
    }
    if (snapshots->is_busy) {
        collect(snapshots, clock_now_ms(&snapshots->node->clock));
    }
    (void)(snapshots->lock_fd >= 0 && close(snapshots->lock_fd) != 0);
    (void)(snapshots->folder_fd >= 0 && close(snapshots->folder_fd) != 0);
    (void)pthread_mutex_destroy(&snapshots->lock);
    free(snapshots);
}
