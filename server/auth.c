/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/auth.h"

#include "server/acl.h"
#include "server/acl_log.h"
#include "server/commands.h"
#include "server/conn.h"
#include "server/mailbox.h"
#include "server/node.h"
#include "server/pubsub.h"
#include "server/script_rights.h"
#include "server/transaction.h"
#include "server/worker.h"
#include "tiers/l2_commands.h"
#include "tiers/tiers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHOWN_MAX = 128 /* bytes of a client's word in a line of the log */
};

/* --- sessions --------------------------------------------------------------------------------------------------- */

bool auth_default_is_nopass(const struct worker *worker)
{
    return (worker->users->default_user->flags & ACL_USER_NOPASS) != 0;
}

static void set_user(struct conn *conn, const struct acl_user *user, bool logged_in)
{
    struct session *session = &conn->session;
    session->user = user;
    session->logged_in = logged_in;
    session->authenticated = logged_in || acl_is_open(conn->worker->users);
    session->guarded = !acl_user_is_free(user);
}

void auth_begin(struct conn *conn)
{
    const struct acl_table *users = conn->worker->users;
    set_user(conn, users->default_user, acl_is_open(users));
}

static bool is_behind(const struct worker *worker)
{
    return acl_generation(worker->node->acl) != worker->users->generation;
}

/* The connection of a user who is gone, or who listens to what he may not hear any more. */
static void turn_out(struct conn *conn, bool answers_first)
{
    set_user(conn, conn->worker->users->default_user, false);
    conn->session.authenticated = false;
    if (answers_first) {
        conn_close_after_reply(conn);
    } else {
        conn_close(conn);
    }
}

/* Takes the users of now. Inside of `call`, its own connection closes after its answer, if it must. */
static void renew(struct worker *worker, struct call *call)
{
    const struct acl_table *before = worker->users;
    worker->users = acl_take(worker->node->acl);
    for (struct list *at = worker->conns.next, *next; at != &worker->conns; at = next) {
        next = at->next;
        struct conn *conn = LIST_ENTRY(at, struct conn, in_worker);
        const struct acl_user *user = acl_find(worker->users, conn->session.user->name);
        const bool is_he = user != NULL && user->id == conn->session.user->id;
        if (is_he && (user == conn->session.user || !pubsub_hears_too_much(conn, user))) {
            set_user(conn, user, conn->session.logged_in);
        } else {
            turn_out(conn, call != NULL && call->conn == conn);
        }
    }
    acl_drop(before);
}

void auth_catch_up(struct worker *worker)
{
    if (is_behind(worker)) {
        renew(worker, NULL);
    }
}

static void renew_visit(struct tour *tour, struct worker *worker)
{
    (void)tour;
    auth_catch_up(worker);
}

static void renew_done(struct tour *tour)
{
    free(tour);
}

void auth_tell_all(struct call *call)
{
    if (is_behind(call->worker)) {
        renew(call->worker, call);
    }
    /* Without memory for the tour the others notice with their next batch. */
    struct tour *tour = calloc(1, sizeof(*tour));
    if (tour != NULL) {
        tour->visit = renew_visit;
        tour->done = renew_done;
        tour_start(tour, call->worker);
    }
}

/* --- the log ---------------------------------------------------------------------------------------------------- */

static int shown(struct slice text)
{
    return text.size < SHOWN_MAX ? (int)text.size : SHOWN_MAX;
}

/* What changes the node or much data at once. Which argument says what is shown; 0: none. */
static const struct {
    const char *full_name;
    uint32_t shown;
} audited[] = {
    {"acl|setuser", 2},   {"acl|deluser", 2},      {"acl|load", 0},         {"acl|save", 0},
    {"acl|log", 2},       {"config|set", 2},       {"config|resetstat", 0}, {"config|rewrite", 0},
    {"client|kill", 2},   {"client|pause", 2},     {"client|unpause", 0},   {"debug", 1},
    {"flushall", 0},      {"flushdb", 0},          {"swapdb", 1},           {"cache.failover", 1},
    {"slowlog|reset", 0}, {"cache.invalidate", 1}, {"cache.drain", 0},
};

