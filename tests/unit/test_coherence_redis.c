/* SPDX-License-Identifier: BSD-3-Clause */
/* Links and coherence against a redis-server of their own, on a Unix socket: what is elsewhere written by hand (the
 * greeting, the script's frames, announcements) is Redis' own here. Time is real only where Redis' is waited for. */
#include "tests/unit/coherence_help.h"
#include "tiers/base/clock.h"
#include "tiers/link.h"

#include <hiredis/hiredis.h>

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    PATIENCE_MS = 20000,
    TURN_MS = 20
};

struct world;

/* A link and its socket. */
struct wire {
    struct world *world;
    struct link *link;
    int fd; /* -1: none */
};

struct world {
    char folder[32];
    char path[64];
    pid_t pid;
    struct clock clock;
    struct l2_url url;
    struct namespaces *namespaces;
    struct l1 *l1; /* of `default` */
    struct coherence *coherence;
    struct metrics metrics;
    struct wire control;
    struct wire bus;
    struct link_request beat;
    bool beat_waits;
    redisContext *stranger; /* somebody else's connection */
};

/* --- a Redis ----------------------------------------------------------------------------------------------------- */

static void redis_start(struct world *world)
{
    (void)snprintf(world->folder, sizeof world->folder, "/tmp/terrace-test-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    (void)snprintf(world->path, sizeof world->path, "%s/s", world->folder);
    world->pid = fork();
    assert_true(world->pid >= 0);
    if (world->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)!freopen("/dev/null", "w", stdout);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", world->path, "--dir",
               world->folder, "--save", "", (char *)NULL);
        _exit(127);
    }
    const int64_t until_ms = clock_now_ms(&world->clock) + PATIENCE_MS;
    for (;;) {
        world->stranger = redisConnectUnix(world->path);
        assert_non_null(world->stranger);
        if (world->stranger->err == 0) {
            return;
        }
        redisFree(world->stranger);
        assert_int_equal(waitpid(world->pid, NULL, WNOHANG), 0); /* else it is not installed */
        assert_true(clock_now_ms(&world->clock) < until_ms);
        (void)poll(NULL, 0, TURN_MS);
    }
}

static void redis_end(struct world *world)
{
    redisFree(world->stranger);
    kill(world->pid, SIGKILL);
    waitpid(world->pid, NULL, 0);
    unlink(world->path);
    rmdir(world->folder);
}

static void stranger_says(struct world *world, const char *command)
{
    redisReply *reply = redisCommand(world->stranger, command);
    assert_non_null(reply);
    assert_int_not_equal(reply->type, REDIS_REPLY_ERROR);
    freeReplyObject(reply);
}

/* --- a small roof ------------------------------------------------------------------------------------------------ */

static void on_connect(void *arg, struct link *link)
{
    struct wire *wire = arg;
    (void)link;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", wire->world->path);
    wire->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(wire->fd, (const struct sockaddr *)&address, sizeof address), 0);
}

static void on_close(void *arg, struct link *link)
{
    struct wire *wire = arg;
    (void)link;
    close(wire->fd);
    wire->fd = -1;
}

static void on_wants_flush(void *arg, struct link *link)
{
    (void)arg;
    (void)link; /* every turn flushes */
}

static void on_control_ready(struct link *link, void *arg, const struct beat_answer *answer)
{
    struct wire *wire = arg;
    (void)link;
    coherence_on_control_up(wire->world->coherence, answer, clock_now_ms(&wire->world->clock));
}

static void on_bus_ready(struct link *link, void *arg, const struct beat_answer *answer)
{
    struct wire *wire = arg;
    struct buf greeting = {0};
    const int64_t now_ms = clock_now_ms(&wire->world->clock);
    assert_int_equal(coherence_bus_greeting(&greeting, link_client_id(link)), OK);
    assert_int_equal(link_say(link, buf_slice(&greeting)), OK);
    coherence_on_bus_up(wire->world->coherence, answer, now_ms);
    buf_done(&greeting);
}

