/* SPDX-License-Identifier: BSD-3-Clause */
/* A window's part in write-behind: who is told when, what goes to L2, and what waits for it. Redis' bytes and the disk are by
 * hand. */
#include "protocol/envelope.h"
#include "tests/unit/window_help.h"
#include "tiers/bans.h"
#include "tiers/behind.h"
#include "tiers/managed.h"
#include "tiers/managed_write.h"

#include <stdlib.h>

enum {
    BASE = 50 /* what the node knows of */
};

static const struct wish of_l2 = {.kind = WISH_FRESH};

struct act {
    struct managed_write write;
    struct buf envelope;
    unsigned ends;
    enum status status;
    uint64_t seq;
};

struct desk {
    struct stage stage;
    struct l1 *kin;
    struct behind *behind;
    unsigned wakes;
    unsigned flushed;
    unsigned taken;
    unsigned refused;
    bool refused_all;
};

static void on_wake(void *arg)
{
    ((struct desk *)arg)->wakes++;
}

static void on_flushed(void *arg)
{
    ((struct desk *)arg)->flushed++;
}

static void on_taken(void *arg, const struct l1_key *key)
{
    (void)key;
    ((struct desk *)arg)->taken++;
}

static void on_refused(void *arg, unsigned worker, struct slice key, struct slice error, bool all)
{
    struct desk *desk = arg;
    (void)key;
    (void)worker;
    assert_true(error.size > 0);
    desk->refused++;
    desk->refused_all = all;
}

static void on_written(struct managed_write *write, enum status status, uint64_t seq,
                       struct slice error)
{
    struct act *act = (struct act *)(void *)write;
    (void)error;
    act->ends++;
    act->status = status;
    act->seq = seq;
}

static void desk_open(struct desk *desk)
{
    struct namespace_spec specs[] = {spec_of("default", "", 1000), spec_of("b", "b:", 1000)};
    specs[1].managed = true;
    specs[1].settings.told = true;
    specs[1].settings.rules.write = NAMESPACE_BEHIND;
    *desk = (struct desk){0};
    /* Hashes are of the table alone: it finds nothing in L1. */
    desk->kin = l1_new(&(struct l1_options){.bytes_max = MB, .seed = 1});
    desk->behind =
        behind_new(&(struct behind_options){.kin = desk->kin, .entries_max = 100, .bytes_max = MB});
    assert_non_null(desk->behind);
    const struct stage_options options = {.behind = {.behind = desk->behind,
                                                     .wake = on_wake,
                                                     .flushed = on_flushed,
                                                     .taken = on_taken,
                                                     .refused = on_refused,
                                                     .arg = desk}};
    stage_open_as(&desk->stage, specs, 2, &options);
    const struct beat_answer answer = {
        .epoch = {.counter = 5, .random = 1}, .seq = 1, .run = 3, .target = 4, .reign = 5};
    coherence_on_control_up(tiers_coherence(desk->stage.tiers), &answer, HELP_NOW);
    bans_set_whole(tiers_bans(desk->stage.tiers), true);
    atomic_store(&desk->stage.view->applied_seq, BASE);
    prove(&desk->stage, HELP_NOW);
}

static void desk_done(struct desk *desk)
{
    stage_done(&desk->stage);
    struct behind_flush *flush = NULL;
    behind_log_failed(desk->behind); /* all of it is to come */
    while ((flush = behind_next(desk->behind, INT64_MAX)) != NULL) {
        behind_done(desk->behind, flush, BEHIND_SENT, 0, 1);
    }
    behind_free(desk->behind);
    l1_free(desk->kin);
}

static void send_for(struct desk *desk, struct act *act, enum managed_op op, const char *key,
                     const char *value, int64_t px_ms)
{
    const struct envelope envelope = {.value_size = (uint32_t)strlen(value),
                                      .body = slice_of(value)};
    *act =
        (struct act){.write = {.on_written = on_written,
                               .op = op,
                               .px_ms = px_ms,
                               .key = namespaces_key(desk->stage.namespaces, 0, slice_of(key)).at}};
    assert_int_equal(envelope_write(&act->envelope, &envelope, NULL), OK);
    act->write.envelope = op == MANAGED_PUT ? buf_slice(&act->envelope) : (struct slice){0};
    assert_int_equal(managed_write_send(desk->stage.window, &act->write), OK);
    buf_done(&act->envelope); /* it was borrowed until then */
}

