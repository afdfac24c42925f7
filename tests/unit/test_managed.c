/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/envelope.h"
#include "tests/unit/l1_help.h"
#include "tiers/managed.h"

#include <stdlib.h>
#include <string.h>

#define T0 INT64_C(1700000000000)

/* --- out of L2, into L1 -------------------------------------------------------------------------------------------- */

static struct item *decoded(struct slice bytes, int64_t pttl_ms, struct managed_value *ret_value)
{
    const struct managed_read read = {.key = {.bytes = slice_of("k"), .db = 3},
                                      .bytes = bytes,
                                      .pttl_ms = pttl_ms,
                                      .issued_at_ms = T0};
    struct item *item = NULL;
    assert_int_equal(managed_decode(&read, &item), OK);
    assert_int_equal(item_db(item), 3);
    assert_int_equal(item_stamped_at_ms(item), T0);
    assert_int_equal(managed_open(item_value(item), item_expire_at_ms(item), ret_value), OK);
    return item;
}

static const struct envelope sample = {.kind = ENVELOPE_RAW,
                                       .version = 77,
                                       .fresh_ms = 1000,
                                       .swr_ms = 300,
                                       .sie_ms = 500,
                                       .load_ms = 20,
                                       .value_size = 5,
                                       .body = {"hello", 5}};

static struct buf written(struct envelope envelope, const char *const *tags, unsigned tag_count)
{
    struct buf out = {0};
    struct slice words[ENVELOPE_TAGS_MAX] = {{0}};
    for (unsigned i = 0; i < tag_count; i++) {
        words[i] = slice_of(tags[i]);
    }
    envelope.tag_count = tag_count;
    assert_int_equal(envelope_write(&out, &envelope, words), OK);
    return out;
}

static void a_value_stands_behind_its_head_and_the_hashes_of_its_tags(void **state)
{
    (void)state;
    static const char *const tags[] = {"red", "blue"};
    struct buf bytes = written(sample, tags, 2);
    struct managed_value value;
    struct item *item = decoded(buf_slice(&bytes), 1200, &value);
    buf_done(&bytes);
    assert_true(slice_is(value.value, "hello"));
    assert_true(value.version == 77 && value.load_ms == 20 && value.fresh_ms == 1000);
    assert_int_equal(value.flags, 0);
    assert_int_equal(value.tag_count, 2);
    for (unsigned i = 0; i < 2; i++) {
        const uint64_t wanted = bans_tag_hash((struct slice){0}, slice_of(tags[i]));
        assert_memory_equal(value.tags + 8 * i, &wanted, 8);
    }
    item_release(item);
}

