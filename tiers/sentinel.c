/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/sentinel.h"

#include "protocol/resp_read.h"
#include "protocol/resp_write.h"

#include <string.h>

enum {
    PORT_MAX = 65535,
    SWITCH_WORDS = 5
};

enum status sentinel_ask_write(struct buf *out, const char *name)
{
    const struct slice words[] = {SLICE_LITERAL("SENTINEL"),
                                  SLICE_LITERAL("get-master-addr-by-name"), slice_of(name)};
    return resp_append_request(out, sizeof words / sizeof words[0], words);
}

enum status sentinel_subscribe_write(struct buf *out)
{
    const struct slice words[] = {SLICE_LITERAL("SUBSCRIBE"), SLICE_LITERAL("+switch-master")};
    return resp_append_request(out, sizeof words / sizeof words[0], words);
}

enum status sentinel_failover_write(struct buf *out, const char *name)
{
    const struct slice words[] = {SLICE_LITERAL("SENTINEL"), SLICE_LITERAL("failover"),
                                  slice_of(name)};
    return resp_append_request(out, sizeof words / sizeof words[0], words);
}

static enum status address_from(struct slice host, struct slice port, struct sentinel_address *ret)
{
    uint64_t number = 0;
    if (host.size == 0 || slice_to_u64(port, &number) != OK || number < 1 || number > PORT_MAX) {
        return MALFORMED;
    }
    for (size_t i = 0; i < host.size; i++) {
        if (host.data[i] <= ' ' || host.data[i] == 0x7f) {
            return MALFORMED;
        }
    }
    *ret = (struct sentinel_address){.host = host, .port = (int)number};
    return OK;
}

enum status sentinel_address_read(struct slice reply, struct sentinel_address *ret)
{
    struct reply_cursor cursor = {reply};
    struct reply_element whole;
    struct reply_element host;
    struct reply_element port;
    if (reply_next(&cursor, &whole) != OK) {
        return MALFORMED;
    }
    if (whole.type == REPLY_NULL) {
        return MISS;
    }
    if (whole.type != REPLY_ARRAY || whole.number != 2 || reply_next(&cursor, &host) != OK ||
        reply_next(&cursor, &port) != OK || host.type != REPLY_BULK || port.type != REPLY_BULK) {
        return MALFORMED;
    }
    return address_from(host.text, port.text, ret);
}

/* "a b c" into words. How many there are, at most `max`. */
static size_t split(struct slice text, struct slice *words, size_t max)
{
    size_t count = 0;
    while (text.size > 0 && count < max) {
        const char *space = memchr(text.data, ' ', text.size);
        const size_t size = space != NULL ? (size_t)(space - text.data) : text.size;
        words[count++] = (struct slice){.data = text.data, .size = size};
        const size_t step = space != NULL ? size + 1 : size;
        text = (struct slice){.data = text.data + step, .size = text.size - step};
    }
    return text.size > 0 ? 0 : count;
}

enum status sentinel_switch_read(struct slice push, const char *name, struct sentinel_address *ret)
{
    struct reply_cursor cursor = {push};
    struct reply_element whole;
    struct reply_element parts[3];
    if (reply_next(&cursor, &whole) != OK || whole.type != REPLY_PUSH || whole.number != 3) {
        return MISS;
    }
    for (size_t i = 0; i < 3; i++) {
        if (reply_next(&cursor, &parts[i]) != OK || parts[i].type != REPLY_BULK) {
            return MISS;
        }
    }
    struct slice words[SWITCH_WORDS];
    if (!slice_equal(parts[0].text, SLICE_LITERAL("message")) ||
        !slice_equal(parts[1].text, SLICE_LITERAL("+switch-master")) ||
        split(parts[2].text, words, SWITCH_WORDS) != SWITCH_WORDS ||
        !slice_equal(words[0], slice_of(name))) {
        return MISS;
    }
    return address_from(words[3], words[4], ret) == OK ? OK : MISS;
}
