/* SPDX-License-Identifier: BSD-3-Clause */
/* CACHE.WARM: jobs that bring keys in before somebody asks for them (warm.h). */
#include "server/cmd_cache.h"
#include "server/commands.h"
#include "server/faults.h"
#include "server/node.h"
#include "server/warm_reply.h"
#include "server/worker.h"

#include <stdlib.h>
#include <string.h>

/* Every subcommand's, until its answer is here. */
struct warm_wait {
    struct warm_call call; /* first: it is cast back */
    struct answer *answer;
    char json[]; /* of SUBMIT and REGISTER */
};

static void warm_on_answer(struct warm_call *call, const char *error,
                           const struct warm_status *statuses, size_t count)
{
    struct warm_wait *wait = (struct warm_wait *)(void *)call;
    struct reply *reply = &wait->answer->reply;
    if (error != NULL) {
        reply_error(reply, error);
    } else if (call->verb == WARM_LIST) {
        reply_array(reply, count);
        for (size_t i = 0; i < count; i++) {
            warm_reply(reply, &statuses[i]);
        }
    } else if (count == 0) {
        reply_error(reply, WARM_ERROR_NO_JOB);
    } else if (call->verb == WARM_STATUS) {
        warm_reply(reply, &statuses[0]);
    } else if (call->verb == WARM_SUBMIT || call->verb == WARM_REGISTER) {
        reply_integer(reply, (int64_t)statuses[0].id);
    } else {
        reply_ok(reply);
    }
    cache_land(wait->answer);
    free(wait);
}

static void ask(struct call *call, enum warm_verb verb, uint64_t id, uint64_t rate,
                struct slice json)
{
    if (json.size > WARM_JSON_MAX) {
        reply_errorf(call->reply, "ERR $: at most %u bytes", WARM_JSON_MAX);
        return;
    }
    struct warm_wait *wait = malloc(sizeof(*wait) + json.size + 1);
    if (wait == NULL) {
        reply_out_of_memory(call->reply);
        return;
    }
    if (json.size > 0) {
        memcpy(wait->json, json.data, json.size);
    }
    wait->call = (struct warm_call){.home = &call->worker->mailbox,
                                    .verb = verb,
                                    .id = id,
                                    .rate = rate,
                                    .json = {wait->json, json.size},
                                    .on_answer = warm_on_answer};
    if (warm_ask(call->node, &wait->call) != OK) {
        reply_error(call->reply, "BUSY too many calls wait for the first worker");
        free(wait);
        return;
    }
    wait->answer = cache_defer(call);
}

static bool read_id(struct call *call, uint64_t *ret_id)
{
    if (slice_to_u64(call->argv[2], ret_id) != OK || *ret_id > INT64_MAX) {
        fault_value(call, 2, "ERR id is not an integer or out of range");
        return false;
    }
    return true;
}

static void ask_of_one(struct call *call, enum warm_verb verb)
{
    uint64_t id = 0;
    if (read_id(call, &id)) {
        ask(call, verb, id, 0, (struct slice){0});
    }
}

void cmd_cache_warm_submit(struct call *call)
{
    ask(call, WARM_SUBMIT, 0, 0, call->argv[2]);
}

void cmd_cache_warm_register(struct call *call)
{
    ask(call, WARM_REGISTER, 0, 0, call->argv[2]);
}

void cmd_cache_warm_list(struct call *call)
{
    ask(call, WARM_LIST, 0, 0, (struct slice){0});
}

void cmd_cache_warm_status(struct call *call)
{
    ask_of_one(call, WARM_STATUS);
}

void cmd_cache_warm_pause(struct call *call)
{
    ask_of_one(call, WARM_PAUSE);
}

void cmd_cache_warm_resume(struct call *call)
{
    ask_of_one(call, WARM_RESUME);
}

void cmd_cache_warm_cancel(struct call *call)
{
    ask_of_one(call, WARM_CANCEL);
}

void cmd_cache_warm_setrate(struct call *call)
{
    uint64_t id = 0;
    uint64_t rate = 0;
    if (!read_id(call, &id)) {
        return;
    }
    if (slice_to_u64(call->argv[3], &rate) != OK || rate > WARM_RATE_MAX) {
        fault_value(call, 3, "ERR rate is not an integer or out of range");
        return;
    }
    ask(call, WARM_SETRATE, id, rate, (struct slice){0});
}

void cmd_cache_warm_help(struct call *call)
{
    static const char *const lines[] = {
        "(the command is written with a dot: CACHE.WARM SUBMIT)",
        "SUBMIT <json>",
        "    A job; return its id. {\"source\": ..., \"db\", \"priority\": 0..9, \"rate\": keys/s over",
        "    all nodes, \"bytes\": bytes/s, \"mode\": \"missing\" | \"stale\" | \"force\", \"target\":",
        "    \"all\" | \"self\" | \"l2\", \"deadline\": seconds, \"dryrun\": true}. Sources: {\"keys\": [...]}",
        "    {\"file\": name} {\"set\": key} {\"zset\": key, \"n\": n} {\"pattern\": glob} {\"tag\": tag}",
        "    {\"hot\": n} {\"snapshot\": name} {\"log\": name, \"n\": n}",
        "REGISTER <json>",
        "    A standing job, with \"schedule\" or \"before_expiry\"; return its id.",
        "LIST",
        "    The jobs of the cluster, the newest first: maps as of STATUS, without failures.",
        "STATUS <id>",
        "    A job, as a map. Fields:",
        "    id state source db mode target priority effective rate_limit total processed loaded",
        "    skipped absent failed bytes rate eta_ms submitted_at_ms started_at_ms ended_at_ms",
        "    deadline_at_ms error dryrun schedule next_at_ms prevented",
        "    failures (maps: key why attempts)",
        "    nodes (maps: node address done loaded skipped absent failed bytes rate yield)",
        "PAUSE <id> | RESUME <id> | CANCEL <id>",
        "    What is under way of a job that is paused goes on when it is resumed.",
        "SETRATE <id> <keys per second>",
        "    Over all nodes; 0: as fast as warm-rate of the nodes lets it.",
    };
    reply_help(call->reply, "CACHE.WARM", lines, sizeof(lines) / sizeof(lines[0]));
}
