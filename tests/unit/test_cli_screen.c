/* SPDX-License-Identifier: BSD-3-Clause */
/* What `terrace top` makes of two looks at its nodes. */
#include "client/cli/pen.h"
#include "client/cli/screen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A node's words, with these counts. */
struct said {
    unsigned commands, near_hits, l1_hits, l2_reads, coalesced, ops;
    unsigned uptime_s;
};

static void look(struct sample *sample, const struct said *said, int64_t at_us,
                 const struct tree *durations, const struct tree *nodes)
{
    char info[2048];
    (void)snprintf(
        info, sizeof info,
        "# Server\r\nterrace_version:0.3.0\r\nuptime_in_seconds:%u\r\n"
        "# Clients\r\nconnected_clients:12\r\ntracking_clients:3\r\n"
        "# Stats\r\ntotal_commands_processed:%u\r\ntotal_net_input_bytes:1000\r\ntracking_total_keys:1200\r\n"
        "# CPU\r\nused_cpu_sys:1.5\r\nused_cpu_user:2.5\r\n"
        "# L1\r\nnear_hits:%u\r\nl1_hits:%u\r\nl1_misses:0\r\nl1_bytes_used:1048576\r\nl1_bytes_max:67108864\r\n"
        "# L2\r\nl2_state:up\r\nl2_reads:%u\r\nl2_coalesced:%u\r\n"
        "# Coherence\r\ncoherence_state:SYNCED\r\ncoherence_echo_ms:0\r\n"
        "# Namespaces\r\nns_default:prefix=,mode=bounded 1000ms,policy=lru,items=5,bytes=100,bytes_max=1000,hits=%u,misses=0,ops=%u,writes=0\r\n"
        "ns_other:prefix=o:,mode=ttl,policy=lru,items=50,bytes=900,bytes_max=1000,hits=0,misses=0,ops=7,writes=0\r\n",
        said->uptime_s, said->commands, said->near_hits, said->l1_hits, said->l2_reads,
        said->coalesced, said->l1_hits, said->ops);
    assert_int_equal(sample_read(sample, slice_of(info), durations, nodes), OK);
    sample->at_us = at_us;
}

static void fresh_tree(const char *reply, struct tree *tree)
{
    assert_int_equal(tree_read(slice_of(reply), tree), OK);
}

/* Draws; the text is in static memory. */
static const char *draw(struct screen *screen)
{
    static char text[16384];
    struct buf drawn = {0};
    screen->columns = screen->columns == 0 ? 120 : screen->columns;
    assert_int_equal(screen_draw(screen, &drawn), OK);
    assert_true(drawn.size < sizeof text);
    memcpy(text, drawn.data, drawn.size);
    text[drawn.size] = '\0';
    buf_done(&drawn);
    return text;
}

static void assert_line(const char *text, const char *begin, const char *part)
{
    const char *line = text;
    while (line != NULL && strncmp(line, begin, strlen(begin)) != 0) {
        line = strchr(line, '\n');
        line = line == NULL ? NULL : line + 1;
    }
    if (line == NULL) {
        fail_msg("no line '%s' in\n%s", begin, text);
        return;
    }
    char copy[512];
    (void)snprintf(copy, sizeof copy, "%.*s", (int)strcspn(line, "\n"), line);
    if (strstr(copy, part) == NULL) {
        fail_msg("'%s' is not in '%s'", part, copy);
    }
}

/* --- flow ---------------------------------------------------------------------------------------------------------- */

static void rates_are_the_difference_over_the_time(void **state)
{
    (void)state;
    struct sample before;
    struct sample now;
    struct flow flow;
    look(&before, &(struct said){.commands = 1000, .l1_hits = 100, .l2_reads = 50}, 1000000, NULL,
         NULL);
    look(&now, &(struct said){.commands = 3000, .l1_hits = 500, .l2_reads = 150, .near_hits = 40},
         3000000, NULL, NULL);
    flow_between(&before, &now, &flow);
    assert_true(flow.known);
    assert_true(flow.seconds == 2);
    assert_true(flow.rates.commands == 1000);
    assert_true(flow.rates.l1_hits == 200);
    assert_true(flow.rates.l2_reads == 50);
    assert_true(flow.rates.near_hits == 20);
    sample_done(&before);
    sample_done(&now);
}

