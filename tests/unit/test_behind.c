/* SPDX-License-Identifier: BSD-3-Clause */
/* Writes that L2 does not have yet: who sees them, in which order they go, and what a restart makes of the log. */
#include "protocol/check.h"
#include "protocol/envelope.h"
#include "tests/unit/l1_help.h"
#include "tiers/behind.h"

#include <string.h>

static struct l1 *kin;

static int open_kin(void **state)
{
    (void)state;
    kin = l1_new(&(struct l1_options){.bytes_max = 1 << 20, .seed = 1});
    return kin == NULL;
}

static int close_kin(void **state)
{
    (void)state;
    l1_free(kin);
    return 0;
}

enum {
    NOW = 1000
};

static struct behind *open_behind(size_t entries_max, size_t bytes_max)
{
    struct behind *behind = behind_new(
        &(struct behind_options){.kin = kin, .entries_max = entries_max, .bytes_max = bytes_max});
    assert_non_null(behind);
    return behind;
}

/* Some bytes that pass for an envelope, with the text behind its head. */
static struct slice envelope_of(const char *text, char room[ENVELOPE_HEAD_SIZE + 64])
{
    memset(room, 0, ENVELOPE_HEAD_SIZE);
    memcpy(room + ENVELOPE_HEAD_SIZE, text, strlen(text));
    return (struct slice){room, ENVELOPE_HEAD_SIZE + strlen(text)};
}

static enum status take(struct behind *behind, const char *key, const char *text, uint64_t base)
{
    char room[ENVELOPE_HEAD_SIZE + 64];
    uint64_t number = 0;
    const struct l1_key name = l1_key(kin, 0, slice_of(key));
    return behind_take(behind, &name, base, NOW, 0, envelope_of(text, room), &number);
}

static void assert_text(struct slice envelope, const char *text)
{
    assert_int_equal(envelope.size, ENVELOPE_HEAD_SIZE + strlen(text));
    assert_memory_equal(envelope.data + ENVELOPE_HEAD_SIZE, text, strlen(text));
}

static void assert_reads(struct behind *behind, const char *key, const char *text)
{
    const struct l1_key name = l1_key(kin, 0, slice_of(key));
    struct behind_value value;
    assert_int_equal(behind_find(behind, &name, &value), text == NULL ? MISS : OK);
    assert_int_equal(behind_has(behind, &name), text != NULL);
    if (text != NULL) {
        assert_text(buf_slice(&value.envelope), text);
    }
    buf_done(&value.envelope);
}

/* The disk has all that was written. Returns how many bytes it got. */
static size_t make_safe(struct behind *behind, struct buf *file)
{
    struct buf bytes = {0};
    behind_log_safe(behind, behind_log_take(behind, &bytes));
    const size_t size = bytes.size;
    if (file != NULL) {
        assert_int_equal(buf_append_slice(file, buf_slice(&bytes)), OK);
    }
    buf_done(&bytes);
    return size;
}

/* Nothing is in the table when the disk has what was told to the log. */
static bool is_over(struct behind *behind)
{
    (void)make_safe(behind, NULL);
    return behind_is_empty(behind);
}

static struct behind_flush *assert_next(struct behind *behind, const char *key, const char *text)
{
    struct behind_flush *flush = behind_next(behind, 1);
    assert_non_null(flush);
    assert_true(slice_is(flush->key.bytes, key));
    assert_text(flush->envelope, text);
    return flush;
}

static void flush_all(struct behind *behind)
{
    struct behind_flush *flush = NULL;
    while ((flush = behind_next(behind, 1)) != NULL) {
        behind_done(behind, flush, BEHIND_SENT, 1000, 1);
    }
    assert_true(is_over(behind));
}

/* --- while it runs ----------------------------------------------------------------------------------------------------- */

static void a_write_is_seen_at_once_and_sent_when_it_is_safe(void **state)
{
    (void)state;
    struct behind *behind = open_behind(10, 10000);
    assert_int_equal(take(behind, "a", "1", 5), OK);
    assert_reads(behind, "a", "1");
    assert_reads(behind, "b", NULL);
    assert_null(behind_next(behind, 1));
    assert_int_equal(behind_safe(behind), 0);
    assert_true(make_safe(behind, NULL) > 0);
    assert_int_equal(behind_safe(behind), 1);
    struct behind_flush *flush = assert_next(behind, "a", "1");
    assert_int_equal(flush->base, 5);
    assert_int_equal(get_u64le(flush->envelope.data + ENVELOPE_VERSION_OFFSET), 5);
    assert_null(behind_next(behind, 1));
    assert_reads(behind, "a", "1"); /* until L2 has it */
    behind_done(behind, flush, BEHIND_SENT, 77, 1);
    const struct l1_key name = l1_key(kin, 0, slice_of("a"));
    struct behind_value value;
    assert_int_equal(behind_find(behind, &name, &value), MISS); /* L2 tells */
    assert_true(behind_has(behind, &name)); /* for a restart would send it once more */
    assert_int_equal(take(behind, "a", "2", 6), OK);
    assert_reads(behind, "a", "2");
    (void)make_safe(behind, NULL);
    assert_reads(behind, "a", "2");
    behind_done(behind, assert_next(behind, "a", "2"), BEHIND_SENT, 78, 1);
    (void)make_safe(behind, NULL);
    assert_reads(behind, "a", NULL);
    assert_true(is_over(behind));
    behind_free(behind);
}

