/* SPDX-License-Identifier: BSD-3-Clause */
/* What of L1 goes into a snapshot, and what becomes of it in another process.
 *
 *      test_snapshot_l1 FOLDER      writes the seeds of fuzz_snapshot there instead */
#include "protocol/check.h"
#include "protocol/envelope.h"
#include "protocol/fields.h"
#include "tests/unit/l1_help.h"
#include "tiers/managed.h"
#include "tiers/snapshot_l1.h"

enum {
    THEN_MS = 50000000, /* the clock of the process that wrote */
    NOW_MS = 90000000,  /* and of the one that reads, so many ms later: */
    DOWN_MS = 10000,
    ROUNDING_MS = 2
};

struct world {
    struct namespaces *spaces;
    struct buf file;
    struct snapshot_now then;
    struct snapshot_now now;
    struct coherence_mark mark;
    struct snapshot_restored restored;
    char error[SNAPSHOT_ERROR_MAX];
    uint64_t seed;
    unsigned suspects; /* that the listener heard of, */
    uint8_t hotness;   /* the last of them */
};

static const struct namespace_spec of_default = {
    .name = SLICE_LITERAL("default"), .settings = {.mode = {.bound_ms = 1000}, .memory = 8 << 20}};

static struct namespace_spec named(const char *name, const char *prefix, bool managed)
{
    return (struct namespace_spec){
        .name = slice_of(name),
        .prefix = slice_of(prefix),
        .managed = managed,
        .settings = {.mode = {.bound_ms = 1000}, .memory = 8 << 20, .told = managed}};
}

/* Another process, with these namespaces beside `default`. */
static void begin_process(struct world *world, const struct namespace_spec *more, unsigned count)
{
    struct namespace_spec specs[4] = {of_default};
    for (unsigned i = 0; i < count; i++) {
        specs[1 + i] = more[i];
    }
    namespaces_free(world->spaces);
    world->spaces = namespaces_new(specs, 1 + count, ++world->seed);
    assert_non_null(world->spaces);
}

static void open_world(struct world *world, const struct namespace_spec *more, unsigned count)
{
    *world = (struct world){
        .then = {.now_ms = THEN_MS, .boot_ms = 1000, .unix_ms = 7000000, .boot = "one boot"},
        .now = {.now_ms = NOW_MS, .boot_ms = 1000 + DOWN_MS, .unix_ms = 1, .boot = "one boot"},
        .mark = {.epoch = {.counter = 5, .random = 55},
                 .run = 9,
                 .seq = 41,
                 .horizon_ms = THEN_MS - 10,
                 .floor_ms = THEN_MS - 1000,
                 .managed_floor_ms = THEN_MS - 2000}};
    begin_process(world, more, count);
}

static void close_world(struct world *world)
{
    namespaces_free(world->spaces);
    buf_done(&world->file);
}

static void put(const struct world *world, uint8_t db, const char *name, struct slice value,
                int64_t expire_at_ms, int64_t stamped_at_ms, enum item_look look)
{
    const struct ns_key key = namespaces_key(world->spaces, db, slice_of(name));
    const struct item_spec spec = {.db = db,
                                   .key = key.at.bytes,
                                   .value_size = value.size,
                                   .expire_at_ms = expire_at_ms,
                                   .stamped_at_ms = stamped_at_ms,
                                   .look = look};
    const struct l1_past unknown = {.kept = POLICY_KEPT_NONE};
    assert_int_equal(l1_restore(key.ns->l1, key.at.hash, &spec, value, &unknown, THEN_MS), OK);
}

static void put_plain(const struct world *world, const char *name, int64_t expire_at_ms)
{
    put(world, 0, name, slice_of(name), expire_at_ms, THEN_MS - 500, ITEM_LOOK_PLAIN);
}

