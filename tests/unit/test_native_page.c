/* SPDX-License-Identifier: BSD-3-Clause */
/* The frames that docs/protocol.md shows in bytes are what the codec makes: each block of the page ("```hex NAME", bytes
 * in front of a bar) is made anew here, and there are no others. Run from the root of the tree. */
#include "protocol/native_codec.h"
#include "protocol/native_frame.h"
#include "protocol/native_warm.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char token[] = "4f1d0a9c72e3b851";

/* --- frames ---------------------------------------------------------------------------------------------------------- */

/* The metadata is in `meta`, which is done with. */
static struct buf frame(struct native_header header, struct buf *meta, const char *keys,
                        const char *body)
{
    header.version = NATIVE_VERSION;
    header.meta_size = (uint32_t)meta->size;
    header.keys_size = (uint32_t)strlen(keys);
    header.body_size = (uint32_t)strlen(body);
    char head[NATIVE_HEADER_SIZE];
    native_header_write(head, &header);
    struct buf out = {0};
    assert_int_equal(buf_append(&out, head, sizeof head), OK);
    assert_int_equal(buf_append_slice(&out, buf_slice(meta)), OK);
    assert_int_equal(buf_append_slice(&out, slice_of(keys)), OK);
    assert_int_equal(buf_append_slice(&out, slice_of(body)), OK);
    buf_done(meta);
    return out;
}

static struct buf request(enum native_op op, uint32_t id, uint32_t wait_ms, const char *keys,
                          const char *body, struct native_request said)
{
    struct buf meta = {0};
    assert_int_equal(native_request_pack(&said, &meta), OK);
    return frame((struct native_header){.op = (uint8_t)op, .id = id, .word = wait_ms}, &meta, keys,
                 body);
}

static struct buf answer_more(enum native_op op, uint32_t id, enum native_status status,
                              unsigned flags, const char *body, struct native_reply said)
{
    struct buf meta = {0};
    assert_int_equal(native_reply_pack(&said, &meta), OK);
    return frame((struct native_header){.op = (uint8_t)op,
                                        .id = id,
                                        .flags = (uint8_t)(NATIVE_ANSWER | flags),
                                        .word = (uint32_t)status},
                 &meta, "", body);
}

static struct buf answer(enum native_op op, uint32_t id, enum native_status status,
                         const char *body, struct native_reply said)
{
    return answer_more(op, id, status, 0, body, said);
}

static struct buf event(const char *keys, struct native_event said)
{
    struct buf meta = {0};
    assert_int_equal(native_event_pack(&said, &meta), OK);
    return frame((struct native_header){.op = NATIVE_EVENT}, &meta, keys, "");
}

static struct buf goodbye(const char *why)
{
    struct buf meta = {0};
    return frame((struct native_header){.op = NATIVE_GOODBYE}, &meta, "", why);
}

static struct buf hello_request(void)
{
    const struct native_hello hello = {.user = SLICE_LITERAL("alice"),
                                       .password = SLICE_LITERAL("secret"),
                                       .has_auth = true,
                                       .client_name = SLICE_LITERAL("shop1"),
                                       .lib_name = SLICE_LITERAL("mine")};
    struct buf meta = {0};
    assert_int_equal(native_hello_pack(&hello, &meta), OK);
    return frame((struct native_header){.op = NATIVE_HELLO, .id = 1, .word = 1000}, &meta, "", "");
}

static struct buf hello_answer(void)
{
    const struct native_welcome welcome = {.server_version = SLICE_LITERAL("0.6.0"),
                                           .node = SLICE_LITERAL("8c3d64a1d9fb9e01"),
                                           .address = SLICE_LITERAL("10.0.0.1:7379"),
                                           .connection = 42,
                                           .max_version = 1};
    struct buf meta = {0};
    assert_int_equal(native_welcome_pack(&welcome, &meta), OK);
    return frame((struct native_header){.op = NATIVE_HELLO, .id = 1, .flags = NATIVE_ANSWER}, &meta,
                 "", "");
}

static struct buf fill_request(void)
{
    static const struct slice tags[] = {{"doc:9", 5}};
    return request(
        NATIVE_FILL, 7, 0, "answer:7", "42",
        (struct native_request){
            .token = {token, sizeof token - 1}, .px_ms = 60000, .tags = tags, .tag_count = 1});
}