static void lives_follow_the_pttl_and_are_no_longer_than_written(void **state)
{
    (void)state;
    static const struct {
        uint64_t fresh_ms;
        uint32_t swr_ms, sie_ms;
        int64_t pttl_ms;
        int64_t fresh_for_ms, stale_for_ms, lives_ms; /* from T0; INT64_MAX: no end */
    } table[] = {
        {1000, 300, 500, 1500, 1000, 1300, 1500}, /* just written */
        {1000, 300, 500, 1200, 700, 1000, 1200},
        {1000, 300, 500, 500, 0, 300, 500},
        {1000, 300, 500, 100, -400, -100, 100}, /* only spare */
        {1000, 500, 300, 1200, 700, 1200, 1200},
        {1000, 0, 0, 400, 400, 400, 400},
        {1000, 300, 500, 9000, 1000, 1300, 1500}, /* asked before this was written */
        {1000, 300, 500, -1, 1000, 1300, 1500},
        {1000, 300, 500, -3, 1000, 1300, 1500},
        {0, 300, 500, -1, INT64_MAX, INT64_MAX, INT64_MAX},
        {0, 300, 500, 900, 400, 700, 900}, /* a stranger's EXPIRE */
        {1000, 300, 500, 0, -500, -200, 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct envelope envelope = sample;
        envelope.fresh_ms = table[i].fresh_ms;
        envelope.swr_ms = table[i].swr_ms;
        envelope.sie_ms = table[i].sie_ms;
        struct buf bytes = written(envelope, NULL, 0);
        struct managed_value value;
        struct item *item = decoded(buf_slice(&bytes), table[i].pttl_ms, &value);
        const bool ends = table[i].lives_ms != INT64_MAX;
        assert_int_equal(value.fresh_until_ms, ends ? T0 + table[i].fresh_for_ms : INT64_MAX);
        assert_int_equal(value.stale_until_ms, ends ? T0 + table[i].stale_for_ms : INT64_MAX);
        assert_int_equal(value.dies_at_ms, ends ? T0 + table[i].lives_ms : INT64_MAX);
        assert_int_equal(item_expire_at_ms(item), ends ? T0 + table[i].lives_ms : ITEM_NEVER);
        item_release(item);
        buf_done(&bytes);
    }
}

static void what_has_no_envelope_is_foreign_and_what_has_a_broken_one_is_nothing(void **state)
{
    (void)state;
    struct managed_value value;
    struct item *item = decoded(slice_of("set by a stranger"), 700, &value);
    assert_true(slice_is(value.value, "set by a stranger"));
    assert_int_equal(value.version, 0);
    assert_int_equal(value.flags, MANAGED_FOREIGN);
    assert_int_equal(value.fresh_until_ms, T0 + 700);
    assert_int_equal(value.dies_at_ms, T0 + 700);
    item_release(item);
    item = decoded((struct slice){0}, -1, &value);
    assert_int_equal(value.value.size, 0);
    assert_int_equal(value.fresh_until_ms, INT64_MAX);
    item_release(item);

    struct buf bytes = written(sample, NULL, 0);
    for (size_t i = 0; i < bytes.size; i++) {
        const bool by_scripts = i == 4 || (i >= 8 && i < 24);
        if (i < 3 || by_scripts) {
            continue;
        }
        bytes.data[i] = (char)(bytes.data[i] ^ 1);
        const struct managed_read read = {.key = {.bytes = slice_of("k")},
                                          .bytes = buf_slice(&bytes),
                                          .pttl_ms = -1,
                                          .issued_at_ms = T0};
        struct item *unreadable = NULL;
        assert_int_equal(managed_decode(&read, &unreadable), MALFORMED);
        assert_int_equal(managed_open(item_value(unreadable), ITEM_NEVER, &value), OK);
        assert_true(value.version == (i == 3 ? 0 : 77)); /* of another layout scripts see none */
        assert_int_equal(value.flags & MANAGED_FOREIGN, i == 3 ? MANAGED_FOREIGN : 0);
        assert_int_equal(managed_judge(&value, &(struct ns_rules){0}, BAN_NONE, T0, 0),
                         MANAGED_DEAD);
        assert_int_equal(value.value.size, 0);
        item_release(unreadable);
        bytes.data[i] = (char)(bytes.data[i] ^ 1);
    }
    buf_done(&bytes);
}

static void no_prefix_of_an_item_opens_beyond_its_end(void **state)
{
    (void)state;
    static const char *const tags[] = {"red", "blue"};
    struct buf bytes = written(sample, tags, 2);
    struct managed_value value;
    struct item *item = decoded(buf_slice(&bytes), -1, &value);
    const struct slice whole = item_value(item);
    for (size_t size = 0; size < whole.size; size++) {
        char *exact = malloc(size + 1);
        memcpy(exact, whole.data, size);
        char *cut = realloc(exact, size == 0 ? 1 : size);
        const enum status status = managed_open((struct slice){cut, size}, ITEM_NEVER, &value);
        assert_int_equal(status, size + 5 < whole.size ? MALFORMED : OK);
        assert_int_equal(status == OK ? value.value.size : size,
                         status == OK ? size + 5 - whole.size : size);
        free(cut);
    }
    item_release(item);
    buf_done(&bytes);
}

static void the_same_value_read_twice_is_the_same(void **state)
{
    (void)state;
    struct managed_value value;
    struct buf bytes = written(sample, NULL, 0);
    struct envelope newer = sample;
    newer.version++;
    struct buf other = written(newer, NULL, 0);
    struct item *a = decoded(buf_slice(&bytes), 1000, &value);
    struct item *b = decoded(buf_slice(&bytes), 990, &value);
    struct item *c = decoded(buf_slice(&other), 1000, &value);
    assert_true(managed_is_same(a, b));
    assert_false(managed_is_same(a, c));
    item_release(a);
    item_release(b);
    item_release(c);
    buf_done(&bytes);
    buf_done(&other);
}

/* --- what it is worth ---------------------------------------------------------------------------------------------- */

static void a_value_is_worth_what_its_times_and_bans_say(void **state)
{
    (void)state;
    static const struct {
        /* After T0, when it was written: fresh for 1000, stale to 1300, dies at 1500. */
        int64_t at_ms;
        uint8_t flags;
        enum ban_verdict bans;
        enum managed_state wanted;
        int64_t ttl_ms;
    } table[] = {
        {0, 0, BAN_NONE, MANAGED_FRESH, 1000},
        {999, 0, BAN_NONE, MANAGED_FRESH, 1},
        {1000, 0, BAN_NONE, MANAGED_STALE, 0},
        {1299, 0, BAN_NONE, MANAGED_STALE, 0},
        {1300, 0, BAN_NONE, MANAGED_SPARE, 0},
        {1499, 0, BAN_NONE, MANAGED_SPARE, 0},
        {1500, 0, BAN_NONE, MANAGED_DEAD, 0},
        {0, MANAGED_SOFT, BAN_NONE, MANAGED_STALE, 0},
        {0, 0, BAN_SOFT, MANAGED_STALE, 0},
        {1300, MANAGED_SOFT, BAN_SOFT, MANAGED_SPARE, 0},
        {0, 0, BAN_HARD, MANAGED_DEAD, 0},
        {1100, MANAGED_SOFT, BAN_HARD, MANAGED_DEAD, 0},
        {0, 0, BAN_UNKNOWN, MANAGED_UNSURE, 0},
        {1400, 0, BAN_UNKNOWN, MANAGED_UNSURE, 0},
        {1500, 0, BAN_UNKNOWN, MANAGED_DEAD, 0},
        {999, MANAGED_NEGATIVE, BAN_NONE, MANAGED_FRESH, 1},
        {1000, MANAGED_NEGATIVE, BAN_NONE, MANAGED_DEAD, 0},
        {0, MANAGED_NEGATIVE, BAN_SOFT, MANAGED_DEAD, 0},
        {0, MANAGED_NEGATIVE | MANAGED_SOFT, BAN_NONE, MANAGED_DEAD, 0},
    };
    const struct ns_rules rules = {0};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const struct managed_value value = {.fresh_until_ms = T0 + 1000,
                                            .stale_until_ms = T0 + 1300,
                                            .dies_at_ms = T0 + 1500,
                                            .fresh_ms = 1000,
                                            .flags = table[i].flags};
        const int64_t now_ms = T0 + table[i].at_ms;
        assert_int_equal(managed_judge(&value, &rules, table[i].bans, now_ms, 0), table[i].wanted);
        assert_int_equal(managed_ttl_ms(&value, table[i].bans, now_ms), table[i].ttl_ms);
        assert_int_equal(managed_age_ms(&value, now_ms), table[i].at_ms);
    }
    const struct managed_value for_ever = {.fresh_until_ms = INT64_MAX,
                                           .stale_until_ms = INT64_MAX,
                                           .dies_at_ms = INT64_MAX,
                                           .load_ms = 5};
    const struct ns_rules early = {.eager_percent = 1, .xfetch_milli = 100000};
    assert_int_equal(managed_judge(&for_ever, &early, BAN_NONE, T0, 0), MANAGED_FRESH);
    assert_int_equal(managed_judge(&for_ever, &early, BAN_SOFT, T0, 0), MANAGED_STALE);
    assert_int_equal(managed_ttl_ms(&for_ever, BAN_NONE, T0), MANAGED_NO_END);
    assert_int_equal(managed_ttl_ms(&for_ever, BAN_SOFT, T0), 0);
    assert_int_equal(managed_age_ms(&for_ever, T0), MANAGED_AGE_UNKNOWN);
}

