/* SPDX-License-Identifier: BSD-3-Clause */
/* namespace.h -- which keys live together: under one contract of reads, one budget, one policy.
 *
 * A namespace is all keys that begin with its prefix, and `default` is the rest; where prefixes begin alike the longest
 * wins. Each has an L1 of its own, so what one takes in pushes nobody else's values out. Databases are another matter:
 * each namespace has all 16.
 *
 *      "resp:1" -> namespace response (prefix resp:)      "respite" -> default
 *
 * namespace_of finds a key's HOME. A home may be kept for as long as a batch lasts; whoever waits longer (a read or a
 * write on its way to L2) keeps the key and looks again, since namespaces may have changed meanwhile.
 *
 * Each counts what its clients did (tally.def) and may be limited per second (quota.h), in a row for each thread.
 *
 * The L1s are kin: one hash serves all, and l1_commit may change keys of several namespaces at once.
 *
 * FORMAT: `plain` values lie in L2 as their writers gave them, and L1 keeps them so; `managed` ones lie in an envelope
 * (protocol/envelope.h), and L1 keeps them in a shape of its own (managed.h). What is managed has RULES: how long it is
 * fresh, what may be served afterwards, who loads it anew and when.
 *
 * Threads: settings change while all others read them (atomics). What there is, prefixes and formats change only by
 *          namespaces_rebuild, while nobody else looks (server/standstill.h).
 * Units:   milliseconds; bytes.
 * Limits:  NAMESPACES_MAX, `default` included. */
#ifndef TERRACE_TIERS_NAMESPACE_H
#define TERRACE_TIERS_NAMESPACE_H

#include "tiers/base/count.h"
#include "tiers/l1.h"
#include "tiers/negatives.h"
#include "tiers/quota.h"

#include <stdatomic.h>

enum {
    NAMESPACES_MAX = L1_KIN_MAX,
    NAMESPACE_NAME_MAX = 64,
    NAMESPACE_PREFIX_MAX = 128,
};

enum tally {
#define TALLY(id, name, prometheus, labels, help) id,
#include "tiers/base/tally.def"
#undef TALLY
    TALLY_COUNT
};

/* What one thread counts, and has in hand of the quotas: lines of its own. */
struct namespace_row {
    _Alignas(64) _Atomic uint64_t tally[TALLY_COUNT];
    struct quota_share ops;
    struct quota_share bytes;
};

/* The contract of reads (COHERENCE section 7). */
enum namespace_kind {
    NAMESPACE_BOUNDED,
    NAMESPACE_STRICT,
    NAMESPACE_AVAILABLE,
    NAMESPACE_TTL
};

struct namespace_mode {
    enum namespace_kind kind;
    int64_t bound_ms; /* T */
    int64_t grace_ms; /* G, of NAMESPACE_AVAILABLE */
};

enum namespace_write {
    NAMESPACE_THROUGH, /* a write goes to L2, and is answered when it is there */
    NAMESPACE_AROUND,  /* a write only ends what stands */
    NAMESPACE_BEHIND, /* a write is answered when it is on this node's disk, and goes to L2 then (behind.h) */
};

/* What values of a managed namespace live by. Numbers of one kind: they are kept, and read, one by one. */
struct ns_rules {
    int64_t ttl_ms;         /* fresh life, where a write gives none; 0: no end */
    int64_t max_ttl_ms;     /* longest fresh life; 0: as long as a write likes */
    int64_t jitter_percent; /* of the two above, by chance so much less (managed_life_ms) */
    /* Where a write says nothing: after its fresh life a value is served, and loaded anew,. */
    int64_t swr_ms;
    int64_t sie_ms;          /* and is served if it cannot be loaded */
    int64_t eager_percent;   /* past so much of its fresh life a value is loaded anew; 0: never */
    int64_t xfetch_milli;    /* beta of XFetch in thousandths; 0: off */
    int64_t negative_ttl_ms; /* of what a load did not find; 0: it is asked for again at once */
    int64_t soft_timeout_ms; /* who waits for a load is served what is stale after this, */
    int64_t hard_timeout_ms; /* and an error or nothing after this */
    int64_t load_timeout_ms; /* who loads has so long */
    int64_t compress_min;    /* bytes; smaller values are kept as they are; 0: all are */
    int64_t write;           /* enum namespace_write */
};
enum {
    NS_RULE_COUNT = sizeof(struct ns_rules) / sizeof(int64_t)
};

/* What may change while the namespace is in use. */
struct namespace_settings {
    struct namespace_mode mode;
    int64_t ttl_ms; /* longest life in L1 of what was read from L2; 0: as L2 says */
    bool told;      /* `writers = nodes`: who writes tells the other nodes itself (announce.h) */
    struct ns_rules rules; /* of a managed one */
    bool whatif;           /* simulates other sizes and policies (whatif.h) */
    size_t memory;
    const struct policy *policy;
    int64_t max_ops;   /* operations on keys per second; 0: no limit */
    int64_t max_bytes; /* of requests and answers, per second */
};

