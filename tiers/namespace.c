/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/namespace.h"

#include "protocol/check.h"
#include "tiers/lease.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- one ---------------------------------------------------------------------------------------------------------- */

/* What holds, from what is set and whether anybody tells of changes. Two threads may be here; both have stored what they
 * changed before, so the one that looks last sees both. The values end behind the change: a read that installs later was
 * begun later (its token would have ended), and goes by what holds now. */
static void settle(struct namespace *ns, bool untracked)
{
    const bool falls = untracked && !atomic_load(&ns->told);
    const int64_t ttl_ms = atomic_load(&ns->wanted_ttl_ms);
    const int64_t life_ms = ttl_ms > 0 ? ttl_ms : atomic_load(&ns->wanted_ms);
    atomic_store(&ns->ttl_ms, falls ? life_ms : ttl_ms);
    atomic_store(&ns->kind, falls ? (int)NAMESPACE_TTL : atomic_load(&ns->wanted_kind));
    if (atomic_exchange(&ns->fallen, falls) != falls) {
        l1_flush_all(ns->l1);
    }
}

_Static_assert(sizeof(struct ns_rules) == NS_RULE_COUNT * sizeof(int64_t), "nothing but numbers");

static void namespace_set_rules(struct namespace *ns, const struct ns_rules *rules)
{
    int64_t numbers[NS_RULE_COUNT];
    memcpy(numbers, rules, sizeof numbers);
    for (unsigned i = 0; i < NS_RULE_COUNT; i++) {
        atomic_store_explicit(&ns->rules[i], numbers[i], memory_order_relaxed);
    }
}

struct ns_rules namespace_rules(const struct namespace *ns)
{
    int64_t numbers[NS_RULE_COUNT];
    struct ns_rules rules;
    for (unsigned i = 0; i < NS_RULE_COUNT; i++) {
        numbers[i] = atomic_load_explicit(&ns->rules[i], memory_order_relaxed);
    }
    memcpy(&rules, numbers, sizeof rules);
    return rules;
}

int64_t namespace_window_max_ms(const struct ns_rules *rules)
{
    const int64_t own_ms = rules->swr_ms > rules->sie_ms ? rules->swr_ms : rules->sie_ms;
    if (rules->max_ttl_ms == 0) {
        return INT64_MAX;
    }
    return own_ms > rules->max_ttl_ms ? own_ms : rules->max_ttl_ms;
}

int64_t namespaces_longest_life_ms(const struct namespaces *spaces)
{
    int64_t longest_ms = 0;
    unsigned at = 0;
    for (const struct namespace *ns = namespaces_next(spaces, &at); ns != NULL;
         ns = namespaces_next(spaces, &at)) {
        const struct ns_rules rules = namespace_rules(ns);
        if (ns->managed && rules.max_ttl_ms == 0) {
            return 0;
        }
        if (ns->managed) {
            const int64_t life_ms = rules.load_timeout_ms + LEASE_LIFE_MS + rules.max_ttl_ms +
                                    namespace_window_max_ms(&rules);
            longest_ms = life_ms > longest_ms ? life_ms : longest_ms;
        }
    }
    return longest_ms;
}

static void namespace_apply(struct namespace *ns, const struct namespace_settings *settings,
                            bool untracked)
{
    atomic_store_explicit(&ns->grace_ms, settings->mode.grace_ms, memory_order_relaxed);
    atomic_store_explicit(&ns->wanted_ms, settings->mode.bound_ms, memory_order_relaxed);
    if (namespace_bound_ms(ns) == 0 || settings->mode.bound_ms < namespace_bound_ms(ns)) {
        atomic_store_explicit(&ns->bound_ms, settings->mode.bound_ms, memory_order_relaxed);
    }
    atomic_store(&ns->wanted_kind, (int)settings->mode.kind);
    atomic_store(&ns->wanted_ttl_ms, settings->ttl_ms);
    atomic_store(&ns->told, settings->told);
    namespace_set_rules(ns, &settings->rules);
    quota_set(&ns->ops, settings->max_ops);
    quota_set(&ns->bytes, settings->max_bytes);
    settle(ns, untracked);
}

