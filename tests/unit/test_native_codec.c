/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/envelope.h"
#include "protocol/limits.h"
#include "protocol/native_codec.h"
#include "tests/unit/seed_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- memory that is refused ------------------------------------------------------------------------------------------ */

/* The linker puts these in the place of malloc and its kin, as the code under test calls them (Makefile). */
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);

static unsigned refused_at; /* the how manieth from now on; 0: none */

static bool is_refused(void)
{
    return refused_at > 0 && --refused_at == 0;
}

void *__wrap_malloc(size_t size)
{
    return is_refused() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return is_refused() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return is_refused() ? NULL : __real_realloc(memory, size);
}

/* Metadata at an address of exactly its size, so that a step beyond it is seen; freed with free. */
static struct slice exact(struct slice meta)
{
    char *own = malloc(meta.size > 0 ? meta.size : 1);
    assert_non_null(own);
    if (meta.size > 0) {
        memcpy(own, meta.data, meta.size);
    }
    return (struct slice){own, meta.size};
}

static enum status request_of(struct slice meta, struct native_request *ret)
{
    const struct slice own = exact(meta);
    const enum status status = native_request_unpack(own, ret);
    free((void *)(uintptr_t)own.data); /* nothing borrows from it */
    return status;
}

static enum status reply_of(struct slice meta, struct native_reply *ret)
{
    const struct slice own = exact(meta);
    const enum status status = native_reply_unpack(own, ret);
    free((void *)(uintptr_t)own.data);
    return status;
}

static void defaults_take_no_bytes_and_unpacking_no_memory(void **state)
{
    (void)state;
    struct buf out = {0};
    assert_int_equal(native_hello_pack(&(struct native_hello){0}, &out), OK);
    assert_int_equal(native_welcome_pack(&(struct native_welcome){0}, &out), OK);
    assert_int_equal(native_request_pack(&(struct native_request){0}, &out), OK);
    assert_int_equal(native_reply_pack(&(struct native_reply){0}, &out), OK);
    assert_int_equal(native_event_pack(&(struct native_event){0}, &out), OK);
    assert_int_equal(out.size, 0);
    buf_done(&out);
    struct native_request request;
    memset(&request, 0xff, sizeof request);
    assert_int_equal(native_request_unpack((struct slice){0}, &request), OK);
    assert_true(request.contract == 0 && request.tag_count == 0 && request.key_count == 0);
    assert_null(request.memory);
    native_request_done(&request);
    struct native_reply reply;
    memset(&reply, 0xff, sizeof reply);
    assert_int_equal(native_reply_unpack((struct slice){0}, &reply), OK);
    assert_true(reply.age_ms == 0 && reply.node_count == 0 && !reply.has_horizon);
    assert_null(reply.memory);
    native_reply_done(&reply);
}

static void numbers_alone_need_no_memory(void **state)
{
    (void)state;
    const struct native_reply from = {
        .state = 1, .age_ms = -1, .ttl_ms = INT64_MIN, .near_ms = UINT64_MAX, .index = UINT32_MAX};
    struct buf out = {0};
    assert_int_equal(native_reply_pack(&from, &out), OK);
    struct native_reply back;
    assert_int_equal(reply_of(buf_slice(&out), &back), OK);
    assert_true(back.state == 1 && back.age_ms == -1 && back.ttl_ms == INT64_MIN);
    assert_true(back.near_ms == UINT64_MAX && back.index == UINT32_MAX);
    assert_null(back.memory);
    native_reply_done(&back);
    buf_done(&out);
}

