/* SPDX-License-Identifier: BSD-3-Clause */
/* Settings: where they come from, what they may be, and what is said when they are wrong. */
#include "server/option_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    ARGS_MAX = 8,
    WORD_MAX = 128
};

/* A node's sources: arguments, environment, and a file of its own if `text` is not NULL. */
struct sources {
    char path[64];
    char words[ARGS_MAX][WORD_MAX];
    char *argv[ARGS_MAX];
    int argc;
    char variables[ARGS_MAX][WORD_MAX];
    char *environment[ARGS_MAX];
    struct options options;
    char error[OPTIONS_ERROR_MAX];
};

static void sources_add(struct sources *sources, const char *arg)
{
    const int i = sources->argc++;
    assert_true(i + 1 < ARGS_MAX && strlen(arg) < WORD_MAX);
    sources->argv[i] = memcpy(sources->words[i], arg, strlen(arg) + 1);
}

static void sources_set_variable(struct sources *sources, unsigned i, const char *entry)
{
    assert_true(strlen(entry) < WORD_MAX);
    sources->environment[i] = memcpy(sources->variables[i], entry, strlen(entry) + 1);
}

static void sources_open(struct sources *sources, const char *text)
{
    *sources = (struct sources){.path = "/tmp/terrace-options-XXXXXX"};
    sources_add(sources, "terraced");
    if (text != NULL) {
        const int fd = mkstemp(sources->path);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        assert_int_equal(close(fd), 0);
        sources_add(sources, sources->path);
    }
}

static enum options_verdict sources_load(struct sources *sources)
{
    return options_load(&sources->options, sources->argc, sources->argv, sources->environment,
                        sources->error);
}

static void sources_done(struct sources *sources)
{
    options_done(&sources->options);
    (void)unlink(sources->path);
}

/* Loads `text` as a file and expects `error` after the file's name. */
static void check_file_error(const char *text, const char *error)
{
    struct sources sources;
    sources_open(&sources, text);
    assert_int_equal(sources_load(&sources), OPTIONS_WRONG);
    const size_t path_size = strlen(sources.path);
    assert_memory_equal(sources.error, sources.path, path_size);
    assert_string_equal(sources.error + path_size, error);
    sources_done(&sources);
}

static void check_flag_error(const char *flag, const char *value, const char *error)
{
    struct sources sources;
    sources_open(&sources, NULL);
    sources_add(&sources, flag);
    if (value != NULL) {
        sources_add(&sources, value);
    }
    assert_int_equal(sources_load(&sources), OPTIONS_WRONG);
    assert_string_equal(sources.error, error);
    sources_done(&sources);
}

static void check_get(const struct options *options, const char *name, const char *value)
{
    struct buf text = {.data = NULL};
    assert_int_equal(options_get(options, name, &text), OK);
    assert_int_equal(text.size, strlen(value));
    assert_memory_equal(text.size > 0 ? text.data : "", value, text.size);
    buf_done(&text);
}

/* Sets one option by flag and looks at what CONFIG GET would show. */
static void check_value(const char *flag, const char *value, const char *name, const char *shown)
{
    struct sources sources;
    sources_open(&sources, NULL);
    sources_add(&sources, flag);
    sources_add(&sources, value);
    const enum options_verdict verdict = sources_load(&sources);
    if (verdict != OPTIONS_RUN) {
        print_error("%s\n", sources.error);
    }
    assert_int_equal(verdict, OPTIONS_RUN);
    check_get(&sources.options, name, shown);
    sources_done(&sources);
}

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

