/* SPDX-License-Identifier: BSD-3-Clause */
/* client_ways.h -- one library's ways to ask a node, for bench_client (client.c).
 *
 * Each way does work->requests requests of one thread and records how long each took, from its sending to its answer; in a
 * batch all were sent when the first was. A wrong answer ends the program. */
#ifndef TERRACE_BENCH_CORE_CLIENT_WAYS_H
#define TERRACE_BENCH_CORE_CLIENT_WAYS_H

#include "bench/rng.h"
#include "protocol/histogram.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    WAY_KEY_SIZE = 16,
    WAY_VALUE_MAX = 1 << 20,
    WAY_WINDOW_MAX = 4096
};

struct work {
    const char *host;
    int port;
    const char *options; /* of libterrace, as terrace_options_parse takes them */
    bool writes;
    unsigned keys;
    size_t value_size;
    const char *value;
    unsigned window; /* requests under way at once, or of a batch */
    unsigned long requests;
    struct rng rng;
    bool in_turn; /* each key once, in place of chance */
    unsigned next;
    struct histogram *times;
};

struct library {
    const char *name;
    /* What all threads share, and what one of them has to itself. */
    void *(*open)(const struct work *work);
    void (*close)(void *shared);
    void (*sync)(void *shared, struct work *work);
    void (*batches)(void *shared, struct work *work);
    void (*async)(void *shared, struct work *work);
};

extern const struct library library_terrace;
extern const struct library library_hiredis;

/* The next key of this work, 16 bytes. */
void work_key(struct work *work, char key[WAY_KEY_SIZE + 1]);
_Noreturn void way_fails(const char *library, const char *what);

#endif
