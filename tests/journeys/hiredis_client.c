/* SPDX-License-Identifier: BSD-3-Clause */
/* hiredis_client.c -- what a C program does with Redis through hiredis, done with a node: `hiredis_client PORT`.
 *
 * Exit 0 if every answer is the one Redis gives; else the first that is not stands on stderr. */
#include <hiredis/hiredis.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PIPELINE = 1000,
    BINARY_SIZE = 100000
};

static redisContext *context;

static void fail(const char *what, const redisReply *reply)
{
    (void)fprintf(stderr, "%s: type %d, \"%.200s\" %s\n", what, reply == NULL ? -1 : reply->type,
                  reply == NULL || reply->str == NULL ? "" : reply->str, context->errstr);
    exit(1);
}

static void expect(const char *what, int right, redisReply *reply)
{
    if (reply == NULL || !right) {
        fail(what, reply);
    }
    freeReplyObject(reply);
}

static redisReply *ask(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = redisvCommand(context, format, arguments);
    va_end(arguments);
    return reply;
}

static int is_text(const redisReply *reply, const char *text)
{
    return reply != NULL && reply->str != NULL && strcmp(reply->str, text) == 0;
}

static void strings_and_numbers(void)
{
    redisReply *reply = ask("SET hiredis:k %s", "value");
    expect("SET", is_text(reply, "OK"), reply);
    for (int i = 0; i < 3; i++) { /* the second and third may come from memory */
        reply = ask("GET hiredis:k");
        expect("GET", is_text(reply, "value"), reply);
    }
    reply = ask("DEL hiredis:k hiredis:n");
    expect("DEL", reply != NULL && reply->type == REDIS_REPLY_INTEGER, reply);
    reply = ask("GET hiredis:k");
    expect("GET of nothing", reply != NULL && reply->type == REDIS_REPLY_NIL, reply);
    reply = ask("INCRBY hiredis:n 9223372036854775806");
    expect("INCRBY", reply != NULL && reply->integer == 9223372036854775806, reply);
    reply = ask("INCRBY hiredis:n 2");
    expect("INCRBY beyond", is_text(reply, "ERR increment or decrement would overflow"), reply);
    reply = ask("MGET hiredis:n hiredis:k");
    expect("MGET",
           reply != NULL && reply->elements == 2 && reply->element[1]->type == REDIS_REPLY_NIL,
           reply);
    reply = ask("NOSUCH a");
    expect("an unknown command", reply != NULL && reply->type == REDIS_REPLY_ERROR, reply);
}

static void binary_values(void)
{
    static char value[BINARY_SIZE];
    for (size_t i = 0; i < sizeof(value); i++) {
        value[i] = (char)(i * 31);
    }
    redisReply *reply = ask("SET hiredis:b %b", value, sizeof(value));
    expect("SET of bytes", is_text(reply, "OK"), reply);
    for (int i = 0; i < 2; i++) {
        reply = ask("GET hiredis:b");
        expect("GET of bytes",
               reply != NULL && reply->len == sizeof(value) &&
                   memcmp(reply->str, value, sizeof(value)) == 0,
               reply);
    }
}

static void pipelines(void)
{
    for (int i = 0; i < PIPELINE; i++) {
        (void)redisAppendCommand(context, "SET hiredis:p %d", i);
        (void)redisAppendCommand(context, "GET hiredis:p");
    }
    for (int i = 0; i < PIPELINE; i++) {
        char wanted[16];
        (void)snprintf(wanted, sizeof(wanted), "%d", i);
        void *reply = NULL;
        (void)redisGetReply(context, &reply);
        expect("SET in a pipeline", is_text(reply, "OK"), reply);
        reply = NULL;
        (void)redisGetReply(context, &reply);
        expect("GET in a pipeline", is_text(reply, wanted), reply);
    }
}

int main(int argc, char **argv)
{
    context = redisConnect("127.0.0.1", argc > 1 ? atoi(argv[1]) : 7379);
    if (context == NULL || context->err != 0) {
        (void)fprintf(stderr, "cannot connect: %s\n",
                      context == NULL ? "no memory" : context->errstr);
        return 1;
    }
    strings_and_numbers();
    binary_values();
    pipelines();
    redisFree(context);
    return 0;
}
