/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/propagation.h"

#include "bench/clock.h"
#include "bench/keys.h"

#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#define ANSWER_NS (10 * NS_PER_S) /* how long anything may take */
#define OLD_FIRST 2               /* polls that brought the old value before the write is sent */

enum {
    READERS_MAX = 31,
    POLLS_MAX = 1 << 14, /* under way; a power of two */
    KEYS_COUNT =
        1024, /* in turn, so that a key's last write is long over when it is written again */
    VALUE_SIZE = 32
};

struct peer {
    struct target target;
    struct pool pool; /* of one connection */
};

struct run {
    const struct options *options;
    struct propagation_result *result;
    struct keys keys;
    struct peer writer;
    struct peer readers[READERS_MAX];
    uint32_t readers_count;
    int signals;
    uint64_t version;
    char values[KEYS_COUNT][VALUE_SIZE + 1]; /* what each key holds */
};

/* One write and the polls around it. */
struct sample {
    struct run *run;
    struct conn *writer;
    struct conn *reader;
    struct slice key;
    const char *old;
    char value[VALUE_SIZE + 1];
    uint64_t polls;
    uint64_t polls_old;
    uint64_t next_poll_ns;
    uint64_t write_ns;
    uint64_t ack_ns;
    uint64_t old_sent_ns;
    uint64_t new_sent_ns; /* 0: not seen yet */
    uint64_t new_seen_ns;
    uint64_t sent_ns[POLLS_MAX]; /* of each poll, after its send */
};

/* `what`, and the first line of `words` if there are any. */
static enum status complain(struct run *run, enum status status, const char *what,
                            struct slice words)
{
    const size_t most = words.size < 200 ? words.size : 200;
    const char *end = memchr(words.data, '\r', most);
    (void)snprintf(run->result->error, sizeof run->result->error, "%s%s%.*s", what,
                   words.size > 0 ? ": " : "", end == NULL ? (int)most : (int)(end - words.data),
                   words.data);
    return status;
}

static enum status complain_of(struct run *run, enum status status, const struct peer *peer,
                               const struct conn *conn)
{
    (void)snprintf(run->result->error, sizeof run->result->error, "%.120s: %s", peer->target.name,
                   status == NO_MEMORY ? "out of memory" : conn->error);
    return status;
}

/* ------------------------------------------------------------------ peers */

static enum status open_peer(struct run *run, struct peer *peer, const struct greeting *greeting,
                             const char *name)
{
    if (target_resolve(&peer->target, name) != OK) {
        return complain(run, INVALID, peer->target.error, SLICE_LITERAL(""));
    }
    const struct pool_config config = {.target = &peer->target,
                                       .greeting = *greeting,
                                       .connections = 1,
                                       .calls_max = POLLS_MAX,
                                       .signals = -1};
    enum status status = pool_init(&peer->pool, &config);
    if (status == OK) {
        status = pool_open(&peer->pool);
    }
    return status == OK ? OK : complain(run, status, peer->pool.error, SLICE_LITERAL(""));
}

/* With --redis all targets are read; else the first one is written to. */
static enum status open_peers(struct run *run, const struct greeting *greeting)
{
    const struct options *options = run->options;
    enum status status =
        options->redis != NULL ? open_peer(run, &run->writer, greeting, options->redis) : OK;
    char *names = strdup(options->targets);
    char *rest = names;
    if (names == NULL) {
        return complain(run, NO_MEMORY, "out of memory", SLICE_LITERAL(""));
    }
    for (char *name = strsep(&rest, ","); name != NULL && status == OK; name = strsep(&rest, ",")) {
        if (run->writer.pool.conns == NULL) {
            status = open_peer(run, &run->writer, greeting, name);
        } else if (run->readers_count == READERS_MAX) {
            status = complain(run, INVALID, "--targets: at most 31 of them to read at",
                              SLICE_LITERAL(""));
        } else {
            status = open_peer(run, &run->readers[run->readers_count++], greeting, name);
        }
    }
    free(names);
    if (status == OK && run->readers_count == 0) {
        status = complain(run, INVALID,
                          "--propagation needs a node to read at: two of --targets, or --redis",
                          SLICE_LITERAL(""));
    }
    return status;
}

static void close_peer(struct peer *peer)
{
    if (peer->pool.conns != NULL) {
        pool_done(&peer->pool);
    }
}

