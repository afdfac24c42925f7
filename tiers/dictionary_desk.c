/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/dictionary_desk.h"

#include "protocol/check.h"
#include "tiers/window.h"

#include <stdlib.h>
#include <string.h>

extern const char dictionary_script[];
/* The script's text, with a NUL behind it. The path is seen from the project root, where the build runs. */
__asm__(".pushsection .rodata\n"
        ".global dictionary_script\n"
        ".type dictionary_script, %object\n"
        "dictionary_script:\n"
        ".incbin \"tiers/scripts/dictionary.lua\"\n"
        ".byte 0\n"
        ".size dictionary_script, . - dictionary_script\n"
        ".popsection\n");

enum {
    DESK_MAGIC = 0x71e5500a,
    MISSING_KEPT = 16,
    READY_LOOK_MS =
        1000, /* between looks while samples are full and the current one is not read yet */
    KEY_MAX = 128
};

/* One dictionary of a namespace; space NULL: none. */
struct wanted {
    struct dictionary_space *space;
    uint64_t number;
};

/* One that L2 did not have. */
struct missing {
    struct wanted what;
    int64_t until_ms;
};

/* When a space was looked at. */
struct look {
    struct look *next;
    struct dictionary_space *space;
    int64_t due_ms;
    int64_t ready_due_ms; /* of samples that are full */
    uint64_t generation;
    uint64_t wrong; /* L2 has other bytes under this number, or none; 0: not known of any */
};

struct desk {
    uint32_t magic;
    struct tiers_window *window;
    struct list waiters;
    /* reading: */
    struct wanted queue[DESK_WANTED_MAX]; /* the first is asked for */
    unsigned queued;
    bool reading;
    struct link_request read_request;
    struct missing missing[MISSING_KEPT];
    unsigned missing_at; /* the next place */
    /* looking, and bringing in: */
    struct look *looks;
    struct dictionary_space *looked; /* NULL: nothing is under way */
    struct link_request look_request;
    uint64_t current;  /* in L2, as seen; 0: none */
    struct buf brings; /* bytes on their way; empty: none are */
};

/* --- requests -------------------------------------------------------------------------------------------------------- */

static struct slice key_of(char dst[KEY_MAX], const struct dictionary_space *space)
{
    const struct slice name = dictionary_space_name(space);
    const struct slice prefix = SLICE_LITERAL("terrace:dict:");
    CHECK(prefix.size + name.size <= KEY_MAX);
    memcpy(dst, prefix.data, prefix.size);
    memcpy(dst + prefix.size, name.data, name.size);
    return (struct slice){dst, prefix.size + name.size};
}

static struct slice digits_of(char dst[I64_DIGITS_MAX], uint64_t number)
{
    return (struct slice){dst, number == 0 ? 0 : i64_format(dst, (int64_t)number)};
}

/* A bulk; nothing for whatever else it is. */
static struct slice bulk_of(struct reply_cursor *cursor)
{
    struct reply_element element;
    const bool is_bulk = reply_next(cursor, &element) == OK && element.type == REPLY_BULK;
    return is_bulk ? element.text : (struct slice){0};
}

/* 0: it is no number of a dictionary. */
static uint64_t number_of(struct slice text)
{
    uint64_t number = 0;
    return slice_to_u64(text, &number) == OK && number < UINT64_C(1) << 48 ? number : 0;
}

/* NULL: no memory. */
static struct look *look_of(struct desk *desk, struct dictionary_space *space)
{
    struct look *look = desk->looks;
    while (look != NULL && look->space != space) {
        look = look->next;
    }
    if (look == NULL && (look = calloc(1, sizeof *look)) != NULL) {
        *look = (struct look){.next = desk->looks, .space = space};
        desk->looks = look;
    }
    return look;
}

/* --- reading what values need ---------------------------------------------------------------------------------------- */