struct namespace_spec {
    struct slice name;
    struct slice prefix; /* empty: `default`, which is the first and only one such */
    unsigned threads;    /* that will use it; 0: unknown */
    bool managed;        /* needs an L2, and `told` */
    struct namespace_settings settings;
};

struct dictionary_space;

struct namespace
{
    struct l1 *l1;
    struct namespace_row *rows; /* by worker; the last one is that of all other threads */
    unsigned row_count;
    unsigned place;   /* in namespaces.at */
    struct quota ops; /* these two: of all threads together */
    struct quota bytes;
    /* What reads go by: `wanted_ms`, once the other nodes were told of it. */
    _Atomic int64_t bound_ms;
    _Atomic int64_t wanted_ms; /* as set; the others below, too, here each by itself for readers */
    _Atomic int64_t ttl_ms;
    _Atomic int64_t grace_ms;
    _Atomic int kind;        /* enum namespace_kind */
    _Atomic int wanted_kind; /* as set; the two above are what holds while L2 tells of no changes */
    _Atomic int64_t wanted_ttl_ms;
    _Atomic bool told;
    _Atomic bool fallen; /* its contract is `ttl` for want of anybody who tells of changes */
    bool managed;        /* for good */
    _Atomic int64_t rules[NS_RULE_COUNT];            /* struct ns_rules */
    _Atomic(struct dictionary_space *) dictionaries; /* wrap.h; NULL: not needed so far */
    struct negatives negatives;
    char name[NAMESPACE_NAME_MAX + 1];
    struct slice prefix; /* in prefix_bytes */
    char prefix_bytes[NAMESPACE_PREFIX_MAX];
};

struct namespaces {
    _Atomic bool untracked;
    _Atomic bool limited; /* some have a quota */
    unsigned named;       /* without `default` */
    unsigned managed;     /* of these */
    unsigned end;         /* places in `at` that are in use or were */
    /* `default` first; the others keep their places as long as they live; NULL: free. */
    struct namespace *at[NAMESPACES_MAX];
    /* Named ones, by first byte of the prefix, then the longest first. */
    struct namespace *sorted[NAMESPACES_MAX];
    uint8_t first[256]; /* where in `sorted` a byte begins, plus one; 0: no prefix begins with it */
};

/* Whether L2 announces changes. If not, strangers are not seen, so a namespace in which they may write falls to `ttl`: what
 * was read lives for the namespace's ttl, or if it has none for its bound, and no contract is better than that. Values of
 * before end, whichever way it changes. For the control loop, before anything else is done about a new bus. */
void namespaces_set_tracked(struct namespaces *spaces, bool tracked);
bool namespaces_any_told(const struct namespaces *spaces);

/* A key and its home. */
struct ns_key {
    struct l1_key at;
    struct namespace *ns;
};

/* `specs`: `default` first; names and prefixes differ and are within the limits. `seed` as in l1_options. NULL: no
 * memory. */
struct namespaces *namespaces_new(const struct namespace_spec *specs, unsigned count,
                                  uint64_t seed);
void namespaces_free(struct namespaces *spaces);

/* Changes settings in place; `specs` has the same names, prefixes and formats as at present (namespaces_fit). Whether some
 * namespace promises its readers something else from now on. */
bool namespaces_apply(struct namespaces *spaces, const struct namespace_spec *specs, unsigned count,
                      int64_t now_ms);
bool namespaces_fit(const struct namespaces *spaces, const struct namespace_spec *specs,
                    unsigned count);
/* Makes the namespaces those of `specs`; one with the same name, prefix and format stays. `keep`: values move to their
 * new homes (L1 is the only copy); otherwise entries whose home changes end. For one thread, while nobody else uses
 * anything of this. Takes as long as walking all of L1. NO_MEMORY: nothing changed. */
enum status namespaces_rebuild(struct namespaces *spaces, const struct namespace_spec *specs,
                               unsigned count, bool keep, int64_t now_ms) MUST_USE;

struct namespace *namespace_search(const struct namespaces *spaces, struct slice key);

static inline struct namespace *namespace_of(const struct namespaces *spaces, struct slice key)
{
    return spaces->named == 0 ? spaces->at[0] : namespace_search(spaces, key);
}

static inline struct namespace *namespaces_default(const struct namespaces *spaces)
{
    return spaces->at[0];
}

/* The next one at or after place *at, which moves past it; NULL: no more. */
struct namespace *namespaces_next(const struct namespaces *spaces, unsigned *at);

static inline uint64_t namespaces_hash(const struct namespaces *spaces, struct slice key)
{
    return l1_hash(spaces->at[0]->l1, key);
}

struct ns_key namespaces_key(const struct namespaces *spaces, uint8_t db, struct slice bytes);

