/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/tiers.h"

#include "bench/clock.h"

#include <string.h>

#define ANSWER_WITHIN_NS (5 * NS_PER_S)

struct field {
    const char *name;
    uint64_t *number;
    bool *seen; /* may be NULL */
};

static void take_line(struct slice line, const struct field *fields, size_t count)
{
    const char *colon = memchr(line.data, ':', line.size);
    if (colon == NULL) {
        return;
    }
    struct slice name = {.data = line.data, .size = (size_t)(colon - line.data)};
    struct slice value = {.data = colon + 1, .size = line.size - name.size - 1};
    if (value.size > 0 && value.data[value.size - 1] == '\r') {
        value.size--;
    }
    for (size_t i = 0; i < count; i++) {
        if (slice_is(name, fields[i].name) && slice_to_u64(value, fields[i].number) == OK &&
            fields[i].seen != NULL) {
            *fields[i].seen = true;
        }
    }
}

void tiers_parse(struct slice info, struct tiers *ret_tiers)
{
    *ret_tiers = (struct tiers){0};
    const struct field fields[] = {
        {"l1_hits", &ret_tiers->l1_hits, &ret_tiers->has_l1},
        {"l1_misses", &ret_tiers->l1_misses, NULL},
        {"l2_reads", &ret_tiers->l2_reads, NULL},
        {"l2_hits", &ret_tiers->l2_hits, &ret_tiers->has_l2},
        {"l2_misses", &ret_tiers->l2_misses, NULL},
        {"keyspace_hits", &ret_tiers->keyspace_hits, &ret_tiers->has_keyspace},
        {"keyspace_misses", &ret_tiers->keyspace_misses, NULL},
    };
    size_t at = 0;
    while (at < info.size) {
        const char *end = memchr(info.data + at, '\n', info.size - at);
        size_t size = end == NULL ? info.size - at : (size_t)(end - info.data) - at;
        take_line((struct slice){.data = info.data + at, .size = size}, fields,
                  sizeof fields / sizeof fields[0]);
        at += size + 1;
    }
}

static double ratio(uint64_t part, uint64_t rest)
{
    return part + rest == 0 ? -1 : (double)part / (double)(part + rest);
}

/* A server that was restarted or told CONFIG RESETSTAT in between counts from zero again. */
static uint64_t since(uint64_t before, uint64_t after)
{
    return after >= before ? after - before : after;
}

struct tier_ratios tiers_ratios(const struct tiers *before, const struct tiers *after)
{
    struct tier_ratios ratios = {.l1 = -1, .l2 = -1, .overall = -1};
    uint64_t l1_hits = since(before->l1_hits, after->l1_hits);
    uint64_t l1_misses = since(before->l1_misses, after->l1_misses);
    uint64_t l2_hits = since(before->l2_hits, after->l2_hits);
    if (after->has_l2) {
        ratios.l2 = ratio(l2_hits, since(before->l2_misses, after->l2_misses));
    }
    if (after->has_l1) {
        ratios.l1 = ratio(l1_hits, l1_misses);
        uint64_t found = l1_hits + (after->has_l2 ? l2_hits : 0);
        uint64_t asked = l1_hits + l1_misses;
        ratios.overall = asked == 0 ? -1 : (double)found / (double)asked;
    } else if (after->has_keyspace) {
        ratios.overall = ratio(since(before->keyspace_hits, after->keyspace_hits),
                               since(before->keyspace_misses, after->keyspace_misses));
    }
    return ratios;
}

struct question {
    struct tiers *tiers;
    bool answered;
    bool understood;
};

static void on_reply(void *context, struct conn *conn, const struct call *call, struct slice reply,
                     uint64_t now_ns)
{
    (void)conn;
    (void)call;
    (void)now_ns;
    struct question *question = context;
    struct reply_cursor cursor = {.rest = reply};
    struct reply_element element;
    question->answered = true;
    if (reply_next(&cursor, &element) == OK &&
        (element.type == REPLY_BULK || element.type == REPLY_VERBATIM)) {
        question->understood = true;
        tiers_parse(element.text, question->tiers);
    }
}

enum status tiers_ask(const struct target *target, const struct greeting *greeting,
                      struct tiers *ret_tiers)
{
    const struct pool_config config = {
        .target = target, .greeting = *greeting, .connections = 1, .calls_max = 1, .signals = -1};
    struct question question = {.tiers = ret_tiers};
    struct pool pool;
    enum status status = pool_init(&pool, &config);
    if (status == OK) {
        status = pool_open(&pool);
    }
    if (status == OK) {
        const struct slice info = SLICE_LITERAL("INFO");
        pool_use(&pool, (struct pool_user){.context = &question, .on_reply = on_reply});
        status = conn_send(&pool.conns[0], (struct call){0}, 1, &info);
        pool_flush(&pool, &pool.conns[0]);
    }
    uint64_t deadline_ns = clock_ns() + ANSWER_WITHIN_NS;
    while (status == OK && !question.answered && pool.now_ns < deadline_ns && pool.open_count > 0) {
        pool_poll(&pool, 100 * NS_PER_MS);
        status = pool.failure;
    }
    pool_done(&pool);
    return status == OK && !question.understood ? CLOSE : status;
}
