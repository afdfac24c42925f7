/* SPDX-License-Identifier: BSD-3-Clause */
/* Values into envelopes and out of them, and what a window asks L2 about dictionaries. */
#include "protocol/check.h"
#include "tests/unit/window_help.h"
#include "tiers/dictionary_desk.h"
#include "tiers/managed.h"
#include "tiers/wrap.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

static const char row_dictionary[] =
    "{\"user\":12345,\"name\":\"somebody\",\"roles\":[\"reader\",\"writer\"]}";
static const char row_value[] =
    "{\"user\":77,\"name\":\"somebody\",\"roles\":[\"reader\",\"writer\"],\"active\":true}";

static void open_managed(struct stage *stage, int64_t compress_min)
{
    struct namespace_spec specs[] = {spec_of("default", "", 1000), spec_of("m", "m:", 1000)};
    specs[1].managed = true;
    specs[1].settings.rules.compress_min = compress_min;
    stage_open(stage, specs, 2);
    stage->window->options.revalidates = true;
}

static struct namespace *managed(struct stage *stage)
{
    return namespaces_find(stage->namespaces, SLICE_LITERAL("m"));
}

static struct dictionary_space *space_of(struct stage *stage)
{
    return dictionaries_at(tiers_dictionaries(stage->tiers), SLICE_LITERAL("m"));
}

/* The caller frees it. */
static struct buf wrapped(struct stage *stage, struct slice value)
{
    struct buf out = {0};
    const struct envelope head = {.version = 7, .fresh_ms = 1000, .tag_count = 1};
    const struct slice tag = SLICE_LITERAL("t");
    assert_int_equal(wrap_value(stage->window, managed(stage), &head, &tag, value, &out), OK);
    return out;
}

static struct envelope opened(const struct buf *out)
{
    struct envelope envelope;
    assert_int_equal(envelope_read(buf_slice(out), &envelope), OK);
    return envelope;
}

static void comes_out(struct stage *stage, const struct buf *out, struct slice value)
{
    const struct envelope envelope = opened(out);
    assert_int_equal(unwrap_size(stage->window, managed(stage), &envelope), OK);
    assert_int_equal(envelope.value_size, value.size);
    char *dst = malloc(value.size + (value.size == 0));
    assert_non_null(dst);
    assert_int_equal(unwrap_value(stage->window, managed(stage), &envelope, dst), OK);
    assert_true(slice_equal((struct slice){dst, value.size}, value));
    free(dst);
}

static uint64_t use_row_dictionary(struct stage *stage)
{
    const struct slice bytes = slice_of(row_dictionary);
    const uint64_t number = dictionary_number(bytes);
    assert_int_equal(dictionary_learn(space_of(stage), number, bytes), OK);
    dictionary_use(space_of(stage), number);
    return number;
}

static void a_value_comes_out_as_it_went_in(void **state)
{
    (void)state;
    struct stage stage;
    open_managed(&stage, 64);
    char repeated[4000];
    memset(repeated, 'a', sizeof repeated);
    static const struct {
        size_t size;
        enum envelope_kind kind;
    } cases[] = {{0, ENVELOPE_RAW}, {63, ENVELOPE_RAW}, {64, ENVELOPE_LZ4}, {4000, ENVELOPE_LZ4}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct slice value = {repeated, cases[i].size};
        struct buf out = wrapped(&stage, value);
        const struct envelope envelope = opened(&out);
        assert_int_equal(envelope.kind, cases[i].kind);
        assert_true(envelope.version == 7 && envelope.fresh_ms == 1000 && envelope.tag_count == 1);
        comes_out(&stage, &out, value);
        buf_done(&out);
    }
    (void)use_row_dictionary(&stage);
    struct buf out = wrapped(&stage, slice_of(row_value));
    assert_int_equal(opened(&out).kind, ENVELOPE_LZ4_DICTIONARY);
    assert_true(opened(&out).body.size * 2 < sizeof row_value);
    comes_out(&stage, &out, slice_of(row_value));
    buf_done(&out);
    stage_done(&stage);
}

