/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of commands: every line is found by its name, and nothing else is. */
#include "server/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void change_case(char *text, size_t size, unsigned pattern)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] >= 'a' && text[i] <= 'z' && (pattern >> i % 8 & 1) != 0) {
            text[i] = (char)(text[i] - 'a' + 'A');
        }
    }
}

static void every_command_is_found_by_its_name_in_any_case(void **state)
{
    (void)state;
    const struct command *command;
    for (unsigned i = 0; (command = command_at(i)) != NULL; i++) {
        for (unsigned pattern = 0; pattern < 256; pattern += 5) {
            char name[32];
            const size_t size = strlen(command->name);
            memcpy(name, command->name, size);
            change_case(name, size, pattern);
            assert_ptr_equal(command_find((struct slice){name, size}), command);
        }
    }
}

/* Whatever is found under `name` must be called so. */
static void check_not_confused(const char *name, size_t size)
{
    const struct command *found = command_find((struct slice){name, size});
    if (found != NULL) {
        assert_true(slice_is_nocase((struct slice){name, size}, found->name));
    }
}

static void check_neighbours(const struct command *command)
{
    char name[32];
    const size_t size = strlen(command->name);
    for (size_t at = 0; at < size; at++) {
        memcpy(name, command->name, size);
        for (unsigned byte = 0; byte < 256; byte++) {
            name[at] = (char)byte;
            check_not_confused(name, size);
        }
    }
    memcpy(name, command->name, size);
    name[size] = 'x';
    check_not_confused(name, size + 1);
    check_not_confused(name, size - 1);
}

static void a_name_that_differs_in_one_byte_is_not_found(void **state)
{
    (void)state;
    const struct command *command;
    for (unsigned i = 0; (command = command_at(i)) != NULL; i++) {
        check_neighbours(command);
    }
}

static void names_of_no_command_are_not_found(void **state)
{
    (void)state;
    static const char *const names[] = {
        "",     "x",      "nosuch",      "lpush",
        "get ", "getget", "client|list", "a-name-that-is-longer-than-any-command-of-the-table"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_null(command_find(slice_of(names[i])));
    }
    assert_null(command_find((struct slice){NULL, 0}));
    assert_null(command_find((struct slice){"get\0", 4}));
    assert_null(command_find((struct slice){"\xe7\xe5\xf4", 3})); /* "get" with high bits */
}

static void no_byte_outside_the_name_is_read(void **state)
{
    (void)state;
    /* Each name ends where an allocation ends: a sanitizer or valgrind sees what is read too far. */
    const struct command *command;
    for (unsigned i = 0; (command = command_at(i)) != NULL; i++) {
        char *exact = test_malloc(strlen(command->name));
        memcpy(exact, command->name, strlen(command->name));
        assert_ptr_equal(command_find((struct slice){exact, strlen(command->name)}), command);
        test_free(exact);
    }
}

static void indexes_are_unique_and_below_the_count(void **state)
{
    (void)state;
    static bool seen[1024];
    assert_true(command_count() < 1024);
    unsigned total = 0;
    const struct command *command;
    for (unsigned i = 0; (command = command_at(i)) != NULL; i++) {
        for (unsigned j = 0; j <= command->subcommand_count; j++) {
            const struct command *one = j == 0 ? command : &command->subcommands[j - 1];
            assert_true(one->index < command_count());
            assert_false(seen[one->index]);
            seen[one->index] = true;
            total++;
        }
    }
    assert_int_equal(total, command_count());
}

static void subcommands_belong_to_their_container_and_help_is_the_last(void **state)
{
    (void)state;
    unsigned containers = 0;
    const struct command *command;
    for (unsigned i = 0; (command = command_at(i)) != NULL; i++) {
        assert_string_equal(command->full_name, command->name);
        if (command->subcommand_count == 0) {
            assert_null(command->subcommands);
            continue;
        }
        containers++;
        for (unsigned j = 0; j < command->subcommand_count; j++) {
            const struct command *sub = &command->subcommands[j];
            char full_name[64];
            (void)snprintf(full_name, sizeof(full_name), "%s|%s", command->name, sub->name);
            assert_string_equal(sub->full_name, full_name);
            assert_ptr_equal(command_find_sub(command, slice_of(sub->name)), sub);
        }
        assert_string_equal(command->subcommands[command->subcommand_count - 1].name, "help");
    }
    assert_true(containers >= 8);
}