static void on_bus_down(struct link *link, void *arg, const char *why)
{
    struct wire *wire = arg;
    (void)link;
    coherence_on_bus_lost(wire->world->coherence, why, clock_now_ms(&wire->world->clock));
}

static void on_bus_push(struct link *link, void *arg, struct slice reply)
{
    struct wire *wire = arg;
    (void)link;
    coherence_on_bus_reply(wire->world->coherence, reply, clock_now_ms(&wire->world->clock));
}

static void on_beat(struct link_request *request, enum status status, struct slice reply)
{
    struct world *world = LIST_ENTRY(request, struct world, beat);
    struct beat_answer answer;
    char error[BEAT_ERROR_MAX] = "lost";
    world->beat_waits = false;
    if (status == OK && beat_read(reply, &answer, error) == OK) {
        coherence_on_beat_answer(world->coherence, &answer, clock_now_ms(&world->clock));
    } else {
        coherence_on_beat_failed(world->coherence, error, clock_now_ms(&world->clock));
    }
}

static void beat_if_due(struct world *world, int64_t now_ms)
{
    struct buf out = {0};
    if (!world->beat_waits && link_state(world->control.link) == LINK_READY &&
        coherence_beat_due(world->coherence, now_ms)) {
        assert_int_equal(coherence_beat(world->coherence, now_ms, &out), OK);
        world->beat = (struct link_request){.on_reply = on_beat};
        assert_int_equal(link_ask(world->control.link, &world->beat, -1, buf_slice(&out)), OK);
        world->beat_waits = true;
    }
    buf_done(&out);
}

static void wire_turn(struct wire *wire, int64_t now_ms)
{
    link_tick(wire->link, now_ms);
    if (link_state(wire->link) == LINK_CONNECTING) {
        link_on_connected(wire->link, now_ms);
    }
    for (struct slice out = link_output(wire->link); out.size > 0; out = link_output(wire->link)) {
        const ssize_t sent = send(wire->fd, out.data, out.size, MSG_NOSIGNAL);
        assert_true(sent > 0);
        link_on_written(wire->link, (size_t)sent);
    }
}

static void wire_read(struct wire *wire)
{
    size_t room = 0;
    char *at = link_read_room(wire->link, 4096, &room);
    assert_non_null(at);
    const ssize_t got = recv(wire->fd, at, room, 0);
    if (got > 0) {
        link_on_read(wire->link, (size_t)got, clock_now_ms(&wire->world->clock));
    } else {
        close(wire->fd);
        wire->fd = -1;
        link_on_lost(wire->link, "closed", clock_now_ms(&wire->world->clock));
    }
}

static void world_turn(struct world *world)
{
    const int64_t now_ms = clock_now_ms(&world->clock);
    beat_if_due(world, now_ms);
    wire_turn(&world->control, now_ms);
    wire_turn(&world->bus, now_ms);
    coherence_tick(world->coherence, now_ms);
    coherence_targets_confirmed(world->coherence, coherence_unconfirmed_run(world->coherence));
    struct wire *const wires[] = {&world->control, &world->bus};
    struct pollfd polls[] = {{.fd = world->control.fd, .events = POLLIN},
                             {.fd = world->bus.fd, .events = POLLIN}};
    (void)poll(polls, 2, TURN_MS);
    for (int i = 0; i < 2; i++) {
        if (polls[i].fd >= 0 && polls[i].revents != 0) {
            wire_read(wires[i]);
        }
    }
}

static struct coherence_description described(const struct world *world)
{
    struct coherence_description seen;
    coherence_describe(world->coherence, &seen);
    return seen;
}

static int64_t patience_ends_ms(const struct world *world)
{
    return clock_now_ms(&world->clock) + PATIENCE_MS;
}

static void turn_before(struct world *world, int64_t until_ms, const char *what)
{
    if (clock_now_ms(&world->clock) > until_ms) {
        fail_msg("never: %s (%s)", what, described(world).reason);
    }
    world_turn(world);
}

