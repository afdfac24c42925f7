/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_bus.c -- any bytes on the bus and as the answer of a beat, and any order of events around them.
 *
 * The input is a list of steps: an opcode, then what it needs. Raw replies are framed as the link frames them; forged
 * frames get a true checksum, so that what is behind the checksum is reached too. What must hold, whatever comes:
 * the plain floor, generation, known epoch and epoch never go down; the horizon is the send time of a beat or none, and
 * moves on in SYNCED only; nothing installs without a bus; the managed floor is above all stamps or not above now. */
#include "protocol/check.h"
#include "protocol/resp_read.h"
#include "tiers/coherence.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    NODE = 7,
    BEATS_KEPT = 64,
    STEPS_MAX = 512,
    STEP_REPLAY = 240
};

struct input {
    const uint8_t *at;
    size_t left;
};

struct run {
    struct input input;
    struct namespaces *namespaces;
    struct l1 *l1; /* of `default` */
    struct coherence *coherence;
    const struct coherence_view *view;
    int64_t now_ms;
    struct epoch epoch; /* that Redis would have */
    uint64_t process;
    bool is_unconfirmed; /* the workers do not answer */
    uint64_t seq;
    uint64_t nonces[BEATS_KEPT];
    int64_t sent_ms[BEATS_KEPT];
    unsigned beats;
    bool up;
    bool asked;         /* the log */
    int64_t horizon_ms; /* these five as they were before the step */
    int64_t floor_ms;
    uint64_t generation;
    uint64_t known;
    uint64_t counter;
};

static uint8_t take_byte(struct input *input)
{
    if (input->left == 0) {
        return 0;
    }
    input->left--;
    return *input->at++;
}

static struct slice take_bytes(struct input *input, size_t size)
{
    size = size < input->left ? size : input->left;
    const struct slice bytes = {.data = (const char *)input->at, .size = size};
    input->at += size;
    input->left -= size;
    return bytes;
}

/* One whole reply, in memory of its own, so that the sanitizers see every step beyond it. */
static void bus_reply(struct run *run, struct slice reply)
{
    char *copy = malloc(reply.size > 0 ? reply.size : 1);
    CHECK(copy != NULL);
    if (reply.size > 0) {
        memcpy(copy, reply.data, reply.size);
    }
    coherence_on_bus_reply(run->coherence, (struct slice){copy, reply.size}, run->now_ms);
    free(copy);
}

static void step_raw(struct run *run)
{
    struct slice rest = take_bytes(&run->input, take_byte(&run->input));
    size_t size = 0;
    struct reply_framer framer = {0};
    while (rest.size > 0 && reply_frame(&framer, rest, &size) == OK) {
        bus_reply(run, (struct slice){rest.data, size});
        rest = (struct slice){rest.data + size, rest.size - size};
        framer = (struct reply_framer){0};
    }
}

static void message(struct run *run, const char *channel, struct slice payload)
{
    struct buf reply = {0};
    CHECK(buf_printf(&reply, "*3\r\n$7\r\nmessage\r\n$%zu\r\n%s\r\n$%zu\r\n", strlen(channel),
                     channel, payload.size) == OK);
    CHECK(buf_append_slice(&reply, payload) == OK && buf_append(&reply, "\r\n", 2) == OK);
    bus_reply(run, buf_slice(&reply));
    buf_done(&reply);
}

static void publish(struct run *run, const struct frame *frame)
{
    struct buf bytes = {0};
    if (frame_write(&bytes, frame) == OK) {
        message(run, "terrace:bus", buf_slice(&bytes));
    }
    buf_done(&bytes);
}

