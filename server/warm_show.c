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
    LANE_NUMBERS = 10,
    LANES_MAX = 1024 /* nodes that are shown of a job */
};

/* What is being read. */
struct show {
    struct warm_desk *desk;
    int64_t now_ms; /* Redis' */
    struct warm_status *status;
    uint64_t produced; /* keys so far */
    uint64_t expected; /* in all, as the source says; UINT64_MAX: it does not */
    bool is_complete;
    double left;      /* keys of all lanes; */
    double slowest_s; /* and for so long the slowest of them has to do */
    struct buf nodes; /* of struct warm_node_status, of all jobs */
    struct buf lanes; /* of int64_t, of this job: keys before the lane */
};

static uint64_t number_in(struct slice text)
{
    uint64_t number = 0;
    return slice_to_u64(text, &number) == OK ? number : 0;
}

static int64_t integer_in(struct slice text)
{
    int64_t number = 0;
    return slice_to_i64(text, &number) == OK ? number : 0;
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

/* "next from loaded skipped absent failed bytes rate yield before" */
static void lane_numbers(struct slice text, int64_t numbers[LANE_NUMBERS])
{
    for (size_t i = 0; i < LANE_NUMBERS; i++) {
        numbers[i] = integer_in(slice_next_word(&text, " "));
    }
}

/* Its id, a space, its address. */
static void show_name(struct warm_node_status *node, struct slice name)
{
    text_in(node->node, sizeof(node->node), slice_next_word(&name, " "));
    if (name.size > 0) { /* the space */
        text_in(node->address, sizeof(node->address), (struct slice){name.data + 1, name.size - 1});
    }
}

static uint64_t count_of(int64_t number)
{
    return number > 0 ? (uint64_t)number : 0;
}

static enum status show_lane(struct show *show, struct slice name, struct slice text)
{
    struct warm_status *status = show->status;
    int64_t numbers[LANE_NUMBERS];
    struct warm_node_status node = {0};
    if (status->node_count == LANES_MAX) {
        return OK;
    }
    lane_numbers(text, numbers);
    show_name(&node, name);
    node.loaded = count_of(numbers[2]);
    node.skipped = count_of(numbers[3]);
    node.absent = count_of(numbers[4]);
    node.failed = count_of(numbers[5]);
    node.bytes = count_of(numbers[6]);
    node.processed = node.loaded + node.skipped + node.absent + node.failed;
    node.rate = (double)count_of(numbers[7]) / 1000;
    node.yield = numbers[8] <= 0 ? 1 : (double)numbers[8] / 1000;
    if (buf_append(&show->lanes, &numbers[9], sizeof(numbers[9])) != OK ||
        buf_append(&show->nodes, &node, sizeof(node)) != OK) {
        return NO_MEMORY;
    }
    status->node_count++;
    return OK;
}

/* Those of this job, which are the last ones; NULL: none. */
static struct warm_node_status *nodes_of(const struct show *show)
{
    const size_t count = show->status->node_count;
    const size_t before = show->nodes.size / sizeof(struct warm_node_status) - count;
    return count == 0 ? NULL : (struct warm_node_status *)(void *)show->nodes.data + before;
}

/* The lane of target l2 is nobody's name. */
static void name_owner(struct show *show, struct slice owner)
{
    struct warm_node_status *first = nodes_of(show);
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

/* id, the script's SHOWN. */
static struct slice show_fields(struct show *show, struct warm_answer *fields)
{
    struct warm_status *status = show->status;
    status->id = warm_answer_count(fields);
    (void)warm_state_read(warm_answer_text(fields), &status->state);
    text_in(status->source, sizeof(status->source), warm_answer_text(fields));
    status->db = (uint8_t)(warm_answer_number(fields) & 0xff);
    status->mode = mode_of(warm_answer_text(fields));
    status->target = target_of(warm_answer_text(fields));
    status->dry = warm_answer_number(fields) == 1;
    status->priority = warm_answer_priority(fields);
    status->rate_limit = warm_answer_count(fields);
    show->produced = warm_answer_count(fields);
    const struct slice expected = warm_answer_text(fields);
    show->expected = expected.size > 0 ? number_in(expected) : UINT64_MAX;
    show->is_complete = warm_answer_number(fields) == 1;
    status->submitted_at_ms = warm_answer_ms(fields);
    status->started_at_ms = warm_answer_ms(fields);
    status->ended_at_ms = warm_answer_ms(fields);
    status->deadline_at_ms = warm_answer_ms(fields);
    text_in(status->error, sizeof(status->error), warm_answer_text(fields));
    const struct slice schedule = warm_answer_text(fields);
    text_in(status->schedule, sizeof(status->schedule), schedule);
    status->standing = schedule.size > 0;
    status->prevented = warm_answer_count(fields);
    const struct slice owner = warm_answer_text(fields);
    const int64_t due_ms = warm_answer_ms(fields); /* negative while it is paused */
    status->next_at_ms = status->state == WARM_STANDING ? due_ms : 0;
    return owner;
}

static enum status show_lanes(struct show *show, struct warm_answer *lanes, struct slice owner)
{
    enum status status = OK;
    show->lanes.size = 0;
    while (lanes->count > 0 && status == OK) {
        const struct slice name = warm_answer_text(lanes);
        const struct slice text = warm_answer_text(lanes);
        status = show_lane(show, name, text);
    }
    if (status == OK) {
        name_owner(show, owner);
    }
    return status;
}

/* How many keys there are for each lane: what the source has told, if that is all; or what it said that it will. */
static uint64_t keys_of_all(const struct show *show)
{
    if (show->is_complete || show->expected == UINT64_MAX) {
        return show->is_complete ? show->produced : UINT64_MAX;
    }
    return show->expected > show->produced ? show->expected : show->produced;
}

/* A lane that came late has not to do what was before it; one that had to begin again, so much more. */
static void show_left(struct show *show, const struct warm_node_status *node, int64_t before,
                      uint64_t keys)
{
    int64_t own = 0;
    if (__builtin_sub_overflow(keys, before, &own)) {
        return; /* nobody of ours wrote that */
    }
    const double left = fmax((double)own - (double)node->processed, 0);
    show->status->total += count_of(own);
    show->left += left;
    if (node->rate > 0) {
        show->slowest_s = fmax(show->slowest_s, left / node->rate);
    }
}

static void show_eta(struct show *show)
{
    struct warm_status *status = show->status;
    if (status->state == WARM_RUNNING && status->total != UINT64_MAX && status->rate > 0) {
        const double s = fmax(show->slowest_s, show->left / status->rate);
        status->eta_ms = (int64_t)fmin(s * 1000, 1e15);
    }
}

/* What follows from fields and lanes. */
static void show_sums(struct show *show)
{
    struct warm_status *status = show->status;
    const struct warm_node_status *nodes = nodes_of(show);
    const int64_t *before = (const int64_t *)(const void *)show->lanes.data;
    const uint64_t keys = keys_of_all(show);
    show->left = 0;
    show->slowest_s = 0;
    for (size_t i = 0; i < status->node_count; i++) {
        status->processed += nodes[i].processed;
        status->loaded += nodes[i].loaded;
        status->skipped += nodes[i].skipped;
        status->absent += nodes[i].absent;
        status->failed += nodes[i].failed;
        status->bytes += nodes[i].bytes;
        status->rate += status->state == WARM_RUNNING ? nodes[i].rate : 0;
        if (keys != UINT64_MAX) {
            show_left(show, &nodes[i], before[i], keys);
        }
    }
    status->total = keys == UINT64_MAX ? UINT64_MAX : status->total;
    status->eta_ms = -1;
    show_eta(show);
    const struct warm_row *row = warm_desk_find(show->desk, status->id);
    const int64_t waited_ms =
        status->state == WARM_QUEUED ? warm_waited_ms(status->submitted_at_ms, show->now_ms) : 0;
    status->effective = status->priority + (int)(waited_ms / WARM_AGE_MS);
    if (row != NULL && status->state == WARM_RUNNING) {
        status->effective = warm_entry_effective(&row->entry, show->desk->worker->now_ms);
    }
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
    if (count == 0) {
        return OK;
    }
    if (buf_reserve(&call->memory, count * sizeof(struct warm_failure) + bytes) != OK) {
        return NO_MEMORY;
    }
    struct warm_failure *at = (struct warm_failure *)(void *)call->memory.data;
    char *keys = call->memory.data + count * sizeof(*at);
    for (size_t i = 0; i < count; i++) {
        const struct slice text = warm_answer_text(failures);
        if (text.size == 0) {
            continue; /* it is no text */
        }
        const char *end = text.data + text.size;
        const char *why = memchr(text.data, '\0', text.size);
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
    struct warm_answer lanes;
    struct warm_answer failures;
    *show->status = (struct warm_status){0};
    const bool is_whole = warm_answer_array(answer, &fields) && warm_answer_array(answer, &lanes) &&
                          warm_answer_array(answer, &failures);
    if (!is_whole) {
        return MALFORMED;
    }
    enum status status = show_lanes(show, &lanes, show_fields(show, &fields));
    if (status == OK) {
        show_sums(show);
        status = call->verb == WARM_STATUS ? show_failures(&failures, call, show->status) : OK;
    }
    return status;
}

enum status warm_show_read(struct warm_desk *desk, struct warm_answer *answer,
                           struct warm_call *call, uint64_t *ret_below)
{
    struct show show = {.desk = desk, .now_ms = warm_answer_ms(answer), .nodes = call->nodes};
    *ret_below = warm_answer_count(answer);
    const size_t told = answer->count / 3;
    const size_t most =
        call->count + (call->verb == WARM_STATUS && told > 1 ? 1 : told); /* failures are of one */
    enum status status = OK;
    struct warm_status *statuses =
        most > WARM_SHOWN_MAX ? NULL : realloc(call->statuses, (most + 1) * sizeof(*statuses));
    if (statuses == NULL) {
        return NO_MEMORY;
    }
    call->statuses = statuses;
    while (call->count < most && status == OK) {
        show.status = &call->statuses[call->count];
        status = show_one(&show, answer, call);
        call->count += status == OK;
    }
    call->nodes = show.nodes;
    buf_done(&show.lanes);
    return status;
}

void warm_show_end(struct warm_call *call)
{
    const struct warm_node_status *nodes =
        (const struct warm_node_status *)(const void *)call->nodes.data;
    size_t at = 0;
    for (size_t i = 0; i < call->count; i++) {
        struct warm_status *status = &call->statuses[i];
        status->nodes = status->node_count == 0 ? NULL : &nodes[at];
        at += status->node_count;
    }
}
