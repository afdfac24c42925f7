/* SPDX-License-Identifier: BSD-3-Clause */
/* CACHE.FAILOVER [NEXT | ADDRESS host:port]: moves this node to another endpoint of L2 by hand. The control loop chooses;
 * the links follow. Behind sentinels the sentinels are asked for a failover, and all nodes follow what they decide. */
#include "server/cmd_cache.h"
#include "server/commands.h"
#include "server/conn.h"
#include "server/control.h"
#include "server/errand.h"
#include "server/l2_finder.h"
#include "server/node.h"
#include "server/worker.h"

#include <stdlib.h>
#include <string.h>

struct failover_errand {
    struct errand errand; /* first: it is cast back */
    struct answer *answer;
    enum status status;
    char error[L2_FINDER_ERROR_MAX];
    size_t size; /* of the address; 0: the next one */
    char address[];
};

static void failover_run(struct errand *errand)
{
    struct failover_errand *failover = (struct failover_errand *)(void *)errand;
    const struct slice address = {.data = failover->address, .size = failover->size};
    failover->status = control_choose_l2(errand->home->node->control, address, failover->error);
    errand_back(errand);
}

static void failover_done(struct errand *errand)
{
    struct failover_errand *failover = (struct failover_errand *)(void *)errand;
    struct answer *answer = failover->answer;
    if (failover->status == OK) {
        reply_status(&answer->reply, "OK");
    } else {
        reply_errorf(&answer->reply, "ERR %s", failover->error);
    }
    free(failover);
    cache_land(answer);
}

void cmd_cache_failover(struct call *call)
{
    struct slice address = {0};
    if (call->argc == 3 && slice_is_nocase(call->argv[1], "address")) {
        address = call->argv[2];
    } else if (call->argc > 2 || (call->argc == 2 && !slice_is_nocase(call->argv[1], "next"))) {
        reply_error(call->reply,
                    "ERR syntax error, expected CACHE.FAILOVER [NEXT | ADDRESS host:port]");
        return;
    }
    if (call->node->tiers == NULL) {
        reply_error(call->reply, "ERR this node has no L2");
        return;
    }
    struct failover_errand *failover = malloc(sizeof(*failover) + address.size);
    if (failover == NULL) {
        reply_out_of_memory(call->reply);
        return;
    }
    *failover = (struct failover_errand){.errand = {.run = failover_run, .done = failover_done},
                                         .size = address.size};
    if (address.size > 0) {
        memcpy(failover->address, address.data, address.size);
    }
    log_write(&call->node->log, LOG_NOTICE, "l2_failover_asked", "by=%s", call->conn->session.peer);
    const enum status status = errand_send(&failover->errand, call->worker);
    if (status != OK) {
        cache_refuse(call->reply, status, "", 0);
        free(failover);
        return;
    }
    failover->answer = cache_defer(call);
}
