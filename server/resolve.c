/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/resolve.h"

#include "server/blocking.h"
#include "server/commands.h"
#include "server/conn.h"
#include "server/learned.h"
#include "server/module_waits.h"
#include "server/node.h"
#include "server/relay.h"
#include "server/worker.h"
#include "tiers/l2_commands.h"
#include "tiers/tiers.h"

#include <stdio.h>
#include <string.h>

const char error_noauth[] = "NOAUTH Authentication required.";

/* As Redis: the name and the arguments, each cut so that the list stays within 128 bytes. */
static void reply_unknown_command(struct call *call)
{
    char args[256] = "";
    size_t used = 0;
    for (uint32_t i = 1; i < call->argc && used < 128; i++) {
        int width = (int)(128 - used);
        int size = snprintf(args + used, sizeof(args) - used, "'%.*s' ",
                            call->argv[i].size < (size_t)width ? (int)call->argv[i].size : width,
                            call->argv[i].data);
        used += size > 0 ? (size_t)size : 0;
    }
    struct slice name = call->argv[0];
    reply_errorf(call->reply, "ERR unknown command '%.*s', with args beginning with: %s",
                 name.size < 128 ? (int)name.size : 128, name.data, args);
}

static void reply_unknown_subcommand(struct call *call, const char *container)
{
    char upper[32];
    size_t i = 0;
    for (; container[i] != '\0' && i < sizeof(upper) - 1; i++) {
        upper[i] = (char)(container[i] >= 'a' && container[i] <= 'z' ? container[i] - 'a' + 'A'
                                                                     : container[i]);
    }
    upper[i] = '\0';
    int width = call->argv[1].size < 128 ? (int)call->argv[1].size : 128;
    reply_errorf(call->reply, "ERR unknown subcommand '%.*s'. Try %s HELP.", width,
                 call->argv[1].data, upper);
}

/* A command that only L2 knows, as a command of ours. */
static struct command command_of_l2(const struct l2_command *l2, const struct call *call)
{
    const bool may_read = !l2->module && l2->name[0] == 'x';
    const bool waits = (l2->blocking && (!may_read || blocking_asks(call))) ||
                       (l2->module && waits_named(&call->node->waits, l2->name));
    struct command command = {
        .name = l2->name,
        .full_name = l2->name,
        .arity = l2->arity,
        .flags = (l2->readonly ? COMMAND_READONLY : COMMAND_WRITE) |
                 (l2->movable_keys ? COMMAND_MOVABLE_KEYS : 0) | (l2->module ? COMMAND_MODULE : 0) |
                 (waits ? COMMAND_BLOCKING : 0),
        .first_key = l2->first_key,
        .last_key = l2->last_key,
        .key_step = l2->key_step,
        .road = l2->pubsub ? ROAD_LATER : ROAD_L2,
        .index = learned_index(call->node->learned, l2->name),
    };
    if (waits || blocking_is_wait(&command)) {
        command.road = ROAD_LINE;
    }
    return command;
}

/* Not in our table. With an L2 its COMMAND decides. A browser that was talked into sending a form here is hung up on
 * before its body can be taken for commands, as Redis does. */
bool resolve_at_l2(struct call *call, struct command *room)
{
    if (slice_is_nocase(call->argv[0], "post") || slice_is_nocase(call->argv[0], "host:")) {
        metrics_count(call->worker->metrics, M_PROTOCOL_ERRORS);
        conn_close(call->conn);
        return false;
    }
    if (call->hidden) {
        reply_unknown_command(call);
        return false;
    }
    const struct tiers *tiers = call->node->tiers;
    const struct l2_commands *known = tiers == NULL ? NULL : tiers_commands(tiers);
    if (tiers != NULL && known == NULL) {
        if (call->conn->session.authenticated) {
            relay_refuse(call->reply, call->worker, L2_DOWN);
        } else {
            reply_error(call->reply, error_noauth);
        }
        return false;
    }
    const struct l2_command *l2 = known == NULL ? NULL : l2_commands_find(known, call->argv[0]);
    if (l2 == NULL || memchr(call->argv[0].data, '|', call->argv[0].size) != NULL) {
        reply_unknown_command(call);
        return false;
    }
    if (l2->has_subcommands && call->argc >= 2) {
        const struct l2_command *sub = l2_commands_find_sub(known, l2, call->argv[1]);
        if (sub == NULL) {
            reply_unknown_subcommand(call, l2->name);
            return false;
        }
        l2 = sub;
    }
    *room = command_of_l2(l2, call);
    call->command = room;
    return true;
}

/* A container steps down to its subcommand. */
bool resolve_subcommand(struct call *call)
{
    const struct command *container = call->command;
    call->command = command_find_sub(container, call->argv[1]);
    if (call->command != NULL) {
        return true;
    }
    reply_unknown_subcommand(call, container->name);
    return false;
}

/* A command that only L2 knows, if it does. PFCOUNT is the one read among them that writes: what it counted, into its key. */
bool resolve_writes_l2(const struct call *call)
{
    const struct l2_commands *known =
        call->node->tiers == NULL ? NULL : tiers_commands(call->node->tiers);
    const struct l2_command *l2 = known == NULL ? NULL : l2_commands_find(known, call->argv[0]);
    if (l2 != NULL && l2->has_subcommands && call->argc >= 2) {
        l2 = l2_commands_find_sub(known, l2, call->argv[1]);
    }
    return l2 != NULL && (!l2->readonly || strcmp(l2->name, "pfcount") == 0);
}