static void send(struct desk *desk, struct act *act, enum managed_op op, const char *key,
                 const char *value)
{
    send_for(desk, act, op, key, value, 0);
}

/* The disk has all. */
static void make_safe(struct desk *desk)
{
    struct buf bytes = {0};
    behind_log_safe(desk->behind, behind_log_take(desk->behind, &bytes));
    buf_done(&bytes);
    tiers_window_behind(desk->stage.window);
}

/* Whether what goes out now holds this text; nothing goes out: NULL. */
static bool goes_out(struct desk *desk, const char *text)
{
    managed_write_flush(desk->stage.window);
    struct buf bytes = help_written(&desk->stage.roof);
    const bool has =
        text == NULL ? bytes.size == 0 : memmem(bytes.data, bytes.size, text, strlen(text)) != NULL;
    buf_done(&bytes);
    return has;
}

/* A ban of what begins so, or of a lost table. */
static void ban(struct desk *desk, enum frame_ban_kind kind, const char *text, uint64_t hard)
{
    struct buf name = {0};
    struct frame_ban entry;
    const char *ns = kind == FRAME_BAN_LOST ? "" : "b";
    assert_int_equal(frame_ban_name(&name, kind, slice_of(ns), slice_of(text)), OK);
    assert_int_equal(frame_ban_read_name(buf_slice(&name), &entry), OK);
    entry.hard = hard;
    bans_add(tiers_bans(desk->stage.tiers), &entry, HELP_NOW);
    buf_done(&name);
    tiers_window_begin(desk->stage.window, HELP_NOW);
}

static void set_seqs(struct desk *desk, uint64_t applied, uint64_t highest)
{
    atomic_store(&desk->stage.view->applied_seq, applied);
    atomic_store(&desk->stage.view->highest_seq, highest);
}

/* Nothing is in the table when the disk has what was told to the log. */
static bool is_over(struct desk *desk)
{
    struct buf bytes = {0};
    behind_log_safe(desk->behind, behind_log_take(desk->behind, &bytes));
    buf_done(&bytes);
    return behind_is_empty(desk->behind);
}

#define NAME "0123456789012345678901234567890123456789"

static void a_write_is_told_when_the_log_is_safe_and_sent_then(void **state)
{
    (void)state;
    struct desk desk;
    struct act act;
    desk_open(&desk);
    send(&desk, &act, MANAGED_PUT, "b:k", "the value");
    assert_int_equal(desk.wakes, 1);
    tiers_window_behind(desk.stage.window);
    tiers_window_tick(desk.stage.window, HELP_NOW + 100);
    assert_int_equal(act.ends, 0);
    assert_true(goes_out(&desk, NULL));
    make_safe(&desk);
    assert_int_equal(act.ends, 1);
    assert_int_equal(act.status, OK);
    assert_int_equal(act.seq, 0);
    assert_true(goes_out(&desk, "the value"));
    HELP_SAY(&desk.stage.roof, "$40\r\n" NAME "\r\n*2\r\n:70\r\n:1\r\n");
    assert_true(is_over(&desk));
    assert_int_equal(desk.wakes, 2); /* the log is told */
    assert_int_equal(metrics_read(&desk.stage.metrics, M_BEHIND_FLUSHED), 1);
    assert_int_equal(metrics_read(&desk.stage.metrics, M_BEHIND_CONFLICTS), 0);
    desk_done(&desk);
}

static void a_disk_that_failed_tells_when_l2_has_it(void **state)
{
    (void)state;
    struct desk desk;
    struct act act;
    desk_open(&desk);
    send(&desk, &act, MANAGED_PUT, "b:k", "the value");
    behind_log_failed(desk.behind);
    tiers_window_behind(desk.stage.window);
    assert_int_equal(act.ends, 0);
    assert_true(goes_out(&desk, "the value"));
    HELP_SAY(&desk.stage.roof, "$40\r\n" NAME "\r\n*2\r\n:70\r\n:1\r\n");
    tiers_window_behind(desk.stage.window);
    assert_int_equal(act.ends, 1);
    assert_int_equal(act.status, OK);
    desk_done(&desk);
}