static inline int64_t namespace_bound_ms(const struct namespace *ns)
{
    return atomic_load_explicit(&ns->bound_ms, memory_order_relaxed);
}
static inline enum namespace_kind namespace_kind(const struct namespace *ns)
{
    return (enum namespace_kind)atomic_load_explicit(&ns->kind, memory_order_relaxed);
}
static inline int64_t namespace_ttl_ms(const struct namespace *ns)
{
    return atomic_load_explicit(&ns->ttl_ms, memory_order_relaxed);
}
static inline bool namespace_told(const struct namespace *ns)
{
    return atomic_load_explicit(&ns->told, memory_order_relaxed);
}
struct ns_rules namespace_rules(const struct namespace *ns); /* each as it is now */
/* For so long may what a write says of swr or sie reach: where there is a max-ttl, so that nothing lives for ever. */
int64_t namespace_window_max_ms(const struct ns_rules *rules);
/* So long after the seq that is its version L2 may still hold a managed value, of any namespace: what is loaded has the seq
 * of the beginning of its load, which may take as long as its lease can be held. 0: some may stay for ever. */
int64_t namespaces_longest_life_ms(const struct namespaces *spaces);
/* Counts for the thread of that worker. One that is past the last: a thread that is none. */
static inline struct namespace_row *namespace_row(const struct namespace *ns, unsigned worker)
{
    return &ns->rows[worker < ns->row_count ? worker : ns->row_count - 1];
}
static inline void row_tally(struct namespace_row *row, enum tally what, uint64_t count)
{
    count_add(&row->tally[what], count);
}
static inline void namespace_tally(const struct namespace *ns, unsigned worker, enum tally what,
                                   uint64_t count)
{
    row_tally(namespace_row(ns, worker), what, count);
}
/* Over all threads, since it came. */
void namespace_tallies(const struct namespace *ns, uint64_t ret_tallies[TALLY_COUNT]);
static inline bool namespace_is_limited(const struct namespace *ns)
{
    return quota_rate(&ns->ops) > 0 || quota_rate(&ns->bytes) > 0;
}
static inline bool namespaces_limited(const struct namespaces *spaces)
{
    return atomic_load_explicit(&spaces->limited, memory_order_relaxed);
}
struct namespace_mode namespace_mode(const struct namespace *ns); /* what reads go by */
enum {
    NAMESPACE_MODE_TEXT_MAX = 64
};
const char *namespace_write_name(enum namespace_write write); /* as in a configuration */
void namespace_mode_text(const struct namespace *ns,
                         char dst[NAMESPACE_MODE_TEXT_MAX]);        /* as in a configuration */
int64_t namespaces_least_bound_ms(const struct namespaces *spaces); /* beats go by the strictest */
int64_t namespaces_most_bound_ms(const struct namespaces *spaces);  /* and say the largest */
/* The other nodes were told of bounds up to `told_ms` (coherence_told_bound_ms): reads may go by what was set up to that.
 * A bound that is raised waits for it, since whoever waits for all nodes waits no longer than what they told; one that is
 * lowered holds at once. Control loop. */
void namespaces_allow_bounds(struct namespaces *spaces, int64_t told_ms);
struct namespace *namespaces_find(const struct namespaces *spaces,
                                  struct slice name); /* NULL: no such */

/* --- all of them as if they were one L1 (l1.h) --------------------------------------------------------------------- */

/* An announced key, in all databases. */
unsigned namespaces_forget(struct namespaces *spaces, struct slice bytes);
/* Cursors are below 2^63. The guarantee of l1_scan holds while namespaces stay as they are. */
uint64_t namespaces_scan(struct namespaces *spaces, uint8_t db, uint64_t cursor, size_t count,
                         int64_t now_ms, l1_visit_fn *visit, void *arg);
struct item *namespaces_random(struct namespaces *spaces, uint8_t db, uint64_t noise,
                               int64_t now_ms);
struct namespaces_count {
    uint64_t entries;
    uint64_t expiring;
    int64_t average_ttl_ms; /* 0: not known */
};
/* Its entries at one moment. */
uint64_t namespaces_size(const struct namespaces *spaces, uint8_t db);
struct namespaces_count namespaces_count(const struct namespaces *spaces, uint8_t db);
void namespaces_flush(struct namespaces *spaces, uint8_t db);
void namespaces_flush_all(struct namespaces *spaces);
enum {
    DATABASES_ALL = (1 << LIMIT_DATABASES) - 1
};
/* Databases as bits, of `ns` or, when it is NULL, of all. */
void namespaces_flush_dbs(struct namespaces *spaces, const struct namespace *ns, uint16_t dbs);
/* Those of mode `ttl`, whose reads look at no floor: what makes others suspect must end here. */
void namespaces_flush_floorless(struct namespaces *spaces);
/* Whether writes to some must be applied everywhere before they are acknowledged. */
bool namespaces_any_strict(const struct namespaces *spaces);
void namespaces_set_listener(struct namespaces *spaces, const struct l1_listener *listener);
void namespaces_swap(struct namespaces *spaces, uint8_t a, uint8_t b, int64_t now_ms);
unsigned namespaces_sweep(struct namespaces *spaces, int64_t now_ms, unsigned steps); /* each */
void namespaces_stats(const struct namespaces *spaces, struct l1_stats *ret_stats);

#endif
