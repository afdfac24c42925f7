/* SPDX-License-Identifier: BSD-3-Clause */
/* EVAL, EVALSHA and SCRIPT of a node without L2, which knows some scripts by heart (scripts.h). With an L2 they go there. */
#include "server/cmd_common.h"
#include "server/commands.h"
#include "server/node.h"
#include "server/scripts.h"

#include <stdio.h>

enum {
    FIRST_KEY = 3 /* EVAL script numkeys key */
};

/* A script on its way: its key is argv[FIRST_KEY]. What it is told of time is looked at once, and matters when it is used. */
struct run {
    struct call *call;
    const struct script *script;
    uint32_t first_arg;
    bool time_is_number;
    bool time_fits;
    int64_t at_ms; /* if it fits; may be past */
    char error[64];
};

static struct slice argument(const struct run *run, uint8_t number)
{
    return run->call->argv[run->first_arg + number - 1];
}

static void read_time(struct run *run)
{
    int64_t time = 0;
    if (run->script->time > 0) {
        run->time_is_number = slice_to_i64(argument(run, run->script->time), &time) == OK;
        run->time_fits = run->time_is_number &&
                         !__builtin_mul_overflow(time, (int64_t)run->script->unit_ms, &time) &&
                         !__builtin_add_overflow(time, run->call->now_ms, &run->at_ms);
    }
}

/* Redis' words, without the script and its line. NULL: the command takes the time. */
static const char *time_error(struct run *run, const char *command, bool may_be_past)
{
    if (run->time_is_number && run->time_fits && (may_be_past || run->at_ms > run->call->now_ms)) {
        return NULL;
    }
    (void)snprintf(run->error, sizeof run->error,
                   run->time_is_number ? "ERR invalid expire time in '%s' command"
                                       : "ERR value is not an integer or out of range",
                   command);
    return run->error;
}

static const char *expire_error(struct run *run)
{
    return time_error(run, run->script->unit_ms == 1 ? "pexpire" : "expire", true);
}

/* As PEXPIRE: what is past goes. */
static void expire_at(struct update *update, int64_t at_ms)
{
    if (at_ms <= update->call->now_ms) {
        update_remove(update);
    } else {
        update_expire(update, at_ms);
    }
}

static void answer_truth(const struct run *run, bool is_true)
{
    if (!is_true && run->script->answer == SCRIPT_TRUTH) {
        reply_null(run->call->reply);
    } else {
        reply_integer(run->call->reply, is_true ? 1 : 0);
    }
}

/* --- locks ------------------------------------------------------------------------------------------------------------ */

/* The key holds the token. *ret_done: the lock was extended. */
static void extend(struct run *run, struct update *update, bool *ret_done)
{
    const int64_t old_ms = update_expire_at_ms(update);
    int64_t at_ms = run->at_ms;
    const char *error = expire_error(run);
    *ret_done = old_ms != ITEM_NEVER;
    if (!*ret_done) {
        update_leave(update);
    } else if (error != NULL) {
        update_refuse(update, error);
    } else if (slice_is(argument(run, 3), "0") &&
               __builtin_add_overflow(at_ms, old_ms - run->call->now_ms, &at_ms)) {
        update_refuse(update, "ERR invalid expire time in 'pexpire' command");
    } else {
        expire_at(update, at_ms);
    }
}

static void run_compare(struct run *run)
{
    const enum script_action action = run->script->action;
    struct update update;
    bool done = false;
    update_open(&update, run->call, FIRST_KEY, KIND_STRING);
    while (update_next(&update)) {
        const char *error = NULL;
        done = update.old != NULL && slice_equal(update_value(&update), argument(run, 1));
        if (!done) {
            update_leave(&update);
        } else if (action == SCRIPT_COMPARE_DELETE) {
            update_remove(&update);
        } else if (action == SCRIPT_COMPARE_EXTEND) {
            extend(run, &update, &done);
        } else if ((error = expire_error(run)) != NULL) {
            update_refuse(&update, error);
        } else {
            expire_at(&update, run->at_ms);
        }
    }
    if (update_ok(&update)) {
        answer_truth(run, done);
    }
    update_close(&update);
}

