/* SPDX-License-Identifier: BSD-3-Clause */
/* sync.h -- the blocking face from inside: many threads, one loop.
 *
 * LEADER AND FOLLOWERS. At most one thread drives the loop. A caller that finds nobody driving drives it itself until its own
 * request is done; then the next who waits does. So a lone thread's call is write, epoll_wait, read, on its own thread.
 *
 *      caller:  nobody drives ---> drives until its own is done ---> hands on: first waiter, or nobody
 *               somebody does ---> waits: its own is done, or it is to drive
 *      keeper:  nobody has driven for 10 ms ---> drives until a caller comes: beats, probes, changes
 *
 * The keeper looks every 10 ms while callers are busy and sleeps in the loop while they are not.
 *
 * Threads: as it says. Lock order: `lock`, and nothing else is taken under it. Nothing of the application's is called under it.
 * Fork:    the child has the memory and not the threads: it may use no client of its parent's, nor close it. */
#ifndef TERRACE_CLIENT_SYNC_H
#define TERRACE_CLIENT_SYNC_H

#include "client/face.h"

#include <pthread.h>
#include <stdatomic.h>

struct flights;

/* What a thread waits for; on its stack. */
struct wait {
    struct wait *next;                      /* of those to be begun */
    struct wait *next_waiter, *prev_waiter; /* of those who sleep */
    /* On the loop. wait_done, now or later. */
    void (*begin)(struct wait *wait, struct core *core);
    pthread_cond_t cond;
    bool is_done;
    bool is_to_drive;
    bool sleeps;
    struct terrace *terrace;
};

enum {
    DOORS = 16
};
/* Who is inside, by the door that his thread takes: of one number all threads would wait for each other (with L0, two
 * threads on two cores: twice the time of a hit). */
struct door {
    _Atomic size_t inside;
    char apart[120];
};

struct terrace {
    uv_loop_t loop;
    uv_async_t bell;
    struct core *core;  /* NULL: closed. Only the driver looks */
    struct core *whole; /* the same, to be freed when nobody is inside any more */
    struct near *near;  /* stays the same while anybody is inside */
    const struct terrace_options *options;
    struct flights *flights; /* load.c */
    struct tally *tally;

    pthread_mutex_t lock;
    struct wait *begun, **begun_last; /* to be begun, in order */
    struct wait *waiters, *waiters_last;
    bool is_driven;
    bool is_asleep; /* the driver may be in epoll_wait */
    bool is_stopping;
    bool is_turning;   /* in uv_run; the driver's */
    int64_t turned_ms; /* when the loop last turned */
    int64_t driven_ms; /* when a caller last had it turn */
    pthread_t keeper;
    pthread_cond_t keeper_cond;
    struct terrace_watch *watches; /* watch.c */
    struct terrace_watch *telling; /* whose on_change runs now */
    pthread_cond_t told_cond;

    _Atomic bool is_closing;
    struct door doors[DOORS];
};

/* false: it is being closed. Then terrace_leave, last of all. */
bool terrace_enter(struct terrace *terrace);
void terrace_leave(struct terrace *terrace);

/* Where the results of a call go that has neither a key nor options of its own; NULL: not wanted. */
struct sync_told {
    struct terrace_value *body;
    uint64_t *warm_id;
};
/* `face` as `built` says, and done with; not to be given back. */
enum terrace_status sync_told(struct terrace *terrace, struct face *face, enum terrace_status built,
                              const struct sync_told *where, char *error, size_t error_size);

/* Until wait_done was called for it. */
void wait_for(struct terrace *terrace, struct wait *wait);
/* On the loop's thread: the waiter goes, and its stack with it. */
void wait_done(struct wait *wait);

/* watch.c. Under the lock: */
bool watch_has_news(const struct terrace *terrace);
void watch_tell(struct terrace *terrace); /* leaves it and takes it again */

#endif
