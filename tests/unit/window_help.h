/* SPDX-License-Identifier: BSD-3-Clause */
/* window_help.h -- a worker's window on a stage: Redis' bytes are written by hand; what the bus would have proved is put
 * into the view. */
#ifndef TERRACE_TESTS_UNIT_WINDOW_HELP_H
#define TERRACE_TESTS_UNIT_WINDOW_HELP_H

#include "tests/unit/l1_help.h"
#include "tests/unit/link_help.h"
#include "tiers/l2_url.h"
#include "tiers/window.h"

enum {
    MB = 1 << 20
};

struct stage {
    struct roof roof; /* of the window's one link */
    struct metrics metrics;
    struct l2_url url;
    struct namespaces *namespaces;
    struct tiers *tiers;
    struct coherence_view *view;
    struct tiers_window *window;
    struct tiers_confirm *confirms[8]; /* waits for all nodes, in the order of asking */
    unsigned confirm_count;
    bool refuses; /* to wait */
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

static inline enum status on_confirm(void *roof, struct tiers_confirm *confirm, int64_t deadline_ms)
{
    struct stage *stage = roof;
    assert_true(deadline_ms > HELP_NOW);
    assert_true(stage->confirm_count < 8);
    if (stage->refuses) {
        return BUSY;
    }
    stage->confirms[stage->confirm_count++] = confirm;
    return OK;
}

/* The n-th wait that was begun ends. */
static inline void confirm(struct stage *stage, unsigned n, enum status status)
{
    assert_true(n < stage->confirm_count && stage->confirms[n] != NULL);
    struct tiers_confirm *confirm = stage->confirms[n];
    stage->confirms[n] = NULL;
    confirm->on_confirmed(confirm, status);
}

static inline struct namespace_spec spec_of(const char *name, const char *prefix, int64_t bound_ms)
{
    return (struct namespace_spec){
        .name = slice_of(name),
        .prefix = slice_of(prefix),
        .settings = {.mode = {.bound_ms = bound_ms}, .memory = MB, .policy = &policy_lru}};
}

/* The bus has proved all up to this moment. */
static inline void prove(struct stage *stage, int64_t now_ms)
{
    atomic_store(&stage->view->horizon_ms, now_ms);
    atomic_store(&stage->view->may_install, true);
    atomic_store(&stage->view->target, link_target(stage->roof.link));
    tiers_window_begin(stage->window, now_ms);
}

struct stage_options {
    struct tiers_behind behind;
    bool revalidates;
};

static inline void stage_open_as(struct stage *stage, const struct namespace_spec *specs,
                                 unsigned count, const struct stage_options *options)
{
    memset(stage, 0, sizeof *stage);
    stage->url = (struct l2_url){.is_unix = true, .host = (char[]){"/nowhere"}};
    stage->namespaces = namespaces_new(specs, count, 1);
    assert_non_null(stage->namespaces);
    stage->tiers = tiers_new(&(struct tiers_options){.namespaces = stage->namespaces,
                                                     .metrics = &stage->metrics,
                                                     .url = &stage->url,
                                                     .coherence_db = 15,
                                                     .node = 77,
                                                     .behind = options->behind});
    assert_non_null(stage->tiers);
    stage->view = (struct coherence_view *)coherence_view(tiers_coherence(stage->tiers));
    stage->window = tiers_window_new(&(struct tiers_window_options){
        .tiers = stage->tiers,
        .metrics = &stage->metrics,
        .io = {.roof = stage, .connect = on_connect, .close = on_close, .wants_flush = on_close},
        .seed = 1,
        .revalidates = options->revalidates,
        .post = on_post,
        .confirm = on_confirm});
    assert_non_null(stage->window);
    tiers_window_timeouts(stage->window, 2000, 2000);
    tiers_window_tick(stage->window, HELP_NOW);
    help_make_ready(&stage->roof);
    prove(stage, HELP_NOW);
}

static inline void stage_open(struct stage *stage, const struct namespace_spec *specs,
                              unsigned count)
{
    stage_open_as(stage, specs, count, &(struct stage_options){.revalidates = false});
}

static inline void stage_done(struct stage *stage)
{
    tiers_window_free(stage->window);
    tiers_free(stage->tiers);
    namespaces_free(stage->namespaces);
}

struct reading {
    struct tiers_reader reader;
    unsigned ends;
    enum status status;
    bool is_spare;
    char text[32];
};

static inline void on_value(struct tiers_reader *reader, enum status status,
                            const struct tiers_value *value)
{
    struct reading *asked = (struct reading *)(void *)reader;
    asked->ends++;
    asked->status = status;
    asked->is_spare = value->is_spare;
    if (value->item != NULL) {
        struct slice bytes = item_value(value->item);
        memcpy(asked->text, bytes.data, bytes.size);
    }
}

/* OK: a hit. `wish` may be NULL. */
static inline enum status ask_with(struct stage *stage, struct reading *asked, const char *name,
                                   const struct wish *wish)
{
    char copy[64];
    bool foreign = false;
    struct l1_value value = {.copy = copy, .copy_room = sizeof copy};
    *asked = (struct reading){.reader = {.on_value = on_value, .wish = wish}};
    struct ns_key key = namespaces_key(stage->namespaces, 0, slice_of(name));
    return tiers_get(stage->window, &key, 2, &value, &asked->reader, &foreign);
}

static inline enum status ask(struct stage *stage, struct reading *asked, const char *name)
{
    return ask_with(stage, asked, name, NULL);
}

static inline void expect_ended(const struct reading *asked, const char *text)
{
    assert_int_equal(asked->ends, 1);
    assert_int_equal(asked->status, OK);
    assert_string_equal(asked->text, text);
}

static inline bool stands(struct stage *stage, const char *name, const char *value)
{
    return help_is(namespace_of(stage->namespaces, slice_of(name))->l1, 0, name, value, HELP_NOW);
}

#endif
