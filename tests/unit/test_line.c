/* SPDX-License-Identifier: BSD-3-Clause */
/* A line: a connection to L2 that one client has to itself, out of its window's pool. */
#include "tests/unit/window_help.h"
#include "tiers/line.h"

struct user {
    struct line_user user; /* first */
    struct line *line;
    unsigned losses;
    unsigned ends_when_lost; /* how often its question had ended by then */
    struct buf pushed;
    struct question question;
    bool ends_it; /* the line, when its question is answered */
};

static void on_lost(struct line_user *arg, const char *why)
{
    struct user *user = (struct user *)(void *)arg;
    assert_true(strlen(why) > 0);
    assert_true(line_is_lost(user->line));
    user->losses++;
    user->ends_when_lost = user->question.ends;
}

static void on_push(struct line_user *arg, struct slice reply)
{
    struct user *user = (struct user *)(void *)arg;
    assert_int_equal(buf_append_slice(&user->pushed, reply), OK);
}

static void open_stage(struct stage *stage, uint32_t min, uint32_t max)
{
    const struct namespace_spec specs[] = {spec_of("default", "", 1000)};
    stage_open(stage, specs, 1);
    struct line_counts *counts = tiers_lines(stage->tiers);
    atomic_store(&counts->min, min);
    atomic_store(&counts->max, max);
    atomic_store(&counts->subscribers_max, 1);
}

static enum status take_kind(struct stage *stage, struct user *user, int proto, enum line_kind kind)
{
    *user = (struct user){.user = {.on_lost = on_lost, .on_push = on_push}};
    return line_take(stage->window, proto, kind, &user->user, &user->line);
}

static enum status take(struct stage *stage, struct user *user)
{
    return take_kind(stage, user, 2, LINE_ALONE);
}

/* A new one, READY. */
static void take_ready(struct stage *stage, struct user *user)
{
    assert_int_equal(take(stage, user), OK);
    help_make_ready(&stage->roof);
    assert_ptr_equal(line_link(user->line), stage->roof.link);
}

static void then_end(struct question *question)
{
    line_end(((struct user *)(void *)question->other)->line);
}

/* Without a deadline, as a command that blocks. */
static void ask_line(struct stage *stage, struct user *user, bool writes)
{
    user->question = help_question(&stage->roof, writes, 0);
    if (user->ends_it) {
        user->question.then = then_end;
        user->question.other = (struct question *)(void *)user;
    }
    assert_int_equal(line_ask(user->line, &user->question.request, 0, SLICE_LITERAL("BLPOP\r\n")),
                     OK);
}

static uint32_t used(struct stage *stage)
{
    return atomic_load(&tiers_lines(stage->tiers)->used);
}

static uint32_t idle(struct stage *stage)
{
    return atomic_load(&tiers_lines(stage->tiers)->idle);
}

static uint64_t counted(struct stage *stage, enum metric id)
{
    return metrics_read(&stage->metrics, id);
}

static void tick(struct stage *stage, int64_t now_ms)
{
    tiers_window_tick(stage->window, now_ms);
}

static void a_clean_line_is_taken_again(void **state)
{
    (void)state;
    struct stage stage;
    struct user user;
    open_stage(&stage, 10, 10);
    take_ready(&stage, &user);
    const struct line *first = user.line;
    assert_int_equal(line_client_id(user.line), 7);
    assert_int_equal(used(&stage), 1);
    ask_line(&stage, &user, true);
    HELP_SAY(&stage.roof, "$1\r\na\r\n");
    help_ended(&user.question, OK, "$1\r\na\r\n");
    line_give_back(user.line);
    assert_int_equal(used(&stage), 0);
    assert_int_equal(idle(&stage), 1);
    assert_int_equal(take(&stage, &user), OK);
    assert_ptr_equal(user.line, first);
    assert_int_equal(link_state(line_link(user.line)), LINK_READY);
    assert_int_equal(used(&stage), 1);
    assert_int_equal(idle(&stage), 0);
    assert_int_equal(counted(&stage, M_LINES_OPENED), 1);
    assert_int_equal(counted(&stage, M_LINES_REUSED), 1);
    line_give_back(user.line);
    assert_int_equal(take_kind(&stage, &user, 3, LINE_ALONE), OK); /* the other protocol */
    assert_ptr_not_equal(user.line, first);
    assert_int_equal(user.losses, 0);
    stage_done(&stage);
}

