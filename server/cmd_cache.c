/* SPDX-License-Identifier: BSD-3-Clause */
/* CACHE.LASTSEQ and CACHE.WAITSEQ: the numbering of the bus, for who wants to read on one node what was written on
 * another (COHERENCE T5). CACHE HELP. */
#include "server/cmd_cache.h"

#include "server/commands.h"
#include "server/conn.h"
#include "server/errand.h"
#include "server/faults.h"
#include "server/node.h"
#include "server/relay.h"
#include "server/worker.h"
#include "tiers/tiers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define MS_MAX (INT64_C(24) * 3600 * 1000)

/* --- shared ------------------------------------------------------------------------------------------------------ */

bool cache_ms(struct call *call, uint32_t i, int64_t *ret_ms)
{
    if (slice_to_i64(call->argv[i], ret_ms) != OK) {
        fault_value(call, i, "ERR timeout is not an integer or out of range");
        return false;
    }
    if (*ret_ms < 0 || *ret_ms > MS_MAX) {
        fault_value(call, i,
                    *ret_ms < 0 ? "ERR timeout is negative" : "ERR timeout is out of range");
        return false;
    }
    return true;
}

struct answer *cache_defer(struct call *call)
{
    struct answer *answer = call_defer(call, WAIT_LOCAL);
    conn_hold(call->conn, HOLD_ALONE);
    return answer;
}

void cache_land(struct answer *answer)
{
    if (answer->conn != NULL) {
        conn_unhold(answer->conn, HOLD_ALONE);
    }
    answer_land(answer);
}

void cache_refuse(struct reply *reply, enum status status, const char *what, int64_t ms)
{
    if (status == TIMEOUT) {
        reply_errorf(reply, "STALE %s within %" PRId64 " ms", what, ms);
    } else if (status == BUSY) {
        reply_error(reply, "BUSY too many calls wait for the bus");
    } else if (status == L2_DOWN) {
        reply_error(reply, "L2DOWN this node is ending");
    } else {
        reply_out_of_memory(reply);
    }
}

void reply_node_id(struct reply *reply, uint64_t node)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%016" PRIx64, node);
    reply_bulk_text(reply, text);
}

/* --- waiting ----------------------------------------------------------------------------------------------------- */

struct seq_wait {
    struct bus_wait wait; /* first: an errand is cast back */
    struct answer *answer;
    int64_t ms;
};

static void seq_wait_done(struct errand *errand)
{
    struct seq_wait *seq = (struct seq_wait *)(void *)errand;
    struct reply *reply = &seq->answer->reply;
    const bool is_marker = seq->wait.waiter.kind == WAITER_MARKER;
    if (seq->wait.status != OK) {
        cache_refuse(reply, seq->wait.status, is_marker ? "no marker came home" : "not applied",
                     seq->ms);
    } else if (is_marker) {
        reply_integer(reply, (int64_t)seq->wait.waiter.seq);
    } else {
        reply_ok(reply);
    }
    cache_land(seq->answer);
    free(seq);
}

static void wait_for_seq(struct call *call, enum waiter_kind kind, uint64_t seq, int64_t ms)
{
    struct seq_wait *wait = malloc(sizeof(*wait));
    if (wait == NULL) {
        reply_out_of_memory(call->reply);
        return;
    }
    *wait = (struct seq_wait){
        .wait = {.errand = {.done = seq_wait_done},
                 .waiter = {.kind = kind, .seq = seq, .deadline_ms = call->now_ms + ms}},
        .ms = ms,
    };
    const enum status status = bus_wait_send(&wait->wait, call->worker);
    if (status != OK) {
        cache_refuse(call->reply, status, "", ms);
        free(wait);
        return;
    }
    wait->answer = cache_defer(call);
}

void cmd_cache_lastseq(struct call *call)
{
    if (call->node->tiers == NULL) {
        reply_integer(call->reply, 0); /* this node's L1 is the only copy: nothing is numbered */
        return;
    }
    if (tiers_is_down(call->worker->window)) {
        relay_refuse(call->reply, call->worker, L2_DOWN);
        return;
    }
    wait_for_seq(call, WAITER_MARKER, 0, atomic_load(&call->node->live.l2_timeout_ms));
}

void cmd_cache_waitseq(struct call *call)
{
    int64_t seq = 0;
    int64_t ms = 0;
    if (slice_to_i64(call->argv[1], &seq) != OK || seq < 0) {
        fault_value(call, 1, "ERR seq is not an integer or out of range");
        return;
    }
    if (!cache_ms(call, 2, &ms)) {
        return;
    }
    if (call->node->tiers != NULL) {
        wait_for_seq(call, WAITER_APPLIED, (uint64_t)seq, ms);
    } else if (seq == 0) {
        reply_ok(call->reply);
    } else {
        reply_error(call->reply, "STALE this node has no L2: nothing is numbered, and no seq but 0 "
                                 "is ever applied");
    }
}

