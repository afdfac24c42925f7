/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/l2_commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define GET_ENTRY \
    "*7\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n*1\r\n+@read\r\n"
#define SORT_ENTRY \
    "*6\r\n$4\r\nsort\r\n:-2\r\n*3\r\n+write\r\n+denyoom\r\n+movablekeys\r\n:1\r\n:1\r\n:1\r\n"

static struct l2_commands *read_table(const char *reply)
{
    struct l2_commands *commands = NULL;
    assert_int_equal(l2_commands_read(slice_of(reply), &commands), OK);
    return commands;
}

static void a_table_tells_keys_and_flags(void **state)
{
    (void)state;
    struct l2_commands *commands = read_table("*2\r\n" SORT_ENTRY GET_ENTRY);
    assert_int_equal(l2_commands_count(commands), 2);
    const struct l2_command *get = l2_commands_find(commands, SLICE_LITERAL("GeT"));
    assert_non_null(get);
    assert_true(get->readonly);
    assert_int_equal(get->arity, 2);
    assert_int_equal(get->first_key, 1);
    assert_int_equal(get->categories, CATEGORY_READ);
    const struct l2_command *sort = l2_commands_find(commands, SLICE_LITERAL("sort"));
    assert_non_null(sort);
    assert_false(sort->readonly);
    assert_true(sort->movable_keys);
    assert_int_equal(sort->categories, 0); /* a server that does not say */
    assert_null(l2_commands_find(commands, SLICE_LITERAL("nosuch")));
    assert_null(l2_commands_find(commands, SLICE_LITERAL("")));
    l2_commands_free(commands);
}

static void resp3_sets_of_flags_are_read(void **state)
{
    (void)state;
    struct l2_commands *commands = read_table(
        "*1\r\n*6\r\n$5\r\nblpop\r\n:-3\r\n~2\r\n+write\r\n+blocking\r\n:1\r\n:-2\r\n:1\r\n");
    const struct l2_command *blpop = l2_commands_find(commands, SLICE_LITERAL("blpop"));
    assert_non_null(blpop);
    assert_true(blpop->blocking);
    assert_int_equal(blpop->last_key, -2);
    l2_commands_free(commands);
}

static void subcommands_have_keys_and_flags_of_their_own(void **state)
{
    (void)state;
    struct l2_commands *commands =
        read_table("*2\r\n*10\r\n$5\r\nxinfo\r\n:-2\r\n*0\r\n:0\r\n:0\r\n:0\r\n*0\r\n*0\r\n*0\r\n"
                   "*1\r\n*10\r\n$12\r\nxinfo|groups\r\n:3\r\n*1\r\n+readonly\r\n:2\r\n:2\r\n:1\r\n"
                   "*0\r\n*0\r\n*0\r\n*0\r\n" GET_ENTRY);
    const struct l2_command *xinfo = l2_commands_find(commands, SLICE_LITERAL("XINFO"));
    assert_true(xinfo->has_subcommands && !xinfo->readonly);
    const struct l2_command *groups =
        l2_commands_find_sub(commands, xinfo, SLICE_LITERAL("Groups"));
    assert_non_null(groups);
    assert_true(groups->readonly && !groups->has_subcommands);
    assert_int_equal(groups->first_key, 2);
    assert_int_equal(groups->arity, 3);
    assert_null(l2_commands_find_sub(commands, xinfo, SLICE_LITERAL("nosuch")));
    assert_null(l2_commands_find_sub(commands, xinfo, SLICE_LITERAL("groups|groups")));
    assert_null(l2_commands_find_sub(commands, xinfo, SLICE_LITERAL("")));
    assert_false(l2_commands_find(commands, SLICE_LITERAL("get"))->has_subcommands);
    l2_commands_free(commands);
}

static void a_command_of_a_module_is_known_as_one(void **state)
{
    (void)state;
    struct l2_commands *commands = read_table(
        "*2\r\n*6\r\n$6\r\nmod.do\r\n:-2\r\n*2\r\n+write\r\n+module\r\n:1\r\n:1\r\n:1\r\n" GET_ENTRY);
    assert_true(l2_commands_find(commands, SLICE_LITERAL("mod.do"))->module);
    assert_false(l2_commands_find(commands, SLICE_LITERAL("get"))->module);
    l2_commands_free(commands);
}

static void what_follows_in_an_entry_is_stepped_over_however_deep(void **state)
{
    (void)state;
    struct l2_commands *commands = read_table(
        "*2\r\n*8\r\n$1\r\na\r\n:1\r\n*0\r\n:0\r\n:0\r\n:0\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n%1\r\n+k\r\n:1\r\n" GET_ENTRY);
    assert_non_null(l2_commands_find(commands, SLICE_LITERAL("get")));
    l2_commands_free(commands);
}

static void a_reply_that_is_no_table_is_refused_whole(void **state)
{
    (void)state;
    static const char *const replies[] = {
        "",
        "+OK\r\n",
        "-NOPERM no\r\n",
        "*2\r\n" GET_ENTRY,
        "*1\r\n*3\r\n$1\r\na\r\n:1\r\n*0\r\n",
        "*1\r\n*6\r\n$1\r\na\r\n+x\r\n*0\r\n:0\r\n:0\r\n:0\r\n",
        "*1\r\n*6\r\n$1\r\na\r\n:99999999\r\n*0\r\n:0\r\n:0\r\n:0\r\n",
        "*1000000000\r\n" GET_ENTRY,
    };
    for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
        struct l2_commands *commands = NULL;
        assert_int_equal(l2_commands_read(slice_of(replies[i]), &commands), MALFORMED);
        assert_null(commands);
    }
}

static void tables_are_compared_by_what_matters(void **state)
{
    (void)state;
    struct l2_commands *a = read_table("*2\r\n" SORT_ENTRY GET_ENTRY);
    struct l2_commands *b = read_table("*2\r\n" GET_ENTRY SORT_ENTRY);
    struct l2_commands *c = read_table("*1\r\n" GET_ENTRY);
    assert_true(l2_commands_equal(a, b)); /* the order is Redis' own affair */
    assert_false(l2_commands_equal(a, c));
    l2_commands_free(a);
    l2_commands_free(b);
    l2_commands_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_tells_keys_and_flags),
        cmocka_unit_test(resp3_sets_of_flags_are_read),
        cmocka_unit_test(subcommands_have_keys_and_flags_of_their_own),
        cmocka_unit_test(a_command_of_a_module_is_known_as_one),
        cmocka_unit_test(what_follows_in_an_entry_is_stepped_over_however_deep),
        cmocka_unit_test(a_reply_that_is_no_table_is_refused_whole),
        cmocka_unit_test(tables_are_compared_by_what_matters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
