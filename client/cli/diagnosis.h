/* SPDX-License-Identifier: BSD-3-Clause */
/* diagnosis.h -- what `terrace doctor` makes of what it saw: a pure function from facts to findings.
 *
 * Each check says what was seen, and if that is not well, what to do. What this user may not see is a warning, since nobody
 * knows then whether it is well.
 *
 * Owns:    findings own nothing but their text. */
#ifndef TERRACE_CLIENT_CLI_DIAGNOSIS_H
#define TERRACE_CLIENT_CLI_DIAGNOSIS_H

#include "client/cli/tree.h"

enum verdict {
    VERDICT_OK,
    VERDICT_WARN,
    VERDICT_FAIL
};
const char *verdict_name(enum verdict verdict); /* "ok", "warn", "fail" */

enum {
    FINDINGS_MAX = 32,
    FINDING_TEXT_MAX = 640
};

struct finding {
    const char *check;
    enum verdict verdict;
    char seen[FINDING_TEXT_MAX];
    char advice[FINDING_TEXT_MAX]; /* "" if all is well */
};

/* What a question brought: a tree, or why there is none. */
struct fact {
    const struct tree *tree; /* NULL: */
    const char *error;
};

struct facts {
    bool reachable;
    const char *error;        /* if not, why */
    const char *own_version;  /* of this program */
    int64_t round_trip_us;    /* to the node; the least of several */
    int64_t l2_round_trip_us; /* what a question that goes on to L2 takes longer; -1: not known */
    const char *l2_error;     /* why not, or "" */
    /* The node's wall clock less ours; how far that may be off is half a round trip. */
    int64_t clock_ahead_us;
    bool clock_known;
    struct slice info;        /* sections that a node tells without L2 */
    struct slice memory;      /* section memory; empty: not known */
    struct fact nodes;        /* CACHE.NODES */
    struct fact settings;     /* CONFIG GET listen admin admin-token */
    struct fact warm;         /* CACHE.WARM LIST; only asked with an L2 */
    struct fact default_user; /* ACL GETUSER default */
    struct fact slow;         /* SLOWLOG GET 1 */
    int64_t slow_count;
    int64_t node_time_s; /* the node's wall clock */
};

/* Into `findings`, one for each check that applies; returns how many. */
size_t diagnose(const struct facts *facts, struct finding findings[FINDINGS_MAX]);

/* For the checks. Verdict, what was seen; then what to do. */
void finding_say(struct finding *finding, enum verdict verdict, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void finding_advise(struct finding *finding, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A check; false: it does not apply. Of diagnosis_l2.c: */
typedef bool check_fn(const struct facts *facts, struct finding *finding);
check_fn check_l2, check_l2_latency, check_l2_rights, check_l2_memory, check_l2_clock,
    check_tracking;
/* Of diagnosis_warm.c: */
check_fn check_admin, check_warming;
/* For both: the fact is not there, and that is said, with the right that would show it. */
bool finding_unseen(struct finding *finding, const struct fact *fact, const char *right);
bool finding_is_loopback(struct slice address);

#endif
