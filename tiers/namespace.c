/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/namespace.h"

#include "protocol/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CURSOR_PLACE_BITS = 6 /* of a scan's cursor, below that of the L1 */
};
_Static_assert(NAMESPACES_MAX == 1 << CURSOR_PLACE_BITS, "a cursor has room for every place");

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
    ns->l1 = l1_new(&(struct l1_options){.bytes_max = spec->settings.memory,
                                         .policy = spec->settings.policy,
                                         .threads = spec->threads,
                                         .kin = kin,
                                         .seed = seed});
    if (ns->l1 == NULL) {
        free(ns);
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
    while ((ns = namespaces_next(spaces, &at)) != NULL) {
        CHECK(ns->prefix.size > 0);
        spaces->sorted[spaces->named++] = ns;
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
    }
    sort(spaces);
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
        if (ns != NULL && slice_is(spec->name, ns->name) && slice_equal(spec->prefix, ns->prefix)) {
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

void namespaces_apply(struct namespaces *spaces, const struct namespace_spec *specs, unsigned count,
                      int64_t now_ms)
{
    for (unsigned i = 0; i < count; i++) {
        unsigned place = 0;
        struct namespace *ns = find(spaces, &specs[i], &place);
        CHECK(ns != NULL);
        namespace_apply(ns, &specs[i].settings, atomic_load(&spaces->untracked));
        l1_set_policy(ns->l1, specs[i].settings.policy, now_ms);
        resize(ns, specs[i].settings.memory, now_ms);
        set_whatif(ns, specs[i].settings.whatif);
    }
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

/* --- all of them -------------------------------------------------------------------------------------------------- */

unsigned namespaces_forget(struct namespaces *spaces, struct slice bytes)
{
    return l1_forget(namespace_of(spaces, bytes)->l1, bytes);
}

uint64_t namespaces_scan(struct namespaces *spaces, uint8_t db, uint64_t cursor, size_t count,
                         int64_t now_ms, l1_visit_fn *visit, void *arg)
{
    unsigned place = (unsigned)cursor & (NAMESPACES_MAX - 1);
    unsigned at = place;
    struct namespace *ns = namespaces_next(spaces, &at);
    if (ns == NULL) {
        return 0;
    }
    /* A cursor of a place that is empty now begins with the next one. */
    uint64_t inner = at == place + 1 ? cursor >> CURSOR_PLACE_BITS : 0;
    uint64_t next = l1_scan(ns->l1, db, inner, count, now_ms, visit, arg);
    if (next != 0) {
        return next << CURSOR_PLACE_BITS | (at - 1);
    }
    unsigned following = at;
    return namespaces_next(spaces, &following) == NULL ? 0 : following - 1;
}

struct item *namespaces_random(struct namespaces *spaces, uint8_t db, uint64_t noise,
                               int64_t now_ms)
{
    uint64_t counts[NAMESPACES_MAX] = {0};
    uint64_t total = 0;
    struct namespace *ns;
    for (unsigned at = 0; spaces->named > 0 && (ns = namespaces_next(spaces, &at)) != NULL;) {
        counts[at - 1] = l1_count(ns->l1, db);
        total += counts[at - 1];
    }
    uint64_t draw = total > 0 ? noise % total : 0;
    unsigned chosen = 0;
    while (total > 0 && draw >= counts[chosen]) {
        draw -= counts[chosen++];
    }
    /* Usually the first answers; the others are for one whose entries have all expired, or left since. */
    struct item *picked = NULL;
    for (unsigned i = 0; i < spaces->end && picked == NULL; i++) {
        ns = spaces->at[(chosen + i) % spaces->end];
        picked = ns == NULL ? NULL : l1_random(ns->l1, db, now_ms);
    }
    return picked;
}

struct namespaces_count namespaces_count(const struct namespaces *spaces, uint8_t db)
{
    struct namespaces_count sum = {0};
    uint64_t weighed = 0;
    double sum_ms = 0;
    const struct namespace *ns;
    for (unsigned at = 0; (ns = namespaces_next(spaces, &at)) != NULL;) {
        uint64_t expiring = l1_count_expiring(ns->l1, db);
        int64_t average_ms = l1_average_ttl_ms(ns->l1, db);
        sum.entries += l1_count(ns->l1, db);
        sum.expiring += expiring;
        if (average_ms > 0) {
            weighed += expiring;
            sum_ms += (double)average_ms * (double)expiring;
        }
    }
    sum.average_ttl_ms = weighed > 0 ? (int64_t)(sum_ms / (double)weighed) : 0;
    return sum;
}

void namespaces_flush(struct namespaces *spaces, uint8_t db)
{
    struct namespace *ns;
    for (unsigned at = 0; (ns = namespaces_next(spaces, &at)) != NULL;) {
        l1_flush(ns->l1, db);
    }
}

void namespaces_set_listener(struct namespaces *spaces, const struct l1_listener *listener)
{
    struct namespace *ns;
    for (unsigned at = 0; (ns = namespaces_next(spaces, &at)) != NULL;) {
        l1_set_listener(ns->l1, listener);
    }
}

void namespaces_flush_all(struct namespaces *spaces)
{
    struct namespace *ns;
    for (unsigned at = 0; (ns = namespaces_next(spaces, &at)) != NULL;) {
        l1_flush_all(ns->l1);
    }
}

void namespaces_flush_dbs(struct namespaces *spaces, const struct namespace *ns, uint16_t dbs)
{
    const bool all = dbs == DATABASES_ALL;
    if (all && ns != NULL) {
        l1_flush_all(ns->l1);
    } else if (all) {
        namespaces_flush_all(spaces);
    }
    for (uint8_t db = 0; !all && dbs >> db != 0; db++) {
        if ((dbs & 1u << db) != 0 && ns != NULL) {
            l1_flush(ns->l1, db);
        } else if ((dbs & 1u << db) != 0) {
            namespaces_flush(spaces, db);
        }
    }
}

void namespaces_flush_floorless(struct namespaces *spaces)
{
    struct namespace *ns;
    for (unsigned at = 0; (ns = namespaces_next(spaces, &at)) != NULL;) {
        if (namespace_kind(ns) == NAMESPACE_TTL) {
            l1_flush_all(ns->l1);
        }
    }
}

static size_t l1s_of(const struct namespaces *spaces, struct l1 *ret_l1s[NAMESPACES_MAX])
{
    size_t count = 0;
    const struct namespace *ns;
    for (unsigned at = 0; (ns = namespaces_next(spaces, &at)) != NULL;) {
        ret_l1s[count++] = ns->l1;
    }
    return count;
}

uint64_t namespaces_size(const struct namespaces *spaces, uint8_t db)
{
    struct l1 *l1s[NAMESPACES_MAX];
    const size_t count = l1s_of(spaces, l1s);
    return l1_count_several(l1s, count, db);
}

void namespaces_swap(struct namespaces *spaces, uint8_t a, uint8_t b, int64_t now_ms)
{
    struct l1 *l1s[NAMESPACES_MAX];
    const size_t count = l1s_of(spaces, l1s);
    l1_swap(l1s, count, a, b, now_ms);
}

unsigned namespaces_sweep(struct namespaces *spaces, int64_t now_ms, unsigned steps)
{
    unsigned went = 0;
    struct namespace *ns;
    for (unsigned at = 0; (ns = namespaces_next(spaces, &at)) != NULL;) {
        went += l1_sweep(ns->l1, now_ms, steps);
    }
    return went;
}

void namespaces_stats(const struct namespaces *spaces, struct l1_stats *ret_stats)
{
    *ret_stats = (struct l1_stats){0};
    const struct namespace *ns;
    for (unsigned at = 0; (ns = namespaces_next(spaces, &at)) != NULL;) {
        struct l1_stats stats;
        l1_stats(ns->l1, &stats);
        l1_stats_add(ret_stats, &stats);
    }
}
