/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/info.h"

#include "protocol/resp_read.h"
#include "protocol/resp_write.h"
#include "server/call.h"
#include "server/commands.h"
#include "server/conn.h"
#include "server/machine.h"
#include "server/memory_report.h"
#include "server/node.h"
#include "server/own_keys.h"
#include "server/tracking.h"
#include "server/version.h"
#include "server/worker.h"
#include "tiers/tiers.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

void info_line(struct info *info, const char *format, ...)
{
    char line[2048];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(line, sizeof(line) - 2, format, arguments);
    va_end(arguments);
    size_t used = size < 0 ? 0 : (size_t)size < sizeof(line) - 3 ? (size_t)size : sizeof(line) - 3;
    for (size_t i = 0; i < used; i++) { /* paths and reasons come from outside */
        line[i] = line[i] == '\r' || line[i] == '\n' ? ' ' : line[i];
    }
    memcpy(line + used, "\r\n", 2);
    info->failed = info->failed || buf_append(info->text, line, used + 2) != OK;
}

/* --- server ------------------------------------------------------------------------------------------------------ */

static void info_server(struct info *info)
{
    struct utsname machine = {0};
    char executable[1024] = "";
    struct node *node = info->node;
    int64_t up_s = (info->now_ms - node->started_at_ms) / 1000;
    (void)uname(&machine);
    (void)!readlink("/proc/self/exe", executable, sizeof(executable) - 1);
    info_line(info, "redis_version:" REDIS_VERSION);
    info_line(info, "terrace_version:" TERRACE_VERSION);
    info_line(info, "redis_git_sha1:00000000");
    info_line(info, "redis_git_dirty:0");
    info_line(info, "redis_build_id:0");
    info_line(info, "redis_mode:standalone");
    info_line(info, "os:%s %s %s", machine.sysname, machine.release, machine.machine);
    info_line(info, "arch_bits:%zu", sizeof(void *) * 8);
    info_line(info, "monotonic_clock:POSIX clock_gettime");
    info_line(info, "multiplexing_api:epoll");
    info_line(info, "atomicvar_api:c11-builtin");
    info_line(info, "gcc_version:" __VERSION__);
    info_line(info, "process_id:%ld", (long)getpid());
    info_line(info, "process_supervised:no");
    info_line(info, "run_id:%s", node->run_id);
    info_line(info, "tcp_port:%d", node_port(node));
    info_line(info, "server_time_usec:%" PRId64, clock_unix_us());
    info_line(info, "uptime_in_seconds:%" PRId64, up_s);
    info_line(info, "uptime_in_days:%" PRId64, up_s / 86400);
    info_line(info, "hz:10");
    info_line(info, "configured_hz:10");
    info_line(info, "lru_clock:%" PRId64, (info->now_ms / 1000) & 0xffffff);
    info_line(info, "executable:%s", executable);
    (void)pthread_mutex_lock(&node->options_lock); /* a reload frees it */
    info_line(info, "config_file:%s", node->options.file == NULL ? "" : node->options.file);
    (void)pthread_mutex_unlock(&node->options_lock);
    info_line(info, "io_threads_active:0");
    info_line(info, "worker_threads:%u", node->worker_count);
    struct rlimit files = {0};
    (void)getrlimit(RLIMIT_NOFILE, &files);
    info_line(info, "max_open_files:%" PRIu64, (uint64_t)files.rlim_cur);
    info_line(info, "usable_memory:%zu", machine_memory()); /* the cgroup's, or the machine's */
}

static void info_clients(struct info *info)
{
    info_line(info, "connected_clients:%" PRIu64, atomic_load(&info->node->conns_open));
    info_line(info, "cluster_connections:0");
    info_line(info, "maxclients:%" PRId64, atomic_load(&info->node->live.maxclients));
    info_line(info, "client_recent_max_input_buffer:0");
    info_line(info, "client_recent_max_output_buffer:0");
    info_line(info, "blocked_clients:%" PRIu64, atomic_load(&info->node->conns_blocked));
    info_line(info, "tracking_clients:%u", atomic_load(&info->node->tracking->clients));
    info_line(info, "clients_in_timeout_table:0");
    info_line(info, "tls_clients:%" PRIu64, atomic_load(&info->node->tls_open));
    info_line(info, "native_clients:%" PRIu64, atomic_load(&info->node->native_open));
}

