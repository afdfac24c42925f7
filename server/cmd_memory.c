/* SPDX-License-Identifier: BSD-3-Clause */
/* MEMORY. USAGE: on a node without L2. */
#include "server/call.h"
#include "server/commands.h"
#include "server/memory_report.h"
#include "server/node.h"

#include <malloc.h>
#include <stdio.h>

/* false: the error is answered. Strings are measured, not sampled; SAMPLES is only checked. */
static bool usage_options(struct call *call)
{
    for (uint32_t i = 3; i < call->argc; i += 2) {
        int64_t samples = 0;
        if (!slice_is_nocase(call->argv[i], "samples") || i + 1 == call->argc) {
            reply_syntax_error(call->reply);
            return false;
        }
        if (slice_to_i64(call->argv[i + 1], &samples) != OK) {
            reply_not_integer(call->reply);
            return false;
        }
        if (samples < 0) {
            reply_syntax_error(call->reply);
            return false;
        }
    }
    return true;
}

void cmd_memory_usage(struct call *call)
{
    struct ns_key key = call_key(call, 2);
    struct l1_peek peek;
    if (!usage_options(call)) {
        return;
    }
    if (l1_peek(key.ns->l1, &key.at, call->now_ms, 0, &peek) == OK) {
        reply_integer(call->reply, (int64_t)peek.footprint);
    } else {
        reply_null(call->reply);
    }
}

/* --- STATS ------------------------------------------------------------------------------------------------------- */

static void pair_ratio(struct reply *reply, const char *name, double ratio)
{
    char digits[64];
    int size = snprintf(digits, sizeof(digits), "%.17g", ratio);
    reply_bulk_text(reply, name);
    reply_double_text(reply, (struct slice){digits, (size_t)size});
}

static double share(size_t part, size_t whole, double scale)
{
    return whole == 0 ? 0 : (double)part * scale / (double)whole;
}

static void pair_difference(struct reply *reply, const char *name, size_t a, size_t b)
{
    reply_bulk_text(reply, name);
    reply_integer(reply, (int64_t)a - (int64_t)b);
}

/* Redis names its tables by database; here they are shared by all, so those with keys are named, without bytes. */
static void stats_database(struct reply *reply, unsigned db)
{
    char name[16];
    (void)snprintf(name, sizeof(name), "db.%u", db);
    reply_bulk_text(reply, name);
    reply_map(reply, 3);
    reply_pair_integer(reply, "overhead.hashtable.main", 0);
    reply_pair_integer(reply, "overhead.hashtable.expires", 0);
    reply_pair_integer(reply, "overhead.hashtable.slot-to-keys", 0);
}

void cmd_memory_stats(struct call *call)
{
    struct reply *reply = call->reply;
    struct memory_report report;
    bool in_use[LIMIT_DATABASES]; /* looked at once: others write meanwhile */
    size_t databases = 0;
    for (unsigned db = 0; db < LIMIT_DATABASES; db++) {
        in_use[db] = namespaces_count(call->node->namespaces, (uint8_t)db).entries > 0;
        databases += in_use[db];
    }
    memory_report(call->node, &report);
    reply_map(reply, 27 + databases);
    reply_pair_integer(reply, "peak.allocated", (int64_t)report.peak);
    reply_pair_integer(reply, "total.allocated", (int64_t)report.used);
    reply_pair_integer(reply, "startup.allocated", 0);
    reply_pair_integer(reply, "replication.backlog", 0);
    reply_pair_integer(reply, "clients.slaves", 0);
    reply_pair_integer(reply, "clients.normal", (int64_t)report.clients);
    reply_pair_integer(reply, "cluster.links", 0);
    reply_pair_integer(reply, "aof.buffer", 0);
    reply_pair_integer(reply, "lua.caches", 0);
    reply_pair_integer(reply, "functions.caches", 0);
    for (unsigned db = 0; db < LIMIT_DATABASES; db++) {
        if (in_use[db]) {
            stats_database(reply, db);
        }
    }
    reply_pair_integer(reply, "overhead.total", (int64_t)report.tables);
    reply_pair_integer(reply, "keys.count", (int64_t)report.items);
    reply_pair_integer(reply, "keys.bytes-per-key",
                       (int64_t)(report.items == 0 ? 0 : report.used / report.items));
    reply_pair_integer(reply, "dataset.bytes", (int64_t)(report.used - report.tables));
    pair_ratio(reply, "dataset.percentage", share(report.used - report.tables, report.used, 100));
    pair_ratio(reply, "peak.percentage", share(report.used, report.peak, 100));
    reply_pair_integer(reply, "allocator.allocated", (int64_t)report.allocated);
    reply_pair_integer(reply, "allocator.active", (int64_t)report.active);
    reply_pair_integer(reply, "allocator.resident", (int64_t)report.resident);
    pair_ratio(reply, "allocator-fragmentation.ratio", share(report.active, report.allocated, 1));
    pair_difference(reply, "allocator-fragmentation.bytes", report.active, report.allocated);
    pair_ratio(reply, "allocator-rss.ratio", share(report.resident, report.active, 1));
    pair_difference(reply, "allocator-rss.bytes", report.resident, report.active);
    pair_ratio(reply, "rss-overhead.ratio", 1);
    reply_pair_integer(reply, "rss-overhead.bytes", 0);
    pair_ratio(reply, "fragmentation", share(report.resident, report.allocated, 1));
    pair_difference(reply, "fragmentation.bytes", report.resident, report.allocated);
}

