/* SPDX-License-Identifier: BSD-3-Clause */
/* client_limits.h -- what clients may take, as Redis' settings say it: client-output-buffer-limit and maxmemory-clients.
 *
 * Pure: texts and numbers. Reasons are Redis' words, as in option_table.h. */
#ifndef TERRACE_SERVER_CLIENT_LIMITS_H
#define TERRACE_SERVER_CLIENT_LIMITS_H

#include "protocol/bytes.h"

enum client_class {
    CLIENT_NORMAL,
    CLIENT_REPLICA, /* a node has none */
    CLIENT_PUBSUB,
    CLIENT_CLASSES
};

/* Of answers that a client has not read: `hard` bytes, or more than `soft` for longer than soft_s. 0: no limit. */
struct output_limit {
    int64_t hard;
    int64_t soft;
    int64_t soft_s;
};

struct output_limits {
    struct output_limit of[CLIENT_CLASSES];
};

enum {
    OUTPUT_LIMITS_TEXT_MAX = 256,
    CLIENT_MEMORY_TEXT_MAX = 24
};

/* CLASS HARD SOFT SECONDS, several times: changes the classes that it names, all or none. NULL, or the reason. */
const char *output_limits_parse(struct slice text, struct output_limits *limits);
/* All classes, as CONFIG GET shows them. */
void output_limits_format(const struct output_limits *limits, char text[OUTPUT_LIMITS_TEXT_MAX]);

/* A number of bytes, or a share of the memory ("5%"), which comes as a negative number. NULL, or the reason. */
const char *client_memory_parse(struct slice text, int64_t *ret);
void client_memory_format(int64_t number, char text[CLIENT_MEMORY_TEXT_MAX]);

#endif
