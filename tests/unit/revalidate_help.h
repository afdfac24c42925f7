/* SPDX-License-Identifier: BSD-3-Clause */
/* revalidate_help.h -- a window with one link and suspects in its L1; Redis is a function that answers what was written. */
#ifndef TERRACE_TESTS_UNIT_REVALIDATE_HELP_H
#define TERRACE_TESTS_UNIT_REVALIDATE_HELP_H

#include "protocol/resp_read.h"
#include "tests/unit/window_help.h"
#include "tiers/revalidate.h"

enum {
    TICK_MS = 100,
    ASKED_MAX = 20000,
    NAME_MAX_SIZE = 16
};

struct scene {
    struct stage at;
    int64_t now_ms;
    const char *value; /* what Redis has for each key; NULL: nothing */
    const char *error; /* what it answers to GET instead; NULL: the value */
    unsigned asked;
    char names[ASKED_MAX][NAME_MAX_SIZE]; /* in the order they were asked for */
};

static inline struct namespace_spec large_spec_of(const char *name, const char *prefix)
{
    struct namespace_spec spec = spec_of(name, prefix, 1000);
    spec.settings.memory = 64 * MB;
    return spec;
}

/* The bus has proved all up to now. */
static inline void prove_now(struct scene *scene)
{
    prove(&scene->at, scene->now_ms);
}

static inline struct scene *scene_open(const struct namespace_spec *specs, unsigned count)
{
    struct scene *scene = calloc(1, sizeof *scene);
    assert_non_null(scene);
    scene->now_ms = HELP_NOW;
    scene->value = "v";
    stage_open_as(&scene->at, specs, count, &(struct stage_options){.revalidates = true});
    return scene;
}

static inline struct scene *scene_open_plain(void)
{
    const struct namespace_spec spec = large_spec_of("default", "");
    return scene_open(&spec, 1);
}

static inline void scene_done(struct scene *scene)
{
    stage_done(&scene->at);
    free(scene);
}

/* --- Redis --------------------------------------------------------------------------------------------------------- */

static inline void answer_one(struct scene *scene, const struct request_reader *reader,
                              struct slice input, struct buf *out)
{
    const struct slice verb = request_arg(reader, input, 0);
    const char *const beat = HELP_BEAT_ANSWER;
    if (slice_is(verb, "PTTL")) {
        const struct slice name = request_arg(reader, input, 1);
        assert_true(scene->asked < ASKED_MAX && name.size < NAME_MAX_SIZE);
        memcpy(scene->names[scene->asked++], name.data, name.size);
        assert_int_equal(buf_printf(out, scene->value == NULL ? ":-2\r\n" : ":-1\r\n"), OK);
    } else if ((slice_is(verb, "GET") || slice_is(verb, "GETRANGE")) && scene->error != NULL) {
        assert_int_equal(buf_printf(out, "-%s\r\n", scene->error), OK);
    } else if (slice_is(verb, "GET") && scene->value == NULL) {
        assert_int_equal(buf_printf(out, "$-1\r\n"), OK);
    } else if (slice_is(verb, "GET") || slice_is(verb, "GETRANGE")) {
        const char *value = scene->value == NULL ? "" : scene->value;
        assert_int_equal(buf_printf(out, "$%zu\r\n%s\r\n", strlen(value), value), OK);
    } else {
        assert_int_equal(buf_append(out, beat, sizeof HELP_BEAT_ANSWER - 1), OK); /* a check */
    }
}

/* Answers until nothing is asked any more; returns how many keys were asked for. */
static inline unsigned serve(struct scene *scene)
{
    const unsigned before = scene->asked;
    while (link_output(scene->at.roof.link).size > 0) {
        struct buf written = help_written(&scene->at.roof);
        struct buf replies = {0};
        struct slice rest = buf_slice(&written);
        while (rest.size > 0) {
            struct request_reader reader;
            request_reader_init(&reader);
            assert_int_equal(request_read(&reader, rest), OK);
            answer_one(scene, &reader, rest, &replies);
            rest = (struct slice){rest.data + reader.used, rest.size - reader.used};
            request_reader_done(&reader);
        }
        help_feed(&scene->at.roof, buf_slice(&replies), scene->now_ms);
        buf_done(&replies);
        buf_done(&written);
    }
    return scene->asked - before;
}

/* --- what happens -------------------------------------------------------------------------------------------------- */

/* A value that was read from L2 and used so many milliseconds ago. */
static inline void used(struct scene *scene, const char *name, int64_t ago_ms)
{
    help_set(namespace_of(scene->at.namespaces, slice_of(name))->l1, 0, name, "v", 0,
             scene->now_ms - ago_ms);
}

static inline void raise_floor(struct scene *scene)
{
    atomic_store(&scene->at.view->plain.floor_ms, scene->now_ms);
}

/* A tick of the worker, the bus being well. Returns how many keys were asked for. */
static inline unsigned tick(struct scene *scene)
{
    scene->now_ms += TICK_MS;
    prove_now(scene);
    tiers_window_tick(scene->at.window, scene->now_ms);
    return serve(scene);
}

static inline unsigned ticks(struct scene *scene, unsigned count)
{
    unsigned asked = 0;
    for (unsigned i = 0; i < count; i++) {
        asked += tick(scene);
    }
    return asked;
}

static inline struct tiers_revalidation seen(const struct scene *scene)
{
    struct tiers_description description;
    tiers_describe(scene->at.tiers, &description);
    return description.revalidation;
}

static inline void name_of(char name[NAME_MAX_SIZE], unsigned i)
{
    (void)snprintf(name, NAME_MAX_SIZE, "k%u", i);
}

/* k0 is the hottest. */
static inline void fill(struct scene *scene, unsigned count, int64_t step_ms)
{
    char name[NAME_MAX_SIZE];
    for (unsigned i = 0; i < count; i++) {
        name_of(name, i);
        used(scene, name, i * step_ms);
    }
}

#endif
