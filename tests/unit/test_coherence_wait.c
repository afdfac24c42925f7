/* SPDX-License-Identifier: BSD-3-Clause */
/* Several nodes on one bus, in one thread: markers, acks, and who is waited for how long. Redis is a counter and a queue
 * per node, so that a test decides who hears what, and when. */
#include "protocol/resp_read.h"
#include "tests/unit/l1_help.h"
#include "tiers/coherence.h"

enum {
    NODES = 3,
    T_MS = 1000,
    FENCED_MS = 1004, /* T(1 + rho), two of rounding, and one more: then nobody serves older */
    FIRST_NODE = 100,
    RUN = 9,
    MESSAGES_MAX = 512
};

struct node {
    struct coherence *coherence;
    struct namespaces *namespaces;
    struct l1 *l1; /* of `default` */
    struct metrics metrics;
    struct buf queue[MESSAGES_MAX]; /* what the bus brought it */
    size_t head;
    size_t tail;
    bool is_frozen; /* it hears and says nothing */
    bool is_cut;    /* it is not on the bus at all */
};

struct town {
    struct node nodes[NODES];
    struct epoch epoch;
    uint64_t seq;
    int64_t now_ms;
    unsigned markers;
    unsigned acks; /* of the markers, those that asked for it */
    bool in_cycle; /* Redis has not come to the end of its cycle: beats run, nothing is announced */
};

struct asker {
    struct coherence_waiter waiter;
    unsigned ended;
    enum status status;
};

static void on_done(struct coherence_waiter *waiter, enum status status)
{
    struct asker *asker = (struct asker *)(void *)waiter;
    asker->ended++;
    asker->status = status;
}

/* --- Redis ------------------------------------------------------------------------------------------------------- */

static void queue_put(struct node *node, struct slice reply)
{
    if (node->is_cut) {
        return;
    }
    assert_true(node->tail < MESSAGES_MAX);
    node->queue[node->tail] = (struct buf){0};
    assert_int_equal(buf_append_slice(&node->queue[node->tail++], reply), OK);
}

static void publish(struct town *town, struct slice frame)
{
    struct buf reply = {0};
    assert_int_equal(
        buf_printf(&reply, "*3\r\n$7\r\nmessage\r\n$11\r\nterrace:bus\r\n$%zu\r\n", frame.size),
        OK);
    assert_int_equal(buf_append_slice(&reply, frame), OK);
    assert_int_equal(buf_append(&reply, "\r\n", 2), OK);
    for (size_t i = 0; i < NODES; i++) {
        queue_put(&town->nodes[i], buf_slice(&reply));
    }
    buf_done(&reply);
}

/* What Redis announces at the end of a cycle in which a beat ran. */
static void end_cycle(struct town *town)
{
    town->in_cycle = false;
    for (size_t i = 0; i < NODES; i++) {
        queue_put(&town->nodes[i],
                  SLICE_LITERAL("*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*2\r\n"
                                "$13\r\nterrace:nodes\r\n$11\r\nterrace:seq\r\n"));
    }
}

static struct beat_answer answer_of(const struct town *town)
{
    return (struct beat_answer){
        .epoch = town->epoch, .seq = town->seq, .run = RUN, .target = town->epoch.counter};
}

/* What beat.lua does with the request of a beat. */
static void run_beat(struct town *town, struct node *node, struct slice request)
{
    struct request_reader reader;
    struct frame frame;
    struct frame_beat beat;
    struct buf numbered = {0};
    request_reader_init(&reader);
    assert_int_equal(request_read(&reader, request), OK);
    assert_int_equal(frame_read(request_arg(&reader, request, 8), &frame), OK);
    assert_int_equal(frame_beat_read(frame.body, &beat), OK);
    town->markers += frame.type == FRAME_MARKER ? 1 : 0;
    town->acks += (beat.flags & FRAME_BEAT_ACK) != 0 ? 1 : 0;
    frame.epoch = town->epoch;
    frame.seq_first = ++town->seq;
    assert_int_equal(frame_write(&numbered, &frame), OK);
    publish(town, buf_slice(&numbered));
    if (!town->in_cycle) {
        end_cycle(town);
    }
    const struct beat_answer answer = answer_of(town);
    coherence_on_beat_answer(node->coherence, &answer, town->now_ms);
    buf_done(&numbered);
    request_reader_done(&reader);
}