static void the_latest_of_a_key_is_sent_and_each_key_once(void **state)
{
    (void)state;
    struct behind *behind = open_behind(10, 10000);
    assert_int_equal(take(behind, "a", "1", 5), OK);
    assert_int_equal(take(behind, "b", "2", 5), OK);
    assert_int_equal(take(behind, "a", "3", 6), OK);
    (void)make_safe(behind, NULL);
    assert_reads(behind, "a", "3");
    struct behind_flush *b = assert_next(behind, "b", "2");
    struct behind_flush *a = assert_next(behind, "a", "3");
    assert_null(behind_next(behind, 1));
    behind_done(behind, b, BEHIND_SENT, 8, 1);
    behind_done(behind, a, BEHIND_SENT, 9, 1);
    assert_true(is_over(behind));
    struct behind_counts counts;
    behind_counts(behind, &counts);
    assert_int_equal(counts.taken, 3);
    assert_int_equal(counts.coalesced, 1);
    assert_int_equal(counts.flushed, 2);
    assert_int_equal(counts.entries, 0);
    assert_int_equal(counts.bytes, 0);
    behind_free(behind);
}

static void what_comes_while_its_key_is_on_its_way_waits_behind_it(void **state)
{
    (void)state;
    struct behind *behind = open_behind(10, 10000);
    assert_int_equal(take(behind, "a", "1", 5), OK);
    (void)make_safe(behind, NULL);
    struct behind_flush *flush = assert_next(behind, "a", "1");
    assert_int_equal(take(behind, "a", "2", 5), OK);
    assert_int_equal(take(behind, "a", "3", 5), OK);
    (void)make_safe(behind, NULL);
    assert_text(flush->envelope, "1"); /* nobody touches what is on its way */
    assert_reads(behind, "a", "3");
    assert_null(behind_next(behind, 1));
    behind_done(behind, flush, BEHIND_SENT, 42, 1);
    flush = assert_next(behind, "a", "3");
    assert_int_equal(flush->base, 42); /* it was based on our own */
    behind_done(behind, flush, BEHIND_SENT, 43, 1);
    assert_true(is_over(behind));
    behind_free(behind);
}

static void what_could_not_be_sent_comes_again_first(void **state)
{
    (void)state;
    struct behind *behind = open_behind(10, 10000);
    assert_int_equal(take(behind, "a", "1", 5), OK);
    assert_int_equal(take(behind, "b", "2", 5), OK);
    (void)make_safe(behind, NULL);
    behind_done(behind, assert_next(behind, "a", "1"), BEHIND_AGAIN, 0, 1);
    struct behind_flush *flush = assert_next(behind, "a", "1");
    assert_int_equal(take(behind, "a", "3", 5), OK);
    (void)make_safe(behind, NULL);
    behind_done(behind, flush, BEHIND_AGAIN, 0, 1); /* and the later one takes its place */
    behind_done(behind, assert_next(behind, "b", "2"), BEHIND_SENT, 9, 1);
    behind_done(behind, assert_next(behind, "a", "3"), BEHIND_SENT, 9, 1);
    assert_true(is_over(behind));
    behind_free(behind);
}

