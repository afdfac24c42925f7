/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/out.h"
#include "tiers/item.h"

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
    VALUE = 100 * 1000,
    LIMIT = 4096,
    TOTAL_MAX = 1024 * 1024
};

/* What out_send writes to, and what was told to it: a pair of sockets whose other end is read here. */
struct scene {
    struct out_pool pool;
    struct out out;
    int fds[2];
    char *told;
    size_t told_size;
    char *came;
    size_t came_size;
};

static int setup(void **state)
{
    struct scene *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    s->told = malloc(TOTAL_MAX);
    s->came = malloc(TOTAL_MAX);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s->fds), 0);
    out_init(&s->out, &s->pool);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;
    out_done(&s->out);
    out_pool_done(&s->pool);
    for (int i = 0; i < 2; i++) {
        if (s->fds[i] >= 0) {
            (void)close(s->fds[i]);
        }
    }
    free(s->told);
    free(s->came);
    free(s);
    return 0;
}

static void tell(struct scene *s, const char *bytes, size_t size)
{
    memcpy(s->told + s->told_size, bytes, size);
    s->told_size += size;
}

static void append(struct scene *s, const char *text)
{
    out_append(&s->out, text, strlen(text));
    tell(s, text, strlen(text));
}

static void attach(struct scene *s, char first)
{
    struct item *item =
        item_new(&(struct item_spec){.key = SLICE_LITERAL("key"), .value_size = VALUE});
    assert_non_null(item);
    char *room = item_value_room(item);
    for (size_t i = 0; i < VALUE; i++) {
        room[i] = (char)(first + (char)(i % 23));
    }
    out_attach(&s->out, item, (struct slice){.data = room, .size = VALUE});
    tell(s, room, VALUE);
    item_release(item);
}

/* How much the other end has. */
static size_t take(struct scene *s)
{
    size_t before = s->came_size;
    for (;;) {
        ssize_t got =
            recv(s->fds[1], s->came + s->came_size, TOTAL_MAX - s->came_size, MSG_DONTWAIT);
        if (got <= 0) {
            return s->came_size - before;
        }
        s->came_size += (size_t)got;
    }
}

/* However much the socket would take, and however many chunks there are. */
static void test_no_more_than_the_limit_is_sent(void **state)
{
    struct scene *s = *state;
    for (int i = 0; i < 5; i++) {
        append(s, "$100000\r\n");
        attach(s, (char)('a' + i));
        append(s, "\r\n");
    }
    size_t left = s->told_size;
    while (left > LIMIT) {
        assert_int_equal(out_send(&s->out, s->fds[0], LIMIT), AGAIN);
        assert_int_equal(take(s), LIMIT);
        left -= LIMIT;
        assert_int_equal(s->out.size, left);
    }
    assert_int_equal(out_send(&s->out, s->fds[0], LIMIT), OK);
    assert_int_equal(take(s), left);
    assert_int_equal(s->came_size, s->told_size);
    assert_memory_equal(s->came, s->told, s->told_size);
}

static void test_what_fits_in_the_limit_is_all_sent(void **state)
{
    struct scene *s = *state;
    append(s, "+OK\r\n");
    assert_int_equal(out_send(&s->out, s->fds[0], 5), OK);
    assert_int_equal(take(s), 5);
    assert_int_equal(out_send(&s->out, s->fds[0], 5), OK); /* nothing */
    append(s, "+OK\r\n");
    assert_int_equal(out_send(&s->out, s->fds[0], 4), AGAIN);
    append(s, ":1\r\n");
    assert_int_equal(out_send(&s->out, s->fds[0], 5), OK);
    assert_int_equal(take(s), 9);
    assert_memory_equal(s->came, s->told, s->told_size);
}

static void test_a_socket_that_is_full_says_again_and_one_that_is_gone_close(void **state)
{
    struct scene *s = *state;
    for (int i = 0; i < 9; i++) {
        attach(s, 'a');
    }
    assert_int_equal(out_send(&s->out, s->fds[0], SIZE_MAX), AGAIN); /* a pair holds some 200 KB */
    size_t waits = s->out.size;
    assert_true(waits > 0 && waits < s->told_size);
    assert_int_equal(out_send(&s->out, s->fds[0], LIMIT), AGAIN);
    assert_int_equal(s->out.size, waits);
    (void)close(s->fds[1]);
    s->fds[1] = -1;
    assert_int_equal(out_send(&s->out, s->fds[0], LIMIT), CLOSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_no_more_than_the_limit_is_sent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_fits_in_the_limit_is_all_sent, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_a_socket_that_is_full_says_again_and_one_that_is_gone_close, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
