/* SPDX-License-Identifier: BSD-3-Clause */
/* managed_answer.c -- what became of a group of writes: refused and to be sent again, or each told. */
#include "protocol/resp_read.h"
#include "tiers/behind_desk.h"
#include "tiers/managed_write_inner.h"

#include <stdlib.h>
#include <string.h>

void group_free(struct managed_group *group)
{
    buf_done(&group->args);
    buf_done(&group->body);
    buf_done(&group->kept);
    free(group);
}

void group_end_keys(struct managed_group *group)
{
    const struct tiers_window *window = group->owner->window;
    for (struct list *node = group->writes.next; node != &group->writes; node = node->next) {
        struct managed_write *write = LIST_ENTRY(node, struct managed_write, in_group);
        write->dropped +=
            l1_invalidate(namespace_of(window->namespaces, write->key.bytes)->l1, &write->key);
    }
}

static void group_tell(const struct managed_group *group, struct managed_write *write, uint64_t seq)
{
    list_remove(&write->in_group);
    if (write->passing) {
        behind_desk_passed(group->owner->window->behind, write);
    }
    write->on_written(write, write->status, seq, write->error);
}

/* All end alike; the group is gone. */
static void group_end(struct managed_group *group, enum status status, bool confirmed,
                      struct slice error)
{
    while (!list_empty(&group->writes)) {
        struct managed_write *write =
            LIST_ENTRY(group->writes.next, struct managed_write, in_group);
        write->status = status;
        write->confirmed = confirmed;
        write->error = error;
        group_tell(group, write, 0);
    }
    group_free(group);
}

static void group_count_end(const struct managed_group *group, enum status status)
{
    struct metrics *metrics = group->owner->window->options.metrics;
    if (status == L2_DOWN || status == UNKNOWN) {
        metrics_add(metrics, status == UNKNOWN ? M_L2_UNKNOWN : M_L2_DOWN, group->count);
    }
}

void group_fail(struct managed_group *group, enum status status)
{
    group_count_end(group, status);
    group_end(group, status, false, (struct slice){0});
}

static bool write_is_strict(const struct tiers_window *window, const struct managed_write *write)
{
    return namespace_kind(window_key(window, &write->key).ns) == NAMESPACE_STRICT;
}

static bool group_is_strict(const struct managed_group *group)
{
    for (struct list *node = group->writes.next; node != &group->writes; node = node->next) {
        if (write_is_strict(group->owner->window,
                            LIST_ENTRY(node, struct managed_write, in_group))) {
            return true;
        }
    }
    return false;
}

static void group_on_confirmed(struct tiers_confirm *confirm, enum status status)
{
    struct managed_group *group = LIST_ENTRY(confirm, struct managed_group, confirm);
    while (!list_empty(&group->writes)) {
        struct managed_write *write =
            LIST_ENTRY(group->writes.next, struct managed_write, in_group);
        if (write->status == UNKNOWN) {
            write->confirmed = status == OK;
        } else if (status != OK) {
            write->status = STALE;
        }
        group_tell(group, write, group->seq);
    }
    group_free(group);
}

/* Those of strict namespaces wait for all nodes; `reply` is where their errors point. */
static void group_wait(struct managed_group *group, struct slice reply)
{
    group->confirm.on_confirmed = group_on_confirmed;
    const bool kept = buf_append_slice(&group->kept, reply) == OK;
    for (struct list *node = group->writes.next; node != &group->writes; node = node->next) {
        struct managed_write *write = LIST_ENTRY(node, struct managed_write, in_group);
        if (write->error.size > 0) {
            write->error = kept
                               ? (struct slice){group->kept.data + (write->error.data - reply.data),
                                                write->error.size}
                               : (struct slice){0};
        }
    }
    if (!kept || window_confirm(group->owner->window, &group->confirm) != OK) {
        group_on_confirmed(&group->confirm, STALE);
    }
}

/* Each was given its status. */
static void group_tell_all(struct managed_group *group, struct slice reply)
{
    struct list strict;
    list_init(&strict);
    while (!list_empty(&group->writes)) {
        struct managed_write *write =
            LIST_ENTRY(group->writes.next, struct managed_write, in_group);
        if (write_is_strict(group->owner->window, write)) {
            list_remove(&write->in_group);
            list_push_back(&strict, &write->in_group);
        } else {
            group_tell(group, write, group->seq);
        }
    }
    list_splice_back(&group->writes, &strict);
    if (list_empty(&group->writes)) {
        group_free(group);
    } else {
        group_wait(group, reply);
    }
}

/* --- the reply --------------------------------------------------------------------------------------------------------- */

