/* SPDX-License-Identifier: BSD-3-Clause */
/* revalidate_help.h -- a window with one link and suspects in its L1; Redis is a function that answers what was written. */
#ifndef TERRACE_TESTS_UNIT_REVALIDATE_HELP_H
#define TERRACE_TESTS_UNIT_REVALIDATE_HELP_H

#include "protocol/resp_read.h"
#include "tests/unit/l1_help.h"
#include "tests/unit/link_help.h"
#include "tiers/l2_url.h"
#include "tiers/revalidate.h"
#include "tiers/window.h"

enum {
    MB = 1 << 20,
    TICK_MS = 100,
    ASKED_MAX = 20000,
    NAME_MAX_SIZE = 16
};

struct stage {
    struct roof roof; /* of the window's one link */
    struct metrics metrics;
    struct l2_url url;
    struct namespaces *namespaces;
    struct tiers *tiers;
    struct coherence_view *view;
    struct tiers_window *window;
    int64_t now_ms;
    const char *value; /* what Redis has for each key; NULL: nothing */
    const char *error; /* what it answers to GET instead; NULL: the value */
    unsigned asked;
    char names[ASKED_MAX][NAME_MAX_SIZE]; /* in the order they were asked for */
};

static inline void on_connect(void *arg, struct link *link)
{
    struct stage *stage = arg;
    stage->roof.link = link;
}

static inline void on_close(void *arg, struct link *link)
{
    (void)arg;
    (void)link;
}

static inline enum status on_post(void *roof, unsigned worker, struct tiers_post *post, bool must)
{
    (void)roof;
    (void)worker;
    (void)post;
    (void)must;
    return BUSY; /* there is no other worker */
}

static inline struct namespace_spec spec_of(const char *name, const char *prefix)
{
    return (struct namespace_spec){
        .name = slice_of(name),
        .prefix = slice_of(prefix),
        .settings = {.mode = {.bound_ms = 1000}, .memory = 64 * MB, .policy = &policy_lru}};
}

/* The bus has proved all up to now. */
static inline void prove(struct stage *stage)
{
    atomic_store(&stage->view->horizon_ms, stage->now_ms);
    atomic_store(&stage->view->may_install, true);
    atomic_store(&stage->view->target, link_target(stage->roof.link));
    tiers_window_begin(stage->window, stage->now_ms);
}

static inline struct stage *stage_open(const struct namespace_spec *specs, unsigned count)
{
    struct stage *stage = calloc(1, sizeof *stage);
    assert_non_null(stage);
    stage->now_ms = HELP_NOW;
    stage->value = "v";
    stage->url = (struct l2_url){.is_unix = true, .host = (char[]){"/nowhere"}};
    stage->namespaces = namespaces_new(specs, count, 1);
    assert_non_null(stage->namespaces);
    stage->tiers = tiers_new(&(struct tiers_options){.namespaces = stage->namespaces,
                                                     .metrics = &stage->metrics,
                                                     .url = &stage->url,
                                                     .coherence_db = 15,
                                                     .node = 77});
    assert_non_null(stage->tiers);
    stage->view = (struct coherence_view *)coherence_view(tiers_coherence(stage->tiers));
    stage->window = tiers_window_new(&(struct tiers_window_options){
        .tiers = stage->tiers,
        .metrics = &stage->metrics,
        .io = {.roof = stage, .connect = on_connect, .close = on_close, .wants_flush = on_close},
        .seed = 1,
        .revalidates = true,
        .post = on_post});
    assert_non_null(stage->window);
    tiers_window_timeouts(stage->window, 2000, 2000);
    tiers_window_tick(stage->window, stage->now_ms);
    help_make_ready(&stage->roof);
    prove(stage);
    return stage;
}

static inline struct stage *stage_open_plain(void)
{
    const struct namespace_spec spec = spec_of("default", "");
    return stage_open(&spec, 1);
}

static inline void stage_done(struct stage *stage)
{
    tiers_window_free(stage->window);
    tiers_free(stage->tiers);
    namespaces_free(stage->namespaces);
    free(stage);
}

/* --- Redis --------------------------------------------------------------------------------------------------------- */

