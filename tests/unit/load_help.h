/* SPDX-License-Identifier: BSD-3-Clause */
/* load_help.h -- clients that want a managed key, and Redis' answers by hand, the lease's too. */
#ifndef TERRACE_TESTS_UNIT_LOAD_HELP_H
#define TERRACE_TESTS_UNIT_LOAD_HELP_H

#include "protocol/envelope.h"
#include "tests/unit/window_help.h"
#include "tiers/load.h"
#include "tiers/wakes.h"

enum {
    BOUND = 60000, /* no proof of the link gets old in these tests */
    SOFT = 50,
    HARD = 2000,
    LOADS = 10000, /* load-timeout */
    IDLE = 5000    /* negative-ttl */
};

#define WON(token)  "*3\r\n$3\r\nWON\r\n$16\r\n" token "\r\n:1000\r\n"
#define BUSY_3000   "*2\r\n$4\r\nBUSY\r\n:3000\r\n"
#define IDLE_3000   "*2\r\n$4\r\nIDLE\r\n:3000\r\n"
#define FAILED_3000 "*2\r\n$6\r\nFAILED\r\n:3000\r\n"
#define AGAIN_      "*1\r\n$5\r\nAGAIN\r\n"
#define LOST_       "*1\r\n$4\r\nLOST\r\n"
#define DONE_       "*1\r\n$2\r\nOK\r\n"
#define NOTHING     ":-2\r\n$-1\r\n"

/* Who asks, and what he was told. */
struct client {
    struct load_ask ask;
    unsigned ends;
    enum status status;
    enum load_outcome outcome;
    char value[16];
    char error[64];
    char token[LEASE_TOKEN_SIZE];
};

static inline void client_told(struct client *client, enum status status,
                               const struct load_result *result)
{
    client->ends++;
    client->status = status;
    client->outcome = result->outcome;
    memcpy(client->token, result->token, LEASE_TOKEN_SIZE);
    (void)snprintf(client->error, sizeof client->error, "%.*s", (int)result->error.size,
                   result->error.size == 0 ? "" : result->error.data);
    if (status == OK && result->has_value) {
        assert_true(result->value.value.size < sizeof client->value);
        memcpy(client->value, result->value.value.data, result->value.value.size);
    }
}

static inline void client_on_loaded(void *arg, enum status status, const struct load_result *result)
{
    client_told(arg, status, result);
}

static inline void open_stage(struct stage *stage)
{
    struct namespace_spec specs[] = {spec_of("default", "", BOUND), spec_of("m", "m:", BOUND)};
    specs[1].managed = true;
    specs[1].settings.told = true;
    specs[1].settings.rules = (struct ns_rules){.soft_timeout_ms = SOFT,
                                                .hard_timeout_ms = HARD,
                                                .load_timeout_ms = LOADS,
                                                .negative_ttl_ms = IDLE};
    stage_open(stage, specs, 2);
}

static inline struct ns_key key_of(struct stage *stage)
{
    return namespaces_key(stage->namespaces, 0, slice_of("m:k"));
}

static inline enum status get_key(struct stage *stage, struct client *client, struct ns_key key)
{
    char copy[64];
    struct load_wait *wait = NULL;
    struct l1_value value = {.copy = copy, .copy_room = sizeof copy};
    struct load_result result = {0};
    client->ask.on_loaded = client_on_loaded;
    if (client->ask.soft_ms == 0 && client->ask.hard_ms == 0) {
        client->ask.soft_ms = client->ask.hard_ms = LOAD_BUDGET_NONE;
    }
    const enum status status = load_get(stage->window, &key, &client->ask, &value, &result, &wait);
    if (status == PENDING) {
        load_tell_to(wait, client);
    } else {
        client_told(client, status, &result);
        item_release(value.item);
    }
    return status;
}

static inline enum status get(struct stage *stage, struct client *client)
{
    return get_key(stage, client, key_of(stage));
}

static inline void expect_told(const struct client *client, enum load_outcome outcome,
                               const char *value)
{
    assert_int_equal(client->ends, 1);
    assert_int_equal(client->status, OK);
    assert_int_equal(client->outcome, outcome);
    assert_string_equal(client->value, value);
}

/* How many calls of the lease script went out, and the verb of the last. */
static inline unsigned asked(struct stage *stage, const char *verb)
{
    struct buf written = help_written(&stage->roof);
    unsigned count = 0;
    char word[32];
    (void)snprintf(word, sizeof word, "$%zu\r\n%s\r\n", strlen(verb), verb);
    struct slice rest = buf_slice(&written);
    while (rest.size > 0) {
        const char *at = memmem(rest.data, rest.size, word, strlen(word));
        if (at == NULL) {
            break;
        }
        count++;
        rest.size -= (size_t)(at + 1 - rest.data);
        rest.data = at + 1;
    }
    buf_done(&written);
    return count;
}

static inline void at(struct stage *stage, int64_t after_ms)
{
    tiers_window_begin(stage->window, HELP_NOW + after_ms);
    load_tick(stage->window);
}

static inline void say(struct stage *stage, const char *text)
{
    help_feed(&stage->roof, slice_of(text), stage->window->now_ms);
}

/* L2 has an envelope with so many ms to live. */
static inline void say_value(struct stage *stage, const char *value, int64_t pttl_ms,
                             uint64_t version, int64_t fresh_ms, uint32_t swr_ms, uint32_t sie_ms)
{
    struct buf envelope = {0};
    struct buf reply = {0};
    assert_int_equal(envelope_write(&envelope,
                                    &(struct envelope){.version = version,
                                                       .fresh_ms = (uint64_t)fresh_ms,
                                                       .swr_ms = swr_ms,
                                                       .sie_ms = sie_ms,
                                                       .value_size = (uint32_t)strlen(value),
                                                       .body = slice_of(value)},
                                    NULL),
                     OK);
    assert_int_equal(buf_printf(&reply, ":%d\r\n$%zu\r\n", (int)pttl_ms, envelope.size), OK);
    assert_int_equal(buf_append_slice(&reply, buf_slice(&envelope)), OK);
    assert_int_equal(buf_append(&reply, "\r\n", 2), OK);
    help_feed(&stage->roof, buf_slice(&reply), stage->window->now_ms);
    buf_done(&envelope);
    buf_done(&reply);
}

/* A fresh one. */
static inline void say_fresh(struct stage *stage, const char *value)
{
    say_value(stage, value, 60000, 1000, 60000, 0, 0);
}

/* One that lives 100 s yet, and is fresh no more: swr and sie as given. */
static inline void say_old(struct stage *stage, uint32_t swr_ms, uint32_t sie_ms)
{
    say_value(stage, "old", 100000, 7, 1000, swr_ms, sie_ms);
}

static inline struct client plain(void)
{
    return (struct client){.ask = {.plain = true}};
}

#endif