/* --- the nodes --------------------------------------------------------------------------------------------------- */

static void hear_all(const struct town *town, struct node *node)
{
    while (node->head < node->tail && !node->is_frozen) {
        coherence_on_bus_reply(node->coherence, buf_slice(&node->queue[node->head]), town->now_ms);
        buf_done(&node->queue[node->head++]);
    }
    if (node->head == node->tail) {
        node->head = 0;
        node->tail = 0;
    }
}

/* A turn of every loop: hear, beat if it is due; until nobody has anything left to say. */
static void turn(struct town *town)
{
    bool busy = true;
    while (busy) {
        busy = false;
        for (size_t i = 0; i < NODES; i++) {
            struct node *node = &town->nodes[i];
            hear_all(town, node);
            if (node->is_frozen || node->is_cut ||
                !coherence_beat_due(node->coherence, town->now_ms)) {
                continue;
            }
            struct buf request = {0};
            assert_int_equal(coherence_beat(node->coherence, town->now_ms, &request), OK);
            run_beat(town, node, buf_slice(&request));
            buf_done(&request);
            busy = true;
        }
    }
    for (size_t i = 0; i < NODES; i++) {
        if (!town->nodes[i].is_frozen) {
            coherence_tick(town->nodes[i].coherence, town->now_ms);
        }
    }
}

static void let_pass(struct town *town, int64_t ms)
{
    for (int64_t i = 0; i < ms; i++) {
        town->now_ms++;
        turn(town);
    }
}

static void join(struct town *town, struct node *node)
{
    const struct beat_answer answer = answer_of(town);
    coherence_on_control_up(node->coherence, &answer, town->now_ms);
    coherence_targets_confirmed(node->coherence, RUN);
    coherence_on_bus_up(node->coherence, &answer, town->now_ms);
    node->is_cut = false;
    queue_put(node, SLICE_LITERAL("+OK\r\n"));
    queue_put(node,
              SLICE_LITERAL("*3\r\n$9\r\nsubscribe\r\n$20\r\n__redis__:invalidate\r\n:1\r\n"));
    queue_put(node, SLICE_LITERAL("*3\r\n$9\r\nsubscribe\r\n$11\r\nterrace:bus\r\n:2\r\n"));
}

static void cut(const struct town *town, struct node *node)
{
    node->is_cut = true;
    hear_all(town, node);
    coherence_on_bus_lost(node->coherence, "the test cut it", town->now_ms);
}

/* All nodes on a bus that has been whole for longer than anybody's patience. */
static void town_open(struct town *town)
{
    *town = (struct town){.epoch = {.counter = 5, .random = 55}, .seq = 40, .now_ms = 5000000};
    for (size_t i = 0; i < NODES; i++) {
        struct node *node = &town->nodes[i];
        node->namespaces = help_namespaces(1 << 20);
        node->l1 = namespaces_default(node->namespaces)->l1;
        node->coherence = coherence_new(&(struct coherence_options){.namespaces = node->namespaces,
                                                                    .metrics = &node->metrics,
                                                                    .node = FIRST_NODE + i,
                                                                    .seed = 1 + i,
                                                                    .coherence_db = 15,
                                                                    .bound_ms = T_MS});
        assert_non_null(node->coherence);
        coherence_set_address(node->coherence, "127.0.0.1:7379");
        join(town, node);
    }
    let_pass(town, 2 * T_MS);
}

static void town_close(struct town *town)
{
    for (size_t i = 0; i < NODES; i++) {
        struct node *node = &town->nodes[i];
        node->is_frozen = false;
        coherence_end_waits(node->coherence);
        hear_all(town, node);
        coherence_free(node->coherence);
        namespaces_free(node->namespaces);
    }
}

static void ask(struct town *town, struct asker *asker, enum waiter_kind kind, int64_t within_ms)
{
    const uint64_t seq = asker->waiter.seq;
    *asker = (struct asker){
        .waiter = {
            .kind = kind, .seq = seq, .deadline_ms = town->now_ms + within_ms, .on_done = on_done}};
    assert_int_equal(coherence_wait(town->nodes[0].coherence, &asker->waiter, town->now_ms), OK);
}

static struct coherence_description described(const struct node *node)
{
    struct coherence_description seen;
    coherence_describe(node->coherence, &seen);
    return seen;
}

