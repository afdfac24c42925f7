/* SPDX-License-Identifier: BSD-3-Clause */
/* Replies as trees, INFO, JSON and tables: what the verbs of `terrace` are made of. */
#include "client/cli/json.h"
#include "client/cli/text.h"
#include "client/cli/tree.h"
#include "protocol/info_text.h"
#include "protocol/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_json(json_t *value, const char *expected)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
    json_decref(value);
}

static void assert_tree_json(const char *reply, const char *expected)
{
    struct tree tree;
    assert_int_equal(tree_read(slice_of(reply), &tree), OK);
    assert_json(tree_json(&tree), expected);
    tree_done(&tree);
}

/* --- trees --------------------------------------------------------------------------------------------------------- */

static void every_type_of_reply_becomes_json(void **state)
{
    (void)state;
    assert_tree_json("+OK\r\n", "\"OK\"");
    assert_tree_json(":-7\r\n", "-7");
    assert_tree_json("_\r\n", "null");
    assert_tree_json("$-1\r\n", "null");
    assert_tree_json("#t\r\n", "true");
    assert_tree_json(",0.5\r\n", "0.5");
    assert_tree_json("$3\r\n\xff\xfe\x01\r\n", "{\"base64\":\"//4B\"}");
}

static void maps_and_lists_nest(void **state)
{
    (void)state;
    assert_tree_json("%2\r\n$1\r\na\r\n*2\r\n:1\r\n~1\r\n+x\r\n:5\r\n%0\r\n",
                     "{\"a\":[1,[\"x\"]],\"5\":{}}");
    assert_tree_json("|1\r\n+ttl\r\n:3\r\n*1\r\n|1\r\n+x\r\n+y\r\n+z\r\n",
                     "[\"z\"]"); /* attributes are left out */
}

static void things_are_looked_up_by_name(void **state)
{
    (void)state;
    struct tree tree;
    assert_int_equal(
        tree_read(
            slice_of("%3\r\n$4\r\nname\r\n$1\r\nx\r\n$4\r\nself\r\n#t\r\n$5\r\nratio\r\n,0.25\r\n"),
            &tree),
        OK);
    assert_true(slice_is(tree_text(tree_find(&tree, "name")), "x"));
    assert_int_equal(tree_number(tree_find(&tree, "self"), 0), 1);
    assert_true(tree_real(tree_find(&tree, "ratio"), 0) == 0.25);
    assert_null(tree_find(&tree, "none"));
    assert_int_equal(tree_number(tree_find(&tree, "none"), -3), -3);
    assert_int_equal(tree_text(NULL).size, 0);
    assert_null(tree_at(NULL, 0));
    assert_null(tree_find(NULL, "x"));
    tree_done(&tree);
}

static void what_is_no_reply_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "", "hello", "*2\r\n:1\r\n", "+OK\r\n+more\r\n", "*1000000000\r\n:1\r\n", "%1\r\n+a\r\n"};
    char deep[8 * 64] = "";
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct tree tree;
        assert_int_equal(tree_read(slice_of(wrong[i]), &tree), MALFORMED);
    }
    for (int i = 0; i < 60; i++) {
        (void)strcat(deep, "*1\r\n");
    }
    (void)strcat(deep, ":1\r\n");
    struct tree tree;
    assert_int_equal(tree_read(slice_of(deep), &tree), MALFORMED);
}

/* --- INFO ---------------------------------------------------------------------------------------------------------- */

static const char info[] =
    "# Server\r\nversion:1.5\r\nup:12\r\n\r\n# L2\r\nl2_endpoint_0:address=h:1,current=1,why=no, it has=not\r\n"
    "plain:no fields, here\r\nempty:\r\n";

static void lines_of_info_are_found(void **state)
{
    (void)state;
    const struct slice text = slice_of(info);
    assert_int_equal(info_number(text, "up", 0), 12);
    assert_true(slice_is(info_find(text, "plain"), "no fields, here"));
    assert_int_equal(info_find(text, "nothing").size, 0);
    assert_int_equal(info_number(text, "version", -1), -1);
    const struct slice endpoint = info_find(text, "l2_endpoint_0");
    assert_true(slice_is(info_field(endpoint, "address"), "h:1"));
    assert_int_equal(info_field_number(endpoint, "current", 0), 1);
    assert_int_equal(info_field(endpoint, "none").size, 0);
}

/* Found by fuzz_shown: the text does not end with a zero. */
static void a_figure_is_read_no_further_than_it_goes(void **state)
{
    (void)state;
    char *text = malloc(3); /* for the sanitizer */
    memcpy(text, "1.5", 3);
    assert_json(json_figure((struct slice){text, 3}), "1.5");
    assert_json(json_figure((struct slice){text, 2}), "\"1.\"");
    assert_json(json_figure((struct slice){text, 1}), "1");
    free(text);
}

static void info_becomes_objects(void **state)
{
    (void)state;
    assert_json(
        json_info(slice_of(info)),
        "{\"server\":{\"version\":1.5,\"up\":12},\"l2\":{\"l2_endpoint_0\":\"address=h:1,current=1,why=no, it has=not\","
        "\"plain\":\"no fields, here\",\"empty\":\"\"}}");
    assert_json(json_info(slice_of("# K\r\ndb0:keys=3,ttl=0.5\r\n")),
                "{\"k\":{\"db0\":{\"keys\":3,\"ttl\":0.5}}}");
}

