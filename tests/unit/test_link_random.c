/* SPDX-License-Identifier: BSD-3-Clause */
/* A link under a random roof and a random Redis: whatever is cut, lost, late or closed, every request ends exactly once,
 * and whoever gets a reply gets its own. Redis is demoted and promoted again, and begins epochs of which the node hears
 * later: a fenced read never shows what is older than its fence. TEST_SEED=n replays the one seed that failed. */
#include "tests/unit/link_help.h"
#include "tiers/base/rand.h"
#include "tiers/link.h"

#include <stdlib.h>

enum {
    STEPS = 3000,
    QUESTIONS = 4000,
    SEEDS = 60
};

/* Cut in the middle, it leaves a framer in the middle of an array. */
#define REPLY "*2\r\n:%u\r\n$2\r\n\r\n\r\n"

#define EPOCH_RANDOM UINT64_C(0x6867666564636261) /* "abcdefgh" */

struct world;

struct asked {
    struct link_request request;
    struct world *world;
    unsigned number;
    bool open;
    bool told_down;     /* it was promised that nothing was done */
    int64_t true_at_ms; /* the value was the truth at least until then */
};

struct world {
    struct roof roof;
    struct rand rand;
    int64_t now_ms;
    struct asked asked[QUESTIONS];
    unsigned asked_count;
    unsigned outstanding;
    unsigned answered;
    unsigned unknown;
    struct buf to_redis; /* written by the link, not yet read by Redis */
    struct buf to_link;  /* said by Redis, not yet read by the link */
    int database;        /* that Redis has selected for the connection */
    bool demoted;
    int64_t demoted_at_ms;
    uint64_t epoch;
    uint64_t node_epoch; /* as the node knows it */
    unsigned fenced;
    unsigned saved; /* reads of a demoted Redis that were not shown as they were */
};

static const struct l2_url here = {.host = "h", .port = 1};

static bool chance(struct world *world, uint64_t percent)
{
    return rand_below(&world->rand, 100) < percent;
}

static void ask_one(struct world *world);

static void on_reply(struct link_request *request, enum status status, struct slice reply)
{
    struct asked *asked = (struct asked *)(void *)request;
    struct world *world = asked->world;
    char expected[64];
    assert_true(asked->open);
    asked->open = false;
    world->outstanding--;
    switch ((int)status) {
    case OK:
        (void)snprintf(expected, sizeof expected, REPLY, asked->number);
        assert_true(slice_is(reply, expected));
        if (request->fence_ms != 0) {
            world->fenced++;
            /* Young enough, or the truth at some moment since it was asked for. */
            assert_true(world->now_ms - asked->true_at_ms <= request->fence_ms ||
                        asked->true_at_ms >= request->asked_ms);
        }
        world->answered++;
        break;
    case UNKNOWN:
        assert_true(request->writes);
        world->unknown++;
        break;
    case L2_DOWN:
        asked->told_down = true;
        world->saved += asked->true_at_ms != INT64_MAX && request->fence_ms != 0 &&
                        asked->true_at_ms < request->asked_ms &&
                        world->now_ms - asked->true_at_ms > request->fence_ms;
        break;
    default: fail();
    }
    if (chance(world, 10)) {
        ask_one(world);
    }
    if (chance(world, 1)) {
        link_close(world->roof.link, "closed inside a reply", world->now_ms);
    }
}

static void ask_one(struct world *world)
{
    if (world->asked_count == QUESTIONS) {
        return;
    }
    struct asked *asked = &world->asked[world->asked_count];
    *asked = (struct asked){.world = world, .number = world->asked_count};
    asked->request.on_reply = on_reply;
    asked->request.writes = chance(world, 40);
    asked->request.deadline_ms =
        chance(world, 50) ? world->now_ms + (int64_t)rand_below(&world->rand, 3000) : 0;
    asked->true_at_ms = INT64_MAX;
    if (!asked->request.writes && chance(world, 70)) {
        asked->request.fence_ms = (int64_t)rand_below(&world->rand, 800) + 1;
        asked->request.asked_ms = world->now_ms - (int64_t)rand_below(&world->rand, 3);
    }
    const int db = (int)rand_below(&world->rand, 17) - 1;
    char text[64];
    (void)snprintf(text, sizeof text, "ECHO %u %d\r\n", asked->number, db);
    asked->open = true;
    world->outstanding++;
    world->asked_count++;
    if (link_ask(world->roof.link, &asked->request, db, slice_of(text)) != OK) {
        asked->open = false;
        world->outstanding--;
    }
}

