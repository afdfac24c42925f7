/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/snapshots.h"

#include "protocol/check.h"
#include "server/snapshot_revive.h"
#include "tiers/tiers.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One that is being written: the thread's, but for `done`. */
struct writing {
    struct snapshot_writing file;
    char error[SNAPSHOT_ERROR_MAX];
    int64_t took_ms;
    _Atomic bool done;
};

struct snapshots {
    struct node *node;
    struct snapshot_place place;
    int ended_fd; /* of the file that says that the node ended in order; -1: none does */
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
    /* What came back of mode `ttl` stays if L2 is still in the epoch of the file. */
    bool is_of_epoch;
    pthread_mutex_t lock;
    struct snapshots_description shown; /* under it */
};

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

static void *run(void *arg)
{
    struct snapshots *snapshots = arg;
    struct writing *writing = &snapshots->writing;
    (void)pthread_setname_np(pthread_self(), "snapshot");
    const uint64_t began_ns = clock_monotonic_ns();
    if (snapshot_file_write(&snapshots->place, &writing->file, snapshots->node->namespaces) != OK) {
        (void)snprintf(writing->error, sizeof(writing->error), "%s", strerror(errno));
    }
    writing->took_ms = (int64_t)((clock_monotonic_ns() - began_ns) / 1000000);
    atomic_store(&writing->done, true);
    return NULL;
}

/* --- what was believed of a file, and is not any more ------------------------------------------------------------------ */

/* Whatever was read since is read again. */
static void drop_timed(const struct snapshots *snapshots, const char *why)
{
    struct namespaces *spaces = snapshots->node->namespaces;
    struct namespace *ns;
    unsigned at = 0;
    while ((ns = namespaces_next(spaces, &at)) != NULL) {
        if (namespace_kind(ns) == NAMESPACE_TTL) {
            l1_flush_all(ns->l1);
        }
    }
    log_write(&snapshots->node->log, LOG_NOTICE, "snapshot_dropped",
              "%s: %s: what it had of mode ttl is gone", snapshots->place.path, why);
}

void snapshots_serve(struct snapshots *snapshots)
{
    if (snapshots == NULL || snapshots->ended_fd < 0) {
        return;
    }
    const bool used_up = snapshot_file_set_ended(snapshots->ended_fd, 0) == OK &&
                         fdatasync(snapshots->ended_fd) == 0;
    if (!used_up && snapshots->is_of_epoch) {
        drop_timed(snapshots, strerror(errno));
    }
    (void)close(snapshots->ended_fd);
    snapshots->ended_fd = -1;
}

static void look_at_epoch(struct snapshots *snapshots)
{
    if (!snapshots->is_of_epoch) {
        return;
    }
    const enum coherence_former former = coherence_former(tiers_coherence(snapshots->node->tiers));
    snapshots->is_of_epoch = former == COHERENCE_FORMER_WAITS;
    if (former == COHERENCE_FORMER_OTHER) {
        drop_timed(snapshots, "L2 is in another epoch");
    }
}

/* --- writing: the control loop --------------------------------------------------------------------------------------- */

/* What coherence knows is asked before the first value is looked at: see docs/decisions/023. */
static void begin(struct snapshots *snapshots, bool ends, int64_t now_ms)
{
    const struct node *node = snapshots->node;
    struct writing *writing = &snapshots->writing;
    struct coherence_mark mark = {0};
    const struct snapshot_now now = snapshot_clocks(node);
    *writing = (struct writing){
        .file = {.ends = ends, .bytes_max = (uint64_t)atomic_load(&node->live.snapshot_max)}};
    if (node->tiers != NULL) {
        coherence_mark(tiers_coherence(node->tiers), &mark);
    }
    snapshot_head_fill(&writing->file.head, node->namespaces, node->tiers == NULL ? NULL : &mark,
                       &now);
    writing->file.head.l2 = snapshot_l2(node);
    writing->file.head.node = node->id;
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
        seen->totals = writing->file.writer.totals;
        seen->file_bytes = writing->file.writer.written;
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
                  snapshots->place.path, writing->error);
    } else {
        log_write(log, LOG_NOTICE, "snapshot",
                  "%s: records=%" PRIu64 " bytes=%" PRIu64 " file=%" PRIu64 " ms=%" PRId64 "%s",
                  snapshots->place.path, writing->file.writer.totals.records,
                  writing->file.writer.totals.bytes, writing->file.writer.written, writing->took_ms,
                  writing->file.ends ? " at the end" : "");
    }
}