static void a_node_that_began_anew_has_no_flow_yet(void **state)
{
    (void)state;
    struct sample before;
    struct sample now;
    struct flow flow;
    look(&before, &(struct said){.commands = 1000, .uptime_s = 90}, 1000000, NULL, NULL);
    look(&now, &(struct said){.commands = 2000, .uptime_s = 1}, 2000000, NULL, NULL);
    flow_between(&before, &now, &flow);
    assert_false(flow.known);
    sample_done(&before);
    before = (struct sample){.error = "it was away"};
    flow_between(&before, &now, &flow);
    assert_false(flow.known);
    sample_done(&now);
}

static void quantiles_are_those_of_the_time_between(void **state)
{
    (void)state;
    struct tree first;
    struct tree second;
    struct sample before;
    struct sample now;
    struct flow flow;
    /* Slow once, long ago; then 98 within 8 us and 2 within 1024. What is not listed had no calls of its own. */
    fresh_tree("%1\r\n+get\r\n%2\r\n+calls\r\n:10\r\n+histogram_usec\r\n%1\r\n:65536\r\n:10\r\n",
               &first);
    fresh_tree(
        "%1\r\n+get\r\n%2\r\n+calls\r\n:110\r\n+histogram_usec\r\n%3\r\n:8\r\n:98\r\n:1024\r\n:100\r\n:65536\r\n:110\r\n",
        &second);
    look(&before, &(struct said){0}, 1000000, &first, NULL);
    look(&now, &(struct said){0}, 2000000, &second, NULL);
    flow_between(&before, &now, &flow);
    assert_int_equal(flow.reads.calls, 100);
    assert_true(durations_quantile_us(&flow.reads, 0.5) == 8);
    assert_true(durations_quantile_us(&flow.reads, 0.99) == 1024);
    assert_true(durations_quantile_us(&flow.reads, 1) == 1024);
    assert_true(durations_quantile_us(&flow.writes, 0.5) == 0);
    tree_done(&first);
    tree_done(&second);
    sample_done(&before);
    sample_done(&now);
}

/* --- the screen ---------------------------------------------------------------------------------------------------- */

struct two {
    struct sample before, now;
    struct screen_node node;
    struct screen screen;
};

static void two_open(struct two *two, const struct tree *nodes)
{
    look(&two->before, &(struct said){.commands = 0}, 1000000, NULL, NULL);
    look(&two->now,
         &(struct said){.commands = 5000,
                        .near_hits = 1000,
                        .l1_hits = 800,
                        .l2_reads = 150,
                        .coalesced = 50,
                        .ops = 3000},
         2000000, NULL, nodes);
    two->node = (struct screen_node){"10.0.0.1:7379", &two->before, &two->now};
    two->screen = (struct screen){.nodes = &two->node, .node_count = 1, .interval_ms = 1000};
}

static void two_done(struct two *two)
{
    sample_done(&two->before);
    sample_done(&two->now);
}

static void the_screen_tells_where_reads_were_answered(void **state)
{
    (void)state;
    struct two two;
    two_open(&two, NULL);
    const char *text = draw(&two.screen);
    assert_line(text, " L0", "1k    50.0 %  ############");
    assert_line(text, " L0", "3 clients keep 1.20k keys");
    assert_line(text, " L1", "800    40.0 %");
    assert_line(text, " L2", "200    10.0 %");
    assert_line(text, " L2", "50/s shared with another");
    assert_line(text, " hits", "hits 90.0 %   all commands 5k/s");
    assert_line(text, " 10.0.0.1:7379", "SYNCED");
    assert_line(text, " 10.0.0.1:7379", "1 MiB of 64 MiB  up <1ms");
    assert_null(strchr(text, '\x1b'));
    two_done(&two);
}

