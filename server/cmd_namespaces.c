/* SPDX-License-Identifier: BSD-3-Clause */
/* CACHE.NAMESPACES: what each namespace is and holds, as maps. */
#include "server/call.h"
#include "server/cmd_cache.h"
#include "server/commands.h"
#include "server/namespace_report.h"
#include "server/node.h"

enum {
    NAMESPACE_FIELDS = 18, /* and the tallies, */
    QUOTA_FIELDS = 7,
};

static void reply_quotas(struct reply *reply, const struct namespace_report *report)
{
    const struct quota_use *ops = &report->uses[QUOTA_OPS];
    const struct quota_use *bytes = &report->uses[QUOTA_BYTES];
    reply_pair_integer(reply, "ops_per_second", (int64_t)ops->used);
    reply_pair_integer(reply, "bytes_per_second", (int64_t)bytes->used);
    reply_pair_integer(reply, "max_ops", (int64_t)ops->limit);
    reply_pair_integer(reply, "max_bytes", (int64_t)bytes->limit);
    reply_pair_integer(reply, "memory_percent", report->uses[QUOTA_MEMORY].percent);
    reply_pair_integer(reply, "ops_percent", ops->percent);
    reply_pair_integer(reply, "bytes_percent", bytes->percent);
}

/* Of a plain one only the first two say anything. */
static void reply_rules(struct reply *reply, const struct namespace *ns)
{
    const struct ns_rules rules = ns->managed ? namespace_rules(ns) : (struct ns_rules){0};
    reply_pair_text(reply, "format", ns->managed ? "managed" : "plain");
    reply_pair_integer(reply, "ttl_ms", ns->managed ? rules.ttl_ms : namespace_ttl_ms(ns));
    reply_pair_integer(reply, "max_ttl_ms", rules.max_ttl_ms);
    reply_pair_integer(reply, "swr_ms", rules.swr_ms);
    reply_pair_integer(reply, "sie_ms", rules.sie_ms);
    reply_pair_integer(reply, "negative_ttl_ms", rules.negative_ttl_ms);
    reply_pair_integer(reply, "compress_min", rules.compress_min);
    reply_pair_text(reply, "write", namespace_write_name((enum namespace_write)rules.write));
}

static void reply_namespace(struct reply *reply, const struct node *node,
                            const struct namespace *ns)
{
    char mode[NAMESPACE_MODE_TEXT_MAX];
    struct namespace_report report;
    namespace_mode_text(ns, mode);
    namespace_report(node, ns, &report);
    reply_map(reply, NAMESPACE_FIELDS + (size_t)TALLY_COUNT + QUOTA_FIELDS);
    reply_pair_text(reply, "name", ns->name);
    reply_bulk_text(reply, "prefix");
    reply_bulk(reply, ns->prefix);
    reply_pair_text(reply, "mode", mode);
    reply_pair_text(reply, "policy", l1_policy(ns->l1)->name);
    reply_rules(reply, ns);
    reply_pair_integer(reply, "items", (int64_t)report.l1.items);
    reply_pair_integer(reply, "bytes", (int64_t)report.l1.bytes_used);
    reply_pair_integer(reply, "bytes_max", (int64_t)report.l1.bytes_max);
    reply_pair_integer(reply, "hits", (int64_t)report.l1.hits);
    reply_pair_integer(reply, "misses", (int64_t)report.l1.misses);
    reply_pair_integer(reply, "evictions", (int64_t)report.l1.evictions);
    for (int i = 0; i < TALLY_COUNT; i++) {
        reply_pair_integer(reply, tally_line((enum tally)i)->name, (int64_t)report.tallies[i]);
    }
    reply_quotas(reply, &report);
}

void cache_reply_namespaces(struct reply *reply, const struct node *node)
{
    const struct namespace *ns;
    reply_array(reply, node->namespaces->named + 1);
    for (unsigned at = 0; (ns = namespaces_next(node->namespaces, &at)) != NULL;) {
        reply_namespace(reply, node, ns);
    }
}

void cmd_cache_namespaces(struct call *call)
{
    cache_reply_namespaces(call->reply, call->node);
}
