/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/managed_write.h"

#include "protocol/check.h"
#include "protocol/envelope.h"
#include "protocol/resp_read.h"
#include "protocol/resp_write.h"
#include "tiers/behind_desk.h"
#include "tiers/managed_write_inner.h"

#include <stdlib.h>
#include <string.h>

/* The script's text, with a NUL behind it. The path is seen from the project root, where the build runs. */
__asm__(".pushsection .rodata\n"
        ".global managed_script\n"
        ".type managed_script, %object\n"
        "managed_script:\n"
        ".incbin \"tiers/scripts/managed.lua\"\n"
        ".byte 0\n"
        ".size managed_script, . - managed_script\n"
        ".popsection\n");
extern const char managed_script[];

enum {
    WORDS_FIRST = 8, /* EVAL, the script, 0, and five arguments before the commands */
    WHAT_MAX = 2 + ENVELOPE_VERSION_OFFSET + 1 + MANAGED_TOKEN_SIZE,
    COMMAND_WORDS_MAX = 4
};

/* --- asking -------------------------------------------------------------------------------------------------------- */

static struct managed_writes *writes_of(struct tiers_window *window)
{
    if (window->managed_writes == NULL) {
        struct managed_writes *writes = calloc(1, sizeof *writes);
        if (writes == NULL) {
            return NULL;
        }
        writes->window = window;
        list_init(&writes->refused);
        list_init(&writes->queue);
        list_init(&writes->under_way);
        window->managed_writes = writes;
    }
    return window->managed_writes;
}

/* An empty one, at the end of the queue. */
static struct managed_group *group_open(struct managed_writes *writes)
{
    struct managed_group *group = calloc(1, sizeof *group);
    if (group == NULL) {
        return NULL;
    }
    group->owner = writes;
    group->deadline_ms = writes->window->now_ms + writes->window->read_timeout_ms;
    list_init(&group->writes);
    list_push_back(&writes->queue, &group->link);
    writes->queued_bytes += group_bytes(group);
    return group;
}

/* The first word of a command. */
static struct slice write_what(const struct managed_write *write, char dst[WHAT_MAX])
{
    size_t size = 0;
    dst[size++] = (char)write->op;
    dst[size++] = (char)write->key.db;
    if (write->op == MANAGED_PUT) {
        memcpy(dst + size, write->envelope.data, ENVELOPE_VERSION_OFFSET);
        size += ENVELOPE_VERSION_OFFSET;
    }
    if (write->cond == MANAGED_IF_VERSION || write->cond == MANAGED_IF_NOT_NEWER) {
        dst[size++] = write->cond == MANAGED_IF_VERSION ? 'V' : 'N';
        put_u64le(dst + size, write->version);
        size += 8;
        if (write->cond == MANAGED_IF_NOT_NEWER) {
            put_u64le(dst + size, write->judged);
            size += 8;
        }
    } else if (write->cond == MANAGED_IF_LEASE) {
        dst[size++] = 'L';
        memcpy(dst + size, write->token, sizeof write->token);
        size += sizeof write->token;
    }
    return (struct slice){dst, size};
}

static struct slice number_text(char dst[I64_DIGITS_MAX], int64_t number)
{
    return (struct slice){dst, i64_format(dst, number)};
}

static enum status group_append_command(struct managed_group *group,
                                        const struct managed_write *write)
{
    char what[WHAT_MAX];
    char px[I64_DIGITS_MAX];
    CHECK(write->op != MANAGED_PUT ||
          (write->envelope.size >= ENVELOPE_HEAD_SIZE && write->px_ms >= 0));
    struct slice words[COMMAND_WORDS_MAX] = {write_what(write, what), write->key.bytes};
    size_t count = 2;
    if (write->op == MANAGED_PUT) {
        const size_t version_end = ENVELOPE_VERSION_OFFSET + 8;
        words[count++] = number_text(px, write->px_ms);
        words[count++] =
            (struct slice){write->envelope.data + version_end, write->envelope.size - version_end};
    } else if (write->op == MANAGED_EXPIRE) {
        words[count++] = number_text(px, write->px_ms);
    }
    enum status status = OK;
    for (size_t i = 0; i < count && status == OK; i++) {
        status = resp_append_bulk(&group->args, words[i]);
    }
    group->words += count;
    return status;
}

