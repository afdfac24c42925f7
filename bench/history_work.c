/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/clock.h"
#include "bench/history_inner.h"

#include <stdio.h>
#include <string.h>

enum {
    VALUE_DIGITS = 16,
    LIFE_KINDS = 4,
    ERROR_PAUSE_MS = 3
};

enum command {
    COMMAND_GET,
    COMMAND_MGET,
    COMMAND_SET,
    COMMAND_DEL,
    COMMAND_FINAL, /* an MGET of the read-back */
};

static const uint32_t lives_ms[LIFE_KINDS] = {5, 30, 80, 400};

/* ------------------------------------------------------------------ sessions and records */

static struct history_session *session_of(struct history_lane *lane, const struct conn *conn)
{
    struct history_session *session = &lane->sessions[conn->id];
    if (session->life != conn->lives) {
        *session = (struct history_session){.life = conn->lives, .id = lane->run->sessions++};
    }
    return session;
}

static void remember(struct history_session *session, uint32_t key)
{
    session->recent[session->recent_count++ % HISTORY_RECENT] = key;
}

static void record_read(struct history_lane *lane, struct conn *conn, const struct call *call,
                        uint32_t key, uint64_t value, uint64_t now_ns)
{
    lane->run->result->reads++;
    recorder_add(&lane->run->recorder,
                 (struct history_record){.kind = HISTORY_READ,
                                         .what = call->kind == COMMAND_FINAL ? HISTORY_FINAL : 0,
                                         .invoked_ns = call->due_ns,
                                         .completed_ns = now_ns,
                                         .value = value,
                                         .key = key,
                                         .session = session_of(lane, conn)->id,
                                         .node = lane->node});
}

static void record_end(struct history_lane *lane, struct conn *conn, const struct call *call,
                       enum history_outcome outcome, uint64_t now_ns)
{
    struct history_result *result = lane->run->result;
    result->writes_ok += outcome == HISTORY_OK ? 1 : 0;
    result->writes_refused += outcome == HISTORY_REFUSED ? 1 : 0;
    result->writes_unknown += outcome == HISTORY_UNKNOWN ? 1 : 0;
    result->writes_lost += outcome == HISTORY_LOST ? 1 : 0;
    recorder_add(&lane->run->recorder,
                 (struct history_record){.kind = HISTORY_END,
                                         .what = (uint8_t)outcome,
                                         .invoked_ns = call->due_ns,
                                         .completed_ns = now_ns,
                                         .value = call->number,
                                         .key = call->count,
                                         .session = session_of(lane, conn)->id,
                                         .node = lane->node});
}

/* ------------------------------------------------------------------ asking */

static bool draw(struct history *run, uint64_t permille)
{
    return rng_below(&run->rng, 1000) < permille;
}

static uint32_t draw_key(struct history *run, struct history_session *session)
{
    uint32_t known =
        session->recent_count < HISTORY_RECENT ? session->recent_count : HISTORY_RECENT;
    uint32_t key = 0;
    if (run->options->sessions && known > 0 && draw(run, 500)) {
        return session->recent[rng_below(&run->rng, known)];
    }
    key = (uint32_t)zipf_next(&run->zipf, &run->rng);
    remember(session, key);
    return key;
}

static void check(struct history *run, enum status status)
{
    run->out_of_memory = run->out_of_memory || status != OK;
}

/* The value's number in hex, and padding. */
static struct slice value_text(struct history *run, uint64_t value)
{
    static const char digits[] = "0123456789abcdef";
    const struct options *options = run->options;
    uint64_t size =
        options->value_min + rng_below(&run->rng, options->value_max - options->value_min + 1);
    for (int i = 0; i < VALUE_DIGITS; i++) {
        run->padding[i] = digits[(value >> (60 - 4 * i)) & 15];
    }
    return (struct slice){.data = run->padding, .size = size < VALUE_DIGITS ? VALUE_DIGITS : size};
}

static uint64_t begin_write(struct history_lane *lane, struct conn *conn, enum history_kind kind,
                            uint32_t key, uint32_t life_ms, uint64_t now_ns)
{
    struct history *run = lane->run;
    uint64_t value = run->value_base | ++run->values;
    run->result->writes++;
    run->result->stranger_writes += lane->direct && run->phase == PHASE_LOAD ? 1 : 0;
    recorder_add(&run->recorder, (struct history_record){.kind = (uint8_t)kind,
                                                         .invoked_ns = now_ns,
                                                         .value = value,
                                                         .key = key,
                                                         .session = session_of(lane, conn)->id,
                                                         .node = lane->node,
                                                         .life_ms = life_ms});
    return value;
}

