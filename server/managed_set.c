/* SPDX-License-Identifier: BSD-3-Clause */
/* The SET family on managed keys: SET and its old names, GETDEL, and GETEX, which shares SET's words for time. */
#include "server/cmd_common.h"
#include "server/managed.h"
#include "server/managed_edit.h"
#include "server/node.h"
#include "server/set_options.h"
#include "server/worker.h"

/* What else a command of the family is, beside the words of set_options.h. */
enum {
    ANSWERS_NUMBER = 1u << 30, /* SETNX */
};

static void reply_old(const struct edit *edit, struct reply *reply)
{
    metrics_count(reply->worker->metrics, edit->found.exists ? M_KEY_HITS : M_KEY_MISSES);
    if (edit->found.is_other && edit->found.exists) {
        reply_error(reply, text_wrong_type);
    } else if (edit->found.exists) {
        reply_bulk(reply, edit->found.value);
    } else {
        reply_null(reply);
    }
}

/* What stands is no string, so it cannot be told, and nothing is done. */
static bool old_is_other(const struct edit *edit, struct reply *reply)
{
    if (!edit->found.exists || !edit->found.is_other) {
        return false;
    }
    reply_old(edit, reply);
    return true;
}

/* --- SET -------------------------------------------------------------------------------------------------------------- */

static void set_answer(const struct edit *edit, struct reply *reply, uint64_t seq)
{
    (void)seq;
    if ((edit->flags & SET_GET) != 0) {
        reply_old(edit, reply);
    } else if ((edit->flags & ANSWERS_NUMBER) != 0) {
        reply_integer(reply, 1);
    } else {
        reply_ok(reply);
    }
}

static void set_decline(const struct edit *edit, struct reply *reply)
{
    if ((edit->flags & SET_GET) != 0) {
        reply_old(edit, reply);
    } else if ((edit->flags & ANSWERS_NUMBER) != 0) {
        reply_integer(reply, 0);
    } else {
        reply_null(reply);
    }
}

/* What is left of the old one, as far as the namespace allows it now. One that is stale has nothing left, and gets little. */
static int64_t kept_life_ms(const struct edit *edit)
{
    const int64_t most_ms = edit_endless_ms(edit);
    const int64_t ttl_ms = edit->found.ttl_ms == 0 ? 1 : edit->found.ttl_ms;
    if (ttl_ms == MANAGED_NO_END) {
        return most_ms;
    }
    return most_ms > 0 && ttl_ms > most_ms ? most_ms : ttl_ms;
}

static bool set_decide(struct edit *edit, struct reply *reply)
{
    const bool exists = edit->found.exists;
    if ((edit->flags & SET_GET) != 0 && old_is_other(edit, reply)) {
        return false;
    }
    if (((edit->flags & SET_NX) != 0 && exists) || ((edit->flags & SET_XX) != 0 && !exists)) {
        set_decline(edit, reply);
        return false;
    }
    if (edit->is_timed && edit->life_ms <= 0) { /* a time of day that is past */
        edit_delete(edit);
        return true;
    }
    const bool keeps = (edit->flags & SET_KEEPTTL) != 0 && exists;
    return edit_put(edit, reply, keeps ? kept_life_ms(edit) : edit_life_ms(edit));
}

static void set_begin(struct call *call, unsigned flags, struct slice value, int64_t at_ms)
{
    static const struct edit_rule rule = {.decide = set_decide, .answer = set_answer};
    const struct edit model = {
        .rule = &rule,
        .reads = (flags & SET_LOOKS) != 0,
        .flags = flags,
        .is_timed = at_ms != ITEM_NEVER,
        .life_ms = at_ms - call->now_ms,
        .value = value,
        .wishes = {.swr_ms = -1, .sie_ms = -1},
    };
    edit_begin(call, &model);
}

void managed_set(struct call *call)
{
    struct set_options options = {0};
    int64_t at_ms = ITEM_NEVER;
    if (set_options_parse(call, 3, OF_SET, &options) &&
        set_options_time(call->reply, call->command, call->now_ms, &options, &at_ms)) {
        set_begin(call, options.flags, call->argv[2], at_ms);
    }
}

void managed_setnx(struct call *call)
{
    set_begin(call, SET_NX | ANSWERS_NUMBER, call->argv[2], ITEM_NEVER);
}

static void set_timed(struct call *call, unsigned unit)
{
    const struct set_options options = {.flags = unit, .time = call->argv[2]};
    int64_t at_ms = ITEM_NEVER;
    if (set_options_time(call->reply, call->command, call->now_ms, &options, &at_ms)) {
        set_begin(call, unit, call->argv[3], at_ms);
    }
}

void managed_setex(struct call *call)
{
    set_timed(call, SET_EX);
}

void managed_psetex(struct call *call)
{
    set_timed(call, SET_PX);
}

void managed_getset(struct call *call)
{
    set_begin(call, SET_GET, call->argv[2], ITEM_NEVER);
}

/* --- GETDEL, GETEX ---------------------------------------------------------------------------------------------------- */

static void old_answer(const struct edit *edit, struct reply *reply, uint64_t seq)
{
    (void)seq;
    reply_old(edit, reply);
}

static bool getdel_decide(struct edit *edit, struct reply *reply)
{
    if (!edit->found.exists || edit->found.is_other) {
        reply_old(edit, reply);
        return false;
    }
    edit_delete(edit);
    return true;
}

void managed_getdel(struct call *call)
{
    static const struct edit_rule rule = {.decide = getdel_decide, .answer = old_answer};
    const struct edit model = {.rule = &rule, .reads = true};
    edit_begin(call, &model);
}

/* The time is looked at only if the key is there, as Redis does: its words are the edit's value until then. */
static bool getex_decide(struct edit *edit, struct reply *reply)
{
    const struct set_options options = {.flags = edit->flags, .time = edit->value};
    const struct edit_found *found = &edit->found;
    int64_t at_ms = ITEM_NEVER;
    if (old_is_other(edit, reply)) {
        return false;
    }
    if (found->exists &&
        !set_options_time(reply, edit->answer->command, found->looked_at_ms, &options, &at_ms)) {
        return false;
    }
    const bool persists = (edit->flags & SET_PERSIST) != 0 && found->ttl_ms != MANAGED_NO_END;
    if (!found->exists || (at_ms == ITEM_NEVER && !persists)) {
        reply_old(edit, reply);
        return false;
    }
    edit->is_timed = true;
    edit->life_ms = at_ms - found->looked_at_ms;
    if (persists) {
        edit_expire(edit, edit_endless_ms(edit));
    } else if (edit->life_ms <= 0) {
        edit_delete(edit);
    } else {
        edit_expire(edit, edit_life_ms(edit));
    }
    return true;
}

void managed_getex(struct call *call)
{
    static const struct edit_rule rule = {.decide = getex_decide, .answer = old_answer};
    struct set_options options = {0};
    if (set_options_parse(call, 2, OF_GETEX, &options)) {
        const struct edit model = {
            .rule = &rule, .reads = true, .flags = options.flags, .value = options.time};
        edit_begin(call, &model);
    }
}
