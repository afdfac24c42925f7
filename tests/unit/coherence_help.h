/* SPDX-License-Identifier: BSD-3-Clause */
/* coherence_help.h -- a node's coherence with a real L1, and a Redis whose bytes are written by hand. Time is a plain
 * number that the tests move. */
#ifndef TERRACE_TESTS_UNIT_COHERENCE_HELP_H
#define TERRACE_TESTS_UNIT_COHERENCE_HELP_H

#include "protocol/resp_read.h"
#include "tests/unit/l1_help.h"
#include "tiers/coherence.h"

#include <stdio.h>
#include <string.h>

enum {
    NODE = 77,
    PEER = 78,
    T_MS = 1000,
    START_MS = 5000000
};

struct stage {
    struct namespaces *namespaces;
    struct l1 *l1; /* of `default` */
    struct coherence *coherence;
    const struct coherence_view *view;
    struct metrics metrics;
    struct epoch epoch; /* Redis' */
    uint64_t run;       /* its process */
    uint64_t seq;       /* of the last frame that Redis published */
    int64_t now_ms;
    uint64_t nonce;         /* of the last own beat */
    struct frame_beat beat; /* its body */
    uint64_t known;         /* its known epoch */
};

/* --- what Redis says --------------------------------------------------------------------------------------------- */

static inline void stage_reply(struct stage *stage, struct slice reply)
{
    coherence_on_bus_reply(stage->coherence, reply, stage->now_ms);
}

#define STAGE_SAYS(stage, literal) stage_reply((stage), SLICE_LITERAL(literal))

static inline void stage_message(struct stage *stage, struct slice frame)
{
    struct buf reply = {0};
    assert_int_equal(
        buf_printf(&reply, "*3\r\n$7\r\nmessage\r\n$11\r\nterrace:bus\r\n$%zu\r\n", frame.size),
        OK);
    assert_int_equal(buf_append_slice(&reply, frame), OK);
    assert_int_equal(buf_append(&reply, "\r\n", 2), OK);
    stage_reply(stage, buf_slice(&reply));
    buf_done(&reply);
}

static inline struct frame stage_frame(const struct stage *stage, uint64_t node, uint64_t nonce,
                                       uint64_t seq)
{
    static const char body[FRAME_BEAT_BODY_SIZE];
    return (struct frame){.type = FRAME_BEAT,
                          .epoch = stage->epoch,
                          .seq_first = seq,
                          .count = 1,
                          .node = node,
                          .nonce = nonce,
                          .body = {body, sizeof body}};
}

static inline void stage_publish(struct stage *stage, const struct frame *frame)
{
    struct buf bytes = {0};
    assert_int_equal(frame_write(&bytes, frame), OK);
    stage_message(stage, buf_slice(&bytes));
    buf_done(&bytes);
}

static inline void stage_announce(struct stage *stage, const char *key)
{
    struct buf reply = {0};
    assert_int_equal(
        buf_printf(&reply,
                   "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$%zu\r\n%s\r\n",
                   strlen(key), key),
        OK);
    stage_reply(stage, buf_slice(&reply));
    buf_done(&reply);
}

/* What Redis owes behind each frame: the nodes' own keys, in the same cycle. */
static inline void stage_flush(struct stage *stage)
{
    STAGE_SAYS(stage, "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*2\r\n"
                      "$13\r\nterrace:nodes\r\n$11\r\nterrace:seq\r\n");
}

/* The next frame in order, from another node. */
static inline void stage_peer(struct stage *stage)
{
    const struct frame frame = stage_frame(stage, PEER, 1, ++stage->seq);
    stage_publish(stage, &frame);
    stage_flush(stage);
}

/* The echo alone, and nothing behind it yet. */
static inline void stage_echo_frame(struct stage *stage, uint64_t nonce)
{
    const struct frame frame = stage_frame(stage, NODE, nonce, ++stage->seq);
    stage_publish(stage, &frame);
}

static inline void stage_echo_of(struct stage *stage, uint64_t nonce)
{
    stage_echo_frame(stage, nonce);
    stage_flush(stage);
}

/* The last own beat comes home. */
static inline void stage_echo(struct stage *stage)
{
    stage_echo_of(stage, stage->nonce);
}

static inline void stage_confirm(struct stage *stage)
{
    STAGE_SAYS(stage, "+OK\r\n");
    STAGE_SAYS(stage, "*3\r\n$9\r\nsubscribe\r\n$20\r\n__redis__:invalidate\r\n:1\r\n");
    STAGE_SAYS(stage, "*3\r\n$9\r\nsubscribe\r\n$11\r\nterrace:bus\r\n:2\r\n");
}

/* --- what the node does ------------------------------------------------------------------------------------------ */

static inline void stage_beat(struct stage *stage)
{
    struct buf out = {0};
    assert_int_equal(coherence_beat(stage->coherence, stage->now_ms, &out), OK);
    struct request_reader reader;
    request_reader_init(&reader);
    assert_int_equal(request_read(&reader, buf_slice(&out)), OK);
    assert_int_equal(reader.argc, 9);
    struct frame frame;
    assert_int_equal(slice_to_u64(request_arg(&reader, buf_slice(&out), 4), &stage->known), OK);
    assert_int_equal(frame_read(request_arg(&reader, buf_slice(&out), 8), &frame), OK);
    assert_int_equal(frame.type, FRAME_BEAT);
    assert_int_equal(frame.node, NODE);
    assert_int_equal(frame_beat_read(frame.body, &stage->beat), OK);
    stage->beat.homes = (struct slice){0}; /* they borrow from what is freed here */
    stage->beat.figures = (struct slice){0};
    stage->beat.address = (struct slice){0};
    stage->nonce = frame.nonce;
    request_reader_done(&reader);
    buf_done(&out);
}