static void ask_set(struct history_lane *lane, struct conn *conn, uint32_t key, uint32_t life_ms,
                    uint64_t now_ns)
{
    struct history *run = lane->run;
    char name[KEY_SIZE_MAX];
    char life[I64_DIGITS_MAX];
    uint64_t value = begin_write(lane, conn, HISTORY_SET, key, life_ms, now_ns);
    const struct slice argv[5] = {SLICE_LITERAL("SET"),
                                  keys_write(&run->keys, key, name),
                                  value_text(run, value),
                                  SLICE_LITERAL("PX"),
                                  {.data = life, .size = i64_format(life, life_ms)}};
    const struct call call = {.due_ns = now_ns, .number = value, .count = key, .kind = COMMAND_SET};
    check(run, conn_send(conn, call, life_ms == 0 ? 3 : 5, argv));
}

static void ask_delete(struct history_lane *lane, struct conn *conn, uint32_t key, uint64_t now_ns)
{
    struct history *run = lane->run;
    char name[KEY_SIZE_MAX];
    uint64_t value = begin_write(lane, conn, HISTORY_DELETE, key, 0, now_ns);
    const struct slice argv[2] = {SLICE_LITERAL("DEL"), keys_write(&run->keys, key, name)};
    const struct call call = {.due_ns = now_ns, .number = value, .count = key, .kind = COMMAND_DEL};
    check(run, conn_send(conn, call, 2, argv));
}

static void ask_write(struct history_lane *lane, struct conn *conn, uint64_t now_ns)
{
    struct history *run = lane->run;
    const struct options *options = run->options;
    struct history_session *session = session_of(lane, conn);
    uint32_t key = draw_key(run, session);
    remember(session, key);
    if (draw(run, options->deletes)) {
        ask_delete(lane, conn, key, now_ns);
    } else {
        uint32_t life_ms =
            draw(run, options->lives) ? lives_ms[rng_below(&run->rng, LIFE_KINDS)] : 0;
        ask_set(lane, conn, key, life_ms, now_ns);
    }
}

static void ask_get(struct history_lane *lane, struct conn *conn, uint64_t now_ns)
{
    struct history *run = lane->run;
    char name[KEY_SIZE_MAX];
    const struct call call = {
        .due_ns = now_ns, .number = draw_key(run, session_of(lane, conn)), .kind = COMMAND_GET};
    const struct slice argv[2] = {SLICE_LITERAL("GET"), keys_write(&run->keys, call.number, name)};
    check(run, conn_send(conn, call, 2, argv));
}

/* The keys of an MGET all follow from one number, so that they need not be remembered. */
static uint32_t mget_key(const struct history *run, const struct call *call, struct rng *rng,
                         uint32_t i)
{
    if (call->kind == COMMAND_FINAL) {
        return (uint32_t)call->number * HISTORY_CHUNK + i;
    }
    return (uint32_t)zipf_next(&run->zipf, rng);
}

static void ask_many(struct history *run, struct conn *conn, struct call call)
{
    struct rng rng;
    rng_init(&rng, call.number);
    run->argv[0] = SLICE_LITERAL("MGET");
    for (uint32_t i = 0; i < call.count; i++) {
        run->argv[i + 1] = keys_write(&run->keys, mget_key(run, &call, &rng, i),
                                      run->names + (size_t)i * KEY_SIZE_MAX);
    }
    check(run, conn_send(conn, call, call.count + 1, run->argv));
}

static void ask_read(struct history_lane *lane, struct conn *conn, uint64_t now_ns)
{
    struct history *run = lane->run;
    if (!draw(run, run->options->mgets)) {
        ask_get(lane, conn, now_ns);
        run->issued++;
        return;
    }
    ask_many(run, conn,
             (struct call){.due_ns = now_ns,
                           .number = rng_next(&run->rng),
                           .count = (uint32_t)run->options->mget_keys,
                           .kind = COMMAND_MGET});
    run->issued += run->options->mget_keys;
}

/* ------------------------------------------------------------------ batches */