static void namespaces_come_in_the_order_asked_for(void **state)
{
    (void)state;
    struct two two;
    two_open(&two, NULL);
    const char *text = draw(&two.screen);
    assert_true(strstr(text, " default ") < strstr(text, " other "));
    assert_line(text, " default ", "3k");
    two.screen.sort = SCREEN_BY_BYTES;
    text = draw(&two.screen);
    assert_true(strstr(text, " default ") > strstr(text, " other "));
    two.screen.sort = SCREEN_BY_NAME;
    text = draw(&two.screen);
    assert_true(strstr(text, " default ") < strstr(text, " other "));
    two_done(&two);
}

static void who_does_not_answer_is_on_the_screen(void **state)
{
    (void)state;
    struct two two;
    two_open(&two, NULL);
    struct sample away = {.error = "Connection refused"};
    const struct screen_node nodes[] = {two.node, {"10.0.0.2:7379", &away, &away}};
    two.screen.nodes = nodes;
    two.screen.node_count = 2;
    const char *text = draw(&two.screen);
    assert_line(text, "terrace top", "1 of 2 nodes");
    assert_line(text, " 10.0.0.2:7379", "UNREACHABLE  Connection refused");
    assert_line(text, " L1", "800"); /* the others go on */
    json_t *object = screen_json(&two.screen);
    assert_false(json_is_true(
        json_object_get(json_array_get(json_object_get(object, "nodes"), 1), "reachable")));
    assert_true(
        json_real_value(json_object_get(json_object_get(object, "per_second"), "l1_hits")) == 800);
    json_decref(object);
    two_done(&two);
}

static void nodes_that_are_not_asked_are_shown_as_they_are_heard(void **state)
{
    (void)state;
    struct two two;
    struct tree nodes;
    fresh_tree(
        "*2\r\n%3\r\n+address\r\n+10.0.0.1:7379\r\n+state\r\n+SYNCED\r\n+self\r\n#t\r\n"
        "%6\r\n+address\r\n+10.0.0.9:7379\r\n+state\r\n+GONE\r\n+self\r\n#f\r\n+age_ms\r\n:4000\r\n+hit_ratio\r\n,0.5\r\n+load\r\n:3\r\n",
        &nodes);
    two_open(&two, &nodes);
    const char *text = draw(&two.screen);
    assert_line(text, " 10.0.0.9:7379", "GONE");
    assert_line(text, " 10.0.0.9:7379", "heard 4s ago, not asked");
    assert_null(strstr(strstr(text, " 10.0.0.1:7379") + 1, " 10.0.0.1:7379")); /* once */
    tree_done(&nodes);
    two_done(&two);
}

/* --- a terminal ---------------------------------------------------------------------------------------------------- */

/* Lines without what only the terminal reads; each as wide as it shows. */
static unsigned widest_line(const char *text, unsigned *ret_lines)
{
    unsigned widest = 0;
    unsigned width = 0;
    *ret_lines = 1;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '\x1b') {
            at += 1 + strcspn(at + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
        } else if (*at == '\n') {
            width = 0;
            ++*ret_lines;
        } else if (*at != '\r' && ((unsigned char)*at & 0xc0) != 0x80) {
            width++;
        }
        widest = width > widest ? width : widest;
    }
    return widest;
}

static void no_terminal_is_too_small(void **state)
{
    (void)state;
    struct two two;
    two_open(&two, NULL);
    two.screen.is_live = true;
    two.screen.color = true;
    two.screen.utf8 = true;
    for (unsigned rows = 1; rows < 40; rows++) {
        for (unsigned columns = 1; columns < 130; columns += 7) {
            unsigned lines = 0;
            two.screen.rows = rows;
            two.screen.columns = columns;
            const char *text = draw(&two.screen);
            assert_true(widest_line(text, &lines) <= columns);
            assert_true(lines <= rows);
        }
    }
    two_done(&two);
}

