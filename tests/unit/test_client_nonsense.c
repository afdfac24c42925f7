/* SPDX-License-Identifier: BSD-3-Clause */
/* A client that asks all there is to ask, of a node that answers by chance: each call is called back once, and the memory
 * is whole (ASan). LIAR_SEED and LIAR_CALLS replay and lengthen it. */
#include "client/backoff.h"
#include "tests/unit/liar.h"

enum {
    CALLS = 3000,
    ROOM = 256, /* under way at most */
    KINDS = 8
};

struct nonsense {
    uint64_t chance;
    unsigned asked, told, refused, under_way;
    struct call_of {
        struct nonsense *nonsense;
        bool is_under_way;
    } calls[ROOM];
    unsigned all_told; /* 1: asked and told are the same */
};

static uint32_t up_to(struct nonsense *nonsense, uint32_t most)
{
    return (uint32_t)chance_below(&nonsense->chance, (uint64_t)most + 1);
}

/* --- the node ---------------------------------------------------------------------------------------------------------------- */

static char random_bytes[70000];

static struct slice some_bytes(struct nonsense *nonsense)
{
    static const uint32_t most[] = {0, 3, 40, 1000, 20000, sizeof random_bytes};
    const size_t size = up_to(nonsense, most[up_to(nonsense, 5)]);
    return (struct slice){random_bytes + up_to(nonsense, (uint32_t)(sizeof random_bytes - size)),
                          size};
}

static void random_reply(struct nonsense *nonsense, struct buf *meta)
{
    static const int64_t times[] = {0, 1, -1, -2, 5000, INT64_MAX, INT64_MIN};
    const struct native_node nodes[] = {
        {.address = SLICE_LITERAL("127.0.0.1:1"), .is_live = true, .weight = __builtin_nan("")},
        {.address = SLICE_LITERAL("unix:/nowhere"), .is_live = true, .weight = 1e300},
        {.address = SLICE_LITERAL("\xff,,@"), .is_live = true, .weight = -1},
    };
    const struct native_reply reply = {
        .state = up_to(nonsense, 4),
        .age_ms = times[up_to(nonsense, 6)],
        .ttl_ms = times[up_to(nonsense, 6)],
        .token = {random_bytes, up_to(nonsense, 1) * 16 + up_to(nonsense, 1)},
        .near_ms = up_to(nonsense, 1) * 100000,
        .seq = up_to(nonsense, 9),
        .count = up_to(nonsense, 9),
        .index = up_to(nonsense, 5),
        .horizon_age_ms = up_to(nonsense, 1) ? UINT64_MAX : up_to(nonsense, 30),
        .stream_seq = up_to(nonsense, 3),
        .has_horizon = up_to(nonsense, 1) != 0,
        .nodes = nodes,
        .node_count = up_to(nonsense, 3),
    };
    assert_int_equal(native_reply_pack(&reply, meta), OK);
}

static void random_event(struct nonsense *nonsense, struct buf *meta)
{
    const uint32_t sizes[] = {1, 2, up_to(nonsense, 100000), UINT32_MAX};
    const struct native_event event = {.stream_seq = up_to(nonsense, 3),
                                       .key_sizes = sizes,
                                       .key_count = up_to(nonsense, 4),
                                       .all = up_to(nonsense, 3) == 0};
    assert_int_equal(native_event_pack(&event, meta), OK);
}

static void random_frame(struct ear *ear, const struct native_frame *frame)
{
    static const uint8_t ops[] = {NATIVE_EVENT, NATIVE_GOODBYE, NATIVE_GET, NATIVE_BEAT, 200};
    struct nonsense *nonsense = scene_of(ear)->own;
    struct native_header header = {.op = frame->header.op,
                                   .flags = NATIVE_ANSWER,
                                   .id = frame->header.id,
                                   .word = up_to(nonsense, 15)};
    struct buf meta = {0};
    struct slice keys = {0}, body = some_bytes(nonsense);
    switch (up_to(nonsense, 15)) {
    case 0: header.flags = (uint8_t)up_to(nonsense, 255); break;
    case 1:
        header.id = up_to(nonsense, 1) ? up_to(nonsense, 300) : 0xfffffff0u + up_to(nonsense, 15);
        break;
    case 2:
        header = (struct native_header){.op = ops[up_to(nonsense, 4)], .word = up_to(nonsense, 15)};
        keys = some_bytes(nonsense);
        break;
    case 3: header.flags |= NATIVE_MORE; break;
    default: break;
    }
    if (header.op == NATIVE_EVENT) {
        random_event(nonsense, &meta);
    } else if (up_to(nonsense, 30) == 0) {
        assert_int_equal(buf_append(&meta, random_bytes, up_to(nonsense, 50)), OK);
    } else {
        random_reply(nonsense, &meta);
    }
    say_frame(ear, header, buf_slice(&meta), keys, body);
    buf_done(&meta);
}

static bool by_chance(struct ear *ear, const struct native_frame *frame)
{
    struct nonsense *nonsense = scene_of(ear)->own;
    const bool is_own = frame->header.op == NATIVE_HELLO || frame->header.op == NATIVE_WATCH;
    if (is_own && up_to(nonsense, 9) != 0) {
        return false; /* as it should be, or nothing else is ever asked */
    }
    switch (up_to(nonsense, 60)) {
    case 0: ear_close(ear); return true;
    case 1: say_bytes(ear, random_bytes, up_to(nonsense, 100)); return true;
    case 2: return true; /* never an answer */
    case 3: {            /* announces, and leaves */
        char bytes[NATIVE_HEADER_SIZE];
        native_header_write(bytes,
                            &(struct native_header){.version = NATIVE_VERSION,
                                                    .op = frame->header.op,
                                                    .flags = NATIVE_ANSWER,
                                                    .id = frame->header.id,
                                                    .body_size = up_to(nonsense, 600000000)});
        say_bytes(ear, bytes, 1 + up_to(nonsense, NATIVE_HEADER_SIZE - 1));
        return true;
    }
    case 4: random_frame(ear, frame); break; /* twice */
    default: break;
    }
    random_frame(ear, frame);
    return true;
}

