/* SPDX-License-Identifier: BSD-3-Clause */
/* CACHE.WHATIF: what memory and policy are worth to a namespace (whatif.h), as a map. */
#include "server/call.h"
#include "server/commands.h"
#include "server/node.h"

#include <stdio.h>

enum {
    NAMES_TEXT_MAX = 512 /* of an error; more namespaces are not all named */
};

static void pair_share(struct reply *reply, const char *name, double share, bool is_known)
{
    char digits[24];
    const int size = snprintf(digits, sizeof digits, "%.4f", share);
    reply_bulk_text(reply, name);
    if (is_known) {
        reply_double_text(reply, (struct slice){digits, (size_t)size});
    } else {
        reply_null(reply);
    }
}

static void reply_at_memory(struct reply *reply, const struct whatif_report *report)
{
    const bool is_known = report->requests > 0;
    bool is_below = true;
    reply_map(reply, WHATIF_SCALES + 1);
    for (unsigned i = 0; i < WHATIF_SCALES; i++) {
        char times[24];
        if (is_below && whatif_scales[i] > 1) {
            pair_share(reply, "1", report->hit_ratio, is_known);
            is_below = false;
        }
        (void)snprintf(times, sizeof times, "%g", whatif_scales[i]);
        pair_share(reply, times, report->at_scale[i], is_known);
    }
}

static void reply_at_policy(struct reply *reply, const struct whatif_report *report)
{
    unsigned count = 0;
    while (policy_at(count) != NULL) {
        count++;
    }
    reply_map(reply, count);
    for (unsigned i = 0; i < count; i++) {
        pair_share(reply, policy_at(i)->name, report->at_policy[i], report->requests > 0);
    }
}

static void reply_report(struct reply *reply, const struct namespace *ns, size_t bytes_max,
                         const struct whatif_report *report)
{
    reply_map(reply, 9);
    reply_pair_text(reply, "name", ns->name);
    reply_pair_text(reply, "policy", report->policy->name);
    reply_pair_integer(reply, "bytes_max", (int64_t)bytes_max);
    reply_pair_integer(reply, "requests", (int64_t)report->requests);
    pair_share(reply, "share", report->share, true);
    pair_share(reply, "hit_ratio", report->hit_ratio, report->requests > 0);
    pair_share(reply, "simulated", report->simulated, report->requests > 0);
    reply_bulk_text(reply, "at_memory");
    reply_at_memory(reply, report);
    reply_bulk_text(reply, "at_policy");
    reply_at_policy(reply, report);
}

static void refuse_name(struct call *call, struct slice name)
{
    char names[NAMES_TEXT_MAX] = "";
    size_t size = 0;
    const struct namespace *ns;
    for (unsigned at = 0; (ns = namespaces_next(call->node->namespaces, &at)) != NULL;) {
        const int more =
            snprintf(names + size, sizeof names - size, "%s%s", size > 0 ? ", " : "", ns->name);
        if ((size_t)more >= sizeof names - size) {
            break;
        }
        size += (size_t)more;
    }
    names[size] = '\0';
    reply_errorf(call->reply, "ERR no such namespace '%.*s'; there are: %s",
                 (int)(name.size < NAMESPACE_NAME_MAX ? name.size : NAMESPACE_NAME_MAX), name.data,
                 names);
}

void cmd_cache_whatif(struct call *call)
{
    const struct slice name = call->argc > 1 ? call->argv[1] : SLICE_LITERAL("default");
    if (call->argc > 2) {
        reply_wrong_arity(call->reply, "cache.whatif");
        return;
    }
    struct namespace *ns = namespaces_find(call->node->namespaces, name);
    if (ns == NULL) {
        refuse_name(call, name);
        return;
    }
    struct whatif_report report;
    struct l1_stats stats;
    l1_stats(ns->l1, &stats);
    if (l1_whatif(ns->l1, &report) == OK) {
        reply_report(call->reply, ns, stats.bytes_max, &report);
    } else if (stats.bytes_max < whatif_memory_least()) {
        reply_errorf(call->reply,
                     "ERR namespace '%s' has %zu bytes of memory, and simulations begin at %zu",
                     ns->name, stats.bytes_max, whatif_memory_least());
    } else {
        reply_error(call->reply, "ERR nothing is simulated: CONFIG SET whatif yes");
    }
}