static void sections_are_namespaces(void **state)
{
    (void)state;
    struct sources sources;
    sources_open(&sources, "memory = 100mb\n"
                           "mode = bounded 3s\n"
                           "l2 = redis://127.0.0.1:1\n"
                           "[namespace response] ; the first\n"
                           "prefix = resp:\n"
                           "mode = bounded 200ms\n"
                           "memory = 30mb\n"
                           "policy = LFU\n"
                           "ttl = 30m\n"
                           "[terrace]\n"
                           "threads = 2\n"
                           "[namespace other]\n"
                           "prefix = o\n"
                           "writers = any\n"
                           "memory = 10mb\n");
    assert_int_equal(sources_load(&sources), OPTIONS_RUN);
    assert_int_equal(sources.options.threads, 2);
    struct options copy;
    assert_int_equal(options_copy(&sources.options, &copy), OK);
    sources_done(&sources);
    struct namespace_spec specs[NAMESPACES_MAX];
    assert_int_equal(options_specs(&copy, specs), 3);
    assert_true(slice_is(specs[0].name, "default"));
    assert_int_equal(specs[0].settings.memory, 60 << 20);
    assert_int_equal(specs[0].settings.mode.bound_ms, 3000);
    assert_true(slice_is(specs[1].name, "response"));
    assert_true(slice_is(specs[1].prefix, "resp:"));
    assert_int_equal(specs[1].settings.mode.kind, NAMESPACE_BOUNDED);
    assert_int_equal(specs[1].settings.mode.bound_ms, 200);
    assert_int_equal(specs[1].settings.ttl_ms, 30 * 60 * 1000);
    assert_ptr_equal(specs[1].settings.policy, &policy_lfu);
    assert_int_equal(specs[2].settings.memory, 10 << 20);
    assert_int_equal(specs[2].settings.ttl_ms, 0);
    options_done(&copy);
}

static void rules_of_managed_namespaces_are_read(void **state)
{
    (void)state;
    struct sources sources;
    sources_open(&sources, "l2 = redis://127.0.0.1:1\n"
                           "[namespace response]\n"
                           "prefix = resp:\n"
                           "format = managed\n"
                           "ttl = 30m\n"
                           "max-ttl = 1h\n"
                           "swr = 30s\n"
                           "sie = 1h\n"
                           "eager = 80%\n"
                           "xfetch = 1.25\n"
                           "write = around\n"
                           "[namespace plain]\n"
                           "prefix = p:\n"
                           "ttl = 3s\n");
    assert_int_equal(sources_load(&sources), OPTIONS_RUN);
    struct options copy;
    assert_int_equal(options_copy(&sources.options, &copy), OK);
    sources_done(&sources);
    struct namespace_spec specs[NAMESPACES_MAX];
    assert_int_equal(options_specs(&copy, specs), 3);
    assert_true(specs[1].managed && specs[1].settings.told);
    assert_int_equal(specs[1].settings.ttl_ms, 0); /* L1 keeps it as long as its writer said */
    const struct ns_rules *rules = &specs[1].settings.rules;
    assert_int_equal(rules->ttl_ms, 30 * 60 * 1000);
    assert_int_equal(rules->max_ttl_ms, 60 * 60 * 1000);
    assert_int_equal(rules->jitter_percent, 10);
    assert_int_equal(rules->swr_ms, 30 * 1000);
    assert_int_equal(rules->sie_ms, 60 * 60 * 1000);
    assert_int_equal(rules->eager_percent, 80);
    assert_int_equal(rules->xfetch_milli, 1250);
    assert_int_equal(rules->negative_ttl_ms, 5000);
    assert_int_equal(rules->soft_timeout_ms, 50);
    assert_int_equal(rules->hard_timeout_ms, 2000);
    assert_int_equal(rules->load_timeout_ms, 30 * 1000);
    assert_int_equal(rules->compress_min, 64);
    assert_int_equal(rules->write, NAMESPACE_AROUND);
    assert_false(specs[2].managed || specs[2].settings.told || specs[0].managed);
    assert_int_equal(specs[2].settings.ttl_ms, 3000);
    options_done(&copy);
}

static void namespaces_without_memory_share_what_is_left(void **state)
{
    (void)state;
    struct sources sources;
    sources_open(&sources, "memory = 64mb\n[namespace a]\nprefix = a\n");
    assert_int_equal(sources_load(&sources), OPTIONS_RUN);
    struct namespace_spec specs[NAMESPACES_MAX];
    assert_int_equal(options_specs(&sources.options, specs), 2);
    assert_int_equal(specs[0].settings.memory, 32 << 20);
    assert_int_equal(specs[1].settings.memory, 32 << 20);
    sources_done(&sources);
    sources_open(&sources, "memory = 100000000\n[namespace a]\nprefix = a\n"
                           "[namespace b]\nprefix = b\nmemory = 50000000\n"
                           "[namespace c]\nprefix = c\nmemory = 0\n");
    assert_int_equal(sources_load(&sources), OPTIONS_RUN);
    assert_int_equal(options_specs(&sources.options, specs), 4);
    assert_int_equal(specs[0].settings.memory, 16666668);
    assert_int_equal(specs[1].settings.memory, 16666666);
    assert_int_equal(specs[2].settings.memory, 50000000);
    assert_int_equal(specs[3].settings.memory, 16666666);
    sources_done(&sources);
}