static void a_bar_ends_within_its_width(void **state)
{
    (void)state;
    static const struct {
        double share;
        const char *bar;
    } bars[] = {{0, ""}, {0.5, "##"}, {1, "####"}, {7, "####"}, {-1, ""}};
    for (size_t i = 0; i < sizeof bars / sizeof bars[0]; i++) {
        struct buf text = {0};
        struct pen pen = {.to = &text, .columns = 10};
        pen_bar(&pen, TONE_NONE, bars[i].share, 4);
        assert_int_equal(buf_append(&text, "", 1), OK);
        assert_string_equal(text.data, bars[i].bar);
        buf_done(&text);
    }
}

static void what_is_warmed_and_what_is_hot_is_shown_once_for_all_nodes(void **state)
{
    (void)state;
    struct sample before[2];
    struct sample now[2];
    struct tree keys[2];
    fresh_tree(
        "*2\r\n%2\r\n+key\r\n+user:1\r\n+per_s\r\n,30.5\r\n%2\r\n+key\r\n+cold\r\n+per_s\r\n,1\r\n",
        &keys[0]);
    fresh_tree(
        "*2\r\n%2\r\n+key\r\n$3\r\na\x1b\xff\r\n+per_s\r\n,40\r\n%2\r\n+key\r\n+user:1\r\n+per_s\r\n,20.5\r\n",
        &keys[1]);
    for (int i = 0; i < 2; i++) {
        look(&before[i], &(struct said){.uptime_s = 5}, 0, NULL, NULL);
        look(&now[i], &(struct said){.uptime_s = 6}, 1000000, NULL, NULL);
        sample_read_hot(&now[i], &keys[i]);
        now[i].warm_jobs = 2;
        now[i].warmed = 700;
        now[i].warm_yield = i == 0 ? 1 : 0.25;
    }
    const struct screen_node nodes[] = {{"a:1", &before[0], &now[0]}, {"b:1", &before[1], &now[1]}};
    struct screen screen = {.nodes = nodes, .node_count = 2};
    const char *text = draw(&screen);
    assert_non_null(strstr(text, " warming 2 jobs, 1.40k keys/s   held back for clients by 75 %\n"));
    const char *hot = strstr(text, "HOT KEYS");
    assert_non_null(hot);
    const char *first = strstr(hot, " user:1 ");
    const char *second = strstr(hot, " a\\x1b\\xff ");
    const char *third = strstr(hot, " cold ");
    assert_true(first != NULL && second > first && third > second);
    assert_non_null(strstr(first, "51\n"));
    screen.is_live = true; /* no room: the namespaces come first */
    screen.rows = 24;
    assert_null(strstr(draw(&screen), "HOT KEYS"));
    for (int i = 0; i < 2; i++) {
        now[i].warm_jobs = 0;
        now[i].warmed = 0;
        now[i].hot_count = 0;
    }
    screen.is_live = false;
    text = draw(&screen);
    assert_true(strstr(text, "warming") == NULL && strstr(text, "HOT KEYS") == NULL);
    for (int i = 0; i < 2; i++) {
        tree_done(&keys[i]);
        sample_done(&before[i]);
        sample_done(&now[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_warmed_and_what_is_hot_is_shown_once_for_all_nodes),
        cmocka_unit_test(rates_are_the_difference_over_the_time),
        cmocka_unit_test(a_node_that_began_anew_has_no_flow_yet),
        cmocka_unit_test(quantiles_are_those_of_the_time_between),
        cmocka_unit_test(the_screen_tells_where_reads_were_answered),
        cmocka_unit_test(namespaces_come_in_the_order_asked_for),
        cmocka_unit_test(who_does_not_answer_is_on_the_screen),
        cmocka_unit_test(nodes_that_are_not_asked_are_shown_as_they_are_heard),
        cmocka_unit_test(no_terminal_is_too_small),
        cmocka_unit_test(a_bar_ends_within_its_width),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
