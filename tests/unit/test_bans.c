/* SPDX-License-Identifier: BSD-3-Clause */
/* Bans against a list that is searched, and what they do when values expire. */
#include "tests/unit/bans_help.h"

enum {
    MODEL_TURNS = 60000,
    MODEL_BANS = 400,
    MODEL_SEED = 20261122,
    LIFE_MS = 20000,
    SLACK_MS = BANS_SLACK_MS
};

static void a_value_is_bound_by_what_fits_it_and_came_after_it(void **state)
{
    (void)state;
    struct bans *bans = bans_new();
    struct bans_memo *memo = bans_memo_new(bans);
    help_ban(bans, FRAME_BAN_TAG, "", "red", 10, 0, 0);
    help_ban(bans, FRAME_BAN_PREFIX, "", "user:", 0, 20, 0);
    help_ban(bans, FRAME_BAN_GLOB, "", "*:tail", 30, 0, 0);
    help_ban(bans, FRAME_BAN_ALL_TAGS, "", "\4blue\5green", 40, 0, 0);
    help_ban(bans, FRAME_BAN_PREFIX, "other", "", 50, 0, 0);
    const struct {
        const char *ns;
        const char *key;
        uint64_t version;
        const char *tags[3];
        enum ban_verdict verdict;
    } rows[] = {
        {"a", "k", 9, {"red"}, BAN_HARD},
        {"a", "k", 10, {"red"}, BAN_NONE}, /* written at the seq of the ban: it contains it */
        {"a", "k", 9, {"re"}, BAN_NONE},
        {"a", "k", 9, {"blue", "red"}, BAN_HARD},
        {"a", "user:1", 5, {NULL}, BAN_SOFT},
        {"a", "user:", 19, {NULL}, BAN_SOFT},
        {"a", "user", 5, {NULL}, BAN_NONE},
        {"a", "user:1", 20, {NULL}, BAN_NONE},
        {"a", "user:1", 9, {"red"}, BAN_HARD},
        {"a", "some:tail", 29, {NULL}, BAN_HARD},
        {"a", "some:tail", 30, {NULL}, BAN_NONE},
        {"a", "k", 39, {"blue", "green"}, BAN_HARD},
        {"a", "k", 39, {"green"}, BAN_NONE},
        {"a", "k", 39, {"green", "x", "blue"}, BAN_HARD},
        {"other", "k", 49, {NULL}, BAN_HARD},
        {"other", "k", 50, {NULL}, BAN_NONE},
        {"a", "k", 49, {NULL}, BAN_NONE},
        {"a", "k", 0, {NULL}, BAN_HARD}, /* nobody knows what tags it has */
    };
    for (unsigned twice = 0; twice < 2; twice++) { /* the second time from the memo */
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            assert_int_equal(
                help_check(bans, memo, rows[i].ns, rows[i].key, rows[i].version, rows[i].tags, 3),
                rows[i].verdict);
        }
    }
    bans_memo_free(memo);
    bans_free(bans);
}

static void a_foreign_value_is_bound_by_tags_of_its_namespace_only(void **state)
{
    (void)state;
    struct bans *bans = bans_new();
    struct bans_memo *memo = bans_memo_new(bans);
    help_ban(bans, FRAME_BAN_TAG, "a", "red", 10, 0, 0);
    help_ban(bans, FRAME_BAN_PREFIX, "", "gone", 11, 0, 0);
    help_ban(bans, FRAME_BAN_LOST, "", "", 12, 0, 0);
    assert_int_equal(help_check(bans, memo, "a", "k", 0, NULL, 0), BAN_HARD);
    assert_int_equal(help_check(bans, memo, "b", "k", 0, NULL, 0), BAN_NONE);
    assert_int_equal(help_check(bans, memo, "b", "gone:k", 0, NULL, 0), BAN_HARD);
    /* Of a lost table it is not known what it said of what nodes wrote. */
    assert_int_equal(help_check(bans, memo, "b", "k", 11, NULL, 0), BAN_HARD);
    assert_int_equal(help_check(bans, memo, "b", "k", 12, NULL, 0), BAN_NONE);
    bans_memo_free(memo);
    bans_free(bans);
}