static enum status group_append_pact(struct managed_group *group, size_t count)
{
    char number[I64_DIGITS_MAX];
    group->words += 2;
    const enum status status = resp_append_bulk(&group->args, SLICE_LITERAL("A"));
    return status == OK ? resp_append_bulk(&group->args, number_text(number, (int64_t)count))
                        : status;
}

static bool keys_fit(size_t body_size)
{
    return body_size <= MANAGED_KEYS_BYTES;
}

/* What the commands add to a group, about. */
struct addition {
    size_t count;
    size_t keys;
    size_t bytes;
};

static struct addition addition_of(struct managed_write *const *writes, size_t count)
{
    struct addition more = {.count = count};
    for (size_t i = 0; i < count; i++) {
        more.keys += writes[i]->key.bytes.size + 4;
        more.bytes += writes[i]->key.bytes.size + writes[i]->envelope.size;
    }
    return more;
}

/* The group that takes them: the last one, if it is open and has room. */
static struct managed_group *group_for(struct managed_writes *writes, const struct addition *more)
{
    struct managed_group *last = list_empty(&writes->queue)
                                     ? NULL
                                     : LIST_ENTRY(writes->queue.prev, struct managed_group, link);
    if (last != NULL && !last->closed && last->count + more->count <= MANAGED_GROUP_WRITES &&
        keys_fit(last->body.size + more->keys) &&
        last->args.size + more->bytes <= MANAGED_GROUP_BYTES) {
        return last;
    }
    if (last != NULL) {
        last->closed = true;
    }
    return group_open(writes);
}

/* Where a group was, to go back there when memory is refused. */
struct group_mark {
    size_t count;
    size_t words;
    size_t args;
    size_t body;
};

static void group_cut(struct managed_group *group, const struct group_mark *mark)
{
    group->words = mark->words;
    group->args.size = mark->args;
    group->body.size = mark->body;
}

static enum status group_append(struct managed_group *group, struct managed_write *const *writes,
                                size_t count, bool pact)
{
    const struct group_mark mark = {group->count, group->words, group->args.size, group->body.size};
    enum status status = pact ? group_append_pact(group, count) : OK;
    for (size_t i = 0; i < count && status == OK; i++) {
        status = frame_append_key(&group->body, writes[i]->key.db, writes[i]->key.bytes);
        if (status == OK) {
            status = group_append_command(group, writes[i]);
        }
    }
    if (status != OK) {
        group_cut(group, &mark);
        return status;
    }
    for (size_t i = 0; i < count; i++) {
        writes[i]->stood = false;
        writes[i]->confirmed = false;
        writes[i]->dropped = 0;
        list_push_back(&group->writes, &writes[i]->in_group);
    }
    group->count += count;
    if (group->args.size > MANAGED_GROUP_BYTES) { /* its bytes alone may take longer */
        const struct tiers_window *window = group->owner->window;
        const int64_t patient_ms = window->now_ms + window->relay_timeout_ms;
        group->deadline_ms = patient_ms > group->deadline_ms ? patient_ms : group->deadline_ms;
    }
    return OK;
}

enum status managed_writes_pass(struct tiers_window *window, struct managed_write *const *writes,
                                size_t count, bool all_or_none)
{
    const struct addition more = addition_of(writes, count);
    const struct link *link = window_link(window, 2);
    struct managed_writes *own = writes_of(window);
    if (!keys_fit(more.keys)) {
        return TOO_BIG;
    }
    if (window->ended || (link != NULL && link_is_down(link))) {
        return L2_DOWN;
    }
    if (own == NULL || link == NULL) {
        return NO_MEMORY;
    }
    if (own->queued_bytes > 0 && own->queued_bytes + more.bytes > MANAGED_QUEUE_BYTES) {
        return BUSY;
    }
    struct managed_group *group = group_for(own, &more);
    if (group == NULL) {
        return NO_MEMORY;
    }
    const size_t before = group_bytes(group);
    const enum status status = group_append(group, writes, count, all_or_none && count > 1);
    own->queued_bytes += group_bytes(group) - before;
    if (status == OK) {
        metrics_add(window->options.metrics, M_MANAGED_WRITES, count);
    } else if (group->count == 0) {
        own->queued_bytes -= group_bytes(group);
        list_remove(&group->link);
        group_free(group);
    }
    return status;
}