void cmd_cache_help(struct call *call)
{
    static const char *const lines[] = {
        "(the commands are written with a dot: CACHE.LASTSEQ)",
        "FETCH <key> [SOFT <milliseconds>] [HARD <milliseconds>]",
        "      [MAXSTALE <milliseconds> | FRESH | ANY] [ATLEAST <seq>] [NOLOAD]",
        "    Read a value. Return [HIT | STALE | MISS, value, age_ms, ttl_ms, token]. From L1 what",
        "    is at most MAXSTALE behind L2, ANY value, or none (FRESH); only what this node was",
        "    told of up to ATLEAST. After SOFT the older one is good enough, after HARD an error.",
        "    Of managed keys also NEG: there is no such thing; and LOAD: load it, others wait. NOLOAD:",
        "    what there is, at once.",
        "FILL <key> <token> <value> [PX <milliseconds>] [SWR <milliseconds>]",
        "      [SIE <milliseconds>] [TAGS <n> <tag> ...]",
        "    The value that FETCH gave to this client to load. Return the seq, or an error that begins",
        "    with LOST: the key was written or invalidated meanwhile, and nothing is stored.",
        "FAIL <key> <token> [NEG <milliseconds>]",
        "    It cannot be loaded; with NEG: there is no such thing, for so long at most.",
        "SET <key> <value> [PX <milliseconds>] [SWR <milliseconds>] [SIE <milliseconds>]",
        "      [TAGS <n> <tag> ...]",
        "    Store a value; PX: fresh for so long, then served while it is loaded anew (SWR), or if",
        "    it cannot be (SIE). Return a seq that covers the write. SWR, SIE, TAGS: managed keys.",
        "LASTSEQ",
        "    Take a marker now and return its seq: it covers every write acknowledged before.",
        "WAITSEQ <seq> <milliseconds>",
        "    Wait until this node has applied the seq. OK, or an error that begins with STALE.",
        "NODES",
        "    The nodes heard on the bus, a map for each. Fields:",
        "    id address state applied_seq bound_ms hit_ratio weight load age_ms disagreement self",
        "NAMESPACES",
        "    The namespaces, a map for each. Fields:",
        "    name prefix mode policy format ttl_ms max_ttl_ms swr_ms sie_ms negative_ttl_ms",
        "    compress_min write items bytes bytes_max hits misses evictions ops writes",
        "    bytes_in bytes_out stale negative dead loads loads_filled loads_failed loads_lost",
        "    behind_refused invalidated refused_ops refused_bytes ops_per_second bytes_per_second",
        "    max_ops max_bytes memory_percent ops_percent bytes_percent",
        "WHATIF [<namespace>]",
        "    The hit ratio of a namespace (default: `default`) as it is and as it would be with",
        "    other memory (times 0.5, 2, 4) and under each policy, as a map. Fields:",
        "    name policy bytes_max requests share hit_ratio simulated at_memory at_policy",
        "    The last two are maps. Ratios are null until there were requests.",
        "HOT [<n>]",
        "    The n keys (10) that clients of this node read most, hottest first, a map for each. Fields:",
        "    key db ns count error per_s error_per_s heat frequency",
        "    Reads fade by half in 60 seconds. It was read `count` times at least, and count + error",
        "    at most; `heat` is what OBJECT FREQ would say of these reads, `frequency` what it says, or",
        "    null where nothing is kept.",
        "DRAIN",
        "    What SIGTERM does: weight 0, not ready, no new clients after drain-delay, what is under way",
        "    is answered, what it has goes to L2, and the node ends with 0. Return OK at once.",
        "FAILOVER [NEXT | ADDRESS <host:port>]",
        "    Move this node to another endpoint of L2. Behind sentinels: ask them for a failover.",
        "SNAPSHOT",
        "    Write what is in L1 to snapshot-dir now, as it is done every snapshot-interval. Return, when",
        "    it is on the disk, a map. Fields:",
        "    file records bytes file_bytes took_ms",
        "INVALIDATE KEY <key> [<key> ...] [<options>]",
        "    Delete keys on L2 and on every node. Return [seq, entries dropped on this node].",
        "INVALIDATE ALL [<options>]",
        "    Empty the L1 of every node; L2 keeps its data. Return as KEY does.",
        "INVALIDATE PREFIX | PATTERN <text> [<text> ...] [<options>]",
        "    Delete what begins with it, or fits it as a glob. Return [seq, keys deleted] when all",
        "    keys of L2 were looked at; INFO Invalidation tells how far it is.",
        "    Options: NS <name>: of this namespace. SOFT: L2 keeps its data and is asked again.",
        "    SYNC <milliseconds>: answer once no live node can serve the old values, or an error",
        "    (STALE: it is done, but some may follow later; with SYNC 0, which does not wait,",
        "    always). DRYRUN: count only; the seq is 0.",
        "INVALIDATE TAG <tag> [<tag> ...] [ANY | ALL] [<options>]",
        "    Values of managed namespaces that have any, or all, of the tags, wherever they are: what",
        "    is in L2 stays there, and is never served again. In these namespaces PREFIX, PATTERN and",
        "    ALL do the same, at once however much they mean. The count is then of the first 2048",
        "    values in the L1 of this node; with DRYRUN of 65536. SOFT: they are stale.",
        "WARM SUBMIT <json> | REGISTER <json> | LIST | STATUS <id> | PAUSE <id> | RESUME <id>",
        "      | CANCEL <id> | SETRATE <id> <keys per second>",
        "    Jobs that bring keys in before they are asked for: CACHE.WARM HELP.",
        "TAGS <key>",
        "    The tags of a managed value.",
        "EXPLAIN <key>",
        "    Why a key is where it is, as a map. Fields:",
        "    key namespace format mode tier state type age_ms ttl_ms stamp_age_ms version",
        "    written_ms_ago load_ms tags why",
        "    invalidated_after_seq invalidated_until_seq invalidated_ms_ago invalidated_by",
    };
    reply_help(call->reply, "CACHE", lines, sizeof(lines) / sizeof(lines[0]));
}
