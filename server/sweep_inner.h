/* SPDX-License-Identifier: BSD-3-Clause */
/* sweep_inner.h -- what sweep.c (life, pace, L1) and sweep_l2.c (questions to L2) share. */
#ifndef TERRACE_SERVER_SWEEP_INNER_H
#define TERRACE_SERVER_SWEEP_INNER_H

#include "server/sweep.h"
#include "tiers/tiers.h"

struct sweep {
    struct tiers_relay relay; /* first: the question under way */
    struct worker *worker;
    struct sweep_user *user;
    struct list in_desk;
    struct list in_node; /* under its lock */
    /* the wish: */
    struct buf globs; /* one behind the other, of */
    size_t *sizes;
    uint32_t glob_count;
    bool is_named;
    struct sweep_description shown; /* and how far; but for its numbers, which are: */
    _Atomic uint64_t looked;
    _Atomic uint64_t deleted;
    /* where it is: */
    uint32_t at;
    size_t at_byte;
    uint64_t cursor;
    uint64_t run;   /* the process that answers; 0: none yet */
    unsigned asked; /* keys of the present SCAN */
    /* pace: */
    int64_t budget; /* thousandths of a key */
    int64_t earned_at_ms;
    unsigned pace;
    uint64_t asked_at_ns;
    uint64_t usual_ns; /* a round trip, while nothing is in the way */
    /* the end: */
    bool asks;
    const char *stopped; /* why it must not go on */
    /* keys of the UNLINK under way; malloc'ed */
    struct l1_key *keys;
};

/* What it goes through now. */
struct slice sweep_glob(const struct sweep *sweep);
/* That is meant; NULL: all, or, with is_named, it is not there any more. */
const struct namespace *sweep_namespace(const struct sweep *sweep);
bool sweep_means(const struct sweep *sweep, const struct namespace *ns, struct slice key);
/* Adds to what is shown, and pays for it. */
void sweep_count(struct sweep *sweep, uint64_t looked, uint64_t deleted);
/* A step is done: on to the next glob, if this one is through. */
void sweep_turn(struct sweep *sweep);
/* As far as the budget goes. It may have ended afterwards. */
void sweep_go(struct sweep *sweep);
/* It ends; `why` in the words of an error reply. */
void sweep_fail(struct sweep *sweep, const char *why);

/* sweep_l2.c: the next SCAN. It may have ended afterwards. */
void sweep_ask(struct sweep *sweep);

#endif