/* What a beat is answered now, on any link. */
static inline struct beat_answer stage_says(const struct stage *stage)
{
    return (struct beat_answer){.epoch = stage->epoch,
                                .seq = stage->seq,
                                .run = stage->run,
                                .target = stage->run * 1000 + stage->epoch.counter};
}

static inline void stage_control_up(struct stage *stage)
{
    const struct beat_answer answer = stage_says(stage);
    coherence_on_control_up(stage->coherence, &answer, stage->now_ms);
}

static inline void stage_bus_up(struct stage *stage)
{
    const struct beat_answer answer = stage_says(stage);
    coherence_on_bus_up(stage->coherence, &answer, stage->now_ms);
}

/* All workers have left any other Redis. */
static inline void stage_confirm_target(struct stage *stage)
{
    coherence_targets_confirmed(stage->coherence, coherence_unconfirmed_run(stage->coherence));
}

/* The oldest outstanding beat is answered with Redis' epoch. */
static inline void stage_answer(struct stage *stage)
{
    const struct beat_answer answer = stage_says(stage);
    coherence_on_beat_answer(stage->coherence, &answer, stage->now_ms);
}

/* A beat there and back in no time. */
static inline void stage_sync(struct stage *stage)
{
    stage_beat(stage);
    stage_answer(stage);
    stage_echo(stage);
}

static inline void stage_open_with(struct stage *stage, struct namespaces *namespaces,
                                   const struct coherence_managed_listener *managed)
{
    *stage = (struct stage){
        .now_ms = START_MS, .epoch = {.counter = 5, .random = 55}, .run = 9, .seq = 40};
    stage->namespaces = namespaces;
    stage->l1 = namespaces_default(stage->namespaces)->l1;
    stage->coherence = coherence_new(&(struct coherence_options){.namespaces = stage->namespaces,
                                                                 .metrics = &stage->metrics,
                                                                 .node = NODE,
                                                                 .seed = 1,
                                                                 .coherence_db = 15,
                                                                 .bound_ms = T_MS,
                                                                 .managed = *managed});
    assert_non_null(stage->coherence);
    stage->view = coherence_view(stage->coherence);
}

static inline void stage_open(struct stage *stage)
{
    static const struct coherence_managed_listener nobody;
    stage_open_with(stage, help_namespaces(1 << 20), &nobody);
}

static inline void stage_go_on_confirmed(struct stage *stage)
{
    stage_control_up(stage);
    stage_confirm_target(stage);
    stage_bus_up(stage);
    stage_confirm(stage);
}

/* Epoch known, bus confirmed, no echo yet. */
static inline void stage_open_confirmed(struct stage *stage)
{
    stage_open(stage);
    stage_go_on_confirmed(stage);
}

/* All of it, and 100 ms later. */
static inline void stage_open_synced(struct stage *stage)
{
    stage_open_confirmed(stage);
    stage_sync(stage);
    stage->now_ms += 100;
}

static inline void stage_done(struct stage *stage)
{
    coherence_free(stage->coherence);
    namespaces_free(stage->namespaces);
}

/* --- what workers see -------------------------------------------------------------------------------------------- */

static inline bool stage_fresh(const struct stage *stage)
{
    return coherence_fresh(stage->view, stage->now_ms);
}

static inline int64_t stage_horizon(const struct stage *stage)
{
    return atomic_load(&stage->view->horizon_ms);
}

static inline int64_t stage_floor(const struct stage *stage)
{
    return atomic_load(&stage->view->plain.floor_ms);
}

static inline uint64_t stage_generation(const struct stage *stage)
{
    return atomic_load(&stage->view->generation);
}

static inline struct coherence_description stage_described(const struct stage *stage)
{
    struct coherence_description description;
    coherence_describe(stage->coherence, &description);
    return description;
}

static inline uint64_t stage_count(const struct stage *stage, enum metric id)
{
    return metrics_read(&stage->metrics, id);
}

/* A read through L2 as a worker does it; the claim in between is the caller's. */
static inline struct l1_claim stage_claim(struct stage *stage, const char *name)
{
    const struct l1_key key = l1_key(stage->l1, 0, slice_of(name));
    const struct l1_ask ask = {.now_ms = stage->now_ms,
                               .floor_ms = stage_fresh(stage) ? stage_floor(stage) : INT64_MAX,
                               .generation = stage_generation(stage),
                               .join_ms = 0};
    struct l1_value value = {0};
    struct l1_claim claim = {0};
    assert_int_equal(l1_ask(stage->l1, &key, &ask, &value, &claim), CLAIMED);
    return claim;
}

static inline enum status stage_fill(struct stage *stage, const char *name, struct l1_claim claim,
                                     int64_t stamped_at_ms)
{
    const struct l1_key key = l1_key(stage->l1, 0, slice_of(name));
    struct item *item = help_item(&key, "v", ITEM_NEVER, stamped_at_ms);
    const struct l1_landing landing = {.token = claim.token,
                                       .generation = stage_generation(stage),
                                       .install = atomic_load(&stage->view->may_install),
                                       .now_ms = stage->now_ms};
    const enum status status = l1_fill(stage->l1, &key, &landing, item);
    item_release(item);
    return status;
}

/* Whether a worker serves the key from L1 now. */
static inline bool stage_serves(const struct stage *stage, const char *name)
{
    const struct l1_key key = l1_key(stage->l1, 0, slice_of(name));
    struct l1_peek peek;
    return stage_fresh(stage) &&
           l1_peek(stage->l1, &key, stage->now_ms, stage_floor(stage), &peek) == OK;
}

#endif