/* A beat of ours, a peer's, or something odd, near what is expected or far from it. */
static void step_frame(struct run *run)
{
    char beat_body[FRAME_BEAT_BODY_SIZE];
    const uint8_t applied = take_byte(&run->input);
    const uint8_t how = take_byte(&run->input);
    const uint8_t which = take_byte(&run->input);
    struct frame_beat beat = {.applied_seq = applied, .bound_ms = 1000};
    if ((which & BEATS_KEPT) != 0 && run->seq > applied % 32) { /* a report of the last segments */
        beat.applied_seq = run->seq;
        beat.since_seq = run->seq - applied % 32;
        beat.stream_hash = applied / 32;
        beat.epoch_mark = frame_epoch_mark(run->epoch);
    }
    frame_beat_write(beat_body, &beat);
    struct frame frame = {
        .type = (how & 1) != 0 ? (enum frame_type)take_byte(&run->input) : FRAME_BEAT,
        .flags = (how & 2) != 0 ? FRAME_SKIPPABLE : 0,
        .shard = (how & 4) != 0 ? take_byte(&run->input) : 0,
        .epoch = run->epoch,
        .count = (how & 8) != 0 ? take_byte(&run->input) : 1,
        .node = (how & 16) != 0 ? 8 : NODE,
        .nonce = run->nonces[which % BEATS_KEPT],
        .body = {beat_body, sizeof beat_body},
    };
    if ((how & 32) != 0) {
        frame.epoch.counter += (uint64_t)(int64_t)(int8_t)take_byte(&run->input);
    }
    if ((how & 64) != 0) {
        run->seq += (uint64_t)(int64_t)(int8_t)take_byte(&run->input);
    }
    if ((how & 128) != 0) {
        frame.body = take_bytes(&run->input, take_byte(&run->input));
    }
    frame.seq_first = ++run->seq;
    publish(run, &frame);
}

/* The log is asked, if it is wanted; or a question is answered: by raw bytes, or by a page near what is expected. */
static void step_replay(struct run *run)
{
    struct buf reply = {0};
    const uint8_t how = take_byte(&run->input);
    if (!run->asked) {
        run->asked = coherence_replay(run->coherence, run->now_ms, &reply) == OK;
        buf_done(&reply);
        return;
    }
    run->asked = false;
    if ((how & 1) != 0) {
        coherence_on_replay_failed(run->coherence, run->now_ms);
        return;
    }
    if ((how & 2) != 0) {
        CHECK(buf_append_slice(&reply, take_bytes(&run->input, take_byte(&run->input))) == OK);
    } else {
        char numbers[3][24];
        struct buf frame = {0};
        const uint8_t back = take_byte(&run->input);
        const struct frame logged = {.type = (how & 4) != 0 ? FRAME_TAG : FRAME_KEYS,
                                     .epoch = run->epoch,
                                     .seq_first = run->seq - back % 8,
                                     .node = 8,
                                     .body = take_bytes(&run->input, take_byte(&run->input))};
        CHECK(frame_write(&frame, &logged) == OK);
        (void)snprintf(numbers[0], sizeof numbers[0], "%llu", (unsigned long long)run->seq);
        (void)snprintf(numbers[1], sizeof numbers[1], "%lld",
                       (how & 8) != 0 ? -1 : (long long)(run->seq - back));
        (void)snprintf(numbers[2], sizeof numbers[2], "%llu",
                       (unsigned long long)(run->seq - (how & 16 ? back % 4 : 0)));
        CHECK(buf_printf(&reply, "*%d\r\n:1\r\n", (how & 32) != 0 ? 5 : 4) == OK);
        for (unsigned i = 0; i < 3; i++) {
            CHECK(buf_printf(&reply, "$%zu\r\n%s\r\n", strlen(numbers[i]), numbers[i]) == OK);
        }
        if ((how & 32) != 0) {
            CHECK(buf_printf(&reply, "$%zu\r\n", frame.size) == OK);
            CHECK(buf_append_slice(&reply, buf_slice(&frame)) == OK);
            CHECK(buf_append(&reply, "\r\n", 2) == OK);
        }
        buf_done(&frame);
    }
    coherence_on_replay_answer(run->coherence, buf_slice(&reply), run->now_ms);
    buf_done(&reply);
}