static uint64_t known_epoch(void *arg)
{
    return ((struct world *)arg)->node_epoch;
}

static struct epoch expected_epoch(void *arg)
{
    return (struct epoch){.counter = ((struct world *)arg)->node_epoch, .random = EPOCH_RANDOM};
}

/* As scripts/beat.lua. */
static void redis_beat(struct world *world, struct slice counter, bool check, char text[100])
{
    uint64_t expected = 0;
    assert_int_equal(slice_to_u64(counter, &expected), OK);
    if (world->demoted) {
        (void)snprintf(text, 100, "-READONLY no\r\n");
    } else if (check && expected != world->epoch) {
        (void)snprintf(text, 100, "-EPOCH terrace: no\r\n");
    } else {
        (void)snprintf(text, 100, "*5\r\n:%u\r\n$8\r\nabcdefgh\r\n:41\r\n:0\r\n$2\r\nab\r\n",
                       (unsigned)world->epoch);
    }
}

static void redis_changes(struct world *world)
{
    if (!world->demoted && chance(world, 1)) {
        world->demoted = true;
        world->demoted_at_ms = world->now_ms;
    } else if (world->demoted && chance(world, 4)) {
        world->demoted = false; /* with what the other master had meanwhile */
        world->epoch++;
    } else if (!world->demoted && chance(world, 1)) {
        world->epoch++; /* FLUSHALL */
    }
    if (!world->demoted && chance(world, 10)) {
        world->node_epoch = world->epoch;
    }
}

/* Redis executes one request that it has received whole. */
static bool redis_step(struct world *world)
{
    struct request_reader reader;
    request_reader_init(&reader);
    const bool whole = request_read(&reader, buf_slice(&world->to_redis)) == OK;
    char text[100] = "+OK\r\n";
    if (whole && reader.argc > 0) {
        const struct slice input = buf_slice(&world->to_redis);
        const struct slice name = request_arg(&reader, input, 0);
        int64_t number = 0;
        int64_t db = 0;
        if (slice_is(name, "ECHO")) {
            assert_int_equal(slice_to_i64(request_arg(&reader, input, 1), &number), OK);
            assert_int_equal(slice_to_i64(request_arg(&reader, input, 2), &db), OK);
            assert_true(db == -1 || db == world->database);
            assert_false(world->asked[number].told_down && world->asked[number].request.writes);
            (void)snprintf(text, sizeof text, REPLY, (unsigned)number);
            world->asked[number].true_at_ms = world->demoted ? world->demoted_at_ms : world->now_ms;
        } else if (slice_is(name, "SELECT")) {
            assert_int_equal(slice_to_i64(request_arg(&reader, input, 1), &db), OK);
            world->database = (int)db;
        } else if (slice_is(name, "CLIENT")) {
            (void)snprintf(text, sizeof text, ":7\r\n");
        } else if (slice_is(name, "EVAL")) {
            redis_beat(world, request_arg(&reader, input, 4),
                       slice_is(request_arg(&reader, input, 8), "CHECK"), text);
        }
        assert_int_equal(buf_append_slice(&world->to_link, slice_of(text)), OK);
    }
    if (whole) {
        buf_consume(&world->to_redis, reader.used);
    }
    request_reader_done(&reader);
    return whole;
}

/* Redis still runs what the kernel had taken; its replies reach nobody. */
static void lose_everything(struct world *world)
{
    while (redis_step(world)) {
    }
    world->to_redis.size = 0;
    world->to_link.size = 0;
    world->database = 0;
}