static bool same(struct wanted a, struct wanted b)
{
    return a.space == b.space && a.number == b.number;
}

static void desk_read_next(struct desk *desk);

/* They may want others, and wait again. */
static void wake(struct desk *desk, struct wanted what)
{
    struct list woken;
    list_init(&woken);
    for (struct list *node = desk->waiters.next; node != &desk->waiters;) {
        struct desk_waiter *waiter = LIST_ENTRY(node, struct desk_waiter, in_desk);
        node = node->next;
        if (waiter->space == what.space && waiter->number == what.number) {
            list_remove(&waiter->in_desk);
            list_push_back(&woken, &waiter->in_desk);
        }
    }
    while (!list_empty(&woken)) {
        struct desk_waiter *waiter = LIST_ENTRY(woken.next, struct desk_waiter, in_desk);
        list_remove(&waiter->in_desk);
        waiter->on_known(waiter);
    }
}

static void note_missing(struct desk *desk, struct wanted what, enum status why)
{
    struct look *look = look_of(desk, what.space);
    if (look != NULL && why == INVALID) {
        look->wrong = what.number;
    }
    desk->missing[desk->missing_at] = (struct missing){what, desk->window->now_ms + DESK_LOOK_MS};
    desk->missing_at = (desk->missing_at + 1) % MISSING_KEPT;
}

static bool is_missing(const struct desk *desk, struct wanted what)
{
    for (unsigned i = 0; i < MISSING_KEPT; i++) {
        if (same(desk->missing[i].what, what) && desk->window->now_ms < desk->missing[i].until_ms) {
            return true;
        }
    }
    return false;
}

/* The first of the queue has been answered, or cannot be asked for. */
static void desk_read_done(struct desk *desk, enum status status)
{
    const struct wanted what = desk->queue[0];
    desk->reading = false;
    desk->queued--;
    memmove(desk->queue, desk->queue + 1, desk->queued * sizeof *desk->queue);
    if (status == OK) {
        metrics_count(desk->window->options.metrics, M_DICTIONARIES_READ);
    } else {
        note_missing(desk, what, status);
    }
    wake(desk, what);
    desk_read_next(desk);
}

static void desk_on_read(struct link_request *request, enum status status, struct slice reply)
{
    struct desk *desk = LIST_ENTRY(request, struct desk, read_request);
    const struct wanted what = desk->queue[0];
    struct reply_cursor cursor = {reply};
    struct reply_element element;
    if (status == OK && (reply_next(&cursor, &element) != OK ||
                         (element.type != REPLY_NULL && element.type != REPLY_BULK))) {
        status = L2_ERROR; /* which says nothing of the dictionary */
    }
    if (status == OK) {
        status = dictionary_learn(what.space, what.number,
                                  element.type == REPLY_BULK ? element.text : (struct slice){0});
    }
    desk_read_done(desk, status);
}

static void desk_read_next(struct desk *desk)
{
    while (!desk->reading && desk->queued > 0) {
        const struct wanted what = desk->queue[0];
        char key[KEY_MAX];
        char digits[I64_DIGITS_MAX];
        const struct slice words[] = {SLICE_LITERAL("HGET"), key_of(key, what.space),
                                      digits_of(digits, what.number)};
        desk->reading = true;
        desk->read_request = (struct link_request){.on_reply = desk_on_read};
        const enum status status = tiers_ask(desk->window, &desk->read_request, words, 3);
        if (status != OK) {
            desk_read_done(desk, status);
            return; /* which went on with the others */
        }
    }
}

enum status desk_want(struct desk *desk, struct dictionary_space *space, uint64_t number)
{
    CHECK_MAGIC(desk, DESK_MAGIC);
    const struct wanted what = {space, number};
    if (is_missing(desk, what)) {
        return MISS;
    }
    for (unsigned i = 0; i < desk->queued; i++) {
        if (same(desk->queue[i], what)) {
            return AGAIN;
        }
    }
    if (desk->queued == DESK_WANTED_MAX) {
        return MISS;
    }
    desk->queue[desk->queued++] = what;
    desk_read_next(desk);
    return is_missing(desk, what) ? MISS : AGAIN;
}