/* As it was read out of L2, which had it for `life_ms` more. */
static void put_managed(const struct world *world, const char *name, enum envelope_kind kind,
                        int64_t life_ms, int64_t stamped_at_ms)
{
    struct buf bytes = {0};
    struct item *item = NULL;
    const struct slice value = slice_of(name);
    const struct slice tag = SLICE_LITERAL("tag");
    const struct envelope envelope = {.kind = kind,
                                      .version = 17,
                                      .fresh_ms = (uint64_t)life_ms,
                                      .tag_count = 1,
                                      .value_size = kind == ENVELOPE_RAW ? (uint32_t)value.size : 0,
                                      .body = kind == ENVELOPE_RAW ? value : (struct slice){0}};
    assert_int_equal(envelope_write(&bytes, &envelope, &tag), OK);
    const struct ns_key key = namespaces_key(world->spaces, 0, slice_of(name));
    const struct managed_read read = {.ns = key.ns,
                                      .key = key.at,
                                      .bytes = buf_slice(&bytes),
                                      .pttl_ms = life_ms,
                                      .issued_at_ms = stamped_at_ms};
    assert_int_equal(managed_decode(&read, &item), OK);
    put(world, 0, name, item_value(item), item_expire_at_ms(item), stamped_at_ms, ITEM_LOOK_PLAIN);
    item_release(item);
    buf_done(&bytes);
}

static enum status to_buf(void *arg, struct slice bytes)
{
    return buf_append_slice(arg, bytes);
}

static enum status from_buf(void *arg, uint64_t offset, char *dst, size_t size)
{
    const struct buf *file = arg;
    memcpy(dst, file->data + offset, size);
    return OK;
}

static void save_up_to(struct world *world, bool is_alone, bool ends, uint64_t bytes_max)
{
    struct snapshot_writer writer;
    struct snapshot_head head;
    world->file.size = 0;
    snapshot_head_fill(&head, world->spaces, is_alone ? NULL : &world->mark, &world->then);
    assert_int_equal(snapshot_begin(&writer,
                                    (struct snapshot_sink){.write = to_buf, .arg = &world->file},
                                    &head),
                     OK);
    assert_int_equal(snapshot_take(&writer, world->spaces, bytes_max, THEN_MS), OK);
    assert_int_equal(snapshot_end(&writer), OK);
    if (ends) {
        put_u64le(world->file.data + SNAPSHOT_ENDED_OFFSET, snapshot_ended(&writer));
    }
    snapshot_writer_done(&writer);
}

static void save(struct world *world, bool is_alone, bool ends)
{
    save_up_to(world, is_alone, ends, UINT64_MAX);
}

static void on_suspect(void *arg, uint8_t db, struct slice key, uint8_t hotness)
{
    struct world *world = arg;
    assert_true(db < LIMIT_DATABASES && key.size > 0);
    world->hotness = hotness;
    world->suspects++;
}

static enum status load(struct world *world, bool is_alone)
{
    struct snapshot_reader reader;
    const struct snapshot_source source = {
        .read = from_buf, .arg = &world->file, .size = world->file.size};
    const struct snapshot_listener listener = {.on_suspect = on_suspect, .arg = world};
    world->suspects = 0;
    enum status status = snapshot_open(&reader, &source, UINT64_MAX);
    if (status == OK) {
        status = snapshot_restore(&reader, world->spaces, is_alone, &world->now, &listener,
                                  &world->restored);
    }
    (void)snprintf(world->error, sizeof world->error, "%s", reader.error);
    snapshot_close(&reader);
    return status;
}

/* What stands for a key; NULL: nothing. */
static struct item *standing(const struct world *world, uint8_t db, const char *name)
{
    const struct ns_key key = namespaces_key(world->spaces, db, slice_of(name));
    return l1_hold(key.ns->l1, &key.at, NOW_MS);
}

static bool stands_in(const struct world *world, uint8_t db, const char *name)
{
    struct item *item = standing(world, db, name);
    item_release(item);
    return item != NULL;
}

static bool stands(const struct world *world, const char *name)
{
    return stands_in(world, 0, name);
}

/* From the clock of then to that of now. */
static int64_t moved(int64_t then_ms)
{
    return then_ms - THEN_MS + NOW_MS - DOWN_MS - ROUNDING_MS;
}