/* What the script says of one command. */
enum {
    SAYS_LOST = -1,
    SAYS_DIFFERS = 0,
    SAYS_DONE = 1,
    SAYS_NOTHING_STOOD = 2
};

static enum status write_take(struct managed_write *write, const struct reply_element *element)
{
    write->error = (struct slice){0};
    if (element->type == REPLY_ERROR) {
        write->status = L2_ERROR;
        write->error = element->text;
        return OK;
    }
    if (element->type != REPLY_INTEGER || element->number < SAYS_LOST ||
        element->number > SAYS_NOTHING_STOOD) {
        return MALFORMED;
    }
    write->stood = element->number == SAYS_DONE;
    if (element->number == SAYS_LOST) {
        write->status = MISS;
    } else {
        write->status = element->number == SAYS_DIFFERS ? AGAIN : OK;
    }
    return OK;
}

/* OK; MISS: it was refused for its epoch; L2_ERROR: as a whole, with *ret_error; MALFORMED. */
static enum status group_take(struct managed_group *group, struct slice reply,
                              struct slice *ret_error)
{
    struct reply_cursor cursor = {reply};
    struct reply_element head;
    struct reply_element element;
    if (reply_next(&cursor, &head) != OK) {
        return MALFORMED;
    }
    if (head.type == REPLY_ERROR) {
        *ret_error = head.text;
        return L2_ERROR;
    }
    if (head.type != REPLY_ARRAY || head.number < 1 || reply_next(&cursor, &element) != OK ||
        element.type != REPLY_INTEGER || element.number < 0) {
        return MALFORMED;
    }
    group->seq = (uint64_t)element.number;
    if (group->seq == 0) {
        return MISS;
    }
    if ((uint64_t)head.number != group->count + 1) {
        return MALFORMED;
    }
    for (struct list *node = group->writes.next; node != &group->writes; node = node->next) {
        struct managed_write *write = LIST_ENTRY(node, struct managed_write, in_group);
        if (reply_next(&cursor, &element) != OK || write_take(write, &element) != OK) {
            return MALFORMED;
        }
    }
    return OK;
}

/* It did nothing, and is to be sent again before all that was asked after it. Those behind it on the way find the same. */
static void group_refuse(struct managed_group *group)
{
    struct managed_writes *writes = group->owner;
    list_remove(&group->link);
    list_push_back(&writes->refused, &group->link);
    writes->queued_bytes += group_bytes(group);
}

static void group_unknown(struct managed_group *group, bool confirmed)
{
    group_count_end(group, UNKNOWN);
    if (!confirmed || !group_is_strict(group)) {
        group_end(group, UNKNOWN, confirmed, (struct slice){0});
        return;
    }
    /* Who is told that a write cannot run any more looks whether it did: no node may show what was before it then. */
    for (struct list *node = group->writes.next; node != &group->writes; node = node->next) {
        struct managed_write *write = LIST_ENTRY(node, struct managed_write, in_group);
        write->status = UNKNOWN;
        write->confirmed = true;
        write->error = (struct slice){0};
    }
    group_tell_all(group, (struct slice){0});
}

static void group_on_answer(struct managed_group *group, struct slice reply)
{
    struct managed_writes *writes = group->owner;
    struct metrics *metrics = writes->window->options.metrics;
    struct slice error = {0};
    const enum status status = group_take(group, reply, &error);
    if (status == MISS && group->streamed) {
        metrics_count(metrics, M_MANAGED_EPOCHS);
        group_fail(group, L2_DOWN);
    } else if (status == MISS) {
        metrics_count(metrics, M_MANAGED_EPOCHS);
        writes->retry_at_ms = writes->window->now_ms + MANAGED_RETRY_MS;
        group_refuse(group);
    } else if (status == L2_ERROR && group->alone && slice_begins(error, "NOSCRIPT ")) {
        metrics_count(metrics, M_MANAGED_NOSCRIPT);
        writes->known_at = 0;
        writes->retry_at_ms = writes->window->now_ms;
        group_refuse(group);
    } else if (status == L2_ERROR) {
        group_end(group, L2_ERROR, false, error);
    } else if (status == MALFORMED) { /* what answered is no Redis */
        group_unknown(group, true);
    } else {
        if (!group->streamed) {
            writes->known_at = link_client_id(window_link(writes->window, 2));
        }
        group_tell_all(group, reply);
    }
}

void group_on_reply(struct link_request *request, enum status status, struct slice reply)
{
    struct managed_group *group = LIST_ENTRY(request, struct managed_group, request);
    list_remove(&group->link);
    group_end_keys(group);
    if (status == OK) {
        group_on_answer(group, reply);
    } else if (status == UNKNOWN) {
        group_unknown(group, request->confirmed);
    } else {
        group_fail(group, status);
    }
}