static void run_obtain(struct run *run)
{
    struct update update;
    bool done = false;
    update_open(&update, run->call, FIRST_KEY, KIND_STRING);
    while (update_next(&update)) {
        const bool is_new = update.old == NULL;
        const char *error = is_new ? time_error(run, "set", false) : expire_error(run);
        done = is_new || slice_equal(update_value(&update), argument(run, 1));
        if (!done) {
            update_leave(&update);
        } else if (error != NULL) {
            update_refuse(&update, error);
        } else if (is_new) {
            update_put(&update, argument(run, 1), run->at_ms);
        } else {
            expire_at(&update, run->at_ms);
        }
    }
    if (update_ok(&update)) {
        answer_truth(run, done);
    }
    update_close(&update);
}

static void run_add(struct run *run)
{
    const char *error = time_error(run, run->script->unit_ms == 1 ? "psetex" : "setex", false);
    struct update update;
    bool done = false;
    update_open(&update, run->call, FIRST_KEY, KIND_ANY);
    while (update_next(&update)) {
        done = update.old == NULL;
        if (!done) {
            update_leave(&update);
        } else if (error != NULL) {
            update_refuse(&update, error);
        } else {
            update_put(&update, argument(run, 1), run->at_ms);
        }
    }
    if (update_ok(&update) && done) {
        reply_ok(run->call->reply); /* what SETEX answered */
    } else if (update_ok(&update)) {
        reply_null(run->call->reply);
    }
    update_close(&update);
}

/* --- counters --------------------------------------------------------------------------------------------------------- */

/* One turn of a counter. A script that fails half-way has done what came before, as in Redis: then `error` is the answer,
 * but what is to be stored is stored. */
struct count {
    int64_t number;  /* to store, unless there is nothing to be done */
    int64_t at_ms;   /* its expiry */
    int64_t left_ms; /* until then, as the script tells it */
    bool done;
    const char *error;
};

static const char text_not_integer[] = "ERR value is not an integer or out of range";
static const char text_overflow[] = "ERR increment or decrement would overflow";

/* INCRBY. false: count->error says why not. */
static bool add(const struct run *run, const struct update *update, struct count *count)
{
    const uint8_t amount_arg = run->script->amount;
    int64_t amount = 1;
    int64_t old = 0;
    if (amount_arg > 0 && slice_to_i64(argument(run, amount_arg), &amount) != OK) {
        count->error = text_not_integer;
    } else if (!item_is_kind(update->old, KIND_STRING)) {
        count->error = text_wrong_type;
    } else if (update->old != NULL && slice_to_i64(update_value(update), &old) != OK) {
        count->error = text_not_integer;
    } else if (__builtin_add_overflow(old, amount, &count->number)) {
        count->error = text_overflow;
    } else {
        count->done = true;
    }
    return count->done;
}

/* EXPIRE or PEXPIRE of what was counted. */
static void begin_window(struct run *run, struct count *count)
{
    count->error = expire_error(run);
    if (count->error == NULL) {
        count->at_ms = run->at_ms;
        count->left_ms = run->at_ms - run->call->now_ms;
    }
}

static void turn_of_count(struct run *run, const struct update *update, struct count *count)
{
    int64_t amount = 1;
    if (run->script->amount > 0) {
        (void)!slice_to_i64(argument(run, run->script->amount), &amount);
    }
    if (add(run, update, count) && count->number == amount) {
        begin_window(run, count);
    }
}

static void turn_of_window(struct run *run, const struct update *update, struct count *count)
{
    if (add(run, update, count) &&
        (count->left_ms <= 0 || (run->script->flag && slice_is(argument(run, 1), "1")))) {
        begin_window(run, count);
    }
}

static void turn_of_restart(struct run *run, const struct update *update, struct count *count)
{
    if (count->left_ms > 0) {
        if (add(run, update, count) && slice_is(argument(run, 1), "1")) {
            begin_window(run, count);
        }
        return;
    }
    count->error = time_error(run, "set", false);
    count->done = count->error == NULL;
    count->number = 1; /* whatever was there */
    count->at_ms = run->at_ms;
    count->left_ms = run->at_ms - run->call->now_ms;
}

