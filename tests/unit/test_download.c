/* SPDX-License-Identifier: BSD-3-Clause */
/* GET of a large value in pieces: found by a read, shown when it may be, held, left, lost; and the row for a seat. */
#include "protocol/envelope.h"
#include "tests/unit/window_help.h"
#include "tiers/download.h"
#include "tiers/line.h"

#include <stdlib.h>

#define HEAD "$2000000\r\n"
enum {
    VALUE = 2000000,
    WHOLE = sizeof HEAD - 1 + VALUE + 2
};

struct reader {
    struct tiers_download_user user; /* first */
    struct tiers_download *download;
    struct buf got;
    unsigned ends;
    enum status status;
    char reply[32];
};

static void on_piece(struct tiers_download_user *user, struct slice bytes)
{
    struct reader *reader = (struct reader *)(void *)user;
    assert_int_equal(reader->ends, 0);
    assert_int_equal(buf_append_slice(&reader->got, bytes), OK);
}

static void on_end(struct tiers_download_user *user, enum status status, struct slice reply)
{
    struct reader *reader = (struct reader *)(void *)user;
    reader->ends++;
    reader->status = status;
    assert_true(reply.size < sizeof reader->reply);
    memcpy(reader->reply, reply.data == NULL ? "" : reply.data, reply.size);
}

static void open_stage(struct stage *stage, uint32_t lines, enum namespace_kind kind)
{
    struct namespace_spec spec = spec_of("default", "", 1000);
    spec.settings.mode.kind = kind;
    stage_open(stage, &spec, 1);
    atomic_store(&tiers_lines(stage->tiers)->max, lines);
    atomic_store(&tiers_lines(stage->tiers)->min, lines);
}

static struct l1_key key_of(struct stage *stage, const char *name)
{
    return namespaces_key(stage->namespaces, 0, slice_of(name)).at;
}

static enum status begin(struct stage *stage, struct reader *reader, const struct tiers_seen *seen)
{
    const struct l1_key key = key_of(stage, "k");
    *reader = (struct reader){.user = {.on_piece = on_piece, .on_end = on_end}};
    return tiers_download(stage->window, &key, seen, 2, &reader->user, &reader->download);
}

