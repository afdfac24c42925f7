/* SPDX-License-Identifier: BSD-3-Clause */
/* mailbox.h -- how one loop asks another to do something.
 *
 * Loops touch nothing of each other. A letter carries a function; the loop that owns the mailbox opens it. Posting
 * wakes that loop once however many letters wait.
 *
 * A tour is a letter that visits every worker in turn and comes back to the one that sent it: CLIENT LIST, CLIENT
 * KILL and a settings change need no lock and no counting.
 *
 *      worker 1 -> worker 0 -> worker 1 -> worker 2 -> ... -> back to worker 1: done
 *
 * Owns:    nothing: a letter belongs to its sender until posted, then to whoever opens it.
 * Threads: post from any; open and close from the owner's loop.
 * Limits:  LIMIT_MAILBOX letters; mailbox_post answers BUSY above, mailbox_post_urgent never does. */
#ifndef TERRACE_SERVER_MAILBOX_H
#define TERRACE_SERVER_MAILBOX_H

#include "protocol/status.h"

#include <uv.h>

#include <pthread.h>
#include <stdbool.h>

struct worker;

struct letter {
    struct letter *next;
    void (*open)(struct letter *letter, void *owner); /* owner: as given to mailbox_open */
};

struct mailbox {
    uv_async_t async;
    pthread_mutex_t lock;
    struct letter *head; /* under lock, as all below */
    struct letter *tail;
    unsigned count;
    bool closed;
    void *owner;
};

void mailbox_open(struct mailbox *mailbox, uv_loop_t *loop, void *owner);
/* Opens what still waits, then closes; posts answer BUSY from then on. */
void mailbox_close(struct mailbox *mailbox);
enum status mailbox_post(struct mailbox *mailbox,
                         struct letter *letter) MUST_USE; /* BUSY: still the caller's */
/* Past the limit too. BUSY only when the mailbox is closed. */
enum status mailbox_post_urgent(struct mailbox *mailbox, struct letter *letter) MUST_USE;

struct tour {
    struct letter letter;
    struct worker *home;
    unsigned next;                                           /* worker to visit */
    void (*visit)(struct tour *tour, struct worker *worker); /* on that worker's loop */
    void (*done)(struct tour *tour);                         /* on home's loop; frees the tour */
};

/* Sets out; visit and done must be set, letter first in the struct. Neither is called from inside. */
void tour_start(struct tour *tour, struct worker *home);

#endif