static void alone_all_comes_back_with_the_life_that_is_left(void **state)
{
    struct world world;
    (void)state;
    open_world(&world, NULL, 0);
    put(&world, 0, "k", SLICE_LITERAL("raw"), ITEM_NEVER, 0, ITEM_LOOK_RAW);
    put(&world, 7, "k", SLICE_LITERAL("7"), THEN_MS + 60000, 0, ITEM_LOOK_STRING);
    put(&world, 0, "soon", SLICE_LITERAL("v"), THEN_MS + DOWN_MS - 1, 0, ITEM_LOOK_PLAIN);
    save(&world, true, false);
    begin_process(&world, NULL, 0);
    assert_int_equal(load(&world, true), OK);
    struct item *first = standing(&world, 0, "k");
    struct item *seventh = standing(&world, 7, "k");
    assert_true(slice_is(item_value(first), "raw") && item_look(first) == ITEM_LOOK_RAW);
    assert_true(item_expire_at_ms(first) == ITEM_NEVER && item_stamped_at_ms(first) == 0);
    assert_true(slice_is(item_value(seventh), "7") && item_look(seventh) == ITEM_LOOK_STRING);
    assert_int_equal(item_expire_at_ms(seventh), moved(THEN_MS + 60000));
    assert_false(stands(&world, "soon"));
    assert_true(world.restored.values == 2 && world.restored.expired == 1);
    assert_int_equal(world.suspects, 0);
    item_release(first);
    item_release(seventh);
    close_world(&world);
}

static void a_hash_lies_as_the_new_process_wants_it(void **state)
{
    struct world world;
    struct fields_draft draft;
    bool is_new = false;
    (void)state;
    open_world(&world, NULL, 0);
    const struct hash_secret *secret = l1_secret(namespaces_default(world.spaces)->l1);
    assert_int_equal(fields_open(&draft, secret, (struct slice){0}, 0), OK);
    for (unsigned i = 0; i < 2000; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "f%u", i);
        assert_int_equal(fields_set(&draft, slice_of(text), slice_of(text), &is_new), OK);
    }
    put(&world, 0, "hash", fields_bytes(&draft), ITEM_NEVER, 0, ITEM_LOOK_TABLE);
    fields_close(&draft);
    save(&world, true, false);
    begin_process(&world, NULL, 0);
    assert_int_equal(load(&world, true), OK);
    struct item *item = standing(&world, 0, "hash");
    struct slice value;
    assert_true(item_look(item) == ITEM_LOOK_TABLE && fields_count(item_value(item)) == 2000);
    secret = l1_secret(namespaces_default(world.spaces)->l1);
    assert_int_equal(fields_find(item_value(item), secret, SLICE_LITERAL("f1999"), &value), OK);
    assert_true(slice_is(value, "f1999"));
    item_release(item);
    close_world(&world);
}

static void plain_values_are_suspects_with_their_stamps(void **state)
{
    struct world world;
    (void)state;
    open_world(&world, NULL, 0);
    put_plain(&world, "k", THEN_MS + 60000);
    save(&world, false, true);
    begin_process(&world, NULL, 0);
    assert_int_equal(load(&world, false), OK);
    struct item *item = standing(&world, 0, "k");
    assert_int_equal(item_stamped_at_ms(item), moved(THEN_MS - 500));
    assert_int_equal(item_expire_at_ms(item), moved(THEN_MS + 60000));
    item_release(item);
    assert_true(world.restored.suspects == 1 && world.suspects == 1);
    assert_in_range(world.hotness, POLICY_HOTNESS_NEW - 1, POLICY_HOTNESS_NEW + 1);
    const struct coherence_mark *mark = &world.restored.mark;
    assert_true(mark->seq == 41 && mark->run == 9 && mark->epoch.random == 55);
    assert_int_equal(mark->horizon_ms, moved(THEN_MS - 10));
    assert_int_equal(mark->floor_ms, moved(THEN_MS - 1000));
    assert_int_equal(mark->managed_floor_ms, moved(THEN_MS - 2000));
    close_world(&world);
}

static void managed_values_keep_version_tags_and_the_rest_of_their_lives(void **state)
{
    const struct namespace_spec managed = named("managed", "m:", true);
    struct world world;
    struct managed_value value;
    (void)state;
    open_world(&world, &managed, 1);
    put_managed(&world, "m:k", ENVELOPE_RAW, 60000, THEN_MS - 100);
    put_managed(&world, "m:old", ENVELOPE_RAW, 60000, THEN_MS - 3000);
    put_managed(&world, "m:none", ENVELOPE_NEGATIVE, 5000, THEN_MS - 100);
    save(&world, false, false);
    begin_process(&world, &managed, 1);
    assert_int_equal(load(&world, false), OK);
    struct item *item = standing(&world, 0, "m:k");
    assert_int_equal(managed_open(item_value(item), item_expire_at_ms(item), &value), OK);
    assert_true(value.version == 17 && value.tag_count == 1 && slice_is(value.value, "m:k"));
    assert_int_equal(value.fresh_until_ms, moved(THEN_MS - 100 + 60000));
    assert_int_equal(value.dies_at_ms, moved(THEN_MS - 100 + 60000));
    assert_int_equal(item_stamped_at_ms(item), moved(THEN_MS - 100));
    item_release(item);
    assert_false(stands(&world, "m:none"));
    /* m:old was a suspect then. */
    assert_true(world.restored.managed == 1 && world.restored.suspects == 1);
    assert_true(stands(&world, "m:old") && world.suspects == 2);
    close_world(&world);
}