static void what_is_full_takes_no_more_and_drops_nothing(void **state)
{
    (void)state;
    struct behind *behind = open_behind(2, 10000);
    assert_int_equal(take(behind, "a", "1", 5), OK);
    assert_int_equal(take(behind, "b", "2", 5), OK);
    assert_int_equal(take(behind, "c", "3", 5), BUSY);
    assert_int_equal(take(behind, "a", "4", 5), OK); /* needs no new place */
    assert_reads(behind, "c", NULL);
    assert_reads(behind, "a", "4");
    (void)make_safe(behind, NULL);
    flush_all(behind);
    assert_int_equal(take(behind, "c", "3", 5), OK);
    (void)make_safe(behind, NULL);
    flush_all(behind);
    behind_free(behind);

    behind = open_behind(100, 3 * (ENVELOPE_HEAD_SIZE + 2));
    assert_int_equal(take(behind, "a", "1", 5), OK);
    assert_int_equal(take(behind, "b", "2", 5), OK);
    assert_int_equal(take(behind, "c", "3", 5), BUSY); /* for the log is as large */
    (void)make_safe(behind, NULL);
    assert_int_equal(take(behind, "c", "3", 5), OK);
    (void)make_safe(behind, NULL);
    assert_int_equal(take(behind, "d", "4", 5), BUSY);
    assert_int_equal(take(behind, "c", "a longer value", 5), BUSY);
    assert_reads(behind, "c", "3");
    flush_all(behind);
    behind_free(behind);
}

static void a_log_that_failed_takes_no_more_and_what_stands_is_sent(void **state)
{
    (void)state;
    struct behind *behind = open_behind(10, 10000);
    assert_int_equal(take(behind, "a", "1", 5), OK);
    behind_log_failed(behind);
    assert_int_equal(take(behind, "b", "2", 5), BUSY);
    assert_int_equal(take(behind, "a", "2", 5), BUSY);
    flush_all(behind);
    behind_free(behind);
}

/* --- a restart --------------------------------------------------------------------------------------------------------- */

static struct behind *restored(struct slice file)
{
    struct behind *behind = open_behind(10, 10000);
    struct behind_log_reader reader;
    struct behind_record record;
    enum status status = OK;
    assert_int_equal(behind_log_open(&reader, file), OK);
    while ((status = behind_log_next(&reader, &record)) == OK) {
        assert_int_equal(behind_restore(behind, &record), OK);
    }
    assert_int_equal(status, MISS);
    return behind;
}

static void a_restart_finds_what_l2_did_not_get(void **state)
{
    (void)state;
    struct buf file = {0};
    struct behind *behind = open_behind(10, 10000);
    assert_int_equal(behind_log_begin(&file), OK);
    assert_int_equal(take(behind, "a", "1", 5), OK);
    assert_int_equal(take(behind, "b", "2", 6), OK);
    assert_int_equal(take(behind, "c", "3", 7), OK);
    (void)make_safe(behind, &file);
    behind_done(behind, assert_next(behind, "a", "1"), BEHIND_SENT, 9, 1);
    struct behind_flush *b = assert_next(behind, "b", "2");
    assert_int_equal(take(behind, "b", "4", 8), OK);
    behind_done(behind, b, BEHIND_SENT, 10, 1);
    (void)make_safe(behind, &file);

    struct behind *again = restored(buf_slice(&file));
    assert_reads(again, "a", NULL);
    assert_reads(again, "b", "4");
    assert_reads(again, "c", "3");
    assert_int_equal(take(again, "d", "5", 9), OK);
    (void)make_safe(again, NULL);
    behind_done(again, assert_next(again, "c", "3"), BEHIND_SENT, 11, 1);
    behind_done(again, assert_next(again, "b", "4"), BEHIND_SENT, 12, 1);
    behind_done(again, assert_next(again, "d", "5"), BEHIND_SENT, 13, 1);
    assert_true(is_over(again));
    behind_free(again);
    flush_all(behind);
    behind_free(behind);
    buf_done(&file);
}

/* A new log, whose pieces are so small that what `between` does comes between them. */
static void rewrite(struct behind *behind, struct buf *file, void (*between)(struct behind *behind))
{
    struct buf bytes = {0};
    enum status status = OK;
    assert_int_equal(behind_log_begin(file), OK);
    behind_rewrite_begin(behind);
    while (status == OK) {
        status = behind_rewrite_next(behind, 1, &bytes);
        assert_int_equal(buf_append_slice(file, buf_slice(&bytes)), OK);
        if (between != NULL) {
            between(behind);
        }
        (void)make_safe(behind, file);
    }
    assert_int_equal(status, MISS);
    buf_done(&bytes);
}

static void a_rewritten_log_holds_what_waits_and_no_more(void **state)
{
    (void)state;
    struct buf file = {0};
    struct behind *behind = open_behind(10, 10000);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(take(behind, i % 2 == 0 ? "a" : "b", i < 48 ? "old" : "new", 5), OK);
        (void)make_safe(behind, NULL);
    }
    struct behind_flush *b = NULL;
    struct behind_flush *a = assert_next(behind, "a", "new");
    b = assert_next(behind, "b", "new");
    assert_int_equal(take(behind, "b", "newer", 5), OK);
    (void)make_safe(behind, NULL);
    rewrite(behind, &file, NULL);
    assert_in_range(file.size, 1, 3 * 120); /* three writes */
    struct behind *again = restored(buf_slice(&file));
    assert_reads(again, "a", "new");
    assert_reads(again, "b", "newer");
    flush_all(again);
    behind_free(again);
    behind_done(behind, a, BEHIND_SENT, 9, NOW);
    behind_done(behind, b, BEHIND_SENT, 9, NOW);
    flush_all(behind);
    behind_free(behind);
    buf_done(&file);
}

