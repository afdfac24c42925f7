/* SPDX-License-Identifier: BSD-3-Clause */
/* PING ECHO QUIT RESET HELLO AUTH SELECT: what a client says about its own connection. */
#include "server/cmd_connection.h"

#include "server/auth.h"
#include "server/client_name.h"
#include "server/commands.h"
#include "server/conn.h"
#include "server/execution.h"
#include "server/monitor.h"
#include "server/node.h"
#include "server/pubsub.h"
#include "server/pubsub_line.h"
#include "server/tracking_client.h"
#include "server/transaction.h"
#include "server/version.h"
#include "server/worker.h"

static const char wrong_password[] =
    "WRONGPASS invalid username-password pair or user is disabled.";

void cmd_ping(struct call *call)
{
    if (call->argc > 2) {
        reply_wrong_arity(call->reply, "ping");
    } else if (pubsub_line_has(call->conn)) {
        pubsub_line_ping(call);
    } else if (call->conn->listens && call->conn->session.proto == 2 &&
               pubsub_is_subscribed(call->conn)) {
        reply_array(call->reply, 2);
        reply_bulk_text(call->reply, "pong");
        reply_bulk(call->reply, call->argc == 2 ? call->argv[1] : SLICE_LITERAL(""));
    } else if (call->argc == 2) {
        reply_bulk(call->reply, call->argv[1]);
    } else {
        reply_status(call->reply, "PONG");
    }
}

void cmd_echo(struct call *call)
{
    reply_bulk(call->reply, call->argv[1]);
}

void cmd_quit(struct call *call)
{
    reply_ok(call->reply);
    conn_close_after_reply(call->conn);
}

void reply_status_aloud(struct call *call, const char *text)
{
    if (call->reply != &call->worker->sink) {
        reply_status(call->reply, text);
        return;
    }
    if (call->execution != NULL) {
        reply_status(execution_reply(call->execution), text);
        return;
    }
    struct answer *answer = answer_new(call->conn, WAIT_LOCAL); /* behind those that wait */
    reply_status(&answer->reply, text);
    answer_land(answer);
}

void cmd_reset(struct call *call)
{
    if (pubsub_line_has(call->conn)) {
        monitor_end(call->conn); /* it does not see its own RESET */
        pubsub_line_reset(call); /* L2 shall have ended its subscriptions before that is said */
        return;
    }
    const bool is_skipped =
        call->conn->session.reply_mode == REPLY_SKIP; /* Redis forgets OFF only */
    conn_reset_session(call->conn);
    if (is_skipped) {
        reply_status(call->reply, "RESET");
    } else {
        reply_status_aloud(call, "RESET");
    }
}

void cmd_select(struct call *call)
{
    int64_t number = 0;
    if (slice_to_i64(call->argv[1], &number) != OK) {
        reply_not_integer(call->reply);
    } else if (number < INT32_MIN || number > INT32_MAX) {
        reply_errorf(call->reply, "ERR value is out of range, value must between %d and %d",
                     INT32_MIN, INT32_MAX);
    } else if (number < 0 || number >= (int64_t)LIMIT_DATABASES) {
        reply_error(call->reply, "ERR DB index is out of range");
    } else {
        call->conn->session.db = (uint8_t)number;
        reply_ok(call->reply);
    }
}

/* --- AUTH -------------------------------------------------------------------------------------------------------- */

void cmd_auth(struct call *call)
{
    if (call->argc > 3) {
        reply_syntax_error(call->reply);
        return;
    }
    if (call->argc == 2 && auth_default_is_nopass(call->worker)) {
        reply_error(
            call->reply,
            "ERR AUTH <password> called without any password configured for the default user. "
            "Are you sure your configuration is correct?");
        return;
    }
    struct slice user = call->argc == 3 ? call->argv[1] : SLICE_LITERAL("default");
    if (auth_login(call, user, call->argv[call->argc - 1])) {
        reply_ok(call->reply);
    } else {
        reply_error(call->reply, wrong_password);
    }
}

/* --- HELLO ------------------------------------------------------------------------------------------------------- */

/* The options after the version. As in Redis 7.0 each is done when it is met: a syntax error further on does not undo it.
 * false: the error is answered. */
