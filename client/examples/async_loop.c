/* SPDX-License-Identifier: BSD-3-Clause */
/* async_loop -- a client on the application's own loop: a thousand requests under way at once, and a timer of the application
 * that goes on beside them.
 *
 *      cc async_loop.c $(pkg-config --cflags --libs terrace libuv) -o async_loop
 *      ./async_loop 'endpoints=127.0.0.1:7379'
 *
 * All on one thread. Keys and values are copied by the calls; a value is lent to the callback until it returns. */
#include <uv.h>

#include <stdio.h>
#include <string.h>
#include <terrace.h>

enum {
    KEYS = 1000,
    KEY_SIZE = 32
};

struct run {
    struct terrace_async *client;
    uv_timer_t timer;
    unsigned ticks;
    unsigned waiting; /* answers to come */
    unsigned set;
    unsigned right;
};

static size_t key_of(char key[KEY_SIZE], unsigned i)
{
    return (size_t)snprintf(key, KEY_SIZE, "example:async:%u", i);
}

static void on_tick(uv_timer_t *timer)
{
    struct run *run = timer->data;
    run->ticks++;
}

/* Nothing of the client is left: the loop ends when the timer has ended, too. */
static void on_closed(void *arg)
{
    struct run *run = arg;
    uv_close((uv_handle_t *)&run->timer, NULL);
}

static void on_got(void *arg, const struct terrace_result *result)
{
    struct run *run = arg;
    if (result->status == TERRACE_OK && result->value->size == strlen("value") &&
        memcmp(result->value->data, "value", result->value->size) == 0) {
        run->right++;
    }
    if (--run->waiting == 0) {
        terrace_async_close(run->client, on_closed, run);
    }
}

static void get_all(struct run *run)
{
    for (unsigned i = 0; i < KEYS; i++) {
        char key[KEY_SIZE];
        const size_t size = key_of(key, i);
        if (terrace_async_get(run->client, key, size, NULL, on_got, run) == TERRACE_OK) {
            run->waiting++;
        }
    }
}

static void on_set(void *arg, const struct terrace_result *result)
{
    struct run *run = arg;
    run->set += result->status == TERRACE_OK ? 1 : 0;
    if (--run->waiting == 0) {
        get_all(run);
        if (run->waiting == 0) {
            terrace_async_close(run->client, on_closed, run);
        }
    }
}

static void set_all(struct run *run)
{
    const struct terrace_write_options minute = {.ttl_ms = 60000};
    for (unsigned i = 0; i < KEYS; i++) {
        char key[KEY_SIZE];
        const size_t size = key_of(key, i);
        if (terrace_async_set(run->client, key, size, "value", strlen("value"), &minute, on_set,
                              run) == TERRACE_OK) {
            run->waiting++;
        }
    }
}

int main(int argc, char **argv)
{
    char error[TERRACE_ERROR_SIZE] = "no memory";
    struct terrace_options *options = terrace_options_new();
    struct run run = {0};
    uv_loop_t loop;
    if (uv_loop_init(&loop) != 0) {
        return 1;
    }
    if (options != NULL && terrace_options_parse(options, argc > 1 ? argv[1] : "", error,
                                                 sizeof error) == TERRACE_OK) {
        run.client = terrace_async_open(&loop, options, error, sizeof error);
    }
    terrace_options_free(options);
    if (run.client == NULL) {
        (void)fprintf(stderr, "async_loop: %s\n", error);
        return 1;
    }
    run.timer.data = &run;
    (void)uv_timer_init(&loop, &run.timer);
    (void)uv_timer_start(&run.timer, on_tick, 0, 1);
    set_all(&run);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)printf("%u set, %u read back, the timer went on: %s\n", run.set, run.right,
                 run.ticks > 0 ? "yes" : "no");
    return uv_loop_close(&loop) == 0 ? 0 : 1;
}