static void what_this_node_alone_has_is_not_ended_by_a_lost_table(void **state)
{
    (void)state;
    struct bans *bans = bans_new();
    struct bans_memo *memo = bans_memo_new(bans);
    const struct namespace ns = {.name = "a"};
    char red[sizeof(uint64_t)];
    put_u64le(red, bans_tag_hash((struct slice){0}, slice_of("red")));
    help_ban(bans, FRAME_BAN_TAG, "a", "red", 10, 0, 0);
    help_ban(bans, FRAME_BAN_PREFIX, "", "soft", 0, 11, 0);
    help_ban(bans, FRAME_BAN_LOST, "", "", 100, 0, 0);
    assert_int_equal(help_check(bans, memo, "a", "k", 50, NULL, 0), BAN_HARD);
    assert_int_equal(bans_check_held(bans, &ns, slice_of("k"), 50, red, 1), BAN_NONE);
    assert_int_equal(bans_check_held(bans, &ns, slice_of("k"), 10, red, 1), BAN_NONE);
    assert_int_equal(bans_check_held(bans, &ns, slice_of("k"), 9, red, 1), BAN_HARD);
    assert_int_equal(bans_check_held(bans, &ns, slice_of("k"), 9, red, 0), BAN_NONE);
    assert_int_equal(bans_check_held(bans, &ns, slice_of("soft:k"), 9, red, 0), BAN_SOFT);
    /* A verdict of one is none of the other. */
    assert_int_equal(help_check(bans, memo, "a", "k", 50, NULL, 0), BAN_HARD);
    bans_set_whole(bans, false);
    assert_int_equal(bans_check_held(bans, &ns, slice_of("k"), 50, red, 1), BAN_UNKNOWN);
    bans_memo_free(memo);
    bans_free(bans);
}

static void a_ban_that_comes_late_changes_a_verdict_that_was_remembered(void **state)
{
    (void)state;
    struct bans *bans = bans_new();
    struct bans_memo *memo = bans_memo_new(bans);
    help_ban(bans, FRAME_BAN_TAG, "", "newest", 100, 0, 0);
    assert_int_equal(help_check(bans, memo, "a", "user:1", 5, NULL, 0), BAN_NONE);
    help_ban(bans, FRAME_BAN_PREFIX, "", "user:", 50, 0,
             0); /* as read from L2, below the highest */
    assert_int_equal(help_check(bans, memo, "a", "user:1", 5, NULL, 0), BAN_HARD);
    bans_set_whole(bans, false);
    assert_int_equal(help_check(bans, memo, "a", "user:1", 5, NULL, 0), BAN_UNKNOWN);
    assert_int_equal(help_check(bans, memo, "a", "user:1", 500, NULL, 0), BAN_UNKNOWN);
    bans_set_whole(bans, true);
    assert_int_equal(help_check(bans, memo, "a", "user:1", 5, NULL, 0), BAN_HARD);
    assert_int_equal(help_check(bans, memo, "a", "user:1", 500, NULL, 0), BAN_NONE);
    bans_memo_free(memo);
    bans_free(bans);
}

static void one_version_with_other_tags_is_another_value(void **state)
{
    (void)state;
    struct bans *bans = bans_new();
    struct bans_memo *memo = bans_memo_new(bans);
    help_ban(bans, FRAME_BAN_TAG, "", "red", 10, 0, 0);
    assert_int_equal(help_check(bans, memo, "a", "k", 9, (const char *[]){"blue"}, 1), BAN_NONE);
    assert_int_equal(help_check(bans, memo, "a", "k", 9, (const char *[]){"red"}, 1), BAN_HARD);
    assert_int_equal(help_check(bans, memo, "a", "k", 9, NULL, 0), BAN_NONE);
    bans_memo_free(memo);
    bans_free(bans);
}

