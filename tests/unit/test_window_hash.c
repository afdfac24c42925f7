/* SPDX-License-Identifier: BSD-3-Clause */
/* Hashes of L2 in L1: read whole when they are read again, by the same rules of tokens, fences and kinship as strings. */
#include "protocol/fields.h"
#include "tests/unit/window_help.h"

#define FOUND(cursor) ":-1\r\n*2\r\n$1\r\n" cursor "\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n"

static struct namespace_spec only_default(void)
{
    return spec_of("default", "", 1000);
}

static void open_stage(struct stage *stage)
{
    const struct namespace_spec specs[] = {only_default()};
    stage_open(stage, specs, 1);
    tiers_window_hash_fields(stage->window, 4);
}

struct hash_asked {
    struct reading asked; /* first; its text: of field f, or nothing */
    bool is_hash;
};

static void on_hash(struct tiers_reader *reader, enum status status,
                    const struct tiers_value *value)
{
    struct hash_asked *it = (struct hash_asked *)(void *)reader;
    it->asked.ends++;
    it->asked.status = status;
    it->is_hash = value->item != NULL && item_is_hash(value->item);
}

static enum status ask_hash(struct stage *stage, struct hash_asked *it, const char *name)
{
    bool foreign = false;
    struct l1_value value = {0};
    *it = (struct hash_asked){.asked.reader = {.on_value = on_hash, .of_hash = true}};
    struct ns_key key = namespaces_key(stage->namespaces, 0, slice_of(name));
    const enum status status =
        tiers_get(stage->window, &key, 2, &value, &it->asked.reader, &foreign);
    if (status == OK) {
        it->is_hash = value.is_hash;
        item_release(value.item);
    }
    return status;
}

static void ended(const struct hash_asked *it, enum status status, bool is_hash)
{
    assert_int_equal(it->asked.ends, 1);
    assert_int_equal(it->asked.status, status);
    assert_int_equal(it->is_hash, is_hash);
}

/* The second read of the key, on its way. */
static void ask_twice(struct stage *stage, struct hash_asked *it, const char *name)
{
    assert_int_equal(ask_hash(stage, it, name), MISS);
    assert_int_equal(ask_hash(stage, it, name), PENDING);
}

static bool stands_as_hash(struct stage *stage)
{
    struct l1_peek peek;
    struct ns_key key = namespaces_key(stage->namespaces, 0, slice_of("k"));
    return tiers_peek(stage->window, &key, &peek) == OK && peek.is_hash;
}

static void the_second_read_brings_all_of_it_and_the_third_hits(void **state)
{
    (void)state;
    struct stage stage;
    struct hash_asked it;
    open_stage(&stage);
    assert_int_equal(ask_hash(&stage, &it, "k"), MISS);
    help_expect_written(&stage.roof, "");
    assert_int_equal(ask_hash(&stage, &it, "k"), PENDING);
    help_expect_written(&stage.roof,
                        "*2\r\n$4\r\nPTTL\r\n$1\r\nk\r\n*5\r\n$5\r\nHSCAN\r\n$1\r\nk\r\n"
                        "$1\r\n0\r\n$5\r\nCOUNT\r\n$1\r\n9\r\n");
    HELP_SAY(&stage.roof, FOUND("0"));
    ended(&it, OK, true);
    assert_int_equal(ask_hash(&stage, &it, "k"), OK);
    assert_true(it.is_hash);
    struct reading string;
    assert_int_equal(ask(&stage, &string, "k"), OK); /* found, too: of the wrong type */
    stage_done(&stage);
}

static void a_late_landing_keeps_nothing(void **state)
{
    (void)state;
    struct stage stage;
    struct hash_asked it;
    open_stage(&stage);
    ask_twice(&stage, &it, "k");
    (void)namespaces_forget(stage.namespaces, slice_of("k"));
    HELP_SAY(&stage.roof, FOUND("0"));
    ended(&it, OK, true);
    assert_false(stands_as_hash(&stage));
    stage_done(&stage);
}

static void readers_of_one_kind_share_a_flight_and_those_of_the_other_do_not(void **state)
{
    (void)state;
    struct stage stage;
    struct hash_asked first;
    struct hash_asked second;
    struct reading string;
    open_stage(&stage);
    ask_twice(&stage, &first, "k");
    assert_int_equal(ask_hash(&stage, &second, "k"), PENDING);
    assert_int_equal(ask(&stage, &string, "k"), PENDING);
    HELP_SAY(&stage.roof, FOUND("0"));
    ended(&first, OK, true);
    ended(&second, OK, true);
    assert_true(stands_as_hash(&stage));
    assert_int_equal(string.ends, 0);
    HELP_SAY(&stage.roof, ":-1\r\n-WRONGTYPE no\r\n");
    assert_int_equal(string.status, L2_ERROR);
    assert_false(stands_as_hash(&stage)); /* any landing without a token */
    stage_done(&stage);
}