static void step_beat(struct run *run)
{
    struct buf out = {0};
    struct request_reader reader;
    request_reader_init(&reader);
    if (coherence_beat(run->coherence, run->now_ms, &out) == OK) {
        struct frame frame;
        CHECK(request_read(&reader, buf_slice(&out)) == OK && reader.argc == 9);
        CHECK(frame_read(request_arg(&reader, buf_slice(&out), 8), &frame) == OK);
        run->nonces[run->beats % BEATS_KEPT] = frame.nonce;
        run->sent_ms[run->beats % BEATS_KEPT] = run->now_ms;
        run->beats++;
    }
    request_reader_done(&reader);
    buf_done(&out);
}

static void step_answer(struct run *run)
{
    const uint8_t how = take_byte(&run->input);
    run->is_unconfirmed = (how & 16) != 0;
    run->process += (how & 32) != 0;
    struct beat_answer answer = {
        .epoch = run->epoch, .seq = run->seq, .run = run->process, .target = 1000 + run->process};
    run->epoch.counter += how & 1;
    answer.epoch.counter += (how & 2) != 0 ? 3 : 0;
    answer.epoch.random += (how & 4) != 0 ? 1 : 0;
    if ((how & 8) != 0) {
        coherence_on_control_up(run->coherence, &answer, run->now_ms);
    } else {
        coherence_on_beat_answer(run->coherence, &answer, run->now_ms);
    }
}

static void step_bus_up(struct run *run)
{
    const struct beat_answer answer = {
        .epoch = run->epoch, .seq = run->seq, .run = run->process, .target = 1000 + run->process};
    coherence_on_bus_up(run->coherence, &answer, run->now_ms);
    run->up = true;
}

static void step_confirm(struct run *run)
{
    static const char *const replies[] = {
        "+OK\r\n", "*3\r\n$9\r\nsubscribe\r\n$20\r\n__redis__:invalidate\r\n:1\r\n",
        "*3\r\n$9\r\nsubscribe\r\n$11\r\nterrace:bus\r\n:2\r\n"};
    for (size_t i = 0; i < 3; i++) {
        bus_reply(run, slice_of(replies[i]));
    }
}

static void step(struct run *run)
{
    const uint8_t opcode = take_byte(&run->input);
    if (opcode >= STEP_REPLAY) {
        step_replay(run);
        return;
    }
    switch (opcode % 12) {
    case 0: step_raw(run); return;
    case 1: step_frame(run); return;
    case 2: step_beat(run); return;
    case 3: step_answer(run); return;
    case 4: coherence_on_beat_failed(run->coherence, "because", run->now_ms); return;
    case 5: run->now_ms += 1 + take_byte(&run->input) * 8; return;
    case 6: step_bus_up(run); return;
    case 7: step_confirm(run); return;
    case 8:
        coherence_on_bus_lost(run->coherence, "because", run->now_ms);
        run->up = false;
        return;
    case 9: message(run, "terrace:bus", take_bytes(&run->input, take_byte(&run->input))); return;
    case 10:
        message(run, "__redis__:invalidate", take_bytes(&run->input, take_byte(&run->input)));
        return;
    default: coherence_tick(run->coherence, run->now_ms); return;
    }
}

static bool was_sent_at(const struct run *run, int64_t time_ms)
{
    for (unsigned i = 0; i < BEATS_KEPT; i++) {
        if (run->sent_ms[i] == time_ms) {
            return true;
        }
    }
    return false;
}