enum status managed_writes_send(struct tiers_window *window, struct managed_write *const *writes,
                                size_t count, bool all_or_none)
{
    CHECK_MAGIC(window, WINDOW_MAGIC);
    if (window->behind == NULL) {
        return managed_writes_pass(window, writes, count, all_or_none);
    }
    enum status status = behind_desk_take(window->behind, writes, count, all_or_none);
    if (status == MISS) {
        status = managed_writes_pass(window, writes, count, all_or_none);
        if (status == OK) {
            behind_desk_pass(window->behind, writes, count);
        }
    }
    return status;
}

enum status managed_write_send(struct tiers_window *window, struct managed_write *write)
{
    return managed_writes_send(window, &write, 1, false);
}

/* --- sending ----------------------------------------------------------------------------------------------------------- */

/* SCRIPT LOAD's reply, which tells the name. */
static bool group_on_part(struct link_request *request, struct slice reply)
{
    struct managed_group *group = LIST_ENTRY(request, struct managed_group, request);
    struct reply_cursor cursor = {reply};
    struct reply_element element;
    if (reply_next(&cursor, &element) == OK && element.type == REPLY_BULK &&
        element.text.size == MANAGED_NAME_SIZE) {
        memcpy(group->owner->name, element.text.data, MANAGED_NAME_SIZE);
    }
    return true;
}

/* How the script is called: by its text, or by its name. */
static enum status append_call(struct buf *out, const struct managed_group *group)
{
    char head[RESP_HEAD_MAX];
    const struct slice name = {group->owner->name, MANAGED_NAME_SIZE};
    enum status status = buf_append(out, head, resp_head_array(head, WORDS_FIRST + group->words));
    if (status == OK) {
        status =
            resp_append_bulk(out, group->alone ? SLICE_LITERAL("EVALSHA") : SLICE_LITERAL("EVAL"));
    }
    if (status == OK) {
        status = resp_append_bulk(out, group->alone ? name : slice_of(managed_script));
    }
    return status == OK ? resp_append_bulk(out, SLICE_LITERAL("0")) : status;
}

/* What stands in front of the commands. */
static enum status append_arguments(struct buf *out, const struct managed_group *group,
                                    const struct epoch *epoch)
{
    const struct managed_writes *writes = group->owner;
    const struct tiers *tiers = writes->window->options.tiers;
    const struct frame frame = {.type = FRAME_KEYS,
                                .count = (uint32_t)group->count,
                                .node = tiers_node(tiers),
                                .body = buf_slice(&group->body)};
    struct buf bytes = {0};
    char db[I64_DIGITS_MAX];
    char counter[I64_DIGITS_MAX];
    char random[8];
    char log[I64_DIGITS_MAX];
    put_u64le(random, epoch->random);
    enum status status = frame_write(&bytes, &frame);
    const struct slice words[] = {
        number_text(db, tiers_coherence_db(tiers)),
        number_text(counter, (int64_t)epoch->counter),
        {random, sizeof random},
        number_text(log, tiers_log_length(tiers)),
        buf_slice(&bytes),
    };
    _Static_assert(sizeof words / sizeof words[0] + 3 == WORDS_FIRST,
                   "and the three of append_call");
    for (size_t i = 0; i < sizeof words / sizeof words[0] && status == OK; i++) {
        status = resp_append_bulk(out, words[i]);
    }
    buf_done(&bytes);
    return status;
}

/* The epoch that the node is in; false: it has met none. */
static bool node_epoch(const struct tiers_window *window, struct epoch *ret_epoch)
{
    struct coherence_description seen;
    coherence_describe(tiers_coherence(window->options.tiers), &seen);
    *ret_epoch = seen.epoch;
    return seen.epoch.counter != 0;
}

/* --- a large one ---------------------------------------------------------------------------------------------------- */

/* The value comes first, and is the end of the last argument. */
static const char stream_script[] = "do local value = table.remove(ARGV, 1)\n"
                                    "ARGV[#ARGV] = ARGV[#ARGV] .. value end\n";

