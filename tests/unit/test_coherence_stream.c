/* SPDX-License-Identifier: BSD-3-Clause */
/* The stream hash among several nodes (COHERENCE T6): one Redis whose bus is a list of messages, and machines that read
 * it each at its own pace, beat in any order and lose what the test lets them lose. Beats run in front of announcements
 * as they happen to: a cycle of Redis ends with the next one. A report is composed long before the
 * frame is numbered, and read long after. */
#include "tests/unit/coherence_help.h"
#include "tiers/base/rand.h"
#include "tiers/coherence_stream.h"

enum {
    MACHINES = 3,
    QUEUE_MAX = 6, /* beats on their way to Redis, per machine */
    NOWHERE = -1
};

struct message {
    struct buf bytes;
    bool is_frame;
    uint64_t node; /* of a frame, as all below */
    uint64_t seq;
    struct frame_beat beat;
};

struct machine {
    struct stage stage;
    size_t next; /* message that it reads next */
    struct buf queue[QUEUE_MAX];
    unsigned queued;
};

struct world {
    struct rand rand;
    struct message *messages;
    size_t count;
    size_t room;
    uint64_t seq;
    struct epoch epoch;
    int64_t now_ms;
    int victim; /* who does not get the message at `lost`; NOWHERE */
    size_t lost;
    bool found; /* a report that covers the loss was read by the victim */
    struct machine machines[MACHINES];
};

/* --- the bus ----------------------------------------------------------------------------------------------------- */

static struct message *world_append(struct world *world)
{
    if (world->count == world->room) {
        world->room = world->room > 0 ? 2 * world->room : 64;
        world->messages = realloc(world->messages, world->room * sizeof *world->messages);
        assert_non_null(world->messages);
    }
    struct message *message = &world->messages[world->count++];
    *message = (struct message){0};
    return message;
}

static struct beat_answer world_says(const struct world *world)
{
    return (struct beat_answer){
        .epoch = world->epoch, .seq = world->seq, .run = 9, .target = world->epoch.counter};
}

static void world_announce(struct world *world)
{
    struct message *message = world_append(world);
    const unsigned key = (unsigned)(rand_next(&world->rand) % 10);
    assert_int_equal(
        buf_printf(&message->bytes,
                   "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$1\r\n%u\r\n", key),
        OK);
}

/* Redis runs the oldest beat of a machine: numbers the frame and publishes it. */
static void world_run_beat(struct world *world, struct machine *machine)
{
    struct buf frame = machine->queue[0];
    memmove(&machine->queue[0], &machine->queue[1], (QUEUE_MAX - 1) * sizeof machine->queue[0]);
    machine->queued--;
    put_u64le(frame.data + FRAME_REDIS_WORDS_OFFSET, world->epoch.counter);
    put_u64le(frame.data + FRAME_REDIS_WORDS_OFFSET + 8, world->epoch.random);
    put_u64le(frame.data + FRAME_REDIS_WORDS_OFFSET + 16, ++world->seq);
    struct message *message = world_append(world);
    struct frame read;
    assert_int_equal(frame_read(buf_slice(&frame), &read), OK);
    assert_int_equal(frame_beat_read(read.body, &message->beat), OK);
    message->is_frame = true;
    message->node = read.node;
    message->seq = world->seq;
    assert_int_equal(buf_printf(&message->bytes,
                                "*3\r\n$7\r\nmessage\r\n$11\r\nterrace:bus\r\n$%zu\r\n",
                                frame.size),
                     OK);
    assert_int_equal(buf_append_slice(&message->bytes, buf_slice(&frame)), OK);
    assert_int_equal(buf_append(&message->bytes, "\r\n", 2), OK);
    const struct beat_answer answer = world_says(world);
    coherence_on_beat_answer(machine->stage.coherence, &answer, world->now_ms);
    buf_done(&frame);
}

/* --- machines ---------------------------------------------------------------------------------------------------- */

static void machine_subscribe(struct world *world, struct machine *machine)
{
    const struct beat_answer answer = world_says(world);
    coherence_on_bus_up(machine->stage.coherence, &answer, world->now_ms);
    machine->stage.now_ms = world->now_ms;
    stage_confirm(&machine->stage);
    machine->next = world->count;
}

