/* SPDX-License-Identifier: BSD-3-Clause */
/* terrace_async -- the asynchronous face of libterrace on a loop of the application's: each test is a sentence.
 *
 *      terrace_async OPTIONS      prints a line per test; exit code 1 if one fails */
#include "client/terrace.h"

#include <uv.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MANY = 5000,
    ERROR_SIZE = 256,
    LARGE = 200000,
    PACED = 120
};

static int failures;

#define EXPECT(condition)                                                        \
    do {                                                                         \
        if (!(condition)) {                                                      \
            (void)printf("%s:%d: not so: %s\n", __func__, __LINE__, #condition); \
            failures++;                                                          \
        }                                                                        \
    } while (0)

struct stage {
    uv_loop_t loop;
    const struct terrace_options *options;
    struct terrace_async *client;
    bool is_inside; /* a call that registers a callback */
    bool is_closed;
    int told;
};

struct expected {
    struct stage *stage;
    enum terrace_status status;
    const char *data; /* NULL: none */
    int told;
};

static void on_closed(void *arg)
{
    struct stage *stage = arg;
    stage->is_closed = true;
}

static void begin(struct stage *stage, const struct terrace_options *options)
{
    char error[ERROR_SIZE] = "";
    *stage = (struct stage){.options = options};
    (void)uv_loop_init(&stage->loop);
    stage->client = terrace_async_open(&stage->loop, options, error, sizeof error);
    EXPECT(stage->client != NULL && error[0] == '\0');
}

static void end(struct stage *stage)
{
    terrace_async_close(stage->client, on_closed, stage);
    (void)uv_run(&stage->loop, UV_RUN_DEFAULT);
    EXPECT(stage->is_closed);
    EXPECT(uv_loop_close(&stage->loop) == 0); /* nothing of ours is left in it */
}

static void run_until(struct stage *stage, const int *told, int wanted)
{
    while (*told < wanted) {
        (void)uv_run(&stage->loop, UV_RUN_ONCE);
    }
}

static void on_done(void *arg, const struct terrace_result *result)
{
    struct expected *expected = arg;
    EXPECT(!expected->stage->is_inside);
    EXPECT(++expected->told == 1);
    expected->stage->told++;
    EXPECT(result->status == expected->status);
    if (expected->data != NULL) {
        EXPECT(result->value != NULL && result->value->size == strlen(expected->data) &&
               memcmp(result->value->data, expected->data, result->value->size) == 0);
    } else {
        EXPECT(result->value == NULL || result->value->data == NULL);
    }
}

static struct expected expect(struct stage *stage, enum terrace_status status, const char *data)
{
    return (struct expected){.stage = stage, .status = status, .data = data};
}

static void wait_for(struct stage *stage, struct expected *expected)
{
    run_until(stage, &expected->told, 1);
}

/* --- tests ------------------------------------------------------------------------------------------------------------------ */

static void each_call_is_answered_once_and_never_from_inside(const struct terrace_options *options)
{
    struct stage stage;
    begin(&stage, options);
    struct expected set = expect(&stage, TERRACE_OK, NULL), get = expect(&stage, TERRACE_OK, "v");
    struct expected miss = expect(&stage, TERRACE_MISS, NULL),
                    gone = expect(&stage, TERRACE_OK, NULL);
    struct expected none = expect(&stage, TERRACE_MISS, NULL),
                    echo = expect(&stage, TERRACE_OK, "$2\r\nhi\r\n");
    stage.is_inside = true;
    EXPECT(terrace_async_set(stage.client, "k", 1, "v", 1, NULL, on_done, &set) == TERRACE_OK);
    stage.is_inside = false;
    wait_for(&stage, &set);
    stage.is_inside = true;
    EXPECT(terrace_async_get(stage.client, "k", 1, NULL, on_done, &get) == TERRACE_OK);
    EXPECT(terrace_async_get(stage.client, "nothing", 7, NULL, on_done, &miss) == TERRACE_OK);
    const void *words[] = {"ECHO", "hi"};
    EXPECT(terrace_async_command(stage.client, words, NULL, 2, 0, on_done, &echo) == TERRACE_OK);
    stage.is_inside = false;
    run_until(&stage, &stage.told, 4);
    EXPECT(terrace_async_delete(stage.client, "k", 1, NULL, on_done, &gone) == TERRACE_OK);
    wait_for(&stage, &gone);
    EXPECT(terrace_async_delete(stage.client, "k", 1, NULL, on_done, &none) == TERRACE_OK);
    wait_for(&stage, &none);
    const char *const word = "k";
    const struct terrace_invalidation what = {.target = TERRACE_KEY, .words = &word, .count = 1};
    struct expected invalid = expect(&stage, TERRACE_OK, NULL);
    EXPECT(terrace_async_invalidate(stage.client, &what, on_done, &invalid) == TERRACE_OK);
    wait_for(&stage, &invalid);
    end(&stage);
}

struct load {
    struct stage *stage;
    struct terrace_token token;
    enum terrace_status status;
    int told;
};

static void on_fetched(void *arg, const struct terrace_result *result)
{
    struct load *load = arg;
    load->status = result->status;
    load->token = result->value->token;
    load->told++;
}

static void a_load_is_fetched_filled_or_failed(const struct terrace_options *options)
{
    struct stage stage;
    begin(&stage, options);
    struct load load = {.stage = &stage};
    struct expected filled = expect(&stage, TERRACE_OK, NULL),
                    found = expect(&stage, TERRACE_OK, "loaded");
    EXPECT(terrace_async_fetch(stage.client, "load", 4, NULL, on_fetched, &load) == TERRACE_OK);
    run_until(&stage, &load.told, 1);
    EXPECT(load.status == TERRACE_LOAD && load.token.size > 0);
    EXPECT(terrace_async_fill(stage.client, "load", 4, &load.token, "loaded", 6, NULL, on_done,
                              &filled) == TERRACE_OK);
    wait_for(&stage, &filled);
    EXPECT(terrace_async_fetch(stage.client, "load", 4, NULL, on_done, &found) == TERRACE_OK);
    wait_for(&stage, &found);
    load = (struct load){.stage = &stage};
    struct expected failed = expect(&stage, TERRACE_OK, NULL);
    EXPECT(terrace_async_fetch(stage.client, "fails", 5, NULL, on_fetched, &load) == TERRACE_OK);
    run_until(&stage, &load.told, 1);
    EXPECT(terrace_async_fail(stage.client, "fails", 5, &load.token, 0, on_done, &failed) ==
           TERRACE_OK);
    wait_for(&stage, &failed);
    end(&stage);
}

static void thousands_under_way_are_all_answered(const struct terrace_options *options)
{
    static struct expected answers[MANY];
    static char data[MANY][16];
    struct stage stage;
    begin(&stage, options);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++) {
            char key[16];
            const int size = snprintf(key, sizeof key, "many%d", i);
            const int length = snprintf(data[i], sizeof data[i], "value%d", i);
            answers[i] = expect(&stage, TERRACE_OK, round == 0 ? NULL : data[i]);
            EXPECT((round == 0 ? terrace_async_set(stage.client, key, (size_t)size, data[i],
                                                   (size_t)length, NULL, on_done, &answers[i])
                               : terrace_async_get(stage.client, key, (size_t)size, NULL, on_done,
                                                   &answers[i])) == TERRACE_OK);
        }
        run_until(&stage, &stage.told, MANY * (round + 1));
    }
    end(&stage);
}