/* Each time something else: ends, takes the place of what was copied, comes anew. */
static void go_on(struct behind *behind)
{
    static const char *const keys[] = {"a", "b", "c", "d", "e", "f"};
    static unsigned turn;
    turn++;
    struct behind_flush *flush = behind_next(behind, NOW);
    if (flush != NULL) {
        behind_done(behind, flush, turn % 3 == 0 ? BEHIND_AGAIN : BEHIND_SENT, 7, NOW);
    }
    if (turn % 2 == 0) {
        assert_int_equal(take(behind, keys[turn * 7 % 6], "later", 5), OK);
    }
}

static void what_happens_while_a_log_is_rewritten_is_in_it(void **state)
{
    (void)state;
    static const char *const keys[] = {"a", "b", "c", "d", "e", "f"};
    for (unsigned round = 0; round < 40; round++) {
        struct buf file = {0};
        struct behind *behind = open_behind(10, 10000);
        for (unsigned i = 0; i < 6; i++) {
            assert_int_equal(take(behind, keys[(i + round) % 6], "first", 5), OK);
        }
        (void)make_safe(behind, NULL);
        rewrite(behind, &file, go_on);
        struct behind *again = restored(buf_slice(&file));
        for (unsigned i = 0; i < 6; i++) {
            const struct l1_key key = l1_key(kin, 0, slice_of(keys[i]));
            struct behind_value was = {0};
            const bool waits = behind_find(behind, &key, &was) == OK;
            assert_reads(again, keys[i],
                         waits ? (was.envelope.data[ENVELOPE_HEAD_SIZE] == 'f' ? "first" : "later")
                               : NULL);
            buf_done(&was.envelope);
        }
        flush_all(again);
        behind_free(again);
        flush_all(behind);
        behind_free(behind);
        buf_done(&file);
    }
}

static void what_l2_refuses_stops_nothing_else_and_comes_again_later(void **state)
{
    (void)state;
    struct behind_counts counts;
    struct behind *behind = open_behind(10, 10000);
    assert_int_equal(take(behind, "bad", "1", 5), OK);
    assert_int_equal(take(behind, "good", "2", 5), OK);
    (void)make_safe(behind, NULL);
    int64_t now_ms = NOW;
    behind_done(behind, behind_next(behind, now_ms), BEHIND_REFUSED, 0, now_ms);
    behind_done(behind, assert_next(behind, "good", "2"), BEHIND_SENT, 9, now_ms);
    int64_t pause_ms = 100;
    for (int i = 0; i < 12; i++) {
        behind_counts(behind, &counts);
        assert_int_equal(counts.paused, 1);
        assert_int_equal(counts.refusals, i + 1);
        assert_null(behind_next(behind, now_ms + pause_ms - 1));
        now_ms += pause_ms;
        struct behind_flush *flush = behind_next(behind, now_ms);
        assert_non_null(flush);
        behind_done(behind, flush, BEHIND_REFUSED, 0, now_ms);
        pause_ms = pause_ms * 2 < 30000 ? pause_ms * 2 : 30000;
    }
    assert_int_equal(take(behind, "bad", "3", 5), OK); /* a later one waits as long */
    (void)make_safe(behind, NULL);
    assert_reads(behind, "bad", "3");
    assert_null(behind_next(behind, now_ms));
    struct behind_flush *flush = behind_next(behind, now_ms + pause_ms);
    assert_text(flush->envelope, "3");
    behind_done(behind, flush, BEHIND_AGAIN, 0, now_ms); /* L2 is away: its turn was none */
    behind_counts(behind, &counts);
    assert_int_equal(counts.paused, 1);
    behind_done(behind, behind_next(behind, now_ms + pause_ms), BEHIND_SENT, 9, now_ms);
    behind_counts(behind, &counts);
    assert_int_equal(counts.paused, 0);
    (void)make_safe(behind, NULL);
    assert_int_equal(counts.refusals, 13);
    behind_free(behind);
}

