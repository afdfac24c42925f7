/* SPDX-License-Identifier: BSD-3-Clause */
/* tiers/bus_reply.h: what one reply on the bus means, read where it lies; and what is none, or says too much, means nothing. */
#include "tiers/bus_reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KEYS_HEAD   "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n"
#define FRAMES_HEAD "*3\r\n$7\r\nmessage\r\n$11\r\nterrace:bus\r\n"

/* In memory of its own size, so that a sanitizer sees a step beyond it. */
static enum bus_kind kind_of(struct slice bytes)
{
    char *copy = malloc(bytes.size > 0 ? bytes.size : 1);
    struct bus_message message;
    struct slice key;
    assert_non_null(copy);
    if (bytes.size > 0) {
        memcpy(copy, bytes.data, bytes.size);
    }
    bus_read((struct slice){copy, bytes.size}, &message);
    const size_t count = message.key_count;
    size_t told = 0;
    while (bus_message_next_key(&message, &key)) {
        assert_true(key.data >= copy && key.data + key.size <= copy + bytes.size);
        told++;
    }
    assert_int_equal(told, count);
    free(copy);
    return message.kind;
}

static void keys_lie_in_the_reply_in_their_order(void **state)
{
    (void)state;
    const struct slice reply =
        SLICE_LITERAL(KEYS_HEAD "*3\r\n$1\r\na\r\n$0\r\n\r\n$4\r\n*1\r\n\r\n");
    struct bus_message message;
    struct slice key;
    bus_read(reply, &message);
    assert_int_equal(message.kind, BUS_KEYS);
    assert_int_equal(message.key_count, 3);
    assert_true(bus_message_next_key(&message, &key) && slice_is(key, "a"));
    assert_true(key.data > reply.data && key.data < reply.data + reply.size);
    assert_true(bus_message_next_key(&message, &key) && key.size == 0);
    assert_true(bus_message_next_key(&message, &key) && slice_is(key, "*1\r\n"));
    assert_false(bus_message_next_key(&message, &key));
    assert_false(bus_message_next_key(&message, &key));
}

static void each_kind_is_known(void **state)
{
    (void)state;
    static const struct {
        struct slice reply;
        enum bus_kind kind;
    } cases[] = {
        {SLICE_LITERAL("+OK\r\n"), BUS_OK},
        {SLICE_LITERAL("-ERR no\r\n"), BUS_ERROR},
        {SLICE_LITERAL("*2\r\n$4\r\npong\r\n$2\r\np1\r\n"), BUS_PONG},
        {SLICE_LITERAL("*3\r\n$9\r\nsubscribe\r\n$20\r\n__redis__:invalidate\r\n:1\r\n"),
         BUS_SUBSCRIBED_KEYS},
        {SLICE_LITERAL("*3\r\n$9\r\nsubscribe\r\n$11\r\nterrace:bus\r\n:2\r\n"),
         BUS_SUBSCRIBED_FRAMES},
        {SLICE_LITERAL(KEYS_HEAD "*0\r\n"), BUS_KEYS},
        {SLICE_LITERAL(KEYS_HEAD "*-1\r\n"), BUS_FLUSHED},
        {SLICE_LITERAL(KEYS_HEAD "$-1\r\n"), BUS_FLUSHED},
        {SLICE_LITERAL(FRAMES_HEAD "$2\r\nxy\r\n"), BUS_FRAME},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(kind_of(cases[i].reply), cases[i].kind);
    }
}

static void an_announcement_of_anything_but_strings_is_forged(void **state)
{
    (void)state;
    static const char *const payloads[] = {
        "$1\r\na\r\n", /* PUBLISHed */
        ":1\r\n",
        "*1\r\n:1\r\n",
        "*2\r\n$1\r\na\r\n$-1\r\n",
        "*2\r\n$1\r\na\r\n*1\r\n$1\r\nb\r\n",       /* a list in the list */
        "*2\r\n*1\r\n$1\r\na\r\n$1\r\nb\r\n",       /* as many strings as it says, one deeper */
        "*1\r\n|1\r\n$1\r\nx\r\n$1\r\ny\r\n:1\r\n", /* RESP3: an attribute, which is no element */
        "|1\r\n$1\r\nx\r\n$1\r\ny\r\n*1\r\n$1\r\na\r\n", /* in front of the list */
        "~1\r\n$1\r\na\r\n",                             /* a set */
        ">1\r\n$1\r\na\r\n",                             /* a push */
    };
    for (size_t i = 0; i < sizeof payloads / sizeof payloads[0]; i++) {
        char reply[256];
        const size_t head = sizeof KEYS_HEAD - 1;
        memcpy(reply, KEYS_HEAD, head);
        memcpy(reply + head, payloads[i], strlen(payloads[i]));
        assert_int_equal(kind_of((struct slice){reply, head + strlen(payloads[i])}), BUS_FORGED);
    }
}

