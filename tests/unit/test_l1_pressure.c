/* SPDX-License-Identifier: BSD-3-Clause */
/* Several threads on two L1s that are kin and far too small: everything is evicted and moved all the time, values go from
 * thread to thread while they are held, keys from one L1 to the other. For ThreadSanitizer; and every value that anybody
 * ever sees says whose it is and is whole. */
#include "tests/unit/l1_help.h"
#include "tiers/l1_shard.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum {
    THREADS = 4,
    STEPS = 30000,
    KEYS = 2000,
    SLOTS = 64, /* where threads leave what they hold for others */
    BUDGET = 300 << 10,
};

#define T0 INT64_C(1800000000000)

struct shared {
    struct l1 *l1s[2];
    _Atomic(struct item *) slots[SLOTS];
    _Atomic int64_t now_ms;
};

struct worker {
    struct shared *shared;
    struct rand rand;
    uint64_t seen;
};

/* A value of key n: its number at the beginning, and the rest of bytes that follow from it. */
static void fill(char *room, size_t size, unsigned n)
{
    memcpy(room, &n, sizeof n);
    memset(room + sizeof n, (int)(n & 127), size - sizeof n);
}

static void is_whole(struct slice key, struct slice value)
{
    char name[32];
    unsigned n;
    memcpy(&n, value.data, sizeof n);
    const int size = snprintf(name, sizeof name, "k:%u", n);
    if (!slice_equal(key, (struct slice){name, (size_t)size})) {
        abort();
    }
    for (size_t i = sizeof n; i<value.size; i += value.size> 1000 ? 101 : 1) {
        if (value.data[i] != (char)(n & 127)) {
            abort();
        }
    }
}

static void let_go(struct worker *worker, struct item *item)
{
    if (item != NULL) {
        is_whole(item_key(item), item_value(item));
        item_release(item);
        worker->seen++;
    }
}

static unsigned below(struct worker *worker, uint64_t limit)
{
    return (unsigned)rand_below(&worker->rand, limit);
}

static struct l1_key key_of(const struct l1 *l1, char room[32], unsigned n, uint8_t db)
{
    const int size = snprintf(room, 32, "k:%u", n);
    return l1_key(l1, db, (struct slice){room, (size_t)size});
}

static struct item *make(struct worker *worker, struct l1 *l1, const struct l1_key *key, unsigned n)
{
    static const size_t common[] = {4, 300,
                                    900}; /* few, so that slabs fill, empty, and come together */
    const size_t size =
        below(worker, 200) == 0 ? 4 + below(worker, 60000) : common[below(worker, 3)];
    const struct item_spec spec = {
        .key = key->bytes,
        .value_size = size,
        .stamped_at_ms = below(worker, 2) == 0 ? T0 : 0,
        .expire_at_ms = below(worker, 2) == 0 ? worker->shared->now_ms + below(worker, 500) : 0};
    struct item *item = l1_item_new(l1, key->hash, &spec);
    if (item == NULL) {
        abort();
    }
    fill(item_value_room(item), size, n);
    return item;
}

static void write_one(struct worker *worker, struct l1 *l1, const struct l1_key *key, unsigned n)
{
    struct item *item = make(worker, l1, key, n);
    (void)!l1_commit(&(struct l1_change){l1, *key, L1_ANY, item}, 1, worker->shared->now_ms);
    item_release(item);
}

static void move_one(struct worker *worker, struct l1 *from, struct l1 *to,
                     const struct l1_key *key, unsigned n)
{
    struct item *seen = l1_hold(from, key, worker->shared->now_ms);
    if (seen != NULL) {
        struct item *item = make(worker, to, key, n);
        const struct l1_change changes[] = {{from, *key, seen, NULL}, {to, *key, L1_ANY, item}};
        (void)!l1_commit(changes, 2, worker->shared->now_ms);
        item_release(item);
        let_go(worker, seen);
    }
}

/* Takes a reference, leaves it for whoever comes by, and lets go of what somebody else has left there. */
static void hand_over(struct worker *worker, struct l1 *l1, const struct l1_key *key)
{
    struct l1_value value = {0};
    if (l1_get(l1, key, worker->shared->now_ms, 0, &value) == OK) {
        is_whole(key->bytes, value.bytes);
        let_go(worker, atomic_exchange(&worker->shared->slots[below(worker, SLOTS)], value.item));
    }
}

