/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules of users: what they say, what they give, and that what is described makes the same user again. */
#include "server/acl.h"
#include "server/acl_check.h"
#include "server/acl_list.h"
#include "server/acl_log.h"
#include "server/command.h"
#include "server/renames.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool knows_modules(void *arg, struct slice name)
{
    (void)arg;
    return name.size > 4 && memcmp(name.data, "mod.", 4) == 0;
}

static const struct acl_rule_context context = {.all_channels = false, .knows = knows_modules};

/* Rules parted by spaces. */
static struct acl_user *user_of(const char *rules)
{
    struct acl_user *user = acl_user_new(SLICE_LITERAL("u"), &context);
    assert_non_null(user);
    char copy[512];
    (void)snprintf(copy, sizeof(copy), "%s", rules);
    char *rest = copy;
    for (char *rule; (rule = strsep(&rest, " ")) != NULL;) {
        assert_null(acl_user_set(user, slice_of(rule), &context, NULL));
    }
    return user;
}

static const char *refusal(const char *rules, const char *last)
{
    struct acl_user *user = user_of(rules);
    const char *reason = acl_user_set(user, slice_of(last), &context, NULL);
    acl_user_release(user);
    return reason == NULL ? "" : reason;
}

/* What a user with these rules is told about a command line. */
static enum acl_verdict verdict(const char *rules, const char *words)
{
    struct acl_user *user = user_of(rules);
    char copy[256];
    struct slice argv[32];
    struct acl_line line = {.argv = argv};
    (void)snprintf(copy, sizeof(copy), "%s", words);
    char *rest = copy;
    for (char *word; (word = strsep(&rest, " ")) != NULL;) {
        argv[line.argc++] = slice_of(word);
    }
    line.name = argv[0];
    line.id = acl_command_of(argv[0], line.argc > 1 ? argv[1] : (struct slice){"", 0});
    const enum acl_verdict verdict = acl_check(user, &line).verdict;
    acl_user_release(user);
    return verdict;
}

#define OK_FOR(rules, words)     assert_int_equal(verdict(rules, words), ACL_OK)
#define NO_COMMAND(rules, words) assert_int_equal(verdict(rules, words), ACL_DENIED_COMMAND)
#define NO_KEY(rules, words)     assert_int_equal(verdict(rules, words), ACL_DENIED_KEY)
#define NO_CHANNEL(rules, words) assert_int_equal(verdict(rules, words), ACL_DENIED_CHANNEL)

static void a_new_user_may_nothing(void **state)
{
    (void)state;
    NO_COMMAND("on", "get k");
    NO_COMMAND("on ~*", "ping");
    NO_KEY("on +@all", "get k");
    OK_FOR("on", "auth x"); /* whoever is denied everything may still log in as somebody else */
}

static void commands_categories_and_subcommands(void **state)
{
    (void)state;
    OK_FOR("+get ~*", "GET k");
    NO_COMMAND("+get ~*", "set k v");
    OK_FOR("+@read ~*", "mget a b");
    NO_COMMAND("+@all -@dangerous", "flushall");
    NO_COMMAND("+@all -config", "config get x");
    OK_FOR("+config|get", "config get x");
    NO_COMMAND("+config|get", "config set x y");
    NO_COMMAND("+config -config|set", "config set x y");
    OK_FOR("+config -config|set", "config get x");
    NO_COMMAND("+config|get -@all", "config get x");
    OK_FOR("+select|0", "select 0");
    NO_COMMAND("+select|0", "select 1");
    NO_COMMAND("+select|0 -select", "select 0");
}