static void bytes_of_a_call_may_go_as_soon_as_it_returns(const struct terrace_options *options)
{
    struct stage stage;
    begin(&stage, options);
    struct expected set = expect(&stage, TERRACE_OK, NULL);
    char *whole = malloc(LARGE + 1);
    char *data = malloc(LARGE);
    char *key = strdup("mine");
    memset(whole, 'x', LARGE);
    whole[LARGE] = '\0';
    memset(data, 'x', LARGE);
    EXPECT(terrace_async_set(stage.client, key, 4, data, LARGE, NULL, on_done, &set) == TERRACE_OK);
    memset(data, 'y', LARGE);
    free(data);
    free(key);
    wait_for(&stage, &set);
    struct expected get = expect(&stage, TERRACE_OK, whole);
    EXPECT(terrace_async_get(stage.client, "mine", 4, NULL, on_done, &get) == TERRACE_OK);
    wait_for(&stage, &get);
    free(whole);
    end(&stage);
}

static void what_is_under_way_when_the_client_is_closed_ends_with_closed(
    const struct terrace_options *options)
{
    struct stage stage;
    begin(&stage, options);
    struct expected set = expect(&stage, TERRACE_OK, NULL);
    EXPECT(terrace_async_set(stage.client, "k", 1, "v", 1, NULL, on_done, &set) == TERRACE_OK);
    wait_for(&stage, &set);
    static struct expected ended[100];
    for (int i = 0; i < 100; i++) {
        ended[i] = expect(&stage, TERRACE_CLOSED, NULL);
        EXPECT(terrace_async_get(stage.client, "k", 1, NULL, on_done, &ended[i]) == TERRACE_OK);
    }
    end(&stage);
    for (int i = 0; i < 100; i++) {
        EXPECT(ended[i].told == 1);
    }
}

