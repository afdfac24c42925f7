/* SPDX-License-Identifier: BSD-3-Clause */
/* liar.h -- a node on the loop of the test, that says what the test wants it to say.
 *
 * HELLO, WATCH and BEAT it answers as they should be, unless the test does; all else is the test's.
 *
 * Owns:    its handles in the loop, until liar_close.   Threads: the loop's. */
#ifndef TERRACE_TESTS_UNIT_LIAR_H
#define TERRACE_TESTS_UNIT_LIAR_H

#include "client/terrace.h"
#include "protocol/limits.h"
#include "protocol/native_codec.h"
#include "protocol/native_frame.h"

#include <uv.h>

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct liar;

struct ear { /* one connection, as the node has it */
    uv_tcp_t tcp;
    struct liar *liar;
    struct ear *next;
    struct buf in;
};

struct liar {
    uv_loop_t *loop;
    uv_tcp_t tcp;
    int port;
    struct ear *ears;
    unsigned accepted, open;
    /* true: it has dealt with the frame. */
    bool (*on_frame)(struct ear *ear, const struct native_frame *frame);
    unsigned frames[256]; /* that came, by op */
};

static inline void ear_closed(uv_handle_t *handle)
{
    struct ear *ear = handle->data;
    struct ear **link = &ear->liar->ears;
    while (*link != ear) {
        link = &(*link)->next;
    }
    *link = ear->next;
    ear->liar->open--;
    buf_done(&ear->in);
    free(ear);
}

static inline void ear_close(struct ear *ear)
{
    if (!uv_is_closing((uv_handle_t *)&ear->tcp)) {
        uv_close((uv_handle_t *)&ear->tcp, ear_closed);
    }
}

static inline void said(uv_write_t *write, int error)
{
    (void)error;
    free(write);
}

static inline void say_bytes(struct ear *ear, const void *bytes, size_t size)
{
    uv_write_t *write = malloc(sizeof *write + size);
    assert_non_null(write);
    memcpy(write + 1, bytes, size);
    const uv_buf_t buf = uv_buf_init((char *)(write + 1), (unsigned)size);
    if (uv_write(write, (uv_stream_t *)&ear->tcp, &buf, 1, said) !=
        0) { /* nobody is there any more */
        free(write);
    }
}

/* A frame of the node: `header` but for its sizes. */
static inline void say_frame(struct ear *ear, struct native_header header, struct slice meta,
                             struct slice keys, struct slice body)
{
    struct buf out = {0};
    char bytes[NATIVE_HEADER_SIZE];
    header.version = NATIVE_VERSION;
    header.meta_size = (uint32_t)meta.size;
    header.keys_size = (uint32_t)keys.size;
    header.body_size = (uint32_t)body.size;
    native_header_write(bytes, &header);
    assert_int_equal(buf_append(&out, bytes, sizeof bytes), OK);
    assert_int_equal(buf_append_slice(&out, meta), OK);
    assert_int_equal(buf_append_slice(&out, keys), OK);
    assert_int_equal(buf_append_slice(&out, body), OK);
    say_bytes(ear, out.data, out.size);
    buf_done(&out);
}

static inline void answer_with(struct ear *ear, const struct native_frame *frame, uint8_t flags,
                               uint32_t status, const struct native_reply *reply, struct slice body)
{
    struct buf meta = {0};
    assert_int_equal(native_reply_pack(reply, &meta), OK);
    say_frame(ear,
              (struct native_header){.op = frame->header.op,
                                     .flags = (uint8_t)(NATIVE_ANSWER | flags),
                                     .id = frame->header.id,
                                     .word = status},
              buf_slice(&meta), (struct slice){0}, body);
    buf_done(&meta);
}

static inline void answer(struct ear *ear, const struct native_frame *frame, uint32_t status,
                          const char *body)
{
    const struct native_reply reply = {.state = status == NATIVE_OK ? NATIVE_STATE_HIT : 0};
    answer_with(ear, frame, 0, status, &reply, slice_of(body));
}

static inline void hear_frame(struct ear *ear, const struct native_frame *frame)
{
    ear->liar->frames[frame->header.op]++;
    if (ear->liar->on_frame != NULL && ear->liar->on_frame(ear, frame)) {
        return;
    }
    if (frame->header.op == NATIVE_HELLO || frame->header.op == NATIVE_WATCH ||
        frame->header.op == NATIVE_BEAT) {
        answer_with(ear, frame, 0, NATIVE_OK, &(struct native_reply){0}, (struct slice){0});
    }
}

static inline void hear(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    static const struct native_limits limits = {LIMIT_NATIVE_META, LIMIT_NATIVE_KEYS, UINT32_MAX};
    struct ear *ear = stream->data;
    struct native_frame frame;
    size_t used = 0, missing = 0;
    if (got > 0) {
        assert_int_equal(buf_append(&ear->in, buf->base, (size_t)got), OK);
    }
    free(buf->base);
    while (got > 0 && !uv_is_closing((uv_handle_t *)stream) &&
           native_frame_read(buf_slice(&ear->in), &limits, &frame, &used, &missing) == OK) {
        hear_frame(ear, &frame);
        buf_consume(&ear->in, used);
    }
    if (got < 0) {
        ear_close(ear);
    }
}

static inline void ear_room(uv_handle_t *handle, size_t size, uv_buf_t *ret)
{
    (void)handle;
    *ret = uv_buf_init(malloc(size), (unsigned)size);
}