/* --- memory ------------------------------------------------------------------------------------------------------ */

static void memory_line(struct info *info, const char *name, size_t bytes)
{
    char human[MEMORY_HUMAN_MAX];
    memory_human(human, bytes);
    info_line(info, "%s:%zu", name, bytes);
    info_line(info, "%s_human:%s", name, human);
}

static double ratio(size_t part, size_t whole)
{
    return whole == 0 ? 0 : (double)part / (double)whole;
}

static const char *policy_name(const struct node *node)
{
    const struct policy *policy = l1_policy(namespaces_default(node->namespaces)->l1);
    return policy_redis_name(policy);
}

static void info_memory_allocator(struct info *info, const struct memory_report *report)
{
    info_line(info, "allocator_frag_ratio:%.2f", ratio(report->active, report->allocated));
    info_line(info, "allocator_frag_bytes:%" PRId64,
              (int64_t)report->active - (int64_t)report->allocated);
    info_line(info, "allocator_rss_ratio:%.2f", ratio(report->resident, report->active));
    info_line(info, "allocator_rss_bytes:%" PRId64,
              (int64_t)report->resident - (int64_t)report->active);
    info_line(info, "rss_overhead_ratio:1.00");
    info_line(info, "rss_overhead_bytes:0");
    info_line(info, "mem_fragmentation_ratio:%.2f", ratio(report->resident, report->allocated));
    info_line(info, "mem_fragmentation_bytes:%" PRId64,
              (int64_t)report->resident - (int64_t)report->allocated);
    info_line(info, "mem_not_counted_for_evict:0");
    info_line(info, "mem_replication_backlog:0");
    info_line(info, "mem_total_replication_buffers:0");
    info_line(info, "mem_clients_slaves:0");
    info_line(info, "mem_clients_normal:%zu", report->clients);
    info_line(info, "mem_cluster_links:0");
    info_line(info, "mem_aof_buffer:0");
    info_line(info, "mem_allocator:arena,libc");
    info_line(info, "active_defrag_running:0");
    info_line(info, "lazyfree_pending_objects:0");
    info_line(info, "lazyfreed_objects:0");
}

/* Who leaves when memory is full, and when: with an L2 its answer, for the data is there (section L1 has the node's own). */
static void info_budget(struct info *info, const struct memory_report *report)
{
    const struct info_of_l2 *l2 = &info->l2;
    if (info->node->tiers == NULL) {
        memory_line(info, "maxmemory", report->max);
        info_line(info, "maxmemory_policy:%s", policy_name(info->node));
    } else {
        uint64_t bytes = 0;
        const bool known = slice_to_u64(l2->maxmemory, &bytes) == OK;
        memory_line(info, "maxmemory", known ? bytes : 0);
        info_line(info, "maxmemory_policy:%.*s", (int)l2->policy.size,
                  l2->policy.size == 0 ? "" : l2->policy.data);
    }
}

static void info_memory(struct info *info)
{
    struct memory_report report;
    memory_report(info->node, &report);
    memory_line(info, "used_memory", report.used);
    memory_line(info, "used_memory_rss", report.resident);
    memory_line(info, "used_memory_peak", report.peak);
    info_line(info, "used_memory_peak_perc:%.2f%%", ratio(report.used, report.peak) * 100);
    info_line(info, "used_memory_overhead:%zu", report.tables);
    info_line(info, "used_memory_startup:0");
    info_line(info, "used_memory_dataset:%zu", report.used - report.tables);
    info_line(info, "used_memory_dataset_perc:%.2f%%",
              ratio(report.used - report.tables, report.used) * 100);
    info_line(info, "allocator_allocated:%zu", report.allocated);
    info_line(info, "allocator_active:%zu", report.active);
    info_line(info, "allocator_resident:%zu", report.resident);
    memory_line(info, "total_system_memory", report.system);
    memory_line(info, "used_memory_lua", 0);
    info_line(info, "used_memory_vm_eval:0");
    info_line(info, "used_memory_scripts_eval:0");
    info_line(info, "number_of_cached_scripts:0");
    info_line(info, "number_of_functions:0");
    info_line(info, "number_of_libraries:0");
    info_line(info, "used_memory_vm_functions:0");
    memory_line(info, "used_memory_vm_total", 0);
    info_line(info, "used_memory_functions:0");
    memory_line(info, "used_memory_scripts", 0);
    info_budget(info, &report);
    info_memory_allocator(info, &report);
}