static void what_is_asked_of_a_new_line_waits_until_it_is_ready(void **state)
{
    (void)state;
    struct stage stage;
    struct user user;
    open_stage(&stage, 10, 10);
    assert_int_equal(take(&stage, &user), OK);
    assert_int_equal(line_client_id(user.line), 0);
    ask_line(&stage, &user, true);
    help_make_ready(&stage.roof);
    help_expect_written(&stage.roof, "BLPOP\r\n");
    HELP_SAY(&stage.roof, "*-1\r\n");
    help_ended(&user.question, OK, "*-1\r\n");
    stage_done(&stage);
}

static void no_more_lines_than_may_be(void **state)
{
    (void)state;
    struct stage stage;
    struct user users[4];
    open_stage(&stage, 10, 2);
    take_ready(&stage, &users[0]);
    take_ready(&stage, &users[1]);
    assert_int_equal(take(&stage, &users[2]), BUSY);
    assert_int_equal(counted(&stage, M_LINES_REFUSED), 1);
    assert_int_equal(used(&stage), 2);
    line_end(users[0].line);
    assert_int_equal(take(&stage, &users[2]), OK);
    assert_int_equal(take_kind(&stage, &users[0], 2, LINE_SUBSCRIBER), OK); /* counted apart */
    assert_int_equal(take_kind(&stage, &users[3], 2, LINE_SUBSCRIBER), BUSY);
    tiers_window_end_links(stage.window);
    assert_int_equal(used(&stage), 0);
    assert_int_equal(atomic_load(&tiers_lines(stage.tiers)->subscribers), 0);
    stage_done(&stage);
}

/* What another window keeps idle must not keep this one from a line, nor stay beside it. */
static void idle_lines_give_way(void **state)
{
    (void)state;
    struct stage stage;
    struct user users[2];
    open_stage(&stage, 10, 2);
    take_ready(&stage, &users[0]);
    take_ready(&stage, &users[1]);
    line_give_back(users[0].line);
    line_give_back(users[1].line);
    assert_int_equal(idle(&stage), 2);
    assert_int_equal(take_kind(&stage, &users[0], 3, LINE_ALONE), OK);
    assert_int_equal(used(&stage) + idle(&stage), 3);
    tick(&stage, HELP_NOW + 1);
    assert_int_equal(used(&stage), 1);
    assert_int_equal(idle(&stage), 1);
    stage_done(&stage);
}

static void idle_lines_beyond_the_minimum_are_closed_after_a_while(void **state)
{
    (void)state;
    struct stage stage;
    struct user users[3];
    open_stage(&stage, 1, 10);
    for (int i = 0; i < 3; i++) {
        take_ready(&stage, &users[i]);
    }
    for (int i = 0; i < 3; i++) {
        line_give_back(users[i].line);
    }
    tick(&stage, HELP_NOW + LINE_IDLE_MS - 1);
    assert_int_equal(idle(&stage), 3);
    tick(&stage, HELP_NOW + LINE_IDLE_MS);
    assert_int_equal(idle(&stage), 1);
    tick(&stage, HELP_NOW + 100 * LINE_IDLE_MS);
    assert_int_equal(idle(&stage), 1);
    stage_done(&stage);
}

static void a_blocked_line_is_patient(void **state)
{
    (void)state;
    struct stage stage;
    struct user user;
    open_stage(&stage, 10, 10);
    take_ready(&stage, &user);
    ask_line(&stage, &user, true);
    help_expect_written(&stage.roof, "BLPOP\r\n");
    for (int64_t passed_ms = 0; passed_ms < 3600 * 1000; passed_ms += 1000) {
        tick(&stage, HELP_NOW + passed_ms);
    }
    assert_int_equal(user.question.ends, 0);
    assert_int_equal(user.losses, 0);
    assert_int_equal(link_state(line_link(user.line)), LINK_READY);
    line_end(user.line);
    stage_done(&stage);
}