static void errors_of_namespaces_name_the_line(void **state)
{
    (void)state;
    check_file_error("[namespace a b]\n",
                     ":1: expected [namespace NAME], NAME of at most 64 letters, digits, - _ .");
    check_file_error("[namespace default]\n",
                     ":1: the settings of namespace 'default' are those outside of sections");
    check_file_error("[namespace a]\nprefix = a\n[namespace a]\n",
                     ":3: namespace 'a' is there already, in line 1");
    check_file_error("[namespace a]\nmemory = 2mb\n", ":1: namespace 'a': expected a prefix");
    check_file_error("[namespace a]\nprefix = x\n[namespace b]\nprefix = x\n",
                     ":3: namespace 'b': namespace 'a' has the same prefix");
    check_file_error("[namespace a]\nwrite = beside\n",
                     ":2: option 'write': argument must be 'through', 'around' or 'behind'");
    check_file_error("[namespace a]\nprefix = x\nwrite = behind\n",
                     ":3: namespace 'a': write 'behind' needs format 'managed'");
    check_file_error("[namespace a]\njitter = 10\neager = 100%\n",
                     ":3: option 'eager': argument must be between 0% and 99% inclusive");
    check_file_error("[namespace a]\njitter = -1%\n",
                     ":2: option 'jitter': argument must be a share such as 80%");
    check_file_error("[namespace a]\nxfetch = 1.2345\n",
                     ":2: option 'xfetch': argument must be a factor from 0 (off) to 100, such as "
                     "1 or 0.5");
    check_file_error("[namespace a]\nprefix = a\nformat = managed\n",
                     ":3: namespace 'a': format 'managed' needs l2: alone, nobody numbers its "
                     "writes");
    check_file_error("[namespace a]\nthreads = 3\n", ":2: unknown option 'threads' of a namespace");
    check_file_error("[namespace a]\nprefx = x\n",
                     ":2: unknown option 'prefx' of a namespace (did you mean 'prefix'?)");
    check_file_error(
        "[namespace a]\nmode = bounded 5ms\n",
        ":2: option 'mode': argument must be 'strict [T]', 'bounded [T]', 'available "
        "G [T]' or 'ttl', with T between 10ms and 60s and G from T (1s unless given) to 24h");
    check_file_error("[namespace a]\nwriters = some\n",
                     ":2: option 'writers': argument(s) must be one of the following: any, nodes");
    check_file_error("[namespace a]\nmemory = 1000\n",
                     ":2: option 'memory': argument must be 0 or at least 1mb; a number without a "
                     "unit counts bytes");
    check_file_error(
        "[namespace a]\npolicy = fifo\n",
        ":2: option 'policy': argument(s) must be one of the following: density, s3fifo, lru, lfu, "
        "ttl, ttl-strict, random, noeviction, volatile-lru, volatile-lfu, volatile-random");
}

static void what_does_not_go_together_names_the_line(void **state)
{
    (void)state;
    check_file_error(
        "memory = 8mb\n[namespace a]\nprefix = a\nmemory = 4mb\n"
        "[namespace b]\nprefix = b\nmemory = 3500kb\n",
        ":7: the namespaces' memory (7778304 bytes together, at least 1mb each) must "
        "leave at least 1mb of the node's (8388608 bytes) to the keys of no namespace");
    check_file_error(
        "memory = 8mb\n[namespace a]\nprefix = a\nmemory = 6mb\n"
        "[namespace b]\nprefix = b\n[namespace c]\nprefix = c\n",
        ":7: the namespaces' memory (8388608 bytes together, at least 1mb each) must "
        "leave at least 1mb of the node's (8388608 bytes) to the keys of no namespace");
    check_file_error("memory = 8mb\n[namespace a]\nprefix = a\nmemory = 4mb\nttl = 5s\n",
                     ":5: namespace 'a': ttl needs l2: alone, a value lives as long as its writer "
                     "said");
    check_file_error("l2 = redis://h:1\n[namespace a]\nprefix = a\nmode = ttl\n",
                     ":4: namespace 'a': mode 'ttl' needs a ttl above 0");
    check_file_error("l2 = redis://h:1\nmode = ttl\n", ":2: mode 'ttl' needs a ttl above 0");
    check_file_error("ttl = 5s\n",
                     ":1: ttl needs l2: alone, a value lives as long as its writer said");
    check_file_error("threads = 1\n[terrace]\nlisten = *:1\n",
                     ":3: listen goes beyond loopback without a password: set requirepass, or "
                     "protected-mode = no");
}

