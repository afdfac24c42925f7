/* SPDX-License-Identifier: BSD-3-Clause */
/* history_inner.h -- what the two halves of a recorded run share: the run (history.c) and its commands
 * (history_work.c). */
#ifndef TERRACE_BENCH_HISTORY_INNER_H
#define TERRACE_BENCH_HISTORY_INNER_H

#include "bench/history.h"
#include "bench/keys.h"
#include "bench/recorder.h"
#include "bench/rng.h"
#include "bench/zipf.h"

enum {
    HISTORY_RECENT = 8,
    HISTORY_PROBES = 4, /* reads at a time */
    HISTORY_UNANSWERED_MAX = 4096,
    HISTORY_CHUNK = 32, /* keys of one MGET of the read-back, and commands of a batch of the fill */
};

enum history_phase {
    PHASE_FILL,
    PHASE_REST, /* nobody asks */
    PHASE_LOAD,
    PHASE_FINAL,
};

struct history_session {
    uint64_t life; /* of the connection; another one: another session */
    uint32_t id;
    uint32_t recent_count;
    uint32_t recent[HISTORY_RECENT]; /* keys it touched, for --sessions */
};

struct history;

struct history_lane {
    struct history *run;
    struct target target;
    struct pool pool;
    struct history_session *sessions; /* by connection */
    uint16_t node;
    bool direct;           /* Redis itself */
    unsigned char *chunks; /* of the read-back: 0 to ask, 1 asked, 2 known */
    uint32_t chunks_known;
    uint32_t next_chunk;
};

struct history {
    const struct options *options;
    struct history_result *result;
    struct recorder recorder;
    struct keys keys;
    struct zipf zipf;
    struct rng rng;
    enum history_phase phase;
    uint32_t lanes_count;
    struct history_lane *lanes;
    struct history_lane *filler;
    uint64_t value_base; /* writer << HISTORY_WRITER_SHIFT */
    uint64_t values;
    uint32_t sessions;
    uint32_t fill_next;
    uint32_t fill_done;
    uint64_t issued; /* in the load */
    uint64_t load_began_ns;
    bool out_of_memory;
    char *padding; /* of the longest value */
    struct slice *argv;
    char *names;
};

void history_on_reply(void *context, struct conn *conn, const struct call *call, struct slice reply,
                      uint64_t now_ns);
void history_on_ready(void *context, struct conn *conn, uint64_t now_ns);
void history_on_lost(void *context, struct conn *conn, const struct call *call);
/* The lane's prober asks, whatever is still unanswered. */
void history_probe(struct history_lane *lane, uint64_t now_ns);

static inline bool history_is_prober(const struct history_lane *lane, const struct conn *conn)
{
    const struct options *options = lane->run->options;
    return !lane->direct && conn->id == 0 && options->probe_ms > 0 && options->connections > 1;
}

static inline uint32_t history_chunks(const struct history *run)
{
    return (uint32_t)((run->options->keys + HISTORY_CHUNK - 1) / HISTORY_CHUNK);
}

#endif