static void subcommands_are_found_in_any_case(void **state)
{
    (void)state;
    const struct command *config = command_find(SLICE_LITERAL("config"));
    assert_string_equal(command_find_sub(config, SLICE_LITERAL("ReSetStat"))->full_name,
                        "config|resetstat");
    assert_null(command_find_sub(config, SLICE_LITERAL("nosuch")));
    assert_null(command_find_sub(config, SLICE_LITERAL("")));
    assert_null(command_find_sub(command_find(SLICE_LITERAL("get")), SLICE_LITERAL("get")));
}

static void check_keys(const char *name, uint32_t argc, uint32_t first, uint32_t last,
                       uint32_t step)
{
    struct key_range range;
    assert_true(command_keys(command_find(slice_of(name)), argc, &range));
    assert_int_equal(range.first, first);
    assert_int_equal(range.last, last);
    assert_int_equal(range.step, step);
}

static void key_positions_are_clipped_to_the_arguments(void **state)
{
    (void)state;
    check_keys("get", 2, 1, 1, 1);
    check_keys("mget", 5, 1, 4, 1);
    check_keys("mset", 5, 1, 3, 2);
    check_keys("mset", 4, 1, 3, 2); /* a key without a value: the handler refuses it */
    check_keys("rename", 3, 1, 2, 1);
    check_keys("rename", 2, 1, 1, 1);
}

/* As of BLPOP, which L2 alone knows: the timeout is no key. */
static void keys_may_end_before_the_last_argument(void **state)
{
    (void)state;
    const struct command blpop = {.first_key = 1, .last_key = -2, .key_step = 1};
    struct key_range range;
    assert_true(command_keys(&blpop, 4, &range));
    assert_int_equal(range.first, 1);
    assert_int_equal(range.last, 2);
    assert_false(command_keys(&blpop, 2, &range));
}

static void commands_without_keys_name_none(void **state)
{
    (void)state;
    struct key_range range;
    assert_false(command_keys(command_find(SLICE_LITERAL("ping")), 2, &range));
    assert_false(command_keys(command_find(SLICE_LITERAL("get")), 1, &range));
    const struct command *memory = command_find(SLICE_LITERAL("memory"));
    assert_true(command_keys(command_find_sub(memory, SLICE_LITERAL("usage")), 3, &range));
    assert_int_equal(range.first, 2);
}

static void writes_of_a_key_never_run_on_the_reading_road(void **state)
{
    (void)state;
    const struct command *command;
    for (unsigned i = 0; (command = command_at(i)) != NULL; i++) {
        /* Those of the cache write managed keys by scripts of their own. */
        const bool is_own = strcmp(command->group, "cache") == 0;
        if (command->road == ROAD_READ ||
            (command->road == ROAD_NODE && command->first_key != 0 && !is_own)) {
            assert_int_equal(command->flags & COMMAND_WRITE, 0);
        }
        if (command->road == ROAD_READ) {
            assert_int_equal(command->first_key, 1);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_is_found_by_its_name_in_any_case),
        cmocka_unit_test(a_name_that_differs_in_one_byte_is_not_found),
        cmocka_unit_test(names_of_no_command_are_not_found),
        cmocka_unit_test(no_byte_outside_the_name_is_read),
        cmocka_unit_test(indexes_are_unique_and_below_the_count),
        cmocka_unit_test(subcommands_belong_to_their_container_and_help_is_the_last),
        cmocka_unit_test(subcommands_are_found_in_any_case),
        cmocka_unit_test(key_positions_are_clipped_to_the_arguments),
        cmocka_unit_test(keys_may_end_before_the_last_argument),
        cmocka_unit_test(commands_without_keys_name_none),
        cmocka_unit_test(writes_of_a_key_never_run_on_the_reading_road),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