static void what_does_not_go_together_names_flag_variable_or_default(void **state)
{
    (void)state;
    check_flag_error("--ttl", "5s",
                     "flag --ttl: ttl needs l2: alone, a value lives as long as its writer said");
    struct sources sources;
    sources_open(&sources, "ttl = 7s\n");
    sources_set_variable(&sources, 0, "TERRACE_TTL=6s");
    assert_int_equal(sources_load(&sources), OPTIONS_WRONG);
    assert_string_equal(sources.error, "environment TERRACE_TTL: ttl needs l2: alone, a value "
                                       "lives as long as its writer said");
    sources_done(&sources);
}

static void an_option_twice_in_a_section_is_an_error(void **state)
{
    (void)state;
    check_file_error("[namespace a]\nprefix = x\nmode = strict\nPrefix = y\n",
                     ":4: option 'prefix' is there already, in line 2");
    check_file_error("[namespace a]\nmemory = 2mb\nmemory = 2mb\n",
                     ":3: option 'memory' is there already, in line 2");
    check_file_error("threads = 1\n[namespace a]\nprefix = x\n[terrace]\nthreads = 1\n",
                     ":5: option 'threads' is there already, in line 1");
    struct sources sources; /* each section has its own, and a stronger source is no second time */
    sources_open(&sources, "memory = 100mb\n[namespace a]\nprefix = x\nmemory = 2mb\n"
                           "[namespace b]\nprefix = y\nmemory = 3mb\n");
    sources_add(&sources, "--memory=50mb");
    sources_set_variable(&sources, 0, "TERRACE_MEMORY=60mb");
    assert_int_equal(sources_load(&sources), OPTIONS_RUN);
    assert_int_equal(sources.options.memory, 50 << 20);
    sources_done(&sources);
}

static void mode_ttl_with_an_end_is_good(void **state)
{
    (void)state;
    struct sources sources;
    struct namespace_spec specs[NAMESPACES_MAX];
    sources_open(&sources, "l2 = redis://h:1\nmode = ttl\nttl = 5s\n");
    assert_int_equal(sources_load(&sources), OPTIONS_RUN);
    assert_int_equal(options_specs(&sources.options, specs), 1);
    assert_int_equal(specs[0].settings.mode.kind, NAMESPACE_TTL);
    assert_int_equal(specs[0].settings.ttl_ms, 5000);
    sources_done(&sources);
}

static void modes_are_read_with_their_times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        struct namespace_mode mode;
    } good[] = {
        {"bounded", {NAMESPACE_BOUNDED, 1000, 0}},
        {"bounded 5s", {NAMESPACE_BOUNDED, 5000, 0}},
        {"strict", {NAMESPACE_STRICT, 200, 0}},
        {"strict  50ms ", {NAMESPACE_STRICT, 50, 0}},
        {"available 1h", {NAMESPACE_AVAILABLE, 1000, 3600000}},
        {"available 10m 2s", {NAMESPACE_AVAILABLE, 2000, 600000}},
        {"ttl", {NAMESPACE_TTL, 1000, 0}},
    };
    static const char *const bad[] = {"",
                                      "bound",
                                      "bounded 9ms",
                                      "bounded 61s",
                                      "bounded x",
                                      "bounded 1s x",
                                      "available",
                                      "available 25h",
                                      "available 500ms",
                                      "available 1s 2s",
                                      "ttl 5s",
                                      "strict -1s",
                                      "Bounded 1s"};
    struct namespace_mode mode;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(mode_parse(slice_of(good[i].text), &mode), OK);
        assert_int_equal(mode.kind, good[i].mode.kind);
        assert_int_equal(mode.bound_ms, good[i].mode.bound_ms);
        assert_int_equal(mode.grace_ms, good[i].mode.grace_ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(mode_parse(slice_of(bad[i]), &mode), MALFORMED);
    }
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

