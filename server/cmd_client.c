/* SPDX-License-Identifier: BSD-3-Clause */
/* CLIENT, the subcommands that need one connection only. LIST and KILL: cmd_client_tour.c. */
#include "server/client_name.h"
#include "server/cmd_connection.h"
#include "server/commands.h"
#include "server/conn.h"
#include "server/node.h"
#include "server/subcommand.h"
#include "server/worker.h"

#include <stdlib.h>

void cmd_client_id(struct call *call)
{
    reply_integer(call->reply, (int64_t)call->conn->session.id);
}

void cmd_client_info(struct call *call)
{
    struct buf line = {0};
    if (conn_describe(call->conn, call, call->now_ms, &line) == OK && buf_append(&line, "\n", 1) == OK) {
        reply_verbatim(call->reply, buf_slice(&line));
    } else {
        reply_out_of_memory(call->reply);
    }
    buf_done(&line);
}

void cmd_client_getname(struct call *call)
{
    const struct buf *name = &call->conn->session.name;
    if (name->size == 0) {
        reply_null(call->reply);
    } else {
        reply_bulk(call->reply, buf_slice(name));
    }
}

void cmd_client_setname(struct call *call)
{
    if (!client_name_is_valid(call->argv[2])) {
        reply_error(call->reply, client_name_error);
    } else if (client_text_set(&call->conn->session.name, call->argv[2]) != OK) {
        reply_out_of_memory(call->reply);
    } else {
        reply_ok(call->reply);
    }
}

/* Of Redis 7.2: client libraries send it with every connection. */
void cmd_client_setinfo(struct call *call)
{
    struct session *session = &call->conn->session;
    bool is_name = slice_is_nocase(call->argv[2], "lib-name");
    if (!is_name && !slice_is_nocase(call->argv[2], "lib-ver")) {
        int shown = call->argv[2].size > 900 ? 900 : (int)call->argv[2].size;
        reply_errorf(call->reply, "ERR Unrecognized option '%.*s'", shown, call->argv[2].data);
    } else if (!client_name_is_valid(call->argv[3])) {
        reply_errorf(call->reply, "ERR %s cannot contain spaces, newlines or special characters.",
                     is_name ? "lib-name" : "lib-ver");
    } else if (client_text_set(is_name ? &session->lib_name : &session->lib_ver, call->argv[3]) !=
               OK) {
        reply_out_of_memory(call->reply);
    } else {
        reply_ok(call->reply);
    }
}

void cmd_client_no_evict(struct call *call)
{
    bool on = slice_is_nocase(call->argv[2], "on");
    if (!on && !slice_is_nocase(call->argv[2], "off")) {
        reply_syntax_error(call->reply);
        return;
    }
    call->conn->session.no_evict = on;
    reply_ok(call->reply);
}

/* OFF and SKIP are the two calls that answer nothing at all. */
void cmd_client_reply(struct call *call)
{
    struct session *session = &call->conn->session;
    if (slice_is_nocase(call->argv[2], "on")) {
        session->reply_mode = REPLY_ON;
        reply_status_aloud(call, "OK");
    } else if (slice_is_nocase(call->argv[2], "off")) {
        session->reply_mode = REPLY_OFF;
    } else if (slice_is_nocase(call->argv[2], "skip")) {
        if (session->reply_mode != REPLY_OFF) {
            session->reply_mode = REPLY_SKIP_NEXT;
        }
    } else {
        reply_syntax_error(call->reply);
    }
}

/* --- PAUSE ------------------------------------------------------------------------------------------------------- */

/* A pause that runs is only made longer and stricter, never shorter or milder: that is what UNPAUSE is for. */
static void pause_until(struct live *live, int64_t until_ms, bool writes_only, int64_t now_ms)
{
    int64_t running_ms = atomic_load(&live->pause_until_ms);
    if (running_ms > now_ms) {
        until_ms = until_ms > running_ms ? until_ms : running_ms;
        writes_only = writes_only && atomic_load(&live->pause_writes_only);
    }
    atomic_store(&live->pause_writes_only, writes_only);
    atomic_store(&live->pause_until_ms, until_ms);
}