static void floors_that_are_still_to_come_prove_nothing_and_last_no_longer_than_now(void **state)
{
    static const int64_t later_ms[] = {THEN_MS + DOWN_MS + 1000, INT64_MAX / 2, INT64_MAX};
    const struct namespace_spec managed = named("managed", "m:", true);
    (void)state;
    for (size_t i = 0; i < sizeof later_ms / sizeof later_ms[0]; i++) {
        struct world world;
        open_world(&world, &managed, 1);
        world.mark.floor_ms = later_ms[i];
        world.mark.managed_floor_ms = later_ms[i];
        save(&world, false, true);
        begin_process(&world, &managed, 1);
        assert_int_equal(load(&world, false), OK);
        assert_int_equal(world.restored.mark.floor_ms, NOW_MS);
        assert_int_equal(world.restored.mark.seq, 0);
        close_world(&world);
    }
}

static void after_another_boot_nothing_is_proved_and_no_age_is_known(void **state)
{
    const struct namespace_spec managed = named("managed", "m:", true);
    struct world world;
    (void)state;
    for (unsigned way = 0; way < 3; way++) {
        open_world(&world, &managed, 1);
        put_managed(&world, "m:k", ENVELOPE_RAW, 60000, THEN_MS - 100);
        put_plain(&world, "k", THEN_MS + 3600000);
        save(&world, false, true);
        begin_process(&world, &managed, 1);
        world.now.unix_ms = world.then.unix_ms + (way == 1 ? -3600000 : 20000);
        world.now.boot_ms = way == 2 ? world.then.boot_ms - 1 : world.now.boot_ms;
        world.now.boot[0] = way == 2 ? 'o' : 'O';
        assert_int_equal(load(&world, false), OK);
        struct item *item = standing(&world, 0, "k");
        assert_true(world.restored.mark.seq == 0 && world.restored.mark.horizon_ms == 0);
        assert_int_equal(item_stamped_at_ms(item), 1);
        assert_true(item_expire_at_ms(item) <= NOW_MS + 3600000); /* not more than was left */
        assert_true(world.restored.suspects == 2 && world.restored.managed == 0);
        item_release(item);
        close_world(&world);
    }
}

static void values_of_mode_ttl_come_back_only_from_a_node_that_ended_in_order(void **state)
{
    struct world world;
    struct namespace_spec timed[] = {named("timed", "t:", false), named("managed", "m:", true)};
    (void)state;
    timed[0].settings.mode.kind = timed[1].settings.mode.kind = NAMESPACE_TTL;
    timed[0].settings.ttl_ms = 30000;
    for (unsigned way = 0; way < 3; way++) {
        open_world(&world, timed, 2);
        put_plain(&world, "t:k", ITEM_NEVER);
        put_managed(&world, "m:k", ENVELOPE_RAW, 60000, THEN_MS - 100);
        save(&world, false, way != 1);
        begin_process(&world, timed, 2);
        world.now.boot[0] = way == 2 ? 'O' : 'o';
        assert_int_equal(load(&world, false), OK);
        struct item *item = standing(&world, 0, "t:k");
        assert_true((item != NULL) == (way == 0));
        assert_false(stands(&world, "m:k"));
        assert_int_equal(world.suspects, way == 0 ? 1 : 2); /* these are read anew */
        if (item != NULL) {
            assert_int_equal(item_expire_at_ms(item), moved(THEN_MS - 500 + 30000));
        }
        item_release(item);
        close_world(&world);
    }
}