static inline void answer_one(struct stage *stage, const struct request_reader *reader,
                              struct slice input, struct buf *out)
{
    const struct slice verb = request_arg(reader, input, 0);
    const char *const beat = HELP_BEAT_ANSWER;
    if (slice_is(verb, "PTTL")) {
        const struct slice name = request_arg(reader, input, 1);
        assert_true(stage->asked < ASKED_MAX && name.size < NAME_MAX_SIZE);
        memcpy(stage->names[stage->asked++], name.data, name.size);
        assert_int_equal(buf_printf(out, stage->value == NULL ? ":-2\r\n" : ":-1\r\n"), OK);
    } else if ((slice_is(verb, "GET") || slice_is(verb, "GETRANGE")) && stage->error != NULL) {
        assert_int_equal(buf_printf(out, "-%s\r\n", stage->error), OK);
    } else if (slice_is(verb, "GET") && stage->value == NULL) {
        assert_int_equal(buf_printf(out, "$-1\r\n"), OK);
    } else if (slice_is(verb, "GET") || slice_is(verb, "GETRANGE")) {
        const char *value = stage->value == NULL ? "" : stage->value;
        assert_int_equal(buf_printf(out, "$%zu\r\n%s\r\n", strlen(value), value), OK);
    } else {
        assert_int_equal(buf_append(out, beat, sizeof HELP_BEAT_ANSWER - 1), OK); /* a check */
    }
}

/* Answers until nothing is asked any more; returns how many keys were asked for. */
static inline unsigned serve(struct stage *stage)
{
    const unsigned before = stage->asked;
    while (link_output(stage->roof.link).size > 0) {
        struct buf written = help_written(&stage->roof);
        struct buf replies = {0};
        struct slice rest = buf_slice(&written);
        while (rest.size > 0) {
            struct request_reader reader;
            request_reader_init(&reader);
            assert_int_equal(request_read(&reader, rest), OK);
            answer_one(stage, &reader, rest, &replies);
            rest = (struct slice){rest.data + reader.used, rest.size - reader.used};
            request_reader_done(&reader);
        }
        help_feed(&stage->roof, buf_slice(&replies), stage->now_ms);
        buf_done(&replies);
        buf_done(&written);
    }
    return stage->asked - before;
}

/* --- what happens -------------------------------------------------------------------------------------------------- */

/* A value that was read from L2 and used so many milliseconds ago. */
static inline void used(struct stage *stage, const char *name, int64_t ago_ms)
{
    help_set(namespace_of(stage->namespaces, slice_of(name))->l1, 0, name, "v", 0,
             stage->now_ms - ago_ms);
}

static inline void raise_floor(struct stage *stage)
{
    atomic_store(&stage->view->plain.floor_ms, stage->now_ms);
}

/* A tick of the worker, the bus being well. Returns how many keys were asked for. */
static inline unsigned tick(struct stage *stage)
{
    stage->now_ms += TICK_MS;
    prove(stage);
    tiers_window_tick(stage->window, stage->now_ms);
    return serve(stage);
}

static inline unsigned ticks(struct stage *stage, unsigned count)
{
    unsigned asked = 0;
    for (unsigned i = 0; i < count; i++) {
        asked += tick(stage);
    }
    return asked;
}

static inline struct tiers_revalidation seen(const struct stage *stage)
{
    struct tiers_description description;
    tiers_describe(stage->tiers, &description);
    return description.revalidation;
}

static inline void name_of(char name[NAME_MAX_SIZE], unsigned i)
{
    (void)snprintf(name, NAME_MAX_SIZE, "k%u", i);
}

/* k0 is the hottest. */
static inline void fill(struct stage *stage, unsigned count, int64_t step_ms)
{
    char name[NAME_MAX_SIZE];
    for (unsigned i = 0; i < count; i++) {
        name_of(name, i);
        used(stage, name, i * step_ms);
    }
}

struct asked {
    struct tiers_reader reader;
    unsigned ends;
    enum status status;
};

static inline void on_value(struct tiers_reader *reader, enum status status,
                            const struct tiers_value *value)
{
    struct asked *asked = (struct asked *)(void *)reader;
    (void)value;
    asked->ends++;
    asked->status = status;
}

/* A client's GET. OK: a hit. */
static inline enum status get(struct stage *stage, struct asked *asked, const char *name)
{
    char copy[64];
    bool foreign = false;
    struct l1_value value = {.copy = copy, .copy_room = sizeof copy};
    *asked = (struct asked){.reader = {.on_value = on_value}};
    const struct ns_key key = namespaces_key(stage->namespaces, 0, slice_of(name));
    const enum status status = tiers_get(stage->window, &key, 2, &value, &asked->reader, &foreign);
    item_release(value.item);
    return status;
}

#endif