static void socket_step(struct world *world)
{
    struct link *link = world->roof.link;
    const struct slice output = link_output(link);
    if (output.size > 0 && link_state(link) >= LINK_GREETING) {
        const size_t size = rand_below(&world->rand, output.size) + 1;
        assert_int_equal(buf_append(&world->to_redis, output.data, size), OK);
        link_on_written(link, size);
    }
    while (chance(world, 80) && redis_step(world)) {
    }
    if (world->to_link.size > 0 && link_state(link) >= LINK_GREETING) {
        const size_t size = rand_below(&world->rand, world->to_link.size) + 1;
        struct buf bytes = {0};
        assert_int_equal(buf_append(&bytes, world->to_link.data, size), OK);
        buf_consume(&world->to_link, size);
        help_feed(&world->roof, buf_slice(&bytes), world->now_ms);
        buf_done(&bytes);
    }
}

static void world_step(struct world *world)
{
    struct link *link = world->roof.link;
    const unsigned downs = world->roof.downs;
    world->now_ms += (int64_t)rand_below(&world->rand, 60);
    redis_changes(world);
    if (chance(world, 60)) {
        ask_one(world);
    }
    if (chance(world, 90)) {
        socket_step(world);
    }
    if (chance(world, 20)) {
        link_tick(link, world->now_ms);
    }
    if (link_state(link) == LINK_CONNECTING && chance(world, 30)) {
        lose_everything(world);
        link_on_connected(link, world->now_ms);
    } else if (link_state(link) != LINK_DOWN && chance(world, 1)) {
        link_on_lost(link, "lost", world->now_ms);
    }
    if (downs != world->roof.downs) {
        lose_everything(world);
    }
}

struct totals {
    unsigned answered;
    unsigned unknown;
    unsigned fenced;
    unsigned saved;
    uint64_t kept;
};

static void run(uint64_t seed, struct totals *totals)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    world->now_ms = HELP_NOW;
    rand_seed(&world->rand, seed);
    struct link_options options = help_options(&world->roof, &here);
    world->epoch = 1;
    options.known_epoch = known_epoch;
    options.expected_epoch = expected_epoch;
    options.seed = seed;
    options.proto = seed % 2 == 0 ? 2 : 3;
    help_open(&world->roof, &options);
    for (unsigned i = 0; i < STEPS; i++) {
        world_step(world);
    }
    help_done(&world->roof);
    if (world->outstanding != 0) {
        fail_msg("%u requests never ended", world->outstanding);
    }
    for (unsigned i = 0; i < world->asked_count; i++) {
        assert_false(world->asked[i].open);
    }
    totals->answered += world->answered;
    totals->unknown += world->unknown;
    totals->fenced += world->fenced;
    totals->saved += world->saved;
    totals->kept += metrics_read(&world->roof.metrics, M_L2_REPLIES_KEPT);
    buf_done(&world->to_redis);
    buf_done(&world->to_link);
    free(world);
}

static void every_request_ends_once_and_with_its_own_reply(void **state)
{
    (void)state;
    const char *only = getenv("TEST_SEED"); /* NOLINT(concurrency-mt-unsafe): one thread */
    const uint64_t first = only != NULL ? strtoull(only, NULL, 0) : 1;
    const uint64_t last = only != NULL ? first : SEEDS;
    struct totals totals = {0};
    print_message("TEST_SEED="); /* the last one printed replays a failure */
    for (uint64_t seed = first; seed <= last; seed++) {
        print_message(" %llu", (unsigned long long)seed);
        run(seed, &totals);
    }
    print_message("\n");
    assert_true(totals.answered >
                (last - first + 1) * 100); /* else the world is too unkind to show anything */
    print_message("fenced %u, kept %llu, saved %u\n", totals.fenced,
                  (unsigned long long)totals.kept, totals.saved);
    assert_true(only != NULL || (totals.unknown > SEEDS && totals.fenced > 10 * SEEDS &&
                                 totals.kept > 10 * SEEDS && totals.saved > SEEDS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_ends_once_and_with_its_own_reply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
