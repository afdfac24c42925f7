/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/cli/help.h"
#include "client/cli/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct option_spec own[] = {{"--ttl", 0, OPTION_TIME, "TIME", "life"},
                                         {"--tag", 0, OPTION_LIST, "TAG", "a tag"},
                                         {"--count", 'c', OPTION_NUMBER, "N", "how many"},
                                         {"--seq", 's', OPTION_FLAG, NULL, "a flag"},
                                         {0}};
static const struct option_spec global[] = {
    {"--node", 'n', OPTION_TEXT, "H:P", "where"},
    {"--ttl", 0, OPTION_TEXT, "X", "hidden by the verb's own"},
    {0}};

enum {
    WORDS_MAX = 16
};

/* Reads `line`, cut at spaces. */
static enum status read_line(struct words *words, const char *line, bool stops)
{
    static char copy[256];
    const char *argv[WORDS_MAX];
    int argc = 0;
    char *rest = NULL;
    *words = (struct words){0};
    (void)snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        argv[argc++] = word;
    }
    return words_read(words, argc, argv, own, global, stops);
}

static void options_may_stand_anywhere_and_in_both_forms(void **state)
{
    (void)state;
    struct words words;
    assert_int_equal(read_line(&words, "a --ttl 2s --node=h:1 b -c3 -n h:2 --seq", false), OK);
    assert_int_equal(words.argument_count, 2);
    assert_string_equal(words.arguments[0], "a");
    assert_string_equal(words.arguments[1], "b");
    assert_null(words.arguments[2]);
    assert_int_equal(words_number(&words, "--ttl", 0), 2000);
    assert_int_equal(words_number(&words, "--count", 0), 3);
    assert_string_equal(words_text(&words, "--node"), "h:2"); /* the last one counts */
    assert_true(words_has(&words, "--seq"));
    words_done(&words);
}

static void two_dashes_end_the_options_and_one_is_a_word(void **state)
{
    (void)state;
    struct words words;
    assert_int_equal(read_line(&words, "- -- --ttl -x --", false), OK);
    assert_int_equal(words.argument_count, 4);
    assert_string_equal(words.arguments[0], "-");
    assert_string_equal(words.arguments[1], "--ttl");
    assert_string_equal(words.arguments[3], "--");
    assert_int_equal(words.option_count, 0);
    words_done(&words);
}

static void reading_stops_in_front_of_the_verb(void **state)
{
    (void)state;
    struct words words;
    assert_int_equal(read_line(&words, "--node h:1 get --seq", true), OK);
    assert_int_equal(words.used, 2);
    assert_int_equal(words.argument_count, 0);
    words_done(&words);
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    static const char *const lines[][2] = {
        {"--nothing", "--nothing: unknown option; --help lists them"},
        {"-x", "-x: unknown option; --help lists them"},
        {"--tt 1", "--tt: unknown option; --help lists them"},
        {"--ttl", "--ttl: a value must follow"},
        {"--ttl soon", "--ttl: expected a time like 250ms or 2s, not 'soon'"},
        {"--ttl=-1", "--ttl: expected a time like 250ms or 2s, not '-1'"},
        {"--count 1.5", "--count: expected a whole number, not '1.5'"},
        {"--count 9223372036854775808",
         "--count: expected a whole number, not '9223372036854775808'"},
        {"--seq=yes", "--seq: takes no value, not 'yes'"},
        {"-sc", "-sc: unknown option; --help lists them"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct words words;
        assert_int_equal(read_line(&words, lines[i][0], false), INVALID);
        assert_string_equal(words.error, lines[i][1]);
        words_done(&words);
    }
}

static void times_have_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } times[] = {{"0", 0},       {"17", 17},      {"250ms", 250},   {"2s", 2000},
                 {"5m", 300000}, {"1h", 3600000}, {"7d", 604800000}};
    static const char *const wrong[] = {"",   "s", "1w", "1 s", "-1s", "1.5s", "99999999999999999d",
                                        "1ss"};
    int64_t ms = 0;
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        assert_int_equal(words_time_ms(times[i].text, &ms), OK);
        assert_int_equal(ms, times[i].ms);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(words_time_ms(wrong[i], &ms), INVALID);
    }
}

/* --- the table of verbs -------------------------------------------------------------------------------------------- */

static void each_verb_is_found_and_explained(void **state)
{
    (void)state;
    const struct verb *verb;
    for (size_t i = 0; (verb = verb_at(i)) != NULL; i++) {
        assert_ptr_equal(verb_find(verb->name), verb); /* so no two have one name */
        assert_non_null(verb->run);
        assert_true(verb->least <= verb->most);
        assert_true((verb->kind == ARGUMENT_CHOICE) == (verb->choices != NULL));
        assert_true((verb->kind == ARGUMENT_NONE) == (verb->most == 0));
    }
    assert_null(verb_find("cool"));
}

/* An option of a verb hides the global one of its name, so there is none. */
static void options_of_verbs_are_no_global_ones(void **state)
{
    (void)state;
    const struct verb *verb;
    for (size_t i = 0; (verb = verb_at(i)) != NULL; i++) {
        for (const struct option_spec *one = verb->options; one != NULL && one->name != NULL;
             one++) {
            assert_true((one->kind == OPTION_FLAG) == (one->value == NULL));
            assert_non_null(one->summary);
            for (const struct option_spec *other = global_options; other->name != NULL; other++) {
                assert_string_not_equal(one->name, other->name);
                assert_true(one->letter == '\0' || one->letter != other->letter);
            }
        }
    }
}

static void the_help_names_every_verb_and_option(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    const struct verb *verb;
    FILE *out = open_memstream(&text, &size);
    help_print(out);
    for (size_t i = 0; (verb = verb_at(i)) != NULL; i++) {
        help_print_verb(out, verb);
    }
    (void)fclose(out);
    for (size_t i = 0; (verb = verb_at(i)) != NULL; i++) {
        if (verb->summary != NULL) {
            assert_non_null(strstr(text, verb->summary));
        }
        for (const struct option_spec *one = verb->options; one != NULL && one->name != NULL;
             one++) {
            assert_non_null(strstr(text, one->name));
            assert_non_null(strstr(text, one->summary));
        }
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_may_stand_anywhere_and_in_both_forms),
        cmocka_unit_test(two_dashes_end_the_options_and_one_is_a_word),
        cmocka_unit_test(reading_stops_in_front_of_the_verb),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(times_have_units),
        cmocka_unit_test(each_verb_is_found_and_explained),
        cmocka_unit_test(options_of_verbs_are_no_global_ones),
        cmocka_unit_test(the_help_names_every_verb_and_option),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