static void check_invariants(struct run *run)
{
    struct coherence_description seen;
    coherence_describe(run->coherence, &seen);
    const int64_t horizon_ms = atomic_load(&run->view->horizon_ms);
    const int64_t floor_ms = atomic_load(&run->view->plain.floor_ms);
    const uint64_t generation = atomic_load(&run->view->generation);
    const uint64_t known = coherence_known_epoch(run->coherence);
    CHECK(floor_ms >= run->floor_ms && floor_ms <= run->now_ms + 1);
    CHECK(generation >= run->generation);
    const int64_t managed_ms = atomic_load(&run->view->managed.floor_ms);
    CHECK(managed_ms == INT64_MAX || (managed_ms >= 0 && managed_ms <= run->now_ms + 1));
    CHECK(known >= run->known && known <= EPOCH_COUNTER_MAX);
    CHECK(seen.epoch.counter >= run->counter && seen.epoch.counter <= known);
    CHECK(horizon_ms == 0 || was_sent_at(run, horizon_ms));
    CHECK(horizon_ms == run->horizon_ms || horizon_ms == 0 ||
          (run->up && seen.state == COHERENCE_SYNCED));
    CHECK(seen.state != COHERENCE_SYNCED ||
          (atomic_load(&run->view->may_install) && atomic_load(&run->view->target) != 0 &&
           coherence_unconfirmed_run(run->coherence) == 0));
    (void)coherence_wrong_link(run->coherence);
    CHECK(run->up || (seen.state == COHERENCE_DETACHED && !atomic_load(&run->view->may_install)));
    CHECK((seen.state == COHERENCE_SYNCED) <= (horizon_ms != 0));
    CHECK((seen.state == COHERENCE_SYNCED) == (seen.reason[0] == '\0'));
    CHECK(memchr(seen.reason, '\0', sizeof seen.reason) != NULL);
    (void)coherence_bus_is_dead(run->coherence, run->now_ms);
    (void)coherence_beat_due(run->coherence, run->now_ms);
    run->horizon_ms = horizon_ms;
    run->floor_ms = floor_ms;
    run->generation = generation;
    run->known = known;
    run->counter = seen.epoch.counter;
}

/* Whatever it is: no answer, or one within its bounds. */
static void check_answer(const uint8_t *data, size_t size)
{
    struct beat_answer answer;
    char error[BEAT_ERROR_MAX];
    struct reply_framer framer = {0};
    size_t whole = 0;
    const struct slice input = {.data = (const char *)data, .size = size};
    if (reply_frame(&framer, input, &whole) != OK) {
        return;
    }
    const enum status status = beat_read((struct slice){input.data, whole}, &answer, error);
    if (status == OK || status == MISS) {
        CHECK(answer.reign != 0 && (answer.target != 0) == (status == OK));
        CHECK((answer.epoch.counter >= 1) == (status == OK));
        CHECK(answer.epoch.counter <= EPOCH_COUNTER_MAX);
    }
    if (status != OK) {
        CHECK(memchr(error, '\0', sizeof error) != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_answer(data, size);
    struct run run = {.input = {data, size},
                      .now_ms = 1000000,
                      .epoch = {.counter = 5, .random = 55},
                      .process = 9,
                      .seq = 40};
    const struct namespace_spec specs[] = {
        {.name = SLICE_LITERAL("default"),
         .settings = {.mode = {.bound_ms = 1000}, .memory = 1 << 16}},
        {.name = SLICE_LITERAL("managed"),
         .prefix = SLICE_LITERAL("m:"),
         .managed = true,
         .settings = {.mode = {.bound_ms = 1000}, .memory = 1 << 16, .told = true}}};
    run.namespaces = namespaces_new(specs, 2, 1);
    CHECK(run.namespaces != NULL);
    run.l1 = namespaces_default(run.namespaces)->l1;
    run.coherence = coherence_new(&(struct coherence_options){.namespaces = run.namespaces,
                                                              .node = NODE,
                                                              .seed = 1,
                                                              .coherence_db = 15,
                                                              .bound_ms = 1000});
    CHECK(run.coherence != NULL);
    run.view = coherence_view(run.coherence);
    for (unsigned i = 0; i < STEPS_MAX && run.input.left > 0; i++) {
        step(&run);
        if (!run.is_unconfirmed) {
            coherence_targets_confirmed(run.coherence, coherence_unconfirmed_run(run.coherence));
        }
        check_invariants(&run);
    }
    coherence_free(run.coherence);
    namespaces_free(run.namespaces);
    return 0;
}