/* What a command answers is the body; it may hold zeros. */
static struct buf answer_body(enum native_op op, uint32_t id, const struct buf *body)
{
    struct buf meta = {0};
    struct buf head = frame(
        (struct native_header){.op = (uint8_t)op, .id = id, .flags = NATIVE_ANSWER}, &meta, "", "");
    native_header_write(head.data, &(struct native_header){.version = NATIVE_VERSION,
                                                           .op = (uint8_t)op,
                                                           .flags = NATIVE_ANSWER,
                                                           .id = id,
                                                           .body_size = (uint32_t)body->size});
    assert_int_equal(buf_append_slice(&head, buf_slice(body)), OK);
    return head;
}

static struct buf warm_status(void)
{
    static const char resp[] =
        "%13\r\n+id\r\n:7\r\n+state\r\n+done\r\n+source\r\n$11\r\npattern w:*\r\n+db\r\n:0\r\n"
        "+mode\r\n+missing\r\n+target\r\n+all\r\n+priority\r\n:4\r\n+effective\r\n:4\r\n"
        "+total\r\n:2\r\n+processed\r\n:2\r\n+loaded\r\n:2\r\n+bytes\r\n:9\r\n+eta_ms\r\n:-1\r\n";
    struct buf body = {0};
    assert_int_equal(native_warm_list_of((struct slice)SLICE_LITERAL(resp), &body), OK);
    struct buf whole = answer_body(NATIVE_WARM, 14, &body);
    buf_done(&body);
    return whole;
}

static struct buf hot_answer(void)
{
    static const char resp[] =
        "*1\r\n%6\r\n+key\r\n$6\r\nuser:1\r\n+ns\r\n+default\r\n+count\r\n:120\r\n"
        "+per_s\r\n,2.5\r\n+heat\r\n:200\r\n+frequency\r\n_\r\n";
    struct buf body = {0};
    assert_int_equal(native_hot_list_of((struct slice)SLICE_LITERAL(resp), &body), OK);
    struct buf whole = answer_body(NATIVE_HOT, 15, &body);
    buf_done(&body);
    return whole;
}

