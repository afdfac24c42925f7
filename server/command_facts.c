/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/command_facts.h"

#include "server/acl_command.h"

#include <string.h>

#define MANY   "request_policy:multi_shard"
#define SHARDS "request_policy:all_shards"
#define NODES  "request_policy:all_nodes"
#define SUM    "response_policy:agg_sum"
#define ALL_OK "response_policy:all_succeeded"
#define OWN    "response_policy:special"
#define VARIES "nondeterministic_output"
#define WORST  "We cannot tell how the keys will be used so we assume the worst,"

static const struct {
    const char *full_name;
    const char *tips;
    const char *key_flags; /* NULL: as usual */
    const char *second_key_flags;
    const char *key_note;
} exceptions[] = {
    {.full_name = "set",
     .tips = "",
     .key_flags = "RW access update variable_flags",
     .key_note = "RW and ACCESS due to the optional `GET` argument"},
    {"mget", MANY, NULL, NULL, NULL},
    {"strlen", "", "RO", NULL, NULL},
    {"setnx", "", "OW insert", NULL, NULL},
    {"setex", "", "OW update", NULL, NULL},
    {"psetex", "", "OW update", NULL, NULL},
    {"getdel", "", "RW access delete", NULL, NULL},
    {.full_name = "getex", .tips = "", .key_note = "RW and UPDATE because it changes the TTL"},
    {"mset", MANY " " ALL_OK, "OW update", NULL, NULL},
    {"msetnx", MANY " response_policy:agg_min", "OW insert", NULL, NULL},
    {"append", "", "RW insert", NULL, NULL},
    {"setrange", "", "RW update", NULL, NULL},
    {"hgetall", "nondeterministic_output_order", NULL, NULL, NULL},
    {"hexists", "", "RO", NULL, NULL},
    {"hlen", "", "RO", NULL, NULL},
    {"hstrlen", "", "RO", NULL, NULL},
    {"hkeys", "nondeterministic_output_order", NULL, NULL, NULL},
    {"hvals", "nondeterministic_output_order", NULL, NULL, NULL},
    {"hscan", VARIES, NULL, NULL, NULL},
    {"hrandfield", VARIES, NULL, NULL, NULL},
    {"hset", "", "RW update", NULL, NULL},
    {"hmset", "", "RW update", NULL, NULL},
    {"hsetnx", "", "RW insert", NULL, NULL},
    {"hdel", "", "RW delete", NULL, NULL},
    {"exists", MANY " " SUM, "RO", NULL, NULL},
    {"ttl", VARIES, NULL, NULL, NULL},
    {"pttl", VARIES, NULL, NULL, NULL},
    {"type", "", "RO", NULL, NULL},
    {"del", MANY " " SUM, "RM delete", NULL, NULL},
    {"unlink", MANY " " SUM, "RM delete", NULL, NULL},
    {"touch", MANY " " SUM, "RO", NULL, NULL},
    {"expire", "", "RW update", NULL, NULL},
    {"pexpire", "", "RW update", NULL, NULL},
    {"expireat", "", "RW update", NULL, NULL},
    {"pexpireat", "", "RW update", NULL, NULL},
    {"persist", "", "RW update", NULL, NULL},
    {"keys", SHARDS " nondeterministic_output_order", NULL, NULL, NULL},
    {"scan", VARIES " request_policy:special", NULL, NULL, NULL},
    {"randomkey", SHARDS " " VARIES, NULL, NULL, NULL},
    {"rename", "", "RW access delete", "OW update", NULL},
    {"renamenx", "", "RW access delete", "OW insert", NULL},
    {"copy", "", "RO access", "OW update", NULL},
    {"dbsize", SHARDS " " SUM, NULL, NULL, NULL},
    {"flushdb", SHARDS " " ALL_OK, NULL, NULL, NULL},
    {"flushall", SHARDS " " ALL_OK, NULL, NULL, NULL},
    {"object|encoding", VARIES, "RO", NULL, NULL},
    {"object|freq", VARIES, "RO", NULL, NULL},
    {"object|idletime", VARIES, "RO", NULL, NULL},
    {"object|refcount", VARIES, "RO", NULL, NULL},
    {"memory|usage", "", "RO", NULL, NULL},
    {"memory|doctor", VARIES " " SHARDS " " OWN, NULL, NULL, NULL},
    {"memory|stats", VARIES " " SHARDS " " OWN, NULL, NULL, NULL},
    {"memory|purge", SHARDS " " ALL_OK, NULL, NULL, NULL},
    {"memory|malloc-stats", VARIES " " SHARDS " " OWN, NULL, NULL, NULL},
    {"ping", SHARDS " " ALL_OK, NULL, NULL, NULL},
    {"client|info", VARIES, NULL, NULL, NULL},
    {"client|list", VARIES, NULL, NULL, NULL},
    {"command", "nondeterministic_output_order", NULL, NULL, NULL},
    {"command|docs", "nondeterministic_output_order", NULL, NULL, NULL},
    {"command|info", "nondeterministic_output_order", NULL, NULL, NULL},
    {"command|list", "nondeterministic_output_order", NULL, NULL, NULL},
    {"config|set", NODES " " ALL_OK, NULL, NULL, NULL},
    {"info", VARIES " " SHARDS " " OWN, NULL, NULL, NULL},
    {"time", VARIES, NULL, NULL, NULL},
    {"slowlog|get", NODES " " VARIES, NULL, NULL, NULL},
    {"slowlog|len", NODES " " SUM " " VARIES, NULL, NULL, NULL},
    {"slowlog|reset", NODES " " ALL_OK, NULL, NULL, NULL},
    {"latency|latest", VARIES " " NODES " " OWN, NULL, NULL, NULL},
    {"latency|history", VARIES " " NODES " " OWN, NULL, NULL, NULL},
    {"latency|reset", NODES " " ALL_OK, NULL, NULL, NULL},
    {"latency|graph", VARIES " " NODES " " OWN, NULL, NULL, NULL},
    {"latency|histogram", VARIES " " NODES " " OWN, NULL, NULL, NULL},
    {"latency|doctor", VARIES " " NODES " " OWN, NULL, NULL, NULL},
    {"script|exists", "request_policy:all_shards response_policy:agg_logical_and", NULL, NULL,
     NULL},
    {"script|flush", NODES " " ALL_OK, NULL, NULL, NULL},
    {"script|load", NODES " " ALL_OK, NULL, NULL, NULL},
    {"script|kill", "request_policy:all_shards response_policy:one_succeeded", NULL, NULL, NULL},
    {"eval", "", NULL, NULL, WORST " RW and UPDATE"},
    {"evalsha", "", NULL, NULL, NULL},
    {"fcall", "", NULL, NULL, WORST " RW and UPDATE"},
    {"fcall_ro", "", NULL, NULL, WORST " RO and ACCESS"},
    {"function|load", SHARDS " " ALL_OK, NULL, NULL, NULL},
    {"function|delete", SHARDS " " ALL_OK, NULL, NULL, NULL},
    {"function|flush", SHARDS " " ALL_OK, NULL, NULL, NULL},
    {"function|list", "nondeterministic_output_order", NULL, NULL, NULL},
    {"function|stats", "nondeterministic_output " SHARDS " " OWN, NULL, NULL, NULL},
    {"function|kill", "request_policy:all_shards response_policy:one_succeeded", NULL, NULL, NULL},
    {"function|restore", SHARDS " " ALL_OK, NULL, NULL, NULL},
};