void desk_wait(struct desk *desk, const struct dictionary_space *space, uint64_t number,
               struct desk_waiter *waiter)
{
    waiter->space = space;
    waiter->number = number;
    list_push_back(&desk->waiters, &waiter->in_desk);
}

/* --- looking, and bringing in ---------------------------------------------------------------------------------------- */

/* The current one of L2, if it is known here; else it is read, and the next look uses it. */
static void adopt(struct desk *desk, struct dictionary_space *space, uint64_t number)
{
    if (dictionary_find(space, number) != NULL) {
        dictionary_use(space, number);
        return;
    }
    struct look *look = look_of(desk, space);
    if (desk_want(desk, space, number) == AGAIN && look != NULL) {
        look->due_ms = 0;
    }
}

static void desk_look_done(struct desk *desk)
{
    desk->looked = NULL;
    buf_done(&desk->brings);
}

static void desk_on_brought(struct link_request *request, enum status status, struct slice reply)
{
    struct desk *desk = LIST_ENTRY(request, struct desk, look_request);
    struct dictionary_space *space = desk->looked;
    struct reply_cursor cursor = {reply};
    const uint64_t number = status == OK ? number_of(bulk_of(&cursor)) : 0;
    const uint64_t ours = dictionary_number(buf_slice(&desk->brings));
    if (number == ours) {
        metrics_count(desk->window->options.metrics, M_DICTIONARIES_BROUGHT);
        if (dictionary_learn(space, ours, buf_slice(&desk->brings)) == OK) {
            dictionary_use(space, ours);
        }
    } else if (number != 0 && number == desk->current) {
        dictionary_close(space); /* nothing came between: there are as many as there may be */
    } else if (number != 0) {
        adopt(desk, space, number);
    }
    desk_look_done(desk);
}

static void desk_bring(struct desk *desk)
{
    char key[KEY_MAX];
    char seen[I64_DIGITS_MAX];
    char number[I64_DIGITS_MAX];
    char limit[I64_DIGITS_MAX];
    const struct slice words[] = {SLICE_LITERAL("EVAL"),
                                  slice_of(dictionary_script),
                                  SLICE_LITERAL("1"),
                                  key_of(key, desk->looked),
                                  digits_of(seen, desk->current),
                                  digits_of(number, dictionary_number(buf_slice(&desk->brings))),
                                  buf_slice(&desk->brings),
                                  digits_of(limit, DICTIONARIES_IN_L2)};
    desk->look_request = (struct link_request){.on_reply = desk_on_brought, .writes = true};
    if (tiers_ask(desk->window, &desk->look_request, words, 8) != OK) {
        desk_look_done(desk);
    }
}

/* What L2 should have and has not: the one that is used here, after Redis was emptied; or a better one. */
static enum status find_to_bring(struct desk *desk)
{
    struct dictionary_space *space = desk->looked;
    const struct dictionary ours = dictionary_current(space);
    if (desk->current == 0 && ours.number != 0) {
        return buf_append_slice(&desk->brings, codec_dictionary_bytes(ours.codec));
    }
    if (dictionary_is_ready(space) && desk->current == ours.number) {
        const enum status status = dictionary_train(space, &desk->brings);
        metrics_count(desk->window->options.metrics,
                      status == OK ? M_DICTIONARIES_BETTER : M_DICTIONARIES_NOT_BETTER);
        return status;
    }
    return MISS;
}

static void desk_on_removed(struct link_request *request, enum status status, struct slice reply)
{
    (void)status;
    (void)reply;
    desk_look_done(LIST_ENTRY(request, struct desk, look_request));
}