static void past_its_share_a_fresh_value_is_to_be_loaded_anew(void **state)
{
    (void)state;
    const struct managed_value value = {.fresh_until_ms = T0 + 1000,
                                        .stale_until_ms = T0 + 1000,
                                        .dies_at_ms = T0 + 1000,
                                        .fresh_ms = 1000};
    const struct ns_rules rules = {.eager_percent = 80};
    assert_int_equal(managed_judge(&value, &rules, BAN_NONE, T0 + 800, 0), MANAGED_FRESH);
    assert_int_equal(managed_judge(&value, &rules, BAN_NONE, T0 + 801, 0), MANAGED_EAGER);
    assert_int_equal(managed_judge(&value, &rules, BAN_SOFT, T0 + 801, 0), MANAGED_STALE);
    struct managed_value negative = value;
    negative.flags = MANAGED_NEGATIVE;
    assert_int_equal(managed_judge(&negative, &rules, BAN_NONE, T0 + 999, 0), MANAGED_FRESH);
}

/* P(load anew at `left` before the end) = P(-load * beta * ln(u) >= left) = exp(-left / (load * beta)). */
static void xfetch_draws_the_earlier_the_longer_the_load(void **state)
{
    (void)state;
    static const struct {
        int64_t left_ms;
        int64_t beta_milli;
        double wanted;
    } table[] = {{100, 1000, 0.3679},
                 {300, 1000, 0.0498},
                 {100, 2000, 0.6065},
                 {1, 1000, 0.9900},
                 {2000, 1000, 0.0}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const struct managed_value value = {.fresh_until_ms = T0 + table[i].left_ms,
                                            .stale_until_ms = T0 + table[i].left_ms,
                                            .dies_at_ms = T0 + table[i].left_ms,
                                            .fresh_ms = 5000,
                                            .load_ms = 100};
        const struct ns_rules rules = {.xfetch_milli = table[i].beta_milli};
        enum {
            DRAWS = 10000
        };
        unsigned eager = 0;
        for (uint64_t draw = 0; draw < DRAWS; draw++) {
            const uint32_t noise = (uint32_t)(draw * UINT32_MAX / (DRAWS - 1));
            eager += managed_judge(&value, &rules, BAN_NONE, T0, noise) == MANAGED_EAGER;
        }
        const double share = (double)eager / DRAWS;
        assert_true(share > table[i].wanted - 0.002 && share < table[i].wanted + 0.002);
        struct managed_value unmeasured = value;
        unmeasured.load_ms = 0;
        assert_int_equal(managed_judge(&unmeasured, &rules, BAN_NONE, T0, 0), MANAGED_FRESH);
    }
}