static void machine_beat(struct world *world, struct machine *machine)
{
    if (machine->queued == QUEUE_MAX) {
        return;
    }
    struct buf out = {0};
    struct request_reader reader;
    request_reader_init(&reader);
    assert_int_equal(coherence_beat(machine->stage.coherence, world->now_ms, &out), OK);
    assert_int_equal(request_read(&reader, buf_slice(&out)), OK);
    struct buf *frame = &machine->queue[machine->queued++];
    *frame = (struct buf){0};
    assert_int_equal(buf_append_slice(frame, request_arg(&reader, buf_slice(&out), 8)), OK);
    request_reader_done(&reader);
    buf_done(&out);
}

static uint64_t differing(const struct machine *machine)
{
    return stage_count(&machine->stage, M_STREAM_DIFFERS);
}

/* The seq of the frame that ended the segment with the loss; 0: it has not ended. */
static uint64_t lost_segment(const struct world *world)
{
    for (size_t i = world->lost; i < world->count; i++) {
        if (world->messages[i].is_frame) {
            return world->messages[i].seq;
        }
    }
    return 0;
}

static void machine_read(struct world *world, struct machine *machine)
{
    if (machine->next == world->count) {
        return;
    }
    const size_t at = machine->next++;
    const bool is_victim = world->victim == (int)(machine - world->machines);
    if (is_victim && at == world->lost) {
        return;
    }
    const struct message *message = &world->messages[at];
    machine->stage.now_ms = world->now_ms;
    stage_reply(&machine->stage, buf_slice(&message->bytes));
    const bool after_loss = is_victim && at > world->lost && !world->messages[world->lost].is_frame;
    const uint64_t segment = after_loss ? lost_segment(world) : 0;
    if (segment != 0 && message->is_frame && message->node != machine->stage.known &&
        message->beat.since_seq < segment && segment <= message->beat.applied_seq) {
        assert_true(differing(machine) > 0); /* by the first report that covers it */
        world->found = true;
    }
}

/* --- the world --------------------------------------------------------------------------------------------------- */

static void world_open(struct world *world, uint64_t seed)
{
    *world = (struct world){
        .epoch = {.counter = 5, .random = 55}, .seq = 100, .now_ms = START_MS, .victim = NOWHERE};
    rand_seed(&world->rand, seed);
    for (unsigned i = 0; i < MACHINES; i++) {
        struct stage *stage = &world->machines[i].stage;
        stage->known = NODE + i; /* its node */
        stage->namespaces = help_namespaces(1 << 20);
        stage->l1 = namespaces_default(stage->namespaces)->l1;
        stage->coherence =
            coherence_new(&(struct coherence_options){.namespaces = stage->namespaces,
                                                      .metrics = &stage->metrics,
                                                      .node = NODE + i,
                                                      .seed = seed + i,
                                                      .coherence_db = 15,
                                                      .bound_ms = T_MS});
        assert_non_null(stage->coherence);
        stage->view = coherence_view(stage->coherence);
        const struct beat_answer answer = world_says(world);
        coherence_on_control_up(stage->coherence, &answer, world->now_ms);
        coherence_targets_confirmed(stage->coherence, answer.run);
        machine_subscribe(world, &world->machines[i]);
    }
}

static void world_done(struct world *world)
{
    for (unsigned i = 0; i < MACHINES; i++) {
        for (unsigned j = 0; j < world->machines[i].queued; j++) {
            buf_done(&world->machines[i].queue[j]);
        }
        stage_done(&world->machines[i].stage);
    }
    for (size_t i = 0; i < world->count; i++) {
        buf_done(&world->messages[i].bytes);
    }
    free(world->messages);
}

static void world_step(struct world *world)
{
    struct machine *machine = &world->machines[rand_next(&world->rand) % MACHINES];
    world->now_ms++;
    switch (rand_next(&world->rand) % 8) {
    case 0:
    case 1: world_announce(world); return;
    case 2: machine_beat(world, machine); return;
    case 3:
        if (machine->queued > 0) {
            world_run_beat(world, machine);
        }
        return;
    default:
        for (uint64_t left = 1 + rand_next(&world->rand) % 6; left > 0; left--) {
            machine_read(world, machine);
        }
        return;
    }
}