/* --- the model --------------------------------------------------------------------------------------------------- */

struct model_ban {
    enum frame_ban_kind kind;
    const char *ns;
    char text[40];
    uint64_t hard;
    uint64_t soft;
};

static const char *const spaces[] = {"", "a", "b"};
static const char *const words[] = {"red", "green", "blue", "grey", "black"};

static bool model_fits(const struct model_ban *ban, const char *ns, const char *key,
                       uint64_t version, const char *const tags[], unsigned tag_count)
{
    if (ban->ns[0] != '\0' && strcmp(ban->ns, ns) != 0) {
        return false;
    }
    if (ban->kind == FRAME_BAN_PREFIX) {
        return strncmp(key, ban->text, strlen(ban->text)) == 0;
    }
    if (ban->kind == FRAME_BAN_GLOB) {
        return glob_match(slice_of(ban->text), slice_of(key), false);
    }
    if (version == 0) {
        return true;
    }
    size_t position = 0;
    struct slice tag = slice_of(ban->text);
    unsigned wanted = 0;
    unsigned found = 0;
    while (ban->kind == FRAME_BAN_TAG
               ? wanted == 0
               : frame_ban_next_tag(slice_of(ban->text), &position, &tag) == OK) {
        wanted++;
        bool has = false;
        for (unsigned i = 0; i < tag_count; i++) {
            has |= slice_is(tag, tags[i]);
        }
        found += has;
    }
    return found == wanted;
}

static void model_text(struct rand *rand, struct model_ban *ban)
{
    char key[24];
    help_key(rand, key);
    switch (ban->kind) {
    case FRAME_BAN_TAG: strcpy(ban->text, words[rand_below(rand, 5)]); break;
    case FRAME_BAN_ALL_TAGS: {
        const unsigned first = (unsigned)rand_below(rand, 4);
        const char *a = words[first];
        const char *b = words[first + 1 + rand_below(rand, 4 - first)];
        if (strcmp(a, b) > 0) {
            const char *swap = a;
            a = b;
            b = swap;
        }
        snprintf(ban->text, sizeof ban->text, "%c%s%c%s", (char)strlen(a), a, (char)strlen(b), b);
        break;
    }
    case FRAME_BAN_GLOB:
        key[rand_below(rand, strlen(key))] = '?';
        snprintf(ban->text, sizeof ban->text, "%s%s", rand_below(rand, 2) == 0 ? "*" : "", key + 2);
        break;
    case FRAME_BAN_PREFIX:
    case FRAME_BAN_LOST:
        snprintf(ban->text, sizeof ban->text, "%.*s", (int)rand_below(rand, 22), key);
        break;
    }
}

static void model_ban_one(struct rand *rand, struct bans *bans, struct model_ban *list,
                          unsigned *count, uint64_t seq)
{
    static const enum frame_ban_kind kinds[] = {FRAME_BAN_TAG, FRAME_BAN_PREFIX, FRAME_BAN_PREFIX,
                                                FRAME_BAN_GLOB, FRAME_BAN_ALL_TAGS};
    struct model_ban ban = {.kind = kinds[rand_below(rand, 5)], .ns = spaces[rand_below(rand, 3)]};
    model_text(rand, &ban);
    if (rand_below(rand, 4) == 0) {
        ban.soft = seq;
    } else {
        ban.hard = rand_below(rand, 8) == 0 ? 1 + rand_below(rand, seq) : seq; /* some come late */
    }
    help_ban(bans, ban.kind, ban.ns, ban.text, ban.hard, ban.soft, 0);
    list[(*count)++] = ban;
}