/* --- what a node has not ----------------------------------------------------------------------------------------- */

static void info_persistence(struct info *info)
{
    static const char *const zeros[] = {
        "loading:0",
        "async_loading:0",
        "current_cow_peak:0",
        "current_cow_size:0",
        "current_cow_size_age:0",
        "current_fork_perc:0.00",
        "current_save_keys_processed:0",
        "current_save_keys_total:0",
    };
    static const char *const rest[] = {
        "rdb_last_bgsave_status:ok",
        "rdb_last_bgsave_time_sec:-1",
        "rdb_current_bgsave_time_sec:-1",
        "rdb_saves:0",
        "rdb_last_cow_size:0",
        "rdb_last_load_keys_expired:0",
        "rdb_last_load_keys_loaded:0",
        "aof_enabled:0",
        "aof_rewrite_in_progress:0",
        "aof_rewrite_scheduled:0",
        "aof_last_rewrite_time_sec:-1",
        "aof_current_rewrite_time_sec:-1",
        "aof_last_bgrewrite_status:ok",
        "aof_rewrites:0",
        "aof_rewrites_consecutive_failures:0",
        "aof_last_write_status:ok",
        "aof_last_cow_size:0",
        "module_fork_in_progress:0",
        "module_fork_last_cow_size:0",
    };
    for (size_t i = 0; i < sizeof(zeros) / sizeof(zeros[0]); i++) {
        info_line(info, "%s", zeros[i]);
    }
    const struct slice dirty =
        info->l2.dirty.size > 0 ? info->l2.dirty : (struct slice)SLICE_LITERAL("0");
    info_line(info, "rdb_changes_since_last_save:%.*s", (int)dirty.size, dirty.data);
    info_line(info, "rdb_bgsave_in_progress:0");
    info_line(info, "rdb_last_save_time:%" PRId64, info->node->started_at_ms / 1000);
    for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++) {
        info_line(info, "%s", rest[i]);
    }
}

static void info_replication(struct info *info)
{
    info_line(info, "role:master");
    info_line(info, "connected_slaves:0");
    info_line(info, "master_failover_state:no-failover");
    info_line(info, "master_replid:%s", info->node->run_id);
    info_line(info, "master_replid2:0000000000000000000000000000000000000000");
    info_line(info, "master_repl_offset:0");
    info_line(info, "second_repl_offset:-1");
    info_line(info, "repl_backlog_active:0");
    info_line(info, "repl_backlog_size:1048576");
    info_line(info, "repl_backlog_first_byte_offset:0");
    info_line(info, "repl_backlog_histlen:0");
}

static void cpu_line(struct info *info, const char *name, struct timeval time)
{
    info_line(info, "%s:%ld.%06ld", name, (long)time.tv_sec, (long)time.tv_usec);
}

static void info_cpu(struct info *info)
{
    struct rusage self = {0};
    struct rusage children = {0};
    (void)getrusage(RUSAGE_SELF, &self);
    (void)getrusage(RUSAGE_CHILDREN, &children);
    cpu_line(info, "used_cpu_sys", self.ru_stime);
    cpu_line(info, "used_cpu_user", self.ru_utime);
    cpu_line(info, "used_cpu_sys_children", children.ru_stime);
    cpu_line(info, "used_cpu_user_children", children.ru_utime);
    /* Every worker is what Redis' main thread is, so that these are the sum, too. */
    cpu_line(info, "used_cpu_sys_main_thread", self.ru_stime);
    cpu_line(info, "used_cpu_user_main_thread", self.ru_utime);
}

static void info_cluster(struct info *info)
{
    info_line(info, "cluster_enabled:0");
}

/* Modules are those of L2. */
static void info_no_modules(struct info *info)
{
    (void)info;
}

/* --- INFO -------------------------------------------------------------------------------------------------------- */

enum info_set {
    SET_DEFAULT = 1,
    SET_ALL = 2,
    SET_EVERYTHING = 4
};

