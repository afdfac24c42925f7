/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/script_reads.h"
#include "tiers/l2_commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* GET and MEMORY|USAGE read; SET, PING and CONFIG do not. */
static const char table[] =
    "*4\r\n"
    "*6\r\n$3\r\nget\r\n:2\r\n*1\r\n+readonly\r\n:1\r\n:1\r\n:1\r\n"
    "*6\r\n$3\r\nset\r\n:-3\r\n*1\r\n+write\r\n:1\r\n:1\r\n:1\r\n"
    "*6\r\n$4\r\nping\r\n:-1\r\n*1\r\n+fast\r\n:0\r\n:0\r\n:0\r\n"
    "*10\r\n$6\r\nmemory\r\n:-2\r\n*0\r\n:0\r\n:0\r\n:0\r\n*0\r\n*0\r\n*0\r\n"
    "*1\r\n*6\r\n$12\r\nmemory|usage\r\n:-3\r\n*1\r\n+readonly\r\n:2\r\n:2\r\n:1\r\n";

static int setup(void **state)
{
    struct l2_commands *commands = NULL;
    assert_int_equal(l2_commands_read(slice_of(table), &commands), OK);
    *state = commands;
    return 0;
}

static int teardown(void **state)
{
    l2_commands_free(*state);
    return 0;
}

static void what_only_writes_is_known(void **state)
{
    static const char *const texts[] = {
        "",
        "return 1",
        "return redis.call('set', KEYS[1], ARGV[1])",
        "#!lua\nlocal a = redis.pcall(\"SET\", KEYS[1], 'x') redis.call('ping') return a",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_false(script_may_read(slice_of(texts[i]), *state));
    }
}

static void all_else_may_read(void **state)
{
    static const char *const texts[] = {
        "return redis.call('get', KEYS[1])",
        "redis.call('set', KEYS[1], 1) return redis.call('GET', KEYS[1])",
        "return redis.call(ARGV[1], KEYS[1])",
        "return redis.call('g' .. 'et', KEYS[1])",
        "return redis.call('set' == ARGV[1] and 'get', KEYS[1])",
        "return redis.call('set' == ARGV[1] and 'set' or 'get', KEYS[1])",
        "return redis.call('g\\101t', KEYS[1])",
        "return redis.call 'get'",
        "return redis . call('set', KEYS[1])",
        "return redis['call']('get', KEYS[1])",
        "local r = redis return r.call('get', KEYS[1])",
        "for k, v in pairs(_G) do if k == 're' .. 'dis' then return v.call('get', KEYS[1]) end end",
        "return loadstring('return re' .. 'dis.call(\"get\", \"k\")')()",
        "return getfenv(0)['re' .. 'dis'].call('get', KEYS[1])",
        "return redis.call('unheard', KEYS[1])",
        "return redis.call('memory', 'usage', KEYS[1])",
        "redis.call('set",
        "redis.call(",
        "redis",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_true(script_may_read(slice_of(texts[i]), *state));
    }
    assert_true(script_may_read(slice_of("redis.call('set', KEYS[1], 1)"), NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_only_writes_is_known, setup, teardown),
        cmocka_unit_test_setup_teardown(all_else_may_read, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