static inline void liar_accepts(uv_stream_t *stream, int error)
{
    struct liar *liar = stream->data;
    struct ear *ear = calloc(1, sizeof *ear);
    assert_int_equal(error, 0);
    assert_non_null(ear);
    ear->liar = liar;
    ear->next = liar->ears;
    liar->ears = ear;
    liar->accepted++;
    liar->open++;
    assert_int_equal(uv_tcp_init(liar->loop, &ear->tcp), 0);
    ear->tcp.data = ear;
    assert_int_equal(uv_accept(stream, (uv_stream_t *)&ear->tcp), 0);
    assert_int_equal(uv_read_start((uv_stream_t *)&ear->tcp, ear_room, hear), 0);
}

static inline void liar_open(struct liar *liar, uv_loop_t *loop)
{
    struct sockaddr_in address;
    int size = sizeof address;
    *liar = (struct liar){.loop = loop};
    assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &address), 0);
    assert_int_equal(uv_tcp_init(loop, &liar->tcp), 0);
    liar->tcp.data = liar;
    assert_int_equal(uv_tcp_bind(&liar->tcp, (const struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&liar->tcp, 64, liar_accepts), 0);
    assert_int_equal(uv_tcp_getsockname(&liar->tcp, (struct sockaddr *)&address, &size), 0);
    liar->port = ntohs(address.sin_port);
}

static inline void liar_close(struct liar *liar)
{
    uv_close((uv_handle_t *)&liar->tcp, NULL);
    for (struct ear *ear = liar->ears; ear != NULL; ear = ear->next) {
        ear_close(ear);
    }
}

/* --- a client of it, on the same loop ------------------------------------------------------------------------------------- */

struct scene {
    uv_loop_t loop;
    struct liar liar;
    struct terrace_async *client;
    void *own; /* the test's */
};

static inline struct terrace_options *scene_options(const struct liar *liar, const char *more)
{
    struct terrace_options *options = terrace_options_new();
    char text[512], error[TERRACE_ERROR_SIZE];
    (void)snprintf(text, sizeof text, "endpoints=127.0.0.1:%d&%s", liar->port, more);
    assert_non_null(options);
    assert_int_equal(terrace_options_parse(options, text, error, sizeof error), TERRACE_OK);
    return options;
}

static inline void scene_open(struct scene *scene, const char *more,
                              bool (*on_frame)(struct ear *ear, const struct native_frame *frame))
{
    char error[TERRACE_ERROR_SIZE];
    *scene = (struct scene){0};
    assert_int_equal(uv_loop_init(&scene->loop), 0);
    scene->loop.data = scene;
    liar_open(&scene->liar, &scene->loop);
    scene->liar.on_frame = on_frame;
    struct terrace_options *options = scene_options(&scene->liar, more);
    scene->client = terrace_async_open(&scene->loop, options, error, sizeof error);
    terrace_options_free(options);
    assert_non_null(scene->client);
}

static inline struct scene *scene_of(struct ear *ear)
{
    return ear->liar->loop->data;
}

static inline void scene_close(struct scene *scene)
{
    terrace_async_close(scene->client, NULL, NULL);
    liar_close(&scene->liar);
    assert_int_equal(uv_run(&scene->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&scene->loop), 0);
}

static inline void on_patience(uv_timer_t *timer)
{
    (void)timer;
    fail_msg("nothing of the kind within 20 s");
}

/* Runs the loop until *number is at least so much. */
static inline void run_until(struct scene *scene, const unsigned *number, unsigned least)
{
    uv_timer_t patience;
    assert_int_equal(uv_timer_init(&scene->loop, &patience), 0);
    assert_int_equal(uv_timer_start(&patience, on_patience, 20000, 0), 0);
    while (*number < least) {
        (void)uv_run(&scene->loop, UV_RUN_ONCE);
    }
    uv_close((uv_handle_t *)&patience, NULL);
    (void)uv_run(&scene->loop, UV_RUN_NOWAIT);
}

static inline void on_moment_over(uv_timer_t *timer)
{
    (*(unsigned *)timer->data)++;
}

/* For what is said not to happen. */
static inline void run_for(struct scene *scene, uint64_t ms)
{
    uv_timer_t timer;
    unsigned over = 0;
    timer.data = &over;
    assert_int_equal(uv_timer_init(&scene->loop, &timer), 0);
    timer.data = &over;
    assert_int_equal(uv_timer_start(&timer, on_moment_over, ms, 0), 0);
    run_until(scene, &over, 1);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&scene->loop, UV_RUN_NOWAIT);
}

/* What a call came to. */
struct told {
    unsigned times;
    enum terrace_status status;
    enum terrace_reason reason;
    char error[TERRACE_ERROR_SIZE];
    size_t size;
};

static inline void on_told(void *arg, const struct terrace_result *result)
{
    struct told *told = arg;
    told->times++;
    told->status = result->status;
    told->reason = result->value != NULL ? result->value->reason : TERRACE_REASON_NONE;
    told->size = result->value != NULL ? result->value->size : 0;
    (void)snprintf(told->error, sizeof told->error, "%s",
                   result->error != NULL ? result->error : "");
}

static inline void get(struct scene *scene, const char *key, int64_t timeout_ms, struct told *told)
{
    const struct terrace_read_options options = {.timeout_ms = timeout_ms, .no_near = 1};
    assert_int_equal(terrace_async_get(scene->client, key, strlen(key), &options, on_told, told),
                     TERRACE_OK);
}

static inline void set(struct scene *scene, const char *key, int64_t timeout_ms, struct told *told)
{
    const struct terrace_write_options options = {.timeout_ms = timeout_ms};
    assert_int_equal(
        terrace_async_set(scene->client, key, strlen(key), "v", 1, &options, on_told, told),
        TERRACE_OK);
}

#endif
