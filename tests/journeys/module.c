/* SPDX-License-Identifier: BSD-3-Clause */
/* module.c -- a module of Redis for test_modules.py: commands that name their keys in every way, or do not; that wait, and
 * say so or do not; that answer in every shape.
 *
 *      MODULE LOAD module.so [the key's place in OURS.WRITE: 1, or 2 behind the value]
 *
 * The interface of modules is an ABI: a context begins with the function that finds all others by name. What is used of it
 * is declared here. */
#include <stddef.h>
#include <string.h>

enum {
    OKAY = 0,
    FAILED = 1,
    API_VERSION = 1
};

typedef struct context context;
typedef struct string string;
typedef struct reply reply;
typedef struct command command;
typedef struct waiting waiting;
typedef int handler(context *ctx, string **argv, int argc);

static int (*find)(const char *name, void *ret_function);
static void (*set_attributes)(context *ctx, const char *name, int version, int api_version);
static int (*create_command)(context *ctx, const char *name, handler *run, const char *flags,
                             int first, int last, int step);
static command *(*get_command)(context *ctx, const char *name);
static int (*create_subcommand)(command *parent, const char *name, handler *run, const char *flags,
                                int first, int last, int step);
static reply *(*call)(context *ctx, const char *name, const char *format, ...);
static void (*free_reply)(reply *reply);
static int (*reply_with_reply)(context *ctx, reply *reply);
static int (*reply_simple)(context *ctx, const char *text);
static int (*reply_error)(context *ctx, const char *text);
static int (*reply_text)(context *ctx, const char *text);
static int (*reply_integer)(context *ctx, long long number);
static int (*reply_double)(context *ctx, double number);
static int (*reply_null)(context *ctx);
static int (*reply_bool)(context *ctx, int truth);
static int (*reply_array)(context *ctx, long count);
static int (*reply_map)(context *ctx, long count);
static int (*reply_set)(context *ctx, long count);
static int (*reply_attribute)(context *ctx, long count);
static int (*reply_big_number)(context *ctx, const char *digits, size_t size);
static int (*reply_verbatim)(context *ctx, const char *text, size_t size, const char *type);
static int (*wrong_arity)(context *ctx);
static const char *(*string_text)(const string *text, size_t *ret_size);
static int (*string_number)(const string *text, long long *ret_number);
static int (*asks_for_keys)(context *ctx);
static void (*key_at)(context *ctx, int place);
static waiting *(*block)(context *ctx, handler *on_reply, handler *on_timeout,
                         void (*on_free)(context *ctx, void *data), long long timeout_ms);

static waiting *(*who_waits)(context *ctx);
static int (*unblock)(waiting *who, void *data);
static void (*on_interrupt)(waiting *who, void (*tell)(context *ctx, waiting *who));

static const struct {
    const char *name;
    void *function;
} functions[] = {
    {"SetModuleAttribs", &set_attributes},
    {"CreateCommand", &create_command},
    {"GetCommand", &get_command},
    {"CreateSubcommand", &create_subcommand},
    {"Call", &call},
    {"FreeCallReply", &free_reply},
    {"ReplyWithCallReply", &reply_with_reply},
    {"ReplyWithSimpleString", &reply_simple},
    {"ReplyWithError", &reply_error},
    {"ReplyWithCString", &reply_text},
    {"ReplyWithLongLong", &reply_integer},
    {"ReplyWithDouble", &reply_double},
    {"ReplyWithNull", &reply_null},
    {"ReplyWithBool", &reply_bool},
    {"ReplyWithArray", &reply_array},
    {"ReplyWithMap", &reply_map},
    {"ReplyWithSet", &reply_set},
    {"ReplyWithAttribute", &reply_attribute},
    {"ReplyWithBigNumber", &reply_big_number},
    {"ReplyWithVerbatimStringType", &reply_verbatim},
    {"WrongArity", &wrong_arity},
    {"StringPtrLen", &string_text},
    {"StringToLongLong", &string_number},
    {"IsKeysPositionRequest", &asks_for_keys},
    {"KeyAtPos", &key_at},
    {"BlockClient", &block},
    {"GetBlockedClientHandle", &who_waits},
    {"UnblockClient", &unblock},
    {"SetDisconnectCallback", &on_interrupt},
};

static long long place = 1;

static int run(context *ctx, const char *name, const char *format, string *a, string *b)
{
    reply *answer = call(ctx, name, format, a, b);
    if (answer == NULL) {
        return reply_error(ctx, "ERR refused");
    }
    const int status = reply_with_reply(ctx, answer);
    free_reply(answer);
    return status;
}

/* OURS.WRITE key value, or value key */
static int write_one(context *ctx, string **argv, int argc)
{
    return argc != 3 ? wrong_arity(ctx) : run(ctx, "SET", "!ss", argv[place], argv[3 - place]);
}

/* OURS.BOX PUT key value */
static int box_put(context *ctx, string **argv, int argc)
{
    return argc != 4 ? wrong_arity(ctx) : run(ctx, "SET", "!ss", argv[2], argv[3]);
}

/* OURS.ELSEWHERE key value other: names `key`, writes `other`. */
static int write_other(context *ctx, string **argv, int argc)
{
    return argc != 4 ? wrong_arity(ctx) : run(ctx, "SET", "!ss", argv[3], argv[2]);
}