/* Sends one command and waits for its reply, whose bytes live until the connection receives again. */
static enum status ask(struct run *run, struct peer *peer, size_t argc, const struct slice *argv,
                       struct slice *ret_reply)
{
    struct conn *conn = &peer->pool.conns[0];
    struct call call = {0};
    const uint64_t give_up_ns = clock_ns() + ANSWER_NS;
    enum status status = conn_send(conn, call, argc, argv);
    while (status == OK || status == AGAIN) {
        status = conn_flush(conn);
        if (status == OK && conn_take(conn, &call, ret_reply) == OK) {
            return OK;
        }
        if (clock_ns() > give_up_ns) {
            return complain(run, CLOSE, "no reply within 10 s", slice_of(peer->target.name));
        }
        struct pollfd waited = {.fd = conn->fd, .events = POLLIN};
        waited.events = (short)(POLLIN | (status == AGAIN ? POLLOUT : 0));
        (void)poll(&waited, 1, 100);
        status = conn_receive(conn);
    }
    return complain_of(run, status, peer, conn);
}

/* ------------------------------------------------------------------ one sample */

static bool is_bulk(struct slice reply, const char *value)
{
    struct reply_cursor cursor = {.rest = reply};
    struct reply_element element;
    return reply_next(&cursor, &element) == OK && element.type == REPLY_BULK &&
           slice_is(element.text, value);
}

/* Does the map (a list of names and values in RESP2) hold this? */
static bool says(struct slice reply, const char *name, const char *value)
{
    struct reply_cursor cursor = {.rest = reply};
    struct reply_element element;
    bool found = false;
    while (reply_next(&cursor, &element) == OK) {
        if (found) {
            return slice_is(element.text, value);
        }
        found = slice_is(element.text, name);
    }
    return false;
}

/* Until the node serves the key from L1. */
static enum status warm(struct run *run, struct peer *reader, struct slice key, const char *value)
{
    const struct slice get[2] = {SLICE_LITERAL("GET"), key};
    const struct slice explain[2] = {SLICE_LITERAL("CACHE.EXPLAIN"), key};
    const uint64_t give_up_ns = clock_ns() + ANSWER_NS;
    while (clock_ns() < give_up_ns) {
        struct slice reply;
        enum status status = ask(run, reader, 2, get, &reply);
        if (status != OK) {
            return status;
        }
        if (reply.data[0] == '-') {
            return complain(run, INVALID, "GET was answered with", reply);
        }
        const bool is_value = is_bulk(reply, value);
        status = ask(run, reader, 2, explain, &reply);
        if (status != OK) {
            return status;
        }
        if (reply.data[0] == '-') {
            return complain(run, INVALID, "CACHE.EXPLAIN was answered with", reply);
        }
        if (is_value && says(reply, "tier", "l1") && says(reply, "state", "fresh")) {
            return OK;
        }
    }
    return complain(run, CLOSE, "a key does not become a hit within 10 s", key);
}

static enum status send_poll(struct sample *it)
{
    const struct slice get[2] = {SLICE_LITERAL("GET"), it->key};
    const struct call call = {.number = it->polls};
    enum status status = conn_send(it->reader, call, 2, get);
    if (status == OK) {
        status = conn_flush(it->reader);
    }
    const uint64_t now_ns = clock_ns();
    it->sent_ns[it->polls++ % POLLS_MAX] = now_ns;
    it->next_poll_ns = now_ns + (uint64_t)(it->run->options->poll_us * 1e3);
    return status == AGAIN ? OK : status;
}

static enum status send_write(struct sample *it)
{
    const struct slice set[3] = {SLICE_LITERAL("SET"), it->key, slice_of(it->value)};
    it->write_ns = clock_ns();
    enum status status = conn_send(it->writer, (struct call){0}, 3, set);
    if (status == OK) {
        status = conn_flush(it->writer);
    }
    return status == AGAIN ? OK : status;
}

static enum status take_ack(struct sample *it)
{
    struct call call;
    struct slice reply;
    enum status status = conn_receive(it->writer);
    const uint64_t now_ns = clock_ns();
    if (status == OK) {
        status = conn_take(it->writer, &call, &reply);
    }
    if (status != OK) {
        return status == AGAIN ? OK : complain_of(it->run, status, &it->run->writer, it->writer);
    }
    it->ack_ns = now_ns;
    return reply.data[0] == '+' ? OK : complain(it->run, INVALID, "SET was answered with", reply);
}

static enum status judge_poll(struct sample *it, uint64_t sent_ns, uint64_t now_ns,
                              struct slice reply)
{
    if (is_bulk(reply, it->old)) {
        if (it->new_sent_ns != 0) {
            return complain(it->run, INVALID, "a read went back to the old value", it->key);
        }
        it->polls_old++;
        it->old_sent_ns = sent_ns;
        return OK;
    }
    if (!is_bulk(reply, it->value)) {
        return complain(it->run, INVALID, "GET brought neither the old nor the new value", reply);
    }
    if (it->new_sent_ns == 0) {
        it->new_sent_ns = sent_ns;
        it->new_seen_ns = now_ns;
    }
    return OK;
}

