/* SPDX-License-Identifier: BSD-3-Clause */
/* What two nodes find different in their namespaces; and envelopes among plain values. */
#include "protocol/envelope.h"
#include "tests/unit/l1_help.h"
#include "tiers/homes.h"
#include "tiers/sighting.h"

enum {
    MB = 1 << 20,
    SPACES_MAX = 4
};

enum kind {
    NOTHING, /* no such namespace */
    PLAIN,
    TOLD,
    MANAGED
};

struct one {
    enum kind kind;
    const char *name;
    const char *prefix;
};

static struct namespaces *open_with(enum kind of_default, const struct one *others)
{
    struct namespace_spec specs[1 + SPACES_MAX];
    unsigned count = 0;
    const struct one first = {of_default, "default", ""};
    for (const struct one *one = &first; one != NULL && one->kind != NOTHING;
         one = one == &first ? others : one + 1) {
        specs[count++] = (struct namespace_spec){
            .name = slice_of(one->name),
            .prefix = slice_of(one->prefix),
            .managed = one->kind == MANAGED,
            .settings = {.mode = {.bound_ms = 1000},
                         .told = one->kind != PLAIN,
                         .memory = MB,
                         .policy = &policy_lru},
        };
    }
    struct namespaces *spaces = namespaces_new(specs, count, 1);
    assert_non_null(spaces);
    return spaces;
}

static void says(const struct namespaces *here, const struct namespaces *there, const char *what)
{
    char rows[FRAME_HOMES_MAX * FRAME_HOME_SIZE];
    char said[PEER_DISAGREEMENT_MAX];
    homes_compare(here, (struct slice){rows, homes_write(there, rows)}, said);
    assert_string_equal(said, what);
}

static void what_differs_is_named_on_both_sides(void **state)
{
    (void)state;
    static const struct {
        enum kind default_here;
        struct one here[SPACES_MAX];
        enum kind default_there;
        struct one there[SPACES_MAX];
        const char *said_here;
        const char *said_there;
    } cases[] = {
        {PLAIN, {{0}}, PLAIN, {{0}}, "", ""},
        {TOLD,
         {{0}},
         PLAIN,
         {{0}},
         "namespace default: other writers there",
         "namespace default: other writers there"},
        {PLAIN, {{MANAGED, "s", "s:"}}, PLAIN, {{MANAGED, "s", "s:"}}, "", ""},
        {PLAIN,
         {{MANAGED, "s", "s:"}},
         PLAIN,
         {{TOLD, "s", "s:"}},
         "namespace s: another format there",
         "namespace s: another format there"},
        {PLAIN,
         {{MANAGED, "s", "s:"}},
         PLAIN,
         {{MANAGED, "s", "t:"}},
         "namespace s: another prefix there",
         "namespace s: another prefix there"},
        {PLAIN,
         {{MANAGED, "s", "s:"}},
         PLAIN,
         {{MANAGED, "t", "s:"}},
         "namespace s: another name there",
         "namespace t: another name there"},
        {PLAIN,
         {{MANAGED, "s", "s:"}},
         PLAIN,
         {{0}},
         "namespace s: missing there",
         "a namespace of it is missing here"},
        /* A budget of one's own, or another name of one, changes nothing for anybody else. */
        {PLAIN, {{PLAIN, "s", "s:"}}, PLAIN, {{0}}, "", ""},
        {PLAIN, {{PLAIN, "s", "s:"}}, PLAIN, {{PLAIN, "t", "s:"}}, "", ""},
        {PLAIN, {{PLAIN, "s", "s:"}}, PLAIN, {{PLAIN, "s", "t:"}}, "", ""},
        /* But this takes keys out of a managed namespace, or of one whose nodes tell each other. */
        {PLAIN,
         {{MANAGED, "s", "s:"}, {PLAIN, "sx", "s:x:"}},
         PLAIN,
         {{MANAGED, "s", "s:"}},
         "namespace sx: missing there",
         "a namespace of it is missing here"},
        {TOLD,
         {{PLAIN, "s", "s:"}},
         TOLD,
         {{0}},
         "namespace s: missing there",
         "a namespace of it is missing here"},
        {TOLD, {{TOLD, "s", "s:"}, {TOLD, "sx", "s:x:"}}, TOLD, {{TOLD, "sx", "s:x:"}}, "", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct namespaces *here = open_with(cases[i].default_here, cases[i].here);
        struct namespaces *there = open_with(cases[i].default_there, cases[i].there);
        says(here, there, cases[i].said_here);
        says(there, here, cases[i].said_there);
        namespaces_free(here);
        namespaces_free(there);
    }
}

static void who_says_nothing_is_of_our_opinion(void **state)
{
    (void)state;
    static const struct one others[SPACES_MAX] = {{MANAGED, "s", "s:"}};
    struct namespaces *spaces = open_with(PLAIN, others);
    char said[PEER_DISAGREEMENT_MAX];
    homes_compare(spaces, (struct slice){0}, said);
    assert_string_equal(said, "");
    namespaces_free(spaces);
}

/* --- envelopes among plain values ---------------------------------------------------------------------------------- */

static void an_envelope_is_noted_and_nothing_else(void **state)
{
    (void)state;
    static const struct one others[SPACES_MAX] = {{PLAIN, "p", "p:"}};
    struct namespaces *spaces = open_with(PLAIN, others);
    const struct namespace *ns = namespace_of(spaces, slice_of("p:1"));
    struct sighting sighting;
    struct sighting seen;
    struct buf text = {0};
    sighting_init(&sighting);
    const struct envelope envelope = {
        .kind = ENVELOPE_RAW, .version = 7, .value_size = 5, .body = slice_of("value")};
    assert_int_equal(envelope_write(&text, &envelope, NULL), OK);
    assert_false(sighting_look(&sighting, ns, slice_of("p:1"), slice_of("value")));
    assert_false(sighting_look(&sighting, ns, slice_of("p:1"), (struct slice){0}));
    assert_false(sighting_take(&sighting, &seen));
    assert_true(sighting_look(&sighting, ns, slice_of("p:1"), buf_slice(&text)));
    assert_true(sighting_look(&sighting, ns, slice_of("p:\n "), buf_slice(&text)));
    assert_true(sighting_take(&sighting, &seen));
    assert_int_equal(seen.times, 2);
    assert_string_equal(seen.namespace, "p");
    assert_string_equal(seen.key, "p:??");
    assert_false(sighting_take(&sighting, &seen));
    text.data[text.size - 1] ^= 1;
    assert_false(sighting_look(&sighting, ns, slice_of("p:1"), buf_slice(&text)));
    buf_done(&text);
    sighting_done(&sighting);
    namespaces_free(spaces);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_differs_is_named_on_both_sides),
        cmocka_unit_test(who_says_nothing_is_of_our_opinion),
        cmocka_unit_test(an_envelope_is_noted_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