static void an_ended_line_is_closed_at_once_and_for_good(void **state)
{
    (void)state;
    struct stage stage;
    struct user user;
    open_stage(&stage, 10, 10);
    take_ready(&stage, &user);
    struct link *link = stage.roof.link;
    ask_line(&stage, &user, true);
    help_expect_written(&stage.roof, "BLPOP\r\n");
    line_end(user.line);
    assert_int_equal(link_state(link), LINK_DOWN);
    help_ended(&user.question, UNKNOWN, "");
    assert_false(user.question.request.confirmed);
    assert_int_equal(user.losses, 0);
    assert_int_equal(used(&stage), 0);
    stage.roof.link = NULL;
    tick(&stage, HELP_NOW + 60000);
    assert_null(stage.roof.link); /* nothing connected */
    stage_done(&stage);
}

static void a_line_may_end_where_it_is_answered(void **state)
{
    (void)state;
    struct stage stage;
    struct user user;
    open_stage(&stage, 10, 10);
    take_ready(&stage, &user);
    user.ends_it = true;
    ask_line(&stage, &user, true);
    HELP_SAY(&stage.roof, "$1\r\na\r\n$1\r\nb\r\n"); /* and what nobody asked for */
    help_ended(&user.question, OK, "$1\r\na\r\n");
    tick(&stage, HELP_NOW + 1);
    assert_int_equal(used(&stage) + idle(&stage), 0);
    stage_done(&stage);
}

static void what_is_not_answered_is_not_given_back(void **state)
{
    (void)state;
    struct stage stage;
    struct user user;
    open_stage(&stage, 10, 10);
    take_ready(&stage, &user);
    ask_line(&stage, &user, false);
    line_give_back(user.line);
    help_ended(&user.question, L2_DOWN, "");
    assert_int_equal(used(&stage) + idle(&stage), 0);
    stage_done(&stage);
}

static void a_lost_line_only_learns_what_became_of_its_writes(void **state)
{
    (void)state;
    struct stage stage;
    struct user user;
    struct question late;
    open_stage(&stage, 10, 10);
    take_ready(&stage, &user);
    ask_line(&stage, &user, true);
    help_expect_written(&stage.roof, "BLPOP\r\n");
    link_on_lost(stage.roof.link, "gone", HELP_NOW);
    assert_int_equal(user.losses, 1);
    assert_int_equal(user.ends_when_lost, 0);
    assert_int_equal(user.question.ends, 0); /* it is to be killed first */
    assert_int_equal(line_client_id(user.line), 0);
    late = help_question(&stage.roof, false, 0);
    assert_int_equal(line_ask(user.line, &late.request, 0, SLICE_LITERAL("GET a\r\n")), L2_DOWN);
    tick(&stage, HELP_NOW);
    link_on_connected(stage.roof.link, HELP_NOW);
    HELP_SAY(&stage.roof, ":8\r\n" HELP_BEAT_ANSWER HELP_SELECTED_8 HELP_SELECTED_8 ":1\r\n");
    help_ended(&user.question, UNKNOWN, "");
    assert_true(user.question.request.confirmed);
    assert_int_equal(line_ask(user.line, &late.request, 0, SLICE_LITERAL("GET a\r\n")), L2_DOWN);
    assert_int_equal(user.losses, 1);
    line_give_back(user.line);
    assert_int_equal(used(&stage) + idle(&stage), 0);
    stage_done(&stage);
}

static void a_lost_line_without_writes_connects_no_more(void **state)
{
    (void)state;
    struct stage stage;
    struct user user;
    open_stage(&stage, 10, 10);
    take_ready(&stage, &user);
    ask_line(&stage, &user, false);
    link_on_lost(stage.roof.link, "gone", HELP_NOW);
    help_ended(&user.question, L2_DOWN, "");
    stage.roof.link = NULL;
    tick(&stage, HELP_NOW + 60000);
    assert_null(stage.roof.link);
    line_end(user.line);
    stage_done(&stage);
}

static void lines_do_not_move_with_l2(void **state)
{
    (void)state;
    const struct l2_url elsewhere = {.is_unix = true, .host = (char[]){"/elsewhere"}};
    for (int i = 0; i < 2; i++) {
        struct stage stage;
        struct user users[2];
        open_stage(&stage, 10, 10);
        take_ready(&stage, &users[0]);
        take_ready(&stage, &users[1]);
        line_give_back(users[1].line);
        if (i == 0) {
            tiers_set_url(stage.tiers, &elsewhere);
            tick(&stage, HELP_NOW + 1);
        } else {
            tiers_window_retarget(stage.window, 12345, HELP_NOW + 1); /* another process there */
        }
        assert_int_equal(users[0].losses, 1);
        assert_int_equal(used(&stage), 1);
        assert_int_equal(idle(&stage), 0);
        line_end(users[0].line);
        stage_done(&stage);
    }
}

