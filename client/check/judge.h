/* SPDX-License-Identifier: BSD-3-Clause */
/* judge.h -- judges a history, record by record, in the order of its moments (protocol/history.h).
 *
 * Of each read is asked, in this order; the first that fails is the violation:
 *      unwritten   the value was written to this key, had been asked for before the read ended, and was not refused
 *      expired     its life was not over when the read was invoked
 *      stale       no write that certainly came after it was known to have happened more than the bound before the read
 *                  was invoked ("lost" in the read-back at the end)
 *      node        nor one that this node had acknowledged before the read was invoked
 *      own write   nor one that the session itself made and got acknowledged
 *      backwards   nor one that the session itself has seen
 * W2 certainly came after W1 iff W2 was invoked after W1 had completed. So no innocent read is ever accused; what
 * overlaps is left alone (`strict` judges that, too: zones.h). A write is known to have happened when it was
 * acknowledged, or, earlier or without an answer, when a read of it has completed.
 *
 * The AGE of a read is how long before its invocation the first such later write was known to have happened: what it
 * was stale by, at least; 0 for a read of the newest value.
 *
 * Owns:    all it remembers. A write is forgotten when it was overwritten a window ago, a session's view of a key when
 *          the session did not touch the key for a window: memory is in proportion to what happens in a window, to the
 *          keys, and to writes that were never answered nor seen. `strict` forgets nothing: 100 bytes a write.
 * Threads: one.
 * Units:   nanoseconds of the history.
 * Errors:  INVALID with one line in `error`: the history contradicts itself, or cannot be judged as asked; NO_MEMORY. */
#ifndef TERRACE_CLIENT_CHECK_JUDGE_H
#define TERRACE_CLIENT_CHECK_JUDGE_H

#include "client/check/index.h"
#include "client/check/order.h"
#include "protocol/histogram.h"
#include "protocol/history.h"

enum rule {
    RULE_UNWRITTEN,
    RULE_EXPIRED,
    RULE_STALE,
    RULE_LOST,
    RULE_NODE,
    RULE_OWN_WRITE,
    RULE_BACKWARDS,
    RULE_ORDER, /* strict only: two writes and their reads contradict each other */
    RULE_COUNT,
};

enum {
    JUDGE_EXPLAINED_MAX = 20,
    JUDGE_OUTCOMES = HISTORY_LOST + 1,
};

struct write {
    uint64_t value;
    uint64_t begun_ns;
    uint64_t answered_ns; /* 0: not yet */
    uint64_t high_ns; /* it has taken effect by then, if it ever does; HISTORY_NEVER: no limit */
    uint64_t gone_ns; /* by then its life is over; HISTORY_NEVER */
    uint64_t last_begin_ns; /* of its reads */
    uint32_t key;
    uint32_t session;
    uint32_t life_ms;
    uint16_t node;
    uint8_t kind;    /* HISTORY_SET, ... */
    uint8_t outcome; /* 0: not answered */
    bool seen;
};

struct violation {
    enum rule rule;
    struct history_record read;
    const char *why;
    uint64_t age_ns;
    bool has_written; /* the write whose value was read */
    bool has_against; /* what it is too old for */
    struct write written;
    struct write against;
};

struct node_tally {
    uint64_t reads;
    uint64_t nothing; /* of these, nil */
    uint64_t marked;
    uint64_t final;
    uint64_t stale; /* read more than 0 late; `ages` has them */
    uint64_t writes[JUDGE_OUTCOMES];
    struct histogram ages;
};

struct judge_config {
    struct history_header header; /* of the run; nodes of all files */
    uint64_t window_ns;
    bool strict;
};

struct judge_order;
struct judge_view;

struct judge {
    struct judge_config config;
    char error[200];

    uint64_t records;
    uint64_t begun;     /* writes */
    uint64_t unjudged;  /* reads that lasted longer than what is remembered */
    uint64_t read_back; /* keys read in the end where the bound is 0 */
    uint64_t first_ns;
    uint64_t last_ns;
    uint64_t losses_high_ns; /* of all keys: what was overwritten before may come back */
    uint32_t losses_open;
    uint64_t violations[RULE_COUNT];
    uint32_t explained_count;
    struct violation explained[JUDGE_EXPLAINED_MAX];
    struct node_tally nodes[HISTORY_NODES_MAX];

    struct judge_order *orders; /* by key */
    struct write *writes;       /* places; free ones are chained */
    uint32_t writes_used;
    uint32_t writes_capacity;
    uint32_t free_write;
    struct index by_value;
    struct index writers; /* writer -> place in `counters` */
    uint64_t *counters;   /* the highest that began */
    uint32_t counters_count;
    struct { /* a ring of writes to look at again, when they may be forgotten */
        struct judge_later {
            uint64_t due_ns;
            uint32_t write;
        } * items;
        uint32_t capacity;
        uint32_t head;
        uint32_t count;
    } later;
    struct judge_views { /* of sessions on keys: the newer half and the older, which goes next */
        struct index index;
        struct judge_view *items;
        uint32_t count;
        uint32_t capacity;
    } views[2];
    uint64_t views_since_ns;
    struct { /* writes to all keys at once: each key takes them in when it is touched */
        struct judge_wide {
            uint64_t moment_ns;
            uint32_t write;
            bool ends;
        } * items;
        uint32_t count;
        uint32_t capacity;
    } wide;
};

/* Copies the config. A window that is too short for the bounds is made longer. */
enum status judge_init(struct judge *judge, const struct judge_config *config) MUST_USE;
void judge_done(struct judge *judge);
/* `session` of the record is unique in the run, its `node` an index of config.header. */
enum status judge_record(struct judge *judge, const struct history_record *record) MUST_USE;
/* After the last record: `strict` judges now. */
enum status judge_end(struct judge *judge) MUST_USE;

const char *rule_name(enum rule rule);
uint64_t judge_violations(const struct judge *judge);
uint64_t judge_reads(const struct judge *judge);

#endif
