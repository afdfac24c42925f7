/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/conn.h"
#include "server/node.h"
#include "server/push.h"
#include "server/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    PART = 1024 * 1024
};

/* A connection without its loop and poll handle; what it would send is read here. */
struct scene {
    struct node node;
    struct worker *worker;
    struct conn *conn;
    struct metrics metrics;
};

static int setup(void **state)
{
    struct scene *s = calloc(1, sizeof(*s));
    s->worker = calloc(1, sizeof(*s->worker));
    s->conn = calloc(1, sizeof(*s->conn));
    s->node.worker_count = 1;
    atomic_store(&s->node.live.memory, (size_t)1 << 30);
    s->worker->node = &s->node;
    s->worker->metrics = &s->metrics;
    s->worker->limits.hard[0] = SIZE_MAX;
    s->worker->limits.hard[1] = LIMIT_PUSH_CLOSE;
    list_init(&s->worker->dirty);
    s->conn->worker = s->worker;
    s->conn->session.proto = 2;
    s->conn->session.id = 7;
    s->conn->likely = 1;
    list_init(&s->conn->in_dirty);
    list_init(&s->conn->answers);
    out_init(&s->conn->reply.out, &s->worker->pool);
    assert_int_equal(map_add(&s->worker->conns_by_id, &s->conn->by_id, 7), OK);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;
    while (!list_empty(&s->conn->answers)) {
        struct answer *answer = LIST_ENTRY(s->conn->answers.next, struct answer, link);
        list_remove(&answer->link);
        answer_free(answer);
    }
    out_done(&s->conn->reply.out);
    out_pool_done(&s->worker->pool);
    map_done(&s->worker->conns_by_id);
    free(s->conn);
    free(s->worker);
    free(s);
    return 0;
}

static void sends(struct scene *s, const char *expected)
{
    char got[256] = {0};
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(out_send(&s->conn->reply.out, fds[0], PART), OK);
    assert_true(recv(fds[1], got, sizeof(got) - 1, MSG_DONTWAIT) > 0 || expected[0] == '\0');
    assert_string_equal(got, expected);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void push_text(struct scene *s, const char *text)
{
    push_write(s->conn, slice_of(text));
}

static void a_push_goes_out_at_once_when_nothing_waits(void **state)
{
    struct scene *s = *state;
    push_text(s, "+line\r\n");
    assert_false(list_empty(&s->conn->in_dirty));
    sends(s, "+line\r\n");
}

static void a_push_is_an_array_in_resp2(void **state)
{
    struct scene *s = *state;
    push_text(s, ">1\r\n$1\r\nx\r\n");
    sends(s, "*1\r\n$1\r\nx\r\n");
    s->conn->session.proto = 3;
    push_text(s, ">1\r\n$1\r\nx\r\n");
    sends(s, ">1\r\n$1\r\nx\r\n");
}

static void pushes_keep_their_place_between_answers_that_wait(void **state)
{
    struct scene *s = *state;
    struct answer *first = answer_new(s->conn, WAIT_LOCAL);
    push_text(s, "+push 1\r\n");
    push_text(s, "+push 2\r\n");
    assert_int_equal(s->conn->answer_count, 2); /* both in one place */
    struct answer *second = answer_new(s->conn, WAIT_LOCAL);
    push_text(s, "+push 3\r\n");
    sends(s, "");
    reply_status(&second->reply, "second");
    answer_land(second);
    sends(s, "");
    reply_status(&first->reply, "first");
    answer_land(first);
    sends(s, "+first\r\n+push 1\r\n+push 2\r\n+second\r\n+push 3\r\n");
    assert_int_equal(s->conn->answer_count, 0);
    assert_int_equal(conn_waiting_bytes(s->conn), 0);
}

static void what_comes_from_elsewhere_does_not_wait_for_answers(void **state)
{
    struct scene *s = *state;
    struct answer *first = answer_new(s->conn, WAIT_LOCAL);
    push_text(s, "+behind\r\n");
    push_ahead(s->conn, SLICE_LITERAL("+ahead\r\n"));
    sends(s, "+ahead\r\n");
    reply_status(&first->reply, "first");
    answer_land(first);
    sends(s, "+first\r\n+behind\r\n");
}

static void who_is_silenced_hears_pushes(void **state)
{
    struct scene *s = *state;
    s->conn->session.reply_mode = REPLY_OFF;
    push_text(s, "+line\r\n");
    struct answer *silent = answer_new(s->conn, WAIT_LOCAL);
    silent->silent = true;
    answer_land(silent);
    push_text(s, "+more\r\n");
    sends(s, "+line\r\n+more\r\n");
}

static size_t parts_until_broken(struct scene *s)
{
    static char part[PART];
    memset(part, '+', sizeof(part));
    size_t parts = 0;
    while (!s->conn->reply.out.broken && parts < 1000) {
        push_write(s->conn, (struct slice){part, sizeof(part)});
        parts++;
    }
    assert_int_equal(metrics_read(&s->metrics, M_OUTPUT_CLOSED), 1);
    const size_t kept = conn_waiting_bytes(s->conn);
    push_write(s->conn, (struct slice){part, sizeof(part)});
    assert_int_equal(conn_waiting_bytes(s->conn), kept); /* none after the one that was left out */
    return parts - 1;
}

static void who_listens_and_does_not_read_is_to_be_closed(void **state)
{
    struct scene *s = *state;
    s->conn->listens = true;
    assert_int_equal(parts_until_broken(s) * PART, LIMIT_PUSH_CLOSE);
    assert_int_equal(s->conn->state, CONN_OPEN); /* until it is flushed */
    assert_false(list_empty(&s->conn->in_dirty));
}

static void pushes_that_wait_behind_an_answer_count_too(void **state)
{
    struct scene *s = *state;
    s->conn->listens = true;
    (void)answer_new(s->conn, WAIT_LOCAL);
    assert_int_equal(parts_until_broken(s) * PART, LIMIT_PUSH_CLOSE);
}

static void pushes_that_nobody_listens_for_have_that_limit_too(void **state)
{
    struct scene *s = *state;
    assert_int_equal(parts_until_broken(s) * PART, LIMIT_PUSH_CLOSE);
}

static void a_closing_connection_gets_no_more(void **state)
{
    struct scene *s = *state;
    s->conn->state = CONN_FLUSHING;
    push_text(s, "+line\r\n");
    assert_int_equal(s->conn->reply.out.size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_push_goes_out_at_once_when_nothing_waits, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_push_is_an_array_in_resp2, setup, teardown),
        cmocka_unit_test_setup_teardown(pushes_keep_their_place_between_answers_that_wait, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_comes_from_elsewhere_does_not_wait_for_answers, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(who_is_silenced_hears_pushes, setup, teardown),
        cmocka_unit_test_setup_teardown(who_listens_and_does_not_read_is_to_be_closed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(pushes_that_wait_behind_an_answer_count_too, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(pushes_that_nobody_listens_for_have_that_limit_too, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_closing_connection_gets_no_more, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
