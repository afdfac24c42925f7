/* SPDX-License-Identifier: BSD-3-Clause */
/* Random operations on L1 and on a naive map (l1_ops.h); the largest value there may be. */
#include "tests/unit/l1_help.h"
#include "tests/unit/l1_ops.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

static char seed_line[64];

static void tell_seed(int number)
{
    (void)number;
    (void)!write(STDERR_FILENO, seed_line, strlen(seed_line));
}

static void l1_does_as_a_naive_map_does(void **state)
{
    (void)state;
    enum {
        RUNS = 60,
        BYTES = 40000
    };
    static uint8_t bytes[BYTES];
    const uint64_t seed = help_seed();
    uint64_t evictions = 0;
    (void)signal(SIGABRT, tell_seed);
    for (uint64_t run = 0; run < (help_replays() ? 1 : RUNS); run++) {
        struct rand rand;
        (void)snprintf(seed_line, sizeof seed_line, "replay with TEST_SEED=%llu\n",
                       (unsigned long long)(seed + run));
        rand_seed(&rand, seed + run);
        for (size_t i = 0; i < sizeof bytes; i++) {
            bytes[i] = (uint8_t)rand_next(&rand);
        }
        evictions += l1_ops_run(bytes, sizeof bytes >> ((seed + run) % 5));
    }
    print_message("%llu evictions\n", (unsigned long long)evictions);
    assert_true(help_replays() || evictions > 1000);
}

/* Once, as large as there may be: 512 MB, of which few pages are written. It pushes all others out, and goes like any. */
static void the_largest_value_comes_and_goes(void **state)
{
    (void)state;
    struct l1 *l1 = help_new((size_t)600 << 20, NULL, 4);
    for (unsigned n = 0; n < 2000; n++) {
        char name[32];
        snprintf(name, sizeof name, "k:%u", n);
        help_set(l1, 0, name, "v", 0, OPS_T0);
    }
    struct l1_key key = l1_key(l1, 0, SLICE_LITERAL("large"));
    const struct item_spec spec = {.key = key.bytes, .value_size = LIMIT_BULK};
    struct item *item = l1_item_new(l1, key.hash, &spec);
    assert_non_null(item);
    char *room = item_value_room(item);
    room[0] = 'a';
    room[LIMIT_BULK - 1] = 'z';
    const struct l1_change change = {l1, key, L1_ANY, item};
    assert_int_equal(l1_commit(&change, 1, OPS_T0), OK);
    item_release(item);
    assert_int_equal(l1_count(l1, 0), 2001);
    assert_true(help_stats(l1).bytes_used > LIMIT_BULK);
    l1_resize(l1, (size_t)500 << 20, OPS_T0);
    assert_true(help_stats(l1).bytes_used < (size_t)500 << 20);
    assert_true(help_is(l1, 0, "large", NULL, OPS_T0));
    item = l1_item_new(l1, key.hash, &spec);
    assert_int_equal(l1_commit(&(struct l1_change){l1, key, L1_ANY, item}, 1, OPS_T0), TOO_BIG);
    item_release(item);
    l1_resize(l1, (size_t)600 << 20, OPS_T0);
    item = l1_item_new(l1, key.hash, &spec);
    assert_int_equal(l1_commit(&(struct l1_change){l1, key, L1_ANY, item}, 1, OPS_T0), OK);
    l1_free(l1); /* held over its end */
    item_value_room(item)[LIMIT_BULK / 2] = 'm';
    item_release(item);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(l1_does_as_a_naive_map_does),
        cmocka_unit_test(the_largest_value_comes_and_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