static void put(const struct town *town, struct node *node, const char *name)
{
    const struct l1_key key = l1_key(node->l1, 0, slice_of(name));
    struct item *item = help_item(&key, "v", ITEM_NEVER, town->now_ms);
    const struct l1_change change = {.l1 = node->l1, .key = key, .seen = L1_ANY, .item = item};
    assert_int_equal(l1_commit(&change, 1, town->now_ms), OK);
    item_release(item);
}

static uint64_t items(const struct node *node)
{
    return l1_count(node->l1, 0);
}

/* --- who hears whom ---------------------------------------------------------------------------------------------- */

static void every_node_hears_of_every_node(void **state)
{
    (void)state;
    struct town town;
    town_open(&town);
    for (size_t i = 0; i < NODES; i++) {
        assert_int_equal(described(&town.nodes[i]).nodes, NODES);
        const struct peers *peers = coherence_peers(town.nodes[i].coherence);
        assert_int_equal(peers->count, NODES);
        for (size_t j = 0; j < NODES; j++) {
            assert_string_equal(peers->at[j].address, "127.0.0.1:7379");
            assert_int_equal(peers->at[j].bound_ms, T_MS);
            assert_int_equal(peers->at[j].state, COHERENCE_SYNCED);
        }
    }
    town.nodes[2].is_frozen = true;
    let_pass(&town, T_MS + T_MS / 2);
    assert_int_equal(described(&town.nodes[0]).nodes, 2);
    town_close(&town);
}

/* --- markers ----------------------------------------------------------------------------------------------------- */

static void a_marker_comes_home_at_once_and_serves_all_of_a_turn(void **state)
{
    (void)state;
    struct town town;
    struct asker a = {0};
    struct asker b = {0};
    town_open(&town);
    ask(&town, &a, WAITER_MARKER, 100);
    ask(&town, &b, WAITER_MARKER, 100);
    turn(&town);
    assert_int_equal(a.ended, 1);
    assert_int_equal(b.ended, 1);
    assert_int_equal(a.status, OK);
    assert_int_equal(a.waiter.seq, b.waiter.seq);
    assert_int_equal(town.markers, 1);
    assert_int_equal(town.acks, 0);
    const uint64_t first = a.waiter.seq;
    ask(&town, &a, WAITER_MARKER,
        100); /* in the same millisecond: no pause is due between markers */
    turn(&town);
    assert_int_equal(a.ended, 1);
    assert_true(a.waiter.seq > first);
    town_close(&town);
}

/* The beats run in the middle of a cycle of Redis: what they prove, it has not announced yet. */
static void a_marker_is_applied_and_acknowledged_when_its_cycle_is_announced(void **state)
{
    (void)state;
    struct town town;
    struct asker own = {0};
    struct asker all = {0};
    struct asker later = {0};
    town_open(&town);
    town.in_cycle = true;
    later.waiter.seq = town.seq + 1;
    ask(&town, &own, WAITER_MARKER, 100);
    ask(&town, &all, WAITER_EVERYWHERE, 100);
    ask(&town, &later, WAITER_APPLIED, 100);
    turn(&town);
    assert_int_equal(town.markers, 1);
    const uint64_t marker = town.seq; /* nobody beat to acknowledge it */
    assert_int_equal(own.ended + all.ended + later.ended, 0);
    end_cycle(&town);
    turn(&town);
    assert_true(town.seq > marker);
    assert_int_equal(own.ended, 1);
    assert_int_equal(own.waiter.seq, marker);
    assert_int_equal(all.ended, 1);
    assert_int_equal(all.status, OK);
    assert_int_equal(later.ended, 1);
    town_close(&town);
}

static void an_applied_seq_needs_nothing_but_the_bus(void **state)
{
    (void)state;
    struct town town;
    town_open(&town);
    struct asker past = {.waiter = {.seq = town.seq}};
    struct asker future = {.waiter = {.seq = town.seq + 3}};
    ask(&town, &past, WAITER_APPLIED, 100);
    assert_int_equal(past.ended, 1); /* at once */
    ask(&town, &future, WAITER_APPLIED, T_MS);
    turn(&town);
    assert_int_equal(future.ended, 0);
    let_pass(&town, T_MS / 2); /* beats count, too */
    assert_int_equal(future.ended, 1);
    assert_int_equal(future.status, OK);
    assert_int_equal(town.markers, 0);
    town_close(&town);
}