static void keys_go_where_their_prefixes_are_now(void **state)
{
    const struct namespace_spec before[] = {named("one", "a:", true), named("two", "b:", false)};
    const struct namespace_spec after[] = {named("two", "a:", true), named("three", "b:", false)};
    struct world world;
    (void)state;
    open_world(&world, before, 2);
    put_managed(&world, "a:k", ENVELOPE_RAW, 60000, THEN_MS - 100);
    put_plain(&world, "b:k", ITEM_NEVER);
    put_plain(&world, "c:k", ITEM_NEVER);
    save(&world, false, true);
    begin_process(&world, after, 2);
    assert_int_equal(load(&world, false), OK);
    assert_false(stands(&world, "a:k")); /* bans of `one` were not bans of `two` */
    assert_true(stands(&world, "b:k") && stands(&world, "c:k"));
    assert_int_equal(world.restored.homeless, 1);
    begin_process(&world, &(struct namespace_spec){0}, 0);
    assert_int_equal(load(&world, false), OK);
    assert_false(stands(&world, "a:k")); /* its shape is not that of a plain value */
    assert_true(stands(&world, "b:k"));
    close_world(&world);
}

enum {
    MANY = 4000,
    MANY_SIZE = 1000
};

/* Of many that came an hour ago one in four is in use. */
static void put_many(const struct world *world, const struct policy *policy)
{
    static const char value[MANY_SIZE] = {0};
    struct l1 *l1 = namespaces_default(world->spaces)->l1;
    l1_set_policy(l1, policy, THEN_MS - 3600000);
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < MANY; i++) {
            char name[16];
            (void)snprintf(name, sizeof name, "k%u", i);
            const struct ns_key key = namespaces_key(world->spaces, 0, slice_of(name));
            if (round == 0) {
                assert_int_equal(l1_put(l1, &key.at, (struct slice){value, MANY_SIZE}, ITEM_NEVER,
                                        THEN_MS - 3600000),
                                 OK);
            } else if (i % 4 == 0) {
                struct l1_value found = {0};
                assert_int_equal(l1_get(l1, &key.at, THEN_MS - 1000 / round, 0, &found), OK);
                item_release(found.item);
            }
        }
    }
}

static unsigned count_standing(const struct world *world, unsigned step)
{
    unsigned count = 0;
    for (unsigned i = 0; i < MANY; i += step) {
        char name[16];
        (void)snprintf(name, sizeof name, "k%u", i);
        count += stands(world, name);
    }
    return count;
}

static void of_more_than_was_allowed_the_hottest_are_written_under_every_policy(void **state)
{
    const struct policy *policy;
    (void)state;
    for (unsigned at = 0; (policy = policy_at(at)) != NULL; at++) {
        struct world world;
        open_world(&world, NULL, 0);
        put_many(&world, policy);
        save_up_to(&world, true, true, (uint64_t)MANY / 2 * MANY_SIZE);
        begin_process(&world, NULL, 0);
        assert_int_equal(load(&world, true), OK);
        assert_int_equal(count_standing(&world, 4), MANY / 4);
        assert_in_range(world.restored.values, MANY * 4 / 10, MANY / 2);
        close_world(&world);
    }
}

static void what_was_hot_stays_when_newcomers_fill_the_next_process(void **state)
{
    static const char value[MANY_SIZE] = {0};
    const struct policy *const policies[] = {&policy_density, &policy_s3fifo, &policy_lru,
                                             &policy_lfu};
    (void)state;
    for (unsigned at = 0; at < 4; at++) {
        struct world world;
        open_world(&world, NULL, 0);
        put_many(&world, policies[at]);
        save(&world, true, true);
        begin_process(&world, NULL, 0);
        struct l1 *l1 = namespaces_default(world.spaces)->l1;
        l1_set_policy(l1, policies[at], NOW_MS);
        assert_int_equal(load(&world, true), OK);
        assert_int_equal(world.restored.values, MANY);
        for (unsigned i = 0; i < MANY * 13 / 10; i++) {
            char name[16];
            (void)snprintf(name, sizeof name, "new%u", i);
            const struct l1_key key = l1_key(l1, 0, slice_of(name));
            assert_int_equal(l1_put(l1, &key, (struct slice){value, MANY_SIZE}, ITEM_NEVER, NOW_MS),
                             OK);
        }
        assert_in_range(count_standing(&world, 4), MANY / 4 * 95 / 100, MANY / 4);
        assert_in_range(count_standing(&world, 1), MANY / 4, MANY * 3 / 4);
        close_world(&world);
    }
}

static void on_hotness(void *arg, const struct l1_sight *sight)
{
    unsigned *hotter = arg;
    *hotter += sight->hotness > POLICY_HOTNESS_NEW;
}