struct chain {
    struct stage *stage;
    int left;
};

static void on_link(void *arg, const struct terrace_result *result)
{
    struct chain *chain = arg;
    EXPECT(result->status == TERRACE_OK);
    if (--chain->left > 0) {
        EXPECT(terrace_async_get(chain->stage->client, "k", 1, NULL, on_link, chain) == TERRACE_OK);
    } else {
        terrace_async_close(chain->stage->client, on_closed, chain->stage); /* from a callback */
    }
}

static void a_callback_may_ask_again_and_may_close(const struct terrace_options *options)
{
    struct stage stage;
    begin(&stage, options);
    struct chain chain = {&stage, 200};
    struct expected set = expect(&stage, TERRACE_OK, NULL);
    EXPECT(terrace_async_set(stage.client, "k", 1, "v", 1, NULL, on_done, &set) == TERRACE_OK);
    wait_for(&stage, &set);
    EXPECT(terrace_async_get(stage.client, "k", 1, NULL, on_link, &chain) == TERRACE_OK);
    (void)uv_run(&stage.loop, UV_RUN_DEFAULT);
    EXPECT(stage.is_closed && chain.left == 0);
    EXPECT(uv_loop_close(&stage.loop) == 0);
}

static void arguments_that_make_no_sense_are_refused_and_nothing_comes(
    const struct terrace_options *options)
{
    struct stage stage;
    begin(&stage, options);
    struct terrace_token token = {.size = 0};
    const struct terrace_read_options wrong = {.contract = (enum terrace_contract)9};
    const struct terrace_write_options odd = {.condition = 7};
    EXPECT(terrace_async_get(stage.client, NULL, 3, NULL, on_done, NULL) == TERRACE_BAD_ARGUMENT);
    EXPECT(terrace_async_get(stage.client, "k", 1, &wrong, on_done, NULL) == TERRACE_BAD_ARGUMENT);
    EXPECT(terrace_async_get(stage.client, "k", 1, NULL, NULL, NULL) == TERRACE_BAD_ARGUMENT);
    EXPECT(terrace_async_set(stage.client, "k", 1, "v", 1, &odd, on_done, NULL) ==
           TERRACE_BAD_ARGUMENT);
    EXPECT(terrace_async_fill(stage.client, "k", 1, &token, "v", 1, NULL, on_done, NULL) ==
           TERRACE_BAD_ARGUMENT);
    EXPECT(terrace_async_invalidate(stage.client, NULL, on_done, NULL) == TERRACE_BAD_ARGUMENT);
    EXPECT(terrace_async_command(stage.client, NULL, NULL, 0, 0, on_done, NULL) ==
           TERRACE_BAD_ARGUMENT);
    end(&stage);
}