/* OURS.SHOW key other: names `key`, shows `other`. */
static int show_other(context *ctx, string **argv, int argc)
{
    return argc != 3 ? wrong_arity(ctx) : run(ctx, "GET", "s", argv[2], NULL);
}

/* OURS.EACH value KEY key [KEY key ...] */
static int write_each(context *ctx, string **argv, int argc)
{
    const int asked = asks_for_keys(ctx);
    if (argc < 4 || argc % 2 != 0) {
        return asked ? OKAY : wrong_arity(ctx);
    }
    for (int i = 3; i < argc; i += 2) {
        if (asked) {
            key_at(ctx, i);
        } else {
            free_reply(call(ctx, "SET", "!ss", argv[i], argv[1]));
        }
    }
    return asked ? OKAY : reply_integer(ctx, (argc - 2) / 2);
}

static int waited(context *ctx, string **argv, int argc)
{
    (void)argv;
    (void)argc;
    (void)unblock(who_waits(ctx), NULL); /* else it counts as waiting for ever */
    return reply_simple(ctx, "WAITED");
}

static void interrupted(context *ctx, waiting *who)
{
    (void)ctx;
    (void)unblock(who, NULL);
}

/* OURS.WAIT key ms, OURS.LINGER key ms */
static int wait_for(context *ctx, string **argv, int argc)
{
    long long ms = 0;
    if (argc != 3) {
        return wrong_arity(ctx);
    }
    if (string_number(argv[2], &ms) != OKAY) {
        return reply_error(ctx, "ERR a number of milliseconds was expected");
    }
    on_interrupt(block(ctx, NULL, waited, NULL, ms), interrupted);
    return OKAY;
}

/* OURS.SHAPE word, OURS.BOX SHAPE word */
static int shape(context *ctx, string **argv, int argc)
{
    if (argc < 2) {
        return wrong_arity(ctx);
    }
    size_t size = 0;
    const char *word = string_text(argv[argc - 1], &size);
    if (strncmp(word, "map", size) == 0) {
        (void)reply_map(ctx, 1);
        (void)reply_text(ctx, "key");
        return reply_integer(ctx, 1);
    }
    if (strncmp(word, "set", size) == 0) {
        (void)reply_set(ctx, 2);
        (void)reply_text(ctx, "a");
        return reply_text(ctx, "b");
    }
    if (strncmp(word, "attribute", size) == 0) {
        if (reply_attribute(ctx, 1) == OKAY) { /* not in RESP2 */
            (void)reply_text(ctx, "ttl");
            (void)reply_integer(ctx, 3600);
        }
        return reply_text(ctx, "value");
    }
    if (strncmp(word, "array", size) == 0) {
        (void)reply_array(ctx, 2);
        (void)reply_null(ctx);
        return reply_bool(ctx, 0);
    }
    if (strncmp(word, "big", size) == 0) {
        return reply_big_number(ctx, "12345678901234567999", 20);
    }
    if (strncmp(word, "verbatim", size) == 0) {
        return reply_verbatim(ctx, "# text", 6, "mkd");
    }
    if (strncmp(word, "double", size) == 0) {
        return reply_double(ctx, 3.25);
    }
    if (strncmp(word, "true", size) == 0) {
        return reply_bool(ctx, 1);
    }
    if (strncmp(word, "null", size) == 0) {
        return reply_null(ctx);
    }
    return reply_error(ctx, "SHAPELESS there is no such shape");
}

static int create_box(context *ctx)
{
    if (create_command(ctx, "ours.box", NULL, "", 0, 0, 0) != OKAY) {
        return FAILED;
    }
    command *box = get_command(ctx, "ours.box");
    return box == NULL || create_subcommand(box, "put", box_put, "write", 2, 2, 1) != OKAY ||
                   create_subcommand(box, "shape", shape, "readonly", 0, 0, 0) != OKAY
               ? FAILED
               : OKAY;
}

int RedisModule_OnLoad(context *ctx, string **argv, int argc);

int RedisModule_OnLoad(context *ctx, string **argv, int argc)
{
    memcpy(&find, ctx, sizeof find);
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        char name[64] = "RedisModule_";
        strncat(name, functions[i].name, sizeof name - strlen(name) - 1);
        if (find(name, functions[i].function) != OKAY) {
            return FAILED;
        }
    }
    if (argc > 0 && string_number(argv[0], &place) != OKAY) {
        return FAILED;
    }
    if (place != 1 && place != 2) {
        return FAILED;
    }
    const int at = (int)place;
    set_attributes(ctx, "ours", at, API_VERSION);
    return create_command(ctx, "ours.write", write_one, "write deny-oom", at, at, 1) != OKAY ||
                   create_command(ctx, "ours.elsewhere", write_other, "write", 1, 1, 1) != OKAY ||
                   create_command(ctx, "ours.show", show_other, "readonly fast", 1, 1, 1) != OKAY ||
                   create_command(ctx, "ours.each", write_each, "write getkeys-api", 0, 0, 0) !=
                       OKAY ||
                   create_command(ctx, "ours.wait", wait_for, "write blocking", 1, 1, 1) != OKAY ||
                   create_command(ctx, "ours.linger", wait_for, "write", 1, 1, 1) != OKAY ||
                   create_command(ctx, "ours.shape", shape, "readonly", 0, 0, 0) != OKAY ||
                   create_box(ctx) != OKAY
               ? FAILED
               : OKAY;
}