static void model_check_one(struct rand *rand, const struct bans *bans, struct bans_memo *memo,
                            const struct model_ban *list, unsigned count, uint64_t seq)
{
    const char *tags[3];
    const unsigned tag_count = (unsigned)rand_below(rand, 4);
    for (unsigned i = 0; i < tag_count; i++) {
        tags[i] = words[rand_below(rand, 5)];
    }
    char key[24];
    help_key(rand, key);
    const char *ns = spaces[1 + rand_below(rand, 2)];
    const uint64_t version = rand_below(rand, 10) == 0 ? 0 : 1 + rand_below(rand, seq + 1);
    enum ban_verdict expected = BAN_NONE;
    for (unsigned i = 0; i < count; i++) {
        if (model_fits(&list[i], ns, key, version, tags, tag_count)) {
            if (version < list[i].hard) {
                expected = BAN_HARD;
            } else if (version < list[i].soft && expected == BAN_NONE) {
                expected = BAN_SOFT;
            }
        }
    }
    /* A key's namespace follows from the key; here it does not, so it is a part of the key's hash. */
    assert_int_equal(help_check(bans, memo, ns, key, version, tags, tag_count), expected);
}

static void bans_say_what_a_search_of_a_list_says(void **state)
{
    (void)state;
    struct rand rand;
    rand_seed(&rand, MODEL_SEED);
    struct bans *bans = bans_new();
    struct bans_memo *memo = bans_memo_new(bans);
    struct model_ban *list = calloc(MODEL_BANS, sizeof(*list));
    unsigned count = 0;
    uint64_t seq = 1;
    for (unsigned turn = 0; turn < MODEL_TURNS; turn++) {
        seq++;
        if (turn % (MODEL_TURNS / MODEL_BANS) == 0 && count < MODEL_BANS) {
            model_ban_one(&rand, bans, list, &count, seq);
        }
        model_check_one(&rand, bans, memo, list, count, seq);
        if (turn % 1000 == 0) {
            bans_quiet(memo);
        }
    }
    assert_int_equal(count, MODEL_BANS);
    free(list);
    bans_memo_free(memo);
    bans_free(bans);
}

/* --- rows come and go -------------------------------------------------------------------------------------------- */

/* Until `over` is full; what was told stays in it. */
static void clean_all(struct bans *bans, int64_t now_ms, int64_t life_ms, struct buf *over)
{
    for (unsigned i = 0; i < 3; i++) {
        const size_t before = over->size;
        bans_over(bans, now_ms, life_ms, UINT32_MAX, over);
        bans_remove(bans, (struct slice){.data = over->data + before, .size = over->size - before});
    }
}

static void a_row_goes_when_l2_agrees_and_it_has_not_risen(void **state)
{
    (void)state;
    struct bans *bans = bans_new();
    struct bans_memo *memo = bans_memo_new(bans);
    struct buf over = {0};
    help_ban(bans, FRAME_BAN_PREFIX, "", "a", 10, 0, 0);
    help_ban(bans, FRAME_BAN_PREFIX, "", "b", 10, 0, 0);
    help_ban(bans, FRAME_BAN_PREFIX, "", "c", 0, 10, 0);
    bans_over(bans, 0, LIFE_MS, UINT32_MAX, &over); /* a pass begins */
    bans_over(bans, LIFE_MS + SLACK_MS + 1, LIFE_MS, UINT32_MAX, &over);
    assert_int_equal(bans_count(bans), 3); /* nobody has agreed */
    assert_int_equal(help_check(bans, memo, "", "a", 1, NULL, 0), BAN_HARD);
    help_ban(bans, FRAME_BAN_PREFIX, "", "b", 20, 0, LIFE_MS); /* meanwhile */
    help_ban(bans, FRAME_BAN_PREFIX, "", "c", 0, 20, LIFE_MS);
    bans_remove(bans, buf_slice(&over));
    assert_int_equal(bans_count(bans), 2);
    over.size = 0;
    bans_over(bans, LIFE_MS + SLACK_MS + 1, LIFE_MS, UINT32_MAX, &over);
    assert_int_equal(over.size, 0);
    assert_int_equal(help_check(bans, memo, "", "a", 1, NULL, 0), BAN_NONE);
    assert_int_equal(help_check(bans, memo, "", "b", 19, NULL, 0), BAN_HARD);
    assert_int_equal(help_check(bans, memo, "", "c", 19, NULL, 0), BAN_SOFT);
    buf_done(&over);
    bans_memo_free(memo);
    bans_free(bans);
}