static const struct section {
    const char *name;
    const char *title;
    unsigned sets; /* enum info_set: which words name it, besides its own */
    void (*write)(struct info *info);
} sections[] = {
    {"server", "Server", SET_DEFAULT | SET_ALL | SET_EVERYTHING, info_server},
    {"clients", "Clients", SET_DEFAULT | SET_ALL | SET_EVERYTHING, info_clients},
    {"memory", "Memory", SET_DEFAULT | SET_ALL | SET_EVERYTHING, info_memory},
    {"persistence", "Persistence", SET_DEFAULT | SET_ALL | SET_EVERYTHING, info_persistence},
    {"stats", "Stats", SET_DEFAULT | SET_ALL | SET_EVERYTHING, info_stats},
    {"replication", "Replication", SET_DEFAULT | SET_ALL | SET_EVERYTHING, info_replication},
    {"cpu", "CPU", SET_DEFAULT | SET_ALL | SET_EVERYTHING, info_cpu},
    {"modules", "Modules", SET_DEFAULT | SET_EVERYTHING, info_no_modules},
    {"commandstats", "Commandstats", SET_ALL | SET_EVERYTHING, info_commandstats},
    {"errorstats", "Errorstats", SET_DEFAULT | SET_ALL | SET_EVERYTHING, info_errorstats},
    {"latencystats", "Latencystats", SET_ALL | SET_EVERYTHING, info_latencystats},
    {"cluster", "Cluster", SET_DEFAULT | SET_ALL | SET_EVERYTHING, info_cluster},
    {"keyspace", "Keyspace", SET_DEFAULT | SET_ALL | SET_EVERYTHING, info_keyspace},
    {"l1", "L1", SET_DEFAULT | SET_ALL | SET_EVERYTHING, info_l1},
    {"l2", "L2", SET_DEFAULT | SET_ALL | SET_EVERYTHING, info_l2},
    {"coherence", "Coherence", SET_DEFAULT | SET_ALL | SET_EVERYTHING, info_coherence},
    {"warming", "Warming", SET_DEFAULT | SET_ALL | SET_EVERYTHING, info_warming},
    {"invalidation", "Invalidation", SET_DEFAULT | SET_ALL | SET_EVERYTHING, info_invalidation},
    {"namespaces", "Namespaces", SET_DEFAULT | SET_ALL | SET_EVERYTHING, info_namespaces},
};

enum {
    SECTION_COUNT = sizeof(sections) / sizeof(sections[0])
};

uint32_t info_sections(const struct slice *words, size_t count)
{
    static const struct {
        const char *word;
        enum info_set set;
    } named[] = {{"default", SET_DEFAULT}, {"all", SET_ALL}, {"everything", SET_EVERYTHING}};
    uint32_t wanted = 0;
    unsigned sets = count == 0 ? SET_DEFAULT : 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < sizeof(named) / sizeof(named[0]); j++) {
            sets |= slice_is_nocase(words[i], named[j].word) ? (unsigned)named[j].set : 0;
        }
        for (unsigned j = 0; j < SECTION_COUNT; j++) {
            wanted |= slice_is_nocase(words[i], sections[j].name) ? 1u << j : 0;
        }
    }
    for (unsigned j = 0; j < SECTION_COUNT; j++) {
        wanted |= (sections[j].sets & sets) != 0 ? 1u << j : 0;
    }
    return wanted;
}

enum status info_write(struct node *node, uint32_t wanted, const struct info_of_l2 *l2,
                       struct buf *text)
{
    struct info info = {
        .node = node, .now_ms = clock_now_ms(&node->clock), .text = text, .l2 = *l2};
    totals_since_reset(node, &info.totals);
    for (unsigned i = 0; i < SECTION_COUNT; i++) {
        if ((wanted & 1u << i) != 0) {
            if (text->size > 0) {
                info_line(&info, "%s", "");
            }
            info_line(&info, "# %s", sections[i].title);
            sections[i].write(&info);
        }
    }
    return info.failed ? NO_MEMORY : OK;
}

/* --- the data of L2 ----------------------------------------------------------------------------------------------- */

/* INFO keyspace as L2 tells it, less the keys that the nodes keep there themselves; maxmemory and its policy; how much was
 * changed, the nodes' beats with it. */