/* --- bytes --------------------------------------------------------------------------------------------------------- */

static void bytes_that_are_no_text_are_told_apart(void **state)
{
    (void)state;
    assert_true(utf8_is(slice_of("gr\xc3\xbc\xc3\x9f")));
    assert_true(utf8_is((struct slice){"a\0b", 3}));
    assert_false(utf8_is(slice_of("\xc0\xaf")));         /* overlong */
    assert_false(utf8_is(slice_of("\xed\xa0\x80")));     /* a surrogate */
    assert_false(utf8_is(slice_of("\xf4\x90\x80\x80"))); /* beyond the last */
    assert_false(utf8_is(slice_of("\xe2\x82")));         /* cut */
    assert_json(json_bytes((struct slice){"a\0b", 3}), "\"a\\u0000b\"");
    assert_json(json_bytes(slice_of("\xff")), "{\"base64\":\"/w==\"}");
    assert_json(json_bytes(slice_of("\xff\x01")), "{\"base64\":\"/wE=\"}");
}

static void assert_shown(const char *bytes, size_t size, const char *expected)
{
    struct buf shown = {0};
    assert_int_equal(text_append_shown(&shown, (struct slice){bytes, size}), OK);
    assert_int_equal(buf_append(&shown, "", 1), OK);
    assert_string_equal(shown.data, expected);
    buf_done(&shown);
}

static void no_bytes_of_a_key_reach_the_terminal_as_commands(void **state)
{
    (void)state;
    assert_shown("\x1b[2J\n", 5, "\\x1b[2J\\n");
    assert_shown("a\0b", 3, "a\\x00b");
    assert_shown("\xc2\x9b"
                 "2J",
                 4, "\\u009b2J"); /* the same as ESC [ on some terminals */
    assert_shown("gr\xc3\xbc", 4, "gr\xc3\xbc");
    assert_shown("\xff", 1, "\\xff");
}

/* --- figures and tables -------------------------------------------------------------------------------------------- */

static void figures_have_three_digits_and_a_unit(void **state)
{
    (void)state;
    char text[FIGURE_MAX];
    assert_string_equal(text_bytes(text, 812), "812 B");
    assert_string_equal(text_bytes(text, 1536), "1.50 KiB");
    assert_string_equal(text_bytes(text, 64.0 * 1024 * 1024), "64 MiB");
    assert_string_equal(text_count(text, 0), "0");
    assert_string_equal(text_count(text, 999.4), "999");
    assert_string_equal(text_count(text, 12345), "12.3k");
    assert_string_equal(text_count(text, 1e6), "1M");
    assert_string_equal(text_duration(text, 85e-6), "85us");
    assert_string_equal(text_duration(text, 0.0012), "1.20ms");
    assert_string_equal(text_duration(text, 0.25), "250ms");
    assert_string_equal(text_duration(text, 3.4), "3.40s");
    assert_string_equal(text_duration(text, 125), "2m05s");
    assert_string_equal(text_duration(text, 7500), "2h05m");
    assert_string_equal(text_duration(text, 90000), "1d01h");
    assert_string_equal(text_duration(text, -1), "-");
}

static void a_table_is_as_wide_as_its_widest_cells(void **state)
{
    (void)state;
    struct table table = {0};
    struct buf text = {0};
    table_column(&table, "NAME", false);
    table_column(&table, "N", true);
    table_column(&table, "MORE", false);
    table_add(&table,
              slice_of("\xc3\xbc"
                       "ber"),
              TONE_NONE);
    table_addf(&table, TONE_GOOD, "%d", 17);
    table_add(&table, slice_of(""), TONE_NONE);
    table_add(&table, slice_of("a\tlong"), TONE_NONE);
    table_addf(&table, TONE_NONE, "%d", 3);
    table_add(&table, slice_of("x"), TONE_NONE);
    assert_int_equal(table_write(&table, false, &text), OK);
    assert_int_equal(buf_append(&text, "", 1), OK);
    assert_string_equal(text.data, "NAME      N  MORE\n\xc3\xbc"
                                   "ber     17\na\\tlong   3  x\n");
    buf_done(&text);
    table_done(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_of_reply_becomes_json),
        cmocka_unit_test(maps_and_lists_nest),
        cmocka_unit_test(things_are_looked_up_by_name),
        cmocka_unit_test(what_is_no_reply_is_refused),
        cmocka_unit_test(lines_of_info_are_found),
        cmocka_unit_test(a_figure_is_read_no_further_than_it_goes),
        cmocka_unit_test(info_becomes_objects),
        cmocka_unit_test(bytes_that_are_no_text_are_told_apart),
        cmocka_unit_test(no_bytes_of_a_key_reach_the_terminal_as_commands),
        cmocka_unit_test(figures_have_three_digits_and_a_unit),
        cmocka_unit_test(a_table_is_as_wide_as_its_widest_cells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
