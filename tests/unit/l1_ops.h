/* SPDX-License-Identifier: BSD-3-Clause */
/* l1_ops.h -- a sequence of operations, as bytes say, on the L1s of a node and on a naive map beside them.
 *
 * For random bytes (test_l1_ops.c) and for those that a fuzzer finds (fuzz_l1.c). Each step is an opcode and what it
 * needs; there is no input that means nothing. What must hold after each, whatever budget, policy, namespaces and clock do:
 *
 *      what L1 answers is what the map has, value, sizes and times to the millisecond; never what was deleted or is over
 *      what L1 has no more has expired, or was evicted and counted as such
 *      claims stand until they end, and are never evicted
 *      what is held stays as it was, however its entry ends, and wherever others are moved
 *      counts and bytes agree with a walk; in the end all memory comes back
 *
 * Aborts where that is not so. Deterministic: L1 and map have one seed. */
#ifndef TERRACE_TESTS_UNIT_L1_OPS_H
#define TERRACE_TESTS_UNIT_L1_OPS_H

#include "tests/unit/l1_ops_all.h"

static inline void ops_rest(struct ops *ops, uint8_t kind)
{
    switch (kind % 8) {
    case 0: ops_budget(ops); break;
    case 1: ops_policy(ops); break;
    case 2: ops_swap(ops); break;
    case 3:
        if (kind % 4 == 3 && ops_byte(ops) % 4 == 0) {
            ops_flush(ops, ops_byte(ops));
        }
        break;
    case 4: ops_rebuild(ops, ops_byte(ops), 4 << 20); break;
    case 5: ops_random(ops); break;
    case 6: l1_purge(namespaces_default(ops->spaces)->l1); break;
    default: ops_check(ops); break;
    }
}

static inline void ops_step(struct ops *ops)
{
    struct ops_key key;
    const uint8_t op = ops_byte(ops);
    switch (op % 32) {
    case 0: ops_rest(ops, ops_byte(ops)); break;
    case 1: ops_set(ops, true); break;
    case 2: ops_delete(ops); break;
    case 3:
    case 4: ops_rename(ops); break;
    case 5: ops_many(ops); break;
    case 6: ops_expire(ops); break;
    case 7:
    case 8: ops_ask(ops); break;
    case 9: ops_claim_suspect(ops); break;
    case 10:
    case 11:
    case 12: ops_fill(ops); break;
    case 13: ops_unclaim(ops); break;
    case 14: ops_invalidate(ops, op / 32); break;
    case 15:
    case 16: ops_keep(ops); break;
    case 17: ops_let_go(&ops->held[ops_byte(ops) % OPS_HELD]); break;
    case 18:
    case 19: (void)namespaces_sweep(ops->spaces, ops->now_ms, 1 + ops_byte(ops) % 64); break;
    case 20: ops_time(ops, ops_byte(ops)); break;
    case 21:
    case 22:
    case 23:
    case 24:
        ops_key_take(ops, &key);
        ops_get(ops, &key);
        break;
    default: ops_set(ops, false); break;
    }
}

/* --- the whole ------------------------------------------------------------------------------------------------------ */

static inline size_t ops_live(const struct l1 *l1)
{
    struct l1_stats stats;
    l1_stats(l1, &stats);
    return stats.bytes_live;
}

static inline void ops_end(struct ops *ops)
{
    ops_check(ops);
    for (unsigned i = 0; i < OPS_HELD; i++) {
        ops_let_go(&ops->held[i]);
    }
    ops_check(ops);
    namespaces_flush_all(ops->spaces);
    struct namespace *ns;
    for (unsigned at = 0; (ns = namespaces_next(ops->spaces, &at)) != NULL;) {
        l1_set_policy(ns->l1, &policy_lru, ops->now_ms);
        for (int i = 0; i < 20; i++) {
            (void)l1_sweep(ns->l1, ops->now_ms + i * 2000, 16);
        }
        CHECK(ops_live(ns->l1) == ops->empty_bytes);
        CHECK(atomic_load(&ns->l1->bytes_used) < ops->empty_bytes + (1 << 20));
    }
}

/* Returns how many entries were evicted. */
static inline uint64_t l1_ops_run(const uint8_t *data, size_t size)
{
    struct ops *ops = calloc(1, sizeof *ops);
    CHECK(ops != NULL);
    const struct namespace_spec specs[] = {ops_spec(0, 4 << 20), ops_spec(1, 4 << 20),
                                           ops_spec(2, 4 << 20)};
    ops->at = data;
    ops->left = size;
    ops->now_ms = OPS_T0;
    ops->latest_ms = OPS_T0;
    ops->spaces = namespaces_new(specs, 3, 1);
    CHECK(ops->spaces != NULL);
    struct namespace *ns;
    for (unsigned at = 0; (ns = namespaces_next(ops->spaces, &at)) != NULL;) {
        ops->empty_bytes = ops_live(ns->l1);
    }
    while (ops->left > 0) {
        ops_step(ops);
        ops->steps++;
    }
    const uint64_t evictions = ops_evictions(ops);
    ops_end(ops);
    namespaces_free(ops->spaces);
    free(ops);
    return evictions;
}

#endif