static void with_a_least_size_of_nothing_values_stay_as_they_are(void **state)
{
    (void)state;
    struct stage stage;
    open_managed(&stage, 0);
    char repeated[4000];
    memset(repeated, 'a', sizeof repeated);
    struct buf out = wrapped(&stage, (struct slice){repeated, sizeof repeated});
    assert_int_equal(opened(&out).kind, ENVELOPE_RAW);
    buf_done(&out);
    stage_done(&stage);
}

static enum envelope_kind kind_of(struct stage *stage, struct slice value)
{
    struct buf out = wrapped(stage, value);
    const enum envelope_kind kind = opened(&out).kind;
    comes_out(stage, &out, value);
    buf_done(&out);
    return kind;
}

/* Bytes in which nothing repeats, and the verdict on them: what comes next is not even tried, though it would get smaller. */
static void what_got_no_smaller_is_remembered(void **state)
{
    (void)state;
    struct stage stage;
    struct rand rand;
    uint64_t noise[32];
    char zeros[256] = {0};
    const struct slice same = {zeros, sizeof zeros};
    open_managed(&stage, 64);
    rand_seed(&rand, 7);
    assert_int_equal(kind_of(&stage, same), ENVELOPE_LZ4);
    for (unsigned i = 0; i < DICTIONARY_TRIES; i++) {
        for (unsigned j = 0; j < 32; j++) {
            noise[j] = rand_next(&rand);
        }
        const struct slice value = {(const char *)noise, sizeof noise};
        assert_int_equal(kind_of(&stage, value), ENVELOPE_RAW);
    }
    unsigned untried = 0;
    while (untried < DICTIONARY_TRY_EVERY && kind_of(&stage, same) == ENVELOPE_RAW) {
        untried++;
    }
    assert_int_equal(untried, DICTIONARY_TRY_EVERY - 1);
    assert_int_equal(kind_of(&stage, same), ENVELOPE_LZ4); /* and each again */
    stage_done(&stage);
}

struct other {
    struct tiers_window window; /* of another worker */
    struct namespace *ns;
    _Atomic bool may_begin;
};

static void *wrap_as_well(void *arg)
{
    struct other *other = arg;
    while (!atomic_load_explicit(&other->may_begin, memory_order_relaxed)) {
        sched_yield();
    }
    struct buf out = {0};
    const struct envelope head = {.version = 8, .fresh_ms = 1000};
    CHECK(wrap_value(&other->window, other->ns, &head, NULL, slice_of(row_value), &out) == OK);
    buf_done(&out);
    return NULL;
}

/* Nothing orders the two but the pointer that is found: says ThreadSanitizer. */
static void what_another_worker_made_for_a_namespace_is_found_whole(void **state)
{
    (void)state;
    struct stage stage;
    open_managed(&stage, 64);
    static struct other other;
    other = (struct other){.window = {.options = stage.window->options}, .ns = managed(&stage)};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, wrap_as_well, &other), 0);
    struct buf out = wrapped(&stage, slice_of(row_value));
    atomic_store_explicit(&other.may_begin, true, memory_order_relaxed);
    assert_int_equal(pthread_join(thread, NULL), 0);
    comes_out(&stage, &out, slice_of(row_value));
    buf_done(&out);
    buf_done(&other.window.block);
    stage_done(&stage);
}

static void a_negative_has_no_value(void **state)
{
    (void)state;
    struct stage stage;
    open_managed(&stage, 64);
    struct buf out = {0};
    const struct envelope head = {.kind = ENVELOPE_NEGATIVE, .fresh_ms = 5000};
    assert_int_equal(
        wrap_value(stage.window, managed(&stage), &head, NULL, (struct slice){0}, &out), OK);
    assert_int_equal(opened(&out).kind, ENVELOPE_NEGATIVE);
    comes_out(&stage, &out, (struct slice){0});
    buf_done(&out);
    stage_done(&stage);
}

