/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/channels.h"
#include "tiers/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    PLENTY = 1 << 24,
    NAMES = 12
};

/* Two workers and their index. */
struct scene {
    struct channel_index *index;
    struct channels one;
    struct channels two;
    struct subscriber a; /* of worker one */
    struct subscriber b;
    struct subscriber c; /* of worker two */
};

static int setup(void **state)
{
    struct scene *s = calloc(1, sizeof(*s));
    s->index = channel_index_new();
    channels_open(&s->one, s->index);
    channels_open(&s->two, s->index);
    subscriber_open(&s->a, NULL, 1);
    subscriber_open(&s->b, NULL, 2);
    subscriber_open(&s->c, NULL, 3);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;
    channels_remove_all(&s->one, &s->a);
    channels_remove_all(&s->one, &s->b);
    channels_remove_all(&s->two, &s->c);
    for (int kind = 0; kind < CHANNEL_KINDS; kind++) {
        assert_int_equal(channel_index_count(s->index, (enum channel_kind)kind), 0);
    }
    channels_close(&s->one);
    channels_close(&s->two);
    channel_index_free(s->index);
    free(s);
    return 0;
}

static void add(struct channels *channels, struct subscriber *who, enum channel_kind kind,
                const char *name)
{
    assert_int_equal(channels_add(channels, who, kind, slice_of(name), PLENTY), OK);
}

static unsigned listeners(const struct channels *channels, enum channel_kind kind, const char *name)
{
    const struct topic *topic = channels_find(channels, kind, slice_of(name));
    unsigned count = 0;
    for (const struct list *at = topic == NULL ? NULL : topic->subscribers.next;
         at != NULL && at != &topic->subscribers; at = at->next) {
        count++;
    }
    return count;
}

static void a_name_is_listened_to_once_by_each(void **state)
{
    struct scene *s = *state;
    add(&s->one, &s->a, CHANNEL_NAMED, "x");
    add(&s->one, &s->a, CHANNEL_NAMED, "x");
    add(&s->one, &s->b, CHANNEL_NAMED, "x");
    add(&s->two, &s->c, CHANNEL_NAMED, "x");
    assert_int_equal(s->a.counts[CHANNEL_NAMED], 1);
    assert_int_equal(listeners(&s->one, CHANNEL_NAMED, "x"), 2);
    assert_int_equal(listeners(&s->two, CHANNEL_NAMED, "x"), 1);
    assert_int_equal(channel_index_listeners(s->index, CHANNEL_NAMED, slice_of("x")), 3);
    assert_int_equal(channel_index_count(s->index, CHANNEL_NAMED), 1);
    channels_remove(&s->one, &s->a, CHANNEL_NAMED, slice_of("x"));
    channels_remove(&s->one, &s->a, CHANNEL_NAMED, slice_of("x"));
    channels_remove(&s->one, &s->a, CHANNEL_NAMED, slice_of("nosuch"));
    assert_int_equal(channel_index_listeners(s->index, CHANNEL_NAMED, slice_of("x")), 2);
}

static void kinds_are_apart(void **state)
{
    struct scene *s = *state;
    add(&s->one, &s->a, CHANNEL_NAMED, "x");
    add(&s->one, &s->a, CHANNEL_PATTERN, "x");
    add(&s->one, &s->a, CHANNEL_SHARD, "x");
    add(&s->one, &s->a, CHANNEL_SHARD, "");
    assert_int_equal(s->a.counts[CHANNEL_SHARD], 2);
    channels_remove(&s->one, &s->a, CHANNEL_PATTERN, slice_of("x"));
    assert_null(channels_find(&s->one, CHANNEL_PATTERN, slice_of("x")));
    assert_true(list_empty(&s->one.patterns));
    assert_non_null(channels_find(&s->one, CHANNEL_NAMED, slice_of("x")));
    assert_non_null(channels_find(&s->one, CHANNEL_SHARD, slice_of("")));
}

static void names_end_in_the_order_they_came(void **state)
{
    struct scene *s = *state;
    add(&s->one, &s->a, CHANNEL_PATTERN, "first");
    add(&s->one, &s->a, CHANNEL_PATTERN, "second");
    add(&s->one, &s->a, CHANNEL_PATTERN, "first");
    assert_true(slice_is(topic_name(subscriber_oldest(&s->a, CHANNEL_PATTERN)), "first"));
    channels_remove(&s->one, &s->a, CHANNEL_PATTERN,
                    topic_name(subscriber_oldest(&s->a, CHANNEL_PATTERN)));
    assert_true(slice_is(topic_name(subscriber_oldest(&s->a, CHANNEL_PATTERN)), "second"));
    assert_null(subscriber_oldest(&s->a, CHANNEL_NAMED));
}