static void send_fill(struct history_lane *lane, struct conn *conn, uint64_t now_ns)
{
    struct history *run = lane->run;
    for (int i = 0; i < HISTORY_CHUNK && run->fill_next < run->options->keys; i++) {
        ask_set(lane, conn, run->fill_next++, 0, now_ns);
    }
}

/* With probability 2w a batch writes every second time, so that the share of writes is w and most batches only read. */
static void send_load(struct history_lane *lane, struct conn *conn, uint64_t now_ns)
{
    struct history *run = lane->run;
    const struct options *options = run->options;
    uint64_t share =
        options->writes * (1000 - (run->filler->direct ? options->strangers : 0)) / 1000;
    bool writes = draw(run, share * 2);
    uint64_t every = share > 500 ? share : 500;
    for (uint64_t i = 0; i < options->pipeline; i++) {
        if (writes && draw(run, every)) {
            ask_write(lane, conn, now_ns);
            run->issued++;
        } else {
            ask_read(lane, conn, now_ns);
        }
    }
}

/* Strangers write as much as is their share of what all have asked so far. */
static void send_stranger(struct history_lane *lane, struct conn *conn, uint64_t now_ns)
{
    struct history *run = lane->run;
    const struct options *options = run->options;
    uint64_t budget = run->issued * options->writes * options->strangers / 1000000;
    for (uint64_t i = 0; i < options->pipeline && run->result->stranger_writes < budget; i++) {
        ask_write(lane, conn, now_ns);
        run->issued++;
    }
}

static void send_final(struct history_lane *lane, struct conn *conn, uint64_t now_ns)
{
    struct history *run = lane->run;
    uint32_t chunks = history_chunks(run);
    for (uint32_t looked = 0; looked < chunks && lane->chunks_known < chunks; looked++) {
        uint32_t chunk = lane->next_chunk;
        lane->next_chunk = chunk + 1 == chunks ? 0 : chunk + 1;
        if (lane->chunks[chunk] != 0) {
            continue;
        }
        uint32_t first = chunk * HISTORY_CHUNK;
        uint32_t left = (uint32_t)run->options->keys - first;
        lane->chunks[chunk] = 1;
        ask_many(run, conn,
                 (struct call){.due_ns = now_ns,
                               .number = chunk,
                               .count = left < HISTORY_CHUNK ? left : HISTORY_CHUNK,
                               .kind = COMMAND_FINAL});
        return;
    }
}

/* With --rate no more is asked than is due by now; strangers follow the others. */
static bool is_due(const struct history *run, uint64_t now_ns)
{
    double rate = run->options->rate;
    return rate <= 0 ||
           (double)run->issued < rate * (double)(now_ns - run->load_began_ns) / (double)NS_PER_S;
}

void history_on_ready(void *context, struct conn *conn, uint64_t now_ns)
{
    struct history_lane *lane = context;
    struct history *run = lane->run;
    if (conn->call_count != 0 || conn->resume_at_ns > now_ns || run->out_of_memory) {
        return;
    }
    switch (run->phase) {
    case PHASE_FILL:
        if (lane == run->filler) {
            send_fill(lane, conn, now_ns);
        }
        return;
    case PHASE_REST: return;
    case PHASE_LOAD:
        if (lane->direct) {
            send_stranger(lane, conn, now_ns);
        } else if (!history_is_prober(lane, conn) && is_due(run, now_ns)) {
            send_load(lane, conn, now_ns);
        }
        return;
    case PHASE_FINAL: send_final(lane, conn, now_ns); return;
    }
}

void history_probe(struct history_lane *lane, uint64_t now_ns)
{
    struct conn *conn = &lane->pool.conns[0];
    bool asks = history_is_prober(lane, conn) && conn->state == CONN_OPEN &&
                conn_room(conn) >= HISTORY_PROBES;
    for (int i = 0; i < HISTORY_PROBES && asks; i++) {
        ask_get(lane, conn, now_ns);
    }
    pool_flush(&lane->pool, conn);
}

/* ------------------------------------------------------------------ answers */

