/* SPDX-License-Identifier: BSD-3-Clause */
/* The engine that warms: who goes first, how much is under way, what is tried again. A worker without clients, its window with
 * one link, and a Redis that is a function; the loop is a real one, for its timer. */
#include "protocol/resp_read.h"
#include "server/node.h"
#include "server/warm_run.h"
#include "server/worker.h"
#include "tests/unit/window_help.h"

#include <stdlib.h>

enum {
    BOUND = 60000,
    NAMES_MAX = 4096,
    NAME_SIZE = 16,
    LIST = 300
};

struct scene {
    struct stage stage; /* first */
    struct node node;
    struct worker worker;
    struct worker *workers[1];
    bool serves;        /* Redis answers */
    unsigned asked;     /* keys, so far */
    unsigned most_open; /* questions at once without an answer */
    char names[NAMES_MAX][NAME_SIZE];
};

/* A list of keys "a0", "a1" ... and what came of it. */
struct list_of {
    struct scene *scene;
    struct warm_run *run;
    struct warm_pace pace;
    char names[LIST][NAME_SIZE];
    struct warm_key keys[LIST];
    unsigned count;
    unsigned results;
    unsigned outcomes[PREFETCH_FAILED + 1];
    unsigned attempts; /* of the last result */
    unsigned hungers;
    unsigned feeds; /* lists more that it is given when it is hungry */
    bool ends;      /* it ends with its first result */
    char why[64];
};

static struct scene *scene_open(void)
{
    struct scene *scene = calloc(1, sizeof *scene);
    const struct namespace_spec spec = spec_of("default", "", BOUND);
    assert_non_null(scene);
    stage_open(&scene->stage, &spec, 1);
    struct node *node = &scene->node;
    struct worker *worker = &scene->worker;
    clock_open(&node->clock);
    node->clock.offset_ns -= (clock_now_ms(&node->clock) - HELP_NOW) * 1000000;
    node->namespaces = scene->stage.namespaces;
    node->workers = scene->workers;
    node->worker_count = 1;
    scene->workers[0] = worker;
    worker->node = node;
    worker->window = scene->stage.window;
    worker->metrics = &scene->stage.metrics;
    rand_seed(&worker->rand, 1);
    assert_int_equal(uv_loop_init(&worker->loop), 0);
    worker->warm = warm_engine_new(worker);
    assert_non_null(worker->warm);
    atomic_store(&node->live.warm_rate, 1000000);
    warm_engine_tick(worker->warm);
    scene->serves = true;
    return scene;
}

static void scene_done(struct scene *scene)
{
    warm_engine_stop(scene->worker.warm);
    tiers_window_end_links(scene->stage.window);
    warm_engine_close(scene->worker.warm);
    assert_int_equal(uv_run(&scene->worker.loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&scene->worker.loop), 0);
    warm_engine_free(scene->worker.warm);
    stage_done(&scene->stage);
    free(scene);
}

/* --- Redis --------------------------------------------------------------------------------------------------------- */

static void answer_one(struct scene *scene, const struct request_reader *reader, struct slice input,
                       struct buf *out)
{
    const struct slice verb = request_arg(reader, input, 0);
    if (slice_is(verb, "PTTL")) {
        const struct slice name = request_arg(reader, input, 1);
        assert_true(scene->asked < NAMES_MAX && name.size < NAME_SIZE);
        memcpy(scene->names[scene->asked++], name.data, name.size);
        assert_int_equal(buf_printf(out, ":-1\r\n"), OK);
    } else if (slice_is(verb, "GETRANGE")) {
        assert_int_equal(buf_printf(out, "$1\r\nv\r\n"), OK);
    } else {
        assert_int_equal(buf_append(out, HELP_BEAT_ANSWER, sizeof HELP_BEAT_ANSWER - 1), OK);
    }
}