static bool is_of_keys(const struct call *call)
{
    return call->command->run == cmd_cache_invalidate && call->argc > 1 &&
           slice_is_nocase(call->argv[1], "key");
}

void auth_audit(const struct call *call)
{
    const struct session *session = &call->conn->session;
    const struct slice user = session->user->name;
    for (size_t i = 0; i < sizeof(audited) / sizeof(audited[0]); i++) {
        if (strcmp(audited[i].full_name, call->command->full_name) != 0 || is_of_keys(call)) {
            continue;
        }
        const uint32_t place = audited[i].shown;
        const struct slice object =
            place > 0 && place < call->argc ? call->argv[place] : (struct slice){"", 0};
        log_write(&call->node->log, LOG_NOTICE, "admin",
                  "%s user=%.*s client=%s id=%llu object=%.*s", audited[i].full_name, shown(user),
                  user.data, session->peer, (unsigned long long)session->id, shown(object),
                  object.data);
    }
}

/* Writes down what was refused, in the words of ACL LOG. */
static void note_refusal(const struct call *call, enum acl_verdict verdict, struct slice object,
                         struct slice username)
{
    static const char *const reasons[] = {"none", "command", "key", "channel", "auth"};
    static const enum metric counters[] = {M_ACL_DENIED_COMMAND, M_ACL_DENIED_COMMAND,
                                           M_ACL_DENIED_KEY, M_ACL_DENIED_CHANNEL,
                                           M_ACL_DENIED_AUTH};
    struct node *node = call->node;
    struct buf client = {0};
    (void)!conn_describe(call->conn, call, call->now_ms, &client);
    const struct acl_event event = {.reason = verdict,
                                    .in_multi = transaction_is_open(call->conn->transaction),
                                    .object = object,
                                    .username = username,
                                    .client = buf_slice(&client),
                                    .at_ms = call->now_ms};
    metrics_count(call->worker->metrics, counters[verdict]);
    if (acl_log_note(acl_log_of(node->acl), &event,
                     (size_t)atomic_load(&node->live.acllog_max_len))) {
        log_write(&node->log, LOG_NOTICE, "acl_denied",
                  "reason=%s user=%.*s client=%s id=%llu object=%.*s", reasons[verdict],
                  shown(username), username.data, call->conn->session.peer,
                  (unsigned long long)call->conn->session.id, shown(object), object.data);
    }
    buf_done(&client);
}

/* --- logging in ------------------------------------------------------------------------------------------------- */

bool auth_foresee(const struct worker *worker, struct slice name, struct slice password,
                  struct session *session)
{
    const struct acl_user *user = acl_find(worker->users, name);
    if (user == NULL || (user->flags & ACL_USER_ON) == 0 || !acl_user_password_is(user, password)) {
        return false;
    }
    session->user = user;
    session->logged_in = true;
    session->guarded = !acl_user_is_free(user);
    return true;
}

bool auth_login(struct call *call, struct slice name, struct slice password)
{
    if (is_behind(call->worker)) {
        renew(call->worker, call);
    }
    if (auth_foresee(call->worker, name, password, &call->conn->session)) {
        call->conn->session.authenticated = true;
        return true;
    }
    note_refusal(call, ACL_DENIED_AUTH, call->argv[0], name);
    return false;
}

/* --- commands --------------------------------------------------------------------------------------------------- */

/* As L2 knows it: the subcommand, if it has any. */
static const struct l2_command *find_in_l2(const struct node *node, const struct slice *argv,
                                           uint32_t argc)
{
    const struct l2_commands *known = node->tiers == NULL ? NULL : tiers_commands(node->tiers);
    const struct l2_command *l2 = known == NULL ? NULL : l2_commands_find(known, argv[0]);
    return l2 != NULL && l2->has_subcommands && argc > 1 ? l2_commands_find_sub(known, l2, argv[1])
                                                         : l2;
}

