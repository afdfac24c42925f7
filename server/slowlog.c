/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/slowlog.h"

#include "protocol/check.h"
#include "tiers/base/list.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An entry is one allocation: this, then words, peer and name. */
struct kept {
    struct list link;
    struct slowlog_entry entry;
    char bytes[];
};

struct slowlog {
    pthread_mutex_t lock;
    struct list entries; /* newest first; under lock, as all below */
    size_t length;
    uint64_t next_id;
};

struct slowlog *slowlog_new(void)
{
    struct slowlog *slowlog = calloc(1, sizeof(*slowlog));
    if (slowlog != NULL) {
        CHECK(pthread_mutex_init(&slowlog->lock, NULL) == 0);
        list_init(&slowlog->entries);
    }
    return slowlog;
}

static void slowlog_trim(struct slowlog *slowlog, size_t length_max)
{
    while (slowlog->length > length_max) {
        struct kept *oldest = LIST_ENTRY(slowlog->entries.prev, struct kept, link);
        list_remove(&oldest->link);
        slowlog->length--;
        free(oldest);
    }
}

void slowlog_free(struct slowlog *slowlog)
{
    if (slowlog != NULL) {
        slowlog_trim(slowlog, 0);
        (void)pthread_mutex_destroy(&slowlog->lock);
        free(slowlog);
    }
}

/* --- words: a 32-bit size before each ---------------------------------------------------------------------------- */

static enum status word_append(struct buf *words, struct slice head, struct slice tail)
{
    const enum status status = buf_reserve(words, 4 + head.size + tail.size);
    if (status != OK) {
        return status;
    }
    char *at = words->data + words->size;
    put_u32le(at, (uint32_t)(head.size + tail.size));
    if (head.size > 0) {
        memcpy(at + 4, head.data, head.size);
    }
    if (tail.size > 0) {
        memcpy(at + 4 + head.size, tail.data, tail.size);
    }
    words->size += 4 + head.size + tail.size;
    return OK;
}

static enum status word_trimmed(struct buf *words, struct slice arg)
{
    if (arg.size <= SLOWLOG_ARG_BYTES_MAX) {
        return word_append(words, arg, (struct slice){0});
    }
    char more[64];
    (void)snprintf(more, sizeof(more), "... (%zu more bytes)", arg.size - SLOWLOG_ARG_BYTES_MAX);
    return word_append(words, (struct slice){arg.data, SLOWLOG_ARG_BYTES_MAX}, slice_of(more));
}

static bool names_secret(struct slice option)
{
    static const char *const secrets[] = {"requirepass", "masterauth", "masteruser", "l2"};
    for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
        if (slice_is_nocase(option, secrets[i])) {
            return true;
        }
    }
    return false;
}

/* Whether a command so named may have secrets among its words. The first letter tells that of nearly all, and each call that
 * waits is asked about. */
static bool may_have_secrets(struct slice name)
{
    switch (name.size > 0 ? name.data[0] : '\0') {
    case 'A':
    case 'a':
    case 'C':
    case 'c':
    case 'H':
    case 'h':
    case 'M':
    case 'm': return true;
    default: return false;
    }
}

bool slowlog_is_secret(const struct slice *argv, size_t i)
{
    if (i == 0 || !may_have_secrets(argv[0])) {
        return false;
    }
    if (slice_is_nocase(argv[0], "auth")) {
        return true;
    }
    if (slice_is_nocase(argv[0], "hello")) {
        return (i >= 3 && slice_is_nocase(argv[i - 1], "auth")) ||
               (i >= 4 && slice_is_nocase(argv[i - 2], "auth"));
    }
    if (slice_is_nocase(argv[0], "config")) {
        return i >= 3 && i % 2 == 1 && slice_is_nocase(argv[1], "set") && names_secret(argv[i - 1]);
    }
    if (slice_is_nocase(argv[0], "acl")) {
        return i >= 2 && slice_is_nocase(argv[1], "setuser");
    }
    if (slice_is_nocase(argv[0], "migrate")) {
        return i >= 6 &&
               (slice_is_nocase(argv[i - 1], "auth") || slice_is_nocase(argv[i - 1], "auth2") ||
                slice_is_nocase(argv[i - 2], "auth2"));
    }
    return false;
}