static void serve(struct scene *scene)
{
    struct roof *roof = &scene->stage.roof;
    while (scene->serves && link_output(roof->link).size > 0) {
        struct buf written = help_written(roof);
        struct buf replies = {0};
        struct slice rest = buf_slice(&written);
        const unsigned before = scene->asked;
        while (rest.size > 0) {
            struct request_reader reader;
            request_reader_init(&reader);
            assert_int_equal(request_read(&reader, rest), OK);
            answer_one(scene, &reader, rest, &replies);
            rest = (struct slice){rest.data + reader.used, rest.size - reader.used};
            request_reader_done(&reader);
        }
        const unsigned open = scene->asked - before;
        scene->most_open = open > scene->most_open ? open : scene->most_open;
        help_feed(roof, buf_slice(&replies), HELP_NOW);
        buf_done(&replies);
        buf_done(&written);
    }
}

/* Turns of the loop, until `list` had its results; and a few that must bring nothing. */
static void turn(struct scene *scene)
{
    prove(&scene->stage, clock_now_ms(&scene->node.clock));
    (void)uv_run(&scene->worker.loop, UV_RUN_ONCE);
    serve(scene);
}

static void until_results(struct scene *scene, const struct list_of *list, unsigned count)
{
    while (list->results < count) {
        assert_true(uv_loop_alive(&scene->worker.loop));
        turn(scene);
    }
}

/* --- runs ---------------------------------------------------------------------------------------------------------- */

static void on_result(void *arg, size_t index, const struct warm_result *result)
{
    struct list_of *list = arg;
    assert_true(index < list->count);
    list->results++;
    list->outcomes[result->outcome]++;
    list->attempts = result->attempts;
    (void)snprintf(list->why, sizeof list->why, "%.*s", (int)result->why.size,
                   result->why.size == 0 ? "" : result->why.data);
    if (list->ends) {
        warm_run_end(list->run);
        list->run = NULL;
    }
}

static void on_hungry(void *arg)
{
    struct list_of *list = arg;
    list->hungers++;
    if (list->feeds > 0) {
        list->feeds--;
        assert_int_equal(warm_run_feed(list->run, list->keys, list->count), OK);
    }
}

static struct list_of *begin(struct scene *scene, char letter, unsigned count, int priority,
                             enum prefetch_mode mode, uint64_t rate)
{
    struct list_of *list = calloc(1, sizeof *list);
    assert_non_null(list);
    list->scene = scene;
    list->count = count;
    warm_pace_init(&list->pace, rate, 0, clock_now_ms(&scene->node.clock));
    list->run = warm_run_new(&scene->worker, &(struct warm_run_options){.pace = &list->pace,
                                                                        .mode = mode,
                                                                        .priority = priority,
                                                                        .on_result = on_result,
                                                                        .on_hungry = on_hungry,
                                                                        .arg = list});
    assert_non_null(list->run);
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(list->names[i], NAME_SIZE, "%c%u", letter, i);
        list->keys[i] = (struct warm_key){.key = slice_of(list->names[i])};
    }
    assert_int_equal(warm_run_feed(list->run, list->keys, count), OK);
    return list;
}

static void end(struct list_of *list)
{
    warm_run_end(list->run);
    free(list);
}

static struct warm_engine_description described(const struct scene *scene)
{
    struct warm_engine_description description;
    warm_engine_describe(scene->worker.warm, &description);
    return description;
}

/* --- tests --------------------------------------------------------------------------------------------------------- */

static void each_key_has_its_result_and_then_the_run_is_hungry(void **state)
{
    (void)state;
    struct scene *scene = scene_open();
    struct list_of *list = begin(scene, 'a', LIST, 0, PREFETCH_MISSING, 0);
    assert_int_equal(warm_run_feed(list->run, list->keys, LIST), BUSY);
    list->feeds = 1; /* the second time all stand */
    until_results(scene, list, 2 * LIST);
    assert_int_equal(list->outcomes[PREFETCH_LOADED], LIST);
    assert_int_equal(list->outcomes[PREFETCH_SKIPPED], LIST);
    assert_string_equal(list->why, "stands already");
    assert_int_equal(list->hungers, 2);
    assert_int_equal(scene->asked, LIST); /* each once */
    assert_int_equal(metrics_read(&scene->stage.metrics, M_WARM_LOADED), LIST);
    assert_int_equal(metrics_read(&scene->stage.metrics, M_WARM_SKIPPED), LIST);
    assert_int_equal(metrics_read(&scene->stage.metrics, M_WARM_BYTES), LIST);
    turn(scene);
    assert_false(uv_loop_alive(&scene->worker.loop)); /* with nothing to do no timer runs */
    end(list);
    scene_done(scene);
}

