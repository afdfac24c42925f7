/* SPDX-License-Identifier: BSD-3-Clause */
/* behind_inner.h -- the inside of behind.h, for behind.c (what is taken, read and sent) and behind_book.c (the log, and all
 * entries in turn).
 *
 * Threads: under the lock, but for what is atomic. */
#ifndef TERRACE_TIERS_BEHIND_INNER_H
#define TERRACE_TIERS_BEHIND_INNER_H

#include "tiers/base/list.h"
#include "tiers/base/map.h"
#include "tiers/behind.h"

#include <pthread.h>
#include <stdatomic.h>

/* A value as it was written. */
struct written {
    struct buf envelope;
    int64_t taken_at_ms; /* 0: by a former run */
    int64_t dies_at_ms;
    uint64_t base;
    uint64_t number; /* 0: there is none */
};

/* A place in the list of all entries: one's, or that of somebody who walks over them. */
struct place {
    struct list link;
    bool is_walker;
};

struct entry {
    struct behind_flush flush; /* first: it is cast back; what is on its way */
    struct map_node in_map;
    struct place in_all;
    uint64_t born;        /* by this they lie in that list */
    struct list in_order; /* of what waits, is paused, or is done; in no list while on its way */
    struct written now;   /* waits; or is on its way, */
    struct written next;  /* and then this is what came meanwhile */
    bool under_way;
    unsigned refusals; /* in a row; not 0, and not on its way: it is paused */
    int64_t paused_until_ms;
    /* L2 has it, and the log says so, which is safe from there on; 0: it has not. */
    uint64_t done_at;
    char key[]; /* flush.key says its size */
};

enum {
    PAUSES = 10, /* 100 ms, 200 ms ... 30 s */
    PAUSE_MIN_MS = 100,
    PAUSE_MAX_MS = 30000
};

struct behind {
    struct behind_options options;
    pthread_mutex_t lock;
    struct map entries; /* from here on under it */
    struct list all;    /* by born */
    uint64_t births;
    struct list order;          /* by number */
    struct list done;           /* by done_at */
    struct list paused[PAUSES]; /* by how often they were refused, and there by time */
    struct place rewriter;      /* what is in front of it is in the new log */
    uint64_t rewrite_end;       /* what is born later is in it by its own records */
    struct buf log;
    int64_t now_ms;      /* as last told */
    int64_t appended_ms; /* when the first of what is in `log` came; 0: it is empty */
    int64_t taken_ms;    /* the same of what behind_log_take took, until it is safe */
    uint64_t number;     /* of the last write, or end of one */
    struct behind_counts counts;
    _Atomic size_t count; /* entries; read by any */
    _Atomic uint64_t safe;
    _Atomic bool well;              /* the log takes what comes: counts.failed and .stalled */
    _Atomic int64_t fenced_from_ms; /* the first who waits */
    _Atomic int64_t fenced_until_ms;
};

static inline void behind_lock(struct behind *behind)
{
    (void)pthread_mutex_lock(&behind->lock);
}

static inline void behind_unlock(struct behind *behind)
{
    (void)pthread_mutex_unlock(&behind->lock);
}

/* As it stands in the log. */
struct behind_record behind_record_of(const struct l1_key *key, const struct written *written);
/* Those go that L2 has, and of which the log says so up to this number. */
void behind_free_done(struct behind *behind, uint64_t number);

#endif