static void what_l2_claims_is_bounded_before_it_is_believed(void **state)
{
    (void)state;
    struct stage stage;
    open_managed(&stage, 64);
    const struct envelope bomb = {
        .kind = ENVELOPE_LZ4, .value_size = 512u << 20, .body = SLICE_LITERAL("a hundred bytes")};
    assert_int_equal(unwrap_size(stage.window, managed(&stage), &bomb), MALFORMED);
    const struct envelope garbage = {
        .kind = ENVELOPE_LZ4, .value_size = 100, .body = SLICE_LITERAL("garbage, not LZ4")};
    char dst[100];
    assert_int_equal(unwrap_size(stage.window, managed(&stage), &garbage), OK);
    assert_int_equal(unwrap_value(stage.window, managed(&stage), &garbage, dst), MALFORMED);
    stage_done(&stage);
}

/* --- dictionaries of L2 --- */

struct waiter {
    struct desk_waiter in_desk;
    unsigned wakes;
};

static void on_known(struct desk_waiter *waiter)
{
    ((struct waiter *)(void *)waiter)->wakes++;
}

/* The row, written by another node. */
static struct buf foreign_row(uint64_t *ret_number)
{
    struct stage other;
    open_managed(&other, 64);
    *ret_number = use_row_dictionary(&other);
    struct buf out = wrapped(&other, slice_of(row_value));
    stage_done(&other);
    return out;
}

static bool written_has(struct stage *stage, const char *text)
{
    struct buf written = help_written(&stage->roof);
    const bool has =
        written.size > 0 && memmem(written.data, written.size, text, strlen(text)) != NULL;
    buf_done(&written);
    return has;
}

static void say_bulk(struct stage *stage, const char *text)
{
    char reply[256];
    (void)snprintf(reply, sizeof reply, "$%zu\r\n%s\r\n", strlen(text), text);
    help_feed(&stage->roof, slice_of(reply), HELP_NOW);
}

static void a_dictionary_that_is_not_known_is_read_once_for_all_who_wait(void **state)
{
    (void)state;
    uint64_t number = 0;
    struct buf out = foreign_row(&number);
    struct stage stage;
    open_managed(&stage, 64);
    const struct envelope envelope = opened(&out);
    struct waiter waiters[2] = {{{.on_known = on_known}, 0}, {{.on_known = on_known}, 0}};
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(unwrap_size(stage.window, managed(&stage), &envelope), AGAIN);
        desk_wait(stage.window->desk, space_of(&stage), number, &waiters[i].in_desk);
    }
    char asked[96];
    (void)snprintf(
        asked, sizeof asked, "*3\r\n$4\r\nHGET\r\n$14\r\nterrace:dict:m\r\n$%d\r\n%llu\r\n",
        snprintf(NULL, 0, "%llu", (unsigned long long)number), (unsigned long long)number);
    struct buf written = help_written(&stage.roof);
    const char *first = memmem(written.data, written.size, asked, strlen(asked));
    assert_non_null(first);
    assert_null(
        memmem(first + 1, written.size - (size_t)(first + 1 - written.data), asked, strlen(asked)));
    buf_done(&written);
    assert_int_equal(waiters[0].wakes + waiters[1].wakes, 0);
    HELP_SAY(&stage.roof, "+OK\r\n"); /* SELECT */
    say_bulk(&stage, row_dictionary);
    assert_int_equal(waiters[0].wakes, 1);
    assert_int_equal(waiters[1].wakes, 1);
    assert_false(written_has(&stage, "HGET")); /* nobody is left */
    comes_out(&stage, &out, slice_of(row_value));
    assert_int_equal(metrics_read(&stage.metrics, M_DICTIONARIES_READ), 1);
    assert_true(dictionary_current(space_of(&stage)).number == 0); /* nobody said that it is */
    buf_done(&out);
    stage_done(&stage);
}