/* What L2's own table says of a command that ours does not know. */
static void ask_l2_table(const struct node *node, struct acl_line *line)
{
    const struct l2_command *l2 = find_in_l2(node, line->argv, line->argc);
    line->keys_unknown = line->own_subcommand || l2 == NULL || l2->movable_keys;
    if (l2 == NULL) {
        return;
    }
    const struct command command = {
        .first_key = l2->first_key, .last_key = l2->last_key, .key_step = l2->key_step};
    struct key_range range;
    line->categories = l2->categories;
    line->reads = l2->readonly;
    if (command_keys(&command, line->argc, &range)) {
        line->first_key = range.first;
        line->last_key = range.last;
        line->key_step = range.step;
    }
}

/* `command`: ours; NULL: it is known by its name only. */
static struct acl_line line_of(const struct node *node, const struct command *command,
                               const struct slice *argv, uint32_t argc)
{
    struct acl_line line = {.name = argv[0], .argv = argv, .argc = argc};
    line.scripts_pass = true;
    if (command != NULL) {
        line.id = acl_id_of(node->acl, command);
        if (command->subcommands != NULL || (acl_command_at(line.id)->flags & ACL_CONTAINER) == 0) {
            return line;
        }
    }
    line.id = acl_command_of(argv[0], argc > 1 ? argv[1] : (struct slice){"", 0});
    line.own_subcommand = line.id < acl_command_count() && argc > 1 &&
                          (acl_command_at(line.id)->flags & ACL_CONTAINER) != 0;
    if (line.id == acl_command_count() || line.own_subcommand) {
        ask_l2_table(node, &line);
    }
    return line;
}

/* Notes in the call which script it is, if it runs on L2 because that one is allowed. */
static struct acl_line line_of_call(struct call *call)
{
    const struct node *node = call->node;
    const bool ours = call->command->run != NULL;
    struct acl_line line = line_of(node, ours ? call->command : NULL, call->argv, call->argc);
    call->script = NULL;
    if (atomic_load_explicit(&node->live.acl_scripts, memory_order_relaxed)) {
        return line;
    }
    const struct script *script = script_of_call(call);
    line.scripts_pass = script == NULL
                            ? node->tiers == NULL
                            : script_is_allowed(call->conn->session.user, script, call->argv[3]);
    call->script = line.scripts_pass && node->tiers != NULL ? script : NULL;
    return line;
}

bool auth_dry_run(const struct call *call, const struct acl_user *user, const struct slice *argv,
                  uint32_t argc, struct auth_dry_run *ret_run)
{
    const struct acl_line line = line_of(call->node, NULL, argv, argc);
    int arity = 0;
    if (line.own_subcommand) {
        return false;
    }
    if (line.id < acl_command_count()) {
        arity = acl_command_at(line.id)->arity;
        ret_run->name = acl_command_at(line.id)->name;
    } else {
        const struct l2_command *l2 = find_in_l2(call->node, argv, argc);
        if (l2 == NULL) {
            return false;
        }
        arity = l2->arity;
        ret_run->name = l2->name;
    }
    ret_run->arity_fits = command_arity_fits(arity, argc);
    ret_run->denial = acl_check(user, &line);
    return true;
}

static const char *full_name(const struct call *call, const struct acl_line *line)
{
    return line->id < acl_command_count() ? acl_command_at(line->id)->name
                                          : call->command->full_name;
}

static struct acl_denial ask(const struct call *call, const struct acl_line *line)
{
    const struct acl_denial denial = acl_check(call->conn->session.user, line);
    if (denial.verdict != ACL_OK) {
        const bool of_command = denial.verdict == ACL_DENIED_COMMAND;
        note_refusal(call, denial.verdict,
                     of_command ? slice_of(full_name(call, line)) : call->argv[denial.at],
                     call->conn->session.user->name);
    }
    return denial;
}