/* The last cycle of Redis ends, too: what its beats wrote is announced. */
static void world_settle(struct world *world)
{
    const uint64_t seq = world->seq;
    for (unsigned i = 0; i < MACHINES; i++) {
        while (world->machines[i].queued > 0) {
            world_run_beat(world, &world->machines[i]);
        }
    }
    if (world->seq != seq) {
        world_announce(world);
    }
    for (unsigned i = 0; i < MACHINES; i++) {
        while (world->machines[i].next < world->count) {
            machine_read(world, &world->machines[i]);
        }
    }
}

/* Everything that was announced is reported by everybody and read by everybody. */
static void world_report_all(struct world *world)
{
    /* The first ends the segment that runs, the second proves it, also where the announcement behind the first is lost. */
    for (int round = 0; round < 3; round++) {
        world_settle(world);
        for (unsigned i = 0; i < MACHINES; i++) {
            machine_beat(world, &world->machines[i]);
        }
    }
    world_settle(world);
}

static uint64_t world_count(const struct world *world, enum metric id)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < MACHINES; i++) {
        sum += stage_count(&world->machines[i].stage, id);
    }
    return sum;
}

/* --- tests ------------------------------------------------------------------------------------------------------- */

static void nodes_that_hear_the_same_agree_whatever_the_order_of_beats(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct world world;
        world_open(&world, seed);
        for (int i = 0; i < 10000; i++) {
            world_step(&world);
        }
        world_report_all(&world);
        assert_int_equal(world_count(&world, M_STREAM_DIFFERS), 0);
        assert_int_equal(world_count(&world, M_BUS_HOLES), 0);
        assert_true(world_count(&world, M_STREAM_SAME) > 1000);
        for (unsigned i = 0; i < MACHINES; i++) {
            assert_int_equal(stage_described(&world.machines[i].stage).state, COHERENCE_SYNCED);
        }
        world_done(&world);
    }
}

static void a_lost_announcement_is_found_by_the_next_report_wherever_it_was(void **state)
{
    (void)state;
    enum {
        STEPS = 400
    };
    unsigned positions = 0;
    for (size_t lost = 0; lost < STEPS; lost++) {
        struct world world;
        world_open(&world, 7);
        for (unsigned i = 0; i < MACHINES; i++) { /* so that all see the first segment whole */
            machine_beat(&world, &world.machines[i]);
        }
        world_settle(&world);
        world.victim = (int)(lost % MACHINES);
        world.lost = world.count + lost;
        for (int i = 0; i < STEPS; i++) {
            world_step(&world);
        }
        const size_t count = world.count;
        world_report_all(&world);
        const bool was_announcement = world.lost < count && !world.messages[world.lost].is_frame;
        const struct machine *victim = &world.machines[world.victim];
        if (was_announcement) {
            positions++;
            assert_true(world.found);
            assert_true(differing(victim) > 0);
            assert_int_equal(stage_count(&victim->stage, M_FLOORS_STREAM), differing(victim));
            for (unsigned i = 0; i < MACHINES; i++) { /* nobody can know who missed it */
                assert_true(differing(&world.machines[i]) > 0);
                assert_true(stage_described(&world.machines[i].stage).doubts > 0);
            }
            assert_true(world_count(&world, M_STREAM_DIFFERS) <= 4 * MACHINES);
        }
        world_done(&world);
    }
    assert_true(positions > STEPS / 8);
}

static void a_subscription_in_between_gives_no_false_alarm(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct world world;
        world_open(&world, seed);
        for (int i = 0; i < 10000; i++) {
            world_step(&world);
            if (rand_next(&world.rand) % 100 == 0) {
                struct machine *machine = &world.machines[rand_next(&world.rand) % MACHINES];
                coherence_on_bus_lost(machine->stage.coherence, "reset", world.now_ms);
                machine_subscribe(&world, machine);
            }
        }
        world_report_all(&world);
        assert_int_equal(world_count(&world, M_STREAM_DIFFERS), 0);
        assert_true(world_count(&world, M_STREAM_SAME) > 100);
        world_done(&world);
    }
}