/* The frame of this name; empty: none is called so. */
static struct buf made(const char *name)
{
    static const uint32_t users[] = {6, 7};
    static const uint32_t tags[] = {5, 6};
    static const uint32_t words[] = {7, 1, 1, 1};
    const struct native_request plain = {0};
    const struct native_reply none = {0};
#define MADE(as, bytes)              \
    do {                             \
        if (strcmp(name, as) == 0) { \
            return bytes;            \
        }                            \
    } while (0)
    MADE("hello-request", hello_request());
    MADE("hello-answer", hello_answer());
    MADE("get-request", request(NATIVE_GET, 2, 250, "user:1", "", plain));
    MADE("get-hit", answer(NATIVE_GET, 2, NATIVE_OK, "Ada",
                           (struct native_reply){
                               .state = 1, .age_ms = 120, .ttl_ms = 59000, .near_ms = 1000}));
    MADE("get-miss", answer(NATIVE_GET, 2, NATIVE_NIL, "", (struct native_reply){.ttl_ms = -2}));
    MADE("get-fresh-request", request(NATIVE_GET, 3, 250, "user:1", "",
                                      (struct native_request){.contract = 1, .max_stale_ms = 500}));
    MADE("set-request",
         request(NATIVE_SET, 4, 250, "user:1", "Ada L.", (struct native_request){.px_ms = 60000}));
    MADE("set-answer", answer(NATIVE_SET, 4, NATIVE_OK, "", none));
    MADE("mget-request", request(NATIVE_MGET, 5, 0, "user:1user:22", "",
                                 (struct native_request){.key_sizes = users, .key_count = 2}));
    MADE("mget-answer-1", answer_more(NATIVE_MGET, 5, NATIVE_NIL, NATIVE_MORE, "",
                                      (struct native_reply){.ttl_ms = -2, .index = 1}));
    MADE("mget-answer-0",
         answer(NATIVE_MGET, 5, NATIVE_OK, "Ada L.",
                (struct native_reply){.state = 1, .age_ms = 3, .ttl_ms = -1, .near_ms = 1000}));
    MADE("fetch-request", request(NATIVE_FETCH, 6, 5000, "answer:7", "", plain));
    MADE("fetch-load",
         answer(NATIVE_FETCH, 6, NATIVE_LOAD, "",
                (struct native_reply){.ttl_ms = -2, .token = {token, sizeof token - 1}}));
    MADE("fill-request", fill_request());
    MADE("fill-answer", answer(NATIVE_FILL, 7, NATIVE_OK, "", (struct native_reply){.seq = 4711}));
    MADE("invalidate-request",
         request(NATIVE_INVALIDATE, 8, 5000, "doc:9doc:10", "",
                 (struct native_request){
                     .key_sizes = tags, .key_count = 2, .target = 2, .sync_ms = 2000}));
    MADE("invalidate-answer", answer(NATIVE_INVALIDATE, 8, NATIVE_OK, "",
                                     (struct native_reply){.seq = 4712, .count = 1}));
    MADE("watch-request", request(NATIVE_WATCH, 9, 0, "", "", plain));
    MADE("watch-answer", answer(NATIVE_WATCH, 9, NATIVE_OK, "", none));
    MADE("event", event("user:1user:22", (struct native_event){
                                             .stream_seq = 1, .key_sizes = users, .key_count = 2}));
    MADE("event-all", event("", (struct native_event){.stream_seq = 2, .all = true}));
    MADE("beat-request",
         request(NATIVE_BEAT, 10, 0, "", "", (struct native_request){.near_hits = 300}));
    MADE("beat-answer",
         answer(NATIVE_BEAT, 10, NATIVE_OK, "",
                (struct native_reply){.horizon_age_ms = 37, .stream_seq = 2, .has_horizon = true}));
    MADE("call-request", request(NATIVE_CALL, 11, 0, "HINCRBYhn2", "",
                                 (struct native_request){.key_sizes = words, .key_count = 4}));
    MADE("call-answer", answer(NATIVE_CALL, 11, NATIVE_OK, ":2\r\n", none));
    MADE("warm-request", request(NATIVE_WARM, 13, 5000, "", "{\"source\":{\"pattern\":\"w:*\"}}",
                                 (struct native_request){.warm = NATIVE_WARM_SUBMIT}));
    MADE("warm-answer",
         answer(NATIVE_WARM, 13, NATIVE_OK, "", (struct native_reply){.warm_id = 7}));
    MADE("warm-status-request",
         request(NATIVE_WARM, 14, 0, "", "",
                 (struct native_request){.warm = NATIVE_WARM_STATUS, .warm_id = 7}));
    MADE("warm-status", warm_status());
    MADE("hot-request", request(NATIVE_HOT, 15, 0, "", "", (struct native_request){.hot = 1}));
    MADE("hot-answer", hot_answer());
    MADE("error", answer(NATIVE_SET, 12, NATIVE_NOPERM,
                         "NOPERM this user has no permissions to run the 'set' command", none));
    MADE("goodbye", goodbye("this node ends"));
#undef MADE
    return (struct buf){0};
}

enum {
    FRAMES_SHOWN = 33
};

/* --- the page -------------------------------------------------------------------------------------------------------- */

/* Appends the bytes of a line, which are in front of its bar. */
static void append_hex(struct buf *to, const char *line)
{
    for (const char *at = line; *at != '\0' && *at != '|'; at++) {
        if (isxdigit((unsigned char)*at)) {
            const char digits[] = {at[0], at[1], '\0'};
            assert_true(isxdigit((unsigned char)at[1]));
            const char byte = (char)strtoul(digits, NULL, 16);
            assert_int_equal(buf_append(to, &byte, 1), OK);
            at++;
        }
    }
}

static void compare(const char *name, const struct buf *shown)
{
    struct buf expected = made(name);
    print_message("%s\n", name);
    assert_int_equal(shown->size, expected.size);
    assert_true(expected.size >= NATIVE_HEADER_SIZE);
    assert_memory_equal(shown->data, expected.data, expected.size);
    buf_done(&expected);
}

static void the_bytes_of_the_page_are_those_of_the_codec(void **state)
{
    (void)state;
    FILE *page = fopen("docs/protocol.md", "re");
    assert_non_null(page);
    char line[512];
    char name[64] = "";
    struct buf shown = {0};
    unsigned seen = 0;
    while (fgets(line, sizeof line, page) != NULL) {
        if (name[0] == '\0') {
            (void)sscanf(line, "```hex %63s", name);
        } else if (strncmp(line, "```", 3) == 0) {
            compare(name, &shown);
            buf_done(&shown);
            name[0] = '\0';
            seen++;
        } else {
            append_hex(&shown, line);
        }
    }
    assert_int_equal(seen, FRAMES_SHOWN);
    (void)fclose(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_of_the_page_are_those_of_the_codec),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