static void what_cannot_be_read_kills_all_of_before(void **state)
{
    (void)state;
    struct bans *bans = bans_new();
    struct bans_memo *memo = bans_memo_new(bans);
    bans_give_up(bans, 10);
    assert_int_equal(help_check(bans, memo, "", "a", 0, NULL, 0), BAN_HARD);
    assert_int_equal(help_check(bans, memo, "", "a", 9, NULL, 0), BAN_HARD);
    assert_int_equal(help_check(bans, memo, "", "a", 10, NULL, 0), BAN_NONE);
    bans_memo_free(memo);
    bans_free(bans);
}

static void rows_go_when_no_value_can_be_older(void **state)
{
    (void)state;
    struct bans *bans = bans_new();
    struct bans_memo *memo = bans_memo_new(bans);
    struct buf removed = {0};
    const uint64_t empty = bans_bytes(bans);
    char text[32];
    for (unsigned i = 0; i < 600; i++) {
        snprintf(text, sizeof text, "%u:", i);
        help_ban(bans,
                 i % 3 == 0   ? FRAME_BAN_TAG
                 : i % 3 == 1 ? FRAME_BAN_PREFIX
                              : FRAME_BAN_GLOB,
                 "", text, 10 + i, 0, i);
    }
    assert_int_equal(bans_count(bans), 600);
    clean_all(bans, LIFE_MS + SLACK_MS, LIFE_MS, &removed);
    assert_int_equal(bans_count(bans), 600);
    clean_all(bans, LIFE_MS + SLACK_MS + 300, LIFE_MS, &removed);
    assert_int_equal(bans_count(bans), 300);
    assert_int_equal(help_check(bans, memo, "a", "298:x", 1, NULL, 0), BAN_NONE);
    assert_int_equal(help_check(bans, memo, "a", "301:x", 1, NULL, 0), BAN_HARD);
    struct frame_ban ban;
    size_t position = 0;
    unsigned told = 0;
    while (frame_ban_next(buf_slice(&removed), 0, &position, &ban) == OK) {
        assert_true(ban.hard >= 10 && ban.hard < 310);
        told++;
    }
    assert_int_equal(told, 300);
    removed.size = 0;
    clean_all(bans, 4 * LIFE_MS, 0, &removed); /* values may live for ever: rows, too */
    assert_int_equal(bans_count(bans), 300);
    clean_all(bans, 4 * LIFE_MS, LIFE_MS, &removed);
    assert_int_equal(bans_count(bans), 0);
    assert_int_equal(help_check(bans, memo, "a", "301:x", 1, NULL, 0), BAN_NONE);
    bans_quiet(memo);
    bans_reclaim(bans);
    assert_true(bans_bytes(bans) < empty + 600 * 2 * sizeof(void *) + 8192);
    buf_done(&removed);
    bans_memo_free(memo);
    bans_free(bans);
}

