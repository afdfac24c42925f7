/* SPDX-License-Identifier: BSD-3-Clause */
/* watch.c -- changes under a prefix, told to the application by the keeper.
 *
 * Not by whoever drives: that may be any thread in the middle of a call. What is not told yet stands in a list that is
 * bounded: beyond that one `anything may have changed` stands for all. */
#include "client/sync.h"

#include <stdlib.h>
#include <string.h>

enum {
    NEWS_MAX = 4096, /* keys */
    NEWS_BYTES_MAX = 4 << 20
};

struct news {
    struct news *next;
    size_t size;
    char key[];
};

struct terrace_watch {
    struct watcher watcher; /* first */
    struct terrace *terrace;
    struct terrace_watch *next; /* of all, under the lock */
    struct news *first, **last;
    size_t count, bytes;
    bool is_anything; /* in front of all news */
    terrace_watch_fn *on_change;
    void *arg;
    char prefix[];
};

/* --- from the stream ------------------------------------------------------------------------------------------------------------- */

static void drop_news(struct terrace_watch *watch)
{
    while (watch->first != NULL) {
        struct news *news = watch->first;
        watch->first = news->next;
        free(news);
    }
    watch->last = &watch->first;
    watch->count = watch->bytes = 0;
}

static void note_anything(struct terrace_watch *watch)
{
    drop_news(watch);
    watch->is_anything = true;
}

static bool note_key(struct terrace_watch *watch, struct slice key)
{
    struct news *news = NULL;
    if (watch->count < NEWS_MAX && watch->bytes + key.size <= NEWS_BYTES_MAX) {
        news = malloc(sizeof *news + key.size);
    }
    if (news == NULL) {
        return false;
    }
    news->next = NULL;
    news->size = key.size;
    if (key.size > 0) {
        memcpy(news->key, key.data, key.size);
    }
    *watch->last = news;
    watch->last = &news->next;
    watch->count++;
    watch->bytes += key.size;
    return true;
}

static void on_change(struct watcher *watcher, const struct native_event *event, struct slice keys)
{
    struct terrace_watch *watch = (struct terrace_watch *)(void *)watcher;
    struct terrace *terrace = watch->terrace;
    struct slice key;
    size_t at = 0;
    (void)pthread_mutex_lock(&terrace->lock);
    if (event == NULL) {
        note_anything(watch);
    } else {
        bool is_noted = true;
        while (is_noted && native_next_key(&keys, event->key_sizes, event->key_count, &at, &key)) {
            is_noted = note_key(watch, key);
        }
        if (!is_noted) {
            note_anything(watch);
        }
    }
    (void)pthread_cond_signal(&terrace->keeper_cond);
    (void)pthread_mutex_unlock(&terrace->lock);
}

/* --- to the application ------------------------------------------------------------------------------------------------------------ */

static bool has_news(const struct terrace_watch *watch)
{
    return watch->is_anything || watch->first != NULL;
}

static struct terrace_watch *next_with_news(const struct terrace *terrace)
{
    struct terrace_watch *watch = terrace->watches;
    while (watch != NULL && !has_news(watch)) {
        watch = watch->next;
    }
    return watch;
}

bool watch_has_news(const struct terrace *terrace)
{
    return next_with_news(terrace) != NULL;
}

void watch_tell(struct terrace *terrace)
{
    struct terrace_watch *watch = next_with_news(terrace);
    struct news *news = NULL;
    if (watch->is_anything) {
        watch->is_anything = false;
    } else {
        news = watch->first;
        watch->first = news->next;
        watch->last = watch->first != NULL ? watch->last : &watch->first;
        watch->count--;
        watch->bytes -= news->size;
    }
    terrace->telling = watch;
    (void)pthread_mutex_unlock(&terrace->lock);
    watch->on_change(watch->arg, news != NULL ? news->key : NULL, news != NULL ? news->size : 0);
    free(news);
    (void)pthread_mutex_lock(&terrace->lock);
    terrace->telling = NULL; /* `watch` may be gone: on_change may have ended it */
    (void)pthread_cond_broadcast(&terrace->told_cond);
}

/* --- begin and end ------------------------------------------------------------------------------------------------------------------ */

struct watch_wait {
    struct wait wait; /* first */
    struct terrace_watch *watch;
    bool is_closed;
};

static void begin_watching(struct wait *wait, struct core *core)
{
    struct watch_wait *work = (struct watch_wait *)(void *)wait;
    work->is_closed = core == NULL || core->is_closing;
    if (!work->is_closed) {
        watcher_begin(core, &work->watch->watcher);
    }
    wait_done(wait);
}

static void end_watching(struct wait *wait, struct core *core)
{
    struct watch_wait *work = (struct watch_wait *)(void *)wait;
    if (core != NULL) {
        watcher_end(&work->watch->watcher);
    }
    wait_done(wait);
}

static void list(struct terrace_watch *watch)
{
    struct terrace *terrace = watch->terrace;
    (void)pthread_mutex_lock(&terrace->lock);
    watch->next = terrace->watches;
    terrace->watches = watch;
    (void)pthread_mutex_unlock(&terrace->lock);
}

static void unlist(struct terrace_watch *watch)
{
    struct terrace *terrace = watch->terrace;
    (void)pthread_mutex_lock(&terrace->lock);
    struct terrace_watch **link = &terrace->watches;
    while (*link != watch) {
        link = &(*link)->next;
    }
    *link = watch->next;
    while (terrace->telling == watch && pthread_equal(pthread_self(), terrace->keeper) == 0) {
        (void)pthread_cond_wait(&terrace->told_cond, &terrace->lock);
    }
    (void)pthread_mutex_unlock(&terrace->lock);
}

enum terrace_status terrace_watch_begin(struct terrace *terrace, const void *prefix,
                                        size_t prefix_size, terrace_watch_fn *on_change_fn,
                                        void *arg, struct terrace_watch **ret_watch)
{
    if (terrace == NULL || on_change_fn == NULL || ret_watch == NULL || prefix_size > UINT16_MAX ||
        (prefix == NULL && prefix_size > 0)) {
        return TERRACE_BAD_ARGUMENT;
    }
    struct terrace_watch *watch = calloc(1, sizeof *watch + prefix_size);
    if (watch == NULL) {
        return TERRACE_NO_MEMORY;
    }
    if (prefix_size > 0) {
        memcpy(watch->prefix, prefix, prefix_size);
    }
    watch->watcher.prefix = (struct slice){watch->prefix, prefix_size};
    watch->watcher.on_change = on_change;
    watch->terrace = terrace;
    watch->last = &watch->first;
    watch->on_change = on_change_fn;
    watch->arg = arg;
    struct watch_wait work = {.wait = {.begin = begin_watching}, .watch = watch, .is_closed = true};
    if (terrace_enter(terrace)) {
        list(watch);
        wait_for(terrace, &work.wait);
        if (work.is_closed) {
            unlist(watch);
        }
        terrace_leave(terrace);
    }
    if (work.is_closed) {
        free(watch);
        return TERRACE_CLOSED;
    }
    *ret_watch = watch;
    return TERRACE_OK;
}

void terrace_watch_end(struct terrace_watch *watch)
{
    if (watch == NULL) {
        return;
    }
    struct watch_wait work = {.wait = {.begin = end_watching}, .watch = watch};
    wait_for(watch->terrace,
             &work.wait); /* not terrace_enter: it is to be given back in any case */
    unlist(watch);
    drop_news(watch);
    free(watch);
}