enum status slowlog_words(struct buf *words, const struct slice *argv, size_t argc)
{
    size_t shown = argc > SLOWLOG_ARGS_MAX ? SLOWLOG_ARGS_MAX - 1 : argc;
    size_t before = words->size;
    enum status status = OK;
    for (size_t i = 0; i < shown && status == OK; i++) {
        status = slowlog_is_secret(argv, i)
                     ? word_append(words, SLICE_LITERAL("(redacted)"), (struct slice){0})
                     : word_trimmed(words, argv[i]);
    }
    if (status == OK && shown < argc) {
        char more[64];
        (void)snprintf(more, sizeof(more), "... (%zu more arguments)", argc - shown);
        status = word_append(words, (struct slice){0}, slice_of(more));
    }
    if (status != OK) {
        words->size = before;
    }
    return status;
}

enum status slowlog_word(struct buf *words, const char *name, struct slice value)
{
    char word[SLOWLOG_ARG_BYTES_MAX];
    const int size = snprintf(word, sizeof(word), "%s%.*s", name, (int)value.size, value.data);
    return word_append(words, (struct slice){word, strnlen(word, (size_t)size)}, (struct slice){0});
}

struct slice slowlog_words_next(struct slice *words)
{
    CHECK(words->size >= 4);
    struct slice word = {words->data + 4, get_u32le(words->data)};
    CHECK(words->size - 4 >= word.size);
    words->data += 4 + word.size;
    words->size -= 4 + word.size;
    return word;
}

size_t slowlog_words_count(struct slice words)
{
    size_t count = 0;
    while (words.size > 0) {
        (void)slowlog_words_next(&words);
        count++;
    }
    return count;
}

/* --- the log ----------------------------------------------------------------------------------------------------- */

static struct slice kept_copy(char **at, struct slice bytes)
{
    struct slice copy = {*at, bytes.size};
    if (bytes.size > 0) {
        memcpy(*at, bytes.data, bytes.size);
    }
    *at += bytes.size;
    return copy;
}

void slowlog_note(struct slowlog *slowlog, const struct slowlog_note *note, size_t length_max)
{
    struct kept *kept =
        malloc(sizeof(*kept) + note->words.size + note->peer.size + note->name.size);
    if (kept == NULL) {
        return;
    }
    char *at = kept->bytes;
    kept->entry.note = *note;
    kept->entry.note.words = kept_copy(&at, note->words);
    kept->entry.note.peer = kept_copy(&at, note->peer);
    kept->entry.note.name = kept_copy(&at, note->name);
    list_init(&kept->link);
    (void)pthread_mutex_lock(&slowlog->lock);
    kept->entry.id = slowlog->next_id++;
    list_push_back(slowlog->entries.next, &kept->link); /* before the first: newest first */
    slowlog->length++;
    slowlog_trim(slowlog, length_max);
    (void)pthread_mutex_unlock(&slowlog->lock);
}

size_t slowlog_length(struct slowlog *slowlog)
{
    (void)pthread_mutex_lock(&slowlog->lock);
    size_t length = slowlog->length;
    (void)pthread_mutex_unlock(&slowlog->lock);
    return length;
}

void slowlog_reset(struct slowlog *slowlog)
{
    (void)pthread_mutex_lock(&slowlog->lock);
    slowlog_trim(slowlog, 0);
    (void)pthread_mutex_unlock(&slowlog->lock);
}

void slowlog_visit(struct slowlog *slowlog, size_t count_max, const struct slowlog_visitor *visitor)
{
    (void)pthread_mutex_lock(&slowlog->lock);
    size_t count = slowlog->length < count_max ? slowlog->length : count_max;
    visitor->begin(visitor->arg, count);
    for (struct list *at = slowlog->entries.next; count > 0; at = at->next, count--) {
        visitor->each(visitor->arg, &LIST_ENTRY(at, struct kept, link)->entry);
    }
    (void)pthread_mutex_unlock(&slowlog->lock);
}
