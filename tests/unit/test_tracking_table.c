/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/tracking_table.h"
#include "tiers/base/rand.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum {
    CLIENTS = 300,
    ROUNDS = 30000
};

/* Any function of the bytes will do; this one makes keys meet. */
static uint64_t hash_of(struct slice key)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < key.size; i++) {
        hash += (unsigned char)key.data[i];
    }
    return hash << 32 | (hash & 3);
}

static void add(struct tracking_table *table, const char *key, uint64_t client)
{
    assert_int_equal(tracking_table_add(table, slice_of(key), hash_of(slice_of(key)), client), OK);
}

static struct tracking_row *take(struct tracking_table *table, const char *key)
{
    return tracking_table_take(table, slice_of(key), hash_of(slice_of(key)));
}

static bool has(const struct tracking_row *row, uint64_t client)
{
    size_t at = 0;
    for (uint64_t one; (one = tracking_row_next(row, &at)) != 0;) {
        if (one == client) {
            return true;
        }
    }
    return false;
}

static size_t count(const struct tracking_row *row)
{
    size_t at = 0;
    size_t clients = 0;
    while (tracking_row_next(row, &at) != 0) {
        clients++;
    }
    return clients;
}

static void who_read_a_key_is_told_of_it_once(void **state)
{
    (void)state;
    struct tracking_table *table = tracking_table_new();
    add(table, "k", 7);
    add(table, "k", 7);
    add(table, "k", 8);
    struct tracking_row *row = take(table, "k");
    assert_non_null(row);
    assert_true(slice_is(tracking_row_key(row), "k"));
    assert_int_equal(count(row), 2);
    assert_true(has(row, 7) && has(row, 8));
    tracking_row_free(row);
    assert_null(take(table, "k"));
    tracking_table_free(table);
}

static bool begins_with_a(void *arg, struct slice key)
{
    ++*(unsigned *)arg;
    return key.size > 0 && key.data[0] == 'a';
}

static void all_rows_that_fit_are_taken_and_no_others(void **state)
{
    (void)state;
    struct tracking_table *table = tracking_table_new();
    struct buf rows = {0};
    unsigned looked = 0;
    char key[16];
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(key, sizeof key, "%c%u", i % 3 == 0 ? 'a' : 'b', i);
        add(table, key, 7);
    }
    assert_int_equal(tracking_table_take_fitting(table, begins_with_a, &looked, &rows), OK);
    assert_int_equal(looked, 1000);
    assert_int_equal(rows.size, 334 * sizeof(struct tracking_row *));
    assert_int_equal(tracking_table_keys(table), 666);
    assert_int_equal(tracking_table_items(table), 666);
    for (size_t i = 0; i < 334; i++) {
        struct tracking_row *row = ((struct tracking_row **)(void *)rows.data)[i];
        assert_int_equal(tracking_row_key(row).data[0], 'a');
        tracking_row_free(row);
    }
    struct tracking_row *row = take(table, "b1");
    assert_non_null(row);
    tracking_row_free(row);
    buf_done(&rows);
    tracking_table_free(table);
}

static void keys_of_one_hash_are_told_apart(void **state)
{
    (void)state;
    struct tracking_table *table = tracking_table_new();
    add(table, "ab", 1);
    add(table, "ba", 2);
    add(table, "", 3);
    assert_null(take(table, "c2"));
    struct tracking_row *row = take(table, "ba");
    assert_true(has(row, 2));
    assert_int_equal(count(row), 1);
    tracking_row_free(row);
    row = take(table, "");
    assert_true(has(row, 3));
    tracking_row_free(row);
    row = take(table, "ab");
    assert_true(has(row, 1));
    tracking_row_free(row);
    tracking_table_free(table);
}

static void a_row_takes_any_number_of_clients(void **state)
{
    (void)state;
    struct tracking_table *table = tracking_table_new();
    for (uint64_t client = 1; client <= CLIENTS; client++) {
        add(table, "hot", client << 48 | client);
        add(table, "hot", client << 48 | client);
    }
    assert_int_equal(tracking_table_items(table), CLIENTS);
    assert_int_equal(tracking_table_keys(table), 1);
    struct tracking_row *row = take(table, "hot");
    assert_int_equal(count(row), CLIENTS);
    for (uint64_t client = 1; client <= CLIENTS; client++) {
        assert_true(has(row, client << 48 | client));
    }
    tracking_row_free(row);
    assert_int_equal(tracking_table_items(table), 0);
    tracking_table_free(table);
}

