/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/usage.h"

#include "server/effects.h"
#include "server/node.h"
#include "server/worker.h"

#include <inttypes.h>
#include <stdio.h>

/* --- the keys of a call -------------------------------------------------------------------------------------------- */

/* How many of its keys are at home in which namespace. */
struct usage_keys {
    uint32_t total;
    uint32_t of[NAMESPACES_MAX]; /* by place */
};

static bool names_one_key(const struct call *call)
{
    return call->first_home != NULL && call->command->first_key == call->command->last_key;
}

static void find_keys(const struct call *call, struct usage_keys *ret_keys)
{
    const struct key_range range = effects_key_range(call);
    *ret_keys = (struct usage_keys){0};
    for (uint32_t i = range.first; i <= range.last; i += range.step) {
        ret_keys->of[namespace_of(call->node->namespaces, call->argv[i])->place]++;
        ret_keys->total++;
    }
}

static bool may_name_keys(const struct command *command)
{
    return command->first_key > 0 || (command->flags & COMMAND_MOVABLE_KEYS) != 0;
}

/* --- before -------------------------------------------------------------------------------------------------------- */

static bool has_room(const struct call *call, struct quota *quota, struct quota_share *share,
                     int64_t *ret_wait_ms)
{
    return quota_rate(quota) == 0 ||
           quota_check(quota, share, call->node->worker_count, call->now_ms, ret_wait_ms) == OK;
}

static bool is_over(const struct call *call, struct namespace *ns, struct quota *quota,
                    struct quota_share *share, const char *unit, enum tally refused)
{
    int64_t wait_ms = 0;
    if (has_room(call, quota, share, &wait_ms)) {
        return false;
    }
    char text[256];
    (void)snprintf(text, sizeof(text),
                   "BUSY namespace '%s' is over its quota of %" PRId64 " %s, try again in %" PRId64
                   " ms",
                   ns->name, quota_rate(quota), unit, wait_ms);
    reply_error(call->reply, text);
    namespace_tally(ns, call->worker->index, refused, 1);
    return true;
}

static bool namespace_refuses(const struct call *call, struct namespace *ns)
{
    struct namespace_row *row = namespace_row(ns, call->worker->index);
    return is_over(call, ns, &ns->ops, &row->ops, "operations/s", TALLY_REFUSED_OPS) ||
           is_over(call, ns, &ns->bytes, &row->bytes, "bytes/s", TALLY_REFUSED_BYTES);
}

bool usage_refuses(struct call *call)
{
    if (names_one_key(call)) {
        return namespace_refuses(call, call->first_home);
    }
    if (!may_name_keys(call->command)) {
        return false;
    }
    struct usage_keys keys;
    find_keys(call, &keys);
    struct namespace *ns;
    for (unsigned at = 0; (ns = namespaces_next(call->node->namespaces, &at)) != NULL;) {
        if (keys.of[ns->place] > 0 && namespace_refuses(call, ns)) {
            return true;
        }
    }
    return false;
}

bool usage_would_refuse(const struct call *call)
{
    struct namespace *ns = call->first_home;
    struct namespace_row *row = namespace_row(ns, call->worker->index);
    int64_t wait_ms = 0;
    return !has_room(call, &ns->ops, &row->ops, &wait_ms) ||
           !has_room(call, &ns->bytes, &row->bytes, &wait_ms);
}

/* --- after --------------------------------------------------------------------------------------------------------- */

struct taken {
    uint64_t ops;
    uint64_t writes;
    uint64_t in;
    uint64_t out;
};

static void charge(struct namespace *ns, struct namespace_row *row, const struct taken *taken,
                   int64_t now_ms)
{
    if (quota_rate(&ns->ops) > 0) {
        quota_charge(&ns->ops, &row->ops, (int64_t)taken->ops, now_ms);
    }
    if (quota_rate(&ns->bytes) > 0) {
        quota_charge(&ns->bytes, &row->bytes, (int64_t)(taken->in + taken->out), now_ms);
    }
}

static inline void note(struct namespace *ns, const struct worker *worker,
                        const struct taken *taken)
{
    struct namespace_row *row = namespace_row(ns, worker->index);
    row_tally(row, TALLY_OPS, taken->ops);
    row_tally(row, TALLY_BYTES_IN, taken->in);
    row_tally(row, TALLY_BYTES_OUT, taken->out);
    if (taken->writes > 0) {
        row_tally(row, TALLY_WRITES, taken->writes);
    }
    if (namespaces_limited(worker->node->namespaces)) {
        charge(ns, row, taken, worker->now_ms);
    }
}

/* What the client sent: a large value lies in an item of its own, and an inline request, or one under another name, has no
 * bytes to refer to. */
static uint64_t request_bytes(const struct call *call)
{
    uint64_t sum = call->raw.size + (call->body != NULL ? item_value(call->body).size : 0) +
                   (call->conn->body.upload != NULL ? call->conn->body.size : 0);
    for (uint32_t i = 0; call->raw.size == 0 && i < call->argc; i++) {
        sum += call->argv[i].size;
    }
    return sum;
}

static void note_keys(const struct call *call, const struct taken *all)
{
    struct usage_keys keys;
    find_keys(call, &keys);
    struct namespace *ns;
    for (unsigned at = 0; (ns = namespaces_next(call->node->namespaces, &at)) != NULL;) {
        const uint64_t count = keys.of[ns->place];
        if (count > 0) {
            note(ns, call->worker,
                 &(struct taken){.ops = all->ops * count,
                                 .writes = all->writes * count,
                                 .in = all->in * count / keys.total,
                                 .out = all->out * count / keys.total});
        }
    }
}

/* `all`: ops and writes of one key; bytes of the whole. */
static inline void note_call(const struct call *call, const struct taken *all)
{
    if (names_one_key(call)) {
        note(call->first_home, call->worker, all);
    } else if (may_name_keys(call->command)) {
        note_keys(call, all);
    }
}

void usage_note(const struct call *call, size_t answered)
{
    note_call(call, &(struct taken){.ops = 1,
                                    .writes = (call->command->flags & COMMAND_WRITE) != 0,
                                    .in = request_bytes(call),
                                    .out = answered});
}

void usage_note_part(const struct call *call, size_t answered)
{
    note_call(call, &(struct taken){.out = answered});
}

uint8_t usage_home(const struct call *call)
{
    const struct namespace *ns = call->first_home;
    if (ns == NULL && may_name_keys(call->command)) {
        const struct key_range range = effects_key_range(call);
        ns = range.first <= range.last
                 ? namespace_of(call->node->namespaces, call->argv[range.first])
                 : NULL;
    }
    return ns == NULL ? 0 : (uint8_t)(ns->place + 1);
}

void usage_note_answer(const struct answer *answer)
{
    struct namespace *ns =
        answer->home == 0 ? NULL : answer->worker->node->namespaces->at[answer->home - 1];
    if (ns != NULL) {
        note(ns, answer->worker, &(struct taken){.out = answer->reply.out.size + answer->streamed});
    }
}