enum {
    STREAM_WORDS = WORDS_FIRST + 1 + COMMAND_WORDS_MAX
};

enum status managed_stream_begin(struct buf *out, size_t value_size)
{
    char head[RESP_HEAD_MAX];
    struct buf script = {0};
    enum status status = buf_append_slice(&script, slice_of(stream_script));
    if (status == OK) {
        status = buf_append_slice(&script, slice_of(managed_script));
    }
    if (status == OK) {
        const struct slice words[] = {SLICE_LITERAL("EVAL"), buf_slice(&script),
                                      SLICE_LITERAL("0")};
        status = buf_append(out, head, resp_head_array(head, STREAM_WORDS));
        for (size_t i = 0; i < 3 && status == OK; i++) {
            status = resp_append_bulk(out, words[i]);
        }
    }
    buf_done(&script);
    return status == OK ? buf_append(out, head, resp_head_bulk(head, value_size)) : status;
}

static enum status stream_ask(struct managed_group *group, struct managed_write *write,
                              const struct epoch *epoch, struct line *line)
{
    struct tiers_window *window = group->owner->window;
    struct buf *out = &window->scratch;
    enum status status = group_append(group, &write, 1, false);
    if (status != OK) {
        return status;
    }
    CHECK(group->words == COMMAND_WORDS_MAX);
    out->size = 0;
    group->deadline_ms = window->now_ms + window->relay_timeout_ms;
    group->request = (struct link_request){
        .on_reply = group_on_reply, .deadline_ms = group->deadline_ms, .writes = true};
    status = buf_append(out, "\r\n", 2);
    if (status == OK) {
        status = append_arguments(out, group, epoch);
    }
    if (status == OK) {
        status = buf_append_slice(out, buf_slice(&group->args));
    }
    group_end_keys(group);
    return status == OK ? line_ask(line, &group->request, -1, buf_slice(out)) : status;
}

enum status managed_stream_end(struct tiers_window *window, struct managed_write *write,
                               struct line *line)
{
    CHECK(write->op == MANAGED_PUT && write->envelope.size == ENVELOPE_HEAD_SIZE);
    struct managed_writes *own = writes_of(window);
    struct epoch epoch;
    if (!keys_fit(write->key.bytes.size + 4)) {
        return TOO_BIG;
    }
    if (window->ended || !node_epoch(window, &epoch)) {
        return L2_DOWN;
    }
    struct managed_group *group = own == NULL ? NULL : calloc(1, sizeof *group);
    if (group == NULL) {
        return NO_MEMORY;
    }
    group->owner = own;
    group->closed = true;
    group->streamed = true;
    list_init(&group->link);
    list_init(&group->writes);
    const enum status status = stream_ask(group, write, &epoch, line);
    if (status != OK) {
        list_remove(&write->in_group);
        group_free(group);
        return status;
    }
    metrics_count(window->options.metrics, M_MANAGED_WRITES);
    metrics_count(window->options.metrics, M_MANAGED_GROUPS);
    metrics_count(window->options.metrics, M_WRAPPED_RAW);
    return OK;
}

/* --- those of one turn ----------------------------------------------------------------------------------------------- */

/* The whole request, in the window's scratch; with the question for the script's name in front, if it is not known. */
static enum status group_write(struct managed_group *group)
{
    const struct slice load[] = {SLICE_LITERAL("SCRIPT"), SLICE_LITERAL("LOAD"),
                                 slice_of(managed_script)};
    struct buf *out = &group->owner->window->scratch;
    enum status status = OK;
    out->size = 0;
    group->request.parts = group->owner->name[0] == '\0' ? 1 : 0;
    if (group->request.parts > 0) {
        status = resp_append_request(out, 3, load);
    }
    if (status == OK) {
        status = append_call(out, group);
    }
    if (status == OK) {
        status = append_arguments(out, group, &group->owner->epoch);
    }
    return status == OK ? buf_append_slice(out, buf_slice(&group->args)) : status;
}

static enum status group_ask(struct managed_group *group, struct link *link)
{
    group->closed = true;
    group->request = (struct link_request){.on_reply = group_on_reply,
                                           .on_part = group_on_part,
                                           .deadline_ms = group->deadline_ms,
                                           .writes = true};
    const enum status status = group_write(group);
    return status == OK
               ? link_ask(link, &group->request, -1, buf_slice(&group->owner->window->scratch))
               : status;
}

