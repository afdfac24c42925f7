/* SPDX-License-Identifier: BSD-3-Clause */
/* warm_show.c -- what the script tells of jobs, as others are shown it. The script's fields are text that anybody may have
 * written: what is no number is 0, what is too long is cut. */
#include "server/node.h"
#include "server/warm_desk_inner.h"
#include "server/worker.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LANE_NUMBERS = 9,
    LANES_MAX = 1024 /* nodes that are shown of a job */
};

/* What is being read. */
struct show {
    struct warm_desk *desk;
    int64_t now_ms; /* Redis' */
    struct warm_status *status;
    uint64_t produced; /* keys so far */
    bool is_complete;
    uint64_t started;
    struct buf nodes; /* of struct warm_node_status, of all jobs */
};

static uint64_t number_in(struct slice text)
{
    uint64_t number = 0;
    return slice_to_u64(text, &number) == OK ? number : 0;
}

/* What goes into replies, in printable letters. */
static void text_in(char *dst, size_t size, struct slice text)
{
    size_t used = text.size < size - 1 ? text.size : size - 1;
    for (size_t i = 0; i < used; i++) {
        dst[i] = text.data[i] >= ' ' && text.data[i] <= '~' ? text.data[i] : '.';
    }
    dst[used] = '\0';
}

/* --- lanes ----------------------------------------------------------------------------------------------------------- */

/* "next from loaded skipped absent failed bytes rate yield" */
static void lane_numbers(struct slice text, uint64_t numbers[LANE_NUMBERS])
{
    for (size_t i = 0; i < LANE_NUMBERS; i++) {
        numbers[i] = number_in(slice_next_word(&text, " "));
    }
}

/* Its id, a space, its address. */
static void show_name(struct warm_node_status *node, struct slice name)
{
    text_in(node->node, sizeof(node->node), slice_next_word(&name, " "));
    const size_t space = name.size > 0;
    text_in(node->address, sizeof(node->address),
            (struct slice){name.data + space, name.size - space});
}

static enum status show_lane(struct show *show, struct slice name, struct slice text)
{
    struct warm_status *status = show->status;
    uint64_t numbers[LANE_NUMBERS];
    struct warm_node_status node = {0};
    if (status->node_count == LANES_MAX) {
        return OK;
    }
    lane_numbers(text, numbers);
    show_name(&node, name);
    node.loaded = numbers[2];
    node.skipped = numbers[3];
    node.absent = numbers[4];
    node.failed = numbers[5];
    node.bytes = numbers[6];
    node.processed = numbers[2] + numbers[3] + numbers[4] + numbers[5];
    node.rate = (double)numbers[7] / 1000;
    node.yield = numbers[8] == 0 ? 1 : (double)numbers[8] / 1000;
    status->node_count++;
    return buf_append(&show->nodes, &node, sizeof(node));
}

/* The lane of target l2 is nobody's name. */
static void name_owner(struct show *show, struct slice owner)
{
    struct warm_node_status *first =
        (struct warm_node_status *)(void *)(show->nodes.data + show->nodes.size) -
        show->status->node_count;
    for (size_t i = 0; i < show->status->node_count; i++) {
        if (strcmp(first[i].node, "l2") == 0) {
            show_name(&first[i], owner);
        }
    }
}

/* --- fields ---------------------------------------------------------------------------------------------------------- */

static enum prefetch_mode mode_of(struct slice text)
{
    if (slice_is(text, "stale")) {
        return PREFETCH_STALE;
    }
    return slice_is(text, "force") ? PREFETCH_FORCE : PREFETCH_MISSING;
}

static enum warm_target target_of(struct slice text)
{
    if (slice_is(text, "self")) {
        return WARM_SELF;
    }
    return slice_is(text, "l2") ? WARM_L2 : WARM_ALL;
}

static void show_field(struct show *show, struct slice name, struct slice text)
{
    struct warm_status *status = show->status;
    const struct {
        const char *name;
        uint64_t *number;
    } numbers[] = {
        {"id", &status->id},         {"rate", &status->rate_limit},     {"total", &show->produced},
        {"started", &show->started}, {"prevented", &status->prevented},
    };
    const struct {
        const char *name;
        int64_t *ms;
    } times[] = {
        {"submitted", &status->submitted_at_ms}, {"started", &status->started_at_ms},
        {"ended", &status->ended_at_ms},         {"deadline", &status->deadline_at_ms},
        {"next_at", &status->next_at_ms},
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (slice_is(name, numbers[i].name)) {
            *numbers[i].number = number_in(text);
        }
    }
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        if (slice_is(name, times[i].name)) {
            *times[i].ms = (int64_t)(number_in(text) & INT64_MAX);
        }
    }
    if (slice_is(name, "state")) {
        (void)warm_state_read(text, &status->state);
    } else if (slice_is(name, "source")) {
        text_in(status->source, sizeof(status->source), text);
    } else if (slice_is(name, "schedule")) {
        text_in(status->schedule, sizeof(status->schedule), text);
        status->standing = text.size > 0;
    } else if (slice_is(name, "error")) {
        text_in(status->error, sizeof(status->error), text);
    } else if (slice_is(name, "mode")) {
        status->mode = mode_of(text);
    } else if (slice_is(name, "target")) {
        status->target = target_of(text);
    } else if (slice_is(name, "db")) {
        status->db = (uint8_t)number_in(text);
    } else if (slice_is(name, "priority")) {
        status->priority = (int)(number_in(text) & 0xff);
    } else if (slice_is(name, "dry")) {
        status->dry = slice_is(text, "1");
    } else if (slice_is(name, "complete")) {
        show->is_complete = slice_is(text, "1");
    }
}

