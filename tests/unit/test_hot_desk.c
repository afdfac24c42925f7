/* SPDX-License-Identifier: BSD-3-Clause */
/* What a node leaves in L2 for others, and reads of theirs, when it ends in between, or strangers wrote there. A worker without
 * clients, its window with one link; Redis' bytes are written by hand. */
#include "server/hot_inner.h"
#include "server/hot_pages.h"
#include "server/node.h"
#include "server/worker.h"
#include "tests/unit/window_help.h"

enum {
    BOUND = 60000,
    KEYS = 6000, /* their names are some 150 KiB: more than a page */
    KEYS_OF_A_SMALL_PAGE = 100,
};

#define SELECTED "+OK\r\n" /* the first question goes behind a SELECT */
#define NAME     "0123456789abcdef"

struct scene {
    struct stage stage; /* first */
    struct node node;
    struct worker worker;
    struct worker *workers[1];
    struct metrics of_node;
    struct hot_desk *desk;
    unsigned lists; /* that came */
    size_t rows;    /* of the last one */
};

static struct scene *scene_open(void)
{
    struct scene *scene = calloc(1, sizeof *scene);
    struct namespace_spec spec = spec_of("default", "", BOUND);
    assert_non_null(scene);
    spec.settings.memory = 16 * MB;
    stage_open(&scene->stage, &spec, 1);
    struct node *node = &scene->node;
    struct worker *worker = &scene->worker;
    clock_open(&node->clock);
    node->clock.offset_ns -= (clock_now_ms(&node->clock) - HELP_NOW) * 1000000;
    node->namespaces = scene->stage.namespaces;
    node->metrics = &scene->of_node;
    node->workers = scene->workers;
    node->worker_count = 1;
    atomic_store(&node->join.state, JOIN_WARM);
    scene->workers[0] = worker;
    worker->node = node;
    worker->window = scene->stage.window;
    worker->metrics = &scene->stage.metrics;
    worker->now_ms = HELP_NOW;
    assert_int_equal(uv_loop_init(&worker->loop), 0);
    scene->desk = hot_desk_new(node);
    assert_non_null(scene->desk);
    scene->desk->first = worker;
    return scene;
}

static void scene_done(struct scene *scene)
{
    hot_desk_end(scene->desk);
    tiers_window_end_links(scene->stage.window);
    assert_int_equal(uv_run(&scene->worker.loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&scene->worker.loop), 0);
    assert_true(hot_desk_has_left(scene->desk)); /* nothing is under way any more */
    hot_desk_free(scene->desk);
    stage_done(&scene->stage);
    free(scene);
}

/* Of one key. */
static struct hot_list *list_new(const struct scene *scene)
{
    struct hot_list *list = hot_list_new(1, 1);
    assert_non_null(list);
    list->keys[0] = 'k';
    list->rows[0] = (struct hot_row){.key = {list->keys, 1}, .count = 100};
    list->count = 1;
    list->total = list->hits = 200;
    list->grain = list->window_s = 1;
    list->written_at_ms = clock_now_ms(&scene->node.clock);
    return list;
}

static uint64_t counted(const struct scene *scene, enum metric metric)
{
    return metrics_read(&scene->stage.metrics, metric);
}

/* --- written --------------------------------------------------------------------------------------------------------- */

static void fill(struct scene *scene, unsigned keys)
{
    struct l1 *l1 = namespaces_default(scene->stage.namespaces)->l1;
    struct rand rand;
    rand_seed(&rand, 1);
    for (unsigned i = 0; i < keys; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "%08x%016llx", i, (unsigned long long)rand_next(&rand));
        help_set(l1, 0, name, "v", 0, HELP_NOW);
    }
}

/* What L1 holds has been written down, and the first page is on its way. */
static void write_first_page_of(struct scene *scene, unsigned keys)
{
    struct hot_held *held = &scene->desk->held;
    fill(scene, keys);
    scene->desk->newest = list_new(scene);
    hot_held_tick(scene->desk);
    scene->worker.now_ms += HELD_FIRST_MS;
    hot_held_tick(scene->desk);
    assert_int_equal(uv_run(&scene->worker.loop, UV_RUN_DEFAULT), 0);
    assert_true(held->asks && held->made.told.pages > 0);
}

static void write_first_page(struct scene *scene)
{
    write_first_page_of(scene, KEYS);
    assert_true(scene->desk->held.made.told.pages > 1);
    struct buf written = help_written(&scene->stage.roof);
    buf_done(&written);
}

/* --- by whose text ---------------------------------------------------------------------------------------------------- */

static void expect_begins(struct scene *scene, const char *beginning)
{
    struct buf written = help_written(&scene->stage.roof);
    assert_int_equal(buf_append(&written, "", 1), OK);
    assert_non_null(strstr(written.data, beginning));
    buf_done(&written);
}

#define BY_NAME "*14\r\n$7\r\nEVALSHA\r\n$40\r\n"
#define BY_TEXT "*14\r\n$4\r\nEVAL\r\n$"

static void a_list_is_written_by_the_name_of_the_script(void **state)
{
    (void)state;
    struct scene *scene = scene_open();
    scene->desk->newest = list_new(scene);
    hot_lists_write(scene->desk);
    expect_begins(scene, BY_NAME);
    HELP_SAY(&scene->stage.roof, SELECTED "-NOSCRIPT No matching script.\r\n");
    expect_begins(scene, BY_TEXT); /* Redis is new */
    HELP_SAY(&scene->stage.roof, ":0\r\n");
    hot_lists_write(scene->desk);
    expect_begins(scene, BY_NAME);
    HELP_SAY(&scene->stage.roof, ":0\r\n");
    assert_int_equal(counted(scene, M_HOT_WRITTEN), 2);
    scene_done(scene);
}

