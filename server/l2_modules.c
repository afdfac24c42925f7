/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/l2_modules.h"

#include "server/node.h"
#include "tiers/base/list.h"
#include "tiers/l2_commands.h"
#include "tiers/tiers.h"

#include <stdlib.h>

enum {
    LOOK_MS = 1000
};

/* One question of each kind at a time. */
struct l2_modules {
    struct node *node;
    struct link *control; /* that was asked last */
    struct link_request look;
    struct link_request table;
    bool looking;
    bool asking;
    bool is_stale; /* the table must be asked for (again) */
    _Atomic bool learned;
    int64_t looked_ms;
    bool has_seen;
    struct buf seen; /* the modules, as L2 described them in front of the table */
};

static void modules_on_table(struct link_request *request, enum status status, struct slice reply)
{
    struct l2_modules *modules = LIST_ENTRY(request, struct l2_modules, table);
    struct l2_commands *commands = NULL;
    modules->asking = false;
    if (status == OK && l2_commands_read(reply, &commands) == OK) {
        tiers_learn_commands(modules->node->tiers, commands);
    } else if (status == OK) {
        log_write(&modules->node->log, LOG_WARNING, "l2_commands_unreadable",
                  "the reply to COMMAND is not a table: only built-in commands are relayed");
    } else {
        modules->is_stale = true;
    }
    if (status == OK) {
        atomic_store(&modules->learned, true); /* before, what only L2 knows would be refused */
    }
}

static void modules_ask(struct l2_modules *modules)
{
    if (!modules->asking) {
        modules->table = (struct link_request){.on_reply = modules_on_table};
        modules->asking = link_ask(modules->control, &modules->table, -1,
                                   SLICE_LITERAL("*1\r\n$7\r\nCOMMAND\r\n")) == OK;
        modules->is_stale = !modules->asking;
    }
}

static void modules_on_look(struct link_request *request, enum status status, struct slice reply)
{
    struct l2_modules *modules = LIST_ENTRY(request, struct l2_modules, look);
    modules->looking = false;
    if (status != OK || slice_equal(reply, buf_slice(&modules->seen))) {
        return;
    }
    modules->is_stale = modules->is_stale || modules->has_seen;
    modules->seen.size = 0;
    modules->has_seen = buf_append_slice(&modules->seen, reply) == OK;
}

static void modules_look(struct l2_modules *modules, int64_t now_ms)
{
    if (!modules->looking) {
        modules->looked_ms = now_ms;
        modules->look = (struct link_request){.on_reply = modules_on_look};
        modules->looking = link_ask(modules->control, &modules->look, -1,
                                    SLICE_LITERAL("*2\r\n$4\r\nINFO\r\n$7\r\nmodules\r\n")) == OK;
    }
}

struct l2_modules *l2_modules_new(struct node *node)
{
    struct l2_modules *modules = calloc(1, sizeof(*modules));
    if (modules != NULL) {
        modules->node = node;
    }
    return modules;
}

void l2_modules_free(struct l2_modules *modules)
{
    if (modules != NULL) {
        buf_done(&modules->seen);
        free(modules);
    }
}

/* The look first: what is loaded behind it differs from what was seen. */
void l2_modules_on_up(struct l2_modules *modules, struct link *control, int64_t now_ms)
{
    modules->control = control;
    modules->has_seen = false;
    modules->seen.size = 0;
    modules_look(modules, now_ms);
    modules_ask(modules);
}

void l2_modules_tick(struct l2_modules *modules, struct link *control, int64_t now_ms)
{
    if (link_state(control) != LINK_READY) {
        return;
    }
    modules->control = control;
    if (modules->is_stale) {
        modules_ask(modules);
    }
    if (now_ms - modules->looked_ms >= LOOK_MS) {
        modules_look(modules, now_ms);
    }
}

bool l2_modules_learned(const struct l2_modules *modules)
{
    return atomic_load(&modules->learned);
}