static void the_bytes_are_those_of_protobuf(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {1, 300};
    static const struct slice tags[] = {{"a", 1}, {"", 0}};
    const struct native_request from = {
        .traceparent = SLICE_LITERAL("00-x"),
        .contract = 1,
        .max_stale_ms = 150,
        .has_sie = true,
        .tags = tags,
        .tag_count = 2,
        .key_sizes = sizes,
        .key_count = 2,
        .ns = SLICE_LITERAL("n"),
        .near_hits = 1,
    };
    static const unsigned char expected[] = {
        0x0a, 4,    '0',  '0',  '-',  'x',  /* 1: traceparent */
        0x10, 1,                            /* 2: contract */
        0x18, 0x96, 0x01,                   /* 3: max_stale_ms */
        0x50, 1,                            /* 10: has_sie */
        0x5a, 1,    'a',  0x5a, 0,          /* 11: tags */
        0x82, 0x01, 3,    1,    0xac, 0x02, /* 16: key_sizes, packed */
        0xb2, 0x01, 1,    'n',              /* 22: ns */
        0xc0, 0x01, 1,                      /* 24: near_hits */
    };
    struct buf out = {0};
    assert_int_equal(native_request_pack(&from, &out), OK);
    assert_int_equal(out.size, sizeof expected);
    assert_memory_equal(out.data, expected, sizeof expected);
    buf_done(&out);
}

static void packing_appends(void **state)
{
    (void)state;
    struct buf out = {0};
    assert_int_equal(buf_append(&out, "header", 6), OK);
    const struct native_event event = {.stream_seq = 7, .all = true};
    assert_int_equal(native_event_pack(&event, &out), OK);
    assert_int_equal(out.size, 10);
    assert_memory_equal(out.data, "header\x08\x07\x18\x01", 10);
    buf_done(&out);
}

static void what_protobuf_does_not_know_is_skipped(void **state)
{
    (void)state;
    /* Field 100 of each wire type, between fields that are known. */
    static const char meta[] = "\x10\x02"
                               "\xa0\x06\x05"
                               "\xa1\x06"
                               "12345678"
                               "\xa2\x06\x03"
                               "abc"
                               "\xa5\x06"
                               "1234"
                               "\x28\x09";
    struct native_request request;
    assert_int_equal(request_of((struct slice){meta, sizeof meta - 1}, &request), OK);
    assert_int_equal(request.contract, 2);
    assert_int_equal(request.soft_ms, 9);
    native_request_done(&request);
}

static void of_a_field_that_comes_twice_the_last_counts(void **state)
{
    (void)state;
    struct native_request request;
    const struct slice meta = SLICE_LITERAL("\x10\x01\x72\x02no\x10\x02\x72\x03yes");
    assert_int_equal(request_of(meta, &request), OK);
    assert_int_equal(request.contract, 2);
    assert_true(slice_is(request.token, "yes"));
    native_request_done(&request);
}

static void sizes_may_come_packed_or_one_by_one(void **state)
{
    (void)state;
    struct native_request request;
    const struct slice meta = SLICE_LITERAL("\x80\x01\x05\x82\x01\x02\x06\x07\x80\x01\x08");
    assert_int_equal(request_of(meta, &request), OK);
    assert_int_equal(request.key_count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(request.key_sizes[i], 5 + i);
    }
    native_request_done(&request);
}

static void bytes_keep_their_zeros(void **state)
{
    (void)state;
    const struct native_hello from = {.user = SLICE_LITERAL("a\0b"),
                                      .password = SLICE_LITERAL("\0\xff"),
                                      .has_auth = true,
                                      .client_name = SLICE_LITERAL("c\0d")};
    struct buf out = {0};
    assert_int_equal(native_hello_pack(&from, &out), OK);
    struct native_hello back;
    assert_int_equal(native_hello_unpack(buf_slice(&out), &back), OK);
    assert_true(slice_equal(back.user, from.user) && slice_equal(back.password, from.password));
    assert_true(slice_equal(back.client_name, from.client_name) && back.has_auth);
    native_hello_done(&back);
    native_hello_done(&back);
    buf_done(&out);
}