static void a_seq_that_never_comes_is_a_timeout_at_the_deadline(void **state)
{
    (void)state;
    struct town town;
    town_open(&town);
    struct asker a = {.waiter = {.seq = town.seq + 1000}};
    ask(&town, &a, WAITER_APPLIED, 30);
    assert_int_equal(coherence_wait_due_ms(town.nodes[0].coherence, town.now_ms), town.now_ms + 30);
    let_pass(&town, 29);
    assert_int_equal(a.ended, 0);
    let_pass(&town, 1);
    assert_int_equal(a.ended, 1);
    assert_int_equal(a.status, TIMEOUT);
    town_close(&town);
}

/* --- everywhere -------------------------------------------------------------------------------------------------- */

static void everywhere_takes_no_time_when_all_are_well(void **state)
{
    (void)state;
    struct town town;
    struct asker a = {0};
    town_open(&town);
    ask(&town, &a, WAITER_EVERYWHERE, 100);
    turn(&town);
    assert_int_equal(a.ended, 1);
    assert_int_equal(a.status, OK);
    assert_int_equal(town.markers, 1);
    assert_int_equal(town.acks, 1);
    for (size_t i = 0; i < NODES; i++) {
        assert_true(described(&town.nodes[i]).seq >= a.waiter.seq);
    }
    town_close(&town);
}

static void a_frozen_node_is_waited_for_until_its_own_fence_is_closed_and_not_longer(void **state)
{
    (void)state;
    struct town town;
    struct asker a = {0};
    town_open(&town);
    town.nodes[1].is_frozen = true;
    const struct coherence_view *view = coherence_view(town.nodes[1].coherence);
    ask(&town, &a, WAITER_EVERYWHERE, 10 * T_MS);
    const int64_t asked_at_ms = town.now_ms;
    while (a.ended == 0) {
        assert_true(town.now_ms <= asked_at_ms + FENCED_MS);
        let_pass(&town, 1);
    }
    assert_int_equal(a.status, OK);
    assert_false(coherence_fresh(view, town.now_ms)); /* the very thing that was promised */
    assert_true(town.now_ms > asked_at_ms + T_MS / 2);
    town_close(&town);
}

static void a_node_that_left_long_ago_is_not_waited_for(void **state)
{
    (void)state;
    struct town town;
    struct asker a = {0};
    town_open(&town);
    cut(&town, &town.nodes[1]);
    let_pass(&town, 2 * T_MS);
    ask(&town, &a, WAITER_EVERYWHERE, 10 * T_MS);
    turn(&town);
    assert_int_equal(a.ended, 1);
    assert_int_equal(a.status, OK);
    town_close(&town);
}

static void a_node_whose_bus_is_cut_still_serves_and_is_waited_for(void **state)
{
    (void)state;
    struct town town;
    struct asker a = {0};
    town_open(&town);
    cut(&town, &town.nodes[1]); /* its horizon stands, so it serves hits for T */
    const struct coherence_view *view = coherence_view(town.nodes[1].coherence);
    ask(&town, &a, WAITER_EVERYWHERE, 10 * T_MS);
    turn(&town);
    while (a.ended == 0) {
        let_pass(&town, 1);
    }
    assert_int_equal(a.status, OK);
    assert_false(coherence_fresh(view, town.now_ms));
    town_close(&town);
}

static void who_has_just_joined_does_not_know_the_others_and_waits_for_time(void **state)
{
    (void)state;
    struct town town;
    struct asker a = {0};
    town_open(&town);
    cut(&town, &town.nodes[0]);
    let_pass(&town, 3 * T_MS);
    town.nodes[1].is_frozen = true; /* and serves what it has, unheard of by whoever joins now */
    join(&town, &town.nodes[0]);
    let_pass(&town, 20);
    ask(&town, &a, WAITER_EVERYWHERE, 10 * T_MS);
    const struct coherence_view *view = coherence_view(town.nodes[1].coherence);
    assert_true(coherence_fresh(view, town.now_ms));
    turn(&town);
    while (a.ended == 0) {
        let_pass(&town, 1);
    }
    assert_int_equal(a.status, OK);
    assert_false(coherence_fresh(view, town.now_ms));
    town_close(&town);
}

/* --- trouble ----------------------------------------------------------------------------------------------------- */