static void something_newer_in_l2_is_counted_and_the_last_to_come_stands(void **state)
{
    (void)state;
    struct desk desk;
    struct act act;
    desk_open(&desk);
    send(&desk, &act, MANAGED_PUT, "b:k", "the value");
    make_safe(&desk);
    assert_true(goes_out(&desk, "the value"));
    HELP_SAY(&desk.stage.roof, "$40\r\n" NAME "\r\n*2\r\n:70\r\n:0\r\n");
    assert_int_equal(metrics_read(&desk.stage.metrics, M_BEHIND_CONFLICTS), 1);
    assert_true(goes_out(&desk, "the value"));
    HELP_SAY(&desk.stage.roof, "*2\r\n:71\r\n:1\r\n");
    assert_true(is_over(&desk));
    desk_done(&desk);
}

static void other_writes_and_reads_of_l2_wait_until_it_has_the_key(void **state)
{
    (void)state;
    struct desk desk;
    struct act put;
    struct act gone;
    struct reading seen;
    struct reading fresh;
    desk_open(&desk);
    send(&desk, &put, MANAGED_PUT, "b:k", "the value");
    send(&desk, &gone, MANAGED_DELETE, "b:k", "");
    assert_int_equal(ask_with(&desk.stage, &fresh, "b:k", &of_l2), PENDING);
    char copy[64];
    bool foreign = false;
    struct l1_value value = {.copy = copy, .copy_room = sizeof copy};
    seen = (struct reading){.reader = {.on_value = on_value}};
    const struct ns_key key = namespaces_key(desk.stage.namespaces, 0, slice_of("b:k"));
    assert_int_equal(tiers_get(desk.stage.window, &key, 2, &value, &seen.reader, &foreign), OK);
    assert_non_null(memmem(value.bytes.data, value.bytes.size, "the value", 9));
    item_release(value.item);
    assert_true(goes_out(&desk, NULL));
    make_safe(&desk);
    assert_true(goes_out(&desk, "the value"));
    HELP_SAY(&desk.stage.roof, "$40\r\n" NAME "\r\n*2\r\n:70\r\n:1\r\n");
    assert_int_equal(gone.ends, 0);
    assert_int_equal(fresh.ends, 0);
    assert_int_equal(desk.flushed, 1);
    tiers_window_behind(desk.stage.window);
    assert_true(goes_out(&desk, NULL)); /* nor before the log says that L2 has it */
    make_safe(&desk);
    assert_true(goes_out(&desk, "b:k"));
    desk_done(&desk);
    assert_int_equal(gone.ends, 1);
    assert_int_equal(fresh.ends, 1);
}

static void who_waits_too_long_is_told_so(void **state)
{
    (void)state;
    struct desk desk;
    struct act put;
    struct act gone;
    struct reading fresh;
    desk_open(&desk);
    send(&desk, &put, MANAGED_PUT, "b:k", "the value");
    send(&desk, &gone, MANAGED_DELETE, "b:k", "");
    assert_int_equal(ask_with(&desk.stage, &fresh, "b:k", &of_l2), PENDING);
    tiers_window_tick(desk.stage.window, HELP_NOW + 1999);
    assert_int_equal(gone.ends + fresh.ends, 0);
    tiers_window_tick(desk.stage.window, HELP_NOW + 2000);
    assert_int_equal(gone.ends, 1);
    assert_int_equal(gone.status, L2_DOWN);
    assert_int_equal(fresh.ends, 1);
    assert_int_equal(fresh.status, L2_DOWN);
    assert_int_equal(
        put.ends, 1); /* neither the disk has it nor, as far as is known, L2: it may come to both */
    assert_int_equal(put.status, UNKNOWN);
    assert_false(put.write.confirmed);
    desk_done(&desk);
}