/* Its line is READY and has been asked. */
static void begin_asked(struct stage *stage, struct reader *reader, const struct tiers_seen *seen)
{
    assert_int_equal(begin(stage, reader, seen), OK);
    help_make_ready(&stage->roof);
    help_expect_written(&stage->roof, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
}

/* L2 says [from, to) of the reply. */
static void say(struct stage *stage, size_t from, size_t to, int64_t now_ms)
{
    static char reply[WHOLE];
    memset(reply, 'v', sizeof reply);
    memcpy(reply, HEAD, sizeof HEAD - 1);
    reply[WHOLE - 2] = '\r';
    reply[WHOLE - 1] = '\n';
    for (size_t at = from; at < to; at += 60000) {
        const size_t size = to - at < 60000 ? to - at : 60000;
        help_feed(&stage->roof, (struct slice){reply + at, size}, now_ms);
    }
}

static uint32_t idle(struct stage *stage)
{
    return atomic_load(&tiers_lines(stage->tiers)->idle);
}

static uint32_t used(struct stage *stage)
{
    return atomic_load(&tiers_lines(stage->tiers)->streams);
}

static void expect_end(struct reader *reader, enum status status, size_t bytes)
{
    assert_int_equal(reader->ends, 1);
    assert_int_equal(reader->status, status);
    assert_int_equal(reader->got.size, bytes);
    buf_done(&reader->got);
}

static void a_large_value_comes_in_pieces_and_gives_its_line_back(void **state)
{
    (void)state;
    struct stage stage;
    struct reader reader;
    open_stage(&stage, 4, NAMESPACE_BOUNDED);
    begin_asked(&stage, &reader, NULL);
    say(&stage, 0, 100000, HELP_NOW);
    assert_int_equal(reader.got.size, 100000);
    tiers_download_hold(reader.download, true);
    assert_true(link_is_held(stage.roof.link));
    tiers_window_tick(stage.window, HELP_NOW + 60000); /* nobody waits for L2 */
    tiers_download_hold(reader.download, false);
    assert_false(link_is_held(stage.roof.link));
    tiers_download_hold(reader.download, true);
    say(&stage, 100000, WHOLE, HELP_NOW + 60000);
    assert_memory_equal(reader.got.data, HEAD "v", sizeof HEAD);
    expect_end(&reader, OK, WHOLE);
    assert_int_equal(idle(&stage), 1);
    assert_false(link_is_held(stage.roof.link)); /* for the next one */
    stage_done(&stage);
}

static void a_reply_that_is_not_large_comes_whole(void **state)
{
    (void)state;
    struct stage stage;
    struct reader reader;
    open_stage(&stage, 4, NAMESPACE_BOUNDED);
    begin_asked(&stage, &reader, NULL);
    HELP_SAY(&stage.roof, "$5\r\nsmall\r\n");
    assert_string_equal(reader.reply, "$5\r\nsmall\r\n");
    expect_end(&reader, OK, 0);
    assert_int_equal(idle(&stage), 1);
    stage_done(&stage);
}

static void behind_a_closed_fence_the_shared_link_proves_it(void **state)
{
    (void)state;
    for (int is_good = 0; is_good < 2; is_good++) {
        struct stage stage;
        struct reader reader;
        open_stage(&stage, 4, NAMESPACE_BOUNDED);
        struct link *shared = stage.roof.link;
        begin_asked(&stage, &reader, NULL);
        struct link *own = stage.roof.link;
        tiers_window_begin(stage.window, HELP_NOW + 1500);
        say(&stage, 0, 100000, HELP_NOW + 1500);
        assert_true(link_is_held(own));
        assert_int_equal(reader.got.size, 0);
        stage.roof.link = shared;
        struct buf asked = help_written(&stage.roof); /* a check, and PTTL */
        buf_done(&asked);
        if (is_good) {
            help_feed(&stage.roof, SLICE_LITERAL(HELP_BEAT_ANSWER ":-1\r\n"), HELP_NOW + 1500);
            assert_int_equal(reader.got.size, 100000);
            assert_false(link_is_held(own));
            stage.roof.link = own;
            say(&stage, 100000, WHOLE, HELP_NOW + 1500);
            expect_end(&reader, OK, WHOLE);
        } else {
            link_on_lost(shared, "gone", HELP_NOW + 1500);
            expect_end(&reader, L2_DOWN, 0);
            assert_int_equal(used(&stage) + idle(&stage), 0); /* the rest would come by it */
        }
        stage_done(&stage);
    }
}

static void a_strict_one_waits_for_all_nodes(void **state)
{
    (void)state;
    for (int is_good = 0; is_good < 2; is_good++) {
        struct stage stage;
        struct reader reader;
        open_stage(&stage, 4, NAMESPACE_STRICT);
        begin_asked(&stage, &reader, NULL);
        say(&stage, 0, 100000, HELP_NOW);
        assert_int_equal(reader.got.size + reader.ends, 0);
        assert_int_equal(stage.confirm_count, 1);
        confirm(&stage, 0, is_good ? OK : BUSY);
        if (is_good) {
            assert_int_equal(reader.got.size, 100000);
            say(&stage, 100000, WHOLE, HELP_NOW);
        }
        expect_end(&reader, is_good ? OK : STALE, is_good ? WHOLE : 0);
        stage_done(&stage);
    }
}

static void who_leaves_hears_no_more(void **state)
{
    (void)state;
    struct stage stage;
    struct reader reader;
    open_stage(&stage, 4, NAMESPACE_STRICT);
    begin_asked(&stage, &reader, NULL);
    say(&stage, 0, 100000, HELP_NOW);
    struct link *own = stage.roof.link;
    tiers_download_leave(reader.download);
    assert_int_equal(link_state(own), LINK_DOWN);
    assert_int_equal(used(&stage) + idle(&stage), 0);
    confirm(&stage, 0, OK); /* it was still under way */
    assert_int_equal(reader.ends, 0);
    stage_done(&stage);
}

static void what_is_lost_or_silent_in_the_middle_is_cut_off(void **state)
{
    (void)state;
    for (int is_silent = 0; is_silent < 2; is_silent++) {
        struct stage stage;
        struct reader reader;
        open_stage(&stage, 4, NAMESPACE_BOUNDED);
        begin_asked(&stage, &reader, NULL);
        say(&stage, 0, 100000, HELP_NOW);
        if (is_silent) {
            tiers_window_tick(stage.window, HELP_NOW + 1900);
            assert_int_equal(reader.ends, 0);
            tiers_window_tick(stage.window, HELP_NOW + 2100);
        } else {
            link_on_lost(stage.roof.link, "gone", HELP_NOW);
        }
        expect_end(&reader, L2_DOWN, 100000);
        assert_int_equal(used(&stage), 0);
        stage_done(&stage);
    }
}

static void who_finds_no_seat_waits_for_one(void **state)
{
    (void)state;
    struct stage stage;
    struct reader readers[3];
    open_stage(&stage, 0, NAMESPACE_BOUNDED); /* nothing of the pool is needed */
    stage.window->streams.rows[0].seated = LIMIT_STREAMS - 1;
    begin_asked(&stage, &readers[0], NULL);
    assert_int_equal(begin(&stage, &readers[1], NULL), OK);
    assert_int_equal(begin(&stage, &readers[2], NULL), OK);
    HELP_SAY(&stage.roof, "$-1\r\n");
    expect_end(&readers[0], OK, 0);
    help_expect_written(&stage.roof, "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"); /* the next one's */
    say(&stage, 0, 100000, HELP_NOW);
    tiers_window_tick(stage.window, HELP_NOW + 2000);
    expect_end(&readers[2], BUSY, 0);
    tiers_window_end_links(stage.window);
    expect_end(&readers[1], L2_DOWN, 100000);
    assert_int_equal(stage.window->streams.rows[0].seated, LIMIT_STREAMS - 1);
    stage_done(&stage);
}

static void a_managed_value_that_is_another_is_not_shown(void **state)
{
    (void)state;
    const struct tiers_seen seen = {.version = 7, .size = VALUE - 48};
    struct stage stage;
    struct reader reader;
    struct namespace_spec spec = spec_of("default", "", 1000);
    spec.managed = true;
    spec.settings.told = true;
    stage_open(&stage, &spec, 1);
    atomic_store(&tiers_lines(stage.tiers)->max, 4);
    begin_asked(&stage, &reader, &seen);
    say(&stage, 0, 100000, HELP_NOW); /* and has no envelope */
    expect_end(&reader, AGAIN, 0);
    assert_int_equal(used(&stage) + idle(&stage), 0);
    stage_done(&stage);
}

static void the_version_that_was_judged_is_shown_and_no_other(void **state)
{
    (void)state;
    char *value = malloc(VALUE);
    assert_non_null(value);
    memset(value, 'v', VALUE);
    struct buf reply = {0};
    struct buf bytes = {0};
    const struct envelope envelope = {
        .version = 7, .value_size = VALUE, .body = {.data = value, .size = VALUE}};
    assert_int_equal(envelope_write(&bytes, &envelope, NULL), OK);
    assert_int_equal(buf_printf(&reply, "$%zu\r\n", bytes.size), OK);
    assert_int_equal(buf_append_slice(&reply, buf_slice(&bytes)), OK);
    assert_int_equal(buf_append(&reply, "\r\n", 2), OK);
    for (uint64_t version = 6; version <= 7; version++) {
        const struct tiers_seen seen = {.version = version, .size = VALUE};
        struct stage stage;
        struct reader reader;
        struct namespace_spec spec = spec_of("default", "", 1000);
        spec.managed = true;
        spec.settings.told = true;
        stage_open(&stage, &spec, 1);
        atomic_store(&tiers_lines(stage.tiers)->max, 4);
        begin_asked(&stage, &reader, &seen);
        for (size_t at = 0; at < reply.size && reader.ends == 0; at += 60000) {
            const size_t left = reply.size - at;
            help_feed(&stage.roof,
                      (struct slice){.data = reply.data + at, .size = left < 60000 ? left : 60000},
                      HELP_NOW);
        }
        if (version == 7) {
            assert_memory_equal(reader.got.data, HEAD "v", sizeof HEAD);
        }
        expect_end(&reader, version == 7 ? OK : AGAIN, version == 7 ? WHOLE : 0);
        stage_done(&stage);
    }
    buf_done(&reply);
    buf_done(&bytes);
    free(value);
}

/* --- how it is found ----------------------------------------------------------------------------------------------------- */

static bool takes(struct tiers_reader *reader)
{
    (void)reader;
    return true;
}

static enum status ask_large(struct stage *stage, struct reading *asked,
                             bool (*takes_large)(struct tiers_reader *reader))
{
    bool foreign = false;
    struct l1_value value = {0};
    *asked = (struct reading){.reader = {.on_value = on_value, .takes_large = takes_large}};
    const struct ns_key key = namespaces_key(stage->namespaces, 0, slice_of("k"));
    return tiers_get(stage->window, &key, 2, &value, &asked->reader, &foreign);
}

static void a_read_that_finds_it_is_told_at_its_head_and_the_next_at_once(void **state)
{
    (void)state;
    struct stage stage;
    struct reading asked;
    open_stage(&stage, 4, NAMESPACE_BOUNDED);
    assert_int_equal(ask_large(&stage, &asked, takes), PENDING);
    HELP_SAY(&stage.roof, ":-1\r\n" HEAD);
    assert_int_equal(asked.ends, 1);
    assert_int_equal(asked.status, TOO_BIG);
    say(&stage, sizeof HEAD - 1, WHOLE, HELP_NOW);
    assert_int_equal(ask_large(&stage, &asked, takes), TOO_BIG);
    assert_int_equal(metrics_read(&stage.metrics, M_LARGE_FOUND), 1);
    stage_done(&stage);
}

static unsigned wholes;
static void on_whole(struct tiers_reader *reader, enum status status,
                     const struct tiers_value *value)
{
    (void)reader;
    assert_int_equal(status, OK);
    assert_int_equal(item_value(value->item).size, VALUE);
    wholes++;
}

/* One who wants it whole makes it be gathered, for all who wait. */
static void who_wants_it_whole_gets_it_so(void **state)
{
    (void)state;
    struct stage stage;
    struct reading first;
    struct reading second;
    wholes = 0;
    open_stage(&stage, 4, NAMESPACE_BOUNDED);
    assert_int_equal(ask_large(&stage, &first, takes), PENDING);
    assert_int_equal(ask_large(&stage, &second, NULL), PENDING);
    first.reader.on_value = on_whole;
    second.reader.on_value = on_whole;
    HELP_SAY(&stage.roof, ":-1\r\n");
    say(&stage, 0, WHOLE, HELP_NOW);
    assert_int_equal(wholes, 2);
    stage_done(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_value_comes_in_pieces_and_gives_its_line_back),
        cmocka_unit_test(a_reply_that_is_not_large_comes_whole),
        cmocka_unit_test(behind_a_closed_fence_the_shared_link_proves_it),
        cmocka_unit_test(a_strict_one_waits_for_all_nodes),
        cmocka_unit_test(who_leaves_hears_no_more),
        cmocka_unit_test(what_is_lost_or_silent_in_the_middle_is_cut_off),
        cmocka_unit_test(who_finds_no_seat_waits_for_one),
        cmocka_unit_test(a_managed_value_that_is_another_is_not_shown),
        cmocka_unit_test(the_version_that_was_judged_is_shown_and_no_other),
        cmocka_unit_test(a_read_that_finds_it_is_told_at_its_head_and_the_next_at_once),
        cmocka_unit_test(who_wants_it_whole_gets_it_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