static void keys_are_read_or_written(void **state)
{
    (void)state;
    OK_FOR("+@all ~a:*", "set a:1 x");
    NO_KEY("+@all ~a:*", "set b:1 x");
    OK_FOR("+@all %R~a", "get a");
    NO_KEY("+@all %R~a", "set a x");
    OK_FOR("+@all %W~a", "set a x");
    NO_KEY("+@all %W~a", "set a x get"); /* also reads */
    NO_KEY("+@all %W~a", "get a");
    OK_FOR("+@all %R~a %W~b", "copy a b");
    NO_KEY("+@all %R~a %W~b", "copy b a");
    OK_FOR("+@all %W~a %R~a", "getset a x"); /* one pattern, both letters */
    NO_KEY("+@all ~a ~b", "mset a 1 c 2");
    OK_FOR("+@all %R~a", "bitfield a get u8 0");
    NO_KEY("+@all %R~a", "bitfield a get u8 0 set u8 0 1");
    OK_FOR("+@all %R~a %W~d", "sort a by x store d");
    NO_KEY("+@all %R~a %W~d", "sort a store d store x"); /* the last one counts */
    NO_KEY("+@all ~a ~d", "georadius a 1 1 1 m store d store x");
    NO_KEY("+@all ~d ~a", "zunionstore d 2 a b");
    OK_FOR("+@all ~d ~a", "zunionstore d 1 a b");
    OK_FOR("+@all ~s", "xread count 1 streams s 0");
    NO_KEY("+@all ~s", "xread count 1 streams s t 0 0");
    OK_FOR("+@all ~s", "exists s");
    NO_KEY("+@all ~s", "exists t");
}

static void an_invalidation_of_more_than_keys_is_one_of_all_keys(void **state)
{
    (void)state;
    OK_FOR("+@all ~a", "cache.invalidate KEY a");
    NO_KEY("+@all ~a", "cache.invalidate KEY a b");
    OK_FOR("+@all ~a", "cache.invalidate KEY a NS default SYNC 5 SOFT");
    NO_KEY("+@all ~a", "cache.invalidate KEY SOFT");
    NO_KEY("+@all ~a", "cache.invalidate KEY a SOFT b");
    NO_KEY("+@all ~a", "cache.invalidate ALL");
    NO_KEY("+@all ~a", "cache.invalidate PREFIX a");
    OK_FOR("+@all ~a*", "cache.invalidate PREFIX a ab NS x SOFT");
    NO_KEY("+@all ~ab*", "cache.invalidate PREFIX a");
    NO_KEY("+@all ~a?*", "cache.invalidate PREFIX ab");
    NO_KEY("+@all %R~a*", "cache.invalidate PREFIX a");
    OK_FOR("+@all ~a*", "cache.invalidate PATTERN a?b*");
    NO_KEY("+@all ~a*", "cache.invalidate PATTERN ?a");
    NO_KEY("+@all ~a*", "cache.invalidate PATTERN a* b*");
    NO_KEY("+@all ~a*", "cache.invalidate TAG a");
    OK_FOR("+@all ~*", "cache.invalidate ALL");
    NO_COMMAND("+@all -@dangerous ~*", "cache.invalidate ALL");
}

static void channels_and_patterns(void **state)
{
    (void)state;
    OK_FOR("+@all &news.*", "publish news.a x");
    NO_CHANNEL("+@all &news.*", "publish other x");
    NO_CHANNEL("+@all &news.*", "subscribe news.a other");
    OK_FOR("+@all &news.*", "psubscribe news.*");
    NO_CHANNEL("+@all &news.*", "psubscribe news.a*"); /* letter by letter */
    OK_FOR("+@all &news.*", "unsubscribe other");
    OK_FOR("+@all allchannels", "spublish any x");
}

static void a_script_may_do_what_nobody_checks(void **state)
{
    (void)state;
    NO_KEY("+@all &* ~a", "eval x 1 a");
    NO_COMMAND("+@all -flushall ~* &*", "eval x 1 a");
    NO_COMMAND("+@scripting ~* &*", "fcall f 0");
    NO_CHANNEL("+@all ~*", "eval x 0");
    OK_FOR("+@all ~* &*", "eval x 1 a");
    OK_FOR("+@all -flushall ~*", "script load x");
}

static void one_selector_must_allow_all_of_it(void **state)
{
    (void)state;
    struct acl_user *user = user_of("+get ~a");
    assert_null(acl_user_set(user, SLICE_LITERAL("(+set %W~b)"), &context, NULL));
    const struct slice get_b[] = {SLICE_LITERAL("get"), SLICE_LITERAL("b")};
    const struct slice set_b[] = {SLICE_LITERAL("set"), SLICE_LITERAL("b"), SLICE_LITERAL("1")};
    struct acl_line line = {.id = acl_command_find(get_b[0]), .argv = get_b, .argc = 2};
    assert_int_equal(acl_check(user, &line).verdict, ACL_DENIED_KEY);
    line = (struct acl_line){.id = acl_command_find(set_b[0]), .argv = set_b, .argc = 3};
    assert_int_equal(acl_check(user, &line).verdict, ACL_OK);
    acl_user_release(user);
}

