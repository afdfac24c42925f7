/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/managed.h"

#include "server/acl_command.h"
#include "server/commands.h"
#include "server/conn.h"
#include "server/faults.h"
#include "server/node.h"
#include "server/set_options.h"
#include "server/transaction.h"

#include <stdio.h>

#define MANAGED(plain_, handler_, kind_) \
    {.plain = (plain_), .run = (handler_), .kind = MANAGED_##kind_},
static const struct managed_command table[] = {
#include "server/managed.def"
};
#undef MANAGED

static const struct managed_command *find(const struct command *command)
{
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]) && command->run != NULL; i++) {
        if (table[i].plain == command->run) {
            return &table[i];
        }
    }
    return NULL;
}

/* --- whose keys they are -------------------------------------------------------------------------------------------- */

struct survey {
    const struct call *call;
    unsigned managed;
    unsigned plain;
    uint32_t managed_at; /* the last of them */
    uint32_t plain_at;
    uint32_t too_long_at; /* 0: none is */
};

static void look_at(struct survey *survey, uint32_t i)
{
    const struct ns_key key = call_key(survey->call, i);
    const bool managed = key.ns->managed;
    survey->managed += managed;
    survey->plain += !managed;
    survey->managed_at = managed ? i : survey->managed_at;
    survey->plain_at = managed ? survey->plain_at : i;
    survey->too_long_at = managed && key.at.bytes.size >= LIMIT_L1_KEY ? i : survey->too_long_at;
}

static bool on_key(void *arg, struct acl_key key)
{
    if (key.at != 0) {
        look_at(arg, key.at);
    }
    return true;
}

/* The keys of a command that names more than one, or says only with its words where they are. */
static void look_at_all(struct survey *survey)
{
    const struct call *call = survey->call;
    const unsigned id =
        acl_command_of(call->argv[0], call->argc > 1 ? call->argv[1] : (struct slice){"", 0});
    struct key_range range;
    if (id < acl_command_count()) {
        acl_command_keys(acl_command_at(id), call->argv, call->argc, on_key, survey);
        return;
    }
    if (call_key_range(call, &range)) { /* known to L2 only */
        for (uint32_t i = range.first; i <= range.last; i += range.step) {
            look_at(survey, i);
        }
    }
}

static struct survey survey_of(const struct call *call, const struct command *command)
{
    struct survey survey = {.call = call};
    const bool is_movable = (command->flags & COMMAND_MOVABLE_KEYS) != 0;
    if (is_movable || command->first_key != command->last_key || command->run == NULL) {
        look_at_all(&survey);
    } else if (command->first_key > 0 && (uint32_t)command->first_key < call->argc) {
        look_at(&survey, (uint32_t)command->first_key);
    } else if (command->run == cmd_cache_invalidate) {
        look_at_all(&survey);
    }
    return survey;
}

/* --- the fork ------------------------------------------------------------------------------------------------------- */

/* The command, or that it stands in a block, is no good for this key. */
static bool refuse_command(struct call *call, const struct survey *survey, bool in_block)
{
    char name[FAULT_ROOM];
    char advice[160];
    (void)snprintf(advice, sizeof(advice),
                   in_block
                       ? "it cannot be in a transaction: send '%s' without MULTI"
                       : "it is a cached string: not for '%s', but for GET, SET and their kin, "
                         "and CACHE.*",
                   fault_shown(call->argv[0], name));
    fault_key(call->reply, call->argv[survey->managed_at], "ERR key belongs to a managed namespace",
              advice);
    return false;
}

void managed_refuse_mixture(const struct call *call, struct slice managed, struct slice plain)
{
    char key[FAULT_ROOM];
    char advice[FAULT_ROOM + 128];
    (void)snprintf(advice, sizeof(advice), "key '%s' is of plain '%s': name them in two commands",
                   fault_shown(plain, key), namespace_of(call->node->namespaces, plain)->name);
    fault_key(call->reply, managed, "ERR keys of managed and plain namespaces in one command",
              advice);
}

static bool refuse_long(struct call *call, const struct survey *survey)
{
    fault_key(call->reply, call->argv[survey->too_long_at],
              "ERR a key of 64 KiB or more cannot be in a managed namespace",
              "hash what makes it so long");
    return false;
}

void managed_refuse_unsure(struct reply *reply, struct slice key)
{
    fault_key(reply, key, "STALE it is not known whether the value was invalidated",
              "the node asks L2 what it has missed: ask again");
}

bool managed_admits(struct call *call)
{
    const struct survey survey = survey_of(call, call->command);
    if (survey.managed == 0) {
        return true;
    }
    const struct managed_command *managed = find(call->command);
    if (managed == NULL || transaction_would_take(call)) {
        return refuse_command(call, &survey, managed != NULL);
    }
    if (managed->kind == MANAGED_ITSELF) {
        return true;
    }
    if (survey.plain > 0) {
        managed_refuse_mixture(call, call->argv[survey.managed_at], call->argv[survey.plain_at]);
        return false;
    }
    if (survey.too_long_at > 0) {
        return refuse_long(call, &survey);
    }
    call->managed = managed;
    return true;
}

/* Who goes to L2 as it was written, or will be seen to by somebody who knows (EXEC). */
static bool plain_must_hold(const struct call *call, const struct command *command)
{
    const bool goes_to_l2 = command == NULL || command->road == ROAD_L2 || command->run == cmd_exec;
    return goes_to_l2 && call->conn->managed_waiting > 0;
}

/* SET does with some of its words only. */
static bool decides(const struct call *call, const struct managed_command *managed)
{
    return managed->kind == MANAGED_DECIDES ||
           (managed->plain == cmd_set && set_options_decide(call));
}

bool managed_must_hold(const struct call *call, const struct command *command)
{
    const struct conn *conn = call->conn;
    const struct managed_command *managed = command == NULL ? NULL : find(command);
    if (managed == NULL || managed->kind == MANAGED_ITSELF ||
        survey_of(call, command).managed == 0) {
        return plain_must_hold(call, command);
    }
    const bool reads = managed->kind == MANAGED_READS || decides(call, managed);
    if (reads && (conn->writes_waiting > 0 || call_keys_are_asked(call))) {
        return true;
    }
    const bool writes = managed->kind != MANAGED_READS;
    return writes && (conn->foreign_waiting > 0 ||
                      (conn->session.proto != 2 && conn->writes_waiting > conn->managed_waiting));
}