static void a_new_epoch_asks_again_and_old_reports_do_not_count(void **state)
{
    (void)state;
    struct town town;
    struct asker a = {0};
    town_open(&town);
    ask(&town, &a, WAITER_EVERYWHERE, 10 * T_MS);
    town.nodes[1].is_frozen = true;
    turn(&town);
    assert_int_equal(a.ended, 0);
    town.epoch = (struct epoch){.counter = 6, .random = 66}; /* FLUSHALL: numbers begin anew */
    town.seq = 0;
    let_pass(&town, T_MS / 2);
    assert_int_equal(a.ended, 0);
    town.nodes[1].is_frozen = false;
    let_pass(&town, FENCED_MS - T_MS / 2); /* after the gap of the epoch only time proves */
    assert_int_equal(a.ended, 1);
    assert_int_equal(a.status, OK);
    assert_true(a.waiter.seq <= town.seq);
    town_close(&town);
}

static void a_lost_bus_is_waited_for_and_asked_again(void **state)
{
    (void)state;
    struct town town;
    struct asker a = {0};
    town_open(&town);
    cut(&town, &town.nodes[0]);
    ask(&town, &a, WAITER_MARKER, T_MS);
    let_pass(&town, 100);
    assert_int_equal(a.ended, 0);
    assert_int_equal(town.markers, 0);
    join(&town, &town.nodes[0]);
    let_pass(&town, 30);
    assert_int_equal(a.ended, 1);
    assert_int_equal(a.status, OK);
    town_close(&town);
}

static void a_marker_that_failed_is_sent_again(void **state)
{
    (void)state;
    struct town town;
    struct asker a = {0};
    struct buf request = {0};
    town_open(&town);
    ask(&town, &a, WAITER_MARKER, T_MS);
    assert_int_equal(coherence_beat(town.nodes[0].coherence, town.now_ms, &request), OK);
    coherence_on_beat_failed(town.nodes[0].coherence, "READONLY", town.now_ms);
    assert_false(coherence_beat_due(town.nodes[0].coherence, town.now_ms)); /* not at once */
    let_pass(&town, 20);
    assert_int_equal(a.ended, 1);
    assert_int_equal(a.status, OK);
    buf_done(&request);
    town_close(&town);
}

static void nobody_waits_at_a_node_that_ends(void **state)
{
    (void)state;
    struct town town;
    struct asker a = {0};
    town_open(&town);
    town.nodes[1].is_frozen = true;
    ask(&town, &a, WAITER_EVERYWHERE, T_MS);
    turn(&town);
    coherence_end_waits(town.nodes[0].coherence);
    assert_int_equal(a.ended, 1);
    assert_int_equal(a.status, L2_DOWN);
    struct coherence_waiter late = {.kind = WAITER_MARKER, .on_done = on_done};
    assert_int_equal(coherence_wait(town.nodes[0].coherence, &late, town.now_ms), L2_DOWN);
    town_close(&town);
}

static void who_says_goodbye_is_not_waited_for_and_beats_no_more(void **state)
{
    (void)state;
    struct town town;
    struct asker a = {0};
    town_open(&town);
    struct node *leaver = &town.nodes[1];
    coherence_end_waits(leaver->coherence);
    coherence_leave(leaver->coherence);
    assert_false(coherence_has_left(leaver->coherence));
    assert_true(coherence_beat_due(leaver->coherence, town.now_ms));
    turn(&town);
    assert_true(coherence_has_left(leaver->coherence));
    ask(&town, &a, WAITER_EVERYWHERE, 10 * T_MS);
    turn(&town);
    assert_int_equal(a.ended, 1);
    assert_int_equal(a.status, OK);
    let_pass(&town, T_MS);
    assert_false(coherence_beat_due(leaver->coherence, town.now_ms));
    town_close(&town);
}

/* --- flushes ----------------------------------------------------------------------------------------------------- */

static void flush(struct town *town, const struct frame_flush *what)
{
    char body[FRAME_FLUSH_BODY_MAX];
    struct buf bytes = {0};
    const struct frame frame = {.type = FRAME_FLUSH,
                                .epoch = town->epoch,
                                .seq_first = ++town->seq,
                                .count = 1,
                                .node = 9,
                                .body = frame_flush_write(body, what)};
    assert_int_equal(frame_write(&bytes, &frame), OK);
    publish(town, buf_slice(&bytes));
    buf_done(&bytes);
}

