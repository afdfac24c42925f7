/* SPDX-License-Identifier: BSD-3-Clause */
/* ACL DRYRUN and ACL LOG. */
#include "server/acl.h"
#include "server/acl_log.h"
#include "server/auth.h"
#include "server/call.h"
#include "server/commands.h"
#include "server/node.h"
#include "server/subcommand.h"
#include "server/worker.h"

#include <stdio.h>

enum {
    SHOWN_MAX = 900, /* bytes of a client's word in an error */
    DEFAULT_COUNT = 10
};

static int shown(struct slice text)
{
    return text.size < SHOWN_MAX ? (int)text.size : SHOWN_MAX;
}

/* --- DRYRUN ----------------------------------------------------------------------------------------------------- */

static void reply_denial(struct call *call, const struct acl_denial *denial, const char *command)
{
    struct buf text = {0};
    const struct slice word = call->argv[3 + denial->at];
    enum status status = OK;
    if (denial->verdict == ACL_DENIED_COMMAND) {
        status = buf_printf(&text, "This user has no permissions to run the '%s' command", command);
    } else {
        status =
            buf_printf(&text, "This user has no permissions to access the '%.*s' %s", shown(word),
                       word.data, denial->verdict == ACL_DENIED_KEY ? "key" : "channel");
    }
    if (status == OK) {
        reply_bulk(call->reply, buf_slice(&text));
    } else {
        reply_out_of_memory(call->reply);
    }
    buf_done(&text);
}

void cmd_acl_dryrun(struct call *call)
{
    const struct slice name = call->argv[2];
    const struct acl_user *user = acl_find(call->worker->users, name);
    if (user == NULL) {
        reply_errorf(call->reply, "ERR User '%.*s' not found", shown(name), name.data);
        return;
    }
    struct auth_dry_run run;
    if (!auth_dry_run(call, user, call->argv + 3, call->argc - 3, &run)) {
        reply_errorf(call->reply, "ERR Command '%.*s' not found", shown(call->argv[3]),
                     call->argv[3].data);
    } else if (!run.arity_fits) {
        reply_wrong_arity(call->reply, run.name);
    } else if (run.denial.verdict == ACL_OK) {
        reply_ok(call->reply);
    } else {
        reply_denial(call, &run.denial, run.name);
    }
}

/* --- LOG -------------------------------------------------------------------------------------------------------- */

static void log_begin(void *arg, size_t count)
{
    struct call *call = arg;
    reply_array(call->reply, count);
}

static void log_entry(void *arg, const struct acl_event *event)
{
    static const char *const reasons[] = {"unknown", "command", "key", "channel", "auth"};
    const struct call *call = arg;
    struct reply *reply = call->reply;
    char age[32];
    const int size =
        snprintf(age, sizeof(age), "%.17g", (double)(call->now_ms - event->at_ms) / 1000);
    reply_map(reply, 7);
    reply_pair_integer(reply, "count", (int64_t)event->count);
    reply_pair_text(reply, "reason", reasons[event->reason]);
    reply_pair_text(reply, "context", event->in_multi ? "multi" : "toplevel");
    reply_bulk_text(reply, "object");
    reply_bulk(reply, event->object);
    reply_bulk_text(reply, "username");
    reply_bulk(reply, event->username);
    reply_bulk_text(reply, "age-seconds");
    reply_double_text(reply, (struct slice){age, (size_t)size});
    reply_bulk_text(reply, "client-info");
    reply_bulk(reply, event->client);
}

void cmd_acl_log(struct call *call)
{
    struct acl_log *log = acl_log_of(call->node->acl);
    int64_t count = DEFAULT_COUNT;
    if (call->argc > 3) {
        subcommand_error(call, "ACL");
        return;
    }
    if (call->argc == 3 && slice_is_nocase(call->argv[2], "reset")) {
        acl_log_reset(log);
        reply_ok(call->reply);
        return;
    }
    if (call->argc == 3 && slice_to_i64(call->argv[2], &count) != OK) {
        reply_not_integer(call->reply);
        return;
    }
    const struct acl_log_visitor visitor = {.begin = log_begin, .each = log_entry, .arg = call};
    acl_log_visit(log, count > 0 ? (size_t)count : 0, &visitor);
}