static void a_string_that_is_no_utf8_is_malformed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum status status;
    } cases[] = {
        {"plain", OK},
        {"\xc2\x80 \xdf\xbf", OK},
        {"\xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf", OK},
        {"\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf", OK},
        {"\x80", MALFORMED},
        {"\xc0\x80", MALFORMED}, /* a zero in two bytes */
        {"\xc1\xbf", MALFORMED},
        {"\xe0\x9f\xbf", MALFORMED}, /* longer than needed */
        {"\xed\xa0\x80", MALFORMED}, /* a surrogate */
        {"\xf0\x8f\xbf\xbf", MALFORMED},
        {"\xf4\x90\x80\x80", MALFORMED}, /* above U+10FFFF */
        {"\xf5\x80\x80\x80", MALFORMED},
        {"a\xff", MALFORMED},
        {"\xc3", MALFORMED}, /* cut */
        {"\xe2\x82", MALFORMED},
        {"\xf0\x9f\x98", MALFORMED},
        {"\xe2\x28\xa1", MALFORMED},
        {"\xe2\x82\x28", MALFORMED},
        {"\xf0\x9f\x98\x28", MALFORMED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct slice text = slice_of(cases[i].text);
        struct buf out = {0};
        const struct native_node node = {.address = text};
        const struct native_reply reply = {.nodes = &node, .node_count = 1};
        assert_int_equal(native_reply_pack(&reply, &out), OK);
        struct native_reply back;
        assert_int_equal(reply_of(buf_slice(&out), &back), cases[i].status);
        native_reply_done(&back);
        out.size = 0;
        assert_int_equal(native_request_pack(&(struct native_request){.ns = text}, &out), OK);
        struct native_request request;
        assert_int_equal(request_of(buf_slice(&out), &request), cases[i].status);
        native_request_done(&request);
        out.size = 0;
        assert_int_equal(native_welcome_pack(&(struct native_welcome){.node = text}, &out), OK);
        struct native_welcome welcome;
        assert_int_equal(native_welcome_unpack(buf_slice(&out), &welcome), cases[i].status);
        native_welcome_done(&welcome);
        out.size = 0;
        assert_int_equal(native_hello_pack(&(struct native_hello){.lib_name = text}, &out), OK);
        struct native_hello hello;
        assert_int_equal(native_hello_unpack(buf_slice(&out), &hello), cases[i].status);
        native_hello_done(&hello);
        buf_done(&out);
    }
}

static struct native_reply everything(struct native_node nodes[2])
{
    nodes[0] = (struct native_node){.node = SLICE_LITERAL("0011223344556677"),
                                    .address = SLICE_LITERAL("10.0.0.1:7379"),
                                    .state = SLICE_LITERAL("SYNCED"),
                                    .is_self = true,
                                    .is_live = true,
                                    .hit_ratio = 0.75,
                                    .connections = 12,
                                    .weight = 1,
                                    .has_weight = true};
    nodes[1] = (struct native_node){.state = SLICE_LITERAL("SUSPECT"), .heard_ms = 1500};
    return (struct native_reply){.state = 2,
                                 .age_ms = 1000,
                                 .ttl_ms = -2,
                                 .token = SLICE_LITERAL("0123456789abcdef"),
                                 .near_ms = 1000,
                                 .seq = 1,
                                 .count = 2,
                                 .index = 3,
                                 .horizon_age_ms = 4,
                                 .stream_seq = 5,
                                 .has_horizon = true,
                                 .nodes = nodes,
                                 .node_count = 2};
}