static void what_one_policy_knew_is_nothing_to_another(void **state)
{
    struct world world;
    unsigned hotter = 0;
    (void)state;
    open_world(&world, NULL, 0);
    put_many(&world, &policy_density);
    save(&world, true, true);
    begin_process(&world, NULL, 0);
    l1_set_policy(namespaces_default(world.spaces)->l1, &policy_s3fifo, NOW_MS);
    assert_int_equal(load(&world, true), OK);
    assert_int_equal(l1_survey(namespaces_default(world.spaces)->l1, NOW_MS, on_hotness, &hotter),
                     OK);
    assert_int_equal(world.restored.values, MANY);
    assert_int_equal(hotter, 0);
    close_world(&world);
}

/* A sink behind which somebody swaps databases and goes on writing, as soon as the walk has got somewhere. */
struct meddler {
    struct world *world;
    bool has_swapped;
};

static enum status swap_once(void *arg, struct slice bytes)
{
    struct meddler *meddler = arg;
    if (!meddler->has_swapped && meddler->world->file.size > 0) {
        meddler->has_swapped = true;
        namespaces_swap(meddler->world->spaces, 0, 1, THEN_MS);
        for (unsigned i = 0; i < 200; i++) {
            char name[16];
            (void)snprintf(name, sizeof name, "new%u", i);
            put(meddler->world, 0, name, slice_of("v"), ITEM_NEVER, 0, ITEM_LOOK_PLAIN);
        }
    }
    return buf_append_slice(&meddler->world->file, bytes);
}

static void what_is_written_behind_a_swap_in_the_walk_is_where_it_was_written(void **state)
{
    static char value[1000];
    struct world world;
    struct snapshot_writer writer;
    struct snapshot_head head;
    unsigned came = 0;
    (void)state;
    open_world(&world, NULL, 0);
    for (unsigned i = 0; i < 2000; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "k%u", i);
        put(&world, 0, name, (struct slice){value, sizeof value}, ITEM_NEVER, 0, ITEM_LOOK_PLAIN);
    }
    struct meddler meddler = {.world = &world};
    snapshot_head_fill(&head, world.spaces, NULL, &world.then);
    assert_int_equal(
        snapshot_begin(&writer, (struct snapshot_sink){.write = swap_once, .arg = &meddler}, &head),
        OK);
    assert_int_equal(snapshot_take(&writer, world.spaces, UINT64_MAX, THEN_MS), OK);
    assert_int_equal(snapshot_end(&writer), OK);
    snapshot_writer_done(&writer);
    assert_true(meddler.has_swapped);
    begin_process(&world, NULL, 0);
    assert_int_equal(load(&world, true), OK);
    for (unsigned i = 0; i < 200; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "new%u", i);
        came += stands(&world, name);
        assert_false(stands_in(&world, 1, name));
    }
    assert_true(came > 50);
    close_world(&world);
}

static void a_smaller_l1_takes_what_it_has_room_for(void **state)
{
    static char value[100000];
    struct world world;
    (void)state;
    open_world(&world, NULL, 0);
    for (unsigned i = 0; i < 60; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "k%u", i);
        put(&world, 0, name, (struct slice){value, sizeof value}, ITEM_NEVER, 0, ITEM_LOOK_PLAIN);
    }
    save(&world, true, true);
    begin_process(&world, NULL, 0);
    l1_resize(namespaces_default(world.spaces)->l1, 2 << 20, NOW_MS);
    assert_int_equal(load(&world, true), OK);
    assert_true(world.restored.values > 5 && world.restored.values < 30);
    assert_int_equal(world.restored.values + world.restored.full, 60);
    close_world(&world);
}

static void a_file_of_a_node_of_the_other_kind_is_refused(void **state)
{
    struct world world;
    (void)state;
    open_world(&world, NULL, 0);
    put_plain(&world, "k", ITEM_NEVER);
    save(&world, true, true);
    assert_int_equal(load(&world, false), INVALID);
    assert_string_equal(world.error, "a node without an L2 wrote it");
    save(&world, false, true);
    assert_int_equal(load(&world, true), INVALID);
    assert_string_equal(world.error, "a node with an L2 wrote it");
    close_world(&world);
}

