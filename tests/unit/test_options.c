/* SPDX-License-Identifier: BSD-3-Clause */
/* Settings: where they come from, how they are shown, and which may change. */
#include "tests/unit/options_help.h"

static void without_any_source_the_defaults_stand(void **state)
{
    (void)state;
    struct sources sources;
    sources_open(&sources, NULL);
    assert_int_equal(sources_load(&sources), OPTIONS_RUN);
    assert_string_equal(sources.options.listen, "127.0.0.1:7379");
    assert_int_equal(sources.options.l2_timeout, 2000);
    assert_int_equal(sources.options.maxclients, 10000);
    assert_true(sources.options.protected_mode);
    struct namespace_spec specs[NAMESPACES_MAX];
    assert_int_equal(options_specs(&sources.options, specs), 1);
    assert_int_equal(specs[0].settings.mode.bound_ms, 1000);
    assert_int_equal(specs[0].settings.memory, options_memory(&sources.options));
    assert_null(sources.options.file);
    sources_done(&sources);
}

static void a_flag_beats_the_environment_which_beats_the_file(void **state)
{
    (void)state;
    struct sources sources;
    sources_open(&sources, "maxclients = 1\ntcp-backlog = 2\nthreads = 3\n");
    sources_set_variable(&sources, 0, "TERRACE_MAXCLIENTS=10");
    sources_set_variable(&sources, 1, "TERRACE_TCP_BACKLOG=20");
    sources_set_variable(&sources, 2, "PATH=/bin");
    sources_add(&sources, "--maxclients=100");
    assert_int_equal(sources_load(&sources), OPTIONS_RUN);
    assert_int_equal(sources.options.maxclients, 100);
    assert_int_equal(sources.options.tcp_backlog, 20);
    assert_int_equal(sources.options.threads, 3);
    assert_string_equal(sources.options.file, sources.path);
    sources_done(&sources);
}

static void a_flag_takes_its_value_after_equals_or_as_the_next_argument(void **state)
{
    (void)state;
    struct sources sources;
    sources_open(&sources, NULL);
    sources_add(&sources, "--requirepass");
    sources_add(&sources, "--help"); /* a value, whatever it looks like */
    sources_add(&sources, "--l2=redis://h:1?priority=2");
    assert_int_equal(sources_load(&sources), OPTIONS_RUN);
    assert_string_equal(sources.options.requirepass, "--help");
    assert_string_equal(sources.options.l2, "redis://h:1?priority=2");
    sources_done(&sources);
}

static void wrong_flags_are_refused_by_name(void **state)
{
    (void)state;
    check_flag_error("--thraeds", "4",
                     "flag --thraeds: unknown option (did you mean '--threads'?)");
    check_flag_error("--zzzzzz=4", NULL, "flag --zzzzzz: unknown option");
    check_flag_error("-x", NULL, "flag -x: unknown option");
    check_flag_error("--threads", NULL, "flag --threads: expected a value after it");
    check_flag_error("--threads", "many",
                     "flag --threads: argument couldn't be parsed into an integer");
    check_flag_error("a.conf", "b.conf",
                     "argument 'b.conf': expected one file only, and got 'a.conf' before");
    check_flag_error("/nosuch/terrace.conf", NULL,
                     "/nosuch/terrace.conf: No such file or directory");
}

static void an_unknown_variable_of_ours_is_an_error(void **state)
{
    (void)state;
    struct sources sources;
    sources_open(&sources, NULL);
    sources_set_variable(&sources, 0, "TERRACE_NOSUCH=1");
    assert_int_equal(sources_load(&sources), OPTIONS_WRONG);
    assert_string_equal(sources.error, "environment TERRACE_NOSUCH: unknown option");
    sources_set_variable(&sources, 0, "TERRACE_TCP_BAKLOG=1");
    assert_int_equal(sources_load(&sources), OPTIONS_WRONG);
    assert_string_equal(
        sources.error,
        "environment TERRACE_TCP_BAKLOG: unknown option (did you mean 'TERRACE_TCP_BACKLOG'?)");
    sources_set_variable(&sources, 0, "TERRACE_THREADS=129");
    assert_int_equal(sources_load(&sources), OPTIONS_WRONG);
    assert_string_equal(
        sources.error, "environment TERRACE_THREADS: argument must be between 0 and 128 inclusive");
    sources_done(&sources);
}