static enum status take_polls(struct sample *it, const struct peer *reader)
{
    enum status status = conn_receive(it->reader);
    const uint64_t now_ns = clock_ns();
    struct call call;
    struct slice reply;
    while (status == OK && (status = conn_take(it->reader, &call, &reply)) == OK) {
        status = judge_poll(it, it->sent_ns[call.number % POLLS_MAX], now_ns, reply);
        if (status != OK) {
            return status;
        }
    }
    return status == AGAIN ? OK : complain_of(it->run, status, reader, it->reader);
}

/* Until something came or the next poll is due. */
static void wait_for(const struct sample *it)
{
    const uint64_t now_ns = clock_ns();
    uint64_t wait_ns = it->next_poll_ns > now_ns ? it->next_poll_ns - now_ns : 0;
    if (it->new_sent_ns != 0 || conn_room(it->reader) == 0) {
        wait_ns = 100 * NS_PER_MS;
    }
    const struct timespec pause = {.tv_sec = (time_t)(wait_ns / NS_PER_S),
                                   .tv_nsec = (long)(wait_ns % NS_PER_S)};
    struct pollfd waited[3] = {{.fd = it->writer->fd, .events = POLLIN},
                               {.fd = it->reader->fd, .events = POLLIN},
                               {.fd = it->run->signals, .events = POLLIN}};
    it->run->result->interrupted =
        ppoll(waited, 3, &pause, NULL) > 0 && (waited[2].revents & POLLIN) != 0;
}

static enum status turn(struct sample *it, const struct peer *reader)
{
    const bool is_over = it->new_sent_ns != 0;
    enum status status = OK;
    if (!is_over && clock_ns() >= it->next_poll_ns && conn_room(it->reader) > 0) {
        status = send_poll(it);
    }
    if (status == OK && it->write_ns == 0 && it->polls_old >= OLD_FIRST) {
        status = send_write(it);
    }
    if (status == OK && it->reader->out.size > 0) { /* the socket was full */
        status = conn_flush(it->reader) == AGAIN ? OK : status;
    }
    if (status != OK) {
        return complain_of(it->run, status, reader, it->reader);
    }
    wait_for(it);
    if (it->write_ns != 0 && it->ack_ns == 0) { /* first: its time is what counts */
        status = take_ack(it);
    }
    return status == OK ? take_polls(it, reader) : status;
}

static void count(const struct sample *it)
{
    struct propagation_result *result = it->run->result;
    const bool at_ack = it->new_sent_ns <= it->ack_ns;
    result->samples++;
    result->polls += it->polls;
    result->at_ack += at_ack ? 1 : 0;
    histogram_record(&result->after_ack, at_ack ? 0 : it->new_sent_ns - it->ack_ns);
    histogram_record(&result->since_sent,
                     it->new_sent_ns > it->write_ns ? it->new_sent_ns - it->write_ns : 0);
    histogram_record(&result->answered,
                     it->new_seen_ns > it->ack_ns ? it->new_seen_ns - it->ack_ns : 0);
    histogram_record(&result->resolution, it->new_sent_ns - it->old_sent_ns);
}

static enum status measure_one(struct run *run, struct sample *it, uint64_t number)
{
    char name[KEY_SIZE_MAX];
    struct peer *reader = &run->readers[number % run->readers_count];
    char *held = run->values[number % KEYS_COUNT];
    *it = (struct sample){.run = run,
                          .writer = &run->writer.pool.conns[0],
                          .reader = &reader->pool.conns[0],
                          .key = keys_write(&run->keys, number % KEYS_COUNT, name),
                          .old = held};
    (void)snprintf(it->value, sizeof it->value, "%0*" PRIu64, VALUE_SIZE, ++run->version);
    enum status status = warm(run, reader, it->key, held);
    const uint64_t give_up_ns = clock_ns() + ANSWER_NS;
    while (status == OK && !run->result->interrupted &&
           (it->new_sent_ns == 0 || it->ack_ns == 0 || it->reader->call_count > 0)) {
        status = turn(it, reader);
        if (status == OK && clock_ns() > give_up_ns) {
            status = complain(run, CLOSE, "the new value does not come within 10 s", it->key);
        }
    }
    if (status == OK && !run->result->interrupted) {
        count(it);
        memcpy(held, it->value, sizeof it->value);
    }
    return status;
}

