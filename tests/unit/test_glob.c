/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/limits.h"
#include "tiers/base/glob.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What redis-server 7.0.15 answered for KEYS, unless a comment here or in glob.h says otherwise. */
static bool fits(const char *pattern, const char *name)
{
    return glob_match(slice_of(pattern), slice_of(name), false);
}

static bool fits_nocase(const char *pattern, const char *name)
{
    return glob_match(slice_of(pattern), slice_of(name), true);
}

static void plain_bytes_fit_themselves_only(void **state)
{
    (void)state;
    assert_true(fits("user:1", "user:1"));
    assert_false(fits("user:1", "user:12"));
    assert_false(fits("user:12", "user:1"));
    assert_false(fits("a", "A"));
}

static void the_empty_name_fits_the_empty_pattern_only(void **state)
{
    (void)state;
    assert_true(fits("", ""));
    assert_false(fits("", "a"));
    assert_false(fits("*", ""));
    assert_false(fits("**", ""));
}

static void a_star_takes_any_bytes_or_none(void **state)
{
    (void)state;
    assert_true(fits("*", "anything"));
    assert_true(fits("a*", "a"));
    assert_true(fits("a***", "a"));
    assert_true(fits("*a", "a"));
    assert_true(fits("a*c", "abbbc"));
    assert_false(fits("a*c", "abbbd"));
    assert_true(fits("*ab*ab", "aabab"));
    assert_true(fits("*abc*", "xxababcxx"));
    assert_false(fits("*abc?", "xxabc"));
}

static void a_question_mark_takes_exactly_one_byte(void **state)
{
    (void)state;
    assert_true(fits("h?llo", "hello"));
    assert_false(fits("h?llo", "hllo"));
    assert_true(fits("?", "\xff"));
    assert_true(glob_match(SLICE_LITERAL("a?b"), (struct slice){.data = "a\0b", .size = 3}, false));
}

static void a_set_takes_one_of_its_members(void **state)
{
    (void)state;
    assert_true(fits("h[ae]llo", "hallo"));
    assert_false(fits("h[ae]llo", "hillo"));
    assert_true(fits("h[^e]llo", "hallo"));
    assert_false(fits("h[^e]llo", "hello"));
    assert_true(fits("[a-c]x", "bx"));
    assert_true(fits("[c-a]x", "bx"));
    assert_false(fits("[a-c]x", "dx"));
    assert_false(fits("[]", "a"));
    assert_true(fits("[^]", "a"));
    assert_true(fits("[\\]]", "]"));
    assert_true(fits("[\\\\]", "\\"));
}

static void a_set_that_is_not_closed_ends_with_the_pattern(void **state)
{
    (void)state;
    assert_true(fits("[abc", "b"));
    assert_false(fits("[abc", "bc"));
    assert_false(fits("[", "["));
    assert_true(fits("[^", "x"));
    assert_true(fits("[a\\", "\\"));
    assert_true(fits("[a-]", "]")); /* the range ]..a eats the bracket */
    assert_true(fits("[a-", "-"));
}

static void a_range_takes_bytes_as_signed(void **state)
{
    (void)state;
    assert_true(fits("[\xe0-\xff]", "\xe9"));
    assert_false(fits("[\x01-\xff]", "\x80"));
    assert_true(fits("[\x01-\xff]", "\x01"));
    assert_false(fits("[\x01-\xff]", "a"));
}

static void an_escaped_byte_stands_for_itself(void **state)
{
    (void)state;
    assert_true(fits("a\\*b", "a*b"));
    assert_false(fits("a\\*b", "axb"));
    assert_true(fits("\\a", "a"));
    assert_true(fits("a\\", "a\\"));
}

static void without_case_only_escaped_members_of_a_set_keep_theirs(void **state)
{
    (void)state;
    assert_true(fits_nocase("MaxMemory*", "maxmemory-policy"));
    assert_true(fits_nocase("[A-C]x", "bX"));
    assert_true(fits_nocase("[abc]", "B"));
    assert_true(fits_nocase("\\A", "a"));
    /* No command of Redis shows these; read from the definition of its matcher. */
    assert_false(fits_nocase("[\\a]", "A"));
    assert_false(fits_nocase("[a-Z]", "m"));
}

/* Matched by trying every star at every place this would take longer than the universe has. */
static void many_stars_cost_pattern_times_name(void **state)
{
    (void)state;
    char pattern[201];
    for (size_t i = 0; i < 199; i++) {
        pattern[i] = i % 2 == 0 ? 'a' : '*';
    }
    pattern[199] = 'b';
    pattern[200] = '\0';
    char name[1001];
    memset(name, 'a', 1000);
    name[1000] = '\0';
    assert_false(fits(pattern, name));
    name[999] = 'b';
    assert_true(fits(pattern, name));
}

static void a_match_that_costs_more_than_the_limit_is_none(void **state)
{
    (void)state;
    const size_t half = 4096; /* half * half / 2 comparisons are more than LIMIT_PATTERN_STEPS */
    assert_true(half * half / 2 > LIMIT_PATTERN_STEPS);
    char *name = malloc(2 * half + 1);
    char *pattern = malloc(half + 2);
    assert_non_null(name);
    assert_non_null(pattern);
    memset(name, 'a', 2 * half);
    name[2 * half] = 'b';
    pattern[0] = '*';
    memset(pattern + 1, 'a', half);
    pattern[half + 1] = 'b';
    const struct slice long_name = {.data = name, .size = 2 * half + 1};
    const struct slice bomb = {.data = pattern, .size = half + 2};
    assert_false(glob_match(bomb, long_name, false));
    const struct slice short_name = {.data = name + 2 * half - half, .size = half + 1};
    assert_true(glob_match(bomb, short_name, false)); /* the same pattern, cheap */
    free(name);
    free(pattern);
}

static void more_than_a_thousand_stars_fit_nothing(void **state)
{
    (void)state;
    char pattern[2 * (LIMIT_PATTERN_STARS + 1) + 1];
    char name[LIMIT_PATTERN_STARS + 1];
    for (size_t i = 0; i < sizeof pattern; i++) {
        pattern[i] = "*?"[i % 2];
    }
    memset(name, 'a', sizeof name);
    const struct slice long_name = {.data = name, .size = sizeof name};
    const size_t most = (size_t)2 * LIMIT_PATTERN_STARS;
    assert_true(glob_match((struct slice){pattern, most}, long_name, false));
    assert_true(
        glob_match((struct slice){pattern, most + 1}, long_name, false)); /* a star ends it */
    assert_false(glob_match((struct slice){pattern, most + 2}, long_name, false));
    assert_false(glob_match((struct slice){pattern, most + 3}, long_name, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_bytes_fit_themselves_only),
        cmocka_unit_test(the_empty_name_fits_the_empty_pattern_only),
        cmocka_unit_test(a_star_takes_any_bytes_or_none),
        cmocka_unit_test(a_question_mark_takes_exactly_one_byte),
        cmocka_unit_test(a_set_takes_one_of_its_members),
        cmocka_unit_test(a_set_that_is_not_closed_ends_with_the_pattern),
        cmocka_unit_test(a_range_takes_bytes_as_signed),
        cmocka_unit_test(an_escaped_byte_stands_for_itself),
        cmocka_unit_test(without_case_only_escaped_members_of_a_set_keep_theirs),
        cmocka_unit_test(many_stars_cost_pattern_times_name),
        cmocka_unit_test(a_match_that_costs_more_than_the_limit_is_none),
        cmocka_unit_test(more_than_a_thousand_stars_fit_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
