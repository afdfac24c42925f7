/* SPDX-License-Identifier: BSD-3-Clause */
/* snapshots.h -- the node's L1 in a file (tiers/snapshot.h): written while it serves and when it ends, read when it starts.
 *
 *      start      snapshots_load: before L2 is met and before any client ~> what is suspect is read anew (snapshot_revive.h)
 *      interval   control: coherence_mark -> thread: walk over L1, write, fsync, rename ~> control: told
 *      SIGTERM    no client and no worker any more -> the same, and the file says that the node ended in order -> exit
 *
 * FILE: `snapshot-dir`/ADDRESS.snapshot, of the first address that the node listens at, so nodes of one machine may share a
 * folder; of one name only one node may be: it holds a lock (snapshot_place.h; snapshot_file.h says how it is written).
 *      A file that cannot be used is put aside as ADDRESS.snapshot.refused, with the reason in the log and in INFO, and the
 * node starts without.
 *
 * The walk is a thread's own: it takes one chain of L1 at a time under its shard's lock. Namespaces do not change meanwhile:
 * the control loop begins no standstill while a snapshot is written, and no snapshot in a standstill.
 *
 * Threads: where it is said.
 * Limits:  snapshot-max bytes of keys and values, about; to read, blocks of at most the node's memory. */
#ifndef TERRACE_SERVER_SNAPSHOTS_H
#define TERRACE_SERVER_SNAPSHOTS_H

#include "server/snapshot_file.h"

struct snapshots;
struct worker;

/* Makes the folder, takes the lock. *ret NULL: there is no snapshot-dir. INVALID: `error` says why not. */
enum status snapshots_open(struct node *node, struct snapshots **ret,
                           char error[NODE_ERROR_MAX]) MUST_USE;
/* When no worker runs yet, and L2 was not met. */
void snapshots_load(struct snapshots *snapshots);
/* Nothing can fail any more, and nobody was served yet: from here on the file does not say any more that the node ended in
 * order. If that cannot be written, what was believed for it goes. NULL is fine. */
void snapshots_serve(struct snapshots *snapshots);
/* After the workers; waits for the thread. NULL is fine. */
void snapshots_free(struct snapshots *snapshots);

/* --- the control loop's --- */

/* One that waits for the snapshot that he asked for. */
struct snapshot_wait {
    struct snapshot_wait *next;
    /* Once: `error` is "" or says why there is none. */
    void (*on_done)(struct snapshot_wait *wait, const char *error);
};
/* Begins one, or waits for one that begins when that under way has ended. */
void snapshots_ask(struct snapshots *snapshots, struct snapshot_wait *wait);
/* Also while the node drains: L2 may be met then. `may_begin`: it does not, and no standstill waits or is under way. */
void snapshots_tick(struct snapshots *snapshots, bool may_begin, int64_t now_ms);
bool snapshots_is_busy(const struct snapshots *snapshots); /* NULL: false */
/* Who waits is told that the node ends, and so is who asks from here on. */
void snapshots_end_waits(struct snapshots *snapshots);
/* Nobody is served any more: true until the last one is written. Again and again. */
bool snapshots_end(struct snapshots *snapshots, int64_t now_ms);

/* --- to look at; any thread --- */

struct snapshots_description {
    const char *file; /* its path; as long as the node */
    bool is_busy;
    uint64_t written; /* so often */
    uint64_t failed;
    char error[SNAPSHOT_ERROR_MAX]; /* of the last one, or "" */
    int64_t written_at_ms;          /* the last good one; 0: none yet */
    int64_t took_ms;
    struct snapshot_totals totals; /* what is in it */
    uint64_t file_bytes;
    const char *found; /* at start: "none", "loaded" or "refused" */
    char why[SNAPSHOT_ERROR_MAX];
    struct snapshot_restored restored;
    int64_t load_ms;
};
void snapshots_describe(const struct snapshots *snapshots, struct snapshots_description *ret);
/* Keys of it that wait to be read anew. */
uint64_t snapshots_suspects_left(const struct snapshots *snapshots);
/* The process of L2 whose values were found; 0: none. NULL is fine. */
uint64_t snapshots_run(const struct snapshots *snapshots);

/* --- the files; any thread --- */

/* One to read the keys of, as snapshot_file_open: "" is the node's own, else a file of snapshot-dir by its name. */
enum status snapshots_open_file(const struct snapshots *snapshots, struct slice name,
                                struct snapshot_file *file,
                                char error[SNAPSHOT_ERROR_MAX]) MUST_USE;

#endif