/* Out of its list, and on its way; or it has ended. */
static void group_send(struct managed_group *group, struct link *link)
{
    struct managed_writes *writes = group->owner;
    struct tiers_window *window = writes->window;
    writes->queued_bytes -= group_bytes(group);
    list_remove(&group->link);
    group_end_keys(group);
    const enum status status = group_ask(group, link);
    if (window->scratch.capacity > WINDOW_SCRATCH_KEPT) {
        buf_done(&window->scratch);
    }
    if (status == OK) {
        metrics_count(window->options.metrics, M_MANAGED_GROUPS);
        list_push_back(&writes->under_way, &group->link);
    } else {
        group_fail(group, status);
    }
}

static bool group_is_full(const struct managed_group *group)
{
    return group->closed || group->count >= MANAGED_GROUP_WRITES;
}

static struct managed_group *first_of(const struct list *groups)
{
    return list_empty(groups) ? NULL : LIST_ENTRY(groups->next, struct managed_group, link);
}

/* Whether `next` may go now, and how (see ORDER). */
static bool may_go(struct managed_writes *writes, struct managed_group *next,
                   const struct link *link)
{
    const struct managed_group *before = first_of(&writes->under_way);
    const uint64_t connection = link_client_id(link);
    const bool is_known =
        writes->name[0] != '\0' && connection != 0 && writes->known_at == connection;
    next->alone = before == NULL && is_known && !group_is_full(next);
    return before == NULL || (!before->alone && group_is_full(next));
}

static struct managed_group *next_of(const struct managed_writes *writes)
{
    struct managed_group *refused = first_of(&writes->refused);
    return refused != NULL ? refused : first_of(&writes->queue);
}

void managed_write_flush(struct tiers_window *window)
{
    struct managed_writes *writes = window->managed_writes;
    struct epoch epoch;
    if (writes == NULL || next_of(writes) == NULL) {
        return;
    }
    const struct managed_group *before = first_of(&writes->under_way);
    if ((before != NULL && before->alone) || !node_epoch(window, &epoch)) {
        return;
    }
    const bool is_other = !epoch_equal(epoch, writes->epoch);
    if (!list_empty(&writes->refused) && !is_other && window->now_ms < writes->retry_at_ms) {
        return;
    }
    struct link *link = window_link(window, 2);
    struct managed_group *next = NULL;
    while ((next = next_of(writes)) != NULL && link != NULL) {
        if (list_empty(&writes->under_way)) {
            writes->epoch = epoch;
        } else if (!epoch_equal(epoch, writes->epoch)) {
            return;
        }
        if (!may_go(writes, next, link)) {
            return;
        }
        group_send(next, link);
    }
}

/* --- time -------------------------------------------------------------------------------------------------------------- */

static void end_overdue(struct managed_writes *writes, struct list *groups, int64_t now_ms)
{
    struct list over;
    struct managed_group *group = NULL;
    list_init(&over);
    while ((group = first_of(groups)) != NULL && group->deadline_ms <= now_ms) {
        writes->queued_bytes -= group_bytes(group);
        list_remove(&group->link);
        list_push_back(&over, &group->link);
    }
    while ((group = first_of(&over)) != NULL) {
        list_remove(&group->link);
        group_fail(group, L2_DOWN);
    }
}

void managed_write_tick(struct tiers_window *window)
{
    struct managed_writes *writes = window->managed_writes;
    if (writes != NULL) {
        end_overdue(writes, &writes->refused, window->now_ms);
        end_overdue(writes, &writes->queue, window->now_ms);
        managed_write_flush(window);
    }
}

void managed_write_end(struct tiers_window *window)
{
    struct managed_writes *writes = window->managed_writes;
    if (writes != NULL) {
        end_overdue(writes, &writes->refused, INT64_MAX);
        end_overdue(writes, &writes->queue, INT64_MAX);
    }
}

void managed_write_free(struct managed_writes *writes)
{
    if (writes != NULL) {
        CHECK(list_empty(&writes->refused) && list_empty(&writes->queue) &&
              list_empty(&writes->under_way));
        free(writes);
    }
}
