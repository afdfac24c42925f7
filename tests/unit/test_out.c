/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/out.h"
#include "tiers/base/rand.h"
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
        assert_int_equal(out_send(&s->out, s->fds[0], LIMIT), PENDING);
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
    assert_int_equal(out_send(&s->out, s->fds[0], 4), PENDING);
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

/* --- where values stand in the text, and who lets go of them ------------------------------------------------------ */

enum {
    ITEMS = 7,
    SMALL_MAX = 40
};

/* Items that are held here, too, so that the references of others can be counted. */
struct shelf {
    struct item *items[ITEMS];
};

static void shelf_fill(struct shelf *shelf, size_t least)
{
    for (size_t i = 0; i < ITEMS; i++) {
        shelf->items[i] =
            item_new(&(struct item_spec){.key = SLICE_LITERAL("key"), .value_size = least + i});
        assert_non_null(shelf->items[i]);
        memset(item_value_room(shelf->items[i]), 'A' + (int)i, least + i);
    }
}

static void shelf_clear(struct shelf *shelf)
{
    for (size_t i = 0; i < ITEMS; i++) {
        assert_int_equal(atomic_load(&shelf->items[i]->refs), 1);
        item_release(shelf->items[i]);
    }
}

static void put(struct scene *s, struct out *out, struct item *item)
{
    out_attach(out, item, item_value(item));
    tell(s, item_value(item).data, item_value(item).size);
}

static void say(struct scene *s, struct out *out, const char *text)
{
    out_append(out, text, strlen(text));
    tell(s, text, strlen(text));
}

/* Text, values side by side, and an answer that came later and is moved behind. */
static void tell_all(struct scene *s, const struct shelf *shelf)
{
    struct out late;
    out_init(&late, &s->pool);
    put(s, &s->out, shelf->items[0]);
    say(s, &s->out, "one");
    put(s, &s->out, shelf->items[1]);
    put(s, &s->out, shelf->items[2]);
    say(s, &s->out, "two");
    say(s, &late, "three");
    put(s, &late, shelf->items[3]);
    put(s, &late, shelf->items[3]);
    say(s, &late, "four");
    out_move(&s->out, &late);
    assert_int_equal(late.size, 0);
    say(s, &s->out, "five");
    put(s, &late, shelf->items[4]);
    out_move(&s->out, &late);
    say(s, &late, "six");
    out_move(&s->out, &late);
}

static void assert_nothing_is_held(const struct scene *s)
{
    assert_int_equal(s->out.size, 0);
    assert_null(s->out.head);
    assert_null(s->out.values);
    assert_int_equal(s->pool.held, 0);
    assert_int_equal(s->pool.chunks, 0);
}

/* Whatever the socket takes at once: each first part, and then the rest in parts of each size. */
static void test_bytes_come_in_order_wherever_they_are_cut(void **state)
{
    struct scene *s = *state;
    struct shelf shelf;
    shelf_fill(&shelf, 1);
    tell_all(s, &shelf);
    const size_t whole = s->out.size;
    assert_int_equal(whole, s->told_size);
    out_done(&s->out);
    for (size_t first = 1; first < whole; first++) {
        for (size_t part = 1; part <= whole; part++) {
            s->told_size = 0;
            s->came_size = 0;
            tell_all(s, &shelf);
            assert_int_equal(out_send(&s->out, s->fds[0], first), PENDING);
            for (size_t turns = 0; out_send(&s->out, s->fds[0], part) != OK; turns++) {
                assert_true(turns < whole);
            }
            (void)take(s);
            assert_int_equal(s->came_size, whole);
            assert_memory_equal(s->came, s->told, whole);
            assert_nothing_is_held(s);
        }
    }
    shelf_clear(&shelf);
}

/* The client leaves when so much was sent. */
static void test_references_are_released_wherever_it_ends(void **state)
{
    struct scene *s = *state;
    struct shelf shelf;
    shelf_fill(&shelf, 1);
    tell_all(s, &shelf);
    const size_t whole = s->out.size;
    size_t held = 0;
    for (size_t i = 0; i < 5; i++) {
        held += item_value_size(shelf.items[i]) * (i == 3 ? 2 : 1);
    }
    assert_int_equal(s->pool.held, held);
    out_done(&s->out);
    for (size_t sent = 1; sent < whole; sent++) {
        assert_nothing_is_held(s);
        s->told_size = 0;
        tell_all(s, &shelf);
        assert_int_equal(out_send(&s->out, s->fds[0], sent), PENDING);
        out_done(&s->out);
        (void)take(s);
        s->came_size = 0;
    }
    assert_nothing_is_held(s);
    shelf_clear(&shelf);
}

