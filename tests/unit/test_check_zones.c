/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/check/zones.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static bool agree(const struct zone *given, size_t count)
{
    struct zone zones[8];
    struct zone a = {0};
    struct zone b = {0};
    for (size_t i = 0; i < count; i++) {
        zones[i] = given[i];
    }
    bool fine = zones_agree(zones, count, &a, &b);
    assert_true(fine || a.value != b.value);
    return fine;
}

static void forward_zones_may_touch_but_not_overlap(void **state)
{
    (void)state;
    const struct zone apart[] = {{10, 20, 1}, {20, 30, 2}};
    assert_true(agree(apart, 2));
    const struct zone over[] = {{10, 20, 1}, {19, 30, 2}};
    assert_false(agree(over, 2));
}

static void a_backward_zone_may_reach_into_a_forward_one_but_not_lie_inside(void **state)
{
    (void)state;
    const struct zone reaches[] = {{10, 20, 1}, {25, 15, 2}};
    assert_true(agree(reaches, 2));
    const struct zone inside[] = {{10, 20, 1}, {16, 15, 2}};
    assert_false(agree(inside, 2));
    const struct zone backward[] = {{20, 10, 1}, {16, 15, 2}};
    assert_true(agree(backward, 2));
}

/* ------------------------------------------------------------------ brute force */

enum {
    OPERATIONS_MAX = 7,
    HISTORIES = 60000
};

struct operation {
    bool writes;
    uint64_t value; /* 0: the register's first */
    uint64_t begin;
    uint64_t end;
};

/* Is there an order of what is left, after `done`, with the register holding `value`? */
static bool linearizable(const struct operation *operations, size_t count, unsigned done,
                         uint64_t value)
{
    if (done == (1u << count) - 1) {
        return true;
    }
    for (size_t i = 0; i < count; i++) {
        bool first = (done & (1u << i)) == 0;
        for (size_t j = 0; j < count && first; j++) {
            first = (done & (1u << j)) != 0 || operations[j].end >= operations[i].begin;
        }
        bool fits = first && (operations[i].writes || operations[i].value == value);
        if (fits && linearizable(operations, count, done | 1u << i, operations[i].value)) {
            return true;
        }
    }
    return false;
}

static size_t draw_history(struct operation *operations, unsigned *seed)
{
    size_t count = 1 + (size_t)rand_r(seed) % OPERATIONS_MAX;
    uint64_t values = 0;
    for (size_t i = 0; i < count; i++) {
        struct operation *operation = &operations[i];
        operation->writes = rand_r(seed) % 2 == 0;
        operation->begin = 1 + (uint64_t)rand_r(seed) % 20;
        operation->end = operation->begin + (uint64_t)rand_r(seed) % 8;
        operation->value = operation->writes ? ++values : 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (!operations[i].writes) {
            operations[i].value = (uint64_t)rand_r(seed) % (values + 1);
        }
    }
    return count;
}

/* The zones of a history, as the judge makes them. False: a read ended before its write began. */
static bool zones_of(const struct operation *operations, size_t count, struct zone *zones,
                     size_t *ret_count)
{
    *ret_count = 0;
    for (uint64_t value = 0; value <= OPERATIONS_MAX; value++) {
        struct zone zone = {.first_end_ns = UINT64_MAX, .value = value};
        uint64_t written = 0;
        bool is_there = value == 0;
        for (size_t i = 0; i < count; i++) {
            if (operations[i].writes && operations[i].value == value) {
                written = operations[i].begin;
                is_there = true;
            }
        }
        zone.first_end_ns = value == 0 ? 0 : zone.first_end_ns;
        for (size_t i = 0; i < count && is_there; i++) {
            const struct operation *operation = &operations[i];
            if (operation->value != value) {
                continue;
            }
            if (operation->end < written) {
                return false;
            }
            zone.first_end_ns =
                operation->end < zone.first_end_ns ? operation->end : zone.first_end_ns;
            zone.last_begin_ns =
                operation->begin > zone.last_begin_ns ? operation->begin : zone.last_begin_ns;
        }
        if (is_there) {
            zones[(*ret_count)++] = zone;
        }
    }
    return true;
}

static void zones_say_what_brute_force_says(void **state)
{
    (void)state;
    unsigned seed = 20240611;
    unsigned right = 0;
    for (int i = 0; i < HISTORIES; i++) {
        struct operation operations[OPERATIONS_MAX];
        struct zone zones[OPERATIONS_MAX + 1];
        size_t zones_count = 0;
        size_t count = draw_history(operations, &seed);
        struct zone a;
        struct zone b;
        bool expected = linearizable(operations, count, 0, 0);
        bool found = zones_of(operations, count, zones, &zones_count) &&
                     zones_agree(zones, zones_count, &a, &b);
        if (found != expected) {
            for (size_t j = 0; j < count; j++) {
                print_message("%s %u [%u, %u]\n", operations[j].writes ? "write" : "read ",
                              (unsigned)operations[j].value, (unsigned)operations[j].begin,
                              (unsigned)operations[j].end);
            }
            fail_msg("history %d: brute force says %d, zones say %d", i, expected, found);
        }
        right += expected ? 1 : 0;
    }
    assert_in_range(right, HISTORIES / 10, HISTORIES * 9 / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_zones_may_touch_but_not_overlap),
        cmocka_unit_test(a_backward_zone_may_reach_into_a_forward_one_but_not_lie_inside),
        cmocka_unit_test(zones_say_what_brute_force_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
