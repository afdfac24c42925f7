/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/client.h"

#include "protocol/check.h"
#include "protocol/envelope.h"
#include "protocol/resp_write.h"
#include "tests/sim/nemesis.h"
#include "tests/sim/node.h"
#include "tests/sim/oracle.h"
#include "tests/sim/redis.h"
#include "tiers/managed.h"
#include "tiers/managed_write.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum call_kind {
    CALL_GET,
    CALL_SET,
    CALL_SET_PX,
    CALL_DEL,
    CALL_PASS, /* a read that passes L1 by */
};

static const char *const kind_names[] = {"GET", "SET", "SET PX", "DEL", "GET passed on"};

struct session {
    unsigned node;
    unsigned worker;
    int proto;
    bool busy;
    int least[SIM_SLOTS]; /* versions it has seen */
};

struct call {
    struct tiers_reader reader; /* first: on_value gets it */
    struct tiers_relay relay;
    struct managed_write managed;
    struct ns_key key;
    struct call *next; /* of the batch */
    struct world *world;
    struct node *node;
    struct session *session;
    enum call_kind kind;
    unsigned slot;
    uint64_t write;
    int64_t ttl_ms;
    struct oracle_read read;
};

struct client {
    struct session sessions[SIM_SESSIONS_MAX];
    unsigned session_count;
    unsigned slot_count;  /* how many slots are in use: few are hot */
    unsigned write_share; /* per mille of the calls */
    int64_t stranger_us;
    struct call *inbox[SIM_NODES_MAX][SIM_WORKERS_MAX];
};

static void think(struct world *world, struct session *session);

/* --- answers -------------------------------------------------------------------------------------------------------- */

static void finish(struct call *call)
{
    struct session *session = call->session;
    struct world *world = call->world;
    free(call);
    session->busy = false;
    think(world, session);
}

/* "v17": 17. */
static uint64_t value_of(struct world *world, struct slice bytes)
{
    uint64_t write = 0;
    if (bytes.size < 2 || bytes.data[0] != 'v' ||
        slice_to_u64((struct slice){bytes.data + 1, bytes.size - 1}, &write) != OK) {
        world_fail(world, "I0", "a value is no value: %.*s", (int)bytes.size, bytes.data);
    }
    return write;
}

/* Of managed keys L1 and readers have the shape of managed.h. */
static uint64_t value_in(const struct call *call, struct slice bytes)
{
    struct managed_value managed;
    if (!call->key.ns->managed) {
        return value_of(call->world, bytes);
    }
    if (managed_open(bytes, ITEM_NEVER, &managed) != OK) {
        world_fail(call->world, "I0", "a managed value is none");
        return 0;
    }
    return value_of(call->world, managed.value);
}

static void raise_least(int *least, int version)
{
    *least = version > *least ? version : *least;
}

static void judge(struct call *call, uint64_t shown, const char *how)
{
    call->read.shown = shown;
    call->read.how = how;
    TRACE(call->world, "session %td of node %u.%u: %s slot %u shows v%" PRIu64 " (%s)",
          call->session - call->world->client->sessions, call->session->node, call->session->worker,
          kind_names[call->kind], call->slot, shown, how);
    raise_least(&call->session->least[call->slot], oracle_judge(call->world->oracle, &call->read));
}

/* Who asks when nothing is the matter with L2 but its data gets its answer. */
static void judge_end(const struct call *call, enum status status)
{
    struct world *world = call->world;
    const int64_t known_us = (3 * (int64_t)world->bound_ms + world->read_timeout_ms) * SIM_MS;
    if ((status == L2_DOWN || status == UNKNOWN) && !call->node->dying &&
        call->read.called_us > known_us && /* the links had time to be made */
        (world->plan.faults & ~NEMESIS_GENTLE) == 0) {
        world_fail(world, "LIVE", "session %td of node %u.%u: %s slot %u ends with %s",
                   call->session - world->client->sessions, call->session->node,
                   call->session->worker, kind_names[call->kind], call->slot,
                   status == UNKNOWN ? "UNKNOWN" : "L2_DOWN");
    }
}

static void on_value(struct tiers_reader *reader, enum status status,
                     const struct tiers_value *value)
{
    struct call *call = (struct call *)(void *)reader;
    judge_end(call, status);
    if (status == OK && !call->node->dying) {
        judge(call, value->item == NULL ? 0 : value_in(call, item_value(value->item)), "from L2");
    }
    finish(call);
}