static const char data_script[] =
    "local t=string.gsub(redis.call('INFO','keyspace'),'^# Keyspace\\r\\n','') "
    "local m=redis.call('INFO','memory') "
    "redis.call('SELECT',ARGV[1]) " OWN_KEYS_LUA "local ours=own() "
    "t=string.gsub(t,'db'..ARGV[1]..':keys=(%d+)([^\\r]*\\r\\n)',function(n,rest) n=tonumber(n)-ours "
    "if n<=0 then return '' end return 'db'..ARGV[1]..':keys='..n..rest end) "
    "return {t,string.match(m,'maxmemory:(%d+)') or '',string.match(m,'maxmemory_policy:([%w-]+)') or '',"
    "string.match(redis.call('INFO','persistence'),'rdb_changes_since_last_save:(%d+)') or ''}";

enum status info_data_request(const struct node *node, struct buf *to)
{
    char db[8];
    (void)snprintf(db, sizeof(db), "%u", tiers_coherence_db(node->tiers));
    const struct slice words[] = {SLICE_LITERAL("EVAL"), SLICE_LITERAL(data_script),
                                  SLICE_LITERAL("0"), slice_of(db)};
    return resp_append_request(to, sizeof(words) / sizeof(words[0]), words);
}

static struct slice next_text(struct reply_cursor *cursor)
{
    struct reply_element element;
    return reply_next(cursor, &element) == OK && element.type == REPLY_BULK ? element.text
                                                                            : (struct slice){0};
}

void info_data_read(struct slice reply, struct info_of_l2 *ret)
{
    struct reply_cursor cursor = {reply};
    struct reply_element list;
    *ret = (struct info_of_l2){0};
    if (reply_next(&cursor, &list) == OK && list.type == REPLY_ARRAY) {
        ret->keyspace = next_text(&cursor);
        ret->maxmemory = next_text(&cursor);
        ret->policy = next_text(&cursor);
        ret->dirty = next_text(&cursor);
    }
}

bool info_asks_l2(const struct node *node, uint32_t wanted)
{
    bool asks = false;
    for (unsigned i = 0; i < SECTION_COUNT && node->tiers != NULL; i++) {
        asks = asks || ((wanted & 1u << i) != 0 && (sections[i].write == info_keyspace ||
                                                    sections[i].write == info_persistence ||
                                                    sections[i].write == info_memory));
    }
    return asks;
}

/* --- the command -------------------------------------------------------------------------------------------------- */

struct info_wait {
    struct tiers_relay relay;
    struct answer *answer;
    uint32_t wanted;
};

static void info_answer(struct node *node, struct reply *reply, uint32_t wanted,
                        const struct info_of_l2 *l2)
{
    struct buf text = {0};
    if (info_write(node, wanted, l2, &text) == OK) {
        reply_verbatim(reply, buf_slice(&text));
    } else {
        reply_out_of_memory(reply);
    }
    buf_done(&text);
}

static void info_on_data(struct tiers_relay *relay, enum status status, struct slice bytes)
{
    struct info_wait *wait = (struct info_wait *)(void *)relay;
    struct answer *answer = wait->answer;
    struct info_of_l2 l2 = {0};
    if (status == OK) {
        info_data_read(bytes, &l2);
    }
    info_answer(answer->worker->node, &answer->reply, wait->wanted, &l2);
    free(wait);
    answer_land(answer);
}

/* Whether L2 was asked, so that the answer comes later. */
static bool info_ask_l2(struct call *call, uint32_t wanted)
{
    struct buf request = {0};
    struct info_wait *wait = calloc(1, sizeof(*wait));
    bool asked = false;
    if (wait != NULL && info_data_request(call->node, &request) == OK) {
        wait->relay.on_reply = info_on_data;
        wait->wanted = wanted;
        asked = tiers_relay(call->worker->window, &wait->relay, call->conn->session.proto,
                            buf_slice(&request)) == OK;
    }
    buf_done(&request);
    if (!asked) {
        free(wait);
        return false;
    }
    wait->answer = call_defer(call, WAIT_LOCAL);
    return true;
}

void cmd_info(struct call *call)
{
    const uint32_t wanted = info_sections(call->argv + 1, call->argc - 1);
    if (!info_asks_l2(call->node, wanted) || !info_ask_l2(call, wanted)) {
        info_answer(call->node, call->reply, wanted, &(struct info_of_l2){0});
    }
}