static void a_page_is_written_by_the_name_of_the_script_unless_it_is_far_larger_than_that(
    void **state)
{
    (void)state;
    struct scene *scene = scene_open();
    write_first_page_of(scene, KEYS_OF_A_SMALL_PAGE);
    expect_begins(scene, "*10\r\n$7\r\nEVALSHA\r\n$40\r\n");
    HELP_SAY(&scene->stage.roof, SELECTED ":1\r\n");
    assert_int_equal(counted(scene, M_HELD_WRITTEN), 1);
    expect_begins(scene, BY_NAME); /* the list, that names it */
    scene_done(scene);
    scene = scene_open();
    write_first_page_of(scene, KEYS);
    expect_begins(scene, "*10\r\n$4\r\nEVAL\r\n$");
    scene_done(scene);
}

/* --- the end in between ------------------------------------------------------------------------------------------------ */

static void a_node_may_end_between_two_pages(void **state)
{
    (void)state;
    struct scene *scene = scene_open();
    write_first_page(scene);
    HELP_SAY(&scene->stage.roof, SELECTED ":1\r\n");
    assert_int_equal(counted(scene, M_HELD_WRITTEN), 1);
    assert_true(scene->desk->held.busy && !scene->desk->held.asks);
    scene_done(scene);
}

static void a_node_may_end_while_a_page_is_on_its_way(void **state)
{
    (void)state;
    struct scene *scene = scene_open();
    write_first_page(scene);
    scene_done(scene);
}

/* --- read ------------------------------------------------------------------------------------------------------------ */

static void on_list(void *arg, struct hot_list *list)
{
    struct scene *scene = arg;
    scene->lists++;
    scene->rows = list == NULL ? 0 : list->count;
}

/* Its bytes are still to come when it is known that it is none. */
static void a_page_that_is_larger_than_any_is_not_gathered(void **state)
{
    (void)state;
    struct scene *scene = scene_open();
    struct hot_found found = {.list = list_new(scene), .node = {0}};
    found.list->held = (struct held_told){.writing = 2, .pages = 2};
    memcpy(found.node, NAME, HOT_NAME_SIZE);
    assert_non_null(hot_pages_read(
        &scene->worker,
        &(struct hot_pages_wish){
            .found = &found, .found_count = 1, .keys_max = 100, .on_list = on_list, .arg = scene}));
    assert_int_equal(uv_run(&scene->worker.loop, UV_RUN_DEFAULT), 0);
    HELP_SAY(&scene->stage.roof, SELECTED "$536870912\r\nbeginning");
    assert_int_equal(uv_run(&scene->worker.loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(scene->lists, 1);
    assert_int_equal(scene->rows, 1); /* what the list names */
    assert_int_equal(counted(scene, M_HELD_MALFORMED), 1);
    hot_list_release(found.list);
    scene_done(scene);
}

struct fetching {
    struct hot_fetch fetch; /* first */
    struct scene *scene;
};

static void on_fetched(struct hot_fetch *fetch, struct hot_list *list)
{
    on_list(((struct fetching *)(void *)fetch)->scene, list);
}

static void fetch(struct scene *scene, struct fetching *fetching)
{
    *fetching = (struct fetching){.fetch = {.on_list = on_fetched}, .scene = scene};
    assert_int_equal(hot_desk_fetch(scene->desk, &fetching->fetch), OK);
    hot_lists_tick(scene->desk);
    struct buf written = help_written(&scene->stage.roof);
    buf_done(&written);
}

#define ASKED_LIST "*3\r\n$4\r\nHGET\r\n$11\r\nterrace:hot\r\n$16\r\n" NAME "\r\n"

static void a_name_that_is_no_node_s_is_stepped_over(void **state)
{
    (void)state;
    struct scene *scene = scene_open();
    struct fetching fetching;
    fetch(scene, &fetching);
    HELP_SAY(&scene->stage.roof, SELECTED "*3\r\n$16\r\n\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\r\n"
                                          "$16\r\nno name of nodes\r\n$16\r\n" NAME "\r\n");
    help_expect_written(&scene->stage.roof, ASKED_LIST);
    HELP_SAY(&scene->stage.roof, "$-1\r\n");
    assert_int_equal(scene->lists, 1);
    scene_done(scene);
}

static void a_list_that_is_larger_than_any_is_not_gathered(void **state)
{
    (void)state;
    struct scene *scene = scene_open();
    struct fetching fetching;
    fetch(scene, &fetching);
    HELP_SAY(&scene->stage.roof, SELECTED "*1\r\n$16\r\n" NAME "\r\n");
    help_expect_written(&scene->stage.roof, ASKED_LIST);
    HELP_SAY(&scene->stage.roof, "$536870912\r\nbeginning");
    assert_int_equal(scene->lists, 1);
    assert_int_equal(counted(scene, M_HOT_MALFORMED), 1);
    scene_done(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_is_written_by_the_name_of_the_script),
        cmocka_unit_test(
            a_page_is_written_by_the_name_of_the_script_unless_it_is_far_larger_than_that),
        cmocka_unit_test(a_node_may_end_between_two_pages),
        cmocka_unit_test(a_node_may_end_while_a_page_is_on_its_way),
        cmocka_unit_test(a_page_that_is_larger_than_any_is_not_gathered),
        cmocka_unit_test(a_name_that_is_no_node_s_is_stepped_over),
        cmocka_unit_test(a_list_that_is_larger_than_any_is_not_gathered),
    };
    return cmocka_run_group_tests_name("hot_desk", tests, NULL, NULL);
}
