/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/learned.h"
#include "tiers/l2_commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void a_name_keeps_its_number(void **state)
{
    (void)state;
    struct learned *learned = learned_new();
    const unsigned lpush = learned_index(learned, "lpush");
    const unsigned create = learned_index(learned, "xgroup|create");
    assert_int_equal(lpush, command_count());
    assert_int_equal(create, command_count() + 1);
    assert_int_equal(learned_index(learned, "lpush"), lpush);
    assert_int_equal(learned_index(learned, "xgroup|create"), create);
    learned_free(learned);
}

static void those_that_come_too_late_share_the_last_number(void **state)
{
    (void)state;
    struct learned *learned = learned_new();
    char name[L2_COMMAND_NAME_MAX];
    for (unsigned i = 0; i < LEARNED_MAX; i++) {
        (void)snprintf(name, sizeof(name), "m.%u", i);
        assert_int_equal(learned_index(learned, name), command_count() + i);
    }
    const unsigned last = command_count() + LEARNED_NUMBERS - 1;
    assert_int_equal(learned_index(learned, "late"), last);
    assert_int_equal(learned_index(learned, "later"), last);
    assert_int_equal(learned_index(learned, "m.300"), command_count() + 300);
    learned_free(learned);
}

/* Every number once, and of ours the whole table. */
static void the_walk_meets_every_command_once(void **state)
{
    (void)state;
    struct learned *learned = learned_new();
    struct learned_walk walk = {0};
    struct command command;
    bool met[1024] = {false};
    unsigned count = 0;
    bool saw_list = false;
    (void)learned_index(learned, "lpush");
    (void)learned_index(learned, "xadd");
    while (learned_next(learned, &walk, &command)) {
        assert_true(command.index < sizeof(met));
        assert_false(met[command.index]);
        met[command.index] = true;
        saw_list = saw_list || strcmp(command.full_name, "client|list") == 0;
        count++;
    }
    assert_int_equal(count, command_count() + 2);
    assert_string_equal(command.full_name, "xadd");
    assert_true(saw_list);
    learned_free(learned);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_keeps_its_number),
        cmocka_unit_test(those_that_come_too_late_share_the_last_number),
        cmocka_unit_test(the_walk_meets_every_command_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