/* --- the program --------------------------------------------------------------------------------------------------------------- */

static void on_end(void *arg, const struct terrace_result *result)
{
    struct call_of *call = arg;
    struct nonsense *nonsense = call->nonsense;
    assert_true(call->is_under_way); /* once */
    assert_string_not_equal(terrace_status_name(result->status), "?");
    if (result->value != NULL && result->value->data != NULL) {
        uint64_t sum = 0;
        for (size_t i = 0; i < result->value->size; i++) {
            sum += ((const unsigned char *)result->value->data)[i];
        }
        assert_true(sum <= UINT64_C(255) * result->value->size);
    }
    call->is_under_way = false;
    nonsense->told++;
    nonsense->under_way--;
}

static enum terrace_status ask_one(struct scene *scene, struct call_of *call)
{
    struct nonsense *nonsense = call->nonsense;
    static const char *const words[] = {"a", "b"};
    const struct terrace_read_options read = {.timeout_ms = 1 + up_to(nonsense, 100),
                                              .hedge_ms = (int64_t)up_to(nonsense, 2) - 1,
                                              .no_near = (int)up_to(nonsense, 1),
                                              .spare_ms = up_to(nonsense, 1) * 1000};
    const struct terrace_write_options write = {.timeout_ms = 1 + up_to(nonsense, 100),
                                                .retry_unknown = (int)up_to(nonsense, 1),
                                                .want_seq = (int)up_to(nonsense, 1)};
    const struct terrace_token token = {.size = 16, .private_ = up_to(nonsense, 1)};
    const struct terrace_invalidation what = {
        .target = TERRACE_TAG, .words = words, .count = 2, .timeout_ms = 50};
    struct slice key = {random_bytes, up_to(nonsense, 3)};
    if (up_to(nonsense, 50) == 0) {
        key.size = sizeof random_bytes; /* longer than L0 takes */
    }
    const struct slice body = some_bytes(nonsense);
    struct terrace_async *client = scene->client;
    switch (up_to(nonsense, KINDS - 1)) {
    case 0:
        return terrace_async_set(client, key.data, key.size, body.data, body.size, &write, on_end,
                                 call);
    case 1: return terrace_async_delete(client, key.data, key.size, &write, on_end, call);
    case 2: return terrace_async_fetch(client, key.data, key.size, &read, on_end, call);
    case 3:
        return terrace_async_fill(client, key.data, key.size, &token, body.data, body.size, &write,
                                  on_end, call);
    case 4: return terrace_async_fail(client, key.data, key.size, &token, 0, on_end, call);
    case 5: return terrace_async_invalidate(client, &what, on_end, call);
    case 6:
        return terrace_async_command(client, (const void *const *)words, NULL, 2, 50, on_end, call);
    default: return terrace_async_get(client, key.data, key.size, &read, on_end, call);
    }
}

static void ask_some(struct scene *scene, struct nonsense *nonsense, unsigned most)
{
    for (unsigned i = 0; i < ROOM && nonsense->asked < most; i++) {
        struct call_of *call = &nonsense->calls[i];
        if (call->is_under_way || up_to(nonsense, 3) != 0) {
            continue;
        }
        call->nonsense = nonsense;
        call->is_under_way = true;
        nonsense->asked++;
        nonsense->under_way++;
        const unsigned told = nonsense->told;
        const enum terrace_status status = ask_one(scene, call);
        assert_int_equal(nonsense->told, told); /* never from inside the call */
        if (status != TERRACE_OK) {
            call->is_under_way = false;
            nonsense->told++;
            nonsense->refused++;
            nonsense->under_way--;
        }
    }
}

static unsigned long number_of(const char *name, unsigned long preset)
{
    const char *text = getenv(name);
    return text != NULL ? strtoul(text, NULL, 10) : preset;
}

static void a_node_that_answers_by_chance_harms_nobody(void **state)
{
    (void)state;
    struct scene scene;
    struct nonsense *nonsense = calloc(1, sizeof *nonsense);
    const unsigned calls = (unsigned)number_of("LIAR_CALLS", CALLS);
    assert_non_null(nonsense);
    nonsense->chance = number_of("LIAR_SEED", 1);
    for (size_t i = 0; i < sizeof random_bytes; i++) {
        random_bytes[i] = (char)chance_next(&nonsense->chance);
    }
    scene_open(&scene,
               "near-memory=1mb&failures-to-down=1000&connect-timeout=100ms&discover=nodes&"
               "discover-every=50ms&connections=2&hedge=5ms&retries=2&max-value=1mb",
               by_chance);
    scene.own = nonsense;
    while (nonsense->asked < calls) {
        ask_some(&scene, nonsense, calls);
        (void)uv_run(&scene.loop, UV_RUN_ONCE);
    }
    ask_some(&scene, nonsense, calls + ROOM); /* some are under way when it closes */
    terrace_async_close(scene.client, NULL, NULL);
    liar_close(&scene.liar);
    assert_int_equal(uv_run(&scene.loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&scene.loop), 0);
    assert_int_equal(nonsense->told, nonsense->asked);
    assert_int_equal(nonsense->under_way, 0);
    assert_true(nonsense->refused < calls / 2);
    free(nonsense);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_that_answers_by_chance_harms_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