static void a_file_may_have_comments_a_section_indentation_and_crlf(void **state)
{
    (void)state;
    struct sources sources;
    sources_open(&sources, "\xef\xbb\xbfthreads = 2 ; two\r\n"
                           "# a comment\n"
                           "\n"
                           "[terrace] ; ours\n"
                           "   Maxclients = 7\n"
                           "\tpolicy = LFU\n"
                           "log-format: json");
    assert_int_equal(sources_load(&sources), OPTIONS_RUN);
    assert_int_equal(sources.options.threads, 2);
    assert_int_equal(sources.options.maxclients, 7);
    assert_string_equal(sources.options.policy, "lfu");
    assert_string_equal(sources.options.logformat, "json");
    sources_done(&sources);
}

static void errors_of_a_file_name_the_line(void **state)
{
    (void)state;
    check_file_error("threads = 1\n\nthraeds = 2\n",
                     ":3: unknown option 'thraeds' (did you mean 'threads'?)");
    check_file_error("memory = lots\n", ":1: option 'memory': argument must be a memory value");
    check_file_error("threads = 1\nno equals sign\nnosuch = 1\n", ":2: expected 'name = value'");
    check_file_error("nosuch = 1\nno equals sign\n", ":1: unknown option 'nosuch'");
    check_file_error("listen 127.0.0.1:1\n", ":1: expected 'name = value': no '=' behind 'listen'");
    check_file_error("[namespace a]\nprefix a:\n",
                     ":2: expected 'name = value': no '=' behind 'prefix'");
    check_file_error("[other]\n",
                     ":1: unknown section [other]: expected [namespace NAME] or [terrace]");
    check_file_error("[terrace\n", ":1: expected ']' at the end of the section's name");
}

static void a_value_in_quotes_is_what_stands_between_them(void **state)
{
    (void)state;
    struct sources sources;
    sources_open(&sources, "threads = \"2\"\n"
                           "policy = 'lfu' ; a comment\n"
                           "unixsocket = \"/a b\"\n"
                           "requirepass = \"say \\\"\\x41\\\\\"\n"
                           "[namespace a]\nprefix = \"a:\"\n"
                           "[namespace b]\nprefix = b:\"c\"\n");
    assert_int_equal(sources_load(&sources), OPTIONS_RUN);
    assert_int_equal(sources.options.threads, 2);
    assert_string_equal(sources.options.policy, "lfu");
    assert_string_equal(sources.options.unixsocket, "/a b");
    assert_string_equal(sources.options.requirepass, "say \"A\\");
    assert_string_equal(sources.options.namespaces[0].prefix, "a:");
    assert_string_equal(sources.options.namespaces[1].prefix, "b:\"c\""); /* begins with none */
    sources_done(&sources);
    static const char *const bad[] = {"\"a", "'a\"", "\"a\"b", "\"a\" \"b\"", "\"a\" b", "\""};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "[namespace a]\nprefix = %s\n", bad[i]);
        check_file_error(text, ":2: option 'prefix': argument begins with a quote: expected the "
                               "same one at its end, and \\ before any between");
    }
    check_file_error("unixsocket = \" /a\"\n",
                     ":1: option 'unixsocket': argument must not begin or end with a space");
}

static void a_long_line_is_an_error_and_not_cut(void **state)
{
    (void)state;
    char text[300];
    memset(text, 'x', sizeof(text));
    static const char head[] = "threads = 1\nrequirepass = ";
    memcpy(text, head, sizeof(head) - 1);
    text[sizeof(text) - 1] = '\0';
    check_file_error(text, ":2: line is too long: expected at most 198 bytes");
    char comment[600];
    memset(comment, '#', sizeof(comment));
    comment[sizeof(comment) - 1] = '\0';
    struct options options = {.file = NULL};
    char error[OPTIONS_ERROR_MAX];
    assert_int_equal(options_read_text(&options, "f", slice_of(comment), error), OK);
}

