/* SPDX-License-Identifier: BSD-3-Clause */
/* Several threads on one L1: for ThreadSanitizer, and that no compare-and-swap is lost. */
#include "tests/unit/l1_help.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum {
    T0 = 1000000,
    THREADS = 4,
    THREAD_STEPS = 60000,
    COUNTERS = 16
};

struct stress {
    struct l1 *l1;       /* small: evicts all the time */
    struct l1 *counters; /* never evicts */
    uint64_t seed;
    unsigned increments[COUNTERS]; /* done by this thread */
};

static void stress_increment(struct stress *stress, unsigned counter)
{
    char name[32];
    snprintf(name, sizeof name, "counter:%u", counter);
    struct l1_key key = l1_key(stress->counters, 0, slice_of(name));
    for (;;) {
        struct item *seen = l1_hold(stress->counters, &key, T0);
        int64_t number = 0;
        if (seen != NULL && slice_to_i64(item_value(seen), &number) != OK) {
            abort();
        }
        char text[32];
        snprintf(text, sizeof text, "%lld", (long long)number + 1);
        struct item *item = help_item_value(0, key.bytes, slice_of(text));
        enum status status = l1_commit(
            &(struct l1_change){.l1 = stress->counters, .key = key, .seen = seen, .item = item}, 1,
            T0);
        item_release(item);
        item_release(seen);
        if (status == OK) {
            stress->increments[counter]++;
            return;
        }
    }
}

static void stress_read_through(struct stress *stress, struct rand *rand, const struct l1_key *key)
{
    struct l1_ask ask = {.now_ms = T0, .worker = 1, .generation = 1, .join_ms = 10};
    char room[8];
    struct l1_value value = {.copy = room, .copy_room = sizeof room};
    struct l1_claim claim;
    enum status status = l1_ask(stress->l1, key, &ask, &value, &claim);
    if (status == OK) {
        item_release(value.item);
    } else if (status == CLAIMED) {
        struct l1_landing landing = {
            .token = claim.token, .generation = 1, .install = true, .now_ms = T0};
        const struct item_spec spec = {.db = key->db,
                                       .key = key->bytes,
                                       .value_size = 10 + rand_below(rand, 100),
                                       .stamped_at_ms = T0};
        struct item *item = l1_item_new(stress->l1, key->hash, &spec);
        memset(item_value_room(item), 'v', spec.value_size);
        if (rand_below(rand, 8) == 0) {
            l1_unclaim(stress->l1, key, claim.token);
        } else {
            l1_fill(stress->l1, key, &landing, item);
        }
        item_release(item);
    }
}

/* Values of one size, all of one letter: one that is held, or copied out, is never half of another. */
static void stress_put(struct stress *stress, struct rand *rand, const struct l1_key *key)
{
    char text[21] = {0};
    char room[20];
    memset(text, 'a' + (int)rand_below(rand, 26), 20);
    struct item *held = l1_hold(stress->l1, key, T0);
    const char before = held == NULL ? 0 : item_value(held).data[0];
    enum status status = l1_put(stress->l1, key, slice_of(text), 0, T0);
    HELP_CHECK(status == OK || status == TOO_BIG, stress->seed); /* full, and nobody may leave */
    for (size_t i = 0; held != NULL && i < item_value_size(held); i++) {
        HELP_CHECK(item_value(held).data[i] == before, stress->seed);
    }
    item_release(held);
    struct l1_value value = {.copy = room, .copy_room = sizeof room};
    if (l1_get(stress->l1, key, T0, 0, &value) == OK) {
        for (size_t i = 0; i < value.bytes.size; i++) {
            HELP_CHECK(value.bytes.data[i] == value.bytes.data[0], stress->seed);
        }
        item_release(value.item);
    }
}

static void stress_visit(void *arg, struct item *item)
{
    *(size_t *)arg += item_key(item).size;
}

static void stress_whatif(const struct stress *stress, struct rand *rand)
{
    const struct l1_whatif_setting setting = {.slots = 64, .window = 1000};
    struct whatif_report report;
    if (l1_whatif(stress->l1, &report) == OK && (report.hit_ratio < 0 || report.hit_ratio > 1)) {
        abort();
    }
    l1_set_whatif(stress->l1, rand_below(rand, 4) == 0 ? NULL : &setting);
}