static void a_reply_with_everything_comes_back(void **state)
{
    (void)state;
    struct native_node nodes[2];
    const struct native_reply from = everything(nodes);
    struct buf out = {0};
    assert_int_equal(native_reply_pack(&from, &out), OK);
    struct native_reply back;
    assert_int_equal(reply_of(buf_slice(&out), &back), OK);
    assert_true(back.state == 2 && back.age_ms == 1000 && back.ttl_ms == -2);
    assert_true(slice_equal(back.token, from.token) && back.near_ms == 1000 && back.seq == 1);
    assert_true(back.count == 2 && back.index == 3 && back.horizon_age_ms == 4);
    assert_true(back.stream_seq == 5 && back.has_horizon);
    assert_int_equal(back.node_count, 2);
    assert_true(slice_is(back.nodes[0].node, "0011223344556677"));
    assert_true(slice_is(back.nodes[0].address, "10.0.0.1:7379"));
    assert_true(slice_is(back.nodes[0].state, "SYNCED"));
    assert_true(back.nodes[0].is_self && back.nodes[0].is_live && back.nodes[0].connections == 12);
    assert_true(back.nodes[0].hit_ratio == 0.75 && back.nodes[0].weight == 1);
    assert_true(back.nodes[0].has_weight && !back.nodes[1].has_weight);
    assert_true(slice_is(back.nodes[1].state, "SUSPECT") && back.nodes[1].heard_ms == 1500);
    assert_true(!back.nodes[1].is_live && back.nodes[1].address.size == 0);
    native_reply_done(&back);
    buf_done(&out);
}

/* Where a field ends the metadata may end; anywhere else it is malformed, and nothing is left behind. */
static void metadata_cut_inside_a_field_is_malformed(void **state)
{
    (void)state;
    struct native_node nodes[2];
    const struct native_reply from = everything(nodes);
    struct buf out = {0};
    assert_int_equal(native_reply_pack(&from, &out), OK);
    unsigned whole = 0;
    for (size_t size = 0; size <= out.size; size++) {
        struct native_reply back;
        const enum status status = reply_of((struct slice){out.data, size}, &back);
        assert_true(status == OK || status == MALFORMED);
        if (status == OK) {
            whole++;
        } else {
            assert_true(back.state == 0 && back.memory == NULL && back.node_count == 0);
        }
        native_reply_done(&back);
    }
    assert_int_equal(whole, 14); /* in front of each of 13 fields, and behind the last */
    buf_done(&out);
}

static void more_tags_than_a_value_may_have_are_refused_both_ways(void **state)
{
    (void)state;
    struct slice tags[ENVELOPE_TAGS_MAX + 1];
    struct buf out = {0};
    for (size_t i = 0; i <= ENVELOPE_TAGS_MAX; i++) {
        tags[i] = SLICE_LITERAL("t");
    }
    struct native_request request = {.tags = tags, .tag_count = ENVELOPE_TAGS_MAX};
    assert_int_equal(native_request_pack(&request, &out), OK);
    struct native_request back;
    assert_int_equal(request_of(buf_slice(&out), &back), OK);
    assert_int_equal(back.tag_count, ENVELOPE_TAGS_MAX);
    assert_true(slice_is(back.tags[ENVELOPE_TAGS_MAX - 1], "t"));
    native_request_done(&back);
    assert_int_equal(buf_append(&out, "\x5a\x01t", 3), OK);
    assert_int_equal(request_of(buf_slice(&out), &back), MALFORMED);
    request.tag_count++;
    const size_t before = out.size;
    assert_int_equal(native_request_pack(&request, &out), INVALID);
    assert_int_equal(out.size, before);
    buf_done(&out);
}

static void what_would_take_many_times_its_size_is_refused(void **state)
{
    (void)state;
    /* 66,000 fields of two bytes: protobuf-c would note 32 bytes of each, in blocks that double. */
    const size_t size = 132000;
    char *meta = malloc(size);
    assert_non_null(meta);
    for (size_t i = 0; i < size; i += 2) {
        meta[i] = 0x10;
        meta[i + 1] = 1;
    }
    struct native_request request;
    assert_int_equal(native_request_unpack((struct slice){meta, size}, &request), MALFORMED);
    assert_int_equal(native_request_unpack((struct slice){meta, 100}, &request), OK);
    assert_int_equal(request.contract, 1);
    native_request_done(&request);
    free(meta);
}

