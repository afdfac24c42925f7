/* SPDX-License-Identifier: BSD-3-Clause */
/* namespaces_l1.c -- the L1s of all namespaces as if they were one. */
#include "tiers/namespace.h"

enum {
    CURSOR_PLACE_BITS = 6 /* of a scan's cursor, below that of the L1 */
};
_Static_assert(NAMESPACES_MAX == 1 << CURSOR_PLACE_BITS, "a cursor has room for every place");

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
