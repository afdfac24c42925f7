/* SPDX-License-Identifier: BSD-3-Clause */
/* CACHE.TAGS: the tags of a managed value as they were written. L1 keeps their hashes only, so L2 is asked for the envelope;
 * all of it, for nothing of it is believed before its checksum was. A value that is dead has its tags, too. */
#include "protocol/envelope.h"
#include "protocol/resp_read.h"
#include "protocol/resp_write.h"
#include "server/cmd_cache.h"
#include "server/commands.h"
#include "server/faults.h"
#include "server/managed.h"
#include "server/node.h"
#include "server/relay.h"
#include "server/worker.h"
#include "tiers/tiers.h"

#include <stdlib.h>

struct tags_wait {
    struct tiers_relay relay; /* first */
    struct answer *answer;
};

/* What is no envelope, or a broken one, has none. */
static void reply_tags(struct reply *reply, struct slice value)
{
    struct envelope envelope;
    struct slice tag;
    size_t at = 0;
    if (envelope_read(value, &envelope) != OK) {
        reply_array(reply, 0);
        return;
    }
    reply_array(reply, envelope.tag_count);
    while (envelope_next_tag(&envelope, &at, &tag)) {
        reply_bulk(reply, tag);
    }
}

static void on_value(struct tiers_relay *relay, enum status status, struct slice bytes)
{
    struct tags_wait *wait = (struct tags_wait *)(void *)relay;
    struct answer *answer = wait->answer;
    struct reply_cursor cursor = {.rest = bytes};
    struct reply_element element;
    const bool is_read = status == OK && reply_next(&cursor, &element) == OK;
    if (is_read && element.type == REPLY_BULK) {
        reply_tags(&answer->reply, element.text);
    } else if (is_read && element.type == REPLY_NULL) {
        reply_array(&answer->reply, 0);
    } else {
        relay_answer(answer, relay, status, bytes);
    }
    free(wait);
    cache_land(answer);
}

void managed_tags(struct call *call)
{
    const struct slice words[] = {SLICE_LITERAL("GET"), call->argv[1]};
    struct buf request = {0};
    struct tags_wait *wait = malloc(sizeof(*wait));
    if (wait == NULL || resp_append_request(&request, 2, words) != OK) {
        free(wait);
        reply_out_of_memory(call->reply);
        return;
    }
    *wait = (struct tags_wait){.relay = {.on_reply = on_value, .db = call->db}};
    const enum status status = tiers_relay(call->worker->window, &wait->relay,
                                           call->conn->session.proto, buf_slice(&request));
    buf_done(&request);
    if (status != OK) {
        free(wait);
        relay_refuse(call->reply, call->worker, status);
        return;
    }
    wait->answer = cache_defer(call);
}

void cmd_cache_tags(struct call *call)
{
    fault_key(call->reply, call->argv[1], "ERR key does not belong to a managed namespace",
              "values there have no tags");
}
