/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/check/judge_inner.h"
#include "client/check/zones.h"

#include <stdlib.h>

/* A zone and its key, so that one sort groups them. */
struct keyed {
    uint32_t key;
    struct zone zone;
};

static int by_key(const void *left, const void *right)
{
    uint32_t a = ((const struct keyed *)left)->key;
    uint32_t b = ((const struct keyed *)right)->key;
    return a < b ? -1 : a > b;
}

/* A write that was not acknowledged and that nobody saw may as well never have happened. */
static bool counts(const struct write *write)
{
    return write->outcome == HISTORY_OK || write->seen;
}

static size_t gather(struct judge *judge, struct keyed *zones)
{
    size_t count = 0;
    for (uint32_t i = 0; i < judge->writes_used; i++) {
        const struct write *write = &judge->writes[i];
        if (counts(write)) {
            zones[count++] =
                (struct keyed){.key = write->key,
                               .zone = {.first_end_ns = write->high_ns,
                                        .last_begin_ns = write->last_begin_ns > write->begun_ns
                                                             ? write->last_begin_ns
                                                             : write->begun_ns,
                                        .value = write->value}};
        }
    }
    for (uint32_t key = 0; key < judge->config.header.keys; key++) {
        const struct judge_order *order = &judge->orders[key];
        if (order->nothing_seen) { /* written before everything */
            zones[count++] =
                (struct keyed){.key = key, .zone = {.last_begin_ns = order->nothing_last_begin_ns}};
        }
    }
    return count;
}

static void judge_key(struct judge *judge, struct zone *zones, size_t count, uint32_t key)
{
    struct zone a;
    struct zone b;
    if (zones_agree(zones, count, &a, &b)) {
        return;
    }
    struct violation violation = {
        .rule = RULE_ORDER,
        .read = {.kind = HISTORY_READ,
                 .key = key,
                 .value = a.value,
                 .completed_ns = judge->last_ns},
        .why = "each of the two writes, with its reads, would have to come before the other",
    };
    const struct write *first = judge_find(judge, a.value);
    const struct write *second = judge_find(judge, b.value);
    violation.has_written = first != NULL;
    violation.written = first != NULL ? *first : (struct write){0};
    violation.has_against = second != NULL;
    violation.against = second != NULL ? *second : (struct write){0};
    judge_accuse(judge, &violation);
}

enum status judge_strictly(struct judge *judge)
{
    size_t most = (size_t)judge->writes_used + judge->config.header.keys;
    struct keyed *zones = calloc(most, sizeof *zones);
    struct zone *of_key = calloc(most, sizeof *of_key);
    if (zones == NULL || of_key == NULL) {
        free(zones);
        free(of_key);
        return NO_MEMORY;
    }
    size_t count = gather(judge, zones);
    qsort(zones, count, sizeof *zones, by_key);
    for (size_t i = 0; i < count;) {
        size_t size = 0;
        uint32_t key = zones[i].key;
        while (i < count && zones[i].key == key) {
            of_key[size++] = zones[i++].zone;
        }
        judge_key(judge, of_key, size, key);
    }
    free(zones);
    free(of_key);
    return OK;
}
