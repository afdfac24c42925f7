/* SPDX-License-Identifier: BSD-3-Clause */
/* How often L2 is asked what a managed value is worth, by a node that may have missed bans (verdict.h). */
#include "tests/unit/window_help.h"
#include "tiers/bans.h"
#include "tiers/managed.h"
#include "tiers/verdict.h"

enum {
    MORE = 10,
    ALL = VERDICTS_PER_TICK + MORE,
    TICK_MS = 100
};

struct one {
    struct tiers_reader reader;
    unsigned ends;
    bool judged;
};

static void on_one(struct tiers_reader *reader, enum status status, const struct tiers_value *value)
{
    struct one *one = LIST_ENTRY(reader, struct one, reader);
    struct managed_value managed;
    assert_int_equal(status, OK);
    assert_int_equal(managed_open(item_value(value->item), ITEM_NEVER, &managed), OK);
    one->ends++;
    one->judged = (managed.flags & MANAGED_JUDGED) != 0;
}

static void ask_one(struct stage *stage, struct one *one, unsigned number)
{
    char name[16];
    char copy[64];
    bool foreign = false;
    struct l1_value value = {.copy = copy, .copy_room = sizeof copy};
    (void)snprintf(name, sizeof name, "m:%u", number);
    *one = (struct one){.reader = {.on_value = on_one}};
    const struct ns_key key = namespaces_key(stage->namespaces, 0, slice_of(name));
    assert_int_equal(tiers_get(stage->window, &key, 2, &value, &one->reader, &foreign), PENDING);
    HELP_SAY(&stage->roof, ":-1\r\n$1\r\nv\r\n");
}

static void so_many_are_asked_between_two_ticks_and_the_others_are_not_known(void **state)
{
    (void)state;
    struct namespace_spec specs[] = {spec_of("default", "", 1000), spec_of("m", "m:", 1000)};
    struct stage stage;
    struct one ones[ALL];
    specs[1].managed = true;
    specs[1].settings.told = true;
    stage_open(&stage, specs, 2);
    bans_set_epoch(tiers_bans(stage.tiers), (struct epoch){.counter = 1, .random = 7});
    bans_set_whole(tiers_bans(stage.tiers), false);
    for (unsigned i = 0; i < ALL; i++) {
        ask_one(&stage, &ones[i], i);
        const bool asks = i < VERDICTS_PER_TICK;
        assert_int_equal(ones[i].ends, !asks);
        assert_false(ones[i].judged);
        if (asks) {
            HELP_SAY(&stage.roof, "+NONE\r\n");
            assert_int_equal(ones[i].ends, 1);
            assert_true(ones[i].judged);
        }
    }
    assert_int_equal(metrics_read(&stage.metrics, M_VERDICTS), VERDICTS_PER_TICK);
    assert_int_equal(metrics_read(&stage.metrics, M_VERDICTS_TOO_MANY), MORE);
    tiers_window_tick(stage.window, HELP_NOW + TICK_MS);
    ask_one(&stage, &ones[0], ALL);
    assert_int_equal(ones[0].ends, 0);
    HELP_SAY(&stage.roof, "+NONE\r\n");
    assert_true(ones[0].ends == 1 && ones[0].judged);
    stage_done(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(so_many_are_asked_between_two_ticks_and_the_others_are_not_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