/* SORT ... BY pattern, GET pattern: which keys they read only the list knows. The option that is denied, or NULL. */
static const char *sort_denied(const struct call *call, const struct acl_line *line)
{
    const enum acl_parser parser =
        line->id < acl_command_count() ? acl_command_at(line->id)->parser : ACL_PARSE_PLACES;
    if (parser != ACL_PARSE_SORT && parser != ACL_PARSE_SORT_RO) {
        return NULL;
    }
    for (uint32_t i = 2; i + 1 < call->argc; i++) {
        const struct slice next = call->argv[i + 1];
        const bool gets = slice_is_nocase(call->argv[i], "get");
        const bool sorts = slice_is_nocase(call->argv[i], "by") && next.size > 0 &&
                           memchr(next.data, '*', next.size) != NULL;
        if ((gets || sorts) && !acl_check_reads_all(call->conn->session.user, line)) {
            return gets ? "GET" : "BY";
        }
    }
    return NULL;
}

static bool sort_is_admitted(struct call *call, const struct acl_line *line)
{
    const char *option = sort_denied(call, line);
    if (option != NULL) {
        reply_errorf(call->reply,
                     "ERR %s option of SORT denied due to insufficient ACL permissions.", option);
    }
    return option == NULL;
}

static const char denied_key[] =
    "NOPERM this user has no permissions to access one of the keys used as arguments";
static const char denied_channel[] =
    "NOPERM this user has no permissions to access one of the channels used as arguments";

/* He may run EVALSHA, and the node does not know the script: as if it had been forgotten, so that the client sends its text. */
static bool asks_for_text(struct call *call, struct acl_line line)
{
    const struct acl_user *user = call->conn->session.user;
    if (line.scripts_pass || !script_is_to_be_told(call) ||
        transaction_is_open(call->conn->transaction) || acl_check(user, &line).verdict == ACL_OK) {
        return false;
    }
    line.scripts_pass = true;
    if (acl_check(user, &line).verdict != ACL_OK) {
        return false;
    }
    reply_error(call->reply, "NOSCRIPT No matching script. Please use EVAL.");
    return true;
}

bool auth_admits(struct call *call)
{
    const struct acl_line line = line_of_call(call);
    if (asks_for_text(call, line)) {
        return false;
    }
    if (call->command->run == cmd_script_load && call->node->tiers != NULL) {
        script_note_load(call);
    }
    char room[128];
    const char *text = room;
    switch (ask(call, &line).verdict) {
    case ACL_OK: /* of what is queued, EXEC asks */
        return transaction_is_open(call->conn->transaction) || sort_is_admitted(call, &line);
    case ACL_DENIED_COMMAND:
        (void)snprintf(room, sizeof(room),
                       "NOPERM this user has no permissions to run the '%s' command",
                       full_name(call, &line));
        break;
    case ACL_DENIED_KEY: text = denied_key; break;
    case ACL_DENIED_CHANNEL: text = denied_channel; break;
    case ACL_DENIED_AUTH: return false;
    }
    if (call->command->run == cmd_exec) {
        transaction_abort(call, text);
    } else {
        reply_error(call->reply, text);
    }
    return false;
}

bool auth_would_admit(struct call *call)
{
    const struct acl_line line = line_of_call(call);
    return acl_check(call->conn->session.user, &line).verdict == ACL_OK;
}

enum acl_verdict auth_verdict_at_exec(struct call *call)
{
    const struct acl_line line = line_of_call(call);
    const enum acl_verdict verdict = ask(call, &line).verdict;
    return verdict == ACL_OK && sort_denied(call, &line) != NULL ? ACL_DENIED_KEY : verdict;
}

void auth_refuse_at_exec(struct call *call, enum acl_verdict verdict)
{
    const struct acl_line line = line_of_call(call);
    static const char *const reasons[] = {
        "", "no permission to execute the command or subcommand",
        "no permission to touch the specified keys",
        "no permission to access one of the channels used as arguments", ""};
    if (acl_check(call->conn->session.user, &line).verdict == ACL_OK &&
        !sort_is_admitted(call, &line)) {
        return; /* as SORT itself says it */
    }
    reply_errorf(call->reply,
                 "NOPERM ACLs rules changed between the moment the transaction was accumulated and "
                 "the EXEC call. This command is no longer allowed for the following reason: %s",
                 reasons[verdict]);
}