/* From half of the time that a client waits. */
static void while_the_disk_hangs_writes_go_through_and_what_waits_is_done_when_l2_has_it(
    void **state)
{
    (void)state;
    struct desk desk;
    struct act waits;
    struct act fresh;
    desk_open(&desk);
    send(&desk, &waits, MANAGED_PUT, "b:k", "the value");
    tiers_window_tick(desk.stage.window, HELP_NOW + 1000);
    assert_true(goes_out(&desk, NULL));
    tiers_window_tick(desk.stage.window, HELP_NOW + 1001);
    assert_true(goes_out(&desk, "the value"));
    assert_int_equal(waits.ends, 0);
    HELP_SAY(&desk.stage.roof, "$40\r\n" NAME "\r\n*2\r\n:70\r\n:1\r\n");
    tiers_window_behind(desk.stage.window);
    assert_int_equal(waits.ends, 1);
    assert_int_equal(waits.status, OK);
    send(&desk, &fresh, MANAGED_PUT, "b:k", "through");
    assert_true(goes_out(&desk, "through"));
    HELP_SAY(&desk.stage.roof, "*2\r\n:71\r\n:1\r\n");
    assert_int_equal(fresh.seq, 71);
    make_safe(&desk); /* it goes on */
    tiers_window_tick(desk.stage.window, HELP_NOW + 1100);
    send(&desk, &fresh, MANAGED_PUT, "b:k", "behind");
    assert_true(goes_out(&desk, NULL));
    make_safe(&desk);
    assert_int_equal(fresh.ends, 1);
    assert_int_equal(fresh.seq, 0);
    desk_done(&desk);
}

static void what_l2_refuses_for_its_key_stops_no_other(void **state)
{
    (void)state;
    struct desk desk;
    struct act bad;
    struct act good;
    desk_open(&desk);
    send(&desk, &bad, MANAGED_PUT, "b:bad", "the bad one");
    make_safe(&desk);
    assert_true(goes_out(&desk, "the bad one"));
    HELP_SAY(&desk.stage.roof, "$40\r\n" NAME "\r\n*2\r\n:70\r\n-NOPERM no\r\n");
    assert_int_equal(desk.refused, 1);
    assert_false(desk.refused_all);
    assert_int_equal(metrics_read(&desk.stage.metrics, M_BEHIND_REFUSED), 1);
    send(&desk, &good, MANAGED_PUT, "b:good", "the good one");
    make_safe(&desk);
    assert_true(goes_out(&desk, "the good one"));
    HELP_SAY(&desk.stage.roof, "*2\r\n:71\r\n:1\r\n");
    tiers_window_tick(desk.stage.window, HELP_NOW + 99);
    assert_true(goes_out(&desk, NULL));
    tiers_window_tick(desk.stage.window, HELP_NOW + 100);
    assert_true(goes_out(&desk, "the bad one"));
    HELP_SAY(&desk.stage.roof, "-READONLY it is a replica\r\n"); /* and this is not about a key */
    assert_int_equal(desk.refused, 2);
    assert_true(desk.refused_all);
    assert_int_equal(metrics_read(&desk.stage.metrics, M_BEHIND_REFUSED), 1);
    desk_done(&desk);
}

static void what_was_invalidated_meanwhile_is_not_sent(void **state)
{
    (void)state;
    struct desk desk;
    struct act act;
    struct act later;
    desk_open(&desk);
    send(&desk, &act, MANAGED_PUT, "b:old", "the old value");
    ban(&desk, FRAME_BAN_PREFIX, "b:o", BASE + 1);
    send(&desk, &later, MANAGED_PUT, "b:new", "the other value");
    make_safe(&desk);
    assert_int_equal(act.status, OK); /* it was done, and invalidated then */
    managed_write_flush(desk.stage.window);
    struct buf bytes = help_written(&desk.stage.roof);
    assert_null(memmem(bytes.data, bytes.size, "the old value", 13));
    assert_non_null(memmem(bytes.data, bytes.size, "the other value", 15));
    buf_done(&bytes);
    assert_int_equal(metrics_read(&desk.stage.metrics, M_BEHIND_INVALIDATED), 1);
    HELP_SAY(&desk.stage.roof, "$40\r\n" NAME "\r\n*2\r\n:70\r\n:1\r\n");
    assert_true(is_over(&desk));
    desk_done(&desk);
}

static void what_is_taken_while_the_bus_is_lost_is_as_new_as_what_was_heard(void **state)
{
    (void)state;
    struct desk desk;
    struct act act;
    desk_open(&desk);
    ban(&desk, FRAME_BAN_PREFIX, "b:", BASE);
    set_seqs(&desk, 0, BASE);
    send(&desk, &act, MANAGED_PUT, "b:k", "the value");
    make_safe(&desk);
    assert_int_equal(act.status, OK);
    assert_true(goes_out(&desk, NULL)); /* up to where could it be judged? */
    set_seqs(&desk, BASE + 5, BASE + 5);
    tiers_window_tick(desk.stage.window, HELP_NOW + 100);
    assert_true(goes_out(&desk, "the value"));
    assert_int_equal(metrics_read(&desk.stage.metrics, M_BEHIND_INVALIDATED), 0);
    HELP_SAY(&desk.stage.roof, "$40\r\n" NAME "\r\n*2\r\n:70\r\n:1\r\n");
    assert_true(is_over(&desk));
    desk_done(&desk);
}