static void turn_of_flexible(struct run *run, const struct update *update, struct count *count)
{
    count->error =
        time_error(run, "set", false); /* SET looks at it even if NX keeps it from setting */
    if (count->error != NULL) {
        return;
    }
    if (update->old == NULL) {
        count->at_ms = run->at_ms;
        count->left_ms = run->at_ms - run->call->now_ms;
        if (!add(run, update, count)) {
            count->number = 0; /* that was set before */
            count->done = true;
        }
    } else if (add(run, update, count) && count->left_ms == -1) {
        begin_window(run, count);
    }
}

static void count_turn(struct run *run, struct update *update, struct count *count)
{
    const int64_t old_ms = update_expire_at_ms(update);
    *count = (struct count){.at_ms = old_ms,
                            .left_ms = old_ms == ITEM_NEVER ? -1 : old_ms - run->call->now_ms};
    const enum script_action action = run->script->action;
    if (action == SCRIPT_COUNT) {
        turn_of_count(run, update, count);
    } else if (action == SCRIPT_COUNT_WINDOW) {
        turn_of_window(run, update, count);
    } else if (action == SCRIPT_COUNT_RESTART) {
        turn_of_restart(run, update, count);
    } else if (action == SCRIPT_COUNT_FLEXIBLE) {
        turn_of_flexible(run, update, count);
    } else if (update->old != NULL || !run->script->flag) {
        (void)add(run, update, count);
    }
}

/* Numbers go through Lua's, which are doubles: what is beyond 2^53 is rounded, and 2^63 wraps. */
static void reply_of_lua(struct reply *reply, int64_t number)
{
    const double rounded = (double)number;
    reply_integer(reply, rounded >= 0x1p63 ? INT64_MIN : (int64_t)rounded);
}

static void run_count(struct run *run)
{
    struct call *call = run->call;
    struct count count = {.error = NULL};
    struct update update;
    update_open(&update, call, FIRST_KEY, KIND_ANY);
    while (update_next(&update)) {
        char digits[I64_DIGITS_MAX];
        count_turn(run, &update, &count);
        if (!count.done) {
            update_leave(&update);
        } else if (count.at_ms != ITEM_NEVER && count.at_ms <= call->now_ms) {
            update_remove(&update); /* counted, and expired at once */
        } else {
            const size_t size = i64_format(digits, count.number);
            update_put(&update, (struct slice){.data = digits, .size = size}, count.at_ms);
        }
    }
    if (update_ok(&update)) {
        if (count.error != NULL) {
            reply_error(call->reply, count.error);
        } else if (!count.done) {
            reply_null(call->reply);
        } else if (run->script->answer == SCRIPT_PAIR) {
            reply_array(call->reply, 2);
            reply_of_lua(call->reply, count.number);
            reply_of_lua(call->reply, count.left_ms);
        } else {
            reply_of_lua(call->reply, count.number);
        }
    }
    update_close(&update);
}

/* --- the commands ----------------------------------------------------------------------------------------------------- */

/* numkeys, as Redis checks it. false: an error is answered. */
static bool count_keys(struct call *call, int64_t *ret_count)
{
    if (!call_integer(call, 2, ret_count)) {
        return false;
    }
    if (*ret_count > (int64_t)call->argc - FIRST_KEY) {
        reply_error(call->reply, "ERR Number of keys can't be greater than number of args");
        return false;
    }
    if (*ret_count < 0) {
        reply_error(call->reply, "ERR Number of keys can't be negative");
        return false;
    }
    return true;
}

