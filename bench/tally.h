/* SPDX-License-Identifier: BSD-3-Clause */
/* tally.h -- what came back: answers judged and counted.
 *
 * Counts of keys (hits, misses, wrong) and of requests (requests, errors) are apart: one MGET is one request and many
 * keys.
 *
 * Threads: one. Units: bytes of values as the reader sees them; latencies in ns. */
#ifndef TERRACE_BENCH_TALLY_H
#define TERRACE_BENCH_TALLY_H

#include "protocol/bytes.h"
#include "protocol/histogram.h"

enum {
    TALLY_TEXT_MAX = 160
};

/* All zeros is an empty tally. */
struct tally {
    uint64_t requests;   /* answered, whatever the answer */
    uint64_t errors;     /* answered with an error, lost with a connection, or never answered */
    uint64_t lost;       /* of these: the connection broke */
    uint64_t unanswered; /* of these: no answer when the run ended (open loop) */
    uint64_t reads;      /* requests that read */
    uint64_t writes;     /* requests that write */
    uint64_t hits;       /* keys read that were there */
    uint64_t misses;     /* keys read that were not */
    uint64_t wrong;      /* values that are not their key's */
    uint64_t value_bytes_read;
    uint64_t value_bytes_written;
    struct histogram latency;
    char first_error[TALLY_TEXT_MAX];
    char first_wrong[TALLY_TEXT_MAX];
};

enum tally_read {
    TALLY_HIT,
    TALLY_MISS,
    TALLY_ERROR
};

/* Judges the reply to a GET. `key` is compared with the value's stamp when `check` is set. */
enum tally_read tally_get(struct tally *tally, struct slice reply, struct slice key, bool check);
/* The same for one key of an MGET: an element of the reply. */
enum tally_read tally_value(struct tally *tally, struct slice value, bool is_nil, struct slice key,
                            bool check);
/* Judges a reply of which only success matters. False: it is an error, and counted. */
bool tally_done(struct tally *tally, struct slice reply);
void tally_lost(struct tally *tally, const char *why);

double tally_hit_ratio(
    const struct tally *tally); /* hits / (hits + misses); 0 when nothing was read */
double tally_error_rate(const struct tally *tally); /* errors / (requests + lost + unanswered) */

#endif
