/* SPDX-License-Identifier: BSD-3-Clause */
/* Which connection of the admin listener has to go. */
#include "server/admin_visitors.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void comes(struct visitors *visitors, struct visitor *visitor, const char *address,
                  int64_t now_ms)
{
    struct sockaddr_in ipv4 = {.sin_family = AF_INET};
    struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6};
    const void *from = &ipv6;
    if (inet_pton(AF_INET, address, &ipv4.sin_addr) == 1) {
        from = &ipv4;
    } else {
        assert_int_equal(inet_pton(AF_INET6, address, &ipv6.sin6_addr), 1);
    }
    visitor_comes(visitors, visitor, from, now_ms);
}

static void each_state_has_an_end_counted_from_its_begin(void **state)
{
    static const struct {
        enum visitor_state state;
        int64_t limit_ms;
    } limits[] = {{VISITOR_HEAD, VISITOR_HEAD_MS},
                  {VISITOR_BODY, VISITOR_BODY_MS},
                  {VISITOR_ANSWER, VISITOR_ANSWER_MS},
                  {VISITOR_IDLE, VISITOR_IDLE_MS}};
    (void)state;
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct visitors visitors;
        struct visitor one;
        visitors_init(&visitors);
        comes(&visitors, &one, "10.0.0.1", 0);
        visitor_enters(&visitors, &one, limits[i].state, 1000);
        assert_null(visitors_overdue(&visitors, 1000 + limits[i].limit_ms - 1));
        assert_ptr_equal(visitors_overdue(&visitors, 1000 + limits[i].limit_ms), &one);
        visitor_goes(&visitors, &one);
        assert_null(visitors_overdue(&visitors, INT64_MAX));
    }
}

static void who_waits_for_the_node_is_never_overdue(void **state)
{
    struct visitors visitors;
    struct visitor waits;
    struct visitor silent;
    (void)state;
    visitors_init(&visitors);
    comes(&visitors, &waits, "10.0.0.1", 0);
    comes(&visitors, &silent, "10.0.0.1", 0);
    visitor_enters(&visitors, &waits, VISITOR_OURS, 0);
    assert_ptr_equal(visitors_overdue(&visitors, INT64_MAX / 2), &silent);
    visitor_goes(&visitors, &silent);
    assert_null(visitors_overdue(&visitors, INT64_MAX / 2));
}

static void nobody_goes_while_there_is_room(void **state)
{
    static struct visitor many[VISITORS_MAX + 1];
    struct visitors visitors;
    (void)state;
    visitors_init(&visitors);
    for (int i = 0; i < VISITORS_MAX; i++) {
        comes(&visitors, &many[i], "10.0.0.1", i);
        assert_null(visitors_surplus(&visitors));
    }
    comes(&visitors, &many[VISITORS_MAX], "10.0.0.1", 100);
    assert_ptr_equal(visitors_surplus(&visitors), &many[0]);
    visitor_goes(&visitors, &many[0]);
    assert_null(visitors_surplus(&visitors));
}

/* `hog` holds all but `others` places; who goes when one more of `newcomer` comes. */
static const struct visitor *gone(struct visitor *many, int others, const char *hog,
                                  const char *other, const char *newcomer)
{
    struct visitors visitors;
    visitors_init(&visitors);
    for (int i = 0; i < VISITORS_MAX; i++) {
        comes(&visitors, &many[i], i < others ? other : hog, i);
    }
    comes(&visitors, &many[VISITORS_MAX], newcomer, 1000);
    return visitors_surplus(&visitors);
}

static void who_comes_gets_in_at_the_cost_of_the_address_that_has_most(void **state)
{
    static struct visitor many[VISITORS_MAX + 1];
    (void)state;
    assert_ptr_equal(gone(many, 3, "10.0.0.9", "10.0.0.1", "10.0.0.2"), &many[3]);
    assert_ptr_equal(gone(many, 3, "10.0.0.9", "10.0.0.1", "10.0.0.9"), &many[3]);
    assert_ptr_equal(gone(many, 31, "10.0.0.9", "10.0.0.1", "10.0.0.1"), &many[31]);
}

static void one_network_of_ipv6_is_one_address(void **state)
{
    static struct visitor many[VISITORS_MAX + 1];
    struct visitors visitors;
    char address[INET6_ADDRSTRLEN];
    (void)state;
    visitors_init(&visitors);
    comes(&visitors, &many[0], "2001:db8:1::1", 0);
    comes(&visitors, &many[1], "::ffff:10.0.0.1", 0);
    comes(&visitors, &many[2], "10.0.0.1", 0);
    for (int i = 3; i <= VISITORS_MAX; i++) {
        (void)snprintf(address, sizeof(address), "2001:db8:2::%d", i);
        comes(&visitors, &many[i], address, i);
    }
    assert_ptr_equal(visitors_surplus(&visitors), &many[3]);
    assert_memory_equal(many[1].address, many[2].address, sizeof(many[1].address));
}

static void who_waits_for_the_node_never_makes_room(void **state)
{
    static struct visitor many[VISITORS_MAX + 1];
    struct visitors visitors;
    (void)state;
    visitors_init(&visitors);
    for (int i = 0; i <= VISITORS_MAX; i++) {
        comes(&visitors, &many[i], "10.0.0.1", 0);
    }
    for (int i = 0; i < 32; i++) {
        visitor_enters(&visitors, &many[i], VISITOR_OURS, 0);
    }
    assert_ptr_equal(visitors_surplus(&visitors), &many[32]);
    visitor_enters(&visitors, &many[32], VISITOR_ANSWER,
                   5); /* and who has just begun is the last */
    assert_ptr_equal(visitors_surplus(&visitors), &many[33]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_state_has_an_end_counted_from_its_begin),
        cmocka_unit_test(who_waits_for_the_node_is_never_overdue),
        cmocka_unit_test(nobody_goes_while_there_is_room),
        cmocka_unit_test(who_comes_gets_in_at_the_cost_of_the_address_that_has_most),
        cmocka_unit_test(one_network_of_ipv6_is_one_address),
        cmocka_unit_test(who_waits_for_the_node_never_makes_room),
    };
    return cmocka_run_group_tests_name("admin_visitors", tests, NULL, NULL);
}
