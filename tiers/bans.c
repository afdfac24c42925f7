/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/check.h"
#include "tiers/bans_inner.h"
#include "tiers/base/rand.h"

#include <string.h>

enum {
    MEMO_BITS = 16, /* a megabyte of a worker, as far as it is used */
    MEMO_WAYS = 4,  /* a line of memory: keys that meet there do not push each other out in turn */
    MEMO_LINES = (1 << MEMO_BITS) / MEMO_WAYS,
    VERDICT_BITS = 2
};

struct memo_entry {
    uint64_t id;    /* of all that the verdict hangs on */
    uint64_t stamp; /* the count of changes then, and the verdict */
};

struct memo_line {
    _Alignas(BANS_CACHE_LINE) struct memo_entry at[MEMO_WAYS];
};

struct bans_memo {
    struct bans *bans;
    struct bans_memo *next; /* under bans.lock */
    _Atomic uint64_t seen;  /* the era */
    void *room;             /* of the lines: zeros that are not there yet until they are written */
    struct memo_line *lines;
};

uint64_t bans_tag_hash(struct slice ns_name, struct slice tag)
{
    return bans_tag_id(tag) ^ bans_ns_id(ns_name);
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

static enum ban_verdict judge(const struct bans *bans, const struct bans_table *table,
                              const struct bans_list *list, const struct bans_case *of,
                              bool is_held)
{
    struct bans_found found = {0};
    if (of->version < atomic_load_explicit(&bans->below, memory_order_relaxed) ||
        (of->version != 0 && !is_held &&
         of->version < atomic_load_explicit(&bans->lost, memory_order_relaxed))) {
        return BAN_HARD;
    }
    bans_table_match(table, of, &found);
    if (!found.hard && list != NULL) {
        bans_list_match(list, of, &found);
    }
    if (found.hard) {
        return BAN_HARD;
    }
    return found.soft ? BAN_SOFT : BAN_NONE;
}

/* Of key, version and tags: one version of a key may have been written twice, with other tags (several writes of one group
 * have one seq), and a key is in several databases. Its namespace follows from the key. */
static uint64_t memo_id(uint64_t key_hash, uint64_t version, const char *tags, unsigned tag_count)
{
    uint64_t id = (key_hash ^ version * UINT64_C(0x9e3779b97f4a7c15)) | 1;
    for (unsigned i = 0; i < tag_count; i++) {
        uint64_t tag = 0;
        memcpy(&tag, tags + i * sizeof tag,
               sizeof tag); /* never leaves the process: in any order */
        id = (id ^ tag) * UINT64_C(0xc2b2ae3d27d4eb4f) + 1;
    }
    return id ^ id >> 32;
}

/* Found by the key alone, so that it can be looked up while the value is. */
static struct memo_line *memo_line(struct bans_memo *memo, uint64_t key_hash)
{
    return &memo->lines[(key_hash * UINT64_C(0x9e3779b97f4a7c15)) >> 32 & (MEMO_LINES - 1)];
}

void bans_prefetch(struct bans_memo *memo, uint64_t key_hash)
{
    __builtin_prefetch(memo_line(memo, key_hash));
}

/* NULL: it is not remembered. */
static const struct memo_entry *memo_find(const struct memo_line *line, uint64_t id,
                                          uint64_t changes)
{
    for (unsigned i = 0; i < MEMO_WAYS; i++) {
        if (line->at[i].id == id && line->at[i].stamp >> VERDICT_BITS == changes) {
            return &line->at[i];
        }
    }
    return NULL;
}

/* In the place of one that says nothing any more, or of any. */
static void memo_keep(struct memo_line *line, uint64_t id, uint64_t changes,
                      enum ban_verdict verdict)
{
    unsigned way = (unsigned)(id >> 32) % MEMO_WAYS;
    for (unsigned i = 0; i < MEMO_WAYS; i++) {
        if (line->at[i].stamp >> VERDICT_BITS != changes) {
            way = i;
        }
    }
    line->at[way] =
        (struct memo_entry){.id = id, .stamp = changes << VERDICT_BITS | (uint64_t)verdict};
}

enum ban_verdict bans_check(const struct bans *bans, struct bans_memo *memo,
                            const struct namespace *ns, struct slice key, uint64_t key_hash,
                            uint64_t version, const char *tags, unsigned tag_count)
{
    /* In this order: a verdict must not be kept for a count of changes that it did not see all of. */
    const uint64_t changes = atomic_load_explicit(&bans->changes, memory_order_acquire);
    if (version >= atomic_load_explicit(&bans->highest, memory_order_relaxed)) {
        return BAN_NONE;
    }
    const uint64_t id = memo_id(key_hash, version, tags, tag_count);
    struct memo_line *line = memo_line(memo, key_hash);
    const struct memo_entry *known = memo_find(line, id, changes);
    if (known != NULL) {
        return (enum ban_verdict)(known->stamp & ((1u << VERDICT_BITS) - 1));
    }
    const struct bans_table *table = atomic_load_explicit(&bans->table, memory_order_acquire);
    const struct bans_list *list = atomic_load_explicit(&bans->list, memory_order_acquire);
    const bool scoped = list != NULL || atomic_load_explicit(&table->scoped, memory_order_relaxed);
    const struct bans_case of = {
        .ns = scoped ? bans_ns_id(slice_of(ns->name)) : 0,
        .key = key,
        .version = version,
        .tags = tags,
        .tag_count = tag_count,
    };
    const enum ban_verdict verdict =
        bans_is_whole(bans) ? judge(bans, table, list, &of, false) : BAN_UNKNOWN;
    memo_keep(line, id, changes, verdict);
    return verdict;
}

static enum ban_verdict check_known(const struct bans *bans, const struct namespace *ns,
                                    const struct bans_case *wanted, bool is_held)
{
    (void)atomic_load_explicit(&bans->changes, memory_order_acquire);
    const struct bans_table *table = atomic_load_explicit(&bans->table, memory_order_acquire);
    const struct bans_list *list = atomic_load_explicit(&bans->list, memory_order_acquire);
    struct bans_case of = *wanted;
    of.ns = bans_ns_id(slice_of(ns->name));
    return judge(bans, table, list, &of, is_held);
}

enum ban_verdict bans_check_held(const struct bans *bans, const struct namespace *ns,
                                 struct slice key, uint64_t version, const char *tags,
                                 unsigned tag_count)
{
    const struct bans_case of = {
        .key = key, .version = version, .tags = tags, .tag_count = tag_count};
    return bans_is_whole(bans) ? check_known(bans, ns, &of, true) : BAN_UNKNOWN;
}

enum ban_verdict bans_check_known(const struct bans *bans, const struct namespace *ns,
                                  struct slice key, uint64_t version, const char *tags,
                                  unsigned tag_count)
{
    const struct bans_case of = {
        .key = key, .version = version, .tags = tags, .tag_count = tag_count};
    return check_known(bans, ns, &of, false);
}

void bans_quiet(struct bans_memo *memo)
{
    const uint64_t era = atomic_load_explicit(&memo->bans->era, memory_order_acquire);
    if (era != atomic_load_explicit(&memo->seen, memory_order_relaxed)) {
        atomic_store_explicit(&memo->seen, era, memory_order_release);
    }
}

struct bans_memo *bans_memo_new(struct bans *bans)
{
    struct bans_memo *memo = calloc(1, sizeof(*memo));
    void *room = calloc(MEMO_LINES + 1, sizeof(struct memo_line));
    if (memo == NULL || room == NULL) {
        free(memo);
        free(room);
        return NULL;
    }
    const uintptr_t beyond = (uintptr_t)room % BANS_CACHE_LINE;
    memo->room = room;
    memo->lines = (struct memo_line *)(void *)((char *)room + (BANS_CACHE_LINE - beyond));
    CHECK_MAGIC(bans, BANS_MAGIC);
    memo->bans = bans;
    pthread_mutex_lock(&bans->lock);
    bans_quiet(memo);
    memo->next = bans->memos;
    bans->memos = memo;
    pthread_mutex_unlock(&bans->lock);
    return memo;
}

void bans_memo_free(struct bans_memo *memo)
{
    if (memo == NULL) {
        return;
    }
    struct bans *bans = memo->bans;
    pthread_mutex_lock(&bans->lock);
    struct bans_memo **link = &bans->memos;
    while (*link != memo) {
        link = &(*link)->next;
    }
    *link = memo->next;
    pthread_mutex_unlock(&bans->lock);
    free(memo->room);
    free(memo);
}

/* --- what readers look at is replaced ---------------------------------------------------------------------------- */

static void retire(struct bans *bans, struct bans_block *block)
{
    block->era = atomic_fetch_add_explicit(&bans->era, 1, memory_order_acq_rel) + 1;
    block->next = bans->retired;
    bans->retired = block;
}

static void block_free(struct bans_block *block)
{
    if (block->is_table) {
        bans_table_free((struct bans_table *)(void *)block);
    } else {
        free(block);
    }
}

static uint64_t least_seen(struct bans *bans)
{
    uint64_t least = UINT64_MAX;
    pthread_mutex_lock(&bans->lock);
    for (const struct bans_memo *memo = bans->memos; memo != NULL; memo = memo->next) {
        const uint64_t seen = atomic_load_explicit(&memo->seen, memory_order_acquire);
        least = seen < least ? seen : least;
    }
    pthread_mutex_unlock(&bans->lock);
    return least;
}

void bans_reclaim(struct bans *bans)
{
    CHECK_MAGIC(bans, BANS_MAGIC);
    if (bans->retired == NULL) {
        return;
    }
    const uint64_t least = least_seen(bans);
    struct bans_block **link = &bans->retired;
    while (*link != NULL) {
        struct bans_block *block = *link;
        if (block->era <= least) {
            *link = block->next;
            block_free(block);
        } else {
            link = &block->next;
        }
    }
}

static void show_size(struct bans *bans)
{
    const struct bans_list *list = bans_list_of(bans);
    const size_t bytes = bans_row_bytes(bans) + bans_table_bytes(bans_table_of(bans)) +
                         (list != NULL ? list->bytes : 0);
    atomic_store_explicit(&bans->bytes, bytes, memory_order_relaxed);
}

void bans_changed(struct bans *bans)
{
    uint64_t highest = bans->top;
    const uint64_t below = atomic_load_explicit(&bans->below, memory_order_relaxed);
    const uint64_t lost = atomic_load_explicit(&bans->lost, memory_order_relaxed);
    highest = below > highest ? below : highest;
    highest = lost > highest ? lost : highest;
    if (!bans_is_whole(bans)) {
        highest = UINT64_MAX;
    }
    atomic_store_explicit(&bans->highest, highest, memory_order_relaxed);
    atomic_fetch_add_explicit(&bans->changes, 1, memory_order_release);
    show_size(bans);
    bans_reclaim(bans);
}

void bans_swap_table(struct bans *bans, struct bans_table *table)
{
    struct bans_table *before = bans_table_of(bans);
    atomic_store_explicit(&bans->table, table, memory_order_release);
    retire(bans, &before->block);
}

void bans_swap_list(struct bans *bans, struct bans_list *list)
{
    struct bans_list *before = bans_list_of(bans);
    atomic_store_explicit(&bans->list, list, memory_order_release);
    if (before != NULL) {
        retire(bans, &before->block);
    }
}

void bans_set_whole(struct bans *bans, bool whole)
{
    CHECK_MAGIC(bans, BANS_MAGIC);
    atomic_store_explicit(&bans->whole, whole, memory_order_release);
    bans_changed(bans);
}

bool bans_is_whole(const struct bans *bans)
{
    return atomic_load_explicit(&bans->whole, memory_order_relaxed);
}

/* Stored before it is whole, or not whole any more: whoever sees that sees them. */
void bans_set_epoch(struct bans *bans, struct epoch epoch)
{
    CHECK_MAGIC(bans, BANS_MAGIC);
    atomic_store_explicit(&bans->reach_counter, epoch.counter, memory_order_relaxed);
    atomic_store_explicit(&bans->reach_random, epoch.random, memory_order_release);
}

void bans_set_reach(struct bans *bans, uint64_t seq)
{
    CHECK_MAGIC(bans, BANS_MAGIC);
    atomic_store_explicit(&bans->reach_seq, seq, memory_order_release);
}

/* While it is whole all that was heard is in it. What was heard before it was seen to be so was heard in the present epoch, or
 * in a former one, with a smaller seq. */
struct bans_reach bans_reach(const struct bans *bans, uint64_t heard_seq)
{
    const bool whole = atomic_load_explicit(&bans->whole, memory_order_acquire);
    const uint64_t kept_seq = atomic_load_explicit(&bans->reach_seq, memory_order_acquire);
    return (struct bans_reach){
        .epoch = {.counter = atomic_load_explicit(&bans->reach_counter, memory_order_relaxed),
                  .random = atomic_load_explicit(&bans->reach_random, memory_order_acquire)},
        .seq = whole ? heard_seq : kept_seq,
    };
}

void bans_forget_verdicts(struct bans *bans)
{
    atomic_fetch_add_explicit(&bans->changes, 1, memory_order_release);
}

/* --- life and figures -------------------------------------------------------------------------------------------- */

struct bans *bans_new(void)
{
    struct bans *bans = aligned_alloc(BANS_CACHE_LINE, sizeof(*bans));
    if (bans == NULL) {
        return NULL;
    }
    memset(bans, 0, sizeof(*bans));
    rand_secret(&bans->secret, sizeof bans->secret);
    unsigned char random[HASH_SECRET_SIZE];
    rand_secret(random, sizeof random);
    hash_secret_init(&bans->names, random);
    struct bans_table *table = bans_table_new(&bans->secret, 0);
    if (table == NULL || pthread_mutex_init(&bans->lock, NULL) != 0) {
        bans_table_free(table);
        free(bans);
        return NULL;
    }
    bans->magic = BANS_MAGIC;
    atomic_init(&bans->table, table);
    atomic_init(&bans->whole, true);
    show_size(bans);
    return bans;
}

void bans_free(struct bans *bans)
{
    if (bans == NULL) {
        return;
    }
    CHECK_MAGIC(bans, BANS_MAGIC);
    CHECK(bans->memos == NULL);
    bans_reclaim(bans); /* all: nobody reads */
    bans_free_rows(bans);
    bans_table_free(bans_table_of(bans));
    free(bans_list_of(bans));
    pthread_mutex_destroy(&bans->lock);
    bans->magic = 0;
    free(bans);
}

uint64_t bans_count(const struct bans *bans)
{
    return atomic_load_explicit(&bans->count, memory_order_relaxed);
}

uint64_t bans_bytes(const struct bans *bans)
{
    return atomic_load_explicit(&bans->bytes, memory_order_relaxed);
}

uint64_t bans_changes(const struct bans *bans)
{
    return atomic_load_explicit(&bans->changes, memory_order_relaxed);
}
