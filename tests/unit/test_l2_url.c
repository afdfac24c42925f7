/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/l2_url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct l2_urls all_parsed(const char *text)
{
    struct l2_urls urls = {0};
    char error[L2_URL_ERROR_MAX] = "";
    if (l2_urls_parse(slice_of(text), &urls, error) != OK) {
        fail_msg("%s: %s", text, error);
    }
    return urls;
}

/* The only one. */
static struct l2_url parsed(const char *text)
{
    struct l2_urls urls = all_parsed(text);
    assert_int_equal(urls.count, 1);
    assert_false(urls.independent);
    assert_null(urls.master_name);
    return urls.urls[0];
}

static void refused(const char *text, const char *because)
{
    struct l2_urls urls = {.count = 77};
    char error[L2_URL_ERROR_MAX] = "";
    if (l2_urls_parse(slice_of(text), &urls, error) != INVALID) {
        fail_msg("%s was accepted", text);
    }
    if (strstr(error, because) == NULL) {
        fail_msg("%s: \"%s\" does not say \"%s\"", text, error, because);
    }
    assert_int_equal(urls.count, 77);
}

static void address_is(const struct l2_url *url, const char *wanted)
{
    char text[L2_URL_ADDRESS_MAX];
    l2_url_address(url, text);
    assert_string_equal(text, wanted);
}

static void several_endpoints_stand_by_priority(void **state)
{
    (void)state;
    struct l2_urls urls = all_parsed(
        "redis://u:p@a:1?priority=2,unix:///s?priority=1&db=0,redis://[::1]:3?priority=2");
    assert_int_equal(urls.count, 3);
    assert_false(urls.independent);
    address_is(&urls.urls[0], "/s");
    address_is(&urls.urls[1], "a:1");
    address_is(&urls.urls[2], "[::1]:3");
    assert_string_equal(urls.urls[1].pass, "p");
    assert_int_equal(urls.urls[2].priority, 2);
    l2_urls_done(&urls);
    assert_int_equal(urls.count, 0);
}

static void independence_is_said_once_for_all(void **state)
{
    (void)state;
    struct l2_urls urls = all_parsed("redis://a,redis://b?priority=1&independent=1");
    assert_true(urls.independent);
    assert_string_equal(urls.urls[0].host, "a");
    l2_urls_done(&urls);
    urls = all_parsed("redis://a?independent=0,redis://b");
    assert_false(urls.independent);
    l2_urls_done(&urls);
}

static void a_password_may_hold_commas(void **state)
{
    (void)state;
    struct l2_urls urls = all_parsed("redis://:a,b@h,redis://i");
    assert_int_equal(urls.count, 2);
    assert_string_equal(urls.urls[0].pass, "a,b");
    l2_urls_done(&urls);
}

static void sentinels_are_named_with_their_master(void **state)
{
    (void)state;
    struct l2_urls urls = all_parsed(
        "redis+sentinel://app:s%40x@one,two:5000,[::1]/my%2dmaster?sentinel-user=w&sentinel-pass=v");
    assert_int_equal(urls.count, 3);
    assert_string_equal(urls.master_name, "my-master");
    assert_string_equal(urls.master_user, "app");
    assert_string_equal(urls.master_pass, "s@x");
    address_is(&urls.urls[0], "one:26379");
    address_is(&urls.urls[1], "two:5000");
    address_is(&urls.urls[2], "[::1]:26379");
    for (size_t i = 0; i < urls.count; i++) {
        assert_string_equal(urls.urls[i].user, "w");
        assert_string_equal(urls.urls[i].pass, "v");
    }
    l2_urls_done(&urls);
    urls = all_parsed("redis+sentinel://one/m");
    assert_null(urls.master_pass);
    assert_null(urls.urls[0].pass);
    l2_urls_done(&urls);
}

static void sentinels_that_are_not_whole_are_refused(void **state)
{
    (void)state;
    refused("redis+sentinel://a", "expected the name of the master");
    refused("redis+sentinel://a/", "expected the name of the master");
    refused("redis+sentinel://a/m,b", "behind the name of the master");
    refused("redis+sentinel://a/m,redis://b", "behind the name of the master");
    refused("redis+sentinel:///m", "expected a host");
    refused("redis+sentinel://a,/m", "expected a host");
    refused("redis+sentinel://a,,b/m", "expected a host");
    refused("redis+sentinel://a:x/m", "expected a port");
    refused("redis+sentinel://a/m?priority=1", "sentinel-user and sentinel-pass");
    refused("redis+sentinel://a/m?sentinel-pass=1&sentinel-pass=2", "given twice");
    refused("redis+sentinel://a/%zz", "hex digits");
    refused("redis://x,redis+sentinel://a/m", "stands alone");
}

static void parameters_are_checked(void **state)
{
    (void)state;
    refused("redis://h?priority", "name=value");
    refused("redis://h?priority=x", "priority wants a number");
    refused("redis://h?priority=65536", "priority wants a number");
    refused("redis://h?priority=-1", "priority wants a number");
    refused("redis://h?independent=2", "0 or 1");
    refused("redis://h?db=0", "the parameters are priority, independent");
    refused("redis://h?x=1", "the parameters are");
    refused("redis://h?sentinel-user=1", "the parameters are");
    char many[L2_URLS_MAX * 16 + 32] = "redis://h";
    for (int i = 0; i < L2_URLS_MAX; i++) {
        strcat(many, ",redis://h");
    }
    refused(many, "at most 16 endpoints");
}