/* Its sums are right: whoever changed it has seen to that. */
static void what_is_wrong_behind_right_sums_takes_all_back(void **state)
{
    struct snapshot_writer writer;
    struct snapshot_head head;
    const struct namespace_spec managed = named("managed", "m:", true);
    const struct snapshot_record good = {.key = {"good", 4}, .value = {"v", 1}, .idle_ms = 0};
    const struct snapshot_record bad[] = {
        {.key = {"h", 1}, .value = {"\1\0\0\0\1\0\0\0a", 9}, .look = ITEM_LOOK_PACKED},
        {.key = {"h", 1}, .look = ITEM_LOOK_PACKED},
        {.key = {"m:k", 3}, .value = {"short", 5}, .place = 1, .stamped_at_ms = 1}};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct world world;
        open_world(&world, &managed, 1);
        snapshot_head_fill(&head, world.spaces, &world.mark, &world.then);
        assert_int_equal(snapshot_begin(&writer,
                                        (struct snapshot_sink){.write = to_buf, .arg = &world.file},
                                        &head),
                         OK);
        assert_int_equal(snapshot_put(&writer, 15, &good), OK);
        assert_int_equal(snapshot_put(&writer, 0, &bad[i]), OK);
        assert_int_equal(snapshot_end(&writer), OK);
        snapshot_writer_done(&writer);
        assert_int_equal(load(&world, false), MALFORMED);
        assert_true(world.error[0] != '\0');
        assert_false(stands(&world, "good"));
        assert_int_equal(world.restored.mark.seq, 0);
        close_world(&world);
    }
}

/* --- seeds of fuzz_snapshot ------------------------------------------------------------------------------------------------ */

static void write_seed(const struct world *world, const char *folder, const char *name)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL && fwrite(world->file.data, 1, world->file.size, file) == world->file.size &&
          fclose(file) == 0);
}

static int write_seeds(const char *folder)
{
    const struct namespace_spec managed = named("managed", "m:", true);
    struct world world;
    open_world(&world, &managed, 1);
    save(&world, true, false);
    write_seed(&world, folder, "empty_alone");
    put_plain(&world, "plain", THEN_MS + 60000);
    put_managed(&world, "m:k", ENVELOPE_RAW, 60000, THEN_MS - 100);
    struct fields_draft draft;
    bool is_new = false;
    const struct hash_secret *secret = l1_secret(namespaces_default(world.spaces)->l1);
    CHECK(fields_open(&draft, secret, (struct slice){0}, 0) == OK &&
          fields_set(&draft, SLICE_LITERAL("field"), SLICE_LITERAL("value"), &is_new) == OK);
    put(&world, 3, "hash", fields_bytes(&draft), ITEM_NEVER, THEN_MS - 100, ITEM_LOOK_PACKED);
    fields_close(&draft);
    put(&world, 0, "long",
        SLICE_LITERAL("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        ITEM_NEVER, THEN_MS - 100, ITEM_LOOK_PLAIN);
    save(&world, false, true);
    write_seed(&world, folder, "with_l2");
    save(&world, true, true);
    write_seed(&world, folder, "alone");
    close_world(&world);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone_all_comes_back_with_the_life_that_is_left),
        cmocka_unit_test(a_hash_lies_as_the_new_process_wants_it),
        cmocka_unit_test(plain_values_are_suspects_with_their_stamps),
        cmocka_unit_test(managed_values_keep_version_tags_and_the_rest_of_their_lives),
        cmocka_unit_test(floors_that_are_still_to_come_prove_nothing_and_last_no_longer_than_now),
        cmocka_unit_test(after_another_boot_nothing_is_proved_and_no_age_is_known),
        cmocka_unit_test(values_of_mode_ttl_come_back_only_from_a_node_that_ended_in_order),
        cmocka_unit_test(keys_go_where_their_prefixes_are_now),
        cmocka_unit_test(of_more_than_was_allowed_the_hottest_are_written_under_every_policy),
        cmocka_unit_test(what_was_hot_stays_when_newcomers_fill_the_next_process),
        cmocka_unit_test(what_one_policy_knew_is_nothing_to_another),
        cmocka_unit_test(what_is_written_behind_a_swap_in_the_walk_is_where_it_was_written),
        cmocka_unit_test(a_smaller_l1_takes_what_it_has_room_for),
        cmocka_unit_test(a_file_of_a_node_of_the_other_kind_is_refused),
        cmocka_unit_test(what_is_wrong_behind_right_sums_takes_all_back),
    };
    return argc > 1 ? write_seeds(argv[1]) : cmocka_run_group_tests(tests, NULL, NULL);
}