/* ------------------------------------------------------------------ the run */

static enum status fill(struct run *run, uint64_t samples)
{
    enum status status = OK;
    for (uint32_t i = 0; i < KEYS_COUNT && i < samples && status == OK; i++) {
        char name[KEY_SIZE_MAX];
        (void)snprintf(run->values[i], sizeof run->values[i], "%0*" PRIu64, VALUE_SIZE,
                       ++run->version);
        const struct slice set[3] = {SLICE_LITERAL("SET"), keys_write(&run->keys, i, name),
                                     slice_of(run->values[i])};
        struct slice reply;
        status = ask(run, &run->writer, 3, set, &reply);
        if (status == OK && reply.data[0] != '+') {
            status = complain(run, INVALID, "SET was answered with", reply);
        }
    }
    return status;
}

enum status propagation_run(const struct options *options, const struct greeting *greeting,
                            int signals, struct propagation_result *result)
{
    struct run *run = calloc(1, sizeof *run);
    struct sample *sample = malloc(sizeof *sample);
    enum status status = run == NULL || sample == NULL ? NO_MEMORY : OK;
    if (status == OK) {
        /* The kernel lets timers of a process be 50 us late unless told otherwise: longer than a poll's gap. */
        (void)prctl(PR_SET_TIMERSLACK, 1ul, 0, 0, 0);
        run->options = options;
        run->result = result;
        run->signals = signals;
        status = keys_init(&run->keys, slice_of(options->key_prefix));
    }
    if (status == OK) {
        status = open_peers(run, greeting);
        result->readers = run->readers_count;
        if (status == OK) {
            status = fill(run, options->requests);
        }
        for (uint64_t i = 0; i < options->requests && status == OK && !result->interrupted; i++) {
            status = measure_one(run, sample, i);
        }
        close_peer(&run->writer);
        for (uint32_t i = 0; i < run->readers_count; i++) {
            close_peer(&run->readers[i]);
        }
    }
    free(sample);
    free(run);
    return status;
}

/* ------------------------------------------------------------------ the report */

static const struct {
    const char *name;
    size_t offset;
    const char *words;
} rows[] = {
    {"after_ack_ms", offsetof(struct propagation_result, after_ack), "after the acknowledgement"},
    {"since_sent_ms", offsetof(struct propagation_result, since_sent), "after the write was sent"},
    {"answered_ms", offsetof(struct propagation_result, answered), "new value in our hands"},
    {"resolution_ms", offsetof(struct propagation_result, resolution), "between the two polls"},
};

static double quantile_ms(const struct histogram *histogram, double part)
{
    return (double)histogram_quantile_ns(histogram, part) / 1e6;
}

static enum status report_json(FILE *out, const struct propagation_result *result)
{
    json_t *root =
        json_pack("{s:I, s:I, s:I, s:I, s:b}", "samples", (json_int_t)result->samples, "at_ack",
                  (json_int_t)result->at_ack, "polls", (json_int_t)result->polls, "readers",
                  (json_int_t)result->readers, "interrupted", (int)result->interrupted);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct histogram *histogram = (const void *)((const char *)result + rows[i].offset);
        (void)json_object_set_new(root, rows[i].name,
                                  json_pack("{s:f, s:f, s:f}", "p50", quantile_ms(histogram, 0.5),
                                            "p99", quantile_ms(histogram, 0.99), "max",
                                            (double)histogram->max_ns / 1e6));
    }
    const int failure = json_dumpf(root, out, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(root);
    return failure != 0 || fputc('\n', out) == EOF || fflush(out) != 0 ? INVALID : OK;
}

enum status propagation_report(FILE *out, const struct options *options,
                               const struct propagation_result *result)
{
    if (options->json) {
        return report_json(out, result);
    }
    (void)fprintf(
        out, "%" PRIu64 " writes at %s, until %" PRIu32 " nodes serve the new value, in turn\n",
        result->samples, options->redis != NULL ? options->redis : "the first target",
        result->readers);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct histogram *histogram = (const void *)((const char *)result + rows[i].offset);
        (void)fprintf(out, "%-26s p50 %.3f p99 %.3f max %.3f ms\n", rows[i].words,
                      quantile_ms(histogram, 0.5), quantile_ms(histogram, 0.99),
                      (double)histogram->max_ns / 1e6);
    }
    (void)fprintf(out, "new at the acknowledgement %" PRIu64 ", polls %" PRIu64 "\n",
                  result->at_ack, result->polls);
    return OK;
}