static void as_many_sizes_as_the_limit_admits_come_back(void **state)
{
    (void)state;
    const size_t count = 130000; /* of two bytes each */
    uint32_t *sizes = malloc(count * sizeof *sizes);
    assert_non_null(sizes);
    for (size_t i = 0; i < count; i++) {
        sizes[i] = 128 + (uint32_t)(i % 1000);
    }
    struct native_event event = {.stream_seq = 1, .key_sizes = sizes, .key_count = count};
    struct buf out = {0};
    assert_int_equal(native_event_pack(&event, &out), OK);
    assert_true(out.size <= LIMIT_NATIVE_META);
    struct native_event back;
    assert_int_equal(native_event_unpack(buf_slice(&out), &back), OK);
    assert_int_equal(back.key_count, count);
    assert_memory_equal(back.key_sizes, sizes, count * sizeof *sizes);
    native_event_done(&back);
    sizes[0] = UINT32_MAX;
    event.stream_seq = UINT64_MAX;
    for (size_t i = 0; i < count; i++) {
        sizes[i] = UINT32_MAX;
    }
    const size_t before = out.size;
    assert_int_equal(native_event_pack(&event, &out), TOO_BIG);
    assert_int_equal(out.size, before);
    buf_done(&out);
    free(sizes);
}

static void keys_are_cut_by_their_sizes(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {3, 0, 2};
    const struct slice keys = SLICE_LITERAL("oneab");
    assert_true(native_keys_fit(keys, sizes, 3));
    struct slice rest = keys;
    size_t at = 0;
    struct slice key;
    assert_true(native_next_key(&rest, sizes, 3, &at, &key) && slice_is(key, "one"));
    assert_true(native_next_key(&rest, sizes, 3, &at, &key) && slice_is(key, ""));
    assert_true(native_next_key(&rest, sizes, 3, &at, &key) && slice_is(key, "ab"));
    assert_false(native_next_key(&rest, sizes, 3, &at, &key));
    assert_int_equal(rest.size, 0);
}

static void without_sizes_the_key_part_is_one_key(void **state)
{
    (void)state;
    static const struct slice cases[] = {{"whole", 5}, {"", 0}, {NULL, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct slice rest = cases[i];
        size_t at = 0;
        struct slice key = SLICE_LITERAL("untouched");
        assert_true(native_keys_fit(rest, NULL, 0));
        assert_true(native_next_key(&rest, NULL, 0, &at, &key) && slice_equal(key, cases[i]));
        assert_false(native_next_key(&rest, NULL, 0, &at, &key));
    }
}

static void sizes_that_do_not_add_up_fit_nothing(void **state)
{
    (void)state;
    static const uint32_t less[] = {3, 1};
    static const uint32_t more[] = {3, 3};
    static const uint32_t around[] = {UINT32_MAX, 6}; /* 5 in 32 bits */
    const struct slice keys = SLICE_LITERAL("oneab");
    assert_false(native_keys_fit(keys, less, 2));
    assert_false(native_keys_fit(keys, more, 2));
    assert_false(native_keys_fit(keys, around, 2));
    struct slice rest = keys;
    size_t at = 0;
    struct slice key;
    assert_false(native_next_key(&rest, around, 2, &at, &key));
    assert_true(native_next_key(&rest, more, 2, &at, &key));
    assert_false(native_next_key(&rest, more, 2, &at, &key));
    assert_int_equal(rest.size, 2);
}

/* Each allocation in turn fails: what was asked for is not there, and all else is as before (and freed, says the sanitizer). */
static void refused_memory_is_said_and_changes_nothing(void **state)
{
    (void)state;
    struct native_node nodes[64];
    struct native_reply from = everything(nodes);
    for (size_t i = 2; i < 64; i++) { /* more than the stack has room for */
        nodes[i] = nodes[0];
    }
    from.node_count = 64;
    struct buf out = {0};
    unsigned refused = 0;
    enum status status = NO_MEMORY;
    for (unsigned n = 1; status != OK; n++) {
        refused_at = n;
        status = native_reply_pack(&from, &out);
        assert_true(status == OK || (status == NO_MEMORY && out.size == 0));
        refused += status == OK ? 0 : 1;
    }
    assert_int_equal(refused, 3); /* nodes, pointers to them, the buf */
    struct native_reply back;
    refused = 0;
    status = NO_MEMORY;
    for (unsigned n = 1; status != OK; n++) {
        refused_at = n;
        status = native_reply_unpack(buf_slice(&out), &back);
        assert_true(status == OK || (status == NO_MEMORY && back.memory == NULL));
        refused += status == OK ? 0 : 1;
    }
    refused_at = 0;
    assert_true(refused > 100); /* each node and its texts, and what is kept */
    assert_int_equal(back.node_count, 64);
    assert_true(slice_is(back.nodes[63].state, "SYNCED"));
    native_reply_done(&back);
    buf_done(&out);
}

/* xorshift64*, Vigna 2016. */
static uint64_t draw(uint64_t *random)
{
    *random ^= *random >> 12;
    *random ^= *random << 25;
    *random ^= *random >> 27;
    return *random * UINT64_C(2685821657736338717);
}

/* Numbers of any length, and often none. */
static uint64_t draw_number(uint64_t *random)
{
    const unsigned bits = (unsigned)(draw(random) >> 32) % 65;
    return bits == 0 ? 0 : draw(random) >> (64 - bits);
}

static struct slice draw_text(uint64_t *random)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-\0.:";
    const size_t size = (size_t)(draw(random) >> 40) % 40;
    return (struct slice){letters, draw(random) % 3 == 0 ? 0 : size};
}