static void a_line_of_the_longest_size_arrives_whole(void **state)
{
    (void)state;
    char text[199];
    memset(text, 'x', sizeof(text));
    static const char head[] = "requirepass = ";
    memcpy(text, head, sizeof(head) - 1);
    text[sizeof(text) - 1] = '\0';
    struct sources sources;
    sources_open(&sources, text);
    assert_int_equal(sources_load(&sources), OPTIONS_RUN);
    assert_int_equal(strlen(sources.options.requirepass), 198 - (sizeof(head) - 1));
    sources_done(&sources);
}

static void a_nul_byte_in_a_file_is_an_error(void **state)
{
    (void)state;
    struct options options;
    char error[OPTIONS_ERROR_MAX];
    assert_int_equal(options_read_text(&options, "f", SLICE_LITERAL("# x\nthreads\0 = 1\n"), error),
                     INVALID);
    assert_string_equal(error, "f:2: line holds a NUL byte: expected text");
}

static char *print_to_text(const struct options *options)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    assert_non_null(stream);
    options_print(options, stream);
    assert_int_equal(fclose(stream), 0);
    return text;
}

static void printed_options_load_again_and_are_the_same(void **state)
{
    (void)state;
    struct sources sources;
    sources_open(&sources, "timeout = 1500ms\nmemory = 10mb\npolicy = ttl\nlisten = 127.0.0.1:1\n");
    sources_add(&sources, "--unixsocket");
    sources_add(&sources, "\"a\\b'c");
    assert_int_equal(sources_load(&sources), OPTIONS_RUN);
    char *first = print_to_text(&sources.options);
    sources_done(&sources);
    sources_open(&sources, first);
    assert_int_equal(sources_load(&sources), OPTIONS_RUN);
    char *second = print_to_text(&sources.options);
    assert_string_equal(first, second);
    assert_non_null(strstr(first, "timeout = 1500ms\n"));
    assert_string_equal(sources.options.unixsocket, "\"a\\b'c");
    free(first);
    free(second);
    sources_done(&sources);
}

static void printed_options_hide_passwords(void **state)
{
    (void)state;
    struct sources sources;
    sources_open(&sources, "requirepass = hunter2\nl2 = redis://me:hunter3@four@h:6379\n");
    assert_int_equal(sources_load(&sources), OPTIONS_RUN);
    char *text = print_to_text(&sources.options);
    assert_null(strstr(text, "hunter"));
    assert_null(strstr(text, "four"));
    assert_non_null(strstr(text, "requirepass = ********\n"));
    assert_non_null(strstr(text, "l2 = redis://me:********@h:6379\n"));
    free(text);
    check_get(&sources.options, "requirepass", "hunter2"); /* as Redis answers */
    check_get(&sources.options, "l2", "redis://me:********@h:6379");
    sources_done(&sources);
}

static enum status set(struct options *options, const char *name, const char *value,
                       char error[OPTIONS_ERROR_MAX])
{
    return options_set(options, slice_of(name), slice_of(value), true, error);
}

static void live_options_change_while_running_and_others_do_not(void **state)
{
    (void)state;
    struct sources sources;
    sources_open(&sources, NULL);
    assert_int_equal(sources_load(&sources), OPTIONS_RUN);
    assert_int_equal(set(&sources.options, "MaxClients", "5", sources.error), OK);
    assert_int_equal(sources.options.maxclients, 5);
    assert_int_equal(set(&sources.options, "threads", "5", sources.error), INVALID);
    assert_string_equal(sources.error, "can't set immutable config");
    assert_int_equal(set(&sources.options, "nosuch", "5", sources.error), INVALID);
    assert_string_equal(sources.error, "unknown option");
    assert_int_equal(set(&sources.options, "maxclients", "0", sources.error), INVALID);
    assert_string_equal(sources.error, "argument must be between 1 and 1000000 inclusive");
    assert_int_equal(sources.options.maxclients, 5);
    struct buf text = {.data = NULL};
    assert_int_equal(options_get(&sources.options, "nosuch", &text), MISS);
    sources_done(&sources);
}

static void a_copy_lives_on_its_own(void **state)
{
    (void)state;
    struct sources sources;
    sources_open(&sources, "requirepass = one\n");
    assert_int_equal(sources_load(&sources), OPTIONS_RUN);
    struct options copy;
    assert_int_equal(options_copy(&sources.options, &copy), OK);
    assert_int_equal(set(&copy, "requirepass", "two", sources.error), OK);
    assert_string_equal(sources.options.requirepass, "one");
    assert_string_equal(copy.file, sources.path);
    sources_done(&sources);
    assert_string_equal(copy.requirepass, "two");
    options_done(&copy);
}