static uint64_t value_of(const struct reply_element *element)
{
    if (element->type == REPLY_NULL) {
        return HISTORY_NOTHING;
    }
    if (element->type != REPLY_BULK || element->text.size < VALUE_DIGITS) {
        return HISTORY_FOREIGN;
    }
    uint64_t value = 0;
    for (int i = 0; i < VALUE_DIGITS; i++) {
        unsigned char byte = (unsigned char)element->text.data[i];
        unsigned digit = byte >= 'a' && byte <= 'f' ? byte - 'a' + 10u : byte - (unsigned)'0';
        if (digit > 15 || (byte > '9' && byte < 'a')) {
            return HISTORY_FOREIGN;
        }
        value = value << 4 | digit;
    }
    return value == HISTORY_NOTHING ? HISTORY_FOREIGN : value;
}

static bool is_error(const struct reply_element *element)
{
    return element->type == REPLY_ERROR || element->type == REPLY_BULK_ERROR;
}

static void note_strange(struct history *run, struct slice text)
{
    struct history_result *result = run->result;
    if (result->strange[0] == '\0') {
        (void)snprintf(result->strange, sizeof result->strange, "%.*s",
                       (int)(text.size < 90 ? text.size : 90), text.data);
    }
}

/* Refusals that say that nothing was done. */
static bool nothing_done(struct slice text)
{
    static const char *const words[] = {"L2DOWN", "BUSY",       "LOADING",    "READONLY",
                                        "OOM",    "MISCONF",    "NOREPLICAS", "MASTERDOWN",
                                        "NOAUTH", "CLUSTERDOWN"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (slice_begins(text, words[i])) {
            return true;
        }
    }
    return false;
}

static enum history_outcome outcome_of(struct history *run, const struct reply_element *element)
{
    if (!is_error(element)) {
        return HISTORY_OK;
    }
    if (nothing_done(element->text)) {
        return HISTORY_REFUSED;
    }
    if (slice_begins(element->text, "UNKNOWN")) {
        /* A node that could not make sure that nothing runs late says so. */
        return memmem(element->text.data, element->text.size, "may still", 9) != NULL
                   ? HISTORY_LOST
                   : HISTORY_UNKNOWN;
    }
    if (!slice_begins(element->text, "STALE")) { /* done, but not everywhere in time */
        note_strange(run, element->text);
    }
    return HISTORY_LOST;
}

static void read_many(struct history_lane *lane, struct conn *conn, const struct call *call,
                      struct reply_cursor *cursor, uint64_t now_ns)
{
    struct rng rng;
    struct reply_element element;
    rng_init(&rng, call->number);
    for (uint32_t i = 0; i < call->count && reply_next(cursor, &element) == OK; i++) {
        uint32_t key = mget_key(lane->run, call, &rng, i);
        record_read(lane, conn, call, key, value_of(&element), now_ns);
    }
}

static void chunk_done(struct history_lane *lane, const struct call *call, bool known)
{
    if (call->kind == COMMAND_FINAL) {
        lane->chunks[call->number] = known ? 2 : 0;
        lane->chunks_known += known ? 1 : 0;
    }
}

void history_on_reply(void *context, struct conn *conn, const struct call *call, struct slice reply,
                      uint64_t now_ns)
{
    struct history_lane *lane = context;
    struct history *run = lane->run;
    struct reply_cursor cursor = {.rest = reply};
    struct reply_element element = {0};
    if (reply_next(&cursor, &element) != OK) {
        return;
    }
    bool error = is_error(&element);
    if (error) {
        conn->resume_at_ns = now_ns + ERROR_PAUSE_MS * NS_PER_MS;
    }
    run->fill_done += run->phase == PHASE_FILL ? 1 : 0;
    if (call->kind == COMMAND_SET || call->kind == COMMAND_DEL) {
        record_end(lane, conn, call, outcome_of(run, &element), now_ns);
        return;
    }
    chunk_done(lane, call, !error);
    if (error) {
        run->result->reads_refused++;
    } else if (call->kind == COMMAND_GET) {
        record_read(lane, conn, call, (uint32_t)call->number, value_of(&element), now_ns);
    } else {
        read_many(lane, conn, call, &cursor, now_ns);
    }
}

void history_on_lost(void *context, struct conn *conn, const struct call *call)
{
    struct history_lane *lane = context;
    lane->run->fill_done += lane->run->phase == PHASE_FILL ? 1 : 0;
    if (call->kind == COMMAND_SET || call->kind == COMMAND_DEL) {
        record_end(lane, conn, call, HISTORY_LOST, clock_ns());
    } else {
        chunk_done(lane, call, false);
    }
}