struct command_facts command_facts(const struct command *command)
{
    struct command_facts facts = {
        .key_flags = (command->flags & COMMAND_READONLY) != 0 ? "RO access" : "RW access update",
        .tips = ""};
    for (size_t i = 0; i < sizeof(exceptions) / sizeof(exceptions[0]); i++) {
        if (strcmp(exceptions[i].full_name, command->full_name) != 0) {
            continue;
        }
        facts.tips = exceptions[i].tips;
        facts.second_key_flags = exceptions[i].second_key_flags;
        facts.key_note = exceptions[i].key_note;
        if (exceptions[i].key_flags != NULL) {
            facts.key_flags = exceptions[i].key_flags;
        }
        break;
    }
    return facts;
}

uint32_t command_categories(const struct command *command)
{
    const unsigned id = acl_command_find(slice_of(command->full_name));
    return id < acl_command_count() ? acl_command_at(id)->categories : 0;
}

const struct command *command_find_full(struct slice full_name)
{
    const char *bar = full_name.size > 0 ? memchr(full_name.data, '|', full_name.size) : NULL;
    if (bar == NULL) {
        return command_find(full_name);
    }
    const size_t size = (size_t)(bar - full_name.data);
    const struct command *container = command_find((struct slice){full_name.data, size});
    const struct slice name = {bar + 1, full_name.size - size - 1};
    return container != NULL ? command_find_sub(container, name) : NULL;
}

bool command_is_listed(const struct command *command)
{
    return command->road != ROAD_LATER && command->road != ROAD_NEVER;
}