static void one_that_l2_has_not_or_wrong_is_a_miss_and_not_asked_for_again_soon(void **state)
{
    (void)state;
    static const char *const replies[] = {"$-1\r\n", "$5\r\nwrong\r\n", "$0\r\n\r\n",
                                          "-WRONGTYPE Operation against a key\r\n"};
    uint64_t number = 0;
    struct buf out = foreign_row(&number);
    const struct envelope envelope = opened(&out);
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        struct stage stage;
        open_managed(&stage, 64);
        struct waiter waiter = {{.on_known = on_known}, 0};
        assert_int_equal(unwrap_size(stage.window, managed(&stage), &envelope), AGAIN);
        desk_wait(stage.window->desk, space_of(&stage), number, &waiter.in_desk);
        assert_true(written_has(&stage, "HGET"));
        HELP_SAY(&stage.roof, "+OK\r\n");
        help_feed(&stage.roof, slice_of(replies[i]), HELP_NOW);
        assert_int_equal(waiter.wakes, 1);
        assert_int_equal(unwrap_size(stage.window, managed(&stage), &envelope), MISS);
        assert_int_equal(metrics_read(&stage.metrics, M_DICTIONARIES_MISSING), 1);
        assert_false(written_has(&stage, "HGET"));
        tiers_window_begin(stage.window, HELP_NOW + DESK_LOOK_MS);
        assert_int_equal(unwrap_size(stage.window, managed(&stage), &envelope), AGAIN);
        stage_done(&stage);
    }
    buf_done(&out);
}

static void who_waits_is_woken_when_the_link_is_lost(void **state)
{
    (void)state;
    uint64_t number = 0;
    struct buf out = foreign_row(&number);
    const struct envelope envelope = opened(&out);
    struct stage stage;
    open_managed(&stage, 64);
    struct waiter waiter = {{.on_known = on_known}, 0};
    assert_int_equal(unwrap_size(stage.window, managed(&stage), &envelope), AGAIN);
    desk_wait(stage.window->desk, space_of(&stage), number, &waiter.in_desk);
    link_on_lost(stage.roof.link, "gone", HELP_NOW);
    assert_int_equal(waiter.wakes, 1);
    assert_int_equal(unwrap_size(stage.window, managed(&stage), &envelope), MISS);
    buf_done(&out);
    stage_done(&stage);
}

static void the_current_one_of_l2_is_used(void **state)
{
    (void)state;
    struct stage stage;
    open_managed(&stage, 64);
    char number[24];
    (void)snprintf(number, sizeof number, "%llu",
                   (unsigned long long)dictionary_number(slice_of(row_dictionary)));
    struct buf out = wrapped(&stage, slice_of(row_value)); /* the space is used from here on */
    assert_int_equal(opened(&out).kind, ENVELOPE_RAW);
    buf_done(&out);
    tiers_window_tick(stage.window, HELP_NOW);
    assert_true(written_has(&stage, "current"));
    HELP_SAY(&stage.roof, "+OK\r\n");
    say_bulk(&stage, number);
    assert_true(written_has(&stage, number));
    say_bulk(&stage, row_dictionary);
    tiers_window_tick(stage.window, HELP_NOW);
    assert_true(written_has(&stage, "current"));
    say_bulk(&stage, number);
    out = wrapped(&stage, slice_of(row_value));
    assert_int_equal(opened(&out).kind, ENVELOPE_LZ4_DICTIONARY);
    buf_done(&out);
    tiers_window_tick(stage.window, HELP_NOW + DESK_LOOK_MS - 1);
    assert_false(written_has(&stage, "current"));
    stage_done(&stage);
}

static void fill_samples(struct stage *stage)
{
    char text[128];
    for (unsigned n = 0; !dictionary_is_ready(space_of(stage)); n++) {
        (void)snprintf(
            text, sizeof text,
            "{\"user\":%08u,\"name\":\"somebody\",\"roles\":[\"reader\",\"writer\"],\"n\":1}", n);
        struct buf out = wrapped(stage, slice_of(text));
        buf_done(&out);
    }
}

static void what_was_learned_is_brought_in_and_used(void **state)
{
    (void)state;
    struct stage stage;
    open_managed(&stage, 64);
    fill_samples(&stage);
    tiers_window_tick(stage.window, HELP_NOW);
    assert_true(written_has(&stage, "current"));
    HELP_SAY(&stage.roof, "+OK\r\n$-1\r\n");
    assert_true(written_has(&stage, "EVAL"));
    assert_int_equal(metrics_read(&stage.metrics, M_DICTIONARIES_BETTER), 1);
    assert_true(dictionary_current(space_of(&stage)).number == 0); /* not before L2 has it */
    /* Which one it is only the script's answer says here. Another node was faster: */
    char number[24];
    (void)snprintf(number, sizeof number, "%llu",
                   (unsigned long long)dictionary_number(slice_of(row_dictionary)));
    say_bulk(&stage, number);
    assert_int_equal(metrics_read(&stage.metrics, M_DICTIONARIES_BROUGHT), 0);
    assert_true(written_has(&stage, number)); /* it is read */
    say_bulk(&stage, row_dictionary);
    tiers_window_tick(stage.window, HELP_NOW);
    say_bulk(&stage, number);
    assert_true(dictionary_current(space_of(&stage)).number ==
                dictionary_number(slice_of(row_dictionary)));
    stage_done(&stage);
}