static void a_disk_that_does_not_answer_is_not_waited_for(void **state)
{
    (void)state;
    struct buf bytes = {0};
    struct behind_counts counts;
    struct behind *behind = open_behind(10, 10000);
    assert_int_equal(take(behind, "a", "1", 5), OK);
    const uint64_t number = behind_log_take(behind, &bytes); /* it has got so much */
    assert_int_equal(take(behind, "b", "2", 5), OK);
    behind_tick(behind, NOW + 500, 500);
    assert_true(behind_is_well(behind));
    assert_null(behind_next(behind, NOW));
    behind_tick(behind, NOW + 501, 500);
    assert_false(behind_is_well(behind));
    assert_int_equal(take(behind, "c", "3", 5), BUSY);
    behind_done(behind, assert_next(behind, "a", "1"), BEHIND_SENT, 9, NOW);
    assert_reads(behind, "a", NULL); /* nobody waits for the log to say so */
    behind_counts(behind, &counts);
    assert_int_equal(counts.stalls, 1);
    assert_true(counts.stalled && !counts.failed);
    behind_log_safe(behind, number); /* it answers */
    behind_tick(behind, NOW + 600, 500);
    assert_false(behind_is_well(behind)); /* for it lacks what came meanwhile */
    behind_log_safe(behind, behind_log_take(behind, &bytes));
    behind_tick(behind, NOW + 700, 500);
    assert_true(behind_is_well(behind));
    assert_int_equal(take(behind, "c", "3", 5), OK);
    (void)make_safe(behind, NULL);
    flush_all(behind);
    behind_free(behind);
    buf_done(&bytes);
}

static bool begins_with_a(void *arg, struct slice key)
{
    (*(unsigned *)arg)++;
    return key.data[0] == 'a';
}

static void those_that_wait_are_counted_by_key(void **state)
{
    (void)state;
    unsigned seen = 0;
    struct behind *behind = open_behind(10, 10000);
    assert_int_equal(behind_count_if(behind, begins_with_a, &seen), 0);
    assert_int_equal(take(behind, "a1", "1", 5), OK);
    assert_int_equal(take(behind, "b1", "1", 5), OK);
    assert_int_equal(take(behind, "a2", "1", 5), OK);
    behind_rewrite_begin(behind); /* who walks over them, too, is no entry */
    assert_int_equal(behind_count_if(behind, begins_with_a, &seen), 2);
    assert_int_equal(seen, 3);
    (void)make_safe(behind, NULL);
    flush_all(behind);
    behind_free(behind);
}

static void who_ends_databases_waits_until_l2_has_all(void **state)
{
    (void)state;
    struct behind *behind = open_behind(10, 10000);
    assert_false(behind_is_fenced(behind, 1000));
    assert_int_equal(take(behind, "a", "1", 5), OK);
    assert_true(behind_fence(behind, 1000));
    assert_true(behind_is_fenced(behind, 1299));
    assert_false(behind_is_fenced(behind, 1300));
    for (int64_t now_ms = 2000; now_ms < 2000 + BEHIND_FENCE_MS; now_ms += 100) {
        assert_true(behind_fence(behind, now_ms));
    }
    assert_false(behind_fence(behind, 2000 + BEHIND_FENCE_MS)); /* it will not */
    (void)make_safe(behind, NULL);
    flush_all(behind);
    assert_false(behind_fence(behind, 20000));
    assert_int_equal(take(behind, "a", "2", 5), OK);
    assert_true(behind_fence(behind, 20100)); /* counted from here */
    assert_true(behind_fence(behind, 20100 + 250));
    (void)make_safe(behind, NULL);
    flush_all(behind);
    behind_free(behind);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_is_seen_at_once_and_sent_when_it_is_safe),
        cmocka_unit_test(the_latest_of_a_key_is_sent_and_each_key_once),
        cmocka_unit_test(what_comes_while_its_key_is_on_its_way_waits_behind_it),
        cmocka_unit_test(what_could_not_be_sent_comes_again_first),
        cmocka_unit_test(what_is_full_takes_no_more_and_drops_nothing),
        cmocka_unit_test(a_log_that_failed_takes_no_more_and_what_stands_is_sent),
        cmocka_unit_test(a_restart_finds_what_l2_did_not_get),
        cmocka_unit_test(a_rewritten_log_holds_what_waits_and_no_more),
        cmocka_unit_test(what_happens_while_a_log_is_rewritten_is_in_it),
        cmocka_unit_test(what_l2_refuses_stops_nothing_else_and_comes_again_later),
        cmocka_unit_test(a_disk_that_does_not_answer_is_not_waited_for),
        cmocka_unit_test(those_that_wait_are_counted_by_key),
        cmocka_unit_test(who_ends_databases_waits_until_l2_has_all),
    };
    return cmocka_run_group_tests(tests, open_kin, close_kin);
}