static bool hello_options(struct call *call)
{
    struct session *session = &call->conn->session;
    for (uint32_t i = 2; i < call->argc; i++) {
        uint32_t more = call->argc - 1 - i;
        if (slice_is_nocase(call->argv[i], "auth") && more >= 2) {
            if (!auth_login(call, call->argv[i + 1], call->argv[i + 2])) {
                reply_error(call->reply, wrong_password);
                return false;
            }
            i += 2;
        } else if (slice_is_nocase(call->argv[i], "setname") && more >= 1) {
            if (!client_name_is_valid(call->argv[i + 1])) {
                reply_error(call->reply, client_name_error);
                return false;
            }
            if (client_text_set(&session->name, call->argv[i + 1]) != OK) {
                reply_out_of_memory(call->reply);
                return false;
            }
            i += 1;
        } else {
            reply_errorf(call->reply, "ERR Syntax error in HELLO option '%.*s'",
                         call->argv[i].size > 900 ? 900 : (int)call->argv[i].size,
                         call->argv[i].data);
            return false;
        }
    }
    return true;
}

/* *ret_proto 0: as it is. false: the error is answered. */
static bool hello_version(struct call *call, int64_t *ret_proto)
{
    *ret_proto = 0;
    if (call->argc < 2) {
        return true;
    }
    if (slice_to_i64(call->argv[1], ret_proto) != OK) {
        reply_error(call->reply, "ERR Protocol version is not an integer or out of range");
        return false;
    }
    if (*ret_proto != 2 && *ret_proto != 3) {
        reply_error(call->reply, "NOPROTO unsupported protocol version");
        return false;
    }
    return true;
}

static void hello_answer(struct call *call)
{
    struct reply *reply = call->reply;
    reply_map(reply, 7);
    reply_bulk_text(reply, "server");
    reply_bulk_text(reply, "redis");
    reply_bulk_text(reply, "version");
    reply_bulk_text(reply, REDIS_VERSION);
    reply_bulk_text(reply, "proto");
    reply_integer(reply, reply->proto);
    reply_bulk_text(reply, "id");
    reply_integer(reply, (int64_t)call->conn->session.id);
    reply_bulk_text(reply, "mode");
    reply_bulk_text(reply, "standalone");
    reply_bulk_text(reply, "role");
    reply_bulk_text(reply, "master");
    reply_bulk_text(reply, "modules");
    reply_array(reply, 0);
}

static void hello_foresee(const struct call *call, struct session *session)
{
    int64_t proto = session->proto;
    if (call->argc > 1 &&
        (slice_to_i64(call->argv[1], &proto) != OK || (proto != 2 && proto != 3))) {
        return;
    }
    for (uint32_t i = 2; i < call->argc; i++) {
        const uint32_t more = call->argc - 1 - i;
        if (slice_is_nocase(call->argv[i], "auth") && more >= 2 &&
            auth_foresee(call->worker, call->argv[i + 1], call->argv[i + 2], session)) {
            i += 2;
        } else if (slice_is_nocase(call->argv[i], "setname") && more >= 1 &&
                   client_name_is_valid(call->argv[i + 1])) {
            i += 1;
        } else {
            return;
        }
    }
    session->proto = session->logged_in ? (uint8_t)proto : session->proto;
}

void connection_foresee(const struct call *call, struct session *session)
{
    if (call->command->run == cmd_hello) {
        hello_foresee(call, session);
    } else if (call->command->run == cmd_auth && call->argc == 3) {
        (void)auth_foresee(call->worker, call->argv[1], call->argv[2], session);
    } else if (call->command->run == cmd_auth && call->argc == 2 &&
               !auth_default_is_nopass(call->worker)) {
        (void)auth_foresee(call->worker, SLICE_LITERAL("default"), call->argv[1], session);
    }
}

void cmd_hello(struct call *call)
{
    struct session *session = &call->conn->session;
    int64_t proto = 0;
    if (!hello_version(call, &proto) || !hello_options(call)) {
        return;
    }
    if (!session->logged_in) {
        reply_error(
            call->reply,
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the "
            "HELLO AUTH <user> <pass> option can be used to authenticate the client and select "
            "the RESP protocol version at the same time");
        return;
    }
    if (proto != 0 && proto != session->proto) {
        transaction_change_protocol(call->conn, (int)proto);
    }
    if (proto != 0) {
        const bool changes = session->proto != proto;
        session->proto = (uint8_t)proto;
        call->conn->reply.proto = session->proto;
        call->reply->proto = session->proto;
        if (changes) {
            tracking_client_change_protocol(call->conn);
        }
    }
    hello_answer(call);
}