static void a_hole_gives_no_false_alarm_of_another_kind(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct world world;
        world_open(&world, seed);
        for (int i = 0; i < 10000; i++) {
            struct machine *machine = &world.machines[rand_next(&world.rand) % MACHINES];
            if (machine->next < world.count && world.messages[machine->next].is_frame &&
                rand_next(&world.rand) % 50 == 0) {
                machine->next++;
            }
            world_step(&world);
        }
        world_report_all(&world);
        assert_true(world_count(&world, M_BUS_HOLES) > 0);
        assert_int_equal(world_count(&world, M_STREAM_DIFFERS), 0);
        assert_true(world_count(&world, M_STREAM_SAME) > 500);
        world_done(&world);
    }
}

/* A peer's report of (41, 42], a segment that this node has. */
static void open_with_report(struct stage *stage, const struct frame_beat *beat)
{
    stage_open_synced(stage); /* seq 41 */
    stage_announce(stage, "x");
    stage_peer(stage);
    char body[FRAME_BEAT_BODY_SIZE];
    frame_beat_write(body, beat);
    struct frame frame = stage_frame(stage, PEER, 1, ++stage->seq);
    frame.body = (struct slice){body, sizeof body};
    stage_publish(stage, &frame);
}

/* A beat that was on its way when the epoch began is numbered in the new one, yet speaks of the old. */
static void a_report_of_another_epoch_is_not_compared(void **state)
{
    (void)state;
    struct stage stage;
    const struct epoch older = {.counter = 4, .random = 44};
    const struct frame_beat beat = {.applied_seq = 42,
                                    .since_seq = 41,
                                    .stream_hash = 4711,
                                    .epoch_mark = frame_epoch_mark(older)};
    open_with_report(&stage, &beat);
    assert_true(stage_fresh(&stage));
    assert_int_equal(stage_count(&stage, M_STREAM_DIFFERS), 0);
    assert_int_equal(stage_count(&stage, M_STREAM_SKIPPED), 0);
    stage_done(&stage);
}

/* It is told by nodes only, this one by Redis, too. */
static void a_report_of_a_node_that_is_told_less_is_not_compared(void **state)
{
    (void)state;
    struct stage stage;
    const struct frame_beat beat = {
        .applied_seq = 42,
        .since_seq = 41,
        .stream_hash = 4711,
        .flags = FRAME_BEAT_UNTRACKED,
        .epoch_mark = frame_epoch_mark((struct epoch){.counter = 5, .random = 55})};
    open_with_report(&stage, &beat);
    assert_true(stage_fresh(&stage));
    assert_int_equal(stage_count(&stage, M_STREAM_DIFFERS), 0);
    assert_int_equal(stage_count(&stage, M_STREAM_SKIPPED), 1);
    stage_done(&stage);
}

static void a_difference_names_the_node_and_the_range(void **state)
{
    (void)state;
    struct stage stage;
    const struct frame_beat beat = {
        .applied_seq = 42,
        .since_seq = 41,
        .stream_hash = 4711,
        .epoch_mark = frame_epoch_mark((struct epoch){.counter = 5, .random = 55})};
    open_with_report(&stage, &beat);
    assert_false(stage_fresh(&stage));
    assert_int_equal(stage_floor(&stage), stage.now_ms + 1);
    const struct coherence_description seen = stage_described(&stage);
    assert_int_equal(seen.state, COHERENCE_CATCHUP);
    assert_string_equal(seen.reason,
                        "node 000000000000004e was told something else after seq 41 up to 42");
    assert_string_equal(seen.doubt, seen.reason);
    assert_int_equal(seen.doubts, 1); /* to meet the first epoch is none */
    stage_sync(&stage);
    assert_true(stage_fresh(&stage));
    stage_done(&stage);
}

