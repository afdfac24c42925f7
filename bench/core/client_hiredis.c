/* SPDX-License-Identifier: BSD-3-Clause */
/* hiredis, as its README shows: a context per thread; append and get for pipelines; libuv for callbacks. */
#include "bench/clock.h"
#include "bench/core/client_ways.h"

#include <hiredis/adapters/libuv.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include <string.h>

struct words {
    const char *all[3];
    size_t sizes[3];
    int count;
};

static struct words request(const struct work *work, const char *key)
{
    if (work->writes) {
        return (struct words){{"SET", key, work->value}, {3, WAY_KEY_SIZE, work->value_size}, 3};
    }
    return (struct words){{"GET", key}, {3, WAY_KEY_SIZE}, 2};
}

static void must_be_right(const struct work *work, const redisReply *reply)
{
    bool right = reply != NULL && (work->writes ? reply->type == REDIS_REPLY_STATUS
                                                : reply->type == REDIS_REPLY_STRING &&
                                                      reply->len == work->value_size);
    if (!right) {
        way_fails("hiredis", reply != NULL && reply->str != NULL ? reply->str : "no answer");
    }
}

static redisContext *connect_to(const struct work *work)
{
    redisContext *context = redisConnect(work->host, work->port);
    if (context == NULL || context->err != 0) {
        way_fails("hiredis", context == NULL ? "no memory" : context->errstr);
    }
    return context;
}

static void *open_nothing(const struct work *work)
{
    (void)work;
    return NULL;
}

static void close_nothing(void *shared)
{
    (void)shared;
}

static void ask_in_turn(void *shared, struct work *work)
{
    (void)shared;
    redisContext *context = connect_to(work);
    for (unsigned long i = 0; i < work->requests; i++) {
        char key[WAY_KEY_SIZE + 1];
        work_key(work, key);
        struct words words = request(work, key);
        uint64_t began_ns = clock_ns();
        redisReply *reply = redisCommandArgv(context, words.count, words.all, words.sizes);
        histogram_record(work->times, clock_ns() - began_ns);
        must_be_right(work, reply);
        freeReplyObject(reply);
    }
    redisFree(context);
}

static void ask_in_batches(void *shared, struct work *work)
{
    (void)shared;
    redisContext *context = connect_to(work);
    for (unsigned long i = 0; i < work->requests; i += work->window) {
        uint64_t began_ns = clock_ns();
        for (unsigned j = 0; j < work->window; j++) {
            char key[WAY_KEY_SIZE + 1];
            work_key(work, key);
            struct words words = request(work, key);
            if (redisAppendCommandArgv(context, words.count, words.all, words.sizes) != REDIS_OK) {
                way_fails("hiredis", context->errstr);
            }
        }
        for (unsigned j = 0; j < work->window; j++) {
            void *reply = NULL;
            if (redisGetReply(context, &reply) != REDIS_OK) {
                way_fails("hiredis", context->errstr);
            }
            histogram_record(work->times, clock_ns() - began_ns);
            must_be_right(work, reply);
            freeReplyObject(reply);
        }
    }
    redisFree(context);
}

/* --- callbacks --------------------------------------------------------------------------------------------------------- */

struct run {
    struct work *work;
    redisAsyncContext *context;
    unsigned long sent;
    unsigned long answered;
};

struct one {
    struct run *run;
    uint64_t began_ns;
};

static void on_reply(redisAsyncContext *context, void *reply, void *arg);

static void send_one(struct one *one)
{
    char key[WAY_KEY_SIZE + 1];
    work_key(one->run->work, key);
    struct words words = request(one->run->work, key);
    one->began_ns = clock_ns();
    one->run->sent++;
    if (redisAsyncCommandArgv(one->run->context, on_reply, one, words.count, words.all,
                              words.sizes) != REDIS_OK) {
        way_fails("hiredis", one->run->context->errstr);
    }
}

static void on_reply(redisAsyncContext *context, void *reply, void *arg)
{
    struct one *one = arg;
    histogram_record(one->run->work->times, clock_ns() - one->began_ns);
    must_be_right(one->run->work, reply);
    one->run->answered++;
    if (one->run->sent < one->run->work->requests) {
        send_one(one);
    } else if (one->run->answered == one->run->work->requests) {
        redisAsyncDisconnect(context);
    }
}

static void ask_by_callbacks(void *shared, struct work *work)
{
    (void)shared;
    uv_loop_t loop;
    static struct one ones[WAY_WINDOW_MAX];
    struct run run = {.work = work, .context = redisAsyncConnect(work->host, work->port)};
    if (uv_loop_init(&loop) != 0 || run.context == NULL || run.context->err != 0 ||
        redisLibuvAttach(run.context, &loop) != REDIS_OK) {
        way_fails("hiredis", "no connection");
    }
    for (unsigned i = 0; i < work->window; i++) {
        ones[i].run = &run;
        send_one(&ones[i]);
    }
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop);
}

const struct library library_hiredis = {
    .name = "hiredis",
    .open = open_nothing,
    .close = close_nothing,
    .sync = ask_in_turn,
    .batches = ask_in_batches,
    .async = ask_by_callbacks,
};