static void write_answered(struct call *call, enum status status, bool is_error, bool confirmed)
{
    struct oracle *oracle = call->world->oracle;
    TRACE(call->world, "session %td of node %u.%u: %s slot %u v%" PRIu64 ": %s",
          call->session - call->world->client->sessions, call->session->node, call->session->worker,
          kind_names[call->kind], call->slot, call->write,
          status == UNKNOWN           ? "UNKNOWN"
          : status == STALE           ? "STALE"
          : status == OK && !is_error ? "acknowledged"
                                      : "refused");
    if (status == UNKNOWN) {
        if (confirmed) {
            oracle_unknown(oracle, call->write);
        }
    } else if (status == STALE) {
        oracle_done(oracle, call->write); /* strict: nobody may rely on more */
    } else if (status != OK || is_error) {
        oracle_down(oracle, call->write);
    } else {
        oracle_acked(oracle, call->write);
        const int version = oracle_version_of(oracle, call->write);
        oracle_told(oracle, call->slot, version);
        raise_least(&call->node->least[call->slot], version);
        raise_least(&call->session->least[call->slot], version);
    }
}

static void passed_answered(struct call *call, struct slice reply)
{
    struct reply_cursor cursor = {reply};
    struct reply_element element;
    CHECK(reply_next(&cursor, &element) == OK);
    if (element.type == REPLY_NULL) {
        judge(call, 0, "passed on");
    } else if (element.type == REPLY_BULK) {
        judge(call, value_of(call->world, element.text), "passed on");
    }
}

static void on_reply(struct tiers_relay *relay, enum status status, struct slice reply)
{
    struct call *call = LIST_ENTRY(relay, struct call, relay);
    if (call->node->dying) { /* nobody is told anything any more */
        finish(call);
        return;
    }
    judge_end(call, status);
    if (call->kind != CALL_PASS) {
        write_answered(call, status, status == OK && reply.data[0] == REPLY_ERROR,
                       call->relay.confirmed);
    } else if (status == OK) {
        passed_answered(call, reply);
    }
    finish(call);
}

/* --- on the worker ---------------------------------------------------------------------------------------------------- */

/* I10, and the fence itself: a hit needs an own beat that was sent at most T ago and came home. */
static void judge_hit(struct call *call)
{
    struct world *world = call->world;
    const int64_t age_us = world->now_us - call->node->proved_us;
    world->oracle->hits++;
    if (call->node->proved_us == 0 || age_us > oracle_bound_us(world, call->slot)) {
        world_fail(world, "I10",
                   "node %u serves slot %u from L1; its newest proof is %" PRId64 " ms old",
                   call->node->slot, call->slot, age_us / SIM_MS);
    }
}

static void run_get(struct call *call, struct tiers_window *window)
{
    char room[128];
    bool foreign = false;
    struct l1_value value = {.copy = room, .copy_room = sizeof room};
    call->reader.on_value = on_value;
    const enum status status =
        tiers_get(window, &call->key, call->session->proto, &value, &call->reader, &foreign);
    if (status == PENDING) {
        return;
    }
    if (status == OK) {
        judge_hit(call);
        judge(call, value_in(call, value.bytes), "hit");
        item_release(value.item);
    }
    judge_end(call, status);
    finish(call);
}

static void write_request(const struct call *call, struct buf *out)
{
    char value[24];
    char ttl[24];
    const char letters[] = {'o', 'p', '\0'};
    (void)snprintf(value, sizeof value, "%s%" PRIu64, call->kind == CALL_DEL ? letters : "v",
                   call->write);
    (void)snprintf(ttl, sizeof ttl, "%" PRId64, call->ttl_ms);
    const char *verbs[] = {"GET", "SET", "SET", "DEL", "GET"};
    const size_t words[] = {2, 3, 5, 3, 2};
    const struct slice argv[] = {slice_of(verbs[call->kind]), call->key.at.bytes, slice_of(value),
                                 SLICE_LITERAL("PX"), slice_of(ttl)};
    CHECK(resp_append_request(out, words[call->kind], argv) == OK);
}

static void run_relay(struct call *call, struct tiers_window *window)
{
    struct buf bytes = {0};
    write_request(call, &bytes);
    call->relay = (struct tiers_relay){.on_reply = on_reply,
                                       .keys = &call->key.at,
                                       .key_count = 1,
                                       .writes = call->kind != CALL_PASS,
                                       .db = call->key.at.db};
    const enum status status =
        tiers_relay(window, &call->relay, call->session->proto, buf_slice(&bytes));
    buf_done(&bytes);
    if (status != OK) {
        judge_end(call, status);
        if (call->kind != CALL_PASS) {
            write_answered(call, status, false, false);
        }
        finish(call);
    }
}