/* --- what is written ----------------------------------------------------------------------------------------------- */

static void a_write_lives_as_it_says_within_the_rules(void **state)
{
    (void)state;
    static const struct {
        int64_t ttl_ms, max_ms, jitter, asked_ms;
        uint32_t noise;
        int64_t wanted_ms;
    } table[] = {
        {0, 0, 10, 0, UINT32_MAX, 0},
        {1000, 0, 10, 0, 0, 1000},
        {1000, 0, 10, 0, UINT32_MAX, 901},
        {1000, 0, 0, 0, UINT32_MAX, 1000},
        {1000, 0, 10, 5000, UINT32_MAX, 5000},
        {1000, 3000, 10, 5000, 0, 3000},
        {1000, 3000, 10, 5000, UINT32_MAX, 2701},
        {0, 3000, 10, 0, 0, 3000},
        {1000, 3000, 10, 2000, UINT32_MAX, 2000},
        {1, 0, 90, 0, UINT32_MAX, 1},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const struct ns_rules rules = {.ttl_ms = table[i].ttl_ms,
                                       .max_ttl_ms = table[i].max_ms,
                                       .jitter_percent = table[i].jitter};
        assert_int_equal(managed_life_ms(&rules, table[i].asked_ms, table[i].noise),
                         table[i].wanted_ms);
    }
    assert_int_equal(managed_px_ms(0, 5, 9), 0);
    assert_int_equal(managed_px_ms(10, 5, 9), 19);
    assert_int_equal(managed_px_ms(10, 9, 5), 19);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_stands_behind_its_head_and_the_hashes_of_its_tags),
        cmocka_unit_test(lives_follow_the_pttl_and_are_no_longer_than_written),
        cmocka_unit_test(what_has_no_envelope_is_foreign_and_what_has_a_broken_one_is_nothing),
        cmocka_unit_test(no_prefix_of_an_item_opens_beyond_its_end),
        cmocka_unit_test(the_same_value_read_twice_is_the_same),
        cmocka_unit_test(a_value_is_worth_what_its_times_and_bans_say),
        cmocka_unit_test(past_its_share_a_fresh_value_is_to_be_loaded_anew),
        cmocka_unit_test(xfetch_draws_the_earlier_the_longer_the_load),
        cmocka_unit_test(a_write_lives_as_it_says_within_the_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