static void an_emptied_redis_gets_the_one_that_is_used_again(void **state)
{
    (void)state;
    struct stage stage;
    open_managed(&stage, 64);
    char number[24];
    (void)snprintf(number, sizeof number, "%llu", (unsigned long long)use_row_dictionary(&stage));
    tiers_window_tick(stage.window, HELP_NOW);
    assert_true(written_has(&stage, "current"));
    HELP_SAY(&stage.roof, "+OK\r\n$-1\r\n");
    assert_true(written_has(&stage, row_dictionary));
    say_bulk(&stage, number);
    assert_int_equal(metrics_read(&stage.metrics, M_DICTIONARIES_BROUGHT), 1);
    stage_done(&stage);
}

static void a_current_one_that_nobody_can_read_is_removed(void **state)
{
    (void)state;
    struct stage stage;
    open_managed(&stage, 64);
    fill_samples(&stage);
    tiers_window_tick(stage.window, HELP_NOW);
    assert_true(written_has(&stage, "current"));
    HELP_SAY(&stage.roof, "+OK\r\n");
    say_bulk(&stage, "12345");
    assert_true(written_has(&stage, "12345"));
    say_bulk(&stage, "other bytes");
    tiers_window_tick(stage.window, HELP_NOW);
    assert_true(written_has(&stage, "current"));
    say_bulk(&stage, "12345");
    assert_true(written_has(&stage, "HDEL"));
    HELP_SAY(&stage.roof, ":2\r\n");
    tiers_window_tick(stage.window, HELP_NOW + 1000);
    assert_true(written_has(&stage, "current"));
    HELP_SAY(&stage.roof, "$-1\r\n");
    assert_true(written_has(&stage, "EVAL"));
    stage_done(&stage);
}

static void of_windows_one_looks(void **state)
{
    (void)state;
    struct stage stage;
    open_managed(&stage, 64);
    stage.window->options.revalidates = false;
    fill_samples(&stage);
    tiers_window_tick(stage.window, HELP_NOW);
    assert_false(written_has(&stage, "current"));
    stage_done(&stage);
}

/* --- reads that meet them --- */

static void on_item(struct tiers_reader *reader, enum status status,
                    const struct tiers_value *value)
{
    struct reading *asked = (struct reading *)(void *)reader;
    asked->ends++;
    asked->status = status;
    if (value->item != NULL) {
        struct managed_value managed;
        assert_int_equal(
            managed_open(item_value(value->item), item_expire_at_ms(value->item), &managed), OK);
        asked->is_spare = slice_is(managed.value, row_value);
    }
}

/* Asks for m:k, and L2 answers with the row. */
static void ask_for_row(struct stage *stage, struct reading *asked, const struct buf *envelope)
{
    *asked = (struct reading){.reader = {.on_value = on_item}};
    const struct ns_key key = namespaces_key(stage->namespaces, 0, slice_of("m:k"));
    struct l1_value value = {0};
    bool foreign = false;
    assert_int_equal(tiers_get(stage->window, &key, 2, &value, &asked->reader, &foreign), PENDING);
    struct buf reply = {0};
    assert_int_equal(buf_printf(&reply, ":900\r\n$%zu\r\n", envelope->size), OK);
    assert_int_equal(buf_append_slice(&reply, buf_slice(envelope)), OK);
    assert_int_equal(buf_append(&reply, "\r\n", 2), OK);
    help_feed(&stage->roof, buf_slice(&reply), HELP_NOW);
    buf_done(&reply);
}