static void on_written(struct managed_write *managed, enum status status, uint64_t seq,
                       struct slice error)
{
    struct call *call = LIST_ENTRY(managed, struct call, managed);
    (void)seq;
    (void)error;
    if (!call->node->dying) {
        judge_end(call, status);
        write_answered(call, status, false, managed->confirmed);
    }
    finish(call);
}

/* Instead of DEL, which says no number: an envelope that says there is nothing (redis.h). */
static void run_managed(struct call *call, struct tiers_window *window)
{
    struct buf bytes = {0};
    char text[24];
    const int size = snprintf(text, sizeof text, "v%" PRIu64, call->write);
    const int64_t ttl_ms = call->kind == CALL_SET_PX ? call->ttl_ms : 0;
    struct envelope envelope = {.kind = ENVELOPE_NEGATIVE, .load_ms = (uint32_t)call->write};
    if (call->kind != CALL_DEL) {
        envelope = (struct envelope){.kind = ENVELOPE_RAW,
                                     .fresh_ms = (uint64_t)ttl_ms,
                                     .value_size = (uint32_t)size,
                                     .body = {text, (size_t)size}};
    }
    CHECK(envelope_write(&bytes, &envelope, NULL) == OK);
    call->managed = (struct managed_write){.on_written = on_written,
                                           .op = MANAGED_PUT,
                                           .key = call->key.at,
                                           .envelope = buf_slice(&bytes),
                                           .px_ms = ttl_ms};
    const enum status status = managed_write_send(window, &call->managed);
    buf_done(&bytes);
    if (status != OK) {
        judge_end(call, status);
        write_answered(call, status, false, false);
        finish(call);
    }
}

static void on_batch(struct world *world, void *arg, uint64_t worker)
{
    struct node *node = arg;
    struct call *call = world->client->inbox[node->slot][worker];
    world->client->inbox[node->slot][worker] = NULL;
    if (call == NULL) {
        return; /* an earlier batch took them */
    }
    struct tiers_window *window = node_begin_batch(node, (unsigned)worker);
    while (call != NULL) {
        struct call *next = call->next;
        if (call->kind == CALL_GET || (call->kind == CALL_PASS && call->key.ns->managed)) {
            run_get(call, window);
        } else if (call->key.ns->managed) {
            run_managed(call, window);
        } else {
            run_relay(call, window);
        }
        call = next;
    }
}

/* --- sessions ------------------------------------------------------------------------------------------------------------ */

static enum call_kind choose_kind(struct world *world)
{
    if (!world_chance(world, world->client->write_share)) {
        return world_chance(world, 60) ? CALL_PASS : CALL_GET;
    }
    const uint64_t turn = world_below(world, 10);
    return turn < 6 ? CALL_SET : turn < 8 ? CALL_SET_PX : CALL_DEL;
}

/* The first slots are asked for most. */
static unsigned choose_slot(struct world *world)
{
    const unsigned count = world->client->slot_count;
    const unsigned place = world_chance(world, 500) ? 0 : (unsigned)world_below(world, count);
    return place % 2 == 0 ? place / 2 : SIM_KEYS + place / 2;
}

static void on_call(struct world *world, void *arg, uint64_t number)
{
    struct session *session = arg;
    struct node *node = world->nodes[session->node];
    (void)number;
    if (world->calm || session->busy || node == NULL) {
        return;
    }
    if (node->dying) { /* it refuses clients; another one will take its place */
        think(world, session);
        return;
    }
    struct call *call = sim_alloc(sizeof *call);
    call->world = world;
    call->node = node;
    call->session = session;
    call->kind = choose_kind(world);
    call->slot = choose_slot(world);
    call->key = namespaces_key(node->namespaces, (uint8_t)redis_slot_db(call->slot),
                               redis_slot_key(call->slot));
    if (call->kind != CALL_GET && call->kind != CALL_PASS) {
        call->write = oracle_begin_write(world->oracle, call->slot);
        call->ttl_ms = world_between(world, 1, 2 * (int64_t)world->bound_ms);
    }
    call->read = (struct oracle_read){.slot = call->slot,
                                      .called_us = world->now_us,
                                      .session_least = session->least[call->slot],
                                      .node_least = node->least[call->slot],
                                      .told_least = world->oracle->told[call->slot],
                                      .deaf_us = node->deaf_us};
    session->busy = true;
    struct call **last = &world->client->inbox[session->node][session->worker];
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = call;
    world_at(world, world_between(world, 0, 300), &node->threads[1 + session->worker], on_batch,
             node, session->worker);
}