/* --- DOCTOR, PURGE, MALLOC-STATS --------------------------------------------------------------------------------- */

static enum status doctor(const struct memory_report *report, struct buf *text)
{
    enum status status = OK;
    bool healthy = true;
    if (report->used < (size_t)5 * 1024 * 1024) {
        return buf_printf(text, "This node holds less than 5 MB: there is nothing to judge yet.\n");
    }
    if (share(report->used, report->max, 1) > 0.95) {
        healthy = false;
        status = buf_printf(
            text,
            "- L1 is full (%.0f%% of its budget), so every new value pushes out another. This is how a "
            "cache should look; raise `memory` if l1_hit_ratio in INFO is too low.\n",
            share(report->used, report->max, 100));
    }
    if (status == OK && share(report->resident, report->allocated, 1) > 1.4) {
        healthy = false;
        status = buf_printf(
            text,
            "- The process is %.1f times as large as what it has allocated: fragmentation, or a peak "
            "that is over. MEMORY PURGE gives pages back.\n",
            share(report->resident, report->allocated, 1));
    }
    if (status == OK && share(report->tables, report->used, 1) > 0.5) {
        healthy = false;
        status = buf_printf(
            text,
            "- Over half of the memory is the table of keys: values are very small, or most of "
            "them went a moment ago and the table is still shrinking.\n");
    }
    if (status == OK && healthy) {
        status = buf_printf(text, "Nothing to complain about.\n");
    }
    return status;
}

void cmd_memory_doctor(struct call *call)
{
    struct memory_report report;
    struct buf text = {0};
    memory_report(call->node, &report);
    if (doctor(&report, &text) == OK) {
        reply_verbatim(call->reply, buf_slice(&text));
    } else {
        reply_out_of_memory(call->reply);
    }
    buf_done(&text);
}

void cmd_memory_purge(struct call *call)
{
    const struct namespace *ns;
    for (unsigned at = 0; (ns = namespaces_next(call->node->namespaces, &at)) != NULL;) {
        l1_purge(ns->l1);
    }
    (void)malloc_trim(0);
    reply_ok(call->reply);
}

void cmd_memory_malloc_stats(struct call *call)
{
    struct mallinfo2 info = mallinfo2();
    struct l1_stats l1;
    struct buf text = {0};
    namespaces_stats(call->node->namespaces, &l1);
    if (buf_printf(
            &text,
            "L1 bytes: %zu, in use %zu\nallocator of all else: libc\narena bytes: %zu\nmapped bytes: %zu in %zu blocks\nallocated bytes: %zu\n"
            "free bytes: %zu in %zu blocks\nreleasable bytes: %zu\n",
            l1.bytes_used, l1.bytes_live, info.arena, info.hblkhd, info.hblks, info.uordblks,
            info.fordblks, info.ordblks, info.keepcost) == OK) {
        reply_verbatim(call->reply, buf_slice(&text));
    } else {
        reply_out_of_memory(call->reply);
    }
    buf_done(&text);
}

void cmd_memory_help(struct call *call)
{
    static const char *const lines[] = {
        "DOCTOR",
        "    Return what can be said about the memory of this node, in words.",
        "MALLOC-STATS",
        "    Return the allocator's own figures.",
        "PURGE",
        "    Give free memory back to the system.",
        "STATS",
        "    Return where the memory is.",
        "USAGE <key> [SAMPLES <count>]",
        "    Return the bytes that <key> and its value take.",
    };
    reply_help(call->reply, "MEMORY", lines, sizeof(lines) / sizeof(lines[0]));
}