/* And then its dictionary is being read. */
static void read_row(struct stage *stage, struct reading *asked, const struct buf *envelope)
{
    open_managed(stage, 64);
    ask_for_row(stage, asked, envelope);
    assert_int_equal(asked->ends, 0);
    assert_true(written_has(stage, "terrace:dict:m"));
    HELP_SAY(&stage->roof, "+OK\r\n");
}

static void a_read_waits_for_the_dictionary_of_its_value(void **state)
{
    (void)state;
    uint64_t number = 0;
    struct buf out = foreign_row(&number);
    struct stage stage;
    struct reading asked;
    read_row(&stage, &asked, &out);
    say_bulk(&stage, row_dictionary);
    assert_int_equal(asked.ends, 1);
    assert_int_equal(asked.status, OK);
    assert_true(asked.is_spare); /* it is the row */
    stage_done(&stage);
    buf_done(&out);
}

static void without_its_dictionary_a_value_is_a_miss(void **state)
{
    (void)state;
    static const char *const replies[] = {"$-1\r\n", "$5\r\nwrong\r\n"};
    uint64_t number = 0;
    struct buf out = foreign_row(&number);
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        struct stage stage;
        struct reading asked;
        read_row(&stage, &asked, &out);
        help_feed(&stage.roof, slice_of(replies[i]), HELP_NOW);
        assert_int_equal(asked.ends, 1);
        assert_int_equal(asked.status, OK);
        assert_false(asked.is_spare);
        assert_int_equal(metrics_read(&stage.metrics, M_DICTIONARIES_MISSING), 1);
        assert_int_equal(metrics_read(&stage.metrics, M_ENVELOPES_MALFORMED), 0);
        assert_int_equal(stage.window->kept_bytes, 0);
        stage_done(&stage);
    }
    buf_done(&out);
}

static void what_cannot_wait_for_its_dictionary_is_no_miss(void **state)
{
    (void)state;
    uint64_t number = 0;
    struct buf out = foreign_row(&number);
    struct stage stage;
    struct reading asked;
    open_managed(&stage, 64);
    stage.window->kept_bytes = WINDOW_KEPT_BYTES_MAX + 1; /* as if others were under way */
    ask_for_row(&stage, &asked, &out);
    assert_int_equal(asked.ends, 1);
    assert_int_equal(asked.status, BUSY);
    stage.window->kept_bytes = 0;
    stage_done(&stage);
    buf_done(&out);
}

static void a_window_that_ends_ends_reads_that_wait_for_a_dictionary(void **state)
{
    (void)state;
    uint64_t number = 0;
    struct buf out = foreign_row(&number);
    struct stage stage;
    struct reading asked;
    read_row(&stage, &asked, &out);
    tiers_window_end_links(stage.window);
    assert_int_equal(asked.ends, 1);
    assert_false(asked.is_spare);
    stage_done(&stage);
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_comes_out_as_it_went_in),
        cmocka_unit_test(with_a_least_size_of_nothing_values_stay_as_they_are),
        cmocka_unit_test(what_got_no_smaller_is_remembered),
        cmocka_unit_test(what_another_worker_made_for_a_namespace_is_found_whole),
        cmocka_unit_test(a_negative_has_no_value),
        cmocka_unit_test(what_l2_claims_is_bounded_before_it_is_believed),
        cmocka_unit_test(a_dictionary_that_is_not_known_is_read_once_for_all_who_wait),
        cmocka_unit_test(one_that_l2_has_not_or_wrong_is_a_miss_and_not_asked_for_again_soon),
        cmocka_unit_test(who_waits_is_woken_when_the_link_is_lost),
        cmocka_unit_test(the_current_one_of_l2_is_used),
        cmocka_unit_test(what_was_learned_is_brought_in_and_used),
        cmocka_unit_test(an_emptied_redis_gets_the_one_that_is_used_again),
        cmocka_unit_test(a_current_one_that_nobody_can_read_is_removed),
        cmocka_unit_test(of_windows_one_looks),
        cmocka_unit_test(a_read_waits_for_the_dictionary_of_its_value),
        cmocka_unit_test(without_its_dictionary_a_value_is_a_miss),
        cmocka_unit_test(what_cannot_wait_for_its_dictionary_is_no_miss),
        cmocka_unit_test(a_window_that_ends_ends_reads_that_wait_for_a_dictionary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