static void where_values_live_for_ever_one_row_takes_the_place_of_the_oldest(void **state)
{
    (void)state;
    struct bans *bans = bans_new();
    struct bans_memo *memo = bans_memo_new(bans);
    struct buf removed = {0};
    help_ban(bans, FRAME_BAN_TAG, "", "old", 10, 0, 1000);
    help_ban(bans, FRAME_BAN_PREFIX, "a", "older", 0, 9, 500);
    const int64_t day_ms = BANS_COVER_MS;
    help_ban(bans, FRAME_BAN_GLOB, "", "*new", 30, 0, 2000 + day_ms);
    clean_all(bans, BANS_KEEP_MS + day_ms + 500, 0, &removed); /* too old, but not by a day */
    assert_true(bans_aged(bans) == 0);
    clean_all(bans, BANS_KEEP_MS + day_ms + 501, INT64_MAX / 2, &removed);
    assert_true(bans_aged(bans) == 0);
    clean_all(bans, BANS_KEEP_MS + day_ms + 501, 0, &removed);
    assert_true(bans_aged(bans) == 11);
    assert_true(bans_aged(bans) == 0);
    assert_int_equal(bans_count(bans), 3);
    bans_over(bans, BANS_KEEP_MS + day_ms + 501, 0, 2, &removed); /* a pass has seen it, too, */
    help_ban(bans, FRAME_BAN_PREFIX, "", "", 11, 0, 3000);        /* when it is replaced */
    clean_all(bans, BANS_KEEP_MS + day_ms + 501, 0, &removed);
    assert_int_equal(bans_count(bans), 2);
    assert_true(bans_aged(bans) == 0);
    clean_all(bans, BANS_KEEP_MS + 2 * day_ms + 2000, 0, &removed); /* the next turns too old */
    assert_true(bans_aged(bans) == 0);
    assert_int_equal(help_check(bans, memo, "a", "x", 10, NULL, 0), BAN_HARD);
    assert_int_equal(help_check(bans, memo, "a", "x", 11, NULL, 0), BAN_NONE);
    assert_int_equal(help_check(bans, memo, "a", "new", 29, NULL, 0), BAN_HARD);
    clean_all(bans, 2 * BANS_KEEP_MS, 0, &removed);
    assert_true(bans_aged(bans) == 31);
    help_ban(bans, FRAME_BAN_PREFIX, "", "", 31, 0, 3000);
    clean_all(bans, 3 * BANS_KEEP_MS, 0, &removed);
    clean_all(bans, 3 * BANS_KEEP_MS, 0, &removed);
    assert_int_equal(bans_count(bans), 1);
    assert_true(bans_aged(bans) == 0); /* of itself none */
    buf_done(&removed);
    bans_memo_free(memo);
    bans_free(bans);
}

static void a_ban_of_everything_makes_older_ones_needless(void **state)
{
    (void)state;
    struct bans *bans = bans_new();
    struct buf removed = {0};
    help_ban(bans, FRAME_BAN_TAG, "", "red", 10, 0, 0);
    help_ban(bans, FRAME_BAN_PREFIX, "a", "x", 11, 0, 0);
    help_ban(bans, FRAME_BAN_PREFIX, "b", "x", 12, 0, 0);
    help_ban(bans, FRAME_BAN_GLOB, "a", "*y", 30, 0, 0);
    help_ban(bans, FRAME_BAN_PREFIX, "a", "", 20, 0, 0);
    clean_all(bans, 0, 0, &removed);
    assert_int_equal(bans_count(bans), 4); /* without the one of "a" that is older */
    help_ban(bans, FRAME_BAN_PREFIX, "", "", 40, 0, 0);
    clean_all(bans, 0, 0, &removed);
    assert_int_equal(bans_count(bans), 1);
    buf_done(&removed);
    bans_free(bans);
}

static void what_a_node_knows_is_told_and_known_by_another(void **state)
{
    (void)state;
    struct bans *bans = bans_new();
    struct bans *other = bans_new();
    struct bans_memo *memo = bans_memo_new(other);
    char text[64];
    for (unsigned i = 0; i < 3000; i++) {
        snprintf(text, sizeof text, "%u:a prefix that takes its room", i);
        help_ban(bans, FRAME_BAN_PREFIX, "", text, 10 + i, 5 + i, 0);
    }
    size_t place = SIZE_MAX;
    struct buf body = {0};
    unsigned frames = 0;
    bool more = true;
    while (more) {
        body.size = 0;
        more = bans_tell(bans, &place, 7000, &body);
        assert_int_equal(bans_add_all(other, buf_slice(&body), 0, 7000), OK);
        frames++;
    }
    assert_true(frames > 2);
    assert_int_equal(bans_count(other), 3000);
    assert_int_equal(
        help_check(other, memo, "a", "2999:a prefix that takes its room!", 3008, NULL, 0),
        BAN_HARD);
    struct buf removed = {0}; /* their age came along */
    clean_all(other, LIFE_MS + SLACK_MS + 1, LIFE_MS, &removed);
    assert_true(bans_count(other) < 3000);
    buf_done(&removed);
    buf_done(&body);
    bans_memo_free(memo);
    bans_free(other);
    bans_free(bans);
}