static void bytes_have_the_units_of_redis(void **state)
{
    (void)state;
    check_value("--memory", "64mb", "memory", "67108864");
    check_value("--memory", "64M", "memory", "64000000");
    check_value("--memory", "1Gb", "memory", "1073741824");
    check_value("--memory", "3000k", "memory", "3000000");
    check_value("--memory", "3000kb", "memory", "3072000");
    check_value("--memory", "1700000b", "memory", "1700000");
    check_value("--memory", "1048576", "memory", "1048576");
    check_value("--memory", "0", "memory", "0");
    check_flag_error("--memory", "10kib", "flag --memory: argument must be a memory value");
    check_flag_error("--memory", "-1", "flag --memory: argument must be a memory value");
    check_flag_error("--memory", "1048575",
                     "flag --memory: argument must be 0 or at least 1mb; a number without a unit "
                     "counts bytes");
    check_file_error("memory = 100\n", ":1: option 'memory': argument must be 0 or at least 1mb; "
                                       "a number without a unit counts bytes");
    check_flag_error("--memory", "mb", "flag --memory: argument must be a memory value");
    check_flag_error("--memory", "9999999999gb", "flag --memory: argument must be a memory value");
}

static void times_have_units_and_bare_numbers_are_milliseconds(void **state)
{
    (void)state;
    check_value("--l2-timeout", "250", "l2-timeout", "250ms");
    check_value("--l2-timeout", "1500ms", "l2-timeout", "1500ms");
    check_value("--l2-timeout", "3s", "l2-timeout", "3s");
    check_value("--l2-timeout", "120s", "l2-timeout", "2m");
    check_value("--l2-relay-timeout", "2h", "l2-relay-timeout", "2h");
    check_flag_error("--l2-timeout", "2 weeks",
                     "flag --l2-timeout: argument must be a time such as 250ms, 2s, 5m or 2h");
    check_flag_error("--l2-timeout", "9ms",
                     "flag --l2-timeout: argument must be between 10ms and 10m inclusive");
    check_flag_error("--l2-timeout", "9999999999999999h",
                     "flag --l2-timeout: argument must be a time such as 250ms, 2s, 5m or 2h");
}

static void a_bare_number_of_timeout_is_seconds_as_in_redis(void **state)
{
    (void)state;
    check_value("--timeout", "30", "timeout", "30");
    check_value("--timeout", "5m", "timeout", "300");
    check_value("--timeout", "1500ms", "timeout", "1500ms");
    check_flag_error("--timeout", "-1",
                     "flag --timeout: argument must be between 0 and 2147483 inclusive");
    check_flag_error("--timeout", "soon",
                     "flag --timeout: argument couldn't be parsed into an integer");
    check_flag_error("--timeout", "9223372036854775807",
                     "flag --timeout: argument is out of range");
    struct sources sources;
    sources_open(&sources, "timeout = 30\n");
    assert_int_equal(sources_load(&sources), OPTIONS_RUN);
    assert_int_equal(sources.options.timeout, 30000);
    sources_done(&sources);
}

static void words_outside_their_list_are_told_the_list(void **state)
{
    (void)state;
    check_value("--loglevel", "WARNING", "loglevel", "warning");
    check_flag_error("--loglevel", "loud",
                     "flag --loglevel: argument(s) must be one of the following: debug, verbose, "
                     "notice, warning");
    check_flag_error(
        "--policy", "fifo",
        "flag --policy: argument(s) must be one of the following: density, s3fifo, lru, lfu, "
        "ttl, ttl-strict, random, noeviction, volatile-lru, volatile-lfu, volatile-random");
    check_flag_error("--protected-mode", "maybe",
                     "flag --protected-mode: argument must be 'yes' or 'no'");
}