static void not_many_are_under_way_at_once(void **state)
{
    (void)state;
    struct scene *scene = scene_open();
    struct list_of *list = begin(scene, 'a', LIST, 0, PREFETCH_MISSING, 0);
    until_results(scene, list, LIST);
    assert_in_range(scene->most_open, 8, WARM_ASKS_MAX);
    end(list);
    scene_done(scene);
}

static void the_highest_priority_goes_first(void **state)
{
    (void)state;
    struct scene *scene = scene_open();
    struct list_of *low = begin(scene, 'l', 100, 1, PREFETCH_MISSING, 0);
    struct list_of *high = begin(scene, 'h', 100, 2, PREFETCH_MISSING, 0);
    until_results(scene, low, 100);
    assert_int_equal(high->results, 100);
    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(scene->names[i][0], i < 100 ? 'h' : 'l');
    }
    end(low);
    end(high);
    scene_done(scene);
}

static void equals_take_turns(void **state)
{
    (void)state;
    struct scene *scene = scene_open();
    struct list_of *a = begin(scene, 'a', LIST, 1, PREFETCH_MISSING, 0);
    struct list_of *b = begin(scene, 'b', LIST, 1, PREFETCH_MISSING, 0);
    until_results(scene, a, LIST);
    until_results(scene, b, LIST);
    for (unsigned i = 0; i < 2 * LIST - 2 * (LIST % WARM_TURN); i++) {
        assert_int_equal(scene->names[i][0], i / WARM_TURN % 2 == 0 ? 'a' : 'b');
    }
    end(a);
    end(b);
    scene_done(scene);
}

/* Ten keys a second are not a reason for the others to wait. */
static void a_run_with_a_limit_of_its_own_holds_up_nobody(void **state)
{
    (void)state;
    struct scene *scene = scene_open();
    struct list_of *slow = begin(scene, 's', LIST, 9, PREFETCH_MISSING, 10);
    struct list_of *other = begin(scene, 'o', LIST, 1, PREFETCH_MISSING, 0);
    until_results(scene, other, LIST);
    assert_true(slow->results < LIST);
    until_results(scene, slow, 2);
    end(slow);
    end(other);
    scene_done(scene);
}

/* The same key is written between its claim and its landing. */
static void what_was_changed_meanwhile_is_tried_again_until_it_is_enough(void **state)
{
    (void)state;
    struct scene *scene = scene_open();
    struct list_of *list = begin(scene, 'a', 1, 0, PREFETCH_MISSING, 0);
    unsigned writes = 2;
    scene->serves = false;
    while (list->results == 0) {
        turn(scene);
        if (link_output(scene->stage.roof.link).size > 0) {
            if (writes > 0) {
                writes--;
                (void)namespaces_forget(scene->stage.namespaces, slice_of("a0"));
            }
            scene->serves = true;
            serve(scene);
            scene->serves = false;
        }
    }
    assert_int_equal(list->outcomes[PREFETCH_LOADED], 1);
    assert_int_equal(list->attempts, 3);
    end(list);
    scene_done(scene);
}