static bool draw_bool(uint64_t *random)
{
    return draw(random) >> 63 != 0;
}

static struct native_request draw_request(uint64_t *random, struct slice tags[8],
                                          uint32_t sizes[50])
{
    const size_t tag_count = (size_t)(draw(random) >> 32) % 9;
    const size_t key_count = (size_t)(draw(random) >> 32) % 51;
    for (size_t i = 0; i < tag_count; i++) {
        tags[i] = draw_text(random);
    }
    for (size_t i = 0; i < key_count; i++) {
        sizes[i] = (uint32_t)draw_number(random);
    }
    return (struct native_request){
        .traceparent = draw_text(random),
        .contract = (uint32_t)draw_number(random),
        .max_stale_ms = draw_number(random),
        .atleast_seq = draw_number(random),
        .soft_ms = (uint32_t)draw_number(random),
        .px_ms = draw_number(random),
        .swr_ms = draw_number(random),
        .sie_ms = draw_number(random),
        .has_swr = draw_bool(random),
        .has_sie = draw_bool(random),
        .tags = tags,
        .tag_count = tag_count,
        .condition = (uint32_t)draw_number(random),
        .want_seq = draw_bool(random),
        .token = draw_text(random),
        .negative_ms = draw_number(random),
        .key_sizes = sizes,
        .key_count = key_count,
        .target = (uint32_t)draw_number(random),
        .match_all = draw_bool(random),
        .soft = draw_bool(random),
        .dry_run = draw_bool(random),
        .sync_ms = draw_number(random),
        .ns = draw_text(random),
        .watch = (uint32_t)draw_number(random),
        .near_hits = draw_number(random),
    };
}

static void assert_requests_equal(const struct native_request *a, const struct native_request *b)
{
    assert_true(slice_equal(a->traceparent, b->traceparent) && slice_equal(a->token, b->token));
    assert_true(slice_equal(a->ns, b->ns));
    assert_true(a->contract == b->contract && a->max_stale_ms == b->max_stale_ms);
    assert_true(a->atleast_seq == b->atleast_seq && a->soft_ms == b->soft_ms);
    assert_true(a->px_ms == b->px_ms && a->swr_ms == b->swr_ms && a->sie_ms == b->sie_ms);
    assert_true(a->has_swr == b->has_swr && a->has_sie == b->has_sie);
    assert_true(a->condition == b->condition && a->want_seq == b->want_seq);
    assert_true(a->negative_ms == b->negative_ms && a->target == b->target);
    assert_true(a->match_all == b->match_all && a->soft == b->soft && a->dry_run == b->dry_run);
    assert_true(a->sync_ms == b->sync_ms && a->watch == b->watch && a->near_hits == b->near_hits);
    assert_true(a->tag_count == b->tag_count && a->key_count == b->key_count);
    for (size_t i = 0; i < a->tag_count; i++) {
        assert_true(slice_equal(a->tags[i], b->tags[i]));
    }
    for (size_t i = 0; i < a->key_count; i++) {
        assert_int_equal(a->key_sizes[i], b->key_sizes[i]);
    }
}

