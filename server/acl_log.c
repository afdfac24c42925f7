/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/acl_log.h"

#include "protocol/check.h"
#include "protocol/limits.h"
#include "tiers/base/list.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    ALIKE_MS = 60000,
    ALIKE_ENTRIES = 10, /* how far back one that is alike is looked for; as Redis */
    LINES_PER_SECOND = 10
};

/* An entry is one allocation: this, then object, username and client. */
struct entry {
    struct list link;
    struct acl_event event;
    char bytes[];
};

struct acl_log {
    pthread_mutex_t lock;
    struct list entries; /* newest first; under lock */
    size_t length;
    int64_t second; /* in which `lines` lines were deserved */
    unsigned lines;
};

struct acl_log *acl_log_new(void)
{
    struct acl_log *log = calloc(1, sizeof(*log));
    if (log != NULL) {
        CHECK(pthread_mutex_init(&log->lock, NULL) == 0);
        list_init(&log->entries);
    }
    return log;
}

static void drop(struct acl_log *log, struct entry *entry)
{
    list_remove(&entry->link);
    log->length--;
    free(entry);
}

static void trim(struct acl_log *log, size_t length_max)
{
    while (log->length > length_max) {
        drop(log, LIST_ENTRY(log->entries.prev, struct entry, link));
    }
}

void acl_log_free(struct acl_log *log)
{
    if (log != NULL) {
        trim(log, 0);
        CHECK(pthread_mutex_destroy(&log->lock) == 0);
        free(log);
    }
}

static struct slice copy(char **at, struct slice bytes)
{
    const struct slice copied = {*at, bytes.size};
    if (bytes.size > 0) {
        memcpy(*at, bytes.data, bytes.size);
    }
    *at += bytes.size;
    return copied;
}

static struct entry *entry_new(const struct acl_event *event)
{
    struct entry *entry =
        malloc(sizeof(*entry) + event->object.size + event->username.size + event->client.size);
    if (entry != NULL) {
        char *at = entry->bytes;
        entry->event = *event;
        entry->event.object = copy(&at, event->object);
        entry->event.username = copy(&at, event->username);
        entry->event.client = copy(&at, event->client);
        entry->event.count = 1;
        list_init(&entry->link);
    }
    return entry;
}

static bool are_alike(const struct acl_event *a, const struct acl_event *b)
{
    const int64_t apart_ms = a->at_ms < b->at_ms ? b->at_ms - a->at_ms : a->at_ms - b->at_ms;
    return a->reason == b->reason && a->in_multi == b->in_multi && apart_ms <= ALIKE_MS &&
           slice_equal(a->object, b->object) && slice_equal(a->username, b->username);
}

/* NULL: none. */
static struct entry *find_alike(struct acl_log *log, const struct acl_event *event)
{
    struct list *at = log->entries.next;
    for (unsigned i = 0; i < ALIKE_ENTRIES && at != &log->entries; i++, at = at->next) {
        struct entry *entry = LIST_ENTRY(at, struct entry, link);
        if (are_alike(&entry->event, event)) {
            return entry;
        }
    }
    return NULL;
}

/* So many lines a second: whoever is refused all day must not push all else out of the node's log. */
static bool deserves_line(struct acl_log *log, int64_t now_ms)
{
    const int64_t second = now_ms / 1000;
    if (log->second != second) {
        log->second = second;
        log->lines = 0;
    }
    return log->lines++ < LINES_PER_SECOND;
}

static struct slice beginning(struct slice text)
{
    return (struct slice){text.data,
                          text.size < LIMIT_ACL_LOG_WORD ? text.size : LIMIT_ACL_LOG_WORD};
}

bool acl_log_note(struct acl_log *log, const struct acl_event *full, size_t length_max)
{
    struct acl_event cut = *full;
    cut.object = beginning(full->object);
    cut.username = beginning(full->username);
    cut.client = beginning(full->client);
    const struct acl_event *event = &cut;
    struct entry *entry = entry_new(event);
    if (entry == NULL) {
        return false;
    }
    CHECK(pthread_mutex_lock(&log->lock) == 0);
    struct entry *alike = find_alike(log, event);
    const bool tell = alike == NULL && deserves_line(log, event->at_ms);
    if (alike != NULL) {
        entry->event.count += alike->event.count;
        drop(log, alike);
    }
    list_push_back(log->entries.next, &entry->link); /* before the first: newest first */
    log->length++;
    trim(log, length_max);
    CHECK(pthread_mutex_unlock(&log->lock) == 0);
    return tell;
}

void acl_log_reset(struct acl_log *log)
{
    CHECK(pthread_mutex_lock(&log->lock) == 0);
    trim(log, 0);
    CHECK(pthread_mutex_unlock(&log->lock) == 0);
}

void acl_log_visit(struct acl_log *log, size_t count_max, const struct acl_log_visitor *visitor)
{
    CHECK(pthread_mutex_lock(&log->lock) == 0);
    size_t count = log->length < count_max ? log->length : count_max;
    visitor->begin(visitor->arg, count);
    for (struct list *at = log->entries.next; count > 0; at = at->next, count--) {
        visitor->each(visitor->arg, &LIST_ENTRY(at, struct entry, link)->event);
    }
    CHECK(pthread_mutex_unlock(&log->lock) == 0);
}
