/* SPDX-License-Identifier: BSD-3-Clause */
/* CACHE.INVALIDATE in managed namespaces. KEY: each key is a write of its own (tiers/managed_write.h), which deletes the
 * value or, with SOFT, makes it stale where it is; both end the lease of who loads it. */
#include "server/invalidate.h"
#include "server/managed_edit.h"
#include "server/node.h"
#include "server/worker.h"

#include <stdlib.h>
#include <string.h>

struct key_part {
    struct managed_write write;
    struct worker *worker;
    struct invalidation *of;
    char bytes[]; /* of the key */
};

static void on_key_written(struct managed_write *write, enum status status, uint64_t seq,
                           struct slice error)
{
    struct key_part *part = LIST_ENTRY(write, struct key_part, write);
    struct invalidation *of = part->of;
    const size_t dropped = write->dropped;
    (void)seq;
    if (status == OK) {
        managed_tell_written(part->worker, write);
    } else if (!of->answer->reply.failed) {
        managed_refuse_write(&of->answer->reply, part->worker, write, status, error);
    }
    free(part);
    invalidation_part_ends(of, dropped);
}

static enum status send_key(struct call *call, struct slice key, bool soft,
                            struct invalidation *invalidation)
{
    struct key_part *part = malloc(sizeof(*part) + key.size);
    if (part == NULL) {
        return NO_MEMORY;
    }
    *part = (struct key_part){
        .write = {.on_written = on_key_written, .op = soft ? MANAGED_SOFTEN : MANAGED_DELETE},
        .worker = call->worker,
        .of = invalidation};
    if (key.size > 0) {
        memcpy(part->bytes, key.data, key.size);
    }
    part->write.key =
        namespaces_key(call->node->namespaces, call->db, (struct slice){part->bytes, key.size}).at;
    const enum status status = managed_write_send(call->worker->window, &part->write);
    if (status == OK) {
        invalidation_part_begins(invalidation, call);
    } else {
        free(part);
    }
    return status;
}

void invalidate_managed_keys(struct call *call, const struct invalidate_order *order)
{
    struct invalidation *invalidation = invalidation_new(call, order);
    enum status status = invalidation == NULL ? NO_MEMORY : OK;
    for (uint32_t i = 0; i < order->arg_count && status == OK; i++) {
        status = send_key(call, order->args[i], order->soft, invalidation);
    }
    if (status != OK) { /* with a part under way the answer is deferred already */
        const struct managed_write none = {0};
        const bool waits = invalidation != NULL && invalidation->parts > 0;
        managed_refuse_write(waits ? &invalidation->answer->reply : call->reply, call->worker,
                             &none, status, (struct slice){0});
        if (!waits && invalidation != NULL) {
            free(invalidation);
        }
    }
}