static void what_is_no_whole_hash_is_passed_on_and_left_alone(void **state)
{
    (void)state;
    static const char *const replies[] = {
        FOUND("7"),
        (":-1\r\n*2\r\n$1\r\n0\r\n*10\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n1\r\n$1\r\nc\r\n$1\r\n1\r\n"
         "$1\r\nd\r\n$1\r\n1\r\n$1\r\ne\r\n$1\r\n1\r\n"),
        ":-1\r\n-NOPERM this user has no permissions to run the 'hscan' command\r\n",
        ":-1\r\n-ERR unknown command 'HSCAN', with args beginning with: \r\n",
    };
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        struct stage stage;
        struct hash_asked it;
        open_stage(&stage);
        ask_twice(&stage, &it, "k");
        help_feed(&stage.roof, slice_of(replies[i]), HELP_NOW);
        ended(&it, TOO_BIG, false);
        assert_false(stands_as_hash(&stage));
        for (unsigned n = 0; n < 100; n++) {
            assert_int_equal(ask_hash(&stage, &it, "k"), MISS);
        }
        assert_int_equal(metrics_read(&stage.metrics, M_HASHES_TOO_LARGE), 1);
        stage_done(&stage);
    }
}

static void no_key_and_another_type_are_answers(void **state)
{
    (void)state;
    struct stage stage;
    struct hash_asked it;
    open_stage(&stage);
    ask_twice(&stage, &it, "none");
    HELP_SAY(&stage.roof, ":-2\r\n*2\r\n$1\r\n0\r\n*0\r\n");
    ended(&it, OK, false);
    ask_twice(&stage, &it, "string");
    HELP_SAY(&stage.roof, ":-1\r\n-WRONGTYPE Operation against\r\n");
    ended(&it, L2_ERROR, false);
    ask_twice(&stage, &it, "k");
    HELP_SAY(&stage.roof, ":-1\r\n+nonsense\r\n");
    ended(&it, L2_DOWN, false);
    stage_done(&stage);
}

static void a_string_that_stands_is_found_by_a_reader_of_a_hash(void **state)
{
    (void)state;
    struct stage stage;
    struct reading string;
    struct hash_asked it;
    open_stage(&stage);
    assert_int_equal(ask(&stage, &string, "k"), PENDING);
    HELP_SAY(&stage.roof, ":-1\r\n$1\r\nv\r\n");
    assert_int_equal(ask_hash(&stage, &it, "k"), OK);
    assert_false(it.is_hash);
    assert_true(stands(&stage, "k", "v"));
    stage_done(&stage);
}

static void what_became_suspect_is_read_anew_whole_at_once(void **state)
{
    (void)state;
    struct stage stage;
    struct hash_asked it;
    open_stage(&stage);
    ask_twice(&stage, &it, "k");
    HELP_SAY(&stage.roof, FOUND("0"));
    atomic_store(&stage.view->plain.floor_ms, HELP_NOW + 1);
    prove(&stage, HELP_NOW + 10);
    assert_int_equal(ask_hash(&stage, &it, "k"), PENDING);
    HELP_SAY(&stage.roof, FOUND("0"));
    ended(&it, OK, true);
    atomic_store(&stage.view->plain.floor_ms, HELP_NOW + 11); /* once more, in the background */
    prove(&stage, HELP_NOW + 20);
    struct item *suspect = NULL;
    struct ns_key key = namespaces_key(stage.namespaces, 0, slice_of("k"));
    it = (struct hash_asked){.asked.reader = {.on_value = on_hash, .in_background = true}};
    assert_int_equal(tiers_revalidate(stage.window, &key, &it.asked.reader, &suspect), PENDING);
    item_release(suspect);
    HELP_SAY(&stage.roof, FOUND("0"));
    ended(&it, OK, true);
    assert_true(stands_as_hash(&stage));
    stage_done(&stage);
}

static void with_no_fields_allowed_all_is_passed_on(void **state)
{
    (void)state;
    struct stage stage;
    struct hash_asked it;
    open_stage(&stage);
    tiers_window_hash_fields(stage.window, 0);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(ask_hash(&stage, &it, "k"), MISS);
    }
    stage_done(&stage);
}

static void a_life_in_l2_is_a_life_here(void **state)
{
    (void)state;
    struct stage stage;
    struct hash_asked it;
    open_stage(&stage);
    ask_twice(&stage, &it, "k");
    HELP_SAY(&stage.roof, ":50\r\n*2\r\n$1\r\n0\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n");
    ended(&it, OK, true);
    prove(&stage, HELP_NOW + 49);
    assert_int_equal(ask_hash(&stage, &it, "k"), OK);
    prove(&stage, HELP_NOW + 50);
    assert_false(stands_as_hash(&stage));
    stage_done(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_read_brings_all_of_it_and_the_third_hits),
        cmocka_unit_test(a_late_landing_keeps_nothing),
        cmocka_unit_test(readers_of_one_kind_share_a_flight_and_those_of_the_other_do_not),
        cmocka_unit_test(what_is_no_whole_hash_is_passed_on_and_left_alone),
        cmocka_unit_test(no_key_and_another_type_are_answers),
        cmocka_unit_test(a_string_that_stands_is_found_by_a_reader_of_a_hash),
        cmocka_unit_test(what_became_suspect_is_read_anew_whole_at_once),
        cmocka_unit_test(with_no_fields_allowed_all_is_passed_on),
        cmocka_unit_test(a_life_in_l2_is_a_life_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