static void what_was_suspect_by_one_report_is_not_doubted_again_for_another(void **state)
{
    (void)state;
    struct stage stage;
    const struct frame_beat beat = {
        .applied_seq = 42,
        .since_seq = 41,
        .stream_hash = 4711,
        .epoch_mark = frame_epoch_mark((struct epoch){.counter = 5, .random = 55})};
    open_with_report(&stage, &beat);
    stage_sync(&stage);
    char body[FRAME_BEAT_BODY_SIZE];
    frame_beat_write(body, &beat);
    struct frame frame = stage_frame(&stage, PEER + 1, 1, ++stage.seq);
    frame.body = (struct slice){body, sizeof body};
    stage_publish(&stage, &frame);
    assert_true(stage_fresh(&stage));
    assert_int_equal(stage_count(&stage, M_STREAM_DIFFERS), 1);
    stage_done(&stage);
}

static void of_a_long_stream_the_newest_segments_are_held(void **state)
{
    (void)state;
    struct coherence_stream *stream = calloc(1, sizeof *stream);
    struct coherence_stream *fresh = calloc(1, sizeof *fresh);
    assert_true(stream != NULL && fresh != NULL);
    uint64_t hash = 0;
    uint64_t again = 0;
    stream_end(stream, 10, true); /* the first is not whole */
    assert_int_equal(stream_newest(stream), 0);
    for (uint64_t seq = 11; seq <= 10 + 3 * STREAM_SEGMENTS; seq++) {
        stream_announced(stream, SLICE_LITERAL("x"));
        stream_end(stream, seq, true);
    }
    const uint64_t newest = 10 + 3 * STREAM_SEGMENTS;
    assert_int_equal(stream_since(stream, 10), newest - STREAM_SEGMENTS);
    assert_true(stream_chain(stream, newest - STREAM_SEGMENTS, newest, &hash));
    assert_false(stream_chain(stream, newest - STREAM_SEGMENTS - 1, newest, &hash));
    assert_false(stream_chain(stream, newest - 1, newest + 1, &hash));
    assert_false(stream_chain(stream, newest, newest, &hash));
    stream_end(fresh, newest - 5, true);
    for (uint64_t seq = newest - 4; seq <= newest; seq++) {
        stream_announced(fresh, SLICE_LITERAL("x"));
        stream_end(fresh, seq, true);
    }
    assert_true(stream_chain(stream, newest - 5, newest - 1, &hash));
    assert_true(stream_chain(fresh, newest - 5, newest - 1, &again));
    assert_true(hash == again);
    stream_end(stream, newest + 7, false);
    assert_int_equal(stream_since(stream, newest), newest + 7);
    assert_false(stream_chain(stream, newest - 1, newest, &hash));
    free(fresh);
    free(stream);
}

/* A report that never reached the others must not leave a part of the stream that nobody compares. */
static void a_report_that_did_not_come_home_is_repeated(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    stage_peer(&stage);
    stage_beat(&stage);
    const struct frame_beat lost = stage.beat;
    assert_true(lost.since_seq < lost.applied_seq);
    coherence_on_beat_failed(stage.coherence, "OOM", stage.now_ms);
    stage_peer(&stage);
    stage_beat(&stage);
    assert_int_equal(stage.beat.since_seq, lost.since_seq);
    assert_int_equal(stage.beat.applied_seq, lost.applied_seq + 1);
    stage_answer(&stage);
    stage_echo(&stage);
    stage_beat(&stage);
    assert_int_equal(stage.beat.since_seq, lost.applied_seq + 1);
    stage_done(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_that_hear_the_same_agree_whatever_the_order_of_beats),
        cmocka_unit_test(a_lost_announcement_is_found_by_the_next_report_wherever_it_was),
        cmocka_unit_test(a_subscription_in_between_gives_no_false_alarm),
        cmocka_unit_test(a_hole_gives_no_false_alarm_of_another_kind),
        cmocka_unit_test(a_report_of_another_epoch_is_not_compared),
        cmocka_unit_test(a_report_that_did_not_come_home_is_repeated),
        cmocka_unit_test(a_report_of_a_node_that_is_told_less_is_not_compared),
        cmocka_unit_test(a_difference_names_the_node_and_the_range),
        cmocka_unit_test(what_was_suspect_by_one_report_is_not_doubted_again_for_another),
        cmocka_unit_test(of_a_long_stream_the_newest_segments_are_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
