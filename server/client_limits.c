/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/client_limits.h"

#include "server/option_table.h"

#include <inttypes.h>
#include <stdio.h>

static const struct {
    const char *name;
    enum client_class class;
} class_names[] = {{"normal", CLIENT_NORMAL},
                   {"slave", CLIENT_REPLICA},
                   {"pubsub", CLIENT_PUBSUB},
                   {"replica", CLIENT_REPLICA}};

static bool find_class(struct slice name, enum client_class *ret_class)
{
    for (size_t i = 0; i < sizeof(class_names) / sizeof(class_names[0]); i++) {
        if (slice_is_nocase(name, class_names[i].name)) {
            *ret_class = class_names[i].class;
            return true;
        }
    }
    return false;
}

const char *output_limits_parse(struct slice text, struct output_limits *limits)
{
    struct output_limits next = *limits;
    struct slice words[4];
    struct slice rest = text;
    size_t count = 0;
    while (slice_next_word(&rest, " ").size > 0) {
        count++;
    }
    if (count % 4 != 0) {
        return "Wrong number of arguments in buffer limit configuration.";
    }
    for (size_t i = 0; i < count; i += 4) {
        enum client_class class;
        struct output_limit limit = {0};
        for (size_t j = 0; j < 4; j++) {
            words[j] = slice_next_word(&text, " ");
        }
        if (!find_class(words[0], &class)) {
            return "Invalid client class specified in buffer limit configuration.";
        }
        if (bytes_parse(words[1], &limit.hard) != OK || bytes_parse(words[2], &limit.soft) != OK ||
            slice_to_i64(words[3], &limit.soft_s) != OK || limit.soft_s < 0 ||
            limit.soft_s > INT32_MAX) {
            return "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
        }
        next.of[class] = limit;
    }
    *limits = next;
    return NULL;
}

void output_limits_format(const struct output_limits *limits, char text[OUTPUT_LIMITS_TEXT_MAX])
{
    int used = 0;
    for (unsigned i = 0; i < CLIENT_CLASSES; i++) {
        const struct output_limit *limit = &limits->of[class_names[i].class];
        used += snprintf(text + used, (size_t)(OUTPUT_LIMITS_TEXT_MAX - used),
                         "%s%s %" PRId64 " %" PRId64 " %" PRId64, i == 0 ? "" : " ",
                         class_names[i].name, limit->hard, limit->soft, limit->soft_s);
    }
}

const char *client_memory_parse(struct slice text, int64_t *ret)
{
    if (text.size > 0 && text.data[text.size - 1] == '%') {
        if (slice_to_i64((struct slice){text.data, text.size - 1}, ret) != OK || *ret < 0) {
            return "argument must be a memory or percent value";
        }
        *ret = -*ret;
        return *ret < -100 ? "percentage argument must be less or equal to 100" : NULL;
    }
    return bytes_parse(text, ret) == OK ? NULL : "argument must be a memory or percent value";
}

void client_memory_format(int64_t number, char text[CLIENT_MEMORY_TEXT_MAX])
{
    (void)snprintf(text, CLIENT_MEMORY_TEXT_MAX, number < 0 ? "%" PRId64 "%%" : "%" PRId64,
                   number < 0 ? -number : number);
}