static void where_nobody_listens_each_call_still_ends(const struct terrace_options *options)
{
    struct terrace_options *nowhere = terrace_options_new();
    struct stage stage;
    (void)options;
    EXPECT(terrace_options_parse(nowhere, "endpoints=127.0.0.1:1&timeout=2s", NULL, 0) ==
           TERRACE_OK);
    begin(&stage, nowhere);
    struct expected get = expect(&stage, TERRACE_MISS, NULL),
                    set = expect(&stage, TERRACE_UNREACHABLE, NULL);
    stage.is_inside = true;
    EXPECT(terrace_async_get(stage.client, "k", 1, NULL, on_done, &get) == TERRACE_OK);
    EXPECT(terrace_async_set(stage.client, "k", 1, "v", 1, NULL, on_done, &set) == TERRACE_OK);
    stage.is_inside = false;
    run_until(&stage, &stage.told, 2);
    end(&stage);
    terrace_options_free(nowhere);
}

static void on_near(void *arg, const struct terrace_result *result)
{
    struct load *load = arg;
    EXPECT(!load->stage->is_inside);
    EXPECT(result->status == TERRACE_OK && result->value->size == 1);
    load->status = (enum terrace_status)(result->value != NULL && result->value->from_near);
    load->told++;
}

static void a_hit_of_l0_is_told_with_the_turn(const struct terrace_options *options)
{
    struct terrace_options *near = terrace_options_new();
    struct stage stage;
    (void)options;
    EXPECT(terrace_options_parse(near, getenv("TERRACE_OPTIONS"), NULL, 0) == TERRACE_OK);
    EXPECT(terrace_options_set(near, "near-memory", "1mb", NULL, 0) == TERRACE_OK);
    begin(&stage, near);
    struct expected set = expect(&stage, TERRACE_OK, NULL);
    EXPECT(terrace_async_set(stage.client, "k", 1, "v", 1, NULL, on_done, &set) == TERRACE_OK);
    wait_for(&stage, &set);
    struct load load = {.stage = &stage};
    while (load.status != 1) { /* until it comes from near */
        const int before = load.told;
        stage.is_inside = true;
        EXPECT(terrace_async_get(stage.client, "k", 1, NULL, on_near, &load) == TERRACE_OK);
        stage.is_inside = false;
        run_until(&stage, &load.told, before + 1);
    }
    EXPECT(terrace_async_get(stage.client, "k", 1, NULL, on_near, &load) == TERRACE_OK);
    struct terrace_counters counters;
    terrace_async_counters(stage.client, &counters);
    EXPECT(counters.near_hits >= 1 && counters.near_fills >= 1);
    run_until(&stage, &load.told, load.told + 1);
    end(&stage);
    terrace_options_free(near);
}

static void two_clients_live_on_one_loop(const struct terrace_options *options)
{
    struct stage stage;
    begin(&stage, options);
    struct terrace_async *other = terrace_async_open(&stage.loop, options, NULL, 0);
    struct expected set = expect(&stage, TERRACE_OK, NULL), get = expect(&stage, TERRACE_OK, "v");
    EXPECT(terrace_async_set(stage.client, "k", 1, "v", 1, NULL, on_done, &set) == TERRACE_OK);
    wait_for(&stage, &set);
    EXPECT(terrace_async_get(other, "k", 1, NULL, on_done, &get) == TERRACE_OK);
    wait_for(&stage, &get);
    terrace_async_close(other, NULL, NULL);
    end(&stage);
}

struct look {
    struct stage *stage;
    enum terrace_status status;
    enum terrace_warm_state state; /* of the first job */
    uint64_t id, loaded;
    size_t jobs, keys;
    bool has_list, has_error;
    int told;
};