static void a_flush_that_drops_empties_every_node_and_one_that_suspects_none(void **state)
{
    (void)state;
    struct town town;
    town_open(&town);
    for (size_t i = 0; i < NODES; i++) {
        put(&town, &town.nodes[i], "k");
    }
    const struct frame_flush suspect = {.kind = FRAME_FLUSH_SUSPECT};
    flush(&town, &suspect);
    turn(&town);
    for (size_t i = 0; i < NODES; i++) {
        assert_int_equal(items(&town.nodes[i]), 1);
        assert_int_equal(described(&town.nodes[i]).floor_ms, town.now_ms + 1);
        assert_string_equal(described(&town.nodes[i]).state_name, "SYNCED");
    }
    const struct frame_flush others = {.kind = FRAME_FLUSH_DROP, .dbs = 0x7ffe};
    for (size_t i = 0; i < NODES; i++) {
        help_set(town.nodes[i].l1, 1, "k", "v", 0, town.now_ms);
        help_set(town.nodes[i].l1, 14, "k", "v", 0, town.now_ms);
        assert_int_equal(l1_count(town.nodes[i].l1, 14), 1);
    }
    flush(&town, &others);
    turn(&town);
    for (size_t i = 0; i < NODES; i++) {
        assert_int_equal(items(&town.nodes[i]), 1);
        assert_int_equal(l1_count(town.nodes[i].l1, 1), 0);
        assert_int_equal(l1_count(town.nodes[i].l1, 14), 0);
    }
    const struct frame_flush drop = {
        .kind = FRAME_FLUSH_DROP, .dbs = 1, .name = SLICE_LITERAL("default")};
    flush(&town, &drop);
    turn(&town);
    for (size_t i = 0; i < NODES; i++) {
        assert_int_equal(items(&town.nodes[i]), 0);
        assert_string_equal(described(&town.nodes[i]).state_name, "SYNCED");
    }
    town_close(&town);
}

static void what_was_announced_is_noted_with_its_place_in_the_numbering(void **state)
{
    (void)state;
    struct town town;
    struct announcement found;
    town_open(&town);
    struct node *node = &town.nodes[0];
    assert_false(coherence_announced(node->coherence, SLICE_LITERAL("k"), &found));
    queue_put(node, SLICE_LITERAL("*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n"
                                  "*1\r\n$1\r\nk\r\n"));
    turn(&town);
    assert_true(coherence_announced(node->coherence, SLICE_LITERAL("k"), &found));
    assert_int_equal(found.after_seq, town.seq);
    assert_int_equal(found.node, 0);
    assert_int_equal(found.at_ms, town.now_ms);
    assert_int_equal(found.epoch, 5);
    town_close(&town);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_node_hears_of_every_node),
        cmocka_unit_test(a_marker_comes_home_at_once_and_serves_all_of_a_turn),
        cmocka_unit_test(a_marker_is_applied_and_acknowledged_when_its_cycle_is_announced),
        cmocka_unit_test(an_applied_seq_needs_nothing_but_the_bus),
        cmocka_unit_test(a_seq_that_never_comes_is_a_timeout_at_the_deadline),
        cmocka_unit_test(everywhere_takes_no_time_when_all_are_well),
        cmocka_unit_test(a_frozen_node_is_waited_for_until_its_own_fence_is_closed_and_not_longer),
        cmocka_unit_test(a_node_that_left_long_ago_is_not_waited_for),
        cmocka_unit_test(a_node_whose_bus_is_cut_still_serves_and_is_waited_for),
        cmocka_unit_test(who_has_just_joined_does_not_know_the_others_and_waits_for_time),
        cmocka_unit_test(a_new_epoch_asks_again_and_old_reports_do_not_count),
        cmocka_unit_test(a_lost_bus_is_waited_for_and_asked_again),
        cmocka_unit_test(a_marker_that_failed_is_sent_again),
        cmocka_unit_test(nobody_waits_at_a_node_that_ends),
        cmocka_unit_test(who_says_goodbye_is_not_waited_for_and_beats_no_more),
        cmocka_unit_test(a_flush_that_drops_empties_every_node_and_one_that_suspects_none),
        cmocka_unit_test(what_was_announced_is_noted_with_its_place_in_the_numbering),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