static void a_mode_is_checked_where_it_is_given(void **state)
{
    (void)state;
    check_value("--mode", "bounded 10ms", "mode", "bounded 10ms");
    check_value("--mode", "bounded  60s", "mode", "bounded  60s");
    check_value("--mode", "strict", "mode", "strict");
    check_value("--mode", "available 5m", "mode", "available 5m");
    static const char expected[] =
        "flag --mode: argument must be 'strict [T]', 'bounded [T]', 'available G [T]' or 'ttl', "
        "with T between 10ms and 60s and G from T (1s unless given) to 24h";
    check_value("--mode", "bounded", "mode", "bounded");
    check_flag_error("--mode", "bounded 9ms", expected);
    check_flag_error("--mode", "bounded 61s", expected);
    check_flag_error("--mode", "boundless 1s", expected);
    check_flag_error("--mode", "", expected);
}

static void what_l2_cannot_be_yet_is_refused_by_name(void **state)
{
    (void)state;
    check_value("--l2", "unix:///a,b", "l2", "unix:///a,b");
    check_value("--l2", "", "l2", "");
    check_value("--l2", "rediss://:secret@h:1", "l2", "rediss://:********@h:1");
    check_value("--l2", "redis+sentinel://a,b/m", "l2", "redis+sentinel://a,b/m");
    check_value("--l2", "redis://:a,b@h:1,redis://i:2", "l2", "redis://:********@h:1,redis://i:2");
    check_flag_error("--l2", "redis+cluster://a",
                     "flag --l2: redis+cluster:// is not supported by this version");
    check_flag_error("--l2", "redis://h:1?a=b",
                     "flag --l2: the parameters are priority, independent");
    check_flag_error("--l2", "http://h",
                     "flag --l2: expected redis://[user[:pass]@]host[:port] (rediss:// by TLS), "
                     "unix:///path or redis+sentinel://host,host/name");
}

static void addresses_are_host_and_port(void **state)
{
    (void)state;
    check_value("--listen", "[::1]:7379, 127.0.0.1:0", "listen", "[::1]:7379, 127.0.0.1:0");
    static const char expected[] =
        "flag --listen: argument must be HOST:PORT, an IPv6 host in brackets";
    check_flag_error("--listen", "localhost", expected);
    check_flag_error("--listen", "::1:7379", expected);
    check_flag_error("--listen", ":7379", expected);
    check_flag_error("--listen", "h:65536", expected);
    check_flag_error("--listen", "127.0.0.1:1,h:x", expected);
    check_flag_error("--admin", "127.0.0.1:1 127.0.0.1:2",
                     "flag --admin: argument must be one HOST:PORT");
}

static void addresses_are_walked_one_by_one(void **state)
{
    (void)state;
    struct slice rest = SLICE_LITERAL(" a:1,,[b::c]:65535 ");
    struct option_address address;
    assert_int_equal(options_next_address(&rest, &address), OK);
    assert_true(slice_is(address.host, "a"));
    assert_int_equal(address.port, 1);
    assert_int_equal(options_next_address(&rest, &address), OK);
    assert_true(slice_is(address.host, "b::c"));
    assert_int_equal(address.port, 65535);
    assert_int_equal(options_next_address(&rest, &address), MISS);
    rest = SLICE_LITERAL("tls://[::1]:2 a:1");
    assert_int_equal(options_next_address(&rest, &address), OK);
    assert_true(address.tls);
    assert_true(slice_is(address.host, "::1"));
    assert_int_equal(options_next_address(&rest, &address), OK);
    assert_false(address.tls);
}

static void tls_needs_its_papers(void **state)
{
    (void)state;
    check_flag_error("--listen", "tls://127.0.0.1:1",
                     "flag --listen: tls:// needs a certificate: set tls-cert-file and "
                     "tls-key-file");
    check_flag_error("--listen", "tls://0.0.0.0:1",
                     "flag --listen: listen goes beyond loopback without a password: set "
                     "requirepass, or protected-mode = no");
    check_flag_error("--listen", "ssl://127.0.0.1:1",
                     "flag --listen: argument must be HOST:PORT, an IPv6 host in brackets");
    check_flag_error("--admin", "tls://127.0.0.1:1",
                     "flag --admin: argument must be one HOST:PORT");
    check_flag_error("--tls-key-file", "x",
                     "default of 'tls-cert-file': a certificate and its key go together: one of "
                     "the two files is not set");
    check_flag_error("--tls-protocols", "TLSv1.1",
                     "flag --tls-protocols: argument must be TLSv1.2, TLSv1.3 or both: older ones "
                     "are not spoken");
    check_flag_error("--tls-auth-clients", "maybe",
                     "flag --tls-auth-clients: argument(s) must be one of the following: no, yes, "
                     "optional");
    check_value("--tls-auth-clients", "OPTIONAL", "tls-auth-clients", "optional");
}