static void random_requests_come_back(void **state)
{
    (void)state;
    uint64_t random = help_seed() * 2 + 1;
    for (unsigned round = 0; round < HELP_ROUNDS(20000); round++) {
        struct slice tags[8];
        uint32_t sizes[50];
        const struct native_request from = draw_request(&random, tags, sizes);
        struct buf out = {0};
        assert_int_equal(native_request_pack(&from, &out), OK);
        struct native_request back;
        assert_int_equal(request_of(buf_slice(&out), &back), OK);
        assert_requests_equal(&from, &back);
        struct buf again = {0};
        assert_int_equal(native_request_pack(&back, &again), OK);
        assert_true(slice_equal(buf_slice(&out), buf_slice(&again)));
        native_request_done(&back);
        buf_done(&again);
        buf_done(&out);
    }
}

static void random_bytes_are_read_or_malformed_and_packed_again_the_same(void **state)
{
    (void)state;
    uint64_t random = help_seed() * 2 + 1;
    unsigned read = 0;
    for (unsigned round = 0; round < HELP_ROUNDS(100000); round++) {
        char meta[24];
        const size_t size = (size_t)(draw(&random) >> 32) % (sizeof meta + 1);
        for (size_t i = 0; i < size; i++) {
            meta[i] = (char)(draw(&random) >> (draw_bool(&random) ? 56 : 59));
        }
        struct native_reply reply;
        const enum status status = reply_of((struct slice){meta, size}, &reply);
        assert_true(status == OK || status == MALFORMED);
        read += status == OK && size > 0 ? 1 : 0;
        struct buf once = {0};
        struct buf twice = {0};
        assert_int_equal(native_reply_pack(&reply, &once), OK);
        native_reply_done(&reply);
        assert_int_equal(reply_of(buf_slice(&once), &reply), OK);
        assert_int_equal(native_reply_pack(&reply, &twice), OK);
        assert_true(slice_equal(buf_slice(&once), buf_slice(&twice)));
        native_reply_done(&reply);
        buf_done(&twice);
        buf_done(&once);
    }
    assert_true(read > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_take_no_bytes_and_unpacking_no_memory),
        cmocka_unit_test(numbers_alone_need_no_memory),
        cmocka_unit_test(the_bytes_are_those_of_protobuf),
        cmocka_unit_test(packing_appends),
        cmocka_unit_test(what_protobuf_does_not_know_is_skipped),
        cmocka_unit_test(of_a_field_that_comes_twice_the_last_counts),
        cmocka_unit_test(sizes_may_come_packed_or_one_by_one),
        cmocka_unit_test(bytes_keep_their_zeros),
        cmocka_unit_test(a_string_that_is_no_utf8_is_malformed),
        cmocka_unit_test(a_reply_with_everything_comes_back),
        cmocka_unit_test(metadata_cut_inside_a_field_is_malformed),
        cmocka_unit_test(more_tags_than_a_value_may_have_are_refused_both_ways),
        cmocka_unit_test(what_would_take_many_times_its_size_is_refused),
        cmocka_unit_test(as_many_sizes_as_the_limit_admits_come_back),
        cmocka_unit_test(refused_memory_is_said_and_changes_nothing),
        cmocka_unit_test(keys_are_cut_by_their_sizes),
        cmocka_unit_test(without_sizes_the_key_part_is_one_key),
        cmocka_unit_test(sizes_that_do_not_add_up_fit_nothing),
        cmocka_unit_test(random_requests_come_back),
        cmocka_unit_test(random_bytes_are_read_or_malformed_and_packed_again_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