static void while_nothing_can_be_kept_nothing_is_asked_and_nothing_counts_as_tried(void **state)
{
    (void)state;
    struct scene *scene = scene_open();
    struct list_of *list = begin(scene, 'a', 10, 0, PREFETCH_MISSING, 0);
    for (unsigned i = 0; i < 5; i++) {
        prove(&scene->stage, clock_now_ms(&scene->node.clock));
        atomic_store(&scene->stage.view->may_install, false);
        (void)uv_run(&scene->worker.loop, UV_RUN_ONCE);
        assert_int_equal(link_output(scene->stage.roof.link).size, 0);
    }
    warm_engine_tick(scene->worker.warm);
    assert_true(described(scene).is_halted);
    assert_int_equal(list->results, 0);
    until_results(scene, list, 10);
    assert_int_equal(list->outcomes[PREFETCH_LOADED], 10);
    assert_int_equal(list->attempts, 1);
    warm_engine_tick(scene->worker.warm);
    assert_false(described(scene).is_halted);
    end(list);
    scene_done(scene);
}

static void a_run_may_end_itself_and_what_is_under_way_is_let_go(void **state)
{
    (void)state;
    struct scene *scene = scene_open();
    struct list_of *list = begin(scene, 'a', LIST, 0, PREFETCH_MISSING, 0);
    struct list_of *other = begin(scene, 'o', LIST, 0, PREFETCH_MISSING, 0);
    list->ends = true;
    until_results(scene, other, LIST);
    assert_int_equal(list->results, 1);
    assert_int_equal(list->hungers, 0);
    end(list);
    end(other);
    scene_done(scene);
}

static void a_paused_run_begins_nothing_and_goes_on_afterwards(void **state)
{
    (void)state;
    struct scene *scene = scene_open();
    struct list_of *list = begin(scene, 'a', LIST, 0, PREFETCH_MISSING, 0);
    struct list_of *other = begin(scene, 'o', LIST, 0, PREFETCH_MISSING, 0);
    warm_run_pause(list->run, true);
    until_results(scene, other, LIST);
    assert_int_equal(list->results, 0);
    turn(scene);
    warm_run_pause(list->run, false);
    until_results(scene, list, LIST);
    end(list);
    end(other);
    scene_done(scene);
}

static void with_a_rate_of_zero_or_while_the_node_drains_nothing_goes(void **state)
{
    (void)state;
    struct scene *scene = scene_open();
    struct list_of *list = begin(scene, 'a', LIST, 0, PREFETCH_MISSING, 0);
    atomic_store(&scene->node.live.warm_rate, 0);
    warm_engine_tick(scene->worker.warm);
    for (unsigned i = 0; i < 5; i++) {
        turn(scene);
    }
    assert_int_equal(scene->asked, 0);
    atomic_store(&scene->node.live.warm_rate, 1000000);
    warm_engine_tick(scene->worker.warm);
    scene->worker.draining = true;
    for (unsigned i = 0; i < 5; i++) {
        turn(scene);
    }
    assert_int_equal(scene->asked, 0);
    scene->worker.draining = false;
    until_results(scene, list, LIST);
    end(list);
    scene_done(scene);
}

static void runs_may_be_left_when_the_worker_ends(void **state)
{
    (void)state;
    struct scene *scene = scene_open();
    struct list_of *list = begin(scene, 'a', LIST, 0, PREFETCH_MISSING, 0);
    scene->serves = false;
    turn(scene); /* some are under way */
    scene_done(scene);
    assert_int_equal(list->results, 0);
    free(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_key_has_its_result_and_then_the_run_is_hungry),
        cmocka_unit_test(not_many_are_under_way_at_once),
        cmocka_unit_test(the_highest_priority_goes_first),
        cmocka_unit_test(equals_take_turns),
        cmocka_unit_test(a_run_with_a_limit_of_its_own_holds_up_nobody),
        cmocka_unit_test(what_was_changed_meanwhile_is_tried_again_until_it_is_enough),
        cmocka_unit_test(while_nothing_can_be_kept_nothing_is_asked_and_nothing_counts_as_tried),
        cmocka_unit_test(a_run_may_end_itself_and_what_is_under_way_is_let_go),
        cmocka_unit_test(a_paused_run_begins_nothing_and_goes_on_afterwards),
        cmocka_unit_test(with_a_rate_of_zero_or_while_the_node_drains_nothing_goes),
        cmocka_unit_test(runs_may_be_left_when_the_worker_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