#define TURN_UNTIL(world, condition)                                  \
    for (int64_t until_ms = patience_ends_ms(world); !(condition);) { \
        turn_before((world), until_ms, #condition);                   \
    }

static struct link *wire_open(struct wire *wire, struct world *world, bool is_bus)
{
    wire->world = world;
    wire->fd = -1;
    wire->link =
        link_new(&(struct link_options){.url = &world->url,
                                        .proto = 2,
                                        .coherence_db = 15,
                                        .node = NODE,
                                        .metrics = &world->metrics,
                                        .io = {.roof = wire,
                                               .connect = on_connect,
                                               .close = on_close,
                                               .wants_flush = on_wants_flush},
                                        .on_ready = is_bus ? on_bus_ready : on_control_ready,
                                        .on_down = is_bus ? on_bus_down : NULL,
                                        .on_push = is_bus ? on_bus_push : NULL,
                                        .arg = wire});
    return wire->link;
}

static int world_open(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    clock_open(&world->clock);
    redis_start(world);
    world->url = (struct l2_url){.is_unix = true, .host = world->path};
    world->namespaces = help_namespaces(1 << 20);
    world->l1 = namespaces_default(world->namespaces)->l1;
    world->coherence = coherence_new(&(struct coherence_options){.namespaces = world->namespaces,
                                                                 .metrics = &world->metrics,
                                                                 .node = NODE,
                                                                 .coherence_db = 15,
                                                                 .bound_ms = T_MS});
    assert_non_null(wire_open(&world->control, world, false));
    assert_non_null(wire_open(&world->bus, world, true));
    *state = world;
    return 0;
}

static int world_done(void **state)
{
    struct world *world = *state;
    link_free(world->bus.link);
    link_free(world->control.link);
    coherence_free(world->coherence);
    namespaces_free(world->namespaces);
    redis_end(world);
    free(world);
    return 0;
}

static void a_real_redis_brings_it_to_synced_and_keeps_it_there(void **state)
{
    struct world *world = *state;
    TURN_UNTIL(world, described(world).state == COHERENCE_SYNCED);
    assert_int_equal(described(world).epoch.counter, 1);
    const uint64_t home = metrics_read(&world->metrics, M_BEATS_HOME);
    TURN_UNTIL(world, metrics_read(&world->metrics, M_BEATS_HOME) >= home + 4);
    assert_int_equal(described(world).state, COHERENCE_SYNCED);
    assert_true(coherence_fresh(coherence_view(world->coherence), clock_now_ms(&world->clock)));
    assert_int_equal(metrics_read(&world->metrics, M_BUS_MALFORMED), 0);
    assert_int_equal(metrics_read(&world->metrics, M_BUS_HOLES), 0);
    assert_true(described(world).stream_hash != 0);
}

static void what_a_stranger_changes_is_forgotten(void **state)
{
    struct world *world = *state;
    TURN_UNTIL(world, described(world).state == COHERENCE_SYNCED);
    static const char *const changes[] = {"SET k 1",
                                          "INCR k",
                                          "EXPIRE k 100",
                                          "APPEND k x",
                                          "DEL k",
                                          "MSET k 1 l 2",
                                          "EVAL redis.call('del','k') 0",
                                          "RENAME l k"};
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        help_set(world->l1, 0, "k", "old", ITEM_NEVER, 1);
        help_set(world->l1, 0, "untouched", "old", ITEM_NEVER, 1);
        if (strncmp(changes[i], "EVAL", 4) == 0) { /* an undeclared key */
            redisReply *reply = redisCommand(world->stranger, "EVAL %s 0", "redis.call('del','k')");
            assert_non_null(reply);
            freeReplyObject(reply);
        } else {
            stranger_says(world, changes[i]);
        }
        TURN_UNTIL(world, help_is(world->l1, 0, "k", NULL, 1));
        assert_true(help_is(world->l1, 0, "untouched", "old", 1));
    }
    assert_int_equal(metrics_read(&world->metrics, M_BUS_MALFORMED), 0);
}