static void run_script(struct call *call, const struct script *script, int64_t keys)
{
    struct run run = {.call = call, .script = script, .first_arg = FIRST_KEY + (uint32_t)keys};
    if (keys == 0 || run.first_arg + script->args > call->argc) {
        reply_error(call->reply, "ERR Lua redis lib command arguments must be strings or integers");
        return;
    }
    read_time(&run);
    switch (script->action) {
    case SCRIPT_COMPARE_DELETE:
    case SCRIPT_COMPARE_EXPIRE:
    case SCRIPT_COMPARE_EXTEND: run_compare(&run); break;
    case SCRIPT_OBTAIN: run_obtain(&run); break;
    case SCRIPT_ADD: run_add(&run); break;
    case SCRIPT_ADD_NUMBER:
    case SCRIPT_COUNT:
    case SCRIPT_COUNT_WINDOW:
    case SCRIPT_COUNT_RESTART:
    case SCRIPT_COUNT_FLEXIBLE: run_count(&run); break;
    }
}

/* NULL: it is not known, and that is answered. */
static const struct script *recognise(struct call *call, struct slice text,
                                      char ret_sha[SCRIPT_SHA_DIGITS])
{
    const struct script *script = script_recognise(text);
    if (script == NULL) {
        reply_error(call->reply, "ERR this node has no L2 to run scripts; alone it knows those of "
                                 "common locks and rate limiters, and this is none of them");
        return NULL;
    }
    script_sha(text, ret_sha);
    scripts_remember(call->node->scripts, ret_sha, script);
    return script;
}

void cmd_eval(struct call *call)
{
    char sha[SCRIPT_SHA_DIGITS];
    int64_t keys = 0;
    if (!count_keys(call, &keys)) {
        return;
    }
    const struct script *script = recognise(call, call->argv[1], sha);
    if (script != NULL) {
        run_script(call, script, keys);
    }
}

void cmd_evalsha(struct call *call)
{
    int64_t keys = 0;
    if (!count_keys(call, &keys)) {
        return;
    }
    const struct script *script = scripts_find(call->node->scripts, call->argv[1]);
    if (script == NULL) {
        reply_error(call->reply, "NOSCRIPT No matching script. Please use EVAL.");
        return;
    }
    run_script(call, script, keys);
}

void cmd_script_load(struct call *call)
{
    char sha[SCRIPT_SHA_DIGITS];
    if (recognise(call, call->argv[2], sha) != NULL) {
        reply_bulk(call->reply, (struct slice){.data = sha, .size = sizeof sha});
    }
}

void cmd_script_exists(struct call *call)
{
    reply_array(call->reply, call->argc - 2);
    for (uint32_t i = 2; i < call->argc; i++) {
        reply_integer(call->reply, scripts_find(call->node->scripts, call->argv[i]) != NULL);
    }
}

void cmd_script_flush(struct call *call)
{
    const bool fits =
        call->argc == 2 || (call->argc == 3 && (slice_is_nocase(call->argv[2], "sync") ||
                                                slice_is_nocase(call->argv[2], "async")));
    if (!fits) {
        reply_error(call->reply, "ERR SCRIPT FLUSH only support SYNC|ASYNC option");
        return;
    }
    scripts_forget(call->node->scripts);
    reply_ok(call->reply);
}

void cmd_script_kill(struct call *call)
{
    reply_error(call->reply, "NOTBUSY No scripts in execution right now.");
}

/* It would turn a connection to L2, which others share, into a terminal. */
void cmd_script_debug(struct call *call)
{
    reply_error(call->reply, "ERR SCRIPT DEBUG is refused by this node");
}

void cmd_script_help(struct call *call)
{
    static const char *const lines[] = {
        "DEBUG (YES|SYNC|NO)",
        "    Set the debug mode for subsequent scripts executed.",
        "EXISTS <sha1> [<sha1> ...]",
        "    Return information about the existence of the scripts in the script cache.",
        "FLUSH [ASYNC|SYNC]",
        "    Flush the Lua scripts cache. Very dangerous on replicas.",
        "    When called without the optional mode argument, the behavior is determined by the",
        "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
        "    * ASYNC: Asynchronously flush the scripts cache.",
        "    * SYNC: Synchronously flush the scripts cache.",
        "KILL",
        "    Kill the currently executing Lua script.",
        "LOAD <script>",
        "    Load a script into the scripts cache without executing it.",
    };
    reply_help(call->reply, "SCRIPT", lines, sizeof(lines) / sizeof(lines[0]));
}
