/* SPDX-License-Identifier: BSD-3-Clause */
/* hiredis_flows.c -- what a C program does with hiredis, waiting for each answer and on a libuv loop.
 *
 * WRITE_PORT and READ_PORT say where its two servers are. Prints `ok NAME` per flow; exit 0 if all went well, else what did
 * not stands on stderr. */
#include <hiredis/adapters/libuv.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PIPELINE = 500,
    DEADLINE_MS = 10000
};

static int port_of(const char *name)
{
    const char *text = getenv(name);
    return text == NULL ? 6379 : atoi(text);
}

static void fail(const char *what, const redisReply *reply)
{
    (void)fprintf(stderr, "%s: type %d, \"%.200s\"\n", what, reply == NULL ? -1 : reply->type,
                  reply == NULL || reply->str == NULL ? "" : reply->str);
    exit(1);
}

static void check(int right, const char *what, const redisReply *reply)
{
    if (!right) {
        fail(what, reply);
    }
}

static int is_text(const redisReply *reply, const char *text)
{
    return reply != NULL && reply->str != NULL && strcmp(reply->str, text) == 0;
}

static int is_number(const redisReply *reply, long long number)
{
    return reply != NULL && reply->type == REDIS_REPLY_INTEGER && reply->integer == number;
}

/* --- waiting for each answer ------------------------------------------------------------------------------------------- */

static redisContext *connect_to(const char *name)
{
    redisContext *context = redisConnect("127.0.0.1", port_of(name));
    check(context != NULL && context->err == 0, "connect", NULL);
    return context;
}

static redisReply *ask(redisContext *context, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = redisvCommand(context, format, arguments);
    va_end(arguments);
    return reply;
}

static void expect_text(redisContext *context, const char *command, const char *text)
{
    redisReply *reply = ask(context, command);
    check(is_text(reply, text), command, reply);
    freeReplyObject(reply);
}

static void expect_number(redisContext *context, const char *command, long long number)
{
    redisReply *reply = ask(context, command);
    check(is_number(reply, number), command, reply);
    freeReplyObject(reply);
}

static void a_lock(redisContext *writer, redisContext *reader)
{
    static const char release[] = "if redis.call('get',KEYS[1]) == ARGV[1] then return "
                                  "redis.call('del',KEYS[1]) else return 0 end";
    expect_text(writer, "SET lock a NX PX 20000", "OK");
    redisReply *reply = ask(reader, "SET lock b NX PX 20000");
    check(reply != NULL && reply->type == REDIS_REPLY_NIL, "a lock that is taken", reply);
    freeReplyObject(reply);
    reply = ask(reader, "EVAL %s 1 lock b", release);
    check(is_number(reply, 0), "released by another", reply);
    freeReplyObject(reply);
    reply = ask(writer, "EVAL %s 1 lock a", release);
    check(is_number(reply, 1), "released", reply);
    freeReplyObject(reply);
}

static void a_transaction(redisContext *writer, redisContext *reader)
{
    expect_text(writer, "SET t 1", "OK");
    expect_text(writer, "MULTI", "OK");
    expect_text(writer, "INCR t", "QUEUED");
    expect_text(writer, "GET t", "QUEUED");
    redisReply *reply = ask(writer, "EXEC");
    check(reply != NULL && reply->elements == 2 && is_number(reply->element[0], 2) &&
              is_text(reply->element[1], "2"),
          "EXEC", reply);
    freeReplyObject(reply);
    expect_text(writer, "WATCH t", "OK");
    expect_text(reader, "SET t 9", "OK");
    expect_text(writer, "MULTI", "OK");
    expect_text(writer, "SET t 3", "QUEUED");
    reply = ask(writer, "EXEC");
    check(reply != NULL && reply->type == REDIS_REPLY_NIL, "a watched key", reply);
    freeReplyObject(reply);
    expect_text(reader, "GET t", "9");
}

static void a_pipeline(redisContext *writer)
{
    for (int i = 0; i < PIPELINE; i++) {
        (void)redisAppendCommand(writer, "RPUSH l %d", i);
        (void)redisAppendCommand(writer, "SET p %d", i);
        (void)redisAppendCommand(writer, "GET p");
    }
    for (int i = 0; i < PIPELINE; i++) {
        char text[16];
        (void)snprintf(text, sizeof(text), "%d", i);
        for (int part = 0; part < 3; part++) {
            void *got = NULL;
            check(redisGetReply(writer, &got) == REDIS_OK, "an answer of a pipeline", NULL);
            redisReply *reply = got;
            check(part == 0   ? is_number(reply, i + 1)
                  : part == 1 ? is_text(reply, "OK")
                              : is_text(reply, text),
                  "the right answer of a pipeline", reply);
            freeReplyObject(reply);
        }
    }
    expect_number(writer, "LLEN l", PIPELINE);
}

/* --- on a loop ---------------------------------------------------------------------------------------------------------- */

struct rig {
    uv_loop_t loop;
    uv_timer_t deadline;
    redisAsyncContext *writer;
    redisAsyncContext *reader;
    int answers;
    int messages;
    int popped;
};