static void what_is_no_message_of_the_bus_is_strange(void **state)
{
    (void)state;
    static const char *const replies[] = {
        "",
        ":1\r\n",
        "$4\r\npong\r\n",
        "*0\r\n",
        "*-1\r\n",
        "*1\r\n$4\r\npong\r\n",
        "*2\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n",
        "*3\r\n$4\r\npong\r\n$1\r\nx\r\n$1\r\ny\r\n",
        "*3\r\n+message\r\n$20\r\n__redis__:invalidate\r\n*0\r\n",
        "*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n*0\r\n",
        "*3\r\n$7\r\nmessage\r\n*1\r\n$20\r\n__redis__:invalidate\r\n*0\r\n",
        "*3\r\n$9\r\nsubscribe\r\n$11\r\nterrace:bus\r\n$1\r\n2\r\n",
        FRAMES_HEAD "*0\r\n",
        FRAMES_HEAD "$-1\r\n",
        "|1\r\n$1\r\nx\r\n$1\r\ny\r\n+OK\r\n",
        ">2\r\n$4\r\npong\r\n$1\r\nx\r\n",
        "%1\r\n$4\r\npong\r\n$1\r\nx\r\n",
        "=8\r\ntxt:pong\r\n",
    };
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        assert_int_equal(kind_of(slice_of(replies[i])), BUS_STRANGE);
    }
}

static void less_or_more_than_one_reply_is_strange(void **state)
{
    (void)state;
    const struct slice whole = SLICE_LITERAL(KEYS_HEAD "*2\r\n$1\r\na\r\n$3\r\nbcd\r\n");
    const struct slice more = SLICE_LITERAL(KEYS_HEAD "*2\r\n$1\r\na\r\n$3\r\nbcd\r\n+OK\r\n");
    assert_int_equal(kind_of(whole), BUS_KEYS);
    assert_int_equal(kind_of(more), BUS_STRANGE);
    for (size_t size = 0; size < whole.size; size++) {
        assert_int_equal(kind_of((struct slice){whole.data, size}), BUS_STRANGE);
    }
}

static void what_announces_more_than_there_is_is_strange(void **state)
{
    (void)state;
    static const char *const payloads[] = {
        "*281474976710656\r\n$1\r\na\r\n",
        "*281474976710657\r\n$1\r\na\r\n",
        "*9223372036854775807\r\n$1\r\na\r\n",
        "*18446744073709551615\r\n$1\r\na\r\n",
        "*-2\r\n",
        "*1\r\n$9223372036854775807\r\na\r\n",
        "*1\r\n$18446744073709551615\r\na\r\n",
        "*1\r\n$-2\r\n",
    };
    for (size_t i = 0; i < sizeof payloads / sizeof payloads[0]; i++) {
        char reply[256];
        const size_t head = sizeof KEYS_HEAD - 1;
        memcpy(reply, KEYS_HEAD, head);
        memcpy(reply + head, payloads[i], strlen(payloads[i]));
        assert_int_equal(kind_of((struct slice){reply, head + strlen(payloads[i])}), BUS_STRANGE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_lie_in_the_reply_in_their_order),
        cmocka_unit_test(each_kind_is_known),
        cmocka_unit_test(an_announcement_of_anything_but_strings_is_forged),
        cmocka_unit_test(what_is_no_message_of_the_bus_is_strange),
        cmocka_unit_test(less_or_more_than_one_reply_is_strange),
        cmocka_unit_test(what_announces_more_than_there_is_is_strange),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
