/* SPDX-License-Identifier: BSD-3-Clause */
/* invalidate.h -- CACHE.INVALIDATE: what was asked for, and how it is answered.
 *
 *      the words -> an ORDER (invalidate_order.c) -> its PARTS, each told to L2 -> all are done -> a marker -> [seq, count]
 *
 * The marker is published behind the parts, so who has applied it has applied them: its seq is the answer's. With SYNC the
 * answer waits until no live node can serve what was invalidated (tiers/waiters.h, EVERYWHERE).
 *
 * Threads: the worker's. */
#ifndef TERRACE_SERVER_INVALIDATE_H
#define TERRACE_SERVER_INVALIDATE_H

#include "server/call.h"
#include "server/errand.h"

/* --- the order ----------------------------------------------------------------------------------------------------- */

enum invalidate_subject {
    INVALIDATE_KEY,
    INVALIDATE_TAG,
    INVALIDATE_PREFIX,
    INVALIDATE_PATTERN,
    INVALIDATE_ALL
};
enum {
    INVALIDATE_SUBJECT_ARG = 1,
    INVALIDATE_FIRST_ARG = 2
};

/* Borrows the words of the call. */
struct invalidate_order {
    enum invalidate_subject subject;
    const struct slice *args; /* keys, tags, prefixes, patterns */
    uint32_t arg_count;
    bool all_tags;              /* TAG: what has all of them; else any */
    const struct namespace *ns; /* of NS name; NULL: all */
    bool reaches_plain;         /* KEY: one of both; TAG: */
    bool reaches_managed;       /* the second */
    bool soft;
    bool dry;
    int64_t sync_ms; /* -1: without SYNC */
};

/* Where the options begin: they stand behind the arguments and are read from the end, as long as there are words left that
 * can be options. A word that could be one is taken for an argument where it is the only one, or stands in front of
 * another argument. For a line whose first word no order begins with: argc. */
uint32_t invalidate_args_end(const struct slice *argv, uint32_t argc);
/* false: an error is answered. */
bool invalidate_parse(struct call *call, struct invalidate_order *ret_order);

/* --- its answer ---------------------------------------------------------------------------------------------------- */

struct invalidation {
    struct bus_wait wait; /* first: an errand is cast back */
    struct answer *answer;
    int64_t ms;      /* how long to wait for the marker: with SYNC from the call on, */
    bool sweeps;     /* or from the end of the sweep */
    bool unnumbered; /* nothing is told to anybody: the seq is 0, and there is no marker */
    unsigned parts;  /* under way */
    size_t count;
};

struct invalidation *invalidation_new(const struct call *call,
                                      const struct invalidate_order *order); /* NULL: no memory */
/* A part was sent: the call is deferred with the first. */
void invalidation_part_begins(struct invalidation *invalidation, struct call *call);
/* It is done with: what it adds to the count, or, if it failed, the error is in the answer's reply (of several the first).
 * The last one sends the marker, or lands the answer. */
void invalidation_part_ends(struct invalidation *invalidation, size_t count);

/* --- managed namespaces (invalidate_managed.c) --------------------------------------------------------------------- */

/* KEY, whose keys are all in such. Answers now or later. */
void invalidate_managed_keys(struct call *call, const struct invalidate_order *order);
/* TAG; and what PREFIX, PATTERN and ALL reach of them, in front of what is done about plain ones. Bans, as a part of the
 * invalidation; with `dry` it only adds to its count. false: it could not be sent, and the error is answered. */
bool invalidate_by_bans(struct call *call, const struct invalidate_order *order,
                        struct invalidation *invalidation);

#endif