static void on_deadline(uv_timer_t *timer)
{
    (void)timer;
    fail("the loop still waits for answers", NULL);
}

static redisAsyncContext *connect_on(struct rig *rig, const char *name)
{
    redisAsyncContext *context = redisAsyncConnect("127.0.0.1", port_of(name));
    check(context != NULL && context->err == 0, "connect", NULL);
    check(redisLibuvAttach(context, &rig->loop) == REDIS_OK, "attach", NULL);
    context->data = rig;
    return context;
}

static void rig_init(struct rig *rig)
{
    memset(rig, 0, sizeof(*rig));
    (void)uv_loop_init(&rig->loop);
    (void)uv_timer_init(&rig->loop, &rig->deadline);
    (void)uv_timer_start(&rig->deadline, on_deadline, DEADLINE_MS, 0);
    uv_unref((uv_handle_t *)&rig->deadline);
    rig->writer = connect_on(rig, "WRITE_PORT");
    rig->reader = connect_on(rig, "READ_PORT");
}

static void rig_end(struct rig *rig)
{
    redisAsyncDisconnect(rig->writer);
    redisAsyncDisconnect(rig->reader);
    (void)uv_run(&rig->loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&rig->deadline, NULL);
    (void)uv_run(&rig->loop, UV_RUN_DEFAULT);
    check(uv_loop_close(&rig->loop) == 0, "everything on the loop is closed", NULL);
}

static void on_value(redisAsyncContext *context, void *got, void *data)
{
    struct rig *rig = context->data;
    char text[16];
    (void)snprintf(text, sizeof(text), "%d", (int)(long)data);
    check(is_text(got, text), "GET on a loop", got);
    rig->answers++;
}

static void answers_on_a_loop(void)
{
    struct rig rig;
    rig_init(&rig);
    for (int i = 0; i < PIPELINE; i++) {
        (void)redisAsyncCommand(rig.writer, NULL, NULL, "SET loop:%d %d", i % 7, i);
        (void)redisAsyncCommand(rig.writer, on_value, (void *)(long)i, "GET loop:%d", i % 7);
    }
    while (rig.answers < PIPELINE) {
        (void)uv_run(&rig.loop, UV_RUN_ONCE);
    }
    rig_end(&rig);
}

static void on_message(redisAsyncContext *context, void *got, void *data)
{
    (void)data;
    struct rig *rig = context->data;
    const redisReply *reply = got;
    if (reply == NULL) {
        return;
    }
    check(reply->type == REDIS_REPLY_ARRAY && reply->elements == 3, "a message", reply);
    if (strcmp(reply->element[0]->str, "subscribe") == 0) {
        (void)redisAsyncCommand(rig->writer, NULL, NULL, "PUBLISH news hello");
        (void)redisAsyncCommand(rig->writer, NULL, NULL, "PUBLISH news again");
    } else if (strcmp(reply->element[0]->str, "message") == 0) {
        check(is_text(reply->element[2], rig->messages == 0 ? "hello" : "again"), "its text",
              reply);
        rig->messages++;
    }
}

static void messages_on_a_loop(void)
{
    struct rig rig;
    rig_init(&rig);
    (void)redisAsyncCommand(rig.reader, on_message, NULL, "SUBSCRIBE news");
    while (rig.messages < 2) {
        (void)uv_run(&rig.loop, UV_RUN_ONCE);
    }
    (void)redisAsyncCommand(rig.reader, NULL, NULL, "UNSUBSCRIBE news");
    rig_end(&rig);
}

static void on_popped(redisAsyncContext *context, void *got, void *data)
{
    (void)data;
    const redisReply *reply = got;
    check(reply != NULL && reply->elements == 2 && is_text(reply->element[1], "job"), "BLPOP",
          reply);
    ((struct rig *)context->data)->popped++;
}

static void a_queue_on_a_loop(void)
{
    struct rig rig;
    rig_init(&rig);
    (void)redisAsyncCommand(rig.reader, on_popped, NULL, "BLPOP jobs 8");
    (void)redisAsyncCommand(rig.writer, NULL, NULL, "RPUSH jobs job");
    while (rig.popped < 1) {
        (void)uv_run(&rig.loop, UV_RUN_ONCE);
    }
    rig_end(&rig);
}

static void done(const char *name)
{
    (void)printf("ok %s\n", name);
    (void)fflush(stdout);
}

int main(void)
{
    redisContext *writer = connect_to("WRITE_PORT");
    redisContext *reader = connect_to("READ_PORT");
    a_lock(writer, reader);
    done("a lock");
    a_pipeline(writer);
    done("a pipeline");
    answers_on_a_loop();
    done("answers on a loop");
    a_transaction(writer, reader);
    done("a transaction");
    messages_on_a_loop();
    done("messages on a loop");
    a_queue_on_a_loop();
    done("a queue on a loop");
    redisFree(writer);
    redisFree(reader);
    return 0;
}