/* Thousands of values share the chunks of the text around them: a client that does not read holds little more than they
 * are. */
static void test_values_take_no_chunk_each(void **state)
{
    struct scene *s = *state;
    struct shelf shelf;
    shelf_fill(&shelf, 1);
    for (int i = 0; i < 3000; i++) {
        say(s, &s->out, "$1\r\n");
        put(s, &s->out, shelf.items[0]);
        say(s, &s->out, "\r\n");
    }
    assert_true(s->pool.chunks <= 3000 * 6 / OUT_CHUNK_SIZE + 1);
    while (s->out.size > 0) {
        assert_int_not_equal(out_send(&s->out, s->fds[0], 1000), CLOSE);
        (void)take(s);
    }
    assert_int_equal(s->came_size, s->told_size);
    assert_memory_equal(s->came, s->told, s->told_size);
    assert_nothing_is_held(s);
    shelf_clear(&shelf);
}

/* Against a plain copy of all bytes, by seed. */
/* As it is taken for TLS: from where it lies if it lies together, else from the room. */
static void test_what_is_next_can_be_looked_at(void **state)
{
    struct scene *s = *state;
    char room[OUT_CHUNK_SIZE];
    append(s, "$100000\r\n");
    attach(s, 'a');
    append(s, "\r\n");
    append(s, "+OK\r\n");
    struct slice next = out_peek(&s->out, 5, room);
    assert_int_equal(next.size, 5);
    assert_ptr_not_equal(next.data, room);
    size_t taken = 0;
    unsigned copied = 0;
    while (s->out.size > 0) {
        next = out_peek(&s->out, sizeof(room), room);
        assert_true(next.size > 0 && next.size <= sizeof(room));
        assert_memory_equal(next.data, s->told + taken, next.size);
        copied += next.data == room;
        taken += next.size;
        out_take(&s->out, next.size);
    }
    assert_int_equal(taken, s->told_size);
    assert_int_equal(copied,
                     2); /* where text meets the value; between, it is the value's own memory */
    assert_int_equal(s->pool.held, 0);
}

static void test_random_answers_come_whole(void **state)
{
    struct scene *s = *state;
    struct rand rand;
    rand_seed(&rand, 4);
    struct shelf shelf;
    shelf_fill(&shelf, OUT_CHUNK_SIZE - 3);
    struct out late;
    out_init(&late, &s->pool);
    char text[3 * OUT_CHUNK_SIZE];
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (char)('a' + (char)(i % 26));
    }
    for (int round = 0; round < 3000; round++) {
        const size_t size = rand_below(&rand, 50) == 0 ? rand_below(&rand, sizeof text)
                                                       : rand_below(&rand, SMALL_MAX);
        switch (rand_below(&rand, 6)) {
        case 0: put(s, &s->out, shelf.items[rand_below(&rand, ITEMS)]); break;
        case 1:
        case 2:
            out_append(&s->out, text, size);
            tell(s, text, size);
            break;
        case 3: {
            put(s, &late, shelf.items[rand_below(&rand, ITEMS)]);
            out_append(&late, text, size);
            tell(s, text, size);
            out_move(&s->out, &late);
            break;
        }
        case 4:
            out_append(&late, text, size);
            tell(s, text, size);
            out_move(&s->out, &late);
            break;
        default:
            assert_int_not_equal(
                out_send(&s->out, s->fds[0], rand_below(&rand, 2 * OUT_CHUNK_SIZE)), CLOSE);
            (void)take(s);
        }
        if (s->told_size > TOTAL_MAX - 4 * OUT_CHUNK_SIZE || round % 100 == 99) {
            while (s->out.size > 0) {
                assert_int_not_equal(out_send(&s->out, s->fds[0], SIZE_MAX), CLOSE);
                (void)take(s);
            }
            assert_int_equal(s->came_size, s->told_size);
            assert_memory_equal(s->came, s->told, s->told_size);
            assert_nothing_is_held(s);
            s->came_size = 0;
            s->told_size = 0;
        }
    }
    out_done(&s->out);
    shelf_clear(&shelf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_no_more_than_the_limit_is_sent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_fits_in_the_limit_is_all_sent, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_a_socket_that_is_full_says_again_and_one_that_is_gone_close, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bytes_come_in_order_wherever_they_are_cut, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_references_are_released_wherever_it_ends, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_values_take_no_chunk_each, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_next_can_be_looked_at, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random_answers_come_whole, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