/* A command that only L2 has. */
static enum acl_verdict other(const char *rules, uint32_t categories)
{
    struct acl_user *user = user_of(rules);
    const struct slice argv[] = {SLICE_LITERAL("mod.do"), SLICE_LITERAL("k")};
    const struct acl_line line = {.id = acl_command_count(),
                                  .name = argv[0],
                                  .categories = categories,
                                  .first_key = 1,
                                  .last_key = 1,
                                  .key_step = 1,
                                  .argv = argv,
                                  .argc = 2};
    const enum acl_verdict verdict = acl_check(user, &line).verdict;
    acl_user_release(user);
    return verdict;
}

static void a_command_of_l2_alone_is_denied_unless_its_rules_are_known(void **state)
{
    (void)state;
    const uint32_t write = CATEGORY_WRITE | CATEGORY_SLOW;
    assert_int_equal(other("+@all ~*", write), ACL_OK);
    assert_int_equal(other("+@all ~*", 0), ACL_OK); /* everything is allowed to him anyhow */
    assert_int_equal(other("+@all -@dangerous ~*", write), ACL_OK);
    assert_int_equal(other("+@all -@dangerous ~*", write | CATEGORY_DANGEROUS), ACL_DENIED_COMMAND);
    assert_int_equal(other("+@all -@dangerous ~*", 0), ACL_DENIED_COMMAND);
    assert_int_equal(other("+@write ~*", write), ACL_DENIED_COMMAND);
    assert_int_equal(other("+mod.do ~*", 0), ACL_OK);
    assert_int_equal(other("+@all -mod.do ~*", write), ACL_DENIED_COMMAND);
    assert_int_equal(other("+@all %R~k", write), ACL_DENIED_KEY);
    assert_int_equal(other("+@all ~k", write), ACL_OK);
}

static void rules_that_are_wrong_are_refused_in_the_words_of_redis(void **state)
{
    (void)state;
    assert_string_equal(refusal("", "foo"), "Syntax error");
    assert_string_equal(refusal("", "~a b"), "Syntax error");
    assert_string_equal(refusal("", "%X~a"), "Syntax error");
    assert_string_equal(refusal("", "+nosuch"), "Unknown command or category name in ACL");
    assert_string_equal(refusal("", "+@nosuch"), "Unknown command or category name in ACL");
    assert_string_equal(refusal("", "+config|get|x"),
                        "Allowing first-arg of a subcommand is not supported");
    assert_string_equal(refusal("", "<nosuch"),
                        "The password you are trying to remove from the user does not exist");
    assert_string_equal(refusal("", "#12"), "The password hash must be exactly 64 characters and "
                                            "contain only lowercase hexadecimal characters");
    assert_non_null(strstr(refusal("~*", "~a"), "Try 'resetkeys'"));
    assert_non_null(strstr(refusal("&*", "&a"), "Try 'resetchannels'"));
    assert_string_equal(refusal("", "(+get"), "Syntax error");
    assert_string_equal(refusal("", "(+get ~a))"), "Syntax error"); /* it could not be read back */
    assert_string_equal(refusal("", "(+nosuch)"), "Unknown command or category name in ACL");
    assert_string_equal(refusal("", ""), "");
}