static void rows_and_clients_are_counted(void **state)
{
    (void)state;
    struct tracking_table *table = tracking_table_new();
    char key[32];
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(key, sizeof(key), "key:%u", i);
        add(table, key, 1);
        add(table, key, i + 1);
    }
    assert_int_equal(tracking_table_keys(table), 1000);
    assert_int_equal(tracking_table_items(table), 1999);
    tracking_row_free(take(table, "key:500"));
    assert_int_equal(tracking_table_keys(table), 999);
    assert_int_equal(tracking_table_items(table), 1997);
    tracking_table_clear(table);
    assert_int_equal(tracking_table_keys(table), 0);
    assert_int_equal(tracking_table_items(table), 0);
    assert_null(take(table, "key:1"));
    add(table, "key:1", 1);
    assert_int_equal(tracking_table_items(table), 1);
    tracking_table_free(table);
}

static void some_row_leaves_while_there_are_any(void **state)
{
    (void)state;
    struct tracking_table *table = tracking_table_new();
    struct rand rand;
    char key[32];
    rand_seed(&rand, 1);
    for (unsigned i = 0; i < 2000; i++) {
        (void)snprintf(key, sizeof(key), "key:%u", i);
        add(table, key, 1);
    }
    for (unsigned i = 0; i < 2000; i++) {
        struct tracking_row *row = tracking_table_take_any(table, rand_next(&rand));
        assert_non_null(row);
        tracking_row_free(row);
    }
    assert_null(tracking_table_take_any(table, rand_next(&rand)));
    assert_int_equal(tracking_table_keys(table), 0);
    tracking_table_free(table);
}

/* The rule on which all rests (tracking.h): a reader enters the table, then looks; a writer writes, then takes the row. What
 * the reader is told stands behind what he has read, so whoever took the row after he entered makes him drop it. */
struct race {
    struct tracking_table *table;
    pthread_barrier_t line; /* both begin a round together, and end it */
    _Atomic unsigned value;
    _Atomic unsigned told; /* rows that were taken */
};

static void *write_on(void *arg)
{
    struct race *race = arg;
    for (unsigned round = 1; round <= ROUNDS; round++) {
        (void)pthread_barrier_wait(&race->line);
        atomic_store_explicit(&race->value, round, memory_order_relaxed);
        struct tracking_row *row = take(race->table, "k");
        if (row != NULL) {
            atomic_fetch_add_explicit(&race->told, 1, memory_order_relaxed);
            tracking_row_free(row);
        }
        (void)pthread_barrier_wait(&race->line);
    }
    return NULL;
}

static void no_change_is_missed_by_who_entered_before_he_looked(void **state)
{
    (void)state;
    struct race race = {.table = tracking_table_new()};
    pthread_t writer;
    assert_int_equal(pthread_barrier_init(&race.line, NULL, 2), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_on, &race), 0);
    for (unsigned round = 1; round <= ROUNDS; round++) {
        tracking_table_clear(race.table);
        const unsigned told = atomic_load(&race.told);
        (void)pthread_barrier_wait(&race.line);
        add(race.table, "k", 1);
        const unsigned kept = atomic_load_explicit(&race.value, memory_order_relaxed);
        (void)pthread_barrier_wait(&race.line);
        assert_true(kept == round || atomic_load(&race.told) > told);
    }
    assert_int_equal(pthread_join(writer, NULL), 0);
    assert_int_equal(pthread_barrier_destroy(&race.line), 0);
    tracking_table_free(race.table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_read_a_key_is_told_of_it_once),
        cmocka_unit_test(all_rows_that_fit_are_taken_and_no_others),
        cmocka_unit_test(keys_of_one_hash_are_told_apart),
        cmocka_unit_test(a_row_takes_any_number_of_clients),
        cmocka_unit_test(rows_and_clients_are_counted),
        cmocka_unit_test(some_row_leaves_while_there_are_any),
        cmocka_unit_test(no_change_is_missed_by_who_entered_before_he_looked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