/* Nobody who does not know the current one can read what is written with it: it goes, so that who knows it brings it in
 * again, or else another one is learned. */
static bool desk_remove_wrong(struct desk *desk)
{
    struct look *look = look_of(desk, desk->looked);
    if (look == NULL || look->wrong == 0 || look->wrong != desk->current) {
        return false;
    }
    look->wrong = 0;
    char key[KEY_MAX];
    char number[I64_DIGITS_MAX];
    const struct slice words[] = {SLICE_LITERAL("HDEL"), key_of(key, desk->looked),
                                  digits_of(number, desk->current), SLICE_LITERAL("current")};
    desk->look_request = (struct link_request){.on_reply = desk_on_removed, .writes = true};
    return tiers_ask(desk->window, &desk->look_request, words, 4) == OK;
}

static void desk_on_look(struct link_request *request, enum status status, struct slice reply)
{
    struct desk *desk = LIST_ENTRY(request, struct desk, look_request);
    struct reply_cursor cursor = {reply};
    struct reply_element element;
    if (status != OK || reply_next(&cursor, &element) != OK ||
        (element.type != REPLY_NULL && element.type != REPLY_BULK)) {
        desk_look_done(desk);
        return;
    }
    desk->current = element.type == REPLY_BULK ? number_of(element.text) : 0;
    if (desk->current != 0 && desk->current != dictionary_current(desk->looked).number) {
        adopt(desk, desk->looked, desk->current);
    }
    if (desk_remove_wrong(desk)) {
        return;
    }
    if (find_to_bring(desk) == OK) {
        desk_bring(desk);
    } else {
        desk_look_done(desk);
    }
}

static void desk_look(struct desk *desk, struct dictionary_space *space)
{
    char key[KEY_MAX];
    const struct slice words[] = {SLICE_LITERAL("HGET"), key_of(key, space),
                                  SLICE_LITERAL("current")};
    desk->looked = space;
    desk->look_request = (struct link_request){.on_reply = desk_on_look};
    if (tiers_ask(desk->window, &desk->look_request, words, 3) != OK) {
        desk_look_done(desk);
    }
}

static bool look_is_due(const struct look *look, const struct tiers_window *window)
{
    return window->now_ms >= look->due_ms || look->generation != window->generation ||
           (window->now_ms >= look->ready_due_ms && dictionary_is_ready(look->space));
}

/* One space per tick: a tick may train, which takes milliseconds. */
void desk_tick(struct desk *desk)
{
    CHECK_MAGIC(desk, DESK_MAGIC);
    const struct tiers_window *window = desk->window;
    struct dictionaries *all = tiers_dictionaries(window->options.tiers);
    if (!window->options.revalidates || desk->looked != NULL || window->ended) {
        return;
    }
    for (struct dictionary_space *space = NULL; (space = dictionaries_next(all, space)) != NULL;) {
        struct look *look = look_of(desk, space);
        if (look != NULL && look_is_due(look, window)) {
            look->due_ms = window->now_ms + DESK_LOOK_MS;
            look->ready_due_ms = window->now_ms + READY_LOOK_MS;
            look->generation = window->generation;
            desk_look(desk, space);
            return;
        }
    }
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

struct desk *desk_new(struct tiers_window *window)
{
    struct desk *desk = calloc(1, sizeof *desk);
    if (desk != NULL) {
        desk->magic = DESK_MAGIC;
        desk->window = window;
        list_init(&desk->waiters);
    }
    return desk;
}

void desk_free(struct desk *desk)
{
    if (desk == NULL) {
        return;
    }
    CHECK_MAGIC(desk, DESK_MAGIC);
    CHECK(desk->looked == NULL && desk->queued == 0 && list_empty(&desk->waiters));
    while (desk->looks != NULL) {
        struct look *next = desk->looks->next;
        free(desk->looks);
        desk->looks = next;
    }
    desk->magic = 0;
    free(desk);
}
