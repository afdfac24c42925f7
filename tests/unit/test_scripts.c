/* SPDX-License-Identifier: BSD-3-Clause */
/* Scripts known by their text, whatever they look like. */
#include "server/scripts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char lock_release[] =
    "if redis.call('get',KEYS[1])==ARGV[1]then return redis.call('del',KEYS[1])else return 0 end";

static void assert_normal(const char *text, const char *normal)
{
    char room[SCRIPT_NORMAL_MAX];
    const size_t size = script_normalise(slice_of(text), room, sizeof room);
    assert_int_equal(size, strlen(normal));
    assert_memory_equal(room, normal, size);
}

static void what_is_known_is_written_in_normal_form_and_once(void **state)
{
    (void)state;
    const struct script *script;
    for (unsigned i = 0; (script = script_at(i)) != NULL; i++) {
        assert_normal(script->text, script->text);
        assert_ptr_equal(script_recognise(slice_of(script->text)), script);
        assert_true(script->time <= script->args && script->amount <= script->args);
    }
}

static void spaces_comments_quotes_and_case_of_strings_mean_nothing(void **state)
{
    (void)state;
    assert_normal(
        "  if redis.call(\"GET\", KEYS[1]) == ARGV[1]\r\n then\n\treturn redis.call('DEL', KEYS[1]) "
        "else return 0; end  ",
        lock_release);
    assert_normal("return 1 -- one\r+1 --\n+1", "return 1+1+1"); /* Lua's comments end there, too */
    assert_normal("--releases\nif redis.call('get',KEYS[1])==ARGV[1]then -- ours?\nreturn "
                  "redis.call('del',KEYS[1])else return 0 end--",
                  lock_release);
    assert_normal("a=''", "a=''");
    assert_normal("a\n1 b;2", "a 1 b 2");
}

static void what_means_something_is_kept(void **state)
{
    (void)state;
    static const char *const others[] = {
        "if redis.call('get',KEYS[1])==ARGV[2]then return redis.call('del',KEYS[1])else return 0 end",
        "if redis.call('get',KEYS[1])~=ARGV[1]then return redis.call('del',KEYS[1])else return 0 end",
        "if redis.call('get',keys[1])==ARGV[1]then return redis.call('del',KEYS[1])else return 0 end",
        "if redis.call('get',KEYS[1])==ARGV[1]then return redis.call('del',KEYS[1])else return 1 end",
        "ifredis.call('get',KEYS[1])==ARGV[1]then return redis.call('del',KEYS[1])else return 0 end",
        "if redis.call('get',KEYS[1])==ARGV[1]then return redis.call('del',KEYS[1])else return 0 end x",
        "if redis.call('ge t',KEYS[1])==ARGV[1]then return redis.call('del',KEYS[1])else return 0 end",
        "if redis.call('get',KEYS[1])==ARGV[1]then return redis.call('del',KEYS[1])else return 0 en d",
        "if redis.call('get',KEYS[1])==ARGV[1]then return redis.call('del',KEYS[1])else return 0 0 end",
        "",
        " ",
        "--",
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_null(script_recognise(slice_of(others[i])));
    }
}

static void what_has_no_normal_form_is_not_known(void **state)
{
    (void)state;
    char room[SCRIPT_NORMAL_MAX];
    static const char *const odd[] = {
        "'", "\"a", "'a\\'b'", "'a\"b'", "\"it's\"", "--[[ long ]] return 1", "a - - b", "'a\nb'"};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        assert_int_equal(script_normalise(slice_of(odd[i]), room, sizeof room), 0);
    }
    for (size_t size = 0; size < strlen(lock_release); size++) { /* too little room */
        assert_int_equal(script_normalise(slice_of(lock_release), room, size), 0);
    }
    assert_int_equal(script_normalise(slice_of(lock_release), room, strlen(lock_release)),
                     strlen(lock_release));
}

static void a_sha_finds_what_was_remembered_until_many_others_were(void **state)
{
    (void)state;
    struct scripts *scripts = scripts_new();
    char first[SCRIPT_SHA_DIGITS];
    char sha[SCRIPT_SHA_DIGITS];
    script_sha(slice_of("return 1"), first);
    assert_memory_equal(first, "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", sizeof first);
    assert_null(scripts_find(scripts, (struct slice){first, sizeof first}));
    scripts_remember(scripts, first, script_at(3));
    scripts_remember(scripts, first, script_at(3));
    assert_ptr_equal(
        scripts_find(scripts, SLICE_LITERAL("E0E1F9FABFC9D4800C877A703B823AC0578FF8DB")),
        script_at(3));
    assert_null(scripts_find(scripts, (struct slice){first, sizeof first - 1}));
    for (unsigned i = 0; i < SCRIPTS_REMEMBERED; i++) {
        char text[32];
        assert_non_null(scripts_find(scripts, (struct slice){first, sizeof first}));
        snprintf(text, sizeof text, "return %u + 1", i);
        script_sha(slice_of(text), sha);
        scripts_remember(scripts, sha, script_at(0));
    }
    assert_null(scripts_find(scripts, (struct slice){first, sizeof first}));
    assert_ptr_equal(scripts_find(scripts, (struct slice){sha, sizeof sha}), script_at(0));
    scripts_forget(scripts);
    assert_null(scripts_find(scripts, (struct slice){sha, sizeof sha}));
    scripts_free(scripts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_known_is_written_in_normal_form_and_once),
        cmocka_unit_test(spaces_comments_quotes_and_case_of_strings_mean_nothing),
        cmocka_unit_test(what_means_something_is_kept),
        cmocka_unit_test(what_has_no_normal_form_is_not_known),
        cmocka_unit_test(a_sha_finds_what_was_remembered_until_many_others_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
