/* SPDX-License-Identifier: BSD-3-Clause */
/* What the value of an option may be, by its kind. */
#include "tests/unit/options_help.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