static void masked_is(const char *text, const char *wanted)
{
    struct buf out = {0};
    assert_int_equal(l2_urls_append_masked(&out, slice_of(text)), OK);
    assert_int_equal(out.size, strlen(wanted));
    assert_memory_equal(out.data, wanted, out.size);
    buf_done(&out);
}

static void passwords_are_masked_wherever_they_stand(void **state)
{
    (void)state;
    masked_is("redis://h:1", "redis://h:1");
    masked_is("redis://u@h:1", "redis://u@h:1");
    masked_is("redis://u:s:e@c@h:1?priority=1", "redis://u:********@h:1?priority=1");
    masked_is("redis://h:1,redis://:sec@i:2,unix://u:sec@/s",
              "redis://h:1,redis://:********@i:2,unix://u:********@/s");
    masked_is("redis+sentinel://u:sec@h:1,i/m?sentinel-user=w&sentinel-pass=sec",
              "redis+sentinel://u:********@h:1,i/m?sentinel-user=w&sentinel-pass=********");
    masked_is("redis+sentinel://h:1/m?sentinel-pass=s@c",
              "redis+sentinel://h:1/m?sentinel-pass=********");
}

static void a_copy_stands_alone(void **state)
{
    (void)state;
    struct l2_url url = parsed("redis://u:p@h:7?priority=3");
    struct l2_url copy = {0};
    assert_int_equal(l2_url_copy(&url, &copy), OK);
    l2_url_done(&url);
    assert_string_equal(copy.host, "h");
    assert_string_equal(copy.user, "u");
    assert_string_equal(copy.pass, "p");
    assert_int_equal(copy.port, 7);
    assert_int_equal(copy.priority, 3);
    l2_url_done(&copy);
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

static void tls_is_said_by_the_scheme(void **state)
{
    (void)state;
    struct l2_url url = parsed("rediss://u:p@[::1]:7000");
    assert_true(url.tls);
    assert_string_equal(url.host, "::1");
    assert_string_equal(url.pass, "p");
    struct l2_url copy;
    assert_int_equal(l2_url_copy(&url, &copy), OK);
    assert_true(copy.tls);
    l2_url_done(&copy);
    l2_url_done(&url);
    struct l2_urls urls = all_parsed("redis://:a,b@a,rediss://b:2,unix:///c");
    assert_false(urls.urls[0].tls);
    assert_true(urls.urls[1].tls);
    assert_int_equal(urls.urls[1].port, 2);
    assert_false(urls.urls[2].tls);
    l2_urls_done(&urls);
    urls = all_parsed("rediss+sentinel://u:p@a,b:1/m");
    assert_int_equal(urls.count, 2);
    assert_true(urls.master_tls && urls.urls[0].tls && urls.urls[1].tls);
    assert_string_equal(urls.master_name, "m");
    l2_urls_done(&urls);
    urls = all_parsed("redis+sentinel://a,b/m");
    assert_false(urls.master_tls || urls.urls[0].tls || urls.urls[1].tls);
    l2_urls_done(&urls);
    assert_true(l2_urls_use_tls(SLICE_LITERAL("redis://a,rediss://b")));
    assert_true(l2_urls_use_tls(SLICE_LITERAL("rediss+sentinel://a/m")));
    assert_false(l2_urls_use_tls(SLICE_LITERAL("redis://a,unix:///b")));
    assert_false(l2_urls_use_tls(SLICE_LITERAL("")));
}

static void what_this_version_cannot_do_is_refused_by_name(void **state)
{
    (void)state;
    refused("redis+cluster://a,b", "redis+cluster:// is not supported by this version");
    refused("redis://a,rediss+cluster://b", "rediss+cluster:// is not supported by this version");
    refused("redis://a:1,b:2", "write each endpoint in full");
    refused("redis://a:1,", "write each endpoint in full");
}

static void other_databases_than_0_are_refused(void **state)
{
    (void)state;
    refused("redis://h/1", "another database than 0 is not supported by this version");
    refused("redis://h/x", "the number of a database");
    refused("redis://h/0/", "the number of a database");
    refused("unix:///s?db=3", "another database than 0 is not supported by this version");
    refused("unix:///s?database=0", "and, of unix://, db");
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
                                       "rediss://u:hunter2@h/7",  "unix://u:hunter2@/s?x=1",
                                       "redis://u:hunter2@h,i:1", "bad://u:hunter2@h",
                                       "redis://a?hunter2=1",     "redis+sentinel://u:hunter2@h"};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct l2_urls found = {0};
        char error[L2_URL_ERROR_MAX] = "";
        assert_int_equal(l2_urls_parse(slice_of(urls[i]), &found, error), INVALID);
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
        cmocka_unit_test(tls_is_said_by_the_scheme),
        cmocka_unit_test(what_this_version_cannot_do_is_refused_by_name),
        cmocka_unit_test(other_databases_than_0_are_refused),
        cmocka_unit_test(malformed_urls_say_what_was_expected),
        cmocka_unit_test(a_unix_path_longer_than_the_kernel_takes_is_refused),
        cmocka_unit_test(several_endpoints_stand_by_priority),
        cmocka_unit_test(independence_is_said_once_for_all),
        cmocka_unit_test(a_password_may_hold_commas),
        cmocka_unit_test(sentinels_are_named_with_their_master),
        cmocka_unit_test(sentinels_that_are_not_whole_are_refused),
        cmocka_unit_test(parameters_are_checked),
        cmocka_unit_test(passwords_are_masked_wherever_they_stand),
        cmocka_unit_test(a_copy_stands_alone),
        cmocka_unit_test(an_error_never_repeats_the_password),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
