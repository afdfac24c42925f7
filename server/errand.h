/* SPDX-License-Identifier: BSD-3-Clause */
/* errand.h -- a letter from a worker's loop to the control loop and back, for what only the control loop knows or can
 * wait for: the table of nodes, the record of announcements, the bus itself.
 *
 *      worker: errand_send -> control: run ... errand_back -> worker: done
 *
 * A BUS WAIT is the errand of waiting (tiers/waiters.h), a QUESTION one to L2 over the control link, on which nobody's commands
 * stand in front of it. A call that waits is deferred; its answer lands in `done`. If
 * its client leaves meanwhile, the errand still comes home, to an answer without a connection. When the node ends,
 * waits are cut short (coherence_cap_waits, coherence_end_waits), so no letter is under way when workers leave.
 *
 * Owns:    nothing: the errand is the asker's memory, lent from errand_send until `done`.
 * Threads: errand_send and done on the home's loop, run and errand_back on the control loop. */
#ifndef TERRACE_SERVER_ERRAND_H
#define TERRACE_SERVER_ERRAND_H

#include "server/mailbox.h"
#include "tiers/coherence.h"
#include "tiers/link.h"

struct errand {
    struct letter letter; /* first */
    struct worker *home;
    void (*run)(struct errand *errand); /* errand_back must follow, from inside or later */
    void (*done)(struct errand *errand);
};

/* With run and done set. BUSY: the control loop is behind or gone; done will not be called. */
enum status errand_send(struct errand *errand, struct worker *home) MUST_USE;
/* Past the limit of the mailbox, for errands of which a worker has one at a time. BUSY: the control loop is gone. */
enum status errand_send_urgent(struct errand *errand, struct worker *home) MUST_USE;
void errand_back(struct errand *errand);

struct bus_wait {
    struct errand errand;           /* first; `done` is set by the asker */
    struct coherence_waiter waiter; /* kind, seq and deadline_ms are set by the asker */
    enum status status;             /* when done: OK, TIMEOUT, BUSY, L2_DOWN */
};

/* Only with an L2. BUSY: done will not be called. */
enum status bus_wait_send(struct bus_wait *wait, struct worker *home) MUST_USE;

struct l2_question {
    struct errand errand; /* first; `done` is set by the asker */
    struct link_request request;
    struct buf bytes;   /* the request; if it was answered, then the reply. The asker's */
    enum status status; /* when done: that of the answer, or why there is none */
};

/* Only with an L2. BUSY: done will not be called. */
enum status l2_question_send(struct l2_question *question, struct worker *home) MUST_USE;

#endif
