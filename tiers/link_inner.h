/* SPDX-License-Identifier: BSD-3-Clause */
/* link_inner.h -- the inside of a link, for link.c (queues, bytes, time) and link_greeting.c (what is said first). */
#ifndef TERRACE_TIERS_LINK_INNER_H
#define TERRACE_TIERS_LINK_INNER_H

#include "tiers/link.h"
#include "tiers/link_fifo.h"

enum {
    LINK_MAGIC = 0x4c494e4b,
    LINK_WHY_MAX = BEAT_ERROR_MAX,
    LINK_SELECT_MAX = 40, /* bytes of a SELECT request */
};

/* The replies of a greeting, in order. */
enum greeting_step {
    GREET_AUTH,
    GREET_HELLO,
    GREET_CLIENT_ID,
    GREET_BEAT,
    GREET_SELECT
};

struct link {
    unsigned magic;
    struct link_options options;
    struct rand rand;
    enum link_state state;
    bool down;
    bool freed;         /* link_free is at work */
    unsigned callbacks; /* how many are on the stack: the link must not be freed then */
    unsigned failures;  /* in a row */
    int64_t retry_at_ms;
    int64_t overdue_at_ms; /* of CONNECTING and GREETING */
    uint64_t connection;   /* changes with every loss, so that a loop around callbacks notices */
    char why[LINK_WHY_MAX];

    /* of the present connection */
    enum greeting_step step;
    int select_next; /* database that GREET_SELECT waits for */
    struct beat_answer greeting;
    uint64_t client_id;
    int selected;
    uint32_t databases;      /* bit per database that SELECT accepted */
    int64_t silent_since_ms; /* a read expired and no byte came since; 0: not so */

    struct link_fifo sent;
    struct link_fifo waiting; /* their bytes are in `held` */
    struct buf held;
    int64_t earliest_ms; /* no deadline passes before; 0: look */

    struct buf out;
    size_t out_head;  /* bytes of `out` that are written */
    uint64_t written; /* bytes of all connections: the position of out_head in the stream */

    struct buf in;
    size_t in_head;
    struct reply_framer framer;
    bool reading;
};

/* link.c: */
void link_move(struct link *link,
               enum link_state to); /* checks the move against the drawing in link.h */
void link_out_announce(struct link *link,
                       size_t size_before); /* bytes were put behind the first `size_before` */
void link_become_ready(struct link *link);  /* tells on_ready, sends what waited */

/* link_greeting.c: */
enum status link_greeting_append(struct link *link,
                                 int64_t now_ms) MUST_USE; /* all of it, to the output */
void link_greeting_take(struct link *link, struct slice reply,
                        int64_t now_ms); /* each reply, in order */
/* "SELECT n" as bytes; returns how many. */
size_t link_select_write(char dst[LINK_SELECT_MAX], int db);

#endif