static void passwords_are_hashed_and_compared_whole(void **state)
{
    (void)state;
    struct acl_user *user = user_of("on >sesame");
    char hex[ACL_PASSWORD_SIZE + 1] = "";
    acl_hash_password(SLICE_LITERAL("abc"), hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_true(acl_user_password_is(user, SLICE_LITERAL("sesame")));
    assert_false(acl_user_password_is(user, SLICE_LITERAL("sesam")));
    assert_false(acl_user_password_is(user, SLICE_LITERAL("")));
    assert_int_equal(user->passwords.count, 1);
    assert_null(memmem(user->passwords.at[0].bytes.data, 64, "sesame", 6));
    assert_null(acl_user_set(user, SLICE_LITERAL(">sesame"), &context, NULL));
    assert_int_equal(user->passwords.count, 1);
    assert_null(acl_user_set(user, SLICE_LITERAL(">two"), &context, NULL));
    assert_null(acl_user_set(user, SLICE_LITERAL("<sesame"), &context, NULL));
    assert_false(acl_user_password_is(user, SLICE_LITERAL("sesame")));
    assert_true(acl_user_password_is(user, SLICE_LITERAL("two")));
    assert_null(acl_user_set(user, SLICE_LITERAL("nopass"), &context, NULL));
    assert_true(acl_user_password_is(user, SLICE_LITERAL("whatever")));
    acl_user_release(user);
}

static void only_who_may_everything_is_free(void **state)
{
    (void)state;
    static const struct {
        const char *rules;
        bool free;
    } cases[] = {{"+@all ~* &*", true},
                 {"+@all ~*", false},
                 {"+@all &*", false},
                 {"~* &*", false},
                 {"+@all ~* &* -get", false},
                 {"+@all -get +get ~* &*", false},
                 {"+@all ~* &* resetkeys", false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct acl_user *user = user_of(cases[i].rules);
        assert_int_equal(acl_user_is_free(user), cases[i].free);
        acl_user_release(user);
    }
}

static void what_is_described_makes_the_same_user(void **state)
{
    (void)state;
    static const char *const rules[] = {
        "on +@all -@dangerous ~* &*",
        "off >a >b +@read -@slow %R~x %W~y ~z &c",
        "on nopass +@all -config|get -mod.do +select|0 ~a",
        "-@all +config +mod.do +debug|object +debug|sleep skip-sanitize-payload",
        "reset +@string -set +@admin -@dangerous allchannels",
    };
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        struct acl_user *user = user_of(rules[i]);
        struct buf first = {0};
        struct buf second = {0};
        assert_int_equal(acl_describe_user(user, &first), OK);
        assert_int_equal(buf_append(&first, "", 1), OK);
        struct acl_user *again = user_of(first.data);
        assert_int_equal(acl_describe_user(again, &second), OK);
        assert_int_equal(buf_append(&second, "", 1), OK);
        assert_string_equal(first.data, second.data);
        assert_memory_equal(user->selectors[0].commands, again->selectors[0].commands,
                            sizeof(user->selectors[0].commands));
        acl_user_release(user);
        acl_user_release(again);
        buf_done(&first);
        buf_done(&second);
    }
}

static void check_file(const char *text, const char *errors)
{
    struct acl_parsed parsed;
    struct buf said = {0};
    const enum status status = acl_parse(slice_of(text), "f", &context, &parsed, &said);
    assert_int_equal(buf_append(&said, "", 1), OK);
    assert_int_equal(status, errors == NULL ? OK : INVALID);
    if (errors != NULL) {
        assert_non_null(strstr(said.data, errors));
        assert_non_null(strstr(said.data, "no change to the previously active ACL rules"));
    }
    acl_parsed_done(&parsed);
    buf_done(&said);
}

static void a_file_is_taken_whole_or_named_by_line(void **state)
{
    (void)state;
    check_file("", NULL);
    check_file("\n user a on  +get ~* \r\n\nuser default off\n", NULL);
    check_file("user a (+get ~a) on (+set ~b)", NULL);
    check_file("# comment", "f:1 should start with user keyword followed by the username. ");
    check_file("user a on\nuser", "f:2 should start with user keyword followed by the username. ");
    check_file("user a\nuser a", "WARNING: Duplicate user 'a' found on line 2. ");
    check_file("user a +nosuch +nosuch2",
               "f:1: Error in applying operation '+nosuch': Unknown command or category name in "
               "ACL. f:1: Error in applying operation '+nosuch2': ");
    check_file("user a x y", "f:1: Syntax error. WARNING");
    check_file("user a (+get", "f:1: Unmatched parenthesis in selector definition.");
    check_file("user a\tb on", "'f:1: username 'a\tb' contains invalid characters. ");
}

static void every_builtin_command_has_its_line(void **state)
{
    (void)state;
    const struct command *command;
    for (unsigned i = 0; (command = command_at(i)) != NULL; i++) {
        for (unsigned j = 0; j <= command->subcommand_count; j++) {
            const struct command *one = j == 0 ? command : &command->subcommands[j - 1];
            const unsigned id = acl_command_find(slice_of(one->full_name));
            assert_true(id < acl_command_count());
            assert_int_equal(acl_command_at(id)->arity, one->arity);
            assert_int_equal((acl_command_at(id)->flags & ACL_NO_AUTH) != 0,
                             (one->flags & COMMAND_NO_AUTH) != 0);
        }
    }
    for (unsigned id = 1; id < acl_command_count(); id++) {
        assert_true(strcmp(acl_command_at(id - 1)->name, acl_command_at(id)->name) < 0);
    }
}

static void check_renames(const char *text, const char *reason)
{
    char said[256] = "";
    struct renames *renames = NULL;
    assert_int_equal(renames_parse(slice_of(text), &renames, said, sizeof(said)),
                     reason == NULL ? OK : INVALID);
    assert_true(reason == NULL || strstr(said, reason) != NULL);
    renames_free(renames);
}

static void commands_are_renamed_and_hidden(void **state)
{
    (void)state;
    char said[256];
    struct renames *renames = NULL;
    const char *text = " GET fetch , flushall \"\",SET get";
    assert_int_equal(renames_parse(slice_of(text), &renames, said, sizeof(said)), OK);
    struct slice name = SLICE_LITERAL("FETCH");
    assert_int_equal(renames_find(renames, &name), OK);
    assert_true(slice_is(name, "get"));
    name = SLICE_LITERAL("GET"); /* is SET now */
    assert_int_equal(renames_find(renames, &name), OK);
    assert_true(slice_is(name, "set"));
    name = SLICE_LITERAL("FlushAll");
    assert_int_equal(renames_find(renames, &name), MISS);
    name = SLICE_LITERAL("del");
    assert_int_equal(renames_find(renames, &name), AGAIN);
    renames_free(renames);
    check_renames("", NULL);
    check_renames("  ", NULL);
    check_renames("get a,", "pairs of NAME NEWNAME");
    check_renames("get a b", "pairs of NAME NEWNAME");
    check_renames("config|get x", "No such command");
    check_renames("get x, del X", "already exists");
    check_renames("get x, get y", "twice");
}

static void count_entries(void *arg, size_t count)
{
    *(size_t *)arg = count;
}

static void note_count(void *arg, const struct acl_event *event)
{
    *(size_t *)arg = *(size_t *)arg * 100 + event->count;
}

static size_t summary(struct acl_log *log)
{
    size_t sum = 0;
    acl_log_visit(log, 10, &(struct acl_log_visitor){count_entries, note_count, &sum});
    return sum;
}

static void alike_refusals_within_a_minute_are_one_entry(void **state)
{
    (void)state;
    struct acl_log *log = acl_log_new();
    struct acl_event event = {.reason = ACL_DENIED_KEY,
                              .object = SLICE_LITERAL("k"),
                              .username = SLICE_LITERAL("u"),
                              .client = SLICE_LITERAL("c"),
                              .at_ms = 1000};
    acl_log_note(log, &event, 3);
    event.at_ms = 61000;
    acl_log_note(log, &event, 3);
    assert_int_equal(summary(log), 102);
    event.at_ms = 121001;
    acl_log_note(log, &event, 3);
    assert_int_equal(summary(log), 20102);
    event.object = SLICE_LITERAL("other");
    acl_log_note(log, &event, 3);
    acl_log_note(log, &event, 3);
    assert_int_equal(summary(log), 3020102);
    event.in_multi = true;
    acl_log_note(log, &event, 3);
    assert_int_equal(summary(log), 3010201);
    acl_log_reset(log);
    assert_int_equal(summary(log), 0);
    acl_log_free(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_user_may_nothing),
        cmocka_unit_test(commands_categories_and_subcommands),
        cmocka_unit_test(keys_are_read_or_written),
        cmocka_unit_test(an_invalidation_of_more_than_keys_is_one_of_all_keys),
        cmocka_unit_test(channels_and_patterns),
        cmocka_unit_test(a_script_may_do_what_nobody_checks),
        cmocka_unit_test(one_selector_must_allow_all_of_it),
        cmocka_unit_test(a_command_of_l2_alone_is_denied_unless_its_rules_are_known),
        cmocka_unit_test(rules_that_are_wrong_are_refused_in_the_words_of_redis),
        cmocka_unit_test(passwords_are_hashed_and_compared_whole),
        cmocka_unit_test(only_who_may_everything_is_free),
        cmocka_unit_test(what_is_described_makes_the_same_user),
        cmocka_unit_test(a_file_is_taken_whole_or_named_by_line),
        cmocka_unit_test(every_builtin_command_has_its_line),
        cmocka_unit_test(commands_are_renamed_and_hidden),
        cmocka_unit_test(alike_refusals_within_a_minute_are_one_entry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
