/* SPDX-License-Identifier: BSD-3-Clause */
/* CACHE.SNAPSHOT: what is in L1 goes to the node's file now (snapshots.h). The control loop begins it; the answer comes when
 * it is on the disk. */
#include "server/cmd_cache.h"
#include "server/commands.h"
#include "server/conn.h"
#include "server/errand.h"
#include "server/node.h"
#include "server/snapshots.h"
#include "server/worker.h"

#include <stdio.h>
#include <stdlib.h>

struct snapshot_errand {
    struct errand errand; /* first: it is cast back */
    struct snapshot_wait wait;
    struct answer *answer;
    struct node *node;
    char error[SNAPSHOT_ERROR_MAX];
};

static void on_written(struct snapshot_wait *wait, const char *error)
{
    struct snapshot_errand *snapshot = LIST_ENTRY(wait, struct snapshot_errand, wait);
    (void)snprintf(snapshot->error, sizeof(snapshot->error), "%s", error);
    errand_back(&snapshot->errand);
}

static void snapshot_run(struct errand *errand)
{
    struct snapshot_errand *snapshot = (struct snapshot_errand *)(void *)errand;
    snapshot->wait.on_done = on_written;
    snapshots_ask(snapshot->node->snapshots, &snapshot->wait);
}

static void reply_snapshot(struct reply *reply, const struct snapshots_description *seen)
{
    reply_map(reply, 5);
    reply_bulk(reply, slice_of("file"));
    reply_bulk(reply, slice_of(seen->file));
    reply_bulk(reply, slice_of("records"));
    reply_integer(reply, (int64_t)seen->totals.records);
    reply_bulk(reply, slice_of("bytes"));
    reply_integer(reply, (int64_t)seen->totals.bytes);
    reply_bulk(reply, slice_of("file_bytes"));
    reply_integer(reply, (int64_t)seen->file_bytes);
    reply_bulk(reply, slice_of("took_ms"));
    reply_integer(reply, seen->took_ms);
}

static void snapshot_done(struct errand *errand)
{
    struct snapshot_errand *snapshot = (struct snapshot_errand *)(void *)errand;
    struct answer *answer = snapshot->answer;
    struct snapshots_description seen;
    if (snapshot->error[0] == '\0') {
        snapshots_describe(snapshot->node->snapshots, &seen);
        reply_snapshot(&answer->reply, &seen);
    } else {
        reply_errorf(&answer->reply, "ERR the snapshot was not written: %s", snapshot->error);
    }
    free(snapshot);
    cache_land(answer);
}

void cmd_cache_snapshot(struct call *call)
{
    if (call->node->snapshots == NULL) {
        reply_error(call->reply, "ERR this node has no snapshot-dir");
        return;
    }
    struct snapshot_errand *snapshot = malloc(sizeof(*snapshot));
    if (snapshot == NULL) {
        reply_out_of_memory(call->reply);
        return;
    }
    *snapshot = (struct snapshot_errand){.errand = {.run = snapshot_run, .done = snapshot_done},
                                         .node = call->node};
    const enum status status = errand_send(&snapshot->errand, call->worker);
    if (status != OK) {
        cache_refuse(call->reply, status, "", 0);
        free(snapshot);
        return;
    }
    snapshot->answer = cache_defer(call);
}