void namespaces_set_tracked(struct namespaces *spaces, bool tracked)
{
    atomic_store(&spaces->untracked, !tracked);
    struct namespace *ns;
    for (unsigned at = 0; (ns = namespaces_next(spaces, &at)) != NULL;) {
        settle(ns, !tracked);
    }
}

bool namespaces_any_told(const struct namespaces *spaces)
{
    const struct namespace *ns;
    for (unsigned at = 0; (ns = namespaces_next(spaces, &at)) != NULL;) {
        if (namespace_told(ns)) {
            return true;
        }
    }
    return false;
}

static int64_t wanted_ms(const struct namespace *ns)
{
    return atomic_load_explicit(&ns->wanted_ms, memory_order_relaxed);
}

void namespaces_allow_bounds(struct namespaces *spaces, int64_t told_ms)
{
    struct namespace *ns;
    for (unsigned at = 0; (ns = namespaces_next(spaces, &at)) != NULL;) {
        const int64_t wanted = wanted_ms(ns);
        const int64_t bound_ms = wanted < told_ms ? wanted : told_ms;
        if (bound_ms > namespace_bound_ms(ns)) {
            atomic_store_explicit(&ns->bound_ms, bound_ms, memory_order_relaxed);
        }
    }
}

static void namespace_free(struct namespace *ns)
{
    if (ns != NULL) {
        l1_free(ns->l1);
        free(ns->rows);
        free(ns);
    }
}

static void set_whatif(struct namespace *ns, bool is_on)
{
    l1_set_whatif(ns->l1, is_on ? &(struct l1_whatif_setting){0} : NULL);
}

static void resize(struct namespace *ns, size_t memory, int64_t now_ms)
{
    struct l1_stats before;
    l1_stats(ns->l1, &before);
    l1_resize(ns->l1, memory, now_ms);
    if (before.bytes_max != memory) {
        l1_restart_whatif(ns->l1); /* it spoke of another memory */
    }
}

static struct namespace_row *rows_new(unsigned count)
{
    struct namespace_row *rows =
        aligned_alloc(_Alignof(struct namespace_row), count * sizeof *rows);
    if (rows != NULL) {
        memset(rows, 0, count * sizeof *rows);
    }
    return rows;
}

void namespace_tallies(const struct namespace *ns, uint64_t ret_tallies[TALLY_COUNT])
{
    memset(ret_tallies, 0, TALLY_COUNT * sizeof *ret_tallies);
    for (unsigned i = 0; i < ns->row_count; i++) {
        for (unsigned j = 0; j < TALLY_COUNT; j++) {
            ret_tallies[j] += atomic_load_explicit(&ns->rows[i].tally[j], memory_order_relaxed);
        }
    }
}

/* `kin`: an L1 of the node, or NULL for its first. */
static struct namespace *namespace_new(const struct namespace_spec *spec, const struct l1 *kin,
                                       uint64_t seed, bool untracked)
{
    struct namespace *ns = calloc(1, sizeof *ns);
    if (ns == NULL) {
        return NULL;
    }
    CHECK(spec->name.size <= NAMESPACE_NAME_MAX && spec->prefix.size <= NAMESPACE_PREFIX_MAX);
    memcpy(ns->name, spec->name.data, spec->name.size);
    if (spec->prefix.size > 0) {
        memcpy(ns->prefix_bytes, spec->prefix.data, spec->prefix.size);
    }
    ns->prefix = (struct slice){ns->prefix_bytes, spec->prefix.size};
    ns->managed = spec->managed;
    ns->l1 = l1_new(&(struct l1_options){.bytes_max = spec->settings.memory,
                                         .policy = spec->settings.policy,
                                         .threads = spec->threads,
                                         .kin = kin,
                                         .seed = seed});
    ns->row_count = spec->threads + 1;
    ns->rows = rows_new(ns->row_count);
    if (ns->l1 == NULL || ns->rows == NULL) {
        namespace_free(ns);
        return NULL;
    }
    set_whatif(ns, spec->settings.whatif);
    namespace_apply(ns, &spec->settings, untracked);
    return ns;
}

