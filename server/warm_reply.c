/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/warm_reply.h"

enum {
    JOB_FIELDS = 29,
    FAILURE_FIELDS = 3,
    NODE_FIELDS = 10
};

static void pair_boolean(struct reply *reply, const char *name, bool value)
{
    reply_bulk_text(reply, name);
    reply_boolean(reply, value);
}

static void pair_count(struct reply *reply, const char *name, uint64_t count)
{
    reply_pair_integer(reply, name, (int64_t)count);
}

static void reply_failures(struct reply *reply, const struct warm_status *status)
{
    reply_bulk_text(reply, "failures");
    reply_array(reply, status->failure_count);
    for (size_t i = 0; i < status->failure_count; i++) {
        const struct warm_failure *failure = &status->failures[i];
        reply_map(reply, FAILURE_FIELDS);
        reply_bulk_text(reply, "key");
        reply_bulk(reply, failure->key);
        reply_pair_text(reply, "why", failure->why);
        reply_pair_integer(reply, "attempts", failure->attempts);
    }
}

static void reply_nodes(struct reply *reply, const struct warm_status *status)
{
    reply_bulk_text(reply, "nodes");
    reply_array(reply, status->node_count);
    for (size_t i = 0; i < status->node_count; i++) {
        const struct warm_node_status *node = &status->nodes[i];
        reply_map(reply, NODE_FIELDS);
        reply_pair_text(reply, "node", node->node);
        reply_pair_text(reply, "address", node->address);
        pair_count(reply, "done", node->processed);
        pair_count(reply, "loaded", node->loaded);
        pair_count(reply, "skipped", node->skipped);
        pair_count(reply, "absent", node->absent);
        pair_count(reply, "failed", node->failed);
        pair_count(reply, "bytes", node->bytes);
        reply_pair_double(reply, "rate", node->rate);
        reply_pair_double(reply, "yield", node->yield);
    }
}

void warm_reply(struct reply *reply, const struct warm_status *status)
{
    reply_map(reply, JOB_FIELDS);
    pair_count(reply, "id", status->id);
    reply_pair_text(reply, "state", warm_state_name(status->state));
    reply_pair_text(reply, "source", status->source);
    reply_pair_integer(reply, "db", status->db);
    reply_pair_text(reply, "mode", warm_mode_name(status->mode));
    reply_pair_text(reply, "target", warm_target_name(status->target));
    reply_pair_integer(reply, "priority", status->priority);
    reply_pair_integer(reply, "effective", status->effective);
    pair_count(reply, "rate_limit", status->rate_limit);
    reply_pair_integer(reply, "total", status->total == UINT64_MAX ? -1 : (int64_t)status->total);
    pair_count(reply, "processed", status->processed);
    pair_count(reply, "loaded", status->loaded);
    pair_count(reply, "skipped", status->skipped);
    pair_count(reply, "absent", status->absent);
    pair_count(reply, "failed", status->failed);
    pair_count(reply, "bytes", status->bytes);
    reply_pair_double(reply, "rate", status->rate);
    reply_pair_integer(reply, "eta_ms", status->eta_ms);
    reply_pair_integer(reply, "submitted_at_ms", status->submitted_at_ms);
    reply_pair_integer(reply, "started_at_ms", status->started_at_ms);
    reply_pair_integer(reply, "ended_at_ms", status->ended_at_ms);
    reply_pair_integer(reply, "deadline_at_ms", status->deadline_at_ms);
    reply_pair_text(reply, "error", status->error);
    pair_boolean(reply, "dryrun", status->dry);
    reply_pair_text(reply, "schedule", status->schedule);
    reply_pair_integer(reply, "next_at_ms", status->next_at_ms);
    pair_count(reply, "prevented", status->prevented);
    reply_failures(reply, status);
    reply_nodes(reply, status);
}