static void read_through(struct worker *worker, struct l1 *l1, const struct l1_key *key, unsigned n)
{
    const int64_t now_ms = worker->shared->now_ms;
    const struct l1_ask ask = {
        .now_ms = now_ms, .floor_ms = T0, .generation = 1, .worker = 1, .join_ms = 5};
    struct l1_value value = {0};
    struct l1_claim claim;
    const enum status status = l1_ask(l1, key, &ask, &value, &claim);
    if (status == OK) {
        is_whole(key->bytes, value.bytes);
        let_go(worker, value.item);
    } else if (status == CLAIMED) {
        struct item *item = make(worker, l1, key, n);
        const struct l1_landing landing = {
            .token = claim.token, .generation = 1, .install = true, .now_ms = now_ms};
        if (below(worker, 8) == 0) {
            l1_unclaim(l1, key, claim.token);
        } else {
            (void)l1_fill(l1, key, &landing, item);
        }
        item_release(item);
    }
}

static void visit(void *arg, struct item *item)
{
    is_whole(item_key(item), item_value(item));
    ((struct worker *)arg)->seen++;
}

static void rare(struct worker *worker, struct l1 *l1)
{
    const struct shared *shared = worker->shared;
    switch (below(worker, 40)) {
    case 0: l1_resize(l1, (200 + below(worker, 200)) << 10, shared->now_ms); break;
    case 1: l1_set_policy(l1, policy_at(below(worker, 5)), T0); break;
    case 2: l1_swap(shared->l1s, 2, 0, 1, 0); break;
    case 3: l1_purge(l1); break;
    case 4: l1_flush(l1, (uint8_t)below(worker, 2)); break;
    case 5: let_go(worker, l1_random(l1, 0, shared->now_ms)); break;
    default: break;
    }
}

static void *work(void *arg)
{
    struct worker *worker = arg;
    struct shared *shared = worker->shared;
    uint64_t cursor = 0;
    for (int i = 0; i < HELP_ROUNDS(STEPS); i++) {
        char room[32];
        const unsigned n = below(worker, KEYS);
        struct l1 *l1 = shared->l1s[below(worker, 2)];
        struct l1 *other = shared->l1s[l1 == shared->l1s[0]];
        const struct l1_key key = key_of(l1, room, n, (uint8_t)below(worker, 2));
        l1_prefetch_item(l1, l1_prefetch(l1, key.hash), key.hash);
        switch (below(worker, 16)) {
        case 0:
        case 1:
        case 2: hand_over(worker, l1, &key); break;
        case 3:
        case 4: move_one(worker, l1, other, &key, n); break;
        case 5: l1_invalidate(l1, &key); break;
        case 6: cursor = l1_scan(l1, key.db, cursor, 10, shared->now_ms, visit, worker); break;
        case 7: (void)l1_sweep(l1, shared->now_ms, 16); break;
        case 8: rare(worker, l1); break;
        case 9: atomic_fetch_add(&shared->now_ms, 1); break;
        case 10:
        case 11: read_through(worker, l1, &key, n); break;
        default: write_one(worker, l1, &key, n); break;
        }
    }
    return NULL;
}

static size_t live(const struct l1 *l1)
{
    return help_stats(l1).bytes_live;
}

static void values_stay_whole_in_every_hand(void **state)
{
    (void)state;
    struct shared *shared = calloc(1, sizeof *shared);
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    const uint64_t seed = help_seed();
    shared->now_ms = T0;
    shared->l1s[0] = help_new(BUDGET, &policy_lru, 4);
    shared->l1s[1] = l1_new(&(struct l1_options){
        .bytes_max = BUDGET, .policy = &policy_lru, .kin = shared->l1s[0], .shards = 4});
    assert_non_null(shared->l1s[1]);
    const size_t empty = live(shared->l1s[0]);
    for (unsigned t = 0; t < THREADS; t++) {
        workers[t] = (struct worker){.shared = shared};
        rand_seed(&workers[t].rand, seed + t);
        assert_int_equal(pthread_create(&threads[t], NULL, work, &workers[t]), 0);
    }
    uint64_t seen = 0;
    for (unsigned t = 0; t < THREADS; t++) {
        pthread_join(threads[t], NULL);
        seen += workers[t].seen;
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        let_go(&workers[0], shared->slots[i]);
    }
    print_message("%llu values seen, %llu evictions\n", (unsigned long long)seen,
                  (unsigned long long)help_stats(shared->l1s[0]).evictions);
    HELP_CHECK(seen > 5000, seed);
    for (unsigned i = 0; i < 2; i++) {
        struct l1 *l1 = shared->l1s[i];
        HELP_CHECK(help_stats(l1).evictions > 500, seed);
        l1_flush_all(l1);
        l1_set_policy(l1, &policy_lru, T0);
        for (int64_t n = 0; n < 20; n++) {
            (void)l1_sweep(l1, shared->now_ms + n * 2000, 64);
        }
        HELP_CHECK(live(l1) == empty, seed);
        HELP_CHECK(help_stats(l1).claims == 0 && help_stats(l1).items == 0, seed);
        HELP_CHECK(atomic_load(&l1->bytes_used) == help_stats(l1).bytes_used, seed);
        l1_free(l1);
    }
    free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_stay_whole_in_every_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