static void what_the_list_cannot_take_kills_more_than_was_meant(void **state)
{
    (void)state;
    struct bans *bans = bans_new();
    struct bans_memo *memo = bans_memo_new(bans);
    char text[32];
    unsigned limit = 0;
    for (unsigned i = 0; i < LIMIT_BAN_LIST; i++) {
        assert_true(bans_have_room(bans, FRAME_BAN_GLOB, &limit));
        snprintf(text, sizeof text, "*%u", i);
        help_ban(bans, FRAME_BAN_GLOB, "", text, 10 + i, 0, 0);
    }
    assert_false(bans_have_room(bans, FRAME_BAN_GLOB, &limit));
    assert_int_equal(limit, LIMIT_BAN_LIST);
    assert_true(bans_have_room(bans, FRAME_BAN_TAG, &limit));
    for (unsigned i = LIMIT_BAN_LIST; i < 2 * LIMIT_BAN_LIST; i++) { /* from nodes that raced */
        snprintf(text, sizeof text, "*%u", i);
        help_ban(bans, FRAME_BAN_GLOB, "", text, 10 + i, 0, 0);
    }
    assert_int_equal(help_check(bans, memo, "a", "nothing", 1, NULL, 0), BAN_NONE);
    help_ban(bans, FRAME_BAN_GLOB, "", "*one too many", 5000, 0, 0);
    assert_int_equal(bans_count(bans), 2 * LIMIT_BAN_LIST);
    assert_int_equal(help_check(bans, memo, "a", "nothing", 4999, NULL, 0), BAN_HARD);
    assert_int_equal(help_check(bans, memo, "a", "nothing", 5000, NULL, 0), BAN_NONE);
    bans_memo_free(memo);
    bans_free(bans);
}

static void the_hash_of_a_tag_is_the_same_everywhere(void **state)
{
    (void)state;
    const struct slice none = {.data = "", .size = 0};
    assert_int_equal(bans_tag_hash(none, slice_of("red")), UINT64_C(0xd1d784bb12e4656a));
    assert_true(bans_tag_hash(none, slice_of("red")) !=
                bans_tag_hash(slice_of("a"), slice_of("red")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_is_bound_by_what_fits_it_and_came_after_it),
        cmocka_unit_test(a_foreign_value_is_bound_by_tags_of_its_namespace_only),
        cmocka_unit_test(what_this_node_alone_has_is_not_ended_by_a_lost_table),
        cmocka_unit_test(a_ban_that_comes_late_changes_a_verdict_that_was_remembered),
        cmocka_unit_test(one_version_with_other_tags_is_another_value),
        cmocka_unit_test(bans_say_what_a_search_of_a_list_says),
        cmocka_unit_test(rows_go_when_no_value_can_be_older),
        cmocka_unit_test(a_row_goes_when_l2_agrees_and_it_has_not_risen),
        cmocka_unit_test(what_cannot_be_read_kills_all_of_before),
        cmocka_unit_test(where_values_live_for_ever_one_row_takes_the_place_of_the_oldest),
        cmocka_unit_test(a_ban_of_everything_makes_older_ones_needless),
        cmocka_unit_test(what_a_node_knows_is_told_and_known_by_another),
        cmocka_unit_test(what_the_list_cannot_take_kills_more_than_was_meant),
        cmocka_unit_test(the_hash_of_a_tag_is_the_same_everywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