static void there_is_no_line_to_an_l2_that_is_down(void **state)
{
    (void)state;
    struct stage stage;
    struct user user;
    open_stage(&stage, 10, 10);
    link_on_lost(stage.roof.link, "gone", HELP_NOW);
    tick(&stage, HELP_NOW + 1000);
    link_on_lost(stage.roof.link, "refused", HELP_NOW);
    assert_int_equal(take(&stage, &user), L2_DOWN);
    assert_int_equal(used(&stage), 0);
    assert_int_equal(counted(&stage, M_LINES_REFUSED), 0);
    stage_done(&stage);
}

static void a_line_that_cannot_connect_says_so(void **state)
{
    (void)state;
    struct stage stage;
    struct user user;
    open_stage(&stage, 10, 10);
    assert_int_equal(take(&stage, &user), OK);
    ask_line(&stage, &user, true);
    link_on_lost(stage.roof.link, "refused", HELP_NOW);
    assert_int_equal(user.losses, 1);
    assert_string_equal(line_why_lost(user.line), "refused");
    help_ended(&user.question, L2_DOWN, "");
    line_end(user.line);
    stage_done(&stage);
}

static void a_subscriber_hears_everything_in_order(void **state)
{
    (void)state;
    struct stage stage;
    struct user user;
    open_stage(&stage, 10, 10);
    assert_int_equal(take_kind(&stage, &user, 2, LINE_SUBSCRIBER), OK);
    assert_int_equal(line_say(user.line, SLICE_LITERAL("SUBSCRIBE a\r\n")), OK);
    assert_int_equal(line_say(user.line, SLICE_LITERAL("SUBSCRIBE b\r\n")), OK);
    link_on_connected(stage.roof.link, HELP_NOW);
    struct buf greeting = help_written(&stage.roof);
    buf_done(&greeting);
    HELP_SAY(&stage.roof, ":9\r\n" HELP_BEAT_ANSWER); /* it selects no database */
    assert_int_equal(line_client_id(user.line), 9);
    help_expect_written(&stage.roof, "SUBSCRIBE a\r\nSUBSCRIBE b\r\n");
    assert_int_equal(line_say(user.line, SLICE_LITERAL("PING\r\n")), OK);
    help_expect_written(&stage.roof, "PING\r\n");
    HELP_SAY(&stage.roof, "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    HELP_SAY(&stage.roof, "*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n+PONG\r\n");
    assert_true(slice_is(buf_slice(&user.pushed),
                         "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"
                         "*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n+PONG\r\n"));
    buf_done(&user.pushed);
    assert_int_equal(atomic_load(&tiers_lines(stage.tiers)->subscribers), 1);
    line_give_back(user.line); /* nobody else gets it */
    assert_int_equal(atomic_load(&tiers_lines(stage.tiers)->subscribers), 0);
    assert_int_equal(idle(&stage), 0);
    stage_done(&stage);
}

static void the_end_of_the_window_is_told(void **state)
{
    (void)state;
    struct stage stage;
    struct user user;
    struct user other;
    open_stage(&stage, 10, 10);
    take_ready(&stage, &other);
    line_give_back(other.line);
    assert_int_equal(take_kind(&stage, &user, 3, LINE_ALONE), OK);
    ask_line(&stage, &user, true);
    tiers_window_end_links(stage.window);
    assert_int_equal(user.losses, 1);
    assert_int_equal(user.ends_when_lost, 0);
    help_ended(&user.question, L2_DOWN, "");
    assert_int_equal(used(&stage) + idle(&stage), 0);
    assert_int_equal(take(&stage, &other), L2_DOWN);
    stage_done(&stage);
}

struct relayed {
    struct tiers_relay relay; /* first */
    unsigned ends;
    enum status status;
    char text[64];
};

static void on_relayed(struct tiers_relay *relay, enum status status, struct slice reply)
{
    struct relayed *relayed = (struct relayed *)(void *)relay;
    relayed->ends++;
    relayed->status = status;
    snprintf(relayed->text, sizeof relayed->text, "%.*s", (int)reply.size,
             reply.size == 0 ? "" : reply.data);
}

static void relay_on(struct stage *stage, struct relayed *relayed, struct line *line,
                     struct l1_key *key, const char *bytes)
{
    relayed->relay.on_reply = on_relayed;
    relayed->relay.line = line;
    relayed->relay.keys = key;
    relayed->relay.key_count = key == NULL ? 0 : 1;
    assert_int_equal(tiers_relay(stage->window, &relayed->relay, 2, slice_of(bytes)), OK);
}

/* In MULTI it would not block. */
static void what_blocks_announces_nothing_and_has_no_deadline(void **state)
{
    (void)state;
    struct namespace_spec specs[] = {spec_of("default", "", 1000)};
    specs[0].settings.told = true;
    struct stage stage;
    struct user user;
    stage_open(&stage, specs, 1);
    atomic_store(&tiers_lines(stage.tiers)->max, 1);
    take_ready(&stage, &user);
    struct l1_key key = namespaces_key(stage.namespaces, 0, SLICE_LITERAL("k")).at;
    struct relayed pop = {.relay = {.writes = true, .blocks = true}};
    relay_on(&stage, &pop, user.line, &key, "BLPOP k\r\n");
    help_expect_written(&stage.roof, "BLPOP k\r\n");
    tick(&stage, HELP_NOW + 3600 * 1000);
    assert_int_equal(pop.ends, 0);
    HELP_SAY(&stage.roof, "*-1\r\n");
    assert_int_equal(pop.ends, 1);
    assert_string_equal(pop.text, "*-1\r\n");
    struct relayed module = {.relay = {.writes = true, .blocks = true, .runs_code = true}};
    relay_on(&stage, &module, user.line, &key, "M.POP k\r\n");
    struct buf written = help_written(&stage.roof);
    assert_true(written.size > 20 && memcmp(written.data, "*1\r\n$5\r\nMULTI\r\n", 15) == 0);
    buf_done(&written);
    line_end(user.line);
    assert_int_equal(module.ends, 1);
    assert_int_equal(module.status, UNKNOWN);
    stage_done(&stage);
}

static void what_stands_in_front_of_a_relayed_read_is_not_its_answer(void **state)
{
    (void)state;
    struct stage stage;
    struct user user;
    open_stage(&stage, 1, 1);
    take_ready(&stage, &user);
    struct relayed wait = {.relay = {.blocks = true, .parts = 1}};
    relay_on(&stage, &wait, user.line, NULL, "PING\r\nWAIT 1 0\r\n");
    help_expect_written(&stage.roof, "PING\r\nWAIT 1 0\r\n");
    HELP_SAY(&stage.roof, "+PONG\r\n");
    assert_int_equal(wait.ends, 0);
    HELP_SAY(&stage.roof, ":1\r\n");
    assert_int_equal(wait.ends, 1);
    assert_string_equal(wait.text, ":1\r\n");
    line_give_back(user.line);
    assert_int_equal(idle(&stage), 1);
    stage_done(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clean_line_is_taken_again),
        cmocka_unit_test(what_is_asked_of_a_new_line_waits_until_it_is_ready),
        cmocka_unit_test(no_more_lines_than_may_be),
        cmocka_unit_test(idle_lines_give_way),
        cmocka_unit_test(idle_lines_beyond_the_minimum_are_closed_after_a_while),
        cmocka_unit_test(a_blocked_line_is_patient),
        cmocka_unit_test(an_ended_line_is_closed_at_once_and_for_good),
        cmocka_unit_test(a_line_may_end_where_it_is_answered),
        cmocka_unit_test(what_is_not_answered_is_not_given_back),
        cmocka_unit_test(a_lost_line_only_learns_what_became_of_its_writes),
        cmocka_unit_test(a_lost_line_without_writes_connects_no_more),
        cmocka_unit_test(lines_do_not_move_with_l2),
        cmocka_unit_test(there_is_no_line_to_an_l2_that_is_down),
        cmocka_unit_test(a_line_that_cannot_connect_says_so),
        cmocka_unit_test(a_subscriber_hears_everything_in_order),
        cmocka_unit_test(the_end_of_the_window_is_told),
        cmocka_unit_test(what_blocks_announces_nothing_and_has_no_deadline),
        cmocka_unit_test(what_stands_in_front_of_a_relayed_read_is_not_its_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