static void the_limit_counts_names_and_who_listens(void **state)
{
    struct scene *s = *state;
    char name[32];
    unsigned count = 0;
    enum status status = OK;
    while (status == OK) {
        (void)snprintf(name, sizeof(name), "%u", count);
        status = channels_add(&s->one, &s->a, CHANNEL_NAMED, slice_of(name), 10000);
        count += status == OK;
    }
    assert_int_equal(status, TOO_BIG);
    assert_in_range(count, 20, 40);
    assert_null(channels_find(&s->one, CHANNEL_NAMED, slice_of(name)));
    assert_int_equal(channels_add(&s->two, &s->c, CHANNEL_NAMED, slice_of(name), 10000), TOO_BIG);
    assert_int_equal(channels_add(&s->one, &s->a, CHANNEL_NAMED, slice_of("0"), 10000), OK);
    channels_remove(&s->one, &s->a, CHANNEL_NAMED, slice_of("0"));
    assert_int_equal(channels_add(&s->two, &s->c, CHANNEL_NAMED, slice_of("0"), 10000), OK);
}

struct walk {
    unsigned count;
};

static void walk_each(void *arg, struct slice name)
{
    (void)name;
    ((struct walk *)arg)->count++;
}

static void a_walk_shows_what_matches(void **state)
{
    struct scene *s = *state;
    struct walk all = {0};
    struct walk some = {0};
    const struct slice pattern = SLICE_LITERAL("b*");
    add(&s->one, &s->a, CHANNEL_NAMED, "a1");
    add(&s->one, &s->b, CHANNEL_NAMED, "b1");
    add(&s->two, &s->c, CHANNEL_NAMED, "b2");
    channel_index_walk(s->index, CHANNEL_NAMED, NULL, walk_each, &all);
    channel_index_walk(s->index, CHANNEL_NAMED, &pattern, walk_each, &some);
    assert_int_equal(all.count, 3);
    assert_int_equal(some.count, 2);
}

/* Beside a plain table of who listens to what. */
static void what_is_listened_to_is_what_was_said(void **state)
{
    struct scene *s = *state;
    struct subscriber *who[] = {&s->a, &s->b, &s->c};
    struct channels *where[] = {&s->one, &s->one, &s->two};
    bool said[3][CHANNEL_KINDS][NAMES] = {0};
    struct rand rand;
    rand_seed(&rand, 1);
    for (int step = 0; step < 20000; step++) {
        const size_t i = rand_next(&rand) % 3;
        const enum channel_kind kind = (enum channel_kind)(rand_next(&rand) % CHANNEL_KINDS);
        const size_t n = rand_next(&rand) % NAMES;
        char name[8];
        (void)snprintf(name, sizeof(name), "n%zu", n);
        switch (rand_next(&rand) % 16) {
        case 0:
            channels_remove_all(where[i], who[i]);
            memset(said[i], 0, sizeof(said[i]));
            break;
        case 1:
        case 2:
        case 3:
        case 4:
        case 5:
        case 6:
            channels_remove(where[i], who[i], kind, slice_of(name));
            said[i][kind][n] = false;
            break;
        default: add(where[i], who[i], kind, name); said[i][kind][n] = true;
        }
        unsigned count = 0;
        for (size_t k = 0; k < NAMES; k++) {
            count += said[i][kind][k];
        }
        assert_int_equal(who[i]->counts[kind], count);
        const unsigned here = (unsigned)said[0][kind][n] + said[1][kind][n];
        assert_int_equal(listeners(&s->one, kind, name), here);
        assert_int_equal(channel_index_listeners(s->index, kind, slice_of(name)),
                         here + said[2][kind][n]);
    }
    assert_int_equal(s->one.count, s->one.subscriptions.count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_name_is_listened_to_once_by_each, setup, teardown),
        cmocka_unit_test_setup_teardown(kinds_are_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(names_end_in_the_order_they_came, setup, teardown),
        cmocka_unit_test_setup_teardown(the_limit_counts_names_and_who_listens, setup, teardown),
        cmocka_unit_test_setup_teardown(a_walk_shows_what_matches, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_listened_to_is_what_was_said, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