static void collect(struct snapshots *snapshots, int64_t now_ms)
{
    struct writing *writing = &snapshots->writing;
    CHECK(!snapshots->has_thread || pthread_join(snapshots->thread, NULL) == 0);
    note_written(snapshots, now_ms);
    log_written(snapshots);
    snapshots->is_busy = false;
    snapshot_writing_done(&writing->file);
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
    look_at_epoch(snapshots);
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
    look_at_epoch(snapshots); /* what it has of another one must not count as of this */
    begin(snapshots, true, now_ms);
    snapshots->ended = true;
    return true;
}

/* --- reading --------------------------------------------------------------------------------------------------------- */

static uint64_t memory_of(const struct snapshots *snapshots)
{
    return atomic_load(&snapshots->node->live.memory);
}

static enum status refuse(struct snapshot_file *file, const char *why)
{
    (void)snprintf(file->reader.error, sizeof(file->reader.error), "%s", why);
    return INVALID;
}

static enum status restore(struct snapshots *snapshots, struct snapshot_file *file,
                           struct snapshot_restored *restored)
{
    struct node *node = snapshots->node;
    const struct snapshot_now now = snapshot_clocks(node);
    if (file->reader.head.l2 != snapshot_l2(node) && !file->reader.head.is_alone &&
        node->tiers != NULL) {
        return refuse(file, "it is of another L2");
    }
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
    char refused[SNAPSHOT_NAME_MAX];
    snapshot_place_name(&snapshots->place, ".refused", refused);
    (void)renameat(snapshots->place.folder_fd, snapshots->place.name, snapshots->place.folder_fd,
                   refused);
    note_found(snapshots, "refused", why, &nothing, 0);
    log_write(&snapshots->node->log, LOG_WARNING, "snapshot_refused",
              "%s: %s; it is kept as %s, and the node starts without", snapshots->place.path, why,
              refused);
}

static void warn_of_boot(const struct snapshots *snapshots)
{
    const char *boot_file = snapshot_boot_unknown();
    if (snapshots->node->tiers != NULL && boot_file != NULL) {
        log_write(&snapshots->node->log, LOG_WARNING, "snapshot_boot",
                  "%s cannot be read: of what a snapshot has nothing will count as fresh",
                  boot_file);
    }
}

/* What is served of it on the word that the node ended in order: until that word is used up, and L2 was met. */
static void keep_promise(struct snapshots *snapshots, struct snapshot_file *file,
                         const struct snapshot_restored *restored)
{
    if (file->reader.head.has_ended) {
        snapshots->ended_fd = file->fd;
        file->fd = -1;
    }
    snapshots->is_of_epoch = restored->values > 0 && snapshots->node->tiers != NULL;
}

void snapshots_load(struct snapshots *snapshots)
{
    struct snapshot_file file;
    struct snapshot_restored restored = {0};
    const uint64_t began_ns = clock_monotonic_ns();
    warn_of_boot(snapshots);
    enum status status = snapshot_file_find(&snapshots->place, snapshots->place.name, O_RDWR,
                                            memory_of(snapshots), &file);
    if (status == OK) {
        status = restore(snapshots, &file, &restored);
    }
    const int64_t load_ms = (int64_t)((clock_monotonic_ns() - began_ns) / 1000000);
    if (status == OK) {
        keep_promise(snapshots, &file, &restored);
        note_found(snapshots, "loaded", "", &restored, load_ms);
        log_write(&snapshots->node->log, LOG_NOTICE, "snapshot_loaded",
                  "%s: managed=%" PRIu64 " suspects=%" PRIu64 " values=%" PRIu64 " expired=%" PRIu64
                  " homeless=%" PRIu64 " full=%" PRIu64 " bytes=%" PRIu64 " down_ms=%" PRId64
                  " ms=%" PRId64,
                  snapshots->place.path, restored.managed, restored.suspects, restored.values,
                  restored.expired, restored.homeless, restored.full, restored.bytes,
                  restored.down_ms, load_ms);
    } else if (status != MISS) {
        revive_forget(snapshots->node->snapshot_revive);
        put_aside(snapshots, status == NO_MEMORY ? "no memory" : file.reader.error);
    }
    snapshot_file_close(&file);
}

enum status snapshots_open_file(const struct snapshots *snapshots, struct slice name,
                                struct snapshot_file *file, char error[SNAPSHOT_ERROR_MAX])
{
    return snapshot_file_open(&snapshots->place, name, memory_of(snapshots), file, error);
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

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
                                    .ended_fd = -1,
                                    .begun_at_ms = clock_now_ms(&node->clock),
                                    .shown = {.file = snapshots->place.path, .found = "none"}};
    CHECK(pthread_mutex_init(&snapshots->lock, NULL) == 0);
    const enum status status = snapshot_place_open(node, &snapshots->place, error);
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
    (void)(snapshots->ended_fd >= 0 && close(snapshots->ended_fd) != 0);
    snapshot_place_close(&snapshots->place);
    (void)pthread_mutex_destroy(&snapshots->lock);
    free(snapshots);
}