static void *stress_run(void *arg)
{
    struct stress *stress = arg;
    struct rand rand;
    rand_seed(&rand, stress->seed);
    uint64_t cursor = 0;
    size_t visited = 0;
    for (int i = 0; i < HELP_ROUNDS(THREAD_STEPS); i++) {
        char name[32];
        snprintf(name, sizeof name, "k:%u", (unsigned)rand_below(&rand, 3000));
        struct l1_key key = l1_key(stress->l1, 1, slice_of(name));
        l1_prefetch_item(stress->l1, l1_prefetch(stress->l1, key.hash), key.hash);
        switch (rand_below(&rand, 16)) {
        case 0: stress_increment(stress, (unsigned)rand_below(&rand, COUNTERS)); break;
        case 1: l1_invalidate(stress->l1, &key); break;
        case 2: cursor = l1_scan(stress->l1, 1, cursor, 20, T0, stress_visit, &visited); break;
        case 3: l1_forget(stress->l1, key.bytes); break;
        case 4: item_release(l1_random(stress->l1, 1, T0)); break;
        case 5:
            if (rand_below(&rand, 200) == 0) {
                l1_flush(stress->l1, 1);
                l1_swap(&stress->l1, 1, 1, 2, T0);
                l1_set_policy(stress->l1, help_policy(&rand), T0);
                l1_resize(stress->l1, (100 + rand_below(&rand, 200)) << 10, T0);
                stress_whatif(stress, &rand);
            }
            break;
        case 6: l1_sweep(stress->l1, T0, 4); break;
        case 7:
        case 8:
        case 9: stress_put(stress, &rand, &key); break;
        default: stress_read_through(stress, &rand, &key); break;
        }
    }
    return NULL;
}

static void threads_share_l1_without_losing_an_update(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(200 << 10, NULL, 4);
    struct l1 *counters = help_new(1 << 20, NULL, 4);
    size_t empty_bytes = help_stats(l1).bytes_used;
    struct stress stress[THREADS];
    pthread_t threads[THREADS];
    uint64_t seed = help_seed();
    for (unsigned i = 0; i < THREADS; i++) {
        stress[i] = (struct stress){.l1 = l1, .counters = counters, .seed = seed + i};
        assert_int_equal(pthread_create(&threads[i], NULL, stress_run, &stress[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    l1_set_policy(l1, &policy_density,
                  T0); /* the last one may have been one that lets nobody leave */
    l1_resize(l1, 300 << 10, T0);
    HELP_CHECK(help_stats(l1).bytes_used <= 300 << 10, seed);
    for (unsigned counter = 0; counter < COUNTERS; counter++) {
        unsigned expected = 0;
        for (unsigned i = 0; i < THREADS; i++) {
            expected += stress[i].increments[counter];
        }
        char name[32];
        char text[32];
        snprintf(name, sizeof name, "counter:%u", counter);
        snprintf(text, sizeof text, "%u", expected);
        HELP_CHECK(help_is(counters, 0, name, text, T0), seed);
    }
    l1_set_whatif(l1, NULL);
    l1_flush_all(l1);
    l1_sweep(l1, T0, 4000);
    HELP_CHECK(help_stats(l1).bytes_used == empty_bytes, seed);
    HELP_CHECK(help_stats(l1).claims == 0, seed);
    HELP_CHECK(help_stats(l1).evictions > 0, seed);
    l1_free(l1);
    l1_free(counters);
}

/* --- items that are given up ---------------------------------------------------------------------------------------- */

struct makers {
    struct l1 *l1;
    _Atomic bool is_over;
};

/* Makes items that never stand in L1, as a loser of a compare-and-swap does, and lets go of them without its lock. */
static void *make_in_vain(void *arg)
{
    struct makers *makers = arg;
    unsigned number = 0;
    while (!makers->is_over) {
        struct item *items[8];
        for (unsigned i = 0; i < 8; i++) {
            char name[32];
            snprintf(name, sizeof name, "vain:%u", number++);
            struct l1_key key = l1_key(makers->l1, 0, slice_of(name));
            items[i] = l1_item_new(makers->l1, key.hash,
                                   &(struct item_spec){.key = key.bytes, .value_size = 60});
            assert_non_null(items[i]);
        }
        for (unsigned i = 0; i < 8; i++) {
            item_release(items[i]);
        }
    }
    return NULL;
}

/* Whoever moves items together comes upon such as somebody holds who does not hold the lock, and who may let go of them at
 * that moment: their bytes are no item's then. */
static void items_are_given_up_while_others_are_moved(void **state)
{
    (void)state;
    enum {
        ROUNDS = 40,
        ENTRIES = 1000
    };
    struct makers makers = {.l1 = help_new(1 << 20, NULL, 1)};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, make_in_vain, &makers), 0);
    for (int64_t round = 0; round < HELP_ROUNDS(ROUNDS); round++) {
        const int64_t now_ms = T0 + round * 10;
        for (unsigned n = 0; n < ENTRIES; n++) {
            char name[32];
            snprintf(name, sizeof name, "kept:%u", n);
            help_set(makers.l1, 0, name,
                     "a value of about as many bytes as those of the others are",
                     n % 4 == 0 ? 0 : now_ms + 5, now_ms);
        }
        for (unsigned i = 0; i < 200; i++) {
            l1_sweep(makers.l1, now_ms + 6, 16);
        }
    }
    makers.is_over = true;
    pthread_join(thread, NULL);
    l1_sweep(makers.l1, T0 + ROUNDS * 10, 4000);
    assert_int_equal(help_stats(makers.l1).items, ENTRIES / 4);
    l1_free(makers.l1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_share_l1_without_losing_an_update),
        cmocka_unit_test(items_are_given_up_while_others_are_moved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
