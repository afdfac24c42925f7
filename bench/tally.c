/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/tally.h"

#include "bench/values.h"
#include "protocol/resp_read.h"

#include <stdio.h>

static void keep_first(char text[TALLY_TEXT_MAX], struct slice found)
{
    if (text[0] != '\0') {
        return;
    }
    int size = found.size >= TALLY_TEXT_MAX ? TALLY_TEXT_MAX - 1 : (int)found.size;
    (void)snprintf(text, TALLY_TEXT_MAX, "%.*s", size, found.data);
}

static void count_error(struct tally *tally, struct slice text)
{
    tally->errors++;
    keep_first(tally->first_error, text);
}

enum tally_read tally_value(struct tally *tally, struct slice value, bool is_nil, struct slice key,
                            bool check)
{
    if (is_nil) {
        tally->misses++;
        return TALLY_MISS;
    }
    tally->hits++;
    tally->value_bytes_read += value.size;
    if (check && !value_belongs(value, value_owner(key))) {
        tally->wrong++;
        keep_first(tally->first_wrong, key);
    }
    return TALLY_HIT;
}

enum tally_read tally_get(struct tally *tally, struct slice reply, struct slice key, bool check)
{
    struct reply_cursor cursor = {.rest = reply};
    struct reply_element element;
    if (reply_next(&cursor, &element) != OK) {
        count_error(tally, SLICE_LITERAL("a reply that does not parse"));
        return TALLY_ERROR;
    }
    if (element.type == REPLY_ERROR || element.type == REPLY_BULK_ERROR) {
        count_error(tally, element.text);
        return TALLY_ERROR;
    }
    if (element.type != REPLY_BULK && element.type != REPLY_NULL) {
        count_error(tally, SLICE_LITERAL("a GET was answered with something that is no value"));
        return TALLY_ERROR;
    }
    return tally_value(tally, element.text, element.type == REPLY_NULL, key, check);
}

bool tally_done(struct tally *tally, struct slice reply)
{
    if (reply.data[0] != REPLY_ERROR && reply.data[0] != REPLY_BULK_ERROR) {
        return true;
    }
    struct reply_cursor cursor = {.rest = reply};
    struct reply_element element;
    count_error(tally, reply_next(&cursor, &element) == OK ? element.text : reply);
    return false;
}

void tally_lost(struct tally *tally, const char *why)
{
    tally->lost++;
    count_error(tally, slice_of(why));
}

double tally_hit_ratio(const struct tally *tally)
{
    uint64_t keys = tally->hits + tally->misses;
    return keys == 0 ? 0 : (double)tally->hits / (double)keys;
}

double tally_error_rate(const struct tally *tally)
{
    uint64_t asked = tally->requests + tally->lost + tally->unanswered;
    return asked == 0 ? 0 : (double)tally->errors / (double)asked;
}