static enum status show_fields(struct show *show, struct warm_answer *fields)
{
    struct slice owner = {0};
    enum status status = OK;
    while (fields->count > 0 && status == OK) {
        const struct slice name = warm_answer_text(fields);
        const struct slice text = warm_answer_text(fields);
        if (name.size > 5 && memcmp(name.data, "lane:", 5) == 0) {
            status = show_lane(show, (struct slice){name.data + 5, name.size - 5}, text);
        } else if (slice_is(name, "owner")) {
            owner = text;
        } else {
            show_field(show, name, text);
        }
    }
    if (status == OK) {
        name_owner(show, owner);
    }
    return status;
}

/* What follows from the fields. */
static void show_sums(struct show *show)
{
    struct warm_status *status = show->status;
    const struct warm_node_status *nodes =
        (const struct warm_node_status *)(const void *)(show->nodes.data + show->nodes.size) -
        status->node_count;
    for (size_t i = 0; i < status->node_count; i++) {
        status->processed += nodes[i].processed;
        status->loaded += nodes[i].loaded;
        status->skipped += nodes[i].skipped;
        status->absent += nodes[i].absent;
        status->failed += nodes[i].failed;
        status->bytes += nodes[i].bytes;
        status->rate += status->state == WARM_RUNNING ? nodes[i].rate : 0;
    }
    status->total = show->is_complete ? show->produced * status->node_count : UINT64_MAX;
    status->eta_ms = -1;
    if (show->is_complete && status->state == WARM_RUNNING && status->rate > 0) {
        const uint64_t left =
            status->total > status->processed ? status->total - status->processed : 0;
        status->eta_ms = (int64_t)fmin((double)left * 1000 / status->rate, 1e15);
    }
    const struct warm_row *row = warm_desk_find(show->desk, status->id);
    const int64_t waited_ms = show->now_ms - status->submitted_at_ms;
    const bool waits = status->state == WARM_QUEUED && waited_ms > 0;
    status->effective = status->priority + (waits ? (int)(waited_ms / WARM_AGE_MS) : 0);
    if (row != NULL && status->state == WARM_RUNNING) {
        status->effective = warm_entry_effective(&row->entry, show->desk->worker->now_ms);
    }
    status->next_at_ms = status->state == WARM_STANDING ? status->next_at_ms : 0;
}

/* --- failures -------------------------------------------------------------------------------------------------------- */

/* attempts, NUL, why, NUL, key. The list stands in the memory of the call, the keys behind it. */
static enum status show_failures(struct warm_answer *failures, struct warm_call *call,
                                 struct warm_status *status)
{
    const size_t count = failures->count < WARM_FAILURES_MAX ? failures->count : WARM_FAILURES_MAX;
    size_t bytes = 0;
    struct warm_answer look = *failures;
    for (size_t i = 0; i < count; i++) {
        bytes += warm_answer_text(&look).size;
    }
    if (buf_reserve(&call->memory, count * sizeof(struct warm_failure) + bytes) != OK) {
        return NO_MEMORY;
    }
    struct warm_failure *at = (struct warm_failure *)(void *)call->memory.data;
    char *keys = call->memory.data + count * sizeof(*at);
    for (size_t i = 0; i < count; i++) {
        struct slice text = warm_answer_text(failures);
        const char *end = text.data + text.size;
        const char *why = text.size == 0 ? NULL : memchr(text.data, '\0', text.size);
        const char *key = why == NULL ? NULL : memchr(why + 1, '\0', (size_t)(end - why) - 1);
        if (key == NULL) {
            continue;
        }
        struct warm_failure *one = &at[status->failure_count++];
        *one = (struct warm_failure){
            .attempts = (unsigned)number_in((struct slice){text.data, (size_t)(why - text.data)})};
        text_in(one->why, sizeof(one->why), (struct slice){why + 1, (size_t)(key - why) - 1});
        one->key = (struct slice){keys, (size_t)(end - key) - 1};
        memcpy(keys, key + 1, one->key.size);
        keys += one->key.size;
    }
    status->failures = status->failure_count > 0 ? at : NULL;
    return OK;
}

/* --- all ------------------------------------------------------------------------------------------------------------- */

static enum status show_one(struct show *show, struct warm_answer *answer, struct warm_call *call)
{
    struct warm_answer fields;
    struct warm_answer failures;
    *show->status = (struct warm_status){0};
    show->produced = 0;
    show->is_complete = false;
    const bool is_whole =
        warm_answer_array(answer, &fields) && warm_answer_array(answer, &failures);
    if (!is_whole) {
        return MALFORMED;
    }
    enum status status = show_fields(show, &fields);
    if (status == OK) {
        show_sums(show);
        status = call->verb == WARM_STATUS ? show_failures(&failures, call, show->status) : OK;
    }
    return status;
}

enum status warm_show_read(struct warm_desk *desk, struct warm_answer *answer,
                           struct warm_call *call)
{
    struct show show = {.desk = desk, .now_ms = warm_answer_number(answer)};
    const size_t told = answer->count / 2;
    const size_t most = call->verb == WARM_STATUS && told > 1 ? 1 : told; /* failures are of one */
    enum status status = OK;
    call->statuses = calloc(most + 1, sizeof(*call->statuses));
    if (call->statuses == NULL) {
        return NO_MEMORY;
    }
    while (call->count < most && status == OK) {
        show.status = &call->statuses[call->count];
        status = show_one(&show, answer, call);
        call->count += status == OK;
    }
    call->nodes = show.nodes;
    const struct warm_node_status *at =
        (const struct warm_node_status *)(const void *)show.nodes.data;
    for (size_t i = 0; i < call->count && status == OK; i++) {
        call->statuses[i].nodes = at;
        at += call->statuses[i].node_count;
    }
    if (status != OK) {
        call->count = 0;
    }
    return status;
}