static void a_flush_is_announced_and_begins_a_new_epoch(void **state)
{
    struct world *world = *state;
    TURN_UNTIL(world, described(world).state == COHERENCE_SYNCED);
    const uint64_t floors = metrics_read(&world->metrics, M_FLOORS_EPOCH);
    stranger_says(world, "FLUSHALL");
    TURN_UNTIL(world,
               described(world).epoch.counter == 2 && described(world).state == COHERENCE_SYNCED);
    assert_int_equal(metrics_read(&world->metrics, M_FLOORS_EPOCH), floors + 1);
    assert_true(metrics_read(&world->metrics, M_ANNOUNCED_FLUSHES) >= 1);
    assert_int_equal(metrics_read(&world->metrics, M_EPOCHS), 1);
}

static void a_killed_bus_comes_back_with_a_new_generation(void **state)
{
    struct world *world = *state;
    TURN_UNTIL(world, described(world).state == COHERENCE_SYNCED);
    const uint64_t generation = described(world).generation;
    stranger_says(world, "CLIENT KILL TYPE pubsub");
    TURN_UNTIL(world, described(world).state == COHERENCE_DETACHED);
    TURN_UNTIL(world, described(world).state == COHERENCE_SYNCED);
    assert_int_equal(described(world).generation, generation + 2);
    assert_int_equal(metrics_read(&world->metrics, M_BUS_LOSSES), 1);
}

static void forged_publishes_close_the_fence_and_it_opens_again(void **state)
{
    struct world *world = *state;
    TURN_UNTIL(world, described(world).state == COHERENCE_SYNCED);
    stranger_says(world, "PUBLISH terrace:bus junk");
    TURN_UNTIL(world, metrics_read(&world->metrics, M_BUS_MALFORMED) == 1);
    assert_int_equal(described(world).state, COHERENCE_CATCHUP);
    TURN_UNTIL(world, described(world).state == COHERENCE_SYNCED);
    assert_int_equal(metrics_read(&world->metrics, M_FLOORS_MALFORMED), 1);
    stranger_says(world, "PUBLISH __redis__:invalidate k");
    TURN_UNTIL(world, metrics_read(&world->metrics, M_BUS_MALFORMED) == 2);
    /* Counted, for all of this may happen within one millisecond. */
    assert_int_equal(metrics_read(&world->metrics, M_FLOORS_MALFORMED), 2);
}

static void a_redis_that_turns_replica_makes_it_suspect_and_says_why(void **state)
{
    struct world *world = *state;
    TURN_UNTIL(world, described(world).state == COHERENCE_SYNCED);
    stranger_says(world, "REPLICAOF 127.0.0.1 1");
    TURN_UNTIL(world, described(world).state == COHERENCE_SUSPECT);
    assert_non_null(strstr(described(world).reason, "READONLY"));
    stranger_says(world, "REPLICAOF NO ONE");
    TURN_UNTIL(world, described(world).state == COHERENCE_SYNCED);
    assert_int_equal(described(world).epoch.counter, 2); /* a promotion */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_real_redis_brings_it_to_synced_and_keeps_it_there,
                                        world_open, world_done),
        cmocka_unit_test_setup_teardown(what_a_stranger_changes_is_forgotten, world_open,
                                        world_done),
        cmocka_unit_test_setup_teardown(a_flush_is_announced_and_begins_a_new_epoch, world_open,
                                        world_done),
        cmocka_unit_test_setup_teardown(a_killed_bus_comes_back_with_a_new_generation, world_open,
                                        world_done),
        cmocka_unit_test_setup_teardown(forged_publishes_close_the_fence_and_it_opens_again,
                                        world_open, world_done),
        cmocka_unit_test_setup_teardown(a_redis_that_turns_replica_makes_it_suspect_and_says_why,
                                        world_open, world_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
