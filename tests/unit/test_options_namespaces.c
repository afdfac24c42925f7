/* SPDX-License-Identifier: BSD-3-Clause */
/* Sections: what a namespace may be told, what does not go together, and what is said of it. */
#include "tests/unit/options_help.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sections_are_namespaces),
        cmocka_unit_test(rules_of_managed_namespaces_are_read),
        cmocka_unit_test(namespaces_without_memory_share_what_is_left),
        cmocka_unit_test(errors_of_namespaces_name_the_line),
        cmocka_unit_test(what_does_not_go_together_names_the_line),
        cmocka_unit_test(what_does_not_go_together_names_flag_variable_or_default),
        cmocka_unit_test(an_option_twice_in_a_section_is_an_error),
        cmocka_unit_test(mode_ttl_with_an_end_is_good),
        cmocka_unit_test(modes_are_read_with_their_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