static void think(struct world *world, struct session *session)
{
    if (world->calm) {
        return;
    }
    const uint64_t mood = world_below(world, 100);
    const int64_t most_us = mood < 70   ? 6 * SIM_MS
                            : mood < 96 ? 60 * SIM_MS
                                        : 2 * (int64_t)world->bound_ms * SIM_MS;
    world_at(world, world_between(world, 0, most_us), NULL, on_call, session, 0);
}

/* --- strangers ------------------------------------------------------------------------------------------------------------ */

static void on_stranger(struct world *world, void *arg, uint64_t number)
{
    struct client *client = arg;
    struct redis *redis = world->truth;
    (void)number;
    if (world->calm) {
        return;
    }
    world_at(world, world_between(world, 1, client->stranger_us), NULL, on_stranger, client, 0);
    const uint64_t turn = world_below(world, 10);
    struct redis_stranger write = {.slot = choose_slot(world)};
    if (turn == 0 || SIM_IS_MANAGED(world, write.slot)) { /* whose writers are nodes */
        redis_expire(redis);
        return;
    }
    write.write = oracle_begin_write(world->oracle, write.slot);
    write.ttl_us = turn == 1   ? -1
                   : turn <= 3 ? world_between(world, 1, 2 * (int64_t)world->bound_ms) * SIM_MS
                               : 0;
    if (turn <= 5) {
        redis->beside = write;
        redis->has_beside = true;
    } else {
        TRACE(world, "a stranger writes v%" PRIu64 " to slot %u", write.write, write.slot);
        redis_stranger_write(redis, write);
    }
}

/* --- life -------------------------------------------------------------------------------------------------------------------- */

struct client *client_new(struct world *world)
{
    struct client *client = sim_alloc(sizeof *client);
    static const unsigned shares[] = {50, 200, 500};
    client->slot_count = 1 + (unsigned)world_below(world, SIM_SLOTS);
    client->write_share = shares[world_below(world, 3)];
    client->stranger_us = world_between(world, 10, 200) * SIM_MS;
    client->session_count =
        world->node_count * (1 + (unsigned)world_below(world, SIM_SESSIONS_MAX / SIM_NODES_MAX));
    const bool resp3 = world_chance(world, 300);
    for (unsigned i = 0; i < client->session_count; i++) {
        client->sessions[i] =
            (struct session){.node = i % world->node_count,
                             .worker = (unsigned)world_below(world, world->worker_count),
                             .proto = resp3 && world_chance(world, 500) ? 3 : 2};
    }
    return client;
}

void client_start(struct world *world)
{
    struct client *client = world->client;
    for (unsigned i = 0; i < client->session_count; i++) {
        think(world, &client->sessions[i]);
    }
    world_at(world, client->stranger_us, NULL, on_stranger, client, 0);
}

void client_node_dies(struct world *world, const struct node *node)
{
    struct client *client = world->client;
    for (unsigned worker = 0; worker < world->worker_count; worker++) {
        struct call *call = client->inbox[node->slot][worker];
        client->inbox[node->slot][worker] = NULL;
        while (call != NULL) {
            struct call *next = call->next;
            finish(call);
            call = next;
        }
    }
    for (unsigned i = 0; i < client->session_count; i++) {
        if (client->sessions[i].node == node->slot) {
            for (unsigned slot = 0; slot < SIM_SLOTS; slot++) {
                client->sessions[i].least[slot] = 0;
            }
        }
    }
}

unsigned client_busy(const struct world *world)
{
    unsigned busy = 0;
    for (unsigned i = 0; i < world->client->session_count; i++) {
        busy += world->client->sessions[i].busy;
    }
    return busy;
}

void client_free(struct client *client)
{
    for (unsigned i = 0; i < SIM_NODES_MAX * SIM_WORKERS_MAX; i++) {
        struct call *call = client->inbox[i / SIM_WORKERS_MAX][i % SIM_WORKERS_MAX];
        while (call != NULL) {
            struct call *next = call->next;
            free(call);
            call = next;
        }
    }
    free(client);
}
