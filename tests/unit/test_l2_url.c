/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/l2_url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct l2_url parsed(const char *text)
{
    struct l2_url url = {0};
    char error[L2_URL_ERROR_MAX] = "";
    if (l2_url_parse(slice_of(text), &url, error) != OK) {
        fail_msg("%s: %s", text, error);
    }
    return url;
}

static void refused(const char *text, const char *because)
{
    struct l2_url url = {.port = 77};
    char error[L2_URL_ERROR_MAX] = "";
    if (l2_url_parse(slice_of(text), &url, error) != INVALID) {
        fail_msg("%s was accepted", text);
    }
    if (strstr(error, because) == NULL) {
        fail_msg("%s: \"%s\" does not say \"%s\"", text, error, because);
    }
    assert_int_equal(url.port, 77);
    assert_null(url.host);
}

static void host_and_port_are_taken_apart(void **state)
{
    (void)state;
    struct l2_url url = parsed("redis://cache.example:7000");
    assert_false(url.is_unix);
    assert_string_equal(url.host, "cache.example");
    assert_int_equal(url.port, 7000);
    assert_null(url.user);
    assert_null(url.pass);
    l2_url_done(&url);
    assert_null(url.host);
}

static void the_port_is_6379_unless_it_is_named(void **state)
{
    (void)state;
    struct l2_url url = parsed("redis://localhost");
    assert_int_equal(url.port, 6379);
    l2_url_done(&url);
    url = parsed("redis://[::1]/");
    assert_string_equal(url.host, "::1");
    assert_int_equal(url.port, 6379);
    l2_url_done(&url);
    url = parsed("redis://[fe80::1]:1");
    assert_string_equal(url.host, "fe80::1");
    assert_int_equal(url.port, 1);
    l2_url_done(&url);
}

static void user_and_password_are_unescaped(void **state)
{
    (void)state;
    struct l2_url url = parsed("redis://node%2d1:p%40ss%3Aword%25@h:1/0");
    assert_string_equal(url.user, "node-1");
    assert_string_equal(url.pass, "p@ss:word%");
    assert_string_equal(url.host, "h");
    l2_url_done(&url);
}

static void a_password_without_a_user_is_the_default_users(void **state)
{
    (void)state;
    struct l2_url url = parsed("redis://:secret@h");
    assert_null(url.user);
    assert_string_equal(url.pass, "secret");
    l2_url_done(&url);
    url = parsed("redis://alice@h");
    assert_string_equal(url.user, "alice");
    assert_null(url.pass);
    l2_url_done(&url);
}

static void a_password_may_hold_raw_at_signs_and_colons(void **state)
{
    (void)state;
    struct l2_url url = parsed("redis://u:a:b@c@h:9");
    assert_string_equal(url.user, "u");
    assert_string_equal(url.pass, "a:b@c");
    assert_string_equal(url.host, "h");
    l2_url_done(&url);
}

static void a_unix_path_is_taken_whole(void **state)
{
    (void)state;
    struct l2_url url = parsed("unix:///run/redis/redis.sock");
    assert_true(url.is_unix);
    assert_string_equal(url.host, "/run/redis/redis.sock");
    assert_int_equal(url.port, 0);
    l2_url_done(&url);
    url = parsed("unix:///run/r@s.sock?db=0");
    assert_string_equal(url.host, "/run/r@s.sock");
    assert_null(url.user);
    l2_url_done(&url);
    url = parsed("unix://:secret@/run/r.sock");
    assert_string_equal(url.pass, "secret");
    assert_string_equal(url.host, "/run/r.sock");
    l2_url_done(&url);
}

static void what_this_version_cannot_do_is_refused_by_name(void **state)
{
    (void)state;
    refused("rediss://h:1", "rediss:// is not supported by this version");
    refused("redis+sentinel://a,b/master", "redis+sentinel:// is not supported by this version");
    refused("redis+cluster://a,b", "redis+cluster:// is not supported by this version");
    refused("redis://a:1,b:2", "several endpoints are not supported by this version");
    refused("redis://a:1,redis://b:2", "several endpoints are not supported by this version");
    refused("redis://a:1?priority=1", "not supported by this version");
}

static void other_databases_than_0_are_refused(void **state)
{
    (void)state;
    refused("redis://h/1", "only database 0");
    refused("redis://h/x", "the number of a database");
    refused("redis://h/0/", "the number of a database");
    refused("unix:///s?db=3", "only database 0");
    refused("unix:///s?database=0", "?db=");
}

static void malformed_urls_say_what_was_expected(void **state)
{
    (void)state;
    refused("", "expected redis://");
    refused("h:6379", "expected redis://");
    refused("http://h", "expected redis://");
    refused("REDIS://h", "expected redis://");
    refused("redis://", "expected a host");
    refused("redis://:6379", "expected a host");
    refused("redis://u:p@", "expected a host");
    refused("redis://[]:1", "expected a host");
    refused("redis://[::1", "expected ]");
    refused("redis://[::1]x", "expected a port");
    refused("redis://h:", "expected a port");
    refused("redis://h:0", "expected a port");
    refused("redis://h:65536", "expected a port");
    refused("redis://h:+1", "expected a port");
    refused("redis://h:1x", "expected a port");
    refused("redis://h h", "no spaces");
    refused("redis://h\r\n", "no spaces");
    refused("redis://u:%4@h", "hex digits");
    refused("redis://u:%zz@h", "hex digits");
    refused("redis://u:%00@h", "hex digits");
    refused("redis://%:p@h", "hex digits");
    refused("unix://", "an absolute path");
    refused("unix://run/s", "an absolute path");
    refused("unix:///", "an absolute path");
}

static void a_unix_path_longer_than_the_kernel_takes_is_refused(void **state)
{
    (void)state;
    char text[160] = "unix:///";
    memset(text + 8, 'a', 106);
    struct l2_url url = parsed(text); /* 107 bytes of path */
    l2_url_done(&url);
    text[8 + 106] = 'a';
    refused(text, "107 bytes");
}

static void an_error_never_repeats_the_password(void **state)
{
    (void)state;
    static const char *const urls[] = {"redis://u:hunter2@",      "redis://u:hunter2@h:99999",
                                       "redis://u:hunter2@h/7",   "redis://u:hunter2%zz@h",
                                       "rediss://u:hunter2@h",    "unix://u:hunter2@/s?x=1",
                                       "redis://u:hunter2@h,i:1", "bad://u:hunter2@h"};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct l2_url url = {0};
        char error[L2_URL_ERROR_MAX] = "";
        assert_int_equal(l2_url_parse(slice_of(urls[i]), &url, error), INVALID);
        assert_null(strstr(error, "hunter2"));
        assert_true(strlen(error) > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_and_port_are_taken_apart),
        cmocka_unit_test(the_port_is_6379_unless_it_is_named),
        cmocka_unit_test(user_and_password_are_unescaped),
        cmocka_unit_test(a_password_without_a_user_is_the_default_users),
        cmocka_unit_test(a_password_may_hold_raw_at_signs_and_colons),
        cmocka_unit_test(a_unix_path_is_taken_whole),
        cmocka_unit_test(what_this_version_cannot_do_is_refused_by_name),
        cmocka_unit_test(other_databases_than_0_are_refused),
        cmocka_unit_test(malformed_urls_say_what_was_expected),
        cmocka_unit_test(a_unix_path_longer_than_the_kernel_takes_is_refused),
        cmocka_unit_test(an_error_never_repeats_the_password),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