static void listening_beyond_loopback_without_a_password_is_refused(void **state)
{
    (void)state;
    check_flag_error(
        "--listen", "127.0.0.1:1 0.0.0.0:1",
        "flag --listen: listen goes beyond loopback without a password: set requirepass, "
        "or protected-mode = no");
    struct sources sources;
    sources_open(&sources, "listen = 0.0.0.0:1\nrequirepass = secret\n");
    assert_int_equal(sources_load(&sources), OPTIONS_RUN);
    sources_done(&sources);
    sources_open(&sources, "listen = 0.0.0.0:1\nprotected-mode = no\n");
    assert_int_equal(sources_load(&sources), OPTIONS_RUN);
    sources_done(&sources);
}

static void values_that_no_file_could_hold_are_refused(void **state)
{
    (void)state;
    check_flag_error("--unixsocket", "/a\nthreads = 1",
                     "flag --unixsocket: argument must not hold control characters");
    check_flag_error("--unixsocket", "/a ;b",
                     "flag --unixsocket: argument must not hold ' ;', which begins a comment");
    check_flag_error("--unixsocket", " /a",
                     "flag --unixsocket: argument must not begin or end with a space");
    check_flag_error("--unixsocketperm", "780",
                     "flag --unixsocketperm: argument must be between 0 and 777 inclusive");
    check_flag_error("--unixsocketperm", "708",
                     "flag --unixsocketperm: argument must be octal digits such as 700");
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
        cmocka_unit_test(sections_are_namespaces),
        cmocka_unit_test(rules_of_managed_namespaces_are_read),
        cmocka_unit_test(namespaces_without_memory_share_what_is_left),
        cmocka_unit_test(errors_of_namespaces_name_the_line),
        cmocka_unit_test(what_does_not_go_together_names_the_line),
        cmocka_unit_test(what_does_not_go_together_names_flag_variable_or_default),
        cmocka_unit_test(an_option_twice_in_a_section_is_an_error),
        cmocka_unit_test(mode_ttl_with_an_end_is_good),
        cmocka_unit_test(modes_are_read_with_their_times),
        cmocka_unit_test(errors_of_a_file_name_the_line),
        cmocka_unit_test(a_long_line_is_an_error_and_not_cut),
        cmocka_unit_test(a_line_of_the_longest_size_arrives_whole),
        cmocka_unit_test(a_nul_byte_in_a_file_is_an_error),
        cmocka_unit_test(bytes_have_the_units_of_redis),
        cmocka_unit_test(times_have_units_and_bare_numbers_are_milliseconds),
        cmocka_unit_test(a_bare_number_of_timeout_is_seconds_as_in_redis),
        cmocka_unit_test(words_outside_their_list_are_told_the_list),
        cmocka_unit_test(a_mode_is_checked_where_it_is_given),
        cmocka_unit_test(what_l2_cannot_be_yet_is_refused_by_name),
        cmocka_unit_test(addresses_are_host_and_port),
        cmocka_unit_test(addresses_are_walked_one_by_one),
        cmocka_unit_test(tls_needs_its_papers),
        cmocka_unit_test(listening_beyond_loopback_without_a_password_is_refused),
        cmocka_unit_test(values_that_no_file_could_hold_are_refused),
        cmocka_unit_test(printed_options_load_again_and_are_the_same),
        cmocka_unit_test(printed_options_hide_passwords),
        cmocka_unit_test(live_options_change_while_running_and_others_do_not),
        cmocka_unit_test(a_copy_lives_on_its_own),
        cmocka_unit_test(a_reload_takes_the_good_file_and_refuses_the_bad_one),
        cmocka_unit_test(every_name_is_listed_in_help_and_can_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