static void on_look(void *arg, const struct terrace_result *result)
{
    struct look *look = arg;
    EXPECT(!look->stage->is_inside);
    EXPECT(result->jobs == NULL || result->keys == NULL);
    EXPECT(result->value == NULL || result->status != TERRACE_OK);
    look->status = result->status;
    look->id = result->id;
    look->has_list = result->jobs != NULL || result->keys != NULL;
    look->has_error = result->error != NULL && result->error[0] != '\0';
    look->jobs = result->jobs != NULL ? result->jobs->count : 0;
    look->keys = result->keys != NULL ? result->keys->count : 0;
    if (look->jobs > 0) {
        look->state = result->jobs->jobs[0].state;
        look->loaded = result->jobs->jobs[0].loaded;
    }
    look->told++;
}

/* What became of a call that returned `called`. */
static enum terrace_status told(struct look *look, enum terrace_status called)
{
    if (called == TERRACE_OK) {
        run_until(look->stage, &look->told, look->told + 1);
        called = look->status;
    }
    return called;
}

static void wait_until_done(struct look *look, uint64_t id)
{
    do {
        EXPECT(told(look, terrace_async_warm_status(look->stage->client, id, 0, on_look, look)) ==
               TERRACE_OK);
        EXPECT(look->jobs == 1);
    } while (failures == 0 && look->state != TERRACE_WARM_DONE);
}

static void warm_jobs_and_hot_keys_are_told_on_the_loop(const struct terrace_options *options)
{
    struct stage stage;
    begin(&stage, options);
    struct terrace_async *client = stage.client;
    struct look look = {.stage = &stage};
    struct expected set = expect(&stage, TERRACE_OK, NULL);
    EXPECT(terrace_async_set(client, "warm:1", 6, "v", 1, NULL, on_done, &set) == TERRACE_OK);
    wait_for(&stage, &set);
    char *pattern = strdup("warm:*"); /* may go as soon as the call returns */
    const struct terrace_warm_job job = {
        .source = TERRACE_WARM_PATTERN, .text = pattern, .mode = TERRACE_WARM_FORCE};
    stage.is_inside = true;
    const enum terrace_status called = terrace_async_warm_submit(client, &job, on_look, &look);
    stage.is_inside = false;
    free(pattern);
    EXPECT(told(&look, called) == TERRACE_OK && look.id > 0 && !look.has_list);
    const uint64_t id = look.id;
    wait_until_done(&look, id);
    EXPECT(look.loaded == 1);
    EXPECT(told(&look, terrace_async_warm_list(client, 0, on_look, &look)) == TERRACE_OK);
    EXPECT(look.jobs >= 1 && look.keys == 0);
    EXPECT(told(&look, terrace_async_warm_pause(client, id, 0, on_look, &look)) == TERRACE_REFUSED);
    EXPECT(look.has_error && !look.has_list);
    EXPECT(told(&look, terrace_async_warm_status(client, id + 1000, 0, on_look, &look)) ==
           TERRACE_REFUSED);
    EXPECT(look.has_error && !look.has_list);
    EXPECT(told(&look, terrace_async_hot(client, 5, 0, on_look, &look)) == TERRACE_OK);
    EXPECT(look.has_list && look.jobs == 0);
    end(&stage);
}