static void before_anything_was_heard_writes_go_through(void **state)
{
    (void)state;
    struct desk desk;
    struct act act;
    desk_open(&desk);
    set_seqs(&desk, 0, 0);
    send(&desk, &act, MANAGED_PUT, "b:k", "the value");
    assert_true(is_over(&desk));
    assert_true(goes_out(&desk, "the value"));
    HELP_SAY(&desk.stage.roof, "$40\r\n" NAME "\r\n*2\r\n:70\r\n:1\r\n");
    assert_int_equal(act.seq, 70);
    desk_done(&desk);
}

static void what_waits_outlives_the_loss_of_l2s_table(void **state)
{
    (void)state;
    struct desk desk;
    struct act act;
    desk_open(&desk);
    send(&desk, &act, MANAGED_PUT, "b:k", "the value");
    ban(&desk, FRAME_BAN_LOST, "", BASE + 1000);
    struct reading seen = {.reader = {.on_value = on_value}};
    struct l1_value value = {0};
    struct managed_value worth;
    enum ban_verdict bans = BAN_UNKNOWN;
    bool foreign = false;
    const struct ns_key key = namespaces_key(desk.stage.namespaces, 0, slice_of("b:k"));
    assert_int_equal(tiers_get(desk.stage.window, &key, 2, &value, &seen.reader, &foreign), OK);
    assert_int_equal(tiers_judge(desk.stage.window, &key, item_value(value.item),
                                 item_expire_at_ms(value.item), &worth, &bans),
                     MANAGED_FRESH);
    item_release(value.item);
    make_safe(&desk);
    assert_true(goes_out(&desk, "the value"));
    HELP_SAY(&desk.stage.roof, "$40\r\n" NAME "\r\n*2\r\n:1070\r\n:1\r\n");
    desk_done(&desk);
}

/* The script says that something was invalidated behind what the window had judged. */
static void what_was_invalidated_on_its_way_is_judged_again(void **state)
{
    (void)state;
    struct desk desk;
    struct act act;
    char judged[16];
    desk_open(&desk);
    send(&desk, &act, MANAGED_PUT, "b:k", "the value");
    set_seqs(&desk, BASE + 7, BASE + 7);
    make_safe(&desk);
    put_u64le(judged, BASE); /* its version, and how far it was judged */
    put_u64le(judged + 8, BASE + 7);
    managed_write_flush(desk.stage.window);
    struct buf bytes = help_written(&desk.stage.roof);
    assert_non_null(memmem(bytes.data, bytes.size, judged, sizeof judged));
    buf_done(&bytes);
    HELP_SAY(&desk.stage.roof, "$40\r\n" NAME "\r\n*2\r\n:70\r\n:-1\r\n");
    assert_false(behind_is_empty(desk.behind));
    tiers_window_behind(desk.stage.window);
    assert_true(goes_out(&desk, NULL)); /* the bus has not said it yet */
    ban(&desk, FRAME_BAN_PREFIX, "b:", 69);
    set_seqs(&desk, 70, 70);
    tiers_window_behind(desk.stage.window);
    assert_true(goes_out(&desk, NULL));
    assert_true(is_over(&desk));
    assert_int_equal(metrics_read(&desk.stage.metrics, M_BEHIND_INVALIDATED), 1);
    desk_done(&desk);
}

static void a_put_does_not_pass_what_was_asked_before_it(void **state)
{
    (void)state;
    struct desk desk;
    struct act gone;
    struct act put;
    struct act other;
    desk_open(&desk);
    send(&desk, &gone, MANAGED_DELETE, "b:k", "");
    send(&desk, &put, MANAGED_PUT, "b:k", "the value");
    send(&desk, &other, MANAGED_PUT, "b:other", "another value");
    assert_int_equal(desk.wakes, 1); /* of the other key */
    assert_true(goes_out(&desk, "the value"));
    HELP_SAY(&desk.stage.roof, "$40\r\n" NAME "\r\n*3\r\n:70\r\n:2\r\n:1\r\n");
    assert_int_equal(gone.ends + put.ends, 2);
    send(&desk, &put, MANAGED_PUT, "b:k", "the value"); /* nothing is in front of it any more */
    assert_int_equal(desk.wakes, 2);
    desk_done(&desk);
}