struct namespace_mode namespace_mode(const struct namespace *ns)
{
    return (struct namespace_mode){
        .kind = namespace_kind(ns),
        .bound_ms = namespace_bound_ms(ns),
        .grace_ms = atomic_load_explicit(&ns->grace_ms, memory_order_relaxed),
    };
}

const char *namespace_write_name(enum namespace_write write)
{
    switch (write) {
    case NAMESPACE_AROUND: return "around";
    case NAMESPACE_BEHIND: return "behind";
    case NAMESPACE_THROUGH: break;
    }
    return "through";
}

void namespace_mode_text(const struct namespace *ns, char dst[NAMESPACE_MODE_TEXT_MAX])
{
    struct namespace_mode mode = namespace_mode(ns);
    mode.bound_ms = wanted_ms(ns);
    switch (mode.kind) {
    case NAMESPACE_BOUNDED:
        (void)snprintf(dst, NAMESPACE_MODE_TEXT_MAX, "bounded %" PRId64 "ms", mode.bound_ms);
        break;
    case NAMESPACE_STRICT:
        (void)snprintf(dst, NAMESPACE_MODE_TEXT_MAX, "strict %" PRId64 "ms", mode.bound_ms);
        break;
    case NAMESPACE_AVAILABLE:
        (void)snprintf(dst, NAMESPACE_MODE_TEXT_MAX, "available %" PRId64 "ms %" PRId64 "ms",
                       mode.grace_ms, mode.bound_ms);
        break;
    case NAMESPACE_TTL: (void)snprintf(dst, NAMESPACE_MODE_TEXT_MAX, "ttl"); break;
    }
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

struct namespace *namespaces_next(const struct namespaces *spaces, unsigned *at)
{
    while (*at < spaces->end) {
        struct namespace *ns = spaces->at[(*at)++];
        if (ns != NULL) {
            return ns;
        }
    }
    return NULL;
}

static int by_byte_then_longest(const void *a, const void *b)
{
    struct slice first = (*(struct namespace *const *)a)->prefix;
    struct slice second = (*(struct namespace *const *)b)->prefix;
    int bytes = (unsigned char)first.data[0] - (unsigned char)second.data[0];
    return bytes != 0 ? bytes : (first.size < second.size) - (first.size > second.size);
}

static void sort(struct namespaces *spaces)
{
    memset(spaces->first, 0, sizeof spaces->first);
    unsigned at = 1;
    struct namespace *ns;
    spaces->named = 0;
    spaces->managed = 0;
    while ((ns = namespaces_next(spaces, &at)) != NULL) {
        CHECK(ns->prefix.size > 0);
        spaces->sorted[spaces->named++] = ns;
        spaces->managed += ns->managed;
    }
    if (spaces->named > 0) {
        qsort((void *)spaces->sorted, spaces->named, sizeof(struct namespace *),
              by_byte_then_longest);
    }
    for (unsigned i = spaces->named; i > 0; i--) {
        spaces->first[(unsigned char)spaces->sorted[i - 1]->prefix.data[0]] = (uint8_t)i;
    }
}

struct namespace *namespace_search(const struct namespaces *spaces, struct slice key)
{
    unsigned i = key.size > 0 ? spaces->first[(unsigned char)key.data[0]] : 0;
    if (i == 0) {
        return spaces->at[0];
    }
    for (i--; i < spaces->named && spaces->sorted[i]->prefix.data[0] == key.data[0]; i++) {
        struct slice prefix = spaces->sorted[i]->prefix;
        if (prefix.size <= key.size && memcmp(prefix.data, key.data, prefix.size) == 0) {
            return spaces->sorted[i];
        }
    }
    return spaces->at[0];
}

struct ns_key namespaces_key(const struct namespaces *spaces, uint8_t db, struct slice bytes)
{
    return (struct ns_key){.at = {.bytes = bytes, .hash = namespaces_hash(spaces, bytes), .db = db},
                           .ns = namespace_of(spaces, bytes)};
}

int64_t namespaces_least_bound_ms(const struct namespaces *spaces)
{
    int64_t least_ms = INT64_MAX;
    const struct namespace *ns;
    for (unsigned at = 0; (ns = namespaces_next(spaces, &at)) != NULL;) {
        int64_t bound_ms = wanted_ms(ns);
        least_ms = bound_ms < least_ms ? bound_ms : least_ms;
    }
    return least_ms;
}

bool namespaces_any_strict(const struct namespaces *spaces)
{
    const struct namespace *ns;
    for (unsigned at = 0; (ns = namespaces_next(spaces, &at)) != NULL;) {
        if (namespace_kind(ns) == NAMESPACE_STRICT) {
            return true;
        }
    }
    return false;
}

int64_t namespaces_most_bound_ms(const struct namespaces *spaces)
{
    int64_t most_ms = 0;
    const struct namespace *ns;
    for (unsigned at = 0; (ns = namespaces_next(spaces, &at)) != NULL;) {
        int64_t bound_ms = wanted_ms(ns);
        most_ms = bound_ms > most_ms ? bound_ms : most_ms;
    }
    return most_ms;
}

struct namespace *namespaces_find(const struct namespaces *spaces, struct slice name)
{
    struct namespace *ns;
    for (unsigned at = 0; (ns = namespaces_next(spaces, &at)) != NULL;) {
        if (slice_is(name, ns->name)) {
            return ns;
        }
    }
    return NULL;
}

/* --- life and change ---------------------------------------------------------------------------------------------- */

static void note_limits(struct namespaces *spaces)
{
    bool limited = false;
    const struct namespace *ns;
    for (unsigned at = 0; (ns = namespaces_next(spaces, &at)) != NULL;) {
        limited = limited || namespace_is_limited(ns);
    }
    atomic_store(&spaces->limited, limited);
}

struct namespaces *namespaces_new(const struct namespace_spec *specs, unsigned count, uint64_t seed)
{
    CHECK(count > 0 && count <= NAMESPACES_MAX && specs[0].prefix.size == 0);
    struct namespaces *spaces = calloc(1, sizeof *spaces);
    if (spaces == NULL) {
        return NULL;
    }
    for (; spaces->end < count; spaces->end++) {
        const struct l1 *kin = spaces->end == 0 ? NULL : spaces->at[0]->l1;
        struct namespace *ns = namespace_new(&specs[spaces->end], kin, seed, false);
        if (ns == NULL) {
            namespaces_free(spaces);
            return NULL;
        }
        spaces->at[spaces->end] = ns;
        ns->place = spaces->end;
    }
    sort(spaces);
    note_limits(spaces);
    return spaces;
}

void namespaces_free(struct namespaces *spaces)
{
    for (unsigned i = 0; spaces != NULL && i < spaces->end; i++) {
        namespace_free(spaces->at[i]);
    }
    free(spaces);
}

static struct namespace *find(const struct namespaces *spaces, const struct namespace_spec *spec,
                              unsigned *ret_place)
{
    for (*ret_place = 0; *ret_place < spaces->end; (*ret_place)++) {
        struct namespace *ns = spaces->at[*ret_place];
        if (ns != NULL && slice_is(spec->name, ns->name) && slice_equal(spec->prefix, ns->prefix) &&
            ns->managed == spec->managed) {
            return ns;
        }
    }
    return NULL;
}

bool namespaces_fit(const struct namespaces *spaces, const struct namespace_spec *specs,
                    unsigned count)
{
    bool fit = count == spaces->named + 1;
    for (unsigned i = 0; i < count && fit; i++) {
        unsigned place = 0;
        fit = find(spaces, &specs[i], &place) != NULL;
    }
    return fit;
}

/* What is promised of values that were read already. */
static bool is_same_mode(const struct namespace_mode *a, const struct namespace_mode *b)
{
    return a->kind == b->kind && a->bound_ms == b->bound_ms && a->grace_ms == b->grace_ms;
}

bool namespaces_apply(struct namespaces *spaces, const struct namespace_spec *specs, unsigned count,
                      int64_t now_ms)
{
    bool differs = false;
    for (unsigned i = 0; i < count; i++) {
        unsigned place = 0;
        struct namespace *ns = find(spaces, &specs[i], &place);
        CHECK(ns != NULL);
        const struct namespace_mode before = namespace_mode(ns);
        namespace_apply(ns, &specs[i].settings, atomic_load(&spaces->untracked));
        const struct namespace_mode after = namespace_mode(ns);
        differs = differs || !is_same_mode(&before, &after);
        l1_set_policy(ns->l1, specs[i].settings.policy, now_ms);
        resize(ns, specs[i].settings.memory, now_ms);
        set_whatif(ns, specs[i].settings.whatif);
    }
    note_limits(spaces);
    return differs;
}

static struct l1 *home_of(const void *arg, struct slice key)
{
    return namespace_of(arg, key)->l1;
}

static unsigned free_place(const struct namespaces *spaces)
{
    unsigned place = 0;
    while (spaces->at[place] != NULL) {
        place++;
        CHECK(place < NAMESPACES_MAX);
    }
    return place;
}

/* What stays has its old place in *next, what is new a free one. NO_MEMORY: what was new is freed. */
static enum status plan(const struct namespaces *spaces, const struct namespace_spec *specs,
                        unsigned count, struct namespaces *next)
{
    bool stays[NAMESPACES_MAX] = {false};
    for (unsigned i = 0; i < count; i++) {
        unsigned place = 0;
        struct namespace *ns = find(spaces, &specs[i], &place);
        if (ns != NULL) {
            stays[i] = true;
            next->at[place] = ns;
        }
    }
    for (unsigned i = 0; i < count; i++) {
        if (stays[i]) {
            continue;
        }
        unsigned place = free_place(next);
        next->at[place] =
            namespace_new(&specs[i], spaces->at[0]->l1, 0, atomic_load(&spaces->untracked));
        if (next->at[place] == NULL) {
            for (unsigned j = 0; j < NAMESPACES_MAX; j++) {
                namespace_free(spaces->at[j] == next->at[j] ? NULL : next->at[j]);
            }
            return NO_MEMORY;
        }
        next->at[place]->place = place;
        if (wanted_ms(next->at[place]) > namespaces_most_bound_ms(spaces)) { /* nobody was told */
            atomic_store_explicit(&next->at[place]->bound_ms, namespaces_most_bound_ms(spaces),
                                  memory_order_relaxed);
        }
    }
    next->end = NAMESPACES_MAX;
    while (next->at[next->end - 1] == NULL) {
        next->end--;
    }
    sort(next);
    return OK;
}

enum status namespaces_rebuild(struct namespaces *spaces, const struct namespace_spec *specs,
                               unsigned count, bool keep, int64_t now_ms)
{
    CHECK(count > 0 && count <= NAMESPACES_MAX);
    struct namespaces next = {.untracked = atomic_load(&spaces->untracked)};
    struct namespaces before = *spaces;
    enum status status = plan(spaces, specs, count, &next);
    if (status != OK) {
        return status;
    }
    for (unsigned i = 0; i < before.end; i++) {
        if (before.at[i] != NULL) {
            l1_move(before.at[i]->l1, home_of, &next, keep, now_ms);
        }
    }
    *spaces = next;
    for (unsigned i = 0; i < before.end; i++) {
        namespace_free(before.at[i] == next.at[i] ? NULL : before.at[i]);
    }
    namespaces_apply(spaces, specs, count, now_ms);
    return OK;
}