void cmd_client_pause(struct call *call)
{
    bool writes_only = false;
    int64_t for_ms = 0;
    if (call->argc > 4) {
        subcommand_error(call, "CLIENT");
        return;
    }
    if (call->argc == 4) {
        writes_only = slice_is_nocase(call->argv[3], "write");
        if (!writes_only && !slice_is_nocase(call->argv[3], "all")) {
            reply_error(call->reply, "ERR CLIENT PAUSE mode must be WRITE or ALL");
            return;
        }
    }
    if (slice_to_i64(call->argv[2], &for_ms) != OK) {
        reply_error(call->reply, "ERR timeout is not an integer or out of range");
    } else if (for_ms < 0) {
        reply_error(call->reply, "ERR timeout is negative");
    } else if (for_ms > INT64_MAX - call->now_ms) {
        reply_error(call->reply, "ERR timeout is out of range");
    } else {
        pause_until(&call->node->live, call->now_ms + for_ms, writes_only, call->now_ms);
        reply_ok(call->reply);
    }
}

static void unpause_visit(struct tour *tour, struct worker *worker)
{
    (void)tour;
    for (struct list *node = worker->conns.next, *next; node != &worker->conns; node = next) {
        next = node->next;
        conn_unhold(LIST_ENTRY(node, struct conn, in_worker), HOLD_PAUSE);
    }
}

static void unpause_done(struct tour *tour)
{
    free(tour);
}

void cmd_client_unpause(struct call *call)
{
    atomic_store(&call->node->live.pause_until_ms, 0);
    /* Without memory for the tour the workers notice by themselves, a tick later. */
    struct tour *tour = calloc(1, sizeof(*tour));
    if (tour != NULL) {
        tour->visit = unpause_visit;
        tour->done = unpause_done;
        tour_start(tour, call->worker);
    }
    reply_ok(call->reply);
}

void cmd_client_help(struct call *call)
{
    static const char *const lines[] = {
        "CACHING (YES|NO)",
        "    Enable/disable tracking of the keys for next command in OPTIN/OPTOUT modes.",
        "GETREDIR",
        "    Return the client ID we are redirecting to when tracking is enabled.",
        "GETNAME",
        "    Return the name of the current connection.",
        "ID",
        "    Return the ID of the current connection.",
        "INFO",
        "    Return what LIST says about the current connection.",
        "KILL <ip:port>",
        "    Close the connection from <ip:port>.",
        "KILL <option> <value> [<option> <value> [...]]",
        "    Close connections. Options are:",
        "    * ID <client-id>",
        "    * ADDR (<ip:port>|<unixsocket>:0)",
        "    * LADDR (<ip:port>|<unixsocket>:0)",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "    * USER <username>",
        "    * MAXAGE <seconds>",
        "    * SKIPME (YES|NO), default yes",
        "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB)] [ID <client-id> [<client-id> ...]]",
        "    Return a line for each client connection of this node.",
        "NO-EVICT (ON|OFF)",
        "    Accepted; this node evicts no clients.",
        "PAUSE <timeout> [WRITE|ALL]",
        "    Suspend all, or just write, commands for <timeout> milliseconds.",
        "REPLY (ON|OFF|SKIP)",
        "    Control the replies sent to the current connection.",
        "SETINFO (LIB-NAME|LIB-VER) <text>",
        "    Say which client library this is.",
        "SETNAME <name>",
        "    Assign the name <name> to the current connection.",
        "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]",
        "         [OPTIN] [OPTOUT] [NOLOOP]",
        "    Control server assisted client side caching.",
        "TRACKINGINFO",
        "    Report tracking status for the current connection.",
        "UNBLOCK <client-id> [TIMEOUT|ERROR]",
        "    Let a client go that waits in a blocking command, as if its time were over, or with an error.",
        "UNPAUSE",
        "    End the current pause.",
    };
    reply_help(call->reply, "CLIENT", lines, sizeof(lines) / sizeof(lines[0]));
}