/* The key has left the table, and what was parked for it has not noticed yet. */
static void a_put_does_not_pass_what_is_parked(void **state)
{
    (void)state;
    struct desk desk;
    struct act first;
    struct act gone;
    struct act put;
    desk_open(&desk);
    send(&desk, &first, MANAGED_PUT, "b:k", "first value");
    send(&desk, &gone, MANAGED_DELETE, "b:k", "");
    make_safe(&desk);
    assert_true(goes_out(&desk, "first value"));
    HELP_SAY(&desk.stage.roof, "$40\r\n" NAME "\r\n*2\r\n:70\r\n:1\r\n");
    assert_true(is_over(&desk));
    const unsigned wakes = desk.wakes;
    send(&desk, &put, MANAGED_PUT, "b:k", "later value");
    assert_int_equal(desk.wakes, wakes); /* it is not taken */
    tiers_window_behind(desk.stage.window);
    managed_write_flush(desk.stage.window);
    struct buf bytes = help_written(&desk.stage.roof);
    const char *deleted = memmem(bytes.data, bytes.size, "\r\nD", 3);
    const char *later = memmem(bytes.data, bytes.size, "later value", 11);
    assert_true(deleted != NULL && later != NULL && deleted < later);
    buf_done(&bytes);
    HELP_SAY(&desk.stage.roof, "*3\r\n:71\r\n:1\r\n:1\r\n");
    assert_int_equal(gone.ends + put.ends, 2);
    desk_done(&desk);
}

/* What has died while it waited: something newer in L2 stays. */
static void what_is_over_deletes_nothing_that_is_newer(void **state)
{
    (void)state;
    struct desk desk;
    struct act act;
    desk_open(&desk);
    send_for(&desk, &act, MANAGED_PUT, "b:k", "the value", 150);
    make_safe(&desk);
    assert_true(goes_out(&desk, "the value"));
    tiers_window_begin(desk.stage.window, HELP_NOW + 200);
    HELP_SAY(&desk.stage.roof, "$40\r\n" NAME "\r\n*2\r\n:70\r\n:0\r\n");
    assert_true(goes_out(&desk, NULL));
    assert_true(is_over(&desk));
    desk_done(&desk);
    desk_open(&desk);
    send_for(&desk, &act, MANAGED_PUT, "b:k", "the value", 150);
    tiers_window_begin(desk.stage.window, HELP_NOW + 200);
    make_safe(&desk);
    assert_true(goes_out(&desk, "\r\nD"));
    HELP_SAY(&desk.stage.roof, "$40\r\n" NAME "\r\n*2\r\n:70\r\n:0\r\n");
    assert_true(goes_out(&desk, NULL));
    assert_true(is_over(&desk));
    desk_done(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_is_told_when_the_log_is_safe_and_sent_then),
        cmocka_unit_test(a_disk_that_failed_tells_when_l2_has_it),
        cmocka_unit_test(something_newer_in_l2_is_counted_and_the_last_to_come_stands),
        cmocka_unit_test(other_writes_and_reads_of_l2_wait_until_it_has_the_key),
        cmocka_unit_test(who_waits_too_long_is_told_so),
        cmocka_unit_test(
            while_the_disk_hangs_writes_go_through_and_what_waits_is_done_when_l2_has_it),
        cmocka_unit_test(what_l2_refuses_for_its_key_stops_no_other),
        cmocka_unit_test(what_was_invalidated_meanwhile_is_not_sent),
        cmocka_unit_test(what_is_taken_while_the_bus_is_lost_is_as_new_as_what_was_heard),
        cmocka_unit_test(before_anything_was_heard_writes_go_through),
        cmocka_unit_test(what_waits_outlives_the_loss_of_l2s_table),
        cmocka_unit_test(what_was_invalidated_on_its_way_is_judged_again),
        cmocka_unit_test(a_put_does_not_pass_what_was_asked_before_it),
        cmocka_unit_test(a_put_does_not_pass_what_is_parked),
        cmocka_unit_test(what_is_over_deletes_nothing_that_is_newer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