static void rewrite_file(const struct sources *sources, const char *text)
{
    FILE *stream = fopen(sources->path, "w");
    assert_non_null(stream);
    assert_true(fputs(text, stream) >= 0);
    assert_int_equal(fclose(stream), 0);
}

static void a_reload_takes_the_good_file_and_refuses_the_bad_one(void **state)
{
    (void)state;
    struct sources sources;
    sources_open(&sources, "maxclients = 1\nthreads = 1\n");
    assert_int_equal(sources_load(&sources), OPTIONS_RUN);
    struct options next = {.maxclients = 77};

    rewrite_file(&sources, "maxclients = none\n");
    assert_int_equal(options_reload(&sources.options, sources.argc, sources.argv,
                                    sources.environment, &next, sources.error),
                     INVALID);
    assert_int_equal(next.maxclients, 77);

    rewrite_file(&sources, "maxclients = 2\nthreads = 2\n");
    assert_int_equal(options_reload(&sources.options, sources.argc, sources.argv,
                                    sources.environment, &next, sources.error),
                     INVALID);
    assert_string_equal(sources.error + strlen(sources.path),
                        ":2: option 'threads' cannot change while the node runs");
    assert_int_equal(next.maxclients, 77);

    rewrite_file(&sources, "maxclients = 2\n");
    assert_int_equal(options_reload(&sources.options, sources.argc, sources.argv,
                                    sources.environment, &next, sources.error),
                     INVALID);
    assert_string_equal(sources.error,
                        "default of 'threads': option 'threads' cannot change while the node runs");

    rewrite_file(&sources, "maxclients = 2\nthreads = 1\n");
    assert_int_equal(options_reload(&sources.options, sources.argc, sources.argv,
                                    sources.environment, &next, sources.error),
                     OK);
    assert_int_equal(next.maxclients, 2);
    options_done(&next);
    sources_done(&sources);
}

static void every_name_is_listed_in_help_and_can_be_read(void **state)
{
    (void)state;
    struct sources sources;
    sources_open(&sources, NULL);
    assert_int_equal(sources_load(&sources), OPTIONS_RUN);
    char *help = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&help, &size);
    options_help(stream);
    assert_int_equal(fclose(stream), 0);
    unsigned live = 0;
    unsigned count = 0;
    for (const char *name; (name = options_name(count)) != NULL; count++) {
        char flag[64];
        (void)snprintf(flag, sizeof(flag), "  --%s ", name);
        assert_non_null(strstr(help, flag));
        struct buf text = {.data = NULL};
        assert_int_equal(options_get(&sources.options, name, &text), OK);
        buf_done(&text);
        live += options_is_live(count);
    }
    assert_true(count > 20);
    assert_true(live > 0 && live < count);
    assert_false(options_is_live(count));
    free(help);
    sources_done(&sources);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_any_source_the_defaults_stand),
        cmocka_unit_test(a_flag_beats_the_environment_which_beats_the_file),
        cmocka_unit_test(a_flag_takes_its_value_after_equals_or_as_the_next_argument),
        cmocka_unit_test(wrong_flags_are_refused_by_name),
        cmocka_unit_test(an_unknown_variable_of_ours_is_an_error),
        cmocka_unit_test(a_file_may_have_comments_a_section_indentation_and_crlf),
        cmocka_unit_test(a_value_in_quotes_is_what_stands_between_them),
        cmocka_unit_test(errors_of_a_file_name_the_line),
        cmocka_unit_test(a_long_line_is_an_error_and_not_cut),
        cmocka_unit_test(a_line_of_the_longest_size_arrives_whole),
        cmocka_unit_test(a_nul_byte_in_a_file_is_an_error),
        cmocka_unit_test(printed_options_load_again_and_are_the_same),
        cmocka_unit_test(printed_options_hide_passwords),
        cmocka_unit_test(live_options_change_while_running_and_others_do_not),
        cmocka_unit_test(a_copy_lives_on_its_own),
        cmocka_unit_test(a_reload_takes_the_good_file_and_refuses_the_bad_one),
        cmocka_unit_test(every_name_is_listed_in_help_and_can_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