static void a_warm_job_is_paused_goes_on_faster_and_a_standing_one_is_cancelled(
    const struct terrace_options *options)
{
    static char names[PACED][24];
    static const char *keys[PACED];
    struct stage stage;
    begin(&stage, options);
    struct terrace_async *client = stage.client;
    struct look look = {.stage = &stage};
    for (int i = 0; i < PACED; i++) {
        (void)snprintf(names[i], sizeof names[i], "none:%d", i);
        keys[i] = names[i];
    }
    /* Two minutes, unless it goes on faster; so it has not ended when it is paused. */
    const struct terrace_warm_job slow = {
        .source = TERRACE_WARM_KEYS, .keys = keys, .key_count = PACED, .rate = 1};
    struct terrace_warm_job standing = {
        .source = TERRACE_WARM_HOT, .n = 10, .schedule = "08:55 mon-fri"};
    EXPECT(told(&look, terrace_async_warm_register(client, &standing, on_look, &look)) ==
           TERRACE_OK);
    const uint64_t registered = look.id;
    EXPECT(told(&look, terrace_async_warm_status(client, registered, 0, on_look, &look)) ==
               TERRACE_OK &&
           look.state == TERRACE_WARM_STANDING);
    EXPECT(told(&look, terrace_async_warm_cancel(client, registered, 0, on_look, &look)) ==
           TERRACE_OK);
    EXPECT(told(&look, terrace_async_warm_submit(client, &slow, on_look, &look)) == TERRACE_OK);
    const uint64_t id = look.id;
    EXPECT(told(&look, terrace_async_warm_pause(client, id, 0, on_look, &look)) == TERRACE_OK);
    EXPECT(told(&look, terrace_async_warm_status(client, id, 0, on_look, &look)) == TERRACE_OK &&
           look.state == TERRACE_WARM_PAUSED);
    EXPECT(told(&look, terrace_async_warm_setrate(client, id, 50000, 0, on_look, &look)) ==
           TERRACE_OK);
    EXPECT(told(&look, terrace_async_warm_resume(client, id, 0, on_look, &look)) == TERRACE_OK);
    wait_until_done(&look, id);
    EXPECT(terrace_async_warm_submit(client, NULL, on_look, &look) == TERRACE_BAD_ARGUMENT);
    EXPECT(terrace_async_warm_submit(client, &slow, NULL, NULL) == TERRACE_BAD_ARGUMENT);
    EXPECT(terrace_async_warm_list(client, -1, on_look, &look) == TERRACE_BAD_ARGUMENT);
    EXPECT(terrace_async_hot(client, 1, -1, on_look, &look) == TERRACE_BAD_ARGUMENT);
    struct look late = look; /* what is under way when the client is closed */
    EXPECT(terrace_async_warm_list(client, 0, on_look, &late) == TERRACE_OK);
    end(&stage);
    EXPECT(late.told == look.told + 1 && late.status == TERRACE_CLOSED && !late.has_list);
}

int main(int count, char **words)
{
    static const struct {
        const char *name;
        void (*run)(const struct terrace_options *options);
    } tests[] = {
#define TEST(name) {#name, name}
        TEST(each_call_is_answered_once_and_never_from_inside),
        TEST(a_load_is_fetched_filled_or_failed),
        TEST(thousands_under_way_are_all_answered),
        TEST(bytes_of_a_call_may_go_as_soon_as_it_returns),
        TEST(what_is_under_way_when_the_client_is_closed_ends_with_closed),
        TEST(a_callback_may_ask_again_and_may_close),
        TEST(arguments_that_make_no_sense_are_refused_and_nothing_comes),
        TEST(where_nobody_listens_each_call_still_ends),
        TEST(a_hit_of_l0_is_told_with_the_turn),
        TEST(two_clients_live_on_one_loop),
        TEST(warm_jobs_and_hot_keys_are_told_on_the_loop),
        TEST(a_warm_job_is_paused_goes_on_faster_and_a_standing_one_is_cancelled),
    };
    char error[ERROR_SIZE] = "";
    struct terrace_options *options = terrace_options_new();
    if (count != 2 || terrace_options_parse(options, words[1], error, sizeof error) != TERRACE_OK) {
        (void)fprintf(stderr, "terrace_async OPTIONS: %s\n", error);
        return 2;
    }
    (void)setenv("TERRACE_OPTIONS", words[1], 1);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        const int before = failures;
        tests[i].run(options);
        (void)printf("%s %s\n", failures == before ? "ok" : "failed", tests[i].name);
    }
    terrace_options_free(options);
    return failures != 0;
}
